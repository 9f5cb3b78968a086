//! The bundled resolver: options, and the way from an input to a presentation.

use std::time::Duration;

use aqueduct_core::{
    Counterpart, Fetch, Input, Item, Kind, Limits, Lost, Place, Presentation, Resolve, ResolveError, Resource, SafeUrl, Sender, Stop, Track,
};
use url::Url;

use crate::choose::Selection;
use crate::walk::Walk;
use crate::{follow, hls, plain, ways};

/// How a [`PageResolver`] searches and chooses.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How deep documents may be nested: 8.
    pub max_depth: usize,
    /// How many documents and candidates are read in all: 128.
    pub max_documents: usize,
    /// Which stream of a page with several is taken, counted from 1.
    pub pick: usize,
    /// Which tracks of a Multivariant Playlist are taken.
    pub selection: Selection,
    /// How long a live playlist may stay unchanged, beyond three target durations, before it is given up: 60 s.
    pub stale_after: Duration,
    /// The size limits of documents and playlists.
    pub limits: Limits,
    /// What is wanted of a plain media file at a time: 4 MiB.
    pub file_range_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_depth: 8,
            max_documents: 128,
            pick: 1,
            selection: Selection::default(),
            stale_after: Duration::from_secs(60),
            limits: Limits::default(),
            file_range_bytes: 4 << 20,
        }
    }
}

/// Resolves pages, playlists and plain media files by rules that hold for the web at large.
#[derive(Clone, Debug, Default)]
pub struct PageResolver {
    options: Options,
}

impl PageResolver {
    /// A resolver with these options.
    pub fn new(options: Options) -> Self {
        Self { options }
    }

    /// Finds up to `wanted` streams of an input, likely best first, and the tracks of each: a page may hold several
    /// videos. They share one account.
    ///
    /// # Errors
    ///
    /// [`ResolveError`]: nothing found, or a document or playlist that cannot be had or read. A stream that turns out
    /// to be unusable is passed over, with a warning where others are left.
    pub async fn streams<F: Fetch>(&self, input: &Input, fetch: &F, wanted: usize) -> Result<Vec<Presentation>, ResolveError> {
        let mut walk = Walk::new(&self.options, fetch, wanted);
        let mut found = match input {
            Input::Url(url) => walk.address(Resource::new(Kind::Document, url.clone())).await?,
            Input::File(path) => walk.address(Resource::new(Kind::Document, file_url(path)?)).await?,
            Input::Text { bytes, base } => {
                let base = match base {
                    Some(base) => base.clone(),
                    None => SafeUrl::from(nowhere()?),
                };
                walk.text(&Resource::new(Kind::Document, base), bytes).await?
            }
            _ => {
                return Err(ResolveError::Input {
                    what: "this kind of input is not known".into(),
                });
            }
        };
        for presentation in &mut found {
            presentation.title.clone_from(&walk.title);
            presentation.account = walk.account.clone();
        }
        Ok(found)
    }
}

impl Resolve for PageResolver {
    async fn resolve<F: Fetch>(&self, input: &Input, fetch: &F) -> Result<Presentation, ResolveError> {
        let pick = self.options.pick.max(1);
        let mut streams = self.streams(input, fetch, pick).await?;
        let found = streams.len();
        match streams.pop() {
            Some(presentation) if found == pick => Ok(presentation),
            _ => Err(ResolveError::Input {
                what: format!("there is no stream number {pick}: only {found} found"),
            }),
        }
    }

    async fn follow<F: Fetch>(&self, track: &Track, fetch: &F, outlet: Sender<Item<Resource>>, stop: Stop) -> Result<(), ResolveError> {
        if let Some(plan) = track.plan::<hls::Plan>() {
            return follow::follow(&self.options, track.id, plan, fetch, &outlet, &stop).await;
        }
        if let Some(plan) = track.plan::<plain::Plan>() {
            plain::follow(track.id, plan, &outlet, &stop).await;
            return Ok(());
        }
        Err(ResolveError::Input {
            what: format!("{} was not made by this resolver", track.id),
        })
    }

    async fn elsewhere<F: Fetch>(&self, track: &Track, lost: &Lost, fetch: &F) -> Option<Place> {
        ways::elsewhere(&self.options, track.plan::<hls::Plan>()?, lost, fetch).await
    }

    async fn counterparts<F: Fetch>(&self, track: &Track, unit: &Item<Resource>, fetch: &F) -> Vec<Counterpart> {
        match track.plan::<hls::Plan>() {
            Some(plan) => ways::counterparts(&self.options, plan, unit, fetch).await,
            None => Vec::new(),
        }
    }
}

/// What relative addresses in a text without a base are relative to: nothing that can be fetched.
fn nowhere() -> Result<Url, ResolveError> {
    Url::parse("data:,").map_err(|error| ResolveError::Other(error.into()))
}

fn file_url(path: &std::path::Path) -> Result<SafeUrl, ResolveError> {
    // What was meant for an address may hold secrets.
    if path.to_string_lossy().contains("://") {
        return Err(ResolveError::Input {
            what: "the input is no address that can be used: it needs http, https, file or data, and a host".into(),
        });
    }
    if path.as_os_str().is_empty() {
        return Err(ResolveError::Input {
            what: "the input is empty: it is an address (http, https), a file, or - for standard input".into(),
        });
    }
    let unusable = |why: String| ResolveError::Input {
        what: format!("{}: {why}", path.display()),
    };
    let absolute = path
        .canonicalize()
        .map_err(|error| unusable(format!("neither an address (http, https) nor a readable file: {error}")))?;
    Url::from_file_path(&absolute)
        .map(SafeUrl::from)
        .map_err(|()| unusable("not a path that an address can express".into()))
}
