//! Folders: what becomes of what stands in them.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod feeds;
mod mistakes;
mod pairs;

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use hozen_domain::{node::Report, world::Verdict};
use hozen_intake::folder::{self, Folder, Refused};
use jiff::Timestamp;
use tempfile::TempDir;

const NOW: &str = "2026-11-19T00:14:00Z";

fn read(folder: &Path) -> Result<Folder, Refused> {
    folder::read(folder, NOW.parse().unwrap())
}

fn quickstart() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quickstart")
}

/// A copy of the quickstart that can be spoilt.
fn copy() -> TempDir {
    let folder = TempDir::new().unwrap();
    for below in ["", "inventories"] {
        fs::create_dir_all(folder.path().join(below)).unwrap();
        for entry in fs::read_dir(quickstart().join(below)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), folder.path().join(below).join(entry.file_name())).unwrap();
            }
        }
    }
    folder
}

fn put(folder: &TempDir, file: &str, text: &str) {
    let path = folder.path().join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn change(folder: &TempDir, file: &str, from: &str, to: &str) {
    let path = folder.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} does not hold {from}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

fn notes(folder: &TempDir) -> Vec<String> {
    let prefix = format!("{}/", folder.path().display());
    let read = read(folder.path()).unwrap();
    read.notes.iter().map(|note| note.to_string().replace(&prefix, "")).collect()
}

fn problems(folder: &TempDir) -> Vec<String> {
    let prefix = format!("{}/", folder.path().display());
    let refused = read(folder.path()).expect_err("something must be wrong");
    refused.problems.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect()
}

const OSV: &str = r#"{"id": "DSA-6200-1", "modified": "2026-11-18T00:00:00Z", "summary": "zlib: overflow", "upstream": ["CVE-2026-40000"],
 "affected": [{"package": {"ecosystem": "Debian:12", "name": "zlib"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1:1.2.14-1"}]}]}]}"#;

#[test]
fn a_folder_becomes_a_world_in_which_notices_are_matched() {
    let folder = read(&quickstart()).unwrap();
    assert_eq!(folder.notes, []);
    assert_eq!(
        folder.world.now,
        NOW.parse::<Timestamp>().unwrap(),
        "the scenario says when it begins"
    );
    assert_eq!(folder.world.nodes.len(), 6);
    let Report::Known(inventory) = &folder.world.nodes["web-a1"].report else {
        panic!("web-a1 reports");
    };
    let findings = &folder.world.findings[&inventory.package_set];
    let affected = |package: &str| {
        findings.iter().any(|f| {
            f.package == package && matches!(f.verdict, Verdict::Affected { fixed: Some(_) })
        })
    };
    assert!(affected("libssl3") && affected("openssl"));
    assert!(!affected("nginx"), "its version is fixed");
}

#[test]
fn reading_twice_gives_the_same() {
    let [a, b] = [(); 2].map(|()| format!("{:?}", read(&quickstart()).unwrap().world));
    assert_eq!(a, b);
}

#[test]
fn a_broken_document_degrades_its_feed_and_the_rest_is_used() {
    let folder = copy();
    put(&folder, "feeds/debian/DSA-6200-1.json", OSV);
    put(&folder, "feeds/debian/broken.json", "{\"id\": ");
    put(&folder, "feeds/broken.zip", "no zip");
    let read = read(folder.path()).unwrap();
    assert!(read.world.notices.contains_key("dsa-6200-1"));
    assert_eq!(
        (read.world.feeds["debian"].notices, read.world.feeds["debian"].rejected_total),
        (1, 1)
    );
    assert!(read.world.feeds["debian"].rejected[0].contains("broken.json"));
    assert_eq!(
        (read.world.feeds["broken"].notices, read.world.feeds["broken"].rejected_total),
        (0, 1)
    );
}

#[test]
fn feeds_bring_only_what_matters_here() {
    let folder = copy();
    put(&folder, "feeds/debian/a.json", &OSV.replace("\"zlib\"", "\"gimp\""));
    let read = read(folder.path()).unwrap();
    assert!(!read.world.notices.contains_key("dsa-6200-1"));
    assert_eq!(read.world.feeds["debian"].notices, 1);
}

#[test]
fn known_exploitation_is_joined_to_notices_of_feeds_and_of_people() {
    let folder = copy();
    put(&folder, "feeds/debian/a.json", OSV);
    let entry = |cve: &str| {
        format!(
            r#"{{"cveID": "{cve}", "vendorProject": "x", "product": "y", "vulnerabilityName": "z", "dateAdded": "2026-11-18", "shortDescription": "s", "requiredAction": "a", "dueDate": "2026-12-01", "knownRansomwareCampaignUse": "Known", "notes": ""}}"#
        )
    };
    let kev = format!(
        r#"{{"title": "t", "catalogVersion": "2026.11.18", "dateReleased": "2026-11-18T00:00:00Z", "count": 2, "vulnerabilities": [{}, {}]}}"#,
        entry("CVE-2026-40000"),
        entry("CVE-2026-28111"),
    );
    put(&folder, "feeds/kev.json", &kev);
    put(
        &folder,
        "feeds/epss.csv",
        "#model_version:v2026.01.01,score_date:2026-11-18T00:00:00+0000\ncve,epss,percentile\nCVE-2026-28111,0.5,0.9\n",
    );
    let world = read(folder.path()).unwrap().world;
    for name in ["dsa-6200-1", "dsa-6119-2"] {
        let known = &world.notices[name].notice.exploitation.known_exploited;
        assert!(known.as_ref().is_some_and(|known| known.ransomware), "{name}");
    }
    assert_eq!(world.notices["dsa-6119-2"].notice.exploitation.epss, Some(0.5));
}

#[test]
fn a_package_set_that_is_not_what_its_name_says_is_left_out_and_its_nodes_are_unknown() {
    let folder = copy();
    change(&folder, "inventories/package-sets.yaml", "bash@5.2.15-2%2Bb13", "bash@5.2.15-2%2Bb14");
    let said = notes(&folder);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("inventories/package-sets.yaml:"), "{said:?}");
    assert!(said[0].contains("was changed, or is another's; it is left out"), "{said:?}");
    let world = read(folder.path()).unwrap().world;
    assert!(
        matches!(&world.nodes["web-a1"].report, Report::Missing(why) if why.contains("package set"))
    );
    assert!(matches!(world.nodes["web-a2"].report, Report::Known(_)));
}

#[test]
fn without_any_node_object_reports_stand_for_their_nodes() {
    let folder = copy();
    fs::remove_file(folder.path().join("nodes.yaml")).unwrap();
    let world = read(folder.path()).unwrap().world;
    assert_eq!(world.nodes.len(), 6);
    assert!(world.nodes["web-a1"].report.known().is_some());
}

#[test]
fn a_report_without_its_node_is_a_stray() {
    let folder = copy();
    change(&folder, "nodes.yaml", "name: web-a1", "name: web-a9");
    let world = read(folder.path()).unwrap().world;
    assert!(world.stock.strays.contains("web-a1"));
    assert!(
        matches!(&world.nodes["web-a9"].report, Report::Missing(why) if why == "it never reported")
    );
}

#[test]
fn a_report_of_another_machine_of_the_same_name_does_not_count() {
    let folder = copy();
    change(&folder, "nodes.yaml", "uid: cb83ef3b", "uid: 00000000");
    let world = read(folder.path()).unwrap().world;
    assert!(
        matches!(&world.nodes["web-a1"].report, Report::Missing(why) if why.contains("another machine"))
    );
}

#[test]
fn a_report_from_before_the_last_boot_is_stale() {
    let folder = copy();
    change(&folder, "nodes.yaml", "bootID: ca2c67de", "bootID: 00000000");
    let world = read(folder.path()).unwrap().world;
    assert!(matches!(world.nodes["web-a1"].report, Report::Stale(_)));
}

#[test]
fn a_report_older_than_a_day_and_a_half_is_stale() {
    let folder = copy();
    change(&folder, "inventories/web-a1.yaml", "2026-11-19T00:02:11Z", "2026-11-17T12:13:59Z");
    let world = read(folder.path()).unwrap().world;
    assert!(matches!(world.nodes["web-a1"].report, Report::Stale(_)));
}

#[test]
fn a_report_of_a_time_that_has_not_come_tells_nothing_of_the_present_and_that_is_said() {
    let folder = copy();
    // Clocks may be ten seconds apart: the scenario begins at 00:14:00.
    change(&folder, "inventories/web-a1.yaml", "2026-11-19T00:02:11Z", "2026-11-19T00:14:10Z");
    change(
        &folder,
        "inventories/web-a2.yaml",
        "scannedAt: \"2026-11-19T",
        "scannedAt: \"2026-11-20T",
    );
    let said = notes(&folder);
    let [said] = said.as_slice() else { panic!("{said:#?}") };
    assert!(said.starts_with("NodeInventory/web-a2: its report is of 2026-11-20T"), "{said}");
    assert!(said.contains("after what is played begins (2026-11-19T00:14:00Z)"), "{said}");
    assert!(!said.contains("  "), "it is printed as one line: {said}");
    let world = read(folder.path()).unwrap().world;
    assert!(matches!(world.nodes["web-a1"].report, Report::Known(_)));
    let Report::Missing(why) = &world.nodes["web-a2"].report else { panic!("it is believed") };
    assert!(why.ends_with("a time that has not come yet: a clock is wrong"), "{why}");
}

#[test]
fn when_a_scanner_last_looked_at_its_repositories_is_known_where_it_says_so() {
    let folder = copy();
    let ready =
        ("{repository: true,", "{repository: true, indicesRefreshedAt: \"2026-11-18T22:00:00Z\",");
    change(&folder, "inventories/web-a1.yaml", ready.0, ready.1);
    let world = read(folder.path()).unwrap().world;
    let looked = |node: &str| world.nodes[node].report.latest().unwrap().indices_refreshed_at;
    assert_eq!(looked("web-a1"), "2026-11-18T22:00:00Z".parse().ok());
    assert_eq!(looked("web-a2"), None);
}

#[test]
fn what_could_not_be_seen_of_what_runs_is_a_fact_of_its_own_and_a_one_shot_is_told_apart() {
    let folder = copy();
    let more = "report:\n  notRead: [{what: files that processes run, why: hidden, unseen: true}, {what: x, why: y}]\n  \
                stale: [{unit: backup.service, oneShot: true, files: [/usr/bin/x]}]\n";
    change(&folder, "inventories/web-a1.yaml", "report:\n", more);
    let world = read(folder.path()).unwrap().world;
    let inventory = world.nodes["web-a1"].report.latest().unwrap();
    assert_eq!(inventory.unseen, ["files that processes run: hidden"]);
    assert!(inventory.partial.is_empty());
    assert!(inventory.one_shots.contains("backup.service"));
    assert!(inventory.stale_units.contains("backup.service"));
}

#[test]
fn links_out_of_the_folder_are_not_followed_and_pipes_are_not_read() {
    let folder = copy();
    symlink("/etc/passwd", folder.path().join("secret.yaml")).unwrap();
    symlink("/etc", folder.path().join("etc")).unwrap();
    symlink("nowhere", folder.path().join("dangling.yaml")).unwrap();
    symlink(".", folder.path().join("loop")).unwrap();
    assert!(
        Command::new("mkfifo").arg(folder.path().join("pipe.yaml")).status().unwrap().success()
    );
    let said = notes(&folder);
    let about =
        |name: &str| said.iter().find(|note| note.starts_with(name)).cloned().unwrap_or_default();
    assert!(
        about("secret.yaml").ends_with("points out of the folder; it is not followed"),
        "{said:#?}"
    );
    assert!(about("etc").ends_with("points out of the folder; it is not followed"), "{said:#?}");
    assert!(about("pipe.yaml").ends_with("is no plain file; it is not read"), "{said:#?}");
    assert!(about("dangling.yaml").contains("could not be followed"), "{said:#?}");
    assert_eq!(said.len(), 4, "{said:#?}");
}

#[test]
fn a_baseline_that_comes_later_is_read_now_and_applied_then() {
    let folder = copy();
    let text = fs::read_to_string(folder.path().join("baselines.yaml")).unwrap();
    put(&folder, "later/web-tier.yaml", text.split("\n---\n").next().unwrap());
    change(
        &folder,
        "scenario.yaml",
        "events:\n",
        "events:\n  - {at: 2026-11-19T12:00, do: {apply: {manifest: later/web-tier.yaml, user: bob@example.com}}}\n",
    );
    let scenario = read(folder.path()).unwrap().scenario.unwrap();
    assert_eq!(scenario.later["later/web-tier.yaml"].name, "web-tier");
    change(
        &folder,
        "scenario.yaml",
        "manifest: later/web-tier.yaml",
        "manifest: later/web-teir.yaml",
    );
    let said = problems(&folder);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("did you mean later/web-tier.yaml?"), "{said:?}");
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let refused = read(Path::new("/nowhere/at/all")).unwrap_err();
    assert!(refused.problems[0].to_string().starts_with("/nowhere/at/all: could not be opened"));
}

#[test]
fn a_file_that_is_not_text_is_told() {
    let folder = copy();
    fs::write(folder.path().join("x.yaml"), b"a: \xff\n").unwrap();
    assert_eq!(problems(&folder), ["x.yaml: is not UTF-8 at byte 3"]);
}

#[test]
fn what_only_follows_from_a_file_that_cannot_be_read_is_not_told() {
    let folder = copy();
    fs::write(folder.path().join("policies.yaml"), b"kind: \xff").unwrap();
    let told = problems(&folder);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].starts_with("policies.yaml"), "{told:#?}");
}

#[test]
fn a_broken_document_of_a_feed_is_named_and_counted_and_the_rest_is_read() {
    let folder = copy();
    put(&folder, "feeds/osv/broken.json", "{\"id\": broken");
    put(&folder, "feeds/osv/deep.json", &"[".repeat(100_000));
    let good = r#"{"id": "DSA-6300-1", "modified": "2026-11-01T00:00:00Z", "affected": [{"package": {"ecosystem": "Debian:12", "name": "bash"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}]}"#;
    put(&folder, "feeds/osv/good.json", good);
    let said = notes(&folder);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("feed osv: feeds/osv/broken.json: "), "{said:?}");
    assert!(said[1].starts_with("feed osv: feeds/osv/deep.json: "), "{said:?}");
    assert!(said.iter().all(|note| note.ends_with("it is left out, and the feed is degraded")));
    let world = read(folder.path()).unwrap().world;
    assert_eq!(world.feeds["osv"].rejected_total, 2);
    assert!(world.notices.contains_key("dsa-6300-1"));
}

#[test]
fn a_set_that_holds_not_as_many_packages_as_the_report_counts_is_not_all_of_them() {
    let folder = copy();
    change(&folder, "inventories/web-a1.yaml", "packageCount: 14", "packageCount: 15");
    let world = read(folder.path()).unwrap().world;
    let Report::Known(inventory) = &world.nodes["web-a1"].report else {
        panic!("web-a1 reports");
    };
    let [why] = inventory.partial.as_slice() else { panic!("{:?}", inventory.partial) };
    assert_eq!(why, "packages: its report counts 15 packages, the set that it names holds 14");
    let Report::Known(other) = &world.nodes["web-a3"].report else {
        panic!("web-a3 reports");
    };
    assert!(other.partial.is_empty());
}
