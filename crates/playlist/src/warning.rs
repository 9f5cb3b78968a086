//! What a parser forgave, and where.

use std::collections::HashMap;
use std::fmt;

use crate::position::{Excerpt, Position};
use crate::text::Line;

/// How bad a departure from the specification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Allowed, but worth a look.
    Note,
    /// A SHOULD is not followed.
    Warning,
    /// A MUST is broken; clients may refuse the playlist.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Something that the specification does not allow and that was read all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// What was forgiven.
    pub kind: WarningKind,
    /// Where it stands.
    pub position: Position,
    /// The line in question.
    pub excerpt: Excerpt,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n{}", self.position, self.kind, self.excerpt)
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $(($field:ident))? = $code:literal, $severity:ident, $section:literal, $message:literal;)*) => {
        /// What was forgiven. [`WarningKind::code`] is a name for machines, `Display` one for people.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum WarningKind { $($(#[$doc])* $name $(($field))?,)* }

        impl WarningKind {
            /// A stable name for machines, in kebab case.
            pub fn code(self) -> &'static str {
                match self { $(kinds!(@pattern $name $(, $field)?) => $code,)* }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(kinds!(@pattern $name $(, $field)?) => Severity::$severity,)* }
            }

            /// The section of rfc8216bis that says otherwise.
            pub fn section(self) -> &'static str {
                match self { $(kinds!(@pattern $name $(, $field)?) => $section,)* }
            }
        }

        impl fmt::Display for WarningKind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self { $(kinds!(@bind $name $(, $field)?, name) => kinds!(@write f, $message $(, $field)?, name),)* }
            }
        }
    };
    (@pattern $name:ident) => { Self::$name };
    (@pattern $name:ident, $field:ident) => { Self::$name(_) };
    (@bind $name:ident, $bound:ident) => { Self::$name };
    (@bind $name:ident, $field:ident, $bound:ident) => { Self::$name($bound) };
    (@write $f:ident, $message:literal, $bound:ident) => { $f.write_str($message) };
    (@write $f:ident, $message:literal, $field:ident, $bound:ident) => { write!($f, $message, $bound) };
}

/// The name of a tag or an attribute.
type Name = &'static str;

kinds! {
    /// The text begins with a byte order mark.
    ByteOrderMark = "byte-order-mark", Error, "4.1", "the text begins with a byte order mark";
    /// Blank lines or spaces stand before `#EXTM3U`.
    BlankBeforeHeader = "blank-before-header", Error, "4.4.1.1", "EXTM3U is not at the very beginning";
    /// Text that is not UTF-8 was read as Windows-1252, line by line.
    NotUtf8 = "not-utf8", Error, "4.1", "the line is not UTF-8; it was read as Latin-1";
    /// Lines end with a carriage return alone.
    CarriageReturn = "carriage-return", Error, "4.1", "a carriage return alone ends the line";
    /// A control character other than a line ending.
    ControlCharacter = "control-character", Error, "4.1", "a control character";
    /// A line begins or ends with white space.
    SpaceAroundLine = "space-around-line", Warning, "4.1", "white space before or after the line";
    /// The text ends in the middle of a line, and no `EXT-X-ENDLIST` says that it is whole.
    NoFinalNewline = "no-final-newline", Error, "4.1", "the last line has no line ending; the text may have been cut off";
    /// A tag that may appear only once was ignored the second time.
    RepeatedTag(Name) = "repeated-tag", Error, "4.4", "{} appears more than once; the first one holds";
    /// A tag that must stand before the first segment stands after it.
    LateTag(Name) = "late-tag", Error, "4.4.3", "{} must stand before the first segment";
    /// A tag of the other kind of playlist was ignored.
    ForeignTag(Name) = "foreign-tag", Error, "4.1", "{} does not belong into this kind of playlist";
    /// A tag that takes a value has none that can be read; it was ignored.
    BadTag(Name) = "bad-tag", Error, "4.4", "the value of {} cannot be read";
    /// An attribute without `=`, or with nothing behind it, was ignored.
    AttributeWithoutValue = "attribute-without-value", Error, "4.2", "an attribute without a value";
    /// An attribute appears twice in a tag; the first one holds.
    RepeatedAttribute = "repeated-attribute", Error, "4.2", "the attribute appears twice; the first one holds";
    /// White space round the name or the value of an attribute.
    SpaceInAttributes = "space-in-attributes", Error, "4.2", "white space in the attribute list";
    /// A quoted string without its closing quote reaches to the end of the line.
    OpenQuote = "open-quote", Error, "4.2", "the quoted string does not end";
    /// Text behind a quoted string, or a quote within an unquoted one.
    StrayText = "stray-text", Error, "4.2", "text where a comma should be";
    /// A string that should be quoted.
    Unquoted(Name) = "unquoted", Error, "4.2", "{} should be a quoted string";
    /// A value that should not be quoted.
    Quoted(Name) = "quoted", Error, "4.2", "{} should not be quoted";
    /// An attribute that the tag requires is missing.
    MissingAttribute(Name) = "missing-attribute", Error, "4.2", "{} is missing";
    /// The value of an attribute cannot be read; it is kept among the other attributes.
    BadAttribute(Name) = "bad-attribute", Error, "4.2", "the value of {} cannot be read";
    /// A number below zero was read as zero.
    NegativeNumber = "negative-number", Error, "4.2", "a negative number, read as zero";
    /// A number beyond what the type holds was read as the largest one.
    HugeNumber = "huge-number", Error, "4.2", "the number is too large, and was read as the largest one";
    /// A number with an unusual spelling, such as `.5` or `1e3`.
    OddNumber = "odd-number", Error, "4.2", "an unusual spelling of a number";
    /// Not a number, read as zero.
    NotANumber = "not-a-number", Error, "4.2", "not a number, read as zero";
    /// A fraction where an integer belongs, rounded up.
    FractionalNumber = "fractional-number", Error, "4.2", "a fraction where an integer belongs, rounded up";
    /// A hexadecimal sequence in lower case or without `0x`.
    HexSpelling = "hex-spelling", Error, "4.2", "a hexadecimal sequence begins with 0x and is written in capitals";
    /// An initialization vector that does not have 128 bits was padded or cut on the left.
    IvLength = "iv-length", Error, "4.4.4.4", "the initialization vector does not have 128 bits";
    /// A date without a time zone was read as UTC.
    DateWithoutZone = "date-without-zone", Warning, "4.4.4.6", "a date without time zone, read as UTC";
    /// A date in another form than that of ISO 8601.
    DateSpelling = "date-spelling", Error, "4.4.4.6", "the date is not in the form of ISO 8601";
    /// No `EXT-X-TARGETDURATION`.
    MissingTargetDuration = "missing-target-duration", Error, "4.4.3.1", "EXT-X-TARGETDURATION is missing";
    /// A segment without `EXTINF`; its duration was read as zero.
    SegmentWithoutDuration = "segment-without-duration", Error, "4.4.4.1", "the segment has no EXTINF";
    /// An `EXTINF` whose URI never came was ignored.
    DurationWithoutSegment = "duration-without-segment", Error, "4.4.4.1", "EXTINF without the URI of its segment";
    /// A URI that consists of a query alone. It is allowed, and often a mistake.
    QueryOnlyUri = "query-only-uri", Note, "4.1", "the URI is a query alone";
    /// A second `EXT-X-MAP` before the same segment; the last one holds.
    RepeatedMap = "repeated-map", Warning, "4.4.4.5", "a second EXT-X-MAP before the same segment; the last one holds";
    /// A byte range without offset follows no range of the same resource; it was read as beginning there
    /// where the resource was left, or at zero.
    ByteRangeWithoutStart = "byte-range-without-start", Error, "4.4.4.2", "the byte range has no offset and follows none of the same resource";
    /// A byte range that ends beyond 2⁶⁴ was cut there.
    ByteRangeOverflow = "byte-range-overflow", Error, "4.4.4.2", "the byte range ends beyond what a number can hold";
    /// A key without URI.
    KeyWithoutUri = "key-without-uri", Error, "4.4.4.4", "a key needs a URI";
    /// A reference to a variable that is not defined was left as it stands.
    UndefinedVariable = "undefined-variable", Error, "4.3", "the variable is not defined";
    /// A variable was defined a second time; the first definition holds.
    RepeatedVariable = "repeated-variable", Error, "4.4.2.3", "the variable is already defined";
    /// A variable to be imported is not among the variables of the Multivariant Playlist.
    MissingImport = "missing-import", Error, "4.4.2.3", "there is no such variable to import";
    /// A query parameter to be taken over is not in the URL of the playlist, or has no value.
    MissingQueryParameter = "missing-query-parameter", Error, "4.4.2.3", "the playlist's URL has no such query parameter";
    /// An `EXT-X-DEFINE` that defines nothing was ignored.
    BadDefine = "bad-define", Error, "4.4.2.3", "EXT-X-DEFINE needs exactly one of NAME with VALUE, IMPORT and QUERYPARAM";
    /// A URI that cannot be resolved; the entry was left out.
    BadUri = "bad-uri", Error, "4.1", "the URI cannot be resolved; the entry was left out";
    /// An `EXT-X-STREAM-INF` whose URI never came was ignored.
    VariantWithoutUri = "variant-without-uri", Error, "4.4.6.2", "EXT-X-STREAM-INF without the URI of its playlist";
    /// A URI without `EXT-X-STREAM-INF` was ignored.
    UriWithoutVariant = "uri-without-variant", Error, "4.4.6.2", "a URI without EXT-X-STREAM-INF";
    /// Tags of both kinds of playlist; those that do not fit the URI lines were ignored.
    MixedPlaylist = "mixed-playlist", Error, "4.1", "the playlist has tags of both kinds";
}

/// Collects warnings, a bounded number of each kind.
#[derive(Debug)]
pub(crate) struct Report {
    warnings: Vec<Warning>,
    counts: HashMap<&'static str, usize>,
    per_kind: usize,
    suppressed: u64,
}

impl Report {
    pub(crate) fn new(per_kind: usize) -> Self {
        Self {
            warnings: Vec::new(),
            counts: HashMap::new(),
            per_kind,
            suppressed: 0,
        }
    }

    /// Warns about `at`, a part of `line`; a text from elsewhere stands for the whole line.
    pub(crate) fn warn(&mut self, kind: WarningKind, line: Line<'_>, at: &str) {
        let count = self.counts.entry(kind.code()).or_default();
        if *count >= self.per_kind {
            self.suppressed += 1;
            return;
        }
        *count += 1;
        let (position, excerpt) = line.locate(at);
        self.warnings.push(Warning { kind, position, excerpt });
    }

    pub(crate) fn finish(mut self) -> (Vec<Warning>, u64) {
        self.warnings.sort_by_key(|w| w.position);
        (self.warnings, self.suppressed)
    }
}
