//! The stage that leaves out what an earlier run put into the output already.

use std::sync::Arc;

use aqueduct_core::{GapCause, Item, Receiver, Resource, SegmentInfo, Sender, Stop, TrackId};
use aqueduct_mux::{Entries, Entry, Fate, OutputError};
use tokio::sync::Barrier;

use crate::Error;

/// Segments that left a live window between two runs and are named one by one.
const MOST_EXPIRED: u64 = 10_000;

/// One track that is taken up.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) track: TrackId,
    pub(crate) live: bool,
    /// How many segments its playlist has, where that is known.
    pub(crate) segments: Option<u64>,
    /// What is in the output.
    pub(crate) entries: Entries,
}

/// Takes what the resolver names, leaves out what `job` has, and hands on the rest: first of all the initialization section
/// in force, which the decrypter needs again.
///
/// Units are matched by Media Sequence Number, address without query, byte range, duration and Discontinuity Sequence
/// Number. Nothing is handed on before every track has matched: two streams are not mixed.
///
/// # Errors
///
/// [`Error::OtherStream`]: what is named is not what the output has.
pub(crate) async fn run(
    job: Job,
    inlet: Receiver<Item<Resource>>,
    outlet: Sender<Item<Resource>>,
    matched: Arc<Barrier>,
    stop: Stop,
) -> Result<(), Error> {
    let track = job.track;
    let (expected, mut came) = (job.segments, 0);
    let mut matcher = Matcher::new(job)?;
    let first = loop {
        let Ok(item) = inlet.recv().await else {
            // A resolver that was stopped, or that failed, says so itself.
            if let Some(entry) = matcher.next.as_ref().filter(|_| expected == Some(came)) {
                return Err(other(track, entry.msn, "it is not in the playlist any more"));
            }
            break None;
        };
        came += u64::from(!matches!(item, Item::Init { .. }));
        if !matcher.has(&item)? {
            break Some(item);
        }
    };
    // A track that does not match never comes here, and aborts the others.
    tokio::select! {
        () = stop.aborted() => return Ok(()),
        _ = matched.wait() => {}
    }
    let Some(first) = first else { return Ok(()) };
    let mut ahead = matcher.ahead_of(&first);
    ahead.push(first);
    for item in ahead {
        if outlet.send(item).await.is_err() {
            return Ok(());
        }
    }
    while let Ok(item) = inlet.recv().await {
        if outlet.send(item).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Compares what is named with what is there, unit by unit.
struct Matcher {
    track: TrackId,
    live: bool,
    entries: Entries,
    /// What comes next in the output.
    next: Option<Entry>,
    /// The Media Sequence Number behind the last segment in the output.
    behind: u64,
    /// The initialization section in force.
    init: Option<Item<Resource>>,
}

impl Matcher {
    fn new(job: Job) -> Result<Self, Error> {
        let mut matcher = Self {
            track: job.track,
            live: job.live,
            entries: job.entries,
            next: None,
            behind: 0,
            init: None,
        };
        matcher.step()?;
        Ok(matcher)
    }

    fn step(&mut self) -> Result<(), Error> {
        let next = self.entries.next().map_err(|source| {
            Error::Output(OutputError::Io {
                path: "the journal".into(),
                action: "cannot be read",
                source,
            })
        })?;
        if let Some(entry) = self.next.take().filter(|entry| !entry.init) {
            self.behind = entry.msn.saturating_add(1);
        }
        self.next = next;
        Ok(())
    }

    /// Whether the output has this unit already.
    fn has(&mut self, item: &Item<Resource>) -> Result<bool, Error> {
        let unit = match item {
            Item::Init { info, payload } => {
                self.init = Some(Item::Init {
                    info: Arc::clone(info),
                    payload: payload.clone(),
                });
                Entry::init(info, WRITTEN)
            }
            Item::Segment { info, .. } => Entry::segment(info, WRITTEN),
            Item::Gap { info, cause } => Entry::gap(info, cause),
        };
        // What left a live window is in the output all the same, and is not asked for any more.
        while self.live && self.next.as_ref().is_some_and(|entry| entry.msn < unit.msn) {
            self.step()?;
        }
        let Some(entry) = &self.next else {
            // The initialization section waits for the segment that it is for.
            return Ok(unit.init);
        };
        if self.live && unit.init && !entry.init {
            // That of the first segment in the window, which is not where it changed.
            return Ok(true);
        }
        if unit.init != entry.init {
            return Err(other(self.track, entry.msn, "its initialization section is not where it was"));
        }
        if let Some(what) = entry.difference(&unit) {
            return Err(other(self.track, entry.msn, &what));
        }
        self.step()?;
        Ok(true)
    }

    /// What has to go in front of the first segment that the output lacks: the initialization section in force comes first,
    /// where the muxer looks for it.
    fn ahead_of(&mut self, first: &Item<Resource>) -> Vec<Item<Resource>> {
        let mut ahead: Vec<_> = self.init.take().into_iter().collect();
        let (Item::Segment { info, .. } | Item::Gap { info, .. }) = first else {
            return ahead;
        };
        let lost = info.msn.saturating_sub(self.behind);
        if self.live && lost > 0 {
            tracing::warn!(track = %self.track, lost, "segments left the live window between the two runs");
            ahead.extend(
                (self.behind..)
                    .take(usize::try_from(lost.min(MOST_EXPIRED)).unwrap_or(0))
                    .map(|msn| Item::Gap {
                        info: Arc::new(SegmentInfo {
                            msn,
                            ..SegmentInfo::clone(info)
                        }),
                        cause: GapCause::Expired,
                    }),
            );
        }
        ahead
    }
}

/// A fate to compare with: that of a unit which is there.
const WRITTEN: Fate = Fate::Written {
    offset: 0,
    length: 0,
    sha256: [0; 32],
};

fn other(track: TrackId, msn: u64, what: &str) -> Error {
    Error::OtherStream {
        what: format!("segment {msn} of {track}: {what}"),
    }
}
