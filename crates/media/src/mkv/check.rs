//! Whether a Matroska file is whole: its elements fit into each other, what names places in it is right, and its blocks are as many
//! as it tells (RFC 9559 §5, §10).

use std::io::{self, Read, Seek};

use super::{
    ebml::{Element, Elements, id, split_number},
    writer::MAX_TRACKS,
};
use crate::check::{Checked, read_up_to};

/// What a file begins with.
pub(crate) const EBML: [u8; 4] = id::EBML.to_be_bytes();
/// The largest part that is read as a whole, in bytes.
const MAX_PART: u64 = 64 << 20;
/// How many clusters, and other parts, are remembered to compare the index with.
const MAX_CLUSTERS: usize = 1 << 22;
const MAX_PARTS: usize = 1 << 10;
/// So far the time of a block may lie before that of the one in front of it in its track, in nanoseconds: samples come in the order in
/// which they are decoded. Another track may be further ahead: what waits for it has bounds.
const MOST_BACK: i128 = 5_000_000_000;
/// The flags of a block that say that it has several frames (RFC 9559 §10.2).
const LACING: u8 = 0x06;

/// The head of an element, as it stands in the file.
#[derive(Debug, Clone, Copy)]
struct Head {
    id: u32,
    start: u64,
    inner: u64,
    end: u64,
}

/// A track, and the blocks that were found.
#[derive(Debug, Default)]
struct Track {
    number: u64,
    uid: u64,
    frames: u64,
    /// The time of the last, in ticks.
    last: Option<i128>,
}

/// What a segment tells.
#[derive(Debug, Default)]
struct Film {
    /// Where its content begins.
    inner: u64,
    tracks: Vec<Track>,
    /// Nanoseconds of a tick.
    scale: u64,
    /// Whether this program wrote it, whose tags tell what there is.
    is_own: bool,
    /// The parts that are no clusters, and those, by where they stand in its content.
    parts: Vec<(u32, u64)>,
    clusters: Vec<u64>,
    /// Where in the file the part stands that tells of this place in the content, and what is to stand there.
    named: Vec<(u64, u32, u64)>,
    cues: Vec<u8>,
    cues_at: u64,
    tags: Vec<u8>,
}

struct Walk<'a, R> {
    reader: &'a mut R,
    at: u64,
    checked: &'a mut Checked,
}

/// Checks a file that begins as Matroska does.
pub(crate) fn check<R: Read + Seek>(reader: &mut R, length: u64, checked: &mut Checked) -> io::Result<()> {
    checked.container = Some("Matroska");
    let mut walk = Walk { reader, at: 0, checked };
    let mut segments = 0;
    while walk.at < length {
        let Some(head) = walk.next(length)? else { return Ok(()) };
        match head.id {
            id::EBML | id::VOID => walk.skip_to(head.end)?,
            id::SEGMENT => {
                segments += 1;
                if !walk.segment(head)? {
                    return Ok(());
                }
            }
            _ => {
                walk.misplaced(head, "the file");
                return Ok(());
            }
        }
    }
    if segments == 0 {
        walk.checked.wrong(|| "there is no segment".into());
    }
    Ok(())
}

impl<R: Read + Seek> Walk<'_, R> {
    /// Reads so many bytes, if they are there.
    fn take(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        let read = read_up_to(self.reader, bytes)?;
        self.at += read as u64;
        Ok(read == bytes.len())
    }

    /// A number in front of which its length stands (RFC 8794 §4), with that mark, and how many bytes it has.
    fn number(&mut self, longest: u32) -> io::Result<Option<(u64, u32)>> {
        let mut bytes = [0; 8];
        if !self.take(&mut bytes[..1])? || bytes[0].leading_zeros() >= longest {
            return Ok(None);
        }
        let length = bytes[0].leading_zeros() + 1;
        let rest = &mut bytes[1..][..length as usize - 1];
        if !self.take(rest)? {
            return Ok(None);
        }
        Ok(Some((u64::from_be_bytes(bytes) >> (64 - 8 * length), length)))
    }

    /// The head of the next element, which ends at `end` at the latest. What cannot be one is told.
    fn next(&mut self, end: u64) -> io::Result<Option<Head>> {
        let start = self.at;
        let name = self.number(4)?.and_then(|(id, _)| u32::try_from(id).ok());
        let size = self.number(8)?;
        let inner = self.at;
        let head = name.zip(size).and_then(|(id, (size, length))| {
            let most = (1 << (7 * length)) - 1;
            let stop = match size & most {
                // It goes on as far as what it is in, or to the next of its kind (RFC 8794 §6.2).
                unknown if unknown == most => Some(end).filter(|_| matches!(id, id::SEGMENT | id::CLUSTER)),
                size => inner.checked_add(size),
            };
            let end = stop.filter(|stop| *stop <= end)?;
            Some(Head { id, start, inner, end })
        });
        if head.is_none() {
            self.checked.wrong(|| format!("byte {start}: no element that fits into the file"));
        }
        Ok(head)
    }

    fn misplaced(&mut self, head: Head, within: &str) {
        let Head { id, start, .. } = head;
        self.checked.wrong(|| format!("byte {start}: {id:#x} is no element of {within}"));
    }

    fn skip_to(&mut self, end: u64) -> io::Result<()> {
        let far = i64::try_from(end.saturating_sub(self.at)).map_err(io::Error::other)?;
        self.reader.seek_relative(far)?;
        self.at = end;
        Ok(())
    }

    /// The content of a part that is read as a whole.
    fn content(&mut self, head: Head) -> io::Result<Vec<u8>> {
        let (start, size) = (head.start, head.end - head.inner);
        let mut bytes = Vec::new();
        if size > MAX_PART {
            self.checked.wrong(|| format!("byte {start}: an element of {size} bytes"));
        } else {
            self.reader.by_ref().take(size).read_to_end(&mut bytes)?;
            self.at += bytes.len() as u64;
        }
        self.skip_to(head.end)?;
        Ok(bytes)
    }

    /// Goes through a segment. Whether what is behind it can be found.
    fn segment(&mut self, segment: Head) -> io::Result<bool> {
        let mut film = Film {
            inner: segment.inner,
            scale: 1_000_000,
            ..Film::default()
        };
        while self.at < segment.end {
            let Some(head) = self.next(segment.end)? else { return Ok(false) };
            let place = head.start - film.inner;
            if head.id == id::CLUSTER {
                if film.clusters.len() < MAX_CLUSTERS {
                    film.clusters.push(place);
                }
                if !self.cluster(&mut film, head)? {
                    return Ok(false);
                }
                continue;
            }
            if film.parts.len() < MAX_PARTS {
                film.parts.push((head.id, place));
            }
            match head.id {
                id::SEEK_HEAD | id::INFO | id::TRACKS | id::CUES | id::TAGS => {
                    let content = self.content(head)?;
                    if film.take(head, content).is_none() {
                        let start = head.start;
                        self.checked.wrong(|| format!("byte {start}: a part that cannot be read"));
                    }
                }
                id::CHAPTERS | id::ATTACHMENTS | id::VOID | id::CRC_32 => self.skip_to(head.end)?,
                _ => {
                    self.misplaced(head, "a segment");
                    return Ok(false);
                }
            }
        }
        film.conclude(self.checked);
        Ok(true)
    }

    /// Goes through a cluster. Whether what is behind it can be found.
    fn cluster(&mut self, film: &mut Film, cluster: Head) -> io::Result<bool> {
        let mut time = None;
        while self.at < cluster.end {
            let before = self.at;
            let Some(head) = self.next(cluster.end)? else { return Ok(false) };
            match head.id {
                id::TIMESTAMP => {
                    let content = self.content(head)?;
                    time = uint(&content);
                }
                id::SIMPLE_BLOCK => self.block(film, head, time)?,
                id::BLOCK_GROUP => {
                    while self.at < head.end {
                        let Some(child) = self.next(head.end)? else { return Ok(false) };
                        if child.id == id::BLOCK {
                            self.block(film, child, time)?;
                        } else {
                            self.skip_to(child.end)?;
                        }
                    }
                }
                id::POSITION | id::PREV_SIZE | id::VOID | id::CRC_32 => self.skip_to(head.end)?,
                // One of unknown size ends where the next part begins.
                id::CLUSTER | id::CUES | id::TAGS | id::CHAPTERS | id::ATTACHMENTS | id::INFO | id::TRACKS | id::SEEK_HEAD => {
                    let back = i64::try_from(self.at - before).map_err(io::Error::other)?;
                    self.reader.seek_relative(-back)?;
                    self.at = before;
                    return Ok(true);
                }
                _ => {
                    self.misplaced(head, "a cluster");
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// A block in a cluster of this time: its track, when it is, and how many frames it has (RFC 9559 §10).
    fn block(&mut self, film: &mut Film, head: Head, cluster: Option<u64>) -> io::Result<()> {
        let start = head.start;
        let mut fields = [0; 13];
        let length = usize::try_from(head.end - head.inner).unwrap_or(usize::MAX).min(fields.len());
        let read = self.take(&mut fields[..length])?;
        self.skip_to(head.end)?;
        let parsed = split_number(&fields[..length]).filter(|_| read).and_then(|(number, rest)| {
            let &[high, low, flags] = rest.first_chunk()?;
            let time = i128::from(cluster?) + i128::from(i16::from_be_bytes([high, low]));
            let frames = match flags & LACING {
                0 => 1,
                _ => u64::from(*rest.get(3)?) + 1,
            };
            Some((number, time, frames))
        });
        let Some((number, time, frames)) = parsed else {
            self.checked.wrong(|| format!("byte {start}: a block without a track or a time"));
            return Ok(());
        };
        self.checked.units += frames;
        match film.tracks.iter_mut().find(|track| track.number == number) {
            Some(track) => {
                track.frames += frames;
                if let Some(last) = track.last.replace(time)
                    && (last - time).saturating_mul(film.scale.into()) > MOST_BACK
                {
                    self.checked
                        .wrong(|| format!("byte {start}: the time of track {number} runs back from {last} to {time}"));
                }
            }
            None => self
                .checked
                .wrong(|| format!("byte {start}: a block of track {number}, which is none")),
        }
        Ok(())
    }
}

/// An unsigned integer (RFC 8794 §7.2).
fn uint(digits: &[u8]) -> Option<u64> {
    (digits.len() <= 8).then(|| digits.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// The elements in some bytes, or `None` where they are not whole.
fn children(bytes: &[u8]) -> Option<Vec<Element<'_>>> {
    Elements::new(bytes, 0).map(Result::ok).collect()
}

/// The one that is looked for.
fn child<'a>(all: &[Element<'a>], id: u32) -> Option<Element<'a>> {
    all.iter().find(|element| element.id == id).copied()
}

impl Film {
    /// Takes what a part tells; `None` where it cannot be read.
    fn take(&mut self, head: Head, content: Vec<u8>) -> Option<()> {
        match head.id {
            id::CUES => (self.cues, self.cues_at) = (content, head.start),
            id::TAGS => self.tags = content,
            id::SEEK_HEAD => {
                for seek in children(&content)?.iter().filter(|element| element.id == id::SEEK) {
                    let told = children(seek.content)?;
                    let wanted = u32::try_from(child(&told, id::SEEK_ID)?.uint()?).ok()?;
                    if self.named.len() < MAX_PARTS {
                        self.named.push((head.start, wanted, child(&told, id::SEEK_POSITION)?.uint()?));
                    }
                }
            }
            id::INFO => {
                let told = children(&content)?;
                if let Some(scale) = child(&told, id::TIMESTAMP_SCALE) {
                    self.scale = scale.uint()?;
                }
                self.is_own = child(&told, id::WRITING_APP).is_some_and(|app| app.content == b"aqueduct");
            }
            _ => {
                for entry in children(&content)?.iter().filter(|element| element.id == id::TRACK_ENTRY) {
                    let told = children(entry.content)?;
                    if self.tracks.len() < MAX_TRACKS {
                        self.tracks.push(Track {
                            number: child(&told, id::TRACK_NUMBER)?.uint()?,
                            uid: child(&told, id::TRACK_UID)?.uint()?,
                            ..Track::default()
                        });
                    }
                }
            }
        }
        Some(())
    }

    /// Compares what the parts tell with what there is.
    fn conclude(&self, checked: &mut Checked) {
        if self.tracks.is_empty() {
            checked.wrong(|| "the head has no track".into());
        }
        for (at, wanted, place) in &self.named {
            let is_there = match *wanted {
                id::CLUSTER => self.has_cluster(*place),
                _ => self.parts.len() >= MAX_PARTS || self.parts.contains(&(*wanted, *place)),
            };
            if !is_there {
                let place = self.inner.saturating_add(*place);
                checked.wrong(|| format!("byte {at}: no element {wanted:#x} stands at byte {place}"));
            }
        }
        if self.cues(checked).is_none() {
            let at = self.cues_at;
            checked.wrong(|| format!("byte {at}: an index that cannot be read"));
        }
        if self.is_own && self.tags.is_empty() {
            checked.wrong(|| "its end is missing".into());
        } else if self.is_own && self.counts(checked).is_none() {
            checked.wrong(|| "the tags cannot be read".into());
        }
    }

    fn has_cluster(&self, place: u64) -> bool {
        self.clusters.len() >= MAX_CLUSTERS || self.clusters.binary_search(&place).is_ok()
    }

    /// Each entry of the index names a cluster (RFC 9559 §5.1.5).
    fn cues(&self, checked: &mut Checked) -> Option<()> {
        let at = self.cues_at;
        for point in Elements::new(&self.cues, 0) {
            let point = point.ok()?;
            if point.id != id::CUE_POINT {
                continue;
            }
            for positions in children(point.content)?.iter().filter(|one| one.id == id::CUE_TRACK_POSITIONS) {
                let told = children(positions.content)?;
                let place = child(&told, id::CUE_CLUSTER_POSITION)?.uint()?;
                if !self.has_cluster(place) {
                    let place = self.inner.saturating_add(place);
                    checked.wrong(|| format!("byte {at}: the index names a cluster at byte {place}, which is none"));
                }
            }
        }
        Some(())
    }

    /// What this program's tags tell of each track.
    fn counts(&self, checked: &mut Checked) -> Option<()> {
        for tag in children(&self.tags)? {
            let told = children(tag.content)?;
            let targets = children(child(&told, id::TARGETS)?.content)?;
            let Some(uid) = child(&targets, id::TAG_TRACK_UID) else { continue };
            let uid = uid.uint()?;
            let Some(track) = self.tracks.iter().find(|track| track.uid == uid) else {
                checked.wrong(|| format!("the tags tell of track {uid}, which is none"));
                continue;
            };
            for simple in told.iter().filter(|element| element.id == id::SIMPLE_TAG) {
                let told = children(simple.content)?;
                let there = match child(&told, id::TAG_NAME)?.content {
                    b"NUMBER_OF_FRAMES" => track.frames,
                    _ => continue,
                };
                let value = std::str::from_utf8(child(&told, id::TAG_STRING)?.content).ok()?;
                let value: u64 = value.parse().ok()?;
                if value != there {
                    checked.wrong(|| format!("track {uid}: it has {there} frames, and its tags tell of {value}"));
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::{
        Language, Roles, Sample, TrackConfig, TrackKind,
        mkv::{Options, Writer},
    };

    const SAMPLES: u64 = 100;

    /// Two tracks of pictures, four seconds long.
    fn film(seekable: bool) -> Vec<u8> {
        let order = (0..i64::try_from(SAMPLES).unwrap()).flat_map(|number| [(0, number), (1, number)]);
        film_of(seekable, &order.collect::<Vec<_>>())
    }

    /// Pictures of two tracks, by their numbers, in this order.
    fn film_of(seekable: bool, order: &[(usize, i64)]) -> Vec<u8> {
        let config = TrackConfig {
            kind: TrackKind::Video,
            handler: *b"vide",
            timescale: 1000,
            sample_entry: b"\0\0\0\x08vp08"[..].into(),
            display_size: (640, 360),
            matrix: None,
            language: Language::UNDETERMINED,
            language_tag: None,
            name: None,
            roles: Roles::default(),
            presentation_offset: None,
        };
        let options = Options {
            seekable,
            ..Options::default()
        };
        let mut writer = Writer::new(&options);
        let tracks = [(); 2].map(|()| writer.add_track(&config).unwrap().unwrap());
        let mut file = Vec::new();
        for (track, number) in order {
            let picture = Sample {
                dts: number * 40,
                pts: number * 40,
                duration: Some(40),
                sync: number % 10 == 0,
                data: &[0_u8; 20][..],
            };
            writer.add(tracks[*track], &picture, &mut file).unwrap();
        }
        let finish = writer.finish().unwrap();
        file.extend_from_slice(&finish.append);
        for patch in finish.patches {
            let at = usize::try_from(patch.offset).unwrap();
            file[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
        }
        file
    }

    fn checked(bytes: &[u8]) -> Checked {
        crate::check::check(&mut Cursor::new(bytes), None).unwrap()
    }

    /// Where these bytes stand for the `nth` time, from 0.
    fn find(bytes: &[u8], what: &[u8], nth: usize) -> usize {
        let found = bytes.windows(what.len()).enumerate().filter(|(_, window)| *window == what);
        found.map(|(at, _)| at).nth(nth).unwrap()
    }

    #[test]
    fn a_whole_file_is_whole() {
        for seekable in [true, false] {
            let found = checked(&film(seekable));
            assert_eq!(
                (found.container, found.problems.as_slice()),
                (Some("Matroska"), &[][..]),
                "{seekable}"
            );
            assert_eq!(found.units, 2 * SAMPLES);
        }
    }

    #[test]
    fn a_track_may_be_ahead_of_the_others_and_none_runs_back() {
        // 20 seconds of one, then of the other.
        let apart = |last: i64| {
            let order = (0..2).flat_map(|track| (0..500).map(move |number| (track, number)));
            film_of(true, &order.chain([(1, last)]).collect::<Vec<_>>())
        };
        assert_eq!(checked(&apart(500)).problems, [""; 0]);
        let back = checked(&apart(300)).problems;
        assert!(
            matches!(&back[..], [told] if told.contains("the time of track 2 runs back")),
            "{back:?}"
        );
    }

    #[test]
    fn wherever_a_file_is_cut_off_it_is_told() {
        for film in [film(true), film(false)] {
            for length in EBML.len()..film.len() {
                assert!(checked(&film[..length]).wrong > 0, "at {length} of {}", film.len());
            }
        }
    }

    #[test]
    fn what_is_broken_is_told() {
        let whole = film(true);
        let cluster = |nth| find(&whole, &id::CLUSTER.to_be_bytes(), nth);
        type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);
        let cases: [(&str, Damage<'_>, &str); 9] = [
            ("bytes behind the end", &|film| film.push(0), "no element that fits"),
            ("another name of a cluster", &|film| film[cluster(3)] ^= 1, "is no element of"),
            ("another name of a block", &|film| film[cluster(3) + 10] ^= 0x40, "is no element of"),
            ("another size", &|film| film[cluster(3) + 5] ^= 2, "no element that fits"),
            (
                "a cluster is no media any more",
                &|film| {
                    let at = cluster(2);
                    let void = [0xec, 0x01, 0, 0, 0, 0, 0];
                    film[at..at + 7].copy_from_slice(&void);
                    let size = u16::try_from(cluster(3) - at - 9).unwrap();
                    film[at + 7..at + 9].copy_from_slice(&size.to_be_bytes());
                },
                "and its tags tell of 100",
            ),
            (
                "a block of another track",
                &|film| {
                    let block = find(film, &[0xa3, 0x98, 0x81], 5);
                    film[block + 2] = 0x85;
                },
                "a block of track 5",
            ),
            (
                "a jump of the index elsewhere",
                &|film| {
                    let place = find(film, &[0xf1, 0x82], 1);
                    film[place + 3] ^= 1;
                },
                "the index names a cluster",
            ),
            (
                "the list of parts leads elsewhere",
                &|film| {
                    let place = find(film, &[0x53, 0xac], 0);
                    film[place + 3] ^= 1;
                },
                "no element 0x1549a966 stands",
            ),
            (
                "time runs back",
                &|film| {
                    // Of the first cluster, whose time is 0.
                    let time = cluster(0) + 6;
                    assert_eq!(film[time..time + 3], [0xe7, 0x81, 0]);
                    film.splice(time + 1..time + 3, [0x82, 0x7f, 0xff]);
                    film[cluster(0) + 5] += 1;
                },
                "runs back",
            ),
        ];
        for (name, damage, says) in cases {
            let mut film = whole.clone();
            damage(&mut film);
            let found = checked(&film);
            assert!(found.problems.iter().any(|problem| problem.contains(says)), "{name}: {found:?}");
        }
    }
}
