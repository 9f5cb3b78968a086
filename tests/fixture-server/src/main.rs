//! `fixture-server [--port N] [--until-closed]`: serves the committed streams and sites until Ctrl-C, or until standard input is
//! closed, and says where they are. With `cargo xtask serve` a person tries things by hand.

#![expect(clippy::print_stdout, reason = "addresses are for who started it")]

use std::io::Read as _;

use anyhow::{Context as _, Result, bail};
use fixture_server::{Config, Server};

fn main() -> Result<()> {
    let (mut port, mut until_closed) = (0, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (&*argument, &mut arguments) {
            ("--port", rest) => port = rest.next().unwrap_or_default().parse().context("--port takes a number")?,
            ("--until-closed", _) => until_closed = true,
            _ => bail!("fixture-server [--port N] [--until-closed]"),
        }
    }
    let server = Server::start(Config {
        port,
        ..Config::standard()?
    })?;
    for path in server.entries() {
        println!("{}", server.url(&path));
    }
    println!("\nThe same is served at {}. Ctrl-C ends it.", server.other_origin());
    if until_closed {
        std::io::stdin().read_to_end(&mut Vec::new())?;
    } else {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(tokio::signal::ctrl_c())?;
    }
    let (requests, open) = server.stats().read(|tally| (tally.requests(), tally.open_max));
    println!("{requests} requests, at most {open} at once.");
    Ok(())
}
