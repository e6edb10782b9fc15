//! One OSV document.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = hozen_advisory::osv::read_document("fuzz", bytes);
});
