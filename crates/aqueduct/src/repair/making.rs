//! What makes the bytes of units again, of what their lanes bring.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use aqueduct_core::{Clear, Item, Presentation, Track, TrackId, TrackKind};
use aqueduct_mux::{MuxError, Remaker, Replay};

use super::mend::{Why, named};
use super::{Again, Damage, Need};
use crate::{Error, UnitDocument, VerifyError};

/// The most that is read of what stands behind the last unit, in bytes: an index has half of that at most.
const MOST_TAIL: u64 = 4 << 20;

pub(super) const BEHIND: &str = "what stands behind the last segment, such as the index, is damaged";

/// What makes units again.
pub(super) enum Maker {
    Alone(Alone),
    Around(Box<Around>),
}

/// What was made of a unit.
#[derive(Default)]
pub(super) struct Made {
    /// The bytes that it brings.
    pub(super) bytes: Vec<u8>,
    /// How many of them, in front, are the head of the file.
    pub(super) head: usize,
    /// What the initialization section in front of it brings, where another one is in force.
    pub(super) section: Option<Vec<u8>>,
}

/// Makes those of each track by themselves.
pub(super) struct Alone {
    remakers: HashMap<u32, Remaker>,
    /// The segment of each track that was made last.
    last: HashMap<u32, u64>,
}

/// Makes them with those around them, of all tracks.
pub(super) struct Around {
    replay: Replay,
    lanes: HashMap<u32, Passed>,
    /// A unit without which nothing can be made.
    lost: Option<String>,
    /// Units were passed over.
    has_passed: bool,
    /// What its writer counts is known, or it counts nothing, since units were passed over last.
    is_counted: bool,
    /// It does count something.
    counts: bool,
}

/// What of a track is not given to the [`Replay`].
#[derive(Default)]
struct Passed {
    /// Units since the last that was given, and how long they are, in seconds.
    units: u64,
    seconds: f64,
    period: u64,
    /// One that is needed in front of what comes next, and cannot be had.
    lost: Option<String>,
}

impl Damage {
    /// What makes units again; or why only the whole stream helps. It blocks.
    pub(super) fn maker(&self, presentation: &Presentation, has_keys: bool) -> Result<Result<Maker, String>, Error> {
        let output = self.report.output();
        let whole = |why: &str| Ok(Err(format!("damaged segments: {}: {why}", self.damaged)));
        let lanes: Vec<Track> = presentation.tracks.iter().filter(|track| self.is_lane(track.id)).cloned().collect();
        let streamed = |track: &Track| track.kind == TrackKind::File && (track.segments.is_none() || has_keys);
        if lanes.iter().any(streamed) {
            let what = "it came as one stream, or was decrypted as one, of which no part can be made again";
            return Ok(Err(what.into()));
        }
        let form = output.form.as_deref().unwrap_or("a container that its report does not name");
        let depends = format!("in {form} each depends on all that came before");
        match self.again {
            Again::Whole(Some(why)) => whole(why),
            Again::Whole(None) => Ok(Err(BEHIND.into())),
            Again::Alone => {
                let mut remakers = HashMap::new();
                for track in lanes {
                    let Some(remaker) = self.remaker(presentation) else {
                        return whole(&depends);
                    };
                    remakers.insert(track.id.number(), remaker);
                }
                Ok(Ok(Maker::Alone(Alone {
                    remakers,
                    last: HashMap::new(),
                })))
            }
            Again::Around => {
                let Ok(Some(mut replay)) = self.replay(presentation, &lanes) else {
                    return whole(&depends);
                };
                replay.see_tail(self.read_tail()?);
                Ok(Ok(Maker::Around(Box::new(Around {
                    replay,
                    lanes: HashMap::new(),
                    lost: None,
                    has_passed: false,
                    is_counted: true,
                    counts: Replay::ends_with_samples(form),
                }))))
            }
        }
    }

    /// What makes units again with those around them; `None` where nothing does.
    pub(super) fn replay(&self, presentation: &Presentation, lanes: &[Track]) -> Result<Option<Replay>, MuxError> {
        let output = self.report.output();
        let own = self.recalled(presentation, lanes, |track| !self.goes_on(track));
        let form = output.form.as_deref().unwrap_or_default();
        Replay::new(form, output.container.as_deref().unwrap_or_default(), &own)
    }

    /// What stands behind the last unit.
    fn read_tail(&self) -> Result<Vec<u8>, Error> {
        let (mut bytes, Some(tail)) = (Vec::new(), &self.rest) else {
            return Ok(Vec::new());
        };
        let read = std::fs::File::open(&self.file).and_then(|mut file| {
            file.seek(SeekFrom::Start(tail.offset))?;
            file.take(tail.length.min(MOST_TAIL)).read_to_end(&mut bytes)
        });
        match read {
            Ok(_) => Ok(bytes),
            Err(source) => Err(Error::Report(VerifyError::Io {
                path: self.file.clone(),
                source,
            })),
        }
    }
}

impl Maker {
    /// A unit of the report is not needed.
    pub(super) fn pass(&mut self, unit: &UnitDocument) {
        if let Self::Around(around) = self {
            around.pass(unit);
        }
    }

    /// How many bytes in front of a unit of the file tell how to make it.
    pub(super) fn front(&self) -> u64 {
        match self {
            Self::Around(around) if !around.is_counted => Replay::FRONT,
            Self::Alone(_) | Self::Around(_) => 0,
        }
    }

    /// Has a unit made again, which stands behind `front`, of what `recv` gives of its track, one after the other.
    pub(super) fn make(
        &mut self,
        need: Need,
        unit: &UnitDocument,
        front: &[u8],
        recv: impl Fn() -> Result<Item<Clear>, String>,
    ) -> Result<Made, Why> {
        match self {
            Self::Alone(alone) => alone.make(unit, recv),
            Self::Around(around) => match around.make(unit, front, recv) {
                // What needs it tells.
                Err(_) if need == Need::Context => Ok(Made::default()),
                made => made,
            },
        }
    }

    /// What the units that were made bring when no other follows, behind `front`.
    pub(super) fn rest(&mut self, front: &[u8]) -> Vec<u8> {
        let alone = match self {
            Self::Alone(alone) => alone,
            Self::Around(around) => {
                around.replay.go_on_behind(front);
                return around.replay.finish().unwrap_or_default();
            }
        };
        let mut tracks: Vec<u32> = alone.remakers.keys().copied().collect();
        tracks.sort_unstable();
        let rest = |track| alone.remakers.get_mut(&track).and_then(|remaker| remaker.rest().ok());
        tracks.into_iter().filter_map(rest).flatten().collect()
    }

    /// Why what was made does not make a place what it was.
    pub(super) fn differs(&self) -> Why {
        match self {
            Self::Alone(_) => Why::Lacking("what is fetched now does not make the bytes that it had".into()),
            Self::Around(_) => Why::Whole("the segments around it do not make the bytes that it had".into()),
        }
    }
}

impl Alone {
    fn make(&mut self, unit: &UnitDocument, recv: impl Fn() -> Result<Item<Clear>, String>) -> Result<Made, Why> {
        let mut made = Made::default();
        let Some(remaker) = self.remakers.get_mut(&unit.track) else {
            return Err(Why::Lacking("its track is not there".into()));
        };
        loop {
            let item = recv().map_err(Why::Lacking)?;
            let (section, follows) = match &item {
                Item::Segment { info, .. } => {
                    let last = self.last.insert(unit.track, info.msn);
                    (false, last.is_none_or(|last| last.checked_add(1) == Some(info.msn)))
                }
                _ => (true, true),
            };
            let failed = |error: MuxError| Why::Lacking(error.to_string());
            if !follows {
                remaker.forget().map_err(failed)?;
            }
            let bytes = remaker.push(TrackId::new(unit.track), item).map_err(failed)?;
            if section {
                made.section = Some(bytes.clone());
            }
            if section == unit.init {
                made.bytes = bytes;
                return Ok(made);
            }
        }
    }
}

impl Around {
    fn pass(&mut self, unit: &UnitDocument) {
        let lane = self.lanes.entry(unit.track).or_default();
        let seconds = if unit.init { 0.0 } else { unit.seconds * exact(unit.segments) };
        if unit.piece.is_none() && lane.units == 0 {
            // It was missing behind what is given.
            let gap = Duration::try_from_secs_f64(seconds).unwrap_or_default();
            let told = self.replay.gap(TrackId::new(unit.track), unit.discontinuity_sequence, gap);
            lane.lost = lane.lost.take().or(told.err().map(|error| error.to_string()));
            return;
        }
        lane.units += 1;
        lane.seconds += seconds;
        lane.period = unit.discontinuity_sequence.max(lane.period);
    }

    /// Has the track go on behind what was passed over.
    fn skip(&mut self, track: u32) -> Result<(), Why> {
        let Some(lane) = self.lanes.get_mut(&track).filter(|lane| lane.units > 0) else {
            return Ok(());
        };
        let passed = std::mem::take(lane);
        self.has_passed = true;
        self.is_counted = !self.counts;
        let duration = Duration::try_from_secs_f64(passed.seconds).unwrap_or_default();
        self.replay.skip(TrackId::new(track), passed.period, duration).map_err(refused)
    }

    fn make(&mut self, unit: &UnitDocument, front: &[u8], recv: impl Fn() -> Result<Item<Clear>, String>) -> Result<Made, Why> {
        let made = self.skip(unit.track).and_then(|()| self.push(unit, front, recv));
        let lanes = self.lanes.values().filter_map(|lane| lane.lost.as_ref());
        let lost = self.lost.iter().chain(lanes).next().cloned();
        match (made, lost) {
            (Ok(_), Some(lost)) => Err(Why::Lacking(lost)),
            (Err(Why::Lacking(why)), _) => {
                let what = named(unit, &why);
                if self.has_passed {
                    self.lanes.entry(unit.track).or_default().lost.get_or_insert(what);
                } else {
                    self.lost.get_or_insert(what);
                }
                Err(Why::Lacking(why))
            }
            (made, _) => made,
        }
    }

    fn push(&mut self, unit: &UnitDocument, front: &[u8], recv: impl Fn() -> Result<Item<Clear>, String>) -> Result<Made, Why> {
        if !front.is_empty() {
            self.replay.go_on_behind(front);
            self.is_counted = true;
        }
        loop {
            let item = recv().map_err(Why::Lacking)?;
            let section = matches!(item, Item::Init { .. });
            let offset = unit.piece.as_ref().map(|piece| piece.offset);
            let made = self.replay.push(TrackId::new(unit.track), item, offset).map_err(refused)?;
            if section == unit.init {
                return Ok(Made {
                    bytes: made.bytes,
                    head: made.head,
                    section: None,
                });
            }
        }
    }
}

/// Why what came is refused: by itself, or because it stands behind something else than it did.
fn refused(error: MuxError) -> Why {
    match error {
        MuxError::NotWhole { .. } => Why::Lacking(error.to_string()),
        error => Why::Whole(error.to_string()),
    }
}

/// As a number of seconds may be multiplied by it.
#[expect(clippy::cast_precision_loss, reason = "a server's claim, of which an hour counts")]
fn exact(segments: u64) -> f64 {
    segments as f64
}
