//! The captions of a track of pictures, which come in decode order and are shown in another.

use cea608_types::tables::{Code, Control};
use serde::{Deserialize, Serialize};

use super::{Channel, Decoder, Half, Pair, sei::CaptionData};
use crate::webvtt::Cue;

/// A picture that is shown earlier comes at most so many pictures later (ITU-T H.264 §E.2.1, `max_num_reorder_frames`; H.265
/// §A.4.2, `MaxDpbSize`).
const MOST_REORDERED: usize = 16;

/// Reads one channel of what the pictures of a track carry: pairs are put into the order in which their pictures are shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Captions {
    channel: Channel,
    decoder: Decoder,
    /// Pictures that one may come behind which is shown earlier, by the time at which they are shown, in milliseconds.
    waiting: Vec<(i64, Vec<Pair>)>,
    /// When the last picture was shown whose captions are read.
    now_ms: Option<i64>,
    found: Found,
}

/// Which captions the pictures carry, whatever is read of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Found {
    /// By channel.
    channels: [bool; 4],
    /// Services of CEA-708.
    pub services: bool,
}

impl Found {
    /// The channels that captions were written to.
    pub fn channels(self) -> impl Iterator<Item = Channel> {
        Channel::ALL
            .into_iter()
            .zip(self.channels)
            .filter_map(|(channel, is_there)| is_there.then_some(channel))
    }

    fn see(&mut self, pair: Pair) {
        // Each way to show captions begins with one of these.
        let Ok([Code::Control(control), _]) = Code::from_data(pair.bytes) else {
            return;
        };
        if let Control::ResumeCaptionLoading | Control::ResumeDirectionCaptioning | Control::RollUp2 | Control::RollUp3 | Control::RollUp4 =
            control.code()
        {
            let second = usize::from(control.channel() != Half::ONE);
            if let Some(channel) = self.channels.get_mut(usize::from(pair.field) * 2 + second) {
                *channel = true;
            }
        }
    }
}

impl Captions {
    /// A reader that has seen no picture.
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        Self {
            channel,
            decoder: Decoder::new(channel),
            waiting: Vec::new(),
            now_ms: None,
            found: Found::default(),
        }
    }

    /// The channel that is read.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// Takes what the next picture in decode order carries, which is shown at `shown_ms`, and appends to `cues` the captions
    /// that end with what is known by now.
    pub fn picture(&mut self, data: CaptionData, shown_ms: i64, cues: &mut Vec<Cue>) {
        self.found.services |= data.services;
        let place = self.waiting.partition_point(|(waits, _)| *waits <= shown_ms);
        self.waiting.insert(place, (shown_ms, data.pairs));
        if self.waiting.len() > MOST_REORDERED {
            let (shown_ms, pairs) = self.waiting.remove(0);
            self.read(shown_ms, &pairs, cues);
        }
    }

    /// The pictures that come next are shown after all of these.
    pub fn settle(&mut self, cues: &mut Vec<Cue>) {
        for (shown_ms, pairs) in std::mem::take(&mut self.waiting) {
            self.read(shown_ms, &pairs, cues);
        }
    }

    /// No more pictures: appends what is shown still.
    pub fn finish(&mut self, cues: &mut Vec<Cue>) {
        self.settle(cues);
        if let Some(now_ms) = self.now_ms {
            self.decoder.finish(now_ms, cues);
        }
    }

    /// No cue that is still to come begins earlier, in milliseconds; `None` while that is not known.
    #[must_use]
    pub fn reached_ms(&self) -> Option<i64> {
        self.now_ms
            .map(|now| self.decoder.shown_since().map_or(now, |since| since.min(now)))
    }

    /// What the pictures carried so far.
    #[must_use]
    pub fn found(&self) -> Found {
        self.found
    }

    fn read(&mut self, shown_ms: i64, pairs: &[Pair], cues: &mut Vec<Cue>) {
        let now = self.now_ms.map_or(shown_ms, |now| now.max(shown_ms));
        self.now_ms = Some(now);
        for pair in pairs {
            self.found.see(*pair);
            self.decoder.pair(*pair, now, cues);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of the first field, a picture each 100 ms, in decode order: pictures are shown at the places in `order`.
    fn read(channel: Channel, pairs: &[u16], order: &[usize]) -> (Vec<(i64, i64, String)>, Found) {
        let (mut captions, mut cues) = (Captions::new(channel), Vec::new());
        for shown in order {
            let data = CaptionData {
                pairs: vec![Pair {
                    field: 0,
                    bytes: pairs[*shown].to_be_bytes(),
                }],
                services: false,
            };
            captions.picture(data, i64::try_from(*shown).unwrap() * 100, &mut cues);
        }
        captions.finish(&mut cues);
        (
            cues.into_iter().map(|cue| (cue.start_ms, cue.end_ms, cue.text)).collect(),
            captions.found(),
        )
    }

    /// RCL, PAC, "Hi", "Ho", EOC, EDM (CTA-608-E).
    const CAPTION: [u16; 6] = [0x9420, 0x9470, 0xc8e9, 0xc8ef, 0x942f, 0x942c];

    #[test]
    fn pairs_are_read_in_the_order_in_which_pictures_are_shown() {
        for order in [[0, 1, 2, 3, 4, 5], [0, 3, 1, 2, 5, 4], [5, 4, 3, 2, 1, 0]] {
            let (cues, _) = read(Channel::Cc1, &CAPTION, &order);
            assert_eq!(cues, [(400, 500, "HiHo".into())], "{order:?}");
        }
    }

    #[test]
    fn what_is_on_offer_is_told_whatever_is_read() {
        let (cues, found) = read(Channel::Cc2, &CAPTION, &[0, 1, 2, 3, 4, 5]);
        assert!(cues.is_empty());
        assert_eq!(found.channels().collect::<Vec<_>>(), [Channel::Cc1]);
        // RU2 of the second channel, and what every picture has that has no captions.
        let (_, found) = read(Channel::Cc1, &[0x1c25, 0x8080], &[0, 1]);
        assert_eq!(found.channels().collect::<Vec<_>>(), [Channel::Cc2]);
        let (_, found) = read(Channel::Cc1, &[0x8080], &[0]);
        assert_eq!(found, Found::default());
    }

    #[test]
    fn no_cue_begins_before_what_was_told_to_be_reached() {
        let (mut captions, mut cues) = (Captions::new(Channel::Cc1), Vec::new());
        assert_eq!(captions.reached_ms(), None);
        let mut shown = |bytes: u16, at: i64| {
            let bytes = bytes.to_be_bytes();
            let pairs = vec![Pair { field: 0, bytes }];
            captions.picture(CaptionData { pairs, services: false }, at, &mut cues);
            captions.settle(&mut cues);
            captions.reached_ms()
        };
        for (at, pair) in (0..).zip(&CAPTION[..5]) {
            assert_eq!(shown(*pair, at * 100), Some(at * 100));
        }
        assert_eq!(shown(0x8080, 900), Some(400), "it is shown, and may end at any time");
        assert_eq!(shown(0x942c, 1000), Some(1000));
        assert_eq!((cues[0].start_ms, cues[0].end_ms), (400, 1000));
    }
}
