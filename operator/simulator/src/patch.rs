//! Patches of three of the four kinds; the fourth, apply, is in `owners`.

use json_patch::Patch;
use serde_json::Value;

use crate::{json::fields, kind::Kind, refusal::Refusal};

/// How a patch is written, by its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// RFC 7386.
    Merge,
    /// RFC 6902.
    Json,
    /// Kubernetes' own, with lists merged by key.
    Strategic,
    /// What a manager wants, by server-side apply.
    Apply,
}

impl Form {
    /// From the content type.
    pub fn of(content_type: &str) -> Option<Self> {
        Some(match content_type.split(';').next().unwrap_or_default().trim() {
            "application/merge-patch+json" => Self::Merge,
            "application/json-patch+json" => Self::Json,
            "application/strategic-merge-patch+json" => Self::Strategic,
            "application/apply-patch+yaml" => Self::Apply,
            _ => return None,
        })
    }
}

/// The object with a patch. Apply patches are not for here.
pub fn patched(kind: &Kind, form: Form, object: &Value, patch: &Value) -> Result<Value, Refusal> {
    let mut object = object.clone();
    match form {
        Form::Merge => json_patch::merge(&mut object, patch),
        Form::Json => {
            let patch: Patch = serde_json::from_value(patch.clone())
                .map_err(|error| Refusal::bad(format!("error decoding patch: {error}")))?;
            json_patch::patch(&mut object, &patch).map_err(|error| {
                let message = format!(
                    "the server rejected our request due to an error in our request: {error}"
                );
                Refusal::new(422, "Invalid", message)
            })?;
        }
        Form::Strategic if kind.custom() => {
            let message = "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
            return Err(Refusal::new(415, "UnsupportedMediaType", message));
        }
        Form::Strategic => strategic(&mut object, patch, ""),
        Form::Apply => return Err(Refusal::bad("an apply patch is no change of an object")),
    }
    if object.is_object() { Ok(object) } else { Err(Refusal::bad("the patch leaves no object")) }
}

/// The field by which entries of a list are told apart in a strategic patch, as far as anybody here writes one.
fn merge_key(list: &str) -> Option<&'static str> {
    Some(match list {
        "conditions" => "type",
        "taints" => "key",
        "ownerReferences" => "uid",
        "containers" | "initContainers" | "volumes" | "env" => "name",
        _ => return None,
    })
}

fn strategic(object: &mut Value, patch: &Value, field: &str) {
    match (object, patch) {
        (Value::Array(known), Value::Array(wanted)) if merge_key(field).is_some() => {
            let key = merge_key(field).unwrap_or_default();
            for entry in wanted {
                let at = known.iter().position(|known| known.get(key) == entry.get(key));
                let deleted = entry.get("$patch").is_some_and(|how| how == "delete");
                match at {
                    Some(at) if deleted => drop(known.remove(at)),
                    Some(at) => strategic(&mut known[at], entry, ""),
                    None if deleted => {}
                    None => known.push(entry.clone()),
                }
            }
        }
        (object, Value::Object(patch)) => {
            let object = fields(object);
            for (name, value) in patch {
                if value.is_null() {
                    object.remove(name);
                } else {
                    strategic(object.entry(name).or_insert(Value::Null), value, name);
                }
            }
        }
        (object, patch) => object.clone_from(patch),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_strategic_patch_merges_conditions_by_type_and_replaces_other_lists() {
        let mut node = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}],
            "images": [1, 2]}});
        let patch = json!({"status": {"images": [3], "conditions": [
            {"type": "Ready", "status": "False"}, {"type": "Disk", "status": "True"}]}});
        strategic(&mut node, &patch, "");
        assert_eq!(
            node,
            json!({"status": {"images": [3], "conditions": [
            {"type": "Ready", "status": "False"}, {"type": "Disk", "status": "True"}]}})
        );
    }
}
