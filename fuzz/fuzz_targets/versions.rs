//! Two versions in every ordering: never a panic, the same answer from both sides, and the same answer from their keys.
#![no_main]

use hozen_advisory::version::Scheme;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|versions: (&str, &str)| {
    let (a, b) = versions;
    for scheme in Scheme::ALL {
        let (Ok(forth), Ok(back)) = (scheme.compare(a, b), scheme.compare(b, a)) else {
            continue;
        };
        assert_eq!(forth, back.reverse(), "{}: {a:?} {b:?}", scheme.name());
        if let (Ok(key_a), Ok(key_b)) = (scheme.key(a), scheme.key(b)) {
            assert_eq!(forth, key_a.cmp(&key_b), "{}: keys of {a:?} {b:?}", scheme.name());
        }
    }
});
