//! Closed captions inside the video (ANSI/CTA-608-E): from the byte pairs of its pictures to cues.
//!
//! Pop-on, roll-up and paint-on captions are read, with italics and underline. Text mode and extended data services are
//! passed over.

mod pictures;
mod screen;
mod sei;

use cea608_types::tables::{Channel as Half, Code, Control};
use serde::{Deserialize, Serialize};

use self::screen::{Cell, Looks, ROWS, Screen};
use crate::webvtt::Cue;

pub use self::{
    pictures::{Captions, Found},
    sei::{CaptionData, Coding, Pair},
};

/// One of the four channels of captions: CC1 to CC4.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Channel {
    /// The first one: what `INSTREAM-ID="CC1"` names, and nearly all that there is.
    #[default]
    Cc1,
    /// The second one of the first field.
    Cc2,
    /// The first one of the second field.
    Cc3,
    /// The second one of the second field.
    Cc4,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cc1, Self::Cc2, Self::Cc3, Self::Cc4];

    /// The channel that a playlist calls so: its INSTREAM-ID (rfc8216bis, 4.4.6.1).
    #[must_use]
    pub fn named(instream_id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.name() == instream_id)
    }

    /// What a playlist calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cc1 => "CC1",
            Self::Cc2 => "CC2",
            Self::Cc3 => "CC3",
            Self::Cc4 => "CC4",
        }
    }

    /// The field that carries it, 0 or 1.
    fn field(self) -> u8 {
        u8::from(matches!(self, Self::Cc3 | Self::Cc4))
    }

    fn half(self) -> Half {
        match self {
            Self::Cc1 | Self::Cc3 => Half::ONE,
            Self::Cc2 | Self::Cc4 => Half::TWO,
        }
    }
}

/// How text comes to be shown (§B.1 ff.).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Mode {
    /// It is written out of sight, and shown at once.
    PopOn,
    /// It is written in sight.
    PaintOn,
    /// It is written in sight, in the lowest of so many rows.
    RollUp(u8),
    /// It is no caption.
    Text,
}

/// Reads one channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Decoder {
    channel: Channel,
    /// The last pair that was a control code: they are sent twice.
    last: Option<[u8; 2]>,
    /// Whether what comes is for this channel.
    ours: bool,
    mode: Option<Mode>,
    shown: Screen,
    hidden: Screen,
    row: u8,
    column: u8,
    looks: Looks,
    /// Since when what is shown is shown, in milliseconds.
    since: i64,
}

impl Decoder {
    /// A decoder that has seen nothing.
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        Self {
            channel,
            last: None,
            ours: false,
            mode: None,
            shown: Screen::default(),
            hidden: Screen::default(),
            row: ROWS - 1,
            column: 0,
            looks: Looks::default(),
            since: 0,
        }
    }

    /// Takes a pair of the picture that is shown at `now_ms`, and appends to `cues` the captions that end here. Pairs come
    /// in the order of presentation.
    pub fn pair(&mut self, pair: Pair, now_ms: i64, cues: &mut Vec<Cue>) {
        if pair.field != self.channel.field() {
            return;
        }
        // A pair that was damaged on the way fails its parity.
        let Ok(codes) = Code::from_data(pair.bytes) else { return };
        if let Code::Control(control) = codes[0] {
            if self.last.take() == Some(pair.bytes) {
                return;
            }
            self.last = Some(pair.bytes);
            self.ours = control.channel() == self.channel.half();
            if self.ours {
                self.control(control.code(), codes[0], now_ms, cues);
            }
            return;
        }
        let data = pair.bytes.map(|byte| byte & 0x7f);
        match data[0] {
            // Padding.
            0 if data[1] == 0 => return,
            // Extended data services, in the second field.
            1..=0x0f => self.ours = false,
            _ => {}
        }
        self.last = None;
        if self.ours {
            for character in codes.iter().filter_map(Code::char) {
                self.write(character, now_ms);
            }
        }
    }

    /// Since when something is shown, in milliseconds; `None` where nothing is.
    pub(super) fn shown_since(&self) -> Option<i64> {
        (!self.shown.is_empty()).then_some(self.since)
    }

    /// No more pairs: appends what is shown still.
    pub fn finish(&mut self, now_ms: i64, cues: &mut Vec<Cue>) {
        self.ends(now_ms, cues);
        self.shown = Screen::default();
    }

    fn control(&mut self, control: Control, code: Code, now: i64, cues: &mut Vec<Cue>) {
        match control {
            Control::ResumeCaptionLoading => self.mode = Some(Mode::PopOn),
            Control::ResumeDirectionCaptioning => {
                self.ends(now, cues);
                self.mode = Some(Mode::PaintOn);
            }
            Control::RollUp2 => self.roll_up(2, now, cues),
            Control::RollUp3 => self.roll_up(3, now, cues),
            Control::RollUp4 => self.roll_up(4, now, cues),
            Control::TextRestart | Control::ResumeTextDisplay => self.mode = Some(Mode::Text),
            Control::EraseDisplayedMemory => {
                self.ends(now, cues);
                self.shown = Screen::default();
            }
            Control::EraseNonDisplayedMemory => self.hidden = Screen::default(),
            Control::EndOfCaption => {
                self.ends(now, cues);
                std::mem::swap(&mut self.shown, &mut self.hidden);
                self.mode = Some(Mode::PopOn);
            }
            Control::CarriageReturn => {
                if let Some(Mode::RollUp(rows)) = self.mode {
                    self.ends(now, cues);
                    self.shown.roll(self.row, rows);
                    self.column = 0;
                }
            }
            Control::Backspace => {
                self.column = self.column.saturating_sub(1);
                let (row, column) = (self.row, self.column);
                self.target(now).put(row, column, Cell::default());
            }
            Control::DeleteToEndOfRow => {
                let (row, column) = (self.row, self.column);
                self.target(now).clear_from(row, column);
            }
            Control::TabOffset1 => self.tab(1),
            Control::TabOffset2 => self.tab(2),
            Control::TabOffset3 => self.tab(3),
            Control::PreambleAddress(preamble) => {
                let row = preamble.row().min(ROWS - 1);
                if let Some(Mode::RollUp(rows)) = self.mode
                    && row != self.row
                {
                    self.shown.move_rows(self.row, row, rows);
                }
                (self.row, self.column) = (row, preamble.column());
                self.looks = Looks {
                    italic: preamble.italics(),
                    underline: preamble.underline(),
                };
            }
            Control::MidRow(change) => {
                // The code itself takes the place of a space.
                self.write(' ', now);
                self.looks = Looks {
                    italic: change.italics(),
                    underline: change.underline(),
                };
            }
            _ => {
                if let Some(character) = code.char() {
                    // An extended character stands in for the plain one before it.
                    if code.needs_backspace() {
                        self.column = self.column.saturating_sub(1);
                    }
                    self.write(character, now);
                }
            }
        }
    }

    fn roll_up(&mut self, rows: u8, now: i64, cues: &mut Vec<Cue>) {
        if !matches!(self.mode, Some(Mode::RollUp(_))) {
            self.ends(now, cues);
            self.shown = Screen::default();
            self.hidden = Screen::default();
            (self.row, self.column) = (ROWS - 1, 0);
        }
        self.mode = Some(Mode::RollUp(rows));
    }

    fn tab(&mut self, columns: u8) {
        self.column = (self.column + columns).min(screen::COLUMNS - 1);
    }

    /// Where text goes to. What begins to be shown begins now.
    fn target(&mut self, now: i64) -> &mut Screen {
        if self.mode == Some(Mode::PopOn) {
            return &mut self.hidden;
        }
        if self.shown.is_empty() {
            self.since = now;
        }
        &mut self.shown
    }

    fn write(&mut self, character: char, now: i64) {
        if matches!(self.mode, None | Some(Mode::Text)) {
            return;
        }
        let (row, column) = (self.row, self.column);
        let cell = Cell::new(character, self.looks);
        self.target(now).put(row, column, cell);
        self.column = (column + 1).min(screen::COLUMNS - 1);
    }

    /// What is shown is not shown like this any more.
    fn ends(&mut self, now: i64, cues: &mut Vec<Cue>) {
        let text = self.shown.text();
        if !text.is_empty() && self.since < now {
            cues.push(Cue {
                start_ms: self.since,
                end_ms: now,
                settings: self.shown.settings(),
                text,
                ..Cue::default()
            });
        }
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pairs as they stand in an SCC file, one a picture of 100 ms; what comes of them as text with its times.
    fn decoded(channel: Channel, field: u8, pairs: &str) -> Vec<(i64, i64, String)> {
        let (mut decoder, mut cues, mut now) = (Decoder::new(channel), Vec::new(), 0);
        for pair in pairs.split_whitespace() {
            let bytes = u16::from_str_radix(pair, 16).unwrap().to_be_bytes();
            decoder.pair(Pair { field, bytes }, now, &mut cues);
            now += 100;
        }
        decoder.finish(now, &mut cues);
        cues.into_iter().map(|cue| (cue.start_ms, cue.end_ms, cue.text)).collect()
    }

    fn brief(found: &[(i64, i64, String)]) -> Vec<(i64, i64, &str)> {
        found.iter().map(|(start, end, text)| (*start, *end, text.as_str())).collect()
    }

    // Codes by CTA-608-E: RCL 9420, EOC 942f, EDM 942c, ENM 94ae, RU2 9425, CR 94ad, RDC 9429, PAC row 15 9470,
    // row 14 13e0 (13 60 with parity: 13 e0), mid-row italics 91ae, white 9120.
    #[test]
    fn each_way_to_show_captions_becomes_cues() {
        type Case<'a> = (&'a str, &'a str, &'a [(i64, i64, &'a str)]);
        let cases: [Case<'_>; 6] = [
            (
                "pop-on, with its codes sent twice",
                "9420 9420 9470 c8e9 942f 942f 8080 942c 942c",
                &[(400, 700, "Hi")],
            ),
            (
                "one after the other",
                "9420 9470 c8e9 942f 9420 94ae 9470 cef7 942f 8080",
                &[(300, 800, "Hi"), (800, 1000, "Nw")],
            ),
            (
                "roll-up",
                "9425 94ad 9470 c8e9 94ad cef7 94ad",
                &[(300, 400, "Hi"), (400, 600, "Hi\nNw"), (600, 700, "Nw")],
            ),
            ("paint-on", "9429 9470 c8e9 a180 8080 942c", &[(200, 500, "Hi!")]),
            (
                "italics in the middle",
                "9420 9470 c880 91ae e980 9120 c880 942f 8080",
                &[(700, 900, "H <i>i</i> H")],
            ),
            (
                "an extended character instead of a plain one",
                "9420 9470 cec1 9220 942f 8080",
                &[(400, 600, "NÁ")],
            ),
        ];
        for (what, pairs, expected) in cases {
            assert_eq!(brief(&decoded(Channel::Cc1, 0, pairs)), expected, "{what}");
        }
    }

    #[test]
    fn other_channels_and_damaged_pairs_are_passed_over() {
        // RCL and EOC of the second channel are 1c20 and 1c2f.
        let both = "9420 9470 c8e9 1c20 cef7 942f 8080";
        assert_eq!(brief(&decoded(Channel::Cc1, 0, both)), [(500, 700, "Hi")]);
        assert!(decoded(Channel::Cc3, 0, both).is_empty(), "the other field");
        assert_eq!(
            brief(&decoded(Channel::Cc1, 0, "9420 9470 c8e9 4869 942f 8080")),
            [(400, 600, "Hi")],
            "wrong parity"
        );
    }

    proptest! {
        #[test]
        fn no_pair_panics(pairs: Vec<[u8; 2]>, sample: Vec<u8>) {
            let (mut decoder, mut cues) = (Decoder::new(Channel::Cc1), Vec::new());
            for (now, mut bytes) in (0..).zip(pairs) {
                for byte in &mut bytes {
                    *byte = if byte.count_ones() % 2 == 0 { *byte ^ 0x80 } else { *byte };
                }
                decoder.pair(Pair { field: 0, bytes }, now, &mut cues);
            }
            decoder.finish(1_000_000, &mut cues);
            prop_assert!(cues.iter().all(|cue| cue.start_ms < cue.end_ms));
            for (hevc, length_size) in [(false, 4), (true, 4), (false, 1)] {
                let _ = CaptionData::of(&sample, Coding { hevc, length_size });
            }
        }
    }
}
