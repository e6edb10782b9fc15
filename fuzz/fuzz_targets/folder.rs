//! A folder as people write one: manifests, a scenario, a manifest that comes later. It is read or refused, to the end.
#![no_main]

use std::sync::LazyLock;

use hozen_fuzz::place::Place;
use hozen_intake::folder;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

static PLACE: LazyLock<Place> = LazyLock::new(|| Place::new(&[]));
const FILES: [&str; 3] = ["all.yaml", "scenario.yaml", "later/web.yaml"];

fuzz_target!(|bytes: &[u8]| {
    PLACE.put_parts(&FILES, bytes);
    match folder::read(PLACE.path(), Timestamp::UNIX_EPOCH) {
        Ok(folder) => drop(folder.world),
        Err(refused) => {
            assert!(!refused.problems.is_empty());
            assert!(refused.problems.is_sorted());
        }
    }
});
