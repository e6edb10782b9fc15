//! rpm's database in each of its forms; the first byte chooses.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hozen_fuzz::node::rpm_database(bytes));
