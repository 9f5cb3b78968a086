//! A subtitle Rendition as a track of the file.

use std::{collections::VecDeque, time::Duration};

use aqueduct_core::{MuxError, SegmentInfo, Write};
use aqueduct_media::timed_text::Coding;
use serde::{Deserialize, Serialize};

use super::{SampleWriter, file::File, lane::Tags, text::Text};
use crate::subtitles::{Origin, Reader};

/// Segments that wait for the picture to come to their place, and the bytes of them.
const MAX_HELD: usize = 64;
const MAX_HELD_BYTES: usize = 4 << 20;

/// Reads one Rendition, and writes its cues as samples.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Embedded {
    reader: Reader,
    text: Text,
    /// How long the Rendition is, where that is known.
    length: Option<Duration>,
    held: VecDeque<Held>,
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
            text: Text::new(coding),
            length,
            ..Self::default()
        }
    }

    /// Adds the track to a file that tells all of its tracks before the first sample.
    pub(super) fn announce<W: SampleWriter>(&mut self, tags: &Tags, file: &mut File<W>) -> Result<(), MuxError> {
        self.text.announce(self.reader.blocks(), tags, file)
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
        self.text.anchor(origin);
        self.text.write(cues, self.reader.blocks(), tags, file, writes)?;
        self.text.finish(self.reader.blocks(), tags, file, writes)?;
        self.reader.notes(notes);
        let left_out = self.text.left_out();
        if left_out > 0 {
            notes.push(format!("subtitles: {left_out} cues left out: too many at once"));
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
            if self.text.coding() == Coding::Cues {
                self.reader.hand_on(&mut cues);
            }
        }
        self.text.anchor(origin);
        // What stands in the head of WebVTT is known before the first cue is.
        self.text.configure(self.reader.blocks(), tags, file, writes)?;
        self.text.write(cues, self.reader.blocks(), tags, file, writes)?;
        let position = self.reader.position();
        if self.length.is_some_and(|length| position >= length) && self.held.is_empty() {
            let mut last = Vec::new();
            self.reader.close(&mut last);
            self.text.write(last, self.reader.blocks(), tags, file, writes)?;
            self.text.ends(file);
        } else {
            self.text.reached(self.reader.reached_ms(), file);
        }
        Ok(())
    }
}
