//! What a parser noted for the linter.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::warning::Warning;

/// Notes of the parser for [`Playlist::validate`](crate::Playlist::validate). Like a
/// [`SourceLine`](crate::SourceLine) they are remarks: two of them are always equal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lint {
    /// What was forgiven.
    pub(crate) warnings: Arc<[Warning]>,
    /// The line of the first tag of each name.
    pub(crate) lines: BTreeMap<&'static str, u32>,
}

impl Lint {
    /// Notes that a tag stands in a line; whether it is the first of its name.
    pub(crate) fn first(&mut self, tag: &'static str, line: u32) -> bool {
        let mut first = false;
        self.lines.entry(tag).or_insert_with(|| {
            first = true;
            line
        });
        first
    }
}

impl PartialEq for Lint {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
