//! apk's database, what was asked for, which repositories there are; and an index, unpacked or not.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hozen_fuzz::node::apk(bytes));
