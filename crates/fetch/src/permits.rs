//! Leave to have requests open: how many at once, over all tracks and for each origin.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aqueduct_core::{Meter, SafeUrl};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use url::Position;

use crate::pace::Pace;

/// Origins that are remembered. A playlist may name any number of them.
const ORIGINS: usize = 64;

/// How many requests are open at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Concurrency {
    /// Always up to so many, over all tracks.
    Fixed(usize),
    /// As many as each origin is good for, learnt on the way from 4 on, and no more than `most` over all tracks.
    Auto {
        /// The bound.
        most: usize,
    },
}

impl Default for Concurrency {
    /// `Auto` with at most 32.
    fn default() -> Self {
        Self::Auto { most: 32 }
    }
}

/// Leave to have requests open: a bound over all tracks, of which one place is reserved for each, so that no track
/// waits for another's connections.
#[derive(Clone, Debug)]
pub struct Permits {
    gate: Arc<Gate>,
    lane: usize,
}

#[derive(Debug)]
struct Gate {
    /// The bound for each origin, where it is learnt.
    learn: Option<usize>,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    /// Whether the own place of each track is free.
    own: Vec<bool>,
    /// Places for any track that are free.
    shared: usize,
    origins: HashMap<Box<str>, Origin>,
}

#[derive(Debug)]
struct Origin {
    open: usize,
    finished: u64,
    pace: Pace,
    meter: Arc<Meter>,
}

impl Permits {
    /// Splits the places among `tracks`. Each gets at least one, even where there are fewer than that.
    pub fn split(concurrency: Concurrency, tracks: usize) -> Vec<Self> {
        let (total, learn) = match concurrency {
            Concurrency::Fixed(total) => (total, None),
            Concurrency::Auto { most } => (most, Some(most)),
        };
        let state = State {
            own: vec![true; tracks],
            shared: total.saturating_sub(tracks),
            origins: HashMap::new(),
        };
        let gate = Arc::new(Gate {
            learn,
            state: Mutex::new(state),
            freed: Notify::new(),
        });
        (0..tracks)
            .map(|lane| Self {
                gate: Arc::clone(&gate),
                lane,
            })
            .collect()
    }

    /// Waits for a place for a request to `url`. The track's own place waits for no origin: whatever the others do,
    /// each track gets on.
    pub(crate) async fn acquire(&self, url: &SafeUrl) -> Permit {
        let key = &url.url()[..Position::BeforePath];
        loop {
            let mut freed = std::pin::pin!(self.gate.freed.notified());
            freed.as_mut().enable();
            let again = match self.gate.lock().take(self.gate.learn, self.lane, key) {
                Taken::Place { own, meter } => {
                    return Permit {
                        gate: Arc::clone(&self.gate),
                        own: own.then_some(self.lane),
                        origin: meter.map(|meter| (key.into(), meter)),
                    };
                }
                Taken::Nothing(again) => again,
            };
            match again {
                Some(again) => tokio::select! {
                    () = freed => {}
                    () = sleep_until(again) => {}
                },
                None => freed.await,
            }
        }
    }
}

/// What became of a wish for a place.
enum Taken {
    Place {
        own: bool,
        meter: Option<Arc<Meter>>,
    },
    /// Not now; when a place may be free without another's being given back.
    Nothing(Option<Instant>),
}

impl State {
    fn take(&mut self, learn: Option<usize>, lane: usize, key: &str) -> Taken {
        let own = self.own[lane];
        let Some(most) = learn else {
            if !own && self.shared == 0 {
                return Taken::Nothing(None);
            }
            self.occupy(own, lane);
            return Taken::Place { own, meter: None };
        };
        if !self.origins.contains_key(key) {
            if self.origins.len() >= ORIGINS {
                self.origins.retain(|_, origin| origin.open > 0);
            }
            let origin = Origin {
                open: 0,
                finished: 0,
                pace: Pace::new(most),
                meter: Arc::default(),
            };
            self.origins.insert(key.into(), origin);
        }
        let Some(origin) = self.origins.get_mut(key) else {
            return Taken::Nothing(None);
        };
        origin.pace.look(&origin.meter, origin.finished, origin.open);
        if !own && self.shared == 0 {
            return Taken::Nothing(None);
        }
        if !own && origin.open >= origin.pace.limit() {
            return Taken::Nothing(Some(origin.pace.wants_more(&origin.meter)));
        }
        origin.open += 1;
        let meter = Some(Arc::clone(&origin.meter));
        self.occupy(own, lane);
        Taken::Place { own, meter }
    }

    fn occupy(&mut self, own: bool, lane: usize) {
        if own {
            self.own[lane] = false;
        } else {
            self.shared -= 1;
        }
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Permit {
    gate: Arc<Gate>,
    own: Option<usize>,
    origin: Option<(Box<str>, Arc<Meter>)>,
}

impl Permit {
    /// Where what is seen of the transfer is counted, if anybody wants to know.
    pub(crate) fn meter(&self) -> Option<&Arc<Meter>> {
        self.origin.as_ref().map(|(_, meter)| meter)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        {
            let mut state = self.gate.lock();
            match self.own {
                Some(lane) => state.own[lane] = true,
                None => state.shared += 1,
            }
            if let Some((key, _)) = &self.origin
                && let Some(origin) = state.origins.get_mut(key)
            {
                origin.open -= 1;
                origin.finished += 1;
                origin.pace.look(&origin.meter, origin.finished, origin.open);
            }
        }
        self.gate.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use url::Url;

    use super::*;

    fn url(text: &str) -> SafeUrl {
        Url::parse(text).unwrap().into()
    }

    /// As many places as there are without waiting.
    fn all(permits: &Permits, url: &SafeUrl) -> Vec<Permit> {
        std::iter::from_fn(
            || match std::pin::pin!(permits.acquire(url)).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(permit) => Some(permit),
                Poll::Pending => None,
            },
        )
        .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn every_track_has_a_place_of_its_own() {
        for concurrency in [Concurrency::Fixed(3), Concurrency::Auto { most: 3 }, Concurrency::Fixed(0)] {
            let lanes = Permits::split(concurrency, 2);
            let host = url("http://host.example/");
            let video = all(&lanes[0], &host);
            let audio = all(&lanes[1], &host);
            let expected = if concurrency == Concurrency::Fixed(0) { 1 } else { 2 };
            assert_eq!((video.len(), audio.len()), (expected, 1), "{concurrency:?}");
            drop(video);
            assert_eq!(
                all(&lanes[1], &host).len(),
                expected - 1,
                "{concurrency:?}: places of others are shared"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_origin_has_a_count_of_its_own_within_the_bound() {
        let lane = Permits::split(Concurrency::Auto { most: 10 }, 1).remove(0);
        let far = all(&lane, &url("http://far.example/a?b"));
        let near = all(&lane, &url("http://near.example:8080/"));
        let third = all(&lane, &url("https://far.example/"));
        assert_eq!([far.len(), near.len(), third.len()], [4, 4, 2]);
        drop(far);
        assert_eq!(all(&lane, &url("https://far.example/")).len(), 2);
        assert_eq!(all(&lane, &url("http://far.example/x")).len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_playlist_of_many_hosts_is_not_remembered() {
        let lane = Permits::split(Concurrency::default(), 1).remove(0);
        for host in 0..1000 {
            lane.acquire(&url(&format!("http://{host}.example/"))).await;
        }
        assert!(lane.gate.lock().origins.len() <= ORIGINS);
    }
}
