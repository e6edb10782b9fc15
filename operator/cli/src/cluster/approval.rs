//! `hozen approve`, `hozen reject`, `hozen withdraw`.

use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
};

use hozen_api::{
    approval::{Approval, ApprovalSpec, Decision},
    change_request::{ChangeRequest, Phase},
    common::ObjectReference,
    names::privilege,
};
use hozen_domain::{
    gate::replaces,
    plan::Plan,
    units::{Span, User},
};
use hozen_intake::{convert::request::change_request, problem::one_of};
use jiff::Timestamp;
use kube::{ResourceExt as _, api::ListParams};

use super::{
    Cluster,
    args::{Withdraw, Word},
    error::ClusterError,
    show,
};
use crate::{clock, error::Failed, print};

const REQUEST: &str = "change request";

/// Agrees.
pub async fn approve(cluster: &Cluster, asked: &Word) -> Result<ExitCode, Failed> {
    give(cluster, asked, Decision::Approve).await
}

/// Says no: one word of a needed role ends the request.
pub async fn reject(cluster: &Cluster, asked: &Word) -> Result<ExitCode, Failed> {
    give(cluster, asked, Decision::Reject).await
}

async fn give(cluster: &Cluster, asked: &Word, decision: Decision) -> Result<ExitCode, Failed> {
    let user = cluster.who().await?;
    let (request, plan) = open(cluster, asked).await?;
    if decision == Decision::Approve {
        may_count(&request, &user)?;
    }
    let role = role(cluster, &request, asked, &decision).await?;
    let said = said(cluster, &request.name_any()).await?;
    let uid = request.uid().unwrap_or_default();
    let until = plan.needs.valid_for;
    let again = said.iter().find(|old| {
        let spec = &old.spec;
        spec.user == user
            && spec.role == role
            && spec.change_request.uid == uid
            && spec.decision == decision
            && stands(old, until, clock::now())
    });
    if let Some(old) = again {
        let text = format!("you said so already as {role}: {}\n", old.name_any());
        return print(&text);
    }
    print(&show::page(cluster, &request).await?)?;
    let (verb, done) = if decision == Decision::Approve {
        ("approve", "approved")
    } else {
        ("reject", "rejected")
    };
    if !asked.yes
        && !confirmed(&format!(
            "{verb} {} as {role}, in the name of {user}? [y/N] ",
            asked.request
        ))?
    {
        return print("nothing was said\n");
    }
    // Reading takes time: what is approved is what stands now, or nothing is.
    let (now, _) = open(cluster, asked).await?;
    if now.uid() != request.uid() || now.spec.plan_digest != request.spec.plan_digest {
        return Err(ClusterError::Sense(format!(
            "{} was made anew meanwhile: nothing was said",
            asked.request
        ))
        .into());
    }
    let spec = ApprovalSpec {
        change_request: ObjectReference { name: request.name_any(), uid },
        plan_digest: request.spec.plan_digest.clone(),
        role: role.clone(),
        decision,
        user: user.clone(),
        comment: asked.comment.clone(),
        withdrawn: false,
    };
    let given = cluster.give(&request, spec).await?;
    print(&format!("{}: {done} as {role} by {user} ({})\n", asked.request, given.name_any()))
}

/// Whether a word still counts for as long as the plan lets it. One that has run out is given once more; a no does not run out.
fn stands(word: &Approval, valid_for: Span, now: Timestamp) -> bool {
    let given = word.creation_timestamp().map(|at| at.0);
    let until = given.map(|at| at.checked_add(valid_for.duration()).unwrap_or(Timestamp::MAX));
    !word.spec.withdrawn
        && (word.spec.decision == Decision::Reject || until.is_some_and(|until| now < until))
}

/// The request, if people's words still matter to it, with a plan that is what its digest says.
async fn open(cluster: &Cluster, asked: &Word) -> Result<(ChangeRequest, Plan), ClusterError> {
    let request: ChangeRequest = cluster.get(REQUEST, &asked.request).await?;
    let name = &asked.request;
    let sense = |text: String| Err(ClusterError::Sense(text));
    let plan = hozen_intake::convert::plan::plan(&request.spec.plan).map_err(|refused| {
        let first =
            refused.first().map(|r| format!("{}: {}", r.path, r.message)).unwrap_or_default();
        ClusterError::Sense(format!("the plan of {name} cannot be read by this version: {first}"))
    })?;
    let digest = plan.digest().map_err(|error| {
        ClusterError::Sense(format!("the plan of {name} has no canonical form: {error}"))
    })?;
    if digest != request.spec.plan_digest {
        return sense(format!(
            "the plan of {name} is not what its digest says: it hashes to {digest}, and says {}",
            request.spec.plan_digest
        ));
    }
    if let Some(reviewed) = asked.digest.as_ref().filter(|reviewed| **reviewed != digest.as_str()) {
        return sense(format!(
            "you reviewed {reviewed}, and {name} has {digest}: look at it again"
        ));
    }
    let successor = successor(cluster, &request).await?;
    if let Some(newer) = successor {
        return sense(format!(
            "{name} was superseded by {newer}: look at that one (hozen approve {newer})"
        ));
    }
    let phase = request.status.as_ref().and_then(|status| status.phase.clone());
    let over = match &phase {
        Some(Phase::Superseded) => "was superseded",
        Some(Phase::Rejected) => "was rejected",
        Some(Phase::Expired) => "has expired",
        Some(Phase::Failed) => "has failed",
        Some(Phase::Done) => "is done",
        Some(
            Phase::Planned
            | Phase::AwaitingTest
            | Phase::AwaitingApproval
            | Phase::Approved
            | Phase::Running
            | Phase::Verifying
            | Phase::Watching
            | Phase::Unknown(_),
        )
        | None => return Ok((request, plan)),
    };
    sense(format!("{name} {over}: nobody's word changes that"))
}

/// The request that took this one's place, by the operator's own rule. One that cannot be read takes nobody's.
async fn successor(cluster: &Cluster, old: &ChangeRequest) -> Result<Option<String>, ClusterError> {
    let (all, _) = cluster.list_readable::<ChangeRequest>(REQUEST).await?;
    let (now, operator) = (clock::now(), User::from(cluster.operator()));
    let read = |request: &ChangeRequest| change_request(request, now).ok();
    let Some(old) = read(old) else { return Ok(None) };
    let newer = all.iter().filter_map(read).find(|newer| replaces(newer, &old, &operator));
    Ok(newer.map(|newer| newer.name.to_string()))
}

/// An approval that would not count is not given. Saying no endangers nothing: whoever holds a role may.
fn may_count(request: &ChangeRequest, user: &str) -> Result<(), ClusterError> {
    let name = request.name_any();
    if request.spec.requested_by == user {
        return Err(ClusterError::Sense(format!(
            "you requested {name}: your word on it would not count"
        )));
    }
    let excluded = request.status.iter().flat_map(|status| &status.excluded);
    match excluded.into_iter().find(|excluded| excluded.user == user) {
        Some(excluded) => {
            let why = &excluded.why;
            Err(ClusterError::Sense(format!("your word on {name} would not count: {why}")))
        }
        None => Ok(()),
    }
}

/// The role in which the word is given: the one that was named, or the only needed one that is held.
async fn role(
    cluster: &Cluster,
    request: &ChangeRequest,
    asked: &Word,
    decision: &Decision,
) -> Result<String, ClusterError> {
    let name = request.name_any();
    let needed: Vec<String> =
        request.spec.plan.needs.roles.iter().map(|role| role.name.clone()).collect();
    if needed.is_empty() {
        return match &asked.role {
            Some(role) if *decision == Decision::Reject => Ok(role.clone()),
            None if *decision == Decision::Reject => Err(ClusterError::Sense(format!(
                "{name} is a standard change, which any role may reject: name yours with --role"
            ))),
            Some(_) | None => Err(ClusterError::Sense(format!(
                "{name} is a standard change, approved beforehand: it needs nobody's word"
            ))),
        };
    }
    if let Some(role) = &asked.role {
        if needed.contains(role) {
            return Ok(role.clone());
        }
        let needed = one_of(&needed);
        return Err(ClusterError::Sense(format!(
            "{name} does not ask for the role {role}: write --role {needed}"
        )));
    }
    let mut held = Vec::new();
    for role in &needed {
        if cluster.may(privilege::APPROVE, privilege::APPROVAL_ROLES, role).await? {
            held.push(role.clone());
        }
    }
    match held.as_slice() {
        [role] => Ok(role.clone()),
        [] => Err(ClusterError::Sense(format!(
            "{name} asks for {}, and you hold none of them: a role needs the verb approve on approvalroles",
            one_of(&needed)
        ))),
        several => Err(ClusterError::Sense(format!(
            "you hold several roles that {name} asks for: write --role {}",
            one_of(several)
        ))),
    }
}

/// What was said on a request.
async fn said(cluster: &Cluster, name: &str) -> Result<Vec<Approval>, ClusterError> {
    let select = ListParams::default().fields(&format!("spec.changeRequest.name={name}"));
    cluster.list_by("approval", select).await
}

fn confirmed(question: &str) -> Result<bool, Failed> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(ClusterError::Sense(
            "there is nobody to ask, since the input is no terminal: add --yes".to_owned(),
        )
        .into());
    }
    let mut out = std::io::stderr();
    out.write_all(question.as_bytes()).and_then(|()| out.flush()).map_err(Failed::Print)?;
    let mut answer = String::new();
    stdin.read_line(&mut answer).map_err(Failed::Print)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Takes one's own words back.
pub async fn withdraw(cluster: &Cluster, asked: &Withdraw) -> Result<ExitCode, Failed> {
    let user = cluster.who().await?;
    let mine: Vec<Approval> = said(cluster, &asked.request)
        .await?
        .into_iter()
        .filter(|word| word.spec.user == user && !word.spec.withdrawn)
        .filter(|word| asked.role.as_ref().is_none_or(|role| *role == word.spec.role))
        .collect();
    if mine.is_empty() {
        let role = asked.role.as_ref().map_or_else(String::new, |role| format!(" as {role}"));
        return Err(ClusterError::Sense(format!(
            "{user} has said nothing on {}{role} that stands",
            asked.request
        ))
        .into());
    }
    let mut text = String::new();
    for word in &mine {
        cluster.withdraw(word).await?;
        let (name, role) = (word.name_any(), &word.spec.role);
        let line =
            format!("withdrawn: {name}, given as {role}; nothing new is started on its strength\n");
        text.push_str(&line);
    }
    print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_has_run_out_can_be_given_again_and_a_no_does_not_run_out() {
        let at = |text: &str| text.parse::<Timestamp>().expect("an instant");
        let spec = ApprovalSpec {
            change_request: ObjectReference { name: "web-1".into(), uid: "u".into() },
            plan_digest: "sha256-a".into(),
            role: "security".into(),
            decision: Decision::Approve,
            user: "alice".into(),
            comment: None,
            withdrawn: false,
        };
        let mut word = Approval::new("yes", spec);
        word.metadata.creation_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at("2026-11-19T09:00:00Z")));
        let day = Span::hours(24);
        assert!(stands(&word, day, at("2026-11-20T08:59:59Z")));
        assert!(!stands(&word, day, at("2026-11-20T09:00:00Z")), "as the operator counts it");
        word.spec.decision = Decision::Reject;
        assert!(stands(&word, day, at("2027-11-20T09:00:00Z")));
        word.spec.withdrawn = true;
        assert!(!stands(&word, day, at("2026-11-19T09:00:01Z")));
    }
}
