//! What the playlist and the page tell of a film and of its tracks, in the boxes of the file.

use std::time::{Duration, SystemTime};

use aqueduct_core::{Presentation, TrackKind};
use aqueduct_mux::Container;

use crate::common::{folder, mux_told, run, store};

/// Pictures, sound in English and in German, and sound that describes the pictures.
fn tell(presentation: &mut Presentation) {
    presentation.title = Some("A film".into());
    presentation.recorded = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_268_800));
    for (track, (name, language)) in presentation
        .tracks
        .iter_mut()
        .skip(1)
        .zip([("Main", "en"), ("Andere", "de"), ("Described", "en")])
    {
        track.name = name.into();
        track.language = Some(language.into());
    }
    presentation.tracks[3].characteristics = vec!["public.accessibility.describes-video".into()];
}

/// The bodies of all boxes on a path, in their order (ISO 14496-12 §4.2).
fn bodies<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Vec<&'a [u8]> {
    let Some((kind, rest)) = path.split_first() else {
        return vec![bytes];
    };
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(header) = bytes.get(at..at + 8) {
        let mut size = u32::from_be_bytes(header[..4].try_into().unwrap()) as usize;
        let mut head = 8;
        if size == 1 {
            size = usize::try_from(u64::from_be_bytes(bytes[at + 8..at + 16].try_into().unwrap())).unwrap();
            head = 16;
        }
        if header[4..] == kind[..] {
            found.extend(bodies(&bytes[at + head..at + size], rest));
        }
        at += size;
    }
    found
}

#[test]
fn tracks_of_sound_are_alternatives_with_a_language_and_a_name() {
    let lanes = [
        (TrackKind::Main, folder("video-ts")),
        (TrackKind::Audio, folder("main-audio-ts")),
        (TrackKind::Audio, folder("alt-audio-ts")),
        (TrackKind::Audio, folder("alt-audio-ts")),
    ];
    for container in [Container::Mp4, Container::Fmp4] {
        let (file, _) = mux_told(&lanes, tell, || container.muxer(), &[4]).unwrap();
        let tkhd = bodies(&file, &[b"moov", b"trak", b"tkhd"]);
        let fields: Vec<(u8, u16)> = tkhd
            .iter()
            .map(|tkhd| {
                // §8.3.2: version 1 has times of 64 bits; the group stands behind the layer.
                let at = if tkhd[0] == 1 { 46 } else { 34 };
                (tkhd[3] & 1, u16::from_be_bytes(tkhd[at..at + 2].try_into().unwrap()))
            })
            .collect();
        let group = fields[1].1;
        assert!(group != 0, "rivals share a group");
        assert_eq!(fields, [(1, 0), (1, group), (0, group), (0, group)], "{container:?}");
        // §8.10.4: the scheme and the value, each up to a zero.
        let described = b"\0\0\0\0urn:mpeg:dash:role:2011\0description\0";
        let kinds: Vec<_> = bodies(&file, &[b"moov", b"trak"])
            .into_iter()
            .map(|trak| bodies(trak, &[b"udta", b"kind"]))
            .collect();
        assert_eq!(kinds, [vec![], vec![], vec![], vec![&described[..]]]);

        let at = tempfile::tempdir().unwrap();
        let path = store(&at, "out.mp4", &file);
        let entries = "stream_tags=language,handler_name:stream_disposition=default,visual_impaired";
        let streams = [
            "-v",
            "warning",
            "-select_streams",
            "a",
            "-show_entries",
            entries,
            "-of",
            "csv=p=0:nk=0",
            &path,
        ];
        let Some(told) = run("ffprobe", &streams) else { return };
        let line = |default: u8, described: u8, language: &str, name: &str| {
            format!("disposition:default={default},disposition:visual_impaired={described},tag:language={language},tag:handler_name={name}")
        };
        assert_eq!(
            told.lines().collect::<Vec<_>>(),
            [
                line(1, 0, "eng", "Main"),
                line(0, 0, "deu", "Andere"),
                line(0, 1, "eng", "Described")
            ],
            "{container:?}"
        );
    }
}

#[test]
fn title_and_date_stand_in_every_mp4_that_is_made_of_samples() {
    let lanes = [
        (TrackKind::Main, folder("video-ts")),
        (TrackKind::Audio, folder("main-audio-ts")),
        (TrackKind::Audio, folder("alt-audio-ts")),
        (TrackKind::Audio, folder("alt-audio-ts")),
    ];
    for container in [Container::Mp4, Container::Fmp4] {
        let (file, _) = mux_told(&lanes, tell, || container.muxer(), &[]).unwrap();
        let at = tempfile::tempdir().unwrap();
        let path = store(&at, "out.mp4", &file);
        let tags = [
            "-v",
            "warning",
            "-show_entries",
            "format_tags=title,creation_time",
            "-of",
            "csv=p=0:nk=0",
            &path,
        ];
        let Some(told) = run("ffprobe", &tags) else { return };
        assert!(told.contains("title=A film"), "{container:?}: {told}");
        assert!(told.contains("creation_time=2026-01-01T12:00:00.000000Z"), "{container:?}: {told}");
    }
}
