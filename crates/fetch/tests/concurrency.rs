//! How many requests the adaptive count opens, in networks of the mind under paused time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aqueduct_core::{
    Budget, Fetch, FetchError, Fetched, Grant, Item, Kind, Lender, Limits, Progress, Resource, SegmentInfo, Stop, TrackId, channel,
};
use aqueduct_fetch::{Concurrency, OnMissing, Permits, run};
use tokio::time::{Instant, sleep};
use url::Url;

const MIB: usize = 1 << 20;

/// A network and its server.
#[derive(Clone, Copy)]
struct Network {
    /// From a request to the first byte.
    latency: Duration,
    /// How often bytes arrive.
    tick: Duration,
    /// What one connection carries, in bytes per second.
    connection: usize,
    /// What all together carry.
    together: usize,
    /// Beyond so many at once the server spends its strength on them.
    good_for: usize,
    /// Requests beyond so many are answered with 429.
    accepts: usize,
    /// So many of a hundred tries fail half-way.
    faults: usize,
}

const WIDE: Network = Network {
    latency: Duration::from_millis(60),
    tick: Duration::from_millis(50),
    connection: 1000 * MIB,
    together: 1000 * MIB,
    good_for: 1000,
    accepts: 1000,
    faults: 0,
};

struct Simulated {
    network: Network,
    length: usize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    tries: AtomicUsize,
    refused: AtomicUsize,
}

impl Simulated {
    /// The bytes that one connection carries in a tick.
    fn per_tick(&self) -> usize {
        let open = self.open.load(Ordering::Relaxed).max(1);
        let together = self.network.together * self.network.good_for / open.max(self.network.good_for);
        let rate = self.network.connection.min(together / open);
        (rate / 1000 * self.network.tick.as_millis() as usize).max(1)
    }

    async fn attempt(&self, resource: &Resource, grant: &mut Grant) -> Result<(), FetchError> {
        let status = |status| FetchError::Status {
            url: resource.url.clone(),
            status,
            retry_after: None,
        };
        sleep(self.network.latency).await;
        if self.open.load(Ordering::Relaxed) > self.network.accepts {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(status(429));
        }
        // The same tries fail in every run.
        let number = self.tries.fetch_add(1, Ordering::Relaxed);
        let fails = number * 37 % 100 < self.network.faults;
        while grant.len() < self.length {
            if fails && grant.len() >= self.length / 2 {
                return Err(status(500));
            }
            let piece = self.per_tick().min(self.length - grant.len());
            grant.write(&vec![0; piece]).await?;
            if grant.len() < self.length {
                sleep(self.network.tick).await;
            }
        }
        Ok(())
    }
}

impl Fetch for Simulated {
    async fn fetch(&self, resource: &Resource, mut grant: Grant) -> Result<Fetched, FetchError> {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_open.fetch_max(open, Ordering::Relaxed);
        while let Err(error) = self.attempt(resource, &mut grant).await {
            grant.failed(&error);
            grant.restart();
            self.open.fetch_sub(1, Ordering::Relaxed);
            sleep(Duration::from_millis(100)).await;
            self.open.fetch_add(1, Ordering::Relaxed);
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
        Ok(Fetched::new(resource.url.clone(), grant.seal()))
    }
}

struct Outcome {
    took: f64,
    most_open: usize,
    refused: usize,
}

async fn transfer(network: Network, length: usize, segments: u64, concurrency: Concurrency) -> Outcome {
    let fetch = Arc::new(Simulated {
        network,
        length,
        open: AtomicUsize::new(0),
        most_open: AtomicUsize::new(0),
        tries: AtomicUsize::new(0),
        refused: AtomicUsize::new(0),
    });
    let track = TrackId::new(0);
    let lender = Lender {
        budget: Budget::new(64 * MIB),
        track,
        limits: Limits::default(),
        progress: Progress::default(),
    };
    let (to_fetch, inlet) = channel(16);
    let (outlet, fetched) = channel(16);
    let feed = tokio::spawn(async move {
        for msn in 0..segments {
            let resource = Resource::new(Kind::Segment, Url::parse("http://host.example/").unwrap());
            let info = SegmentInfo::new(track, msn, Duration::from_secs(1), resource.clone());
            let item = Item::Segment {
                info: Arc::new(info),
                payload: resource,
            };
            to_fetch.send(item).await.unwrap();
        }
    });
    let drain = tokio::spawn(async move { while fetched.recv().await.is_ok() {} });
    let begun = Instant::now();
    let permits = Permits::split(concurrency, 1).remove(0);
    run(Arc::clone(&fetch), lender, permits, OnMissing::Abort, inlet, outlet, Stop::new())
        .await
        .unwrap();
    let took = begun.elapsed().as_secs_f64();
    feed.await.unwrap();
    drain.await.unwrap();
    Outcome {
        took,
        most_open: fetch.most_open.load(Ordering::Relaxed),
        refused: fetch.refused.load(Ordering::Relaxed),
    }
}

/// How the adaptive count does against the best of 4, 8, 16 and 32: its share of their throughput, and all times.
async fn share_of_the_best(network: Network, length: usize, segments: u64) -> (f64, String) {
    let mut best = f64::MAX;
    let mut told = String::new();
    for fixed in [4, 8, 16, 32] {
        let took = transfer(network, length, segments, Concurrency::Fixed(fixed)).await.took;
        told += &format!("{fixed}: {took:.2} s, ");
        best = best.min(took);
    }
    let auto = transfer(network, length, segments, Concurrency::default()).await;
    told += &format!("auto: {:.2} s with {} at most", auto.took, auto.most_open);
    (best / auto.took, told)
}

#[tokio::test(start_paused = true)]
async fn the_adaptive_count_is_as_good_as_the_best_fixed_one() {
    let capped = |mib| Network {
        connection: mib * MIB,
        ..WIDE
    };
    let cases = [
        ("each connection is slow", capped(1), MIB, 600, 0.9),
        ("each connection is slow, large segments", capped(1), 2 * MIB, 300, 0.9),
        ("each connection is less slow", capped(4), MIB, 1500, 0.9),
        ("a short film over slow connections", capped(8), 2 * MIB, 128, 0.75),
        ("small segments, latency is all", WIDE, 40 << 10, 8000, 0.9),
        (
            "long latency",
            Network {
                latency: Duration::from_millis(300),
                ..capped(2)
            },
            MIB,
            1000,
            0.9,
        ),
        (
            "a bottleneck that few fill",
            Network {
                together: 20 * MIB,
                ..capped(4)
            },
            MIB,
            400,
            0.9,
        ),
        (
            "a loopback",
            Network {
                latency: Duration::from_millis(1),
                tick: Duration::from_millis(1),
                ..WIDE
            },
            2 * MIB,
            2000,
            0.9,
        ),
        (
            "a server that tires",
            Network {
                together: 16 * MIB,
                good_for: 8,
                ..capped(2)
            },
            MIB,
            300,
            0.9,
        ),
        ("one try of twenty fails", Network { faults: 5, ..capped(1) }, MIB, 600, 0.85),
    ];
    let mut failed = Vec::new();
    for (name, network, length, segments, least) in cases {
        let (share, told) = share_of_the_best(network, length, segments).await;
        if share < least {
            failed.push(format!("{name}: {share:.3} of the best; {told}"));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_pushes_back_is_left_in_peace() {
    let network = Network {
        connection: MIB,
        accepts: 10,
        ..WIDE
    };
    let auto = transfer(network, MIB, 600, Concurrency::default()).await;
    let fixed = transfer(network, MIB, 600, Concurrency::Fixed(32)).await;
    assert!(
        auto.refused * 5 < fixed.refused,
        "{} refusals, and {} at 32",
        auto.refused,
        fixed.refused
    );
    // Ten connections at best.
    assert!(auto.took < 1.6 * 600.0 / 10.0, "{} s", auto.took);
}
