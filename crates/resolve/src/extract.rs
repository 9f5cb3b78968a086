//! What one document names: the frames it embeds and the streams it could play.
//!
//! Bytes in, values out: nothing here fetches, waits or runs a page's script. [`extract`] reads one
//! document (HTML, XML, JSON or JavaScript) by rules that hold for the web at large, and tells for each
//! address where it stood ([`Via`]), what was undone to read it ([`Step`]) and what speaks against it
//! ([`Reason`]). Whoever calls it fetches the frames, and probes the candidates by content: a name is a
//! [`Hint`] and nothing more.
//!
//! A page is hostile until proven otherwise, so the work is linear in its size. Documents, candidates,
//! decoded bytes and the depth of decoding have [`Limits`]; what a limit kept out is told in
//! [`Extraction::truncated`].

mod account;
mod address;
mod charset;
mod collect;
mod entities;
mod environment;
mod escapes;
mod fold;
mod head;
mod html;
mod keys;
mod lexer;
mod markup;
mod methods;
mod packed;
mod rank;
mod script;
mod strings;
mod words;

pub use account::{Cut, Hint, Reason, Step, Via};

use url::Url;

/// One document as it came.
///
/// A document without an address of its own (the text of a `srcdoc`, a linked script, which runs in the
/// page that names it) goes by the base URL of the page it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// Its URL after redirects.
    pub url: &'a Url,
    /// Its `Content-Type` header, whole; the kind is guessed from the bytes where it is absent or wrong.
    pub content_type: Option<&'a str>,
    /// Its body, without any transfer or content coding.
    pub bytes: &'a [u8],
}

/// How much of a document is read and told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of the document that are read; the rest is ignored.
    pub document_bytes: usize,
    /// Candidates told.
    pub candidates: usize,
    /// Frames told.
    pub frames: usize,
    /// Linked scripts told.
    pub scripts: usize,
    /// Bytes of one address; a longer one is dropped. `data:` addresses have `data_bytes`.
    pub address_bytes: usize,
    /// Bytes of one `data:` address or one `srcdoc`.
    pub data_bytes: usize,
    /// Bytes that decoding may produce (base64, packed scripts, strings holding markup or JSON), over the whole document.
    pub decoded_bytes: usize,
    /// How deep decoded text may itself hold encoded text.
    pub decode_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_bytes: 8 << 20,
            candidates: 256,
            frames: 64,
            scripts: 32,
            address_bytes: 8 << 10,
            data_bytes: 1 << 20,
            decoded_bytes: 4 << 20,
            decode_depth: 6,
        }
    }
}

/// What a document names.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Extraction {
    /// The title of the page, entities decoded and white space collapsed.
    pub title: Option<String>,
    /// What relative addresses were resolved against: `<base href>`, or the document's URL.
    pub base: Url,
    /// Documents to read next, likely ones first: frames, embedded players, meta refresh, addresses that a script requests.
    pub frames: Vec<Frame>,
    /// What could be the stream, likely best first, without duplicates.
    pub candidates: Vec<Candidate>,
    /// Linked scripts of the same site that may hold the address, likely ones first; well-known libraries are left out.
    pub scripts: Vec<Url>,
    /// The page builds its player by running scripts, and nothing it plainly names is likely to be the stream.
    pub needs_script: bool,
    /// What limits kept out; empty if the document was read in full.
    pub truncated: Vec<Cut>,
}

/// A document that this one embeds or hands over to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// Where its text is.
    pub source: FrameSource,
    /// Where it stood.
    pub via: Via,
    /// What was done to read it, outermost first.
    pub steps: Vec<Step>,
    /// What speaks against it; a frame with demerits comes after those without.
    pub demerits: Vec<Reason>,
}

/// Where the text of a frame is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameSource {
    /// At this address (`http`, `https`, `file` or `data`).
    Url(Url),
    /// Here: the value of a `srcdoc` attribute, an HTML document that shares this document's base URL.
    Srcdoc(String),
}

/// An address that could be the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// The address, resolved against the base (`http`, `https`, `file` or `data`).
    pub url: Url,
    /// Where it stood.
    pub via: Via,
    /// What was done to read it, outermost first.
    pub steps: Vec<Step>,
    /// What it seems to be, by its name, by a type beside it, or by the key that held it.
    pub hint: Hint,
    /// The height in pixels that a label beside it tells.
    pub height: Option<u32>,
    /// What speaks against it; a candidate with demerits comes after those without.
    pub demerits: Vec<Reason>,
}

/// Reads one document and tells what it names.
///
/// Takes time in proportion to the document's size, whatever it holds.
///
/// ```
/// use aqueduct_resolve::extract::{self, Document};
///
/// let url = "https://example.com/watch/7".parse()?;
/// let page = br#"<script>player.setup({ file: "https:\/\/cdn.example.com\/7.m3u8" })</script>"#;
/// let found = extract::extract(&Document { url: &url, content_type: Some("text/html"), bytes: page }, &Default::default());
/// assert_eq!(found.candidates[0].url.as_str(), "https://cdn.example.com/7.m3u8");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn extract(document: &Document<'_>, limits: &Limits) -> Extraction {
    let mut collector = collect::Collector::new(document.url, limits);
    let bytes = match document.bytes.get(..limits.document_bytes) {
        Some(head) if head.len() < document.bytes.len() => {
            collector.cut(Cut::Document);
            head
        }
        _ => document.bytes,
    };
    let text = charset::decode(bytes, document.content_type);
    collector.read(&text, document.content_type);
    collector.finish()
}
