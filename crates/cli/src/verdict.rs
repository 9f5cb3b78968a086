//! `--json` of `verify` and `repair`: one verdict on standard output (`verdict.schema.json`), for programs.

use std::io::Write;
use std::path::Path;

use aqueduct::{Findings, Found};
use serde_json::{Value, json};

use crate::exit::{self, Exit};

/// The version of the schema.
const VERSION: u32 = 1;

/// What a repair did.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) mended: u64,
    pub(crate) filled: u64,
    pub(crate) remade: Found<String>,
    pub(crate) left: Found<String>,
    /// Why it ended before it had tried all.
    pub(crate) failed: Option<String>,
}

impl Done {
    /// Whether anything was done.
    pub(crate) fn is_something(&self) -> bool {
        self.mended + self.filled + self.remade.count > 0
    }
}

/// Prints what was found, and gives the exit code: that of the verdict, unless it cannot be told.
pub(crate) fn tell(file: &Path, verdict: &str, findings: &Findings, done: Option<&Done>, exit: Exit) -> Exit {
    let container = &findings.container;
    let mut told = head(file, verdict, exit);
    told["proved"] = json!(findings.proved);
    told["container"] = json!({
        "name": container.container,
        "units": container.units,
        "problems": found(container.wrong, &json!(container.problems)),
    });
    told["damaged"] = found(findings.damaged.count, &json!(findings.damaged.first));
    told["missing"] = found(findings.missing.count, &json!(findings.missing.first));
    told["broken_off"] = json!(findings.broken_off);
    told["problems"] = found(findings.problems.count, &json!(findings.problems.first));
    told["repair"] = done.map_or(Value::Null, |done| {
        json!({
            "mended": done.mended,
            "filled": done.filled,
            "remade": found(done.remade.count, &json!(done.remade.first)),
            "left": found(done.left.count, &json!(done.left.first)),
            "failed": done.failed,
        })
    });
    print(&told, exit)
}

/// Prints that there is no verdict.
pub(crate) fn tell_failure(file: &Path, error: &anyhow::Error, exit: Exit) -> Exit {
    let mut told = head(file, "failed", exit);
    told["error"] = json!(format!("{error:#}"));
    print(&told, exit)
}

fn head(file: &Path, verdict: &str, exit: Exit) -> Value {
    json!({
        "version": VERSION,
        "program": concat!("aqueduct ", env!("CARGO_PKG_VERSION")),
        "file": file.to_string_lossy(),
        "verdict": verdict,
        "exit_code": exit.code(),
    })
}

/// Findings of one kind: how many, and the first of them.
fn found(count: u64, first: &Value) -> Value {
    json!({"count": count, "first": first})
}

fn print(told: &Value, exit: Exit) -> Exit {
    match writeln!(std::io::stdout(), "{told}") {
        // A reader that went away has seen what it wanted.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            exit::complain(&anyhow::Error::new(error).context("cannot write to standard output"), Exit::Failed);
            exit.max(Exit::Failed)
        }
        _ => exit,
    }
}
