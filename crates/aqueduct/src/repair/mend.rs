//! Mending in place: units whose bytes are others than they were.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_core::{
    Clear, Decrypt, Fetch, GapCause, Item, Mux, Presentation, Receiver, Resolve, Resource, SegmentInfo, Sender, Stop, TrackId,
};
use aqueduct_fetch::{OnMissing, Permits};
use aqueduct_mux::{Mending, MendingFolder, Put, Side};

use super::making::{BEHIND, Made, Maker};
use super::matching::{Matched, Matcher, Unit, units};
use super::recall::{Shown, through};
use super::{Again, Damage, Need, Needs, RepairError, Repaired, Tail};
use crate::begin;
use crate::lane::{Failure, Stages};
use crate::pipeline::panicked;
use crate::resume::Beyond;
use crate::{Error, Found, Piece, Pipeline, UnitDocument, VerifyError};

/// The most that is made again before it is proved, in bytes.
pub(super) const MOST_MADE: usize = 256 << 20;

impl<R: Resolve, F: Fetch, D: Decrypt, M: Mux> Pipeline<R, F, D, M> {
    /// Fetches what is damaged, and writes it in its place when it proves itself.
    pub(super) async fn mend(&self, presentation: &Presentation, damage: &Damage, repaired: &mut Repaired) -> Result<(), RepairError> {
        let output = damage.report.output();
        if damage.is_sound() {
            return Ok(());
        }
        if damage.is_gone {
            repaired.whole.add("there is no file".into());
            return Ok(());
        }
        if damage.is_split && output.tracks.len() > 1 && damage.needs_fetching() {
            // What a track is ahead of the others waits for their next file.
            let what = format!("damaged segments: {}: tracks were put together from file to file", damage.damaged);
            repaired.whole.add(what);
            return Ok(());
        }
        let has_keys = begin::has_keys(&self.decrypter);
        let maker = match damage.maker(presentation, has_keys)? {
            Ok(maker) => maker,
            Err(why) => {
                repaired.whole.add(why);
                return Ok(());
            }
        };
        let mut stages = self.stages(damage);
        let permits = Permits::split(self.common.options.concurrency, presentation.tracks.len());
        let mut lanes = HashMap::new();
        for (track, permits) in presentation.tracks.iter().zip(permits) {
            let needed = count(&damage.needs, track.id);
            if needed > 0 && damage.is_lane(track.id) {
                let wanted = Wanted::Known(Arc::clone(&damage.needs));
                let needs = Arc::clone(&damage.needs);
                let recall = damage.recall(track, has_keys, stages.counterparts(track), Shown::ByDigest, move |number| {
                    needs.contains_key(&number)
                })?;
                let moves = damage.moves(track) && recall.is_none();
                let matcher = Matcher::new(&damage.report, track.id, moves, stages.counterparts(track)).await?;
                let clear = stages.spawn_through(track, permits, |named, outlet, stop| {
                    through(recall, named, stop.clone(), move |named| {
                        choose(matcher, wanted, needed, named, outlet, stop)
                    })
                });
                lanes.insert(track.id.number(), clear);
            }
        }
        let (needs, all) = (Arc::clone(&damage.needs), damage.again == Again::Around);
        let wanted = units(&damage.report, move |number, _| {
            all || needs.get(&number).is_some_and(|(need, _)| *need != Need::Missing)
        });
        let mender = Mender {
            place: if damage.is_folder() {
                Place::Folder(MendingFolder::open(&damage.file)?, damage.longer.clone())
            } else {
                Place::File(Mending::open(&damage.file, damage.written)?)
            },
            tail: damage.rest.clone().filter(|_| damage.tail == Tail::Damaged),
            is_media_alone: damage.is_concatenation(),
            lanes,
            maker,
            sections: damage.is_split.then(HashMap::new),
            made: Vec::new(),
            head: 0,
            broken: None,
            mended: 0,
            left: Found::default(),
            whole: Found::default(),
        };
        let needs = Arc::clone(&damage.needs);
        let mender = tokio::task::spawn_blocking(move || mender.run(&wanted, &needs));
        let ended = self.join(stages, mender).await;
        (repaired.mended, repaired.left, repaired.whole) = ended?;
        Ok(())
    }

    /// The stages of a repair.
    pub(super) fn stages(&self, damage: &Damage) -> Stages<R, F, D> {
        let mut options = self.common.options.clone();
        options.on_missing = OnMissing::Gap;
        let (resolver, fetcher) = (Arc::clone(&self.resolver), Arc::clone(&self.fetcher));
        let stop = self.common.stop.child();
        let mut stages = Stages::new(resolver, fetcher, self.decrypter.clone(), options, &self.common.progress, &stop).of_repair();
        damage.expect_padding(&mut stages);
        stages
    }

    /// Waits for the stages and for what takes their items. The first real error counts.
    pub(super) async fn join<T: Send + 'static, E>(
        &self,
        mut stages: Stages<R, F, D>,
        mut sink: tokio::task::JoinHandle<Result<T, E>>,
    ) -> Result<T, RepairError>
    where
        RepairError: From<E>,
    {
        let (mut failed, mut done) = (None, None);
        while !stages.is_empty() || done.is_none() {
            tokio::select! {
                Some(ended) = stages.ended() => if let Err(Failure::Live(error) | Failure::Source(error) | Failure::Fatal(error)) = ended {
                    failed.get_or_insert(RepairError::Run(error));
                    stages.source().abort();
                },
                ended = &mut sink, if done.is_none() => {
                    done = match ended.map_err(|error| RepairError::Run(panicked(error))) {
                        Ok(Ok(ended)) => Some(Some(ended)),
                        Ok(Err(error)) => {
                            match error.into() {
                                // A stage had it stop, and says why.
                                RepairError::Run(Error::Stopped) => {}
                                error => drop(failed.get_or_insert(error)),
                            }
                            Some(None)
                        }
                        Err(error) => {
                            failed.get_or_insert(error);
                            Some(None)
                        }
                    };
                    // Nobody takes what the sources still bring.
                    stages.source().abort();
                }
            }
        }
        let keys = stages.end_keys().await;
        match (failed, keys, done.flatten()) {
            (Some(error), ..) => Err(error),
            (None, Some(error), _) => Err(error.into()),
            _ if self.common.stop.is_draining() => Err(Error::Stopped.into()),
            (None, None, Some(done)) => Ok(done),
            (None, None, None) => Err(Error::Stopped.into()),
        }
    }
}

/// How many units of a track are needed for mending in place.
fn count(needs: &Needs, track: TrackId) -> usize {
    let of_track = |(need, of): &&(Need, u32)| *need != Need::Missing && *of == track.number();
    needs.values().filter(of_track).count()
}

/// What is fetched of a track.
pub(super) enum Wanted {
    /// Units that the file has, or had.
    Known(Arc<Needs>),
    /// Segments that it lacks.
    Lacking(Arc<Needs>),
}

impl Wanted {
    fn has(&self, number: u64) -> bool {
        match self {
            Self::Known(needs) => needs.get(&number).is_some_and(|(need, _)| *need != Need::Missing),
            Self::Lacking(_) => false,
        }
    }

    fn is(&self, matched: &Matched, item: &Item<Resource>) -> bool {
        match (self, matched) {
            (Self::Known(_), Matched::Unit(number, _)) => self.has(*number),
            (Self::Known(_), Matched::Within(_) | Matched::New) => false,
            (Self::Lacking(needs), Matched::Unit(number, _) | Matched::Within(number)) => {
                needs.get(number).is_some_and(|(need, _)| *need == Need::Missing) && !matches!(item, Item::Init { .. })
            }
            (Self::Lacking(_), Matched::New) => matches!(item, Item::Segment { .. }),
        }
    }
}

/// The stage that hands on what is needed: units that are to be mended, what goes in front of them, and the initialization
/// sections in force. It ends with the last of them.
pub(super) async fn choose(
    mut matcher: Matcher,
    wanted: Wanted,
    mut needed: usize,
    named: Receiver<Item<Resource>>,
    outlet: Sender<Item<Resource>>,
    stop: Stop,
) -> Result<Beyond, Error> {
    let mut section = None;
    while needed > 0
        && let Ok(item) = named.recv().await
        && !stop.is_draining()
    {
        let mut gone = Vec::new();
        let matched = matcher
            .find(&item, |number, unit| {
                if wanted.has(number) {
                    gone.push(unit.msn);
                }
            })
            .await?;
        let mut out: Vec<Item<Resource>> = gone.into_iter().map(|msn| expired(&item, msn)).collect();
        needed = needed.saturating_sub(out.len());
        let is_wanted = wanted.is(&matched, &item);
        match (item, is_wanted) {
            (item, true) => {
                needed -= 1;
                if matches!(item, Item::Init { .. }) {
                    section = None;
                } else {
                    out.extend(section.take());
                }
                out.push(item);
            }
            (item @ Item::Init { .. }, false) => section = Some(item),
            _ => {}
        }
        for item in out {
            if outlet.send(item).await.is_err() {
                return Ok(Beyond::default());
            }
        }
    }
    Ok(Beyond::default())
}

/// What left a live window, as seen from what stands there now.
fn expired(item: &Item<Resource>, msn: u64) -> Item<Resource> {
    let info = match item {
        Item::Init { info, .. } => SegmentInfo::new(info.track, msn, Duration::ZERO, info.resource.clone()),
        Item::Segment { info, .. } | Item::Gap { info, .. } => SegmentInfo {
            msn,
            ..SegmentInfo::clone(info)
        },
    };
    Item::Gap {
        info: Arc::new(info),
        segments: 1,
        cause: GapCause::Expired,
    }
}

/// What is mended.
enum Place {
    File(Mending),
    /// With the files that were appended to, and how long they were.
    Folder(MendingFolder, Vec<(String, u64)>),
}

/// What takes the items and writes them in their places.
struct Mender {
    place: Place,
    /// What stands behind the last unit, where that is damaged.
    tail: Option<Piece>,
    /// Nothing stands beside what the units bring.
    is_media_alone: bool,
    lanes: HashMap<u32, Receiver<Item<Clear>>>,
    maker: Maker,
    /// What the initialization section in force of each track brings, of a file of a split: it stands again in front of the first
    /// segment.
    sections: Option<HashMap<u32, Vec<u8>>>,
    /// What was made for the next place, and how much of it is the head of the file.
    made: Vec<u8>,
    head: usize,
    /// Why that is of no use.
    broken: Option<Why>,
    mended: u64,
    left: Found<String>,
    whole: Found<String>,
}

/// Why a place is not mended.
pub(super) enum Why {
    /// What it takes cannot be had.
    Lacking(String),
    /// It takes all of the stream.
    Whole(String),
}

impl Mender {
    fn run(mut self, wanted: &Receiver<Unit>, needs: &Needs) -> Result<(u64, Found<String>, Found<String>), RepairError> {
        let result = self.all(wanted, needs);
        // What was written stays, whatever came after it.
        match self.place {
            Place::File(file) => file.finish()?,
            Place::Folder(folder, _) => folder.finish()?,
        }
        result.map(|()| (self.mended, self.left, self.whole))
    }

    fn all(&mut self, wanted: &Receiver<Unit>, needs: &Needs) -> Result<(), RepairError> {
        while let Ok(unit) = wanted.recv_blocking() {
            let (number, unit) = unit.map_err(VerifyError::Report)?;
            let needed = needs.get(&number).filter(|(need, _)| *need != Need::Missing);
            let Some((need, _)) = needed else {
                self.maker.pass(&unit);
                continue;
            };
            let made = self.make(*need, &unit)?;
            match (need, made) {
                (Need::Context | Need::Missing, Ok(_)) => {}
                (_, Ok(made)) if self.made.len() + made.bytes.len() > MOST_MADE => {
                    self.broken.get_or_insert(Why::Whole("it is too large".into()));
                }
                (_, Ok(made)) => {
                    self.head = made.head;
                    self.made.extend_from_slice(&made.bytes);
                }
                (_, Err(why)) => {
                    self.broken.get_or_insert(why);
                }
            }
            if *need == Need::Damaged {
                let (made, head) = (std::mem::take(&mut self.made), std::mem::take(&mut self.head));
                let ended = match (self.broken.take(), &unit.piece) {
                    (Some(why), _) => Err(why),
                    (None, Some(piece)) => self.put_unit(&unit, piece, &made, head)?,
                    (None, None) => Err(Why::Lacking("its place is not known".into())),
                };
                match ended {
                    Ok(()) => self.mended += 1,
                    Err(Why::Lacking(why)) => self.left.add(named(&unit, &why)),
                    Err(Why::Whole(why)) => self.whole.add(named(&unit, &why)),
                }
            }
        }
        self.end()
    }

    /// Makes a unit again from what its lane brings.
    fn make(&mut self, need: Need, unit: &UnitDocument) -> Result<Result<Made, Why>, RepairError> {
        let Some(lane) = self.lanes.get(&unit.track) else {
            return Ok(Err(Why::Lacking("its track is not there".into())));
        };
        let front = match &unit.piece {
            Some(piece) if need == Need::Damaged => self.front(piece)?,
            _ => Vec::new(),
        };
        let made = self.maker.make(need, unit, &front, || match lane.recv_blocking() {
            Ok(Item::Gap { cause, .. }) => Err(cause.to_string()),
            Ok(item) => Ok(item),
            Err(_) => Err("it is not to be had any more".into()),
        });
        if let (
            Some(sections),
            Ok(Made {
                section: Some(section), ..
            }),
        ) = (&mut self.sections, &made)
        {
            sections.insert(unit.track, section.clone());
        }
        Ok(made)
    }

    /// What stands in front of a piece, as far as that tells how to make it.
    fn front(&self, piece: &Piece) -> Result<Vec<u8>, RepairError> {
        match (&self.place, self.maker.front()) {
            (Place::File(file), most @ 1..) => Ok(file.front(piece.offset, most)?),
            _ => Ok(Vec::new()),
        }
    }

    /// Writes what was made of a unit, with the section in front of it where that is what the place had, and without the head of the
    /// file where that is another one.
    fn put_unit(&mut self, unit: &UnitDocument, piece: &Piece, made: &[u8], head: usize) -> Result<Result<(), Why>, RepairError> {
        let mut put = self.put(unit.file.as_deref(), piece, made, Side::End)?;
        if let Some(media) = made.get(head..).filter(|_| head > 0 && put.is_err()) {
            put = self.put(unit.file.as_deref(), piece, media, Side::End)?;
        }
        match self.sections.as_ref().and_then(|sections| sections.get(&unit.track)) {
            Some(section) if put.is_err() && !unit.init => {
                let both = [section, made].concat();
                let again = self.put(unit.file.as_deref(), piece, &both, Side::End)?;
                Ok(again.or(put))
            }
            _ => Ok(put),
        }
    }

    /// Writes `made` at one end of a piece, if that makes the whole of it what it was.
    fn put(&mut self, file: Option<&str>, piece: &Piece, made: &[u8], side: Side) -> Result<Result<(), Why>, RepairError> {
        let put = match (&mut self.place, file) {
            // Of a split, nothing is needed of another file.
            (Place::File(place), _) => place.put(piece.offset, piece.length, &piece.sha256, made, side)?,
            // Each unit of a folder is a whole file.
            (Place::Folder(folder, _), Some(name)) if piece.offset == 0 => folder.put(name, piece.length, &piece.sha256, made)?,
            _ => Put::Outside,
        };
        Ok(match put {
            Put::Mended => Ok(()),
            Put::Outside => Err(Why::Lacking("its report places it outside of the file".into())),
            Put::Beside => Err(Why::Whole(
                "its media is sound, but not what stands beside it, such as the index".into(),
            )),
            Put::Partial if !self.is_media_alone => Err(Why::Whole("what stands beside its media is damaged, or was changed".into())),
            Put::Other | Put::Partial => Err(self.maker.differs()),
        })
    }

    /// What stands behind the last unit, and the length.
    fn end(&mut self) -> Result<(), RepairError> {
        if let Some(tail) = self.tail.take() {
            let made = self.maker.rest(&self.front(&tail)?);
            match self.put(None, &tail, &made, Side::Start)? {
                Ok(()) => self.mended += 1,
                Err(_) => self.whole.add(BEHIND.into()),
            }
        }
        match &mut self.place {
            Place::File(file) => {
                if self.left.is_empty() && self.whole.is_empty() && file.cut_off()? {
                    self.mended += 1;
                }
            }
            Place::Folder(folder, longer) => {
                for (name, length) in longer {
                    self.mended += u64::from(folder.cut_off(name, *length)?);
                }
            }
        }
        Ok(())
    }
}

pub(super) fn named(unit: &UnitDocument, why: &str) -> String {
    let what = if unit.init {
        "initialization section before segment"
    } else {
        "segment"
    };
    format!("{what} {} of track {}: {why}", unit.msn, unit.track)
}
