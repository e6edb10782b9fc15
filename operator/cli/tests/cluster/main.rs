//! The command against a real cluster that the chart was installed in, as a plugin of kubectl, by people with client certificates.
//! The operator itself does not run: what it would write is written in its name, through admission.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a case fails by a panic, as any test does")]

mod bed;
mod cases;

use std::{panic, process::ExitCode};

use bed::Cluster;
use hozen_testbed::{
    Wanted,
    bed::{Bed, home},
};

type Case = (&'static str, fn(&Cluster));

macro_rules! cases {
    ($($name:ident),+ $(,)?) => { [$((stringify!($name), cases::$name as fn(&Cluster))),+] };
}

fn main() -> ExitCode {
    let all: [Case; 17] = cases![
        approve_shows_what_is_approved_and_speaks_in_the_callers_own_name,
        approve_tells_what_a_drain_costs_beyond_moved_pods,
        approve_takes_no_word_that_would_not_count,
        approve_refuses_a_request_that_was_superseded_or_is_over,
        approve_refuses_another_digest_than_the_reviewed_and_one_that_lies,
        nobody_is_asked_where_there_is_no_terminal,
        a_word_is_withdrawn_by_its_giver_only,
        the_handle_of_a_rollout_is_held_by_operations,
        a_failure_is_accepted_by_name_and_uid_with_the_privilege_only,
        a_scan_is_asked_for_by_an_annotation,
        a_halt_is_set_shown_and_lifted_by_who_holds_it,
        status_shows_what_waits_for_whom_and_why,
        status_shows_nodes_that_no_baseline_covers,
        retry_refuses_where_no_request_would_come_of_it,
        a_baseline_that_is_not_valid_is_told_with_the_field_and_what_to_write,
        explain_and_plan_say_what_would_be_decided_without_what_need_not_be_installed,
        doctor_names_who_holds_power_and_every_policy_that_does_not_stand,
    ];
    let bed = Bed::open(&home(), "command").expect("the bed is free");
    let wanted = Wanted::default();
    let state = match hozen_testbed::up(&bed, wanted, &mut |_| {}) {
        Ok(state) => state,
        Err(error @ hozen_testbed::error::Error::MissingProgram { .. }) => {
            hozen_testkit::not_run("cluster", &error.to_string());
            return ExitCode::SUCCESS;
        }
        Err(error) => panic!("the control plane does not come up: {error}"),
    };
    let cluster = Cluster::install(bed, state);
    let (mut passed, mut failed) = (0, 0);
    let word = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    for (name, case) in all.into_iter().filter(|(name, _)| name.contains(&word)) {
        let held = panic::catch_unwind(panic::AssertUnwindSafe(|| case(&cluster))).is_ok();
        println!("test {name} ... {}", if held { "ok" } else { "FAILED" });
        *(if held { &mut passed } else { &mut failed }) += 1;
    }
    drop(cluster);
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
