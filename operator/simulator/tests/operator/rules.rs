//! The rules that are run, each with what it found wrong.

use std::{
    collections::BTreeSet,
    process::{Command, ExitCode},
};

use hozen_simulator::Strike;

use crate::{
    broken::VARIANTS,
    check::CHECKED,
    meddle::Act,
    run::{Outcome, STRIKES, Trial, run},
};

/// Seeds of random faults in one run of the tests, without optimisation; more by `HOZEN_SIM_SEEDS`, as `make soak` does.
const SEEDS: u64 = 12;
/// Seeds whose traces are compared between two processes.
const COMPARED: u64 = 2;
/// Of the calls at which something strikes, the tests take one in so many, beginning at `HOZEN_SIM_FROM`; `make soak` takes all.
const STRIKES_STRIDE: usize = 24;
/// Seeds that a broken operator has to be caught in.
const SEEDS_OF_A_VARIANT: u64 = 6;
/// Faults that are told of one rule.
const TOLD_MAX: usize = 5;

/// What is wrong; nothing: the rule holds.
pub type Faults = Vec<String>;

/// A rule, by name.
type Rule = (&'static str, fn() -> Faults);

/// All rules.
pub const ALL: [Rule; 8] = [
    ("the_golden_story_comes_to_its_end_and_every_promise_is_kept", golden),
    ("i37_a_settled_fleet_is_not_written_to", settled),
    ("crashes_before_and_after_any_call_and_lost_answers_break_nothing", strikes),
    ("i06_what_people_and_nodes_do_meanwhile_stands", meddling),
    ("i47_two_leaders_at_once_break_nothing", two_leaders),
    ("seeds_of_random_faults_keep_every_promise", seeds),
    ("the_same_seed_is_the_same_run_in_another_process", same),
    ("every_broken_operator_is_caught", variants),
];

/// Those that `make test` plays: one story takes half a minute of a processor without optimisation, and the others are many stories.
pub const QUICK: [&str; 3] = [
    "the_golden_story_comes_to_its_end_and_every_promise_is_kept",
    "i37_a_settled_fleet_is_not_written_to",
    "i47_two_leaders_at_once_break_nothing",
];

/// A number of the environment.
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// So many in the tests, and so many where there is time.
fn many(tests: u64, soak: u64) -> u64 {
    if std::env::var_os("HOZEN_SOAK").is_some() { soak } else { tests }
}

fn told(what: &str, outcome: &Outcome) -> Option<String> {
    let first = outcome.broken.first()?;
    let more = outcome.broken.len() - 1;
    let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
    Some(format!("{what}: {first}{more}"))
}

fn golden() -> Faults {
    let outcome = run(&Trial::fair(1));
    println!(
        "  {} calls in {:.0} s of virtual time; checked: invariants {CHECKED:?}",
        outcome.calls,
        outcome.virtually.as_secs_f64()
    );
    if std::env::var_os("HOZEN_SIM_LINES").is_some() {
        print_lines(&outcome);
    }
    told("golden", &outcome).into_iter().collect()
}

fn settled() -> Faults {
    let trial = Trial { quiet: std::time::Duration::from_mins(many(20, 60)), ..Trial::fair(2) };
    told("an hour", &run(&trial)).into_iter().collect()
}

fn strikes() -> Faults {
    let calls = run(&Trial { replicas: 1, ..Trial::fair(3) }).writes;
    let mut faults = Faults::new();
    let mut runs = 0;
    let every = usize::try_from(many(STRIKES_STRIDE as u64, 1)).unwrap();
    let from = number("HOZEN_SIM_FROM").unwrap_or(0);
    for how in STRIKES {
        for call in (from..calls).step_by(every) {
            let strike = Some(Strike { call, how });
            let outcome = run(&Trial { replicas: 1, strike, ..Trial::fair(3) });
            runs += 1;
            faults.extend(told(&format!("{how:?} at call {call} of seed 3"), &outcome));
        }
    }
    println!("  {runs} runs: 3 kinds of strike at one in {every} of {calls} writing calls");
    shortened(faults)
}

fn meddling() -> Faults {
    let acts = [Act::Uncordon, Act::Cordon, Act::Away, Act::Unguard, Act::Withdraw, Act::Rebuild];
    let mut faults = Faults::new();
    for act in acts {
        for seed in 0..many(1, 20) {
            let outcome = run(&Trial { meddling: vec![act], ..Trial::fair(100 + seed) });
            faults.extend(told(&format!("{act:?}, seed {}", 100 + seed), &outcome));
        }
    }
    shortened(faults)
}

fn two_leaders() -> Faults {
    let mut faults = Faults::new();
    for seed in 0..many(1, 20) {
        let tamper = Some(crate::broken::ALWAYS_LEADS);
        let outcome = run(&Trial { tamper, replicas: 3, ..Trial::fair(200 + seed) });
        faults.extend(told(&format!("seed {}", 200 + seed), &outcome));
    }
    shortened(faults)
}

fn seeds() -> Faults {
    let (from, seeds) =
        (number("HOZEN_SIM_FROM").unwrap_or(0), number("HOZEN_SIM_SEEDS").unwrap_or(SEEDS));
    let (mut faults, mut calls, mut virtually) = (Faults::new(), 0, 0.0);
    for seed in from..from + seeds {
        let outcome = run(&Trial::foul(seed));
        calls += outcome.calls;
        virtually += outcome.virtually.as_secs_f64();
        if let Some(fault) = told(&format!("seed {seed}"), &outcome) {
            faults.push(format!("{fault}\n    again: HOZEN_SIM_SEED={seed} cargo test -p hozen-simulator --test operator"));
        }
    }
    println!(
        "  {seeds} seeds from {from}: {calls} calls, {:.0} h of virtual time",
        virtually / 3_600.0
    );
    shortened(faults)
}

/// Plays one seed, and tells what passed.
pub fn replay(seed: u64) -> ExitCode {
    let outcome = run(&Trial::foul(seed));
    print_lines(&outcome);
    println!("seed {seed}: digest {:016x}, {} calls", outcome.digest, outcome.calls);
    for fault in &outcome.broken {
        println!("{fault}");
    }
    if outcome.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_lines(outcome: &Outcome) {
    for line in &outcome.lines {
        println!("{line}");
    }
}

/// The word by which another process of this program is asked for the digest of a seed's trace.
const DIGEST: &str = "digest-of-seed-";

/// The digest that this process was asked for.
pub fn digest_asked(word: &str) -> Option<u64> {
    let seed = word.strip_prefix(DIGEST)?.parse().ok()?;
    Some(run(&Trial::foul(seed)).digest)
}

fn same() -> Faults {
    let program = std::env::current_exe().expect("this program has a path");
    let mut faults = Faults::new();
    for seed in 1_000..1_000 + many(COMPARED, 200) {
        let here = run(&Trial::foul(seed)).digest;
        let output =
            Command::new(&program).arg(format!("{DIGEST}{seed}")).output().expect("it runs");
        let there = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if there != format!("{here:016x}") {
            faults.push(format!("seed {seed}: {here:016x} here, {there} in another process"));
        }
    }
    shortened(faults)
}

fn variants() -> Faults {
    let mut faults = Faults::new();
    for variant in &VARIANTS {
        let mut caught = BTreeSet::new();
        for seed in 0..SEEDS_OF_A_VARIANT {
            let mut trial = Trial { tamper: Some(variant.tamper), ..Trial::fair(300 + seed) };
            trial.meddling = vec![Act::Cordon, Act::Unguard];
            (trial.scene.lies, trial.once) = (Some(1), true);
            trial.patience = std::time::Duration::from_mins(30);
            let outcome = run(&trial);
            for number in variant.breaks {
                if outcome
                    .broken
                    .iter()
                    .any(|fault| fault.starts_with(&format!("invariant {number}:")))
                {
                    caught.insert(*number);
                }
            }
            if !caught.is_empty() {
                break;
            }
        }
        println!(
            "  {}: {}",
            variant.name,
            if caught.is_empty() {
                "not caught".to_owned()
            } else {
                format!("caught by {caught:?}")
            }
        );
        if caught.is_empty() {
            faults.push(format!("not caught: an operator that {}", variant.name));
        }
    }
    faults
}

fn shortened(mut faults: Faults) -> Faults {
    let more = faults.len().saturating_sub(TOLD_MAX);
    if more > 0 {
        faults.truncate(TOLD_MAX);
        faults.push(format!("and {more} more"));
    }
    faults
}
