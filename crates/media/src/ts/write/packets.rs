//! Transport packets of one PID (ISO 13818-1 §2.4.3).

use serde::{Deserialize, Serialize};

use crate::ts::packet::{PACKET, SYNC};

/// Bytes before the adaptation field or the payload.
const HEADER: usize = 4;

/// What the adaptation field of a first packet says (§2.4.3.5).
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Adaptation {
    /// `program_clock_reference_base`.
    pub(super) pcr: Option<u64>,
    pub(super) random_access: bool,
}

impl Adaptation {
    /// Length, flags and fields; nothing where it says nothing.
    fn field(self) -> Vec<u8> {
        let mut field = Vec::new();
        if self.pcr.is_some() || self.random_access {
            field.extend_from_slice(&[0, u8::from(self.random_access) << 6 | u8::from(self.pcr.is_some()) << 4]);
        }
        if let Some(pcr) = self.pcr {
            // 33 bits, six reserved ones, and an extension of nine that is 0.
            field.extend_from_slice(&(pcr << 15 | 0x7e00).to_be_bytes()[2..]);
        }
        field
    }
}

/// The packets of a PID and their continuity.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Packets {
    pid: u16,
    counter: u8,
}

impl Packets {
    pub(super) fn new(pid: u16) -> Self {
        Self { pid, counter: 0 }
    }

    pub(super) fn pid(&self) -> u16 {
        self.pid
    }

    /// Goes on behind a packet with this counter.
    pub(super) fn go_on_behind(&mut self, counter: u8) {
        self.counter = (counter + 1) & 15;
    }

    /// Appends a PES packet.
    pub(super) fn write(&mut self, adaptation: Adaptation, header: &[u8], payload: &[u8], out: &mut Vec<u8>) {
        out.reserve((header.len() + payload.len()) / (PACKET - HEADER) * PACKET + 2 * PACKET);
        let mut field = adaptation.field();
        let mut header = header;
        let mut payload = payload;
        let mut first = true;
        while first || !payload.is_empty() {
            let end = out.len() + PACKET;
            let left = header.len() + payload.len();
            // What the payload does not fill, the adaptation field has to.
            let room = PACKET - HEADER - field.len();
            if left < room {
                stuff(&mut field, PACKET - HEADER - left);
            }
            self.header(first, !field.is_empty(), out);
            if let Some(length) = field.len().checked_sub(1) {
                field[0] = u8::try_from(length).unwrap_or(u8::MAX);
            }
            out.append(&mut field);
            out.extend_from_slice(std::mem::take(&mut header));
            let (now, later) = payload.split_at((end - out.len()).min(payload.len()));
            out.extend_from_slice(now);
            payload = later;
            first = false;
        }
    }

    /// Appends a packet that holds the clock alone. It has no payload, so it does not count (§2.4.3.3).
    pub(super) fn clock(&mut self, pcr: u64, out: &mut Vec<u8>) {
        let adaptation = Adaptation {
            pcr: Some(pcr),
            random_access: false,
        };
        let mut field = adaptation.field();
        stuff(&mut field, PACKET - HEADER);
        field[0] = u8::try_from(PACKET - HEADER - 1).unwrap_or(u8::MAX);
        let [high, low] = self.pid.to_be_bytes();
        out.extend_from_slice(&[SYNC, high, low, 0x20 | (self.counter.wrapping_sub(1) & 15)]);
        out.append(&mut field);
    }

    /// Appends a section of a table, behind its `pointer_field` (§2.4.4.1).
    pub(super) fn section(&mut self, section: &[u8], out: &mut Vec<u8>) {
        let whole = [&[0], section].concat();
        for (number, piece) in whole.chunks(PACKET - HEADER).enumerate() {
            let end = out.len() + PACKET;
            self.header(number == 0, false, out);
            out.extend_from_slice(piece);
            out.resize(end, 0xff);
        }
    }

    fn header(&mut self, unit_start: bool, adaptation: bool, out: &mut Vec<u8>) {
        let [high, low] = self.pid.to_be_bytes();
        out.extend_from_slice(&[
            SYNC,
            u8::from(unit_start) << 6 | high,
            low,
            0x10 | u8::from(adaptation) << 5 | self.counter,
        ]);
        self.counter = (self.counter + 1) & 15;
    }
}

/// Fills an adaptation field up to `length` bytes, its own length included. One of a single byte is a length of 0.
fn stuff(field: &mut Vec<u8>, length: usize) {
    if field.is_empty() {
        field.push(0);
    }
    if field.len() == 1 && length > 1 {
        field.push(0);
    }
    field.resize(length, 0xff);
}
