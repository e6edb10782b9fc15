//! What apt is configured to, and what its indices offer for what is installed.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hozen_fuzz::node::apt(bytes));
