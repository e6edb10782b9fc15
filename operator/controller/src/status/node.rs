//! What a `ManagedNode`'s status says.

use std::collections::BTreeMap;

use hozen_api::{
    managed_node::{EndedChange, ManagedNode, ManagedNodeStatus},
    names::condition,
};
use hozen_domain::{
    World,
    assess::{Departure, NodeView, State, uncovered_on},
    model::Turn,
    node::{Ended, Node},
    units::Uid,
};

use super::words::{self, Said};

/// Reasons that a status lists, by its schema.
const REASONS_MAX: usize = 16;
/// Ended changes that a status keeps, by its schema.
const ENDED_MAX: usize = 32;

/// What was just decided about a node.
#[derive(Clone, Copy, Debug, Default)]
pub struct News<'a> {
    /// How changes ended here, by request.
    pub ended: &'a [(&'a Uid, &'a Ended)],
    /// Why a person has to look, if so.
    pub attention: Option<&'a str>,
}

/// The status of a node.
pub fn draft(
    world: &World,
    turn: &Turn,
    (object, node): (&ManagedNode, &Node),
    news: News<'_>,
) -> ManagedNodeStatus {
    let before = object.status.clone().unwrap_or_default();
    let view = turn.assessment.nodes.get(&node.name);
    let generation = observed(object, &before, !news.ended.is_empty());
    let said = vec![ready(view), needs_attention(news.attention)];
    let ended = merged(&before.ended, node, news.ended);
    ManagedNodeStatus {
        observed_generation: generation,
        baseline: view.and_then(|view| view.holding.baseline()).map(ToString::to_string),
        state: view.map(|view| words::state(view.state)),
        activity: view.and_then(|view| view.activity).map(words::activity),
        inactive_since: turn.ranking.inactive_since.get(&node.name).copied(),
        findings: view.map(|view| words::by_priority(turn.ranking.findings(view))),
        reasons: view.map(|view| reasons(view, no_way(turn, node))).unwrap_or_default(),
        uncovered: words::uncovered(&uncovered_on(world, node)),
        ended,
        conditions: words::conditions(&before.conditions, said, generation, world.now),
    }
}

/// While work goes on every step changes the spec. What was observed of it is written with how the work ended: a status write for each step would
/// double the calls, and tools rightly read the state between as "in progress". The end of the work, which is the next write to the spec, is
/// counted in; where another comes between, status is written once more.
fn observed(object: &ManagedNode, before: &ManagedNodeStatus, ended: bool) -> Option<i64> {
    match object.spec.task {
        Some(_) if ended => object.metadata.generation.map(|generation| generation + 1),
        Some(_) => before.observed_generation.or(object.metadata.generation),
        None => object.metadata.generation,
    }
}

fn ready(view: Option<&NodeView>) -> Said {
    let (holds, reason) = match view.map(|view| view.state) {
        Some(State::Compliant) => (Some(true), "Compliant"),
        Some(State::Exempt) => (Some(true), "Exempt"),
        Some(State::Frozen) => (Some(true), "Frozen"),
        Some(State::Above) => (Some(false), "Above"),
        Some(State::Below) => (Some(false), "Below"),
        Some(State::Unknown) | None => (None, "NotKnown"),
    };
    let first = view.and_then(|view| view.departures().next());
    let message = first.map(told).unwrap_or_default();
    Said { aspect: condition::READY, holds, reason, message }
}

fn needs_attention(why: Option<&str>) -> Said {
    Said {
        aspect: condition::NEEDS_ATTENTION,
        holds: Some(why.is_some()),
        reason: if why.is_some() { "Flagged" } else { "NothingToDo" },
        message: why.unwrap_or_default().to_owned(),
    }
}

/// What nothing is planned for, since the package manager of the node found no way.
fn no_way<'t>(turn: &'t Turn, node: &'t Node) -> impl Iterator<Item = String> + 't {
    let asked = turn.planned.resolves.iter();
    asked.filter_map(|ask| {
        let why = ask.no_way(node)?;
        Some(format!("{} is not planned: {why}", ask.purpose))
    })
}

/// First what no request will end.
fn reasons(view: &NodeView, no_way: impl Iterator<Item = String>) -> Vec<String> {
    let mut listed = Vec::new();
    for told in no_way.chain(view.departures().map(told)) {
        let told = words::line(&told);
        if !listed.contains(&told) {
            listed.push(told);
        }
        if listed.len() == REASONS_MAX {
            break;
        }
    }
    listed
}

fn told(departure: &Departure) -> String {
    let Departure { found, wanted, source, rule: _, side: _ } = departure;
    format!("{found}; wanted: {wanted} ({source})")
}

/// How changes ended here, the newest first.
fn merged(before: &[EndedChange], node: &Node, news: &[(&Uid, &Ended)]) -> Vec<EndedChange> {
    let mut by_request: BTreeMap<&str, EndedChange> =
        before.iter().map(|change| (change.request_uid.as_str(), change.clone())).collect();
    for (request, ended) in news {
        by_request.insert(&request.0, words::ended(&request.0, ended, node.tried.get(request)));
    }
    let mut listed: Vec<EndedChange> = by_request.into_values().collect();
    listed.sort_by(|a, b| (b.at, &b.request_uid).cmp(&(a.at, &a.request_uid)));
    listed.truncate(ENDED_MAX);
    listed
}

#[cfg(test)]
mod tests {
    use hozen_api::managed_node::ManagedNodeSpec;
    use hozen_domain::node::Step;
    use hozen_testkit::{at, baseline, debian, node, task_of, world_at};

    use super::*;

    #[test]
    fn the_status_of_a_node_goes_on_saying_since_when_old_code_runs_while_it_does_or_that_cannot_be_told()
     {
        let set = debian(&[("openssl", "3.0.22-1")]);
        let web = |name: &str| node(name).label("tier", "web").has(&set);
        let mut world = world_at("2026-01-06T02:00Z")
            .baseline(baseline("web"))
            .node(web("runs").stale_unit("nginx.service"))
            .node(web("silent").stale())
            .node(web("well"))
            .build();
        let when = at("2026-01-05T02:00Z");
        world.inactive = world.nodes.keys().map(|name| (name.clone(), when)).collect();
        let turn = Turn::take(&world);
        let said = |name: &str| {
            let object = ManagedNode::new(name, ManagedNodeSpec::default());
            draft(&world, &turn, (&object, &world.nodes[name]), News::default()).inactive_since
        };
        assert_eq!([said("runs"), said("silent"), said("well")], [Some(when), Some(when), None]);
    }

    #[test]
    fn a_removal_for_which_there_is_no_way_is_the_first_reason_while_it_is_asked_for() {
        let set = debian(&[("telnetd", "0.17")]);
        let forbidding = baseline("web").without("telnetd");
        let why = "nothing would be removed: telnetd must stay: an administrator holds it back";
        let refuses = |name: &str| {
            node(name).label("tier", "web").has(&set).report(|inventory| {
                inventory.no_way.insert("forbidden-packages".into(), why.into());
                inventory.no_way.insert("all".into(), "nobody asks for it".into());
            })
        };
        let asks = node("asks").label("tier", "web").has(&set);
        let world = world_at("2026-01-06T02:00Z").baseline(forbidding).node(refuses("refuses"));
        let world = world.node(asks).build();
        let turn = Turn::take(&world);
        let reasons = |name: &str| {
            let object = ManagedNode::new(name, ManagedNodeSpec::default());
            draft(&world, &turn, (&object, &world.nodes[name]), News::default()).reasons
        };
        let told = reasons("refuses");
        assert_eq!(told[0], format!("forbidden-packages is not planned: {why}"));
        assert_eq!(told[1..], reasons("asks"));
    }

    #[test]
    fn what_was_observed_is_written_with_how_the_work_ended_and_not_once_more_after_it() {
        let mut world = world_at("2026-01-06T02:00Z").node(node("web")).build();
        let plan = hozen_testkit::plan("web", &["DSA-1"]);
        let request = hozen_testkit::request_of(&world, "web-1", &plan);
        let task = task_of(&request, &"sha256-tx".into(), Step::Verify, world.now);
        let mut object = ManagedNode::new("web", ManagedNodeSpec::default());
        object.spec.task = Some(words::task(&task));
        object.metadata.generation = Some(7);
        let ended = Ended::Proven(world.now);
        world.nodes.get_mut("web").unwrap().task = Some(task);
        let news = [(&request.uid, &ended)];
        let draft = |world: &World, object: &ManagedNode, news: &[(&Uid, &Ended)]| {
            let turn = Turn::take(world);
            let news = News { ended: news, attention: None };
            draft(world, &turn, (object, &world.nodes["web"]), news)
        };
        let before = draft(&world, &object, &[]);
        assert_eq!(before.observed_generation, Some(7));
        object.status = Some(before);
        let written = draft(&world, &object, &news);
        assert_eq!(written.observed_generation, Some(8));
        object.status = Some(written.clone());
        assert_eq!(draft(&world, &object, &[]), written, "its release is waited for");
        object.spec.task = None;
        object.metadata.generation = Some(8);
        world.nodes.get_mut("web").unwrap().task = None;
        assert_eq!(draft(&world, &object, &[]), written);
    }
}
