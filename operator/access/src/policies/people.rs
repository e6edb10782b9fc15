//! What people say: approvals, change requests, the handle of a rollout, the halt.

use hozen_api::{
    names::{GROUP, finalizer, halt, privilege},
    rollout::FIRST_FAILURES_MAX,
};

use super::{COLLECTORS, Policy, SUBJECT, UNDERTAKERS};
use crate::Installation;

/// A reason that is longer is no reason but a letter.
const REASON_LENGTH_MAX: u32 = 1024;

/// Phases in which nothing more happens to a request.
const ENDED: [&str; 5] = ["Done", "Superseded", "Rejected", "Expired", "Failed"];

/// Who owns an object decides when it is removed.
fn owner_stays() -> String {
    format!(
        "request.operation != 'UPDATE' || request.userInfo.username in {COLLECTORS} \
         || object.metadata.?ownerReferences.orValue([]) == oldObject.metadata.?ownerReferences.orValue([])"
    )
}

pub(super) fn policies(installation: &Installation) -> Vec<Policy> {
    vec![
        approvals(installation),
        change_requests(),
        rollouts(installation),
        history(installation),
        halts(installation),
    ]
}

/// Admission vouches for who and in which role; whether an approval counts, the domain judges (invariants 12 to 15).
fn approvals(installation: &Installation) -> Policy {
    let Installation { namespace, work_namespace, .. } = installation;
    Policy::new("hozen-approvals", "An approval is given in one's own name and a held role, and never changed.")
        .on(GROUP, &["approvals"], &["CREATE", "UPDATE", "DELETE"])
        .telling(
            "request.operation != 'CREATE' || object.spec.user == request.userInfo.username",
            "'an approval is given in your own name: set spec.user to ' + request.userInfo.username",
            "an approval is given in your own name",
        )
        .telling(
            format!(
                "request.operation != 'CREATE' || authorizer.group('{GROUP}').resource('{}').name(object.spec.role).check('{}').allowed()",
                privilege::APPROVAL_ROLES, privilege::APPROVE,
            ),
            format!(
                "'you do not hold the approval role ' + object.spec.role + ': it needs the verb {} on {}/' + object.spec.role",
                privilege::APPROVE, privilege::APPROVAL_ROLES,
            ),
            "you do not hold this approval role",
        )
        .rule(
            format!(
                "request.operation != 'CREATE' || !(request.userInfo.username.startsWith('system:serviceaccount:{namespace}:') \
                 || request.userInfo.username.startsWith('system:serviceaccount:{work_namespace}:'))"
            ),
            "Hozen's own accounts cannot approve",
        )
        .rule(
            "request.operation != 'CREATE' || !object.spec.?withdrawn.orValue(false)",
            "a new approval cannot be withdrawn already",
        )
        .rule(
            "request.operation != 'UPDATE' || (object.spec.user == oldObject.spec.user && object.spec.role == oldObject.spec.role \
             && object.spec.planDigest == oldObject.spec.planDigest && object.spec.decision == oldObject.spec.decision \
             && object.spec.changeRequest == oldObject.spec.changeRequest \
             && object.spec.?comment.orValue('') == oldObject.spec.?comment.orValue(''))",
            "an approval cannot be changed: withdraw it and give another",
        )
        .rule(
            "request.operation != 'UPDATE' || object.spec.?withdrawn.orValue(false) == oldObject.spec.?withdrawn.orValue(false) \
             || (object.spec.?withdrawn.orValue(false) && request.userInfo.username == oldObject.spec.user)",
            "only who gave an approval can withdraw it, and a withdrawal is final",
        )
        // Otherwise the garbage collector could be sent to remove somebody's rejection.
        .rule(
            owner_stays(),
            "the owner of an approval cannot be changed: who owns it decides when it is removed",
        )
        .rule(
            format!(
                "request.operation != 'DELETE' || request.userInfo.username in {COLLECTORS} || oldObject.spec.?withdrawn.orValue(false)"
            ),
            "an approval is not deleted while it stands: its giver can withdraw it (kubectl hozen withdraw)",
        )
}

fn change_requests() -> Policy {
    Policy::new("hozen-change-requests", "A change request names the caller as its requester.")
        .on(GROUP, &["changerequests"], &["CREATE", "UPDATE"])
        .telling(
            "request.operation != 'CREATE' || object.spec.requestedBy == request.userInfo.username",
            "'a change is requested in your own name: set spec.requestedBy to ' + request.userInfo.username",
            "a change is requested in your own name",
        )
        // Otherwise the garbage collector could be sent to remove it, and every word on it: the next one begins without a rejection.
        .rule(
            owner_stays(),
            "the owner of a change request cannot be changed: who owns it decides when it is removed",
        )
}

/// A rollout makes no choice that its plan did not make: people hold its handle, the operator holds none.
fn rollouts(installation: &Installation) -> Policy {
    let operator = installation.operator();
    Policy::new("hozen-rollouts", "Rollouts are made by the operator; people hold the handle, and accept failures in their own name.")
        .on(GROUP, &["rollouts"], &["CREATE", "UPDATE"])
        .variable("old", "oldObject == null ? [] : oldObject.spec.?acceptFailures.orValue([])")
        .variable("new", "object.spec.?acceptFailures.orValue([])")
        .variable("failed", "oldObject == null ? [] : oldObject.?status.?firstFailures.orValue([])")
        .rule(
            format!("request.operation != 'CREATE' || request.userInfo.username == '{operator}'"),
            "rollouts are made by the operator, once their change request is approved",
        )
        .rule(
            "request.operation != 'CREATE' || (!object.spec.?paused.orValue(false) && !object.spec.?abort.orValue(false) \
             && !has(object.spec.promoteThrough) && !has(object.spec.retry) && size(variables.new) == 0)",
            "a rollout begins without a word of people: its handle is theirs",
        )
        .rule(
            format!("request.operation != 'UPDATE' || request.userInfo.username != '{operator}' || object.spec == oldObject.spec"),
            "the handle of a rollout is held by people, not by the operator",
        )
        .rule(
            format!(
                "variables.new == variables.old || authorizer.group('{GROUP}').resource('rollouts').name(object.metadata.name).check('{}').allowed()",
                privilege::ACCEPT,
            ),
            format!("to accept failures needs the verb {} on rollouts", privilege::ACCEPT),
        )
        .telling(
            "variables.new.all(n, n.?by.orValue('') == request.userInfo.username \
             || variables.old.exists(o, o.node == n.node && o.uid == n.uid && o.?by.orValue('') == n.?by.orValue('')))",
            "'a failure is accepted in your own name: set by to ' + request.userInfo.username",
            "a failure is accepted in your own name",
        )
        // What has not failed yet nobody can accept (invariant 3). A rollout with more failures than it names shows too little to judge by.
        .rule(
            format!(
                "size(variables.failed) >= {FIRST_FAILURES_MAX} || variables.new.all(n, variables.failed.exists(f, f.node == n.node) \
                 || variables.old.exists(o, o.node == n.node && o.uid == n.uid))"
            ),
            "only a failure that has happened is accepted: status.firstFailures of the rollout does not name this one",
        )
        .telling(
            "!has(object.spec.retry) || object.spec.retry.by == request.userInfo.username \
             || (oldObject != null && has(oldObject.spec.retry) && oldObject.spec.retry == object.spec.retry)",
            "'another attempt is asked for in your own name: set retry.by to ' + request.userInfo.username",
            "another attempt is asked for in your own name",
        )
        // Who asked for it cannot approve it (invariant 13): that must not be forgotten before it is approved.
        .rule(
            "request.operation != 'UPDATE' || !has(oldObject.spec.retry) || (has(object.spec.retry) && object.spec.retry == oldObject.spec.retry)",
            "another attempt that was asked for stays asked for, by whom it was: reject the change request that came of it",
        )
        .rule(
            owner_stays(),
            "the owner of a rollout cannot be changed: who owns it decides when it is removed",
        )
}

/// With a request goes what people said of it, and with a rollout what it holds: the operator collects what is over, and nothing else. How long ago it
/// ended admission cannot ask: it knows no time.
fn history(installation: &Installation) -> Policy {
    let ended: Vec<String> = ENDED.iter().map(|phase| format!("'{phase}'")).collect();
    Policy::new("hozen-history", "Of changes the operator deletes those that are over, and nothing that goes on or waits for people.")
        .on(GROUP, &["changerequests", "rollouts"], &["DELETE"])
        .when("operator", format!("request.userInfo.username == '{}'", installation.operator()))
        .rule(
            format!(
                "request.resource.resource != 'changerequests' || oldObject.?status.?phase.orValue('') in [{}]",
                ended.join(", "),
            ),
            "the operator deletes no change request that is not over",
        )
        .rule(
            format!(
                "request.resource.resource != 'rollouts' || (has(oldObject.status) && has(oldObject.status.ended) \
                 && !('{}' in oldObject.metadata.?finalizers.orValue([])))",
                finalizer::ROLLOUT,
            ),
            "the operator deletes no rollout that has not ended, or may hold nodes",
        )
}

/// The halt: its own privilege, so that whoever may edit config maps can neither stop the fleet nor let it go on.
fn halts(installation: &Installation) -> Policy {
    let (name, key) = (halt::CONFIG_MAP, halt::KEY);
    let data = |object: &str| format!("{object}.?data.orValue({{}})");
    Policy::new("hozen-halt", "Only who holds the halt sets and lifts it.")
        .on("", &["configmaps"], &["CREATE", "UPDATE", "DELETE"])
        .inside(&[&installation.namespace])
        .when("the-halt", format!("{SUBJECT}.metadata.name == '{name}'"))
        // It goes with its namespace. By an owner it goes only where who holds the halt gave it one.
        .rule(
            format!(
                "authorizer.group('{GROUP}').resource('{}').namespace(request.namespace).name('{name}').check('{}').allowed() \
                 || (request.operation == 'DELETE' && (request.userInfo.username in {UNDERTAKERS} || request.userInfo.username in {COLLECTORS})) \
                 || (request.operation == 'UPDATE' && request.userInfo.username in {COLLECTORS} && {} == {})",
                privilege::HALTS, privilege::SET, data("object"), data("oldObject"),
            ),
            format!("to halt, and to lift a halt, needs the verb {} on {}", privilege::SET, privilege::HALTS),
        )
        .rule(
            format!(
                "request.operation == 'DELETE' || object.?data.orValue({{}}).all(k, k == '{key}' && size(object.data[k]) <= {REASON_LENGTH_MAX})"
            ),
            format!("a halt has one key, {key}, of at most {REASON_LENGTH_MAX} characters"),
        )
}
