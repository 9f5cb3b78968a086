//! Character references of HTML: `&amp;`, `&#47;`, `&#x2F;`.
//!
//! Only the names that appear in addresses, configurations and titles; a reference ends with a semicolon,
//! because `&copy=1` within an address is a parameter.

use std::borrow::Cow;

/// Names that punctuation in addresses and configurations is written with, and those of titles beyond Latin-1.
const NAMES: &[(&str, char)] = &[
    ("amp", '&'),
    ("AMP", '&'),
    ("lt", '<'),
    ("LT", '<'),
    ("gt", '>'),
    ("GT", '>'),
    ("quot", '"'),
    ("QUOT", '"'),
    ("apos", '\''),
    ("sol", '/'),
    ("bsol", '\\'),
    ("colon", ':'),
    ("period", '.'),
    ("comma", ','),
    ("semi", ';'),
    ("equals", '='),
    ("quest", '?'),
    ("num", '#'),
    ("percnt", '%'),
    ("plus", '+'),
    ("lowbar", '_'),
    ("lpar", '('),
    ("rpar", ')'),
    ("lbrace", '{'),
    ("lcub", '{'),
    ("rbrace", '}'),
    ("rcub", '}'),
    ("lbrack", '['),
    ("lsqb", '['),
    ("rbrack", ']'),
    ("rsqb", ']'),
    ("grave", '`'),
    ("commat", '@'),
    ("excl", '!'),
    ("dollar", '$'),
    ("ast", '*'),
    ("vert", '|'),
    ("Tab", '\t'),
    ("NewLine", '\n'),
    ("ndash", '\u{2013}'),
    ("mdash", '\u{2014}'),
    ("lsquo", '\u{2018}'),
    ("rsquo", '\u{2019}'),
    ("sbquo", '\u{201a}'),
    ("ldquo", '\u{201c}'),
    ("rdquo", '\u{201d}'),
    ("bdquo", '\u{201e}'),
    ("bull", '\u{2022}'),
    ("hellip", '\u{2026}'),
    ("euro", '\u{20ac}'),
    ("trade", '\u{2122}'),
    ("lsaquo", '\u{2039}'),
    ("rsaquo", '\u{203a}'),
    ("OElig", '\u{152}'),
    ("oelig", '\u{153}'),
    ("Scaron", '\u{160}'),
    ("scaron", '\u{161}'),
];

/// The names of U+00A0 to U+00FF, in order.
const LATIN_1: [&str; 96] = [
    "nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml", "copy", "ordf", "laquo", "not", "shy", "reg", "macr",
    "deg", "plusmn", "sup2", "sup3", "acute", "micro", "para", "middot", "cedil", "sup1", "ordm", "raquo", "frac14", "frac12", "frac34",
    "iquest", "Agrave", "Aacute", "Acirc", "Atilde", "Auml", "Aring", "AElig", "Ccedil", "Egrave", "Eacute", "Ecirc", "Euml", "Igrave",
    "Iacute", "Icirc", "Iuml", "ETH", "Ntilde", "Ograve", "Oacute", "Ocirc", "Otilde", "Ouml", "times", "Oslash", "Ugrave", "Uacute",
    "Ucirc", "Uuml", "Yacute", "THORN", "szlig", "agrave", "aacute", "acirc", "atilde", "auml", "aring", "aelig", "ccedil", "egrave",
    "eacute", "ecirc", "euml", "igrave", "iacute", "icirc", "iuml", "eth", "ntilde", "ograve", "oacute", "ocirc", "otilde", "ouml",
    "divide", "oslash", "ugrave", "uacute", "ucirc", "uuml", "yacute", "thorn", "yuml",
];

/// The longest reference looked at, between `&` and `;`.
const LONGEST: usize = 10;

/// Decodes the references in a text; borrows if there are none.
pub(super) fn decode(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find('&') else { return Cow::Borrowed(text) };
    let mut out = String::new();
    let (mut copied, mut at) = (0, first);
    loop {
        let after = text.get(at + 1..).unwrap_or_default();
        if let Some((character, length)) = reference(after) {
            out.push_str(text.get(copied..at).unwrap_or_default());
            out.push(character);
            copied = at + 1 + length;
            at = copied;
        } else {
            at += 1;
        }
        match text.get(at..).and_then(|rest| rest.find('&')) {
            Some(next) => at += next,
            None => break,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

/// The character that a reference stands for and the bytes it takes after `&`, its semicolon included.
fn reference(text: &str) -> Option<(char, usize)> {
    let end = text.bytes().take(LONGEST + 1).position(|byte| byte == b';')?;
    let name = text.get(..end)?;
    let character = match name.strip_prefix('#') {
        Some(number) => {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
                .filter(|&character| character != '\0')
                .unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        None => match NAMES.iter().find(|(known, _)| *known == name) {
            Some((_, character)) => *character,
            None => char::from_u32(0xa0 + u32::try_from(LATIN_1.iter().position(|known| *known == name)?).ok()?)?,
        },
    };
    Some((character, end + 1))
}
