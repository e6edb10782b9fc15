//! One scan: everything that a node's report says, put together.
//!
//! What is not there stays absent, what could not be read is listed; nothing ends the scan but a root that cannot be
//! opened.

use std::collections::{BTreeMap, BTreeSet};

use hozen_advisory::{
    distro::Distro,
    package::{Change, Package, PackageSet, Transaction},
    purl,
};
use hozen_api::node_inventory::{
    AvailableUpdate, CannotMitigate, Kernel, Listener, Mitigated, NodeReport, OperatingSystem,
    Readiness, RebootRequired, Resolved, StaleProcess, Updates,
};
use jiff::{SignedDuration, Timestamp};
use smol_str::{SmolStr, ToSmolStr};

use crate::{
    chamber::Chamber,
    consequences,
    live::{
        self, hardware, kernel, network,
        processes::{self, Lasting, Processes},
        sockets::{self, Socket},
    },
    next_boot, os_release,
    package::{Goal, Installed, Step, Update, Wanted},
    protected::{self, Kept},
    reboot,
    refresh::Own,
    resolve::ResolveError,
    root::Root,
    system::System,
    unit_files,
    unread::{Unread, line, text, token},
    waits,
    work::{held, ports, room},
};

/// Indices older than this say little about what is missing.
const INDICES_FRESH: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Most entries that a report takes of each kind.
const UPDATES_MAX: usize = 512;
const STALE_MAX: usize = 256;
const PIDS_MAX: usize = 16;
const FILES_MAX: usize = 32;
const LISTENERS_MAX: usize = 512;
const ADDRESSES_MAX: usize = 16;
const RESTARTS_MAX: usize = 256;
const REASONS_MAX: usize = 64;
const UNFINISHED_MAX: usize = 64;
const HELD_MAX: usize = 64;
/// Most packages of which is told that they must stay.
const KEPT_MAX: usize = 8;

/// Packages that somebody wants to see resolved, beside all security updates and all updates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Name of the request: an advisory's, as a rule.
    pub name: String,
    /// Binary packages to be brought up; those without an update are left out.
    pub packages: Vec<String>,
    /// Binary packages to be removed; those that are not installed are left out.
    pub remove: Vec<String>,
    /// Binary packages to be brought back to exactly a version; those that are not installed, or have it, are left out.
    pub downgrade: Vec<(String, String)>,
}

/// What a scan is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The time that the report carries.
    pub now: Timestamp,
    /// Whether the package manager is asked what it would do; takes seconds where the rest takes milliseconds.
    pub resolve: bool,
    /// What else is to be resolved.
    pub asks: Vec<Ask>,
    /// Where the host's own package manager can be run, if it can.
    pub chamber: Option<Chamber>,
    /// Indices that the scanner refreshes itself, where it does.
    pub own: Option<Own>,
}

/// What a scan found.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// The report.
    pub report: NodeReport,
    /// Installed packages; empty where there is no package database.
    pub packages: PackageSet,
    /// Transactions that the report names, each once.
    pub transactions: Vec<Transaction>,
    /// Every update that the indices offer, sorted by name.
    pub updates: Vec<Update>,
}

/// Scans the system below a root.
pub fn scan(root: &Root, options: &Options) -> Scan {
    let mut unread = Unread::default();
    let mut os = os_release::read(root).unwrap_or_else(|error| {
        unread.note("/etc/os-release", error);
        OperatingSystem { id: "linux".to_owned(), ..OperatingSystem::default() }
    });
    let system = System::read(root, options.own.as_ref(), &mut unread);
    os.architecture = system.architecture();
    let packages = package_set(&system, &os);
    let running = live::is_running(root);
    if !running {
        unread.note(
            "processes, ports, kernel and hardware",
            "the system below this root does not run here",
        );
    }
    let processes = running.then(|| processes::read(root, &mut unread));
    let updates = system.updates(root, &mut unread);
    let mut report = NodeReport {
        // Whole seconds, as every other time of the API.
        scanned_at: Timestamp::from_second(options.now.as_second()).unwrap_or(options.now),
        scanner_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        package_manager: system.manager(),
        package_set: system.manager().map(|_| packages.digest.to_string()),
        package_count: system.manager().and_then(|_| u32::try_from(packages.packages.len()).ok()),
        updates: updates.as_deref().map(updates_of),
        ready: Some(readiness(root, &system, options.now)),
        os,
        ..NodeReport::default()
    };
    report.unfinished = unfinished(root, &system);
    report.subscriptions = system.subscriptions(root);
    report.mitigated = held_down(root, options.now);
    live_facts(root, &system, processes.as_ref(), &mut report, &mut unread);
    let updates = updates.unwrap_or_default();
    let transactions = if options.resolve {
        resolve_all(root, &system, &updates, processes.as_ref(), options, &mut report, &mut unread)
    } else {
        Vec::new()
    };
    report.not_read = unread.into_entries();
    Scan { report, packages, transactions, updates }
}

/// Packages of which only a part may be on disk.
fn unfinished(root: &Root, system: &System) -> Vec<String> {
    let entries = system.unfinished(root).into_iter().take(UNFINISHED_MAX);
    entries.map(|of| line(&format!("{}:{} is {}", of.name, of.arch, of.state))).collect()
}

/// Units that are held stopped, and ports that the kernel was seen to block.
fn held_down(root: &Root, now: Timestamp) -> Option<Mitigated> {
    let held = held::in_force(root, HELD_MAX);
    let stop: Vec<String> = held.iter().filter_map(|unit| token(unit)).collect();
    let absent = held::absent(root, &stop);
    let block = ports::in_force(root, now);
    (!stop.is_empty() || !block.is_empty()).then_some(Mitigated { stop, absent, block })
}

/// What of a mitigation this host cannot do, as its agent would refuse it.
fn cannot_mitigate(root: &Root) -> Option<CannotMitigate> {
    if !root.has("run/systemd/system") {
        let why = || Some("the host does not run systemd".to_owned());
        return Some(CannotMitigate { stop: why(), block: why() });
    }
    let block = ports::cannot_block(root).map(str::to_owned);
    block.is_some().then_some(CannotMitigate { stop: None, block })
}

/// The installed packages as package URLs know them.
fn package_set(system: &System, os: &OperatingSystem) -> PackageSet {
    let Some((kind, _)) = system.kind() else {
        return PackageSet::from_packages([]);
    };
    let version = os.version_id.as_deref().unwrap_or_default();
    let distro =
        Distro::from_os_release(&os.id, version, os.codename.as_deref().unwrap_or_default());
    let ecosystem = purl::ecosystem_of(kind, &distro);
    let qualifier = distro.to_smolstr();
    PackageSet::from_packages(system.packages().iter().map(|package| {
        Package {
            ecosystem: ecosystem.clone(),
            name: SmolStr::new(&package.name),
            version: SmolStr::new(&package.version),
            arch: SmolStr::new(&package.arch),
            distro: qualifier.clone(),
            source: package
                .source
                .as_ref()
                .filter(|(name, version)| *name != package.name || *version != package.version)
                .map(|(name, version)| (SmolStr::new(name), SmolStr::new(version))),
        }
    }))
}

fn updates_of(updates: &[Update]) -> Updates {
    let count = |of: &dyn Fn(&Update) -> bool| {
        u32::try_from(updates.iter().filter(|update| of(update)).count()).unwrap_or(u32::MAX)
    };
    let mut sorted: Vec<&Update> = updates.iter().collect();
    sorted.sort_by_key(|update| {
        (!update.to_is_security, update.security.is_none(), &update.name, &update.arch)
    });
    let packages = sorted.into_iter().take(UPDATES_MAX).map(|update| AvailableUpdate {
        package: format!("{}:{}", update.name, update.arch),
        from: update.from.clone(),
        to: update.to.clone(),
        security_pocket: update.to_is_security,
        security: update.security.clone(),
        origins: update.origins.iter().take(8).map(|origin| line(origin)).collect(),
        held: update.held,
    });
    Updates {
        security: count(&|update| update.to_is_security),
        other: count(&|update| !update.to_is_security),
        taken_over: count(&|update| !update.to_is_security && update.security.is_some()),
        packages: packages.collect(),
    }
}

fn readiness(root: &Root, system: &System, now: Timestamp) -> Readiness {
    let refreshed =
        system.refreshed_at(root).and_then(|seconds| Timestamp::from_second(seconds).ok());
    // Packages are unpacked below `/usr` and kept below `/var`; the fuller of the two decides.
    let free = ["usr", "var", ""].into_iter().filter_map(|path| root.free_bytes(path).ok()).min();
    Readiness {
        repository: refreshed.map(|at| now.duration_since(at) <= INDICES_FRESH),
        indices_refreshed_at: refreshed,
        disk_free_bytes: free,
        clock_offset_milliseconds: None,
    }
}

/// What only a running system shows; of one that does not run, the installed kernel is known all the same.
fn live_facts(
    root: &Root,
    system: &System,
    processes: Option<&Processes>,
    report: &mut NodeReport,
    unread: &mut Unread,
) {
    let installed =
        system.kind().and_then(|(_, scheme)| kernel::newest_installed(root, scheme, unread));
    let Some(processes) = processes else {
        report.kernel = Kernel { running: None, installed };
        report.reboot_required =
            mark(root).map(|because| RebootRequired { value: true, because: vec![because] });
        return;
    };
    report.boot_id = live::boot_id(root);
    report.cannot_mitigate = cannot_mitigate(root);
    report.waits_for = waits::read(root, report.scanned_at);
    report.kernel = Kernel { running: kernel::running(root), installed };
    report.hardware = Some(hardware::read(root));
    report.network = network::read(root);
    report.stale = stale(root, processes);
    report.listening = listeners(&sockets::read(root, processes, unread), processes);
    let mut because: Vec<String> = mark(root).into_iter().collect();
    because.extend(newer_kernel(root, system, &report.kernel));
    because.extend(installed_since_boot(root, system));
    because.extend(lasting(processes));
    because.extend(next_boot::read(root).map(|next| line(&format!("the next boot brings {next}"))));
    because.truncate(REASONS_MAX);
    report.reboot_required = Some(RebootRequired { value: !because.is_empty(), because });
}

/// Debian's mark, with the packages that set it.
fn mark(root: &Root) -> Option<String> {
    const MARK: &str = "run/reboot-required";
    if !root.has(MARK) {
        return None;
    }
    let packages = root.text(&format!("{MARK}.pkgs"), 64 << 10).unwrap_or_default();
    let names: BTreeSet<&str> = packages.split_whitespace().collect();
    let names: Vec<&str> = names.into_iter().collect();
    let by = if names.is_empty() { String::new() } else { format!(" (by {})", names.join(", ")) };
    Some(line(&format!("/{MARK} is set{by}")))
}

fn newer_kernel(root: &Root, system: &System, kernels: &Kernel) -> Option<String> {
    let (_, scheme) = system.kind()?;
    let (running, installed) = (kernels.running.as_deref()?, kernels.installed.as_deref()?);
    // A container may have a kernel's files; the kernel that runs is not one of them, and a boot is not its own.
    if !root.has(&format!("lib/modules/{running}")) {
        return None;
    }
    if kernel::order(scheme, installed, running).is_gt() {
        return Some(line(&format!("newer kernel installed: {installed}, {running} runs")));
    }
    let build = kernel::running_build(root)?;
    let package = system
        .packages()
        .iter()
        .find(|package| package.name == format!("linux-image-{running}"))?;
    kernel::order(scheme, &package.version, &build).is_gt().then(|| {
        line(&format!(
            "newer build of kernel {running} installed: {}, {build} runs",
            package.version
        ))
    })
}

/// Packages that ask for a boot and were installed after the last one, where the database says when.
fn installed_since_boot(root: &Root, system: &System) -> Vec<String> {
    let Some(booted) = live::booted_at(root) else {
        return Vec::new();
    };
    let since = system
        .packages()
        .iter()
        .filter(|package| package.installed_at.is_some_and(|at| at > booted));
    since
        .filter_map(|package| {
            let reason = reboot::reason(&package.name)?;
            Some(line(&format!("{} was installed after the boot: {reason}", package.name)))
        })
        .collect()
}

/// What runs old code and no restart replaces: containers that stay through a restart of their runtime, and through a drain, are kept by no
/// service of the host, and the system bus cannot restart.
fn lasting(processes: &Processes) -> impl Iterator<Item = String> {
    let told = |lasting: Lasting| {
        let mut old = processes.all.values().filter(|process| process.lasting == Some(lasting));
        let file = old.find_map(|process| process.deleted.first())?;
        Some(line(&match lasting {
            Lasting::Shim => {
                format!("pods are kept by old code of {file}, each as long as it runs")
            }
            Lasting::Bus => format!("the system bus runs old code of {file}, and cannot restart"),
        }))
    };
    [Lasting::Shim, Lasting::Bus].into_iter().filter_map(told)
}

/// Processes that run replaced files, one entry for each unit, or for each program outside of units.
fn stale(root: &Root, processes: &Processes) -> Vec<StaleProcess> {
    let mut groups = BTreeMap::<(Option<&str>, &str), (Vec<u32>, BTreeSet<&str>)>::new();
    for process in processes.all.values().filter(|process| !process.deleted.is_empty()) {
        let (pids, files) = groups.entry((process.unit.as_deref(), &process.program)).or_default();
        pids.push(process.pid);
        files.extend(process.deleted.iter().map(String::as_str));
    }
    let entries = groups.into_iter().map(|((unit, program), (mut pids, files))| {
        pids.truncate(PIDS_MAX);
        StaleProcess {
            unit: unit.map(str::to_owned),
            one_shot: unit.is_some_and(|unit| unit_files::is_one_shot(root, unit)),
            program: Some(program.to_owned()),
            pids,
            files: files.into_iter().take(FILES_MAX).map(str::to_owned).collect(),
        }
    });
    entries.take(STALE_MAX).collect()
}

fn listeners(sockets: &[Socket], processes: &Processes) -> Vec<Listener> {
    let mut ports = BTreeMap::<(u16, &str), Listener>::new();
    for socket in sockets {
        let listener = ports.entry((socket.port, socket.protocol)).or_insert_with(|| Listener {
            port: format!("{}/{}", socket.port, socket.protocol),
            ..Listener::default()
        });
        if listener.addresses.len() < ADDRESSES_MAX {
            listener.addresses.push(socket.address.to_string());
        }
        if let Some(process) = socket.pid.and_then(|pid| processes.all.get(&pid)) {
            listener.program.get_or_insert_with(|| process.program.clone());
            if listener.unit.is_none() {
                listener.unit.clone_from(&process.unit);
            }
        }
    }
    ports.into_values().take(LISTENERS_MAX).collect()
}

/// Resolves all security updates, all updates, and what was asked for.
fn resolve_all(
    root: &Root,
    system: &System,
    updates: &[Update],
    processes: Option<&Processes>,
    options: &Options,
    report: &mut NodeReport,
    unread: &mut Unread,
) -> Vec<Transaction> {
    let mut transactions = BTreeMap::<SmolStr, Transaction>::new();
    for (name, goal) in goals(updates, system.packages(), &options.asks) {
        let outcome = system
            .resolve(root, options.chamber.as_ref(), &goal)
            .and_then(|steps| may_go(root, system, &goal, steps, processes))
            .map_err(|error: ResolveError| match error {
                ResolveError::Refused(_) => format!("{error}{}", held_along(system, &goal)),
                error => error.to_string(),
            })
            .and_then(|steps| transaction(root, system, &steps, processes, unread));
        let resolved = match outcome {
            Ok(None) => continue,
            Ok(Some((transaction, mut resolved))) => {
                resolved.transaction = Some(transaction.digest.to_string());
                transactions.insert(transaction.digest.clone(), transaction);
                resolved
            }
            Err(problem) => Resolved { problem: Some(text(&problem, 2048)), ..Resolved::default() },
        };
        report.transactions.push(Resolved { name, ..resolved });
    }
    transactions.into_values().collect()
}

/// What to ask for. Packages that are held back are not named: a plan that needs them has to say so.
fn goals(updates: &[Update], installed: &[Installed], asks: &[Ask]) -> Vec<(String, Goal)> {
    let free = || updates.iter().filter(|update| !update.held);
    let security = free().filter_map(|update| {
        Some((update.name.clone(), update.arch.clone(), update.security.clone()?))
    });
    let security = Wanted { comes: security.collect(), goes: Vec::new() };
    let mut goals = vec![("security".to_owned(), Goal::Packages(security))];
    if !updates.is_empty() {
        goals.push(("all".to_owned(), Goal::All));
    }
    for ask in asks {
        let up = free().filter(|update| ask.packages.contains(&update.name)).map(|update| {
            let version = update.security.as_ref().unwrap_or(&update.to);
            (update.name.clone(), update.arch.clone(), version.clone())
        });
        let back = installed.iter().filter_map(|of| {
            let (_, version) = ask.downgrade.iter().find(|(name, _)| *name == of.name)?;
            let other = of.version != *version;
            other.then(|| (of.name.clone(), of.arch.clone(), version.clone()))
        });
        let gone = installed.iter().filter(|of| ask.remove.contains(&of.name));
        // Of versions beside each other all go.
        let gone: BTreeSet<_> = gone.map(|of| (of.name.clone(), of.arch.clone())).collect();
        let wanted = Wanted { comes: up.chain(back).collect(), goes: gone.into_iter().collect() };
        goals.push((ask.name.clone(), Goal::Packages(wanted)));
    }
    goals.retain(|(_, goal)| match goal {
        Goal::All => true,
        Goal::Packages(wanted) => !wanted.is_nothing(),
    });
    goals
}

/// What needs a package that was to go, directly or not, and is held back: a package manager refuses for that and does not say so.
fn held_along(system: &System, goal: &Goal) -> String {
    let goes = match goal {
        Goal::Packages(Wanted { goes, .. }) => goes,
        Goal::All => return String::new(),
    };
    let asked: BTreeSet<&str> = goes.iter().map(|(name, _)| name.as_str()).collect();
    let mut gone = asked.clone();
    loop {
        let needing = system.packages().iter().filter(|of| {
            !gone.contains(of.name.as_str()) && of.needs.iter().any(|it| gone.contains(it.as_str()))
        });
        let needing: Vec<&str> = needing.map(|of| of.name.as_str()).collect();
        if needing.is_empty() {
            break;
        }
        gone.extend(needing);
    }
    let held = system.packages().iter().filter(|of| of.held);
    let held = held.map(|of| of.name.as_str());
    let along: Vec<&str> =
        held.filter(|name| gone.contains(name) && !asked.contains(name)).take(KEPT_MAX).collect();
    if along.is_empty() {
        return String::new();
    }
    let verbs = if along.len() == 1 { "needs it and is" } else { "need it and are" };
    format!("; {} {verbs} held back on this node: lift the hold first", along.join(", "))
}

/// Refuses what was asked to be removed where it, or what would go along, must stay.
fn may_go(
    root: &Root,
    system: &System,
    goal: &Goal,
    steps: Vec<Step>,
    processes: Option<&Processes>,
) -> Result<Vec<Step>, ResolveError> {
    let goes = match goal {
        Goal::Packages(Wanted { goes, .. }) if !goes.is_empty() => goes,
        Goal::Packages(_) | Goal::All => return Ok(steps),
    };
    let told = protected::kept(root, system, &steps, processes).into_iter().map(|kept| {
        let Kept { name, why } = kept;
        if goes.iter().any(|(asked, _)| *asked == name) {
            format!("{name} must stay: {why}")
        } else {
            format!("{name} would go along, and must stay: {why}")
        }
    });
    let told: Vec<String> = told.take(KEPT_MAX).collect();
    if told.is_empty() { Ok(steps) } else { Err(ResolveError::MustStay(told.join("; "))) }
}

/// The transaction of some steps and what it means here; `None` where nothing is to be done.
fn transaction(
    root: &Root,
    system: &System,
    steps: &[Step],
    processes: Option<&Processes>,
    unread: &mut Unread,
) -> Result<Option<(Transaction, Resolved)>, String> {
    if steps.is_empty() {
        return Ok(None);
    }
    let names = steps.iter().map(|step| step.name.as_str()).collect();
    let archives = system.archives(root, &names, unread);
    let mut changes = Vec::with_capacity(steps.len());
    for step in steps {
        let sha256 = match &step.to {
            None => None,
            Some(to) => {
                let archive = archives.get(&system.archive_key(&step.name, &step.arch, to));
                let sha256 = archive.and_then(|archive| archive.sha256.clone());
                let missing = || {
                    format!("could not resolve: the index has no SHA-256 for {} {to}", step.name)
                };
                Some(sha256.ok_or_else(missing)?)
            }
        };
        let or_dash =
            |version: &Option<String>| version.as_deref().map_or("-".into(), SmolStr::new);
        changes.push(Change {
            name: SmolStr::new(&step.name),
            arch: SmolStr::new(&step.arch),
            from: or_dash(&step.from),
            to: or_dash(&step.to),
            archive: sha256.unwrap_or("-".into()),
        });
    }
    let consequences = consequences::of(root, system, steps, &archives, processes);
    let units = consequences.restart.iter().filter_map(|unit| token(unit));
    let resolved = Resolved {
        packages: u32::try_from(steps.len()).unwrap_or(u32::MAX),
        download_bytes: consequences.download_bytes,
        disk_bytes: consequences.disk_bytes,
        lacks: room::Changes { root, system, changes: &changes, archives: &archives }.forth(),
        restart: units.take(RESTARTS_MAX).collect(),
        reboot: consequences.reboot,
        rollback: consequences.rollback,
        ..Resolved::default()
    };
    Ok(Some((Transaction::from_changes(changes), resolved)))
}
