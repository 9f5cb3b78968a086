//! The file that grows: its writer, and the timeline that its tracks share.

use aqueduct_core::{MuxError, Write};
use aqueduct_media::{
    Event, Sample, TrackConfig, TrackId,
    emsg::Message,
    time::{FLICKS, rescale, to_flicks},
    timeline::{Clock, Start, Timeline},
};
use bytes::Bytes;

use serde::{Deserialize, Serialize};
use std::{mem, time::Duration};

use super::{
    Order, SampleWriter,
    captions::Captions,
    doubts::Doubts,
    interleave::{Change, Interleaver, Step},
    lane::{OutputTrack, Tags},
    source::Pushed,
};

/// Samples of different tracks lie this close together in the file, so that a player need not jump about. It is counted
/// from the first sample of a push, in the time of its source: what a unit brings does not depend on when it plays.
const INTERLEAVE: i64 = FLICKS as i64;
/// A sample that is presented so long after a message, in flicks, may be from before a jump of time stamps.
const NEAR: i64 = 10 * FLICKS as i64;

/// The file and what its tracks share.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct File<W> {
    pub(super) writer: W,
    pub(super) timeline: Timeline,
    pub(super) tracks: usize,
    interleaver: Interleaver,
    /// What makes a track of the captions inside the pictures, where that is wanted.
    pub(super) captions: Option<Box<Captions>>,
    pub(super) doubts: Doubts,
    /// Messages of the push at hand, on the clock of its source.
    messages: Vec<Message>,
    /// How many came without anything that tells when they are due.
    pub(super) timeless: u64,
}

/// What one push is made of, besides its events.
#[derive(Clone, Copy)]
pub(super) struct Push<'a> {
    pub(super) tags: &'a Tags,
    /// Its Discontinuity Sequence Number.
    pub(super) period: u64,
    /// How long it is, as its playlist says; zero of none.
    pub(super) duration: Duration,
    /// Whether every other stream has shown its tracks.
    pub(super) complete: bool,
    /// Whether what changes with it does so at a discontinuity, with another container or an initialization section.
    pub(super) announced: bool,
    /// Whether it is the first segment of its stream: the other streams have theirs next.
    pub(super) first: bool,
    /// What the demuxer was given.
    pub(super) bytes: &'a [u8],
}

impl<W: SampleWriter> File<W> {
    pub(super) fn new(writer: W) -> Self {
        Self {
            writer,
            timeline: Timeline::default(),
            tracks: 0,
            interleaver: Interleaver::default(),
            captions: None,
            doubts: Doubts::default(),
            messages: Vec::new(),
            timeless: 0,
        }
    }

    /// Media of a track was passed over.
    pub(super) fn skip(&mut self, number: usize) {
        self.timeline.skip(number);
        self.interleaver.skip(number);
        self.writer.skip(number);
    }

    /// Takes the messages of the push that is [taken](Self::take) next.
    pub(super) fn expect(&mut self, messages: Vec<Message>) {
        self.messages.extend(messages);
    }

    /// Gives the writer the messages that are due by `until`, in flicks, or all of them, with what is `added` to the times of
    /// a track, in ticks.
    fn place_messages(&mut self, (added, timescale): (i64, u32), (from, until): (i64, i64)) {
        let due = |message: &Message| message.flicks() < until && from.saturating_sub(message.flicks()) < NEAR;
        if !self.messages.iter().any(due) {
            return;
        }
        let (due, later): (Vec<_>, Vec<_>) = mem::take(&mut self.messages).into_iter().partition(due);
        self.messages = later;
        for mut message in due {
            message.time = message.time.saturating_add(rescale(added, timescale, message.timescale));
            self.writer.message(message);
        }
    }

    /// The same with those that no sample of the push came behind.
    fn place_rest(&mut self, outputs: &[OutputTrack], last: Option<(i64, u32)>) {
        let any = outputs
            .iter()
            .find_map(|output| Some((self.timeline.offset(output.number?), output.timescale)));
        match last.or(any) {
            Some(added) => self.place_messages(added, (i64::MIN, i64::MAX)),
            None => self.timeless += mem::take(&mut self.messages).len() as u64,
        }
    }

    /// Takes what a demuxer made of one push, all of one period.
    pub(super) fn take<D: Pushed>(
        &mut self,
        outputs: &mut Vec<OutputTrack>,
        push: Push<'_>,
        mut events: Vec<Event<D>>,
        writes: &mut Vec<Write>,
    ) -> Result<(), MuxError> {
        if self.timeline.has_begun(push.period) {
            let before = before_step_back(&mut events);
            if !before.is_empty() {
                self.take_segment(outputs, push, before, writes)?;
            }
        }
        let last = self.take_segment(outputs, push, events, writes)?;
        if !self.messages.is_empty() {
            self.place_rest(outputs, last);
        }
        Ok(())
    }

    /// Takes what belongs to one segment, and gives what is added to the times of its last sample.
    fn take_segment<D: Pushed>(
        &mut self,
        outputs: &mut Vec<OutputTrack>,
        push: Push<'_>,
        events: Vec<Event<D>>,
        writes: &mut Vec<Write>,
    ) -> Result<Option<(i64, u32)>, MuxError> {
        let period = push.period;
        for event in &events {
            if let Event::Config { track, config } = event {
                OutputTrack::attach(outputs, (*track, D::CLOCK), &push.tags.apply(config));
                // Some containers want all tracks before the first sample.
                self.output(outputs, push.tags, (*track, D::CLOCK), config)?;
            }
        }
        self.begin_segment(outputs, period, &events);
        for number in outputs
            .iter()
            .filter_map(|output| output.number)
            .filter(|_| !push.duration.is_zero())
        {
            self.timeline.lasts(number, push.duration);
        }
        let mut steps: Vec<Vec<Step<D>>> = Vec::new();
        let (mut since, mut last) = (None, None);
        for event in events {
            match event {
                Event::Config { track, config } => {
                    let (output, known) = self.output(outputs, push.tags, (track, D::CLOCK), &config)?;
                    let doubtful = !push.announced && output.config.may_be_damaged_to(&config);
                    output.configure(&config);
                    let number = output.number;
                    if let (Some(captions), Some(number)) = (&mut self.captions, number) {
                        captions.configure(number, &config);
                    }
                    if let Some(number) = number.filter(|_| known) {
                        at(&mut steps, number).push(Step::Configure(Change { config, doubtful }));
                    }
                }
                Event::Sample { track, sample } => {
                    let output = outputs.iter().find(|output| output.source == Some(track));
                    let Some((output, number)) = output.and_then(|output| Some((output, output.number?))) else {
                        continue;
                    };
                    let sample = output.align(sample);
                    let source_time = to_flicks(sample.dts, output.timescale);
                    if source_time.saturating_sub(*since.get_or_insert(source_time)) >= INTERLEAVE {
                        since = Some(source_time);
                        self.write(&mut steps, push, writes)?;
                    }
                    let presented = output.presented(&sample);
                    let sample = self.timeline.place(number, period, output.clock, output.timescale, sample);
                    let added = (self.timeline.offset(number), output.timescale);
                    last = Some(added);
                    if !self.messages.is_empty() {
                        self.place_messages(added, presented);
                    }
                    if let Some(captions) = &mut self.captions {
                        let (presented, _) = output.presented(&sample);
                        captions.sample(number, sample.data.bytes(push.bytes), presented);
                    }
                    let time = to_flicks(sample.dts, output.timescale);
                    at(&mut steps, number).push(Step::Add(sample, time));
                }
            }
        }
        self.write(&mut steps, push, writes)?;
        Ok(last)
    }

    /// Tells the timeline where each track of a segment begins.
    fn begin_segment<D>(&mut self, outputs: &[OutputTrack], period: u64, events: &[Event<D>]) {
        let mut configs: Vec<(TrackId, &TrackConfig)> = Vec::new();
        let mut seen = Vec::new();
        let mut starts = Vec::new();
        for event in events {
            match event {
                Event::Config { track, config } => {
                    configs.retain(|(known, _)| known != track);
                    configs.push((*track, config));
                }
                Event::Sample { track, sample } if !seen.contains(track) => {
                    seen.push(*track);
                    let config = configs.iter().find(|(known, _)| known == track).map(|(_, config)| *config);
                    let start = match outputs.iter().find(|output| output.source == Some(*track)) {
                        // One that the file does without does not count.
                        Some(output) => output.number.map(|number| output.start(number, config, sample.dts)),
                        // A track that is new to the file has no end to go on from, but may be the first to begin.
                        None => config.map(|config| Start {
                            track: usize::MAX,
                            dts: sample.dts,
                            timescale: config.timescale,
                            kind: config.kind,
                        }),
                    };
                    starts.extend(start);
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
        self.tracks += usize::from(number.is_some());
        if let Some(number) = number.filter(|_| W::ORDER == Order::ByTime) {
            self.interleaver.add_track(number);
        }
        outputs.push(OutputTrack::new(source, number, clock, &config));
        let last = outputs.len() - 1;
        Ok((&mut outputs[last], false))
    }

    /// Adds a track of text, which needs no place on the timeline: its times are those of the file already. That it is
    /// there makes no film.
    pub(super) fn add_text(&mut self, config: &TrackConfig) -> Result<Option<usize>, MuxError> {
        let number = self.writer.add_track(config)?;
        if let Some(number) = number.filter(|_| W::ORDER == Order::ByTime) {
            self.interleaver.add_track(number);
        }
        Ok(number)
    }

    /// Tells how far a track of text has come, in milliseconds of the file; `None` at its end.
    pub(super) fn text_reached(&mut self, number: usize, milliseconds: Option<i64>) {
        match (W::ORDER, milliseconds) {
            (Order::ByTrack, _) => {}
            (Order::ByTime, Some(time)) => self.interleaver.reach(number, to_flicks(time, 1000)),
            (Order::ByTime, None) => self.interleaver.end(number),
        }
    }

    /// Tells what the track of text turned out to be.
    pub(super) fn configure_text(&mut self, number: usize, config: &TrackConfig, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let mut out = Vec::new();
        self.writer.configure(number, config, &mut out)?;
        append(writes, out);
        Ok(())
    }

    /// Writes samples of a track of text.
    pub(super) fn text(&mut self, number: usize, samples: &[Sample], writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let mut out = Vec::new();
        for sample in samples {
            match W::ORDER {
                Order::ByTrack => self.writer.add(number, &sample.as_slice(&[]), &mut out)?,
                Order::ByTime => {
                    let time = to_flicks(sample.dts, 1000);
                    self.interleaver.push(number, Step::Add(sample.clone(), time));
                }
            }
        }
        append(writes, out);
        Ok(())
    }

    /// Writes what was taken, in the writer's order.
    fn write<D: Pushed>(&mut self, steps: &mut Vec<Vec<Step<D>>>, push: Push<'_>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let samples = steps.iter().flatten().filter_map(|step| match step {
            Step::Add(sample, _) => Some(sample.data.bytes(push.bytes).len()),
            Step::Configure(_) => None,
        });
        let mut out = Vec::with_capacity(samples.sum());
        self.write_captions(writes)?;
        for (number, steps) in steps.drain(..).enumerate() {
            for step in steps {
                match (W::ORDER, step) {
                    (Order::ByTrack, Step::Configure(change)) => self.configure(number, &change, &mut out)?,
                    (Order::ByTrack, Step::Add(sample, _)) => self.add(number, &sample.as_slice(push.bytes), &mut out)?,
                    (Order::ByTime, Step::Configure(change)) => self.interleaver.push(number, Step::Configure(change)),
                    (Order::ByTime, Step::Add(sample, time)) => {
                        let sample = sample.map_data(|data| data.into_bytes(push.bytes));
                        self.interleaver.push(number, Step::Add(sample, time));
                    }
                }
            }
        }
        // A stream that is to come next is waited for however large this segment is: its tracks would be too late for
        // a head that is written before.
        while (push.complete || !push.first)
            && let Some((track, step)) = self.interleaver.pop(push.complete)
        {
            self.step(track, step, &mut out)?;
        }
        self.writer.flush(&mut out)?;
        append(writes, out);
        Ok(())
    }

    /// Writes the captions that are complete.
    fn write_captions(&mut self, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let Some(mut captions) = self.captions.take() else { return Ok(()) };
        let written = captions.write(self, writes);
        self.captions = Some(captions);
        written
    }

    /// Writes the captions that are left.
    pub(super) fn finish_captions(&mut self, writes: &mut Vec<Write>, notes: &mut Vec<String>) -> Result<(), MuxError> {
        match self.captions.take() {
            Some(mut captions) => captions.finish(self, writes, notes),
            None => Ok(()),
        }
    }

    /// Writes all that still waits.
    pub(super) fn write_rest(&mut self, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let mut out = Vec::new();
        while let Some((track, step)) = self.interleaver.pop_rest() {
            self.step(track, step, &mut out)?;
        }
        self.writer.flush(&mut out)?;
        append(writes, out);
        Ok(())
    }

    fn step(&mut self, track: usize, step: Step<Bytes>, out: &mut Vec<u8>) -> Result<(), MuxError> {
        match step {
            Step::Configure(change) => self.configure(track, &change, out),
            Step::Add(sample, _) => self.add(track, &sample.as_slice(&[]), out),
        }
    }

    fn configure(&mut self, track: usize, change: &Change, out: &mut Vec<u8>) -> Result<(), MuxError> {
        let configured = self.writer.configure(track, &change.config, out);
        self.doubts.configured(track, change, configured)
    }

    fn add(&mut self, track: usize, sample: &Sample<&[u8]>, out: &mut Vec<u8>) -> Result<(), MuxError> {
        self.doubts.confirm(track, sample.sync)?;
        self.writer.add(track, sample, out)
    }
}

fn append(writes: &mut Vec<Write>, bytes: Vec<u8>) {
    if !bytes.is_empty() {
        writes.push(Write::append(bytes));
    }
}

/// Takes from the events of a push those of each track whose times run back that come before they do: a segment may bring
/// the last access unit of the one before.
fn before_step_back<D>(events: &mut Vec<Event<D>>) -> Vec<Event<D>> {
    let track_of = |event: &Event<D>| match event {
        Event::Config { track, .. } | Event::Sample { track, .. } => *track,
    };
    let mut last: Vec<(TrackId, i64)> = Vec::new();
    let mut back: Vec<(TrackId, usize)> = Vec::new();
    for (at, event) in events.iter().enumerate() {
        let Event::Sample { track, sample } = event else { continue };
        match last.iter_mut().find(|(known, _)| known == track) {
            Some((_, dts)) => {
                if sample.dts < *dts && back.iter().all(|(known, _)| known != track) {
                    back.push((*track, at));
                }
                *dts = sample.dts;
            }
            None => last.push((*track, sample.dts)),
        }
    }
    if back.is_empty() {
        return Vec::new();
    }
    let (before, after): (Vec<_>, Vec<_>) = mem::take(events)
        .into_iter()
        .enumerate()
        .partition(|(at, event)| back.iter().any(|(track, step)| *track == track_of(event) && at < step));
    *events = after.into_iter().map(|(_, event)| event).collect();
    before.into_iter().map(|(_, event)| event).collect()
}

/// The steps of track `number`.
fn at<D>(steps: &mut Vec<Vec<Step<D>>>, number: usize) -> &mut Vec<Step<D>> {
    if steps.len() <= number {
        steps.resize_with(number + 1, Vec::new);
    }
    &mut steps[number]
}
