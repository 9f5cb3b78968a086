//! Which units of a report are damaged or missing, and what making them again takes.

use std::collections::BTreeMap;

use aqueduct_mux::{Hls, Remaker};

use super::fill::Around;
use super::windows::Windows;
use super::{Lacks, Need, Needs};
use crate::padding::Seen;
use crate::verify::Judgement;
use crate::{FileReport, UnitDocument};

/// Goes through the units of a report for what is needed.
pub(super) struct Survey {
    pub(super) needs: Needs,
    pub(super) around: BTreeMap<u64, (u32, Around)>,
    pub(super) lacks: Lacks,
    pub(super) damaged: u64,
    /// Something that it has is right.
    pub(super) is_known: bool,
    pub(super) missing: u64,
    pub(super) cut: u64,
    /// That of the first segment, once there was one.
    pub(super) recorded: Option<Option<i64>>,
    pub(super) lanes: BTreeMap<u32, Lane>,
    /// Segments since the last that brought bytes: their place and track, and what they need in front.
    pub(super) held: Vec<(u64, u32, Option<u64>)>,
    /// Whether what a demuxer holds back matters.
    pub(super) context: bool,
    pub(super) subtitles: Vec<u32>,
    /// Of a file whose units are made again with those around them.
    pub(super) windows: Option<Windows>,
}

/// How far a track is.
#[derive(Default)]
pub(super) struct Lane {
    /// It has initialization sections. What is cut that way does not go on from one segment to the next.
    pub(super) sections: bool,
    /// How many segments it has, those that are missing included.
    pub(super) segments: u64,
    /// Nothing else is told of some of them: the report is of an earlier version, or the track was not live.
    pub(super) unlisted: bool,
    pub(super) last: Option<u64>,
    /// Something is missing behind that.
    pub(super) lacks: bool,
    pub(super) keys: Seen,
}

impl Survey {
    pub(super) fn of(report: &FileReport) -> Self {
        let output = report.output();
        let subtitles = output.tracks.iter().filter(|track| track.kind == "subtitles");
        let windows = Windows::of(report);
        let is_whole = matches!(output.form.as_deref(), Some(Remaker::CONCATENATION | Hls::CONTAINER));
        Self {
            needs: BTreeMap::new(),
            around: BTreeMap::new(),
            lacks: Lacks::default(),
            damaged: 0,
            is_known: false,
            missing: 0,
            cut: 0,
            recorded: None,
            lanes: BTreeMap::new(),
            held: Vec::new(),
            context: !is_whole && windows.is_none(),
            subtitles: subtitles.map(|track| track.number).collect(),
            windows,
        }
    }

    pub(super) fn see(&mut self, number: u64, unit: &UnitDocument, judgement: Judgement) {
        if let Some(windows) = &mut self.windows {
            windows.see(number, unit, judgement);
        }
        let lane = self.lanes.entry(unit.track).or_default();
        lane.segments = lane.segments.saturating_add(if unit.init { 0 } else { unit.segments });
        lane.unlisted |= unit.listing.is_none();
        if let Some(key) = &unit.key {
            let is_missing = unit.fate == "cut" || (unit.piece.is_none() && unit.fate != "tagged");
            lane.keys.see(key, unit.padded, is_missing);
        }
        if !unit.init {
            let date = || unit.listing.as_ref().and_then(|listing| listing.program_date_time);
            self.recorded.get_or_insert_with(date);
        }
        let Some(piece) = &unit.piece else {
            if unit.fate != "tagged" {
                self.missing = self.missing.saturating_add(unit.segments);
                self.lacks.segments.push((unit.track, unit.msn, unit.segments));
                self.lacks.first.get_or_insert(number);
                lane.lacks = lane.last.is_some();
                match lane.last {
                    Some(last) => self.around.entry(last).or_insert((unit.track, Around::Before)),
                    None => self.around.entry(number).or_insert((unit.track, Around::Unknown)),
                };
                self.need(number, Need::Missing, unit.track);
            }
            return;
        };
        if unit.fate == "cut" {
            // What is kept of it is not given up for nothing: it is none that the file lacks.
            self.cut += 1;
            self.missing = self.missing.saturating_add(1);
            self.lacks.first.get_or_insert(number);
        }
        let front = lane.last.filter(|_| self.context && !lane.sections);
        if unit.init {
            lane.sections = true;
        } else {
            lane.last = Some(number);
            if std::mem::take(&mut lane.lacks) {
                self.around.insert(number, (unit.track, Around::Behind));
            }
        }
        self.is_known |= judgement == Judgement::Proved && piece.length > 0;
        if judgement == Judgement::Damaged {
            self.damaged += 1;
            let alone = self.windows.is_none();
            let held = std::mem::take(&mut self.held).into_iter().chain([(number, unit.track, front)]);
            for (held, track, front) in held.filter(|_| alone) {
                self.need(held, if held == number { Need::Damaged } else { Need::Held }, track);
                if let Some(front) = front {
                    self.need(front, Need::Context, track);
                }
            }
        }
        if piece.length > 0 {
            self.held.clear();
        } else if self.context && !unit.init && !self.subtitles.contains(&unit.track) {
            self.held.push((number, unit.track, front));
        }
    }

    fn need(&mut self, number: u64, need: Need, track: u32) {
        let (known, _) = self.needs.entry(number).or_insert((need, track));
        *known = need.max(*known);
    }
}
