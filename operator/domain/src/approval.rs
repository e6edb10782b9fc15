//! Who agreed, whose word counts, who is missing (invariants 12 to 15).
//!
//! A word counts if it names this very request by uid and this very plan by digest, in a role that the plan asks for, and was given
//! by somebody who neither asked for the change nor shaped it, no longer ago than the plan allows. One person fills one place,
//! whatever roles they hold: places are filled by a matching that leaves as few as possible empty.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{
    governance::{Approval, Vote},
    hold::Hold,
    plan::RoleCount,
    planner,
    request::{ChangeRequest, Known},
    units::{Name, User},
    world::World,
};

/// Who agreed to a request, whose word counts, who is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Approvals that count, each filling one place, sorted by role, then user.
    pub counted: Vec<Word>,
    /// Words that do not count, with why, in order of time.
    pub discounted: Vec<Discounted>,
    /// Who is missing, sorted by role; empty: nobody.
    pub missing: Vec<RoleCount>,
    /// Somebody of a needed role said no; the first who did.
    pub rejected: Option<Word>,
    /// When the approvals cease to suffice, nothing more being said; none: they do not suffice now, or a standard change needs none.
    pub valid_until: Option<Timestamp>,
    /// For a standard change: when its soak is through.
    pub standard_at: Option<Timestamp>,
    /// Whether the change may be executed at the world's instant.
    pub approved: bool,
}

/// One person's word in one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Name of the approval.
    pub approval: Name,
    /// Who.
    pub user: User,
    /// As what.
    pub role: SmolStr,
    /// When it was given: the server's timestamp.
    pub at: Timestamp,
}

/// A word that does not count, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discounted {
    /// Whose, as what, when.
    pub word: Word,
    /// Why it does not count.
    pub why: String,
}

/// Counts who agreed to a request at the world's instant.
pub fn count(world: &World, request: &ChangeRequest) -> Tally {
    count_at(world, request, world.now)
}

/// When what was said first sufficed, as far as it was not taken back since: for reviews and response times.
pub fn approved_at(world: &World, request: &ChangeRequest) -> Option<Timestamp> {
    let said = world
        .approvals
        .iter()
        .filter(|approval| concerns(approval, request))
        .map(|approval| approval.at);
    let moments: BTreeSet<Timestamp> = said.chain(standard_at(world, request)).collect();
    moments
        .into_iter()
        .filter(|at| *at <= world.now)
        .find(|at| count_at(world, request, *at).approved)
}

/// Counts who agreed to a request at an instant: what counted then may have ended since.
pub fn count_at(world: &World, request: &ChangeRequest, now: Timestamp) -> Tally {
    let mut tally = Tally { standard_at: standard_at(world, request), ..Tally::default() };
    let mut live: Vec<(&Approval, Timestamp)> = Vec::new();
    for approval in &world.approvals {
        if !concerns(approval, request) {
            continue;
        }
        match judged(world, request, approval, now) {
            Ok(until) => match approval.decision {
                Vote::Approve => live.push((approval, until)),
                Vote::Reject => {
                    tally.rejected.get_or_insert_with(|| word(approval));
                }
            },
            Err(why) => tally.discount(approval, why),
        }
    }
    let roles = &request.plan.needs.roles;
    let seats = Seats::fill(roles, &live);
    for (approval, _) in &live {
        match seats.of.get(&approval.user) {
            Some((_, seated)) if *seated == approval.name => tally.counted.push(word(approval)),
            Some((role, _)) => {
                let why = format!("{} counts as {} already", approval.user, roles[*role].name);
                tally.discount(approval, why);
            }
            None => {
                let why = format!("{} is complete without it", approval.role);
                tally.discount(approval, why);
            }
        }
    }
    tally.counted.sort_by(|a, b| (&a.role, &a.user).cmp(&(&b.role, &b.user)));
    tally
        .discounted
        .sort_by(|a, b| (a.word.at, &a.word.approval).cmp(&(b.word.at, &b.word.approval)));
    tally.missing = seats.missing(roles);
    let agreed = !roles.is_empty() && tally.missing.is_empty();
    let standard = tally.standard_at.is_some_and(|at| at <= now);
    tally.approved = tally.rejected.is_none() && (agreed || standard);
    tally.valid_until =
        (tally.approved && !standard).then(|| suffices_until(roles, &live)).flatten();
    tally
}

/// Whether a request may be executed now (invariant 12). The hold is what a rollout shows when it no longer may.
pub fn authority(world: &World, request: &ChangeRequest) -> Result<Tally, Hold> {
    let lost = |why| Err(Hold::ApprovalLost { request: request.name.clone(), why });
    if request.phase.ended() {
        return lost(format!("the request is {:?}", request.phase));
    }
    let tally = count(world, request);
    if tally.approved {
        return Ok(tally);
    }
    lost(tally.why_not())
}

impl Tally {
    fn discount(&mut self, approval: &Approval, why: String) {
        self.discounted.push(Discounted { word: word(approval), why });
    }

    /// Why it is not approved, in one line.
    pub fn why_not(&self) -> String {
        if let Some(no) = &self.rejected {
            return format!("{} said no as {}", no.user, no.role);
        }
        let missing: Vec<String> =
            self.missing.iter().map(|role| format!("{} ({})", role.name, role.count)).collect();
        // The latest words tell best what changed.
        let lost: Vec<String> = self
            .discounted
            .iter()
            .rev()
            .take(3)
            .map(|lost| format!("{} as {}: {}", lost.word.user, lost.word.role, lost.why))
            .collect();
        match (missing.is_empty(), lost.is_empty()) {
            (true, _) if self.standard_at.is_some() => {
                "its soak as a standard change is not through".into()
            }
            (false, true) => format!("{} missing", missing.join(", ")),
            (false, false) => format!("{} missing ({})", missing.join(", "), lost.join("; ")),
            (true, _) => "the plan names nobody who could approve it".into(),
        }
    }
}

fn word(approval: &Approval) -> Word {
    Word {
        approval: approval.name.clone(),
        user: approval.user.clone(),
        role: approval.role.clone(),
        at: approval.at,
    }
}

/// Whether people who look at the request expect to see this approval beside it.
fn concerns(approval: &Approval, request: &ChangeRequest) -> bool {
    approval.request.1 == request.uid
        || approval.request.0 == request.name
        || request.supersedes.as_ref() == Some(&approval.request.0)
}

/// Until when a word counts, or why it does not.
fn judged(
    world: &World,
    request: &ChangeRequest,
    approval: &Approval,
    now: Timestamp,
) -> Result<Timestamp, String> {
    let needs = &request.plan.needs;
    addressed(request, approval)?;
    if approval.withdrawn {
        return Err("withdrawn".into());
    }
    let asked = needs.roles.iter().any(|role| role.name == approval.role);
    let until = approval.at.checked_add(needs.valid_for.duration()).unwrap_or(Timestamp::MAX);
    if approval.at > now {
        return Err("given in the future: clocks disagree".into());
    }
    match approval.decision {
        // Saying no endangers nothing: it needs the role only. For a standard change, which asks for no role, any role will do.
        Vote::Reject if asked || needs.roles.is_empty() => return Ok(until),
        Vote::Reject | Vote::Approve => {}
    }
    if !asked {
        return Err(format!("{} is not asked", approval.role));
    }
    if let Some(why) = barred(world, request).remove(&approval.user) {
        return Err(why);
    }
    if until <= now {
        return Err(format!("older than {}: ended {until}", needs.valid_for));
    }
    Ok(until)
}

fn addressed(request: &ChangeRequest, approval: &Approval) -> Result<(), String> {
    let (name, uid) = &approval.request;
    if *uid != request.uid {
        return Err(match (&request.supersedes, &request.because) {
            (Some(old), because) if old == name => format!(
                "given to {old}, which this request replaces{}",
                because.as_ref().map_or(String::new(), |why| format!(": {why}"))
            ),
            (Some(_) | None, _) => "given to another request of this name".into(),
        });
    }
    if *name != request.name {
        return Err(format!("names {name}, with the uid of this request"));
    }
    if approval.plan != request.digest {
        return Err("given to another plan: the digest differs".into());
    }
    Ok(())
}

/// Who may not approve, each with why: the requester, the operator itself, and those who shaped what is asked (invariant 13).
pub fn barred(world: &World, request: &ChangeRequest) -> BTreeMap<User, String> {
    let mut barred = BTreeMap::new();
    let reference = &request.plan.baseline;
    let baseline = world.baselines.get(&reference.name);
    let baseline = baseline.filter(|it| it.uid == reference.uid);
    if let Some(baseline) = baseline.filter(|_| request.plan.needs.exclude_authors) {
        let editors = baseline.edited_by.iter().chain(baseline.authors.editors.keys());
        let why = |user: &User| format!("{user} changed {}", reference.name);
        barred.extend(editors.map(|user| (user.clone(), why(user))));
    }
    barred.extend(request.excluded.iter().map(|(user, why)| (user.clone(), why.clone())));
    let operator = &world.operator;
    barred.insert(operator.clone(), format!("{operator} is the operator's own account"));
    let by = &request.requested_by;
    barred.insert(by.clone(), format!("{by} asked for the change"));
    barred
}

/// When a standard change has soaked: counted from the *newest* of its fixes, lest a bundle lends one fix the soak of another.
fn standard_at(world: &World, request: &ChangeRequest) -> Option<Timestamp> {
    let after = request.plan.needs.standard_after?;
    let seen = request
        .plan
        .advisories
        .iter()
        // Of a notice that is gone nothing is known before the request was made.
        .map(|id| world.notices.get(id).map_or(request.created, Known::clock_starts))
        .fold(request.first_seen, Timestamp::max);
    // What no notice dates has soaked since exactly it was asked for: another update or a newer version of one is another request.
    let seen = if planner::untold(world, &request.plan) { seen.max(request.created) } else { seen };
    seen.checked_add(after.duration()).ok()
}

/// The latest instant at which what was said so far still suffices.
fn suffices_until(roles: &[RoleCount], live: &[(&Approval, Timestamp)]) -> Option<Timestamp> {
    let ends: BTreeSet<Timestamp> = live.iter().map(|(_, until)| *until).collect();
    ends.into_iter().rev().find(|end| {
        let lasting: Vec<_> = live.iter().filter(|(_, until)| until >= end).copied().collect();
        Seats::fill(roles, &lasting).missing(roles).is_empty()
    })
}

/// Who fills which place: a maximum matching of people and places (Kuhn's algorithm), in order of arrival.
struct Seats {
    /// By user: index of the role, and the approval that counts.
    of: BTreeMap<User, (usize, Name)>,
}

impl Seats {
    fn fill(roles: &[RoleCount], live: &[(&Approval, Timestamp)]) -> Self {
        let mut held: BTreeMap<&User, BTreeMap<usize, &Name>> = BTreeMap::new();
        let mut arrival: Vec<&User> = Vec::new();
        for (approval, _) in live {
            if let Some(role) = roles.iter().position(|role| role.name == approval.role) {
                // Of several words of one person in one role the last lasts longest.
                held.entry(&approval.user).or_default().insert(role, &approval.name);
                if !arrival.contains(&&approval.user) {
                    arrival.push(&approval.user);
                }
            }
        }
        let mut seated: Vec<Vec<&User>> = vec![Vec::new(); roles.len()];
        for user in arrival {
            seat(user, roles, &held, &mut seated, &mut BTreeSet::new());
        }
        let of = seated
            .iter()
            .enumerate()
            .flat_map(|(role, users)| users.iter().map(move |user| (role, *user)))
            .filter_map(|(role, user)| {
                Some((user.clone(), (role, (*held.get(user)?.get(&role)?).clone())))
            })
            .collect();
        Self { of }
    }

    fn missing(&self, roles: &[RoleCount]) -> Vec<RoleCount> {
        roles
            .iter()
            .enumerate()
            .filter_map(|(index, role)| {
                let filled = self.of.values().filter(|(seat, _)| *seat == index).count();
                let count = role.count.saturating_sub(u32::try_from(filled).unwrap_or(u32::MAX));
                (count > 0).then(|| RoleCount { name: role.name.clone(), count })
            })
            .collect()
    }
}

/// Seats a person, moving others between the roles that they hold if need be.
fn seat<'a>(
    user: &'a User,
    roles: &[RoleCount],
    held: &BTreeMap<&'a User, BTreeMap<usize, &'a Name>>,
    seated: &mut [Vec<&'a User>],
    tried: &mut BTreeSet<usize>,
) -> bool {
    let Some(mine) = held.get(user) else {
        return false;
    };
    for role in mine.keys().copied() {
        if !tried.insert(role) {
            continue;
        }
        if seated[role].len() < roles[role].count as usize {
            seated[role].push(user);
            return true;
        }
        for place in 0..seated[role].len() {
            let other = seated[role][place];
            if seat(other, roles, held, seated, tried) {
                seated[role][place] = user;
                return true;
            }
        }
    }
    false
}
