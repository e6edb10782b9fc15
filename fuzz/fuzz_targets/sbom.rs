//! A bill of materials of any format; what was read is written and read back as the same set.
#![no_main]

use hozen_advisory::sbom::{Subject, SubjectKind, read, write_cyclonedx};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(sbom) = read(bytes) else { return };
    let subject =
        Subject { kind: SubjectKind::Container, name: "fuzz".to_owned(), version: String::new() };
    let text = write_cyclonedx(&sbom.set, &subject, None, "0");
    let again = read(text.as_bytes()).expect("what was written is readable");
    assert_eq!(again.set, sbom.set);
});
