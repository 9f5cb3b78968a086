//! Choosing tracks from a Multivariant Playlist (RFC 8216, 4.3.4), and telling what is on offer.

use std::cmp::{Ordering, Reverse};

use aqueduct_core::{ClosedCaptions, Offer, OfferKind};
use aqueduct_playlist::{MultivariantPlaylist, Rendition, RenditionKind, Uri, VariantStream};

use crate::select::{Select, Take, language_matches};

/// Which tracks of a Multivariant Playlist are taken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Selection {
    /// Which Variant Stream: the best.
    pub video: Select,
    /// Which audio Renditions: `best` is the one that the playlist prefers. Audio that is inside the Variant Stream
    /// comes with it.
    pub audio: Select,
    /// Which subtitle Renditions: none.
    pub subtitles: Select,
    /// Only the sound is wanted: where Renditions bring it, no Variant Stream is taken. False.
    pub sound_alone: bool,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            video: Select::best(),
            audio: Select::best(),
            subtitles: Select::none(),
            sound_alone: false,
        }
    }
}

/// The Variant Streams, best first, by what a person would call best: resolution, then frame rate, then codec, then
/// bandwidth. Sound alone comes after every picture, and a stream that does not tell its resolution after those that do.
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
    has_picture(a)
        .cmp(&has_picture(b))
        .then(pixels(a).cmp(&pixels(b)))
        .then(rate(a).total_cmp(&rate(b)))
        .then(generation(a).cmp(&generation(b)))
        .then(a.bandwidth.cmp(&b.bandwidth))
}

/// Whether a Variant Stream has a picture, as far as it tells: one that names only audio codecs has none.
fn has_picture(variant: &VariantStream) -> bool {
    const SOUND: [&str; 10] = ["mp4a", "ac-3", "ec-3", "ac-4", "opus", "flac", "fla1", "alac", "dts", "mp3"];
    let sound = |codec: &String| SOUND.iter().any(|name| codec.to_ascii_lowercase().starts_with(name));
    variant.resolution.is_some() || variant.codecs.is_empty() || !variant.codecs.iter().all(sound)
}

/// How much picture a codec makes of a bit: newer generations more.
fn generation(variant: &VariantStream) -> u8 {
    let of = |codec: &String| match codec.get(..4) {
        Some("av01" | "dav1" | "vvc1" | "vvi1") => 3,
        Some("hvc1" | "hev1" | "dvh1" | "dvhe" | "vp09") => 2,
        Some("avc1" | "avc3") => 1,
        _ => 0,
    };
    variant.codecs.iter().map(of).max().unwrap_or(0)
}

/// Whether two Variant Streams are the same content from different places, so that one stands in for the other
/// (rfc8216bis, 4.4.6.2: redundant Variant Streams).
fn redundant(a: &VariantStream, b: &VariantStream) -> bool {
    compare(a, b) == Ordering::Equal && a.codecs == b.codecs && a.resolution == b.resolution
}

/// The Variant Streams that are taken. Each comes with those that are redundant to it, in the order of the playlist.
///
/// # Errors
///
/// Nothing matches: the message lists what is on offer.
pub(crate) fn variants<'a>(playlist: &'a MultivariantPlaylist, select: &Select) -> Result<Vec<Vec<&'a VariantStream>>, String> {
    let mut groups: Vec<Vec<&VariantStream>> = Vec::new();
    for variant in best_first(playlist) {
        match groups.iter_mut().find(|group| redundant(group[0], variant)) {
            Some(group) => group.push(variant),
            None => groups.push(vec![variant]),
        }
    }
    if select.take == Take::None {
        return Ok(Vec::new());
    }
    let height = |variant: &VariantStream| variant.resolution.map(|resolution| resolution.height);
    groups.retain(|group| select.allows_height(height(group[0])) && select.allows_codecs(&group[0].codecs));
    if groups.is_empty() {
        return Err(format!(
            "no video matches \"{select}\"; on offer: {}",
            names(offers(playlist), OfferKind::Variant)
        ));
    }
    // Sound alone is not the worst picture.
    if select.take == Take::Worst && groups.iter().any(|group| has_picture(group[0])) {
        groups.retain(|group| has_picture(group[0]));
    }
    Ok(take(groups, select.take))
}

/// Puts redundant Variant Streams into the order of the pathways that their server prefers (rfc8216bis, 7.1).
pub(crate) fn steer(groups: &mut [Vec<&VariantStream>], pathways: &[String]) {
    for group in groups {
        group.sort_by_key(|variant| {
            let own = pathway(variant);
            pathways.iter().position(|pathway| pathway == own).unwrap_or(pathways.len())
        });
    }
}

/// The Renditions of one kind in a group that are taken, without those whose media is in the Variant Stream itself
/// (RFC 8216, 4.3.4.2.1: a Rendition without URI).
///
/// # Errors
///
/// A language or codec is asked for and not there: the message lists what is.
pub(crate) fn renditions<'a>(
    playlist: &'a MultivariantPlaylist,
    kind: RenditionKind,
    group: Option<&str>,
    select: &Select,
) -> Result<Vec<&'a Rendition>, String> {
    let mut members: Vec<&Rendition> = playlist
        .renditions
        .iter()
        .filter(|rendition| rendition.kind == kind && group == Some(rendition.group_id.as_str()))
        .collect();
    // What the playlist prefers, first; what describes pictures to the blind only when it is asked for; of equals, the
    // one with more channels.
    members.sort_by_key(|rendition| {
        (
            !rendition.default,
            describes_video(rendition),
            rendition.forced,
            !rendition.autoselect,
            Reverse(rendition.channel_count()),
        )
    });
    let taken = match select.take {
        Take::None => Vec::new(),
        _ if !select.languages.is_empty() => {
            let mut taken: Vec<&Rendition> = Vec::new();
            for wanted in &select.languages {
                let speaks = |rendition: &&&Rendition| rendition.language.as_deref().is_some_and(|tag| language_matches(wanted, tag));
                let matching = members.iter().filter(speaks).copied();
                let before = taken.len();
                taken.extend(matching.take(if select.take == Take::All { usize::MAX } else { 1 }));
                if taken.len() == before {
                    let (what, offered) = match kind {
                        RenditionKind::Subtitles => ("subtitles", OfferKind::Subtitles),
                        _ => ("audio", OfferKind::Audio),
                    };
                    return Err(format!("no {what} in \"{wanted}\"; on offer: {}", names(offers(playlist), offered)));
                }
            }
            taken
        }
        Take::Worst => members.pop().into_iter().collect(),
        _ => take(members, select.take),
    };
    let mut unique: Vec<&Rendition> = Vec::new();
    for rendition in taken.into_iter().filter(|rendition| rendition.uri.is_some()) {
        if !unique.iter().any(|known| known.uri == rendition.uri) {
            unique.push(rendition);
        }
    }
    Ok(unique)
}

/// The pathway that a Variant Stream belongs to (rfc8216bis, 4.4.6.2).
pub(crate) fn pathway(variant: &VariantStream) -> &str {
    variant.pathway_id.as_deref().unwrap_or(".")
}

/// The Renditions that stand in for `rendition` beside redundant Variant Streams: of the same kind, name and language, in the
/// group that each of those names, and its pathway.
pub(crate) fn counterparts<'a>(
    playlist: &'a MultivariantPlaylist,
    rendition: &'a Rendition,
    redundant: &'a [&'a VariantStream],
) -> impl Iterator<Item = (&'a Uri, &'a str)> {
    redundant.iter().filter_map(move |variant| {
        let group = match rendition.kind {
            RenditionKind::Audio => variant.audio.as_deref(),
            RenditionKind::Subtitles => variant.subtitles.as_deref(),
            _ => None,
        }?;
        let same = |other: &&Rendition| {
            other.kind == rendition.kind && other.group_id == group && other.name == rendition.name && other.language == rendition.language
        };
        Some((playlist.renditions.iter().find(same)?.uri.as_ref()?, pathway(variant)))
    })
}

fn describes_video(rendition: &Rendition) -> bool {
    rendition
        .characteristics
        .iter()
        .any(|mark| mark == "public.accessibility.describes-video")
}

fn take<T>(mut sorted: Vec<T>, take: Take) -> Vec<T> {
    match take {
        Take::Best => sorted.truncate(1),
        Take::Worst => sorted = sorted.pop().into_iter().collect(),
        Take::All => {}
        Take::None => sorted.clear(),
    }
    sorted
}

/// All that a Multivariant Playlist has on offer, best first within each kind.
pub(crate) fn offers(playlist: &MultivariantPlaylist) -> Vec<Offer> {
    let variants = best_first(playlist).into_iter().map(|variant| {
        let mut offer = Offer::new(OfferKind::Variant, variant.name.clone().unwrap_or_default());
        offer.resolution = variant.resolution.map(|resolution| (resolution.width, resolution.height));
        offer.frame_rate = variant.frame_rate;
        offer.bandwidth = Some(variant.bandwidth).filter(|bandwidth| *bandwidth > 0);
        offer.codecs.clone_from(&variant.codecs);
        offer.group.clone_from(&variant.audio);
        offer.url = Some(variant.uri.url().into());
        offer
    });
    let renditions = playlist.renditions.iter().map(|rendition| {
        let kind = match rendition.kind {
            RenditionKind::Audio => OfferKind::Audio,
            RenditionKind::Subtitles => OfferKind::Subtitles,
            RenditionKind::ClosedCaptions => OfferKind::ClosedCaptions,
            _ => OfferKind::Video,
        };
        let mut offer = Offer::new(kind, rendition.name.clone());
        offer.group = Some(rendition.group_id.clone());
        offer.language.clone_from(&rendition.language);
        offer.channels.clone_from(&rendition.channels);
        offer.instream_id.clone_from(&rendition.instream_id);
        offer.characteristics.clone_from(&rendition.characteristics);
        offer.default = rendition.default;
        offer.forced = rendition.forced;
        offer.url = rendition.uri.as_ref().map(|uri| uri.url().into());
        offer
    });
    variants.chain(renditions).collect()
}

/// The closed captions that a Variant Stream has in its pictures (rfc8216bis, 4.4.6.2: its CLOSED-CAPTIONS group).
pub(crate) fn captions(playlist: &MultivariantPlaylist, variant: &VariantStream) -> Vec<ClosedCaptions> {
    let Some(aqueduct_playlist::ClosedCaptions::Group(group)) = &variant.closed_captions else {
        return Vec::new();
    };
    let members = playlist.renditions.iter().filter(|rendition| {
        let captions = rendition.kind == RenditionKind::ClosedCaptions;
        captions && rendition.group_id == *group
    });
    let told = members.filter_map(|rendition| {
        let mut captions = ClosedCaptions::new(rendition.instream_id.clone()?, rendition.name.clone());
        captions.language.clone_from(&rendition.language);
        Some(captions)
    });
    told.collect()
}

fn names(offers: Vec<Offer>, kind: OfferKind) -> String {
    let names: Vec<String> = offers
        .into_iter()
        .filter(|offer| offer.kind == kind)
        .map(|offer| offer.to_string())
        .collect();
    if names.is_empty() { "none".into() } else { names.join("; ") }
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

    const LADDER: &str = concat!(
        "#EXT-X-STREAM-INF:BANDWIDTH=9000000\nunknown\n",
        "#EXT-X-STREAM-INF:BANDWIDTH=9900000,CODECS=\"mp4a.40.2\"\nsound\n",
        "#EXT-X-STREAM-INF:BANDWIDTH=5000000,RESOLUTION=1280x720,CODECS=\"avc1.4d401f,mp4a.40.2\"\nrich-720\n",
        "#EXT-X-STREAM-INF:BANDWIDTH=3000000,RESOLUTION=1920x1080,FRAME-RATE=30.000\n1080p30\n",
        "#EXT-X-STREAM-INF:BANDWIDTH=2500000,RESOLUTION=1920x1080,FRAME-RATE=60.000,CODECS=\"avc1.640028\",PATHWAY-ID=\"near\"\n1080p60\n",
        "#EXT-X-STREAM-INF:BANDWIDTH=2500000,RESOLUTION=1920x1080,FRAME-RATE=60.000,CODECS=\"avc1.640028\",PATHWAY-ID=\"far\"\nbackup\n",
        "#EXT-X-STREAM-INF:BANDWIDTH=2000000,RESOLUTION=1920x1080,FRAME-RATE=60.000,CODECS=\"hvc1.1.6.L120.90\"\nhevc\n",
        "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=99000000,RESOLUTION=3840x2160,URI=\"iframes\"\n",
    );

    fn chosen(select: &str, pathways: &[&str]) -> Result<Vec<Vec<String>>, String> {
        let playlist = multivariant(LADDER);
        let pathways: Vec<String> = pathways.iter().map(ToString::to_string).collect();
        let mut chosen = variants(&playlist, &select.parse().unwrap())?;
        steer(&mut chosen, &pathways);
        Ok(chosen
            .iter()
            .map(|group| group.iter().map(|variant| variant.uri.as_written().to_owned()).collect())
            .collect())
    }

    #[test]
    fn the_best_variant_is_what_a_person_would_call_best() {
        let all = chosen("all", &[]).unwrap();
        assert_eq!(
            all,
            [
                vec!["hevc"],
                vec!["1080p60", "backup"],
                vec!["1080p30"],
                vec!["rich-720"],
                vec!["unknown"],
                vec!["sound"]
            ]
        );
    }

    #[test]
    fn a_selection_takes_what_it_says() {
        let cases = [
            ("best", "hevc"),
            ("codec:avc", "1080p60 backup"),
            ("720p", "rich-720"),
            ("<1080p", "rich-720"),
            ("worst", "unknown"),
            ("worst >=1p", "rich-720"),
            ("codec:mp4a.40.2 <=1080p", "rich-720"),
            ("none", ""),
        ];
        for (select, expected) in cases {
            let chosen = chosen(select, &[]).unwrap();
            assert_eq!(chosen.concat().join(" "), expected, "{select}");
        }
        let error = chosen("2160p", &[]).unwrap_err();
        assert!(
            error.starts_with("no video matches \"2160p\"; on offer: 1920x1080 60 fps hvc1.1.6.L120.90 2000 kbit/s; "),
            "{error}"
        );
    }

    #[test]
    fn redundant_variants_are_tried_in_the_order_of_the_pathways() {
        assert_eq!(chosen("codec:avc", &["far", "near"]).unwrap(), [["backup", "1080p60"]]);
        assert_eq!(chosen("codec:avc", &["elsewhere"]).unwrap(), [["1080p60", "backup"]]);
    }

    fn sound(media: &[&str], select: &str) -> Result<Vec<String>, String> {
        let media: String = media
            .iter()
            .map(|media| format!("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",{media}\n"))
            .collect();
        let playlist = multivariant(&format!("{media}#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"g\"\nv\n"));
        let chosen = renditions(&playlist, RenditionKind::Audio, Some("g"), &select.parse().unwrap())?;
        Ok(chosen.iter().map(|rendition| rendition.name.clone()).collect())
    }

    #[test]
    fn the_best_audio_is_the_one_the_playlist_prefers_unless_it_is_in_the_stream() {
        let cases: [(&[&str], &[&str]); 6] = [
            (&["NAME=\"a\",URI=\"a\"", "NAME=\"b\",DEFAULT=YES,AUTOSELECT=YES,URI=\"b\""], &["b"]),
            (&["NAME=\"a\",URI=\"a\"", "NAME=\"b\",AUTOSELECT=YES,URI=\"b\""], &["b"]),
            (&["NAME=\"a\",URI=\"a\"", "NAME=\"b\",URI=\"b\""], &["a"]),
            (
                &["NAME=\"a\",CHANNELS=\"2\",URI=\"a\"", "NAME=\"b\",CHANNELS=\"6\",URI=\"b\""],
                &["b"],
            ),
            (&["NAME=\"a\",DEFAULT=YES", "NAME=\"b\",URI=\"b\""], &[]),
            (
                &[
                    "NAME=\"d\",AUTOSELECT=YES,CHARACTERISTICS=\"public.accessibility.describes-video\",URI=\"d\"",
                    "NAME=\"a\",URI=\"a\"",
                ],
                &["a"],
            ),
        ];
        for (media, expected) in cases {
            assert_eq!(sound(media, "best").unwrap(), expected, "{media:?}");
        }
        let playlist = multivariant("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"other\",NAME=\"a\",URI=\"a\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv\n");
        assert!(
            renditions(&playlist, RenditionKind::Audio, None, &Select::best())
                .unwrap()
                .is_empty(),
            "another group"
        );
    }

    #[test]
    fn languages_are_taken_in_the_order_asked_for() {
        let media = [
            "NAME=\"English\",LANGUAGE=\"en-GB\",DEFAULT=YES,AUTOSELECT=YES,URI=\"1\"",
            "NAME=\"Commentary\",LANGUAGE=\"en\",URI=\"2\"",
            "NAME=\"Japanese\",LANGUAGE=\"ja\",URI=\"3\"",
            "NAME=\"Japanese again\",LANGUAGE=\"ja\",URI=\"3\"",
        ];
        assert_eq!(sound(&media, "lang:ja,en").unwrap(), ["Japanese", "English"]);
        assert_eq!(sound(&media, "all lang:en").unwrap(), ["English", "Commentary"]);
        assert_eq!(sound(&media, "all").unwrap(), ["English", "Commentary", "Japanese"]);
        assert_eq!(sound(&media, "none").unwrap(), Vec::<String>::new());
        let error = sound(&media, "lang:de").unwrap_err();
        assert!(
            error.starts_with("no audio in \"de\"; on offer: English (en-GB, default); Commentary (en)"),
            "{error}"
        );
    }

    #[test]
    fn a_rendition_has_a_counterpart_beside_each_redundant_stream() {
        let playlist = multivariant(concat!(
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"near\",NAME=\"English\",LANGUAGE=\"en\",URI=\"near-en\"\n",
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"near\",NAME=\"Deutsch\",LANGUAGE=\"de\",URI=\"near-de\"\n",
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"far\",NAME=\"Deutsch\",LANGUAGE=\"de\",URI=\"far-de\"\n",
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"far\",NAME=\"English\",LANGUAGE=\"en\",URI=\"far-en\"\n",
            "#EXT-X-STREAM-INF:BANDWIDTH=1000,AUDIO=\"near\"\na\n",
            "#EXT-X-STREAM-INF:BANDWIDTH=1000,AUDIO=\"far\"\nb\n",
        ));
        let groups = variants(&playlist, &Select::best()).unwrap();
        for rendition in playlist.renditions.iter().filter(|rendition| rendition.group_id == "near") {
            let paths: Vec<_> = counterparts(&playlist, rendition, &groups[0])
                .map(|(uri, _)| uri.url().path().to_owned())
                .collect();
            let language = rendition.language.as_deref().unwrap();
            assert_eq!(paths, [format!("/near-{language}"), format!("/far-{language}")]);
        }
    }
}
