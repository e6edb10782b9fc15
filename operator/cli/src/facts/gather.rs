//! From the outcome of a simulation to its facts.

use hozen_domain::model::Outcome;

use super::{API_VERSION, FeedRead, Simulation, Size, notices, result, stock, time_line};

/// What was asked for, and what intake says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// The folder, as named.
    pub folder: String,
    /// Seed of every duration.
    pub seed: u64,
    /// Input that was refused and left out, with why.
    pub left_out: Vec<String>,
    /// What each feed brought.
    pub feeds: Vec<FeedRead>,
}

/// The facts of an outcome.
pub fn gather(played: Played, outcome: &Outcome) -> Simulation {
    let (notices, notices_not_installed) = notices::notices(outcome);
    let (world, verdict) = (&outcome.world_before, outcome.verdict());
    Simulation {
        api_version: API_VERSION.to_owned(),
        kind: "Simulation".to_owned(),
        folder: played.folder,
        seed: played.seed,
        time_zone: outcome.zone.iana_name().unwrap_or("UTC").to_owned(),
        from: outcome.from,
        until: outcome.until,
        size: Size {
            nodes: count(world.nodes.len()),
            workloads: count(world.workloads.len()),
            images: count(world.images.len()),
            baselines: count(world.baselines.len()),
            // Those that are published later are known at the end.
            advisories: count(outcome.world.notices.len().max(world.notices.len())),
            passes: outcome.turns,
        },
        left_out: played.left_out,
        feeds: played.feeds,
        stock: stock::stock(outcome),
        notices,
        notices_not_installed,
        time_line: time_line::time_line(outcome),
        result: result::baselines(outcome, &verdict),
        responses: result::responses_to_notices(outcome),
        requests: result::requests(outcome),
        not_done: result::not_done(outcome),
        curve: result::curve(outcome),
        verdict: result::verdict(outcome, &verdict),
    }
}

/// A length as facts count.
pub(super) fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Names as facts hold them.
pub(super) fn names<'n>(names: impl IntoIterator<Item = &'n smol_str::SmolStr>) -> Vec<String> {
    names.into_iter().map(ToString::to_string).collect()
}
