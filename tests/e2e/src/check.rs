//! The runner: one scenario, from a fresh directory to a verdict.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use fixture_server::{Clip, Config, Exchange, Server, Tally};
use tokio::io::AsyncWriteExt;

use crate::binary::{self, Finished};
use crate::scenario::{Asked, Input, Interrupt, Outcome, Scenario, Times};
use crate::{chromium, ffmpeg, judge, schema};

/// Runs the scenario; an error says everything that is wrong, and what the binary said.
pub fn check(scenario: &Scenario) -> Result<()> {
    let (directory, aside) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let report = aside.path().join("report.json");
    let server = Server::start(config(scenario)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let finished = runtime.block_on(run(scenario, &server, directory.path(), &report))?;

    let mut wrong = Vec::new();
    let mut note = |what: &str, result: Result<()>| {
        if let Err(error) = result {
            wrong.push(format!("{what}: {error:#}"));
        }
    };
    note("exit code", exit_code(scenario, &finished));
    note("output", output(scenario, &finished, directory.path()));
    if scenario.plays && chromium::installed() {
        note("browser", runtime.block_on(browser(scenario, directory.path())));
    }
    note("files", files(scenario, &server, directory.path()));
    note("cues", cues(scenario, directory.path()));
    note("ffprobe", probe(scenario, directory.path()));
    note("directory", directory_is_tidy(scenario, directory.path()));
    note("report", reported(scenario, &report));
    note("words", words(scenario, &server, &finished));
    note("requests", server.stats().read(|tally| requests(scenario, &server, tally)));
    if wrong.is_empty() {
        return Ok(());
    }
    let asked = server.stats().read(asked);
    bail!("{}\n--- requests\n{asked}--- standard error\n{}", wrong.join("\n"), finished.stderr)
}

fn config(scenario: &Scenario) -> Result<Config> {
    let mut config = Config::standard()?;
    config.rules = scenario.rules.clone();
    let streams = scenario.streams.iter().cloned();
    config.streams.extend(streams.map(|(name, stream)| (name.to_owned(), stream)));
    let files = scenario.files.iter();
    config
        .files
        .extend(files.map(|(path, text)| ((*path).to_owned(), Bytes::from_static(text.as_bytes()))));
    let media = scenario.media.iter();
    config.files.extend(media.map(|(path, bytes)| ((*path).to_owned(), bytes.clone())));
    Ok(config)
}

/// Whether the run fetches one stream, of which there is a report.
fn has_report(scenario: &Scenario) -> bool {
    let others = ["list", "--report", "--help"];
    let all = scenario.args.windows(2).any(|pair| pair == ["--pick", "all"]);
    !all && !scenario.args.iter().any(|arg| others.contains(arg))
}

/// The report of every run is as its schema says, and tells the exit code.
fn reported(scenario: &Scenario, path: &Path) -> Result<()> {
    // What cannot be used has none.
    if !has_report(scenario) || scenario.exit == 2 {
        return Ok(());
    }
    let report = schema::check_report(&std::fs::read_to_string(path).context("reading it")?)?;
    ensure!(report["exit_code"] == scenario.exit, "its exit code is {}", report["exit_code"]);
    let text = report.to_string();
    let told = scenario.hides.iter().find(|secret| text.contains(**secret));
    ensure!(told.is_none(), "it says {told:?}");
    Ok(())
}

async fn run(scenario: &Scenario, server: &Server, directory: &Path, report: &Path) -> Result<Finished> {
    let mut command = binary::command(directory)?;
    if has_report(scenario) {
        command.arg("--report").arg(report);
    }
    command.args(scenario.args.iter().map(|arg| server.render(arg)));
    if !scenario.unnamed {
        command.args(["-o", scenario.output]);
    }
    let mut input = None;
    match &scenario.input {
        Input::Served(path) => drop(command.arg(server.url(path))),
        Input::Url(url) => drop(command.arg(server.render(url))),
        Input::File(name, text) => {
            std::fs::write(directory.join(name), server.render(text))?;
            command.arg(name);
        }
        Input::Stdin(text) => {
            input = Some(server.render(text));
            command.arg("-").stdin(std::process::Stdio::piped());
        }
    }
    for (name, file) in &scenario.local {
        let bytes = Clip::get()?.file(file).context("no such file in the clip")?;
        std::fs::write(directory.join(name), bytes)?;
    }
    for (name, text) in &scenario.given {
        std::fs::write(directory.join(name), server.render(text))?;
    }
    let certificate = tempfile::NamedTempFile::new()?;
    if scenario.trusted {
        std::fs::write(certificate.path(), server.certificate_pem()?)?;
        command.env("SSL_CERT_FILE", certificate.path());
    }
    let mut child = command.spawn().context("starting the binary")?;
    if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
        pipe.write_all(text.as_bytes()).await?;
    }
    if let Some(Interrupt { path, answered }) = &scenario.interrupt {
        let condition = server.stats().wait_until(|tally| answered_paths(tally, path) >= *answered);
        let moment = tokio::time::timeout(scenario.deadline, async {
            // A binary that ends before is judged by its exit code.
            tokio::select! {
                () = condition => true,
                _ = child.wait() => false,
            }
        });
        if moment.await.context("the moment of the interruption did not come")? {
            binary::interrupt(&child)?;
        }
    }
    binary::finish(child, scenario.deadline).await
}

fn answered_paths(tally: &Tally, pattern: &str) -> usize {
    let ended = tally.matching(pattern).filter(|exchange| exchange.ended.is_some());
    ended
        .map(|exchange| &exchange.request.path)
        .collect::<std::collections::HashSet<_>>()
        .len()
}

fn exit_code(scenario: &Scenario, finished: &Finished) -> Result<()> {
    ensure!(finished.code == Some(scenario.exit), "{:?}, not {}", finished.code, scenario.exit);
    Ok(())
}

fn output(scenario: &Scenario, finished: &Finished, directory: &Path) -> Result<()> {
    let path = directory.join(scenario.output);
    let bytes = match scenario.output {
        "-" => finished.stdout.clone(),
        _ => {
            ensure!(finished.stdout.is_empty(), "{} bytes on standard output", finished.stdout.len());
            if matches!(scenario.outcome, Outcome::Nothing) {
                ensure!(!path.exists(), "a file under the final name");
                return Ok(());
            }
            std::fs::read(&path).with_context(|| format!("reading {}", scenario.output))?
        }
    };
    match &scenario.outcome {
        Outcome::Nothing => ensure!(bytes.is_empty(), "{} bytes on standard output", bytes.len()),
        Outcome::Concatenation(reference) => judge::same_bytes(&bytes, &reference.bytes()?)?,
        Outcome::Beginning(reference) => ensure!(reference.bytes()?.starts_with(&bytes), "something else than the beginning"),
        Outcome::Bytes(file) => {
            let clip = Clip::get()?.file(file).context("no such file in the clip")?;
            judge::same_bytes(&bytes, &clip)?;
        }
        Outcome::Cues => subtitles(&path)?,
        Outcome::Exactly(expected) => judge::same_bytes(&bytes, expected)?,
        Outcome::Media(file) => {
            let clip = Clip::get()?.file(file).context("no such file in the clip")?;
            judge::same_media(&bytes, &clip)?;
            if ffmpeg::installed() {
                ffmpeg::same_packets(&bytes, &clip)?;
            }
        }
        Outcome::Mp4WithCues(references) => {
            judge::mp4(&bytes, references)?;
            if ffmpeg::installed() {
                ffmpeg::judge(&bytes, "mp4", &["v", "a"], references)?;
                judge::cues(&ffmpeg::text_track(&path)?)?;
            }
        }
        Outcome::Mp4(references) => {
            judge::mp4(&bytes, references)?;
            if ffmpeg::installed() {
                ffmpeg::judge(&bytes, "mp4", &["v", "a"], references)?;
            }
        }
        Outcome::StreamsWithCues(extension, references) => {
            ensure!(!bytes.is_empty(), "an empty file");
            if ffmpeg::installed() {
                ffmpeg::judge(&bytes, extension, &["v", "a"], references)?;
                judge::cues(&ffmpeg::text_track(&path)?)?;
            }
        }
        Outcome::Streams(extension, streams, references) => {
            ensure!(!bytes.is_empty(), "an empty file");
            if ffmpeg::installed() {
                ffmpeg::judge(&bytes, extension, streams, references)?;
                ffmpeg::has_only(&path, streams)?;
            }
        }
    }
    Ok(())
}

async fn browser(scenario: &Scenario, directory: &Path) -> Result<()> {
    let bytes = std::fs::read(directory.join(scenario.output)).with_context(|| format!("reading {}", scenario.output))?;
    chromium::judge(&bytes).await
}

/// Files that the run was asked for besides its output. They are for the user alone.
fn files(scenario: &Scenario, server: &Server, directory: &Path) -> Result<()> {
    for (name, text) in &scenario.leaves {
        let path = directory.join(name);
        let found = std::fs::read_to_string(&path).with_context(|| format!("reading {name}"))?;
        let text = server.render(text);
        ensure!(found.contains(&text), "{name} does not hold {text:?} but {found:?}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path)?.permissions().mode() & 0o777;
            ensure!(mode == 0o600, "{name} has mode {mode:o}");
        }
    }
    Ok(())
}

fn cues(scenario: &Scenario, directory: &Path) -> Result<()> {
    let Some(name) = scenario.cues else { return Ok(()) };
    subtitles(&directory.join(name))
}

/// The clip's cues, in a file that ffmpeg reads without a word.
fn subtitles(path: &Path) -> Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    judge::cues(&text)?;
    if ffmpeg::installed() {
        ffmpeg::reads_cues(path)?;
    }
    Ok(())
}

fn probe(scenario: &Scenario, directory: &Path) -> Result<()> {
    if scenario.probe.is_empty() || !ffmpeg::installed() {
        return Ok(());
    }
    let told = ffmpeg::probe(&directory.join(scenario.output))?;
    for line in &scenario.probe {
        ensure!(told.lines().any(|known| known == *line), "it does not say {line:?} but\n{told}");
    }
    Ok(())
}

/// Of a run that went well, nothing is left but the output.
fn directory_is_tidy(scenario: &Scenario, directory: &Path) -> Result<()> {
    if scenario.exit != 0 {
        return Ok(());
    }
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let input = matches!(&scenario.input, Input::File(file, _) if *file == name);
        let local = scenario.local.iter().any(|(file, _)| *file == name);
        let cues = scenario.cues == Some(name.as_str());
        let known = scenario.given.iter().chain(&scenario.leaves).any(|(file, _)| *file == name);
        ensure!(
            name == scenario.output || input || local || cues || known,
            "{name:?} was left behind"
        );
    }
    Ok(())
}

fn words(scenario: &Scenario, server: &Server, finished: &Finished) -> Result<()> {
    for text in &scenario.says {
        let text = server.render(text);
        ensure!(finished.stderr.contains(&text), "standard error does not say {text:?}");
    }
    let stdout = String::from_utf8_lossy(&finished.stdout);
    for text in &scenario.hides {
        let told = finished.stderr.contains(text) || stdout.contains(text);
        ensure!(!told, "it says {text:?}");
    }
    Ok(())
}

fn requests(scenario: &Scenario, server: &Server, tally: &Tally) -> Result<()> {
    for asked in &scenario.asked {
        let count = tally
            .matching(asked.path)
            .filter(|exchange| is_meant(asked, server, exchange))
            .count();
        let fits = match asked.times {
            Times::Exactly(times) => count == times,
            Times::AtLeast(times) => count >= times,
            Times::AtMost(times) => count <= times,
        };
        ensure!(fits, "{count} requests for {asked:?}");
    }
    if let Some((path, most)) = scenario.open_at_most {
        let open = tally.open_max_of(path);
        ensure!(open <= most, "{open} requests for {path} were open at once, not {most} at most");
    }
    if let Some((path, least)) = scenario.open_at_least {
        let open = tally.open_max_of(path);
        ensure!(open >= least, "{open} requests for {path} were open at once, not {least} at least");
    }
    Ok(())
}

fn is_meant(asked: &Asked, server: &Server, exchange: &Exchange) -> bool {
    let header = asked.header.is_none_or(|(name, start)| {
        exchange
            .request
            .header(name)
            .is_some_and(|value| value.starts_with(&server.render(start)))
    });
    header && (exchange.other_origin || !asked.other_origin)
}

/// The requests in order, for a person to read. A long list is cut.
fn asked(tally: &Tally) -> String {
    let lines = tally.exchanges.iter().take(80).map(|exchange| {
        let range = exchange.request.header("range").unwrap_or_default();
        let host = exchange.request.header("host").unwrap_or_default();
        format!("{} {host}{} {range}\n", exchange.status, exchange.request.path)
    });
    lines.collect()
}
