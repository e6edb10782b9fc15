//! The pod template of a workload moves from one digest to another, where it still names the first.

use hozen_api::names;
use hozen_domain::{
    units::{Name, Uid},
    workload::Workload,
};
use hozen_intake::convert::workload::managed_by;
use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        batch::v1::CronJob,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Resource as _, api::Patch, core::Request};
use serde::Deserialize;
use serde_json::{Value, json};
use smol_str::SmolStr;

use super::{Act, Outcome, Refusal, Scene, node::by};
use crate::freshness::Kind;

/// From which digest of an image to which other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move<'a> {
    /// Repository.
    pub image: &'a SmolStr,
    /// Digest now.
    pub from: &'a SmolStr,
    /// Digest then.
    pub to: &'a SmolStr,
}

/// Where a kind is found, and where its pod template is.
struct Place {
    kind: Kind,
    url: String,
    template: &'static str,
}

/// A workload as far as it matters here.
#[derive(Deserialize)]
struct Found {
    metadata: ObjectMeta,
    spec: Value,
}

impl Act {
    /// Replaces the image of every container that runs the first digest, if each still has the text that was read (invariant 48).
    pub(super) async fn set_image(
        &self,
        scene: &Scene<'_>,
        (key, uid): &(Name, Uid),
        change: &Move<'_>,
    ) -> Outcome {
        let Some((place, name)) = place(key) else {
            return Outcome::Refused(Refusal::Impossible(format!("{key} is no workload")));
        };
        let Some(known) = scene.world.workloads.get(key) else {
            return Outcome::Refused(Refusal::Gone(format!("there is no {key}")));
        };
        let found: Found = match self.get(&place.url, name).await {
            Ok(found) => found,
            Err(outcome) => return outcome,
        };
        if found.metadata.uid.as_deref() != Some(&uid.0) {
            return Outcome::Refused(Refusal::Gone(format!("{key} is another one now")));
        }
        if let Some(owner) = managed_by(&found.metadata) {
            let line = owner.line.as_deref().unwrap_or("its file in Git");
            let why = format!(
                "{key} is owned by {} ({}): change {line} to {}@{}",
                owner.tool, owner.owner, change.image, change.to
            );
            return Outcome::Refused(Refusal::Owned(why));
        }
        let moves = match moves(&place, &found.spec, known, change) {
            Moves::Some(moves) => moves,
            Moves::Done => return Outcome::AlreadySo,
            Moves::None => {
                let why = format!("no container of {key} runs {}@{}", change.image, change.from);
                return Outcome::Refused(Refusal::Changed(why));
            }
        };
        let mut steps = vec![json!({"op": "test", "path": "/metadata/uid", "value": uid.0})];
        steps.extend(moves);
        let patch = match serde_json::from_value(Value::Array(steps)) {
            Ok(patch) => Patch::Json::<()>(patch),
            Err(error) => return Outcome::Refused(Refusal::Impossible(error.to_string())),
        };
        if self.authority.epoch().is_none() {
            return Outcome::Refused(Refusal::NotLeader);
        }
        let request = Request::new(place.url).patch(name, &by(names::manager::ROLLOUT), &patch);
        let answer = self.send(request).await;
        let namespaced = key.split_once('/').map_or(key.as_str(), |(_, rest)| rest);
        self.written(place.kind, namespaced, answer)
    }
}

enum Moves {
    /// Steps of a JSON patch.
    Some(Vec<Value>),
    /// Every container has the new digest.
    Done,
    /// No container runs the image by the first digest.
    None,
}

fn moves(place: &Place, spec: &Value, known: &Workload, change: &Move<'_>) -> Moves {
    let Move { image, from, to } = change;
    let wanted = format!("{image}@{to}");
    let (mut steps, mut there) = (Vec::new(), false);
    for list in ["initContainers", "containers"] {
        let path = format!("{}/spec/{list}", place.template);
        let containers = spec.pointer(&path).and_then(Value::as_array);
        for (index, container) in containers.into_iter().flatten().enumerate() {
            let name = container["name"].as_str().unwrap_or_default();
            let text = container["image"].as_str().unwrap_or_default();
            there |= text == wanted;
            let runs = known.containers.get(name).is_some_and(|used| {
                used.repository == **image
                    && used.pinned.as_ref().or(used.running.as_ref()) == Some(from)
            });
            // What the decision saw is what stands there: a tag moves, a text does not.
            if runs && text != wanted && reads(text, known, name) {
                let path = format!("/spec{path}/{index}");
                steps.push(json!({"op": "test", "path": format!("{path}/name"), "value": name}));
                steps.push(json!({"op": "test", "path": format!("{path}/image"), "value": text}));
                steps.push(
                    json!({"op": "replace", "path": format!("{path}/image"), "value": wanted}),
                );
            }
        }
    }
    match (steps.is_empty(), there) {
        (false, _) => Moves::Some(steps),
        (true, true) => Moves::Done,
        (true, false) => Moves::None,
    }
}

/// Whether a container's text is the one that the decision was made of.
fn reads(text: &str, known: &Workload, container: &str) -> bool {
    known.containers.get(container).is_some_and(|used| {
        let mut written = used.repository.to_string();
        if let Some(tag) = &used.tag {
            written.push(':');
            written.push_str(tag);
        }
        if let Some(digest) = &used.pinned {
            written.push('@');
            written.push_str(digest);
        }
        written == text
    })
}

/// Where `Deployment/shop/web` is found, and its name.
fn place(key: &str) -> Option<(Place, &str)> {
    let mut parts = key.splitn(3, '/');
    let (kind, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
    let at = Some(namespace);
    let place = |kind, url, template| Place { kind, url, template };
    let place = match kind {
        "Deployment" => place(Kind::Deployment, Deployment::url_path(&(), at), "/template"),
        "StatefulSet" => place(Kind::StatefulSet, StatefulSet::url_path(&(), at), "/template"),
        "DaemonSet" => place(Kind::DaemonSet, DaemonSet::url_path(&(), at), "/template"),
        "CronJob" => place(Kind::CronJob, CronJob::url_path(&(), at), "/jobTemplate/spec/template"),
        _ => return None,
    };
    Some((place, name))
}
