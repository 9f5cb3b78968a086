//! Two runs on one output, and what stands there in between.

use aqueduct_core::{Changes, Given, Kind, Presentation, Resource, SegmentInfo, Track, TrackKind};

use super::*;
use crate::Fate;
use crate::journal::disk::Disk as _;
use crate::journal::faulty::{Fault, FaultyDisk};
use crate::journal::record::MAGIC;

const TARGET: &str = "film.ts";
const PART: &str = "film.ts.part";
const JOURNAL: &str = "film.ts.part.journal";

fn job(container: &str) -> Job {
    Job::new(&Presentation::default(), &[], container)
}

fn open(disk: &FaultyDisk) -> Result<Part, OutputError> {
    Part::open(Arc::new(disk.clone()), Path::new(TARGET), Shape::File, Replace::Nothing)
}

fn info(msn: u64) -> SegmentInfo {
    let url = url::Url::parse("http://host.example/7.ts").unwrap();
    let duration = std::time::Duration::from_secs(2);
    SegmentInfo::new(TrackId::new(0), msn, duration, Resource::new(Kind::Segment, url))
}

fn written() -> Fate {
    Fate::Written {
        offset: 0,
        length: 0,
        sha256: [0; 32],
    }
}

/// What a run leaves that wrote these texts, each as a segment.
fn left(texts: &[&str], job: &Job) -> FaultyDisk {
    let disk = FaultyDisk::default();
    let mut part = open(&disk).unwrap();
    part.begin(job).unwrap();
    for (msn, text) in (0..).zip(texts) {
        part.append(text.as_bytes()).unwrap();
        part.record(Entry::segment(&info(msn), written()), Some(Vec::new())).unwrap();
    }
    disk
}

/// How much of it the next run takes up.
fn taken_up(disk: &FaultyDisk, job: &Job) -> Option<(u64, u64)> {
    let resumed = open(disk).unwrap().begin(job).unwrap()?;
    Some((resumed.tally.segments, resumed.bytes))
}

fn file(disk: &FaultyDisk, name: &str) -> Vec<u8> {
    disk.file(Path::new(name)).unwrap()
}

#[test]
fn neither_file_is_believed_beyond_what_the_other_proves() {
    type Damage = fn(&FaultyDisk);
    /// Segments and bytes.
    type Proved = Option<(u64, u64)>;
    let cases: [(&str, Damage, Proved); 9] = [
        ("as it was left", |_| (), Some((3, 12))),
        (
            "a part file that is longer",
            |disk| disk.put(Path::new(PART), b"one.two.six.and more"),
            Some((3, 12)),
        ),
        (
            "a part file that is shorter",
            |disk| disk.put(Path::new(PART), b"one.two.si"),
            Some((2, 8)),
        ),
        ("a part file that is empty", |disk| disk.put(Path::new(PART), b""), None),
        ("other bytes", |disk| disk.put(Path::new(PART), b"one.TWO.six."), Some((1, 4))),
        (
            "a record that is torn",
            |disk| {
                let journal = file(disk, JOURNAL);
                disk.put(Path::new(JOURNAL), &journal[..journal.len() - 20]);
            },
            Some((2, 8)),
        ),
        (
            "records that come twice",
            |disk| {
                let journal = file(disk, JOURNAL);
                let records = journal[MAGIC.len()..].to_vec();
                disk.put(Path::new(JOURNAL), &[journal, records].concat());
            },
            Some((3, 12)),
        ),
        (
            "junk behind the records",
            |disk| {
                let journal = file(disk, JOURNAL);
                disk.put(Path::new(JOURNAL), &[&journal[..], &[7; 100]].concat());
            },
            Some((3, 12)),
        ),
        (
            "a first record that did not get to the disk",
            |disk| disk.put(Path::new(JOURNAL), &[MAGIC, &[0; 100]].concat()),
            None,
        ),
    ];
    for (case, damage, expected) in cases {
        let job = job("raw");
        let disk = left(&["one.", "two.", "six."], &job);
        damage(&disk);
        assert_eq!(taken_up(&disk, &job), expected, "{case}");
    }
}

#[test]
fn what_is_not_of_this_job_or_version_is_refused_and_stays() {
    let mut other_program = job("raw");
    other_program.program = "0.0.0".into();
    for (case, left, says) in [
        (
            "another container",
            left(&["one."], &job("mp4")),
            "another stream: it is mp4, not raw",
        ),
        ("another program", left(&["one."], &other_program), "another version"),
        ("another format", left(&["one."], &job("raw")), "another version"),
    ] {
        if case == "another format" {
            left.put(Path::new(JOURNAL), b"aqueduct journal 1\nwhatever that was");
        }
        let before = (file(&left, PART), file(&left, JOURNAL));
        let refused = open(&left).unwrap().begin(&job("raw")).unwrap_err();
        assert!(refused.to_string().contains(says), "{case}: {refused}");
        assert_eq!((file(&left, PART), file(&left, JOURNAL)), before, "{case}");
        let mut anew = open(&left).unwrap();
        anew.begin_anew();
        assert!(anew.begin(&job("raw")).unwrap().is_none(), "{case}");
    }
}

#[test]
fn what_takes_the_place_of_a_target_spares_what_is_unfinished_beside_it() {
    let replacing = |disk: &FaultyDisk| Part::open(Arc::new(disk.clone()), Path::new(TARGET), Shape::File, Replace::Target);
    let (ours, others) = (job("raw"), job("mp4"));
    let disk = left(&["one.", "two."], &ours);
    disk.put(Path::new(TARGET), b"old");
    let refused = replacing(&disk).unwrap().begin(&others).unwrap_err();
    assert!(matches!(refused, OutputError::OtherStream { .. }), "{refused}");
    assert_eq!(file(&disk, PART), b"one.two.");
    let mut part = replacing(&disk).unwrap();
    assert_eq!(part.begin(&ours).unwrap().map(|resumed| resumed.bytes), Some(8));
    assert_eq!(file(&disk, TARGET), b"old");
    part.commit(false).unwrap();
    assert_eq!((file(&disk, TARGET), disk.names().len()), (b"one.two.".to_vec(), 1));

    let disk = FaultyDisk::default();
    disk.put(Path::new(TARGET), b"old");
    disk.put(Path::new(PART), b"precious");
    assert!(matches!(replacing(&disk), Err(OutputError::Foreign { .. })));
    assert_eq!((file(&disk, TARGET), file(&disk, PART)), (b"old".to_vec(), b"precious".to_vec()));

    // One that was interrupted is unfinished itself.
    let disk = FaultyDisk::default();
    let mut part = open(&disk).unwrap();
    part.begin(&ours).unwrap();
    part.append(b"one.").unwrap();
    part.record(Entry::segment(&info(0), written()), Some(Vec::new())).unwrap();
    drop(part.commit(true).unwrap());
    assert!(matches!(replacing(&disk), Err(OutputError::Exists { .. })));
    assert_eq!(file(&disk, TARGET), b"one.");
}

#[test]
fn files_of_somebody_else_are_not_taken_for_a_journal() {
    for (case, bytes, foreign) in [
        ("text", &b"precious"[..], true),
        ("a small number first", &[7, 0, 0, 0, 1, 2, 3, 4, 5][..], true),
        ("the beginning of a journal", b"aqued", false),
        ("blocks that were never written", &[0; 512], false),
    ] {
        let disk = FaultyDisk::default();
        disk.put(Path::new(JOURNAL), bytes);
        let opened = open(&disk);
        assert_eq!(matches!(opened, Err(OutputError::Foreign { .. })), foreign, "{case}: {opened:?}");
        drop(opened);
        assert_eq!(file(&disk, JOURNAL), bytes, "{case}");
    }
}

#[test]
fn a_key_counts_from_where_it_was_used() {
    let given = |names: &[(&str, &str)]| {
        let given = names.iter().map(|(name, value)| {
            let changes = if name.starts_with("KID") {
                Changes::Locked
            } else {
                Changes::Encrypted
            };
            Given::new(*name, *value, changes)
        });
        let given: Vec<_> = given.collect();
        job("raw").with_given(None, |_| given)
    };
    let cases = [
        ("the same", vec![("key", "a")], vec![("key", "a")], true, true),
        ("another", vec![("key", "a")], vec![("key", "b")], true, false),
        (
            "another, and nothing was made with it",
            vec![("key", "a")],
            vec![("key", "b")],
            false,
            true,
        ),
        ("none any more", vec![("key", "a")], vec![], true, false),
        ("one that was not there", vec![], vec![("key", "a")], true, false),
        ("one that was not there, and was not used", vec![], vec![("key", "a")], false, true),
        (
            "one more KID",
            vec![("KID 1", "a")],
            vec![("KID 1", "a"), ("KID 2", "b")],
            true,
            true,
        ),
        ("another key for a KID", vec![("KID 1", "a")], vec![("KID 1", "b")], true, false),
    ];
    for (case, first, then, used, goes_on) in cases {
        let disk = FaultyDisk::default();
        let mut part = open(&disk).unwrap();
        part.begin(&given(&first)).unwrap();
        part.append(b"init").unwrap();
        let mut entry = Entry::segment(&info(0), written());
        (entry.init, entry.encrypted) = (!used, true);
        part.record(entry, Some(Vec::new())).unwrap();
        drop(part);
        let mut second = open(&disk).unwrap();
        assert_eq!(second.begin(&given(&then)).is_ok(), goes_on, "{case}");
        if goes_on {
            let gap = Entry::gap(&info(1), 1, &aqueduct_core::GapCause::Tagged);
            second.record(gap, None).unwrap();
            drop(second);
            // A third run is measured by the second.
            let mut third = then.clone();
            if let Some((_, value)) = third.last_mut() {
                *value = "c";
            }
            assert_eq!(
                open(&disk).unwrap().begin(&given(&third)).is_ok(),
                !used,
                "{case}: the last changed"
            );
        }
    }
}

#[test]
fn what_changes_every_segment_counts_where_nothing_is_said_to_be_encrypted() {
    let given = |name: &'static str, changes| job("raw").with_given(None, |_| vec![Given::new(name, "a", changes)]);
    let clear = || left(&["one."], &job("raw"));
    assert!(open(&clear()).unwrap().begin(&given("a key", Changes::Encrypted)).is_ok());
    let refused = open(&clear()).unwrap().begin(&given("a method", Changes::All)).unwrap_err();
    assert!(refused.to_string().contains("it was begun without a method"), "{refused}");
}

// Subtitles of one language are another track when those of others are not wanted any more.
#[test]
fn a_track_with_another_number_is_not_gone_on_with() {
    let job = |number| {
        let track = Track::new(TrackId::new(number), TrackKind::Subtitles, "Deutsch");
        Job::new(&Presentation::new(vec![track]), &[TrackId::new(number)], "vtt")
    };
    let disk = left(&["one."], &job(2));
    let refused = open(&disk).unwrap().begin(&job(1)).unwrap_err();
    assert!(refused.to_string().contains("its track 2 is track 1 now"), "{refused}");
}

#[test]
fn a_disk_without_room_for_the_rest_is_told_of_ahead() {
    let disk = FaultyDisk::default();
    let part = open(&disk).unwrap();
    assert!(part.check_space(u64::MAX).is_ok(), "a system that does not tell");
    disk.has_room(1000);
    assert!(part.check_space(1000).is_ok());
    let refused = part.check_space(1001).unwrap_err().to_string();
    assert_eq!(refused, "film.ts.part: it needs 1001 bytes, and 1000 are free");
}

#[test]
fn what_could_not_be_had_at_the_end_is_tried_again_and_no_more_than_that() {
    let job = job("raw");
    let disk = left(&["one.", "two."], &job);
    let fail = |part: &mut Part, msn| {
        let gap = Entry::gap(&info(msn), 1, &aqueduct_core::GapCause::Failed("status 404".into()));
        part.record(gap, Some(Vec::new())).unwrap();
    };
    let mut part = open(&disk).unwrap();
    part.begin(&job).unwrap();
    fail(&mut part, 2);
    part.append(b"ten.").unwrap();
    part.record(Entry::segment(&info(3), written()), Some(Vec::new())).unwrap();
    fail(&mut part, 4);
    fail(&mut part, 5);
    drop(part);
    let resumed = open(&disk).unwrap().begin(&job).unwrap().unwrap();
    assert_eq!((resumed.tally.segments, resumed.tally.missing, resumed.bytes), (3, 1, 12));
    let mut before = open(&disk).unwrap();
    before.begin_before(TrackId::new(0), 2);
    let resumed = before.begin(&job).unwrap().unwrap();
    assert_eq!((resumed.tally.segments, resumed.tally.missing, resumed.bytes), (2, 0, 8));
    before.append(b"six.").unwrap();
    assert_eq!(file(&disk, PART), b"one.two.six.");
}

#[test]
fn an_output_that_cannot_be_begun_leaves_no_journal() {
    for fault in [Fault::Error, Fault::Full, Fault::Short] {
        let mut refused = 0;
        for operation in 0.. {
            let disk = FaultyDisk::default();
            disk.fail_at(operation, fault);
            if open(&disk).and_then(|mut part| part.begin(&job("Ts"))).is_ok() {
                break;
            }
            refused += 1;
            assert!(disk.file(Path::new(JOURNAL)).is_none(), "{fault:?} at operation {operation}");
        }
        assert!(refused > 0, "{fault:?}");
    }
}

fn open_folder(disk: &FaultyDisk, replace: Replace) -> Part {
    Part::open(Arc::new(disk.clone()), Path::new("film"), Shape::Folder, replace).unwrap()
}

/// Goes on with a folder, a file for each segment. How many segments it had.
fn go_on(part: &mut Part, segments: std::ops::Range<u64>) -> Result<u64, OutputError> {
    let resumed = part.begin(&job("HLS"))?;
    for msn in segments {
        part.begin_file(&format!("video/{msn:05}.ts"))?;
        part.append(format!("segment {msn}").as_bytes())?;
        part.record(Entry::segment(&info(msn), written()), Some(Vec::new()))?;
    }
    Ok(resumed.map_or(0, |resumed| resumed.tally.segments))
}

#[test]
fn what_somebody_puts_into_an_interrupted_folder_is_never_removed_nor_written_over() {
    let precious = |disk: &FaultyDisk, folder: &str, case: &str| {
        for name in ["notes.txt", "video/notes.txt", "video/00007.ts"] {
            let path = Path::new(folder).join(name);
            assert_eq!(disk.file(&path).as_deref(), Some(&b"precious"[..]), "{case}: {name}");
        }
    };
    let disk = FaultyDisk::default();
    let mut part = open_folder(&disk, Replace::Nothing);
    assert_eq!(go_on(&mut part, 0..3).unwrap(), 0);
    part.begin_file("index.m3u8").unwrap();
    part.append(b"#EXTM3U").unwrap();
    drop(part.commit(true).unwrap());
    for name in ["film/notes.txt", "film/video/notes.txt", "film/video/00007.ts"] {
        disk.put(Path::new(name), b"precious");
    }
    for (run, had) in [("second", 3), ("third", 5)] {
        let mut part = open_folder(&disk, Replace::Nothing);
        assert_eq!(go_on(&mut part, had..had + 2).unwrap(), had);
        part.begin_file("video/half.ts").unwrap();
        part.append(b"half").unwrap();
        // It is killed.
        drop(part);
        precious(&disk, "film.part", run);
        assert!(disk.file(Path::new("film.part/index.m3u8")).is_none(), "{run}");
    }
    let mut part = open_folder(&disk, Replace::Nothing);
    let refused = go_on(&mut part, 7..8).unwrap_err();
    assert!(
        matches!(&refused, OutputError::Foreign { path } if path.ends_with("video/00007.ts")),
        "{refused}"
    );
    drop(part);
    precious(&disk, "film.part", "in the way");
    assert!(disk.file(Path::new("film.part/video/half.ts")).is_none());
    // Begun anew, what is the program's own goes.
    let mut part = open_folder(&disk, Replace::Nothing);
    part.begin_anew();
    let refused = go_on(&mut part, 0..8).unwrap_err();
    assert!(matches!(refused, OutputError::Foreign { .. }), "{refused}");
    drop(part);
    precious(&disk, "film.part", "anew");
    let mut part = open_folder(&disk, Replace::Nothing);
    go_on(&mut part, 7..7).unwrap();
    part.commit(false).unwrap();
    precious(&disk, "film", "whole");
}

fn open_numbered(disk: &FaultyDisk, replace: Replace) -> Result<Part, OutputError> {
    Part::open(Arc::new(disk.clone()), Path::new(TARGET), Shape::Numbered, replace)
}

/// Goes on with numbered files, one for each segment. How many segments there were.
fn split(part: &mut Part, segments: std::ops::Range<u64>) -> Result<u64, OutputError> {
    let resumed = part.begin(&job("Ts by discontinuity"))?;
    for msn in segments {
        part.begin_file(&format!("{:03}", msn + 1))?;
        part.append(format!("segment {msn}").as_bytes())?;
        part.record(Entry::segment(&info(msn), written()), Some(Vec::new()))?;
    }
    Ok(resumed.map_or(0, |resumed| resumed.tally.segments))
}

/// All that is on the disk.
fn all(disk: &FaultyDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let names = disk.names().into_iter();
    names.map(|path| (path.clone(), disk.file(&path).unwrap())).collect()
}

#[test]
fn only_files_that_the_journal_tells_of_get_final_names() {
    let disk = FaultyDisk::default();
    let mut part = open_numbered(&disk, Replace::Nothing).unwrap();
    split(&mut part, 0..2).unwrap();
    disk.put(Path::new("film.ts.part/042"), b"precious");
    let account = part.commit(false).unwrap();
    assert_eq!(account.files(), [Path::new("film.001.ts"), Path::new("film.002.ts")]);
    drop(account);
    let left: Vec<_> = disk.names();
    let expected = ["film.001.ts", "film.002.ts", "film.ts.part/042"];
    assert_eq!(left, expected.map(PathBuf::from));
    assert_eq!(file(&disk, "film.ts.part/042"), b"precious");
}

#[test]
fn a_numbered_file_that_is_gone_is_told() {
    let disk = FaultyDisk::default();
    let mut part = open_numbered(&disk, Replace::Nothing).unwrap();
    split(&mut part, 0..2).unwrap();
    disk.remove(Path::new("film.ts.part/001")).unwrap();
    part.commit(false).unwrap_err();
    assert!(disk.file(Path::new("film.002.ts")).is_none());
}

#[test]
fn a_name_that_is_taken_is_told_when_its_file_would_be_begun() {
    let disk = FaultyDisk::default();
    disk.put(Path::new("film.003.ts"), b"precious");
    let mut part = open_numbered(&disk, Replace::Nothing).unwrap();
    let refused = split(&mut part, 0..4).unwrap_err();
    assert!(
        matches!(&refused, OutputError::Exists { path } if path == Path::new("film.003.ts")),
        "{refused}"
    );
    drop(part);
    // And of what is left, before anything is begun.
    for name in ["film.002.ts", "film.003.ts"] {
        disk.put(Path::new(name), b"precious");
        let before = all(&disk);
        let refused = split(&mut open_numbered(&disk, Replace::Nothing).unwrap(), 2..2).unwrap_err();
        assert!(matches!(&refused, OutputError::Exists { .. }), "{refused}");
        assert_eq!(all(&disk), before);
        disk.remove(Path::new(name)).unwrap();
    }
    let mut part = open_numbered(&disk, Replace::Nothing).unwrap();
    assert_eq!(split(&mut part, 2..4).unwrap(), 2);
    part.commit(false).unwrap();
    assert_eq!(disk.names().len(), 4);
}

#[test]
fn what_is_taken_up_stays_as_it_is_until_something_goes_behind_it() {
    for shape in [Shape::File, Shape::Folder, Shape::Numbered] {
        for interrupted in [true, false] {
            let disk = FaultyDisk::default();
            let open = || Part::open(Arc::new(disk.clone()), Path::new(TARGET), shape, Replace::Nothing).unwrap();
            let fill = |part: &mut Part, msn: u64| {
                if shape != Shape::File {
                    part.begin_file(&format!("{:03}", msn + 1)).unwrap();
                }
                part.append(b"segment").unwrap();
                part.record(Entry::segment(&info(msn), written()), Some(Vec::new())).unwrap();
            };
            let mut part = open();
            part.begin(&job("any")).unwrap();
            (0..3).for_each(|msn| fill(&mut part, msn));
            // What is behind the last unit is cut off later.
            if shape == Shape::Folder {
                part.begin_file("index.m3u8").unwrap();
            }
            part.append(b"an index").unwrap();
            if interrupted {
                drop(part.commit(true).unwrap());
            } else {
                drop(part);
            }
            let before = all(&disk);
            let mut refused = open();
            assert_eq!(refused.begin(&job("any")).unwrap().unwrap().tally.segments, 3);
            assert!(refused.entries(TrackId::new(0)).unwrap().unwrap().next().unwrap().is_some());
            drop(refused);
            assert_eq!(all(&disk), before, "{shape:?} {interrupted}");
            let mut part = open();
            part.begin(&job("any")).unwrap();
            fill(&mut part, 3);
            drop(part.commit(false).unwrap());
            let whole = FaultyDisk::default();
            let mut part = Part::open(Arc::new(whole.clone()), Path::new(TARGET), shape, Replace::Nothing).unwrap();
            part.begin(&job("any")).unwrap();
            (0..4).for_each(|msn| fill(&mut part, msn));
            drop(part.commit(false).unwrap());
            assert_eq!(all(&disk), all(&whole), "{shape:?} {interrupted}");
        }
    }
}

#[test]
fn what_somebody_made_of_an_interrupted_output_is_neither_removed_nor_cut_off() {
    for (name, bytes) in [
        ("film/index.m3u8", &b"precious"[..]),
        ("film/index.m3u8", b"#EXTM3u"),
        ("film/video/00002.ts", b"precious"),
        ("film/video/00002.ts", b"segment 2 and more"),
    ] {
        let disk = FaultyDisk::default();
        let mut part = open_folder(&disk, Replace::Nothing);
        go_on(&mut part, 0..3).unwrap();
        part.begin_file("index.m3u8").unwrap();
        part.append(b"#EXTM3U").unwrap();
        drop(part.commit(true).unwrap());
        disk.put(Path::new(name), bytes);
        let before = all(&disk);
        let refused = go_on(&mut open_folder(&disk, Replace::Nothing), 3..4);
        let told = matches!(&refused, Err(OutputError::Foreign { path }) if path == Path::new(name));
        assert!(told, "{name}: {refused:?}");
        assert_eq!(all(&disk), before, "{name}");
        let mut part = open_folder(&disk, Replace::All);
        assert!(go_on(&mut part, 3..4).unwrap() >= 2, "{name}");
    }
    // One that was removed is fetched again.
    let disk = FaultyDisk::default();
    let mut part = open_folder(&disk, Replace::Nothing);
    go_on(&mut part, 0..3).unwrap();
    drop(part.commit(true).unwrap());
    disk.remove(Path::new("film/video/00001.ts")).unwrap();
    assert_eq!(go_on(&mut open_folder(&disk, Replace::Nothing), 1..3).unwrap(), 1);
}

/// Puts the next segment into an output of any shape, a file each where there are several.
fn put(part: &mut Part, shape: Shape, msn: u64) -> Result<(), OutputError> {
    if shape != Shape::File {
        part.begin_file(&format!("{:03}", msn + 1))?;
    }
    part.append(format!("segment {msn}, which has some length").as_bytes())?;
    part.record(Entry::segment(&info(msn), written()), Some(Vec::new()))
}

#[test]
fn a_power_cut_while_an_interrupted_output_is_taken_up_loses_nothing_of_it() {
    for (shape, before) in [(Shape::File, 3), (Shape::Folder, 3), (Shape::Numbered, 3), (Shape::File, 1)] {
        let run = |disk: &FaultyDisk, before: Option<u64>, end: u64, interrupted: bool| {
            let mut part = Part::open(Arc::new(disk.clone()), Path::new(TARGET), shape, Replace::Nothing)?;
            if let Some(before) = before {
                part.begin_before(TrackId::new(0), before);
            }
            let had = part.begin(&job("any"))?.map_or(0, |resumed| resumed.tally.segments);
            (had..end).try_for_each(|msn| put(&mut part, shape, msn))?;
            // What is recorded is marked as safe in front of that.
            if shape == Shape::File {
                part.overwrite(0, b"A")?;
            }
            drop(part.commit(interrupted)?);
            Ok::<_, OutputError>(had)
        };
        let whole = FaultyDisk::default();
        run(&whole, None, 6, false).unwrap();
        let mut cuts = 0;
        for operation in 0..90 {
            for seed in 0..8 {
                let disk = FaultyDisk::default();
                run(&disk, None, 3, true).unwrap();
                disk.fail_at(operation, Fault::PowerCut);
                let second = run(&disk, Some(before), 6, true);
                disk.next_process(seed);
                cuts += u32::from(second.is_err());
                let place = format!("{shape:?}, power cut at operation {operation}, seed {seed}");
                let had = run(&disk, None, 6, false).unwrap_or_else(|error| panic!("{place}: {error}, {:?}", disk.names()));
                assert!(had >= before || before < 3, "{place}: {had}");
                assert_eq!(all(&disk), all(&whole), "{place}");
            }
        }
        assert!(cuts > 100, "{shape:?}: {cuts}");
    }
}

#[test]
fn what_got_the_name_of_an_interrupted_output_meanwhile_is_left_alone() {
    for shape in [Shape::File, Shape::Numbered] {
        let disk = FaultyDisk::default();
        let open = || Part::open(Arc::new(disk.clone()), Path::new(TARGET), shape, Replace::Nothing).unwrap();
        let mut part = open();
        part.begin(&job("any")).unwrap();
        (0..3).for_each(|msn| put(&mut part, shape, msn).unwrap());
        drop(part.commit(true).unwrap());
        let mut part = open();
        part.begin(&job("any")).unwrap().unwrap();
        let name = Path::new(if shape == Shape::File { TARGET } else { "film.002.ts" });
        disk.put(name, b"precious");
        put(&mut part, shape, 3).unwrap_err();
        drop(part);
        assert_eq!(disk.file(name).as_deref(), Some(&b"precious"[..]), "{shape:?}: {:?}", disk.names());
    }
}

#[test]
fn a_numbered_file_that_is_made_again_is_its_own() {
    let disk = FaultyDisk::default();
    let mut part = open_numbered(&disk, Replace::Nothing).unwrap();
    split(&mut part, 0..2).unwrap();
    part.begin_file("003").unwrap();
    part.append(b"segment 2").unwrap();
    part.record(Entry::segment(&info(2), written()), None).unwrap();
    drop(part.commit(true).unwrap());
    let mut part = open_numbered(&disk, Replace::Nothing).unwrap();
    assert_eq!(split(&mut part, 2..4).unwrap(), 2);
    let account = part.commit(false).unwrap();
    assert_eq!(account.files().len(), 4);
}
