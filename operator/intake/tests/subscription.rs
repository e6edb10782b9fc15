//! Fixes that only those have who subscribed to them, from the publisher's documents and the scanners' reports up to what is decided.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;

use hozen_domain::{
    World,
    assess::assess,
    planner::{self, Planned},
    rank::rank,
    relevance::Relevance,
};
use hozen_intake::folder;
use hozen_testkit::packages;
use tempfile::TempDir;

const BASELINE: &str = "
apiVersion: hozen.dev/v1alpha1
kind: Baseline
metadata: {name: web}
spec:
  selector: {nodes: {matchLabels: {tier: web}}}
  asset: {owner: team-web@example.com}
  approvalPolicy: production
---
apiVersion: hozen.dev/v1alpha1
kind: ApprovalPolicy
metadata: {name: production}
spec:
  normal: {roles: [{name: platform}], validFor: 336h}
  emergency: {roles: [{name: on-call}], validFor: 24h}
  exception: {roles: [{name: security}], validFor: 2160h}
";

/// As Ubuntu publishes them: one package fixed in the free archive, one in that of its subscription.
const NOTICE: &str = r#"{"schema_version": "1.7.0", "id": "USN-7900-1", "summary": "tiff and ffmpeg vulnerabilities",
  "published": "2026-11-18T10:11:12Z", "modified": "2026-11-18T10:11:12Z", "upstream": ["UBUNTU-CVE-2026-40001", "CVE-2026-40001"],
  "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
  "affected": [{"package": {"ecosystem": "Ubuntu:Pro:22.04:LTS", "name": "ffmpeg",
      "purl": "pkg:deb/ubuntu/ffmpeg@7:4.4.2-0ubuntu0.22.04.1+esm9?arch=source&distro=esm-apps/jammy"},
    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "7:4.4.2-0ubuntu0.22.04.1+esm9"}]}],
    "versions": ["7:4.4.2-0ubuntu0.22.04.1"],
    "ecosystem_specific": {"availability": "Available with Ubuntu Pro: https://ubuntu.com/pro",
      "binaries": [{"binary_name": "ffmpeg", "binary_version": "7:4.4.2-0ubuntu0.22.04.1+esm9"}]}}]}"#;

/// One machine with ffmpeg, attached or not.
fn machine(more: &str) -> World {
    let folder = TempDir::new().unwrap();
    let put = |file: &str, text: &str| {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("baselines.yaml", BASELINE);
    put("feeds/ubuntu/USN-7900-1.json", NOTICE);
    let set = packages("Ubuntu:22.04", &[("ffmpeg", "7:4.4.2-0ubuntu0.22.04.1")]);
    let text = set.texts().concat();
    let (purl, set) = (text.trim_end(), set.digest);
    let report = format!(
        "apiVersion: hozen.dev/v1alpha1
kind: PackageSet
metadata: {{name: {set}}}
spec: {{packages: [\"{purl}\"]}}
---
apiVersion: hozen.dev/v1alpha1
kind: NodeInventory
metadata: {{name: web-1, labels: {{tier: web}}}}
report:
  scannedAt: \"2026-11-19T00:02:11Z\"
  os: {{id: ubuntu, versionId: \"22.04\", codename: jammy, architecture: amd64}}
  packageManager: Dpkg
  packageSet: {set}
  updates: {{security: 0, other: 0}}
{more}"
    );
    put("inventories/web-1.yaml", &report);
    let read = folder::read(folder.path(), "2026-11-19T00:14:00Z".parse().unwrap()).unwrap();
    assert_eq!(read.notes, []);
    read.world
}

fn told(world: &World) -> (Relevance, String, String) {
    let assessment = assess(world);
    let ranking = rank(world, &assessment);
    let ranked = &ranking.notices["usn-7900-1"];
    let node = &assessment.nodes["web-1"];
    let departures: Vec<_> = node.departures().map(|departure| departure.wanted.clone()).collect();
    (ranked.relevance, ranked.why.clone(), departures.join("; "))
}

fn planned(world: &World) -> Planned {
    let assessment = assess(world);
    planner::plan(world, &assessment, &rank(world, &assessment))
}

#[test]
fn a_fix_for_subscribers_alone_is_told_and_not_planned_where_the_machine_is_not_attached() {
    let world = machine("");
    let (relevance, why, wanted) = told(&world);
    assert_eq!(relevance, Relevance::NoFixYet);
    assert_eq!(
        why,
        "ffmpeg affected; fixed only for Ubuntu Pro, and no machine that has it is attached"
    );
    assert_eq!(
        wanted,
        "7:4.4.2-0ubuntu0.22.04.1+esm9 or newer: fixed only for Ubuntu Pro; this machine is not attached"
    );
    let planned = planned(&world);
    assert!(planned.decision.effects.is_empty(), "{:#?}", planned.decision.effects);
    assert!(planned.resolves.is_empty(), "{:#?}", planned.resolves);
    let note = planned.notes.iter().find(|note| note.about == "usn-7900-1").unwrap();
    assert!(note.why.starts_with("fixed only for Ubuntu Pro"), "{}", note.why);
}

#[test]
fn where_the_machine_is_attached_its_package_manager_is_asked_for_the_fix() {
    let world = machine("  subscriptions: [Ubuntu Pro]\n");
    let (relevance, why, wanted) = told(&world);
    assert_eq!((relevance, why.as_str()), (Relevance::Relevant, "ffmpeg affected"));
    assert_eq!(wanted, "7:4.4.2-0ubuntu0.22.04.1+esm9 or newer, which needs Ubuntu Pro");
    assert_eq!(planned(&world).resolves[0].goal.upgrade, ["ffmpeg"]);
}
