//! One weakness, one notice: documents that speak of the same thing become one, and what is known of attacks joins it.
//!
//! Who wins where documents disagree about one package: the distribution that ships it, then the database of its
//! ecosystem, then whoever keeps CVE records. A lesser word about a package is never added to a greater one's.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::epss::Scores;
use crate::kev::{Catalogue, is_cve};
use crate::notice::{
    Affected, Exploitation, KnownExploited, Notice, NoticeKind, PatchFacts, Range,
};
use crate::version::Scheme;

/// Most documents that become one weakness. The largest group in public data has about 20; more is a mistake in
/// somebody's aliases, or an attempt to drown notices in one another.
pub const GROUP_MAX: usize = 64;

/// What merging gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    /// One per weakness, by id.
    pub notices: Vec<Notice>,
    /// The documents that stand no longer by themselves, by id.
    pub absorbed: Vec<Absorbed>,
    /// Groups larger than [`GROUP_MAX`], left as they were: the ids of each.
    pub refused: Vec<Vec<SmolStr>>,
}

/// A document that became part of another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Absorbed {
    /// Its id.
    pub id: SmolStr,
    /// The notice that stands for it.
    pub into: SmolStr,
}

/// Whose word a document is. Lower counts more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Authority {
    /// A distribution's erratum: a patch with a name.
    Erratum,
    /// A distribution's record of one CVE.
    Distribution,
    /// A database of an ecosystem: GHSA, PYSEC, RUSTSEC, BIT.
    Ecosystem,
    /// A CVE record.
    Cve,
}

impl Authority {
    fn of(notice: &Notice) -> Self {
        let distribution = notice.affected.iter().any(|affected| {
            matches!(
                Scheme::of(&affected.ecosystem),
                Some(Scheme::Dpkg | Scheme::Rpm | Scheme::Apk)
            )
        });
        match (distribution, cve_in(&notice.id)) {
            (true, None) => Self::Erratum,
            (true, Some(_)) => Self::Distribution,
            (false, _) if notice.id.starts_with("CVE-") => Self::Cve,
            (false, _) => Self::Ecosystem,
        }
    }

    /// Whether the two speak with the same voice about a package.
    fn class(self) -> u8 {
        match self {
            Self::Erratum | Self::Distribution => 0,
            Self::Ecosystem => 1,
            Self::Cve => 2,
        }
    }
}

/// The CVE that an id names: itself, or `CVE-2026-31337` of `DEBIAN-CVE-2026-31337`.
fn cve_in(id: &str) -> Option<&str> {
    let from = id.find("CVE-")?;
    let cve = id.get(from..)?;
    (is_cve(cve) && (from == 0 || id[..from].ends_with('-'))).then_some(cve)
}

/// Makes one notice of all that speak of one weakness.
///
/// Of several revisions of one document the latest counts, whatever the others say. Then
/// by name: the same id, or an alias in common (transitively). An erratum that names several CVEs as its aliases
/// is a bundle, not the same as each of them, and groups by its id alone. Then by content: what a lesser document says
/// of a package word for word as an erratum that names its CVE says it, goes into that erratum. Withdrawn notices take
/// no part and stay.
pub fn merge(notices: Vec<Notice>) -> Merged {
    let mut merged = Merged::default();
    let (withdrawn, standing): (Vec<_>, Vec<_>) =
        latest(notices).into_iter().partition(|notice| notice.withdrawn.is_some());
    for group in groups(standing) {
        if group.len() > GROUP_MAX {
            merged.refused.push(group.iter().map(|notice| notice.id.clone()).collect());
            merged.notices.extend(group);
        } else {
            merged.notices.extend(fold(group, &mut merged.absorbed));
        }
    }
    absorb_into_errata(&mut merged);
    merged.notices.extend(withdrawn);
    merged.notices.sort_by(|a, b| a.id.cmp(&b.id));
    merged.absorbed.sort();
    merged.absorbed.dedup();
    merged
}

/// The notices without those of which there is a later revision. Documents that do not say when they were changed stay.
fn latest(mut notices: Vec<Notice>) -> Vec<Notice> {
    let mut latest: BTreeMap<SmolStr, Option<Timestamp>> = BTreeMap::new();
    for notice in &notices {
        let known = latest.entry(notice.id.clone()).or_default();
        *known = (*known).max(notice.modified);
    }
    notices.retain(|notice| {
        notice.modified.is_none() || latest.get(&notice.id) == Some(&notice.modified)
    });
    notices
}

/// The notices in groups of one weakness each, in the order of their first members.
fn groups(notices: Vec<Notice>) -> Vec<Vec<Notice>> {
    let mut parents: Vec<usize> = (0..notices.len()).collect();
    let mut first_with: BTreeMap<&str, usize> = BTreeMap::new();
    for (position, notice) in notices.iter().enumerate() {
        for name in names(notice) {
            let first = *first_with.entry(name).or_insert(position);
            let (a, b) = (root(&mut parents, first), root(&mut parents, position));
            parents[a.max(b)] = a.min(b);
        }
    }
    let roots: Vec<usize> =
        (0..notices.len()).map(|position| root(&mut parents, position)).collect();
    let mut groups: BTreeMap<usize, Vec<Notice>> = BTreeMap::new();
    for (root, notice) in roots.into_iter().zip(notices) {
        groups.entry(root).or_default().push(notice);
    }
    groups.into_values().collect()
}

/// Under what names a notice is the same as another that has one of them.
fn names(notice: &Notice) -> impl Iterator<Item = &str> {
    let own = cve_in(&notice.id);
    let cves = notice.aliases.iter().filter(|alias| is_cve(alias)).count();
    let bundle = cves > 1;
    let aliases = notice.aliases.iter().map(SmolStr::as_str);
    std::iter::once(notice.id.as_str()).chain(own).chain(aliases.filter(move |_| !bundle))
}

fn root(parents: &mut [usize], of: usize) -> usize {
    let mut at = of;
    while parents[at] != at {
        parents[at] = parents[parents[at]];
        at = parents[at];
    }
    at
}

/// One notice of a group: that of the greatest authority, with what the others add.
fn fold(mut group: Vec<Notice>, absorbed: &mut Vec<Absorbed>) -> Option<Notice> {
    group.sort_by(|a, b| (Authority::of(a), &a.id).cmp(&(Authority::of(b), &b.id)));
    let mut rest = group.into_iter();
    let mut kept = rest.next()?;
    let mut class = Authority::of(&kept).class();
    let mut packages = Packages::of(std::mem::take(&mut kept.affected));
    for other in rest {
        let other_class = Authority::of(&other).class();
        if other_class != class {
            class = other_class;
            packages.settle();
        }
        join(&mut kept, &other);
        kept.aliases.push(other.id.clone());
        kept.aliases.extend_from_slice(&other.aliases);
        kept.related.extend_from_slice(&other.related);
        kept.published = [kept.published, other.published].into_iter().flatten().min();
        kept.modified = kept.modified.max(other.modified);
        if other.id != kept.id {
            absorbed.push(Absorbed { id: other.id, into: kept.id.clone() });
        }
        for affected in other.affected {
            packages.add(affected);
        }
    }
    kept.affected = packages.finish();
    let id = kept.id.clone();
    normalise(&mut kept.aliases, &id);
    normalise(&mut kept.related, &id);
    kept.related.retain(|related| !kept.aliases.contains(related));
    Some(kept)
}

fn package(affected: &Affected) -> (SmolStr, SmolStr) {
    (affected.ecosystem.clone(), affected.name.clone())
}

fn normalise(ids: &mut Vec<SmolStr>, own: &SmolStr) {
    ids.retain(|id| id != own);
    ids.sort_by(|a, b| (!is_cve(a), a).cmp(&(!is_cve(b), b)));
    ids.dedup();
}

/// What a lesser document says of a weakness beside its names, dates and packages, joined to what the kept one says. Every field is
/// looked at here: one that is new has to be decided on.
fn join(kept: &mut Notice, lesser: &Notice) {
    let Notice {
        // Whose these are is known to who calls.
        id: _,
        aliases: _,
        related: _,
        affected: _,
        // The kept one's own stand; what is withdrawn takes no part.
        summary: _,
        source: _,
        withdrawn: _,
        kind,
        severity,
        rated,
        exploitation: Exploitation { known_exploited, epss },
        patch: PatchFacts { reboot, restart, uninstallable, requires, supersedes, conflicts },
        mitigations,
        // An erratum is not as old as the oldest of the CVEs that it closes.
        published: _,
        modified: _,
    } = lesser;
    if *kind == NoticeKind::Security {
        kept.kind = NoticeKind::Security;
    }
    extend_new(&mut kept.severity, severity);
    kept.rated = kept.rated.or(*rated);
    kept.exploitation.epss = greater(kept.exploitation.epss, *epss);
    if let Some(known) = known_exploited {
        join_known(&mut kept.exploitation.known_exploited, known);
    }
    kept.patch.reboot |= reboot;
    extend_new(&mut kept.patch.restart, restart);
    kept.patch.uninstallable = kept.patch.uninstallable.or(*uninstallable);
    extend_new(&mut kept.patch.requires, requires);
    extend_new(&mut kept.patch.supersedes, supersedes);
    extend_new(&mut kept.patch.conflicts, conflicts);
    extend_new(&mut kept.mitigations, mitigations);
}

/// The affected packages of a group, each once.
struct Packages {
    all: Vec<Affected>,
    positions: BTreeMap<(SmolStr, SmolStr), usize>,
    /// Of how many a greater authority has spoken.
    settled: usize,
    /// Positions of those of which more than one entry speaks.
    grown: BTreeSet<usize>,
}

impl Packages {
    fn of(affected: Vec<Affected>) -> Self {
        let mut packages = Self {
            all: Vec::with_capacity(affected.len()),
            positions: BTreeMap::new(),
            settled: 0,
            grown: BTreeSet::new(),
        };
        for entry in affected {
            packages.add(entry);
        }
        packages
    }

    /// From here on a lesser authority speaks.
    fn settle(&mut self) {
        self.settled = self.all.len();
    }

    fn add(&mut self, more: Affected) {
        let next = self.all.len();
        let position = *self.positions.entry(package(&more)).or_insert(next);
        if position == next {
            self.all.push(more);
        } else if position >= self.settled {
            let have = &mut self.all[position];
            have.ranges.extend(more.ranges);
            have.versions.extend(more.versions);
            have.severity.extend(more.severity);
            have.commit_ranges = have.commit_ranges.max(more.commit_ranges);
            self.grown.insert(position);
        }
    }

    /// All of them. Sorted once: after each addition it would take the square of a document's entries.
    fn finish(mut self) -> Vec<Affected> {
        for position in self.grown {
            let have = &mut self.all[position];
            have.ranges.sort();
            have.ranges.dedup();
            have.versions.sort();
            have.versions.dedup();
            let mut seen = BTreeSet::new();
            have.severity.retain(|vector| seen.insert(vector.clone()));
        }
        self.all
    }
}

/// For short lists only: each element is compared with every other.
fn extend_new<T: Clone + PartialEq>(all: &mut Vec<T>, more: &[T]) {
    for element in more {
        if !all.contains(element) {
            all.push(element.clone());
        }
    }
}

/// What an erratum says of a package.
type Word<'n> = (&'n str, &'n str, &'n [Range], &'n [SmolStr]);

fn word(affected: &Affected) -> Word<'_> {
    (&affected.ecosystem, &affected.name, &affected.ranges, &affected.versions)
}

/// Positions of errata, in order, by what they say and by the CVEs that they name: to look through all errata of a package would take
/// their number squared.
#[derive(Default)]
struct Errata<'n> {
    by_word: BTreeMap<Word<'n>, BTreeSet<usize>>,
    by_cve: BTreeMap<&'n str, BTreeSet<usize>>,
}

impl<'n> Errata<'n> {
    fn of(notices: &'n [Notice]) -> Self {
        let mut errata = Self::default();
        let own = notices.iter().enumerate();
        for (position, notice) in own.filter(|(_, n)| Authority::of(n) == Authority::Erratum) {
            for affected in &notice.affected {
                errata.by_word.entry(word(affected)).or_default().insert(position);
            }
            for cve in notice.cves() {
                errata.by_cve.entry(cve).or_default().insert(position);
            }
        }
        errata
    }

    /// The errata that name a CVE and say this of a package.
    fn saying(&self, cve: &str, affected: &Affected) -> Vec<usize> {
        let (Some(said), Some(named)) = (self.by_word.get(&word(affected)), self.by_cve.get(cve))
        else {
            return Vec::new();
        };
        let (few, many) = if said.len() < named.len() { (said, named) } else { (named, said) };
        few.iter().copied().filter(|position| many.contains(position)).collect()
    }

    /// The errata that say, all together, what a record of one CVE says; none: something of it no erratum says. Half a document would
    /// be a new one, of nobody's making.
    fn covering(&self, record: &Notice) -> Option<BTreeSet<usize>> {
        let cve = cve_in(&record.id)?;
        let mut covering = BTreeSet::new();
        for affected in &record.affected {
            let saying = self.saying(cve, affected);
            if saying.is_empty() {
                return None;
            }
            covering.extend(saying);
        }
        (!covering.is_empty()).then_some(covering)
    }
}

/// Takes out of lesser documents what errata that name their CVE say word for word.
fn absorb_into_errata(merged: &mut Merged) {
    let errata = Errata::of(&merged.notices);
    let covered = |(position, record)| Some((position, errata.covering(record)?));
    let mut taken: Vec<(usize, BTreeSet<usize>)> =
        merged.notices.iter().enumerate().filter_map(covered).collect();
    let gone: BTreeSet<usize> = taken.iter().map(|(position, _)| *position).collect();
    // The worst word first: it is the word of an erratum that has none of its own.
    taken.sort_by_key(|(position, _)| Reverse(merged.notices[*position].rated));
    for (position, errata) in taken {
        let lesser = merged.notices[position].clone();
        for erratum in errata {
            let kept = &mut merged.notices[erratum];
            join(kept, &lesser);
            join_packages(&mut kept.affected, &lesser.affected);
            merged.absorbed.push(Absorbed { id: lesser.id.clone(), into: kept.id.clone() });
        }
    }
    let mut position = 0;
    merged.notices.retain(|_| {
        let keep = !gone.contains(&position);
        position += 1;
        keep
    });
}

/// Where both say the same of a package, the kept document gets the severity that the lesser one has for that package alone.
fn join_packages(kept: &mut [Affected], lesser: &[Affected]) {
    for said in lesser.iter().filter(|affected| !affected.severity.is_empty()) {
        for same in kept.iter_mut().filter(|affected| word(affected) == word(said)) {
            extend_new(&mut same.severity, &said.severity);
        }
    }
}

/// Joins what is known of attacks by every CVE that a notice stands for: the earliest listing and due date, ransomware
/// if any says so, the highest probability.
///
/// A distribution's `related` are the CVEs that its erratum fixes; elsewhere they are neighbours only, and do not count.
pub fn join_exploitation(notices: &mut [Notice], kev: &Catalogue, epss: &Scores) {
    for notice in notices {
        let distribution = Authority::of(notice).class() == 0;
        let cves: Vec<SmolStr> = notice
            .cves()
            .filter(|cve| distribution || !notice.related.contains(cve))
            .cloned()
            .collect();
        for cve in &cves {
            if let Some(known) = kev.entries.get(cve) {
                join_known(&mut notice.exploitation.known_exploited, known);
            }
            let score = epss.scores.get(cve).copied();
            notice.exploitation.epss = greater(notice.exploitation.epss, score);
        }
    }
}

fn greater(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (one, other) => one.or(other),
    }
}

fn join_known(have: &mut Option<KnownExploited>, more: &KnownExploited) {
    match have {
        Some(have) => {
            have.since = have.since.min(more.since);
            have.due = [have.due, more.due].into_iter().flatten().min();
            have.ransomware |= more.ransomware;
        }
        None => *have = Some(more.clone()),
    }
}
