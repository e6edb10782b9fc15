//! Small words for JSON values.

use serde_json::{Map, Value};

/// The text at a pointer.
pub fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer).and_then(Value::as_str)
}

/// The entries of a list at a pointer; none where there is no list.
pub fn list<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// The object at a field, made where it is not there or is no object.
pub fn part<'v>(value: &'v mut Value, field: &str) -> &'v mut Map<String, Value> {
    let entry = fields(value).entry(field).or_insert(Value::Null);
    fields(entry)
}

/// The fields of a value, which becomes an object where it is none.
pub fn fields(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(fields) => fields,
        _ => unreachable!("it was made an object just above"),
    }
}

/// Copies a field from one object to another, or removes it there.
pub fn copy(field: &str, from: &Value, to: &mut Value) {
    match from.get(field) {
        Some(value) => drop(fields(to).insert(field.to_owned(), value.clone())),
        None => drop(fields(to).remove(field)),
    }
}
