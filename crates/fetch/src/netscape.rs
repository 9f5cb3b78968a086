//! The Netscape cookie file, `cookies.txt`, as curl and browsers' exporters write it.

use std::fmt;

/// A line that is no cookie. It is not repeated: it may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieLine {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for CookieLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// A file without a single cookie that can be used. It reads after "failed to read".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieFileError {
    /// The first line that is no cookie.
    pub first: CookieLine,
}

impl fmt::Display for CookieFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no line is a cookie as Netscape's cookies.txt has them: {}", self.first)
    }
}

impl std::error::Error for CookieFileError {}

/// One cookie.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Without a leading dot.
    pub(crate) host: String,
    pub(crate) subdomains: bool,
    pub(crate) path: String,
    pub(crate) secure: bool,
    pub(crate) http_only: bool,
    /// Seconds since 1970; 0 for a cookie of the session.
    pub(crate) expires: u64,
    pub(crate) name: String,
    pub(crate) value: String,
}

const HTTP_ONLY: &str = "#HttpOnly_";

/// Reads all lines: the cookies with their line numbers, and the lines that are none.
pub(crate) fn read(text: &[u8]) -> (Vec<(usize, Entry)>, Vec<CookieLine>) {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let (mut entries, mut wrong) = (Vec::new(), Vec::new());
    for (line, bytes) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let comment = bytes.starts_with(b"#") && !bytes.starts_with(HTTP_ONLY.as_bytes());
        if comment || bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match entry(bytes) {
            Ok(entry) => entries.push((line, entry)),
            Err(what) => wrong.push(CookieLine { line, what }),
        }
    }
    (entries, wrong)
}

fn entry(bytes: &[u8]) -> Result<Entry, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
    let (http_only, text) = match text.strip_prefix(HTTP_ONLY) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let fields: Vec<&str> = text.splitn(9, '\t').collect();
    // A value that is empty loses its tab in some editors.
    let (head, value) = match fields.as_slice() {
        [head @ .., value] if head.len() == 6 => (head, *value),
        head if head.len() == 6 => (head, ""),
        _ => return Err(format!("it has {} fields between tabs, not 7", fields.len())),
    };
    let [host, subdomains, path, secure, expires, name] = head else {
        return Err("it has no 7 fields".into());
    };
    if [path, name, &value].iter().any(|field| field.chars().any(char::is_control)) {
        return Err("it has a control character".into());
    }
    if !path.starts_with('/') {
        return Err("its path does not begin with a slash".into());
    }
    if name.is_empty() && value.is_empty() {
        return Err("it has neither name nor value".into());
    }
    Ok(Entry {
        host: host.strip_prefix('.').unwrap_or(host).into(),
        subdomains: flag(subdomains, "second")?,
        path: (*path).into(),
        secure: flag(secure, "fourth")?,
        http_only,
        expires: seconds(expires).ok_or("its time is no number of seconds since 1970")?,
        name: (*name).into(),
        value: value.into(),
    })
}

fn flag(text: &str, which: &str) -> Result<bool, String> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Ok(true),
        _ if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(format!("its {which} field is neither TRUE nor FALSE")),
    }
}

/// Some exporters write fractions, and -1 for cookies of the session.
fn seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if whole == "-1" || whole.is_empty() {
        return (!whole.is_empty()).then_some(0);
    }
    whole
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| whole.parse().unwrap_or(u64::MAX))
}

/// Writes cookies, in a steady order.
pub(crate) fn write(mut entries: Vec<Entry>) -> String {
    entries.sort_by(|a, b| (&a.host, &a.path, &a.name).cmp(&(&b.host, &b.path, &b.name)));
    let mut text = String::from("# Netscape HTTP Cookie File\n\n");
    let flag = |set: bool| if set { "TRUE" } else { "FALSE" };
    for entry in entries {
        let Entry {
            path,
            expires,
            name,
            value,
            ..
        } = &entry;
        // A tab or a line's end would make another cookie of it.
        if [path, name, value].iter().any(|field| field.chars().any(char::is_control)) {
            continue;
        }
        let prefix = if entry.http_only { HTTP_ONLY } else { "" };
        let dot = if entry.subdomains { "." } else { "" };
        text += &format!(
            "{prefix}{dot}{}\t{}\t{path}\t{}\t{expires}\t{name}\t{value}\n",
            entry.host,
            flag(entry.subdomains),
            flag(entry.secure)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_that_are_no_cookies_are_named() {
        let cases = [
            ("a.example FALSE / FALSE 0 n v", "1 fields between tabs"),
            ("a.example\tFALSE\t/\tFALSE\t0\tn\tv\tw", "8 fields"),
            ("a.example\tyes\t/\tFALSE\t0\tn\tv", "second field is neither"),
            ("a.example\tTRUE\t/\t1\t0\tn\tv", "fourth field is neither"),
            ("a.example\tTRUE\tx\tFALSE\t0\tn\tv", "slash"),
            ("a.example\tTRUE\t/\tFALSE\tsoon\tn\tv", "no number"),
            ("a.example\tTRUE\t/\tFALSE\t\tn\tv", "no number"),
            ("a.example\tTRUE\t/\tFALSE\t1.\tn\tv", "no number"),
            ("a.example\tTRUE\t/\tFALSE\t0\t\t", "neither name nor value"),
            ("a.example\tTRUE\t/\tFALSE\t0\tn\tv\x01", "control character"),
            ("a.example\tTRUE\t/\tFALSE\t0\tn\tSECRET\t", "8 fields"),
        ];
        for (line, what) in cases {
            let (entries, wrong) = read(format!("# comment\n\n{line}\r\n").as_bytes());
            assert_eq!((entries.len(), wrong.len(), wrong[0].line), (0, 1, 3), "{line}");
            let told = wrong[0].to_string();
            assert!(told.contains(what) && !told.contains("SECRET"), "{line}: {told}");
        }
        assert!(read(b"a.example\tTRUE\t/\tFALSE\t0\tn\t\xff").1[0].what.contains("UTF-8"));
    }

    #[test]
    fn what_exporters_write_is_read() {
        let cases = [
            (
                "\u{feff}.a.example\tTRUE\t/\tTRUE\t1700000000.25\tn\tv=w",
                true,
                true,
                1_700_000_000,
                "v=w",
            ),
            ("#HttpOnly_a.example\tfalse\t/\tfalse\t-1\tn\tv", false, false, 0, "v"),
            ("a.example\tFALSE\t/\tFALSE\t0\tn", false, false, 0, ""),
            (
                "a.example\tFALSE\t/\tFALSE\t99999999999999999999999\tn\t",
                false,
                false,
                u64::MAX,
                "",
            ),
        ];
        for (line, subdomains, secure, expires, value) in cases {
            let (entries, wrong) = read(line.as_bytes());
            assert_eq!(wrong, []);
            let entry = &entries[0].1;
            assert_eq!(
                (entry.host.as_str(), entry.name.as_str(), entry.value.as_str()),
                ("a.example", "n", value),
                "{line}"
            );
            assert_eq!(
                (entry.subdomains, entry.secure, entry.expires),
                (subdomains, secure, expires),
                "{line}"
            );
            assert_eq!(entry.http_only, line.starts_with('#'), "{line}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            rows in prop::collection::vec(("[a-z]{1,8}\\.example", any::<[bool; 3]>(), "/[a-z/]{0,8}", any::<u32>(), "[!-:<-~]{1,8}", "[!-~]{0,8}"), 0..8)
        ) {
            let entries: Vec<Entry> = rows
                .into_iter()
                .map(|(host, [subdomains, secure, http_only], path, expires, name, value)| Entry {
                    host, subdomains, path, secure, http_only, expires: expires.into(), name, value,
                })
                .collect();
            let text = write(entries.clone());
            let (read, wrong) = read(text.as_bytes());
            prop_assert_eq!(wrong, vec![]);
            prop_assert_eq!(read.len(), entries.len());
            prop_assert_eq!(write(read.into_iter().map(|(_, entry)| entry).collect()), text);
        }

        #[test]
        fn any_bytes_are_read_or_named(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let (entries, wrong) = read(&bytes);
            prop_assert!(entries.len() + wrong.len() <= bytes.split(|byte| *byte == b'\n').count());
        }
    }
}
