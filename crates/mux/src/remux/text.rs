//! Cues as a track of the file.

use std::mem;

use aqueduct_core::{MuxError, Write};
use aqueduct_media::{
    TrackConfig,
    time::MPEG_HZ,
    timed_text::{Coding, Encoder},
    webvtt::Cue,
};
use serde::{Deserialize, Serialize};

use super::{SampleWriter, file::File, lane::Tags};
use crate::subtitles::Origin;

/// A track of text: the file gets it with its first cue, unless it is announced.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Text {
    encoder: Encoder,
    coding: Coding,
    /// Whether it has brought a sample.
    begun: bool,
    /// In the file.
    number: Option<usize>,
    /// What the clock of the file shows at time 0 of the film, in milliseconds.
    base: Option<i64>,
}

impl Text {
    pub(super) fn new(coding: Coding) -> Self {
        Self {
            encoder: Encoder::new(coding),
            coding,
            ..Self::default()
        }
    }

    pub(super) fn coding(&self) -> Coding {
        self.coding
    }

    /// Cues that were left out because too many were shown at once.
    pub(super) fn left_out(&self) -> u64 {
        self.encoder.left_out()
    }

    /// Adds the track to a file that tells all of its tracks before the first sample. `blocks` stand in the head of WebVTT.
    pub(super) fn announce<W: SampleWriter>(&mut self, blocks: &[String], tags: &Tags, file: &mut File<W>) -> Result<(), MuxError> {
        self.number = file.add_text(&self.config(blocks, tags))?;
        Ok(())
    }

    /// Tells the file what the track turns out to be, as long as it has brought nothing.
    pub(super) fn configure<W: SampleWriter>(
        &mut self,
        blocks: &[String],
        tags: &Tags,
        file: &mut File<W>,
        writes: &mut Vec<Write>,
    ) -> Result<(), MuxError> {
        match self.number.filter(|_| !self.begun) {
            Some(number) => file.configure_text(number, &self.config(blocks, tags), writes),
            None => Ok(()),
        }
    }

    fn config(&self, blocks: &[String], tags: &Tags) -> TrackConfig {
        let language = tags.language.unwrap_or_default();
        let config = self.encoder.config(language, tags.name.clone(), blocks, tags.roles.forced);
        tags.apply(&config)
    }

    /// Learns where the film begins, as soon as that is known: the first period of the file keeps the times of its source.
    /// Rounded up, so that text never begins the film.
    pub(super) fn anchor(&mut self, origin: &Origin) {
        if self.base.is_none() {
            self.base = origin.first().map(|anchor| {
                let up = anchor
                    .clock
                    .saturating_add(i64::from(MPEG_HZ / 1000) - 1)
                    .div_euclid(i64::from(MPEG_HZ / 1000));
                up.saturating_sub(anchor.film_ms)
            });
        }
    }

    /// What the clock of the file shows at time 0 of the film, in milliseconds: `first`, if that is not known.
    pub(super) fn base_or(&mut self, first: i64) -> i64 {
        *self.base.get_or_insert(first)
    }

    /// Writes cues in the time of the film.
    pub(super) fn write<W: SampleWriter>(
        &mut self,
        cues: Vec<Cue>,
        blocks: &[String],
        tags: &Tags,
        file: &mut File<W>,
        writes: &mut Vec<Write>,
    ) -> Result<(), MuxError> {
        let mut samples = Vec::new();
        for cue in cues {
            self.encoder.cue(cue, &mut samples);
        }
        self.add(samples, blocks, tags, file, writes)
    }

    /// Writes what is left, and ends the track.
    pub(super) fn finish<W: SampleWriter>(
        &mut self,
        blocks: &[String],
        tags: &Tags,
        file: &mut File<W>,
        writes: &mut Vec<Write>,
    ) -> Result<(), MuxError> {
        let mut samples = Vec::new();
        self.encoder.finish(&mut samples);
        self.add(samples, blocks, tags, file, writes)?;
        self.ends(file);
        Ok(())
    }

    /// Tells that no cue comes any more that begins before this time of the film, in milliseconds.
    pub(super) fn reached<W: SampleWriter>(&self, film_ms: i64, file: &mut File<W>) {
        // Before the beginning of the film is known, nobody knows where in the file that is.
        if let (Some(number), Some(base)) = (self.number, self.base) {
            file.text_reached(number, Some(film_ms.saturating_add(base)));
        }
    }

    /// Tells that no cue comes any more.
    pub(super) fn ends<W: SampleWriter>(&self, file: &mut File<W>) {
        if let Some(number) = self.number {
            file.text_reached(number, None);
        }
    }

    fn add<W: SampleWriter>(
        &mut self,
        mut samples: Vec<aqueduct_media::Sample>,
        blocks: &[String],
        tags: &Tags,
        file: &mut File<W>,
        writes: &mut Vec<Write>,
    ) -> Result<(), MuxError> {
        if samples.is_empty() {
            return Ok(());
        }
        let number = match self.number {
            Some(number) => number,
            None => {
                let Some(number) = file.add_text(&self.config(blocks, tags))? else {
                    // A file that does without text.
                    return Ok(());
                };
                *self.number.insert(number)
            }
        };
        if !mem::replace(&mut self.begun, true) {
            file.tracks += 1;
        }
        let base = *self.base.get_or_insert(0);
        for sample in &mut samples {
            sample.dts = sample.dts.saturating_add(base);
            sample.pts = sample.dts;
        }
        file.text(number, &samples, writes)
    }
}
