//! The library of pages, resolved by the real resolver and fetcher against the fixture server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::sync::Arc;

use aqueduct::fetch::{self, HttpFetcher};
use aqueduct::resolve::PageResolver;
use aqueduct::{Input, Presentation, Resolve, ResolveError, TrackKind, Url};
use fixture_server::{Config, Server, Site};

fn resolve(server: &Server, name: &str, site: &Site) -> Result<Presentation, ResolveError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // Each page has a visitor of its own, with cookies of its own.
        let fetcher = HttpFetcher::new(fetch::Options::default()).unwrap();
        let input = Input::parse(&server.url(&format!("/p/{name}/{}", site.entry)));
        PageResolver::default().resolve(&input, &Arc::new(fetcher)).await
    })
}

/// What a site expects, as an address: a path in the site, or a template of a whole URL.
fn address(server: &Server, name: &str, expected: &str) -> Url {
    let expected = expected.replace("{{other-site}}", &format!("{}/p/{name}", server.other_origin()));
    Url::parse(&server.url(&format!("/p/{name}/")))
        .unwrap()
        .join(&server.render(&expected))
        .unwrap()
}

#[test]
fn every_page_leads_to_the_tracks_that_it_promises() {
    let server = Server::start(Config::standard().unwrap()).unwrap();
    let (mut wrong, mut right) = (Vec::new(), 0);
    for (name, site) in server.sites() {
        // DASH is found and named, but there is nothing here that plays it; pictures are inputs of their own.
        let Some(expected) = site
            .expect
            .first()
            .filter(|expected| !expected.ends_with(".mpd") && !expected.ends_with(".jpg"))
        else {
            continue;
        };
        let expected = address(&server, name, expected);
        let folder = expected.join(".").unwrap();
        match resolve(&server, name, site) {
            Ok(presentation) => {
                let track = &presentation.tracks[0];
                let url = track.url.as_ref().unwrap().url();
                let there = match track.kind {
                    TrackKind::File => *url == expected && track.bytes.is_some(),
                    _ => url.as_str().starts_with(folder.as_str()) && track.segments.is_some_and(|segments| segments > 0),
                };
                if there {
                    right += 1;
                } else {
                    wrong.push(format!("{name}: {url}, not {expected}\n{}", presentation.account));
                }
            }
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} pages:\n{}",
        wrong.len(),
        wrong.len() + right,
        wrong.join("\n")
    );
    assert!(right >= 80, "only {right} pages");
}

#[test]
fn a_page_without_a_stream_ends_with_an_account_of_what_was_read() {
    let server = Server::start(Config::standard().unwrap()).unwrap();
    for (name, site) in server.sites().iter().filter(|(_, site)| site.expect.is_empty()) {
        let error = resolve(&server, name, site).unwrap_err();
        let entry = address(&server, name, &site.entry);
        let (told, is_account) = match &error {
            ResolveError::NothingFound { account } => (account.to_string(), true),
            other => (other.to_string(), matches!(other, ResolveError::TooDeep { .. })),
        };
        assert!(is_account && told.contains(entry.as_str()), "{name}: {told}");
    }
}

#[test]
fn several_videos_of_a_page_are_found_in_order() {
    let mut config = Config::standard().unwrap();
    let page = "<video src=\"/s/plain-ts/index.m3u8\"></video><video src=\"/s/alternate-audio/index.m3u8\"></video>\
                <a href=\"/media/film.mp4\">Download</a>";
    config.files.insert("/several.html".into(), page.as_bytes().to_vec().into());
    let server = Server::start(config).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let streams = runtime.block_on(async {
        let fetcher = HttpFetcher::new(fetch::Options::default()).unwrap();
        let input = Input::parse(&server.url("/several.html"));
        PageResolver::default().streams(&input, &fetcher, 10).await.unwrap()
    });
    let kinds: Vec<Vec<TrackKind>> = streams
        .iter()
        .map(|stream| stream.tracks.iter().map(|track| track.kind).collect())
        .collect();
    assert_eq!(
        kinds,
        [
            vec![TrackKind::Main],
            vec![TrackKind::Main, TrackKind::Audio],
            vec![TrackKind::File]
        ]
    );
}
