//! Whether the ranges of one resource are of one version of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use aqueduct_core::SafeUrl;

/// Resources that are remembered. Hardly a film has its segments in more files at a time.
const MOST: usize = 256;

/// What was told of resources that ranges were asked of.
#[derive(Debug, Default)]
pub(crate) struct Versions(Mutex<HashMap<SafeUrl, Version>>);

#[derive(Debug)]
struct Version {
    /// As [`Fetched::version`](aqueduct_core::Fetched::version) tells it.
    name: Arc<str>,
    /// Bytes of the whole.
    total: Option<u64>,
    told: bool,
}

impl Versions {
    /// Takes note of the version that a range is of. `true`, once for each resource, where that is another than an earlier range
    /// was of: it was replaced in the meantime, or several servers name it differently. One that has grown is taken for a live
    /// stream.
    pub(crate) fn is_another(&self, url: &SafeUrl, name: &Arc<str>, total: Option<u64>) -> bool {
        let mut versions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = versions.len() >= MOST;
        match versions.entry(url.clone()) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                let grown = total > known.total;
                let another = known.name != *name && !grown && !known.told;
                if grown {
                    (known.name, known.total) = (Arc::clone(name), total);
                }
                known.told |= another;
                another
            }
            Entry::Vacant(place) => {
                if !full {
                    place.insert(Version {
                        name: Arc::clone(name),
                        total,
                        told: false,
                    });
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    #[test]
    fn a_resource_that_is_replaced_is_told_once_and_one_that_grows_is_not() {
        let versions = Versions::default();
        let file = |name: &str| SafeUrl::from(Url::parse("http://host.example/").unwrap().join(name).unwrap());
        for (name, version, total, told) in [
            ("live", "1", Some(100), false),
            ("live", "2", Some(200), false),
            ("live", "2", Some(200), false),
            ("film", "a", Some(500), false),
            ("film", "a", Some(500), false),
            ("film", "b", Some(500), true),
            ("film", "c", Some(500), false),
            ("live", "3", Some(150), true),
            ("unknown", "x", None, false),
            ("unknown", "y", None, true),
        ] {
            assert_eq!(versions.is_another(&file(name), &version.into(), total), told, "{name} {version}");
        }
    }
}
