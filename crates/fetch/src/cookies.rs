//! Cookies: each request gets those of its host, path and scheme (RFC 6265), and of nobody else's.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cookie_store::{Cookie, CookieDomain, CookieExpiration, CookiePath, CookieStore, RawCookie};
use reqwest::header::HeaderValue;
use url::{Host, Url};

use crate::netscape::{self, CookieFileError, CookieLine};

/// The longest name and value together that a server may set, in bytes (RFC 6265, 6.1, asks for as much).
const COOKIE_BYTES: usize = 4096;
/// How many cookies the hosts of one site may set.
const PER_SITE: usize = 180;
/// How many cookies all servers together may set (RFC 6265, 6.1).
const IN_ALL: usize = 3000;
/// How many of one answer are looked at.
const PER_ANSWER: usize = 100;

/// A cookie jar: what servers set and what the user brings along, kept apart by site.
///
/// A cookie for a public suffix, such as `co.uk`, is refused: it would go to everybody below. Values are never
/// printed. What servers may put in is bounded; what the user brings along is not.
#[derive(Default)]
pub struct Jar {
    /// By registrable domain, or by host where there is none: no cookie reaches beyond, and the cookies of a
    /// thousand other sites cost a request nothing.
    sites: Mutex<HashMap<String, CookieStore>>,
}

impl Jar {
    /// An empty jar.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the cookies of a Netscape `cookies.txt` in; those that have expired are left out. It gives the lines
    /// that are no cookies.
    ///
    /// # Errors
    ///
    /// When there are lines, and none is a cookie.
    pub fn read_netscape(&self, text: &[u8]) -> Result<Vec<CookieLine>, CookieFileError> {
        let (entries, mut wrong) = netscape::read(text);
        let mut taken = 0_usize;
        for (line, entry) in entries {
            match self.bring(&entry) {
                Ok(()) => taken += 1,
                Err(what) => wrong.push(CookieLine { line, what }),
            }
        }
        if taken == 0 && !wrong.is_empty() {
            return Err(CookieFileError {
                first: wrong.swap_remove(0),
            });
        }
        Ok(wrong)
    }

    /// The cookies that have not expired, as a Netscape `cookies.txt`; those of the session expire at 0.
    pub fn to_netscape(&self) -> String {
        let sites = self.lock();
        let entries = sites.values().flat_map(CookieStore::iter_unexpired).map(|cookie| netscape::Entry {
            host: cookie.domain.as_cow().unwrap_or_default().into_owned(),
            subdomains: matches!(cookie.domain, CookieDomain::Suffix(_)),
            path: cookie.path.to_string(),
            secure: cookie.secure().unwrap_or(false),
            http_only: cookie.http_only().unwrap_or(false),
            expires: match cookie.expires {
                CookieExpiration::AtUtc(time) => u64::try_from(time.unix_timestamp()).unwrap_or(1).max(1),
                CookieExpiration::SessionEnd => 0,
            },
            name: cookie.name().into(),
            value: cookie.value().into(),
        });
        netscape::write(entries.collect())
    }

    /// The value of the `Cookie` field for a request (RFC 6265, 5.4).
    pub(crate) fn header(&self, url: &Url) -> Option<HeaderValue> {
        let sites = self.lock();
        // Most jobs have none.
        if sites.is_empty() {
            return None;
        }
        let mut cookies = sites.get(site(url)?)?.matches(url);
        // The store takes loopback for secure, as browsers do; a proxy on the way would see them all the same.
        cookies.retain(|cookie| cookie.secure() != Some(true) || url.scheme() == "https");
        // Longer paths go first; names keep the rest in a steady order.
        cookies.sort_by_key(|cookie| (std::cmp::Reverse(cookie.path.len()), cookie.name().to_owned()));
        let pairs: Vec<String> = cookies
            .iter()
            .map(|cookie| format!("{}={}", cookie.name(), cookie.value()))
            .collect();
        if pairs.is_empty() {
            return None;
        }
        let mut value = HeaderValue::try_from(pairs.join("; ")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Takes in what an answer from `url` sets (RFC 6265, 5.2 and 5.3, with the prefixes of RFC 6265bis, 4.1.3).
    pub(crate) fn store<'a>(&self, url: &Url, fields: impl IntoIterator<Item = &'a HeaderValue>) {
        for field in fields.into_iter().take(PER_ANSWER) {
            let parsed = std::str::from_utf8(field.as_bytes())
                .ok()
                .and_then(|text| RawCookie::parse(text).ok());
            let taken = match &parsed {
                Some(cookie) => self.set(cookie, url),
                None => Err("it cannot be read".into()),
            };
            if let Err(reason) = taken {
                tracing::debug!(host = url.host_str(), reason, "cookie refused");
            }
        }
    }

    fn set(&self, raw: &RawCookie<'_>, url: &Url) -> Result<(), String> {
        let (name, secure) = (raw.name(), raw.secure().unwrap_or(false));
        if name.len() + raw.value().len() > COOKIE_BYTES {
            return Err(format!("it is longer than {COOKIE_BYTES} bytes"));
        }
        if name.chars().chain(raw.value().chars()).any(char::is_control) {
            return Err("it has a control character".into());
        }
        if secure && url.scheme() != "https" {
            return Err("it is Secure, and comes over http".into());
        }
        if has_prefix(name, "__Secure-") && !secure {
            return Err("its name says __Secure-, and it is not".into());
        }
        if has_prefix(name, "__Host-") && (!secure || raw.domain().is_some() || raw.path() != Some("/")) {
            return Err("its name says __Host-, and it is not bound to its host".into());
        }
        let mut raw = raw.clone();
        if let Some(domain) = raw.domain().filter(|domain| !domain.is_empty()) {
            let domain = canonical(domain).ok_or("its domain is none")?;
            if is_public_suffix(&domain) {
                if url.host_str() != Some(&domain) {
                    return Err("its domain is a public suffix".into());
                }
                raw.unset_domain();
            }
        }
        let cookie = Cookie::try_from_raw_cookie(&raw, url)
            .map_err(|error| error.to_string())?
            .into_owned();
        let mut sites = self.lock();
        let site = site(url).ok_or("its host is none")?;
        let domain = cookie.domain.as_cow().unwrap_or_default();
        match sites.get(site) {
            // What came over TLS is not for those to change who sit on the way (RFC 6265bis, 5.7, step 12).
            Some(store)
                if url.scheme() != "https"
                    && store
                        .iter_unexpired()
                        .any(|old| old.name() == cookie.name() && old.secure() == Some(true)) =>
            {
                return Err("a Secure cookie of its name is there".into());
            }
            Some(store) if store.contains_any(&domain, &cookie.path, cookie.name()) => {}
            _ => make_room(&mut sites, site)?,
        }
        let store = sites.entry(site.to_owned()).or_default();
        store.insert(cookie, url).map(drop).map_err(|error| error.to_string())
    }

    /// Takes in a cookie of the user.
    fn bring(&self, entry: &netscape::Entry) -> Result<(), String> {
        let host = canonical(&entry.host).ok_or("its domain is none")?;
        let url = Url::parse(&format!("https://{host}/")).map_err(|_| "its domain is none")?;
        if entry.subdomains && is_public_suffix(&host) {
            return Err("its domain is a public suffix: the cookie would go to everybody below".into());
        }
        let raw = RawCookie::build((entry.name.clone(), entry.value.clone()))
            .secure(entry.secure)
            .http_only(entry.http_only);
        let mut cookie = Cookie::try_from_raw_cookie(&raw.build(), &url).map_err(|error| error.to_string())?;
        if entry.subdomains && matches!(url.host(), Some(Host::Domain(_))) {
            cookie.domain = CookieDomain::Suffix(host);
        }
        cookie.path = CookiePath::parse(&entry.path).ok_or("its path does not begin with a slash")?;
        if entry.expires > 0 {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let left = entry.expires.saturating_sub(now.unwrap_or_default().as_secs());
            if left == 0 {
                return Ok(());
            }
            cookie.expires = CookieExpiration::from(left);
        }
        let site = site(&url).ok_or("its domain is none")?.to_owned();
        let mut sites = self.lock();
        let taken = sites.entry(site).or_default().insert(cookie, &url);
        taken.map(drop).map_err(|error| error.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, CookieStore>> {
        // Every change is one insertion: a panic elsewhere leaves nothing half done.
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Jar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sites = self.lock();
        let cookies: usize = sites.values().map(|store| store.iter_any().count()).sum();
        f.debug_struct("Jar").field("cookies", &cookies).finish()
    }
}

/// Makes sure that another cookie of `site` may come in.
fn make_room(sites: &mut HashMap<String, CookieStore>, site: &str) -> Result<(), String> {
    let count = |store: &CookieStore| store.iter_any().count();
    let full = |sites: &HashMap<String, CookieStore>| {
        sites.get(site).map_or(0, count) >= PER_SITE || sites.values().map(count).sum::<usize>() >= IN_ALL
    };
    if !full(sites) {
        return Ok(());
    }
    for store in sites.values_mut() {
        let over: Vec<_> = store
            .iter_any()
            .filter(|cookie| cookie.is_expired())
            .map(|cookie| {
                let domain = cookie.domain.as_cow().unwrap_or_default().into_owned();
                (domain, cookie.path.to_string(), cookie.name().to_owned())
            })
            .collect();
        for (domain, path, name) in over {
            store.remove(&domain, &path, &name);
        }
    }
    if full(sites) { Err("the jar is full".into()) } else { Ok(()) }
}

/// Whose cookies a host shares: those of its registrable domain.
fn site(url: &Url) -> Option<&str> {
    let host = url.host_str()?;
    Some(match url.host()? {
        Host::Domain(name) => psl::domain_str(name).unwrap_or(name),
        Host::Ipv4(_) | Host::Ipv6(_) => host,
    })
}

/// A domain as URLs write it.
fn canonical(domain: &str) -> Option<String> {
    let domain = domain.strip_prefix('.').unwrap_or(domain);
    let bare_v6 = domain.contains(':') && !domain.starts_with('[');
    let host = if bare_v6 {
        Host::parse(&format!("[{domain}]"))
    } else {
        Host::parse(domain)
    };
    // An empty label would hide a public suffix.
    host.ok()
        .map(|host| host.to_string())
        .filter(|host| !host.starts_with('.') && !host.contains(".."))
}

/// Whether everybody may register names below. A name without a dot is nobody's, in the list or not.
fn is_public_suffix(domain: &str) -> bool {
    !domain.contains('.') || psl::suffix(domain.as_bytes()).is_some_and(|suffix| suffix.is_known() && suffix == domain.as_bytes())
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn sent(jar: &Jar, to: &str) -> String {
        jar.header(&url(to))
            .map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    }

    // RFC 6265, 5.1.3, 5.1.4, 5.3 and 5.4; RFC 6265bis, 4.1.3 and 5.7; the Public Suffix List.
    #[test]
    fn a_cookie_goes_back_to_its_host_path_and_scheme_alone() {
        let to = [
            "https://www.shop.example/a/b",
            "https://shop.example/a",
            "https://www.shop.example/",
            "http://www.shop.example/a/b",
            "https://other.example/a/b",
            "https://evilshop.example/a/b",
        ];
        // From https://www.shop.example/a/b, and to which of those it goes.
        let cases: [(&str, [bool; 6]); 14] = [
            ("n=v", [true, false, false, true, false, false]),
            ("n=v; Path=/", [true, false, true, true, false, false]),
            ("n=v; Path=/; Domain=shop.example", [true, true, true, true, false, false]),
            ("n=v; Path=/; Domain=.SHOP.example", [true, true, true, true, false, false]),
            ("n=v; Path=/; Secure", [true, false, true, false, false, false]),
            ("n=v; Path=/a/b/c", [false; 6]),
            ("n=v; Path=/; Domain=other.example", [false; 6]),
            ("n=v; Path=/; Domain=example", [false; 6]),
            ("n=v; Path=/; Domain=op.example", [false; 6]),
            ("n=v; Path=/; Max-Age=0", [false; 6]),
            ("n=v; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", [false; 6]),
            ("__Secure-n=v; Path=/", [false; 6]),
            ("__host-n=v; Path=/; Secure; Domain=shop.example", [false; 6]),
            ("__Host-n=v; Path=/; Secure", [true, false, true, false, false, false]),
        ];
        for (field, goes) in cases {
            let jar = Jar::new();
            jar.store(&url("https://www.shop.example/a/b"), [&HeaderValue::from_static(field)]);
            let found = to.map(|to| !sent(&jar, to).is_empty());
            assert_eq!(found, goes, "{field}");
        }
    }

    #[test]
    fn nobody_sets_cookies_for_everybody() {
        let cases = [
            ("https://a.co.uk/", "co.uk", false),
            ("https://a.co.uk/", "a.co.uk", true),
            ("https://a.github.io/", "github.io", false),
            ("https://github.io/", "github.io", true),
            ("https://x.city.kawasaki.jp/", "city.kawasaki.jp", true),
            ("https://x.any.kawasaki.jp/", "any.kawasaki.jp", false),
            ("https://a.xn--55qx5d.cn/", "xn--55qx5d.cn", false),
            ("https://a.xn--55qx5d.cn/", "\u{516c}\u{53f8}.cn", false),
            ("https://a.intranet/", "intranet", false),
            ("https://a.com./", "com.", false),
            ("https://a..co.uk/", "..co.uk", false),
            ("https://a..co.uk/", "...co.uk", false),
            ("https://127.0.0.1/", "127.0.0.1", true),
            ("https://127.0.0.1/", "0.0.1", false),
            ("https://127.0.0.1/", "1", false),
        ];
        for (from, domain, taken) in cases {
            let jar = Jar::new();
            let field = HeaderValue::from_bytes(format!("n=v; Domain={domain}").as_bytes()).unwrap();
            jar.store(&url(from), [&field]);
            assert_eq!(!sent(&jar, from).is_empty(), taken, "{domain} from {from}");
        }
        // Where host and public suffix are one, the cookie is for that host alone.
        let jar = Jar::new();
        jar.store(&url("https://github.io/"), [&HeaderValue::from_static("n=v; Domain=github.io")]);
        assert_eq!(sent(&jar, "https://a.github.io/"), "");
    }

    #[test]
    fn who_sits_on_the_way_neither_sets_nor_changes_a_secure_cookie() {
        let jar = Jar::new();
        jar.store(&url("http://a.example/"), [&HeaderValue::from_static("n=evil; Secure")]);
        assert_eq!(sent(&jar, "https://a.example/"), "");
        jar.store(&url("https://a.example/"), [&HeaderValue::from_static("n=good; Secure")]);
        jar.store(&url("http://a.example/"), [&HeaderValue::from_static("n=evil")]);
        jar.store(&url("http://b.a.example/x/"), [&HeaderValue::from_static("n=evil; Path=/x")]);
        assert_eq!(sent(&jar, "https://a.example/x/"), "n=good");
        assert_eq!(sent(&jar, "http://a.example/"), "");
        jar.store(&url("https://127.0.0.1/"), [&HeaderValue::from_static("n=v; Secure")]);
        assert_eq!(sent(&jar, "http://127.0.0.1/"), "");
    }

    #[test]
    fn longer_paths_go_first_and_a_new_value_replaces_the_old() {
        let jar = Jar::new();
        let fields = ["b=1; Path=/", "a=1; Path=/", "c=1; Path=/x/y", "b=2; Path=/"].map(HeaderValue::from_static);
        jar.store(&url("https://a.example/x/y/z"), &fields);
        assert_eq!(sent(&jar, "https://a.example/x/y/z"), "c=1; a=1; b=2");
        jar.store(&url("https://a.example/"), [&HeaderValue::from_static("b=; Max-Age=-1; Path=/")]);
        assert_eq!(sent(&jar, "https://a.example/"), "a=1");
    }

    #[test]
    fn a_jar_has_a_bottom() {
        let jar = Jar::new();
        let long = format!("n={}", "x".repeat(COOKIE_BYTES));
        jar.store(&url("https://a.example/"), [&HeaderValue::try_from(long).unwrap()]);
        assert_eq!(sent(&jar, "https://a.example/"), "");
        for site in 0..40 {
            for number in 0..200 {
                let field = HeaderValue::try_from(format!("n{number}=v")).unwrap();
                jar.store(&url(&format!("https://{site}.example/")), [&field]);
            }
        }
        let count = |to: &str| sent(&jar, to).split("; ").filter(|pair| !pair.is_empty()).count();
        assert_eq!(count("https://0.example/"), PER_SITE);
        let all: usize = (0..40).map(|site| count(&format!("https://{site}.example/"))).sum();
        assert_eq!(all, IN_ALL);
        // What is there can still be renewed, and what has expired makes room.
        jar.store(
            &url("https://0.example/"),
            &["n0=new", "n1=; Max-Age=0"].map(HeaderValue::from_static),
        );
        jar.store(&url("https://0.example/"), [&HeaderValue::from_static("fresh=v")]);
        let now = sent(&jar, "https://0.example/");
        assert!(now.contains("n0=new") && now.contains("fresh=v") && !now.contains("n1="), "{now}");
    }

    #[test]
    fn a_file_of_cookies_is_obeyed_and_written_again() {
        let far = 4_000_000_000_u64;
        let file = format!(
            "# Netscape HTTP Cookie File\n\n.a.example\tTRUE\t/\tFALSE\t{far}\twide\t1\na.example\tFALSE\t/in\tTRUE\t0\tdeep\t2\n\
             #HttpOnly_a.example\tFALSE\t/\tFALSE\t{far}\thidden\t3\na.example\tFALSE\t/\tFALSE\t1000000000\told\t4\n\
             .co.uk\tTRUE\t/\tFALSE\t{far}\tall\t5\n...co.uk\tTRUE\t/\tFALSE\t{far}\tall\t5\n"
        );
        let jar = Jar::new();
        let wrong = jar.read_netscape(file.as_bytes()).unwrap();
        assert_eq!(wrong.len(), 2);
        assert_eq!(wrong[1].to_string(), "line 8: its domain is none");
        assert!(
            wrong[0].to_string().starts_with("line 7: its domain is a public suffix"),
            "{}",
            wrong[0]
        );
        assert_eq!(sent(&jar, "https://a.example/in"), "deep=2; hidden=3; wide=1");
        assert_eq!(sent(&jar, "http://a.example/in"), "hidden=3; wide=1");
        assert_eq!(sent(&jar, "http://b.a.example/in"), "wide=1");
        assert_eq!(sent(&jar, "http://x.co.uk/"), "");

        let again = Jar::new();
        let written = jar.to_netscape();
        assert_eq!(again.read_netscape(written.as_bytes()).unwrap(), []);
        assert_eq!(again.to_netscape(), written);
        assert_eq!(sent(&again, "https://a.example/in"), "deep=2; hidden=3; wide=1");
        assert!(
            written.contains(&format!("#HttpOnly_a.example\tFALSE\t/\tFALSE\t{far}\thidden\t3\n")),
            "{written}"
        );
    }

    #[test]
    fn no_value_is_printed() {
        let jar = Jar::new();
        jar.store(&url("https://a.example/"), [&HeaderValue::from_static("n=SECRET")]);
        let header = jar.header(&url("https://a.example/")).unwrap();
        assert_eq!(format!("{jar:?} {header:?}"), "Jar { cookies: 1 } Sensitive");
    }
}
