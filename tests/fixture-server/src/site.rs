//! Pages that lead to a stream: a folder of documents and a description of how they must be read.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// A site: a folder of `pages/`, its `site.json` read into this, served under `/p/NAME/`.
///
/// Texts are templates. `{{origin}}` and `{{other}}` are the server's two origins, `{{site}}` and
/// `{{other-site}}` the site's address on each, `{{query}}` the query of the request. A filter changes how
/// the value is written: `{{site|json}}` (`\/`), `unicode` (`\u002F`), `hex` (`\x2F`), `entity` (`&#x2F;`),
/// `percent`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Site {
    /// What the site is for, in a sentence.
    pub about: String,
    /// The document that a person would open.
    pub entry: String,
    /// Folders of the site that are streams: folder name to stream name.
    pub streams: BTreeMap<String, String>,
    /// For each path, header fields that a request must have; 403 without. Values are templates.
    pub requires: BTreeMap<String, BTreeMap<String, String>>,
    /// For each path, header fields of the answer. Values are templates.
    pub headers: BTreeMap<String, BTreeMap<String, String>>,
    /// What a resolver should find: paths in the site, or templates of whole URLs.
    pub expect: Vec<String>,
    /// The documents by path. Read from the folder, not from `site.json`.
    #[serde(skip)]
    pub documents: BTreeMap<String, Vec<u8>>,
}

impl Site {
    /// The sites of the folder `pages/`, by name.
    pub fn standard() -> Result<BTreeMap<String, Self>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("pages");
        let mut sites = BTreeMap::new();
        for entry in std::fs::read_dir(&root).with_context(|| format!("reading {}", root.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let site = Self::read(&path).with_context(|| format!("reading the site in {}", path.display()))?;
                sites.insert(name, site);
            }
        }
        Ok(sites)
    }

    fn read(folder: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(folder.join("site.json")).context("reading site.json")?;
        let mut site: Self = serde_json::from_str(&text).context("reading site.json")?;
        read_documents(folder, "", &mut site.documents)?;
        site.documents.remove("site.json");
        Ok(site)
    }

    /// Which required header field is missing or wrong in a request for `path`.
    pub(crate) fn refusal(&self, path: &str, header: impl Fn(&str) -> Option<String>, names: &Names) -> Option<String> {
        let required = self.requires.get(path)?;
        required.iter().find_map(|(name, value)| {
            let value = names.render(value);
            let given = header(name);
            (given.as_deref() != Some(value.as_str())).then(|| format!("{name} must be {value:?}, not {:?}", given.unwrap_or_default()))
        })
    }
}

fn read_documents(folder: &Path, prefix: &str, into: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            read_documents(&entry.path(), &format!("{name}/"), into)?;
        } else {
            into.insert(name, std::fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// What the names in a template stand for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names(pub(crate) Vec<(&'static str, String)>);

impl Names {
    /// The text with names replaced; what is no known name stays as it is.
    pub(crate) fn render(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            out.push_str(before);
            let Some((name, tail)) = after.split_once("}}") else {
                rest = &rest[before.len()..];
                break;
            };
            match self.value(name) {
                Some(value) => out.push_str(&value),
                None => out.push_str(&format!("{{{{{name}}}}}")),
            }
            rest = tail;
        }
        out.push_str(rest);
        out
    }

    fn value(&self, expression: &str) -> Option<String> {
        let mut words = expression.split('|');
        let name = words.next()?;
        let mut value = self.0.iter().find(|(known, _)| *known == name)?.1.clone();
        for filter in words {
            value = match filter {
                "json" => value.replace('/', "\\/"),
                "unicode" => value.replace('/', "\\u002F"),
                "hex" => value.replace('/', "\\x2F"),
                "entity" => value.replace('/', "&#x2F;"),
                "percent" => utf8_percent_encode(&value, NON_ALPHANUMERIC).to_string(),
                _ => return None,
            };
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_and_filtered() {
        let names = Names(vec![("site", "http://a/b".to_owned())]);
        assert_eq!(names.render("x {{site}}/c {{site|json}}"), r"x http://a/b/c http:\/\/a\/b");
        assert_eq!(names.render("{{site|unicode}}"), r"http:\u002F\u002Fa\u002Fb");
        assert_eq!(names.render("{{site|percent}}"), "http%3A%2F%2Fa%2Fb");
        assert_eq!(names.render("a{{b}} {{ c"), "a{{b}} {{ c");
    }

    #[test]
    fn every_committed_site_has_its_entry_and_known_streams() {
        let streams = crate::Stream::standard().unwrap();
        for (name, site) in Site::standard().unwrap() {
            assert!(site.documents.contains_key(&site.entry), "{name}: no {}", site.entry);
            assert!(!site.about.is_empty(), "{name} does not say what it is for");
            for stream in site.streams.values() {
                assert!(streams.contains_key(stream), "{name}: no stream {stream}");
            }
        }
    }
}
