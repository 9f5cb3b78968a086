//! Timed metadata: ID3 tags in PES packets of a stream of their own (Apple, "Timed Metadata for HTTP Live Streaming").

use serde::{Deserialize, Serialize};

use super::packets::Packets;
use crate::emsg::{self, Message};

/// What the length of a PES packet can tell, without the fields behind it that stand in front of a tag.
const MOST_BYTES: usize = 0xffff - 8;

/// Tags that wait for the samples of their time.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Metadata {
    waiting: Vec<Message>,
    pub(super) packets: Packets,
    /// Whether the PMT has it: with the first tag.
    pub(super) is_told: bool,
}

impl Metadata {
    pub(super) fn new(pid: u16) -> Self {
        Self {
            waiting: Vec::new(),
            packets: Packets::new(pid),
            is_told: false,
        }
    }

    /// Takes a message, if it is one that has a place here and there is room. One that several streams bring is there once.
    pub(super) fn take(&mut self, message: Message) -> bool {
        if self.waiting.contains(&message) {
            return true;
        }
        let mut bytes = self.waiting.iter().map(|waits| waits.data.len()).sum();
        let fits = message.scheme == emsg::ID3
            && message.data.starts_with(b"ID3")
            && message.data.len() <= MOST_BYTES
            && emsg::has_room(&[&self.waiting], &mut bytes, &message);
        if fits {
            self.waiting.push(message);
        }
        fits
    }

    /// The tags that are due by then, in flicks, in the order of their times.
    pub(super) fn due(&mut self, until: i64) -> Vec<Message> {
        if self.waiting.iter().all(|message| message.flicks() > until) {
            return Vec::new();
        }
        let (mut due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|message| message.flicks() <= until);
        self.waiting = later;
        due.sort_by_key(Message::flicks);
        due
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn tags_that_fit_are_taken_once_and_given_in_the_order_of_their_times() {
        let mut metadata = Metadata::new(0x130);
        let tag = |time, length: usize| Message::id3(time, [&b"ID3"[..], &vec![0; length - 3]].concat().into());
        let other = Message {
            scheme: "urn:scte:scte35:2013:bin".into(),
            ..tag(0, 10)
        };
        for (message, fits) in [
            (tag(900, 10), true),
            (tag(0, MOST_BYTES), true),
            (tag(0, MOST_BYTES), true),
            (tag(0, MOST_BYTES + 1), false),
            (Message::id3(0, Bytes::from_static(b"no tag")), false),
            (other, false),
        ] {
            assert_eq!(metadata.take(message), fits);
        }
        assert_eq!(metadata.due(tag(0, 10).flicks()), [tag(0, MOST_BYTES)]);
        assert_eq!(metadata.due(0), []);
        assert!(metadata.take(tag(100, 10)));
        assert_eq!(metadata.due(i64::MAX), [tag(100, 10), tag(900, 10)]);
        let room = (0..2000).filter(|time| metadata.take(tag(*time, 10))).count();
        assert_eq!(room, emsg::MOST_AT_ONCE);
    }
}
