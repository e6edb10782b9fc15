//! A cluster with the chart installed, people with certificates, and objects as the operator writes them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use hozen_testbed::{
    bed::{Bed, State},
    certificates::{Authority, write_private},
    control_plane,
};
use serde_json::{Value, json};

/// The operator's name in the cluster.
pub const OPERATOR: &str = "system:serviceaccount:hozen-system:hozen";
const SCANNER: &str = "system:serviceaccount:hozen-system:hozen-scanner";
/// What the package set of the plan changes.
const CHANGES: [&str; 2] = [
    "libssl3:amd64 3.0.20-1~deb12u2 3.0.22-1~deb12u2 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "openssl:amd64 3.0.20-1~deb12u2 3.0.22-1~deb12u2 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
];

/// Takes the bed down whatever becomes of the cases.
pub struct Cluster {
    bed: Bed,
    state: State,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        hozen_testbed::down(&self.bed).expect("the bed can be removed");
    }
}

/// What a command answered.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Answer {
    /// It did what was asked, and said this.
    pub fn says(self, words: &str) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        assert!(self.out.contains(words), "no {words:?} in {self:#?}");
        self
    }

    /// It did not, and said why.
    pub fn refuses(self, words: &str) {
        assert_eq!(self.code, 2, "{self:?}");
        let told = self.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains(words), "no {words:?} in {told}");
    }
}

impl Cluster {
    pub fn install(bed: Bed, state: State) -> Self {
        let cluster = Self { bed, state };
        for (user, group) in [
            ("alice", "web"),
            ("bob", "web"),
            ("carol", "sre"),
            ("dave", "web"),
            ("mallory", "web"),
        ] {
            cluster.person(user, group);
        }
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/hozen");
        let values = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/values.yaml");
        let helm = Command::new(cluster.state.programs.join("helm"))
            .args(["install", "hozen"])
            .arg(chart)
            .args(["--namespace", "hozen-system", "--create-namespace", "--values"])
            .arg(values)
            .arg("--kubeconfig")
            .arg(cluster.bed.kubeconfig())
            .envs(
                ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"]
                    .map(|name| (name, cluster.bed.folder.join("helm"))),
            )
            .output()
            .expect("helm runs");
        assert!(helm.status.success(), "{}", String::from_utf8_lossy(&helm.stderr));
        // kubectl reads a status before it patches one; the operator does not.
        let statuses = "baselines.hozen.dev/status,changerequests.hozen.dev/status,managedimages.hozen.dev/status,rollouts.hozen.dev/status";
        cluster.grant("test-status", "get", statuses);
        cluster.wait_for_policies();
        // No scanner runs here.
        cluster.make_as(SCANNER, &Self::transaction());
        cluster
    }

    /// Lets the operator's account do what only this test does with it.
    fn grant(&self, role: &str, verb: &str, resource: &str) {
        self.kubectl(&["create", "clusterrole", role, "--verb", verb, "--resource", resource]);
        let bound = ["--clusterrole", role, "--serviceaccount", "hozen-system:hozen"];
        self.kubectl(&[&["create", "clusterrolebinding", role][..], &bound].concat());
    }

    /// Policies take effect a moment after they were made: until then a forgery passes its dry run.
    fn wait_for_policies(&self) {
        let forged = json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "ManagedNode", "metadata": {"name": "forged"}, "spec": {}});
        let file = self.file(&forged);
        let what = "the policies take effect";
        hozen_testbed::clock::wait(what, std::time::Duration::from_mins(1), || {
            let file = file.to_string_lossy().into_owned();
            let dry = ["create", "--dry-run=server", "-f", &file];
            Ok(match control_plane::kubectl(&self.bed, &self.state, &dry) {
                Err(error) if error.to_string().contains("written by Hozen alone") => Ok(()),
                other => Err(format!("{other:?}")),
            })
        })
        .expect(what);
    }

    fn person(&self, user: &str, group: &str) {
        let authority = Authority::open(&self.bed.folder.join("pki")).unwrap();
        let identity = authority.sign(user, Some(group), &[]).unwrap();
        let text = authority.kubeconfig(&self.state.server(), &identity);
        write_private(&self.kubeconfig(user), &text).unwrap();
    }

    fn kubeconfig(&self, user: &str) -> PathBuf {
        match user {
            "admin" => self.bed.kubeconfig(),
            user => self.bed.folder.join(format!("user-{user}.kubeconfig")),
        }
    }

    /// The command, by the file that kubectl finds as its plugin.
    pub fn hozen(&self, user: &str, arguments: &[&str]) -> Answer {
        let plugin = self.bed.folder.join("kubectl-hozen");
        if !plugin.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hozen"), &plugin).unwrap();
        }
        let path = std::env::join_paths([&self.bed.folder, &self.state.programs]).unwrap();
        let output = Command::new(self.state.programs.join("kubectl"))
            .arg("hozen")
            .args(arguments)
            .env("PATH", path)
            .env("KUBECONFIG", self.kubeconfig(user))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Answer {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// kubectl by the administrator; what it printed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        control_plane::kubectl(&self.bed, &self.state, arguments).unwrap()
    }

    /// An object, as the administrator sees it.
    pub fn json(&self, what: &[&str]) -> Value {
        let arguments = [&["get", "--output", "json"], what].concat();
        serde_json::from_str(&self.kubectl(&arguments)).unwrap()
    }

    fn file(&self, object: &Value) -> PathBuf {
        let name = object["metadata"]["name"].as_str().unwrap();
        let file =
            self.bed.folder.join(format!("{}-{name}.json", object["kind"].as_str().unwrap()));
        fs::write(&file, object.to_string()).unwrap();
        file
    }

    /// Creates an object as the administrator.
    pub fn make(&self, object: &Value) {
        let file = self.file(object);
        self.kubectl(&["create", "-f", &file.to_string_lossy()]);
    }

    /// Creates an object as somebody.
    pub fn make_as(&self, user: &str, object: &Value) {
        let file = self.file(object);
        self.kubectl(&[
            "create",
            "--as",
            user,
            "--as-group",
            "system:authenticated",
            "-f",
            &file.to_string_lossy(),
        ]);
    }

    /// Writes a status as the operator does.
    pub fn status(&self, kind: &str, name: &str, status: &Value) {
        let patch = json!({ "status": status }).to_string();
        self.kubectl(&[
            "patch",
            kind,
            name,
            "--as",
            OPERATOR,
            "--as-group",
            "system:authenticated",
            "--subresource",
            "status",
            "--type",
            "merge",
            "--patch",
            &patch,
        ]);
    }

    fn transaction() -> Value {
        let text = CHANGES.map(|line| format!("{line}\n")).concat();
        let name = hozen_advisory::package::digest(&text);
        json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "Transaction", "metadata": {"name": name.to_string()}, "spec": {"changes": CHANGES}})
    }

    /// A request of this name, made by the operator; its plan brings the transaction to five nodes.
    pub fn request(&self, name: &str, change: impl FnOnce(&mut Value)) -> Value {
        self.request_of(name, OPERATOR, change)
    }

    /// The same, made by somebody.
    pub fn request_of(&self, name: &str, by: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut request: Value = serde_json::from_str(include_str!("change-request.json")).unwrap();
        request["metadata"]["name"] = json!(name);
        request["spec"]["requestedBy"] = json!(by);
        request["spec"]["planDigest"] = json!("");
        let plan = &mut request["spec"]["plan"];
        plan["classes"][0]["transaction"] = Self::transaction()["metadata"]["name"].clone();
        plan["needs"]["roles"] =
            json!([{"name": "platform", "count": 1}, {"name": "security", "count": 1}]);
        change(&mut request);
        if request["spec"]["planDigest"] == *"" {
            let typed = serde_json::from_value(request["spec"]["plan"].clone()).unwrap();
            let digest = hozen_intake::convert::plan::plan(&typed).unwrap().digest().unwrap();
            request["spec"]["planDigest"] = json!(digest);
        }
        self.make_as(by, &request);
        request
    }

    /// The manifest of a node, as a file.
    pub fn node(&self, name: &str) -> String {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
        self.file(&node).to_string_lossy().into_owned()
    }

    /// A rollout of this name, made by the operator, of the request of this name.
    pub fn rollout_of(&self, name: &str) {
        let request = self.json(&["changerequest", name]);
        self.rollout_by(name, &request["metadata"]["uid"], &request["spec"]["planDigest"]);
    }

    /// A rollout of this name, made by the operator; its request is not there.
    pub fn rollout(&self, name: &str) {
        let digest = format!("sha256-{}", "a".repeat(64));
        self.rollout_by(name, &json!("5f1c1c5e"), &json!(digest));
    }

    fn rollout_by(&self, name: &str, uid: &Value, digest: &Value) {
        self.make_as(OPERATOR, &json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "Rollout", "metadata": {"name": name},
            "spec": {"changeRequest": {"name": name, "uid": uid, "planDigest": digest}}}));
    }
}
