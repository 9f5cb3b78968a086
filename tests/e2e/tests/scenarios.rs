//! Runs the table: every scenario is a test of its own. `cargo test -p e2e --test scenarios -- live/` runs
//! those whose names match.

#![expect(clippy::print_stderr, reason = "a skipped judge must be seen by whoever runs the tests")]

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    if !arguments.list && !e2e::ffmpeg::installed() {
        eprintln!("SKIPPED: ffmpeg and ffprobe are not installed; MP4 outputs are judged by re_mp4 alone");
    }
    if !arguments.list && !e2e::chromium::installed() {
        eprintln!("SKIPPED: chromium is not installed; no output is played by a browser");
    }
    let trials = e2e::table::all().into_iter().map(|scenario| {
        let name = scenario.name;
        let run = move || e2e::check(&scenario).map_err(|error| Failed::from(format!("{error:#}")));
        Trial::test(name, run)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
