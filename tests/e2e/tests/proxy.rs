//! Proxies: what goes through them, what they are told, and what passes them by.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use e2e::bench::{Bench, PATIENCE, expect};
use e2e::binary::{self, Finished};
use fixture_server::Exchange;

/// User and password that a proxy of these tests wants; in URLs they are written as `us%40er:S3CRET%2Fx`.
const USER: &str = "us@er:S3CRET/x";
/// `printf 'us@er:S3CRET/x' | base64`
const BASIC: &str = "dXNAZXI6UzNDUkVUL3g=";

/// A proxy before `bench`, whatever host is asked for. Its address, and what each connection began with: the head of the first
/// request, or user name, password and host of SOCKS.
struct Proxy {
    address: String,
    told: Arc<Mutex<Vec<String>>>,
}

/// Serves a connection, given the two origins.
type Serve = fn(TcpStream, [String; 2], &Mutex<Vec<String>>) -> Option<()>;

impl Proxy {
    fn start(bench: &Bench, serve: Serve) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let told = Arc::new(Mutex::new(Vec::new()));
        let origins = [bench.server.origin().to_owned(), bench.server.tls_origin()];
        let origins = origins.map(|origin| origin.rsplit('/').next().unwrap().to_owned());
        let telling = Arc::clone(&told);
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let (origins, told) = (origins.clone(), Arc::clone(&telling));
                std::thread::spawn(move || serve(client, origins, &told));
            }
        });
        Self { address, told }
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

/// Passes bytes on in both directions.
fn join(client: &TcpStream, server: &TcpStream) -> Option<()> {
    let pass = |from: &TcpStream, to: &TcpStream| {
        let (mut from, mut to) = (from.try_clone().ok()?, to.try_clone().ok()?);
        Some(std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        }))
    };
    pass(client, server)?;
    pass(server, client)?;
    Some(())
}

/// HTTP (RFC 9110, 7.6 and 9.3.6; RFC 9112, 3.2.2).
fn http(mut client: TcpStream, [plain, tls]: [String; 2], told: &Mutex<Vec<String>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let text = String::from_utf8(head.clone()).unwrap();
    told.lock().unwrap().push(text.clone());
    if !text.contains(BASIC) {
        let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n";
        return client.write_all(refusal.as_bytes()).ok();
    }
    if text.starts_with("CONNECT ") {
        let server = TcpStream::connect(tls).ok()?;
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
        return join(&client, &server);
    }
    let mut server = TcpStream::connect(plain).ok()?;
    server.write_all(&head).ok()?;
    join(&client, &server)
}

fn take(client: &mut TcpStream, length: u8) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length.into()];
    client.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// SOCKS5 (RFC 1928) with user name and password (RFC 1929).
fn socks(mut client: TcpStream, [plain, tls]: [String; 2], told: &Mutex<Vec<String>>) -> Option<()> {
    let count = take(&mut client, 2)?[1];
    if !take(&mut client, count)?.contains(&2) {
        told.lock().unwrap().push("nobody".into());
        return client.write_all(&[5, 0xff]).ok();
    }
    client.write_all(&[5, 2]).ok()?;
    let length = take(&mut client, 2)?[1];
    let user = String::from_utf8(take(&mut client, length)?).unwrap();
    let length = take(&mut client, 1)?[0];
    let password = String::from_utf8(take(&mut client, length)?).unwrap();
    let who = format!("{user}:{password}");
    if who != USER {
        told.lock().unwrap().push(who);
        return client.write_all(&[1, 1]).ok();
    }
    client.write_all(&[1, 0]).ok()?;
    let host = match take(&mut client, 4)?[3] {
        1 => format!("{:?}", take(&mut client, 4)?),
        3 => {
            let length = take(&mut client, 1)?[0];
            String::from_utf8(take(&mut client, length)?).unwrap()
        }
        other => panic!("an address of type {other}"),
    };
    let port = take(&mut client, 2)?;
    told.lock().unwrap().push(format!("{who} to {host}"));
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    let server = TcpStream::connect(if port == [1, 187] { tls } else { plain }).ok()?;
    join(&client, &server)
}

const HTTP: &str = "http://public.example/s/plain-ts/index.m3u8";
const HTTPS: &str = "https://public.example/s/plain-ts/index.m3u8";

#[tokio::test]
async fn a_stream_comes_through_any_proxy_that_knows_the_user() {
    let bench = Bench::new(Vec::new());
    expect(&bench.fetch(&["-o", "direct.ts"], "/s/plain-ts/index.m3u8").await, 0, "whole");
    let direct = bench.read("direct.ts");
    for (scheme, input) in [("http", HTTP), ("http", HTTPS), ("socks5h", HTTP), ("socks5h", HTTPS)] {
        let proxy = Proxy::start(&bench, if scheme == "http" { http } else { socks });
        let told_of_it = || {
            let has = |exchange: &&Exchange| exchange.request.header("proxy-authorization").is_some();
            bench.server.stats().read(|tally| tally.matching("*").filter(has).count())
        };
        let before = told_of_it();
        let address = format!("{scheme}://us%40er:S3CRET%2Fx@{}", proxy.address);
        let args = [
            "--proxy",
            &address,
            "-vvv",
            "--insecure",
            "public.example",
            "--overwrite",
            "-o",
            "out.ts",
        ];
        let finished = bench
            .run(&[&args, ["-H", "Authorization: Bearer T", input].as_slice()].concat())
            .await;
        expect(&finished, 0, "whole: 6 segments");
        assert!(bench.read("out.ts") == direct, "{scheme} to {input}: other bytes");
        assert!(
            !finished.stderr.contains("S3CRET") && !finished.stderr.contains(BASIC),
            "{}",
            finished.stderr
        );
        let told = proxy.told();
        assert!(!told.is_empty());
        for told in told {
            if scheme == "http" {
                // Field names are in lower case, as the HTTP library writes them.
                assert!(told.to_ascii_lowercase().contains("proxy-authorization: basic "), "{told}");
            } else {
                assert_eq!(told, format!("{USER} to public.example"));
            }
            // What is for the origin is nothing to who only connects.
            assert_eq!(told.contains("Bearer"), scheme == "http" && input == HTTP, "{told}");
        }
        // A real proxy takes its field away from what it forwards; this one does not.
        assert_eq!(told_of_it() > before, scheme == "http" && input == HTTP, "{scheme} to {input}");
    }
}

#[tokio::test]
async fn a_proxy_that_does_not_know_the_user_is_told_of_and_not_asked_again() {
    let bench = Bench::new(Vec::new());
    for (scheme, input) in [("http", HTTP), ("http", HTTPS), ("socks5h", HTTP)] {
        for user in ["", "us%40er:WR0NG@"] {
            let proxy = Proxy::start(&bench, if scheme == "http" { http } else { socks });
            let address = format!("{scheme}://{user}{}", proxy.address);
            let finished = bench.run(&["--proxy", &address, "-o", "out.ts", input]).await;
            expect(&finished, 1, "the proxy wants");
            assert!(!finished.stderr.contains("WR0NG"), "{}", finished.stderr);
            assert_eq!(proxy.told().len(), 1, "{scheme} to {input}: {:?}", proxy.told());
        }
    }
    assert_eq!(bench.asked("*"), 0);
}

#[tokio::test]
async fn no_proxy_of_the_environment_passes_by_whatever_proxy_there_is() {
    let bench = Bench::new(Vec::new());
    let proxy = Proxy::start(&bench, http);
    let run = async |variables: &[(&str, &str)], options: &[&str], input: &str| -> Finished {
        let mut command = binary::command(bench.folder()).unwrap();
        let args = ["--retries", "0", "--overwrite", "-o", "out.ts", input];
        command.envs(variables.iter().copied()).args(options).args(args);
        binary::finish(command.spawn().unwrap(), PATIENCE).await.unwrap()
    };
    let known = format!("http://us%40er:S3CRET%2Fx@{}", proxy.address);
    let nowhere = "http://us%40er:S3CRET%2Fx@127.0.0.1:1";
    let near = bench.server.url("/s/plain-ts/index.m3u8");
    let named = "the proxy 127.0.0.1:1 cannot be reached; the environment names it";
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], &'a str, i32, &'a str);
    let cases: [Case<'_>; 14] = [
        (&[("http_proxy", &known)], &[], HTTP, 0, "whole"),
        (&[("ALL_PROXY", &known)], &[], HTTP, 0, "whole"),
        (&[("http_proxy", nowhere)], &[], HTTP, 1, named),
        // This machine is reached through it, too, unless it is listed.
        (&[("http_proxy", nowhere)], &[], &near, 1, named),
        (&[("http_proxy", nowhere), ("NO_PROXY", "127.0.0.1")], &[], &near, 0, "whole"),
        (
            &[("http_proxy", nowhere), ("no_proxy", "a.example, 127.0.0.0/8")],
            &[],
            &near,
            0,
            "whole",
        ),
        (&[("http_proxy", nowhere), ("no_proxy", "a.example")], &[], &near, 1, named),
        // The command line goes before the environment, but for what does without a proxy.
        (&[("http_proxy", nowhere)], &["--proxy", &known], HTTP, 0, "whole"),
        (
            &[("http_proxy", &known)],
            &["--proxy", nowhere],
            HTTP,
            1,
            "127.0.0.1:1 cannot be reached; --proxy names it",
        ),
        (
            &[],
            &["--proxy", nowhere],
            &near,
            1,
            "127.0.0.1:1 cannot be reached; --proxy names it",
        ),
        (&[("NO_PROXY", "127.0.0.0/8")], &["--proxy", nowhere], &near, 0, "whole"),
        (&[("no_proxy", "*")], &["--proxy", nowhere], &near, 0, "whole"),
        (&[("NO_PROXY", "a.example")], &["--proxy", &known], HTTP, 0, "whole"),
        (
            &[("NO_PROXY", ""), ("no_proxy", "*")],
            &["--proxy", nowhere],
            &near,
            1,
            "NO_PROXY names hosts that do without",
        ),
    ];
    for (variables, options, input, code, says) in cases {
        let finished = run(variables, options, input).await;
        assert_eq!(finished.code, Some(code), "{variables:?} {options:?}: {}", finished.stderr);
        expect(&finished, code, says);
        assert!(!finished.stderr.contains("S3CRET"), "{}", finished.stderr);
    }
}

#[tokio::test]
async fn a_proxy_that_leads_nowhere_is_named() {
    let bench = Bench::new(Vec::new());
    /// A proxy that gets no connection to the server (RFC 9110, 15.6.3; RFC 1928, 6), or hangs up.
    fn refuses(mut client: TcpStream, _: [String; 2], told: &Mutex<Vec<String>>) -> Option<()> {
        let first = take(&mut client, 1)?[0];
        told.lock().unwrap().push(format!("{first}"));
        if first == 5 {
            let count = take(&mut client, 1)?[0];
            take(&mut client, count)?;
            client.write_all(&[5, 0]).ok()?;
            take(&mut client, 4)?;
            return client.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).ok();
        }
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(take(&mut client, 1)?);
        }
        client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").ok()
    }
    for (scheme, input) in [("http", HTTPS), ("socks5h", HTTP), ("socks5h", HTTPS)] {
        let nowhere = format!("{scheme}://us%40er:S3CRET%2Fx@127.0.0.1:1");
        let deaf = Proxy::start(&bench, refuses);
        let refusing = format!("{scheme}://{}", deaf.address);
        for (proxy, says) in [
            (nowhere, "the proxy 127.0.0.1:1 cannot be reached; --proxy names it".to_owned()),
            (refusing, format!("the proxy {} makes no connection to the server", deaf.address)),
        ] {
            let finished = bench.run(&["--retries", "0", "--proxy", &proxy, "-o", "out.ts", input]).await;
            expect(&finished, 1, &says);
            assert!(!finished.stderr.contains("S3CRET"), "{}", finished.stderr);
        }
    }
}
