//! Filling in what never came: a concatenation is written anew beside the file, of which it takes what is there.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use aqueduct_core::{
    Clear, Decrypt, Fetch, Item, Mux, MuxError, Presentation, Progress, Receiver, Resolve, Resource, Sealed, Sender, Stop, Summary, Track,
    TrackId, Write, channel,
};
use aqueduct_fetch::{OnMissing, Permits};
use aqueduct_mux::{Concat, Finished, Job, Output, StageError};
use sha2::{Digest, Sha256};

use super::matching::{Matched, Matcher};
use super::{Damage, RepairError, Repaired};
use crate::resume::Beyond;
use crate::verify::hex;
use crate::{Error, Piece, Pipeline, UnitDocument, VerifyError};

impl<R: Resolve, F: Fetch, D: Decrypt, M: Mux> Pipeline<R, F, D, M> {
    /// Writes the file anew with the segments that it lacks, if any of them can be had now.
    pub(super) async fn fill(&self, presentation: &Presentation, damage: &Damage, repaired: &mut Repaired) -> Result<(), RepairError> {
        let lanes = || presentation.tracks.iter().filter(|track| damage.is_lane(track.id));
        let refused = if !damage.is_concatenation() {
            let form = damage.report.output().form.as_deref().unwrap_or("this container");
            Some(format!(
                "in {form} what comes later would have to be made again; only the whole stream, fetched again with --overwrite, has them"
            ))
        } else if lanes().any(|track| track.live) {
            Some("the stream is live, and its window has moved on".to_owned())
        } else if aqueduct_mux::can_go_on(&damage.file) {
            Some("an unfinished run of the same output stands beside the file: the command that began it goes on first".to_owned())
        } else if !repaired.left.is_empty() {
            Some("the rest of the file is not sound".to_owned())
        } else {
            None
        };
        let track = match (refused, lanes().next()) {
            (None, Some(track)) => track.clone(),
            (why, _) => {
                let why = why.unwrap_or_else(|| "its track is not there".into());
                repaired.left.add(format!("{} missing segments: {why}", damage.missing));
                return Ok(());
            }
        };
        // It takes the name of the file when it is whole; nothing is lost until then.
        let (file, container) = (damage.file.clone(), damage.report.output().container.clone().unwrap_or_default());
        let job = Job::new(presentation, &[track.id], container);
        let bytes = damage.report.output().bytes;
        let begun = tokio::task::spawn_blocking(move || {
            let mut output = Output::file(&file, true)?.anew();
            output.begin(&job)?;
            output.check_space(bytes)?;
            Ok(output)
        });
        let output = begun.await.map_err(|error| Error::Panicked(error.into()))?.map_err(Error::Output)?;
        let source = Source::open(damage, &track).await?;
        let (finished, filled) = self.write_anew(presentation, &track, source, output).await?;
        for gap in finished.tally.gaps.iter().filter(|gap| gap.cause.was_on_offer()) {
            let last = gap.first_msn.saturating_add(gap.segments.saturating_sub(1));
            repaired
                .left
                .add(format!("segments {} to {last} of {}: {}", gap.first_msn, gap.track, gap.cause));
        }
        repaired.filled = filled;
        // Without anything new the file stays as it is.
        if filled > 0 {
            let committed = tokio::task::spawn_blocking(move || finished.output.commit());
            let account = committed.await.map_err(|error| Error::Panicked(error.into()))?;
            repaired.account = Some(account.map_err(Error::Output)?);
        }
        Ok(())
    }

    async fn write_anew(
        &self,
        presentation: &Presentation,
        track: &Track,
        source: Source,
        output: Output,
    ) -> Result<(Finished, u64), RepairError> {
        let mut stages = self.stages(OnMissing::Gap);
        let permits = Permits::split(self.common.options.concurrency, 1).swap_remove(0);
        let (named, steps) = channel(1);
        let Source { matcher, file, path } = source;
        let expected = track.segments.unwrap_or_default();
        let fetched = stages.spawn_through(track, permits, |items, outlet, stop| {
            tell_apart(matcher, expected, items, outlet, named, stop)
        });
        let (to_mux, clear) = channel(1);
        let merging = Merging {
            file,
            path,
            steps,
            fetched,
        };
        let (presentation, progress, stop, track) = (presentation.clone(), Progress::new(), self.common.stop.child(), track.id);
        let sink = tokio::task::spawn_blocking(move || -> Result<(Finished, u64), RepairError> {
            std::thread::scope(|scope| {
                let muxing = scope.spawn(|| {
                    let lanes = vec![(track, clear)];
                    aqueduct_mux::run(Whole(Concat::new()), &presentation, lanes, output, &progress, &stop)
                });
                let filled = merging.run(&to_mux);
                drop(to_mux);
                if filled.is_err() {
                    stop.abort();
                }
                let muxed: Result<Finished, StageError> = match muxing.join() {
                    Ok(muxed) => muxed,
                    Err(panic) => std::panic::resume_unwind(panic),
                };
                // The first of the two that failed made the other fail.
                match (filled, muxed) {
                    (Ok(filled), Ok(finished)) => Ok((finished, filled)),
                    (_, Err(error)) => Err(Error::from(error).into()),
                    (Err(error), Ok(_)) => Err(error),
                }
            })
        });
        self.join(stages, sink).await
    }
}

/// What is there already.
struct Source {
    matcher: Matcher,
    file: File,
    path: PathBuf,
}

impl Source {
    async fn open(damage: &Damage, track: &Track) -> Result<Self, RepairError> {
        let file = File::open(&damage.file).map_err(|source| RepairError::Io {
            path: damage.file.clone(),
            action: "cannot be opened",
            source,
        })?;
        Ok(Self {
            matcher: Matcher::new(&damage.report, track.id, track.live).await?,
            file,
            path: damage.file.clone(),
        })
    }
}

/// The next unit of the new file.
enum Step {
    /// It is in the old one.
    Known(Item<Resource>, Piece),
    /// It is on its way.
    Fetched,
}

/// The stage that has fetched what the file lacks, and tells in which order that and the rest come.
async fn tell_apart(
    mut matcher: Matcher,
    expected: u64,
    items: Receiver<Item<Resource>>,
    outlet: Sender<Item<Resource>>,
    steps: Sender<Step>,
    stop: Stop,
) -> Result<Beyond, Error> {
    let mut came = 0;
    while let Ok(item) = items.recv().await {
        came += match &item {
            Item::Init { .. } => 0,
            Item::Segment { .. } => 1,
            Item::Gap { segments, .. } => *segments,
        };
        let piece = match matcher.find(&item, |_, _| {}).await? {
            Matched::Unit(_, unit) => {
                let UnitDocument { piece, .. } = *unit;
                piece
            }
            Matched::New => None,
        };
        let step = match piece {
            Some(piece) => Step::Known(item, piece),
            // First to the fetcher: whoever takes the step waits for what it brings.
            None if outlet.send(item).await.is_ok() => Step::Fetched,
            None => return Ok(Beyond::default()),
        };
        if steps.send(step).await.is_err() {
            return Ok(Beyond::default());
        }
    }
    // A resolver that was stopped, or that failed, says so itself.
    if stop.is_draining() {
        return Ok(Beyond::default());
    }
    if came != expected {
        return Err(Error::Lost { came, expected });
    }
    matcher.finish().map(|()| Beyond::default())
}

/// Puts what is fetched between what is there.
struct Merging {
    file: File,
    path: PathBuf,
    steps: Receiver<Step>,
    fetched: Receiver<Item<Clear>>,
}

impl Merging {
    /// Gives how many segments came that were missing.
    fn run(mut self, outlet: &Sender<Item<Clear>>) -> Result<u64, RepairError> {
        let mut filled = 0;
        while let Ok(step) = self.steps.recv_blocking() {
            let is_new = matches!(step, Step::Fetched);
            let item = match step {
                Step::Known(Item::Init { info, .. }, piece) => Item::Init {
                    info,
                    payload: self.read(&piece)?,
                },
                Step::Known(Item::Segment { info, .. } | Item::Gap { info, .. }, piece) => Item::Segment {
                    info,
                    payload: self.read(&piece)?,
                },
                // Where nothing comes, a stage failed and says why.
                Step::Fetched => match self.fetched.recv_blocking() {
                    Ok(item) => item,
                    Err(_) => return Err(Error::Stopped.into()),
                },
            };
            filled += u64::from(is_new && matches!(item, Item::Segment { .. }));
            if outlet.send_blocking(item).is_err() {
                return Ok(filled);
            }
        }
        Ok(filled)
    }

    /// What a piece of the old file has, if it is what it was.
    fn read(&mut self, piece: &Piece) -> Result<Clear, RepairError> {
        let failed = |source| {
            RepairError::Verify(VerifyError::Io {
                path: self.path.clone(),
                source,
            })
        };
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(piece.offset)).map_err(failed)?;
        // What is not there is not allocated.
        (&mut self.file).take(piece.length).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 != piece.length || hex(&Sha256::digest(&bytes)) != piece.sha256 {
            return Err(failed(std::io::Error::other("it was changed meanwhile")));
        }
        match Sealed::unbudgeted(bytes.as_slice()).open(Ok::<_, std::convert::Infallible>) {
            Ok(clear) => Ok(clear),
            Err(never) => match never {},
        }
    }
}

/// A concatenation that is written whole or not at all: nothing is kept of one that is given up, since all of it is in the
/// old file.
struct Whole(Concat);

impl Mux for Whole {
    fn push(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        self.0.push(track, item, writes)
    }

    fn finish(&mut self, writes: &mut Vec<Write>) -> Result<Summary, MuxError> {
        self.0.finish(writes)
    }
}
