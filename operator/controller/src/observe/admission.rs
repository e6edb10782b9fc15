//! Whether the admission policies of the cluster stand as they must (invariant 16): watched, and compared at every change.

use std::{collections::BTreeMap, pin::pin};

use futures::StreamExt as _;
use hozen_access::{
    Installation,
    standing::{Standing, faults},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::ApiResource,
    core::{DynamicObject, GroupVersionKind},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use serde_json::Value;
use tokio::sync::watch;

/// Faults that are told; the rest is a number.
const FAULTS_TOLD_MAX: usize = 3;
/// Said until both lists are through: what was not looked at is not taken for right.
pub const UNSEEN: &str = "not looked at yet";

/// Objects of one kind by name; none before the first list is through.
#[derive(Default)]
struct Known {
    objects: Option<BTreeMap<String, Value>>,
    listing: BTreeMap<String, Value>,
}

/// Watches both kinds until dropped, and tells what is wrong, if anything is.
pub async fn watch_policies(
    client: Client,
    installation: Installation,
    tell: watch::Sender<Option<String>>,
) {
    let (mut policies, mut bindings) = (Known::default(), Known::default());
    let mut of_policies = pin!(events(&client, "ValidatingAdmissionPolicy"));
    let mut of_bindings = pin!(events(&client, "ValidatingAdmissionPolicyBinding"));
    loop {
        tokio::select! {
            biased;
            Some(event) = of_policies.next() => policies.take(event),
            Some(event) = of_bindings.next() => bindings.take(event),
            else => return,
        }
        let wrong = match (&policies.objects, &bindings.objects) {
            (Some(policies), Some(bindings)) => {
                let (policies, bindings) = (policies.clone(), bindings.clone());
                told(&installation, &Standing { policies, bindings })
            }
            (None, _) | (_, None) => Some(UNSEEN.to_owned()),
        };
        tell.send_if_modified(|known| {
            let changed = *known != wrong;
            *known = wrong;
            changed
        });
    }
}

fn events(
    client: &Client,
    kind: &str,
) -> impl futures::Stream<Item = Result<Event<DynamicObject>, watcher::Error>> + use<> {
    let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    watcher(api, watcher::Config::default()).default_backoff()
}

fn told(installation: &Installation, standing: &Standing) -> Option<String> {
    let faults = faults(installation, standing);
    if faults.is_empty() {
        return None;
    }
    let mut told: Vec<String> =
        faults.iter().take(FAULTS_TOLD_MAX).map(ToString::to_string).collect();
    if faults.len() > FAULTS_TOLD_MAX {
        told.push(format!("and {} more", faults.len() - FAULTS_TOLD_MAX));
    }
    Some(told.join("; "))
}

impl Known {
    fn take(&mut self, event: Result<Event<DynamicObject>, watcher::Error>) {
        let json = |object: &DynamicObject| serde_json::to_value(object).unwrap_or_default();
        match event {
            Ok(Event::Init) => self.listing.clear(),
            Ok(Event::InitApply(object)) => {
                self.listing.insert(object.name_any(), json(&object));
            }
            Ok(Event::InitDone) => self.objects = Some(std::mem::take(&mut self.listing)),
            Ok(Event::Apply(object)) => {
                let known = self.objects.get_or_insert_default();
                known.insert(object.name_any(), json(&object));
            }
            Ok(Event::Delete(object)) => {
                self.objects.get_or_insert_default().remove(&object.name_any());
            }
            // What was seen last stands: a policy that is altered while nobody can look is seen as soon as somebody can.
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "watch of admission policies");
            }
        }
    }
}
