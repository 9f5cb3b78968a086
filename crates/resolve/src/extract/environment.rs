//! What a page's scripts are known to have named so far.

use std::borrow::Cow;
use std::collections::HashMap;

use url::Url;

use super::fold::{Folded, Piece};

/// Variables remembered, and the longest value of one.
const VARIABLES: usize = 2048;
const VARIABLE_BYTES: usize = 16 << 10;

/// Values of variables and properties seen so far, by their dotted name.
pub(super) struct Environment {
    values: HashMap<String, Folded<'static>>,
    /// Which first parts of names may be known: a cheap look before an exact one.
    heads: [u64; 16],
    /// Variables that hold an element that is a frame.
    frames: std::collections::HashSet<String>,
}

impl Environment {
    /// What a page's script may know without running: where the page is.
    pub(super) fn new(url: &Url) -> Self {
        let mut values = HashMap::new();
        let mut known = |name: &str, value: String| {
            values.insert(
                name.to_owned(),
                Folded::Text(Piece {
                    text: Cow::Owned(value),
                    steps: Vec::new(),
                    whole: true,
                }),
            );
        };
        if let Some(host) = url.host_str() {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            for location in ["location", "document.location"] {
                known(&format!("{location}.origin"), format!("{}://{host}{port}", url.scheme()));
                known(&format!("{location}.protocol"), format!("{}:", url.scheme()));
                known(&format!("{location}.host"), format!("{host}{port}"));
                known(&format!("{location}.hostname"), host.to_owned());
                known(&format!("{location}.pathname"), url.path().to_owned());
            }
        }
        let mut environment = Self {
            values,
            heads: [0; 16],
            frames: std::collections::HashSet::new(),
        };
        for head in HEADS {
            environment.know(head);
        }
        environment
    }

    /// Whether a name that begins with this part may be known, or call something known.
    pub(super) fn may_know(&self, head: &str) -> bool {
        let (slot, bit) = place_of(head);
        self.heads.get(slot).is_some_and(|bits| bits >> bit & 1 == 1) || head.contains("64")
    }

    fn know(&mut self, head: &str) {
        let (slot, bit) = place_of(head);
        if let Some(bits) = self.heads.get_mut(slot) {
            *bits |= 1 << bit;
        }
    }

    /// Remembers a value, if it is small.
    pub(super) fn set(&mut self, name: &str, value: &Folded<'_>) {
        let name = bare(name);
        if name.len() > 128 || (self.values.len() >= VARIABLES && !self.values.contains_key(name)) {
            return;
        }
        let own = |piece: &Piece<'_>| Piece {
            text: Cow::Owned(piece.text.clone().into_owned()),
            steps: piece.steps.clone(),
            whole: true,
        };
        let value = match value {
            Folded::Text(piece) if piece.whole && piece.text.len() <= VARIABLE_BYTES => Folded::Text(own(piece)),
            Folded::Split(piece, by, reversed) if piece.whole && piece.text.len() <= VARIABLE_BYTES => {
                Folded::Split(own(piece), by.clone(), *reversed)
            }
            Folded::List(list) if list.len() <= 64 && list.iter().map(|piece| piece.text.len()).sum::<usize>() <= VARIABLE_BYTES => {
                Folded::List(list.iter().map(own).collect())
            }
            // A name that now holds something unknown is unknown.
            _ => {
                self.values.remove(name);
                return;
            }
        };
        self.know(name.split('.').next().unwrap_or_default());
        self.values.insert(name.to_owned(), value);
    }

    /// Forgets a name that something unknown was assigned to.
    pub(super) fn forget(&mut self, name: &str) {
        let name = bare(name);
        if self.may_know(name.split('.').next().unwrap_or_default()) {
            self.values.remove(name);
        }
    }

    /// Remembers that a name holds a frame.
    pub(super) fn set_frame(&mut self, name: &str) {
        if self.frames.len() < 64 {
            self.frames.insert(bare(name).to_owned());
        }
    }

    /// Whether a name holds a frame.
    pub(super) fn is_frame(&self, name: &str) -> bool {
        self.frames.contains(bare(name))
    }

    /// Whether a name is known.
    pub(super) fn get(&self, name: &str) -> Option<&Folded<'static>> {
        self.values.get(bare(name))
    }
}

/// First parts of names that are known from the start.
const HEADS: [&str; 19] = [
    "location",
    "document",
    "window",
    "self",
    "globalThis",
    "this",
    "top",
    "atob",
    "String",
    "JSON",
    "decodeURIComponent",
    "decodeURI",
    "unescape",
    "encodeURI",
    "escape",
    "URL",
    "jQuery",
    "$",
    "CryptoJS",
];

/// Where the filter keeps a name.
fn place_of(head: &str) -> (usize, usize) {
    let bytes = head.as_bytes();
    let (first, last) = (bytes.first().copied().unwrap_or(0), bytes.last().copied().unwrap_or(0));
    let hash = (usize::from(first) << 12 ^ usize::from(last) << 5 ^ bytes.len()).wrapping_mul(0x9e37_79b1) >> 16;
    (hash / 64 % 16, hash % 64)
}

/// A name without what every script may leave out.
pub(super) fn bare(name: &str) -> &str {
    ["window.", "self.", "globalThis.", "this.", "top."]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}
