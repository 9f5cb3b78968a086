//! The committed clip, read once per process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result};
use bytes::Bytes;

/// The files of `media/`.
#[derive(Debug)]
pub struct Clip {
    folders: BTreeMap<String, Folder>,
    root: PathBuf,
}

/// One packaging of the clip: its Media Initialization Section, if any, and its Media Segments in order.
#[derive(Debug, Clone)]
pub struct Folder {
    /// `init.mp4`.
    pub init: Option<Bytes>,
    /// Media Segments in the order of playing.
    pub segments: Vec<Bytes>,
    /// How long each segment plays, in seconds.
    pub durations: Vec<f64>,
    /// The file name extension of a segment: `ts`, `m4s`, `vtt` or `ttml`.
    pub extension: String,
}

/// Cues of the committed WebVTT lie in segments of this many seconds.
const SUBTITLE_SECONDS: f64 = 4.0;

impl Clip {
    /// The clip as committed; an error where a file cannot be read.
    pub fn get() -> Result<&'static Self> {
        static CLIP: OnceLock<Clip> = OnceLock::new();
        if let Some(clip) = CLIP.get() {
            return Ok(clip);
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("media");
        let clip = Self::read(&root).with_context(|| format!("reading the clip in {}", root.display()))?;
        Ok(CLIP.get_or_init(|| clip))
    }

    fn read(root: &Path) -> Result<Self> {
        let mut folders = BTreeMap::new();
        for entry in std::fs::read_dir(root)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if path.is_dir() && name != "pictures" {
                folders.insert(name, Folder::read(&path)?);
            }
        }
        Ok(Self {
            folders,
            root: root.to_owned(),
        })
    }

    /// The packaging of that name, such as `high-ts`.
    pub fn folder(&self, name: &str) -> Result<&Folder> {
        self.folders.get(name).with_context(|| format!("no folder {name:?} in the clip"))
    }

    /// A file of the clip by its path, such as `film.mp4`; nothing outside the clip's folder. `vectors/` holds what
    /// other implementations encrypted, which lies with the tests of `aqueduct-decrypt`.
    pub fn file(&self, path: &str) -> Option<Bytes> {
        let inside = Path::new(path)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if !inside {
            return None;
        }
        let path = match path.strip_prefix("vectors/") {
            Some(vector) => self.root.join("../../../crates/decrypt/tests/data").join(vector),
            None => self.root.join(path),
        };
        std::fs::read(path).ok().map(Bytes::from)
    }
}

impl Folder {
    fn read(path: &Path) -> Result<Self> {
        let extension = ["ts", "m4s", "vtt", "ttml"]
            .into_iter()
            .find(|extension| path.join(format!("0.{extension}")).exists())
            .with_context(|| format!("no segments in {}", path.display()))?
            .to_owned();
        let mut segments = Vec::new();
        while let Ok(bytes) = std::fs::read(path.join(format!("{}.{extension}", segments.len()))) {
            segments.push(Bytes::from(bytes));
        }
        let durations = match std::fs::read_to_string(path.join("index.m3u8")) {
            Ok(playlist) => durations(&playlist)?,
            Err(_) => vec![SUBTITLE_SECONDS; segments.len()],
        };
        anyhow::ensure!(
            durations.len() == segments.len(),
            "a duration for each segment in {}",
            path.display()
        );
        let init = std::fs::read(path.join("init.mp4")).ok().map(Bytes::from);
        Ok(Self {
            init,
            segments,
            durations,
            extension,
        })
    }
}

fn durations(playlist: &str) -> Result<Vec<f64>> {
    playlist
        .lines()
        .filter_map(|line| line.strip_prefix("#EXTINF:"))
        .map(|line| Ok(line.trim_end_matches(',').parse()?))
        .collect()
}
