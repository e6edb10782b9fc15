//! One package's header as rpm keeps it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hozen_fuzz::node::rpm_header(bytes));
