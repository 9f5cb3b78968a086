//! WebVTT as HLS carries it (RFC 8216 §3.5): segments that repeat cues and count time from anywhere, joined into
//! one `.vtt` or `.srt`.
//!
//! ```
//! use aqueduct_media::webvtt::{Joiner, Segment};
//!
//! let mut joiner = Joiner::default();
//! joiner.push(&Segment::parse(b"WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00.000\n\n00:01.000 --> 00:02.500\nHello")?);
//! joiner.push(&Segment::parse(b"WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00.000\n\n00:01.000 --> 00:02.500\nHello")?);
//! // The first picture is due at 900000 ticks of 90 kHz: time 0 of the file.
//! let srt = joiner.to_srt(900_000);
//! assert_eq!(srt, "1\n00:00:01,000 --> 00:00:02,500\nHello\n\n");
//! # Ok::<(), aqueduct_media::Error>(())
//! ```

mod parse;
mod write;

use std::collections::VecDeque;

use crate::time::{MPEG_HZ, rescale, unwrap_33};

/// Cues that are looked at for repetition: a cue is repeated in the segments that it reaches into, and those
/// that are near.
const MEMORY: usize = 512;

/// A cue (W3C WebVTT §3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cue {
    /// Identifier, if it has one.
    pub id: Option<String>,
    /// When it appears, in milliseconds.
    pub start_ms: i64,
    /// When it disappears, in milliseconds.
    pub end_ms: i64,
    /// Position and alignment, as they stand behind the times.
    pub settings: String,
    /// The text with its markup, lines separated by `\n`.
    pub text: String,
}

/// `X-TIMESTAMP-MAP` (RFC 8216 §3.5): the cue time `local_ms` is the MPEG-TS time `mpegts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimestampMap {
    /// Ticks of 90 kHz, modulo 2³³.
    pub mpegts: u64,
    /// Cue time in milliseconds.
    pub local_ms: i64,
}

/// One WebVTT segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Segment {
    /// How cue times relate to those of other tracks; zero to zero where the segment does not say.
    pub map: TimestampMap,
    /// `STYLE` and `REGION` blocks, as they are.
    pub blocks: Vec<String>,
    /// The cues, in the order of the text.
    pub cues: Vec<Cue>,
    /// Blocks with an arrow whose times cannot be read. They are skipped.
    pub broken_cues: u64,
}

/// Joins the cues of segments, without those that segments repeat.
///
/// Subtitles are small: it keeps the text of all cues until it is asked for the whole.
#[derive(Debug, Clone, Default)]
pub struct Joiner {
    blocks: Vec<String>,
    /// With times in milliseconds of the MPEG-TS clock, unrolled.
    cues: Vec<Cue>,
    recent: VecDeque<usize>,
    clock: Option<i64>,
    repeated: u64,
}

impl Joiner {
    /// Takes the next segment.
    pub fn push(&mut self, segment: &Segment) {
        for block in &segment.blocks {
            if !self.blocks.contains(block) {
                self.blocks.push(block.clone());
            }
        }
        let first = i64::try_from(segment.map.mpegts).unwrap_or(0);
        let mpegts = unwrap_33(segment.map.mpegts, self.clock.unwrap_or(first));
        self.clock = Some(mpegts);
        let shift = rescale(mpegts, MPEG_HZ, 1000).saturating_sub(segment.map.local_ms);
        for cue in &segment.cues {
            let mut cue = cue.clone();
            cue.start_ms = cue.start_ms.saturating_add(shift);
            cue.end_ms = cue.end_ms.saturating_add(shift);
            self.add(cue);
        }
    }

    /// Cues that were left out because an equal one is there, or that went on in one.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Whether there is no cue.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cues.is_empty()
    }

    /// All cues in order, in time since `origin`: what the MPEG-TS clock (90 kHz) shows at time 0 of the output.
    /// Cues that end before that are left out.
    #[must_use]
    pub fn cues(&self, origin: i64) -> Vec<Cue> {
        let zero = rescale(origin, MPEG_HZ, 1000);
        let mut cues: Vec<Cue> = self
            .cues
            .iter()
            .map(|cue| Cue {
                start_ms: cue.start_ms.saturating_sub(zero).max(0),
                end_ms: cue.end_ms.saturating_sub(zero),
                ..cue.clone()
            })
            .filter(|cue| cue.end_ms > 0)
            .collect();
        cues.sort_by_key(|cue| (cue.start_ms, cue.end_ms));
        cues
    }

    /// The whole as WebVTT; `origin` as for [`cues`](Self::cues).
    #[must_use]
    pub fn to_vtt(&self, origin: i64) -> String {
        write::vtt(&self.blocks, &self.cues(origin))
    }

    /// The whole as SubRip; `origin` as for [`cues`](Self::cues). Settings and markup that SubRip has no word for
    /// are left out.
    #[must_use]
    pub fn to_srt(&self, origin: i64) -> String {
        write::srt(&self.cues(origin))
    }

    /// Adds a cue, unless a recent one says the same: at the same time, or up to the moment where this one begins
    /// (packagers cut cues at segment boundaries).
    fn add(&mut self, cue: Cue) {
        // Segmenters round times differently from one segment to the next.
        const SLACK_MS: i64 = 2;
        let same = |known: &Cue| {
            let alike = known.text == cue.text && known.settings == cue.settings;
            let again = (known.start_ms - cue.start_ms).abs() <= SLACK_MS;
            let goes_on = known.id == cue.id && known.end_ms + SLACK_MS >= cue.start_ms && known.start_ms <= cue.start_ms;
            alike && (again || goes_on)
        };
        let found = self.recent.iter().rev().copied().find(|&at| self.cues.get(at).is_some_and(same));
        if let Some(known) = found.and_then(|at| self.cues.get_mut(at)) {
            known.end_ms = known.end_ms.max(cue.end_ms);
            self.repeated += 1;
            return;
        }
        if self.recent.len() == MEMORY {
            self.recent.pop_front();
        }
        self.recent.push_back(self.cues.len());
        self.cues.push(cue);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(map: &str, cues: &str) -> Segment {
        Segment::parse(format!("WEBVTT\n{map}\n\n{cues}").as_bytes()).unwrap()
    }

    fn joined(segments: &[Segment]) -> Joiner {
        let mut joiner = Joiner::default();
        segments.iter().for_each(|segment| joiner.push(segment));
        joiner
    }

    #[test]
    fn a_cue_that_segments_repeat_or_cut_is_one_cue() {
        const MAP: &str = "X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:0";
        for (second, cues, end) in [
            ("00:05.000 --> 00:07.000\nHi", 1, 7000),
            ("00:05.001 --> 00:07.000\nHi", 1, 7000),
            // Cut at the boundary: 5 to 6, then 6 to 9.
            ("00:07.000 --> 00:09.000\nHi", 1, 9000),
            ("00:08.000 --> 00:09.000\nHi", 2, 7000),
            ("00:05.000 --> 00:07.000\nHo", 2, 7000),
            ("00:05.000 --> 00:07.000 line:0\nHi", 2, 7000),
        ] {
            let joiner = joined(&[segment(MAP, "00:05.000 --> 00:07.000\nHi"), segment(MAP, second)]);
            assert_eq!(joiner.cues(0).len(), cues, "{second}");
            assert_eq!(joiner.cues(0)[0].end_ms, end, "{second}");
        }
    }

    #[test]
    fn times_are_mapped_and_go_on_through_the_wrap() {
        // 2^33 ticks are 95443717.689 ms.
        let joiner = joined(&[
            segment("X-TIMESTAMP-MAP=MPEGTS:8589844592,LOCAL:00:00.000", "00:00.500 --> 00:01.000\na"),
            segment("X-TIMESTAMP-MAP=MPEGTS:90000,LOCAL:00:10.000", "00:10.500 --> 00:11.000\nb"),
        ]);
        let times: Vec<_> = joiner.cues(8_589_844_592).iter().map(|cue| (cue.start_ms, cue.end_ms)).collect();
        assert_eq!(times, [(500, 1000), (2500, 3000)]);
    }

    #[test]
    fn cues_before_the_beginning_are_cut_or_left_out() {
        let joiner = joined(&[segment("", "00:01.000 --> 00:02.000\na\n\n00:02.500 --> 00:04.000\nb")]);
        let times: Vec<_> = joiner.cues(270_000).iter().map(|cue| (cue.start_ms, cue.end_ms)).collect();
        assert_eq!(times, [(0, 1000)]);
    }
}
