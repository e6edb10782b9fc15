//! Of two mistakes, and of three, each is told in one run: none hides another.

use std::{fs, path::Path};

use super::{copy, read};

/// A mistake: the file, what is replaced in it by what, and a part of what is said.
struct Slip {
    file: &'static str,
    from: &'static str,
    to: &'static str,
    said: &'static str,
}

const fn slip(
    file: &'static str,
    from: &'static str,
    to: &'static str,
    said: &'static str,
) -> Slip {
    Slip { file, from, to, said }
}

/// One line each, so that two of one file can stand beside each other.
const SLIPS: &[Slip] = &[
    // Form, rule, sense and reference of a baseline.
    slip("baselines.yaml", "schedule: \"0 2 * * 2\"", "schedule: \"0 2 31 2 *\"", "never comes"),
    slip("baselines.yaml", "timeZone: Asia/Tokyo", "timeZone: Asia/Tokio", "windows[0].timeZone: "),
    slip("baselines.yaml", "duration: 3h", "duration: 3 hours", "windows[0].duration: "),
    slip("baselines.yaml", ", owner: team-web@example.com}", "}", "spec.asset.owner: is missing"),
    slip(
        "baselines.yaml",
        "profile: NISCC",
        "profile: [NISCC]",
        "spec.remediation.profile: expected",
    ),
    slip("baselines.yaml", "compliant: 99.8%", "compliant: many", "spec.targets.compliant: "),
    slip(
        "baselines.yaml",
        "targets:",
        "target:",
        "spec.target: unknown field; did you mean targets?",
    ),
    slip(
        "baselines.yaml",
        "approvalPolicy: production\n  windows",
        "approvalPolicy: prodution\n  windows",
        "there is no ApprovalPolicy prodution",
    ),
    slip(
        "baselines.yaml",
        "nodes: 100%, maxUnavailable: 2",
        "nodes: 100%, maxUnavailable: 0",
        "never ends",
    ),
    slip(
        "baselines.yaml",
        "drain: {timeout: 10m}",
        "drain: {timeout: soon}",
        "spec.rollout.drain.timeout: ",
    ),
    slip("baselines.yaml", "soak: 30m", "soak: [30m]", "stages[0].soak: expected text"),
    slip(
        "baselines.yaml",
        "  name: database\n",
        "  nmae: database\n",
        "nmae: unknown field; did you mean name?",
    ),
    slip(
        "baselines.yaml",
        "minVersion: v1.36.0",
        "minVersion: 1.36",
        "spec.require.kubelet.minVersion: expected text",
    ),
    slip(
        "baselines.yaml",
        "reason: certified by the vendor",
        "raeson: certified by the vendor",
        "raeson: unknown field; did you mean reason?",
    ),
    // A policy.
    slip("policies.yaml", "count: 2", "count: 0", "emergency.roles[0].count: "),
    slip("policies.yaml", "validFor: 24h", "validFor: 1 day", "spec.emergency.validFor: "),
    slip(
        "policies.yaml",
        "excludeAuthors: true",
        "excludeAuthors: yes",
        "spec.excludeAuthors: expected true or false",
    ),
    // Notices.
    slip("advisories.yaml", "/AV:N/AC:L/PR:N", "/AV:X/AC:L/PR:N", "spec.severity.cvss[0]: "),
    slip("advisories.yaml", "epss: \"0.71\"", "epss: much", "spec.exploitation.epss: "),
    slip(
        "advisories.yaml",
        "package: {purl: \"pkg:deb/debian/nginx",
        "package: {purl: \"deb/debian/nginx",
        "affected[0].package.purl: ",
    ),
    slip("advisories.yaml", "  id: DSA-6102-1\n", "  di: DSA-6102-1\n", "spec.di: unknown field"),
    slip("advisories.yaml", "since: 2026-11-19", "since: yesterday", "knownExploited.since: "),
    // What the cluster and its scanners say.
    slip("nodes.yaml", "uid: cb83ef3b", "udi: cb83ef3b", "metadata.udi: unknown field"),
    slip(
        "inventories/web-a1.yaml",
        "packageCount: 14",
        "packageCount: many",
        "report.packageCount: expected a whole number",
    ),
    slip(
        "inventories/web-a1.yaml",
        "scannedAt: \"2026",
        "scannedAt: \"20x26",
        "report.scannedAt: ",
    ),
    // The scenario.
    slip(
        "scenario.yaml",
        "timeZone: Asia/Tokyo",
        "timeZone: Asia/Tokio",
        "scenario.yaml:2:1: timeZone: ",
    ),
    slip(
        "scenario.yaml",
        "timeZone: Asia/Tokyo",
        "timezone: Asia/Tokyo",
        "unknown field timezone; did you mean timeZone?",
    ),
    slip(
        "scenario.yaml",
        "from: 2026-11-19T09:14",
        "from: morning",
        "from: the text \"morning\" is not a local time",
    ),
    slip(
        "scenario.yaml",
        "until: 2026-11-21T09:00",
        "until: 2026-11-18T09:00",
        "is not after from",
    ),
    slip(
        "scenario.yaml",
        "until: 2026-11-21T09:00",
        "until: 2026-11-21T09:00\nseed: 7",
        "unknown field seed",
    ),
    slip(
        "scenario.yaml",
        "- {at: 2026-11-19T09:40, do: {approve: {baseline: web-tier, role",
        "- {at: 2026-11-19T09:40, do: {approve: {baseline: web-tier, roel",
        "events[0]: unknown field roel; did you mean role?",
    ),
    slip(
        "scenario.yaml",
        "at: 2026-11-19T10:05",
        "at: 2027-11-19T10:05",
        "events[1].at: 2027-11-19T10:05:00 is ",
    ),
    slip(
        "scenario.yaml",
        "at: 2026-11-19T10:05",
        "at: ten",
        "events[1].at: the text \"ten\" is not a local time",
    ),
    slip(
        "scenario.yaml",
        "approve: {baseline: web-tier, role: on-call, user: bob",
        "aprove: {baseline: web-tier, role: on-call, user: bob",
        "events[1]: unknown event aprove; did you mean approve?",
    ),
    slip(
        "scenario.yaml",
        "on-call, user: carol",
        "on-cal, user: carol",
        "events[2]: there is no role on-cal; did you mean on-call?",
    ),
    slip(
        "scenario.yaml",
        "role: on-call, user: carol",
        "role: on-call, usr: carol",
        "events[2]: unknown field usr; did you mean user?",
    ),
    slip(
        "scenario.yaml",
        "web-tier, role: on-call, user: carol",
        "wep-tier, role: on-call, user: carol",
        "events[2]: there is no baseline wep-tier",
    ),
    slip(
        "scenario.yaml",
        "node: web-a2",
        "node: web-2a",
        "events[3]: there is no node web-2a; did you mean web-a2?",
    ),
    slip(
        "scenario.yaml",
        "restarts: 1",
        "restarts: few",
        "events[3]: expected a whole number from 0 to 4294967295, found string",
    ),
    slip(
        "scenario.yaml",
        "        node: web-b1",
        "        nod: web-b1",
        "events[4]: unknown field nod; did you mean node?",
    ),
    slip(
        "scenario.yaml",
        "do: {acceptFailure: {",
        "do: {acceptFailure: {by: her, ",
        "events[5]: unknown field by",
    ),
    slip(
        "scenario.yaml",
        "events:\n",
        "approvers: [{user: a, role: on-call, after: soon, baselines: [web-tier]}]\nevents:\n",
        "approvers[0]: `soon` is not a duration",
    ),
    slip(
        "scenario.yaml",
        "events:\n",
        "approvers: [{user: a, role: on-cll, after: 3h, baselines: [web-tier]}]\nevents:\n",
        "approvers[0]: there is no role on-cll",
    ),
    slip(
        "scenario.yaml",
        "events:\n",
        "approvers: [{user: a, rol: on-call, after: 3h, baselines: [web-tier]}]\nevents:\n",
        "approvers[0]: unknown field rol; did you mean role?",
    ),
];

/// What is said of a folder with these mistakes; none: they do not go together.
fn said(folder: &Path, originals: &[(&str, String)], slips: &[&Slip]) -> Option<Vec<String>> {
    let mut spoilt: Vec<(&str, String)> = Vec::new();
    for slip in slips {
        let at = spoilt.iter().position(|(file, _)| *file == slip.file);
        let at = at.unwrap_or_else(|| {
            let original = originals.iter().find(|(file, _)| *file == slip.file).unwrap();
            spoilt.push((slip.file, original.1.clone()));
            spoilt.len() - 1
        });
        let text = &mut spoilt[at].1;
        if !text.contains(slip.from) {
            return None;
        }
        *text = text.replacen(slip.from, slip.to, 1);
    }
    if slips.iter().any(|slip| !spoilt.iter().any(|(_, text)| text.contains(slip.to))) {
        return None;
    }
    for (file, text) in &spoilt {
        fs::write(folder.join(file), text).unwrap();
    }
    let told = read(folder).err().map(|refused| refused.problems).unwrap_or_default();
    for (file, _) in &spoilt {
        let original = originals.iter().find(|(name, _)| name == file).unwrap();
        fs::write(folder.join(file), &original.1).unwrap();
    }
    Some(told.iter().map(ToString::to_string).collect())
}

#[test]
fn of_mistakes_that_stand_beside_each_other_none_hides_another() {
    let folder = copy();
    // They are read for nothing here.
    for file in ["pods.yaml", "inventories/package-sets.yaml", "inventories/web-b2.yaml"] {
        fs::remove_file(folder.path().join(file)).unwrap();
    }
    let mut originals: Vec<(&str, String)> = Vec::new();
    for slip in SLIPS {
        if !originals.iter().any(|(file, _)| *file == slip.file) {
            originals.push((slip.file, fs::read_to_string(folder.path().join(slip.file)).unwrap()));
        }
    }
    let mut wrong = Vec::new();
    for slip in SLIPS {
        let alone = said(folder.path(), &originals, &[slip]).unwrap_or_default();
        if alone.len() != 1 || !alone[0].contains(slip.said) {
            wrong.push(format!("{}\n  {alone:#?}", slip.said));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut hidden = Vec::new();
    for slips in together() {
        let Some(told) = said(folder.path(), &originals, &slips) else { continue };
        for slip in &slips {
            let is_told = told.iter().any(|told| told.contains(slip.said));
            if !is_told && !slips.iter().any(|beside| unjudged(slip, beside)) {
                let all: Vec<&str> = slips.iter().map(|slip| slip.said).collect();
                hidden.push(format!("`{}` of {all:?}\n  {told:#?}", slip.said));
            }
        }
    }
    assert!(hidden.is_empty(), "{} hidden\n{}", hidden.len(), hidden.join("\n"));
}

/// Every two of one file; of different files every eighth two, for what hides another is mostly beside it; and some threes.
fn together() -> Vec<Vec<&'static Slip>> {
    let mut all = Vec::new();
    for (index, one) in SLIPS.iter().enumerate() {
        for (after, other) in SLIPS[index + 1..].iter().enumerate() {
            if one.file == other.file || (index + after) % 8 == 0 {
                all.push(vec![one, other]);
            }
        }
        let [next, last] = [7, 19].map(|steps| &SLIPS[(index + steps) % SLIPS.len()]);
        all.push(vec![one, next, last]);
    }
    all
}

/// Whether nobody can say that a mistake is one beside another.
fn unjudged(slip: &Slip, beside: &Slip) -> bool {
    let pair = (slip.to, beside.to);
    matches!(
        pair,
        // It is a part of something unknown; any name may stand there; it has no beginning or no end.
        ("compliant: many", "target:")
            | ("wep-tier, role: on-call, user: carol", "  nmae: database\n")
            | ("until: 2026-11-18T09:00", "from: morning")
            | ("at: 2027-11-19T10:05", "until: 2026-11-18T09:00")
    )
}
