//! JavaScript and JSON, cut into tokens.
//!
//! A lexer that knows strings, templates, comments and regular expressions apart (ECMA-262, section 12) and
//! nothing of grammar. It is a cursor: copying it looks ahead. What is unterminated is punctuation, and it
//! remembers that no quote closes up to some place, so that a line full of quotes is read once.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string; the text is what stands between the quotes, escapes and all.
    Text,
    /// A template; the text is what stands between the backquotes.
    Template,
    /// A name or a keyword.
    Name,
    /// A number.
    Number,
    /// One byte of punctuation.
    Mark(u8),
    /// A comment, without its signs.
    Comment,
    /// A regular expression.
    Pattern,
}

/// A token and its text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    /// Where the text begins.
    pub(super) start: usize,
}

/// A place between two tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lexer<'a> {
    source: &'a str,
    at: usize,
    /// Whether a `/` here divides; else it begins a regular expression.
    divides: bool,
    /// Up to where no `"`, `'`, backquote or pattern closes.
    open: [usize; 4],
}

impl<'a> Lexer<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self {
            source,
            at: 0,
            divides: false,
            open: [0; 4],
        }
    }

    /// What is left to read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The source between two places.
    pub(super) fn span(&self, from: usize, to: usize) -> &'a str {
        self.source.get(from..to).unwrap_or_default()
    }

    /// The byte right after the last token.
    pub(super) fn following(&self) -> Option<u8> {
        self.byte(self.at)
    }

    /// The first byte that is no white space, without moving; a `/` may begin a comment.
    pub(super) fn upcoming(&self) -> Option<u8> {
        self.source
            .as_bytes()
            .get(self.at..)?
            .iter()
            .copied()
            .find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
    }

    /// The first byte that is no white space after the mark that comes next.
    pub(super) fn after_mark(&self) -> Option<u8> {
        let mut ahead = *self;
        ahead.next()?;
        ahead.upcoming()
    }

    /// Whether this comes next, after white space.
    pub(super) fn comes(&self, text: &str) -> bool {
        self.source
            .get(self.at..)
            .is_some_and(|rest| rest.trim_start_matches([' ', '\t', '\r', '\n']).starts_with(text))
    }

    /// The next token that is no comment, without moving.
    pub(super) fn peek(&self) -> Option<Token<'a>> {
        let mut ahead = *self;
        ahead.next_code()
    }

    /// The next token that is no comment.
    pub(super) fn next_code(&mut self) -> Option<Token<'a>> {
        loop {
            let token = self.next()?;
            if token.kind != Kind::Comment {
                return Some(token);
            }
        }
    }

    /// The next token.
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let start = self.at;
            let byte = self.byte(start)?;
            self.at += 1;
            let token = match byte {
                b' ' | b'\t' | b'\r' | b'\n' => continue,
                b'"' | b'\'' | b'`' => self.quoted(byte),
                b'/' => self.slash(),
                b'0'..=b'9' => {
                    self.skip_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.');
                    self.divides = true;
                    Some(self.token(Kind::Number, start, self.at))
                }
                b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' | 0x80.. => {
                    self.skip_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..));
                    let name = self.token(Kind::Name, start, self.at);
                    self.divides = !matches!(
                        name.text,
                        "return" | "typeof" | "case" | "in" | "of" | "delete" | "void" | "throw" | "new" | "else" | "do"
                    );
                    Some(name)
                }
                _ => None,
            };
            return Some(token.unwrap_or_else(|| {
                self.at = start + 1;
                self.divides = matches!(byte, b')' | b']' | b'}');
                self.token(Kind::Mark(byte), start, start + 1)
            }));
        }
    }

    /// Past an opening quote.
    fn quoted(&mut self, quote: u8) -> Option<Token<'a>> {
        let start = self.at;
        let slot = match quote {
            b'"' => 0,
            b'\'' => 1,
            _ => 2,
        };
        if self.open.get(slot).is_some_and(|&open| start < open) {
            return None;
        }
        let bytes = self.source.as_bytes();
        let mut at = start;
        loop {
            match bytes.get(at) {
                Some(&byte) if byte == quote => break,
                Some(b'\\') => at += 2,
                Some(b'\n') if quote != b'`' => {
                    self.mark_open(slot, at);
                    return None;
                }
                Some(_) => at += 1,
                None => {
                    self.mark_open(slot, bytes.len());
                    return None;
                }
            }
        }
        self.at = at + 1;
        self.divides = true;
        Some(self.token(if quote == b'`' { Kind::Template } else { Kind::Text }, start, at))
    }

    /// Past a `/`: a comment, a regular expression or a division.
    fn slash(&mut self) -> Option<Token<'a>> {
        let start = self.at;
        let rest = self.source.get(start..)?;
        if let Some(body) = rest.strip_prefix('/') {
            let length = body.find('\n').unwrap_or(body.len());
            self.at = start + 1 + length;
            return Some(self.token(Kind::Comment, start + 1, self.at));
        }
        if let Some(body) = rest.strip_prefix('*') {
            let length = body.find("*/");
            self.at = length.map_or(self.source.len(), |length| start + 1 + length + 2);
            return Some(self.token(Kind::Comment, start + 1, start + 1 + length.unwrap_or(body.len())));
        }
        if self.divides || self.open.get(3).is_some_and(|&open| start < open) {
            return None;
        }
        let bytes = self.source.as_bytes();
        let (mut at, mut class) = (start, false);
        loop {
            match bytes.get(at) {
                Some(b'/') if !class => break,
                Some(b'[') => class = true,
                Some(b']') => class = false,
                Some(b'\\') => at += 1,
                Some(b'\n') | None => {
                    self.mark_open(3, at);
                    return None;
                }
                Some(_) => {}
            }
            at += 1;
        }
        self.at = at + 1;
        self.skip_while(|byte| byte.is_ascii_alphabetic());
        self.divides = true;
        Some(self.token(Kind::Pattern, start, at))
    }

    fn mark_open(&mut self, slot: usize, until: usize) {
        if let Some(open) = self.open.get_mut(slot) {
            *open = until;
        }
    }

    fn token(&self, kind: Kind, start: usize, end: usize) -> Token<'a> {
        Token {
            kind,
            text: self.source.get(start..end).unwrap_or_default(),
            start,
        }
    }

    fn skip_while(&mut self, accept: impl Fn(u8) -> bool) {
        while self.byte(self.at).is_some_and(&accept) {
            self.at += 1;
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.source.as_bytes().get(at).copied()
    }
}
