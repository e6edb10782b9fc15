//! Three versions in every ordering: never a panic, an order that is one, and keys that sort as the versions do.
#![no_main]

use hozen_advisory::version::Scheme;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|versions: (&str, &str, &str)| {
    let (a, b, c) = versions;
    for scheme in Scheme::ALL {
        let name = scheme.name();
        let keys = (scheme.key(a), scheme.key(b));
        let forth = scheme.compare(a, b);
        assert_eq!(forth.is_ok(), keys.0.is_ok() && keys.1.is_ok(), "{name}: {a:?} {b:?}");
        let (Ok(forth), (Ok(key_a), Ok(key_b))) = (forth, keys) else {
            continue;
        };
        assert_eq!(scheme.compare(b, a), Ok(forth.reverse()), "{name}: {a:?} {b:?}");
        assert_eq!(forth, key_a.cmp(&key_b), "{name}: keys of {a:?} {b:?}");
        if let (Ok(on), Ok(whole)) = (scheme.compare(b, c), scheme.compare(a, c)) {
            let chain = forth.is_le() && on.is_le();
            assert!(!chain || whole.is_le(), "{name}: {a:?} <= {b:?} <= {c:?}");
        }
    }
});
