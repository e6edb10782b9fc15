//! Forgeries, each tried on a real API server by a real certificate or token, each refused with our own message; and beside them
//! the honest calls that they imitate, which pass. The list for people, operator/docs/forgeries.md, is held against this table.
//!
//! RBAC is careless here on purpose (people may write every kind of ours, our own accounts are cluster administrators): what
//! refuses is admission alone. Every call is a dry run, so that no case depends on another.
#![expect(clippy::disallowed_methods, reason = "the cases are about the API's verbs themselves")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a case fails by a panic, as any test does")]

mod cases;
mod jobs;
mod list;
mod nodes;
mod objects;
mod people;
mod stage;
mod tries;
mod workloads;

use std::process::ExitCode;

use cases::{Answer, Case};
use hozen_testbed::{
    Removed, Wanted,
    bed::{self, Bed},
    programs::Kubernetes,
};
use stage::Stage;

fn main() -> ExitCode {
    if std::env::args().any(|word| word == "--write") {
        list::write();
        return ExitCode::SUCCESS;
    }
    let kubernetes = Kubernetes::asked().unwrap();
    let wanted = Wanted { kubernetes, ..Wanted::default() };
    let bed = Removed(Bed::open(&bed::home(), "forgeries").unwrap());
    match hozen_testbed::up(&bed.0, wanted, &mut |_| {}) {
        Ok(_) => {}
        Err(error @ hozen_testbed::error::Error::MissingProgram { .. }) => {
            hozen_testbed::not_run("forgeries", &error.to_string());
            return ExitCode::SUCCESS;
        }
        Err(error) => panic!("the control plane does not come up: {error}"),
    }
    tokio::runtime::Runtime::new().unwrap().block_on(run(&bed.0))
}

async fn run(bed: &Bed) -> ExitCode {
    let stage = Stage::set(bed).await;
    let mut wrong = Vec::new();
    let mut passed = 0;
    let mut judge = |name: &str, result: Result<(), String>| match result {
        Ok(()) => {
            println!("test {name} ... ok");
            passed += 1;
        }
        Err(why) => {
            println!("test {name} ... FAILED");
            wrong.push(format!("{name}: {why}"));
        }
    };
    judge("every expression has the types that the API server knows", stage.type_checked().await);
    judge(
        "i16 policies as the server keeps them are what the operator expects",
        stage.stand().await,
    );
    judge("the list of forgeries for people is current", list::current());
    for case in cases::all() {
        let answer = stage.tries(&case).await;
        judge(case.name, verdict(&case, answer));
    }
    judge("i16 an altered, a missing and a toothless policy are each told", stage.altered().await);
    for line in &wrong {
        eprintln!("{line}");
    }
    let word = if wrong.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {} failed; 0 ignored; 0 measured; 0 filtered out\n",
        wrong.len()
    );
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A forgery must be refused by our policy, in our words: a refusal for another reason would prove nothing.
fn verdict(case: &Case, answer: Result<(), String>) -> Result<(), String> {
    match (&case.answer, answer) {
        (Answer::Allowed, Ok(())) => Ok(()),
        (Answer::Allowed, Err(message)) => Err(format!("refused: {message}")),
        (Answer::Refused(_), Ok(())) => Err("it passed".to_owned()),
        (Answer::Refused(words), Err(message)) if message.contains(words) => Ok(()),
        (Answer::Refused(words), Err(message)) => Err(format!("not {words:?}, but: {message}")),
    }
}
