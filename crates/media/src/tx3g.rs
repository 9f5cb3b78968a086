//! Timed text as MP4 files carry it for most players (3GPP TS 26.245): `tx3g`.

use bytes::Bytes;

use crate::webvtt::{Cue, Span, spans};

/// Bytes of text that a sample has at most: its length has 16 bits (§5.17.1).
const MAX_TEXT: usize = 0xffff;

/// Face style flags (§5.16.1).
const BOLD: u8 = 1;
const ITALIC: u8 = 2;
const UNDERLINE: u8 = 4;

/// Display flags of a track whose samples are all forced: shown whatever the viewer chose. QuickTime has them.
const ALL_FORCED: u32 = 0xc000_0000;

/// A sample entry: white text at the bottom, centred (§5.16).
#[must_use]
pub fn sample_entry(forced: bool) -> Bytes {
    let mut entry = vec![0, 0, 0, 0, 0, 0, 0, 1];
    entry.extend(if forced { ALL_FORCED } else { 0 }.to_be_bytes());
    // Centred, at the bottom; the background is transparent.
    entry.extend([1, 0xff, 0, 0, 0, 0]);
    // The text box: all of the track.
    entry.extend([0; 8]);
    entry.extend(style(0, 0, 0));
    let font = b"Sans-Serif";
    let mut table = vec![0, 1, 0, 1, 10];
    table.extend(font);
    entry.extend(boxed(*b"ftab", &table));
    boxed(*b"tx3g", &entry).into()
}

/// A sample that shows these cues at once, from top to bottom; without any, one that shows nothing (§5.17).
#[must_use]
pub fn encode(cues: &[&Cue]) -> Vec<u8> {
    let mut text = String::new();
    let mut styles: Vec<(u16, u16, u8)> = Vec::new();
    let mut characters = 0_u16;
    for cue in cues {
        let (mut bold, mut italic, mut underline) = (0_u32, 0_u32, 0_u32);
        if !text.is_empty() {
            text.push('\n');
            characters = characters.saturating_add(1);
        }
        for span in spans(&cue.text) {
            let mut count = |name: &str, opens: bool| {
                let depth = match name {
                    "b" => &mut bold,
                    "i" => &mut italic,
                    "u" => &mut underline,
                    _ => return,
                };
                *depth = if opens { *depth + 1 } else { depth.saturating_sub(1) };
            };
            match span {
                Span::Open { name, .. } => count(&name, true),
                Span::Close(name) => count(&name, false),
                Span::Text(part) => {
                    let first = characters;
                    for character in part.chars() {
                        if text.len() + character.len_utf8() > MAX_TEXT {
                            break;
                        }
                        text.push(character);
                        characters = characters.saturating_add(1);
                    }
                    let face = [(bold, BOLD), (italic, ITALIC), (underline, UNDERLINE)];
                    let face = face.iter().filter(|(depth, _)| *depth > 0).fold(0, |face, (_, flag)| face | flag);
                    if face != 0 && first < characters {
                        styles.push((first, characters, face));
                    }
                }
            }
        }
    }
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    let mut sample = length.to_be_bytes().to_vec();
    sample.extend(text.as_bytes());
    if let Ok(count) = u16::try_from(styles.len())
        && count > 0
    {
        let mut records = count.to_be_bytes().to_vec();
        for (first, end, face) in styles {
            records.extend(style(first, end, face));
        }
        sample.extend(boxed(*b"styl", &records));
    }
    sample
}

/// A style record (§5.16.1): characters, font 1, face, size, colour.
fn style(first: u16, end: u16, face: u8) -> [u8; 12] {
    let ([a, b], [c, d]) = (first.to_be_bytes(), end.to_be_bytes());
    [a, b, c, d, 0, 1, face, 18, 0xff, 0xff, 0xff, 0xff]
}

fn boxed(kind: [u8; 4], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).unwrap_or(u32::MAX);
    [&size.to_be_bytes()[..], &kind, body].concat()
}

#[cfg(test)]
mod tests {
    use mp4_atom::{Decode, Tx3g};
    use proptest::prelude::*;

    use super::*;

    fn cue(text: &str) -> Cue {
        Cue {
            text: text.into(),
            ..Cue::default()
        }
    }

    #[test]
    fn a_sample_entry_is_read_by_others() {
        for (forced, flags) in [(false, 0), (true, ALL_FORCED)] {
            let entry = Tx3g::decode(&mut &sample_entry(forced)[..]).unwrap();
            assert_eq!(
                (entry.display_flags, entry.horizontal_justification, entry.vertical_justification),
                (flags, 1, -1)
            );
            assert_eq!(entry.ftab.unwrap().font_entries.len(), 1);
        }
    }

    #[test]
    fn samples_are_those_of_the_specification() {
        assert_eq!(encode(&[]), [0, 0]);
        assert_eq!(encode(&[&cue("a &amp; é")]), b"\0\x06a & \xc3\xa9");
        let styled = encode(&[&cue("x <i>yé<b>z</b></i>"), &cue("<u>w</u>")]);
        let expected = [
            &b"\0\x08x y\xc3\xa9z\nw"[..],
            b"\0\0\0\x2estyl\0\x03",
            b"\0\x02\0\x04\0\x01\x02\x12\xff\xff\xff\xff",
            b"\0\x04\0\x05\0\x01\x03\x12\xff\xff\xff\xff",
            b"\0\x06\0\x07\0\x01\x04\x12\xff\xff\xff\xff",
        ];
        assert_eq!(styled, expected.concat());
    }

    proptest! {
        #[test]
        fn the_length_is_that_of_the_text(text: String, times in 1_usize..4000) {
            let sample = encode(&[&cue(&text.repeat(times))]);
            let length = usize::from(u16::from_be_bytes([sample[0], sample[1]]));
            prop_assert!(std::str::from_utf8(&sample[2..2 + length]).is_ok());
        }
    }
}
