//! Nodes with packages of the tests' own: what is pending is known, a Job upgrades one node, and the other is untouched.

use hozen_testbed::{
    Wanted,
    control_plane::kubectl,
    image,
    node::Node,
    packages::{self, Packages, Pending},
};
use serde_json::{Value, json};

use crate::{
    await_output, bed, create,
    updates::{expected, simulated},
};

fn version(node: &Node, package: &str) -> String {
    let format = "--showformat=${Version} ${db:Status-Status}";
    node.exec(&["dpkg-query", "--show", format, package]).expect("dpkg knows it")
}

/// A pod that runs a script of busybox; without a token.
fn pod(script: &str, more: &Value) -> Value {
    let mut spec = json!({
        "automountServiceAccountToken": false,
        "terminationGracePeriodSeconds": 0,
        "containers": [{
            "name": "c", "image": image::BUSYBOX, "imagePullPolicy": "Never",
            "command": ["/bin/busybox", "sh", "-c", script],
            "securityContext": {"privileged": true},
        }],
    });
    for (key, value) in more.as_object().expect("fields") {
        spec[key] = value.clone();
    }
    spec
}

#[test]
fn a_job_without_a_token_upgrades_one_node_and_the_other_is_untouched() {
    let Some(bed) = bed("a_job_without_a_token_upgrades_one_node", "packages-test") else {
        return;
    };
    let wanted = Wanted { nodes: Some(2), packages: Packages::Failing, ..Wanted::default() };
    let state =
        hozen_testbed::up(&bed.0, wanted, &mut |step| println!("{step}")).expect("it comes up");
    let find = |name| Node::find(&bed.0, &state, name).expect("there is such a node");
    let (patched, other) = (find("node-1"), find("node-2"));

    let expected = expected(Packages::Failing);
    for node in [&patched, &other] {
        assert_eq!(simulated(node), expected, "nothing else is pending on {}", node.name);
        let sources = node.exec(&["apt-get", "indextargets", "--format", "$(URI)"]).expect("uris");
        assert!(sources.lines().all(|uri| uri.starts_with("file:/")), "{sources}");
    }
    daemon_set_runs_on_both(&bed.0, &state);

    let good = packages::pending(Packages::Test).expect("they are known");
    let names: Vec<&str> = good.iter().map(|one| one.name).collect();
    let script = format!(
        "busybox nsenter -t 1 -m -u -i -n -p -- /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin \
         DEBIAN_FRONTEND=noninteractive apt-get install --yes --only-upgrade {} && \
         ! test -e /var/run/secrets/kubernetes.io && echo done",
        names.join(" ")
    );
    let on = json!({"nodeName": patched.name, "hostPID": true, "restartPolicy": "Never"});
    create(
        &bed.0,
        &state,
        &json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "patch"},
        "spec": {"backoffLimit": 0, "template": {"spec": pod(&script, &on)}}}),
    );
    let query = ["get", "job", "patch", "--output=jsonpath={.status.succeeded}{.status.failed}"];
    let ended = await_output(&bed.0, &state, &query, |seen| seen == "1");
    let log = kubectl(&bed.0, &state, &["logs", "job/patch"]).expect("its log");
    assert!(log.ends_with("done\n"), "{ended}: {log}");

    for Pending { name, installed, pending } in good {
        assert_eq!(version(&patched, name), format!("{pending} installed"));
        assert_eq!(version(&other, name), format!("{installed} installed"));
    }
    assert_eq!(simulated(&other), expected);
    let wants_reboot = |node: &Node| node.exec(&["cat", "/run/reboot-required.pkgs"]);
    assert_eq!(wants_reboot(&patched).expect("it asks for one").trim(), "hozen-test-reboot");
    wants_reboot(&other).expect_err("nobody asks the other node for a reboot");
    let program = |node: &Node| {
        let script =
            "readlink /proc/$(systemctl show --property=MainPID --value hozen-test-service)/exe";
        node.exec(&["sh", "-c", script]).expect("the service runs").trim().to_owned()
    };
    assert!(program(&patched).ends_with("busybox (deleted)"), "it runs the old program");
    assert!(program(&other).ends_with("busybox"));

    let failing = ["apt-get", "install", "--yes", "--only-upgrade", "hozen-test-failing"];
    let why = patched.exec(&failing).expect_err("this one fails").to_string();
    assert!(why.contains("this installation fails, as it should"), "{why}");
    assert_eq!(version(&patched, "hozen-test-failing"), "1.1 half-configured");
}

fn daemon_set_runs_on_both(bed: &hozen_testbed::bed::Bed, state: &hozen_testbed::bed::State) {
    let labels = json!({"app": "everywhere"});
    create(
        bed,
        state,
        &json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "everywhere"},
        "spec": {"selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels}, "spec": pod("busybox sleep 100000", &json!({}))}}}),
    );
    let query = ["get", "daemonset", "everywhere", "--output=jsonpath={.status.numberReady}"];
    await_output(bed, state, &query, |seen| seen == "2");
    let query =
        ["get", "pods", "--selector=app=everywhere", "--output=jsonpath={.items[*].spec.nodeName}"];
    let on = kubectl(bed, state, &query).expect("its pods");
    let mut on: Vec<&str> = on.split(' ').collect();
    on.sort_unstable();
    assert_eq!(on, ["node-1", "node-2"]);
}
