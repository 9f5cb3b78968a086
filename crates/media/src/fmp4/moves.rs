//! Moving a media segment in time without touching its samples.

use std::collections::HashMap;

use super::Demuxer;
use crate::{
    boxes::{BoxRef, Boxes},
    error::Error,
    sample_entry,
    time::rescale,
    track::TrackId,
};

/// What is added to the times of a track from one of its samples on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// The track.
    pub track: TrackId,
    /// Decode time of the sample, in ticks of the track.
    pub dts: i64,
    /// What is added, in ticks of the track.
    pub by: i64,
}

/// A number in a box that tells a time, in 64 bits or 32.
struct Field {
    /// Where it stands in the segment.
    at: usize,
    wide: bool,
    value: i64,
    kind: &'static str,
}

impl Field {
    /// The field that stands behind `skip` bytes of a box's content.
    fn of(found: BoxRef<'_>, skip: usize, wide: bool, kind: &'static str) -> Option<Self> {
        let bytes = found.body.get(skip..)?;
        let value = if wide {
            i64::try_from(u64::from_be_bytes(*bytes.first_chunk()?)).ok()?
        } else {
            u32::from_be_bytes(*bytes.first_chunk()?).into()
        };
        let at = found.start + (found.whole.len() - found.body.len()) + skip;
        Some(Self { at, wide, value, kind })
    }

    /// Writes what it becomes, and says whether that is another time. No time is before 0.
    fn put(&self, by: i64, segment: &mut [u8]) -> Result<bool, Error> {
        let value = self.value.saturating_add(by).max(0).cast_unsigned();
        let bytes = value.to_be_bytes();
        let bytes = match u32::try_from(value) {
            _ if self.wide => &bytes[..],
            Ok(_) => &bytes[4..],
            Err(_) => return Err(Error::TooLarge(self.kind)),
        };
        if let Some(place) = segment.get_mut(self.at..self.at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        Ok(value != self.value.cast_unsigned())
    }
}

impl Demuxer {
    /// Whether segments that need the initialization section of `next` can be decoded with that of this one: the same
    /// tracks with the same codec parameters, timescales and edit lists. What is told of bit rates does not count.
    #[must_use]
    pub fn decodes_as(&self, next: &Self) -> bool {
        let same_entries =
            |a: &[bytes::Bytes], b: &[bytes::Bytes]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| sample_entry::decodes_as(a, b));
        self.tracks.len() == next.tracks.len()
            && self.tracks.iter().zip(&next.tracks).all(|(a, b)| {
                a.id == b.id
                    && a.config.handler == b.config.handler
                    && a.config.timescale == b.config.timescale
                    && a.config.presentation_offset == b.config.presentation_offset
                    && a.defaults == b.defaults
                    && same_entries(&a.entries, &b.entries)
            })
    }

    /// Adds to the times that a segment tells: the decode time of each track fragment (`tfdt`, ISO 14496-12 §8.8.12), that
    /// of its index (`sidx`, §8.16.3), that of a producer reference time (`prft`, §8.16.5) and those of its events (`emsg` of
    /// version 1). `moves` has what this demuxer read of the segment, in order; a track fragment without samples goes with
    /// the one before it. Returns how many times are others now.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] for a time that does not fit into the 32 bits that the segment has for it.
    pub fn move_times(&self, segment: &mut [u8], moves: &[Move]) -> Result<u64, Error> {
        let track = |id: u32| self.tracks.iter().find(|track| track.id == id);
        let (mut latest, mut at) = (HashMap::new(), HashMap::new());
        for known in moves {
            latest.entry(known.track).or_insert(known.by);
            at.entry((known.track, known.dts)).or_insert(known.by);
        }
        let firsts = latest.clone();
        let of = |id: u32| track(id).and_then(|track| firsts.get(&track.number).copied());
        let mut fields = Vec::new();
        // What does not fit into the segment was counted when it was read.
        for found in Boxes::new(segment).map_while(Result::ok) {
            let number = |at: usize| {
                found
                    .body
                    .get(at..)
                    .and_then(|bytes| bytes.first_chunk())
                    .map(|bytes| u32::from_be_bytes(*bytes))
            };
            let version = found.body.first().copied().unwrap_or(0);
            match &found.kind {
                b"moof" => {
                    for traf in found.children(0).map_while(Result::ok).filter(|child| &child.kind == b"traf") {
                        let (Ok(Some(header)), Ok(Some(time))) = (traf.find("tfhd"), traf.find("tfdt")) else {
                            continue;
                        };
                        let id = header.body.get(4..).and_then(|bytes| bytes.first_chunk());
                        let track = id.and_then(|id| track(u32::from_be_bytes(*id)));
                        let field = Field::of(time, 4, time.body.first() == Some(&1), "tfdt");
                        if let (Some(track), Some(field)) = (track, field) {
                            if let Some(by) = at.get(&(track.number, field.value)) {
                                latest.insert(track.number, *by);
                            }
                            fields.extend(latest.get(&track.number).map(|by| (*by, field)));
                        }
                    }
                }
                b"sidx" => {
                    let (Some(id), Some(timescale)) = (number(4), number(8)) else {
                        continue;
                    };
                    let by = of(id)
                        .zip(track(id))
                        .map(|(by, track)| rescale(by, track.config.timescale, timescale));
                    fields.extend(by.zip(Field::of(found, 12, version > 0, "sidx")));
                }
                b"prft" => {
                    let by = number(4).and_then(of);
                    fields.extend(by.zip(Field::of(found, 16, version > 0, "prft")));
                }
                b"emsg" if version == 1 => {
                    let by = self.tracks.iter().find_map(|track| Some((of(track.id)?, track.config.timescale)));
                    let by = by.zip(number(4)).map(|((by, from), to)| rescale(by, from, to));
                    fields.extend(by.zip(Field::of(found, 8, true, "emsg")));
                }
                _ => {}
            }
        }
        let mut changed = 0;
        for (by, field) in fields {
            changed += u64::from(field.put(by, segment)?);
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        [&u32::try_from(body.len() + 8).unwrap().to_be_bytes()[..], kind, &body].concat()
    }

    fn demuxer() -> Demuxer {
        let init = std::fs::read(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/fixture-server/media/high-fmp4/init.mp4"
        ));
        let mut demuxer = Demuxer::default();
        demuxer.init(&init.unwrap(), &mut Vec::new()).unwrap();
        demuxer
    }

    #[test]
    fn all_that_tells_a_time_is_moved_and_nothing_else() {
        let demuxer = demuxer();
        let (video, timescale) = (demuxer.tracks[0].number, demuxer.tracks[0].config.timescale);
        let segment = |time: u32, wide: u64, index: u32, event: u64| {
            let id = demuxer.tracks[0].id.to_be_bytes();
            let tfhd = boxed(b"tfhd", &[&[0, 2, 0, 0], &id]);
            let traf = |tfdt: &[u8]| boxed(b"traf", &[&tfhd, tfdt]);
            [
                // ISO 14496-12 §8.16.3.2, with half the ticks of the track; ISO 23009-1 §5.10.3.3.3.
                boxed(
                    b"sidx",
                    &[&[0; 4], &id, &(timescale / 2).to_be_bytes(), &index.to_be_bytes(), &[0; 8]],
                ),
                boxed(
                    b"emsg",
                    &[&[1, 0, 0, 0], &1000_u32.to_be_bytes(), &event.to_be_bytes(), &[0; 8], b"a\0b\0"],
                ),
                boxed(b"emsg", &[&[0; 4], b"a\0b\0", &[0; 16]]),
                boxed(
                    b"moof",
                    &[
                        &traf(&boxed(b"tfdt", &[&[0; 4], &time.to_be_bytes()])),
                        &traf(&boxed(b"tfdt", &[&[1, 0, 0, 0], &wide.to_be_bytes()])),
                    ],
                ),
            ]
            .concat()
        };
        let by = i64::from(timescale);
        let moves = [100, 200].map(|dts| Move {
            track: video,
            dts,
            by: if dts == 100 { by } else { 2 * by },
        });
        let mut moved = segment(100, 200, 50, 7);
        demuxer.move_times(&mut moved, &moves).unwrap();
        assert!(moved == segment(100 + timescale, 200 + 2 * u64::from(timescale), 50 + timescale / 2, 1007));
        let mut full = segment(100, 200, 50, 7);
        let far = [Move { by: 1 << 33, ..moves[0] }];
        assert!(matches!(demuxer.move_times(&mut full, &far), Err(Error::TooLarge(_))));
    }

    #[test]
    fn empty_fragments_and_reference_times_go_with_their_track() {
        let demuxer = demuxer();
        let id = demuxer.tracks[0].id.to_be_bytes();
        let segment = |reference: u64, first: u32, empty: u32| {
            let traf = |time: u32| {
                let tfhd = boxed(b"tfhd", &[&[0, 2, 0, 0], &id]);
                boxed(b"traf", &[&tfhd, &boxed(b"tfdt", &[&[0; 4], &time.to_be_bytes()])])
            };
            [
                // ISO 14496-12 §8.16.5.2: the track, an NTP time, and the media time in its ticks.
                boxed(b"prft", &[&[1, 0, 0, 0], &id, &[9; 8], &reference.to_be_bytes()]),
                boxed(b"moof", &[&traf(first), &traf(empty)]),
            ]
            .concat()
        };
        let track = demuxer.tracks[0].number;
        let mut moved = segment(100, 100, 150);
        assert_eq!(demuxer.move_times(&mut moved, &[Move { track, dts: 100, by: 5 }]).unwrap(), 3);
        assert!(moved == segment(105, 105, 155));
        assert_eq!(demuxer.move_times(&mut moved, &[Move { track, dts: 105, by: 0 }]).unwrap(), 0);
    }

    #[test]
    fn an_initialization_section_stands_for_another_of_the_same_parameters() {
        let mut other = demuxer();
        assert!(demuxer().decodes_as(&other));
        other.tracks[0].config = std::sync::Arc::new(crate::TrackConfig {
            timescale: 1,
            ..(*other.tracks[0].config).clone()
        });
        assert!(!demuxer().decodes_as(&other) && !demuxer().decodes_as(&Demuxer::default()));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes: Vec<u8>, kind in 0..3_usize, by: i64) {
            let demuxer = demuxer();
            let moves = [Move { track: demuxer.tracks[0].number, dts: 0, by }];
            let mut segment = boxed([b"moof", b"sidx", b"emsg"][kind], &[&bytes]);
            let _ = demuxer.move_times(&mut segment, &moves);
            let _ = demuxer.move_times(&mut bytes, &moves);
        }
    }
}
