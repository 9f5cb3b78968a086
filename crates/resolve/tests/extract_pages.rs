//! The library of pages, read from disk: each folder's `expect.json` says what a search by extraction finds.
//!
//! The folders are those of the fixture server, whose templates (`{{site}}` and its kin) are filled in here as it
//! does. The search is the plainest one: what a document names without demerits, else its frames in order, else
//! its scripts. Nothing is probed, so that the order of the extraction itself is what is tested.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aqueduct_resolve::extract::{Document, Extraction, FrameSource, Limits, extract};
use serde_json::Value;
use url::Url;

const ORIGIN: &str = "http://origin.test:8000";

fn library() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixture-server/pages")
}

/// A folder of the library.
struct Site {
    name: String,
    folder: PathBuf,
    expected: Value,
    entry: String,
}

fn sites() -> Vec<Site> {
    let mut sites = Vec::new();
    for entry in std::fs::read_dir(library()).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(expected) = std::fs::read_to_string(folder.join("expect.json")) else {
            continue;
        };
        let site: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("site.json")).unwrap()).unwrap();
        sites.push(Site {
            name: folder.file_name().unwrap().to_string_lossy().into_owned(),
            expected: serde_json::from_str(&expected).unwrap(),
            entry: site["entry"].as_str().unwrap().to_owned(),
            folder,
        });
    }
    sites.sort_by(|one, other| one.name.cmp(&other.name));
    sites
}

impl Site {
    fn url(&self, path: &str) -> Url {
        Url::parse(&format!("{ORIGIN}/p/{}/", self.name))
            .unwrap()
            .join(&self.fill(path))
            .unwrap()
    }

    /// Fills in the names of a template.
    fn fill(&self, text: &str) -> String {
        let site = format!("{ORIGIN}/p/{}", self.name);
        let mut out = text.to_owned();
        for (name, value) in [("origin", ORIGIN), ("site", &site)] {
            for (filter, slash) in [
                ("", "/"),
                ("|json", "\\/"),
                ("|unicode", "\\u002F"),
                ("|hex", "\\x2F"),
                ("|entity", "&#x2F;"),
            ] {
                out = out.replace(&format!("{{{{{name}{filter}}}}}"), &value.replace('/', slash));
            }
        }
        out
    }

    /// The document at an address, if it is one of the site's.
    fn document(&self, url: &Url) -> Option<Vec<u8>> {
        let path = url.as_str().strip_prefix(self.url("").as_str())?.split('?').next()?;
        let bytes = std::fs::read(self.folder.join(path)).ok()?;
        // What is not UTF-8 is no template.
        Some(match String::from_utf8(bytes) {
            Ok(text) => self.fill(&text).into_bytes(),
            Err(error) => error.into_bytes(),
        })
    }
}

/// A search through the documents of a site.
struct Search<'s> {
    site: &'s Site,
    documents: Vec<String>,
    visited: BTreeSet<Url>,
    needs_script: bool,
}

impl Search<'_> {
    fn page(&mut self, url: &Url, content_type: Option<&str>, bytes: &[u8]) -> Option<Extraction> {
        let found = extract(&Document { url, content_type, bytes }, &Limits::default());
        self.needs_script |= found.needs_script;
        if found.candidates.first().is_some_and(|best| best.demerits.is_empty()) {
            return Some(found);
        }
        for frame in &found.frames {
            let inner = match &frame.source {
                FrameSource::Srcdoc(text) => {
                    self.documents.push("srcdoc".to_owned());
                    self.page(&found.base, Some("text/html"), text.as_bytes())
                }
                FrameSource::Url(url) => self.address(url, url),
            };
            if inner.is_some() {
                return inner;
            }
        }
        found.scripts.iter().find_map(|script| self.address(script, &found.base))
    }

    /// Reads what is at an address, with what it names being relative to `base`.
    fn address(&mut self, url: &Url, base: &Url) -> Option<Extraction> {
        if !self.visited.insert(url.clone()) || self.visited.len() > 20 {
            return None;
        }
        let bytes = self.site.document(url)?;
        let site = self.site.url("");
        let path = url.as_str().strip_prefix(site.as_str()).unwrap();
        self.documents.push(path.split('?').next().unwrap().to_owned());
        let content_type = match url.path().rsplit_once('.').map(|(_, extension)| extension) {
            Some("html") => Some("text/html"),
            Some("js") => Some("text/javascript"),
            Some("json") => Some("application/json"),
            _ => None,
        };
        self.page(base, content_type, &bytes)
    }
}

#[test]
fn the_library_is_as_large_as_it_should_be() {
    assert!(sites().len() >= 60, "{} pages", sites().len());
}

#[test]
fn every_page_gives_the_documents_and_the_candidates_that_it_should() {
    let mut wrong = Vec::new();
    for site in sites() {
        let mut search = Search {
            site: &site,
            documents: Vec::new(),
            visited: BTreeSet::new(),
            needs_script: false,
        };
        let entry = site.url(&site.entry);
        let found = search.address(&entry, &entry);
        let told: Vec<String> = found
            .iter()
            .flat_map(|found| &found.candidates)
            .map(|candidate| candidate.url.to_string())
            .collect();
        let expected: Vec<String> = match &site.expected["candidates"] {
            Value::Array(list) => list.iter().map(|path| site.url(path.as_str().unwrap()).to_string()).collect(),
            _ => panic!("{}: no candidates, found {told:?}", site.name),
        };
        let best = site.expected["best"].as_str().map(|path| site.url(path).to_string());
        let documents: Vec<&str> = site.expected["documents"]
            .as_array()
            .unwrap()
            .iter()
            .map(|path| path.as_str().unwrap())
            .collect();
        if told.first() != best.as_ref() || told != expected {
            wrong.push(format!("{}: {told:?}, not {best:?} of {expected:?}", site.name));
        }
        if search.documents != documents {
            wrong.push(format!("{}: documents {:?}, not {documents:?}", site.name, search.documents));
        }
        if search.needs_script != (site.expected["needs_script"] == true) && found.is_none() {
            wrong.push(format!("{}: needs a script: {}", site.name, search.needs_script));
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}
