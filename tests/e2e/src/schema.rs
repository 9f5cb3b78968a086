//! Reports and events against their schemas, by a validator that is none of ours.

use anyhow::{Context, Result, anyhow};
use boon::{Compiler, Schemas};
use serde_json::Value;

const REPORT: &str = include_str!("../../../crates/aqueduct/report.schema.json");
const VERDICT: &str = include_str!("../../../crates/cli/verdict.schema.json");
const EVENTS: &str = include_str!("../../../crates/cli/events.schema.json");

/// Checks a report.
pub fn check_report(text: &str) -> Result<Value> {
    let report = serde_json::from_str(text).context("no JSON")?;
    check("report.schema.json", &report)?;
    Ok(report)
}

/// Checks a verdict.
pub fn check_verdict(text: &str) -> Result<Value> {
    let verdict = serde_json::from_str(text).context("no JSON")?;
    check("verdict.schema.json", &verdict)?;
    Ok(verdict)
}

/// Checks events, one a line.
pub fn check_events(text: &str) -> Result<Vec<Value>> {
    text.lines()
        .map(|line| {
            let event = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
            check("events.schema.json", &event).with_context(|| line.to_owned())?;
            Ok(event)
        })
        .collect()
}

fn check(schema: &str, value: &Value) -> Result<()> {
    let mut compiler = Compiler::new();
    for (name, text) in [
        ("report.schema.json", REPORT),
        ("events.schema.json", EVENTS),
        ("verdict.schema.json", VERDICT),
    ] {
        let schema: Value = serde_json::from_str(text)?;
        compiler
            .add_resource(&format!("https://aqueduct.invalid/{name}"), schema)
            .map_err(|error| anyhow!("{name}: {error}"))?;
    }
    let mut schemas = Schemas::new();
    let index = compiler
        .compile(&format!("https://aqueduct.invalid/{schema}"), &mut schemas)
        .map_err(|error| anyhow!("{schema}: {error}"))?;
    schemas.validate(value, index).map_err(|error| anyhow!("{error:#}"))
}
