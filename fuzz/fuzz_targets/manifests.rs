//! A file of manifests: read or refused, and whatever is read is judged by schema and rules.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut reader = hozen_intake::manifest::Reader::new();
    reader.read("fuzz.yaml", text);
    for problem in reader.finish().problems {
        assert!(!problem.message.is_empty());
    }
});
