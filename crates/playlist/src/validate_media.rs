//! The linter for Media Playlists.

use std::collections::HashMap;
use std::time::Duration;

use crate::date_range::DateRange;
use crate::key::Method;
use crate::media::{HintKind, MediaPlaylist};
use crate::media_parse::FRACTIONAL_EXTINF;
use crate::position::SourceLine;
use crate::segment::{Part, Segment, Tag};
use crate::validate::{Linter, Needs, check_key, line_of};

impl MediaPlaylist {
    pub(crate) fn lint_into(&self, linter: &mut Linter) {
        self.lint_version(linter);
        self.lint_segments(linter);
        self.lint_server_control(linter);
        self.lint_low_latency(linter);
        self.lint_date_ranges(linter);
        self.lint_whole(linter);
    }

    fn line_of(&self, tag: &str) -> SourceLine {
        line_of(&self.lint, tag)
    }

    /// The segments, and what is behind the last one.
    fn all(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().chain(self.unfinished.as_deref())
    }

    /// The segments before which the keys change.
    fn key_changes(&self) -> impl Iterator<Item = &Segment> {
        let before = std::iter::once(None).chain(self.all().map(Some));
        self.all().zip(before).filter_map(|(segment, before)| {
            let same = before.is_some_and(|b| std::sync::Arc::ptr_eq(b.keys(), segment.keys()));
            (!same).then_some(segment)
        })
    }

    fn lint_version(&self, linter: &mut Linter) {
        let mut needs = Needs::new();
        for key in self.key_changes().flat_map(|s| s.keys().iter()) {
            needs.key(key, self.line_of("EXT-X-KEY"));
        }
        needs.at_least(
            3,
            "a duration with a fraction",
            self.line_of(FRACTIONAL_EXTINF),
            self.lint.lines.contains_key(FRACTIONAL_EXTINF),
        );
        let ranges = self.segments.iter().any(|s| s.byte_range().is_some());
        needs.at_least(4, "EXT-X-BYTERANGE", self.line_of("EXT-X-BYTERANGE"), ranges);
        needs.at_least(4, "EXT-X-I-FRAMES-ONLY", self.line_of("EXT-X-I-FRAMES-ONLY"), self.i_frames_only);
        let maps = self.all().any(|s| s.init().is_some());
        let map_version = if self.i_frames_only { 5 } else { 6 };
        needs.at_least(map_version, "EXT-X-MAP", self.line_of("EXT-X-MAP"), maps);
        needs.defines(&self.defines, self.line_of("EXT-X-DEFINE"));
        let skip = self.line_of("EXT-X-SKIP");
        needs.at_least(9, "EXT-X-SKIP", skip, self.skip.is_some());
        let removed = self.skip.as_ref().is_some_and(|s| !s.recently_removed_date_ranges.is_empty());
        needs.at_least(10, "RECENTLY-REMOVED-DATERANGES", skip, removed);
        needs.check(self.version, &self.lint, linter);
    }

    fn lint_segments(&self, linter: &mut Linter) {
        if let Some(target) = self.target_duration {
            for segment in &self.segments {
                // Compared when rounded to the nearest integer.
                let rounded = (segment.duration() + Duration::from_millis(500)).as_secs();
                if rounded > target.as_secs() {
                    let message = format!(
                        "the segment lasts {:.3} s, more than the Target Duration of {} s",
                        segment.duration().as_secs_f64(),
                        target.as_secs()
                    );
                    linter.error("segment-too-long", "4.4.3.1", segment.line(), message);
                }
            }
        }
        let mut last_date: Option<i64> = None;
        for segment in &self.segments {
            if segment.byte_range().is_some_and(|r| r.length == 0) {
                linter.error("empty-byte-range", "4.4.4.2", segment.line(), "the byte range has no bytes");
            }
            if let Some(date) = segment.stated_program_date_time() {
                if last_date.is_some_and(|last| date.unix_micros() < last) {
                    linter.warning("date-backwards", "4.4.4.6", segment.line(), "the program date-time goes backwards");
                }
                last_date = Some(date.unix_micros());
            }
        }
        for segment in self.key_changes() {
            for key in segment.keys().iter() {
                check_key(key, segment.line(), linter);
            }
        }
        let mut seen = None;
        for (segment, init) in self.all().filter_map(|s| Some((s, s.init()?))) {
            if seen.is_some_and(|held| std::sync::Arc::ptr_eq(held, init)) {
                continue;
            }
            seen = Some(init);
            let implicit = init
                .keys
                .iter()
                .any(|k| k.method == Method::Aes128 && k.is_identity() && k.iv.is_none());
            if implicit {
                let message = "an encrypted Media Initialization Section needs a key with an IV";
                linter.error("map-without-iv", "4.4.4.5", segment.line(), message);
            }
        }
    }

    fn lint_server_control(&self, linter: &mut Linter) {
        let line = self.line_of("EXT-X-SERVER-CONTROL");
        let Some(control) = &self.server_control else {
            if self.skip.is_some() {
                let skip = self.line_of("EXT-X-SKIP");
                linter.error("skip-without-control", "4.4.5.2", skip, "EXT-X-SKIP without CAN-SKIP-UNTIL");
            }
            return;
        };
        let target = self.target_duration.unwrap_or_default();
        if control.can_skip_until.is_some_and(|until| until < target.saturating_mul(6)) {
            linter.error("skip-too-late", "4.4.3.8", line, "CAN-SKIP-UNTIL is less than six Target Durations");
        }
        if control.can_skip_date_ranges && control.can_skip_until.is_none() {
            linter.error(
                "skip-date-ranges-alone",
                "4.4.3.8",
                line,
                "CAN-SKIP-DATERANGES without CAN-SKIP-UNTIL",
            );
        }
        if control.hold_back.is_some_and(|hold| hold < target.saturating_mul(3)) {
            linter.error(
                "hold-back-too-short",
                "4.4.3.8",
                line,
                "HOLD-BACK is less than three Target Durations",
            );
        }
        if let (Some(hold), Some(inf)) = (control.part_hold_back, &self.part_inf) {
            if hold < inf.part_target.saturating_mul(2) {
                linter.error(
                    "part-hold-back-too-short",
                    "4.4.3.8",
                    line,
                    "PART-HOLD-BACK is less than two Part Target Durations",
                );
            } else if hold < inf.part_target.saturating_mul(3) {
                linter.warning(
                    "part-hold-back-short",
                    "4.4.3.8",
                    line,
                    "PART-HOLD-BACK is less than three Part Target Durations",
                );
            }
        }
        if self.skip.is_some() && control.can_skip_until.is_none() {
            let skip = self.line_of("EXT-X-SKIP");
            linter.error("skip-without-control", "4.4.5.2", skip, "EXT-X-SKIP without CAN-SKIP-UNTIL");
        }
    }

    fn lint_low_latency(&self, linter: &mut Linter) {
        let parts = || self.all().flat_map(Segment::parts);
        match &self.part_inf {
            None => {
                if let Some(part) = parts().next() {
                    linter.error("part-without-inf", "4.4.3.7", part.line, "EXT-X-PART without EXT-X-PART-INF");
                }
            }
            Some(inf) => {
                for part in parts().filter(|p| p.duration > inf.part_target) {
                    linter.error(
                        "part-too-long",
                        "4.4.4.9",
                        part.line,
                        "the part lasts longer than the Part Target Duration",
                    );
                }
                if self.server_control.as_ref().is_none_or(|c| c.part_hold_back.is_none()) {
                    let line = self.line_of("EXT-X-PART-INF");
                    linter.error("part-hold-back-missing", "4.4.3.8", line, "EXT-X-PART-INF without PART-HOLD-BACK");
                }
            }
        }
        self.lint_part_durations(linter);
        let mut kinds: Vec<&HintKind> = Vec::new();
        for hint in &self.preload_hints {
            if kinds.contains(&&hint.kind) {
                linter.warning(
                    "repeated-hint",
                    "4.4.5.3",
                    hint.line,
                    "a second EXT-X-PRELOAD-HINT of the same TYPE",
                );
            } else if kinds.len() < 8 {
                kinds.push(&hint.kind);
            }
        }
        for report in &self.rendition_reports {
            if report.uri.as_written().contains("://") {
                linter.error(
                    "absolute-report",
                    "4.4.5.4",
                    report.line,
                    "the URI of EXT-X-RENDITION-REPORT must be relative",
                );
            }
        }
    }

    /// The parts of a finished segment last at least 85% of the Part Target Duration, but for the last (4.4.4.9).
    fn lint_part_durations(&self, linter: &mut Linter) {
        let Some(inf) = &self.part_inf else { return };
        for segment in &self.segments {
            let mut parts: Vec<&Part> = segment.parts().collect();
            parts.pop();
            for part in parts
                .into_iter()
                .filter(|p| p.duration.saturating_mul(100) < inf.part_target.saturating_mul(85))
            {
                linter.error(
                    "part-too-short",
                    "4.4.4.9",
                    part.line,
                    "the part lasts less than 85% of the Part Target Duration",
                );
            }
        }
    }

    fn lint_date_ranges(&self, linter: &mut Linter) {
        let dated = self.all().any(|s| s.stated_program_date_time().is_some());
        if !dated && let Some(range) = self.date_ranges().next() {
            let message = "a playlist with EXT-X-DATERANGE needs EXT-X-PROGRAM-DATE-TIME";
            linter.error("date-range-without-date", "4.4.5.1", range.line, message);
        }
        let mut starts = HashMap::new();
        for range in self.date_ranges() {
            lint_date_range(range, linter);
            if let Some(start) = range.start_date
                && *starts.entry(range.id.as_str()).or_insert(start) != start
            {
                linter.error(
                    "date-range-moved",
                    "4.4.5.1",
                    range.line,
                    "another EXT-X-DATERANGE of this ID has another START-DATE",
                );
            }
        }
    }

    fn lint_whole(&self, linter: &mut Linter) {
        let total = self.duration();
        if let Some(start) = &self.start
            && start.time_offset.abs() > total.as_secs_f64()
            && self.skip.is_none()
        {
            let line = self.line_of("EXT-X-START");
            linter.warning("start-outside", "4.4.2.2", line, "TIME-OFFSET lies outside of the playlist");
        }
        if !self.is_complete()
            && self.skip.is_none()
            && let Some(target) = self.target_duration
            && total < target.saturating_mul(3)
        {
            let message = "a live playlist should last at least three Target Durations";
            linter.warning("short-live-playlist", "6.2.2", SourceLine(0), message);
        }
        if self.segments.is_empty() && self.skip.is_none() {
            linter.note("no-segments", "4.1", SourceLine(0), "the playlist lists no segments");
        }
        for (_, tag) in self.tags() {
            if let Tag::Unknown(text) = tag
                && text.starts_with("#EXT-X-ALLOW-CACHE")
            {
                linter.note("removed-tag", "8", SourceLine(0), "EXT-X-ALLOW-CACHE was removed in version 7");
            }
        }
    }
}

fn lint_date_range(range: &DateRange, linter: &mut Linter) {
    let section = "4.4.5.1";
    let line = range.line;
    match (range.start_date, range.end_date) {
        (None, _) => linter.error("date-range-without-start", section, line, "EXT-X-DATERANGE needs a START-DATE"),
        (Some(start), Some(end)) => {
            if end.unix_micros() < start.unix_micros() {
                linter.error("date-range-backwards", section, line, "END-DATE lies before START-DATE");
            } else if let Some(duration) = range.duration
                && start
                    .after(duration)
                    .is_none_or(|d| d.unix_millis().abs_diff(end.unix_millis()) > 1)
            {
                linter.error("date-range-contradiction", section, line, "END-DATE is not START-DATE and DURATION");
            }
        }
        _ => {}
    }
    if range.end_on_next && range.class.is_none() {
        linter.error("end-on-next-without-class", section, line, "END-ON-NEXT needs a CLASS");
    }
    if range.end_on_next && (range.duration.is_some() || range.end_date.is_some()) {
        linter.error("end-on-next-with-end", section, line, "END-ON-NEXT excludes DURATION and END-DATE");
    }
    let cued = |word| range.cue.iter().any(|c| c == word);
    if cued("PRE") && cued("POST") {
        linter.error("cue-contradiction", section, line, "CUE has both PRE and POST");
    }
    if let Some(interstitial) = range.interstitial()
        && interstitial.asset_uri.is_some() == interstitial.asset_list.is_some()
    {
        let message = "an interstitial needs either X-ASSET-URI or X-ASSET-LIST";
        linter.error("interstitial-without-asset", "D.2", line, message);
    }
}
