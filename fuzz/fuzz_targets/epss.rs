//! A file of probabilities, packed or not.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(scores) = hozen_advisory::epss::read(bytes) {
        assert!(scores.scores.values().all(|score| (0.0..=1.0).contains(score)));
    }
});
