//! The HTTP clients: one for each reach, so that no connection is used by a request that could not have made it.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use aqueduct_core::FetchError;
use reqwest::dns::Resolve;
use reqwest::{Client, ClientBuilder};
use rustls::ClientConfig;
use url::{Origin, Url};

use crate::address::Space;
use crate::fetcher::Options;
use crate::proxy::{self, Proxies};
use crate::resolver::{Guard, LookedUp, System};
use crate::tls;

/// The largest head of an answer over HTTP/2, in bytes (RFC 9113, 6.5.2). Over HTTP/1.1 hyper has bounds of its own.
const HEADER_LIST_BYTES: u32 = 64 << 10;

/// What an HTTP/2 server may send of one answer before somebody takes it, in bytes.
const STREAM_WINDOW: u32 = 1 << 20;

/// The same for all answers of a connection. It must hold a window of each: an answer that waits, for memory or for its
/// turn, must not keep those from arriving that it waits for.
const CONNECTION_WINDOW: u32 = 512 << 20;

/// Origins that have a client of their own, at most, in one reach. Beyond that all of them begin anew.
const OWN: usize = 64;

/// Clients, made when they are first needed. An origin that fell silent gets another one, of its own: the connections to it end
/// with the last answers that are open on them, and those to other origins are kept.
pub(crate) struct Clients {
    options: Options,
    tls: ClientConfig,
    resolver: Arc<dyn Resolve>,
    proxies: Proxies,
    looked_up: Arc<LookedUp>,
    by_reach: [Mutex<Current>; 4],
}

/// The clients that are in use.
#[derive(Debug, Default)]
struct Current {
    /// That of all origins that never fell silent.
    shared: Option<Client>,
    own: HashMap<Origin, Own>,
    /// How many clients were given up.
    generation: u64,
}

/// The client of an origin that fell silent.
#[derive(Debug)]
struct Own {
    generation: u64,
    client: Option<Client>,
}

/// The connections that a request could use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool {
    reach: Space,
    /// That of the origin's own client; nothing for the one that it shares.
    generation: Option<u64>,
}

impl Clients {
    /// Clients over the system's name resolution.
    pub(crate) fn new(options: &Options) -> Result<Self, FetchError> {
        Self::over(options, proxy::of_environment(), Arc::new(System))
    }

    /// Clients in another environment, over another name resolution.
    pub(crate) fn over(options: &Options, environment: Vec<String>, resolver: Arc<dyn Resolve>) -> Result<Self, FetchError> {
        let mut clients = Self {
            options: options.clone(),
            tls: tls::config(&options.insecure)?,
            resolver,
            proxies: Proxies::new(options, environment)?,
            looked_up: Arc::default(),
            by_reach: Default::default(),
        };
        // What cannot be used is told now, and not with the first request.
        let first = clients.builder(Space::Machine)?.build().map_err(unusable)?;
        let nearest = &mut clients.by_reach[Space::Machine as usize];
        nearest.get_mut().unwrap_or_else(PoisonError::into_inner).shared = Some(first);
        Ok(clients)
    }

    /// The proxies that requests go through.
    pub(crate) fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// How near the server is whose answer came from `address`, if that can be told. Where there is a proxy, the address may be
    /// the proxy's, but not that of a name that was looked up here.
    pub(crate) fn space(&self, url: &Url, address: Option<SocketAddr>) -> Option<Space> {
        if self.proxies.is_empty() {
            address.map(|address| Space::of(address.ip()))
        } else {
            self.looked_up.space(url.host_str()?)
        }
    }

    /// The client for a request to `url` that may connect as near as `reach`.
    pub(crate) fn get(&self, reach: Space, url: &Url) -> Result<(Client, Pool), FetchError> {
        let mut current = self.by_reach[reach as usize].lock().unwrap_or_else(PoisonError::into_inner);
        let Current { shared, own, .. } = &mut *current;
        let own = if own.is_empty() { None } else { own.get_mut(&url.origin()) };
        let generation = own.as_ref().map(|own| own.generation);
        let place = own.map_or(shared, |own| &mut own.client);
        let client = match place {
            Some(client) => client.clone(),
            None => place.insert(self.builder(reach)?.build().map_err(unusable)?).clone(),
        };
        Ok((client, Pool { reach, generation }))
    }

    /// No new request to the origin of `url` uses these connections: one of them fell silent. Over HTTP/2 the next try would
    /// share it, and over HTTP/1.1 it might get another that died with it.
    pub(crate) fn retire(&self, pool: Pool, url: &Url) {
        let mut current = self.by_reach[pool.reach as usize].lock().unwrap_or_else(PoisonError::into_inner);
        let origin = url.origin();
        // Requests that fell silent together want one fresh client, and not one each.
        if current.own.get(&origin).map(|own| own.generation) != pool.generation {
            return;
        }
        if current.own.len() == OWN && !current.own.contains_key(&origin) {
            current.own.clear();
            current.shared = None;
        }
        current.generation += 1;
        let generation = current.generation;
        current.own.insert(origin, Own { generation, client: None });
    }

    fn builder(&self, reach: Space) -> Result<ClientBuilder, FetchError> {
        let options = &self.options;
        let guard = Guard {
            reach,
            proxies: self.proxies.hosts(),
            looked_up: Arc::clone(&self.looked_up),
            inner: Arc::clone(&self.resolver),
        };
        let builder = Client::builder()
            .user_agent(&options.user_agent)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(options.timeout)
            .pool_max_idle_per_host(64)
            // A connection that is dead is told from an answer that takes long, before the patience with that ends.
            .http2_keep_alive_interval(options.timeout / 3)
            .http2_keep_alive_timeout(options.timeout / 2)
            .http2_keep_alive_while_idle(true)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .tls_backend_preconfigured(self.tls.clone())
            .http2_max_header_list_size(HEADER_LIST_BYTES)
            .dns_resolver(guard);
        self.proxies.apply(builder)
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("proxies", &self.proxies).finish_non_exhaustive()
    }
}

/// What the HTTP library says of options that it cannot use.
pub(crate) fn unusable(error: reqwest::Error) -> FetchError {
    // The library's message repeats the URL, secrets and all.
    FetchError::Other(error.without_url().into())
}
