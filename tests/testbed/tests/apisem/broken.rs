//! One way to be wrong for each rule: what a careless server, proxy or simulator might do.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::proxy::{Asked, Breakage, Memory, Told, made_up};

const MAPS: &str = "configmaps";
const OURS: &str = "widgets";
const EVICTIONS: &str = "pods/eviction";
const HOOKS: &str = "validatingwebhookconfigurations";

fn as_asked(_: &mut Asked, _: &Memory) {}
fn as_told(_: &Asked, _: &mut Told, _: &Memory) {}

const fn asks(
    name: &'static str,
    noticed_by: &'static str,
    ask: fn(&mut Asked, &Memory),
) -> Breakage {
    Breakage { name, noticed_by, ask, tell: as_told }
}

const fn tells(
    name: &'static str,
    noticed_by: &'static str,
    tell: fn(&Asked, &mut Told, &Memory),
) -> Breakage {
    Breakage { name, noticed_by, ask: as_asked, tell }
}

/// Every breakage; one at least for each rule.
pub fn all() -> Vec<Breakage> {
    [versions(), patches(), lists(), collection(), eviction(), admission()].concat()
}

fn versions() -> Vec<Breakage> {
    vec![
        tells(
            "a new object of an old name keeps the old uid",
            "objects::s1_resource_versions_rise_and_a_new_object_of_an_old_name_has_a_new_uid",
            |asked, told, memory| {
                let first = memory.first(asked);
                if asked.is(&Method::POST, MAPS) && !first.is_null() {
                    let mut object = told.json();
                    object["metadata"]["uid"] = first["metadata"]["uid"].clone();
                    told.set(told.status, &object);
                }
            },
        ),
        asks(
            "resource versions of writes are ignored",
            "objects::s1_a_write_with_an_old_resource_version_is_refused",
            |asked, _| {
                if asked.is(&Method::PUT, MAPS) || asked.is(&Method::PATCH, MAPS) {
                    remove(asked.body.get_mut("metadata"), "resourceVersion");
                }
            },
        ),
        asks(
            "preconditions of deletions are ignored",
            "objects::s1_a_delete_with_the_uid_of_a_former_object_is_refused",
            |asked, _| {
                if asked.is(&Method::DELETE, MAPS) {
                    remove(Some(&mut asked.body), "preconditions");
                }
            },
        ),
        asks(
            "a put without resource version passes for every kind",
            "objects::s2_a_put_without_resource_version_passes_for_built_in_kinds_and_not_for_ours",
            |asked, memory| {
                if asked.is(&Method::PUT, OURS)
                    && asked.body["metadata"]["resourceVersion"].is_null()
                {
                    let last = memory.last(asked);
                    asked.body["metadata"]["resourceVersion"] =
                        last["metadata"]["resourceVersion"].clone();
                }
            },
        ),
        tells(
            "a status write raises the generation",
            "objects::s4_status_and_spec_are_written_apart_and_generation_counts_spec_only",
            |asked, told, _| {
                if asked.is(&Method::PATCH, "widgets/status") {
                    let mut object = told.json();
                    object["metadata"]["generation"] = json!(2);
                    told.set(told.status, &object);
                }
            },
        ),
        tells(
            "an object that is too large is taken, and lost",
            "objects::s14_objects_that_are_too_large_are_refused",
            |asked, told, _| {
                if told.status == StatusCode::PAYLOAD_TOO_LARGE {
                    told.pretend(&asked.body);
                }
            },
        ),
    ]
}

fn patches() -> Vec<Breakage> {
    vec![
        asks(
            "a merge patch adds to lists",
            "objects::s3_a_merge_patch_removes_by_null_and_replaces_lists_whole",
            |asked, memory| {
                let last = memory.last(asked)["spec"]["parts"].clone();
                let (Value::Array(mut parts), Some(more)) =
                    (last, asked.body["spec"]["parts"].as_array())
                else {
                    return;
                };
                if asked.merges() {
                    parts.extend(more.iter().cloned());
                    asked.body["spec"]["parts"] = Value::Array(parts);
                }
            },
        ),
        asks(
            "tests in JSON patches are skipped",
            "objects::s3_a_json_patch_whose_test_fails_changes_nothing",
            |asked, _| {
                if asked.content_type() == "application/json-patch+json" {
                    let steps = asked.body.as_array_mut().into_iter().flatten();
                    for test in steps.filter(|step| step["op"] == "test") {
                        *test = json!({"op": "add", "path": "/metadata/labels", "value": {}});
                    }
                }
            },
        ),
        asks(
            "a strategic patch is taken for a merge patch",
            "objects::s3_a_strategic_patch_is_refused_for_our_kinds",
            |asked, _| {
                if asked.content_type() == "application/strategic-merge-patch+json" {
                    asked.set_content_type("application/merge-patch+json");
                }
            },
        ),
        asks(
            "every apply is forced",
            "objects::s3_apply_refuses_anothers_field_unless_forced",
            |asked, _| {
                if asked.content_type() == "application/apply-patch+yaml" {
                    asked.set_word("force", Some("true"));
                }
            },
        ),
        asks(
            "apply leaves what its manager no longer names",
            "objects::s3_apply_removes_what_its_manager_no_longer_names",
            |asked, memory| {
                let before = memory.applied(asked);
                for (field, value) in before["spec"].as_object().into_iter().flatten() {
                    if asked.body["spec"].get(field).is_none() {
                        asked.body["spec"][field] = value.clone();
                    }
                }
            },
        ),
    ]
}

fn lists() -> Vec<Breakage> {
    vec![
        asks(
            "a list is never given in pages",
            "lists::s5_a_list_in_pages_is_complete_and_of_one_moment",
            |asked, _| {
                if asked.is(&Method::GET, MAPS) && asked.word("continue").is_none() {
                    asked.set_word("limit", None);
                }
            },
        ),
        asks(
            "a page of a moment long gone is one of now",
            "lists::s5_a_page_of_a_moment_long_gone_is_410",
            |asked, _| {
                let token = asked.word("continue").unwrap_or_default();
                let token = BASE64_URL_SAFE_NO_PAD.decode(token).unwrap_or_default();
                let token: Value = serde_json::from_slice(&token).unwrap_or_default();
                if token["rv"] == 1 {
                    asked.set_word("continue", None);
                }
            },
        ),
        asks(
            "a watch from a moment long gone begins now",
            "lists::s5_a_watch_from_a_moment_long_gone_is_410",
            |asked, _| {
                if asked.word("watch").is_some() && asked.word("resourceVersion") == Some("1") {
                    asked.set_word("resourceVersion", None);
                }
            },
        ),
        tells(
            "a watch does not tell deletions",
            "lists::s5_a_watch_tells_changes_and_ends_when_its_time_is_over",
            |asked, told, _| {
                if asked.word("watch").is_some() {
                    told.keep_events(|event| event["type"] != "DELETED");
                }
            },
        ),
        asks(
            "a watch gets no bookmarks",
            "lists::s5_a_watch_that_asks_for_it_gets_bookmarks",
            |asked, _| asked.set_word("allowWatchBookmarks", None),
        ),
    ]
}

fn collection() -> Vec<Breakage> {
    fn spreads(asked: &mut Asked, from: &str, to: &str) {
        if asked.is(&Method::DELETE, MAPS) && asked.body["propagationPolicy"] == from {
            asked.body["propagationPolicy"] = json!(to);
        }
    }
    vec![
        tells(
            "a finalizer may be added to an object that is being deleted",
            "collection::s8_a_finalizer_keeps_a_deleted_object_and_no_new_one_can_be_added",
            |asked, told, _| {
                if asked.is(&Method::PATCH, MAPS) && told.status == StatusCode::UNPROCESSABLE_ENTITY
                {
                    told.pretend(&made_up("ConfigMap"));
                }
            },
        ),
        asks(
            "a deletion in the background leaves what was owned",
            "collection::s8_background_deletion_collects_what_was_owned",
            |asked, _| spreads(asked, "Background", "Orphan"),
        ),
        asks(
            "a deletion in the foreground does not wait",
            "collection::s8_foreground_deletion_waits_for_what_blocks_it",
            |asked, _| spreads(asked, "Foreground", "Background"),
        ),
        asks(
            "orphans are collected",
            "collection::s8_orphans_stay_without_their_owner",
            |asked, _| spreads(asked, "Orphan", "Background"),
        ),
    ]
}

fn eviction() -> Vec<Breakage> {
    fn is_ready(pod: &Value) -> bool {
        pod["status"]["conditions"][0]["status"] == "True"
    }
    vec![
        asks(
            "an eviction is allowed, and nothing happens",
            "eviction::s9_an_allowed_eviction_deletes_the_pod",
            |asked, _| {
                if asked.is(&Method::POST, EVICTIONS) {
                    asked.set_word("dryRun", Some("All"));
                }
            },
        ),
        tells(
            "an eviction that a budget refuses is said to be done",
            "eviction::s9_a_budget_refuses_with_429_and_its_cause",
            |asked, told, memory| {
                let refused = told.message().contains("disruption budget");
                if asked.is(&Method::POST, EVICTIONS) && refused && is_ready(&memory.last(asked)) {
                    told.pretend(
                        &json!({"apiVersion": "v1", "kind": "Status", "status": "Success"}),
                    );
                }
            },
        ),
        tells(
            "a budget's refusal does not name its cause",
            "eviction::s9_a_budget_refuses_with_429_and_its_cause",
            |asked, told, _| {
                if asked.is(&Method::POST, EVICTIONS) {
                    let mut answer = told.json();
                    remove(answer.get_mut("details"), "causes");
                    told.set(told.status, &answer);
                }
            },
        ),
        tells(
            "of two budgets one counts",
            "eviction::s9_two_budgets_for_one_pod_are_500",
            |asked, told, _| {
                if asked.is(&Method::POST, EVICTIONS) && told.message().contains("more than one") {
                    let mut answer = told.json();
                    answer["code"] = json!(429);
                    told.set(StatusCode::TOO_MANY_REQUESTS, &answer);
                }
            },
        ),
        tells(
            "an unhealthy pod always goes",
            "eviction::s9_an_unhealthy_pod_goes_by_the_budgets_policy",
            |asked, told, memory| {
                let refused = told.status == StatusCode::TOO_MANY_REQUESTS;
                if asked.is(&Method::POST, EVICTIONS) && refused && !is_ready(&memory.last(asked)) {
                    told.pretend(
                        &json!({"apiVersion": "v1", "kind": "Status", "status": "Success"}),
                    );
                }
            },
        ),
    ]
}

fn admission() -> Vec<Breakage> {
    vec![
        tells(
            "a kind's CEL rules hold on creation only",
            "admission::s10_a_kinds_cel_rules_hold_on_create_and_on_change",
            |asked, told, memory| {
                let refused = told.status == StatusCode::UNPROCESSABLE_ENTITY;
                if asked.is(&Method::PATCH, OURS) && asked.merges() && refused {
                    told.pretend(&memory.last(asked));
                }
            },
        ),
        asks(
            "whoever asks is taken for the administrator",
            "admission::s10_a_policy_may_ask_the_authorizer_about_the_user",
            |asked, _| asked.drop_header("Impersonate-User"),
        ),
        asks(
            "a webhook that is down is always passed over",
            "admission::s10_a_webhook_that_is_down_fails_or_is_passed_over_as_told",
            |asked, _| {
                if asked.is(&Method::POST, HOOKS) && is_for(asked, OURS) {
                    asked.body["webhooks"][0]["failurePolicy"] = json!("Ignore");
                }
            },
        ),
        tells(
            "an eviction that a webhook denies looks like one that a budget refuses",
            "admission::s10_a_webhook_that_denies_an_eviction_is_told_from_a_budget",
            |asked, told, _| {
                if asked.is(&Method::POST, EVICTIONS)
                    && told.message().contains("denied the request")
                {
                    let mut answer = told.json();
                    answer["code"] = json!(429);
                    answer["reason"] = json!("TooManyRequests");
                    answer["details"] = json!({"causes": [{"reason": "DisruptionBudget"}]});
                    told.set(StatusCode::TOO_MANY_REQUESTS, &answer);
                }
            },
        ),
        tells(
            "an eviction passes although its webhook is down",
            "admission::s10_a_webhook_for_evictions_that_is_down_is_told_from_two_budgets",
            |asked, told, _| {
                if asked.is(&Method::POST, EVICTIONS) && told.message().contains("failed calling") {
                    told.pretend(
                        &json!({"apiVersion": "v1", "kind": "Status", "status": "Success"}),
                    );
                }
            },
        ),
        asks(
            "tokens are not bound",
            "admission::s10_a_token_bound_to_a_pod_names_it_and_its_node_and_ends_with_it",
            |asked, _| {
                if asked.is(&Method::POST, "serviceaccounts/token") {
                    remove(asked.body.get_mut("spec"), "boundObjectRef");
                }
            },
        ),
    ]
}

/// Whether a configuration of webhooks is about a resource.
fn is_for(asked: &Asked, resource: &str) -> bool {
    asked.body["webhooks"][0]["rules"][0]["resources"][0] == resource
}

/// Takes a field out, where there is one: to ask for it by its name would make it.
fn remove(from: Option<&mut Value>, field: &str) {
    if let Some(fields) = from.and_then(Value::as_object_mut) {
        fields.remove(field);
    }
}
