//! What the operator asked of the API server, by the server's own audit log, against what the table grants.

use std::collections::{BTreeMap, BTreeSet};

use hozen_access::table::{self, Call, Identity, Scope};
use hozen_testbed::control_plane;
use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    cluster::{NAMESPACE, WORK},
    outage::WITHOUT_RIGHTS,
    world::World,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    user: User,
    verb: String,
    #[serde(default)]
    object_ref: Option<Object>,
    #[serde(default)]
    response_status: Option<Status>,
    #[serde(default, rename = "requestURI")]
    uri: String,
    request_received_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    api_group: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
}

pub async fn i42_nothing_is_refused_and_nothing_is_done_but_by_the_table(world: World) {
    let log = std::fs::read_to_string(control_plane::audit_log(&world.bed)).unwrap();
    let operator = format!("system:serviceaccount:{NAMESPACE}:hozen");
    let without = WITHOUT_RIGHTS.lock().unwrap().clone();
    let (mut used, mut refused, mut beyond) =
        (BTreeSet::new(), BTreeMap::<String, usize>::new(), BTreeSet::new());
    let mut calls = 0;
    for line in log.lines() {
        // The last line may be half written.
        let Ok(entry) = serde_json::from_str::<Entry>(line) else {
            continue;
        };
        if entry.user.username != operator {
            continue;
        }
        calls += 1;
        let at = entry.request_received_timestamp;
        let meant = without.iter().any(|(from, until)| (*from..=*until).contains(&at));
        if entry.response_status.is_some_and(|status| status.code == 403) {
            if !meant {
                *refused.entry(format!("{} {}", entry.verb, entry.uri)).or_default() += 1;
            }
            continue;
        }
        let Some(object) = entry.object_ref else {
            // Who am I, and which version: open to everybody who is known.
            continue;
        };
        let resource = match object.subresource.as_str() {
            "" => object.resource.clone(),
            sub => format!("{}/{sub}", object.resource),
        };
        let scope = match object.namespace.as_str() {
            NAMESPACE => Scope::Own,
            WORK => Scope::Work,
            _ => Scope::Cluster,
        };
        let call = Call {
            group: &object.api_group,
            resource: &resource,
            verb: &entry.verb,
            scope,
            name: &object.name,
        };
        // To ask who one is is everybody's.
        if resource == "selfsubjectreviews" {
            continue;
        }
        match table::allows(Identity::Operator, &call) {
            Some(_) => drop(used.insert((object.api_group, resource, entry.verb))),
            None => drop(beyond.insert((object.api_group, resource, entry.verb))),
        }
    }
    println!("{calls} calls of {} kinds", used.len());
    assert!(refused.is_empty(), "refused: {refused:#?}");
    assert!(beyond.is_empty(), "allowed by something else than the table: {beyond:#?}");
    let mut unused = BTreeSet::new();
    for grant in table::of(Identity::Operator) {
        for resource in grant.resources {
            for verb in grant.verbs {
                let key = (grant.group.to_owned(), (*resource).to_owned(), (*verb).to_owned());
                if !used.contains(&key) {
                    unused.insert((grant.group, *resource, *verb));
                }
            }
        }
    }
    // These stories move no images, collect nothing and follow no feeds: what is left is told, for whoever trims the table.
    println!("granted and not used by these stories: {unused:?}");
}
