//! The story that is measured: a fleet is seen for the first time, rests, hears of a weakness, is patched, and rests again.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use futures::StreamExt as _;
use hozen_access::{Installation, rbac};
use hozen_api::{crds::all_crds, managed_node::ManagedNode};
use hozen_testbed::{
    Removed, Wanted as WantedBed,
    bed::{self, Bed},
    clock::Moment,
};
use kube::{
    Api, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{Config, Event, watcher},
    },
};
use serde_json::{Value, json};

use crate::{
    Failed,
    fleet::{Fleet, OURS, SHOP},
    measured::{Held, Measured, number},
    operator::{NAMESPACE, Operator, WORK, agent_image},
    server::{Audit, Calls, Server, for_each, until},
};

const BASELINE: &str = "/apis/hozen.dev/v1alpha1/baselines/fleet";
/// Whatever takes longer has stopped.
const STEP_MAX: Duration = Duration::from_mins(30);
/// Calls for each node, evictions and the lease aside. Eleven are its own (decision 35), some more where somebody wrote first.
const CALLS_MAX: f64 = 12.0;
/// The largest object that is sound to keep in etcd.
const OBJECT_BYTES_MAX: f64 = 256.0 * 1024.0;

/// How often, and how long apart, the memory of client-go's informers is looked at: its garbage goes back to the system in minutes.
const INFORMER_LOOKS: usize = 12;
const BETWEEN_INFORMER_LOOKS: Duration = Duration::from_secs(10);

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Wanted {
    /// Nodes.
    #[arg(long, default_value_t = 5_000)]
    nodes: usize,
    /// Pods on each.
    #[arg(long, default_value_t = 10)]
    pods: usize,
    /// Nodes that may be unavailable at once, of a hundred.
    #[arg(long, default_value_t = 10)]
    unavailable: usize,
    /// For how long a settled fleet is watched, in seconds.
    #[arg(long, default_value_t = 30)]
    settled: u64,
    /// The program of tests/cluster/informer, built (`go build -o PATH ./informer` there): what client-go takes for the same is then measured beside.
    #[arg(long)]
    informer: Option<PathBuf>,
    /// Writes by which the raw rate of the server is measured.
    #[arg(long, default_value_t = 10_000)]
    raw: usize,
}

/// Plays and tells; true if every count is within its limit.
pub async fn play(wanted: &Wanted) -> Result<bool, Failed> {
    let bed = Bed::open(&bed::home(), "scale")?;
    // One node of kwok's, so that nodes without kubelets count as Ready for five minutes without a heartbeat.
    let up = WantedBed { fake: 1, ..WantedBed::default() };
    hozen_testbed::down(&bed)?;
    hozen_testbed::up(&bed, up, &mut |step| eprintln!("{step}"))?;
    let bed = Removed(bed);
    let server = Server::connect(&bed.0.kubeconfig()).await?;
    let token = install(&server).await?;
    let mut told = Measured::default();
    let (fleet, objects) = Fleet::make(&server, wanted.nodes, wanted.pods).await?;
    let rate = number(objects.made) / objects.took.as_secs_f64();
    told.count("objects of the fleet, made", objects.made, Held::Nothing);
    told.tell("made in a second", rate, "/s", Held::Nothing);
    let playing = fleet.play();
    let story = Story { wanted: wanted.clone(), bed: &bed.0, fleet: &fleet, server, token };
    story.tell(&mut told).await?;
    drop(playing);
    told.count("answers of the fleet that were lost", fleet.lost(), Held::Count(0.0));
    Ok(told.holds())
}

/// Kinds, namespaces and accounts; the operator's token.
async fn install(server: &Server) -> Result<String, Failed> {
    for crd in all_crds() {
        let mut crd = serde_json::to_value(crd)?;
        crd.as_object_mut().ok_or("a CRD is an object")?.remove("status");
        let kinds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        server.apply(kinds, &crd).await?;
    }
    for name in [NAMESPACE, WORK, SHOP] {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        server.apply("/api/v1/namespaces", &namespace).await?;
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        let there = async || server.get(&account).await.ok();
        until("the namespace has its account", STEP_MAX, there).await?;
    }
    let kinds_are = async || {
        for kind in ["nodeinventories", "packagesets", "transactions", "managednodes", "baselines"]
        {
            server.get(&format!("{OURS}/{kind}?limit=1")).await.ok()?;
        }
        Some(())
    };
    until("our kinds are served", STEP_MAX, kinds_are).await?;
    let installation = Installation {
        namespace: NAMESPACE.to_owned(),
        work_namespace: WORK.to_owned(),
        agent_image: agent_image(),
    };
    for object in rbac::manifests(&installation) {
        server.apply(&collection(&object), &object).await?;
    }
    let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/hozen/token");
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": 86_400}});
    let made = server.create(&path, &request).await?;
    Ok(made["status"]["token"].as_str().ok_or("no token")?.to_owned())
}

/// Where objects of RBAC and the like are kept.
fn collection(object: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
    let (version, kind) = (word(&object["apiVersion"]), word(&object["kind"]));
    let root = if version.contains('/') { "/apis" } else { "/api" };
    let plural = if kind.ends_with('y') {
        format!("{}ies", kind.trim_end_matches('y'))
    } else {
        format!("{kind}s")
    };
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{root}/{version}/namespaces/{namespace}/{plural}"),
        None => format!("{root}/{version}/{plural}"),
    }
}

struct Story<'a> {
    wanted: Wanted,
    bed: &'a Bed,
    fleet: &'a Fleet,
    server: Server,
    token: String,
}

impl Story<'_> {
    async fn tell(&self, told: &mut Measured) -> Result<(), Failed> {
        self.intents().await?;
        let operator = self.start()?;
        let seen = until("all nodes are seen and settled", STEP_MAX, async || {
            self.counted("compliant").await.filter(|count| *count == self.wanted.nodes)
        });
        let (_, took) = seen.await?;
        told.time("all nodes recorded, first status of the baseline", took, Held::Nothing);
        self.quiet().await?;
        drop(operator);
        let operator = self.again(told).await?;
        self.rest(&operator, told).await?;
        self.beside(&operator, told).await?;
        self.weakness(told).await?;
        let rate = self.rollout(&operator, told).await?;
        self.rest(&operator, told).await?;
        drop(operator);
        self.raw(rate, told).await?;
        self.sizes(told).await
    }

    fn start(&self) -> Result<Operator, Failed> {
        Operator::start(&self.bed.kubeconfig(), &self.token, &self.folder())
    }

    fn folder(&self) -> PathBuf {
        self.bed.folder.join("logs")
    }

    async fn intents(&self) -> Result<(), Failed> {
        let policy = json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "ApprovalPolicy",
            "metadata": {"name": "production"}, "spec": {
                "normal": {"roles": [{"name": "platform"}], "validFor": "336h"},
                "emergency": {"roles": [{"name": "platform"}], "validFor": "24h"},
                "exception": {"roles": [{"name": "platform"}], "validFor": "2160h"}}});
        let unavailable = format!("{}%", self.wanted.unavailable);
        let baseline = json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "Baseline",
            "metadata": {"name": "fleet"}, "spec": {
                "selector": {"nodes": {"matchLabels": {"tier": "fleet"}}},
                "asset": {"businessImpact": "High", "exposure": "Internet", "owner": "team@example.com"},
                "approvalPolicy": "production",
                "rollout": {
                    "stages": [
                        {"name": "canary", "nodes": 1, "maxUnavailable": 1, "soak": "2s"},
                        {"name": "rest", "nodes": "100%", "maxUnavailable": unavailable},
                    ],
                    "failures": {"max": 0}, "watch": "2s"}}});
        // Without a word on Debian 12 nobody would know that nothing is missing there.
        let known = json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "Advisory",
            "metadata": {"name": "dsa-6000-1"}, "spec": {
                "id": "DSA-6000-1", "summary": "package-003: fixed long ago",
                "severity": {"cvss": ["CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:N/A:N"]},
                "affected": [{"package": {"purl": "pkg:deb/debian/package-003?distro=bookworm"},
                    "ranges": [{"introduced": "0", "fixed": "1.2.3-4"}]}]}});
        self.server.apply(&format!("{OURS}/advisories"), &known).await?;
        self.server.apply(&format!("{OURS}/approvalpolicies"), &policy).await?;
        self.server.apply(&format!("{OURS}/baselines"), &baseline).await.map(drop)
    }

    /// How many nodes the baseline says are in a state.
    async fn counted(&self, state: &str) -> Option<usize> {
        let baseline = self.server.get(BASELINE).await.ok()?;
        let nodes = &baseline["status"]["nodes"];
        let total = usize::try_from(nodes["total"].as_u64()?).ok()?;
        let count = usize::try_from(nodes[state].as_u64().unwrap_or(0)).ok()?;
        (total == self.wanted.nodes).then_some(count)
    }

    /// The operator has written nothing for a while.
    async fn quiet(&self) -> Result<(), Failed> {
        let mut audit = Audit::begin(self.bed);
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_secs(3)).await;
            if writes(&audit.calls()?) == 0 {
                return Ok(());
            }
        }
        Err("the operator does not come to rest".into())
    }

    /// A second start, with everything there.
    async fn again(&self, told: &mut Measured) -> Result<Operator, Failed> {
        let operator = self.start()?;
        let ready = operator.ready().await?;
        told.time("start with everything there, to Ready", ready, Held::AtMost(5.0));
        let leads = async || operator.metric("hozen_decisions_total").ok().filter(|n| *n >= 1.0);
        let (_, took) = until("a first decision", STEP_MAX, leads).await?;
        told.time(
            "from Ready to the first decision (the last lease runs out)",
            took,
            Held::Nothing,
        );
        Ok(operator)
    }

    /// A settled fleet costs nothing.
    async fn rest(&self, operator: &Operator, told: &mut Measured) -> Result<(), Failed> {
        self.quiet().await?;
        let (before, seconds) = (operator.processor()?, self.wanted.settled);
        let mut audit = Audit::begin(self.bed);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let calls = audit.calls()?;
        let what = format!("writes in {seconds} s of a settled fleet, the lease aside");
        told.count(&what, writes(&calls), Held::Count(0.0));
        let what = format!("processor in {seconds} s of a settled fleet");
        told.tell(&what, operator.processor()? - before, "s", Held::Nothing);
        self.memory(operator, told)
    }

    fn memory(&self, operator: &Operator, told: &mut Measured) -> Result<(), Failed> {
        let memory = operator.memory()?;
        let limit = if self.wanted.pods > 10 { 200.0 } else { 120.0 };
        told.tell("memory of the operator", memory.now, "MB", Held::AtMost(limit));
        told.tell("at its peak", memory.peak, "MB", Held::Nothing);
        Ok(())
    }

    /// The operator's memory beside that of client-go's informers which hold the same.
    async fn beside(&self, operator: &Operator, told: &mut Measured) -> Result<(), Failed> {
        let Some(program) = &self.wanted.informer else { return Ok(()) };
        let ours = operator.memory()?.now;
        for (how, share) in [("pruned", 3.0), ("whole", 8.0)] {
            let theirs = informer(program, &self.bed.kubeconfig(), how).await?;
            told.tell(
                &format!("memory of client-go's informers, {how}"),
                theirs,
                "MB",
                Held::Nothing,
            );
            let what = format!("so many times the operator's ({how})");
            told.tell(&what, theirs / ours, "", Held::AtLeast(share));
        }
        Ok(())
    }

    /// A notice comes: how long until status says what follows.
    async fn weakness(&self, told: &mut Measured) -> Result<(), Failed> {
        let advisory = json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "Advisory",
            "metadata": {"name": "dsa-6123-1"}, "spec": {
                "id": "DSA-6123-1", "aliases": ["CVE-2026-31337"], "summary": "openssl: use after free",
                "severity": {"cvss": ["CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"]},
                "exploitation": {"knownExploited": {"since": "2026-11-19"}, "epss": "0.71"},
                "affected": [{"package": {"purl": "pkg:deb/debian/openssl?distro=bookworm"},
                    "ranges": [{"introduced": "0", "fixed": "3.0.22-1~deb12u2"}]}]}});
        let watched = self.below();
        let start = Moment::now();
        self.server.apply(&format!("{OURS}/advisories"), &advisory).await?;
        let seen = until("the baseline says that all are below", STEP_MAX, async || {
            self.counted("below").await.filter(|count| *count == self.wanted.nodes)
        });
        seen.await?;
        told.time("from a notice to the baseline's status", start.elapsed(), Held::AtMost(2.0));
        watched.await?;
        told.time("from a notice to the last node's status", start.elapsed(), Held::Nothing);
        let took = self.fleet.publish().await?;
        told.time("all scanners report the fix", took, Held::Nothing);
        Ok(())
    }

    /// Ends when every node's record says that it is below its baseline.
    fn below(&self) -> tokio::task::JoinHandle<()> {
        let api: Api<ManagedNode> = Api::all(self.server.client.clone());
        let nodes = self.wanted.nodes;
        tokio::spawn(async move {
            let mut below = std::collections::BTreeSet::new();
            let mut events = std::pin::pin!(watcher(api, Config::default()).default_backoff());
            while let Some(event) = events.next().await {
                let Ok(Event::Apply(node) | Event::InitApply(node)) = event else { continue };
                let state = node.status.as_ref().and_then(|status| status.state.clone());
                if state == Some(hozen_api::managed_node::State::Below) {
                    below.insert(node.name_any());
                }
                if below.len() == nodes {
                    return;
                }
            }
        })
    }

    /// How many calls the operator sent in a second of it.
    async fn rollout(&self, operator: &Operator, told: &mut Measured) -> Result<f64, Failed> {
        let waits = until("a request waits for people", STEP_MAX, async || {
            let list = self.server.get(&format!("{OURS}/changerequests")).await.ok()?;
            let waits = |request: &&Value| request["status"]["phase"] == "AwaitingApproval";
            list["items"].as_array()?.iter().find(waits).cloned()
        });
        let (request, _) = waits.await?;
        let (mut audit, before) = (Audit::begin(self.bed), operator.processor()?);
        let decisions = operator.metric("hozen_decisions_total")?;
        self.agree(&request).await?;
        let name = request["metadata"]["name"].as_str().ok_or("a request without a name")?;
        let path = format!("{OURS}/rollouts/{name}");
        let canary = async || {
            let rollout = self.server.get(&path).await.ok()?;
            (rollout["status"]["stage"]["name"] == "rest").then_some(())
        };
        until("the canary is through", STEP_MAX, canary).await?;
        let start = Moment::now();
        let ended = async || {
            let rollout = self.server.get(&path).await.ok()?;
            rollout["status"]["outcome"].as_str().map(str::to_owned)
        };
        let (outcome, _) = until("the rollout ends", STEP_MAX, ended).await?;
        let took = start.elapsed();
        if outcome != "Done" {
            eprintln!("the rollout's outcome: {outcome}");
        }
        let nodes = number(self.wanted.nodes);
        told.time("rollout of all but the canary", took, Held::Nothing);
        told.tell("nodes finished", nodes / took.as_secs_f64(), "/s", Held::AtLeast(40.0));
        let passes = operator.metric("hozen_decisions_total")? - decisions;
        told.tell("decisions meanwhile", passes, "", Held::Nothing);
        let spent = operator.processor()? - before;
        told.tell(
            "processor of the operator for each node",
            spent / nodes * 1e3,
            "ms",
            Held::Nothing,
        );
        self.quiet().await?;
        let calls = audit.calls()?;
        for (call, count) in &calls {
            eprintln!("  {call}: {count}");
        }
        let each = number(of_work(&calls)) / nodes;
        let what = "calls for each node, evictions and the lease aside";
        told.tell(what, each, "", Held::AtMost(CALLS_MAX));
        // How far the fleet is is written by time, and a slow machine takes its time.
        let own = each - number(of_fleet(&calls)) / nodes;
        told.tell("of them about the node itself", own, "", Held::Count(CALLS_MAX));
        let (compliant, _) = until("all nodes are compliant", STEP_MAX, async || {
            self.counted("compliant").await.filter(|count| *count == self.wanted.nodes)
        })
        .await?;
        told.count("nodes that are compliant", compliant, Held::Nothing);
        Ok(number(calls.values().sum()) / took.as_secs_f64())
    }

    async fn agree(&self, request: &Value) -> Result<(), Failed> {
        let (name, roles) =
            (&request["metadata"]["name"], &request["spec"]["plan"]["needs"]["roles"]);
        for role in roles.as_array().ok_or("a plan that needs nobody")? {
            for person in 0..role["count"].as_u64().unwrap_or(1) {
                let user = format!("{}-{person}", role["name"].as_str().unwrap_or_default());
                let name = name.as_str().unwrap_or_default();
                let approval = json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "Approval",
                    "metadata": {"name": format!("{name}-{user}")}, "spec": {
                        "changeRequest": {"name": name, "uid": request["metadata"]["uid"]},
                        "planDigest": request["spec"]["planDigest"], "role": role["name"],
                        "decision": "Approve", "user": user}});
                self.server.apply(&format!("{OURS}/approvals"), &approval).await?;
            }
        }
        Ok(())
    }

    /// What this server does of one small write after another, with nobody else writing; and which part of that the operator asked of it beside
    /// all that nodes and Kubernetes' own controllers did.
    async fn raw(&self, sent: f64, told: &mut Measured) -> Result<(), Failed> {
        let (writes, nodes) = (self.wanted.raw, self.wanted.nodes);
        let server = &self.server;
        let took = for_each(0..writes, async |number| {
            let path = format!("{OURS}/managednodes/node-{:05}/status", number % nodes);
            let change = json!({"status": {"reasons": [format!("write {number}")]}});
            server.merge(&path, &change).await.map(drop)
        })
        .await?;
        let rate = number(writes) / took.as_secs_f64();
        told.tell(
            "the server's rate of status patches, with nobody else there",
            rate,
            "/s",
            Held::Nothing,
        );
        told.tell("calls of the operator in the rollout", sent, "/s", Held::Nothing);
        told.tell("so many of the server's rate", sent / rate, "", Held::AtLeast(0.5));
        Ok(())
    }

    /// The largest of all objects of ours.
    async fn sizes(&self, told: &mut Measured) -> Result<(), Failed> {
        let mut largest = (0, String::new());
        for crd in all_crds() {
            let list = self.server.get(&format!("{OURS}/{}", crd.spec.names.plural)).await?;
            for object in list["items"].as_array().into_iter().flatten() {
                let size = object.to_string().len();
                if size > largest.0 {
                    let kind = &crd.spec.names.kind;
                    largest = (size, format!("{kind} {}", object["metadata"]["name"]));
                }
            }
        }
        eprintln!("the largest object is {}", largest.1);
        told.tell("the largest object", number(largest.0), "bytes", Held::Count(OBJECT_BYTES_MAX));
        Ok(())
    }
}

/// Resident megabytes of client-go's informers that hold what the operator holds, once they rest.
async fn informer(program: &Path, kubeconfig: &Path, how: &str) -> Result<f64, Failed> {
    let mut child = Command::new(program)
        .arg(kubeconfig)
        .arg(how)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut asks = child.stdin.take().ok_or("no stdin")?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
    let mut next = || lines.next().ok_or("the informer ended")?.map_err(Failed::from);
    if next()? != "synced" {
        return Err("the informer does not sync".into());
    }
    // Garbage of the first lists is collected, and given back to the system, within minutes: what is left then is what it holds.
    let mut least = f64::MAX;
    for _ in 0..INFORMER_LOOKS {
        tokio::time::sleep(BETWEEN_INFORMER_LOOKS).await;
        writeln!(asks)?;
        least = least.min(next()?.parse::<f64>()? * 1024.0 / 1e6);
    }
    drop(asks);
    child.wait()?;
    Ok(least)
}

/// Calls that come with the work: evictions are for pods, and the lease and the watches go by time.
fn of_work(calls: &Calls) -> usize {
    let aside = |call: &str| {
        call.ends_with("/eviction") || call.ends_with(" leases") || call.starts_with("watch ")
    };
    calls.iter().filter(|(call, _)| !aside(call)).map(|(_, count)| count).sum()
}

/// Calls that say how far the fleet is.
fn of_fleet(calls: &Calls) -> usize {
    let statuses = ["advisories", "baselines", "changerequests", "rollouts"];
    let told = statuses.iter().filter_map(|kind| calls.get(&format!("patch {kind}/status")));
    told.sum()
}

/// Calls that write, the lease aside.
fn writes(calls: &Calls) -> usize {
    let reads = ["get ", "list ", "watch "];
    let writes = calls.iter().filter(|(call, _)| {
        !reads.iter().any(|read| call.starts_with(read)) && !call.ends_with(" leases")
    });
    writes.map(|(_, count)| count).sum()
}
