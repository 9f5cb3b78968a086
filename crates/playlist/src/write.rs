//! Writing playlists: the parts that both kinds share.

use std::fmt::{self, Display, Write};

use crate::attributes::Attribute;
use crate::key::{Key, Method};
use crate::media::Start;
use crate::number::Hex;
use crate::parse::Playlist;
use crate::variables::Define;

impl Display for Playlist {
    /// The text of the playlist, see [`MediaPlaylist`](crate::MediaPlaylist#impl-Display-for-MediaPlaylist).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Multivariant(playlist) => playlist.fmt(f),
            Self::Media(playlist) => playlist.fmt(f),
        }
    }
}

/// A text in the making. Writing into a `String` cannot fail, so nobody has to look at results.
#[derive(Debug, Default)]
pub(crate) struct Output(pub(crate) String);

impl Output {
    /// A line as it is.
    pub(crate) fn line(&mut self, line: impl Display) {
        let _ = writeln!(self.0, "{line}");
    }

    /// A tag with a value.
    pub(crate) fn value(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.0, "#{name}:{value}");
    }

    /// A tag with a value, if there is one.
    pub(crate) fn option(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.value(name, value);
        }
    }

    /// A tag without value, if it holds.
    pub(crate) fn flag(&mut self, name: &str, holds: bool) {
        if holds {
            let _ = writeln!(self.0, "#{name}");
        }
    }

    /// A tag with attributes.
    pub(crate) fn attributes(&mut self, name: &str, write: impl FnOnce(&mut List<'_>)) {
        let _ = write!(self.0, "#{name}");
        let mut list = List {
            text: &mut self.0,
            separator: ':',
        };
        write(&mut list);
        self.0.push('\n');
    }

    pub(crate) fn start(&mut self, start: Option<&Start>) {
        let Some(start) = start else { return };
        self.attributes("EXT-X-START", |list| {
            list.plain("TIME-OFFSET", start.time_offset);
            list.yes("PRECISE", start.precise);
            list.others(&start.other);
        });
    }

    pub(crate) fn key(&mut self, name: &str, key: &Key) {
        self.attributes(name, |list| {
            if key.method != Method::Other(Box::default()) {
                list.plain("METHOD", key.method.as_str());
            }
            list.maybe_quoted("URI", key.uri.as_ref().map(|uri| uri.as_written()));
            list.maybe_plain("IV", key.iv.as_ref().map(|iv| Hex(iv)));
            if !key.is_identity() {
                list.quoted("KEYFORMAT", &key.key_format);
            }
            if !key.key_format_versions.is_empty() {
                let versions: Vec<String> = key.key_format_versions.iter().map(u64::to_string).collect();
                list.quoted("KEYFORMATVERSIONS", &versions.join("/"));
            }
            list.others(&key.other);
        });
    }

    /// Puts the definitions in front of `body`.
    ///
    /// All values are written expanded. If one of them happens to look like a variable reference, it must not
    /// be expanded again by who reads it: then the definitions go behind everything else.
    pub(crate) fn with_defines(mut self, defines: &[Define], body: &str) -> String {
        let late = body.contains("{$");
        if late {
            self.0.push_str(body);
        }
        for define in defines {
            self.attributes("EXT-X-DEFINE", |list| match define {
                Define::Value { name, value } => {
                    list.quoted("NAME", name);
                    list.quoted("VALUE", value);
                }
                Define::Import(name) => list.quoted("IMPORT", name),
                Define::QueryParameter(name) => list.quoted("QUERYPARAM", name),
            });
        }
        if !late {
            self.0.push_str(body);
        }
        self.0
    }
}

/// An attribute list in the making (rfc8216bis, 4.2).
#[derive(Debug)]
pub(crate) struct List<'o> {
    text: &'o mut String,
    separator: char,
}

impl List<'_> {
    pub(crate) fn plain(&mut self, name: &str, value: impl Display) {
        let separator = std::mem::replace(&mut self.separator, ',');
        let _ = write!(self.text, "{separator}{name}={value}");
    }

    pub(crate) fn maybe_plain(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.plain(name, value);
        }
    }

    /// A quoted string. What must not stand in one is replaced.
    pub(crate) fn quoted(&mut self, name: &str, value: &str) {
        if value.contains(['"', '\r', '\n']) {
            let value = value.replace('"', "'").replace(['\r', '\n'], " ");
            self.plain(name, format_args!("\"{value}\""));
        } else {
            self.plain(name, format_args!("\"{value}\""));
        }
    }

    pub(crate) fn maybe_quoted(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.quoted(name, value);
        }
    }

    /// A quoted list, if it is not empty.
    pub(crate) fn joined(&mut self, name: &str, values: &[String], separator: &str) {
        if !values.is_empty() {
            self.quoted(name, &values.join(separator));
        }
    }

    /// `YES`, if it holds: `NO` is the default everywhere.
    pub(crate) fn yes(&mut self, name: &str, holds: bool) {
        if holds {
            self.plain(name, "YES");
        }
    }

    pub(crate) fn others(&mut self, others: &[Attribute]) {
        for attribute in others {
            let separator = std::mem::replace(&mut self.separator, ',');
            let _ = write!(self.text, "{separator}{attribute}");
        }
    }
}
