//! The agent on a real node of the test bed: its two containers as pods, its Jobs, with the node's own apt, systemd and kubelet.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot prepare its node fails"
)]

use std::{fs, path::Path, time::Duration};

use hozen_advisory::package::digest;
use hozen_agent::clock;
use hozen_testbed::{
    Removed, Wanted,
    bed::{self, Bed, State},
    clock::wait,
    control_plane::kubectl,
    image::{Content, Image, program},
    node::{self, Node},
    programs::{Missing, Programs},
};
use hozen_testkit::not_run;
use jiff::Timestamp;
use serde_json::{Value, json};

const NODE: &str = "node-1";
const IMAGE: &str = "hozen.test/hozen-agent:1";
const PATIENCE: Duration = Duration::from_mins(4);

struct Scene {
    bed: Removed,
    state: State,
}

impl Scene {
    fn new(test: &str) -> Option<Self> {
        let possible = Programs::find(Missing::Refuse).map(drop).and_then(|()| node::lacking());
        let program = match possible.and_then(|()| program("hozen-node-agent", "hozen-agent")) {
            Ok(program) => program,
            Err(why) => {
                not_run(test, &why.to_string());
                return None;
            }
        };
        let bed =
            Removed(Bed::open(&bed::home(), "agent-test").expect("nobody else uses this bed"));
        let wanted = Wanted { nodes: Some(1), ..Wanted::default() };
        let state = hozen_testbed::up(&bed.0, wanted, &mut |step| println!("{step}")).unwrap();
        let archive = bed.0.folder.join("agent.tar");
        let image = Image {
            reference: IMAGE.into(),
            entrypoint: vec!["/hozen-agent".into()],
            user: "65532:65532".into(),
            labels: [].into(),
            contents: [("hozen-agent".to_owned(), Content::File(program, 0o755))].into(),
        };
        image.write(&archive).unwrap();
        Node::find(&bed.0, &state, NODE).unwrap().load(&archive).unwrap();
        let scene = Self { bed, state };
        let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
        scene.kubectl(&["create", "-f", &crds.to_string_lossy()]);
        scene.kubectl(&["wait", "--for=condition=Established", "crd", "--all"]);
        Some(scene)
    }

    fn node(&self) -> Node<'_> {
        Node::find(&self.bed.0, &self.state, NODE).unwrap()
    }

    fn kubectl(&self, words: &[&str]) -> String {
        kubectl(&self.bed.0, &self.state, words).unwrap()
    }

    fn create(&self, objects: &[Value]) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let file = self.bed.0.folder.join("objects.json");
        fs::write(&file, list.to_string()).unwrap();
        self.kubectl(&["create", "-f", &file.to_string_lossy()]);
    }

    fn get(&self, words: &[&str]) -> Option<Value> {
        let words = [&["get", "-o", "json"], words].concat();
        let text = kubectl(&self.bed.0, &self.state, &words).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Waits for an object that is as wanted.
    fn await_object(&self, words: &[&str], wanted: impl Fn(&Value) -> bool) -> Value {
        wait(&words.join(" "), PATIENCE, || {
            let seen = self.get(words).unwrap_or_default();
            Ok(if wanted(&seen) { Ok(seen) } else { Err(self.scanner_log()) })
        })
        .unwrap()
    }

    fn scanner_log(&self) -> String {
        let words = ["logs", "-l", "app=scanner", "--all-containers", "--tail=5"];
        kubectl(&self.bed.0, &self.state, &words).unwrap_or_else(|error| error.to_string())
    }

    /// As the chart deploys it: one container sees the host and has no token, the other has the token and sees no host.
    fn deploy_scanner(&self) {
        let rules = json!([
            {"apiGroups": ["hozen.dev"], "resources": ["managednodes"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": ["hozen.dev"], "resources": ["nodeinventories"], "verbs": ["get", "create", "patch"]},
            {"apiGroups": ["hozen.dev"], "resources": ["packagesets", "transactions"], "verbs": ["get", "create"]},
        ]);
        let shared = json!({"name": "shared", "mountPath": "/shared"});
        let container = |name: &str, args: Value, security: Value, mounts: Value| {
            json!({"name": name, "image": IMAGE, "imagePullPolicy": "Never", "command": ["/hozen-agent"],
                "args": args, "securityContext": security, "volumeMounts": mounts,
                "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]})
        };
        let scan = container(
            "scan",
            json!(["scan", "--watch", "--refresh=6h", "--behind=0s"]),
            json!({"runAsUser": 0, "runAsGroup": 65532, "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"],
                "add": ["DAC_READ_SEARCH", "KILL", "SETGID", "SETUID", "SYS_CHROOT", "SYS_PTRACE"]}}),
            json!([shared, {"name": "host", "mountPath": "/host", "readOnly": true},
                {"name": "indices", "mountPath": "/indices"},
                {"name": "programs", "mountPath": "/indices/usr", "readOnly": true},
                {"name": "scratch", "mountPath": "/tmp"}]),
        );
        let report = container(
            "report",
            json!(["report"]),
            json!({"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]}}),
            json!([shared, {"name": "token", "readOnly": true,
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]),
        );
        let volumes = json!([
            {"name": "host", "hostPath": {"path": "/", "type": "Directory"}},
            {"name": "shared", "emptyDir": {}}, {"name": "scratch", "emptyDir": {}},
            {"name": "indices", "emptyDir": {}},
            {"name": "programs", "hostPath": {"path": "/usr", "type": "Directory"}},
            {"name": "token", "projected": {"defaultMode": 0o440, "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
            ]}},
        ]);
        let meta = json!({"name": "scanner"});
        self.create(&[
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}),
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": meta, "rules": rules}),
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": meta,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "scanner"},
                "subjects": [{"kind": "ServiceAccount", "name": "scanner", "namespace": "default"}]}),
            json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta, "spec": {
                "selector": {"matchLabels": {"app": "scanner"}},
                "template": {"metadata": {"labels": {"app": "scanner"}}, "spec": {
                    "serviceAccountName": "scanner", "automountServiceAccountToken": false,
                    "securityContext": {"fsGroup": 65532}, "dnsPolicy": "Default", "tolerations": [{"operator": "Exists"}],
                    "containers": [scan, report], "volumes": volumes}}}}),
        ]);
    }

    /// A Job as the contract has it (operator/docs/decisions/0007).
    fn start(&self, name: &str, verb: &str, step: &str, lines: &[String]) {
        let transaction: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        let named = digest(&transaction).to_string();
        let plan = json!({"classes": [{"transaction": named}]}).to_string();
        let node = self.get(&["node", NODE]).unwrap();
        let deadline = clock::now() + Duration::from_mins(30);
        let order = json!({"node": NODE, "nodeUID": node["metadata"]["uid"], "requestUID": name, "step": step,
            "machineID": node["status"]["nodeInfo"]["machineID"], "attempt": 1,
            "planDigest": digest(&plan).to_string(), "transaction": named, "deadline": deadline.to_string()});
        let data =
            json!({"order.json": order.to_string(), "plan.json": plan, "transaction": transaction});
        let container = json!({"name": "agent", "image": IMAGE, "imagePullPolicy": "Never",
            "command": ["/hozen-agent"], "args": [verb],
            "securityContext": {"privileged": true, "runAsUser": 0, "readOnlyRootFilesystem": true},
            "volumeMounts": [{"name": "order", "mountPath": "/hozen/order", "readOnly": true},
                {"name": "host", "mountPath": "/host"}]});
        let rules = json!([
            {"action": "FailJob", "onExitCodes": {"containerName": "agent", "operator": "In", "values": [3]}},
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        ]);
        self.create(&[
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data, "immutable": true}),
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {
                "backoffLimit": 20, "podReplacementPolicy": "Failed", "podFailurePolicy": {"rules": rules},
                "template": {"spec": {"nodeName": NODE, "restartPolicy": "Never",
                    "automountServiceAccountToken": false, "tolerations": [{"operator": "Exists"}],
                    "terminationGracePeriodSeconds": 0, "containers": [container], "volumes": [
                        {"name": "order", "configMap": {"name": name}},
                        {"name": "host", "hostPath": {"path": "/", "type": "Directory"}}]}}}}),
        ]);
    }

    /// Waits until a Job has ended; whether it succeeded, and its last answer.
    fn end(&self, name: &str) -> (bool, Value) {
        let job = self.await_object(&["job", name], |job| {
            let status = &job["status"];
            status["succeeded"] == 1 || status["conditions"].to_string().contains("\"Failed\"")
        });
        let pods = self.get(&["pods", "-l", &format!("job-name={name}")]).unwrap();
        let mut messages = pods["items"].as_array().unwrap().iter().filter_map(|pod| {
            let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
            serde_json::from_str(ended["message"].as_str()?).ok()
        });
        let answer = messages.next_back().unwrap_or_default();
        (job["status"]["succeeded"] == 1, answer)
    }

    fn version(&self, package: &str) -> String {
        self.node().exec(&["dpkg-query", "-W", "-f", "${Version} ${Status}", package]).unwrap()
    }

    /// The lines of the node's security transaction.
    fn pending(&self, inventory: &Value) -> Vec<String> {
        let resolved = inventory["report"]["transactions"].as_array().unwrap();
        let security = resolved.iter().find(|one| one["for"] == "security").unwrap();
        let name = security["transaction"].as_str().expect("it is resolved");
        let transaction = self.get(&["transaction", name]).unwrap();
        let lines = transaction["spec"]["changes"].as_array().unwrap().iter();
        lines.map(|line| line.as_str().unwrap().to_owned()).collect()
    }
}

fn count(text: &str, word: &str) -> usize {
    text.lines().filter(|line| line.contains(word)).count()
}

/// The lines of some packages.
fn of<'a>(lines: &'a [String], names: &'a [&str]) -> Vec<String> {
    let wanted = |line: &&String| names.iter().any(|name| line.starts_with(&format!("{name}:")));
    lines.iter().filter(wanted).cloned().collect()
}

#[test]
fn a_real_node_is_scanned_patched_proven_and_rebooted() {
    let Some(scene) = Scene::new("a_real_node_is_scanned_patched_proven_and_rebooted") else {
        return;
    };
    scene.deploy_scanner();
    let inventory =
        scene.await_object(&["nodeinventory", NODE], |found| found["report"].is_object());
    equals_what_apt_says(&scene, &inventory);
    brings_what_is_gone(&scene, &inventory);
    a_new_pod_goes_by_no_older_indices(&scene);
    let lines = scene.pending(&inventory);

    let openssl = of(&lines, &["openssl", "libssl3"]);
    assert_eq!(openssl.len(), 2, "{lines:?}");
    differing_is_refused(&scene, &openssl);
    let first = scene.await_object(&["nodeinventory", NODE], |_| true);
    scene.start("patch", "apply", "Patch", &openssl);
    let (success, answer) = scene.end("patch");
    assert!(success, "{answer}");
    rescan_proves_it(&scene, &first, &openssl);

    killed_and_started_again(&scene, &lines);
    reboots(&scene);
}

fn equals_what_apt_says(scene: &Scene, inventory: &Value) {
    let report = &inventory["report"];
    let listed = scene.node().exec(&["apt", "list", "--upgradable"]).unwrap();
    let security = listed
        .lines()
        .filter(|line| line.split(' ').next().unwrap_or_default().contains("-security"));
    assert_eq!(report["updates"]["security"], security.count(), "{listed}");
    let installed =
        scene.node().exec(&["dpkg-query", "-W", "-f", "${db:Status-Status}\n"]).unwrap();
    assert_eq!(report["packageCount"], count(&installed, "installed"));
    let uid = &scene.get(&["node", NODE]).unwrap()["metadata"]["uid"];
    assert_eq!(&report["nodeUID"], uid);
    let name = report["packageSet"].as_str().unwrap();
    let set = scene.get(&["packageset", name]).unwrap();
    assert_eq!(set["spec"]["packages"].as_array().unwrap().len(), count(&installed, "installed"));
}

/// As after another one took the name of what it reports, and the operator gave it back.
fn brings_what_is_gone(scene: &Scene, inventory: &Value) {
    let name = inventory["report"]["packageSet"].as_str().unwrap();
    let before = scene.get(&["packageset", name]).unwrap();
    scene.kubectl(&["delete", "packageset", name]);
    scene.create(&[json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "ManagedNode",
        "metadata": {"name": NODE}, "spec": {"scan": "7"}})]);
    scene.await_object(&["nodeinventory", NODE], |found| found["report"]["scan"] == "7");
    let again = scene.get(&["packageset", name]).expect("it comes before the report");
    assert_eq!(again["spec"], before["spec"]);
}

/// The scanner's own indices go with its pod, and those of the node are older: no report goes by them.
fn a_new_pod_goes_by_no_older_indices(scene: &Scene) {
    let of = |found: &Value| {
        let at = found["report"]["ready"]["indicesRefreshedAt"].as_str().unwrap_or_default();
        at.parse::<Timestamp>().unwrap_or(Timestamp::UNIX_EPOCH)
    };
    let since = |wish: Timestamp| {
        let spec = json!({"spec": {"scan": "8", "refresh": wish.to_string()}}).to_string();
        scene.kubectl(&["patch", "managednode", NODE, "--type=merge", "-p", &spec]);
        move |found: &Value| of(found) >= wish
    };
    let wish = Timestamp::from_second(clock::now().as_second()).unwrap();
    let before = scene.await_object(&["nodeinventory", NODE], since(wish));
    scene.kubectl(&["delete", "pod", "-l", "app=scanner"]);
    scene.await_object(&["nodeinventory", NODE], |found| {
        assert!(of(found) >= of(&before), "it went back: {}", scene.scanner_log());
        of(found) > of(&before)
    });
    let log = scene.kubectl(&["logs", "-l", "app=scanner", "-c", "report", "--tail=-1"]);
    assert!(log.contains(&format!("the last report went by indices of {}", of(&before))), "{log}");
}

fn differing_is_refused(scene: &Scene, lines: &[String]) {
    let before = scene.version("openssl");
    // Another archive than the one that the repository offers.
    let other: Vec<String> = lines
        .iter()
        .map(|line| format!("{} {}", line.rsplit_once(' ').unwrap().0, "0".repeat(64)))
        .collect();
    scene.start("differs", "apply", "Patch", &other);
    let (success, answer) = scene.end("differs");
    assert!(!success);
    assert_eq!((&answer["result"], &answer["class"]), (&json!("Refused"), &json!("Difference")));
    assert!(answer["message"].as_str().unwrap().contains("is approved"), "{answer}");
    assert_eq!(scene.version("openssl"), before);
}

fn rescan_proves_it(scene: &Scene, before: &Value, lines: &[String]) {
    let set = &before["report"]["packageSet"];
    let after = scene.await_object(&["nodeinventory", NODE], |found| {
        found["report"]["packageSet"] != *set && found["report"]["unfinished"].is_null()
    });
    let name = after["report"]["packageSet"].as_str().unwrap();
    let set = scene.get(&["packageset", name]).unwrap()["spec"]["packages"].to_string();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let package = words[0].split(':').next().unwrap();
        let version = words[2].replace('~', "%7E").replace('+', "%2B").replace(':', "%3A");
        let plain = format!("/{package}@{}", words[2]);
        assert!(set.contains(&plain) || set.contains(&format!("/{package}@{version}")), "{line}");
    }
}

/// The pod is deleted in mid-install; the next pod of the Job finds the work going on, or done.
fn killed_and_started_again(scene: &Scene, lines: &[String]) {
    let rest: Vec<String> = lines
        .iter()
        .filter(|line| !line.starts_with("openssl:") && !line.starts_with("libssl3:"))
        .cloned()
        .collect();
    scene.start("killed", "apply", "Patch", &rest);
    wait("the installation to begin", PATIENCE, || {
        let log = kubectl(&scene.bed.0, &scene.state, &["logs", "job/killed"]).unwrap_or_default();
        Ok(if log.contains("install: begins") { Ok(()) } else { Err(log) })
    })
    .unwrap();
    scene.kubectl(&["delete", "pod", "-l", "job-name=killed", "--grace-period=0", "--force"]);
    let (success, answer) = scene.end("killed");
    assert!(success, "{answer}");
    assert_eq!(scene.node().exec(&["dpkg", "--audit"]).unwrap(), "");
    // What the archive has published since the plan was made stays pending: it was never approved.
    for line in &rest {
        let words: Vec<&str> = line.split(' ').collect();
        let wanted = format!("{} install ok installed", words[2]);
        assert_eq!(scene.version(words[0].split(':').next().unwrap()), wanted, "{line}");
    }
}

fn reboots(scene: &Scene) {
    let before = scene.node().boot_id();
    scene.start("reboot", "reboot", "Reboot", &[]);
    wait("another boot id", PATIENCE, || {
        let now = scene.node().boot_id();
        Ok(if now == before || now.is_empty() { Err(now) } else { Ok(()) })
    })
    .unwrap();
    scene.node().wait_ready().unwrap();
    let (success, answer) = scene.end("reboot");
    assert!(success, "{answer}");
}
