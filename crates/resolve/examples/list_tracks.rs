//! Resolves a page or playlist in a local file, with a fetcher that reads files: `list_tracks FILE`.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use aqueduct_core::{Fetch, FetchError, Fetched, Grant, Input, Resolve, Resource};
use aqueduct_resolve::PageResolver;

struct Files;

impl Fetch for Files {
    async fn fetch(&self, resource: &Resource, mut grant: Grant) -> Result<Fetched, FetchError> {
        let invalid = |()| FetchError::Invalid {
            url: resource.url.clone(),
            what: "not a local file".into(),
        };
        let path = resource.url.url().to_file_path().map_err(invalid)?;
        let bytes = std::fs::read(path).map_err(|source| FetchError::File {
            url: resource.url.clone(),
            source,
        })?;
        grant.write(&bytes).await?;
        Ok(Fetched::new(resource.url.clone(), grant.seal()))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("usage: list_tracks FILE")?;
    let presentation = PageResolver::default().resolve(&Input::parse(&file), &Files).await?;
    println!("{}", presentation.account);
    for track in &presentation.tracks {
        println!("{} {}: {:?} segments, {:?}", track.kind, track.name, track.segments, track.duration);
    }
    Ok(())
}
