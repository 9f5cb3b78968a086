//! The methods of strings and arrays that are folded.

use std::borrow::Cow;

use super::account::Step;
use super::escapes::note;
use super::fold::{ELEMENTS, Folded, Folder, Piece, close, integer, literal};
use super::lexer::{Kind, Lexer};

impl Folder<'_> {
    /// The value of a method's call, `lexer` standing before its `(`.
    pub(super) fn method<'a>(
        &self,
        value: &Folded<'a>,
        method: &str,
        mut lexer: Lexer<'a>,
        depth: usize,
    ) -> Option<(Folded<'a>, Lexer<'a>)> {
        if lexer.next_code()?.kind != Kind::Mark(b'(') {
            return None;
        }
        match (value, method) {
            (Folded::Text(_), "trim" | "toString" | "valueOf" | "trimStart" | "trimEnd" | "normalize") => {
                self.copy(value).and_then(|value| Some((value, close(lexer, b')')?)))
            }
            (Folded::Text(piece), "split") => {
                let (Folded::Text(by), after) = self.expression(lexer, depth + 1)? else {
                    return None;
                };
                self.spend(piece.text.len()).then_some(())?;
                Some((Folded::Split(piece.clone(), by.text.into_owned(), false), close(after, b')')?))
            }
            (Folded::Text(piece), "concat") => {
                let (Folded::Text(more), after) = self.expression(lexer, depth + 1)? else {
                    return None;
                };
                self.spend(piece.text.len() + more.text.len()).then_some(())?;
                let mut piece = piece.clone();
                piece.text.to_mut().push_str(&more.text);
                piece.whole &= more.whole;
                note(&mut piece.steps, Step::Joined);
                Some((Folded::Text(piece), close(after, b')')?))
            }
            (Folded::Text(piece), "replace" | "replaceAll") => self.replace(piece, lexer, method == "replaceAll", depth),
            (Folded::Text(piece), "slice" | "substring" | "substr") => self.slice(piece, method, lexer),
            (Folded::List(list), "reverse") => {
                self.copy(value)?;
                let mut list = list.clone();
                list.reverse();
                list.iter_mut().for_each(|piece| note(&mut piece.steps, Step::Reversed));
                Some((Folded::List(list), close(lexer, b')')?))
            }
            (Folded::Split(piece, by, reversed), "reverse") => {
                self.spend(piece.text.len()).then_some(())?;
                let mut piece = piece.clone();
                note(&mut piece.steps, Step::Reversed);
                Some((Folded::Split(piece, by.clone(), !reversed), close(lexer, b')')?))
            }
            (Folded::List(_) | Folded::Split(..), "join") => {
                let (by, after) = match lexer.peek()?.kind {
                    Kind::Mark(b')') => (",".to_owned(), lexer),
                    _ => match self.expression(lexer, depth + 1)? {
                        (Folded::Text(by), after) => (by.text.into_owned(), after),
                        _ => return None,
                    },
                };
                Some((Folded::Text(self.join(value, &by)?), close(after, b')')?))
            }
            _ => None,
        }
    }

    /// A copy of a value, paid for.
    fn copy<'a>(&self, value: &Folded<'a>) -> Option<Folded<'a>> {
        let size = match value {
            Folded::Text(piece) | Folded::Split(piece, ..) => piece.text.len(),
            Folded::List(list) => list.iter().map(|piece| piece.text.len()).sum(),
        };
        self.spend(size).then(|| value.clone())
    }

    fn join<'a>(&self, value: &Folded<'a>, by: &str) -> Option<Piece<'a>> {
        let mut out = Piece {
            text: Cow::Owned(String::new()),
            steps: Vec::new(),
            whole: true,
        };
        let text = out.text.to_mut();
        match value {
            Folded::List(list) => {
                for (index, piece) in list.iter().enumerate() {
                    self.spend(piece.text.len() + by.len()).then_some(())?;
                    if index > 0 {
                        text.push_str(by);
                    }
                    text.push_str(&piece.text);
                    piece.steps.iter().for_each(|step| note(&mut out.steps, step.clone()));
                }
                note(&mut out.steps, Step::Joined);
            }
            Folded::Split(piece, at, reversed) => {
                self.spend(piece.text.len()).then_some(())?;
                out.steps = piece.steps.clone();
                out.whole = piece.whole;
                match (at.is_empty(), *reversed) {
                    (true, reversed) => {
                        let characters: &mut dyn Iterator<Item = char> = if reversed {
                            &mut piece.text.chars().rev()
                        } else {
                            &mut piece.text.chars()
                        };
                        for (index, character) in characters.enumerate() {
                            if index > 0 && !by.is_empty() {
                                self.spend(by.len()).then_some(())?;
                                text.push_str(by);
                            }
                            text.push(character);
                        }
                    }
                    (false, reversed) => {
                        let mut parts: Vec<&str> = piece.text.split(at.as_str()).take(ELEMENTS * 16).collect();
                        if reversed {
                            parts.reverse();
                        }
                        self.spend(parts.len() * by.len()).then_some(())?;
                        text.push_str(&parts.join(by));
                        note(&mut out.steps, Step::Replaced);
                    }
                }
            }
            Folded::Text(_) => return None,
        }
        Some(out)
    }

    /// Past `replace(`: a string or a plain pattern, and what takes its place.
    fn replace<'a>(&self, piece: &Piece<'a>, mut lexer: Lexer<'a>, all: bool, depth: usize) -> Option<(Folded<'a>, Lexer<'a>)> {
        let token = lexer.next_code()?;
        let (from, all) = match token.kind {
            Kind::Text => (literal(token.text).text.into_owned(), all),
            Kind::Pattern => {
                let flags = lexer.span(token.start + token.text.len() + 1, lexer.position());
                (plain_pattern(token.text)?, flags.contains('g'))
            }
            _ => return None,
        };
        let after = close(lexer, b',')?;
        let (Folded::Text(to), after) = self.expression(after, depth + 1)? else {
            return None;
        };
        if from.is_empty() {
            return None;
        }
        let times = if all { piece.text.matches(&from).count() } else { 1 };
        self.spend(piece.text.len() + times.saturating_mul(to.text.len())).then_some(())?;
        let mut out = piece.clone();
        out.text = Cow::Owned(piece.text.replacen(&from, &to.text, times));
        note(&mut out.steps, Step::Replaced);
        Some((Folded::Text(out), close(after, b')')?))
    }

    /// Past `slice(` or its kin, with literal numbers.
    fn slice<'a>(&self, piece: &Piece<'a>, method: &str, mut lexer: Lexer<'a>) -> Option<(Folded<'a>, Lexer<'a>)> {
        let (start, negative) = integer(&mut lexer)?;
        let start = if negative { piece.text.len().checked_sub(start)? } else { start };
        let end = if lexer.peek()?.kind == Kind::Mark(b',') {
            lexer.next_code();
            let (end, negative) = integer(&mut lexer)?;
            match (method, negative) {
                ("substr", false) => start.checked_add(end)?,
                (_, true) => piece.text.len().checked_sub(end)?,
                _ => end,
            }
        } else {
            piece.text.len()
        };
        let text = piece.text.get(start..end.min(piece.text.len()))?;
        self.spend(text.len()).then_some(())?;
        let mut out = Piece {
            text: Cow::Owned(text.to_owned()),
            steps: piece.steps.clone(),
            whole: piece.whole,
        };
        note(&mut out.steps, Step::Replaced);
        Some((Folded::Text(out), close(lexer, b')')?))
    }
}

/// The text that a regular expression matches, if it is only one.
fn plain_pattern(pattern: &str) -> Option<String> {
    let mut out = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next()? {
                escaped if escaped.is_ascii_alphanumeric() => return None,
                escaped => out.push(escaped),
            },
            '.' | '*' | '+' | '?' | '^' | '$' | '(' | ')' | '[' | ']' | '{' | '}' | '|' => return None,
            other => out.push(other),
        }
    }
    Some(out)
}
