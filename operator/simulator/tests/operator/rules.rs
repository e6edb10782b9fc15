//! The rules that are run, each with what it found wrong.

use std::{
    collections::BTreeSet,
    process::ExitCode,
    sync::{Mutex, PoisonError},
    thread,
};

use crate::{
    broken::VARIANTS,
    case::{Case, STRIKES},
    check::CHECKED,
    meddle, refuses,
    run::{Outcome, here, run},
};

/// Seeds of random faults in one run of the tests; more by `HOZEN_SIM_SEEDS`, as `make soak` has it.
const SEEDS: u64 = 6;
/// Each of these was a fault of the operator once: a slot that was gone, a person's uncordon, a clock ahead, a record left behind.
const FOUND: [u64; 5] = [2_274_858_585, 5_000_061, 5_000_018, 5_000_046, 3_931_058_777];
/// Seeds whose traces are compared between two processes.
const COMPARED: u64 = 1;
/// Of the calls at which something strikes, the tests take one in so many, another with each commit; `make soak` takes all.
const STRIKES_STRIDE: u64 = 84;
/// Seeds that a broken operator has to be caught in. The one that is caught least often, blind to the admission policies, is caught in 12 of 41: they have
/// to be altered in one of its minutes of work.
const SEEDS_OF_A_VARIANT: u64 = 30;
/// Faults that are told of one rule.
const TOLD_MAX: usize = 5;

/// What is wrong; nothing: the rule holds.
pub type Faults = Vec<String>;

/// A rule, by name.
type Rule = (&'static str, fn() -> Faults);

/// All rules.
pub const ALL: [Rule; 13] = [
    ("the_golden_story_comes_to_its_end_and_every_promise_is_kept", golden),
    ("what_tools_of_gitops_read_is_what_is_so", read),
    ("i37_a_settled_fleet_is_not_written_to", settled),
    ("i54_a_watch_goes_on_when_the_server_has_forgotten_what_it_showed", waiting),
    ("crashes_before_and_after_any_call_and_lost_answers_break_nothing", strikes),
    ("i06_what_people_and_nodes_do_meanwhile_stands", meddling),
    ("content_that_is_not_what_its_name_says_is_removed_and_brought_anew", squatted),
    ("what_is_over_and_needed_by_nothing_is_collected_and_nothing_else", remembered),
    ("i38_what_a_server_refuses_for_good_is_told_and_keeps_nothing_else", refused),
    ("i47_two_leaders_at_once_break_nothing", two_leaders),
    ("seeds_of_random_faults_keep_every_promise", seeds),
    ("the_same_seed_is_the_same_run_in_another_process", same),
    ("every_broken_operator_is_caught", variants),
];

/// A number of the environment.
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// So many in the tests, and so many where there is time.
fn many(tests: u64, soak: u64) -> u64 {
    if std::env::var_os("HOZEN_SOAK").is_some() { soak } else { tests }
}

/// The number from which this run of the tests takes its samples.
fn sample() -> u64 {
    number("HOZEN_SEED").unwrap_or(0)
}

/// What passed in many stories.
#[derive(Default)]
struct Played {
    faults: Faults,
    stories: u64,
    calls: u64,
    checks: u64,
    virtual_seconds: f64,
}

/// Does the same for each, as many side by side as there are processors; what came of each, in order.
fn side_by_side<A: Send, B: Send>(
    all: impl IntoIterator<Item = A>,
    does: impl Fn(A) -> B + Sync,
) -> Vec<B> {
    let all: Vec<(usize, A)> = all.into_iter().enumerate().collect();
    let (waiting, done) = (Mutex::new(all.into_iter()), Mutex::new(Vec::new()));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((place, one)) = next() {
                    let came = does(one);
                    done.lock().unwrap().push((place, came));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, came)| came).collect()
}

/// Plays all of them. A fault says how its story is played again.
fn play(cases: impl IntoIterator<Item = Case>) -> Played {
    let mut played = Played::default();
    for (case, outcome) in side_by_side(cases, |case| (case, run(case))) {
        played.stories += 1;
        played.calls += outcome.calls;
        played.checks += outcome.checks;
        played.virtual_seconds += outcome.virtually.as_secs_f64();
        played.faults.extend(told(case, &outcome));
    }
    println!(
        "  {} stories, {} calls, {} promises checked, {:.1} h of virtual time",
        played.stories,
        played.calls,
        played.checks,
        played.virtual_seconds / 3_600.0
    );
    shortened(&mut played.faults);
    played
}

fn told(case: Case, outcome: &Outcome) -> Option<String> {
    let first = outcome.broken.first()?;
    let more = outcome.broken.len() - 1;
    let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
    Some(format!("{case}: {first}{more}\n    {}", again(case)))
}

/// How a story is played again.
pub fn again(case: Case) -> String {
    format!("again: HOZEN_SIM={case} cargo test --workspace --test operator")
}

fn golden() -> Faults {
    println!("  checked: invariants {CHECKED:?}");
    play([Case::Golden]).faults
}

/// What tools must have seen between them in a story with a failure that people accept and in one without.
const READ: [&str; 9] = [
    "Advisory Current",
    "Baseline Current",
    "ChangeRequest Current",
    "ChangeRequest InProgress",
    "ManagedNode Current",
    "ManagedNode InProgress",
    "Rollout Current",
    "Rollout Failed",
    "Rollout InProgress",
];

fn read() -> Faults {
    let stories = side_by_side([Case::Golden, Case::Squatted(1)], |case| (case, run(case)));
    let mut faults = Faults::new();
    let mut all = BTreeSet::new();
    for (case, outcome) in stories {
        faults.extend(told(case, &outcome));
        faults.extend(outcome.read.wrong.iter().map(|wrong| format!("{case}: {wrong}")));
        all.extend(outcome.read.all);
    }
    println!("  read: {}", all.iter().cloned().collect::<Vec<_>>().join(", "));
    let never = READ.into_iter().filter(|pair| !all.contains(*pair));
    faults.extend(never.map(|pair| format!("never read: {pair}")));
    shortened(&mut faults);
    faults
}

fn settled() -> Faults {
    play([Case::Settled(many(20, 60))]).faults
}

fn waiting() -> Faults {
    let from = 400 + sample() % 1_000;
    play((from..from + many(1, 20)).map(Case::Waiting)).faults
}

fn remembered() -> Faults {
    play([Case::Remembered(4)]).faults
}

fn strikes() -> Faults {
    // Struck beyond its end, it is the same story without a strike.
    let whole = Case::Struck(STRIKES[0], u64::MAX);
    let outcome = run(whole);
    if let Some(fault) = told(whole, &outcome) {
        return vec![fault];
    }
    let calls = outcome.writes;
    assert!(calls > 0, "a story without a writing call is none");
    let every = many(STRIKES_STRIDE, 1);
    println!("  3 kinds of strike at one in {every} of {calls} writing calls");
    let cases = STRIKES.into_iter().zip(0..).flat_map(|(how, kind)| {
        let from = (sample() + kind * every / 3) % every;
        (from..calls).step_by(usize::try_from(every).unwrap()).map(move |c| Case::Struck(how, c))
    });
    play(cases).faults
}

fn meddling() -> Faults {
    let seeds = many(1, 20);
    let from = 100 + sample() % 1_000;
    let acts = meddle::ALL.into_iter();
    play(acts.flat_map(|act| (from..from + seeds).map(move |s| Case::Meddled(act, s)))).faults
}

fn squatted() -> Faults {
    let from = 600 + sample() % 1_000;
    play((from..from + many(1, 20)).map(Case::Squatted)).faults
}

fn refused() -> Faults {
    let from = 800 + sample() % 1_000;
    let seeds = from..from + many(1, 20);
    let cases = refuses::ALL.into_iter();
    play(cases.flat_map(|what| seeds.clone().map(move |seed| Case::Refused(what, seed)))).faults
}

fn two_leaders() -> Faults {
    let from = 200 + sample() % 1_000;
    play((from..from + many(1, 50)).map(Case::Leaders)).faults
}

fn seeds() -> Faults {
    let from = number("HOZEN_SIM_FROM").unwrap_or_else(sample);
    let seeds = number("HOZEN_SIM_SEEDS").unwrap_or(SEEDS);
    println!("  {} seeds that found something once, and {seeds} from {from}", FOUND.len());
    play(FOUND.into_iter().chain(from..from + seeds).map(Case::Seed)).faults
}

/// Plays one story, and tells what passed.
pub fn replay(case: Case) -> ExitCode {
    let outcome = here(case);
    for line in &outcome.lines {
        println!("{line}");
    }
    println!("{case}: digest {:016x}, {} calls", outcome.digest, outcome.calls);
    for fault in &outcome.broken {
        println!("{fault}");
    }
    if outcome.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn same() -> Faults {
    let mut faults = Faults::new();
    let (from, seeds) = (1_000 + sample() % 1_000_000, many(COMPARED, 200));
    let digests = side_by_side(from..from + seeds, |seed| {
        let case = Case::Seed(seed);
        (case, run(case), run(case))
    });
    for (case, one, other) in digests {
        faults.extend(told(case, &one));
        if one.digest != other.digest {
            let (one, other) = (one.digest, other.digest);
            faults.push(format!("{case}: {one:016x} in one process, {other:016x} in another"));
        }
    }
    println!("  {seeds} seeds from {from}, each in two processes");
    shortened(&mut faults);
    faults
}

fn variants() -> Faults {
    let tried = side_by_side(VARIANTS.iter().enumerate(), |(number, variant)| {
        let caught = (300..300 + SEEDS_OF_A_VARIANT).find_map(|seed| {
            let broken = run(Case::Broken(number, seed)).broken;
            let by = |number: &u32| {
                broken.iter().any(|fault| fault.starts_with(&format!("invariant {number}:")))
            };
            let by: BTreeSet<u32> = variant.breaks.iter().copied().filter(by).collect();
            (!by.is_empty()).then_some((by, seed))
        });
        (variant.name, caught)
    });
    let mut faults = Faults::new();
    for (name, caught) in tried {
        match caught {
            Some((by, seed)) => println!("  {name}: caught by {by:?}, seed {seed}"),
            None => faults.push(format!("not caught: an operator that {name}")),
        }
    }
    faults
}

fn shortened(faults: &mut Faults) {
    let more = faults.len().saturating_sub(TOLD_MAX);
    if more > 0 {
        faults.truncate(TOLD_MAX);
        faults.push(format!("and {more} more"));
    }
}
