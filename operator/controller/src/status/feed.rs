//! What an `AdvisoryFeed`'s status says: that this version fetches none, and what to do instead. A feed that nobody reads must not look as one
//! that found nothing.

use hozen_api::{
    advisory_feed::{AdvisoryFeed, AdvisoryFeedStatus},
    names::{condition, reason},
};
use jiff::Timestamp;

use super::words::{self, Said};

/// What to do for every other source.
const INSTEAD: &str = "this version of Hozen fetches no feeds, and nothing of this one is known here: apply the notices that matter as Advisories";
/// What a feed of the nodes' own indices would tell is told without one.
const OF_NODES: &str = "this version of Hozen reads no feeds, and needs none for this: each node's scanner reports the updates that its own indices offer; delete this feed";

/// The status of any feed.
pub fn draft(object: &AdvisoryFeed, now: Timestamp) -> AdvisoryFeedStatus {
    let before = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    let message = if object.spec.node_pocket.is_some() { OF_NODES } else { INSTEAD };
    let not_ready = Said {
        aspect: condition::READY,
        holds: Some(false),
        reason: reason::NOT_FETCHED,
        message: message.to_owned(),
    };
    let stalled = words::stalled(Some((reason::NOT_FETCHED, message.to_owned())));
    let said = vec![not_ready, stalled];
    AdvisoryFeedStatus {
        observed_generation: generation,
        conditions: words::conditions(&before.conditions, said, generation, now),
        ..AdvisoryFeedStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_feed_says_that_nobody_fetches_it_and_says_it_once() {
        let feed = |source: &str| -> AdvisoryFeed {
            serde_json::from_value(json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "AdvisoryFeed",
                "metadata": {"name": "f", "generation": 3}, "spec": {source: {}, "refresh": "1h", "maxAge": "48h"}}))
            .unwrap()
        };
        let now: Timestamp = "2026-01-05T02:00:00Z".parse().unwrap();
        let mut pocket = feed("nodePocket");
        let first = draft(&pocket, now);
        let told: Vec<(&str, &str, &str)> = first
            .conditions
            .iter()
            .map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str()))
            .collect();
        assert_eq!(told, [("Ready", "False", "NotFetched"), ("Stalled", "True", "NotFetched")]);
        assert!(first.conditions[0].message.contains("each node's scanner reports"));
        assert_eq!(first.observed_generation, Some(3));
        pocket.status = Some(first.clone());
        let later = now + jiff::SignedDuration::from_hours(1);
        assert_eq!(draft(&pocket, later), first, "a settled feed is not written again");
        let mut remote = feed("nodePocket");
        remote.spec.node_pocket = None;
        remote.spec.osv =
            Some(hozen_api::advisory_feed::Remote { url: "https://osv.example.com/a.zip".into() });
        assert!(draft(&remote, now).conditions[0].message.contains("as Advisories"));
    }
}
