//! Package URLs and the canonical texts of package sets and transactions: what can be read is written back to the same.
#![no_main]

use hozen_advisory::{
    package::{PackageSet, Transaction},
    purl,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(package) = purl::parse(text) {
        let written = purl::write(&package);
        // What is written may be longer than what was read (escapes), and so pass the limit of a line.
        if written.len() <= purl::PURL_BYTES_MAX {
            let again = purl::parse(&written).expect("what we write we can read");
            assert_eq!(written, purl::write(&again), "from {text:?}");
        }
    }
    let _ = PackageSet::parse(text);
    if let Ok(transaction) = Transaction::parse(text) {
        assert_eq!(transaction.text(), text);
    }
});
