//! What is approved: shown before anybody is asked.

use hozen_api::{
    change_request::{ChangeRequest, ChangeRequestStatus},
    common::RebootMethod,
    plan::{Class, Plan, PlanDrain},
    transaction::Transaction,
};
use hozen_domain::mitigation::NOTHING;
use kube::ResourceExt as _;

use super::{Cluster, error::ClusterError, instant};
use crate::{
    terminal,
    text::{
        counted,
        page::{BAD, FAINT, GOOD, Page, STRONG, paint},
    },
};

/// Column at which values begin.
const COLUMN: usize = 13;

/// A request as its approvers read it. The error: a transaction that is not what its digest says.
pub async fn page(cluster: &Cluster, request: &ChangeRequest) -> Result<String, ClusterError> {
    let mut page = Page::new(terminal::columns(&std::io::stdout()));
    let plan = &request.spec.plan;
    head(&mut page, request);
    for class in &plan.classes {
        let transaction = match &class.transaction {
            Some(digest) => transaction(cluster, digest).await?,
            None => None,
        };
        tell_class(&mut page, class, transaction.as_ref());
    }
    tell_others(&mut page, plan);
    tell_bounds(&mut page, plan);
    if let Some(status) = &request.status {
        tell_status(&mut page, status);
    }
    row(&mut page, "digest", &request.spec.plan_digest);
    page.gap();
    Ok(page.finish())
}

/// The transaction of a class, if it is here and is what its name says.
async fn transaction(cluster: &Cluster, digest: &str) -> Result<Option<Transaction>, ClusterError> {
    let found = match cluster.get::<Transaction>("transaction", digest).await {
        Ok(found) => found,
        Err(ClusterError::Absent { .. }) => return Ok(None),
        Err(other) => return Err(other),
    };
    match hozen_intake::convert::content::transaction(&found) {
        Ok(_) => Ok(Some(found)),
        Err(refused) => {
            let why = refused.first().map(|first| first.message.clone()).unwrap_or_default();
            Err(ClusterError::Sense(format!(
                "the transaction {digest} is not what its digest says: {why}"
            )))
        }
    }
}

fn row(page: &mut Page, name: &str, text: &str) {
    page.hang(&format!("{name:COLUMN$}"), text, COLUMN);
}

fn head(page: &mut Page, request: &ChangeRequest) {
    let (plan, name) = (&request.spec.plan, request.name_any());
    let kind = if plan.drill { "exercise of a " } else { "" };
    let urgent = if plan.emergency { paint(BAD, ", emergency") } else { String::new() };
    page.line(
        "",
        &format!(
            "{}: {kind}{} of {}{urgent}",
            paint(STRONG, name),
            plan.r#type,
            plan.baseline.name
        ),
    );
    let notices = if plan.advisories.is_empty() {
        "no notice: updates of the distribution, or what the baseline requires or forbids"
            .to_owned()
    } else {
        plan.advisories.join(", ")
    };
    row(page, "answers", &notices);
    row(page, "requested by", &request.spec.requested_by);
    row(page, "owner", &plan.owner);
    if let Some(old) = &request.spec.supersedes {
        let because =
            request.spec.because.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        row(page, "in place of", &format!("{old}{because}"));
    }
}

fn tell_class(page: &mut Page, class: &Class, transaction: Option<&Transaction>) {
    if let Some(image) = &class.image {
        let (from, to) = (class.from.as_deref().unwrap_or("-"), class.to.as_deref().unwrap_or("-"));
        let most = class.workloads_max.unwrap_or(0);
        row(page, "up to", &format!("{most} workloads: {image} from {from} to {to}"));
        return;
    }
    let mut consequences = match class.restart.as_deref().unwrap_or_default() {
        [] => String::from("no service restarts"),
        // What belongs to a package that goes ends with it.
        units if removes(transaction) => format!("{} restart or end", units.join(", ")),
        units => format!("{} restart", units.join(", ")),
    };
    consequences.push_str(if class.reboot == Some(true) {
        "; the node reboots"
    } else {
        "; no reboot"
    });
    let back = class.rollback.as_ref().map_or("Unknown", |reach| reach.as_str());
    let nodes = counted(class.nodes_max.unwrap_or(0), "node");
    row(page, "up to", &format!("{nodes}: {consequences}; rollback: {back}"));
    let digest = class.transaction.as_deref().unwrap_or("-");
    if digest == NOTHING.as_str() {
        row(page, "", "no package changes");
        return;
    }
    let Some(transaction) = transaction else {
        row(
            page,
            "",
            &paint(BAD, format!("its packages are not here to be read: transaction {digest}")),
        );
        return;
    };
    // All of them, however many: this is what is signed.
    for change in &transaction.spec.changes {
        row(page, "", &told_change(change));
    }
}

/// Whether a package goes.
fn removes(transaction: Option<&Transaction>) -> bool {
    let lines = transaction.into_iter().flat_map(|transaction| &transaction.spec.changes);
    lines.into_iter().any(|line| line.split(' ').nth(2) == Some("-"))
}

/// `openssl:amd64 3.0.20 → 3.0.22` of a line of a transaction; a dash stands for "not installed".
fn told_change(line: &str) -> String {
    let mut words = line.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some(name), Some("-"), Some(to)) => format!("{name} {to} (new)"),
        (Some(name), Some(from), Some("-")) => format!("{name} {from} (removed)"),
        (Some(name), Some(from), Some(to)) => format!("{name} {from} → {to}"),
        _ => line.to_owned(),
    }
}

fn tell_others(page: &mut Page, plan: &Plan) {
    if let Some(exception) = &plan.exception {
        row(page, "exception", &format!("until {}: {}", exception.until, exception.reason));
        for control in &exception.controls {
            row(page, "instead", control);
        }
    }
    if let Some(mitigation) = &plan.mitigation {
        let steps: Vec<String> = mitigation
            .stop
            .iter()
            .map(|unit| format!("stop {unit}"))
            .chain(mitigation.block.iter().map(|port| format!("block {port}")))
            .collect();
        row(
            page,
            "mitigation",
            &format!(
                "on up to {}: {}",
                crate::text::counted(mitigation.nodes_max, "node"),
                steps.join(", ")
            ),
        );
    }
}

fn tell_bounds(page: &mut Page, plan: &Plan) {
    let disruption = plan.disruption;
    row(
        page,
        "disturbs",
        &format!(
            "at most {} nodes drained, {} with restarts, {} rebooted; category {}",
            disruption.drains, disruption.restarts, disruption.reboots, plan.category
        ),
    );
    let stages: Vec<&str> = plan.stages.iter().map(|stage| stage.name.as_str()).collect();
    if !stages.is_empty() {
        row(page, "stages", &stages.join(", then "));
    }
    let windows: Vec<&str> =
        plan.windows.windows.iter().map(|window| window.name.as_str()).collect();
    let when = match (plan.windows.emergency, windows.is_empty()) {
        (true, _) => "at once, outside windows and freezes too".to_owned(),
        (false, true) => "at any time".to_owned(),
        (false, false) => format!("in {}", windows.join(", ")),
    };
    row(page, "when", &when);
    if plan.disruption.reboots > 0 && plan.execution.reboot.method == Some(RebootMethod::Kexec) {
        row(page, "", "nodes reboot by kexec, past firmware and boot loader");
    }
    if plan.disruption.drains > 0 {
        tell_drain(page, &plan.execution.drain);
    }
}

/// What a drain may cost, beyond moving pods.
fn tell_drain(page: &mut Page, drain: &PlanDrain) {
    if drain.delete_empty_dir_data == Some(true) {
        row(page, "", &paint(BAD, "pods with an emptyDir are evicted: what is in it is lost"));
    }
    if drain.force == Some(true) {
        row(page, "", &paint(BAD, "pods without controller are evicted: nobody makes them anew"));
    }
    if drain.on_blocked == hozen_api::common::OnBlocked::Force {
        row(
            page,
            "",
            &paint(BAD, "a blocked drain is forced: pods are deleted without their budget's leave"),
        );
    }
}

fn tell_status(page: &mut Page, status: &ChangeRequestStatus) {
    if let Some(due) = status.due {
        row(page, "due", &instant(due));
    }
    if let Some(forecast) = &status.forecast {
        let at = |time: Option<jiff::Timestamp>| time.map_or_else(|| "unknown".to_owned(), instant);
        let in_time = match forecast.meets_due {
            Some(true) => paint(GOOD, ", in time"),
            Some(false) => paint(BAD, ", too late"),
            None => String::new(),
        };
        let limit = forecast
            .limited_by
            .as_ref()
            .map_or_else(String::new, |by| format!("; limited by {by}"));
        let pods =
            forecast.pods_moved.map_or_else(String::new, |pods| format!("; {pods} pods moved"));
        let told = match (forecast.start, forecast.finish, &forecast.limited_by) {
            (None, None, Some(by)) => paint(BAD, format!("never, as things stand: {by}")),
            (start, finish, _) => {
                format!("{} to {}{in_time}{limit}{pods}", at(start), at(finish))
            }
        };
        row(page, "forecast", &told);
    }
    for approval in &status.approvals {
        let why = approval
            .why
            .as_ref()
            .map_or_else(String::new, |why| format!(" (does not count: {why})"));
        row(
            page,
            "said",
            &format!("{} as {}, {}{why}", approval.user, approval.role, instant(approval.at)),
        );
    }
    let missing: Vec<String> =
        status.missing.iter().map(|role| format!("{} × {}", role.count, role.name)).collect();
    if !missing.is_empty() {
        row(page, "missing", &missing.join(", "));
    }
    if let Some(reason) = &status.phase_reason {
        row(page, "", &paint(FAINT, reason));
    }
}
