//! Pathway Clones: more ways to the same presentation, which a Steering Manifest makes out of those that the Multivariant
//! Playlist lists (rfc8216bis, 7.3).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use url::Url;

use crate::multivariant::MultivariantPlaylist;
use crate::uri::Uri;

/// How the URIs of a Pathway Clone differ from those of its base: `URI-REPLACEMENT`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UriReplacement {
    /// `HOST`: the host, with a port if need be.
    pub host: Option<String>,
    /// `PARAMS`: query parameters that are set, others of the same name being dropped.
    pub params: BTreeMap<String, String>,
    /// `PER-VARIANT-URIS`, by `STABLE-VARIANT-ID`. They keep their host.
    pub per_variant_uris: BTreeMap<String, Url>,
    /// `PER-RENDITION-URIS`, by `STABLE-RENDITION-ID`. They keep their host.
    pub per_rendition_uris: BTreeMap<String, Url>,
}

impl UriReplacement {
    /// The URI of a copy; none if the replacement makes nothing valid of it.
    fn apply(&self, uri: &Uri, own: Option<&Url>) -> Option<Uri> {
        let mut url = own.cloned().unwrap_or_else(|| uri.url());
        if let (Some(host), None) = (&self.host, own) {
            let place = Url::parse(&format!("{}://{host}/", url.scheme())).ok()?;
            url.set_host(place.host_str()).ok()?;
            if place.port().is_some() {
                url.set_port(place.port()).ok()?;
            }
        }
        if !self.params.is_empty() {
            let kept: Vec<_> = url
                .query_pairs()
                .into_owned()
                .filter(|(name, _)| !self.params.contains_key(name))
                .collect();
            url.query_pairs_mut().clear().extend_pairs(kept).extend_pairs(&self.params);
        }
        let base = Arc::new(url);
        Uri::new(&base, base.as_str()).ok()
    }
}

/// Pathway IDs are made of these characters (rfc8216bis, 7.2).
fn is_pathway_id(id: &str) -> bool {
    !id.is_empty()
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

impl MultivariantPlaylist {
    /// Adds the Pathway `id`: copies of the Variant Streams of the Pathway `base`, and of the Groups that they name, with
    /// other URIs. Says whether it did: nothing is added where there is no such base, where `id` is there already or is no
    /// Pathway ID, or where a URI cannot be replaced.
    pub fn clone_pathway(&mut self, base: &str, id: &str, replacement: &UriReplacement) -> bool {
        let of = |pathway: &Option<String>, id: &str| pathway.as_deref().unwrap_or(".") == id;
        if !is_pathway_id(id) || self.variants.iter().any(|variant| of(&variant.pathway_id, id)) {
            return false;
        }
        // A copy of a Group is a Group of its own, and stands under a name that no playlist gives.
        let renamed = |group: &Option<String>| group.as_ref().map(|group| format!("{group}\n{id}"));
        let mut groups = BTreeSet::new();
        let mut variants = Vec::new();
        for variant in self.variants.iter().filter(|variant| of(&variant.pathway_id, base)) {
            let own = variant
                .stable_variant_id
                .as_ref()
                .and_then(|id| replacement.per_variant_uris.get(id));
            let Some(uri) = replacement.apply(&variant.uri, own) else {
                return false;
            };
            let mut copy = variant.clone();
            copy.uri = uri;
            copy.pathway_id = Some(id.to_owned());
            for group in [&mut copy.audio, &mut copy.video, &mut copy.subtitles] {
                groups.extend(group.clone());
                *group = renamed(group);
            }
            variants.push(copy);
        }
        let mut renditions = Vec::new();
        for rendition in self.renditions.iter().filter(|rendition| groups.contains(&rendition.group_id)) {
            let mut copy = rendition.clone();
            copy.group_id = format!("{}\n{id}", rendition.group_id);
            if let Some(uri) = &rendition.uri {
                let own = rendition
                    .stable_rendition_id
                    .as_ref()
                    .and_then(|id| replacement.per_rendition_uris.get(id));
                copy.uri = replacement.apply(uri, own);
                if copy.uri.is_none() {
                    return false;
                }
            }
            renditions.push(copy);
        }
        let added = !variants.is_empty();
        self.variants.append(&mut variants);
        self.renditions.append(&mut renditions);
        added
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Playlist, parse};

    const PLAYLIST: &str = "#EXTM3U\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English\",STABLE-RENDITION-ID=\"en\",URI=\"http://one.example:81/en.m3u8?t=1&u=2\"\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"in it\"\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"b\",NAME=\"English\",URI=\"http://two.example/en.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\",PATHWAY-ID=\"one\",STABLE-VARIANT-ID=\"low\"\nhttp://one.example:81/low.m3u8?t=1\n\
        #EXT-X-STREAM-INF:BANDWIDTH=2,AUDIO=\"a\",PATHWAY-ID=\"one\",STABLE-VARIANT-ID=\"high\"\nhttp://one.example:81/high.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"b\",PATHWAY-ID=\"two\"\nhttp://two.example/low.m3u8\n";

    fn playlist() -> MultivariantPlaylist {
        let context = Context::new("http://host.example/".parse().unwrap());
        match parse(PLAYLIST.as_bytes(), &context).unwrap().playlist {
            Playlist::Multivariant(playlist) => playlist,
            other => panic!("{other:?}"),
        }
    }

    /// The addresses of a pathway: of Variant Streams, and of the Renditions in their Groups.
    fn addresses(playlist: &MultivariantPlaylist, pathway: &str) -> Vec<String> {
        let of: Vec<_> = playlist
            .variants
            .iter()
            .filter(|variant| variant.pathway_id.as_deref() == Some(pathway))
            .collect();
        let group = of.first().and_then(|variant| variant.audio.as_deref()).unwrap_or_default();
        let sound = playlist.renditions.iter().filter(|rendition| rendition.group_id == group);
        let uris = of
            .iter()
            .map(|variant| Some(&variant.uri))
            .chain(sound.map(|rendition| rendition.uri.as_ref()));
        uris.map(|uri| uri.map_or_else(|| "-".into(), |uri| uri.url().to_string()))
            .collect()
    }

    fn map<T>(pairs: &[(&str, &str)], value: impl Fn(&str) -> T) -> BTreeMap<String, T> {
        pairs.iter().map(|(key, text)| ((*key).to_owned(), value(text))).collect()
    }

    // rfc8216bis, 7.3: HOST replaces the host, PARAMS sets query parameters, and a URI for one stream goes before HOST.
    #[test]
    fn a_cloned_pathway_has_the_streams_of_its_base_at_other_addresses() {
        let url = |text: &str| text.parse::<Url>().unwrap();
        let cases = [
            (
                UriReplacement {
                    host: Some("far.example".into()),
                    ..UriReplacement::default()
                },
                [
                    "http://far.example:81/low.m3u8?t=1",
                    "http://far.example:81/high.m3u8",
                    "http://far.example:81/en.m3u8?t=1&u=2",
                    "-",
                ],
            ),
            (
                UriReplacement {
                    host: Some("far.example:8443".into()),
                    params: map(&[("t", "9")], str::to_owned),
                    ..UriReplacement::default()
                },
                [
                    "http://far.example:8443/low.m3u8?t=9",
                    "http://far.example:8443/high.m3u8?t=9",
                    "http://far.example:8443/en.m3u8?u=2&t=9",
                    "-",
                ],
            ),
            (
                UriReplacement {
                    host: Some("far.example".into()),
                    per_variant_uris: map(&[("high", "https://own.example/h")], url),
                    per_rendition_uris: map(&[("en", "https://own.example/en")], url),
                    ..UriReplacement::default()
                },
                [
                    "http://far.example:81/low.m3u8?t=1",
                    "https://own.example/h",
                    "https://own.example/en",
                    "-",
                ],
            ),
        ];
        for (replacement, expected) in cases {
            let mut playlist = playlist();
            assert!(playlist.clone_pathway("one", "new", &replacement));
            assert_eq!(addresses(&playlist, "new"), expected);
            assert_eq!(addresses(&playlist, "one")[0], "http://one.example:81/low.m3u8?t=1");
            assert!(
                playlist.clone_pathway("new", "newer", &UriReplacement::default()),
                "a clone has clones"
            );
            assert_eq!(addresses(&playlist, "newer"), expected);
        }
    }

    #[test]
    fn a_pathway_that_cannot_be_cloned_adds_nothing() {
        let host = |host: &str| UriReplacement {
            host: Some(host.into()),
            ..UriReplacement::default()
        };
        for (base, id, host) in [
            ("three", "new", host("far.example")),
            ("one", "two", host("far.example")),
            ("one", "", host("far.example")),
            ("one", "a\nb", host("far.example")),
            ("one", "new", host("a b")),
            ("one", "new", host("")),
        ] {
            let mut changed = playlist();
            assert!(!changed.clone_pathway(base, id, &host), "{base} as {id} at {host:?}");
            assert_eq!(changed, playlist());
        }
    }
}
