//! Cases of the namespace where privilege exists.

use serde_json::{Value, json};

use crate::{
    cases::{
        Act::{Create, Enter, Merge, Pod, Status},
        Answer::{Allowed, Refused},
        Case, Target,
        Who::{
            Admin, Collector, JobController, Kubelet, Mallory, NamespaceController, Operator,
            Scanner,
        },
        cases,
    },
    objects::{IMAGE, NAMESPACE, WORK, errand, job, pod, pod_spec},
};

const JOB: Target = ("batch/v1", "Job", Some(WORK));
const ERRAND: Target = ("batch/v1", "Job", Some(NAMESPACE));

/// Our Job with one thing changed in its pod.
fn with(change: impl FnOnce(&mut Value)) -> crate::cases::Act {
    let mut job = job("new");
    change(&mut job["spec"]["template"]["spec"]);
    Create(job)
}

/// Our Job with one field of its container set.
fn container(field: &'static str, value: Value) -> crate::cases::Act {
    with(|spec| spec["containers"][0][field] = value)
}

/// Our Job with one more volume.
fn volume(volume: Value) -> crate::cases::Act {
    with(|spec| {
        spec["volumes"].as_array_mut().unwrap().push(volume);
    })
}

pub fn all() -> Vec<Case> {
    let mut all = runs();
    all.extend(others());
    all.extend(orders());
    all.extend(errands());
    all
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn runs() -> Vec<Case> {
    let image = Refused("runs here");
    let ours = "only /hozen-agent runs here";
    let hooks = "hooks and no probes";
    let token = "holds no token";
    let mounts = "mounts its own annotations";
    let environment = "the environment of a Job here is its own";
    let exec = json!({"exec": {"command": ["/host/bin/sh"]}});
    let by_tag = IMAGE.replace("@sha256:", ":v1@sha256:");
    let mut second = pod_spec()["containers"][0].clone();
    second["name"] = json!("second");
    second["image"] = json!("evil.example.com/x@sha256:00");
    cases(
        "Patch Jobs, by the operator's stolen token",
        vec![
            ("the operator's own Job", Operator, Create(job("new")), Allowed),
            ("another image", Operator, container("image", json!("evil.example.com/x:1")), image),
            (
                "our image by a tag",
                Operator,
                container("image", json!("registry.example.com/hozen/agent:latest")),
                Refused("runs here"),
            ),
            (
                "our image by tag and digest",
                Operator,
                container("image", json!(by_tag)),
                Refused("runs here"),
            ),
            (
                "another program of our image",
                Operator,
                container("command", json!(["/host/bin/sh"])),
                Refused(ours),
            ),
            ("no program named", Operator, container("command", json!([])), Refused(ours)),
            (
                "another command of the agent",
                Operator,
                container("args", json!(["shell"])),
                Refused(ours),
            ),
            (
                "an option before the command",
                Operator,
                container("args", json!(["--config=/host/x", "apply"])),
                Refused(ours),
            ),
            (
                "a second container",
                Operator,
                with(|spec| spec["containers"].as_array_mut().unwrap().push(second.clone())),
                Refused("runs here"),
            ),
            (
                "an init container",
                Operator,
                with(|spec| spec["initContainers"] = json!([second])),
                Refused("runs here"),
            ),
            (
                "a hook that runs a shell of the host",
                Operator,
                container("lifecycle", json!({"postStart": exec})),
                Refused(hooks),
            ),
            (
                "a probe that runs a shell of the host",
                Operator,
                container("livenessProbe", exec),
                Refused(hooks),
            ),
            (
                "with a token",
                Operator,
                with(|spec| spec["automountServiceAccountToken"] = json!(null)),
                Refused(token),
            ),
            (
                "as another account",
                Operator,
                with(|spec| spec["serviceAccountName"] = json!("deployer")),
                Refused(token),
            ),
            (
                "a token by a projected volume",
                Operator,
                volume(
                    json!({"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}),
                ),
                Refused(mounts),
            ),
            (
                "a secret by a volume",
                Operator,
                volume(json!({"name": "t", "secret": {"secretName": "s"}})),
                Refused(mounts),
            ),
            (
                "a config map by a volume",
                Operator,
                volume(json!({"name": "t", "configMap": {"name": "c"}})),
                Refused(mounts),
            ),
            (
                "another folder of the host",
                Operator,
                volume(json!({"name": "t", "hostPath": {"path": "/etc/kubernetes"}})),
                Refused(mounts),
            ),
            (
                "a secret in the environment",
                Operator,
                container(
                    "env",
                    json!([{"name": "HOZEN_A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
                ),
                Refused(environment),
            ),
            (
                "all of a secret in the environment",
                Operator,
                container("envFrom", json!([{"secretRef": {"name": "s"}}])),
                Refused(environment),
            ),
            (
                "another loader by the environment",
                Operator,
                container("env", json!([{"name": "LD_PRELOAD", "value": "/host/x.so"}])),
                Refused(environment),
            ),
            (
                "on whichever node",
                Operator,
                with(|spec| spec["nodeName"] = json!(null)),
                Refused("made for one node"),
            ),
            (
                "an option after the command",
                Operator,
                container("args", json!(["apply", "--host=/"])),
                Refused(ours),
            ),
            (
                "with the node's network",
                Operator,
                with(|spec| spec["hostNetwork"] = json!(true)),
                Refused("shares no network, processes or memory"),
            ),
            (
                "with the node's processes",
                Operator,
                with(|spec| spec["hostPID"] = json!(true)),
                Refused("shares no network, processes or memory"),
            ),
            (
                "on several nodes at once",
                Operator,
                Create({
                    let mut job = job("new");
                    job["spec"]["parallelism"] = json!(50);
                    job
                }),
                Refused("one pod at a time"),
            ),
        ],
    )
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn others() -> Vec<Case> {
    let object = |version: &str, kind: &str, more: Value| {
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "new", "namespace": WORK}});
        for (key, value) in more.as_object().unwrap() {
            object[key] = value.clone();
        }
        object
    };
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "x", "image": "x"}]}});
    let debug = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "evil.example.com/x", "command": ["sh"], "targetContainerName": "agent"}]}});
    let door = "nobody enters a pod of a patch Job";
    let only = "this namespace is for patch Jobs";
    cases(
        "The namespace of the patch Jobs, by others",
        vec![
            (
                "mallory makes a Job just like ours",
                Mallory,
                Create(job("new")),
                Refused("patch Jobs are made by the operator"),
            ),
            (
                "the administrator makes a Job just like ours",
                Admin,
                Create(job("new")),
                Refused("patch Jobs are made by the operator"),
            ),
            (
                "the scanner makes a Job just like ours",
                Scanner,
                Create(job("new")),
                Refused("patch Jobs are made by the operator"),
            ),
            (
                "the Job controller makes the pod of our Job",
                JobController,
                Create(pod("new", pod_spec())),
                Allowed,
            ),
            (
                "the Job controller makes another pod",
                JobController,
                Create(pod("new", {
                    let mut spec = pod_spec();
                    spec["containers"][0]["image"] = json!("evil.example.com/x:1");
                    spec
                })),
                Refused("runs here"),
            ),
            (
                "the operator makes a pod without a Job",
                Operator,
                Create(pod("new", pod_spec())),
                Refused("pods are made here by the Job controller alone"),
            ),
            (
                "the administrator makes a pod",
                Admin,
                Create(pod("new", pod_spec())),
                Refused("pods are made here by the Job controller alone"),
            ),
            (
                "mallory adds a container to our pod",
                Mallory,
                Pod("ephemeralcontainers", debug.clone()),
                Refused("no container is added to a pod that holds privilege"),
            ),
            (
                "the administrator adds a container to our pod",
                Admin,
                Pod("ephemeralcontainers", debug),
                Refused("no container is added to a pod that holds privilege"),
            ),
            (
                "mallory opens a shell in our pod",
                Mallory,
                Enter("exec?container=agent&command=sh&stdout=true"),
                Refused(door),
            ),
            (
                "the administrator opens a shell in our pod",
                Admin,
                Enter("exec?container=agent&command=sh&stdout=true"),
                Refused(door),
            ),
            (
                "mallory attaches to our pod",
                Mallory,
                Enter("attach?container=agent&stdout=true"),
                Refused(door),
            ),
            ("mallory forwards a port of our pod", Mallory, Enter("portforward"), Refused(door)),
            (
                "mallory puts a secret there",
                Mallory,
                Create(object("v1", "Secret", json!({"stringData": {"a": "b"}}))),
                Refused("no secret but credentials of registries"),
            ),
            (
                "credentials of the registry that holds our image",
                Admin,
                Create(object(
                    "v1",
                    "Secret",
                    json!({"type": "kubernetes.io/dockerconfigjson",
                    "stringData": {".dockerconfigjson": "{\"auths\": {}}"}}),
                )),
                Allowed,
            ),
            (
                "mallory puts a Deployment there",
                Mallory,
                Create(object(
                    "apps/v1",
                    "Deployment",
                    json!({"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}),
                )),
                Refused(only),
            ),
            (
                "mallory puts a CronJob there",
                Mallory,
                Create(object(
                    "batch/v1",
                    "CronJob",
                    json!({"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "x", "image": "x"}]}}}}}}),
                )),
                Refused(only),
            ),
        ],
    )
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn orders() -> Vec<Case> {
    let annotated = |key: &str, value: Value| json!({"metadata": {"annotations": {key: value}}});
    let labelled = |key: &str| json!({"metadata": {"labels": {key: "other"}}});
    let stays = "the order of a patch Job stands on its pod";
    let said = "how a pod of a patch Job ended its kubelet says";
    let terminated = json!({"status": {"phase": "Succeeded", "containerStatuses": [{
        "name": "agent", "image": IMAGE, "imageID": IMAGE, "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 0, "message": "{}"}}}]}});
    let complete = json!({"status": {"active": 0, "succeeded": 1}});
    let let_go = json!({"metadata": {"finalizers": null}});
    let owner = json!({"metadata": {"ownerReferences": null}});
    cases(
        "Orders and answers of patch Jobs",
        vec![
            (
                "mallory rewrites the order on our pod",
                Mallory,
                Pod("", annotated("hozen.dev/order", json!("{\"step\": \"Rollback\"}"))),
                Refused(stays),
            ),
            (
                "mallory rewrites it by the pod's status",
                Mallory,
                Pod("status", annotated("hozen.dev/order", json!("{}x"))),
                Refused(stays),
            ),
            (
                "the administrator rewrites the plan on our pod",
                Admin,
                Pod("", annotated("hozen.dev/plan-json", json!("{}x"))),
                Refused(stays),
            ),
            (
                "the operator rewrites the order on its pod",
                Operator,
                Pod("", annotated("hozen.dev/order", json!("{}x"))),
                Refused(stays),
            ),
            (
                "mallory removes the order from our pod",
                Mallory,
                Pod("", annotated("hozen.dev/order", Value::Null)),
                Refused(stays),
            ),
            (
                "mallory adds a transaction to our pod",
                Mallory,
                Pod("", annotated("hozen.dev/transaction", json!("x"))),
                Refused(stays),
            ),
            (
                "a plug-in for networks annotates our pod",
                Mallory,
                Pod("status", annotated("example.com/address", json!("10.0.0.7"))),
                Allowed,
            ),
            (
                "mallory hides our pod from a drain's exceptions",
                Mallory,
                Pod("", labelled("hozen.dev/component")),
                Refused(stays),
            ),
            (
                "mallory has a second pod made by taking the first from its Job",
                Mallory,
                Pod("", labelled("batch.kubernetes.io/controller-uid")),
                Refused(stays),
            ),
            ("mallory takes our pod from its Job", Mallory, Pod("", owner), Refused(stays)),
            (
                "mallory writes our Job's order",
                Mallory,
                Merge(JOB, "standing", annotated("hozen.dev/plan", json!("sha256-q"))),
                Refused("patch Jobs are made by the operator"),
            ),
            (
                "another of kube-system's accounts stops our Job",
                NamespaceController,
                Merge(JOB, "standing", json!({"spec": {"suspend": true}})),
                Refused("patch Jobs are made by the operator"),
            ),
            (
                "mallory answers in the agent's place",
                Mallory,
                Pod("status", terminated.clone()),
                Refused(said),
            ),
            (
                "the operator answers in the agent's place",
                Operator,
                Pod("status", terminated.clone()),
                Refused(said),
            ),
            ("the kubelet says how our pod ended", Kubelet, Pod("status", terminated), Allowed),
            (
                "mallory writes that our Job has ended",
                Mallory,
                Status(JOB, "standing", complete.clone()),
                Refused("how a Job ended the Job controller says"),
            ),
            (
                "mallory writes that the Job of a gate has ended",
                Mallory,
                Status(ERRAND, "gate", complete.clone()),
                Refused("how a Job ended the Job controller says"),
            ),
            (
                "the Job controller counts a Job's pods",
                JobController,
                Status(ERRAND, "gate", complete),
                Allowed,
            ),
            (
                "a pod of an earlier release is let go",
                JobController,
                Merge(("v1", "Pod", Some(WORK)), "earlier", let_go.clone()),
                Allowed,
            ),
            (
                "a Job of an earlier release is let go",
                Collector,
                Merge(JOB, "earlier", let_go),
                Allowed,
            ),
        ],
    )
}

fn errands() -> Vec<Case> {
    let with = |field: &str, value: Value| {
        let mut job = errand("new");
        job["spec"]["template"]["spec"][field] = value;
        Create(job)
    };
    let privileged = json!([{"name": "test", "image": "evil.example.com/x", "securityContext": {"privileged": true}}]);
    let snapshot = |account: &str| {
        let mut job = errand("new");
        let spec = &mut job["spec"]["template"]["spec"];
        spec["serviceAccountName"] = json!(account);
        spec["volumes"] = json!([{"name": "host", "hostPath": {"path": "/"}}]);
        Create(job)
    };
    let host = "needs the verb enter on hosts";
    let account = "a Job here has none of Hozen's own accounts";
    cases(
        "Jobs in Hozen's own namespace, by the operator's stolen token",
        vec![
            ("the operator starts the Job of a gate", Operator, Create(errand("new")), Allowed),
            (
                "with the operator's account",
                Operator,
                with("serviceAccountName", json!("hozen")),
                Refused(account),
            ),
            (
                "with the scanner's account, to report whichever node",
                Operator,
                with("serviceAccountName", json!("hozen-scanner")),
                Refused(account),
            ),
            ("with privilege", Operator, with("containers", privileged.clone()), Refused(host)),
            (
                "with privilege, before it begins",
                Operator,
                with("initContainers", {
                    let mut first = privileged;
                    first[0]["name"] = json!("first");
                    first
                }),
                Refused(host),
            ),
            ("with the node's processes", Operator, with("hostPID", json!(true)), Refused(host)),
            ("with the node's network", Operator, with("hostNetwork", json!(true)), Refused(host)),
            ("with the node's files", Operator, snapshot("default"), Refused(host)),
            (
                "the operator starts a snapshot, whose account may see the host",
                Operator,
                snapshot("snapshots"),
                Allowed,
            ),
        ],
    )
}
