//! What has to be written so that one value becomes another: a JSON merge patch (RFC 7386), smaller than the whole, and with a null
//! for what goes away, which a patch made of the new value alone would leave in place.

use serde_json::{Map, Value};

/// The patch; none: they are the same.
pub fn difference(before: &Value, after: &Value) -> Option<Value> {
    if before == after {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        return Some(after.clone());
    };
    let mut patch: Map<String, Value> = old
        .keys()
        .filter(|key| !new.contains_key(*key))
        .map(|key| (key.clone(), Value::Null))
        .collect();
    for (key, value) in new {
        // A map that is new is written whole; against nothing its nulls would be lost, and it has none.
        let change = old.get(key).map_or_else(|| Some(value.clone()), |old| difference(old, value));
        if let Some(change) = change {
            patch.insert(key.clone(), change);
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_goes_away_is_written_as_null_and_what_stays_is_not_written() {
        let before = json!({"a": 1, "b": {"c": 2, "d": [1, 2]}, "e": 5});
        let after = json!({"a": 1, "b": {"d": [2]}, "f": {"g": 1}});
        let patch = difference(&before, &after);
        assert_eq!(patch, Some(json!({"e": null, "b": {"c": null, "d": [2]}, "f": {"g": 1}})));
        assert_eq!(difference(&after, &after), None);
    }
}
