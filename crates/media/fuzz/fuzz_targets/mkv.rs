//! Files that should be those of the Matroska writer, from anybody: no panic, and no account that is larger than they are.
#![no_main]

use aqueduct_media::mkv::{Refill, Rest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The first two bytes say how much is the end of a file.
    let [high, low, bytes @ ..] = data else { return };
    let (end, pieces) = bytes.split_at(bytes.len().min(u16::from_be_bytes([*high, *low]).into()));
    let Ok(rest) = Rest::read(end) else { return };
    assert!(rest.clusters() <= end.len());
    let mut refill = Refill::new(&rest);
    if refill.add(pieces).is_ok() && refill.add(&end[..rest.clusters()]).is_ok() {
        assert!(refill.frames().sum::<u64>() <= bytes.len() as u64);
        refill.reaches(&rest);
        if let Ok(finish) = refill.finish() {
            // An entry of the index is longer than the smallest cluster, as a tag is than the smallest that is read.
            assert!(finish.append.len() <= 8 * bytes.len());
            assert!(Rest::read(&finish.append).is_ok());
        }
    }
});
