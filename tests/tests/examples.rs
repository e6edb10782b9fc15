//! Every example is read without a mistake and played without breaking an invariant.

#![expect(clippy::panic, reason = "a broken example must fail its test, and say why")]

use std::collections::{BTreeMap, BTreeSet};

use hozen_domain::{
    durations::Durations,
    forecast::{Assume, forecast},
    model::{Entry, Options, Outcome, What, simulate},
    node::Ended,
    request::{Phase, RolloutEnd},
    units::{Name, Uid},
};
use hozen_intake::folder::{self, Folder};
use hozen_tests::repository;
use jiff::{SignedDuration, Timestamp};

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

/// By so much the time that a change is shown to take may differ from what it takes, up or down; and what is not counted in that.
const RATIO: i32 = 2;
const SLACK: SignedDuration = SignedDuration::from_mins(2);

/// When people agreed to each request, and when its rollout was through; those left out in which something failed, was away or
/// skipped.
fn kept(outcome: &Outcome) -> Vec<(Name, Timestamp, Timestamp)> {
    let went_well = |uid: &Uid| {
        let nodes = outcome.world.nodes.values().map(|node| &node.ended);
        let workloads = outcome.world.workloads.values().map(|workload| &workload.ended);
        nodes.chain(workloads).filter_map(|ended| ended.get(uid)).all(|e| e.proven_at().is_some())
    };
    let rollouts = outcome.world.rollouts.values();
    let finished = rollouts.filter(|rollout| went_well(&rollout.request.1)).filter_map(|rollout| {
        let (_, how) = rollout.cursor.ended?;
        let proven = |ended: &BTreeMap<Uid, Ended>| ended.get(&rollout.request.1)?.proven_at();
        let nodes = outcome.world.nodes.values().filter_map(|node| proven(&node.ended));
        let workloads = outcome.world.workloads.values().filter_map(|w| proven(&w.ended));
        let last = nodes.chain(workloads).max()?;
        (how == RolloutEnd::Done).then_some((rollout.name.clone(), last))
    });
    let approved = |name: &Name| {
        let mut told = outcome.trace.iter().filter(|entry| entry.about.as_ref() == Some(name));
        let agreed =
            |entry: &&Entry| matches!(entry.what, What::Phase { phase: Phase::Approved, .. });
        told.find(agreed).map(|entry| entry.at)
    };
    finished.filter_map(|(name, last)| Some((name.clone(), approved(&name)?, last))).collect()
}

#[test]
fn forecasts_of_examples_are_kept_where_nothing_fails() {
    let mut judged = 0;
    for example in EXAMPLES {
        for (name, agreed, reached) in kept(&play(example, 1)) {
            let folder = read(example);
            let scenario = folder.scenario.expect("an example has a scenario");
            let until = agreed.checked_add(SignedDuration::from_secs(1)).expect("an instant");
            let options = Options { seed: 1, until: Some(until) };
            let then = simulate(folder.world, &scenario, &folder.corpus, options, &mut |_| ())
                .expect("the scenario can be played");
            let request = &then.world.requests[&name];
            let foresee = |durations| {
                let assume = Assume { approved: None, durations };
                forecast(&then.world, &then.after.assessment, request, &assume)
            };
            let (shown, latest) =
                (foresee(Durations::GUESSED), foresee(Durations::GUESSED.longest()));
            if !shown.away.is_empty() {
                continue;
            }
            judged += 1;
            let told = format!("{example} {name}: reached {reached}, shown {shown:?}");
            assert!(latest.finish.is_some_and(|latest| latest >= reached), "{told}");
            let foreseen = shown.finish.map(|finish| finish.duration_since(agreed));
            let (took, foreseen) = (reached.duration_since(agreed), foreseen.unwrap_or_default());
            assert!(foreseen <= took * RATIO + SLACK, "{told}");
            assert!(took <= foreseen * RATIO + SLACK, "{told}");
        }
    }
    assert!(judged >= 3, "only {judged} rollouts of examples go without a failure");
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for example in EXAMPLES {
        assert_eq!(play(example, 7).trace, play(example, 7).trace, "{example}");
    }
}
