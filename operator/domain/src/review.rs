//! The review of an ended change, one to four weeks later (PROCESS 4.4): plan against outcome, what is still to be done, and what
//! the baseline, the build images and the policy should learn from it.

mod lessons;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use smol_str::SmolStr;

use crate::{
    approval,
    assess::Assessment,
    forecast::Forecast,
    node::{Ended, Failure, Node},
    request::{ChangeRequest, Phase, Rollout},
    units::{Name, User, after},
    world::World,
};
use lessons::{images, proposals, renewals};

/// The review of an ended change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// The request.
    pub request: Name,
    /// How it ended.
    pub outcome: Phase,
    /// It took the shortened approval: then the review is not optional (PROCESS 6).
    pub emergency: bool,
    /// When to hold it: one to four weeks after the end.
    pub hold_between: (Timestamp, Timestamp),
    /// Who agreed, and how long after the request was made, in order of time.
    pub agreed: Vec<Agreed>,
    /// Plan against outcome.
    pub against: Against,
    /// Systems on which it failed, was taken back or not begun, sorted.
    pub failed: Vec<Undone>,
    /// Systems that still need it and on which nothing was tried, with why, sorted.
    pub not_done: Vec<Undone>,
    /// Failures that people accepted, with who did.
    pub accepted: Vec<(Name, User)>,
    /// Versions that the baseline should ask for from now on, sorted by package.
    pub renew_baseline: Vec<Renewal>,
    /// Build images that still hold what was patched, sorted.
    pub renew_images: Vec<BuildImage>,
}

/// One person's agreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Who.
    pub user: User,
    /// As what.
    pub role: SmolStr,
    /// How long after the request was made.
    pub after: SignedDuration,
}

/// Plan against outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Against {
    /// When the first system was forecast to be taken, when people decided.
    pub start_forecast: Option<Timestamp>,
    /// When it was.
    pub started: Option<Timestamp>,
    /// When the last was forecast to be proven.
    pub finish_forecast: Option<Timestamp>,
    /// When the last was.
    pub finished: Option<Timestamp>,
    /// Later than forecast by so much; negative: earlier.
    pub late_by: Option<SignedDuration>,
    /// Whether the deadline was kept on every system; none: there was no deadline.
    pub met_due: Option<bool>,
    /// Systems that the plan allowed at most.
    pub planned_max: u32,
    /// Systems on which it was proven.
    pub proven: u32,
}

/// A system on which it is not done, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Undone {
    /// Node, or workload by key.
    pub system: Name,
    /// Why, in one line.
    pub why: String,
}

/// A version that the baseline should ask for from now on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Renewal {
    /// Binary package.
    pub package: SmolStr,
    /// What the baseline asks now; none: nothing, so that the weakness is new to the policy.
    pub present: Option<PackageRuleText>,
    /// What was proven.
    pub proposed: PackageRuleText,
}

/// A rule as it is written in a baseline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PackageRuleText {
    /// `minVersion`.
    MinVersion(SmolStr),
    /// `version`: exactly this one.
    Version(SmolStr),
}

/// A build image that still holds what was patched: what is rebuilt from it is below its baseline at once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BuildImage {
    /// Of what: `debian 12 nodes`, or an image's repository.
    pub of: SmolStr,
    /// What it must hold: `openssl 3.0.22-1~deb12u2`, or a digest.
    pub holds: Vec<SmolStr>,
}

const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Reviews a request whose rollout ended, drills included; none while it is open, and for one that was never executed.
/// `forecast` is the one that was shown when people decided.
pub fn review(
    world: &World,
    assessment: &Assessment,
    request: &ChangeRequest,
    forecast: Option<&Forecast>,
) -> Option<Review> {
    let rollout =
        world.rollouts.get(&request.name).filter(|rollout| rollout.request.1 == request.uid)?;
    let (ended, _) = rollout.cursor.ended.filter(|_| request.phase.ended())?;
    let endings = endings(world, request);
    let failed = endings.iter().filter_map(|(name, ended)| {
        let why = why_not(ended)?;
        Some(Undone { system: (*name).clone(), why })
    });
    let baseline = world
        .baselines
        .get(&request.plan.baseline.name)
        .filter(|baseline| baseline.uid == request.plan.baseline.uid);
    let proposals = proposals(world, request);
    Some(Review {
        request: request.name.clone(),
        outcome: request.phase,
        emergency: request.plan.emergency,
        hold_between: (after(ended, WEEK), after(ended, WEEK * 4)),
        agreed: agreed(world, request),
        against: against(request, rollout, forecast, &endings),
        failed: failed.collect(),
        not_done: not_done(world, assessment, request),
        accepted: rollout
            .handle
            .accepted
            .iter()
            .map(|((node, _), user)| (node.clone(), user.clone()))
            .collect(),
        renew_baseline: baseline.map(|baseline| renewals(baseline, &proposals)).unwrap_or_default(),
        renew_images: images(world, request, &proposals),
    })
}

/// By system: how the request ended there.
fn endings<'w>(world: &'w World, request: &ChangeRequest) -> BTreeMap<&'w Name, &'w Ended> {
    let nodes = world.nodes.values().map(|node| (&node.name, &node.ended));
    let workloads = world.workloads.values().map(|w| (&w.key, &w.ended));
    nodes
        .chain(workloads)
        .filter_map(|(name, ended)| Some((name, ended.get(&request.uid)?)))
        .collect()
}

fn proven(ended: &Ended) -> Option<Timestamp> {
    match ended {
        Ended::Proven(at) | Ended::Mitigated(at) | Ended::Lifted(at) | Ended::Exercised(at) => {
            Some(*at)
        }
        Ended::Failed(..) | Ended::RolledBack(..) | Ended::PutBack(..) => None,
    }
}

fn why_not(ended: &Ended) -> Option<String> {
    let said = |failure: &Failure| format!("{}: {}", failure.step.gerund(), failure.message);
    match ended {
        Ended::Proven(_) | Ended::Mitigated(_) | Ended::Lifted(_) | Ended::Exercised(_) => None,
        Ended::Failed(_, failure) => Some(format!("failed, {}", said(failure))),
        Ended::RolledBack(_, failure) => Some(format!("rolled back, {}", said(failure))),
        Ended::PutBack(_, failure) => Some(format!("put back unchanged, {}", said(failure))),
    }
}

fn agreed(world: &World, request: &ChangeRequest) -> Vec<Agreed> {
    let Some(at) = approval::approved_at(world, request) else {
        return Vec::new();
    };
    let mut words = approval::count_at(world, request, at).counted;
    words.sort_by(|a, b| (a.at, &a.user).cmp(&(b.at, &b.user)));
    let made = request.created;
    words
        .into_iter()
        .map(|word| Agreed {
            user: word.user,
            role: word.role,
            after: word.at.duration_since(made),
        })
        .collect()
}

fn against(
    request: &ChangeRequest,
    rollout: &Rollout,
    forecast: Option<&Forecast>,
    endings: &BTreeMap<&Name, &Ended>,
) -> Against {
    let plan = &request.plan;
    let nodes = plan.node_classes().map(|class| class.nodes_max);
    let images = plan.image_classes().map(|class| class.workloads_max);
    let proofs: Vec<Timestamp> = endings.values().filter_map(|ended| proven(ended)).collect();
    let finished = proofs.iter().max().copied();
    let finish_forecast = forecast.and_then(|forecast| forecast.finish);
    let all = proofs.len() == endings.len() && request.phase == Phase::Done;
    Against {
        start_forecast: forecast.and_then(|forecast| forecast.start),
        started: rollout.cursor.started,
        finish_forecast,
        finished,
        late_by: finished
            .zip(finish_forecast)
            .map(|(real, forecast)| real.duration_since(forecast)),
        met_due: request.due.map(|due| all && finished.is_none_or(|finished| finished <= due)),
        planned_max: nodes.chain(images).fold(0, u32::saturating_add),
        proven: u32::try_from(proofs.len()).unwrap_or(u32::MAX),
    }
}

/// Systems whose package manager would still do one of the plan's transactions, or that still run an image to be replaced.
fn not_done(world: &World, assessment: &Assessment, request: &ChangeRequest) -> Vec<Undone> {
    let Some(view) = assessment.baselines.get(&request.plan.baseline.name) else {
        return Vec::new();
    };
    let wanted: BTreeSet<&SmolStr> =
        request.plan.node_classes().map(|class| &class.transaction).collect();
    let nodes = view.nodes.iter().filter_map(|name| {
        let node = world.nodes.get(name)?;
        let untried = !node.ended.contains_key(&request.uid);
        let needs = node
            .report
            .latest()?
            .transactions
            .iter()
            .any(|resolved| wanted.contains(&resolved.transaction));
        (untried && needs).then(|| Undone { system: name.clone(), why: why_untried(node) })
    });
    let workloads = view.workloads.iter().filter_map(|key| {
        let workload = world.workloads.get(key)?;
        let untried = !workload.ended.contains_key(&request.uid);
        let needs = request.plan.image_classes().any(|class| {
            workload.containers.values().any(|container| {
                container.repository == class.image
                    && container.running.as_ref() == Some(&class.from)
            })
        });
        (untried && needs).then(|| Undone {
            system: key.clone(),
            why: match &workload.managed_by {
                Some(owner) => format!("its template belongs to {} {}", owner.tool, owner.owner),
                None => "the rollout ended before its turn".into(),
            },
        })
    });
    let mut undone: Vec<Undone> = nodes.chain(workloads).collect();
    undone.sort();
    undone
}

fn why_untried(node: &Node) -> String {
    use crate::node::{Ready, Report};
    match (&node.report, node.ready) {
        (Report::Missing(why), _) => why.clone(),
        (Report::Stale(inventory), _) => format!("silent since {}", inventory.scanned_at),
        (Report::Known(_), Ready::No(since)) => format!("NotReady since {since}"),
        (Report::Known(_), Ready::Yes(_)) => "the rollout ended before its turn".into(),
    }
}
