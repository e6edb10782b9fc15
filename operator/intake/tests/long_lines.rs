//! What is more than any object has is refused before it is parsed: the parser would take seconds for it.

use hozen_advisory::limits::JSON_STRING_BYTES_MAX;
use hozen_intake::tree::{LINE_BYTES_MAX, NODES_MAX, read};

/// What a text is refused for; empty: it is read.
fn said(text: &str) -> String {
    let (documents, unreadable) = read(text);
    let Some(fault) = unreadable.first() else { return String::new() };
    assert_eq!((documents.len(), unreadable.len()), (0, 1));
    format!("{}:{}: {}", fault.place.line, fault.place.column, fault.message)
}

#[test]
fn a_line_longer_than_any_object_is_refused() {
    let told = "the line has 50000003 bytes; the limit is 2097152, but for files of JSON";
    for text in ["x".repeat(50_000_000), "x, ".repeat(16_666_666) + "xx", "#".repeat(50_000_000)] {
        assert_eq!(said(&format!("a: 1\nb: {text}\n")), format!("2:1: {told}"));
    }
}

#[test]
fn of_json_texts_and_values_are_limited_and_not_the_line() {
    let long = "[,\\\"".repeat(250_000);
    let line = format!("[{}\"\"]\n", format!("\"{long}\",").repeat(3));
    assert!(line.len() > LINE_BYTES_MAX);
    assert_eq!(said(&line), "");
    let text = format!("{{\n \"a\": \"{}\"}}", "x".repeat(50_000_000));
    assert_eq!(said(&text), "2:7: the text is longer than the limit of 1048576 bytes");
    let many = format!("[\n{}1]", "1,".repeat(NODES_MAX));
    assert_eq!(said(&many), "2:8000000: has too many values; the limit is 4000000");
    let pretty = format!("[{}1]", "1,\n".repeat(NODES_MAX));
    assert_eq!(said(&pretty), "4000000:2: has too many values; the limit is 4000000");
}

#[test]
fn yaml_in_brackets_is_not_taken_for_json() {
    let told = "bytes; the limit is 2097152, but for files of JSON, and this is none: ";
    let long = "x".repeat(50_000_000);
    for text in [format!("{{a: {long}}}"), format!("{{a: '{long}'}}"), format!("[\"a\", {long}]")] {
        assert!(said(&text).starts_with(&format!("1:1: the line has {} {told}", text.len())));
    }
    let items = "  some words,\n".repeat(100_000);
    assert!(items.len() > JSON_STRING_BYTES_MAX);
    assert_eq!(said(&format!("{{a: '\"', b: [\n{items}  ], c: '\"'}}\n")), "");
}

#[test]
fn what_is_no_text_of_json_is_as_limited_as_one() {
    for long in ["1".repeat(50_000_000), " ".repeat(50_000_000)] {
        let told = "1:5: nothing in it may be longer than the limit of 1048576 bytes";
        assert_eq!(said(&format!("{{\"a\":{long}1}}")), told);
    }
}

#[test]
fn lines_of_a_usual_length_may_be_many() {
    let (documents, unreadable) = read(&"a: 1\n---\n".repeat(1_000));
    assert_eq!(unreadable, []);
    assert_eq!(documents.len(), 1_000);
}
