//! What an output is compared with: segments of the committed clip.

use anyhow::{Context, Result};
use fixture_server::Clip;
use sha2::{Digest, Sha256};

/// Segments of a folder of the clip, in the order of playing.
#[derive(Debug, Clone)]
pub struct Reference {
    folder: &'static str,
    order: Option<Vec<usize>>,
}

impl Reference {
    /// All segments of a folder.
    pub fn all(folder: &'static str) -> Self {
        Self { folder, order: None }
    }

    /// These segments of a folder.
    pub fn some(folder: &'static str, order: &[usize]) -> Self {
        Self {
            folder,
            order: Some(order.to_vec()),
        }
    }

    /// The Media Initialization Section, if there is one, and the segments, concatenated.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        self.bytes_of(self.folder)
    }

    /// The same moments from the fragmented packaging, which an MP4 reader can read.
    pub fn fragmented(&self) -> Result<Vec<u8>> {
        self.bytes_of(&self.folder.replace("-ts", "-fmp4"))
    }

    /// Whether these are segments of fragmented MP4.
    pub fn is_fragmented(&self) -> bool {
        self.folder.ends_with("-fmp4")
    }

    /// Whether the clock runs on from each segment to the next.
    pub fn is_continuous(&self) -> bool {
        self.order
            .as_ref()
            .is_none_or(|order| order.windows(2).all(|pair| pair[1] == pair[0] + 1))
    }

    /// How long it plays, in seconds.
    pub fn seconds(&self) -> Result<f64> {
        let folder = Clip::get()?.folder(self.folder)?;
        Ok(match &self.order {
            Some(order) => order.iter().map(|index| folder.durations[*index]).sum(),
            None => folder.durations.iter().sum(),
        })
    }

    fn bytes_of(&self, name: &str) -> Result<Vec<u8>> {
        let folder = Clip::get()?.folder(name)?;
        let all: Vec<usize> = (0..folder.segments.len()).collect();
        let mut bytes = folder.init.as_deref().unwrap_or_default().to_vec();
        for index in self.order.as_ref().unwrap_or(&all) {
            let segment = folder.segments.get(*index).context("a segment that the clip does not have")?;
            bytes.extend_from_slice(segment);
        }
        Ok(bytes)
    }
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
