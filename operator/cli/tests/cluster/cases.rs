//! The cases. Each makes objects of its own.

use serde_json::{Value, json};

use crate::bed::{Cluster, OPERATOR};

const SELECT: &str = "spec.changeRequest.name=";

fn words_on(cluster: &Cluster, request: &str) -> Vec<Value> {
    let list = cluster.json(&["approvals", "--field-selector", &format!("{SELECT}{request}")]);
    list["items"].as_array().unwrap().clone()
}

pub fn approve_shows_what_is_approved_and_speaks_in_the_callers_own_name(cluster: &Cluster) {
    let request = cluster.request("shown", |_| {});
    cluster.status("changerequest", "shown", &json!({
        "phase": "AwaitingApproval", "due": "2026-11-20T09:14:00Z",
        "missing": [{"name": "platform", "count": 1}, {"name": "security", "count": 1}],
        "forecast": {"start": "2026-11-19T12:00:00Z", "finish": "2026-11-19T15:40:00Z", "meetsDue": true, "limitedBy": "maxUnavailable 2 in canary", "podsMoved": 31}}));
    let digest = request["spec"]["planDigest"].as_str().unwrap();
    let shown = cluster.hozen("alice", &["approve", "shown", "--yes", "--comment", "agreed"]);
    let shown = shown.says("shown: approved as security by alice");
    for words in [
        "shown: Patch of web-tier, emergency",
        "5 nodes: nginx.service restart; no reboot; rollback: Possible",
        "openssl:amd64 3.0.20-1~deb12u2 → 3.0.22-1~deb12u2",
        "at most 5 nodes drained, 5 with restarts, 0 rebooted",
        "canary, then rest",
        "2026-11-19 12:00 UTC to 2026-11-19 15:40 UTC, in time; limited by maxUnavailable 2 in canary; 31 pods moved",
        "1 × platform, 1 × security",
        digest,
    ] {
        let told = shown.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains(words), "no {words:?} in\n{}", shown.out);
    }
    let words = words_on(cluster, "shown");
    assert_eq!(words.len(), 1);
    let uid = cluster.json(&["changerequest", "shown"])["metadata"]["uid"].clone();
    assert_eq!(
        words[0]["spec"],
        json!({"changeRequest": {"name": "shown", "uid": uid}, "planDigest": digest,
        "role": "security", "decision": "Approve", "user": "alice", "comment": "agreed", "withdrawn": false})
    );
    assert_eq!(words[0]["metadata"]["ownerReferences"][0]["uid"], uid, "it goes with its request");
    cluster.hozen("alice", &["approve", "shown", "--yes"]).says("you said so already as security");
    assert_eq!(words_on(cluster, "shown").len(), 1, "saying it twice is saying it once");
    cluster.hozen("bob", &["reject", "shown", "--yes"]).says("shown: rejected as platform by bob");
}

pub fn approve_tells_what_a_drain_costs_beyond_moved_pods(cluster: &Cluster) {
    let costs = [
        (
            "deleteEmptyDirData",
            json!(true),
            "pods with an emptyDir are evicted: what is in it is lost",
        ),
        ("force", json!(true), "pods without controller are evicted: nobody makes them anew"),
        (
            "onBlocked",
            json!("Force"),
            "a blocked drain is forced: pods are deleted without their budget's leave",
        ),
    ];
    let told = |name: &str| {
        let shown =
            cluster.hozen("alice", &["approve", name, "--yes"]).says("approved as security");
        let told = shown.out.split_whitespace().collect::<Vec<_>>().join(" ");
        costs.each_ref().map(|(_, _, cost)| told.contains(cost))
    };
    cluster.request("moves", |_| {});
    assert_eq!(told("moves"), [false; 3]);
    for (field, value, _) in &costs {
        let name = format!("drains-{}", field.to_lowercase());
        cluster.request(&name, |request| {
            request["spec"]["plan"]["execution"]["drain"][*field] = value.clone();
        });
        assert_eq!(told(&name), costs.each_ref().map(|(of, _, _)| of == field), "{field}");
    }
    cluster.request("no-drain", |request| {
        let plan = &mut request["spec"]["plan"];
        plan["execution"]["drain"]["force"] = json!(true);
        plan["disruption"]["drains"] = json!(0);
    });
    assert_eq!(told("no-drain"), [false; 3], "nothing is drained");
}

pub fn approve_takes_no_word_that_would_not_count(cluster: &Cluster) {
    cluster.request("counts", |_| {});
    cluster
        .hozen("mallory", &["approve", "counts", "--yes"])
        .refuses("cannot get resource \"changerequests\"");
    cluster
        .hozen("alice", &["approve", "count", "--yes"])
        .refuses("there is no change request count; did you mean counts?");
    cluster
        .hozen("alice", &["approve", "counts", "--role", "owner", "--yes"])
        .refuses("counts does not ask for the role owner: write --role platform or security");
    cluster
        .hozen("alice", &["approve", "counts", "--role", "platform", "--yes"])
        .refuses("you do not hold the approval role platform");
    cluster
        .hozen("carol", &["approve", "counts", "--yes"])
        .refuses("you hold several roles that counts asks for: write --role platform or security");
    cluster.status(
        "changerequest",
        "counts",
        &json!({"excluded": [{"user": "alice", "why": "alice changed web-tier on 18 Nov"}]}),
    );
    cluster
        .hozen("alice", &["approve", "counts", "--yes"])
        .refuses("would not count: alice changed web-tier on 18 Nov");
    assert_eq!(words_on(cluster, "counts").len(), 0);
}

pub fn approve_refuses_a_request_that_was_superseded_or_is_over(cluster: &Cluster) {
    cluster.request("old", |_| {});
    // What a person asks for in its place takes nobody's place yet, and neither does one of another baseline.
    cluster.request_of("daves", "dave", |request| request["spec"]["supersedes"] = json!("old"));
    cluster.hozen("bob", &["approve", "old", "--yes"]).says("approved as platform");
    cluster.hozen("bob", &["withdraw", "old"]).says("given as platform");
    cluster.status("changerequest", "daves", &json!({"phase": "Approved"}));
    cluster.hozen("alice", &["approve", "old", "--yes"]).refuses("old was superseded by daves");
    cluster.status("changerequest", "daves", &json!({"phase": "Expired"}));
    cluster.request("new", |request| request["spec"]["supersedes"] = json!("old"));
    cluster
        .hozen("alice", &["approve", "old", "--yes"])
        .refuses("old was superseded by new: look at that one");
    cluster.status("changerequest", "new", &json!({"phase": "Expired"}));
    cluster
        .hozen("alice", &["approve", "new", "--yes"])
        .refuses("new has expired: nobody's word changes that");
    assert_eq!(words_on(cluster, "old").len(), 1, "what was withdrawn");
    assert_eq!(words_on(cluster, "new").len(), 0);
}

pub fn approve_refuses_another_digest_than_the_reviewed_and_one_that_lies(cluster: &Cluster) {
    let request = cluster.request("digest", |_| {});
    let reviewed = format!("sha256-{}", "a".repeat(64));
    cluster
        .hozen("alice", &["approve", "digest", "--digest", &reviewed, "--yes"])
        .refuses("look at it again");
    cluster.request("lies", |request| request["spec"]["planDigest"] = json!(reviewed));
    cluster
        .hozen("alice", &["approve", "lies", "--yes"])
        .refuses("the plan of lies is not what its digest says");
    assert_eq!(words_on(cluster, "digest").len() + words_on(cluster, "lies").len(), 0);
    let right = request["spec"]["planDigest"].as_str().unwrap();
    cluster
        .hozen("alice", &["approve", "digest", "--digest", right, "--yes"])
        .says("approved as security");
}

pub fn nobody_is_asked_where_there_is_no_terminal(cluster: &Cluster) {
    cluster.request("asks", |_| {});
    cluster.hozen("alice", &["approve", "asks"]).refuses("the input is no terminal: add --yes");
    assert_eq!(words_on(cluster, "asks").len(), 0);
}

pub fn a_word_is_withdrawn_by_its_giver_only(cluster: &Cluster) {
    cluster.request("withdrawn", |_| {});
    cluster.hozen("alice", &["approve", "withdrawn", "--yes"]).says("approved as security");
    cluster
        .hozen("bob", &["withdraw", "withdrawn"])
        .refuses("bob has said nothing on withdrawn that stands");
    cluster
        .hozen("alice", &["withdraw", "withdrawn", "--role", "platform"])
        .refuses("alice has said nothing on withdrawn as platform");
    cluster.hozen("alice", &["withdraw", "withdrawn"]).says("given as security");
    assert_eq!(words_on(cluster, "withdrawn")[0]["spec"]["withdrawn"], true);
    cluster.hozen("alice", &["approve", "withdrawn", "--yes"]).says("approved as security");
    assert_eq!(words_on(cluster, "withdrawn").len(), 2, "another word is another approval");
}

pub fn the_handle_of_a_rollout_is_held_by_operations(cluster: &Cluster) {
    cluster.request("handle", |_| {});
    cluster.rollout("handle");
    let spec = |field: &str| cluster.json(&["rollout", "handle"])["spec"][field].clone();
    cluster.hozen("alice", &["pause", "handle"]).refuses("cannot patch resource \"rollouts\"");
    cluster.hozen("bob", &["pause", "handle"]).says("handle is paused");
    assert_eq!(spec("paused"), true);
    cluster.hozen("bob", &["pause", "handle"]).says("paused already");
    cluster.hozen("bob", &["resume", "handle"]).says("handle goes on");
    assert_eq!(spec("paused"), false);
    cluster
        .hozen("bob", &["promote", "handle"])
        .refuses("handle is at no stage yet: write --through STAGE");
    cluster
        .hozen("bob", &["promote", "handle", "--through", "canari"])
        .refuses("handle has no stage canari: write canary or rest");
    cluster.status("rollout", "handle", &json!({"stage": {"name": "canary", "index": 0, "nodes": {"total": 1, "done": 1, "active": 0, "failed": 0, "blocked": 0, "offline": 0}}}));
    cluster.hozen("bob", &["promote", "handle"]).says("promoted through canary");
    assert_eq!(spec("promoteThrough"), "canary");
    cluster.hozen("bob", &["abort", "handle"]).says("handle is aborted");
    assert_eq!(spec("abort"), true);
    cluster.status(
        "rollout",
        "handle",
        &json!({"ended": "2026-11-19T15:40:00Z", "outcome": "Aborted"}),
    );
    cluster.hozen("bob", &["pause", "handle"]).refuses("handle ended on 2026-11-19 15:40 UTC");
    cluster.hozen("bob", &["watch", "handle"]).says("handle: ended: Aborted");
}

pub fn a_failure_is_accepted_by_name_and_uid_with_the_privilege_only(cluster: &Cluster) {
    cluster.rollout("fails");
    cluster.make_as(OPERATOR, &json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "ManagedNode", "spec": {},
        "metadata": {"name": "node-17", "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "node-17", "uid": "node-17-uid"}]}}));
    cluster
        .hozen("carol", &["accept-failure", "node-17"])
        .refuses("no rollout shows a failure of node-17");
    cluster.status("rollout", "fails", &json!({"firstFailures": [{"node": "node-17", "step": "Patch", "message": "dpkg could not configure nginx-light"}]}));
    cluster
        .hozen("bob", &["accept-failure", "node-17", "--uid", "u"])
        .refuses("it needs the verb accept on rollouts");
    cluster
        .hozen("carol", &["accept-failure", "Deployment/shop/web", "--rollout", "fails"])
        .refuses("write --uid UID");
    cluster
        .hozen("carol", &["accept-failure", "node-18", "--rollout", "fails", "--uid", "u"])
        .refuses("node-18 has not failed in fails");
    cluster
        .hozen("carol", &["accept-failure", "node-17", "--uid", "node-17-uid"])
        .says("accepted in fails by carol");
    let accepted = cluster.json(&["rollout", "fails"])["spec"]["acceptFailures"].clone();
    assert_eq!(accepted, json!([{"node": "node-17", "uid": "node-17-uid", "by": "carol"}]));
    let digest = "a".repeat(64);
    cluster.make_as(OPERATOR, &json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "ManagedImage",
        "metadata": {"name": format!("sha256-{digest}")}, "spec": {"digest": format!("sha256:{digest}")}}));
    cluster.status("managedimage", &format!("sha256-{digest}"), &json!({"ended": [{
        "workloadUID": "uid-of-web", "workload": {"kind": "Deployment", "namespace": "shop", "name": "web"},
        "requestUID": "uid-of-request", "outcome": "RolledBack", "at": "2026-11-19T09:00:00Z",
        "failure": {"step": "Verify", "message": "1 of 3 replicas became ready"}}]}));
    cluster.status("rollout", "fails", &json!({"firstFailures": [{"node": "Deployment/shop/web", "step": "Verify", "message": "1 of 3 replicas became ready"}]}));
    cluster
        .hozen("carol", &["accept-failure", "Deployment/shop/web", "--rollout", "fails"])
        .says("accepted in fails by carol");
    cluster
        .hozen(
            "carol",
            &["accept-failure", "node-17", "--rollout", "fails", "--uid", "node-17-uid"],
        )
        .says("accepted in fails already");
    let accepted = cluster.json(&["rollout", "fails"])["spec"]["acceptFailures"].clone();
    assert_eq!(accepted[1]["uid"], "uid-of-web");
}

pub fn a_scan_is_asked_for_by_an_annotation(cluster: &Cluster) {
    // A node that there is: the garbage collector removes what belongs to one that is not.
    cluster.kubectl(&["create", "-f", &cluster.node("scanned")]);
    let uid = cluster.json(&["node", "scanned"])["metadata"]["uid"].clone();
    cluster.make_as(OPERATOR, &json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "ManagedNode", "spec": {},
        "metadata": {"name": "scanned", "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "scanned", "uid": uid}]}}));
    cluster
        .hozen("alice", &["rescan", "scanned"])
        .refuses("cannot patch resource \"managednodes\"");
    cluster
        .hozen("bob", &["rescan", "scanned", "nowhere"])
        .refuses("there is no managed node nowhere");
    let before = cluster.json(&["managednode", "scanned"]);
    assert!(
        before["metadata"]["annotations"].is_null(),
        "all names are looked up before the first is asked for"
    );
    let told = cluster.hozen("bob", &["rescan", "scanned"]).says(
        "asked for a scan of scanned: package indices are refreshed before it, once in 10 minutes at most",
    );
    assert!(told.out.contains("scanned: no scanner has reported yet"), "{}", told.out);
    let asked =
        cluster.json(&["managednode", "scanned"])["metadata"]["annotations"]["hozen.dev/rescan"]
            .clone();
    assert!(asked.as_str().unwrap().ends_with(" by bob"), "{asked}");
}

pub fn a_halt_is_set_shown_and_lifted_by_who_holds_it(cluster: &Cluster) {
    cluster.hozen("bob", &["halt", "for fun"]).refuses("cannot patch resource \"configmaps\"");
    cluster.hozen("carol", &["halt", " "]).refuses("a halt needs a reason");
    cluster
        .hozen("carol", &["halt", "x", "--hozen-namespace", "elsewhere"])
        .refuses("there is no ConfigMap hozen-halt in the namespace elsewhere");
    cluster
        .hozen("carol", &["halt", "kernel panics in ring-1"])
        .says("halted: nothing new is disturbed");
    for looks in ["carol", "alice"] {
        cluster.hozen(looks, &["status"]).says("halted: kernel panics in ring-1");
    }
    cluster
        .hozen("alice", &["status", "--hozen-namespace", "elsewhere"])
        .says("whether it is halted is not known: there is no ConfigMap hozen-halt");
    let map = cluster.json(&["configmap", "hozen-halt", "--namespace", "hozen-system"]);
    assert_eq!(map["data"], json!({"reason": "kernel panics in ring-1"}));
    cluster
        .hozen("carol", &["halt", "and in ring-2"])
        .says("it was halted before: kernel panics in ring-1");
    cluster.hozen("carol", &["unhalt"]).says("the halt is lifted: and in ring-2");
    cluster.hozen("carol", &["unhalt"]).says("nothing is halted");
    let map = cluster.json(&["configmap", "hozen-halt", "--namespace", "hozen-system"]);
    assert!(map["data"].is_null());
    // An empty reason stops nothing, as the operator reads it.
    let empty = r#"{"data": {"reason": " "}}"#;
    cluster.kubectl(&[
        "patch",
        "configmap",
        "hozen-halt",
        "--namespace",
        "hozen-system",
        "--type",
        "merge",
        "--patch",
        empty,
    ]);
    let calm = cluster.hozen("alice", &["status"]).says("");
    assert!(!calm.out.contains("halted"), "{}", calm.out);
}

pub fn status_shows_what_waits_for_whom_and_why(cluster: &Cluster) {
    cluster.request("waits", |_| {});
    cluster.status(
        "changerequest",
        "waits",
        &json!({"phase": "AwaitingApproval", "missing": [{"name": "security", "count": 1}],
            "forecast": {"start": "2020-01-05T02:00:00Z", "finish": "2020-01-05T03:00:00Z"}}),
    );
    cluster.request("ended", |_| {});
    cluster.status("changerequest", "ended", &json!({"phase": "Done"}));
    cluster.rollout("held");
    cluster.status("rollout", "held", &json!({"stage": {"name": "ring-1", "index": 2, "nodes": {"total": 10, "done": 8, "active": 0, "failed": 1, "blocked": 1, "offline": 0}},
        "hold": {"reason": "FailuresReached", "message": "1 of at most 0 failures in ring-1", "endedBy": "accept-failure node-17, abort"}}));
    let shown = cluster.hozen("alice", &["status"]).says("CHANGE REQUEST");
    let line = |word: &str| {
        shown
            .out
            .lines()
            .find(|line| line.starts_with(word))
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    assert!(
        line("waits").unwrap().contains("Patch yes AwaitingApproval 1 × security"),
        "{}",
        shown.out
    );
    assert!(line("waits").unwrap().ends_with(" late"), "its time has passed: {}", shown.out);
    assert_eq!(line("ended"), None, "what has ended is not waited for");
    assert!(line("held").unwrap().ends_with("ring-1 8/10 0 1 1"), "{}", shown.out);
    assert!(
        shown.out.contains(
            "held: 1 of at most 0 failures in ring-1; ended by accept-failure node-17, abort"
        ),
        "{}",
        shown.out
    );
    let facts: Value =
        serde_json::from_str(&cluster.hozen("alice", &["status", "-o", "json"]).says("").out)
            .unwrap();
    let held = facts["rollouts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|rollout| rollout["name"] == "held")
        .unwrap();
    assert_eq!((&held["done"], &held["of"], &held["failed"]), (&json!(8), &json!(10), &json!(1)));
    assert_eq!(held["putBack"], json!(1));
    cluster.status(
        "changerequest",
        "waits",
        &json!({"missing": [{"name": "platform", "count": 1}, {"name": "security", "count": 2}], "missingRoles": "1 × platform, 2 × security"}),
    );
    let table = cluster.kubectl(&["get", "changerequest", "waits"]);
    assert!(table.contains("1 × platform, 2 × security"), "{table}");
    cluster.hozen("alice", &["status", "-o", "yaml"]).says("apiVersion: status.hozen.dev/v1alpha1");
}

pub fn retry_refuses_where_no_request_would_come_of_it(cluster: &Cluster) {
    let ended = json!({"ended": "2026-11-19T15:40:00Z", "outcome": "Aborted"});
    let tried = |name: &str, change: &dyn Fn(&mut Value)| {
        cluster.request(name, change);
        cluster.status("changerequest", name, &json!({"phase": "Failed"}));
        cluster.rollout_of(name);
        cluster.status("rollout", name, &ended);
    };
    tried("tried", &|_| {});
    // bob may not look at nodes: what he can see of it is looked at.
    cluster
        .hozen("bob", &["retry", "tried"])
        .says("where something that failed in it is still missing, a new change request follows");
    tried("seen", &|_| {});
    // Whoever may is told for certain.
    cluster
        .hozen("admin", &["retry", "seen"])
        .refuses("no request would come of another attempt at seen: its baseline web-tier acts on nothing: look why (hozen explain baseline/web-tier)");
    tried("replaced", &|_| {});
    cluster.request("instead", |request| request["spec"]["supersedes"] = json!("replaced"));
    for who in ["bob", "admin"] {
        cluster.hozen(who, &["retry", "replaced"]).refuses(
            "instead took its place: look at that one (hozen explain changerequest/instead)",
        );
    }
    assert!(cluster.json(&["rollout", "replaced"])["spec"]["retry"].is_null());
}

pub fn a_baseline_that_is_not_valid_is_told_with_the_field_and_what_to_write(cluster: &Cluster) {
    cluster.make(&json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "Baseline",
        "metadata": {"name": "broken"}, "spec": {
            "selector": {"nodes": {"matchLabels": {"tier": "broken"}}},
            "asset": {"businessImpact": "High", "exposure": "Internet", "owner": "team-web@example.com"},
            "approvalPolicy": "production",
            "windows": [{"name": "nights", "schedule": "0 2 31 2 *", "duration": "1h", "timeZone": "Asia/Tokio"}]}}));
    let words =
        |answer: crate::bed::Answer| answer.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for told in [
        words(cluster.hozen("alice", &["status"]).says("BASELINE")),
        words(cluster.hozen("admin", &["explain", "baseline/broken"]).says("not valid")),
    ] {
        for what in [
            "spec.windows[0].schedule: `0 2 31 2 *` never comes; write a day that exists in the month",
            "spec.windows[0].timeZone: `Asia/Tokio` is not a time zone; did you mean `Asia/Tokyo`?",
        ] {
            assert!(told.contains(what), "no {what:?} in {told}");
        }
    }
    cluster.status(
        "baseline",
        "broken",
        &json!({"conditions": [{"type": "NeedsAttention", "status": "True",
        "reason": "NoWindowOpens", "message": "nothing but an emergency can begin",
        "lastTransitionTime": "2026-11-19T12:00:00Z"}]}),
    );
    let told = words(cluster.hozen("alice", &["status"]).says("BASELINE"));
    let waits = told.find("broken: nothing but an emergency can begin").expect(&told);
    assert!(
        told.find("CHANGE REQUEST").is_none_or(|next| waits < next),
        "beside the other reasons: {told}"
    );
    let file = cluster.node("lonely");
    cluster.kubectl(&["create", "-f", &file]);
    let told = words(cluster.hozen("admin", &["explain", "node/lonely"]).says("no baseline"));
    assert!(told.contains("BASELINES THAT ARE NOT VALID, AND SELECT NOTHING"), "{told}");
    assert!(told.contains("baseline/broken"), "{told}");
    cluster.kubectl(&["delete", "node", "lonely"]);
    cluster.kubectl(&["delete", "baseline", "broken"]);
}

pub fn status_shows_nodes_that_no_baseline_covers(cluster: &Cluster) {
    cluster.kubectl(&["create", "-f", &cluster.node("uncovered")]);
    let uid = cluster.json(&["node", "uncovered"])["metadata"]["uid"].clone();
    cluster.make_as(OPERATOR, &json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "ManagedNode", "spec": {},
        "metadata": {"name": "uncovered", "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "uncovered", "uid": uid}]}}));
    let told = cluster.hozen("alice", &["status"]).says("under no baseline");
    assert!(told.out.contains("uncovered"), "{}", told.out);
    let facts: Value =
        serde_json::from_str(&cluster.hozen("alice", &["status", "-o", "json"]).says("").out)
            .unwrap();
    let without = facts["withoutBaseline"].as_array().unwrap();
    assert!(without.contains(&json!("uncovered")), "{facts}");
    cluster.kubectl(&["delete", "node", "uncovered"]);
}

pub fn doctor_names_who_holds_power_and_every_policy_that_does_not_stand(cluster: &Cluster) {
    let found = cluster.hozen("admin", &["doctor"]).says("the admission policies stand, unaltered");
    for words in [
        "who can approve",
        "User alice: security (role hozen-approve-security)",
        "who can impersonate",
        "Group system:masters (role cluster-admin)",
        "who can alter admission policies",
        "who can halt",
        "User carol: hozen-halt (role hozen-halter)",
    ] {
        assert!(found.out.contains(words), "no {words:?} in\n{}", found.out);
    }
    cluster
        .hozen("admin", &["doctor", "--hozen-namespace", "elsewhere"])
        .refuses("there is no Deployment hozen in the namespace elsewhere");
    cluster.hozen("alice", &["doctor"]).refuses("is forbidden");
    cluster.kubectl(&[
        "patch",
        "validatingadmissionpolicybinding",
        "hozen-nodes",
        "--type",
        "merge",
        "--patch",
        r#"{"spec":{"validationActions":["Audit"]}}"#,
    ]);
    let sick = cluster.hozen("admin", &["doctor"]);
    assert_eq!(sick.code, 1);
    assert!(sick.out.contains("the binding of the admission policy hozen-nodes was altered at spec.validationActions[0]"), "{}", sick.out);
    let facts: Value =
        serde_json::from_str(&cluster.hozen("admin", &["doctor", "-o", "json"]).out).unwrap();
    assert_eq!(facts["faults"].as_array().unwrap().len(), 1);
    cluster.kubectl(&[
        "patch",
        "validatingadmissionpolicybinding",
        "hozen-nodes",
        "--type",
        "merge",
        "--patch",
        r#"{"spec":{"validationActions":["Deny"]}}"#,
    ]);
    cluster.hozen("admin", &["doctor"]).says("unaltered");
}

/// No trivy-operator is here.
pub fn explain_and_plan_say_what_would_be_decided_without_what_need_not_be_installed(
    cluster: &Cluster,
) {
    let file = cluster.node("explained");
    cluster.kubectl(&["create", "-f", &file]);
    cluster.hozen("admin", &["explain", "node/explained"]).says("no baseline selects it");
    cluster.hozen("admin", &["plan"]).says("nothing");
    // Dave writes baselines, and with them the chart lets him look.
    // What the chart does not let him see is left out and named once; what cannot do without is refused.
    let unseen = "no rule lets you list and watch cronjobs.batch, daemonsets.apps, deployments.apps, jobs.batch, poddisruptionbudgets.policy, \
        pods, replicasets.apps, statefulsets.apps in all namespaces";
    let told = cluster.hozen("dave", &["explain", "node/explained", "-o", "json"]);
    let told: Value = serde_json::from_str(&told.says("no baseline selects it").out).unwrap();
    let left_out = told["sections"][0]["lines"][0]["text"].as_str().unwrap();
    assert!(left_out.contains(unseen), "{left_out}");
    cluster.hozen("dave", &["status"]).says("");
    for asked in [&["plan"][..], &["explain", "workload/Deployment/shop/web"]] {
        let refused = cluster.hozen("dave", asked);
        for dump in ["Status {", "ApiError", "Some("] {
            assert!(!refused.err.contains(dump), "{}", refused.err);
        }
        assert!(refused.err.split_whitespace().collect::<Vec<_>>().join(" ").contains(unseen));
        refused.refuses("for the roles hozen-viewer and view, both in all namespaces");
    }
    cluster.kubectl(&[
        "create",
        "clusterrolebinding",
        "dave-views",
        "--clusterrole=view",
        "--user=dave",
    ]);
    let told = cluster.hozen("dave", &["explain", "node/explained"]).says("no baseline selects it");
    assert!(!told.out.contains("LEFT OUT"), "{}", told.out);
    cluster.hozen("dave", &["plan"]).says("nothing");
    cluster.kubectl(&["delete", "clusterrolebinding", "dave-views"]);
    cluster.kubectl(&["delete", "node", "explained"]);
    let stranger = cluster.hozen("mallory", &["explain", "node/explained"]);
    assert!(!stranger.err.contains("Status {"), "{}", stranger.err);
    stranger.refuses("namespaces \"kube-system\" is forbidden");
}
