//! What a transport stream had wrong with it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::DataKind;

/// Counts of damage and of what was passed over. All zero for a whole stream that begins at a random access
/// point and has no stream types that are not supported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// Bytes that belong to no packet: junk before the first one and between packets, an unfinished last one.
    pub junk_bytes: u64,
    /// Times that packet synchronisation was lost (ISO 13818-1 §2.4.3.2, `sync_byte`).
    pub sync_losses: u64,
    /// Packets whose `transport_error_indicator` is set (§2.4.3.3).
    pub transport_errors: u64,
    /// Breaks in a stream's `continuity_counter` (§2.4.3.3): packets are missing.
    pub continuity_errors: u64,
    /// Packets whose `continuity_counter` alone was wrong, as those around them show. They are kept.
    pub wrong_counters: u64,
    /// Segments at whose beginning a `continuity_counter` neither goes on nor starts over, in a stream that does one of
    /// these otherwise: the end of the segment before is missing, or the beginning of this one.
    pub boundary_breaks: u64,
    /// Packets sent twice, as §2.4.3.3 allows; the second is passed over.
    pub duplicate_packets: u64,
    /// Packets that are still scrambled (`transport_scrambling_control`, or its like in the PES header).
    pub scrambled_packets: u64,
    /// PAT and PMT sections with a wrong CRC or an impossible length (§2.4.4).
    pub broken_sections: u64,
    /// PES packets whose header cannot be read (§2.4.3.6).
    pub broken_pes: u64,
    /// PES packets that are shorter than their `PES_packet_length` says (§2.4.3.7). Those of video count at the end of a
    /// segment alone, where a transport packet or more is missing: elsewhere lengths of video are often wrong.
    pub short_pes: u64,
    /// Elementary stream types that are not supported (table 2-34). Their packets are skipped.
    pub unsupported_stream_types: BTreeSet<u8>,
    /// Pieces (PES packets or sections) of streams beside pictures and sound, which are passed over.
    pub data_units: BTreeMap<DataKind, u64>,
    /// Programs beside the one that is taken.
    pub other_programs: u64,
    /// Packets that came too long before a PMT told what is in them, or with none behind them, and are dropped.
    pub packets_before_pmt: u64,
    /// Access units dropped because bytes of them were lost.
    pub damaged_units: u64,
    /// Access units dropped because they are larger than the limit.
    pub oversized_units: u64,
    /// Pictures dropped because no random access point came before them: a stream that begins in its middle.
    pub leading_units: u64,
    /// Access units dropped because no time stamp tells when they are due.
    pub untimed_units: u64,
    /// Parameter sets that cannot be read; the pictures that need them are dropped.
    pub broken_parameter_sets: u64,
    /// Bytes of an audio stream that belong to no frame.
    pub skipped_audio_bytes: u64,
}

impl Stats {
    /// Whether something was lost that a whole stream would have had.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.sync_losses + self.transport_errors + self.continuity_errors + self.boundary_breaks > 0
            || self.broken_sections + self.broken_pes + self.short_pes + self.packets_before_pmt > 0
            || self.damaged_units + self.oversized_units + self.untimed_units + self.broken_parameter_sets > 0
            || self.skipped_audio_bytes > 0
    }
}
