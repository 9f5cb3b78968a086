//! The proxies that requests go through: which one a request takes, and what is told where it leads nowhere.
//!
//! As with curl, the `--proxy` of the user goes before those of the environment, and `NO_PROXY` passes by either.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use aqueduct_core::{BoxError, FetchError, TimeoutPhase};
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{ClientBuilder, NoProxy, Proxy};
use url::Url;

use crate::attempt::sources;
use crate::clients::unusable;
use crate::fetcher::Options;

/// The proxies in use.
pub(crate) struct Proxies {
    /// The one that the user gave, for all requests.
    given: Option<String>,
    /// Their hosts. A proxy resolves the names, and its address is the one that is connected to.
    hosts: Arc<[String]>,
    /// Which one a request takes, by the rules of the HTTP library.
    matcher: Matcher,
}

impl Proxies {
    /// That of the options, or else those of the environment.
    ///
    /// # Errors
    ///
    /// [`FetchError::Other`] for one that cannot be used.
    pub(crate) fn new(options: &Options, environment: Vec<String>) -> Result<Self, FetchError> {
        let mut given = options.proxy.clone();
        let mut proxies = given.clone().map_or(environment, |proxy| vec![proxy]);
        for proxy in &proxies {
            check(proxy)?;
        }
        let passed_by = passed_by();
        // The HTTP library takes it for all names, and for no address.
        if passed_by.split(',').any(|host| host.trim() == "*") {
            (given, proxies) = (None, Vec::new());
        }
        let matcher = match &given {
            Some(proxy) => Matcher::builder().all(proxy.clone()).no(passed_by).build(),
            None => Matcher::from_system(),
        };
        Ok(Self {
            given,
            hosts: proxies.iter().map(|proxy| host(proxy)).collect(),
            matcher,
        })
    }

    /// Their hosts, in lower case.
    pub(crate) fn hosts(&self) -> Arc<[String]> {
        Arc::clone(&self.hosts)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Whether one is on this host.
    pub(crate) fn is_on(&self, host: &str) -> bool {
        self.hosts.iter().any(|proxy| proxy == host)
    }

    /// Has a client use them, and no others.
    pub(crate) fn apply(&self, builder: ClientBuilder) -> Result<ClientBuilder, FetchError> {
        match &self.given {
            Some(proxy) => {
                let proxy = Proxy::all(proxy).map_err(unusable)?;
                Ok(builder.proxy(proxy.no_proxy(NoProxy::from_string(&passed_by()))))
            }
            // The library would ask some systems for proxies that are not known here, and whose addresses would count as
            // those of the servers behind.
            None if self.is_empty() => Ok(builder.no_proxy()),
            None => Ok(builder),
        }
    }

    /// Where no connection was made for `url`, says so of the proxy that it was to go through.
    pub(crate) fn blame(&self, url: &Url, error: FetchError) -> FetchError {
        let Some(proxy) = self.of(url) else { return error };
        let (url, source): (_, BoxError) = match error {
            FetchError::Connect { url, source } => (url, source),
            FetchError::Timeout {
                url,
                phase: TimeoutPhase::Connect,
                after,
            } => (url, format!("nothing came for {after:?}").into()),
            other => return other,
        };
        // The HTTP library tells it by its words alone: its types are not to be had.
        let reached = sources(&*source).map(ToString::to_string).any(|words| {
            let handshake = words.starts_with("tunnel error: ") || words.starts_with("SOCKS error: ");
            handshake && !words.ends_with("failed to create underlying connection")
        });
        let given = self.given.is_some();
        let source = NoWay {
            proxy,
            reached,
            given,
            source,
        }
        .into();
        FetchError::Connect { url, source }
    }

    /// Host and port of the proxy for a request, without user name and password.
    fn of(&self, url: &Url) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let proxy = self.matcher.intercept(&url.as_str().parse().ok()?)?;
        Some(proxy.uri().authority()?.to_string())
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxies").field(&self.hosts).finish()
    }
}

/// A proxy through which no connection came about.
#[derive(Debug)]
struct NoWay {
    proxy: String,
    reached: bool,
    given: bool,
    source: BoxError,
}

impl fmt::Display for NoWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { proxy, .. } = self;
        let what = if self.reached {
            "makes no connection to the server"
        } else {
            "cannot be reached"
        };
        let named = if self.given {
            "--proxy names it"
        } else {
            "the environment names it (http_proxy, https_proxy, all_proxy)"
        };
        write!(f, "the proxy {proxy} {what}; {named}, and NO_PROXY names hosts that do without")
    }
}

impl Error for NoWay {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// The hosts and networks that do without a proxy, as the environment says. The HTTP library asks in this order.
fn passed_by() -> String {
    let variable = |name| std::env::var(name).ok();
    variable("NO_PROXY").or_else(|| variable("no_proxy")).unwrap_or_default()
}

/// The proxies that the environment names, as the HTTP library reads it.
pub(crate) fn of_environment() -> Vec<String> {
    ["http_proxy", "https_proxy", "all_proxy"]
        .into_iter()
        .flat_map(|name| [name.to_owned(), name.to_uppercase()])
        .filter_map(|name| std::env::var(name).ok())
        .filter(|proxy| !proxy.is_empty())
        .collect()
}

/// The host of a proxy's address, which may lack its scheme.
pub(crate) fn host(proxy: &str) -> String {
    let rest = proxy.split_once("://").map_or(proxy, |(_, rest)| rest);
    let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let name = match rest.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => rest,
    };
    name.to_ascii_lowercase()
}

/// Proxies that the HTTP library knows. It passes over others without a word, and goes out directly.
fn check(proxy: &str) -> Result<(), FetchError> {
    const SCHEMES: [&str; 6] = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];
    let scheme = proxy.split_once("://").map_or("http", |(scheme, _)| scheme).to_ascii_lowercase();
    if SCHEMES.contains(&scheme.as_str()) {
        return Proxy::all(proxy).map(drop).map_err(unusable);
    }
    Err(FetchError::Other(
        format!("a proxy of scheme {scheme:?} is not known: use {}", SCHEMES.join(", ")).into(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_proxy_is_found() {
        for (proxy, name) in [
            ("http://user:pa@ss@Proxy.lan:3128/", "proxy.lan"),
            ("socks5h://127.0.0.1:9050", "127.0.0.1"),
            ("proxy.lan", "proxy.lan"),
            ("proxy.lan:80", "proxy.lan"),
            ("http://[::1]:80", "[::1]"),
            ("http://[::1]", "[::1]"),
        ] {
            assert_eq!(host(proxy), name, "{proxy}");
        }
    }
}
