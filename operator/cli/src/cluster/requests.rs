//! Change requests in `hozen status`: those that have not ended, and why each is not through yet.

use hozen_api::change_request::{ChangeRequest, Forecast, Phase};
use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Serialize;

use super::{fleet::table, instant};
use crate::text::page::{BAD, Page, WAIT, paint};

/// A request that has not ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequestLine {
    name: String,
    #[serde(rename = "type")]
    change: String,
    emergency: bool,
    phase: Option<String>,
    /// Why it is in this phase.
    reason: Option<String>,
    missing: Vec<String>,
    due: Option<Timestamp>,
    /// When the first system, or the next, is forecast to be taken.
    start: Option<Timestamp>,
    finish: Option<Timestamp>,
    /// What takes most of the time until then.
    limited_by: Option<String>,
}

/// Requests that have not ended, by name.
pub(super) fn lines(objects: &[ChangeRequest]) -> Vec<RequestLine> {
    let mut lines: Vec<RequestLine> =
        objects.iter().filter(|request| !ended(request)).map(line).collect();
    lines.sort_by(|a, b| a.name.cmp(&b.name));
    lines
}

fn ended(request: &ChangeRequest) -> bool {
    match request.status.as_ref().and_then(|status| status.phase.as_ref()) {
        Some(
            Phase::Done | Phase::Superseded | Phase::Rejected | Phase::Expired | Phase::Failed,
        ) => true,
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
        | None => false,
    }
}

fn line(object: &ChangeRequest) -> RequestLine {
    let status = object.status.clone().unwrap_or_default();
    let Forecast { start, finish, limited_by, .. } = status.forecast.unwrap_or_default();
    RequestLine {
        name: object.name_any(),
        change: object.spec.plan.r#type.to_string(),
        emergency: object.spec.plan.emergency,
        phase: status.phase.as_ref().map(Phase::to_string),
        reason: status.phase_reason,
        missing: status
            .missing
            .iter()
            .map(|role| format!("{} × {}", role.count, role.name))
            .collect(),
        due: status.due,
        start,
        finish,
        limited_by,
    }
}

impl RequestLine {
    fn is_watched(&self) -> bool {
        self.phase == Some(Phase::Watching.to_string())
    }

    /// Why it is not through yet, and until when; none: nobody has said so.
    fn waits(&self, now: Timestamp) -> Option<String> {
        let next = self.start.filter(|start| *start > now);
        let next = next.map(|start| format!("goes on {}", instant(start)));
        let limit = self.limited_by.as_ref().filter(|_| !self.is_watched());
        let limit = limit.map(|by| match (self.start, self.finish) {
            (None, None) => paint(BAD, format!("never through, as things stand: {by}")),
            (_, _) => paint(WAIT, format!("limited by {by}")),
        });
        let reason = self.reason.iter().chain(&next).map(|told| paint(WAIT, told));
        let told: Vec<String> = reason.chain(limit).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    /// When it is forecast to be through: a forecast whose time has come without that was wrong. What is watched is through.
    fn through(&self, now: Timestamp) -> String {
        match self.finish {
            Some(_) if self.is_watched() => "through".to_owned(),
            Some(at) if at <= now => "late".to_owned(),
            other => clock(other),
        }
    }
}

/// An instant in the table, whose headings name the zone: so a row fits a page of a hundred columns.
fn clock(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M").to_string())
}

/// As people read it.
pub(super) fn text(page: &mut Page, lines: &[RequestLine], now: Timestamp) {
    let rows = lines.iter().map(|line| {
        let missing =
            if line.missing.is_empty() { "-".to_owned() } else { line.missing.join(", ") };
        vec![
            line.name.clone(),
            line.change.clone(),
            if line.emergency { "yes" } else { "no" }.to_owned(),
            line.phase.clone().unwrap_or_else(|| "-".to_owned()),
            missing,
            clock(line.due),
            line.through(now),
        ]
    });
    let headings =
        ["CHANGE REQUEST", "TYPE", "EMERGENCY", "PHASE", "MISSING", "DUE (UTC)", "FINISH (UTC)"];
    table(page, &headings, rows.collect());
    for line in lines {
        if let Some(waits) = line.waits(now) {
            page.hang(&format!("{}: ", line.name), &waits, 2);
        }
    }
    if !lines.is_empty() {
        page.gap();
    }
}

#[cfg(test)]
mod tests {
    use hozen_api::{change_request::ChangeRequestStatus, common::RoleCount};

    use super::*;

    fn shown(status: ChangeRequestStatus) -> String {
        let object = include_str!("../../tests/cluster/change-request.json");
        let mut request: ChangeRequest = serde_json::from_str(object).unwrap();
        request.status = Some(status);
        let mut page = Page::new(100);
        let now: Timestamp = "2026-11-19T09:00:00Z".parse().unwrap();
        text(&mut page, &lines(&[request]), now);
        anstream::adapter::strip_str(&page.finish()).to_string()
    }

    fn forecast(start: Option<&str>, limited_by: &str) -> Forecast {
        let start = start.map(|at| at.parse::<Timestamp>().unwrap());
        let finish = start.map(|start| start + jiff::SignedDuration::from_hours(2));
        let limited_by = Some(limited_by.to_owned());
        Forecast { start, finish, limited_by, ..Forecast::default() }
    }

    #[test]
    fn why_a_request_waits_and_until_when_stands_below_it_within_the_width_of_the_page() {
        let told = shown(ChangeRequestStatus {
            phase: Some(Phase::AwaitingApproval),
            due: Some("2026-11-20T09:14:00Z".parse().unwrap()),
            missing: vec![RoleCount { name: "on-call".to_owned(), count: 2 }],
            phase_reason: Some("approved by sue@example.com as security".to_owned()),
            forecast: Some(forecast(Some("2026-11-24T02:00:00Z"), "window tuesday-night")),
            ..ChangeRequestStatus::default()
        });
        let says = "web-tier-f6abd8: approved by sue@example.com as security; goes on 2026-11-24 02:00 UTC; limited by";
        assert!(told.contains(says), "{told}");
        assert!(told.contains("\n  window tuesday-night"), "{told}");
        let reasons = told.lines().filter(|line| line.starts_with("web-tier-f6abd8: "));
        assert!(reasons.count() == 1 && told.lines().all(|l| l.chars().count() <= 100), "{told}");
    }

    #[test]
    fn what_never_comes_to_an_end_is_told_as_such_and_what_has_ended_is_not_told() {
        let told = shown(ChangeRequestStatus {
            phase: Some(Phase::AwaitingApproval),
            phase_reason: Some("people must agree".to_owned()),
            forecast: Some(forecast(None, "canary: no window is long enough")),
            ..ChangeRequestStatus::default()
        });
        let says =
            "web-tier-f6abd8: people must agree; never through, as things stand: canary: no window";
        assert!(told.contains(says), "{told}");
        let done = ChangeRequestStatus { phase: Some(Phase::Done), ..Default::default() };
        assert_eq!(shown(done), "");
    }

    #[test]
    fn a_forecast_is_late_from_the_instant_that_it_named() {
        let object = include_str!("../../tests/cluster/change-request.json");
        let mut request: ChangeRequest = serde_json::from_str(object).unwrap();
        let line = line(&request);
        assert_eq!(line.through(Timestamp::MAX), "-", "there is none");
        request.status = Some(ChangeRequestStatus {
            forecast: Some(forecast(Some("2026-11-19T13:40:00Z"), "the work")),
            ..ChangeRequestStatus::default()
        });
        let at = |now: &str| super::line(&request).through(now.parse().unwrap());
        assert_eq!(at("2026-11-19T15:39:59Z"), "2026-11-19 15:40");
        assert_eq!(at("2026-11-19T15:40:00Z"), "late");
        request.status.as_mut().unwrap().phase = Some(Phase::Watching);
        let watched = super::line(&request);
        assert_eq!(watched.through(Timestamp::MAX), "through");
        assert_eq!(watched.waits(Timestamp::MAX), None, "nothing limits what is done");
    }
}
