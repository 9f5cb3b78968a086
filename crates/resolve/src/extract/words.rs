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

/// The longest word of the list.
const LONGEST: usize = 17;

/// The words in a name or a path that tell against it, as reasons.
pub(super) fn judge(text: &str, place: Place, reasons: &mut Vec<Reason>) {
    each_word(text, place, |word| {
        let Some(reason) = reason(word, place) else { return };
        let same_kind = |known: &Reason| std::mem::discriminant(known) == std::mem::discriminant(&reason);
        if !reasons.iter().any(same_kind) {
            reasons.push(reason);
        }
    });
}

/// The words of an address that count: host and path. Queries hold tokens, in which any word may turn up.
pub(super) fn judge_address(address: &str, reasons: &mut Vec<Reason>) {
    if super::address::strip_prefix_ignore_case(address, "data:").is_some() {
        return;
    }
    let end = address.find(['?', '#']).unwrap_or(address.len());
    judge(address.get(..end).unwrap_or_default(), Place::Address, reasons);
}

/// Splits at everything that is no letter, and in names at `camelCase` as well; words come in lower case.
fn each_word(text: &str, place: Place, mut take: impl FnMut(&str)) {
    let mut word = [0_u8; LONGEST];
    let mut length = 0;
    let mut was_lower = false;
    // One byte that is no letter ends the last word.
    for byte in text.bytes().chain(std::iter::once(b' ')) {
        let letter = byte.is_ascii_alphabetic();
        if !letter || (place != Place::Address && was_lower && byte.is_ascii_uppercase()) {
            if let Some(word) = word
                .get(..length)
                .filter(|word| word.len() > 1)
                .and_then(|word| std::str::from_utf8(word).ok())
            {
                take(word);
            }
            length = 0;
        }
        if letter {
            if let Some(slot) = word.get_mut(length) {
                *slot = byte.to_ascii_lowercase();
            }
            // A word that is too long stays so to its end, and is not taken.
            length += 1;
        }
        was_lower = byte.is_ascii_lowercase();
    }
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
