//! The pod template of a workload moves from one digest to another, where it still names the first.

use hozen_api::names;
use hozen_domain::{
    units::{Name, Uid},
    workload::{ImageMove, Workload},
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
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Act, Outcome, Refusal, Scene, node::by};
use crate::freshness::Kind;

/// Where a kind is found, and where its pod template is.
struct Place {
    kind: Kind,
    url: String,
    template: &'static str,
}

/// What the annotation on a workload says of the last move of its image by us, for people who ask where it comes from.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    rollout: &'a str,
    plan: &'a str,
    epoch: u64,
    from: &'a str,
    to: &'a str,
}

/// A workload as far as it matters here.
#[derive(Deserialize)]
struct Found {
    metadata: ObjectMeta,
    spec: Value,
}

impl Act {
    /// Replaces the image of every container that runs the first digest, and leaves our record, in one patch: of the very version that was
    /// read, and if each container still has the text that the decision saw (invariants 48, 51).
    pub(super) async fn set_image(
        &self,
        scene: &Scene<'_>,
        (key, uid): &(Name, Uid),
        change: &ImageMove<'_>,
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
        let mut steps = match head(&found.metadata, uid, &record(scene, known, change)) {
            Ok(head) => head,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        steps.extend(moves);
        let patch = match serde_json::from_value(Value::Array(steps)) {
            Ok(patch) => Patch::Json::<()>(patch),
            Err(error) => return Outcome::Refused(Refusal::Impossible(error.to_string())),
        };
        let request = Request::new(place.url).patch(name, &by(names::manager::ROLLOUT), &patch);
        let answer = self.write(scene.mandate, request).await;
        let namespaced = key.split_once('/').map_or(key.as_str(), |(_, rest)| rest);
        self.written(place.kind, namespaced, answer)
    }
}

/// Who moves it, under which plan.
fn record<'a>(scene: &Scene<'a>, known: &'a Workload, change: &ImageMove<'a>) -> Record<'a> {
    let rollout = known.task.as_ref().map(|task| &task.rollout);
    let plan = rollout.and_then(|(name, uid)| {
        scene.world.rollouts.get(name).filter(|rollout| rollout.uid == *uid)
    });
    Record {
        rollout: rollout.map_or("", |(name, _)| name),
        plan: plan.map_or("", |rollout| &rollout.digest),
        epoch: scene.mandate.epoch,
        from: change.from,
        to: change.to,
    }
}

/// The first steps of the patch: the workload that is meant, as it was read, and our record. A write of anybody since makes the server
/// answer with a conflict.
fn head(metadata: &ObjectMeta, uid: &Uid, record: &Record<'_>) -> Result<Vec<Value>, Refusal> {
    let Some(version) = &metadata.resource_version else {
        return Err(Refusal::Changed("it was read without a resource version".to_owned()));
    };
    let text = serde_json::to_string(record)
        .map_err(|error| Refusal::Impossible(format!("its record cannot be written: {error}")))?;
    let mut steps = vec![
        json!({"op": "test", "path": "/metadata/uid", "value": uid.0}),
        json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version}),
    ];
    if metadata.annotations.is_none() {
        steps.push(json!({"op": "add", "path": "/metadata/annotations", "value": {}}));
    }
    // A slash in a key is written as ~1 (RFC 6901).
    let key = names::annotation::IMAGE_MOVE.replace('/', "~1");
    let path = format!("/metadata/annotations/{key}");
    steps.push(json!({"op": "add", "path": path, "value": text}));
    Ok(steps)
}

enum Moves {
    /// Steps of a JSON patch.
    Some(Vec<Value>),
    /// Every container has the new digest.
    Done,
    /// No container runs the image by the first digest.
    None,
}

fn moves(place: &Place, spec: &Value, known: &Workload, change: &ImageMove<'_>) -> Moves {
    let ImageMove { image, from, to } = change;
    let wanted = format!("{image}@{to}");
    let (mut steps, mut there) = (Vec::new(), false);
    for list in ["initContainers", "containers"] {
        let path = format!("{}/spec/{list}", place.template);
        let containers = spec.pointer(&path).and_then(Value::as_array);
        for (index, container) in containers.into_iter().flatten().enumerate() {
            let name = container["name"].as_str().unwrap_or_default();
            let text = container["image"].as_str().unwrap_or_default();
            there |= text == wanted;
            let runs = known
                .containers
                .get(name)
                .is_some_and(|used| used.repository == **image && used.named() == Some(*from));
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
    known.containers.get(container).is_some_and(|used| used.to_string() == text)
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
