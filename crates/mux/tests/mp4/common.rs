//! What the tests of the muxers share: lanes of media in, one file out, and the tools that judge it.

use std::{
    fs,
    io::{self, Write as _},
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
