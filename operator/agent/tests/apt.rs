//! What the scan says of missing updates, against what apt itself says of the same system at the same moment.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its own files fails")]

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
    let options =
        Options { now: Timestamp::UNIX_EPOCH, resolve, asks: Vec::new(), chamber: None, own: None };
    scan(&Root::open(path).unwrap(), &options)
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.env("LC_ALL", "C").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `name version` of what apt lists as upgradable from a security pocket: `name/suite,suite-security version arch [...]`.
fn listed(apt: &str) -> BTreeSet<String> {
    let from_pocket = |line: &&str| {
        let suites = line.split([' ', '/']).nth(1).unwrap_or_default();
        suites.split(',').any(|suite| suite.ends_with("-security"))
    };
    let lines = apt.lines().filter(|line| line.contains("[upgradable from:")).filter(from_pocket);
    lines
        .filter_map(|line| {
            let (name, rest) = line.split_once('/')?;
            Some(format!("{name} {}", rest.split(' ').nth(1)?))
        })
        .collect()
}

fn found(scan: &Scan) -> BTreeSet<String> {
    let updates = scan.updates.iter().filter(|update| update.to_is_security);
    updates.map(|update| format!("{} {}", update.name, update.to)).collect()
}

/// A root with pending security updates, as `tests/roots/debian` builds it; it says itself why it cannot.
fn debian_root(test: &str) -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/roots/debian");
    let built =
        Command::new(script).args(["small", "openssl", "ca-certificates"]).output().unwrap();
    if built.status.success() {
        return Some(PathBuf::from(String::from_utf8_lossy(&built.stdout).trim()));
    }
    not_run(test, String::from_utf8_lossy(&built.stderr).trim());
    None
}

/// A copy of a root's package state: what apt reads, and nothing else.
fn state_of(root: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for folder in ["etc/apt", "var/lib/dpkg", "var/lib/apt/lists", "var/cache/apt/archives/partial"]
    {
        std::fs::create_dir_all(copy.path().join(folder)).unwrap();
    }
    let mut files =
        vec![PathBuf::from("etc/apt/sources.list"), PathBuf::from("var/lib/dpkg/status")];
    for entry in std::fs::read_dir(root.join("var/lib/apt/lists")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            files.push(Path::new("var/lib/apt/lists").join(entry.file_name()));
        }
    }
    for file in files {
        std::fs::copy(root.join(&file), copy.path().join(&file)).unwrap();
    }
    copy
}

/// Every `name version` that apt itself would upgrade to on such a copy.
fn apt_on(state: &Path) -> BTreeSet<String> {
    let path = |below: &str| state.join(below).display().to_string();
    let configuration = format!(
        "Dir \"{}\"; Dir::State::status \"{}\"; Dir::Cache::pkgcache \"\"; Dir::Cache::srcpkgcache \"\";",
        path(""),
        path("var/lib/dpkg/status"),
    );
    let conf = state.join("test.conf");
    std::fs::write(&conf, configuration).unwrap();
    let mut apt = Command::new("apt");
    let text = output(apt.env("APT_CONFIG", conf).args(["list", "--upgradable"])).unwrap();
    let lines = text.lines().filter(|line| line.contains("[upgradable from:"));
    lines
        .map(|line| {
            let (name, rest) = line.split_once('/').unwrap();
            format!("{name} {}", rest.split(' ').nth(1).unwrap())
        })
        .collect()
}

/// Each changes what apt chooses in another way.
const PINS: [&str; 9] = [
    "",
    "Package: *\nPin: release l=Debian-Security\nPin-Priority: -1\n",
    "Package: *\nPin: release l=Debian-Security\nPin-Priority: never\n",
    "Package: *\nPin: release n=bookworm*\nPin-Priority: 90\n",
    "Package: openssl libssl3\nPin: version 3*\nPin-Priority: -10\n",
    "Package: src:openssl\nPin: release a=*-security\nPin-Priority: 50\n",
    "Package: /^lib/\nPin: release c=main\nPin-Priority: 1\n",
    "Package: lib*\nPin: origin \"*\"\nPin-Priority: 99\n\nPackage: *\nPin: release o=Debian\nPin-Priority: 700\n",
    "Package: *:any\nPin: release a=now\nPin-Priority: 1001\n",
];

#[test]
fn pins_and_default_releases_are_honoured_as_apt_honours_them() {
    let name = "pins_and_default_releases_are_honoured_as_apt_honours_them";
    let Some(root) = debian_root(name) else {
        return;
    };
    let state = state_of(&root);
    let compare = |what: &str| {
        let updates = scanned(state.path(), false).updates;
        let ours: BTreeSet<_> = updates.iter().map(|u| format!("{} {}", u.name, u.to)).collect();
        assert_eq!(ours, apt_on(state.path()), "{what}");
        ours.len()
    };
    let mut counts = BTreeSet::new();
    for pins in PINS {
        std::fs::write(state.path().join("etc/apt/preferences"), pins).unwrap();
        counts.insert(compare(pins));
    }
    std::fs::write(state.path().join("etc/apt/preferences"), "").unwrap();
    for release in ["now", "/security$/", "l=Debian"] {
        let option = format!("APT::Default-Release \"{release}\";");
        std::fs::write(state.path().join("etc/apt/apt.conf"), option).unwrap();
        counts.insert(compare(release));
    }
    // A test in which every case came out the same would prove nothing.
    assert!(counts.len() > 2, "{counts:?}");
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
    assert_eq!(usize::try_from(updates.security).unwrap(), listed(&apt).len());
}

#[test]
fn a_roots_missing_security_updates_and_its_transaction_are_apts_own() {
    let name = "a_roots_missing_security_updates_and_its_transaction_are_apts_own";
    let Some(root) = debian_root(name) else {
        return;
    };
    let chroot = |words: &[&str]| output(Command::new("chroot").arg(&root).args(words)).unwrap();
    let scan = scanned(&root, true);

    assert_eq!(found(&scan), listed(&chroot(&["apt", "list", "--upgradable"])));
    let simulated = chroot(&["apt-get", "--simulate", "dist-upgrade"]);
    let installs = simulated.lines().filter_map(|line| line.strip_prefix("Inst "));
    let apts: BTreeSet<String> =
        installs.map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    let all = scan.report.transactions.iter().find(|resolved| resolved.name == "all").unwrap();
    let transaction = scan
        .transactions
        .iter()
        .find(|transaction| Some(transaction.digest.as_str()) == all.transaction.as_deref());
    let changes = transaction.unwrap().changes.iter();
    assert_eq!(changes.map(|change| change.name.to_string()).collect::<BTreeSet<_>>(), apts);
}
