//! Text of strangers that cannot steer a terminal.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The same facts, in which control characters (of a summary, a message, a name) are visible and without effect.
pub fn harmless<T: Serialize + DeserializeOwned + Clone>(facts: &T) -> T {
    let tamed = serde_json::to_value(facts).map(tame);
    // What was just written as JSON reads back; should it ever not, nothing foreign is shown in its place.
    tamed.and_then(serde_json::from_value).unwrap_or_else(|_| facts.clone())
}

fn tame(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(tame_text(text)),
        Value::Array(items) => items.into_iter().map(tame).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (tame_text(key), tame(value))).collect()
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain,
    }
}

fn tame_text(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_shown_instead() {
        let said = vec!["\u{1b}[2J cleared\u{9b}1A\nnext".to_owned()];
        assert_eq!(harmless(&said), ["\u{fffd}[2J cleared\u{fffd}1A next".to_owned()]);
    }
}
