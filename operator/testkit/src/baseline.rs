//! Baselines and approval policies.

use hozen_domain::{
    authors::Authors,
    baseline::{
        Asset, Baseline, Block, Exposure, FirstSeen, Impact, OnOverdue, PackageRule, PackageWant,
        Profile, Remediation, Require, Selector, Strategy,
    },
    calendar::{Freeze, Window},
    governance::{ApprovalPolicy, Circle},
    plan::{
        Drain, Failures, OnBlocked, OnFailure, Reboot, RebootMethod, RebootPolicy, RoleCount, Stage,
    },
    selector::LabelSelector,
    units::{Share, Span, Uid},
};

/// A baseline that selects `tier: NAME`, under the policy `production`, by NISCC's deadlines, in one stage, one node at a time.
pub fn baseline(name: &str) -> BaselineBuilder {
    let selector = LabelSelector {
        match_labels: [("tier".into(), name.into())].into(),
        match_expressions: Vec::new(),
    };
    BaselineBuilder {
        baseline: Baseline {
            name: name.into(),
            uid: Uid::new(format!("uid-baseline-{name}")),
            generation: 1,
            edited_by: None,
            authors: Authors::default(),
            changed_at: None,
            priority: 0,
            selector: Selector::Nodes(selector),
            frozen: None,
            asset: Asset {
                business_impact: Impact::Medium,
                exposure: Exposure::Internal,
                attacked_before: false,
                owner: format!("team-{name}@example.com").into(),
            },
            require: Require::default(),
            remediation: Remediation {
                profile: Profile::Niscc,
                bundle_medium: None,
                bundle_low: None,
                include_bugfix: false,
                block: Vec::new(),
                on_overdue: OnOverdue::Alert,
            },
            target: None,
            approval_policy: "production".into(),
            windows: Vec::new(),
            freezes: Vec::new(),
            rollout: strategy(),
            first_seen: FirstSeen::default(),
        },
    }
}

fn strategy() -> Strategy {
    Strategy {
        test: None,
        stages: vec![stage("all", Share::Percent(100))],
        drain: Drain {
            timeout: Span::minutes(10),
            on_blocked: OnBlocked::Skip,
            allow_last_of_role: false,
            delete_empty_dir_data: false,
            force: false,
        },
        reboot: Reboot {
            policy: RebootPolicy::AsNeeded,
            timeout: Span::minutes(10),
            max: 1,
            method: RebootMethod::Reboot,
        },
        gates: Vec::new(),
        snapshot: None,
        failures: Failures { max: 0, then: OnFailure::Hold, watched: false },
        max_pause: Span::hours(168),
        watch: Span::ZERO,
        prefetch: None,
    }
}

/// A stage without soak, one system at a time.
pub fn stage(name: &str, nodes: Share) -> Stage {
    Stage {
        name: name.into(),
        selector: None,
        nodes,
        per_class: false,
        max_unavailable: Share::Count(1),
        per_zone: false,
        order_by: Vec::new(),
        soak: Span::ZERO,
    }
}

/// A window for everything.
pub fn window(name: &str, schedule: &str, duration: Span, zone: &str) -> Window {
    Window::parse(name, schedule, duration, zone, Vec::new(), Vec::new())
        .unwrap_or_else(|error| panic!("{error}"))
}

/// A freeze between two local times.
pub fn freeze(name: &str, from: &str, to: &str, zone: &str) -> Freeze {
    Freeze::parse(name, from, to, zone, "a test").unwrap_or_else(|error| panic!("{error}"))
}

/// A policy that asks one `platform` of normal changes, two `on-call` of emergencies, one `security` of exceptions.
pub fn policy(name: &str) -> ApprovalPolicy {
    let circle = |role: &str, count, hours| Circle {
        roles: vec![RoleCount { name: role.into(), count }],
        valid_for: Span::hours(hours),
    };
    ApprovalPolicy {
        name: name.into(),
        normal: circle("platform", 1, 336),
        emergency: circle("on-call", 2, 24),
        standard: None,
        exception: circle("security", 1, 2160),
        exclude_authors: false,
    }
}

/// See [`baseline`].
#[derive(Clone, Debug)]
pub struct BaselineBuilder {
    baseline: Baseline,
}

impl BaselineBuilder {
    /// Changes anything.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Baseline)) -> Self {
        change(&mut self.baseline);
        self
    }

    /// Priority.
    #[must_use]
    pub fn priority(self, priority: i32) -> Self {
        self.with(|baseline| baseline.priority = priority)
    }

    /// Nodes with this label, instead of `tier: NAME`.
    #[must_use]
    pub fn nodes(self, key: &str, value: &str) -> Self {
        self.with(|baseline| {
            baseline.selector = Selector::Nodes(LabelSelector {
                match_labels: [(key.into(), value.into())].into(),
                match_expressions: Vec::new(),
            });
        })
    }

    /// Images of these repositories, used in these namespaces; empty: all.
    #[must_use]
    pub fn images(self, repositories: &[&str], namespaces: &[&str]) -> Self {
        self.with(|baseline| {
            baseline.selector = Selector::Images {
                repositories: repositories.iter().map(|&text| text.into()).collect(),
                namespaces: namespaces.iter().map(|&text| text.into()).collect(),
            };
        })
    }

    /// What is at stake.
    #[must_use]
    pub fn asset(self, impact: Impact, exposure: Exposure) -> Self {
        self.with(|baseline| {
            baseline.asset.business_impact = impact;
            baseline.asset.exposure = exposure;
        })
    }

    /// At least this version of a package.
    #[must_use]
    pub fn min(self, package: &str, version: &str) -> Self {
        self.package(package, PackageWant::Min(version.into()))
    }

    /// Exactly this version of a package.
    #[must_use]
    pub fn pin(self, package: &str, version: &str) -> Self {
        self.package(package, PackageWant::Pin(version.into()))
    }

    /// Without this package.
    #[must_use]
    pub fn without(self, package: &str) -> Self {
        self.package(package, PackageWant::Absent)
    }

    fn package(self, name: &str, want: PackageWant) -> Self {
        self.with(|baseline| {
            baseline.require.packages.push(PackageRule { name: name.into(), want, reason: None });
        })
    }

    /// Deadlines.
    #[must_use]
    pub fn profile(self, profile: Profile) -> Self {
        self.with(|baseline| baseline.remediation.profile = profile)
    }

    /// Lesser fixes travel together: medium, then low.
    #[must_use]
    pub fn bundles(self, medium: Span, low: Span) -> Self {
        self.with(|baseline| {
            baseline.remediation.bundle_medium = Some(medium);
            baseline.remediation.bundle_low = Some(low);
        })
    }

    /// A patch that hurts.
    #[must_use]
    pub fn blocks(self, package: &str, version: &str) -> Self {
        self.with(|baseline| {
            baseline.remediation.block.push(Block {
                package: package.into(),
                version: version.into(),
                reason: "it breaks the shop".into(),
                until: None,
            });
        })
    }

    /// One stage more, after clearing the default one.
    #[must_use]
    pub fn stages(self, stages: Vec<Stage>) -> Self {
        self.with(|baseline| baseline.rollout.stages = stages)
    }

    /// One window more.
    #[must_use]
    pub fn window(self, window: Window) -> Self {
        self.with(|baseline| baseline.windows.push(window))
    }

    /// The baseline.
    pub fn build(self) -> Baseline {
        self.baseline
    }
}
