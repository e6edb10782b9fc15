//! dpkg's database: `status`, a file of `status.d`, the architectures, and a list of files.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hozen_fuzz::node::dpkg(bytes));
