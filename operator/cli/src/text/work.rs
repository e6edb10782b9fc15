//! The work on one system, on one line.

use jiff::SignedDuration;

use super::{
    counted, listed,
    page::{BAD, GOOD, WAIT, paint},
};
use crate::{
    facts::{Step, Work, WorkOutcome},
    when::words,
};

/// What was done to a system, and how it ended.
pub fn sentence(work: &Work) -> String {
    let mut told: Vec<String> = Vec::new();
    let mut scans = 0;
    // A drain that comes first begins with the cordon.
    if work.steps.first().is_some_and(|step| step.step == "Drain") {
        told.push("cordoned".to_owned());
    }
    let failed_at = work.failure.as_ref().map(|failure| failure.step.as_str());
    for (index, step) in work.steps.iter().enumerate() {
        let last = index + 1 == work.steps.len();
        let failed =
            failed_at == Some(step.step.as_str()) && !later(&work.steps[index + 1..], step);
        if step.step == "Verify" {
            scans += 1;
            told.extend(scan(work, step, scans, last || all_quiet(&work.steps[index + 1..])));
        } else if !failed {
            told.extend(done(step, &work.steps[..index]));
        }
        if failed {
            told.extend(failure(work));
        }
    }
    if let Some(failure) = &work.failure
        && !told.iter().any(|part| part.contains(&failure.message))
    {
        told.extend(self::failure(work));
    }
    told.extend(outcome(work));
    told.join(", ")
}

/// The same step again later: a scan, a restart, the drain before a reboot.
fn later(rest: &[Step], step: &Step) -> bool {
    rest.iter().any(|other| other.step == step.step)
}

fn all_quiet(rest: &[Step]) -> bool {
    rest.iter().all(|step| matches!(step.step.as_str(), "Gate" | "Release"))
}

fn done(step: &Step, before: &[Step]) -> Option<String> {
    let took = words(SignedDuration::from_secs(step.seconds));
    let again = if before.iter().any(|other| other.step == step.step) { " again" } else { "" };
    Some(match step.step.as_str() {
        "Claim" => format!("cordoned{again}"),
        "Drain" => match step.pods_moved {
            Some(0) | None => return None,
            Some(pods) => format!("{} moved in {took}", counted(pods, "pod")),
        },
        "Snapshot" => format!("snapshot taken in {took}"),
        "Patch" => format!("patched in {took}"),
        "Mitigate" => format!("mitigated in {took}"),
        "Restart" if step.restarted.is_empty() => format!("services restarted{again}"),
        "Restart" => format!("{} restarted{again}", listed(&step.restarted)),
        "AwaitReboot" => format!("waited {took} for a window to reboot"),
        "Reboot" => format!("rebooted in {took}"),
        "Gate" => "gates passed".to_owned(),
        "Rollback" => format!("previous versions installed in {took}"),
        _ => return None,
    })
}

/// A first scan that finds services on old code is the ordinary course, and their restart tells it; a later one is not.
fn scan(work: &Work, step: &Step, scans: u32, last: bool) -> Option<String> {
    let proven = work.outcome == WorkOutcome::Proven;
    match (step.stale_units.is_empty(), scans) {
        (true, _) if last && proven => {
            Some(format!("scanned: {}", paint(GOOD, "patched and active")))
        }
        (true, _) => None,
        (false, 1) if !last => None,
        (false, _) => Some(format!(
            "scanned: {}, {} still on the old code",
            paint(WAIT, "PATCHED BUT INACTIVE"),
            listed(&step.stale_units)
        )),
    }
}

fn failure(work: &Work) -> Option<String> {
    let failure = work.failure.as_ref()?;
    let what = match failure.step.as_str() {
        "Claim" => "NOT TAKEN",
        "Drain" if failure.blocked => "DRAIN BLOCKED",
        "Drain" => "DRAIN FAILED",
        "Snapshot" => "SNAPSHOT FAILED",
        "Patch" => "PATCH FAILED",
        "Mitigate" => "MITIGATION FAILED",
        "Lift" => "MITIGATION NOT LIFTED",
        "Restart" => "RESTART FAILED",
        "AwaitReboot" | "Reboot" => "REBOOT FAILED",
        "Verify" => "NOT PROVEN",
        "Gate" => "GATE NOT PASSED",
        "Rollback" => "ROLLBACK FAILED",
        _ => "FAILED",
    };
    Some(format!("{}: {}", paint(BAD, what), failure.message))
}

fn outcome(work: &Work) -> Option<String> {
    match work.outcome {
        WorkOutcome::Proven if work.steps.is_empty() => {
            Some(paint(GOOD, "moved to the fixed image and ready"))
        }
        WorkOutcome::Proven => None,
        WorkOutcome::Serves => Some(paint(WAIT, "serves until its reboot")),
        WorkOutcome::Failed | WorkOutcome::RolledBack => Some("flagged for a person".to_owned()),
        WorkOutcome::PutBack => Some("put back unchanged, flagged".to_owned()),
        WorkOutcome::Mitigated => {
            Some(paint(GOOD, "scanned: mitigated, the patch is still needed"))
        }
        WorkOutcome::Lifted => Some(paint(GOOD, "scanned: its mitigation is lifted")),
        WorkOutcome::Exercised => {
            Some("exercised: its scanner answered, nothing was done".to_owned())
        }
    }
}

/// Proven, or patched up to its reboot, without incident, so that a hundred of them can be told as one.
pub(super) fn uneventful(work: &Work) -> bool {
    let stale = work.steps.iter().filter(|step| !step.stale_units.is_empty()).count();
    matches!(work.outcome, WorkOutcome::Proven | WorkOutcome::Serves) && stale <= 1
}
