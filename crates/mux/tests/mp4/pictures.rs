//! Pictures that no encoder at hand makes: fields as access units of their own; a stream that begins at an open GOP.

use std::fs;

use aqueduct_core::TrackKind;
use aqueduct_mux::Container;

use crate::{
    codecs::encoded,
    common::{Piece, decode, mux, mux_with_breaks, run, store},
};

/// Writes bit fields of H.264 (ISO 14496-10 §7.2).
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    bits: u32,
}

impl Writer {
    fn u(&mut self, count: u32, value: u32) -> &mut Self {
        for bit in (0..count).rev() {
            if self.bits.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.len() - 1;
            self.bytes[last] |= u8::try_from(value >> bit & 1).unwrap() << (7 - self.bits % 8);
            self.bits += 1;
        }
        self
    }

    /// Unsigned Exp-Golomb codes (§9.1).
    fn ue(&mut self, values: &[u32]) -> &mut Self {
        for value in values {
            let len = (value + 1).ilog2();
            self.u(len, 0).u(len + 1, value + 1);
        }
        self
    }

    /// `rbsp_trailing_bits`, and the whole as a NAL unit of Annex B.
    fn nal(&mut self, header: u8) -> Vec<u8> {
        self.u(1, 1);
        [&[0, 0, 0, 1, header], &self.bytes[..]].concat()
    }
}

/// 16x32 in the Main profile, of fields.
fn parameter_sets(quantiser: u32) -> Vec<u8> {
    let mut sps = Writer::default();
    // Main, level 1; identifier, frame_num of 4 bits, order count type 2, one reference, no gaps, one macroblock, one pair
    // of field rows, fields or frames, not adaptive, 8x8 inference, no cropping, no usability information.
    sps.u(8, 77)
        .u(8, 0)
        .u(8, 10)
        .ue(&[0, 0, 2, 1])
        .u(1, 0)
        .ue(&[0, 0])
        .u(1, 0)
        .u(1, 0)
        .u(1, 1)
        .u(1, 0)
        .u(1, 0);
    let mut pps = Writer::default();
    // CAVLC, one slice group, one reference, no weights, quantisers, deblocking told in the slices.
    pps.ue(&[0, 0])
        .u(2, 0)
        .ue(&[0, 0, 0])
        .u(3, 0)
        .ue(&[quantiser, 0, 0])
        .u(1, 1)
        .u(2, 0);
    [sps.nal(0x67), pps.nal(0x68)].concat()
}

/// A field of one I_PCM macroblock, with its delimiter.
fn field(frame: u32, bottom: bool) -> Vec<u8> {
    let mut slice = Writer::default();
    // First macroblock, I, its parameter set; frame_num, field_pic_flag, bottom_field_flag.
    slice.ue(&[0, 7, 0]).u(4, 0).u(1, 1).u(1, bottom.into());
    if bottom {
        // No adaptive marking.
        slice.u(1, 0);
    } else {
        // idr_pic_id; no long-term reference.
        slice.ue(&[frame % 2]).u(2, 0);
    }
    // No change of the quantiser, no deblocking, I_PCM.
    slice.ue(&[0, 1, 25]);
    while !slice.bits.is_multiple_of(8) {
        slice.u(1, 0);
    }
    let sample = 0x20 + frame * 0x10 + u32::from(bottom);
    (0..384).for_each(|_| _ = slice.u(8, sample));
    let delimiter = [0, 0, 0, 1, 9, 0x10];
    [&delimiter[..], &slice.nal(if bottom { 0x61 } else { 0x65 })].concat()
}

/// One elementary stream of H.264 in transport packets: each item is a PES packet at its time.
fn transport(units: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        bytes.iter().fold(u32::MAX, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| {
                crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
            })
        })
    };
    let mut stream = Vec::new();
    for (pid, section) in [
        (0_u8, &[0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xe1, 0][..]),
        (1, &[2, 0xb0, 18, 0, 1, 0xc1, 0, 0, 0xe1, 1, 0xf0, 0, 0x1b, 0xe1, 1, 0xf0, 0]),
    ] {
        let high = if pid == 0 { 0x40 } else { 0x41 };
        let mut packet = [&[0x47, high, 0, 0x10, 0], section, &crc(section).to_be_bytes()].concat();
        packet.resize(188, 0xff);
        stream.extend(packet);
    }
    let mut counter = 0;
    for (time, unit) in units {
        let byte = |value: u64| u8::try_from(value & 0xff).unwrap();
        let stamp = [
            0x21 | byte(time >> 29) & 0xe,
            byte(time >> 22),
            byte(time >> 14) | 1,
            byte(time >> 7),
            byte(time << 1) | 1,
        ];
        let pes = [&[0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5][..], &stamp, unit].concat();
        for (number, piece) in pes.chunks(182).enumerate() {
            let start = if number == 0 { 0x41 } else { 1 };
            let stuffing = 184 - piece.len();
            stream.extend([0x47, start, 1, 0x30 | counter, u8::try_from(stuffing - 1).unwrap(), 0]);
            stream.extend(std::iter::repeat_n(0xff, stuffing - 2));
            stream.extend(piece);
            counter = (counter + 1) & 0xf;
        }
    }
    stream
}

#[test]
fn two_fields_are_one_sample() {
    const FRAMES: u32 = 6;
    let fields = |frame: u32| {
        let time = 90_000 + u64::from(frame) * 3600;
        let first = if frame == 0 {
            [parameter_sets(0), field(0, false)].concat()
        } else {
            field(frame, false)
        };
        (time, first, field(frame, true))
    };
    let together: Vec<_> = (0..FRAMES)
        .map(|frame| {
            let (time, top, bottom) = fields(frame);
            (time, [top, bottom].concat())
        })
        .collect();
    let apart: Vec<_> = (0..FRAMES)
        .flat_map(|frame| {
            let (time, top, bottom) = fields(frame);
            [(time, top), (time + 1800, bottom)]
        })
        .collect();
    for (name, units) in [("in one PES packet", together), ("in a PES packet each", apart)] {
        let stream = transport(&units);
        let (file, summary) = mux(&[(TrackKind::Main, vec![Piece::Segment(stream)])]).unwrap();
        assert_eq!(summary.notes, [""; 0], "{name}");
        let folder = tempfile::tempdir().unwrap();
        let path = store(&folder, "out.mp4", &file);
        let entries = "stream=width,height,nb_read_packets,nb_read_frames:packet=pts";
        let arguments = [
            "-v",
            "error",
            "-count_packets",
            "-count_frames",
            "-show_entries",
            entries,
            "-of",
            "csv=p=0",
            &path,
        ];
        let Some(text) = run("ffprobe", &arguments) else { return };
        let expected: String = (0..FRAMES).map(|frame| format!("{}\n", frame * 3600)).collect();
        assert_eq!(text, format!("{expected}16,32,{FRAMES},{FRAMES}\n"), "{name}");
        decode(&path);
    }
}

#[test]
fn parameter_sets_that_change_all_the_time_go_into_the_samples() {
    // 50 pictures, each with a picture parameter set of its own under the same identifier.
    let units: Vec<_> = (0..50)
        .map(|frame| {
            let time = 90_000 + u64::from(frame) * 3600;
            (
                time,
                [parameter_sets(frame), field(frame % 4, false), field(frame % 4, true)].concat(),
            )
        })
        .collect();
    let (file, summary) = mux(&[(TrackKind::Main, vec![Piece::Segment(transport(&units))])]).unwrap();
    assert_eq!(summary.notes, [""; 0]);
    let entries = |kind: &[u8]| file.windows(4).filter(|window| window == &kind).count();
    assert_eq!((entries(b"avc1"), entries(b"avc3")), (32, 1));
    let folder = tempfile::tempdir().unwrap();
    let path = store(&folder, "out.mp4", &file);
    decode(&path);
}

#[test]
fn a_stream_that_begins_at_an_open_gop_begins_with_its_first_whole_picture() {
    let Some(source) = encoded("hevc-open-gop") else { return };
    let bytes = fs::read(&source).unwrap();
    // From the second random access point on, behind the tables.
    let list = [
        "-v",
        "error",
        "-select_streams",
        "v:0",
        "-show_entries",
        "packet=pos,flags,pts,dts",
        "-of",
        "csv=p=0",
        &source,
    ];
    let Some(text) = run("ffprobe", &list) else { return };
    let packets: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.split(',').collect())
        .collect();
    let start = (1..packets.len()).find(|&at| packets[at][3].starts_with('K')).unwrap();
    let number = |at: usize, field: usize| packets[at][field].parse::<i64>().unwrap();
    let leading = (start..packets.len()).filter(|&at| number(at, 0) < number(start, 0)).count();
    assert!(leading > 0, "the encode has leading pictures");
    let from = usize::try_from(number(start, 2)).unwrap();
    let tables = bytes
        .chunks(188)
        .filter(|packet| packet[1] & 0x1f == 0 || packet[1] & 0x1f == 0x10)
        .take(3);
    let cut = [tables.flatten().copied().collect::<Vec<u8>>(), bytes[from..].to_vec()].concat();

    let (file, summary) = mux(&[(TrackKind::Main, vec![Piece::Segment(cut)])]).unwrap();
    let note = format!("track 0: {leading} pictures before the first random access point dropped");
    assert_eq!(summary.notes, [note]);
    let folder = tempfile::tempdir().unwrap();
    let path = store(&folder, "out.mp4", &file);
    let entries = "stream=nb_read_packets,nb_read_frames";
    let arguments = [
        "-v",
        "error",
        "-count_packets",
        "-count_frames",
        "-show_entries",
        entries,
        "-of",
        "csv=p=0",
        &path,
    ];
    let left = packets.len() - start - leading;
    assert_eq!(run("ffprobe", &arguments).unwrap(), format!("{left},{left}\n"));
}

#[test]
fn hdr_metadata_of_the_stream_is_in_the_sample_entry() {
    let Some(source) = encoded("hevc-main-10-hdr") else { return };
    let pieces = || vec![Piece::Segment(fs::read(&source).unwrap())];
    let folder = tempfile::tempdir().unwrap();
    for (name, container) in [("out.mp4", Container::Mp4), ("out.mkv", Container::Mkv)] {
        let (file, _) = mux_with_breaks(&[(TrackKind::Main, pieces())], container, &[]).unwrap();
        if container == Container::Mp4 {
            // Green, blue, red and white as the encoder was told, the most light and the least (H.265 §D.2.28).
            let points: [u16; 8] = [13250, 34500, 7500, 3000, 34000, 16000, 15635, 16450];
            let points = points.map(u16::to_be_bytes).concat();
            let mdcv = [&b"\0\0\0\x20mdcv"[..], &points, &10_000_000_u32.to_be_bytes(), &1_u32.to_be_bytes()].concat();
            let clli = [&b"\0\0\0\x0cclli"[..], &1000_u16.to_be_bytes(), &400_u16.to_be_bytes()].concat();
            for expected in [mdcv, clli] {
                assert!(file.windows(expected.len()).any(|window| window == expected), "{expected:?}");
            }
        }
        let path = store(&folder, name, &file);
        let list = ["-v", "error", "-select_streams", "v:0", "-show_entries", "stream_side_data", &path];
        let Some(told) = run("ffprobe", &list) else { return };
        for expected in [
            "Mastering display metadata",
            "Content light level metadata",
            "max_content=1000",
            "max_average=400",
        ] {
            assert!(told.contains(expected), "{name}: no {expected} in {told}");
        }
    }
}
