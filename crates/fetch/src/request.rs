//! One request, with its redirects: each hop is judged and gets its headers anew.

use aqueduct_core::{FetchError, Resource, SafeUrl, TimeoutPhase};
use reqwest::{Response, StatusCode, header};
use tokio::time::timeout;

use crate::attempt::{classify, text};
use crate::fetcher::HttpFetcher;
use crate::{headers, policy, range};

/// Sends the request, and follows redirects under the same rules.
pub(crate) async fn send(
    fetcher: &HttpFetcher,
    resource: &Resource,
    received: u64,
    ahead: u64,
    if_range: Option<&str>,
) -> Result<(SafeUrl, Response), FetchError> {
    let options = &fetcher.options;
    let mut url = resource.url.clone();
    let mut named_by = resource.named_by.clone();
    for _ in 0..=options.max_redirects {
        let reach = fetcher.policy.check(named_by.as_ref(), &url)?;
        let range = range::header(resource.range, received, ahead);
        let range = range.as_deref().map(|range| (range, if_range));
        let headers = headers::of(options, &url, resource.referrer.as_ref(), range)?;
        let request = fetcher.clients.get(reach, resource.kind)?.get(url.url().clone()).headers(headers);
        let response = match timeout(options.timeout, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(classify(&url, error, 0, None, options.timeout)),
            Err(_) => {
                return Err(FetchError::Timeout {
                    url,
                    phase: TimeoutPhase::FirstByte,
                    after: options.timeout,
                });
            }
        };
        // Behind a proxy the address is the proxy's.
        if let Some(address) = response.remote_addr()
            && !fetcher.clients.proxied()
        {
            fetcher.policy.connected(named_by.as_ref(), &url, address.ip())?;
        }
        if !is_redirect(response.status()) {
            return Ok((url, response));
        }
        let Some(location) = text(response.headers(), header::LOCATION) else {
            return Err(FetchError::Invalid {
                url,
                what: format!("redirect ({}) without a Location", response.status()),
            });
        };
        let next = match url.url().join(location) {
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
        policy::check_redirect(&url, &next)?;
        tracing::debug!(from = %url, to = %next, "redirected");
        // Where a redirect leads is what the server says, not what the user gave.
        named_by = Some(std::mem::replace(&mut url, next));
    }
    Err(FetchError::Invalid {
        url,
        what: format!("more than {} redirects", options.max_redirects),
    })
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}
