//! Workloads, by the operator's stolen token; and what is said to be in an image.

use serde_json::{Value, json};

use crate::{
    cases::{
        Act::{self, Create, Delete, Json, Merge, Status},
        Answer::{Allowed, Refused},
        Case, Target, V1,
        Who::{Admin, Carol, Mallory, Operator},
        cases,
    },
    objects::{digest, ours},
};

const WEB: Target = ("apps/v1", "Deployment", Some("default"));
const NIGHTLY: Target = ("batch/v1", "CronJob", Some("default"));
const IMAGE: Target = (V1, "ManagedImage", None);
/// The image that stands: its digest is sixty-four times a.
const OURS: &str = "sha256-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const ONLY_IMAGES: &str = "of a workload's spec the operator changes images of containers only";
const ONLY_DIGESTS: &str = "the operator moves an image to a digest of the same repository";

fn pod(port: bool) -> Value {
    let registry = if port { "registry.example.com:5000" } else { "registry.example.com" };
    json!({
        "restartPolicy": if port { "OnFailure" } else { "Always" },
        "initContainers": [{"name": "migrate", "image": format!("{registry}/shop/migrate:1")}],
        "containers": [
            {"name": "web", "image": format!("{registry}/shop/web:1.2"), "env": [{"name": "MODE", "value": "shop"}]},
            {"name": "side", "image": format!("{registry}/shop/side")},
        ],
    })
}

pub fn deployment() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "annotations": {"owner": "shop"}},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod(false)}}})
}

pub fn cron_job() -> Value {
    json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly", "namespace": "default"},
        "spec": {"schedule": "0 2 * * *", "suspend": true,
            "jobTemplate": {"spec": {"template": {"spec": pod(true)}}}}})
}

fn image_digest(of: char) -> String {
    digest(of).replace('-', ":")
}

pub fn managed_image() -> Value {
    ours("ManagedImage", &digest('a'), &json!({"digest": image_digest('a')}))
}

/// Steps of a JSON patch, each a replacement.
fn steps(target: Target, name: &'static str, steps: &[(&str, Value)]) -> Act {
    let steps =
        steps.iter().map(|(path, value)| json!({"op": "add", "path": path, "value": value}));
    Json(target, name, steps.collect())
}

fn web(path: &str, value: Value) -> Act {
    steps(WEB, "web", &[(path, value)])
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub fn all() -> Vec<Case> {
    let pinned = |repository: &str| json!(format!("{repository}@{}", image_digest('b')));
    let in_pod = "/spec/template/spec";
    let container = "/spec/template/spec/containers/0";
    let image = "/spec/template/spec/containers/0/image";
    let of_cron = "/spec/jobTemplate/spec/template/spec/containers/0/image";
    let says =
        |packages: char| Merge(IMAGE, OURS, json!({"spec": {"packageSet": digest(packages)}}));
    let moved = steps(
        WEB,
        "web",
        &[
            (image, pinned("registry.example.com/shop/web")),
            ("/spec/template/spec/containers/1/image", pinned("registry.example.com/shop/side")),
            (
                "/spec/template/spec/initContainers/0/image",
                pinned("registry.example.com/shop/migrate"),
            ),
            ("/metadata/annotations/hozen.dev~1image-move", json!("{}")),
        ],
    );
    let mut all = cases(
        "Workloads, by the operator's stolen token",
        vec![
            (
                "the operator moves images to digests and leaves its record",
                Operator,
                moved,
                Allowed,
            ),
            (
                "it moves the image of a CronJob, whose registry has a port",
                Operator,
                steps(
                    NIGHTLY,
                    "nightly",
                    &[(of_cron, pinned("registry.example.com:5000/shop/web"))],
                ),
                Allowed,
            ),
            (
                "it moves an image to a tag",
                Operator,
                web(image, json!("registry.example.com/shop/web:1.3")),
                Refused(ONLY_DIGESTS),
            ),
            (
                "it moves an image to another repository",
                Operator,
                web(image, pinned("evil.example.com/shop/web")),
                Refused(ONLY_DIGESTS),
            ),
            (
                "it moves an image to a repository whose name begins alike",
                Operator,
                web(image, pinned("registry.example.com/shop/we")),
                Refused(ONLY_DIGESTS),
            ),
            (
                "it takes the port of a registry for a tag",
                Operator,
                steps(NIGHTLY, "nightly", &[(of_cron, pinned("registry.example.com"))]),
                Refused(ONLY_DIGESTS),
            ),
            (
                "it changes a command beside the image",
                Operator,
                steps(
                    WEB,
                    "web",
                    &[
                        (image, pinned("registry.example.com/shop/web")),
                        ("/spec/template/spec/containers/0/command", json!(["sh"])),
                    ],
                ),
                Refused(ONLY_DIGESTS),
            ),
            (
                "it changes the environment of a container",
                Operator,
                web(&format!("{container}/env/0/value"), json!("evil")),
                Refused(ONLY_DIGESTS),
            ),
            (
                "it gives a container privilege",
                Operator,
                web(&format!("{container}/securityContext"), json!({"privileged": true})),
                Refused(ONLY_DIGESTS),
            ),
            (
                "it adds a container",
                Operator,
                web(
                    &format!("{in_pod}/containers/-"),
                    json!({"name": "evil", "image": pinned("registry.example.com/shop/web")}),
                ),
                Refused(ONLY_DIGESTS),
            ),
            (
                "it adds an init container of a known name",
                Operator,
                web(
                    &format!("{in_pod}/initContainers/-"),
                    json!({"name": "evil", "image": "registry.example.com/shop/migrate:1"}),
                ),
                Refused(ONLY_DIGESTS),
            ),
            (
                "it removes a container",
                Operator,
                Merge(
                    WEB,
                    "web",
                    json!({"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "registry.example.com/shop/side"}]}}}}),
                ),
                Refused(ONLY_DIGESTS),
            ),
            (
                "it mounts the host",
                Operator,
                web(
                    &format!("{in_pod}/volumes"),
                    json!([{"name": "host", "hostPath": {"path": "/"}}]),
                ),
                Refused(ONLY_IMAGES),
            ),
            (
                "it shares the host's processes",
                Operator,
                web(&format!("{in_pod}/hostPID"), json!(true)),
                Refused(ONLY_IMAGES),
            ),
            (
                "it gives the pods another account",
                Operator,
                web(&format!("{in_pod}/serviceAccountName"), json!("admin")),
                Refused(ONLY_IMAGES),
            ),
            (
                "it annotates the pods",
                Operator,
                web("/spec/template/metadata/annotations", json!({"hozen.dev/x": "y"})),
                Refused(ONLY_IMAGES),
            ),
            (
                "it scales a workload",
                Operator,
                web("/spec/replicas", json!(7)),
                Refused(ONLY_IMAGES),
            ),
            (
                "it pauses a workload",
                Operator,
                web("/spec/paused", json!(true)),
                Refused(ONLY_IMAGES),
            ),
            (
                "it wakes a CronJob",
                Operator,
                steps(NIGHTLY, "nightly", &[("/spec/suspend", json!(false))]),
                Refused(ONLY_IMAGES),
            ),
            (
                "it lets the Jobs of a CronJob run for ever",
                Operator,
                steps(NIGHTLY, "nightly", &[("/spec/jobTemplate/spec/backoffLimit", json!(99))]),
                Refused(ONLY_IMAGES),
            ),
            (
                "it writes another's annotation",
                Operator,
                web("/metadata/annotations/owner", json!("evil")),
                Refused("of the annotations the operator changes those of hozen.dev only"),
            ),
            (
                "it changes labels",
                Operator,
                web("/metadata/labels", json!({"evil": "true"})),
                Refused("changes no labels, owners or finalizers of a workload"),
            ),
            (
                "it writes a workload's status",
                Operator,
                Status(WEB, "web", json!({"status": {"readyReplicas": 3, "replicas": 3}})),
                Refused("does not write their status"),
            ),
            (
                "it removes a workload",
                Operator,
                Delete(WEB, "web"),
                Refused("neither makes, scales nor removes workloads"),
            ),
            (
                "it makes a workload",
                Operator,
                Create(deployment()),
                Refused("neither makes, scales nor removes workloads"),
            ),
            (
                "the administrator scales as ever",
                Admin,
                Merge(WEB, "web", json!({"spec": {"replicas": 0, "paused": true}})),
                Allowed,
            ),
        ],
    );
    let packages = json!({"packages": ["pkg:deb/debian/openssl@3.0.20-1~deb12u2?arch=amd64&distro=debian-12"]});
    all.extend(cases(
        "What is in an image",
        vec![
            ("carol, who may import, says what is in an image", Carol, says('b'), Allowed),
            (
                "carol brings its packages",
                Carol,
                Create(ours("PackageSet", &digest('c'), &packages)),
                Allowed,
            ),
            (
                "mallory says that an image has nothing to mend",
                Mallory,
                says('b'),
                Refused("managedimages"),
            ),
            (
                "mallory brings an image of her own",
                Mallory,
                Create(ours("ManagedImage", &digest('b'), &json!({"digest": image_digest('b')}))),
                Refused("managedimages are written by Hozen alone"),
            ),
            (
                "the operator says what is in an image",
                Operator,
                says('b'),
                Refused("the operator does not say what is in an image"),
            ),
            (
                "mallory writes that an image is compliant",
                Mallory,
                Status(IMAGE, OURS, json!({"status": {"state": "Compliant"}})),
                Refused("the status of managedimages is what Hozen saw"),
            ),
            (
                "carol removes an image from sight",
                Carol,
                Delete(IMAGE, OURS),
                Refused("managedimages are written by Hozen alone"),
            ),
        ],
    ));
    all
}
