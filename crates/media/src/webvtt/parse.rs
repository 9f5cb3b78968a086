//! Reading WebVTT (W3C WebVTT §6.1): forgiving, as the standard asks.

use super::{Cue, Segment, TimestampMap};
use crate::error::Error;

impl Segment {
    /// Reads a segment. Text that is no UTF-8 is read with replacement characters; a cue that cannot be read is
    /// skipped and counted.
    ///
    /// # Errors
    ///
    /// [`Error::NotWebVtt`] without the signature. An empty segment is one without cues: packagers serve nothing
    /// where nobody speaks.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
        let mut segment = Self::default();
        if text.trim().is_empty() {
            return Ok(segment);
        }
        let text = text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "\u{fffd}");
        let rest = text
            .strip_prefix("WEBVTT")
            .filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n']));
        let mut lines = rest.ok_or(Error::NotWebVtt)?.split('\n');
        // What stands behind the signature in its line is a comment; the header goes on to the first empty line.
        lines.next();
        let mut block: Vec<&str> = Vec::new();
        let mut in_header = true;
        for line in lines.chain([""]) {
            if in_header && !line.is_empty() && !line.contains("-->") {
                segment.header(line);
                continue;
            }
            in_header = false;
            // An arrow begins a cue even where the empty line before it is missing.
            let new_cue = line.contains("-->") && block.iter().any(|before| before.contains("-->"));
            if line.is_empty() || new_cue {
                segment.take(&block);
                block.clear();
            }
            if !line.is_empty() {
                block.push(line);
            }
        }
        Ok(segment)
    }

    fn header(&mut self, line: &str) {
        if let Some(map) = line.strip_prefix("X-TIMESTAMP-MAP") {
            self.map = timestamp_map(map).or(self.map);
        }
    }

    fn take(&mut self, block: &[&str]) {
        let arrow = block.iter().take(2).any(|line| line.contains("-->"));
        match block {
            [] => {}
            // Behind an empty line it is no header any more, but that is where some servers put it.
            [line] if !arrow && line.starts_with("X-TIMESTAMP-MAP") => self.header(line),
            [first, ..] if !arrow && (is_note(first) || matches!(first.trim_end(), "STYLE" | "REGION")) => {
                // Later ones are comments on single cues, or none of the standard's.
                let block = Some(block.join("\n")).filter(|_| self.cues.is_empty());
                self.blocks.extend(block);
            }
            [times, text @ ..] if times.contains("-->") => self.cue(None, times, text),
            [id, times, text @ ..] if times.contains("-->") => self.cue(Some(id), times, text),
            _ => {}
        }
    }

    fn cue(&mut self, id: Option<&str>, times: &str, text: &[&str]) {
        let parsed = (|| {
            let (start, rest) = times.split_once("-->")?;
            let rest = rest.trim_start();
            let (end, settings) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
            Some(Cue {
                id: id.map(str::to_owned),
                start_ms: timestamp(start.trim())?,
                end_ms: timestamp(end.trim())?,
                settings: settings.trim().to_owned(),
                text: text.join("\n"),
            })
        })();
        match parsed {
            Some(cue) if cue.end_ms >= cue.start_ms => self.cues.push(cue),
            _ => self.broken_cues += 1,
        }
    }
}

fn is_note(line: &str) -> bool {
    line.strip_prefix("NOTE")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

/// `=MPEGTS:<ticks>,LOCAL:<time>` in either order (RFC 8216 §3.5).
fn timestamp_map(text: &str) -> Option<TimestampMap> {
    let mut map = TimestampMap::default();
    for field in text.trim_start().strip_prefix('=')?.split(',') {
        let (name, value) = field.split_once(':')?;
        match name.trim() {
            "MPEGTS" => map.mpegts = value.trim().parse().ok()?,
            "LOCAL" => map.local_ms = timestamp(value.trim())?,
            _ => {}
        }
    }
    Some(map)
}

/// `[hours:]minutes:seconds.milliseconds` (§4.1) as milliseconds. Hours may have any number of digits.
pub(crate) fn timestamp(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once(['.', ','])?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i64>().ok())?;
    let millis = if fraction.len() == 3 { digits(fraction)? } else { return None };
    let mut parts = clock.rsplit(':');
    let seconds = digits(parts.next()?)?;
    let minutes = digits(parts.next()?)?;
    let hours = parts.next().map_or(Some(0), digits)?;
    if parts.next().is_some() || minutes > 59 || seconds > 59 || hours > 1_000_000 {
        return None;
    }
    Some(((hours * 60 + minutes) * 60 + seconds) * 1000 + millis)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_those_of_the_standard() {
        for (text, expected) in [
            ("00:00.000", Some(0)),
            ("01:02.003", Some(62_003)),
            ("01:02:03.004", Some(3_723_004)),
            ("123:00:00.000", Some(442_800_000)),
            ("60:00.000", None),
            ("00:60.000", None),
            ("00:00", None),
            ("00:00.00", None),
            ("-1:00.000", None),
            ("1:2:3:4.000", None),
            ("", None),
        ] {
            assert_eq!(timestamp(text), expected, "{text}");
        }
    }

    #[test]
    fn a_segment_is_read_with_all_that_may_stand_in_it() {
        let text = "\u{feff}WEBVTT - a title\r\nX-TIMESTAMP-MAP=LOCAL:00:00:01.000,MPEGTS:900000\r\n\r\n\
            STYLE\r\n::cue { color: red }\r\n\r\nNOTE nothing\r\nto see\r\n\r\n\
            first\r\n00:01.000 --> 00:02.000 align:start line:0\r\nTwo\r\nlines\r\n\r\n\
            00:03.000 --> 00:04.000\r\nNo empty line\r\n00:05.000 --> 00:06.000\r\n\r\n\
            00:09.000 --> broken\r\nLost";
        let segment = Segment::parse(text.as_bytes()).unwrap();
        assert_eq!(
            segment.map,
            Some(TimestampMap {
                mpegts: 900_000,
                local_ms: 1000
            })
        );
        assert_eq!(segment.blocks, ["STYLE\n::cue { color: red }", "NOTE nothing\nto see"]);
        assert_eq!(segment.broken_cues, 1);
        let cues: Vec<_> = segment
            .cues
            .iter()
            .map(|cue| (cue.id.as_deref(), cue.start_ms, cue.text.as_str()))
            .collect();
        assert_eq!(
            cues,
            [(Some("first"), 1000, "Two\nlines"), (None, 3000, "No empty line"), (None, 5000, "")]
        );
        assert_eq!(segment.cues[0].settings, "align:start line:0");
    }

    #[test]
    fn only_text_with_the_signature_or_nothing_is_a_segment() {
        for (text, good) in [
            ("", true),
            (" \n", true),
            ("WEBVTT", true),
            ("WEBVTT\n", true),
            ("WEBVTTX", false),
            ("<html>", false),
        ] {
            assert_eq!(Segment::parse(text.as_bytes()).is_ok(), good, "{text:?}");
        }
    }

    #[test]
    fn the_map_is_found_where_servers_put_it() {
        let map = |mpegts, local_ms| Some(TimestampMap { mpegts, local_ms });
        for (head, expected) in [
            ("", None),
            ("X-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:10.000", map(900_000, 10_000)),
            ("X-TIMESTAMP-MAP=LOCAL:00:00.000, MPEGTS:8589934591", map(8_589_934_591, 0)),
            ("\nX-TIMESTAMP-MAP=MPEGTS:1,LOCAL:00:00.000", map(1, 0)),
            ("X-TIMESTAMP-MAP=MPEGTS:-1,LOCAL:00:00.000", None),
            ("X-TIMESTAMP-MAP:MPEGTS:1", None),
        ] {
            let segment = Segment::parse(format!("WEBVTT\n{head}\n\n00:01.000 --> 00:02.000\nx").as_bytes()).unwrap();
            assert_eq!((segment.map, segment.cues.len()), (expected, 1), "{head}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = Segment::parse(text.as_bytes());
            let _ = Segment::parse(format!("WEBVTT\nX-TIMESTAMP-MAP{text}\n\n{text}\n-->{text}").as_bytes());
        }
    }
}
