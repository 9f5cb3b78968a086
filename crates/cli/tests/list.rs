//! `aqueduct list`, as people and programs read it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::process::{Command, Output};

use fixture_server::{Config, Server};
use serde_json::Value;

fn list(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aqueduct"))
        .arg("list")
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn what_is_on_offer_is_listed_as_json_and_as_a_table() {
    let server = Server::start(Config::standard().unwrap()).unwrap();
    let url = server.url("/s/alternate-audio/index.m3u8");
    let json = list(&[&url, "--json"]);
    assert!(json.status.success(), "{}", String::from_utf8_lossy(&json.stderr));
    let listed: Value = serde_json::from_slice(&json.stdout).unwrap();
    let stream = &listed["streams"][0];
    let offers: Vec<_> = stream["offers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|offer| (offer["kind"].as_str().unwrap(), offer["name"].as_str().unwrap()))
        .collect();
    assert_eq!(offers, [("variant", ""), ("audio", "Other"), ("audio", "Main")]);
    assert_eq!(stream["chosen"][1]["language"], "en");
    // The film is twelve seconds long.
    assert_eq!(stream["chosen"][0]["seconds"].as_f64().unwrap().round(), 12.0);

    let table = String::from_utf8(list(&[&url]).stdout).unwrap();
    for words in ["taken: main", "taken: audio", "320x180", "Other", "default"] {
        assert!(table.contains(words), "{words} in\n{table}");
    }
    assert_eq!(server.stats().read(|tally| tally.count("*.ts")), 0, "nothing is fetched");
}

#[test]
fn the_way_is_explained_and_a_selection_without_a_match_tells_what_there_is() {
    let server = Server::start(Config::standard().unwrap()).unwrap();
    let explained = list(&[&server.url("/p/nested/watch.html"), "--explain"]);
    let told = String::from_utf8(explained.stderr).unwrap();
    assert!(
        explained.status.success() && told.contains("/p/nested/watch.html") && told.contains("a Multivariant Playlist: "),
        "{told}"
    );

    let none = list(&[&server.url("/s/variants/index.m3u8"), "--video", "2160p"]);
    let told = String::from_utf8(none.stderr).unwrap();
    assert_eq!(none.status.code(), Some(2), "{told}");
    assert!(
        told.contains("no video matches \"2160p\"; on offer: 320x180 avc1.64000c,mp4a.40.2 190 kbit/s; 160x90"),
        "{told}"
    );
}

#[test]
fn a_playlist_in_a_data_url_speaks_for_the_one_who_typed_it() {
    let server = Server::start(Config::standard().unwrap()).unwrap();
    let variant = server.url("/s/plain-ts/index.m3u8");
    let playlist = format!("data:application/vnd.apple.mpegurl,%23EXTM3U%0A%23EXT-X-STREAM-INF:BANDWIDTH=1%0A{variant}%0A");
    let listed = list(&[&playlist, "--json"]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["streams"][0]["chosen"][0]["segments"], 6);
}

#[test]
fn a_listing_holds_no_password_and_a_table_no_secret() {
    let mut config = Config::standard().unwrap();
    let list_of = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n/s/plain-ts/index.m3u8?token=SIGNED\n";
    config.files.insert("/signed.m3u8".into(), list_of.into());
    let server = Server::start(config).unwrap();
    let url = server.url("/signed.m3u8?token=SIGNED").replace("http://", "http://user:PASSWORD@");
    let json = list(&[&url, "--json", "-vvv", "--explain"]);
    let (listed, told) = (String::from_utf8(json.stdout).unwrap(), String::from_utf8(json.stderr).unwrap());
    assert!(json.status.success(), "{told}");
    // Programs use the addresses; passwords they have already.
    assert!(listed.contains("?token=SIGNED") && !listed.contains("PASSWORD"), "{listed}");
    assert!(!told.contains("SIGNED") && !told.contains("PASSWORD"), "{told}");
    let table = list(&[&url, "-vvv"]);
    let told = String::from_utf8([table.stdout, table.stderr].concat()).unwrap();
    assert!(
        told.contains("token=…") && !told.contains("SIGNED") && !told.contains("PASSWORD"),
        "{told}"
    );
}
