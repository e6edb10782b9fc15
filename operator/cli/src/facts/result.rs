//! How it stands at the end, and what is to be made of it.

use hozen_domain::{
    measure::{coverage, responses},
    model::{self, Outcome, Turn, Undone, What},
    request::{ChangeRequest, Phase},
    units::Uid,
};
use jiff::Timestamp;

use super::{
    BaselineResult, Behind, Forecast, Held, NotDone, RequestResult, Response, Sample, Standing,
    Stuck, Target, Verdict, gather::names, stock::systems,
};

pub(super) fn baselines(outcome: &Outcome, verdict: &model::Verdict) -> Vec<BaselineResult> {
    let forecasts = outcome.forecasts();
    let standing = |sample: Option<&model::Sample>, name: &str| {
        sample
            .and_then(|sample| sample.baselines.get(name))
            .map_or_else(Standing::default, |standing| Standing::from(*standing))
    };
    outcome
        .after
        .assessment
        .baselines
        .keys()
        .map(|name| {
            let baseline = outcome.world.baselines.get(name);
            let coverage = baseline
                .and_then(|b| coverage(&outcome.world, &outcome.after.assessment, b, &forecasts));
            let after = standing(outcome.curve.last(), name);
            let missed = verdict.missed.get(name).copied();
            let target = coverage.as_ref().map(|it| Target { missed, ..Target::from(it) });
            // Of no system at all nothing is met.
            let target = target.filter(|it| after.counts.total > 0 || !it.because.is_empty());
            BaselineResult {
                baseline: name.to_string(),
                of: systems(outcome, name),
                before: standing(outcome.curve.first(), name),
                after,
                target,
            }
        })
        .collect()
}

pub(super) fn responses_to_notices(outcome: &Outcome) -> Vec<Response> {
    let Turn { assessment, ranking, .. } = &outcome.after;
    responses(&outcome.world, assessment, ranking).notices.iter().map(Response::from).collect()
}

pub(super) fn requests(outcome: &Outcome) -> Vec<RequestResult> {
    let mut requests: Vec<&ChangeRequest> = outcome.world.requests.values().collect();
    requests.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
    requests.into_iter().map(|request| self::request(outcome, request)).collect()
}

fn request(outcome: &Outcome, request: &ChangeRequest) -> RequestResult {
    let proven = proven(outcome, &request.uid);
    let nodes = request.plan.node_classes().map(|class| class.nodes_max);
    let workloads = request.plan.image_classes().map(|class| class.workloads_max);
    let finished = outcome
        .world
        .rollouts
        .get(&request.name)
        .filter(|rollout| rollout.request.1 == request.uid)
        .and_then(|rollout| rollout.cursor.finished)
        // What failed and was accepted is not done: nobody waits for it any more, and that is all.
        .filter(|_| matches!(request.phase, Phase::Done | Phase::Watching))
        .filter(|_| !has_failed(outcome, &request.uid));
    RequestResult {
        name: request.name.to_string(),
        baseline: request.plan.baseline.name.to_string(),
        digest: request.digest.to_string(),
        emergency: request.plan.emergency,
        phase: format!("{:?}", request.phase),
        first_seen: request.first_seen,
        created: request.created,
        approved: approved(outcome, request),
        finished,
        due: request.due,
        proven: super::gather::count(proven.len()),
        of: nodes.chain(workloads).fold(0, u32::saturating_add),
        last_proven: proven.into_iter().max(),
    }
}

/// Whether the work on a system failed under a request.
fn has_failed(outcome: &Outcome, request: &Uid) -> bool {
    let nodes = outcome.world.nodes.values().map(|node| &node.ended);
    let workloads = outcome.world.workloads.values().map(|workload| &workload.ended);
    let mut ended = nodes.chain(workloads).filter_map(|ended| ended.get(request));
    ended.any(|ended| ended.failure().is_some())
}

/// When each system was proven under a request.
fn proven(outcome: &Outcome, request: &Uid) -> Vec<Timestamp> {
    let nodes = outcome.world.nodes.values().map(|node| &node.ended);
    let workloads = outcome.world.workloads.values().map(|workload| &workload.ended);
    nodes.chain(workloads).filter_map(|ended| ended.get(request)?.proven_at()).collect()
}

fn approved(outcome: &Outcome, request: &ChangeRequest) -> Option<Timestamp> {
    let approved = outcome.trace.iter().find(|entry| {
        let ours = entry.about.as_ref() == Some(&request.name) && entry.at >= request.created;
        let to = matches!(entry.what, What::Phase { phase: Phase::Approved, .. });
        ours && to
    });
    approved.map(|entry| entry.at)
}

pub(super) fn not_done(outcome: &Outcome) -> Vec<NotDone> {
    outcome
        .undone()
        .into_iter()
        .map(|undone| {
            let Undone { systems, baseline, state, since, why, next, left_out: _ } = undone;
            NotDone {
                systems: names(&systems),
                baseline: baseline.map(|name| name.to_string()),
                state: format!("{state:?}"),
                since,
                why,
                next,
            }
        })
        .collect()
}

pub(super) fn curve(outcome: &Outcome) -> Vec<Sample> {
    outcome
        .curve
        .iter()
        .map(|sample| Sample {
            at: sample.at,
            baselines: sample
                .baselines
                .iter()
                .map(|(name, standing)| (name.to_string(), Standing::from(*standing)))
                .collect(),
        })
        .collect()
}

pub(super) fn verdict(outcome: &Outcome, verdict: &model::Verdict) -> Verdict {
    let stuck = verdict
        .stuck
        .iter()
        .map(|held| Stuck { about: held.about.to_string(), held: Held::from(&held.hold) });
    Verdict {
        exit_code: u8::from(!verdict.in_time() || !outcome.violations.is_empty()),
        late: names(&verdict.late),
        missed: names(verdict.missed.keys()),
        behind: verdict
            .behind
            .iter()
            .map(|(request, forecast)| Behind {
                request: request.to_string(),
                forecast: Forecast::from(forecast),
            })
            .collect(),
        stuck: stuck.collect(),
        unknown: names(&verdict.unknown),
        unplanned: names(&verdict.unplanned),
        violations: outcome.violations.clone(),
    }
}
