//! How fast segments are decrypted, in place, on one core: buffers of 1 MiB, beside what openssl does on the same machine.
//!
//! `cargo bench -p aqueduct-decrypt --bench decrypt [-- WORDS]` prints a table, or the lines of it that have the words.
//! Figures of samples are for each encrypted byte. The machine may have other things to do: for each line both take turns,
//! openssl for a second and then many buffers here, of which the median counts. The line has the medians of all turns, and
//! the least and the greatest ratio.
//!
//! Lines of "nothing but" change the same blocks of the same buffer and do nothing else: what memory allows a pattern.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::process::Command;
use std::time::{Duration, Instant};

use aqueduct_core::{Decrypt, Encryption, Iv, Kind, Resource};
use aqueduct_decrypt::{ClearKey, UserKeys};
use bytes::BytesMut;
use url::Url;

const MIB: usize = 1 << 20;
const KEY: [u8; 16] = [7; 16];
/// Of each line.
const TURNS: usize = 5;
/// Of each turn.
const BUFFERS: usize = 500;

fn main() {
    println!("{:<34} {:>9} {:>9} {:>9}   least to greatest", "", "GB/s", "openssl", "ratio");
    let words = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"))
        .unwrap_or_default();
    let row = |name: &str, encrypted: usize, time: &dyn Fn() -> Duration| {
        if !name.contains(&words) {
            return;
        }
        let turns: Vec<(f64, Option<f64>)> = (0..TURNS)
            .map(|_| {
                let theirs = openssl();
                (gigabytes(encrypted, time()), theirs)
            })
            .collect();
        let rate = median(turns.iter().map(|(ours, _)| *ours).collect());
        let Some(theirs) = turns.iter().map(|(_, theirs)| *theirs).collect::<Option<Vec<f64>>>() else {
            println!("{name:<34} {rate:>9.2} {:>9}", "absent");
            return;
        };
        let mut ratios: Vec<f64> = turns.iter().zip(&theirs).map(|((ours, _), theirs)| 100.0 * ours / theirs).collect();
        ratios.sort_by(f64::total_cmp);
        let (least, greatest) = (ratios[0], ratios[TURNS - 1]);
        println!(
            "{name:<34} {rate:>9.2} {:>9.2} {:>7.1} %   {least:.1} to {greatest:.1}",
            median(theirs),
            median(ratios)
        );
    };

    let key = Resource::new(Kind::Key, Url::parse("http://host.example/key").unwrap());
    let iv = Some(Iv([0; 16]));
    let whole = Encryption::Aes128 { key: key.clone(), iv };
    // What comes out of decrypting a constant is no padding; only a segment that was sealed right is measured.
    let sealed = seal(MIB);
    row("AES-128 CBC, whole segment", MIB, &|| decrypt(&ClearKey::new(), &whole, &sealed));

    let samples = Encryption::SampleAes { key, iv };
    for (name, scheme, pattern, sample) in [
        ("cbcs 1:9, samples of 64 KiB", b"cbcs", (1, 9), 64 << 10),
        ("cbcs 1:9, samples of 4 KiB", b"cbcs", (1, 9), 4 << 10),
        ("cbcs 1:9, samples of 400 bytes", b"cbcs", (1, 9), 400),
        ("cbcs, all blocks, 400 bytes", b"cbcs", (0, 0), 400),
        ("cenc, samples of 64 KiB", b"cenc", (0, 0), 64 << 10),
        ("cens 1:9, samples of 64 KiB", b"cens", (1, 9), 64 << 10),
    ] {
        let (init, segment) = fragmented(scheme, pattern, sample);
        let mut clear_key = ClearKey::new().with_keys(user_key());
        clear_key.decrypt(&samples, &KEY, BytesMut::from(&init[..])).unwrap();
        let encrypted = match pattern {
            (0, 0) if scheme == b"cenc" => sample,
            (0, 0) => sample / 16 * 16,
            _ => (sample / 16).div_ceil(10) * 16,
        };
        let encrypted = encrypted * (MIB / sample);
        row(name, encrypted, &|| decrypt(&clear_key, &samples, &segment));
        if scheme == b"cbcs" && pattern == (1, 9) {
            row(&name.replace("cbcs 1:9", "nothing but"), encrypted, &|| touch(sample));
        }
    }
}

fn user_key() -> UserKeys {
    let mut keys = UserKeys::new();
    keys.add(&format!("{:032x}", u128::from_be_bytes(KEY))).unwrap();
    keys
}

/// The time to change every tenth block of each sample of one buffer, and no more.
fn touch(sample: usize) -> Duration {
    let mut bytes = vec![1_u8; MIB];
    let rounds = 0..BUFFERS as u128;
    let times = rounds.map(|mask| {
        bytes.fill(3);
        let mask = std::hint::black_box(mask);
        let begun = Instant::now();
        for sample in bytes.chunks_exact_mut(sample) {
            for period in sample.chunks_mut(160) {
                let Some(block) = period.first_chunk_mut::<16>() else { continue };
                *block = (u128::from_ne_bytes(*block) ^ mask).to_ne_bytes();
            }
        }
        let time = begun.elapsed();
        std::hint::black_box(&bytes);
        time
    });
    median(times.collect())
}

/// The time for one buffer, which is refilled between rounds outside the clock.
fn decrypt(clear_key: &ClearKey, encryption: &Encryption, sealed: &[u8]) -> Duration {
    let mut clear_key = clear_key.clone();
    let mut bytes = BytesMut::with_capacity(sealed.len());
    let times = (0..BUFFERS).map(|_| {
        bytes.clear();
        bytes.extend_from_slice(sealed);
        let begun = Instant::now();
        bytes = clear_key.decrypt(encryption, &KEY, std::mem::take(&mut bytes)).unwrap();
        begun.elapsed()
    });
    median(times.collect())
}

fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap());
    values[values.len() / 2]
}

fn gigabytes(bytes: usize, time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let bytes = bytes as f64;
    bytes / time.as_secs_f64() / 1e9
}

/// `openssl speed` over buffers of 1 MiB, in GB/s.
fn openssl() -> Option<f64> {
    let run = Command::new("openssl")
        .args([
            "speed",
            "-evp",
            "aes-128-cbc",
            "-decrypt",
            "-bytes",
            "1048576",
            "-seconds",
            "1",
            "-mr",
        ])
        .output()
        .ok()?;
    let text = String::from_utf8(run.stdout).ok()?;
    // +F:22:AES-128-CBC:9700000000.00
    let line = text.lines().find(|line| line.starts_with("+F:"))?;
    let rate: f64 = line.rsplit(':').next()?.trim().parse().ok()?;
    Some(rate / 1e9)
}

/// Padded ciphertext of so many bytes.
fn seal(length: usize) -> Vec<u8> {
    use aes::cipher::{BlockModeEncrypt, KeyIvInit};
    let mut bytes = vec![1; length];
    let (blocks, _) = aes::Block::slice_as_chunks_mut(&mut bytes);
    cbc::Encryptor::<aes::Aes128>::new(&KEY.into(), &[0; 16].into()).encrypt_blocks(blocks);
    bytes
}

fn container(kind: &[u8; 4], content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let size = u32::try_from(8 + content.len()).unwrap().to_be_bytes();
    [&size[..], kind, &content].concat()
}

/// An initialization section and a segment of 1 MiB in samples of `sample` bytes, all of them protected.
fn fragmented(scheme: &[u8; 4], (crypt, skip): (u8, u8), sample: usize) -> (Vec<u8>, Vec<u8>) {
    let constant: &[u8] = &[[16].as_slice(), &[9; 16]].concat();
    let tenc = container(b"tenc", &[&[1, 0, 0, 0, 0, crypt << 4 | skip, 1, 0], &[0; 16], constant]);
    let schm = container(b"schm", &[&[0; 4], scheme, &[0, 1, 0, 0]]);
    let sinf = container(b"sinf", &[&container(b"frma", &[b"avc1"]), &schm, &container(b"schi", &[&tenc])]);
    let encv = container(b"encv", &[&[0; 78], &sinf]);
    let stsd = container(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1], &encv]);
    let tables = container(b"mdia", &[&container(b"minf", &[&container(b"stbl", &[&stsd])])]);
    let tkhd = container(b"tkhd", &[&[0; 12], &[0, 0, 0, 1], &[0; 68]]);
    let trex = container(b"trex", &[&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1], &[0; 12]]);
    let init = container(b"moov", &[&container(b"trak", &[&tkhd, &tables]), &container(b"mvex", &[&trex])]);

    let count = MIB / sample;
    let number = |number: usize| u32::try_from(number).unwrap().to_be_bytes();
    let moof = |offset: usize| {
        let tfhd = container(b"tfhd", &[&[0, 2, 0, 0x10, 0, 0, 0, 1], &number(sample)]);
        let trun = container(b"trun", &[&[0, 0, 0, 1], &number(count), &number(offset)]);
        container(b"moof", &[&container(b"traf", &[&tfhd, &trun])])
    };
    let offset = moof(0).len() + 8;
    let segment = [moof(offset), container(b"mdat", &[&vec![5; count * sample]])].concat();
    (init, segment)
}
