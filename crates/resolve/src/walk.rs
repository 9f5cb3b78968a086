//! The walk from a document through its frames to its streams.

use std::collections::HashSet;

use aqueduct_core::{Account, DocumentRead, Fetch, FetchError, Grant, Kind, Presentation, ResolveError, Resource, SafeUrl};
use aqueduct_playlist::{Context, Playlist, is_playlist};

use url::Url;

use crate::extract::{self, Candidate, Document, Extraction, Frame, FrameSource, Hint};
use crate::resolver::Options;
use crate::{hls, plain};

/// A stream, as it was found.
enum Found {
    /// A playlist, and where to ask for it again.
    Playlist {
        asked: Resource,
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
    /// How many streams are wanted, and those that were found and can be used.
    wanted: usize,
    found: Vec<Presentation>,
}

/// What became of one address.
enum Visit {
    Stream(Found),
    /// A document: what it names, and the resource it was, for its children to refer to.
    Page(Box<Extraction>, Resource),
    /// Nothing of use.
    Nothing,
}

impl<'a, F: Fetch> Walk<'a, F> {
    pub(crate) fn new(options: &'a Options, fetch: &'a F, wanted: usize) -> Self {
        Self {
            options,
            fetch,
            account: Account::default(),
            title: None,
            visited: HashSet::new(),
            read: 0,
            broken: None,
            wanted: wanted.max(1),
            found: Vec::new(),
        }
    }

    /// Searches from an address that the user gave.
    pub(crate) async fn address(&mut self, resource: Resource) -> Result<Vec<Presentation>, ResolveError> {
        self.visited.insert(resource.url.clone());
        let visit = self.visit(&resource, None, 0).await?;
        self.search(visit).await
    }

    /// Searches from a text that the user gave.
    pub(crate) async fn text(&mut self, resource: &Resource, bytes: &[u8]) -> Result<Vec<Presentation>, ResolveError> {
        let entry = self.enter(resource.url.clone(), 0);
        let visit = self.look(resource, resource, None, None, bytes, entry)?;
        self.search(visit).await
    }

    async fn search(&mut self, visit: Visit) -> Result<Vec<Presentation>, ResolveError> {
        if let Some((extraction, page)) = self.settle(Ok(visit)).await? {
            self.title.clone_from(&extraction.title);
            let path = [page.url.clone()];
            self.page(extraction, &page, &path).await?;
        }
        if !self.found.is_empty() {
            if let Some(error) = &self.broken {
                tracing::warn!(%error, "something else was found and cannot be used");
            }
            return Ok(std::mem::take(&mut self.found));
        }
        Err(self.broken.take().unwrap_or_else(|| ResolveError::NothingFound {
            account: self.account.clone(),
        }))
    }

    fn is_done(&self) -> bool {
        self.found.len() >= self.wanted
    }

    /// Searches one page: what it names plainly first, then its frames, then its linked scripts, and last what
    /// something speaks against.
    async fn page(&mut self, extraction: Extraction, page: &Resource, path: &[SafeUrl]) -> Result<(), ResolveError> {
        let Extraction {
            base,
            candidates,
            frames,
            scripts,
            ..
        } = extraction;
        let (good, doubtful): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|candidate| candidate.demerits.is_empty());
        let (good_frames, doubtful_frames): (Vec<_>, Vec<_>) = frames.into_iter().partition(|frame| frame.demerits.is_empty());
        self.candidates(&good, page, path).await?;
        self.frames(good_frames, page, &base, path).await?;
        for script in scripts {
            self.script(script.into(), page, &base, path).await?;
        }
        self.candidates(&doubtful, page, path).await?;
        self.frames(doubtful_frames, page, &base, path).await
    }

    async fn candidates(&mut self, candidates: &[Candidate], page: &Resource, path: &[SafeUrl]) -> Result<(), ResolveError> {
        for candidate in candidates {
            let url = SafeUrl::from(candidate.url.clone());
            if self.is_done() || !self.visited.insert(url.clone()) {
                continue;
            }
            let visit = self.visit(&page.names(Kind::Document, url), None, path.len()).await;
            // A name that promises nothing may stand for an embedded player; one that promises a stream and is a page
            // is most likely an error page.
            if let Some((extraction, found)) = self.settle(visit).await?
                && candidate.hint == Hint::Unknown
            {
                self.descend(extraction, &found, path).await?;
            }
        }
        Ok(())
    }

    /// Reads a linked script: what it names is relative to the page that it runs in.
    async fn script(&mut self, url: SafeUrl, page: &Resource, base: &Url, path: &[SafeUrl]) -> Result<(), ResolveError> {
        if self.is_done() || !self.visited.insert(url.clone()) {
            return Ok(());
        }
        let visit = self.visit(&page.names(Kind::Document, url), Some(base), path.len()).await;
        if let Some((extraction, _)) = self.settle(visit).await? {
            self.candidates(&extraction.candidates, page, path).await?;
            self.frames(extraction.frames, page, base, path).await?;
        }
        Ok(())
    }

    async fn frames(&mut self, frames: Vec<Frame>, page: &Resource, base: &Url, path: &[SafeUrl]) -> Result<(), ResolveError> {
        for frame in frames {
            if self.is_done() {
                break;
            }
            let visit = match frame.source {
                FrameSource::Srcdoc(text) => {
                    let entry = self.enter(page.url.clone(), path.len());
                    self.note(entry, "the text of a srcdoc");
                    self.look(page, page, Some(base), Some("text/html"), text.as_bytes(), entry)
                }
                FrameSource::Url(url) => {
                    let url = SafeUrl::from(url);
                    if !self.visited.insert(url.clone()) {
                        let entry = self.enter(url.clone(), path.len());
                        self.note(
                            entry,
                            if path.contains(&url) {
                                "leads back to itself: not read again"
                            } else {
                                "read already"
                            },
                        );
                        continue;
                    }
                    self.visit(&page.names(Kind::Document, url), None, path.len()).await
                }
            };
            if let Some((extraction, found)) = self.settle(visit).await? {
                self.descend(extraction, &found, path).await?;
            }
        }
        Ok(())
    }

    /// Searches a page that another one led to, unless that is too deep.
    async fn descend(&mut self, extraction: Extraction, page: &Resource, path: &[SafeUrl]) -> Result<(), ResolveError> {
        let path: Vec<SafeUrl> = path.iter().cloned().chain([page.url.clone()]).collect();
        if path.len() > self.options.max_depth {
            self.broken.get_or_insert(ResolveError::TooDeep {
                limit: self.options.max_depth,
                path,
            });
            return Ok(());
        }
        // Depth bounds the recursion.
        Box::pin(self.page(extraction, page, &path)).await
    }

    /// Takes what became of an address: a stream is read down to its tracks and kept, a page is given back. What
    /// cannot be used is passed over; the first such thing is what is told when nothing else is found.
    async fn settle(&mut self, visit: Result<Visit, ResolveError>) -> Result<Option<(Extraction, Resource)>, ResolveError> {
        match visit {
            Ok(Visit::Page(extraction, page)) => return Ok(Some((*extraction, page))),
            Ok(Visit::Nothing) => {}
            Ok(Visit::Stream(found)) => match self.present(found).await {
                Ok(presentation) => self.found.push(presentation),
                Err(error) => {
                    if let Some(last) = self.account.documents.last_mut() {
                        last.found.push(format!("it cannot be used: {error}"));
                    }
                    self.broken.get_or_insert(error);
                }
            },
            Err(error @ (ResolveError::Playlist { .. } | ResolveError::Fetch(FetchError::Refused { .. }))) => {
                self.broken.get_or_insert(error);
            }
            Err(ResolveError::Fetch(_)) => {}
            Err(fatal) => return Err(fatal),
        }
        Ok(None)
    }

    async fn present(&self, found: Found) -> Result<Presentation, ResolveError> {
        match found {
            Found::Playlist {
                asked,
                at,
                playlist,
                warnings,
            } => {
                let mut presentation = hls::present(self.options, self.fetch, asked, at, *playlist).await?;
                presentation.warnings.splice(0..0, warnings);
                Ok(presentation)
            }
            Found::File { at, total, ranges } => Ok(Presentation::new(vec![plain::track(self.options, at, total, ranges)])),
        }
    }

    /// Reads one address. With `base`, what it names is relative to that instead.
    async fn visit(&mut self, resource: &Resource, base: Option<&Url>, depth: usize) -> Result<Visit, ResolveError> {
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
        let mut at = Resource {
            url: fetched.url.clone(),
            ..resource.clone()
        };
        if fetched.url != resource.url {
            // Where a redirect leads is what the server says, not what the user gave.
            at.named_by = Some(resource.url.clone());
        }
        let head = fetched.body.as_slice();
        if !fetched.whole || extract_media(head) {
            let ranges = fetched.accepts_ranges;
            self.note(entry, describe_file(fetched.total_length, ranges));
            let at = Resource {
                version: fetched.version.clone(),
                ..at
            };
            return Ok(Visit::Stream(Found::File {
                at,
                total: fetched.total_length,
                ranges,
            }));
        }
        self.look(resource, &at, base, fetched.content_type.as_deref(), head, entry)
    }

    /// Looks at the whole text of a document. What it names is relative to `base`, or to its own address.
    fn look(
        &mut self,
        asked: &Resource,
        at: &Resource,
        base: Option<&Url>,
        content_type: Option<&str>,
        bytes: &[u8],
        entry: usize,
    ) -> Result<Visit, ResolveError> {
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
            let playlist = Box::new(parsed.playlist);
            return Ok(Visit::Stream(Found::Playlist {
                asked: asked.clone(),
                at: at.clone(),
                playlist,
                warnings,
            }));
        }
        let document = Document {
            url: base.unwrap_or_else(|| at.url.url()),
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

fn describe_candidate(candidate: &Candidate) -> String {
    let mut text = format!("{} in {}", SafeUrl::from(candidate.url.clone()), candidate.via);
    for step in &candidate.steps {
        text = format!("{text}, {step}");
    }
    for reason in &candidate.demerits {
        text = format!("{text}, doubtful: {reason}");
    }
    text
}
