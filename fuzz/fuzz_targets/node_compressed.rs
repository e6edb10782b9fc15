//! A packed stream; the first byte chooses how.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hozen_fuzz::node::compressed(bytes));
