//! The walk from a document through its frames to the first stream.

use std::collections::HashSet;

use aqueduct_core::{Account, DocumentRead, Fetch, FetchError, Grant, Kind, ResolveError, Resource, SafeUrl};
use aqueduct_playlist::{Context, Playlist, is_playlist};

use crate::extract::{self, Document, Extraction, FrameSource};
use crate::resolver::Options;

/// What a walk ends with.
pub(crate) enum Found {
    /// A playlist.
    Playlist {
        at: Resource,
        playlist: Box<Playlist>,
        warnings: Vec<String>,
    },
    /// A plain media file.
    File { at: Resource, total: Option<u64>, ranges: bool },
}

/// One search. It reads documents depth first, in the order in which a visitor would meet them, and keeps account.
pub(crate) struct Walk<'a, F> {
    options: &'a Options,
    fetch: &'a F,
    pub(crate) account: Account,
    pub(crate) title: Option<String>,
    visited: HashSet<SafeUrl>,
    read: usize,
    /// The first thing that was found and could not be used: a better answer than "nothing found".
    broken: Option<ResolveError>,
}

/// What became of one address.
enum Visit {
    Found(Found),
    /// A document: what it names, and the resource it was, for its children to refer to.
    Page(Box<Extraction>, Resource),
    /// Nothing of use.
    Nothing,
}

impl<'a, F: Fetch> Walk<'a, F> {
    pub(crate) fn new(options: &'a Options, fetch: &'a F) -> Self {
        Self {
            options,
            fetch,
            account: Account::default(),
            title: None,
            visited: HashSet::new(),
            read: 0,
            broken: None,
        }
    }

    /// Searches from an address that the user gave.
    pub(crate) async fn address(&mut self, resource: Resource) -> Result<Found, ResolveError> {
        self.visited.insert(resource.url.clone());
        match self.visit(&resource, 0).await? {
            Visit::Found(found) => Ok(found),
            Visit::Page(extraction, page) => self.search(*extraction, page).await,
            Visit::Nothing => Err(self.nothing()),
        }
    }

    /// Searches from a text that the user gave.
    pub(crate) async fn text(&mut self, resource: &Resource, bytes: &[u8]) -> Result<Found, ResolveError> {
        let entry = self.enter(resource.url.clone(), 0);
        match self.look(resource, None, bytes, entry)? {
            Visit::Found(found) => Ok(found),
            Visit::Page(extraction, page) => self.search(*extraction, page).await,
            Visit::Nothing => Err(self.nothing()),
        }
    }

    async fn search(&mut self, extraction: Extraction, page: Resource) -> Result<Found, ResolveError> {
        self.title.clone_from(&extraction.title);
        let path = vec![page.url.clone()];
        match self.page(extraction, &page, 0, path).await? {
            Some(found) => Ok(found),
            None => Err(self.nothing()),
        }
    }

    fn nothing(&mut self) -> ResolveError {
        self.broken.take().unwrap_or_else(|| ResolveError::NothingFound {
            account: self.account.clone(),
        })
    }

    /// Searches one page: what it names plainly first, then its frames, then what something speaks against.
    async fn page(
        &mut self,
        extraction: Extraction,
        page: &Resource,
        depth: usize,
        path: Vec<SafeUrl>,
    ) -> Result<Option<Found>, ResolveError> {
        let (good, doubtful): (Vec<_>, Vec<_>) = extraction
            .candidates
            .into_iter()
            .partition(|candidate| candidate.demerits.is_empty());
        for candidate in good {
            if let Some(found) = self.candidate(&candidate, page, depth + 1).await? {
                return Ok(Some(found));
            }
        }
        for frame in extraction.frames {
            if let Some(found) = self.frame(frame.source, page, depth + 1, &path).await? {
                return Ok(Some(found));
            }
        }
        for candidate in doubtful {
            if let Some(found) = self.candidate(&candidate, page, depth + 1).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn candidate(&mut self, candidate: &extract::Candidate, page: &Resource, depth: usize) -> Result<Option<Found>, ResolveError> {
        let url = SafeUrl::from(candidate.url.clone());
        if !self.visited.insert(url.clone()) {
            return Ok(None);
        }
        let resource = page.names(Kind::Document, url);
        match self.visit(&resource, depth).await {
            Ok(Visit::Found(found)) => Ok(Some(found)),
            // A candidate that is a page was found by its name or place; pages are reached through frames.
            Ok(Visit::Page(..) | Visit::Nothing) => Ok(None),
            Err(error) => self.pass_over(error),
        }
    }

    async fn frame(&mut self, source: FrameSource, page: &Resource, depth: usize, path: &[SafeUrl]) -> Result<Option<Found>, ResolveError> {
        let visit = match source {
            FrameSource::Srcdoc(text) => {
                let entry = self.enter(page.url.clone(), depth);
                self.note(entry, "the text of a srcdoc");
                self.look(page, Some("text/html"), text.as_bytes(), entry)?
            }
            FrameSource::Url(url) => {
                let url = SafeUrl::from(url);
                if depth > self.options.max_depth {
                    let path = path.iter().cloned().chain([url]).collect();
                    self.broken.get_or_insert(ResolveError::TooDeep {
                        limit: self.options.max_depth,
                        path,
                    });
                    return Ok(None);
                }
                if !self.visited.insert(url.clone()) {
                    let entry = self.enter(url.clone(), depth);
                    let loops = path.contains(&url);
                    self.note(
                        entry,
                        if loops {
                            "leads back to itself: not read again"
                        } else {
                            "read already"
                        },
                    );
                    return Ok(None);
                }
                match self.visit(&page.names(Kind::Document, url), depth).await {
                    Ok(visit) => visit,
                    Err(error) => return self.pass_over(error),
                }
            }
        };
        match visit {
            Visit::Found(found) => Ok(Some(found)),
            Visit::Page(extraction, page) => {
                let mut path = path.to_vec();
                path.push(page.url.clone());
                // Depth bounds the recursion.
                Box::pin(self.page(*extraction, &page, depth, path)).await
            }
            Visit::Nothing => Ok(None),
        }
    }

    /// Goes on after something that cannot be used, and remembers what is worth telling if nothing else is found.
    fn pass_over(&mut self, error: ResolveError) -> Result<Option<Found>, ResolveError> {
        match error {
            ResolveError::Playlist { .. } | ResolveError::Fetch(FetchError::Refused { .. }) => {
                self.broken.get_or_insert(error);
                Ok(None)
            }
            ResolveError::Fetch(_) => Ok(None),
            fatal => Err(fatal),
        }
    }

    async fn visit(&mut self, resource: &Resource, depth: usize) -> Result<Visit, ResolveError> {
        let entry = self.enter(resource.url.clone(), depth);
        self.read += 1;
        if self.read > self.options.max_documents {
            self.note(entry, "not read: too many documents");
            return Ok(Visit::Nothing);
        }
        let grant = Grant::unbudgeted(resource, &self.options.limits);
        let fetched = match self.fetch.fetch(resource, grant).await {
            Ok(fetched) => fetched,
            Err(error) => {
                self.note(entry, error.to_string());
                return Err(error.into());
            }
        };
        if fetched.url != resource.url {
            self.note(entry, format!("redirected to {}", fetched.url));
        }
        let at = Resource {
            url: fetched.url.clone(),
            ..resource.clone()
        };
        let head = fetched.body.as_slice();
        if !fetched.whole || extract_media(head) {
            let ranges = fetched.accepts_ranges;
            self.note(entry, describe_file(fetched.total_length, ranges));
            return Ok(Visit::Found(Found::File {
                at,
                total: fetched.total_length,
                ranges,
            }));
        }
        self.look(&at, fetched.content_type.as_deref(), head, entry)
    }

    /// Looks at the whole text of a document.
    fn look(&mut self, at: &Resource, content_type: Option<&str>, bytes: &[u8], entry: usize) -> Result<Visit, ResolveError> {
        if is_playlist(bytes) {
            let parsed = match aqueduct_playlist::parse(bytes, &Context::new(at.url.url().clone())) {
                Ok(parsed) => parsed,
                Err(error) => {
                    self.note(entry, format!("unreadable playlist: {error}"));
                    return Err(ResolveError::Playlist {
                        url: at.url.clone(),
                        source: error.into(),
                    });
                }
            };
            self.note(entry, describe_playlist(&parsed.playlist));
            let warnings = parsed.warnings.iter().map(|warning| format!("{}: {warning}", at.url)).collect();
            return Ok(Visit::Found(Found::Playlist {
                at: at.clone(),
                playlist: Box::new(parsed.playlist),
                warnings,
            }));
        }
        let document = Document {
            url: at.url.url(),
            content_type,
            bytes,
        };
        let extraction = extract::extract(&document, &extract::Limits::default());
        self.note(entry, describe_page(bytes.len(), &extraction));
        for candidate in &extraction.candidates {
            self.note(entry, describe_candidate(candidate));
        }
        if extraction.needs_script {
            self.note(entry, "the page builds its player by running scripts, which is not done here");
        }
        // What a page names is asked for on behalf of that page.
        let page = at.clone().with_referrer(Some(at.url.clone()));
        Ok(Visit::Page(Box::new(extraction), page))
    }

    fn enter(&mut self, url: SafeUrl, depth: usize) -> usize {
        self.account.documents.push(DocumentRead {
            url,
            depth,
            found: Vec::new(),
        });
        self.account.documents.len() - 1
    }

    fn note(&mut self, entry: usize, what: impl Into<String>) {
        let document = &mut self.account.documents[entry];
        let what = what.into();
        tracing::debug!(url = %document.url, depth = document.depth, "{what}");
        document.found.push(what);
    }
}

/// Whether a body that is text by its bytes is media all the same: packed audio may hold no control byte early.
fn extract_media(head: &[u8]) -> bool {
    head.starts_with(b"ID3") || head.starts_with(&[0xff, 0xd8, 0xff]) || head.starts_with(b"\x89PNG") || head.starts_with(b"GIF8")
}

fn describe_file(total: Option<u64>, ranges: bool) -> String {
    let size = total.map_or("of unknown size".into(), |total| format!("of {total} bytes"));
    format!("a media file {size}, {} byte ranges", if ranges { "with" } else { "without" })
}

fn describe_playlist(playlist: &Playlist) -> String {
    match playlist {
        Playlist::Multivariant(playlist) => {
            format!(
                "a Multivariant Playlist: {} Variant Streams, {} Renditions",
                playlist.variants.len(),
                playlist.renditions.len()
            )
        }
        Playlist::Media(playlist) => {
            format!(
                "a Media Playlist: {} segments, {}",
                playlist.segments.len(),
                if playlist.is_complete() { "complete" } else { "live" }
            )
        }
        _ => "a playlist".into(),
    }
}

fn describe_page(bytes: usize, extraction: &Extraction) -> String {
    let (frames, candidates) = (extraction.frames.len(), extraction.candidates.len());
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    format!(
        "a document of {bytes} bytes: {frames} frame{}, {candidates} candidate{}",
        plural(frames),
        plural(candidates)
    )
}

fn describe_candidate(candidate: &extract::Candidate) -> String {
    let mut text = format!("{} in {}", SafeUrl::from(candidate.url.clone()), candidate.via);
    for step in &candidate.steps {
        text = format!("{text}, {step}");
    }
    for reason in &candidate.demerits {
        text = format!("{text}, doubtful: {reason}");
    }
    text
}
