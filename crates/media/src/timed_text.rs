//! Cues as the samples of a track (ISO 14496-30 §5, §7; 3GPP TS 26.245): one after the other without holes, each with all
//! that is shown meanwhile.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    track::{Language, Roles, Sample, TrackConfig, TrackKind},
    tx3g,
    webvtt::Cue,
    wvtt,
};

/// Cues that are shown at once; what comes on top is left out.
const MAX_ACTIVE: usize = 32;

/// Ticks a second: a cue's times are milliseconds.
const TIMESCALE: u32 = 1000;

/// How cues are written into samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Coding {
    /// 3GPP timed text, which nearly every player of MP4 shows. Places and colours are lost.
    #[default]
    Tx3g,
    /// WebVTT in ISO BMFF, with all that it has.
    Wvtt,
    /// The same with each cue in a sample of its own, from its beginning to its end: for containers whose samples may
    /// overlap and leave holes.
    Cues,
}

/// Turns cues, in the order of their beginnings, into samples.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Encoder {
    coding: Coding,
    active: Vec<Cue>,
    /// Where the next sample begins. The first one begins with the film: players take it amiss when text comes later.
    now: i64,
    left_out: u64,
}

impl Encoder {
    /// An encoder that has seen no cue.
    #[must_use]
    pub fn new(coding: Coding) -> Self {
        Self { coding, ..Self::default() }
    }

    /// What a muxer must know of the track. `blocks` go into the header of WebVTT; a `forced` track is shown whatever the
    /// viewer chose.
    #[must_use]
    pub fn config(&self, language: Language, name: Option<String>, blocks: &[String], forced: bool) -> TrackConfig {
        TrackConfig {
            kind: TrackKind::Subtitle,
            handler: match self.coding {
                Coding::Tx3g => *b"sbtl",
                Coding::Wvtt | Coding::Cues => *b"text",
            },
            timescale: TIMESCALE,
            sample_entry: match self.coding {
                Coding::Tx3g => tx3g::sample_entry(forced),
                Coding::Wvtt | Coding::Cues => wvtt::sample_entry(blocks),
            },
            display_size: (0, 0),
            matrix: None,
            language,
            name,
            language_tag: None,
            roles: Roles::default(),
            presentation_offset: None,
        }
    }

    /// Takes the next cue, and appends the samples that end before it.
    pub fn cue(&mut self, mut cue: Cue, samples: &mut Vec<Sample>) {
        if self.coding == Coding::Cues {
            samples.extend(whole(&cue));
            return;
        }
        cue.start_ms = cue.start_ms.max(self.now);
        if cue.end_ms <= cue.start_ms || self.active.len() == MAX_ACTIVE {
            self.left_out += u64::from(self.active.len() == MAX_ACTIVE);
            return;
        }
        self.advance(cue.start_ms, samples);
        self.active.push(cue);
    }

    /// No more cues: appends the samples that are left.
    pub fn finish(&mut self, samples: &mut Vec<Sample>) {
        let end = self.active.iter().map(|cue| cue.end_ms).max();
        if let Some(end) = end {
            self.advance(end, samples);
        }
    }

    /// Cues that were left out because too many were shown at once.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn advance(&mut self, to: i64, samples: &mut Vec<Sample>) {
        while self.now < to {
            let now = self.now;
            let end = self.active.iter().map(|cue| cue.end_ms).min().unwrap_or(to).min(to);
            let shown: Vec<&Cue> = self.active.iter().collect();
            let data = match self.coding {
                Coding::Tx3g => tx3g::encode(&shown),
                Coding::Wvtt | Coding::Cues => wvtt::encode(&shown, now),
            };
            samples.push(Sample {
                dts: now,
                pts: now,
                duration: Some(u32::try_from(end - now).unwrap_or(u32::MAX)),
                sync: true,
                data: Bytes::from(data),
            });
            self.active.retain(|cue| cue.end_ms > end);
            self.now = end;
        }
    }
}

/// A cue as a sample of its own.
fn whole(cue: &Cue) -> Option<Sample> {
    let duration = u32::try_from(cue.end_ms.checked_sub(cue.start_ms)?).ok().filter(|long| *long > 0)?;
    Some(Sample {
        dts: cue.start_ms,
        pts: cue.start_ms,
        duration: Some(duration),
        sync: true,
        data: Bytes::from(wvtt::encode(&[cue], cue.start_ms)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cue(start_ms: i64, end_ms: i64, text: &str) -> Cue {
        Cue {
            start_ms,
            end_ms,
            text: text.into(),
            ..Cue::default()
        }
    }

    fn samples(cues: &[Cue]) -> Vec<Sample> {
        let (mut encoder, mut samples) = (Encoder::new(Coding::Wvtt), Vec::new());
        cues.iter().for_each(|cue| encoder.cue(cue.clone(), &mut samples));
        encoder.finish(&mut samples);
        samples
    }

    /// Times, and the texts that are shown.
    fn brief(cues: &[Cue]) -> Vec<(i64, u32, String)> {
        let shown = |sample: &Sample| {
            wvtt::sample(&sample.data, 0, 1)
                .unwrap()
                .cues
                .iter()
                .map(|cue| cue.text.clone())
                .collect()
        };
        let samples = samples(cues);
        samples
            .iter()
            .map(|sample| (sample.dts, sample.duration.unwrap(), shown(sample)))
            .collect()
    }

    #[test]
    fn samples_follow_each_other_with_what_is_shown_meanwhile() {
        type Case<'a> = (&'a [Cue], &'a [(i64, u32, &'a str)]);
        let cases: [Case<'_>; 5] = [
            (&[], &[]),
            (&[cue(5, 7, "a")], &[(0, 5, ""), (5, 2, "a")]),
            (
                &[cue(5, 7, "a"), cue(9, 10, "b")],
                &[(0, 5, ""), (5, 2, "a"), (7, 2, ""), (9, 1, "b")],
            ),
            (
                &[cue(0, 10, "a"), cue(4, 6, "b"), cue(6, 12, "c")],
                &[(0, 4, "a"), (4, 2, "ab"), (6, 4, "ac"), (10, 2, "c")],
            ),
            (
                &[cue(5, 9, "a"), cue(4, 6, "late"), cue(7, 7, "never")],
                &[(0, 5, ""), (5, 1, "alate"), (6, 3, "a")],
            ),
        ];
        for (cues, expected) in cases {
            let brief = brief(cues);
            let brief: Vec<_> = brief.iter().map(|(at, long, text)| (*at, *long, text.as_str())).collect();
            assert_eq!(brief, expected);
        }
    }

    #[test]
    fn a_cue_may_be_a_sample_of_its_own() {
        let (mut encoder, mut samples) = (Encoder::new(Coding::Cues), Vec::new());
        for cue in [cue(5, 9, "a"), cue(7, 8, "b"), cue(20, 20, "never"), cue(30, 31, "c")] {
            encoder.cue(cue, &mut samples);
        }
        encoder.finish(&mut samples);
        let times: Vec<_> = samples.iter().map(|sample| (sample.pts, sample.duration)).collect();
        assert_eq!(times, [(5, Some(4)), (7, Some(1)), (30, Some(1))]);
    }

    proptest! {
        #[test]
        fn there_is_no_hole_and_no_overlap(cues: Vec<(u16, u8)>) {
            let mut cues: Vec<Cue> = cues.iter().map(|(start, long)| cue((*start).into(), i64::from(*start) + i64::from(*long), "x")).collect();
            cues.sort_by_key(|cue| cue.start_ms);
            let samples = samples(&cues);
            for pair in samples.windows(2) {
                prop_assert!(pair[0].duration.unwrap() > 0);
                prop_assert_eq!(pair[0].dts + i64::from(pair[0].duration.unwrap()), pair[1].dts);
            }
        }
    }
}
