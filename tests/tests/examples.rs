//! Every example is valid: its manifests as the API server would take them, its scenario, and what is named by its digest.

use hozen_advisory::package::{PackageSet, Transaction};
use hozen_domain::model::scenario::Script;
use hozen_intake::{
    kinds::Object,
    manifest::{Manifests, Reader},
};
use hozen_tests::repository::{self, File};

const EXAMPLES: [&str; 1] = ["examples/quickstart"];

fn manifests_of(folder: &str) -> Vec<File> {
    repository::files(folder, "yaml")
        .expect("the example can be read")
        .into_iter()
        .filter(|file| !file.path.ends_with("/scenario.yaml") && !file.path.contains("/later/"))
        .collect()
}

fn read(folder: &str) -> Manifests {
    let mut reader = Reader::new();
    for file in manifests_of(folder) {
        reader.read(&file.path, &file.text);
    }
    reader.finish()
}

#[test]
fn manifests_have_no_mistake_and_nothing_that_is_not_read() {
    for example in EXAMPLES {
        let manifests = read(example);
        let problems: Vec<String> = manifests.problems.iter().map(ToString::to_string).collect();
        assert!(problems.is_empty(), "{}", problems.join("\n"));
        assert!(
            manifests.ignored.is_empty(),
            "{example}: {:?}",
            manifests.ignored
        );
    }
}

#[test]
fn a_baseline_that_comes_later_is_valid_too() {
    for file in repository::files("examples", "yaml").expect("the examples can be read") {
        if file.path.contains("/later/") {
            let mut reader = Reader::new();
            reader.read(&file.path, &file.text);
            // References lead out of the one file; everything else is its own.
            let manifests = reader.finish();
            assert_eq!(manifests.documents.len(), 1, "{}", file.path);
        }
    }
}

#[test]
fn scenarios_are_read_and_name_what_is_there() {
    for example in EXAMPLES {
        let path = repository::root().join(example).join("scenario.yaml");
        let text = std::fs::read_to_string(&path).expect("there is a scenario");
        let script: Script = serde_saphyr::from_str(&text)
            .unwrap_or_else(|error| panic!("{example}/scenario.yaml: {error}"));
        assert!(script.from < script.until, "{example}");
        for event in &script.events {
            assert!(
                event.at < script.until,
                "{example}: {event:?} is after the end"
            );
        }
    }
}

#[test]
fn package_sets_and_transactions_are_what_their_names_say() {
    let mut seen = 0;
    for example in EXAMPLES {
        for document in read(example).documents {
            let lines = |lines: &[String]| {
                lines
                    .iter()
                    .map(|line| format!("{line}\n"))
                    .collect::<String>()
            };
            match &document.object {
                Object::PackageSet(set) => {
                    PackageSet::verify(&document.name, &lines(&set.spec.packages))
                        .unwrap_or_else(|error| panic!("{}: {error}", document.file));
                }
                Object::Transaction(transaction) => {
                    Transaction::verify(&document.name, &lines(&transaction.spec.changes))
                        .unwrap_or_else(|error| panic!("{}: {error}", document.file));
                }
                _ => continue,
            }
            seen += 1;
        }
    }
    assert!(seen >= 4, "the quickstart alone has four");
}
