//! Plans: the API's and the domain's have one JSON, so that the digest of the one is the digest of the other.

use hozen_api::plan as api;
use hozen_domain::plan::Plan;

use super::{Refusal, Refusals};

/// A plan of the domain.
pub fn plan(spec: &api::Plan) -> Result<Plan, Vec<Refusal>> {
    let mut refused = Refusals::default();
    let plan = refused.recast("spec.plan", spec);
    refused.finish(plan)
}

/// The same as a request carries it.
pub fn to_api(plan: &Plan) -> Result<api::Plan, serde_json::Error> {
    serde_json::from_value(serde_json::to_value(plan)?)
}
