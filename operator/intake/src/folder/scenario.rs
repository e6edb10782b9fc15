//! `scenario.yaml`: what happens from outside while the virtual clock runs.

use std::collections::BTreeMap;

use hozen_domain::model::scenario::{Happening, Scenario, Script};
use jiff::{Timestamp, tz::TimeZone};

use super::{
    Refused,
    files::{File, Files},
};
use crate::{
    convert::baseline::baseline,
    kinds::Object,
    manifest::Reader,
    problem::{Problem, nearest},
    tree,
};

/// The script, if there is one and it can be read.
pub(super) fn read(files: &Files, refused: &mut Refused) -> Option<Script> {
    let file = files.scenario.as_ref()?;
    let text = match file.text() {
        Ok(text) => text,
        Err(why) => {
            refused.problems.push(file.problem(why));
            return None;
        }
    };
    match serde_saphyr::from_str_with_options::<Script>(&text, tree::options()) {
        Ok(script) => Some(script),
        Err(error) => {
            let place = error.location().map(tree::Place::from).unwrap_or_default();
            let message = with_nearest(&tree::message(error.without_snippet()));
            refused.problems.push(Problem { place, ..file.problem(message) });
            None
        }
    }
}

/// Serde names the words that it knows; the nearest is told first.
fn with_nearest(message: &str) -> String {
    let parts = message.strip_prefix("unknown ").and_then(|rest| rest.split_once(", expected "));
    let Some((what, known)) = parts else {
        return message.to_owned();
    };
    let (kind, word) = what.split_once(' ').unwrap_or(("", what));
    let word = word.trim_matches('`');
    let known: Vec<&str> = known
        .trim_start_matches("one of ")
        .split(", ")
        .map(|name| name.trim_matches('`'))
        .collect();
    match nearest(word, known.iter().copied()) {
        Some(meant) => format!("unknown {kind} {word}; did you mean {meant}?"),
        None => format!("unknown {kind} {word}; known here: {}", known.join(", ")),
    }
}

/// When the simulation begins. A zone that does not exist is told by the domain, which reads it again.
pub(super) fn start(script: &Script) -> Option<Timestamp> {
    TimeZone::get(&script.time_zone).ok()?.to_timestamp(script.from).ok()
}

/// The scenario: the script, and the baselines that its `apply` events name.
pub(super) fn with_later(script: Script, files: &Files, refused: &mut Refused) -> Scenario {
    let mut later = BTreeMap::new();
    for event in &script.events {
        let Happening::Apply { manifest, .. } = &event.happening else {
            continue;
        };
        if later.contains_key(manifest) {
            continue;
        }
        let Some(file) = files.later.iter().find(|file| file.within == *manifest) else {
            let known: Vec<&str> = files.later.iter().map(|file| file.within.as_str()).collect();
            let hint = nearest(manifest, known)
                .map(|near| format!("; did you mean {near}?"))
                .unwrap_or_default();
            let scenario = files.scenario.as_ref();
            let message = format!("there is no manifest {manifest} below later/{hint}");
            refused.problems.extend(scenario.map(|file| file.problem(message)));
            continue;
        };
        if let Some(baseline) = self::baseline_of(file, refused) {
            later.insert(manifest.clone(), baseline);
        }
    }
    Scenario { script, later }
}

/// The one baseline of a file. Whether its references are there is judged when it is applied.
fn baseline_of(file: &File, refused: &mut Refused) -> Option<hozen_domain::baseline::Baseline> {
    let text = file.text().map_err(|why| refused.problems.push(file.problem(why))).ok()?;
    let mut reader = Reader::new();
    reader.read(&file.name, &text);
    let manifests = reader.without_references();
    refused.problems.extend(manifests.problems);
    let mut baselines = manifests.documents.iter().filter_map(|document| match &document.object {
        Object::Baseline(object) => Some((document, object)),
        _ => None,
    });
    let (Some((document, object)), None) = (baselines.next(), baselines.next()) else {
        refused.problems.push(file.problem("must hold exactly one Baseline, to be applied later"));
        return None;
    };
    baseline(object).map_err(|refusals| refused.problem(document, refusals)).ok()
}
