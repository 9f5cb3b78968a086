//! What became of the requests of a job: since when nothing succeeds, and which servers do not answer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aqueduct_core::SafeUrl;
use tokio::time::Instant;
use url::Origin;

use crate::retry::LONGEST_WAIT;

/// Servers that are remembered.
const MOST_SERVERS: usize = 256;

/// What others have too is not asked for again for so long where nothing answered.
const LEFT: Duration = Duration::from_secs(30);

/// The servers of a job, by what became of its requests.
#[derive(Debug, Default)]
pub(crate) struct Outage(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Over all requests.
    job: Option<Failing>,
    servers: HashMap<Origin, Server>,
}

/// What is known of one server.
#[derive(Debug, Default)]
struct Server {
    answered: bool,
    unreached: Option<Failing>,
    left: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    since: Instant,
    last: Instant,
}

impl Failing {
    /// Something failed once more: says since when it does.
    fn lasted(failing: &mut Option<Self>) -> Duration {
        let now = Instant::now();
        // Between failures that lie far apart nothing was asked for.
        let since = match *failing {
            Some(before) if now - before.last <= 2 * LONGEST_WAIT => before.since,
            _ => now,
        };
        *failing = Some(Self { since, last: now });
        now - since
    }
}

impl State {
    fn server(&mut self, url: &SafeUrl) -> Option<&mut Server> {
        let (origin, full) = (url.url().origin(), self.servers.len() >= MOST_SERVERS);
        match self.servers.entry(origin) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(place) => (!full).then(|| place.insert(Server::default())),
        }
    }
}

impl Outage {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This server answered.
    pub(crate) fn end(&self, url: &SafeUrl) {
        let mut state = self.state();
        state.job = None;
        if let Some(server) = state.server(url) {
            *server = Server {
                answered: true,
                ..Server::default()
            };
        }
    }

    /// Something failed: says since when everything does.
    pub(crate) fn lasted(&self) -> Duration {
        Failing::lasted(&mut self.state().job)
    }

    /// This server could not be reached: says since when it cannot, if it has answered before.
    pub(crate) fn absent(&self, url: &SafeUrl) -> Option<Duration> {
        let mut state = self.state();
        let server = state.server(url).filter(|server| server.answered)?;
        Some(Failing::lasted(&mut server.unreached))
    }

    /// Nothing answers here.
    pub(crate) fn leave(&self, url: &SafeUrl) {
        if let Some(server) = self.state().server(url) {
            server.left = Some(Instant::now());
        }
    }

    /// Whether nothing answered here just now.
    pub(crate) fn is_left(&self, url: &SafeUrl) -> bool {
        let left = self.state().server(url).and_then(|server| server.left);
        left.is_some_and(|left| left.elapsed() < LEFT)
    }
}
