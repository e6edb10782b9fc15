//! Plans and rollouts, for tests of what comes after planning.

use hozen_domain::{
    World,
    node::{Step, Task},
    plan::{
        Category, ChangeType, Class, Disruption, Drain, Exception, Execution, Failures, Needs,
        NodeClass, OnBlocked, OnFailure, Plan, Reachable, Reboot, RebootMethod, RebootPolicy,
        Reference, RoleCount, Windows,
    },
    request::{ChangeRequest, Cursor, Handle, Phase, Rollout},
    units::{Digest, Share, Span, Uid},
};
use jiff::Timestamp;
use smol_str::format_smolstr;

use crate::{baseline::stage, drive::request_of};

/// A plan of a baseline for these notices: one class without transaction consequences, one stage, one node at a time, at any time;
/// one `platform` must agree.
pub fn plan(baseline: &str, advisories: &[&str]) -> Plan {
    Plan {
        cluster: Uid::new("uid-cluster"),
        change: ChangeType::Patch,
        baseline: Reference {
            name: baseline.into(),
            uid: Uid::new(format!("uid-baseline-{baseline}")),
        },
        emergency: false,
        drill: false,
        owner: format_smolstr!("team-{baseline}@example.com"),
        needs: Needs {
            roles: vec![RoleCount { name: "platform".into(), count: 1 }],
            valid_for: Span::hours(336),
            exclude_authors: false,
            standard_after: None,
        },
        advisories: advisories.iter().map(|&id| id.into()).collect(),
        classes: vec![node_class("sha256-tx", 10)],
        exception: None,
        mitigation: None,
        stages: vec![stage("all", Share::Percent(100))],
        windows: Windows { emergency: false, windows: Vec::new(), freezes: Vec::new() },
        execution: execution(),
        disruption: Disruption::default(),
        category: Category::Minor,
    }
}

fn execution() -> Execution {
    Execution {
        test: None,
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
        node_time_max: Span::minutes(30),
        prefetch: None,
    }
}

/// A class of nodes that neither restart nor reboot.
pub fn node_class(transaction: &str, nodes_max: u32) -> Class {
    Class::Nodes(NodeClass {
        transaction: transaction.into(),
        nodes_max,
        restart: [].into(),
        reboot: false,
        rollback: Reachable::Possible,
    })
}

/// The rollout of a request, not begun.
pub fn rollout_of(request: &ChangeRequest, now: Timestamp) -> Rollout {
    Rollout {
        name: request.name.clone(),
        uid: Uid::new(format!("uid-rollout-{}", request.name)),
        request: (request.name.clone(), request.uid.clone()),
        digest: request.digest.clone(),
        handle: Handle::default(),
        deleted: None,
        waits: false,
        cursor: Cursor {
            stage: 0,
            stage_since: now,
            stage_done: None,
            started: None,
            finished: None,
            gate_failed: None,
            ended: None,
        },
    }
}

/// Our work on a node for a request, in this step since then.
pub fn task_of(
    request: &ChangeRequest,
    transaction: &Digest,
    step: Step,
    since: Timestamp,
) -> Task {
    let rollout = rollout_of(request, since);
    Task {
        rollout: (rollout.name, rollout.uid),
        request: request.uid.clone(),
        plan: request.digest.clone(),
        transaction: transaction.clone(),
        step,
        since,
        stage: 0,
        attempt: 1,
        boot_before: None,
        reboots: 0,
        scan: None,
        restarts: 0,
        started: since,
        failure: None,
    }
}

/// People agreed that a baseline lives without a notice's fix until December 2026.
pub fn except(world: &mut World, baseline: &str, notice: &str) {
    let mut plan = plan(baseline, &[notice]);
    plan.baseline.uid = world.baselines[baseline].uid.clone();
    plan.change = ChangeType::Exception;
    plan.exception = Some(Exception {
        until: "2026-12-01T00:00:00Z".into(),
        reason: "the vendor needs it".into(),
        controls: vec!["port 443 is closed".into()],
    });
    let mut request = request_of(world, "web-exception", &plan);
    request.phase = Phase::Approved;
    world.requests.insert(request.name.clone(), request);
}
