//! What is stated of products (VEX), applied to what the matcher finds.

use std::collections::{BTreeMap, BTreeSet};

use hozen_advisory::{
    notice::Notice,
    package::{Package, PackageSet},
    vex::{self, Images, Statements, Status},
};
use hozen_domain::{
    World,
    request::Known,
    units::{Digest, Name},
    world::{Finding, Verdict},
};
use smol_str::SmolStr;

use crate::convert::advisory::object_name;

/// What is stated of products, for the notices that it is about.
#[derive(Clone, Debug, Default)]
pub(super) struct Stated {
    statements: Statements,
    /// Notices of which something is stated, by object name.
    notices: BTreeMap<Name, Notice>,
    /// Images whose packages each set is. What is stated of an image is stated of no node.
    images: BTreeMap<Digest, Images>,
}

impl Stated {
    /// Keeps the statements, and of the notices those that they speak of.
    pub(super) fn of<'a>(
        statements: Statements,
        notices: impl Iterator<Item = (&'a Name, &'a Notice)>,
        world: &World,
    ) -> Self {
        if statements.is_empty() {
            return Self::default();
        }
        let named = statements.iter().flat_map(|said| &said.weakness);
        let named: BTreeSet<Name> = named.map(|id| object_name(id)).collect();
        let about = |notice: &Notice| {
            std::iter::once(&notice.id)
                .chain(notice.cves())
                .any(|id| named.contains(&object_name(id)))
        };
        let notices = notices.filter(|(_, notice)| about(notice));
        let notices = notices.map(|(name, notice)| (name.clone(), notice.clone())).collect();
        let mut images: BTreeMap<Digest, Images> = BTreeMap::new();
        for image in world.images.values() {
            if let Ok(set) = &image.packages {
                images.entry(set.clone()).or_default().insert(image.digest.clone());
            }
        }
        Self { statements, notices, images }
    }

    /// What the matcher found, each with the position of its package in the set, as what is stated changes it: an excuse counts, and
    /// where somebody says that it is affected, or that nobody knows yet, silence of the matcher is none.
    ///
    /// A finding names no architecture, so only its position tells which of two packages of one name and version it is about.
    pub(super) fn applied(
        &self,
        set: &PackageSet,
        found: impl Iterator<Item = (u32, Finding)>,
    ) -> Vec<Finding> {
        if self.notices.is_empty() {
            return found.map(|(_, finding)| finding).collect();
        }
        let said = self.said_of(set);
        let mut heard = BTreeSet::new();
        let found = found.map(|(position, finding)| {
            let key = (position, finding.notice.clone());
            let Some(said) = said.get(&key) else {
                return finding;
            };
            heard.insert(key);
            let verdict = excuse(said).unwrap_or(finding.verdict);
            Finding { verdict, ..finding }
        });
        let mut findings: Vec<Finding> = found.collect();
        let silent = said.iter().filter(|(key, _)| !heard.contains(*key));
        findings.extend(silent.filter_map(|((position, name), said)| {
            // A notice of several weaknesses is an erratum of any distribution: what one of them does here is told by its own notice.
            let notice = self.notices.get(name)?;
            let told = said.status.excuses() || said.weakness.iter().any(|id| hears(notice, id));
            let package = set.packages.get(*position as usize).filter(|_| told)?;
            Some(finding(name, package, of_silence(said)?))
        }));
        findings
    }

    /// What is stated of a set: by position of the package, and notice.
    fn said_of(&self, set: &PackageSet) -> BTreeMap<(u32, Name), &vex::Statement> {
        let nowhere = Images::new();
        let images = self.images.get(&set.digest).unwrap_or(&nowhere);
        let mut all = BTreeMap::new();
        let numbered = (0..).zip(set.packages.iter());
        for (position, package) in
            numbered.filter(|(_, package)| self.statements.concerns(package, images))
        {
            for (name, notice) in &self.notices {
                if let Some(said) = self.statements.said(notice, package, images) {
                    all.insert((position, name.clone()), said);
                }
            }
        }
        all
    }
}

/// What a statement makes of a package that the matcher found.
fn excuse(said: &vex::Statement) -> Option<Verdict> {
    match &said.status {
        Status::Fixed => Some(excused("it is the fixed version", said)),
        Status::NotAffected { justification } => Some(excused(justification, said)),
        Status::UnderInvestigation | Status::Affected => None,
    }
}

/// What a statement makes of a package of which the matcher is silent.
fn of_silence(said: &vex::Statement) -> Option<Verdict> {
    match &said.status {
        Status::Fixed => None,
        Status::NotAffected { justification } => Some(excused(justification, said)),
        Status::UnderInvestigation => {
            Some(Verdict::Unknown { why: format!("under investigation, says {}", by(said)) })
        }
        Status::Affected => Some(Verdict::Affected { fixed: None }),
    }
}

fn finding(notice: &Name, package: &Package, verdict: Verdict) -> Finding {
    Finding {
        notice: notice.clone(),
        package: package.name.clone(),
        installed: package.version.clone(),
        verdict,
    }
}

fn excused(justification: &str, said: &vex::Statement) -> Verdict {
    Verdict::NotAffected { why: format!("{justification}, says {}", by(said)) }
}

/// Who says it, and where.
fn by(said: &vex::Statement) -> String {
    let author = if said.author.is_empty() { "its author" } else { said.author.as_str() };
    if said.document.is_empty() {
        author.to_owned()
    } else {
        format!("{author} in {}", said.document)
    }
}

/// The weaknesses of which a notice tells whatever is stated: its own, and its CVE where it has one alone.
fn heard_by(notice: &Notice) -> impl Iterator<Item = &SmolStr> {
    let mut cves = notice.cves().filter(|_| notice.withdrawn.is_none());
    let alone = cves.next().filter(|_| cves.next().is_none());
    std::iter::once(&notice.id).chain(alone)
}

fn hears(notice: &Notice, id: &SmolStr) -> bool {
    let id = object_name(id);
    heard_by(notice).any(|heard| object_name(heard) == id)
}

/// Weaknesses of which no notice speaks and of which somebody says that a product has them, or that nobody knows yet: that is notice
/// enough. Ids are compared as names of objects, since that is what the world knows notices by: one that is spelt otherwise is no other.
pub(super) fn unheard(
    statements: &[vex::Statement],
    own: &BTreeMap<Name, Known>,
    fed: &BTreeMap<Name, Notice>,
) -> BTreeMap<Name, Notice> {
    let all = || own.values().map(|known| &*known.notice).chain(fed.values());
    let heard: BTreeSet<Name> = all().flat_map(heard_by).map(|id| object_name(id)).collect();
    let open = statements
        .iter()
        .filter(|said| !said.status.excuses())
        .filter(|said| !said.weakness.iter().any(|id| heard.contains(&object_name(id))));
    let mut made: BTreeMap<Name, Notice> = BTreeMap::new();
    for said in open {
        let Some((id, aliases)) = said.weakness.split_first() else { continue };
        let notice = Notice {
            id: id.clone(),
            aliases: aliases.to_vec(),
            summary: format!("stated by {}", by(said)),
            severity: said.severity.clone(),
            ..Notice::default()
        };
        // Of several documents the last is named, and all of them tell how bad it is.
        let before = made.insert(object_name(id), notice);
        let known = made.get_mut(&object_name(id)).map(|notice| &mut notice.severity);
        if let (Some(before), Some(known)) = (before, known) {
            known.extend(before.severity);
            known.sort();
            known.dedup();
        }
    }
    made
}
