//! The examples, run as a reader would run them, against the fixture server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use fixture_server::{Config, Server};

/// The executable of an example: cargo builds it beside those of the tests.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    Command::new(folder.join("examples").join(name))
}

fn clip(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixture-server/media")
        .join(name)
}

fn run(mut command: Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The film that the bundled pipeline makes of a stream of six segments.
fn bundled(server: &Server, path: &str, folder: &Path) -> Vec<u8> {
    use aqueduct::{Input, Output, Pipeline, fetch};
    let target = folder.join("bundled.mp4");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let report = runtime.block_on(async {
        let pipeline = Pipeline::new(fetch::Options::default()).unwrap();
        let presentation = pipeline.resolve(&Input::parse(&server.url(path))).await.unwrap();
        pipeline.run(presentation, Output::file(&target, false).unwrap()).await.unwrap()
    });
    assert_eq!(report.segments, 6);
    std::fs::read(target).unwrap()
}

#[test]
fn a_replaced_resolver_fetcher_or_decrypter_makes_the_same_film() {
    let server = Server::start(Config::standard().unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let film = bundled(&server, "/s/plain-ts/index.m3u8", folder.path());
    let target = folder.path().join("own.mp4");

    let mut resolver = example("own_resolver");
    resolver.args([&server.url("/s/plain-ts/"), "6"]).arg(&target);
    let mut fetcher = example("own_fetcher");
    fetcher.arg(clip("")).arg("http://saved.example/high-ts/index.m3u8").arg(&target);
    let mut decrypter = example("own_decrypter");
    decrypter.arg(server.url("/s/aes-explicit-iv/index.m3u8")).arg(&target);
    for command in [resolver, fetcher, decrypter] {
        let name = format!("{command:?}");
        run(command);
        assert!(std::fs::read(&target).unwrap() == film, "{name} made another film");
    }
}

#[test]
fn a_replaced_muxer_decides_what_is_written() {
    let server = Server::start(Config::standard().unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("inventory.csv");
    let mut command = example("own_muxer");
    command.arg(server.url("/s/aes-explicit-iv/index.m3u8")).arg(&target);
    run(command);
    let inventory = std::fs::read_to_string(target).unwrap();
    let sizes: Vec<u64> = inventory
        .lines()
        .map(|line| line.rsplit(',').next().unwrap().parse().unwrap())
        .collect();
    let clear: Vec<u64> = (0..6).map(|n| clip(&format!("high-ts/{n}.ts")).metadata().unwrap().len()).collect();
    assert_eq!(sizes, clear);
}
