//! Words near an address that speak against it.

use super::account::Reason;

/// Where a word was found; some words only mean something in some places.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The path of an address, or its host.
    Address,
    /// A key, a variable or a callee in a script; the name of an attribute.
    Key,
    /// A `class` or an `id`.
    Class,
}

/// The words in a name or a path that tell against it, as reasons.
pub(super) fn judge(text: &str, place: Place, reasons: &mut Vec<Reason>) {
    for word in words(text, place) {
        let Some(reason) = reason(&word, place) else { continue };
        let same_kind = |known: &Reason| std::mem::discriminant(known) == std::mem::discriminant(&reason);
        if !reasons.iter().any(same_kind) {
            reasons.push(reason);
        }
    }
}

/// The words of an address that count: host and path. Queries hold tokens, in which any word may turn up.
pub(super) fn judge_address(address: &str, reasons: &mut Vec<Reason>) {
    if super::address::strip_prefix_ignore_case(address, "data:").is_some() {
        return;
    }
    let end = address.find(['?', '#']).unwrap_or(address.len());
    judge(address.get(..end).unwrap_or_default(), Place::Address, reasons);
}

/// Splits at everything that is no letter, and in names at `camelCase` as well.
fn words(text: &str, place: Place) -> impl Iterator<Item = String> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while bytes.get(at).is_some_and(|byte| !byte.is_ascii_alphabetic()) {
            at += 1;
        }
        let start = at;
        while let Some(byte) = bytes.get(at).filter(|byte| byte.is_ascii_alphabetic()) {
            let camel =
                place != Place::Address && byte.is_ascii_uppercase() && at > start && bytes.get(at - 1).is_some_and(u8::is_ascii_lowercase);
            if camel {
                break;
            }
            at += 1;
        }
        let word = text.get(start..at)?;
        // No word of the list is longer.
        (!word.is_empty()).then(|| {
            if word.len() > 17 {
                String::new()
            } else {
                word.to_ascii_lowercase()
            }
        })
    })
}

fn reason(word: &str, place: Place) -> Option<Reason> {
    let of = |make: fn(String) -> Reason| Some(make(word.to_owned()));
    let (key, class) = (place == Place::Key, place == Place::Class);
    match word {
        "ad" | "ads" | "adv" | "advert" | "adverts" | "advertisement" | "advertisements" | "advertising" | "adserver" | "adsystem"
        | "adtag" | "adtagurl" | "adslot" | "vast" | "vmap" | "vpaid" | "preroll" | "midroll" | "postroll" | "doubleclick"
        | "googlesyndication" | "sponsor" | "sponsored" | "sponsors" | "werbung" | "reklama" | "publicidad" | "pubads" => {
            of(Reason::Advertisement)
        }
        "commercial" | "commercials" | "ima" if key || class => of(Reason::Advertisement),
        "preview" | "previews" | "teaser" | "teasers" | "storyboard" | "storyboards" | "scrubber" | "sprite" | "sprites" => {
            of(Reason::Preview)
        }
        "sample" | "hover" | "scrub" | "snippet" if key || class => of(Reason::Preview),
        "thumb" | "thumbs" | "thumbnail" | "thumbnails" | "vignette" => of(Reason::Thumbnail),
        "poster" | "posters" | "image" | "images" | "icon" | "logo" if key => of(Reason::Thumbnail),
        "trailer" | "trailers" | "promo" | "promos" => of(Reason::Trailer),
        "background" | "backgrounds" | "ambient" | "wallpaper" => of(Reason::Background),
        "bg" | "decoration" if key || class => of(Reason::Background),
        "intro" | "outro" | "bumper" | "ident" if key => of(Reason::Preview),
        "related" | "recommended" | "recommendations" | "recommendation" | "suggested" | "upnext" | "sidebar" if key || class => {
            of(Reason::Related)
        }
        "placeholder" | "dummy" | "blank" => of(Reason::Placeholder),
        "error" if key => of(Reason::Placeholder),
        "analytics" | "tracking" | "tracker" | "telemetry" | "pixel" | "beacon" | "googletagmanager" | "gtm" | "consent" | "cookie"
        | "cookies" | "recaptcha" | "captcha" | "disqus" | "comments" | "comment" | "newsletter" | "login" | "logout" | "signup"
        | "chat" | "csrf" | "stats" | "metrics" | "facebook" | "addthis" | "sharethis" | "hotjar" => of(Reason::Service),
        _ => None,
    }
}
