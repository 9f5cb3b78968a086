//! Access units and caption pairs from anybody: no panic, and cues that last.
#![no_main]

use aqueduct_media::cea608::{CaptionData, Captions, Channel, Coding, Pair};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (mut captions, mut cues) = (Captions::new(Channel::Cc1), Vec::new());
    for coding in [Coding::AVC, Coding::HEVC] {
        captions.picture(CaptionData::of(data, coding), 0, &mut cues);
    }
    // The rest as pairs with the right parity, in the order that their bytes say.
    for (now, pair) in (0..).zip(data.chunks_exact(2)) {
        let mut data = CaptionData::default();
        let bytes = [pair[0], pair[1]].map(|byte| if byte.count_ones() % 2 == 0 { byte ^ 0x80 } else { byte });
        data.pairs.push(Pair { field: 0, bytes });
        captions.picture(data, now + i64::from(pair[0] & 3), &mut cues);
    }
    captions.finish(&mut cues);
    assert!(cues.iter().all(|cue| cue.start_ms < cue.end_ms && !cue.text.is_empty()));
});
