//! `benchmarks FOLDER [CASE]`: the binary against other programs, in turn, in the same run, as ratios. Under `FOLDER` lies the
//! media that they fetch, from run to run. `cargo xtask bench` calls this.

#![expect(clippy::print_stdout, reason = "the figures are for a person")]

mod measure;
mod media;
mod origin;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use fixture_server::{Fault, Rule};

use self::measure::{Cost, measure};
use self::media::{IV, KEY, Media, hex};
use self::origin::Origin;

const ROUNDS: usize = 5;
const CONNECTIONS: &str = "8";

/// The cases by name, with what each asks.
const CASES: [(&str, &str); 7] = [
    ("aes", "1 GiB of AES-128 in 2 MiB segments"),
    ("small", "5,000 segments of 40 KiB in AES-128"),
    ("tiny", "100,000 tiny segments, and a quarter of them: is the cost linear?"),
    (
        "latency",
        "60 ms of latency and 8 MB/s a connection: does the adaptive default find the best concurrency?",
    ),
    ("faults", "one request of twenty fails"),
    ("remux", "1 GiB of MPEG-TS to MP4"),
    ("faststart", "the same, with the index in front"),
];

/// Measures the case of this name, or all of them.
fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let (folder, case) = match &*arguments {
        [folder] => (folder, None),
        [folder, case] => (folder, Some(case.to_string_lossy())),
        _ => bail!("benchmarks FOLDER [CASE]"),
    };
    ensure!(
        case.as_deref().is_none_or(|case| CASES.iter().any(|(name, _)| *name == case)),
        "the cases are {}",
        CASES.map(|(name, _)| name).join(", ")
    );
    let bench = Bench::new(Path::new(folder))?;
    for (name, what) in CASES {
        if case.as_deref().is_some_and(|case| case != name) {
            continue;
        }
        println!("\n== {name}: {what}");
        match name {
            "aes" => bench.aes()?,
            "small" => bench.small()?,
            "tiny" => bench.tiny()?,
            "latency" => bench.latency()?,
            "faults" => bench.faults()?,
            "remux" => bench.remux(&[])?,
            _ => bench.remux(&["-movflags", "+faststart"])?,
        }
    }
    Ok(())
}

/// One of the programs that take turns.
struct Contender {
    name: &'static str,
    command: Box<dyn Fn() -> Command>,
    output: PathBuf,
    /// How many bytes it must write, where that is known.
    bytes: Option<u64>,
}

struct Bench {
    aqueduct: PathBuf,
    bare_loop: PathBuf,
    /// The media and what serves it.
    media: PathBuf,
    /// Where outputs go: in memory where that is possible, so that no disk is measured.
    outputs: PathBuf,
}

impl Bench {
    fn new(folder: &Path) -> Result<Self> {
        let aqueduct = build(&["build", "--release", "--package", "aqueduct-cli"], "aqueduct")?;
        let bare_loop = build(
            &["build", "--release", "--package", "aqueduct", "--bench", "bare_loop"],
            "bare_loop",
        )?;
        let memory = Path::new("/dev/shm");
        let outputs = if memory.is_dir() {
            memory.join("aqueduct-bench")
        } else {
            folder.join("outputs")
        };
        let media = folder.join("media");
        std::fs::create_dir_all(&media)?;
        std::fs::create_dir_all(outputs.join("curl"))?;
        println!("outputs go to {}, {ROUNDS} rounds, medians are compared", outputs.display());
        Ok(Self {
            aqueduct,
            bare_loop,
            media,
            outputs,
        })
    }

    fn aes(&self) -> Result<()> {
        let media = media::film(&self.media, true)?;
        let origin = Origin::fast(&self.media)?;
        let contenders = [
            self.bare_loop(&origin, &media),
            self.aqueduct("aqueduct", &origin, &media, "raw", &["--concurrency", CONNECTIONS]),
            self.curl(&origin, &media, &[]),
            self.ffmpeg(&origin, &media, "ts", &[]),
        ];
        compare(&contenders, ROUNDS).map(drop)
    }

    fn small(&self) -> Result<()> {
        let media = media::small(&self.media)?;
        let origin = Origin::fast(&self.media)?;
        let contenders = [
            self.bare_loop(&origin, &media),
            self.aqueduct("aqueduct", &origin, &media, "raw", &["--concurrency", CONNECTIONS]),
            self.curl(&origin, &media, &[]),
            self.ffmpeg(&origin, &media, "ts", &[]),
        ];
        let costs = compare(&contenders, ROUNDS)?;
        let each = costs[1].cpu.as_secs_f64() * 1e6 / media.segments as f64;
        println!("aqueduct: {each:.0} µs of CPU for each segment");
        Ok(())
    }

    fn tiny(&self) -> Result<()> {
        let few = media::tiny(&self.media, "tiny-25000", 25_000)?;
        let many = media::tiny(&self.media, "tiny-100000", 100_000)?;
        let origin = Origin::fast(&self.media)?;
        let contenders = [
            self.aqueduct("25,000", &origin, &few, "raw", &[]),
            self.aqueduct("100,000", &origin, &many, "raw", &[]),
        ];
        compare(&contenders, 3).map(drop)
    }

    fn latency(&self) -> Result<()> {
        let media = media::film(&self.media, true)?;
        let part = self.part(&media, 256)?;
        let rules = vec![
            Rule::new("*.ts", Fault::Delay { milliseconds: 60 }),
            Rule::new(
                "*.ts",
                Fault::Trickle {
                    bytes_per_second: 8_000_000,
                },
            ),
        ];
        let origin = Origin::ruled(&self.media, part.name, rules)?;
        let mut contenders = vec![self.aqueduct("auto", &origin, &part, "raw", &[])];
        for concurrency in ["4", "8", "16", "32"] {
            contenders.push(self.aqueduct(concurrency, &origin, &part, "raw", &["--concurrency", concurrency]));
        }
        let costs = compare(&contenders, 3)?;
        let best = costs[1..].iter().map(|cost| cost.wall).min().context("nothing was measured")?;
        println!("auto / best fixed: {:.2} wall", costs[0].wall.as_secs_f64() / best.as_secs_f64());
        Ok(())
    }

    fn faults(&self) -> Result<()> {
        let media = media::film(&self.media, true)?;
        let part = self.part(&media, 128)?;
        let rule = |fault, seed| Rule::new("*.ts", fault).percent(1, seed);
        let rules = vec![
            rule(Fault::status(503), 1),
            rule(Fault::status(500), 2),
            rule(Fault::Truncate { at: 1_000_000 }, 3),
            rule(Fault::Reset { at: 500_000 }, 4),
            rule(Fault::HangUp, 5),
        ];
        let whole = Origin::ruled(&self.media, part.name, Vec::new())?;
        let failing = Origin::ruled(&self.media, part.name, rules)?;
        let contenders = [
            self.aqueduct("no faults", &whole, &part, "raw", &[]),
            self.aqueduct("aqueduct", &failing, &part, "raw", &[]),
            self.curl(&failing, &part, &["--retry", "5", "--retry-all-errors"]),
        ];
        compare(&contenders, 3).map(drop)
    }

    fn remux(&self, flags: &[&'static str]) -> Result<()> {
        let media = media::film(&self.media, false)?;
        let origin = Origin::fast(&self.media)?;
        let contenders = [
            self.ffmpeg(&origin, &media, "mp4", flags),
            Contender {
                bytes: None,
                ..self.aqueduct("aqueduct", &origin, &media, "mp4", &[])
            },
        ];
        compare(&contenders, ROUNDS).map(drop)
    }

    /// The first segments of a stream, as a stream.
    fn part(&self, media: &Media, segments: usize) -> Result<Media> {
        let (name, from) = ("part", self.media.join(media.name));
        let place = self.media.join(name);
        if place.exists() {
            std::fs::remove_dir_all(&place)?;
        }
        std::fs::create_dir(&place)?;
        let playlist = std::fs::read_to_string(from.join("index.m3u8"))?;
        let mut lines = Vec::new();
        let mut taken = 0;
        for line in playlist.lines() {
            if taken == segments {
                break;
            }
            lines.push(line);
            if line.ends_with(".ts") {
                std::fs::hard_link(from.join(line), place.join(line))?;
                taken += 1;
            }
        }
        lines.push("#EXT-X-ENDLIST\n");
        std::fs::write(place.join("index.m3u8"), lines.join("\n"))?;
        std::fs::copy(from.join("key"), place.join("key"))?;
        Ok(Media {
            name,
            segments,
            bytes: media::clear_bytes(&place)?,
        })
    }

    fn bare_loop(&self, origin: &Origin, media: &Media) -> Contender {
        let (program, output) = (self.bare_loop.clone(), self.outputs.join("bare.ts"));
        let arguments = [origin.url(media.name), media.segments.to_string(), CONNECTIONS.to_owned()];
        let to = output.clone();
        let command = move || {
            let mut command = Command::new(&program);
            command.args(&arguments).arg(&to).args([hex(&KEY), hex(&IV)]);
            command
        };
        Contender {
            name: "bare loop",
            command: Box::new(command),
            output,
            bytes: Some(media.bytes),
        }
    }

    fn aqueduct(&self, name: &'static str, origin: &Origin, media: &Media, format: &'static str, options: &[&'static str]) -> Contender {
        let program = self.aqueduct.clone();
        let output = self.outputs.join(if format == "mp4" { "aqueduct.mp4" } else { "aqueduct.ts" });
        let (playlist, to, options) = (origin.url(&format!("{}/index.m3u8", media.name)), output.clone(), options.to_vec());
        let command = move || {
            let mut command = Command::new(&program);
            command
                .args([&playlist, "--quiet", "--format", format])
                .args(&options)
                .arg("--output")
                .arg(&to);
            command
        };
        Contender {
            name,
            command: Box::new(command),
            output,
            bytes: Some(media.bytes),
        }
    }

    /// It decrypts nothing and writes a file for each segment.
    fn curl(&self, origin: &Origin, media: &Media, options: &[&'static str]) -> Contender {
        let output = self.outputs.join("curl");
        let urls = origin.url(&format!("{}/[0-{}].ts", media.name, media.segments - 1));
        let (to, options) = (output.join("#1.ts"), options.to_vec());
        let command = move || {
            let mut command = Command::new("curl");
            command.args(["--silent", "--show-error", "--fail", "--parallel", "--parallel-max", CONNECTIONS]);
            command.args(&options).arg("--output").arg(&to).arg(&urls);
            command
        };
        Contender {
            name: "curl",
            command: Box::new(command),
            output,
            bytes: None,
        }
    }

    fn ffmpeg(&self, origin: &Origin, media: &Media, extension: &str, flags: &[&'static str]) -> Contender {
        let output = self.outputs.join(format!("ffmpeg.{extension}"));
        let (playlist, to, flags) = (origin.url(&format!("{}/index.m3u8", media.name)), output.clone(), flags.to_vec());
        let command = move || {
            let mut command = Command::new("ffmpeg");
            command
                .args(["-nostdin", "-y", "-v", "error", "-i", &playlist, "-c", "copy"])
                .args(&flags)
                .arg(&to);
            command
        };
        Contender {
            name: "ffmpeg",
            command: Box::new(command),
            output,
            bytes: None,
        }
    }
}

/// Lets the contenders take turns, and prints each one's medians beside the first's.
fn compare(contenders: &[Contender], rounds: usize) -> Result<Vec<Cost>> {
    let mut costs = vec![Vec::new(); contenders.len()];
    for _ in 0..rounds {
        for (contender, costs) in contenders.iter().zip(&mut costs) {
            costs.push(measure((contender.command)(), &contender.output, contender.bytes)?);
            remove(&contender.output)?;
        }
    }
    let medians: Vec<Cost> = costs.iter().filter_map(|costs| Cost::median(costs)).collect();
    let first = medians.first().context("nobody takes part")?;
    for (contender, cost) in contenders.iter().zip(&medians) {
        let (wall, cpu) = (cost.wall.as_secs_f64(), cost.cpu.as_secs_f64());
        println!(
            "{:10} {wall:6.2} s wall ({:4.2}), {cpu:6.2} s CPU ({:4.2}), {:4} MiB at most",
            contender.name,
            wall / first.wall.as_secs_f64(),
            cpu / first.cpu.as_secs_f64().max(0.01),
            cost.peak >> 20
        );
    }
    Ok(medians)
}

/// What is in memory is not to stay there.
fn remove(output: &Path) -> Result<()> {
    if output.is_dir() {
        for entry in std::fs::read_dir(output)? {
            std::fs::remove_file(entry?.path())?;
        }
    } else {
        std::fs::remove_file(output)?;
    }
    Ok(())
}

/// Builds an executable and says where it is.
fn build(arguments: &[&str], name: &str) -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments).args(["--message-format", "json-render-diagnostics"]);
    let output = cargo
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo")?;
    ensure!(output.status.success(), "building {name} failed");
    for line in output.stdout.split(|byte| *byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<serde_json::Value>(line) else {
            continue;
        };
        if message["target"]["name"] == name
            && let Some(path) = message["executable"].as_str()
        {
            return Ok(path.into());
        }
    }
    bail!("cargo built no {name}")
}
