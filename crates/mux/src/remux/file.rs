//! The file that grows: its writer, and the timeline that its tracks share.

use std::sync::Arc;

use aqueduct_core::{MuxError, Write};
use aqueduct_media::{
    Event, Sample, TrackConfig, TrackId,
    timeline::{Clock, Start, Timeline},
};

use serde::{Deserialize, Serialize};

use super::{
    SampleWriter,
    lane::{OutputTrack, Tags},
    source::Pushed,
};

/// Samples of different tracks lie this close together in the file, so that a player need not jump about.
const INTERLEAVE_SECONDS: i64 = 1;

/// The file and what its tracks share.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct File<W> {
    pub(super) writer: W,
    pub(super) timeline: Timeline,
    pub(super) tracks: usize,
    started: bool,
}

/// What one push is made of, besides its events.
#[derive(Clone, Copy)]
pub(super) struct Push<'a> {
    pub(super) tags: &'a Tags,
    /// Its Discontinuity Sequence Number.
    pub(super) period: u64,
    /// What the demuxer was given.
    pub(super) bytes: &'a [u8],
}

/// What is to be done with a track of the file, in order.
enum Step<D> {
    Configure(Arc<TrackConfig>),
    Add(Sample<D>),
}

impl<W: SampleWriter> File<W> {
    pub(super) fn new(writer: W) -> Self {
        Self {
            writer,
            timeline: Timeline::default(),
            tracks: 0,
            started: false,
        }
    }

    /// The first bytes are here.
    pub(super) fn start(&mut self, writes: &mut Vec<Write>) {
        if !std::mem::replace(&mut self.started, true) {
            let mut head = Vec::new();
            self.writer.start(&mut head);
            append(writes, head);
        }
    }

    /// Takes what a demuxer made of one push, all of one period.
    pub(super) fn take<D: Pushed>(
        &mut self,
        outputs: &mut Vec<OutputTrack>,
        push: Push<'_>,
        events: Vec<Event<D>>,
        writes: &mut Vec<Write>,
    ) -> Result<(), MuxError> {
        let period = push.period;
        for event in &events {
            if let Event::Config { track, config } = event {
                OutputTrack::attach(outputs, (*track, D::CLOCK), &push.tags.apply(config));
            }
        }
        self.begin_period(outputs, period, &events);
        let mut steps: Vec<Vec<Step<D>>> = Vec::new();
        let mut since = None;
        for event in events {
            match event {
                Event::Config { track, config } => {
                    let (output, known) = self.output(outputs, push.tags, (track, D::CLOCK), &config)?;
                    output.configure(&config);
                    if known {
                        at(&mut steps, output.number).push(Step::Configure(config));
                    }
                }
                Event::Sample { track, sample } => {
                    let Some(output) = outputs.iter().find(|output| output.source == Some(track)) else {
                        continue;
                    };
                    let sample = output.align(sample);
                    let sample = self.timeline.place(output.number, period, output.clock, output.timescale, sample);
                    let second = sample.dts.div_euclid(output.timescale.into());
                    if second - *since.get_or_insert(second) >= INTERLEAVE_SECONDS {
                        since = Some(second);
                        self.write(&mut steps, push.bytes, writes)?;
                    }
                    at(&mut steps, output.number).push(Step::Add(sample));
                }
            }
        }
        self.write(&mut steps, push.bytes, writes)
    }

    /// Tells the timeline where each track of a period begins, as far as it is seen.
    fn begin_period<D>(&mut self, outputs: &[OutputTrack], period: u64, events: &[Event<D>]) {
        let mut timescales: Vec<_> = outputs
            .iter()
            .filter_map(|output| Some((output.source?, output.timescale)))
            .collect();
        let mut seen = Vec::new();
        let mut starts = Vec::new();
        for event in events {
            match event {
                Event::Config { track, config } => {
                    timescales.retain(|(known, _)| known != track);
                    timescales.push((*track, config.timescale));
                }
                Event::Sample { track, sample } if !seen.contains(track) => {
                    seen.push(*track);
                    let Some((_, timescale)) = timescales.iter().find(|(known, _)| known == track) else {
                        continue;
                    };
                    let output = outputs.iter().find(|output| output.source == Some(*track));
                    starts.push(Start {
                        // A track that is new to the file has no end to go on from, but may be the first to begin.
                        track: output.map_or(usize::MAX, |output| output.number),
                        dts: sample.dts,
                        timescale: *timescale,
                    });
                }
                Event::Sample { .. } => {}
            }
        }
        self.timeline.begin(period, &starts);
    }

    /// The file's track for a demuxer's, and whether it was there already.
    fn output<'a>(
        &mut self,
        outputs: &'a mut Vec<OutputTrack>,
        tags: &Tags,
        (source, clock): (TrackId, Clock),
        config: &TrackConfig,
    ) -> Result<(&'a mut OutputTrack, bool), MuxError> {
        if let Some(known) = outputs.iter().position(|output| output.source == Some(source)) {
            return Ok((&mut outputs[known], true));
        }
        let config = tags.apply(config);
        let number = self.writer.add_track(&config)?;
        self.tracks += 1;
        outputs.push(OutputTrack::new(source, number, clock, &config));
        let last = outputs.len() - 1;
        Ok((&mut outputs[last], false))
    }

    /// Writes what waits, track by track.
    fn write<D: Pushed>(&mut self, steps: &mut Vec<Vec<Step<D>>>, pushed: &[u8], writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let samples = steps.iter().flatten().filter_map(|step| match step {
            Step::Add(sample) => Some(sample.data.bytes(pushed).len()),
            Step::Configure(_) => None,
        });
        let mut out = Vec::with_capacity(samples.sum());
        for (number, steps) in steps.drain(..).enumerate() {
            for step in steps {
                match step {
                    Step::Configure(config) => self.writer.configure(number, &config, &mut out)?,
                    Step::Add(sample) => self.writer.add(number, &sample.as_slice(pushed), &mut out)?,
                }
            }
        }
        append(writes, out);
        Ok(())
    }
}

fn append(writes: &mut Vec<Write>, bytes: Vec<u8>) {
    if !bytes.is_empty() {
        writes.push(Write::append(bytes));
    }
}

/// The steps of track `number`.
fn at<D>(steps: &mut Vec<Vec<Step<D>>>, number: usize) -> &mut Vec<Step<D>> {
    if steps.len() <= number {
        steps.resize_with(number + 1, Vec::new);
    }
    &mut steps[number]
}
