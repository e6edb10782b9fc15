//! The domain's values in the shape of the facts.

use hozen_domain::{Hold, assess, forecast, measure, model, plan::RoleCount, rank, units::Name};
use hozen_intake::folder::Taken;

use super::{
    Because, Counts, FeedRead, Forecast, Held, Missing, Reason, Response, Role, StageForecast,
    Standing, Target, gather::names,
};

impl From<assess::Counts> for Counts {
    fn from(counts: assess::Counts) -> Self {
        let assess::Counts { total, compliant, below, above, exempt, frozen, unknown } = counts;
        Self { total, compliant, below, above, exempt, frozen, unknown }
    }
}

impl From<rank::ByPriority> for Missing {
    fn from(counts: rank::ByPriority) -> Self {
        let rank::ByPriority { emergency, high, medium, low } = counts;
        Self { emergency, high, medium, low }
    }
}

impl From<model::Standing> for Standing {
    fn from(standing: model::Standing) -> Self {
        let model::Standing { counts, exposure, untold, inactive, tied } = standing;
        Self {
            counts: counts.into(),
            missing: exposure.missing.into(),
            unfixed: exposure.unfixed.into(),
            vulnerabilities: exposure.vulnerabilities.into(),
            untold,
            inactive,
            tied,
            services: exposure.services,
        }
    }
}

impl From<&RoleCount> for Role {
    fn from(role: &RoleCount) -> Self {
        Self { role: role.name.to_string(), count: role.count }
    }
}

impl From<&rank::Reason> for Reason {
    fn from(reason: &rank::Reason) -> Self {
        Self { text: reason.text.clone(), source: reason.source.to_string() }
    }
}

impl From<&Hold> for Held {
    fn from(hold: &Hold) -> Self {
        Self {
            reason: hold.reason().to_owned(),
            message: hold.to_string(),
            until: hold.until(),
            ended_by: hold.ended_by(),
            needs_somebody: hold.needs_somebody(),
        }
    }
}

impl From<&forecast::Forecast> for Forecast {
    fn from(forecast: &forecast::Forecast) -> Self {
        let forecast::Forecast {
            start,
            finish,
            never,
            due: _,
            meets_due,
            margin,
            limited_by,
            stages,
            nodes,
            workloads,
            pods_moved,
            reboots,
            download_bytes,
            away,
            kept,
        } = forecast;
        Self {
            start: *start,
            finish: *finish,
            never: never.clone(),
            meets_due: *meets_due,
            margin_seconds: margin.map(|margin| margin.as_secs()),
            limited_by: limited_by.clone(),
            nodes: *nodes,
            workloads: *workloads,
            pods_moved: *pods_moved,
            reboots: *reboots,
            download_bytes: *download_bytes,
            away: names(away),
            kept: kept.iter().map(|(name, why)| (name.to_string(), why.clone())).collect(),
            stages: stages.iter().map(StageForecast::from).collect(),
        }
    }
}

impl From<&forecast::StageForecast> for StageForecast {
    fn from(stage: &forecast::StageForecast) -> Self {
        let forecast::StageForecast { name, systems, slots, start, done, through } = stage;
        Self {
            stage: name.to_string(),
            systems: *systems,
            slots: *slots,
            start: *start,
            done: *done,
            through: *through,
        }
    }
}

impl From<&measure::Coverage> for Target {
    fn from(coverage: &measure::Coverage) -> Self {
        let measure::Coverage { target, covered, standing, because, deadline } = coverage;
        Self {
            compliant: target.compliant.to_string(),
            within_seconds: target.within.duration().as_secs(),
            covered: covered.to_string(),
            standing: format!("{standing:?}"),
            because: because.clone(),
            deadline: *deadline,
            missed: None,
        }
    }
}

impl From<&measure::Response> for Response {
    fn from(response: &measure::Response) -> Self {
        let measure::Response {
            notice,
            critical,
            published,
            known,
            fix_known: _,
            planned,
            approved,
            patched,
            mitigated,
            open,
        } = response;
        Self {
            notice: notice.to_string(),
            critical: *critical,
            published: *published,
            known: *known,
            planned: *planned,
            approved: *approved,
            patched: *patched,
            mitigated: *mitigated,
            open: *open,
        }
    }
}

impl From<(&Name, &Taken)> for FeedRead {
    fn from((name, taken): (&Name, &Taken)) -> Self {
        let Taken { notices, found, withdrawn, unmatchable, ecosystems, rejected } = taken;
        let counted = ecosystems.iter().map(|(ecosystem, count)| (ecosystem.to_string(), *count));
        Self {
            name: name.to_string(),
            notices: *notices,
            found: *found,
            withdrawn: *withdrawn,
            unmatchable: *unmatchable,
            ecosystems: counted.collect(),
            rejected: *rejected,
        }
    }
}

impl From<&(smol_str::SmolStr, String)> for Because {
    fn from((name, why): &(smol_str::SmolStr, String)) -> Self {
        Self { name: name.to_string(), why: why.clone() }
    }
}
