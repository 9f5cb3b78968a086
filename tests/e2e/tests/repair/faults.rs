//! A repair on a disk that refuses.

use std::process::Stdio;

use e2e::bench::PATIENCE;
use e2e::binary::{self, Finished};

use super::*;

/// What a shell counts file sizes in (POSIX, `ulimit -f`).
const BLOCK: usize = 512;

/// Repairs where no file can be written beyond `bytes`, as on a disk that is full there: the system refuses (`EFBIG`).
async fn repair_within(made: &Made, bytes: usize) -> Finished {
    repair_behind(made, &format!("trap '' XFSZ; ulimit -f {}", bytes / BLOCK), &[]).await
}

/// Repairs behind what a shell does first.
async fn repair_behind(made: &Made, script: &str, args: &[&str]) -> Finished {
    let known = binary::command(made.bench.folder()).unwrap();
    let known = known.as_std();
    let mut shell = tokio::process::Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("{script}; exec \"$0\" \"$@\""))
        .arg(known.get_program())
        .args(["repair", made.output])
        .args(args)
        .current_dir(made.bench.folder())
        .env_clear()
        .envs(known.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    binary::finish(shell.spawn().unwrap(), PATIENCE).await.unwrap()
}

#[tokio::test]
async fn what_was_mended_before_the_disk_refused_stays_and_the_rest_follows_later() {
    for (output, path, first, second) in [
        ("out.ts", "/s/plain-ts/index.m3u8", 0, 4),
        ("out.mp4", "/s/fmp4/index.m3u8", 1, 4),
        ("out.mp4", "/s/plain-ts/index.m3u8", 1, 4),
    ] {
        let made = Made::new(output, path, &[]).await;
        let places = [first, second].map(|msn| {
            let (offset, length) = made.piece(0, msn);
            offset + length / 2
        });
        let damaged = made.flip(&places);
        let (from, length) = made.piece(0, second);
        let refused = repair_within(&made, from + length / 4).await;
        expect(&refused, 1, "cannot be written");
        let now = made.bench.read(output);
        assert_eq!(now.len(), damaged.len(), "{path}");
        let others = now.iter().zip(&damaged).zip(&made.whole);
        assert!(
            others.clone().all(|((now, damaged), whole)| now == damaged || now == whole),
            "{path}: it was made worse"
        );
        assert_eq!(now[places[0]], made.whole[places[0]], "{path}: what was mended is lost");
        assert_eq!(made.names(), 2, "{path}: something was left behind");
        made.repair(&[], 0, "sound").await;
        made.is_whole(path);
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_written_anew_stays_as_it_is() {
    for (output, path, missing) in [
        ("out.ts", "/s/plain-ts/index.m3u8", "/s/plain-ts/2.ts"),
        ("out.mp4", "/s/plain-ts/index.m3u8", "/s/plain-ts/2.ts"),
        ("out.mp4", "/s/fmp4/index.m3u8", "/s/fmp4/2.m4s"),
    ] {
        let undisturbed = Made::new(output, path, &[]).await;
        // Where the disk is full: at once, in the middle, and with the last bytes.
        for room in [0, undisturbed.whole.len() / 2, undisturbed.whole.len() - BLOCK] {
            let bench = Bench::new(vec![Rule::new(missing, Fault::status(404))]);
            let made = Made::by(bench, output, path, &["--on-missing", "gap"], 3).await;
            made.bench.server.set_rules(Vec::new());
            let refused = repair_within(&made, room).await;
            expect(&refused, 1, "cannot be written");
            made.is_whole(&format!("{path} to {output} within {room} bytes"));
            assert_eq!(made.names(), 2, "{path}: something was left behind: {:?}", made.bench.names());
            made.repair(&[], 0, "missing segments filled in: 1").await;
            assert!(made.bench.read(output) == undisturbed.whole, "{path}: it is not what it should be");
        }
    }
}

#[tokio::test]
async fn a_repair_that_is_killed_while_it_writes_anew_leaves_the_file_as_it_was_and_the_next_one_mends_it() {
    for (output, path, missing) in [
        ("out.ts", "/s/plain-ts/index.m3u8", "/s/plain-ts/3.ts"),
        ("out.mp4", "/s/plain-ts/index.m3u8", "/s/plain-ts/3.ts"),
        ("out.mp4", "/s/fmp4/index.m3u8", "/s/fmp4/3.m4s"),
    ] {
        let undisturbed = Made::new(output, path, &[]).await;
        let bench = Bench::new(vec![Rule::new(missing, Fault::status(404))]);
        let made = Made::by(bench, output, path, &["--on-missing", "gap"], 3).await;
        // What is missing never comes, so that the new file stands half written.
        made.bench.server.set_rules(vec![Rule::new(missing, Fault::Stall { at: 1000 })]);
        let before = made.bench.asked(missing);
        let mut command = binary::command(made.bench.folder()).unwrap();
        let mut child = command.args(["repair", output]).spawn().unwrap();
        made.bench.server.stats().wait_until(|tally| tally.count(missing) > before).await;
        // One at a time.
        made.repair(&[], 1, "is being written by another process").await;
        child.kill().await.unwrap();
        made.is_whole(&format!("{path} to {output}: killed"));
        made.bench.server.set_rules(Vec::new());
        made.repair(&[], 0, "missing segments filled in: 1").await;
        assert!(made.bench.read(output) == undisturbed.whole, "{path}: it is not what it should be");
        assert_eq!(made.names(), 2, "{path}: something was left behind: {:?}", made.bench.names());
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_made_anew_for_want_of_room_stays_as_it_is() {
    for (output, path) in [("out.mkv", "/s/fmp4/index.m3u8"), ("out.ts", "/s/discontinuity/index.m3u8")] {
        let made = Made::new(output, path, &[]).await;
        let damaged = made.damage_index();
        for room in [0, made.whole.len() / 2, made.whole.len() - BLOCK] {
            let refused = repair_within(&made, room).await;
            expect(&refused, 1, "cannot be written");
            assert!(made.bench.read(output) == damaged, "{output} within {room} bytes: it was touched");
        }
        made.repair(&[], 0, "made anew of the whole stream").await;
        made.is_whole(output);
        assert_eq!(made.names(), 2, "{output}: something was left behind: {:?}", made.bench.names());
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_report_that_cannot_be_written_is_written_by_the_next_repair() {
    for (output, path, missing) in [
        ("out.mp4", "/s/plain-ts/index.m3u8", "/s/plain-ts/2.ts"),
        ("out.mp4", "/s/fmp4/index.m3u8", "/s/fmp4/0.m4s"),
        ("out.ts", "/s/plain-ts/index.m3u8", "/s/plain-ts/2.ts"),
    ] {
        let undisturbed = Made::new(output, path, &[]).await;
        let bench = Bench::new(vec![Rule::new(missing, Fault::status(404))]);
        let made = Made::by(bench, output, path, &["--on-missing", "gap"], 3).await;
        made.bench.server.set_rules(Vec::new());
        // There it can be read, and nobody can put another one beside it.
        let open = format!("exec 9<{output}.report.json");
        let failed = repair_behind(&made, &open, &["--report", "/proc/self/fd/9"]).await;
        expect(&failed, 1, "the next repair writes the report");
        assert!(made.bench.read(output) == undisturbed.whole, "{output}: {}", failed.stderr);
        assert_eq!(made.names(), 3, "{output}: the journal is gone: {:?}", made.bench.names());
        let before = made.bench.segments();
        made.repair(&[], 0, "sound: ").await;
        assert_eq!(made.bench.segments(), before, "{output}: it was fetched again");
        assert_eq!(made.names(), 2, "{output}: {:?}", made.bench.names());
        expect(&made.bench.run(&["verify", output]).await, 0, "sound: ");
    }
}
