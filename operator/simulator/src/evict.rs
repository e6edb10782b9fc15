//! The eviction subresource: yes, not now (a budget), never (two budgets), and what an unhealthy pod is worth (S9).

use serde_json::{Value, json};

use crate::{
    json::{list, part, text},
    refusal::Refusal,
    selector::matches,
    server::State,
    store::{Key, Object},
    write::Target,
};

impl State {
    pub(crate) fn evict(&mut self, target: &Target<'_>) -> Result<(u16, Value), Refusal> {
        let pod = self.found(target)?;
        let options = target.call.body.get("deleteOptions").cloned().unwrap_or_default();
        Self::check_preconditions(target, &pod, &options)?;
        let phase = text(&pod.value, "/status/phase").unwrap_or_default();
        let ended = matches!(phase, "Succeeded" | "Failed" | "Pending");
        if !ended && text(&pod.value, "/metadata/deletionTimestamp").is_none() {
            self.leave_of_budgets(target, &pod)?;
        }
        if !is_dry_run(target) {
            self.end(target, &pod, &options)?;
        }
        let done = json!({"kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Success", "code": 201});
        Ok((201, done))
    }

    /// Takes one disruption from the budget of a pod, if it has one that can be had.
    fn leave_of_budgets(&mut self, target: &Target<'_>, pod: &Object) -> Result<(), Refusal> {
        let Some(place) = self.kinds.find("policy", "poddisruptionbudgets") else {
            return Ok(());
        };
        let labels = pod.value.pointer("/metadata/labels");
        let of: Vec<Key> = self
            .store
            .list(place)
            .filter(|(key, budget)| {
                key.namespace == target.key.namespace
                    && matches(&budget.value["spec"]["selector"], labels)
            })
            .map(|(key, _)| key.clone())
            .collect();
        let key = match of.as_slice() {
            [] => return Ok(()),
            [key] => key.clone(),
            [_, _, ..] => {
                let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
                return Err(Refusal::new(500, "", message));
            }
        };
        let one = Target { call: target.call, place, kind: self.kinds.at(place), key };
        let budget = self.found(&one)?;
        let number = |field: &str| budget.value["status"][field].as_i64().unwrap_or(0);
        if !ready(&pod.value) && goes_unready(&budget.value, &number) {
            return Ok(());
        }
        let name = &one.key.name;
        if number("observedGeneration")
            < budget.value["metadata"]["generation"].as_i64().unwrap_or(0)
        {
            let message =
                format!("The disruption budget {name} is still being processed by the server.");
            return Err(refused(&message, 10));
        }
        let (needs, has) = (number("desiredHealthy"), number("currentHealthy"));
        if number("disruptionsAllowed") <= 0 {
            let message = format!(
                "The disruption budget {name} needs {needs} healthy pods and has {has} currently"
            );
            return Err(refused(&message, 0));
        }
        if is_dry_run(target) {
            return Ok(());
        }
        let (now, left) = (self.now().to_string(), number("disruptionsAllowed") - 1);
        let mut value = budget.value.clone();
        let status = part(&mut value, "status");
        status.insert("disruptionsAllowed".into(), left.into());
        let disrupted = status.entry("disruptedPods").or_insert(json!({}));
        crate::json::fields(disrupted).insert(target.key.name.clone(), now.into());
        self.commit(&one, value, budget.owners.clone())?;
        Ok(())
    }
}

/// Whether it is asked only what would happen.
fn is_dry_run(target: &Target<'_>) -> bool {
    target.call.query.get("dryRun").is_some_and(|what| what == "All")
}

/// Whether a pod says that it is ready.
pub(crate) fn ready(pod: &Value) -> bool {
    list(pod, "/status/conditions").any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// Whether a budget lets a pod go that is not ready. What it says that we do not know is taken for no.
fn goes_unready(budget: &Value, number: &dyn Fn(&str) -> i64) -> bool {
    match text(budget, "/spec/unhealthyPodEvictionPolicy") {
        Some("AlwaysAllow") => true,
        Some("IfHealthyBudget") | None => {
            number("desiredHealthy") > 0 && number("currentHealthy") >= number("desiredHealthy")
        }
        Some(_) => false,
    }
}

fn refused(why: &str, retry_after: u64) -> Refusal {
    let cause = json!({"reason": "DisruptionBudget", "message": why});
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut refusal = Refusal::new(429, "TooManyRequests", message).because(vec![cause]);
    refusal.retry_after = (retry_after > 0).then_some(retry_after);
    refusal
}
