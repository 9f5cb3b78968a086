//! Tracks: a stream's segments as they are sent, and as they are when clear.

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};

use crate::answer::Body;
use crate::clip::{Clip, Folder};
use crate::stream::{Media, RenditionKind, Stream};
use crate::{Encryption, Synthetic, encrypt_aes_128};

/// One track of a stream: what one Media Playlist names.
#[derive(Debug)]
pub struct Track {
    /// The folder of the track in its stream, `""` or such as `v0/`.
    pub folder: String,
    pub(crate) stream: Stream,
    source: Source,
    order: Vec<usize>,
    encryption: Option<Encryption>,
}

#[derive(Debug)]
enum Source {
    Clip(&'static Folder),
    Synthetic(Synthetic),
}

/// The tracks of a stream: Variant Streams, then those Renditions that have a URI.
pub fn tracks(stream: &Stream) -> Result<Vec<Track>> {
    let multivariant = stream.is_multivariant();
    let folder = |letter: &str, index: usize| if multivariant { format!("{letter}{index}/") } else { String::new() };
    let mut tracks = Vec::new();
    for (index, variant) in stream.variants.iter().enumerate() {
        tracks.push(Track::new(folder("v", index), stream, &variant.media, true)?);
    }
    for (index, rendition) in stream.renditions.iter().enumerate() {
        if let Some(media) = &rendition.media {
            let encrypted = rendition.kind == RenditionKind::Audio;
            tracks.push(Track::new(folder("r", index), stream, media, encrypted)?);
        }
    }
    Ok(tracks)
}

impl Track {
    fn new(folder: String, stream: &Stream, media: &Media, encrypted: bool) -> Result<Self> {
        let source = match media {
            Media::Clip(name) => Source::Clip(Clip::get()?.folder(name)?),
            Media::Synthetic(synthetic) => Source::Synthetic(*synthetic),
        };
        let available = match &source {
            Source::Clip(folder) => folder.segments.len(),
            Source::Synthetic(synthetic) => synthetic.segments,
        };
        // The indices are the picture's; a Rendition that is cut otherwise plays all of its own.
        let fits = !stream.order.is_empty() && stream.order.iter().all(|index| *index < available);
        let order = if fits { stream.order.clone() } else { (0..available).collect() };
        let encryption = stream.encryption.clone().filter(|_| encrypted);
        Ok(Self {
            folder,
            stream: stream.clone(),
            source,
            order,
            encryption,
        })
    }

    /// How many segments there are; `None` for an endless stream.
    pub fn count(&self) -> Option<usize> {
        let endless = self.stream.live.is_some_and(|live| live.endless);
        (!endless).then(|| self.order.len() * self.stream.repeat.max(1))
    }

    /// The extension of a segment's name.
    pub fn extension(&self) -> &str {
        match &self.source {
            Source::Clip(folder) => &folder.extension,
            Source::Synthetic(_) => "ts",
        }
    }

    /// The segment at a position, clear. Positions count from 0, whatever the Media Sequence Number.
    pub fn clear(&self, position: usize) -> Bytes {
        let index = self.order[position % self.order.len()];
        match &self.source {
            Source::Clip(folder) => folder.segments[index].clone(),
            Source::Synthetic(synthetic) => synthetic.segment(index),
        }
    }

    /// How long the segment at a position plays, in seconds.
    pub fn duration(&self, position: usize) -> f64 {
        let index = self.order[position % self.order.len()];
        match &self.source {
            Source::Clip(folder) => folder.durations[index],
            Source::Synthetic(_) => 2.0,
        }
    }

    /// The Media Initialization Section, clear.
    pub fn init(&self) -> Option<Bytes> {
        match &self.source {
            Source::Clip(folder) => folder.init.clone(),
            Source::Synthetic(_) => None,
        }
    }

    /// All clear bytes in order: the Media Initialization Section, then every segment that is no gap. For an
    /// endless stream, its first round.
    pub fn clear_parts(&self) -> impl Iterator<Item = Bytes> + '_ {
        let count = self.count().unwrap_or(self.order.len());
        let segments = (0..count).filter(|at| !self.is_gap(*at)).map(|at| self.clear(at));
        self.init().into_iter().chain(segments)
    }

    /// Whether the clock of this segment does not follow from the one before.
    pub fn is_discontinuous(&self, position: usize) -> bool {
        let Some(before) = position.checked_sub(1) else { return false };
        let length = self.order.len();
        matches!(self.source, Source::Clip(_)) && self.order[position % length] != self.order[before % length] + 1
    }

    /// Whether the segment is tagged `EXT-X-GAP`.
    pub fn is_gap(&self, position: usize) -> bool {
        self.stream.gaps.contains(&position)
    }

    pub(crate) fn encryption(&self) -> Option<&Encryption> {
        self.encryption.as_ref()
    }

    /// The segment as it is sent.
    pub(crate) fn sealed(&self, position: usize) -> Bytes {
        let clear = self.clear(position);
        let sealed = self.encryption.as_ref().and_then(|encryption| {
            let period = encryption.period(position)?;
            let iv = encryption.iv(period, self.stream.first_msn + position as u64);
            Some(encrypt_aes_128(&clear, &Encryption::key(period), &iv).into())
        });
        sealed.unwrap_or(clear)
    }

    /// Length of [`Self::sealed`] without making it.
    pub(crate) fn sealed_length(&self, position: usize) -> usize {
        let index = self.order[position % self.order.len()];
        let clear = match &self.source {
            Source::Clip(folder) => folder.segments[index].len(),
            Source::Synthetic(synthetic) => synthetic.bytes,
        };
        match self.encryption.as_ref().and_then(|encryption| encryption.period(position)) {
            Some(_) => clear / 16 * 16 + 16,
            None => clear,
        }
    }

    /// The Media Initialization Section as it is sent.
    pub(crate) fn sealed_init(&self) -> Option<Bytes> {
        let clear = self.init()?;
        Some(match &self.encryption {
            Some(encryption) if encryption.init => encrypt_aes_128(&clear, &Encryption::key(0), &encryption.iv(0, 0)).into(),
            _ => clear,
        })
    }

    /// The name of the one resource whose ranges are the segments.
    pub(crate) fn whole_name(&self) -> String {
        format!("all.{}", self.extension())
    }

    /// A resource of the track by its name in the track's folder; the playlist is not among them.
    pub(crate) fn resource(&self, name: &str) -> Result<Body> {
        if name == "init.mp4" {
            return self.sealed_init().map(Body::from).context("no Media Initialization Section");
        }
        if let Some(period) = name.strip_prefix("key").and_then(|rest| rest.strip_suffix(".bin")) {
            anyhow::ensure!(self.encryption.is_some(), "not encrypted");
            return Ok(Body::from(Bytes::from(Encryption::key(period.parse()?).to_vec())));
        }
        if name == self.whole_name() && self.stream.byte_ranges {
            return Ok(self.whole());
        }
        let (stem, extension) = name.split_once('.').context("no such resource")?;
        let position: usize = stem.parse()?;
        anyhow::ensure!(extension == self.extension(), "no such segment");
        anyhow::ensure!(self.count().is_none_or(|count| position < count), "no such segment");
        anyhow::ensure!(!self.is_gap(position), "a gap");
        Ok(self.sealed(position).into())
    }

    fn whole(&self) -> Body {
        if let (Source::Synthetic(synthetic), None) = (&self.source, &self.encryption) {
            return Body::synthetic(*synthetic);
        }
        let mut all = BytesMut::new();
        all.extend_from_slice(&self.sealed_init().unwrap_or_default());
        for position in 0..self.count().unwrap_or(0) {
            all.extend_from_slice(&self.sealed(position));
        }
        all.freeze().into()
    }
}
