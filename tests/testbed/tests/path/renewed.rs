//! Updates of more than a service of the tests: of the daemons that a patch Job itself hangs by, and what Debian's security pocket has for nginx.

use std::collections::BTreeSet;

use hozen_api::job::{Answer, AnswerResult};
use serde_json::{Value, json};

use crate::{
    daemons, debian,
    publisher::Publisher,
    stage::{NODES, Stage},
};

/// Nodes that get new daemons: the first has them restarted under the Job, of the second containerd takes every pod along, that of the Job too.
pub const DAEMONS: [&str; 2] = ["node-1", "node-2"];
const HARSH: &str = DAEMONS[1];
const KUBELET: &str = "hozen-test-kubelet";
/// The node that gets what Debian has.
const DEBIAN: &str = "node-3";

/// Publishes all of that, until people are asked for it; whether the machine's mirrors have something for nginx.
pub fn asked(stage: &Stage, publisher: &Publisher, test: &str) -> bool {
    debian::serves(stage);
    daemons::make_harsh(stage, HARSH);
    let has_debian = debian::give_security_pocket(stage, DEBIAN, test);
    daemons::publish(stage, publisher);
    stage.look();
    stage.reports_equal_apt();
    let (daemons, debian) = stage.until("people are asked for all of it", || {
        let daemons = asking(stage, KUBELET, DAEMONS.len());
        let of_debian = asking(stage, "nginx", 1);
        match (daemons, of_debian) {
            (Some(daemons), of_debian) if of_debian.is_some() == has_debian => {
                Ok((daemons, of_debian))
            }
            _ => Err(stage.kubectl(&["get", "chg"])),
        }
    });
    let class = class_with(stage, &daemons, KUBELET).unwrap();
    assert_eq!(class["restart"], json!(["containerd.service", "kubelet.service"]), "{class:#}");
    // Pods that stay on the node, as the scanner's, are kept by the old code until they end.
    assert_eq!(class["reboot"], true, "{class:#}");
    if let Some(class) = debian.as_ref().and_then(|asks| class_with(stage, asks, "nginx")) {
        let changes: BTreeSet<String> = stage.changes(&class).into_iter().collect();
        assert_eq!(changes, stage.upgradable(DEBIAN), "the plan has what apt says");
        let restarts = class["restart"].as_array().unwrap();
        assert!(restarts.contains(&json!(debian::NGINX)), "{class:#}");
    }
    has_debian
}

/// The request that waits for people and changes a package on so many nodes, or more.
fn asking(stage: &Stage, package: &str, nodes: usize) -> Option<Value> {
    let all = stage.get(&["changerequests"]);
    let waiting = all["items"].as_array()?.iter();
    let mut waiting = waiting.filter(|request| request["status"]["phase"] == "AwaitingApproval");
    let asks = |request: &&Value| {
        let class = class_with(stage, request, package);
        class.is_some_and(|class| class["nodesMax"].as_u64() >= Some(nodes as u64))
    };
    waiting.find(asks).cloned()
}

/// The class of a plan that changes a package.
fn class_with(stage: &Stage, request: &Value, package: &str) -> Option<Value> {
    let classes = request["spec"]["plan"]["classes"].as_array()?.iter();
    let begin = format!("{package}:");
    let changes = |class: &&Value| stage.changes(class).iter().any(|one| one.starts_with(&begin));
    classes.into_iter().find(changes).cloned()
}

/// Two people agree to what changes a package on so many nodes: to the request that asks for it now, which another may take the place of while they
/// do; and where one request asks for all it is agreed to already.
fn agreed(stage: &Stage, package: &str, nodes: usize) -> Value {
    stage.until(&format!("people agree to {package}"), || {
        let all = stage.get(&["changerequests"]);
        let under_way = all["items"].as_array().into_iter().flatten().find(|request| {
            ["Approved", "Running"].iter().any(|phase| request["status"]["phase"] == *phase)
                && class_with(stage, request, package).is_some()
        });
        if let Some(request) = under_way {
            return Ok(request.clone());
        }
        let request = asking(stage, package, nodes);
        let request = request.ok_or_else(|| stage.kubectl(&["get", "chg"]))?;
        stage.agrees(&request).map(|()| request)
    })
}

/// What was asked for is done; `debian` is whether Debian had something.
pub fn done(stage: &Stage, debian: bool) {
    let before = NODES.map(|node| stage.identity(node));
    let earlier = debian::processes(stage, DEBIAN);
    assert_eq!(earlier.old, 0);
    let daemons = agreed(stage, KUBELET, DAEMONS.len());
    // What Debian has may replace what the system bus runs, which no restart brings up.
    let mut boots = vec![DAEMONS[0]];
    if debian {
        let request = &agreed(stage, "nginx", 1);
        if class_with(stage, request, "nginx").unwrap()["reboot"] == true {
            boots.push(DEBIAN);
        }
        stage.seen("nginx runs its old code", &["nodeinventory", DEBIAN], |inventory| {
            inventory["report"]["stale"].to_string().contains(debian::NGINX)
        });
        stage.seen("it is patched and inactive", &["managednode", DEBIAN], |record| {
            record["status"]["activity"] == "PatchedInactive"
        });
        stage.is_done_on(request, &[DEBIAN]);
    }
    stage.is_done_on(&daemons, &DAEMONS);
    let now = NODES.map(|node| stage.identity(node));
    for ((node, before), now) in NODES.iter().zip(before).zip(now) {
        assert_eq!(before.0, now.0, "{node}");
        // Where every pod was ended nothing is kept by old code: no reboot is due.
        assert_eq!(before.1 != now.1, boots.contains(node), "{node} boots where it has to");
        if debian || *node != DEBIAN {
            stage.seen("as it must be", &["managednode", node], |record| {
                record["status"]["state"] == "Compliant"
                    && record["status"]["activity"] == "PatchedActive"
            });
        }
        assert_eq!(stage.reported(node), stage.upgradable(node));
    }
    for node in DAEMONS {
        answered_once(stage, node);
        daemons::runs(stage, node, "1.1");
        let keepers = daemons::keepers(stage, node);
        let new = "/usr/lib/hozen-test-containerd/containerd-shim-runc-v2";
        assert!(!keepers.is_empty() && keepers.iter().all(|one| one == new), "{keepers:?}");
    }
    if debian {
        assert_eq!(stage.upgradable(DEBIAN), [].into());
        let nginx = debian::processes(stage, DEBIAN);
        assert_eq!(nginx.old, 0);
        // After a boot it is another process, and may have the number that it had.
        assert!(nginx.main != earlier.main || boots.contains(&DEBIAN), "it was restarted");
    }
    debian::serves(stage);
    stage.nodes_are_free();
    stage.serves();
}

/// The work was begun once, whatever became of the pods that asked for it, and the last of them ended with the one answer.
fn answered_once(stage: &Stage, node: &str) {
    let course = daemons::course(stage, node);
    assert_eq!(course.begins, ["start 1"], "{node}");
    let well: Vec<_> = course.pods.iter().filter(|(code, _)| *code == Some(0)).collect();
    let [(_, Some(answer))] = &well[..] else { panic!("{node}: {:#?}", course.pods) };
    let others = course.pods.iter().filter_map(|(_, answer)| answer.as_ref());
    assert!(others.into_iter().all(|other| other == answer), "{node}: {:#?}", course.pods);
    let answer: Answer = serde_json::from_value(answer.clone()).unwrap();
    assert_eq!(answer.result, AnswerResult::Done, "{node}: {answer:?}");
    let message = "2 packages have their approved versions";
    assert_eq!(answer.message, message, "{node}");
    assert!(course.log.contains(message), "{node}: {}", course.log);
    // Only there was the pod itself ended.
    assert_eq!(course.pods.len() > 1, node == HARSH, "{node}: {:#?}", course.pods);
}
