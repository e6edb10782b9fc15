//! The whole path on real nodes: the chart, the operator, the scanner, people with certificates, patch Jobs, apt, systemd, reboots. Needs
//! root and what `node::lacking` names, and builds the images' programs.
//!
//! What is asserted is what a user sees: kubectl, the command, apt and systemd on the nodes, the audit trail in the logs.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a story that does not go on fails")]

// What is tried in the name of scanners, from the list of forgeries.
#[expect(dead_code, reason = "the cases of everybody else are another test's")]
#[path = "../forgeries/cases.rs"]
mod cases;
mod daemons;
mod debian;
#[path = "../forgeries/jobs.rs"]
mod jobs;
mod machine;
#[expect(dead_code, reason = "what other cases are about")]
#[path = "../forgeries/nodes.rs"]
mod nodes;
#[expect(dead_code, reason = "what other cases are about")]
#[path = "../forgeries/objects.rs"]
mod objects;
#[path = "../forgeries/people.rs"]
mod people;
mod publisher;
mod renewed;
mod seen;
mod stage;
mod token;
mod trail;
#[path = "../forgeries/tries.rs"]
mod tries;
#[expect(dead_code, reason = "what other cases are about")]
#[path = "../forgeries/workloads.rs"]
mod workloads;

use hozen_testbed::{node::vm, not_run, repository::Package};
use serde_json::{Value, json};

use crate::{
    publisher::Publisher,
    seen::{SERVICE, approval, ended},
    stage::{NODES, Stage, Watch},
    trail::Trail,
};

const TEST: &str = "what_two_people_agreed_to_is_done_to_real_nodes_and_proven_and_nothing_else_is";
const CANARY: &str = "node-1";
const REST: [&str; 2] = ["node-2", "node-3"];

fn policy() -> Value {
    let two = json!({"roles": [{"name": "platform"}, {"name": "security"}], "validFor": "24h"});
    json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "ApprovalPolicy", "metadata": {"name": "production"},
        "spec": {"normal": two, "emergency": two, "exception": two, "excludeAuthors": true}})
}

fn baseline(by: &str) -> Value {
    baseline_of("web", by)
}

/// A baseline of the nodes of a tier.
fn baseline_of(tier: &str, by: &str) -> Value {
    let stages = json!([
        {"name": "canary", "nodes": 1, "soak": "5s"},
        {"name": "rest", "nodes": "100%", "maxUnavailable": 1},
    ]);
    json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "Baseline", "metadata": {"name": format!("{tier}-tier")}, "spec": {
        "editedBy": by, "selector": {"nodes": {"matchLabels": {"tier": tier}}},
        "asset": {"owner": "web@example.com"}, "require": {"os": {"id": "debian", "versionId": "12"}},
        "approvalPolicy": "production",
        "rollout": {"stages": stages, "drain": {"timeout": "1m"}, "reboot": {"timeout": "3m"}, "watch": "5s"}}})
}

fn name(request: &Value) -> &str {
    request["metadata"]["name"].as_str().unwrap()
}

#[test]
fn what_two_people_agreed_to_is_done_to_real_nodes_and_proven_and_nothing_else_is() {
    let Some((mut stage, publisher, mut watch)) = Stage::set(TEST) else { return };
    let first = asked(&stage);
    watch.lap("policy and baseline until people are asked, and apt agrees with the scanners");
    author_cannot_approve(&stage, &first);
    let second = another_package_is_refused(&stage, &publisher, &first);
    watch.lap("what was replaced in the repository refused, and asked for anew");
    patched(&stage, &second);
    watch.lap("three nodes patched, units restarted, proven");
    token::reports_its_node_and_does_nothing_else(&stage);
    watch.lap("forgeries with the token of a scanner");
    let third = slow_update(&stage, &publisher, &second);
    watch.lap("an update published until people are asked for it and the reboot");
    power_cut_and_reboots(&stage, &third);
    watch.lap("power cut in mid-install and repaired, two nodes patched and rebooted, proven");
    told(&stage, [&first, &second, &third]);
    let has_debian = renewed::asked(&stage, &publisher, TEST);
    watch.lap("daemons of packages installed, their updates and Debian's published until people are asked");
    renewed::done(&stage, has_debian);
    watch.lap("daemons and nginx renewed, proven");
    with_machine(&mut stage, &mut watch);
    println!("{:6.1} s  in all", watch.total().as_secs_f64());
}

/// A node with a kernel of its own.
fn with_machine(stage: &mut Stage, watch: &mut Watch) {
    if std::env::var_os("HOZEN_SOAK").is_none() {
        println!(
            "left out: a virtual machine that boots its newer kernel takes minutes; make soak plays it"
        );
        return;
    }
    if let Err(why) = vm::lacking() {
        not_run(TEST, &why.to_string());
        return;
    }
    let request = machine::asked(stage, TEST);
    watch.lap("a virtual machine with an older kernel, until people are asked for the newer one");
    if let Some(request) = request {
        machine::boots_its_newer_kernel_by_kexec(stage, &request);
        watch.lap("the newer kernel installed, started by kexec, proven");
        machine::refuses_where_its_kernel_is_locked_down(stage);
        watch.lap("kexec refused where the kernel is locked down");
    }
}

/// Carol says who must agree, Dave what must be; everybody else is refused.
fn asked(stage: &Stage) -> Value {
    stage.apply_as("dave", &policy()).refuses("approvalpolicies.hozen.dev");
    stage.apply_as("carol", &policy()).says("created");
    stage.apply_as("mallory", &baseline("mallory")).refuses("baselines.hozen.dev");
    stage.apply_as("dave", &baseline("alice")).refuses("set spec.editedBy to dave");
    stage.apply_as("dave", &baseline("dave")).says("created");
    stage.reports_equal_apt();
    for node in NODES {
        let listed = stage.upgradable(node);
        let names = ["client", "library", "reboot", "service"];
        assert_eq!(listed, names.map(|one| format!("hozen-test-{one}:amd64 1.0 1.1")).into());
        stage.seen("it is below", &["managednode", node], |record| {
            record["status"]["state"] == "Below" && record["status"]["activity"] == "Vulnerable"
        });
    }
    let request = stage.asked_for(NODES.len(), &[]);
    let class = &request["spec"]["plan"]["classes"][0];
    assert_eq!(class["restart"], json!([format!("{SERVICE}.service")]), "{request:#}");
    assert_eq!(
        class["reboot"], false,
        "nobody can know before: a script of the package asks for it"
    );
    request
}

/// Who changed the baseline holds the role, and is refused all the same; past the command it does not count.
fn author_cannot_approve(stage: &Stage, request: &Value) {
    let words = ["approve", name(request), "--role", "platform", "--yes"];
    stage.hozen_as("dave", &words).refuses("would not count: dave changed web-tier");
    stage.hozen_as("mallory", &words).refuses("is forbidden");
    let file = stage.file("approval", &approval(request, "alice", "platform"));
    stage.kubectl_as("dave", &["create", "-f", &file]).refuses("set spec.user to dave");
    let file = stage.file("approval", &approval(request, "dave", "platform"));
    stage.kubectl_as("dave", &["create", "-f", &file]).says("created");
    let words = ["changerequest", name(request)];
    let seen =
        stage.seen("his word is told", &words, |seen| seen["status"]["approvals"].is_array());
    let word = &seen["status"]["approvals"][0];
    assert_eq!((&word["user"], &word["counts"]), (&json!("dave"), &json!(false)), "{word}");
    assert_eq!(seen["status"]["missing"].as_array().unwrap().len(), 2, "{seen:#}");
    assert_eq!(seen["status"]["phase"], "AwaitingApproval");
}

/// Between plan and approval one of the packages is replaced by a newer one: the approved plan is refused on the node, with the
/// difference; nothing is changed; and people are asked anew.
fn another_package_is_refused(stage: &Stage, publisher: &Publisher, first: &Value) -> Value {
    let newer = Package { name: "hozen-test-library", version: "1.2", ..Package::default() };
    publisher.replace(stage, "1.1", newer);
    stage.agree(first);
    let record = stage.seen("the canary refuses", &["managednode", CANARY], |record| {
        ended(record, first)["outcome"].is_string()
    });
    let refused = ended(&record, first);
    let why = refused["failure"]["message"].as_str().unwrap_or_default();
    assert_eq!(refused["outcome"], "PutBack", "{refused:#}");
    assert!(why.contains("Difference") && why.contains("'1.1' for 'hozen-test-library'"), "{why}");
    let instead = "hozen-test-library:amd64 is offered in 1.2, 1.0; 1.1 is approved";
    assert!(why.contains(instead), "{why}");
    for node in NODES {
        for package in ["client", "library", "reboot", "service"] {
            let version = stage.version(node, &format!("hozen-test-{package}"));
            assert_eq!(version, "1.0 installed", "{node} {package}");
        }
    }
    let told = stage.told("Node", CANARY);
    assert!(
        told.iter().any(|told| told.starts_with("NodePutBack") && told.contains(why)),
        "{told:?}"
    );
    stage.look();
    let second = stage.asked_for(NODES.len(), &[name(first)]);
    let class = &second["spec"]["plan"]["classes"][0];
    assert!(stage.changes(class).contains(&"hozen-test-library:amd64 1.0 1.2".to_owned()));
    // Nobody has agreed to this one, and nobody's word can be given to the other any more.
    assert_eq!(second["status"]["approvals"], Value::Null, "{second:#}");
    assert_eq!(second["status"]["missing"].as_array().unwrap().len(), 2, "{second:#}");
    stage.seen("the first is over", &["changerequest", name(first)], |request| {
        request["status"]["phase"] == "Superseded"
    });
    stage.hozen_as("alice", &["approve", name(first), "--yes"]).refuses("was superseded");
    second
}

fn patched(stage: &Stage, request: &Value) {
    let before = NODES.map(|node| stage.identity(node));
    for node in NODES {
        assert_eq!(stage.runs(node), ("1.0".to_owned(), true));
    }
    stage.agree(request);
    stage.seen("installed, and the old program runs", &["nodeinventory", CANARY], |inventory| {
        inventory["report"]["stale"].to_string().contains(SERVICE)
    });
    stage.seen("it is patched and inactive", &["managednode", CANARY], |record| {
        record["status"]["activity"] == "PatchedInactive"
    });
    stage.is_done(request);
    for node in NODES {
        assert_eq!(stage.runs(node), ("1.1".to_owned(), true), "{node}");
        assert_eq!(stage.version(node, "hozen-test-library"), "1.2 installed");
        assert_eq!(stage.upgradable(node), [].into());
        assert_eq!(stage.reported(node), [].into());
    }
    assert_eq!(before, NODES.map(|node| stage.identity(node)), "nobody agreed to a reboot");
    stage.nodes_are_free();
    stage.serves();
}

/// An update whose script stops where the test says so. With it comes the reboot that is due.
fn slow_update(stage: &Stage, publisher: &Publisher, before: &Value) -> Value {
    let script = "if [ -e /srv/hold ]; then mv /srv/hold /srv/held; sleep 600; fi";
    publisher.publish(
        stage,
        &[Package {
            name: "hozen-test-client",
            version: "1.3",
            depends: "hozen-test-library",
            scripts: vec![("postinst", script)],
            ..Package::default()
        }],
    );
    stage.look();
    stage.reports_equal_apt();
    stage.until("people are asked for the update and the reboot", || {
        let request = stage.asked_for(NODES.len(), &[name(before)]);
        let class = &request["spec"]["plan"]["classes"][0];
        let changes = stage.changes(class);
        if class["reboot"] == true && changes == ["hozen-test-client:amd64 1.1 1.3"] {
            Ok(request)
        } else {
            Err(format!("{class} {changes:?}"))
        }
    })
}

fn power_cut_and_reboots(stage: &Stage, request: &Value) {
    let before = NODES.map(|node| stage.identity(node));
    stage.on(CANARY, "touch /srv/hold");
    stage.agree(request);
    stage.until("the installation is in the middle", || {
        let seen = stage.on(CANARY, "ls /srv");
        if seen.contains("held") { Ok(()) } else { Err(seen) }
    });
    assert!(stage.on(CANARY, "dpkg --audit").contains("hozen-test-client"));
    let node = stage.node(CANARY);
    node.power_off().unwrap();
    node.power_on().unwrap();
    node.wait_ready().unwrap();
    stage.is_done(request);
    // Another pod of the same Job has gone on with the work: it begins with the repair, which is all that was left to do.
    let log = stage.job_log(CANARY);
    let again = log.split_once("attempt 1, start 2").unwrap_or_else(|| panic!("{log}")).1;
    let repair =
        again.split_once("repair: begins").and_then(|(_, rest)| rest.split_once("repair: done"));
    assert!(
        repair.is_some_and(|(repair, _)| repair.contains("Setting up hozen-test-client (1.3)")),
        "{log}"
    );
    for (node, before) in NODES.iter().zip(before) {
        let now = stage.identity(node);
        assert!(before.0 == now.0 && before.1 != now.1, "{node} has not booted as itself");
        assert_eq!(stage.version(node, "hozen-test-client"), "1.3 installed");
        assert_eq!(stage.on(node, "dpkg --audit"), "");
        assert_eq!(stage.upgradable(node), [].into());
        assert_eq!(stage.runs(node), ("1.1".to_owned(), true), "{node}");
        stage.seen("as it must be", &["managednode", node], |record| {
            record["status"]["state"] == "Compliant"
                && record["status"]["activity"] == "PatchedActive"
        });
    }
    stage.nodes_are_free();
    stage.serves();
}

/// What ran is told by the events and by the audit trail; how long a node's turn took, by the latter.
fn told(stage: &Stage, [first, patch, reboot]: [&Value; 3]) {
    let trail = Trail::gather(stage);
    let uid = |request: &Value| request["metadata"]["uid"].as_str().unwrap().to_owned();
    assert_eq!(NODES.map(|node| trail.jobs(node, &uid(first))), [1, 0, 0], "the canary alone");
    for request in [patch, reboot] {
        let class = &request["spec"]["plan"]["classes"][0];
        let plan = request["spec"]["planDigest"].as_str().unwrap();
        let transaction = class["transaction"].as_str().unwrap();
        for node in NODES {
            trail.names(node, &[&uid(request), "Patch 1", plan, transaction]);
        }
    }
    for node in NODES {
        trail.names(node, &[&uid(patch), "Restart 1", &format!("units {SERVICE}.service")]);
        let told = stage.told("Node", node);
        let claimed = |request| format!("NodeClaimed: {}: it is cordoned", name(request));
        let record = stage.get(&["managednode", node]);
        let ended = record["status"]["ended"].as_array().unwrap();
        for request in [patch, reboot] {
            let own = |ended: &&Value| ended["requestUID"] == *uid(request);
            assert_eq!(ended.iter().find(own).unwrap()["outcome"], "Proven", "{ended:?}");
            let claimed = claimed(request);
            assert!(told.iter().any(|told| told.starts_with(&claimed)), "{told:?}");
        }
    }
    for node in REST {
        trail.names(node, &[&uid(reboot), "Reboot 1"]);
        let reboots = format!("NodeRebooting: {}: it reboots", name(reboot));
        assert!(stage.told("Node", node).contains(&reboots));
    }
    for (request, what) in [(patch, "patch and restart"), (reboot, "patch and reboot")] {
        let rollout = stage.get(&["rollout", name(request)]);
        let rollout = rollout["metadata"]["uid"].as_str().unwrap();
        let canary = trail.turn(CANARY, rollout);
        for node in REST {
            let (claimed, released) = trail.turn(node, rollout);
            assert!(claimed > canary.1, "{node} came before the canary was through");
            let seconds = released.duration_since(claimed).as_secs_f64();
            println!("{seconds:6.1} s  of that: {node} from claim to release ({what})");
        }
    }
}
