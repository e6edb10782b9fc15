//! What `act` and the lease promise, on a real API server: each precondition with somebody who writes in between.
//!
//! Runs against the server of `KUBECONFIG_TEST` (an administrator's), else against a control plane that it brings up for itself. A word on the command
//! line selects the rules whose names contain it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a rule fails by a panic, as any test does")]
#![expect(clippy::disallowed_methods, reason = "tests write what others would write")]

mod bed;
mod drain;
mod gates;
mod gone;
mod jobs;
mod leader;
mod nodes;
mod own;

use std::{future::Future, pin::Pin, process::ExitCode};

use bed::{Cluster, Place};
use tokio::task::LocalSet;

type Rule = fn(Cluster) -> Pin<Box<dyn Future<Output = ()>>>;

/// The rules of some modules, each with its name.
macro_rules! rules {
    ($($module:ident :: $rule:ident),+ $(,)?) => {
        [$((concat!(stringify!($module), "::", stringify!($rule)), (|cluster| Box::pin($module::$rule(cluster))) as Rule)),+]
    };
}

fn main() -> ExitCode {
    let rules = rules![
        nodes::i07_cordon_and_record_are_one_write,
        nodes::i24_of_two_operators_that_claim_at_once_one_is_refused,
        nodes::i47_a_claim_that_was_decided_on_an_old_node_is_refused,
        nodes::i24_a_claim_of_a_node_that_was_rebuilt_under_its_name_is_refused,
        nodes::i48_a_claim_asked_for_twice_is_so_already,
        nodes::i07_uncordon_and_removal_of_the_record_are_one_write,
        nodes::i06_a_persons_uncordon_stands_and_only_the_record_goes,
        nodes::i06_a_cordon_that_is_not_ours_is_never_lifted,
        nodes::i49_who_does_not_lead_writes_nothing,
        nodes::i52_a_new_leader_is_behind_until_its_stores_show_what_was_written_before_it_led,
        nodes::i47_what_was_decided_under_an_earlier_lease_or_long_ago_is_not_carried_out,
        nodes::i36_what_was_halted_since_it_was_decided_does_not_begin_and_a_node_is_released,
        nodes::i63_without_audit_trail_nothing_disruptive_starts_and_a_node_is_released,
        nodes::i59_the_intent_is_written_before_the_call_and_the_outcome_after_it,
        nodes::i48_a_lost_answer_is_lost_and_the_next_try_finds_it_done,
        nodes::our_taint_comes_and_goes_among_others,
        nodes::a_scan_is_asked_for_once_and_never_under_a_lower_number,
        drain::i10_daemons_and_our_own_pods_are_never_evicted,
        drain::i10_pods_without_controller_and_with_scratch_data_stay_unless_the_plan_says_so,
        drain::i09_a_budget_that_never_allows_keeps_its_pod_and_no_other,
        drain::i09_two_budgets_for_one_pod_are_told_apart_from_a_failing_server,
        drain::i09_a_denial_by_admission_is_no_budget,
        drain::i49_nothing_is_evicted_once_a_person_has_uncordoned_the_node,
        drain::i49_a_node_is_emptied_with_its_claim_and_not_where_the_claim_was_refused,
        drain::i48_a_pod_that_took_the_place_of_the_one_that_was_seen_stays,
        drain::i48_an_eviction_of_another_pod_of_the_name_is_refused,
        jobs::i25_a_job_asked_for_twice_is_made_once,
        jobs::a_job_is_what_the_agent_is_told_and_holds_no_token_and_no_secret,
        jobs::i11_no_patch_starts_while_a_pod_that_must_leave_is_there,
        jobs::i12_no_job_starts_for_another_plan_than_the_node_is_claimed_for,
        jobs::i12_a_node_is_told_to_boot_as_its_plan_says,
        jobs::a_prefetch_is_told_when_the_window_opens_and_needs_no_claimed_node,
        jobs::i31_a_job_is_read_back_by_its_answer_and_not_by_its_exit_code,
        jobs::a_request_that_is_there_with_the_same_plan_is_so_already,
        jobs::i15_a_request_has_one_rollout,
        jobs::i48_an_image_moves_only_from_the_digest_that_was_seen,
        gone::i48_content_that_was_made_anew_under_its_name_is_not_deleted,
        gone::i48_a_report_that_was_written_since_is_not_deleted,
        gone::i36_the_job_of_work_that_is_put_back_ends_and_another_of_its_name_does_not,
        gone::i39_a_rollout_waits_for_us_and_goes_when_it_is_let_go,
        gone::i48_a_change_that_is_over_goes_with_what_people_said_of_it_and_one_that_changed_since_does_not,
        gone::i36_a_gates_job_that_nobody_waits_for_is_ended_with_its_pods,
        gone::i49_who_loses_the_lease_while_it_reads_writes_nothing,
        gates::i29_an_expression_over_objects_of_any_kind_is_read_from_the_server,
        gates::i29_every_page_of_a_list_is_read_before_an_expression_passes,
        gates::i29_a_nodes_condition_is_read_from_the_server,
        gates::i29_a_gates_job_is_made_once_and_its_end_is_the_evidence,
        gates::i59_a_gates_job_is_written_down_before_it_is_made_and_not_made_unless_it_is,
        leader::i47_of_three_that_race_for_the_lease_one_holds_it,
        leader::i47_wrong_wall_clocks_neither_lose_nor_win_the_lease,
        leader::i49_a_replica_that_was_paused_beyond_its_lease_does_nothing_when_it_wakes,
        leader::i49_a_lease_that_is_about_to_end_begins_no_call,
        leader::i47_a_lease_that_was_lost_and_is_had_again_is_another_epoch,
        leader::i47_a_renewal_that_was_overtaken_is_refused,
        leader::a_standby_takes_over_within_15_s_of_a_kill_and_at_once_after_a_clean_stop,
        // Last: its policies hold for the whole cluster while they run.
        own::i42_the_operators_own_account_does_its_work_under_its_own_policies,
    ];
    let word = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let rules: Vec<_> = rules.into_iter().filter(|(name, _)| name.contains(&word)).collect();
    match Place::find() {
        Ok(place) => run(&rules, &place),
        Err(why) => {
            hozen_testkit::not_run(&format!("act ({} rules)", rules.len()), &why);
            ExitCode::SUCCESS
        }
    }
}

fn run(rules: &[(&str, Rule)], place: &Place) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let cluster = runtime.block_on(Cluster::connect(place));
    println!("\nrunning {} rules", rules.len());
    let (mut passed, mut failed) = (0, 0);
    for (name, rule) in rules {
        // A task of its own: what panics in it fails this rule only, and has printed why.
        let held = runtime.block_on(async {
            let tasks = LocalSet::new();
            tasks.run_until(tasks.spawn_local(rule(cluster.clone()))).await.is_ok()
        });
        println!("test {name} ... {}", if held { "ok" } else { "FAILED" });
        *(if held { &mut passed } else { &mut failed }) += 1;
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
