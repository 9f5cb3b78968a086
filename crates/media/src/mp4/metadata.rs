//! What a file says of itself: title, time of recording, chapters.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::index::{full, nest, put};
use crate::{error::Error, packed::Titles};

/// Chapters that fit: their number has eight bits.
const MAX_CHAPTERS: usize = 255;

/// From the epoch of ISO BMFF, 1904, to that of Unix, in seconds (ISO 14496-12 §8.2.2).
pub(super) const EPOCH: u64 = 2_082_844_800;

/// What is told of the film as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Its title (`©nam`).
    pub title: Option<String>,
    /// Who made it (`©ART`).
    pub artist: Option<String>,
    /// What it is a part of (`©alb`).
    pub album: Option<String>,
    /// When it was recorded, in seconds since 1970.
    pub recorded: Option<u64>,
    /// Chapters in the order of their beginnings, as Nero's `chpl` box has them. Of more than 255 the first are written.
    pub chapters: Vec<Chapter>,
}

/// Where a chapter begins, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chapter {
    /// Playing time before it.
    pub start: Duration,
    /// Its title, for people.
    pub title: String,
}

impl Metadata {
    /// Takes from tags what is not known better.
    pub fn complete(&mut self, titles: &Titles) {
        for (known, told) in [
            (&mut self.title, &titles.title),
            (&mut self.artist, &titles.artist),
            (&mut self.album, &titles.album),
        ] {
            if known.is_none() {
                known.clone_from(told);
            }
        }
    }

    /// The value of `creation_time`; 0 where it is not known.
    pub(super) fn creation_time(&self) -> u64 {
        self.recorded.map_or(0, |seconds| seconds.saturating_add(EPOCH))
    }

    /// Appends a `udta` box (ISO 14496-12 §8.10.1), unless there is nothing to tell.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) -> Result<(), Error> {
        let items = [(b"\xa9nam", &self.title), (b"\xa9ART", &self.artist), (b"\xa9alb", &self.album)];
        let items = items.map(|(kind, text)| text.as_deref().map(|text| (kind, text)));
        let told = items.iter().any(Option::is_some);
        if !told && self.chapters.is_empty() {
            return Ok(());
        }
        nest(bytes, b"udta", |bytes| {
            if !self.chapters.is_empty() {
                self.chapters(bytes)?;
            }
            if told {
                item_list(bytes, items.into_iter().flatten())?;
            }
            Ok(())
        })
    }

    fn chapters(&self, bytes: &mut Vec<u8>) -> Result<(), Error> {
        let chapters = self.chapters.get(..MAX_CHAPTERS).unwrap_or(&self.chapters);
        full(bytes, b"chpl", 1, |bytes| {
            put(bytes, 0, "chpl")?;
            bytes.push(u8::try_from(chapters.len()).unwrap_or(u8::MAX));
            for chapter in chapters {
                // In units of 100 ns.
                let start = u64::try_from(chapter.start.as_nanos() / 100).unwrap_or(u64::MAX);
                bytes.extend_from_slice(&start.to_be_bytes());
                let title = within(&chapter.title, usize::from(u8::MAX));
                bytes.push(u8::try_from(title.len()).unwrap_or(u8::MAX));
                bytes.extend_from_slice(title.as_bytes());
            }
            Ok(())
        })
    }
}

/// The item list that iTunes reads, and everybody after it.
fn item_list<'a>(bytes: &mut Vec<u8>, items: impl Iterator<Item = (&'a [u8; 4], &'a str)>) -> Result<(), Error> {
    full(bytes, b"meta", 0, |bytes| {
        full(bytes, b"hdlr", 0, |bytes| {
            bytes.extend_from_slice(b"\0\0\0\0mdirappl\0\0\0\0\0\0\0\0\0");
            Ok(())
        })?;
        nest(bytes, b"ilst", |bytes| {
            for (kind, text) in items {
                nest(bytes, kind, |bytes| {
                    nest(bytes, b"data", |bytes| {
                        // UTF-8, of no particular country.
                        bytes.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0]);
                        bytes.extend_from_slice(within(text, 1 << 16).as_bytes());
                        Ok(())
                    })
                })?;
            }
            Ok(())
        })
    })
}

/// The beginning of a text, in whole characters, of so many bytes at most.
fn within(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
