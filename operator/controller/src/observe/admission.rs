//! Whether the admission policies of the cluster stand as they must (invariant 16): watched, and compared at every change.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
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

use super::PROMPT_SECONDS;
use crate::clock::Clock;

/// Faults that are told; the rest is a number.
const FAULTS_TOLD_MAX: usize = 3;
/// Said until both lists are through: what was not looked at is not taken for right.
pub const UNSEEN: &str = "not looked at yet";

/// For so long what was seen last stands while the watch fails: an API server that starts again is back by then.
const BLIND_MAX: Duration = Duration::from_secs(30);

/// Objects of one kind by name; none before the first list is through.
#[derive(Default)]
struct Known {
    objects: Option<BTreeMap<String, Value>>,
    listing: BTreeMap<String, Value>,
    /// Since when, since boot, the watch has been failing, and why it does.
    blind: Option<(Duration, String)>,
}

/// Watches both kinds until dropped, by a client that notices soon when nobody answers any more, and tells what is wrong, if anything is.
pub async fn watch_policies(
    client: Client,
    installation: Installation,
    clock: Arc<dyn Clock>,
    tell: watch::Sender<Option<String>>,
) {
    let (mut policies, mut bindings) = (Known::default(), Known::default());
    let mut of_policies = pin!(events(&client, "ValidatingAdmissionPolicy"));
    let mut of_bindings = pin!(events(&client, "ValidatingAdmissionPolicyBinding"));
    loop {
        let now = clock.since_boot();
        let left = [&policies, &bindings].into_iter().filter_map(|known| known.sees_for(now)).min();
        let blind = async {
            match left {
                Some(left) => tokio::time::sleep(left).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(event) = of_policies.next() => policies.take(event, clock.since_boot()),
            Some(event) = of_bindings.next() => bindings.take(event, clock.since_boot()),
            () = blind => {}
            else => return,
        }
        let wrong = wrong(&installation, (&policies, &bindings), clock.since_boot());
        tell.send_if_modified(|known| {
            let changed = *known != wrong;
            *known = wrong;
            changed
        });
    }
}

/// Events of one kind. After an error it is listed anew: a watch that is resumed says nothing, and only a list says that the kind can be seen again.
fn events(
    client: &Client,
    kind: &str,
) -> impl futures::Stream<Item = Result<Event<DynamicObject>, watcher::Error>> + use<> {
    let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let config = watcher::Config::default().timeout(PROMPT_SECONDS);
    let begin = move || watcher(api.clone(), config.clone()).boxed();
    let events = stream::unfold((begin, None), async |(begin, open)| {
        let mut open = open.unwrap_or_else(&begin);
        loop {
            match open.next().await? {
                // Said before anything was asked: it is no sign that something was answered.
                Ok(Event::Init) => {}
                Ok(event) => return Some((Ok(event), (begin, Some(open)))),
                Err(error) => return Some((Err(error), (begin, None))),
            }
        }
    });
    events.default_backoff()
}

/// What is wrong with the policies, or with the sight of them.
fn wrong(
    installation: &Installation,
    (policies, bindings): (&Known, &Known),
    now: Duration,
) -> Option<String> {
    let blind = [policies, bindings].into_iter().find_map(|known| known.is_blind(now));
    if let Some(why) = blind {
        return Some(format!("they cannot be looked at: {why}"));
    }
    match (&policies.objects, &bindings.objects) {
        (Some(policies), Some(bindings)) => {
            let (policies, bindings) = (policies.clone(), bindings.clone());
            told(installation, &Standing { policies, bindings })
        }
        (None, _) | (_, None) => Some(UNSEEN.to_owned()),
    }
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
    fn take(&mut self, event: Result<Event<DynamicObject>, watcher::Error>, now: Duration) {
        let json = |object: &DynamicObject| serde_json::to_value(object).unwrap_or_default();
        match event {
            Ok(Event::Init) => {}
            Ok(Event::InitApply(object)) => {
                self.listing.insert(object.name_any(), json(&object));
            }
            Ok(Event::InitDone) => {
                self.objects = Some(std::mem::take(&mut self.listing));
                self.blind = None;
            }
            Ok(Event::Apply(object)) => {
                let known = self.objects.get_or_insert_default();
                known.insert(object.name_any(), json(&object));
            }
            Ok(Event::Delete(object)) => {
                self.objects.get_or_insert_default().remove(&object.name_any());
            }
            // What was seen last stands for a while: an API server that is away takes no writes of anybody.
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "watch of admission policies"
                );
                self.listing.clear();
                self.blind.get_or_insert_with(|| (now, error.to_string()));
            }
        }
    }

    /// Until what was seen last stands no more; none: it is seen, or stands no more.
    fn sees_for(&self, now: Duration) -> Option<Duration> {
        let (since, _) = self.blind.as_ref()?;
        Some((*since + BLIND_MAX).saturating_sub(now)).filter(|left| !left.is_zero())
    }

    /// Why it was not seen for too long.
    fn is_blind(&self, now: Duration) -> Option<&str> {
        let (since, why) = self.blind.as_ref()?;
        (*since + BLIND_MAX <= now).then_some(why.as_str())
    }
}

#[cfg(test)]
mod tests {
    use hozen_access::policies::manifests;
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn i16_policies_that_could_not_be_looked_at_for_too_long_do_not_stand() {
        let installation = Installation::templated();
        let (mut policies, mut bindings) = (Known::default(), Known::default());
        let at = Duration::from_secs;
        let wrong = |policies: &Known, bindings: &Known, now| {
            wrong(&installation, (policies, bindings), now)
        };
        assert_eq!(wrong(&policies, &bindings, at(0)).as_deref(), Some(UNSEEN));
        for of in manifests(&installation) {
            let known = match of["kind"].as_str().unwrap() {
                "ValidatingAdmissionPolicy" => &mut policies,
                _ => &mut bindings,
            };
            known.take(Ok(Event::InitApply(object(of))), at(1));
        }
        policies.take(Ok(Event::InitDone), at(1));
        bindings.take(Ok(Event::InitDone), at(1));
        assert_eq!(
            wrong(&policies, &bindings, at(900)),
            None,
            "nothing that happens is no failure"
        );
        bindings.take(Err(watcher::Error::NoResourceVersion), at(1_000));
        bindings.take(Err(watcher::Error::NoResourceVersion), at(1_020));
        assert_eq!(wrong(&policies, &bindings, at(1_029)), None);
        assert_eq!(bindings.sees_for(at(1_029)), Some(at(1)));
        let told = wrong(&policies, &bindings, at(1_030)).unwrap();
        assert!(told.contains("cannot be looked at"), "{told}");
        assert_eq!(bindings.sees_for(at(1_030)), None);
        // A list shows what stands now.
        bindings
            .take(Ok(Event::InitApply(object(json!({"metadata": {"name": "other"}})))), at(1_040));
        bindings.take(Ok(Event::InitDone), at(1_040));
        let told = wrong(&policies, &bindings, at(1_040)).unwrap();
        assert!(told.contains("is missing"), "{told}");
    }
}
