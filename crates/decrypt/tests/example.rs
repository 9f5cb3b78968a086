//! `examples/decrypt_file.rs`, run as a reader would run it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const KEY: &str = "100b6c20940f779a4589152b57d2dacb";
const BY_KID: &str = "eb676abbcb345e96bbcf616630f1a3da:100b6c20940f779a4589152b57d2dacb";

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Cargo builds the executable of an example beside those of the tests.
fn decrypt_file(method: &str, sealed: &Path, clear: &Path, rest: &[&str]) -> Output {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("examples/decrypt_file");
    Command::new(program).arg(method).args([sealed, clear]).args(rest).output().unwrap()
}

/// The content of the boxes that hold media.
fn media(mut file: &[u8]) -> Vec<u8> {
    let mut media = Vec::new();
    while let Some((size, rest)) = file.split_first_chunk::<4>() {
        let (whole, next) = file.split_at(u32::from_be_bytes(*size).try_into().unwrap());
        if rest.starts_with(b"mdat") {
            media.extend_from_slice(&whole[8..]);
        }
        file = next;
    }
    media
}

#[test]
fn it_opens_a_segment_an_mp4_by_key_identifier_and_sample_aes() {
    let folder = std::env::temp_dir().join(format!("aqueduct-decrypt-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (segment, clear) = (folder.join("segment"), folder.join("clear"));
    let open = |method, sealed: &Path, rest: &[&str]| {
        let output = decrypt_file(method, sealed, &clear, rest);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(&clear).unwrap()
    };
    // printf 'clear media' | openssl enc -aes-128-cbc -K 000102030405060708090a0b0c0d0e0f \
    //     -iv 00000000000000000000000000000014
    std::fs::write(
        &segment,
        [
            0xba, 0x7e, 0x82, 0x9c, 0x51, 0xb3, 0x9a, 0x7a, 0xd4, 0x8d, 0xfc, 0xb1, 0xf0, 0x8b, 0xea, 0x8c,
        ],
    )
    .unwrap();
    assert_eq!(
        open("AES-128", &segment, &["000102030405060708090a0b0c0d0e0f", "14"]),
        b"clear media"
    );

    let opened = open("SAMPLE-AES", &data("cbcs-video.mp4"), &[BY_KID]);
    assert!(!media(&opened).is_empty());
    assert!(media(&opened) == media(&std::fs::read(data("clear-video.mp4")).unwrap()));

    let iv = "d5fbd6b82ed93e4ef98ae40931ee33b7";
    let opened = open("SAMPLE-AES", &data("video-sealed.ts"), &[KEY, iv]);
    // Packets of tables have low PIDs; the packager stuffs them in its own way.
    let pictures = |file: &[u8]| -> Vec<u8> {
        let packets = file.chunks(188).filter(|packet| packet[1] & 0x1f != 0 || packet[2] >= 0x30);
        packets.flatten().copied().collect()
    };
    assert!(pictures(&opened) == pictures(&std::fs::read(data("video-clear.ts")).unwrap()));

    let wrong = decrypt_file("AES-128", &segment, &clear, &["no key"]);
    assert!(!wrong.status.success() && !String::from_utf8_lossy(&wrong.stderr).contains("no key"));
    std::fs::remove_dir_all(&folder).unwrap();
}
