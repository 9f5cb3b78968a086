//! The stage: one muxer, the lanes of its tracks, and the output.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_core::{
    ByteRange, Clear, Event, Gap, GapCause, Item, Located, Loss, Mux, MuxError, Presentation, Progress, Receiver, SegmentInfo, Stop,
    Summary, TrackId, Unit, Write, WriteAt,
};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::journal::address::address;
use crate::journal::record::{Entry, Fate};
use crate::{Output, OutputError, Resumed, Tally};

/// Why a stream did not become an output.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StageError {
    /// The muxer refused the tracks as a whole.
    #[error(transparent)]
    Begin(MuxError),
    /// The muxer could not take a unit, or complete the output.
    #[error(transparent)]
    Mux(Located<MuxError>),
    /// The output could not be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// A stream that was written to its end, and waits to be made final.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished {
    /// The output. Whoever knows that all stages ended well commits it.
    pub output: Output,
    /// What the muxer says.
    pub summary: Summary,
    /// What is in the output and what is not, an earlier run's part included.
    pub tally: Tally,
}

/// Takes items from the lanes, has `muxer` make output of them, and writes it, until all lanes are closed and
/// empty.
///
/// The lane that is furthest behind in playing time goes next, so tracks are interleaved the same way in every
/// run, and a lane that is ahead waits without holding up the others. It blocks in reads and writes: give it a
/// thread of its own (`tokio::task::spawn_blocking`).
///
/// Of the tracks of `presentation` the muxer is told those that have a lane here; others go elsewhere.
///
/// Where [`Output::begin`] took up what an earlier run left, it goes on there: the lanes begin behind what is in the output,
/// each with the initialization section in force, if it has one, which is not written again.
///
/// A lane that closes is taken to be finished. Whether it really is, its stage's result tells: commit
/// [`Finished::output`] when all of them are known.
///
/// # Errors
///
/// [`StageError`]: the muxer's refusal with its place, or a failure to write.
pub fn run<M: Mux>(
    mut muxer: M,
    presentation: &Presentation,
    lanes: Vec<(TrackId, Receiver<Item<Clear>>)>,
    mut output: Output,
    progress: &Progress,
    stop: &Stop,
) -> Result<Finished, StageError> {
    let mut own = presentation.clone();
    own.tracks.retain(|track| lanes.iter().any(|(lane, _)| *lane == track.id));
    muxer.begin(&own, output.is_seekable()).map_err(StageError::Begin)?;
    let resumed = output.take_resumed();
    let first = lanes.first().map_or(TrackId::new(0), |(track, _)| *track);
    let mut lanes: Vec<Lane> = lanes
        .into_iter()
        .map(|(track, inlet)| Lane::new(track, inlet, resumed.as_ref()))
        .collect();
    let mut tally = Tally::default();
    if let Some(resumed) = resumed {
        output.checkpoints(|state| muxer.restore(state))?.map_err(StageError::Begin)?;
        tally = resumed.tally;
    }
    let (mut writes, mut end, mut pace) = (Vec::new(), Duration::MAX, Pace::default());
    while let Some(next) = (0..lanes.len()).min_by_key(|lane| lanes[*lane].position) {
        let lane = &mut lanes[next];
        let Ok(item) = lane.inlet.recv_blocking() else {
            // A source that was told to end stops its tracks wherever each is. They end together here.
            if stop.is_draining() {
                end = end.min(lane.position);
            }
            lanes.remove(next);
            continue;
        };
        if lane.position >= end && !item.duration().is_zero() {
            lanes.remove(next);
            continue;
        }
        if lane.has_already(&item) {
            continue;
        }
        lane.position = lane.position.saturating_add(item.duration());
        let (track, unit, duration) = (lane.track, item.unit(), item.duration());
        let mut entry = output.is_journaled().then(|| entry(&item));
        let payload = match &item {
            Item::Segment { payload, .. } | Item::Init { payload, .. } => payload.as_slice().len(),
            Item::Gap { info, segments, cause } => {
                missing(&mut tally, info, *segments, cause, progress);
                0
            }
        };
        let mut written = if let Item::Segment { info, .. } = &item {
            Some(Arc::clone(info))
        } else {
            None
        };
        let is_cut = matches!(&item, Item::Segment { payload, .. } if payload.is_cut());
        muxer
            .push(track, item, &mut writes)
            .map_err(|source| StageError::Mux(Located::new(track, unit, source)))?;
        // Between two packets, or two boxes, nobody else sees it.
        let loss = muxer.take_loss().or_else(|| is_cut.then(cut_short));
        if let Some(loss) = loss
            && let Some(info) = &written
        {
            let cause = if loss.kept {
                GapCause::Cut(loss.why)
            } else {
                GapCause::Failed(loss.why)
            };
            missing(&mut tally, info, 1, &cause, progress);
            if let Some(entry) = &mut entry {
                match cause {
                    GapCause::Cut(why) => entry.cut = Some(why),
                    cause => *entry = Entry::gap(info, 1, &cause),
                }
            }
            if !loss.kept {
                written = None;
            }
        }
        flush(&mut output, &mut writes, progress)?;
        if let Some(entry) = entry {
            let state = pace.checkpoint(&mut muxer, payload);
            output.record(entry, state)?;
        }
        if let Some(info) = written {
            tally.segments += 1;
            progress.counters().finished_segment(duration);
            progress.tell(Event::Written {
                track,
                msn: info.msn,
                bytes: payload as u64,
            });
        }
        if stop.is_aborted() {
            break;
        }
    }
    // What was aborted is not made final.
    let mut summary = Summary::default();
    if !stop.is_aborted() {
        let whole = |source| StageError::Mux(Located::new(first, Unit::Track, source));
        summary = muxer.finish(&mut writes).map_err(whole)?;
        flush(&mut output, &mut writes, progress)?;
    }
    Ok(Finished { output, summary, tally })
}

struct Lane {
    track: TrackId,
    inlet: Receiver<Item<Clear>>,
    /// Playing time taken so far.
    position: Duration,
    /// The initialization section in force when an earlier run ended. It comes again, for the decrypter.
    init: Option<(String, Option<ByteRange>)>,
    /// SHA-256 of the one in force, where another pathway may bring it once more.
    section: Option<[u8; 32]>,
}

impl Lane {
    fn new(track: TrackId, inlet: Receiver<Item<Clear>>, resumed: Option<&Resumed>) -> Self {
        let done = resumed.and_then(|resumed| resumed.lanes.iter().find(|lane| lane.track == track));
        Self {
            track,
            inlet,
            position: done.map_or(Duration::ZERO, |done| done.position),
            init: done.and_then(|done| done.init.clone()),
            section: done.and_then(|done| done.section),
        }
    }

    /// Whether this is the initialization section in force, which is in the output already. The same is not sent twice in a row, but
    /// for the first item, which is for the decrypter, and for what comes from another pathway: that is told by its bytes.
    fn has_already(&mut self, item: &Item<Clear>) -> bool {
        let left = self.init.take();
        let Item::Init { info, payload } = item else { return false };
        let is_left = left.is_some_and(|(known, range)| known == address(&info.resource.url) && range == info.resource.range);
        if !info.resource.redundant {
            return is_left;
        }
        let sha256 = Sha256::digest(payload.as_slice()).into();
        self.section.replace(sha256) == Some(sha256) || is_left
    }
}

/// When the muxer's state is kept: so often that a break loses next to nothing, and so seldom that a state which is large
/// for the media between does not swell the journal.
#[derive(Default)]
struct Pace {
    /// Bytes of media since the last checkpoint.
    media: usize,
    last: usize,
}

impl Pace {
    fn checkpoint<M: Mux>(&mut self, muxer: &mut M, media: usize) -> Option<Vec<u8>> {
        self.media = self.media.saturating_add(media);
        if self.media.saturating_mul(2) < self.last {
            return None;
        }
        let mut state = Vec::new();
        if !muxer.checkpoint(&mut state) {
            return None;
        }
        self.media = 0;
        self.last = state.len();
        Some(state)
    }
}

/// The entry of an item; which bytes it brings is not known yet.
fn entry(item: &Item<Clear>) -> Entry {
    let padded = matches!(item, Item::Init { payload, .. } | Item::Segment { payload, .. } if payload.is_padded());
    let fate = Fate::Written {
        offset: 0,
        length: 0,
        sha256: [0; 32],
    };
    let entry = match item {
        Item::Init { info, .. } => Entry::init(info, fate),
        Item::Segment { info, .. } => Entry::segment(info, fate),
        Item::Gap { info, segments, cause } => Entry::gap(info, *segments, cause),
    };
    Entry { padded, ..entry }
}

fn flush(output: &mut Output, writes: &mut Vec<Write>, progress: &Progress) -> Result<(), OutputError> {
    // Each write is dropped as it is done: that frees its place in the budget.
    for write in writes.drain(..) {
        output.write(&write)?;
        // What is written over earlier bytes adds nothing.
        if !matches!(write.at, WriteAt::Offset(_)) {
            progress.counters().wrote(write.data.as_slice().len());
        }
    }
    Ok(())
}

/// What is told of a segment whose end did not come, where the muxer says nothing else.
fn cut_short() -> Loss {
    Loss {
        why: "the end of its ciphertext is not there: it was cut short; what is there is kept".to_owned(),
        kept: true,
    }
}

/// Records missing segments.
fn missing(tally: &mut Tally, info: &SegmentInfo, segments: u64, cause: &GapCause, progress: &Progress) {
    if cause.was_on_offer() {
        progress.counters().missed(segments);
    }
    let gap = Gap {
        track: info.track,
        first_msn: info.msn,
        segments,
        cause: cause.clone(),
    };
    progress.tell(Event::Missing(gap.clone()));
    tally.miss(gap);
}

#[cfg(test)]
mod tests {
    use aqueduct_core::{Data, Encryption, InitId, InitInfo, Kind, Resource, Sealed, channel};
    use url::Url;

    use super::*;
    use crate::Concat;

    fn info(track: u32, msn: u64) -> SegmentInfo {
        let resource = Resource::new(Kind::Segment, Url::parse("http://host.example/").unwrap());
        SegmentInfo::new(TrackId::new(track), msn, Duration::from_secs(2), resource)
    }

    fn clear(bytes: &[u8]) -> Clear {
        Sealed::unbudgeted(bytes).open(Ok::<_, std::convert::Infallible>).unwrap()
    }

    fn segment(track: u32, msn: u64, bytes: &[u8]) -> Item<Clear> {
        Item::Segment {
            info: Arc::new(info(track, msn)),
            payload: clear(bytes),
        }
    }

    fn lane(track: u32, items: Vec<Item<Clear>>) -> (TrackId, Receiver<Item<Clear>>) {
        let (sender, receiver) = channel(items.len());
        for item in items {
            sender.try_send(item).unwrap();
        }
        (TrackId::new(track), receiver)
    }

    fn target() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out.ts");
        (folder, target)
    }

    /// Writes each payload with the number of its track before it.
    struct Tagged;

    impl Mux for Tagged {
        fn push(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
            if let Item::Segment { payload, .. } = item {
                writes.push(Write::append(track.number().to_string().into_bytes()));
                writes.push(Write {
                    at: WriteAt::End,
                    data: Data::Clear(payload),
                });
            }
            Ok(())
        }

        fn finish(&mut self, _: &mut Vec<Write>) -> Result<Summary, MuxError> {
            Ok(Summary::new("tagged"))
        }
    }

    #[test]
    fn a_muxer_is_told_of_its_own_tracks_alone() {
        use aqueduct_core::{Track, TrackKind};

        struct Told(Vec<u32>);

        impl Mux for Told {
            fn begin(&mut self, presentation: &Presentation, _: bool) -> Result<(), MuxError> {
                self.0 = presentation.tracks.iter().map(|track| track.id.number()).collect();
                Ok(())
            }

            fn push(&mut self, _: TrackId, _: Item<Clear>, _: &mut Vec<Write>) -> Result<(), MuxError> {
                Ok(())
            }

            fn finish(&mut self, _: &mut Vec<Write>) -> Result<Summary, MuxError> {
                Ok(Summary::new(format!("{:?}", self.0)))
            }
        }

        let kinds = [TrackKind::Main, TrackKind::Subtitles, TrackKind::Audio];
        let tracks = (0..).zip(kinds).map(|(id, kind)| Track::new(TrackId::new(id), kind, "a track"));
        let presentation = Presentation::new(tracks.collect());
        let (_folder, target) = target();
        let output = Output::file(&target, false).unwrap();
        let lanes = vec![lane(2, Vec::new()), lane(0, Vec::new())];
        let finished = run(Told(Vec::new()), &presentation, lanes, output, &Progress::new(), &Stop::new()).unwrap();
        assert_eq!(finished.summary.container, "[0, 2]");
    }

    #[test]
    fn the_lane_that_is_behind_goes_next() {
        let (_folder, target) = target();
        let lanes = vec![
            lane(0, vec![segment(0, 0, b"a"), segment(0, 1, b"b"), segment(0, 2, b"c")]),
            lane(1, vec![segment(1, 0, b"x"), segment(1, 1, b"y")]),
        ];
        let output = Output::file(&target, false).unwrap();
        let finished = run(Tagged, &Presentation::default(), lanes, output, &Progress::new(), &Stop::new()).unwrap();
        assert_eq!(finished.tally.segments, 5);
        finished.output.commit().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"0a1x0b1y0c");
    }

    #[test]
    fn concatenation_keeps_order_and_names_what_is_missing() {
        let (_folder, target) = target();
        let resource = info(0, 0).resource;
        let init = InitInfo {
            track: TrackId::new(0),
            id: InitId::of(&resource),
            first_msn: 7,
            encryption: Encryption::None,
            resource,
        };
        let gap = |msn, segments, cause: GapCause| Item::Gap {
            info: Arc::new(info(0, msn)),
            segments,
            cause,
        };
        let items = vec![
            Item::Init {
                info: Arc::new(init),
                payload: clear(b"init "),
            },
            segment(0, 7, b"seven "),
            gap(8, 1, GapCause::Expired),
            gap(9, 90_000, GapCause::Expired),
            gap(90_009, 1, GapCause::Tagged),
            segment(0, 90_010, b"eleven"),
        ];
        let output = Output::file(&target, false).unwrap();
        let progress = Progress::new();
        let finished = run(
            Concat::new(),
            &Presentation::default(),
            vec![lane(0, items)],
            output,
            &progress,
            &Stop::new(),
        )
        .unwrap();
        let gaps: Vec<_> = finished
            .tally
            .gaps
            .iter()
            .map(|gap| (gap.first_msn, gap.segments, gap.cause.clone()))
            .collect();
        assert_eq!(gaps, [(8, 90_001, GapCause::Expired), (90_009, 1, GapCause::Tagged)]);
        assert_eq!(
            (finished.tally.missing, progress.counters().segments_missing()),
            (90_001, 90_001),
            "a tagged gap was never on offer"
        );
        finished.output.commit().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"init seven eleven");
    }

    #[test]
    fn a_source_that_is_told_to_end_ends_all_its_tracks_together() {
        let (_folder, target) = target();
        let lanes = || {
            let video = lane(0, vec![segment(0, 0, b"a"), segment(0, 1, b"b")]);
            let audio = lane(1, (0..5).map(|msn| segment(1, msn, b"x")).collect());
            vec![video, audio]
        };
        let stop = Stop::new();
        let run = |stop: &Stop| {
            let output = Output::file(&target, true).unwrap();
            run(Tagged, &Presentation::default(), lanes(), output, &Progress::new(), stop)
                .unwrap()
                .tally
                .segments
        };
        assert_eq!(run(&stop), 7, "a track may be longer than another");
        stop.drain();
        assert_eq!(run(&stop), 4, "two segments of each: the rest of the audio has no picture");
    }

    #[test]
    fn a_second_track_is_not_concatenated() {
        let (_folder, target) = target();
        let lanes = vec![lane(0, vec![segment(0, 0, b"a")]), lane(1, vec![segment(1, 0, b"x")])];
        let output = Output::file(&target, false).unwrap();
        let error = run(
            Concat::new(),
            &Presentation::default(),
            lanes,
            output,
            &Progress::new(),
            &Stop::new(),
        )
        .unwrap_err();
        assert_eq!(error.to_string(), "segment 0 of track 1");
        assert!(!target.exists());
    }
}
