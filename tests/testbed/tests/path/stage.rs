//! Three real nodes with the chart installed, images without a registry, and people with certificates.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use hozen_testbed::{
    Removed, Wanted,
    bed::{self, Bed, State},
    certificates::{Authority, write_private},
    clock::{Moment, wait},
    control_plane,
    image::{BUSYBOX, Content, Image, program},
    node::{self, Node},
    not_run,
    packages::Packages,
    process,
    programs::{Missing, Programs},
};
use serde_json::{Value, json};

use crate::{daemons, publisher::Publisher, renewed};

pub const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];
/// Where the operator and the scanner run.
pub const NAMESPACE: &str = "hozen-system";
/// People, each with the group of their certificate. Dave writes baselines, and belongs to a team that approves.
const PEOPLE: [(&str, &str); 5] = [
    ("alice", "platform-team"),
    ("bob", "security-team"),
    ("carol", "governance"),
    ("dave", "platform-team"),
    ("mallory", "interns"),
];
/// How long anything may take on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_mins(4);

/// What a command answered.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Self { code, out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Answer {
    /// It did what was asked, and said this.
    pub fn says(self, words: &str) {
        assert_eq!(self.code, 0, "{self:?}");
        assert!(self.out.contains(words), "no {words:?} in {self:#?}");
    }

    /// It did not, and said why.
    pub fn refuses(self, words: &str) {
        assert_ne!(self.code, 0, "{self:?}");
        let told = self.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains(words), "no {words:?} in {told}");
    }
}

/// Says how long each part of the story took.
pub struct Watch {
    start: Moment,
    since: Moment,
    pub parts: Vec<(String, Duration)>,
}

impl Watch {
    pub fn start() -> Self {
        Self { start: Moment::now(), since: Moment::now(), parts: Vec::new() }
    }

    /// What took the time since the last part.
    pub fn lap(&mut self, what: &str) {
        let took = self.since.elapsed();
        println!("{:6.1} s  {what}", took.as_secs_f64());
        self.parts.push((what.to_owned(), took));
        self.since = Moment::now();
    }

    pub fn total(&self) -> Duration {
        self.start.elapsed()
    }
}

/// The cluster. It is taken down with this.
pub struct Stage {
    bed: Removed,
    state: State,
    /// The command.
    pub hozen: PathBuf,
    /// The agent.
    pub agent: PathBuf,
}

impl Stage {
    /// Brings it up with everything installed, or says what is missing for that.
    pub fn set(test: &str) -> Option<(Self, Publisher, Watch)> {
        let possible = Programs::find(Missing::Refuse).map(drop).and_then(|()| node::lacking());
        let programs = possible.and_then(|()| {
            let agent = program("hozen-node-agent", "hozen-agent")?;
            Ok((agent, program("hozen-cli", "hozen")?))
        });
        let (agent, hozen) = match programs {
            Ok(programs) => programs,
            Err(why) => {
                not_run(test, &why.to_string());
                return None;
            }
        };
        let mut watch = Watch::start();
        let bed = Removed(Bed::open(&bed::home(), "path-test").expect("nobody else uses this bed"));
        let wanted = Wanted { nodes: Some(3), packages: Packages::Test, ..Wanted::default() };
        let up = hozen_testbed::up(&bed.0, wanted, &mut |step| println!("{step}")).unwrap();
        let stage = Self { bed, state: up, hozen, agent };
        watch.lap("control plane and three nodes");
        let digests = [("hozen", &stage.hozen), ("hozen-agent", &stage.agent)]
            .map(|(name, program)| stage.load(name, program));
        watch.lap("images built and loaded");
        for (user, group) in PEOPLE {
            stage.person(user, group);
        }
        for node in NODES {
            stage.kubectl(&["label", "node", node, "tier=web"]);
        }
        stage.serve();
        let publisher = Publisher::take_over(&stage);
        watch.lap("people, a workload, a repository");
        daemons::install(&stage, &renewed::DAEMONS);
        watch.lap("two nodes run by daemons of packages");
        stage.install(&digests);
        watch.lap("helm install until operator and scanners are ready");
        Some((stage, publisher, watch))
    }

    /// What runs there: a drain may move one of its pods at a time.
    fn serve(&self) {
        let labels = json!({"app": "shop"});
        let pod = json!({"terminationGracePeriodSeconds": 1, "containers": [{
            "name": "shop", "image": BUSYBOX, "imagePullPolicy": "Never",
            "command": ["/bin/busybox", "sleep", "100000"]}]});
        let objects = json!([
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"}, "spec": {
                "replicas": NODES.len(), "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod}}},
            {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "shop"}, "spec": {
                "maxUnavailable": 1, "selector": {"matchLabels": labels}}},
        ]);
        let file =
            self.file("shop", &json!({"apiVersion": "v1", "kind": "List", "items": objects}));
        self.kubectl(&["create", "-f", &file]);
        self.serves();
    }

    /// All of its pods are ready.
    pub fn serves(&self) {
        self.seen("the shop is whole", &["deployment", "shop"], |found| {
            found["status"]["readyReplicas"] == NODES.len()
        });
    }

    /// Makes the image of one program and gives it to every node; its digest.
    fn load(&self, name: &str, program: &Path) -> String {
        let image = Image {
            reference: format!("hozen.dev/{name}:1"),
            entrypoint: vec![format!("/{name}")],
            user: "65532:65532".into(),
            labels: [].into(),
            contents: [(name.to_owned(), Content::File(program.to_owned(), 0o755))].into(),
        };
        let archive = self.archive(name);
        let digest = image.write(&archive).unwrap();
        for node in NODES {
            self.node(node).load(&archive).unwrap();
        }
        digest
    }

    fn archive(&self, name: &str) -> PathBuf {
        self.bed.0.folder.join(format!("{name}.tar"))
    }

    /// Adds a virtual machine, with the images that the other nodes have.
    pub fn add_machine(&mut self, name: &str) {
        hozen_testbed::raise_vms(&self.bed.0, &mut self.state, 1, &mut |step| println!("{step}"))
            .unwrap();
        for image in ["hozen", "hozen-agent"] {
            self.node(name).load(&self.archive(image)).unwrap();
        }
    }

    /// Where the bed keeps what a node is made of.
    pub fn node_folder(&self, name: &str) -> PathBuf {
        self.bed.0.folder.join("nodes").join(name)
    }

    fn person(&self, user: &str, group: &str) {
        let authority = Authority::open(&self.bed.0.folder.join("pki")).unwrap();
        let identity = authority.sign(user, Some(group), &[]).unwrap();
        let text = authority.kubeconfig(&self.state.server(), &identity);
        write_private(&self.kubeconfig(user), &text).unwrap();
    }

    fn kubeconfig(&self, user: &str) -> PathBuf {
        self.bed.0.folder.join(format!("user-{user}.kubeconfig"))
    }

    fn install(&self, [hozen, agent]: &[String; 2]) {
        let team = |name: &str| json!([{"kind": "Group", "name": name}]);
        let dave = json!([{"kind": "User", "name": "dave"}]);
        let values = json!({
            "imagePullPolicy": "Never",
            "image": {"digest": hozen}, "agent": {"image": {"digest": agent}},
            "approvalRoles": {"platform": team("platform-team"), "security": team("security-team")},
            "approvalPolicies": {"production": dave}, "authors": dave,
            "operations": team("governance"), "accepters": team("governance"),
            "governance": team("governance"),
        });
        let file = self.file("values", &values);
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/hozen");
        let folder = self.bed.0.folder.join("helm");
        let mut helm = Command::new(self.state.programs.join("helm"));
        helm.args(["install", "hozen"]).arg(chart);
        helm.args(["--namespace", NAMESPACE, "--create-namespace", "--values"]).arg(file);
        helm.arg("--kubeconfig").arg(self.bed.0.kubeconfig());
        helm.envs(
            ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"].map(|name| (name, &folder)),
        );
        process::output_of(&mut helm).expect("the chart is installed");
        self.everything_is_ready();
    }

    /// Waits until operator and scanners are.
    pub fn everything_is_ready(&self) {
        self.until("the operator and all scanners are ready", || {
            let operator = self.get(&["deployment", "hozen", "-n", NAMESPACE]);
            let scanner = self.get(&["daemonset", "hozen-scanner", "-n", NAMESPACE]);
            let ready = operator["status"]["readyReplicas"] == 2
                && scanner["status"]["numberReady"] == NODES.len();
            if ready { Ok(()) } else { Err(self.kubectl(&["get", "pods", "-n", NAMESPACE])) }
        });
    }

    /// The administrator's kubeconfig.
    pub fn admin(&self) -> PathBuf {
        self.bed.0.kubeconfig()
    }

    /// The programs that its nodes run.
    pub fn programs(&self) -> &Path {
        &self.state.programs
    }

    /// Debian as its nodes have it below what is their own.
    pub fn root(&self) -> &Path {
        self.state.root.as_deref().unwrap()
    }

    /// A node of it.
    pub fn node<'a>(&'a self, name: &'a str) -> Node<'a> {
        Node::find(&self.bed.0, &self.state, name).unwrap()
    }

    /// What a shell on a node printed.
    pub fn on(&self, node: &str, script: &str) -> String {
        self.node(node).exec(&["sh", "-ec", script]).unwrap()
    }

    /// Puts a folder of this machine in the place of one of a node.
    pub fn copy(&self, node: &str, folder: &Path, place: &str) {
        let archive = self.bed.0.folder.join("copied.tar").to_string_lossy().into_owned();
        process::call("tar", &["-cf", &archive, "-C", &folder.to_string_lossy(), "."]).unwrap();
        let script = format!("rm -rf {place} && mkdir -p {place} && tar -xC {place}");
        let mut command = self.node(node).command(&["sh", "-ec", &script]).unwrap();
        process::output_of(command.stdin(fs::File::open(&archive).unwrap())).unwrap();
    }

    /// Every node looks at its repositories, as it would once a day.
    pub fn look(&self) {
        for node in NODES {
            self.on(node, "apt-get update");
        }
    }

    /// kubectl by the administrator; what it printed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        control_plane::kubectl(&self.bed.0, &self.state, arguments).unwrap()
    }

    /// kubectl as a person, by their certificate.
    pub fn kubectl_as(&self, user: &str, arguments: &[&str]) -> Answer {
        let cache = self.bed.0.folder.join(format!("kubectl-cache-{user}"));
        let mut command = Command::new(self.state.programs.join("kubectl"));
        command.env("KUBECONFIG", self.kubeconfig(user)).arg("--cache-dir").arg(cache);
        command.args(arguments).stdin(Stdio::null()).output().unwrap().into()
    }

    /// `kubectl hozen` as a person.
    pub fn hozen_as(&self, user: &str, arguments: &[&str]) -> Answer {
        let plugin = self.bed.0.folder.join("kubectl-hozen");
        if !plugin.exists() {
            std::os::unix::fs::symlink(fs::canonicalize(&self.hozen).unwrap(), &plugin).unwrap();
        }
        let path = std::env::join_paths([&self.bed.0.folder, &self.state.programs]).unwrap();
        let mut command = Command::new(self.state.programs.join("kubectl"));
        command.arg("hozen").args(arguments).env("PATH", path);
        command.env("KUBECONFIG", self.kubeconfig(user));
        command.stdin(Stdio::null()).output().unwrap().into()
    }

    /// Writes an object or values to a file.
    pub fn file(&self, name: &str, content: &Value) -> String {
        let file = self.bed.0.folder.join(format!("{name}.json"));
        fs::write(&file, content.to_string()).unwrap();
        file.to_string_lossy().into_owned()
    }

    /// Applies a manifest as a person.
    pub fn apply_as(&self, user: &str, object: &Value) -> Answer {
        let file = self.file("object", object);
        self.kubectl_as(user, &["apply", "-f", &file])
    }

    /// An object or a list, as the administrator sees it; null where there is none.
    pub fn get(&self, words: &[&str]) -> Value {
        let words = [&["get", "-o", "json"], words].concat();
        let text = control_plane::kubectl(&self.bed.0, &self.state, &words);
        text.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// Lets time pass until something has come to pass; what was seen last is told otherwise, with how the fleet stands.
    pub fn until<T>(&self, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
        wait(what, PATIENCE, || Ok(look())).unwrap_or_else(|error| {
            let words = ["get", "mn,ro,chg,nodes", "-o", "wide"];
            let fleet = control_plane::kubectl(&self.bed.0, &self.state, &words);
            panic!("{error}\n{}\n{}", fleet.unwrap_or_default(), self.log())
        })
    }

    /// Waits for an object that is as wanted.
    pub fn seen(&self, what: &str, words: &[&str], wanted: impl Fn(&Value) -> bool) -> Value {
        self.until(what, || {
            let seen = self.get(words);
            if wanted(&seen) { Ok(seen) } else { Err(seen["status"].to_string()) }
        })
    }

    /// What the operator's replicas have said: their log and the audit trail.
    pub fn log(&self) -> String {
        let pods = ["-l", "app.kubernetes.io/component=operator", "--prefix=false"];
        let words = [&["logs", "-n", NAMESPACE, "--tail=-1"], &pods[..]].concat();
        control_plane::kubectl(&self.bed.0, &self.state, &words).unwrap_or_default()
    }

    /// A folder for what the test makes itself.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.bed.0.folder.join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }
}
