//! One request, with its redirects: each hop is judged and gets its headers anew.

use std::time::Duration;

use aqueduct_core::{FetchError, Resource, SafeUrl, TimeoutPhase};
use percent_encoding::{CONTROLS, percent_encode};
use reqwest::{Response, StatusCode, header};
use tokio::time::timeout;
use url::Url;

use crate::address::Space;
use crate::attempt::classify;
use crate::clients::Pool;
use crate::coding;
use crate::fetcher::HttpFetcher;
use crate::headers::{self, Hop};

/// A connection has as much time as an answer, and begins a moment later: it is heard first.
const GRACE: Duration = Duration::from_millis(50);

/// An answer, of which the head is here.
pub(crate) struct Answer {
    pub(crate) url: SafeUrl,
    pub(crate) response: Response,
    /// Where its connection is from.
    pub(crate) pool: Pool,
}

/// Sends the request, with these values of `Range` and `If-Range`, and follows redirects under the same rules. `coded` says
/// whether the answer may come in a content coding.
pub(crate) async fn send(
    fetcher: &HttpFetcher,
    resource: &Resource,
    coded: bool,
    range: Option<&str>,
    if_range: Option<&str>,
) -> Result<Answer, FetchError> {
    let options = &fetcher.options;
    let mut url = resource.url.clone();
    let mut named_by = resource.named_by.clone();
    for _ in 0..=options.max_redirects {
        let reach = fetcher.policy.check(named_by.as_ref(), &url)?;
        if reach != Space::Machine && names_a_proxy(fetcher, named_by.as_ref(), &url) {
            return Err(FetchError::Refused {
                url,
                reason: "it is the host of a proxy, and a document of another names it; --allow-private permits it".into(),
            });
        }
        let hop = Hop {
            url: &url,
            named_by: named_by.as_ref(),
            referrer: resource.referrer.as_ref(),
            range: range.map(|range| (range, if_range)),
        };
        let mut headers = headers::of(options, &hop)?;
        // Media is asked for as it is, so that lengths and ranges mean what they say. Nothing would leave that to the server
        // (RFC 9110, 12.5.3).
        let accepted = header::HeaderValue::from_static(if coded { coding::ACCEPTED } else { "identity" });
        headers.entry(header::ACCEPT_ENCODING).or_insert(accepted);
        let (client, pool) = fetcher.clients.get(reach, url.url())?;
        let request = client.get(bare(&url)).headers(headers);
        let response = match timeout(options.timeout.saturating_add(GRACE), request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let error = classify(&url, error, 0, None, options.timeout);
                return Err(fetcher.clients.proxies().blame(url.url(), error));
            }
            Err(_) => {
                fetcher.clients.retire(pool, url.url());
                return Err(FetchError::Timeout {
                    url,
                    phase: TimeoutPhase::FirstByte,
                    after: options.timeout,
                });
            }
        };
        if let Some(space) = fetcher.clients.space(url.url(), response.remote_addr()) {
            fetcher.policy.connected(named_by.as_ref(), &url, space)?;
        }
        options.cookies.store(url.url(), response.headers().get_all(header::SET_COOKIE));
        if !is_redirect(response.status()) {
            return Ok(Answer { url, response, pool });
        }
        let Some(location) = response.headers().get(header::LOCATION) else {
            return Err(FetchError::Invalid {
                url,
                what: format!("redirect ({}) without a Location", response.status()),
            });
        };
        // Many write it as it is, in UTF-8 or another encoding: its bytes are what the server wants back.
        let location = percent_encode(location.as_bytes(), CONTROLS).to_string();
        let next = match url.url().join(&location) {
            Ok(mut next) => {
                if next.fragment().is_none() {
                    next.set_fragment(url.url().fragment());
                }
                SafeUrl::from(next)
            }
            Err(_) => {
                return Err(FetchError::Invalid {
                    url,
                    what: "redirect to something that is no URL".into(),
                });
            }
        };
        fetcher.policy.check_redirect(&url, &next)?;
        tracing::debug!(from = %url, to = %next, "redirected");
        // Where a redirect leads is what the server says, not what the user gave.
        named_by = Some(std::mem::replace(&mut url, next));
    }
    Err(FetchError::Invalid {
        url,
        what: format!("more than {} redirects", options.max_redirects),
    })
}

/// Whether a document names the host of a proxy that is not its own. Its name is resolved to wherever it is, because the
/// user chose it: nobody else may make use of that where the proxy itself is passed by.
fn names_a_proxy(fetcher: &HttpFetcher, named_by: Option<&SafeUrl>, url: &SafeUrl) -> bool {
    let host = url.url().host_str();
    host.is_some_and(|host| fetcher.clients.proxies().is_on(host)) && named_by.and_then(|by| by.url().host_str()) != host
}

/// The URL without user name and password: they are a header by now, and the HTTP library would make one again.
fn bare(url: &SafeUrl) -> Url {
    let mut bare = url.url().clone();
    // These fail only for URLs that have no host.
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    bare
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aqueduct_core::{Fetch, Grant, Kind, Limits};
    use fixture_server::{Config, Fault, Rule, Server};

    use super::*;
    use crate::clients::Clients;
    use crate::fetcher::Options;
    use crate::resolver::tests::Scripted;

    /// A fetcher for which every name has these addresses, answer by answer.
    fn fetcher(answers: &[&[&str]]) -> HttpFetcher {
        let options = Options {
            retries: 0,
            ..Options::default()
        };
        let mut fetcher = HttpFetcher::new(options).unwrap();
        fetcher.clients = Clients::over(&fetcher.options, Vec::new(), Arc::new(Scripted::new(answers))).unwrap();
        fetcher
    }

    fn server() -> Server {
        let to = |to: &str| Fault::Redirect {
            status: 302,
            to: to.into(),
        };
        Server::start(Config {
            files: [("/f".to_owned(), "x".into())].into(),
            rules: vec![Rule::new("/to-address", to("{{origin}}/f")), Rule::new("/to-self", to("/f"))],
            ..Config::default()
        })
        .unwrap()
    }

    async fn fetch(fetcher: &HttpFetcher, named_by: Option<&str>, url: &str) -> Result<(), FetchError> {
        let url = Url::parse(url).unwrap();
        let resource = match named_by {
            Some(by) => Resource::new(Kind::Document, Url::parse(by).unwrap()).names(Kind::Segment, url),
            None => Resource::new(Kind::Segment, url),
        };
        fetcher
            .fetch(&resource, Grant::unbudgeted(&resource, &Limits::default()))
            .await
            .map(drop)
    }

    #[tokio::test]
    async fn a_name_gains_nothing_by_its_addresses() {
        let server = server();
        let port = Url::parse(server.origin()).unwrap().port().unwrap();
        let at = |path: &str| format!("http://moves.example:{port}{path}");
        let page = "http://public.example/page";
        for answers in [
            &[&["127.0.0.1"] as &[&str]],
            &[&["10.0.0.1", "127.0.0.1", "::1"]],
            &[&["::ffff:127.0.0.1", "64:ff9b::7f00:1"]],
            &[&["169.254.169.254"]],
            &[&["0.0.0.0"]],
        ] {
            let error = fetch(&fetcher(answers), Some(page), &at("/f")).await.unwrap_err();
            assert!(matches!(error, FetchError::Refused { .. }), "{answers:?}: {error:?}");
        }
        // A page that was public when it was read, and whose own name is this machine's now.
        let moved = fetcher(&[&["127.0.0.1"]]);
        let own = Url::parse(&at("/page")).unwrap().into();
        moved.policy.connected(None, &own, Space::Public).unwrap();
        let error = fetch(&moved, Some(&at("/page")), &at("/f")).await.unwrap_err();
        assert!(matches!(error, FetchError::Refused { .. }), "{error:?}");
        assert_eq!(server.stats().read(fixture_server::Tally::requests), 0, "nobody was asked");
    }

    #[tokio::test]
    async fn the_host_of_a_proxy_is_for_the_user_to_name() {
        let options = Options {
            retries: 0,
            proxy: Some("http://proxy.example:1/".into()),
            ..Options::default()
        };
        let mut fetcher = HttpFetcher::new(options).unwrap();
        let near: &[&[&str]] = &[&["127.0.0.1"]];
        fetcher.clients = Clients::over(&fetcher.options, Vec::new(), Arc::new(Scripted::new(near))).unwrap();
        for (named_by, refused) in [
            (Some("http://public.example/"), true),
            (Some("http://proxy.example:8080/"), false),
            (None, false),
        ] {
            let error = fetch(&fetcher, named_by, "http://proxy.example:8080/f").await.unwrap_err();
            assert_eq!(matches!(error, FetchError::Refused { .. }), refused, "{named_by:?}: {error:?}");
        }
    }

    #[tokio::test]
    async fn what_no_proxy_looks_up_is_as_near_as_without_one() {
        let server = server();
        let port = Url::parse(server.origin()).unwrap().port().unwrap();
        let at = |path: &str| format!("http://near.example:{port}{path}");
        let options = Options {
            retries: 0,
            ..Options::default()
        };
        let mut fetcher = HttpFetcher::new(options).unwrap();
        let near: &[&[&str]] = &[&["127.0.0.1"]];
        // It is for other addresses, as `https_proxy` names one.
        let environment = vec!["http://proxy.example:1".into()];
        fetcher.clients = Clients::over(&fetcher.options, environment, Arc::new(Scripted::new(near))).unwrap();
        fetch(&fetcher, None, &at("/f")).await.unwrap();
        fetch(&fetcher, Some(&at("/f")), &at("/f")).await.unwrap();
        let error = fetch(&fetcher, Some("http://public.example/"), &at("/f")).await.unwrap_err();
        assert!(matches!(error, FetchError::Refused { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn silence_is_told_by_its_phase() {
        struct Silent;
        impl reqwest::dns::Resolve for Silent {
            fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
                Box::pin(std::future::pending())
            }
        }
        let options = Options {
            retries: 0,
            timeout: Duration::from_millis(200),
            ..Options::default()
        };
        let mut fetcher = HttpFetcher::new(options).unwrap();
        fetcher.clients = Clients::over(&fetcher.options, Vec::new(), Arc::new(Silent)).unwrap();
        let server = Server::start(Config {
            files: [("/late".to_owned(), "x".into()), ("/stuck".to_owned(), "xyz".into())].into(),
            rules: vec![
                Rule::new("/late", Fault::Delay { milliseconds: 60_000 }),
                Rule::new("/stuck", Fault::Stall { at: 1 }),
            ],
            ..Config::default()
        })
        .unwrap();
        for (url, expected) in [
            ("http://silent.example/".to_owned(), TimeoutPhase::Connect),
            (server.url("/late"), TimeoutPhase::FirstByte),
            (server.url("/stuck"), TimeoutPhase::Stall),
        ] {
            let error = fetch(&fetcher, None, &url).await.unwrap_err();
            assert!(
                matches!(error, FetchError::Timeout { phase, .. } if phase == expected),
                "{expected:?}: {error:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_the_user_gives_may_be_near_and_lead_to_its_like() {
        let server = server();
        let port = Url::parse(server.origin()).unwrap().port().unwrap();
        let at = |path: &str| format!("http://moves.example:{port}{path}");
        let fetcher = fetcher(&[&["127.0.0.1"]]);
        for path in ["/f", "/to-self", "/to-address"] {
            fetch(&fetcher, None, &at(path)).await.unwrap();
        }
        // Documents of that name are on this machine, then.
        fetch(&fetcher, Some(&at("/f")), &format!("{}/f", server.origin())).await.unwrap();
        fetch(&fetcher, Some(&at("/f")), &at("/to-self")).await.unwrap();
        // A document of another is not.
        fetch(&fetcher, Some("http://public.example/"), &at("/f")).await.unwrap_err();
        fetch(&fetcher, Some("http://public.example/"), &format!("{}/f", server.origin()))
            .await
            .unwrap_err();
    }
}
