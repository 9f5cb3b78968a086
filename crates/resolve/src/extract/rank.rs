//! Which address is likelier, and which one is none to fetch.

use url::Url;

use super::account::{Hint, Reason, Step, Via};
use super::collect::{Context, Strength};

/// Anything else is not for fetching: `javascript:`, `mailto:`, `blob:`, `about:`.
pub(super) fn is_fetchable(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https" | "file" | "data")
}

/// Higher is likelier. The kind counts most, then the place; a demerit outweighs both.
pub(super) fn score(place: &Context) -> i32 {
    let certain = place.strength == Strength::Certain;
    let kind = match &place.hint {
        Hint::Hls => 60,
        Hint::Dash => 50,
        Hint::Media(extension) => match extension.as_str() {
            "mp3" | "m4a" | "aac" | "ogg" | "oga" | "opus" | "flac" | "wav" | "mka" | "weba" => 22,
            "ts" => 25,
            _ => 30,
        },
        Hint::Unknown if certain => 15,
        Hint::Unknown => 5,
    };
    let at = match (&place.via, place.strength) {
        (Via::OpenGraph(_) | Via::Twitter(_) | Via::Microdata(_), _) => 22,
        (Via::JsonLd(_), _) => 26,
        (Via::LinkTag, _) => 18,
        (Via::Link, _) => 8,
        (Via::Text, _) => 2,
        (Via::Comment, _) => 0,
        (_, Strength::Certain) => 30,
        (_, Strength::Likely) => 27,
        (_, Strength::Weak) => 12,
    };
    let in_query = if place.steps.iter().any(|step| matches!(step, Step::Query(_))) {
        -4
    } else {
        0
    };
    kind + at + in_query + demerit(&place.reasons)
}

fn demerit(reasons: &[Reason]) -> i32 {
    reasons
        .iter()
        .map(|reason| match reason {
            Reason::Incomplete | Reason::ShownAsText => -80,
            Reason::Related(_) | Reason::Trailer(_) => -100,
            _ => -120,
        })
        .min()
        .unwrap_or(0)
}

pub(super) fn frame_score(text: &str, srcdoc: bool, place: &Context) -> i32 {
    let at = match &place.via {
        Via::Iframe | Via::Srcdoc => 20,
        Via::LazyIframe(_) => 19,
        Via::Embed => 16,
        Via::PlayerKey(_) | Via::PlayerElement(..) | Via::Attribute(_) => 14,
        Via::JsonLd(_) | Via::OpenGraph(_) | Via::Twitter(_) | Via::Microdata(_) => 12,
        Via::MetaRefresh | Via::ScriptRedirect => 10,
        Via::Request(_) => 6,
        Via::Link => 4,
        Via::LinkTag => 2,
        _ => 8,
    };
    let telling = if !srcdoc && is_telling(text) { 5 } else { 0 };
    at + telling + demerit(&place.reasons)
}

/// Whether an address speaks of video.
pub(super) fn is_telling(address: &str) -> bool {
    let lower = address.to_ascii_lowercase();
    [
        "player", "embed", "video", "stream", "live", "media", "watch", "play", "hls", "vod", "config",
    ]
    .iter()
    .any(|word| lower.contains(word))
}

/// Libraries that thousands of pages share hold no page's address.
pub(super) fn is_library(url: &Url) -> bool {
    let file = url.path().rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    const LIBRARIES: [&str; 24] = [
        "jquery",
        "bootstrap",
        "react",
        "vue.",
        "angular",
        "lodash",
        "moment",
        "popper",
        "polyfill",
        "modernizr",
        "hls.",
        "dash.all",
        "video.min",
        "video.js",
        "video-js",
        "videojs",
        "plyr",
        "shaka",
        "jwplayer",
        "flowplayer",
        "clappr",
        "analytics",
        "gtm",
        "wp-emoji",
    ];
    LIBRARIES.iter().any(|library| file.starts_with(library))
}

/// Whether two hosts belong together: equal, one below the other, or both below one registered name.
///
/// Which names are registered only a list can tell; here it is the last two labels, or three where the
/// second-last is as short as in `example.co.uk`.
pub(super) fn is_same_site(page: &Url, other: &Url) -> bool {
    match (page.host(), other.host()) {
        (Some(url::Host::Domain(page)), Some(url::Host::Domain(other))) => registered(page).eq_ignore_ascii_case(registered(other)),
        (page, other) => page == other,
    }
}

fn registered(host: &str) -> &str {
    let mut ends = host.rmatch_indices('.').map(|(at, _)| at);
    let (last, second, third) = (ends.next(), ends.next(), ends.next());
    let short = match (last, second) {
        (Some(last), Some(second)) => last - second <= 4 && host.len() - last <= 3,
        (Some(last), None) => last <= 3 && host.len() - last <= 3,
        _ => false,
    };
    let cut = if short { third } else { second };
    cut.and_then(|at| host.get(at + 1..)).unwrap_or(host)
}
