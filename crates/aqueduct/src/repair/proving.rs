//! Proof that a segment which never came is still where it was: a server may write over its files in turn.
//!
//! Such a server writes over the segment in front first. So once a segment was fetched from the address in its report, the one in front
//! of it that was recorded last, of those with names like it, is fetched from there as well: if that still makes the bytes that it
//! brought, nothing was written over behind it until then.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aqueduct_core::{
    Clear, Decrypt, Fetch, GapCause, Grant, InitInfo, Item, Limits, Presentation, Receiver, Resolve, Resource, SegmentInfo, Sender, Stop,
    channel,
};
use aqueduct_decrypt::{KeyStore, OnLocked};
use aqueduct_mux::Remaker;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::Damage;
use crate::Piece;
use crate::json::chain;
use crate::lane::Stages;
use crate::resume::Beyond;
use crate::verify::hex;

/// Why what stands at the address of a segment is not taken for it.
pub(super) const ANOTHER: &str = "no playlist names it any more, and what stands at its address by now may be another";

/// What shows by its bytes that nothing was written over behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// Each unit makes them by itself.
    Unit,
    /// Only a file that is made anew does, up to the unit that was missing first, at this place in the report.
    File(Option<u64>),
    /// Nothing: what came before was fetched by an earlier run.
    None,
}

impl Evidence {
    /// Whether a unit that was recorded, at this place in the report, shows anything.
    pub(super) fn is_of(self, number: u64) -> bool {
        match self {
            Self::Unit => true,
            Self::File(first) => first.is_none_or(|first| number < first),
            Self::None => false,
        }
    }
}

/// A segment that was recorded, what it takes to make its bytes again, and what these were.
#[derive(Debug)]
pub(super) struct Front {
    /// Its place in the report.
    pub(super) number: u64,
    pub(super) section: Option<Arc<InitInfo>>,
    /// The segment in front, of which a demuxer may have held back the last access unit.
    pub(super) context: Option<Arc<SegmentInfo>>,
    pub(super) info: Arc<SegmentInfo>,
    /// The address of its key, as the report tells it.
    pub(super) key: Option<String>,
    pub(super) piece: Piece,
}

/// A segment that is asked for at the address in its report: its Media Sequence Number, and what was recorded in front of it.
type Asked = (u64, Resource, Arc<Front>);

/// Those of a track, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Fronts(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    asked: VecDeque<Asked>,
    /// The place in the report of the first unit that has to be what it was in a file that is made anew.
    first: Option<u64>,
}

impl Fronts {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing in here can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A segment is asked for whose evidence is of this kind.
    pub(super) fn push(&self, evidence: Evidence, info: &SegmentInfo, front: &Arc<Front>) {
        let mut known = self.known();
        if evidence == Evidence::Unit {
            known.asked.push_back((info.msn, info.resource.clone(), Arc::clone(front)));
        } else {
            known.first.get_or_insert(front.number);
        }
    }

    /// The place in the report of the first unit that has to be what it was in a file that is made anew, if one has to.
    pub(super) fn first(&self) -> Option<u64> {
        self.known().first
    }

    /// What stands in front of a segment, if it came from the address in its report.
    fn take(&self, info: &SegmentInfo) -> Option<Arc<Front>> {
        let asked = &mut self.known().asked;
        let at = asked
            .iter()
            .position(|(msn, resource, _)| *msn == info.msn && *resource == info.resource)?;
        asked.drain(..=at).next_back().map(|(.., front)| front)
    }
}

impl Damage {
    /// What shows that nothing was written over. `goes_on` is what an earlier run made anew.
    pub(super) fn evidence(&self, presentation: &Presentation, goes_on: bool) -> Evidence {
        match self.remaker(presentation) {
            Some(_) => Evidence::Unit,
            None if goes_on => Evidence::None,
            None => Evidence::File(self.lacks.first),
        }
    }

    /// Has what comes of a track proved, as far as it is asked for at addresses of the report.
    pub(super) fn prove<R: Resolve, F: Fetch, D: Decrypt>(
        &self,
        stages: &mut Stages<R, F, D>,
        presentation: &Presentation,
        recall: Option<Fronts>,
        clear: Receiver<Item<Clear>>,
    ) -> Receiver<Item<Clear>> {
        let (Some(fronts), Some(_)) = (recall, self.remaker(presentation)) else {
            return clear;
        };
        let report = self.report.output();
        let (form, container) = (
            report.form.clone().unwrap_or_default(),
            report.container.clone().unwrap_or_default(),
        );
        let prover = Prover {
            fronts,
            remaker: {
                let presentation = presentation.clone();
                Box::new(move || Remaker::new(&form, &container, &presentation))
            },
            fetcher: stages.fetcher(),
            keys: stages.keys(),
            decrypter: stages.decrypter(),
            limits: stages.limits(),
            file: (!self.is_gone && !self.is_folder()).then(|| self.file.clone()),
            proved: None,
        };
        stages.spawn_behind(clear, |clear, outlet, stop| async move {
            tokio::select! {
                () = stop.aborted() => {}
                () = prover.run(&clear, &outlet, &stop) => {}
            }
            Ok(Beyond::default())
        })
    }
}

/// The stage that leaves out what may be another segment.
struct Prover<F, D> {
    fronts: Fronts,
    remaker: Box<dyn Fn() -> Option<Remaker> + Send + Sync>,
    fetcher: Arc<F>,
    keys: Arc<KeyStore<F>>,
    decrypter: D,
    limits: Limits,
    /// Where the bytes stand.
    file: Option<PathBuf>,
    /// What was last seen to stand where it was, by its place in the report, and when.
    proved: Option<(u64, Instant)>,
}

impl<F: Fetch, D: Decrypt> Prover<F, D> {
    async fn run(mut self, inlet: &Receiver<Item<Clear>>, outlet: &Sender<Item<Clear>>, stop: &Stop) {
        while let Ok(item) = inlet.recv().await {
            let item = match item {
                Item::Segment { info, payload } => match self.fronts.take(&info) {
                    Some(front) => match self.stands(&front, &info, stop).await {
                        Ok(()) => Item::Segment { info, payload },
                        Err(why) => Item::Gap {
                            cause: GapCause::Failed(format!("{ANOTHER}: segment {}, which came before it, {why}", front.info.msn)),
                            info,
                            segments: 1,
                        },
                    },
                    None => Item::Segment { info, payload },
                },
                item => item,
            };
            if outlet.send(item).await.is_err() {
                return;
            }
        }
    }

    /// Whether what was recorded in front of a segment is where it was; or why that is not known.
    async fn stands(&mut self, front: &Front, info: &SegmentInfo, stop: &Stop) -> Result<(), String> {
        // A live stream writes over one segment in the playing time of one.
        if self
            .proved
            .is_some_and(|(known, proved)| known == front.number && proved.elapsed() < info.duration)
        {
            return Ok(());
        }
        let begun = Instant::now();
        let made = self.make(front, stop).await.map_err(|why| format!("cannot be had: {why}"))?;
        if !made {
            return Err("is not there any more".into());
        }
        self.proved = Some((front.number, begun));
        Ok(())
    }

    /// Whether it brings the bytes that it brought.
    async fn make(&mut self, front: &Front, stop: &Stop) -> Result<bool, String> {
        let mut remaker = (self.remaker)().ok_or("nothing makes it again")?;
        let (outlet, sealed) = channel(3);
        for item in front.items() {
            let (resource, item) = match item {
                Item::Init { info, payload } => (payload, Item::Init { info, payload: () }),
                Item::Segment { info, payload } => (payload, Item::Segment { info, payload: () }),
                Item::Gap { .. } => continue,
            };
            let grant = Grant::unbudgeted(&resource, &self.limits);
            let body = self.fetcher.fetch(&resource, grant).await.map_err(|error| chain(&error))?.body;
            let item = match item {
                Item::Init { info, .. } => Item::Init { info, payload: body },
                Item::Segment { info, .. } => Item::Segment { info, payload: body },
                Item::Gap { info, segments, cause } => Item::Gap { info, segments, cause },
            };
            if outlet.send(item).await.is_err() {
                return Err("it was stopped".into());
            }
        }
        drop(outlet);
        let (to_remake, clear) = channel(3);
        let decrypted = aqueduct_decrypt::run(self.decrypter.clone(), &self.keys, OnLocked::Abort, sealed, to_remake, stop.clone());
        decrypted.await.map_err(|error| chain(&error))?;
        let (mut section, mut made) = (Vec::new(), Vec::new());
        while let Ok(item) = clear.recv().await {
            let is_section = matches!(item, Item::Init { .. });
            let bytes = remaker.push(front.info.track, item).map_err(|error| chain(&error))?;
            *(if is_section { &mut section } else { &mut made }) = bytes;
        }
        let is_it = |head: &[u8]| hex(&Sha256::new().chain_update(head).chain_update(&made).finalize()) == front.piece.sha256;
        // A file of a split begins with its section once more.
        if is_it(&[]) || is_it(&section) {
            return Ok(true);
        }
        // What stands beside its media, such as the head of the film in front of the first, is in the file.
        let beside = front.piece.length.saturating_sub(made.len() as u64);
        let Some(file) = self.file.clone().filter(|_| beside > 0 && beside <= made.len() as u64) else {
            return Ok(false);
        };
        let offset = front.piece.offset;
        let head = tokio::task::spawn_blocking(move || read(&file, offset, beside));
        let head = head.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        Ok(is_it(&head))
    }
}

/// Reads a part of a file, as far as it is there.
pub(super) fn read(file: &Path, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = File::open(file)?;
    file.seek(SeekFrom::Start(offset))?;
    // What is not there is not allocated.
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Front {
    fn items(&self) -> Vec<Item<Resource>> {
        let segment = |info: &Arc<SegmentInfo>| Item::Segment {
            payload: info.resource.clone(),
            info: Arc::clone(info),
        };
        let section = self.section.as_ref().map(|info| Item::Init {
            payload: info.resource.clone(),
            info: Arc::clone(info),
        });
        let context = self.context.as_ref().map(segment);
        section.into_iter().chain(context).chain([segment(&self.info)]).collect()
    }
}
