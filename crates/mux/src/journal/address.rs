//! Addresses as a journal and a report tell them: without secrets, and the same from one day to the next.

use std::borrow::Cow;

use aqueduct_core::SafeUrl;
use sha2::{Digest, Sha256};

use super::record::hex;

/// A URL without what may be secret or change from one day to the next: user name, query, fragment, and in the path a token
/// that is a list of an expiry, a scope and a MAC. Of any other token or value of a `name=value` in the path, and of what a
/// `data:` URL, or any other that is no address, holds, the beginning of a digest stays: it may be all that tells two streams
/// apart. What is told like this already is told as it is.
pub(crate) fn address(url: &SafeUrl) -> String {
    if !matches!(url.url().scheme(), "http" | "https" | "file") {
        if url.url().path().strip_prefix("sha256-").is_some_and(is_digest) {
            return url.url().as_str().to_owned();
        }
        let digest = Sha256::digest(url.url().as_str());
        return format!("{}:sha256-{}", url.url().scheme(), hex(&digest[..16]));
    }
    let digest = |value: &str| hex(&Sha256::digest(value)[..16]);
    let segments = url.path().map(|(segment, secret)| match secret {
        Some(_) if is_told(segment) => Cow::Borrowed(segment),
        Some((name, _)) if is_token(segment) => Cow::Owned(format!("{name}=*")),
        // The padding of what is a value as a whole.
        Some((_, value)) if unpadded(value).is_empty() => Cow::Owned(format!("*{}", digest(segment))),
        Some((name, value)) => Cow::Owned(format!("{name}=*{}", digest(value))),
        None => Cow::Borrowed(segment),
    });
    let path = segments.collect::<Vec<_>>().join("/");
    let mut url = url.url().clone();
    url.set_path(&path);
    url.set_query(None);
    url.set_fragment(None);
    // A URL that cannot have a user name has none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

/// Whether the [`address`] of a URL leads where the URL does.
pub(super) fn is_told_whole(url: &SafeUrl) -> bool {
    let mut whole = url.url().clone();
    whole.set_fragment(None);
    let is_address = matches!(whole.scheme(), "http" | "https" | "file");
    is_address && address(url) == whole.as_str() && !url.path().any(|(segment, _)| is_told(segment))
}

/// Whether what is secret in a part of a path was left out of it.
fn is_told(segment: &str) -> bool {
    let value = segment.split_once('=').map_or(segment, |(_, value)| value);
    value == "*" || value.strip_prefix('*').is_some_and(is_digest)
}

/// Whether this is the beginning of a digest, as it stands in an address.
fn is_digest(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// What stands for a key that is one by itself.
const UNTOLD_KEY: &str = "data:*";

/// How a journal or a report tells the key at `url`, where that tells it from others.
pub fn told_key(url: &SafeUrl) -> Option<String> {
    Some(key_address(url)).filter(|told| told != UNTOLD_KEY)
}

/// What stands in front of the beginning of a digest of a query that is left out.
const QUERY: &str = "?*";
/// How much of that digest is told, in hexadecimal digits: enough to tell the keys of a recording apart.
const QUERY_DIGITS: usize = 8;

/// Where a key was. What is one by itself is not told. Of a query, which may be all that tells two keys apart, the beginning of a digest
/// is.
pub(super) fn key_address(url: &SafeUrl) -> String {
    if url.url().scheme() == "data" {
        return UNTOLD_KEY.into();
    }
    let (told, query) = (address(url), url.url().query().filter(|query| !query.is_empty()));
    match query {
        Some(query) if is_key_query(query) => format!("{told}?{query}"),
        Some(query) => format!("{told}{QUERY}{}", &hex(&Sha256::digest(query))[..QUERY_DIGITS]),
        None => told,
    }
}

/// Whether a query stands for one that was left out.
fn is_key_query(query: &str) -> bool {
    let digest = query.strip_prefix('*');
    digest.is_some_and(|digest| digest.len() == QUERY_DIGITS && digest.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')))
}

/// Parts the address of a key, as a report tells it, from what stands there for its query, if that was left out.
pub fn without_key_query(told: &str) -> (&str, Option<&str>) {
    match told.rsplit_once('?') {
        Some((address, query)) if is_key_query(query) => (address, Some(query)),
        _ => (told, None),
    }
}

/// Whether a part of a path is what lets somebody in and not what tells one stream from another: a list such as
/// `exp=…~acl=…~hmac=…`, as content delivery networks lay it into paths.
fn is_token(segment: &str) -> bool {
    segment.contains('~') && ["exp=", "hmac="].iter().any(|part| segment.contains(part))
}

/// What is in front of the padding of Base64.
fn unpadded(value: &str) -> String {
    let plain = value.replace("%3D", "=").replace("%3d", "=");
    plain.trim_end_matches('=').into()
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    #[test]
    fn an_address_holds_no_secret() {
        for (url, expected) in [
            (
                "https://me:pass@host.example:8443/a/b.ts?token=SECRET#f",
                "https://host.example:8443/a/b.ts",
            ),
            ("http://host.example/a", "http://host.example/a"),
            (
                "http://host.example/t=SECRET/a",
                "http://host.example/t=*0917b13a9091915d54b6336f45909539/a",
            ),
            (
                "http://host.example/token%3DSECRET/a",
                "http://host.example/token=*0917b13a9091915d54b6336f45909539/a",
            ),
            (
                "http://host.example/U0VDUkVUMQ==/a",
                "http://host.example/*8fb1802b70f0380c6a9262bd0421a167/a",
            ),
            (
                "http://host.example/U0VDUkVUMQ%3D%3D/a",
                "http://host.example/*b02bc1c5750f8a56edba6bdc90fa05d0/a",
            ),
            (
                "http://host.example/eyJhbGciOiJIUzI1NiJ9.SECRET.SECRET/a",
                "http://host.example/*630dcdb0c56a42e91f4e9d218d9da295/a",
            ),
            (
                "http://host.example/a.ts;jsessionid=SECRET",
                "http://host.example/a.ts;jsessionid=*0917b13a9091915d54b6336f45909539",
            ),
            (
                "http://host.example/exp=1~acl=/x/*~hmac=SECRET/a",
                "http://host.example/exp=*/x/*~hmac=*/a",
            ),
            // printf 2024-01-31 | sha256sum | cut -c1-32
            (
                "http://host.example/date=2024-01-31/a",
                "http://host.example/date=*253cc68f602792c897da18d783813611/a",
            ),
            // printf a1b2c3d4e5f60718 | sha256sum | cut -c1-32
            (
                "http://host.example/token/a1b2c3d4e5f60718/a",
                "http://host.example/token/*b82efc46c073d9d8f6dfd0ad738a7074/a",
            ),
            // printf skd://SECRET | sha256sum | cut -c1-32
            ("skd://SECRET", "skd:sha256-206ae64531fb160b6af475a2d5b17437"),
            // printf data:text/plain,SECRET | sha256sum | cut -c1-32
            ("data:text/plain,SECRET", "data:sha256-4e1d4c18313db35241d1979e1dda5aa7"),
        ] {
            let whole = Url::parse(url).unwrap().into();
            assert_eq!(address(&whole), expected);
            assert_eq!(is_told_whole(&whole), url == expected, "{url}");
            let told = Url::parse(expected).unwrap().into();
            assert_eq!(address(&told), expected, "{url}: told again");
            assert_eq!(
                is_told_whole(&told),
                !expected.contains(['*']) && expected.starts_with("http"),
                "{url}"
            );
        }
    }

    #[test]
    fn keys_are_told_apart_by_what_is_left_out() {
        for (url, expected, apart) in [
            ("http://host.example/key", "http://host.example/key", None),
            ("http://host.example/key?", "http://host.example/key", None),
            // printf id=1 | sha256sum | cut -c1-8
            (
                "http://host.example/key?id=1",
                "http://host.example/key?*d9fc91d4",
                Some("*d9fc91d4"),
            ),
            // printf id=2 | sha256sum | cut -c1-8
            (
                "http://host.example/key?id=2",
                "http://host.example/key?*25d0c83e",
                Some("*25d0c83e"),
            ),
            ("data:text/plain,SECRET", "data:*", None),
        ] {
            let told = key_address(&Url::parse(url).unwrap().into());
            assert_eq!(told, expected);
            assert_eq!(without_key_query(&told).1, apart, "{url}");
            if told != "data:*" {
                assert_eq!(key_address(&Url::parse(&told).unwrap().into()), told, "told again");
            }
        }
        assert_eq!(
            without_key_query("http://host.example/key?*0a1b2c3"),
            ("http://host.example/key?*0a1b2c3", None)
        );
    }

    #[test]
    fn tokens_in_the_path_may_change_and_other_values_may_not() {
        let difference = |then: &str, now: &str| {
            let [then, now] = [then, now].map(|url| address(&Url::parse(url).unwrap().into()));
            then != now
        };
        for (then, now, differs) in [
            (
                "http://a.example/hls/exp=1700000000~acl=/*~hmac=0a1b/7.ts",
                "http://a.example/hls/exp=1700086400~acl=/*~hmac=2c3d/7.ts",
                false,
            ),
            ("http://a.example/U0VDUkVUMQ==/7.ts", "http://a.example/U0VDUkVUMg==/7.ts", true),
            ("http://a.example/s=1/e=5/7.ts", "http://a.example/s=1/e=6/7.ts", true),
            ("http://a.example/token=1/7.ts", "http://a.example/token=2/7.ts", true),
            (
                "http://a.example/id=0f8fad5b-d9cb-469f-a165-70867728950e/7.ts",
                "http://a.example/id=7c9e6679-7425-40de-944b-e07fc1f90ae7/7.ts",
                true,
            ),
            (
                "http://a.example/date=2024-01-31/7.ts",
                "http://a.example/date=2024-02-01/7.ts",
                true,
            ),
            ("http://a.example/id=1/7.ts", "http://a.example/id=2/7.ts", true),
            ("http://a.example/exp=1~hmac=a/7.ts", "http://a.example/exp=2~hmac=b/8.ts", true),
        ] {
            assert_eq!(difference(then, now), differs, "{then} and {now}");
        }
    }
}
