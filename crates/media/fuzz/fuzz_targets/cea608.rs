//! Access units and caption pairs from anybody: no panic, and cues that last.
#![no_main]

use aqueduct_media::cea608::{Channel, Decoder, Pair, pairs};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let found = pairs(data, false).into_iter().chain(pairs(data, true));
    // The rest as pairs with the right parity.
    let made = data.chunks_exact(2).map(|pair| Pair {
        field: 0,
        bytes: [pair[0], pair[1]].map(|byte| if byte.count_ones() % 2 == 0 { byte ^ 0x80 } else { byte }),
    });
    let (mut decoder, mut cues) = (Decoder::new(Channel::Cc1), Vec::new());
    for (now, pair) in (0..).zip(found.chain(made)) {
        decoder.pair(pair, now, &mut cues);
    }
    decoder.finish(i64::MAX, &mut cues);
    assert!(cues.iter().all(|cue| cue.start_ms < cue.end_ms && !cue.text.is_empty()));
});
