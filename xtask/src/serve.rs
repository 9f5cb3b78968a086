//! `cargo xtask serve`: the fixture server for trying things by hand.

use anyhow::{Context, Result, ensure};

use crate::run::build;

/// Serves the committed streams and sites until Ctrl-C.
pub(crate) fn serve(port: Option<&str>) -> Result<()> {
    let [mut server] = build(["fixture-server"])?;
    if let Some(port) = port {
        server.args(["--port", port]);
    }
    let status = server.status().context("starting the fixture server")?;
    ensure!(status.success(), "the fixture server ended with {status}");
    Ok(())
}
