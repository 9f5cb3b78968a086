//! Content steering: the order in which a server wants redundant Variant Streams to be tried (rfc8216bis, 7).

use aqueduct_core::{Fetch, Grant, Kind, Resource};
use aqueduct_playlist::MultivariantPlaylist;
use serde::Deserialize;

use crate::resolver::Options;

/// A Steering Manifest (rfc8216bis, 7.2), as far as a single choice needs it.
#[derive(Deserialize)]
struct Manifest {
    #[serde(rename = "VERSION")]
    version: u64,
    #[serde(rename = "PATHWAY-PRIORITY", default)]
    pathway_priority: Vec<String>,
}

/// The pathways in order of preference: those of the steering manifest, or without one the pathway that the playlist
/// begins with. A manifest that cannot be had or read is no reason to stop (7.3), and is told in the log.
pub(crate) async fn pathways<F: Fetch>(options: &Options, fetch: &F, at: &Resource, playlist: &MultivariantPlaylist) -> Vec<String> {
    let Some(steering) = &playlist.content_steering else {
        return Vec::new();
    };
    let initial = || steering.pathway_id.iter().cloned().collect();
    let resource = at.names(Kind::Playlist, steering.server_uri.url());
    let fetched = match fetch.fetch(&resource, Grant::unbudgeted(&resource, &options.limits)).await {
        Ok(fetched) => fetched,
        Err(error) => {
            tracing::warn!(url = %resource.url, %error, "no steering manifest");
            return initial();
        }
    };
    match read(fetched.body.as_slice()) {
        Ok(priority) if !priority.is_empty() => priority,
        Ok(_) => initial(),
        Err(error) => {
            tracing::warn!(url = %resource.url, %error, "unreadable steering manifest");
            initial()
        }
    }
}

fn read(bytes: &[u8]) -> Result<Vec<String>, String> {
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    // A client must not use a version that it does not know (7.2).
    if manifest.version != 1 {
        Err(format!("version {}", manifest.version))
    } else {
        Ok(manifest.pathway_priority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // rfc8216bis, 7.2: VERSION is required, and 1; PATHWAY-PRIORITY lists IDs in order of preference.
    #[test]
    fn a_steering_manifest_gives_the_order_of_pathways() {
        let manifest = br#"{"VERSION":1,"TTL":300,"RELOAD-URI":"https://host.example/steer","PATHWAY-PRIORITY":["CDN-A","CDN-B"]}"#;
        assert_eq!(read(manifest).unwrap(), ["CDN-A", "CDN-B"]);
        for wrong in [&b"{}"[..], b"<html>", br#"{"VERSION":2,"PATHWAY-PRIORITY":["A"]}"#] {
            assert!(read(wrong).is_err());
        }
    }
}
