//! The cluster as the cases find it: kinds, policies, roles, people with certificates, accounts with tokens, and one object of each
//! kind that is fought over.

use std::{collections::BTreeMap, time::Duration};

use hozen_access::{
    Installation,
    policies::{self, VERSION},
    rbac,
    standing::{self, Fault, Standing},
};
use hozen_api::baseline::EDITORS_MAX;
use hozen_testbed::{bed::Bed, certificates::Authority};
use kube::{
    Api, Client, Config, Error, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use crate::{
    cases::{Act, Case, STANDING, Who},
    nodes,
    objects::{self, IMAGE, NAMESPACE, WORK},
    tries::{self, Tries, api, object},
    workloads,
};

/// Between two looks at what another part of the cluster does soon; 400 looks are never.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
const LOOKS_MAX: u32 = 400;

pub struct Stage {
    admin: Client,
    clients: BTreeMap<Who, Client>,
    node_uid: String,
}

pub fn installation() -> Installation {
    Installation {
        namespace: NAMESPACE.to_owned(),
        work_namespace: WORK.to_owned(),
        agent_image: IMAGE.to_owned(),
    }
}

impl Stage {
    pub async fn set(bed: &Bed) -> Self {
        let file = Kubeconfig::read_from(bed.kubeconfig()).unwrap();
        let config = config(file).await;
        let admin = Client::try_from(config.clone()).unwrap();
        let mut stage = Self { admin, clients: BTreeMap::new(), node_uid: String::new() };
        for crd in hozen_api::crds::all_crds() {
            stage.make(&serde_json::to_value(crd).unwrap()).await;
        }
        for namespace in [NAMESPACE, WORK] {
            stage.make(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})).await;
        }
        for object in rbac::manifests(&installation()).iter().chain(&careless()) {
            stage.make(object).await;
        }
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n-a"}});
        stage.node_uid = stage.make(&node).await.uid().unwrap();
        for object in nodes::standing().iter().chain(&objects::earlier()) {
            stage.make(object).await;
        }
        for who in Who::PEOPLE {
            let client = person(bed, who.user()).await;
            stage.clients.insert(who, client);
        }
        stage.clients.insert(Who::Admin, stage.admin.clone());
        stage.tokens(&config).await;
        for who in [Who::JobController, Who::Collector, Who::NamespaceController, Who::Kubelet] {
            let mut config = config.clone();
            config.auth_info.impersonate = Some(who.user().to_owned());
            if who == Who::Kubelet {
                config.auth_info.impersonate_groups = Some(vec!["system:nodes".to_owned()]);
            }
            stage.clients.insert(who, Client::try_from(config).unwrap());
        }
        stage.kinds_are_served().await;
        for object in policies::manifests(&installation()) {
            stage.make(&object).await;
        }
        stage.furnish().await;
        stage
    }

    /// Tokens of our accounts; the scanner's is bound to a pod on node n-a, as the kubelet's are.
    async fn tokens(&mut self, config: &Config) {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "scanner", "namespace": NAMESPACE},
            "spec": {"nodeName": "n-a", "serviceAccountName": "hozen-scanner", "containers": [{"name": "report", "image": IMAGE}]}});
        let pod = self.make(&pod).await;
        let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": "scanner", "uid": pod.uid()});
        for (who, account, to) in [
            (Who::Operator, "hozen", None),
            (Who::Neighbour, "neighbour", None),
            (Who::Scanner, "hozen-scanner", Some(bound)),
            (Who::UnboundScanner, "hozen-scanner", None),
        ] {
            let mut spec =
                json!({"audiences": ["https://kubernetes.default.svc"], "expirationSeconds": 3600});
            if let Some(to) = to {
                spec["boundObjectRef"] = to;
            }
            let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
            let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token");
            let request = http::Request::post(path)
                .header("content-type", "application/json")
                .body(request.to_string().into_bytes())
                .unwrap();
            let answer: Value = self.admin.request(request).await.unwrap();
            let token = answer["status"]["token"].as_str().unwrap().to_owned();
            let mut config = config.clone();
            config.auth_info = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
            self.clients.insert(who, Client::try_from(config).unwrap());
        }
    }

    async fn kinds_are_served(&self) {
        for kind in ["Approval", "Baseline", "Rollout", "NodeInventory", "ApprovalPolicy"] {
            let api = api(&self.admin, "hozen.dev/v1alpha1", kind, None);
            until(kind, async || api.list(&ListParams::default()).await.ok()).await;
        }
    }

    /// What stands before the first case: each made by who may make it, through admission.
    async fn furnish(&self) {
        let operator = Who::Operator.user();
        let mut rejection = objects::approval("rejection", "bob", "platform");
        rejection["spec"]["decision"] = json!("Reject");
        let made = [
            (Who::Carol, objects::approval_policy("production", true)),
            (Who::Carol, objects::approval_policy("lax", false)),
            (Who::Carol, objects::baseline("web", "production", Some("carol"))),
            (Who::Carol, objects::baseline("db", "lax", None)),
            (Who::Alice, objects::approval("standing", "alice", "security")),
            (Who::Alice, objects::approval("withdrawn", "alice", "security")),
            (Who::Bob, rejection),
            (Who::Operator, objects::change_request(operator)),
            (Who::Operator, objects::rollout("ro")),
            (Who::Operator, objects::ours("ManagedNode", "n-a", &json!({"scan": "1"}))),
            (Who::Scanner, objects::report("n-a", &self.node_uid)),
            (Who::Operator, named(objects::job("standing"), "standing")),
            (Who::Operator, objects::errand("gate")),
            (
                Who::Scanner,
                objects::ours(
                    "PackageSet",
                    STANDING,
                    &json!({"packages": ["pkg:deb/debian/zlib1g@1"]}),
                ),
            ),
            (Who::Admin, workloads::deployment()),
            (Who::Admin, workloads::cron_job()),
            (Who::Operator, workloads::managed_image()),
            (
                Who::Admin,
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hozen-halt", "namespace": NAMESPACE}}),
            ),
            (Who::Carol, objects::baseline("fresh", "production", Some("carol"))),
            (Who::Carol, objects::baseline("crowded", "production", Some("carol"))),
            (Who::Operator, objects::rollout("ended")),
            (Who::Operator, named(objects::change_request(operator), "over")),
            (Who::Operator, objects::held_rollout("held")),
        ];
        self.policies_take_effect().await;
        for (who, what) in &made {
            let made = self.api(*who, what).create(&PostParams::default(), &object(what)).await;
            made.unwrap_or_else(|error| panic!("{who:?} makes {what}: {error}"));
        }
        self.note_editors(&made[2].1).await;
        let withdraw = json!({"spec": {"withdrawn": true}});
        self.api(Who::Alice, &made[5].1)
            .patch("withdrawn", &PatchParams::default(), &Patch::Merge(withdraw))
            .await
            .unwrap();
        self.handle_rollouts(&made[8].1).await;
        self.end(&made[7].1, "over", json!({"phase": "Done"})).await;
        for name in ["ended", "held"] {
            let ended = json!({"ended": "2026-11-19T13:02:11Z", "outcome": "Done"});
            self.end(&made[8].1, name, ended).await;
        }
        until("the Job controller makes the pod of our Job through the policies", async || {
            self.pod_of_the_job().await
        })
        .await;
    }

    /// They do a moment after they were made, one after the other.
    async fn policies_take_effect(&self) {
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let mut image = named(workloads::managed_image(), &format!("sha256-{}", "e".repeat(64)));
        image["spec"]["digest"] = json!(format!("sha256:{}", "e".repeat(64)));
        image["spec"]["packageSet"] = json!(format!("sha256-{}", "f".repeat(64)));
        let mut errand = objects::errand("forged");
        errand["spec"]["template"]["spec"]["hostPID"] = json!(true);
        let forged = [
            (Who::Operator, errand),
            (Who::Mallory, objects::approval("forged", "alice", "security")),
            (Who::Mallory, objects::rollout("forged")),
            (Who::Mallory, objects::ours("ManagedNode", "forged", &json!({}))),
            (Who::Operator, named(workloads::deployment(), "forged")),
            (Who::Operator, image),
        ];
        for (who, what) in &forged {
            let api = self.api(*who, what);
            until("the policies take effect", async || api.create(&dry, &object(what)).await.err())
                .await;
        }
    }

    /// One rollout shows failures, of which carol has accepted one; for another she has asked for another attempt.
    async fn handle_rollouts(&self, of: &Value) {
        let failure = |node| json!({"node": node, "step": "Patch", "message": "dpkg failed"});
        let failures = json!({"status": {"firstFailures": [failure("n-a"), failure("n-b")]}});
        self.api(Who::Operator, of)
            .patch_status("ro", &PatchParams::default(), &Patch::Merge(failures))
            .await
            .unwrap();
        let again = json!({"spec": {"retry": {"by": "carol"}}});
        self.api(Who::Carol, of)
            .patch("ended", &PatchParams::default(), &Patch::Merge(again))
            .await
            .unwrap();
        let accept =
            json!({"spec": {"acceptFailures": [{"node": "n-b", "uid": "u-b", "by": "carol"}]}});
        self.api(Who::Carol, of)
            .patch("ro", &PatchParams::default(), &Patch::Merge(accept))
            .await
            .unwrap();
    }

    /// What is over says so in its status.
    async fn end(&self, of: &Value, name: &str, status: Value) {
        let ended = json!({ "status": status });
        let api = self.api(Who::Operator, of);
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(ended)).await.unwrap();
    }

    /// Who edited a baseline stands in its status, where it was noted: one for one of them, as many as there can be for another.
    async fn note_editors(&self, of: &Value) {
        for (name, editors) in [("web", 1), ("crowded", EDITORS_MAX)] {
            let editor = |n| json!({"user": format!("editor-{n}"), "generation": 1, "at": "2026-11-19T13:02:11Z"});
            let editors: Vec<Value> = (0..editors).map(editor).collect();
            let noted = json!({"status": {"authors": {"generation": 1, "editors": editors}}});
            let api = self.api(Who::Operator, of);
            let noted = api.patch_status(name, &PatchParams::default(), &Patch::Merge(noted)).await;
            noted.unwrap();
        }
    }

    fn api(&self, who: Who, what: &Value) -> Api<DynamicObject> {
        tries::of(&self.clients[&who], what)
    }

    async fn make(&self, what: &Value) -> DynamicObject {
        let api = tries::of(&self.admin, what);
        until(&format!("{what} is made"), async || {
            match api.create(&PostParams::default(), &object(what)).await {
                // What the controller manager needs a moment for: a namespace's account, a new kind.
                Err(Error::Api(status)) if status.code == 403 || status.code == 404 => None,
                other => Some(other.unwrap_or_else(|error| panic!("{what}: {error}"))),
            }
        })
        .await
    }

    /// Tries a case; the error is what the server says.
    pub async fn tries(&self, case: &Case) -> Result<(), String> {
        let client = &self.clients[&case.by];
        let tries = Tries { client, node_uid: &self.node_uid, names: &[] };
        match &case.act {
            Act::Enter(door) => self.enters(client, door).await,
            Act::Pod(part, change) => self.changes_the_pod(client, part, change).await,
            act => match tries.act(act).await {
                Some(answer) => answer.map_err(|error| error.to_string()),
                None => Err("it is about a pod".to_owned()),
            },
        }
    }

    async fn pod_of_the_job(&self) -> Option<String> {
        let pods = api(&self.admin, "v1", "Pod", Some(WORK));
        let list = pods.list(&ListParams::default().labels("job-name=standing")).await.ok()?;
        list.items.first().map(ResourceExt::name_any)
    }

    async fn enters(&self, client: &Client, door: &str) -> Result<(), String> {
        let pod = self.pod_of_the_job().await.unwrap();
        let path = format!("/api/v1/namespaces/{WORK}/pods/{pod}/{door}");
        let request = http::Request::post(path).body(Vec::new()).unwrap();
        client.request_text(request).await.map(drop).map_err(|error| error.to_string())
    }

    async fn changes_the_pod(
        &self,
        client: &Client,
        part: &str,
        change: &Value,
    ) -> Result<(), String> {
        let pod = self.pod_of_the_job().await.unwrap();
        let path = format!("/api/v1/namespaces/{WORK}/pods/{pod}/{part}");
        let request = http::Request::patch(format!("{}?dryRun=All", path.trim_end_matches('/')))
            .header("content-type", "application/merge-patch+json")
            .body(change.to_string().into_bytes())
            .unwrap();
        client.request_text(request).await.map(drop).map_err(|error| error.to_string())
    }

    /// The server checks the types of every expression by itself, and writes what it does not like into the policy's status.
    pub async fn type_checked(&self) -> Result<(), String> {
        let api =
            api(&self.admin, "admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", None);
        for policy in policies::all(&installation()) {
            let found = until("the policy is checked", async || {
                api.get(policy.name)
                    .await
                    .ok()
                    .filter(|found| !found.data["status"]["observedGeneration"].is_null())
            })
            .await;
            let warnings = &found.data["status"]["typeChecking"]["expressionWarnings"];
            if !warnings.is_null() {
                return Err(format!("{}: {warnings}", policy.name));
            }
        }
        Ok(())
    }

    async fn standing(&self) -> Standing {
        let all = async |kind: &str| {
            let api = api(&self.admin, "admissionregistration.k8s.io/v1", kind, None);
            let list = api.list(&ListParams::default()).await.unwrap();
            list.items
                .iter()
                .map(|object| (object.name_any(), serde_json::to_value(object).unwrap()))
                .collect()
        };
        Standing {
            policies: all("ValidatingAdmissionPolicy").await,
            bindings: all("ValidatingAdmissionPolicyBinding").await,
        }
    }

    pub async fn stand(&self) -> Result<(), String> {
        let faults = standing::faults(&installation(), &self.standing().await);
        if faults.is_empty() { Ok(()) } else { Err(format!("{faults:?}")) }
    }

    /// Alters policies as somebody with the right to could, and hears what the operator would say.
    pub async fn altered(&self) -> Result<(), String> {
        let admission = "admissionregistration.k8s.io/v1";
        let policies = api(&self.admin, admission, "ValidatingAdmissionPolicy", None);
        let bindings = api(&self.admin, admission, "ValidatingAdmissionPolicyBinding", None);
        let merge = async |api: &Api<DynamicObject>, name: &str, change: Value| {
            api.patch(name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
        };
        merge(&policies, "hozen-approvals", json!({"spec": {"failurePolicy": "Ignore"}})).await;
        merge(
            &policies,
            "hozen-baselines",
            json!({"metadata": {"annotations": {"hozen.dev/policy-version": "99"}},
            "spec": {"validations": [{"expression": "true"}]}}),
        )
        .await;
        merge(&bindings, "hozen-nodes", json!({"spec": {"validationActions": ["Warn"]}})).await;
        bindings.delete("hozen-rollouts", &DeleteParams::default()).await.unwrap();
        let faults = standing::faults(&installation(), &self.standing().await);
        let told: Vec<String> = faults.iter().map(Fault::to_string).collect();
        let version = format!(
            "the admission policy hozen-baselines is of version 99, this program expects {VERSION}"
        );
        let expected = [
            "the admission policy hozen-approvals was altered at spec.failurePolicy",
            &version,
            "the binding of the admission policy hozen-nodes was altered at spec.validationActions[0]",
            "the binding of the admission policy hozen-rollouts is missing",
        ];
        if told == expected { Ok(()) } else { Err(format!("{told:?}")) }
    }
}

async fn config(file: Kubeconfig) -> Config {
    let mut config =
        Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    config
}

/// A person by client certificate, of the group `people`.
async fn person(bed: &Bed, name: &str) -> Client {
    let authority = Authority::open(&bed.folder.join("pki")).unwrap();
    let identity = authority.sign(name, Some("people"), &[]).unwrap();
    let text = authority.kubeconfig(&bed.up().unwrap().server(), &identity);
    Client::try_from(config(Kubeconfig::from_yaml(&text).unwrap()).await).unwrap()
}

/// RBAC as a careless administrator would have it, and the privileges of alice, bob and carol.
fn careless() -> Vec<Value> {
    let rbac = "rbac.authorization.k8s.io";
    let role = |name: &str, rules: Value| json!({"apiVersion": format!("{rbac}/v1"), "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules});
    let bind = |role: &str, kind: &str, name: &str| {
        let (group, namespace) =
            if kind == "ServiceAccount" { ("", Some(NAMESPACE)) } else { (rbac, None) };
        let mut subject = json!({"kind": kind, "name": name, "apiGroup": group});
        if let Some(namespace) = namespace {
            subject["namespace"] = json!(namespace);
        }
        json!({"apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("test-{role}-{name}")}, "subjects": [subject],
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": role}})
    };
    let privilege = |resource: &str, name: &str, verb: &str| json!({"apiGroups": ["hozen.dev"], "resources": [resource], "resourceNames": [name], "verbs": [verb]});
    let verbs =
        json!(["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]);
    vec![
        role(
            "test-people",
            json!([
                {"apiGroups": ["hozen.dev"], "resources": hozen_api::crds::all_crds().iter()
                    .flat_map(|crd| [crd.spec.names.plural.clone(), format!("{}/status", crd.spec.names.plural)]).collect::<Vec<_>>(), "verbs": verbs},
                {"apiGroups": ["", "apps", "batch"], "resources": ["configmaps", "secrets", "pods", "pods/status", "pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers", "jobs", "jobs/status", "cronjobs", "deployments"], "verbs": verbs},
            ]),
        ),
        bind("test-people", "Group", "people"),
        role("test-alice", json!([privilege("approvalroles", "security", "approve")])),
        bind("test-alice", "User", "alice"),
        role(
            "test-bob",
            json!([
                privilege("approvalroles", "platform", "approve"),
                privilege("approvalpolicies", "lax", "use")
            ]),
        ),
        bind("test-bob", "User", "bob"),
        role(
            "test-carol",
            json!([
                privilege("approvalpolicies", "production", "use"), privilege("approvalpolicies", "lax", "use"),
                {"apiGroups": ["hozen.dev"], "resources": ["rollouts"], "verbs": ["accept"]},
                privilege("halts", "hozen-halt", "set"),
                {"apiGroups": ["hozen.dev"], "resources": ["managedimages"], "verbs": ["import"]},
            ]),
        ),
        bind("test-carol", "User", "carol"),
        bind("cluster-admin", "ServiceAccount", "hozen"),
        bind("cluster-admin", "ServiceAccount", "hozen-scanner"),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "neighbour", "namespace": NAMESPACE}}),
        bind("cluster-admin", "ServiceAccount", "neighbour"),
        bind("cluster-admin", "User", Who::JobController.user()),
        bind("cluster-admin", "User", Who::Collector.user()),
        bind("cluster-admin", "User", Who::NamespaceController.user()),
        bind("cluster-admin", "User", Who::Kubelet.user()),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "snapshots", "namespace": NAMESPACE}}),
        role(
            "test-snapshots",
            json!([{"apiGroups": ["hozen.dev"], "resources": ["hosts"], "verbs": ["enter"]}]),
        ),
        bind("test-snapshots", "ServiceAccount", "snapshots"),
    ]
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS_MAX {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    panic!("never came to pass: {what}");
}

/// An object under another name.
fn named(mut object: Value, name: &str) -> Value {
    object["metadata"]["name"] = json!(name);
    object
}
