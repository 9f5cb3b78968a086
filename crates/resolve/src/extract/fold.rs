//! Constant expressions over strings, folded without running anything.
//!
//! Pages hide addresses behind expressions whose value the text itself tells: `"a" + "b"`, templates,
//! `[…].reverse().join("")`, `atob("…")`, `decodeURIComponent`, `String.fromCharCode`, `replace`, and
//! variables that hold such values. Anything else is unknown, and a string next to something unknown is
//! marked as not whole.

use std::borrow::Cow;
use std::cell::Cell;

use percent_encoding::percent_decode_str;

use super::account::Step;
use super::environment::{Environment, bare};
use super::escapes::{self, Strings, note};
use super::lexer::{Kind, Lexer, Token};
use super::strings::decode_base64;

/// Parentheses within parentheses that are followed.
const DEPTH: usize = 8;
/// Elements of one array.
pub(super) const ELEMENTS: usize = 4096;

/// A string as far as it is known.
#[derive(Debug, Clone)]
pub(super) struct Piece<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) steps: Vec<Step>,
    /// Nothing is missing at its end.
    pub(super) whole: bool,
}

/// The value of an expression.
#[derive(Debug, Clone)]
pub(super) enum Folded<'a> {
    /// A string.
    Text(Piece<'a>),
    /// An array of strings.
    List(Vec<Piece<'a>>),
    /// A string that was split, and perhaps reversed; its parts are never held apart.
    Split(Piece<'a>, String, bool),
}

/// Folds expressions against what is known.
pub(super) struct Folder<'e> {
    environment: &'e Environment,
    /// Bytes that copies may take, and what they took.
    allowance: usize,
    spent: Cell<usize>,
    exhausted: Cell<bool>,
    /// Brackets before this place were tried and hold no constant.
    blocked: usize,
    /// How far an attempt has read.
    reached: Cell<usize>,
}

impl<'e> Folder<'e> {
    /// A folder whose copies may take so many bytes, and which leaves alone brackets before a place where an
    /// earlier attempt failed: however brackets nest, each is tried once.
    pub(super) fn new(environment: &'e Environment, allowance: usize, blocked: usize) -> Self {
        Self {
            environment,
            allowance,
            spent: Cell::new(0),
            exhausted: Cell::new(false),
            blocked,
            reached: Cell::new(0),
        }
    }

    /// How far the attempt has read.
    pub(super) fn reached(&self) -> usize {
        self.reached.get()
    }

    /// Bytes that copies took.
    pub(super) fn spent(&self) -> usize {
        self.spent.get()
    }

    /// Whether a copy was refused.
    pub(super) fn exhausted(&self) -> bool {
        self.exhausted.get()
    }

    /// The value of the expression that begins here, and the place after it.
    pub(super) fn expression<'a>(&self, lexer: Lexer<'a>, depth: usize) -> Option<(Folded<'a>, Lexer<'a>)> {
        let (mut value, mut lexer) = self.operand(lexer, depth)?;
        loop {
            if !matches!(lexer.upcoming(), Some(b'+' | b'/')) {
                return Some((value, lexer));
            }
            let mut ahead = lexer;
            let plus = matches!(ahead.next_code(), Some(token) if token.kind == Kind::Mark(b'+'));
            if !plus || matches!(ahead.following(), Some(b'+' | b'=')) {
                return Some((value, lexer));
            }
            let Folded::Text(piece) = &mut value else {
                return Some((value, lexer));
            };
            match self.operand(ahead, depth) {
                Some((Folded::Text(more), after)) if piece.whole && self.spend(more.text.len()) => {
                    piece.text.to_mut().push_str(&more.text);
                    piece.whole = more.whole;
                    note(&mut piece.steps, Step::Joined);
                    more.steps.into_iter().for_each(|step| note(&mut piece.steps, step));
                    lexer = after;
                }
                _ => {
                    piece.whole = false;
                    return Some((value, lexer));
                }
            }
        }
    }

    /// Whether so many bytes may be copied.
    pub(super) fn spend(&self, bytes: usize) -> bool {
        let spent = self.spent.get().saturating_add(bytes);
        if spent > self.allowance {
            self.exhausted.set(true);
            return false;
        }
        self.spent.set(spent);
        true
    }

    fn operand<'a>(&self, lexer: Lexer<'a>, depth: usize) -> Option<(Folded<'a>, Lexer<'a>)> {
        if depth > DEPTH {
            return None;
        }
        let mut after = lexer;
        let token = after.next_code()?;
        self.reached.set(self.reached.get().max(after.position()));
        if matches!(token.kind, Kind::Mark(b'(' | b'[')) && token.start < self.blocked {
            return None;
        }
        let (mut value, mut lexer) = match token.kind {
            Kind::Text => (Folded::Text(literal(token.text)), after),
            Kind::Template => (Folded::Text(self.template(token.text, depth)), after),
            Kind::Mark(b'(') => {
                let (value, after) = self.expression(after, depth + 1)?;
                (value, close(after, b')')?)
            }
            Kind::Mark(b'[') => self.list(after, depth)?,
            Kind::Name => self.name(token, after, depth)?,
            _ => return None,
        };
        loop {
            if !matches!(lexer.upcoming(), Some(b'.' | b'[' | b'/')) {
                return Some((value, lexer));
            }
            let mut ahead = lexer;
            match ahead.next_code().map(|token| token.kind) {
                Some(Kind::Mark(b'.')) => {}
                Some(Kind::Mark(b'[')) => {
                    let Some((element, after)) = element(&value, ahead) else {
                        return Some((value, lexer));
                    };
                    (value, lexer) = (element, after);
                    continue;
                }
                _ => return Some((value, lexer)),
            }
            let method = ahead.next_code().filter(|token| token.kind == Kind::Name);
            match method.and_then(|method| self.method(&value, method.text, ahead, depth)) {
                Some((next, after)) => (value, lexer) = (next, after),
                None => {
                    if let Folded::Text(piece) = &mut value {
                        piece.whole = false;
                    }
                    return Some((value, lexer));
                }
            }
        }
    }

    /// Past `[`: an array of strings.
    fn list<'a>(&self, mut lexer: Lexer<'a>, depth: usize) -> Option<(Folded<'a>, Lexer<'a>)> {
        let mut list = Vec::new();
        loop {
            match lexer.upcoming()? {
                b']' => {
                    lexer.next_code();
                    return Some((Folded::List(list), lexer));
                }
                b'[' | b'{' => return None,
                _ => {}
            }
            // An object or an array within is for the walk over the script to enter.
            let (Folded::Text(piece), after) = self.expression(lexer, depth + 1)? else {
                return None;
            };
            if list.len() >= ELEMENTS || !piece.whole {
                return None;
            }
            list.push(piece);
            lexer = after;
            match lexer.next_code()?.kind {
                Kind::Mark(b',') => {}
                Kind::Mark(b']') => return Some((Folded::List(list), lexer)),
                _ => return None,
            }
        }
    }

    /// Past a name: a variable, a property, or the call of a function that is known.
    fn name<'a>(&self, first: Token<'a>, mut lexer: Lexer<'a>, depth: usize) -> Option<(Folded<'a>, Lexer<'a>)> {
        if !self.environment.may_know(first.text) {
            return None;
        }
        let mut end = lexer.position();
        // The longest dotted name, and the one without its last part, which may be a method.
        let mut shorter = None;
        loop {
            let mut ahead = lexer;
            if lexer.upcoming() != Some(b'.') || ahead.next_code().map(|token| token.kind) != Some(Kind::Mark(b'.')) {
                break;
            }
            let Some(part) = ahead.next_code().filter(|token| token.kind == Kind::Name) else {
                break;
            };
            shorter = Some((end, lexer));
            end = part.start + part.text.len();
            lexer = ahead;
        }
        let path = lexer.span(first.start, end);
        if lexer.peek().map(|token| token.kind) == Some(Kind::Mark(b'(')) {
            if let Some(call) = self.call(path, lexer, depth) {
                return Some(call);
            }
            let (end, before) = shorter?;
            return Some((self.variable(lexer.span(first.start, end))?, before));
        }
        match self.variable(path) {
            Some(value) => Some((value, lexer)),
            None => {
                let (end, before) = shorter?;
                Some((self.variable(lexer.span(first.start, end))?, before))
            }
        }
    }

    fn variable(&self, name: &str) -> Option<Folded<'static>> {
        let value = self.environment.get(name)?;
        let size = match value {
            Folded::Text(piece) | Folded::Split(piece, ..) => piece.text.len(),
            Folded::List(list) => list.iter().map(|piece| 64 + piece.text.len()).sum(),
        };
        if !self.spend(size) {
            return None;
        }
        let mut value = value.clone();
        match &mut value {
            Folded::Text(piece) | Folded::Split(piece, ..) => note(&mut piece.steps, Step::Variable),
            Folded::List(list) => list.iter_mut().for_each(|piece| note(&mut piece.steps, Step::Variable)),
        }
        Some(value)
    }

    /// The value of a call, `lexer` standing before its `(`.
    fn call<'a>(&self, path: &str, mut lexer: Lexer<'a>, depth: usize) -> Option<(Folded<'a>, Lexer<'a>)> {
        let name = bare(path);
        let lower = name.to_ascii_lowercase();
        lexer.next_code();
        if name == "String.fromCharCode" || name == "String.fromCodePoint" {
            return char_codes(lexer);
        }
        let decodes_base64 = lower.ends_with("atob")
            || lower.contains("base64.decode")
            || lower.contains("b64decode")
            || lower.contains("base64decode")
            || lower.contains("decodebase64");
        let decodes_percent = matches!(name, "decodeURIComponent" | "decodeURI" | "unescape");
        let keeps = matches!(
            name,
            "String" | "JSON.parse" | "encodeURI" | "$.parseJSON" | "jQuery.parseJSON" | "escape" | "URL"
        );
        if !(decodes_base64 || decodes_percent || keeps) {
            return None;
        }
        let (Folded::Text(mut piece), after) = self.expression(lexer, depth + 1)? else {
            return None;
        };
        let after = close(after, b')')?;
        if !piece.whole || !self.spend(piece.text.len()) {
            return None;
        }
        if decodes_base64 {
            piece.text = Cow::Owned(decode_base64(&piece.text)?);
            note(&mut piece.steps, Step::Base64);
        } else if decodes_percent && piece.text.contains('%') {
            piece.text = Cow::Owned(percent_decode_str(&piece.text).decode_utf8_lossy().into_owned());
            note(&mut piece.steps, Step::Percent);
        }
        Some((Folded::Text(piece), after))
    }

    /// The value of a template up to its first unknown part.
    fn template<'a>(&self, text: &'a str, depth: usize) -> Piece<'a> {
        let Some(first) = text.find("${") else { return literal(text) };
        let mut out = literal(text.get(..first).unwrap_or_default());
        let mut rest = text.get(first..).unwrap_or_default();
        while let Some(inner) = rest.strip_prefix("${") {
            let Some(end) = inner.find('}') else { break };
            let value = self.expression(Lexer::new(inner.get(..end).unwrap_or_default()), depth + 1);
            let Some((Folded::Text(value), after)) = value else {
                out.whole = false;
                return out;
            };
            if after.peek().is_some() || !value.whole || !self.spend(value.text.len()) {
                out.whole = false;
                return out;
            }
            out.text.to_mut().push_str(&value.text);
            value.steps.into_iter().for_each(|step| note(&mut out.steps, step));
            rest = inner.get(end + 1..).unwrap_or_default();
            let next = rest.find("${").unwrap_or(rest.len());
            let more = literal(rest.get(..next).unwrap_or_default());
            out.text.to_mut().push_str(&more.text);
            more.steps.into_iter().for_each(|step| note(&mut out.steps, step));
            rest = rest.get(next..).unwrap_or_default();
        }
        note(&mut out.steps, Step::Joined);
        out
    }
}

/// A string without its escapes.
pub(super) fn literal(text: &str) -> Piece<'_> {
    let mut steps = Vec::new();
    let text = if text.contains('\\') {
        escapes::backslashes(text, Strings::Literal, &mut steps).map_or(Cow::Borrowed(text), Cow::Owned)
    } else {
        Cow::Borrowed(text)
    };
    Piece { text, steps, whole: true }
}

/// Past this mark, if it comes next.
pub(super) fn close(mut lexer: Lexer<'_>, mark: u8) -> Option<Lexer<'_>> {
    (lexer.next_code()?.kind == Kind::Mark(mark)).then_some(lexer)
}

/// Past `[`: one element of an array.
fn element<'a>(value: &Folded<'a>, mut lexer: Lexer<'a>) -> Option<(Folded<'a>, Lexer<'a>)> {
    let (index, negative) = integer(&mut lexer)?;
    let piece = match value {
        Folded::List(list) if !negative => list.get(index)?.clone(),
        Folded::Split(piece, by, false) if !negative && !by.is_empty() => {
            let part = piece.text.split(by.as_str()).nth(index)?.to_owned();
            Piece {
                text: Cow::Owned(part),
                steps: piece.steps.clone(),
                whole: piece.whole,
            }
        }
        _ => return None,
    };
    Some((Folded::Text(piece), close(lexer, b']')?))
}

/// A literal integer and whether it is negative.
pub(super) fn integer(lexer: &mut Lexer<'_>) -> Option<(usize, bool)> {
    let token = lexer.next_code()?;
    match token.kind {
        Kind::Number => Some((token.text.parse().ok()?, false)),
        Kind::Mark(b'-') => Some((
            lexer.next_code().filter(|token| token.kind == Kind::Number)?.text.parse().ok()?,
            true,
        )),
        _ => None,
    }
}

/// Past `String.fromCharCode(`.
fn char_codes(mut lexer: Lexer<'_>) -> Option<(Folded<'_>, Lexer<'_>)> {
    let mut text = String::new();
    loop {
        let token = lexer.next_code().filter(|token| token.kind == Kind::Number)?;
        let code = match token.text.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok()?,
            None => token.text.parse().ok()?,
        };
        text.push(char::from_u32(code)?);
        match lexer.next_code()?.kind {
            Kind::Mark(b',') => {}
            Kind::Mark(b')') => break,
            _ => return None,
        }
    }
    Some((
        Folded::Text(Piece {
            text: Cow::Owned(text),
            steps: vec![Step::CharCodes],
            whole: true,
        }),
        lexer,
    ))
}
