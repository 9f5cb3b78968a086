//! The model that all containers share: what a track is, and one access unit of it.

use std::{fmt, sync::Arc};

use bytes::Bytes;

/// A track as its demuxer numbers it, from 0 in the order of first appearance.
///
/// The number stands for the role ("first video"), so it outlives a change of packet identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u32);

/// What a track carries; decides the handler type of the track (ISO 14496-12 §8.4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrackKind {
    /// Pictures (`vide`).
    Video,
    /// Sound (`soun`).
    Audio,
    /// Timed text: `text`, `subt`, `sbtl`.
    Subtitle,
    /// Anything else, carried as it is.
    Other,
}

/// ISO 639-2/T language code, three lower-case letters; `und` where nothing is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Language([u8; 3]);

impl Language {
    /// "Undetermined".
    pub const UNDETERMINED: Self = Self(*b"und");

    /// Takes three letters, in either case. Anything else is [`Language::UNDETERMINED`].
    #[must_use]
    pub fn new(code: &[u8]) -> Self {
        match code {
            [a, b, c] if code.iter().all(u8::is_ascii_alphabetic) => Self([a, b, c].map(u8::to_ascii_lowercase)),
            _ => Self::UNDETERMINED,
        }
    }

    /// The three letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII letters get in.
        std::str::from_utf8(&self.0).unwrap_or("und")
    }
}

impl Default for Language {
    fn default() -> Self {
        Self::UNDETERMINED
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Everything a muxer must know of a track before its samples, or from a change of codec parameters on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackConfig {
    /// What the track carries.
    pub kind: TrackKind,
    /// Handler type of the track (ISO 14496-12 §8.4.3), `vide` for example.
    pub handler: [u8; 4],
    /// Ticks a second of all times in the samples that follow. Never zero.
    pub timescale: u32,
    /// One whole box for `stsd` (ISO 14496-12 §8.5.2), header included, with the codec's configuration
    /// inside: `avc1`, `mp4a`, or whatever an initialization section had.
    pub sample_entry: Bytes,
    /// Picture size for presentation in pixels, pixel aspect applied; (0, 0) where there is no picture.
    pub display_size: (u32, u32),
    /// Transformation of the picture (ISO 14496-12 §8.3.2), rotation for example; `None` for identity.
    pub matrix: Option<[i32; 9]>,
    /// Language of the track.
    pub language: Language,
    /// Title of the track, where its source names one.
    pub name: Option<String>,
    /// What the source's edit list adds to a composition time to get the time of presentation, in ticks
    /// (ISO 14496-12 §8.6.6): an initial empty edit counts up, `media_time` counts down.
    /// `None` where the source has no edit list. With `Some`, what would be presented before 0 (the priming
    /// of an audio encoder, say) is not presented at all.
    pub presentation_offset: Option<i64>,
}

/// One access unit: a picture, an audio frame, a cue.
///
/// `D` is how its bytes are had: [`Bytes`] of their own, or a range within what the caller holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Sample<D = Bytes> {
    /// Decode time in ticks of the track.
    pub dts: i64,
    /// Composition time in ticks of the track.
    pub pts: i64,
    /// How long the sample lasts in ticks, where the source says.
    pub duration: Option<u32>,
    /// Whether decoding may begin here (ISO 14496-12 §8.6.2).
    pub sync: bool,
    /// The bytes as ISO BMFF stores them: NAL units behind 4-byte lengths, AAC without ADTS.
    pub data: D,
}

impl<D> Sample<D> {
    /// The same sample with its bytes had in another way.
    pub fn map_data<E>(self, change: impl FnOnce(D) -> E) -> Sample<E> {
        Sample {
            dts: self.dts,
            pts: self.pts,
            duration: self.duration,
            sync: self.sync,
            data: change(self.data),
        }
    }
}

impl<D> fmt::Debug for Sample<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The bytes would drown the times, which are what one looks for.
        f.debug_struct("Sample")
            .field("dts", &self.dts)
            .field("pts", &self.pts)
            .field("duration", &self.duration)
            .field("sync", &self.sync)
            .finish_non_exhaustive()
    }
}

/// What a demuxer found, in the order of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<D = Bytes> {
    /// A new track, or new codec parameters for the samples of a known one from here on.
    Config {
        /// Which track.
        track: TrackId,
        /// Its configuration.
        config: Arc<TrackConfig>,
    },
    /// An access unit.
    Sample {
        /// Which track; its configuration came before.
        track: TrackId,
        /// The access unit.
        sample: Sample<D>,
    },
}
