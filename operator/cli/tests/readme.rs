//! What the README shows is what the command prints.

mod hozen;

use hozen::{hozen, root};

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
