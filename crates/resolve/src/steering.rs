//! Content steering: the order in which a server wants redundant Variant Streams to be tried, and more of them than its
//! playlist lists (rfc8216bis, 7).

use std::collections::BTreeMap;
use std::time::Duration;

use aqueduct_core::{Fetch, FetchError, Grant, Kind, Resource};
use aqueduct_playlist::{MultivariantPlaylist, UriReplacement};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};
use url::Url;

use crate::resolver::Options;

/// Pathways that a manifest may add.
const MAX_CLONES: usize = 16;

/// When a manifest is read again that does not say when (7.2).
const TTL: Duration = Duration::from_secs(300);

/// A steering server that is silent, or that wants to be asked later, is waited for so long: the stream can be had without it.
const PATIENCE: Duration = Duration::from_secs(15);

/// No manifest is read again sooner, nor later, than that.
const SOONEST: Duration = Duration::from_secs(5);
const LATEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A Steering Manifest (rfc8216bis, 7.2).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
struct Manifest {
    version: u64,
    /// In seconds.
    ttl: Option<f64>,
    reload_uri: Option<String>,
    #[serde(default)]
    pathway_priority: Vec<String>,
    /// Each is read by itself: what one has wrong says nothing of the others.
    #[serde(default)]
    pathway_clones: Vec<serde_json::Value>,
}

/// A Pathway Clone (7.3).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
struct PathwayClone {
    base_id: String,
    id: String,
    uri_replacement: Replacement,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE", default)]
struct Replacement {
    host: Option<String>,
    params: BTreeMap<String, String>,
    per_variant_uris: BTreeMap<String, String>,
    per_rendition_uris: BTreeMap<String, String>,
}

/// The steering server of a presentation, which all its tracks ask together.
#[derive(Debug)]
pub(crate) struct Steering(Mutex<State>);

/// What it said last.
#[derive(Debug)]
struct State {
    /// The manifest that is read next.
    next: Resource,
    /// When; never again, where it is gone.
    due: Option<Instant>,
    ttl: Duration,
    /// The pathways in order of preference.
    pathways: Vec<String>,
}

impl Steering {
    /// Asks the steering server of a playlist, if it has one, for the pathways in order of preference; without an answer it
    /// is the pathway that the playlist begins with. Those that the manifest makes of others are added to the playlist. A
    /// manifest that cannot be had or read is no reason to stop (7.4), and is told in the log.
    pub(crate) async fn begin<F: Fetch>(
        options: &Options,
        fetch: &F,
        at: &Resource,
        playlist: &mut MultivariantPlaylist,
    ) -> Option<(Self, Vec<String>)> {
        let steering = playlist.content_steering.as_ref()?;
        let initial = steering.pathway_id.clone();
        let mut state = State {
            next: at.names(Kind::Playlist, steering.server_uri.url()),
            due: None,
            ttl: TTL,
            pathways: initial.iter().cloned().collect(),
        };
        if let Some((clones, at)) = state.read(options, fetch, initial.as_deref()).await {
            for clone in clones.into_iter().take(MAX_CLONES) {
                if let Err(error) = clone_pathway(clone, at.url.url(), playlist) {
                    tracing::warn!(url = %at.url, error, "a pathway of the steering manifest cannot be made");
                }
            }
        }
        let pathways = state.pathways.clone();
        Some((Self(Mutex::new(state)), pathways))
    }

    /// Waits until the manifest is to be read again, has that done once for all who wait, and gives the pathways in order of
    /// preference. `current` is the one in use.
    pub(crate) async fn renewed<F: Fetch>(&self, options: &Options, fetch: &F, current: Option<&str>) -> Vec<String> {
        let due = self.0.lock().await.due;
        match due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
        let mut state = self.0.lock().await;
        if state.due == due {
            // Pathways that it adds by now come too late: what the tracks may choose from was settled with the first.
            state.read(options, fetch, current).await;
        }
        state.pathways.clone()
    }
}

impl State {
    /// Reads the manifest: gives the pathways that it makes of others, and where it is.
    async fn read<F: Fetch>(&mut self, options: &Options, fetch: &F, current: Option<&str>) -> Option<(Vec<serde_json::Value>, Resource)> {
        let resource = directed(&self.next, current);
        let answer = fetch.fetch(&resource, Grant::unbudgeted(&resource, &options.limits));
        let fetched = match timeout(PATIENCE, answer).await {
            Ok(Ok(fetched)) => fetched,
            Err(_) => {
                tracing::warn!(url = %resource.url, after = ?PATIENCE, "no steering manifest");
                self.due = Some(Instant::now() + self.ttl);
                return None;
            }
            Ok(Err(error)) => {
                tracing::warn!(url = %resource.url, %error, "no steering manifest");
                self.due = match error {
                    // It steers no more (7.4).
                    FetchError::Status { status: 410, .. } => None,
                    FetchError::Status {
                        retry_after: Some(wait), ..
                    } => Some(Instant::now() + wait.clamp(SOONEST, LATEST)),
                    _ => Some(Instant::now() + self.ttl),
                };
                return None;
            }
        };
        let at = Resource {
            url: fetched.url,
            ..resource
        };
        let manifest = match read(fetched.body.as_slice()) {
            Ok(manifest) => manifest,
            Err(error) => {
                tracing::warn!(url = %at.url, error, "unreadable steering manifest");
                self.due = Some(Instant::now() + self.ttl);
                return None;
            }
        };
        let ttl = manifest.ttl.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        self.ttl = ttl.unwrap_or(TTL).clamp(SOONEST, LATEST);
        match manifest.reload_uri.map(|uri| at.url.url().join(&uri)) {
            Some(Ok(url)) => self.next = at.names(Kind::Playlist, url),
            Some(Err(error)) => tracing::warn!(url = %at.url, %error, "the steering manifest has no usable RELOAD-URI"),
            None => {}
        }
        // What a `data:` URL holds stays as it is.
        self.due = (self.next.url.url().scheme() != "data").then(|| Instant::now() + self.ttl);
        if !manifest.pathway_priority.is_empty() {
            self.pathways = manifest.pathway_priority;
        }
        Some((manifest.pathway_clones, at))
    }
}

/// The manifest's address with the pathway in use (7.1). How fast it is, which players tell too, is not known here.
fn directed(manifest: &Resource, current: Option<&str>) -> Resource {
    let mut directed = manifest.clone();
    if let Some(current) = current.filter(|_| manifest.url.url().scheme() != "data") {
        let mut url = manifest.url.url().clone();
        url.query_pairs_mut().append_pair("_HLS_pathway", current);
        directed.url = url.into();
    }
    directed
}

fn clone_pathway(clone: serde_json::Value, at: &Url, playlist: &mut MultivariantPlaylist) -> Result<(), String> {
    let clone: PathwayClone = serde_json::from_value(clone).map_err(|error| error.to_string())?;
    let PathwayClone { base_id, id, .. } = &clone;
    let named = || format!("{id:?} of {base_id:?}");
    let replacement = clone.uri_replacement.resolve(at).ok_or_else(named)?;
    playlist.clone_pathway(base_id, id, &replacement).then_some(()).ok_or_else(named)
}

impl Replacement {
    /// With addresses in full; none if one is no address.
    fn resolve(&self, at: &Url) -> Option<UriReplacement> {
        let resolve = |uris: &BTreeMap<String, String>| -> Option<BTreeMap<String, Url>> {
            uris.iter().map(|(id, uri)| Some((id.clone(), at.join(uri).ok()?))).collect()
        };
        Some(UriReplacement {
            host: self.host.clone(),
            params: self.params.clone(),
            per_variant_uris: resolve(&self.per_variant_uris)?,
            per_rendition_uris: resolve(&self.per_rendition_uris)?,
        })
    }
}

fn read(bytes: &[u8]) -> Result<Manifest, String> {
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    // A client must not use a version that it does not know (7.2).
    if manifest.version != 1 {
        Err(format!("version {}", manifest.version))
    } else {
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // rfc8216bis, 7.2: VERSION is required, and 1; PATHWAY-PRIORITY lists IDs in order of preference.
    #[test]
    fn a_steering_manifest_gives_the_order_of_pathways_and_more_of_them() {
        let manifest = br#"{"VERSION":1,"TTL":300,"RELOAD-URI":"https://host.example/steer","PATHWAY-PRIORITY":["CDN-A","CDN-B"],
            "PATHWAY-CLONES":[{"BASE-ID":"CDN-A","ID":"CDN-C","URI-REPLACEMENT":{"HOST":"c.example","PARAMS":{"t":"1"},
            "PER-VARIANT-URIS":{"low":"low.m3u8"}}}]}"#;
        let manifest = read(manifest).unwrap();
        assert_eq!(manifest.pathway_priority, ["CDN-A", "CDN-B"]);
        let clone: PathwayClone = serde_json::from_value(manifest.pathway_clones[0].clone()).unwrap();
        assert_eq!((clone.base_id.as_str(), clone.id.as_str()), ("CDN-A", "CDN-C"));
        let replacement = clone
            .uri_replacement
            .resolve(&"https://steer.example/a/b".parse().unwrap())
            .unwrap();
        assert_eq!(replacement.host.as_deref(), Some("c.example"));
        assert_eq!(replacement.params["t"], "1");
        assert_eq!(replacement.per_variant_uris["low"].as_str(), "https://steer.example/a/low.m3u8");
        for wrong in [&b"{}"[..], b"<html>", br#"{"VERSION":2,"PATHWAY-PRIORITY":["A"]}"#] {
            assert!(read(wrong).is_err());
        }
    }
}
