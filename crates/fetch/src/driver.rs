//! The stage: many requests open, answers in order, within bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aqueduct_core::{
    ByteRange, Fetch, FetchError, Fetched, GapCause, Grant, Item, Kind, Lender, Located, Part, Receiver, Resource, Sealed, SegmentInfo,
    Sender, Stop, TrackId, Unit, channel,
};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::missing::{Missing, OnMissing, OtherPlaces, may_be_skipped, resource};
use crate::permits::{Permit, Permits};

/// Segments that may be under way or wait for their turn, for each track. The byte budget is what bounds memory;
/// this bounds the bookkeeping.
const AHEAD: usize = 64;

/// Pieces of a streamed file that may wait for their turn.
const PIECES: usize = 4;

/// Ranges that follow each other are asked for together, up to so many bytes: fewer requests for small ones, and no
/// fewer connections for large ones.
const TOGETHER: u64 = 1 << 20;

/// While nobody knows how large a segment is, each counts for this part of the budget until its length comes. More requests
/// would be answered at once, and each answer that waits for memory has a receive buffer of its own.
const UNKNOWN: usize = 8;

/// After so many segments in a row that could not be had, and might be had later, nobody expects the next.
const MOST_FAILED: usize = 32;

/// A unit on its way to the outlet.
enum Pending {
    Ready(Item<Sealed>),
    Fetching {
        item: Item<Resource>,
        body: Body,
    },
    Streaming {
        info: Arc<SegmentInfo>,
        pieces: Receiver<Sealed>,
        end: AbortOnDropHandle<Result<(), FetchError>>,
    },
}

/// A body on its way.
enum Body {
    /// It has a request of its own.
    Alone(AbortOnDropHandle<Result<Sealed, FetchError>>),
    /// It shares one with those beside it.
    Part {
        answer: Receiver<Result<Fetched, FetchError>>,
        request: Arc<AbortOnDropHandle<()>>,
    },
}

impl Body {
    async fn join(self) -> Result<Sealed, FetchError> {
        match self {
            Self::Alone(handle) => join(handle).await,
            Self::Part { answer, request } => {
                let answer = answer.recv().await;
                drop(request);
                match answer {
                    Ok(fetched) => fetched.map(|fetched| fetched.body),
                    Err(_) => Err(FetchError::Other("the fetcher left a part unanswered".into())),
                }
            }
        }
    }
}

/// Fetches what `inlet` names and writes it to `outlet` in the same order, until the inlet is closed and empty.
///
/// Requests start in order, as many at once as `permits` and the budget of `lender` allow. It ends quietly when the
/// receiver of `outlet` is dropped, behind the requests that are open when the whole that `stop` belongs to drains, and at once,
/// without a word, when it aborts.
///
/// # Errors
///
/// The first failure in stream order, with its place. Under [`OnMissing::Gap`] a segment that cannot be had becomes
/// an [`Item::Gap`]; what policy refuses, an initialization section that cannot be had, and a server that is gone (32
/// segments in a row that failed in a way that might pass) remain errors.
pub async fn run<F: Fetch>(
    fetch: Arc<F>,
    lender: Lender,
    permits: Permits,
    missing: impl Into<Missing>,
    inlet: Receiver<Item<Resource>>,
    outlet: Sender<Item<Sealed>>,
    stop: Stop,
) -> Result<(), Located<FetchError>> {
    let (queue, pending) = channel(AHEAD);
    let other_places = OtherPlaces {
        fetch: Arc::clone(&fetch),
        lender: &lender,
        missing: missing.into(),
    };
    let dispatch = async {
        tokio::select! {
            () = stop.whole_draining() => {}
            () = dispatch(fetch, &lender, &permits, inlet, queue) => {}
        }
    };
    let emit = emit(other_places, pending, outlet, &stop);
    let (mut dispatch, mut emit) = (std::pin::pin!(dispatch), std::pin::pin!(emit));
    tokio::select! {
        () = stop.aborted() => Ok(()),
        // Bodies that nobody takes any more hold the budget that the dispatcher may be waiting for.
        result = &mut emit => result,
        () = &mut dispatch => tokio::select! {
            () = stop.aborted() => Ok(()),
            result = emit => result,
        },
    }
}

/// Starts requests in order. Ends when the inlet does, or when nobody takes their answers.
async fn dispatch<F: Fetch>(fetch: Arc<F>, lender: &Lender, permits: &Permits, inlet: Receiver<Item<Resource>>, queue: Sender<Pending>) {
    // What the next body will take of the budget, by what the last ones took.
    let typical = Arc::new(AtomicUsize::new(0));
    let mut inlet = Inlet { inlet, next: None };
    while let Some(item) = inlet.recv().await {
        let pending = match item {
            Item::Gap { info, segments, cause } => Pending::Ready(Item::Gap { info, segments, cause }),
            Item::Segment { info, payload } if payload.kind == Kind::File => {
                let permit = permits.acquire(&payload.url).await;
                let (to_emit, pieces) = channel(PIECES);
                let (fetch, lender) = (Arc::clone(&fetch), lender.clone());
                let end = spawn(info.track, Unit::Segment(info.msn), async move {
                    let _permit = permit;
                    let _open = lender.progress.counters().open_request();
                    fetch.stream(&payload, &lender, &to_emit).await
                });
                Pending::Streaming { info, pieces, end }
            }
            item => {
                let Some(resource) = resource(&item).cloned() else { continue };
                let permit = permits.acquire(&resource.url).await;
                let behind = inlet.behind(&resource);
                if !behind.is_empty() {
                    if !together(&fetch, lender, permit, item, behind, &queue).await {
                        return;
                    }
                    continue;
                }
                let expected = match resource.range {
                    Some(range) => length(range),
                    None if resource.kind == Kind::Init => 0,
                    None => match typical.load(Ordering::Relaxed) {
                        0 => lender.budget.limit() / UNKNOWN,
                        typical => typical,
                    },
                };
                let grant = lender.grant(&resource, expected).await;
                let grant = grant.with_meter(permit.meter().cloned()).asked_now();
                let job = Job {
                    fetch: Arc::clone(&fetch),
                    lender: lender.clone(),
                    resource,
                    grant,
                    permit,
                    typical: Arc::clone(&typical),
                };
                let body = Body::Alone(spawn(item.track(), item.unit(), job.run()));
                Pending::Fetching { item, body }
            }
        };
        if queue.send(pending).await.is_err() {
            return;
        }
    }
}

/// Starts one request for `first` and those behind it. `false` when nobody takes their answers.
async fn together<F: Fetch>(
    fetch: &Arc<F>,
    lender: &Lender,
    permit: Permit,
    first: Item<Resource>,
    behind: Vec<Item<Resource>>,
    queue: &Sender<Pending>,
) -> bool {
    let (to_request, parts) = channel(behind.len() + 1);
    let meter = permit.meter().cloned();
    // It begins with the first part, while the next may still wait for memory.
    let request = Arc::new(spawn(first.track(), first.unit(), {
        let (fetch, lender) = (Arc::clone(fetch), lender.clone());
        async move {
            let _permit = permit;
            let _open = lender.progress.counters().open_request();
            fetch.fetch_parts(&parts).await;
        }
    }));
    let mut ahead: u64 = behind.iter().filter_map(|item| Some(resource(item)?.range?.length)).sum();
    for (number, item) in std::iter::once(first).chain(behind).enumerate() {
        let Some((resource, range)) = resource(&item).and_then(|resource| Some((resource.clone(), resource.range?))) else {
            continue;
        };
        if number > 0 {
            ahead = ahead.saturating_sub(range.length);
        }
        let mut grant = lender.grant(&resource, length(range)).await.with_meter(meter.clone());
        if number == 0 {
            grant = grant.asked_now();
        }
        let (to_emit, answer) = channel(1);
        let part = Part {
            resource,
            grant,
            ahead,
            answer: to_emit,
        };
        // A request that ended early leaves its parts unanswered, which is told in their turn.
        let _ = to_request.send(part).await;
        let request = Arc::clone(&request);
        let body = Body::Part { answer, request };
        if queue.send(Pending::Fetching { item, body }).await.is_err() {
            return false;
        }
    }
    true
}

/// The inlet, with the item that was looked at already.
struct Inlet {
    inlet: Receiver<Item<Resource>>,
    next: Option<Item<Resource>>,
}

impl Inlet {
    async fn recv(&mut self) -> Option<Item<Resource>> {
        match self.next.take() {
            Some(item) => Some(item),
            None => self.inlet.recv().await.ok(),
        }
    }

    /// Takes out the items that are there already and go on where `first` ends.
    fn behind(&mut self, first: &Resource) -> Vec<Item<Resource>> {
        let Some(range) = first.range else { return Vec::new() };
        let mut items = Vec::new();
        let (mut end, mut bytes) = (range.offset.checked_add(range.length), range.length);
        while let Some(item) = self.next.take().or_else(|| self.inlet.try_recv().ok()) {
            let range = resource(&item).and_then(|next| {
                let apart = next.url != first.url || next.referrer != first.referrer;
                let apart = apart || next.named_by != first.named_by || next.version != first.version;
                let range = next.range.filter(|range| !apart && Some(range.offset) == end)?;
                Some(range).filter(|range| bytes.saturating_add(range.length) <= TOGETHER)
            });
            let Some(range) = range else {
                self.next = Some(item);
                break;
            };
            end = range.offset.checked_add(range.length);
            bytes += range.length;
            items.push(item);
        }
        items
    }
}

fn length(range: ByteRange) -> usize {
    usize::try_from(range.length).unwrap_or(usize::MAX)
}

fn spawn<T: Send + 'static>(track: TrackId, unit: Unit, work: impl Future<Output = T> + Send + 'static) -> AbortOnDropHandle<T> {
    let span = tracing::debug_span!("fetch", %track, %unit);
    AbortOnDropHandle::new(tokio::spawn(work.instrument(span)))
}

/// One request, with all that it holds while it is open.
struct Job<F> {
    fetch: Arc<F>,
    lender: Lender,
    resource: Resource,
    grant: Grant,
    permit: Permit,
    typical: Arc<AtomicUsize>,
}

impl<F: Fetch> Job<F> {
    async fn run(self) -> Result<Sealed, FetchError> {
        let Self {
            fetch,
            lender,
            resource,
            grant,
            permit,
            typical,
        } = self;
        let open = lender.progress.counters().open_request();
        let fetched = fetch.fetch(&resource, grant).await;
        drop(open);
        drop(permit);
        let body = fetched?.body;
        if resource.kind != Kind::Init {
            let before = typical.load(Ordering::Relaxed);
            let length = body.as_slice().len();
            typical.store(
                if before == 0 { length } else { before - before / 4 + length / 4 },
                Ordering::Relaxed,
            );
        }
        Ok(body)
    }
}

/// Awaits answers in order and hands them on.
async fn emit<F: Fetch>(
    other_places: OtherPlaces<'_, F>,
    pending: Receiver<Pending>,
    outlet: Sender<Item<Sealed>>,
    stop: &Stop,
) -> Result<(), Located<FetchError>> {
    let (track, on_missing) = (other_places.lender.track, other_places.missing.then);
    let mut failed = 0;
    while let Ok(next) = pending.recv().await {
        let item = match next {
            Pending::Ready(item) => item,
            Pending::Fetching { item, body } => {
                let unit = item.unit();
                let (item, body) = match body.join().await {
                    Ok(body) => (item, Ok(body)),
                    Err(error) => other_places.instead(item, error).await,
                };
                failed = match &body {
                    Err(error) if error.is_retryable() => failed + 1,
                    _ => 0,
                };
                match (body, item) {
                    (Ok(payload), Item::Init { info, .. }) => Item::Init { info, payload },
                    (Ok(payload), Item::Segment { info, .. }) => Item::Segment { info, payload },
                    (Err(error), Item::Segment { info, .. })
                        if on_missing == OnMissing::Gap && failed < MOST_FAILED && may_be_skipped(&error) =>
                    {
                        tracing::warn!(%track, msn = info.msn, %error, "segment left out");
                        Item::Gap {
                            info,
                            segments: 1,
                            cause: GapCause::Failed(describe(&error)),
                        }
                    }
                    (Err(error), _) => return Err(Located::new(track, unit, error)),
                    (Ok(_), Item::Gap { .. }) => continue,
                }
            }
            Pending::Streaming { info, pieces, end } => {
                let mut msn = info.msn;
                loop {
                    // One request is the whole of the file, so that draining ends it.
                    let payload = tokio::select! {
                        biased;
                        () = stop.draining() => return Ok(()),
                        piece = pieces.recv() => piece,
                    };
                    let Ok(payload) = payload else { break };
                    let info = Arc::new(SegmentInfo {
                        msn,
                        ..SegmentInfo::clone(&info)
                    });
                    msn += 1;
                    if outlet.send(Item::Segment { info, payload }).await.is_err() {
                        return Ok(());
                    }
                }
                join(end).await.map_err(|error| Located::new(track, Unit::Track, error))?;
                continue;
            }
        };
        if outlet.send(item).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn describe(error: &FetchError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

async fn join<T>(handle: AbortOnDropHandle<Result<T, FetchError>>) -> Result<T, FetchError> {
    match handle.await {
        Ok(result) => result,
        Err(error) => Err(FetchError::Other(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use aqueduct_core::{Budget, Limits, Progress, SafeUrl};
    use url::Url;

    use super::*;
    use crate::permits::Concurrency;

    /// Answers after a time that is told by the path; `/fail` fails. It remembers what was asked for, and how many
    /// requests were open at once.
    #[derive(Default)]
    struct Fake {
        asked: Mutex<Vec<String>>,
        open: AtomicUsize,
        most_open: AtomicUsize,
    }

    impl Fetch for Fake {
        async fn fetch(&self, resource: &Resource, mut grant: Grant) -> Result<Fetched, FetchError> {
            let path = resource.url.url().path().trim_start_matches('/').to_owned();
            self.asked.lock().unwrap().push(path.clone());
            let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_open.fetch_max(open, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(path.parse().unwrap_or(1))).await;
            self.open.fetch_sub(1, Ordering::SeqCst);
            if path == "fail" {
                return Err(FetchError::Status {
                    url: resource.url.clone(),
                    status: 404,
                    retry_after: None,
                });
            }
            grant.write(path.as_bytes()).await?;
            Ok(Fetched::new(resource.url.clone(), grant.seal()))
        }
    }

    const TRACK: TrackId = TrackId::new(0);

    fn segment(msn: u64, path: &str) -> Item<Resource> {
        let resource = Resource::new(
            Kind::Segment,
            SafeUrl::from(Url::parse("http://host.example/").unwrap().join(path).unwrap()),
        );
        let info = SegmentInfo::new(TRACK, msn, Duration::from_secs(1), resource.clone());
        Item::Segment {
            info: Arc::new(info),
            payload: resource,
        }
    }

    fn lender(budget: usize) -> Lender {
        Lender {
            budget: Budget::new(budget),
            track: TRACK,
            limits: Limits::default(),
            progress: Progress::default(),
        }
    }

    async fn fetch_all(fake: &Arc<Fake>, paths: &[&str], on_missing: OnMissing) -> (Vec<String>, Result<(), Located<FetchError>>) {
        let (to_fetch, inlet) = channel(paths.len());
        for (msn, path) in paths.iter().enumerate() {
            to_fetch.send(segment(msn as u64, path)).await.unwrap();
        }
        drop(to_fetch);
        let (outlet, fetched) = channel(paths.len());
        let permits = Permits::split(Concurrency::Fixed(3), 1).remove(0);
        let result = run(Arc::clone(fake), lender(1 << 20), permits, on_missing, inlet, outlet, Stop::new()).await;
        let mut left = Vec::new();
        while let Ok(item) = fetched.recv().await {
            left.push(match item {
                Item::Segment { payload, .. } => String::from_utf8(payload.as_slice().to_vec()).unwrap(),
                Item::Gap { info, .. } => format!("gap {}", info.msn),
                Item::Init { .. } => "init".into(),
            });
        }
        (left, result)
    }

    #[tokio::test(start_paused = true)]
    async fn answers_leave_in_order_whatever_order_they_arrive_in() {
        let fake = Arc::default();
        let paths = ["50", "3", "40", "2", "30", "1", "20"];
        let (left, result) = fetch_all(&fake, &paths, OnMissing::Abort).await;
        result.unwrap();
        assert_eq!(left, paths);
        assert_eq!(*fake.asked.lock().unwrap(), paths, "requests start in order too");
        assert_eq!(fake.most_open.load(Ordering::SeqCst), 3, "as many at once as are permitted");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_segment_ends_the_stage_after_those_before_it_or_becomes_a_gap() {
        let (left, result) = fetch_all(&Arc::default(), &["20", "fail", "2"], OnMissing::Abort).await;
        assert_eq!(left, ["20"]);
        let error = result.unwrap_err();
        assert_eq!((error.unit, error.source.status()), (Unit::Segment(1), Some(404)));
        let (left, result) = fetch_all(&Arc::default(), &["20", "fail", "2"], OnMissing::Gap).await;
        assert_eq!(left, ["20", "gap 1", "2"]);
        result.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_asked_for_at_first_than_there_is_room_for() {
        let fake = Arc::new(Fake::default());
        let (to_fetch, inlet) = channel(40);
        for msn in 0..40 {
            to_fetch.send(segment(msn, "10")).await.unwrap();
        }
        drop(to_fetch);
        let (outlet, _fetched) = channel(40);
        let permits = Permits::split(Concurrency::Fixed(32), 1).remove(0);
        let stage = tokio::spawn(run(
            Arc::clone(&fake),
            lender(1 << 20),
            permits,
            OnMissing::Abort,
            inlet,
            outlet,
            Stop::new(),
        ));
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(fake.open.load(Ordering::SeqCst), UNKNOWN);
        // Once it is known how small they are, as many as are permitted.
        stage.await.unwrap().unwrap();
        assert_eq!(fake.most_open.load(Ordering::SeqCst), 32);
    }

    #[tokio::test(start_paused = true)]
    async fn once_the_whole_drains_nothing_new_is_asked_for() {
        // A part that is drained alone takes all that was named.
        for (alone, expected) in [(false, 4), (true, 40)] {
            let fake = Arc::new(Fake::default());
            let (to_fetch, inlet) = channel(40);
            for msn in 0..40 {
                to_fetch.send(segment(msn, "10")).await.unwrap();
            }
            drop(to_fetch);
            let (outlet, fetched) = channel(40);
            let permits = Permits::split(Concurrency::Fixed(4), 1).remove(0);
            let whole = Stop::new();
            let part = whole.child();
            let stage = tokio::spawn(run(
                Arc::clone(&fake),
                lender(1 << 20),
                permits,
                OnMissing::Abort,
                inlet,
                outlet,
                part.child(),
            ));
            tokio::time::sleep(Duration::from_millis(5)).await;
            let drained = if alone { &part } else { &whole };
            drained.drain();
            stage.await.unwrap().unwrap();
            let mut came = Vec::new();
            while let Ok(item) = fetched.recv().await {
                let Unit::Segment(msn) = item.unit() else { panic!("{item:?}") };
                came.push(msn);
            }
            assert_eq!(came, (0..expected).collect::<Vec<_>>());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outlet_that_nobody_reads_stops_the_requests() {
        let fake = Arc::new(Fake::default());
        let (to_fetch, inlet) = channel(1);
        let (outlet, fetched) = channel(1);
        let feed = tokio::spawn(async move {
            for msn in 0..100 {
                if to_fetch.send(segment(msn, "1")).await.is_err() {
                    break;
                }
            }
        });
        // Each body takes one byte: a budget of five holds five of them.
        let stage = tokio::spawn(run(
            Arc::clone(&fake),
            lender(5),
            Permits::split(Concurrency::Fixed(50), 1).remove(0),
            OnMissing::Abort,
            inlet,
            outlet,
            Stop::new(),
        ));
        // Paused time only moves when everything else waits.
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let asked = fake.asked.lock().unwrap().len();
        assert!(asked < 60, "{asked} requests for an outlet that is stalled");
        drop(fetched);
        stage.await.unwrap().unwrap();
        feed.abort();
    }
}
