//! What is refused of a text before it is parsed: the parser takes seconds for megabytes, and what no object can hold is seen in a pass.

use hozen_advisory::limits::{JSON_STRING_BYTES_MAX, string_end};
use serde::de::IgnoredAny;

use super::{NODES_MAX, Place, Unreadable};

/// Longest line of YAML, in bytes. The largest object that the API server takes (1.5 MiB) may stand in one.
pub const LINE_BYTES_MAX: usize = 2 << 20;

/// What of a text is more than any object has, if anything is. JSON is often one line, however much it holds: its texts and values are
/// limited instead. YAML begins with brackets too where it is written in flow style, and only what is JSON throughout is taken for it.
pub(super) fn refused(text: &str) -> Option<Unreadable> {
    if text.len() <= JSON_STRING_BYTES_MAX {
        return None;
    }
    let bracketed = text.trim_ascii_start().starts_with(['{', '[']);
    let why_not_json = match bracketed.then(|| serde_json::from_str::<IgnoredAny>(text)) {
        Some(Ok(IgnoredAny)) => return json(text),
        Some(Err(why)) => format!(", and this is none: {why}"),
        None => String::new(),
    };
    let (number, line) =
        (1..).zip(text.split('\n')).find(|(_, line)| line.len() > LINE_BYTES_MAX)?;
    let message = format!(
        "the line has {} bytes; the limit is {LINE_BYTES_MAX}, but for files of JSON{why_not_json}",
        line.len()
    );
    Some(Unreadable { place: Place { line: number, column: 1 }, message })
}

fn json(text: &str) -> Option<Unreadable> {
    let bytes = text.as_bytes();
    // A number may be as long as a text, and so may what parts two values.
    let (mut at, mut bare, mut values) = (0, 0, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let end = string_end(bytes, at + 1);
                if end - at > JSON_STRING_BYTES_MAX {
                    let message = format!(
                        "the text is longer than the limit of {JSON_STRING_BYTES_MAX} bytes"
                    );
                    return Some(Unreadable { place: place(bytes, at), message });
                }
                (at, bare) = (end, end);
            }
            // Each of these stands before a value or a key, so that there are more values than this counts.
            b'{' | b'[' | b',' | b':' => {
                (bare, values) = (at, values + 1);
                if values > NODES_MAX {
                    let message = format!("has too many values; the limit is {NODES_MAX}");
                    return Some(Unreadable { place: place(bytes, at), message });
                }
            }
            _ if at - bare > JSON_STRING_BYTES_MAX => {
                let message = format!(
                    "nothing in it may be longer than the limit of {JSON_STRING_BYTES_MAX} bytes"
                );
                return Some(Unreadable { place: place(bytes, bare), message });
            }
            _ => {}
        }
        at += 1;
    }
    None
}

fn place(bytes: &[u8], at: usize) -> Place {
    let before = &bytes[..at];
    let line = before.split(|byte| *byte == b'\n').count();
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    Place { line: line as u64, column: column as u64 }
}
