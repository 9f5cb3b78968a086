//! The walls of DESIGN.md, proven from `cargo metadata`.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::run::{Tally, metadata, root};

/// Each room and the rooms that it may use.
const ROOMS: &[(&str, &[&str])] = &[
    ("aqueduct-core", &[]),
    ("aqueduct-playlist", &[]),
    ("aqueduct-media", &[]),
    ("aqueduct-resolve", &["aqueduct-core", "aqueduct-playlist"]),
    ("aqueduct-fetch", &["aqueduct-core"]),
    ("aqueduct-decrypt", &["aqueduct-core", "aqueduct-media"]),
    ("aqueduct-mux", &["aqueduct-core", "aqueduct-media", "aqueduct-playlist"]),
    (
        "aqueduct",
        &[
            "aqueduct-core",
            "aqueduct-playlist",
            "aqueduct-media",
            "aqueduct-resolve",
            "aqueduct-fetch",
            "aqueduct-decrypt",
            "aqueduct-mux",
        ],
    ),
    ("aqueduct-cli", &["aqueduct"]),
    ("fixture-server", &[]),
    ("e2e", &["aqueduct", "fixture-server"]),
    ("benchmarks", &["fixture-server"]),
    ("xtask", &[]),
];

/// Crates that belong to a room, and the packages that may use them beside tests and examples.
const OWNED: &[(&str, &[&str])] = &[
    ("reqwest", &["aqueduct-fetch"]),
    ("m3u8-rs", &["aqueduct-playlist"]),
    ("aes", &["aqueduct-decrypt", "fixture-server"]),
    ("aes-gcm", &["aqueduct-decrypt"]),
    ("cbc", &["aqueduct-decrypt", "fixture-server"]),
    ("ctr", &["aqueduct-decrypt", "fixture-server"]),
    ("chacha20", &["aqueduct-decrypt"]),
    ("clap", &["aqueduct-cli"]),
    ("indicatif", &["aqueduct-cli"]),
    ("anyhow", &["aqueduct-cli", "xtask", "fixture-server", "e2e", "benchmarks"]),
];

/// Rooms without I/O, and what would bring it in.
const SANS_IO: &[&str] = &["aqueduct-playlist", "aqueduct-media"];
const IO: &[&str] = &["tokio", "tokio-util", "async-channel", "hyper", "tempfile", "mio"];

/// Crates that no dependency may pull in.
const NOWHERE: &[&str] = &["openssl-sys", "native-tls"];

/// Proves the walls; prints each breach.
pub(crate) fn check() -> Result<Tally> {
    eprintln!("== walls");
    let mut breaches = breaches(&metadata(&["--no-deps"])?)?;
    for package in packages(&metadata(&["--all-features"])?)? {
        let name = text(package, "name")?;
        if NOWHERE.contains(&name) {
            breaches.push(format!("{name} is among the dependencies"));
        }
    }
    breaches.extend(lints()?);
    for breach in &breaches {
        eprintln!("broken wall: {breach}");
    }
    Ok(Tally::step("walls", breaches.is_empty()))
}

fn packages(metadata: &Value) -> Result<&Vec<Value>> {
    metadata["packages"].as_array().context("no packages in cargo's metadata")
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    value[field].as_str().with_context(|| format!("no {field} in cargo's metadata"))
}

/// Breaches among the dependencies that the workspace's own packages declare.
fn breaches(metadata: &Value) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for package in packages(metadata)? {
        let name = text(package, "name")?;
        let Some((_, may_use)) = ROOMS.iter().find(|(room, _)| *room == name) else {
            out.push(format!("{name} has no place in the table of rooms"));
            continue;
        };
        for dependency in package["dependencies"].as_array().context("no dependencies in cargo's metadata")? {
            let used = text(dependency, "name")?;
            let only_tests = dependency["kind"].as_str() == Some("dev");
            let room = ROOMS.iter().any(|(room, _)| *room == used);
            // Any room may test itself against the fixture server, and by its own public face.
            let for_tests = only_tests && (used == "fixture-server" || used == name);
            if room && !may_use.contains(&used) && !for_tests {
                out.push(format!("{name} uses {used}"));
            }
            let owner = OWNED.iter().find(|(owned, _)| *owned == used);
            if owner.is_some_and(|(_, owners)| !owners.contains(&name)) && !only_tests {
                out.push(format!("{name} uses {used}, which belongs to others"));
            }
            if SANS_IO.contains(&name) && IO.contains(&used) && !only_tests {
                out.push(format!("{name} does no I/O, but uses {used}"));
            }
        }
    }
    Ok(out)
}

/// `unsafe` is forbidden for the workspace, and no package has left its lints.
fn lints() -> Result<Vec<String>> {
    let mut out = Vec::new();
    let manifest = std::fs::read_to_string(root().join("Cargo.toml"))?;
    if !manifest.lines().any(|line| line.trim() == "unsafe_code = \"forbid\"") {
        out.push("the workspace does not forbid unsafe code".to_owned());
    }
    for package in packages(&metadata(&["--no-deps"])?)? {
        let manifest = std::fs::read_to_string(text(package, "manifest_path")?)?;
        if !manifest.contains("[lints]\nworkspace = true") {
            out.push(format!("{} does not take the workspace's lints", text(package, "name")?));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, dependencies: &[(&str, Option<&str>)]) -> Vec<String> {
        let dependencies: Vec<_> = dependencies
            .iter()
            .map(|(name, kind)| serde_json::json!({ "name": name, "kind": kind }))
            .collect();
        breaches(&serde_json::json!({ "packages": [{ "name": name, "dependencies": dependencies }] })).unwrap()
    }

    #[test]
    fn stages_do_not_know_each_other() {
        assert_eq!(
            with("aqueduct-mux", &[("aqueduct-fetch", None)]),
            ["aqueduct-mux uses aqueduct-fetch"]
        );
        assert_eq!(with("aqueduct-mux", &[("aqueduct-fetch", Some("dev"))]).len(), 1);
        assert!(with("aqueduct-mux", &[("aqueduct-media", None), ("fixture-server", Some("dev"))]).is_empty());
    }

    #[test]
    fn crates_stay_with_their_owners() {
        assert_eq!(with("aqueduct-resolve", &[("reqwest", None)]).len(), 1);
        assert_eq!(with("aqueduct-core", &[("anyhow", Some("build"))]).len(), 1);
        assert!(with("aqueduct", &[("anyhow", Some("dev"))]).is_empty());
        assert_eq!(with("aqueduct-media", &[("tokio", None)]).len(), 1);
    }

    #[test]
    fn a_new_package_needs_a_place() {
        assert_eq!(with("aqueduct-extra", &[]).len(), 1);
    }
}
