//! The captions inside the pictures as a track of text.

use aqueduct_core::{MuxError, Presentation, Write};
use aqueduct_media::{
    TrackConfig,
    cea608::{self, CaptionData, Channel, Coding},
    time::{FLICKS, rescale},
    timed_text,
    webvtt::Cue,
};
use serde::{Deserialize, Serialize};

use super::{SampleWriter, file::File, lane::Tags, text::Text};
use crate::subtitles::{NO_PICTURES, Origin, elsewhere};

/// Reads one channel of the captions in the first track of pictures, and writes its cues as samples.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Captions {
    captions: cea608::Captions,
    /// The track of the file whose captions are read, and how it is coded now.
    pictures: Option<(usize, Option<Coding>)>,
    tags: Tags,
    text: Text,
    /// In the time of the film.
    cues: Vec<Cue>,
}

impl Captions {
    pub(super) fn new(channel: Channel, coding: timed_text::Coding) -> Self {
        Self {
            captions: cea608::Captions::new(channel),
            pictures: None,
            tags: Tags::default(),
            text: Text::new(coding),
            cues: Vec::new(),
        }
    }

    /// Learns what the playlist tells of them.
    pub(super) fn begin(&mut self, presentation: &Presentation) {
        let channel = self.captions.channel();
        let mut told = presentation.tracks.iter().flat_map(|track| &track.captions);
        let told = told.find(|told| Channel::named(&told.instream_id) == Some(channel));
        self.tags = Tags::of_captions(channel, told);
    }

    /// Adds the track to a file that tells all of its tracks before the first sample.
    pub(super) fn announce<W: SampleWriter>(&mut self, file: &mut File<W>) -> Result<(), MuxError> {
        self.text.announce(&[], &self.tags, file)
    }

    pub(super) fn anchor(&mut self, origin: &Origin) {
        self.text.anchor(origin);
    }

    /// A track of the file is coded like this from here on.
    pub(super) fn configure(&mut self, track: usize, config: &TrackConfig) {
        let coding = Coding::of(config);
        match &mut self.pictures {
            Some((pictures, known)) if *pictures == track => *known = coding,
            None if coding.is_some() => self.pictures = Some((track, coding)),
            _ => {}
        }
    }

    /// Takes the next sample of a track of the file, which is presented at this time of it, in flicks.
    pub(super) fn sample(&mut self, track: usize, data: &[u8], presented: i64) {
        let Some((_, Some(coding))) = self.pictures.filter(|(pictures, _)| *pictures == track) else {
            return;
        };
        let presented_ms = rescale(presented, FLICKS, 1000);
        let shown_ms = presented_ms.saturating_sub(self.text.base_or(presented_ms)).max(0);
        self.captions.picture(CaptionData::of(data, coding), shown_ms, &mut self.cues);
    }

    /// Writes the cues that are complete.
    pub(super) fn write<W: SampleWriter>(&mut self, file: &mut File<W>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let cues = std::mem::take(&mut self.cues);
        self.text.write(cues, &[], &self.tags, file, writes)?;
        if let Some(reached) = self.captions.reached_ms() {
            self.text.reached(reached, file);
        }
        Ok(())
    }

    pub(super) fn finish<W: SampleWriter>(
        &mut self,
        file: &mut File<W>,
        writes: &mut Vec<Write>,
        notes: &mut Vec<String>,
    ) -> Result<(), MuxError> {
        self.captions.finish(&mut self.cues);
        self.write(file, writes)?;
        self.text.finish(&[], &self.tags, file, writes)?;
        notes.extend(match self.pictures {
            Some(_) => elsewhere(self.captions.channel(), self.captions.found()),
            None => Some(format!("captions: {NO_PICTURES}")),
        });
        Ok(())
    }
}
