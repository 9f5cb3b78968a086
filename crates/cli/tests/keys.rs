//! Keys that the user holds.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::process::{Command, Output};

use fixture_server::{Config, Encryption, Fault, Rule, Server};

fn fetch(server: &Server, folder: &std::path::Path, arguments: &[&str]) -> Output {
    let url = server.url("/s/aes-explicit-iv/index.m3u8");
    Command::new(env!("CARGO_BIN_EXE_aqueduct"))
        .arg(url)
        .args(["-o", "out.ts"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// A server that does not give its key away.
fn server() -> Server {
    let mut config = Config::standard().unwrap();
    config.rules.push(Rule::new("*/key0.bin", Fault::status(403)));
    Server::start(config).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_key_of_the_user_opens_what_the_server_keeps_closed() {
    let server = server();
    let clear: Vec<u8> = server.tracks("aes-explicit-iv").unwrap()[0]
        .clear_parts()
        .flat_map(|part| part.to_vec())
        .collect();
    let key = Encryption::key(0);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key.bin"), key).unwrap();
    for argument in [hex(&key).as_str(), "@key.bin"] {
        let output = fetch(&server, folder.path(), &["--key", argument, "--overwrite"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(std::fs::read(folder.path().join("out.ts")).unwrap() == clear);
    }
    assert_eq!(
        server.stats().read(|tally| tally.count("*/key0.bin")),
        0,
        "a key that is held is not fetched"
    );
}

#[test]
fn a_wrong_key_is_an_error_and_is_never_repeated() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let secret = "f0e1d2c3b4a5968778695a4b3c2d1e0f";
    for (key, exit) in [(secret, 1), ("0badc0ffee", 2), ("@missing.bin", 2)] {
        let output = fetch(&server, folder.path(), &["--key", key]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{told}");
        assert!(!told.contains(secret) && !told.contains("0badc0ffee"), "{told}");
        assert!(!folder.path().join("out.ts").exists());
    }
}
