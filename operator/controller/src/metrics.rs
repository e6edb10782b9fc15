//! What is counted, with closed sets of labels: no name of an object and no text of an error is ever one.

mod calls;

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

pub use calls::{Calls, CountCalls};
use hozen_domain::{
    World, assess::State, measure::exposure, model::Turn, planner::overdue, rank::ByPriority,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::{act::Outcome, status::Written};

/// Seconds of a pass: a settled fleet of a few nodes takes milliseconds, 5,000 nodes seconds.
const PASS_SECONDS: [f64; 10] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EffectLabels {
    effect: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PriorityLabel {
    priority: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabel {
    phase: &'static str,
}

/// Of a gauge that is there or not as a whole.
type Unlabelled = [(&'static str, &'static str); 0];

/// The operator's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    passes: Counter,
    broken: Counter,
    looks: Pass,
    pass: Pass,
    effects: Family<EffectLabels, Counter>,
    writes: Family<ResultLabel, Counter>,
    calls: Calls,
    leader: Gauge,
    stands: Stands,
}

/// How the cluster stood at the last look of the replica that leads; a replica that does not lead tells nothing of it.
#[derive(Clone, Debug, Default)]
struct Stands {
    holds: Family<ReasonLabel, Gauge>,
    nodes: Family<StateLabel, Gauge>,
    workloads: Family<StateLabel, Gauge>,
    missing: Family<PriorityLabel, Gauge>,
    vulnerabilities: Family<PriorityLabel, Gauge>,
    services: Family<Unlabelled, Gauge>,
    overdue: Family<Unlabelled, Gauge>,
    deadline: Family<Unlabelled, Gauge>,
    requests: Family<PhaseLabel, Gauge>,
}

/// How long something takes at each pass.
#[derive(Clone, Debug)]
struct Pass(Histogram);

impl Default for Pass {
    fn default() -> Self {
        Self(Histogram::new(PASS_SECONDS))
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("hozen");
        let (passes, broken, leader) = (Counter::default(), Counter::default(), Gauge::default());
        let (looks, pass) = (Pass::default(), Pass::default());
        let (effects, writes) = (Family::default(), Family::default());
        let (calls, stands) = (Calls::default(), Stands::default());
        registry.register("decisions", "Decisions made", passes.clone());
        registry.register(
            "broken_promises",
            "Promises that decisions would have broken; each is a bug, and was refused",
            broken.clone(),
        );
        let mut seconds = |name, what: &str, Pass(of): &Pass| {
            registry.register_with_unit(name, what, Unit::Seconds, of.clone());
        };
        seconds("decision", "From snapshot to decision", &looks);
        seconds("pass", "A whole pass, with its writes and effects", &pass);
        registry.register("effects", "Calls for effects by what came of them", effects.clone());
        registry.register("writes", "Writes of status and records", writes.clone());
        registry.register("api_calls", "Calls of the API server by verb and answer", calls.clone());
        registry.register("leader", "Whether this replica leads", leader.clone());
        stands.register(&mut registry);
        Self { registry, passes, broken, looks, pass, effects, writes, calls, leader, stands }
    }
}

impl Metrics {
    /// In the text format of Prometheus (`OpenMetrics` 1.0).
    pub fn text(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            // Writing into a String does not fail; what can is a label, and ours are fixed words.
            let _ = write!(text, "# not encoded");
        }
        text
    }

    /// Counts the calls of a client.
    pub(crate) fn count_calls(&self) -> CountCalls {
        CountCalls::new(self.calls.clone())
    }

    pub(crate) fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
        if !leads {
            self.stands.forget();
        }
    }

    pub(crate) fn decided(&self, world: &World, turn: &Turn, broken: usize, took: Duration) {
        self.passes.inc();
        self.broken.inc_by(broken as u64);
        self.looks.0.observe(took.as_secs_f64());
        self.stands.tell(world, turn);
    }

    pub(crate) fn passed(&self, took: Duration) {
        self.pass.0.observe(took.as_secs_f64());
    }

    pub(crate) fn acted(&self, effect: &'static str, outcome: &Outcome) {
        let outcome = match outcome {
            Outcome::Done => "done",
            Outcome::AlreadySo => "already",
            Outcome::Refused(_) => "refused",
            Outcome::Lost(_) => "lost",
            Outcome::Overloaded { .. } => "overloaded",
        };
        self.effects.get_or_create(&EffectLabels { effect, outcome }).inc();
    }

    pub(crate) fn wrote(&self, written: &Written) {
        let conflicts = written.failed.iter().filter(|error| error.is_conflict()).count();
        let failed = written.failed.len() - conflicts;
        for (result, count) in
            [("written", written.count), ("conflict", conflicts), ("failed", failed)]
        {
            self.writes.get_or_create(&ResultLabel { result }).inc_by(count as u64);
        }
    }
}

impl Stands {
    fn register(&self, registry: &mut Registry) {
        let Self {
            holds,
            nodes,
            workloads,
            missing,
            vulnerabilities,
            services,
            overdue,
            deadline,
            requests,
        } = self.clone();
        registry.register("holds", "Reasons to wait that stand now", holds);
        registry.register("nodes", "Nodes by state against their baseline", nodes);
        registry.register("workloads", "Workloads by state against their baselines", workloads);
        let what = "Fixes that exist and are not there, summed over systems, by priority";
        registry.register("missing_patches", what, missing);
        let what = "Vulnerabilities, those without a fix too, summed over systems, by priority";
        registry.register("vulnerabilities", what, vulnerabilities);
        registry.register("listening_services", "Listening ports, summed over nodes", services);
        registry.register("overdue_systems", "Systems that missed a deadline", overdue);
        let what = "When the next change request is due that is open; absent: none has a deadline";
        registry.register_with_unit("next_deadline_timestamp", what, Unit::Seconds, deadline);
        registry.register("change_requests", "Change requests by phase", requests);
    }

    fn forget(&self) {
        self.holds.clear();
        self.nodes.clear();
        self.workloads.clear();
        self.missing.clear();
        self.vulnerabilities.clear();
        self.services.clear();
        self.overdue.clear();
        self.deadline.clear();
        self.requests.clear();
    }

    fn tell(&self, world: &World, turn: &Turn) {
        let Turn { assessment, ranking, decision, planned: _ } = turn;
        // What takes its time comes before anything is cleared: whoever asks meanwhile is told how it was.
        let exposed = exposure(world, assessment, ranking, None).everywhere;
        let late: BTreeSet<_> =
            overdue(world, assessment, ranking).into_iter().map(|late| late.system).collect();
        self.forget();
        for held in &decision.holds {
            self.holds.get_or_create(&ReasonLabel { reason: held.hold.reason() }).inc();
        }
        for node in assessment.nodes.values() {
            self.nodes.get_or_create(&StateLabel { state: state(node.state) }).inc();
        }
        for workload in assessment.workloads.values() {
            self.workloads.get_or_create(&StateLabel { state: state(workload.state) }).inc();
        }
        by_priority(&self.missing, exposed.missing);
        by_priority(&self.vulnerabilities, exposed.vulnerabilities);
        self.services.get_or_create(&[]).set(exposed.services.into());
        self.overdue.get_or_create(&[]).set(i64::try_from(late.len()).unwrap_or(i64::MAX));
        let open = world.requests.values().filter(|request| !request.phase.ended());
        if let Some(due) = open.filter_map(|request| request.due).min() {
            self.deadline.get_or_create(&[]).set(due.as_second());
        }
        for request in world.requests.values() {
            self.requests.get_or_create(&PhaseLabel { phase: request.phase.name() }).inc();
        }
    }
}

fn by_priority(family: &Family<PriorityLabel, Gauge>, counts: ByPriority) {
    let ByPriority { emergency, high, medium, low } = counts;
    for (priority, count) in
        [("Emergency", emergency), ("High", high), ("Medium", medium), ("Low", low)]
    {
        family.get_or_create(&PriorityLabel { priority }).set(count.into());
    }
}

const fn state(state: State) -> &'static str {
    match state {
        State::Compliant => "Compliant",
        State::Exempt => "Exempt",
        State::Frozen => "Frozen",
        State::Unknown => "Unknown",
        State::Above => "Above",
        State::Below => "Below",
    }
}

#[cfg(test)]
mod tests {
    use hozen_testkit::{baseline, web_fleet};

    use super::*;

    #[test]
    fn how_the_cluster_stands_is_told_by_the_replica_that_leads_and_by_no_other() {
        let world = web_fleet(3, baseline("web")).build();
        let metrics = Metrics::default();
        metrics.leads(true);
        metrics.decided(&world, &Turn::take(&world), 0, Duration::from_millis(3));
        let text = metrics.text();
        let told = [
            r#"hozen_nodes{state="Below"} 3"#,
            r#"hozen_missing_patches{priority="Emergency"} 3"#,
            r#"hozen_missing_patches{priority="High"} 0"#,
            "hozen_overdue_systems{} 0",
            r#"hozen_decision_seconds_bucket{le="0.005"} 1"#,
        ];
        for line in told {
            assert!(text.contains(line), "{line}: {text}");
        }
        metrics.leads(false);
        let text = metrics.text();
        assert!(
            text.contains("hozen_leader 0") && text.contains("hozen_decisions_total 1"),
            "{text}"
        );
        assert!(
            !text.contains("hozen_nodes{") && !text.contains("hozen_overdue_systems{"),
            "{text}"
        );
    }
    #[test]
    fn the_page_of_the_command_names_every_metric() {
        let page = include_str!("../../docs/command.md");
        let world = web_fleet(3, baseline("web")).build();
        let metrics = Metrics::default();
        metrics.decided(&world, &Turn::take(&world), 0, Duration::ZERO);
        let text = metrics.text();
        let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let names: Vec<&str> = names.filter_map(|line| line.split(' ').next()).collect();
        assert!(names.len() >= 10, "{names:?}");
        for name in names {
            assert!(page.contains(name), "{name} stands on no page");
        }
    }
}
