//! A subtitle Rendition as a track of the file.

use std::{collections::VecDeque, mem, time::Duration};

use aqueduct_core::{MuxError, SegmentInfo, Write};
use aqueduct_media::{
    TrackConfig,
    time::MPEG_HZ,
    timed_text::{Coding, Encoder},
    webvtt::Cue,
};
use serde::{Deserialize, Serialize};

use super::{SampleWriter, file::File, lane::Tags};
use crate::subtitles::{Origin, Reader};

/// Segments that wait for the picture to come to their place, and the bytes of them.
const MAX_HELD: usize = 64;
const MAX_HELD_BYTES: usize = 4 << 20;

/// Reads one Rendition, and writes its cues as samples.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Embedded {
    reader: Reader,
    encoder: Encoder,
    coding: Coding,
    /// How long the Rendition is, where that is known.
    length: Option<Duration>,
    /// Whether it has brought a sample.
    begun: bool,
    held: VecDeque<Held>,
    /// In the file.
    number: Option<usize>,
    /// What the clock of the file shows at time 0 of the film, in milliseconds.
    base: Option<i64>,
}

/// A segment, or the place of one that is missing.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Held {
    period: u64,
    duration: Duration,
    content: Option<Vec<u8>>,
}

impl Held {
    /// What is held of an item of this playing time; without content it is missing.
    pub(super) fn new(info: &SegmentInfo, duration: Duration, content: Option<&[u8]>) -> Self {
        Self {
            period: info.discontinuity_sequence,
            duration,
            content: content.map(<[u8]>::to_vec),
        }
    }
}

impl Embedded {
    pub(super) fn new(coding: Coding, length: Option<Duration>) -> Self {
        Self {
            encoder: Encoder::new(coding),
            coding,
            length,
            ..Self::default()
        }
    }

    /// Adds the track to a file that tells all of its tracks before the first sample.
    pub(super) fn announce<W: SampleWriter>(&mut self, tags: &Tags, file: &mut File<W>) -> Result<(), MuxError> {
        self.number = file.add_text(&self.config(tags))?;
        Ok(())
    }

    fn config(&self, tags: &Tags) -> TrackConfig {
        let language = tags.language.unwrap_or_default();
        let config = self
            .encoder
            .config(language, tags.name.clone(), self.reader.blocks(), tags.roles.forced);
        tags.apply(&config)
    }

    pub(super) fn init<W: SampleWriter>(
        &mut self,
        bytes: &[u8],
        origin: &Origin,
        tags: &Tags,
        file: &mut File<W>,
        writes: &mut Vec<Write>,
    ) -> Result<(), MuxError> {
        self.work(0, origin, tags, file, writes)?;
        self.reader.init(bytes)
    }

    /// Takes a segment, or the place of one.
    pub(super) fn segment<W: SampleWriter>(
        &mut self,
        held: Held,
        origin: &Origin,
        tags: &Tags,
        file: &mut File<W>,
        writes: &mut Vec<Write>,
    ) -> Result<(), MuxError> {
        self.held.push_back(held);
        self.work(MAX_HELD, origin, tags, file, writes)
    }

    /// Reads what is held, as far as the picture has come by now.
    pub(super) fn read_on<W: SampleWriter>(
        &mut self,
        origin: &Origin,
        tags: &Tags,
        file: &mut File<W>,
        writes: &mut Vec<Write>,
    ) -> Result<(), MuxError> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.work(MAX_HELD, origin, tags, file, writes)
    }

    pub(super) fn finish<W: SampleWriter>(
        &mut self,
        origin: &Origin,
        tags: &Tags,
        file: &mut File<W>,
        writes: &mut Vec<Write>,
        notes: &mut Vec<String>,
    ) -> Result<(), MuxError> {
        self.work(0, origin, tags, file, writes)?;
        let mut cues = Vec::new();
        self.reader.finish(&mut cues);
        self.write(cues, true, origin, tags, file, writes)?;
        self.reader.notes(notes);
        if let Some(number) = self.number {
            file.text_reached(number, None);
        }
        if self.encoder.left_out() > 0 {
            notes.push(format!("subtitles: {} cues left out: too many at once", self.encoder.left_out()));
        }
        Ok(())
    }

    pub(super) fn mark_saved(&mut self) {
        self.reader.mark_saved();
    }

    pub(super) fn put_behind(&mut self, earlier: Self) {
        self.reader.put_behind(earlier.reader);
    }

    /// Reads what is held, as far as it is known where it belongs, and at least so much that `most` segments are left.
    fn work<W: SampleWriter>(
        &mut self,
        most: usize,
        origin: &Origin,
        tags: &Tags,
        file: &mut File<W>,
        writes: &mut Vec<Write>,
    ) -> Result<(), MuxError> {
        let mut cues = Vec::new();
        while let Some(front) = self.held.front() {
            let bytes: usize = self.held.iter().filter_map(|held| held.content.as_ref().map(Vec::len)).sum();
            let window = self.reader.window(front.duration);
            if !origin.has_reached(front.period, window) && self.held.len() <= most && bytes <= MAX_HELD_BYTES {
                break;
            }
            let Some(Held { period, duration, content }) = self.held.pop_front() else {
                break;
            };
            match content {
                Some(bytes) => {
                    let anchors = origin.get(period, window);
                    self.reader.segment(period, duration, &bytes, &anchors, &mut cues)?;
                }
                None => self.reader.gap(duration),
            }
            if self.coding == Coding::Cues {
                self.reader.hand_on(&mut cues);
            }
        }
        if let Some(number) = self.number.filter(|_| !self.begun) {
            // What stands in the head of WebVTT is known before the first cue is.
            file.configure_text(number, &self.config(tags), writes)?;
        }
        self.write(cues, false, origin, tags, file, writes)?;
        let Some(number) = self.number else { return Ok(()) };
        let position = self.reader.position();
        if self.length.is_some_and(|length| position >= length) && self.held.is_empty() {
            let mut last = Vec::new();
            self.reader.close(&mut last);
            self.write(last, false, origin, tags, file, writes)?;
            file.text_reached(number, None);
        } else if self.base.is_some() || origin.first().is_some() {
            // Before that nobody knows where in the file the Rendition stands.
            let film_ms = self.reader.reached_ms();
            file.text_reached(number, Some(film_ms.saturating_add(self.base(origin))));
        }
        Ok(())
    }

    fn write<W: SampleWriter>(
        &mut self,
        cues: Vec<Cue>,
        last: bool,
        origin: &Origin,
        tags: &Tags,
        file: &mut File<W>,
        writes: &mut Vec<Write>,
    ) -> Result<(), MuxError> {
        let mut samples = Vec::new();
        for cue in cues {
            self.encoder.cue(cue, &mut samples);
        }
        if last {
            self.encoder.finish(&mut samples);
        }
        if samples.is_empty() {
            return Ok(());
        }
        let number = match self.number {
            Some(number) => number,
            None => {
                let Some(number) = file.add_text(&self.config(tags))? else {
                    // A file that does without text.
                    return Ok(());
                };
                *self.number.insert(number)
            }
        };
        if !mem::replace(&mut self.begun, true) {
            file.tracks += 1;
        }
        let base = self.base(origin);
        for sample in &mut samples {
            sample.dts = sample.dts.saturating_add(base);
            sample.pts = sample.dts;
        }
        file.text(number, &samples, writes)
    }

    /// The first period of the file keeps the times of its source. Rounded up, so that text never begins the film.
    fn base(&mut self, origin: &Origin) -> i64 {
        *self.base.get_or_insert_with(|| {
            origin.first().map_or(0, |anchor| {
                let up = anchor
                    .clock
                    .saturating_add(i64::from(MPEG_HZ / 1000) - 1)
                    .div_euclid(i64::from(MPEG_HZ / 1000));
                up.saturating_sub(anchor.film_ms)
            })
        })
    }
}
