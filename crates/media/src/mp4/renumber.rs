//! Fragments of a writer that are put together anew: what numbers them goes on from one to the next.

use std::ops::Range;

use crate::error::Error;

/// Where in a `moof` box the number of its `mfhd` stands, which is its first (ISO 14496-12 §8.8.5).
const NUMBER: Range<usize> = 20..24;
/// As many tracks are told apart.
const MAX_TRACKS: usize = 1024;

/// Sequence numbers of a fragmented MP4 that is put together of what a [`FragmentWriter`](super::FragmentWriter) wrote: the fragments of
/// an old file, and others between and in place of them. Nothing else in them says how many are in front.
#[derive(Debug, Default)]
pub struct Renumber {
    number: u32,
    runs: Vec<u64>,
}

impl Renumber {
    /// The next boxes of the file: gives fragments their numbers.
    ///
    /// # Errors
    ///
    /// [`Error::Foreign`].
    pub fn add(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        let mut at = 0;
        while at < bytes.len() {
            let (kind, range) = read(bytes, at..bytes.len())?;
            at = range.end;
            match &kind {
                b"moof" => self
                    .fragment(&mut bytes[range.clone()])
                    .ok_or_else(|| foreign(range.start, "no fragment of this program"))?,
                b"ftyp" | b"moov" | b"emsg" | b"mdat" => {}
                _ => return Err(foreign(range.start, "a box of another program")),
            }
        }
        Ok(())
    }

    fn fragment(&mut self, moof: &mut [u8]) -> Option<()> {
        let (kind, header) = read(moof, 8..moof.len()).ok()?;
        (&kind == b"mfhd" && header.len() == 16).then_some(())?;
        self.number = self.number.wrapping_add(1);
        moof.get_mut(NUMBER)?.copy_from_slice(&self.number.to_be_bytes());
        let mut at = header.end;
        while at < moof.len() {
            let (kind, traf) = read(moof, at..moof.len()).ok()?;
            at = traf.end;
            let (first, header) = read(moof, traf.start + 8..traf.end).ok()?;
            (&kind == b"traf" && &first == b"tfhd").then_some(())?;
            let id = u32::from_be_bytes(*moof.get(header.start + 12..)?.first_chunk()?);
            let track = usize::try_from(id).ok()?.checked_sub(1).filter(|track| *track < MAX_TRACKS)?;
            if self.runs.len() <= track {
                self.runs.resize(track + 1, 0);
            }
            self.runs[track] += 1;
        }
        Some(())
    }

    /// How many runs of samples there are so far of each track.
    pub fn runs(&self) -> impl Iterator<Item = u64> {
        self.runs.iter().copied()
    }
}

/// Whether boxes are the same but for the numbers of fragments.
#[must_use]
pub fn are_the_same_fragments(one: &[u8], other: &[u8]) -> bool {
    let unnumbered = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        Renumber::default().add(&mut bytes).is_ok().then_some(bytes)
    };
    one == other || one.len() == other.len() && unnumbered(one).is_some_and(|one| Some(one) == unnumbered(other))
}

/// Whether there are messages beside the tracks among the boxes of a writer (`emsg`).
#[must_use]
pub fn have_messages(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Ok((kind, range)) = read(bytes, at..bytes.len()) {
        if &kind == b"emsg" {
            return true;
        }
        at = range.end;
    }
    false
}

/// The kind and the place of the box that begins a part of some bytes (ISO 14496-12 §4.2).
fn read(bytes: &[u8], part: Range<usize>) -> Result<([u8; 4], Range<usize>), Error> {
    let header = bytes.get(part.start..part.end).and_then(<[u8]>::first_chunk::<8>);
    let Some([a, b, c, d, kind @ ..]) = header else {
        return Err(foreign(part.start, "no whole box"));
    };
    let size = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
    let end = part.start.checked_add(size).filter(|end| size >= 8 && *end <= part.end);
    let end = end.ok_or_else(|| foreign(part.start, "a box that does not fit into what holds it"))?;
    Ok((*kind, part.start..end))
}

fn foreign(offset: usize, reason: &'static str) -> Error {
    Error::Foreign { offset, reason }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        emsg::Message,
        mp4::FragmentWriter,
        track::{Language, Roles, Sample, TrackConfig, TrackKind},
    };

    /// A file of two tracks, in pieces of some fragments.
    fn pieces(sizes: &[Vec<usize>]) -> Vec<Vec<u8>> {
        pieces_with(sizes, None)
    }

    fn pieces_with(sizes: &[Vec<usize>], message: Option<Message>) -> Vec<Vec<u8>> {
        let config = TrackConfig {
            kind: TrackKind::Video,
            handler: *b"vide",
            timescale: 1000,
            sample_entry: Bytes::from_static(b"\0\0\0\x10avc1\0\0\0\0\0\0\0\x01"),
            display_size: (64, 48),
            matrix: None,
            language: Language::UNDETERMINED,
            language_tag: None,
            name: None,
            roles: Roles::default(),
            presentation_offset: None,
        };
        let mut writer = FragmentWriter::default();
        let tracks = [writer.add_track(&config).unwrap(), writer.add_track(&config).unwrap()];
        assert!(message.is_none_or(|message| writer.message(message)));
        let mut time = 0;
        let piece = |sizes: &Vec<usize>| {
            let mut piece = Vec::new();
            for size in sizes {
                let data = vec![7; *size];
                for track in tracks {
                    let sample = Sample {
                        dts: time,
                        pts: time,
                        duration: Some(40),
                        sync: true,
                        data: &data[..],
                    };
                    writer.add(track, &sample).unwrap();
                }
                time += 40;
                writer.flush(false, &mut piece).unwrap();
            }
            piece
        };
        sizes.iter().map(piece).collect()
    }

    #[test]
    fn messages_are_seen_where_they_stand() {
        // 100 ms on a clock of 90 kHz, in the second piece of 80.
        let message = Message::id3(9_000, Bytes::from_static(b"ID3"));
        let with = pieces_with(&[vec![5, 5], vec![5, 5], vec![5]], Some(message));
        let seen: Vec<bool> = with.iter().map(|piece| have_messages(piece)).collect();
        assert_eq!(seen, [false, true, false]);
        assert!(pieces(&[vec![5]]).iter().all(|piece| !have_messages(piece)));
    }

    proptest! {
        #[test]
        fn whatever_the_numbers_of_its_pieces_a_file_counts_through(
            sizes in prop::collection::vec(prop::collection::vec(0_usize..300, 1..5), 1..20),
            first: u32,
        ) {
            let pieces = pieces(&sizes);
            let (mut renumber, mut file) = (Renumber::default(), Vec::new());
            for piece in &pieces {
                let mut other = piece.clone();
                Renumber { number: first, runs: Vec::new() }.add(&mut other).unwrap();
                prop_assert!(are_the_same_fragments(piece, &other));
                renumber.add(&mut other).unwrap();
                file.append(&mut other);
            }
            prop_assert!(file == pieces.concat());
            let fragments: usize = sizes.iter().map(Vec::len).sum();
            prop_assert_eq!(renumber.runs().collect::<Vec<_>>(), [fragments as u64; 2]);
        }

        #[test]
        fn no_bytes_panic(mut bytes: Vec<u8>, at: prop::sample::Index, byte: u8) {
            let _ = (Renumber::default().add(&mut bytes), are_the_same_fragments(&bytes, &bytes));
            let whole = pieces(&[vec![100, 3], vec![9]]).concat();
            let mut file = whole.clone();
            let at = at.index(whole.len());
            file[at] = byte;
            let cut = &mut whole[..at].to_vec();
            let _ = (Renumber::default().add(&mut file), Renumber::default().add(cut));
        }
    }
}
