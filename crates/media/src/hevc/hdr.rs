//! What a stream tells of the display that it was mastered on and of its light (Rec. ITU-T H.265 §D.2.28 and §D.2.35).

use serde::{Deserialize, Serialize};

use crate::nal::{sei_messages, unescape};

/// `payloadType` of the messages, and how long they are.
const MASTERING: (usize, usize) = (137, 24);
const LIGHT: (usize, usize) = (144, 4);

/// The payloads of the latest messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hdr {
    mastering: Option<[u8; MASTERING.1]>,
    light: Option<[u8; LIGHT.1]>,
}

impl Hdr {
    /// Takes the messages of a SEI NAL unit, without its header. Returns whether they say anything new.
    pub(super) fn note(&mut self, messages: &[u8]) -> bool {
        let before = (self.mastering, self.light);
        for (kind, payload) in sei_messages(&unescape(messages)) {
            if kind == MASTERING.0 {
                self.mastering = payload.first_chunk().copied().or(self.mastering);
            } else if kind == LIGHT.0 {
                self.light = payload.first_chunk().copied().or(self.light);
            }
        }
        before != (self.mastering, self.light)
    }

    /// Appends `mdcv` and `clli` (ISO 14496-12 §12.1.7 and §12.1.6) to a sample entry. They have the fields of the messages.
    pub(super) fn append_to(&self, entry: &mut Vec<u8>) {
        let mastering = self.mastering.as_ref().map(|payload| (b"mdcv", &payload[..]));
        let light = self.light.as_ref().map(|payload| (b"clli", &payload[..]));
        for (kind, payload) in mastering.into_iter().chain(light) {
            let size = u32::try_from(8 + payload.len()).unwrap_or(0);
            entry.extend_from_slice(&size.to_be_bytes());
            entry.extend_from_slice(kind);
            entry.extend_from_slice(payload);
        }
        let size = u32::try_from(entry.len()).unwrap_or(0).to_be_bytes();
        if let Some(header) = entry.first_chunk_mut() {
            *header = size;
        }
    }
}
