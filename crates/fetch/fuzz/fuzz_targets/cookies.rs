//! Any bytes as a `cookies.txt`: what is taken is written so that it is taken again, and written the same.
#![no_main]

use aqueduct_fetch::Jar;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    let jar = Jar::new();
    let Ok(wrong) = jar.read_netscape(bytes) else { return };
    assert!(wrong.iter().all(|wrong| (1..=lines).contains(&wrong.line)));
    let written = jar.to_netscape();
    let again = Jar::new();
    assert!(again.read_netscape(written.as_bytes()).is_ok_and(|wrong| wrong.is_empty()));
    // Times to live are counted from now, which moves on.
    let shape = |text: &str| text.lines().count();
    assert_eq!(shape(&again.to_netscape()), shape(&written));
});
