//! What an Advisory's status says: whether it matters here, how much, and why.

use hozen_api::{
    advisory::{Advisory as Object, AdvisoryStatus, AffectedBaseline},
    names::{condition, reason},
};
use hozen_domain::{World, model::Turn, rank::RankedNotice, request::Known, units::Name};

use super::words::{self, Said};

/// Reasons that a status lists, by its schema.
const REASONS_MAX: usize = 32;
/// Baselines that a status lists, by its schema.
const AFFECTED_MAX: usize = 256;

/// The status of an advisory whose spec is valid.
pub fn draft(
    world: &World,
    turn: &Turn,
    name: &Name,
    (object, known): (&Object, &Known),
) -> AdvisoryStatus {
    let before = object.status.clone().unwrap_or_default();
    let ranked = turn.ranking.notices.get(name);
    let generation = object.metadata.generation;
    let baselines = || ranked.into_iter().flat_map(|ranked| ranked.baselines.values());
    let most = baselines().min_by_key(|ranked| ranked.priority);
    let reasons = most.into_iter().flat_map(|ranked| &ranked.reasons);
    let reasons = reasons.take(REASONS_MAX);
    let said = Said {
        aspect: condition::READY,
        holds: Some(true),
        reason: reason::VALID,
        message: ranked.map_or_else(String::new, |ranked| ranked.why.clone()),
    };
    AdvisoryStatus {
        observed_generation: generation,
        first_seen: Some(known.first_seen),
        fix_first_seen: known.fix_first_seen,
        relevance: ranked.map(|ranked| words::relevance(ranked.relevance)),
        priority: most.map(|ranked| words::priority(ranked.priority)),
        due: baselines().filter_map(|ranked| ranked.due).min(),
        reasons: reasons.map(|r| words::line(&format!("{} ({})", r.text, r.source))).collect(),
        affected: ranked.map(|ranked| affected(world, name, ranked)).unwrap_or_default(),
        conditions: words::conditions(&before.conditions, vec![said], generation, world.now),
    }
}

fn affected(world: &World, notice: &Name, ranked: &RankedNotice) -> Vec<AffectedBaseline> {
    let answered = |baseline: &Name| {
        let open = world.requests.values().filter(|request| !request.phase.ended());
        let mut answers = open.filter(|request| {
            request.plan.baseline.name == *baseline && request.plan.advisories.contains(notice)
        });
        answers.next().map(|request| request.name.to_string())
    };
    ranked
        .baselines
        .iter()
        .take(AFFECTED_MAX)
        .map(|(baseline, ranked)| AffectedBaseline {
            baseline: baseline.to_string(),
            nodes: ranked.systems,
            change_request: answered(baseline),
        })
        .collect()
}
