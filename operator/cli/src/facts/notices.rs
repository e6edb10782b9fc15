//! Notices: which mattered to whom, and which did not.

use std::collections::BTreeMap;

use hozen_domain::{
    model::{Outcome, What},
    rank::{Priority, RankedNotice},
    relevance::Relevance,
    request::Known,
    units::Name,
};
use jiff::Timestamp;

use super::{
    Concern, Notice, Reason,
    gather::{count, names},
};

/// Notices without concern that are listed; of the rest those of which nothing is installed are only counted.
const IDLE_MAX: usize = 100;

/// Every notice that mattered, some that did not, and how many more there are.
pub(super) fn notices(outcome: &Outcome) -> (Vec<Notice>, u32) {
    let concerned = concerned(outcome);
    let mut told: Vec<(Urgency, Notice)> = Vec::new();
    let mut left = 0;
    for (name, known) in &outcome.world.notices {
        let at_end = outcome.after.ranking.notices.get(name);
        let Some(ranked) = outcome.before.ranking.notices.get(name).or(at_end) else {
            continue;
        };
        let concerns = concerned.get(name);
        let idle = concerns.is_none();
        let installed = ranked.relevance != Relevance::NotInstalled;
        if idle && !installed && left + told.len() >= IDLE_MAX {
            left += 1;
            continue;
        }
        told.push(notice(name, known, ranked, at_end, concerns));
    }
    told.sort_by(|(a, first), (b, second)| (a, &first.name).cmp(&(b, &second.name)));
    let notices = told.into_iter().map(|(_, notice)| notice).collect();
    (notices, count(left))
}

/// Most urgent first; those without concern last.
type Urgency = (bool, Priority, Timestamp);

type Concerns<'o> = BTreeMap<&'o Name, (Priority, Concern)>;

/// By notice and baseline: what was told first of each.
fn concerned(outcome: &Outcome) -> BTreeMap<&Name, Concerns<'_>> {
    let mut concerned: BTreeMap<&Name, Concerns<'_>> = BTreeMap::new();
    for entry in &outcome.trace {
        let What::Noticed { notice, baseline, priority, due, systems, reasons } = &entry.what
        else {
            continue;
        };
        let concern = Concern {
            baseline: baseline.to_string(),
            systems: *systems,
            priority: priority.name().to_owned(),
            due: *due,
            reasons: reasons.iter().map(Reason::from).collect(),
        };
        concerned.entry(notice).or_default().entry(baseline).or_insert((*priority, concern));
    }
    concerned
}

fn notice(
    name: &Name,
    known: &Known,
    ranked: &RankedNotice,
    at_end: Option<&RankedNotice>,
    concerns: Option<&Concerns<'_>>,
) -> (Urgency, Notice) {
    let of = |concerns: &Concerns<'_>| {
        let most = concerns.values().map(|(priority, _)| *priority).min();
        let due = concerns.values().filter_map(|(_, c)| c.due).min();
        (most, due)
    };
    let (most, due) = concerns.map_or((None, None), of);
    let urgency =
        (concerns.is_none(), most.unwrap_or(Priority::Low), due.unwrap_or(Timestamp::MAX));
    let packages: std::collections::BTreeSet<_> =
        known.notice.affected.iter().map(|a| &a.name).collect();
    let relevance = |ranked: &RankedNotice| format!("{:?}", ranked.relevance);
    let notice = Notice {
        name: name.to_string(),
        id: known.notice.id.to_string(),
        aliases: names(&known.notice.aliases),
        summary: known.notice.summary.clone(),
        packages: names(packages),
        first_seen: known.first_seen,
        relevance: relevance(ranked),
        why: ranked.why.clone(),
        relevance_at_end: at_end.map_or_else(|| relevance(ranked), relevance),
        baselines: concerns
            .into_iter()
            .flat_map(|concerns| concerns.values().map(|(_, concern)| concern.clone()))
            .collect(),
    };
    (urgency, notice)
}
