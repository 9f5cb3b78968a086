//! From a playlist to tracks: the first layer (Multivariant Playlist) and the second (Media Playlist).

use std::iter;
use std::sync::Arc;

use aqueduct_core::{Fetch, FetchError, Grant, Kind, Presentation, ResolveError, Resource, SafeUrl, Track, TrackId, TrackKind};
use aqueduct_playlist::{Context, MediaPlaylist, MultivariantPlaylist, Parsed, Playlist, RenditionKind, Variables, VariantStream};

use crate::chapters;
use crate::choose;
use crate::resolver::Options;
use crate::steering::Steering;
use crate::ways::Ways;

/// How many Multivariant Playlists may lead to each other. The specification has no such thing; servers do.
const MAX_NESTING: usize = 4;

/// How many tracks are fetched at once: each has its channels, a request and a place in memory.
const MAX_TRACKS: usize = 64;

/// What it takes to follow one Media Playlist.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where it is, after redirects: the base of what it names.
    pub(crate) at: Resource,
    /// Where it is asked for again, and where else the same is.
    pub(crate) ways: Ways,
    /// What it held first.
    pub(crate) first: Arc<MediaPlaylist>,
    /// The variables that it may import.
    pub(crate) imports: Variables,
    /// The server that says which way is to be taken.
    pub(crate) steering: Option<Arc<Steering>>,
}

/// A Media Playlist that was read.
struct Layer {
    plan: Plan,
    warnings: Vec<String>,
}

impl Layer {
    /// Where else the same is, by pathway, and who says which is to be taken.
    fn add_ways<'a>(&mut self, others: impl IntoIterator<Item = (Resource, &'a str)>, steering: Option<&Arc<Steering>>) {
        self.plan.ways = Ways::new(self.plan.ways.address(0).clone(), others);
        self.plan.at.redundant = self.plan.ways.address(0).redundant;
        self.plan.steering = steering.cloned();
    }
}

/// Makes a presentation of a playlist that was asked for at `asked` and found at `at`.
pub(crate) async fn present<F: Fetch>(
    options: &Options,
    fetch: &F,
    asked: Resource,
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
                ways: Ways::new(
                    Resource {
                        kind: Kind::Playlist,
                        ..asked
                    },
                    [],
                ),
                at,
                first: Arc::new(first),
                imports: Variables::default(),
                steering: None,
            };
            let track = Track::new(TrackId::new(0), TrackKind::Main, "main");
            Ok(annotated(Presentation::new(vec![describe(track, plan)])))
        }
        Playlist::Multivariant(playlist) => multivariant(options, fetch, at, playlist, MAX_NESTING).await,
        _ => Err(ResolveError::Unusable {
            url: at.url,
            what: "this kind of playlist is not known".into(),
        }),
    }
}

async fn multivariant<F: Fetch>(
    options: &Options,
    fetch: &F,
    at: Resource,
    mut playlist: MultivariantPlaylist,
    nesting: usize,
) -> Result<Presentation, ResolveError> {
    let unusable = |what: String| ResolveError::Input {
        what: format!("{}: {what}", at.url),
    };
    let offers = choose::offers(&playlist);
    let steering = Steering::begin(options, fetch, &at, &mut playlist).await;
    let playlist = playlist;
    let Some(reference) = choose::best_first(&playlist).first().copied() else {
        return Err(ResolveError::Unusable {
            url: at.url,
            what: "a Multivariant Playlist without a Variant Stream".into(),
        });
    };
    let selection = &options.selection;
    let mut groups = choose::variants(&playlist, &selection.video).map_err(unusable)?;
    let steering = match steering {
        Some((steering, pathways)) => {
            choose::steer(&mut groups, &pathways);
            Some(Arc::new(steering))
        }
        None => None,
    };
    let mut lanes = Lanes::default();
    let mut reference = groups.first().and_then(|group| group.first()).copied().unwrap_or(reference);
    if selection.sound_alone {
        let apart = choose::renditions(&playlist, RenditionKind::Audio, reference.audio.as_deref(), &selection.audio);
        if !apart.map_err(unusable)?.is_empty() {
            groups.clear();
        }
    }
    for (number, group) in groups.iter().enumerate() {
        let places = group
            .iter()
            .map(|variant| (at.names(Kind::Playlist, variant.uri.url()), *variant))
            .collect();
        let (variant, second) = first_of(options, fetch, &at, &playlist, places).await?;
        match second {
            Second::Media(mut layer) => {
                let others = group
                    .iter()
                    .map(|other| (at.names(Kind::Playlist, other.uri.url()), choose::pathway(other)));
                layer.add_ways(others, steering.as_ref());
                let track = lanes.push(TrackKind::Main, variant_name(variant), None, layer);
                track.captions = choose::captions(&playlist, variant);
            }
            Second::Multivariant(at, nested) => {
                let Some(left) = nesting.checked_sub(1) else {
                    return Err(ResolveError::TooDeep {
                        limit: MAX_NESTING,
                        path: vec![at.url],
                    });
                };
                return Box::pin(multivariant(options, fetch, at, *nested, left)).await;
            }
        }
        if number == 0 {
            reference = variant;
        }
    }
    let kinds = [
        (TrackKind::Audio, RenditionKind::Audio, &reference.audio, &selection.audio),
        (
            TrackKind::Subtitles,
            RenditionKind::Subtitles,
            &reference.subtitles,
            &selection.subtitles,
        ),
    ];
    for (kind, of, group, select) in kinds {
        for rendition in choose::renditions(&playlist, of, group.as_deref(), select).map_err(unusable)? {
            if let Some(uri) = &rendition.uri {
                let others = groups.first().map(Vec::as_slice).unwrap_or_default();
                let others = choose::counterparts(&playlist, rendition, others);
                let others: Vec<_> = others
                    .map(|(uri, pathway)| (at.names(Kind::Playlist, uri.url()), pathway))
                    .collect();
                let own = at.names(Kind::Playlist, uri.url());
                let mut layer = self::rendition(options, fetch, &at, &playlist, own, &others).await?;
                layer.add_ways(others, steering.as_ref());
                let track = lanes.push(kind, rendition.name.clone(), rendition.language.clone(), layer);
                track.forced = rendition.forced;
                track.default = rendition.default;
                track.characteristics.clone_from(&rendition.characteristics);
            }
        }
    }
    if lanes.tracks.len() > MAX_TRACKS {
        return Err(unusable(format!(
            "{} tracks are selected, and {MAX_TRACKS} can be fetched at once",
            lanes.tracks.len()
        )));
    }
    if lanes.tracks.is_empty() {
        return Err(unusable(
            "the selection leaves nothing; audio that is inside the video cannot be had without it".into(),
        ));
    }
    let mut presentation = Presentation::new(lanes.tracks);
    presentation.offers = offers;
    presentation.warnings = lanes.warnings;
    Ok(annotated(presentation))
}

/// Adds what the playlist of the first track tells of time.
fn annotated(mut presentation: Presentation) -> Presentation {
    let Some(plan) = presentation.tracks.first().and_then(|track| track.plan::<Plan>()) else {
        return presentation;
    };
    let first = Arc::clone(&plan.first);
    presentation.recorded = chapters::recorded(&first);
    if first.is_complete() {
        presentation.chapters = chapters::chapters(&first);
    }
    presentation
}

/// Tracks as they are found.
#[derive(Default)]
struct Lanes {
    tracks: Vec<Track>,
    warnings: Vec<String>,
}

impl Lanes {
    fn push(&mut self, kind: TrackKind, name: String, language: Option<String>, layer: Layer) -> &mut Track {
        let id = TrackId::new(u32::try_from(self.tracks.len()).unwrap_or(u32::MAX));
        let mut track = Track::new(id, kind, name);
        track.language = language;
        self.warnings.extend(layer.warnings);
        self.tracks.push_mut(describe(track, layer.plan))
    }
}

/// What stands behind the URI of a Variant Stream.
enum Second {
    Media(Layer),
    Multivariant(Resource, Box<MultivariantPlaylist>),
}

/// Reads the first of redundant playlists that can be had.
async fn first_of<F: Fetch, T>(
    options: &Options,
    fetch: &F,
    at: &Resource,
    playlist: &MultivariantPlaylist,
    places: Vec<(Resource, T)>,
) -> Result<(T, Second), ResolveError> {
    let mut failure = None;
    for (resource, place) in places {
        match load(options, fetch, &resource, &playlist.variables).await {
            Ok(second) => return Ok((place, second)),
            Err(error @ ResolveError::Fetch(FetchError::Refused { .. })) => return Err(error),
            Err(error) => {
                tracing::warn!(url = %resource.url, %error, "playlist cannot be had");
                failure.get_or_insert(error);
            }
        }
    }
    Err(failure.unwrap_or_else(|| ResolveError::Unusable {
        url: at.url.clone(),
        what: "no Variant Stream to choose".into(),
    }))
}

/// Reads the playlist of a Rendition, or one of those that have the same.
async fn rendition<F: Fetch>(
    options: &Options,
    fetch: &F,
    at: &Resource,
    playlist: &MultivariantPlaylist,
    own: Resource,
    others: &[(Resource, &str)],
) -> Result<Layer, ResolveError> {
    let others = others.iter().map(|(other, _)| other).filter(|other| **other != own).cloned();
    let places = iter::once(own.clone()).chain(others).map(|place| (place, ())).collect();
    match first_of(options, fetch, at, playlist, places).await? {
        ((), Second::Media(layer)) => Ok(layer),
        ((), Second::Multivariant(at, _)) => Err(ResolveError::Unusable {
            url: at.url,
            what: "a Rendition that is a Multivariant Playlist".into(),
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
                ways: Ways::new(resource.clone(), []),
                first: Arc::new(first),
                imports: imports.clone(),
                steering: None,
            };
            Ok(Second::Media(Layer { plan, warnings }))
        }
        Playlist::Multivariant(playlist) => Ok(Second::Multivariant(at, Box::new(playlist))),
        _ => Err(ResolveError::Unusable {
            url: at.url,
            what: "this kind of playlist is not known".into(),
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
    track.window = plan.first.segments.len() as u64;
    if !track.live {
        track.segments = Some(track.window);
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
