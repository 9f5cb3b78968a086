//! Which unit of a report an item is.

use aqueduct_core::{Item, Receiver, Resource, TrackId, channel};
use aqueduct_mux::{Entry, Fate, Listing};
use std::time::Duration;

use crate::counterparts::{self, Counterparts, WRITTEN};
use crate::{Error, FileReport, ReportError, UnitDocument, VerifyError};

/// Units that are read ahead.
const AHEAD: usize = 64;

/// A unit with its place in the report, or why the report cannot be read.
pub(super) type Unit = Result<(u64, UnitDocument), ReportError>;

/// Reads the units that `wanted` takes, on a thread of its own, as they are asked for.
pub(super) fn units(report: &FileReport, wanted: impl Fn(u64, &UnitDocument) -> bool + Send + 'static) -> Receiver<Unit> {
    let (outlet, inlet) = channel(AHEAD);
    let report = report.clone();
    tokio::task::spawn_blocking(move || {
        let mut number = 0;
        let read = report.units::<ReportError>(|unit| {
            let here = number;
            number += 1;
            Ok(!wanted(here, &unit) || outlet.send_blocking(Ok((here, unit))).is_ok())
        });
        if let Err(error) = read {
            // Without a reader there is nobody to tell.
            let _ = outlet.send_blocking(Err(error));
        }
    });
    inlet
}

/// Compares what a resolver names with the units of a report, one by one, by the rules of a run that is taken up.
pub(super) struct Matcher {
    track: TrackId,
    live: bool,
    units: Receiver<Unit>,
    next: Option<(u64, UnitDocument)>,
    /// Segments that were named.
    came: u64,
    /// The initialization section that was named last.
    section: Option<Item<Resource>>,
    counterparts: Counterparts,
}

/// What an item is.
pub(super) enum Matched {
    /// This unit of the report.
    Unit(u64, Box<UnitDocument>),
    /// It is one of several segments that this unit stands for, which never came.
    Within(u64),
    /// Nothing that the report tells of.
    New,
}

impl Matcher {
    pub(super) async fn new(report: &FileReport, track: TrackId, live: bool, counterparts: Counterparts) -> Result<Self, Error> {
        let mut matcher = Self {
            track,
            live,
            units: units(report, move |_, unit| unit.track == track.number()),
            next: None,
            came: 0,
            section: None,
            counterparts,
        };
        matcher.step().await?;
        Ok(matcher)
    }

    async fn step(&mut self) -> Result<(), Error> {
        self.next = match self.units.recv().await {
            Ok(unit) => Some(unit.map_err(|error| Error::Report(VerifyError::Report(error)))?),
            Err(_) => None,
        };
        Ok(())
    }

    /// What `item` is. What left a live window before it goes to `expired`.
    pub(super) async fn find(&mut self, item: &Item<Resource>, mut expired: impl FnMut(u64, &UnitDocument)) -> Result<Matched, Error> {
        let named = Entry {
            version: None,
            ..counterparts::entry(item)
        };
        if named.init {
            self.section = Some(item.clone());
        }
        let segments = match item {
            Item::Init { .. } => 0,
            Item::Segment { .. } => 1,
            Item::Gap { segments, .. } => *segments,
        };
        // How many a window leaps over is the server's claim.
        self.came = self.came.saturating_add(segments);
        while self.live
            && let Some((number, unit)) = self.next.as_ref().filter(|(_, unit)| behind(unit) <= named.msn)
        {
            expired(*number, unit);
            self.step().await?;
        }
        while !named.init && self.next_is_section_in_force(named.msn).await {
            self.step().await?;
        }
        let Some((number, unit)) = &self.next else {
            return Ok(Matched::New);
        };
        // A section that stands in front of what was a gap, or at the start of a live window.
        if named.init && !unit.init {
            return Ok(Matched::New);
        }
        if unit.init && !named.init {
            return Err(self.other(unit, "its initialization section is not where it was"));
        }
        // What it stands for may be had one by one now.
        let is_whole = (unit.msn, unit.segments) == (named.msn, named.segments);
        if unit.piece.is_none() && unit.segments > 1 && !is_whole && (unit.msn..behind(unit)).contains(&named.msn) {
            let number = *number;
            if named.last_msn().saturating_add(1) >= behind(unit) {
                self.step().await?;
            }
            return Ok(Matched::Within(number));
        }
        if let Some(what) = self.counterparts.difference(&entry(unit), &named, item).await {
            return Err(self.other(unit, &what));
        }
        let Some((number, unit)) = self.next.take() else {
            return Ok(Matched::New);
        };
        self.step().await?;
        Ok(Matched::Unit(number, Box::new(unit)))
    }

    /// Whether what comes next is the initialization section in force once more, from another pathway, and brought nothing.
    async fn next_is_section_in_force(&self, msn: u64) -> bool {
        match (&self.next, &self.section) {
            (Some((_, unit)), Some(section)) if unit.init && unit.msn <= msn && brought_nothing(unit) => {
                self.counterparts.is_section(&entry(unit), section, msn).await
            }
            _ => false,
        }
    }

    /// Nothing more is named: it has to be as many segments as were `expected`, where that is known, and the report at its end as well.
    pub(super) fn finish(&self, expected: Option<u64>) -> Result<(), Error> {
        if let Some(expected) = expected.filter(|expected| *expected != self.came) {
            let came = self.came;
            return Err(Error::Lost { came, expected });
        }
        match &self.next {
            Some((_, unit)) => Err(self.other(unit, "it is not in the playlist any more")),
            None => Ok(()),
        }
    }

    fn other(&self, unit: &UnitDocument, what: &str) -> Error {
        Error::OtherStream {
            what: format!("segment {} of {}: {what}", unit.msn, self.track),
        }
    }
}

fn brought_nothing(unit: &UnitDocument) -> bool {
    unit.piece.as_ref().is_some_and(|piece| piece.length == 0)
}

/// The Media Sequence Number behind what a unit stands for.
pub(super) fn behind(unit: &UnitDocument) -> u64 {
    unit.msn.saturating_add(unit.segments.max(1))
}

/// A unit of a report as one of a journal.
pub(super) fn entry(unit: &UnitDocument) -> Entry {
    Entry {
        track: unit.track,
        msn: unit.msn,
        init: unit.init,
        segments: unit.segments,
        address: unit.address.clone(),
        range: unit.range,
        version: None,
        duration: Duration::try_from_secs_f64(unit.seconds).unwrap_or_default(),
        discontinuity_sequence: unit.discontinuity_sequence,
        encrypted: unit.key.is_some(),
        key: unit.key.clone(),
        padded: unit.padded,
        listing: Listing {
            program_date_time: unit.listing.as_ref().and_then(|listing| listing.program_date_time),
            ..Listing::default()
        },
        fate: match &unit.piece {
            Some(_) => WRITTEN,
            None => Fate::Failed(String::new()),
        },
        cut: None,
        file: None,
    }
}
