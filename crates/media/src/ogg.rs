//! Writing Opus in Ogg (RFC 7845): pages of RFC 3533 with one stream.
//!
//! Times are counted in samples from the first packet on, so that what is missing in between closes up.

use bytes::Bytes;
use mp4_atom::Dops;
use serde::{Deserialize, Serialize};

use crate::{
    audio::{opus_head, packet_samples},
    bits::crc32,
    error::Error,
    sample_entry,
    time::rescale,
    track::{Sample, TrackConfig},
};

/// All times of Opus count at this rate (RFC 7845 §4).
const RATE: u32 = 48_000;
/// A page has so many lacing values at most (RFC 3533 §6), and begins anew after a second (RFC 7845 §6).
const MAX_LACING: usize = 255;
const MAX_SAMPLES: u64 = RATE as u64;
/// Bytes of a title that are written.
const MAX_TITLE: usize = 4096;

/// `header_type_flag` (RFC 3533 §6): the page goes on with a packet; it is the first; it is the last.
const CONTINUED: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;

/// Writes one file in one pass, to anything. What it holds is a page: 64 KiB.
#[derive(Debug, Serialize, Deserialize)]
pub struct Writer {
    entry: Bytes,
    head: Vec<u8>,
    timescale: u32,
    begun: bool,
    /// Number of the next page.
    sequence: u32,
    page: Page,
    /// Samples up to the end of the last packet, and how many of those are not to be heard.
    samples: u64,
    trimmed: u64,
}

/// The page in progress.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Page {
    lacing: Vec<u8>,
    body: Vec<u8>,
    continued: bool,
    /// Samples before it, and up to the last packet that ends on it.
    since: u64,
    until: Option<u64>,
}

impl Writer {
    /// A writer of this track.
    ///
    /// # Errors
    ///
    /// [`Error::NotOpus`]; a `dOps` box that cannot be read.
    pub fn new(config: &TrackConfig) -> Result<Self, Error> {
        let entry = sample_entry::of(config)?;
        if &entry.kind != b"Opus" {
            return Err(Error::NotOpus(sample_entry::name(entry.kind)));
        }
        let dops: Dops = sample_entry::audio(entry, "dOps")?.decode("dOps")?;
        Ok(Self {
            entry: config.sample_entry.clone(),
            head: opus_head(&dops),
            timescale: config.timescale,
            begun: false,
            sequence: 0,
            page: Page::default(),
            samples: 0,
            trimmed: 0,
        })
    }

    /// Changes how durations of what comes next count.
    ///
    /// # Errors
    ///
    /// [`Error::LateChange`] for another sample entry: the header is written.
    pub fn configure(&mut self, config: &TrackConfig) -> Result<(), Error> {
        if !sample_entry::decodes_as(&self.entry, &config.sample_entry) {
            return Err(Error::LateChange(0));
        }
        self.timescale = config.timescale;
        Ok(())
    }

    /// Appends the headers, before the first packet: the identification with what a decoder has to skip, and the comments
    /// with the `title` (RFC 7845 §5).
    pub fn begin(&mut self, title: Option<&str>, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let mut tags = b"OpusTags".to_vec();
        let title = title.map(|title| format!("TITLE={}", &title[..title.floor_char_boundary(MAX_TITLE)]));
        let length = |text: &str| u32::try_from(text.len()).unwrap_or(0).to_le_bytes();
        tags.extend_from_slice(&length("aqueduct"));
        tags.extend_from_slice(b"aqueduct");
        tags.extend_from_slice(&u32::from(title.is_some()).to_le_bytes());
        for comment in title.iter() {
            tags.extend_from_slice(&length(comment));
            tags.extend_from_slice(comment.as_bytes());
        }
        for (packet, flags) in [(std::mem::take(&mut self.head), FIRST), (tags, 0)] {
            self.packet(&packet, out);
            self.page.until = Some(0);
            self.write_page(flags, out);
        }
    }

    /// Appends the pages that a packet completes, and keeps the packet. Returns whether it is one of Opus; anything else is
    /// left out.
    pub fn add(&mut self, sample: &Sample<&[u8]>, out: &mut Vec<u8>) -> bool {
        self.begin(None, out);
        let Some(samples) = packet_samples(sample.data).map(u64::from) else {
            return false;
        };
        let needed = sample.data.len() / 255 + 1;
        let page = &self.page;
        if !page.lacing.is_empty() && (page.lacing.len() + needed > MAX_LACING || self.samples - page.since >= MAX_SAMPLES) {
            self.write_page(0, out);
        }
        self.packet(sample.data, out);
        self.samples += samples;
        self.page.until = Some(self.samples);
        let heard = sample.duration.map(|duration| rescale(duration.into(), self.timescale, RATE));
        let heard = heard.and_then(|heard| u64::try_from(heard).ok()).unwrap_or(samples);
        self.trimmed = samples.saturating_sub(heard);
        true
    }

    /// Appends the last page. What the last packet has beyond its duration is not to be heard (RFC 7845 §4.4).
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.begin(None, out);
        let until = self.page.until.unwrap_or(self.samples);
        self.page.until = Some(until - self.trimmed.min(until));
        self.write_page(LAST, out);
    }

    /// Puts a packet into the page in progress, and into further ones where it is too large (RFC 3533 §5).
    fn packet(&mut self, packet: &[u8], out: &mut Vec<u8>) {
        let mut rest = packet;
        loop {
            if self.page.lacing.len() == MAX_LACING {
                self.write_page(0, out);
                self.page.continued = true;
            }
            let (piece, after) = rest.split_at(rest.len().min(255));
            self.page.body.extend_from_slice(piece);
            // Less than 255 ends a packet, if need be with 0.
            self.page.lacing.push(u8::try_from(piece.len()).unwrap_or(255));
            if piece.len() < 255 {
                return;
            }
            rest = after;
        }
    }

    fn write_page(&mut self, flags: u8, out: &mut Vec<u8>) {
        let page = std::mem::take(&mut self.page);
        self.page.since = self.samples;
        let start = out.len();
        out.extend_from_slice(b"OggS\0");
        out.push(flags | if page.continued { CONTINUED } else { 0 });
        // All ones where no packet ends on the page.
        out.extend_from_slice(&page.until.unwrap_or(u64::MAX).to_le_bytes());
        out.extend_from_slice(&1_u32.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        let checksum = out.len();
        out.extend_from_slice(&[0; 4]);
        out.push(u8::try_from(page.lacing.len()).unwrap_or(0));
        out.extend_from_slice(&page.lacing);
        out.extend_from_slice(&page.body);
        let crc = crc32(0, out.get(start..).unwrap_or(&[]));
        if let Some(field) = out.get_mut(checksum..checksum + 4) {
            field.copy_from_slice(&crc.to_le_bytes());
        }
        self.sequence = self.sequence.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use mp4_atom::{Audio, Encode, Opus};
    use proptest::prelude::*;

    use super::*;
    use crate::track::{Language, Roles, TrackKind};

    fn writer() -> Writer {
        let opus = Opus {
            audio: Audio {
                data_reference_index: 1,
                channel_count: 2,
                sample_size: 16,
                sample_rate: 48_000.into(),
            },
            dops: Dops {
                output_channel_count: 2,
                pre_skip: 312,
                input_sample_rate: 44_100,
                output_gain: -256,
                channel_mapping: None,
            },
            btrt: None,
        };
        let mut entry = Vec::new();
        opus.encode(&mut entry).unwrap();
        let config = TrackConfig {
            kind: TrackKind::Audio,
            handler: *b"soun",
            timescale: RATE,
            sample_entry: entry.into(),
            display_size: (0, 0),
            matrix: None,
            language: Language::UNDETERMINED,
            language_tag: None,
            name: None,
            roles: Roles::default(),
            presentation_offset: None,
        };
        Writer::new(&config).unwrap()
    }

    /// Packets with their pages' granule positions, as RFC 3533 §5 and §6 say.
    fn read(mut bytes: &[u8]) -> Vec<(Vec<u8>, u64, u8)> {
        let (mut packets, mut open, mut number) = (Vec::new(), Vec::new(), 0_u32);
        while !bytes.is_empty() {
            assert_eq!(&bytes[..5], b"OggS\0");
            let (flags, granule) = (bytes[5], u64::from_le_bytes(*bytes[6..].first_chunk().unwrap()));
            assert_eq!(u32::from_le_bytes(*bytes[18..].first_chunk().unwrap()), number);
            assert_eq!(flags & CONTINUED != 0, !open.is_empty());
            let lacing = &bytes[27..27 + usize::from(bytes[26])];
            let (mut at, before) = (27 + lacing.len(), packets.len());
            for &length in lacing {
                open.extend_from_slice(&bytes[at..at + usize::from(length)]);
                at += usize::from(length);
                if length < 255 {
                    packets.push((std::mem::take(&mut open), granule, flags));
                }
            }
            assert_eq!(granule == u64::MAX, packets.len() == before && !lacing.is_empty());
            let (mut page, mut sum) = (bytes[..at].to_vec(), [0; 4]);
            sum.swap_with_slice(&mut page[22..26]);
            assert_eq!(crc32(0, &page).to_le_bytes(), sum);
            bytes = &bytes[at..];
            number += 1;
        }
        packets
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn packets_of_any_size_are_in_pages(sizes in proptest::collection::vec(0_usize..140_000, 0..3), small in proptest::collection::vec(1_usize..300, 0..300), trim in 0..960_u32) {
            let mut writer = writer();
            let mut file = Vec::new();
            writer.begin(Some("Título"), &mut file);
            let mut expected: Vec<Vec<u8>> = Vec::new();
            for (number, size) in sizes.iter().chain(&small).enumerate() {
                // A configuration of 20 ms and one frame (RFC 6716 §3.1).
                let mut data = vec![u8::try_from(number % 256).unwrap(); *size];
                if let Some(first) = data.first_mut() {
                    *first = 0x98;
                }
                let last = number + 1 == sizes.len() + small.len();
                let duration = if last { 960 - trim } else { 960 };
                let sample = Sample { dts: 0, pts: 0, duration: Some(duration), sync: true, data: &data[..] };
                prop_assert_eq!(writer.add(&sample, &mut file), *size > 0);
                if *size > 0 {
                    expected.push(data);
                }
            }
            writer.finish(&mut file);
            let found = read(&file);
            // RFC 7845 §5.1: version, channels, pre-skip, rate, gain, family.
            let head = b"OpusHead\x01\x02\x38\x01\x44\xac\0\0\0\xff\0";
            prop_assert_eq!(&found[0], &(head.to_vec(), 0, FIRST));
            prop_assert_eq!(&found[1].0, "OpusTags\u{8}\0\0\0aqueduct\u{1}\0\0\0\r\0\0\0TITLE=Título".as_bytes());
            let packets: Vec<_> = found[2..].iter().map(|(packet, ..)| packet.clone()).collect();
            prop_assert!(packets == expected);
            if let Some((_, granule, flags)) = found[2..].last() {
                prop_assert_eq!(flags & LAST, LAST);
                let whole = 960 * u64::try_from(packets.len()).unwrap();
                prop_assert!(*granule == whole || *granule == whole - u64::from(trim));
            }
        }
    }
}
