//! Three Deployments of one image, a baseline over them, and the images that come.

use hozen_advisory::package::PackageSet;
use hozen_api::{
    advisory::Advisory, approval_policy::ApprovalPolicy, baseline::Baseline,
    managed_image::ManagedImage, names::annotation, package_set,
};
use k8s_openapi::{
    api::apps::v1::Deployment,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::cluster::{Cluster, with_kind};

const REPOSITORY: &str = "registry.example.com/shop/web";
/// The images, by the digit that their digests are made of.
pub const OLD: char = '1';
pub const NEW: char = '2';
pub const BAD: char = '3';
pub const NEXT: char = '4';
pub const OTHER: char = '5';

/// The digest of an image.
pub fn image(of: char) -> String {
    format!("sha256:{}", of.to_string().repeat(64))
}

/// The image as a template names it by digest.
pub fn pinned(of: char) -> String {
    format!("{REPOSITORY}@{}", image(of))
}

pub struct Shop;

fn packages(version: &str) -> PackageSet {
    hozen_testkit::sourced("Debian:12", &[("libssl3", "openssl", version)])
}

impl Shop {
    pub async fn open(cluster: &Cluster) -> Self {
        cluster
            .apply(&with_kind::<ApprovalPolicy>(
                json!({"metadata": {"name": "production"}, "spec": {
                    "normal": {"roles": [{"name": "platform"}], "validFor": "336h"},
                    "emergency": {"roles": [{"name": "on-call"}], "validFor": "24h"},
                    "exception": {"roles": [{"name": "security"}], "validFor": "2160h"},
                }}),
            ))
            .await;
        cluster
            .apply(&with_kind::<Baseline>(json!({"metadata": {"name": "shop"}, "spec": {
                "selector": {"images": {"repositories": ["registry.example.com/shop/"]}},
                "asset": {"businessImpact": "High", "exposure": "Internet", "owner": "shop@example.com"},
                "approvalPolicy": "production",
                "rollout": {
                    "stages": [
                        {"name": "canary", "nodes": 1, "maxUnavailable": 1, "soak": "2s"},
                        {"name": "rest", "nodes": "100%", "maxUnavailable": 1},
                    ],
                    "failures": {"max": 0, "then": "Rollback"}, "watch": "1s",
                },
            }})))
            .await;
        for name in ["admin", "blog", "web"] {
            cluster.apply(&deployment(name)).await;
        }
        let shop = Self;
        shop.advisory(cluster, "dsa-6123-1", "3.0.22-1~deb12u2").await;
        shop
    }

    pub async fn advisory(&self, cluster: &Cluster, name: &str, fixed: &str) {
        cluster
            .apply(&with_kind::<Advisory>(json!({"metadata": {"name": name}, "spec": {
                "id": name.to_uppercase(), "summary": "openssl: use after free",
                "severity": {"cvss": ["CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"]},
                "exploitation": {"knownExploited": {"since": "2026-11-19"}, "epss": "0.71"},
                "affected": [{"package": {"purl": "pkg:deb/debian/openssl?distro=bookworm"},
                    "ranges": [{"introduced": "0", "fixed": fixed}]}],
            }})))
            .await;
    }

    /// trivy-operator's kind, and its report of one image.
    pub async fn bill_of(&self, cluster: &Cluster, of: char, version: &str) {
        cluster
            .apply(&with_kind::<CustomResourceDefinition>(json!({
                "metadata": {"name": "sbomreports.aquasecurity.github.io"},
                "spec": {"group": "aquasecurity.github.io", "scope": "Namespaced",
                    "names": {"kind": "SbomReport", "plural": "sbomreports", "singular": "sbomreport", "listKind": "SbomReportList"},
                    "versions": [{"name": "v1alpha1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                        {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
            })))
            .await;
        let purl = format!(
            "pkg:deb/debian/libssl3@{version}?arch=amd64&distro=debian-12&upstream=openssl%40{version}"
        );
        let about =
            format!("pkg:oci/web@{}?repository_url=registry.example.com%2Fshop%2Fweb", image(of));
        cluster
            .apply(&json!({
                "apiVersion": "aquasecurity.github.io/v1alpha1", "kind": "SbomReport",
                "metadata": {"name": "replicaset-web-web", "namespace": "shop"},
                "report": {
                    "artifact": {"repository": "shop/web", "tag": "1.1.0", "digest": image('9')},
                    "registry": {"server": "registry.example.com"},
                    "components": {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
                        "metadata": {"component": {"type": "container", "name": "shop/web:1.1.0", "purl": about}},
                        "components": [{"type": "library", "name": "libssl3", "version": version, "purl": purl}]},
                },
            }))
            .await;
    }

    /// What `hozen image import` records.
    pub async fn import(&self, cluster: &Cluster, of: char, version: &str, created: &str) {
        let set = packages(version);
        let lines: Vec<String> = set.texts().concat().lines().map(str::to_owned).collect();
        let object = json!({"metadata": {"name": set.digest}, "spec": {"packages": lines}});
        cluster.apply(&with_kind::<package_set::PackageSet>(object)).await;
        let digest = image(of);
        cluster
            .apply(&with_kind::<ManagedImage>(json!({"metadata": {"name": digest.replace(':', "-")}, "spec": {
                "digest": digest, "repositories": [REPOSITORY], "tag": format!("1.{of}.0"), "created": created,
                "packageSet": set.digest,
            }})))
            .await;
    }

    async fn deployment(&self, cluster: &Cluster, name: &str) -> Deployment {
        Api::namespaced(cluster.client.clone(), "shop").get(name).await.unwrap()
    }

    /// What the template names.
    pub async fn image(&self, cluster: &Cluster, name: &str) -> String {
        let found = self.deployment(cluster, name).await;
        found.spec.template.spec.unwrap().containers[0].image.clone().unwrap()
    }

    /// Our record on it.
    pub async fn record(&self, cluster: &Cluster, name: &str) -> String {
        let found = self.deployment(cluster, name).await;
        found.annotations().get(annotation::IMAGE_MOVE).cloned().unwrap_or_default()
    }

    /// A person sets an image.
    pub async fn set_image(&self, cluster: &Cluster, name: &str, image: &str) {
        let api: Api<Deployment> = Api::namespaced(cluster.client.clone(), "shop");
        let change = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}});
        api.patch(name, &PatchParams::default(), &Patch::Strategic(change)).await.unwrap();
    }
}

fn deployment(name: &str) -> Value {
    let mut object = with_kind::<Deployment>(json!({
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"replicas": 2, "progressDeadlineSeconds": 5, "minReadySeconds": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "web", "image": format!("{REPOSITORY}:1.1.0")}]}}},
    }));
    if name == "blog" {
        object["metadata"]["annotations"] = json!({
            "argocd.argoproj.io/tracking-id": "blog:apps/Deployment:shop/blog",
            annotation::GIT_SOURCE: "apps/blog/web.yaml:23",
        });
    }
    object
}
