//! Writing transport streams.

mod behind;
mod metadata;
mod packets;
mod tables;

use serde::{Deserialize, Serialize};

use super::PAT_PID;

use self::{
    metadata::Metadata,
    packets::{Adaptation, Packets},
    tables::{Component, pat, pmt},
};
use crate::{
    elementary::{Codec, Elementary},
    emsg::Message,
    error::Error,
    time::{MPEG_HZ, MPEG_WRAP, rescale, to_flicks, unwrap_33},
    track::{Language, Sample, TrackConfig, TrackKind},
};

/// PID of the PMT; the elementary streams follow at [`FIRST_PID`]. All are free for any use (ISO 13818-1 table 2-3).
const PMT_PID: u16 = 0x1000;
pub(super) const FIRST_PID: u16 = 0x100;
/// As many streams as surely fit into a PMT section beside timed metadata.
const MAX_STREAMS: usize = 46;
/// PID of timed metadata, behind all of them.
pub(super) const METADATA_PID: u16 = 0x200;
/// How long before it is decoded a unit may arrive at most (ISO 13818-1 §2.4.2.6 allows a second), in ticks: what the
/// clock reference lags behind.
const DELAY: i64 = 63_000;
/// The clock reference comes at least every 100 ms (§2.7.2); a little earlier, as only units give occasion.
const PCR_INTERVAL: i64 = 7_200;
/// Decode time of the first unit at the earliest, so that the clock reference before it does not wrap.
const EARLIEST: i64 = 126_000;
/// Short frames share a PES packet of about this many bytes.
const FRAMES_TOGETHER: usize = 2_800;

/// What could not be written as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WriteStats {
    /// Samples of which a part cannot be used.
    pub broken_samples: u64,
}

/// Makes a transport stream (ISO 13818-1) of one program.
///
/// Samples should come in the order of their decode times, over all tracks: that is the order in which they are
/// written.
#[derive(Debug, Serialize, Deserialize)]
pub struct Writer {
    streams: Vec<Stream>,
    metadata: Metadata,
    pat: Packets,
    pmt: Packets,
    /// Of the PMT, modulo 32.
    version: u8,
    /// The tables say something new, or have not been there for a while.
    tables_due: bool,
    /// The program changed since the tables were written.
    changed: bool,
    /// Added to all times, in ticks of 90 kHz.
    shift: Option<i64>,
    last_pcr: Option<i64>,
    /// The same as it was read from a file, before it is known which turn of the clock it is of.
    read_pcr: Option<u64>,
    stats: WriteStats,
}

impl Default for Writer {
    fn default() -> Self {
        Self {
            streams: Vec::new(),
            metadata: Metadata::new(METADATA_PID),
            pat: Packets::new(PAT_PID),
            pmt: Packets::new(PMT_PID),
            version: 0,
            tables_due: true,
            changed: false,
            shift: None,
            last_pcr: None,
            read_pcr: None,
            stats: WriteStats::default(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Stream {
    elementary: Elementary,
    kind: TrackKind,
    language: Language,
    timescale: u32,
    /// Brings times into presentation: transport streams have no edit lists.
    offset: i64,
    /// How much earlier than told samples are decoded, in ticks of 90 kHz.
    lead: i64,
    packets: Packets,
    /// Frames that will share a PES packet.
    waiting: Vec<u8>,
    /// When the first of them is due, and when the next is expected, in ticks of 90 kHz.
    times: Option<(i64, i64)>,
}

impl Writer {
    /// Adds a track, and returns its number in this file, from 0.
    ///
    /// # Errors
    ///
    /// [`Error::NoElementary`]: a codec that has no place in a transport stream. [`Error::TooLarge`]: too many tracks.
    pub fn add_track(&mut self, config: &TrackConfig) -> Result<usize, Error> {
        let number = self.streams.len();
        let pid = u16::try_from(number)
            .ok()
            .filter(|_| number < MAX_STREAMS)
            .ok_or(Error::TooLarge("PMT"))?;
        self.streams.push(Stream {
            elementary: elementary(config)?,
            kind: config.kind,
            language: config.language,
            timescale: config.timescale.max(1),
            offset: config.presentation_offset.unwrap_or(0),
            lead: 0,
            packets: Packets::new(FIRST_PID + pid),
            waiting: Vec::new(),
            times: None,
        });
        self.changed = true;
        Ok(number)
    }

    /// Changes the codec parameters of what comes next in `track`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownTrack`], [`Error::NoElementary`].
    pub fn configure(&mut self, track: usize, config: &TrackConfig, out: &mut Vec<u8>) -> Result<(), Error> {
        let elementary = elementary(config)?;
        self.flush_frames(track, out);
        let stream = self.streams.get_mut(track).ok_or(Error::UnknownTrack(track))?;
        self.changed |= stream.elementary.codec() != elementary.codec();
        stream.elementary = elementary;
        stream.timescale = config.timescale.max(1);
        Ok(())
    }

    /// Has the samples of a track decoded this many ticks earlier than they say. Fragmented MP4 may have pictures
    /// decoded after they are due (ISO 14496-12 §8.6.1.3, version 1), which a transport stream cannot.
    pub fn decode_earlier(&mut self, track: usize, ticks: u32) {
        if let Some(stream) = self.streams.get_mut(track) {
            stream.lead = rescale(ticks.into(), stream.timescale, MPEG_HZ);
        }
    }

    /// Appends the packets of a sample; short audio frames wait for each other until [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// [`Error::UnknownTrack`].
    pub fn add(&mut self, track: usize, sample: &Sample<&[u8]>, out: &mut Vec<u8>) -> Result<(), Error> {
        let stream = self.streams.get(track).ok_or(Error::UnknownTrack(track))?;
        let ticks = |time: i64| rescale(time.saturating_add(stream.offset), stream.timescale, MPEG_HZ);
        let (dts, pts) = (ticks(sample.dts) - stream.lead, ticks(sample.pts));
        let is_video = stream.kind == TrackKind::Video;
        let shift = *self.shift.get_or_insert((EARLIEST - dts).max(0));
        self.tags(to_flicks(dts, MPEG_HZ), dts.saturating_add(shift), out);
        // A picture cannot be shown before it is decoded.
        let pts = pts.max(dts).saturating_add(shift);
        let dts = dts.saturating_add(shift);
        if is_video {
            self.picture(track, sample, dts, pts, out);
        } else {
            self.frame(track, sample, pts, out);
        }
        Ok(())
    }

    /// Takes a message beside the tracks, which is due at its time on the clock of the samples' presentation and is written in
    /// front of the first sample that is decoded then. Whether it has a place here: ID3 tags have, as long as there is room.
    pub fn message(&mut self, message: Message) -> bool {
        self.metadata.take(message)
    }

    /// Appends all that waits, at the end.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let Some(last) = self.last_pcr {
            self.tags(i64::MAX, last, out);
        }
        self.flush(out);
    }

    /// Appends the tags that are due by `until`, in flicks. What comes next is decoded at `dts`.
    fn tags(&mut self, until: i64, dts: i64, out: &mut Vec<u8>) {
        for message in self.metadata.due(until) {
            self.changed |= !std::mem::replace(&mut self.metadata.is_told, true);
            let adaptation = self.before(usize::MAX, dts, false, out);
            let pts = rescale(message.time, message.timescale, MPEG_HZ).saturating_add(self.shift.unwrap_or(0));
            // private_stream_1.
            let header = pes_header(0xbd, message.data.len(), pts, None);
            self.metadata.packets.write(adaptation, &header, &message.data, out);
        }
    }

    /// Appends what waits: before a pause.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        for track in 0..self.streams.len() {
            self.flush_frames(track, out);
        }
        self.tables_due = true;
    }

    /// What could not be written as it came.
    #[must_use]
    pub fn stats(&self) -> &WriteStats {
        &self.stats
    }

    /// The stream that carries the clock: the first with pictures, or the first.
    fn clock(&self) -> usize {
        self.streams.iter().position(|stream| stream.kind == TrackKind::Video).unwrap_or(0)
    }

    fn picture(&mut self, track: usize, sample: &Sample<&[u8]>, dts: i64, pts: i64, out: &mut Vec<u8>) {
        // Decoding may begin here, so the tables stand before it.
        self.tables_due |= sample.sync;
        let adaptation = self.before(track, dts, sample.sync, out);
        let Some(stream) = self.streams.get_mut(track) else { return };
        let mut unit = std::mem::take(&mut stream.waiting);
        unit.clear();
        self.stats.broken_samples += u64::from(!stream.elementary.write(sample, &mut unit));
        let header = pes_header(0xe0, unit.len(), pts, (dts != pts).then_some(dts));
        stream.packets.write(adaptation, &header, &unit, out);
        // Its allocation is of use for the next one.
        stream.waiting = unit;
    }

    fn frame(&mut self, track: usize, sample: &Sample<&[u8]>, pts: i64, out: &mut Vec<u8>) {
        let Some(stream) = self.streams.get(track) else { return };
        let goes_on = stream.times.is_none_or(|(_, next)| (pts - next).abs() <= 1);
        if !goes_on || stream.waiting.len() + sample.data.len() > FRAMES_TOGETHER {
            self.flush_frames(track, out);
        }
        let Some(stream) = self.streams.get_mut(track) else { return };
        self.stats.broken_samples += u64::from(!stream.elementary.write(sample, &mut stream.waiting));
        let first = stream.times.map_or(pts, |(first, _)| first);
        // Without a duration nobody knows when the next is due: it gets a packet of its own.
        let duration = sample.duration.map(|ticks| rescale(ticks.into(), stream.timescale, MPEG_HZ));
        stream.times = Some((first, pts + duration.unwrap_or(i64::from(i32::MAX))));
    }

    /// Appends the frames of a track that wait, as one PES packet.
    fn flush_frames(&mut self, track: usize, out: &mut Vec<u8>) {
        let Some((pts, _)) = self.streams.get_mut(track).and_then(|stream| stream.times.take()) else {
            return;
        };
        // Every audio frame is a random access point.
        let adaptation = self.before(track, pts, true, out);
        let Some(stream) = self.streams.get_mut(track) else { return };
        let stream_id = match stream.elementary.codec() {
            // private_stream_1 (ISO 13818-1 table 2-22).
            Codec::Ac3 | Codec::Eac3 | Codec::Opus(_) => 0xbd,
            _ => 0xc0,
        };
        let header = pes_header(stream_id, stream.waiting.len(), pts, None);
        let waiting = std::mem::take(&mut stream.waiting);
        stream.packets.write(adaptation, &header, &waiting, out);
        stream.waiting = waiting;
        stream.waiting.clear();
    }

    /// What goes before a unit: tables, and the clock where another stream carries it. Returns the adaptation field of
    /// the unit's own first packet.
    fn before(&mut self, track: usize, dts: i64, sync: bool, out: &mut Vec<u8>) -> Adaptation {
        if self.tables_due || self.changed {
            self.tables(out);
        }
        if let Some(pcr) = self.read_pcr.take() {
            self.last_pcr = Some(unwrap_33(pcr, dts - DELAY).saturating_add(DELAY));
        }
        let since = self.last_pcr.map(|last| dts - last);
        let due = since.is_none_or(|since| since >= PCR_INTERVAL);
        let clock = self.clock();
        let mut adaptation = Adaptation {
            pcr: None,
            random_access: sync,
        };
        let pcr = u64::try_from((dts - DELAY).rem_euclid(MPEG_WRAP)).unwrap_or(0);
        if track == clock && (due || sync && since.is_some_and(|since| since > 0)) {
            adaptation.pcr = Some(pcr);
            self.last_pcr = Some(dts);
        } else if due && let Some(stream) = self.streams.get_mut(clock) {
            stream.packets.clock(pcr, out);
            self.last_pcr = Some(dts);
        }
        adaptation
    }

    fn tables(&mut self, out: &mut Vec<u8>) {
        if self.changed {
            self.version = (self.version + 1) & 31;
        }
        let components = self.streams.iter().map(|stream| Component {
            pid: stream.packets.pid(),
            codec: stream.elementary.codec(),
            language: stream.language,
        });
        let clock = self.streams.get(self.clock()).map_or(0x1fff, |stream| stream.packets.pid());
        let metadata = self.metadata.is_told.then(|| self.metadata.packets.pid());
        self.pat.section(&pat(PMT_PID), out);
        self.pmt.section(&pmt(self.version, clock, components, metadata), out);
        self.tables_due = false;
        self.changed = false;
    }
}

/// The header of a PES packet (ISO 13818-1 §2.4.3.6), with `PES_packet_length` 0 where it does not fit, which video
/// may have.
fn pes_header(stream_id: u8, payload: usize, pts: i64, dts: Option<i64>) -> Vec<u8> {
    let stamps = if dts.is_some() { 10 } else { 5 };
    let length = u16::try_from(3 + usize::from(stamps) + payload).unwrap_or(0);
    let mut header = vec![0, 0, 1, stream_id];
    header.extend_from_slice(&length.to_be_bytes());
    // Marker bits and data_alignment_indicator; PTS_DTS_flags.
    header.extend_from_slice(&[0x84, if dts.is_some() { 0xc0 } else { 0x80 }, stamps]);
    stamp(&mut header, if dts.is_some() { 3 } else { 2 }, pts);
    if let Some(dts) = dts {
        stamp(&mut header, 1, dts);
    }
    header
}

/// A time stamp of 33 bits behind its prefix of four, with marker bits between (§2.4.3.6).
fn stamp(header: &mut Vec<u8>, prefix: u64, time: i64) {
    let time = u64::try_from(time.rem_euclid(MPEG_WRAP)).unwrap_or(0);
    let bits = prefix << 36 | (time >> 30 & 7) << 33 | 1 << 32 | (time >> 15 & 0x7fff) << 17 | 1 << 16 | (time & 0x7fff) << 1 | 1;
    header.extend_from_slice(&bits.to_be_bytes()[3..]);
}

/// The elementary stream of a track, if there is a way to carry it.
fn elementary(config: &TrackConfig) -> Result<Elementary, Error> {
    let elementary = Elementary::of(config)?;
    match elementary.codec() {
        Codec::Flac => Err(Error::NoElementary("FLAC".into())),
        _ => Ok(elementary),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audio::{AudioCodec, Found},
        track::Event,
        ts::Demuxer,
    };
    use bytes::Bytes;
    use proptest::prelude::*;

    /// AAC LC, 48 kHz, stereo.
    fn audio() -> TrackConfig {
        let Found::Header(header) = AudioCodec::Adts.parse(&[0xff, 0xf1, 0x4c, 0x80, 0x2e, 0x7f, 0xfc]) else {
            panic!("no header")
        };
        header.config.unwrap().track(Language::new(b"eng")).unwrap()
    }

    fn samples(sizes: &[u16]) -> Vec<Sample> {
        let sample = |(n, size): (i64, &u16)| Sample {
            dts: n * 1024,
            pts: n * 1024,
            duration: Some(1024),
            sync: true,
            data: Bytes::from(vec![0x21; usize::from(*size) + 1]),
        };
        (0..).zip(sizes).map(sample).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(sizes in prop::collection::vec(0_u16..4000, 1..60), pause in 1_usize..20) {
            let samples = samples(&sizes);
            let (mut writer, mut file) = (Writer::default(), Vec::new());
            let track = writer.add_track(&audio()).unwrap();
            for (number, sample) in samples.iter().enumerate() {
                writer.add(track, &sample.as_slice(&[]), &mut file).unwrap();
                if number % pause == 0 {
                    writer.flush(&mut file);
                }
            }
            writer.flush(&mut file);
            prop_assert_eq!(file.len() % 188, 0);
            prop_assert_eq!(writer.stats(), &WriteStats::default());
            let (mut demuxer, mut events) = (Demuxer::default(), Vec::new());
            demuxer.push(&file, &mut events);
            demuxer.finish(&mut events);
            prop_assert_eq!(demuxer.stats(), &crate::ts::Stats::default());
            let read: Vec<Sample> = events.into_iter().filter_map(|event| match event {
                Event::Sample { sample, .. } => Some(sample),
                Event::Config { .. } => None,
            }).collect();
            prop_assert_eq!(read.len(), samples.len());
            for (read, written) in read.iter().zip(&samples) {
                prop_assert_eq!(&read.data, &written.data);
                // The shift is 1.4 s.
                prop_assert_eq!(read.pts, written.pts + 67_200);
            }
        }
    }

    #[test]
    fn as_many_streams_as_there_may_be_fit_into_the_pmt_beside_metadata() {
        let component = |pid| Component {
            pid,
            codec: Codec::Opus(2),
            language: Language::new(b"eng"),
        };
        let streams = (FIRST_PID..).take(MAX_STREAMS).map(component);
        // Up to 1021 bytes stand behind the length (§2.4.4.9).
        assert!(pmt(0, FIRST_PID, streams, Some(METADATA_PID)).len() - 3 <= 1021);
    }

    #[test]
    fn the_clock_comes_in_time_and_does_not_run_back() {
        let (mut writer, mut file) = (Writer::default(), Vec::new());
        let track = writer.add_track(&audio()).unwrap();
        for sample in samples(&[400; 200]) {
            writer.add(track, &sample.as_slice(&[]), &mut file).unwrap();
        }
        writer.flush(&mut file);
        let clocks: Vec<u64> = file
            .chunks(188)
            .filter(|packet| packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x10 != 0)
            .map(|packet| u64::from(u32::from_be_bytes(*packet[6..].first_chunk().unwrap())) << 1 | u64::from(packet[10] >> 7))
            .collect();
        assert!(
            clocks.windows(2).all(|pair| pair[0] < pair[1] && pair[1] - pair[0] <= 18_000),
            "{clocks:?}"
        );
        // Four seconds of sound.
        assert!(clocks.len() > 20, "{clocks:?}");
    }
}
