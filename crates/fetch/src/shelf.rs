//! One answer for many ranges: where a server ignores `Range` and sends the whole each time, or fails at ranges, the
//! ranges of a resource are cut from one answer, in ascending order, so that the whole comes down once.
//!
//! Whoever wants a range is known here from before the request on, with its offset. Once a server is seen to send
//! the whole, the one with the lowest offset goes first; it reads its range and leaves the answer open for the next.
//! Nobody waits for more than those before it and the network: the memory for a range is taken before its [`Interest`].

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aqueduct_core::{Resource, SafeUrl};
use tokio::sync::Notify;

use crate::reader::Reader;

/// Resources that are remembered while nobody wants any of them.
const RESOURCES: usize = 16;

/// The shelf of each resource.
#[derive(Debug, Default)]
pub(crate) struct Shelves(Mutex<HashMap<Key, Arc<Shelf>>>);

/// Who named a resource is part of it: policy may tell them apart.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key(SafeUrl, Option<SafeUrl>);

impl Shelves {
    /// Makes it known that a range of `resource` from `offset` on is wanted.
    pub(crate) fn interest(&self, resource: &Resource, offset: u64) -> Interest {
        let mut shelves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Key(resource.url.clone(), resource.named_by.clone());
        if shelves.len() >= RESOURCES && !shelves.contains_key(&key) {
            shelves.retain(|_, shelf| !shelf.lock().wanted.is_empty());
        }
        let shelf = Arc::clone(shelves.entry(key).or_default());
        Interest::new(shelf, offset)
    }
}

#[derive(Debug, Default)]
struct Shelf {
    state: Mutex<State>,
    changed: Notify,
}

/// What a server does about the ranges of a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ranges {
    /// Nobody knows yet.
    #[default]
    Unknown,
    /// It sends them.
    Sent,
    /// It sends the whole.
    Ignored,
    /// It fails at them, and sends the whole where none is asked for.
    Failed,
}

#[derive(Debug, Default)]
struct State {
    ranges: Ranges,
    /// The offsets that are wanted, each with a number of its own.
    wanted: BTreeSet<(u64, u64)>,
    numbers: u64,
    /// Whether somebody has the turn.
    taken: bool,
    /// The answer that the next range is cut from.
    open: Option<Reader>,
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A range that is wanted; dropping it lets those behind go on.
#[derive(Debug)]
pub(crate) struct Interest {
    shelf: Arc<Shelf>,
    place: (u64, u64),
}

impl Interest {
    fn new(shelf: Arc<Shelf>, offset: u64) -> Self {
        let place = {
            let mut state = shelf.lock();
            let place = (offset, state.numbers);
            state.numbers += 1;
            state.wanted.insert(place);
            place
        };
        Self { shelf, place }
    }

    /// The same for the range that begins at `offset`.
    pub(crate) fn behind(&self, offset: u64) -> Self {
        Self::new(Arc::clone(&self.shelf), offset)
    }

    /// What the server does about ranges, as far as is known.
    pub(crate) fn ranges(&self) -> Ranges {
        self.shelf.lock().ranges
    }

    /// Tells what the server does about ranges.
    pub(crate) fn learn(&self, ranges: Ranges) {
        let mut state = self.shelf.lock();
        // One range that failed is no news of a server that sends others.
        let known = state.ranges == Ranges::Sent && ranges == Ranges::Failed;
        if state.ranges != ranges && !known {
            state.ranges = ranges;
            state.open = None;
            self.shelf.changed.notify_waiters();
        }
    }

    /// Waits for the turn at the one answer. `None`, at once, where the server sends ranges.
    pub(crate) async fn turn(&self) -> Option<Turn> {
        loop {
            let mut changed = std::pin::pin!(self.shelf.changed.notified());
            changed.as_mut().enable();
            {
                let mut state = self.shelf.lock();
                if !matches!(state.ranges, Ranges::Ignored | Ranges::Failed) {
                    return None;
                }
                if !state.taken && state.wanted.first() == Some(&self.place) {
                    state.taken = true;
                    return Some(Turn {
                        shelf: Arc::clone(&self.shelf),
                        open: state.open.take(),
                    });
                }
            }
            changed.await;
        }
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.shelf.lock().wanted.remove(&self.place);
        self.shelf.changed.notify_waiters();
    }
}

/// The turn at the one answer; dropping it hands both on.
#[derive(Debug)]
pub(crate) struct Turn {
    shelf: Arc<Shelf>,
    /// The answer, if one is open.
    pub(crate) open: Option<Reader>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        {
            let mut state = self.shelf.lock();
            state.taken = false;
            state.open = self.open.take();
        }
        self.shelf.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use aqueduct_core::Kind;
    use url::Url;

    use super::*;

    fn turn(interest: &Interest) -> Poll<Option<Turn>> {
        std::pin::pin!(interest.turn()).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn resource(path: &str) -> Resource {
        Resource::new(Kind::Segment, Url::parse("http://host.example/").unwrap().join(path).unwrap())
    }

    #[test]
    fn the_lowest_offset_goes_first_and_one_at_a_time() {
        let shelves = Shelves::default();
        let film = resource("film");
        let (second, first) = (shelves.interest(&film, 100), shelves.interest(&film, 0));
        assert!(matches!(turn(&second), Poll::Ready(None)), "ranges are sent as far as is known");
        second.learn(Ranges::Ignored);
        assert!(turn(&second).is_pending());
        let Poll::Ready(Some(at_it)) = turn(&first) else {
            panic!("the first goes first")
        };
        let earlier = first.behind(0);
        drop(first);
        assert!(turn(&second).is_pending() && turn(&earlier).is_pending(), "somebody is at it");
        drop(at_it);
        assert!(turn(&second).is_pending(), "one before it is wanted still");
        drop(earlier);
        assert!(matches!(turn(&second), Poll::Ready(Some(_))));
        assert!(matches!(turn(&shelves.interest(&resource("other"), 0)), Poll::Ready(None)));
    }

    #[test]
    fn a_server_that_sends_ranges_does_not_fail_at_them() {
        let shelves = Shelves::default();
        let interests: Vec<_> = (0..2).map(|at| shelves.interest(&resource("film"), at)).collect();
        for (ranges, free) in [(Ranges::Sent, true), (Ranges::Failed, true), (Ranges::Ignored, false)] {
            interests[0].learn(ranges);
            assert_eq!(matches!(turn(&interests[1]), Poll::Ready(None)), free, "{ranges:?}");
        }
    }

    #[test]
    fn a_playlist_of_many_resources_is_not_remembered() {
        let shelves = Shelves::default();
        let kept = shelves.interest(&resource("kept"), 0);
        kept.learn(Ranges::Ignored);
        for number in 0..1000 {
            shelves.interest(&resource(&number.to_string()), 0);
        }
        assert!(shelves.0.lock().unwrap().len() <= RESOURCES);
        assert!(matches!(turn(&shelves.interest(&resource("kept"), 1)), Poll::Pending));
    }
}
