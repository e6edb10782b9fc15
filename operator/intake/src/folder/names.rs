//! Names that a script may use: a misspelt one would silently be a story in which nothing happens.

use std::collections::BTreeSet;

use hozen_domain::{
    World,
    model::scenario::{Meant, Subject},
};
use smol_str::SmolStr;

use crate::{
    manifest::Manifests,
    reference::not_there,
    tree::{Node, Value},
};

/// What is there by name, also what is wrong in itself; none where a part of it could not be read, so that nobody can say that
/// something is missing.
pub(super) struct Names<'a> {
    baselines: Option<BTreeSet<&'a str>>,
    nodes: Option<BTreeSet<&'a str>>,
    advisories: Option<BTreeSet<&'a str>>,
    gates: Option<BTreeSet<&'a str>>,
    roles: Option<BTreeSet<&'a str>>,
    requests: Option<BTreeSet<&'a str>>,
}

impl<'a> Names<'a> {
    pub fn of(manifests: &'a Manifests, world: &'a World) -> Self {
        let with = |kind: &str, more: Vec<&'a str>| {
            let mut names = manifests.names(kind)?;
            names.extend(more);
            Some(names)
        };
        // Where no Node is written, reports stand for their nodes.
        let stand_ins = manifests.names("Node").is_some_and(|names| names.is_empty());
        let nodes = if stand_ins { "NodeInventory" } else { "Node" };
        // Which notices of feeds matter is known only if every package set is.
        let sets = manifests
            .names("PackageSet")
            .filter(|_| manifests.unformed.iter().all(|object| object.kind != "PackageSet"));
        let notices = world.notices.keys().map(SmolStr::as_str).collect();
        Self {
            baselines: manifests.names("Baseline"),
            nodes: with(nodes, world.nodes.keys().map(SmolStr::as_str).collect()),
            advisories: sets.and_then(|_| with("Advisory", notices)),
            gates: gates(manifests, world),
            roles: roles(manifests),
            requests: manifests.names("ChangeRequest"),
        }
    }

    /// What is to be said of a role that no policy asks for: who approves in it is never asked.
    pub fn no_role(&self, role: &str) -> Option<String> {
        let known = self.roles.as_ref()?;
        (!known.contains(role)).then(|| not_there("role", role, known))
    }

    /// What is to be said of a request that an event names and that cannot be one of its baseline. Requests come while the script is
    /// played, so more than the form of their names cannot be asked for.
    pub fn no_request<'m>(&self, meant: Meant<'m>) -> Option<(&'m str, String)> {
        let Meant { baseline, advisory: _, request } = meant;
        let (request, known) = (request?, self.requests.as_ref()?);
        let digits =
            request.strip_prefix(baseline.as_str()).and_then(|rest| rest.strip_prefix('-'));
        if digits.is_some_and(|digits| !digits.is_empty()) || known.contains(request.as_str()) {
            return None;
        }
        let message = format!(
            "{request} is no request of {baseline}: their names are like {baseline}-1a2b3c, as hozen simulate and hozen plan print them"
        );
        Some((request, message))
    }

    /// What is to be said of a name that a script uses; nothing if all is well, or if it cannot be known.
    pub fn missing(&self, subject: Subject<'_>) -> Option<String> {
        let (kind, name, known) = match subject {
            Subject::Baseline(name) => ("baseline", name, &self.baselines),
            Subject::Node(name) => ("node", name, &self.nodes),
            Subject::Advisory(name) => ("advisory", name, &self.advisories),
            Subject::Gate(name) => ("gate", name, &self.gates),
            // Files are looked for where they are read, and packages when all sets are.
            Subject::Manifest(_) | Subject::Package(_) => return None,
        };
        let known = known.as_ref()?;
        (!known.contains(name)).then(|| not_there(kind, name, known))
    }
}

/// Roles that any policy asks for.
fn roles(manifests: &Manifests) -> Option<BTreeSet<&str>> {
    manifests.names("ApprovalPolicy")?;
    let mut names = BTreeSet::new();
    let mut left: Vec<&Node> =
        manifests.written("ApprovalPolicy").map(|(_, _, tree)| tree).collect();
    while let Some(node) = left.pop() {
        let Value::Map(entries) = &node.value else { continue };
        for entry in entries {
            match &entry.node.value {
                Value::List(items) if entry.key == "roles" => {
                    // Of a role whose name cannot be read nobody can say that it is another.
                    let found: Option<BTreeSet<&str>> =
                        items.iter().map(|item| item.get("name")?.text()).collect();
                    names.extend(found?);
                }
                _ => left.push(&entry.node),
            }
        }
    }
    Some(names)
}

/// Gates of all baselines, as written and as understood.
fn gates<'a>(manifests: &'a Manifests, world: &'a World) -> Option<BTreeSet<&'a str>> {
    manifests.names("Baseline")?;
    let understood = world.baselines.values().flat_map(|baseline| baseline.gates());
    let mut names: BTreeSet<&str> = understood.map(SmolStr::as_str).collect();
    for (_, _, tree) in manifests.written("Baseline") {
        let gates = listed(tree, &["spec", "rollout", "gates"]);
        let windows = listed(tree, &["spec", "windows"]).iter();
        let all = gates.iter().chain(windows.flat_map(|window| listed(window, &["when"])));
        names.extend(all.filter_map(|gate| gate.get("name")?.text()));
    }
    Some(names)
}

/// The list that stands there, if one does.
fn listed<'a>(tree: &'a Node, path: &[&str]) -> &'a [Node] {
    match path.iter().try_fold(tree, |node, key| node.get(key)).map(|found| &found.value) {
        Some(Value::List(list)) => list,
        _ => &[],
    }
}
