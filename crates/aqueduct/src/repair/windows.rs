//! Which units it takes to make damaged ones again, where the samples of all tracks lie in the order of time, or captions are read
//! from the pictures.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aqueduct_mux::{Replay, reads_captions};

use super::{Need, Needs, Tail};
use crate::verify::Judgement;
use crate::{FileReport, UnitDocument};

/// Each track shows itself and where it begins in so much of its media, in seconds: the head of a file waits for a second of it.
const OPENING: f64 = 1.5;
/// As many units make the beginning of a file at most.
const MOST_OPENING: usize = 256;
/// Segments of each track in front of a damaged one. A demuxer begins in the first of them; what waits in front of the damaged one, for
/// the other tracks, is of the last, or began in the one before.
const CONTEXT: usize = 2;
/// So many seconds in front, where there is text inside: a cue is written when it has ended and nothing goes on with it, captions may
/// wait for the next, and the other tracks wait for text.
const TEXT: f64 = 16.0;
/// As many in front of a missing one, where what they brought waited for the other tracks: each track has to show itself once more.
const WAITED: usize = 3;
/// As many may be fetched beside the damaged ones, however few there are in all.
const FEW: usize = 16;
/// As many units beside discontinuities are remembered at most.
const MOST_BESIDE: usize = 1 << 16;

/// Goes through the units of a report for what a [`Replay`] is given.
pub(super) struct Windows {
    /// Those up to where each track has shown itself and the file begins, with their tracks.
    opening: Vec<(u64, u32)>,
    /// Tracks that have not, and how much of each came, in seconds.
    awaited: BTreeMap<u32, f64>,
    /// The file has bytes by now: text may have the others wait for it.
    has_brought: bool,
    /// The beginning is over.
    is_open: bool,
    recent: BTreeMap<u32, VecDeque<Recent>>,
    /// The latest period.
    period: Option<u64>,
    /// The last units in front of each discontinuity, and the first behind it: they tell where the period is on the timeline.
    beside: Vec<(u64, u32)>,
    needs: Needs,
    /// What is made again around what is missing.
    filling: BTreeSet<u64>,
    /// All segments since the last [`CONTEXT`] of each track that brought something, with their tracks, and whether they did.
    front: VecDeque<(u64, u32, bool)>,
    /// The tracks of which nothing came behind what is missing. What comes first has more than it should: the others waited for it.
    lacking: BTreeSet<u32>,
    /// The tracks of which a segment is to be made again behind that, to show that it comes out as it is.
    behind: BTreeSet<u32>,
    /// The tracks, but for those of text.
    tracks: Vec<u32>,
    units: usize,
    /// How much of each track stands in front of a damaged segment at the least, in seconds.
    context: f64,
    /// Nothing stands behind the last one but samples.
    ends_with_samples: bool,
    /// Why nothing can be made again.
    refused: Option<&'static str>,
    /// Why nothing can be filled in.
    unfillable: Option<&'static str>,
}

/// A unit that came.
#[derive(Clone, Copy)]
struct Recent {
    number: u64,
    init: bool,
    seconds: f64,
}

impl Windows {
    /// Of a report of a file that is made again so; `None` of another.
    pub(super) fn of(report: &FileReport) -> Option<Self> {
        let output = report.output();
        let (form, container) = (output.form.as_deref()?, output.container.as_deref()?);
        if !Replay::makes(form, container) {
            return None;
        }
        // What tracks of text bring depends on the others.
        let tracks: Vec<u32> = output
            .tracks
            .iter()
            .filter(|track| track.kind != "subtitles")
            .map(|track| track.number)
            .collect();
        let ends_with_samples = Replay::ends_with_samples(form);
        Some(Self {
            opening: Vec::new(),
            awaited: tracks.iter().map(|track| (*track, 0.0)).collect(),
            has_brought: false,
            is_open: false,
            recent: BTreeMap::new(),
            period: None,
            beside: Vec::new(),
            needs: Needs::new(),
            filling: BTreeSet::new(),
            front: VecDeque::new(),
            lacking: BTreeSet::new(),
            behind: BTreeSet::new(),
            units: 0,
            context: if tracks.len() < output.tracks.len() || reads_captions(container) {
                TEXT
            } else {
                0.0
            },
            ends_with_samples,
            refused: None,
            // Nothing around them proves what they bring to a place that the file does not have.
            unfillable: if tracks.len() < output.tracks.len() {
                Some("subtitles are inside of it")
            } else {
                reads_captions(container).then_some("captions are inside of it")
            },
            tracks,
        })
    }

    /// Sees the next unit of the report.
    pub(super) fn see(&mut self, number: u64, unit: &UnitDocument, judgement: Judgement) {
        let Some(piece) = &unit.piece else {
            if unit.fate != "tagged" {
                self.miss(unit.track);
            }
            return;
        };
        if unit.init && piece.length > 0 {
            self.unfillable = Some("an initialization section brought samples");
        }
        if !self.behind.is_empty() {
            self.filling.insert(number);
        }
        if self.lacking.is_empty() && !unit.init {
            self.behind.remove(&unit.track);
        } else if !unit.init {
            self.lacking.remove(&unit.track);
        }
        let track = unit.track;
        self.units += 1;
        if !unit.init {
            self.front.push_back((number, track, piece.length > 0));
            while self.has_more_in_front() {
                self.front.pop_front();
            }
        }
        if !self.is_open {
            self.opening.push((number, track));
            if let Some(came) = self.awaited.get_mut(&track) {
                *came += unit.seconds;
            }
            self.awaited.retain(|_, came| *came < OPENING);
            self.has_brought |= piece.length > 0;
            self.is_open = self.awaited.is_empty() && self.has_brought;
            if self.opening.len() > MOST_OPENING {
                self.refused = Some("a track of it begins late");
                self.opening.clear();
            }
        }
        // Text has no place of its own on the timeline.
        if !unit.init && self.tracks.contains(&track) {
            let period = unit.discontinuity_sequence;
            let is_first = self.period.is_none();
            if self.period.is_none_or(|known| known < period) {
                self.period = Some(period);
                if !is_first {
                    self.border(number, track);
                }
            }
        }
        if judgement == Judgement::Damaged {
            for (number, track) in self.around(usize::MAX) {
                self.needs.entry(number).or_insert((Need::Context, track));
            }
            self.needs.insert(number, (Need::Damaged, track));
        }
        let recent = self.recent.entry(track).or_default();
        // Of several sections in a row the last is in force.
        recent.pop_back_if(|last| last.init && unit.init);
        recent.push_back(Recent {
            number,
            init: unit.init,
            seconds: if unit.init { 0.0 } else { unit.seconds },
        });
        // Sections stand in front of the first segment that needs them.
        while has_more(recent, self.context) {
            recent.pop_front();
        }
    }

    /// Segments that were on offer never came.
    fn miss(&mut self, track: u32) {
        if !self.is_open {
            self.unfillable = Some("they are where the file begins");
        }
        self.filling.extend(self.front.iter().map(|(number, ..)| *number));
        self.lacking.insert(track);
        self.behind.extend(&self.tracks);
    }

    /// Whether more segments are remembered than it takes to make again what comes next.
    fn has_more_in_front(&self) -> bool {
        let Some((_, track, _)) = self.front.front() else { return false };
        let own = self.front.iter().skip(1).filter(|(_, of, _)| of == track);
        let (all, brought) = own.fold((0, 0), |(all, had), (.., brought)| (all + 1, had + usize::from(*brought)));
        brought >= CONTEXT || all >= WAITED || self.front.len() > MOST_OPENING
    }

    fn border(&mut self, number: u64, track: u32) {
        let around = self.around(1).into_iter().filter(|(_, track)| self.tracks.contains(track));
        self.beside.extend(around);
        self.beside.push((number, track));
        if self.beside.len() > MOST_BESIDE {
            self.refused = Some("it has too many discontinuities");
            self.beside.clear();
        }
    }

    /// The last segments of each track, as many as `most`, and the sections between.
    fn around(&self, most: usize) -> Vec<(u64, u32)> {
        let mut around = Vec::new();
        for (track, recent) in &self.recent {
            let passed = recent.iter().filter(|unit| !unit.init).count().saturating_sub(most);
            let mut segments = 0;
            for unit in recent {
                segments += usize::from(!unit.init);
                if segments > passed || unit.init {
                    around.push((unit.number, *track));
                }
            }
        }
        around
    }

    /// What is made again where something is filled in; or why the whole stream is needed.
    pub(super) fn filling(&self) -> Result<BTreeSet<u64>, &'static str> {
        if let Some(why) = self.refused.or(self.unfillable) {
            return Err(why);
        }
        let mut filling = self.filling.clone();
        let last = filling.last().copied().unwrap_or(0);
        let beside = self.beside.iter().take_while(|(number, _)| *number < last);
        filling.extend(self.opening.iter().chain(beside).map(|(number, _)| *number));
        if is_most(filling.len(), self.units) {
            return Err(MOST);
        }
        Ok(filling)
    }

    /// What is needed; or why the whole stream is. Without damage nothing is. What stands behind the last unit may be damaged too.
    pub(super) fn needs(mut self, tail: Tail) -> Result<Needs, Option<&'static str>> {
        if tail == Tail::Damaged {
            if !self.ends_with_samples {
                return Err(None);
            }
            for (number, track) in self.around(usize::MAX) {
                self.needs.entry(number).or_insert((Need::Context, track));
            }
        }
        if self.needs.is_empty() {
            return Ok(Needs::new());
        }
        if let Some(refused) = self.refused {
            return Err(Some(refused));
        }
        let mut needs = self.needs;
        // What comes later tells nothing of them.
        let last = needs.last_key_value().map_or(0, |(number, _)| *number);
        let beside = self.beside.into_iter().take_while(|(number, _)| *number < last);
        for (number, track) in self.opening.into_iter().chain(beside) {
            needs.entry(number).or_insert((Need::Context, track));
        }
        let others = needs.values().filter(|(need, _)| *need == Need::Context).count();
        if is_most(others, self.units) {
            return Err(Some(MOST));
        }
        Ok(needs)
    }
}

/// Whether there are more than the last segments that matter.
fn has_more(recent: &VecDeque<Recent>, seconds: f64) -> bool {
    let segments = recent.iter().filter(|unit| !unit.init).count();
    let others: f64 = recent.iter().skip(1).map(|unit| unit.seconds).sum();
    segments > CONTEXT && others >= seconds || segments > MOST_OPENING
}

const MOST: &str = "it would take most of the stream";

/// Whether so many units beside those that are wanted are so much of a stream that the whole of it is not much more.
fn is_most(units: usize, all: usize) -> bool {
    units > FEW && units > all / 4 * 3
}
