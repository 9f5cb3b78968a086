//! `cargo xtask serve`: the fixture server for trying things by hand.

use anyhow::Result;
use fixture_server::{Config, Server};

/// Serves the committed streams and sites until Ctrl-C.
pub(crate) fn serve(port: u16) -> Result<()> {
    let server = Server::start(Config {
        port,
        ..Config::standard()?
    })?;
    for path in server.entries() {
        println!("{}", server.url(&path));
    }
    println!("\nThe same is served at {}. Ctrl-C ends it.", server.other_origin());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::signal::ctrl_c())?;
    let requests = server.stats().read(|tally| tally.requests());
    println!("{requests} requests");
    Ok(())
}
