//! Baselines: who judges them is a privilege, and who edits them says so.

use hozen_api::{
    baseline::EDITORS_MAX,
    names::{GROUP, privilege},
};

use super::Policy;
use crate::Installation;

pub(super) fn policies(installation: &Installation) -> Vec<Policy> {
    vec![baselines(), authors(), government(installation)]
}

fn baselines() -> Policy {
    Policy::new("hozen-baselines", "To name an approval policy needs the verb use on it; who edits a baseline names nobody else.")
        .on(GROUP, &["baselines"], &["CREATE", "UPDATE"])
        .telling(
            format!(
                "(oldObject != null && oldObject.spec.approvalPolicy == object.spec.approvalPolicy) \
                 || authorizer.group('{GROUP}').resource('approvalpolicies').name(object.spec.approvalPolicy).check('{}').allowed()",
                privilege::USE,
            ),
            format!(
                "'you may not use the approval policy ' + object.spec.approvalPolicy + ': it needs the verb {} on approvalpolicies/' + object.spec.approvalPolicy",
                privilege::USE,
            ),
            "you may not use this approval policy",
        )
        .telling(
            "(oldObject != null && object.spec == oldObject.spec) || object.spec.?editedBy.orValue(request.userInfo.username) == request.userInfo.username",
            "'who edits a baseline names nobody else: set spec.editedBy to ' + request.userInfo.username",
            "who edits a baseline names nobody else in spec.editedBy",
        )
}

/// Asked of every approval policy, since only it knows whether authors are excluded.
fn authors() -> Policy {
    let mut policy = Policy::new("hozen-authors", "Under a policy that excludes authors, who edits a baseline says so.")
        .on(GROUP, &["baselines"], &["CREATE", "UPDATE"])
        .telling(
            "object.spec.approvalPolicy != params.metadata.name || !params.spec.?excludeAuthors.orValue(false) \
             || (oldObject != null && object.spec == oldObject.spec) || has(object.spec.editedBy)",
            "'the approval policy ' + params.metadata.name + ' excludes authors: set spec.editedBy to ' + request.userInfo.username",
            "the approval policy excludes authors: set spec.editedBy to yourself",
        )
        // The spec names its last editor alone: who edited before stands in the status, and must stand there before another one takes their place.
        .telling(
            "object.spec.approvalPolicy != params.metadata.name || !params.spec.?excludeAuthors.orValue(false) \
             || oldObject == null || object.spec == oldObject.spec \
             || oldObject.spec.?editedBy.orValue(request.userInfo.username) == request.userInfo.username \
             || oldObject.?status.?authors.?generation.orValue(0) == oldObject.metadata.generation",
            "'Hozen has not noted yet that ' + oldObject.spec.editedBy + ' edited it before you, and would forget who wrote it: try again in a moment'",
            "Hozen has not noted yet who edited it before you: try again in a moment",
        )
        .telling(
            format!(
                "object.spec.approvalPolicy != params.metadata.name || !params.spec.?excludeAuthors.orValue(false) \
                 || oldObject == null || object.spec == oldObject.spec \
                 || size(oldObject.?status.?authors.?editors.orValue([])) < {EDITORS_MAX} \
                 || oldObject.status.authors.editors.exists(e, e.user == request.userInfo.username)"
            ),
            format!("'{EDITORS_MAX} people have edited ' + object.metadata.name + ' since a change that follows from it was begun: begin one before another person edits it'"),
            "too many people have edited it since a change that follows from it was begun",
        );
    policy.asks_each_judge = true;
    policy
}

/// What Hozen is governed by, Hozen does not write, whatever RBAC says.
fn government(installation: &Installation) -> Policy {
    let Installation { namespace, work_namespace, .. } = installation;
    Policy::new("hozen-government", "Hozen's own accounts write nothing that governs them.")
        .on(
            GROUP,
            &["approvalpolicies", "baselines", "advisoryfeeds"],
            &["CREATE", "UPDATE", "DELETE"],
        )
        .when(
            "own-accounts",
            format!(
                "request.userInfo.username.startsWith('system:serviceaccount:{namespace}:') \
                 || request.userInfo.username.startsWith('system:serviceaccount:{work_namespace}:')"
            ),
        )
        .rule("false", "Hozen's own accounts write nothing that governs them: people do")
}
