//! The `moov` box of an initialization section (ISO 14496-12 §8.2 to §8.5, §8.8.1).

use bytes::Bytes;
use mp4_atom::{Elst, Matrix, Mdhd, Mvhd, Tkhd, Trex};

use crate::{
    boxes::BoxRef,
    error::Error,
    time::rescale,
    track::{Language, Roles, TrackConfig, TrackKind},
};

/// Tracks that are taken; more is an attack.
const MAX_TRACKS: usize = 64;
/// Sample entries of a track that are taken.
const MAX_ENTRIES: usize = 64;

/// Longest language tag that is taken; any in use is far shorter.
const MAX_TAG: usize = 64;

/// A track as the initialization section describes it.
#[derive(Debug)]
pub(crate) struct InitTrack {
    pub(crate) id: u32,
    pub(crate) config: TrackConfig,
    pub(crate) entries: Vec<Bytes>,
    pub(crate) defaults: Trex,
}

/// The tracks of a `moov` box, in its order.
pub(crate) fn tracks(moov: BoxRef<'_>) -> Result<Vec<InitTrack>, Error> {
    let movie: Mvhd = moov.child("mvhd")?.decode("mvhd")?;
    let mut defaults = Vec::new();
    if let Some(mvex) = moov.find("mvex")? {
        for found in mvex.children(0) {
            let found = found?;
            if &found.kind == b"trex" && defaults.len() < MAX_TRACKS {
                defaults.push(found.decode::<Trex>("trex")?);
            }
        }
    }
    let mut tracks = Vec::new();
    for found in moov.children(0) {
        let found = found?;
        if &found.kind == b"trak" && tracks.len() < MAX_TRACKS {
            tracks.push(track(found, movie.timescale, &defaults)?);
        }
    }
    if tracks.is_empty() {
        return Err(Error::MissingBox("trak"));
    }
    Ok(tracks)
}

fn track(trak: BoxRef<'_>, movie_timescale: u32, defaults: &[Trex]) -> Result<InitTrack, Error> {
    let header: Tkhd = trak.child("tkhd")?.decode("tkhd")?;
    let mdia = trak.child("mdia")?;
    let media: Mdhd = mdia.child("mdhd")?.decode("mdhd")?;
    if media.timescale == 0 {
        return Err(Error::ZeroTimescale);
    }
    let (handler, name) = handler(mdia.child("hdlr")?)?;
    let stsd = mdia.child("minf")?.child("stbl")?.child("stsd")?;
    // Behind version, flags and the count of entries.
    let entries: Vec<Bytes> = stsd
        .children(8)
        .take(MAX_ENTRIES)
        .map(|entry| entry.map(|entry| Bytes::copy_from_slice(entry.whole)))
        .collect::<Result<_, _>>()?;
    let first = entries.first().cloned().ok_or(Error::MissingBox("sample entry"))?;
    let edits = match trak.find("edts")? {
        Some(edts) => edts.find("elst")?,
        None => None,
    };
    let presentation_offset = match edits {
        Some(elst) => presentation_offset(&elst.decode("elst")?, movie_timescale, media.timescale),
        None => None,
    };
    let config = TrackConfig {
        kind: match &handler {
            b"vide" => TrackKind::Video,
            b"soun" => TrackKind::Audio,
            b"text" | b"subt" | b"sbtl" | b"clcp" => TrackKind::Subtitle,
            _ => TrackKind::Other,
        },
        handler,
        timescale: media.timescale,
        sample_entry: first,
        display_size: (header.width.integer().into(), header.height.integer().into()),
        matrix: (header.matrix != Matrix::default()).then(|| matrix(&header.matrix)),
        language: Language::new(media.language.as_bytes()),
        name,
        language_tag: mdia.find("elng")?.and_then(extended_language),
        roles: roles(trak)?,
        presentation_offset,
    };
    let defaults = defaults.iter().find(|trex| trex.track_id == header.track_id).cloned();
    Ok(InitTrack {
        id: header.track_id,
        config,
        entries,
        defaults: defaults.unwrap_or(Trex {
            track_id: header.track_id,
            default_sample_description_index: 1,
            ..Trex::default()
        }),
    })
}

/// What the `kind` boxes of a track say (§8.10.4): a scheme and a value, each up to a zero.
fn roles(trak: BoxRef<'_>) -> Result<Roles, Error> {
    let mut roles = Roles::default();
    let Some(udta) = trak.find("udta")? else { return Ok(roles) };
    // What QuickTime puts there need not be boxes to its end.
    for kind in udta.children(0).map_while(Result::ok).filter(|found| &found.kind == b"kind") {
        let mut texts = kind.body.get(4..).unwrap_or(&[]).split(|&byte| byte == 0);
        if let (Some(scheme), Some(role)) = (texts.next(), texts.next()) {
            roles.set_kind(scheme, role);
        }
    }
    Ok(roles)
}

/// Handler type and name (§8.4.3). The name ends at a zero or with the box; QuickTime puts its length first.
fn handler(hdlr: BoxRef<'_>) -> Result<([u8; 4], Option<String>), Error> {
    let handler = hdlr.body.get(8..).and_then(<[u8]>::first_chunk).ok_or(Error::MalformedBox {
        kind: "hdlr",
        reason: "cut short".to_owned(),
    })?;
    let name = hdlr.body.get(24..).unwrap_or(&[]);
    let name = match name {
        [length, text @ ..] if usize::from(*length) == text.len() => text,
        text => text,
    };
    let name = name.split(|&byte| byte == 0).next().unwrap_or(&[]);
    let name = String::from_utf8_lossy(name).trim().to_owned();
    Ok((*handler, Some(name).filter(|name| !name.is_empty())))
}

/// The language tag that a media header has no room for (§8.4.6): letters, digits and hyphens (RFC 5646 §2.1).
fn extended_language(elng: BoxRef<'_>) -> Option<String> {
    let tag = elng.body.get(4..)?.split(|&byte| byte == 0).next()?;
    let plain = tag.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    (plain && (1..=MAX_TAG).contains(&tag.len())).then(|| String::from_utf8_lossy(tag).into_owned())
}

fn matrix(matrix: &Matrix) -> [i32; 9] {
    let Matrix { a, b, u, c, d, v, x, y, w } = *matrix;
    [a, b, u, c, d, v, x, y, w]
}

/// What the first edits amount to: waiting, then playing from `media_time` on. Edits after that would cut the
/// stream up, and nothing that makes segments writes them.
fn presentation_offset(elst: &Elst, movie_timescale: u32, timescale: u32) -> Option<i64> {
    let mut offset = 0_i64;
    for entry in &elst.entries {
        match entry.media_time {
            None => {
                let wait = i64::try_from(entry.segment_duration).ok()?;
                offset = offset.saturating_add(rescale(wait, movie_timescale, timescale));
            }
            Some(media_time) => return offset.checked_sub(i64::try_from(media_time).ok()?),
        }
    }
    None
}
