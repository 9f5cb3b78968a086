//! What an output is compared with: segments of the committed clip.

use anyhow::{Context, Result};
use fixture_server::Clip;
use re_mp4::Mp4;
use sha2::{Digest, Sha256};

/// Segments of a folder of the clip, in the order of playing, or one file of fragmented MP4.
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

    /// A file of the clip that is fragmented MP4.
    pub fn file(path: &'static str) -> Self {
        Self { folder: path, order: None }
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
        self.folder.ends_with("-fmp4") || self.is_file()
    }

    fn is_file(&self) -> bool {
        self.folder.ends_with(".mp4")
    }

    /// Whether the clock runs on from each segment to the next.
    pub fn is_continuous(&self) -> bool {
        self.order
            .as_ref()
            .is_none_or(|order| order.windows(2).all(|pair| pair[1] == pair[0] + 1))
    }

    /// How long it plays, in seconds.
    pub fn seconds(&self) -> Result<f64> {
        if self.is_file() {
            let file = Mp4::read_bytes(&self.bytes()?)?;
            let track = file.tracks().values().next().context("a file without tracks")?;
            let ticks: u64 = track.samples.iter().map(|sample| sample.duration).sum();
            #[expect(clippy::cast_precision_loss, reason = "a test clip is short")]
            return Ok(ticks as f64 / track.timescale as f64);
        }
        let folder = Clip::get()?.folder(self.folder)?;
        Ok(match &self.order {
            Some(order) => order.iter().map(|index| folder.durations[*index]).sum(),
            None => folder.durations.iter().sum(),
        })
    }

    /// A file of video and audio, of a container named by its extension, has the packets of this. ffmpeg judges, where it is
    /// installed.
    pub fn judge(&self, file: &[u8], extension: &str) -> Result<()> {
        if crate::ffmpeg::installed() {
            crate::ffmpeg::judge(file, extension, &["v", "a"], std::slice::from_ref(self))?;
        }
        Ok(())
    }

    fn bytes_of(&self, name: &str) -> Result<Vec<u8>> {
        if self.is_file() {
            return Ok(Clip::get()?.file(name).context("no such file in the clip")?.to_vec());
        }
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
