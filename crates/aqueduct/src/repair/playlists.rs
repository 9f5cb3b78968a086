//! Completing a folder: its playlists are made again of what the stream and the report tell of its units, without fetching any of
//! these; segments that never came are fetched, and the playlists name them then.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use aqueduct_core::{
    Clear, Decrypt, Fetch, GapCause, Item, Mux, Presentation, Receiver, Resolve, Resource, Sender, Stop, Track, TrackId, TrackKind, WriteAt,
};
use aqueduct_fetch::Permits;
use aqueduct_mux::{Entry, Hls, Intake, MendingFolder, Put, file_within, leads_within};
use sha2::{Digest, Sha256};

use super::fill::HEAD;
use super::matching::{Matched, Matcher};
use super::proving::{Evidence, read};
use super::recall::{Recall, Shown, through};
use super::{Damage, RepairError, Repaired, Tail, UNTOLD};
use crate::counterparts::WRITTEN;
use crate::error::numbers;
use crate::resume::Beyond;
use crate::verify::hex;
use crate::{Error, Found, Piece, Pipeline, RestDocument, UnitDocument, begin};

/// A unit as the stream names it.
struct Named {
    item: Item<Resource>,
    /// How many bytes the folder has of it, and in which file.
    known: Option<(u64, String)>,
    /// Its place among the units of the report, where it never came.
    lacking: Option<u64>,
    /// It is fetched.
    is_asked: bool,
}

/// What became of a folder.
#[derive(Default)]
struct Completed {
    mended: u64,
    /// All playlists are as they should be.
    whole: bool,
    anew: Option<Anew>,
    left: Found<String>,
}

/// What a report is to tell of a folder that has more than it had.
#[derive(Debug, Default)]
pub(crate) struct Anew {
    /// What stands for segments that came, by the place of the unit that stood for them among those of the report.
    pub(crate) units: BTreeMap<u64, Vec<UnitDocument>>,
    pub(crate) rests: Vec<RestDocument>,
}

impl Anew {
    /// Segments that came.
    fn came(&self) -> impl Iterator<Item = &UnitDocument> {
        self.units.values().flatten().filter(|unit| unit.piece.is_some())
    }

    /// How many bytes came.
    pub(crate) fn bytes(&self) -> u64 {
        self.came().filter_map(|unit| Some(unit.piece.as_ref()?.length)).sum()
    }
}

impl<R: Resolve, F: Fetch, D: Decrypt, M: Mux> Pipeline<R, F, D, M> {
    /// Fetches the segments of a folder that never came, if the rest of it is sound, and puts playlists that are others in their
    /// places. Whether all playlists are as they should be then, and why what is missing was not asked for, if it was not.
    pub(super) async fn complete_folder(
        &self,
        presentation: &Presentation,
        damage: &Damage,
        repaired: &mut Repaired,
    ) -> Result<(bool, Option<&'static str>), RepairError> {
        let mut own = presentation.clone();
        own.tracks.retain(|track| damage.is_lane(track.id));
        let is_sound = repaired.left.is_empty() && repaired.whole.is_empty();
        let is_named = |track: &Track| {
            let names_all = !track.live && track.segments == Some(damage.segments(track.id));
            !damage.moves(track) || damage.is_recalled(track) || names_all
        };
        let unknown = if own.tracks.is_empty() {
            Some("its tracks are not there")
        } else if damage.is_alone && !own.tracks.iter().all(|track| damage.is_listed(track)) {
            Some(UNTOLD)
        } else if !own.tracks.iter().all(is_named) {
            Some("the stream was live, and its report, of an earlier version, does not tell what its playlist does not name any more")
        } else {
            None
        };
        let recalled = own.tracks.iter().any(|track| damage.is_recalled(track));
        let refused = if !is_sound {
            Some("the rest of the folder is not sound: only the whole stream makes it whole, fetched again under another name")
        } else if recalled && damage.tail == Tail::Damaged {
            // What it tells besides its report is told by nobody else.
            Some("its playlists are not as they were written")
        } else {
            None
        };
        let (why, can_be_made) = (unknown.or(refused), unknown.is_none());
        let fills = damage.missing > 0 && why.is_none();
        if !fills && (damage.tail == Tail::Sound || !can_be_made) {
            return Ok((damage.tail == Tail::Sound, why));
        }
        // Its Multivariant Playlist may have told more than the report: it has to come out as it is.
        if fills && damage.is_alone && !self.complete(presentation, damage, &own, false).await?.whole {
            return Ok((damage.tail == Tail::Sound, Some(UNTOLD)));
        }
        let completed = self.complete(presentation, damage, &own, fills).await?;
        repaired.mended += completed.mended;
        repaired.filled += completed.anew.as_ref().map_or(0, |anew| anew.came().count() as u64);
        repaired.anew = completed.anew;
        repaired.left.append(completed.left, |left| left);
        Ok((completed.whole, why))
    }

    /// Fetches what never came, if it `fills` that in, and makes the playlists again.
    async fn complete(
        &self,
        presentation: &Presentation,
        damage: &Damage,
        own: &Presentation,
        fills: bool,
    ) -> Result<Completed, RepairError> {
        let mut stages = self.stages(damage);
        let (mut lanes, has_keys) = (Vec::new(), begin::has_keys(&self.decrypter));
        let permits = Permits::split(self.common.options.concurrency, own.tracks.len());
        for (track, permits) in own.tracks.iter().zip(permits) {
            let needs = Arc::clone(&damage.needs);
            // A playlist is put in its place by its digest.
            let shown = if fills {
                Shown::ByPlaylist(Evidence::Unit)
            } else {
                Shown::ByDigest
            };
            let recall = damage.recall(track, has_keys, stages.counterparts(track), shown, move |number| {
                fills && needs.contains_key(&number)
            })?;
            let matcher = Matcher::new(&damage.report, track.id, track.live && recall.is_none(), stages.counterparts(track)).await?;
            let (telling, told) = aqueduct_core::channel(1);
            let expected = track.segments.filter(|_| recall.is_none());
            let fronts = recall.as_ref().map(Recall::fronts);
            let fetched = stages.spawn_through(track, permits, |items, outlet, stop| {
                through(recall, items, stop.clone(), move |items| {
                    tell(matcher, fills, expected, items, telling, outlet, stop)
                })
            });
            let fetched = damage.prove(&mut stages, presentation, fronts, fetched);
            lanes.push((track.id, told, fetched));
        }
        let (folder, rests, own) = (damage.file.clone(), damage.report.output().rests.clone(), own.clone());
        let sink = tokio::task::spawn_blocking(move || complete(&own, lanes, &folder, &rests));
        self.join(stages, sink).await
    }
}

/// The stage that tells what each unit is, and hands on those that never came.
async fn tell(
    mut matcher: Matcher,
    fills: bool,
    expected: Option<u64>,
    items: Receiver<Item<Resource>>,
    telling: Sender<Option<Named>>,
    outlet: Sender<Item<Resource>>,
    stop: Stop,
) -> Result<Beyond, Error> {
    let mut section = None;
    while let Ok(item) = items.recv().await {
        let (number, known) = match matcher.find(&item, |_, _| {}).await? {
            Matched::Unit(number, unit) => (Some(number), unit.piece.map(|piece| piece.length).zip(unit.file)),
            Matched::Within(number) => (Some(number), None),
            Matched::New => (None, None),
        };
        let is_lacking = |item: &Item<Resource>| match item {
            Item::Init { .. } => false,
            Item::Segment { .. } => true,
            Item::Gap { cause, .. } => cause.was_on_offer(),
        };
        let lacking = number.filter(|_| fills && known.is_none() && is_lacking(&item));
        let is_asked = lacking.is_some() && matches!(item, Item::Segment { .. });
        // First to the fetcher: whoever is told of it waits for what it brings.
        let out = match (&item, is_asked) {
            (Item::Init { .. }, _) => {
                section = Some(item.clone());
                Vec::new()
            }
            (_, true) => section.take().into_iter().chain([item.clone()]).collect(),
            _ => Vec::new(),
        };
        for item in out {
            if outlet.send(item).await.is_err() {
                return Ok(Beyond::default());
            }
        }
        let named = Named {
            item,
            known,
            lacking,
            is_asked,
        };
        if telling.send(Some(named)).await.is_err() {
            return Ok(Beyond::default());
        }
    }
    if stop.is_draining() {
        return Ok(Beyond::default());
    }
    matcher.finish(expected)?;
    // Without a reader there is nobody to tell.
    let _ = telling.send(None).await;
    Ok(Beyond::default())
}

/// A playlist by its name.
type Text = (Arc<str>, Vec<u8>);
/// A track, what its stream names, `None` behind the last, and what is fetched of that.
type Lane = (TrackId, Receiver<Option<Named>>, Receiver<Item<Clear>>);

/// Puts what comes into the folder, and then the playlists. It blocks.
fn complete(own: &Presentation, lanes: Vec<Lane>, folder: &Path, rests: &[RestDocument]) -> Result<Completed, RepairError> {
    let unfit = |error: &aqueduct_core::MuxError| RepairError::Unfit { what: error.to_string() };
    let mut muxer = Hls::default();
    muxer.begin(own, true).map_err(|error| unfit(&error))?;
    let mut mending = MendingFolder::open(folder)?;
    let (mut completed, mut anew) = (Completed::default(), Anew::default());
    for (track, named, fetched) in lanes {
        let mut is_new_section = false;
        // A segment of the track that is there.
        let mut like: Option<String> = None;
        let is_text = own
            .tracks
            .iter()
            .any(|known| known.id == track && known.kind == TrackKind::Subtitles);
        loop {
            let Named {
                item,
                known,
                lacking,
                is_asked,
            } = match named.recv_blocking() {
                Ok(Some(named)) => named,
                Ok(None) => break,
                // A stage failed, and says why.
                Err(_) => return Err(Error::Stopped.into()),
            };
            let Some(number) = lacking else {
                if matches!(item, Item::Init { .. }) {
                    is_new_section = known.is_none();
                }
                muxer.note_known(track, &item, known.as_ref().map(|(bytes, file)| (*bytes, file.as_str())));
                if let (Item::Segment { .. }, Some((1.., file))) = (&item, known) {
                    like.get_or_insert(file);
                }
                continue;
            };
            let came = match &item {
                Item::Segment { info, .. } if is_asked => fetch(&fetched)?.and_then(|payload| {
                    let fault = intake(folder, like.as_deref()).fault(&payload).filter(|_| !is_text);
                    fault.map_or(Ok((info, payload)), |why| Err(GapCause::Failed(why.into())))
                }),
                Item::Gap { cause, .. } => Err(cause.clone()),
                _ => continue,
            };
            let mut unit = match &item {
                Item::Segment { info, .. } => Entry::segment(info, WRITTEN),
                Item::Gap { info, segments, cause } => Entry::gap(info, *segments, cause),
                Item::Init { .. } => continue,
            };
            match came {
                Ok((info, _)) if is_new_section => {
                    let what = format!(
                        "segment {} of {track} needs an initialization section that the folder lacks",
                        info.msn
                    );
                    return Err(RepairError::Unfit { what });
                }
                Ok((info, payload)) => {
                    let bytes = payload.as_slice();
                    let name = muxer.note_filled(track, info, bytes);
                    let Some(name) = name.filter(|_| !bytes.is_empty()) else {
                        let what = format!("segment {} of {track} is of no kind that HLS has", info.msn);
                        return Err(RepairError::Unfit { what });
                    };
                    if !mending.replace(&name, bytes)? {
                        return Err(RepairError::Unfit {
                            what: format!("{name} cannot stand in the folder"),
                        });
                    }
                    let mut unit = UnitDocument::from(&unit);
                    (unit.piece, unit.file, unit.padded) = (Some(piece(bytes)), Some(name), payload.is_padded());
                    anew.units.entry(number).or_default().push(unit);
                }
                Err(why) => {
                    completed
                        .left
                        .add(format!("{} of {track}: {why}", numbers(unit.msn, unit.segments)));
                    muxer.note_known(track, &item, None);
                    if let Item::Segment { info, .. } = &item {
                        unit = Entry::gap(info, 1, &why);
                    }
                    anew.units.entry(number).or_default().push(UnitDocument::from(&unit));
                }
            }
        }
    }
    // What brought nothing is as it was.
    anew.units.retain(|_, units| units.iter().any(|unit| unit.piece.is_some()));
    let mut writes = Vec::new();
    muxer.finish(&mut writes).map_err(|error| unfit(&error))?;
    let made: Vec<Text> = writes
        .into_iter()
        .filter_map(|write| match write.at {
            WriteAt::File(name) => Some((Arc::from(&*name), write.data.as_slice().to_vec())),
            _ => None,
        })
        .collect();
    completed.whole = true;
    if anew.units.is_empty() {
        put(&mut mending, folder, rests, &made, &mut completed)?;
    } else {
        for (name, text) in &made {
            completed.whole &= mending.replace(name, text)?;
            let Piece { offset, length, sha256 } = piece(text);
            anew.rests.push(RestDocument {
                file: name.to_string(),
                offset,
                length,
                sha256,
            });
        }
        completed.anew = Some(anew);
    }
    mending.finish()?;
    Ok(completed)
}

/// What is taken into a folder beside the segment in this file, which stands for all of its track.
fn intake(folder: &Path, like: Option<&str>) -> Intake {
    let path = like
        .and_then(|name| file_within(folder, name))
        .filter(|path| leads_within(folder, path));
    // Without one, what is no media has no name.
    let head = path.and_then(|path| read(&path, 0, HEAD).ok()).unwrap_or_default();
    Intake::new(Hls::CONTAINER, Some(&head))
}

/// What is fetched next; or why it is missing still.
fn fetch(fetched: &Receiver<Item<Clear>>) -> Result<Result<Clear, GapCause>, RepairError> {
    loop {
        match fetched.recv_blocking() {
            Ok(Item::Segment { payload, .. }) => return Ok(Ok(payload)),
            Ok(Item::Gap { cause, .. }) => return Ok(Err(cause)),
            Ok(Item::Init { .. }) => {}
            // A stage failed, and says why.
            Err(_) => return Err(Error::Stopped.into()),
        }
    }
}

fn piece(bytes: &[u8]) -> Piece {
    Piece {
        offset: 0,
        length: bytes.len() as u64,
        sha256: hex(&Sha256::digest(bytes)),
    }
}

/// Puts playlists that are others than they were in their places.
fn put(
    mending: &mut MendingFolder,
    folder: &Path,
    rests: &[RestDocument],
    made: &[Text],
    completed: &mut Completed,
) -> Result<(), RepairError> {
    for rest in rests {
        let made = made.iter().find(|(name, _)| **name == *rest.file);
        let Some((_, text)) = made.filter(|_| rest.offset == 0) else {
            completed.whole = false;
            continue;
        };
        let path = file_within(folder, &rest.file).filter(|path| leads_within(folder, path));
        let there = |path: &Path| path.symlink_metadata().is_ok_and(|there| there.len() == text.len() as u64);
        // It is as large as what was made.
        if path.is_some_and(|path| there(&path) && std::fs::read(path).is_ok_and(|bytes| bytes == *text)) {
            continue;
        }
        match mending.put(&rest.file, rest.length, &rest.sha256, text)? {
            Put::Mended => completed.mended += 1,
            _ => completed.whole = false,
        }
    }
    Ok(())
}
