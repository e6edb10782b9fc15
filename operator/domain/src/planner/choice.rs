//! What could be done to a kin, what each would bring, and what forbids it.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hozen_advisory::{
    index::{self, verdict},
    notice::Notice,
    package::{Change, Package, PackageSet, Transaction},
};
use smol_str::SmolStr;

use crate::{
    assess::{AffectedPackage, Missing, Rule, SetView, Side, UpdateView, installed, updates::ALL},
    baseline::{PackageRule, PackageWant},
    made_of::same,
    mitigation::NOTHING,
    node::Resolved,
    units::{Digest, Name},
};

use super::{desk::Desk, kin::Key, want::Want};

/// Something that could be done.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) key: Key,
    /// What it was resolved for; several where they come to the same.
    pub(super) purposes: BTreeSet<SmolStr>,
    /// What it brings.
    pub(super) fixes: BTreeSet<Want>,
    /// Packages that it changes; for images none.
    pub(super) packages: BTreeSet<SmolStr>,
    /// Why it must not be done.
    pub(super) forbidden: Option<Forbidden>,
}

impl Choice {
    /// No package changes: units restart, or the node reboots.
    pub(super) fn activation() -> Self {
        Self {
            key: Key::Transaction(NOTHING.clone()),
            purposes: BTreeSet::new(),
            fixes: [Want::Active].into(),
            packages: BTreeSet::new(),
            forbidden: None,
        }
    }
}

/// Why something must not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Forbidden {
    /// A person declared the patch bad.
    Block {
        /// Package and version.
        package: SmolStr,
        /// Why.
        reason: String,
    },
    /// The baseline itself says otherwise.
    Baseline {
        /// Package that it names.
        package: SmolStr,
        /// What it says.
        why: String,
    },
    /// To go back to this version would bring a known weakness back.
    Reopens {
        /// Package.
        package: SmolStr,
        /// Version that it would have.
        version: SmolStr,
        /// Notice that is fixed in the present one.
        notice: Name,
    },
    /// The fix of a notice cannot stand beside something that is there.
    Conflict {
        /// Notice.
        notice: Name,
        /// What it cannot stand beside.
        other: Name,
    },
}

impl Forbidden {
    /// The package and version of a bad patch, and why it is one: that alone is a hold, the others are for the report.
    pub(super) const fn blocked(&self) -> Option<(&SmolStr, &String)> {
        match self {
            Self::Block { package, reason } => Some((package, reason)),
            Self::Baseline { .. } | Self::Conflict { .. } | Self::Reopens { .. } => None,
        }
    }

    pub(super) fn told(&self) -> String {
        match self {
            Self::Block { package, reason } => format!("{package} is blocked: {reason}"),
            Self::Baseline { why, .. } => why.clone(),
            Self::Conflict { notice, other } => format!("{notice} cannot stand beside {other}"),
            Self::Reopens { package, version, notice } => format!(
                "{package} {version} has {notice}, which the installed version fixes: renew the baseline instead of rolling back"
            ),
        }
    }

    /// Whether it speaks of a want itself, and not of something that merely came along with it.
    fn concerns(&self, want: &Want, packages: &[SmolStr]) -> bool {
        match self {
            Self::Block { package, .. } => {
                let name = package.split(' ').next().unwrap_or_default();
                packages.iter().any(|own| own == name)
            }
            Self::Baseline { package, .. } | Self::Reopens { package, .. } => {
                packages.contains(package)
            }
            Self::Conflict { notice, .. } => want.notice() == Some(notice),
        }
    }
}

/// What one pass found that could be done and the next may use, while it is about the very same views and transactions.
#[derive(Debug, Default)]
pub struct Memory {
    /// By baseline and package set, of the pass before.
    before: BTreeMap<(Name, Digest), Vec<Remembered>>,
    /// The same of this one.
    now: BTreeMap<(Name, Digest), Vec<Remembered>>,
}

/// Choices, and what they were made of: the view of a set stands for its baseline, its packages and all notices.
#[derive(Clone, Debug)]
struct Remembered {
    set: Arc<SetView>,
    updates: Option<Arc<UpdateView>>,
    resolved: Vec<(SmolStr, Digest, Option<Arc<Transaction>>)>,
    choices: Arc<[Choice]>,
}

impl Memory {
    /// Forgets what the last pass had no use for.
    pub(super) fn begin(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    fn choices(
        &mut self,
        desk: &Desk<'_>,
        (set, updates): (&Arc<SetView>, Option<&Arc<UpdateView>>),
        resolved: &[Resolved],
    ) -> Arc<[Choice]> {
        let key = (desk.baseline.name.clone(), set.digest.clone());
        let known = self.before.get(&key).into_iter().flatten();
        let found = known.clone().find(|known| known.is(desk, (set, updates), resolved));
        let remembered = found.cloned().unwrap_or_else(|| Remembered {
            set: Arc::clone(set),
            updates: updates.cloned(),
            resolved: resolved
                .iter()
                .map(|one| {
                    let transaction = desk.world.transactions.get(&one.transaction).cloned();
                    (one.purpose.clone(), one.transaction.clone(), transaction)
                })
                .collect(),
            choices: work_out(desk, set, updates.map(Arc::as_ref), resolved).into(),
        });
        let choices = Arc::clone(&remembered.choices);
        self.now.entry(key).or_default().push(remembered);
        choices
    }
}

impl Remembered {
    fn is(
        &self,
        desk: &Desk<'_>,
        (set, updates): (&Arc<SetView>, Option<&Arc<UpdateView>>),
        resolved: &[Resolved],
    ) -> bool {
        Arc::ptr_eq(&self.set, set)
            && same(self.updates.as_ref(), updates)
            && self.resolved.len() == resolved.len()
            && self.resolved.iter().zip(resolved).all(|((purpose, digest, transaction), now)| {
                *purpose == now.purpose
                    && *digest == now.transaction
                    && same(transaction.as_ref(), desk.world.transactions.get(digest))
            })
    }
}

/// What the package managers of a kin resolved and the baseline lets be installed at all: what changes fewest packages first, of
/// equals what brings most.
pub(super) fn of_nodes(
    desk: &Desk<'_>,
    views: (&Arc<SetView>, Option<&Arc<UpdateView>>),
    resolved: &[Resolved],
    memory: &mut Memory,
) -> Arc<[Choice]> {
    // Such a block ends by itself, and nothing else is changed by time.
    if desk.baseline.remediation.block.iter().any(|block| block.until.is_some()) {
        return work_out(desk, views.0, views.1.map(Arc::as_ref), resolved).into();
    }
    memory.choices(desk, views, resolved)
}

fn work_out(
    desk: &Desk<'_>,
    set: &SetView,
    updates: Option<&UpdateView>,
    resolved: &[Resolved],
) -> Vec<Choice> {
    let mut choices: BTreeMap<&str, Choice> = BTreeMap::new();
    for resolved in resolved {
        // Everything that is newer is more than a baseline asks for that wants security fixes alone.
        if resolved.purpose == ALL && !desk.baseline.remediation.include_bugfix {
            continue;
        }
        let Some(transaction) = desk.world.transactions.get(&resolved.transaction) else {
            continue;
        };
        choices
            .entry(&resolved.transaction)
            .or_insert_with(|| choice(desk, set, updates, transaction))
            .purposes
            .insert(resolved.purpose.clone());
    }
    let mut choices: Vec<Choice> = choices.into_values().collect();
    choices.sort_by_key(|choice| (choice.packages.len(), Reverse(choice.fixes.len())));
    choices
}

fn choice(
    desk: &Desk<'_>,
    set: &SetView,
    updates: Option<&UpdateView>,
    transaction: &Transaction,
) -> Choice {
    let changes: BTreeMap<&str, &Change> =
        transaction.changes.iter().map(|change| (change.name.as_str(), change)).collect();
    let packages = desk.world.package_sets.get(&set.digest).map(Arc::as_ref);
    let bringing = Bringing { desk, set, packages, changes: &changes };
    let mut fixes: BTreeSet<Want> = set
        .missing()
        .filter(|missing| bringing.notice(missing))
        .map(|missing| Want::Notice(missing.notice.clone()))
        .collect();
    if updates.is_some_and(|updates| bringing.updates(updates)) {
        fixes.insert(Want::Updates);
    }
    for (want, side) in
        [(Want::Required, Side::Below), (Want::Removed, Side::Above), (Want::Pinned, Side::Above)]
    {
        if bringing.rules(&want, side) {
            fixes.insert(want);
        }
    }
    let forbidden = blocked(desk, transaction)
        .or_else(|| against_baseline(desk, transaction))
        .or_else(|| bringing.reopens())
        .or_else(|| conflict(desk, set, &fixes));
    Choice {
        key: Key::Transaction(transaction.digest.clone()),
        purposes: BTreeSet::new(),
        fixes,
        packages: changes.keys().map(|&name| name.into()).collect(),
        forbidden,
    }
}

/// A transaction against a package set.
struct Bringing<'a> {
    desk: &'a Desk<'a>,
    set: &'a SetView,
    packages: Option<&'a PackageSet>,
    changes: &'a BTreeMap<&'a str, &'a Change>,
}

impl Bringing<'_> {
    /// Whether it brings all that can be had of a notice: what nobody has fixed yet keeps nothing else back.
    fn notice(&self, missing: &Missing) -> bool {
        missing.fixable().next().is_some() && missing.fixable().all(|p| self.fixes(p))
    }

    fn fixes(&self, package: &AffectedPackage) -> bool {
        let change = self.changes.get(package.package.as_str());
        change.is_some_and(|change| {
            change.removes()
                || self.packages.is_some_and(|set| installed::brings(set, package, &change.to))
        })
    }

    fn updates(&self, updates: &UpdateView) -> bool {
        let wanted =
            updates.packages.iter().filter(|(name, _, to)| self.desk.blocked(name, to).is_none());
        let mut any = false;
        for (name, _, to) in wanted {
            any = true;
            // What a later pocket offers is newer than what this view was made of, never older.
            let brought = self
                .changes
                .get(name.as_str())
                .is_some_and(|change| change.to == *to || self.newer(name, &change.to, to));
            if !brought {
                return false;
            }
        }
        any
    }

    /// Whether it brings every package that the baseline names and that is on this side of what it says: too old, not allowed, or
    /// above its pin.
    fn rules(&self, want: &Want, side: Side) -> bool {
        let departs = |name: &SmolStr| {
            let mut departures = self.set.departures.iter();
            departures.any(|d| d.side == side && d.rule == Rule::Package(name.clone()))
        };
        let concerned = |rule: &&PackageRule| match rule.want {
            PackageWant::Absent => *want == Want::Removed,
            PackageWant::Pin(_) => *want == Want::Pinned || *want == Want::Required,
            PackageWant::Min(_) => *want == Want::Required,
        };
        let rules = self.desk.baseline.require.packages.iter();
        let mut any = false;
        for rule in rules.filter(concerned).filter(|rule| departs(&rule.name)) {
            any = true;
            let change = self.changes.get(rule.name.as_str());
            let brought = change.is_some_and(|change| match &rule.want {
                PackageWant::Min(least) => {
                    change.to == *least || self.newer(&rule.name, &change.to, least)
                }
                PackageWant::Pin(exactly) => change.to == *exactly,
                PackageWant::Absent => change.removes(),
            });
            if !brought {
                return false;
            }
        }
        any
    }

    /// The first version that it would bring back to its pin and that a notice calls affected, other than the installed one. Nothing
    /// else is ever brought back.
    fn reopens(&self) -> Option<Forbidden> {
        let rules = self.desk.baseline.require.packages.iter();
        let pinned = rules.filter(|rule| matches!(rule.want, PackageWant::Pin(_)));
        let changes = pinned.filter_map(|rule| self.changes.get(rule.name.as_str()));
        let mut back =
            changes.filter(|change| self.newer(&change.name, &change.from, &change.to)).peekable();
        back.peek()?;
        let before = self.packages?;
        let after = self.after(before);
        back.find_map(|change| {
            let packages = installed::named(before, &change.name);
            let mut notices = self.desk.world.notices.iter();
            let (notice, _) = notices.find(|(_, known)| {
                packages.iter().any(|package| {
                    let then = package.in_version(&change.to);
                    affects(&known.notice, &then, &after)
                        && !affects(&known.notice, package, &before.packages)
                })
            })?;
            Some(Forbidden::Reopens {
                package: change.name.clone(),
                version: change.to.clone(),
                notice: notice.clone(),
            })
        })
    }

    /// The packages of a set, each in the version that the transaction leaves: what it installs anew is nobody's past.
    fn after(&self, before: &PackageSet) -> Vec<Package> {
        let changed = |package: &Package| match self.changes.get(package.name.as_str()) {
            Some(change) if change.from != package.version => Some(package.clone()),
            Some(change) if change.removes() => None,
            Some(change) => Some(package.in_version(&change.to)),
            None => Some(package.clone()),
        };
        before.packages.iter().filter_map(changed).collect()
    }

    fn newer(&self, name: &str, version: &str, than: &str) -> bool {
        let named = self.packages.map(|set| installed::named(set, name)).unwrap_or_default();
        named.iter().any(|package| {
            installed::compare(&package.ecosystem, version, than).is_ok_and(Ordering::is_gt)
        })
    }
}

/// Whether a notice calls a package of a set affected.
fn affects(notice: &Notice, package: &Package, all: &[Package]) -> bool {
    matches!(verdict(notice, package, all), Some(index::Verdict::Affected { .. }))
}

fn blocked(desk: &Desk<'_>, transaction: &Transaction) -> Option<Forbidden> {
    transaction.changes.iter().find_map(|change| {
        let block = desk.blocked(&change.name, &change.to)?;
        Some(Forbidden::Block {
            package: smol_str::format_smolstr!("{} {}", block.package, block.version),
            reason: block.reason.clone(),
        })
    })
}

/// A pin and a package that must not be there bind a change as they bind a node.
fn against_baseline(desk: &Desk<'_>, transaction: &Transaction) -> Option<Forbidden> {
    transaction.changes.iter().find_map(|change| {
        let rules = desk.baseline.require.packages.iter();
        let broken =
            rules.filter(|rule| rule.name == change.name).find(|rule| match &rule.want {
                PackageWant::Pin(exactly) => change.to != *exactly,
                PackageWant::Absent => change.installs(),
                PackageWant::Min(_) => false,
            })?;
        let by = format!("by {} spec.require.packages", desk.baseline.name);
        let why = match &broken.want {
            PackageWant::Pin(exactly) => format!(
                "{} is pinned at {exactly} {by}{}, and {} would be installed: renew the pin, or ask for an exception",
                broken.name,
                broken.reason.as_ref().map_or_else(String::new, |why| format!(" ({why})")),
                change.to
            ),
            PackageWant::Absent | PackageWant::Min(_) => format!(
                "{} must not be there {by}, and {} would be installed: it must come without it, or the rule must go",
                broken.name, change.to
            ),
        };
        Some(Forbidden::Baseline { package: broken.name.clone(), why })
    })
}

/// A notice whose fix cannot stand beside an installed package, or beside the fix of another notice.
fn conflict(desk: &Desk<'_>, set: &SetView, fixes: &BTreeSet<Want>) -> Option<Forbidden> {
    let packages = desk.world.package_sets.get(&set.digest)?;
    let notices = fixes.iter().filter_map(Want::notice);
    let known = notices.filter_map(|name| Some((name, desk.world.notices.get(name)?)));
    for (name, known) in known {
        for other in &known.notice.patch.conflicts {
            let fixed_too = fixes.contains(&Want::Notice(other.clone()));
            if fixed_too || !installed::named(packages, other).is_empty() {
                return Some(Forbidden::Conflict { notice: name.clone(), other: other.clone() });
            }
        }
    }
    None
}

/// Why a want cannot be had on a kin: everything that would bring it is forbidden for what it itself would install.
pub(super) fn withheld<'c>(
    choices: &'c [Choice],
    want: &Want,
    packages: &[SmolStr],
) -> Option<&'c Forbidden> {
    let mut bringing = choices.iter().filter(|choice| choice.fixes.contains(want));
    if bringing.clone().any(|choice| choice.forbidden.is_none()) {
        return None;
    }
    bringing.find_map(|choice| {
        let forbidden = choice.forbidden.as_ref()?;
        forbidden.concerns(want, packages).then_some(forbidden)
    })
}
