//! `cargo xtask bench`: the pipeline against a bare loop, in the same run, as ratios.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fixture_server::encrypt_aes_128;

use crate::run::{cargo, target_directory};

const SEGMENTS: usize = 512;
const SEGMENT_BYTES: usize = 2 << 20;
const CONNECTIONS: usize = 8;
const ROUNDS: usize = 5;
const KEY: [u8; 16] = *b"aqueduct's bench";
const IV: [u8; 16] = [7; 16];

/// What one run took.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    /// User and system time.
    cpu: Duration,
}

/// Measures and prints. The two take turns, and the medians are compared.
pub(crate) fn bench() -> Result<()> {
    let aqueduct = build(&["build", "--release", "--package", "aqueduct-cli"], "aqueduct")?;
    let bare_loop = build(
        &["build", "--release", "--package", "aqueduct", "--bench", "bare_loop"],
        "bare_loop",
    )?;
    let folder = target_directory()?.join("bench");
    std::fs::create_dir_all(&folder)?;
    let origin = serve()?;
    let (playlist, output) = (format!("{origin}/index.m3u8"), folder.join("out.ts"));
    let expected = (SEGMENTS * SEGMENT_BYTES) as u64;

    println!("{SEGMENTS} segments of {SEGMENT_BYTES} bytes in AES-128, {CONNECTIONS} connections, {ROUNDS} rounds");
    let (mut pipeline, mut bare) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let connections = CONNECTIONS.to_string();
        let mut command = Command::new(&bare_loop);
        command
            .args([&origin, &SEGMENTS.to_string(), &connections])
            .arg(&output)
            .args([hex(&KEY), hex(&IV)]);
        bare.push(measure(command, &output, expected)?);
        let mut command = Command::new(&aqueduct);
        command
            .args([&playlist, "--quiet", "--format", "raw", "--concurrency", &connections, "--output"])
            .arg(&output);
        pipeline.push(measure(command, &output, expected)?);
        for (name, cost) in [("bare loop", bare.last()), ("aqueduct", pipeline.last())] {
            if let Some(Cost { wall, cpu }) = cost {
                println!(
                    "round {round}: {name:9}  {:.2} s wall, {:.2} s CPU",
                    wall.as_secs_f64(),
                    cpu.as_secs_f64()
                );
            }
        }
    }
    let ratio = |of: fn(&Cost) -> Duration| median(&pipeline, of).as_secs_f64() / median(&bare, of).as_secs_f64();
    println!(
        "aqueduct / bare loop: {:.2} wall, {:.2} CPU",
        ratio(|cost| cost.wall),
        ratio(|cost| cost.cpu)
    );
    Ok(())
}

fn median(costs: &[Cost], of: fn(&Cost) -> Duration) -> Duration {
    let mut times: Vec<Duration> = costs.iter().map(of).collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Builds an executable and says where it is.
fn build(arguments: &[&str], name: &str) -> Result<PathBuf> {
    let mut command = cargo(arguments);
    command.args(["--message-format", "json-render-diagnostics"]).stdout(Stdio::piped());
    let output = command.output().context("starting cargo")?;
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

/// Runs a command to its end, and checks that it wrote everything.
fn measure(mut command: Command, output: &Path, expected: u64) -> Result<Cost> {
    if output.exists() {
        std::fs::remove_file(output)?;
    }
    let begun = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {command:?}"))?;
    // Its end of the pipe closes when it ends; what it used can be read until it is waited for.
    child.stdout.take().context("no standard output")?.read_to_end(&mut Vec::new())?;
    let wall = begun.elapsed();
    let cpu = loop {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).context("reading /proc, which the measurement needs")?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        // proc(5): the state is field 3, user and system time are 14 and 15, in hundredths of a second.
        if fields.first() == Some(&"Z") {
            let ticks: u64 = fields
                .get(11..13)
                .context("short /proc/PID/stat")?
                .iter()
                .filter_map(|field| field.parse::<u64>().ok())
                .sum();
            break Duration::from_millis(ticks * 10);
        }
        std::thread::yield_now();
    };
    let status = child.wait()?;
    ensure!(status.success(), "{command:?} ended with {status}");
    let written = std::fs::metadata(output)?.len();
    ensure!(written == expected, "{command:?} wrote {written} of {expected} bytes");
    Ok(Cost { wall, cpu })
}

/// Serves a playlist, its key and its segments, which are all the same bytes: the server should cost little.
fn serve() -> Result<String> {
    let segment = encrypt_aes_128(&(0..=250).cycle().take(SEGMENT_BYTES).collect::<Vec<u8>>(), &KEY, &IV);
    let mut playlist = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI=\"key\",IV=0x{}\n",
        hex(&IV).to_uppercase()
    );
    for number in 0..SEGMENTS {
        playlist += &format!("#EXTINF:2,\n{number}\n");
    }
    playlist += "#EXT-X-ENDLIST\n";
    let answer = |body: &[u8]| {
        Arc::<[u8]>::from(
            [
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(),
                body,
            ]
            .concat(),
        )
    };
    let (playlist, key, segment) = (answer(playlist.as_bytes()), answer(&KEY), answer(&segment));
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let origin = format!("http://{}", listener.local_addr()?);
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let (playlist, key, segment) = (Arc::clone(&playlist), Arc::clone(&key), Arc::clone(&segment));
            std::thread::spawn(move || {
                // A client that hangs up ends its thread.
                let _ = converse(&connection, |path| match path {
                    "/index.m3u8" => &*playlist,
                    "/key" => &*key,
                    _ => &*segment,
                });
            });
        }
    });
    Ok(origin)
}

fn converse<'a>(connection: &TcpStream, answer: impl Fn(&str) -> &'a [u8]) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let mut requests = BufReader::new(connection);
    let mut connection = connection;
    let mut line = String::new();
    loop {
        line.clear();
        if requests.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        while line != "\r\n" {
            line.clear();
            if requests.read_line(&mut line)? == 0 {
                return Ok(());
            }
        }
        connection.write_all(answer(&path))?;
    }
}
