//! Any bytes as a journal: no panic, and what is whole is read the same again without the torn tail.
#![no_main]

use aqueduct_mux::whole_records;
use libfuzzer_sys::fuzz_target;

/// Length and checksum in front of each record, in bytes.
const FRAME: usize = 8;

fuzz_target!(|data: &[u8]| {
    let (count, end) = whole_records(data);
    let whole = usize::try_from(end)
        .ok()
        .and_then(|end| data.get(..end))
        .expect("no more than there is");
    assert!(count * FRAME <= whole.len());
    assert_eq!(whole_records(whole), (count, end));

    // Behind a checksum that fits, the record itself is read.
    let length = u32::try_from(data.len()).expect("inputs are small").to_le_bytes();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(data);
    let framed = [&length[..], &hasher.finalize().to_le_bytes(), data].concat();
    match whole_records(&framed) {
        (0, 0) => {}
        (1, end) => assert_eq!(end, framed.len() as u64),
        other => panic!("one frame, and {other:?}"),
    }
});
