//! The driver on a disk that fails: whatever happens at whatever moment, the next run goes on to the same bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aqueduct_core::{
    Clear, Item, Kind, Mux, MuxError, Presentation, Progress, Receiver, Resource, Sealed, SegmentInfo, Stop, Summary, Track, TrackId,
    TrackKind, Write, WriteAt, channel,
};
use url::Url;

use crate::journal::disk::{Disk, There};
use crate::journal::faulty::{Fault, FaultyDisk};
use crate::part::{Replace, Shape};
use crate::{Container, Job, Output, checkpoint, run};

const TARGET: &str = "film.bin";
const SEGMENTS: u64 = 12;

/// A muxer that holds bytes back from one unit to the next, and writes a count to the front at the end.
#[derive(Default)]
struct Holding {
    held: Vec<u8>,
    count: u32,
}

impl Mux for Holding {
    fn push(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let Item::Segment { payload, .. } = item else { return Ok(()) };
        let mut bytes = if self.count == 0 { b"----".to_vec() } else { Vec::new() };
        bytes.append(&mut self.held);
        let (now, later) = payload.as_slice().split_at(payload.as_slice().len() / 2);
        bytes.push(b'0' + u8::try_from(track.number()).unwrap());
        bytes.extend_from_slice(now);
        self.held = later.to_vec();
        self.count += 1;
        writes.push(Write::append(bytes));
        Ok(())
    }

    fn checkpoint(&mut self, state: &mut Vec<u8>) -> bool {
        checkpoint::save(&(&self.held, self.count), state)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), MuxError> {
        (self.held, self.count) = checkpoint::read(state)?;
        Ok(())
    }

    fn finish(&mut self, writes: &mut Vec<Write>) -> Result<Summary, MuxError> {
        writes.push(Write::append(std::mem::take(&mut self.held)));
        writes.push(Write {
            at: WriteAt::Offset(0),
            data: self.count.to_be_bytes().to_vec().into(),
        });
        writes.push(Write::append(b"end".to_vec()));
        Ok(Summary::new("held"))
    }
}

/// The same in numbered files, each with some of the units, and with a count in its front.
#[derive(Default)]
struct Splitting {
    muxer: Holding,
    files: u32,
}

impl Mux for Splitting {
    fn push(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        if self.files == 0 || self.muxer.count == 7 {
            if self.files > 0 {
                self.muxer.finish(writes)?;
            }
            self.files += 1;
            self.muxer = Holding::default();
            writes.push(Write {
                at: WriteAt::File(format!("{:03}", self.files).into()),
                data: Vec::new().into(),
            });
        }
        self.muxer.push(track, item, writes)
    }

    fn checkpoint(&mut self, state: &mut Vec<u8>) -> bool {
        checkpoint::save(&(&self.muxer.held, self.muxer.count, self.files), state)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), MuxError> {
        (self.muxer.held, self.muxer.count, self.files) = checkpoint::read(state)?;
        Ok(())
    }

    fn finish(&mut self, writes: &mut Vec<Write>) -> Result<Summary, MuxError> {
        self.muxer.finish(writes)
    }
}

fn item(track: u32, msn: u64) -> Item<Clear> {
    let resource = Resource::new(Kind::Segment, Url::parse(&format!("http://host.example/{msn}")).unwrap());
    let info = SegmentInfo::new(TrackId::new(track), msn, Duration::from_secs(2 + u64::from(track)), resource);
    let bytes = format!("[segment {msn} of track {track}, which is of no great length]").repeat(1 + usize::try_from(msn).unwrap() % 3);
    // A folder has segments of WebVTT, and this is one.
    let bytes = format!("WEBVTT{bytes}");
    Item::Segment {
        info: Arc::new(info),
        payload: Sealed::unbudgeted(bytes.as_bytes()).open(Ok::<_, MuxError>).unwrap(),
    }
}

/// The segments of a track behind those that the output has.
fn lane(track: u32, had: u64) -> (TrackId, Receiver<Item<Clear>>) {
    let (sender, receiver) = channel(64);
    for msn in had..SEGMENTS {
        sender.try_send(item(track, msn)).unwrap();
    }
    (TrackId::new(track), receiver)
}

fn presentation() -> Presentation {
    Presentation::new(
        (0..2)
            .map(|number| Track::new(TrackId::new(number), TrackKind::Main, "name"))
            .collect(),
    )
}

/// One process: opens the output, goes on from what is there, and makes it final. How many segments it had to push.
fn process(disk: &FaultyDisk, shape: Shape) -> Result<u64, String> {
    process_in_place_of(disk, shape, Replace::Nothing)
}

fn process_in_place_of(disk: &FaultyDisk, shape: Shape, replace: Replace) -> Result<u64, String> {
    match shape {
        Shape::File => with(disk, shape, replace, Holding::default()),
        Shape::Folder => with(disk, shape, replace, Container::Hls.muxer()),
        Shape::Numbered => with(disk, shape, replace, Splitting::default()),
    }
}

fn with<M: Mux>(disk: &FaultyDisk, shape: Shape, replace: Replace, muxer: M) -> Result<u64, String> {
    let told = |error: &dyn std::error::Error| format!("{error}: {:?}", error.source().map(ToString::to_string));
    let presentation = presentation();
    let tracks = [TrackId::new(0), TrackId::new(1)];
    let job = Job::new(&presentation, &tracks, "held");
    let mut output = Output::on(Arc::new(disk.clone()), Path::new(TARGET), shape, replace).map_err(|error| told(&error))?;
    let resumed = output.begin(&job).map_err(|error| told(&error))?.unwrap_or_default();
    let had = |track: TrackId| {
        let lane = resumed.lanes.iter().find(|lane| lane.track == track);
        lane.map_or(0, |lane| lane.segments)
    };
    let lanes = tracks.map(|track| lane(track.number(), had(track))).into();
    let pushed = tracks.map(|track| SEGMENTS - had(track)).iter().sum();
    let finished = run(muxer, &presentation, lanes, output, &Progress::new(), &Stop::new()).map_err(|error| told(&error))?;
    assert_eq!(finished.tally.segments, 2 * SEGMENTS);
    finished.output.commit().map_err(|error| told(&error))?;
    Ok(pushed)
}

/// All files there are.
fn content(disk: &FaultyDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let names = disk.names().into_iter();
    names.map(|name| (name.clone(), disk.file(&name).unwrap())).collect()
}

fn is_final(path: &Path) -> bool {
    let path = path.to_string_lossy();
    !path.contains(".part") && !path.contains("journal")
}

fn undisturbed(shape: Shape) -> (BTreeMap<PathBuf, Vec<u8>>, u64) {
    let disk = FaultyDisk::default();
    disk.fail_at(u64::MAX, Fault::Error);
    assert_eq!(process(&disk, shape), Ok(2 * SEGMENTS));
    let files = content(&disk);
    assert!(files.keys().all(|path| is_final(path)), "{:?}", files.keys());
    let count = match shape {
        Shape::File => 1,
        Shape::Folder => 2 * SEGMENTS + 3,
        Shape::Numbered => (2 * SEGMENTS).div_ceil(7),
    };
    assert_eq!(files.len() as u64, count, "{:?}", files.keys());
    (files, disk.operations())
}

/// Runs processes until one is done; the first meets `fault` at `operation`. What they pushed in all.
fn until_done(disk: &FaultyDisk, shape: Shape, fault: Fault, operation: u64, seed: u64) -> u64 {
    disk.fail_at(operation, fault);
    let first = process(disk, shape);
    disk.next_process(seed);
    let target = disk.there(Path::new(TARGET)) != There::Nothing;
    match first {
        Ok(pushed) if disk.names().iter().all(|name| is_final(name)) => pushed,
        // It had its name when the fault came; another run tidies up and says so.
        _ if target => {
            let told = process(disk, shape).unwrap_err();
            assert!(told.contains("is there already"), "{told}");
            2 * SEGMENTS
        }
        _ => process(disk, shape).unwrap_or_else(|error| panic!("{shape:?}, {fault:?} at {operation}, seed {seed}: {error}")),
    }
}

#[test]
fn a_fault_at_any_operation_costs_nothing_but_time() {
    for shape in [Shape::File, Shape::Folder, Shape::Numbered] {
        let (expected, operations) = undisturbed(shape);
        assert!(operations > 60, "{operations} operations");
        for fault in [Fault::Error, Fault::Full, Fault::Short, Fault::Killed] {
            for operation in 0..operations {
                let disk = FaultyDisk::default();
                until_done(&disk, shape, fault, operation, 0);
                assert!(content(&disk) == expected, "{shape:?}, {fault:?} at operation {operation}");
            }
        }
    }
}

#[test]
fn a_power_cut_at_any_operation_loses_a_little_and_never_consistency() {
    for (shape, seeds) in [(Shape::File, 24), (Shape::Folder, 12), (Shape::Numbered, 12)] {
        let (expected, operations) = undisturbed(shape);
        let (mut runs, mut pushed) = (0, 0);
        for operation in 0..operations {
            for seed in 0..seeds {
                let disk = FaultyDisk::default();
                pushed += until_done(&disk, shape, Fault::PowerCut, operation, seed);
                runs += 1;
                assert!(
                    content(&disk) == expected,
                    "{shape:?}, power cut at operation {operation}, seed {seed}: {:?}",
                    disk.names()
                );
            }
        }
        // The disk here is slower than the muxer by far, and loses most of what is not safe; some of it is.
        assert!(
            pushed < runs * 2 * SEGMENTS * 19 / 20,
            "{shape:?}: {pushed} segments in {runs} runs"
        );
    }
}

#[test]
fn a_killed_process_loses_nothing_that_was_recorded() {
    for shape in [Shape::File, Shape::Folder, Shape::Numbered] {
        let (_, operations) = undisturbed(shape);
        // How many operations there are differs with what the disk is asked to make safe meanwhile. Before the output has its
        // name come some at which all, or nearly all, is recorded.
        let pushed = (0..2 * operations).map(|operation| until_done(&FaultyDisk::default(), shape, Fault::Killed, operation, 0));
        assert!(pushed.min() < Some(SEGMENTS / 2), "{shape:?}");
    }
}

// A repair makes a file anew beside the old one.
#[test]
fn a_fault_at_any_operation_leaves_the_old_file_or_the_new_one() {
    let (expected, operations) = undisturbed(Shape::File);
    let expected = &expected[Path::new(TARGET)];
    let mut kept = 0;
    for fault in [Fault::Error, Fault::Full, Fault::Short, Fault::Killed, Fault::PowerCut] {
        for operation in 0..operations {
            let disk = FaultyDisk::default();
            disk.put(Path::new(TARGET), b"old");
            disk.fail_at(operation, fault);
            let ended = process_in_place_of(&disk, Shape::File, Replace::Target);
            disk.next_process(operation);
            let place = format!("{fault:?} at operation {operation}");
            let target = disk.file(Path::new(TARGET)).unwrap();
            assert!(target == b"old" || target == *expected, "{place}: it is neither");
            assert!(ended.is_err() || target == *expected, "{place}: it was said to be replaced");
            kept += u32::from(target == b"old");
            process_in_place_of(&disk, Shape::File, Replace::Target).unwrap_or_else(|error| panic!("{place}: {error}"));
            assert!(disk.file(Path::new(TARGET)).unwrap() == *expected, "{place}: the bytes differ");
            assert_eq!(disk.names(), [Path::new(TARGET)], "{place}");
        }
    }
    assert!(kept > 0);
}
