//! From a playlist to tracks: the first layer (Multivariant Playlist) and the second (Media Playlist).

use std::sync::Arc;

use aqueduct_core::{Fetch, FetchError, Grant, Kind, Presentation, ResolveError, Resource, SafeUrl, Track, TrackId, TrackKind};
use aqueduct_playlist::{Context, MediaPlaylist, MultivariantPlaylist, Parsed, Playlist, Rendition, Variables, VariantStream};

use crate::choose;
use crate::resolver::Options;

/// How many Multivariant Playlists may lead to each other. The specification has no such thing; servers do.
const MAX_NESTING: usize = 4;

/// What it takes to follow one Media Playlist.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where it is, after redirects: the base of what it names.
    pub(crate) at: Resource,
    /// Where it is asked for again while it is live.
    pub(crate) reload: Resource,
    /// What it held first.
    pub(crate) first: Arc<MediaPlaylist>,
    /// The variables that it may import.
    pub(crate) imports: Variables,
}

/// A Media Playlist that was read.
struct Layer {
    plan: Plan,
    warnings: Vec<String>,
}

/// Makes a presentation of a playlist that was found at `at`.
pub(crate) async fn present<F: Fetch>(
    options: &Options,
    fetch: &F,
    at: Resource,
    playlist: Playlist,
) -> Result<Presentation, ResolveError> {
    let at = Resource {
        kind: Kind::Playlist,
        ..at
    };
    match playlist {
        Playlist::Media(first) => {
            let plan = Plan {
                reload: at.clone(),
                at,
                first: Arc::new(first),
                imports: Variables::default(),
            };
            let track = Track::new(TrackId::new(0), TrackKind::Main, "main");
            Ok(Presentation::new(vec![describe(track, plan)]))
        }
        Playlist::Multivariant(playlist) => multivariant(options, fetch, at, playlist, MAX_NESTING).await,
        _ => Err(ResolveError::Input {
            what: format!("{}: this kind of playlist is not known", at.url),
        }),
    }
}

async fn multivariant<F: Fetch>(
    options: &Options,
    fetch: &F,
    at: Resource,
    playlist: MultivariantPlaylist,
    nesting: usize,
) -> Result<Presentation, ResolveError> {
    let variants = choose::best_first(&playlist);
    let Some(best) = variants.first() else {
        return Err(ResolveError::Input {
            what: format!("{}: a Multivariant Playlist without a Variant Stream", at.url),
        });
    };
    let (variant, main) = variant(options, fetch, &at, &playlist, &variants, best).await?;
    let main = match main {
        Second::Media(layer) => layer,
        Second::Multivariant(at, nested) => {
            let Some(left) = nesting.checked_sub(1) else {
                return Err(ResolveError::TooDeep {
                    limit: MAX_NESTING,
                    path: vec![at.url],
                });
            };
            return Box::pin(multivariant(options, fetch, at, *nested, left)).await;
        }
    };
    let mut warnings = main.warnings;
    let mut tracks = vec![describe(
        Track::new(TrackId::new(0), TrackKind::Main, variant_name(variant)),
        main.plan,
    )];
    let audio = choose::audio(&playlist, variant).map(|rendition| (TrackKind::Audio, rendition));
    let subtitles = choose::subtitles(&playlist, variant, options.selection.subtitles);
    for (kind, rendition) in audio
        .into_iter()
        .chain(subtitles.into_iter().map(|rendition| (TrackKind::Subtitles, rendition)))
    {
        let Some(layer) = self::rendition(options, fetch, &at, &playlist, rendition).await? else {
            continue;
        };
        warnings.extend(layer.warnings);
        let id = TrackId::new(u32::try_from(tracks.len()).unwrap_or(u32::MAX));
        let mut track = Track::new(id, kind, rendition.name.clone());
        track.language.clone_from(&rendition.language);
        tracks.push(describe(track, layer.plan));
    }
    let mut presentation = Presentation::new(tracks);
    presentation.warnings = warnings;
    Ok(presentation)
}

/// What stands behind the URI of a Variant Stream.
enum Second {
    Media(Layer),
    Multivariant(Resource, Box<MultivariantPlaylist>),
}

/// Reads the best Variant Stream, or one that is redundant to it where it cannot be had.
async fn variant<'a, F: Fetch>(
    options: &Options,
    fetch: &F,
    at: &Resource,
    playlist: &MultivariantPlaylist,
    variants: &[&'a VariantStream],
    best: &VariantStream,
) -> Result<(&'a VariantStream, Second), ResolveError> {
    let mut failure = None;
    for variant in variants.iter().filter(|variant| choose::redundant(variant, best)) {
        let resource = at.names(Kind::Playlist, variant.uri.url());
        match load(options, fetch, &resource, &playlist.variables).await {
            Ok(second) => return Ok((variant, second)),
            Err(error @ ResolveError::Fetch(FetchError::Refused { .. })) => return Err(error),
            Err(error) => {
                tracing::warn!(url = %resource.url, %error, "variant stream cannot be had");
                failure.get_or_insert(error);
            }
        }
    }
    Err(failure.unwrap_or_else(|| ResolveError::Input {
        what: format!("{}: no Variant Stream to choose", at.url),
    }))
}

async fn rendition<F: Fetch>(
    options: &Options,
    fetch: &F,
    at: &Resource,
    playlist: &MultivariantPlaylist,
    rendition: &Rendition,
) -> Result<Option<Layer>, ResolveError> {
    let Some(uri) = &rendition.uri else { return Ok(None) };
    let resource = at.names(Kind::Playlist, uri.url());
    match load(options, fetch, &resource, &playlist.variables).await? {
        Second::Media(layer) => Ok(Some(layer)),
        Second::Multivariant(at, _) => Err(ResolveError::Input {
            what: format!("{}: a Rendition that is a Multivariant Playlist", at.url),
        }),
    }
}

async fn load<F: Fetch>(options: &Options, fetch: &F, resource: &Resource, imports: &Variables) -> Result<Second, ResolveError> {
    let (url, parsed) = read(options, fetch, resource, imports).await?;
    let at = Resource { url, ..resource.clone() };
    let warnings = parsed.warnings.iter().map(|warning| format!("{}: {warning}", at.url)).collect();
    match parsed.playlist {
        Playlist::Media(first) => {
            let plan = Plan {
                at,
                reload: resource.clone(),
                first: Arc::new(first),
                imports: imports.clone(),
            };
            Ok(Second::Media(Layer { plan, warnings }))
        }
        Playlist::Multivariant(playlist) => Ok(Second::Multivariant(at, Box::new(playlist))),
        _ => Err(ResolveError::Input {
            what: format!("{}: this kind of playlist is not known", at.url),
        }),
    }
}

/// Fetches and parses one playlist; with it comes its address after redirects.
pub(crate) async fn read<F: Fetch>(
    options: &Options,
    fetch: &F,
    resource: &Resource,
    imports: &Variables,
) -> Result<(SafeUrl, Parsed), ResolveError> {
    let fetched = fetch.fetch(resource, Grant::unbudgeted(resource, &options.limits)).await?;
    let context = Context::new(fetched.url.url().clone()).with_imports(imports.clone());
    match aqueduct_playlist::parse(fetched.body.as_slice(), &context) {
        Ok(parsed) => Ok((fetched.url, parsed)),
        Err(error) => Err(ResolveError::Playlist {
            url: fetched.url,
            source: error.into(),
        }),
    }
}

fn variant_name(variant: &VariantStream) -> String {
    match variant.resolution {
        Some(resolution) => format!("{}x{}", resolution.width, resolution.height),
        None => format!("{} kbit/s", variant.bandwidth / 1000),
    }
}

/// Fills in what the playlist tells of its track.
fn describe(mut track: Track, plan: Plan) -> Track {
    track.url = Some(plan.at.url.clone());
    track.live = !plan.first.is_complete();
    if !track.live {
        track.segments = Some(plan.first.segments.len() as u64);
        track.duration = Some(plan.first.duration());
    }
    track.extension = plan.first.segments.first().and_then(|segment| extension(&segment.uri()));
    track.with_plan(plan)
}

/// The extension of the last part of an address, in lower case.
pub(crate) fn extension(url: &url::Url) -> Option<String> {
    let name = url.path_segments()?.next_back()?;
    let (_, extension) = name.rsplit_once('.')?;
    (!extension.is_empty() && extension.len() <= 5 && extension.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        .then(|| extension.to_ascii_lowercase())
}
