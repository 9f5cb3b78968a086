//! Making single units again that depend on those in front of them: of an output whose samples of all tracks lie in the order of time,
//! or whose captions are read from the pictures.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_core::{Clear, GapCause, Item, Kind, Mux, MuxError, Presentation, Resource, SegmentInfo, TrackId, Write, WriteAt};
use url::Url;

use crate::{Auto, Fmp4, Mkv, Mp4, SampleWriter, Ts, reads_captions};

/// Makes the bytes of single units again, as their muxer wrote them into a finished output whose samples of all tracks lie in the
/// order of time, or whose captions are read from the pictures.
///
/// What a unit brings there depends on the first units of each track, which make the head and the clock of the file; on where its
/// period (Discontinuity Sequence Number) was put on the timeline, which the last units of the period before and the first of each
/// period tell; and on what waited of the units just in front of it, of each track. So it is given, in the order in which they
/// came: all units up to where each track has shown itself, and the others of these kinds. Where a track has units between two that it is
/// given, it is told to [`skip`](Self::skip) them. Nothing that it makes is to be trusted without a digest: captions, or times that
/// jump without notice, may depend on more.
#[derive(Debug)]
pub struct Replay {
    muxer: Auto,
    /// What stands behind the last sample, until there is a muxer that learns from it.
    tail: Option<Vec<u8>>,
    writes: Vec<Write>,
}

/// What a unit brought.
#[derive(Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replayed {
    /// All of it.
    pub bytes: Vec<u8>,
    /// How many of these bytes, in front, tell of the film as a whole: they were written over when all was known.
    pub head: usize,
}

impl Replay {
    /// What makes units again of an output that its muxer calls `form` ([`Summary::container`]) and that was wanted as
    /// `container` ([`Mux::identity`]), with these tracks in it; `None` where that is no form of this kind.
    ///
    /// # Errors
    ///
    /// Those of [`Mux::begin`].
    ///
    /// [`Summary::container`]: aqueduct_core::Summary::container
    pub fn new(form: &str, container: &str, presentation: &Presentation) -> Result<Option<Self>, MuxError> {
        let Some(mut muxer) = Self::muxer(form, container) else {
            return Ok(None);
        };
        muxer.begin(presentation, true)?;
        Ok(Some(Self {
            muxer,
            tail: None,
            writes: Vec::new(),
        }))
    }

    /// Whether such an output is of this kind.
    pub fn makes(form: &str, container: &str) -> bool {
        Self::muxer(form, container).is_some()
    }

    /// Whether nothing stands behind the last unit but samples that waited: no index.
    pub fn ends_with_samples(form: &str) -> bool {
        matches!(form, Ts::CONTAINER | Fmp4::CONTAINER)
    }

    fn muxer(form: &str, container: &str) -> Option<Auto> {
        let is_meant = form == Mkv::CONTAINER || Self::ends_with_samples(form) || (form == Mp4::CONTAINER && reads_captions(container));
        if is_meant { Auto::named(container) } else { None }
    }

    /// Learns what stands behind the last unit of the output, such as its index.
    pub fn see_tail(&mut self, tail: Vec<u8>) {
        self.tail = Some(tail);
    }

    /// So much of a track was passed over since its last unit, of which the last is of this period.
    ///
    /// # Errors
    ///
    /// [`MuxError`]: what came before is not what can have been there.
    pub fn skip(&mut self, track: TrackId, period: u64, passed: Duration) -> Result<(), MuxError> {
        let skipped = self.muxer.skip(track, Arc::new(info(track, period, passed)?), &mut self.writes);
        // It is of the units that are passed over.
        self.writes.clear();
        skipped
    }

    /// A unit of a track that never came stood here, of this period and so long.
    ///
    /// # Errors
    ///
    /// [`MuxError`], as for [`skip`](Self::skip).
    pub fn gap(&mut self, track: TrackId, period: u64, duration: Duration) -> Result<(), MuxError> {
        let gap = Item::Gap {
            info: Arc::new(info(track, period, duration)?),
            segments: 1,
            cause: GapCause::Tagged,
        };
        self.push(track, gap, None).map(drop)
    }

    /// What is made next stands behind these bytes of the output, as many as there are up to [`FRONT`](Self::FRONT): what is
    /// counted there goes on from them.
    pub fn go_on_behind(&mut self, front: &[u8]) {
        if let Some(chosen) = self.muxer.chosen() {
            chosen.go_on_behind(front);
        }
    }

    /// As many bytes in front of a unit, some seconds of media, tell what is counted.
    pub const FRONT: u64 = 8 << 20;

    /// Takes the next unit, and gives the bytes that it brings. Those of the output stand at `offset`, if that is known.
    ///
    /// # Errors
    ///
    /// [`MuxError`]: it is not what can have been there.
    pub fn push(&mut self, track: TrackId, item: Item<Clear>, offset: Option<u64>) -> Result<Replayed, MuxError> {
        let mut before = 0;
        if let Some(chosen) = self.muxer.chosen() {
            before = chosen.head();
            if let Some(tail) = self.tail.take() {
                chosen.see_tail(&tail);
            }
            if let Some(offset) = offset {
                chosen.stand_at(offset);
            }
        }
        let pushed = self.muxer.push(track, item, &mut self.writes);
        let bytes = self.written();
        pushed?;
        let head = self.muxer.chosen().map_or(0, |chosen| chosen.head()).saturating_sub(before);
        let head = usize::try_from(head).unwrap_or(usize::MAX).min(bytes.len());
        Ok(Replayed { bytes, head })
    }

    /// What the units that were pushed bring when no other follows, and what stands behind that.
    ///
    /// # Errors
    ///
    /// Those of [`Mux::finish`].
    pub fn finish(&mut self) -> Result<Vec<u8>, MuxError> {
        self.muxer.finish(&mut self.writes)?;
        Ok(self.written())
    }

    fn written(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for write in self.writes.drain(..).filter(|write| write.at == WriteAt::End) {
            bytes.extend_from_slice(write.data.as_slice());
        }
        bytes
    }
}

/// What is told of media that is not there.
fn info(track: TrackId, period: u64, duration: Duration) -> Result<SegmentInfo, MuxError> {
    let nowhere = Url::parse("data:,").map_err(|error| MuxError::Media { what: error.to_string() })?;
    let mut info = SegmentInfo::new(track, 0, duration, Resource::new(Kind::Segment, nowhere));
    info.discontinuity_sequence = period;
    Ok(info)
}
