//! A document of statements of any format: what is used of it excuses only by a reason, and is found again.
#![no_main]

use hozen_advisory::vex::{Statements, Status, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = read(bytes) else { return };
    for said in &document.statements {
        assert!(!said.products.is_empty());
        if let Status::NotAffected { justification } = &said.status {
            assert!(!justification.is_empty());
        }
    }
    let count = document.statements.len();
    assert_eq!(Statements::of(document.statements).iter().count(), count);
});
