//! Names for outputs that the user did not name. What a server says never becomes a path unchecked.

use std::path::{Path, PathBuf};

use aqueduct::{Presentation, TrackKind};
use unicode_normalization::UnicodeNormalization;

use crate::values::Format;

/// The longest name that is made. File systems take 255 bytes, or as many UTF-16 units of the decomposed form; a number,
/// extensions, `.part` and `.journal` need room.
const LONGEST: usize = 180;

/// Names that Windows reserves, with any extension. The superscript digits count as digits there.
const RESERVED: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];
const NUMBERED: [&str; 2] = ["com", "lpt"];

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
        Some(Format::Mkv) => "mkv",
        Some(Format::Ts) => "ts",
        Some(Format::M4a) => "m4a",
        Some(Format::Aac) => "aac",
        Some(Format::Mp3) => "mp3",
        Some(Format::Ac3) => "ac3",
        Some(Format::Eac3) => "eac3",
        Some(Format::Flac) => "flac",
        Some(Format::Opus) => "opus",
        Some(Format::Hls) => "hls",
        Some(Format::Raw) => segments,
        None => plain.unwrap_or("mp4"),
    };
    format!("{stem}{number}.{extension}")
}

/// Makes a name of any text: one that Linux, macOS and Windows accept, and that is no path.
pub(crate) fn safe(text: &str) -> String {
    let (mut name, mut decomposed) = (String::new(), 0);
    // The composed form, which is the same name everywhere.
    for character in text.chars().filter(|character| !is_left_out(*character)).nfc() {
        let character = match character {
            '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
            other if other.is_control() || other.is_whitespace() => ' ',
            other => other,
        };
        if character == ' ' && (name.is_empty() || name.ends_with(' ')) {
            continue;
        }
        decomposed += std::iter::once(character).nfd().map(char::len_utf16).sum::<usize>();
        if name.len() + character.len_utf8() > LONGEST || decomposed > LONGEST {
            break;
        }
        name.push(character);
    }
    let name = name.trim_matches(|edge| matches!(edge, ' ' | '.'));
    if is_device(name) || name.starts_with('-') {
        // It may be too long by that.
        safe(&format!("_{name}"))
    } else {
        name.to_owned()
    }
}

fn is_left_out(character: char) -> bool {
    match character {
        // Direction marks and marks without width make a name look like another one.
        '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => true,
        // Not characters, and refused by some file systems.
        '\u{fdd0}'..='\u{fdef}' | '\u{fffe}' | '\u{ffff}' => true,
        _ => false,
    }
}

/// The longest label of a subtitle track, in bytes: it stands behind a name that may be the longest already.
const LONGEST_LABEL: usize = 40;

/// What tells the files of subtitle tracks apart, made safe.
pub(crate) fn label(text: &str) -> String {
    let mut label = safe(text);
    label.truncate(label.floor_char_boundary(LONGEST_LABEL));
    let label = label.trim_end_matches([' ', '.']);
    if label.is_empty() { "subtitles".into() } else { label.to_owned() }
}

/// Whether Windows takes a name for a device.
fn is_device(name: &str) -> bool {
    let device = name.split('.').next().unwrap_or_default().trim_end().to_lowercase();
    let numbered = |port: &&str| {
        let mut number = device.strip_prefix(*port).unwrap_or_default().chars();
        matches!((number.next(), number.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
    };
    RESERVED.contains(&device.as_str()) || NUMBERED.iter().any(numbered)
}

/// A name that is not among `taken`, by a number behind it where it is.
pub(crate) fn unique(name: &str, taken: &[PathBuf], folder: &Path) -> PathBuf {
    // Not all file systems tell upper from lower case.
    let free = |path: &PathBuf| {
        let lower = |path: &Path| path.to_string_lossy().to_lowercase();
        !taken.iter().any(|other| lower(other) == lower(path))
    };
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let numbered = (2_usize..).map(|number| folder.join(format!("{stem} ({number}).{extension}")));
    std::iter::once(folder.join(name))
        .chain(numbered)
        .find(free)
        .unwrap_or_else(|| folder.join(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            ("COM¹.mp4", "_COM¹.mp4"),
            ("lpt0", "_lpt0"),
            ("com12", "com12"),
            ("CONIN$", "_CONIN$"),
            ("nul .x", "_nul .x"),
            ("a film. ", "a film"),
            ("cafe\u{301}", "café"),
            ("cafe\u{200b}\u{301}", "café"),
            ("in\u{200b}visible", "invisible"),
            ("comma", "comma"),
            ("-rf", "_-rf"),
            ("evil\u{202e}4pm.exe", "evil4pm.exe"),
            ("日本語のタイトル", "日本語のタイトル"),
        ];
        for (text, expected) in cases {
            assert_eq!(safe(text), expected, "{text:?}");
        }
        let (option, longest) = (format!("-{}", "a".repeat(LONGEST)), "a".repeat(LONGEST - 2));
        assert_eq!(safe(&option), format!("_-{longest}"), "the mark in front counts");
    }

    #[test]
    fn the_longest_title_and_the_longest_label_still_make_a_file_name() {
        for text in ["x", "日", "é", "e\u{301}", "𝄞"].map(|character| character.repeat(400)) {
            let longest = format!("{}-1000.{}.1000.vtt.part.journal", safe(&text), label(&text));
            assert!(!label(&text).is_empty() && longest.len() <= 255, "{longest}");
        }
        assert_eq!(
            (label("en"), label("..."), label("")),
            ("en".into(), "subtitles".into(), "subtitles".into())
        );
    }

    #[test]
    fn two_streams_of_one_title_get_two_names() {
        let folder = Path::new("videos");
        let mut taken = Vec::new();
        for expected in ["Film.mp4", "Film (2).mp4", "Film (3).mp4"] {
            let path = unique("Film.mp4", &taken, folder);
            assert_eq!(path, folder.join(expected));
            taken.push(path);
        }
        assert_eq!(
            unique("FILM.mp4", &taken, folder),
            folder.join("FILM (4).mp4"),
            "case does not tell names apart"
        );
    }

    proptest! {
        #[test]
        fn a_name_is_one_that_every_system_takes(text in "\\PC{0,300}|[ -~\\x00-\\x1f./\\\\:]{0,40}|(?i:com|lpt|con|nul|prn|aux)[0-9¹²³$]?[. ]{0,2}|-?(a\u{200b}?\u{301}){0,80}") {
            let name = safe(&text);
            prop_assert!(!name.chars().any(|character| character.is_control() || "/\\:*?\"<>|".contains(character)), "{name:?}");
            prop_assert!(name.len() <= LONGEST && name.nfd().map(char::len_utf16).sum::<usize>() <= LONGEST, "{name:?}");
            prop_assert!(name.trim_matches(|edge| matches!(edge, ' ' | '.')) == name, "{name:?}");
            prop_assert!(!is_device(&name) && !name.starts_with('-'), "{name:?}");
            let is_one = Path::new(&name).components().count() <= 1;
            prop_assert!(is_one, "{name:?} is a path");
            prop_assert_eq!(safe(&name), name, "a safe name stays as it is");
        }
    }
}
