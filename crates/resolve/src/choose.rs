//! Choosing tracks from a Multivariant Playlist (RFC 8216, 4.3.4).

use std::cmp::Ordering;

use aqueduct_playlist::{MultivariantPlaylist, Rendition, RenditionKind, VariantStream};

/// Which tracks of a Multivariant Playlist are taken. The video is the best Variant Stream, and its audio the
/// default Rendition.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Selection {
    /// Which subtitle Renditions are taken.
    pub subtitles: Subtitles,
}

/// Which subtitle Renditions are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subtitles {
    /// None.
    #[default]
    None,
    /// All of the Variant Stream's group.
    All,
}

/// The Variant Streams, best first, by what a person would call best: resolution, frame rate, then bandwidth. A
/// stream without RESOLUTION may be audio only, and comes after those that have one, unless none has.
pub(crate) fn best_first(playlist: &MultivariantPlaylist) -> Vec<&VariantStream> {
    let mut variants: Vec<&VariantStream> = playlist.variants.iter().collect();
    // Stable: of equals, the first in the playlist is first (redundant streams stand in order of preference).
    variants.sort_by(|a, b| compare(b, a));
    variants
}

fn compare(a: &VariantStream, b: &VariantStream) -> Ordering {
    let pixels = |variant: &VariantStream| {
        variant
            .resolution
            .map(|resolution| u64::from(resolution.width) * u64::from(resolution.height))
    };
    let rate = |variant: &VariantStream| variant.frame_rate.unwrap_or(0.0);
    pixels(a)
        .cmp(&pixels(b))
        .then(rate(a).total_cmp(&rate(b)))
        .then(a.bandwidth.cmp(&b.bandwidth))
}

/// Whether two Variant Streams are the same content from different places, so that one stands in for the other
/// (rfc8216bis, 4.4.6.2: redundant Variant Streams).
pub(crate) fn redundant(a: &VariantStream, b: &VariantStream) -> bool {
    compare(a, b) == Ordering::Equal && a.codecs == b.codecs
}

/// The audio Rendition that belongs to `variant`: the default one of its group, else the first that may be chosen
/// without asking, else the first. `None` when the audio is in the Variant Stream itself: without a group, or when
/// the chosen Rendition has no URI (RFC 8216, 4.3.4.2.1).
pub(crate) fn audio<'a>(playlist: &'a MultivariantPlaylist, variant: &VariantStream) -> Option<&'a Rendition> {
    let group: Vec<&Rendition> = group(playlist, RenditionKind::Audio, variant.audio.as_deref()).collect();
    let chosen = group
        .iter()
        .find(|rendition| rendition.default)
        .or_else(|| group.iter().find(|rendition| rendition.autoselect));
    chosen.or(group.first()).copied().filter(|rendition| rendition.uri.is_some())
}

/// The subtitle Renditions of `variant` that are selected.
pub(crate) fn subtitles<'a>(playlist: &'a MultivariantPlaylist, variant: &VariantStream, which: Subtitles) -> Vec<&'a Rendition> {
    match which {
        Subtitles::None => Vec::new(),
        Subtitles::All => group(playlist, RenditionKind::Subtitles, variant.subtitles.as_deref())
            .filter(|rendition| rendition.uri.is_some())
            .collect(),
    }
}

fn group<'a>(playlist: &'a MultivariantPlaylist, kind: RenditionKind, id: Option<&str>) -> impl Iterator<Item = &'a Rendition> {
    playlist
        .renditions
        .iter()
        .filter(move |rendition| rendition.kind == kind && id == Some(rendition.group_id.as_str()))
}

#[cfg(test)]
mod tests {
    use aqueduct_playlist::{Context, Playlist};
    use url::Url;

    use super::*;

    fn multivariant(text: &str) -> MultivariantPlaylist {
        let context = Context::new(Url::parse("http://host.example/").unwrap());
        match aqueduct_playlist::parse(format!("#EXTM3U\n{text}").as_bytes(), &context)
            .unwrap()
            .playlist
        {
            Playlist::Multivariant(playlist) => playlist,
            _ => panic!("a Multivariant Playlist"),
        }
    }

    #[test]
    fn the_best_variant_is_the_largest_then_the_smoothest_then_the_richest() {
        let playlist = multivariant(concat!(
            "#EXT-X-STREAM-INF:BANDWIDTH=9000000\naudio-or-unknown\n",
            "#EXT-X-STREAM-INF:BANDWIDTH=5000000,RESOLUTION=1280x720\nrich-720\n",
            "#EXT-X-STREAM-INF:BANDWIDTH=3000000,RESOLUTION=1920x1080,FRAME-RATE=30.000\n1080p30\n",
            "#EXT-X-STREAM-INF:BANDWIDTH=2500000,RESOLUTION=1920x1080,FRAME-RATE=60.000\n1080p60\n",
            "#EXT-X-STREAM-INF:BANDWIDTH=2500000,RESOLUTION=1920x1080,FRAME-RATE=60.000\nbackup\n",
        ));
        let order: Vec<_> = best_first(&playlist).iter().map(|variant| variant.uri.as_written()).collect();
        assert_eq!(order, ["1080p60", "backup", "1080p30", "rich-720", "audio-or-unknown"]);
        assert!(redundant(best_first(&playlist)[0], best_first(&playlist)[1]));
    }

    #[test]
    fn the_audio_is_the_default_rendition_of_the_group_unless_it_is_in_the_stream() {
        let cases = [
            (
                "TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"a\",URI=\"a\"\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"b\",DEFAULT=YES,URI=\"b\"",
                Some("b"),
            ),
            (
                "TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"a\",URI=\"a\"\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"b\",AUTOSELECT=YES,URI=\"b\"",
                Some("b"),
            ),
            (
                "TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"a\",URI=\"a\"\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"b\",URI=\"b\"",
                Some("a"),
            ),
            (
                "TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"a\",DEFAULT=YES\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"b\",URI=\"b\"",
                None,
            ),
            ("TYPE=AUDIO,GROUP-ID=\"other\",NAME=\"a\",DEFAULT=YES,URI=\"a\"", None),
            ("TYPE=SUBTITLES,GROUP-ID=\"g\",NAME=\"a\",DEFAULT=YES,URI=\"a\"", None),
        ];
        for (media, expected) in cases {
            let playlist = multivariant(&format!("#EXT-X-MEDIA:{media}\n#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"g\"\nv\n"));
            let chosen = audio(&playlist, &playlist.variants[0])
                .and_then(|rendition| rendition.uri.as_ref())
                .map(|uri| uri.as_written());
            assert_eq!(chosen, expected, "{media}");
        }
    }
}
