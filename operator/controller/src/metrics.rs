//! What is counted, with closed sets of labels: no name of an object and no text of an error is ever one.

use std::fmt::Write as _;

use hozen_domain::model::Turn;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::{act::Outcome, status::Written};

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

/// The operator's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    passes: Counter,
    broken: Counter,
    effects: Family<EffectLabels, Counter>,
    writes: Family<ResultLabel, Counter>,
    holds: Family<ReasonLabel, Gauge>,
    nodes: Family<StateLabel, Gauge>,
    leader: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("hozen");
        let (passes, broken, leader) = (Counter::default(), Counter::default(), Gauge::default());
        let (effects, writes) = (Family::default(), Family::default());
        let (holds, nodes) = (Family::default(), Family::default());
        registry.register("decisions", "Decisions made", passes.clone());
        registry.register(
            "broken_promises",
            "Promises that decisions would have broken; each is a bug, and was refused",
            broken.clone(),
        );
        registry.register("effects", "Calls for effects by what came of them", effects.clone());
        registry.register("writes", "Writes of status and records", writes.clone());
        registry.register("holds", "Reasons to wait that stand now", holds.clone());
        registry.register("nodes", "Nodes by state against their baseline", nodes.clone());
        registry.register("leader", "Whether this replica leads", leader.clone());
        Self { registry, passes, broken, effects, writes, holds, nodes, leader }
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

    pub(crate) fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    pub(crate) fn decided(&self, turn: &Turn, broken: usize) {
        self.passes.inc();
        self.broken.inc_by(broken as u64);
        self.holds.clear();
        for held in &turn.decision.holds {
            self.holds.get_or_create(&ReasonLabel { reason: held.hold.reason() }).inc();
        }
        self.nodes.clear();
        for node in turn.assessment.nodes.values() {
            let state = state(node.state);
            self.nodes.get_or_create(&StateLabel { state }).inc();
        }
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

const fn state(state: hozen_domain::assess::State) -> &'static str {
    use hozen_domain::assess::State;
    match state {
        State::Compliant => "Compliant",
        State::Exempt => "Exempt",
        State::Frozen => "Frozen",
        State::Unknown => "Unknown",
        State::Above => "Above",
        State::Below => "Below",
    }
}
