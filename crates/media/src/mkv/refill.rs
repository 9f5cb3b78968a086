//! Putting the clusters of a finished file together anew, with others between them.

use super::{
    Finish, Patch,
    cluster::KEY,
    cues::{Cue, Cues},
    ebml::{Element, Elements, id, number, split_number, wide},
    head::{self, SEEK_HEAD_ROOM, Statistics},
    writer::MAX_TRACKS,
};
use crate::error::Error;

/// Flags of a block that say how several frames share it (RFC 9559 §10.2).
const LACING: u8 = 0x06;

/// The account of a file that is put together of what this [writer](super::Writer) wrote: the bytes of an old file, and others
/// between and in place of them. Times count from the beginning of the file and stay as they are; what moves is where things stand.
///
/// It takes the bytes one piece after the other, each of whole elements, and keeps none of them.
#[derive(Debug)]
pub struct Refill {
    head: Option<Head>,
    /// `Tag` of the film.
    film: Vec<u8>,
    tracks: Vec<Track>,
    /// Of the content of the segment, so far.
    length: u64,
    cues: Cues,
}

#[derive(Debug)]
struct Track {
    told: Statistics,
    /// Some of its blocks have a length of their own: they are text.
    text: bool,
}

/// What a file says in front of its clusters.
#[derive(Debug)]
struct Head {
    /// Where the content of the segment begins.
    start: usize,
    /// Where the value of `Duration` stands.
    duration_at: usize,
    scale: u32,
    parts: Vec<(u32, u64)>,
    end: usize,
}

/// What stands behind the last segment in a finished file: the last clusters, the index and the tags.
#[derive(Debug, Clone)]
pub struct Rest {
    clusters: usize,
    /// `Tag` of the film.
    film: Vec<u8>,
    /// The tracks by number, in the order of their tags, and where each of them ends, in nanoseconds.
    ends: Vec<(u64, u64)>,
}

impl Rest {
    /// Reads what a writer [appended](Finish::append) in the end, or more of the end of a file.
    ///
    /// # Errors
    ///
    /// [`Error::Foreign`].
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut rest = Self {
            clusters: 0,
            film: Vec::new(),
            ends: Vec::new(),
        };
        let mut has_tags = false;
        for element in Elements::new(bytes, 0) {
            let element = element.map_err(broken)?;
            match element.id {
                id::CLUSTER if element.start == rest.clusters => rest.clusters = element.end(),
                id::CUES if !has_tags => {}
                id::TAGS if !has_tags => {
                    has_tags = true;
                    rest.tags(&element)?;
                }
                _ => return Err(strange(element.start, "no cluster, index or tags")),
            }
        }
        if has_tags { Ok(rest) } else { Err(strange(bytes.len(), "no tags")) }
    }

    fn tags(&mut self, tags: &Element<'_>) -> Result<(), Error> {
        for (number, tag) in Elements::new(tags.content, 0).enumerate() {
            let tag = tag.map_err(|at| strange(tags.inner + at, BROKEN))?;
            let is_new = |uid| self.ends.len() < MAX_TRACKS && self.ends.iter().all(|(known, _)| *known != uid);
            match head::track_tag(tag.content) {
                Some((uid, end)) if tag.id == id::TAG && is_new(uid) => self.ends.push((uid, end)),
                None if tag.id == id::TAG && number == 0 => self.film.extend_from_slice(&tags.content[tag.start..tag.end()]),
                _ => return Err(strange(tags.inner + tag.start, "a tag of no track")),
            }
        }
        Ok(())
    }

    /// How many bytes of clusters there are in front.
    #[must_use]
    pub fn clusters(&self) -> usize {
        self.clusters
    }
}

impl Refill {
    /// The account of a file whose tracks are those of the file that ends with `rest`. Nothing is known of its bytes yet.
    #[must_use]
    pub fn new(rest: &Rest) -> Self {
        let track = |&(uid, duration): &(u64, u64)| Track {
            told: Statistics {
                uid,
                frames: 0,
                bytes: 0,
                duration,
            },
            text: false,
        };
        Self {
            head: None,
            film: rest.film.clone(),
            tracks: rest.ends.iter().map(track).collect(),
            length: 0,
            cues: Cues::default(),
        }
    }

    /// The next bytes of the file: the head of the old one, in one piece, then clusters.
    ///
    /// # Errors
    ///
    /// [`Error::Foreign`]. What is added after that is of no use.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut at = 0;
        if self.head.is_none() && !bytes.is_empty() {
            let head = Head::read(bytes)?;
            at = head.end;
            self.length = (head.end - head.start) as u64;
            self.cues = Cues::of(head.scale);
            self.head = Some(head);
        }
        for element in Elements::new(bytes, at) {
            let element = element.map_err(broken)?;
            if element.id != id::CLUSTER {
                return Err(strange(element.start, "no cluster"));
            }
            self.cluster(&element)?;
            self.length += (element.end() - element.start) as u64;
        }
        Ok(())
    }

    /// How many pictures, or frames of sound, there are so far of each track, in an order that does not change; of text none.
    pub fn frames(&self) -> impl Iterator<Item = u64> {
        self.tracks.iter().map(|track| if track.text { 0 } else { track.told.frames })
    }

    /// Tracks may go on to where they end in `rest`.
    pub fn reaches(&mut self, rest: &Rest) {
        for (uid, end) in &rest.ends {
            if let Some(Track { told, .. }) = self.tracks.iter_mut().find(|track| track.told.uid == *uid) {
                told.duration = told.duration.max(*end);
            }
        }
    }

    /// What completes the file.
    ///
    /// # Errors
    ///
    /// [`Error::Foreign`]: there is none.
    pub fn finish(&mut self) -> Result<Finish, Error> {
        let mut head = self.head.take().ok_or_else(|| strange(0, "no head"))?;
        let mut append = Vec::new();
        if !self.cues.entries().is_empty() {
            head.parts.push((id::CUES, self.length));
            head::cues(&mut append, INDEXED, self.cues.entries());
        }
        head.parts.push((id::TAGS, self.length + append.len() as u64));
        head::tags(&mut append, &self.film, self.tracks.iter().map(|track| track.told));
        let longest = self.tracks.iter().map(|track| track.told.duration).max().unwrap_or(0);
        let duration = head::duration(longest, head.scale);
        let patch = |offset: usize, bytes| Patch {
            offset: offset as u64,
            bytes,
        };
        let patches = vec![
            patch(head.start - 8, wide(self.length + append.len() as u64).to_vec()),
            patch(head.start, head::seek_head(&head.parts)),
            patch(head.duration_at, duration.to_be_bytes().to_vec()),
        ];
        Ok(Finish {
            append,
            patches,
            moved_samples: 0,
            broken_samples: 0,
            late_tracks: 0,
        })
    }

    /// Takes a cluster into account.
    fn cluster(&mut self, cluster: &Element<'_>) -> Result<(), Error> {
        for (number, block) in blocks(cluster)?.enumerate() {
            let (at, block) = block?;
            let track = self.tracks.iter_mut().find(|track| track.told.uid == block.track);
            let track = track.ok_or_else(|| strange(at, "a block of a track that the file does not have"))?;
            track.text |= block.lasts.is_some();
            track.told.frames += 1;
            track.told.bytes += block.data.len() as u64;
            // The writer begins another cluster with what it puts into the index. Where more stands in front now, it would have begun
            // some of them elsewhere.
            if number == 0 && block.track == INDEXED && block.sync && self.cues.wants(block.time) {
                self.cues.push(Cue {
                    time: block.time,
                    position: self.length,
                });
            }
        }
        Ok(())
    }
}

/// The track that is in the index: pictures are the first, or the sound where there are none.
const INDEXED: u64 = 1;

/// A frame of a track, as a cluster tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block<'a> {
    track: u64,
    /// In ticks of the segment.
    time: u64,
    sync: bool,
    data: &'a [u8],
    /// Of text, what is told besides, such as its length.
    lasts: Option<&'a [u8]>,
}

impl<'a> Block<'a> {
    /// Reads the content of a block in a cluster of this time (RFC 9559 §10.1, §10.2).
    fn read(cluster: u64, content: &'a [u8], lasts: Option<&'a [u8]>) -> Option<Self> {
        let (track, rest) = split_number(content)?;
        let (&[high, low, flags], data) = rest.split_first_chunk()?;
        let time = cluster.checked_add_signed(i16::from_be_bytes([high, low]).into())?;
        (flags & LACING == 0).then_some(Self {
            track,
            time,
            // One in a group refers to no other.
            sync: lasts.is_some() || flags & KEY != 0,
            data,
            lasts,
        })
    }
}

/// The blocks of a cluster (RFC 9559 §5.1.3), with the places where they begin.
fn blocks<'a>(cluster: &Element<'a>) -> Result<impl Iterator<Item = Result<(usize, Block<'a>), Error>> + use<'a>, Error> {
    let mut inner = Elements::new(cluster.content, 0);
    let start = cluster.inner;
    let first = inner.next().and_then(Result::ok).filter(|first| first.id == id::TIMESTAMP);
    let time = first
        .and_then(|first| first.uint())
        .ok_or_else(|| strange(start, "a cluster without a time"))?;
    Ok(inner.map(move |element| {
        let element = element.map_err(|at| strange(start + at, BROKEN))?;
        let at = start + element.start;
        let block = match element.id {
            id::SIMPLE_BLOCK => Block::read(time, element.content, None),
            id::BLOCK_GROUP => {
                let inner = Elements::new(element.content, 0).next().and_then(Result::ok);
                let block = inner.filter(|inner| inner.id == id::BLOCK);
                block.and_then(|block| Block::read(time, block.content, element.content.get(block.end()..)))
            }
            _ => return Err(strange(at, "no block")),
        };
        let block = block.ok_or_else(|| strange(at, "a block that cannot be read"))?;
        Ok((at, block))
    }))
}

/// Whether two pieces of clusters hold the same blocks in the same order, wherever their clusters begin.
#[must_use]
pub fn have_the_same_blocks(one: &[u8], other: &[u8]) -> bool {
    one == other || all_blocks(one).eq(all_blocks(other)) && all_blocks(one).all(|block| block.is_some())
}

/// The blocks of some clusters; what is none as `None`.
fn all_blocks(clusters: &[u8]) -> impl Iterator<Item = Option<Block<'_>>> {
    Elements::new(clusters, 0).flat_map(|cluster| {
        let cluster = cluster.ok().filter(|cluster| cluster.id == id::CLUSTER);
        let blocks = cluster.and_then(|cluster| blocks(&cluster).ok());
        let broken = blocks.is_none().then_some(None);
        broken
            .into_iter()
            .chain(blocks.into_iter().flatten().map(|block| block.ok().map(|(_, block)| block)))
    })
}

impl Head {
    fn read(bytes: &[u8]) -> Result<Self, Error> {
        let ebml = Elements::new(bytes, 0).next().and_then(Result::ok);
        let ebml = ebml.filter(|ebml| ebml.id == id::EBML).ok_or_else(|| strange(0, "no EBML"))?;
        let mut segment = Vec::new();
        number(&mut segment, id::SEGMENT);
        // In front of a size of eight bytes.
        let start = ebml.end() + segment.len() + 8;
        let is_there = bytes
            .get(ebml.end()..start)
            .is_some_and(|found| found.starts_with(&segment) && found[segment.len()] == 1);
        if !is_there {
            return Err(strange(ebml.end(), "no segment of this program"));
        }
        let (mut parts, mut info, mut end) = (Vec::new(), None, start);
        for element in Elements::new(bytes, start) {
            let element = element.map_err(broken)?;
            let position = element.start - start;
            match element.id {
                id::CLUSTER => break,
                id::SEEK_HEAD if position == 0 => {}
                id::VOID => {}
                id::INFO if position == SEEK_HEAD_ROOM => info = Some(element),
                id::TRACKS | id::CHAPTERS if info.is_some() => {}
                _ => return Err(strange(element.start, "nothing that stands in a head")),
            }
            if matches!(element.id, id::INFO | id::TRACKS | id::CHAPTERS) {
                parts.push((element.id, position as u64));
            }
            end = element.end();
        }
        let info = info.ok_or_else(|| strange(end, "no head that can be written over"))?;
        let (mut scale, mut duration_at) = (None, None);
        for element in Elements::new(info.content, 0).map_while(Result::ok) {
            match element.id {
                id::TIMESTAMP_SCALE => scale = element.uint().and_then(|scale| u32::try_from(scale).ok()),
                id::DURATION if element.content.len() == 8 => duration_at = Some(info.inner + element.inner),
                _ => {}
            }
        }
        match (scale.filter(|scale| *scale > 0), duration_at) {
            (Some(scale), Some(duration_at)) => Ok(Self {
                start,
                duration_at,
                scale,
                parts,
                end,
            }),
            _ => Err(strange(info.start, "no scale or no duration")),
        }
    }
}

const BROKEN: &str = "no whole element";

fn broken(offset: usize) -> Error {
    strange(offset, BROKEN)
}

fn strange(offset: usize, reason: &'static str) -> Error {
    Error::Foreign { offset, reason }
}
