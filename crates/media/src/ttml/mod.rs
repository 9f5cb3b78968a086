//! TTML (W3C TTML2, IMSC 1), as it stands in `stpp` samples or by itself.
//!
//! It reads what becomes cues: the timing of nested elements, text, line breaks, italics, bold, underline, the colours
//! that WebVTT has, and roughly where a region stands. Animation, ruby and layout beyond that are left out. There is no
//! document type declaration and no entity but XML's own, so nothing expands.
//!
//! ```
//! use aqueduct_media::ttml;
//!
//! let text = r#"<tt xmlns="http://www.w3.org/ns/ttml" xmlns:tts="http://www.w3.org/ns/ttml#styling"><body><div begin="10s">
//!     <p begin="1s" end="00:00:02.500">Two<br/><span tts:fontStyle="italic">lines</span></p>
//! </div></body></tt>"#;
//! let cues = ttml::parse(text.as_bytes(), 60_000)?.cues;
//! assert_eq!((cues[0].start_ms, cues[0].end_ms), (11_000, 12_500));
//! assert_eq!(cues[0].text, "Two\n<i>lines</i>");
//! # Ok::<(), aqueduct_media::Error>(())
//! ```

mod paragraph;
mod parse;
mod style;
mod time;

pub use self::parse::parse;

/// Whether this seems to be TTML: XML whose root is `tt`, in UTF-8 or UTF-16.
#[must_use]
pub fn is_ttml(bytes: &[u8]) -> bool {
    let head = bytes.get(..bytes.len().min(4096)).unwrap_or(bytes);
    let Some(text) = parse::decode(head) else { return false };
    let text = text.trim_start();
    let root = |at: usize| {
        let name = text[at + 1..].split([' ', '\t', '\r', '\n', '>', '/']).next().unwrap_or("");
        name == "tt" || name.ends_with(":tt")
    };
    text.starts_with('<') && text.match_indices('<').any(|(at, _)| root(at))
}
