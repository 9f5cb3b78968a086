//! A decrypter of one's own, for a server that puts a header of its own before MPEG-TS: `own_decrypter URL OUTPUT` decrypts
//! as usual and then drops what stands before the first sync byte.

use aqueduct::*;
use bytes::{Buf, BytesMut};

#[derive(Clone, Default)]
struct Unhide(decrypt::ClearKey);

impl Decrypt for Unhide {
    fn decrypt(&mut self, encryption: &Encryption, key: &[u8], bytes: BytesMut) -> Result<BytesMut, DecryptError> {
        let mut clear = self.0.decrypt(encryption, key, bytes)?;
        let sync = |at: &usize| {
            [0, 188, 376]
                .iter()
                .all(|next| clear.get(at + next).is_none_or(|byte| *byte == 0x47))
        };
        let start = (0..clear.len()).find(sync).unwrap_or(0);
        clear.advance(start);
        Ok(clear)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, output] = arguments.as_slice() else {
        return Err("usage: own_decrypter URL OUTPUT".into());
    };
    let pipeline = Pipeline::new(fetch::Options::default())?.with_decrypter(Unhide::default());
    let presentation = pipeline.resolve(&Input::parse(url)).await?;
    pipeline.run(presentation, Output::file(output.as_ref(), true)?).await?;
    Ok(())
}
