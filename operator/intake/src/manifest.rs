//! Manifests: multi-document YAML or JSON of our kinds and of those of Kubernetes that a decision needs offline.
//!
//! All mistakes of a run are told at once, each with file, line, column, path and what to write instead. Unknown fields are
//! mistakes here, where a person wrote them; in the cluster a newer version may have.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hozen_api::names;
use kube::core::cel::{ErrorKind, Validator};

use crate::{
    check::check,
    kinds::{Kind, Kinds, Object},
    mend,
    problem::{Problem, is_within, nearest},
    tree::{self, Entry, Node, Place, Unreadable, Value},
};

/// An object, and where it was written.
#[derive(Clone, Debug)]
pub struct Document {
    /// The object.
    pub object: Object,
    /// Its name.
    pub name: String,
    /// The file, as it was named to us.
    pub file: Arc<str>,
    /// What was written, place by place.
    pub tree: Arc<Node>,
}

impl Document {
    /// A mistake at a field of this object.
    pub fn problem(&self, path: &str, message: impl Into<String>) -> Problem {
        Problem {
            file: Arc::clone(&self.file),
            place: self.tree.place_of(path),
            object: format!("{}/{}", self.object.kind(), self.name),
            path: path.to_owned(),
            message: message.into(),
        }
    }
}

/// An object whose form is wrong. What refers to it is not wrong for that reason.
#[derive(Clone, Debug)]
pub struct Unformed {
    /// Its kind, or the one that was meant.
    pub kind: &'static str,
    /// Its name; none if that is what is missing.
    pub name: Option<String>,
    /// The file, as it was named to us.
    pub file: Arc<str>,
    /// What was written, place by place.
    pub tree: Arc<Node>,
}

/// Everything that was read, and everything that is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// Objects, in the order read: also those of which a problem tells, as far as they have the form of their kind, so that
    /// what is wrong with them later is told in the same run.
    pub documents: Vec<Document>,
    /// Objects that do not have the form of their kind.
    pub unformed: Vec<Unformed>,
    /// The same, with what is wrong replaced ([`mend`]): what else is wrong with them is told in the same run, and nothing more is done
    /// with them.
    pub mended: Vec<Document>,
    /// Mistakes, in the order of files and lines.
    pub problems: Vec<Problem>,
    /// Kinds that are not read here, with how many of each there were.
    pub ignored: BTreeMap<String, u32>,
    /// Some of it could not even be told apart: it may hold objects of any kind and name.
    pub torn: bool,
}

impl Manifests {
    /// The names of the objects of a kind, also of those that are wrong. None if it cannot be known which there are, or one has
    /// a name that cannot be: then nobody can say that one is missing.
    pub fn names(&self, kind: &str) -> Option<BTreeSet<&str>> {
        if self.torn {
            return None;
        }
        let unformed = self.unformed.iter().filter(|object| object.kind == kind);
        let mut names: BTreeSet<&str> =
            unformed.map(|object| object.name.as_deref()).collect::<Option<_>>()?;
        let formed = self.documents.iter().filter(|document| document.object.kind() == kind);
        names.extend(formed.map(|document| document.name.as_str()));
        names.iter().all(|name| is_name(name)).then_some(names)
    }

    /// What was written of every object of a kind that has a name, also of those that are wrong: file, name and tree.
    pub fn written<'a>(
        &'a self,
        kind: &'a str,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a str, &'a Node)> {
        let formed = self.documents.iter().filter(move |document| document.object.kind() == kind);
        let unformed = self.unformed.iter().filter(move |object| object.kind == kind);
        formed
            .map(|document| (&document.file, document.name.as_str(), &*document.tree))
            .chain(unformed.filter_map(|of| Some((&of.file, of.name.as_deref()?, &*of.tree))))
    }
}

/// Reads manifests, file by file.
pub struct Reader {
    validator: Validator,
    manifests: Manifests,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// A reader that has read nothing yet.
    pub fn new() -> Self {
        Self { validator: Validator::new(), manifests: Manifests::default() }
    }

    /// Something could not be read at all: it may hold objects of any kind and name.
    pub const fn tear(&mut self) {
        self.manifests.torn = true;
    }

    /// Reads one file. `file` names it in messages.
    pub fn read(&mut self, file: &str, text: &str) {
        self.parsed(file, tree::read(text));
    }

    /// The same of a file that was parsed already.
    pub fn parsed(&mut self, file: &str, (documents, unreadable): (Vec<Node>, Vec<Unreadable>)) {
        let file: Arc<str> = file.into();
        for node in documents {
            self.document(&file, node);
        }
        self.manifests.torn |= !unreadable.is_empty();
        for fault in unreadable {
            self.manifests.problems.push(Problem {
                file: Arc::clone(&file),
                place: fault.place,
                object: String::new(),
                path: String::new(),
                message: fault.message,
            });
        }
    }

    /// What was read. Objects that stand twice and references to what is not there are told now.
    pub fn finish(self) -> Manifests {
        let mut manifests = self.manifests;
        manifests.problems.extend(crate::reference::problems(&manifests));
        manifests.problems.sort();
        manifests
    }

    /// What was read, by itself: what it refers to may stand elsewhere.
    pub fn without_references(self) -> Manifests {
        self.manifests
    }

    fn document(&mut self, file: &Arc<str>, node: Node) {
        let Some((api_version, kind)) = head(&node) else {
            self.without_head(file, &node);
            return;
        };
        let of_one_kind =
            kind.strip_suffix("List").is_some_and(|item| Kinds::read(&api_version, item));
        if kind == "List" || of_one_kind {
            self.list(file, node);
            return;
        }
        if Kinds::read(&api_version, &kind) {
            self.known(file, node, &api_version, &kind);
        } else {
            self.unknown(file, &node, &api_version, &kind);
        }
    }

    /// The items of a list. Where anything else stands in it, or no items, any object may be missing for that reason.
    fn list(&mut self, file: &Arc<str>, node: Node) {
        let (items, faults) = items(node);
        self.manifests.torn |= !faults.is_empty();
        self.manifests.problems.extend(faults.into_iter().map(|(place, path, message)| Problem {
            file: Arc::clone(file),
            place,
            object: String::new(),
            path,
            message,
        }));
        for item in items {
            self.document(file, item);
        }
    }

    fn known(&mut self, file: &Arc<str>, node: Node, api_version: &str, kind: &str) {
        let Some(definition) = Kinds::get(api_version, kind) else {
            return;
        };
        let kind = definition.kind;
        let name = name_of(&node, self.manifests.documents.len());
        let object = format!("{kind}/{}", name.as_deref().unwrap_or("?"));
        let tell = |place, path: &str, message: String| Problem {
            file: Arc::clone(file),
            place,
            object: object.clone(),
            path: path.to_owned(),
            message,
        };
        let mut problems = Vec::new();
        let faults = check(&definition.schema, &node, "");
        let formed = !faults.iter().any(|fault| fault.form);
        problems
            .extend(faults.into_iter().map(|fault| tell(fault.place, &fault.path, fault.message)));
        let Some(name) = name else {
            // Where something of the metadata is told, a name under another key for one, that is what is wrong.
            if !problems.iter().any(|known| known.path.starts_with("metadata.")) {
                let message = "is missing".to_owned();
                problems.push(tell(node.place_of("metadata"), "metadata.name", message));
            }
            self.manifests.problems.append(&mut problems);
            let (file, tree) = (Arc::clone(file), Arc::new(node));
            self.manifests.unformed.push(Unformed { kind, name, file, tree });
            return;
        };
        if !is_name(&name) {
            let message = format!(
                "`{}` is no name that the server takes; write small letters, digits, `-` and `.`, at most {NAME_BYTES_MAX} of them, \
                 a letter or digit first and last",
                name.chars().take(80).collect::<String>()
            );
            problems.push(tell(node.place_of("metadata.name"), "metadata.name", message));
        }
        let wrong: Vec<String> = problems.iter().map(|known| known.path.clone()).collect();
        let json = named(node.to_json(), &name);
        let rules =
            |json: &serde_json::Value| broken_rules(&self.validator, definition, json, &wrong);
        let told = |(path, message): (String, String)| tell(node.place_of(&path), &path, message);
        if formed {
            problems.extend(rules(&json).into_iter().map(told));
        }
        let object = if formed { Object::from_json(kind, json) } else { Err(String::new()) };
        let mut mended = None;
        if let Err(message) = &object {
            let json = named(mend::mended(&definition.schema, &node), &name);
            // Of rules over what was replaced nobody can say whether they are broken.
            let around = |path: &str| wrong.iter().any(|wrong| is_within(wrong, path));
            let broken = rules(&json).into_iter().filter(|(path, _)| !formed && !around(path));
            problems.extend(broken.map(told));
            if problems.is_empty() {
                problems.push(tell(node.place, "", message.clone()));
            }
            mended = Object::from_json(kind, json).ok();
        }
        self.manifests.problems.append(&mut problems);
        let (file, tree) = (Arc::clone(file), Arc::new(node));
        let document = |object| {
            let (name, file, tree) = (name.clone(), Arc::clone(&file), Arc::clone(&tree));
            Document { object, name, file, tree }
        };
        self.manifests.mended.extend(mended.map(document));
        match object {
            Ok(object) => self.manifests.documents.push(document(object)),
            Err(_) => {
                self.manifests.unformed.push(Unformed { kind, name: Some(name), file, tree });
            }
        }
    }

    fn unknown(&mut self, file: &Arc<str>, node: &Node, api_version: &str, kind: &str) {
        let ours = api_version.split('/').next() == Some(names::GROUP);
        if !ours {
            let Some((path, message)) = slip(api_version, kind) else {
                *self.manifests.ignored.entry(format!("{api_version} {kind}")).or_default() += 1;
                return;
            };
            self.manifests.torn = true;
            self.of_head(file, node, path, message);
            return;
        }
        let meant = nearest(kind, Kinds::of(names::API_VERSION));
        match meant {
            Some(kind) => self.manifests.unformed.push(Unformed {
                kind,
                name: name_of(node, self.manifests.documents.len()),
                file: Arc::clone(file),
                tree: Arc::new(node.clone()),
            }),
            None => self.manifests.torn = true,
        }
        let (path, message) = if api_version == names::API_VERSION {
            let hint = meant.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
            ("kind", format!("{kind} is no kind of {}{hint}", names::API_VERSION))
        } else {
            ("apiVersion", format!("{api_version} is not known; write {}", names::API_VERSION))
        };
        self.of_head(file, node, path, message);
    }

    /// A mistake in the head of something that is no object for that reason.
    fn of_head(&mut self, file: &Arc<str>, node: &Node, path: &str, message: String) {
        self.manifests.problems.push(Problem {
            file: Arc::clone(file),
            place: node.place_of(path),
            object: String::new(),
            path: path.to_owned(),
            message,
        });
    }

    /// A document without `apiVersion` or kind: somebody else's file, unless it looks like a manifest.
    fn without_head(&mut self, file: &Arc<str>, node: &Node) {
        let Value::Map(entries) = &node.value else {
            *self.manifests.ignored.entry(format!("{file}: no manifest")).or_default() += 1;
            return;
        };
        let looks_like_one = ["kind", "metadata", "spec", "apiVersion"]
            .iter()
            .filter(|key| entries.iter().any(|entry| entry.key == **key))
            .count()
            >= 2;
        if !looks_like_one {
            *self.manifests.ignored.entry(format!("{file}: no manifest")).or_default() += 1;
            return;
        }
        let missing = if node.get("apiVersion").and_then(Node::text).is_none() {
            "apiVersion"
        } else {
            "kind"
        };
        let keys = entries.iter().map(|entry| entry.key.as_str());
        let hint = match nearest(missing, keys).filter(|key| *key != missing) {
            Some(key) => format!("; is {key} meant to be it?"),
            None if missing == "apiVersion" => {
                format!("; write apiVersion: {}", names::API_VERSION)
            }
            None => String::new(),
        };
        self.manifests.torn = true;
        self.manifests.problems.push(Problem {
            file: Arc::clone(file),
            place: node.place,
            object: String::new(),
            path: missing.to_owned(),
            message: format!("is missing{hint}"),
        });
    }
}

/// What can stand in a list of objects.
const LIST_KEYS: [&str; 4] = ["apiVersion", "kind", "metadata", "items"];

/// The items of a list, and what is wrong with it: place, path and what to write instead.
fn items(list: Node) -> (Vec<Node>, Vec<(Place, String, String)>) {
    let (mut items, mut faults) = (Vec::new(), Vec::new());
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    let Value::Map(entries) = list.value else {
        return (items, faults); // It has a kind, so it is a map.
    };
    for Entry { key, place, node } in entries {
        let fault = if !LIST_KEYS.contains(&key.as_str()) {
            let meant = nearest(&key, LIST_KEYS);
            let hint = meant.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
            Some(format!("unknown field{hint}"))
        } else if let Some(first) = places.get(&key) {
            Some(format!("stands twice, first in line {}", first.line))
        } else if key == "items" {
            taken(node.value).map(|of| items = of).err()
        } else {
            None
        };
        faults.extend(fault.map(|message| (place, key.clone(), message)));
        places.entry(key).or_insert(place);
    }
    if faults.is_empty() && !places.contains_key("items") {
        let message = format!("is missing{NO_ITEMS}");
        faults.push((list.place, "items".to_owned(), message));
    }
    (items, faults)
}

/// How to say that a list is empty.
const NO_ITEMS: &str = "; write items: [] where there are none";

/// The items, or why there are none.
fn taken(value: Value) -> Result<Vec<Node>, String> {
    let hint = match value {
        Value::List(items) => return Ok(items),
        Value::Map(_) => "; begin each item with a dash",
        Value::Null => NO_ITEMS,
        Value::Bool(_) | Value::Integer(_) | Value::Fraction(_) | Value::Text(_) => "",
    };
    Err(format!("expected a list, found {}{hint}", value.describe()))
}

/// What somebody meant who wrote almost the head of an object that is read: which part of it is wrong, and what to write instead.
fn slip(api_version: &str, kind: &str) -> Option<(&'static str, String)> {
    let near = |a: &str, b: &str, most| strsim::damerau_levenshtein(a, b) <= most;
    let list = (api_version == "v1").then_some("List");
    if let Some(meant) = Kinds::of(api_version).chain(list).find(|known| near(known, kind, 1)) {
        let message = format!("{kind} is no kind of {api_version}; did you mean {meant}?");
        return Some(("kind", message));
    }
    let group = api_version.split('/').next()?;
    let meant = Kinds::versions().find(|version| {
        let known = version.split('/').next().unwrap_or_default();
        // Of the same group it is another version, and not a slip.
        Kinds::read(version, kind) && known != group && near(known, group, 2)
    })?;
    Some(("apiVersion", format!("{api_version} has no {kind}; did you mean {meant}?")))
}

/// The object under this name.
fn named(mut json: serde_json::Value, name: &str) -> serde_json::Value {
    if let Some(metadata) = json.get_mut("metadata").and_then(serde_json::Value::as_object_mut) {
        metadata.insert("name".to_owned(), name.into());
    }
    json
}

fn head(node: &Node) -> Option<(String, String)> {
    let text = |key: &str| node.get(key).and_then(Node::text).map(str::to_owned);
    Some((text("apiVersion")?, text("kind")?))
}

/// The object's name; for one with `generateName`, that and a number, as the server would make one.
fn name_of(node: &Node, number: usize) -> Option<String> {
    let metadata = node.get("metadata")?;
    let text = |key: &str| metadata.get(key).and_then(Node::text).filter(|text| !text.is_empty());
    text("name")
        .map(str::to_owned)
        .or_else(|| text("generateName").map(|prefix| format!("{prefix}{number:05}")))
}

/// Longest name of an object.
const NAME_BYTES_MAX: usize = 253;

/// Whether the server takes a name (a DNS subdomain, RFC 1123).
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |label: &str| {
        let bytes = label.as_bytes();
        let ends =
            bytes.first().is_some_and(|b| plain(*b)) && bytes.last().is_some_and(|b| plain(*b));
        ends && bytes.iter().all(|byte| plain(*byte) || *byte == b'-')
    };
    name.len() <= NAME_BYTES_MAX && name.split('.').all(label)
}

/// CEL rules that an object breaks: the field's path, and the rule's message. Of a field that is `wrong` already no rule is told,
/// nor of one around it that cannot be judged for that reason.
fn broken_rules(
    validator: &Validator,
    kind: &Kind,
    json: &serde_json::Value,
    wrong: &[String],
) -> Vec<(String, String)> {
    let Some(rules) = &kind.rules else {
        return Vec::new();
    };
    let Err(errors) = validator.validate_compiled(rules, json, None) else {
        return Vec::new();
    };
    errors
        .into_vec()
        .into_iter()
        .filter(|error| !wrong.iter().any(|path| is_within(&error.field_path, path)))
        .filter_map(|error| {
            if error.kind == ErrorKind::ValidationFailure {
                return Some((error.field_path, error.message));
            }
            let message = format!("a rule could not be judged: {} ({})", error.message, error.rule);
            let is_judged = wrong.iter().all(|path| !is_within(path, &error.field_path));
            is_judged.then_some((error.field_path, message))
        })
        .collect()
}
