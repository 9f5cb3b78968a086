//! What a live playlist names no more: its report names it.
//!
//! What a unit is, the report tells: its number, its playing time, its place in the playlist, how it is encrypted. Where it is now,
//! its playlist tells as long as it names it, and the address in the report after that. A playlist that says something else than the
//! report is of another stream; a place where two segments stood in turn tells nothing. What never came has no digest: that its address
//! is still its own is shown by what was recorded in front of it (`proving.rs`).

mod naming;

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aqueduct_core::{Item, Kind, Presentation, Receiver, Resource, SafeUrl, SegmentInfo, Stop, Track, TrackId, channel};

use self::naming::Naming;
use super::Damage;
use super::matching::{Unit, behind, units};
use super::proving::{Evidence, Fronts};
use crate::counterparts::Counterparts;
use crate::resume::Beyond;
use crate::{Error, UnitDocument, VerifyError, folder};

const GONE: &str = "no playlist names it any more, and its report does not tell its whole address";
const NO_ADDRESS: &str = "what its report tells is no address";
const REUSED: &str = "no playlist names it any more, and something else stood at its address as well";
const NO_KEY: &str = "no playlist names its key any more, and its report does not tell the whole address of that";

/// What shows that what comes is what was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Its digest, whatever its playlist says.
    ByDigest,
    /// What its playlist says, as far as that names it or anything else that the report tells of; and of what is asked for at the
    /// address in the report, what was recorded in front of it.
    ByPlaylist(Evidence),
}

/// The most segments of a window that are looked through for an address.
const MOST_NAMED: u64 = 4096;

/// The most series of names of which the last segment is remembered.
const MOST_SERIES: usize = 8;

/// Names what a report tells of a track of which a live window may have moved on.
pub(super) struct Recall {
    track: TrackId,
    /// Where its playlist is.
    at: Option<Resource>,
    /// What led to that where nothing but the report tells of it.
    named_by: Option<SafeUrl>,
    units: Receiver<Unit>,
    /// Which units are asked for: for the others it does not matter where they are.
    is_wanted: Box<dyn Fn(u64) -> bool + Send + Sync>,
    shown: Shown,
    /// The place in the report of the first segment that never came: behind it digests show less.
    first_lacking: u64,
    /// What a segment brings depends on the one in front, unless it has an initialization section.
    context: bool,
    fronts: Fronts,
    /// How many segments its playlist names at once.
    window: u64,
    /// Its playlist grows: what is not named yet is waited for.
    live: bool,
    doubts: Doubts,
    /// The date ranges before each segment, by Media Sequence Number.
    tags: HashMap<u64, Arc<[String]>>,
    /// The user holds keys: addresses of others are none.
    has_keys: bool,
    counterparts: Counterparts,
}

/// What of a report does not tell which segment is meant.
#[derive(Debug, Default)]
struct Doubts {
    /// The server counted its segments anew in the middle.
    numbers: bool,
    /// The Media Sequence Number behind its last segment.
    ends: u64,
    /// Where one is missing, and another one stood as well: names come round again.
    places: HashSet<Place>,
}

/// An address, and a range of bytes there.
type Place = (String, Option<(u64, u64)>);

impl Damage {
    /// What names the units of a track; `None` where its playlist does. It blocks.
    pub(super) fn recall(
        &self,
        track: &Track,
        has_keys: bool,
        counterparts: Counterparts,
        shown: Shown,
        is_wanted: impl Fn(u64) -> bool + Send + Sync + 'static,
    ) -> Result<Option<Recall>, Error> {
        if !self.is_recalled(track) {
            return Ok(None);
        }
        let tags = if self.is_folder() {
            date_ranges(&self.file, self, track.id)?
        } else {
            HashMap::new()
        };
        let number = track.id.number();
        Ok(Some(Recall {
            track: track.id,
            at: track.url.clone().map(|url| Resource::new(Kind::Playlist, url)),
            named_by: self.led.clone(),
            units: units(&self.report, move |_, unit| unit.track == number),
            is_wanted: Box::new(is_wanted),
            shown,
            first_lacking: self.lacks.first.unwrap_or(u64::MAX),
            context: !self.is_concatenation() && !self.is_folder(),
            fronts: Fronts::default(),
            window: track.window,
            live: track.live,
            doubts: self.doubts(number).map_err(Error::Report)?,
            tags,
            has_keys,
            counterparts,
        }))
    }

    /// Whether the report tells where what is there of a track was, and its playlist may not name that any more.
    pub(super) fn is_recalled(&self, track: &Track) -> bool {
        self.is_alone || self.is_listed(track)
    }

    /// Whether the report tells of a track what its live window may not name any more.
    pub(super) fn is_listed(&self, track: &Track) -> bool {
        self.moves(track) && self.listed.get(&track.id.number()).copied().unwrap_or_default()
    }

    /// Whether the playlist of a track, which has ended, names all that a recording has that broke off, and how it went on.
    pub(super) fn goes_on(&self, track: &Track) -> bool {
        let broke_off = !matches!(self.report.document().outcome.as_str(), "whole" | "gaps");
        broke_off && !track.live && track.segments >= Some(self.segments(track.id))
    }

    /// These tracks of a presentation as they were when the file was begun: of those that are `meant`, what is recalled ends.
    pub(super) fn recalled(&self, presentation: &Presentation, lanes: &[Track], meant: impl Fn(&Track) -> bool) -> Presentation {
        let mut recalled = presentation.clone();
        recalled.tracks = lanes.to_vec();
        for track in recalled.tracks.iter_mut().filter(|track| self.is_recalled(track) && meant(track)) {
            track.segments = Some(self.segments(track.id));
            track.duration = None;
            track.live = false;
            recalled.recorded = self.recorded.and_then(time);
        }
        recalled
    }
}

impl Damage {
    /// Goes through the report of a track for what does not tell which segment is meant.
    fn doubts(&self, track: u32) -> Result<Doubts, VerifyError> {
        let (mut doubts, mut next) = (Doubts::default(), 0);
        let mut missing: HashMap<Place, u64> = HashMap::new();
        let had_place = |unit: &UnitDocument| unit.segments == 1 && !matches!(unit.fate.as_str(), "expired" | "tagged");
        self.report.units::<VerifyError>(|unit| {
            if unit.track == track && !unit.init {
                doubts.numbers |= unit.msn < next;
                next = behind(&unit);
                doubts.ends = doubts.ends.max(next);
                if unit.piece.is_none() && had_place(&unit) {
                    missing.insert((unit.address, unit.range), 0);
                }
            }
            Ok(true)
        })?;
        if missing.is_empty() {
            return Ok(doubts);
        }
        self.report.units::<VerifyError>(|unit| {
            if unit.track == track && !unit.init && had_place(&unit) {
                missing.entry((unit.address, unit.range)).and_modify(|stood| *stood += 1);
            }
            Ok(true)
        })?;
        doubts.places = missing
            .into_iter()
            .filter(|(_, stood)| *stood > 1)
            .map(|(place, _)| place)
            .collect();
        Ok(doubts)
    }
}

/// The date ranges in the playlist of a track in a folder, if that is as it was written.
fn date_ranges(path: &Path, damage: &Damage, track: TrackId) -> Result<HashMap<u64, Arc<[String]>>, Error> {
    let failed = |error: VerifyError| Error::Report(error);
    let mut own = None;
    damage
        .report
        .units::<VerifyError>(|unit| {
            own = unit.file.filter(|_| unit.track == track.number());
            Ok(own.is_none())
        })
        .map_err(failed)?;
    let Some(folder) = own.as_deref().and_then(|name| name.rsplit_once('/')) else {
        return Ok(HashMap::new());
    };
    let name = format!("{}/index.m3u8", folder.0);
    let rests = damage.report.output().rests.iter();
    let mut rests = rests.filter(|rest| rest.file == name);
    match rests.next() {
        Some(rest) if rest.offset == 0 => folder::date_ranges(path, rest).map_err(failed),
        _ => Ok(HashMap::new()),
    }
}

/// The address of a segment without its numbers. What has another is written over at another time, or never, such as an advertisement
/// from elsewhere.
fn series(info: &SegmentInfo) -> String {
    let url = info.resource.url.url();
    let name = url.path().replace(|letter: char| letter.is_ascii_digit(), "");
    url.origin().ascii_serialization() + &name
}

/// Where it is.
fn folder_of(info: &SegmentInfo) -> String {
    let url = info.resource.url.url();
    let folder = url.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    url.origin().ascii_serialization() + folder
}

/// Has `stage` take what is named of a track: by its playlist, or by its report. What fails there drains `all` first.
pub(super) async fn through<E>(
    recall: Option<Recall>,
    items: Receiver<Item<Resource>>,
    all: Stop,
    stage: impl FnOnce(Receiver<Item<Resource>>) -> E,
) -> Result<Beyond, Error>
where
    E: Future<Output = Result<Beyond, Error>>,
{
    let Some(recall) = recall else {
        return stage(items).await;
    };
    let (named, inlet) = channel(1);
    let recalling = async move {
        let recalled = Naming::new(recall, items).all(&named, &all).await;
        if recalled.is_err() {
            all.drain();
        }
        recalled
    };
    let (recalled, staged) = tokio::join!(recalling, stage(inlet));
    recalled.and(staged)
}

impl Recall {
    /// What is to be proved of what it names.
    pub(super) fn fronts(&self) -> Fronts {
        self.fronts.clone()
    }
}

fn time(unix_micros: i64) -> Option<SystemTime> {
    let distance = Duration::from_micros(unix_micros.unsigned_abs());
    if unix_micros < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}
