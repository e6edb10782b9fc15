//! Baselines.

use hozen_api::{baseline as api, common, remediation, requirement, strategy};
use hozen_domain::{
    authors::{Authors, Edited},
    baseline::{
        Asset, Baseline, Block, Deadlines, Exposure, FirstSeen, ImageRules, Impact, OnOverdue, Os,
        PackageRule, PackageWant, Profile, Remediation, Require, Selector, Strategy, Target,
        TestStrategy,
    },
    calendar::{Freeze, Purpose, Window},
    plan::{Ask, Gate, Prefetch},
    units::{Permyriad, Span},
};
use jiff::Timestamp;
use smol_str::SmolStr;

use super::{Refusal, Refusals, name, small, small_list, uid};

/// A baseline of the domain.
pub fn baseline(object: &api::Baseline) -> Result<Baseline, Vec<Refusal>> {
    let mut refused = Refusals::default();
    let spec = &object.spec;
    let selector = selector(&spec.selector, &mut refused);
    let baseline = Baseline {
        name: name(&object.metadata),
        uid: uid(&object.metadata, "Baseline"),
        generation: object.metadata.generation.unwrap_or(1),
        edited_by: spec.edited_by.as_deref().map(small),
        authors: authors(object.status.as_ref().and_then(|status| status.authors.as_ref())),
        changed_at: changed_at(&object.metadata),
        priority: spec.priority,
        selector: selector
            .clone()
            .unwrap_or(Selector::Nodes(hozen_domain::selector::LabelSelector::default())),
        frozen: spec.frozen.as_ref().and_then(|frozen| refused.recast("spec.frozen", frozen)),
        asset: asset(&spec.asset, &mut refused),
        require: require(&spec.require),
        remediation: remediation(&spec.remediation, &mut refused),
        target: spec.targets.as_ref().and_then(|targets| target(targets, &mut refused)),
        approval_policy: small(&spec.approval_policy),
        windows: windows(spec, &mut refused),
        freezes: freezes(spec, &mut refused),
        rollout: rollout(&spec.rollout, &mut refused),
        first_seen: first_seen(object.status.as_ref().and_then(|s| s.first_seen.as_ref())),
    };
    refused.finish(selector.map(|_| baseline))
}

/// When the spec was last changed: the newest entry of a field manager that wrote it and not the status.
fn changed_at(
    metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
) -> Option<Timestamp> {
    let entries = metadata.managed_fields.iter().flatten();
    entries
        .filter(|entry| entry.subresource.is_none())
        .filter_map(|entry| entry.time.as_ref().map(|time| time.0))
        .max()
}

/// Who edited it before, as the status remembers it.
pub fn authors(status: Option<&api::Authors>) -> Authors {
    let editors = status.into_iter().flat_map(|authors| &authors.editors);
    Authors {
        generation: status.map_or(0, |authors| authors.generation),
        editors: editors
            .map(|e| (small(&e.user), Edited { generation: e.generation, at: e.at }))
            .collect(),
    }
}

/// What the status remembers.
fn first_seen(status: Option<&api::FirstSeen>) -> FirstSeen {
    let known = |listed: &[api::UpdateSeen]| {
        listed.iter().map(|seen| (small(&seen.package), seen.at)).collect()
    };
    FirstSeen {
        updates: status.map(|seen| known(&seen.updates)).unwrap_or_default(),
        required: status.map(|seen| known(&seen.required)).unwrap_or_default(),
        inactive: status.and_then(|seen| seen.inactive),
    }
}

fn selector(selector: &api::Selector, refused: &mut Refusals) -> Option<Selector> {
    match (&selector.nodes, &selector.images) {
        (Some(nodes), None) => refused.recast("spec.selector.nodes", nodes).map(Selector::Nodes),
        (None, Some(images)) => Some(Selector::Images {
            repositories: small_list(&images.repositories),
            namespaces: small_list(&images.namespaces),
        }),
        (None, None) | (Some(_), Some(_)) => {
            refused.add("spec.selector", "a baseline selects exactly one of nodes and images");
            None
        }
    }
}

fn asset(asset: &api::Asset, refused: &mut Refusals) -> Asset {
    Asset {
        business_impact: match &asset.business_impact {
            api::Impact::Low => Impact::Low,
            api::Impact::Medium => Impact::Medium,
            api::Impact::High => Impact::High,
            api::Impact::Unknown(text) => {
                refused.unknown("spec.asset.businessImpact", text);
                Impact::High
            }
        },
        exposure: match &asset.exposure {
            api::Exposure::Isolated => Exposure::Isolated,
            api::Exposure::Internal => Exposure::Internal,
            api::Exposure::Internet => Exposure::Internet,
            api::Exposure::Unknown(text) => {
                refused.unknown("spec.asset.exposure", text);
                Exposure::Internet
            }
        },
        attacked_before: asset.attacked_before,
        owner: small(&asset.owner),
    }
}

fn require(require: &requirement::Requirement) -> Require {
    let least =
        |version: &Option<requirement::MinVersion>| version.as_ref().map(|v| small(&v.min_version));
    Require {
        os: require
            .os
            .as_ref()
            .map(|os| Os { id: small(&os.id), version_id: os.version_id.as_deref().map(small) }),
        kernel_min: least(&require.kernel),
        kubelet_min: least(&require.kubelet),
        runtime_min: least(&require.container_runtime),
        packages: require.packages.iter().map(package_rule).collect(),
        listening_allow: require.listening.as_ref().map(|listening| small_list(&listening.allow)),
        images: require.images.as_ref().map_or_else(ImageRules::default, |images| ImageRules {
            repositories_allow: images.repositories.as_deref().map(small_list),
            digest_pinned: images.digest_pinned,
        }),
    }
}

fn package_rule(rule: &requirement::PackageRequirement) -> PackageRule {
    let want = match (&rule.min_version, &rule.version) {
        (Some(least), _) => PackageWant::Min(small(least)),
        (None, Some(exact)) => PackageWant::Pin(small(exact)),
        (None, None) => PackageWant::Absent,
    };
    PackageRule { name: small(&rule.name), want, reason: rule.reason.clone() }
}

fn remediation(spec: &remediation::Remediation, refused: &mut Refusals) -> Remediation {
    let mut optional =
        |path: &str, text: Option<&String>| text.map(|text| refused.span(path, text));
    let bundle = spec.bundle.as_ref();
    let bundle_medium =
        optional("spec.remediation.bundle.medium", bundle.and_then(|b| b.medium.as_ref()));
    let bundle_low = optional("spec.remediation.bundle.low", bundle.and_then(|b| b.low.as_ref()));
    let table = spec.deadlines.as_ref();
    let deadlines = Deadlines {
        emergency: optional("spec.remediation.deadlines.emergency", table.map(|t| &t.emergency)),
        high: optional("spec.remediation.deadlines.high", table.map(|t| &t.high)),
        medium: optional(
            "spec.remediation.deadlines.medium",
            table.and_then(|t| t.medium.as_ref()),
        ),
        low: optional("spec.remediation.deadlines.low", table.and_then(|t| t.low.as_ref())),
    };
    Remediation {
        profile: match &spec.profile {
            remediation::Profile::Niscc => Profile::Niscc,
            remediation::Profile::Bod2604 => Profile::Bod2604,
            remediation::Profile::PciDss => Profile::PciDss,
            remediation::Profile::Custom => Profile::Custom(deadlines),
            remediation::Profile::Unknown(text) => {
                refused.unknown("spec.remediation.profile", text);
                Profile::Niscc
            }
        },
        bundle_medium,
        bundle_low,
        include_bugfix: match &spec.include {
            remediation::Include::Security => false,
            remediation::Include::SecurityAndBugfix => true,
            remediation::Include::Unknown(text) => {
                refused.unknown("spec.remediation.include", text);
                false
            }
        },
        block: spec
            .block
            .iter()
            .map(|block| Block {
                package: small(&block.package),
                version: small(&block.version),
                reason: block.reason.clone(),
                until: block.until,
            })
            .collect(),
        on_overdue: match &spec.on_overdue {
            remediation::OnOverdue::Alert => OnOverdue::Alert,
            remediation::OnOverdue::Taint => OnOverdue::Taint,
            remediation::OnOverdue::Isolate => OnOverdue::Isolate,
            remediation::OnOverdue::Unknown(text) => {
                refused.unknown("spec.remediation.onOverdue", text);
                OnOverdue::Alert
            }
        },
    }
}

fn target(targets: &remediation::Targets, refused: &mut Refusals) -> Option<Target> {
    let within = refused.span("spec.targets.within", &targets.within);
    let Some(compliant) = Permyriad::parse(&targets.compliant) else {
        let message = format!(
            "`{}` is not a share with at most two decimals; write it like 99.8%",
            targets.compliant
        );
        refused.add("spec.targets.compliant", message);
        return None;
    };
    Some(Target { compliant, within })
}

fn windows(spec: &api::BaselineSpec, refused: &mut Refusals) -> Vec<Window> {
    let mut windows = Vec::new();
    for (index, window) in spec.windows.iter().enumerate() {
        let path = format!("spec.windows[{index}]");
        let before = refused.0.len();
        let duration = refused.span(&format!("{path}.duration"), &window.duration);
        let duration = if refused.0.len() > before { Span::hours(1) } else { duration };
        let purposes: Vec<Purpose> = window
            .purposes
            .iter()
            .filter_map(|purpose| match purpose {
                common::Purpose::Install => Some(Purpose::Install),
                common::Purpose::Reboot => Some(Purpose::Reboot),
                common::Purpose::Unknown(text) => {
                    refused.unknown(&format!("{path}.for"), text);
                    None
                }
            })
            .collect();
        let when: Vec<Gate> =
            refused.recast(&format!("{path}.when"), &window.when).unwrap_or_default();
        for (at, gate) in when.iter().enumerate() {
            if matches!(gate.ask, Ask::NodeCondition { .. }) {
                let why = "a window is about no node: ask Prometheus, an expression (cel) or a Job; conditions of nodes belong into rollout.gates";
                refused.add(format!("{path}.when[{at}].nodeCondition"), why);
            }
        }
        // Each field beside good ones, so that a wrong one hides no other.
        let (daily, hour, utc) = ("0 0 * * *", Span::hours(1), "UTC");
        let written = (window.schedule.as_str(), duration, window.time_zone.as_str());
        let fields = [
            ("schedule", (written.0, hour, utc)),
            ("duration", (daily, written.1, utc)),
            ("timeZone", (daily, hour, written.2)),
        ];
        for (field, (schedule, duration, zone)) in fields {
            let alone = Window::parse("", schedule, duration, zone, Vec::new(), Vec::new());
            refused.take(&format!("{path}.{field}"), alone);
        }
        if refused.0.len() == before {
            let (schedule, duration, zone) = written;
            let parsed = Window::parse(&window.name, schedule, duration, zone, purposes, when);
            windows.extend(refused.take(&path, parsed));
        }
    }
    windows
}

fn freezes(spec: &api::BaselineSpec, refused: &mut Refusals) -> Vec<Freeze> {
    let mut freezes = Vec::new();
    // Each field beside good ones, so that a wrong one hides no other.
    let (early, late, utc) = ("0001-01-01T00:00", "9999-12-31T23:59", "UTC");
    for (index, freeze) in spec.freezes.iter().enumerate() {
        let path = format!("spec.freezes[{index}]");
        let hozen_api::calendar::Freeze { name, from, to, time_zone: zone, reason } = freeze;
        let take = |field: &str, from: &str, to: &str, zone: &str, refused: &mut Refusals| {
            refused.take(&format!("{path}.{field}"), Freeze::parse(name, from, to, zone, reason))
        };
        let begins = take("from", from, late, utc, refused).is_some();
        let ends = take("to", early, to, utc, refused).is_some();
        let placed = take("timeZone", early, late, zone, refused).is_some();
        if begins && ends {
            let zone = if placed { zone } else { utc };
            let parsed = refused.take(&path, Freeze::parse(name, from, to, zone, reason));
            freezes.extend(parsed.filter(|_| placed));
        }
    }
    freezes
}

/// What has the same form in a plan is taken over field by field: a field that only one of the two knows is a failed test.
fn rollout(spec: &strategy::Strategy, refused: &mut Refusals) -> Strategy {
    let stages = spec.stages.iter().enumerate();
    Strategy {
        test: spec.test.as_ref().map(|test| {
            let jobs = test.job_templates.clone().unwrap_or_default();
            TestStrategy {
                mirror: small(&test.mirror),
                emergency: jobs.emergency.map(SmolStr::from),
                normal: jobs.normal.map(SmolStr::from),
            }
        }),
        stages: stages
            .filter_map(|(index, stage)| {
                refused.recast(&format!("spec.rollout.stages[{index}]"), stage)
            })
            .collect(),
        drain: refused.recast("spec.rollout.drain", &spec.drain).unwrap_or(
            hozen_domain::plan::Drain {
                timeout: hozen_domain::units::Span::ZERO,
                on_blocked: hozen_domain::plan::OnBlocked::Skip,
                allow_last_of_role: false,
                delete_empty_dir_data: false,
                force: false,
            },
        ),
        reboot: refused.recast("spec.rollout.reboot", &spec.reboot).unwrap_or(
            hozen_domain::plan::Reboot {
                policy: hozen_domain::plan::RebootPolicy::Never,
                timeout: hozen_domain::units::Span::ZERO,
                max: 0,
                method: hozen_domain::plan::RebootMethod::Reboot,
            },
        ),
        gates: refused.recast("spec.rollout.gates", &spec.gates).unwrap_or_default(),
        snapshot: spec.snapshot.as_ref().map(|snapshot| small(&snapshot.job_template)),
        failures: refused.recast("spec.rollout.failures", &spec.failures).unwrap_or(
            hozen_domain::plan::Failures {
                max: 0,
                then: hozen_domain::plan::OnFailure::Hold,
                watched: false,
            },
        ),
        max_pause: refused.span("spec.rollout.maxPause", &spec.max_pause),
        watch: refused.span("spec.rollout.watch", &spec.watch),
        prefetch: spec.prefetch.as_ref().map(|prefetch| self::prefetch(prefetch, refused)),
    }
}

fn prefetch(spec: &strategy::Prefetch, refused: &mut Refusals) -> Prefetch {
    Prefetch {
        before: refused.span("spec.rollout.prefetch.before", &spec.before),
        bytes_per_second: spec.bytes_per_second.as_deref().and_then(|text| {
            let bytes = bytes(text);
            if bytes.is_none() {
                let message =
                    format!("`{text}` is not a size that can be counted; write it like 2Mi");
                refused.add("spec.rollout.prefetch.bytesPerSecond", message);
            }
            bytes
        }),
        parallel_per_zone: spec.parallel_per_zone,
    }
}

/// Bytes of a quantity: `2Mi`.
fn bytes(text: &str) -> Option<u64> {
    const FACTORS: [(&str, u64); 8] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
    ];
    let (digits, factor) = FACTORS
        .iter()
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))
        .unwrap_or((text, 1));
    digits.parse::<u64>().ok()?.checked_mul(factor)
}
