//! Packets of a writer that are put together anew: what counts them goes on from one to the next.

use super::{
    packet::{PACKET, SYNC},
    write::{FIRST_PID, METADATA_PID},
};
use crate::error::Error;

/// Continuity counters (ISO 13818-1 §2.4.3.3) of a stream that is put together of what a [`Writer`](super::Writer) wrote: the packets of
/// an old file, and others between and in place of them. Nothing else in them says how many are in front.
#[derive(Debug, Default)]
pub struct Recount {
    /// That of the next packet of each PID.
    next: Vec<Option<u8>>,
    /// By track.
    units: Vec<u64>,
}

impl Recount {
    /// The next packets of the stream: gives them their counters.
    ///
    /// # Errors
    ///
    /// [`Error::Foreign`].
    pub fn add(&mut self, packets: &mut [u8]) -> Result<(), Error> {
        for (number, packet) in packets.chunks_mut(PACKET).enumerate() {
            let whole = packet.len() == PACKET;
            let [SYNC, high, low, flags, ..] = packet else {
                return Err(foreign(number));
            };
            if !whole {
                return Err(foreign(number));
            }
            let pid = usize::from(u16::from_be_bytes([*high & 0x1f, *low]));
            if self.next.len() <= pid {
                self.next.resize(pid + 1, None);
            }
            // One without a payload has the counter of the one before.
            let has_payload = *flags & 0x10 != 0;
            let own = *flags & 15;
            let next = self.next[pid].unwrap_or(if has_payload { own } else { own.wrapping_add(1) & 15 });
            let counter = if has_payload { next } else { next.wrapping_sub(1) & 15 };
            *flags = *flags & 0xf0 | counter;
            self.next[pid] = Some(counter.wrapping_add(1) & 15);
            let track = pid.checked_sub(FIRST_PID.into()).filter(|_| pid < METADATA_PID.into());
            if let Some(track) = track.filter(|_| *high & 0x40 != 0 && has_payload) {
                if self.units.len() <= track {
                    self.units.resize(track + 1, 0);
                }
                self.units[track] += 1;
            }
        }
        Ok(())
    }

    /// How many PES packets there are so far of each track.
    pub fn units(&self) -> impl Iterator<Item = u64> {
        self.units.iter().copied()
    }
}

/// Whether packets are the same but for their counters.
#[must_use]
pub fn are_the_same_packets(one: &[u8], other: &[u8]) -> bool {
    let alike = |one: &[u8], other: &[u8]| match (one.split_at_checked(3), other.split_at_checked(3)) {
        (Some((one, [flags, payload @ ..])), Some((other, [others, other_payload @ ..]))) => {
            one == other && flags & 0xf0 == others & 0xf0 && payload == other_payload
        }
        _ => one == other,
    };
    one.len() == other.len() && one.chunks(PACKET).zip(other.chunks(PACKET)).all(|(one, other)| alike(one, other))
}

/// Whether there is timed metadata among packets of a writer.
#[must_use]
pub fn have_metadata(packets: &[u8]) -> bool {
    let pid = METADATA_PID.to_be_bytes();
    packets
        .chunks(PACKET)
        .any(|packet| matches!(packet, [_, high, low, ..] if [high & 0x1f, *low] == pid))
}

fn foreign(number: usize) -> Error {
    Error::Foreign {
        offset: number * PACKET,
        reason: "no transport packet",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        audio::{AudioCodec, Found},
        emsg::Message,
        track::{Language, Sample},
        ts::Writer,
    };

    /// A stream of two tracks of sound, in pieces.
    fn pieces(sizes: &[u16]) -> Vec<Vec<u8>> {
        pieces_with(sizes, None)
    }

    fn pieces_with(sizes: &[u16], message: Option<Message>) -> Vec<Vec<u8>> {
        let Found::Header(header) = AudioCodec::Adts.parse(&[0xff, 0xf1, 0x4c, 0x80, 0x2e, 0x7f, 0xfc]) else {
            panic!("no header")
        };
        let config = header.config.unwrap().track(Language::new(b"eng")).unwrap();
        let mut writer = Writer::default();
        let tracks = [writer.add_track(&config).unwrap(), writer.add_track(&config).unwrap()];
        assert!(message.is_none_or(|message| writer.message(message)));
        let piece = |(number, size): (i64, &u16)| {
            let (mut piece, data) = (Vec::new(), vec![0x21; usize::from(*size) + 1]);
            for frame in 0..3 {
                let time = (number * 3 + frame) * 1024;
                let sample = Sample {
                    dts: time,
                    pts: time,
                    duration: Some(1024),
                    sync: true,
                    data: &data[..],
                };
                for track in tracks {
                    writer.add(track, &sample, &mut piece).unwrap();
                }
            }
            writer.flush(&mut piece);
            piece
        };
        (0..).zip(sizes).map(piece).collect()
    }

    #[test]
    fn metadata_is_seen_where_it_stands() {
        let message = Message::id3(4 * 1024 * 90_000 / 48_000, bytes::Bytes::from_static(b"ID3\x04\0\0\0\0\0\0"));
        let with = pieces_with(&[10; 4], Some(message));
        let seen: Vec<bool> = with.iter().map(|piece| have_metadata(piece)).collect();
        assert_eq!(seen, [false, true, false, false]);
        assert!(pieces(&[10; 4]).iter().all(|piece| !have_metadata(piece)));
    }

    proptest! {
        #[test]
        fn whatever_the_counters_of_its_pieces_a_stream_counts_through(
            sizes in prop::collection::vec(0_u16..4000, 1..30),
            others in prop::collection::vec(0_u8..16, 30),
        ) {
            let pieces = pieces(&sizes);
            let (mut recount, mut stream) = (Recount::default(), Vec::new());
            for (number, (piece, other)) in pieces.iter().zip(others).enumerate() {
                let mut counted = piece.clone();
                let other = if number == 0 { 0 } else { other };
                for packet in counted.chunks_mut(PACKET) {
                    packet[3] = packet[3] & 0xf0 | packet[3].wrapping_add(other) & 15;
                }
                prop_assert!(are_the_same_packets(piece, &counted));
                recount.add(&mut counted).unwrap();
                stream.append(&mut counted);
            }
            prop_assert!(stream == pieces.concat());
            prop_assert!(recount.units().all(|units| units >= sizes.len() as u64) && recount.units().count() == 2);
        }

        #[test]
        fn no_bytes_panic(mut bytes: Vec<u8>, at: prop::sample::Index) {
            let _ = (Recount::default().add(&mut bytes), are_the_same_packets(&bytes, &bytes));
            let mut stream = pieces(&[100, 200]).concat();
            let length = stream.len();
            stream[at.index(length)] ^= 0x10;
            let _ = Recount::default().add(&mut stream);
            prop_assert!(!are_the_same_packets(&stream, &pieces(&[100, 200]).concat()));
        }
    }
}
