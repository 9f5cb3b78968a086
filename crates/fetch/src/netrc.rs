//! `.netrc`: user names and passwords by machine.

use std::fmt;

use aqueduct_core::SafeUrl;

use crate::credentials::Credentials;

/// A line of a `.netrc` that cannot be read. The word is not repeated: it may be a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetrcError {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl fmt::Display for NetrcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for NetrcError {}

/// The entries of a `.netrc`, in order.
///
/// It knows `machine`, `default`, `login`, `password`, `account` (which HTTP has no use for) and `macdef`, words in
/// quotation marks with `\"`, `\\`, `\n`, `\r` and `\t` in them, and lines that begin with `#`, as curl does. Other words, such as
/// the `port` of other programs, are passed over.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Netrc {
    entries: Vec<Entry>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct Entry {
    /// The host; `None` for the default.
    machine: Option<String>,
    login: Option<String>,
    password: Option<String>,
}

impl Netrc {
    /// Reads the text of a `.netrc`; gives the lines with it that were passed over in part.
    ///
    /// # Errors
    ///
    /// The first line that cannot be read, where no entry can.
    pub fn parse(text: &[u8]) -> Result<(Self, Vec<NetrcError>), NetrcError> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut wrong = Vec::new();
        if let Err(error) = std::str::from_utf8(text) {
            wrong.push(NetrcError {
                line: 1 + text[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count(),
                what: "it is not UTF-8",
            });
        }
        let text = String::from_utf8_lossy(text);
        let mut words = Words {
            rest: &text,
            line: 1,
            fresh: true,
        };
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(word) = words.next() {
            let line = words.line;
            let what = match word.to_ascii_lowercase().as_str() {
                "machine" => {
                    let host = words.next();
                    let what = host.is_none().then_some("machine without a name");
                    entries.extend(host.map(|host| Entry {
                        machine: Some(host),
                        ..Entry::default()
                    }));
                    what
                }
                "default" => {
                    entries.push(Entry::default());
                    None
                }
                "macdef" => {
                    words.skip_macro();
                    None
                }
                word @ ("login" | "password" | "account") => {
                    let value = words.next();
                    let what = match (&value, entries.last()) {
                        (None, _) => Some("its last word has no value"),
                        (_, None) => Some("it comes before any machine"),
                        _ => None,
                    };
                    if let (Some(value), Some(entry)) = (value, entries.last_mut()) {
                        match word {
                            "login" => entry.login = Some(value),
                            "password" => entry.password = Some(value),
                            _ => {}
                        }
                    }
                    what
                }
                _ => Some("a word that is not known here is passed over; a value with a space in it needs quotation marks"),
            };
            let told = |known: &NetrcError| known.line == line;
            if let Some(what) = what.filter(|_| !wrong.iter().any(told)) {
                wrong.push(NetrcError { line, what });
            }
        }
        match wrong.first() {
            Some(first) if entries.is_empty() => Err(first.clone()),
            _ => Ok((Self { entries }, wrong)),
        }
    }

    /// What the file has for the host of a URL: the first machine of that name, or the default before it. A user
    /// name in the URL asks for the entry with that login.
    ///
    /// They are for this URL's origin. Ask for URLs that the user gave, and for no others: a page must not choose
    /// where passwords go.
    pub fn credentials(&self, url: &SafeUrl) -> Option<Credentials> {
        let host = url.url().host_str()?.trim_start_matches('[').trim_end_matches(']');
        let asked = Credentials::of(url).map(|credentials| credentials.user);
        let fits = |entry: &&Entry| {
            let machine = entry.machine.as_ref().is_none_or(|machine| machine.eq_ignore_ascii_case(host));
            machine && entry.login.is_some() && (asked.is_none() || entry.login == asked)
        };
        let entry = self.entries.iter().find(fits)?;
        Some(Credentials {
            origin: url.clone(),
            user: entry.login.clone()?,
            password: entry.password.clone().unwrap_or_default(),
        })
    }
}

impl fmt::Debug for Netrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Netrc of {} entries", self.entries.len())
    }
}

/// The words of the text.
struct Words<'a> {
    rest: &'a str,
    line: usize,
    /// Whether nothing but blanks came before on this line.
    fresh: bool,
}

impl Words<'_> {
    fn next(&mut self) -> Option<String> {
        loop {
            match self.rest.chars().next() {
                None => return None,
                Some('\n') => self.end_line(1),
                Some('#') if self.fresh => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.rest = &self.rest[end..];
                }
                Some(blank) if blank.is_ascii_whitespace() => self.rest = &self.rest[1..],
                Some(first) => {
                    self.fresh = false;
                    // Where the marks are not closed they are a part of the word, as they were before curl knew them.
                    if first == '"'
                        && let Some(word) = self.quoted()
                    {
                        return Some(word);
                    }
                    let end = self.rest.find(|next: char| next.is_ascii_whitespace()).unwrap_or(self.rest.len());
                    let (word, rest) = self.rest.split_at(end);
                    self.rest = rest;
                    return Some(word.into());
                }
            }
        }
    }

    fn quoted(&mut self) -> Option<String> {
        let mut word = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Some(word);
                }
                '\n' => break,
                '\\' => match characters.next() {
                    Some((_, 'n')) => word.push('\n'),
                    Some((_, 'r')) => word.push('\r'),
                    Some((_, 't')) => word.push('\t'),
                    Some((_, '\n')) | None => break,
                    Some((_, other)) => word.push(other),
                },
                other => word.push(other),
            }
        }
        None
    }

    /// A macro ends with an empty line, or with the text.
    fn skip_macro(&mut self) {
        while !self.rest.is_empty() {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            let blank = self.fresh && self.rest[..end].trim().is_empty();
            self.rest = &self.rest[end..];
            if !self.rest.is_empty() {
                self.end_line(1);
            }
            if blank {
                break;
            }
        }
    }

    fn end_line(&mut self, length: usize) {
        self.rest = &self.rest[length..];
        self.line += 1;
        self.fresh = true;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    fn found(text: &str, url: &str) -> Option<(String, String)> {
        let credentials = Netrc::parse(text.as_bytes())
            .unwrap()
            .0
            .credentials(&Url::parse(url).unwrap().into());
        credentials.map(|found| (found.user, found.password))
    }

    // The netrc page of curl's manual and that of GNU inetutils.
    #[test]
    fn the_first_entry_that_fits_is_taken() {
        let text = "# machine commented.example login no password no\n\
            machine a.example login anna password \"two words\\t\\\"x\\\\\"\n\
            machine A.EXAMPLE\n\tlogin ben\n\tpassword #hash\n\
            machine nobody.example password only\n\
            macdef init\ncd /pub\nmachine b.example login evil password evil\n\n\
            machine b.example account x login carl\n\
            machine ::1 login six password p\n\
            default login anonymous password guest\n\
            machine after.example login late password late\n";
        for (url, expected) in [
            ("https://a.example/x", Some(("anna", "two words\t\"x\\"))),
            ("http://a.example:8080/", Some(("anna", "two words\t\"x\\"))),
            ("https://ben@a.example/", Some(("ben", "#hash"))),
            ("https://nobody@a.example/", None),
            ("https://b.example/", Some(("carl", ""))),
            ("https://[::1]/", Some(("six", "p"))),
            ("https://sub.a.example/", Some(("anonymous", "guest"))),
            ("https://commented.example/", Some(("anonymous", "guest"))),
            ("https://nobody.example/", Some(("anonymous", "guest"))),
            ("https://after.example/", Some(("anonymous", "guest"))),
            ("file:///x", None),
        ] {
            let expected = expected.map(|(user, password)| (user.to_owned(), password.to_owned()));
            assert_eq!(found(text, url), expected, "{url}");
        }
        assert_eq!(found("machine a.example login x password y", "https://b.example/"), None);
        assert_eq!(found("", "https://b.example/"), None);
        assert_eq!(found("macdef init\nnever ends", "https://b.example/"), None);
    }

    #[test]
    fn what_other_programs_write_is_passed_over_and_the_rest_is_read() {
        let (a, b) = ("https://a.example/", "https://b.example/");
        let of_b = Some(("y", "q"));
        type Case<'a> = (&'a str, &'a str, Option<(&'a str, &'a str)>, Option<(usize, &'a str)>);
        let cases: [Case<'_>; 13] = [
            // Emacs, in its authinfo; a comment behind values; words in capitals; Windows.
            (
                "machine a.example port 443 login x password p",
                a,
                Some(("x", "p")),
                Some((1, "not known")),
            ),
            (
                "machine a.example login x password p # mine",
                a,
                Some(("x", "p")),
                Some((1, "not known")),
            ),
            ("MACHINE a.example LOGIN x PASSWORD p", a, Some(("x", "p")), None),
            (
                "\u{feff}machine a.example\r\nlogin x\r\n\r\npassword p\r\n",
                a,
                Some(("x", "p")),
                None,
            ),
            ("machine a.example login x password \"p", a, Some(("x", "\"p")), None),
            ("machine a.example login x password p\"p\"", a, Some(("x", "p\"p\"")), None),
            ("machine a.example login x account z password p", a, Some(("x", "p")), None),
            (
                "default login x password p macdef m\nmachine b.example\n\nmachine b.example login y password q",
                b,
                Some(("x", "p")),
                None,
            ),
            (
                "machine a login x password two SECRET words\nmachine b.example login y password q",
                b,
                of_b,
                Some((1, "not known")),
            ),
            (
                "login SECRET machine b.example login y password q",
                b,
                of_b,
                Some((1, "before any machine")),
            ),
            (
                "machine b.example login y password q\nmachine",
                b,
                of_b,
                Some((2, "without a name")),
            ),
            ("machine b.example password q login y password", b, of_b, Some((1, "has no value"))),
            (
                "machine b.example login y password q\n\nmachine a login \"SECRET\nand more",
                b,
                of_b,
                Some((4, "not known")),
            ),
        ];
        for (text, url, expected, wrong) in cases {
            let expected = expected.map(|(user, password)| (user.to_owned(), password.to_owned()));
            assert_eq!(found(text, url), expected, "{text:?}");
            let (_, told) = Netrc::parse(text.as_bytes()).unwrap();
            assert_eq!(
                told.first().map(|first| first.line),
                wrong.map(|(line, _)| line),
                "{text:?}: {told:?}"
            );
            let all = format!("{told:?}");
            assert!(wrong.is_none_or(|(_, what)| all.contains(what)) && !all.contains("SECRET"), "{all}");
        }
        let latin = b"machine b.example login y password q machine a.example login x password \xff";
        assert_eq!(Netrc::parse(latin).unwrap().1[0].what, "it is not UTF-8");
    }

    #[test]
    fn what_is_no_netrc_is_refused_and_not_repeated() {
        for (text, line, what) in [
            ("{\"a.example\": \"SECRET\"}", 1, "not known"),
            ("\nlogin SECRET", 2, "before any machine"),
            ("\n\nmachine", 3, "without a name"),
        ] {
            let error = Netrc::parse(text.as_bytes()).unwrap_err();
            let told = error.to_string();
            assert!(
                error.line == line && told.contains(what) && !told.contains("SECRET"),
                "{text:?}: {told}"
            );
        }
        let (netrc, _) = Netrc::parse(b"machine a login x password SECRET").unwrap();
        assert_eq!(format!("{netrc:?}"), "Netrc of 1 entries");
    }

    proptest! {
        #[test]
        fn any_word_survives_quotation_marks(password in "\\PC{0,20}") {
            let quoted = password.replace('\\', "\\\\").replace('"', "\\\"");
            let text = format!("machine a.example login x password \"{quoted}\"");
            prop_assert_eq!(found(&text, "https://a.example/"), Some(("x".into(), password)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Netrc::parse(&bytes);
        }

        #[test]
        fn any_words_are_read_or_refused(words in prop::collection::vec(
            prop::sample::select(vec!["machine", "default", "login", "password", "macdef", "a", "\"b c\"", "\"", "#", "\n", "\n\n", "\\"]), 0..30)
        ) {
            let _ = Netrc::parse(words.join(" ").as_bytes());
        }
    }
}
