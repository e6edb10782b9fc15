//! `hozen watch`: rollouts as they go, one line for each change that a person would notice.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use futures::TryStreamExt as _;
use hozen_api::rollout::Rollout;
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, WatchEvent, WatchParams},
};

use super::{
    Cluster,
    error::{ClusterError, told},
    fleet::{self, RolloutLine},
};
use crate::{clock, error::Failed, print, text::tame_text};

/// Seconds after which the server ends a watch, so that a dead connection is not watched for ever.
const WATCH_SECONDS: u32 = 290;
/// A server that has not even ended the watch by then is gone.
const SILENCE_MAX: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 15);
/// A watch that ends at once, again and again, is given up.
const EMPTY_WATCHES_MAX: u32 = 5;
/// One that lasted longer was quiet: nothing happened.
const AT_ONCE_SECONDS: u64 = 10;

/// Prints until the rollout has ended, or for ever.
pub async fn run(cluster: &Cluster, only: Option<&str>) -> Result<ExitCode, Failed> {
    if let Some(name) = only {
        let _: Rollout = cluster.get("rollout", name).await?;
    }
    let client = cluster.patient(SILENCE_MAX)?;
    let mut seen = BTreeMap::new();
    let mut empty = 0;
    while empty < EMPTY_WATCHES_MAX {
        let api = cluster.api::<Rollout>();
        let select = only.map_or_else(ListParams::default, |name| {
            ListParams::default().fields(&format!("metadata.name={name}"))
        });
        let list = api.list(&select).await.map_err(|error| told("list every rollout", error))?;
        let version = list.metadata.resource_version.unwrap_or_default();
        for rollout in &list.items {
            if show(rollout, &mut seen)? && only.is_some() {
                return Ok(ExitCode::SUCCESS);
            }
        }
        let mut watch = WatchParams::default().timeout(WATCH_SECONDS);
        watch.field_selector = select.field_selector;
        let patient: Api<Rollout> = Api::all(client.clone());
        let events =
            patient.watch(&watch, &version).await.map_err(|error| told("watch rollouts", error))?;
        let mut events = std::pin::pin!(events);
        let (before, lasts) = (seen.len(), clock::Stopwatch::start());
        let mut heard = false;
        // What ends a stream (410, a broken connection) is healed by the list above.
        while let Ok(Some(event)) = events.try_next().await {
            heard = true;
            let rollout = match event {
                WatchEvent::Added(rollout) | WatchEvent::Modified(rollout) => rollout,
                WatchEvent::Deleted(rollout) => {
                    print(&format!("{}: deleted\n", rollout.name_any()))?;
                    if only.is_some() {
                        return Ok(ExitCode::SUCCESS);
                    }
                    continue;
                }
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(_) => break,
            };
            if show(&rollout, &mut seen)? && only.is_some() {
                return Ok(ExitCode::SUCCESS);
            }
        }
        let quiet = lasts.seconds() > AT_ONCE_SECONDS;
        empty = if heard || quiet || seen.len() > before { 0 } else { empty + 1 };
    }
    Err(ClusterError::Sense("the cluster ends every watch at once: is it going down?".to_owned())
        .into())
}

/// Prints a rollout if it says something new; whether it has ended.
fn show(rollout: &Rollout, seen: &mut BTreeMap<String, String>) -> Result<bool, Failed> {
    let line = fleet::rollout(rollout);
    let text = tame_text(told_line(&line));
    if seen.get(&line.name) != Some(&text) {
        print(&format!("{} {}: {text}\n", clock::now().strftime("%H:%M:%S"), line.name))?;
        seen.insert(line.name, text);
    }
    Ok(line.outcome.is_some())
}

fn told_line(line: &RolloutLine) -> String {
    let RolloutLine {
        name: _,
        stage,
        done,
        of,
        active,
        failed,
        put_back,
        paused,
        hold,
        ended_by,
        changed,
        outcome,
    } = line;
    if let Some(outcome) = outcome {
        return format!("ended: {outcome}");
    }
    let mut text = stage.as_ref().map_or_else(
        || "not begun".to_owned(),
        |stage| match (of, put_back) {
            (0, _) => format!("no systems in {stage}"),
            (_, 0) => format!("{stage} {done}/{of} done, {active} active, {failed} failed"),
            (_, back) => {
                format!(
                    "{stage} {done}/{of} done, {active} active, {failed} failed, {back} put back"
                )
            }
        },
    );
    if *paused {
        text.push_str(", paused");
    }
    if let Some(hold) = hold {
        text.push_str("; ");
        text.push_str(hold);
    }
    if let Some(by) = ended_by {
        text.push_str("; ended by ");
        text.push_str(by);
    }
    if let Some(changed) = changed {
        text.push_str("; ");
        text.push_str(changed);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(of: u32, put_back: u32) -> RolloutLine {
        RolloutLine {
            name: "web".to_owned(),
            stage: Some("rest".to_owned()),
            done: 0,
            of,
            active: 0,
            failed: 0,
            put_back,
            paused: false,
            hold: None,
            ended_by: None,
            changed: None,
            outcome: None,
        }
    }

    #[test]
    fn who_was_put_back_has_not_failed_and_a_stage_without_systems_has_no_counts() {
        assert_eq!(told_line(&line(1, 1)), "rest 0/1 done, 0 active, 0 failed, 1 put back");
        assert_eq!(told_line(&line(1, 0)), "rest 0/1 done, 0 active, 0 failed");
        assert_eq!(told_line(&line(0, 0)), "no systems in rest");
    }
}
