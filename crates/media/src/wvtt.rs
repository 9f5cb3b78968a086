//! WebVTT in ISO BMFF (ISO 14496-30 §7): samples that hold cues without their times.

use bytes::Bytes;

use crate::{
    boxes::Boxes,
    error::Error,
    webvtt::{Cue, Segment, has_times, shifted, time, timestamp},
};

/// The cues of a sample that is shown from `start_ms` to `end_ms`. Times within their text count as these do: where a cue
/// says what the time in its text is at the beginning of the sample (`ctim`), they are moved by that.
///
/// # Errors
///
/// A box that does not fit into the sample.
pub fn sample(data: &[u8], start_ms: i64, end_ms: i64) -> Result<Segment, Error> {
    let mut segment = Segment::default();
    for found in Boxes::new(data) {
        let found = found?;
        // vtte says that nothing is shown, vtta holds a comment.
        if &found.kind != b"vttc" {
            continue;
        }
        let mut cue = Cue {
            start_ms,
            end_ms,
            ..Cue::default()
        };
        let mut text_ms = start_ms;
        for part in found.children(0) {
            let part = part?;
            let text = || normal(part.body);
            match &part.kind {
                b"iden" => cue.id = Some(line(&text())).filter(|id| !id.is_empty()),
                b"ctim" => text_ms = timestamp(line(&text()).as_str()).unwrap_or(start_ms),
                b"sttg" => cue.settings = line(&text()),
                b"payl" => cue.text = text().trim_matches('\n').replace("-->", "--&gt;"),
                _ => {}
            }
        }
        if let Some(text) = shifted(&cue.text, start_ms.saturating_sub(text_ms)) {
            cue.text = text;
        }
        if cue.text.is_empty() {
            segment.broken_cues += 1;
        } else {
            segment.cues.push(cue);
        }
    }
    Ok(segment)
}

/// `STYLE` and `REGION` blocks from the header that a `wvtt` sample entry has (its `vttC` box).
#[must_use]
pub fn blocks(sample_entry: &[u8]) -> Vec<String> {
    // SampleEntry: six reserved bytes and the data reference.
    let entry = Boxes::new(sample_entry).next().and_then(Result::ok);
    let config = entry.and_then(|entry| entry.children(8).flatten().find(|child| &child.kind == b"vttC"));
    config
        .and_then(|config| Segment::parse(config.body).ok())
        .map(|segment| segment.blocks)
        .unwrap_or_default()
}

/// A `wvtt` sample entry whose header has these blocks.
#[must_use]
pub fn sample_entry(blocks: &[String]) -> Bytes {
    let mut header = "WEBVTT".to_owned();
    for block in blocks {
        header.push_str("\n\n");
        header.push_str(block);
    }
    let config = boxed(*b"vttC", header.as_bytes());
    boxed(*b"wvtt", &[&[0, 0, 0, 0, 0, 0, 0, 1], config.as_slice()].concat()).into()
}

/// A sample that shows these cues at once, from `start_ms` on; without any, one that shows nothing.
#[must_use]
pub fn encode(cues: &[&Cue], start_ms: i64) -> Vec<u8> {
    if cues.is_empty() {
        return boxed(*b"vtte", &[]);
    }
    let mut sample = Vec::new();
    for cue in cues {
        let mut parts = Vec::new();
        if let Some(id) = &cue.id {
            parts.extend(boxed(*b"iden", id.as_bytes()));
        }
        if has_times(&cue.text) {
            parts.extend(boxed(*b"ctim", time(start_ms, '.').as_bytes()));
        }
        if !cue.settings.is_empty() {
            parts.extend(boxed(*b"sttg", cue.settings.as_bytes()));
        }
        parts.extend(boxed(*b"payl", cue.text.as_bytes()));
        sample.extend(boxed(*b"vttc", &parts));
    }
    sample
}

fn boxed(kind: [u8; 4], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).unwrap_or(u32::MAX);
    [&size.to_be_bytes()[..], &kind, body].concat()
}

fn normal(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n");
    let text = text.replace('\0', "");
    // An empty line would end the cue in a file.
    text.split('\n').filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

fn line(text: &str) -> String {
    text.replace('\n', " ").replace("-->", "").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cue(text: &str) -> Cue {
        Cue {
            id: Some("7".into()),
            start_ms: 1000,
            end_ms: 2000,
            settings: "line:0".into(),
            text: text.into(),
        }
    }

    #[test]
    fn boxes_are_those_of_the_standard() {
        // ISO 14496-30 §7.4: vttc { iden, sttg, payl }.
        let bytes = b"\0\0\0\x28vttc\0\0\0\x09iden7\0\0\0\x0esttgline:0\0\0\0\x09paylx";
        assert_eq!(encode(&[&cue("x")], 1000), bytes);
        assert_eq!(sample(bytes, 1000, 2000).unwrap().cues, [cue("x")]);
        assert_eq!(encode(&[], 0), b"\0\0\0\x08vtte");
        assert!(sample(b"\0\0\0\x08vtte", 0, 1).unwrap().cues.is_empty());
        assert_eq!(sample(b"\0\0\0\x08vttc\0\0\0\x0avttaxx", 0, 1).unwrap().broken_cues, 1);
        assert!(sample(b"\0\0\0\x18vttc", 0, 1).is_err());
    }

    #[test]
    fn times_within_the_text_count_from_what_the_cue_says_of_them() {
        // ISO 14496-30 §7.4: a cue with times in its text has a CueTimeBox.
        let bytes = b"\0\0\0\x36vttc\0\0\0\x14ctim00:00:05.000\0\0\0\x1apayl<00:00:06.000>ka a";
        let text = |start_ms| sample(bytes, start_ms, start_ms + 1000).unwrap().cues.remove(0).text;
        assert_eq!((text(5000), text(0)), ("<00:00:06.000>ka a".into(), "<00:00:01.000>ka a".into()));
        let cue = Cue {
            text: text(65_000),
            ..Cue::default()
        };
        assert_eq!(cue.text, "<00:01:06.000>ka a");
        let encoded = encode(&[&cue], 65_000);
        assert!(encoded[12..].starts_with(b"ctim00:01:05.000"));
        assert_eq!(sample(&encoded, 0, 1).unwrap().cues[0].text, "<00:00:01.000>ka a");
    }

    #[test]
    fn the_header_is_in_the_sample_entry() {
        let style = ["STYLE\n::cue { color: lime }".to_owned()];
        assert_eq!(blocks(&sample_entry(&style)), style);
        assert_eq!(&sample_entry(&[])[..], b"\0\0\0\x1ewvtt\0\0\0\0\0\0\0\x01\0\0\0\x0evttCWEBVTT");
        for bytes in [&b""[..], b"\0\0\0\x08wvtt", b"\0\0\0\x1ewvtt\0\0\0\0\0\0\0\x01\0\0\0\xffvttCWEBVTT"] {
            assert!(blocks(bytes).is_empty());
        }
    }

    proptest! {
        #[test]
        fn no_sample_panics_and_what_is_read_can_stand_in_a_file(data: Vec<u8>, text: String) {
            let _ = sample(&data, 0, 1);
            let mut cues = sample(&encode(&[&cue(&text)], 1000), 1000, 2000).unwrap().cues;
            let file = crate::webvtt::Writer::default().cues(&[], &cues);
            let mut back = Segment::parse(file.as_bytes()).unwrap().cues;
            cues.iter_mut().chain(&mut back).for_each(|cue| cue.text = cue.text.trim_end().to_owned());
            prop_assert_eq!(back, cues);
        }
    }
}
