//! A folder of clear segments with playlists of their own: what any HLS player plays from a disk.

use std::collections::HashSet;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_core::{
    Clear, Item, Mux, MuxError, Offer, OfferKind, Presentation, SegmentInfo, Summary, Track, TrackId, TrackKind, Write, WriteAt,
};
use aqueduct_media::packed;
use aqueduct_playlist::{DateTime, RecordedSegment, RecordedTrack, Recording, recorded_multivariant};
use serde::{Deserialize, Serialize};

use crate::container::Media;
use crate::journal::record::micros;

/// Missing segments in a row that are tagged, each by itself. How many there are is a server's claim.
const MOST_GAPS: u64 = 10_000;
/// Letters of a language in the name of a folder.
const LONGEST_LABEL: usize = 24;

/// Writes each unit as a file of its own, a folder for each track, and a playlist for each and for all
/// ([`WriteAt::File`]). Keys are gone, byte ranges are files, segments that are missing are tagged as gaps; discontinuities, dates and
/// date ranges stay.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Hls {
    #[serde(skip)]
    lanes: Vec<Lane>,
    /// What was told to the lanes since the last checkpoint: told again, it brings them where they were.
    told: Vec<(TrackId, Told)>,
}

/// What a lane has to know of a unit, which is in its folder or missing.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Told {
    Init { extension: String },
    Segment { place: Place, bytes: u64, extension: String },
    Gap { place: Place, segments: u64 },
}

/// Where a segment stands in its playlist.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Place {
    msn: u64,
    duration: Duration,
    discontinuity_sequence: u64,
    discontinuity: bool,
    /// Microseconds since 1970.
    program_date_time: Option<i64>,
    tags: Arc<[String]>,
}

impl Place {
    fn of(info: &SegmentInfo) -> Self {
        Self {
            msn: info.msn,
            duration: info.duration,
            discontinuity_sequence: info.discontinuity_sequence,
            discontinuity: info.discontinuity,
            program_date_time: info.program_date_time.and_then(micros),
            tags: Arc::clone(&info.tags),
        }
    }
}

#[derive(Debug)]
struct Lane {
    id: TrackId,
    folder: String,
    /// What the Multivariant Playlist says of it.
    told: RecordedTrack,
    playlist: Recording,
    inits: u64,
    units: u64,
    /// The extension of its segments so far: what a missing one would have had.
    extension: String,
    peak: u64,
    bytes: u64,
    seconds: Duration,
}

impl Lane {
    fn new(track: &Track, offers: &[Offer], taken: &mut HashSet<String>) -> Self {
        let (kind, rendition) = match track.kind {
            TrackKind::Audio => ("audio", Some("AUDIO")),
            TrackKind::Subtitles => ("subtitles", Some("SUBTITLES")),
            _ => ("video", None),
        };
        let label = rendition.and(track.language.as_deref()).map(label).unwrap_or_default();
        let plain = if label.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}-{label}")
        };
        let numbered = (2_u32..).map(|number| format!("{plain}-{number}"));
        let folder = std::iter::once(plain.clone())
            .chain(numbered)
            .find(|name| taken.insert(name.clone()));
        let folder = folder.unwrap_or(plain);
        let offer = offers.iter().find(|offer| {
            let of = match offer.kind {
                OfferKind::Variant => rendition.is_none(),
                OfferKind::Audio => rendition == Some("AUDIO"),
                OfferKind::Subtitles => rendition == Some("SUBTITLES"),
                _ => false,
            };
            of && offer.url.is_some() && offer.url == track.url
        });
        Self {
            id: track.id,
            told: RecordedTrack {
                uri: format!("{folder}/index.m3u8"),
                rendition,
                name: track.name.clone(),
                language: track.language.clone(),
                channels: offer.and_then(|offer| offer.channels.clone()),
                characteristics: track.characteristics.clone(),
                default: track.default,
                forced: track.forced,
                bandwidth: (0, 0),
                codecs: offer.map(|offer| offer.codecs.clone()).unwrap_or_default(),
                resolution: offer.and_then(|offer| offer.resolution),
                frame_rate: offer.and_then(|offer| offer.frame_rate),
            },
            folder,
            playlist: Recording::default(),
            inits: 0,
            units: 0,
            extension: "ts".into(),
            peak: 0,
            bytes: 0,
            seconds: Duration::ZERO,
        }
    }

    fn file(&self, name: &str, payload: Clear) -> Write {
        Write {
            at: WriteAt::File(format!("{}/{name}", self.folder).into()),
            data: payload.into(),
        }
    }

    /// Notes a unit, and gives the name of its file.
    fn note(&mut self, told: &Told) -> String {
        match told {
            Told::Init { extension } => {
                let name = format!("init-{}.{extension}", self.inits);
                self.inits += 1;
                self.playlist.init(&name);
                name
            }
            Told::Segment { place, bytes, extension } => {
                self.extension.clone_from(extension);
                self.bytes = self.bytes.saturating_add(*bytes);
                self.seconds = self.seconds.saturating_add(place.duration);
                self.peak = self.peak.max(rate(bytes.saturating_mul(8), place.duration));
                self.segment(place, false)
            }
            Told::Gap { place, segments } => {
                let name = self.segment(place, true);
                for number in 1..(*segments).min(MOST_GAPS) {
                    let next = Place {
                        msn: place.msn.saturating_add(number),
                        discontinuity: false,
                        program_date_time: None,
                        tags: Arc::default(),
                        ..*place
                    };
                    self.segment(&next, true);
                }
                name
            }
        }
    }

    /// Puts a segment, or the place of one, into the playlist, and gives its name.
    fn segment(&mut self, place: &Place, gap: bool) -> String {
        let name = format!("{:05}.{}", self.units, self.extension);
        self.units += 1;
        let mut segment = RecordedSegment::new(place.msn, &name, place.duration);
        segment.discontinuity_sequence = place.discontinuity_sequence;
        segment.discontinuity = place.discontinuity;
        segment.program_date_time = place.program_date_time.and_then(DateTime::from_unix_micros);
        segment.gap = gap;
        segment.tags = &place.tags;
        self.playlist.segment(&segment);
        name
    }
}

impl Hls {
    /// What it calls its output.
    pub const CONTAINER: &'static str = "HLS";

    fn note(&mut self, track: TrackId, told: Told) -> Option<(&Lane, String)> {
        let lane = self.lanes.iter_mut().find(|lane| lane.id == track)?;
        let name = lane.note(&told);
        self.told.push((track, told));
        Some((lane, name))
    }

    /// Notes a unit that is in the folder already, by so many bytes in a file of this name, or that is missing: the playlists tell of
    /// it, and nothing is written.
    pub fn note_known<P>(&mut self, track: TrackId, item: &Item<P>, known: Option<(u64, &str)>) {
        let extension = |name: &str| name.rsplit_once('.').map(|(_, extension)| extension.to_owned()).unwrap_or_default();
        let told = match (item, known) {
            (Item::Init { .. }, Some((_, name))) => Told::Init {
                extension: extension(name),
            },
            (Item::Init { .. }, None) => return,
            (Item::Segment { info, .. }, Some((bytes, name))) => Told::Segment {
                place: Place::of(info),
                bytes,
                extension: extension(name),
            },
            (Item::Segment { info, .. }, None) => Told::Gap {
                place: Place::of(info),
                segments: 1,
            },
            (Item::Gap { info, segments, .. }, _) => Told::Gap {
                place: Place::of(info),
                segments: *segments,
            },
        };
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.id == track) {
            lane.note(&told);
        }
    }

    /// Notes a segment that was missing and came, and gives the name of its file in the folder; `None` where it is of no kind that HLS
    /// has.
    pub fn note_filled(&mut self, track: TrackId, info: &SegmentInfo, bytes: &[u8]) -> Option<String> {
        let told = Told::Segment {
            place: Place::of(info),
            bytes: bytes.len() as u64,
            extension: extension(bytes)?.into(),
        };
        let lane = self.lanes.iter_mut().find(|lane| lane.id == track)?;
        let name = lane.note(&told);
        Some(format!("{}/{name}", lane.folder))
    }

    pub(crate) fn mark_saved(&mut self) {
        self.told.clear();
    }

    /// Tells the lanes of `earlier` what came after it was marked as saved.
    pub(crate) fn put_behind(&mut self, earlier: Self) {
        self.lanes = earlier.lanes;
        for (track, told) in mem::take(&mut self.told) {
            if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.id == track) {
                lane.note(&told);
            }
        }
    }
}

impl Mux for Hls {
    fn begin(&mut self, presentation: &Presentation, _: bool) -> Result<(), MuxError> {
        let unsupported = |what: &str| Err(MuxError::Unsupported { what: what.into() });
        let is = |kind| presentation.tracks.iter().any(|track| track.kind == kind);
        if is(TrackKind::File) {
            return unsupported("a plain file has no segments to make a folder of");
        }
        let mut taken = HashSet::new();
        let lanes = presentation.tracks.iter();
        self.lanes = lanes.map(|track| Lane::new(track, &presentation.offers, &mut taken)).collect();
        // Sound alone is the Variant Stream then.
        if !is(TrackKind::Main) {
            match self.lanes.iter_mut().find(|lane| lane.told.rendition == Some("AUDIO")) {
                Some(lane) => lane.told.rendition = None,
                None => return unsupported("a folder of segments needs pictures or sound: name the output .vtt or .srt"),
            }
        }
        Ok(())
    }

    fn push(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let (told, payload) = match item {
            Item::Init { payload, .. } => {
                let extension = if extension(payload.as_slice()) == Some("ts") { "ts" } else { "mp4" };
                let extension = extension.into();
                (Told::Init { extension }, Some(payload))
            }
            Item::Segment { info, payload } => {
                let bytes = payload.as_slice();
                let extension = extension(bytes).ok_or_else(|| MuxError::Unsupported {
                    what: "the segments are of no kind that HLS has; --format raw keeps them as they are".into(),
                })?;
                let told = Told::Segment {
                    place: Place::of(&info),
                    bytes: bytes.len() as u64,
                    extension: extension.into(),
                };
                (told, Some(payload))
            }
            Item::Gap { info, segments, .. } => {
                let place = Place::of(&info);
                (Told::Gap { place, segments }, None)
            }
        };
        let noted = self.note(track, told);
        if let (Some((lane, name)), Some(payload)) = (noted, payload) {
            writes.push(lane.file(&name, payload));
        }
        Ok(())
    }

    fn finish(&mut self, writes: &mut Vec<Write>) -> Result<Summary, MuxError> {
        let mut tracks = Vec::new();
        let mut text = |name: String, text: String| {
            writes.push(Write {
                at: WriteAt::File(name.into()),
                data: text.into_bytes().into(),
            });
        };
        for mut lane in mem::take(&mut self.lanes) {
            lane.told.bandwidth = (lane.peak, rate(lane.bytes.saturating_mul(8), lane.seconds));
            text(lane.told.uri.clone(), lane.playlist.finish(true));
            tracks.push(lane.told);
        }
        // The last one: a folder with it is whole.
        text("index.m3u8".into(), recorded_multivariant(&tracks));
        Ok(Summary::new(Self::CONTAINER))
    }
}

/// Bits a second, rounded up.
fn rate(bits: u64, duration: Duration) -> u64 {
    let nanoseconds = duration.as_nanos().max(1);
    u64::try_from((u128::from(bits) * 1_000_000_000).div_ceil(nanoseconds)).unwrap_or(u64::MAX)
}

/// A language as a part of a name: plain letters, digits and hyphens.
fn label(language: &str) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() {
            letter.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let label: String = language.chars().map(plain).take(LONGEST_LABEL).collect();
    label.trim_matches('-').to_owned()
}

/// The extension that players know the kind of a segment by.
fn extension(bytes: &[u8]) -> Option<&'static str> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    Some(match Media::of(bytes) {
        Media::MpegTs => "ts",
        Media::IsoBmff => "m4s",
        Media::PackedAudio => packed::extension(bytes)?,
        // An empty segment of WebVTT says that nothing is shown.
        _ if text.starts_with(b"WEBVTT") || text.is_empty() => "vtt",
        Media::Page | Media::Other if aqueduct_media::ttml::is_ttml(bytes) => "ttml",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_become_names() {
        for (language, expected) in [("en", "en"), ("pt-BR", "pt-br"), ("../../x", "x"), ("日本", ""), ("a b", "a-b")] {
            assert_eq!(label(language), expected);
        }
    }

    #[test]
    fn rates_are_rounded_up_and_never_overflow() {
        assert_eq!(rate(8, Duration::from_secs(3)), 3);
        assert_eq!(rate(u64::MAX, Duration::ZERO), u64::MAX);
    }
}
