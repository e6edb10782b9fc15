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
        let named: BTreeSet<&SmolStr> = statements.iter().flat_map(|said| &said.weakness).collect();
        let about = |notice: &Notice| {
            named.contains(&notice.id) || notice.cves().any(|cve| named.contains(cve))
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

    /// What is stated changes what the matcher found: an excuse counts, and where somebody says that it is affected, or that nobody
    /// knows yet, silence of the matcher is none.
    pub(super) fn apply(&self, set: &PackageSet, found: &mut Vec<Finding>) {
        if self.notices.is_empty() {
            return;
        }
        let nowhere = Images::new();
        let images = self.images.get(&set.digest).unwrap_or(&nowhere);
        let spoken_of = |package: &&Package| self.statements.concerns(package, images);
        for package in set.packages.iter().filter(spoken_of) {
            for (name, notice) in &self.notices {
                let Some(said) = self.statements.said(notice, package, images) else {
                    continue;
                };
                let about = |finding: &&mut Finding| {
                    finding.notice == *name
                        && finding.package == package.name
                        && finding.installed == package.version
                };
                let verdict = match (&said.status, found.iter_mut().find(about)) {
                    (Status::Fixed, Some(known)) => {
                        known.verdict = excused("it is the fixed version", said);
                        continue;
                    }
                    (Status::NotAffected { justification }, Some(known)) => {
                        known.verdict = excused(justification, said);
                        continue;
                    }
                    (Status::NotAffected { justification }, None) => excused(justification, said),
                    (Status::UnderInvestigation, None) => {
                        Verdict::Unknown { why: format!("under investigation, says {}", by(said)) }
                    }
                    (Status::Affected, None) => Verdict::Affected { fixed: None },
                    (Status::Fixed, None)
                    | (Status::UnderInvestigation | Status::Affected, Some(_)) => continue,
                };
                found.push(finding(name, package, verdict));
            }
        }
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

/// Weaknesses of which no notice speaks and of which somebody says that a product has them, or that nobody knows yet: that is notice
/// enough.
pub(super) fn unheard(
    statements: &[vex::Statement],
    own: &BTreeMap<Name, Known>,
    fed: &BTreeMap<Name, Notice>,
) -> BTreeMap<Name, Notice> {
    let notices = || own.values().map(|known| &*known.notice).chain(fed.values());
    let heard: BTreeSet<&SmolStr> =
        notices().flat_map(|notice| std::iter::once(&notice.id).chain(notice.cves())).collect();
    let open = statements
        .iter()
        .filter(|said| matches!(said.status, Status::Affected | Status::UnderInvestigation))
        .filter(|said| !said.weakness.iter().any(|id| heard.contains(id)));
    let notice = |said: &vex::Statement| {
        let (id, aliases) = said.weakness.split_first()?;
        let notice = Notice {
            id: id.clone(),
            aliases: aliases.to_vec(),
            summary: format!("stated by {}", by(said)),
            ..Notice::default()
        };
        Some((object_name(id), notice))
    };
    open.filter_map(notice).collect()
}
