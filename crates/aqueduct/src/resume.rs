//! The stage that leaves out what an earlier run put into the output already.

use std::collections::VecDeque;
use std::sync::Arc;

use aqueduct_core::{Fetch, GapCause, InitInfo, Item, Lender, Located, Receiver, Resource, SegmentInfo, Sender, Stop, Track, TrackId};
use aqueduct_mux::{Entries, Entry, OutputError};
use tokio::sync::Barrier;

use crate::Error;
use crate::counterparts::{Counterparts, WRITTEN, entry};
use crate::padding::Padded;

/// Segments at the end of what is there by whose addresses a server is seen to count anew.
const KNOWN: usize = 32;

/// One track that is taken up.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) track: TrackId,
    /// Whether its playlist may still grow.
    pub(crate) live: bool,
    /// Whether it could when the output was begun: the window has moved since.
    pub(crate) was_live: bool,
    /// How many segments its playlist has, where that is known.
    pub(crate) segments: Option<u64>,
    /// Whether segments that are missing are named, and no error.
    pub(crate) gaps: bool,
    /// The key under which what is in the output is known to be padded.
    pub(crate) padded: Padded,
    /// What is in the output, if anything is.
    pub(crate) entries: Option<Entries>,
}

/// Adds the tracks that have nothing in an output yet: they wait until the others have matched.
pub(crate) fn with_all(mut jobs: Vec<Job>, tracks: &[Track]) -> Vec<Job> {
    if jobs.is_empty() {
        return jobs;
    }
    for track in tracks {
        if !jobs.iter().any(|job| job.track == track.id) {
            jobs.push(Job {
                track: track.id,
                live: track.live,
                was_live: false,
                segments: track.segments,
                gaps: false,
                padded: Padded::default(),
                entries: None,
            });
        }
    }
    jobs
}

/// What it takes to ask again for a segment that an earlier run left out, or for its counterparts.
pub(crate) struct Again<F> {
    pub(crate) fetcher: Arc<F>,
    pub(crate) lender: Lender,
    pub(crate) counterparts: Counterparts,
}

impl<F: Fetch> Again<F> {
    /// Whether a segment can be had by now, though the output goes on behind it. Either way the run ends here.
    async fn ask(&self, item: Item<Resource>) -> Error {
        let (track, unit) = (item.track(), item.unit());
        let Item::Segment { info, payload } = item else {
            return other(track, 0, "it is no segment");
        };
        let grant = self.lender.grant(&payload, 0).await;
        match self.fetcher.fetch(&payload, grant).await {
            Ok(_) => Error::LeftOut { track, msn: info.msn },
            Err(error) => Error::Fetch(Located::new(track, unit, error)),
        }
    }
}

/// How the segments that belong to an output differ from those of the playlist as it is now: a recording began where the
/// window was then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beyond {
    /// In the output, or named as missing, and not in the playlist any more.
    pub(crate) gone: u64,
    /// In the playlist, ahead of where the recording began.
    pub(crate) ahead: u64,
}

/// Takes what the resolver names, leaves out what `job` has, and hands on the rest: first of all the initialization section
/// in force, which the decrypter needs again.
///
/// Units are matched by Media Sequence Number, address without query and tokens, byte range, duration and Discontinuity Sequence
/// Number, as they are named or as a redundant pathway has them. Nothing is handed on before every track has matched: two streams
/// are not mixed.
///
/// # Errors
///
/// [`Error::OtherStream`]: what is named is not what the output has. [`Error::Expired`]: segments of a stream that has ended
/// left its playlist, and `job` wants no gaps. [`Error::LeftOut`] and [`Error::Fetch`]: the same for a segment that an earlier
/// run left out because it could not be had, which can be had now, or still cannot.
pub(crate) async fn run<F: Fetch>(
    job: Job,
    again: Again<F>,
    inlet: Receiver<Item<Resource>>,
    outlet: Sender<Item<Resource>>,
    matched: Arc<Barrier>,
    stop: Stop,
) -> Result<Beyond, Error> {
    let (expected, mut came) = (job.segments, 0);
    let Some(mut matcher) = Matcher::new(job, again.counterparts.clone())? else {
        if all_matched(&matched, &stop).await {
            hand_on(&inlet, &outlet).await;
        }
        return Ok(Beyond::default());
    };
    let first = loop {
        let Ok(item) = inlet.recv().await else {
            // A resolver that was stopped, or that failed, says so itself.
            if expected == Some(came) {
                matcher.close()?;
            }
            break None;
        };
        came += u64::from(!matches!(item, Item::Init { .. }));
        let compared = tokio::select! {
            biased;
            compared = matcher.compare(item) => compared?,
            // Another pathway may be slow to answer.
            () = stop.draining() => {
                all_matched(&matched, &stop).await;
                // What is named behind it has not matched.
                return Ok(matcher.beyond);
            }
        };
        match compared {
            Named::There => {}
            Named::Beyond(item) => break Some(item),
            Named::LeftOut(item) => {
                return tokio::select! {
                    () = stop.draining() => {
                        // The other tracks wait for this one.
                        all_matched(&matched, &stop).await;
                        Ok(matcher.beyond)
                    }
                    error = again.ask(item) => Err(error),
                };
            }
        }
    };
    let ahead = match &first {
        Some(first) => matcher.ahead_of(first)?,
        None => Vec::new(),
    };
    if !all_matched(&matched, &stop).await {
        return Ok(matcher.beyond);
    }
    for item in ahead.into_iter().chain(first) {
        if outlet.send(item).await.is_err() {
            return Ok(matcher.beyond);
        }
    }
    hand_on(&inlet, &outlet).await;
    Ok(matcher.beyond)
}

async fn hand_on(inlet: &Receiver<Item<Resource>>, outlet: &Sender<Item<Resource>>) {
    while let Ok(item) = inlet.recv().await {
        if outlet.send(item).await.is_err() {
            return;
        }
    }
}

/// Waits for the other tracks. A track that does not match never comes here, and aborts the others.
async fn all_matched(matched: &Barrier, stop: &Stop) -> bool {
    tokio::select! {
        () = stop.aborted() => false,
        _ = matched.wait() => true,
    }
}

/// What a unit that is named means to the output.
enum Named {
    /// It is there, or named as missing.
    There,
    /// The output does not go so far.
    Beyond(Item<Resource>),
    /// It is not there, what follows is, and gaps are not wanted.
    LeftOut(Item<Resource>),
}

/// Compares what is named with what is there, unit by unit.
struct Matcher {
    track: TrackId,
    entries: Entries,
    /// What comes next in the output.
    next: Option<Entry>,
    /// The window moved, or moves: the playlist need not name all that is in the output.
    moves: bool,
    /// It moves no more.
    ended: bool,
    gaps: bool,
    /// Something that is in the output was named.
    begun: bool,
    /// The Media Sequence Number behind the last segment in the output.
    behind: u64,
    /// The last segments in the output.
    known: VecDeque<Entry>,
    /// The initialization section in force, as it is named, and as the output has it.
    init: Option<Item<Resource>>,
    section: Option<Entry>,
    counterparts: Counterparts,
    beyond: Beyond,
}

impl Matcher {
    /// `None` where nothing is there.
    fn new(job: Job, counterparts: Counterparts) -> Result<Option<Self>, Error> {
        let Some(entries) = job.entries else { return Ok(None) };
        let mut matcher = Self {
            track: job.track,
            entries,
            next: None,
            moves: job.live || job.was_live,
            ended: job.was_live && !job.live,
            gaps: job.gaps,
            begun: false,
            behind: 0,
            known: VecDeque::new(),
            init: None,
            section: None,
            counterparts,
            beyond: Beyond::default(),
        };
        matcher.step()?;
        Ok(Some(matcher))
    }

    fn step(&mut self) -> Result<(), Error> {
        let next = self.entries.next().map_err(|source| {
            Error::Output(OutputError::Io {
                path: "the journal".into(),
                action: "cannot be read",
                source,
            })
        })?;
        match self.next.take() {
            Some(entry) if entry.init => self.section = Some(entry),
            Some(entry) => {
                self.behind = entry.last_msn().saturating_add(1);
                self.known.truncate(KNOWN - 1);
                self.known.push_front(entry);
            }
            None => {}
        }
        self.next = next;
        Ok(())
    }

    /// The same over what the playlist does not name any more.
    fn step_over(&mut self) -> Result<(), Error> {
        if let Some(entry) = self.next.as_ref().filter(|entry| !entry.init) {
            self.beyond.gone = self.beyond.gone.saturating_add(entry.segments);
        }
        self.step()
    }

    async fn compare(&mut self, item: Item<Resource>) -> Result<Named, Error> {
        let unit = entry(&item);
        if unit.init {
            self.init = Some(item.clone());
        }
        // What left a live window is in the output all the same, and is not asked for any more.
        while self.moves && self.next.as_ref().is_some_and(|entry| entry.last_msn() < unit.msn) {
            self.step_over()?;
        }
        // So is an initialization section that a playlist of another window names at another segment.
        while self.moves && !unit.init && self.next.as_ref().is_some_and(|entry| entry.init && entry.msn <= unit.msn) {
            self.step()?;
        }
        // And one that another pathway brought, where an earlier run went over to that.
        while !unit.init && self.next_is_section_in_force(unit.msn).await {
            self.step()?;
        }
        let Some(entry) = &self.next else {
            // The initialization section waits for the segment that it is for.
            return Ok(if unit.init { Named::There } else { Named::Beyond(item) });
        };
        if self.ended && !self.begun && unit.msn < entry.msn {
            self.beyond.ahead += u64::from(!unit.init);
            return Ok(Named::There);
        }
        if self.moves && !self.begun && !unit.init && unit.msn < entry.msn {
            return Err(counts_anew(self.track, entry.msn, unit.msn));
        }
        if self.moves && unit.init && !entry.init {
            // That of the first segment in the window, which is not where it changed.
            return Ok(Named::There);
        }
        if unit.init && !entry.init && self.is_section_in_output(&item, unit.msn).await {
            // It is this run that goes over to another pathway here.
            return Ok(Named::There);
        }
        if unit.init != entry.init {
            return Err(other(self.track, entry.msn, "its initialization section is not where it was"));
        }
        if self.moves && unit.segments > 1 {
            return self.compare_gap(item, &unit);
        }
        // What had left the window may be in the whole playlist again.
        let within = (entry.msn..=entry.last_msn()).contains(&unit.msn) && entry.segments > 1;
        if !within && let Some(what) = self.counterparts.difference(entry, &unit, &item).await {
            return Err(other(self.track, entry.msn, &what));
        }
        if self.moves && !within && entry.is_of_another_time(&unit) {
            return Err(other(self.track, entry.msn, ANOTHER_TIME));
        }
        if entry.is_lacking() && !self.gaps && matches!(item, Item::Segment { .. }) {
            return Ok(Named::LeftOut(item));
        }
        if within && !self.begun {
            self.beyond.gone = self.beyond.gone.saturating_add(unit.msn - entry.msn);
        }
        self.begun = true;
        if unit.msn >= entry.last_msn() {
            self.step()?;
        }
        Ok(Named::There)
    }

    /// Whether the output has a section next that is the same as the one in force where this segment is named.
    async fn next_is_section_in_force(&self, msn: u64) -> bool {
        match (&self.next, &self.init) {
            (Some(entry), Some(init)) if entry.init && entry.msn <= msn => self.counterparts.is_section(entry, init, msn).await,
            _ => false,
        }
    }

    /// Whether the section in force in the output is the same as this one.
    async fn is_section_in_output(&self, section: &Item<Resource>, msn: u64) -> bool {
        match &self.section {
            Some(entry) => self.counterparts.is_section(entry, section, msn).await,
            None => false,
        }
    }

    /// Takes from several missing segments those that the output has, or names already.
    fn compare_gap(&mut self, item: Item<Resource>, unit: &Entry) -> Result<Named, Error> {
        while self.next.as_ref().is_some_and(|entry| entry.msn <= unit.last_msn()) {
            self.step()?;
        }
        let segments = unit.last_msn().saturating_add(1).saturating_sub(self.behind);
        Ok(match item {
            Item::Gap { info, cause, .. } if segments > 0 => Named::Beyond(Item::Gap {
                info: at(&info, self.behind),
                segments,
                cause,
            }),
            _ => Named::There,
        })
    }

    /// The playlist is complete, and all of it was named.
    fn close(&mut self) -> Result<(), Error> {
        let Some(entry) = &self.next else { return Ok(()) };
        // A stream that has ended may keep its last window only, or nothing.
        if !self.ended || (self.beyond.ahead > 0 && !self.begun) {
            return Err(other(self.track, entry.msn, "it is not in the playlist any more"));
        }
        while self.next.is_some() {
            self.step_over()?;
        }
        Ok(())
    }

    /// What has to go in front of the first unit that the output lacks: the initialization section in force comes first,
    /// where the muxer looks for it.
    fn ahead_of(&mut self, first: &Item<Resource>) -> Result<Vec<Item<Resource>>, Error> {
        let (Item::Segment { info, .. } | Item::Gap { info, .. }) = first else {
            return Ok(self.init.take().into_iter().collect());
        };
        let mut ahead: Vec<_> = self.init.take().map(|init| in_force_at(init, info.msn)).into_iter().collect();
        let lost = info.msn.saturating_sub(self.behind);
        if !self.moves || lost == 0 {
            return Ok(ahead);
        }
        if self.ended && !self.gaps {
            return Err(Error::Expired {
                track: self.track,
                first_msn: self.behind,
                segments: lost,
            });
        }
        // Names may come round again, as numbers do not: that decides nothing.
        let now = Entry::segment(info, WRITTEN);
        match self
            .known
            .iter()
            .find(|known| (&known.address, known.range) == (&now.address, now.range))
        {
            Some(known) => tracing::warn!(
                track = %self.track, lost, now = now.msn, then = known.msn,
                "segments left the live window between the two runs, or the server counts anew: a segment has another number than it had"
            ),
            None => tracing::warn!(track = %self.track, lost, "segments left the live window between the two runs"),
        }
        self.beyond.gone = self.beyond.gone.saturating_add(lost);
        ahead.push(Item::Gap {
            info: at(info, self.behind),
            segments: lost,
            cause: GapCause::Expired,
        });
        Ok(ahead)
    }
}

/// The same segment with another number.
fn at(info: &SegmentInfo, msn: u64) -> Arc<SegmentInfo> {
    Arc::new(SegmentInfo { msn, ..info.clone() })
}

/// The same initialization section in front of another segment.
fn in_force_at(section: Item<Resource>, msn: u64) -> Item<Resource> {
    match section {
        Item::Init { info, payload } => Item::Init {
            info: Arc::new(InitInfo {
                first_msn: msn,
                ..InitInfo::clone(&info)
            }),
            payload,
        },
        other => other,
    }
}

pub(crate) const ANOTHER_TIME: &str = "it was recorded at another time, by its EXT-X-PROGRAM-DATE-TIME";

/// A live window begins in front of where it did.
pub(crate) fn counts_anew(track: TrackId, was: u64, is: u64) -> Error {
    let what = format!("its number was {was} and is {is}: the server counts its segments anew, so nothing says what lies between");
    other(track, was, &what)
}

fn other(track: TrackId, msn: u64, what: &str) -> Error {
    Error::OtherStream {
        what: format!("segment {msn} of {track}: {what}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aqueduct_core::{
        Budget, Clear, FetchError, Fetched, Grant, Kind, Limits, Presentation, Progress, Sealed, Track, TrackKind, channel,
    };
    use aqueduct_mux::{Concat, Output};
    use url::Url;

    use super::*;

    /// Nothing is to be had.
    struct Nowhere;

    impl Fetch for Nowhere {
        async fn fetch(&self, resource: &Resource, _: Grant) -> Result<Fetched, FetchError> {
            Err(FetchError::Other(resource.url.to_string().into()))
        }
    }

    fn info(track: TrackId, msn: u64, name: &str) -> Arc<SegmentInfo> {
        let url = Url::parse(&format!("http://host.example/{name}/{msn}.ts")).unwrap();
        let resource = Resource::new(Kind::Segment, url).redundant(true);
        Arc::new(SegmentInfo::new(track, msn, Duration::from_secs(2), resource))
    }

    fn named(track: TrackId, msn: u64) -> Item<Resource> {
        let info = info(track, msn, "b");
        let payload = info.resource.clone();
        Item::Segment { info, payload }
    }

    /// What is in an output that has one segment.
    fn entries(folder: &std::path::Path, track: TrackId) -> Option<Entries> {
        let (target, presentation) = (
            folder.join("out.ts"),
            Presentation::new(vec![Track::new(track, TrackKind::Main, "")]),
        );
        let job = aqueduct_mux::Job::new(&presentation, &[track], "raw");
        let mut output = Output::file(&target, false).unwrap();
        output.begin(&job).unwrap();
        let (to_mux, clear) = channel::<Item<Clear>>(1);
        let payload = Sealed::unbudgeted(&b"media"[..]).open(Ok::<_, std::convert::Infallible>).unwrap();
        let info = info(track, 0, "a");
        to_mux.try_send(Item::Segment { info, payload }).unwrap();
        drop(to_mux);
        let (progress, stop) = (Progress::new(), Stop::new());
        drop(aqueduct_mux::run(Concat::new(), &presentation, vec![(track, clear)], output, &progress, &stop).unwrap());
        let mut output = Output::file(&target, false).unwrap();
        output.begin(&job).unwrap().unwrap();
        output.entries(track).unwrap()
    }

    #[tokio::test]
    async fn what_was_not_compared_is_not_handed_on_once_the_source_ends() {
        let (folder, track) = (tempfile::tempdir().unwrap(), TrackId::new(0));
        let job = Job {
            track,
            live: false,
            was_live: false,
            segments: None,
            gaps: false,
            padded: Padded::default(),
            entries: entries(folder.path(), track),
        };
        let again = Again {
            fetcher: Arc::new(Nowhere),
            lender: Lender {
                budget: Budget::new(1),
                track,
                limits: Limits::default(),
                progress: Progress::new(),
            },
            counterparts: Counterparts::silent(),
        };
        let (to_resume, inlet) = channel(4);
        for msn in 0..4 {
            to_resume.try_send(named(track, msn)).unwrap();
        }
        drop(to_resume);
        let (outlet, handed_on) = channel(4);
        let stop = Stop::new();
        stop.drain();
        let ended = run(job, again, inlet, outlet, Arc::new(Barrier::new(1)), stop).await;
        assert_eq!(ended.unwrap(), Beyond::default());
        assert!(handed_on.recv().await.is_err(), "it was never seen to be the same stream");
    }
}
