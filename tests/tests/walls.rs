//! The walls between the rooms, as far as Cargo and clippy do not hold them. The rooms: operator/ARCHITECTURE.md.

use std::{collections::BTreeSet, process::Command};

use hozen_tests::repository::{self, File};

/// Crates that bring a cluster, a runtime, a network or a clock of their own.
const NOT_PURE: [&str; 14] = [
    "async-std",
    "chrono",
    "futures",
    "futures-util",
    "hyper",
    "k8s-openapi",
    "kube",
    "kube-client",
    "kube-core",
    "mio",
    "reqwest",
    "smol",
    "tokio",
    "tracing",
];

/// Lines of a file above which it does two things.
const LINES_MAX: usize = 600;
/// Lines of a file that are worth a look.
const LINES_GOOD: usize = 400;

/// Everything that a crate of ours links, itself included, for this machine.
fn dependencies(package: &str) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--locked",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--package",
            package,
        ])
        .current_dir(repository::root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names: BTreeSet<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect();
    assert!(names.contains(package), "cargo tree does not know {package}");
    names
}

fn shipped(folder: &str) -> Vec<File> {
    let files = repository::files(folder, "rs").expect("the sources can be read");
    assert!(!files.is_empty(), "{folder} holds no sources");
    files.into_iter().filter(|file| !file.is_test()).collect()
}

/// Whether a line holds a word that does not go on as a longer name (`.await` is not in `step.await_reboot`).
fn holds(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let next = line[at + word.len()..].chars().next();
        !word.ends_with(|c: char| c.is_alphanumeric())
            || !next.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// Places in shipped code that hold one of the words.
fn mentions(folder: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in shipped(folder) {
        for (number, line) in file.shipped_lines() {
            for word in words {
                if holds(line, word) {
                    found.push(format!("{}:{number}: {word}", file.path));
                }
            }
        }
    }
    found
}

#[test]
fn domain_and_advisory_link_no_cluster_no_runtime_no_clock() {
    for package in ["hozen-domain", "hozen-advisory"] {
        let linked = dependencies(package);
        let wrong: Vec<&str> = NOT_PURE.into_iter().filter(|name| linked.contains(*name)).collect();
        assert!(wrong.is_empty(), "{package} links {wrong:?}");
    }
}

#[test]
fn intake_and_access_link_no_client_and_no_runtime() {
    for package in ["hozen-intake", "hozen-access"] {
        let linked = dependencies(package);
        let wrong: Vec<&str> = ["kube-client", "kube-runtime", "tokio", "reqwest", "hyper"]
            .into_iter()
            .filter(|name| linked.contains(*name))
            .collect();
        assert!(wrong.is_empty(), "{package} links {wrong:?}");
    }
}

#[test]
fn nothing_that_ships_links_what_is_for_tests() {
    for package in
        ["hozen-cli", "hozen-agent", "hozen-intake", "hozen-domain", "hozen-advisory", "hozen-api"]
    {
        let linked = dependencies(package);
        for tests in ["hozen-testkit", "hozen-simulator"] {
            assert!(!linked.contains(tests), "{package} links {tests}");
        }
    }
}

#[test]
fn domain_asks_nobody() {
    let words = [
        "async ",
        ".await",
        "std::env",
        "std::fs",
        "std::net",
        "std::process",
        "std::thread",
        "::now()",
        "thread_rng",
        "RandomState",
    ];
    assert_eq!(mentions("operator/domain/src", &words), Vec::<String>::new());
}

#[test]
fn advisory_has_no_clock_no_network_no_async() {
    let words = ["async ", ".await", "std::env", "std::net", "std::process", "::now()"];
    assert_eq!(mentions("operator/advisory/src", &words), Vec::<String>::new());
}

#[test]
fn api_types_decide_nothing() {
    // Behaviour needs another room to act on: the types know none of them.
    let linked = dependencies("hozen-api");
    let ours: Vec<&String> =
        linked.iter().filter(|name| name.starts_with("hozen-") && *name != "hozen-api").collect();
    assert!(ours.is_empty(), "hozen-api links {ours:?}");
}

#[test]
fn no_test_is_ignored() {
    for file in repository::files("", "rs").expect("the sources can be read") {
        for (number, line) in file.text.lines().enumerate() {
            let attribute = line.trim_start();
            assert!(
                !attribute.starts_with("#[ignore"),
                "{}:{}: a test that never runs proves nothing",
                file.path,
                number + 1
            );
        }
    }
}

#[test]
fn files_are_short_enough_to_be_read() {
    let (mut too_long, mut long) = (Vec::new(), Vec::new());
    for file in repository::files("", "rs").expect("the sources can be read") {
        let lines = file.text.lines().count();
        if lines > LINES_GOOD {
            long.push(format!("{lines} {}", file.path));
        }
        if lines > LINES_MAX {
            too_long.push(format!("{lines} {}", file.path));
        }
    }
    println!("over {LINES_GOOD} lines: {long:#?}");
    assert!(
        too_long.is_empty(),
        "over {LINES_MAX} lines, so split them by what they decide: {too_long:#?}"
    );
}
