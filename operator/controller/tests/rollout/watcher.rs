//! Watches budgets from outside: at every event of a node, how many of a tier are unavailable.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{Config, Event, watcher},
    },
};
use tokio::task::JoinHandle;

use crate::cluster::Cluster;

#[derive(Clone, Default)]
pub struct Seen {
    pub looks: usize,
    pub broken: Vec<String>,
}

pub struct Budget {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Budget {
    pub fn watch(cluster: &Cluster, tier: &str, max: usize) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let api: Api<Node> = Api::all(cluster.client.clone());
        let config = Config::default().labels(&format!("tier={tier}"));
        let told = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut away: BTreeMap<String, bool> = BTreeMap::new();
            let mut events = std::pin::pin!(watcher(api, config).default_backoff());
            while let Some(event) = events.next().await {
                if let Ok(Event::Apply(node) | Event::InitApply(node)) = event {
                    away.insert(node.name_any(), unavailable(&node));
                    let names: Vec<&String> =
                        away.iter().filter(|(_, away)| **away).map(|(name, _)| name).collect();
                    let mut seen = told.lock().unwrap();
                    seen.looks += 1;
                    if names.len() > max {
                        seen.broken.push(format!("{} of at most {max}: {names:?}", names.len()));
                    }
                }
            }
        });
        Self { seen, task }
    }

    pub fn end(self) -> Seen {
        self.task.abort();
        self.seen.lock().unwrap().clone()
    }
}

fn unavailable(node: &Node) -> bool {
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default();
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True");
    cordoned || !ready
}
