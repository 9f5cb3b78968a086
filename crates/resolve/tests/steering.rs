//! Content steering over the length of a job (rfc8216bis, 7), in virtual time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use aqueduct_core::{Fetch, FetchError, Fetched, Grant, Input, Item, Receiver, Resolve, Resource, Stop, Track, channel};
use aqueduct_resolve::{Options, PageResolver};
use tokio::time::{Instant, sleep};

const PLAYLIST: &str = "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"/steer?s=1\",PATHWAY-ID=\"a\"\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",DEFAULT=YES,URI=\"/a/audio\"\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"b\",NAME=\"x\",DEFAULT=YES,URI=\"/b/audio\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"a\",AUDIO=\"a\"\n/a/video\n\
    #EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"b\",AUDIO=\"b\"\n/b/video\n";

const A_FIRST: &str = r#"{"VERSION":1,"TTL":100,"PATHWAY-PRIORITY":["a","b"]}"#;
const B_FIRST: &str = r#"{"VERSION":1,"TTL":100,"PATHWAY-PRIORITY":["b","a"]}"#;

/// An answer of the steering server: a manifest, a status and what `Retry-After` says, or none.
#[derive(Clone, Copy)]
enum Answer {
    Manifest(&'static str),
    Status(u16, Option<u64>),
    Silence,
}
use Answer::{Manifest, Silence, Status};

/// The presentation above, and a steering server with these answers, the last again and again. It remembers when it was
/// asked for what.
struct Server {
    begun: Instant,
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<(u64, String)>>,
    /// Pathways whose playlists are not there.
    dead: &'static str,
    /// What the pathway b has, where that is not the same.
    other: Option<String>,
}

impl Server {
    fn new(answers: &[Answer]) -> Self {
        Self {
            begun: Instant::now(),
            answers: Mutex::new(answers.iter().copied().collect()),
            asked: Mutex::default(),
            dead: "",
            other: None,
        }
    }

    fn asked_at(&self) -> Vec<u64> {
        self.asked.lock().unwrap().iter().map(|(second, _)| *second).collect()
    }

    fn steer(&self, url: &url::Url) -> Answer {
        let path = url[url::Position::BeforePath..].to_owned();
        self.asked.lock().unwrap().push((self.begun.elapsed().as_secs(), path));
        let mut answers = self.answers.lock().unwrap();
        if answers.len() > 1 {
            answers.pop_front().unwrap()
        } else {
            answers[0]
        }
    }
}

impl Fetch for Server {
    async fn fetch(&self, resource: &Resource, mut grant: Grant) -> Result<Fetched, FetchError> {
        let url = resource.url.url();
        let segments: String = (0..8).map(|number| format!("#EXTINF:2,\n{number}\n")).collect();
        let answer = match url.path() {
            "/" => Ok(PLAYLIST.to_owned()),
            path if path.starts_with("/steer") => match self.steer(url) {
                Manifest(manifest) => Ok(manifest.to_owned()),
                Status(status, retry_after) => Err((status, retry_after)),
                Silence => std::future::pending().await,
            },
            path if !self.dead.is_empty() && path[1..].starts_with(self.dead) => Err((404, None)),
            path if path.starts_with("/b/") && self.other.is_some() => Ok(self.other.clone().unwrap()),
            path => Ok(format!(
                "#EXTM3U\n#EXT-X-TARGETDURATION:2\n{}#EXT-X-ENDLIST\n",
                segments.replace(",\n", &format!(",\n{path}-"))
            )),
        };
        let text = answer.map_err(|(status, retry_after)| FetchError::Status {
            url: resource.url.clone(),
            status,
            retry_after: retry_after.map(Duration::from_secs),
        })?;
        grant.write(text.as_bytes()).await?;
        Ok(Fetched::new(resource.url.clone(), grant.seal()))
    }
}

async fn tracks(resolver: &PageResolver, server: &Server) -> Vec<Track> {
    let input = Input::parse("http://host.example/");
    resolver.resolve(&input, server).await.unwrap().tracks
}

/// Follows a track: takes one segment, waits for so many seconds, and takes the rest. Gives where they were to be fetched.
async fn follow(resolver: &PageResolver, server: &Server, track: &Track, seconds: u64) -> Vec<String> {
    let (outlet, items) = channel(1);
    let follow = async {
        resolver.follow(track, server, outlet, Stop::new()).await.unwrap();
    };
    let take = async {
        let mut taken = vec![next(&items).await.unwrap()];
        sleep(Duration::from_secs(seconds)).await;
        while let Some(path) = next(&items).await {
            taken.push(path);
        }
        taken
    };
    tokio::join!(follow, take).1
}

async fn next(items: &Receiver<Item<Resource>>) -> Option<String> {
    match items.recv().await.ok()? {
        Item::Segment { payload, .. } => Some(payload.url.url().path().to_owned()),
        other => panic!("no segment: {}", other.unit()),
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_priority_moves_all_tracks_at_the_segments_not_yet_begun() {
    let resolver = PageResolver::new(Options::default());
    let again = r#"{"VERSION":1,"TTL":100,"RELOAD-URI":"steer/2?t=2","PATHWAY-PRIORITY":["c","a","b"]}"#;
    let server = Server::new(&[Manifest(again), Manifest(B_FIRST)]);
    let tracks = tracks(&resolver, &server).await;
    assert_eq!(tracks.len(), 2);
    let (video, audio) = tokio::join!(
        follow(&resolver, &server, &tracks[0], 150),
        follow(&resolver, &server, &tracks[1], 150)
    );
    // One was taken, one waits in the channel and one in front of it.
    for (name, taken) in [("video", video), ("audio", audio)] {
        let expected: Vec<String> = (0..8)
            .map(|number| format!("/{}/{name}-{number}", if number < 3 { "a" } else { "b" }))
            .collect();
        assert_eq!(taken, expected);
    }
    let asked = server.asked.lock().unwrap().clone();
    let expected = [
        (0, "/steer?s=1&_HLS_pathway=a".to_owned()),
        (100, "/steer/2?t=2&_HLS_pathway=a".to_owned()),
    ];
    assert_eq!(asked, expected, "once for both tracks");
}

#[tokio::test(start_paused = true)]
async fn the_manifest_is_read_again_when_it_says_and_what_fails_changes_nothing() {
    let ttl = |ttl: &'static str| Manifest(format!(r#"{{"VERSION":1,"TTL":{ttl},"PATHWAY-PRIORITY":["a","b"]}}"#).leak());
    let (a_first, b_first) = (Manifest(A_FIRST), Manifest(B_FIRST));
    let no_ttl = Manifest(r#"{"VERSION":1,"PATHWAY-PRIORITY":["a","b"]}"#);
    let unknown = Manifest(r#"{"VERSION":1,"TTL":100,"PATHWAY-PRIORITY":["x","y"]}"#);
    let version = Manifest(r#"{"VERSION":2,"TTL":100,"PATHWAY-PRIORITY":["b","a"]}"#);
    type Case<'a> = (&'a str, &'a [Answer], &'a [u64], &'a str);
    let cases: [Case<'_>; 18] = [
        ("after TTL", &[a_first], &[0, 100, 200, 300], "a"),
        ("no TTL", &[no_ttl], &[0, 300], "a"),
        ("a TTL that is no time", &[ttl("-1")], &[0, 300], "a"),
        ("a TTL beyond a day", &[ttl("1e300")], &[0, 300], "a"),
        ("the other pathway from the beginning", &[b_first], &[0, 100, 200, 300], "b"),
        ("gone", &[a_first, Status(410, None), b_first], &[0, 100], "a"),
        ("gone from the beginning", &[Status(410, None), b_first], &[0], "a"),
        ("too many", &[a_first, Status(429, Some(60)), a_first], &[0, 100, 160, 260], "a"),
        (
            "too many, for no time",
            &[a_first, Status(429, Some(0)), a_first],
            &[0, 100, 105, 205, 305],
            "a",
        ),
        (
            "too many, without a word",
            &[a_first, Status(429, None), a_first],
            &[0, 100, 200, 300],
            "a",
        ),
        ("failed", &[a_first, Status(500, None), b_first], &[0, 100, 200, 300], "b"),
        ("failed from the beginning", &[Status(404, None), b_first], &[0, 300], "b"),
        ("silent", &[a_first, Silence, b_first], &[0, 100, 215, 315], "b"),
        ("silent from the beginning", &[Silence, b_first], &[0, 315], "b"),
        ("no manifest", &[a_first, Manifest("<html>"), a_first], &[0, 100, 200, 300], "a"),
        ("another version", &[a_first, version, a_first], &[0, 100, 200, 300], "a"),
        ("unknown pathways", &[a_first, unknown], &[0, 100, 200, 300], "a"),
        ("there and back", &[a_first, b_first, a_first], &[0, 100, 200, 300], "a"),
    ];
    for (name, answers, asked, last) in cases {
        let resolver = PageResolver::new(Options::default());
        let server = Server::new(answers);
        let tracks = tracks(&resolver, &server).await;
        let taken = follow(&resolver, &server, &tracks[0], 350).await;
        assert_eq!(server.asked_at(), asked, "{name}");
        assert_eq!(taken.len(), 8, "{name}");
        assert_eq!(taken[7], format!("/{last}/video-7"), "{name}");
    }
    // However short the TTL is, the server is asked every five seconds at most.
    let resolver = PageResolver::new(Options::default());
    let server = Server::new(&[ttl("0")]);
    let tracks = tracks(&resolver, &server).await;
    follow(&resolver, &server, &tracks[0], 12).await;
    assert_eq!(server.asked_at(), [0, 5, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_preferred_pathway_that_is_dead_is_not_taken() {
    let resolver = PageResolver::new(Options::default());
    let server = Server {
        dead: "b",
        ..Server::new(&[Manifest(A_FIRST), Manifest(B_FIRST)])
    };
    let tracks = tracks(&resolver, &server).await;
    let taken = follow(&resolver, &server, &tracks[0], 350).await;
    assert!(taken.iter().all(|path| path.starts_with("/a/")), "{taken:?}");
    assert_eq!(server.asked_at(), [0, 100, 200, 300], "and it is asked on");
}

#[tokio::test(start_paused = true)]
async fn a_rendition_whose_playlist_is_dead_is_had_from_another_pathway() {
    let resolver = PageResolver::new(Options::default());
    for (dead, expected) in [("a/audio", ["/a/video", "/b/audio"]), ("a", ["/b/video", "/b/audio"])] {
        let server = Server {
            dead,
            ..Server::new(&[Manifest(A_FIRST)])
        };
        let tracks = tracks(&resolver, &server).await;
        let found = tracks.iter().map(|track| track.url.as_ref().unwrap().url().path());
        assert!(found.eq(expected), "{dead}: {tracks:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_preferred_pathway_that_has_other_segments_is_not_taken() {
    let list = |segments: &str| format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n{segments}");
    let [same, pair] = ["#EXTINF:2,\nx\n", "#EXTINF:2,\nx\n#EXTINF:3,\nx\n"];
    let end = "#EXT-X-ENDLIST\n";
    for (name, other, taken_there) in [
        ("the same", same.repeat(8) + end, true),
        ("the same, rounded otherwise", "#EXTINF:2.4,\nx\n".repeat(8) + end, true),
        ("its end is not known yet", same.repeat(8), false),
        ("it ends sooner", same.repeat(4) + end, false),
        ("it has one more", same.repeat(9) + end, false),
        ("others are as long", pair.repeat(4) + end, false),
        (
            "it begins later",
            format!("#EXT-X-MEDIA-SEQUENCE:1\n{}{end}", same.repeat(8)),
            false,
        ),
    ] {
        let resolver = PageResolver::new(Options::default());
        let server = Server {
            other: Some(list(&other)),
            ..Server::new(&[Manifest(A_FIRST), Manifest(B_FIRST)])
        };
        let tracks = tracks(&resolver, &server).await;
        let taken = follow(&resolver, &server, &tracks[0], 150).await;
        let there = taken.iter().filter(|path| path.starts_with("/b/")).count();
        assert_eq!((taken.len(), there), (8, if taken_there { 5 } else { 0 }), "{name}: {taken:?}");
    }
}
