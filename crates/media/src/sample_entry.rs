//! What stands in the sample entries of ISO BMFF (ISO 14496-12 §8.5.2), as far as other containers need it.

use mp4_atom::{Avcc, Esds, Hvcc};

use crate::{
    boxes::{BoxRef, Boxes},
    error::Error,
    track::TrackConfig,
};

/// Fields of a visual or audio sample entry before its boxes, header included (ISO 14496-12 §12.1.3 and §12.2.3).
const VISUAL: usize = 86;
const AUDIO: usize = 36;

/// The sample entry of a track.
pub(crate) fn of(config: &TrackConfig) -> Result<BoxRef<'_>, Error> {
    Boxes::new(&config.sample_entry).next().ok_or(Error::MissingBox("sample entry"))?
}

/// A box of a visual sample entry.
pub(crate) fn visual<'a>(entry: BoxRef<'a>, kind: &'static str) -> Result<BoxRef<'a>, Error> {
    find(entry, VISUAL, kind)?.ok_or(Error::MissingBox(kind))
}

/// Like [`visual`], for a box that may be absent. One that does not fit is.
pub(crate) fn in_visual<'a>(entry: BoxRef<'a>, kind: &'static str) -> Option<BoxRef<'a>> {
    find(entry, VISUAL, kind).ok().flatten()
}

/// A box of an audio sample entry.
pub(crate) fn audio<'a>(entry: BoxRef<'a>, kind: &'static str) -> Result<BoxRef<'a>, Error> {
    find(entry, audio_fields(entry), kind)?.ok_or(Error::MissingBox(kind))
}

/// The object type indication (ISO 14496-1 table 5) and `DecoderSpecificInfo` of an `esds` box.
pub(crate) fn object_type(esds: BoxRef<'_>) -> Result<(u8, Vec<u8>), Error> {
    let config = esds.decode::<Esds>("esds")?.es_desc.dec_config;
    let specific = config.dec_specific.map(|specific| specific.raw).unwrap_or_default();
    Ok((config.object_type_indication, specific))
}

fn find<'a>(entry: BoxRef<'a>, fields: usize, kind: &'static str) -> Result<Option<BoxRef<'a>>, Error> {
    // Counted from the body, which begins behind 8 bytes of header.
    for found in entry.children(fields - 8) {
        let found = found?;
        if found.kind == kind.as_bytes() {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Whether what needs the second sample entry can be decoded with the first: they are the same, but for what is told of the
/// bit rate (`btrt`).
pub(crate) fn decodes_as(one: &[u8], other: &[u8]) -> bool {
    if one == other {
        return true;
    }
    let parts = |entry: &[u8]| -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
        let entry = Boxes::new(entry).next()?.ok()?;
        // The configuration stands where it does in pictures or in sound, if anywhere.
        let fields = [VISUAL, audio_fields(entry)].map(|fields| fields - 8).into_iter().find(|fields| {
            let mut children = entry.children(*fields).peekable();
            children.peek().is_some() && children.all(|child| child.is_ok())
        })?;
        let children = entry.children(fields).flatten().filter(|child| &child.kind != b"btrt");
        let head = [&entry.kind, entry.body.get(..fields)?].concat();
        Some((head, children.map(|child| child.whole.to_vec()).collect()))
    };
    parts(one).is_some_and(|one| parts(other).is_some_and(|other| one == other))
}

/// The parameter sets of H.264 or HEVC in a sample entry; none where it has none that can be read.
pub(crate) fn parameter_sets(entry: &[u8]) -> Vec<Vec<u8>> {
    let sets = || -> Option<Vec<Vec<u8>>> {
        let entry = Boxes::new(entry).next()?.ok()?;
        Some(match &entry.kind {
            b"avc1" | b"avc3" => {
                let avcc: Avcc = in_visual(entry, "avcC")?.decode("avcC").ok()?;
                [avcc.sequence_parameter_sets, avcc.picture_parameter_sets].concat()
            }
            b"hvc1" | b"hev1" => {
                let hvcc: Hvcc = in_visual(entry, "hvcC")?.decode("hvcC").ok()?;
                hvcc.arrays.into_iter().flat_map(|array| array.nalus).collect()
            }
            _ => return None,
        })
    };
    sets().unwrap_or_default()
}

/// QuickTime's versions 1 and 2 of the entry have more fields.
fn audio_fields(entry: BoxRef<'_>) -> usize {
    match entry.body.get(8..10) {
        Some([0, 1]) => AUDIO + 16,
        Some([0, 2]) => AUDIO + 36,
        _ => AUDIO,
    }
}

/// The name that people have for the codec of a sample entry.
pub(crate) fn name(kind: [u8; 4]) -> String {
    match &kind {
        b"av01" => "AV1".into(),
        b"vp09" => "VP9".into(),
        b"vp08" => "VP8".into(),
        b"vvc1" | b"vvi1" => "VVC".into(),
        b"alac" => "ALAC".into(),
        b"encv" | b"enca" => "encrypted media".into(),
        other => format!("\"{}\"", other.escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_the_bit_rate_does_not_change_how_a_stream_is_decoded() {
        let boxed = |kind: &[u8; 4], body: &[u8]| [&u32::try_from(body.len() + 8).unwrap().to_be_bytes()[..], kind, body].concat();
        for fields in [VISUAL - 8, AUDIO - 8] {
            let entry = |config: &[u8], rate: &[u8]| boxed(b"some", &[&vec![0; fields], config, rate].concat());
            let (config, rate) = (boxed(b"conf", b"parameters"), boxed(b"btrt", &[7; 12]));
            let plain = entry(&config, &[]);
            for (other, expected) in [
                (entry(&config, &rate), true),
                (entry(&config, &boxed(b"colr", &[7; 12])), false),
                (entry(&boxed(b"conf", b"PARAMETERS"), &[]), false),
                (boxed(b"else", &plain[8..]), false),
                (Vec::new(), false),
            ] {
                assert_eq!(decodes_as(&plain, &other), expected);
            }
        }
    }
}
