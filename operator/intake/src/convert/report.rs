//! A scanner's report: whether it may be used for decisions, and what it says.

use std::sync::Arc;

use hozen_api::node_inventory::{
    Listener, NodeInventory, NodeReport, NotRead, PackageManager, Resolved as ApiResolved,
    RollbackReach, StaleProcess,
};
use hozen_domain::{
    assess::SECURITY,
    node::{
        CLOCKS_APART_MAX, Inventory, Lack, REPORT_AGE_MAX, Report, Resolved, SecurityUpdate,
        WaitsFor,
    },
    plan::Reachable,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use smol_str::{SmolStr, format_smolstr};

use super::{number, small, small_set, uid};

/// Clocks further apart than this make every time in a report doubtful (invariant 19).
const CLOCK_OFFSET_MILLISECONDS_MAX: u64 = 5_000;

/// Content-addressed objects that were verified.
pub trait Content: std::fmt::Debug {
    /// How many packages a set holds; none: it is not at hand.
    fn packages(&self, digest: &str) -> Option<usize>;
    /// Whether this transaction is at hand.
    fn has_transaction(&self, digest: &str) -> bool;
}

/// What can be made of a report at this instant, about this Node.
pub(super) fn report(
    inventory: &NodeInventory,
    node: &Node,
    content: &dyn Content,
    now: Timestamp,
) -> Report {
    let report = &inventory.spec.report;
    let node_uid = uid(&node.metadata, "Node");
    if report
        .node_uid
        .as_deref()
        .is_some_and(|uid| node.metadata.uid.is_some() && uid != node_uid.0)
    {
        return Report::Missing("the report is of another machine of the same name".to_owned());
    }
    if is_to_come(report, now) {
        // Without the present: what is told must stay the same while nothing changes.
        return Report::Missing(format!(
            "its report is of {}, a time that has not come yet: a clock is wrong",
            report.scanned_at
        ));
    }
    let Some(set) = &report.package_set else {
        return Report::Missing("its scanner could not read a package database".to_owned());
    };
    if content.packages(set).is_none() {
        return Report::Missing(format!(
            "its package set {} is not there, or not what its name says",
            cut(set)
        ));
    }
    let boot_id =
        node.status.as_ref().and_then(|s| s.node_info.as_ref()).map(|info| info.boot_id.as_str());
    let rebooted = match (boot_id, report.boot_id.as_deref()) {
        (Some(now), Some(then)) => !now.is_empty() && now != then,
        (None, _) | (_, None) => false,
    };
    let fresh = now.duration_since(report.scanned_at) <= REPORT_AGE_MAX && !rebooted;
    let inventory = Arc::new(self::inventory(report, content));
    if fresh { Report::Known(inventory) } else { Report::Stale(inventory) }
}

/// Whether a report is of a time that has not come yet, by more than clocks may be apart: then no time in it can be believed, and it would
/// count as fresh for longer than any other (invariant 19).
pub fn is_to_come(report: &NodeReport, now: Timestamp) -> bool {
    report.scanned_at.duration_since(now) > CLOCKS_APART_MAX
}

/// A digest as people can still compare it.
fn cut(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

fn inventory(report: &NodeReport, content: &dyn Content) -> Inventory {
    let reboot = report.reboot_required.clone().unwrap_or_default();
    let mitigated = report.mitigated.clone().unwrap_or_default();
    let cannot = report.cannot_mitigate.clone().unwrap_or_default();
    let mut reboot_because: Vec<SmolStr> = reboot.because.iter().map(SmolStr::new).collect();
    if reboot.value && reboot_because.is_empty() {
        reboot_because.push(small("the host asks for it"));
    }
    if !reboot.value {
        reboot_because.clear();
    }
    Inventory {
        scan: number(report.scan.as_deref()).unwrap_or_default(),
        scanned_at: report.scanned_at,
        boot_id: report.boot_id.as_deref().map(small).unwrap_or_default(),
        os_id: small(&report.os.id),
        os_version: report.os.version_id.as_deref().map(small).unwrap_or_default(),
        kernel_running: report.kernel.running.as_deref().map(small).unwrap_or_default(),
        kernel_installed: report.kernel.installed.as_deref().map(small).unwrap_or_default(),
        package_set: report.package_set.as_deref().map(small).unwrap_or_default(),
        partial: not_read(report, |entry| entry.partial)
            .into_iter()
            .chain(miscounted(report, content))
            .collect(),
        unseen: not_read(report, |entry| entry.unseen),
        tells_security: tells_security(report),
        waits_for: report.waits_for.as_ref().map(|waits| WaitsFor {
            what: waits.what.clone(),
            since: waits.since,
            until: waits.until,
        }),
        unresolved: unresolved(report, content),
        unfinished: report.unfinished.iter().map(|of| small(of)).collect(),
        subscriptions: small_set(&report.subscriptions),
        transactions: report
            .transactions
            .iter()
            .filter_map(|resolved| self::resolved(resolved, content))
            .collect(),
        no_way: report
            .transactions
            .iter()
            .filter_map(|resolved| {
                Some((small(&resolved.name), small(resolved.problem.as_deref()?)))
            })
            .collect(),
        stale_units: report.stale.iter().map(stale_unit).collect(),
        one_shots: report.stale.iter().filter(|of| of.one_shot).map(stale_unit).collect(),
        listening: report
            .listening
            .iter()
            .filter(|l| reachable(&l.addresses))
            .map(|l| small(&l.port))
            .collect(),
        listeners: report.listening.iter().filter_map(listener).collect(),
        reboot_because,
        stopped: small_set(&mitigated.stop),
        absent: small_set(&mitigated.absent),
        blocked: small_set(&mitigated.block),
        cannot_stop: cannot.stop.as_deref().map(small),
        cannot_block: cannot.block.as_deref().map(small),
        unready: unready(report),
        indices_refreshed_at: report.ready.as_ref().and_then(|ready| ready.indices_refreshed_at),
        hardware: report
            .hardware
            .as_ref()
            .map(|hardware| small(hardware.class.as_str()))
            .unwrap_or_default(),
    }
}

/// What of a kind the scanner could not read, and why.
fn not_read(report: &NodeReport, of: impl Fn(&NotRead) -> bool) -> Vec<SmolStr> {
    let entries = report.not_read.iter().filter(|entry| of(entry));
    entries.map(|NotRead { what, why, .. }| format_smolstr!("{what}: {why}")).collect()
}

/// What is wrong with a set that does not hold as many packages as the report counts: it is not what the scanner read.
fn miscounted(report: &NodeReport, content: &dyn Content) -> Option<SmolStr> {
    let (set, counted) = (report.package_set.as_deref()?, report.package_count?);
    let held = content.packages(set).filter(|held| u32::try_from(*held) != Ok(counted))?;
    let packages = if counted == 1 { "package" } else { "packages" };
    Some(format_smolstr!(
        "packages: its report counts {counted} {packages}, the set that it names holds {held}"
    ))
}

/// Whether the node's own indices say which security updates are missing: they are there and fresh, and not apk's, which do not say
/// which versions fix a weakness.
fn tells_security(report: &NodeReport) -> bool {
    let fresh = report.ready.as_ref().is_none_or(|ready| ready.repository != Some(false));
    let says = !matches!(report.package_manager, Some(PackageManager::Apk));
    report.updates.is_some() && fresh && says
}

/// Security updates of the node's own indices that its package manager tells no way to: all of them where it found none, else those that are held there.
fn unresolved(report: &NodeReport, content: &dyn Content) -> Vec<SecurityUpdate> {
    let security = report.transactions.iter().find(|resolved| resolved.name == SECURITY);
    let named = security.and_then(|resolved| resolved.transaction.as_deref());
    let resolved = named.is_some_and(|digest| content.has_transaction(digest));
    let problem = security.and_then(|resolved| resolved.problem.as_deref());
    let offered = report.updates.iter().flat_map(|updates| &updates.packages);
    let left = offered.filter(|update| update.held || !resolved);
    left.filter_map(|update| {
        let own = update.security_pocket.then_some(&update.to);
        let to = update.security.as_ref().or(own)?;
        let package = update.package.split(':').next().unwrap_or_default();
        let why = match problem {
            _ if update.held => small("an administrator holds the package back on the host"),
            Some(problem) => small(problem),
            None => small("what its package manager would do is not known"),
        };
        Some(SecurityUpdate {
            package: small(package),
            from: small(&update.from),
            to: small(to),
            held: update.held,
            why,
        })
    })
    .collect()
}

/// A port on which only the node itself is heard is no exposure. Without addresses nobody knows, and it counts.
fn reachable(addresses: &[String]) -> bool {
    let loopback = |address: &String| {
        address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    addresses.is_empty() || !addresses.iter().all(loopback)
}

/// A port and who listens there, where that was seen.
fn listener(listener: &Listener) -> Option<(SmolStr, SmolStr)> {
    let who = match (listener.program.as_deref(), listener.unit.as_deref()) {
        (Some(program), Some(unit)) => format_smolstr!("{program} ({unit})"),
        (Some(one), None) | (None, Some(one)) => small(one),
        (None, None) => return None,
    };
    Some((small(&listener.port), who))
}

fn stale_unit(process: &StaleProcess) -> SmolStr {
    let text = process.unit.as_deref().or(process.program.as_deref());
    text.map_or_else(|| small("a process without a unit"), small)
}

fn resolved(resolved: &ApiResolved, content: &dyn Content) -> Option<Resolved> {
    let transaction = resolved.transaction.as_deref()?;
    if !content.has_transaction(transaction) {
        return None;
    }
    Some(Resolved {
        purpose: small(&resolved.name),
        transaction: small(transaction),
        packages: resolved.packages,
        download_bytes: resolved.download_bytes,
        lacks: resolved.lacks.as_ref().map(|lack| Lack {
            below: small(&lack.below),
            needed: lack.needed_bytes,
            free: lack.free_bytes,
        }),
        restart: small_set(&resolved.restart),
        reboot: resolved.reboot,
        rollback: match resolved.rollback {
            RollbackReach::Possible => Reachable::Possible,
            RollbackReach::Impossible => Reachable::Impossible,
            RollbackReach::NotKnown | RollbackReach::Unknown(_) => Reachable::Unknown,
        },
    })
}

/// Why nothing new may start on the node (invariant 19). That its indices are old is no reason: the archives of a plan may be had all the
/// same, and a patch that cannot get them changes nothing.
fn unready(report: &NodeReport) -> Vec<String> {
    let offset = report.ready.as_ref().and_then(|ready| ready.clock_offset_milliseconds);
    offset
        .filter(|offset| offset.unsigned_abs() > CLOCK_OFFSET_MILLISECONDS_MAX)
        .map(|offset| format!("its clock is off by {offset} ms"))
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content of which transactions are at hand, or none.
    #[derive(Debug)]
    struct Held {
        transactions: bool,
    }

    impl Content for Held {
        fn packages(&self, _: &str) -> Option<usize> {
            None
        }

        fn has_transaction(&self, _: &str) -> bool {
            self.transactions
        }
    }

    #[test]
    fn why_there_is_no_way_and_who_listens_arrive_with_the_report() {
        let refused = ApiResolved {
            name: "forbidden-packages".into(),
            problem: Some("nothing would be removed".into()),
            ..ApiResolved::default()
        };
        let by = |port: &str, program: Option<&str>, unit: Option<&str>| Listener {
            port: port.into(),
            program: program.map(str::to_owned),
            unit: unit.map(str::to_owned),
            ..Listener::default()
        };
        let report = NodeReport {
            transactions: vec![refused],
            listening: vec![
                by("22/tcp", Some("sshd"), Some("ssh.service")),
                by("23/tcp", Some("inetd"), None),
                by("80/tcp", None, None),
            ],
            ..NodeReport::default()
        };
        let inventory = inventory(&report, &Held { transactions: false });

        assert!(inventory.transactions.is_empty());
        assert_eq!(inventory.no_way["forbidden-packages"], "nothing would be removed");
        let told: Vec<&str> = inventory.listeners.values().map(SmolStr::as_str).collect();
        assert_eq!((told, inventory.listening.len()), (vec!["sshd (ssh.service)", "inetd"], 3));
    }

    #[test]
    fn a_security_update_that_nothing_brings_arrives_with_why() {
        use hozen_api::node_inventory::{AvailableUpdate, Updates};
        let update = |package: &str, pocket: bool, held: bool| AvailableUpdate {
            package: format!("{package}:amd64"),
            from: "1".into(),
            to: "2".into(),
            security_pocket: pocket,
            held,
            ..AvailableUpdate::default()
        };
        let offered =
            vec![update("held", true, true), update("a", true, false), update("b", false, true)];
        let told = |security: ApiResolved| {
            let report = NodeReport {
                updates: Some(Updates { packages: offered.clone(), ..Updates::default() }),
                transactions: vec![security],
                ..NodeReport::default()
            };
            let found = inventory(&report, &Held { transactions: true }).unresolved.into_iter();
            found.map(|of| format!("{} {}: {}", of.package, of.to, of.why)).collect::<Vec<_>>()
        };
        let security = ApiResolved { name: SECURITY.into(), ..ApiResolved::default() };
        let done = ApiResolved { transaction: Some("sha256-1".into()), ..security.clone() };
        let held = "held 2: an administrator holds the package back on the host";
        assert_eq!(told(done), [held]);
        let refused = ApiResolved { problem: Some("malformed entry".into()), ..security.clone() };
        assert_eq!(told(refused), [held, "a 2: malformed entry"]);
        assert_eq!(told(security), [held, "a 2: what its package manager would do is not known"]);
    }
}
