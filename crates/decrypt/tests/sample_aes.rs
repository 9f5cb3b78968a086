//! MPEG-TS and packed audio that Shaka's packager encrypted, beside the same without encryption
//! (`tests/data/make.sh`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use aqueduct_core::{Decrypt, Encryption, Iv, Kind, Resource};
use aqueduct_decrypt::{ClearKey, UserKeys};
use bytes::BytesMut;
use url::Url;

const KEY: u128 = 0x100b_6c20_940f_779a_4589_152b_57d2_dacb;
const IV: u128 = 0xd5fb_d6b8_2ed9_3e4e_f98a_e409_31ee_33b7;

fn vector(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn sample_aes() -> Encryption {
    Encryption::SampleAes {
        key: Resource::new(Kind::Key, Url::parse("http://host.example/key").unwrap()),
        iv: Some(Iv(IV.to_be_bytes())),
    }
}

fn decrypt(clear_key: &mut ClearKey, sealed: &[u8]) -> Vec<u8> {
    let opened = clear_key.decrypt(&sample_aes(), &KEY.to_be_bytes(), BytesMut::from(sealed));
    opened.unwrap().to_vec()
}

/// PES packets of the streams in a segment, each whole.
fn pes(segment: &[u8]) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    for packet in segment.chunks(188) {
        let start = if packet[3] & 0x20 == 0 { 4 } else { 5 + usize::from(packet[4]) };
        if packet[1] & 0x40 != 0 {
            found.push(Vec::new());
        }
        if packet[3] & 0x10 != 0 {
            found.last_mut().unwrap().extend_from_slice(&packet[start..]);
        }
    }
    found.retain(|unit| unit.starts_with(&[0, 0, 1]));
    found
}

/// The section in each packet of the PMT, without its stuffing.
fn programs(segment: &[u8]) -> Vec<&[u8]> {
    let packets = segment.chunks(188).filter(|packet| is_program(packet));
    let sections = packets.map(|packet| {
        let start = if packet[3] & 0x20 == 0 { 4 } else { 5 + usize::from(packet[4]) };
        &packet[start + 1..start + 4 + usize::from(packet[start + 3])]
    });
    sections.collect()
}

/// The packager's PMT has PID 32.
fn is_program(packet: &[u8]) -> bool {
    packet[1] & 0x1f == 0 && packet[2] == 32
}

/// Tables and counters included, there is no difference to a stream that never was encrypted, but for the packager's way
/// to stuff the PMT.
fn assert_like(opened: &[u8], clear: &[u8], name: &str) {
    assert_eq!(programs(opened), programs(clear), "{name}");
    assert_eq!(opened.len(), clear.len(), "{name}");
    let packets = opened.chunks(188).zip(clear.chunks(188)).filter(|(packet, _)| !is_program(packet));
    for (number, (opened, clear)) in packets.enumerate() {
        assert!(opened == clear, "{name}: packet {number}");
    }
}

#[test]
fn what_the_packager_sealed_comes_back() {
    for name in ["video", "aac", "ac3", "eac3"] {
        let (clear, sealed) = (vector(&format!("{name}-clear.ts")), vector(&format!("{name}-sealed.ts")));
        assert_ne!(pes(&sealed), pes(&clear), "{name}");
        let opened = decrypt(&mut ClearKey::new(), &sealed);
        assert_eq!(pes(&opened), pes(&clear), "{name}");
        assert_like(&opened, &clear, name);
    }
}

// ISO 13818-1, 2.4.4.3: one PAT names every program, each with tables of its own.
#[test]
fn the_streams_of_every_program_come_back() {
    // The packager's PAT names one program; in its place stands one of two, whose tables have PIDs 32 and 33, and whose streams
    // 0x50 and 0x51.
    let mut two = [0xff; 188];
    two[..21].copy_from_slice(&[
        0x47, 0x40, 0, 0x10, 0, 0, 0xb0, 17, 0, 1, 0xc1, 0, 0, 0, 1, 0xe0, 32, 0, 2, 0xe0, 33,
    ]);
    let merged = |form: &str| -> Vec<u8> {
        let (video, sound) = (vector(&format!("video-{form}.ts")), vector(&format!("eac3-{form}.ts")));
        let second = sound.chunks(188).skip(1).map(|packet| {
            let mut packet = packet.to_vec();
            if is_program(&packet) {
                let pids = (0..packet.len() - 1)
                    .filter(|at| packet[*at..at + 2] == [0xe0, 0x50])
                    .collect::<Vec<_>>();
                assert!(!pids.is_empty());
                pids.into_iter().for_each(|at| packet[at + 1] = 0x51);
            }
            packet[2] += 1;
            packet
        });
        let first = video.chunks(188).skip(1).map(<[u8]>::to_vec);
        std::iter::once(two.to_vec()).chain(first).chain(second).flatten().collect()
    };
    let (clear, sealed) = (merged("clear"), merged("sealed"));
    let opened = decrypt(&mut ClearKey::new(), &sealed);
    assert!(pes(&sealed) != pes(&clear));
    assert!(pes(&opened) == pes(&clear));
    assert_eq!(opened.len(), clear.len());
}

/// The vector has what it is there for.
#[test]
fn one_slice_needs_emulation_prevention_twice() {
    assert!(
        pes(&vector("video-sealed.ts"))
            .concat()
            .windows(4)
            .any(|bytes| bytes == [0, 0, 3, 3])
    );
}

#[test]
fn packed_audio_comes_back() {
    for (name, extension) in [("aac", "aac"), ("ac3", "ac3"), ("eac3", "ec3")] {
        let (clear, sealed) = (
            vector(&format!("{name}-clear.{extension}")),
            vector(&format!("{name}-sealed.{extension}")),
        );
        let opened = decrypt(&mut ClearKey::new(), &sealed);
        // The ID3 tag of encrypted audio says more.
        let frames = |bytes: &[u8]| bytes[10 + usize::from(bytes[8]) * 128 + usize::from(bytes[9])..].to_vec();
        assert_eq!(frames(&opened), frames(&clear), "{name}");
    }
}

#[test]
fn a_segment_without_tables_uses_those_of_its_initialization_section() {
    for name in ["video", "aac"] {
        let (clear, sealed) = (vector(&format!("{name}-clear.ts")), vector(&format!("{name}-sealed.ts")));
        let is_table = |packet: &&[u8]| packet[1] & 0x1f == 0 && packet[2] < 0x30;
        let (tables, rest): (Vec<&[u8]>, Vec<&[u8]>) = sealed.chunks(188).partition(is_table);
        assert_eq!(tables.len(), 2);
        let mut clear_key = ClearKey::new();
        let key = Resource::new(Kind::Key, Url::parse("http://host.example/key").unwrap());
        let without_iv = Encryption::SampleAes { key, iv: None };
        clear_key
            .decrypt(&without_iv, &KEY.to_be_bytes(), BytesMut::from(&tables.concat()[..]))
            .unwrap();
        let opened = decrypt(&mut clear_key, &rest.concat());
        assert_eq!(pes(&opened), pes(&clear), "{name}");
    }
}

#[test]
fn the_users_key_opens_what_a_drm_system_keeps() {
    let mut keys = UserKeys::new();
    keys.add(&format!("{KEY:032x}")).unwrap();
    keys.set_iv(&format!("{IV:x}")).unwrap();
    let fairplay = Encryption::Other {
        keys: [("SAMPLE-AES".to_owned(), "com.apple.streamingkeydelivery".to_owned())].into(),
        iv: None,
    };
    let opened = ClearKey::new()
        .with_keys(keys)
        .decrypt(&fairplay, &[], BytesMut::from(&vector("aac-sealed.ts")[..]));
    assert_like(&opened.unwrap(), &vector("aac-clear.ts"), "aac");
}

#[test]
fn clear_streams_are_not_touched() {
    for name in ["video-clear.ts", "eac3-clear.ts"] {
        assert_eq!(decrypt(&mut ClearKey::new(), &vector(name)), vector(name), "{name}");
    }
    let counter = Encryption::SampleAesCtr {
        key: Resource::new(Kind::Key, Url::parse("http://host.example/key").unwrap()),
        iv: None,
    };
    let refused = ClearKey::new().decrypt(&counter, &KEY.to_be_bytes(), BytesMut::from(&vector("video-sealed.ts")[..]));
    assert!(refused.unwrap_err().to_string().contains("counter mode"));
}

#[test]
fn damage_stays_where_it_is() {
    for name in ["video-sealed.ts", "aac-sealed.ts", "ac3-sealed.ac3"] {
        let sealed = vector(name);
        for at in (0..sealed.len().min(3000)).step_by(3) {
            let mut damaged = sealed.clone();
            damaged[at] ^= 0xff;
            for bytes in [&damaged[..], &damaged[..at], &damaged[at..]] {
                let opened = ClearKey::new().decrypt(&sample_aes(), &KEY.to_be_bytes(), BytesMut::from(bytes));
                assert!(opened.is_err() || opened.unwrap().len() <= bytes.len());
            }
        }
    }
}
