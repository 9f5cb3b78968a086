//! The model that all containers share: what a track is, and one access unit of it.

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::sample_entry;

/// A track as its demuxer numbers it, from 0 in the order of first appearance.
///
/// The number stands for the role ("first video"), so it outlives a change of packet identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TrackId(pub u32);

/// What a track carries; decides the handler type of the track (ISO 14496-12 §8.4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// ISO 639-1 codes, each with the ISO 639-2/T code behind it.
const TWO_LETTERS: &str = "aaaar ababk afafr akaka amamh anarg arara asasm avava ayaym azaze babak bebel bgbul bhbih bibis bmbam bnben \
    bobod brbre bsbos cacat ceche chcha cocos crcre csces cuchu cvchv cycym dadan dedeu dvdiv dzdzo eeewe elell eneng eoepo esspa etest \
    eueus fafas ffful fifin fjfij fofao frfra fyfry gagle gdgla glglg gngrn guguj gvglv hahau heheb hihin hohmo hrhrv hthat huhun hyhye \
    hzher iaina idind ieile igibo iiiii ikipk ioido isisl itita iuiku jajpn jvjav kakat kgkon kikik kjkua kkkaz klkal kmkhm knkan kokor \
    krkau kskas kukur kvkom kwcor kykir lalat lbltz lglug lilim lnlin lolao ltlit lulub lvlav mgmlg mhmah mimri mkmkd mlmal mnmon mrmar \
    msmsa mtmlt mymya nanau nbnob ndnde nenep ngndo nlnld nnnno nonor nrnbl nvnav nynya ococi ojoji omorm orori ososs papan pipli plpol \
    pspus ptpor quque rmroh rnrun roron rurus rwkin sasan scsrd sdsnd sesme sgsag sisin skslk slslv smsmo snsna sosom sqsqi srsrp ssssw \
    stsot susun svswe swswa tatam tetel tgtgk ththa titir tktuk tltgl tntsn toton trtur tstso tttat twtwi tytah uguig ukukr ururd uzuzb \
    veven vivie vovol wawln wowol xhxho yiyid yoyor zazha zhzho zuzul";

/// ISO 639-2/T language code, three lower-case letters; `und` where nothing is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

    /// Takes a BCP 47 tag such as `en`, `pt-BR` or `eng`: its first subtag decides.
    #[must_use]
    pub fn from_bcp47(tag: &str) -> Self {
        let primary = tag.split(['-', '_']).next().unwrap_or("").trim().to_ascii_lowercase();
        match primary.len() {
            2 => TWO_LETTERS
                .split(' ')
                .find_map(|pair| pair.strip_prefix(primary.as_str()))
                .map_or(Self::UNDETERMINED, |code| Self::new(code.as_bytes())),
            _ => Self::new(primary.as_bytes()),
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The same with all that its source says (BCP 47), `pt-BR` for example.
    pub language_tag: Option<String>,
    /// Title of the track, where its source names one.
    pub name: Option<String>,
    /// What it is there for.
    pub roles: Roles,
    /// What the source's edit list adds to a composition time to get the time of presentation, in ticks
    /// (ISO 14496-12 §8.6.6): an initial empty edit counts up, `media_time` counts down.
    /// `None` where the source has no edit list. With `Some`, what would be presented before 0 (the priming
    /// of an audio encoder, say) is not presented at all.
    pub presentation_offset: Option<i64>,
}

impl TrackConfig {
    /// Whether a decoder that was set up for this can go on with what `next` describes: a track of the same kind with the
    /// same sample entry, but for what that tells of the bit rate.
    #[must_use]
    pub fn decodes(&self, next: &Self) -> bool {
        self.handler == next.handler && sample_entry::decodes_as(&self.sample_entry, &next.sample_entry)
    }

    /// Whether an error of transmission may have made `next` of this: each of its parameter sets (H.264, HEVC) is one of these, but
    /// for a byte or two. Those of another encoder, or of another size of picture, differ by more.
    #[must_use]
    pub fn may_be_damaged_to(&self, next: &Self) -> bool {
        const MOST_BYTES: usize = 2;
        let (ours, theirs) = [self, next].map(|config| sample_entry::parameter_sets(&config.sample_entry)).into();
        let resembles = |one: &Vec<u8>, other: &Vec<u8>| {
            one.len() == other.len() && one.iter().zip(other).filter(|(one, other)| one != other).count() <= MOST_BYTES
        };
        !theirs.is_empty() && theirs.iter().all(|set| ours.iter().any(|known| resembles(known, set)))
    }
}

/// What a track is there for, as far as its source says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Roles {
    /// It plays unless the viewer chooses another.
    pub default: bool,
    /// It is shown whatever the viewer chose.
    pub forced: bool,
    /// For people who do not hear well.
    pub hearing_impaired: bool,
    /// For people who do not see well.
    pub visual_impaired: bool,
}

/// The scheme of `kind` boxes (ISO 14496-12 §8.10.4) whose values are those of DASH roles (ISO 23009-1, 5.8.5.5).
pub(crate) const KIND_SCHEME: &str = "urn:mpeg:dash:role:2011";
const DESCRIPTION: &str = "description";
const CAPTION: &str = "caption";

impl Roles {
    /// What `kind` boxes of the track say, in [`KIND_SCHEME`].
    pub(crate) fn kinds(self) -> impl Iterator<Item = &'static str> {
        let told = [(self.visual_impaired, DESCRIPTION), (self.hearing_impaired, CAPTION)];
        told.into_iter().filter_map(|(is_told, role)| is_told.then_some(role))
    }

    /// Takes what a `kind` box says.
    pub(crate) fn set_kind(&mut self, scheme: &[u8], role: &[u8]) {
        if scheme == KIND_SCHEME.as_bytes() {
            self.visual_impaired |= role == DESCRIPTION.as_bytes();
            self.hearing_impaired |= role == CAPTION.as_bytes();
        }
    }
}

/// One access unit: a picture, an audio frame, a cue.
///
/// `D` is how its bytes are had: [`Bytes`] of their own, or a range within what the caller holds.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
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

impl<D: SampleData> Sample<D> {
    /// The same sample with its bytes at hand; `pushed` is what the demuxer was given when it made the sample.
    pub fn as_slice<'a>(&'a self, pushed: &'a [u8]) -> Sample<&'a [u8]> {
        Sample {
            dts: self.dts,
            pts: self.pts,
            duration: self.duration,
            sync: self.sync,
            data: self.data.bytes(pushed),
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

/// How the bytes of a sample are had.
pub trait SampleData {
    /// The bytes; `pushed` is what the demuxer was given when it made the sample.
    fn bytes<'a>(&'a self, pushed: &'a [u8]) -> &'a [u8];
}

impl SampleData for Bytes {
    fn bytes<'a>(&'a self, _: &'a [u8]) -> &'a [u8] {
        self
    }
}

impl SampleData for Range<usize> {
    fn bytes<'a>(&'a self, pushed: &'a [u8]) -> &'a [u8] {
        pushed.get(self.clone()).unwrap_or(&[])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_found_by_their_tags() {
        for (tag, expected) in [
            ("en", "eng"),
            ("pt-BR", "por"),
            ("DE", "deu"),
            ("zh-Hans-CN", "zho"),
            ("fra", "fra"),
            ("yue", "yue"),
            ("xx", "und"),
            ("", "und"),
            ("e", "und"),
            ("e1", "und"),
            ("123", "und"),
        ] {
            assert_eq!(Language::from_bcp47(tag).as_str(), expected, "{tag}");
        }
        assert!(TWO_LETTERS.split(' ').all(|pair| pair.len() == 5));
    }
}
