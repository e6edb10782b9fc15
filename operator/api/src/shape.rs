//! Shapes of strings that recur in the schemas: `#[schemars(with = "shape::Name")]` on a `String` field.
//!
//! Every string is bounded (the API server estimates what a CEL rule can cost from the bounds, and etcd has to hold the
//! object), every pattern is anchored and free of control characters, and every shape has an example: a message that says
//! how to write it is worth more than the pattern.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Declares marker types that stand for a bounded string in a schema.
macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident: $min:literal..=$max:literal, $example:literal $(, $pattern:literal)?;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "minLength": $min,
                    "maxLength": $max,
                    "example": $example,
                    $("pattern": $pattern)?
                })
            }
        }
    )*};
}

shapes! {
    /// Name of a cluster object: DNS subdomain of RFC 1123.
    Name: 1..=253, "web-tier", r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
    /// Name of an entry in a list: DNS label of RFC 1123.
    Label: 1..=63, "canary", r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
    /// Key of a Kubernetes label: an optional DNS prefix and a name.
    LabelKey: 1..=317, "topology.kubernetes.io/zone", r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";
    /// Value of a Kubernetes label.
    LabelValue: 0..=63, "web", r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";
    /// `metadata.uid` of an object.
    Uid: 1..=64, "6f1c1c5e-0e1b-4c55-9d3f-0d6f3a2b1c4d", r"^[A-Za-z0-9-]+$";
    /// Content digest in the form of an object's name.
    Digest: 71..=71, "sha256-9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", r"^sha256-[0-9a-f]{64}$";
    /// Digest of an image, in the registries' form.
    ImageDigest: 71..=71, "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", r"^sha256:[0-9a-f]{64}$";
    /// Image repository without tag and digest.
    Repository: 1..=255, "registry.example.com/shop/web", r"^[a-z0-9]([a-zA-Z0-9._:-]*[a-z0-9])?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$";
    /// Image repository, or a prefix of one ended by a slash.
    RepositoryPrefix: 1..=255, "registry.example.com/shop/", r"^[a-z0-9]([a-zA-Z0-9._:-]*[a-z0-9])?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*/?$";
    /// Duration in Go's form: hours, minutes, seconds.
    Duration: 2..=16, "90m", r"^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$";
    /// Size in bytes with an optional binary or decimal suffix.
    Quantity: 1..=16, "2Mi", r"^[0-9]{1,12}(Ki|Mi|Gi|Ti|k|M|G|T)?$";
    /// Decimal number, as a string because Kubernetes has no portable fractions.
    Decimal: 1..=24, "0.5", r"^-?[0-9]{1,12}(\.[0-9]{1,9})?$";
    /// Probability, as a decimal string.
    Probability: 1..=12, "0.71", r"^(0(\.[0-9]{1,9})?|1(\.0{1,9})?)$";
    /// Number that only grows, as a string.
    Counter: 1..=18, "7", r"^[0-9]+$";
    /// Share of a whole: `99.8%`.
    Percent: 2..=8, "99.8%", r"^(100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)%$";
    /// Transport port: `443/tcp`.
    Port: 5..=9, "443/tcp", r"^([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])/(tcp|udp)$";
    /// Package version, in whatever ordering its ecosystem has.
    Version: 1..=128, "3.0.22-1~deb12u2", r"^[!-~]+$";
    /// Package name, in whatever alphabet its ecosystem has (without spaces).
    Package: 1..=214, "openssl", r"^[!-~]+$";
    /// Package URL.
    Purl: 5..=1024, "pkg:deb/debian/openssl?distro=bookworm", r"^pkg:[!-~]+$";
    /// URL of `https`, `http`, `oci` or `file`.
    Url: 8..=2048, "https://feeds.example.com/osv/debian.zip", r"^(https?|oci|file)://[!-~]+$";
    /// One identifier without spaces: a release codename, a hardware class, a boot id.
    Token: 1..=128, "debian", r"^[!-~]+$";
    /// Unit of the service manager.
    Unit: 1..=256, "nginx.service", r"^[!-~]+$";
    /// Absolute path.
    Path: 1..=1024, "/usr/lib/libssl.so.3", r"^/[^\x00-\x1f\x7f]*$";
    /// Person or identity, as the API server names it.
    User: 1..=256, "alice@example.com", r"^[^\x00-\x1f\x7f]+$";
    /// IANA time zone.
    Zone: 1..=64, "Asia/Tokyo", r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$";
    /// Five-field cron schedule.
    Cron: 9..=128, "0 2 * * 2", r"^[0-9A-Za-z*,/#?LW-]+( +[0-9A-Za-z*,/#?LW-]+){4}$";
    /// Local date and time without zone.
    LocalTime: 16..=19, "2026-12-20T00:00", r"^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9](:[0-5][0-9])?$";
    /// Instant of RFC 3339 in UTC, whole seconds.
    Instant: 20..=20, "2026-11-19T09:14:00Z", r"^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z$";
    /// CVSS vector of any version.
    Cvss: 10..=512, "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", r"^[A-Za-z0-9.:/()]+$";
    /// Name of an advisory's weakness: CVE, DSA, RHSA, GHSA.
    WeaknessId: 1..=128, "CVE-2026-31337", r"^[A-Za-z0-9][A-Za-z0-9.:_-]*$";
    /// One line for people.
    Line: 1..=256, "certified by the vendor", r"^[^\x00-\x1f\x7f]*$";
    /// A few sentences for people.
    Text: 0..=2048, "two nodes are below", r"^[^\x00-\x08\x0b-\x1f\x7f]*$";
    /// CEL expression or `PromQL` query.
    Expression: 1..=2048, "self.status.availableReplicas >= 1", r"^[^\x00-\x08\x0b-\x1f\x7f]+$";
    /// One package of a transaction: `name:arch from to sha256-of-the-archive`.
    ChangeLine: 9..=640, "openssl:amd64 3.0.20-1~deb12u2 3.0.22-1~deb12u2 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", r"^[!-~]+:[a-z0-9_-]* [!-~]+ [!-~]+ ([0-9a-f]{64}|-)$";
    /// Reason of a condition or hold.
    Reason: 1..=128, "NodesBelow", r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$";
}

/// A number of things, or a share of them: `2`, `20%`.
#[derive(Clone, Copy, Debug)]
pub enum CountOrPercent {}

impl JsonSchema for CountOrPercent {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "CountOrPercent".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "minimum": 0,
            "maximum": 1_000_000,
            "maxLength": 4,
            "pattern": "^(100|[0-9]{1,2})%$",
            "example": "20%",
        })
    }
}

/// `metav1.Condition` with bounds, as a list-map keyed by `type`.
#[derive(Clone, Copy, Debug)]
pub enum Conditions {}

impl JsonSchema for Conditions {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Conditions".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "maxItems": 16,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
            "items": {
                "type": "object",
                "description": "One aspect of the object's state.",
                "required": ["type", "status", "lastTransitionTime", "reason", "message"],
                "properties": {
                    "type": {
                        "description": "Aspect that this condition is about, in PascalCase.",
                        "type": "string", "minLength": 1, "maxLength": 316,
                        "pattern": "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
                    },
                    "status": {
                        "description": "Whether it holds: True, False, or Unknown.",
                        "type": "string", "enum": ["True", "False", "Unknown"],
                    },
                    "observedGeneration": {
                        "description": "Generation of the spec that this condition was computed from.",
                        "type": "integer", "format": "int64", "minimum": 0, "maximum": 9_007_199_254_740_991_i64,
                    },
                    "lastTransitionTime": {
                        "description": "When the status last changed.",
                        "type": "string", "format": "date-time",
                    },
                    "reason": {
                        "description": "Why, as one word for programs.",
                        "type": "string", "minLength": 1, "maxLength": 1024,
                        "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                    },
                    "message": {
                        "description": "Why, as a sentence for people.",
                        "type": "string", "maxLength": 4096,
                    },
                },
            },
        })
    }
}
