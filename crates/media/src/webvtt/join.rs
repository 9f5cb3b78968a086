//! One sequence of cues from segments that repeat and cut them.

use std::{
    collections::{HashSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    mem,
};

use serde::{Deserialize, Serialize};

use super::{Cue, Segment, markup::shifted};

/// A cue that ended so long before the newest segment is not cut by that segment, nor by any later one.
const HOLD_MS: i64 = 10_000;
/// Cues that wait at most, and the bytes of their text.
const MAX_OPEN: usize = 512;
const MAX_OPEN_BYTES: usize = 1 << 20;
/// Cues that a repetition is told by: some servers send the whole text in every segment.
const MAX_SEEN: usize = 1 << 16;
/// Blocks that are kept for the head of the file, and the bytes of their text.
const MAX_BLOCKS: usize = 64;
const MAX_BLOCK_BYTES: usize = 1 << 18;
/// Segmenters round times differently from one segment to the next.
const SLACK_MS: i64 = 2;
/// How far the boundary of a segment may lie from where its playlist says.
const BOUNDARY_MS: i64 = 1000;
/// A cue that began so long ago waits for no segment that may go on with it where others wait for the cue.
const PATIENCE_MS: i64 = 20_000;

/// What a [`Joiner`] left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// Cues that are there already, or that only go on from one.
    pub repeated_cues: u64,
    /// Blocks with times that cannot be read.
    pub broken_cues: u64,
    /// `STYLE`, `REGION` and `NOTE` blocks that came when cues had been handed on already, or were too many.
    pub late_blocks: u64,
}

/// Joins the cues of segments, without those that segments repeat, and hands them on in order.
///
/// It keeps what the next segment may still change: a cue goes out 10 seconds of playing time after it ended.
///
/// It can be put aside and taken up again by another process. Serialised, its memory of repetitions is what came since it
/// was last [marked as saved](Self::mark_saved), and [`put_behind`](Self::put_behind) joins such parts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Joiner {
    blocks: Vec<String>,
    block_bytes: usize,
    /// In the order of their beginnings, each with the number of the segment that had it first.
    open: VecDeque<(Cue, u64)>,
    open_bytes: usize,
    seen: Seen,
    segments: u64,
    handed_on: bool,
    /// When the last cue ends of those that came since cues were handed on.
    newest_end_ms: Option<i64>,
    stats: Stats,
}

/// Digests of the last cues.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<u64>", into = "Vec<u64>")]
struct Seen {
    set: HashSet<u64>,
    order: VecDeque<u64>,
    /// How many at the end of `order` are not saved yet.
    fresh: usize,
}

impl Seen {
    /// Whether it is new.
    fn insert(&mut self, cue: &Cue) -> bool {
        let mut hasher = DefaultHasher::new();
        (cue.start_ms, cue.end_ms, &cue.settings, &cue.text).hash(&mut hasher);
        self.add(hasher.finish())
    }

    fn add(&mut self, digest: u64) -> bool {
        if !self.set.insert(digest) {
            return false;
        }
        if self.order.len() == MAX_SEEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        self.order.push_back(digest);
        self.fresh = (self.fresh + 1).min(MAX_SEEN);
        true
    }
}

impl From<Seen> for Vec<u64> {
    fn from(seen: Seen) -> Self {
        seen.order.into_iter().rev().take(seen.fresh).rev().collect()
    }
}

impl From<Vec<u64>> for Seen {
    fn from(digests: Vec<u64>) -> Self {
        let mut seen = Self::default();
        for digest in digests {
            seen.add(digest);
        }
        seen
    }
}

impl Joiner {
    /// Takes the next segment, with what is to be added to its times, in milliseconds, and appends to `ready` the
    /// cues that are complete. What ends before time 0 is left out.
    pub fn push(&mut self, segment: Segment, shift_ms: i64, ready: &mut Vec<Cue>) {
        self.segments += 1;
        self.stats.broken_cues += segment.broken_cues;
        for block in segment.blocks {
            self.block(block);
        }
        let mut now = None;
        for mut cue in segment.cues {
            cue.start_ms = cue.start_ms.saturating_add(shift_ms);
            cue.end_ms = cue.end_ms.saturating_add(shift_ms);
            if let Some(text) = shifted(&cue.text, shift_ms) {
                cue.text = text;
            }
            now.get_or_insert(cue.start_ms);
            self.newest_end_ms = self.newest_end_ms.max(Some(cue.end_ms));
            if cue.end_ms > 0 {
                cue.start_ms = cue.start_ms.max(0);
                self.add(cue);
            }
        }
        if let Some(now) = now {
            let over = |front: &(Cue, u64)| front.0.end_ms.saturating_add(HOLD_MS) < now;
            while self.open.front().is_some_and(over) || self.open.len() > MAX_OPEN || self.open_bytes > MAX_OPEN_BYTES {
                let Some((cue, _)) = self.open.pop_front() else { break };
                self.open_bytes -= weight(&cue);
                self.handed_on = true;
                ready.push(cue);
            }
        }
    }

    /// Appends the cues that the next segment cannot go on with any more, for who cannot wait for long: `until_ms` is how
    /// far the segments have come. What waits in spite of that ends where a segment does, or stands behind one that does,
    /// and began 20 seconds ago at most.
    pub fn hand_on(&mut self, until_ms: i64, ready: &mut Vec<Cue>) {
        let boundary = until_ms.saturating_sub(BOUNDARY_MS);
        let boundary = self
            .newest_end_ms
            .take()
            .map_or(boundary, |end| boundary.min(end))
            .saturating_sub(SLACK_MS);
        let impatient = until_ms.saturating_sub(PATIENCE_MS);
        while let Some((cue, _)) = self.open.pop_front_if(|(cue, _)| cue.end_ms < boundary || cue.start_ms < impatient) {
            self.open_bytes -= weight(&cue);
            self.handed_on = true;
            ready.push(cue);
        }
    }

    /// When the first of the cues begins that wait, in milliseconds.
    #[must_use]
    pub fn waits_from(&self) -> Option<i64> {
        self.open.front().map(|(cue, _)| cue.start_ms)
    }

    /// No more segments: appends the cues that are left.
    pub fn finish(&mut self, ready: &mut Vec<Cue>) {
        self.open_bytes = 0;
        self.handed_on = true;
        ready.extend(mem::take(&mut self.open).into_iter().map(|(cue, _)| cue));
    }

    /// `STYLE`, `REGION` and `NOTE` blocks for the head of the file. They are all there is once a cue was handed on.
    #[must_use]
    pub fn blocks(&self) -> &[String] {
        &self.blocks
    }

    /// What was left out so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What was serialised just now is safe: the next time it is left out.
    pub fn mark_saved(&mut self) {
        self.seen.fresh = 0;
    }

    /// Makes this, which was serialised after `earlier` was marked as saved, the whole.
    pub fn put_behind(&mut self, earlier: Self) {
        let fresh = mem::replace(&mut self.seen, earlier.seen);
        for digest in fresh.order {
            self.seen.add(digest);
        }
        self.mark_saved();
    }

    fn block(&mut self, block: String) {
        if self.blocks.contains(&block) {
            return;
        }
        if self.handed_on || self.blocks.len() == MAX_BLOCKS || self.block_bytes + block.len() > MAX_BLOCK_BYTES {
            self.stats.late_blocks += 1;
            return;
        }
        self.block_bytes += block.len();
        self.blocks.push(block);
    }

    /// Adds a cue, unless one says the same: at the same time, or up to the moment where this one begins in a
    /// segment of its own (packagers cut cues at segment boundaries).
    fn add(&mut self, cue: Cue) {
        if !self.seen.insert(&cue) {
            self.stats.repeated_cues += 1;
            return;
        }
        let segment = self.segments;
        let same = |(known, in_segment): &(Cue, u64)| {
            let alike = known.text == cue.text && known.settings == cue.settings;
            let again = (known.start_ms - cue.start_ms).abs() <= SLACK_MS;
            let goes_on = *in_segment != segment
                && same_id(known, &cue)
                && known.end_ms.saturating_add(SLACK_MS) >= cue.start_ms
                && known.start_ms <= cue.start_ms;
            alike && (again || goes_on)
        };
        if let Some(at) = self.open.iter().rposition(same) {
            let (known, in_segment) = &mut self.open[at];
            known.end_ms = known.end_ms.max(cue.end_ms);
            *in_segment = segment;
            self.stats.repeated_cues += 1;
            return;
        }
        self.open_bytes += weight(&cue);
        let at = self
            .open
            .partition_point(|(known, _)| (known.start_ms, known.end_ms) <= (cue.start_ms, cue.end_ms));
        self.open.insert(at, (cue, segment));
    }
}

/// Identifiers that only count say nothing: they start over in each segment.
fn same_id(a: &Cue, b: &Cue) -> bool {
    let name = |cue: &Cue| cue.id.clone().filter(|id| !id.bytes().all(|byte| byte.is_ascii_digit()));
    name(a) == name(b)
}

fn weight(cue: &Cue) -> usize {
    cue.text.len() + cue.settings.len() + cue.id.as_ref().map_or(0, String::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(cues: &str) -> Segment {
        Segment::parse(format!("WEBVTT\n\n{cues}").as_bytes()).unwrap()
    }

    fn joined<'a>(segments: impl IntoIterator<Item = &'a str>) -> Vec<Cue> {
        let (mut joiner, mut cues) = (Joiner::default(), Vec::new());
        for text in segments {
            joiner.push(segment(text), 0, &mut cues);
        }
        joiner.finish(&mut cues);
        cues
    }

    #[test]
    fn a_cue_that_segments_repeat_or_cut_is_one_cue() {
        for (second, cues, end) in [
            ("00:05.000 --> 00:07.000\nHi", 1, 7000),
            ("00:05.001 --> 00:07.000\nHi", 1, 7000),
            // Cut at the boundary: 5 to 7, then 7 to 9.
            ("00:07.000 --> 00:09.000\nHi", 1, 9000),
            ("2\n00:07.000 --> 00:09.000\nHi", 1, 9000),
            ("second\n00:07.000 --> 00:09.000\nHi", 2, 7000),
            ("00:08.000 --> 00:09.000\nHi", 2, 7000),
            ("00:05.000 --> 00:07.000\nHo", 2, 7000),
            ("00:05.000 --> 00:07.000 line:0\nHi", 2, 7000),
        ] {
            let joined = joined(["00:05.000 --> 00:07.000\nHi", second]);
            assert_eq!(joined.len(), cues, "{second}");
            assert_eq!(joined[0].end_ms, end, "{second}");
        }
        assert_eq!(
            joined(["00:05.000 --> 00:07.000\nNo.\n\n00:07.000 --> 00:08.000\nNo."]).len(),
            2,
            "said twice"
        );
    }

    #[test]
    fn the_whole_text_in_every_segment_is_there_once() {
        let text: String = (0..2000)
            .map(|n| {
                format!(
                    "{:02}:{:02}:{:02}.000 --> 99:00:00.000\nline {n}\n\n",
                    n / 3600,
                    n / 60 % 60,
                    n % 60
                )
            })
            .collect();
        let cues = joined([text.as_str(); 3]);
        assert_eq!(cues.len(), 2000);
        assert!(cues.is_sorted_by_key(|cue| cue.start_ms));
    }

    #[test]
    fn a_cue_goes_out_when_no_segment_can_change_it_any_more() {
        let (mut joiner, mut cues) = (Joiner::default(), Vec::new());
        joiner.push(
            segment("STYLE\n::cue {}\n\n00:03.000 --> 00:04.000\nb\n\n00:01.000 --> 00:02.000\na"),
            0,
            &mut cues,
        );
        joiner.push(segment("00:12.500 --> 00:13.000\nc"), 0, &mut cues);
        let texts = |cues: &[Cue]| cues.iter().map(|cue| cue.text.clone()).collect::<String>();
        assert_eq!(texts(&cues), "a");
        joiner.push(segment("STYLE\nlate\n\n00:20.000 --> 00:21.000\nd"), 0, &mut cues);
        assert_eq!(texts(&cues), "ab");
        joiner.finish(&mut cues);
        assert_eq!(texts(&cues), "abcd");
        assert_eq!((joiner.blocks().len(), joiner.stats().late_blocks), (1, 1));
    }

    #[test]
    fn who_cannot_wait_gets_all_but_what_the_next_segment_may_go_on_with() {
        let (mut joiner, mut cues) = (Joiner::default(), Vec::new());
        let mut turn = |until_ms, text: &str| {
            joiner.push(segment(text), 0, &mut cues);
            joiner.hand_on(until_ms, &mut cues);
            let turn: Vec<_> = cues.drain(..).map(|cue| (cue.start_ms, cue.end_ms, cue.text)).collect();
            (turn, joiner.waits_from())
        };
        let cue = |start, end, text: &str| (start, end, text.to_owned());
        assert_eq!(
            turn(6000, "00:01.000 --> 00:02.000\na\n\n00:04.000 --> 00:06.000\nb"),
            (vec![cue(1000, 2000, "a")], Some(4000))
        );
        assert_eq!(turn(12_000, "00:06.000 --> 00:12.000\nb"), (vec![], Some(4000)));
        // A playlist whose durations are rounded down is behind.
        assert_eq!(
            turn(16_000, "00:12.000 --> 00:13.000\nb\n\n00:17.000 --> 00:18.000\nc"),
            (vec![cue(4000, 13_000, "b")], Some(17_000))
        );
        // One whose durations are rounded up is ahead.
        assert_eq!(turn(26_000, "00:18.000 --> 00:24.000\nc"), (vec![], Some(17_000)));
        assert_eq!(turn(32_000, ""), (vec![cue(17_000, 24_000, "c")], None));
        // What goes on for too long is cut after all.
        assert_eq!(turn(38_000, "00:33.000 --> 00:38.000\nd"), (vec![], Some(33_000)));
        assert_eq!(turn(60_000, "00:38.000 --> 01:00.000\nd"), (vec![cue(33_000, 60_000, "d")], None));
    }

    #[test]
    fn times_within_the_text_move_with_the_cue() {
        for (text, shift, expected) in [
            ("<00:05.000>ka<00:00:06.500>ra", 3_600_000, "<01:00:05.000>ka<01:00:06.500>ra"),
            ("<00:05.000>ka", -6000, "<00:00:00.000>ka"),
            ("<00:05.000>ka", 0, "<00:05.000>ka"),
            ("<i>00:05.000</i> <5> <00:05", 1000, "<i>00:05.000</i> <5> <00:05"),
        ] {
            let (mut joiner, mut cues) = (Joiner::default(), Vec::new());
            joiner.push(segment(&format!("00:07.000 --> 00:09.000\n{text}")), shift, &mut cues);
            joiner.finish(&mut cues);
            assert_eq!(cues[0].text, expected);
        }
    }

    #[test]
    fn cues_before_the_beginning_are_cut_or_left_out() {
        let (mut joiner, mut cues) = (Joiner::default(), Vec::new());
        joiner.push(
            segment("00:01.000 --> 00:02.000\na\n\n00:02.500 --> 00:04.000\nb"),
            -3000,
            &mut cues,
        );
        joiner.finish(&mut cues);
        assert_eq!(cues.iter().map(|cue| (cue.start_ms, cue.end_ms)).collect::<Vec<_>>(), [(0, 1000)]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut joiner, mut cues) = (Joiner::default(), Vec::new());
        for n in 0..2000_u32 {
            let text = format!("NOTE {n}\n\n00:{:02}.{:03} --> 99:00:00.000\n{n}", n / 1000, n % 1000);
            joiner.push(segment(&text), 0, &mut cues);
            assert!(joiner.open.len() <= MAX_OPEN && joiner.blocks.len() <= MAX_BLOCKS);
        }
        assert_eq!(cues.len(), 2000 - MAX_OPEN);
    }
}
