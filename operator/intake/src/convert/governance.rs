//! Approval policies and approvals.

use hozen_api::{approval as api, approval_policy, common};
use hozen_domain::{
    governance::{Approval, ApprovalPolicy, Circle, Standard, Vote},
    plan::{Category, RoleCount},
    units::Uid,
};
use jiff::Timestamp;

use super::{Refusal, Refusals, name, small};

/// An approval policy of the domain.
pub fn policy(object: &approval_policy::ApprovalPolicy) -> Result<ApprovalPolicy, Vec<Refusal>> {
    let mut refused = Refusals::default();
    let spec = &object.spec;
    let policy = ApprovalPolicy {
        name: name(&object.metadata),
        normal: circle("spec.normal", &spec.normal, &mut refused),
        emergency: circle("spec.emergency", &spec.emergency, &mut refused),
        standard: spec.standard.as_ref().and_then(|standard| {
            let after = refused.span("spec.standard.after", &standard.after);
            let category_max =
                category("spec.standard.maxCategory", &standard.max_category, &mut refused)?;
            Some(Standard { after, category_max })
        }),
        exception: circle("spec.exception", &spec.exception, &mut refused),
        exclude_authors: spec.exclude_authors,
    };
    refused.finish(Some(policy))
}

fn circle(path: &str, spec: &approval_policy::Circle, refused: &mut Refusals) -> Circle {
    let mut roles: Vec<RoleCount> = spec
        .roles
        .iter()
        .map(|role| RoleCount { name: small(&role.name), count: role.count })
        .collect();
    roles.sort();
    Circle { roles, valid_for: refused.span(&format!("{path}.validFor"), &spec.valid_for) }
}

pub(super) fn category(
    path: &str,
    category: &common::Category,
    refused: &mut Refusals,
) -> Option<Category> {
    match category {
        common::Category::Standard => Some(Category::Standard),
        common::Category::Minor => Some(Category::Minor),
        common::Category::Significant => Some(Category::Significant),
        common::Category::Major => Some(Category::Major),
        common::Category::Unknown(text) => {
            refused.unknown(path, text);
            None
        }
    }
}

/// An approval of the domain. `created` stands for the server's timestamp where there is none.
pub fn approval(object: &api::Approval, created: Timestamp) -> Result<Approval, Vec<Refusal>> {
    let mut refused = Refusals::default();
    let spec = &object.spec;
    let decision = match &spec.decision {
        api::Decision::Approve => Some(Vote::Approve),
        api::Decision::Reject => Some(Vote::Reject),
        api::Decision::Unknown(text) => {
            refused.unknown("spec.decision", text);
            None
        }
    };
    let approval = decision.map(|decision| Approval {
        name: name(&object.metadata),
        request: (small(&spec.change_request.name), Uid::new(spec.change_request.uid.as_str())),
        plan: small(&spec.plan_digest),
        role: small(&spec.role),
        decision,
        user: small(&spec.user),
        at: object.metadata.creation_timestamp.as_ref().map_or(created, |time| time.0),
        withdrawn: spec.withdrawn,
        comment: spec.comment.clone(),
    });
    refused.finish(approval)
}
