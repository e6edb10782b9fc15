//! What Hozen relies on in an API server, as assertions: one rule each, named after the list in the simulator's design.
//!
//! Runs against the simulator first, as far as that has the rules, and then against a real server: that of `KUBECONFIG_TEST` (the user
//! must be an administrator, and one run at a time; it makes namespaces, a kind, a node that is none, and policies and webhooks for those
//! namespaces, which all go with them), else a control plane that it brings up for itself. Not `KUBECONFIG`: a test run must not write to
//! whatever cluster the shell happens to point at. A word on the command line selects the rules whose names contain it.
//!
//! The rules themselves are tried as well: behind a layer that breaks the server in one way, exactly the rule that this is about
//! fails. Those that are broken are others for each `HOZEN_SEED`, and with `HOZEN_SOAK` all.
#![expect(clippy::disallowed_methods, reason = "the suite is about the API's verbs themselves")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a rule fails by a panic, as any test does")]

mod admission;
mod broken;
mod collection;
mod eviction;
mod lists;
mod objects;
mod proxy;
mod server;
mod webhook;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    process::ExitCode,
};

use futures::{StreamExt as _, stream};
use proxy::Breakage;
use server::Server;
use tokio::task::LocalSet;

type Rule = fn(Server) -> Pin<Box<dyn Future<Output = ()>>>;

/// How many broken servers are tried at once, each with all rules at once: most of them wait for the server's own parts.
const BROKEN_AT_ONCE: usize = 4;

/// The rules of some modules, each with its name.
macro_rules! rules {
    ($($module:ident :: $rule:ident),+ $(,)?) => {
        [$((concat!(stringify!($module), "::", stringify!($rule)), (|server| Box::pin($module::$rule(server))) as Rule)),+]
    };
}

fn main() -> ExitCode {
    let rules = rules![
        objects::s1_resource_versions_rise_and_a_new_object_of_an_old_name_has_a_new_uid,
        objects::s1_a_write_with_an_old_resource_version_is_refused,
        objects::s1_a_delete_with_the_uid_of_a_former_object_is_refused,
        objects::s2_a_put_without_resource_version_passes_for_built_in_kinds_and_not_for_ours,
        objects::s3_a_merge_patch_removes_by_null_and_replaces_lists_whole,
        objects::s3_a_json_patch_whose_test_fails_changes_nothing,
        objects::s3_a_strategic_patch_is_refused_for_our_kinds,
        objects::s3_apply_refuses_anothers_field_unless_forced,
        objects::s3_apply_removes_what_its_manager_no_longer_names,
        objects::s4_status_and_spec_are_written_apart_and_generation_counts_spec_only,
        objects::s14_objects_that_are_too_large_are_refused,
        lists::s5_a_list_in_pages_is_complete_and_of_one_moment,
        lists::s5_a_page_of_a_moment_long_gone_is_410,
        lists::s5_a_watch_from_a_moment_long_gone_is_410,
        lists::s5_a_watch_tells_changes_and_ends_when_its_time_is_over,
        lists::s5_a_watch_that_asks_for_it_gets_bookmarks,
        collection::s8_a_finalizer_keeps_a_deleted_object_and_no_new_one_can_be_added,
        collection::s8_background_deletion_collects_what_was_owned,
        collection::s8_foreground_deletion_waits_for_what_blocks_it,
        collection::s8_orphans_stay_without_their_owner,
        eviction::s9_an_allowed_eviction_deletes_the_pod,
        eviction::s9_a_budget_refuses_with_429_and_its_cause,
        eviction::s9_two_budgets_for_one_pod_are_500,
        eviction::s9_an_unhealthy_pod_goes_by_the_budgets_policy,
        admission::s10_a_kinds_cel_rules_hold_on_create_and_on_change,
        admission::s10_a_policy_may_ask_the_authorizer_about_the_user,
        admission::s10_a_webhook_that_is_down_fails_or_is_passed_over_as_told,
        admission::s10_a_webhook_that_denies_an_eviction_is_told_from_a_budget,
        admission::s10_a_webhook_for_evictions_that_is_down_is_told_from_two_budgets,
        admission::s10_a_token_bound_to_a_pod_names_it_and_its_node_and_ends_with_it,
    ];
    every_rule_can_fail(&rules);
    let word = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let rules: Vec<_> = rules.into_iter().filter(|(name, _)| name.contains(&word)).collect();
    let (theirs, shared): (Vec<_>, Vec<_>) = rules.iter().partition(|(name, _)| only_real(name));
    let simulated = run(&shared, &server::Place::Simulated);
    for (name, _) in theirs {
        println!("the simulator does not have {name}: it judges no admission and gives no tokens");
    }
    if simulated > 0 {
        return ExitCode::FAILURE;
    }
    let server = match server::Place::find() {
        Ok(place) => place,
        Err(why @ hozen_testbed::error::Error::MissingProgram { .. }) => {
            let rules = format!("apisem on a real server, {} rules", rules.len());
            hozen_testbed::not_run(&rules, &why.to_string());
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("apisem: there is no real server to try: {why}");
            return ExitCode::FAILURE;
        }
    };
    let (rules, elsewhere): (Vec<_>, Vec<_>) =
        rules.into_iter().partition(|(name, _)| server.is_here() || !only_here(name));
    for (name, _) in elsewhere {
        let why = "a server on this machine, which could reach a webhook of the test";
        hozen_testbed::not_run(&format!("apisem: {name}"), why);
    }
    if run(&rules, &server) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether a rule needs a server that can call back.
fn only_here(rule: &str) -> bool {
    rule.contains("s10_a_webhook_that_denies")
}

/// Whether only a real server has a rule.
fn only_real(rule: &str) -> bool {
    ["s10_a_policy", "s10_a_webhook", "s10_a_token"].iter().any(|only| rule.contains(only))
}

/// A rule that no broken server fails might hold of any; a breakage of no rule has a typing error in its name.
fn every_rule_can_fail(rules: &[(&'static str, Rule)]) {
    let rules: BTreeSet<&str> = rules.iter().map(|(name, _)| *name).collect();
    let noticed: BTreeSet<&str> = broken::all().iter().map(|one| one.noticed_by).collect();
    assert_eq!(rules, noticed, "rules, and those that a broken server must fail");
}

/// How many rules did not hold.
fn run(rules: &[(&'static str, Rule)], place: &server::Place) -> usize {
    let runtime = place.runtime();
    let server = match runtime.block_on(Server::connect(place)) {
        Ok(server) => server,
        Err(why) => {
            let causes = std::iter::successors(Some(&*why), |why| why.source());
            let why: Vec<_> = causes.map(ToString::to_string).collect();
            eprintln!("apisem: {place} cannot be tried: {}", why.join(": "));
            return rules.len();
        }
    };
    println!("\nrunning {} rules against {}", rules.len(), server.version);
    let (mut passed, mut failed) = (0, 0);
    let mut judge = |name: &str, held: bool| {
        println!("test {name} ... {}", if held { "ok" } else { "FAILED" });
        *(if held { &mut passed } else { &mut failed }) += 1;
    };
    for (name, rule) in rules {
        let failure = runtime.block_on(async {
            let tasks = LocalSet::new();
            tasks.run_until(failure(rule(server.clone()))).await
        });
        judge(name, failure.is_none());
    }
    let breakages = tried(rules, place);
    if !breakages.is_empty() {
        // What a rule prints when it fails as it should would look like a failure of this run.
        std::panic::set_hook(Box::new(|_| {}));
        let all = try_the_rules(rules, &server, breakages);
        let verdicts = runtime.block_on(LocalSet::new().run_until(all));
        let _ = std::panic::take_hook();
        for (breakage, wrong) in &verdicts {
            for line in wrong {
                eprintln!("{}: {line}", breakage.name);
            }
            judge(&format!("a broken server is noticed: {}", breakage.name), wrong.is_empty());
        }
    }
    runtime.block_on(server.clean());
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n"
    );
    failed
}

/// How a rule failed, if it did. A task of its own: what panics in it fails this rule only.
async fn failure(rule: Pin<Box<dyn Future<Output = ()>>>) -> Option<String> {
    let panic = tokio::task::spawn_local(rule).await.err()?.into_panic();
    let words = panic.downcast_ref::<String>().cloned();
    Some(
        words.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default(),
    )
}

/// In which ways a server is to be broken, of those that one of these rules has to notice: in all with `HOZEN_SOAK`, else in some,
/// others for another `HOZEN_SEED`. On the simulator's clock a third is quick; a real server takes up to a minute for one, and is
/// broken in one of those ways that the simulator has not.
fn tried(rules: &[(&'static str, Rule)], place: &server::Place) -> Vec<Breakage> {
    let is_there = |name: &str| rules.iter().any(|(rule, _)| *rule == name);
    let all = broken::all().into_iter().filter(|one| is_there(one.noticed_by));
    if std::env::var_os("HOZEN_SOAK").is_some() {
        return all.collect();
    }
    let (all, each): (Vec<_>, _) = match place {
        server::Place::Simulated => (all.collect(), 3),
        server::Place::Real { .. } => {
            let all: Vec<_> = all.filter(|one| only_real(one.noticed_by)).collect();
            let each = all.len().max(1);
            (all, each)
        }
    };
    let seed = std::env::var("HOZEN_SEED").ok().and_then(|seed| seed.parse::<usize>().ok());
    all.into_iter().skip(seed.unwrap_or(0) % each).step_by(each).collect()
}

/// Tries the rules against servers that each break one of them; what was not as it should be, for each.
async fn try_the_rules(
    rules: &[(&'static str, Rule)],
    server: &Server,
    breakages: Vec<Breakage>,
) -> Vec<(Breakage, Vec<String>)> {
    stream::iter(breakages.into_iter().enumerate())
        .map(async |(number, breakage)| (breakage, try_one(rules, server, number, breakage).await))
        .buffered(BROKEN_AT_ONCE)
        .collect()
        .await
}

async fn try_one(
    rules: &[(&'static str, Rule)],
    server: &Server,
    number: usize,
    breakage: Breakage,
) -> Vec<String> {
    let broken = server.broken(number, breakage).await.expect("its namespace is made");
    let all = rules.iter().map(async |(name, rule)| (*name, failure(rule(broken.clone())).await));
    let failures: BTreeMap<_, _> = futures::future::join_all(all).await.into_iter().collect();
    broken.move_out().await;
    failures
        .into_iter()
        .filter_map(|(rule, failure)| match (rule == breakage.noticed_by, failure) {
            (true, None) => Some(format!("{rule} does not notice")),
            (false, Some(why)) => Some(format!("{rule} fails too: {why}")),
            (true, Some(_)) | (false, None) => None,
        })
        .collect()
}
