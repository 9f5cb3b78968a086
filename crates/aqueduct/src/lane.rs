//! The lane of a track: the stages from the resolver to clear items, and the channels between them.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use aqueduct_core::{
    Budget, Clear, Decrypt, Fetch, Item, Lender, Limits, Progress, Receiver, Resolve, ResolveError, Resource, Sender, Stop, Track, TrackId,
    TrackKind, channel,
};
use aqueduct_decrypt::{KeyStore, OnLocked};
use aqueduct_fetch::{Elsewhere, Missing, OnMissing, Permits};
use tokio::task::JoinSet;

use crate::counterparts::Counterparts;
use crate::padding::Padded;
use crate::pipeline::panicked;
use crate::resume::Beyond;
use crate::{Error, Options};

/// The stages of all lanes of a run, which share the budget, the keys and the stop.
pub(crate) struct Stages<R, F: Fetch, D> {
    resolver: Arc<R>,
    fetcher: Arc<F>,
    decrypter: D,
    padded: BTreeMap<TrackId, Padded>,
    options: Options,
    progress: Progress,
    budget: Budget,
    keys: Arc<KeyStore<F>>,
    locked: OnLocked,
    stop: Stop,
    /// When it fails, what came before the failure still flows into the output, so that a later run need not fetch it.
    source: Stop,
    running: JoinSet<Result<Beyond, Failure>>,
    ahead: JoinSet<()>,
}

impl<R: Resolve, F: Fetch, D: Decrypt> Stages<R, F, D> {
    pub(crate) fn new(resolver: Arc<R>, fetcher: Arc<F>, decrypter: D, options: Options, progress: &Progress, stop: &Stop) -> Self {
        Self {
            resolver,
            keys: Arc::new(KeyStore::new(Arc::clone(&fetcher), options.limits)),
            fetcher,
            decrypter,
            padded: BTreeMap::new(),
            locked: match options.on_missing {
                OnMissing::Abort => OnLocked::Abort,
                OnMissing::Gap => OnLocked::GapWithoutKey,
            },
            budget: Budget::new(options.budget_bytes),
            options,
            progress: progress.clone(),
            stop: stop.clone(),
            source: stop.child(),
            running: JoinSet::new(),
            ahead: JoinSet::new(),
        }
    }

    /// The same for a repair: what proves itself is not given up for what cannot be decrypted.
    #[must_use]
    pub(crate) fn of_repair(mut self) -> Self {
        self.locked = OnLocked::Gap;
        self
    }

    /// Tells the lane of a track, before it starts, which keys it lies under are known to have all padded.
    pub(crate) fn expect_padding(&mut self, track: TrackId, padded: Padded) {
        self.padded.entry(track).or_default().append(padded);
    }

    /// What ends the sources alone.
    pub(crate) fn source(&self) -> &Stop {
        &self.source
    }

    /// Starts the lane of a track.
    pub(crate) fn spawn(&mut self, track: &Track, permits: Permits) -> Receiver<Item<Clear>> {
        let (named, to_fetch) = channel(self.options.channel_items);
        self.resolve(track, named);
        self.fetch(track, permits, to_fetch)
    }

    /// Starts the lane of a track with one more stage behind its resolver, which decides what is fetched.
    pub(crate) fn spawn_through<S, E>(&mut self, track: &Track, permits: Permits, stage: S) -> Receiver<Item<Clear>>
    where
        S: FnOnce(Receiver<Item<Resource>>, Sender<Item<Resource>>, Stop) -> E,
        E: Future<Output = Result<Beyond, Error>> + Send + 'static,
    {
        let (named, to_choose) = channel(self.options.channel_items);
        let (chosen, to_fetch) = channel(self.options.channel_items);
        self.resolve(track, named);
        let stage = stage(to_choose, chosen, self.source.clone());
        self.running.spawn(async move { stage.await.map_err(Failure::Fatal) });
        self.fetch(track, permits, to_fetch)
    }

    /// Puts a last stage behind the lane of a track.
    pub(crate) fn spawn_behind<S, E>(&mut self, clear: Receiver<Item<Clear>>, stage: S) -> Receiver<Item<Clear>>
    where
        S: FnOnce(Receiver<Item<Clear>>, Sender<Item<Clear>>, Stop) -> E,
        E: Future<Output = Result<Beyond, Error>> + Send + 'static,
    {
        let (outlet, proved) = channel(1);
        let stage = stage(clear, outlet, self.stop.clone());
        self.running.spawn(async move { stage.await.map_err(Failure::Fatal) });
        proved
    }

    /// The decrypter that each lane has a clone of.
    pub(crate) fn decrypter(&self) -> D {
        self.decrypter.clone()
    }

    /// The keys.
    pub(crate) fn keys(&self) -> Arc<KeyStore<F>> {
        Arc::clone(&self.keys)
    }

    /// The size limits of what is fetched.
    pub(crate) fn limits(&self) -> Limits {
        self.options.limits
    }

    /// What lends room to the payloads of a track.
    pub(crate) fn lender(&self, track: &Track) -> Lender {
        Lender {
            budget: self.budget.clone(),
            track: track.id,
            limits: self.options.limits,
            progress: self.progress.clone(),
        }
    }

    /// The fetcher.
    pub(crate) fn fetcher(&self) -> Arc<F> {
        Arc::clone(&self.fetcher)
    }

    /// What other pathways have of a track.
    pub(crate) fn counterparts(&self, track: &Track) -> Counterparts {
        Counterparts::of(&self.resolver, &self.fetcher, track)
    }

    fn resolve(&mut self, track: &Track, named: Sender<Item<Resource>>) {
        let (resolver, fetcher, track) = (Arc::clone(&self.resolver), Arc::clone(&self.fetcher), track.clone());
        let (source, stop, outlet) = (self.source.clone(), self.stop.clone(), named.clone());
        self.running.spawn(async move {
            or_end_all(resolver.follow(&track, &*fetcher, named, source), outlet, &stop)
                .await
                .map_err(|error| Failure::of_source(&track, error))
        });
    }

    fn fetch(&mut self, track: &Track, permits: Permits, named: Receiver<Item<Resource>>) -> Receiver<Item<Clear>> {
        // As many as wait here may share a request.
        let (announced, to_fetch) = channel(self.options.channel_items);
        let (fetched, to_decrypt) = channel(self.options.channel_items);
        let (clear, to_mux) = channel(self.options.channel_items);
        self.ahead.spawn({
            let (decrypter, keys) = (self.decrypter.clone(), Arc::clone(&self.keys));
            async move { aqueduct_decrypt::fetch_ahead(decrypter, &keys, named, announced).await }
        });
        self.running.spawn({
            let (fetcher, lender, source) = (Arc::clone(&self.fetcher), self.lender(track), self.source.clone());
            let missing = Missing::from(self.options.on_missing).with_elsewhere(elsewhere(&self.resolver, &self.fetcher, track));
            let (stop, outlet) = (self.stop.clone(), fetched.clone());
            let stage = aqueduct_fetch::run(fetcher, lender, permits, missing, to_fetch, fetched, source);
            async move {
                or_end_all(stage, outlet, &stop)
                    .await
                    .map_err(|error| Failure::Source(Error::Fetch(error)))
            }
        });
        self.running.spawn({
            let (mut decrypter, keys, stop) = (self.decrypter.clone(), Arc::clone(&self.keys), self.stop.clone());
            if let Some(padded) = self.padded.remove(&track.id) {
                decrypter.expect_padding(padded.into());
            }
            let locked = self.locked;
            let plain_file = track.kind == TrackKind::File;
            async move {
                let outlet = clear.clone();
                let ended = if plain_file {
                    let stage = aqueduct_decrypt::run_file(decrypter, to_decrypt, clear, stop.clone());
                    or_end_all(stage, outlet, &stop).await
                } else {
                    let stage = aqueduct_decrypt::run(decrypter, &keys, locked, to_decrypt, clear, stop.clone());
                    or_end_all(stage, outlet, &stop).await
                };
                ended.map_err(|error| Failure::Fatal(Error::Decrypt(error)))
            }
        });
        to_mux
    }

    /// Whether every stage has ended.
    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// The end of the next stage that ends; `None` when all have.
    pub(crate) async fn ended(&mut self) -> Option<Result<Beyond, Failure>> {
        let ended = self.running.join_next().await?;
        Some(ended.unwrap_or_else(|error| Err(Failure::Fatal(panicked(error)))))
    }

    /// Ends what is left: keys that nothing needed.
    pub(crate) async fn end_keys(&mut self) -> Option<Error> {
        self.ahead.abort_all();
        let mut failed = None;
        while let Some(ended) = self.ahead.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                failed.get_or_insert(panicked(error));
            }
        }
        failed
    }
}

/// Runs a stage, and has all tracks end before its outlet closes where it fails. Otherwise the muxer would take a lane that
/// breaks off for one that is finished, and go on with the others alone: in another order than that of an undisturbed run.
async fn or_end_all<P, E>(stage: impl Future<Output = Result<(), E>>, outlet: Sender<Item<P>>, stop: &Stop) -> Result<Beyond, E> {
    let ended = stage.await;
    if ended.is_err() {
        stop.drain();
    }
    drop(outlet);
    ended.map(|()| Beyond::default())
}

/// Asks the resolver where else a unit of the track is.
fn elsewhere<R: Resolve, F: Fetch>(resolver: &Arc<R>, fetcher: &Arc<F>, track: &Track) -> Elsewhere {
    let (resolver, fetcher, track) = (Arc::clone(resolver), Arc::clone(fetcher), track.clone());
    Arc::new(move |lost| {
        let (resolver, fetcher, track) = (Arc::clone(&resolver), Arc::clone(&fetcher), track.clone());
        Box::pin(async move { resolver.elsewhere(&track, &lost, &*fetcher).await })
    })
}

/// How a stage of the source failed.
pub(crate) enum Failure {
    /// A live stream cannot be followed any further: what was fetched is worth keeping.
    Live(Error),
    /// What was fetched until then is worth recording.
    Source(Error),
    Fatal(Error),
}

impl Failure {
    fn of_source(track: &Track, error: ResolveError) -> Self {
        if track.live {
            Self::Live(Error::Resolve(error))
        } else {
            Self::Source(Error::Resolve(error))
        }
    }
}
