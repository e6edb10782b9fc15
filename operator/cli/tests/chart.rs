//! The chart: what is generated in it is current, it renders, and wrong values are told with what to write instead.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use hozen_testbed::programs::{Missing, Programs};

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/hozen")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// Helm, with folders of its own; nothing where it is not built.
fn helm(test: &str, arguments: &[&str]) -> Option<Output> {
    let programs = match Programs::find(Missing::Refuse) {
        Ok(programs) => programs,
        Err(why) => {
            hozen_testkit::not_run(test, &why.to_string());
            return None;
        }
    };
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(programs.path("helm"));
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(variable, home.path());
    }
    Some(command.args(arguments).output().unwrap())
}

fn template(test: &str, set: &[&str]) -> Option<Output> {
    let (chart, values) = (chart(), chart().join("ci/values.yaml"));
    let mut arguments = vec!["template", "hozen", chart.to_str().unwrap()];
    arguments.extend(["--namespace", "hozen-system", "--values", values.to_str().unwrap()]);
    for value in set {
        arguments.extend(["--set", value]);
    }
    helm(test, &arguments)
}

#[test]
fn what_the_chart_has_of_the_types_and_of_the_table_is_current() {
    let output = Command::new(env!("CARGO_BIN_EXE_hozen"))
        .args(["manifests", "--check"])
        .arg(chart())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_stale_chart_is_named_with_what_to_run() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_hozen"))
        .args(["manifests", "--check"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = said(&output);
    assert!(
        told.contains("templates/policies.yaml") && told.contains("hozen manifests --chart"),
        "{told}"
    );
}

#[test]
fn the_chart_is_free_of_what_helm_warns_of() {
    let (chart, values) = (chart(), chart().join("ci/values.yaml"));
    let arguments =
        ["lint", "--strict", chart.to_str().unwrap(), "--values", values.to_str().unwrap()];
    if let Some(output) = helm("chart::the_chart_is_free_of_what_helm_warns_of", &arguments) {
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn nothing_of_the_operator_is_privileged_and_the_token_is_where_the_host_is_not() {
    let Some(output) = template("chart::nothing_of_the_operator_is_privileged", &[]) else {
        return;
    };
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let objects: Vec<serde_json::Value> = serde_yaml::Deserializer::from_str(&text)
        .map(|document| serde::Deserialize::deserialize(document).unwrap())
        .collect();
    let spec = |kind: &str| {
        let found = objects.iter().find(|object| object["kind"] == kind).unwrap();
        found["spec"]["template"]["spec"].clone()
    };
    let operator = spec("Deployment");
    let container = &operator["containers"][0];
    assert_eq!(operator["securityContext"]["runAsNonRoot"], true);
    assert_eq!(operator["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
    assert!(container["image"].as_str().unwrap().contains("@sha256:"));
    for field in ["hostNetwork", "hostPID", "hostIPC", "volumes"] {
        assert!(operator[field].is_null(), "{field}");
    }
    let scanner = spec("DaemonSet");
    assert_eq!(scanner["automountServiceAccountToken"], false);
    let mounts = |index: usize| {
        let mounts = scanner["containers"][index]["volumeMounts"].as_array().unwrap();
        mounts.iter().map(|mount| mount["name"].as_str().unwrap()).collect::<Vec<_>>()
    };
    let wanted = ["host", "indices", "programs", "shared", "scratch"];
    assert_eq!(mounts(0), wanted, "who sees the host holds no token");
    assert_eq!(mounts(1), ["shared", "token"], "who holds the token sees no host");
    for number in [0, 2] {
        let mount = &scanner["containers"][0]["volumeMounts"][number];
        assert_eq!(mount["readOnly"], true, "{mount}: nothing of the host is written to");
    }
}

#[test]
fn credentials_of_a_private_registry_reach_operator_scanner_and_patch_jobs() {
    let test = "chart::credentials_of_a_private_registry";
    let Some(output) = template(test, &["imagePullSecrets[1].name=mirror"]) else { return };
    let told = said(&output);
    assert!(output.status.success(), "{told}");
    let argument = |name: &str| told.contains(&format!("- --image-pull-secret={name}\n"));
    assert!(argument("registry") && argument("mirror"), "the operator gives them to its Jobs");
    assert_eq!(told.matches("imagePullSecrets:").count(), 2, "of operator and scanner");
}

#[test]
fn a_scanner_that_leaves_repositories_alone_still_asks_the_hosts_package_manager() {
    let test = "chart::a_scanner_that_leaves_repositories_alone";
    let Some(output) = template(test, &["scanner.refresh="]) else { return };
    let manifests = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && manifests.contains("[scan, --watch]"));
    assert!(!manifests.contains("--refresh"));
    for word in ["SYS_CHROOT", "mountPath: /indices/usr"] {
        assert!(manifests.contains(word), "{word}");
    }
}

#[test]
fn both_containers_of_a_scanner_have_one_selinux_level_and_its_type_can_be_left_out() {
    let test = "chart::both_containers_of_a_scanner_have_one_selinux_level";
    let Some(plain) = objects(test, &[]) else { return };
    let pod = |objects: &[serde_json::Value]| {
        of_kind(objects, "DaemonSet")[0]["spec"]["template"]["spec"].clone()
    };
    let scan =
        |pod: &serde_json::Value| pod["containers"][0]["securityContext"]["seLinuxOptions"].clone();
    let of_plain = pod(&plain);
    // What the container says takes the place of what the pod says as a whole.
    assert_eq!(scan(&of_plain), serde_json::json!({"type": "spc_t", "level": "s0"}));
    let level = serde_json::json!({"level": "s0"});
    assert_eq!(of_plain["securityContext"]["seLinuxOptions"], level);
    let report = &of_plain["containers"][1];
    assert!(report["securityContext"]["seLinuxOptions"].is_null(), "the pod's stands for it");
    assert_eq!(report["resources"]["limits"]["memory"], "256Mi");

    let none = pod(&objects(test, &["scanner.seLinuxType="]).unwrap());
    assert!(scan(&none).is_null() && none["securityContext"]["seLinuxOptions"].is_null());
    let own = pod(&objects(test, &["scanner.seLinuxType=super_t"]).unwrap());
    assert_eq!(scan(&own)["type"], "super_t");
}

#[test]
fn accounts_of_snapshots_may_enter_hosts_in_hozens_namespace_and_may_nothing_else() {
    let Some(output) = template("chart::accounts_of_snapshots_may_enter_hosts", &[]) else {
        return;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let objects: Vec<serde_json::Value> = serde_yaml::Deserializer::from_str(&text)
        .map(|document| serde::Deserialize::deserialize(document).unwrap())
        .collect();
    let named: Vec<(&str, &str)> = objects
        .iter()
        .filter(|object| object["metadata"]["name"] == "hozen-enter")
        .map(|o| (o["kind"].as_str().unwrap(), o["metadata"]["namespace"].as_str().unwrap()))
        .collect();
    assert_eq!(named, [("Role", "hozen-system"), ("RoleBinding", "hozen-system")]);
    let of_account = objects.iter().filter(|o| o["subjects"].to_string().contains("lvm-snapshot"));
    assert_eq!(of_account.count(), 1);
    let role =
        objects.iter().find(|o| o["kind"] == "Role" && o["metadata"]["name"] == "hozen-enter");
    let enter = serde_json::json!([{"apiGroups": ["hozen.dev"], "resources": ["hosts"], "verbs": ["enter"]}]);
    assert_eq!(role.unwrap()["rules"], enter);
    let none =
        template("chart::accounts_of_snapshots_may_enter_hosts", &["snapshots.accounts=null"]);
    assert!(!String::from_utf8(none.unwrap().stdout).unwrap().contains("hozen-enter"));
}

/// The objects of the chart with these values.
fn objects(test: &str, set: &[&str]) -> Option<Vec<serde_json::Value>> {
    let output = template(test, set)?;
    assert!(output.status.success(), "{}", said(&output));
    let rendered = String::from_utf8(output.stdout).unwrap();
    let documents = serde_yaml::Deserializer::from_str(&rendered);
    Some(documents.map(|document| serde::Deserialize::deserialize(document).unwrap()).collect())
}

fn of_kind<'o>(objects: &'o [serde_json::Value], kind: &str) -> Vec<&'o serde_json::Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

#[test]
fn the_audit_trail_is_on_standard_output_or_on_one_volume_with_one_writer() {
    let test = "chart::the_audit_trail_is_on_standard_output_or_on_one_volume";
    let arguments = |objects: &[serde_json::Value]| {
        let operator = of_kind(objects, "Deployment")[0];
        operator["spec"]["template"]["spec"]["containers"][0]["args"].to_string()
    };
    let Some(plain) = objects(test, &[]) else { return };
    assert!(!arguments(&plain).contains("--audit"));
    assert!(of_kind(&plain, "PersistentVolumeClaim").is_empty());
    assert!(
        of_kind(&plain, "Deployment")[0]["spec"]["strategy"].is_null(),
        "a standby is there at once"
    );

    let one = "operator.replicas=1";
    let made = objects(test, &[one, "operator.audit.size=2Gi", "operator.audit.storageClass=slow"]);
    let made = made.unwrap();
    assert!(arguments(&made).contains("--audit=/audit/hozen-audit.jsonl"));
    let claims = of_kind(&made, "PersistentVolumeClaim");
    assert_eq!(claims.len(), 1);
    let spec = &claims[0]["spec"];
    assert_eq!(spec["accessModes"], serde_json::json!(["ReadWriteOnce"]));
    assert_eq!(spec["resources"]["requests"]["storage"], "2Gi");
    assert_eq!(spec["storageClassName"], "slow");
    assert_eq!(claims[0]["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    let operator = &of_kind(&made, "Deployment")[0]["spec"];
    assert_eq!(operator["strategy"]["type"], "Recreate", "a file has one writer");
    let pod = &operator["template"]["spec"];
    assert_eq!(pod["volumes"][0]["persistentVolumeClaim"]["claimName"], "hozen-audit");
    assert_eq!(pod["containers"][0]["volumeMounts"][0]["mountPath"], "/audit");

    let theirs = objects(test, &[one, "operator.audit.existingClaim=trail"]).unwrap();
    assert!(of_kind(&theirs, "PersistentVolumeClaim").is_empty());
    let pod = &of_kind(&theirs, "Deployment")[0]["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][0]["persistentVolumeClaim"]["claimName"], "trail");

    let both = &[one, "operator.audit.existingClaim=trail", "operator.audit.size=1Gi"];
    let both = said(&template(test, both).unwrap());
    assert!(both.contains("leave size out to use the claim that is there"), "{both}");
}

#[test]
fn how_much_history_is_kept_reaches_the_operator() {
    let test = "chart::how_much_history_is_kept_reaches_the_operator";
    let set = ["operator.history.days=400", "operator.history.max=7"];
    let Some(objects) = objects(test, &set) else { return };
    let pod = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"];
    let arguments = pod["containers"][0]["args"].to_string();
    assert!(arguments.contains("--history-days=400") && arguments.contains("--history-max=7"));
}

#[test]
fn wrong_values_are_told_with_their_place_and_what_to_write() {
    for (set, words) in [
        ("agent.image.digest=latest", "/agent/image/digest"),
        (
            "agent.image.digest=",
            "agent.image.digest is missing: write the digest of the image, sha256: and 64 hex digits",
        ),
        ("image.digest=", "image.digest is missing"),
        ("operator.replicas=0", "/operator/replicas"),
        ("operator.history.days=7", "/operator/history/days"),
        ("operator.audit.size=much", "/operator/audit/size"),
        (
            "operator.audit.size=1Gi",
            "a trail's file has one writer: write operator.replicas: 1, or leave operator.audit out",
        ),
        ("replicas=3", "'replicas'"),
        (
            "work.namespace=hozen-system",
            "work.namespace is the namespace of the release: write another",
        ),
        ("work.namespace=Hozen_Work", "/work/namespace"),
        ("imagePullPolicy=Sometimes", "/imagePullPolicy"),
        ("scanner.refresh=5m", "/scanner/refresh"),
        ("scanner.seLinuxType=a b", "/scanner/seLinuxType"),
        ("authors[0].kind=Team", "/authors/0/kind"),
        ("snapshots.accounts[0]=hozen", "/snapshots/accounts/0"),
    ] {
        let Some(output) = template("chart::wrong_values_are_told", &[set]) else { return };
        assert!(!output.status.success(), "{set} passed");
        assert!(said(&output).contains(words), "{set}: {}", said(&output));
    }
}
