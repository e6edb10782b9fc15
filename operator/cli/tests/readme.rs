//! What the README shows is what the command prints.

mod hozen;

use std::collections::BTreeSet;

use hozen::{hozen, root};
use hozen_domain::model::scenario::{Happening, Script};

#[test]
fn the_readme_shows_the_real_output_of_the_quickstart_and_its_exit_code_is_1() {
    let output = hozen(&root(), &["simulate", "examples/quickstart"]);
    assert_eq!(output.status.code(), Some(1), "two nodes of the story are late");
    let readme = std::fs::read_to_string(root().join("README.md")).expect("the README is there");
    let (_, block) = readme
        .split_once("<!-- output: hozen simulate examples/quickstart -->\n```\n")
        .expect("the README has the block");
    let (shown, _) = block.split_once("\n```\n").expect("the block ends");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(shown, printed.trim_end_matches('\n'), "write the README's block anew");
}

/// The key under which an event stands.
fn key(happening: &Happening) -> String {
    let value = serde_json::to_value(happening).expect("it has JSON");
    let object = value.as_object().expect("an event is a map");
    object.keys().next().expect("of one entry").clone()
}

#[test]
fn the_page_on_scenarios_shows_every_event_as_it_is_written() {
    let page = std::fs::read_to_string(root().join("operator/docs/scenario.md")).expect("a page");
    let (_, block) = page.split_once("```yaml\n").expect("the page has the block");
    let (shown, _) = block.split_once("\n```").expect("the block ends");
    let value: serde_json::Value = serde_yaml::from_str(shown).expect("it is YAML");
    let script: Script = serde_json::from_value(value).expect("it is a scenario");
    let shown: BTreeSet<String> = script.events.iter().map(|event| key(&event.happening)).collect();
    let unknown = serde_json::from_str::<Happening>(r#"{"noSuchEvent": {}}"#);
    let told = unknown.expect_err("there is none").to_string();
    let all: BTreeSet<String> = told.split('`').skip(3).step_by(2).map(str::to_owned).collect();
    assert!(all.len() > 30, "{told}");
    assert_eq!(shown, all);
}

#[test]
fn the_same_seed_prints_the_same_bytes_and_bad_input_exits_with_2() {
    let run = |arguments: &[&str]| hozen(&root(), arguments);
    let first = run(&["simulate", "examples/quickstart", "--seed", "7"]);
    assert_eq!(first.stdout, run(&["simulate", "examples/quickstart", "--seed", "7"]).stdout);
    assert_ne!(first.stdout, run(&["simulate", "examples/quickstart", "--seed", "8"]).stdout);
    let missing = run(&["simulate", "examples/no-such-folder"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(!missing.stderr.is_empty());
}
