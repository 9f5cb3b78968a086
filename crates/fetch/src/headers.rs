//! Which header fields a request carries: decided for each hop from its own origin.

use aqueduct_core::{FetchError, SafeUrl};
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::fetcher::Options;
use crate::policy;

/// The fields of one request to `url`, besides those that every request has.
///
/// `range` is the value of `Range`, with that of `If-Range`.
pub(crate) fn of(
    options: &Options,
    url: &SafeUrl,
    referrer: Option<&SafeUrl>,
    range: Option<(&str, Option<&str>)>,
) -> Result<HeaderMap, FetchError> {
    let mut fields = HeaderMap::new();
    if let Some((range, if_range)) = range {
        fields.insert(header::RANGE, value(url, "Range", range)?);
        if let Some(validator) = if_range {
            fields.insert(header::IF_RANGE, value(url, "If-Range", validator)?);
        }
    }
    let referer = match referrer {
        Some(from) => policy::referer(from.url(), url.url()),
        None => options.referer.clone(),
    };
    if let Some(referer) = referer {
        fields.insert(header::REFERER, value(url, "Referer", &referer)?);
    }
    let mut own = HeaderMap::new();
    for scoped in options.headers.iter().filter(|scoped| scoped.origin.same_origin(url)) {
        let name = HeaderName::try_from(&scoped.name).map_err(|_| no_header(url, &scoped.name))?;
        own.append(name, value(url, &scoped.name, &scoped.value)?);
    }
    // The user's word replaces what was set above.
    for name in own.keys() {
        fields.remove(name);
    }
    for (name, value) in &own {
        fields.append(name.clone(), value.clone());
    }
    Ok(fields)
}

fn value(url: &SafeUrl, name: &str, value: &str) -> Result<HeaderValue, FetchError> {
    HeaderValue::try_from(value).map_err(|_| no_header(url, name))
}

/// The value is left out: it may be a secret.
fn no_header(url: &SafeUrl, name: &str) -> FetchError {
    FetchError::Invalid {
        url: url.clone(),
        what: format!("{name:?} is no HTTP header"),
    }
}
