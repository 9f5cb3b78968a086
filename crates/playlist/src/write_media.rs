//! Writing Media Playlists.

use std::fmt;
use std::sync::Arc;

use crate::date_range::DateRange;
use crate::key::{InitSection, Key};
use crate::media::{MediaPlaylist, PreloadHint, RenditionReport, ServerControl};
use crate::number::{Billionths, Hex, nanos};
use crate::segment::{Part, Segment, Tag};
use crate::write::Output;

impl fmt::Display for MediaPlaylist {
    /// The text of the playlist: what is parsed from it equals this playlist.
    ///
    /// URIs are written as they were read, byte ranges with their offsets, dates and durations with as many
    /// digits as it takes. Variable references stay expanded.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut head = Output::default();
        head.line("#EXTM3U");
        head.option("EXT-X-VERSION", self.version);
        let mut body = Output::default();
        self.write_header(&mut body);
        let mut state = State {
            keys: Vec::new(),
            init: None,
            bitrate: None,
            discontinuity_sequence: self.discontinuity_sequence,
        };
        for segment in &self.segments {
            state.write(segment, &mut body);
            if let Some(range) = segment.byte_range() {
                body.value("EXT-X-BYTERANGE", range);
            }
            let duration = Billionths(segment.duration);
            body.value("EXTINF", format_args!("{duration},{}", segment.title().unwrap_or_default()));
            body.line(segment.uri_as_written());
        }
        if let Some(unfinished) = &self.unfinished {
            state.write(unfinished, &mut body);
        }
        for hint in &self.preload_hints {
            write_hint(hint, &mut body);
        }
        for report in &self.rendition_reports {
            write_report(report, &mut body);
        }
        body.flag("EXT-X-ENDLIST", self.end_list);
        f.write_str(&head.with_defines(&self.defines, &body.0))
    }
}

impl MediaPlaylist {
    fn write_header(&self, out: &mut Output) {
        out.flag("EXT-X-INDEPENDENT-SEGMENTS", self.independent_segments);
        out.start(self.start.as_ref());
        out.option("EXT-X-TARGETDURATION", self.target_duration.map(|d| d.as_secs()));
        if self.media_sequence > 0 {
            out.value("EXT-X-MEDIA-SEQUENCE", self.media_sequence);
        }
        if self.discontinuity_sequence > 0 {
            out.value("EXT-X-DISCONTINUITY-SEQUENCE", self.discontinuity_sequence);
        }
        out.option("EXT-X-PLAYLIST-TYPE", self.playlist_type.map(|t| t.as_str()));
        out.flag("EXT-X-I-FRAMES-ONLY", self.i_frames_only);
        if let Some(inf) = &self.part_inf {
            out.attributes("EXT-X-PART-INF", |list| {
                list.plain("PART-TARGET", Billionths(nanos(inf.part_target)));
                list.others(&inf.other);
            });
        }
        if let Some(control) = &self.server_control {
            write_control(control, out);
        }
        if let Some(skip) = &self.skip {
            out.attributes("EXT-X-SKIP", |list| {
                list.plain("SKIPPED-SEGMENTS", skip.skipped_segments);
                list.joined("RECENTLY-REMOVED-DATERANGES", &skip.recently_removed_date_ranges, "\t");
                list.others(&skip.other);
            });
        }
    }
}

/// What the tags written so far put into force.
struct State {
    keys: Vec<Key>,
    init: Option<Arc<InitSection>>,
    bitrate: Option<u64>,
    discontinuity_sequence: u64,
}

/// The most `EXT-X-DISCONTINUITY` tags written before one segment. What was parsed has as many as its text;
/// a delta update of a hostile server could claim any number.
const MOST_DISCONTINUITIES: u64 = 1 << 16;

impl State {
    /// Writes what stands before the byte range and duration of a segment.
    fn write(&mut self, segment: &Segment, out: &mut Output) {
        let shared = &*segment.shared;
        let steps = shared.discontinuity_sequence.saturating_sub(self.discontinuity_sequence);
        for _ in 0..steps.max(u64::from(segment.discontinuity)).min(MOST_DISCONTINUITIES) {
            out.line("#EXT-X-DISCONTINUITY");
        }
        self.discontinuity_sequence = shared.discontinuity_sequence;
        if let Some(init) = &shared.init
            && self.init.as_ref().is_none_or(|held| !Arc::ptr_eq(held, init) && held != init)
        {
            self.change_keys(&init.keys, out);
            write_init(init, out);
            self.init = Some(Arc::clone(init));
        }
        self.change_keys(&shared.keys, out);
        if shared.bitrate != self.bitrate {
            out.option("EXT-X-BITRATE", shared.bitrate);
            self.bitrate = shared.bitrate;
        }
        out.option("EXT-X-PROGRAM-DATE-TIME", segment.stated_program_date_time());
        out.flag("EXT-X-GAP", segment.gap);
        for tag in segment.tags() {
            match tag {
                Tag::DateRange(range) => write_date_range(range, out),
                Tag::Part(part) => write_part(part, out),
                Tag::Cue(cue) if cue.value.is_empty() => out.flag(cue.tag_name(), true),
                Tag::Cue(cue) => out.value(cue.tag_name(), &cue.value),
                Tag::Unknown(line) => out.line(line),
            }
        }
    }

    /// Puts `keys` into force, and no others.
    fn change_keys(&mut self, keys: &[Key], out: &mut Output) {
        if *self.keys == *keys {
            return;
        }
        // A key replaces the one of its format where that stands, and is the last one otherwise.
        let mut reached = self.keys.clone();
        for key in keys {
            match reached.iter_mut().find(|k| k.key_format == key.key_format) {
                Some(held) => *held = key.clone(),
                None => reached.push(key.clone()),
            }
        }
        if *reached != *keys {
            out.line("#EXT-X-KEY:METHOD=NONE");
            self.keys.clear();
        }
        for key in keys.iter().filter(|k| !self.keys.contains(k)) {
            out.key("EXT-X-KEY", key);
        }
        self.keys = keys.to_vec();
    }
}

fn write_init(init: &InitSection, out: &mut Output) {
    out.attributes("EXT-X-MAP", |list| {
        list.quoted("URI", init.uri.as_written());
        if let Some(range) = init.byte_range {
            list.quoted("BYTERANGE", &range.to_string());
        }
        list.others(&init.other);
    });
}

fn write_part(part: &Part, out: &mut Output) {
    out.attributes("EXT-X-PART", |list| {
        let duration = nanos(part.duration);
        list.maybe_plain("DURATION", (duration > 0).then_some(Billionths(duration)));
        list.quoted("URI", part.uri.as_written());
        if let Some(range) = part.byte_range {
            list.quoted("BYTERANGE", &range.to_string());
        }
        list.yes("INDEPENDENT", part.independent);
        list.yes("GAP", part.gap);
        list.others(&part.other);
    });
}

fn write_date_range(range: &DateRange, out: &mut Output) {
    out.attributes("EXT-X-DATERANGE", |list| {
        list.quoted("ID", &range.id);
        list.maybe_quoted("CLASS", range.class.as_deref());
        list.maybe_plain("START-DATE", range.start_date.map(Quoted));
        list.joined("CUE", &range.cue, ",");
        list.maybe_plain("END-DATE", range.end_date.map(Quoted));
        list.maybe_plain("DURATION", range.duration.map(|d| Billionths(nanos(d))));
        list.maybe_plain("PLANNED-DURATION", range.planned_duration.map(|d| Billionths(nanos(d))));
        list.maybe_plain("SCTE35-CMD", range.scte35_cmd.as_deref().map(Hex));
        list.maybe_plain("SCTE35-OUT", range.scte35_out.as_deref().map(Hex));
        list.maybe_plain("SCTE35-IN", range.scte35_in.as_deref().map(Hex));
        list.yes("END-ON-NEXT", range.end_on_next);
        list.others(&range.other);
    });
}

impl fmt::Display for DateRange {
    /// The tag, without the end of its line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Output::default();
        write_date_range(self, &mut out);
        f.write_str(out.0.trim_end_matches('\n'))
    }
}

struct Quoted<T>(T);

impl<T: fmt::Display> fmt::Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

fn write_control(control: &ServerControl, out: &mut Output) {
    out.attributes("EXT-X-SERVER-CONTROL", |list| {
        list.yes("CAN-BLOCK-RELOAD", control.can_block_reload);
        list.maybe_plain("CAN-SKIP-UNTIL", control.can_skip_until.map(|d| Billionths(nanos(d))));
        list.yes("CAN-SKIP-DATERANGES", control.can_skip_date_ranges);
        list.maybe_plain("HOLD-BACK", control.hold_back.map(|d| Billionths(nanos(d))));
        list.maybe_plain("PART-HOLD-BACK", control.part_hold_back.map(|d| Billionths(nanos(d))));
        list.others(&control.other);
    });
}

fn write_hint(hint: &PreloadHint, out: &mut Output) {
    out.attributes("EXT-X-PRELOAD-HINT", |list| {
        if !hint.kind.as_str().is_empty() {
            list.plain("TYPE", hint.kind.as_str());
        }
        list.quoted("URI", hint.uri.as_written());
        if hint.byte_range_start > 0 {
            list.plain("BYTERANGE-START", hint.byte_range_start);
        }
        list.maybe_plain("BYTERANGE-LENGTH", hint.byte_range_length);
        list.others(&hint.other);
    });
}

fn write_report(report: &RenditionReport, out: &mut Output) {
    out.attributes("EXT-X-RENDITION-REPORT", |list| {
        list.quoted("URI", report.uri.as_written());
        list.maybe_plain("LAST-MSN", report.last_msn);
        list.maybe_plain("LAST-PART", report.last_part);
        list.others(&report.other);
    });
}
