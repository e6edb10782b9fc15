//! A CVSS vector of any version: a score from 0.0 to 10.0, or a refusal.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|vector: &str| {
    if let Ok((_, score)) = hozen_advisory::severity::score(vector) {
        assert!(score.tenths() <= 100, "{vector:?}");
    }
});
