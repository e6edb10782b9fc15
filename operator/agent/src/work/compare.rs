//! What of an approved transaction is still to be done, and whether the package manager would do exactly that.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use hozen_advisory::{
    package::{Change, Transaction},
    version::Scheme,
};

use crate::{
    package::{Archive, Installed, Step, Unfinished},
    system::ArchiveKey,
};

/// Stands in a transaction for "not installed" and "no archive".
const ABSENT: &str = "-";
/// Most differences that are told.
const TOLD_MAX: usize = 8;
/// Most versions that are told of a package that cannot be had in the approved one.
const OFFERED_MAX: usize = 3;

/// The changes of the way back: what was installed goes, what was before comes again. Nobody has approved an archive for it, so none is
/// compared.
pub fn reversed(transaction: &Transaction) -> Vec<Change> {
    let back = transaction.changes.iter().map(|change| Change {
        name: change.name.clone(),
        arch: change.arch.clone(),
        from: change.to.clone(),
        to: change.from.clone(),
        archive: ABSENT.into(),
    });
    back.collect()
}

/// Packages as they are on a host.
#[derive(Clone, Copy, Debug)]
pub struct Present<'a> {
    /// What is installed.
    pub packages: &'a [Installed],
    /// What may be there in part only.
    pub unfinished: &'a [Unfinished],
    /// Whether several versions of one package can be installed beside each other, as rpm's kernels are.
    pub side_by_side: bool,
}

/// Changes that are not done yet, or what on the host fits neither before nor after.
pub fn outstanding(changes: &[Change], present: &Present<'_>) -> Result<Vec<Change>, String> {
    let mut left = Vec::new();
    let mut strange = Vec::new();
    for change in changes {
        let of_name = present.packages.iter().filter(|of| is_of(&of.name, &of.arch, change));
        let versions: Vec<&str> = of_name.map(|package| package.version.as_str()).collect();
        let finished = !present.unfinished.iter().any(|of| is_of(&of.name, &of.arch, change));
        let has = |version: &str| versions.contains(&version);
        let (before, after) = match (change.from.as_str(), change.to.as_str()) {
            (from, ABSENT) if present.side_by_side => (has(from), !has(from)),
            (from, ABSENT) => (has(from), versions.is_empty()),
            (ABSENT, to) if present.side_by_side => (!has(to), has(to)),
            (ABSENT, to) => (versions.is_empty(), has(to)),
            // Both are there where rpm was killed between the two.
            (from, to) => (has(from), has(to) && !has(from)),
        };
        match (before, after, finished) {
            (_, true, true) => {}
            (_, _, false) | (true, false, true) => left.push(change.clone()),
            (false, false, true) => strange.push(format!(
                "{}:{} is {}; {} to {} is approved",
                change.name,
                change.arch,
                if versions.is_empty() { "not installed".into() } else { versions.join(" and ") },
                change.from,
                change.to
            )),
        }
    }
    if strange.is_empty() { Ok(left) } else { Err(told(&strange)) }
}

/// Whether a version goes down by one of these changes. Versions that have no order are for the package manager to refuse.
pub fn goes_down(changes: &[Change], scheme: Scheme) -> bool {
    let down = |change: &Change| {
        let stays = change.from != ABSENT && change.to != ABSENT;
        stays && scheme.compare(&change.to, &change.from).is_ok_and(Ordering::is_lt)
    };
    changes.iter().any(down)
}

/// Whether a database knows a change as wholly done, or as not begun at all.
pub fn is_whole(change: &Change, packages: &[Installed]) -> bool {
    let has = |version: &str| {
        packages.iter().any(|of| is_of(&of.name, &of.arch, change) && of.version == version)
    };
    // Both are there where rpm was cut off between the two; neither is what nobody has approved.
    change.from == ABSENT || change.to == ABSENT || has(&change.from) != has(&change.to)
}

/// Why what the package manager would do is not exactly what is left of the approved transaction; none where it is.
pub fn difference(
    approved: &[Change],
    steps: &[Step],
    unfinished: &[Unfinished],
    archives: &BTreeMap<ArchiveKey, Archive>,
    key: impl Fn(&str, &str, &str) -> ArchiveKey,
) -> Option<String> {
    let mut different = Vec::new();
    let mut met = BTreeSet::new();
    for step in steps {
        let to = step.to.as_deref().unwrap_or(ABSENT);
        let from = step.from.as_deref().unwrap_or(ABSENT);
        let of_step = || approved.iter().filter(|of| is_of(&step.name, &step.arch, of));
        // Of versions beside each other several may go, each by a change of its own.
        let found =
            of_step().find(|of| of.from == from && of.to == to).or_else(|| of_step().next());
        let Some(change) = found else {
            different.push(format!("{} {from} to {to} is not approved", step.name));
            continue;
        };
        met.insert((change.name.as_str(), change.arch.as_str(), change.from.as_str()));
        // What is half done may have the version already that it is to get.
        let is_begun = unfinished.iter().any(|of| is_of(&of.name, &of.arch, change));
        if change.from != from && !is_begun {
            different.push(format!(
                "{} would go from {from} to {to}; {} to {} is approved",
                step.name, change.from, change.to
            ));
        } else if change.to != to {
            different.push(format!("{} would become {to}; {} is approved", step.name, change.to));
        } else if to != ABSENT && change.archive != ABSENT {
            let archive = archives.get(&key(&change.name, &change.arch, to));
            let offered = archive.and_then(|archive| archive.sha256.as_deref());
            if offered != Some(change.archive.as_str()) {
                let offered = offered.unwrap_or("none");
                different.push(format!(
                    "the archive of {} {to} has the hash {offered}; {} is approved",
                    step.name, change.archive
                ));
            }
        }
    }
    for change in approved {
        // What is unpacked already and only has to be configured is no step of apt's simulation.
        let begun = unfinished.iter().any(|of| is_of(&of.name, &of.arch, change));
        let key = (change.name.as_str(), change.arch.as_str(), change.from.as_str());
        if !begun && !met.contains(&key) {
            different.push(format!("{} would not become {}", change.name, change.to));
        }
    }
    (!different.is_empty()).then(|| told(&different))
}

/// What of an approved transaction cannot be had, with what is offered in its place, newest first; none where all of it is offered.
pub fn not_offered(
    approved: &[Change],
    archives: &BTreeMap<ArchiveKey, Archive>,
    order: impl Fn(&str, &str) -> Ordering,
    key: impl Fn(&str, &str, &str) -> ArchiveKey,
) -> Option<String> {
    let mut lacking = Vec::new();
    for Change { name, arch, to, .. } in approved.iter().filter(|change| change.installs()) {
        let (of_name, of_arch, wanted) = key(name, arch, to);
        let of = archives.keys().filter(|(name, arch, _)| *name == of_name && *arch == of_arch);
        let mut offered: Vec<&str> = of.map(|(_, _, version)| version.as_str()).collect();
        if offered.contains(&wanted.as_str()) {
            continue;
        }
        offered.sort_by(|a, b| order(b, a));
        offered.truncate(OFFERED_MAX);
        let offered = match offered.as_slice() {
            [] => "not offered in any version".to_owned(),
            offered => format!("offered in {}", offered.join(", ")),
        };
        lacking.push(format!("{name}:{arch} is {offered}; {to} is approved"));
    }
    (!lacking.is_empty()).then(|| told(&lacking))
}

fn told(different: &[String]) -> String {
    let more = different.len().saturating_sub(TOLD_MAX);
    let text = different.iter().take(TOLD_MAX).cloned().collect::<Vec<_>>().join("; ");
    if more > 0 { format!("{text}; and {more} more") } else { text }
}

/// Whether a package is the change's. A package may go from `all` to an architecture of its own, and back; a removal may name none.
pub fn is_of(name: &str, arch: &str, change: &Change) -> bool {
    name == change.name
        && (arch == change.arch || arch.is_empty() || arch == "all" || change.arch == "all")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn changes(lines: &[&str]) -> Vec<Change> {
        let whole = lines.iter().map(|line| {
            let archive = if line.ends_with(" -") { "-" } else { HASH };
            Change::parse(&format!("{line} {archive}")).unwrap()
        });
        whole.collect()
    }

    fn packages(packages: &[(&str, &str)]) -> Vec<Installed> {
        let packages = packages.iter().map(|(name, version)| Installed {
            name: (*name).into(),
            arch: "amd64".into(),
            version: (*version).into(),
            ..Installed::default()
        });
        packages.collect()
    }

    fn left(
        changes: &[Change],
        host: &[(&str, &str)],
        side_by_side: bool,
    ) -> Result<Vec<String>, String> {
        let packages = packages(host);
        let present = Present { packages: &packages, unfinished: &[], side_by_side };
        let left = outstanding(changes, &present)?;
        Ok(left.iter().map(|change| format!("{} {}", change.name, change.to)).collect())
    }

    fn step(name: &str, from: &str, to: &str) -> Step {
        let version = |text: &str| (text != "-").then(|| text.to_owned());
        Step { name: name.into(), arch: "amd64".into(), from: version(from), to: version(to) }
    }

    fn differs(approved: &[Change], steps: &[Step], hash: &str) -> Option<String> {
        let archives = approved.iter().map(|change| {
            let key = (change.name.to_string(), change.arch.to_string(), change.to.to_string());
            (key, Archive { sha256: Some(hash.into()), ..Archive::default() })
        });
        let key =
            |name: &str, arch: &str, version: &str| (name.into(), arch.into(), version.into());
        difference(approved, steps, &[], &archives.collect(), key)
    }

    #[test]
    fn what_is_done_is_not_done_again_and_what_fits_nowhere_is_told() {
        let approved = changes(&["a:amd64 1 2", "b:amd64 1 2", "new:amd64 - 1", "old:amd64 1 -"]);

        let host = [("a", "2"), ("b", "1"), ("old", "1")];
        assert_eq!(left(&approved, &host, false).unwrap(), ["b 2", "new 1", "old -"]);
        let strange = left(&approved, &[("a", "3"), ("b", "2"), ("new", "1")], false);
        assert_eq!(strange.unwrap_err(), "a:amd64 is 3; 1 to 2 is approved");
    }

    #[test]
    fn a_package_that_is_half_installed_is_to_be_installed_whatever_its_version_says() {
        let packages = packages(&[("a", "2")]);
        let unfinished =
            [Unfinished { name: "a".into(), arch: "amd64".into(), state: "half-installed".into() }];
        let present = Present { packages: &packages, unfinished: &unfinished, side_by_side: false };

        assert_eq!(outstanding(&changes(&["a:amd64 1 2"]), &present).unwrap().len(), 1);
    }

    #[test]
    fn kernels_of_rpm_come_and_go_beside_each_other_and_a_twin_of_a_killed_upgrade_is_not_done() {
        let approved = changes(&["kernel:amd64 - 3", "old-kernel:amd64 1 -", "a:amd64 1 2"]);

        let before =
            [("kernel", "1"), ("kernel", "2"), ("old-kernel", "1"), ("a", "1"), ("a", "2")];
        assert_eq!(left(&approved, &before, true).unwrap(), ["kernel 3", "old-kernel -", "a 2"]);
        let after = [("kernel", "2"), ("kernel", "3"), ("old-kernel", "2"), ("a", "2")];
        assert!(left(&approved, &after, true).unwrap().is_empty());
        assert!(left(&approved, &after, false).is_err());
    }

    #[test]
    fn a_sixth_package_another_version_another_archive_and_a_missing_step_are_each_named() {
        let approved = changes(&["a:amd64 1 2"]);
        let good = step("a", "1", "2");

        assert_eq!(differs(&approved, std::slice::from_ref(&good), HASH), None);
        let sixth = differs(&approved, &[good.clone(), step("b", "-", "7")], HASH);
        assert_eq!(sixth.unwrap(), "b - to 7 is not approved");
        let newer = differs(&approved, &[step("a", "1", "3")], HASH);
        assert_eq!(newer.unwrap(), "a would become 3; 2 is approved");
        assert!(differs(&approved, &[good], "another").unwrap().contains("has the hash another"));
        assert_eq!(differs(&approved, &[], HASH).unwrap(), "a would not become 2");
    }

    #[test]
    fn what_is_not_offered_any_more_is_named_with_what_is_newest_first() {
        let approved = changes(&["a:amd64 1 2", "b:amd64 1 2", "c:amd64 - 2", "old:amd64 1 -"]);
        let key =
            |name: &str, arch: &str, version: &str| (name.into(), arch.into(), version.into());
        let offered = |archives: &[(&str, &str)]| {
            let archives = archives
                .iter()
                .map(|(name, version)| (key(name, "amd64", version), Archive::default()));
            let order = |a: &str, b: &str| Scheme::Dpkg.compare(a, b).unwrap();
            not_offered(&approved, &archives.collect(), order, key)
        };

        let all = [("a", "2"), ("b", "2"), ("c", "2")];
        assert_eq!(offered(&all), None);
        let without = offered(&[("a", "2"), ("b", "1"), ("b", "9"), ("b", "10")]).unwrap();
        assert_eq!(
            without,
            "b:amd64 is offered in 10, 9, 1; 2 is approved; \
             c:amd64 is not offered in any version; 2 is approved"
        );
    }

    #[test]
    fn a_version_goes_down_by_the_order_of_its_distribution() {
        let down =
            |line| goes_down(&changes(&["new:amd64 - 1", "old:amd64 9 -", line]), Scheme::Dpkg);

        assert!(down("a:amd64 1.10-1 1.9-1") && down("a:amd64 1.0-1 1.0~rc1-1"));
        assert!(!down("a:amd64 1.9-1 1.10-1") && !down("a:amd64 9-1 1:1-1"));
    }

    #[test]
    fn a_step_from_another_version_than_the_approved_one_is_named() {
        let approved = changes(&["kernel:amd64 - 3", "old:amd64 1 -", "old:amd64 2 -"]);
        let gone = [step("old", "2", "-"), step("old", "1", "-")];
        let differs = |kernel: Step| differs(&approved, &[&gone[..], &[kernel]].concat(), HASH);

        assert_eq!(differs(step("kernel", "-", "3")), None);
        let takes_one = differs(step("kernel", "1", "3")).unwrap();
        assert_eq!(takes_one, "kernel would go from 1 to 3; - to 3 is approved");
        let one_gone = super::tests::differs(&approved, &[gone[0].clone()], HASH).unwrap();
        assert_eq!(one_gone, "kernel would not become 3; old would not become -");
    }

    #[test]
    fn the_way_back_brings_what_was_and_takes_what_came() {
        let transaction = Transaction::from_changes(changes(&["a:amd64 1 2", "new:amd64 - 1"]));

        let host = [("a", "2"), ("new", "1")];
        assert_eq!(left(&reversed(&transaction), &host, false).unwrap(), ["a 1", "new -"]);
    }
}
