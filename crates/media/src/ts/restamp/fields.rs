//! The fields of a packet that tell times, written over where they are. What is no time in them stays.

use super::super::{
    packet::{PACKET, Packet},
    pes::PesHeader,
};
use crate::time::MPEG_WRAP;

/// Writes a PTS or DTS (ISO 13818-1 §2.4.3.6) over another.
pub(super) fn stamp(packet: &mut [u8; PACKET], at: usize, time: i64) {
    let Some(field) = packet.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<5>()) else {
        return;
    };
    let time = time.rem_euclid(MPEG_WRAP);
    // The first four bits and the markers stay.
    field[0] = field[0] & 0xf1 | byte(time >> 30 & 7) << 1;
    field[1] = byte(time >> 22);
    field[2] = byte(time >> 15) << 1 | field[2] & 1;
    field[3] = byte(time >> 7);
    field[4] = byte(time) << 1 | field[4] & 1;
}

/// The PCR of a packet without its extension, in ticks of 90 kHz.
pub(super) fn base(packet: &[u8; PACKET]) -> Option<i64> {
    let has_clock = packet[3] & 0x20 != 0 && packet[4] >= 7 && packet[5] & 0x10 != 0;
    let [b0, b1, b2, b3, b4] = [packet[6], packet[7], packet[8], packet[9], packet[10]].map(i64::from);
    has_clock.then_some(b0 << 25 | b1 << 17 | b2 << 9 | b3 << 1 | b4 >> 7)
}

/// Adds to the PCR of a packet (§2.4.3.5), which goes on without a break then. An OPCR stays: it is the clock of the stream that
/// this one was made of, and no multiplexer changes it (ibid.).
pub(super) fn clock(packet: &mut [u8; PACKET], by: i64) {
    let has_field = packet[3] & 0x20 != 0 && packet[4] > 0;
    if !has_field {
        return;
    }
    packet[5] &= 0x7f;
    let Some(base) = base(packet) else { return };
    let moved = base.saturating_add(by).rem_euclid(MPEG_WRAP);
    packet[6] = byte(moved >> 25);
    packet[7] = byte(moved >> 17);
    packet[8] = byte(moved >> 9);
    packet[9] = byte(moved >> 1);
    packet[10] = packet[10] & 0x7f | byte(moved & 1) << 7;
}

/// Adds to the ESCR of a PES packet that begins in a packet (§2.4.3.7): it counts as its PTS does.
pub(super) fn stream_clock(packet: &mut [u8; PACKET], by: i64) {
    let parsed = Packet::parse(packet);
    let Some(payload) = parsed.payload.filter(|_| parsed.unit_start && !parsed.scrambled) else {
        return;
    };
    let Ok(header) = PesHeader::parse(payload) else { return };
    let flags = payload.get(7).copied().unwrap_or(0);
    // Behind PTS and DTS.
    let place = 9 + match flags >> 6 {
        2 => 5,
        3 => 10,
        _ => 0,
    };
    if flags & 0x20 == 0 || place + 6 > header.len {
        return;
    }
    let at = PACKET - payload.len() + place;
    let Some(field) = packet.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<5>()) else {
        return;
    };
    let [b0, b1, b2, b3, b4] = field.map(i64::from);
    let base = (b0 >> 3 & 7) << 30 | (b0 & 3) << 28 | b1 << 20 | b2 >> 3 << 15 | (b2 & 3) << 13 | b3 << 5 | b4 >> 3;
    let moved = base.saturating_add(by).rem_euclid(MPEG_WRAP);
    field[0] = field[0] & 0xc4 | byte(moved >> 30 & 7) << 3 | byte(moved >> 28 & 3);
    field[1] = byte(moved >> 20);
    field[2] = byte(moved >> 15) << 3 | field[2] & 4 | byte(moved >> 13 & 3);
    field[3] = byte(moved >> 5);
    field[4] = byte(moved) << 3 | field[4] & 7;
}

/// The last eight bits.
fn byte(value: i64) -> u8 {
    value.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    // ISO 13818-1 §2.4.3.6: the bits of 2^32 + 5 among markers, as ffmpeg writes a PTS behind a prefix of 0011.
    #[test]
    fn stamps_keep_what_is_no_time() {
        let mut packet = [0xff; PACKET];
        stamp(&mut packet, 10, (1 << 32) + 5 + MPEG_WRAP);
        assert_eq!(packet[10..15], [0xf9, 0x00, 0x01, 0x00, 0x0b]);
    }

    // §2.4.3.5: base 2^33 - 1 with an extension of 299, and six reserved bits.
    #[test]
    fn a_clock_moves_and_the_one_of_its_source_does_not() {
        let clocks = [
            0x20, 13, 0x98, 0xff, 0xff, 0xff, 0xff, 0xff, 0x2b, 0xff, 0xff, 0xff, 0xff, 0xff, 0x2b,
        ];
        let mut packet = [0xff; PACKET];
        packet[3..18].copy_from_slice(&clocks);
        clock(&mut packet, 2);
        assert_eq!(packet[3..12], [0x20, 13, 0x18, 0, 0, 0, 0, 0xff, 0x2b]);
        assert_eq!(packet[12..], [&clocks[9..], &[0xff; 170]].concat());
    }

    // Table 2-21: two reserved bits, then 3, 15 and 15 bits and an extension of 9, each with a marker behind it; of 0, 2^33 - 1
    // and 2^32 + 77777.
    #[test]
    fn the_clock_of_a_stream_moves_with_its_stamps() {
        let header = |flags: u8, fields: &[u8]| {
            let length = u8::try_from(fields.len()).unwrap();
            [&[0, 0, 1, 0xe0, 0, 0, 0x80, flags, length], fields].concat()
        };
        let (zero, moved) = ([0xc4, 0x00, 0x04, 0x00, 0x04, 0x01], [0xc4, 0x00, 0x04, 0x00, 0x2c, 0x01]);
        let (last, wrapped) = ([0xff, 0xff, 0xff, 0xff, 0xfc, 0x55], [0xc4, 0x00, 0x04, 0x00, 0x24, 0x55]);
        let (high, higher) = ([0xe4, 0x00, 0x15, 0x7e, 0x8c, 0x01], [0xe4, 0x00, 0x15, 0x7e, 0xb4, 0x01]);
        for (flags, before) in [(0x20, 0), (0xa0, 5), (0xe0, 10)] {
            for (from, to) in [(zero, moved), (last, wrapped), (high, higher)] {
                let stamps = vec![0x21; before];
                let mut packet = [0xff; PACKET];
                packet[..4].copy_from_slice(&[0x47, 0x41, 0, 0x10]);
                let put = |packet: &mut [u8; PACKET], clock: [u8; 6]| {
                    let header = header(flags, &[&stamps[..], &clock].concat());
                    packet[4..4 + header.len()].copy_from_slice(&header);
                };
                put(&mut packet, from);
                let mut expected = packet;
                put(&mut expected, to);
                stream_clock(&mut packet, 5);
                assert_eq!(packet, expected, "{flags:x}: {from:x?}");
            }
        }
        // A header that has no room for what its flags promise.
        let mut packet = [0xff; PACKET];
        packet[..4].copy_from_slice(&[0x47, 0x41, 0, 0x10]);
        packet[4..16].copy_from_slice(&header(0x20, &[0xc4, 0, 4]));
        let before = packet;
        stream_clock(&mut packet, 5);
        assert_eq!(packet, before);
    }
}
