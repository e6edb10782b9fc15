//! CEL rules: each is broken once and heard, and none is broken by an object that is right.

#![expect(clippy::panic, reason = "what fails here fails the test")]

use std::collections::BTreeSet;

use hozen_api::crds::all_crds;
use kube::core::cel::{CompiledSchema, Validator, compile_schema};
use serde_json::{Value, json};

fn digest(c: char) -> String {
    format!("sha256-{}", c.to_string().repeat(64))
}

/// An object of a kind that is right.
fn right(kind: &str) -> Value {
    let mut object = match kind {
        "Baseline" => json!({"spec": {
            "selector": {"nodes": {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["web"]}]}},
            "asset": {"owner": "team-web@example.com"},
            "require": {"packages": [{"name": "telnetd", "absent": true}]},
            "remediation": {"profile": "NISCC"},
            "approvalPolicy": "production",
            "windows": [{"name": "night", "schedule": "0 2 * * 2", "duration": "3h", "timeZone": "UTC"}],
            "freezes": [{"name": "year-end", "from": "2026-12-20T00:00", "to": "2027-01-04T00:00", "timeZone": "UTC", "reason": "books"}],
            "rollout": {
                "stages": [{"name": "canary", "nodes": 1}, {"name": "rest", "nodes": "100%", "maxUnavailable": "10%"}],
                "gates": [{"name": "errors", "prometheus": {"url": "http://prometheus:9090", "query": "sum(x)", "max": "0.5"}}],
            },
        }}),
        "Advisory" => json!({"spec": {
            "summary": "openssl: use after free",
            "affected": [{"package": {"purl": "pkg:deb/debian/openssl?distro=bookworm"}, "ranges": [{"introduced": "0", "fixed": "3.0.22"}]}],
            "mitigations": [{"summary": "block it", "steps": {"block": ["4433/udp"]}}],
        }}),
        "ApprovalPolicy" => json!({"spec": {
            "normal": {"roles": [{"name": "platform"}], "validFor": "336h"},
            "emergency": {"roles": [{"name": "on-call", "count": 2}], "validFor": "24h"},
            "standard": {"after": "72h", "maxCategory": "Minor"},
            "exception": {"roles": [{"name": "security"}], "validFor": "2160h"},
        }}),
        "Approval" => json!({"spec": {
            "changeRequest": {"name": "web-1", "uid": "u"}, "planDigest": digest('a'), "role": "on-call",
            "decision": "Approve", "user": "alice@example.com", "withdrawn": false,
        }}),
        "ChangeRequest" => {
            json!({"spec": {"plan": plan(), "planDigest": digest('a'), "requestedBy": "hozen"}})
        }
        "Rollout" => {
            json!({"spec": {"changeRequest": {"name": "web-1", "uid": "u", "planDigest": digest('a')}, "abort": false}})
        }
        "AdvisoryFeed" => json!({"spec": {
            "osv": {"url": "https://feeds.example.com/osv.zip"}, "refresh": "1h", "maxAge": "48h",
            "verify": {"cosign": {"keys": [{"secretKeyRef": {"name": "k", "key": "pub"}}], "threshold": 1}},
        }}),
        "ManagedNode" => json!({"spec": {}}),
        "ManagedImage" => json!({"spec": {"digest": format!("sha256:{}", "a".repeat(64))}}),
        "NodeInventory" => json!({"report": {
            "scannedAt": "2026-11-19T13:02:11Z", "os": {"id": "debian"},
            "transactions": [{"for": "security", "transaction": digest('c')}],
        }}),
        "PackageSet" => json!({"spec": {"packages": ["pkg:deb/debian/openssl@3.0.20"]}}),
        "Transaction" => {
            json!({"spec": {"changes": [format!("openssl:amd64 1 2 {}", "a".repeat(64))]}})
        }
        other => panic!("no object of kind {other} is known"),
    };
    let content = ["PackageSet", "Transaction", "ManagedImage"].contains(&kind);
    let name = if content { digest('a') } else { "web-1".to_owned() };
    object["metadata"] = json!({"name": name});
    object
}

fn plan() -> Value {
    json!({
        "cluster": "c", "type": "Patch", "baseline": {"name": "web", "uid": "b"}, "emergency": false, "drill": false, "owner": "o",
        "needs": {"roles": [], "validFor": "24h", "excludeAuthors": false}, "advisories": [],
        "classes": [{"transaction": digest('c'), "nodesMax": 5, "restart": [], "reboot": false, "rollback": "Possible"}],
        "windows": {"emergency": false},
        "execution": {
            "drain": {"timeout": "1h", "onBlocked": "Skip", "allowLastOfRole": false}, "reboot": {"policy": "Never", "timeout": "1m", "max": 0},
            "failures": {"max": 0, "then": "Hold"}, "maxPause": "1h", "watch": "1h", "nodeTimeMax": "1h",
        },
        "disruption": {"reboots": 0, "restarts": 0, "drains": 0}, "category": "Minor",
    })
}

#[expect(clippy::too_many_lines, reason = "a table")]
/// A change that breaks one rule: kind, field, its new value (null takes it away), and what must be said.
fn breaks() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    vec![
        (
            "ManagedNode",
            "/spec/resolve",
            json!([{"name": "dsa-1"}]),
            "a question names packages, packages to remove, or packages to downgrade",
        ),
        (
            "Baseline",
            "/spec/selector/images",
            json!({}),
            "a baseline selects exactly one of nodes and images",
        ),
        (
            "Baseline",
            "/spec/selector/nodes/matchExpressions/0/values",
            Value::Null,
            "In and NotIn need values",
        ),
        ("Baseline", "/spec/require/packages/0/version", json!("1"), "ask one thing of a package"),
        ("Baseline", "/spec/require/packages/0/absent", json!(false), "absent can only be true"),
        (
            "Baseline",
            "/spec/remediation/profile",
            json!("Custom"),
            "deadlines belong to profile: Custom",
        ),
        ("Baseline", "/spec/windows/0/duration", json!("300h"), "at least 1m and at most 168h"),
        ("Baseline", "/spec/freezes/0/to", json!("2026-12-01T00:00"), "from must be before to"),
        ("Baseline", "/spec/rollout/stages/1/nodes", json!("50%"), "the last stage takes the rest"),
        ("Baseline", "/spec/rollout/stages/1/selector", json!({}), "the last stage takes the rest"),
        (
            "Baseline",
            "/spec/rollout/stages/0/maxUnavailable",
            json!(0),
            "write maxUnavailable: 1 or more",
        ),
        (
            "Baseline",
            "/spec/rollout/stages/0/maxUnavailable",
            json!("0%"),
            "write maxUnavailable: 1 or more",
        ),
        ("Baseline", "/spec/rollout/drain", json!({"timeout": "1s"}), "a drain takes at least 10s"),
        (
            "Baseline",
            "/spec/rollout/reboot",
            json!({"timeout": "1s"}),
            "a reboot takes at least 30s",
        ),
        (
            "Baseline",
            "/spec/rollout/gates/0/job",
            json!({"template": "t"}),
            "a gate asks exactly one thing",
        ),
        ("Baseline", "/spec/rollout/gates/0/prometheus/max", Value::Null, "write min, max or both"),
        ("Advisory", "/spec/affected/0/ranges", Value::Null, "say which versions are affected"),
        ("Advisory", "/spec/affected/0/ranges/0/lastAffected", json!("3"), "a range ends once"),
        (
            "Advisory",
            "/spec/mitigations/0/steps",
            json!({}),
            "steps that do nothing mitigate nothing",
        ),
        ("ApprovalPolicy", "/spec/normal/validFor", json!("1m"), "at least 1h and at most 17520h"),
        ("ApprovalPolicy", "/spec/standard/after", json!("5m"), "soaks for at least 1h"),
        (
            "ApprovalPolicy",
            "/spec/standard/maxCategory",
            json!("Major"),
            "major changes always need people",
        ),
        (
            "ChangeRequest",
            "/spec/plan/exception",
            json!({"until": "2027-01-01T00:00:00Z", "reason": "r", "controls": []}),
            "type Exception has exception",
        ),
        (
            "ChangeRequest",
            "/spec/plan/mitigation",
            json!({"stop": [], "block": [], "nodesMax": 1}),
            "type Mitigation has mitigation",
        ),
        ("ChangeRequest", "/spec/plan/classes", Value::Null, "type Patch or Rollback has classes"),
        (
            "ChangeRequest",
            "/spec/plan/classes/0/image",
            json!("r/x"),
            "a class is transaction, nodesMax",
        ),
        (
            "AdvisoryFeed",
            "/spec/kev",
            json!({"url": "https://x.example.com"}),
            "a feed has exactly one source",
        ),
        ("AdvisoryFeed", "/spec/refresh", json!("72h"), "maxAge must be at least refresh"),
        ("AdvisoryFeed", "/spec/refresh", json!("1s"), "at most once a minute"),
        (
            "AdvisoryFeed",
            "/spec/osv/url",
            json!("http://feeds.example.com/osv.zip"),
            "write https://",
        ),
        (
            "AdvisoryFeed",
            "/spec/verify/minisign",
            json!({"keys": [], "threshold": 1}),
            "verify in exactly one way",
        ),
        (
            "AdvisoryFeed",
            "/spec/verify/cosign/threshold",
            json!(2),
            "more signatures than there are keys",
        ),
        ("ManagedImage", "/metadata/name", json!("web"), "sha256-…"),
        (
            "NodeInventory",
            "/report/transactions/0/problem",
            json!("held"),
            "give transaction, or problem",
        ),
        ("PackageSet", "/metadata/name", json!("web"), "the name of a PackageSet is sha256-"),
        ("PackageSet", "/spec/parts", json!([digest('b')]), "give packages, or parts"),
        ("Transaction", "/metadata/name", json!("web"), "the name of a Transaction is sha256-"),
    ]
}

/// A change that must not be made to an object that exists.
fn immutable() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    vec![
        ("ChangeRequest", "/spec/plan/emergency", json!(true), "a change request is immutable"),
        ("PackageSet", "/spec/packages", json!([]), "a PackageSet is immutable"),
        ("Transaction", "/spec/changes/0", json!("x:amd64 1 2 -"), "a Transaction is immutable"),
        ("Approval", "/spec/role", json!("platform"), "an approval cannot be changed"),
        (
            "Rollout",
            "/spec/changeRequest/uid",
            json!("other"),
            "a rollout executes one change request",
        ),
        (
            "ManagedImage",
            "/spec/digest",
            json!(format!("sha256:{}", "b".repeat(64))),
            "the digest is what the image is",
        ),
    ]
}

struct Rules {
    validator: Validator,
    schemas: Vec<(String, Value, CompiledSchema)>,
}

impl Rules {
    fn new() -> Self {
        let schemas = all_crds().into_iter().map(|crd| {
            let schema =
                &crd.spec.versions[0].schema.as_ref().and_then(|s| s.open_api_v3_schema.as_ref());
            let json = serde_json::to_value(schema).unwrap_or_default();
            let compiled = compile_schema(&json);
            (crd.spec.names.kind, json, compiled)
        });
        Self { validator: Validator::new(), schemas: schemas.collect() }
    }

    /// What is said of an object, and of the change from an older one.
    fn said(&self, kind: &str, object: &Value, old: Option<&Value>) -> Vec<String> {
        let (_, _, schema) =
            self.schemas.iter().find(|(name, ..)| name == kind).expect("a kind of ours");
        let errors = self.validator.validate_compiled(schema, object, old).err();
        errors
            .into_iter()
            .flat_map(kube::core::cel::ValidationErrors::into_vec)
            .map(|error| error.message)
            .collect()
    }
}

fn set(object: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer has a slash");
    let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer} leads nowhere"));
    match (parent, value) {
        (Value::Object(fields), Value::Null) => {
            drop(fields.remove(key).expect("what is taken away was there"));
        }
        (Value::Object(fields), value) => drop(fields.insert(key.to_owned(), value)),
        (Value::Array(items), value) => items[key.parse::<usize>().expect("an index")] = value,
        (other, _) => panic!("{pointer} leads to {other}"),
    }
}

#[test]
fn what_is_right_breaks_no_rule() {
    let rules = Rules::new();
    for (kind, ..) in &rules.schemas {
        let object = right(kind);
        assert_eq!(rules.said(kind, &object, None), Vec::<String>::new(), "{kind}");
        assert_eq!(
            rules.said(kind, &object, Some(&object)),
            Vec::<String>::new(),
            "{kind}, unchanged"
        );
    }
}

#[test]
fn each_break_is_heard_with_what_to_write_instead() {
    let rules = Rules::new();
    for (kind, pointer, value, wanted) in breaks() {
        let mut object = right(kind);
        set(&mut object, pointer, value);
        let said = rules.said(kind, &object, None);
        assert!(said.iter().any(|message| message.contains(wanted)), "{kind} {pointer}: {said:?}");
    }
}

#[test]
fn what_was_decided_or_is_named_by_its_content_is_not_changed() {
    let rules = Rules::new();
    for (kind, pointer, value, wanted) in immutable() {
        let old = right(kind);
        let mut object = old.clone();
        set(&mut object, pointer, value);
        let said = rules.said(kind, &object, Some(&old));
        assert!(said.iter().any(|message| message.contains(wanted)), "{kind} {pointer}: {said:?}");
    }
}

#[test]
fn a_withdrawal_and_an_abort_go_one_way() {
    let rules = Rules::new();
    for (kind, pointer, wanted) in [
        ("Approval", "/spec/withdrawn", "a withdrawal is final"),
        ("Rollout", "/spec/abort", "an abort is final"),
    ] {
        let before = right(kind);
        let mut after = before.clone();
        set(&mut after, pointer, json!(true));
        assert_eq!(rules.said(kind, &after, Some(&before)), Vec::<String>::new(), "{kind}: there");
        let said = rules.said(kind, &before, Some(&after));
        assert!(said.iter().any(|message| message.contains(wanted)), "{kind}: and back: {said:?}");
    }
}

#[test]
fn another_attempt_that_was_asked_for_is_neither_taken_back_nor_anothers() {
    let rules = Rules::new();
    let wanted = "stays asked for, by whom it was";
    let before = right("Rollout");
    let mut asked = before.clone();
    asked["spec"]["retry"] = json!({"by": "carol"});
    let mut anothers = before.clone();
    anothers["spec"]["retry"] = json!({"by": "mallory"});
    let mut paused = asked.clone();
    paused["spec"]["paused"] = json!(true);
    for (after, old) in [(&asked, &before), (&paused, &asked)] {
        assert_eq!(rules.said("Rollout", after, Some(old)), Vec::<String>::new());
    }
    for after in [&before, &anothers] {
        let said = rules.said("Rollout", after, Some(&asked));
        assert!(said.iter().any(|message| message.contains(wanted)), "{after}: {said:?}");
    }
}

/// Every message of every rule of a schema.
fn messages(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for rule in fields
                .get("x-kubernetes-validations")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let message = rule["message"].as_str().unwrap_or("a rule without a message");
                found.insert(message.to_owned());
            }
            fields.values().for_each(|value| messages(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| messages(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_rule_has_a_test_that_breaks_it() {
    let mut all = BTreeSet::new();
    for (_, schema, _) in &Rules::new().schemas {
        messages(schema, &mut all);
    }
    let tested: Vec<&str> = breaks()
        .into_iter()
        .chain(immutable())
        .map(|(_, _, _, wanted)| wanted)
        .chain(["a withdrawal is final", "an abort is final", "stays asked for, by whom it was"])
        .collect();
    let untested: Vec<&String> = all
        .iter()
        .filter(|message| !tested.iter().any(|wanted| message.contains(wanted)))
        .collect();
    assert!(untested.is_empty(), "no test breaks {untested:#?}");
}
