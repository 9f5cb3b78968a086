//! Scripts packed by Dean Edwards' packer, `eval(function(p,a,c,k,e,d){…}('payload',62,99,'word|word'.split('|'),0,{}))`.
//!
//! The payload's words are numbers in base `a` that index the word list; a word that is empty stands for
//! itself. Replacing them is all that running the script would do.

use super::escapes::{self, Strings};
use super::lexer::{Kind, Lexer};

/// The unpacking function is some hundred bytes long.
const BODY_BYTES: usize = 8 << 10;

/// Reads the arguments of one packed script, `lexer` standing past the parameters' names, and unpacks it.
///
/// Gives the script and the place past the arguments.
pub(super) fn unpack<'a>(mut lexer: Lexer<'a>, limit: usize) -> Result<(String, Lexer<'a>), Refused> {
    // To the end of the function's body, which the arguments follow.
    let mut depth = 0_usize;
    let start = lexer.position();
    loop {
        if lexer.position() - start > BODY_BYTES {
            return Err(Refused::NotPacked);
        }
        match lexer.next_code().ok_or(Refused::NotPacked)?.kind {
            Kind::Mark(b'{') => depth += 1,
            Kind::Mark(b'}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    break;
                }
            }
            _ => {}
        }
    }
    if lexer.peek().map(|token| token.kind) == Some(Kind::Mark(b')')) {
        lexer.next_code();
    }
    expect(&mut lexer, Kind::Mark(b'('))?;
    let payload = literal(&mut lexer)?;
    expect(&mut lexer, Kind::Mark(b','))?;
    let base: usize = number(&mut lexer)?;
    expect(&mut lexer, Kind::Mark(b','))?;
    let count: usize = number(&mut lexer)?;
    expect(&mut lexer, Kind::Mark(b','))?;
    let words = literal(&mut lexer)?;
    if !(2..=95).contains(&base) {
        return Err(Refused::NotPacked);
    }
    let words: Vec<&str> = words.split('|').take(count).collect();
    let mut out = String::new();
    let mut rest = payload.as_str();
    while !rest.is_empty() {
        let length = rest.bytes().take_while(|&byte| is_word(byte)).count();
        if length > 0 {
            let (word, after) = rest.split_at(length);
            let known = index(word, base).and_then(|index| words.get(index)).filter(|word| !word.is_empty());
            out.push_str(known.copied().unwrap_or(word));
            rest = after;
        }
        let length = rest.bytes().take_while(|&byte| !is_word(byte)).count();
        let (between, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        out.push_str(between);
        rest = after;
        if out.len() > limit {
            return Err(Refused::TooLong);
        }
    }
    Ok((out, lexer))
}

/// Why a script was not unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is not of this form.
    NotPacked,
    /// It would be too long.
    TooLong,
}

fn expect(lexer: &mut Lexer<'_>, kind: Kind) -> Result<(), Refused> {
    match lexer.next_code() {
        Some(token) if token.kind == kind => Ok(()),
        _ => Err(Refused::NotPacked),
    }
}

fn literal(lexer: &mut Lexer<'_>) -> Result<String, Refused> {
    match lexer.next_code() {
        Some(token) if token.kind == Kind::Text => {
            Ok(escapes::backslashes(token.text, Strings::Literal, &mut Vec::new()).unwrap_or_else(|| token.text.to_owned()))
        }
        _ => Err(Refused::NotPacked),
    }
}

fn number(lexer: &mut Lexer<'_>) -> Result<usize, Refused> {
    match lexer.next_code() {
        // Minified packers write `[]` where a base does not matter; those are not of this form.
        Some(token) if token.kind == Kind::Number => token.text.parse().map_err(|_| Refused::NotPacked),
        _ => Err(Refused::NotPacked),
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The number that a word writes in this base: digits, lower case, upper case.
fn index(word: &str, base: usize) -> Option<usize> {
    word.bytes().try_fold(0_usize, |value, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'z' => byte - b'a' + 10,
            b'A'..=b'Z' => byte - b'A' + 36,
            _ => return None,
        };
        let digit = usize::from(digit);
        if digit >= base {
            return None;
        }
        value.checked_mul(base)?.checked_add(digit)
    })
}
