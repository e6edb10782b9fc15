//! Plans: one JSON in the API and in the domain, and a digest that anybody can recompute.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    io::Write,
    process::{Command, Stdio},
};

use hozen_api::{
    change_request::{ChangeRequest, ChangeRequestSpec},
    crds::all_crds,
};
use hozen_domain::plan::Plan;
use hozen_intake::{
    convert::{
        plan::{plan, to_api},
        request::change_request,
    },
    kinds::Object,
    manifest::Reader,
};
use serde_json::{Value, json};

/// A plan that has every field that a plan can have.
fn full() -> Value {
    let gates = json!([
        {"name": "errors", "prometheus": {"url": "http://prometheus:9090", "query": "sum(x{a=\"b\"})\n", "min": "0", "max": "0.5"}},
        {"name": "cert", "cel": {"resource": {"group": "apps", "kind": "Deployment", "namespace": "c", "name": "d"}, "expression": "self.a >= 1"}},
        {"name": "job", "job": {"template": "shop-smoke"}},
        {"name": "node", "nodeCondition": {"type": "Ready", "status": "True"}},
    ]);
    json!({
        "cluster": "6f1c1c5e-0e1b-4c55-9d3f-0d6f3a2b1c4d",
        "type": "Patch",
        "baseline": {"name": "web-tier", "uid": "b-1"},
        "emergency": true,
        "drill": false,
        "owner": "Jürgen 保全 <team-web@example.com>",
        "needs": {"roles": [{"name": "on-call", "count": 2}], "validFor": "24h", "excludeAuthors": true, "standardAfter": "72h"},
        "advisories": ["dsa-6123-1"],
        "classes": [
            {"transaction": format!("sha256-{}", "c".repeat(64)), "nodesMax": 51, "restart": [], "reboot": false, "rollback": "Unknown"},
            {"image": "registry.example.com/shop/web", "from": format!("sha256:{}", "a".repeat(64)), "to": format!("sha256:{}", "b".repeat(64)), "workloadsMax": 12},
        ],
        "stages": [
            {"name": "canary", "selector": {"matchLabels": {"impact": "low"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}, {"key": "c", "operator": "Exists"}]},
             "nodes": 1, "perClass": true, "maxUnavailable": "20%", "perZone": true, "orderBy": ["AtRisk", "Zone", "LeastCritical"], "soak": "30m"},
            {"name": "rest", "nodes": "100%", "perClass": false, "maxUnavailable": 2, "perZone": false, "soak": "0s"},
        ],
        "windows": {
            "emergency": false,
            "windows": [{"name": "night", "schedule": "0 2 * * 2", "duration": "3h", "timeZone": "Asia/Tokyo", "for": ["Install", "Reboot"], "when": gates}],
            "freezes": [{"name": "year-end", "from": "2026-12-20T00:00", "to": "2027-01-04T00:00", "timeZone": "Asia/Tokyo", "reason": "closing of the books"}],
        },
        "execution": {
            "test": {"mirror": "web-mirror", "jobTemplate": "shop-full"},
            "drain": {"timeout": "10m", "onBlocked": "Force", "allowLastOfRole": false},
            "reboot": {"policy": "AsNeeded", "timeout": "10m", "max": 1, "method": "Kexec"},
            "gates": gates,
            "snapshot": "lvm-snapshot",
            "failures": {"max": 0, "then": "Rollback"},
            "maxPause": "168h",
            "watch": "24h",
            "nodeTimeMax": "1h20m",
            "prefetch": {"before": "12h", "bytesPerSecond": 2_097_152, "parallelPerZone": 5},
        },
        "disruption": {"reboots": 0, "restarts": 51, "drains": 51},
        "category": "Minor",
    })
}

/// As full, of a version that knew one way to reboot.
fn whole() -> Value {
    let mut value = full();
    value["execution"]["reboot"].as_object_mut().unwrap().remove("method");
    value
}

fn mitigation() -> Value {
    let mut value = full();
    let fields = value.as_object_mut().unwrap();
    fields.remove("classes");
    fields.insert("type".into(), "Mitigation".into());
    fields.insert(
        "mitigation".into(),
        json!({"stop": ["rpcbind.service"], "block": ["4433/udp"], "nodesMax": 51}),
    );
    value
}

fn exception() -> Value {
    let mut value = full();
    let fields = value.as_object_mut().unwrap();
    fields.remove("classes");
    fields.insert("type".into(), "Exception".into());
    fields.insert("exception".into(), json!({"until": "2027-01-31T00:00:00Z", "reason": "the vendor has no fix", "controls": ["no route to it"]}));
    value
}

#[test]
fn the_api_and_the_domain_have_one_json_for_a_plan() {
    for value in [full(), whole(), mitigation(), exception()] {
        let domain: Plan = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(&domain).unwrap(), value, "the domain keeps every field");
        let api = to_api(&domain).unwrap();
        assert_eq!(serde_json::to_value(&api).unwrap(), value, "the API keeps every field");
        let back = plan(&api).unwrap();
        assert_eq!(back, domain);
        assert_eq!(back.digest().unwrap(), domain.digest().unwrap());
    }
}

#[test]
fn the_digest_does_not_depend_on_the_order_of_keys() {
    fn turned(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let mut entries: Vec<_> =
                    fields.iter().map(|(key, value)| (key.clone(), turned(value))).collect();
                entries.reverse();
                entries.into_iter().collect::<serde_json::Map<_, _>>().into()
            }
            Value::Array(items) => items.iter().map(turned).collect(),
            other => other.clone(),
        }
    }
    let (a, b): (Plan, Plan) = (
        serde_json::from_value(full()).unwrap(),
        serde_json::from_str(&turned(&full()).to_string()).unwrap(),
    );
    assert_eq!(a.digest().unwrap(), b.digest().unwrap());
}

#[test]
fn anybody_can_recompute_the_digest_with_jq() {
    let tools = ["jq", "sha256sum"];
    if let Some(missing) =
        tools.iter().find(|tool| Command::new(tool).arg("--version").output().is_err())
    {
        return hozen_testkit::not_run(
            "anybody_can_recompute_the_digest_with_jq",
            &format!("install {missing}"),
        );
    }
    for value in [full(), mitigation(), exception()] {
        let plan: Plan = serde_json::from_value(value).unwrap();
        let request = json!({"spec": {"plan": to_api(&plan).unwrap()}});
        let mut shell = Command::new("sh")
            .args(["-c", "jq -cjS .spec.plan | sha256sum"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
        let said = String::from_utf8(shell.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!(format!("sha256-{}", &said[..64]), plan.digest().unwrap());
    }
}

#[test]
fn the_definition_lets_every_field_of_a_plan_through_and_fills_in_none() {
    for value in [full(), mitigation(), exception()] {
        let plan: Plan = serde_json::from_value(value.clone()).unwrap();
        let request = json!({
            "apiVersion": "hozen.dev/v1alpha1",
            "kind": "ChangeRequest",
            "metadata": {"name": "web-tier-7f3a9c"},
            "spec": {"plan": value, "planDigest": plan.digest().unwrap(), "requestedBy": "system:serviceaccount:hozen-system:hozen"},
        });
        let mut reader = Reader::new();
        reader.read("plan.json", &request.to_string());
        let read = reader.finish();
        // A field that the schema does not know would be told here, and pruned by a server.
        assert_eq!(read.problems, []);
        let Object::ChangeRequest(object) = &read.documents[0].object else {
            panic!("a change request")
        };
        let taken = change_request(object, jiff::Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(taken.digest, plan.digest().unwrap());
        assert_eq!(
            defaults(&read_schema()),
            Vec::<String>::new(),
            "a default would change what was approved"
        );
    }
}

#[test]
fn a_plan_that_was_changed_does_not_have_its_digest() {
    let plan: Plan = serde_json::from_value(full()).unwrap();
    let mut spec = to_api(&plan).unwrap();
    spec.emergency = false;
    let object = ChangeRequest::new(
        "web-tier-7f3a9c",
        ChangeRequestSpec {
            plan: spec,
            plan_digest: plan.digest().unwrap().to_string(),
            requested_by: "hozen".to_owned(),
            supersedes: None,
            because: None,
        },
    );
    let refused = change_request(&object, jiff::Timestamp::UNIX_EPOCH).unwrap_err();
    assert_eq!(refused[0].path, "spec.planDigest");
}

/// The schema of `spec.plan`.
fn read_schema() -> Value {
    let crd = all_crds().into_iter().find(|crd| crd.spec.names.kind == "ChangeRequest").unwrap();
    let schema = crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
    serde_json::to_value(
        &schema.properties.as_ref().unwrap()["spec"].properties.as_ref().unwrap()["plan"],
    )
    .unwrap()
}

/// Every field of a schema that has a default.
fn defaults(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    for (name, field) in fields {
        if field.get("default").is_some() {
            found.push(name.clone());
        }
        found.extend(defaults(field));
    }
    if let Some(items) = schema.get("items") {
        found.extend(defaults(items));
    }
    found
}
