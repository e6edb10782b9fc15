//! Whether an open request still is right. It stands as long as what it asks for covers what would be asked for now (no churn).

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
};

use hozen_advisory::package::Change;
use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{
    activate,
    assess::{State, updates::SECURITY},
    attempt, exception,
    forecast::{Assume, forecast},
    hold::named,
    node::{Ended, Node},
    owed::refused_by_people,
    plan::{ChangeType, Plan},
    rank::Priority,
    request::{ChangeRequest, Phase},
    safety,
    units::{Name, Uid},
    workload::Workload,
    world::World,
};

use super::{
    choice,
    classes::{Bound, Which, classes},
    coming,
    desk::Desk,
    difference,
    draft::{Before, Busy, Draft, Drafted, draft},
    group::{Group, Todo},
    kin::{Key, System},
    want::Want,
    write,
};

/// What becomes of an open request.
pub(super) enum Verdict {
    /// It stands.
    Stands,
    /// This one takes its place, for this reason.
    Replaced {
        /// What is asked for instead.
        draft: Draft,
        /// The same as a plan.
        plan: Box<Plan>,
        /// That plan, if nobody came to it: whoever allows as much need not be asked.
        least: Box<Plan>,
        /// What is different.
        because: String,
    },
    /// All that it answers became an emergency, whose own request takes its place.
    Escalated(BTreeSet<Want>),
    /// Nothing is left for it to do.
    Ends(String),
}

/// A request, judged.
pub(super) struct Reviewed {
    pub(super) verdict: Verdict,
    pub(super) drafted: Drafted,
}

/// How far a request is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    /// People have not agreed yet.
    Asked,
    /// They have, and nothing was begun.
    Approved,
    /// Work was begun: everything that it needs is in it (invariant 26).
    Begun,
}

/// Judges an open request. `todo` is everything that is missing and can be had.
pub(super) fn review(desk: &Desk<'_>, request: &ChangeRequest, todo: &Todo) -> Reviewed {
    let progress = progress(desk.world, request);
    let keys = Key::all(&request.plan);
    let (mut wants, escalated) = wants(desk, request, todo, progress);
    let stands = |drafted| Reviewed { verdict: Verdict::Stands, drafted };
    if wants.is_empty() {
        let verdict = match (progress, escalated.is_empty()) {
            (Progress::Begun, _) => Verdict::Stands,
            (Progress::Asked | Progress::Approved, false) => Verdict::Escalated(escalated),
            (Progress::Asked | Progress::Approved, true) if unanswered(desk, &request.plan) => {
                Verdict::Stands
            }
            (Progress::Asked | Progress::Approved, true) => {
                Verdict::Ends(why_nothing(desk, request, &keys))
            }
        };
        return Reviewed { verdict, drafted: Drafted::default() };
    }
    wants.retain(|want| !escalated.contains(want));
    let priority = priority(desk, request, &wants, progress);
    let none = BTreeMap::new();
    let attempt = attempt::is_one(desk.world, request);
    let before = Before { prefer: &keys, busy: &none, reserved: &BTreeSet::new(), attempt };
    let mut drafted = draft(desk, &Group { wants, priority }, todo, &before);
    let Some(mut fresh) = drafted.draft.take() else {
        return stands(drafted);
    };
    // Systems that want the same in another way are a request of their own: what is asked for, or agreed to, stands for the rest.
    if progress == Progress::Begun {
        // What it has done it brings to its own end, soaked and watched, whatever others miss.
        if has_done(desk.world, request) {
            return stands(drafted);
        }
        let were = |index: &usize| {
            let kin = desk.kins.get(*index);
            kin.is_some_and(|kin| coming::begins(desk, kin, &request.plan))
                && !coming::brought_by_others(desk, *index, &fresh.wants, request)
        };
        fresh.picks.retain(|index, key| keys.contains(key) || were(index));
    }
    if fresh.picks.values().any(|key| keys.contains(key)) || fits_at_work(desk, &keys, &fresh.wants)
    {
        if progress == Progress::Begun {
            return stands(drafted);
        }
        fresh.picks.retain(|_, key| keys.contains(key));
    }
    let which = if attempt { Which::Failed } else { Which::Untried };
    let made = classes(desk, &fresh, which, Bound::Here);
    drafted.notes.extend(made.notes.iter().cloned());
    if made.list.is_empty() {
        return stands(drafted);
    }
    let people = asked_people(desk, request);
    let beyond = |plan: &Plan| {
        let growth = progress == Progress::Asked;
        difference::beyond(desk.world, &request.plan, plan, growth)
    };
    // What is beyond it joined since its work was done everywhere, and is a request of its own.
    let done = matches!(request.phase, Phase::Verifying | Phase::Watching);
    // Who may come to it some time is no reason to ask anew; whoever is asked anew is asked for them as well.
    let least = Box::new(write::plan(desk, &fresh, made, people));
    if done || beyond(&least).is_empty() {
        return stands(drafted);
    }
    let made = classes(desk, &fresh, which, Bound::Coming(Some(request)));
    let plan = Box::new(write::plan(desk, &fresh, made, people));
    let because = beyond(&plan).join("; ");
    Reviewed { verdict: Verdict::Replaced { draft: fresh, plan, least, because }, drafted }
}

/// Whether systems that others are working on may still need what a request does: what they will be is known when they are released.
fn fits_at_work(desk: &Desk<'_>, keys: &BTreeSet<Key>, wants: &BTreeSet<Want>) -> bool {
    desk.kins.iter().any(|kin| {
        let missed = |want: &Want| kin.wants.contains_key(want) && wants.contains(want);
        kin.assigned(keys).is_some_and(|choice| choice.fixes.iter().any(missed))
            && kin.systems.iter().any(|system| system.at_work())
    })
}

/// Whether a node still has what a plan changes, and its package manager does not say just now how it would: the repository is being written, or its
/// answer is not here yet. The request stands until one comes, and is judged by that.
fn unanswered(desk: &Desk<'_>, plan: &Plan) -> bool {
    let known = plan.node_classes().filter_map(|c| desk.world.transactions.get(&c.transaction));
    let changes: Vec<_> = known.flat_map(|transaction| transaction.changes.iter()).collect();
    let nodes = desk.view.nodes.iter().filter_map(|name| desk.world.nodes.get(name));
    nodes.filter_map(|node| node.report.latest()).any(|report| {
        let told = report.transactions.iter().any(|resolved| resolved.purpose == SECURITY);
        !told
            && report.unresolved.iter().filter(|update| !update.held).any(|update| {
                let same =
                    |change: &&Change| change.name == update.package && change.from == update.from;
                changes.iter().any(same)
            })
    })
}

/// Whether a request has proven its change on a system, or is at work on one.
fn has_done(world: &World, request: &ChangeRequest) -> bool {
    let proven = |ended: &BTreeMap<Uid, Ended>| {
        ended.get(&request.uid).is_some_and(|ended| ended.proven_at().is_some())
    };
    let node = |node: &Node| {
        let task = node.task.as_ref();
        task.is_some_and(|task| task.request == request.uid) || proven(&node.ended)
    };
    let workload = |workload: &Workload| {
        let task = workload.task.as_ref();
        task.is_some_and(|task| task.request == request.uid) || proven(&workload.ended)
    };
    world.nodes.values().any(node) || world.workloads.values().any(workload)
}

/// Whether all work under a request is behind it, so that no system is taken any more, not even one that comes back.
pub(super) fn through(desk: &Desk<'_>, request: &ChangeRequest) -> bool {
    let rollout = desk.world.rollouts.get(&request.name);
    rollout.is_some_and(|it| it.request.1 == request.uid && it.cursor.finished.is_some())
}

/// Whether work was begun under a request.
pub(super) fn begun(desk: &Desk<'_>, request: &ChangeRequest) -> bool {
    progress(desk.world, request) == Progress::Begun
}

/// What the baseline says otherwise since work was begun under a request, in words, and how one comes to have it: the work goes on as it was approved
/// (invariant 26).
pub(super) fn edited_since(world: &World, request: &ChangeRequest) -> Option<String> {
    let plan = &request.plan;
    let changes = match plan.change {
        ChangeType::Patch | ChangeType::Rollback => !plan.drill,
        ChangeType::Mitigation | ChangeType::Exception => false,
    };
    let going = !request.phase.ended() && progress(world, request) == Progress::Begun;
    let baseline = world.baselines.get(&plan.baseline.name);
    let baseline = baseline.filter(|b| changes && going && b.uid == plan.baseline.uid)?;
    let mut bare = write::bare(world, baseline, plan.change, plan.emergency);
    // Its test is behind it.
    bare.execution.test.clone_from(&plan.execution.test);
    let edited = difference::edited(plan, &bare, world.now);
    (!edited.is_empty()).then(|| {
        format!(
            "{} changed {} since; this goes on as it was approved: what is left is asked for anew with that once it is aborted, and so is every later request",
            baseline.name,
            edited.join(", ")
        )
    })
}

/// What of a request was withdrawn by its publisher after work was begun under it: that goes on as it was approved (invariant 26), and
/// only people stop it.
pub(super) fn withdrawn_since(world: &World, request: &ChangeRequest) -> Option<String> {
    let rollout = world.rollouts.get(&request.name).filter(|it| it.request.1 == request.uid)?;
    let (started, ended) = (rollout.cursor.started?, rollout.cursor.ended.map(|(at, _)| at));
    let meanwhile = |name: &&Name| {
        let at = world.notices.get(*name).and_then(|known| known.notice.withdrawn);
        at.is_some_and(|at| at >= started && ended.is_none_or(|ended| at < ended))
    };
    let (gone, rest): (Vec<&Name>, Vec<&Name>) =
        request.plan.advisories.iter().partition(meanwhile);
    if gone.is_empty() {
        return None;
    }
    let listed =
        |names: &[&Name]| names.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", ");
    let name = &request.name;
    let also =
        if rest.is_empty() { String::new() } else { format!(" It answers {} too.", listed(&rest)) };
    Some(match ended {
        None => format!(
            "{name} had begun when {} was withdrawn, and goes on as it was approved: whoever does not want that aborts it.{also}",
            listed(&gone)
        ),
        Some(_) => format!(
            "{name} had begun when {} was withdrawn, and went on as it was approved.{also}",
            listed(&gone)
        ),
    })
}

/// A system in hand tells of work before its rollout does: each is written by itself, and the rollout may not have been yet.
fn progress(world: &World, request: &ChangeRequest) -> Progress {
    let rollout = world.rollouts.get(&request.name).filter(|it| it.request.1 == request.uid);
    let begun = rollout.is_some_and(|it| it.cursor.started.is_some() || has_done(world, request));
    match request.phase {
        Phase::Running | Phase::Verifying | Phase::Watching => Progress::Begun,
        Phase::Approved if begun => Progress::Begun,
        Phase::Approved => Progress::Approved,
        Phase::Planned
        | Phase::AwaitingTest
        | Phase::AwaitingApproval
        | Phase::Done
        | Phase::Superseded
        | Phase::Rejected
        | Phase::Expired
        | Phase::Failed => Progress::Asked,
    }
}

/// What the request answers and is still missing; and of that what became an emergency since, unless work was begun.
fn wants(
    desk: &Desk<'_>,
    request: &ChangeRequest,
    todo: &Todo,
    progress: Progress,
) -> (BTreeSet<Want>, BTreeSet<Want>) {
    let plan = &request.plan;
    let asked = asks(desk, plan);
    let open: BTreeSet<Want> =
        todo.values().flatten().filter(|want| asked(want)).cloned().collect();
    let (escalated, rest): (BTreeSet<Want>, BTreeSet<Want>) = open.into_iter().partition(|want| {
        !plan.emergency && progress != Progress::Begun && desk.is_emergency(want)
    });
    (rest, escalated)
}

/// What a plan answers, of what can be missing.
pub(super) fn asks<'d>(desk: &'d Desk<'_>, plan: &'d Plan) -> impl Fn(&Want) -> bool + 'd {
    let keys = Key::all(plan);
    // What is asked for alone is answered by its own kind of plan.
    let (activates, rolls_back) =
        (activate::class(plan).is_some(), plan.change == ChangeType::Rollback);
    // Of what is removed already no system tells any more, and the transactions do.
    let removes = removes(desk, plan)
        || desk.kins.iter().any(|kin| {
            let choice = kin.assigned(&keys);
            choice.is_some_and(|choice| choice.fixes.contains(&Want::Removed))
        });
    let alone = plan.advisories.is_empty() && !activates && !rolls_back && !removes;
    move |want| match want {
        Want::Notice(name) => plan.advisories.contains(name),
        Want::Updates | Want::Required => {
            alone || (!plan.emergency && brings_along(desk, plan, want))
        }
        Want::Active => activates,
        Want::Pinned => rolls_back,
        Want::Removed => removes,
    }
}

/// Whether all that a plan does is to take packages away.
fn removes(desk: &Desk<'_>, plan: &Plan) -> bool {
    let mut known = plan.node_classes().map(|c| desk.world.transactions.get(&c.transaction));
    let mut any = false;
    let all = known.all(|transaction| {
        any = true;
        let changes = transaction.map(|it| &it.changes).filter(|changes| !changes.is_empty());
        changes.is_some_and(|changes| changes.iter().all(Change::removes))
    });
    any && all
}

/// Whether a plan was to bring what no notice tells of beside the notices that it answers: it changes every package that this is about on
/// some systems.
fn brings_along(desk: &Desk<'_>, plan: &Plan, want: &Want) -> bool {
    let mut wanted = desk.kins.iter().filter_map(|kin| kin.wants.get(want));
    wanted.any(|packages| {
        let mut known =
            plan.node_classes().filter_map(|c| desk.world.transactions.get(&c.transaction));
        known.any(|transaction| {
            let changed =
                |name: &SmolStr| transaction.changes.iter().any(|change| change.name == *name);
            packages.iter().all(changed)
        })
    })
}

/// What was approved as an emergency stays one: to ask again would take longer than to do it.
fn priority(
    desk: &Desk<'_>,
    request: &ChangeRequest,
    wants: &BTreeSet<Want>,
    progress: Progress,
) -> Priority {
    if request.plan.emergency && progress != Progress::Asked {
        return Priority::Emergency;
    }
    let now = desk.most_urgent(wants.iter()).map(|urgency| urgency.priority);
    now.unwrap_or(Priority::Low)
}

/// Whether this very request asks people although it could be a standard change: then it goes on doing so.
fn asked_people(desk: &Desk<'_>, request: &ChangeRequest) -> bool {
    request.requested_by != desk.world.operator
        || refused_before(desk, &Key::all(&request.plan), request.plan.emergency)
}

/// Whether the same was rejected or aborted before. A standard change that somebody stopped does not approve itself again.
pub(super) fn refused_before(desk: &Desk<'_>, keys: &BTreeSet<Key>, emergency: bool) -> bool {
    same_before(desk, keys, emergency)
        .any(|request| request.phase == Phase::Failed || refused_by_people(desk.world, request))
}

/// The name of the request in which somebody said no to the same.
pub(super) fn rejected<'w>(
    desk: &Desk<'w>,
    keys: &BTreeSet<Key>,
    emergency: bool,
) -> Option<&'w Name> {
    same_before(desk, keys, emergency)
        .find(|request| refused_by_people(desk.world, request))
        .map(|request| &request.name)
}

fn same_before<'w>(
    desk: &Desk<'w>,
    keys: &BTreeSet<Key>,
    emergency: bool,
) -> impl Iterator<Item = &'w ChangeRequest> {
    desk.changes().filter(move |request| {
        request.phase.ended()
            && request.plan.emergency == emergency
            && Key::all(&request.plan) == *keys
    })
}

fn why_nothing(desk: &Desk<'_>, request: &ChangeRequest, keys: &BTreeSet<Key>) -> String {
    for kin in &desk.kins {
        for (want, packages) in &kin.wants {
            let asked = want.notice().is_none_or(|n| request.plan.advisories.contains(n));
            let chosen = kin.choices.iter().any(|choice| keys.contains(&choice.key));
            if asked
                && chosen
                && let Some(forbidden) = choice::withheld(&kin.choices, want, packages)
            {
                return forbidden.told();
            }
        }
    }
    nothing_left(desk, request)
}

/// Why nothing is left to do, notice by notice, and of what is neither withdrawn nor excepted, by what its systems are.
fn nothing_left(desk: &Desk<'_>, request: &ChangeRequest) -> String {
    let notices = &request.plan.advisories;
    let mut said = Vec::new();
    for name in notices {
        if desk.world.notices.get(name).is_none_or(|known| known.notice.withdrawn.is_some()) {
            said.push(format!("{name} was withdrawn"));
        } else if let Some(by) = excepts(desk, name) {
            said.push(format!("{name} is excepted by {by}"));
        }
    }
    if notices.is_empty() || said.len() < notices.len() {
        said.push(as_they_are(desk));
    }
    format!("nothing is left to do: {}", said.join("; "))
}

/// The exception in force that covers a notice here.
fn excepts<'w>(desk: &Desk<'w>, notice: &Name) -> Option<&'w Name> {
    let mut found = desk.world.requests.values().filter(|request| {
        exception::in_force(request, desk.world.now)
            && request.plan.baseline.uid == desk.baseline.uid
            && request.plan.advisories.contains(notice)
    });
    found.next().map(|request| &request.name)
}

/// How the systems stand that nothing more is asked for: fixed is only what a scan shows.
fn as_they_are(desk: &Desk<'_>) -> String {
    let mut left: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in &desk.view.nodes {
        let state = desk.assessment.nodes.get(name).map_or(State::Unknown, |view| view.state);
        let node = desk.world.nodes.get(name);
        let called = node.is_some_and(|node| node.needs_attention.is_some());
        let why = match state {
            State::Unknown => "unknown",
            State::Below | State::Above | State::Frozen if called => "left to a person",
            State::Below | State::Above | State::Frozen | State::Compliant | State::Exempt => {
                continue;
            }
        };
        left.entry(why).or_default().push(name);
    }
    if left.is_empty() {
        return "by their scans no system lacks what it asks for that can have it".into();
    }
    let told = left.into_iter().map(|(why, names)| {
        let are = if names.len() == 1 { "is" } else { "are" };
        format!("{} {are} {why}", named(&names))
    });
    let told: Vec<String> = told.collect();
    format!("no other system lacks what it asks for; {}", told.join("; "))
}

/// What a standing request does to one kin.
pub(super) struct Covered {
    pub(super) index: usize,
    pub(super) brought: BTreeSet<Want>,
    pub(super) busy: Busy,
}

/// When an ordinary request that was begun is through, as it stands. None: it does not get on, since it is paused, held by what failed, or cannot reach
/// all of its systems.
fn ends(desk: &Desk<'_>, request: &ChangeRequest) -> Option<Timestamp> {
    let world = desk.world;
    let rollout = world.rollouts.get(&request.name).filter(|it| it.request.1 == request.uid);
    let rollout = rollout.filter(|_| begun(desk, request))?;
    let failed = |node: &Node| {
        let put_back = node.ended.get(&request.uid).and_then(Ended::failure);
        let refused = put_back.is_some_and(|(_, failure)| attempt::refused_for_good(failure));
        refused || safety::open_failure(rollout, node).is_some()
    };
    if rollout.handle.paused.is_some() || world.nodes.values().any(failed) {
        return None;
    }
    let forecast = forecast(world, desk.assessment, request, &Assume::default());
    let whole = forecast.away.is_empty() && forecast.kept.is_empty();
    forecast.finish.filter(|_| whole)
}

/// What a standing request does to each kin. An emergency is not left to a request that waits for the ordinary circle and its
/// windows.
pub(super) fn covered(desk: &Desk<'_>, request: &ChangeRequest) -> Vec<Covered> {
    // Its work is through: what joins it now, or comes back to it, is another request's.
    if through(desk, request) {
        return Vec::new();
    }
    let plan = &request.plan;
    let keys = Key::all(plan);
    let attempt = attempt::is_one(desk.world, request);
    // What became an emergency since is left to it where it brings that in time. Otherwise the smaller circle is asked, which waits for no window.
    let end = OnceCell::new();
    let soon = |want: &Want| {
        let due = desk.urgencies.get(want).and_then(|urgency| urgency.due);
        let end = *end.get_or_init(|| ends(desk, request));
        end.is_some_and(|end| due.is_none_or(|due| end <= due))
    };
    let answered = plan.advisories.iter();
    let answered: BTreeSet<Want> = answered.map(|name| Want::Notice(name.clone())).collect();
    let most_urgent = desk.most_urgent(answered.iter());
    let priority = most_urgent.map_or(Priority::Low, |urgency| urgency.priority);
    let kins = desk.kins.iter().enumerate();
    kins.filter_map(|(index, kin)| {
        let choice = kin.assigned(&keys)?;
        // What failed is left to the attempt that a person asks for, and that to nothing else.
        let failed = |system: &System<'_>| desk.gave_up(*system, &choice.key).is_some();
        if kin.systems.iter().all(failed) != attempt {
            return None;
        }
        let brought = choice
            .fixes
            .iter()
            .filter(|want| !desk.is_emergency(want) || plan.emergency || soon(want));
        Some(Covered {
            index,
            brought: brought.cloned().collect(),
            busy: Busy {
                with: request.name.clone(),
                priority,
                key: choice.key.clone(),
                packages: choice.packages.clone(),
            },
        })
    })
    .collect()
}
