//! `cargo xtask demo`: the whole way, from a page to a file, on this machine alone.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::run::{build, target_directory};

const PAGE: &str = "/p/nested/watch.html";

/// Serves a page, runs the real binary on it and leaves the film under `target/demo/`.
pub(crate) fn demo() -> Result<()> {
    let [mut aqueduct, mut server] = build(["aqueduct", "fixture-server"])?;
    let folder = target_directory()?.join("demo");
    std::fs::create_dir_all(&folder)?;
    let film = folder.join("film.mp4");
    if film.exists() {
        std::fs::remove_file(&film)?;
    }
    server.arg("--until-closed").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = server.spawn().context("starting the fixture server")?;
    let mut says = BufReader::new(server.stdout.take().context("no standard output")?).lines();
    let page = says.by_ref().find(|line| line.as_ref().is_ok_and(|line| line.ends_with(PAGE)));
    let page = page.with_context(|| format!("the fixture server serves no {PAGE}"))??;
    println!("A page with two nested iframes and a script is served at {page}");
    println!("$ aqueduct {page} -o {}", film.display());
    let status = aqueduct.arg(&page).arg("-o").arg(&film).status().context("starting the binary")?;
    ensure!(status.success(), "the binary ended with {status}");

    let bytes = std::fs::read(&film).with_context(|| format!("reading {}", film.display()))?;
    ensure!(bytes.get(4..8) == Some(b"ftyp"), "{} is no MP4", film.display());
    drop(server.stdin.take());
    if let Some(requests) = says.last() {
        println!("{}", requests?);
    }
    ensure!(server.wait()?.success(), "the fixture server failed");
    println!("A playable film of 12 seconds and {} bytes is at {}", bytes.len(), film.display());
    Ok(())
}
