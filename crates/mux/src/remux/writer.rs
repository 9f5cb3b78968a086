//! The role of a container that is written sample by sample.

use std::fmt;

use aqueduct_core::{MuxError, Presentation, Write};
use aqueduct_media::{Error, Sample, TrackConfig, emsg::Message, packed::Titles};
use serde::{Serialize, de::DeserializeOwned};

/// In which order a writer gets the samples of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Track by track. The tracks of different streams may be apart by the length of a segment.
    ByTrack,
    /// By their decode times, over all tracks, and none before every stream has shown its tracks. A stream that stays
    /// behind is waited for while that takes no more than 30 seconds of media or 32 MiB, behind the first segment of each.
    ByTime,
}

/// Writes one container of samples that lie on one timeline: what [`Remux`](crate::Remux) drives.
///
/// Samples come in batches of about a second, each track's in decode order. What a method appends to `out` goes to the
/// end of the output, in the order of the calls.
///
/// A writer is serialised between two segments, so that another process can take it up. One whose state grows with the
/// output serialises what came since [`mark_saved`](Self::mark_saved) alone.
pub trait SampleWriter: fmt::Debug + Send + Serialize + DeserializeOwned + 'static {
    /// The container's name, for people.
    const CONTAINER: &'static str;
    /// The order that it needs.
    const ORDER: Order;
    /// Whether it has a place for messages beside the tracks. Without it they are counted.
    const MESSAGES: bool = false;

    /// Tells what is coming, before anything else, and whether [`WriteAt::Offset`] may be used.
    ///
    /// # Errors
    ///
    /// [`MuxError::Unsupported`] when the container cannot be written there, or cannot hold these tracks.
    ///
    /// [`WriteAt::Offset`]: aqueduct_core::WriteAt::Offset
    fn begin(&mut self, presentation: &Presentation, seekable: bool) -> Result<(), MuxError>;

    /// Tells that a track of text may come later than all others, and last as long as they do.
    fn expect_text(&mut self) {}

    /// Adds a track, and returns its number, counted from 0, or `None` where the file is to do without it. It may come
    /// at any time.
    ///
    /// # Errors
    ///
    /// [`MuxError`]: a codec that the container cannot hold.
    fn add_track(&mut self, config: &TrackConfig) -> Result<Option<usize>, MuxError>;

    /// Changes the codec parameters of what comes next in a track.
    ///
    /// # Errors
    ///
    /// [`MuxError`]: parameters that the container cannot change to.
    fn configure(&mut self, track: usize, config: &TrackConfig, out: &mut Vec<u8>) -> Result<(), MuxError>;

    /// Takes the next sample of a track. Decode times of a track grow.
    ///
    /// # Errors
    ///
    /// [`MuxError`]: a sample that the container cannot hold.
    fn add(&mut self, track: usize, sample: &Sample<&[u8]>, out: &mut Vec<u8>) -> Result<(), MuxError>;

    /// A batch ends.
    ///
    /// # Errors
    ///
    /// [`MuxError`]: samples that cannot be written together.
    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), MuxError>;

    /// Takes a message beside the tracks, whose time is on the timeline of the samples' presentation. It comes before the
    /// samples that are presented then, or soon after those before.
    fn message(&mut self, message: Message) {
        drop(message);
    }

    /// Takes what tags in the sound say of the whole, and says whether the file tells it.
    fn set_titles(&mut self, titles: &Titles) -> bool {
        let _ = titles;
        false
    }

    /// What waits of a track is forgotten, as media was passed over: what is written next is not written behind it.
    fn skip(&mut self, track: usize) {
        let _ = track;
    }

    /// Learns what stands behind the last sample of a finished file, single samples of which are written again.
    fn see_tail(&mut self, tail: &[u8]) {
        let _ = tail;
    }

    /// What is written next stands at `offset` of that file.
    fn stand_at(&mut self, offset: u64) {
        let _ = offset;
    }

    /// What is written next stands behind these bytes of that file.
    fn go_on_behind(&mut self, front: &[u8]) {
        let _ = front;
    }

    /// How many bytes in front, of those written so far, tell of the film as a whole: some of them are written when all is known.
    fn head(&self) -> u64 {
        0
    }

    /// What was serialised just now is safe.
    fn mark_saved(&mut self) {}

    /// Makes this, which was serialised after `earlier` was marked as saved, the whole.
    fn put_behind(&mut self, earlier: Self) {
        drop(earlier);
    }

    /// No more samples: appends to `writes` what completes the file, and to `notes` what is to be told of it.
    ///
    /// # Errors
    ///
    /// [`MuxError`]: a file that cannot be completed.
    fn finish(&mut self, writes: &mut Vec<Write>, notes: &mut Vec<String>) -> Result<(), MuxError>;
}

/// An error of the media crate as the role's.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn media(error: Error) -> MuxError {
    MuxError::Media { what: error.to_string() }
}
