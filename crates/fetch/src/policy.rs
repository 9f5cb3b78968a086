//! Which requests may be made, and with which headers.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use aqueduct_core::{FetchError, SafeUrl};
use url::Url;

use crate::address;

/// The rules for where a request may go.
#[derive(Debug)]
pub(crate) struct Policy {
    /// The folder below which local files may be read, when the input is a local playlist.
    pub(crate) local_root: Option<PathBuf>,
    /// Whether special addresses are allowed from the start, or because the user's own input is one.
    private_zone: AtomicBool,
}

/// What the rules say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    /// It may connect to any address.
    Any,
    /// It may connect to public addresses only.
    Public,
}

impl Policy {
    pub(crate) fn new(allow_private: bool, local_root: Option<PathBuf>) -> Self {
        Self {
            local_root,
            private_zone: AtomicBool::new(allow_private),
        }
    }

    /// Says whether a request to `url`, which `named_by` names, may be made, and to which addresses.
    pub(crate) fn check(&self, named_by: Option<&SafeUrl>, url: &SafeUrl) -> Result<Zone, FetchError> {
        let refused = |reason: String| Err(FetchError::Refused { url: url.clone(), reason });
        if !matches!(url.url().scheme(), "http" | "https") {
            return refused(format!("scheme \"{}\" is not fetched", url.url().scheme()));
        }
        // What the user gives, or a local playlist or text that the user gives, may go anywhere; so may a document that
        // has such an address itself, which only somebody in that zone could read.
        let from_user = named_by.is_none_or(|by| {
            let by = by.url();
            by.scheme() == "file" || address::literal_special(by).is_some() || address::is_localhost(by)
        });
        if from_user || self.private_zone.load(Ordering::Relaxed) {
            return Ok(Zone::Any);
        }
        if let Some(address) = address::literal_special(url.url()) {
            return refused(format!(
                "{address} is not a public address, and a public document names it; --allow-private permits it"
            ));
        }
        Ok(Zone::Public)
    }

    /// Learns the address that the user's own input turned out to have: where that is a special one, the job is
    /// in that zone already.
    pub(crate) fn connected(&self, named_by: Option<&SafeUrl>, address: Option<std::net::SocketAddr>) {
        if named_by.is_none() && address.is_some_and(|address| address::is_special(address.ip())) {
            self.private_zone.store(true, Ordering::Relaxed);
        }
    }
}

/// Says whether a redirect may be followed.
pub(crate) fn check_redirect(from: &SafeUrl, to: &SafeUrl) -> Result<(), FetchError> {
    if from.url().scheme() == "https" && to.url().scheme() == "http" {
        return Err(FetchError::Refused {
            url: to.clone(),
            reason: format!("a redirect from https ({from}) to http"),
        });
    }
    Ok(())
}

/// The `Referer` that a browser sends under its default policy, `strict-origin-when-cross-origin` (Referrer
/// Policy, section 8.4): the whole URL to the same origin, the origin alone to others, nothing from https to http.
pub(crate) fn referer(from: &Url, to: &Url) -> Option<String> {
    if !matches!(from.scheme(), "http" | "https") || (from.scheme() == "https" && to.scheme() != "https") {
        return None;
    }
    if from.origin() != to.origin() {
        return Some(format!("{}/", from.origin().ascii_serialization()));
    }
    let mut full = from.clone();
    full.set_fragment(None);
    // These fail only for URLs that have no host.
    let _ = full.set_username("");
    let _ = full.set_password(None);
    Some(full.into())
}

#[cfg(test)]
mod tests {
    use aqueduct_core::{Kind, Resource};

    use super::*;

    fn safe(text: &str) -> SafeUrl {
        Url::parse(text).unwrap().into()
    }

    // Referrer Policy, section 3.8, and its examples.
    #[test]
    fn the_referer_is_what_a_browser_sends() {
        let cases = [
            ("https://a.example/x?y#z", "https://a.example/v.m3u8", Some("https://a.example/x?y")),
            ("https://u:p@a.example/x", "https://a.example/v.m3u8", Some("https://a.example/x")),
            ("https://a.example/x?y", "https://b.example/", Some("https://a.example/")),
            ("http://a.example/x", "https://a.example/", Some("http://a.example/")),
            ("https://a.example/x", "http://a.example/", None),
            ("file:///x.m3u8", "https://a.example/", None),
        ];
        for (from, to, expected) in cases {
            assert_eq!(
                referer(&Url::parse(from).unwrap(), &Url::parse(to).unwrap()).as_deref(),
                expected,
                "{from} to {to}"
            );
        }
    }

    #[test]
    fn a_public_document_cannot_name_a_private_address() {
        let policy = Policy::new(false, None);
        let page = Resource::new(Kind::Document, safe("https://public.example/"));
        let named = page.names(Kind::Segment, safe("http://192.168.0.1/"));
        assert!(matches!(
            policy.check(named.named_by.as_ref(), &named.url),
            Err(FetchError::Refused { .. })
        ));
        assert_eq!(
            policy.check(named.named_by.as_ref(), &safe("http://localhost/")).unwrap(),
            Zone::Public
        );
        for near in [
            "http://192.168.0.1/list",
            "http://localhost:8080/list",
            "file:///list",
            "data:,#EXTM3U",
        ] {
            let near = Resource::new(Kind::Document, safe(near)).names(Kind::Segment, safe("http://192.168.0.1/"));
            assert_eq!(policy.check(near.named_by.as_ref(), &near.url).unwrap(), Zone::Any, "{near}");
        }
        let smuggled = page
            .names(Kind::Playlist, safe("data:,#EXTM3U"))
            .names(Kind::Segment, safe("http://192.168.0.1/"));
        assert!(
            policy.check(smuggled.named_by.as_ref(), &smuggled.url).is_err(),
            "a page cannot speak through a data: URL"
        );
        let typed = Resource::new(Kind::Document, safe("http://192.168.0.1/"));
        assert_eq!(policy.check(typed.named_by.as_ref(), &typed.url).unwrap(), Zone::Any);
        policy.connected(named.named_by.as_ref(), Some("192.168.0.1:80".parse().unwrap()));
        assert!(
            policy.check(named.named_by.as_ref(), &named.url).is_err(),
            "only the user's input sets the zone"
        );
        policy.connected(typed.named_by.as_ref(), Some("192.168.0.1:80".parse().unwrap()));
        assert_eq!(policy.check(named.named_by.as_ref(), &named.url).unwrap(), Zone::Any);
    }

    #[test]
    fn other_schemes_and_downgrades_are_refused() {
        let policy = Policy::new(true, None);
        for url in ["ftp://host.example/", "javascript:alert(1)", "gopher://host.example/"] {
            let resource = Resource::new(Kind::Document, safe(url));
            assert!(policy.check(resource.named_by.as_ref(), &resource.url).is_err(), "{url}");
        }
        assert!(check_redirect(&safe("https://a.example/"), &safe("http://a.example/")).is_err());
        assert!(check_redirect(&safe("http://a.example/"), &safe("https://a.example/")).is_ok());
    }
}
