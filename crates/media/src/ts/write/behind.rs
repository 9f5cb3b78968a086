//! Going on behind packets that were written before.

use memchr::memmem;

use super::{PMT_PID, Writer, tables::METADATA};
use crate::ts::packet::{PACKET, Packet};

impl Writer {
    /// Counts on from where the packets at the end of `front` stand, which a writer of the same tracks wrote: their continuity counters,
    /// the version of the PMT and the time of the clock reference.
    pub fn go_on_behind(&mut self, front: &[u8]) {
        let (mut counted, mut pmt, mut pcr) = (Vec::new(), Vec::new(), None);
        for bytes in front.rchunks_exact(PACKET).filter_map(<[u8]>::first_chunk::<PACKET>) {
            let packet = Packet::parse(bytes);
            if packet.error {
                break;
            }
            pcr = pcr.or(clock_of(bytes));
            if packet.pid == PMT_PID && !pmt.iter().any(|(starts, _)| *starts) {
                pmt.push((packet.unit_start, packet.payload.unwrap_or_default()));
            }
            if !counted.contains(&packet.pid) {
                counted.push(packet.pid);
                let streams = self.streams.iter_mut().map(|stream| &mut stream.packets);
                let tables = [&mut self.pat, &mut self.pmt, &mut self.metadata.packets];
                if let Some(packets) = streams.chain(tables).find(|packets| packets.pid() == packet.pid) {
                    packets.go_on_behind(packet.counter);
                }
            }
        }
        if let Some((true, start)) = pmt.last() {
            // Behind the pointer: `version_number` of the section (ISO 13818-1 §2.4.4.8).
            self.version = start.get(6).map_or(self.version, |byte| byte >> 1 & 31);
            let section: Vec<u8> = pmt.iter().rev().flat_map(|(_, payload)| *payload).copied().collect();
            self.metadata.is_told = memmem::find(&section, METADATA).is_some();
        }
        self.read_pcr = pcr.or(self.read_pcr);
    }
}

/// `program_clock_reference_base` of a packet (§2.4.3.5).
fn clock_of(packet: &[u8; PACKET]) -> Option<u64> {
    let has_field = packet[3] & 0x20 > 0 && packet[4] > 6 && packet[5] & 0x10 > 0;
    let bytes = packet.get(6..11).filter(|_| has_field)?;
    Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)) >> 7)
}
