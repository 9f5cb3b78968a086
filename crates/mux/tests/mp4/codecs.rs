//! Every codec in every packaging that ffmpeg can make becomes an MP4 with the same packets.
//!
//! What is expected is what ffprobe and ffmpeg read from the source: the properties of each stream; the count, size and
//! digest of its packets; their decode and presentation times. ffmpeg then decodes the file without a message.
//! Encodes are kept under `target/tmp/encodes`.

use std::{
    collections::{BTreeSet, hash_map::DefaultHasher},
    fs,
    hash::{Hash, Hasher},
    panic,
    path::Path,
    process::Command,
};

use aqueduct_core::TrackKind;
use aqueduct_mux::{AudioCodec, Container};

use crate::common::{Piece, decode, mux_with_breaks, notice, run, store};

/// What packets of a stream are compared by.
#[derive(Clone, Copy)]
pub(crate) enum By {
    /// Their bytes, behind these bitstream filters.
    Bytes(&'static str),
    /// Their bytes. Layers II and III have one type in MP4 (ISO 14496-1 table 5), so ffprobe calls both MP3 there.
    Layer2,
    /// What they decode to, where the packaging leaves no bytes to compare.
    Sound,
}

/// How an encode is packaged.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Packaging {
    /// MPEG-TS, with more arguments for ffmpeg.
    Ts(&'static [&'static str]),
    /// Fragmented MP4, with these `movflags`.
    Fmp4(&'static str),
    /// Packed audio by this muxer, behind a time stamp.
    Packed(&'static str),
}

pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// ffmpeg's sources, in the language of lavfi.
    pub(crate) sources: &'static [&'static str],
    pub(crate) encoder: &'static [&'static str],
    pub(crate) packaging: Packaging,
    pub(crate) streams: &'static [(&'static str, By)],
}

const PICTURES: &str = "testsrc2=s=128x96:r=25:d=1.4";
const SOUND: &str = "sine=f=440:r=48000:d=1.4,aformat=channel_layouts=stereo";

const H264: By = By::Bytes("h264_mp4toannexb,filter_units=pass_types=1-5");
const HEVC: By = By::Bytes("hevc_mp4toannexb,filter_units=pass_types=0-31");
const AAC: By = By::Bytes("aac_adtstoasc");
const SAME: By = By::Bytes("null");

const TS: Packaging = Packaging::Ts(&[]);
const X265: [&str; 4] = ["-c:v", "libx265", "-preset", "ultrafast"];

/// Arguments for libx265 that say no more than they have to.
macro_rules! x265 {
    ($($params:expr),* ; $($more:expr),*) => {
        &[X265[0], X265[1], X265[2], X265[3], "-x265-params", concat!("log-level=error" $(, ":", $params)*) $(, $more)*]
    };
}

const TS_VIDEO: &[Case] = &[
    Case {
        name: "h264-b-frames",
        sources: &[PICTURES, SOUND],
        encoder: &["-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "12", "-c:a", "aac"],
        packaging: TS,
        streams: &[("v:0", H264), ("a:0", AAC)],
    },
    Case {
        name: "h264-pyramid-across-the-wrap",
        sources: &[PICTURES, SOUND],
        encoder: &[
            "-c:v",
            "libx264",
            "-x264-params",
            "bframes=5:b-pyramid=normal:ref=4:keyint=24:b-adapt=0",
            "-c:a",
            "aac",
            // 2^33 ticks are 95443.7 s.
            "-output_ts_offset",
            "95442",
        ],
        packaging: TS,
        streams: &[("v:0", H264), ("a:0", AAC)],
    },
    Case {
        name: "h264-variable-rate",
        sources: &["testsrc2=s=128x96:r=25:d=1.4,select=not(mod(n\\,3))+not(mod(n\\,7))"],
        encoder: &["-c:v", "libx264", "-vsync", "vfr", "-bf", "2"],
        packaging: TS,
        streams: &[("v:0", H264)],
    },
    Case {
        name: "h264-interlaced",
        sources: &["testsrc2=s=128x96:r=50:d=1.4,tinterlace=interleave_top,fieldorder=tff"],
        encoder: &["-c:v", "libx264", "-flags", "+ildct+ilme", "-x264-params", "tff=1:keyint=12"],
        packaging: TS,
        streams: &[("v:0", H264)],
    },
    Case {
        name: "h264-anamorphic-bt2020",
        sources: &[PICTURES],
        encoder: &[
            "-c:v",
            "libx264",
            "-vf",
            "setsar=16/11",
            "-color_primaries",
            "bt2020",
            "-color_trc",
            "smpte2084",
            "-colorspace",
            "bt2020nc",
            "-color_range",
            "pc",
        ],
        packaging: TS,
        streams: &[("v:0", H264)],
    },
    Case {
        name: "h264-high-10-422",
        sources: &[PICTURES],
        encoder: &["-c:v", "libx264", "-pix_fmt", "yuv422p10le"],
        packaging: TS,
        streams: &[("v:0", H264)],
    },
    Case {
        name: "h264-high-444",
        sources: &[PICTURES],
        encoder: &["-c:v", "libx264", "-pix_fmt", "yuv444p", "-qp", "0"],
        packaging: TS,
        streams: &[("v:0", H264)],
    },
    Case {
        name: "h264-open-gop-intra-refresh",
        sources: &[PICTURES],
        encoder: &[
            "-c:v",
            "libx264",
            "-x264-params",
            "open-gop=1:keyint=10:intra-refresh=1:aud=1:slices=4:nal-hrd=cbr:vbv-maxrate=800:vbv-bufsize=800",
        ],
        packaging: TS,
        streams: &[("v:0", H264)],
    },
    Case {
        name: "hevc",
        sources: &[PICTURES, SOUND],
        encoder: x265!("keyint=12" ; "-c:a", "aac"),
        packaging: TS,
        streams: &[("v:0", HEVC), ("a:0", AAC)],
    },
    Case {
        name: "hevc-open-gop",
        sources: &[PICTURES],
        encoder: x265!("keyint=10", "open-gop=1", "bframes=4", "b-adapt=0", "aud=1", "repeat-headers=1", "hrd=1", "vbv-maxrate=500", "vbv-bufsize=500" ;),
        packaging: TS,
        streams: &[("v:0", HEVC)],
    },
    Case {
        name: "hevc-main-10-hdr",
        sources: &[PICTURES],
        encoder: x265!(
            "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)",
            "max-cll=1000,400", "hdr10=1", "repeat-headers=1" ;
            "-pix_fmt", "yuv420p10le", "-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc"
        ),
        packaging: TS,
        streams: &[("v:0", HEVC)],
    },
    Case {
        name: "hevc-422-anamorphic-cropped",
        sources: &["testsrc2=s=130x94:r=30000/1001:d=1.4"],
        encoder: x265!("temporal-layers=1", "scaling-list=default" ; "-pix_fmt", "yuv422p", "-vf", "setsar=4/3"),
        packaging: TS,
        streams: &[("v:0", HEVC)],
    },
];

const fn sound(name: &'static str, encoder: &'static [&'static str], packaging: Packaging, by: &'static [(&'static str, By)]) -> Case {
    Case {
        name,
        sources: &[SOUND],
        encoder,
        packaging,
        streams: by,
    }
}

const AUDIO_AAC: &[(&str, By)] = &[("a:0", AAC)];
const AUDIO: &[(&str, By)] = &[("a:0", SAME)];
const AUDIO_LAYER_2: &[(&str, By)] = &[("a:0", By::Layer2)];
const AUDIO_SOUND: &[(&str, By)] = &[("a:0", By::Sound)];

const TS_AUDIO: &[Case] = &[
    sound("ac3-m2ts", &["-c:a", "ac3"], Packaging::Ts(&["-mpegts_m2ts_mode", "1"]), AUDIO),
    sound("aac-mono-22050", &["-c:a", "aac", "-ac", "1", "-ar", "22050"], TS, AUDIO_AAC),
    sound("aac-5.1-96000", &["-c:a", "aac", "-ac", "6", "-ar", "96000"], TS, AUDIO_AAC),
    sound("aac-7.1", &["-c:a", "aac", "-ac", "8"], TS, AUDIO_AAC),
    sound("latm", &["-c:a", "aac"], LATM, AUDIO_SOUND),
    sound("latm-mono-44100", &["-c:a", "aac", "-ac", "1", "-ar", "44100"], LATM, AUDIO_SOUND),
    sound("latm-5.1", &["-c:a", "aac", "-ac", "6"], LATM, AUDIO_SOUND),
    sound("mp3", &["-c:a", "libmp3lame"], TS, AUDIO),
    sound("mp3-vbr-44100", &["-c:a", "libmp3lame", "-q:a", "5", "-ar", "44100"], TS, AUDIO),
    sound(
        "mp3-lower-rate-mono",
        &["-c:a", "libmp3lame", "-ar", "22050", "-ac", "1"],
        TS,
        AUDIO,
    ),
    sound("mp2", &["-c:a", "mp2"], TS, AUDIO_LAYER_2),
    sound("mp2-mono-32000", &["-c:a", "mp2", "-ar", "32000", "-ac", "1"], TS, AUDIO_LAYER_2),
    sound("ac3", &["-c:a", "ac3"], TS, AUDIO),
    sound("ac3-5.1-44100", &["-c:a", "ac3", "-ac", "6", "-ar", "44100"], TS, AUDIO),
    sound("ac3-dvb", &["-c:a", "ac3"], Packaging::Ts(&["-mpegts_flags", "system_b"]), AUDIO),
    sound("eac3", &["-c:a", "eac3"], TS, AUDIO),
    sound("eac3-5.1", &["-c:a", "eac3", "-ac", "6", "-b:a", "384k"], TS, AUDIO),
    sound(
        "eac3-dvb-44100",
        &["-c:a", "eac3", "-ar", "44100"],
        Packaging::Ts(&["-mpegts_flags", "system_b"]),
        AUDIO,
    ),
    sound(
        "eac3-mixing",
        &[
            "-c:a",
            "eac3",
            "-ac",
            "6",
            "-ltrt_cmixlev",
            "0.707",
            "-dsur_mode",
            "off",
            "-per_frame_metadata",
            "1",
        ],
        TS,
        AUDIO,
    ),
    sound("opus", &["-c:a", "libopus"], TS, AUDIO),
    sound(
        "opus-60-ms-mono",
        &["-c:a", "libopus", "-ac", "1", "-frame_duration", "60"],
        TS,
        AUDIO,
    ),
    sound(
        "opus-2.5-ms",
        &["-c:a", "libopus", "-application", "lowdelay", "-frame_duration", "2.5"],
        TS,
        AUDIO,
    ),
    sound("opus-5.1", &["-c:a", "libopus", "-ac", "6", "-mapping_family", "1"], TS, AUDIO),
];

const LATM: Packaging = Packaging::Ts(&["-mpegts_flags", "latm"]);

const PACKED_AUDIO: &[Case] = &[
    sound("packed-aac", &["-c:a", "aac"], Packaging::Packed("adts"), AUDIO_AAC),
    sound(
        "packed-mp3",
        &["-c:a", "libmp3lame", "-write_xing", "0", "-id3v2_version", "0"],
        Packaging::Packed("mp3"),
        AUDIO,
    ),
    sound("packed-ac3", &["-c:a", "ac3"], Packaging::Packed("ac3"), AUDIO),
    sound("packed-eac3", &["-c:a", "eac3"], Packaging::Packed("eac3"), AUDIO),
];

const FRAGMENTS: Packaging = Packaging::Fmp4("frag_keyframe+empty_moov+default_base_moof");
/// Edit lists, and data found from the `moof`.
const DASH: Packaging = Packaging::Fmp4("frag_keyframe+delay_moov+dash");

const FMP4: &[Case] = &[
    Case {
        name: "fmp4-h264-aac",
        sources: &[PICTURES, SOUND],
        encoder: &["-c:v", "libx264", "-bf", "3", "-c:a", "aac"],
        packaging: DASH,
        streams: &[("v:0", SAME), ("a:0", SAME)],
    },
    Case {
        name: "fmp4-h264-negative-offsets",
        sources: &[PICTURES],
        encoder: &["-c:v", "libx264", "-bf", "3", "-vf", "setsar=4/3"],
        packaging: Packaging::Fmp4("frag_keyframe+empty_moov+default_base_moof+negative_cts_offsets"),
        streams: &[("v:0", SAME)],
    },
    Case {
        name: "fmp4-h264-absolute-offsets",
        sources: &[PICTURES, SOUND],
        encoder: &["-c:v", "libx264", "-g", "10", "-c:a", "aac"],
        packaging: Packaging::Fmp4("frag_keyframe+empty_moov"),
        streams: &[("v:0", SAME), ("a:0", SAME)],
    },
    Case {
        name: "fmp4-hevc-hdr",
        sources: &[PICTURES],
        encoder: x265!(
            "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)", "max-cll=1000,400", "hdr10=1" ;
            "-pix_fmt", "yuv420p10le", "-tag:v", "hvc1", "-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc"
        ),
        packaging: DASH,
        streams: &[("v:0", SAME)],
    },
    Case {
        name: "fmp4-av1",
        sources: &[PICTURES],
        encoder: &["-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime"],
        packaging: DASH,
        streams: &[("v:0", SAME)],
    },
    Case {
        name: "fmp4-vp9",
        sources: &[PICTURES],
        encoder: &["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-vf", "setsar=4/3"],
        packaging: DASH,
        streams: &[("v:0", SAME)],
    },
    Case {
        name: "fmp4-mpeg4",
        sources: &[PICTURES],
        encoder: &["-c:v", "mpeg4"],
        packaging: FRAGMENTS,
        streams: &[("v:0", SAME)],
    },
    Case {
        name: "fmp4-many-tracks",
        sources: &[PICTURES, SOUND, "sine=f=880:r=44100:d=1.4"],
        encoder: &["-c:v", "libx264", "-c:a:0", "libmp3lame", "-c:a:1", "ac3"],
        packaging: DASH,
        streams: &[("v:0", SAME), ("a:0", SAME), ("a:1", SAME)],
    },
    sound("fmp4-flac", &["-c:a", "flac", "-strict", "-2"], DASH, AUDIO),
    sound(
        "fmp4-flac-96000",
        &["-c:a", "flac", "-strict", "-2", "-ar", "96000", "-sample_fmt", "s32"],
        DASH,
        AUDIO,
    ),
    sound("fmp4-alac", &["-c:a", "alac"], DASH, AUDIO),
    sound("fmp4-opus", &["-c:a", "libopus", "-strict", "-2"], DASH, AUDIO),
    sound("fmp4-eac3", &["-c:a", "eac3"], DASH, AUDIO),
    sound("fmp4-ac3", &["-c:a", "ac3"], DASH, AUDIO),
    sound("fmp4-aac-priming", &["-c:a", "aac", "-ar", "44100"], DASH, AUDIO),
];

/// Fragmented MP4 that has a form in MPEG-TS, with codecs that the clip does not have.
const FMP4_TO_TS: &[Case] = &[
    Case {
        name: "fmp4-hevc-ac3",
        sources: &[PICTURES, SOUND],
        encoder: x265!("keyint=12" ; "-tag:v", "hvc1", "-c:a", "ac3"),
        packaging: DASH,
        streams: &[("v:0", HEVC), ("a:0", SAME)],
    },
    sound("fmp4-eac3-5.1", &["-c:a", "eac3", "-ac", "6"], DASH, AUDIO),
    sound("fmp4-opus-mono", &["-c:a", "libopus", "-strict", "-2", "-ac", "1"], DASH, AUDIO),
];

/// The path of a case's encode in MPEG-TS.
pub(crate) fn encoded(name: &str) -> Option<String> {
    encode(TS_VIDEO.iter().find(|case| case.name == name).unwrap())
}

/// Any encode by its name, and how it is packaged.
pub(crate) fn encode_named(name: &str) -> Option<(String, Packaging)> {
    let case = TS_VIDEO.iter().chain(FMP4).find(|case| case.name == name).unwrap();
    Some((encode(case)?, case.packaging))
}

/// The same of an encode of sound alone.
pub(crate) fn encoded_sound(name: &str) -> Option<String> {
    encode(TS_AUDIO.iter().find(|case| case.name == name).unwrap())
}

/// Some bytes of an encode, kept from one run to the next; `None` where ffmpeg or the encoder is missing.
pub(crate) fn encode(case: &Case) -> Option<String> {
    let (muxer, more): (&str, Vec<&str>) = match case.packaging {
        Packaging::Ts(more) => ("mpegts", more.to_vec()),
        Packaging::Fmp4(flags) => ("mp4", vec!["-movflags", flags]),
        Packaging::Packed(muxer) => (muxer, Vec::new()),
    };
    let mut arguments = vec!["-v", "error", "-nostdin", "-y"];
    for source in case.sources {
        arguments.extend(["-f", "lavfi", "-i", source]);
    }
    for map in ["0", "1", "2"].iter().take(case.sources.len()) {
        arguments.extend(["-map", map]);
    }
    arguments.extend(case.encoder);
    arguments.extend(more);
    arguments.extend(["-f", muxer]);
    let mut hasher = DefaultHasher::new();
    arguments.hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("encodes");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{}-{:016x}", case.name, hasher.finish()));
    let name = path.to_str().unwrap().to_owned();
    if path.exists() {
        return Some(name);
    }
    let unfinished = format!("{name}.{}", std::process::id());
    arguments.push(&unfinished);
    let Ok(output) = Command::new("ffmpeg").args(&arguments).output() else {
        notice("ffmpeg is not installed, so nothing judged this file");
        return None;
    };
    let message = String::from_utf8_lossy(&output.stderr);
    if message.contains("Unknown encoder") {
        notice(&format!("this ffmpeg cannot make {}", case.name));
        return None;
    }
    assert!(output.status.success(), "{}: {message}", case.name);
    fs::rename(&unfinished, &path).unwrap();
    Some(name)
}

/// The pieces that a playlist would have: fragmented MP4 is cut before each `moof`.
pub(crate) fn pieces_of(packaging: Packaging, bytes: &[u8]) -> Vec<Piece> {
    match packaging {
        // Anywhere, as a sender of transport packets may.
        Packaging::Ts(_) => {
            let packet = if bytes[0] == 0x47 { 188 } else { 192 };
            return bytes.chunks(packet * 101).map(|piece| Piece::Segment(piece.to_vec())).collect();
        }
        Packaging::Packed(_) => {
            let content = [&b"com.apple.streaming.transportStreamTimestamp\0"[..], &900_000_u64.to_be_bytes()].concat();
            let len = u8::try_from(content.len()).unwrap();
            let tag = [&b"ID3\x04\0\0\0\0\0"[..], &[len + 10], b"PRIV\0\0\0", &[len], b"\0\0", &content].concat();
            return vec![Piece::Segment([&tag, bytes].concat())];
        }
        Packaging::Fmp4(_) => {}
    }
    let mut boxes = Vec::new();
    let mut rest = bytes;
    while let Some(size) = rest.first_chunk() {
        let (whole, after) = rest.split_at(u32::from_be_bytes(*size) as usize);
        boxes.push(whole);
        rest = after;
    }
    let is = |whole: &[u8], kind: &[u8]| &whole[4..8] == kind;
    let media = boxes.iter().position(|whole| is(whole, b"moof")).unwrap();
    let segments = boxes[media..].chunk_by(|_, next| !is(next, b"moof"));
    std::iter::once(Piece::Init(boxes[..media].concat()))
        .chain(segments.map(|boxes| Piece::Segment(boxes.concat())))
        .collect()
}

/// One packet: decode and presentation time in seconds, size, digest.
#[derive(Debug, PartialEq)]
struct Packet {
    times: [f64; 2],
    content: String,
}

/// The packets of a stream, and the length of a tick.
fn packets(path: &str, stream: &str, by: By) -> Option<(Vec<Packet>, f64)> {
    let map = format!("0:{stream}");
    let mut arguments = vec!["-v", "error", "-copyts", "-i", path, "-map", &map];
    match by {
        By::Bytes(filter) => arguments.extend(["-c", "copy", "-copyinkf", "-bsf", filter]),
        By::Layer2 => arguments.extend(["-c", "copy"]),
        By::Sound => arguments.extend(["-c:a", "pcm_f32le"]),
    }
    arguments.extend(["-f", "framehash", "-hash", "md5", "-"]);
    let text = run("ffmpeg", &arguments)?;
    let tick = text.lines().find_map(|line| line.strip_prefix("#tb 0: ")).unwrap();
    let (numerator, denominator) = tick.split_once('/').unwrap();
    let tick = numerator.parse::<f64>().unwrap() / denominator.parse::<f64>().unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let packets = lines.map(|line| {
        let fields: Vec<_> = line.split(',').map(str::trim).collect();
        let time = |at: usize| fields[at].parse::<f64>().unwrap() * tick;
        Packet {
            times: [time(1), time(2)],
            content: fields[4..6].join(" "),
        }
    });
    Some((packets.collect(), tick))
}

/// What ffprobe says of a stream that does not depend on its packaging.
fn properties(path: &str, stream: &str, by: By) -> Option<BTreeSet<String>> {
    let mut entries = "stream=profile,width,height,sample_aspect_ratio,display_aspect_ratio,pix_fmt,field_order,color_range,color_space,\
                       color_transfer,color_primaries,sample_rate,channels,channel_layout:stream_side_data=rotation"
        .to_owned();
    if matches!(by, By::Bytes(_)) {
        entries.push_str(":stream=codec_name");
    }
    let text = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            stream,
            "-show_entries",
            &entries,
            "-of",
            "default=nw=1",
            path,
        ],
    )?;
    // Streams of programs are printed twice.
    Some(text.lines().map(str::to_owned).collect())
}

fn judge(case: &Case, container: Container) {
    let name = case.name;
    let Some(source) = encode(case) else { return };
    let bytes = fs::read(&source).unwrap();
    let (file, summary) = mux_with_breaks(&[(TrackKind::Main, pieces_of(case.packaging, &bytes))], container, &[])
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(summary.notes, [""; 0], "{name}");
    let folder = tempfile::tempdir().unwrap();
    let file = store(&folder, "out.mp4", &file);
    let mut all = Vec::new();
    for &(stream, by) in case.streams {
        let from = packets(&source, stream, by).unwrap();
        let to = packets(&file, stream, by).unwrap();
        let contents = |packets: &[Packet]| packets.iter().map(|packet| packet.content.clone()).collect::<Vec<_>>();
        assert_eq!(contents(&to.0), contents(&from.0), "{name}: packets of {stream}");
        let told = |path| {
            let mut told = properties(path, stream, by).unwrap();
            // A transport stream says of HEVC neither that it is interlaced nor that it is not.
            told.retain(|line| container != Container::Ts || !line.starts_with("field_order="));
            told
        };
        assert_eq!(told(&file), told(&source), "{name}: {stream}");
        all.push((from, to));
    }
    let zero = |packets: &mut dyn Iterator<Item = &Packet>| packets.map(|packet| packet.times[1]).fold(f64::INFINITY, f64::min);
    let from_zero = zero(&mut all.iter().flat_map(|(from, _)| &from.0));
    let to_zero = zero(&mut all.iter().flat_map(|(_, to)| &to.0));
    for ((from, from_tick), (to, to_tick)) in &all {
        for (from, to) in from.iter().zip(to) {
            // Matroska has no decode times.
            let skip = usize::from(container == Container::Mkv);
            for (from, to) in from.times.iter().zip(to.times).skip(skip) {
                let apart = (from - from_zero) - (to - to_zero);
                assert!(apart.abs() <= from_tick + to_tick, "{name}: {from} became {to}");
            }
        }
    }
    decode(&file);
}

/// Judges every case, and names those that failed.
fn judge_all(cases: &[Case]) {
    judge_all_in(cases, Container::Mp4);
}

fn judge_all_in(cases: &[Case], container: Container) {
    let failed: Vec<_> = cases
        .iter()
        .filter(|case| panic::catch_unwind(|| judge(case, container)).is_err())
        .collect();
    assert!(failed.is_empty(), "{:?}", failed.iter().map(|case| case.name).collect::<Vec<_>>());
}

#[test]
fn video_in_mpeg_ts() {
    judge_all(TS_VIDEO);
}

#[test]
fn audio_in_mpeg_ts() {
    judge_all(TS_AUDIO);
}

#[test]
fn packed_audio() {
    judge_all(PACKED_AUDIO);
}

#[test]
fn anything_in_fragmented_mp4() {
    judge_all(FMP4);
}

#[test]
fn hevc_and_dolby_and_opus_in_mpeg_ts_made_of_fragmented_mp4() {
    judge_all_in(FMP4_TO_TS, Container::Ts);
}

#[test]
fn flac_alone_made_of_fragmented_mp4() {
    for case in FMP4.iter().filter(|case| case.name.starts_with("fmp4-flac")) {
        judge(case, Container::Audio(AudioCodec::Flac));
    }
}

#[test]
fn opus_alone_in_ogg() {
    let cases = TS_AUDIO.iter().chain(FMP4).chain(FMP4_TO_TS);
    let cases: Vec<_> = cases.filter(|case| case.name.contains("opus")).collect();
    assert!(cases.len() > 5);
    for case in cases {
        judge(case, Container::Ogg);
        // Put aside in the middle, it goes on with the same page.
        let Some(source) = encode(case) else { continue };
        let lanes = [(TrackKind::Main, pieces_of(case.packaging, &fs::read(&source).unwrap()))];
        let made = |breaks: &[usize]| mux_with_breaks(&lanes, Container::Ogg, breaks).unwrap().0;
        let whole = made(&[]);
        assert!(made(&[1, 2]) == whole, "{}", case.name);
        assert!(whole.starts_with(b"OggS\0\x02\0\0\0\0\0\0\0\0") && !whole.windows(5).any(|bytes| bytes == b"OggS\x01"));
    }
    let other = encode(&FMP4_TO_TS[0]).map(|source| pieces_of(DASH, &fs::read(source).unwrap()));
    if let Some(pieces) = other {
        let refused = mux_with_breaks(&[(TrackKind::Main, pieces)], Container::Ogg, &[])
            .unwrap_err()
            .to_string();
        assert!(refused.contains("not Opus: name the output .mka or .m4a"), "{refused}");
    }
}

#[test]
fn video_in_matroska() {
    judge_all_in(TS_VIDEO, Container::Mkv);
}

#[test]
fn audio_in_matroska() {
    judge_all_in(TS_AUDIO, Container::Mkv);
    judge_all_in(PACKED_AUDIO, Container::Mkv);
}

#[test]
fn anything_in_matroska() {
    judge_all_in(FMP4, Container::Mkv);
}

#[test]
fn audio_in_fragmented_mp4_made_of_mpeg_ts() {
    judge_all_in(TS_AUDIO, Container::Fmp4);
}
