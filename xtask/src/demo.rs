//! `cargo xtask demo`: the whole way, from a page to a file, on this machine alone.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use fixture_server::{Config, Server};

use crate::run::{build_binary, target_directory};

const PAGE: &str = "/p/nested/watch.html";

/// Serves a page, runs the real binary on it and leaves the film under `target/demo/`.
pub(crate) fn demo() -> Result<()> {
    let binary = build_binary()?;
    let folder = target_directory()?.join("demo");
    std::fs::create_dir_all(&folder)?;
    let film = folder.join("film.mp4");
    if film.exists() {
        std::fs::remove_file(&film)?;
    }
    let server = Server::start(Config::standard()?)?;
    let page = server.url(PAGE);
    println!("A page with two nested iframes and a script is served at {page}");
    println!("$ aqueduct {page} -o {}", film.display());
    let status = Command::new(&binary).arg(&page).arg("-o").arg(&film).status();
    let status = status.with_context(|| format!("starting {}", binary.display()))?;
    ensure!(status.success(), "the binary ended with {status}");

    let bytes = std::fs::read(&film).with_context(|| format!("reading {}", film.display()))?;
    ensure!(bytes.get(4..8) == Some(b"ftyp"), "{} is no MP4", film.display());
    let (requests, open) = server.stats().read(|tally| (tally.requests(), tally.open_max));
    println!("{requests} requests, at most {open} at once.");
    println!("A playable film of 12 seconds and {} bytes is at {}", bytes.len(), film.display());
    Ok(())
}
