//! Keys under which a server pads all, by what was seen before.

use std::collections::BTreeSet;
use std::sync::Arc;

use aqueduct_core::PaddedKeys;
use aqueduct_mux::told_key;

/// Addresses of such keys, as a journal or a report tells them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Padded(BTreeSet<String>);

impl Padded {
    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }
}

impl FromIterator<String> for Padded {
    fn from_iter<T: IntoIterator<Item = String>>(told: T) -> Self {
        Self(told.into_iter().collect())
    }
}

impl From<Padded> for PaddedKeys {
    fn from(padded: Padded) -> Self {
        Arc::new(move |url| told_key(url).is_some_and(|told| padded.0.contains(&told)))
    }
}

/// Goes through the units of a track for such keys, of those that missing segments lie under.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// That of the last unit that shows it.
    last: Option<String>,
    lacking: BTreeSet<String>,
    padded: BTreeSet<String>,
}

impl Seen {
    /// A unit that is there, or not, under this key.
    pub(crate) fn see(&mut self, key: &str, is_padded: bool, is_missing: bool) {
        if is_padded && self.last.as_deref() != Some(key) {
            self.last = Some(key.to_owned());
        }
        if is_missing && !self.lacking.contains(key) {
            self.lacking.insert(key.to_owned());
        }
        if (is_padded || is_missing) && self.last.as_deref() == Some(key) && self.lacking.contains(key) && !self.padded.contains(key) {
            self.padded.insert(key.to_owned());
        }
    }

    pub(crate) fn padded(self) -> Padded {
        Padded(self.padded)
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    /// The keys of units in a row, of which `+` are padded, and `?` missing.
    #[test]
    fn a_unit_on_either_side_of_what_is_missing_shows_that_its_key_has_padding() {
        for (units, expected) in [
            ("", ""),
            ("a+ b? a", ""),
            ("a b+ a?", ""),
            ("a+ a a?", "a"),
            ("a? a b+ a+", "a"),
            ("a+ a? b+ b? c? d+", "a b"),
        ] {
            let mut seen = Seen::default();
            for unit in units.split_whitespace() {
                let key = format!("http://host.example/{}", &unit[..1]);
                seen.see(&key, unit.ends_with('+'), unit.ends_with('?'));
            }
            let is_padded = PaddedKeys::from(seen.padded());
            let padded = ["a", "b", "c", "d"].into_iter().filter(|key| {
                let url = Url::parse(&format!("http://me:pass@host.example/{key}#f")).unwrap();
                is_padded(&url.into())
            });
            assert_eq!(padded.collect::<Vec<_>>().join(" "), expected, "{units}");
        }
    }

    #[test]
    fn of_keys_that_are_all_told_alike_none_shows_anything_of_another() {
        let is_padded = PaddedKeys::from(Padded::from_iter(["data:*".to_owned()]));
        assert!(!is_padded(&Url::parse("data:;base64,AAAA").unwrap().into()));
    }
}
