//! Whether the samples of a file are encrypted, told as it comes by.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The boxes that lead to sample entries, each within the one before (ISO 14496-12 §8.1 to §8.5).
const WAY: [&[u8; 4]; 6] = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"];

/// Sample entries of encrypted media (ISO 14496-12 §8.12, table 1), and those of shops that sell music.
const SEALED: [&[u8; 4]; 8] = [b"encv", b"enca", b"enct", b"encs", b"encm", b"encu", b"drms", b"drmi"];

/// The most of a sample entry that is looked into, in bytes.
const MOST: u64 = 4096;

/// Walks the boxes of an MP4 that comes in pieces, cut anywhere, down to its sample entries. Nothing is kept but the place
/// where the walk stands, so that it can go on in another run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ProtectionWatch {
    /// Bytes that came by.
    at: u64,
    /// Where what is passed over ends.
    skip_to: u64,
    /// Where each of the boxes of the way ends that the walk is in.
    ends: Vec<u64>,
    /// The header of a box, or the sample entry, that has begun.
    begun: Vec<u8>,
    /// How long the sample entry is.
    entry: Option<u64>,
}

/// How media are encrypted, for people: as far as their sample entry tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protected {
    entry: [u8; 4],
    scheme: Option<[u8; 4]>,
    kid: Option<[u8; 16]>,
}

impl ProtectionWatch {
    /// Looks at the next piece; what it finds is the first sample entry that is encrypted.
    pub fn see(&mut self, mut piece: &[u8]) -> Option<Protected> {
        while !piece.is_empty() {
            let passed = self.skip_to.saturating_sub(self.at);
            if passed > 0 {
                let passed = usize::try_from(passed).unwrap_or(usize::MAX).min(piece.len());
                piece = self.pass(piece, passed);
                continue;
            }
            let wanted = self.wanted();
            let more = wanted.saturating_sub(self.begun.len()).min(piece.len());
            self.begun.extend_from_slice(piece.get(..more).unwrap_or(&[]));
            piece = self.pass(piece, more);
            if self.begun.len() == self.wanted()
                && let Some(found) = self.take()
            {
                return Some(found);
            }
        }
        None
    }

    fn pass<'a>(&mut self, piece: &'a [u8], count: usize) -> &'a [u8] {
        self.at = self.at.saturating_add(count as u64);
        piece.get(count..).unwrap_or(&[])
    }

    /// How long what has begun is: a sample entry, or a header, with a size of 64 bits or without.
    fn wanted(&self) -> usize {
        match self.entry {
            Some(length) => usize::try_from(length).unwrap_or(usize::MAX),
            None if self.begun.starts_with(&[0, 0, 0, 1]) => 16,
            None => 8,
        }
    }

    /// Takes in what has begun and is whole now.
    fn take(&mut self) -> Option<Protected> {
        let header = std::mem::take(&mut self.begun);
        if self.entry.take().is_some() {
            return Protected::read(&header);
        }
        let start = self.at.saturating_sub(header.len() as u64);
        while self.ends.last().is_some_and(|end| *end <= start) {
            self.ends.pop();
        }
        let end_of_all = self.ends.last().copied().unwrap_or(u64::MAX);
        let (size, kind) = (u32::from_be_bytes(*header.first_chunk()?), header.get(4..8)?);
        let size = match size {
            0 => u64::MAX,
            1 => u64::from_be_bytes(*header.get(8..)?.first_chunk()?),
            size => size.into(),
        };
        // What is no box has no sample entries.
        let sound = size >= header.len() as u64 && (start > 0 || kind.iter().all(u8::is_ascii_graphic));
        let end = if sound {
            start.saturating_add(size).min(end_of_all)
        } else {
            end_of_all
        };
        if sound && WAY.get(self.ends.len()).is_some_and(|next| next[..] == *kind) {
            self.ends.push(end);
            // Behind version, flags and number stand the entries (§8.5.2).
            if self.ends.len() == WAY.len() {
                self.skip_to = self.at.saturating_add(8);
            }
        } else if sound && self.ends.len() == WAY.len() && SEALED.iter().any(|sealed| sealed[..] == *kind) {
            self.entry = Some(size.min(MOST).max(header.len() as u64));
            self.begun = header;
            if self.begun.len() == self.wanted() {
                return self.take();
            }
        } else {
            self.skip_to = end;
        }
        // Padding that is too short for a box ends with its container.
        for end in self.ends.iter().rev() {
            let next = self.at.max(self.skip_to);
            if next.saturating_add(8) > *end {
                self.skip_to = next.max(*end);
            }
        }
        None
    }
}

impl Protected {
    fn read(entry: &[u8]) -> Option<Self> {
        let behind = |name: &[u8; 4], skip: usize| {
            let at = entry.windows(4).position(|window| window == name)?;
            entry.get(at + 4 + skip..)
        };
        Some(Self {
            entry: *entry.get(4..)?.first_chunk()?,
            // `schm` and `tenc`, each behind version and flags (ISO 14496-12 §8.12.5, ISO 23001-7, 8.2).
            scheme: behind(b"schm", 4).and_then(<[u8]>::first_chunk).copied(),
            kid: behind(b"tenc", 8).and_then(<[u8]>::first_chunk).copied(),
        })
    }
}

impl fmt::Display for Protected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its media are encrypted (sample entry {}", self.entry.escape_ascii())?;
        if let Some(scheme) = self.scheme {
            write!(f, ", scheme {}", scheme.escape_ascii())?;
        }
        if let Some(kid) = self.kid {
            write!(f, ", KID {:032x}", u128::from_be_bytes(kid))?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vector(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/../decrypt/tests/data/{name}.mp4", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn seen(file: &[u8], step: usize) -> Option<String> {
        let mut watch = ProtectionWatch::default();
        file.chunks(step).find_map(|piece| watch.see(piece)).map(|found| found.to_string())
    }

    #[test]
    fn encrypted_media_are_told_wherever_the_file_is_cut() {
        let told = |entry, scheme| {
            let kid = "eb676abbcb345e96bbcf616630f1a3da";
            Some(format!(
                "its media are encrypted (sample entry {entry}, scheme {scheme}, KID {kid})"
            ))
        };
        for (name, expected) in [
            ("cenc-video", told("encv", "cenc")),
            ("cbcs-audio", told("enca", "cbcs")),
            // Its first sample entry is in the clear.
            ("lead-video", told("encv", "cbcs")),
            ("clear-video", None),
        ] {
            let file = vector(name);
            for step in [1, 7, 8, 100, 4096, file.len()] {
                assert_eq!(seen(&file, step), expected, "{name} in pieces of {step}");
            }
            // Tables at the end, behind media of 64-bit size or of none told before.
            let moov = file.windows(4).position(|window| window == b"moov").unwrap() - 4;
            let behind = [b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x14enca", &file[moov..]].concat();
            assert_eq!(seen(&behind, 5), expected, "{name} behind media");
        }
        assert_eq!(seen(b"\0\0\0\0mdat\0\0\0\x30encv", 3), None);
        assert_eq!(seen(b"ID3\x04\0\0\0\0moov", 3), None);
    }

    proptest! {
        #[test]
        fn a_walk_that_goes_on_elsewhere_finds_the_same(changed in prop::collection::vec((0_usize..1500, any::<u8>()), 0..8), cut in 0_usize..1500) {
            let mut file = vector("cbcs-video");
            for (at, byte) in changed {
                file[at] = byte;
            }
            let whole = seen(&file, file.len());
            prop_assert_eq!(&seen(&file, 1), &whole);
            let mut watch = ProtectionWatch::default();
            let (first, second) = file.split_at(cut);
            let found = watch.see(first).or_else(|| {
                let mut watch: ProtectionWatch = postcard::from_bytes(&postcard::to_stdvec(&watch).unwrap()).unwrap();
                watch.see(second)
            });
            prop_assert_eq!(found.map(|found| found.to_string()), whole);
        }
    }
}
