//! Messages beside the tracks: ID3 in MPEG-TS and `emsg` in fragmented MP4.

use aqueduct_core::{Summary, TrackKind};
use aqueduct_mux::Container;

use crate::common::{Piece, bytes_of, decode, folder, mux_with_breaks, run, store, times};

/// The CRC of sections (ISO 13818-1 annex A).
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    })
}

fn byte(value: u64) -> u8 {
    u8::try_from(value & 0xff).unwrap()
}

/// Makes a stream of timed metadata part of a segment (ISO 13818-1 §2.4.4.8: type 0x15), with tags at these times.
fn with_tags(segment: &[u8], tags: &[(u64, &[u8])]) -> Vec<u8> {
    const PID: [u8; 2] = [0x01, 0xf0];
    let mut made = Vec::new();
    for packet in segment.chunks(188) {
        let pid = u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]);
        if pid != 0x1000 {
            made.extend(packet);
            continue;
        }
        // The section begins behind the pointer; its length counts from behind itself, the CRC included.
        let length = usize::from(packet[6] & 0xf) << 8 | usize::from(packet[7]);
        let mut section = packet[5..5 + 3 + length - 4].to_vec();
        // ISO 13818-1 §2.6.60: a metadata descriptor for ID3.
        let descriptor = b"\x26\x0d\xff\xffID3 \xffID3 \x00\x0f";
        section.extend([0x15, 0xe0 | PID[0], PID[1], 0xf0, u8::try_from(descriptor.len()).unwrap()]);
        section.extend(descriptor);
        section[2] = u8::try_from(section.len() + 4 - 3).unwrap();
        section.extend(crc(&section).to_be_bytes());
        let mut packet = [&packet[..5], &section].concat();
        packet.resize(188, 0xff);
        made.extend(packet);
    }
    let mut counter = 0;
    for (time, tag) in tags {
        let stamp = [
            0x21 | byte(time >> 29) & 0xe,
            byte(time >> 22),
            byte(time >> 14) | 1,
            byte(time >> 7),
            byte(time << 1) | 1,
        ];
        let length = u16::try_from(tag.len() + 8).unwrap().to_be_bytes();
        let pes = [&[0, 0, 1, 0xbd][..], &length, &[0x84, 0x80, 5], &stamp, tag].concat();
        for (number, piece) in pes.chunks(182).enumerate() {
            let start = if number == 0 { 0x40 } else { 0 };
            let stuffing = 184 - piece.len();
            made.extend([0x47, start | PID[0], PID[1], 0x30 | counter, u8::try_from(stuffing - 1).unwrap(), 0]);
            made.extend(std::iter::repeat_n(0xff, stuffing - 2));
            made.extend(piece);
            counter = (counter + 1) & 0xf;
        }
    }
    made
}

/// A tag with one text (ID3v2.4 structure §3 and §4).
fn tag(text: &str) -> Vec<u8> {
    let frame = u8::try_from(text.len() + 1).unwrap();
    [
        &b"ID3\x04\0\0\0\0\0"[..],
        &[frame + 10],
        b"TXXX\0\0\0",
        &[frame],
        b"\0\0\x03",
        text.as_bytes(),
    ]
    .concat()
}

/// An `emsg` box as a test sees it (ISO 23009-1 §5.10.3.3), and the bytes of the fragment behind it.
#[derive(Debug, Clone, PartialEq)]
struct Found {
    scheme: String,
    seconds: f64,
    duration: u32,
    id: u32,
    data: Vec<u8>,
    /// Where its fragment begins and ends.
    fragment: (usize, usize),
}

fn messages(file: &[u8]) -> Vec<Found> {
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap());
    let (mut found, mut at, mut open) = (Vec::<Found>::new(), 0, 0);
    while at < file.len() {
        let (size, kind) = (number(&file[at..]) as usize, &file[at + 4..at + 8]);
        let body = &file[at + 8..at + size];
        if kind == b"emsg" {
            assert_eq!(body[0], 1, "version 1 tells an absolute time");
            let time = u64::from_be_bytes(body[8..16].try_into().unwrap());
            let texts: Vec<&[u8]> = body[24..].splitn(3, |byte| *byte == 0).collect();
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            found.push(Found {
                scheme: String::from_utf8(texts[0].to_vec()).unwrap(),
                seconds: time as f64 / f64::from(number(&body[4..])),
                duration: number(&body[16..]),
                id: number(&body[20..]),
                data: texts[2].to_vec(),
                fragment: (0, 0),
            });
        } else if kind == b"mdat" {
            found[open..].iter_mut().for_each(|message| message.fragment = (at, at + size));
            open = found.len();
        }
        at += size;
    }
    assert_eq!(open, found.len(), "all stand in front of a fragment");
    found
}

/// Every message lies in the time of the fragment behind it, by what ffprobe tells of its packets.
fn assert_in_their_fragments(path: &str, found: &[Found]) {
    let arguments = [
        "-v",
        "error",
        "-select_streams",
        "v",
        "-show_entries",
        "packet=pts_time,pos",
        "-of",
        "csv=p=0",
        path,
    ];
    let Some(text) = run("ffprobe", &arguments) else { return };
    let packets: Vec<(f64, usize)> = text
        .lines()
        .filter_map(|line| line.split_once(','))
        .map(|(pts, pos)| (pts.parse().unwrap(), pos.parse().unwrap()))
        .collect();
    for message in found {
        let (from, to) = message.fragment;
        let presented = packets.iter().filter(|(_, pos)| (from..to).contains(pos)).map(|(pts, _)| *pts);
        let first = presented.clone().fold(f64::INFINITY, f64::min);
        let last = presented.fold(0.0, f64::max) + 1.0 / 24.0;
        // Pictures are reordered across the border of two fragments.
        assert!(
            (first - 0.1..last + 0.1).contains(&message.seconds),
            "{message:?}: {first} to {last}"
        );
    }
}

fn made(lanes: &[(TrackKind, Vec<Piece>)], container: Container) -> (Vec<u8>, Summary) {
    let (file, summary) = mux_with_breaks(lanes, container, &[]).unwrap();
    for breaks in [[0, 2], [1, 3]] {
        assert!(
            mux_with_breaks(lanes, container, &breaks).unwrap().0 == file,
            "taken up after {breaks:?}"
        );
    }
    (file, summary)
}

/// When the first picture or sound of a source is presented, in seconds.
fn beginning(path: &str) -> Option<f64> {
    let all = [times(path, "v:0")?, times(path, "a:0").unwrap_or_default()].concat();
    Some(all.iter().map(|[_, pts]| *pts).fold(f64::INFINITY, f64::min))
}

#[test]
fn timed_id3_of_a_transport_stream_is_in_the_fragment_of_its_time() {
    let segments = folder("high-ts");
    let bytes = |number: usize| match &segments[number] {
        Piece::Segment(bytes) => bytes.clone(),
        _ => panic!("a segment"),
    };
    let at = tempfile::tempdir().unwrap();
    let path = store(&at, "0.ts", &bytes(0));
    let Some(begin) = beginning(&path) else { return };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
    let ticks = |seconds: f64| ((begin + seconds) * 90_000.0).round() as u64;
    let long = tag(&"x".repeat(100)).repeat(4);
    let tagged = |number: usize, tags: &[(f64, &[u8])]| {
        let tags: Vec<_> = tags.iter().map(|(seconds, tag)| (ticks(*seconds), *tag)).collect();
        Piece::Segment(with_tags(&bytes(number), &tags))
    };
    let lanes = || {
        let first = tagged(0, &[(0.0, &tag("first")), (1.4, &long)]);
        // ffprobe sees what was put in.
        if let Piece::Segment(bytes) = &first {
            let source = store(&at, "tagged.ts", bytes);
            let arguments = [
                "-v",
                "error",
                "-select_streams",
                "d",
                "-show_entries",
                "stream=codec_name:packet=pts_time",
                "-of",
                "csv=p=0",
                &source,
            ];
            let text = run("ffprobe", &arguments).unwrap();
            assert!(text.contains("timed_id3"), "{text}");
        }
        vec![
            first,
            tagged(1, &[(2.5, &tag("second"))]),
            // The clock starts over.
            Piece::Discontinuity,
            tagged(0, &[(0.5, &tag("third"))]),
        ]
    };
    let sound = || {
        let mut pieces: Vec<_> = folder("main-audio-ts").into_iter().take(2).collect();
        pieces.push(Piece::Discontinuity);
        pieces.extend(folder("main-audio-ts").into_iter().take(1));
        pieces
    };
    // A Rendition may begin before the pictures, and the file with it.
    let Some(rendition) = times(&store(&at, "sound.ts", &bytes_of(&sound()[..1])), "a:0") else {
        return;
    };
    let earlier = (begin - rendition[0][1]).max(0.0);
    for (lanes, earlier) in [
        (vec![(TrackKind::Main, lanes())], 0.0),
        (vec![(TrackKind::Main, lanes()), (TrackKind::Audio, sound())], earlier),
    ] {
        let (file, summary) = made(&lanes, Container::Fmp4);
        assert_eq!(summary.notes, [""; 0]);
        let found = messages(&file);
        let expected = [(0.0, tag("first")), (1.4, long.clone()), (2.5, tag("second")), (4.5, tag("third"))];
        assert_eq!(found.len(), expected.len());
        for (number, (message, (seconds, data))) in (1..).zip(found.iter().zip(expected)) {
            assert_eq!(
                (message.scheme.as_str(), message.duration, message.id),
                ("https://aomedia.org/emsg/ID3", u32::MAX, number)
            );
            // The next period begins within a frame of sound of where the last ended.
            let apart = message.seconds - seconds - earlier;
            assert!(apart.abs() < 0.03, "{seconds} became {}", message.seconds);
            assert_eq!(message.data, data);
        }
        let path = store(&at, "out.mp4", &file);
        assert_in_their_fragments(&path, &found);
        decode(&path);
    }
    // What has no place for them says so.
    let (_, summary) = made(&[(TrackKind::Main, lanes())], Container::Mp4);
    assert_eq!(summary.notes, ["track 0: 4 pieces of timed metadata (ID3) are not in the file"]);
}

/// An `emsg` box (ISO 23009-1 §5.10.3.3.3) of version 0 or 1.
fn emsg(version: u8, time: u32, text: &[u8]) -> Vec<u8> {
    emsg_of(b"urn:scte:scte35:2013:bin\x001\0", version, time, text)
}

/// The same of this scheme and value.
fn emsg_of(names: &[u8], version: u8, time: u32, text: &[u8]) -> Vec<u8> {
    let mut body = vec![version, 0, 0, 0];
    let rate = 1000_u32.to_be_bytes();
    let end = [&250_u32.to_be_bytes()[..], &77_u32.to_be_bytes()].concat();
    if version == 0 {
        body.extend([names, &rate, &time.to_be_bytes(), &end].concat());
    } else {
        body.extend([&rate[..], &u64::from(time).to_be_bytes(), &end, names].concat());
    }
    body.extend(text);
    [&u32::try_from(body.len() + 8).unwrap().to_be_bytes()[..], b"emsg", &body].concat()
}

/// The pieces of a folder of fragmented MP4 with something in front of a segment.
fn with_boxes(name: &str, number: usize, boxes: &[Vec<u8>]) -> Vec<Piece> {
    let mut pieces: Vec<_> = folder(name).into_iter().take(4).collect();
    let Piece::Segment(bytes) = &mut pieces[1 + number] else {
        panic!("a segment")
    };
    *bytes = [boxes.concat(), bytes.clone()].concat();
    pieces
}

#[test]
fn messages_of_fragmented_mp4_are_carried_over() {
    let at = tempfile::tempdir().unwrap();
    let source = |name| store(&at, "source.mp4", &bytes_of(&folder(name)));
    let (Some(pictures), Some(sound)) = (times(&source("video-fmp4"), "v:0"), times(&source("main-audio-fmp4"), "a:0")) else {
        return;
    };
    let begin = pictures.iter().chain(&sound).map(|[_, pts]| *pts).fold(f64::INFINITY, f64::min);
    // Half a second into the second segment, which has 48 pictures; the same in absolute time, once in each stream.
    let segment = pictures[48..96].iter().map(|[_, pts]| *pts).fold(f64::INFINITY, f64::min);
    let boxes = [
        emsg(0, 500, b"relative"),
        emsg(1, 2900, b"absolute"),
        vec![0, 0, 0, 12, b'e', b'm', b's', b'g', 9, 0, 0, 0],
    ];
    let lanes = [
        (TrackKind::Main, with_boxes("video-fmp4", 1, &boxes)),
        (TrackKind::Audio, with_boxes("main-audio-fmp4", 1, &boxes[1..2])),
    ];
    let (file, summary) = made(&lanes, Container::Fmp4);
    assert_eq!(
        summary.notes,
        ["track 0: 1 messages beside the tracks (emsg) are not in the file"],
        "the last has no known version"
    );
    let found = messages(&file);
    let expected = [(segment - begin + 0.5, b"relative"), (2.9 - begin, b"absolute")];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (message, (seconds, data)) in found.iter().zip(expected) {
        assert_eq!(
            (message.scheme.as_str(), message.duration, message.id),
            ("urn:scte:scte35:2013:bin", 250, 77)
        );
        assert!((message.seconds - seconds).abs() < 2e-3, "{seconds} became {}", message.seconds);
        assert_eq!(message.data, data);
    }
    let path = store(&at, "out.mp4", &file);
    assert_in_their_fragments(&path, &found);
    decode(&path);

    // As they are, where the segments are.
    let alone = [(TrackKind::Main, with_boxes("video-fmp4", 1, &boxes))];
    let (file, _) = mux_with_breaks(&alone, Container::Fmp4, &[]).unwrap();
    assert!(file == bytes_of(&alone[0].1));
    let (_, summary) = mux_with_breaks(&alone, Container::Mp4, &[]).unwrap();
    assert_eq!(summary.notes, ["track 0: 3 messages beside the tracks (emsg) are not in the file"]);
}

/// Of a transport stream, when its tags are due, in seconds behind the first picture or sound, and what they are.
fn tags_of(path: &str) -> Option<(Vec<f64>, Vec<u8>)> {
    let arguments = [
        "-v",
        "error",
        "-select_streams",
        "d:0",
        "-show_entries",
        "packet=pts_time",
        "-of",
        "csv=p=0",
        path,
    ];
    let begin = beginning(path)?;
    let found = run("ffprobe", &arguments)?;
    let found = found.lines().filter_map(|line| line.trim_end_matches(',').parse::<f64>().ok());
    let arguments = [
        "-v",
        "error",
        "-select_streams",
        "d:0",
        "-show_entries",
        "stream=codec_name,id",
        "-of",
        "csv=p=0",
        path,
    ];
    let told = run("ffprobe", &arguments)?;
    let (codec, pid) = told.lines().next()?.trim_end_matches(',').split_once(',')?;
    assert_eq!(codec, "timed_id3", "as the tables say");
    let pid = u16::from_str_radix(pid.trim_start_matches("0x"), 16).unwrap();
    Some((found.map(|pts| pts - begin).collect(), payload(&std::fs::read(path).unwrap(), pid)))
}

/// What the PES packets of a stream carry (ISO 13818-1 §2.4.3). ffmpeg takes the first five bytes of each for a header of
/// metadata access units (§2.12.4), which Apple's timed metadata does not have.
fn payload(file: &[u8], pid: u16) -> Vec<u8> {
    let mut found = Vec::new();
    for packet in file
        .chunks(188)
        .filter(|packet| u16::from_be_bytes([packet[1] & 0x1f, packet[2]]) == pid)
    {
        let adaptation = if packet[3] & 0x20 == 0 { 0 } else { 1 + usize::from(packet[4]) };
        let payload = &packet[4 + adaptation..];
        if packet[1] & 0x40 == 0 {
            found.extend(payload);
            continue;
        }
        // private_stream_1, aligned, with a PTS.
        assert_eq!((&payload[..4], payload[6], payload[7]), (&[0, 0, 1, 0xbd][..], 0x84, 0x80));
        found.extend(&payload[9 + usize::from(payload[8])..]);
    }
    found
}

#[test]
fn id3_is_timed_metadata_of_a_transport_stream_that_is_made_of_samples() {
    let id3 = |time: u32, text: &str| emsg_of(b"https://aomedia.org/emsg/ID3\0\0", 1, time, &tag(text));
    let boxes = [
        id3(3500, "second"),
        id3(2900, "first"),
        emsg(1, 2900, b"no tag"),
        id3(2900, "first"),
    ];
    let at = tempfile::tempdir().unwrap();
    let Some(pictures) = beginning(&store(&at, "source.mp4", &bytes_of(&folder("video-fmp4")))) else {
        return;
    };
    let (file, summary) = made(&[(TrackKind::Main, with_boxes("video-fmp4", 1, &boxes))], Container::Ts);
    assert!(
        matches!(&summary.notes[..], [told] if told.contains("file: 1 messages beside the tracks (emsg) are not in the file")),
        "{:?}",
        summary.notes
    );
    let path = store(&at, "out.ts", &file);
    let Some((times, tags)) = tags_of(&path) else { return };
    let expected = [2.9 - pictures, 3.5 - pictures];
    assert_eq!(times.len(), expected.len(), "{times:?}");
    for (found, expected) in times.iter().zip(expected) {
        assert!((found - expected).abs() < 2e-3, "{expected} became {found}");
    }
    assert_eq!(tags, [tag("first"), tag("second")].concat());
    decode(&path);

    // Of a transport stream whose sound comes from another one, too.
    let Piece::Segment(bytes) = folder("video-ts").remove(0) else {
        return;
    };
    let source = store(&at, "source.ts", &bytes);
    let (Some(begin), Some(sound)) = (
        beginning(&source),
        times_of_sound(&store(&at, "sound.ts", &bytes_of(&folder("main-audio-ts")[..1]))),
    ) else {
        return;
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
    let ticks = |seconds: f64| ((begin + seconds) * 90_000.0).round() as u64;
    let long = tag(&"x".repeat(100)).repeat(4);
    let pieces = vec![Piece::Segment(with_tags(
        &bytes,
        &[(ticks(0.0), &tag("first")), (ticks(1.4), &long)],
    ))];
    let lanes = [
        (TrackKind::Main, pieces),
        (TrackKind::Audio, folder("main-audio-ts").into_iter().take(1).collect()),
    ];
    let (file, summary) = mux_with_breaks(&lanes, Container::Ts, &[]).unwrap();
    assert_eq!(summary.notes, [""; 0]);
    let path = store(&at, "out.ts", &file);
    let Some((times, tags)) = tags_of(&path) else { return };
    let earlier = (begin - sound).max(0.0);
    for (found, expected) in times.iter().zip([earlier, 1.4 + earlier]) {
        assert!((found - expected).abs() < 1e-3, "{expected} became {found}");
    }
    assert_eq!(tags, [tag("first"), long].concat());
    decode(&path);
}

/// When the first sound of a source is presented, in seconds.
fn times_of_sound(path: &str) -> Option<f64> {
    times(path, "a:0")?.first().map(|[_, pts]| *pts)
}

#[test]
fn messages_that_wait_have_bounds_in_number_and_in_bytes() {
    let many: Vec<_> = (0..3000_u32).map(|number| emsg(1, 2900, &number.to_be_bytes())).collect();
    let large: Vec<_> = (0..50_u8).map(|number| emsg(1, 2900, &vec![number; 100_000])).collect();
    for (boxes, kept) in [(many, 1024), (large, 41)] {
        let lanes = [
            (TrackKind::Main, with_boxes("video-fmp4", 1, &boxes)),
            (TrackKind::Audio, folder("main-audio-fmp4").into_iter().take(4).collect()),
        ];
        let (file, summary) = mux_with_breaks(&lanes, Container::Fmp4, &[]).unwrap();
        assert_eq!(messages(&file).len(), kept);
        let note = format!("{} messages beside the tracks (emsg) are not in the file", boxes.len() - kept);
        assert!(matches!(&summary.notes[..], [told] if told.contains(&note)), "{:?}", summary.notes);
    }
}
