//! Where samples come from: the demuxers, which of them a stream needs, and what they counted.

use std::{mem, ops::Range};

use aqueduct_core::MuxError;
use aqueduct_media::{
    SampleData, TrackKind, fmp4, packed,
    timeline::{self, Clock},
    ts,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The demuxer of a track.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Source {
    Ts(Box<ts::Demuxer>),
    Packed(Box<packed::Demuxer>),
    Fmp4(fmp4::Demuxer),
}

impl Source {
    /// The source that these bytes need, unless the one in use will do.
    pub(crate) fn change(now: Option<&Self>, bytes: &[u8]) -> Result<Option<Self>, MuxError> {
        let Some(now) = now else { return Self::guess(bytes).map(Some) };
        Ok(Self::guess(bytes).ok().filter(|next| {
            // Anything may be taken for MPEG-TS behind junk; only a sync byte in front is a change.
            mem::discriminant(now) != mem::discriminant(next) && (!matches!(next, Self::Ts(_)) || bytes.first() == Some(&0x47))
        }))
    }

    /// The same, which keeps messages beside the tracks. ID3 tags in front of packed audio are none.
    pub(super) fn keeping_messages(mut self) -> Self {
        match &mut self {
            Self::Ts(demuxer) => {
                let mut options = ts::Options::default();
                options.messages = true;
                **demuxer = ts::Demuxer::new(options);
            }
            Self::Fmp4(demuxer) => demuxer.keep_messages(),
            Self::Packed(_) => {}
        }
        self
    }

    /// What the first bytes of a stream say of it.
    fn guess(bytes: &[u8]) -> Result<Self, MuxError> {
        const BOXES: [&[u8]; 10] = [
            b"ftyp", b"styp", b"moov", b"moof", b"sidx", b"emsg", b"prft", b"free", b"skip", b"mdat",
        ];
        if bytes.get(4..8).is_some_and(|kind| BOXES.contains(&kind)) {
            return Ok(Self::Fmp4(fmp4::Demuxer::default()));
        }
        if packed::is_packed(bytes) {
            return Ok(Self::Packed(Box::default()));
        }
        if bytes.starts_with(b"ID3") {
            return Err(MuxError::Unsupported {
                what:
                    "packed audio that is neither AAC, MP3, AC-3 nor E-AC-3 cannot be taken apart; --format raw keeps the segments as they are"
                        .into(),
            });
        }
        if bytes.starts_with(b"WEBVTT") {
            return Err(MuxError::Unsupported {
                what: "WebVTT is neither pictures nor sound; choose .vtt".into(),
            });
        }
        // Junk may come before the first transport packet; if there is none at all, no track will appear.
        Ok(Self::Ts(Box::default()))
    }

    /// Tells what its demuxer counted.
    pub(super) fn notes(&self, lane: &str, notes: &mut Vec<String>) {
        match self {
            Self::Ts(demuxer) => {
                stream_notes(demuxer.stats(), lane, notes);
                for (kind, what) in [
                    (TrackKind::Video, "streams of pictures that the PMT names brought none"),
                    (TrackKind::Audio, "streams of sound that the PMT names brought none"),
                ] {
                    let silent = demuxer.silent().filter(|silent| *silent == kind).count();
                    note(notes, lane, silent as u64, what);
                }
            }
            Self::Packed(demuxer) => stream_notes(demuxer.stats(), lane, notes),
            Self::Fmp4(demuxer) => {
                let stats = demuxer.stats();
                for (count, what) in [
                    (stats.broken_moofs, "movie fragments that cannot be read"),
                    (stats.truncated_segments, "segments cut short"),
                    (stats.lost_samples, "samples whose data is missing"),
                    (stats.unknown_tracks, "track fragments of unknown tracks"),
                    (stats.messages, "messages beside the tracks (emsg) are not in the file"),
                ] {
                    note(notes, lane, count, what);
                }
            }
        }
    }
}

/// Samples as the two demuxers give them.
pub(super) trait Pushed: SampleData {
    const CLOCK: Clock;

    /// The bytes on their own; `pushed` is what the demuxer was given.
    fn into_bytes(self, pushed: &[u8]) -> Bytes;
}

impl Pushed for Bytes {
    const CLOCK: Clock = Clock::Mpeg;

    fn into_bytes(self, _: &[u8]) -> Bytes {
        self
    }
}

impl Pushed for Range<usize> {
    /// Times of fragmented MP4 have 64 bits and never wrap.
    const CLOCK: Clock = Clock::Absolute;

    fn into_bytes(self, pushed: &[u8]) -> Bytes {
        Bytes::copy_from_slice(self.bytes(pushed))
    }
}

/// Sound or pictures that would be missing from the file without a word are an error; data streams are a note.
pub(super) fn check_stream_types(demuxer: &ts::Demuxer) -> Result<(), MuxError> {
    let name = |stream_type: &u8| match stream_type {
        0x01 | 0x02 => Some("MPEG-2 video"),
        0x10 => Some("MPEG-4 video"),
        0x82 | 0x85 | 0x8a => Some("DTS"),
        _ => None,
    };
    match demuxer.stats().unsupported_stream_types.iter().find_map(name) {
        Some(codec) => Err(MuxError::Unsupported {
            what: format!("{codec} in MPEG-TS cannot be taken apart yet; choose .ts to keep it as it is"),
        }),
        None => Ok(()),
    }
}

/// What a demuxer of transport streams or of packed audio counted.
fn stream_notes(stats: &ts::Stats, lane: &str, notes: &mut Vec<String>) {
    for (count, what) in [
        (stats.junk_bytes, "bytes outside of transport packets"),
        (stats.sync_losses, "losses of packet synchronisation"),
        (stats.transport_errors, "packets marked as broken"),
        (stats.continuity_errors, "breaks of continuity"),
        (stats.wrong_counters, "packets with a wrong continuity counter"),
        (
            stats.boundary_breaks,
            "breaks of continuity between segments: the end of one or the beginning of the next is missing",
        ),
        (stats.scrambled_packets, "packets that are still scrambled"),
        (stats.other_programs, "other programs are not in the file"),
        (stats.broken_sections, "broken PAT or PMT sections"),
        (stats.broken_pes, "broken PES packets"),
        (stats.short_pes, "PES packets cut short"),
        (stats.packets_before_pmt, "packets before the first PMT dropped"),
        (stats.damaged_units, "damaged access units dropped"),
        (stats.oversized_units, "oversized access units dropped"),
        (stats.leading_units, "pictures before the first random access point dropped"),
        (stats.untimed_units, "access units without a time stamp dropped"),
        (stats.broken_parameter_sets, "parameter sets that cannot be read"),
        (stats.skipped_audio_bytes, "bytes outside of audio frames"),
    ] {
        note(notes, lane, count, what);
    }
    for (kind, count) in &stats.data_units {
        let what = match kind {
            ts::DataKind::Id3 => "pieces of timed metadata (ID3)",
            ts::DataKind::Scte35 => "cues (SCTE 35)",
            ts::DataKind::Klv => "pieces of KLV metadata",
            ts::DataKind::DvbSubtitles => "pieces of DVB subtitles",
            ts::DataKind::Teletext => "pieces of teletext",
            _ => "pieces of data",
        };
        note(notes, lane, *count, &format!("{what} are not in the file"));
    }
    for stream_type in &stats.unsupported_stream_types {
        notes.push(format!("{lane}: streams of type {stream_type:#04x} are not in the file"));
    }
}

pub(super) fn note(notes: &mut Vec<String>, of: &str, count: u64, what: &str) {
    if count > 0 {
        notes.push(format!("{of}: {count} {what}"));
    }
}

/// What is told of the holes in the time of tracks.
pub(crate) fn holes(stats: &timeline::Stats) -> Option<String> {
    let seconds = stats.hole_time.as_secs_f64();
    (stats.holes > 0).then(|| format!("file: {} holes in the time of tracks, {seconds:.3} s together", stats.holes))
}
