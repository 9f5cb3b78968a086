//! Content steering: the order in which a server wants redundant Variant Streams to be tried, and more of them than its
//! playlist lists (rfc8216bis, 7).

use std::collections::BTreeMap;

use aqueduct_core::{Fetch, Grant, Kind, Resource};
use aqueduct_playlist::{MultivariantPlaylist, UriReplacement};
use serde::Deserialize;
use url::Url;

use crate::resolver::Options;

/// Pathways that a manifest may add.
const MAX_CLONES: usize = 16;

/// A Steering Manifest (rfc8216bis, 7.2), as far as a single choice needs it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
struct Manifest {
    version: u64,
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

/// The pathways in order of preference: those of the steering manifest, or without one the pathway that the playlist
/// begins with. Those that the manifest makes of others are added to the playlist. A manifest that cannot be had or read is
/// no reason to stop (7.4), and is told in the log.
pub(crate) async fn pathways<F: Fetch>(options: &Options, fetch: &F, at: &Resource, playlist: &mut MultivariantPlaylist) -> Vec<String> {
    let Some(steering) = &playlist.content_steering else {
        return Vec::new();
    };
    let initial = steering.pathway_id.iter().cloned().collect();
    let resource = at.names(Kind::Playlist, steering.server_uri.url());
    let fetched = match fetch.fetch(&resource, Grant::unbudgeted(&resource, &options.limits)).await {
        Ok(fetched) => fetched,
        Err(error) => {
            tracing::warn!(url = %resource.url, %error, "no steering manifest");
            return initial;
        }
    };
    let manifest = match read(fetched.body.as_slice()) {
        Ok(manifest) => manifest,
        Err(error) => {
            tracing::warn!(url = %resource.url, %error, "unreadable steering manifest");
            return initial;
        }
    };
    for clone in manifest.pathway_clones.into_iter().take(MAX_CLONES) {
        if let Err(error) = clone_pathway(clone, fetched.url.url(), playlist) {
            tracing::warn!(url = %resource.url, error, "a pathway of the steering manifest cannot be made");
        }
    }
    if manifest.pathway_priority.is_empty() {
        initial
    } else {
        manifest.pathway_priority
    }
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
