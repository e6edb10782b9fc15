//! What there is before the operator begins: kinds, policies, intents, nodes with pods, and what scanners reported.

use std::sync::OnceLock;

use hozen_access::{Installation, policies};
use hozen_advisory::package::{PackageSet, Transaction};
use hozen_api::crds::all_crds;
use hozen_simulator::{Call, Server, Verb, kind::Kind};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::past;

pub const NAMESPACE: &str = "hozen-system";
pub const WORK: &str = "hozen-work";
pub const SHOP: &str = "shop";
pub const HOZEN: &str = "hozen.dev";
/// Who makes what is there from the start.
pub const ADMIN: &str = "admin";
/// The annotation with our record.
pub const OWNER: &str = "hozen.dev/owner";
const OLD: &str = "3.0.20-1~deb12u2";
const FIXED: &str = "3.0.22-1~deb12u2";
/// Every day from this hour on (UTC), for so many hours, nodes may be disturbed.
pub const WINDOW: (i8, i8) = (2, 6);

/// A fleet and its story.
#[expect(clippy::struct_excessive_bools, reason = "each is so or not, whatever the others are")]
#[derive(Clone, Debug)]
pub struct Scene {
    /// Nodes.
    pub nodes: usize,
    /// Of them, the first so many are of the control plane.
    pub control_plane: usize,
    /// How many of the second stage may be away at once; of the first, one.
    pub max_unavailable: usize,
    /// The package manager fails on this node.
    pub fails: Option<usize>,
    /// The agent of this node says that it is done, and is not.
    pub lies: Option<usize>,
    /// A budget that allows no eviction holds the pod of this node.
    pub stuck: Option<usize>,
    /// Patched nodes want a reboot.
    pub reboot: bool,
    /// What is weak can be reached from the Internet: then it is an emergency, and windows hold nothing back.
    pub emergency: bool,
    /// A scanner that lies wrote something else under the names of all content, before anybody else came.
    pub squatted: bool,
    /// Changes that are over lie there from before ([`crate::past`]).
    pub past: bool,
    /// When the story begins.
    pub begins: Timestamp,
}

impl Scene {
    /// Canary, wide, one failure.
    pub fn golden() -> Self {
        Self {
            nodes: 6,
            control_plane: 0,
            max_unavailable: 2,
            fails: Some(3),
            lies: None,
            stuck: None,
            reboot: false,
            emergency: false,
            squatted: false,
            past: false,
            begins: "2026-11-28T02:30:00Z".parse().unwrap(),
        }
    }

    pub fn name(number: usize) -> String {
        format!("node-{number}")
    }

    /// Whether nodes may be disturbed at a moment.
    pub fn open(&self, at: Timestamp) -> bool {
        let hour = at.to_zoned(jiff::tz::TimeZone::UTC).hour();
        self.emergency || (WINDOW.0..WINDOW.0 + WINDOW.1).contains(&hour)
    }

    pub fn installation() -> Installation {
        Installation {
            namespace: NAMESPACE.to_owned(),
            work_namespace: WORK.to_owned(),
            agent_image: format!("hozen.test/agent@sha256:{}", "a".repeat(64)),
        }
    }

    /// Puts everything in place.
    pub fn set(&self, server: &Server) {
        for kind in kinds() {
            server.define(kind.clone());
        }
        for name in ["default", "kube-system", NAMESPACE, WORK, SHOP] {
            make(server, ("", "namespaces"), "", &json!({"metadata": {"name": name}}));
        }
        for manifest in policies::manifests(&Self::installation()) {
            let plural = match manifest["kind"].as_str() {
                Some("ValidatingAdmissionPolicy") => "validatingadmissionpolicies",
                Some("ValidatingAdmissionPolicyBinding") => "validatingadmissionpolicybindings",
                other => panic!("a policy of kind {other:?}"),
            };
            make(server, (ADMISSION, plural), "", &manifest);
        }
        self.intents(server);
        for (kind, mut object) in objects() {
            if self.squatted {
                let lines = object["spec"].as_object_mut().unwrap().values_mut().next().unwrap();
                lines.as_array_mut().unwrap().truncate(1);
            }
            make(server, kind, "", &object);
        }
        for number in 0..self.nodes {
            self.node(server, number);
        }
        if self.past {
            past::set(server);
        }
    }

    fn intents(&self, server: &Server) {
        let roles = json!([{"name": "platform"}, {"name": "security"}]);
        make(
            server,
            (HOZEN, "approvalpolicies"),
            "",
            &json!({"metadata": {"name": "production"}, "spec": {
                "normal": {"roles": roles, "validFor": "336h"},
                "emergency": {"roles": [{"name": "on-call", "count": 2}], "validFor": "24h"},
                "exception": {"roles": [{"name": "security"}], "validFor": "2160h"},
            }}),
        );
        make(
            server,
            (HOZEN, "baselines"),
            "",
            &json!({"metadata": {"name": "web"}, "spec": {
                "selector": {"nodes": {"matchLabels": {"tier": "web"}}},
                "asset": {"businessImpact": "Medium", "exposure": if self.emergency { "Internet" } else { "Internal" }, "owner": "team@example.com"},
                "approvalPolicy": "production",
                "windows": [{"name": "night", "schedule": format!("0 {} * * *", WINDOW.0),
                    "duration": format!("{}h", WINDOW.1), "timeZone": "UTC"}],
                "rollout": {
                    "stages": [
                        {"name": "canary", "nodes": 1, "maxUnavailable": 1, "soak": "2s"},
                        {"name": "rest", "nodes": "100%", "maxUnavailable": self.max_unavailable},
                    ],
                    "failures": {"max": 0}, "watch": "2s",
                },
            }}),
        );
        make(
            server,
            (HOZEN, "advisories"),
            "",
            &json!({"metadata": {"name": "dsa-6123-1"}, "spec": {
                "id": "DSA-6123-1", "aliases": ["CVE-2026-31337"], "summary": "openssl: use after free",
                "severity": {"cvss": ["CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"]},
                "affected": [{"package": {"purl": "pkg:deb/debian/openssl?distro=bookworm"},
                    "ranges": [{"introduced": "0", "fixed": FIXED}]}],
            }}),
        );
    }

    /// A Node, its kubelet's word, a pod with a budget, and its scanner's first report.
    fn node(&self, server: &Server, number: usize) {
        let name = Self::name(number);
        let mut labels = json!({"tier": "web"});
        if number < self.control_plane {
            labels["node-role.kubernetes.io/control-plane"] = "".into();
        }
        let now = server.now();
        let node = json!({"metadata": {"name": name, "labels": labels}, "spec": {},
            "status": status(&name, 0, true, now)});
        let node = make(server, ("", "nodes"), "", &node);
        let uid = node["metadata"]["uid"].as_str().unwrap();
        self.rebuilt(server, &name, uid);
        let min = usize::from(self.stuck == Some(number));
        make(
            server,
            ("policy", "poddisruptionbudgets"),
            SHOP,
            &json!({"metadata": {"name": format!("app-{number}")},
            "spec": {"minAvailable": min, "selector": {"matchLabels": {"app": format!("app-{number}")}}}}),
        );
        let owner = json!({"metadata": {"name": format!("app-{number}")}, "spec": {"replicas": 1}});
        make(server, REPLICA_SETS, SHOP, &owner);
        pod(server, number, &name, 0);
    }

    /// The first report of a new node's scanner.
    pub fn rebuilt(&self, server: &Server, name: &str, uid: &str) {
        let kind = (HOZEN, "nodeinventories");
        let call = Call::of(ADMIN, Verb::Delete, kind, ("", name));
        drop(server.value(&call));
        make(server, kind, "", &self.report(name, uid, (0, 0), false, server.now()));
    }

    /// What the scanner of a node says.
    pub fn report(
        &self,
        node: &str,
        uid: &str,
        (scan, boot): (u64, u64),
        patched: bool,
        now: Timestamp,
    ) -> Value {
        let made = content();
        let set = if patched { &made.fixed } else { &made.old };
        let transactions = if patched {
            json!([])
        } else {
            json!([{"for": "security", "transaction": made.update.digest, "packages": 2,
                "downloadBytes": 3_481_672, "diskBytes": 5_120, "rollback": "Possible"}])
        };
        json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "NodeInventory", "metadata": {"name": node},
            "report": {"scan": scan.to_string(), "scannedAt": now, "nodeUID": uid,
                "bootID": format!("boot-{node}-{boot}"),
                "os": {"id": "debian", "versionId": "12", "codename": "bookworm"},
                "kernel": {"running": "6.1.0-42-amd64", "installed": "6.1.0-42-amd64"},
                "packageManager": "Dpkg", "packageSet": set.digest, "packageCount": set.packages.len(),
                "transactions": transactions,
                "rebootRequired": {"value": self.reboot && patched && boot == 0},
                "ready": {"repository": true, "clockOffsetMilliseconds": 0}}})
    }
}

const REPLICA_SETS: (&str, &str) = ("apps", "replicasets");
pub const ADMISSION: &str = "admissionregistration.k8s.io";

/// A kubelet's word on its node.
pub fn status(name: &str, boot: u64, ready: bool, now: Timestamp) -> Value {
    json!({"nodeInfo": {"bootID": format!("boot-{name}-{boot}"), "architecture": "amd64",
            "containerRuntimeVersion": "containerd://2.0.0", "kernelVersion": "6.1.0",
            "kubeProxyVersion": "", "kubeletVersion": "v1.37.2", "machineID": format!("machine-{name}"),
            "operatingSystem": "linux", "osImage": "Debian", "systemUUID": ""},
        "conditions": [{"type": "Ready", "status": if ready { "True" } else { "Unknown" },
            "reason": "Played", "message": "", "lastHeartbeatTime": now, "lastTransitionTime": now}]})
}

/// A pod of an application on a node, running and ready.
pub fn pod(server: &Server, number: usize, node: &str, generation: u64) {
    let (owner, name) = (format!("app-{number}"), format!("app-{number}-{generation}"));
    let uid = server
        .look(|view| view.get(REPLICA_SETS, SHOP, &owner).unwrap()["metadata"]["uid"].clone());
    make(
        server,
        ("", "pods"),
        SHOP,
        &json!({"metadata": {"name": name, "labels": {"app": owner},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": uid, "controller": true}]},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 2,
            "containers": [{"name": "c", "image": "hozen.test/app:1"}]}}),
    );
    let running = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    change(server, ("system:node", ""), ("", "pods"), (SHOP, &name), "status", &running);
}

/// What is installed before and after, and what leads from one to the other.
pub struct Content {
    pub old: PackageSet,
    pub fixed: PackageSet,
    pub update: Transaction,
}

pub fn content() -> &'static Content {
    static CONTENT: OnceLock<Content> = OnceLock::new();
    CONTENT.get_or_init(|| {
        let packages = |version: &str| {
            let packages = [("libssl3", "openssl", version), ("openssl", "openssl", version)];
            hozen_testkit::sourced("Debian:12", &packages)
        };
        let changes = [("libssl3", OLD, FIXED), ("openssl", OLD, FIXED)];
        Content {
            old: packages(OLD),
            fixed: packages(FIXED),
            update: hozen_testkit::transaction(&changes),
        }
    })
}

/// The content as objects, each under the name of what is in it.
pub fn objects() -> Vec<((&'static str, &'static str), Value)> {
    let Content { old, fixed, update } = content();
    let object = |kind, name: &str, field: &str, text: &str| {
        let lines: Vec<&str> = text.lines().collect();
        ((HOZEN, kind), json!({"metadata": {"name": name}, "spec": {field: lines}}))
    };
    let set =
        |set: &PackageSet| object("packagesets", &set.digest, "packages", &set.texts().concat());
    vec![set(old), set(fixed), object("transactions", &update.digest, "changes", &update.text())]
}

/// Our kinds; their rules are compiled once.
fn kinds() -> &'static [Kind] {
    static KINDS: OnceLock<Vec<Kind>> = OnceLock::new();
    KINDS.get_or_init(|| {
        let all = all_crds().into_iter();
        all.map(|crd| Kind::defined_by(&serde_json::to_value(crd).unwrap()).unwrap()).collect()
    })
}

/// Makes an object; it must be taken.
pub fn make(server: &Server, kind: (&str, &str), namespace: &str, object: &Value) -> Value {
    let call = Call::of(ADMIN, Verb::Create, kind, (namespace, "")).with(object.clone());
    server.value(&call).unwrap_or_else(|refusal| panic!("{kind:?}: {}", refusal.message))
}

/// A merge patch by somebody; what has changed meanwhile, or is gone, is nobody's fault.
pub fn change(
    server: &Server,
    (user, _): (&str, &str),
    kind: (&str, &str),
    place: (&str, &str),
    subresource: &str,
    patch: &Value,
) -> Option<Value> {
    let verb = Verb::Patch(hozen_simulator::patch::Form::Merge);
    let call = Call::of(user, verb, kind, place).at(subresource).with(patch.clone());
    match server.value(&call) {
        Ok(value) => Some(value),
        Err(refusal) if matches!(refusal.code, 404 | 409) => None,
        Err(refusal) => panic!("{kind:?} {place:?}: {}", refusal.message),
    }
}
