//! The handle of rollouts, scans on demand, and the halt.

use std::process::ExitCode;

use hozen_agent::watch::WISHED_MIN;
use hozen_api::{
    change_request::ChangeRequest,
    managed_image::{ManagedImage, WorkloadReference},
    managed_node::ManagedNode,
    names::privilege,
    node_inventory::NodeInventory,
    rollout::{AcceptedFailure, FIRST_FAILURES_MAX, Rollout},
};
use hozen_controller::world::halt_reason;
use hozen_domain::planner::NoAttempt;
use kube::ResourceExt as _;
use serde_json::json;

use super::{
    Cluster,
    args::{AcceptFailure, OfRollout, Promote, Rescan},
    decide,
    error::ClusterError,
};
use crate::{clock, error::Failed, print, text::tame_text};

const ROLLOUT: &str = "rollout";

/// A rollout that has not ended: of one that has, nothing can be moved any more.
async fn live(cluster: &Cluster, name: &str) -> Result<Rollout, ClusterError> {
    let rollout: Rollout = cluster.get(ROLLOUT, name).await?;
    match rollout.status.as_ref().and_then(|status| status.ended) {
        Some(at) => {
            Err(ClusterError::Sense(format!("the rollout {name} ended on {}", super::instant(at))))
        }
        None => Ok(rollout),
    }
}

/// Pauses or resumes.
pub async fn pause(cluster: &Cluster, asked: &OfRollout, paused: bool) -> Result<ExitCode, Failed> {
    let rollout = live(cluster, &asked.rollout).await?;
    let name = &asked.rollout;
    if rollout.spec.paused == paused {
        return print(&format!(
            "{name} is {} already\n",
            if paused { "paused" } else { "not paused" }
        ));
    }
    cluster.turn(&rollout, &json!({ "paused": paused })).await?;
    print(&if paused {
        format!(
            "{name} is paused: nothing new is started, what was started is finished (hozen resume {name})\n"
        )
    } else {
        format!("{name} goes on\n")
    })
}

/// Aborts, for good.
pub async fn abort(cluster: &Cluster, asked: &OfRollout) -> Result<ExitCode, Failed> {
    let rollout = live(cluster, &asked.rollout).await?;
    let name = &asked.rollout;
    if rollout.spec.abort {
        return print(&format!("{name} is aborted already\n"));
    }
    cluster.turn(&rollout, &json!({ "abort": true })).await?;
    print(&format!(
        "{name} is aborted: what was not yet changed is put back; what is left needs a new change request\n"
    ))
}

/// Asks for another attempt at what failed: a new change request comes of it, and its asker's own approval does not count.
pub async fn retry(cluster: &Cluster, asked: &OfRollout) -> Result<ExitCode, Failed> {
    let rollout: Rollout = cluster.get(ROLLOUT, &asked.rollout).await?;
    let name = &asked.rollout;
    if rollout.status.as_ref().and_then(|status| status.ended).is_none() {
        return Err(ClusterError::Sense(format!(
            "the rollout {name} has not ended: accept what failed (hozen accept-failure), or end it (hozen abort {name}: what is done stays) and ask then"
        ))
        .into());
    }
    let asked = rollout.spec.retry.as_ref().map(|before| before.by.clone());
    if let Some(by) = &asked {
        let requests: Vec<ChangeRequest> = cluster.list("change request").await?;
        let made = requests.iter().find(|it| it.spec.supersedes.as_deref() == Some(name));
        if let Some(made) = made {
            let made = made.name_any();
            return print(&format!(
                "{by} asked for another attempt at {name} already: it is {made} (hozen explain changerequest/{made})\n"
            ));
        }
    }
    let follows = match decide::attempt(cluster, &rollout).await {
        Ok(Ok(())) => "a new change request follows",
        Ok(Err(why)) => {
            return Err(idle(name, &why).into());
        }
        Err(_) => {
            seen_by_all(cluster, name).await?;
            "where something that failed in it is still missing, a new change request follows"
        }
    };
    if let Some(by) = asked {
        return print(&format!("{by} asked for another attempt at {name} already: {follows}\n"));
    }
    let by = cluster.who().await?;
    cluster.turn(&rollout, &json!({ "retry": { "by": by } })).await?;
    print(&format!(
        "{by} asks for another attempt at what failed in {name}: {follows}, which others must approve (hozen status)\n"
    ))
}

/// What speaks against another attempt, as far as whoever may not look at nodes can see it.
async fn seen_by_all(cluster: &Cluster, name: &str) -> Result<(), ClusterError> {
    let all: Vec<ChangeRequest> = cluster.list("change request").await?;
    let after = all.iter().find(|it| it.spec.supersedes.as_deref() == Some(name));
    let why = if let Some(by) = after {
        Some(NoAttempt::Replaced { by: by.name_any().into(), ended: false })
    } else {
        let drill = all.iter().any(|it| it.name_any() == name && it.spec.plan.drill);
        drill.then_some(NoAttempt::Exercise)
    };
    why.map_or(Ok(()), |why| Err(idle(name, &why)))
}

fn idle(name: &str, why: &dyn std::fmt::Display) -> ClusterError {
    ClusterError::Sense(format!("no request would come of another attempt at {name}: {why}"))
}

/// Cuts a soak short.
pub async fn promote(cluster: &Cluster, asked: &Promote) -> Result<ExitCode, Failed> {
    let rollout = live(cluster, &asked.rollout).await?;
    let name = &asked.rollout;
    let present = rollout.status.as_ref().and_then(|status| status.stage.as_ref());
    let stage = asked.through.clone().or_else(|| present.map(|stage| stage.name.clone()));
    let Some(stage) = stage else {
        return Err(ClusterError::Sense(format!(
            "{name} is at no stage yet: write --through STAGE"
        ))
        .into());
    };
    let request: ChangeRequest =
        cluster.get("change request", &rollout.spec.change_request.name).await?;
    let stages: Vec<String> =
        request.spec.plan.stages.iter().map(|stage| stage.name.clone()).collect();
    if !stages.contains(&stage) {
        let stages = hozen_intake::problem::one_of(&stages);
        return Err(
            ClusterError::Sense(format!("{name} has no stage {stage}: write {stages}")).into()
        );
    }
    cluster.turn(&rollout, &json!({ "promoteThrough": stage })).await?;
    print(&format!(
        "{name} is promoted through {stage}: the rest of its soak is skipped, nothing else\n"
    ))
}

/// Accepts the failure of one system, in one's own name.
pub async fn accept(cluster: &Cluster, asked: &AcceptFailure) -> Result<ExitCode, Failed> {
    let rollout = match &asked.rollout {
        Some(name) => live(cluster, name).await?,
        None => failed_on(cluster, &asked.system).await?,
    };
    let (name, system) = (rollout.name_any(), &asked.system);
    let uid = match &asked.uid {
        Some(uid) => uid.clone(),
        None => uid_of(cluster, system).await?,
    };
    let mut accepted = rollout.spec.accept_failures.clone();
    if accepted.iter().any(|failure| failure.node == *system && failure.uid == uid) {
        return print(&format!("the failure of {system} is accepted in {name} already\n"));
    }
    let shown = rollout.status.as_ref().map_or(&[][..], |status| &status.first_failures);
    if shown.len() < FIRST_FAILURES_MAX && shown.iter().all(|failure| failure.node != *system) {
        return Err(ClusterError::Sense(format!(
            "{system} has not failed in {name}: only a failure that has happened is accepted (hozen status)"
        ))
        .into());
    }
    if !cluster.may(privilege::ACCEPT, "rollouts", &name).await? {
        return Err(ClusterError::Sense(format!(
            "you may not accept failures of {name}: it needs the verb accept on rollouts (the role hozen-accepter)"
        ))
        .into());
    }
    let by = cluster.who().await?;
    accepted.push(AcceptedFailure { node: system.clone(), uid, by: Some(by.clone()) });
    cluster.turn(&rollout, &json!({ "acceptFailures": accepted })).await?;
    print(&format!(
        "the failure of {system} is accepted in {name} by {by}: it goes on without it\n"
    ))
}

/// The one rollout in which a system failed.
async fn failed_on(cluster: &Cluster, system: &str) -> Result<Rollout, ClusterError> {
    let all: Vec<Rollout> = cluster.list(ROLLOUT).await?;
    let mut found: Vec<Rollout> = all
        .into_iter()
        .filter(|rollout| {
            rollout.status.as_ref().is_some_and(|status| {
                status.ended.is_none()
                    && status.first_failures.iter().any(|failure| failure.node == system)
            })
        })
        .collect();
    match (found.pop(), found.is_empty()) {
        (Some(rollout), true) => Ok(rollout),
        (None, _) => Err(ClusterError::Sense(format!(
            "no rollout shows a failure of {system} among its first: write --rollout NAME"
        ))),
        (Some(_), false) => Err(ClusterError::Sense(format!(
            "{system} failed in several rollouts: write --rollout NAME"
        ))),
    }
}

/// The uid of the node behind a managed node, or of a workload that failed.
async fn uid_of(cluster: &Cluster, system: &str) -> Result<String, ClusterError> {
    let missing =
        || ClusterError::Sense(format!("the uid of {system} is not known here: write --uid UID"));
    if system.contains('/') {
        let images: Vec<ManagedImage> = cluster.list("managed image").await?;
        let ended = images.iter().filter_map(|image| image.status.as_ref()).flat_map(|s| &s.ended);
        let of_it = ended.filter(|change| {
            let WorkloadReference { kind, namespace, name } = &change.workload;
            change.failure.is_some() && format!("{kind}/{namespace}/{name}") == system
        });
        let newest = of_it.max_by_key(|change| change.at);
        return newest.map(|change| change.workload_uid.clone()).ok_or_else(missing);
    }
    let node: ManagedNode = cluster.get("managed node", system).await?;
    let owner = node.owner_references().iter().find(|owner| owner.kind == "Node");
    owner.map(|owner| owner.uid.clone()).ok_or_else(missing)
}

/// Asks for scans.
pub async fn rescan(cluster: &Cluster, asked: &Rescan) -> Result<ExitCode, Failed> {
    let by = cluster.who().await?;
    let why = format!("{} by {by}", clock::now().strftime("%Y-%m-%dT%H:%M:%SZ"));
    // All names are looked up before the first scan is asked for.
    let mut nodes: Vec<ManagedNode> = Vec::new();
    for name in &asked.nodes {
        nodes.push(cluster.get("managed node", name).await?);
    }
    for node in &nodes {
        cluster.ask_for_scan(node, &why).await?;
    }
    let mut told = vec![format!(
        "asked for a scan of {}: package indices are refreshed before it, once in {} minutes at most",
        asked.nodes.join(", "),
        WISHED_MIN.as_secs() / 60
    )];
    for name in &asked.nodes {
        told.push(format!("{name}: {}", indices_of(cluster, name).await));
    }
    print(&format!("{}\n", told.join("\n")))
}

/// Of when the package indices of a node are, by its last report.
async fn indices_of(cluster: &Cluster, name: &str) -> String {
    let report = match cluster.api::<NodeInventory>().get_opt(name).await {
        Ok(Some(inventory)) => inventory.spec.report,
        Ok(None) => return "no scanner has reported yet".to_owned(),
        Err(_) => return "its last report cannot be seen with your rights".to_owned(),
    };
    let at = report.ready.and_then(|ready| ready.indices_refreshed_at);
    let of = at.map_or_else(
        || "does not say of when its package indices are".to_owned(),
        |at| format!("had package indices of {}", super::instant(at)),
    );
    format!("its last report, of {}, {of}", super::instant(report.scanned_at))
}

/// Halts everything, or lets it go on.
pub async fn halt(cluster: &Cluster, reason: Option<&str>) -> Result<ExitCode, Failed> {
    if reason.is_some_and(|reason| reason.trim().is_empty()) {
        return Err(ClusterError::Sense(
            "a halt needs a reason: everybody who looks reads it".to_owned(),
        )
        .into());
    }
    let stands = cluster.halt().await?;
    let before = halt_reason(&stands).map(tame_text);
    if reason.is_none() && before.is_none() {
        return print("nothing is halted\n");
    }
    cluster.set_halt(&stands, reason).await?;
    print(&match (reason, before) {
        (Some(_), before) => format!(
            "halted: nothing new is disturbed in this cluster, what was started is finished (hozen unhalt)\n{}",
            before.map_or_else(String::new, |before| format!("it was halted before: {before}\n"))
        ),
        (None, before) => format!("the halt is lifted: {}\n", before.unwrap_or_default()),
    })
}
