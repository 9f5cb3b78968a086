//! Which requests may be made, and with which headers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aqueduct_core::{FetchError, SafeUrl};
use url::{Origin, Url};

use crate::address::Space;
use crate::fetcher::Options;

/// Origins whose nearness is remembered, at most. Beyond that an origin counts as public.
const ORIGINS: usize = 1024;

/// The rules for where a request may go.
#[derive(Debug)]
pub(crate) struct Policy {
    /// The folder below which local files may be read, when the input is a local playlist.
    pub(crate) local_root: Option<PathBuf>,
    allow_private: bool,
    allow_downgrade: bool,
    /// Whether it was told that a document over https names addresses over http.
    mixed: AtomicBool,
    /// How near origins with names turned out to be: their documents may name addresses of that space. Of several
    /// answers the farthest counts, so that a name that moves gains nothing.
    near: Mutex<HashMap<Origin, Space>>,
}

impl Policy {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            local_root: options.local_root.clone(),
            allow_private: options.allow_private,
            allow_downgrade: options.allow_downgrade,
            mixed: AtomicBool::new(false),
            near: Mutex::default(),
        }
    }

    /// Says whether a request to `url`, which `named_by` names, may be made, and how near it may connect.
    pub(crate) fn check(&self, named_by: Option<&SafeUrl>, url: &SafeUrl) -> Result<Space, FetchError> {
        let refused = |reason: String| Err(FetchError::Refused { url: url.clone(), reason });
        if !matches!(url.url().scheme(), "http" | "https") {
            return refused(format!("scheme \"{}\" is not fetched", url.url().scheme()));
        }
        if let Some(by) = named_by
            && is_downgrade(by, url)
            && !self.mixed.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%by, %url, "a document over https leads to http: anybody on the way can change what comes from there");
        }
        let reach = self.reach(named_by);
        match Space::of_host(url.url()) {
            Some(space) if space > reach => refused(format!(
                "it is {space}, and a document from farther away names it; --allow-private permits it"
            )),
            _ => Ok(reach),
        }
    }

    /// How near a document's addresses may be. What the user gives, or a local playlist or text that the user
    /// gives, may be anywhere; any other document reaches as near as it is itself, for only somebody in that space
    /// could read it there.
    fn reach(&self, named_by: Option<&SafeUrl>) -> Space {
        let Some(by) = named_by.map(SafeUrl::url) else {
            return Space::Machine;
        };
        if self.allow_private || matches!(by.scheme(), "file" | "data") {
            return Space::Machine;
        }
        Space::of_host(by).unwrap_or_else(|| self.near().get(&by.origin()).copied().unwrap_or(Space::Public))
    }

    /// Judges the space that was connected to, and learns from it how near `url` is.
    pub(crate) fn connected(&self, named_by: Option<&SafeUrl>, url: &SafeUrl, space: Space) -> Result<(), FetchError> {
        if space > self.reach(named_by) {
            return Err(FetchError::Refused {
                url: url.clone(),
                reason: format!("it is at {space}, and a document from farther away names it; --allow-private permits it"),
            });
        }
        let mut near = self.near();
        let known = near.len();
        match near.entry(url.url().origin()) {
            Entry::Occupied(mut entry) => {
                let farthest = space.min(*entry.get());
                entry.insert(farthest);
            }
            // That the user's own address was public once is remembered, too: it stays so.
            Entry::Vacant(entry) if known < ORIGINS && (named_by.is_none() || space != Space::Public) => {
                entry.insert(space);
            }
            Entry::Vacant(_) => {}
        }
        Ok(())
    }

    /// Says whether a redirect may be followed.
    pub(crate) fn check_redirect(&self, from: &SafeUrl, to: &SafeUrl) -> Result<(), FetchError> {
        if is_downgrade(from, to) && !self.allow_downgrade {
            return Err(FetchError::Refused {
                url: to.clone(),
                reason: format!("a redirect from https ({from}) to http; --allow-downgrade permits it"),
            });
        }
        Ok(())
    }

    fn near(&self) -> MutexGuard<'_, HashMap<Origin, Space>> {
        // Every change is one insertion: a panic elsewhere leaves nothing half done.
        self.near.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_downgrade(from: &SafeUrl, to: &SafeUrl) -> bool {
    from.url().scheme() == "https" && to.url().scheme() == "http"
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

    fn allowing_private(allow_private: bool) -> Policy {
        Policy::new(&Options {
            allow_private,
            ..Options::default()
        })
    }

    fn reaches(policy: &Policy, named_by: Option<&str>, url: &str) -> bool {
        match policy.check(named_by.map(safe).as_ref(), &safe(url)) {
            Ok(_) => true,
            Err(FetchError::Refused { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_document_names_what_is_no_nearer_than_itself() {
        let policy = allowing_private(false);
        let public = "http://1.1.1.1/";
        let targets = [
            public,
            "http://10.0.0.1/",
            "http://169.254.169.254/latest/",
            "http://127.0.0.1:8080/",
            "http://localhost/",
        ];
        // Which of these may be named: all up to one.
        let cases = [
            (None, 5),
            (Some("file:///home/me/list.m3u8"), 5),
            (Some("http://127.0.0.1/list"), 5),
            (Some("http://[::1]:8080/list"), 5),
            (Some("http://localhost:8080/list"), 5),
            (Some("http://169.254.1.1/list"), 3),
            (Some("http://192.168.0.1/list"), 2),
            (Some("https://[fd00::1]/list"), 2),
            (Some("https://[::ffff:10.0.0.1]/list"), 2),
            (Some("https://8.8.8.8/list"), 1),
            (Some("https://public.example/list"), 1),
        ];
        for (named_by, allowed) in cases {
            for (number, url) in targets.iter().enumerate() {
                assert_eq!(reaches(&policy, named_by, url), number < allowed, "{named_by:?} to {url}");
            }
        }
        let open = allowing_private(true);
        assert!(targets.iter().all(|url| reaches(&open, Some("https://public.example/"), url)));
    }

    #[test]
    fn a_data_url_speaks_for_whoever_named_it() {
        let policy = allowing_private(false);
        let page = Resource::new(Kind::Document, safe("https://public.example/"));
        let smuggled = page
            .names(Kind::Playlist, safe("data:,#EXTM3U"))
            .names(Kind::Segment, safe("http://192.168.0.1/"));
        assert!(policy.check(smuggled.named_by.as_ref(), &smuggled.url).is_err());
        let given = Resource::new(Kind::Document, safe("data:,#EXTM3U")).names(Kind::Segment, safe("http://192.168.0.1/"));
        assert!(policy.check(given.named_by.as_ref(), &given.url).is_ok());
    }

    #[test]
    fn a_name_is_as_near_as_the_farthest_address_that_it_was_met_at() {
        let at = |policy: &Policy, named_by: Option<&str>, url: &str, address: &str| {
            policy.connected(named_by.map(safe).as_ref(), &safe(url), Space::of(address.parse().unwrap()))
        };
        let intranet = Some("http://wiki.corp.example/page");
        let policy = allowing_private(false);
        assert!(!reaches(&policy, intranet, "http://10.0.0.1/"));
        at(&policy, None, "http://wiki.corp.example/", "10.0.0.5").unwrap();
        assert!(
            reaches(&policy, intranet, "http://10.0.0.1/"),
            "only somebody in that space could read it there"
        );
        assert!(!reaches(&policy, intranet, "http://127.0.0.1/"), "but this machine is nearer");
        assert!(
            !reaches(&policy, Some("http://wiki.corp.example:81/"), "http://10.0.0.1/"),
            "another origin"
        );
        // What it leads to is in that space, too.
        at(&policy, intranet, "http://media.corp.example/", "10.0.0.6").unwrap();
        assert!(reaches(&policy, Some("http://media.corp.example/x.m3u8"), "http://10.0.0.1/"));
        // A public document in an intranet page gains nothing by it.
        at(&policy, intranet, "http://public.example/", "1.1.1.1").unwrap();
        assert!(!reaches(&policy, Some("http://public.example/frame"), "http://10.0.0.1/"));

        // Rebinding of the input's own name, in both orders.
        for answers in [["1.1.1.1", "127.0.0.1"], ["127.0.0.1", "1.1.1.1"]] {
            let policy = allowing_private(false);
            for address in answers {
                at(&policy, None, "http://moves.example/", address).unwrap();
            }
            assert!(!reaches(&policy, Some("http://moves.example/"), "http://127.0.0.1/"), "{answers:?}");
        }
        // And what no resolver kept from being connected to is refused afterwards.
        let result = at(&policy, Some("http://public.example/"), "http://moves.example/", "127.0.0.1");
        assert!(matches!(result, Err(FetchError::Refused { .. })));
        assert!(at(&policy, Some("http://public.example/"), "http://moves.example/", "::ffff:10.0.0.1").is_err());
    }

    #[test]
    fn other_schemes_and_downgrades_are_refused() {
        let policy = allowing_private(true);
        for url in ["ftp://host.example/", "javascript:alert(1)", "gopher://host.example/"] {
            let resource = Resource::new(Kind::Document, safe(url));
            assert!(policy.check(resource.named_by.as_ref(), &resource.url).is_err(), "{url}");
        }
        let mut options = Options::default();
        for allowed in [false, true] {
            options.allow_downgrade = allowed;
            let policy = Policy::new(&options);
            let follows = |from: &str, to: &str| policy.check_redirect(&safe(from), &safe(to)).is_ok();
            assert_eq!(follows("https://a.example/", "http://a.example/"), allowed);
            assert_eq!(follows("https://a.example/", "http://b.example/"), allowed);
            assert!(follows("http://a.example/", "https://a.example/"));
            assert!(follows("http://a.example/", "http://b.example/"));
            assert!(follows("https://a.example/", "https://b.example/"));
        }
    }
}
