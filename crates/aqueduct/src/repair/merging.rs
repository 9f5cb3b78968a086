//! Putting what is fetched between what a file has: the units of the new file, in their order.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use aqueduct_core::{Clear, GapCause, Item, MuxError, Receiver, Resource, Sealed, SegmentInfo, Sender, Stop, TrackId};
use aqueduct_mux::{Intake, RefillLane, SpliceLane};
use sha2::{Digest, Sha256};

use super::RepairError;
use super::fill::{Around, Plan, UNKNOWN, unfit};
use super::matching::{Matched, Matcher};
use crate::resume::Beyond;
use crate::verify::hex;
use crate::{Error, Piece, UnitDocument, VerifyError};

/// The next unit of the new file.
pub(super) enum Step {
    /// It is in the old one.
    Known(Item<Resource>, Had),
    /// So it is, and it is on its way as well.
    Both(Item<Resource>, Had, Around),
    /// It is on its way.
    Fetched,
    /// It is left out.
    Left(Item<Resource>),
}

/// What a file has of a unit.
pub(super) struct Had {
    piece: Piece,
    /// It was seen to be padded.
    padded: bool,
}

/// The stage that has fetched what the file lacks, and tells in which order that and the rest come.
pub(super) async fn tell_apart(
    mut matcher: Matcher,
    plan: Plan,
    expected: Option<u64>,
    items: Receiver<Item<Resource>>,
    outlet: Sender<Item<Resource>>,
    steps: Sender<Step>,
    stop: Stop,
) -> Result<Beyond, Error> {
    while let Ok(item) = items.recv().await {
        let (place, had) = match matcher.find(&item, |_, _| {}).await? {
            Matched::Unit(number, unit) => {
                let UnitDocument { piece, padded, .. } = *unit;
                (Some(number), piece.map(|piece| Had { piece, padded }))
            }
            Matched::Within(_) | Matched::New => (None, None),
        };
        let around = place.and_then(|number| plan.around.get(&number).copied());
        let is_section = matches!(item, Item::Init { .. });
        let refused = match around {
            Some(Around::Unknown) => Some(UNKNOWN),
            _ => plan.refused,
        };
        let (step, fetched) = match (had, around) {
            (Some(_), _) if is_section && plan.sections && plan.refused.is_none() => (Step::Fetched, Some(item)),
            (Some(had), Some(around)) if plan.refused.is_none() => (Step::Both(item.clone(), had, around), Some(item)),
            (Some(had), _) => (Step::Known(item, had), None),
            (None, _) => match (refused, left(&item, refused.unwrap_or_default())) {
                (Some(_), Some(left)) => (Step::Left(left), None),
                _ => (Step::Fetched, Some(item)),
            },
        };
        // First to the fetcher: whoever takes the step waits for what it brings.
        if let Some(item) = fetched
            && outlet.send(item).await.is_err()
        {
            return Ok(Beyond::default());
        }
        if steps.send(step).await.is_err() {
            return Ok(Beyond::default());
        }
    }
    // A resolver that was stopped, or that failed, says so itself.
    if stop.is_draining() {
        return Ok(Beyond::default());
    }
    matcher.finish(expected).map(|()| Beyond::default())
}

/// A segment as one that stays missing.
fn left(item: &Item<Resource>, why: &str) -> Option<Item<Resource>> {
    let Item::Segment { info, .. } = item else { return None };
    Some(Item::Gap {
        info: Arc::clone(info),
        segments: 1,
        cause: GapCause::Failed(why.to_owned()),
    })
}

/// Puts what is fetched between what is there.
pub(super) struct Merging {
    pub(super) old: Old,
    pub(super) steps: Receiver<Step>,
    pub(super) fetched: Receiver<Item<Clear>>,
    pub(super) weave: Weave,
    /// What of that is taken; `None` where it may be anything.
    pub(super) intake: Option<Intake>,
    /// Where the last unit of the file ends.
    pub(super) tail: u64,
}

/// What the units of a track become.
pub(super) enum Weave {
    /// Their bytes, one behind the other, are the file.
    Bytes,
    /// Their samples, each at its time, are an MP4.
    Samples(Box<RefillLane>),
    /// What a muxer makes of them with those around them, of all tracks.
    Spliced(SpliceLane),
}

impl Weave {
    /// The track that it is of, if it is of one.
    pub(super) fn track(&self) -> Option<TrackId> {
        match self {
            Self::Bytes => None,
            Self::Samples(refill) => refill.track(),
            Self::Spliced(splice) => Some(splice.track()),
        }
    }
}

impl Merging {
    /// Gives how many segments came that were missing.
    pub(super) fn run(mut self, outlet: &Sender<Item<Clear>>) -> Result<u64, RepairError> {
        let (mut filled, mut before) = (0, 0);
        // Why what tells when the next segment plays cannot be had.
        let mut lost: Option<GapCause> = None;
        while let Ok(step) = self.steps.recv_blocking() {
            let item = match step {
                Step::Known(item, had) => self.known(item, &had)?,
                Step::Both(item, had, around) => {
                    let replaced = around == Around::Behind && filled > before;
                    before = filled;
                    lost = None;
                    match self.fetch()? {
                        fetched @ Item::Segment { .. } if around == Around::Within => {
                            let bytes = self.old.read(&had.piece)?;
                            if let Weave::Spliced(splice) = &mut self.weave {
                                splice.make(fetched, Some((had.piece.offset, bytes)));
                            }
                            with(item, &[], had.padded)
                        }
                        // Behind what was filled in it is another than it was.
                        fetched @ Item::Segment { .. } if replaced => {
                            let bytes = self.old.read(&had.piece)?;
                            self.refill(|refill| refill.replace(had.piece.offset, &bytes, fetched))?;
                            with(item, &[], had.padded)
                        }
                        fetched @ Item::Segment { .. } => {
                            let item = self.known(item, &had)?;
                            self.refill(|refill| refill.context(fetched))?;
                            item
                        }
                        // What is made again is made of all that is around it, of all tracks.
                        Item::Gap { cause, .. } if around == Around::Within => {
                            return Err(RepairError::Lacking {
                                what: format!("the segments around them are needed as well: {cause}"),
                            });
                        }
                        Item::Gap { cause, .. } if replaced => {
                            return Err(RepairError::Lacking {
                                what: format!("the segment behind them is needed as well: {cause}"),
                            });
                        }
                        Item::Gap { cause, .. } => {
                            lost = Some(cause);
                            self.known(item, &had)?
                        }
                        Item::Init { .. } => return Err(Error::Stopped.into()),
                    }
                }
                Step::Left(Item::Gap { info, segments, cause }) => Item::Gap { info, segments, cause },
                Step::Left(_) => continue,
                Step::Fetched => {
                    let item = match (self.fetch()?, &lost) {
                        (Item::Segment { info, .. }, Some(why)) => Item::Gap {
                            info,
                            segments: 1,
                            cause: GapCause::Failed(format!("the segment in front of it is needed as well: {why}")),
                        },
                        (item, _) => item,
                    };
                    filled += u64::from(matches!(item, Item::Segment { .. }));
                    self.fetched(item)?
                }
            };
            if outlet.send_blocking(item).is_err() {
                return Ok(filled);
            }
        }
        if let Weave::Samples(refill) = std::mem::replace(&mut self.weave, Weave::Bytes) {
            let rest = refill.rest(self.tail);
            let bytes = self.old.bytes(rest.start, rest.end.saturating_sub(rest.start))?;
            refill.finish(rest.start, &bytes).map_err(|error| unfit(&error))?;
        }
        Ok(filled)
    }

    /// What is fetched next. What is not whole did not come.
    fn fetch(&mut self) -> Result<Item<Clear>, RepairError> {
        // Where nothing comes, a stage failed and says why.
        let item = self.fetched.recv_blocking().map_err(|_| Error::Stopped)?;
        let Item::Segment { info, payload } = item else { return Ok(item) };
        Ok(match self.intake.and_then(|intake| intake.fault(&payload)) {
            Some(why) => Item::Gap {
                info,
                segments: 1,
                cause: GapCause::Failed(why.into()),
            },
            None => Item::Segment { info, payload },
        })
    }

    fn refill(&mut self, act: impl FnOnce(&mut RefillLane) -> Result<(), MuxError>) -> Result<(), RepairError> {
        match &mut self.weave {
            Weave::Samples(refill) => act(refill).map_err(|error| unfit(&error)),
            Weave::Bytes | Weave::Spliced(_) => Ok(()),
        }
    }

    /// A unit that is in the old file.
    fn known(&mut self, item: Item<Resource>, Had { piece, padded }: &Had) -> Result<Item<Clear>, RepairError> {
        let bytes = self.old.read(piece)?;
        let is_section = matches!(item, Item::Init { .. });
        match &mut self.weave {
            Weave::Bytes => return Ok(with(item, &bytes, *padded)),
            Weave::Samples(refill) if !is_section => refill.keep(piece.offset, &bytes).map_err(|error| unfit(&error))?,
            Weave::Spliced(splice) if !is_section => splice.keep(bytes),
            Weave::Samples(_) | Weave::Spliced(_) => {}
        }
        Ok(with(item, &[], *padded))
    }

    /// A unit that came.
    fn fetched(&mut self, item: Item<Clear>) -> Result<Item<Clear>, RepairError> {
        // Whoever weaves has it; the muxer is only told.
        let told = match &item {
            Item::Init { info, payload } => Item::Init {
                info: Arc::clone(info),
                payload: clear(&[], payload.is_padded()),
            },
            Item::Segment { info, payload } => Item::Segment {
                info: Arc::clone(info),
                payload: clear(&[], payload.is_padded()),
            },
            Item::Gap { info, segments, cause } => Item::Gap {
                info: Arc::clone(info),
                segments: *segments,
                cause: cause.clone(),
            },
        };
        match (&mut self.weave, item) {
            (Weave::Bytes, item) => return Ok(item),
            (Weave::Samples(refill), item) => match &item {
                Item::Init { info, payload } => refill.section(info, payload),
                Item::Segment { .. } => refill.fill(item),
                Item::Gap { .. } => refill.gap(item),
            }
            .map_err(|error| unfit(&error))?,
            (Weave::Spliced(splice), Item::Init { info, payload }) => splice.section(Item::Init {
                info,
                // It may wait for long, and takes no place of the budget.
                payload: clear(payload.as_slice(), payload.is_padded()),
            }),
            (Weave::Spliced(splice), item @ Item::Segment { .. }) => splice.make(item, None),
            (Weave::Spliced(_), Item::Gap { .. }) => {}
        }
        Ok(told)
    }
}

/// The old file.
pub(super) struct Old {
    pub(super) file: File,
    pub(super) path: PathBuf,
}

impl Old {
    /// What a piece of it has, if it is what it was.
    pub(super) fn read(&mut self, piece: &Piece) -> Result<Vec<u8>, RepairError> {
        let bytes = self.bytes(piece.offset, piece.length)?;
        if bytes.len() as u64 != piece.length || hex(&Sha256::digest(&bytes)) != piece.sha256 {
            return Err(self.failed(std::io::Error::other("it was changed meanwhile")));
        }
        Ok(bytes)
    }

    fn bytes(&mut self, offset: u64, length: u64) -> Result<Vec<u8>, RepairError> {
        let mut bytes = Vec::new();
        let read = self.file.seek(SeekFrom::Start(offset));
        // What is not there is not allocated.
        let read = read.and_then(|_| (&mut self.file).take(length).read_to_end(&mut bytes));
        read.map_err(|source| self.failed(source))?;
        Ok(bytes)
    }

    fn failed(&self, source: std::io::Error) -> RepairError {
        RepairError::Verify(VerifyError::Io {
            path: self.path.clone(),
            source,
        })
    }
}

/// The unit with these bytes.
fn with(item: Item<Resource>, bytes: &[u8], padded: bool) -> Item<Clear> {
    let payload = clear(bytes, padded);
    match item {
        Item::Init { info, .. } => Item::Init { info, payload },
        Item::Segment { info, .. } | Item::Gap { info, .. } => Item::Segment {
            info: Arc::<SegmentInfo>::clone(&info),
            payload,
        },
    }
}

fn clear(bytes: &[u8], padded: bool) -> Clear {
    let Ok(mut clear) = Sealed::unbudgeted(bytes).open(Ok::<_, std::convert::Infallible>);
    if padded {
        clear.mark_padded();
    }
    clear
}
