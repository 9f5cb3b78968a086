//! `.netrc`: user names and passwords by machine.

use std::fmt;

use aqueduct_core::SafeUrl;

use crate::credentials::Credentials;

/// A `.netrc` that cannot be read. The word is not repeated: it may be a password.
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
/// quotation marks with `\"`, `\\`, `\n`, `\r` and `\t` in them, and lines that begin with `#`, as curl does.
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
    /// Reads the text of a `.netrc`.
    ///
    /// # Errors
    ///
    /// [`NetrcError`] names the first line that cannot be read.
    pub fn parse(text: &[u8]) -> Result<Self, NetrcError> {
        let text = std::str::from_utf8(text).map_err(|error| NetrcError {
            line: 1 + text[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count(),
            what: "it is not UTF-8",
        })?;
        let mut words = Words {
            rest: text,
            line: 1,
            fresh: true,
        };
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(word) = words.next()? {
            let wrong = |what| NetrcError { line: words.line, what };
            match word.as_str() {
                "machine" => {
                    let host = words.value("machine without a name")?;
                    entries.push(Entry {
                        machine: Some(host),
                        ..Entry::default()
                    });
                }
                "default" => entries.push(Entry::default()),
                "macdef" => words.skip_macro(),
                "login" | "password" | "account" => {
                    let entry = entries.last_mut().ok_or_else(|| wrong("it comes before any machine"))?;
                    match word.as_str() {
                        "login" => entry.login = Some(words.value("login without a name")?),
                        "password" => entry.password = Some(words.value("password without a word")?),
                        _ => drop(words.value("account without a name")?),
                    }
                }
                _ => return Err(wrong("a word that is not known here; one with a space in it needs quotation marks")),
            }
        }
        Ok(Self { entries })
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
    fn next(&mut self) -> Result<Option<String>, NetrcError> {
        loop {
            match self.rest.chars().next() {
                None => return Ok(None),
                Some('\n') => self.end_line(1),
                Some('#') if self.fresh => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.rest = &self.rest[end..];
                }
                Some(blank) if blank.is_ascii_whitespace() => self.rest = &self.rest[1..],
                Some('"') => return self.quoted().map(Some),
                Some(_) => {
                    self.fresh = false;
                    let end = self.rest.find(|next: char| next.is_ascii_whitespace()).unwrap_or(self.rest.len());
                    let (word, rest) = self.rest.split_at(end);
                    self.rest = rest;
                    return Ok(Some(word.into()));
                }
            }
        }
    }

    fn quoted(&mut self) -> Result<String, NetrcError> {
        self.fresh = false;
        let mut word = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(word);
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
        Err(NetrcError {
            line: self.line,
            what: "quotation marks that are not closed",
        })
    }

    fn value(&mut self, missing: &'static str) -> Result<String, NetrcError> {
        let line = self.line;
        self.next()?.ok_or(NetrcError { line, what: missing })
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
        let credentials = Netrc::parse(text.as_bytes()).unwrap().credentials(&Url::parse(url).unwrap().into());
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
    fn what_cannot_be_read_is_named_by_its_line_and_not_repeated() {
        for (text, line, what) in [
            ("machine a.example\nlogin x password SECRET and more", 2, "not known"),
            ("login x", 1, "before any machine"),
            ("\n\nmachine", 3, "without a name"),
            ("machine a login", 1, "without a name"),
            ("machine a login x password \"SECRET\nmachine b", 1, "not closed"),
            ("machine a login x password \"SECRET\\", 1, "not closed"),
        ] {
            let error = Netrc::parse(text.as_bytes()).unwrap_err();
            let told = error.to_string();
            assert!(
                error.line == line && told.contains(what) && !told.contains("SECRET"),
                "{text:?}: {told}"
            );
        }
        assert_eq!(Netrc::parse(b"machine a\nlogin \xff").unwrap_err().line, 2);
        let netrc = Netrc::parse(b"machine a login x password SECRET").unwrap();
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
