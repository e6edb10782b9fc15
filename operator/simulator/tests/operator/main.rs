//! The operator's own controllers, unmodified, several replicas at once, on the simulator: a fleet is brought from an advisory to its end, and after every
//! change of the stored state the promises are checked.
//!
//! `cargo test --workspace --test operator [-- WORD]` runs the rules whose names contain the word.
//! `HOZEN_SIM=STORY` plays one story alone and prints what passed, as `HOZEN_SIM=seed-7` or `HOZEN_SIM=CrashAfter-12`; `HOZEN_SIM_SEEDS=N` plays so many seeds of
//! random faults, and `HOZEN_SIM_FROM=N` begins there. What `make test` samples follows from `HOZEN_SEED`; `HOZEN_SOAK` plays everything.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a rule fails by a panic, as any test does"
)]

mod broken;
mod case;
mod check;
mod clock;
mod entropy;
mod meddle;
mod outside;
mod past;
mod read;
mod refuses;
mod rules;
mod run;
mod scene;

use std::process::ExitCode;

fn main() -> ExitCode {
    let word = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    if let Some(case) = run::asked(&word) {
        println!("{}", serde_json::to_string(&run::here(case)).expect("it is JSON"));
        return ExitCode::SUCCESS;
    }
    if let Ok(story) = std::env::var("HOZEN_SIM") {
        return rules::replay(story.parse().expect("HOZEN_SIM names a story"));
    }
    let rules: Vec<_> = rules::ALL.into_iter().filter(|(name, _)| name.contains(&word)).collect();
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
