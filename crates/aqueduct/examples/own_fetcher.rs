//! A fetcher of one's own, for a site that was saved to a folder: `own_fetcher FOLDER URL OUTPUT` reads what the page
//! and its playlists name from `FOLDER/path/of/the/url`. The resolver and the key store use it too.

use std::path::PathBuf;

use aqueduct::*;

struct Saved(PathBuf);

impl Fetch for Saved {
    async fn fetch(&self, resource: &Resource, mut grant: Grant) -> Result<Fetched, FetchError> {
        let path = self.0.join(resource.url.url().path().trim_start_matches('/'));
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
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, url, output] = arguments.as_slice() else {
        return Err("usage: own_fetcher FOLDER URL OUTPUT".into());
    };
    let pipeline = Pipeline::new(fetch::Options::default())?.with_fetcher(Saved(folder.into()));
    let presentation = pipeline.resolve(&Input::parse(url)).await?;
    pipeline.run(presentation, Output::file(output.as_ref(), true)?).await?;
    Ok(())
}
