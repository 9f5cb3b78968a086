//! Plain media files, in parts.

use bytes::Bytes;

use super::*;

/// Four pieces of 4 MiB that look like a film.
fn film(salt: u8) -> Bytes {
    let mut film = vec![0, 0, 0, 24];
    film.extend_from_slice(b"ftypisom\0\0\0\0isommp42");
    let mut state = u64::from(salt) + 1;
    while film.len() < 16 << 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        film.extend_from_slice(&state.to_le_bytes());
    }
    film.into()
}

fn bench(film: Bytes, rules: Vec<Rule>) -> Bench {
    let mut config = Config::standard().unwrap();
    config.files.insert("/film.mp4".into(), film);
    config.rules = rules;
    Bench::with(config)
}

fn tag(tag: &str) -> Rule {
    Rule::new("/film.mp4", Fault::Headers(vec![("ETag".into(), format!("\"{tag}\""))]))
}

#[tokio::test]
async fn a_plain_file_is_taken_up_as_long_as_it_is_the_same_version() {
    let args = ["-o", "out.mp4", "--concurrency", "1"];
    for (second, code, says) in [("one", 0, "whole"), ("two", 2, "its version was \"one\" and is \"two\"")] {
        let bench = bench(film(0), vec![tag("one"), Rule::new("/film.mp4", Fault::status(404)).skip(4)]);
        expect(&bench.fetch(&args, "/film.mp4").await, 1, "carries on");
        let kept = media(&bench.path("out.mp4.part"));
        assert!(kept.len() >= 4 << 20 && film(0).starts_with(&kept));
        bench.server.set_rules(vec![tag(second)]);
        let again = bench.fetch(&args, "/film.mp4").await;
        expect(&again, code, says);
        if code == 0 {
            assert!(media(&bench.path("out.mp4")) == film(0));
        } else {
            assert!(media(&bench.path("out.mp4.part")) == kept, "it was touched");
            expect(&bench.fetch(&[&args[..], &["--no-resume"]].concat(), "/film.mp4").await, 0, "whole");
            assert!(media(&bench.path("out.mp4")) == film(0));
        }
    }
}

/// A server with a file that is said to be so large, and of which only the beginning ever comes.
async fn vast(length: &'static str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/film.mp4", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: {length}\r\n\r\n");
            let answer = [head.as_bytes(), &film(0)[..64 << 10]].concat();
            let mut asked = [0; 4096];
            if stream.read(&mut asked).await.is_ok() && stream.write_all(&answer).await.is_ok() {
                // Until whoever asked has seen enough.
                let _ = stream.read(&mut asked).await;
            }
        }
    });
    address
}

#[tokio::test]
async fn a_file_for_which_there_is_no_room_is_refused_before_anything_is_written() {
    const VAST: &str = "1000000000000000000";
    let bench = Bench::new(Vec::new());
    let refused = bench.run(&["-o", "out.mp4", &vast(VAST).await]).await;
    expect(&refused, 1, &format!("it needs {VAST} bytes, and"));
    assert_eq!(bench.names(), [""; 0], "something was left behind");
}
