//! Which header fields a request carries: decided for each hop from its own origin.

use aqueduct_core::{FetchError, SafeUrl};
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::credentials::Credentials;
use crate::fetcher::Options;
use crate::policy;

/// The request that fields are wanted for.
pub(crate) struct Hop<'a> {
    pub(crate) url: &'a SafeUrl,
    /// The document that names the address, or redirects to it; `None` when the user gave it.
    pub(crate) named_by: Option<&'a SafeUrl>,
    /// The document for `Referer`.
    pub(crate) referrer: Option<&'a SafeUrl>,
    /// The value of `Range`, with that of `If-Range`.
    pub(crate) range: Option<(&'a str, Option<&'a str>)>,
}

/// The fields of one request, besides those that every request has.
pub(crate) fn of(options: &Options, hop: &Hop<'_>) -> Result<HeaderMap, FetchError> {
    let url = hop.url;
    let mut fields = HeaderMap::new();
    if let Some((range, if_range)) = hop.range {
        fields.insert(header::RANGE, value(url, "Range", range)?);
        if let Some(validator) = if_range {
            fields.insert(header::IF_RANGE, value(url, "If-Range", validator)?);
        }
    }
    let referer = match (hop.referrer, &options.referer) {
        (Some(from), _) => policy::referer(from.url(), url.url()),
        (None, Some(given)) if hop.named_by.is_none() => Some(given.clone()),
        (None, Some(given)) => Some(given_referer(given, url.url())),
        (None, None) => None,
    };
    if let Some(referer) = referer {
        fields.insert(header::REFERER, value(url, "Referer", &referer)?);
    }
    if let Some(cookies) = options.cookies.header(url.url()) {
        fields.insert(header::COOKIE, cookies);
    }
    let in_url = Credentials::of(url);
    // A user name alone in the URL asks for the password that is known.
    let completes = |known: &&Credentials| {
        let fits = in_url
            .as_ref()
            .is_none_or(|found| found.password.is_empty() && found.user == known.user);
        fits && known.origin.same_origin(url)
    };
    let known = options.credentials.iter().find(completes);
    if let Some(authorization) = known.or(in_url.as_ref()).and_then(Credentials::header) {
        fields.insert(header::AUTHORIZATION, authorization);
    }
    let mut own = HeaderMap::new();
    for scoped in options.headers.iter().filter(|scoped| scoped.origin.same_origin(url)) {
        let name = HeaderName::try_from(&scoped.name).map_err(|_| no_header(url, &scoped.name))?;
        if scoped.is_left_out() {
            continue;
        }
        own.append(name, value(url, &scoped.name, &scoped.value)?);
    }
    // What servers set meanwhile stands beside the user's cookies, but for those of the same names.
    if let Some(given) = own.get(header::COOKIE)
        && let Some(set) = fields.get(header::COOKIE)
    {
        own.insert(header::COOKIE, joined(given, set));
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

/// The cookies `given`, and those of `set` that have other names.
fn joined(given: &HeaderValue, set: &HeaderValue) -> HeaderValue {
    const SEPARATOR: &[u8] = b"; ";
    let pairs = |value: &HeaderValue| -> Vec<Vec<u8>> {
        let pairs = value.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        pairs.filter(|pair| !pair.is_empty()).map(<[u8]>::to_vec).collect()
    };
    let name = |pair: &Vec<u8>| pair.split(|byte| *byte == b'=').next().map(<[u8]>::to_vec);
    let mut all = pairs(given);
    let names: Vec<_> = all.iter().map(name).collect();
    all.extend(pairs(set).into_iter().filter(|pair| !names.contains(&name(pair))));
    // Parts of fields are a field.
    let mut value = HeaderValue::from_bytes(&all.join(SEPARATOR)).unwrap_or_else(|_| given.clone());
    value.set_sensitive(true);
    value
}

/// A `Referer` that the user gave, for what the user did not: as a browser on that page sends it, but also from https
/// to http, because somebody asked for it.
fn given_referer(given: &str, to: &Url) -> String {
    match Url::parse(given) {
        Ok(from) if from.origin().is_tuple() && from.origin() != to.origin() => format!("{}/", from.origin().ascii_serialization()),
        _ => given.into(),
    }
}

fn value(url: &SafeUrl, name: &str, value: &str) -> Result<HeaderValue, FetchError> {
    HeaderValue::try_from(value).map_err(|_| no_header(url, name))
}

/// The value is left out: it may be a secret. So is what can be no name: it may be a value whose name was forgotten.
fn no_header(url: &SafeUrl, name: &str) -> FetchError {
    let what = match HeaderName::try_from(name) {
        Ok(name) => format!("the value of {name:?} is none that a header may have"),
        Err(_) => "a header has a name that is none".into(),
    };
    FetchError::Invalid { url: url.clone(), what }
}

#[cfg(test)]
mod tests {
    use crate::fetcher::ScopedHeader;
    use crate::netrc::Netrc;

    use super::*;

    fn safe(text: &str) -> SafeUrl {
        Url::parse(text).unwrap().into()
    }

    /// Everything that a user can give, for the origin of `https://a.example/`.
    fn options() -> Options {
        let origin = safe("https://a.example/page");
        let header = |origin: &SafeUrl, name: &str, value: &str| ScopedHeader {
            origin: origin.clone(),
            name: name.into(),
            value: value.into(),
        };
        let mut options = Options {
            referer: Some("https://a.example/page?token=R".into()),
            ..Options::default()
        };
        options.headers = vec![
            header(&origin, "X-Token", "H"),
            header(&safe("https://api.example:8443"), "X-Other", "F"),
        ];
        let netrc = Netrc::parse(b"machine a.example login u password p machine b.example login evil password evil")
            .unwrap()
            .0;
        options.credentials.extend(netrc.credentials(&origin));
        options
            .cookies
            .store(origin.url(), [&HeaderValue::from_static("c=C; Path=/; Secure")]);
        options
    }

    /// `x` for each kind of secret that goes along: -H, --header-for, Authorization, Cookie, the query in Referer.
    fn leaks(options: &Options, hop: &Hop<'_>) -> String {
        let fields = of(options, hop).unwrap();
        let has = |name: &str| if fields.contains_key(name) { 'x' } else { '-' };
        let query = fields.get("referer").is_some_and(|referer| referer.to_str().unwrap().contains('?'));
        ["x-token", "x-other", "authorization", "cookie"]
            .map(has)
            .into_iter()
            .chain([if query { 'x' } else { '-' }])
            .collect()
    }

    #[test]
    fn what_the_user_gave_for_an_origin_goes_nowhere_else() {
        let cases = [
            // Same origin, whatever the path, the port written or not, the case.
            ("https://a.example/", "x-xxx"),
            ("https://a.example:443/deep/x.ts?y#z", "x-xxx"),
            ("https://A.EXAMPLE/", "x-xxx"),
            // Other hosts: parents, children, lookalikes, trailing dots, addresses.
            ("https://example/", "-----"),
            ("https://sub.a.example/", "-----"),
            ("https://aa.example/", "-----"),
            ("https://a.example.evil.example/", "-----"),
            ("https://a.example./", "-----"),
            ("https://b.example/", "-----"),
            ("https://a.example@b.example/", "--x--"),
            ("https://127.0.0.1/", "-----"),
            // Other ports and schemes. A cookie is for all ports of its host (RFC 6265, 8.5).
            ("https://a.example:8443/", "---x-"),
            ("http://a.example/", "-----"),
            ("http://a.example:443/", "-----"),
            // The origin that the user named besides, and others of its host.
            ("https://api.example:8443/x", "-x---"),
            ("https://api.example/x", "-----"),
            ("http://api.example:8443/x", "-----"),
        ];
        let (options, page) = (options(), safe("https://a.example/page?token=R"));
        for (to, expected) in cases {
            let url = safe(to);
            for referrer in [None, Some(&page)] {
                let hop = Hop {
                    url: &url,
                    named_by: Some(&page),
                    referrer,
                    range: None,
                };
                assert_eq!(leaks(&options, &hop), expected, "{to} with {referrer:?}");
            }
        }
    }

    #[test]
    fn credentials_in_a_url_are_for_its_origin_and_go_before_others() {
        let authorization = |options: &Options, url: &str, named_by: Option<&str>| {
            let (url, named_by) = (safe(url), named_by.map(safe));
            let hop = Hop {
                url: &url,
                named_by: named_by.as_ref(),
                referrer: named_by.as_ref(),
                range: None,
            };
            let fields = of(options, &hop).unwrap();
            assert!(!format!("{:?}", fields.get("referer")).contains('@'), "no user name in Referer");
            fields.get("authorization").map(|value| value.to_str().unwrap().to_owned())
        };
        let mut options = options();
        let basic = |text: &str| Some(text.to_owned());
        // YTpi is a:b, dTpw is u:p.
        assert_eq!(authorization(&options, "https://a:b@a.example/", None), basic("Basic YTpi"));
        assert_eq!(authorization(&options, "https://a.example/", None), basic("Basic dTpw"));
        assert_eq!(authorization(&options, "https://u@a.example/", None), basic("Basic dTpw"));
        assert_eq!(authorization(&options, "https://w@a.example/", None), basic("Basic dzo="));
        let from = Some("https://a:b@a.example/x");
        assert_eq!(authorization(&options, "https://c.example/", from), None);
        assert_eq!(authorization(&options, "https://a.example:8443/", from), None);
        assert_eq!(authorization(&options, "http://a.example/", from), None);
        // The machine is in the file, but nobody asked for it.
        assert_eq!(authorization(&options, "https://b.example/", from), None);
        options.headers.push(ScopedHeader {
            origin: safe("https://a.example/"),
            name: "authorization".into(),
            value: "Bearer mine".into(),
        });
        assert_eq!(authorization(&options, "https://a:b@a.example/", None), basic("Bearer mine"));
    }

    // RFC 6265, 4.2.1: pairs with a semicolon and a space between them.
    #[test]
    fn cookies_of_servers_stand_beside_those_of_the_user() {
        let url = safe("https://a.example/");
        let hop = Hop {
            url: &url,
            named_by: None,
            referrer: None,
            range: None,
        };
        for (given, expected) in [
            ("consent=1", "consent=1; c=C"),
            ("c=mine; consent=1;", "c=mine; consent=1"),
            (" a = b=c ; cc=1", "a = b=c; cc=1; c=C"),
        ] {
            let mut options = options();
            options.headers.push(ScopedHeader {
                origin: url.clone(),
                name: "cookie".into(),
                value: given.into(),
            });
            assert_eq!(of(&options, &hop).unwrap().get("cookie").unwrap(), expected, "{given}");
        }
    }

    #[test]
    fn what_the_transfer_decides_is_not_for_the_user_to_say() {
        let url = safe("https://a.example/");
        let mut options = Options::default();
        for name in ["Range", "If-Range", "CONTENT-LENGTH", "Connection", "X-Mine"] {
            options.headers.push(ScopedHeader {
                origin: url.clone(),
                name: name.into(),
                value: "bytes=0-".into(),
            });
        }
        let hop = Hop {
            url: &url,
            named_by: None,
            referrer: None,
            range: Some(("bytes=5-9", None)),
        };
        let fields = of(&options, &hop).unwrap();
        assert_eq!(fields.len(), 2, "{fields:?}");
        assert_eq!(fields.get("range").unwrap(), "bytes=5-9");
        assert_eq!(fields.get("x-mine").unwrap(), "bytes=0-");
    }

    #[test]
    fn a_given_referer_is_whole_where_the_user_points() {
        let given = "https://page.example/watch?token=R";
        let options = Options {
            referer: Some(given.into()),
            ..Options::default()
        };
        let list = safe("https://cdn.example/list.m3u8");
        for (to, named_by, expected) in [
            ("https://cdn.example/list.m3u8", None, given),
            ("https://cdn.example/1.ts", Some(&list), "https://page.example/"),
            ("http://cdn.example/1.ts", Some(&list), "https://page.example/"),
            ("https://page.example/1.ts", Some(&list), given),
        ] {
            let url = safe(to);
            let hop = Hop {
                url: &url,
                named_by,
                referrer: None,
                range: None,
            };
            assert_eq!(of(&options, &hop).unwrap().get("referer").unwrap(), expected, "{to}");
        }
    }

    #[test]
    fn a_value_that_is_no_header_is_not_repeated() {
        let mut options = Options::default();
        options.headers.push(ScopedHeader {
            origin: safe("https://a.example/"),
            name: "X-Token".into(),
            value: "SECRET\r\nX-Evil: 1".into(),
        });
        let url = safe("https://a.example/");
        let hop = Hop {
            url: &url,
            named_by: None,
            referrer: None,
            range: None,
        };
        let told = of(&options, &hop).unwrap_err().to_string();
        assert!(told.contains("x-token") && !told.contains("SECRET"), "{told}");
        options.headers[0].name = "Bearer SECRET".into();
        let told = of(&options, &hop).unwrap_err().to_string();
        assert!(!told.contains("SECRET"), "{told}");
        options.headers.clear();
        options.proxy = Some("http://me:SECRET@proxy.example:3128".into());
        options.referer = Some("https://page.example/watch?token=SECRET".into());
        let told = format!("{options:?}");
        assert!(
            told.contains("proxy.example") && told.contains("page.example/watch") && !told.contains("SECRET"),
            "{told}"
        );
    }
}
