//! `scenario.yaml`: what happens from outside while the virtual clock runs.

mod form;

use std::collections::BTreeMap;

use hozen_domain::{
    baseline::Baseline,
    calendar::time_zone,
    model::scenario::{Approver, Event, Happening, Scenario, Script, Subject},
};
use jiff::{SignedDuration, Timestamp, civil::DateTime};
use serde::de::DeserializeOwned;

use super::{
    Refused,
    files::{File, Files},
    names::Names,
};
use crate::{
    convert::baseline::baseline,
    kinds::Object,
    manifest::{Manifests, Reader},
    problem::{Problem, nearest},
    reference::{missing, not_there},
    tree::{self, Node, Place, Value},
};

/// The longest time that is played.
const DAYS_MAX: SignedDuration = SignedDuration::from_hours(24 * 3_660);

/// A script as far as it could be read.
pub(super) struct Draft<'f> {
    file: &'f File,
    tree: Node,
    /// Everything but the lists, if that could be read.
    head: Option<Script>,
    /// Approvers and events that could be read, each with its path.
    approvers: Vec<(String, Approver)>,
    events: Vec<(String, Event)>,
}

/// The script, if there is one. Everything that is wrong with it is told, not only the first thing.
pub(super) fn read<'f>(files: &'f Files, refused: &mut Refused) -> Option<Draft<'f>> {
    let file = files.scenario.as_ref()?;
    let text = file.text().map_err(|why| refused.problems.push(file.problem(why))).ok()?;
    let (documents, unreadable) = tree::read(&text);
    let is_readable = unreadable.is_empty();
    refused.problems.extend(
        unreadable
            .into_iter()
            .map(|fault| Problem { place: fault.place, ..file.problem(fault.message) }),
    );
    let Ok([document]) = <[Node; 1]>::try_from(documents) else {
        if is_readable {
            refused.problems.push(file.problem("must hold exactly one document"));
        }
        return None;
    };
    let mut parts = Parts { file, refused };
    if !matches!(document.value, Value::Map(_)) {
        let found = document.value.describe();
        let message = format!("expected are timeZone, from, until and events, found {found}");
        parts.tell(document.place, "", message);
        return None;
    }
    let approvers = parts.items(&document, "approvers");
    let events = parts.items(&document, "events");
    let head = parts.head(&document);
    Some(Draft { file, tree: document, head, approvers, events })
}

impl Draft<'_> {
    /// When the simulation begins, if that can be read.
    pub fn start(&self) -> Option<Timestamp> {
        let head = self.head.as_ref()?;
        time_zone(&head.time_zone).ok()?.to_timestamp(head.from).ok()
    }

    /// Tells what is wrong with times and names.
    pub fn check(&self, names: &Names<'_>, refused: &mut Refused) {
        let before = refused.problems.len();
        self.check_all(names, refused);
        told_once(&mut refused.problems, before);
    }

    fn check_all(&self, names: &Names<'_>, refused: &mut Refused) {
        let mut parts = Parts { file: self.file, refused };
        if let Some(head) = &self.head {
            let place = |path: &str| self.tree.place_of(path);
            if let Err(error) = time_zone(&head.time_zone) {
                parts.tell(place("timeZone"), "timeZone", error.to_string());
            }
            if head.until.duration_since(head.from) > DAYS_MAX {
                let message =
                    format!("{} is more than ten years after from ({})", head.until, head.from);
                parts.tell(place("until"), "until", message);
            }
            if head.until <= head.from {
                let message = format!("{} is not after from ({})", head.until, head.from);
                parts.tell(place("until"), "until", message);
            }
        }
        for (path, approver) in &self.approvers {
            for name in &approver.baselines {
                parts.name(&self.tree, path, Subject::Baseline(name), names);
            }
            if let Some(message) = names.no_role(&approver.role) {
                parts.at_word(&self.tree, path, &approver.role, message);
            }
        }
        for (path, event) in &self.events {
            if let Some(head) = &self.head
                && head.from < head.until
                && (event.at < head.from || event.at > head.until)
            {
                let message = format!(
                    "{} is not between from ({}) and until ({}): it would not happen",
                    event.at, head.from, head.until
                );
                let path = format!("{path}.at");
                parts.tell(self.tree.place_of(&path), &path, message);
            }
            if let Happening::Approve { role, .. } | Happening::Reject { role, .. } =
                &event.happening
                && let Some(message) = names.no_role(role)
            {
                parts.at_word(&self.tree, path, role, message);
            }
            for subject in event.happening.subjects() {
                parts.name(&self.tree, path, subject, names);
            }
            if let Some((request, message)) =
                event.happening.meant().and_then(|meant| names.no_request(meant))
            {
                parts.at_word(&self.tree, path, request, message);
            }
        }
    }

    /// The scenario: the script, and the baselines that its `apply` events name. None if the script's head is wrong.
    pub fn finish(
        self,
        manifests: &Manifests,
        files: &Files,
        refused: &mut Refused,
    ) -> Option<Scenario> {
        let mut later = BTreeMap::new();
        for (path, event) in &self.events {
            let Happening::Apply { manifest, .. } = &event.happening else {
                continue;
            };
            if later.contains_key(manifest) {
                continue;
            }
            let Some(file) = files.later.iter().find(|file| file.within == *manifest) else {
                let known = files.later.iter().map(|file| file.within.as_str()).collect();
                let message = not_there("manifest", manifest, &known);
                Parts { file: self.file, refused }.at_word(&self.tree, path, manifest, message);
                continue;
            };
            // One that is wrong is told of once, however often it is applied.
            later.insert(manifest.clone(), baseline_of(file, manifests, refused));
        }
        let later = later.into_iter().filter_map(|(name, baseline)| Some((name, baseline?)));
        let later = later.collect();
        let approvers = self.approvers.into_iter().map(|(_, approver)| approver).collect();
        let events = self.events.into_iter().map(|(_, event)| event).collect();
        Some(Scenario { script: Script { approvers, events, ..self.head? }, later })
    }
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
        let fields = json.as_object().cloned().unwrap_or_default();
        let before = self.refused.problems.len();
        for (key, value) in fields {
            // Each field beside good ones, so that a wrong one hides no other.
            let mut alone = serde_json::json!(
                {"timeZone": "UTC", "from": "2026-01-01T00:00", "until": "2026-01-02T00:00"}
            );
            alone[&key] = value;
            let Err(error) = serde_json::from_value::<Script>(alone) else { continue };
            let field = document.get(&key).filter(|_| matches!(key.as_str(), "from" | "until"));
            if let Some(field) = field {
                self.tell(document.place_of(&key), &key, no_time(&field.value));
            } else {
                let place = place_of_word(document, &key).unwrap_or(document.place);
                self.tell(place, "", plain(&error.to_string()));
            }
        }
        if self.refused.problems.len() > before {
            return None;
        }
        self.part(document, "", json)
    }

    /// The items of a list that can be read.
    fn items<T: DeserializeOwned>(&mut self, document: &Node, key: &str) -> Vec<(String, T)> {
        let Some(list) = document.get(key) else {
            return Vec::new();
        };
        match &list.value {
            Value::List(items) => items
                .iter()
                .enumerate()
                .filter_map(|(index, item)| {
                    let path = format!("{key}[{index}]");
                    if let Some((place, message)) = form::misshapen(item, key) {
                        self.tell(place, &path, message);
                        return None;
                    }
                    Some((path.clone(), self.part(item, &path, item.to_json())?))
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
                if let Some(at) = node.get("at").filter(|at| !is_time(&at.value)) {
                    self.tell(node.place_of("at"), &format!("{path}.at"), no_time(&at.value));
                    return None;
                }
                let message = error.to_string();
                let blamed = message.split('`').nth(1).and_then(|word| place_of_word(node, word));
                self.tell(blamed.unwrap_or(node.place), path, plain(&message));
                None
            }
        }
    }

    /// Tells of a name that does not exist, where it stands.
    fn name(&mut self, tree: &Node, path: &str, subject: Subject<'_>, names: &Names<'_>) {
        if let Some(message) = names.missing(subject) {
            self.at_word(tree, path, subject.name(), message);
        }
    }

    /// Tells something of a word below a path.
    fn at_word(&mut self, tree: &Node, path: &str, word: &str, message: String) {
        let (list, index) = path.split_once('[').unwrap_or((path, ""));
        let index = index.trim_end_matches(']').parse::<usize>().ok();
        let item = match (tree.get(list).map(|list| &list.value), index) {
            (Some(Value::List(items)), Some(index)) => items.get(index),
            _ => None,
        };
        let place = item.and_then(|item| place_of_word(item, word));
        self.tell(place.unwrap_or_else(|| tree.place_of(path)), path, message);
    }

    fn tell(&mut self, place: Place, path: &str, message: String) {
        self.refused.problems.push(Problem {
            place,
            path: path.to_owned(),
            ..self.file.problem(message)
        });
    }
}

/// Whether a value is a local time.
fn is_time(value: &Value) -> bool {
    matches!(value, Value::Text(text) if text.parse::<DateTime>().is_ok())
}

/// What is to be said of a value that is no local time.
fn no_time(value: &Value) -> String {
    let found = value.describe();
    format!("{found} is not a local time; write it like 2026-11-19T09:00, without an offset")
}

/// What serde says, in words that tell what to write.
fn plain(message: &str) -> String {
    let told = with_nearest(message);
    if let Some(field) = told.strip_prefix("missing field ") {
        return format!("{field} is missing");
    }
    let Some((what, kind)) = told.split_once(", expected ") else { return told };
    let expected = match kind.split(' ').next() {
        Some("u32") => "a whole number from 0 to 4294967295",
        Some("u64" | "usize") => "a whole number that is not negative",
        Some("i64" | "i32") => "a whole number",
        Some(_) if kind == "a string" => "text",
        _ => return told,
    };
    let found = what.trim_start_matches("invalid value: ").trim_start_matches("invalid type: ");
    format!("expected {expected}, found {found}")
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
    let kind = match what.split(' ').next().unwrap_or_default() {
        "variant" => "event",
        other => other,
    };
    let quoted =
        |text: &'_ str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let (word, known) = (quoted(what).concat(), quoted(known));
    match nearest(&word, known.iter().map(String::as_str)) {
        Some(meant) => format!("unknown {kind} {word}; did you mean {meant}?"),
        None => format!("unknown {kind} {word}; known here: {}", known.join(", ")),
    }
}

/// What is said of a name again and again is said once, with how often: it is one mistake.
fn told_once(problems: &mut Vec<Problem>, before: usize) {
    let mut told: Vec<(Problem, u32)> = Vec::new();
    for problem in problems.split_off(before) {
        let same = |(first, _): &&mut (Problem, u32)| {
            problem.message.starts_with("there is no ") && first.message == problem.message
        };
        match told.iter_mut().find(same) {
            Some((_, more)) => *more += 1,
            None => told.push((problem, 0)),
        }
    }
    problems.extend(told.into_iter().map(|(problem, more)| match more {
        0 => problem,
        1 => Problem { message: format!("{} (1 more place names it)", problem.message), ..problem },
        _ => Problem {
            message: format!("{} ({more} more places name it)", problem.message),
            ..problem
        },
    }));
}

/// The one baseline of a file.
fn baseline_of(file: &File, among: &Manifests, refused: &mut Refused) -> Option<Baseline> {
    let text = file.text().map_err(|why| refused.problems.push(file.problem(why))).ok()?;
    let mut reader = Reader::new();
    reader.read(&file.name, &text);
    let manifests = reader.without_references();
    refused.problems.extend(missing(&manifests, among));
    let is_wrong = !manifests.problems.is_empty();
    refused.problems.extend(manifests.problems);
    let mut baselines = manifests.documents.iter().filter_map(|document| match &document.object {
        Object::Baseline(object) => Some((document, object)),
        _ => None,
    });
    let (Some((document, object)), None) = (baselines.next(), baselines.next()) else {
        if !is_wrong {
            let message = "must hold exactly one Baseline, to be applied later";
            refused.problems.push(file.problem(message));
        }
        return None;
    };
    baseline(object).map_err(|refusals| refused.problem(document, refusals)).ok()
}
