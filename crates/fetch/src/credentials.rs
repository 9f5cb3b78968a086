//! User names and passwords, each for one origin.

use std::fmt;

use aqueduct_core::SafeUrl;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use reqwest::header::HeaderValue;

/// A user name and a password for one origin, sent as HTTP's Basic scheme (RFC 7617).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The origin, as any URL of it.
    pub origin: SafeUrl,
    /// The user name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl Credentials {
    /// Those that stand in a URL, `https://user:password@host/`, for its origin.
    pub fn of(url: &SafeUrl) -> Option<Self> {
        let (user, password) = (url.url().username(), url.url().password());
        if user.is_empty() && password.is_none() {
            return None;
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        Some(Self {
            origin: url.clone(),
            user: decoded(user),
            password: decoded(password.unwrap_or_default()),
        })
    }

    /// The value of `Authorization`.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let pair = STANDARD.encode(format!("{}:{}", self.user, self.password));
        let mut value = HeaderValue::try_from(format!("Basic {pair}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials for {}", self.origin)
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    // RFC 7617, 2 and 2.1, hold the first and the last value.
    #[test]
    fn credentials_are_decoded_and_sent_as_basic() {
        for (url, value) in [
            ("https://Aladdin:open%20sesame@host.example/", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("https://user@host.example/", "Basic dXNlcjo="),
            ("https://:pass@host.example/", "Basic OnBhc3M="),
            ("https://test:123%C2%A3@host.example/", "Basic dGVzdDoxMjPCow=="),
        ] {
            let credentials = Credentials::of(&Url::parse(url).unwrap().into()).unwrap();
            assert_eq!(credentials.header().unwrap(), value, "{url}");
            assert_eq!(format!("{credentials:?}"), "Credentials for https://host.example/");
        }
        for url in ["https://host.example/", "https://@host.example/", "https://:@host.example/"] {
            assert_eq!(Credentials::of(&Url::parse(url).unwrap().into()), None, "{url}");
        }
    }
}
