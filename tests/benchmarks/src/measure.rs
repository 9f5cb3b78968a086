//! What one run of a program costs.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How often the peak of memory is read.
const SAMPLE: Duration = Duration::from_millis(5);

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// User and system time of the whole process.
    pub(crate) cpu: Duration,
    /// The largest resident set, in bytes.
    pub(crate) peak: u64,
}

impl Cost {
    /// The median of each figure by itself.
    pub(crate) fn median(costs: &[Self]) -> Option<Self> {
        Some(Self {
            wall: middle(costs.iter().map(|cost| cost.wall))?,
            cpu: middle(costs.iter().map(|cost| cost.cpu))?,
            peak: middle(costs.iter().map(|cost| cost.peak))?,
        })
    }
}

fn middle<T: Ord>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    let middle = values.len() / 2;
    values.into_iter().nth(middle)
}

/// Runs a command to its end, and checks that `output`, a file or a folder, has `expected` bytes where that is known.
pub(crate) fn measure(mut command: Command, output: &Path, expected: Option<u64>) -> Result<Cost> {
    clear(output)?;
    let begun = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {command:?}"))?;
    let mut pipe = child.stdout.take().context("no standard output")?;
    let (ended, end) = channel::<()>();
    let (read, wall, peak) = std::thread::scope(|scope| {
        let id = child.id();
        let sampler = scope.spawn(move || {
            let mut peak = 0;
            while end.recv_timeout(SAMPLE) == Err(RecvTimeoutError::Timeout) {
                peak = resident_peak(id).unwrap_or(peak);
            }
            peak
        });
        // Its end of the pipe closes when it ends; what it used can be read until it is waited for.
        let read = pipe.read_to_end(&mut Vec::new());
        let wall = begun.elapsed();
        drop(ended);
        (read, wall, sampler.join().unwrap_or_default())
    });
    read?;
    let cpu = processor_time(&child)?;
    let status = child.wait()?;
    ensure!(status.success(), "{command:?} ended with {status}");
    let written = size(output)?;
    ensure!(
        expected.is_none_or(|expected| written == expected) && written > 0,
        "{command:?} wrote {written} bytes, not {expected:?}"
    );
    Ok(Cost { wall, cpu, peak })
}

/// Removes what an earlier run left, and makes a folder where the output is one.
fn clear(output: &Path) -> Result<()> {
    if output.is_dir() {
        std::fs::remove_dir_all(output)?;
        std::fs::create_dir(output)?;
    } else if output.exists() {
        std::fs::remove_file(output)?;
    }
    Ok(())
}

fn size(output: &Path) -> Result<u64> {
    if !output.is_dir() {
        return Ok(std::fs::metadata(output)
            .with_context(|| format!("reading {}", output.display()))?
            .len());
    }
    let mut sum = 0;
    for entry in std::fs::read_dir(output)? {
        sum += entry?.metadata()?.len();
    }
    Ok(sum)
}

/// `VmHWM` of proc(5); a process that has ended has none.
fn resident_peak(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kibibytes * 1024)
}

/// What a process has used, once it has ended and before it is waited for.
fn processor_time(child: &Child) -> Result<Duration> {
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).context("reading /proc, which the measurement needs")?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        // proc(5): the state is field 3, user and system time are 14 and 15, in hundredths of a second.
        if fields.first() == Some(&"Z") {
            let times = fields.get(11..13).context("short /proc/PID/stat")?;
            let ticks: u64 = times.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
            return Ok(Duration::from_millis(ticks * 10));
        }
        std::thread::yield_now();
    }
}
