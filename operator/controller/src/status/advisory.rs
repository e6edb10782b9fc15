//! What an Advisory's status says: whether it matters here, how much, and why.

use hozen_api::{
    advisory::{Advisory as Object, AdvisoryStatus, AffectedBaseline},
    names::{condition, reason},
};
use hozen_domain::{
    World, hold::Hold, model::Turn, rank::RankedNotice, request::Known, units::Name,
};

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
        message: message(turn, name, ranked),
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

/// What it means here, and until when something is waited for before anybody is asked for anything.
fn message(turn: &Turn, notice: &Name, ranked: Option<&RankedNotice>) -> String {
    let waits = turn.decision.holds.iter().filter_map(|held| {
        let Hold::AwaitingWay { notice: of, until, .. } = &held.hold else { return None };
        (of == notice).then(|| format!("{} {}, until {until}", held.about, held.hold))
    });
    let why = ranked.map(|ranked| ranked.why.clone());
    why.into_iter().chain(waits).collect::<Vec<_>>().join("; ")
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

#[cfg(test)]
mod tests {
    use hozen_testkit::{baseline, debian, node, notice, world_at};

    use super::*;

    #[test]
    fn what_is_waited_for_before_anybody_is_asked_for_a_mitigation_is_told_from_the_first_moment() {
        let fixed = notice("DSA-1").fixes("Debian:12", "openssl", "3.0.22-1~deb12u2").critical();
        let fixed = fixed.exploited("2026-11-18", None).mitigated_by_blocking("4433/udp");
        let web = baseline("web").nodes("tier", "web");
        let set = debian(&[("openssl", "3.0.20-1~deb12u2")]);
        let one = node("web-1").label("tier", "web").has(&set);
        let world = world_at("2026-11-19T12:00Z").baseline(web).notice(fixed).node(one).build();
        let told = |name: &str| {
            let (turn, name) = (Turn::take(&world), Name::from(name));
            message(&turn, &name, turn.ranking.notices.get(&name))
        };
        let says = "; web waits for package managers to tell what brings the fix of DSA-1; if none does, its mitigation is asked for, until 2026-11-19T12:30:00Z";
        assert!(told("DSA-1").ends_with(says), "{}", told("DSA-1"));
        assert!(!told("DSA-2").contains("waits"), "it is another notice's");
    }
}
