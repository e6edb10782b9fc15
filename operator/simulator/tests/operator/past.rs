//! Changes that are over before the story begins: some of them old and needed by nothing, others still deciding something.

use hozen_simulator::{Server, View};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    outside::{APPROVALS, REQUESTS, ROLLOUTS, name},
    scene::{ADMIN, HOZEN, Scene, change, make},
};

/// What the names of those begin with that are to be collected; the others are kept.
const GOES: &str = "past-goes-";
const STAYS: &str = "past-stays-";

/// Makes them.
pub fn set(server: &Server) {
    let days = |days: i64| server.now() - SignedDuration::from_hours(24 * days);
    request(server, &format!("{GOES}unsaid"), ("Superseded", days(8)));
    request(server, &format!("{STAYS}young"), ("Superseded", days(2)));
    request(server, &format!("{STAYS}aborted"), ("Failed", days(400)));
    executed(server, &format!("{STAYS}reviewed"), days(20));
    executed(server, &format!("{GOES}done"), days(100));
}

fn request(server: &Server, name: &str, (phase, since): (&str, Timestamp)) -> Value {
    let baseline = server
        .look(|view| view.get((HOZEN, "baselines"), "", "web").unwrap()["metadata"]["uid"].clone());
    // Each for a notice of its own: the first that was asked for one stays with the others.
    let mut plan = hozen_testkit::plan("web", &[name]);
    plan.classes = vec![hozen_testkit::node_class(&format!("sha256-{}", "d".repeat(64)), 1)];
    plan.baseline.uid.0 = baseline.as_str().unwrap().into();
    let digest = plan.digest().unwrap();
    let spec = json!({"plan": hozen_intake::convert::plan::to_api(&plan).unwrap(), "planDigest": digest,
        "requestedBy": Scene::installation().operator()});
    let made = make(server, REQUESTS, "", &json!({"metadata": {"name": name}, "spec": spec}));
    let status = json!({"status": {"phase": phase, "phaseSince": since}});
    change(server, (ADMIN, ""), REQUESTS, ("", name), "status", &status);
    made
}

/// One that people agreed to and that was executed.
fn executed(server: &Server, name: &str, ended: Timestamp) {
    let made = request(server, name, ("Done", ended));
    let (uid, digest) = (&made["metadata"]["uid"], &made["spec"]["planDigest"]);
    let owner = json!([{"apiVersion": "hozen.dev/v1alpha1", "kind": "ChangeRequest", "name": name, "uid": uid}]);
    let word = json!({"metadata": {"name": name, "ownerReferences": owner}, "spec": {
        "changeRequest": {"name": name, "uid": uid}, "planDigest": digest, "role": "platform",
        "decision": "Approve", "user": "alice"}});
    make(server, APPROVALS, "", &word);
    let spec = json!({"changeRequest": {"name": name, "uid": uid, "planDigest": digest}});
    make(server, ROLLOUTS, "", &json!({"metadata": {"name": name}, "spec": spec}));
    let status = json!({"status": {"ended": ended, "outcome": "Done"}});
    change(server, (ADMIN, ""), ROLLOUTS, ("", name), "status", &status);
}

/// What is there that should be gone, or is gone and should be there.
pub fn wrong(view: &View<'_>) -> Option<String> {
    let kinds = [REQUESTS, ROLLOUTS, APPROVALS];
    let all: Vec<&str> = kinds.into_iter().flat_map(|kind| view.list(kind)).map(name).collect();
    let left: Vec<&&str> = all.iter().filter(|name| name.starts_with(GOES)).collect();
    let kept = all.iter().filter(|name| name.starts_with(STAYS)).count();
    if !left.is_empty() {
        return Some(format!("26: {left:?} are over and needed by nothing, and not collected"));
    }
    // Two requests, and one with its rollout and a word on it.
    (kept != 5).then(|| format!("26: of what still counts {kept} are left of 5"))
}
