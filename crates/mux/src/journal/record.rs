//! What a journal says: its records, and how each is framed. No I/O.
//!
//! Behind a line that says what it is, a record stands behind its length and a CRC-32 of both, so that a tail that was torn off, or blocks that a power cut left
//! empty, are noticed: reading ends at the first record that is not whole.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aqueduct_core::{ByteRange, Counterpart, Encryption, Gap, GapCause, InitInfo, Resource, SegmentInfo, TrackId, missing_time};
use serde::{Deserialize, Serialize};

use super::address::{address, is_told_whole, key_address};
use super::job::Job;

/// How a journal begins, with the version of its format.
pub(crate) const MAGIC: &[u8] = b"aqueduct journal 6\n";
/// How one of any version does.
const ANY_VERSION: &[u8] = b"aqueduct journal ";
/// The first record ends before this offset, in bytes: a journal whose tracks take more is none.
pub(crate) const MOST_JOB: u64 = 4 << 20;
/// The largest record; what claims to be larger is damage.
pub(crate) const MAX_RECORD: usize = 256 << 20;
/// How much dates of the same segment may differ, unless it is longer than twice that.
const ROUNDING: Duration = Duration::from_millis(500);
/// Length and checksum in front of each record, in bytes.
const FRAME: usize = 8;

/// How a file begins that may be a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    Journal,
    OtherVersion,
    /// Nothing, less than the beginning of a journal, or blocks that a power cut left empty.
    Torn,
    Foreign,
}

impl Head {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(MAGIC) {
            Self::Journal
        } else if MAGIC.starts_with(bytes) || bytes.iter().all(|byte| *byte == 0) {
            Self::Torn
        } else if bytes.starts_with(ANY_VERSION) {
            Self::OtherVersion
        } else {
            Self::Foreign
        }
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Record {
    /// What is being done: the first record, and again wherever a run went on.
    Job(Job),
    /// A unit went through the muxer.
    Entry(Entry),
    /// The muxer can go on from here with this, and what came with earlier ones.
    Checkpoint(#[serde(with = "bytes_as_such")] Vec<u8>),
    /// So many bytes of the output were on the disk when this was written.
    Synced(u64),
    /// The output got its final name with this length, though more of the stream is to come.
    Interrupted(u64),
    /// What follows goes into the file of this name, of an output that is made of several: they stand one behind the other, and
    /// this one begins at `start`, counted from the beginning of the output.
    File { name: String, start: u64 },
    /// Bytes at the end of a file that no unit brought, such as a playlist.
    Rest { offset: u64, length: u64, sha256: [u8; 32] },
    /// From here on the bytes from `start` to `end` of the output may be others than the digests of their units tell.
    Patched { start: u64, end: u64 },
}

/// One unit of a track and its fate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Number of the track.
    pub track: u32,
    /// Media Sequence Number; of an initialization section that of the first segment that needs it.
    pub msn: u64,
    /// Whether it is a Media Initialization Section.
    pub init: bool,
    /// How many segments it stands for, from `msn` on: 1, and more where a live window moved on without them.
    pub segments: u64,
    /// Where it was, without query.
    pub address: String,
    /// The bytes there.
    pub range: Option<(u64, u64)>,
    /// What told its version, for plain files.
    pub version: Option<String>,
    /// The playing time of one.
    pub duration: Duration,
    /// Discontinuity Sequence Number.
    pub discontinuity_sequence: u64,
    /// Whether its playlist says that it is encrypted.
    pub encrypted: bool,
    /// The address of its key, of whose query only the beginning of a digest is told.
    pub key: Option<String>,
    /// Whether a whole block of padding stood behind it, as shows that all under its key is padded.
    pub padded: bool,
    /// What became of it.
    pub fate: Fate,
    /// What else its playlist says of it.
    pub listing: Listing,
    /// What it lacks, of one that is in the output in part.
    pub cut: Option<String>,
    /// The file that has it, in an output of several. In the journal it is told once for all that the file has.
    #[serde(skip)]
    pub file: Option<Arc<str>>,
}

/// What a playlist says of a unit, besides what tells it from others. Of a live stream nobody else knows it later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Whether the address of the unit leads there as it is told, and that of its key.
    pub whole: (bool, bool),
    /// Whether `EXT-X-DISCONTINUITY` stands before it (RFC 8216, 4.3.2.3).
    pub discontinuity: bool,
    /// When it was recorded, in microseconds since 1970 (4.3.2.6).
    pub program_date_time: Option<i64>,
    /// The METHOD of each key in force, with its KEYFORMAT (4.3.2.4).
    pub keys: Vec<(String, String)>,
    /// The initialization vector that the playlist gives.
    pub iv: Option<[u8; 16]>,
}

/// What became of a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It is in the output, by these bytes. They may be none: a muxer may hold a unit back until the next.
    Written {
        /// Where they begin.
        offset: u64,
        /// How many.
        length: u64,
        /// Their SHA-256.
        sha256: [u8; 32],
    },
    /// The playlist itself has a gap here.
    Tagged,
    /// It left the live window.
    Expired,
    /// It could not be had.
    Failed(String),
}

impl Fate {
    fn of(cause: &GapCause) -> Self {
        match cause {
            GapCause::Tagged => Self::Tagged,
            GapCause::Expired => Self::Expired,
            other => Self::Failed(other.to_string()),
        }
    }

    /// Why the unit is missing, if it is.
    pub fn cause(&self) -> Option<GapCause> {
        Some(match self {
            Self::Written { .. } => return None,
            Self::Tagged => GapCause::Tagged,
            Self::Expired => GapCause::Expired,
            Self::Failed(why) => GapCause::Failed(why.clone()),
        })
    }
}

impl Entry {
    /// The entry of a Media Segment; its fate is to be filled in.
    pub fn segment(info: &SegmentInfo, fate: Fate) -> Self {
        let mut entry = Self {
            track: info.track.number(),
            msn: info.msn,
            init: false,
            duration: info.duration,
            discontinuity_sequence: info.discontinuity_sequence,
            ..Self::at(&info.resource, &info.encryption, fate)
        };
        entry.listing.discontinuity = info.discontinuity;
        entry.listing.program_date_time = info.program_date_time.and_then(micros);
        entry
    }

    /// The entry of an initialization section.
    pub fn init(info: &InitInfo, fate: Fate) -> Self {
        Self {
            track: info.track.number(),
            msn: info.first_msn,
            init: true,
            ..Self::at(&info.resource, &info.encryption, fate)
        }
    }

    /// The entry of `segments` in a row that are missing, of which `info` is the first.
    pub fn gap(info: &SegmentInfo, segments: u64, cause: &GapCause) -> Self {
        Self {
            segments,
            ..Self::segment(info, Fate::of(cause))
        }
    }

    /// The same as another pathway has it.
    #[must_use]
    pub fn moved(&self, to: &Counterpart) -> Self {
        Self {
            address: address(&to.resource.url),
            range: range(&to.resource),
            duration: to.duration,
            discontinuity_sequence: to.discontinuity_sequence,
            ..self.clone()
        }
    }

    /// Media Sequence Number of the last segment that it stands for.
    pub fn last_msn(&self) -> u64 {
        self.msn.saturating_add(self.segments.saturating_sub(1))
    }

    /// The playing time of all that it stands for.
    pub(crate) fn playing_time(&self) -> Duration {
        missing_time(self.duration, self.segments)
    }

    fn at(resource: &Resource, encryption: &Encryption, fate: Fate) -> Self {
        Self {
            track: 0,
            msn: 0,
            init: false,
            segments: 1,
            address: address(&resource.url),
            range: range(resource),
            version: resource.version.as_deref().map(str::to_owned),
            duration: Duration::ZERO,
            discontinuity_sequence: 0,
            encrypted: !matches!(encryption, Encryption::None),
            key: encryption.key().map(|key| key_address(&key.url)),
            padded: false,
            listing: Listing {
                whole: (
                    is_told_whole(&resource.url),
                    encryption.key().is_some_and(|key| is_told_whole(&key.url)),
                ),
                keys: encryption.keys(),
                iv: encryption.iv().map(|iv| iv.0),
                ..Listing::default()
            },
            fate,
            cut: None,
            file: None,
        }
    }

    /// Whether it is a segment that is in the output.
    pub fn is_media(&self) -> bool {
        !self.init && matches!(self.fate, Fate::Written { .. })
    }

    /// SHA-256 of the bytes that it brought, in hexadecimal, if it is in the output.
    pub fn sha256(&self) -> Option<String> {
        match &self.fate {
            Fate::Written { sha256, .. } => Some(hex(sha256)),
            _ => None,
        }
    }

    /// Whether another try may bring more of it.
    pub fn is_lacking(&self) -> bool {
        self.cut.is_some() || matches!(self.fate, Fate::Failed(_))
    }

    /// The same as a gap of its own.
    pub fn as_gap(&self) -> Option<Gap> {
        let cause = self.fate.cause().or_else(|| self.cut.clone().map(GapCause::Cut));
        cause.map(|cause| Gap {
            track: TrackId::new(self.track),
            first_msn: self.msn,
            segments: self.segments,
            cause,
        })
    }

    /// Whether playlists date the two, which should be the same unit, to different times. One that dates some segments only dates the
    /// others by playing times that were rounded.
    pub fn is_of_another_time(&self, other: &Self) -> bool {
        let most = ROUNDING.max(self.duration / 2).as_micros();
        let dates = self.listing.program_date_time.zip(other.listing.program_date_time);
        dates.is_some_and(|(one, other)| u128::from(one.abs_diff(other)) > most)
    }

    /// How `other`, which should be the same unit, differs. Where a unit is missing its number is all that is known.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let of = |what: &str, ours: String, theirs: String| (ours != theirs).then(|| format!("its {what} was {ours} and is {theirs}"));
        if let Some(difference) = of("number", self.msn.to_string(), other.msn.to_string()) {
            return Some(difference);
        }
        if self.fate.cause().is_some() || other.fate.cause().is_some() {
            return None;
        }
        let range = |range: Option<(u64, u64)>| range.map_or("none".to_owned(), |(offset, length)| format!("{length}@{offset}"));
        let version = |version: &Option<String>| version.clone().unwrap_or_else(|| "none".into());
        of("address", self.address.clone(), other.address.clone())
            .or_else(|| of("byte range", range(self.range), range(other.range)))
            .or_else(|| of("version", version(&self.version), version(&other.version)))
            .or_else(|| of("duration", format!("{:?}", self.duration), format!("{:?}", other.duration)))
            .or_else(|| {
                of(
                    "Discontinuity Sequence Number",
                    self.discontinuity_sequence.to_string(),
                    other.discontinuity_sequence.to_string(),
                )
            })
    }
}

/// Microseconds since 1970.
pub(crate) fn micros(time: SystemTime) -> Option<i64> {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).ok(),
        Err(before) => i64::try_from(before.duration().as_micros()).ok().map(|micros| -micros),
    }
}

fn range(resource: &Resource) -> Option<(u64, u64)> {
    resource.range.map(|ByteRange { offset, length }| (offset, length))
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Record {
    /// Appends the record in its frame. `false`, and nothing, when it is too large for one.
    pub(crate) fn frame(&self, journal: &mut Vec<u8>) -> bool {
        let start = journal.len();
        journal.extend_from_slice(&[0; FRAME]);
        // Serialising to a Vec cannot fail for types without maps of unknown length.
        let Ok(mut framed) = postcard::to_extend(self, std::mem::take(journal)) else {
            return false;
        };
        let length = framed.len() - start - FRAME;
        let small = u32::try_from(length).ok().filter(|_| length <= MAX_RECORD);
        match small {
            Some(length) => {
                framed[start..start + 4].copy_from_slice(&length.to_le_bytes());
                let checksum = checksum(length, &framed[start + FRAME..]);
                framed[start + 4..start + FRAME].copy_from_slice(&checksum.to_le_bytes());
            }
            None => framed.truncate(start),
        }
        *journal = framed;
        small.is_some()
    }
}

fn checksum(length: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// Reads records one by one, up to the first that is not whole.
#[derive(Debug)]
pub(crate) struct Records<R> {
    reader: R,
    payload: Vec<u8>,
    /// Where the last whole record ends.
    end: u64,
}

impl<R: std::io::Read> Records<R> {
    /// The records that `reader` gives, of which the first stands at `start`.
    pub(crate) fn new(reader: R, start: u64) -> Self {
        Self {
            reader,
            payload: Vec::new(),
            end: start,
        }
    }

    /// Where the records that were read end, in bytes.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The next record; `None` where the whole ones end.
    ///
    /// # Errors
    ///
    /// Those of the reader.
    pub(crate) fn next(&mut self) -> std::io::Result<Option<Record>> {
        use std::io::Read;
        self.payload.clear();
        if (&mut self.reader).take(FRAME as u64).read_to_end(&mut self.payload)? < FRAME {
            return Ok(None);
        }
        let number = |at: usize| self.payload[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
        let (length, sum) = (number(0), number(4));
        if length as usize > MAX_RECORD {
            return Ok(None);
        }
        self.payload.clear();
        // What is not there is not allocated.
        let read = (&mut self.reader).take(length.into()).read_to_end(&mut self.payload)?;
        if read < length as usize || checksum(length, &self.payload) != sum {
            return Ok(None);
        }
        let record = match postcard::take_from_bytes(&self.payload) {
            Ok((record, [])) => record,
            _ => return Ok(None),
        };
        self.end += FRAME as u64 + u64::from(length);
        Ok(Some(record))
    }
}

/// A `Vec<u8>` as one piece instead of byte by byte.
mod bytes_as_such {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        <&[u8]>::deserialize(deserializer).map(<[u8]>::to_vec)
    }
}

/// Reads any bytes as a journal: how many of them are whole records. For fuzzing.
#[doc(hidden)]
pub fn whole_records(bytes: &[u8]) -> (usize, u64) {
    let mut records = Records::new(bytes, 0);
    let mut count = 0;
    while let Ok(Some(_)) = records.next() {
        count += 1;
    }
    (count, records.end())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    fn entry(msn: u64, address: String, sha256: [u8; 32]) -> Record {
        Record::Entry(Entry {
            track: 1,
            msn,
            init: false,
            segments: 1,
            address,
            range: Some((msn, 7)),
            version: None,
            duration: Duration::from_millis(msn % 10_000),
            discontinuity_sequence: 3,
            encrypted: false,
            key: None,
            padded: msn % 2 == 1,
            listing: Listing::default(),
            fate: Fate::Written {
                offset: msn,
                length: 9,
                sha256,
            },
            cut: None,
            file: None,
        })
    }

    fn record() -> impl Strategy<Value = Record> {
        prop_oneof![
            (any::<u64>(), any::<String>(), any::<[u8; 32]>()).prop_map(|(msn, address, sha256)| entry(msn, address, sha256)),
            proptest::collection::vec(any::<u8>(), 0..2000).prop_map(Record::Checkpoint),
            any::<u64>().prop_map(Record::Synced),
            any::<u64>().prop_map(Record::Interrupted),
            (any::<String>(), any::<u64>()).prop_map(|(name, start)| Record::File { name, start }),
            (any::<u64>(), any::<u64>(), any::<[u8; 32]>()).prop_map(|(offset, length, sha256)| Record::Rest { offset, length, sha256 }),
            (any::<u64>(), any::<u64>()).prop_map(|(start, end)| Record::Patched { start, end }),
        ]
    }

    fn read(bytes: &[u8]) -> (Vec<Record>, u64) {
        let mut records = Records::new(bytes, 0);
        let found = std::iter::from_fn(|| records.next().unwrap()).collect();
        (found, records.end())
    }

    proptest! {
        #[test]
        fn records_come_back_and_a_torn_tail_is_cut_off(written in proptest::collection::vec(record(), 0..12), cut: usize) {
            let (mut bytes, mut ends) = (Vec::new(), vec![0]);
            for record in &written {
                prop_assert!(record.frame(&mut bytes));
                ends.push(bytes.len());
            }
            prop_assert_eq!(read(&bytes), (written.clone(), bytes.len() as u64));
            let cut = cut % (bytes.len() + 1);
            let whole = ends.iter().rposition(|end| *end <= cut).unwrap();
            prop_assert_eq!(read(&bytes[..cut]), (written[..whole].to_vec(), ends[whole] as u64));
            // Blocks that were allocated and never written are zero.
            bytes[cut..].fill(0);
            let (found, end) = read(&bytes);
            prop_assert!(written.starts_with(&found) && end >= ends[whole] as u64);
        }

        #[test]
        fn a_flipped_bit_ends_the_journal_before_its_record(written in proptest::collection::vec(record(), 1..6), bit: usize) {
            let (mut bytes, mut ends) = (Vec::new(), vec![0]);
            for record in &written {
                record.frame(&mut bytes);
                ends.push(bytes.len());
            }
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let whole = ends.iter().rposition(|end| *end <= bit / 8).unwrap();
            prop_assert_eq!(read(&bytes), (written[..whole].to_vec(), ends[whole] as u64));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            read(&bytes);
        }
    }

    #[test]
    fn units_are_told_apart_by_what_stays_and_not_by_what_expires() {
        type Change<'a> = &'a dyn Fn(&mut SegmentInfo);
        let info = |url: &str| {
            let resource = Resource::new(aqueduct_core::Kind::Segment, Url::parse(url).unwrap());
            SegmentInfo::new(TrackId::new(0), 7, Duration::from_secs(2), resource)
        };
        let fate = Fate::Written {
            offset: 0,
            length: 0,
            sha256: [0; 32],
        };
        let known = Entry::segment(&info("http://a.example/7.ts?sig=1"), fate.clone());
        let again = |change: Change<'_>| {
            let mut info = info("http://a.example/7.ts?sig=2");
            change(&mut info);
            known.difference(&Entry::segment(&info, fate.clone()))
        };
        assert_eq!(again(&|_| ()), None);
        let cases: [(Change<'_>, &str); 4] = [
            (&|info| info.msn = 8, "its number was 7 and is 8"),
            (&|info| info.duration = Duration::from_secs(3), "its duration was 2s and is 3s"),
            (
                &|info| info.resource.range = Some(ByteRange { offset: 1, length: 2 }),
                "its byte range was none and is 2@1",
            ),
            (
                &|info| info.discontinuity_sequence = 1,
                "its Discontinuity Sequence Number was 0 and is 1",
            ),
        ];
        for (change, expected) in cases {
            assert_eq!(again(change).as_deref(), Some(expected));
        }
        let elsewhere = Entry::segment(&info("http://a.example/8.ts"), fate);
        assert!(
            known
                .difference(&elsewhere)
                .unwrap()
                .starts_with("its address was http://a.example/7.ts")
        );
    }
}
