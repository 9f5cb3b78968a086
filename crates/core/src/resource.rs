//! What to fetch: a redacted URL, a byte range and what kind of thing is expected there.

use std::fmt;
use std::sync::Arc;

use url::Url;

/// A URL that is safe to print.
///
/// `Display` and `Debug` leave out user name and password, the values of all query parameters and of `name=value` in the
/// path (they carry tokens and signatures as often as not), other [tokens](SafeUrl::path) in the path and the fragment; a
/// `data:` URL shows only its media type, and one that is no address, such as `skd:`, only its scheme.
/// [`SafeUrl::url`] gives the whole URL to those who make the request. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SafeUrl(Arc<Url>);

impl SafeUrl {
    /// The whole URL, secrets included: for making requests, never for messages.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// The segments of the path, in order, each with the name and the value of what is not shown in it: of `name=value`
    /// the value. A token as a whole is a name without a value:
    ///
    /// - a JSON Web Token (RFC 7519), which begins with `{"` in Base64;
    /// - what follows a segment that calls it one (`/token/…/`);
    /// - what stands beside the time when it expires (`/…/1767225600/`), as servers sign links.
    ///
    /// Names of files, and identifiers without such a neighbour, are no tokens, however long.
    pub fn path(&self) -> impl Iterator<Item = (&str, Option<(&str, &str)>)> {
        let segments: Vec<&str> = self.0.path().split('/').collect();
        (0..segments.len()).map(move |at| {
            let segment = segments[at];
            let before = at.checked_sub(1).map_or("", |before| segments[before]);
            let after = segments.get(at + 1).copied().unwrap_or_default();
            (
                segment,
                named_value(segment).or_else(|| is_token(before, segment, after).then_some((segment, ""))),
            )
        })
    }

    /// Whether both URLs share scheme, host and port.
    pub fn same_origin(&self, other: &Self) -> bool {
        self.0.origin() == other.0.origin()
    }
}

impl From<Url> for SafeUrl {
    fn from(url: Url) -> Self {
        Self(Arc::new(url))
    }
}

impl fmt::Display for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &*self.0;
        if url.scheme() == "data" {
            let media_type = url.path().split([',', ';']).next().unwrap_or_default();
            return write!(f, "data:{media_type},…");
        }
        write!(f, "{}:", url.scheme())?;
        if !is_address(url) {
            return f.write_str("…");
        }
        if url.has_host() || url.scheme() == "file" {
            f.write_str("//")?;
        }
        if let Some(host) = url.host_str() {
            f.write_str(host)?;
        }
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        for (n, (segment, secret)) in self.path().enumerate() {
            f.write_str(if n == 0 { "" } else { "/" })?;
            match secret {
                None => f.write_str(segment)?,
                parameter => write_parameter(f, parameter)?,
            }
        }
        if let Some(query) = url.query() {
            for (n, parameter) in query.split('&').enumerate() {
                f.write_str(if n == 0 { "?" } else { "&" })?;
                write_parameter(f, parameter.split_once('='))?;
            }
        }
        Ok(())
    }
}

/// Whether a URL says where something is. Others, such as `skd:`, name it to a program: with an identifier that may let
/// somebody in.
fn is_address(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https" | "ws" | "wss" | "ftp" | "file")
}

/// `name=value`, or a JSON Web Token.
fn named_value(segment: &str) -> Option<(&str, &str)> {
    const JWT_BYTES: usize = 24;
    if segment.starts_with("eyJ") && segment.len() >= JWT_BYTES {
        return Some((segment, ""));
    }
    let encoded = || segment.split_once("%3D").or_else(|| segment.split_once("%3d"));
    segment.split_once('=').or_else(encoded)
}

/// Whether a segment of a path is a token, by those beside it.
fn is_token(before: &str, segment: &str, after: &str) -> bool {
    /// What names a token, and how long the shortest is, in bytes: short names often mean something else.
    const NAMED: [(&[&str], usize); 2] = [
        (
            &[
                "apikey",
                "auth",
                "authtoken",
                "hash",
                "hdnea",
                "hdntl",
                "hdnts",
                "hmac",
                "jwt",
                "key",
                "secret",
                "sess",
                "session",
                "sessionid",
                "sig",
                "sign",
                "signature",
                "signed",
                "ticket",
                "token",
                "tokens",
            ],
            16,
        ),
        (&["k", "s", "sid", "st", "t", "tk"], 32),
    ];
    /// 128 bits in Base64.
    const SIGNED: usize = 22;
    if !is_random(segment) {
        return false;
    }
    let name: String = before
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_lowercase();
    let named = |(names, least): &(&[&str], usize)| names.contains(&&*name) && segment.len() >= *least;
    NAMED.iter().any(named) || segment.len() >= SIGNED && (is_time(before) || is_time(after))
}

/// Whether this may be random bytes in hexadecimal or Base64 (RFC 4648), or several of them: with digits and letters, and not
/// the name of a file.
fn is_random(segment: &str) -> bool {
    let has = |what: fn(&u8) -> bool| segment.bytes().any(|byte| what(&byte));
    let is_file = segment.rsplit_once('.').is_some_and(|(_, extension)| extension.len() <= 5);
    let is_written_so = segment
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.~+%:,".contains(&byte));
    is_written_so && !is_file && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)
}

/// Whether this may be a time of this century before 2065, in seconds since 1970.
fn is_time(segment: &str) -> bool {
    segment.len() == 10 && matches!(segment.as_bytes()[0], b'1' | b'2') && segment.bytes().all(|byte| byte.is_ascii_digit())
}

fn write_parameter(f: &mut fmt::Formatter<'_>, parameter: Option<(&str, &str)>) -> fmt::Result {
    match parameter {
        Some((name, value)) if !value.replace("%3D", "=").replace("%3d", "=").trim_matches('=').is_empty() => write!(f, "{name}=…"),
        // A parameter without a value may be the token itself, with the padding of its base64.
        _ => f.write_str("…"),
    }
}

impl fmt::Debug for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A part of a resource, in absolute bytes (RFC 8216, 4.3.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRange {
    /// First byte, counted from the start of the resource.
    pub offset: u64,
    /// Number of bytes, at least one.
    pub length: u64,
}

impl ByteRange {
    /// The offset of the last byte, as the `Range` header wants it; `None` for an empty range or one that
    /// ends beyond 2⁶⁴.
    pub fn last(self) -> Option<u64> {
        self.offset.checked_add(self.length.checked_sub(1)?)
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.length, self.offset)
    }
}

/// What is expected behind a URL. It decides the size limit, whether the transfer may be compressed, and
/// what a fetcher does with a body that is something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A page, or anything else that somebody may hand us: read whole when it is text, and only its head
    /// ([`Fetched::whole`](crate::Fetched::whole) is false) when it turns out to be media.
    Document,
    /// A playlist.
    Playlist,
    /// A decryption key.
    Key,
    /// A Media Initialization Section.
    Init,
    /// A Media Segment, or one range of a plain media file.
    Segment,
    /// A plain file of any size, handed on piece by piece: [`Fetch::stream`](crate::Fetch::stream).
    File,
}

/// The largest body that is accepted for each [`Kind`], in bytes after any decompression.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// A page, or a playlist that is given in its place: 64 MiB.
    pub document_bytes: u64,
    /// A playlist: 64 MiB.
    pub playlist_bytes: u64,
    /// A key: 64 KiB. Keys are 16 bytes; the rest is room to say what came instead.
    pub key_bytes: u64,
    /// A Media Initialization Section: 16 MiB.
    pub init_bytes: u64,
    /// A Media Segment: 512 MiB.
    pub segment_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            document_bytes: 64 * MIB,
            playlist_bytes: 64 * MIB,
            key_bytes: 64 << 10,
            init_bytes: 16 * MIB,
            segment_bytes: 512 * MIB,
        }
    }
}

impl Limits {
    /// The limit for one kind of body. A [`Kind::File`] is handed on in pieces, each held to the limit of a
    /// segment.
    pub fn bytes(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Document => self.document_bytes,
            Kind::Playlist => self.playlist_bytes,
            Kind::Key => self.key_bytes,
            Kind::Init => self.init_bytes,
            Kind::Segment | Kind::File => self.segment_bytes,
        }
    }
}

/// Something to fetch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    /// Where it is.
    pub url: SafeUrl,
    /// The part that is wanted; the whole without it.
    pub range: Option<ByteRange>,
    /// What is expected there.
    pub kind: Kind,
    /// The document that a browser would name in the `Referer` header.
    pub referrer: Option<SafeUrl>,
    /// The document or playlist that holds this address; `None` when the user gave it. Policy depends on
    /// it: what a remote document names never reaches a local file.
    pub named_by: Option<SafeUrl>,
    /// What tells the version of the resource that is wanted, as [`Fetched::version`](crate::Fetched::version) told
    /// it: another one is an error. The ranges of a plain file must be of one file.
    pub version: Option<Arc<str>>,
    /// The same is to be had elsewhere ([`Resolve::elsewhere`](crate::Resolve::elsewhere)): a server that does not answer is
    /// left soon.
    pub redundant: bool,
}

impl Resource {
    /// The whole of `url`, given by the user.
    pub fn new(kind: Kind, url: impl Into<SafeUrl>) -> Self {
        Self {
            url: url.into(),
            range: None,
            kind,
            referrer: None,
            named_by: None,
            version: None,
            redundant: false,
        }
    }

    /// Something that this resource names: it is `named_by` this one and sends the same `Referer`. What a `data:` URL
    /// holds was written by whoever named that; one in `named_by` was given by the user.
    #[must_use]
    pub fn names(&self, kind: Kind, url: impl Into<SafeUrl>) -> Self {
        Self {
            url: url.into(),
            range: None,
            kind,
            referrer: self.referrer.clone(),
            named_by: match &self.named_by {
                Some(by) if self.url.url().scheme() == "data" => Some(by.clone()),
                _ => Some(self.url.clone()),
            },
            version: None,
            // There is one key, wherever it is asked for.
            redundant: self.redundant && kind != Kind::Key,
        }
    }

    /// The same with a byte range.
    #[must_use]
    pub fn with_range(mut self, range: Option<ByteRange>) -> Self {
        self.range = range;
        self
    }

    /// The same, which is to be had elsewhere too, or is not.
    #[must_use]
    pub fn redundant(mut self, redundant: bool) -> Self {
        self.redundant = redundant;
        self
    }

    /// The same with the document to name in `Referer`.
    #[must_use]
    pub fn with_referrer(mut self, referrer: Option<SafeUrl>) -> Self {
        self.referrer = referrer;
        self
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.url)?;
        match self.range {
            Some(range) => write!(f, " (bytes {range})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_url_holds_no_secret() {
        let cases = [
            (
                "https://user:pass@host.example:8443/a/b.m3u8?token=abc&n=1#frag",
                "https://host.example:8443/a/b.m3u8?token=…&n=…",
            ),
            (
                "https://host.example/hdntl=exp=1~acl=/*~hmac=abc/v1/a.ts;jsessionid=abc",
                "https://host.example/hdntl=…/*~hmac=…/v1/a.ts;jsessionid=…",
            ),
            (
                "https://host.example/token%3Dabc/U0VDUkVUMQ==/a-b_c.ts",
                "https://host.example/token=…/…/a-b_c.ts",
            ),
            (
                "https://host.example/U0VDUkVUMQ%3D%3D/a?U0VDUkVUMQ%3D%3D&x%3Dabc&U0VDUkVU%3D=",
                "https://host.example/…/a?…&…&…",
            ),
            // The example of RFC 7519, 3.1.
            (
                "https://host.example/eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UifQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk/a.ts",
                "https://host.example/…/a.ts",
            ),
            ("http://host.example/?c2VjcmV0", "http://host.example/?…"),
            ("http://host.example/?U0VDUkVUMQ==", "http://host.example/?…"),
            ("data:application/octet-stream;base64,AAECAw==", "data:application/octet-stream,…"),
            // Named to a program of the platform, and not to us.
            ("skd://0123456789abcdef?token=abc", "skd:…"),
            ("skd:key", "skd:…"),
            ("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "urn:…"),
            ("ftp://user:pass@host.example/a/b.ts", "ftp://host.example/a/b.ts"),
            ("file:///home/me/list.m3u8", "file:///home/me/list.m3u8"),
            ("http://[::1]:80/x", "http://[::1]/x"),
        ];
        for (input, printed) in cases {
            let url = SafeUrl::from(Url::parse(input).unwrap());
            assert_eq!(url.to_string(), printed);
            assert_eq!(format!("{url:?}"), format!("\"{printed}\""));
        }
    }

    #[test]
    fn a_token_in_a_path_is_known_by_its_neighbours_and_an_identifier_is_none() {
        // printf x | md5sum, sha1sum, sha256sum; the last also in Base64.
        const MD5: &str = "9dd4e461268c8034f5c8564e155c67a6";
        const SHA1: &str = "11f6ad8ec52a2984abaafd7c3b516503785c2072";
        const SHA256: &str = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        const BASE64: &str = "LXEWQrcmsEQBYnyp-6wy9chTD7GQPMTbAiWHF5IaSIE";
        for (path, shown) in [
            ("/token/{BASE64}/a.ts", "/token/…/a.ts"),
            ("/v1/Token/{MD5}", "/v1/Token/…"),
            ("/_auth-token/{SHA256}/a.ts", "/_auth-token/…/a.ts"),
            ("/sig/abcdef0123456789/a.ts", "/sig/…/a.ts"),
            ("/session/f81d4fae-7dec-11d0-a765-00a0c91e6bf6/a.ts", "/session/…/a.ts"),
            ("/key/{MD5}", "/key/…"),
            ("/hash/{SHA1}/index.m3u8", "/hash/…/index.m3u8"),
            ("/auth/1767225600:{MD5}/a.ts", "/auth/…/a.ts"),
            ("/ticket/a1b2c3d4e5f60718.{MD5}/a.ts", "/ticket/…/a.ts"),
            ("/t/{BASE64}/a.ts", "/t/…/a.ts"),
            // As ngx_http_secure_link_module and its like sign links: a digest, and when it expires.
            ("/s4Fb6Kc9sd2Ls0f-ZpQ1_g/1767225600/a.ts", "/…/1767225600/a.ts"),
            ("/hls/1767225600/{MD5}/a.ts", "/hls/1767225600/…/a.ts"),
            // What none of these beside it is, is shown.
            ("/{SHA256}/a.ts", "/{SHA256}/a.ts"),
            ("/{MD5}/{SHA1}.ts", "/{MD5}/{SHA1}.ts"),
            ("/hash/{SHA256}.m4s", "/hash/{SHA256}.m4s"),
            ("/key/1", "/key/1"),
            ("/keys/{MD5}.key", "/keys/{MD5}.key"),
            ("/t/720p/a.ts", "/t/720p/a.ts"),
            ("/s/f81d4fae7dec11d0/a.ts", "/s/f81d4fae7dec11d0/a.ts"),
            ("/token/index.m3u8", "/token/index.m3u8"),
            ("/session/keynote-of-the-conference/a.ts", "/session/keynote-of-the-conference/a.ts"),
            ("/tokens-explained/{MD5}/a.ts", "/tokens-explained/{MD5}/a.ts"),
            ("/1767225600/segment-1767225600.ts", "/1767225600/segment-1767225600.ts"),
            ("/video/1280/720/a.ts", "/video/1280/720/a.ts"),
            ("/token", "/token"),
            ("/", "/"),
        ] {
            let whole = |path: &str| {
                let path = path.replace("{MD5}", MD5).replace("{SHA1}", SHA1);
                format!(
                    "https://host.example{}",
                    path.replace("{SHA256}", SHA256).replace("{BASE64}", BASE64)
                )
            };
            let url = SafeUrl::from(Url::parse(&whole(path)).unwrap());
            assert_eq!(url.to_string(), whole(shown));
        }
    }

    #[test]
    fn the_last_byte_of_a_range_does_not_overflow() {
        assert_eq!(ByteRange { offset: 10, length: 5 }.last(), Some(14));
        assert_eq!(ByteRange { offset: 10, length: 0 }.last(), None);
        assert_eq!(
            ByteRange {
                offset: u64::MAX,
                length: 2
            }
            .last(),
            None
        );
    }
}
