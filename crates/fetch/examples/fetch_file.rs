//! Fetches one file of any size, in pieces, with retries: `fetch_file URL OUTPUT`.

use std::io::Write;

use aqueduct_core::{Budget, Fetch, Kind, Lender, Limits, Progress, Resource, TrackId, channel};
use aqueduct_fetch::{HttpFetcher, Options};
use url::Url;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, output] = arguments.as_slice() else {
        return Err("usage: fetch_file URL OUTPUT".into());
    };
    let resource = Resource::new(Kind::File, Url::parse(url)?);
    let fetcher = HttpFetcher::new(Options::default())?;
    let lender = Lender {
        budget: Budget::new(8 << 20),
        track: TrackId::new(0),
        limits: Limits::default(),
        progress: Progress::new(),
    };
    let (outlet, pieces) = channel(4);
    let mut file = std::fs::File::create(output)?;
    let fetching = async {
        let fetched = fetcher.stream(&resource, &lender, &outlet).await;
        outlet.close();
        fetched
    };
    let writing = async {
        while let Ok(piece) = pieces.recv().await {
            file.write_all(piece.as_slice())?;
        }
        Ok::<_, std::io::Error>(())
    };
    let (fetched, written) = tokio::join!(fetching, writing);
    fetched?;
    Ok(written?)
}
