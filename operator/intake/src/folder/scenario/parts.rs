//! Reads a script part by part, and says of each what is wrong with it in words that tell what to write.

use std::collections::BTreeMap;

use hozen_domain::model::scenario::{Approver, Event, Happening, Script, Subject};
use jiff::civil::DateTime;
use smol_str::SmolStr;

use super::{
    fields::{self, Looked, NOTHING, Wrong},
    form,
};
use crate::{
    folder::{Refused, files::File, names::Names},
    problem::{Problem, nearest},
    tree::{Entry, Node, Place, Value},
};

/// Everything of a script but its lists, as far as it could be read.
#[derive(Default)]
pub(super) struct Head {
    pub time_zone: Option<SmolStr>,
    pub from: Option<DateTime>,
    pub until: Option<DateTime>,
}

/// An event as far as it could be read, with its path. What is missing or wrong in what happens is [`NOTHING`] there.
pub(super) struct Read {
    pub path: String,
    pub at: Option<DateTime>,
    pub happening: Option<Happening>,
}

/// Reads a script part by part.
pub(super) struct Parts<'a> {
    pub file: &'a File,
    pub refused: &'a mut Refused,
}

impl Parts<'_> {
    /// Everything but the lists.
    pub fn head(&mut self, document: &Node, entries: &[Entry]) -> Head {
        let of = fields::of::<Script>;
        let Some(good) = fields::good(&of) else { return Head::default() };
        let own = |entry: &&Entry| !matches!(&*entry.key, "approvers" | "events");
        let entries: Vec<&Entry> = entries.iter().filter(own).collect();
        let Looked { part, mut wrong, replaced } = fields::each(&entries, &good, &of);
        wrong.retain(|wrong| match wrong.entry {
            Some(entry) if matches!(&*entry.key, "from" | "until") => {
                self.tell(entry.place, &entry.key, no_time(&entry.node.value));
                false
            }
            Some(_) | None => true,
        });
        self.wrong(document, "", wrong);
        let Some(Script { time_zone, from, until, .. }) = part else { return Head::default() };
        let known = |field: &str| !replaced.contains(field);
        Head {
            time_zone: Some(time_zone).filter(|_| known("timeZone")),
            from: Some(from).filter(|_| known("from")),
            until: Some(until).filter(|_| known("until")),
        }
    }

    /// The approvers that could be read, each with its path.
    pub fn approvers(&mut self, document: &Node) -> Vec<(String, Approver)> {
        let of = fields::of::<Approver>;
        let Some(good) = fields::good(&of) else { return Vec::new() };
        let mut read = Vec::new();
        for (path, item) in self.items(document, "approvers") {
            let Value::Map(entries) = &item.value else {
                self.misshapen(item, &path, "approvers");
                continue;
            };
            let Looked { part, wrong, replaced: _ } = fields::each(&each(entries), &good, &of);
            self.wrong(item, &path, wrong);
            read.extend(part.map(|part| (path, part)));
        }
        read
    }

    /// The events.
    pub fn events(&mut self, document: &Node) -> Vec<Read> {
        let of = fields::of::<Event>;
        let Some(good) = fields::good(&of) else { return Vec::new() };
        let mut read = Vec::new();
        for (path, item) in self.items(document, "events") {
            let Value::Map(entries) = &item.value else {
                self.misshapen(item, &path, "events");
                continue;
            };
            let filled = |key: &str| item.get(key).is_some_and(|node| node.value != Value::Null);
            // What is wrong with these two is told in words of their own.
            let own = |wrong: &Wrong<'_>| match wrong.entry {
                Some(entry) => matches!(&*entry.key, "at" | "do"),
                None => item.get("do").is_some() && wrong.message.ends_with("`do`"),
            };
            let looked = fields::each(&each(entries), &good, &of);
            let Looked { part, mut wrong, replaced } = looked;
            wrong.retain(|wrong| !own(wrong));
            self.wrong(item, &path, wrong);
            let at = part.map(|event| event.at).filter(|_| !replaced.contains("at"));
            if let Some(written) = item.get("at").filter(|_| at.is_none() && filled("at")) {
                let path = format!("{path}.at");
                self.tell(item.place_of("at"), &path, no_time(&written.value));
            }
            let happening = self.happening(item, &path);
            read.push(Read { path, at, happening });
        }
        read
    }

    /// What happens: one event, with its fields.
    fn happening(&mut self, item: &Node, path: &str) -> Option<Happening> {
        if self.misshapen(item, path, "events") {
            return None;
        }
        let Value::Map(events) = &item.get("do")?.value else { return None };
        let [event] = events.as_slice() else { return None };
        let of = |fields| fields::of_event(&event.key, &fields);
        let Value::Map(entries) = &event.node.value else { return None };
        let Some(good) = fields::good(&of) else {
            let message = of(serde_json::Map::new()).err().unwrap_or_default();
            self.tell(event.place, path, plain(&message));
            return None;
        };
        let Looked { part, wrong, replaced: _ } = fields::each(&each(entries), &good, &of);
        self.wrong(item, path, wrong);
        part
    }

    /// Tells of an entry that does not have the form of one, if it does not.
    fn misshapen(&mut self, item: &Node, path: &str, key: &str) -> bool {
        let misshapen = form::misshapen(item, key);
        let is_so = misshapen.is_some();
        if let Some((place, message)) = misshapen {
            self.tell(place, path, message);
        }
        is_so
    }

    /// The items of a list, each with its path.
    fn items<'n>(&mut self, document: &'n Node, key: &str) -> Vec<(String, &'n Node)> {
        let Some(list) = document.get(key) else { return Vec::new() };
        match &list.value {
            Value::List(items) => {
                let numbered = items.iter().enumerate();
                numbered.map(|(index, item)| (format!("{key}[{index}]"), item)).collect()
            }
            Value::Null => Vec::new(),
            other => {
                self.tell(list.place, key, format!("expected a list, found {}", other.describe()));
                Vec::new()
            }
        }
    }

    /// Tells what is wrong with fields, each where it stands.
    fn wrong(&mut self, node: &Node, path: &str, wrong: Vec<Wrong<'_>>) {
        for Wrong { entry, message } in wrong {
            let blamed = message.split('`').nth(1);
            let place = entry.map_or(node.place, |entry| {
                let within = blamed.and_then(|word| place_of_word(&entry.node, word));
                within.unwrap_or(entry.place)
            });
            self.tell(place, path, plain(&message));
        }
    }

    /// Tells of keys that stand twice: only the last of them is read.
    pub fn twice(&mut self, node: &Node, path: &str) {
        match &node.value {
            Value::Map(entries) => {
                let mut lines: BTreeMap<&str, u64> = BTreeMap::new();
                for entry in entries {
                    let key = &entry.key;
                    if let Some(line) = lines.get(key.as_str()) {
                        let message = format!("{key} stands twice, first in line {line}");
                        self.tell(entry.place, path, message);
                    } else {
                        lines.insert(key, entry.place.line);
                    }
                    let within = if path.is_empty() { key } else { path };
                    self.twice(&entry.node, within);
                }
            }
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let own = format!("{path}[{index}]");
                    self.twice(item, if path.contains('[') { path } else { &own });
                }
            }
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Fraction(_)
            | Value::Text(_) => {}
        }
    }

    /// Tells of a name that does not exist, where it stands.
    pub fn name(&mut self, tree: &Node, path: &str, subject: Subject<'_>, names: &Names<'_>) {
        if let Some(message) = names.missing(subject).filter(|_| subject.name() != NOTHING) {
            self.at_word(tree, path, subject.name(), message);
        }
    }

    /// Tells of a role that nobody asks for, where it stands.
    pub fn role(&mut self, tree: &Node, path: &str, role: &str, names: &Names<'_>) {
        if let Some(message) = names.no_role(role).filter(|_| role != NOTHING) {
            self.at_word(tree, path, role, message);
        }
    }

    /// Tells something of a word below a path.
    pub fn at_word(&mut self, tree: &Node, path: &str, word: &str, message: String) {
        let (list, index) = path.split_once('[').unwrap_or((path, ""));
        let index = index.trim_end_matches(']').parse::<usize>().ok();
        let item = match (tree.get(list).map(|list| &list.value), index) {
            (Some(Value::List(items)), Some(index)) => items.get(index),
            _ => None,
        };
        let place = item.and_then(|item| place_of_word(item, word));
        self.tell(place.unwrap_or_else(|| tree.place_of(path)), path, message);
    }

    pub fn tell(&mut self, place: Place, path: &str, message: String) {
        self.refused.problems.push(Problem {
            place,
            path: path.to_owned(),
            ..self.file.problem(message)
        });
    }
}

fn each(entries: &[Entry]) -> Vec<&Entry> {
    entries.iter().collect()
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
