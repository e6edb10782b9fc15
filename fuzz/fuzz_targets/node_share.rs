//! What the scanner leaves for the reporter: a report, a package set, a transaction, and what was asked.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hozen_fuzz::node::share(bytes));
