//! Mending a finished file: what its report shows to be damaged or missing is fetched again, and nothing else.
//!
//! A damaged unit is made again, alone or with a few units of each track around it, and written in its place, once its new bytes have
//! the digest of the old ones: whatever happens meanwhile, what was right stays so (a kill in the middle of that leaves the unit damaged, as it was). A unit that never came is
//! filled in where the file is a concatenation or was made of samples: it moves what stands behind it, so the file is written anew beside
//! the old one, of which it takes the rest, and replaces it when it is whole. In a folder it gets a file of its own, and the playlists are made
//! again. Where neither helps, the whole stream is fetched again, of a file of a split its period, and the new file replaces the old one
//! when it is whole and lacks nothing that the old one has. What cannot be mended is named, with the reason.

mod by_report;
mod fill;
mod making;
mod matching;
mod mend;
mod merging;
mod playlists;
mod proving;
mod recall;
mod remake;
mod survey;
mod windows;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aqueduct_core::{Decrypt, Fetch, Mux, Presentation, Resolve, SafeUrl, Summary, Track, TrackId};
use aqueduct_mux::{Account, Mp4, OutputError, Remaker, SampleWriter, is_untold, part_paths, reads_captions};
use thiserror::Error;

pub use self::by_report::ByReport;
use self::fill::Around;
pub(crate) use self::playlists::Anew;
use self::survey::Survey;
use crate::lane::Stages;
use crate::padding::Padded;
use crate::parts::Parts;
use crate::reading::open_file;
use crate::verify::judge;
use crate::{
    Error, FileReport, Found, Piece, Pipeline, ReportError, RestDocument, TrackDocument, UnitDocument, VerifyError, folder, report_beside,
};

/// Why a repair did not come to its end. Messages read after "failed to repair".
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RepairError {
    /// The file or its report cannot be used.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// What is missing could not be fetched.
    #[error(transparent)]
    Run(#[from] Error),
    /// The file could not be written.
    #[error("{}: {action}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done, as a fragment: "cannot be opened".
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// What is fetched does not fit to what is there.
    #[error("{what}")]
    Unfit {
        /// Why.
        what: String,
    },
    /// What is needed besides what is missing cannot be had.
    #[error("{what}")]
    Lacking {
        /// What, and why.
        what: String,
    },
    /// Another process repairs it.
    #[error("{}: another process is at work on it", .path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
}

impl From<OutputError> for RepairError {
    fn from(error: OutputError) -> Self {
        match error {
            OutputError::Busy { path } => Self::Busy { path },
            OutputError::Io { path, action, source } => Self::Io { path, action, source },
            error => Self::Run(Error::Output(error)),
        }
    }
}

impl From<ReportError> for RepairError {
    fn from(error: ReportError) -> Self {
        Self::Verify(error.into())
    }
}

/// What a file lacks, by its report.
///
/// It takes a few bytes of memory for each unit that is damaged or missing, and none for the others.
#[derive(Debug)]
pub struct Damage {
    file: PathBuf,
    report: FileReport,
    needs: Arc<Needs>,
    /// What stands around what is missing, by its place among the units of the report, with its track.
    around: BTreeMap<u64, (u32, Around)>,
    lacks: Arc<Lacks>,
    /// What a track lacks lies under keys that the report shows to have all padded: those.
    padded: BTreeMap<u32, Padded>,
    damaged: u64,
    missing: u64,
    /// How many segments of each track the report tells of.
    segments: BTreeMap<u32, u64>,
    /// The tracks of which the report tells all that a live playlist may not name any more.
    listed: BTreeMap<u32, bool>,
    /// When the first segment was recorded, where it was of a live stream, in microseconds since 1970.
    recorded: Option<i64>,
    /// Those of the missing segments that are there in part.
    cut: u64,
    tail: Tail,
    again: Again,
    /// What is made again to fill in what is missing, where units are made again with those around them; or why it cannot be.
    filling: Option<Result<Arc<BTreeSet<u64>>, &'static str>>,
    length: u64,
    /// Its length when it was written.
    written: u64,
    /// It is one of the files of an output that was split.
    is_split: bool,
    /// Its period then, and how many files that has in front of it.
    part: Option<(u64, u32)>,
    /// There is no file.
    is_gone: bool,
    /// Nothing but the report tells of the stream.
    is_alone: bool,
    /// The address that led to the stream then: it counts as what names what the report does, which may be no nearer.
    led: Option<SafeUrl>,
    /// What stood behind the last unit.
    rest: Option<Piece>,
    /// Files of a folder that were appended to, and how long they were.
    longer: Vec<(String, u64)>,
}

/// The segments that a file lacks, though they were on offer.
#[derive(Debug, Default)]
struct Lacks {
    /// Track, first Media Sequence Number, and how many, in that order.
    segments: Vec<(u32, u64, u64)>,
    /// The place of the first among the units of the report.
    first: Option<u64>,
}

impl Lacks {
    /// Whether all of these are among them.
    fn have(&self, track: TrackId, msn: u64, segments: u64) -> bool {
        let (mut next, end) = (msn, msn.saturating_add(segments));
        while next < end {
            let behind = self
                .segments
                .partition_point(|(of, first, _)| (*of, *first) <= (track.number(), next));
            let known = behind.checked_sub(1).and_then(|at| self.segments.get(at));
            match known.map(|(of, first, count)| (*of, first.saturating_add(*count))) {
                Some((of, known)) if of == track.number() && known > next => next = known,
                _ => return false,
            }
        }
        true
    }
}

/// What a file is like once it is mended in place.
#[derive(Clone, Copy, Debug)]
struct State {
    /// All bytes that it has are right.
    is_right: bool,
    /// Some are not, and what makes them right cannot be had.
    is_obstructed: bool,
}

/// Why a unit is needed. The last is the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// What follows begins with its last access unit.
    Context,
    /// It brought nothing when it came: what it has stands with the next that did.
    Held,
    /// The file has other bytes.
    Damaged,
    /// The file has none.
    Missing,
}

/// What is needed of which track, by its place among the units of the report.
type Needs = BTreeMap<u64, (Need, u32)>;

/// How damaged units are made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// Each with the one in front of it, track by track.
    Alone,
    /// With those around them, of all tracks.
    Around,
    /// With the whole stream, for this reason; without one, as what stands behind the last unit is damaged too.
    Whole(Option<&'static str>),
}

/// What stands behind the last unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    Sound,
    Damaged,
}

/// What a repair came to.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Repaired {
    /// Units whose bytes are right again.
    pub mended: u64,
    /// Segments that were missing and are in the file now.
    pub filled: u64,
    /// Why the whole stream was fetched again, where the file was made anew of that, as fragments for people.
    pub remade: Found<String>,
    /// Segments of such a file that is not whole yet: the next repair goes on from there.
    pub waiting: u64,
    /// What is still not as it should be, and why, as fragments for people.
    pub left: Found<String>,
    /// The file unit by unit, where it was written anew.
    pub account: Option<Account>,
    /// What its muxer says, where it was made anew.
    pub summary: Option<Summary>,
    /// It was made anew to the end of its stream.
    pub(crate) to_its_end: bool,
    /// What is told anew of a folder that has more than it had.
    pub(crate) anew: Option<Anew>,
    /// What only the whole stream mends.
    whole: Found<String>,
}

impl Repaired {
    /// What a repair did whose new file at `file` has its name, and whose report was not written: it was killed, or could not
    /// write it. It blocks.
    ///
    /// # Errors
    ///
    /// [`RepairError::Busy`] where it is still at work, [`RepairError::Io`].
    pub fn untold(file: &Path) -> Result<Option<Self>, RepairError> {
        let account = Account::untold(file).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => RepairError::Busy { path: file.into() },
            _ => RepairError::Io {
                path: file.into(),
                action: "its journal cannot be read",
                source,
            },
        })?;
        Ok(account.map(|account| Self {
            account: Some(account),
            ..Self::default()
        }))
    }

    /// Leaves what [`untold`](Self::untold) needs: the report could not be written.
    pub fn keep(&mut self) {
        if let Some(account) = &mut self.account {
            account.keep();
        }
    }
}

impl Damage {
    /// Looks for what `file` lacks of what `report` says. It blocks.
    ///
    /// # Errors
    ///
    /// [`VerifyError`]. A report that does not account for every byte once is refused: it could lead to writing one segment
    /// over another.
    pub fn of(file: &Path, report: FileReport) -> Result<Self, VerifyError> {
        let mut survey = Survey::of(&report);
        let see = |number, unit: UnitDocument, judgement| {
            survey.see(number, &unit, judgement);
            Ok(())
        };
        let failed = |source| VerifyError::Io { path: file.into(), source };
        let mut is_gone = false;
        // What the report does not name was never there.
        let is_told = (report.names(file) || report.path() == report_beside(file)) && report.document().outcome != "failed";
        let is_folder = report.split(file).is_none() && folder::tells_of_files(&report);
        let is_lost = |error: &io::Error| error.kind() == io::ErrorKind::NotFound && is_told;
        let (judged, length) = if file.is_dir() {
            if !folder::tells_of_files(&report) {
                let path = report.path().into();
                return Err(ReportError::NoFiles { path }.into());
            }
            // Each file has a length of its own.
            (folder::judge(file, &report, see)?.0, report.output().bytes)
        } else {
            match open_file(file) {
                // Each of its files proves itself, wherever the others are.
                Err(error) if is_lost(&error) && is_folder => (folder::judge(file, &report, see)?.0, report.output().bytes),
                Err(error) if is_lost(&error) => {
                    is_gone = true;
                    (judge(&mut io::empty(), 0, file, &report, see)?, 0)
                }
                opened => {
                    let mut opened = opened.map_err(failed)?;
                    let length = opened.metadata().map_err(failed)?.len();
                    (judge(&mut opened, length, file, &report, see)?, length)
                }
            }
        };
        // What is of no track would be of no lane either, and left out of a file that is written anew.
        let is_track = |track: &u32| report.output().tracks.iter().any(|known| known.number == *track);
        if judged.contradictory || !survey.lanes.keys().all(is_track) {
            let path = report.path().into();
            return Err(ReportError::Contradictory { path }.into());
        }
        // It may be a film of its own.
        if !is_gone && file.exists() && survey.damaged > 0 && !survey.is_known && !report.names(file) {
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
            return Err(ReportError::OtherFile {
                path: report.path().into(),
                file: name.unwrap_or_default(),
            }
            .into());
        }
        let Survey {
            mut needs,
            damaged,
            missing,
            cut,
            recorded,
            lanes,
            context,
            around,
            mut lacks,
            windows,
            ..
        } = survey;
        let filling = windows.as_ref().map(|windows| windows.filling().map(Arc::new));
        let tail = if judged.tail { Tail::Sound } else { Tail::Damaged };
        let again = match windows.map(|windows| windows.needs(tail)) {
            None => Again::Alone,
            Some(Err(why)) => Again::Whole(why),
            Some(Ok(around)) => {
                for (number, need) in around {
                    let known = needs.entry(number).or_insert(need);
                    *known = need.max(*known);
                }
                Again::Around
            }
        };
        lacks.segments.sort_unstable();
        let split = report.split(file).map(str::to_owned);
        let part = match &split {
            Some(own) => Parts::of_report(&report)?.place(own),
            None => None,
        };
        let output = report.output();
        let (written, rest) = match &split {
            Some(own) => (
                judged.end,
                output.rests.iter().find(|rest| rest.file == *own).map(RestDocument::piece),
            ),
            None => (output.bytes, output.tail.clone()),
        };
        // What a demuxer held to the end stands behind the last unit.
        if !judged.tail && context {
            for (track, lane) in lanes.iter().filter(|(_, lane)| !lane.sections) {
                if let Some(last) = lane.last {
                    needs.entry(last).or_insert((Need::Context, *track));
                }
            }
        }
        Ok(Self {
            file: file.into(),
            tail,
            again,
            filling,
            report,
            needs: Arc::new(needs),
            around,
            lacks: Arc::new(lacks),
            longer: judged.longer,
            written,
            is_split: split.is_some(),
            part,
            is_gone,
            is_alone: false,
            led: None,
            rest,
            damaged,
            missing,
            listed: lanes.iter().map(|(track, lane)| (*track, !lane.unlisted)).collect(),
            segments: lanes.iter().map(|(track, lane)| (*track, lane.segments)).collect(),
            padded: lanes.into_iter().map(|(track, lane)| (track, lane.keys.padded())).collect(),
            recorded: recorded.flatten(),
            cut,
            length,
        })
    }

    /// The report.
    pub fn report(&self) -> &FileReport {
        &self.report
    }

    /// Whether every byte is as it was written, and nothing is missing.
    pub fn is_none(&self) -> bool {
        self.is_sound() && self.missing == 0
    }

    /// Whether something has to be fetched.
    pub fn needs_fetching(&self) -> bool {
        !self.needs.is_empty() || self.cut > 0 || self.tail == Tail::Damaged || matches!(self.again, Again::Whole(_))
    }

    /// Whether it lacks segments and is as it was otherwise.
    fn is_sound(&self) -> bool {
        self.damaged == 0 && self.tail == Tail::Sound && self.length == self.written && self.longer.is_empty()
    }

    fn is_folder(&self) -> bool {
        !self.is_split && folder::tells_of_files(&self.report)
    }

    /// Units whose bytes are others, and segments that were on offer and never came.
    pub fn counts(&self) -> (u64, u64) {
        (self.damaged, self.missing)
    }

    fn is_concatenation(&self) -> bool {
        self.report.output().form.as_deref() == Some(Remaker::CONCATENATION)
    }

    /// Whether it is an MP4 whose samples depend on nothing but their segments.
    fn is_mp4(&self) -> bool {
        let output = self.report.output();
        output.form.as_deref() == Some(Mp4::CONTAINER) && !reads_captions(output.container.as_deref().unwrap_or_default())
    }

    /// What makes units of a track again, if anything can.
    fn remaker(&self, presentation: &Presentation) -> Option<Remaker> {
        let output = self.report.output();
        Remaker::new(
            output.form.as_deref()?,
            output.container.as_deref().unwrap_or_default(),
            presentation,
        )
    }

    /// Refuses another stream than that of the report.
    fn check_tracks(&self, presentation: &Presentation) -> Result<(), Error> {
        for track in &self.report.output().tracks {
            let named = |kind: &str, name: &str, language: Option<&str>| {
                let language = language.map(|language| format!(" in {language}")).unwrap_or_default();
                format!("{kind} {name:?}{language}")
            };
            let was = named(&track.kind, &track.name, track.language.as_deref());
            let number = track.number;
            let found = presentation.tracks.iter().find(|found| found.id == TrackId::new(number));
            let is = found.map(|found| named(&found.kind.to_string(), &found.name, found.language.as_deref()));
            if is.as_ref() != Some(&was) {
                let is = is.unwrap_or_else(|| "not there".into());
                return Err(Error::OtherStream {
                    what: format!("track {number} was {was} and is {is}"),
                });
            }
        }
        Ok(())
    }

    /// Names what a folder does not get in a repair: playlists, unless all `playlists` are there, and what is missing, where `why` it is
    /// not asked for.
    fn refuse(&self, playlists: bool, why: Option<&str>, repaired: &mut Repaired) {
        let again = "only the whole stream makes it whole, fetched again under another name";
        for what in std::mem::take(&mut repaired.whole).first {
            repaired.left.add(format!("{what}: {again}"));
        }
        if let Some(why) = why.filter(|_| self.missing > 0) {
            repaired.left.add(format!("missing segments: {}: {why}", self.missing));
        }
        if !playlists {
            let what = "a playlist is damaged or gone, and the stream as it is now does not make what it was";
            repaired.left.add(format!("{what}: {again}"));
        }
    }

    /// Whether a live window moved, or moves, over a track: its playlist need not name all that the file has.
    fn moves(&self, track: &Track) -> bool {
        let was_live = |known: &TrackDocument| known.number == track.id.number() && known.live;
        track.live || self.report.output().tracks.iter().any(was_live)
    }

    /// How many segments of a track the report tells of.
    fn segments(&self, track: TrackId) -> u64 {
        self.segments.get(&track.number()).copied().unwrap_or_default()
    }

    /// Tells the lanes what the report shows of the padding of what is missing.
    fn expect_padding<R: Resolve, F: Fetch, D: Decrypt>(&self, stages: &mut Stages<R, F, D>) {
        for (track, padded) in &self.padded {
            stages.expect_padding(TrackId::new(*track), padded.clone());
        }
    }

    /// The lanes from which something is needed.
    fn is_lane(&self, track: TrackId) -> bool {
        self.report.output().tracks.iter().any(|known| known.number == track.number())
    }
}

/// Why what is missing is not asked for where nothing but the report tells of the stream.
const UNTOLD: &str = "its playlist cannot be had any more, and its report does not tell what its playlist told of it";

impl<R: Resolve, F: Fetch, D: Decrypt, M: Mux> Pipeline<R, F, D, M> {
    /// Mends a file with what `presentation` has of it: in place where that can be, or by making it anew of the whole stream.
    /// The muxer of the pipeline is not asked: what the file is, its report says.
    ///
    /// # Errors
    ///
    /// [`RepairError`]. What was mended until then stays.
    pub async fn repair(&self, presentation: &Presentation, damage: &Damage) -> Result<Repaired, RepairError> {
        // What is right by the newer bytes is damage by the older report.
        if is_untold(&damage.file) {
            let journal = part_paths(&damage.file).1;
            return Err(RepairError::Unfit {
                what: format!(
                    "{} says that a run which gave the file its name was killed before it told of it, so that the report may be older \
                     than the file: fetch it again with --overwrite, or remove that journal if the report is right",
                    journal.display()
                ),
            });
        }
        if damage.needs_fetching() {
            damage.check_tracks(presentation)?;
        }
        let mut repaired = Repaired::default();
        self.mend(presentation, damage, &mut repaired).await?;
        if damage.cut > 0 {
            repaired.whole.add(format!("segments that are there in part: {}", damage.cut));
        }
        if damage.is_folder() {
            let (playlists, why) = self.complete_folder(presentation, damage, &mut repaired).await?;
            damage.refuse(playlists, why, &mut repaired);
            return Ok(repaired);
        }
        let state = State {
            is_right: repaired.left.is_empty() && repaired.whole.is_empty(),
            is_obstructed: !repaired.left.is_empty(),
        };
        if damage.is_split {
            if damage.missing > damage.cut {
                repaired.whole.add(format!("missing segments: {}", damage.missing - damage.cut));
            }
        } else if damage.missing > 0 {
            self.fill(presentation, damage, &mut repaired).await?;
        }
        if !repaired.whole.is_empty() {
            self.remake(presentation, damage, state, &mut repaired).await?;
        }
        Ok(repaired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_lacks_is_known_by_its_numbers() {
        let lacks = Lacks {
            segments: vec![(0, 3, 1), (0, 4, 1), (0, 5, 10), (1, 2, 1), (1, u64::MAX, 9)],
            first: Some(3),
        };
        for (track, msn, segments, expected) in [
            (0, 3, 1, true),
            (0, 3, 12, true),
            (0, 14, 1, true),
            (0, 3, 13, false),
            (0, 2, 1, false),
            (0, 15, 1, false),
            (1, 2, 1, true),
            (1, 3, 1, false),
            (2, 3, 1, false),
            (1, u64::MAX, u64::MAX, true),
        ] {
            assert_eq!(
                lacks.have(TrackId::new(track), msn, segments),
                expected,
                "{segments} from {msn} of {track}"
            );
        }
    }
}
