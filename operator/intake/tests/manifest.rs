//! Manifests: what is read, and what is said of mistakes.

use hozen_intake::{
    kinds::Object,
    manifest::{Manifests, Reader},
};

const HEAD: &str = "apiVersion: hozen.dev/v1alpha1\nkind: Baseline\nmetadata: {name: web}\n";
const POLICY: &str = "\n---\napiVersion: hozen.dev/v1alpha1\nkind: ApprovalPolicy\nmetadata: {name: prod}\nspec: \
     {normal: {roles: [{name: a}], validFor: 24h}, emergency: {roles: [{name: a}], validFor: 24h}, \
     exception: {roles: [{name: a}], validFor: 24h}}\n";

fn read(text: &str) -> Manifests {
    let mut reader = Reader::new();
    reader.read("f.yaml", text);
    reader.finish()
}

fn problems(text: &str) -> Vec<String> {
    read(text).problems.iter().map(ToString::to_string).collect()
}

/// What is said of a baseline whose spec has this beside what it needs.
fn of_spec(more: &str) -> Vec<String> {
    let spec = "spec:\n  selector: {nodes: {}}\n  asset: {owner: x}\n  approvalPolicy: prod\n";
    problems(&format!("{HEAD}{spec}  {more}{POLICY}"))
}

#[test]
fn every_mistake_of_a_file_is_told_at_once_with_its_place_and_what_to_write() {
    let text = "apiVersion: hozen.dev/v1alpha1
kind: Baseline
metadata: {name: web}
spec:
  selectr: {nodes: {}}
  asset: {owner: 7, exposure: Interne}
  remediation: {profile: nisc, bundle: [1]}
  windows:
  - {name: A b, schedule: '0 2 * *', duration: 3 hours, timeZone: Asia/Tokyo}
  - {name: night, schedule: '0 2 * * *', duration: 30, timeZone: Asia/Tokyo}
  priority: high
";
    assert_eq!(
        problems(text),
        [
            "f.yaml:5:3: Baseline/web: spec.approvalPolicy: is missing (ApprovalPolicy that says who must agree)",
            "f.yaml:5:3: Baseline/web: spec.selectr: unknown field; did you mean selector?",
            "f.yaml:6:18: Baseline/web: spec.asset.owner: expected text, found the number 7; write it in quotes: \"7\"",
            "f.yaml:6:31: Baseline/web: spec.asset.exposure: expected Isolated, Internal or Internet, found \"Interne\"; did you mean Internet?",
            "f.yaml:7:26: Baseline/web: spec.remediation.profile: expected NISCC, BOD-26-04, PCI-DSS or Custom, found \"nisc\"; did you mean NISCC?",
            "f.yaml:7:40: Baseline/web: spec.remediation.bundle: expected a map, found a list",
            "f.yaml:9:12: Baseline/web: spec.windows[0].name: \"A b\" does not have the right form; write it like canary",
            "f.yaml:9:27: Baseline/web: spec.windows[0].schedule: has 7 characters; at least 9 are needed; write it like 0 2 * * 2",
            "f.yaml:9:48: Baseline/web: spec.windows[0].duration: \"3 hours\" does not have the right form; write it like 90m",
            "f.yaml:10:52: Baseline/web: spec.windows[1].duration: expected text, found the number 30; write it like 90m",
            "f.yaml:11:13: Baseline/web: spec.priority: expected a whole number, found the text \"high\"",
        ]
    );
}

#[test]
fn a_broken_rule_is_told_at_its_field() {
    assert_eq!(
        of_spec("rollout: {stages: [{name: a, nodes: 1}]}"),
        [
            "f.yaml:8:13: Baseline/web: spec.rollout.stages: the last stage takes the rest: write nodes: 100% and no selector"
        ]
    );
    assert_eq!(
        of_spec("require: {packages: [{name: x, version: 1a, absent: true}]}"),
        [
            "f.yaml:8:24: Baseline/web: spec.require.packages[0]: ask one thing of a package: write one of minVersion, version, absent: true"
        ]
    );
}

#[test]
fn rules_are_not_judged_over_a_form_that_is_wrong() {
    let said = of_spec("rollout: {stages: {name: a}}");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].ends_with("expected a list, found a map; begin each item with a dash"),
        "{said:?}"
    );
}

#[test]
fn a_misspelt_kind_or_version_or_head_is_told() {
    assert_eq!(
        problems("apiVersion: hozen.dev/v1alpha1\nkind: Baselin\nmetadata: {name: x}\n"),
        ["f.yaml:2:1: kind: Baselin is no kind of hozen.dev/v1alpha1; did you mean Baseline?"]
    );
    assert_eq!(
        problems("apiVersion: hozen.dev/v1\nkind: Baseline\nmetadata: {name: x}\n"),
        ["f.yaml:1:1: apiVersion: hozen.dev/v1 is not known; write hozen.dev/v1alpha1"]
    );
    assert_eq!(
        problems("apiVersio: hozen.dev/v1alpha1\nkind: Baseline\nmetadata: {name: x}\n"),
        ["f.yaml:1:1: apiVersion: is missing; is apiVersio meant to be it?"]
    );
}

#[test]
fn what_belongs_to_others_is_passed_over_and_counted() {
    let read = read(
        "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {any: thing}\n---\nreplicas: 3\n",
    );
    assert_eq!(read.problems, []);
    assert_eq!(read.ignored["v1 Service"], 1);
    assert_eq!(read.ignored["f.yaml: no manifest"], 1);
}

#[test]
fn nodes_may_be_cut_to_what_is_read_and_misspelt_fields_of_theirs_are_told() {
    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: a, labels: {tier: web}}\nstatus: {nodeInfo: {bootID: b}}\n";
    assert_eq!(problems(node), Vec::<String>::new());
    assert_eq!(
        problems(&node.replace("bootID", "bootId")),
        ["f.yaml:4:21: Node/a: status.nodeInfo.bootId: unknown field; did you mean bootID?"]
    );
}

#[test]
fn lists_as_kubectl_prints_them_are_taken_apart() {
    let read = read(
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Node, metadata: {name: a}}\n- {apiVersion: v1, kind: Node, metadata: {name: b}}\n",
    );
    assert_eq!(read.problems, []);
    let names: Vec<_> = read.documents.iter().map(|d| (d.object.kind(), d.name.as_str())).collect();
    assert_eq!(names, [("Node", "a"), ("Node", "b")]);
}

#[test]
fn a_list_whose_items_cannot_be_read_is_told_and_may_hold_anything() {
    let list = |of: &str| format!("apiVersion: v1\nkind: List\n{of}\n");
    let node = "{apiVersion: v1, kind: Node, metadata: {name: a}}";
    for (text, told) in [
        (
            list(&format!("itmes: [{node}]")),
            "f.yaml:3:1: itmes: unknown field; did you mean items?",
        ),
        (
            list("metadata: {}"),
            "f.yaml:1:1: items: is missing; write items: [] where there are none",
        ),
        (
            list(&format!("items: {node}")),
            "f.yaml:3:1: items: expected a list, found a map; begin each item with a dash",
        ),
        (
            list("items:"),
            "f.yaml:3:1: items: expected a list, found nothing; write items: [] where there are none",
        ),
        (list("items: []\nitems: []"), "f.yaml:4:1: items: stands twice, first in line 3"),
        (
            list("items: []").replace("List", "NodeList").replace("items", "item"),
            "f.yaml:3:1: item: unknown field; did you mean items?",
        ),
    ] {
        let read = read(&text);
        let said: Vec<String> = read.problems.iter().map(ToString::to_string).collect();
        assert_eq!(said, [told], "{text}");
        assert!(read.torn, "nobody can say what is missing: {text}");
    }
}

#[test]
fn what_a_list_with_a_mistake_does_hold_is_read_and_an_empty_one_is_fine() {
    let read = read(
        "apiVersion: v1\nkind: List\nitem: []\nitems:\n- {apiVersion: v1, kind: Node, metadata: {name: a}}\n---\n\
         {apiVersion: v1, kind: NodeList, metadata: {resourceVersion: \"1\"}, items: []}\n",
    );
    assert_eq!((read.documents.len(), read.problems.len()), (1, 1), "{:?}", read.problems);
    let empty = "{apiVersion: v1, kind: List, metadata: {}, items: []}";
    assert_eq!(problems(empty), Vec::<String>::new());
}

#[test]
fn a_name_that_stands_twice_is_told_with_the_first_place() {
    let said = problems(&format!("{POLICY}{POLICY}"));
    assert_eq!(
        said,
        ["f.yaml:11:12: ApprovalPolicy/prod: metadata.name: stands twice, first in f.yaml:3"],
        "{said:?}"
    );
}

#[test]
fn a_policy_that_is_not_there_is_told_with_the_nearest() {
    let text = format!(
        "{HEAD}spec:\n  selector: {{nodes: {{}}}}\n  asset: {{owner: x}}\n  approvalPolicy: prd{POLICY}"
    );
    assert_eq!(
        problems(&text),
        [
            "f.yaml:7:3: Baseline/web: spec.approvalPolicy: there is no ApprovalPolicy prd; did you mean prod?"
        ]
    );
}

#[test]
fn a_field_that_stands_twice_is_told() {
    let said = of_spec("priority: 1\n  priority: 2");
    assert_eq!(said, ["f.yaml:9:3: Baseline/web: spec.priority: stands twice, first in line 8"]);
}

#[test]
fn an_item_that_stands_twice_in_a_keyed_list_is_told() {
    let said = of_spec("require: {packages: [{name: x, absent: true}, {name: x, version: '1'}]}");
    assert_eq!(
        said,
        [
            "f.yaml:8:49: Baseline/web: spec.require.packages[1]: name \"x\" stands twice in this list"
        ]
    );
}

#[test]
fn json_is_read_like_yaml() {
    let text = r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a", "labels": {"tier": "web"}}}"#;
    let read = read(text);
    assert_eq!(read.problems, []);
    assert!(
        matches!(&read.documents[0].object, Object::Node(node) if node.metadata.name.as_deref() == Some("a"))
    );
}

#[test]
fn defaults_are_filled_in_before_rules_are_judged() {
    assert_eq!(of_spec("rollout: {drain: {timeout: 5m}}"), Vec::<String>::new());
}
