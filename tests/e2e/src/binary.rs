//! The binary under test: where it is, and one run of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncReadExt;

/// What a run left behind.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

/// The binary under test: `AQUEDUCT_BIN`, or built now beside the running test.
pub fn path() -> Result<&'static Path> {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    if let Some(path) = PATH.get() {
        return Ok(path);
    }
    let path = match std::env::var_os("AQUEDUCT_BIN") {
        Some(path) => std::path::absolute(path)?,
        None => build()?,
    };
    anyhow::ensure!(path.is_file(), "no binary at {}", path.display());
    Ok(PATH.get_or_init(|| path))
}

/// Whether there is such a program. It is not started: each scenario is a process, and asks.
pub(crate) fn is_on_path(program: &str) -> bool {
    let program = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(&program).is_file()))
}

fn build() -> Result<PathBuf> {
    // A test lies in TARGET/PROFILE/deps.
    let test = std::env::current_exe()?;
    let profile = test.parent().and_then(Path::parent).context("a test outside a target directory")?;
    let target = profile.parent().context("a test outside a target directory")?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--package", "aqueduct-cli", "--target-dir"])
        .arg(target);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().context("starting cargo")?;
    if !status.success() {
        bail!("the binary does not build");
    }
    Ok(profile.join(format!("aqueduct{}", std::env::consts::EXE_SUFFIX)))
}

/// The binary with a clean environment, in a directory.
pub fn command(directory: &Path) -> Result<tokio::process::Command> {
    let mut command = Command::new(path()?);
    command.current_dir(directory).env_clear();
    for name in ["PATH", "SystemRoot", "TMPDIR", "TEMP", "RUST_BACKTRACE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    // Settings of the person who runs the tests are none of ours.
    command
        .env("HOME", directory)
        .env("XDG_CONFIG_HOME", directory)
        .env("NO_COLOR", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    Ok(command)
}

/// Reads what the child says until it ends; kills it at the deadline.
pub async fn finish(mut child: tokio::process::Child, deadline: Duration) -> Result<Finished> {
    let mut stdout = child.stdout.take();
    let mut stderr = child.stderr.take();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ended = {
        let reading = async {
            if let Some(pipe) = &mut stdout {
                pipe.read_to_end(&mut out).await?;
            }
            anyhow::Ok(())
        };
        let listening = async {
            if let Some(pipe) = &mut stderr {
                pipe.read_to_end(&mut err).await?;
            }
            anyhow::Ok(())
        };
        let all = async { tokio::try_join!(reading, listening, async { Ok(child.wait().await?) }) };
        tokio::time::timeout(deadline, all).await
    };
    let stderr = String::from_utf8_lossy(&err).into_owned();
    match ended {
        Ok(ended) => Ok(Finished {
            code: ended?.2.code(),
            stdout: out,
            stderr,
        }),
        Err(_) => {
            child.kill().await?;
            bail!("still running after {} s; it said:\n{stderr}", deadline.as_secs());
        }
    }
}

/// Ctrl-C.
pub fn interrupt(child: &tokio::process::Child) -> Result<()> {
    let id = child.id().context("it has ended before it could be interrupted")?;
    let status = Command::new("sh").args(["-c", &format!("kill -INT {id}")]).status()?;
    anyhow::ensure!(status.success(), "it could not be interrupted");
    Ok(())
}
