//! Name resolution that only finds what may be connected to.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::address::Space;

/// The system's name resolution.
#[derive(Debug)]
pub(crate) struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// All addresses of a name are nearer than the document that names it.
#[derive(Debug)]
pub(crate) struct TooNear {
    name: String,
    nearest: Space,
}

impl fmt::Display for TooNear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, nearest } = self;
        write!(
            f,
            "{name} has {nearest}, and a document from farther away names it; --allow-private permits it"
        )
    }
}

impl std::error::Error for TooNear {}

/// Names that are remembered, at most. Beyond that a name counts as one that was not looked up.
const NAMES: usize = 1024;

/// How near the names are that were looked up here, in lower case. Of several answers the farthest counts.
#[derive(Debug, Default)]
pub(crate) struct LookedUp(Mutex<HashMap<String, Space>>);

impl LookedUp {
    /// How near this name is; `None` where nobody looked it up here, but perhaps a proxy.
    pub(crate) fn space(&self, name: &str) -> Option<Space> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    fn note(&self, name: String, space: Space) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get_mut(&name) {
            *known = space.min(*known);
        } else if names.len() < NAMES {
            names.insert(name, space);
        }
    }
}

/// A name resolver that leaves out addresses nearer than `reach`, so that the connection cannot go there whatever a
/// name server answers, or answers the second time.
pub(crate) struct Guard {
    pub(crate) reach: Space,
    /// Proxies, in lower case: the user chose them, wherever they are.
    pub(crate) proxies: Arc<[String]>,
    /// Where it tells what it found.
    pub(crate) looked_up: Arc<LookedUp>,
    pub(crate) inner: Arc<dyn Resolve>,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_ascii_lowercase();
        let (reach, proxy) = (self.reach, self.proxies.contains(&host));
        let (found, looked_up) = (self.inner.resolve(name), Arc::clone(&self.looked_up));
        Box::pin(async move {
            let found: Vec<SocketAddr> = found.await?.collect();
            let spaces = found.iter().map(|found| Space::of(found.ip()));
            if proxy || found.is_empty() {
                return Ok(Box::new(found.into_iter()) as Addrs);
            }
            let nearest = spaces.max().unwrap_or(Space::Machine);
            let within: Vec<SocketAddr> = found.into_iter().filter(|found| Space::of(found.ip()) <= reach).collect();
            if within.is_empty() {
                return Err(TooNear { name: host, nearest }.into());
            }
            if let Some(farthest) = within.iter().map(|found| Space::of(found.ip())).min() {
                looked_up.note(host, farthest);
            }
            Ok(Box::new(within.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::IpAddr;
    use std::sync::Mutex;

    use super::*;

    /// A name server that gives these answers in turn, the last one again and again.
    #[derive(Debug)]
    pub(crate) struct Scripted(pub(crate) Mutex<Vec<Vec<IpAddr>>>);

    impl Scripted {
        pub(crate) fn new(answers: &[&[&str]]) -> Self {
            let answer = |answer: &&[&str]| answer.iter().map(|text| text.parse().unwrap()).collect();
            Self(Mutex::new(answers.iter().map(answer).collect()))
        }
    }

    impl Resolve for Scripted {
        fn resolve(&self, _: Name) -> Resolving {
            let mut answers = self.0.lock().unwrap();
            let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
            Box::pin(async move { Ok(Box::new(answer.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs) })
        }
    }

    async fn found(guard: &Guard, name: &str) -> Result<Vec<String>, String> {
        let found = guard.resolve(name.parse().unwrap()).await;
        found
            .map(|found| found.map(|found| found.ip().to_string()).collect())
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn answers_are_held_to_the_reach_each_time() {
        type Case<'a> = (Space, &'a [&'a [&'a str]], &'a [Option<&'a [&'a str]>]);
        let cases: [Case; 8] = [
            // Rebinding: public at first, then this machine.
            (Space::Public, &[&["1.1.1.1"], &["127.0.0.1"]], &[Some(&["1.1.1.1"]), None]),
            (Space::Public, &[&["127.0.0.1"], &["1.1.1.1"]], &[None, Some(&["1.1.1.1"])]),
            // Mixed records.
            (
                Space::Public,
                &[&["127.0.0.1", "1.1.1.1", "::1", "10.0.0.1"]],
                &[Some(&["1.1.1.1"])],
            ),
            (
                Space::Public,
                &[&["::ffff:192.168.0.1", "64:ff9b::7f00:1", "2002:a00:1::"]],
                &[None],
            ),
            (
                Space::Private,
                &[&["192.168.0.1"], &["169.254.169.254"], &["127.0.0.1"]],
                &[Some(&["192.168.0.1"]), None, None],
            ),
            (Space::Link, &[&["fe80::1"], &["::1"]], &[Some(&["fe80::1"]), None]),
            (Space::Machine, &[&["127.0.0.1"]], &[Some(&["127.0.0.1"])]),
            (Space::Public, &[&[]], &[Some(&[])]),
        ];
        for (reach, answers, expected) in cases {
            let guard = Guard {
                reach,
                proxies: Arc::new([]),
                looked_up: Arc::default(),
                inner: Arc::new(Scripted::new(answers)),
            };
            for expected in expected {
                match (found(&guard, "name.example").await, expected) {
                    (Ok(found), Some(expected)) => assert_eq!(found, *expected, "{answers:?}"),
                    (Err(error), None) => assert!(error.contains("name.example has a"), "{error}"),
                    (found, _) => panic!("{answers:?} from {reach:?}: {found:?}"),
                }
            }
        }
    }

    #[tokio::test]
    async fn only_the_proxy_itself_may_be_near() {
        let guard = Guard {
            reach: Space::Public,
            proxies: Arc::new(["proxy.lan".into()]),
            looked_up: Arc::default(),
            inner: Arc::new(Scripted::new(&[&["192.168.0.9"]])),
        };
        assert_eq!(found(&guard, "Proxy.LAN").await.unwrap(), ["192.168.0.9"]);
        found(&guard, "other.lan").await.unwrap_err();
        assert_eq!(guard.looked_up.space("proxy.lan"), None, "what is behind it is elsewhere");
        assert_eq!(guard.looked_up.space("other.lan"), None, "nobody went there");
    }

    #[tokio::test]
    async fn a_name_that_was_looked_up_is_as_near_as_its_farthest_answer() {
        let guard = Guard {
            reach: Space::Machine,
            proxies: Arc::new([]),
            looked_up: Arc::default(),
            inner: Arc::new(Scripted::new(&[&["127.0.0.1"], &["10.0.0.1", "127.0.0.1"], &["127.0.0.1"]])),
        };
        for expected in [Space::Machine, Space::Private, Space::Private] {
            found(&guard, "Name.example").await.unwrap();
            assert_eq!(guard.looked_up.space("name.example"), Some(expected));
        }
    }
}
