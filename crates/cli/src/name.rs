//! Names for outputs that the user did not name. What a server says never becomes a path unchecked.

use aqueduct::{Presentation, TrackKind};

use crate::args::Format;

/// The longest name that is made, in bytes: file systems take 255, and extensions and `.part` need room.
const LONGEST: usize = 180;

/// Names that Windows reserves, with any extension.
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];

/// The name for a presentation: its title or the last part of its address, made safe, with its number among several
/// and the extension of its format.
pub(crate) fn of(presentation: &Presentation, number: Option<usize>, format: Option<Format>) -> String {
    let first = presentation.tracks.first();
    let path = first
        .and_then(|track| track.url.as_ref())
        .map(|url| url.url().path().to_owned())
        .unwrap_or_default();
    let last = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
    let (stem, extension) = last.rsplit_once('.').unwrap_or((last, ""));
    // A plain file keeps its container.
    let plain = first
        .filter(|track| track.kind == TrackKind::File)
        .and_then(|track| track.extension.as_deref());
    let title = presentation.title.as_deref().map(safe).filter(|title| !title.is_empty());
    let stem = title.unwrap_or_else(|| safe(if extension.is_empty() { last } else { stem }));
    let stem = if stem.is_empty() { "video".into() } else { stem };
    let number = number.map(|number| format!("-{number}")).unwrap_or_default();
    let segments = first.and_then(|track| track.extension.as_deref()).unwrap_or("bin");
    let extension = match format {
        Some(Format::Mp4 | Format::Fmp4) => "mp4",
        Some(Format::Ts) => "ts",
        Some(Format::M4a) => "m4a",
        Some(Format::Aac) => "aac",
        Some(Format::Mp3) => "mp3",
        Some(Format::Ac3) => "ac3",
        Some(Format::Eac3) => "eac3",
        Some(Format::Raw) => segments,
        None => plain.unwrap_or("mp4"),
    };
    format!("{stem}{number}.{extension}")
}

/// Makes a name of any text: one that Linux, macOS and Windows accept, and that is no path.
pub(crate) fn safe(text: &str) -> String {
    let mut name = String::new();
    for character in text.chars() {
        let character = match character {
            '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
            // Direction marks make a name look like another one.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => continue,
            other if other.is_control() || other.is_whitespace() => ' ',
            other => other,
        };
        if character == ' ' && (name.is_empty() || name.ends_with(' ')) {
            continue;
        }
        if name.len() + character.len_utf8() > LONGEST {
            break;
        }
        name.push(character);
    }
    let name = name.trim_matches(|edge| matches!(edge, ' ' | '.')).to_owned();
    let device = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let numbered = device
        .strip_prefix("com")
        .or(device.strip_prefix("lpt"))
        .is_some_and(|number| number.len() == 1 && number != "0");
    if RESERVED.contains(&device.as_str()) || numbered || name.starts_with('-') {
        format!("_{name}")
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_becomes_a_name_that_is_no_path() {
        let cases = [
            ("A film", "A film"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("  a\t\n b  ", "a b"),
            ("c:\\x?", "c__x_"),
            ("...", ""),
            ("CON", "_CON"),
            ("nul.tar.gz", "_nul.tar.gz"),
            ("com1", "_com1"),
            ("comma", "comma"),
            ("-rf", "_-rf"),
            ("evil\u{202e}4pm.exe", "evil4pm.exe"),
            ("日本語のタイトル", "日本語のタイトル"),
        ];
        for (text, expected) in cases {
            assert_eq!(safe(text), expected, "{text:?}");
        }
        assert!(safe(&"é".repeat(500)).len() <= LONGEST);
    }
}
