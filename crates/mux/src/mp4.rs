//! One MP4 file from MPEG-TS or fragmented MP4, any number of tracks.

use std::{mem, ops::Range, sync::Arc};

use aqueduct_core::{Clear, Item, Mux, MuxError, Presentation, SegmentInfo, Summary, TrackId, TrackKind, Write, WriteAt};
use aqueduct_media::{
    Error, Event, Language, Sample, SampleData, TrackConfig, fmp4,
    mp4::{Options, Writer},
    packed,
    time::rescale,
    timeline::{Clock, Start, Timeline},
    ts,
};

/// Samples of different tracks lie this close together in the file, so that a player need not jump about.
const INTERLEAVE_SECONDS: i64 = 1;

/// Makes one progressive MP4 of its tracks: MPEG-TS with H.264 and AAC, AC-3 or MPEG audio, packed AAC, or fragmented MP4
/// with any codec.
///
/// Samples are stored as they come, segment by segment; the index follows at the end. Tracks are joined by their
/// time stamps on one continuous [`Timeline`], across discontinuities and changes of codec parameters. What was
/// damaged or repaired is counted and told in the [`Summary`].
///
/// It needs an output that can seek. Subtitle Renditions are left out, with a note.
#[derive(Debug, Default)]
pub struct Mp4Muxer {
    file: Option<File>,
    lanes: Vec<Lane>,
}

impl Mp4Muxer {
    /// A muxer that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn init(&mut self, track: TrackId, bytes: &[u8], writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let file = File::begun(&mut self.file, writes);
        let lane = Lane::of(&mut self.lanes, track);
        let source = Source::of(&mut lane.source, bytes)?;
        let period = lane.period.unwrap_or(0);
        match source {
            // A PAT and a PMT (RFC 8216, 3.2).
            Source::Ts(demuxer) => {
                let mut events = Vec::new();
                demuxer.push(bytes, &mut events);
                demuxer.boundary(&mut events);
                file.take(&mut lane.outputs, &lane.tags, period, events, &[], writes)
            }
            Source::Packed(_) => Ok(()),
            Source::Fmp4(demuxer) => {
                let mut events = Vec::new();
                demuxer.init(bytes, &mut events).map_err(media)?;
                file.take(&mut lane.outputs, &lane.tags, period, events, bytes, writes)
            }
        }
    }

    fn segment(&mut self, track: TrackId, info: &SegmentInfo, bytes: &[u8], writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let file = File::begun(&mut self.file, writes);
        let lane = Lane::of(&mut self.lanes, track);
        let period = info.discontinuity_sequence;
        let last = lane.period.replace(period).filter(|last| *last != period);
        let source = Source::of(&mut lane.source, bytes)?;
        match source {
            Source::Ts(demuxer) => {
                let mut events = Vec::new();
                if let Some(last) = last {
                    // What is still in progress belongs to the period before.
                    demuxer.discontinuity(&mut events);
                    file.take(&mut lane.outputs, &lane.tags, last, mem::take(&mut events), &[], writes)?;
                }
                demuxer.push(bytes, &mut events);
                demuxer.boundary(&mut events);
                check_stream_types(demuxer)?;
                file.take(&mut lane.outputs, &lane.tags, period, events, &[], writes)
            }
            Source::Packed(demuxer) => {
                let mut events = Vec::new();
                if last.is_some() {
                    demuxer.discontinuity();
                }
                demuxer.segment(bytes, &mut events);
                file.take(&mut lane.outputs, &lane.tags, period, events, &[], writes)
            }
            Source::Fmp4(demuxer) => {
                let mut events = Vec::new();
                demuxer.segment(bytes, &mut events).map_err(media)?;
                file.take(&mut lane.outputs, &lane.tags, period, events, bytes, writes)
            }
        }
    }

    fn gap(&mut self, track: TrackId, info: &SegmentInfo) {
        let lane = Lane::of(&mut self.lanes, track);
        if let Some(file) = &mut self.file {
            for output in &lane.outputs {
                file.timeline.gap(output.number, info.duration);
            }
        }
    }
}

impl Mux for Mp4Muxer {
    fn begin(&mut self, presentation: &Presentation, seekable: bool) -> Result<(), MuxError> {
        if !seekable {
            return Err(MuxError::Unsupported {
                what: "an MP4 needs an output that can seek; write to a file, or choose .ts".into(),
            });
        }
        for track in &presentation.tracks {
            let lane = Lane::of(&mut self.lanes, track.id);
            lane.subtitles = track.kind == TrackKind::Subtitles;
            lane.tags = Tags {
                language: track.language.as_deref().map(Language::from_bcp47),
                // The name of a Rendition tells it from its like; that of a Variant Stream is a resolution.
                name: (track.kind == TrackKind::Audio).then(|| track.name.clone()),
            };
        }
        Ok(())
    }

    fn push(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        if Lane::of(&mut self.lanes, track).subtitles {
            return Ok(());
        }
        match item {
            Item::Init { payload, .. } => self.init(track, payload.as_slice(), writes),
            Item::Segment { info, payload } => self.segment(track, &info, payload.as_slice(), writes),
            Item::Gap { info, .. } => {
                self.gap(track, &info);
                Ok(())
            }
        }
    }

    fn finish(&mut self, writes: &mut Vec<Write>) -> Result<Summary, MuxError> {
        let mut summary = Summary::new("MP4");
        let mut file = self.file.take().filter(|_| !self.lanes.is_empty()).ok_or_else(nothing)?;
        for lane in &mut self.lanes {
            if lane.subtitles {
                summary.notes.push(format!("{}: subtitles are not in the file", lane.id));
            }
            if let Some(Source::Ts(demuxer)) = &mut lane.source {
                let mut events = Vec::new();
                demuxer.finish(&mut events);
                file.take(&mut lane.outputs, &lane.tags, lane.period.unwrap_or(0), events, &[], writes)?;
            }
            lane.notes(&mut summary.notes);
        }
        if file.tracks == 0 {
            return Err(nothing());
        }
        let repairs = file.timeline.stats();
        for (count, what) in [
            (repairs.jumps, "unannounced jumps of time stamps closed"),
            (repairs.moved_samples, "samples moved behind their predecessor"),
        ] {
            note(&mut summary.notes, "file", count, what);
        }
        let finish = file.writer.finish().map_err(media)?;
        writes.push(Write::append(finish.append));
        for patch in finish.patches {
            writes.push(Write {
                at: WriteAt::Offset(patch.offset),
                data: patch.bytes.into(),
            });
        }
        Ok(summary)
    }
}

/// The file and what its tracks share.
#[derive(Debug)]
struct File {
    writer: Writer,
    timeline: Timeline,
    tracks: usize,
}

/// Samples as the two demuxers give them.
trait Pushed: SampleData {
    const CLOCK: Clock;
}

impl Pushed for bytes::Bytes {
    const CLOCK: Clock = Clock::Mpeg;
}

impl Pushed for Range<usize> {
    /// Times of fragmented MP4 have 64 bits and never wrap.
    const CLOCK: Clock = Clock::Absolute;
}

/// What is to be done with a track of the file, in order.
enum Step<D> {
    Configure(Arc<TrackConfig>),
    Add(Sample<D>),
}

impl File {
    /// The file; begun with the first bytes.
    fn begun<'a>(file: &'a mut Option<Self>, writes: &mut Vec<Write>) -> &'a mut Self {
        file.get_or_insert_with(|| {
            let (writer, start) = Writer::start(&Options::default());
            writes.push(Write::append(start));
            Self {
                writer,
                timeline: Timeline::default(),
                tracks: 0,
            }
        })
    }

    /// Takes what a demuxer made of one push, all of one period.
    fn take<D: Pushed>(
        &mut self,
        outputs: &mut Vec<OutputTrack>,
        tags: &Tags,
        period: u64,
        events: Vec<Event<D>>,
        pushed: &[u8],
        writes: &mut Vec<Write>,
    ) -> Result<(), MuxError> {
        self.begin_period(outputs, period, &events);
        let mut steps: Vec<Vec<Step<D>>> = Vec::new();
        let mut since = None;
        for event in events {
            match event {
                Event::Config { track, config } => {
                    let (output, known) = self.output(outputs, tags, (track, D::CLOCK), &config);
                    output.configure(&config);
                    if known {
                        at(&mut steps, output.number).push(Step::Configure(config));
                    }
                }
                Event::Sample { track, sample } => {
                    let Some(output) = outputs.iter().find(|output| output.source == track) else {
                        continue;
                    };
                    let sample = output.align(sample);
                    let sample = self.timeline.place(output.number, period, output.clock, output.timescale, sample);
                    let second = sample.dts.div_euclid(output.timescale.into());
                    if second - *since.get_or_insert(second) >= INTERLEAVE_SECONDS {
                        since = Some(second);
                        self.write(&mut steps, pushed, writes)?;
                    }
                    at(&mut steps, output.number).push(Step::Add(sample));
                }
            }
        }
        self.write(&mut steps, pushed, writes)
    }

    /// Tells the timeline where each track of a period begins, as far as it is seen.
    fn begin_period<D>(&mut self, outputs: &[OutputTrack], period: u64, events: &[Event<D>]) {
        let mut timescales: Vec<_> = outputs.iter().map(|output| (output.source, output.timescale)).collect();
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
                    let output = outputs.iter().find(|output| output.source == *track);
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
        (source, clock): (aqueduct_media::TrackId, Clock),
        config: &TrackConfig,
    ) -> (&'a mut OutputTrack, bool) {
        if let Some(known) = outputs.iter().position(|output| output.source == source) {
            return (&mut outputs[known], true);
        }
        let mut config = config.clone();
        config.language = tags.language.unwrap_or(config.language);
        config.name = tags.name.clone().or(config.name);
        let number = self.writer.add_track(&config);
        self.tracks += 1;
        outputs.push(OutputTrack {
            source,
            number,
            timescale: config.timescale,
            clock,
            edit: (config.presentation_offset.unwrap_or(0), config.timescale),
            shift: 0,
        });
        let last = outputs.len() - 1;
        (&mut outputs[last], false)
    }

    /// Writes what waits, track by track.
    fn write<D: Pushed>(&mut self, steps: &mut Vec<Vec<Step<D>>>, pushed: &[u8], writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let samples = steps.iter().flatten().filter_map(|step| match step {
            Step::Add(sample) => Some(sample.data.bytes(pushed).len()),
            Step::Configure(_) => None,
        });
        let mut bytes = Vec::with_capacity(samples.sum());
        for (number, steps) in steps.drain(..).enumerate() {
            for step in steps {
                match step {
                    Step::Configure(config) => self.writer.configure(number, &config).map_err(media)?,
                    Step::Add(sample) => {
                        let data = sample.data.bytes(pushed);
                        self.writer.add(number, &sample, data.len()).map_err(media)?;
                        bytes.extend_from_slice(data);
                    }
                }
            }
        }
        if !bytes.is_empty() {
            writes.push(Write::append(bytes));
        }
        Ok(())
    }
}

/// The steps of track `number`.
fn at<D>(steps: &mut Vec<Vec<Step<D>>>, number: usize) -> &mut Vec<Step<D>> {
    if steps.len() <= number {
        steps.resize_with(number + 1, Vec::new);
    }
    &mut steps[number]
}

/// One track of the presentation: a stream that may hold several tracks of the file.
#[derive(Debug)]
struct Lane {
    id: TrackId,
    subtitles: bool,
    tags: Tags,
    source: Option<Source>,
    /// Discontinuity Sequence Number of what came last.
    period: Option<u64>,
    outputs: Vec<OutputTrack>,
}

/// What the playlist says of a track.
#[derive(Debug, Default)]
struct Tags {
    language: Option<Language>,
    name: Option<String>,
}

impl Lane {
    fn of(lanes: &mut Vec<Self>, id: TrackId) -> &mut Self {
        let at = lanes.iter().position(|lane| lane.id == id).unwrap_or_else(|| {
            lanes.push(Self {
                id,
                subtitles: false,
                tags: Tags::default(),
                source: None,
                period: None,
                outputs: Vec::new(),
            });
            lanes.len() - 1
        });
        &mut lanes[at]
    }

    /// Tells what its demuxer counted.
    fn notes(&self, notes: &mut Vec<String>) {
        let lane = self.id.to_string();
        match &self.source {
            Some(Source::Ts(demuxer)) => stream_notes(demuxer.stats(), &lane, notes),
            Some(Source::Packed(demuxer)) => stream_notes(demuxer.stats(), &lane, notes),
            Some(Source::Fmp4(demuxer)) => {
                let stats = demuxer.stats();
                for (count, what) in [
                    (stats.broken_moofs, "movie fragments that cannot be read"),
                    (stats.truncated_segments, "segments cut short"),
                    (stats.lost_samples, "samples whose data is missing"),
                    (stats.unknown_tracks, "track fragments of unknown tracks"),
                ] {
                    note(notes, &lane, count, what);
                }
            }
            None => {}
        }
    }
}

/// What a demuxer of transport streams or of packed audio counted.
fn stream_notes(stats: &ts::Stats, lane: &str, notes: &mut Vec<String>) {
    for (count, what) in [
        (stats.junk_bytes, "bytes outside of transport packets"),
        (stats.sync_losses, "losses of packet synchronisation"),
        (stats.transport_errors, "packets marked as broken"),
        (stats.continuity_errors, "breaks of continuity"),
        (stats.scrambled_packets, "packets that are still scrambled"),
        (stats.broken_sections, "broken PAT or PMT sections"),
        (stats.broken_pes, "broken PES packets"),
        (stats.damaged_units, "damaged access units dropped"),
        (stats.oversized_units, "oversized access units dropped"),
        (stats.leading_units, "pictures before the first random access point dropped"),
        (stats.untimed_units, "access units without a time stamp dropped"),
        (stats.broken_parameter_sets, "parameter sets that cannot be read"),
        (stats.skipped_audio_bytes, "bytes outside of audio frames"),
    ] {
        note(notes, lane, count, what);
    }
    for stream_type in &stats.unsupported_stream_types {
        notes.push(format!("{lane}: streams of type {stream_type:#04x} are not in the file"));
    }
}

fn note(notes: &mut Vec<String>, of: &str, count: u64, what: &str) {
    if count > 0 {
        notes.push(format!("{of}: {count} {what}"));
    }
}

#[derive(Debug)]
enum Source {
    Ts(Box<ts::Demuxer>),
    Packed(Box<packed::Demuxer>),
    Fmp4(fmp4::Demuxer),
}

impl Source {
    /// The source of a track, chosen by the first bytes that come.
    ///
    /// A stream that turns into another container would leave samples behind in the old demuxer, and its tracks could
    /// not be told apart: that is refused rather than guessed at.
    fn of<'a>(source: &'a mut Option<Self>, bytes: &[u8]) -> Result<&'a mut Self, MuxError> {
        match (source, Self::guess(bytes)) {
            // Anything may be taken for MPEG-TS behind junk; only a sync byte in front is a change.
            (Some(source), Ok(now))
                if mem::discriminant(source) != mem::discriminant(&now) && (!matches!(now, Self::Ts(_)) || bytes.first() == Some(&0x47)) =>
            {
                Err(MuxError::Unsupported {
                    what: "the stream changes its container here, which one MP4 cannot follow yet; --format raw keeps the segments as they are"
                        .into(),
                })
            }
            (Some(source), _) => Ok(source),
            (none, guess) => Ok(none.insert(guess?)),
        }
    }

    /// What the first bytes of a stream say of it.
    fn guess(bytes: &[u8]) -> Result<Self, MuxError> {
        const BOXES: [&[u8]; 10] = [
            b"ftyp", b"styp", b"moov", b"moof", b"sidx", b"emsg", b"prft", b"free", b"skip", b"mdat",
        ];
        if bytes.get(4..8).is_some_and(|kind| BOXES.contains(&kind)) {
            return Ok(Self::Fmp4(fmp4::Demuxer::default()));
        }
        if packed::is_adts(bytes) {
            return Ok(Self::Packed(Box::default()));
        }
        if bytes.starts_with(b"ID3") || (bytes.first() == Some(&0xff) && bytes.get(1).is_some_and(|byte| byte & 0xe0 == 0xe0)) {
            return Err(MuxError::Unsupported {
                what: "packed audio other than AAC cannot go into MP4 yet; choose .mp3 or .ac3 to keep it as it is".into(),
            });
        }
        if bytes.starts_with(b"WEBVTT") {
            return Err(MuxError::Unsupported {
                what: "WebVTT cannot go into MP4 yet; choose .vtt".into(),
            });
        }
        // Junk may come before the first transport packet; if there is none at all, no track will appear.
        Ok(Self::Ts(Box::default()))
    }
}

/// A track of the file, as its demuxer sees it.
#[derive(Debug)]
struct OutputTrack {
    source: aqueduct_media::TrackId,
    /// In the file and on the timeline.
    number: usize,
    /// Of the samples that come next.
    timescale: u32,
    clock: Clock,
    /// The edit list that the file has for this track: what it adds, and in which timescale.
    edit: (i64, u32),
    /// What brings samples under another edit list into line, in ticks.
    shift: i64,
}

impl OutputTrack {
    fn configure(&mut self, config: &TrackConfig) {
        let (offset, timescale) = self.edit;
        self.timescale = config.timescale;
        self.shift = config.presentation_offset.unwrap_or(0) - rescale(offset, timescale, config.timescale);
    }

    fn align<D>(&self, mut sample: Sample<D>) -> Sample<D> {
        sample.dts = sample.dts.saturating_add(self.shift);
        sample.pts = sample.pts.saturating_add(self.shift);
        sample
    }
}

/// Sound or pictures that would be missing from the file without a word are an error; data streams are a note.
fn check_stream_types(demuxer: &ts::Demuxer) -> Result<(), MuxError> {
    let name = |stream_type: &u8| match stream_type {
        0x01 | 0x02 => Some("MPEG-2 video"),
        0x10 => Some("MPEG-4 video"),
        0x11 => Some("AAC in LATM"),
        0x24 => Some("HEVC"),
        0x87 | 0xc2 => Some("E-AC-3"),
        0x82 | 0x85 | 0x8a => Some("DTS"),
        _ => None,
    };
    match demuxer.stats().unsupported_stream_types.iter().find_map(name) {
        Some(codec) => Err(MuxError::Unsupported {
            what: format!("{codec} in MPEG-TS cannot go into MP4 yet; choose .ts to keep it as it is"),
        }),
        None => Ok(()),
    }
}

fn nothing() -> MuxError {
    MuxError::Media {
        what: "no track that can go into MP4: neither H.264 nor AAC in MPEG-TS, nor fragmented MP4".into(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn media(error: Error) -> MuxError {
    MuxError::Media { what: error.to_string() }
}
