//! The kinds that the server serves: those that every server has, and those of its `CustomResourceDefinition`s.

use std::sync::Arc;

use serde_json::Value;

use crate::{json::text, schema::Schema};

/// One kind.
#[derive(Clone, Debug)]
pub struct Kind {
    /// API group; empty for the core.
    pub group: String,
    /// Version.
    pub version: String,
    /// As the kind is called in a path.
    pub plural: String,
    /// As it is called in an object.
    pub kind: String,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// Whether its status is written apart.
    pub status: bool,
    /// Whether its generation counts changes of the spec.
    pub counted: bool,
    /// Where it was defined by an object: its schema.
    pub schema: Option<Arc<Schema>>,
}

impl Kind {
    /// Whether somebody defined it: such kinds take no PUT without resource version, and no strategic patch (S2, S3).
    pub const fn custom(&self) -> bool {
        self.schema.is_some()
    }

    /// `apiVersion` of its objects.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `plural.group`, as messages name it.
    pub fn resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// The kind that a `CustomResourceDefinition` defines: its storage version. None: it has none.
    pub fn defined_by(definition: &Value) -> Option<Self> {
        let versions = definition.pointer("/spec/versions")?.as_array()?;
        let version = versions.iter().find(|version| version["storage"] == true)?;
        Some(Self {
            group: text(definition, "/spec/group")?.to_owned(),
            version: text(version, "/name")?.to_owned(),
            plural: text(definition, "/spec/names/plural")?.to_owned(),
            kind: text(definition, "/spec/names/kind")?.to_owned(),
            namespaced: text(definition, "/spec/scope")? == "Namespaced",
            status: version.pointer("/subresources/status").is_some(),
            counted: true,
            schema: Some(Arc::new(Schema::new(version.pointer("/schema/openAPIV3Schema")?))),
        })
    }
}

/// Group, version, plural, kind, namespaced, status apart, counted.
type BuiltIn = (&'static str, &'static str, &'static str, &'static str, bool, bool, bool);

const ADMISSION: &str = "admissionregistration.k8s.io";
/// What every server has, as far as anybody here asks for it.
const BUILT_IN: [BuiltIn; 22] = [
    ("", "v1", "namespaces", "Namespace", false, true, false),
    ("", "v1", "nodes", "Node", false, true, false),
    ("", "v1", "pods", "Pod", true, true, false),
    ("", "v1", "podtemplates", "PodTemplate", true, false, false),
    ("", "v1", "configmaps", "ConfigMap", true, false, false),
    ("", "v1", "secrets", "Secret", true, false, false),
    ("", "v1", "serviceaccounts", "ServiceAccount", true, false, false),
    ("batch", "v1", "jobs", "Job", true, true, true),
    ("batch", "v1", "cronjobs", "CronJob", true, true, true),
    ("apps", "v1", "deployments", "Deployment", true, true, true),
    ("apps", "v1", "replicasets", "ReplicaSet", true, true, true),
    ("apps", "v1", "statefulsets", "StatefulSet", true, true, true),
    ("apps", "v1", "daemonsets", "DaemonSet", true, true, true),
    ("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", true, true, true),
    ("coordination.k8s.io", "v1", "leases", "Lease", true, false, false),
    ("events.k8s.io", "v1", "events", "Event", true, false, false),
    (
        ADMISSION,
        "v1",
        "validatingadmissionpolicies",
        "ValidatingAdmissionPolicy",
        false,
        true,
        true,
    ),
    (
        ADMISSION,
        "v1",
        "validatingadmissionpolicybindings",
        "ValidatingAdmissionPolicyBinding",
        false,
        false,
        true,
    ),
    ("rbac.authorization.k8s.io", "v1", "roles", "Role", true, false, false),
    ("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", false, false, false),
    ("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", true, false, false),
    (
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        false,
        true,
        true,
    ),
];

/// All kinds; the place of one in the list never changes.
#[derive(Clone, Debug)]
pub struct Kinds(Vec<Arc<Kind>>);

impl Default for Kinds {
    fn default() -> Self {
        let built_in =
            BUILT_IN.map(|(group, version, plural, kind, namespaced, status, counted)| {
                let (group, version) = (group.to_owned(), version.to_owned());
                let (plural, kind) = (plural.to_owned(), kind.to_owned());
                Arc::new(Kind {
                    group,
                    version,
                    plural,
                    kind,
                    namespaced,
                    status,
                    counted,
                    schema: None,
                })
            });
        Self(built_in.to_vec())
    }
}

impl Kinds {
    /// The place of a kind by its path.
    pub fn find(&self, group: &str, plural: &str) -> Option<usize> {
        self.0.iter().position(|kind| kind.group == group && kind.plural == plural)
    }

    /// The place of a kind by what its objects say.
    pub fn of(&self, api_version: &str, kind: &str) -> Option<usize> {
        self.0.iter().position(|known| known.kind == kind && known.api_version() == api_version)
    }

    /// The kind at a place.
    pub fn at(&self, place: usize) -> Arc<Kind> {
        Arc::clone(&self.0[place])
    }

    /// Every place.
    pub fn places(&self) -> std::ops::Range<usize> {
        0..self.0.len()
    }

    /// Takes a kind in, or a newer form of one that is known.
    pub fn define(&mut self, kind: Kind) {
        match self.find(&kind.group, &kind.plural) {
            Some(place) => self.0[place] = Arc::new(kind),
            None => self.0.push(Arc::new(kind)),
        }
    }
}
