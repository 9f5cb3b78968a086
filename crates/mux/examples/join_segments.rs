//! Makes one MP4 of clear MPEG-TS segments that lie in files: `join_segments OUTPUT SEGMENT...`.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::sync::Arc;
use std::time::Duration;

use aqueduct_core::{Item, Kind, Presentation, Progress, Resource, Sealed, SegmentInfo, Stop, Track, TrackId, TrackKind, channel};
use aqueduct_mux::{Container, Output, run};
use url::Url;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        return Err("usage: join_segments OUTPUT SEGMENT...".into());
    }
    let output = Output::file(paths.remove(0).as_ref(), true)?;
    let track = Track::new(TrackId::new(0), TrackKind::Main, "main");
    let (segments, lane) = channel(4);
    let reader = std::thread::spawn(move || {
        for (msn, path) in (0..).zip(paths) {
            let resource = Resource::new(Kind::Segment, Url::parse("file:///").map_err(std::io::Error::other)?);
            let info = Arc::new(SegmentInfo::new(TrackId::new(0), msn, Duration::ZERO, resource));
            let clear = Sealed::unbudgeted(&std::fs::read(path)?[..]).open(Ok::<_, std::io::Error>)?;
            if segments.send_blocking(Item::Segment { info, payload: clear }).is_err() {
                break;
            }
        }
        Ok::<_, std::io::Error>(())
    });
    let lanes = vec![(track.id, lane)];
    let finished = run(
        Container::Mp4.muxer(),
        &Presentation::new(vec![track]),
        lanes,
        output,
        &Progress::new(),
        &Stop::new(),
    )?;
    reader.join().map_err(|_| "the reader panicked")??;
    println!("{}: {} segments", finished.summary.container, finished.tally.segments);
    finished.output.commit()?;
    Ok(())
}
