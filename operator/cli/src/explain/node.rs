//! Why a node stands as it does.

use hozen_advisory::package::Change;
use hozen_domain::{
    assess::{Activity, Holding, NodeView, State, uncovered_on},
    baseline::Selector,
    effect::Held,
    model::{Outcome, Undone},
    node::{Cordon, Node, Ready, Report},
    units::Name,
};

use super::{Answer, Section, common, updates};

/// Changes of a transaction that are listed.
const CHANGES_MAX: usize = 6;

pub(super) fn answer(outcome: &Outcome, name: &Name) -> Option<Answer> {
    let node = outcome.world.nodes.get(name)?;
    let view = outcome.after.assessment.nodes.get(name)?;
    let mut answer = Answer { summary: summary(view), ..Answer::default() };
    answer.add(stands(outcome, node, view));
    answer.add(common::departures(view.departures()));
    answer.add(common::uncovered(&uncovered_on(&outcome.world, node)));
    answer.add(urgent(outcome, view));
    answer.add(transactions(outcome, node));
    answer.add(common::history(outcome, &node.ended, outcome.world.inactive.get(&node.name)));
    if let Some(baseline) = view.holding.baseline() {
        let mut section = Section::new("requests that would change it");
        for request in common::open_requests(outcome, baseline) {
            section.say(common::request_line(request));
        }
        answer.add(section);
        let ours = |held: &Held| {
            let request = outcome.world.requests.get(&held.about);
            let of = request.map_or(&held.about, |r| &r.plan.baseline.name);
            of == baseline && held.hold.of(name).is_some()
        };
        // Of what it misses, and of a rollup that it may be in, what is said of all is said of it.
        let misses = |about: &Name| {
            about.starts_with("rollup-") || view.missing().any(|missing| missing.notice == *about)
        };
        common::left_out(outcome, &mut answer, |note| {
            let told = !note.systems.is_empty() || misses(&note.about);
            note.about == *name || (note.baseline == *baseline && told && note.tells_of(name))
        });
        let undone = outcome.undone().into_iter().find(|u| u.systems.contains(name));
        answer.next.extend(undone.and_then(|Undone { next, .. }| next));
        let failed = node.ended.values().any(|ended| ended.failure_of_change().is_some());
        if failed && view.state == State::Below {
            answer.next.push(
                "the same versions are not tried again by themselves; newer ones make a new request"
                    .to_owned(),
            );
        }
        common::holds(outcome, &mut answer, ours);
        match view.state {
            State::Below | State::Above | State::Unknown => {
                common::who_could(outcome, &mut answer, [baseline], None);
            }
            State::Compliant | State::Exempt | State::Frozen => {}
        }
        answer.see("baseline", baseline);
        for missing in view.missing().take(3) {
            answer.see("advisory", &missing.notice);
        }
    }
    Some(answer)
}

fn summary(view: &NodeView) -> String {
    let baseline = view.holding.baseline();
    let of = baseline.map_or_else(String::new, |baseline| format!(" its baseline {baseline}"));
    let activity = match view.activity {
        Some(Activity::PatchedInactive) => ", patched but inactive",
        Some(Activity::PatchedActive | Activity::Vulnerable) | None => "",
    };
    match &view.holding {
        Holding::Nobody => "no baseline selects it, so nothing is asked of it".to_owned(),
        Holding::Tie(one, other) => format!("{one} and {other} both select it; neither acts"),
        Holding::By(_) => match view.state {
            State::Below => format!("below{of}{activity}"),
            State::Above => format!("above{of}"),
            State::Compliant => format!("compliant with{of}"),
            State::Exempt => format!("exempt from what{of} asks"),
            State::Frozen => format!("frozen in{of}: no more updates exist for it"),
            State::Unknown => format!("unknown: it cannot be told how it stands against{of}"),
        },
    }
}

fn stands(outcome: &Outcome, node: &Node, view: &NodeView) -> Section {
    let mut section = Section::new("how it stands");
    for baseline in outcome.world.baselines.values() {
        let selected = match &baseline.selector {
            Selector::Nodes(selector) => selector.matches(&node.labels),
            Selector::Images { .. } => false,
        };
        if !selected {
            continue;
        }
        let holds = match &view.holding {
            Holding::By(name) if *name == baseline.name => {
                "selects it, and holds: the highest priority"
            }
            Holding::Tie(one, other) if *one == baseline.name || *other == baseline.name => {
                "selects it, and ties with another: neither acts"
            }
            Holding::By(_) | Holding::Tie(..) | Holding::Nobody => {
                "selects it, and yields to a higher priority"
            }
        };
        section.rule(
            format!("{} (priority {}) {holds}", baseline.name, baseline.priority),
            format!("{} spec.selector, spec.priority", baseline.name),
        );
    }
    match &node.report {
        Report::Known(inventory) => {
            let indices = inventory.indices_refreshed_at.map_or_else(String::new, |at| {
                format!("; its package indices are of {at} (hozen rescan refreshes them)")
            });
            section.say(format!("its scanner reported at {}{indices}", inventory.scanned_at));
        }
        Report::Stale(inventory) => section.rule(
            format!("its last report is of {}, too old to decide by", inventory.scanned_at),
            "PROCESS 1.2",
        ),
        Report::Missing(why) => section.rule(format!("no report: {why}"), "PROCESS 1.2"),
    }
    let inventory = node.report.latest();
    let blind = inventory.into_iter().flat_map(|i| outcome.world.blind(&i.package_set));
    for blind in blind {
        let told = inventory.is_some_and(|inventory| inventory.tells_security && blind.system);
        let then = if told {
            "its package manager's own index tells what is missing"
        } else {
            "what is missing of them is not known"
        };
        section.rule(format!("{blind}: {then}"), "PROCESS 1.2");
    }
    if let Ready::No(since) = node.ready {
        section.rule(
            format!("the Node object says NotReady since {since}: it counts against the budget"),
            "invariant 2",
        );
    }
    match &node.cordon {
        Cordon::None => {}
        Cordon::Ours(_) => section.say("cordoned by Hozen"),
        Cordon::Foreign => {
            section.rule("cordoned by somebody else: Hozen leaves it so", "invariant 6");
        }
        Cordon::Lifted(_) => {
            section.rule("a person uncordoned it in mid-work: their will stands", "invariant 6");
        }
    }
    if let Some(task) = &node.task {
        section.say(format!("{} for {} since {}", task.step.gerund(), task.rollout.0, task.since));
        if let Some(waits) = node.waits_for() {
            section.say(format!("its work on the host waits for {waits}"));
        }
    }
    if let Some(why) = &node.needs_attention {
        section.rule(format!("a person has to look: {why}"), "invariant 33");
    }
    section
}

/// Why each missing notice is as urgent as it is.
fn urgent(outcome: &Outcome, view: &NodeView) -> Section {
    let Some(baseline) = view.holding.baseline() else {
        return Section::default();
    };
    let mut section = common::urgent(outcome, baseline, view.missing());
    if view.untold().next().is_some()
        && let Some(ranked) = outcome.after.ranking.updates.get(baseline)
    {
        let head = "security updates that no notice tells of";
        common::ranked(&mut section, head, ranked, outcome.world.now);
        for package in view.unbrought() {
            let clock = updates::clock(outcome, baseline, package);
            section.rule(format!("{package}, which nothing brings{clock}"), "PROCESS 3.1");
        }
    }
    section
}

/// What its package manager says that it would do.
fn transactions(outcome: &Outcome, node: &Node) -> Section {
    let mut section = Section::new("what its package manager would do");
    let Some(inventory) = node.report.latest() else {
        return section;
    };
    for resolved in &inventory.transactions {
        let transaction = outcome.world.transactions.get(&resolved.transaction);
        let changes: Vec<String> = transaction
            .into_iter()
            .flat_map(|transaction| transaction.changes.iter())
            .map(common::change)
            .collect();
        let goes = transaction.into_iter().flat_map(|one| one.changes.iter()).any(Change::removes);
        let restart: Vec<&str> = resolved.restart.iter().map(smol_str::SmolStr::as_str).collect();
        let mut then = Vec::new();
        if !restart.is_empty() {
            let verb = if goes { "restart or end" } else { "restart" };
            then.push(format!("{} {verb}", restart.join(", ")));
        }
        then.push(if resolved.reboot { "then a reboot" } else { "no reboot" }.to_owned());
        section.say(format!(
            "for {}: {}; {}",
            resolved.purpose,
            crate::text::some_of(&changes, CHANGES_MAX),
            then.join(", ")
        ));
    }
    for (purpose, why) in &inventory.no_way {
        section.say(format!("for {purpose}: no way: {why}"));
    }
    section
}
