//! Subtitle Renditions: from whatever they came in to cues, and from cues to a file.

mod captions;
mod origin;
mod reader;
mod shift;

use aqueduct_core::{Clear, Item, Mux, MuxError, Summary, TrackId, Write};
use aqueduct_media::webvtt::Cue;
use aqueduct_media::{cea608::Channel, srt, webvtt};
use serde::{Deserialize, Serialize};

pub(crate) use self::captions::{NO_PICTURES, elsewhere};
pub use self::origin::Origin;
pub(crate) use self::origin::Watch;
pub(crate) use self::reader::Reader;
use crate::checkpoint;

/// What a file of subtitles is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubtitleFormat {
    /// WebVTT: `.vtt`.
    #[default]
    WebVtt,
    /// SubRip: `.srt`.
    SubRip,
}

impl SubtitleFormat {
    /// The format of a file of subtitles beside a film, by what its muxer calls what it was asked for
    /// ([`Mux::identity`]).
    pub fn named(identity: &str) -> Option<Self> {
        [Self::WebVtt, Self::SubRip]
            .into_iter()
            .find(|format| format.identity() == identity)
    }

    fn identity(self) -> &'static str {
        match self {
            Self::WebVtt => "WebVTT",
            Self::SubRip => "SubRip",
        }
    }

    /// The extension of such a file.
    pub fn extension(self) -> &'static str {
        match self {
            Self::WebVtt => "vtt",
            Self::SubRip => "srt",
        }
    }
}

/// Writes one subtitle Rendition as a file: cues that segments repeat or cut stand once, and times count from the
/// start of the main output (RFC 8216, 3.5).
///
/// A cue is written when no later segment can change it any more, so little is kept in memory.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Subtitles {
    reader: Reader,
    #[serde(skip)]
    origin: Option<Origin>,
    writer: Writer,
}

#[derive(Debug, Serialize, Deserialize)]
enum Writer {
    WebVtt(webvtt::Writer),
    SubRip(srt::Writer),
}

impl Default for Writer {
    fn default() -> Self {
        Self::WebVtt(webvtt::Writer::default())
    }
}

impl Subtitles {
    /// A muxer that counts times from `origin`. Without one, or where it stays unknown, the first segment is time 0.
    pub fn new(format: SubtitleFormat, origin: Option<Origin>) -> Self {
        Self {
            origin,
            writer: match format {
                SubtitleFormat::WebVtt => Writer::WebVtt(webvtt::Writer::default()),
                SubtitleFormat::SubRip => Writer::SubRip(srt::Writer::default()),
            },
            ..Self::default()
        }
    }

    pub(crate) fn mark_saved(&mut self) {
        self.reader.mark_saved();
    }

    /// Makes this, which was serialised after `earlier` was marked as saved, the whole.
    pub(crate) fn put_behind(&mut self, earlier: Self) {
        self.reader.put_behind(earlier.reader);
        self.origin = earlier.origin;
    }

    /// The same for the captions inside a video, of which it takes the segments.
    #[must_use]
    pub fn of_captions(mut self, channel: Channel) -> Self {
        self.reader = Reader::of_captions(channel);
        self
    }

    /// The same with the name of what it holds, where the format has a place for that: WebVTT.
    #[must_use]
    pub fn titled(mut self, title: &str) -> Self {
        if let Writer::WebVtt(writer) = self.writer {
            self.writer = Writer::WebVtt(writer.titled(title));
        }
        self
    }

    fn write(&mut self, cues: &[Cue], writes: &mut Vec<Write>) {
        let text = match &mut self.writer {
            Writer::WebVtt(writer) => writer.cues(self.reader.blocks(), cues),
            Writer::SubRip(writer) => writer.cues(cues),
        };
        if !text.is_empty() {
            writes.push(Write::append(text.into_bytes()));
        }
    }
}

impl Mux for Subtitles {
    fn push(&mut self, _: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let mut cues = Vec::new();
        match item {
            Item::Init { payload, .. } => self.reader.init(payload.as_slice())?,
            Item::Segment { info, payload } => {
                let (period, window) = (info.discontinuity_sequence, self.reader.window(info.duration));
                let anchors = self.origin.as_ref().map(|origin| origin.wait(period, window));
                let anchors = anchors.unwrap_or_default();
                self.reader
                    .segment(period, info.duration, payload.as_slice(), &anchors, &mut cues)?;
            }
            gap @ Item::Gap { .. } => self.reader.gap(gap.duration()),
        }
        if !cues.is_empty() {
            self.write(&cues, writes);
        }
        Ok(())
    }

    fn identity(&self) -> String {
        let format = match self.writer {
            Writer::WebVtt(_) => SubtitleFormat::WebVtt,
            Writer::SubRip(_) => SubtitleFormat::SubRip,
        };
        format.identity().into()
    }

    fn checkpoint(&mut self, state: &mut Vec<u8>) -> bool {
        let saved = checkpoint::save(self, state);
        if saved {
            self.mark_saved();
        }
        saved
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), MuxError> {
        let earlier = std::mem::replace(self, checkpoint::read(state)?);
        self.put_behind(earlier);
        Ok(())
    }

    fn finish(&mut self, writes: &mut Vec<Write>) -> Result<Summary, MuxError> {
        let mut cues = Vec::new();
        self.reader.finish(&mut cues);
        self.write(&cues, writes);
        let mut summary = Summary::new(match self.writer {
            Writer::WebVtt(_) => "WebVTT",
            Writer::SubRip(_) => "SubRip",
        });
        self.reader.notes(&mut summary.notes);
        Ok(summary)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use aqueduct_core::{ClosedCaptions, Data, Kind, Presentation, Resource, Sealed, SegmentInfo, TrackKind};
    use url::Url;

    use super::*;
    use crate::subtitles::origin::Anchor;

    fn segment(msn: u64, period: u64, text: &[u8]) -> Item<Clear> {
        let resource = Resource::new(Kind::Segment, Url::parse("http://host.example/").unwrap());
        let mut info = SegmentInfo::new(TrackId::new(0), msn, Duration::from_secs(2), resource);
        info.discontinuity_sequence = period;
        let payload = Sealed::unbudgeted(text).open(Ok::<_, MuxError>).unwrap();
        Item::Segment {
            info: Arc::new(info),
            payload,
        }
    }

    fn text(writes: &[Write]) -> String {
        let bytes: Vec<u8> = writes.iter().flat_map(|write| write.data.as_slice().to_vec()).collect();
        assert!(writes.iter().all(|write| matches!(write.data, Data::Owned(_))));
        String::from_utf8(bytes).unwrap()
    }

    fn muxed(mut muxer: Subtitles, segments: &[(u64, &str)]) -> String {
        let mut writes = Vec::new();
        for (msn, (period, content)) in (0..).zip(segments) {
            muxer
                .push(TrackId::new(0), segment(msn, *period, content.as_bytes()), &mut writes)
                .unwrap();
        }
        muxer.finish(&mut writes).unwrap();
        text(&writes)
    }

    const MAPPED: &str = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\n00:00:01.000 --> 00:00:02.000\nHello\n";

    #[test]
    fn times_count_from_the_start_of_the_main_output() {
        // The first picture is due one second before the map's zero.
        let origin = Origin::default();
        origin.tell(
            0,
            Anchor {
                clock: 810_000,
                film_ms: 0,
            },
        );
        origin.reach(0, 60_000);
        for (origin, time) in [
            (Some(origin), "00:00:02.000 --> 00:00:03.000"),
            (None, "00:00:01.000 --> 00:00:02.000"),
        ] {
            let text = muxed(Subtitles::new(SubtitleFormat::WebVtt, origin), &[(0, MAPPED), (0, MAPPED)]);
            assert_eq!(text.matches(time).count(), 1, "{text}");
        }
    }

    #[test]
    fn each_period_counts_from_where_it_stands_in_the_main_output() {
        let origin = Origin::default();
        origin.tell(
            0,
            Anchor {
                clock: 900_000,
                film_ms: 0,
            },
        );
        origin.tell(1, Anchor { clock: 0, film_ms: 4000 });
        origin.reach(1, 60_000);
        let later = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n00:00:00.500 --> 00:00:01.000\nAgain\n";
        let text = muxed(
            Subtitles::new(SubtitleFormat::SubRip, Some(origin)),
            &[(0, MAPPED), (0, MAPPED), (1, later)],
        );
        assert_eq!(
            text,
            "1\n00:00:01,000 --> 00:00:02,000\nHello\n\n2\n00:00:04,500 --> 00:00:05,000\nAgain\n\n"
        );
    }

    #[test]
    fn an_origin_that_stays_unknown_does_not_hold_anybody_up() {
        let auto = crate::Container::Mp4.muxer();
        let muxer = Subtitles::new(SubtitleFormat::WebVtt, Some(auto.origin()));
        drop(auto);
        let text = muxed(muxer, &[(0, "WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n")]);
        assert!(text.contains("00:00:01.000 --> 00:00:02.000"), "{text}");
    }

    #[test]
    fn a_track_without_cues_is_a_file_without_cues() {
        assert_eq!(muxed(Subtitles::default(), &[(0, "")]), "WEBVTT\n\n");
        assert_eq!(muxed(Subtitles::new(SubtitleFormat::SubRip, None), &[(0, "WEBVTT")]), "");
    }

    #[test]
    fn a_muxer_that_was_put_aside_goes_on_as_if_nothing_had_been() {
        let segments: Vec<String> = (0..12)
            .map(|n| {
                format!(
                    "WEBVTT\n\nSTYLE\nx\n\n00:00:{:02}.000 --> 00:00:{:02}.500\n{n}\n\n00:01:00.000 --> 00:01:01.000\nlast",
                    4 * n,
                    4 * n + 4
                )
            })
            .collect();
        for format in [SubtitleFormat::WebVtt, SubtitleFormat::SubRip] {
            let whole: Vec<_> = segments.iter().map(|text| (0, text.as_str())).collect();
            let expected = muxed(Subtitles::new(format, None), &whole);
            assert_eq!(expected.matches("-->").count(), 13);
            let (mut writes, mut states) = (Vec::new(), Vec::<Vec<u8>>::new());
            for (msn, text) in (0..).zip(&segments) {
                // A new process for each segment.
                let mut muxer = Subtitles::new(format, None);
                for state in &states {
                    muxer.restore(state).unwrap();
                }
                muxer.push(TrackId::new(0), segment(msn, 0, text.as_bytes()), &mut writes).unwrap();
                let mut state = Vec::new();
                assert!(muxer.checkpoint(&mut state));
                states.push(state);
            }
            let mut muxer = Subtitles::new(format, None);
            for state in &states {
                muxer.restore(state).unwrap();
            }
            muxer.finish(&mut writes).unwrap();
            assert_eq!(text(&writes), expected);
        }
    }

    #[test]
    fn what_is_no_subtitles_is_refused() {
        for content in ["<html><body>", "\u{0}\u{1}", "{}"] {
            let item = segment(0, 0, content.as_bytes());
            assert!(
                Subtitles::default().push(TrackId::new(0), item, &mut Vec::new()).is_err(),
                "{content}"
            );
        }
    }

    #[test]
    fn captions_bear_the_name_that_the_playlist_has_for_their_channel() {
        let mut track = aqueduct_core::Track::new(TrackId::new(0), TrackKind::Main, "video");
        let mut german = ClosedCaptions::new("CC3", "Deutsch\r\n\r\nfür alle");
        german.language = Some("de".into());
        track.captions = vec![ClosedCaptions::new("CC1", ""), german];
        let presentation = Presentation::new(vec![track]);
        let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixture-server/media/high-ts/0.ts");
        let packets = std::fs::read(clip).unwrap();
        for (channel, format, head) in [
            (Channel::Cc3, SubtitleFormat::WebVtt, "WEBVTT Deutsch für alle (de)\n\n"),
            (Channel::Cc1, SubtitleFormat::WebVtt, "WEBVTT\n\n"),
            (Channel::Cc2, SubtitleFormat::WebVtt, "WEBVTT\n\n"),
            (Channel::Cc3, SubtitleFormat::SubRip, ""),
        ] {
            let mut muxer = crate::Container::Subtitles(format).muxer().with_captions(Some(channel));
            let mut writes = Vec::new();
            muxer.begin(&presentation, true).unwrap();
            muxer.push(TrackId::new(0), segment(0, 0, &packets), &mut writes).unwrap();
            muxer.finish(&mut writes).unwrap();
            let text: Vec<u8> = writes.iter().flat_map(|write| write.data.as_slice().to_vec()).collect();
            assert_eq!(String::from_utf8(text).unwrap(), head);
        }
    }
}
