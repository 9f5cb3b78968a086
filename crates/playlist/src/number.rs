//! Numbers as playlists write them, and as they should (rfc8216bis, 4.2).

use std::fmt;
use std::time::Duration;

use crate::warning::WarningKind;

const NANOS: u64 = 1_000_000_000;

/// A non-negative decimal number in billionths, exactly; what is wrong with its spelling.
///
/// Below zero becomes zero, and beyond 584 years' worth of seconds the largest number.
pub(crate) fn billionths(text: &str) -> (u64, Option<WarningKind>) {
    let text = text.trim();
    // The usual spelling, without any detour.
    let mut whole: u64 = 0;
    let mut digits = 0_u32;
    let mut bytes = text.bytes();
    let mut fraction = None;
    for b in &mut bytes {
        match b {
            b'0'..=b'9' if digits < 11 => {
                whole = whole * 10 + u64::from(b - b'0');
                digits += 1;
            }
            b'.' if digits > 0 => {
                fraction = Some((0_u64, 0_u32));
                break;
            }
            _ => return odd_billionths(text),
        }
    }
    if digits == 0 {
        return odd_billionths(text);
    }
    if let Some((value, places)) = &mut fraction {
        for b in bytes {
            match b {
                b'0'..=b'9' if *places < 9 => {
                    *value = *value * 10 + u64::from(b - b'0');
                    *places += 1;
                }
                // Digits beyond a billionth do not count.
                b'0'..=b'9' => {}
                _ => return odd_billionths(text),
            }
        }
        if *places == 0 {
            return odd_billionths(text);
        }
    }
    let (value, places) = fraction.unwrap_or((0, 9));
    let value = value * 10_u64.pow(9_u32.saturating_sub(places));
    whole
        .checked_mul(NANOS)
        .and_then(|w| w.checked_add(if fraction.is_some() { value } else { 0 }))
        .map_or((u64::MAX, Some(WarningKind::HugeNumber)), |n| (n, None))
}

fn odd_billionths(text: &str) -> (u64, Option<WarningKind>) {
    // "inf" and "nan" are numbers to f64, but not to anybody who writes a playlist.
    let numeric = text
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'+' | b'-' | b'e' | b'E'));
    let value = match text.parse::<f64>() {
        Ok(value) if numeric && !value.is_nan() => value,
        _ => return (0, Some(WarningKind::NotANumber)),
    };
    if value < 0.0 {
        return (0, Some(WarningKind::NegativeNumber));
    }
    match Duration::try_from_secs_f64(value)
        .ok()
        .and_then(|d| u64::try_from(d.as_nanos()).ok())
    {
        Some(nanos) => (nanos, Some(WarningKind::OddNumber)),
        None => (u64::MAX, Some(WarningKind::HugeNumber)),
    }
}

/// A decimal integer; what is wrong with its spelling. A fraction is rounded up.
pub(crate) fn integer(text: &str) -> (u64, Option<WarningKind>) {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return match text.parse() {
            Ok(value) => (value, None),
            Err(_) => (u64::MAX, Some(WarningKind::HugeNumber)),
        };
    }
    let (nanos, flaw) = billionths(text);
    match flaw {
        Some(WarningKind::HugeNumber) => (u64::MAX, flaw),
        Some(WarningKind::OddNumber) if nanos % NANOS == 0 => (nanos / NANOS, flaw),
        Some(WarningKind::OddNumber) | None => (nanos.div_ceil(NANOS), Some(WarningKind::FractionalNumber)),
        _ => (nanos, flaw),
    }
}

/// A signed decimal number in seconds, as `EXT-X-START` has it (4.4.2.2).
pub(crate) fn signed(text: &str) -> Option<f64> {
    let text = text.trim();
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'+' | b'-'));
    text.parse::<f64>().ok().filter(|v| numeric && v.is_finite())
}

/// The bytes of a hexadecimal sequence; whether it departs from the form `0x0A`.
pub(crate) fn hex(text: &str) -> Option<(Vec<u8>, bool)> {
    let text = text.trim();
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let mut odd = digits.is_none();
    let digits = digits.unwrap_or(text);
    if digits.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 2 + 1);
    let mut high = (digits.len() % 2 == 1).then_some(0_u8);
    for c in digits.chars() {
        odd |= c.is_ascii_lowercase();
        let digit = u8::try_from(c.to_digit(16)?).ok()?;
        high = match high {
            Some(high) => {
                bytes.push(high << 4 | digit);
                None
            }
            None => Some(digit),
        };
    }
    Some((bytes, odd))
}

/// Writes bytes as a hexadecimal sequence.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|b| write!(f, "{b:02X}"))
    }
}

/// Writes billionths as a decimal number of as few digits as it takes.
pub(crate) struct Billionths(pub(crate) u64);

impl fmt::Display for Billionths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / NANOS, self.0 % NANOS);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{fraction:09}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// A duration in nanoseconds, as far as 64 bits reach.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_and_forgiving() {
        use WarningKind::*;
        for (text, value, flaw) in [
            ("9", 9 * NANOS, None),
            ("9.009", 9_009_000_000, None),
            ("0.000000001", 1, None),
            ("1.0000000019", 1_000_000_001, None),
            (" 9.9 ", 9_900_000_000, None),
            (".5", NANOS / 2, Some(OddNumber)),
            ("5.", 5 * NANOS, Some(OddNumber)),
            ("+2", 2 * NANOS, Some(OddNumber)),
            ("1e3", 1000 * NANOS, Some(OddNumber)),
            ("-1", 0, Some(NegativeNumber)),
            ("-0.001", 0, Some(NegativeNumber)),
            ("99999999999", u64::MAX, Some(HugeNumber)),
            ("9999999999999999999999999", u64::MAX, Some(HugeNumber)),
            ("1e300", u64::MAX, Some(HugeNumber)),
            ("", 0, Some(NotANumber)),
            ("nan", 0, Some(NotANumber)),
            ("infinity", 0, Some(NotANumber)),
            ("6,5", 0, Some(NotANumber)),
        ] {
            assert_eq!(billionths(text), (value, flaw), "{text}");
        }
    }

    #[test]
    fn integers_round_up_and_saturate() {
        use WarningKind::*;
        for (text, value, flaw) in [
            ("10", 10, None),
            ("18446744073709551615", u64::MAX, None),
            ("18446744073709551616", u64::MAX, Some(HugeNumber)),
            ("9.6", 10, Some(FractionalNumber)),
            ("10.0", 10, Some(FractionalNumber)),
            ("-3", 0, Some(NegativeNumber)),
            ("+3", 3, Some(OddNumber)),
            ("x", 0, Some(NotANumber)),
        ] {
            assert_eq!(integer(text), (value, flaw), "{text}");
        }
    }

    #[test]
    fn decimals_are_written_as_short_as_they_can_be() {
        for (value, text) in [(9 * NANOS, "9"), (9_009_000_000, "9.009"), (1, "0.000000001"), (0, "0")] {
            assert_eq!(Billionths(value).to_string(), text);
        }
    }

    #[test]
    fn hexadecimal_sequences_are_read_in_any_spelling() {
        for (text, bytes, odd) in [
            ("0x0A1B", vec![0x0a, 0x1b], false),
            ("0X0A", vec![0x0a], false),
            ("0x0a", vec![0x0a], true),
            ("0A", vec![0x0a], true),
            ("0xA1B", vec![0x0a, 0x1b], false),
        ] {
            assert_eq!(hex(text), Some((bytes, odd)), "{text}");
        }
        for text in ["", "0x", "0xG1", "0x 1", "é"] {
            assert_eq!(hex(text), None, "{text}");
        }
    }
}
