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

/// The same text on one line, in which nothing steers a terminal or turns the order of letters around.
pub fn tame_text(text: String) -> String {
    if !text.contains(steers) {
        return text;
    }
    text.chars().map(tame_char).collect()
}

/// A character, or what is shown in its place.
pub fn tame_char(c: char) -> char {
    match c {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
        c if steers(c) => '\u{fffd}',
        c => c,
    }
}

/// Control characters, line separators, and what embeds, overrides or isolates a direction of writing: it can show `drow` as `word`.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_shown_instead() {
        let said = vec!["\u{1b}[2J cleared\u{9b}1A\nnext".to_owned()];
        assert_eq!(harmless(&said), ["\u{fffd}[2J cleared\u{fffd}1A next".to_owned()]);
        let turned = "no \u{202e}sey\u{202c}, \u{2067}or so\u{2069}\u{2028}really".to_owned();
        assert_eq!(tame_text(turned), "no \u{fffd}sey\u{fffd}, \u{fffd}or so\u{fffd} really");
        assert_eq!(tame_text("größer – 大".to_owned()), "größer – 大");
    }
}
