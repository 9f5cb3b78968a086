//! A subtitle Rendition as one WebVTT file.

use std::sync::{Arc, OnceLock};

use aqueduct_core::{Clear, Item, Mux, MuxError, Summary, TrackId, Write};
use aqueduct_media::time::{MPEG_HZ, rescale};
use aqueduct_media::webvtt::{Joiner, Segment};

use crate::checkpoint;

/// What the MPEG-TS clock of the stream shows at time 0 of the main output, in ticks of 90 kHz. The main muxer tells
/// it when the first media arrives, and a [`WebVtt`] on another thread counts its cues from there.
#[derive(Clone, Debug, Default)]
pub struct Origin(Arc<OnceLock<Option<i64>>>);

impl Origin {
    /// Tells the time, or that it is not known. The first word counts.
    pub(crate) fn tell(&self, ticks: Option<i64>) {
        // Told already: so it stays.
        let _ = self.0.set(ticks);
    }

    /// What was told so far.
    pub(crate) fn told(&self) -> Option<Option<i64>> {
        self.0.get().copied()
    }

    fn wait(&self) -> Option<i64> {
        *self.0.wait()
    }
}

/// Joins the WebVTT segments of one subtitle Rendition (RFC 8216, 3.5): cues that segments repeat stand once, and
/// times count from the start of the main output.
///
/// The text is kept until the end; subtitles of a film are some 100 KB.
#[derive(Debug, Default)]
pub struct WebVtt {
    joiner: Joiner,
    origin: Option<Origin>,
    /// What the first segment maps to time 0.
    first: Option<i64>,
    broken_cues: u64,
    /// The segments since the last checkpoint.
    fresh: Vec<Vec<u8>>,
}

impl WebVtt {
    /// A muxer that counts times from `origin`. Without one, or where it stays unknown, the first segment's
    /// `X-TIMESTAMP-MAP` says what time 0 is.
    pub fn new(origin: Option<Origin>) -> Self {
        Self { origin, ..Self::default() }
    }

    fn take(&mut self, segment: &[u8]) -> Result<(), MuxError> {
        let segment = Segment::parse(segment).map_err(|error| MuxError::Media {
            what: format!("not WebVTT: {error}"),
        })?;
        let mapped = i64::try_from(segment.map.mpegts).unwrap_or(0) - rescale(segment.map.local_ms, 1000, MPEG_HZ);
        self.first.get_or_insert(mapped);
        self.broken_cues += segment.broken_cues;
        self.joiner.push(&segment);
        Ok(())
    }
}

impl Mux for WebVtt {
    fn push(&mut self, _: TrackId, item: Item<Clear>, _: &mut Vec<Write>) -> Result<(), MuxError> {
        let payload = match item {
            Item::Segment { payload, .. } => payload,
            Item::Init { .. } => {
                return Err(MuxError::Unsupported {
                    what: "subtitles in fragmented MP4 are not read yet; --subs none leaves them out".into(),
                });
            }
            Item::Gap { .. } => return Ok(()),
        };
        self.take(payload.as_slice())?;
        self.fresh.push(payload.as_slice().to_vec());
        Ok(())
    }

    fn checkpoint(&mut self, state: &mut Vec<u8>) -> bool {
        let saved = checkpoint::save(&self.fresh, state);
        if saved {
            self.fresh.clear();
        }
        saved
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), MuxError> {
        let segments: Vec<Vec<u8>> = checkpoint::read(state)?;
        segments.iter().try_for_each(|segment| self.take(segment))
    }

    fn finish(&mut self, writes: &mut Vec<Write>) -> Result<Summary, MuxError> {
        let origin = self.origin.as_ref().and_then(Origin::wait).or(self.first).unwrap_or(0);
        writes.push(Write::append(self.joiner.to_vtt(origin).into_bytes()));
        let mut summary = Summary::new("WebVTT");
        if self.broken_cues > 0 {
            summary
                .notes
                .push(format!("{} cues with unreadable times left out", self.broken_cues));
        }
        Ok(summary)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aqueduct_core::{Data, Kind, Resource, Sealed, SegmentInfo};
    use url::Url;

    use super::*;

    fn push(muxer: &mut WebVtt, text: &str) -> Result<(), MuxError> {
        let resource = Resource::new(Kind::Segment, Url::parse("http://host.example/").unwrap());
        let info = Arc::new(SegmentInfo::new(TrackId::new(0), 0, Duration::from_secs(2), resource));
        let payload = Sealed::unbudgeted(text.as_bytes()).open(Ok::<_, MuxError>).unwrap();
        muxer.push(TrackId::new(0), Item::Segment { info, payload }, &mut Vec::new())
    }

    fn finish(mut muxer: WebVtt) -> String {
        let mut writes = Vec::new();
        muxer.finish(&mut writes).unwrap();
        writes
            .iter()
            .map(|write: &Write| match &write.data {
                Data::Owned(bytes) => String::from_utf8(bytes.clone()).unwrap(),
                Data::Clear(_) => unreachable!("text is made, not passed on"),
            })
            .collect()
    }

    #[test]
    fn times_count_from_the_start_of_the_main_output() {
        const SEGMENT: &str = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\n00:00:01.000 --> 00:00:02.000\nHello\n";
        // The first picture is due one second before the map's zero.
        let origin = Origin::default();
        origin.tell(Some(810_000));
        for (origin, time) in [
            (Some(origin), "00:00:02.000 --> 00:00:03.000"),
            (None, "00:00:01.000 --> 00:00:02.000"),
        ] {
            let mut muxer = WebVtt::new(origin);
            push(&mut muxer, SEGMENT).unwrap();
            push(&mut muxer, SEGMENT).unwrap();
            let text = finish(muxer);
            assert_eq!(text.matches(time).count(), 1, "{text}");
        }
    }

    #[test]
    fn an_origin_that_stays_unknown_does_not_hold_anybody_up() {
        let auto = crate::Container::Mp4.muxer();
        let mut muxer = WebVtt::new(Some(auto.origin()));
        drop(auto);
        push(&mut muxer, "WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n").unwrap();
        assert!(finish(muxer).contains("00:00:01.000 --> 00:00:02.000"));
    }

    #[test]
    fn what_is_no_webvtt_is_refused() {
        assert!(push(&mut WebVtt::default(), "<tt xmlns=\"http://www.w3.org/ns/ttml\"/>").is_err());
    }
}
