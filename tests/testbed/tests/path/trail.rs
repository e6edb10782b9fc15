//! The operator's audit trail, as whoever gathers the logs of a cluster has it.

use std::{collections::BTreeMap, fs, process::Command};

use jiff::Timestamp;
use serde_json::Value;

use crate::stage::{NODES, Stage};

/// Where a kubelet keeps what the operator's containers have said.
const LOGS: &str = "/var/log/pods/hozen-system_hozen-*/operator/*.log";

pub struct Trail {
    /// All entries, by time.
    entries: Vec<Value>,
}

impl Trail {
    /// Gathers it from all nodes. Each replica's own must be whole.
    pub fn gather(stage: &Stage) -> Self {
        let mut entries = Vec::new();
        for node in NODES {
            let script = format!(
                "for file in {LOGS}; do [ ! -f $file ] || {{ echo $file; cat $file; }}; done"
            );
            let mut whole: BTreeMap<String, String> = BTreeMap::new();
            let mut file = String::new();
            for line in stage.on(node, &script).lines() {
                if line.starts_with("/var/log") {
                    line.clone_into(&mut file);
                } else if let Some((_, said)) = line.split_once(" stdout F ") {
                    let trail = whole.entry(file.clone()).or_default();
                    trail.push_str(said);
                    trail.push('\n');
                    entries.push(serde_json::from_str(said).unwrap());
                }
            }
            for trail in whole.values() {
                verified(stage, trail);
            }
        }
        entries.sort_by_key(|entry: &Value| entry["at"].as_str().map(str::to_owned));
        Self { entries }
    }

    /// Entries of one effect on one object whose detail has these words.
    pub fn of<'t>(
        &'t self,
        (effect, object): (&'t str, &'t str),
        entry: &'t str,
        detail: &'t str,
    ) -> impl Iterator<Item = &'t Value> {
        self.entries.iter().filter(move |found| {
            found["effect"] == effect
                && found["object"] == object
                && found["entry"] == entry
                && found["detail"].as_str().unwrap_or_default().contains(detail)
        })
    }

    /// When a node was claimed and released for a rollout.
    pub fn turn(&self, node: &str, rollout: &str) -> (Timestamp, Timestamp) {
        let at = |effect, entry| {
            let found = self.of((effect, node), entry, rollout).last();
            let found = found.unwrap_or_else(|| panic!("{effect} of {node} is in the trail"));
            found["at"].as_str().unwrap().parse().unwrap()
        };
        (at("Claim", "Intent"), at("Release", "Done"))
    }

    /// That a Job was started on a node, by what the trail tells of it.
    pub fn names(&self, node: &str, words: &[&str]) {
        let told = self.of(("StartJob", node), "Done", words[0]).any(|entry| {
            let detail = entry["detail"].as_str().unwrap();
            words.iter().all(|word| detail.contains(word))
        });
        assert!(told, "{words:?} on {node} is not in the trail: {:#?}", self.entries);
    }

    /// How many Jobs were started on a node for a request.
    pub fn jobs(&self, node: &str, request: &str) -> usize {
        self.of(("StartJob", node), "Done", request).count()
    }
}

/// `hozen audit verify` finds nothing wrong.
fn verified(stage: &Stage, trail: &str) {
    let file = stage.folder("trails").join("trail");
    fs::write(&file, trail).unwrap();
    let said = Command::new(&stage.hozen).args(["audit", "verify"]).arg(&file).output().unwrap();
    assert!(said.status.success(), "{}\n{trail}", String::from_utf8_lossy(&said.stdout));
}
