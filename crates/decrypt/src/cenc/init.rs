//! The initialization section: what it says of protection, and the same without it (ISO 23001-7, 4 and 8).

use aqueduct_core::DecryptError;

use super::auxiliary::is_auxiliary;
use super::boxes::{BoxAt, Boxes, Reader};
use super::protection::{Groups, Protection, Scheme, is_seig};
use super::unreadable;

/// PIFF's form of `tenc` (PIFF 1.1, Track Encryption Box).
const PIFF_TENC: [u8; 16] = [
    0x89, 0x74, 0xdb, 0xce, 0x7b, 0xe7, 0x4c, 0x51, 0x84, 0xf9, 0x71, 0x48, 0xf9, 0x88, 0x25, 0x54,
];

/// Tracks, and sample entries of each, that may be protected; more is an attack.
const MOST: usize = 64;

/// A track as far as decryption needs it.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub(super) id: u32,
    /// For each sample entry, whether and how it is protected.
    pub(super) entries: Vec<Option<Protection>>,
    /// `seig` entries that fragments may refer to.
    pub(super) groups: Groups,
    /// Defaults of `trex` (ISO 14496-12 §8.8.3).
    pub(super) entry: u32,
    pub(super) sample_size: u32,
}

impl Track {
    pub(super) fn is_protected(&self) -> bool {
        self.entries.iter().any(Option::is_some)
    }
}

/// Reads the tracks of a `moov` box. `default` is the scheme of tracks that name none.
pub(super) fn tracks(moov: &BoxAt<'_>, default: Option<Scheme>) -> Result<Vec<Track>, DecryptError> {
    let mut tracks = Vec::new();
    for trak in moov.children().filter(|child| &child.kind == b"trak") {
        let track = track(&trak, default)?;
        // Of those that are in the clear, only the first have to be known.
        if tracks.len() < MOST {
            tracks.push(track);
        } else if track.is_protected() || tracks.iter().any(Track::is_protected) {
            return Err(unreadable("more than 64 tracks, of which some are encrypted"));
        }
    }
    let extends = moov.child(b"mvex");
    for trex in extends.iter().flat_map(BoxAt::children).filter(|child| &child.kind == b"trex") {
        let mut reader = Reader(trex.body());
        let numbers = (|| {
            reader.full()?;
            let (id, entry) = (reader.u32()?, reader.u32()?);
            reader.u32()?;
            Some((id, entry, reader.u32()?))
        })();
        let Some((id, entry, size)) = numbers else { continue };
        if let Some(track) = tracks.iter_mut().find(|track| track.id == id) {
            (track.entry, track.sample_size) = (entry, size);
        }
    }
    Ok(tracks)
}

fn track(trak: &BoxAt<'_>, default: Option<Scheme>) -> Result<Track, DecryptError> {
    let id = trak.child(b"tkhd").and_then(|tkhd| {
        let mut reader = Reader(tkhd.body());
        let (version, _) = reader.full()?;
        reader.take(if version == 1 { 16 } else { 8 })?;
        reader.u32()
    });
    let stbl = [b"mdia", b"minf", b"stbl"]
        .iter()
        .try_fold(*trak, |parent, kind| parent.child(kind))
        .ok_or_else(|| unreadable("a track without its tables"))?;
    let mut entries = Vec::new();
    if let Some(stsd) = stbl.child(b"stsd") {
        for entry in Boxes::new(stsd.body().get(8..).unwrap_or(&[])) {
            let protection = match children_of(&entry) {
                Some(children) => Some(protection(&entry, children, default)?),
                None => None,
            };
            if entries.len() < MOST {
                entries.push(protection);
            } else if protection.is_some() || entries.iter().any(Option::is_some) {
                return Err(unreadable("a track of more than 64 sample entries, of which some are encrypted"));
            }
        }
    }
    let scheme = entries.iter().flatten().map(|protection| protection.scheme).next();
    let groups = stbl.children().filter(|child| &child.kind == b"sgpd");
    Ok(Track {
        id: id.ok_or_else(|| unreadable("a track without a number"))?,
        groups: scheme
            .and_then(|scheme| groups.filter_map(|sgpd| Groups::read(&sgpd, scheme)).next())
            .unwrap_or_default(),
        entries,
        entry: 1,
        sample_size: 0,
    })
}

/// What the first `sinf` of a scheme that is known says (ISO 14496-12 §8.12).
fn protection(entry: &BoxAt<'_>, children: usize, default: Option<Scheme>) -> Result<Protection, DecryptError> {
    let mut named = None;
    for sinf in Boxes::new(entry.whole.get(children..).unwrap_or(&[])).filter(|child| &child.kind == b"sinf") {
        let scheme = sinf
            .child(b"schm")
            .and_then(|schm| schm.body().get(4..8).and_then(<[u8]>::first_chunk).copied());
        named = named.or(scheme);
        let schi = sinf.child(b"schi");
        let tenc = if scheme == Some(*b"piff") {
            let piff_tenc = |child: &BoxAt<'_>| &child.kind == b"uuid" && child.body().starts_with(&PIFF_TENC);
            let tenc = schi.and_then(|schi| schi.children().find(piff_tenc));
            // Behind the identifier, version and flags.
            tenc.and_then(|tenc| Protection::piff(Reader(tenc.body().get(20..)?)))
        } else {
            let Some(scheme) = scheme.map_or(default, Scheme::new) else {
                continue;
            };
            let tenc = schi.and_then(|schi| schi.child(b"tenc"));
            tenc.and_then(|tenc| Protection::tenc(scheme, tenc.body()))
        };
        if original(entry, children).is_none() {
            return Err(unreadable("a protected sample entry that does not say what it was (frma)"));
        }
        return tenc.ok_or_else(|| unreadable("a protected sample entry without readable track encryption (tenc)"));
    }
    Err(unreadable(&match named {
        Some(name) => format!("protection scheme {:?} is not known", name.escape_ascii().to_string()),
        None => "a protected sample entry that names no scheme".to_owned(),
    }))
}

/// What a protected sample entry was called (`frma`, ISO 14496-12 §8.12.2).
fn original(entry: &BoxAt<'_>, children: usize) -> Option<[u8; 4]> {
    let boxes = Boxes::new(entry.whole.get(children..)?);
    let mut sinfs = boxes.filter(|child| &child.kind == b"sinf");
    sinfs.find_map(|sinf| sinf.child(b"frma")?.body().first_chunk().copied())
}

/// Where the boxes of a protected sample entry begin, from the entry's start; `None` for a plain one.
fn children_of(entry: &BoxAt<'_>) -> Option<usize> {
    let body = entry.body();
    // ISO 14496-12 §12.1.3, §12.2.3, §8.5.2; QuickTime's sound descriptions of version 1 and 2 are longer.
    let skip = match &entry.kind {
        b"encv" => 78,
        b"enca" => match body.get(8..10) {
            Some([0, 1]) if has_sinf(body, 44) => 44,
            Some([0, 2]) if has_sinf(body, 64) => 64,
            _ => 28,
        },
        b"enct" | b"encs" | b"encm" | b"encu" => 8,
        _ => return None,
    };
    // Text may stand in front of a subtitle's boxes: they begin at the first place from which a walk finds sinf.
    let longest = if skip == 8 { body.len().min(1024) } else { skip };
    (skip..=longest)
        .find(|skip| has_sinf(body, *skip))
        .or(Some(skip))
        .map(|skip| entry.header + skip)
}

/// What a DRM system is told: `pssh` (ISO 23001-7, 8.1), or PIFF's form of it.
pub(super) fn is_pssh(found: &BoxAt<'_>) -> bool {
    const PIFF: [u8; 16] = [
        0xd0, 0x8a, 0x4f, 0x18, 0x10, 0xf3, 0x4a, 0x82, 0xb6, 0xc8, 0x32, 0xd8, 0xab, 0xa1, 0x83, 0xd3,
    ];
    &found.kind == b"pssh" || &found.kind == b"uuid" && found.body().starts_with(&PIFF)
}

fn has_sinf(body: &[u8], skip: usize) -> bool {
    Boxes::new(body.get(skip..).unwrap_or(&[]))
        .take(MOST)
        .any(|child| &child.kind == b"sinf")
}

/// The boxes that lead to sample entries, each within the one before (ISO 14496-12 §8.1 to §8.5).
const WAY: [&[u8; 4]; 5] = [b"moov", b"trak", b"mdia", b"minf", b"stbl"];

/// Appends a `moov` box to `out` without what tells of protection: sample entries get their own names back
/// (`frma`, ISO 14496-12 §8.12.2), and `sinf`, `pssh` and `seig` groups are gone.
pub(super) fn plain(moov: &BoxAt<'_>, out: &mut Vec<u8>) {
    plain_on(&WAY, moov, out);
}

/// The same for a box that stands where the way leads to. What stands elsewhere may be nested as deep as anybody likes.
fn plain_on(way: &[&[u8; 4]], found: &BoxAt<'_>, out: &mut Vec<u8>) {
    match (&found.kind, way) {
        (kind, [first, rest @ ..]) if kind == *first => wrap(out, found.kind, |out| {
            let mut children = found.children();
            children.by_ref().for_each(|child| plain_on(rest, &child, out));
            // Padding that is no box stays.
            out.extend_from_slice(children.rest());
        }),
        (b"stsd", []) => wrap(out, found.kind, |out| {
            let (head, entries) = found.body().split_at(found.body().len().min(8));
            out.extend_from_slice(head);
            Boxes::new(entries).for_each(|entry| plain_entry(&entry, out));
        }),
        _ if is_pssh(found) || is_seig(found) || is_auxiliary(found) => {}
        _ => out.extend_from_slice(found.whole),
    }
}

fn plain_entry(entry: &BoxAt<'_>, out: &mut Vec<u8>) {
    let named = children_of(entry).and_then(|children| Some((children, original(entry, children)?)));
    let Some((children, original)) = named else {
        out.extend_from_slice(entry.whole);
        return;
    };
    let (head, boxes) = entry.whole.split_at(children.min(entry.whole.len()));
    wrap(out, original, |out| {
        out.extend_from_slice(head.get(entry.header..).unwrap_or(&[]));
        Boxes::new(boxes)
            .filter(|child| &child.kind != b"sinf")
            .for_each(|child| out.extend_from_slice(child.whole));
    });
}

/// A box around what `content` appends.
fn wrap(out: &mut Vec<u8>, kind: [u8; 4], content: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&kind);
    content(out);
    // What it is made of had a size of 32 bits, or is cut where it cannot be one: no such box is in memory.
    let size = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(start..start + 4) {
        field.copy_from_slice(&size.to_be_bytes());
    }
}
