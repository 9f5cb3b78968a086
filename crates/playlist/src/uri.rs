//! References and what they resolve to (rfc8216bis, 4.1).

use std::fmt;
use std::sync::Arc;

use url::Url;

/// A URI as the playlist wrote it, together with the URL that it resolves against.
///
/// Variable references are expanded. The resolved form is made when it is asked for: a playlist of a hundred
/// thousand segments would otherwise hold the same directory a hundred thousand times.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Uri {
    base: Arc<Url>,
    reference: Box<str>,
}

impl Uri {
    /// A reference that is known to resolve against `base`.
    pub(crate) fn new(base: &Arc<Url>, reference: &str) -> Result<Self, url::ParseError> {
        Ok(Self {
            base: Arc::clone(base),
            reference: checked(base, reference)?,
        })
    }

    /// The absolute URL.
    pub fn url(&self) -> Url {
        resolve(&self.base, &self.reference)
    }

    /// The reference as it was written, often relative.
    pub fn as_written(&self) -> &str {
        &self.reference
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Query strings carry tokens and data: URLs carry keys.
        f.write_str(self.reference.split(['?', ',']).next().unwrap_or_default())
    }
}

/// The reference, once it is known that it resolves against `base`, in a form that can stand in a line of
/// its own: an empty one, and one that begins like a tag, would be read as something else.
pub(crate) fn checked(base: &Url, reference: &str) -> Result<Box<str>, url::ParseError> {
    if reference.is_empty() || reference.starts_with('#') {
        return Ok(base.join(reference)?.as_str().into());
    }
    if !surely_resolves(base, reference) {
        base.join(reference)?;
    }
    Ok(reference.into())
}

/// Resolves a reference that [`checked`] let pass.
pub(crate) fn resolve(base: &Url, reference: &str) -> Url {
    // Cannot fail: it was joined, or found to be of a form that always joins, with this very base.
    base.join(reference).unwrap_or_else(|_| base.clone())
}

/// Only a scheme, a host or a port can make a reference invalid, or a base that is no hierarchy.
fn surely_resolves(base: &Url, reference: &str) -> bool {
    !base.cannot_be_a_base()
        && !reference.starts_with("//")
        && reference
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'-' | b'_' | b'~' | b'?' | b'=' | b'&' | b'%' | b'+' | b','))
}
