//! From a page to its stream.

use super::*;

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = vec![
        Scenario {
            asked: vec![
                Asked::exactly("/p/nested/watch.html", 1),
                Asked::exactly("/p/nested/media/film/v0/*.ts", 0),
            ],
            ..to_ts("pages/iframes-to-ts-each-with-its-referer", "/p/nested/watch.html")
        },
        played(to_mp4(
            "pages/iframes-to-mp4",
            "/p/nested/watch.html",
            vec![Reference::all("high-ts")],
        )),
        to_ts("pages/base-element", "/p/base/a/b/watch.html"),
        to_ts("pages/loop-beside-the-stream", "/p/loop-with-stream/index.html"),
        Scenario {
            asked: vec![Asked::at_least("/p/other-origin/frame.html", 1).elsewhere()],
            ..to_ts("pages/iframe-on-another-origin", "/p/other-origin/watch.html")
        },
        to_ts("pages/cookie-set-on-the-way", "/p/cookie/index.html"),
        Scenario {
            output: "out.mp4",
            outcome: Outcome::Bytes("film.mp4"),
            ..to_ts("pages/video-element-with-a-plain-file", "/p/video-file/index.html")
        },
        Scenario {
            exit: 4,
            outcome: Outcome::Nothing,
            says: vec!["/p/empty/index.html", "/p/empty/advert.html"],
            ..to_ts("pages/nothing-to-play-names-each-document", "/p/empty/index.html")
        },
        Scenario {
            exit: 4,
            outcome: Outcome::Nothing,
            asked: vec![Asked::at_most("/p/loop/a.html", 2), Asked::at_most("/p/loop/b.html", 2)],
            says: vec!["/p/loop/b.html"],
            ..to_ts("pages/loop-ends", "/p/loop/a.html")
        },
        Scenario {
            exit: 4,
            outcome: Outcome::Nothing,
            says: vec!["deeper", "/p/deep/index.html"],
            asked: vec![Asked::at_most("/p/deep/index.html", 64)],
            ..to_ts("pages/endless-depth-ends", "/p/deep/index.html")
        },
        Scenario {
            exit: 1,
            outcome: Outcome::Nothing,
            says: vec!["404"],
            ..to_ts("pages/missing-page", "/p/empty/no-such-page.html")
        },
    ];
    all.extend([
        to_ts("pages/video-element", "/p/video/index.html"),
        to_ts("pages/source-element", "/p/source/index.html"),
        to_ts("pages/link", "/p/link/index.html"),
        to_ts("pages/script-plain", "/p/script-plain/index.html"),
        to_ts("pages/script-relative", "/p/script-relative/index.html"),
        to_ts("pages/script-json-escapes", "/p/script-json/index.html"),
        to_ts("pages/script-unicode-escapes", "/p/script-unicode/index.html"),
        to_ts("pages/script-percent-encoded", "/p/script-percent/index.html"),
    ]);
    all
}
