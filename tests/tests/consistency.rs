//! What is said in one place and shown in another has to agree.

use std::collections::BTreeSet;

use hozen_tests::repository;

/// `](target)` of Markdown links, in order, outside of code blocks.
fn links(markdown: &str) -> Vec<&str> {
    let mut code = false;
    let mut found = Vec::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        if !code {
            found.extend(line.split("](").skip(1).filter_map(|rest| rest.split(')').next()));
        }
    }
    found
}

/// Names after `make ` in code blocks and in `code spans`.
fn make_targets_named(markdown: &str) -> BTreeSet<&str> {
    let mut code = false;
    let mut named = BTreeSet::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
            continue;
        }
        let pieces: Vec<&str> =
            if code { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        for piece in pieces {
            let command = piece.trim_start().trim_start_matches("$ ");
            if let Some(target) =
                command.strip_prefix("make ").and_then(|rest| rest.split_whitespace().next())
            {
                named.insert(target);
            }
        }
    }
    named
}

fn make_targets() -> BTreeSet<String> {
    let makefile =
        std::fs::read_to_string(repository::root().join("Makefile")).expect("there is a Makefile");
    makefile
        .lines()
        .filter_map(|line| line.split_once(": ##").map(|(name, _)| name.to_owned()))
        .collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = repository::root();
    let mut broken = Vec::new();
    for file in repository::files("", "md").expect("the documents can be read") {
        let folder = root.join(&file.path).parent().expect("a file is in a folder").to_owned();
        for link in links(&file.text) {
            let path = link.split('#').next().unwrap_or_default();
            if !path.is_empty()
                && !path.contains("://")
                && !path.starts_with("mailto:")
                && !folder.join(path).exists()
            {
                broken.push(format!("{}: {link}", file.path));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn every_make_target_that_a_document_names_exists() {
    let targets = make_targets();
    assert!(
        targets.contains("run") && targets.contains("test"),
        "the Makefile lists its targets with `: ##`: {targets:?}"
    );
    for file in repository::files("", "md").expect("the documents can be read") {
        for named in make_targets_named(&file.text) {
            assert!(targets.contains(named), "{} names `make {named}`", file.path);
        }
    }
}

#[test]
fn decisions_are_numbered_without_gaps() {
    let names: Vec<String> = repository::files("operator/docs/decisions", "md")
        .expect("there are decisions")
        .into_iter()
        .map(|file| file.path.rsplit('/').next().unwrap_or_default().chars().take(4).collect())
        .collect();
    let expected: Vec<String> = (1..=names.len()).map(|number| format!("{number:04}")).collect();
    assert_eq!(names, expected);
}
