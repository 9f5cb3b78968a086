//! What an address looks like, and where one begins and ends within other text.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::account::Hint;

/// The longest address picked out of running text, on each side of its extension.
const REACH: usize = 4096;

/// Extensions of what is surely neither a stream nor a page about one.
const NEVER: [&str; 47] = [
    "js", "mjs", "cjs", "css", "map", "png", "jpg", "jpeg", "gif", "webp", "avif", "svg", "ico", "bmp", "tif", "tiff", "woff", "woff2",
    "ttf", "otf", "eot", "vtt", "srt", "ass", "ssa", "ttml", "dfxp", "sbv", "pdf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "zip",
    "gz", "rar", "exe", "apk", "dmg", "swf", "wasm", "key", "pem", "nfo", "epub",
];

/// Extensions of documents that may name a stream.
const PAGE: [&str; 10] = ["html", "htm", "xhtml", "shtml", "json", "jsonp", "xml", "smil", "rss", "xspf"];

/// What an address is by its looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Class {
    /// A stream or a media file.
    Stream(Hint),
    /// A document that may name one.
    Page,
    /// A picture, a style, a subtitle: never the stream.
    Never,
    /// Nothing tells.
    Unknown,
}

/// Classifies an address by its extension, and failing that by its query.
pub(super) fn classify(address: &str) -> Class {
    if let Some(data) = strip_prefix_ignore_case(address, "data:") {
        return classify_type(data.split([',', ';']).next().unwrap_or_default());
    }
    let (path, query) = split(address);
    let path = path.split('#').next().unwrap_or_default();
    let authority_end = path.find("://").map_or(0, |at| at + 3);
    let has_path = authority_end == 0 || path.get(authority_end..).is_some_and(|rest| rest.contains('/'));
    let file = path.rsplit('/').next().unwrap_or_default();
    // Parameters of a path segment, as in `index.m3u8;jsessionid=1`.
    let file = file.split(';').next().unwrap_or_default();
    let extension = file
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase())
        .filter(|_| has_path);
    if let Some(class) = extension.as_deref().and_then(by_extension) {
        return class;
    }
    if let Some(hint) = smooth(path, query) {
        return Class::Stream(hint);
    }
    if query.is_some_and(|query| contains_word(query, "m3u8")) || contains_word(file, "m3u8") {
        return Class::Stream(Hint::Hls);
    }
    if query.is_some_and(|query| contains_word(query, "mpd")) {
        return Class::Stream(Hint::Dash);
    }
    Class::Unknown
}

/// Classifies by a MIME type.
pub(super) fn classify_type(mime: &str) -> Class {
    let mime = mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match mime.split_once('/') {
        Some((_, "vnd.apple.mpegurl" | "x-mpegurl" | "mpegurl")) => Class::Stream(Hint::Hls),
        Some((_, "dash+xml")) => Class::Stream(Hint::Dash),
        Some(("text", "html")) | Some((_, "xhtml+xml" | "json" | "xml")) => Class::Page,
        Some(("image" | "text" | "font", _)) => Class::Never,
        Some(("video" | "audio", kind)) => Class::Stream(Hint::Media(
            match kind {
                "quicktime" => "mov",
                "x-matroska" => "mkv",
                "mpeg" if mime.starts_with("audio") => "mp3",
                "mp4" if mime.starts_with("audio") => "m4a",
                "webm" if mime.starts_with("audio") => "weba",
                other => other.strip_prefix("x-").unwrap_or(other),
            }
            .to_owned(),
        )),
        _ => Class::Unknown,
    }
}

fn by_extension(extension: &str) -> Option<Class> {
    let known = |list: &[&str]| list.contains(&extension);
    Some(match extension {
        "m3u8" | "m3u" => Class::Stream(Hint::Hls),
        "mpd" => Class::Stream(Hint::Dash),
        "ts" | "mts" => Class::Stream(Hint::Media("ts".to_owned())),
        _ if is_media(extension.as_bytes()) => Class::Stream(Hint::Media(extension.to_owned())),
        _ if known(&PAGE) => Class::Page,
        _ if known(&NEVER) => Class::Never,
        _ => return None,
    })
}

/// Smooth Streaming servers offer HLS and DASH beside their own manifest, by a parameter.
fn smooth(path: &str, query: Option<&str>) -> Option<Hint> {
    let lower = path.to_ascii_lowercase();
    let (_, rest) = lower.split_once(".ism").or_else(|| lower.split_once(".isml"))?;
    let parameters = rest.to_owned() + query.unwrap_or_default();
    if parameters.contains("m3u8") {
        Some(Hint::Hls)
    } else if parameters.contains("mpd") {
        Some(Hint::Dash)
    } else {
        None
    }
}

/// Whether a text stands on its own as an address: one piece, with a scheme or a path.
pub(super) fn is_address(text: &str) -> bool {
    if text.is_empty()
        || text
            .bytes()
            .any(|byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'<' | b'>' | b'`' | b'{' | b'}' | b'|' | b'^' | b'\\'))
    {
        return false;
    }
    // An extension is no file.
    if text.starts_with('.') && !text.contains('/') {
        return false;
    }
    match scheme(text) {
        Some(scheme) => {
            ["http", "https", "file"].iter().any(|known| known.eq_ignore_ascii_case(scheme))
                && text.get(scheme.len()..).is_some_and(|rest| rest.starts_with("://"))
        }
        None => text.contains('/') || text.contains('.'),
    }
}

/// Whether a bare name has an extension under which servers are known to give playlists.
pub(super) fn is_served_file(text: &str) -> bool {
    let file = split(text).0;
    file.rsplit_once('.').is_some_and(|(stem, extension)| {
        !stem.is_empty()
            && ["txt", "php", "asp", "aspx", "ashx", "jsp", "cgi", "do", "bin"]
                .iter()
                .any(|known| known.eq_ignore_ascii_case(extension))
    })
}

/// Whether an address surely is one, and not a word with a slash: it has a scheme, or begins as a path does.
pub(super) fn is_rooted(text: &str) -> bool {
    is_absolute(text) || text.starts_with('/') || text.starts_with("./") || text.starts_with("../")
}

/// Whether a text begins with `http://` or `https://`.
pub(super) fn is_absolute(text: &str) -> bool {
    strip_prefix_ignore_case(text, "http").is_some_and(|rest| {
        let rest = rest.strip_prefix(['s', 'S']).unwrap_or(rest);
        rest.starts_with("://")
    })
}

/// The scheme of an absolute address.
pub(super) fn scheme(text: &str) -> Option<&str> {
    let end = text
        .bytes()
        .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')))?;
    let (scheme, rest) = text.split_at(end);
    // `example.com:8080/x` is no scheme, nor is `12:30`.
    (rest.starts_with(':') && scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && !scheme.contains('.')).then_some(scheme)
}

/// The addresses in the query (or fragment) of another: `player.html?src=https%3A%2F%2F…`, with the parameter's name.
pub(super) fn in_query(address: &str) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    let rest = address.find(['?', '#']).and_then(|at| address.get(at + 1..)).unwrap_or_default();
    rest.split(['&', '?', '#', ';']).take(64).filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        if value.len() < 6 {
            return None;
        }
        let value = percent_decode_str(value).decode_utf8().ok()?;
        Some((name, value))
    })
}

/// Finds the next sign of a stream at or after `from`: an extension, or `m3u8` anywhere.
pub(super) fn next_marker(text: &str, from: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut at = from;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'.' => {
                let length = bytes
                    .get(at + 1..)?
                    .iter()
                    .take(6)
                    .take_while(|byte| byte.is_ascii_alphanumeric())
                    .count();
                if (3..=5).contains(&length) && is_stream_extension(bytes.get(at + 1..at + 1 + length)?) {
                    return Some((at, at + 1 + length));
                }
            }
            b'm' | b'M' if bytes.get(at..at + 4).is_some_and(|word| word.eq_ignore_ascii_case(b"m3u8")) => return Some((at, at + 4)),
            _ => {}
        }
        at += 1;
    }
    None
}

fn is_stream_extension(extension: &[u8]) -> bool {
    let mut lower = [0; 5];
    let Some(lower) = lower.get_mut(..extension.len()) else {
        return false;
    };
    lower.copy_from_slice(extension);
    lower.make_ascii_lowercase();
    matches!(&*lower, b"m3u8" | b"m3u" | b"mpd" | b"ism" | b"isml") || is_media(lower)
}

/// Whether this is the extension, in lower case, of a media file that is told in a [`Hint::Media`].
fn is_media(extension: &[u8]) -> bool {
    matches!(
        extension,
        b"mp4"
            | b"m4v"
            | b"mov"
            | b"webm"
            | b"mkv"
            | b"ogv"
            | b"avi"
            | b"flv"
            | b"wmv"
            | b"3gp"
            | b"mpg"
            | b"mpeg"
            | b"m2ts"
            | b"m4a"
            | b"mp3"
            | b"aac"
            | b"ogg"
            | b"oga"
            | b"opus"
            | b"flac"
            | b"wav"
            | b"mka"
    )
}

/// Addresses in running text, each with its place, found by their signs.
pub(super) fn sweep(text: &str) -> impl Iterator<Item = &str> {
    let mut from = 0;
    let mut floor = 0;
    std::iter::from_fn(move || {
        loop {
            let (start, end) = next_marker(text, from)?;
            let bytes = text.as_bytes();
            let mut left = start;
            while left > floor && start - left < REACH && bytes.get(left - 1).is_some_and(|&byte| !ends_address(byte)) {
                left -= 1;
            }
            let mut right = end;
            while right - end < REACH {
                match bytes.get(right) {
                    Some(b';') if bytes.get(right.saturating_sub(4)..right) == Some(b"&amp") => right += 1,
                    Some(&byte) if !ends_address(byte) && !starts_another(bytes, right) => right += 1,
                    _ => break,
                }
            }
            from = right.max(end);
            floor = from;
            let Some(found) = text.get(left..right) else { continue };
            let found = found.trim_end_matches(['\\', '.', ',', '!', ':', '?', '*']);
            if !found.is_empty() {
                return Some(begin(found));
            }
        }
    })
}

/// Whether a byte cannot stand within an address in running text.
fn ends_address(byte: u8) -> bool {
    byte.is_ascii_whitespace()
        || byte.is_ascii_control()
        || matches!(
            byte,
            b'"' | b'\'' | b'`' | b'<' | b'>' | b'(' | b')' | b'{' | b'}' | b'[' | b']' | b'|' | b'^' | b';'
        )
}

/// A list: `a.m3u8,https://…`, `[720p]https://…,[480p]https://…`, `a.mp4 or b.mp4`.
fn starts_another(bytes: &[u8], at: usize) -> bool {
    bytes.get(at) == Some(&b',')
        && bytes
            .get(at + 1..at + 5)
            .is_none_or(|next| next.eq_ignore_ascii_case(b"http") || next.starts_with(b"["))
}

/// Where an address begins in text that has no space before it: at its last scheme, or after `name=`.
fn begin(found: &str) -> &str {
    let mut best = None;
    let mut from = 0;
    while let Some(at) = found.get(from..).and_then(|rest| rest.find("http")).map(|at| at + from) {
        from = at + 4;
        let rest = found.get(from..).unwrap_or_default();
        let rest = rest.strip_prefix('s').unwrap_or(rest);
        if [":/", ":\\", "%3A", "%3a", "\\u003", "\\x3"]
            .iter()
            .any(|mark| rest.starts_with(mark))
        {
            best = Some(at);
        }
    }
    if let Some(at) = best {
        return found.get(at..).unwrap_or(found);
    }
    match found.find('=') {
        Some(at) if found.find('?').is_none_or(|query| query > at) => found.get(at + 1..).unwrap_or(found),
        _ => found,
    }
}

/// Cuts what was unescaped at the first character that no address holds.
pub(super) fn until_end(text: &str) -> &str {
    let end = text
        .bytes()
        .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'`' | b'\\'));
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// Path and query.
fn split(address: &str) -> (&str, Option<&str>) {
    match address.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (address, None),
    }
}

/// Whether a text holds this word, in lower or upper case and not within a longer one.
fn contains_word(text: &str, word: &str) -> bool {
    text.split(|character: char| !character.is_ascii_alphanumeric())
        .any(|part| part.eq_ignore_ascii_case(word))
}

pub(super) fn strip_prefix_ignore_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| text.get(prefix.len()..)).flatten()
}
