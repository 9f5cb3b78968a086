//! Packed audio (RFC 8216 §3.4): segments of AAC in ADTS, MP3, AC-3 or E-AC-3, with the time stamp in an ID3 tag in front.
//!
//! ```
//! use aqueduct_media::packed::Demuxer;
//!
//! # let segments: [&[u8]; 0] = [];
//! let mut demuxer = Demuxer::default();
//! let mut events = Vec::new();
//! for segment in segments {
//!     demuxer.segment(segment, &mut events);
//! }
//! assert_eq!(demuxer.stats().damaged_units, 0);
//! ```

use std::{mem, time::Duration};

use serde::{Deserialize, Serialize};

pub use crate::id3::Titles;
use crate::{
    audio::{AudioCodec, Found},
    id3::Tags,
    time::{mpeg_ticks, unwrap_33},
    track::{Event, Language, TrackId},
    ts::{
        DataKind, Stats,
        frames::FrameAssembler,
        stream::{Sink, Time},
    },
};

/// An ADTS frame has 13 bits for its length, one of E-AC-3 has 12; an access unit of E-AC-3 may have several.
const MAX_FRAME: usize = 1 << 20;

/// From segments of packed audio to access units. It never fails: damage is counted as in MPEG-TS.
/// The first segment that has a frame in front decides the codec.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Demuxer {
    assembler: Option<FrameAssembler>,
    clock: Option<i64>,
    titles: Option<Titles>,
    /// Whether later tags had others.
    titles_change: bool,
    stats: Stats,
}

impl Demuxer {
    /// Takes a whole segment and appends its frames, all of track 0. A segment without a time stamp goes on where
    /// the one before ended; the first one then begins at 0.
    pub fn segment(&mut self, bytes: &[u8], events: &mut Vec<Event>) {
        let (tags, audio) = Tags::take(bytes);
        let lost = tags.others + self.title(tags.titles);
        if lost > 0 {
            *self.stats.data_units.entry(DataKind::Id3).or_default() += lost;
        }
        let stamp = tags.stamp.or(self.clock.is_none().then_some(0));
        let time = stamp.map(|stamp| {
            let first = i64::try_from(stamp).unwrap_or(0);
            let time = unwrap_33(stamp, self.clock.unwrap_or(first));
            self.clock = Some(time);
            Time { pts: time, dts: time }
        });
        let mut sink = Sink {
            track: TrackId(0),
            max_unit: MAX_FRAME,
            events,
            stats: &mut self.stats,
        };
        let assembler = match &mut self.assembler {
            Some(assembler) => assembler,
            none => {
                let Some(codec) = codec(audio) else {
                    sink.stats.skipped_audio_bytes += audio.len() as u64;
                    return;
                };
                none.insert(FrameAssembler::new(codec, Language::UNDETERMINED))
            }
        };
        assembler.start(time);
        assembler.data(audio, &mut sink);
        assembler.flush(&mut sink);
    }

    /// Media of this length is passed over: time stamps go on behind it.
    pub fn skip(&mut self, passed: Duration) {
        self.clock = self.clock.map(|clock| clock.saturating_add(mpeg_ticks(passed)));
        if let Some(assembler) = &mut self.assembler {
            assembler.restart();
        }
    }

    /// What comes next is unrelated to what came before: its time stamps may start anywhere.
    pub fn discontinuity(&mut self) {
        self.clock = None;
        if let Some(assembler) = &mut self.assembler {
            assembler.restart();
        }
    }

    /// What was wrong so far, and what was passed over.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What tags say of the stream as a whole; `None` where they say nothing, or one thing after the other, as a radio
    /// station's do.
    #[must_use]
    pub fn titles(&self) -> Option<&Titles> {
        self.titles.as_ref().filter(|_| !self.titles_change)
    }

    /// Takes note of titles. Returns how many tags with titles tell nothing of the whole.
    fn title(&mut self, titles: Titles) -> u64 {
        if titles == Titles::default() {
            return 0;
        }
        match &self.titles {
            None => self.titles = Some(titles),
            Some(known) if *known == titles && !self.titles_change => {}
            // The first does not either, then.
            Some(_) => return if mem::replace(&mut self.titles_change, true) { 1 } else { 2 },
        }
        0
    }
}

/// Whether a segment is AAC in ADTS, behind ID3 tags or not.
#[must_use]
pub fn is_adts(bytes: &[u8]) -> bool {
    codec(Tags::take(bytes).1) == Some(AudioCodec::Adts)
}

/// Whether a segment is packed audio that [`Demuxer`] reads: a frame of any of its codecs, behind ID3 tags or not.
#[must_use]
pub fn is_packed(bytes: &[u8]) -> bool {
    codec(Tags::take(bytes).1).is_some()
}

/// The extension that files of these frames have; `None` where [`is_packed`] is false.
#[must_use]
pub fn extension(bytes: &[u8]) -> Option<&'static str> {
    let (_, audio) = Tags::take(bytes);
    Some(match codec(audio)? {
        AudioCodec::Mpeg => "mp3",
        // bsid tells E-AC-3 (ETSI TS 102 366 annex E §E.1.3.1.6).
        AudioCodec::Dolby if audio.get(5).is_some_and(|byte| byte >> 3 > 10) => "ec3",
        AudioCodec::Dolby => "ac3",
        _ => "aac",
    })
}

/// Whose frame stands in front, and another behind it if it is that long.
fn codec(audio: &[u8]) -> Option<AudioCodec> {
    [AudioCodec::Adts, AudioCodec::Dolby, AudioCodec::Mpeg].into_iter().find(|codec| {
        let header = |bytes: Option<&[u8]>| match codec.parse(bytes?.get(..codec.least_header())?) {
            Found::Header(header) => Some(header),
            Found::More | Found::Nothing => None,
        };
        header(Some(audio)).is_some_and(|first| {
            let rest = audio.get(first.frame_len..).filter(|rest| rest.len() >= codec.least_header());
            rest.is_none() || header(rest).is_some()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AAC LC, 48 kHz, stereo: a header and `len` bytes of zeros.
    fn frame(len: u8) -> Vec<u8> {
        let whole = u16::from(len) + 7;
        let [high, low] = (whole << 5).to_be_bytes();
        [&[0xff, 0xf1, 0x4c, 0x80, high, low | 0x1f, 0xfc][..], &vec![0; len.into()]].concat()
    }

    fn tag(version: u8, stamp: u64) -> Vec<u8> {
        let content = [crate::id3::OWNER, &stamp.to_be_bytes()].concat();
        let size = u8::try_from(content.len()).unwrap();
        let frame = [&b"PRIV"[..], &[0, 0, 0, size, 0, 0], &content].concat();
        let size = u8::try_from(frame.len()).unwrap();
        [&b"ID3"[..], &[version, 0, 0, 0, 0, 0, size], &frame].concat()
    }

    fn times(segments: &[Vec<u8>]) -> (Vec<(i64, usize)>, Stats) {
        let mut demuxer = Demuxer::default();
        let mut events = Vec::new();
        segments.iter().for_each(|segment| demuxer.segment(segment, &mut events));
        let times = events
            .into_iter()
            .filter_map(|event| match event {
                Event::Sample { sample, .. } => Some((sample.dts, sample.data.len())),
                Event::Config { .. } => None,
            })
            .collect();
        (times, demuxer.stats().clone())
    }

    #[test]
    fn frames_count_from_the_stamp_of_their_segment() {
        let both = [frame(5), frame(6)].concat();
        for version in [3, 4] {
            let segments = [
                [tag(version, 90_000), both.clone()].concat(),
                [tag(version, 93_840), both.clone()].concat(),
                both.clone(),
            ];
            let (times, stats) = times(&segments);
            let expected = [(48_000, 5), (49_024, 6), (50_048, 5), (51_072, 6), (52_096, 5), (53_120, 6)];
            assert_eq!(times, expected);
            assert_eq!(stats, Stats::default());
        }
    }

    #[test]
    fn titles_are_of_the_whole_unless_they_change() {
        // ID3v2.4 frames §4.2.1.
        let title = |title: u8| [&b"ID3\x04\0\0\0\0\0\x0cTIT2\0\0\0\x02\0\0\0"[..], &[title]].concat();
        let other = b"ID3\x04\0\0\0\0\0\x0cTXXX\0\0\0\x02\0\0\0x".to_vec();
        for (fronts, whole, lost) in [
            (vec![tag(4, 0), title(b'A'), title(b'A')], Some("A"), None),
            (vec![tag(4, 0), title(b'A'), title(b'B'), title(b'B')], None, Some(3)),
            (vec![tag(4, 0), other.clone(), other], None, Some(2)),
        ] {
            let mut demuxer = Demuxer::default();
            for front in fronts {
                demuxer.segment(&[front, frame(5)].concat(), &mut Vec::new());
            }
            assert_eq!(demuxer.titles().and_then(|titles| titles.title.as_deref()), whole);
            assert_eq!(demuxer.stats().data_units.get(&DataKind::Id3).copied(), lost);
            assert!(!demuxer.stats().is_damaged());
        }
    }

    #[test]
    fn without_a_stamp_time_begins_at_zero() {
        assert_eq!(times(&[frame(5)]).0, [(0, 5)]);
        assert!(is_adts(&frame(5)) && is_adts(&[tag(4, 0), frame(5)].concat()));
        // MPEG audio is no ADTS, and AC-3 is neither.
        assert!(is_packed(&[0xff, 0xfb, 0x90, 0x64, 0, 0, 0, 0]) && is_packed(&[0x0b, 0x77, 0, 0, 0x14, 0x40, 0x40, 0]));
        assert!(!is_packed(b"ID3") && !is_packed(b"GET / HTTP/1.1"));
        assert!(!is_adts(&[0xff, 0xfb, 0x90, 0x64, 0, 0, 0, 0]) && !is_adts(b"ID3") && !is_adts(b""));
        assert_eq!(times(&[[tag(9, 0)[..10].to_vec(), frame(5)].concat()]).0, []);
    }

    #[test]
    fn a_frame_cut_short_is_dropped_and_counted() {
        let mut segment = [tag(4, 0), frame(5), frame(6)].concat();
        segment.pop();
        let (times, stats) = times(&[segment]);
        assert_eq!(times, [(0, 5)]);
        assert_eq!(stats.damaged_units, 1);
    }
}
