//! An archive of OSV documents: lies about sizes, bombs, broken directories.
#![no_main]

use std::io::Cursor;

use hozen_advisory::osv::{ArchiveLimits, read_archive};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = read_archive("fuzz", Cursor::new(bytes), ArchiveLimits::default());
});
