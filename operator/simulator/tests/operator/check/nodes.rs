//! Budgets, and whose cordon it is (invariants 1 to 7, 11, 17, 24, 50).

use hozen_simulator::{
    View,
    json::{list, text},
};
use serde_json::Value;

use super::{Checker, Record, cordoned, record};
use crate::outside::{JOBS, MANAGED, NODES, PODS, name, ready, uid};

const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

impl Checker {
    /// The operator has written a Node.
    pub(super) fn node(&self, before: &Value, after: &Value, view: &View<'_>) {
        let (had, has) = (record(before), record(after));
        let node = name(after);
        match (&had, &has) {
            (None, Some(claim)) => {
                self.promise(cordoned(after), 7, || {
                    format!("{node} got our record without a cordon")
                });
                self.claim(after, claim, view);
            }
            (Some(had), None) => self.release(had, before, after),
            (Some(had), Some(has)) => {
                self.promise(had == has, 24, || {
                    format!("{node}: our record {had:?} became {has:?}")
                });
                let same = cordoned(before) == cordoned(after);
                self.promise(same, 7, || {
                    format!("the cordon of {node} changed, and our record stayed")
                });
            }
            (None, None) => {
                let same = cordoned(before) == cordoned(after);
                self.promise(same, if cordoned(after) { 7 } else { 6 }, || {
                    format!("the cordon of {node} changed without our record")
                });
            }
        }
    }

    fn release(&self, had: &Record, before: &Value, after: &Value) {
        let node = name(after);
        match (cordoned(before), had.previously) {
            // Somebody uncordoned it while it was ours, or had cordoned it before us: it stays as it is.
            (false, _) | (true, true) => {
                let same = cordoned(before) == cordoned(after);
                self.promise(same, 6, || {
                    format!("{node}: somebody's will about its cordon was passed over")
                });
            }
            (true, false) => {
                self.promise(!cordoned(after), 7, || {
                    format!("{node} lost our record and kept our cordon")
                });
            }
        }
    }

    fn claim(&self, node: &Value, claim: &Record, view: &View<'_>) {
        let (name, now) = (name(node), view.now);
        self.promise(claim.node == uid(node), 50, || {
            format!("{name} was claimed for the uid {}", claim.node)
        });
        self.promise(self.scene.open(now), 17, || {
            format!("{name} was claimed at {now}, outside of every window")
        });
        let ours: Vec<&Value> = view.list(NODES).filter(|node| record(node).is_some()).collect();
        let stage =
            view.get(MANAGED, "", name).and_then(|node| node["spec"]["task"]["stage"].as_u64());
        let wide = i64::try_from(self.scene.max_unavailable).unwrap();
        let max = if stage == Some(0) { 1 } else { wide };
        let count = i64::try_from(ours.len()).unwrap();
        self.promise(count <= max, 1, || {
            format!("{count} nodes of at most {max} are ours since {name} was claimed")
        });
        let away = self.away.iter().filter(|(_, since)| self.known(Some(**since), now)).count();
        let away = i64::try_from(away).unwrap();
        self.promise(count + away <= max, 2, || {
            format!("{name} was claimed while {away} others were away, {count} are ours, and {max} may be")
        });
        self.promise(!self.known(self.failed, now), 3, || {
            format!("{name} was claimed while failures stand that nobody accepted")
        });
        self.control_plane(name, view);
        let schedulable = view.list(NODES).filter(|node| ready(node) && !cordoned(node)).count();
        self.promise(schedulable > 0, 5, || format!("{name} was the last schedulable node"));
        self.promise(!self.known(self.unguarded, now), 16, || {
            format!("{name} was claimed while the admission policies were not whole")
        });
        self.may(&claim.plan, view, || format!("the claim of {name}"));
    }

    fn control_plane(&self, claimed: &str, view: &View<'_>) {
        let all: Vec<&Value> = view
            .list(NODES)
            .filter(|node| {
                node.pointer("/metadata/labels").is_some_and(|l| l.get(CONTROL_PLANE).is_some())
            })
            .collect();
        if !all.iter().any(|node| name(node) == claimed) {
            return;
        }
        let ours = all.iter().filter(|node| record(node).is_some()).count();
        self.promise(ours <= 1, 4, || format!("{ours} nodes of the control plane are ours"));
        let known_away =
            all.iter().filter(|node| self.known(self.away.get(name(node)).copied(), view.now));
        let left = all.len() - ours - known_away.count();
        self.promise(left > all.len() / 2 || left == all.len() - 1 && all.len() == 1, 4, || {
            format!(
                "{claimed} was claimed, and {left} of {} nodes of the control plane are left",
                all.len()
            )
        });
    }

    /// The operator has made a Job.
    pub(super) fn job(&self, job: &Value, view: &View<'_>) {
        let said = |key: &str| {
            text(job, &format!("/metadata/annotations/hozen.dev~1{key}")).unwrap_or_default()
        };
        let (node, request, plan) = (said("node"), said("request-uid"), said("plan"));
        if matches!(said("step"), "patch" | "snapshot" | "reboot") {
            let left: Vec<&str> =
                view.list(PODS).filter(|pod| must_leave(pod, node)).map(name).collect();
            self.promise(left.is_empty(), 11, || {
                format!("a Job on {node} while {left:?} are still there")
            });
        }
        let other = view.list(JOBS).find(|other| {
            let of = |key: &str| text(other, &format!("/metadata/annotations/hozen.dev~1{key}"));
            let ended = list(other, "/status/conditions").any(|c| c["status"] == "True");
            of("node") == Some(node) && of("request-uid") != Some(request) && !ended
        });
        self.promise(other.is_none(), 24, || format!("two changes at once on {node}"));
        let there = view.get(NODES, "", node).map(uid);
        self.promise(there == Some(said("node-uid")), 50, || {
            format!("a Job for {node} of another uid")
        });
        self.may(plan, view, || format!("a Job on {node}"));
    }
}

/// Pods that a drain waits for: neither daemons', nor ours, nor ended.
fn must_leave(pod: &Value, node: &str) -> bool {
    let labels = pod.pointer("/metadata/labels");
    let ours = labels.is_some_and(|labels| labels.get("hozen.dev/component").is_some());
    let daemon = list(pod, "/metadata/ownerReferences").any(|owner| owner["kind"] == "DaemonSet");
    let ended = matches!(text(pod, "/status/phase"), Some("Succeeded" | "Failed"));
    text(pod, "/spec/nodeName") == Some(node) && !ours && !daemon && !ended
}
