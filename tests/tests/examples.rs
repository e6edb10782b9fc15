//! Every example is read without a mistake and played without breaking an invariant.

#![expect(clippy::panic, reason = "a broken example must fail its test, and say why")]

use std::collections::BTreeSet;

use hozen_domain::model::{Options, Outcome, simulate};
use hozen_intake::folder::{self, Folder};
use hozen_tests::repository;
use jiff::Timestamp;

const EXAMPLES: [&str; 3] = ["examples/quickstart", "examples/fleet", "examples/images"];

fn read(example: &str) -> Folder {
    match folder::read(&repository::root().join(example), Timestamp::UNIX_EPOCH) {
        Ok(folder) => folder,
        Err(refused) => {
            let problems: Vec<String> = refused.problems.iter().map(ToString::to_string).collect();
            panic!("{example}:\n{}", problems.join("\n"));
        }
    }
}

fn play(example: &str, seed: u64) -> Outcome {
    let folder = read(example);
    let scenario = folder.scenario.expect("an example has a scenario");
    let options = Options { seed, until: None };
    simulate(folder.world, &scenario, &folder.corpus, options, &mut |_| ())
        .expect("the scenario can be played")
}

#[test]
fn everything_in_an_example_is_read_and_used() {
    for example in EXAMPLES {
        let folder = read(example);
        let notes: Vec<String> = folder.notes.iter().map(ToString::to_string).collect();
        assert!(notes.is_empty(), "{example}: left out: {notes:#?}");
        assert!(folder.ignored.is_empty(), "{example}: not read: {:?}", folder.ignored);
        let unknown: BTreeSet<&str> = folder
            .world
            .findings
            .values()
            .flat_map(|findings| findings.iter())
            .filter(|finding| {
                matches!(finding.verdict, hozen_domain::world::Verdict::Unknown { .. })
            })
            .map(|finding| finding.package.as_str())
            .collect();
        assert!(unknown.is_empty(), "{example}: nothing can be said of {unknown:?}");
    }
}

/// The fleet takes long without optimisation: it is played with one seed, the others with five.
#[test]
fn examples_are_played_without_breaking_an_invariant() {
    for example in EXAMPLES {
        let seeds = if example == "examples/fleet" { 1 } else { 5 };
        for seed in 1..=seeds {
            let outcome = play(example, seed);
            assert_eq!(outcome.violations, Vec::<String>::new(), "{example}, seed {seed}");
        }
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for example in EXAMPLES {
        assert_eq!(play(example, 7).trace, play(example, 7).trace, "{example}");
    }
}
