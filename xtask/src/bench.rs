//! `cargo xtask bench [CASE]`.

use anyhow::{Context, Result, ensure};

use crate::run::{build, target_directory};

/// Measures the case of this name, or all of them.
pub(crate) fn bench(case: Option<&str>) -> Result<()> {
    let [mut benchmarks] = build(["benchmarks"])?;
    let status = benchmarks.arg(target_directory()?.join("bench")).args(case).status();
    let status = status.context("starting the benchmarks")?;
    ensure!(status.success(), "the benchmarks ended with {status}");
    Ok(())
}
