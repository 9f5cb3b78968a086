//! What the tests of the muxers share: lanes of media in, one file out, and the tools that judge it.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use aqueduct_core::{
    Clear, Encryption, GapCause, InitId, InitInfo, Item, Kind, Mux, MuxError, Presentation, Resource, Sealed, SegmentInfo, Summary, Track,
    TrackId, TrackKind, WriteAt,
};
use aqueduct_mux::{Auto, Container};
use url::Url;

fn clear(bytes: &[u8]) -> Clear {
    Sealed::unbudgeted(bytes).open(Ok::<_, std::convert::Infallible>).unwrap()
}

fn info(track: u32, msn: u64, period: u64) -> SegmentInfo {
    SegmentInfo {
        track: TrackId::new(track),
        msn,
        discontinuity_sequence: period,
        discontinuity: false,
        duration: Duration::from_secs(2),
        program_date_time: None,
        init: None,
        encryption: Encryption::None,
        resource: Resource::new(Kind::Segment, Url::parse("http://host.example/").unwrap()),
        tags: Arc::default(),
    }
}

/// One thing that a lane brings.
pub(crate) enum Piece {
    Init(Vec<u8>),
    Segment(Vec<u8>),
    Gap,
    /// So many missing segments in a row.
    Gaps(u64),
    /// What follows is another period.
    Discontinuity,
}

/// Runs the muxer over lanes, segment by segment in turn, and gives the file.
pub(crate) fn mux(lanes: &[(TrackKind, Vec<Piece>)]) -> Result<(Vec<u8>, Summary), MuxError> {
    mux_with_breaks(lanes, Container::Mp4, &[])
}

/// The same, with the muxer put aside and taken up by a new one after some pushes.
pub(crate) fn mux_with_breaks(
    lanes: &[(TrackKind, Vec<Piece>)],
    container: Container,
    breaks: &[usize],
) -> Result<(Vec<u8>, Summary), MuxError> {
    mux_by(lanes, || container.muxer(), breaks)
}

/// The same with muxers of a sort.
pub(crate) fn mux_by(lanes: &[(TrackKind, Vec<Piece>)], new: impl Fn() -> Auto, breaks: &[usize]) -> Result<(Vec<u8>, Summary), MuxError> {
    mux_told(lanes, |_| {}, new, breaks)
}

/// The same with what is told of the film.
pub(crate) fn mux_told(
    lanes: &[(TrackKind, Vec<Piece>)],
    tell: impl FnOnce(&mut Presentation),
    new: impl Fn() -> Auto,
    breaks: &[usize],
) -> Result<(Vec<u8>, Summary), MuxError> {
    let (mut pushes, mut states) = (0, Vec::new());
    let mut muxer = new();
    let tracks = (0..).zip(lanes).map(|(number, (kind, pieces))| {
        let mut track = Track::new(TrackId::new(number), *kind, "Name");
        track.language = Some("en".into());
        let segments = pieces.iter().filter(|piece| matches!(piece, Piece::Segment(_) | Piece::Gap));
        track.duration = Some(Duration::from_secs(2 * segments.count() as u64));
        track
    });
    let mut presentation = Presentation::new(tracks.collect());
    tell(&mut presentation);
    muxer.begin(&presentation, true)?;
    let mut file = Vec::new();
    let mut writes = Vec::new();
    let longest = lanes.iter().map(|(_, pieces)| pieces.len()).max().unwrap_or(0);
    let mut periods = vec![0; lanes.len()];
    for at in 0..longest {
        for (number, (_, pieces)) in (0_u32..).zip(lanes) {
            let Some(item) = item(number, at, pieces.get(at), &mut periods[number as usize]) else {
                continue;
            };
            muxer.push(TrackId::new(number), item, &mut writes)?;
            write(&mut file, &mut writes);
            if breaks.contains(&pushes) {
                let mut state = Vec::new();
                assert!(muxer.checkpoint(&mut state));
                states.push(state);
                muxer = new();
                muxer.begin(&presentation, true)?;
                states.iter().try_for_each(|state| muxer.restore(state))?;
            }
            pushes += 1;
        }
    }
    let summary = muxer.finish(&mut writes)?;
    write(&mut file, &mut writes);
    Ok((file, summary))
}

/// What a lane brings in its turn, if it brings something.
pub(crate) fn item(number: u32, at: usize, piece: Option<&Piece>, period: &mut u64) -> Option<Item<Clear>> {
    let segment = Arc::new(info(number, at as u64, *period));
    Some(match piece? {
        Piece::Init(bytes) => Item::Init {
            info: Arc::new(InitInfo {
                track: segment.track,
                id: InitId::of(&segment.resource),
                first_msn: 0,
                encryption: Encryption::None,
                resource: segment.resource.clone(),
            }),
            payload: clear(bytes),
        },
        Piece::Segment(bytes) => Item::Segment {
            info: segment,
            payload: clear(bytes),
        },
        Piece::Gap | Piece::Gaps(_) => Item::Gap {
            info: segment,
            segments: if let Piece::Gaps(segments) = piece? { *segments } else { 1 },
            cause: GapCause::Expired,
        },
        Piece::Discontinuity => {
            *period += 1;
            return None;
        }
    })
}

/// Runs a muxer of several files over lanes, each turn of them in this order, and gives the files with their names.
pub(crate) fn files(mut muxer: impl Mux, lanes: &[(TrackKind, Vec<Piece>)], turns: &[u32]) -> (Vec<(String, Vec<u8>)>, Summary) {
    let tracks = (0..)
        .zip(lanes)
        .map(|(number, (kind, _))| Track::new(TrackId::new(number), *kind, "Name"));
    muxer.begin(&Presentation::new(tracks.collect()), true).unwrap();
    let (mut files, mut writes) = (Vec::<(String, Vec<u8>)>::new(), Vec::new());
    let (mut at, mut periods) = (vec![0; lanes.len()], vec![0; lanes.len()]);
    let mut sort = |writes: &mut Vec<aqueduct_core::Write>| {
        for one in writes.drain(..) {
            if let WriteAt::File(name) = &one.at {
                files.push((name.to_string(), one.data.as_slice().to_vec()));
            } else {
                write(&mut files.last_mut().unwrap().1, &mut vec![one]);
            }
        }
    };
    for number in turns.iter().copied() {
        let lane = number as usize;
        if let Some(item) = item(number, at[lane], lanes[lane].1.get(at[lane]), &mut periods[lane]) {
            muxer.push(TrackId::new(number), item, &mut writes).unwrap();
            sort(&mut writes);
        }
        at[lane] += 1;
    }
    assert!(
        lanes.iter().zip(&at).all(|((_, pieces), at)| pieces.len() <= *at),
        "turns are missing"
    );
    let summary = muxer.finish(&mut writes).unwrap();
    sort(&mut writes);
    (files, summary)
}

pub(crate) fn write(file: &mut Vec<u8>, writes: &mut Vec<aqueduct_core::Write>) {
    for write in writes.drain(..) {
        let bytes = write.data.as_slice();
        match write.at {
            WriteAt::File(name) => panic!("another file, {name}"),
            WriteAt::End => file.extend_from_slice(bytes),
            WriteAt::Offset(offset) => {
                let at = usize::try_from(offset).unwrap();
                file[at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

/// Tells that something was not tested, past the capture of the test harness, so that it is seen.
pub(crate) fn notice(what: &str) {
    io::stderr().write_all(format!("SKIPPED: {what}\n").as_bytes()).unwrap();
}

/// What `tool` prints; `None`, with a word on standard error, where it is not installed.
pub(crate) fn run(tool: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(tool).args(arguments).output() {
        Ok(output) => {
            assert!(
                output.status.success(),
                "{tool} {arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(
                output.stderr.is_empty(),
                "{tool} {arguments:?} complains: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(_) => {
            notice(&format!("{tool} is not installed, so nothing judged this file"));
            None
        }
    }
}

/// What ffmpeg says of itself, not of the file: it guesses how long sound without a container is, and knows one codec tag to
/// a track.
const TOLERATED: [&str; 2] = ["Estimating duration from bitrate", "multiple fourcc not supported"];

/// ffmpeg decodes a file to its end without a word; `None` where it is not installed.
pub(crate) fn decode(path: &str) -> Option<()> {
    let arguments = ["-nostdin", "-v", "warning", "-xerror", "-i", path, "-f", "null", "-"];
    let Ok(output) = Command::new("ffmpeg").args(arguments).output() else {
        notice("ffmpeg is not installed, so nothing decoded this file");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let mut words = said.lines().filter(|line| !line.trim().is_empty());
    let is_quiet = words.all(|line| TOLERATED.iter().any(|known| line.contains(known)));
    assert!(output.status.success() && is_quiet, "ffmpeg, of {path}: {said}");
    Some(())
}

/// Puts a file where the tools can read it.
pub(crate) fn store(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> String {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path.into_os_string().into_string().unwrap()
}

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixture-server/media")
}

/// All segments of a folder, with its initialization section.
pub(crate) fn folder(name: &str) -> Vec<Piece> {
    let folder = fixtures().join(name);
    let init = fs::read(folder.join("init.mp4")).ok().map(Piece::Init);
    let extension = match init {
        Some(_) => "m4s",
        None if name.starts_with("subs-") => "vtt",
        None => "ts",
    };
    let segments = (0..).map_while(|n| fs::read(folder.join(format!("{n}.{extension}"))).ok());
    init.into_iter().chain(segments.map(Piece::Segment)).collect()
}

/// What ffprobe says of these entries of a stream, as lines of CSV.
pub(crate) fn entries_of(path: &str, stream: &str, entries: &str) -> Option<String> {
    run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            stream,
            "-show_entries",
            entries,
            "-of",
            "csv=p=0",
            path,
        ],
    )
}

/// Decode and presentation times in seconds of each packet of a stream.
pub(crate) fn times(path: &str, stream: &str) -> Option<Vec<[f64; 2]>> {
    let text = entries_of(path, stream, "packet=dts_time,pts_time")?;
    let lines = text.lines().filter(|line| !line.trim_matches(',').is_empty());
    Some(
        lines
            .map(|line| {
                // Matroska has no decode times.
                let mut fields = line
                    .split(',')
                    .map(|field| if field == "N/A" { f64::NAN } else { field.parse().unwrap() });
                let (pts, dts) = (fields.next().unwrap(), fields.next().unwrap());
                [dts, pts]
            })
            .collect(),
    )
}

pub(crate) fn digest(path: &str, stream: &str, filter: &str) -> Option<String> {
    let (map, bsf) = (format!("0:{stream}"), format!("-bsf:{}", &stream[..1]));
    run(
        "ffmpeg",
        &[
            "-v", "error", "-i", path, "-map", &map, "-c", "copy", &bsf, filter, "-f", "md5", "-",
        ],
    )
}

pub(crate) fn bytes_of(pieces: &[Piece]) -> Vec<u8> {
    pieces
        .iter()
        .flat_map(|piece| match piece {
            Piece::Init(bytes) | Piece::Segment(bytes) => bytes.clone(),
            Piece::Gap | Piece::Gaps(_) | Piece::Discontinuity => Vec::new(),
        })
        .collect()
}

/// Streams of the file must have the packets of the sources, at the same times relative to the first.
pub(crate) fn judge(file: &[u8], sources: &[(&str, Vec<u8>)]) {
    judge_as("out.mp4", file, sources);
}

/// The same for a file of any name.
pub(crate) fn judge_as(name: &str, file: &[u8], sources: &[(&str, Vec<u8>)]) {
    const VIDEO: &str = "h264_mp4toannexb,filter_units=pass_types=1-5";
    const AUDIO: &str = "aac_adtstoasc";
    let folder = tempfile::tempdir().unwrap();
    let file = store(&folder, name, file);
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    for (number, (stream, source)) in sources.iter().enumerate() {
        let source = store(&folder, &format!("source-{number}"), source);
        let filter = if stream.starts_with('v') { VIDEO } else { AUDIO };
        assert_eq!(digest(&file, stream, filter), digest(&source, stream, filter), "{stream}");
        let (Some(from), Some(to)) = (times(&source, stream), times(&file, stream)) else {
            return;
        };
        assert_eq!(to.len(), from.len(), "packets of {stream}");
        expected.extend(from);
        found.extend(to);
    }
    let first = |times: &[[f64; 2]]| times.iter().map(|[_, pts]| *pts).fold(f64::INFINITY, f64::min);
    let (expected_zero, found_zero) = (first(&expected), first(&found));
    for (expected, found) in expected.iter().zip(&found) {
        // Matroska has no decode times.
        let skip = usize::from(name.ends_with(".mkv"));
        for (expected, found) in expected.iter().zip(found).skip(skip) {
            let apart = (expected - expected_zero) - (found - found_zero);
            // A tick of 48 kHz, or of MPEG-TS for each side, and what ffprobe rounds.
            let tick = if name.ends_with(".mp4") { 1.0 / 48_000.0 } else { 2.0 / 90_000.0 };
            assert!(apart.abs() <= tick + 2e-6, "{expected} became {found} in {name}");
        }
    }
    decode(&file);
}

/// Some segments of a folder of MPEG-TS.
pub(crate) fn some(name: &str, numbers: std::ops::Range<usize>) -> Vec<Piece> {
    folder(name).drain(numbers).collect()
}

/// The file as ffprobe and ffmpeg see it: packets of video and of audio.
pub(crate) fn probe(file: &[u8]) -> Option<[Vec<[f64; 2]>; 2]> {
    let folder = tempfile::tempdir().unwrap();
    let path = store(&folder, "out.mp4", file);
    decode(&path)?;
    Some([times(&path, "v:0")?, times(&path, "a:0")?])
}

pub(crate) fn assert_monotonic(times: &[[f64; 2]]) {
    assert!(times.windows(2).all(|pair| pair[0][0] < pair[1][0]), "decode times grow");
}

/// The kinds of streams of a file, as ffprobe names them.
pub(crate) fn kinds(path: &str) -> Option<Vec<String>> {
    let text = run(
        "ffprobe",
        &["-v", "error", "-show_entries", "stream=codec_type", "-of", "csv=p=0", path],
    )?;
    Some(
        text.lines()
            .map(|line| line.trim_matches(',').to_owned())
            .filter(|line| !line.is_empty())
            .collect(),
    )
}

/// Each segment of a folder of audio in MPEG-TS as packed audio, with the time stamp that its first frame has.
pub(crate) fn packed(name: &str) -> Vec<Piece> {
    let mut demuxer = aqueduct_media::ts::Demuxer::default();
    folder(name)
        .into_iter()
        .map(|piece| {
            let Piece::Segment(bytes) = piece else {
                panic!("MPEG-TS has no initialization section")
            };
            let mut events = Vec::new();
            demuxer.push(&bytes, &mut events);
            demuxer.discontinuity(&mut events);
            let samples: Vec<_> = events
                .into_iter()
                .filter_map(|event| match event {
                    aqueduct_media::Event::Sample { sample, .. } => Some(sample),
                    aqueduct_media::Event::Config { .. } => None,
                })
                .collect();
            let stamp = samples[0].pts * 90 / 48;
            let owner = b"com.apple.streaming.transportStreamTimestamp\0";
            let content = [&owner[..], &stamp.to_be_bytes()].concat();
            let len = u8::try_from(content.len()).unwrap();
            let mut packed = [&b"ID3\x04\0\0\0\0\0"[..], &[len + 10], b"PRIV\0\0\0", &[len], b"\0\0", &content].concat();
            for sample in samples {
                // AAC LC, 48 kHz, stereo.
                let [high, low] = u16::try_from((sample.data.len() + 7) << 5).unwrap().to_be_bytes();
                packed.extend_from_slice(&[0xff, 0xf1, 0x4c, 0x80, high, low | 0x1f, 0xfc]);
                packed.extend_from_slice(&sample.data);
            }
            Piece::Segment(packed)
        })
        .collect()
}
