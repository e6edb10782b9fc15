//! What the scan says of RPM systems, against what rpm and dnf say of the same ones.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its own files fails")]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use hozen_agent::{
    root::Root,
    rpm::{self, Form},
    scan::{Options, Scan, scan},
};
use hozen_testkit::not_run;
use jiff::Timestamp;
use rstest::rstest;

/// Few packages, so that they are built in seconds: a fix, a newer version without one, and one that stays.
const PACKAGES: &str = "\
openssl|1|3.0.7-27.el9|3.0.7-28.el9_4|security ALSA-2024:6783|openssl<openssl-libs openssl-libs
tzdata|0|2024a-1.el9|2024b-2.el9|bugfix ALBA-2024:8805|tzdata.noarch
bash|0|5.1.8-9.el9|-|-|bash
";

/// A root in one form of database, as `tests/roots/rpm` builds it; it says itself why it cannot.
fn rpm_root(test: &str, form: &str) -> Option<PathBuf> {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("few.packages");
    std::fs::write(&list, PACKAGES).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/roots/rpm");
    let built = Command::new(script).arg("few").arg(list).arg(form).output().unwrap();
    if built.status.success() {
        return Some(PathBuf::from(String::from_utf8_lossy(&built.stdout).trim()));
    }
    not_run(test, String::from_utf8_lossy(&built.stderr).trim());
    None
}

fn scanned(path: &Path, resolve: bool) -> Scan {
    let options =
        Options { now: Timestamp::UNIX_EPOCH, resolve, asks: Vec::new(), chamber: None, own: None };
    scan(&Root::open(path).unwrap(), &options)
}

/// `name epoch:version-release arch` as rpm itself reads the database; an epoch of 0 is left out.
fn judged(root: &Path, form: &str) -> BTreeSet<String> {
    let backend = if form == "bdb" { "bdb_ro" } else { form };
    let output = Command::new("rpm")
        .arg("--root")
        .arg(root)
        .args([
            "--dbpath",
            "/var/lib/rpm",
            "--define",
            &format!("_db_backend {backend}"),
            "-qa",
            "--qf",
        ])
        .arg("%{NAME} %{EPOCHNUM}:%{VERSION}-%{RELEASE} %{ARCH}\\n")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).replace(" 0:", " ");
    text.lines().map(str::to_owned).collect()
}

#[rstest]
#[case("sqlite")]
#[case("bdb")]
fn a_database_of_each_form_holds_what_rpm_says(#[case] form: &str) {
    let Some(root) = rpm_root(&format!("a_database_of_each_form_holds_what_rpm_says {form}"), form)
    else {
        return;
    };
    let scan = scanned(&root, false);

    let packages = scan.packages.packages.iter();
    let found: BTreeSet<String> = packages
        .map(|package| format!("{} {} {}", package.name, package.version, package.arch))
        .collect();
    assert_eq!(found.len(), 4);
    assert_eq!(found, judged(&root, form));
}

/// A folder with the database of a root, in a form of its own.
fn root_with(file: &str, content: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("var/lib/rpm");
    std::fs::create_dir_all(&database).unwrap();
    std::fs::write(database.join(file), content).unwrap();
    folder
}

fn names(path: &Path) -> Vec<String> {
    scanned(path, false).packages.packages.iter().map(|package| package.name.to_string()).collect()
}

/// Debian's rpm cannot write this form: rpm's own headers are laid out here as its source describes it, in slots that are
/// not full and blobs that are not in order.
#[test]
fn suses_form_gives_the_same_packages() {
    let Some(root) = rpm_root("suses_form_gives_the_same_packages", "sqlite") else {
        return;
    };
    let mut headers = Vec::new();
    let file = std::fs::File::open(root.join("var/lib/rpm/rpmdb.sqlite")).unwrap();
    rpm::headers(file, Form::Sqlite, &mut |header| headers.push(header.to_vec())).unwrap();

    let word = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let mut slots = [&b"RpmP"[..], &word(0), &word(1), &word(1), &[0; 16]].concat();
    let mut blobs = Vec::new();
    for (index, header) in headers.iter().enumerate().rev() {
        let block = (4096 + blobs.len()) / 16;
        slots.extend([&b"Slot"[..], &word(index + 1), &word(block), &word(0)].concat());
        blobs.extend([&b"BlbS"[..], &word(index + 1), &word(0), &word(header.len())].concat());
        blobs.extend(header);
        blobs.resize(blobs.len().next_multiple_of(16), 0);
    }
    while slots.len() < 4096 {
        slots.extend([&b"Slot"[..], &[0; 12]].concat());
    }
    let suse = root_with("Packages.db", &[slots, blobs].concat());

    assert_eq!(names(suse.path()), names(&root));
}

#[test]
fn what_is_only_in_the_write_ahead_log_counts() {
    let name = "what_is_only_in_the_write_ahead_log_counts";
    let Some(root) = rpm_root(name, "sqlite") else {
        return;
    };
    let content = std::fs::read(root.join("var/lib/rpm/rpmdb.sqlite")).unwrap();
    let copy = root_with("rpmdb.sqlite", &content);
    let database = copy.path().join("var/lib/rpm/rpmdb.sqlite");
    let changed = Command::new("sqlite3")
        .arg(&database)
        .args([
            "-cmd",
            ".dbconfig no_ckpt_on_close on",
            "pragma journal_mode=wal; delete from Packages where hnum in (select min(hnum) from Packages);",
        ])
        .output();
    let Ok(changed) = changed else {
        return not_run(name, "sqlite3 is missing: apt-get install sqlite3");
    };
    assert!(changed.status.success(), "{}", String::from_utf8_lossy(&changed.stderr));
    assert!(std::fs::metadata(database.with_extension("sqlite-wal")).unwrap().len() > 0);

    assert_eq!((names(&root).len(), names(copy.path()).len()), (4, 3));
}

#[test]
fn dnf_is_asked_and_its_fixes_are_told_from_other_updates() {
    let Some(root) = rpm_root("dnf_is_asked_and_its_fixes_are_told_from_other_updates", "sqlite")
    else {
        return;
    };
    let scan = scanned(&root, true);

    let of = |name: &str| {
        let resolved =
            scan.report.transactions.iter().find(|resolved| resolved.name == name).unwrap();
        assert_eq!(resolved.problem, None, "{name}");
        let digest = resolved.transaction.clone().unwrap();
        let transaction =
            scan.transactions.iter().find(|transaction| transaction.digest == digest.as_str());
        transaction
            .unwrap()
            .changes
            .iter()
            .map(|c| format!("{} {} {}", c.name, c.from, c.to))
            .collect::<Vec<_>>()
    };
    // In the order of their lines, where the architecture follows the name.
    let fixes =
        ["openssl-libs 1:3.0.7-27.el9 1:3.0.7-28.el9_4", "openssl 1:3.0.7-27.el9 1:3.0.7-28.el9_4"];
    assert_eq!(of("security"), fixes);
    assert_eq!(of("all"), [&fixes[..], &["tzdata 2024a-1.el9 2024b-2.el9"]].concat());
    let updates = scan.report.updates.unwrap();
    assert_eq!((updates.security, updates.other), (2, 1));
}
