//! What really is on a modelled node, and the repositories that its package manager sees.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hozen_advisory::{
    notice::RangeEnd,
    package::{Change, Package, PackageSet, Transaction},
    version::Scheme,
};
use smol_str::{SmolStr, format_smolstr};

use super::StepTaken;
use crate::{
    assess::updates::SECURITY,
    node::{Inventory, Node, Refusal, Report, Resolved},
    plan::Reachable,
    planner::Goal,
    request::Known,
    world::World,
};

/// Packages whose change needs a new boot: the kernel, and what every process maps and PID 1 cannot drop.
/// Debian's `needrestart` and `/run/reboot-required` hooks name the same.
const REBOOT_FOR: [&str; 6] = ["linux-image", "kernel-core", "libc6", "glibc", "systemd", "dbus"];

/// A modelled node.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// What is installed, whatever the reports say; none: nothing was ever reported.
    pub(super) packages: Option<Arc<PackageSet>>,
    /// What was installed at the beginning: a rebuilt node has it again.
    pub(super) image: Option<Arc<PackageSet>>,
    /// What was installed before the last patch: what a rollback brings back.
    pub(super) before: Option<Arc<PackageSet>>,
    /// The node answers.
    pub(super) online: bool,
    /// The repositories have changed since its last scan: with the next it looks at them again.
    pub(super) looks_again: bool,
    /// What its scanner said at first: the machine, whatever is installed on it.
    pub(super) born: Inventory,
    /// What its package manager was asked, by purpose: with each scan of something new it answers again.
    pub(super) questions: BTreeMap<SmolStr, Goal>,
    /// Boots so far.
    pub(super) boots: u32,
    pub(super) faults: Faults,
    pub(super) stale_units: BTreeSet<SmolStr>,
    pub(super) reboot_because: Vec<SmolStr>,
    /// Packages that an interrupted package manager left half done.
    pub(super) unfinished: Vec<SmolStr>,
    /// Units that map files of each package that may change.
    pub(super) units: BTreeMap<SmolStr, BTreeSet<SmolStr>>,
    /// Packages whose change needs a new boot by what the scanner resolved.
    reboots: BTreeSet<SmolStr>,
    /// What was done so far under the present task.
    pub(super) steps: Vec<StepTaken>,
    /// When it was taken anew for its reboot, where it had served until then.
    pub(super) resumed: Option<jiff::Timestamp>,
    /// Pods that were there when the drain began.
    pub(super) pods_moved: u32,
    /// Units and ports that the last Job was asked for.
    pub(super) asked: (Vec<SmolStr>, Vec<SmolStr>),
    /// Units that are held stopped.
    pub(super) stopped: BTreeSet<SmolStr>,
    /// Ports that are refused.
    pub(super) blocked: BTreeSet<SmolStr>,
}

/// What will go wrong on a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) patch_fails: Vec<String>,
    /// What the agent refuses the next patches or mitigations for, each once.
    pub(super) patch_refused: Vec<(Refusal, String)>,
    pub(super) patch_lies: u32,
    pub(super) rollback_lies: u32,
    /// Unit, and restarts that do not help.
    pub(super) inactive: Option<(SmolStr, u32)>,
    pub(super) reboot_hangs: bool,
    pub(super) disk_full: bool,
}

impl Host {
    pub(super) fn of(world: &World, node: &Node) -> Self {
        let inventory = node.report.latest();
        let packages = inventory.and_then(|i| world.package_sets.get(&i.package_set)).cloned();
        let units = inventory.map(|i| units_by_package(world, &i.transactions)).unwrap_or_default();
        Self {
            image: packages.clone(),
            packages,
            born: inventory.map(|inventory| Inventory::clone(inventory)).unwrap_or_default(),
            before: None,
            online: matches!(node.report, Report::Known(_))
                && matches!(node.ready, crate::node::Ready::Yes(_)),
            looks_again: false,
            questions: inventory.map(|i| questions(world, &i.transactions)).unwrap_or_default(),
            boots: 0,
            faults: Faults::default(),
            stale_units: inventory.map(|i| i.stale_units.clone()).unwrap_or_default(),
            reboot_because: inventory.map(|i| i.reboot_because.clone()).unwrap_or_default(),
            unfinished: inventory.map(|i| i.unfinished.clone()).unwrap_or_default(),
            units,
            reboots: inventory.map(|i| reboots(world, &i.transactions)).unwrap_or_default(),
            steps: Vec::new(),
            resumed: None,
            pods_moved: 0,
            asked: (Vec::new(), Vec::new()),
            stopped: inventory.map(|i| i.stopped.clone()).unwrap_or_default(),
            blocked: inventory.map(|i| i.blocked.clone()).unwrap_or_default(),
        }
    }

    /// Whether a package's change needs a new boot here: play, plan and forecast go by the same word.
    fn reboots_for(&self, package: &SmolStr) -> bool {
        always_reboots(package) || self.reboots.contains(package)
    }

    /// The package manager does a transaction.
    pub(super) fn install(&mut self, transaction: &Transaction) {
        let Some(set) = self.packages.clone() else {
            return;
        };
        let changed: BTreeMap<(&str, &str), &Change> =
            transaction.changes.iter().map(|c| ((c.name.as_str(), c.arch.as_str()), c)).collect();
        let packages = set.packages.iter().filter_map(|package| {
            match changed.get(&(package.name.as_str(), package.arch.as_str())) {
                Some(change) if change.from == package.version => {
                    change.installs().then(|| upgraded(package, &change.to))
                }
                _ => Some(package.clone()),
            }
        });
        let mut packages: Vec<Package> = packages.collect();
        packages.extend(
            transaction.changes.iter().filter(|c| c.is_new()).filter_map(|c| added(&set, c)),
        );
        for change in transaction.changes.iter() {
            self.stale_units.extend(self.units.get(&change.name).into_iter().flatten().cloned());
            if self.reboots_for(&change.name) {
                self.reboot_because.push(format_smolstr!(
                    "{} {} installed",
                    change.name,
                    change.to
                ));
            }
        }
        self.before = Some(set);
        self.packages = Some(Arc::new(PackageSet::from_packages(packages)));
    }

    /// A package manager that gives up leaves the package at which it did half done, and nothing else changed.
    pub(super) fn leave_half_done(&mut self, transaction: &Transaction) {
        let at = transaction.changes.first();
        self.unfinished = at
            .map(|change| format_smolstr!("{}:{} is half-configured", change.name, change.arch))
            .into_iter()
            .collect();
    }

    /// Why the agent refuses a patch or a mitigation before it changes anything, if it does.
    pub(super) fn refuses(&mut self) -> Option<(Refusal, String)> {
        if self.faults.disk_full {
            return Some((Refusal::Disk, "no space left on device: /var is full".into()));
        }
        let any = !self.faults.patch_refused.is_empty();
        any.then(|| self.faults.patch_refused.remove(0))
    }

    /// The package manager is repaired (invariant 43), and brings the previous versions back.
    pub(super) fn uninstall(&mut self) {
        if self.faults.rollback_lies > 0 {
            self.faults.rollback_lies -= 1;
            return;
        }
        self.unfinished.clear();
        let (Some(before), Some(now)) = (self.before.take(), &self.packages) else {
            return;
        };
        // What was loaded of the versions that go runs on until it restarts.
        let gone = now.packages.iter().filter(|package| !before.packages.contains(package));
        for package in gone {
            self.stale_units.extend(self.units.get(&package.name).into_iter().flatten().cloned());
        }
        self.packages = Some(before);
    }
}

fn upgraded(package: &Package, to: &SmolStr) -> Package {
    let mut package = package.clone();
    // A source package that had the binary's version moves with it.
    if let Some((_, version)) = &mut package.source
        && *version == source_version(&package.version)
    {
        *version = source_version(to).into();
    }
    package.version.clone_from(to);
    package
}

/// The version of the source that a binary was built from: without the mark of a rebuild, the `+b2` of `1.10.0-3+b2`.
fn source_version(binary: &str) -> &str {
    match binary.rsplit_once("+b") {
        Some((source, rebuild)) if rebuild.bytes().all(|b| b.is_ascii_digit()) => source,
        _ => binary,
    }
}

/// A newly installed package is of the ecosystem of those that were there.
fn added(set: &PackageSet, change: &Change) -> Option<Package> {
    let sibling = set.packages.first()?.clone();
    Some(Package {
        name: change.name.clone(),
        version: change.to.clone(),
        arch: change.arch.clone(),
        source: None,
        ..sibling
    })
}

/// Which units the scanner expects to restart when a package changes: it names them per transaction, so they are shared out
/// to all packages of it; a package that is in several transactions has those that all of them name.
fn units_by_package(world: &World, resolved: &[Resolved]) -> BTreeMap<SmolStr, BTreeSet<SmolStr>> {
    let mut units: BTreeMap<SmolStr, BTreeSet<SmolStr>> = BTreeMap::new();
    for resolved in resolved {
        let Some(transaction) = world.transactions.get(&resolved.transaction) else {
            continue;
        };
        for change in transaction.changes.iter() {
            units
                .entry(change.name.clone())
                .and_modify(|known| known.retain(|unit| resolved.restart.contains(unit)))
                .or_insert_with(|| resolved.restart.clone());
        }
    }
    units
}

fn always_reboots(package: &str) -> bool {
    REBOOT_FOR.iter().any(|prefix| package.starts_with(prefix))
}

/// Packages for whose change the scanner expects a reboot, shared out as units are: where a transaction has a package that always
/// needs one, the others in it are not to blame.
fn reboots(world: &World, resolved: &[Resolved]) -> BTreeSet<SmolStr> {
    let mut packages: BTreeMap<&SmolStr, bool> = BTreeMap::new();
    for resolved in resolved {
        let Some(transaction) = world.transactions.get(&resolved.transaction) else {
            continue;
        };
        let known = transaction.changes.iter().any(|change| always_reboots(&change.name));
        for change in transaction.changes.iter() {
            *packages.entry(&change.name).or_insert(true) &= resolved.reboot && !known;
        }
    }
    packages.into_iter().filter(|(_, reboots)| *reboots).map(|(name, _)| name.clone()).collect()
}

/// What a package manager was asked before the story begins, by what it answered. The security pocket is looked at in any case.
fn questions(world: &World, resolved: &[Resolved]) -> BTreeMap<SmolStr, Goal> {
    let asked = resolved.iter().filter(|resolved| resolved.purpose != SECURITY);
    asked
        .filter_map(|resolved| {
            let transaction = world.transactions.get(&resolved.transaction)?;
            let (gone, come): (Vec<&Change>, Vec<&Change>) =
                transaction.changes.iter().partition(|change| change.removes());
            let names =
                |changes: Vec<&Change>| changes.into_iter().map(|c| c.name.clone()).collect();
            let goal = Goal { upgrade: names(come), remove: names(gone), downgrade: Vec::new() };
            Some((resolved.purpose.clone(), goal))
        })
        .collect()
}

/// Newest versions that the repositories hold, by ecosystem and binary package.
#[derive(Clone, Debug, Default)]
pub(super) struct Repository {
    newest: BTreeMap<(SmolStr, SmolStr), Offer>,
    /// Every version that was ever offered: older ones stay.
    held: BTreeSet<(SmolStr, SmolStr, SmolStr)>,
}

#[derive(Clone, Debug)]
struct Offer {
    version: SmolStr,
    /// Hash of the archive as the scanner read it from the index; a modelled one where nobody did.
    archive: Option<SmolStr>,
}

impl Repository {
    /// Versions that scanners resolved and that published notices call fixed.
    pub(super) fn of(world: &World) -> Self {
        let mut repository = Self::default();
        for node in world.nodes.values() {
            let Some(inventory) = node.report.latest() else {
                continue;
            };
            let Some(set) = world.package_sets.get(&inventory.package_set) else {
                continue;
            };
            for resolved in &inventory.transactions {
                let Some(transaction) = world.transactions.get(&resolved.transaction) else {
                    continue;
                };
                for change in transaction.changes.iter().filter(|c| c.installs()) {
                    let ecosystem = set
                        .packages
                        .iter()
                        .find(|p| p.name == change.name)
                        .or(set.packages.first());
                    if let Some(package) = ecosystem {
                        let archive = Some(change.archive.clone());
                        repository.offer(&package.ecosystem, &change.name, &change.to, archive);
                    }
                }
            }
        }
        repository
    }

    /// A published notice says which versions are fixed, so repositories hold them.
    pub(super) fn offer_fixes(&mut self, world: &World, known: &Known) {
        for affected in &known.notice.affected {
            let fixed = affected.ranges.iter().filter_map(|range| match &range.end {
                RangeEnd::Fixed(version) => Some(version),
                RangeEnd::LastAffected(_) | RangeEnd::Limit(_) | RangeEnd::Open => None,
            });
            let Some(newest) = fixed.max_by(|a, b| order(&affected.ecosystem, a, b)) else {
                continue;
            };
            // Notices of Debian and its like name the source package; every binary package of it gets the version.
            let binaries: BTreeSet<&SmolStr> = world
                .package_sets
                .values()
                .flat_map(|set| set.packages.iter())
                .filter(|p| {
                    p.ecosystem == affected.ecosystem
                        && (p.name == affected.name || source(p) == affected.name)
                })
                .map(|p| &p.name)
                .collect();
            for binary in binaries {
                self.offer(&affected.ecosystem, binary, newest, None);
            }
        }
    }

    /// A version appears; older ones than the newest change nothing.
    pub(super) fn offer(
        &mut self,
        ecosystem: &SmolStr,
        name: &SmolStr,
        version: &SmolStr,
        archive: Option<SmolStr>,
    ) {
        let key = (ecosystem.clone(), name.clone());
        self.held.insert((ecosystem.clone(), name.clone(), version.clone()));
        let newer =
            self.newest.get(&key).is_none_or(|offer| is_newer(ecosystem, version, &offer.version));
        if newer {
            self.newest.insert(key, Offer { version: version.clone(), archive });
        }
    }

    /// What the package manager would do on a host that has this set; none: nothing, or it cannot.
    pub(super) fn answer(&self, set: &PackageSet, goal: &Goal) -> Option<Transaction> {
        let Goal { upgrade, remove, downgrade } = goal;
        let away = set.packages.iter().filter(|p| remove.contains(&p.name)).map(Change::removal);
        let back: Option<Vec<Change>> = downgrade
            .iter()
            .flat_map(|(name, version)| {
                set.packages.iter().filter(move |p| p.name == *name).map(move |p| (p, version))
            })
            .map(|(package, version)| {
                let key = (package.ecosystem.clone(), package.name.clone(), version.clone());
                self.held.contains(&key).then(|| change(package, version))
            })
            .collect();
        let changes: Vec<Change> = away.chain(back?).collect();
        if !changes.is_empty() {
            return Some(Transaction::from_changes(changes));
        }
        let upgrade: BTreeSet<&str> = upgrade.iter().map(SmolStr::as_str).collect();
        self.resolve(set, &upgrade)
    }

    /// What the package manager would do on a host that has this set, to bring these packages up; none: nothing.
    /// Binary packages of one source package move together, as distributions build them.
    pub(super) fn resolve(
        &self,
        set: &PackageSet,
        packages: &BTreeSet<&str>,
    ) -> Option<Transaction> {
        let sources: BTreeSet<&str> = set
            .packages
            .iter()
            .filter(|p| packages.contains(p.name.as_str()))
            .map(source)
            .collect();
        let changes: Vec<Change> = set
            .packages
            .iter()
            .filter(|p| packages.contains(p.name.as_str()) || sources.contains(source(p)))
            .filter_map(|package| self.upgrade(package))
            .collect();
        (!changes.is_empty()).then(|| Transaction::from_changes(changes))
    }

    fn upgrade(&self, package: &Package) -> Option<Change> {
        let offer = self.newest.get(&(package.ecosystem.clone(), package.name.clone()))?;
        is_newer(&package.ecosystem, &offer.version, &package.version).then(|| Change {
            name: package.name.clone(),
            arch: package.arch.clone(),
            from: package.version.clone(),
            to: offer.version.clone(),
            archive: offer
                .archive
                .clone()
                .unwrap_or_else(|| modelled_archive(package, &offer.version)),
        })
    }
}

/// From the installed version to another.
fn change(package: &Package, to: &str) -> Change {
    Change {
        name: package.name.clone(),
        arch: package.arch.clone(),
        from: package.version.clone(),
        to: to.into(),
        archive: modelled_archive(package, to),
    }
}

fn source(package: &Package) -> &str {
    package.source().0
}

fn is_newer(ecosystem: &str, version: &str, than: &str) -> bool {
    order(ecosystem, version, than).is_gt()
}

/// Versions that cannot be compared are taken for equal: nothing moves because of them.
fn order(ecosystem: &str, a: &str, b: &str) -> Ordering {
    Scheme::of(ecosystem).and_then(|scheme| scheme.compare(a, b).ok()).unwrap_or(Ordering::Equal)
}

/// Stands for the hash of an archive that exists only in the model.
fn modelled_archive(package: &Package, version: &str) -> SmolStr {
    let text = format!("modelled archive {}:{} {version}", package.name, package.arch);
    hozen_advisory::package::digest(&text).trim_start_matches("sha256-").into()
}

/// The scanner's figures for a modelled transaction. Sizes are a stated guess: 1.5 MB an archive, 5 MB unpacked.
pub(super) fn figures(purpose: &str, transaction: &Transaction, host: &Host) -> Resolved {
    let count = u32::try_from(transaction.changes.len()).unwrap_or(u32::MAX);
    let restart = transaction
        .changes
        .iter()
        .flat_map(|c| host.units.get(&c.name).into_iter().flatten().cloned());
    Resolved {
        purpose: purpose.into(),
        transaction: transaction.digest.clone(),
        packages: count,
        download_bytes: u64::from(count) * 1_500_000,
        lacks: None,
        restart: restart.collect(),
        reboot: transaction.changes.iter().any(|c| host.reboots_for(&c.name)),
        rollback: Reachable::Possible,
    }
}
