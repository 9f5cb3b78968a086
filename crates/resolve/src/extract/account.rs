//! The words of the account: where an address stood, what was undone, what speaks against it.

use std::fmt;

/// Where an address stood in its document.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Via {
    /// `<video src>`.
    Video,
    /// `<audio src>`.
    Audio,
    /// `<source src>`.
    Source,
    /// `<a href>` or `<area href>`.
    Link,
    /// `<link href>` (preload, alternate, `video_src`, oEmbed).
    LinkTag,
    /// `<iframe src>`, `<frame src>` or an element whose name ends in `iframe`.
    Iframe,
    /// An attribute of a frame that a script moves to `src` later, by name.
    LazyIframe(String),
    /// `<iframe srcdoc>`.
    Srcdoc,
    /// `<embed>`, `<object>` or `<param>`.
    Embed,
    /// An attribute of an element that is a player by its name: element and attribute.
    PlayerElement(String, String),
    /// An attribute of any other element, by name; this includes `data-*` and `data-setup`.
    Attribute(String),
    /// An Open Graph property, by name (`og:video` and its kin).
    OpenGraph(String),
    /// `twitter:player`, `twitter:player:stream`, by name.
    Twitter(String),
    /// JSON-LD, by key (`contentUrl`, `embedUrl`).
    JsonLd(String),
    /// Microdata, by `itemprop`.
    Microdata(String),
    /// `<meta http-equiv=refresh>`.
    MetaRefresh,
    /// A key of an object, a variable or a property that players use, by name.
    PlayerKey(String),
    /// An argument of a call, by the callee's name.
    PlayerCall(String),
    /// A string in a script.
    ScriptString,
    /// A script sends the page elsewhere (`location.href = …`).
    ScriptRedirect,
    /// A script requests this address, by the callee's name (`fetch`, `$.getJSON`).
    Request(String),
    /// A comment in markup or script.
    Comment,
    /// Anywhere else in the text.
    Text,
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Video => f.write_str("<video>"),
            Self::Audio => f.write_str("<audio>"),
            Self::Source => f.write_str("<source>"),
            Self::Link => f.write_str("link"),
            Self::LinkTag => f.write_str("<link>"),
            Self::Iframe => f.write_str("<iframe>"),
            Self::LazyIframe(attribute) => write!(f, "<iframe {attribute}>"),
            Self::Srcdoc => f.write_str("<iframe srcdoc>"),
            Self::Embed => f.write_str("<embed>"),
            Self::PlayerElement(element, attribute) => write!(f, "<{element} {attribute}>"),
            Self::Attribute(name) => write!(f, "attribute {name}"),
            Self::OpenGraph(name) | Self::Twitter(name) => f.write_str(name),
            Self::JsonLd(key) => write!(f, "JSON-LD {key}"),
            Self::Microdata(name) => write!(f, "microdata {name}"),
            Self::MetaRefresh => f.write_str("meta refresh"),
            Self::PlayerKey(key) => write!(f, "key {key}"),
            Self::PlayerCall(callee) => write!(f, "call {callee}()"),
            Self::ScriptString => f.write_str("string in a script"),
            Self::ScriptRedirect => f.write_str("redirect by a script"),
            Self::Request(callee) => write!(f, "request by {callee}()"),
            Self::Comment => f.write_str("comment"),
            Self::Text => f.write_str("text"),
        }
    }
}

/// One thing that was done to read an address.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Character references such as `&amp;` were decoded.
    Entities,
    /// `\/` became `/`.
    EscapedSlash,
    /// `\u002F` and the like were decoded.
    UnicodeEscape,
    /// `\x2F` and the like were decoded.
    HexEscape,
    /// `%2F` and the like were decoded.
    Percent,
    /// Base64, as the argument of a decoding call or bare, was decoded.
    Base64,
    /// Pairs of hexadecimal digits were decoded.
    HexDigits,
    /// Strings were joined, by `+`, by a template or by `join`.
    Joined,
    /// A string or an array was reversed.
    Reversed,
    /// Part of a string was replaced as the script says.
    Replaced,
    /// A variable's value was put in its place.
    Variable,
    /// Character codes became characters.
    CharCodes,
    /// A `p,a,c,k,e,d` script was unpacked.
    Unpacked,
    /// A string that holds JSON or a script was read as such.
    NestedScript,
    /// A string that holds markup was read as such.
    NestedMarkup,
    /// The fallback for browsers without scripts (`<noscript>`) was read.
    NoScript,
    /// The value of a query parameter was taken, by name.
    Query(String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Entities => "entities decoded",
            Self::EscapedSlash => "\\/ unescaped",
            Self::UnicodeEscape => "\\u unescaped",
            Self::HexEscape => "\\x unescaped",
            Self::Percent => "percent-decoded",
            Self::Base64 => "base64 decoded",
            Self::HexDigits => "hexadecimal digits decoded",
            Self::Joined => "strings joined",
            Self::Reversed => "reversed",
            Self::Replaced => "replaced",
            Self::Variable => "variable resolved",
            Self::CharCodes => "character codes decoded",
            Self::Unpacked => "packed script unpacked",
            Self::NestedScript => "script in a string",
            Self::NestedMarkup => "markup in a string",
            Self::NoScript => "inside <noscript>",
            Self::Query(name) => return write!(f, "query parameter {name}"),
        })
    }
}

/// What an address seems to lead to, before anybody looked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// An HLS playlist.
    Hls,
    /// A DASH Media Presentation Description.
    Dash,
    /// A plain media file, with its extension (`mp4`).
    Media(String),
    /// Nothing tells.
    #[default]
    Unknown,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hls => f.write_str("HLS"),
            Self::Dash => f.write_str("DASH"),
            Self::Media(extension) => f.write_str(extension),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// Why an address ranks below others. Words are told as they stood, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// This word nearby tells of an advertisement.
    Advertisement(String),
    /// This word nearby tells of a preview or teaser.
    Preview(String),
    /// This word nearby tells of thumbnails or a poster.
    Thumbnail(String),
    /// This word nearby tells of a trailer.
    Trailer(String),
    /// This word nearby, or a video that plays muted in a loop, tells of decoration.
    Background(String),
    /// This word nearby tells of another page's video.
    Related(String),
    /// This word nearby tells of a stand-in.
    Placeholder(String),
    /// This word nearby tells of measuring, consent or social plugins.
    Service(String),
    /// It stands in a comment.
    Commented,
    /// It stands where a page shows text to copy.
    ShownAsText,
    /// A part of the address is computed by the script.
    Incomplete,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Advertisement(word) => write!(f, "advertisement ({word})"),
            Self::Preview(word) => write!(f, "preview ({word})"),
            Self::Thumbnail(word) => write!(f, "thumbnail ({word})"),
            Self::Trailer(word) => write!(f, "trailer ({word})"),
            Self::Background(word) => write!(f, "background ({word})"),
            Self::Related(word) => write!(f, "related video ({word})"),
            Self::Placeholder(word) => write!(f, "placeholder ({word})"),
            Self::Service(word) => write!(f, "service ({word})"),
            Self::Commented => f.write_str("in a comment"),
            Self::ShownAsText => f.write_str("shown as text"),
            Self::Incomplete => f.write_str("partly computed by a script"),
        }
    }
}

/// Which limit kept something out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cut {
    /// The document is longer than is read.
    Document,
    /// There are more candidates.
    Candidates,
    /// There are more frames.
    Frames,
    /// There are more linked scripts.
    Scripts,
    /// An address, or a `srcdoc`, is longer than is told.
    Address,
    /// More text is encoded than is decoded, or deeper.
    Decoding,
    /// An element has more attributes than are read.
    Attributes,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Document => "document too long",
            Self::Candidates => "too many candidates",
            Self::Frames => "too many frames",
            Self::Scripts => "too many scripts",
            Self::Address => "address too long",
            Self::Decoding => "too much encoded text",
            Self::Attributes => "too many attributes",
        })
    }
}
