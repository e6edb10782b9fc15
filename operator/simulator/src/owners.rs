//! Field managers: who wrote which field, and what an apply patch makes of that (S3).
//!
//! A field is a path of steps in the form of `FieldsV1`: `f:name`, `k:{"type":"Ready"}` for an entry of a list, `v:"x"` for one of a set.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::{
    json::fields,
    schema::{Form, Lists},
};

/// A path to a leaf.
type Path = Vec<String>;
/// Leaves.
pub type Fields = BTreeSet<Path>;

/// How a manager wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// By an apply patch.
    Apply,
    /// By anything else.
    Update,
}

/// Who owns fields.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Its name.
    pub manager: String,
    /// How it wrote.
    pub how: How,
    /// Through which subresource.
    pub subresource: String,
}

/// All owners of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners(BTreeMap<Owner, Fields>);

/// Metadata that belongs to the server or names the object: nobody owns it.
const NOBODYS: [&str; 9] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
];

/// A field that an apply patch may not take.
#[derive(Clone, Debug)]
pub struct Conflict {
    /// Whose it is.
    pub manager: String,
    /// `.spec.size`.
    pub field: String,
}

impl Owners {
    /// Whoever wrote what differs owns it from now on, and nobody else does.
    pub fn wrote(&mut self, owner: Owner, before: &Value, after: &Value, form: Form<'_>) {
        let (mut set, mut gone) = (Fields::new(), Fields::new());
        changed(Some(before), Some(after), form, &mut Vec::new(), (&mut set, &mut gone));
        for owned in self.0.values_mut() {
            owned.retain(|path| !set.contains(path) && !gone.contains(path));
        }
        if !set.is_empty() {
            self.0.entry(owner).or_default().extend(set);
        }
        self.0.retain(|_, owned| !owned.is_empty());
    }

    /// Applies what a manager wants to an object. What it wanted before and does not name any more goes, unless it is another's too. Conflicts
    /// are what another owns and has otherwise; by force they are taken.
    pub fn apply(
        &mut self,
        owner: &Owner,
        live: &Value,
        wanted: &Value,
        (form, force): (Form<'_>, bool),
    ) -> Result<Value, Vec<Conflict>> {
        let mut named = Fields::new();
        leaves(wanted, form, &mut Vec::new(), &mut named);
        let differs = |path: &Path| find(live, path) != find(wanted, path);
        let mut conflicts = Vec::new();
        for (other, owned) in self.0.iter().filter(|(other, _)| *other != owner) {
            let taken = owned.intersection(&named).filter(|path| differs(path));
            conflicts.extend(
                taken.map(|path| Conflict { manager: other.manager.clone(), field: shown(path) }),
            );
        }
        if !conflicts.is_empty() && !force {
            return Err(conflicts);
        }
        let taken: Fields = named.iter().filter(|path| differs(path)).cloned().collect();
        for (other, owned) in &mut self.0 {
            if other != owner {
                owned.retain(|path| !taken.contains(path));
            }
        }
        let mut merged = live.clone();
        merge(&mut merged, wanted, form);
        let before = self.0.insert(owner.clone(), named.clone()).unwrap_or_default();
        for path in before.difference(&named) {
            if !self.0.values().any(|owned| owned.contains(path)) {
                remove(&mut merged, path);
            }
        }
        self.0.retain(|_, owned| !owned.is_empty());
        Ok(merged)
    }

    /// As `metadata.managedFields`.
    pub fn managed_fields(&self, api_version: &str) -> Value {
        let entries = self.0.iter().map(|(owner, owned)| {
            let mut tree = json!({});
            for path in owned {
                path.iter().fold(&mut tree, |at, step| {
                    fields(at).entry(step.clone()).or_insert_with(|| json!({}))
                });
            }
            let how = if owner.how == How::Apply { "Apply" } else { "Update" };
            let mut entry = json!({"manager": owner.manager, "operation": how,
                "apiVersion": api_version, "fieldsType": "FieldsV1", "fieldsV1": tree});
            if !owner.subresource.is_empty() {
                entry["subresource"] = owner.subresource.as_str().into();
            }
            entry
        });
        entries.collect()
    }
}

/// Whether a field of an object has no owner.
fn nobodys(path: &[String], name: &str) -> bool {
    match path {
        [] => matches!(name, "apiVersion" | "kind"),
        [metadata] if metadata == "f:metadata" => NOBODYS.contains(&name),
        _ => false,
    }
}

/// The step to an entry of a list, if the list has any.
fn step(entry: &Value, lists: &Lists) -> Option<String> {
    match lists {
        Lists::Atomic => None,
        Lists::Set => Some(format!("v:{entry}")),
        Lists::ByKeys(keys) => {
            let named: Map<String, Value> = keys
                .iter()
                .filter_map(|key| Some((key.clone(), entry.get(key)?.clone())))
                .collect();
            Some(format!("k:{}", Value::Object(named)))
        }
    }
}

fn leaves(value: &Value, form: Form<'_>, path: &mut Path, out: &mut Fields) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                if nobodys(path, name) {
                    continue;
                }
                path.push(format!("f:{name}"));
                leaves(value, form.field(name), path, out);
                path.pop();
            }
        }
        Value::Array(entries) if form.lists() != Lists::Atomic => {
            let lists = form.lists();
            for entry in entries {
                path.extend(step(entry, &lists));
                leaves(entry, form.entry(), path, out);
                path.pop();
            }
        }
        _ => drop(out.insert(path.clone())),
    }
}

/// The leaves of what differs: those that are set, and those that are gone.
fn changed(
    before: Option<&Value>,
    after: Option<&Value>,
    form: Form<'_>,
    path: &mut Path,
    out: (&mut Fields, &mut Fields),
) {
    let (set, gone) = out;
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                if nobodys(path, name) {
                    continue;
                }
                path.push(format!("f:{name}"));
                changed(old.get(name), new.get(name), form.field(name), path, (set, gone));
                path.pop();
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if form.lists() != Lists::Atomic => {
            let lists = form.lists();
            let keyed = |entries: &'_ [Value]| -> BTreeMap<String, Value> {
                entries.iter().filter_map(|e| Some((step(e, &lists)?, e.clone()))).collect()
            };
            let (old, new) = (keyed(old), keyed(new));
            let steps: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for step in steps {
                path.push(step.clone());
                changed(old.get(step), new.get(step), form.entry(), path, (set, gone));
                path.pop();
            }
        }
        (before, after) => {
            if let Some(before) = before {
                leaves(before, form, path, gone);
            }
            if let Some(after) = after {
                leaves(after, form, path, set);
            }
        }
    }
}

/// The value at a path.
fn find<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    let Some((step, rest)) = path.split_first() else {
        return Some(value);
    };
    let next = match (step.split_at(2), value) {
        (("f:", name), Value::Object(fields)) => fields.get(name),
        ((_, _), Value::Array(entries)) => entries.iter().find(|entry| is(entry, step)),
        _ => None,
    };
    find(next?, rest)
}

/// Whether a step leads to this entry.
fn is(entry: &Value, step: &str) -> bool {
    let (how, what) = step.split_at(2);
    let Ok(what) = serde_json::from_str::<Value>(what) else {
        return false;
    };
    match what {
        Value::Object(keys) if how == "k:" => {
            keys.iter().all(|(key, value)| entry.get(key) == Some(value))
        }
        what => how == "v:" && *entry == what,
    }
}

/// Removes what is at a path, and what is empty after it.
fn remove(value: &mut Value, path: &[String]) {
    let Some((step, rest)) = path.split_first() else {
        return;
    };
    let empty = |value: &Value| match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(entries) => entries.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(fields) => {
            let name = &step[2..];
            if rest.is_empty() {
                fields.remove(name);
            } else if let Some(part) = fields.get_mut(name) {
                remove(part, rest);
                if empty(part) {
                    fields.remove(name);
                }
            }
        }
        Value::Array(entries) => {
            for entry in entries.iter_mut().filter(|entry| is(entry, step)) {
                if rest.is_empty() {
                    *entry = Value::Null;
                } else {
                    remove(entry, rest);
                }
            }
            entries.retain(|entry| !entry.is_null() && !empty(entry));
        }
        _ => {}
    }
}

/// What is wanted over what is there: objects and lists with keys grow together, all else is replaced.
fn merge(live: &mut Value, wanted: &Value, form: Form<'_>) {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            for (name, value) in wanted {
                match live.get_mut(name) {
                    Some(known) => merge(known, value, form.field(name)),
                    None => drop(live.insert(name.clone(), value.clone())),
                }
            }
        }
        (Value::Array(live), Value::Array(wanted)) if form.lists() != Lists::Atomic => {
            let lists = form.lists();
            for entry in wanted {
                let step = step(entry, &lists).unwrap_or_default();
                match live.iter_mut().find(|known| is(known, &step)) {
                    Some(known) => merge(known, entry, form.entry()),
                    None => live.push(entry.clone()),
                }
            }
        }
        (live, wanted) => live.clone_from(wanted),
    }
}

/// `.spec.size` of `f:spec`, `f:size`.
fn shown(path: &[String]) -> String {
    path.iter().fold(String::new(), |text, step| match step.split_at(2) {
        ("f:", name) => format!("{text}.{name}"),
        (_, entry) => format!("{text}[{entry}]"),
    })
}
