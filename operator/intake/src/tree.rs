//! YAML and JSON as a tree in which every node knows its place, so that whatever is wrong with it later can be pointed at.
//!
//! Limits: [`BYTES_MAX`] of text, [`LINE_BYTES_MAX`] in a line of YAML, [`DEPTH_MAX`] levels, [`NODES_MAX`] nodes after aliases were
//! expanded. Booleans are only `true` and `false`, and `010` is text: what a person wrote as text does not become a number behind their
//! back.

mod guard;

use std::fmt;

pub use guard::LINE_BYTES_MAX;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{
    Error, Location, Options, Spanned, budget::BudgetBreach, options::DuplicateKeyPolicy,
};

/// Most bytes of one file of manifests: a thousand objects of the largest size that the API server takes are more than anybody
/// reviews.
pub const BYTES_MAX: usize = 64 << 20;
/// Most levels of nesting. The deepest of our schemas has 14 and a pod template 20; each level costs the parser some 40 KB of
/// stack in a debug build, and a thread has 2 MB.
pub const DEPTH_MAX: usize = 32;
/// Most nodes of one file, aliases expanded.
pub const NODES_MAX: usize = 4_000_000;
/// Most documents of one file.
const DOCUMENTS_MAX: usize = 100_000;
/// Most nodes that aliases may add in one file: they save typing, they are no compression.
const ALIASED_MAX: usize = 100_000;

/// Line and column in a file, from 1; 0 where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        Self { line: location.line(), column: location.column() }
    }
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where; for an alias, where the alias stands.
    pub place: Place,
    /// What.
    pub value: Value,
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~`, or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Fraction(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order written; a key that stands twice is in it twice.
    Map(Vec<Entry>),
}

/// One entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key was written.
    pub place: Place,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// The value of a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The entry of a key, if this is a map that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Fraction(_)
            | Value::Text(_)
            | Value::List(_) => None,
        }
    }

    /// The text, if this is one.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Fraction(_)
            | Value::List(_)
            | Value::Map(_) => None,
        }
    }

    /// The place of a field by its path (`spec.rollout.stages[1].name`), or of the nearest part of it that was written.
    pub fn place_of(&self, path: &str) -> Place {
        let mut node = self;
        let mut place = self.place;
        for segment in path.split('.') {
            let (key, indices) = segment.split_once('[').unwrap_or((segment, ""));
            if !key.is_empty() {
                let Some(entry) = node.entry(key) else {
                    return place;
                };
                (node, place) = (&entry.node, entry.place);
            }
            for index in indices.split(['[', ']']).filter_map(|text| text.parse::<usize>().ok()) {
                let Value::List(items) = &node.value else {
                    return place;
                };
                let Some(item) = items.get(index) else {
                    return place;
                };
                (node, place) = (item, item.place);
            }
        }
        place
    }

    /// The same as JSON, without the entries that are null: to Kubernetes an absent field and a null one are the same.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Integer(value) => (*value).into(),
            Value::Fraction(value) => (*value).into(),
            Value::Text(text) => text.clone().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .filter(|entry| entry.node.value != Value::Null)
                .map(|entry| (entry.key.clone(), entry.node.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

impl Value {
    /// What it is, in the words of an error message.
    pub fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(value) => format!("the boolean {value}"),
            Self::Integer(value) => format!("the number {value}"),
            Self::Fraction(value) => format!("the number {value}"),
            Self::Text(text) => format!("the text \"{}\"", short(text)),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a map".to_owned(),
        }
    }
}

/// A text cut to what fits in a message.
pub fn short(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    if text.chars().count() <= CHARACTERS_MAX {
        return text.escape_debug().to_string();
    }
    let head: String = text.chars().take(CHARACTERS_MAX).collect();
    format!("{}…", head.escape_debug())
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { place: spanned.referenced.into(), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a number beyond 2^63 is out of every bound anyway"
        )]
        Ok(i64::try_from(value).map_or(Value::Fraction(value as f64), Value::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Fraction(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let node = map.next_value()?;
            entries.push(Entry { key: key.value, place: key.referenced.into(), node });
        }
        Ok(Value::Map(entries))
    }
}

/// What could not be read of a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Where.
    pub place: Place,
    /// What, and what to write instead where that is known.
    pub message: String,
}

/// The documents of a file, and what could not be read of it. After a mistake in the syntax the rest of the file is not read.
pub fn read(text: &str) -> (Vec<Node>, Vec<Unreadable>) {
    if text.len() > BYTES_MAX {
        let message = format!("the file has {} bytes; the limit is {BYTES_MAX}", text.len());
        return (Vec::new(), vec![Unreadable { place: Place::default(), message }]);
    }
    if let Some(refused) = guard::refused(text) {
        return (Vec::new(), vec![refused]);
    }
    let (mut documents, mut unreadable) = (Vec::new(), Vec::new());
    let mut bytes = text.as_bytes();
    for document in serde_saphyr::read_with_options::<_, Node>(&mut bytes, options()) {
        match document {
            Ok(node) => documents.push(node),
            Err(error) => unreadable.push(Unreadable {
                place: error.location().map(Place::from).unwrap_or_default(),
                message: message(error.without_snippet()),
            }),
        }
    }
    (documents, unreadable)
}

/// What the parser says, without the place that it ends with (that is told apart), and limits by their number.
pub(crate) fn message(error: &Error) -> String {
    if let Error::Budget { breach, .. } = error {
        return match breach {
            BudgetBreach::Depth { .. } => {
                format!("is nested too deeply; the limit is {DEPTH_MAX} levels")
            }
            BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } => {
                format!("has too many values; the limit is {NODES_MAX}")
            }
            BudgetBreach::Documents { .. } => {
                format!("has too many documents; the limit is {DOCUMENTS_MAX}")
            }
            _ => format!("passes a limit ({breach:?})"),
        };
    }
    let text = error.to_string();
    // The parser has limits of its own words for these two.
    if text.starts_with("recursion limit") {
        return format!("is nested too deeply; the limit is {DEPTH_MAX} levels");
    }
    if text.starts_with("alias replay limit") {
        return format!("its aliases stand for too much; the limit is {ALIASED_MAX} values");
    }
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

/// How YAML is read here.
pub(crate) fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: Some(BYTES_MAX),
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: 2 * NODES_MAX,
            max_documents: DOCUMENTS_MAX,
            max_total_scalar_bytes: BYTES_MAX,
            max_aliases: 10_000,
            max_anchors: 1_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: ALIASED_MAX,
            max_replay_stack_depth: 8,
        },
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_its_value_know_their_places() {
        let (documents, unreadable) = read("a: 1\nb:\n  - x: one\n---\n{\"c\": [1.5]}\n");
        assert_eq!(unreadable, []);
        assert_eq!(documents[0].place_of("b[0].x"), Place { line: 3, column: 5 });
        assert_eq!(documents[0].get("b").unwrap().place, Place { line: 3, column: 3 });
        assert_eq!(documents[1].place_of("c[0]"), Place { line: 5, column: 8 });
        assert_eq!(
            documents[1].place_of("c[7].d"),
            Place { line: 5, column: 2 },
            "the nearest that was written"
        );
    }

    #[test]
    fn what_was_written_as_text_stays_text() {
        let (documents, unreadable) = read("a: yes\nb: 010\nc: 1_000\nd: true\n");
        assert_eq!(unreadable, []);
        assert_eq!(
            documents[0].to_json(),
            serde_json::json!({"a": "yes", "b": "010", "c": "1_000", "d": true})
        );
    }

    #[test]
    fn a_key_that_stands_twice_is_kept_twice() {
        let (documents, _) = read("a: 1\na: 2\n");
        assert!(matches!(&documents[0].value, Value::Map(entries) if entries.len() == 2));
    }

    #[test]
    fn bombs_are_refused_at_a_limit_and_a_place() {
        let mut bomb = String::from("a: &a [x,x,x,x,x,x,x,x,x]\n");
        for pair in "abcdefgh".as_bytes().windows(2) {
            let (from, to) = (char::from(pair[0]), char::from(pair[1]));
            let aliases = vec![format!("*{from}"); 9].join(",");
            bomb = format!(
                "{bomb}{to}: &{to} [{aliases}]
"
            );
        }
        for (text, said) in [
            (bomb.as_str(), "its aliases stand for too much; the limit is 100000 values"),
            (&"[".repeat(100_000), "is nested too deeply; the limit is 32 levels"),
            (&"- ".repeat(100_000), "is nested too deeply; the limit is 32 levels"),
            (&"{a: ".repeat(100_000), "is nested too deeply; the limit is 32 levels"),
        ] {
            let (documents, unreadable) = read(text);
            assert_eq!(documents.len(), 0);
            assert!(unreadable[0].message.contains(said), "{unreadable:?}");
            assert!(unreadable[0].place.line > 0);
        }
    }

    #[test]
    fn a_document_that_cannot_be_read_leaves_the_others() {
        let (documents, unreadable) = read("? [a]\n: b\n---\nb: 1\n");
        assert_eq!((documents.len(), unreadable.len()), (1, 1));
        assert_eq!(unreadable[0].place.line, 1);
        let (documents, unreadable) = read("a: 1\n---\nb: [1, 2\nc: 3\n");
        assert_eq!((documents.len(), unreadable.len()), (1, 1));
        assert_eq!(unreadable[0].place.line, 4);
    }
}
