//! Caption data in SEI messages (ATSC A/53 part 4 §6.2.3; ITU-T H.264 §D.1.6, H.265 §D.2.6).

use crate::nal::unescape;

/// Two bytes of captions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The field of the picture that carries them, 0 or 1.
    pub field: u8,
    /// With their parity bits.
    pub bytes: [u8; 2],
}

/// `user_data_registered_itu_t_t35`.
const REGISTERED: usize = 4;
/// Country (USA), provider (ATSC), identifier and type of caption data.
const CAPTIONS: [u8; 8] = [0xb5, 0x00, 0x31, b'G', b'A', b'9', b'4', 3];

/// The caption pairs of one access unit, whose NAL units stand behind 4-byte lengths: H.264, or HEVC.
pub fn pairs(sample: &[u8], hevc: bool) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut rest = sample;
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((unit, next)) = tail.split_at_checked(length) else { break };
        rest = next;
        let messages = match (hevc, unit) {
            (false, [header, messages @ ..]) if header & 0x1f == 6 => messages,
            (true, [header, _, messages @ ..]) if header >> 1 & 0x3f == 39 => messages,
            _ => continue,
        };
        each_message(&unescape(messages), &mut pairs);
    }
    pairs
}

fn each_message(mut rest: &[u8], pairs: &mut Vec<Pair>) {
    while rest.len() > 2 {
        let Some(kind) = number(&mut rest) else { return };
        let Some(size) = number(&mut rest) else { return };
        let Some((message, next)) = rest.split_at_checked(size) else {
            return;
        };
        rest = next;
        if kind == REGISTERED
            && let Some(data) = message.strip_prefix(&CAPTIONS)
        {
            caption_data(data, pairs);
        }
    }
}

/// A number as SEI has them: bytes of 255, and the remainder.
fn number(rest: &mut &[u8]) -> Option<usize> {
    let mut number = 0_usize;
    loop {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        number = number.saturating_add(usize::from(*byte));
        if *byte != 0xff {
            return Some(number);
        }
    }
}

/// `cc_data()`: flags and a count, a reserved byte, then three bytes for each construct.
fn caption_data(data: &[u8], pairs: &mut Vec<Pair>) {
    let [flags, _, constructs @ ..] = data else { return };
    if flags & 0x40 == 0 {
        return;
    }
    for construct in constructs.chunks_exact(3).take(usize::from(flags & 0x1f)) {
        let valid = construct[0] & 4 != 0;
        // Types 2 and 3 are those of CEA-708.
        if let field @ 0..=1 = construct[0] & 3
            && valid
        {
            pairs.push(Pair {
                field,
                bytes: [construct[1], construct[2]],
            });
        }
    }
}
