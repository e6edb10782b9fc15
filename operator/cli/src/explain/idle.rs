//! Why a notice that a feed brought does not bind.

use std::collections::{BTreeMap, BTreeSet};

use hozen_advisory::{index::Standing, notice::Notice};
use hozen_domain::{
    model::Outcome,
    relevance,
    units::{Digest, Name},
};
use hozen_intake::folder::Corpus;

use super::{Answer, Section, advisory::says};
use crate::text::{counted, some_of};

/// Systems that are named in one line.
const NAMED_MAX: usize = 8;
/// Packages of a notice that are told.
const PACKAGES_MAX: usize = 20;

/// How systems stand to a notice: a package and what is to be said of it, with the systems that have it.
pub(super) type Standings = BTreeMap<(String, Standing), BTreeSet<String>>;

/// A notice of a feed that the world does not know: nothing here was found to be affected.
pub(super) fn answer(outcome: &Outcome, corpus: &Corpus, name: &Name) -> Option<Answer> {
    let notice = corpus.idle().get(name)?;
    let standings = standings(outcome, corpus, &notice.id);
    let (summary, next) = why(outcome, notice, &standings);
    let mut answer = Answer { summary, ..Answer::default() };
    answer.add(says(notice));
    let mut section = Section::new("whether it matters");
    // What only a statement on products speaks of has no feed.
    if !notice.source.feed.is_empty() {
        section.say(format!("the feed {} brought it", notice.source.feed));
    }
    if let Some(why) = relevance::unmatchable(notice) {
        section.rule(why, "PROCESS 2.3");
    }
    answer.add(section);
    let withdrawn = notice.withdrawn.map(|_| WITHDRAWN);
    answer.add(installed(&standings, withdrawn));
    answer.next.push(next.to_owned());
    Some(answer)
}

/// Why it does not bind, in one line, and what would change that.
fn why(outcome: &Outcome, notice: &Notice, standings: &Standings) -> (String, &'static str) {
    const WHEN_AFFECTED: &str =
        "it is kept, and matters as soon as a scan finds an affected version";
    if let Some(at) = notice.withdrawn {
        return (
            format!("it is ignored: its publisher withdrew it at {at}"),
            "it is kept, and matters if its publisher gives it out again",
        );
    }
    if standings.keys().any(|(_, standing)| binds(standing)) {
        return (
            "an affected version has come since the feed was read".to_owned(),
            "the feed is read again: it matters from then on",
        );
    }
    if !standings.is_empty() {
        let fixed =
            |(_, standing): &(String, Standing)| matches!(standing, Standing::FixedAlready { .. });
        let why = if standings.keys().all(fixed) {
            "it is ignored: every system that has what it is about has the fix"
        } else {
            "it is ignored: no system has an affected version of what it is about"
        };
        return (why.to_owned(), WHEN_AFFECTED);
    }
    if let Some(why) = relevance::unmatchable(notice) {
        return (
            why,
            "look whether what it is about is here; a notice of an ecosystem that Hozen knows would be matched",
        );
    }
    let named = notice.affected.iter().map(|it| format!("{} of {}", it.name, it.ecosystem));
    let packages: Vec<String> = named.collect::<BTreeSet<_>>().into_iter().collect();
    if packages.is_empty() {
        return ("it is ignored: it names no package".to_owned(), WHEN_AFFECTED);
    }
    let packages = some_of(&packages, 3);
    match relevance::blind(&outcome.world) {
        0 => (format!("it is ignored: no system has {packages}"), WHEN_AFFECTED),
        blind => {
            let systems = counted(u32::try_from(blind).unwrap_or(u32::MAX), "system");
            (
                format!(
                    "it cannot be told whether it matters here: no system is known to have {packages}, and of {systems} it is not known what is there"
                ),
                WHEN_AFFECTED,
            )
        }
    }
}

/// Why what the range of a notice holds is not affected: its publisher took it back.
pub(super) const WITHDRAWN: &str = "the notice is withdrawn";
/// Why what the range of a notice holds is not affected: somebody stated so.
pub(super) const EXCUSED: &str = "a statement says that it is not affected";

/// Where what a notice is about is installed, and what that means; with why its range does not bind, where it does not.
pub(super) fn installed(standings: &Standings, but: Option<&str>) -> Section {
    let mut section = Section::new("where it is installed");
    for ((package, standing), systems) in standings.iter().take(PACKAGES_MAX) {
        let systems: Vec<&String> = systems.iter().collect();
        let on = some_of(&systems, NAMED_MAX);
        match standing {
            Standing::FixedAlready { installed, fixed } => {
                section.say(format!("{package} {installed} on {on}: fixed since {fixed}"));
            }
            Standing::NotAffected { installed } => section.say(format!(
                "{package} {installed} on {on}: not affected, the notice speaks of other versions"
            )),
            Standing::Affected { installed, fixed } => {
                let fixed = fixed.as_deref().unwrap_or("no version yet");
                let lead = format!("{package} {installed} on {on}");
                section.say(match but {
                    Some(but) => format!(
                        "{lead}: in the range that the notice gives (fixed in {fixed}), but {but}"
                    ),
                    None => format!("{lead}: affected, fixed in {fixed}"),
                });
            }
            Standing::Unknown { installed, why } => {
                section.say(format!("{package} {installed} on {on}: unknown: {why}"));
            }
            Standing::NoSuchNotice | Standing::NotInstalled => {}
        }
    }
    let more = standings.len().saturating_sub(PACKAGES_MAX);
    if more > 0 {
        section.say(format!("and {more} more packages and versions"));
    }
    section
}

/// How each system stands to a notice that has one of its packages.
pub(super) fn standings(outcome: &Outcome, corpus: &Corpus, notice: &str) -> Standings {
    let mut by_set: BTreeMap<&Digest, BTreeSet<String>> = BTreeMap::new();
    let world = &outcome.world;
    for node in world.nodes.values() {
        if let Some(inventory) = node.report.latest() {
            by_set.entry(&inventory.package_set).or_default().insert(node.name.to_string());
        }
    }
    for workload in world.workloads.values() {
        let used = workload.containers.values();
        let digests = used.filter_map(|used| used.running.as_ref().or(used.pinned.as_ref()));
        let images = digests.filter_map(|digest| world.images.get(digest));
        for set in images.filter_map(|image| image.packages.as_ref().ok()) {
            by_set.entry(set).or_default().insert(workload.key.to_string());
        }
    }
    let mut standings = Standings::new();
    for (set, systems) in by_set {
        let Some(set) = world.package_sets.get(set) else { continue };
        for (position, standing) in corpus.explain(notice, set).packages {
            let Some(package) = set.packages.get(position as usize) else { continue };
            let told = (package.name.to_string(), standing);
            standings.entry(told).or_default().extend(systems.iter().cloned());
        }
    }
    standings
}

/// Whether a package of that standing is one that a notice binds.
fn binds(standing: &Standing) -> bool {
    match standing {
        Standing::Affected { .. } | Standing::Unknown { .. } => true,
        Standing::NoSuchNotice
        | Standing::NotInstalled
        | Standing::NotAffected { .. }
        | Standing::FixedAlready { .. } => false,
    }
}
