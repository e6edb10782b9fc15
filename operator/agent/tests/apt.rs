//! What the scan says of missing updates, against what apt itself says of the same system at the same moment.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use hozen_agent::{
    root::Root,
    scan::{Options, Scan, scan},
};
use hozen_testkit::not_run;
use jiff::Timestamp;

fn scanned(path: &Path, resolve: bool) -> Scan {
    let options = Options {
        now: Timestamp::UNIX_EPOCH,
        resolve,
        asks: Vec::new(),
    };
    scan(&Root::open(path).unwrap(), &options)
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.env("LC_ALL", "C").output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `name version` of what apt lists as upgradable from a security pocket: `name/suite,suite-security version arch [...]`.
fn listed(apt: &str) -> BTreeSet<String> {
    let from_pocket = |line: &&str| {
        let suites = line.split([' ', '/']).nth(1).unwrap_or_default();
        suites.split(',').any(|suite| suite.ends_with("-security"))
    };
    let lines = apt
        .lines()
        .filter(|line| line.contains("[upgradable from:"))
        .filter(from_pocket);
    lines
        .filter_map(|line| {
            let (name, rest) = line.split_once('/')?;
            Some(format!("{name} {}", rest.split(' ').nth(1)?))
        })
        .collect()
}

fn found(scan: &Scan) -> BTreeSet<String> {
    let updates = scan.updates.iter().filter(|update| update.to_is_security);
    updates
        .map(|update| format!("{} {}", update.name, update.to))
        .collect()
}

/// A root with pending security updates, as `tests/roots/debian` builds it; it says itself why it cannot.
fn debian_root(test: &str) -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/roots/debian");
    let built = Command::new(script)
        .args(["small", "openssl", "ca-certificates"])
        .output()
        .unwrap();
    if built.status.success() {
        return Some(PathBuf::from(String::from_utf8_lossy(&built.stdout).trim()));
    }
    not_run(test, String::from_utf8_lossy(&built.stderr).trim());
    None
}

#[test]
fn this_machines_missing_security_updates_are_those_that_apt_lists() {
    let name = "this_machines_missing_security_updates_are_those_that_apt_lists";
    let Some(apt) = output(Command::new("apt").args(["list", "--upgradable"])) else {
        return not_run(name, "this machine has no apt");
    };
    let scan = scanned(Path::new("/"), false);

    assert_eq!(found(&scan), listed(&apt));
    let updates = scan.report.updates.unwrap_or_default();
    assert_eq!(
        usize::try_from(updates.security).unwrap(),
        listed(&apt).len()
    );
}

#[test]
fn a_roots_missing_security_updates_and_its_transaction_are_apts_own() {
    let name = "a_roots_missing_security_updates_and_its_transaction_are_apts_own";
    let Some(root) = debian_root(name) else {
        return;
    };
    let chroot = |words: &[&str]| output(Command::new("chroot").arg(&root).args(words)).unwrap();
    let scan = scanned(&root, true);

    assert_eq!(
        found(&scan),
        listed(&chroot(&["apt", "list", "--upgradable"]))
    );
    let simulated = chroot(&["apt-get", "--simulate", "dist-upgrade"]);
    let installs = simulated
        .lines()
        .filter_map(|line| line.strip_prefix("Inst "));
    let apts: BTreeSet<String> = installs
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    let all = scan
        .report
        .transactions
        .iter()
        .find(|resolved| resolved.name == "all")
        .unwrap();
    let transaction = scan
        .transactions
        .iter()
        .find(|transaction| Some(transaction.digest.as_str()) == all.transaction.as_deref());
    let changes = transaction.unwrap().changes.iter();
    assert_eq!(
        changes
            .map(|change| change.name.to_string())
            .collect::<BTreeSet<_>>(),
        apts
    );
}
