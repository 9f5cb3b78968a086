//! The linter: what in a playlist breaks the specification.

use std::fmt;

use crate::key::{Key, Method};
use crate::lint::Lint;
use crate::parse::Playlist;
use crate::position::{Excerpt, SourceLine};
use crate::variables::Define;
use crate::warning::Severity;

/// Something in a playlist that breaks the specification, or deserves a look.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// A stable name for machines, in kebab case.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The section of rfc8216bis that says otherwise.
    pub section: &'static str,
    /// Where it is; no line stands for the playlist as a whole.
    pub line: SourceLine,
    /// The column in characters, counted from one, where a single place is at fault.
    pub column: Option<u32>,
    /// What is wrong.
    pub message: String,
    /// The line, where a single place is at fault.
    pub excerpt: Option<Excerpt>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line.get() {
            write!(f, "line {line}")?;
            if let Some(column) = self.column {
                write!(f, ", column {column}")?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{}: {} [{}, section {}]", self.severity, self.message, self.code, self.section)?;
        match &self.excerpt {
            Some(excerpt) => write!(f, "\n{excerpt}"),
            None => Ok(()),
        }
    }
}

impl Playlist {
    /// Lists what breaks the specification, by line: everything that [`parse`](crate::parse) forgave, and
    /// what can only be seen when the parts are compared.
    ///
    /// It looks at one playlist alone; rules that relate the playlists of a presentation to each other, or a
    /// live playlist to its last version, are not checked.
    pub fn validate(&self) -> Vec<Finding> {
        let mut linter = Linter::default();
        match self {
            Self::Multivariant(playlist) => {
                linter.forgiven(&playlist.lint);
                playlist.lint_into(&mut linter);
            }
            Self::Media(playlist) => {
                linter.forgiven(&playlist.lint);
                playlist.lint_into(&mut linter);
            }
        }
        linter.findings.sort_by_key(|f| (f.line.get(), f.column));
        linter.findings
    }
}

/// Collects findings.
#[derive(Debug, Default)]
pub(crate) struct Linter {
    findings: Vec<Finding>,
}

impl Linter {
    fn forgiven(&mut self, lint: &Lint) {
        self.findings.extend(lint.warnings.iter().map(|warning| Finding {
            code: warning.kind.code(),
            severity: warning.kind.severity(),
            section: warning.kind.section(),
            line: SourceLine(warning.position.line),
            column: Some(warning.position.column),
            message: warning.kind.to_string(),
            excerpt: Some(warning.excerpt.clone()),
        }));
    }

    pub(crate) fn error(&mut self, code: &'static str, section: &'static str, line: SourceLine, message: impl Into<String>) {
        self.add(Severity::Error, code, section, line, message.into());
    }

    pub(crate) fn warning(&mut self, code: &'static str, section: &'static str, line: SourceLine, message: impl Into<String>) {
        self.add(Severity::Warning, code, section, line, message.into());
    }

    pub(crate) fn note(&mut self, code: &'static str, section: &'static str, line: SourceLine, message: impl Into<String>) {
        self.add(Severity::Note, code, section, line, message.into());
    }

    fn add(&mut self, severity: Severity, code: &'static str, section: &'static str, line: SourceLine, message: String) {
        self.findings.push(Finding {
            code,
            severity,
            section,
            line,
            column: None,
            message,
            excerpt: None,
        });
    }
}

/// The protocol version that a playlist needs (rfc8216bis, 8), and where it stands what needs it.
#[derive(Debug)]
pub(crate) struct Needs {
    version: u64,
    feature: &'static str,
    line: SourceLine,
}

/// The newest version that the specification defines.
const NEWEST: u64 = 13;

impl Needs {
    pub(crate) fn new() -> Self {
        Self {
            version: 1,
            feature: "",
            line: SourceLine(0),
        }
    }

    pub(crate) fn at_least(&mut self, version: u64, feature: &'static str, line: SourceLine, holds: bool) {
        if holds && version > self.version {
            *self = Self { version, feature, line };
        }
    }

    pub(crate) fn defines(&mut self, defines: &[Define], line: SourceLine) {
        self.at_least(8, "EXT-X-DEFINE", line, !defines.is_empty());
        let query = defines.iter().any(|d| matches!(d, Define::QueryParameter(_)));
        self.at_least(11, "QUERYPARAM", line, query);
    }

    pub(crate) fn key(&mut self, key: &Key, line: SourceLine) {
        self.at_least(2, "an IV", line, key.iv.is_some());
        let format = !key.is_identity() || !key.key_format_versions.is_empty();
        self.at_least(5, "KEYFORMAT", line, format);
    }

    pub(crate) fn check(self, version: Option<u64>, lint: &Lint, linter: &mut Linter) {
        let stated = version.unwrap_or(1);
        if stated < self.version {
            let message = format!("{} needs EXT-X-VERSION {}, but it is {stated}", self.feature, self.version);
            linter.error("version-too-low", "8", self.line, message);
        }
        if stated > NEWEST {
            let line = line_of(lint, "EXT-X-VERSION");
            linter.note("version-unknown", "8", line, format!("version {stated} is newer than this linter"));
        }
    }
}

/// The line of the first tag of this name.
pub(crate) fn line_of(lint: &Lint, tag: &str) -> SourceLine {
    SourceLine(lint.lines.get(tag).copied().unwrap_or(0))
}

/// What is wrong with a key by itself (4.4.4.4).
pub(crate) fn check_key(key: &Key, line: SourceLine, linter: &mut Linter) {
    if let Method::Other(name) = &key.method
        && !name.is_empty()
    {
        linter.warning(
            "unknown-method",
            "4.4.4.4",
            line,
            format!("the method {name} is not in the specification"),
        );
    }
    if matches!(key.method, Method::Aes256 | Method::Aes256Ctr) {
        let message = format!("the method {} is not in the specification", key.method.as_str());
        linter.warning("unknown-method", "4.4.4.4", line, message);
    }
    if key.method == Method::SampleAesCtr && key.iv.is_some() {
        linter.error("iv-with-ctr", "4.4.4.4", line, "SAMPLE-AES-CTR takes no IV");
    }
    if key.method == Method::Aes256Gcm && key.iv.is_some() {
        linter.error(
            "iv-with-gcm",
            "4.4.4.4",
            line,
            "AES-256-GCM takes no IV: each segment begins with its own",
        );
    }
}
