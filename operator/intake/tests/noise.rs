//! Noise: whatever stands in a file, it is read or refused, in bounded time, and nothing panics.

use hozen_intake::manifest::Reader;
use proptest::{collection::vec, prelude::*, sample::Index};

/// Manifests of every kind, to be spoilt.
const SOUND: &str = include_str!("kinds/all.yaml");
/// What people and strangers put where it does not belong.
const SCRAPS: [&str; 24] = [
    "\n",
    " ",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "#",
    "&a ",
    "*a ",
    "!!int ",
    "|\n",
    "---\n",
    "null",
    "-1",
    "99999999999999999999",
    "99999h99999m",
    "\u{0}",
    "\u{7f}",
    "\u{2028}保全",
    "<<: ",
];

/// A place in the text, how many characters are taken away there, and which scrap is put there.
fn spoilt() -> impl Strategy<Value = String> {
    vec((any::<Index>(), 0_usize..12, any::<Index>()), 1..6).prop_map(|cuts| {
        let mut text: Vec<char> = SOUND.chars().collect();
        for (at, taken, scrap) in cuts {
            let at = at.index(text.len());
            let end = (at + taken).min(text.len());
            text.splice(at..end, SCRAPS[scrap.index(SCRAPS.len())].chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_spoilt_manifest_is_read_or_refused(text in spoilt()) {
        let mut reader = Reader::new();
        reader.read("noise.yaml", &text);
        for problem in reader.finish().problems {
            prop_assert!(!problem.message.is_empty());
            prop_assert!(problem.place.line <= text.lines().count() as u64 + 1, "{problem}");
        }
    }

    #[test]
    fn noise_is_read_or_refused(bytes in vec(any::<u8>(), 0..400)) {
        let mut reader = Reader::new();
        reader.read("noise.yaml", &String::from_utf8_lossy(&bytes));
        let _ = reader.finish();
    }
}
