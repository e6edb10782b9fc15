//! Whether a notice matters here (PROCESS 2.3). Irrelevant ones are recorded, not dropped: they may become relevant.

use std::{
    borrow::Cow,
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use hozen_advisory::{
    index::{Spoken, named, spoken_of},
    notice::{Notice, RangeEnd},
    package::PackageSet,
    version::subscription,
};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{
    assess::{Assessment, Holding, installed},
    made_of::{self, Notices},
    node::{Inventory, Node},
    subscription::Subscriptions,
    units::{Digest, Name},
    workload::Workload,
    world::{Verdict, World},
};

/// Whether a notice matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Relevance {
    /// A system is affected, and there is a fix.
    Relevant,
    /// A system is affected, and there is no fix yet, or none that it can have: exposure all the same, and a request for a mitigation.
    NoFixYet,
    /// It cannot be told for a system: never taken for "not affected".
    Unknown,
    /// What it is about is installed, everywhere in a fixed version.
    FixedEverywhere,
    /// What it is about is installed, in no affected version, or the notice was withdrawn.
    NotAffected,
    /// What it is about is installed nowhere, and nothing is left of which that is not known.
    NotInstalled,
}

/// Whether a notice matters here, and why, in one line.
type Judged = (Relevance, String);

/// Whether each notice matters here, and why, in one line.
pub fn relevance(world: &World, assessment: &Assessment) -> BTreeMap<Name, Judged> {
    relevance_again(world, assessment, &mut Memory::default())
}

/// The same, with what an earlier pass left; equal to [`relevance`] whatever that was.
pub fn relevance_again(
    world: &World,
    assessment: &Assessment,
    memory: &mut Memory,
) -> BTreeMap<Name, Judged> {
    let blind = blind(world);
    let mut told = memory.told(world, &in_use(world, assessment)).clone();
    if blind > 0 {
        for (relevance, why) in told.values_mut() {
            if *relevance == Relevance::NotInstalled {
                *relevance = Relevance::Unknown;
                let systems = if blind == 1 { "1 system" } else { &format!("{blind} systems") };
                *why = format!("{why} that is known; what is on {systems} is not");
            }
        }
    }
    told
}

/// What one pass worked out and the next may use, while the notices and what is known of the package sets in use are the very same.
#[derive(Debug, Default)]
pub struct Memory {
    notices: Notices,
    sets: Vec<(Digest, made_of::Known)>,
    told: BTreeMap<Name, Judged>,
}

impl Memory {
    fn told(&mut self, world: &World, in_use: &BTreeSet<&Digest>) -> &BTreeMap<Name, Judged> {
        let subscriptions = Subscriptions::of(world);
        let same = self.notices.are(world)
            && self.sets.len() == in_use.len()
            && self.sets.iter().zip(in_use).all(|((digest, known), now)| {
                digest == *now && known.is(world, digest, &subscriptions)
            });
        if !same {
            let known = |set: &Digest| made_of::Known::of(world, set, &subscriptions);
            *self = Self {
                notices: Notices::of(world),
                sets: in_use.iter().map(|set| ((*set).clone(), known(set))).collect(),
                told: judged(world, in_use, &subscriptions),
            };
        }
        &self.told
    }
}

/// All notices against package sets in use, as if nothing else were.
fn judged(
    world: &World,
    in_use: &BTreeSet<&Digest>,
    subscriptions: &Subscriptions<'_>,
) -> BTreeMap<Name, Judged> {
    let mut told = found(world, in_use, subscriptions);
    let silent: Vec<Named<'_>> = world
        .notices
        .iter()
        .filter(|(name, _)| !told.contains_key(*name))
        .map(|(name, known)| (name, &*known.notice))
        .collect();
    told.extend(not_found(world, in_use, &silent));
    told
}

/// Systems of which it is not known what is installed, or of whose packages no notice speaks: nodes that never reported, or not
/// wholly, and workloads that run such an image.
pub fn blind(world: &World) -> usize {
    let spoken_of = |set: &Digest| !world.blind(set).iter().any(|blind| blind.system);
    let seen = |inventory: &Inventory| {
        let told = inventory.tells_security || spoken_of(&inventory.package_set);
        told && inventory.partial.is_empty()
    };
    let unseen = |node: &&Node| !node.report.latest().is_some_and(|inventory| seen(inventory));
    let nodes = world.nodes.values().filter(unseen).count();
    let known = |digest: &SmolStr| {
        let image = world.images.get(digest);
        image.and_then(|image| image.packages.as_ref().ok()).is_some_and(spoken_of)
    };
    let blind = |workload: &&Workload| {
        let containers = workload.containers.values();
        !containers
            .map(|used| used.running.as_ref().or(used.pinned.as_ref()))
            .all(|digest| digest.is_some_and(known))
    };
    nodes + world.workloads.values().filter(blind).count()
}

/// Package sets of every system, those included that no baseline may act on.
fn in_use<'w>(world: &'w World, assessment: &'w Assessment) -> BTreeSet<&'w Digest> {
    let mut sets: BTreeSet<&Digest> =
        assessment.baselines.values().flat_map(|baseline| baseline.sets.keys()).collect();
    // Where a baseline holds, its sets are there already, unless the node is frozen.
    let others = world.nodes.values().zip(assessment.nodes.values());
    for (node, view) in others {
        let counted =
            matches!(view.holding, Holding::By(_)) && view.state != crate::assess::State::Frozen;
        if !counted && let Some(inventory) = node.report.latest() {
            sets.insert(&inventory.package_set);
        }
    }
    let containers = world.workloads.values().flat_map(|w| w.containers.values());
    let running = containers.filter_map(|used| used.running.as_ref().or(used.pinned.as_ref()));
    let images = running.filter_map(|digest| world.images.get(digest));
    sets.extend(images.filter_map(|image| image.packages.as_ref().ok()));
    sets
}

/// What the matcher found, summed up by notice.
#[derive(Default)]
struct Found<'w> {
    fixable: u32,
    unfixed: u32,
    /// The subscription without which its fix cannot be had.
    withheld: Option<&'static str>,
    unknown: Option<&'w str>,
    excused: Option<&'w str>,
    packages: BTreeSet<&'w str>,
    /// Packages that a statement excuses.
    spared: BTreeSet<&'w str>,
}

fn found(
    world: &World,
    in_use: &BTreeSet<&Digest>,
    subscriptions: &Subscriptions<'_>,
) -> BTreeMap<Name, Judged> {
    let mut by_notice: BTreeMap<&Name, Found<'_>> = BTreeMap::new();
    let findings = in_use.iter().filter_map(|set| Some((*set, world.findings.get(*set)?)));
    for (set, finding) in findings.flat_map(|(set, of)| of.iter().map(move |one| (set, one))) {
        let known = world.notices.get(&finding.notice);
        if known.is_none_or(|known| known.notice.withdrawn.is_some()) {
            continue;
        }
        let found = by_notice.entry(&finding.notice).or_default();
        // What is excused is named where there is nothing else to name.
        let excused = matches!(finding.verdict, Verdict::NotAffected { .. });
        let packages = if excused { &mut found.spared } else { &mut found.packages };
        packages.insert(&finding.package);
        match &finding.verdict {
            Verdict::Affected { fixed: Some(fixed) } => {
                let packages = || world.package_sets.get(set);
                let needs = subscription(fixed, || {
                    let (package, installed) = (&finding.package, &finding.installed);
                    installed::ecosystem(packages()?, package, installed).map(SmolStr::as_str)
                });
                match needs.filter(|of| subscriptions.lacks(set, of)) {
                    Some(of) => found.withheld = Some(of),
                    None => found.fixable += 1,
                }
            }
            Verdict::Affected { fixed: None } => found.unfixed += 1,
            Verdict::Unknown { why } => found.unknown = found.unknown.or(Some(why)),
            Verdict::NotAffected { why } => found.excused = found.excused.or(Some(why)),
        }
    }
    by_notice.into_iter().map(|(name, found)| (name.clone(), found.sum())).collect()
}

impl Found<'_> {
    fn sum(&self) -> Judged {
        let packages = listed(self.packages.iter().copied());
        if self.fixable > 0 {
            return (Relevance::Relevant, format!("{packages} affected"));
        }
        if let Some(of) = self.withheld {
            let why = format!(
                "{packages} affected; fixed only for {of}, and no machine that has it is attached"
            );
            return (Relevance::NoFixYet, why);
        }
        if self.unfixed > 0 {
            let why = format!("{packages} affected, and no fix is known yet");
            return (Relevance::NoFixYet, why);
        }
        if let (true, Some(why)) = (self.packages.is_empty(), self.excused) {
            let packages = listed(self.spared.iter().copied());
            return (Relevance::NotAffected, format!("{packages}: {why}"));
        }
        let why = self.unknown.unwrap_or("the reason is not known");
        (Relevance::Unknown, format!("{packages}: {why}"))
    }
}

/// A notice and its name, by which the world knows it; its id is its publisher's.
type Named<'w> = (&'w Name, &'w Notice);

/// The lowest version of a package that is installed anywhere, as notices count it: if even that one is fixed, all are.
struct Lowest<'w> {
    ecosystem: &'w str,
    version: Cow<'w, str>,
}

/// What is installed of what notices name.
#[derive(Default)]
struct Installed<'w> {
    /// By ecosystem and name, as packages are spoken of. Looked up for every installed package; never walked.
    named: HashMap<SmolStr, HashMap<SmolStr, usize>>,
    lowest: Vec<Option<Lowest<'w>>>,
}

impl<'w> Installed<'w> {
    fn of(notices: &[Named<'w>]) -> Self {
        let mut installed = Self::default();
        for ((ecosystem, name), _) in notices.iter().flat_map(|(_, notice)| named(notice)) {
            let next = installed.lowest.len();
            let names = installed.named.entry(ecosystem).or_default();
            if *names.entry(name).or_insert(next) == next {
                installed.lowest.push(None);
            }
        }
        installed
    }

    fn add(&mut self, set: &'w PackageSet) {
        for package in set.packages.iter() {
            for Spoken { ecosystem, name, version } in spoken_of(package, &set.packages) {
                let at = self.named.get(&*ecosystem).and_then(|names| names.get(&*name));
                let Some(slot) = at.and_then(|at| self.lowest.get_mut(*at)) else {
                    continue;
                };
                let lower = slot.as_ref().is_none_or(|known| {
                    let order = installed::compare(&package.ecosystem, &version, &known.version);
                    order.is_ok_and(Ordering::is_lt)
                });
                if lower {
                    *slot = Some(Lowest { ecosystem: &package.ecosystem, version });
                }
            }
        }
    }

    fn get(&self, ecosystem: &str, name: &str) -> Option<&Lowest<'w>> {
        let at = self.named.get(ecosystem)?.get(name)?;
        self.lowest.get(*at)?.as_ref()
    }
}

fn not_found<'w>(
    world: &'w World,
    in_use: &BTreeSet<&'w Digest>,
    notices: &[Named<'w>],
) -> Vec<(Name, Judged)> {
    let mut installed = Installed::of(notices);
    if !installed.lowest.is_empty() {
        let sets = in_use.iter().filter_map(|set| world.package_sets.get(*set));
        sets.for_each(|set| installed.add(set));
    }
    notices.iter().map(|(name, notice)| ((*name).clone(), judge(notice, &installed))).collect()
}

fn judge(notice: &Notice, installed: &Installed<'_>) -> Judged {
    if let Some(at) = notice.withdrawn {
        let why = format!("withdrawn by its publisher on {}", day(at));
        return (Relevance::NotAffected, why);
    }
    let mut answer = (Relevance::NotInstalled, not_installed(notice));
    for ((of, name), affected) in named(notice) {
        let Some(Lowest { ecosystem, version }) = installed.get(&of, &name) else {
            continue;
        };
        let fixed = affected.ranges.iter().find_map(|range| match &range.end {
            RangeEnd::Fixed(fixed) => installed::compare(ecosystem, version, fixed)
                .is_ok_and(Ordering::is_ge)
                .then_some(fixed),
            RangeEnd::LastAffected(_) | RangeEnd::Limit(_) | RangeEnd::Open => None,
        });
        let found = match fixed {
            Some(fixed) => (
                Relevance::FixedEverywhere,
                format!("{} {version} is installed, fixed since {fixed}", affected.name),
            ),
            None => (
                Relevance::NotAffected,
                format!("{} {version} is installed, which is not affected", affected.name),
            ),
        };
        answer = answer.min(found);
    }
    if answer.0 == Relevance::NotInstalled
        && let Some(why) = unmatchable(notice)
    {
        return (Relevance::Unknown, why);
    }
    answer
}

/// Why what a notice says cannot be matched with anything, where it names an ecosystem of which no ordering is known: nobody
/// can tell whether that is here.
pub fn unmatchable(notice: &Notice) -> Option<String> {
    let ecosystems = notice.unmatchable();
    let kind = if ecosystems.len() == 1 { "ecosystem" } else { "ecosystems" };
    (!ecosystems.is_empty()).then(|| {
        let named = listed(ecosystems.into_iter());
        format!("Hozen cannot match the {kind} {named}, so it is unknown whether it matters here")
    })
}

fn not_installed(notice: &Notice) -> String {
    let names: BTreeSet<&str> = notice.affected.iter().map(|a| a.name.as_str()).collect();
    if names.is_empty() {
        return "it names no package".into();
    }
    format!("{} is installed nowhere", listed(names.into_iter()))
}

/// The first three, and how many more.
fn listed<'a>(mut names: impl Iterator<Item = &'a str>) -> String {
    let first: Vec<&str> = names.by_ref().take(3).collect();
    match names.count() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

fn day(at: jiff::Timestamp) -> SmolStr {
    smol_str::format_smolstr!("{}", at.strftime("%Y-%m-%d"))
}
