//! Cases of what people say: approvals, and what governs them.

use serde_json::{Value, json};

use crate::{
    cases::{
        Act::{Apply, Create, Delete, DeleteAll, Merge, Status},
        Answer::{Allowed, Refused},
        Case, Target, V1,
        Who::{Admin, Alice, Bob, Carol, Collector, Mallory, Operator, Scanner},
        cases,
    },
    objects::{approval, approval_policy, baseline, change_request, digest},
};

const APPROVAL: Target = (V1, "Approval", None);
const BASELINE: Target = (V1, "Baseline", None);
const REQUEST: Target = (V1, "ChangeRequest", None);
const POLICY: Target = (V1, "ApprovalPolicy", None);
const ROLLOUT: Target = (V1, "Rollout", None);

pub fn all() -> Vec<Case> {
    let mut all = approvals();
    all.extend(governance());
    all.extend(history());
    all
}

fn history() -> Vec<Case> {
    cases(
        "Changes that are over",
        vec![
            (
                "the operator collects a request that is over",
                Operator,
                Delete(REQUEST, "over"),
                Allowed,
            ),
            (
                "the operator deletes a request that waits for people",
                Operator,
                Delete(REQUEST, crate::objects::REQUEST),
                Refused("the operator deletes no change request that is not over"),
            ),
            (
                "the operator deletes all requests",
                Operator,
                DeleteAll(REQUEST, crate::objects::REQUEST),
                Refused("the operator deletes no change request that is not over"),
            ),
            (
                "the operator collects a rollout that has ended",
                Operator,
                Delete(ROLLOUT, "ended"),
                Allowed,
            ),
            (
                "the operator deletes a rollout that goes on",
                Operator,
                Delete(ROLLOUT, "ro"),
                Refused("the operator deletes no rollout that has not ended"),
            ),
            (
                "the operator deletes a rollout that has ended and may hold nodes",
                Operator,
                Delete(ROLLOUT, "held"),
                Refused("the operator deletes no rollout that has not ended, or may hold nodes"),
            ),
        ],
    )
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn approvals() -> Vec<Case> {
    let with = |field: &str, value: Value| {
        let mut approval = approval("new", "alice", "security");
        approval["spec"][field] = value;
        approval
    };
    let change = |name, value: Value| Merge(APPROVAL, name, json!({ "spec": value }));
    cases(
        "Approvals",
        vec![
            (
                "alice approves in her role",
                Alice,
                Create(approval("new", "alice", "security")),
                Allowed,
            ),
            (
                "alice rejects in her role",
                Alice,
                Create(with("decision", json!("Reject"))),
                Allowed,
            ),
            (
                "alice approves as bob",
                Alice,
                Create(approval("new", "bob", "security")),
                Refused("an approval is given in your own name: set spec.user to alice"),
            ),
            (
                "mallory approves as alice",
                Mallory,
                Create(approval("new", "alice", "security")),
                Refused("set spec.user to mallory"),
            ),
            (
                "mallory approves as alice by server-side apply",
                Mallory,
                Apply(approval("new", "alice", "security")),
                Refused("set spec.user to mallory"),
            ),
            (
                "mallory approves without the role",
                Mallory,
                Create(approval("new", "mallory", "security")),
                Refused("you do not hold the approval role security"),
            ),
            (
                "alice approves in bob's role",
                Alice,
                Create(approval("new", "alice", "platform")),
                Refused("you do not hold the approval role platform"),
            ),
            (
                "the administrator approves as alice",
                Admin,
                Create(approval("new", "alice", "security")),
                Refused("set spec.user to admin"),
            ),
            (
                "the operator approves by itself",
                Operator,
                Create(approval("new", Operator.user(), "security")),
                Refused("Hozen's own accounts cannot approve"),
            ),
            (
                "the scanner approves by itself",
                Scanner,
                Create(approval("new", Scanner.user(), "security")),
                Refused("Hozen's own accounts cannot approve"),
            ),
            (
                "an approval is born withdrawn",
                Alice,
                Create(with("withdrawn", json!(true))),
                Refused("a new approval cannot be withdrawn already"),
            ),
            (
                "alice moves her approval to another plan",
                Alice,
                change("standing", json!({"planDigest": digest('b')})),
                Refused("an approval cannot be changed"),
            ),
            (
                "alice moves her approval to another request",
                Alice,
                change("standing", json!({"changeRequest": {"name": "other"}})),
                Refused("an approval cannot be changed"),
            ),
            (
                "alice moves her approval to another role",
                Alice,
                change("standing", json!({"role": "platform"})),
                Refused("an approval cannot be changed"),
            ),
            (
                "mallory takes over alice's approval",
                Mallory,
                change("standing", json!({"user": "mallory"})),
                Refused("an approval cannot be changed"),
            ),
            (
                "mallory turns bob's rejection into an approval",
                Mallory,
                change("rejection", json!({"decision": "Approve"})),
                Refused("an approval cannot be changed"),
            ),
            (
                "mallory puts words into bob's mouth",
                Mallory,
                change("rejection", json!({"comment": "all good"})),
                Refused("an approval cannot be changed"),
            ),
            (
                "mallory withdraws bob's rejection",
                Mallory,
                change("rejection", json!({"withdrawn": true})),
                Refused("only who gave an approval can withdraw it"),
            ),
            (
                "the administrator withdraws bob's rejection",
                Admin,
                change("rejection", json!({"withdrawn": true})),
                Refused("only who gave an approval can withdraw it"),
            ),
            (
                "bob withdraws his own rejection",
                Bob,
                change("rejection", json!({"withdrawn": true})),
                Allowed,
            ),
            (
                "alice revives what she withdrew",
                Alice,
                change("withdrawn", json!({"withdrawn": false})),
                Refused("a withdrawal is final"),
            ),
            (
                "alice revives it by removing the field",
                Alice,
                change("withdrawn", json!({"withdrawn": null})),
                Refused("a withdrawal is final"),
            ),
            (
                "mallory deletes bob's rejection",
                Mallory,
                Delete(APPROVAL, "rejection"),
                Refused("an approval is not deleted while it stands"),
            ),
            (
                "mallory deletes all approvals and rejections",
                Mallory,
                DeleteAll(APPROVAL, "rejection"),
                Refused("an approval is not deleted while it stands"),
            ),
            (
                "the operator deletes bob's rejection",
                Operator,
                Delete(APPROVAL, "rejection"),
                Refused("an approval is not deleted while it stands"),
            ),
            (
                "mallory has the garbage collector remove it",
                Mallory,
                Merge(
                    APPROVAL,
                    "rejection",
                    json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "gone", "uid": "gone"}]}}),
                ),
                Refused("the owner of an approval cannot be changed"),
            ),
            (
                "the garbage collector removes what its request left",
                Collector,
                Delete(APPROVAL, "rejection"),
                Allowed,
            ),
            ("a withdrawn approval is tidied away", Alice, Delete(APPROVAL, "withdrawn"), Allowed),
        ],
    )
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn governance() -> Vec<Case> {
    let spec = |value: Value| json!({ "spec": value });
    cases(
        "Baselines, policies and requests",
        vec![
            (
                "carol uses a policy that she may use",
                Carol,
                Create(baseline("new", "production", Some("carol"))),
                Allowed,
            ),
            (
                "mallory chooses her judge",
                Mallory,
                Create(baseline("new", "lax", None)),
                Refused("you may not use the approval policy lax"),
            ),
            (
                "bob moves a baseline to a policy that is not his to use",
                Bob,
                Merge(
                    BASELINE,
                    "db",
                    spec(json!({"approvalPolicy": "production", "editedBy": "bob"})),
                ),
                Refused("you may not use the approval policy production"),
            ),
            (
                "mallory moves a strict baseline to the lax policy",
                Mallory,
                Merge(
                    BASELINE,
                    "web",
                    spec(json!({"approvalPolicy": "lax", "editedBy": "mallory"})),
                ),
                Refused("you may not use the approval policy lax"),
            ),
            (
                "mallory edits a baseline in carol's name",
                Mallory,
                Merge(BASELINE, "web", spec(json!({"priority": 7}))),
                Refused("set spec.editedBy to mallory"),
            ),
            (
                "mallory edits a baseline in nobody's name",
                Mallory,
                Merge(BASELINE, "web", spec(json!({"priority": 7, "editedBy": null}))),
                Refused(
                    "the approval policy production excludes authors: set spec.editedBy to mallory",
                ),
            ),
            (
                "mallory edits a baseline in her own name, which excludes her",
                Mallory,
                Merge(BASELINE, "web", spec(json!({"priority": 7, "editedBy": "mallory"}))),
                Allowed,
            ),
            (
                "mallory edits what carol edited, before it is noted that carol did",
                Mallory,
                Merge(BASELINE, "fresh", spec(json!({"priority": 7, "editedBy": "mallory"}))),
                Refused("Hozen has not noted yet that carol edited it before you"),
            ),
            (
                "carol edits once more what she edited",
                Carol,
                Merge(BASELINE, "fresh", spec(json!({"priority": 7}))),
                Allowed,
            ),
            (
                "mallory is one author too many",
                Mallory,
                Merge(BASELINE, "crowded", spec(json!({"priority": 7, "editedBy": "mallory"}))),
                Refused(
                    "32 people have edited crowded since a change that follows from it was begun",
                ),
            ),
            (
                "mallory writes herself out of the authors",
                Mallory,
                Status(BASELINE, "web", json!({"status": {"authors": {"generation": 9}}})),
                Refused("the status of baselines is what Hozen saw"),
            ),
            (
                "a label on a baseline is no edit",
                Mallory,
                Merge(BASELINE, "web", json!({"metadata": {"labels": {"seen": "yes"}}})),
                Allowed,
            ),
            (
                "the operator edits a baseline",
                Operator,
                Merge(BASELINE, "db", spec(json!({"priority": 7}))),
                Refused("Hozen's own accounts write nothing that governs them"),
            ),
            (
                "the operator softens an approval policy",
                Operator,
                Merge(POLICY, "production", spec(json!({"excludeAuthors": false}))),
                Refused("Hozen's own accounts write nothing that governs them"),
            ),
            (
                "the scanner makes an approval policy",
                Scanner,
                Create(approval_policy("new", false)),
                Refused("Hozen's own accounts write nothing that governs them"),
            ),
            (
                "mallory requests a change in the operator's name",
                Mallory,
                Create({
                    let mut r = change_request(Operator.user());
                    r["metadata"]["name"] = json!("new");
                    r
                }),
                Refused("a change is requested in your own name: set spec.requestedBy to mallory"),
            ),
            (
                "the operator requests a change in alice's name",
                Operator,
                Create({
                    let mut r = change_request("alice");
                    r["metadata"]["name"] = json!("new");
                    r
                }),
                Refused("a change is requested in your own name"),
            ),
            (
                "mallory requests a change in her own name",
                Mallory,
                Create({
                    let mut r = change_request("mallory");
                    r["metadata"]["name"] = json!("new");
                    r
                }),
                Allowed,
            ),
            (
                "the plan of a request is changed",
                Admin,
                Merge(
                    REQUEST,
                    crate::objects::REQUEST,
                    spec(json!({"plan": {"emergency": false}})),
                ),
                Refused("a change request is immutable"),
            ),
            (
                "mallory has the garbage collector remove a request, and what was said of it",
                Mallory,
                Merge(
                    REQUEST,
                    crate::objects::REQUEST,
                    json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "gone", "uid": "gone"}]}}),
                ),
                Refused("the owner of a change request cannot be changed"),
            ),
            (
                "the requester of a request is changed",
                Operator,
                Merge(REQUEST, crate::objects::REQUEST, spec(json!({"requestedBy": "mallory"}))),
                Refused("a change request is immutable"),
            ),
        ],
    )
}
