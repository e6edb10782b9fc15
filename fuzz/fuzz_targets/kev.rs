//! A catalogue of exploited vulnerabilities.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = hozen_advisory::kev::read(bytes);
});
