//! What a report says, as it is written and read back. `report.schema.json` describes the same.

use aqueduct_mux::{Entry, Fate, JobTrack, Listing};
use serde::{Deserialize, Serialize};

use crate::verify::hex;

/// The version of the schema.
pub const REPORT_VERSION: u32 = 1;
/// The schema of the report (JSON Schema, draft 2020-12).
pub const REPORT_SCHEMA: &str = include_str!("../report.schema.json");

/// A report as it is read back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "U: Default + Deserialize<'de>"))]
#[non_exhaustive]
pub struct Document<U = Vec<UnitDocument>> {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// The program that wrote it.
    pub program: String,
    /// `whole`, `gaps`, `interrupted`, `ended` (a live stream that broke off) or `failed`.
    pub outcome: String,
    /// Why it failed or ended.
    pub error: Option<String>,
    /// The exit code of the command.
    #[serde(default)]
    pub exit_code: Option<u8>,
    /// What was asked for, where that is known: a repair asks for the same.
    #[serde(default)]
    pub selection: Option<SelectionDocument>,
    /// The outputs, the main one first.
    #[serde(default)]
    pub outputs: Vec<OutputDocument<U>>,
}

/// Which stream of an input, and which of its tracks, in the words of the command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectionDocument {
    /// Its number among the streams of the input, counted from 1.
    pub stream: usize,
    /// Which video.
    pub video: String,
    /// Which audio.
    pub audio: String,
    /// Which subtitles.
    pub subtitles: String,
    /// Whether the sound alone was wanted.
    pub sound_alone: bool,
}

/// One output of a [`Document`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "U: Default + Deserialize<'de>"))]
#[non_exhaustive]
pub struct OutputDocument<U = Vec<UnitDocument>> {
    /// The name of the file; none for standard output.
    pub file: Option<String>,
    /// The names of all files, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// The names of others that are not there, since nothing came of what they would have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
    /// What it was made of, without query.
    pub input: Option<String>,
    /// What it was made as.
    pub container: Option<String>,
    /// What its muxer calls it: `concatenation`, `MP4`; none while it is not finished.
    #[serde(default)]
    pub form: Option<String>,
    /// Its length.
    pub bytes: u64,
    /// Its tracks.
    pub tracks: Vec<TrackDocument>,
    /// What was repaired or left out, for people.
    pub notes: Vec<String>,
    /// What stands behind the last unit.
    pub tail: Option<Piece>,
    /// What no unit brought to the files of a folder: its playlists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rests: Vec<RestDocument>,
    /// Every unit, in the order of the output.
    #[serde(default)]
    pub units: U,
}

/// A track of an [`OutputDocument`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrackDocument {
    /// Its number.
    pub number: u32,
    /// `main`, `audio`, `subtitles` or `file`.
    pub kind: String,
    /// A resolution, a Rendition's NAME.
    pub name: String,
    /// BCP 47.
    pub language: Option<String>,
    /// Its Media Playlist, without query.
    pub address: Option<String>,
    /// Whether it was live.
    pub live: bool,
}

impl From<JobTrack> for TrackDocument {
    fn from(track: JobTrack) -> Self {
        Self {
            number: track.number,
            kind: track.kind,
            name: track.name,
            language: track.language,
            address: track.address,
            live: track.live,
        }
    }
}

/// A part of a file and its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
    /// SHA-256, in hexadecimal.
    pub sha256: String,
}

/// A part of a file of a folder that no unit brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RestDocument {
    /// The file, as it is named from the folder.
    pub file: String,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
    /// SHA-256, in hexadecimal.
    pub sha256: String,
}

impl RestDocument {
    /// The same without the file.
    pub(crate) fn piece(&self) -> Piece {
        Piece {
            offset: self.offset,
            length: self.length,
            sha256: self.sha256.clone(),
        }
    }
}

/// A unit of an [`OutputDocument`]: a Media Segment or a Media Initialization Section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnitDocument {
    /// Number of its track.
    pub track: u32,
    /// Media Sequence Number; of an initialization section that of the first segment that needs it.
    pub msn: u64,
    /// Whether it is an initialization section.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub init: bool,
    /// How many segments it stands for, from `msn` on: 1 unless a live window moved on without several.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub segments: u64,
    /// Where it was, without query.
    pub address: String,
    /// Offset and length there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<(u64, u64)>,
    /// The playing time of one, in seconds.
    pub seconds: f64,
    /// Discontinuity Sequence Number.
    pub discontinuity_sequence: u64,
    /// Where its key was. Of its query the beginning of a digest is told, behind `?*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether a whole block of padding stood behind it, as shows that the server pads all under its key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub padded: bool,
    /// What else its playlist said of it, where that was live: nobody else knows it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<ListingDocument>,
    /// `written`, `cut` (in part), `tagged` (a gap of the playlist's own), `expired` or `failed`.
    pub fate: String,
    /// Why it is missing, or what it lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The bytes that it brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub piece: Option<Piece>,
    /// The file that has them: of a folder as it is named from there, of an output that was split also of what is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// What a playlist said of a [`UnitDocument`], besides what tells it from others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ListingDocument {
    /// Whether a query or a token is left out of its address, which does not lead there without.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
    /// The same of the address of its key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub incomplete_key: bool,
    /// Whether `EXT-X-DISCONTINUITY` stood before it (RFC 8216, 4.3.2.3).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub discontinuity: bool,
    /// When it was recorded, in microseconds since 1970 (4.3.2.6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program_date_time: Option<i64>,
    /// The METHOD of each key in force, with its KEYFORMAT (4.3.2.4).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<(String, String)>,
    /// The initialization vector that the playlist gave, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iv: Option<String>,
}

impl From<&Listing> for ListingDocument {
    fn from(listing: &Listing) -> Self {
        let (whole, whole_key) = listing.whole;
        Self {
            incomplete: !whole,
            incomplete_key: !whole_key && !listing.keys.is_empty(),
            discontinuity: listing.discontinuity,
            program_date_time: listing.program_date_time,
            keys: listing.keys.clone(),
            iv: listing.iv.as_ref().map(|iv| hex(iv)),
        }
    }
}

fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the attribute wants it so")]
fn is_one(segments: &u64) -> bool {
    *segments == 1
}

impl From<&Entry> for UnitDocument {
    fn from(entry: &Entry) -> Self {
        let (fate, piece) = match &entry.fate {
            Fate::Written { offset, length, .. } => (
                if entry.cut.is_some() { "cut" } else { "written" },
                Some(Piece {
                    offset: *offset,
                    length: *length,
                    sha256: entry.sha256().unwrap_or_default(),
                }),
            ),
            Fate::Tagged => ("tagged", None),
            Fate::Expired => ("expired", None),
            Fate::Failed(_) => ("failed", None),
        };
        Self {
            track: entry.track,
            msn: entry.msn,
            init: entry.init,
            segments: entry.segments,
            address: entry.address.clone(),
            range: entry.range,
            seconds: entry.duration.as_secs_f64(),
            discontinuity_sequence: entry.discontinuity_sequence,
            key: entry.key.clone(),
            padded: entry.padded,
            listing: Some(ListingDocument::from(&entry.listing)),
            fate: fate.into(),
            why: entry.as_gap().map(|gap| gap.cause.to_string()),
            piece,
            file: entry.file.as_deref().map(str::to_owned),
        }
    }
}
