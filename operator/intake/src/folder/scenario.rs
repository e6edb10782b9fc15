//! `scenario.yaml`: what happens from outside while the virtual clock runs.

use std::collections::BTreeMap;

use hozen_domain::model::scenario::{Happening, Scenario, Script};
use jiff::{Timestamp, tz::TimeZone};
use serde::de::DeserializeOwned;

use super::{
    Refused,
    files::{File, Files},
};
use crate::{
    convert::baseline::baseline,
    kinds::Object,
    manifest::Reader,
    problem::{Problem, nearest},
    tree::{self, Node, Place, Value},
};

/// The script, if there is one and it can be read. Every event that is wrong is told, not only the first.
pub(super) fn read(files: &Files, refused: &mut Refused) -> Option<Script> {
    let file = files.scenario.as_ref()?;
    let text = file.text().map_err(|why| refused.problems.push(file.problem(why))).ok()?;
    let (documents, unreadable) = tree::read(&text);
    let told = refused.problems.len();
    refused.problems.extend(
        unreadable
            .into_iter()
            .map(|fault| Problem { place: fault.place, ..file.problem(fault.message) }),
    );
    let [document] = documents.as_slice() else {
        if refused.problems.len() == told {
            refused.problems.push(file.problem("must hold exactly one document"));
        }
        return None;
    };
    let mut parts = Parts { file, refused };
    let approvers = parts.items(document, "approvers");
    let events = parts.items(document, "events");
    let script = parts.head(document)?;
    (refused.problems.len() == told).then_some(Script { approvers, events, ..script })
}

/// Reads a script part by part.
struct Parts<'a> {
    file: &'a File,
    refused: &'a mut Refused,
}

impl Parts<'_> {
    /// Everything but the lists.
    fn head(&mut self, document: &Node) -> Option<Script> {
        let mut json = document.to_json();
        if let Some(fields) = json.as_object_mut() {
            fields.retain(|key, _| key != "approvers" && key != "events");
        }
        self.part(document, "", json)
    }

    /// The items of a list that can be read.
    fn items<T: DeserializeOwned>(&mut self, document: &Node, key: &str) -> Vec<T> {
        let Some(list) = document.get(key) else {
            return Vec::new();
        };
        match &list.value {
            Value::List(items) => items
                .iter()
                .enumerate()
                .filter_map(|(index, item)| {
                    self.part(item, &format!("{key}[{index}]"), item.to_json())
                })
                .collect(),
            Value::Null => Vec::new(),
            other => {
                self.tell(list.place, key, format!("expected a list, found {}", other.describe()));
                Vec::new()
            }
        }
    }

    fn part<T: DeserializeOwned>(
        &mut self,
        node: &Node,
        path: &str,
        json: serde_json::Value,
    ) -> Option<T> {
        match serde_json::from_value(json) {
            Ok(part) => Some(part),
            Err(error) => {
                let message = error.to_string();
                let blamed = message.split('`').nth(1).and_then(|word| place_of_word(node, word));
                self.tell(blamed.unwrap_or(node.place), path, with_nearest(&message));
                None
            }
        }
    }

    fn tell(&mut self, place: Place, path: &str, message: String) {
        self.refused.problems.push(Problem {
            place,
            path: path.to_owned(),
            ..self.file.problem(message)
        });
    }
}

/// Where a word that a message names was written, as a key or as a text.
fn place_of_word(node: &Node, word: &str) -> Option<Place> {
    match &node.value {
        Value::Map(entries) => entries.iter().find_map(|entry| {
            let here = (entry.key == word).then_some(entry.place);
            here.or_else(|| place_of_word(&entry.node, word))
        }),
        Value::List(items) => items.iter().find_map(|item| place_of_word(item, word)),
        Value::Text(text) => (text == word).then_some(node.place),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Fraction(_) => None,
    }
}

/// Serde names the words that it knows; the nearest is told first.
fn with_nearest(message: &str) -> String {
    let parts = message.strip_prefix("unknown ").and_then(|rest| rest.split_once(", expected "));
    let Some((what, known)) = parts else {
        return message.to_owned();
    };
    let kind = what.split(' ').next().unwrap_or_default();
    let quoted =
        |text: &'_ str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let (word, known) = (quoted(what).concat(), quoted(known));
    match nearest(&word, known.iter().map(String::as_str)) {
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
