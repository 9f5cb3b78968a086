//! What the pipeline is measured against: a loop without stages that fetches, decrypts and writes.
//!
//! `bare_loop BASE SEGMENTS CONNECTIONS FILE KEY-HEX IV-HEX` fetches `BASE/0.ts`, `BASE/1.ts`, … over that many connections,
//! each into a buffer of its own that it uses again, decrypts in place and writes in order. Nothing is retried,
//! checked or shown. `cargo xtask bench` runs it; alone, as `cargo bench` does, it has nothing to measure.

use std::error::Error;
use std::fs::File;
use std::io::Write;

use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use tokio::sync::mpsc;

type Decryptor = cbc::Decryptor<aes::Aes128>;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [base, segments, connections, file, key, iv] = arguments.as_slice() else {
        return Ok(());
    };
    let (segments, connections) = (segments.parse()?, connections.parse()?);
    let block = |hex: &str| u128::from_str_radix(hex, 16).map(u128::to_be_bytes);
    let (key, iv) = (block(key)?, block(iv)?);
    let file = File::create(file)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run(base, segments, connections, file, key, iv))
}

async fn run(
    base: &str,
    segments: usize,
    connections: usize,
    mut file: File,
    key: [u8; 16],
    iv: [u8; 16],
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let client = reqwest::Client::builder().build()?;
    let mut lanes = Vec::new();
    for lane in 0..connections {
        let (full, filled) = mpsc::channel::<Vec<u8>>(1);
        let (empty, mut emptied) = mpsc::channel::<Vec<u8>>(2);
        for _ in 0..2 {
            empty.try_send(Vec::new())?;
        }
        let (client, base) = (client.clone(), base.to_owned());
        tokio::spawn(async move {
            for segment in (lane..segments).step_by(connections) {
                let Some(mut buffer) = emptied.recv().await else { break };
                buffer.clear();
                let mut response = client.get(format!("{base}/{segment}.ts")).send().await?.error_for_status()?;
                while let Some(piece) = response.chunk().await? {
                    buffer.extend_from_slice(&piece);
                }
                let (blocks, _) = aes::Block::slice_as_chunks_mut(&mut buffer);
                Decryptor::new(&key.into(), &iv.into()).decrypt_blocks(blocks);
                let padding = buffer.last().copied().unwrap_or_default();
                buffer.truncate(buffer.len() - usize::from(padding));
                if full.send(buffer).await.is_err() {
                    break;
                }
            }
            Ok::<_, reqwest::Error>(())
        });
        lanes.push((filled, empty));
    }
    for segment in 0..segments {
        let (filled, empty) = &mut lanes[segment % connections];
        let buffer = filled.recv().await.ok_or("a segment is missing")?;
        file.write_all(&buffer)?;
        // The lane may be done.
        let _ = empty.send(buffer).await;
    }
    Ok(())
}
