//! What a page or a playlist cannot bring about: requests to addresses nearer than its own, and the user's secrets
//! elsewhere than where they are for.
//!
//! The fixture server is on this machine, as the user's input then is. For documents of the public internet it stands
//! in as the proxy, which asks for nothing but what it is told to: a refused address is one that it never hears of.

use fixture_server::{Fault, Rule};

use super::*;

const PROXY: [&str; 4] = ["--proxy", "{{origin}}", "--retries", "0"];
const PUBLIC: Input = Input::Url("http://public.example/list.m3u8");
const PAGE: Input = Input::Url("http://public.example/page.html");

/// A playlist of segments at these addresses.
macro_rules! list {
    ($head:literal $(, $segment:literal)+) => {
        concat!("#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n", $head, $("#EXTINF:2,\n", $segment, "\n",)+ "#EXT-X-ENDLIST\n")
    };
}

pub(super) fn scenarios() -> Vec<Scenario> {
    [addresses(), redirects(), secrets(), cookies(), tls()].concat()
}

/// A public document that names a near address, and is refused before anybody is asked for that.
fn refused(name: &'static str, document: &'static str) -> Scenario {
    let page = document.starts_with('<');
    Scenario {
        name,
        input: if page { PAGE } else { PUBLIC },
        files: vec![(if page { "/page.html" } else { "/list.m3u8" }, document)],
        args: PROXY.to_vec(),
        exit: 5,
        says: vec!["--allow-private permits it"],
        asked: vec![Asked::exactly("/near*", 0), Asked::exactly("/s/*", 0)],
        ..Scenario::default()
    }
}

fn addresses() -> Vec<Scenario> {
    vec![
        refused("policy/segment-on-this-machine", list!("", "http://127.0.0.1/near.ts")),
        refused("policy/segment-by-decimal-address", list!("", "http://2130706433/near.ts")),
        refused("policy/segment-by-octal-address", list!("", "http://0177.0.0.1/near.ts")),
        refused("policy/segment-by-mapped-address", list!("", "http://[::ffff:7f00:1]/near.ts")),
        refused("policy/segment-at-localhost", list!("", "http://LocalHost.:8080/near.ts")),
        refused(
            "policy/byte-range-of-a-near-segment",
            list!("#EXT-X-BYTERANGE:1@0\n", "http://10.0.0.1/near.ts"),
        ),
        Scenario {
            asked: vec![Asked::exactly("/near*", 0)],
            ..refused(
                "policy/key-from-the-clouds-metadata",
                list!(
                    "#EXT-X-KEY:METHOD=AES-128,URI=\"http://169.254.169.254/near.key\"\n",
                    "/s/plain-ts/0.ts"
                ),
            )
        },
        refused(
            "policy/initialization-section-on-this-machine",
            list!("#EXT-X-MAP:URI=\"http://[::1]/near.mp4\"\n", "http://public.example/elsewhere.m4s"),
        ),
        refused(
            "policy/variant-in-the-home-network",
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://192.168.1.1/near.m3u8\n",
        ),
        refused(
            "policy/rendition-in-the-home-network",
            "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",DEFAULT=YES,URI=\"http://172.16.0.1/near.m3u8\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.640028,mp4a.40.2\",AUDIO=\"a\"\nhttp://10.0.0.1/near.m3u8\n",
        ),
        refused(
            "policy/playlist-in-a-data-url",
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n\
             data:application/vnd.apple.mpegurl,%23EXTM3U%0A%23EXT-X-TARGETDURATION:2%0A%23EXTINF:2,%0Ahttp://127.0.0.1/near.ts%0A%23EXT-X-ENDLIST%0A\n",
        ),
        refused("policy/iframe-on-this-machine", "<iframe src=\"http://127.1/near.html\"></iframe>"),
        refused(
            "policy/video-in-the-home-network",
            "<video src=\"http://[fd00::1]/near.mp4\"></video>",
        ),
        refused("policy/link-to-this-machine", "<a href=\"http://0/near.m3u8\">play</a>"),
        Scenario {
            says: vec!["scheme \"ftp\" is not fetched"],
            ..refused("policy/segment-over-ftp", list!("", "ftp://public.example/near.ts"))
        },
        Scenario {
            exit: 0,
            outcome: high(),
            says: vec!["no steering manifest", "--allow-private permits it"],
            asked: vec![Asked::exactly("/near*", 0)],
            ..refused(
                "policy/steering-manifest-on-this-machine",
                "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"http://127.0.0.1/near.json\"\n\
                 #EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"a\"\n/s/plain-ts/index.m3u8\n\
                 #EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"b\"\n/s/plain-ts/index.m3u8?b\n",
            )
        },
        Scenario {
            args: [PROXY.as_slice(), &["--allow-private"]].concat(),
            exit: 0,
            outcome: Outcome::Concatenation(Reference::some("high-ts", &[0])),
            says: vec![],
            asked: vec![Asked::exactly("/s/plain-ts/0.ts", 1).with("host", "127.0.0.1")],
            ..refused("policy/private-addresses-on-request", list!("", "http://127.0.0.1/s/plain-ts/0.ts"))
        },
        Scenario {
            name: "policy/text-on-standard-input-names-a-file",
            input: Input::Stdin(list!("", "file:///etc/hostname")),
            outcome: Outcome::Nothing,
            exit: 5,
            says: vec!["a text without a folder names a local file"],
            ..Scenario::default()
        },
        Scenario {
            name: "policy/text-in-a-data-url-names-a-file",
            input: Input::Url(
                "data:application/vnd.apple.mpegurl,%23EXTM3U%0A%23EXT-X-TARGETDURATION:2%0A%23EXTINF:2,%0Afile:///etc/hostname%0A%23EXT-X-ENDLIST%0A",
            ),
            outcome: Outcome::Nothing,
            exit: 5,
            says: vec!["a text without a folder names a local file"],
            ..Scenario::default()
        },
        Scenario {
            name: "policy/local-playlist-names-any-address",
            input: Input::File("list.m3u8", list!("", "{{origin}}/s/plain-ts/0.ts")),
            outcome: Outcome::Concatenation(Reference::some("high-ts", &[0])),
            ..Scenario::default()
        },
    ]
}

/// The page of a public host redirects, hop by hop, to somewhere near.
fn redirects() -> Vec<Scenario> {
    let to = |path: &str, to: &str| {
        let fault = Fault::Redirect {
            status: 302,
            to: to.into(),
        };
        Rule::new(path, fault)
    };
    let redirected = |name, rules| Scenario {
        rules,
        ..refused(name, list!("", "/s/plain-ts/0.ts"))
    };
    let elsewhere = |name, target: &str, reason| Scenario {
        says: vec![reason],
        ..redirected(name, vec![to("/list.m3u8", target)])
    };
    let hop = |number: usize, next: &str| to(&format!("/hop{number}"), next);
    vec![
        redirected("policy/redirect-to-this-machine", vec![to("/list.m3u8", "http://127.0.0.1/near")]),
        redirected(
            "policy/redirect-to-a-mapped-address",
            vec![to("/list.m3u8", "//[::ffff:10.0.0.1]/near")],
        ),
        redirected(
            "policy/second-redirect-to-this-machine",
            vec![to("/list.m3u8", "http://other.example/hop1"), hop(1, "http://0x7f000001/near")],
        ),
        redirected(
            "policy/fifth-redirect-to-the-link",
            vec![
                to("/list.m3u8", "/hop1"),
                hop(1, "http://a.example/hop2"),
                hop(2, "http://b.example/hop3"),
                hop(3, "/hop4"),
                hop(4, "http://169.254.1.1/near"),
            ],
        ),
        Scenario {
            asked: vec![Asked::exactly("/near*", 0)],
            ..redirected(
                "policy/segment-redirected-to-this-machine",
                vec![to("/s/plain-ts/0.ts", "http://localhost/near.ts")],
            )
        },
        elsewhere("policy/redirect-to-file", "file:///etc/passwd", "scheme \"file\" is not fetched"),
        elsewhere("policy/redirect-to-data", "data:text/plain,near", "scheme \"data\" is not fetched"),
        elsewhere(
            "policy/redirect-to-ftp",
            "ftp://public.example/near",
            "scheme \"ftp\" is not fetched",
        ),
        Scenario {
            exit: 1,
            says: vec!["more than 10 redirects"],
            asked: vec![Asked::exactly("/list.m3u8", 11)],
            ..elsewhere("policy/redirects-without-end", "/list.m3u8", "")
        },
    ]
}

const ACROSS: &str = list!(
    "",
    "/s/plain-ts/0.ts",
    "{{other}}/s/plain-ts/1.ts",
    "/s/plain-ts/2.ts",
    "/s/plain-ts/3.ts",
    "{{other}}/s/plain-ts/4.ts",
    "/s/plain-ts/5.ts"
);

/// A stream with segments on both origins; a segment of each is reached by way of the other.
fn across(name: &'static str) -> Scenario {
    let by_way = |path: &str, to: &str| {
        let fault = Fault::Redirect {
            status: 307,
            to: to.into(),
        };
        Rule::new(path, fault).times(1)
    };
    Scenario {
        files: vec![("/across.m3u8", ACROSS)],
        rules: vec![
            by_way("/s/plain-ts/2.ts", "{{other}}/way2"),
            by_way("/way2", "{{origin}}/s/plain-ts/2.ts"),
            by_way("/s/plain-ts/4.ts", "{{origin}}/way4"),
            by_way("/way4", "{{other}}/s/plain-ts/4.ts"),
        ],
        ..to_ts(name, "/across.m3u8")
    }
}

/// The field goes to the first origin, with each request, and never to the second.
fn only_first(field: &'static str, value: &'static str) -> Vec<Asked> {
    vec![
        Asked::exactly("/across.m3u8", 1).with(field, value),
        Asked::exactly("/s/plain-ts/2.ts", 2).with(field, value),
        Asked::exactly("/way4", 1).with(field, value),
        Asked::exactly("*", 7).with(field, value),
        Asked::exactly("*", 0).with(field, "").elsewhere(),
        Asked::exactly("*", 4).elsewhere(),
    ]
}

fn secrets() -> Vec<Scenario> {
    // "user:PASS" and "u:FILE" in base64 (RFC 4648).
    let (in_url, in_file) = ("Basic dXNlcjpQQVNT", "Basic dTpGSUxF");
    let netrc = "machine 127.0.0.1 login u password FILE\n";
    vec![
        Scenario {
            args: vec!["-H", "X-Token: T"],
            asked: only_first("x-token", "T"),
            ..across("policy/header-for-the-input-alone")
        },
        Scenario {
            args: vec!["-H", "Authorization: Bearer T", "-H", "Cookie: c=T"],
            asked: [only_first("authorization", "Bearer T"), only_first("cookie", "c=T")].concat(),
            ..across("policy/authorization-for-the-input-alone")
        },
        Scenario {
            args: vec!["--header-for", "{{other}}", "X-Token: T"],
            asked: vec![
                Asked::exactly("*", 4).with("x-token", "T").elsewhere(),
                Asked::exactly("*", 4).with("x-token", "T"),
            ],
            ..across("policy/header-for-another-origin-alone")
        },
        Scenario {
            input: Input::Url("http://user:PASS@{{address}}/across.m3u8"),
            args: vec!["-vvv"],
            asked: only_first("authorization", in_url),
            hides: vec!["PASS", "user:", "user@", "dXNlcjpQQVNT"],
            ..across("policy/credentials-in-the-url-for-its-origin-alone")
        },
        Scenario {
            given: vec![("netrc", netrc)],
            args: vec!["--netrc-file", "netrc", "-vvv"],
            asked: only_first("authorization", in_file),
            hides: vec!["FILE", "dTpGSUxF"],
            ..across("policy/netrc-for-the-origin-of-the-input-alone")
        },
        Scenario {
            given: vec![(".netrc", netrc)],
            args: vec!["--netrc"],
            asked: only_first("authorization", in_file),
            ..across("policy/netrc-in-the-home-folder")
        },
        Scenario {
            given: vec![(
                "netrc",
                "machine a.example login u password two WORDS\nmachine 127.0.0.1 port 1 login u password FILE\n",
            )],
            args: vec!["--netrc-file", "netrc"],
            says: vec!["netrc", "line 1: a word that is not known here", "line 2"],
            asked: only_first("authorization", in_file),
            hides: vec!["WORDS", "FILE"],
            ..across("policy/netrc-with-words-of-others")
        },
        Scenario {
            given: vec![("netrc", "{\"127.0.0.1\": \"FILE\"}\n")],
            args: vec!["--netrc-file", "netrc"],
            exit: 2,
            outcome: Outcome::Nothing,
            says: vec!["netrc: line 1: a word that is not known here"],
            hides: vec!["FILE"],
            ..across("policy/netrc-that-cannot-be-read")
        },
        Scenario {
            args: vec!["--referer", "{{origin}}/page?token=T"],
            asked: vec![
                Asked::exactly("/across.m3u8", 1).with("referer", "{{origin}}/page?token=T"),
                Asked::exactly("*", 4).with("referer", "{{origin}}/").elsewhere(),
                Asked::exactly("*", 0).with("referer", "{{origin}}/page").elsewhere(),
            ],
            ..across("policy/query-of-the-referer-for-its-origin-alone")
        },
        Scenario {
            args: vec!["--referer", "{{origin}}/page?token=T"],
            rules: vec![Rule::new(
                "/film.mp4",
                Fault::Redirect {
                    status: 302,
                    to: "{{other}}/media/film.mp4".into(),
                },
            )],
            output: "out.mp4",
            outcome: Outcome::Bytes("film.mp4"),
            asked: vec![
                Asked::exactly("/film.mp4", 1).with("referer", "{{origin}}/page?token=T"),
                Asked::at_least("*", 2).with("referer", "{{origin}}/").elsewhere(),
                Asked::exactly("*", 0).with("referer", "{{origin}}/page").elsewhere(),
            ],
            ..to_ts("policy/ranges-of-a-file-behind-a-redirect", "/film.mp4")
        },
        Scenario {
            input: Input::Url("http://user:SECRET1@{{address}}/secret.m3u8?token=SECRET2&SECRET3#SECRET4"),
            files: vec![(
                "/secret.m3u8",
                list!(
                    "",
                    "/s/plain-ts/0.ts?sig=SECRET5",
                    "http://u:SECRET6@{{address}}/missing.ts?sig=SECRET7#SECRET8"
                ),
            )],
            rules: vec![
                Rule::new(
                    "/s/plain-ts/0.ts",
                    Fault::Headers(vec![("Set-Cookie".into(), "c=SECRET9; Domain=nowhere.example".into())]),
                ),
                Rule::new("/secret.m3u8", Fault::Headers(vec![("Set-Cookie".into(), "c=SECRET9".into())])),
                Rule::new(
                    "/s/plain-ts/0.ts",
                    Fault::Redirect {
                        status: 302,
                        to: "{{other}}/s/plain-ts/0.ts?sig=SECRET10".into(),
                    },
                )
                .times(1),
                Rule::new("/missing.ts", Fault::status(503)),
            ],
            given: vec![("cookies.txt", "127.0.0.1\tFALSE\t/\tFALSE\t0\tn\tSECRET11\nSECRET12 is no cookie\n")],
            args: vec![
                "-vvv",
                "--explain",
                "--retries",
                "1",
                "-H",
                "X-Token: SECRET13",
                "--cookies",
                "cookies.txt",
                "--referer",
                "http://public.example/?SECRET14",
                "--header-for",
                "{{other}}",
                "X-Token: SECRET15",
            ],
            exit: 1,
            outcome: Outcome::Nothing,
            says: vec!["/missing.ts?sig=…", "cookies.txt", "line 2"],
            asked: vec![Asked::at_least("/missing.ts", 1).with("cookie", "c=SECRET9; n=SECRET11")],
            hides: vec!["SECRET"],
            ..across("policy/no-secret-is-told")
        },
        Scenario {
            args: vec!["-H", "X-Token SECRET"],
            exit: 2,
            outcome: Outcome::Nothing,
            hides: vec!["SECRET"],
            ..across("policy/no-secret-is-told-of-a-header-without-a-colon")
        },
        Scenario {
            args: vec!["-H", "Bearer SECRET:SECRET"],
            exit: 2,
            outcome: Outcome::Nothing,
            hides: vec!["SECRET"],
            ..across("policy/no-secret-is-told-of-a-header-without-a-name")
        },
        Scenario {
            args: vec!["--proxy", "http://user:SECRET@[broken"],
            exit: 2,
            outcome: Outcome::Nothing,
            hides: vec!["SECRET"],
            ..across("policy/no-secret-is-told-of-a-broken-proxy")
        },
    ]
}

fn cookies() -> Vec<Scenario> {
    let with = |name, text| Scenario {
        given: vec![("cookies.txt", text)],
        args: vec!["--cookies", "cookies.txt", "--retries", "0"],
        ..to_ts(name, "/p/cookie/v/index.m3u8")
    };
    let without = |name, text| Scenario {
        exit: 1,
        outcome: Outcome::Nothing,
        says: vec!["403"],
        asked: vec![Asked::exactly("*", 0).with("cookie", "")],
        ..with(name, text)
    };
    vec![
        Scenario {
            asked: vec![Asked::exactly("*.ts", 0).with("cookie", "other")],
            ..with(
                "policy/cookies-from-a-file",
                "# Netscape HTTP Cookie File\n#HttpOnly_127.0.0.1\tFALSE\t/p/\tFALSE\t0\tsession\t42\n\
                 127.0.0.1\tFALSE\t/q\tFALSE\t0\tother\t1\n",
            )
        },
        without("policy/cookies-of-another-host", "a.example\tFALSE\t/\tFALSE\t0\tsession\t42\n"),
        without("policy/cookies-of-another-path", "127.0.0.1\tFALSE\t/q\tFALSE\t0\tsession\t42\n"),
        without("policy/secure-cookies-over-http", "127.0.0.1\tFALSE\t/\tTRUE\t0\tsession\t42\n"),
        without(
            "policy/cookies-that-have-expired",
            "127.0.0.1\tFALSE\t/\tFALSE\t1000000000\tsession\t42\n",
        ),
        Scenario {
            exit: 2,
            says: vec!["cookies.txt", "no line is a cookie", "line 1"],
            hides: vec!["SECRET"],
            asked: vec![Asked::exactly("*", 0)],
            ..without("policy/cookies-that-are-none", "{\"session\": \"SECRET\"}\n")
        },
        // The address of one host sets them, for another host and for itself; its name is another host.
        Scenario {
            args: vec!["--insecure", "localhost", "--retries", "0", "--cookie-jar", "jar.txt"],
            leaves: vec![("jar.txt", "127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\t42\n")],
            rules: vec![
                Rule::new(
                    "/p/cookie/v/index.m3u8",
                    Fault::Headers(vec![("Set-Cookie".into(), "session=42; Domain=localhost".into())]),
                ),
                Rule::new(
                    "/p/cookie/v/index.m3u8",
                    Fault::Headers(vec![("Set-Cookie".into(), "session=42; Path=/".into())]),
                ),
                Rule::new(
                    "/p/cookie/v/index.m3u8",
                    Fault::Redirect {
                        status: 302,
                        to: "{{tls-name}}/p/cookie/v/index.m3u8".into(),
                    },
                )
                .times(1),
            ],
            exit: 1,
            outcome: Outcome::Nothing,
            says: vec!["403"],
            asked: vec![
                Asked::exactly("/p/cookie/v/index.m3u8", 1).with("host", "localhost"),
                Asked::exactly("*", 0).with("cookie", ""),
            ],
            ..to_ts("policy/cookies-do-not-follow-a-redirect", "/p/cookie/v/index.m3u8")
        },
        Scenario {
            args: vec!["--cookie-jar", "jar.txt"],
            leaves: vec![(
                "jar.txt",
                "# Netscape HTTP Cookie File\n\n127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\t42\n",
            )],
            ..to_ts("policy/cookies-to-a-file", "/p/cookie/index.html")
        },
        Scenario {
            args: vec!["--cookie-jar", "jar.txt"],
            exit: 1,
            outcome: Outcome::Nothing,
            rules: vec![Rule::new("*/2.ts", Fault::status(404))],
            leaves: vec![("jar.txt", "session\t42\n")],
            ..to_ts("policy/cookies-to-a-file-of-a-run-that-fails", "/p/cookie/index.html")
        },
    ]
}

fn tls() -> Vec<Scenario> {
    let over_tls = |name| Scenario {
        input: Input::Url("{{tls}}/s/plain-ts/index.m3u8"),
        args: vec!["--retries", "3"],
        ..to_ts(name, "")
    };
    let distrusted = |name, args: Vec<&'static str>| Scenario {
        args,
        exit: 5,
        outcome: Outcome::Nothing,
        says: vec!["certificate is not trusted", "--insecure 127.0.0.1"],
        asked: vec![Asked::exactly("*", 0)],
        ..over_tls(name)
    };
    let redirect = |to: &str| {
        let fault = Fault::Redirect {
            status: 302,
            to: to.into(),
        };
        Rule::new("/s/plain-ts/index.m3u8", fault).times(1)
    };
    vec![
        distrusted("policy/certificate-that-nobody-trusts", vec![]),
        distrusted(
            "policy/exception-for-another-host",
            vec!["--insecure", "localhost", "--insecure", "a.example"],
        ),
        Scenario {
            args: vec!["--insecure", "127.0.0.1"],
            says: vec!["a certificate is not trusted, and taken all the same", "127.0.0.1"],
            ..over_tls("policy/exception-for-the-host")
        },
        Scenario {
            args: vec!["--insecure", "127.0.0.1"],
            rules: vec![redirect("{{tls-name}}/s/plain-ts/index.m3u8")],
            says: vec!["certificate is not trusted", "--insecure localhost"],
            asked: vec![Asked::exactly("*", 1)],
            ..distrusted("policy/exception-ends-with-a-redirect", vec![])
        },
        Scenario {
            args: vec!["--insecure", "127.0.0.1", "--insecure", "localhost"],
            rules: vec![redirect("{{tls-name}}/s/plain-ts/index.m3u8")],
            asked: vec![Asked::at_least("*", 7).with("host", "localhost")],
            ..over_tls("policy/exceptions-for-both-hosts")
        },
        Scenario {
            exit: 2,
            says: vec!["\"https://127.0.0.1\" is no host"],
            ..distrusted("policy/exception-that-is-no-host", vec!["--insecure", "https://127.0.0.1"])
        },
        Scenario {
            trusted: true,
            hides: vec!["trusted"],
            ..over_tls("policy/certificate-that-is-trusted")
        },
        Scenario {
            trusted: true,
            rules: vec![redirect("{{origin}}/s/plain-ts/index.m3u8")],
            says: vec!["a redirect from https", "--allow-downgrade permits it"],
            asked: vec![Asked::exactly("*", 1)],
            ..distrusted("policy/redirect-from-https-to-http", vec![])
        },
        Scenario {
            trusted: true,
            args: vec!["--allow-downgrade", "-H", "X-Token: T"],
            rules: vec![redirect("{{origin}}/s/plain-ts/index.m3u8")],
            says: vec!["leads to http"],
            asked: vec![Asked::exactly("*", 1).with("x-token", "T"), Asked::at_least("*", 8)],
            ..over_tls("policy/redirect-from-https-to-http-on-request")
        },
        Scenario {
            trusted: true,
            input: Input::Url("{{tls}}/mixed.m3u8"),
            files: vec![("/mixed.m3u8", list!("", "{{origin}}/s/plain-ts/0.ts", "{{tls}}/s/plain-ts/1.ts"))],
            outcome: Outcome::Concatenation(Reference::some("high-ts", &[0, 1])),
            says: vec!["a document over https leads to http"],
            args: vec!["--referer", "{{tls}}/page?token=T"],
            asked: vec![
                Asked::exactly("/mixed.m3u8", 1).with("referer", "{{tls}}/page?token=T"),
                Asked::exactly("/s/plain-ts/0.ts", 0).with("referer", "{{tls}}/page"),
            ],
            ..over_tls("policy/http-segments-of-an-https-playlist")
        },
    ]
}
