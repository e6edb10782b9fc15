//! What is wrong with a folder: all of it in one run, and nothing that only follows from it.

use super::{change, copy, problems, put};

#[test]
fn mistakes_of_people_refuse_the_folder_all_at_once() {
    let folder = copy();
    change(&folder, "baselines.yaml", "schedule: \"0 2 * * 2\"", "schedule: \"0 2 31 2 *\"");
    change(&folder, "baselines.yaml", "timeZone: Asia/Tokyo", "timeZone: Asia/Tokio");
    change(&folder, "advisories.yaml", "/AV:N/AC:L", "/AV:X/AC:L");
    change(&folder, "scenario.yaml", "approve:", "aprove:");
    let said = problems(&folder);
    assert_eq!(said.len(), 4, "{said:#?}");
    assert!(said[0].starts_with("advisories.yaml:10:"), "{said:#?}");
    assert!(said[1].contains("never comes"), "{said:#?}");
    assert!(said[2].contains("did you mean `Asia/Tokyo`?"), "{said:#?}");
    assert!(said[3].contains("did you mean approve?"), "{said:#?}");
}

#[test]
fn a_second_script_and_a_second_document_are_told_and_hide_nothing_of_the_first() {
    let folder = copy();
    let script = "timeZone: Asia/Tokyo\nfrom: 2026-11-19T09:14\nuntl: 2026-11-21T09:00\n";
    put(&folder, "scenario.yaml", &format!("{script}---\nevents: []\n"));
    put(&folder, "scenario.yml", script);
    let said = problems(&folder);
    for wanted in [
        "scenario.yaml: must hold exactly one document",
        "scenario.yaml:3:1: unknown field untl; did you mean until?",
        "scenario.yml: stands beside scenario.yaml",
    ] {
        assert!(said.iter().any(|line| line.starts_with(wanted)), "{wanted}: {said:#?}");
    }
}

#[test]
fn every_mistake_of_a_scenario_is_told_at_its_place() {
    let folder = copy();
    put(
        &folder,
        "scenario.yaml",
        "timeZone: Asia/Tokyo
from: 2026-11-19T09:14
untl: 2026-11-21T09:00
approvers: [{user: a, role: b, after: 3 hours}]
events:
  - {at: 2026-11-19T09:40, do: {aprove: {baseline: web-tier, role: on-call, user: alice}}}
  - {at: 2026-11-19T10:05, do: {approve: {baseline: web-tier, rol: on-call, user: bob}}}
  - {at: noon, do: {pause: {baseline: web-tier}}}
",
    );
    let said = problems(&folder);
    let wanted = [
        "scenario.yaml:3:1: unknown field untl; did you mean until?",
        "scenario.yaml:4:29: approvers[0]: there is no role b",
        "scenario.yaml:4:39: approvers[0]: `3 hours` is not a duration",
        "scenario.yaml:6:33: events[0]: unknown event aprove; did you mean approve?",
        "scenario.yaml:7:63: events[1]: unknown field rol; did you mean role?",
        "scenario.yaml:8:6: events[2].at: the text \"noon\" is not a local time; write it like",
    ];
    assert_eq!(said.len(), wanted.len(), "{said:#?}");
    for (said, wanted) in said.iter().zip(wanted) {
        assert!(said.starts_with(wanted), "{said}\n{wanted}");
    }
}

#[test]
fn an_event_that_has_no_form_of_one_is_told_with_what_to_write() {
    let folder = copy();
    put(
        &folder,
        "scenario.yaml",
        "timeZone: Asia/Tokyo
from: 2026-11-19T09:14
until: 2026-11-21T09:00
approvers: [alice]
events:
  - nodeOffline
  - {at: 2026-11-19T09:40, do: lift}
  - {at: 2026-11-19T09:40, do: {nodeOffline: web-a1}}
  - {at: 2026-11-19T09:40, do: {nodeOffline: {node: web-a1}, nodeReturns: {node: web-a1}}}
  - {at: 2026-11-19T09:40, do: {}}
  - {at: 2026-11-19T09:40}
  - {at: 2026-11-19T09:40, do: {freeze: 48h}}
",
    );
    let wanted = [
        "scenario.yaml:4:13: approvers[0]: expected an approver like {user: alice@example.com,",
        "scenario.yaml:6:5: events[0]: expected an event like {at: 2026-11-19T09:00, do: {nodeOffline: {node: web-b2}}}, found the text",
        "scenario.yaml:7:32: events[1]: write do: {lift: {}}",
        "scenario.yaml:8:33: events[2]: nodeOffline takes its fields in braces: write {nodeOffline: {node: …}}, found the text",
        "scenario.yaml:9:32: events[3]: nodeOffline and nodeReturns stand under one do; give each an entry of its own",
        "scenario.yaml:10:32: events[4]: do is empty; write an event like",
        "scenario.yaml:11:5: events[5]: `do` is missing",
        "scenario.yaml:12:33: events[6]: freeze takes its fields in braces: write {freeze: {baseline: …, name: …, duration: …, reason: …}}",
    ];
    let said = problems(&folder);
    assert_eq!(said.len(), wanted.len(), "{said:#?}");
    for (said, wanted) in said.iter().zip(wanted) {
        assert!(said.starts_with(wanted), "{said}\n{wanted}");
        assert!(!said.contains("struct") && !said.contains("variant"), "{said}");
    }
}

#[test]
fn a_baseline_of_another_name_is_one_mistake_however_often_it_is_named() {
    let folder = copy();
    change(&folder, "baselines.yaml", "name: web-tier", "name: web-tire");
    let said = problems(&folder);
    assert_eq!(said.len(), 1, "{said:#?}");
    let wanted = "there is no baseline web-tier; did you mean web-tire? (2 more places name it)";
    assert!(said[0].ends_with(wanted), "{said:#?}");

    // What is named by a name that cannot be, or under another key, may be anything.
    for (spoilt, told) in
        [("name: Web_Tier", "is no name that"), ("nmae: web-tier", "did you mean name?")]
    {
        let folder = copy();
        change(&folder, "baselines.yaml", "name: web-tier", spoilt);
        let said = problems(&folder);
        assert!(said.len() == 1 && said[0].contains(told), "{said:#?}");
    }
}

#[test]
fn mistakes_of_every_part_are_told_in_one_run() {
    let folder = copy();
    // Form, rules and sense of one object; a reference; names and times of the scenario; a manifest that comes later.
    change(
        &folder,
        "baselines.yaml",
        "  asset: {businessImpact",
        "  asett: 1\n  asset: {businessImpact",
    );
    change(&folder, "baselines.yaml", "schedule: \"0 2 * * 2\"", "schedule: \"0 2 31 2 *\"");
    change(&folder, "baselines.yaml", "maxUnavailable: 2, soak", "maxUnavailable: 0, soak");
    change(
        &folder,
        "baselines.yaml",
        "approvalPolicy: production\n  windows",
        "approvalPolicy: prodution\n  windows",
    );
    put(
        &folder,
        "scenario.yaml",
        "timeZone: Asia/Tokio
from: 2026-11-19T09:14
until: 2026-11-18T09:00
approvers: [{user: a, role: platfrom, after: 3h, baselines: [web-tire]}]
events:
  - {at: 2026-11-19T09:40, do: {aprove: {baseline: web-tier, role: on-call, user: alice}}}
  - {at: 2026-11-19T10:05, do: {pause: {baseline: wep-tier}}}
  - {at: 2026-11-19T10:05, do: {rebootHangs: {node: web-1a}}}
  - {at: 2026-11-19T10:05, do: {advisoryAppears: {name: dsa-6119-9}}}
  - {at: 2026-11-19T10:05, do: {gateFails: {gate: errors, says: no}}}
  - {at: 2026-11-19T10:05, do: {apply: {manifest: later/wep.yaml, user: bob}}}
  - {at: 2026-11-19T10:05, do: {apply: {manifest: later/web.yaml, user: bob}}}
",
    );
    let later = "apiVersion: hozen.dev/v1alpha1
kind: Baseline
metadata: {name: web-tier}
spec:
  selector: {nodes: {}}
  asset: {owner: x}
  approvalPolicy: producton
  windows: [{name: a, schedule: '0 2 31 2 *', duration: 3h, timeZone: UTC}]
";
    put(&folder, "later/web.yaml", later);
    let wanted = [
        "baselines.yaml:13:3: Baseline/web-tier: spec.asett: unknown field",
        "baselines.yaml:24:3: Baseline/web-tier: spec.approvalPolicy: there is no ApprovalPolicy prodution; did you mean production?",
        "baselines.yaml:26:29: Baseline/web-tier: spec.windows[0].schedule: `0 2 31 2 *` never comes",
        "baselines.yaml:29:50: Baseline/web-tier: spec.rollout.stages[0].maxUnavailable: a stage that may make nothing unavailable never ends",
        "later/web.yaml:7:3: Baseline/web-tier: spec.approvalPolicy: there is no ApprovalPolicy producton; did you mean production?",
        "later/web.yaml:8:23: Baseline/web-tier: spec.windows[0].schedule: `0 2 31 2 *` never comes",
        "scenario.yaml:1:1: timeZone: `Asia/Tokio` is not a time zone; did you mean `Asia/Tokyo`? (IANA names, like `Asia/Tokyo` or `UTC`)",
        "scenario.yaml:3:1: until: 2026-11-18T09:00:00 is not after from (2026-11-19T09:14:00)",
        "scenario.yaml:4:29: approvers[0]: there is no role platfrom; did you mean platform?",
        "scenario.yaml:4:62: approvers[0]: there is no baseline web-tire; did you mean web-tier?",
        "scenario.yaml:6:33: events[0]: unknown event aprove; did you mean approve?",
        "scenario.yaml:7:51: events[1]: there is no baseline wep-tier; did you mean web-tier?",
        "scenario.yaml:8:53: events[2]: there is no node web-1a; did you mean web-a1?",
        "scenario.yaml:9:57: events[3]: there is no advisory dsa-6119-9; did you mean dsa-6119-2?",
        "scenario.yaml:10:51: events[4]: there is no gate errors",
        "scenario.yaml:11:51: events[5]: there is no manifest later/wep.yaml; did you mean later/web.yaml?",
    ];
    let said = problems(&folder);
    let differ: Vec<(&String, &str)> =
        said.iter().zip(wanted).filter(|(said, wanted)| !said.starts_with(wanted)).collect();
    assert!(differ.is_empty() && said.len() == wanted.len(), "{differ:#?}\n{said:#?}");
}

#[test]
fn what_only_follows_from_a_mistake_is_not_told() {
    // The policy and the baseline are there, wrong as they are: who names them is right.
    let folder = copy();
    change(
        &folder,
        "policies.yaml",
        "normal: {roles: [{name: platform}",
        "normal: {roles: [{nmae: platform}",
    );
    change(
        &folder,
        "baselines.yaml",
        "asset: {businessImpact: High, exposure: Internet",
        "asset: {exposure: [1]",
    );
    let said = problems(&folder);
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[0].contains("spec.asset.exposure: expected"), "{said:#?}");
    assert!(said[1].contains("nmae: unknown field; did you mean name?"), "{said:#?}");

    // Half of a file cannot be read: what is not found may have stood there.
    for (spoilt, by) in [
        (
            "kind: Baseline\nmetadata:\n  name: web-tier",
            "kind: Baseline\nmetadata: [\n  name: web-tier",
        ),
        (
            "kind: Baseline\nmetadata:\n  name: web-tier",
            "kind: Baselin\nmetadata:\n  name: web-tier",
        ),
        (
            "kind: Baseline\nmetadata:\n  name: web-tier",
            "knid: Baseline\nmetadata:\n  name: web-tier",
        ),
        (
            "kind: Baseline\nmetadata:\n  name: web-tier",
            "kind: Baseline\nmetadata:\n  nmae: web-tier",
        ),
    ] {
        let folder = copy();
        change(&folder, "baselines.yaml", spoilt, by);
        let said = problems(&folder);
        assert!(said.iter().all(|said| said.starts_with("baselines.yaml:")), "{said:#?}");
        assert!(said.len() <= 2, "{said:#?}");
    }
}

#[test]
fn a_field_that_is_wrong_is_told_once() {
    let folder = copy();
    change(&folder, "baselines.yaml", "timeZone: Asia/Tokyo", "timeZone: \"Asia Tokyo\"");
    change(&folder, "baselines.yaml", "duration: 3h", "duration: 3 hours");
    let said = problems(&folder);
    assert_eq!(said.len(), 2, "{said:#?}");
}

#[test]
fn every_fault_of_a_freeze_is_told_at_once() {
    let folder = copy();
    let freeze = "  freezes:
    - {name: cut, from: 2026-13-20T00:00, to: \"2027-01-04T00:00+09:00\", timeZone: Asia/Tokio, reason: x}
    - {name: back, from: 2026-12-20T00:00, to: 2026-12-19T00:00, timeZone: Asia/Tokio, reason: x}
  rollout:
";
    change(&folder, "baselines.yaml", "  rollout:\n", freeze);
    let said = problems(&folder);
    for wanted in [
        "spec.freezes[0].from: ",
        "spec.freezes[0].to: ",
        "spec.freezes[0].timeZone: ",
        "spec.freezes[1]: a freeze ends after it begins",
        "spec.freezes[1].timeZone: ",
    ] {
        let told = said.iter().filter(|said| said.contains(wanted)).count();
        assert_eq!(told, 1, "{wanted}\n{said:#?}");
    }
}

#[test]
fn one_wrong_field_hides_no_other_and_each_says_what_is_expected() {
    let folder = copy();
    change(&folder, "baselines.yaml", "schedule: \"0 2 * * 2\"", "schedule: \"0 2 31 2 *\"");
    change(&folder, "baselines.yaml", "duration: 3h", "duration: 3 hours");
    change(&folder, "advisories.yaml", "name: dsa-6123-1", "name: DSA_6123");
    put(
        &folder,
        "scenario.yaml",
        "timeZone: 7
from: 2026-13-01T00:00
until: tomorrow
events:
  - {at: 2026-11-19T09:40, do: {staysInactive: {node: web-a1, unit: nginx.service, restarts: 5000000000}}}
",
    );
    let said = problems(&folder);
    let wanted = [
        "metadata.name: `DSA_6123` is no name that the server takes; write small letters",
        "spec.windows[0].schedule: `0 2 31 2 *` never comes",
        "spec.windows[0].duration: ",
        "scenario.yaml:1:1: expected text, found integer `7`",
        "from: the text \"2026-13-01T00:00\" is not a local time; write it like 2026-11-19T09:00",
        "until: the text \"tomorrow\" is not a local time",
        "events[0]: expected a whole number from 0 to 4294967295, found integer `5000000000`",
    ];
    for wanted in wanted {
        let told = said.iter().filter(|said| said.contains(wanted)).count();
        assert_eq!(told, 1, "{wanted}\n{said:#?}");
    }
    assert_eq!(said.len(), wanted.len(), "{said:#?}");
}

#[test]
fn a_window_that_asks_for_a_condition_of_nodes_is_refused_with_where_it_belongs() {
    let folder = copy();
    let gate =
        "duration: 3h, when: [{name: ready, nodeCondition: {type: Ready, status: \"True\"}}]";
    change(&folder, "baselines.yaml", "duration: 3h", gate);
    let said = problems(&folder);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains("spec.windows[0].when[0].nodeCondition: a window is about no node"));
    assert!(said[0].contains("rollout.gates"), "{said:#?}");
}

#[test]
fn a_zone_of_a_scenario_is_spelt_as_one_of_a_window_is() {
    let folder = copy();
    change(&folder, "baselines.yaml", "timeZone: Asia/Tokyo", "timeZone: asia/tokyo");
    change(&folder, "scenario.yaml", "timeZone: Asia/Tokyo", "timeZone: asia/tokyo");
    let said = problems(&folder);
    assert_eq!(said.len(), 2, "{said:#?}");
    let told = "timeZone: `asia/tokyo` is not a time zone; did you mean `Asia/Tokyo`?";
    assert!(said.iter().all(|said| said.contains(told)), "{said:#?}");
}

#[test]
fn what_an_event_says_of_a_request_must_fit_its_baseline() {
    let folder = copy();
    let event = |fields: &str| {
        format!(
            "  - {{at: 2026-11-19T09:40, do: {{approve: {{baseline: web-tier, role: on-call, user: a, {fields}}}}}}}\n"
        )
    };
    let events: String = [
        "advisory: dsa-6123-1",
        "request: web-tier-1a2b3c",
        "advisory: dsa-6123-2",
        "request: web-1a2b3c",
        "request: web-tier",
    ]
    .map(event)
    .concat();
    change(&folder, "scenario.yaml", "events:\n", &format!("events:\n{events}"));
    let said = problems(&folder);
    let wanted = [
        "events[2]: there is no advisory dsa-6123-2; did you mean dsa-6123-1?",
        "events[3]: web-1a2b3c is no request of web-tier: their names are like web-tier-1a2b3c, as hozen simulate and hozen plan print them",
        "events[4]: web-tier is no request of web-tier: their names are like",
    ];
    assert_eq!(said.len(), wanted.len(), "{said:#?}");
    for (said, wanted) in said.iter().zip(wanted) {
        assert!(said.starts_with("scenario.yaml:") && said.contains(wanted), "{said}\n{wanted}");
    }
}

#[test]
fn every_field_of_a_part_of_a_scenario_is_looked_at() {
    let folder = copy();
    put(
        &folder,
        "scenario.yaml",
        "timeZone: [UTC]
from: noon
until: 2026-11-18T09:00
until: 2026-11-21T09:00
frm: 1
approvers:
  - {user: 7, rol: on-call, after: soon, baselines: [wep-tier], basline: x}
events:
  - {at: never, when: now, do: {staysInactive: {node: web-9, unit: [x], restarts: -1, soon: true}}}
  - {at: 2027-11-19T09:40, do: {aprove: {}}}
  - {do: {approve: {baseline: wep-tier, roel: on-call}}}
  - {at: 2026-11-19T09:40, at: 2026-11-19T09:41, do: {apply: {manifest: later/wep.yaml}}}
",
    );
    let wanted = [
        "scenario.yaml:1:1: expected text, found sequence",
        "scenario.yaml:2:1: from: the text \"noon\" is not a local time",
        "scenario.yaml:4:1: until stands twice, first in line 3",
        "scenario.yaml:5:1: unknown field frm; did you mean from?",
        "scenario.yaml:7:6: approvers[0]: expected text, found integer `7`",
        "scenario.yaml:7:15: approvers[0]: unknown field rol; did you mean role?",
        "scenario.yaml:7:36: approvers[0]: `soon` is not a duration",
        "scenario.yaml:7:54: approvers[0]: there is no baseline wep-tier; did you mean web-tier? (1 more place names it)",
        "scenario.yaml:7:65: approvers[0]: unknown field basline; did you mean baselines?",
        "scenario.yaml:9:6: events[0].at: the text \"never\" is not a local time",
        "scenario.yaml:9:17: events[0]: unknown field when; known here: at, do",
        "scenario.yaml:9:55: events[0]: there is no node web-9",
        "scenario.yaml:9:62: events[0]: expected text, found sequence",
        "scenario.yaml:9:73: events[0]: expected a whole number from 0 to 4294967295, found integer `-1`",
        "scenario.yaml:9:87: events[0]: unknown field soon",
        "scenario.yaml:10:6: events[1].at: 2027-11-19T09:40:00 is after until",
        "scenario.yaml:10:33: events[1]: unknown event aprove; did you mean approve?",
        "scenario.yaml:11:5: events[2]: `at` is missing",
        "scenario.yaml:11:5: events[2]: `user` is missing",
        "scenario.yaml:11:41: events[2]: unknown field roel; did you mean role?",
        "scenario.yaml:12:5: events[3]: `user` is missing",
        "scenario.yaml:12:28: events[3]: at stands twice, first in line 12",
        "scenario.yaml:12:73: events[3]: there is no manifest later/wep.yaml",
    ];
    let said = problems(&folder);
    let differ: Vec<(&String, &str)> =
        said.iter().zip(wanted).filter(|(said, wanted)| !said.starts_with(wanted)).collect();
    assert!(differ.is_empty() && said.len() == wanted.len(), "{differ:#?}\n{said:#?}");
}

#[test]
fn a_manifest_that_comes_later_has_all_its_mistakes_told_whatever_is_wrong_with_its_event() {
    let folder = copy();
    let later = "apiVersion: hozen.dev/v1alpha1
kind: Baseline
metadata: {name: web-tier}
spec:
  selector: {nodes: {}}
  asset: {businessImpact: Highest}
  approvalPolicy: production
  windows: [{name: a, schedule: '0 2 31 2 *', duration: 3 hours, timeZone: UTC}]
";
    put(&folder, "later/web.yaml", later);
    let event = "events:\n  - {at: noon, do: {apply: {manifest: later/web.yaml, usr: bob}}}\n";
    change(&folder, "scenario.yaml", "events:\n", event);
    let said = problems(&folder);
    let wanted = [
        "spec.asset.owner: is missing",
        "spec.asset.businessImpact: expected",
        "spec.windows[0].schedule: `0 2 31 2 *` never comes",
        "spec.windows[0].duration: ",
        "is not a local time",
        "unknown field usr; did you mean user?",
    ];
    assert_eq!(said.len(), wanted.len(), "{said:#?}");
    for wanted in wanted {
        assert_eq!(
            said.iter().filter(|said| said.contains(wanted)).count(),
            1,
            "{wanted}\n{said:#?}"
        );
    }
}
