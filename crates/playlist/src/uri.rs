//! References and what they resolve to (rfc8216bis, 4.1).

use std::borrow::Cow;
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
            reference: checked(base, reference)?.into(),
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
pub(crate) fn checked<'r>(base: &Url, reference: &'r str) -> Result<Cow<'r, str>, url::ParseError> {
    if reference.is_empty() || reference.starts_with('#') {
        return Ok(Cow::Owned(base.join(reference)?.into()));
    }
    if !surely_resolves(base, reference) {
        base.join(reference)?;
    }
    Ok(Cow::Borrowed(reference))
}

/// Resolves a reference that [`checked`] let pass.
pub(crate) fn resolve(base: &Url, reference: &str) -> Url {
    // Cannot fail: it was joined, or found to be of a form that always joins, with this very base.
    base.join(reference).unwrap_or_else(|_| base.clone())
}

/// Only a scheme, a host or a port can make a reference invalid, or a base that is no hierarchy.
fn surely_resolves(base: &Url, reference: &str) -> bool {
    if base.cannot_be_a_base() {
        return false;
    }
    let path = match reference.strip_prefix("https://").or_else(|| reference.strip_prefix("http://")) {
        Some(rest) => {
            let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            if !is_plain_host(host) {
                return false;
            }
            path
        }
        None if reference.starts_with("//") => return false,
        None => reference,
    };
    path.bytes().all(|b| HARMLESS[usize::from(b)])
}

/// Whether it is a name of which nothing has to be decoded, and no number that could be an address.
fn is_plain_host(host: &str) -> bool {
    let top = host.rsplit('.').next().unwrap_or_default();
    !top.is_empty()
        && host.len() < 254
        && top.bytes().all(|b| b.is_ascii_lowercase())
        && host.split('.').all(|label| {
            (1..64).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.get(2..4) != Some("--")
        })
}

/// The bytes that can stand in a path or query without making a scheme or a host of anything.
const HARMLESS: [bool; 256] = {
    let mut harmless = [false; 256];
    let allowed = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/.-_~?=&%+,";
    let mut n = 0;
    while n < allowed.len() {
        harmless[allowed[n] as usize] = true;
        n += 1;
    }
    harmless
};
