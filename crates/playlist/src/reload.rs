//! A live Media Playlist and its next version (rfc8216bis, 6.2.1 and 6.3.4).

use crate::media::MediaPlaylist;
use crate::segment::Segment;

/// What happened to a Media Playlist between two loads of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// The same segments as before. A client waits half a Target Duration before the next load (6.3.4).
    Unchanged,
    /// Segments came, or went, or both.
    Advanced,
    /// An earlier version, probably from a cache that is behind: its segments are known already.
    Stale,
    /// The Media Sequence Number moved backwards, and the segments are others: the origin began anew, and all
    /// segments are new.
    NewEpoch,
}

/// A comparison of two versions of a Media Playlist.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Reload<'p> {
    /// What happened.
    pub change: Change,
    /// The segments that are new, in their order.
    pub added: &'p [Segment],
    /// The segments of the earlier version that are no longer listed.
    pub removed: &'p [Segment],
    /// How many segments came and went unseen between the two versions: there are this many Media Sequence
    /// Numbers between the last segment before and the first one now.
    pub missed: u64,
    /// Whether there is an end now and was none before.
    pub ended: bool,
}

impl MediaPlaylist {
    /// Compares this version of a live playlist with `previous`, the one before. Delta updates have to be
    /// completed first, by [`parse_update`](crate::parse_update).
    ///
    /// Segments are the same if their Media Sequence Numbers are (6.2.2); where these moved backwards, the
    /// paths of the URIs tell an old version from a new beginning.
    pub fn compare<'p>(&'p self, previous: &'p Self) -> Reload<'p> {
        let (first, next) = bounds(self);
        let (old_first, old_next) = bounds(previous);
        let ended = self.end_list && !previous.end_list;
        let reload = |change, added, removed, missed| Reload {
            change,
            added,
            removed,
            missed,
            ended,
        };
        let backwards = first < old_first || next < old_next;
        if backwards && !previous.segments.is_empty() {
            return if self.overlap_agrees(previous) {
                reload(Change::Stale, &[], &[], 0)
            } else {
                reload(Change::NewEpoch, &self.segments, &previous.segments, 0)
            };
        }
        let added = tail(&self.segments, old_next.saturating_sub(first));
        let kept = usize::try_from(first.saturating_sub(old_first)).unwrap_or(usize::MAX);
        let removed = previous.segments.get(..kept).unwrap_or(&previous.segments);
        let missed = if previous.segments.is_empty() {
            0
        } else {
            first.saturating_sub(old_next)
        };
        let change = if added.is_empty() && removed.is_empty() && missed == 0 {
            Change::Unchanged
        } else {
            Change::Advanced
        };
        reload(change, added, removed, missed)
    }

    /// Whether there are segments of the same number in both, and all of them have the same path.
    fn overlap_agrees(&self, previous: &Self) -> bool {
        let (first, _) = bounds(self);
        let (old_first, _) = bounds(previous);
        let mine = tail(&self.segments, old_first.saturating_sub(first));
        let theirs = tail(&previous.segments, first.saturating_sub(old_first));
        let mut pairs = mine.iter().zip(theirs).peekable();
        pairs.peek().is_some() && pairs.all(|(a, b)| path(a) == path(b) && a.byte_range() == b.byte_range())
    }
}

/// The number of the first segment, and the one behind the last.
fn bounds(playlist: &MediaPlaylist) -> (u64, u64) {
    (playlist.first_number(), playlist.next_media_sequence_number())
}

/// The segments without the first `count`.
fn tail(segments: &[Segment], count: u64) -> &[Segment] {
    usize::try_from(count).ok().and_then(|n| segments.get(n..)).unwrap_or_default()
}

/// The URI without its query, in which signatures change from load to load.
fn path(segment: &Segment) -> &str {
    segment.uri_as_written().split(['?', '#']).next().unwrap_or_default()
}
