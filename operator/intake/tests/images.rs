//! Images, the workloads that run them, and what their bills of materials say.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{fs, path::Path};

use hozen_domain::{
    World,
    assess::{State, assess},
    image::newer,
};
use hozen_intake::folder;
use regex::Regex;
use tempfile::TempDir;

const OLD: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const NEW: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn deployment(image: &str, more: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: shop{more}}}\nspec:\n  replicas: 3\n  \
         selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec: \
         {{containers: [{{name: web, image: \"{image}\"}}]}}\n---\n"
    )
}

fn pod(node: &str, owner: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{generateName: web-, namespace: shop, labels: {{app: web}}, ownerReferences: \
         [{{apiVersion: apps/v1, kind: {owner}, name: x, uid: y, controller: true}}]}}\nspec: {{nodeName: {node}, containers: []{more}}}\n\
         status: {{phase: Running, containerStatuses: [{{name: web, imageID: \"registry.example.com/shop/web@{OLD}\"}}]}}\n---\n"
    )
}

fn sbom(name: &str) -> String {
    format!(
        r#"{{"bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": {{"component": {{"type": "container", "name": "{name}"}}}},
 "components": [{{"type": "library", "name": "openssl", "version": "3.0.20-1~deb12u2", "purl": "pkg:deb/debian/openssl@3.0.20-1~deb12u2?arch=amd64&distro=debian-12"}}]}}"#
    )
}

fn world(files: &[(&str, String)]) -> (World, Vec<String>) {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let read = folder::read(folder.path(), "2026-11-19T00:14:00Z".parse().unwrap()).unwrap();
    (read.world, read.notes.iter().map(|note| note.message.clone()).collect())
}

#[test]
fn an_image_reference_is_taken_apart_with_port_tag_and_digest() {
    let image = format!("registry.example.com:5000/shop/web:1.2@{OLD}");
    let (world, _) = world(&[("web.yaml", deployment(&image, ""))]);
    let used = &world.workloads["Deployment/shop/web"].containers["web"];
    assert_eq!(used.repository, "registry.example.com:5000/shop/web");
    assert_eq!((used.tag.as_deref(), used.pinned.as_deref()), (Some("1.2"), Some(OLD)));
    assert_eq!(used.running.as_deref(), Some(OLD), "without pods what is written runs");
}

#[test]
fn what_runs_is_what_the_pods_say() {
    let text = deployment("registry.example.com/shop/web:1.2", "") + &pod("n1", "ReplicaSet", "");
    let (world, _) = world(&[("web.yaml", text)]);
    let used = &world.workloads["Deployment/shop/web"].containers["web"];
    assert_eq!((used.pinned.as_deref(), used.running.as_deref()), (None, Some(OLD)));
    assert!(world.images.contains_key(OLD), "every image that runs is known");
}

#[test]
fn a_bill_belongs_to_the_image_that_its_file_or_subject_names() {
    let text = deployment(&format!("registry.example.com/shop/web:1.2@{OLD}"), "");
    let by_name = format!("sboms/{}.json", OLD.replace(':', "-"));
    for (file, subject) in [
        (by_name.as_str(), "anything".to_owned()),
        ("sboms/web.json", format!("registry.example.com/shop/web@{OLD}")),
        ("sboms/web.json", "registry.example.com/shop/web:1.2".to_owned()),
    ] {
        let (world, notes) = world(&[("web.yaml", text.clone()), (file, sbom(&subject))]);
        let set = world.images[OLD].packages.as_ref().expect("it has a bill");
        assert_eq!(
            world.package_sets[set].packages[0].name, "openssl",
            "{file} {subject} {notes:?}"
        );
    }
}

#[test]
fn a_bill_of_no_image_is_left_out_and_a_broken_one_leaves_its_image_unknown() {
    let (_, notes) = world(&[("sboms/web.json", sbom("web"))]);
    assert!(notes[0].starts_with("names no image"), "{notes:?}");
    let file = format!("sboms/{}.json", NEW.replace(':', "-"));
    let (world, notes) = world(&[(file.as_str(), "{}".to_owned())]);
    assert!(world.images[NEW].packages.as_ref().unwrap_err().contains("cannot be read"));
    assert!(notes[0].ends_with("is unknown"), "{notes:?}");
}

#[test]
fn a_bill_that_lists_nothing_leaves_its_image_unknown() {
    let file = format!("sboms/{}.json", NEW.replace(':', "-"));
    let empty = r#"{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}"#;
    let (world, notes) = world(&[(file.as_str(), empty.to_owned())]);
    let why = world.images[NEW].packages.as_ref().unwrap_err();
    assert!(why.contains("lists no components"), "{why}");
    assert!(notes[0].ends_with("is unknown"), "{notes:?}");
}

#[test]
fn packages_that_a_bill_does_not_tell_are_named_and_make_no_image_that_lacks_a_weakness() {
    let file = format!("sboms/{}.json", NEW.replace(':', "-"));
    let broken = r#", {"type": "library", "name": "curl", "purl": "nonsense"}, {"type": "library", "name": "zlib1g"}]}"#;
    let (world, notes) = world(&[(file.as_str(), sbom("web").replace("]}", broken))]);
    let set = world.images[NEW].packages.as_ref().unwrap();
    assert_eq!(world.package_sets[set].packages.len(), 3, "what is known stays");
    assert!(world.blind(set).iter().any(|blind| blind.system && blind.packages == 2));
    assert!(notes[0].starts_with("2 components cannot be read"), "{notes:?}");
    assert!(notes[0].contains("(curl)") && notes[0].contains("(zlib1g)"), "{notes:?}");
}

/// The example with workloads, in which an image's bill is changed by `change`.
fn shop(bill: &str, change: impl Fn(&str) -> String) -> World {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/images");
    let to = TempDir::new().unwrap();
    fs::create_dir_all(to.path().join("sboms")).unwrap();
    for below in ["", "sboms"] {
        for entry in fs::read_dir(from.join(below)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), to.path().join(below).join(entry.file_name())).unwrap();
            }
        }
    }
    let path = to.path().join("sboms").join(bill);
    let text = fs::read_to_string(&path).unwrap();
    let changed = change(&text);
    assert!(text != changed, "{bill} is as it was");
    fs::write(path, changed).unwrap();
    folder::read(to.path(), "2026-11-20T00:00:00Z".parse().unwrap()).unwrap().world
}

/// A bill without its components.
fn emptied(text: &str) -> String {
    let all = Regex::new(r#"(?s)"components":\s*\[\s*\{"type":\s*"operating-system".*"#).unwrap();
    all.replace(text, r#""components": []}"#).into_owned()
}

/// A bill in which the package URLs of openssl and its libraries are written thus.
fn spoilt(text: &str, purl: &str) -> String {
    let url = Regex::new(r#""purl":\s*"pkg:deb/debian/(openssl|libssl3)@[^"]*""#).unwrap();
    url.replace_all(text, purl).into_owned()
}

#[test]
fn an_image_whose_bill_does_not_tell_all_is_never_compliant() {
    let missing = |text: &str| spoilt(text, r#""purl": """#);
    let broken = |text: &str| spoilt(text, r#""purl": "nonsense""#);
    for world in [
        shop("api-2026.38.json", emptied),
        shop("api-2026.38.json", missing),
        shop("api-2026.38.json", broken),
    ] {
        let assessment = assess(&world);
        assert_eq!(assessment.workloads.len(), 4);
        for (key, workload) in &assessment.workloads {
            assert!(matches!(workload.state, State::Unknown | State::Below), "{key}");
        }
    }
}

#[test]
fn an_image_whose_bill_does_not_tell_all_is_no_fix() {
    let fixes = |world: &World| {
        let old = world.images.values().find(|image| !image.used_by.is_empty()).unwrap();
        newer(world, "registry.example.com/shop/api", old).len()
    };
    let as_it_is = shop("api-2026.47.json", |text| format!("{text}\n"));
    assert_eq!(fixes(&as_it_is), 1);
    for purl in [r#""purl": """#, r#""purl": "nonsense""#] {
        assert_eq!(fixes(&shop("api-2026.47.json", |text| spoilt(text, purl))), 0);
    }
    assert_eq!(fixes(&shop("api-2026.47.json", emptied)), 0);
}

#[test]
fn the_tool_that_owns_a_template_is_known_by_its_marks() {
    for (marks, tool, owner) in [
        (
            ", annotations: {argocd.argoproj.io/tracking-id: 'shop:apps/Deployment:shop/web'}",
            "Argo CD",
            "shop",
        ),
        (", labels: {kustomize.toolkit.fluxcd.io/name: apps}", "Flux", "apps"),
        (
            ", labels: {app.kubernetes.io/managed-by: Helm}, annotations: {meta.helm.sh/release-name: web}",
            "Helm",
            "web",
        ),
    ] {
        let (world, _) = world(&[("web.yaml", deployment("r/web:1", marks))]);
        let owned = world.workloads["Deployment/shop/web"].managed_by.clone().unwrap();
        assert_eq!((owned.tool.as_str(), owned.owner.as_str()), (tool, owner));
    }
    let line = ", annotations: {argocd.argoproj.io/tracking-id: 'a:b', hozen.dev/git-source: 'apps/web.yaml:23'}";
    let (world, _) = world(&[("web.yaml", deployment("r/web:1", line))]);
    let owned = world.workloads["Deployment/shop/web"].managed_by.clone().unwrap();
    assert_eq!(owned.line.as_deref(), Some("apps/web.yaml:23"));
}

#[test]
fn a_drain_moves_what_daemons_and_the_kubelet_do_not_keep() {
    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n---\n";
    let scratch = ", volumes: [{name: tmp, emptyDir: {}}]";
    let budget = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: web, namespace: shop}\nspec: \
         {selector: {matchLabels: {app: web}}}\nstatus: {disruptionsAllowed: 0}\n---\n";
    let text = node.to_owned()
        + &pod("n1", "ReplicaSet", "")
        + &pod("n1", "ReplicaSet", scratch)
        + &pod("n1", "DaemonSet", "")
        + &pod("n2", "ReplicaSet", "")
        + budget;
    let (world, _) = world(&[("all.yaml", text)]);
    let pods = &world.nodes["n1"].pods;
    assert_eq!(pods.movable, 2);
    assert!(pods.empty_dir.as_ref().is_some_and(|such| such.pods == 1), "{pods:?}");
    assert_eq!(pods.unmanaged, None);
    assert_eq!(pods.blocked_by.as_deref(), Some("web"));
}

/// A baseline about the images of the shop.
const SHOP: &str = "apiVersion: hozen.dev/v1alpha1\nkind: Baseline\nmetadata: {name: shop}\nspec:\n  selector: {images: {repositories: \
    [registry.example.com/shop/]}}\n  asset: {businessImpact: High, exposure: Internet, owner: x@example.com}\n  approvalPolicy: p\n  rollout: \
    {stages: [{name: all, nodes: 100%}]}\n---\napiVersion: hozen.dev/v1alpha1\nkind: ApprovalPolicy\nmetadata: {name: p}\nspec:\n  \
    normal: {roles: [{name: a}], validFor: 336h}\n  emergency: {roles: [{name: a}], validFor: 24h}\n  exception: {roles: [{name: a}], \
    validFor: 24h}\n---\n";

#[test]
fn what_pods_run_that_no_workload_here_owns_is_known_and_told_where_a_baseline_is_about_images() {
    let alone = "apiVersion: v1\nkind: Pod\nmetadata: {name: debug, namespace: shop}\nspec: {containers: [{name: x, image: \"docker.io/x:1\"}, \
         {name: y, image: \"docker.io/y:1\"}]}\nstatus: {phase: Running, containerStatuses: [{name: x, imageID: \"\"}, {name: y, imageID: \
         \"docker.io/y@"
        .to_owned()
        + NEW
        + "\"}]}\n---\n";
    let text = SHOP.to_owned() + &alone + &pod("n1", "ReplicaSet", "");
    let (found, notes) = world(&[("all.yaml", text.clone())]);
    assert_eq!(found.images[NEW].used_by.iter().collect::<Vec<_>>(), ["Pod/shop/debug"]);
    assert_eq!(found.images[OLD].used_by.iter().collect::<Vec<_>>(), ["ReplicaSet/shop/x"]);
    let told = "Pod/shop/debug runs it, and no digest of it is told in its status: what is in it is not known";
    assert_eq!(notes, [told]);
    let (found, notes) = world(&[("all.yaml", text.replace(SHOP, ""))]);
    assert!(found.images.is_empty() && notes.is_empty(), "pods stand there for drains alone");
    // A workload's own pods are told with it.
    let owned = deployment("registry.example.com/shop/web:1.2", "") + &text;
    let (found, _) = world(&[("all.yaml", owned)]);
    assert_eq!(found.images[OLD].used_by.iter().collect::<Vec<_>>(), ["Deployment/shop/web"]);
}

#[test]
fn a_bill_belongs_to_the_image_that_it_names_by_a_digest_which_somebody_here_runs() {
    let text = deployment(&format!("registry.example.com/shop/web:1.2@{OLD}"), "");
    let properties = format!(
        r#""properties": [{{"name": "aquasecurity:trivy:RepoDigest", "value": "mirror.example.com/web@{NEW}"}},
        {{"name": "aquasecurity:trivy:RepoDigest", "value": "registry.example.com/shop/web@{OLD}"}}], "type": "container""#
    );
    for bill in [
        sbom("web").replace(r#""type": "container""#, &properties),
        sbom("registry.example.com/shop/web")
            .replace(r#""type": "container""#, r#""version": "1.2", "type": "container""#),
        sbom("web").replace(
            r#""type": "container""#,
            &format!(r#""version": "{OLD}", "type": "container""#),
        ),
    ] {
        let (found, notes) = world(&[("web.yaml", text.clone()), ("sboms/web.json", bill)]);
        assert!(found.images[OLD].packages.is_ok(), "{notes:?}");
        assert!(!found.images.contains_key(NEW), "nobody here runs it");
    }
    let (_, notes) = world(&[("sboms/web.xml", sbom("web"))]);
    assert!(notes[0].starts_with("is no bill of materials"), "{notes:?}");
}
