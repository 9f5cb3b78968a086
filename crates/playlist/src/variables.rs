//! Variables and their substitution (rfc8216bis, 4.3 and 4.4.2.3).

use std::borrow::Cow;
use std::collections::BTreeMap;

use memchr::memchr;
use url::Url;

use crate::attributes::AttributeReader;
use crate::context::Limits;
use crate::error::PlaylistError;
use crate::text::Line;
use crate::warning::{Report, WarningKind};

/// Names and values of the variables that a playlist defines (rfc8216bis, 4.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Defines a variable unless it is defined already; says whether it was not.
    ///
    /// Quotation marks and control characters are dropped from the value: no playlist could write them, and
    /// none may smuggle a line or an attribute in.
    pub fn insert(&mut self, name: impl Into<String>, value: &str) -> bool {
        let name = name.into();
        if self.0.contains_key(&name) {
            return false;
        }
        let value = value.chars().filter(|&c| c != '"' && !c.is_control()).collect();
        self.0.insert(name, value);
        true
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<String>, V: AsRef<str>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(iter: I) -> Self {
        let mut variables = Self::default();
        for (name, value) in iter {
            variables.insert(name, value.as_ref());
        }
        variables
    }
}

/// One `EXT-X-DEFINE` (rfc8216bis, 4.4.2.3). What it came to is in the playlist's `variables`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Define {
    /// `NAME` and `VALUE`, the value as it was written: references in it are not expanded here.
    Value {
        /// Name of the variable.
        name: String,
        /// Its value as written.
        value: String,
    },
    /// `IMPORT`: the variable of this name of the Multivariant Playlist.
    Import(String),
    /// `QUERYPARAM`: the query parameter of this name of the playlist's own URL.
    QueryParameter(String),
}

/// Expands references, within the limits.
#[derive(Debug)]
pub(crate) struct Substitution {
    pub(crate) variables: Variables,
    line_bytes: usize,
    budget: usize,
    total: usize,
}

impl Substitution {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            variables: Variables::default(),
            line_bytes: limits.line_bytes,
            budget: limits.bytes,
            total: limits.bytes,
        }
    }

    /// `text`, a part of `line`, with its variable references replaced. What a value contains is not looked
    /// at again; a reference to nothing stays as it is.
    pub(crate) fn expand<'t>(&mut self, text: &'t str, line: Line<'_>, report: &mut Report) -> Result<Cow<'t, str>, PlaylistError> {
        if memchr(b'{', text.as_bytes()).is_none() {
            return Ok(Cow::Borrowed(text));
        }
        let mut expanded = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("{$") {
            let (before, reference) = rest.split_at(at);
            expanded.push_str(before);
            let body = reference.get(2..).unwrap_or_default();
            let name_length = body.bytes().take_while(|&b| is_name(b)).count();
            let (name, behind) = body.split_at(name_length);
            match behind.strip_prefix('}').zip(self.variables.get(name)) {
                Some((behind, value)) => {
                    self.budget = self
                        .budget
                        .checked_sub(value.len())
                        .ok_or_else(|| PlaylistError::too_large("bytes of variable values", self.total))?;
                    expanded.push_str(value);
                    rest = behind;
                }
                None => {
                    report.warn(WarningKind::UndefinedVariable, line, reference);
                    expanded.push_str("{$");
                    rest = body;
                }
            }
            if expanded.len() > self.line_bytes {
                let (position, excerpt) = line.locate(text);
                return Err(PlaylistError::LongLine {
                    position,
                    limit: self.line_bytes,
                    excerpt,
                });
            }
        }
        expanded.push_str(rest);
        Ok(Cow::Owned(expanded))
    }

    /// Carries a definition out; what is wrong with it.
    pub(crate) fn define(&mut self, define: &Define, value: &str, base: &Url, imports: &Variables) -> Option<WarningKind> {
        let defined = match define {
            Define::Value { name, .. } => self.variables.insert(name.as_str(), value),
            Define::Import(name) => match imports.get(name) {
                Some(value) => self.variables.insert(name.as_str(), value),
                None => return Some(WarningKind::MissingImport),
            },
            Define::QueryParameter(name) => match base.query_pairs().find(|(n, v)| n == name && !v.is_empty()) {
                Some((_, value)) => self.variables.insert(name.as_str(), &value),
                None => return Some(WarningKind::MissingQueryParameter),
            },
        };
        (!defined).then_some(WarningKind::RepeatedVariable)
    }
}

fn is_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'-' || b == b'_'
}

impl Define {
    /// Reads the attributes and carries the definition out.
    pub(crate) fn read(mut reader: AttributeReader<'_, '_>, base: &Url, imports: &Variables) -> Result<Option<Self>, PlaylistError> {
        let name = reader.string("NAME")?;
        let value = reader.raw_string("VALUE")?;
        let import = reader.string("IMPORT")?;
        let parameter = reader.string("QUERYPARAM")?;
        let (define, value) = match (name, import, parameter) {
            (Some(name), None, None) if !name.is_empty() => {
                // An empty value is a value.
                let (written, value) = value.unwrap_or_default();
                (Self::Value { name, value: written }, value)
            }
            (None, Some(name), None) if !name.is_empty() => (Self::Import(name), String::new()),
            (None, None, Some(name)) if !name.is_empty() => (Self::QueryParameter(name), String::new()),
            _ => {
                reader.tools.report.warn(WarningKind::BadDefine, reader.line, reader.line.text);
                return Ok(None);
            }
        };
        let flaw = reader.tools.substitution.define(&define, &value, base, imports);
        if let Some(flaw) = flaw {
            reader.tools.report.warn(flaw, reader.line, reader.line.text);
        }
        // A second definition of a name has no effect, and would only be repeated.
        Ok((flaw != Some(WarningKind::RepeatedVariable)).then_some(define))
    }
}
