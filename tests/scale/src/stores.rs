//! What the stores of the operator take for a fleet, by themselves: lists are answered by this process, page for page, so that no server
//! and no other work is in what is measured.

use std::{convert::Infallible, iter::once, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::join_all;
use hozen_advisory::package::PackageSet;
use hozen_controller::{
    clock::MachineClock,
    freshness::Freshness,
    observe::{Stores, Watching, watches},
};
use hozen_testbed::clock::Moment;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    Failed,
    fleet::{self, packages},
    measured::{Held, Measured, number},
    operator::{NAMESPACE, WORK, memory},
    server::until,
};

/// Objects of one page where the client names no number.
const PAGE: usize = 500;
/// Whatever takes longer has stopped.
const PATIENCE: Duration = Duration::from_mins(10);

/// A fleet whose objects are made when they are asked for.
struct Listed {
    nodes: usize,
    pods: usize,
    sets: [PackageSet; 2],
}

/// Lists a fleet into the operator's stores, and tells what they take.
pub async fn measure(nodes: usize, pods: usize) -> Result<bool, Failed> {
    let fleet = Arc::new(Listed { nodes, pods, sets: packages() });
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let answer = answer(&fleet, request.uri());
        async move { Ok::<_, Infallible>(answer) }
    });
    let client = Client::new(service, "default");
    let stores: Arc<Stores> = Arc::default();
    let watching = Watching {
        client: client.clone(),
        prompt: client,
        namespace: NAMESPACE.to_owned(),
        work_namespace: WORK.to_owned(),
        stores: Arc::clone(&stores),
        wake: Arc::new(Notify::new()),
        freshness: Arc::new(Freshness::default()),
        clock: Arc::new(MachineClock),
    };
    let (before, began) = (memory(std::process::id())?, Moment::now());
    let running = tokio::spawn(join_all(watches(&watching)));
    let synced = async || stores.synced().then_some(());
    until("everything is listed", PATIENCE, synced).await?;
    let took = began.elapsed();
    let after = memory(std::process::id())?;
    running.abort();
    let mut told = Measured::default();
    let objects: usize = stores.health().iter().map(|health| health.objects).sum();
    told.count("objects in the stores", objects, Held::Nothing);
    told.time("listed, by one thread, texts made beside", took, Held::Nothing);
    told.tell("memory more than before", after.now - before.now, "MB", Held::Nothing);
    told.tell("for each node", (after.now - before.now) * 1e6 / number(nodes), "B", Held::Nothing);
    told.tell("at its peak more than before", after.peak - before.now, "MB", Held::Nothing);
    Ok(told.holds())
}

type Answer = http::Response<UnsyncBoxBody<Bytes, Infallible>>;

/// A page of a list; a watch that tells nothing.
fn answer(fleet: &Arc<Listed>, uri: &http::Uri) -> Answer {
    let query: Vec<(String, String)> =
        form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let asked = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| &**value);
    if asked("watch").is_some() {
        return http::Response::new(StreamBody::new(futures::stream::pending()).boxed_unsync());
    }
    let from = asked("continue").and_then(|text| text.parse().ok()).unwrap_or(0);
    let most = asked("limit").and_then(|text| text.parse().ok()).unwrap_or(PAGE);
    let kind = uri.path().rsplit('/').next().unwrap_or_default();
    let in_all = fleet.count(uri.path(), kind);
    let until = in_all.min(from + most);
    let more = if until < in_all { until.to_string() } else { String::new() };
    let metadata = json!({"resourceVersion": "1000000", "continue": more});
    // Object for object, as a server sends them: a page as a tree would be most of what is measured.
    let (fleet, kind) = (Arc::clone(fleet), kind.to_owned());
    let items = (from..until).map(move |number| {
        let comma = if number == from { "" } else { "," };
        format!("{comma}{}", fleet.object(&kind, number))
    });
    let head = format!(r#"{{"apiVersion":"v1","kind":"List","metadata":{metadata},"items":["#);
    let parts = once(head).chain(items).chain(once("]}".to_owned()));
    let parts = futures::stream::iter(parts.map(|part| Ok(Frame::data(Bytes::from(part)))));
    http::Response::new(StreamBody::new(parts).boxed_unsync())
}

impl Listed {
    fn count(&self, path: &str, kind: &str) -> usize {
        match kind {
            "nodes" | "nodeinventories" | "managednodes" => self.nodes,
            "pods" if !path.contains("/namespaces/") => self.nodes * self.pods,
            "packagesets" => self.sets.len(),
            _ => 0,
        }
    }

    fn object(&self, kind: &str, number: usize) -> Value {
        let node = if kind == "pods" { number / self.pods } else { number };
        let (name, uid) = (fleet::name(node), format!("00000000-0000-4000-8000-{node:012x}"));
        let mut object = match kind {
            "nodes" => fleet::node(&name, node),
            "pods" => {
                let mut pod = fleet::pod(&name, &uid, number % self.pods);
                pod["status"] = fleet::runs()["status"].take();
                // As a runtime says it; the story leaves it out, for images have a story of their own.
                let image =
                    format!("registry.example.com/team/service@sha256:{:064x}", number % self.pods);
                pod["status"]["containerStatuses"][0]["imageID"] = image.into();
                pod["metadata"]["namespace"] = fleet::SHOP.into();
                pod
            }
            "nodeinventories" => fleet::inventory(&name, &uid, 1, &self.sets[0].digest, &[]),
            "managednodes" => record(&name, &uid),
            _ => fleet::package_set(&self.sets[number]),
        };
        let metadata = &mut object["metadata"];
        if kind != "nodes" || metadata["uid"].is_null() {
            metadata["uid"] = format!("00000000-0000-4000-9000-{number:012x}").into();
        }
        if kind == "nodes" {
            metadata["uid"] = uid.into();
        }
        metadata["resourceVersion"] = (number + 1).to_string().into();
        metadata["creationTimestamp"] = "2026-11-01T02:00:00Z".into();
        // Some kilobytes of who wrote which field come with every object of a real server.
        metadata["managedFields"] = json!([{"manager": "kubelet", "operation": "Update", "apiVersion": "v1",
            "time": "2026-11-01T02:00:00Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:app": {}, "f:version": {}}}, "f:spec": {"f:containers": {}}}}]);
        object
    }
}

/// Our own record of a node at rest.
fn record(name: &str, uid: &str) -> Value {
    let at = "2026-11-01T02:00:00Z";
    json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "ManagedNode",
        "metadata": {"name": name, "generation": 1, "ownerReferences":
            [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}]},
        "spec": {},
        "status": {"observedGeneration": 1, "baseline": "fleet", "state": "Compliant", "activity": "PatchedActive",
            "findings": {}, "conditions": [
            {"type": "Ready", "status": "True", "reason": "Compliant", "message": "it is as it must be",
                "lastTransitionTime": at, "observedGeneration": 1},
            {"type": "Reporting", "status": "True", "reason": "Reported", "message": "its scanner reports",
                "lastTransitionTime": at, "observedGeneration": 1}]}})
}
