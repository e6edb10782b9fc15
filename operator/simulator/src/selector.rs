//! Which objects a list or a watch asks for.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{json::text, refusal::Refusal};

/// One condition on a label or a field.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Is(String, Vec<String>),
    IsNot(String, Vec<String>),
    There(String),
    NotThere(String),
}

/// A namespace, label terms and field terms. All of them must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    namespace: Option<String>,
    labels: Vec<Term>,
    fields: Vec<Term>,
}

impl Selector {
    /// From a call's namespace and query.
    pub fn of(namespace: &str, query: &BTreeMap<String, String>) -> Result<Self, Refusal> {
        let terms = |name: &str| query.get(name).map_or(Ok(Vec::new()), |text| terms(text));
        Ok(Self {
            namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
            labels: terms("labelSelector")?,
            fields: terms("fieldSelector")?,
        })
    }

    /// Whether an object is asked for.
    pub fn takes(&self, object: &Value) -> bool {
        let label = |name: &str| {
            object.pointer("/metadata/labels").and_then(|labels| labels.get(name)?.as_str())
        };
        let field = |path: &str| text(object, &format!("/{}", path.replace('.', "/")));
        let here = self.namespace.as_deref().is_none_or(|namespace| {
            text(object, "/metadata/namespace").is_some_and(|own| own == namespace)
        });
        here && self.labels.iter().all(|term| term.holds(label))
            // A field that is not there is empty.
            && self.fields.iter().all(|term| term.holds(|path| Some(field(path).unwrap_or_default())))
    }
}

impl Term {
    fn holds<'v>(&self, value: impl FnOnce(&str) -> Option<&'v str>) -> bool {
        match self {
            Self::Is(name, of) => value(name).is_some_and(|value| of.iter().any(|v| v == value)),
            Self::IsNot(name, of) => value(name).is_none_or(|value| of.iter().all(|v| v != value)),
            Self::There(name) => value(name).is_some(),
            Self::NotThere(name) => value(name).is_none(),
        }
    }
}

/// Whether a `LabelSelector` of an object takes these labels. One that is empty takes all.
pub fn matches(selector: &Value, labels: Option<&Value>) -> bool {
    let label = |name: &str| labels.and_then(|labels| labels.get(name)?.as_str());
    let equal = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let mut equal = equal.map(|(name, value)| label(name) == value.as_str());
    let terms = crate::json::list(selector, "/matchExpressions");
    let mut held = terms.map(|term| {
        let name = text(term, "/key").unwrap_or_default().to_owned();
        let values = crate::json::list(term, "/values").filter_map(Value::as_str);
        let values: Vec<String> = values.map(str::to_owned).collect();
        let term = match text(term, "/operator") {
            Some("In") => Term::Is(name, values),
            Some("NotIn") => Term::IsNot(name, values),
            Some("Exists") => Term::There(name),
            Some("DoesNotExist") => Term::NotThere(name),
            _ => return false,
        };
        term.holds(label)
    });
    equal.all(|held| held) && held.all(|held| held)
}

/// `a=b,c!=d,e,!f,g in (h,i)`.
fn terms(text: &str) -> Result<Vec<Term>, Refusal> {
    let mut found = Vec::new();
    for piece in split(text) {
        let piece = piece.trim();
        if piece.is_empty() {
            continue;
        }
        let listed = |rest: &str| -> Vec<String> {
            let inner = rest.trim().trim_start_matches('(').trim_end_matches(')');
            inner.split(',').map(|value| value.trim().to_owned()).collect()
        };
        let own = |text: &str| text.trim().to_owned();
        found.push(if let Some((name, rest)) = piece.split_once(" notin ") {
            Term::IsNot(own(name), listed(rest))
        } else if let Some((name, rest)) = piece.split_once(" in ") {
            Term::Is(own(name), listed(rest))
        } else if let Some((name, value)) = piece.split_once("!=") {
            Term::IsNot(own(name), vec![own(value)])
        } else if let Some((name, value)) = piece.split_once("==").or_else(|| piece.split_once('='))
        {
            Term::Is(own(name), vec![own(value)])
        } else if let Some(name) = piece.strip_prefix('!') {
            Term::NotThere(own(name))
        } else if piece.contains([' ', '(', ')']) {
            return Err(Refusal::bad(format!("unable to parse requirement: {piece}")));
        } else {
            Term::There(own(piece))
        });
    }
    Ok(found)
}

/// At commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut pieces) = (0_u32, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                pieces.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&text[from..]);
    pieces
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn takes(labels: &str, fields: &str, object: &Value) -> bool {
        let query = [("labelSelector", labels), ("fieldSelector", fields)];
        let query = query.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        Selector::of("", &query).unwrap().takes(object)
    }

    #[test]
    fn labels_and_fields_select_as_the_server_does() {
        let pod = json!({"metadata": {"name": "p", "labels": {"app": "web", "tier": "a"}},
            "spec": {"nodeName": "n1"}});
        assert!(takes("app=web,tier in (a, b)", "spec.nodeName=n1", &pod));
        assert!(takes("app!=db,!gone", "spec.nodeName!=", &pod));
        assert!(!takes("app notin (web)", "", &pod));
        assert!(!takes("missing", "", &pod));
        assert!(takes("missing!=x", "status.phase=", &pod));
    }
}
