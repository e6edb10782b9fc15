//! The ten answers of a request for change (PROCESS 2.6): for people, who are to decide on it. They decide nothing themselves.

mod change;

use std::collections::BTreeSet;

use hozen_advisory::{notice::Notice, package::Change};
use smol_str::SmolStr;

use crate::{
    activate,
    assess::Assessment,
    category::{Facts, category},
    mitigation::NOTHING,
    node::Taint,
    plan::{Answers, ChangeType, Class, Plan, Reachable, RebootMethod, RebootPolicy},
    planner::worse,
    proven,
    rank::{self, Priority, Ranked, Ranking},
    world::World,
};

/// How many things of a kind one answer names.
const NAMED_MAX: usize = 3;

/// The ten answers. Urgency is told as it was ranked, which the plan's own deadline came of.
pub fn answers(world: &World, assessment: &Assessment, ranking: &Ranking, plan: &Plan) -> Answers {
    let notices: Vec<&Notice> = plan
        .advisories
        .iter()
        .filter_map(|name| world.notices.get(name).map(|known| &*known.notice))
        .collect();
    Answers {
        change: change::change(world, plan),
        weakness: weakness(plan, &notices),
        services: services(world, plan),
        deployed: deployed(world, plan),
        restart: restart(plan),
        uninstall: uninstall(plan, &notices),
        mitigation: mitigation(plan, &notices),
        test: test(plan),
        priority: priority(world, assessment, ranking, plan),
        impact: impact(world, plan),
    }
}

fn weakness(plan: &Plan, notices: &[&Notice]) -> String {
    if notices.is_empty() {
        return match plan.change {
            ChangeType::Patch if activate::class(plan).is_some() => {
                "that of the old code, which still runs after its replacement was installed".into()
            }
            ChangeType::Patch if !plan.drill => {
                "none that a notice tells of: security updates of the distribution, or what the baseline requires or forbids".into()
            }
            ChangeType::Patch => "none: an exercise".into(),
            ChangeType::Rollback => {
                "none: a version that nobody approved makes way for the one that the baseline names".into()
            }
            ChangeType::Mitigation | ChangeType::Exception => "none named".into(),
        };
    }
    let told = notices.iter().map(|notice| {
        let cves: Vec<&str> = notice
            .cves()
            .filter(|id| **id != notice.id)
            .take(NAMED_MAX)
            .map(SmolStr::as_str)
            .collect();
        let names = if cves.is_empty() { String::new() } else { format!(" ({})", cves.join(", ")) };
        format!("{}: {}{names}", notice.id, notice.summary)
    });
    some_of(told, "; ")
}

fn services(world: &World, plan: &Plan) -> String {
    let mut said = Vec::new();
    let units = units(plan);
    if !units.is_empty() {
        let names = some_of(units.iter().map(|unit| (*unit).to_string()), ", ");
        let nodes = plural(plan.disruption.restarts, "node");
        let how = if ends(world, plan) { "restarted or ended" } else { "restarted" };
        said.push(format!("{names}: {how} on up to {nodes}"));
    }
    if plan.disruption.drains > 0 {
        let nodes = plural(plan.disruption.drains, "node");
        said.push(format!("pods of up to {nodes} move"));
    }
    match plan.mitigation.as_ref().and_then(|steps| steps.overdue) {
        Some(Taint::Overdue) => said.push("late nodes get no new pods".into()),
        Some(Taint::Isolated) => said.push("pods leave late nodes".into()),
        None => {}
    }
    if let Some(steps) = plan.mitigation.as_ref().filter(|steps| !steps.stop.is_empty()) {
        let names = some_of(steps.stop.iter().map(ToString::to_string), ", ");
        said.push(format!("{names}: stopped until the patch is proven"));
    }
    let workloads: u32 = plan.image_classes().map(|class| class.workloads_max).sum();
    if workloads > 0 {
        said.push(format!("pods of up to {} are replaced", plural(workloads, "workload")));
    }
    if said.is_empty() {
        return "none".into();
    }
    said.join("; ")
}

fn units(plan: &Plan) -> BTreeSet<&SmolStr> {
    plan.node_classes().flat_map(|class| &class.restart).collect()
}

/// Where exactly this was proven already: systems on which a request did what a class of the plan does, and a scan proved it.
fn deployed(world: &World, plan: &Plan) -> String {
    let (mut nodes, mut workloads) = (BTreeSet::new(), BTreeSet::new());
    for class in &plan.classes {
        let systems = match class {
            Class::Nodes(_) => &mut nodes,
            Class::Image(_) => &mut workloads,
        };
        let requests = world.requests.values();
        let proofs = requests.flat_map(|request| proven::proofs(world, request, class));
        systems.extend(proofs.map(|(system, _)| system));
    }
    let told = [(nodes.len(), "node"), (workloads.len(), "workload")];
    let told = told.iter().filter(|(systems, _)| *systems > 0);
    let told: Vec<String> = told.map(|(systems, noun)| plural(count(*systems), noun)).collect();
    if told.is_empty() {
        return "proven nowhere in this cluster yet".into();
    }
    format!("proven on {}", told.join(" and "))
}

/// Whether packages go: what belongs to them ends with them.
fn ends(world: &World, plan: &Plan) -> bool {
    let transactions =
        plan.node_classes().filter_map(|class| world.transactions.get(&class.transaction));
    transactions.into_iter().flat_map(|one| one.changes.iter()).any(Change::removes)
}

fn restart(plan: &Plan) -> String {
    let reboots = plan.disruption.reboots;
    let units = units(plan);
    let due = plan.node_classes().any(|class| class.reboot);
    if due && plan.execution.reboot.policy == RebootPolicy::Never {
        return "a reboot would be needed and is ruled out: the fix stays inactive until somebody reboots".into();
    }
    match (reboots, units.is_empty()) {
        (0, true) if plan.image_classes().next().is_some() => "pods start anew".into(),
        (0, true) => "no".into(),
        (0, false) => "services, no reboot".into(),
        (nodes, _) => {
            let how = match plan.execution.reboot.method {
                RebootMethod::Reboot => "",
                RebootMethod::Kexec => " by kexec, past firmware and boot loader",
            };
            format!("up to {} reboot{how}", plural(nodes, "node"))
        }
    }
}

fn uninstall(plan: &Plan, notices: &[&Notice]) -> String {
    if plan.image_classes().next().is_some() {
        return "yes: the workload goes back to the digest that it came from".into();
    }
    match plan.change {
        ChangeType::Mitigation => return "yes: it is lifted when the patch is proven".into(),
        ChangeType::Exception => return "yes: it can be ended before its time".into(),
        ChangeType::Patch | ChangeType::Rollback => {}
    }
    if let Some(notice) = notices.iter().find(|notice| notice.patch.uninstallable == Some(false)) {
        return format!("no: {} says that its fix cannot be uninstalled", notice.id);
    }
    if plan.node_classes().all(|class| class.transaction == NOTHING) {
        return "nothing is installed that could be taken back".into();
    }
    match rollback(plan) {
        Reachable::Possible if plan.execution.failures.watched => format!(
            "yes: the previous versions are within reach; what fails within {} after the last node is taken back by itself, outside windows too",
            plan.execution.watch
        ),
        Reachable::Possible => "yes: the previous versions are within reach".into(),
        Reachable::Impossible => "no: the previous versions are gone; back up before".into(),
        Reachable::Unknown => {
            "not known: the scanner could not tell whether the previous versions are within reach"
                .into()
        }
    }
}

fn rollback(plan: &Plan) -> Reachable {
    plan.node_classes().fold(Reachable::Possible, |worst, class| worse(worst, class.rollback))
}

fn mitigation(plan: &Plan, notices: &[&Notice]) -> String {
    if plan.change == ChangeType::Mitigation {
        return "this is the mitigation".into();
    }
    if let Some(exception) = plan.exception.as_ref().filter(|asked| !asked.controls.is_empty()) {
        return exception.controls.join("; ");
    }
    let known = notices.iter().flat_map(|notice| &notice.mitigations);
    let told = some_of(known.map(|mitigation| mitigation.summary.clone()), "; ");
    if told.is_empty() {
        return "none is known".into();
    }
    told
}

fn test(plan: &Plan) -> String {
    if let Some(test) = &plan.execution.test {
        let job = test.job_template.as_ref();
        let job = job.map_or_else(String::new, |job| format!(", then the job {job}"));
        return format!("the same proven on {}{job}", test.mirror);
    }
    match plan.stages.as_slice() {
        [first, _, ..] => {
            format!("on {} first, watched for {}; no mirror is named", first.name, first.soak)
        }
        [_] | [] => "not before: the baseline names no mirror and no first stage".into(),
    }
}

fn priority(world: &World, assessment: &Assessment, ranking: &Ranking, plan: &Plan) -> String {
    if plan.drill {
        return "Emergency, as an exercise".into();
    }
    let Some(baseline) = world.baselines.get(&plan.baseline.name) else {
        return "not known: the baseline is gone".into();
    };
    let ranked = plan.advisories.iter().filter_map(|name| {
        let known = world.notices.get(name)?;
        let ranked = ranking.of(name, &baseline.name).cloned();
        let once = || rank::once(world, assessment, baseline, (name, known), systems(plan));
        Some((name, ranked.unwrap_or_else(once)))
    });
    let most = ranked.min_by_key(|(_, ranked)| ranked.urgency());
    match most {
        Some((name, ranked)) => told(name, &ranked),
        None if plan.emergency => Priority::Emergency.name().into(),
        None => "by the baseline's own deadlines".into(),
    }
}

fn told(name: &str, ranked: &Ranked) -> String {
    let reasons = ranked.reasons.iter().map(|reason| reason.text.as_str());
    let reasons: Vec<&str> = reasons.collect();
    format!("{}, for {name}: {}", ranked.priority.name(), reasons.join("; "))
}

fn impact(world: &World, plan: &Plan) -> String {
    let (_, reasons) = category(&facts(world, plan));
    let reasons: Vec<&str> = reasons.iter().map(|reason| reason.text.as_str()).collect();
    if reasons.is_empty() {
        return format!("{:?}", plan.category);
    }
    format!("{:?}: {}", plan.category, reasons.join("; "))
}

/// What decided the category, as far as it can be seen now.
fn facts(world: &World, plan: &Plan) -> Facts {
    let classes: BTreeSet<&SmolStr> = plan.node_classes().map(|class| &class.transaction).collect();
    let mut facts = Facts {
        nodes: plan.node_classes().map(|class| class.nodes_max).sum(),
        workloads: plan.image_classes().map(|class| class.workloads_max).sum(),
        restart: plan.node_classes().any(|class| !class.restart.is_empty()),
        reboot: plan.node_classes().any(|class| class.reboot),
        rollback: rollback(plan),
        on_blocked: plan.execution.drain.on_blocked,
        ..Facts::default()
    };
    for node in world.nodes.values() {
        let inventory = node.report.latest();
        let resolved = inventory.into_iter().flat_map(|inventory| &inventory.transactions);
        if let Some(resolved) = resolved.into_iter().find(|r| classes.contains(&r.transaction)) {
            facts.control_plane |= node.control_plane;
            facts.download_bytes = facts.download_bytes.saturating_add(resolved.download_bytes);
        }
    }
    facts
}

fn systems(plan: &Plan) -> u32 {
    let nodes: u32 = plan.node_classes().map(|class| class.nodes_max).sum();
    let workloads: u32 = plan.image_classes().map(|class| class.workloads_max).sum();
    let mitigated = plan.mitigation.as_ref().map_or(0, |steps| steps.nodes_max);
    nodes.saturating_add(workloads).saturating_add(mitigated)
}

fn some_of(all: impl Iterator<Item = String>, between: &str) -> String {
    let all: Vec<String> = all.collect();
    let more = all.len().saturating_sub(NAMED_MAX);
    let first: Vec<&str> = all.iter().take(NAMED_MAX).map(String::as_str).collect();
    let first = first.join(between);
    if more == 0 {
        return first;
    }
    format!("{first}{between}and {more} more")
}

fn plural(count: u32, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{s}")
}

fn count(systems: usize) -> u32 {
    u32::try_from(systems).unwrap_or(u32::MAX)
}
