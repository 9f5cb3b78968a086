//! Putting the playlists of a folder in their places again: they are made of what the stream and the report tell of its units,
//! without fetching any of these.

use std::path::Path;
use std::sync::Arc;

use aqueduct_core::{Decrypt, Fetch, Item, Mux, Presentation, Receiver, Resolve, Resource, Sender, Stop, TrackId, WriteAt};
use aqueduct_fetch::{OnMissing, Permits};
use aqueduct_mux::{Hls, MendingFolder, Put, file_within, leads_within};

use super::matching::{Matched, Matcher};
use super::{Damage, RepairError, Repaired};
use crate::resume::Beyond;
use crate::{Error, Pipeline, RestDocument};

/// A unit, and if the folder has it, how many bytes in which file.
type Known = (Item<Resource>, Option<(u64, String)>);
/// A playlist by its name.
type Text = (Arc<str>, Vec<u8>);

impl<R: Resolve, F: Fetch, D: Decrypt, M: Mux> Pipeline<R, F, D, M> {
    /// Puts damaged playlists in their places again, if what is made now is what they were. Whether all of them are there then.
    pub(super) async fn put_playlists(
        &self,
        presentation: &Presentation,
        damage: &Damage,
        repaired: &mut Repaired,
    ) -> Result<bool, RepairError> {
        let mut own = presentation.clone();
        own.tracks.retain(|track| damage.is_lane(track.id));
        if own.tracks.is_empty() || own.tracks.iter().any(|track| track.live) {
            return Ok(false);
        }
        let mut stages = self.stages(OnMissing::Gap);
        let (mut lanes, mut unused) = (Vec::new(), Vec::new());
        let permits = Permits::split(self.common.options.concurrency, own.tracks.len());
        for (track, permits) in own.tracks.iter().zip(permits) {
            let matcher = Matcher::new(&damage.report, track.id, track.live).await?;
            let (telling, told) = aqueduct_core::channel(64);
            let expected = track.segments.unwrap_or_default();
            // Nothing is handed on to be fetched.
            unused.push(stages.spawn_through(track, permits, |items, outlet, stop| {
                tell(matcher, expected, items, telling, outlet, stop)
            }));
            lanes.push((track.id, told));
        }
        let (folder, rests) = (damage.file.clone(), damage.report.output().rests.clone());
        let sink = tokio::task::spawn_blocking(move || make(&own, lanes).and_then(|made| put(&folder, &rests, &made)));
        let (mended, whole) = self.join(stages, sink).await?;
        drop(unused);
        repaired.mended += mended;
        Ok(whole)
    }
}

/// The stage that tells what each unit is that the stream has.
async fn tell(
    mut matcher: Matcher,
    expected: u64,
    items: Receiver<Item<Resource>>,
    telling: Sender<Known>,
    unused: Sender<Item<Resource>>,
    stop: Stop,
) -> Result<Beyond, Error> {
    let mut came = 0;
    while let Ok(item) = items.recv().await {
        came += match &item {
            Item::Init { .. } => 0,
            Item::Segment { .. } => 1,
            Item::Gap { segments, .. } => *segments,
        };
        let known = match matcher.find(&item, |_, _| {}).await? {
            Matched::Unit(_, unit) => unit.piece.map(|piece| piece.length).zip(unit.file),
            Matched::New => None,
        };
        if telling.send((item, known)).await.is_err() {
            return Ok(Beyond::default());
        }
    }
    drop(unused);
    if stop.is_draining() {
        return Ok(Beyond::default());
    }
    if came != expected {
        return Err(Error::Lost { came, expected });
    }
    matcher.finish().map(|()| Beyond::default())
}

/// The playlists of a folder with these units, by their names.
fn make(presentation: &Presentation, lanes: Vec<(TrackId, Receiver<Known>)>) -> Result<Vec<Text>, RepairError> {
    let unfit = |error: &aqueduct_core::MuxError| RepairError::Unfit { what: error.to_string() };
    let mut muxer = Hls::default();
    muxer.begin(presentation, true).map_err(|error| unfit(&error))?;
    for (track, told) in lanes {
        while let Ok((item, known)) = told.recv_blocking() {
            muxer.note_known(track, &item, known.as_ref().map(|(bytes, file)| (*bytes, file.as_str())));
        }
    }
    let mut writes = Vec::new();
    muxer.finish(&mut writes).map_err(|error| unfit(&error))?;
    let named = writes.into_iter().filter_map(|write| match write.at {
        WriteAt::File(name) => Some((Arc::from(&*name), write.data.as_slice().to_vec())),
        _ => None,
    });
    Ok(named.collect())
}

/// Puts those that are others in their places. How many these were, and whether all are right now.
fn put(folder: &Path, rests: &[RestDocument], made: &[Text]) -> Result<(u64, bool), RepairError> {
    let mut mending = MendingFolder::open(folder)?;
    let (mut mended, mut whole) = (0, true);
    for rest in rests {
        let made = made.iter().find(|(name, _)| **name == *rest.file);
        let Some((_, text)) = made.filter(|_| rest.offset == 0) else {
            whole = false;
            continue;
        };
        let path = file_within(folder, &rest.file).filter(|path| leads_within(folder, path));
        let there = |path: &Path| path.symlink_metadata().is_ok_and(|there| there.len() == text.len() as u64);
        // It is as large as what was made.
        if path.is_some_and(|path| there(&path) && std::fs::read(path).is_ok_and(|bytes| bytes == *text)) {
            continue;
        }
        match mending.put(&rest.file, rest.length, &rest.sha256, text)? {
            Put::Mended => mended += 1,
            _ => whole = false,
        }
    }
    mending.finish()?;
    Ok((mended, whole))
}
