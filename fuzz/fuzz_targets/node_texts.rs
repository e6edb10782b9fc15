//! Texts of a system that are read as a whole: release files, configuration, pins, what apt prints.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| hozen_fuzz::node::texts(text));
