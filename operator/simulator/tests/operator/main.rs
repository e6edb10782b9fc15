//! The operator's own controllers, unmodified, several replicas at once, on the simulator: a fleet is brought from an advisory to its end, and after every
//! change of the stored state the promises are checked.
//!
//! `cargo test -p hozen-simulator --test operator [-- WORD]` runs the rules whose names contain the word.
//! `HOZEN_SIM_SEED=N` plays that seed of the random faults alone and prints what passed; `HOZEN_SIM_SEEDS=N` plays so many seeds; `HOZEN_SIM_FROM=N` begins there.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a rule fails by a panic, as any test does"
)]

mod broken;
mod check;
mod clock;
mod entropy;
mod meddle;
mod outside;
mod rules;
mod run;
mod scene;

use std::process::ExitCode;

fn main() -> ExitCode {
    let word = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    if let Some(digest) = rules::digest_asked(&word) {
        println!("{digest:016x}");
        return ExitCode::SUCCESS;
    }
    if let Some(seed) = rules::number("HOZEN_SIM_SEED") {
        return rules::replay(seed);
    }
    let all = rules::ALL.into_iter().filter(|(name, _)| name.contains(&word));
    let everything = !word.is_empty() || std::env::var_os("HOZEN_SOAK").is_some();
    let (rules, left): (Vec<_>, Vec<_>) =
        all.partition(|(name, _)| everything || rules::QUICK.contains(name));
    for (name, _) in left {
        println!("left to make soak, or to a word that names it: {name}");
    }
    println!("\nrunning {} rules on the simulator", rules.len());
    let (mut passed, mut failed) = (0, 0);
    for (name, rule) in rules {
        let faults = rule();
        println!("test {name} ... {}", if faults.is_empty() { "ok" } else { "FAILED" });
        for fault in &faults {
            println!("  {fault}");
        }
        *(if faults.is_empty() { &mut passed } else { &mut failed }) += 1;
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
