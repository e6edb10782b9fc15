//! What the operator asked of the API server, by the server's own audit log, against what the table grants.

use std::collections::{BTreeMap, BTreeSet};

use hozen_access::table::{self, Call, Grant, Identity, Scope};
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

/// Rights for cases that these stories do not play; the tests `act` and `images` do, under other accounts. No verb: every one.
const UNPLAYED: [(Scope, &[&str], &[&str]); 15] = [
    // They run and move no images.
    (Scope::Cluster, &["managedimages"], &["create", "patch", "delete"]),
    (Scope::Cluster, &["managedimages/status"], &["patch"]),
    (Scope::Cluster, &["deployments", "statefulsets", "daemonsets", "cronjobs"], &["get", "patch"]),
    (Scope::Cluster, &["packagesets"], &["create"]),
    // Nothing in them has been idle for a day, or has the name of another.
    (Scope::Cluster, &["transactions", "nodeinventories"], &["delete"]),
    // No change in them has been over for a week.
    (Scope::Cluster, &["changerequests", "rollouts"], &["delete"]),
    // They have no feed, and nothing is said of one.
    (Scope::Cluster, &["advisoryfeeds/status"], &["patch"]),
    // They force no drain, and the one that drains may be over before a pod is asked.
    (Scope::Cluster, &["pods", "pods/eviction"], &["delete", "create"]),
    // The garbage collector may be first.
    (Scope::Cluster, &["managednodes"], &["delete"]),
    // The kind is not there: it is listed in vain.
    (Scope::Cluster, &["sbomreports"], &["watch"]),
    // They run no tests, snapshots and gates by Jobs.
    (Scope::Own, &["podtemplates", "jobs"], &["get", "create", "delete"]),
    // No work is put back that has a Job.
    (Scope::Work, &["jobs"], &["delete"]),
    // Of these an answer is lost by chance, or one is malformed.
    (Scope::Cluster, &["advisories", "changerequests", "managednodes"], &["get"]),
    // Tests tell the operator that its admission policies stand.
    (Scope::Cluster, &["validatingadmissionpolicies"], &[]),
    (Scope::Cluster, &["validatingadmissionpolicybindings"], &[]),
];

fn is_for_another_case((scope, _, resource, verb): &Right) -> bool {
    UNPLAYED.iter().any(|(of, resources, verbs)| {
        of == scope && resources.contains(resource) && (verbs.is_empty() || verbs.contains(verb))
    })
}

/// What a row grants on one resource by one verb.
type Right = (Scope, &'static str, &'static str, &'static str);

fn rights(grant: &'static Grant) -> impl Iterator<Item = Right> {
    grant.resources.iter().flat_map(move |resource| {
        grant.verbs.iter().map(move |verb| (grant.scope, grant.group, *resource, *verb))
    })
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
        let Some(object) = entry.object_ref else {
            // Who am I, and which version: open to everybody who is known.
            continue;
        };
        let resource = match object.subresource.as_str() {
            "" => object.resource.clone(),
            sub => format!("{}/{sub}", object.resource),
        };
        // To ask who one is is everybody's.
        if resource == "selfsubjectreviews" {
            continue;
        }
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
        let rows: Vec<&Grant> =
            table::of(Identity::Operator).filter(|grant| grant.allows(&call)).collect();
        let at = entry.request_received_timestamp;
        if entry.response_status.is_some_and(|status| status.code == 403) {
            let meant = |row: &&Grant| without.iter().any(|time| time.meant(row, at));
            if !rows.iter().any(meant) {
                *refused.entry(format!("{} {}", entry.verb, entry.uri)).or_default() += 1;
            }
            continue;
        }
        let right = |row: &&'static Grant| {
            rights(row).find(|(_, _, of, verb)| *of == resource && *verb == entry.verb)
        };
        used.extend(rows.iter().filter_map(right));
        if rows.is_empty() {
            beyond.insert((object.api_group, resource, entry.verb));
        }
    }
    println!("{calls} calls by {} rights", used.len());
    assert!(refused.is_empty(), "refused: {refused:#?}");
    assert!(beyond.is_empty(), "allowed by something else than the table: {beyond:#?}");
    let unused: BTreeSet<Right> = table::of(Identity::Operator)
        .flat_map(rights)
        .filter(|right| !used.contains(right) && !is_for_another_case(right))
        .collect();
    // A part of the stories uses a part of the rights.
    assert!(!world.whole || unused.is_empty(), "granted and used by nothing: {unused:#?}");
}
