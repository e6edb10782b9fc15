//! Whole rollouts through upheaval, on a real API server, under the operator's own account: replicas that are killed and stopped, an API server
//! and a store that go away, people who take nodes over, rights that are taken away, rollouts that are deleted. Somebody else watches the
//! budgets all the time.
//!
//! Replicas are processes: this program, started again with `HOZEN_TEST_REPLICA`. A word on the command line selects the rules whose names
//! contain it.
#![expect(clippy::disallowed_methods, reason = "people and nodes write with the API's own verbs")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a rule fails by a panic, as any test does")]

mod access;
#[expect(dead_code, reason = "shared with the test of rollouts, which looks at columns")]
#[path = "../rollout/cluster.rs"]
mod cluster;
mod events;
#[path = "../rollout/fleet.rs"]
mod fleet;
mod gitops;
mod outage;
mod people;
mod replica;
#[path = "../rollout/watcher.rs"]
mod watcher;
mod world;

use std::{future::Future, pin::Pin, process::ExitCode, sync::Arc};

use hozen_testbed::{
    Removed, Wanted,
    bed::{self, Bed},
};
use tokio::task::LocalSet;
use world::World;

type Rule = fn(World) -> Pin<Box<dyn Future<Output = ()>>>;

/// The rules of some modules, each with its name.
macro_rules! rules {
    ($($module:ident :: $rule:ident),+ $(,)?) => {
        [$((concat!(stringify!($module), "::", stringify!($rule)), (|world| Box::pin($module::$rule(world))) as Rule)),+]
    };
}

fn main() -> ExitCode {
    if let Some(name) = std::env::var_os(replica::NAME) {
        return replica::run(&name.to_string_lossy());
    }
    let rules = rules![
        people::i06_what_people_do_to_nodes_stands,
        people::i36_a_deleted_rollout_puts_its_nodes_back_and_goes,
        people::a_malformed_object_is_told_and_disturbs_nobody,
        people::two_baselines_of_one_priority_both_say_so_and_neither_acts,
        people::i26_a_deleted_baseline_lets_what_was_begun_end_and_begins_nothing,
        people::content_under_the_name_of_another_is_removed_and_told,
        gitops::files_that_are_applied_again_and_again_fight_nobody,
        outage::i54_rights_that_are_taken_away_are_said_and_missed_no_longer_than_that,
        outage::i52_a_job_whose_answer_was_lost_holds_up_nobody_for_good,
        outage::i53_an_api_server_and_a_store_that_go_away_change_nothing_of_the_end,
        replica::i47_replicas_that_are_killed_and_stopped_keep_every_budget,
        events::what_comes_to_pass_is_told_once_each,
        // Last: it reads what all the others have asked of the API server.
        access::i42_nothing_is_refused_and_nothing_is_done_but_by_the_table,
    ];
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    let all = rules.len();
    let rules: Vec<_> = rules.into_iter().filter(|(name, _)| name.contains(&filter)).collect();
    let whole = rules.len() == all;
    let bed = Bed::open(&bed::home(), "upheaval").unwrap();
    // One node of kwok's, so that nodes without kubelets count as Ready for five minutes without a heartbeat.
    let wanted = Wanted { fake: 1, ..Wanted::default() };
    let state = match hozen_testbed::up(&bed, wanted, &mut |_| {}) {
        Ok(state) => state,
        Err(error @ hozen_testbed::error::Error::MissingProgram { .. }) => {
            hozen_testkit::not_run(
                &format!("upheaval ({} rules)", rules.len()),
                &error.to_string(),
            );
            return ExitCode::SUCCESS;
        }
        Err(error) => panic!("the control plane does not come up: {error}"),
    };
    let bed = Removed(Arc::new(bed));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let world = runtime.block_on(World::make(Arc::clone(&bed.0), &state, whole));
    run(&runtime, &rules, &world)
}

fn run(runtime: &tokio::runtime::Runtime, rules: &[(&str, Rule)], world: &World) -> ExitCode {
    println!("\nrunning {} rules", rules.len());
    let (mut passed, mut failed) = (0, 0);
    for (name, rule) in rules {
        // A task of its own: what panics in it fails this rule only, and has printed why.
        let held = runtime.block_on(async {
            let tasks = LocalSet::new();
            tasks.run_until(tasks.spawn_local(rule(world.clone()))).await.is_ok()
        });
        println!("test {name} ... {}", if held { "ok" } else { "FAILED" });
        *(if held { &mut passed } else { &mut failed }) += 1;
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
