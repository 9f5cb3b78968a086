//! What keys, kinds and labels say about the address beside them.

use super::account::{Hint, Reason};
use super::collect::Strength;
use super::words::{self, Place};

/// What a kind says against an address beside it.
pub(super) fn against(text: &str, out: &mut Option<Reason>) {
    if matches!(
        text,
        "captions" | "subtitles" | "chapters" | "metadata" | "thumbnails" | "thumbnail"
    ) {
        *out = Some(Reason::Thumbnail(text.to_owned()));
        return;
    }
    let mut reasons = Vec::new();
    words::judge(text, Place::Key, &mut reasons);
    if let Some(reason) = reasons.into_iter().find(|reason| !matches!(reason, Reason::Service(_))) {
        *out = Some(reason);
    }
}

/// The height that a label tells: `1080p`, `720`, `1920x1080`.
pub(super) fn height(label: &str) -> Option<u32> {
    let label = label.trim();
    let last = label
        .rsplit(['x', '×', ' ', '('])
        .find(|part| part.starts_with(|first: char| first.is_ascii_digit()))?;
    let digits = last.bytes().take_while(u8::is_ascii_digit).count();
    let number: u32 = last.get(..digits)?.parse().ok()?;
    let rest = last.get(digits..)?.trim_end_matches(')');
    ((100..=8640).contains(&number) && (rest.is_empty() || rest.starts_with(['p', 'P']))).then_some(number)
}

/// What a key says about its value.
pub(super) struct KeyKind {
    pub(super) strength: Strength,
    pub(super) hint: Hint,
    pub(super) frame: bool,
}

/// Keys that say nothing by themselves.
pub(super) fn is_plain_key(key: &str) -> bool {
    let key = key.rsplit('.').next().unwrap_or_default();
    ["url", "uri", "href", "link", "path", "location", "value", "content"]
        .iter()
        .any(|known| key.eq_ignore_ascii_case(known))
}

/// Judges a key, and where it says nothing by itself, the key of the object that it is in.
pub(super) fn key_kind(key: &str, owner: &str) -> KeyKind {
    let mut kind = one_key(key);
    if kind.strength == Strength::Weak && !kind.frame && is_plain_key(key) && !owner.is_empty() {
        kind = one_key(owner);
    }
    kind
}

fn one_key(key: &str) -> KeyKind {
    let none = KeyKind {
        strength: Strength::Weak,
        hint: Hint::Unknown,
        frame: false,
    };
    if key.len() > 40 {
        return none;
    }
    let mut buffer = [0; 40];
    let mut length = 0;
    for (slot, byte) in buffer.iter_mut().zip(key.bytes().filter(u8::is_ascii_alphanumeric)) {
        *slot = byte.to_ascii_lowercase();
        length += 1;
    }
    let Some(name) = buffer.get(..length).and_then(|name| std::str::from_utf8(name).ok()) else {
        return none;
    };
    let name = name.strip_prefix("data").filter(|rest| !rest.is_empty()).unwrap_or(name);
    let stem = ["url", "uri", "src", "source", "file", "link", "path", "href", "address", "endpoint"]
        .iter()
        .find_map(|end| name.strip_suffix(end))
        .unwrap_or(name);
    if stem.contains("iframe")
        || matches!(
            stem,
            "embed" | "player" | "embedplayer" | "videoembed" | "playerpage" | "playeriframe" | "embedded"
        ) && stem != name
        || matches!(name, "embed")
    {
        return KeyKind { frame: true, ..none };
    }
    let named = matches!(name, "file" | "src" | "source" | "sources" | "url" | "uri");
    let likely = matches!(
        stem,
        "hls"
            | "dash"
            | "mpd"
            | "m3u8"
            | "stream"
            | "streams"
            | "streaming"
            | "video"
            | "videos"
            | "playlist"
            | "manifest"
            | "master"
            | "masterplaylist"
            | "mp4"
            | "webm"
            | "progressive"
            | "livestream"
            | "playback"
            | "hlsmanifest"
            | "dashmanifest"
            | "hlsplaylist"
            | "hlsstream"
            | "hlsmaster"
            | "hlsvod"
            | "livehls"
            | "hlslive"
            | "videohls"
            | "vodhls"
            | "vod"
            | "media"
            | "videostream"
            | "streamhls"
            | "hlsvideo"
            | "dashvideo"
            | "videomanifest"
            | "mediasource"
            | "mediastream"
    ) || (stem != name
        && matches!(
            stem,
            "content"
                | "play"
                | "live"
                | "file"
                | "audio"
                | "mp3"
                | "source"
                | "clip"
                | "film"
                | "movie"
                | "episode"
                | "lecture"
                | "recording"
                | "download"
                | "hd"
                | "sd"
                | "base64"
                | "encoded"
        ));
    if !(likely || named && !matches!(name, "url" | "uri")) {
        return none;
    }
    let hint = if stem.contains("hls") || stem.contains("m3u8") {
        Hint::Hls
    } else if matches!(stem, "dash" | "mpd" | "dashmanifest" | "dashvideo") {
        Hint::Dash
    } else if stem == "mp4" || stem == "webm" {
        Hint::Media(stem.to_owned())
    } else {
        Hint::Unknown
    };
    KeyKind {
        strength: Strength::Likely,
        hint,
        frame: false,
    }
}
