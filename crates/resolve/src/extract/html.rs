//! Markup, cut into tags: a scanner that keeps no tree.
//!
//! It follows the tokenisation rules of the WHATWG HTML standard (section 13.2.5) as far as addresses need
//! them: quoted and bare attributes, comments, and elements whose content is raw text. It borrows from the
//! document and holds one tag at a time, so that neither depth nor unclosed tags cost memory or time.
//! `<noscript>` and `<template>` are read like any other element.

use std::borrow::Cow;

/// Attributes read of one element.
pub(super) const ATTRIBUTES: usize = 512;

/// Elements whose content is text up to their end tag.
const RAW: [&str; 5] = ["script", "style", "title", "textarea", "xmp"];

/// A piece of markup.
#[derive(Debug)]
pub(super) enum Token<'a> {
    /// A start tag; its attributes are with the scanner until the next call.
    Start(Cow<'a, str>),
    /// A start tag of a raw text element, and that text as it stands.
    Raw(Cow<'a, str>, &'a str),
    /// An end tag.
    End(Cow<'a, str>),
    /// The text of a comment.
    Comment(&'a str),
}

/// An attribute as it stands: the value's references are not decoded.
#[derive(Debug)]
pub(super) struct Attribute<'a> {
    /// Its name in lower case.
    pub(super) name: Cow<'a, str>,
    /// Its raw value, empty if it has none.
    pub(super) value: &'a str,
}

/// Walks over the tags of a document.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    attributes: Vec<Attribute<'a>>,
    overflow: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            attributes: Vec::new(),
            overflow: false,
        }
    }

    /// The attributes of the start tag last returned.
    pub(super) fn attributes(&self) -> &[Attribute<'a>] {
        &self.attributes
    }

    /// Whether some element had more attributes than are read.
    pub(super) fn overflowed(&self) -> bool {
        self.overflow
    }

    /// The next tag or comment.
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let open = self.find_from(self.at, "<")?;
            self.at = open + 1;
            match self.byte(self.at)? {
                b'!' => {
                    if let Some(comment) = self.declaration() {
                        return Some(Token::Comment(comment));
                    }
                }
                b'/' => {
                    self.at += 1;
                    if self.byte(self.at).is_some_and(|byte| byte.is_ascii_alphabetic()) {
                        let name = self.tag_name();
                        self.at = self.find_from(self.at, ">").map_or(self.text.len(), |end| end + 1);
                        return Some(Token::End(name));
                    }
                }
                byte if byte.is_ascii_alphabetic() => {
                    let name = self.tag_name();
                    // A tag that the document ends within is no tag.
                    self.read_attributes()?;
                    if RAW.contains(&&*name) {
                        let text = self.raw_text(&name);
                        return Some(Token::Raw(name, text));
                    }
                    return Some(Token::Start(name));
                }
                _ => {}
            }
        }
    }

    /// Past `<!`: the text of a comment, or nothing if it is a doctype or a CDATA section (whose text is read as markup).
    fn declaration(&mut self) -> Option<&'a str> {
        let rest = self.text.get(self.at + 1..)?;
        if rest.starts_with("[CDATA[") {
            self.at += "![CDATA[".len();
            return None;
        }
        let Some(body) = rest.strip_prefix("--") else {
            self.at = self.find_from(self.at, ">").map_or(self.text.len(), |end| end + 1);
            return None;
        };
        // `<!-->` and `<!--->` are empty comments.
        if let Some(length) = [">", "->"].iter().find(|end| body.starts_with(**end)).map(|end| end.len()) {
            self.at += "!--".len() + length;
            return None;
        }
        let (comment, taken) = match body.find("-->") {
            Some(end) => (body.get(..end), end + 3),
            None => (Some(body), body.len()),
        };
        self.at += "!--".len() + taken;
        comment
    }

    fn tag_name(&mut self) -> Cow<'a, str> {
        let start = self.at;
        while self
            .byte(self.at)
            .is_some_and(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b'/' | b'>' | b'<'))
        {
            self.at += 1;
        }
        lower(self.text.get(start..self.at).unwrap_or_default())
    }

    /// Reads attributes up to and past the `>`; nothing if the document ends first.
    fn read_attributes(&mut self) -> Option<()> {
        self.attributes.clear();
        loop {
            while self.byte(self.at)?.is_ascii_whitespace() || self.byte(self.at)? == b'/' {
                self.at += 1;
            }
            if self.byte(self.at)? == b'>' {
                self.at += 1;
                return Some(());
            }
            let start = self.at;
            // A name may begin with `=`.
            self.at += 1;
            while !matches!(self.byte(self.at)?, b'=' | b'>' | b'/') && !self.byte(self.at)?.is_ascii_whitespace() {
                self.at += 1;
            }
            let name = self.text.get(start..self.at);
            let mut equals = self.at;
            while self.byte(equals)?.is_ascii_whitespace() {
                equals += 1;
            }
            let mut value = "";
            if self.byte(equals)? == b'=' {
                self.at = equals + 1;
                while self.byte(self.at)?.is_ascii_whitespace() {
                    self.at += 1;
                }
                value = self.value()?;
            } else {
                self.at = equals;
            }
            // The scanner stands on ASCII bytes at both ends of a name, unless the name begins within none.
            let Some(name) = name else { continue };
            if self.attributes.len() < ATTRIBUTES {
                self.attributes.push(Attribute { name: lower(name), value });
            } else {
                self.overflow = true;
            }
        }
    }

    fn value(&mut self) -> Option<&'a str> {
        let quote = self.byte(self.at)?;
        if quote == b'"' || quote == b'\'' {
            let start = self.at + 1;
            let end = self.find_from(start, if quote == b'"' { "\"" } else { "'" });
            let Some(end) = end else {
                self.at = self.text.len();
                return None;
            };
            self.at = end + 1;
            return self.text.get(start..end);
        }
        let start = self.at;
        while self.byte(self.at)? != b'>' && !self.byte(self.at)?.is_ascii_whitespace() {
            self.at += 1;
        }
        self.text.get(start..self.at)
    }

    /// The text up to the end tag of this name, or to the end of the document.
    fn raw_text(&mut self, name: &str) -> &'a str {
        let start = self.at;
        let mut from = start;
        while let Some(open) = self.find_from(from, "</") {
            let after = open + 2 + name.len();
            let matches = self
                .text
                .as_bytes()
                .get(open + 2..after)
                .is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()));
            if matches
                && self
                    .byte(after)
                    .is_none_or(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>'))
            {
                self.at = self.find_from(after, ">").map_or(self.text.len(), |end| end + 1);
                return self.text.get(start..open).unwrap_or_default();
            }
            from = open + 2;
        }
        self.at = self.text.len();
        self.text.get(start..).unwrap_or_default()
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    fn find_from(&self, from: usize, needle: &str) -> Option<usize> {
        Some(from + self.text.get(from..)?.find(needle)?)
    }
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}
