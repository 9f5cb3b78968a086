//! How the server misbehaves: rules that match a path and say what goes wrong there.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

/// One way to misbehave. Offsets count bytes of the body as it would be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// This status with a short text instead of the resource.
    Status {
        /// The code.
        status: u16,
        /// `Retry-After`, as sent: seconds or a date.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// Another body with status 200, such as a page instead of a segment, or a key of the wrong length.
    Body {
        /// `Content-Type`.
        content_type: String,
        /// The body.
        text: String,
    },
    /// A redirect. `{{origin}}` and `{{other}}` in the target are the server's two origins; `{{path}}` is the
    /// path that was asked for.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// `Location`.
        to: String,
    },
    /// `Range` is not understood: status 200 and everything.
    IgnoreRange,
    /// `Content-Range` names other bytes than those that follow, this much further on.
    WrongContentRange {
        /// How far off.
        by: u64,
    },
    /// No answer to a range holds more than this: a shorter one than was asked for (RFC 9110, 15.3.7).
    CapRange {
        /// The most bytes.
        bytes: u64,
    },
    /// A request for a range of more than so many bytes fails.
    FailRange {
        /// With this status; without one, the connection is closed.
        status: Option<u16>,
        /// The most bytes that are sent.
        over: u64,
    },
    /// Header fields added to the answer, or replaced: `ETag`, `Set-Cookie`, a misleading `Content-Type`.
    Headers(Vec<(String, String)>),
    /// The resource ends after so many bytes, and the answer tells of no more: it was stored cut short.
    Shorten {
        /// Bytes of it that there are.
        at: u64,
    },
    /// A gzip body that no `Content-Encoding` declares; ranges are ignored.
    UndeclaredGzip,
    /// The answer waits this long before its first byte.
    Delay {
        /// How long.
        milliseconds: u64,
    },
    /// The body drips.
    Trickle {
        /// How fast.
        bytes_per_second: u64,
    },
    /// The connection is closed in good order after so many bytes, short of `Content-Length`.
    Truncate {
        /// Bytes of the body that are sent.
        at: u64,
    },
    /// Nothing more after so many bytes, and the connection stays open.
    Stall {
        /// Bytes of the body that are sent.
        at: u64,
    },
    /// A TCP reset after so many bytes.
    Reset {
        /// Bytes of the body that are sent.
        at: u64,
    },
    /// The connection is closed without any answer.
    HangUp,
}

impl Fault {
    /// A status without `Retry-After`.
    pub fn status(status: u16) -> Self {
        Self::Status { status, retry_after: None }
    }

    /// An HTML page instead of the resource.
    pub fn page() -> Self {
        Self::Body {
            content_type: "text/html".into(),
            text: "<html><body>Please log in</body></html>".into(),
        }
    }
}

/// Where and when a [`Fault`] happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A path without query; `*` stands for any characters.
    pub path: String,
    /// What goes wrong.
    pub fault: Fault,
    /// Only the first so many requests of each matching path, after those skipped; `None` for all.
    #[serde(default)]
    pub times: Option<u64>,
    /// The first so many requests of each matching path are spared.
    #[serde(default)]
    pub skip: u64,
    /// How many percent of the requests are hit, by the seed; `None` for all.
    #[serde(default)]
    pub percent: Option<u64>,
    /// Makes the choice of [`Self::percent`] repeatable.
    #[serde(default)]
    pub seed: u64,
}

impl Rule {
    /// The fault on every request for `path`.
    pub fn new(path: impl Into<String>, fault: Fault) -> Self {
        Self {
            path: path.into(),
            fault,
            times: None,
            skip: 0,
            percent: None,
            seed: 0,
        }
    }

    /// Only on the first `times` requests of each path.
    pub fn times(self, times: u64) -> Self {
        Self {
            times: Some(times),
            ..self
        }
    }

    /// Not on the first `skip` requests of each path.
    pub fn skip(self, skip: u64) -> Self {
        Self { skip, ..self }
    }

    /// On `percent` of the requests, chosen by `seed`.
    pub fn percent(self, percent: u64, seed: u64) -> Self {
        Self {
            percent: Some(percent),
            seed,
            ..self
        }
    }

    fn hits(&self, path: &str, earlier: u64) -> bool {
        let Some(number) = earlier.checked_sub(self.skip) else {
            return false;
        };
        if self.times.is_some_and(|times| number >= times) {
            return false;
        }
        self.percent.is_none_or(|percent| {
            let mut hasher = DefaultHasher::new();
            (self.seed, path, earlier).hash(&mut hasher);
            hasher.finish() % 100 < percent
        })
    }
}

/// The rules in force and how often each was asked.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    asked: HashMap<(usize, String), u64>,
}

impl Rules {
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        Self {
            rules,
            asked: HashMap::new(),
        }
    }

    pub(crate) fn push(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// What goes wrong with this request, in the order of the rules.
    pub(crate) fn faults(&mut self, path: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            if !matches(rule.path.as_bytes(), path.as_bytes()) {
                continue;
            }
            let asked = self.asked.entry((index, path.to_owned())).or_default();
            if rule.hits(path, *asked) {
                faults.push(rule.fault.clone());
            }
            *asked += 1;
        }
        faults
    }
}

/// Whether `text` is what `pattern` describes; `*` stands for any bytes.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|at| matches(rest, &text[at..])),
        Some((byte, rest)) => text.split_first().is_some_and(|(first, tail)| first == byte && matches(rest, tail)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches(b"/s/*/1.ts", b"/s/plain-ts/1.ts"));
        assert!(matches(b"*.ts", b"/s/plain-ts/1.ts"));
        assert!(!matches(b"*.ts", b"/s/plain-ts/1.ts.html"));
        assert!(!matches(b"/s/a", b"/s/ab"));
    }

    #[test]
    fn a_rule_counts_each_path_by_itself() {
        let rule = Rule::new("*.ts", Fault::status(503)).skip(1).times(1);
        let mut rules = Rules::new(vec![rule]);
        for path in ["/a.ts", "/b.ts"] {
            let hits: Vec<_> = (0..3).map(|_| rules.faults(path).len()).collect();
            assert_eq!(hits, [0, 1, 0]);
        }
    }

    #[test]
    fn chance_follows_the_seed() {
        let count = |seed| {
            let mut rules = Rules::new(vec![Rule::new("*", Fault::HangUp).percent(20, seed)]);
            (0..1000).map(|n| rules.faults(&format!("/{n}")).len()).collect::<Vec<_>>()
        };
        assert_eq!(count(1), count(1));
        assert_ne!(count(1), count(2));
        assert!((120..280).contains(&count(1).iter().sum::<usize>()));
    }
}
