//! Any bytes as a `.netrc`.
#![no_main]

use aqueduct_fetch::Netrc;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    match Netrc::parse(bytes) {
        Ok((netrc, _)) => {
            for url in ["https://a.example/", "https://ben@a.example/", "http://[::1]/"] {
                let Ok(url) = url::Url::parse(url) else { return };
                if let Some(found) = netrc.credentials(&url.clone().into()) {
                    assert!(found.origin.url().origin() == url.origin());
                    assert!(url.username().is_empty() || found.user == url.username());
                }
            }
        }
        Err(error) => assert!((1..=lines).contains(&error.line)),
    }
});
