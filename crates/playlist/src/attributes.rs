//! Attribute lists (rfc8216bis, 4.2): the forgiving reader, and what is kept of unknown attributes.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::datetime::{DateTime, Spelling};
use crate::error::PlaylistError;
use crate::number;
use crate::segment::ByteRange;
use crate::text::Line;
use crate::uri::Uri;
use crate::variables::Substitution;
use crate::warning::{Report, WarningKind};

/// An attribute that has no field of its own: unknown ones, client attributes, and known ones whose value
/// cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Attribute {
    /// The name.
    pub name: Box<str>,
    /// The value.
    pub value: AttributeValue,
}

/// The value of an [`Attribute`], in the two forms that can be told apart without knowing the attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AttributeValue {
    /// A quoted string, without its quotes and with variable references expanded.
    Quoted(Box<str>),
    /// Anything else: a number, an enumerated string, a hexadecimal sequence.
    Plain(Box<str>),
}

impl AttributeValue {
    /// The text of the value.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Quoted(text) | Self::Plain(text) => text,
        }
    }
}

impl fmt::Display for Attribute {
    /// As it stands in an attribute list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            AttributeValue::Quoted(text) => write!(f, "{}=\"{text}\"", self.name),
            AttributeValue::Plain(text) => write!(f, "{}={text}", self.name),
        }
    }
}

/// The value of `name` in a list of attributes.
pub(crate) fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a AttributeValue> {
    attributes.iter().find(|a| &*a.name == name).map(|a| &a.value)
}

/// What every reader of tags needs.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) report: Report,
    pub(crate) substitution: Substitution,
    pub(crate) base: Arc<Url>,
    /// How many attributes and entries of lists are kept so far, and how many may be.
    pub(crate) kept: usize,
    pub(crate) most: usize,
}

impl Tools {
    /// Counts things that are about to be kept: a few bytes of text each, many times that in memory.
    pub(crate) fn keep(&mut self, count: usize) -> Result<(), PlaylistError> {
        self.kept = self.kept.saturating_add(count);
        if self.kept > self.most {
            return Err(PlaylistError::too_large("attributes and entries of lists", self.most));
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
struct Raw<'t> {
    name: &'t str,
    value: Cow<'t, str>,
    /// Where the value stands in the line.
    at: &'t str,
    quoted: bool,
    taken: bool,
}

/// The attributes of one tag. Every reading method takes its attribute off; what is left at the end is
/// [`rest`](Self::rest). A value that cannot be read stays where it is.
#[derive(Debug)]
pub(crate) struct AttributeReader<'t, 'r> {
    pub(crate) tools: &'r mut Tools,
    pub(crate) line: Line<'t>,
    items: Vec<Raw<'t>>,
}

const MANY: usize = 16;

impl<'t, 'r> AttributeReader<'t, 'r> {
    /// Splits `list`, a part of `line`.
    pub(crate) fn new(tools: &'r mut Tools, line: Line<'t>, list: &'t str) -> Self {
        let mut reader = Self {
            tools,
            line,
            items: Vec::with_capacity(4),
        };
        reader.split(list);
        reader
    }

    fn warn(&mut self, kind: WarningKind, at: &str) {
        self.tools.report.warn(kind, self.line, at);
    }

    fn split(&mut self, list: &'t str) {
        let mut seen = None;
        let mut rest = list;
        let mut spaced = None;
        while !rest.trim_start().is_empty() {
            let Some(end) = rest.find(['=', ',']) else {
                self.warn(WarningKind::AttributeWithoutValue, rest);
                break;
            };
            let (raw_name, behind) = rest.split_at(end);
            let name = raw_name.trim();
            if name.len() != raw_name.len() {
                spaced = spaced.or(Some(raw_name));
            }
            let Some(raw_value) = behind.strip_prefix('=') else {
                // A comma too many at the end, or a name alone.
                self.warn(WarningKind::AttributeWithoutValue, raw_name);
                rest = behind.get(1..).unwrap_or_default();
                continue;
            };
            let value = raw_value.trim_start();
            if value.len() != raw_value.len() {
                spaced = spaced.or(Some(raw_value));
            }
            let (value, at, quoted) = match value.strip_prefix('"') {
                Some(inner) => {
                    let (inner, behind) = match inner.split_once('"') {
                        Some(split) => split,
                        None => {
                            self.warn(WarningKind::OpenQuote, value);
                            (inner, "")
                        }
                    };
                    let (stray, next) = behind.split_once(',').unwrap_or((behind, ""));
                    if !stray.trim().is_empty() {
                        self.warn(WarningKind::StrayText, stray);
                    } else if !stray.is_empty() {
                        spaced = spaced.or(Some(stray));
                    }
                    rest = next;
                    (Cow::Borrowed(inner), inner, true)
                }
                None => {
                    let (raw, next) = value.split_once(',').unwrap_or((value, ""));
                    rest = next;
                    let text = raw.trim();
                    if text.len() != raw.len() {
                        spaced = spaced.or(Some(raw));
                    }
                    let value = if text.contains('"') {
                        self.warn(WarningKind::StrayText, text);
                        Cow::Owned(text.replace('"', "").trim().to_owned())
                    } else {
                        Cow::Borrowed(text)
                    };
                    (value, raw, false)
                }
            };
            if name.is_empty() || (value.is_empty() && !quoted) {
                self.warn(WarningKind::AttributeWithoutValue, raw_name);
                continue;
            }
            if self.is_repeated(name, &mut seen) {
                self.warn(WarningKind::RepeatedAttribute, raw_name);
                continue;
            }
            self.items.push(Raw {
                name,
                value,
                at,
                quoted,
                taken: false,
            });
        }
        if let Some(at) = spaced {
            self.warn(WarningKind::SpaceInAttributes, at);
        }
    }

    /// Looks through a short list, and asks a set for a long one, so that no list takes quadratic time.
    fn is_repeated(&self, name: &'t str, seen: &mut Option<HashSet<&'t str>>) -> bool {
        if self.items.len() < MANY {
            return self.items.iter().any(|i| i.name == name);
        }
        let seen = seen.get_or_insert_with(|| self.items.iter().map(|i| i.name).collect());
        !seen.insert(name)
    }

    fn take(&mut self, name: &str) -> Option<Raw<'t>> {
        let item = self.items.iter_mut().find(|i| !i.taken && i.name == name)?;
        item.taken = true;
        Some(item.clone())
    }

    fn put_back(&mut self, name: &'static str, at: &str) {
        self.warn(WarningKind::BadAttribute(name), at);
        if let Some(item) = self.items.iter_mut().find(|i| i.name == name) {
            item.taken = false;
        }
    }

    fn take_plain(&mut self, name: &'static str) -> Option<Raw<'t>> {
        let item = self.take(name)?;
        if item.quoted {
            self.warn(WarningKind::Quoted(name), item.at);
        }
        Some(item)
    }

    /// Takes a value that `read` understands.
    fn read<T>(&mut self, name: &'static str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let item = self.take_plain(name)?;
        let value = read(item.value.trim());
        if value.is_none() {
            self.put_back(name, item.at);
        }
        value
    }

    fn read_number<T>(&mut self, name: &'static str, read: impl FnOnce(&str) -> (T, Option<WarningKind>)) -> Option<T> {
        let item = self.take_plain(name)?;
        let (value, flaw) = read(&item.value);
        match flaw {
            Some(WarningKind::NotANumber) => {
                self.put_back(name, item.at);
                return None;
            }
            Some(flaw) => self.warn(flaw, item.at),
            None => {}
        }
        Some(value)
    }

    /// Whether the list has the attribute.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.items.iter().any(|i| i.name == name)
    }

    /// Warns that a required attribute is missing, or cannot be read.
    pub(crate) fn missing(&mut self, name: &'static str) {
        if !self.has(name) {
            let line = self.line;
            self.warn(WarningKind::MissingAttribute(name), line.text);
        }
    }

    /// A quoted string with its variable references expanded.
    pub(crate) fn string(&mut self, name: &'static str) -> Result<Option<String>, PlaylistError> {
        let Some(item) = self.take(name) else { return Ok(None) };
        if !item.quoted {
            self.warn(WarningKind::Unquoted(name), item.at);
        }
        let tools = &mut *self.tools;
        let text = tools.substitution.expand(&item.value, self.line, &mut tools.report)?;
        Ok(Some(text.into_owned()))
    }

    /// A quoted string as it stands, and expanded.
    pub(crate) fn raw_string(&mut self, name: &'static str) -> Result<Option<(String, String)>, PlaylistError> {
        let raw = self.items.iter().find(|i| i.name == name).map(|i| i.value.clone().into_owned());
        let expanded = self.string(name)?;
        Ok(raw.zip(expanded))
    }

    /// A quoted string, expanded, or an enumerated string, whichever it is.
    pub(crate) fn either(&mut self, name: &'static str) -> Result<Option<AttributeValue>, PlaylistError> {
        let Some(item) = self.take(name) else { return Ok(None) };
        if !item.quoted {
            return Ok(Some(AttributeValue::Plain((&*item.value).into())));
        }
        let tools = &mut *self.tools;
        let text = tools.substitution.expand(&item.value, self.line, &mut tools.report)?;
        Ok(Some(AttributeValue::Quoted((&*text).into())))
    }

    /// A quoted string of parts between `separator`s; empty parts are left out.
    pub(crate) fn list(&mut self, name: &'static str, separator: char) -> Result<Vec<String>, PlaylistError> {
        let text = self.string(name)?.unwrap_or_default();
        self.tools.keep(text.matches(separator).count())?;
        Ok(text
            .split(separator)
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect())
    }

    /// An enumerated string.
    pub(crate) fn word(&mut self, name: &'static str) -> Option<String> {
        self.read(name, |text| (!text.is_empty() && !text.contains(',')).then(|| text.to_owned()))
    }

    /// An enumerated string that `read` knows.
    pub(crate) fn known<T>(&mut self, name: &'static str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        self.read(name, read)
    }

    /// `YES` or `NO`.
    pub(crate) fn yes(&mut self, name: &'static str) -> Option<bool> {
        self.read(name, |text| match text {
            "YES" => Some(true),
            "NO" => Some(false),
            _ => None,
        })
    }

    /// A decimal integer.
    pub(crate) fn integer(&mut self, name: &'static str) -> Option<u64> {
        self.read_number(name, number::integer)
    }

    /// A decimal number of seconds.
    pub(crate) fn duration(&mut self, name: &'static str) -> Option<Duration> {
        self.read_number(name, number::billionths).map(Duration::from_nanos)
    }

    /// A decimal number that may be negative.
    pub(crate) fn signed(&mut self, name: &'static str) -> Option<f64> {
        self.read(name, number::signed)
    }

    /// A decimal number that may not be negative.
    pub(crate) fn float(&mut self, name: &'static str) -> Option<f64> {
        self.read(name, |text| number::signed(text).filter(|v| v.is_sign_positive()))
    }

    /// A quoted date.
    pub(crate) fn date(&mut self, name: &'static str) -> Result<Option<DateTime>, PlaylistError> {
        let Some(at) = self.items.iter().find(|i| i.name == name).map(|i| i.at) else {
            return Ok(None);
        };
        let text = self.string(name)?.unwrap_or_default();
        match DateTime::parse(&text) {
            Some((date, spelling)) => {
                match spelling {
                    Spelling::Good => {}
                    Spelling::Odd => self.warn(WarningKind::DateSpelling, at),
                    Spelling::NoZone => self.warn(WarningKind::DateWithoutZone, at),
                }
                Ok(Some(date))
            }
            None => {
                self.put_back(name, at);
                Ok(None)
            }
        }
    }

    /// A hexadecimal sequence, in which variable references are expanded, too.
    pub(crate) fn hex(&mut self, name: &'static str) -> Result<Option<Vec<u8>>, PlaylistError> {
        let Some(item) = self.take_plain(name) else { return Ok(None) };
        let tools = &mut *self.tools;
        let text = tools.substitution.expand(&item.value, self.line, &mut tools.report)?;
        match number::hex(&text) {
            Some((bytes, odd)) => {
                if odd {
                    self.warn(WarningKind::HexSpelling, item.at);
                }
                Ok(Some(bytes))
            }
            None => {
                self.put_back(name, item.at);
                Ok(None)
            }
        }
    }

    /// A quoted URI; the error is what keeps it from being resolved.
    pub(crate) fn try_uri(&mut self, name: &'static str) -> Result<Option<Result<Uri, url::ParseError>>, PlaylistError> {
        let text = self.string(name)?;
        Ok(text.map(|text| Uri::new(&self.tools.base, text.trim())))
    }

    /// A quoted URI without which the stream cannot be fetched.
    pub(crate) fn needed_uri(&mut self, name: &'static str) -> Result<Option<Uri>, PlaylistError> {
        match self.try_uri(name)? {
            Some(Ok(uri)) => Ok(Some(uri)),
            Some(Err(source)) => {
                let at = self.at(name);
                let (position, excerpt) = self.line.locate(at);
                Err(PlaylistError::BadUri { position, excerpt, source })
            }
            None => Ok(None),
        }
    }

    /// A quoted URI that is left out, with a warning, if it cannot be resolved.
    pub(crate) fn uri(&mut self, name: &'static str) -> Result<Option<Uri>, PlaylistError> {
        match self.try_uri(name)? {
            Some(Ok(uri)) => Ok(Some(uri)),
            Some(Err(_)) => {
                let at = self.at(name);
                self.warn(WarningKind::BadUri, at);
                self.put_back(name, at);
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// A quoted byte range, `length[@offset]`.
    pub(crate) fn range(&mut self, name: &'static str) -> Result<Option<(u64, Option<u64>)>, PlaylistError> {
        let at = self.at(name);
        let Some(text) = self.string(name)? else { return Ok(None) };
        let range = ByteRange::parse(&text);
        if range.is_none() {
            self.put_back(name, at);
        }
        Ok(range)
    }

    /// A quoted string of integers between slashes.
    pub(crate) fn versions(&mut self, name: &'static str) -> Result<Vec<u64>, PlaylistError> {
        let at = self.at(name);
        let text = self.string(name)?.unwrap_or_default();
        let versions: Result<Vec<u64>, _> = text.split('/').map(str::trim).filter(|v| !v.is_empty()).map(str::parse).collect();
        Ok(versions.unwrap_or_else(|_| {
            self.put_back(name, at);
            Vec::new()
        }))
    }

    /// Where the value of `name` stands.
    pub(crate) fn at(&self, name: &str) -> &'t str {
        self.items.iter().find(|i| i.name == name).map_or(self.line.text, |i| i.at)
    }

    /// What nobody took, in its order.
    pub(crate) fn rest(self) -> Result<Vec<Attribute>, PlaylistError> {
        let mut rest = Vec::new();
        for item in self.items.into_iter().filter(|i| !i.taken) {
            self.tools.keep(1)?;
            let value = if item.quoted {
                let text = self.tools.substitution.expand(&item.value, self.line, &mut self.tools.report)?;
                AttributeValue::Quoted((&*text).into())
            } else {
                AttributeValue::Plain((&*item.value).into())
            };
            rest.push(Attribute {
                name: item.name.into(),
                value,
            });
        }
        Ok(rest)
    }
}
