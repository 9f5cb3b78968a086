//! `TrackEntry`: all that the head of the file says of a track (RFC 9559 §5.1.4.1).

use super::{
    codec::{Change, Codec, Sound},
    ebml::{binary, float, id, master, text, uint},
};
use crate::{
    boxes::BoxRef,
    sample_entry,
    track::{TrackConfig, TrackKind},
};

/// How far before a place that was jumped to Opus is to be decoded, in nanoseconds (Matroska Opus mapping: 80 ms).
const OPUS_PRE_ROLL: u64 = 80_000_000;

/// ISO 639-2/T codes whose bibliographic form, which Matroska has (RFC 9559 §12), is another: each with that behind it.
const BIBLIOGRAPHIC: &str = "bodtib cescze cymwel deuger ellgre eusbaq fasper frafre hyearm islice katgeo mkdmac mrimao msamay myabur \
    nlddut ronrum slkslo sqialb zhochi";

/// What is told of a track besides its configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) config: &'a TrackConfig,
    pub(super) codec: &'a Codec,
    /// From 1.
    pub(super) number: u64,
    /// The data of the first sample, if there is one already.
    pub(super) first: &'a [u8],
    /// Of each sample, in nanoseconds, where all are alike.
    pub(super) default_duration: Option<u64>,
    /// In nanoseconds.
    pub(super) delay: u64,
    /// Whether it plays unless somebody chooses another.
    pub(super) default: bool,
}

impl Entry<'_> {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        master(out, id::TRACK_ENTRY, |out| {
            let Self { config, codec, .. } = *self;
            uint(out, id::TRACK_NUMBER, self.number);
            uint(out, id::TRACK_UID, self.number);
            let kind = match config.kind {
                TrackKind::Video => 1,
                TrackKind::Audio => 2,
                _ => 17,
            };
            uint(out, id::TRACK_TYPE, kind);
            uint(out, id::FLAG_LACING, 0);
            self.flags(out);
            if let Some(duration) = self.default_duration {
                uint(out, id::DEFAULT_DURATION, duration);
            }
            if let Some(name) = &config.name {
                text(out, id::NAME, name);
            }
            text(out, id::LANGUAGE, bibliographic(config.language.as_str()));
            if let Some(tag) = &config.language_tag {
                text(out, id::LANGUAGE_BCP47, tag);
            }
            text(out, id::CODEC_ID, codec.id_by(self.first));
            if !codec.private.is_empty() {
                binary(out, id::CODEC_PRIVATE, &codec.private);
            }
            if self.delay > 0 {
                uint(out, id::CODEC_DELAY, self.delay);
            }
            if codec.id == "A_OPUS" {
                uint(out, id::SEEK_PRE_ROLL, OPUS_PRE_ROLL);
            }
            if codec.change == Change::Text(super::TextForm::WebVtt) {
                uint(out, id::MAX_BLOCK_ADDITION_ID, 1);
            }
            match (config.kind, sample_entry::of(config)) {
                (TrackKind::Video, Ok(entry)) => video(entry, config, out),
                (TrackKind::Audio, _) => audio(codec.sound_by(self.first), out),
                _ => {}
            }
        });
    }

    fn flags(&self, out: &mut Vec<u8>) {
        let roles = self.config.roles;
        // On is what a reader assumes of this one (RFC 9559 §5.1.4.1.5).
        uint(out, id::FLAG_DEFAULT, u64::from(self.default || roles.default));
        for (id, set) in [
            (id::FLAG_FORCED, roles.forced),
            (id::FLAG_HEARING_IMPAIRED, roles.hearing_impaired),
            (id::FLAG_VISUAL_IMPAIRED, roles.visual_impaired),
        ] {
            if set {
                uint(out, id, 1);
            }
        }
    }
}

/// The bibliographic form of an ISO 639-2/T code.
fn bibliographic(code: &str) -> &str {
    BIBLIOGRAPHIC.split(' ').find_map(|pair| pair.strip_prefix(code)).unwrap_or(code)
}

fn short(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..at + 2)
        .map_or(0, |bytes| u64::from(bytes[0]) << 8 | u64::from(bytes[1]))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    short(bytes, at) << 16 | short(bytes, at + 2)
}

fn video(entry: BoxRef<'_>, config: &TrackConfig, out: &mut Vec<u8>) {
    // ISO 14496-12 §12.1.3.
    let (width, height) = (short(entry.whole, 32), short(entry.whole, 34));
    master(out, id::VIDEO, |out| {
        interlacing(entry, out);
        uint(out, id::PIXEL_WIDTH, width);
        uint(out, id::PIXEL_HEIGHT, height);
        display_size(entry, config, (width, height), out);
        colour(entry, out);
        projection(config, out);
    });
    for kind in ["dvcC", "dvvC", "dvwC"] {
        if let Some(found) = sample_entry::in_visual(entry, kind) {
            // Dolby Vision Streams within the Matroska container: the box's type and content.
            master(out, id::BLOCK_ADDITION_MAPPING, |out| {
                uint(out, id::BLOCK_ADD_ID_TYPE, u32::from_be_bytes(found.kind).into());
                binary(out, id::BLOCK_ADD_ID_EXTRA_DATA, found.body);
            });
        }
    }
}

/// Whether pictures are fields, in the numbers of QuickTime, which are those of Matroska.
fn interlacing(entry: BoxRef<'_>, out: &mut Vec<u8>) {
    match sample_entry::in_visual(entry, "fiel").map(|fiel| fiel.body) {
        Some([1, ..]) => uint(out, id::FLAG_INTERLACED, 2),
        Some([2, order @ (1 | 6 | 9 | 14), ..]) => {
            uint(out, id::FLAG_INTERLACED, 1);
            uint(out, id::FIELD_ORDER, (*order).into());
        }
        _ => {}
    }
}

/// The size for presentation, where it is not that of the picture: in pixels, or as an aspect ratio where pixels would be
/// fractions.
fn display_size(entry: BoxRef<'_>, config: &TrackConfig, (width, height): (u64, u64), out: &mut Vec<u8>) {
    let spacing = sample_entry::in_visual(entry, "pasp").map(|pasp| (long(pasp.body, 0), long(pasp.body, 4)));
    let (shown_width, shown_height, unit) = match (spacing, config.display_size) {
        (Some((h, v)), _) if h > 0 && v > 0 => {
            let (wide, high) = (width * h, height * v);
            if wide % v == 0 {
                (wide / v, height, 0)
            } else {
                let common = gcd(wide, high).max(1);
                (wide / common, high / common, 3)
            }
        }
        (_, (w, h)) if w > 0 && h > 0 => (w.into(), h.into(), 0),
        _ => (width, height, 0),
    };
    if (shown_width, shown_height) != (width, height) && shown_width > 0 && shown_height > 0 {
        uint(out, id::DISPLAY_WIDTH, shown_width);
        uint(out, id::DISPLAY_HEIGHT, shown_height);
        if unit != 0 {
            uint(out, id::DISPLAY_UNIT, unit);
        }
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The meaning of the colours, in the numbers of ISO 23091-2, and of the display that they were made on (SMPTE ST 2086).
fn colour(entry: BoxRef<'_>, out: &mut Vec<u8>) {
    let nclx = sample_entry::in_visual(entry, "colr").filter(|colr| colr.body.starts_with(b"nclx"));
    let (mdcv, clli) = (sample_entry::in_visual(entry, "mdcv"), sample_entry::in_visual(entry, "clli"));
    if nclx.is_none() && mdcv.is_none() && clli.is_none() {
        return;
    }
    master(out, id::COLOUR, |out| {
        if let Some(nclx) = nclx {
            uint(out, id::MATRIX_COEFFICIENTS, short(nclx.body, 8));
            let full = nclx.body.get(10).is_some_and(|flags| flags & 0x80 != 0);
            uint(out, id::RANGE, if full { 2 } else { 1 });
            uint(out, id::TRANSFER_CHARACTERISTICS, short(nclx.body, 6));
            uint(out, id::PRIMARIES, short(nclx.body, 4));
        }
        if let Some(clli) = clli {
            uint(out, id::MAX_CLL, short(clli.body, 0));
            uint(out, id::MAX_FALL, short(clli.body, 2));
        }
        if let Some(mdcv) = mdcv {
            // Green, blue, red, white, in steps of 0.00002; luminance in steps of 0.0001 (ISO 14496-12 §12.1.7).
            #[expect(clippy::cast_precision_loss, reason = "32 bits at most")]
            let ratio = |value: u64, steps: f64| value as f64 / steps;
            master(out, id::MASTERING_METADATA, |out| {
                for (id, at) in [
                    (id::PRIMARY_R_CHROMATICITY_X, 8),
                    (id::PRIMARY_R_CHROMATICITY_Y, 10),
                    (id::PRIMARY_G_CHROMATICITY_X, 0),
                    (id::PRIMARY_G_CHROMATICITY_Y, 2),
                    (id::PRIMARY_B_CHROMATICITY_X, 4),
                    (id::PRIMARY_B_CHROMATICITY_Y, 6),
                    (id::WHITE_POINT_CHROMATICITY_X, 12),
                    (id::WHITE_POINT_CHROMATICITY_Y, 14),
                ] {
                    float(out, id, ratio(short(mdcv.body, at), 50_000.0));
                }
                float(out, id::LUMINANCE_MAX, ratio(long(mdcv.body, 16), 10_000.0));
                float(out, id::LUMINANCE_MIN, ratio(long(mdcv.body, 20), 10_000.0));
            });
        }
    });
}

/// How the picture is turned or flipped. A matrix that does anything else has no form here.
fn projection(config: &TrackConfig, out: &mut Vec<u8>) {
    let Some([a, b, _, c, d, ..]) = config.matrix.map(|matrix| matrix.map(i64::from)) else {
        return;
    };
    let yaw = match (a == d && b == -c, a == -d && b == c) {
        (true, _) => 0.0,
        (_, true) => 180.0,
        _ => return,
    };
    #[expect(clippy::cast_precision_loss, reason = "32 bits at most")]
    let roll = (c as f64).atan2(d as f64).to_degrees();
    if yaw == 0.0 && roll == 0.0 {
        return;
    }
    master(out, id::PROJECTION, |out| {
        uint(out, id::PROJECTION_TYPE, 0);
        float(out, id::PROJECTION_POSE_YAW, yaw);
        float(out, id::PROJECTION_POSE_ROLL, roll);
    });
}

fn audio(sound: Option<Sound>, out: &mut Vec<u8>) {
    let Some(sound) = sound else { return };
    master(out, id::AUDIO, |out| {
        if sound.rate > 0 {
            float(out, id::SAMPLING_FREQUENCY, sound.rate.into());
        }
        if sound.output_rate > sound.rate {
            float(out, id::OUTPUT_SAMPLING_FREQUENCY, sound.output_rate.into());
        }
        uint(out, id::CHANNELS, sound.channels.max(1).into());
        if sound.bits > 0 {
            uint(out, id::BIT_DEPTH, sound.bits.into());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_bibliographic() {
        for (code, expected) in [("deu", "ger"), ("zho", "chi"), ("eng", "eng"), ("und", "und"), ("ron", "rum")] {
            assert_eq!(bibliographic(code), expected);
        }
        assert!(BIBLIOGRAPHIC.split(' ').all(|pair| pair.len() == 6));
    }
}
