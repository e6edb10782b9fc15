//! What is logged, changed at run time by a `ConfigMap` in Hozen's namespace: whoever may write it there may do so, every replica follows it, and
//! the change stands in the API server's audit log. The port of probes and metrics can change nothing.

use std::pin::pin;

use futures::StreamExt as _;
use hozen_api::names::log::{CONFIG_MAP, KEY};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    runtime::{
        WatchStreamExt as _,
        watcher::{Config, Event, watcher},
    },
};

/// A longer filter is none that a person wrote.
const FILTER_CHARS_MAX: usize = 1_024;

/// Follows the `ConfigMap` until dropped. `set` is given the filter, or none for that of the start; its error says why it is none.
pub async fn follow(
    client: Client,
    namespace: String,
    set: impl Fn(Option<&str>) -> Result<(), String>,
) {
    let maps: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let wanted = Config::default().fields(&format!("metadata.name={CONFIG_MAP}"));
    let mut events = pin!(watcher(maps, wanted).default_backoff());
    let mut known: Option<String> = None;
    while let Some(event) = events.next().await {
        let next = match event {
            Ok(Event::Apply(map) | Event::InitApply(map)) => filter(&map),
            Ok(Event::Delete(_)) => None,
            Ok(Event::Init | Event::InitDone) => continue,
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "watch of the log filter"
                );
                continue;
            }
        };
        if next == known {
            continue;
        }
        match set(next.as_deref()) {
            Ok(()) => tracing::info!(filter = next.as_deref(), "what is logged was changed"),
            Err(why) => tracing::warn!(
                why,
                "the ConfigMap {} has no filter of logs; write one like `info`, or `hozen_controller=debug,warn`",
                CONFIG_MAP
            ),
        }
        known = next;
    }
}

/// The filter of a map; an empty one is none.
fn filter(map: &ConfigMap) -> Option<String> {
    let text = map.data.as_ref()?.get(KEY)?.trim();
    (!text.is_empty()).then(|| text.chars().take(FILTER_CHARS_MAX).collect())
}
