//! The command as people and pipelines use it: what it prints, and how it ends.

mod hozen;

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use hozen::{hozen, root};

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("the output is text")
}

fn complained(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("the errors are text")
}

fn quickstart(arguments: &[&str]) -> String {
    let output = hozen(&root(), arguments);
    assert_ne!(output.status.code(), Some(2), "{}", complained(&output));
    printed(&output)
}

/// A copy of the quickstart, in which files may be changed.
fn copy() -> TempDir {
    example("quickstart")
}

fn example(name: &str) -> TempDir {
    let to = TempDir::new().expect("a folder can be made");
    copy_folder(&root().join("examples").join(name), &to.path().join("fleet"));
    to
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("its entries can be read");
        let there = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &there);
        } else {
            fs::copy(entry.path(), there).expect("a file can be copied");
        }
    }
}

fn edit(folder: &TempDir, file: &str, from: &str, to: &str) {
    let path = folder.path().join("fleet").join(file);
    let text = fs::read_to_string(&path).expect("the file can be read");
    assert!(text.contains(from), "{file} says no longer: {from}");
    fs::write(&path, text.replace(from, to)).expect("the file can be written");
}

fn facts(folder: &Path, name: &str) -> Value {
    let output = hozen(folder, &["simulate", name, "-o", "json"]);
    serde_json::from_slice(&output.stdout).expect("the facts are JSON")
}

/// Forecast finish of the first request.
fn forecast(facts: &Value) -> String {
    let events = facts["timeLine"].as_array().expect("a time line");
    let requested = events.iter().find(|event| event["event"] == "requested");
    requested.expect("a request")["forecast"]["finish"].to_string()
}

#[test]
fn the_quickstart_tells_its_story() {
    insta::assert_snapshot!(quickstart(&["simulate", "examples/quickstart"]));
}

#[test]
fn a_workload_that_comes_from_git_is_explained_by_the_line_to_change() {
    let asked = ["explain", "examples/images", "workload/shop/checkout"];
    insta::assert_snapshot!(quickstart(&asked));
}

#[test]
fn a_late_node_is_explained() {
    insta::assert_snapshot!(quickstart(&["explain", "examples/quickstart", "node/web-b1"]));
}

#[test]
fn an_ignored_advisory_is_explained_by_any_of_its_names() {
    let by_name = quickstart(&["explain", "examples/quickstart", "advisory/dsa-6119-2"]);
    let by_cve = quickstart(&["explain", "examples/quickstart", "adv/CVE-2026-28111"]);
    assert_eq!(by_name, by_cve);
    insta::assert_snapshot!(by_name);
}

/// What is explained of a notice five minutes after its publisher took it back.
fn withdrawn() -> String {
    let folder = copy();
    edit(
        &folder,
        "scenario.yaml",
        "events:\n",
        "events:\n  - {at: 2026-11-19T09:30, do: {advisoryWithdrawn: {name: dsa-6123-1}}}\n",
    );
    let asked = ["explain", "fleet", "advisory/dsa-6123-1", "--at", "2026-11-19T09:35"];
    let output = hozen(folder.path(), &asked);
    assert_eq!(complained(&output), "");
    printed(&output)
}

#[test]
fn a_withdrawn_advisory_is_ignored_and_says_so() {
    let text = withdrawn();
    assert!(text.contains("it is ignored: it was taken back"), "{text}");
    assert!(text.contains("withdrawn by its publisher at Thu 19 Nov 09:30"), "{text}");
}

/// A document of a feed: one package of one ecosystem, fixed in one version.
fn notice_of_a_feed(folder: &TempDir, id: &str, package: [&str; 3], more: &str) {
    let [ecosystem, name, fixed] = package;
    let feed = folder.path().join("fleet/feeds/osv");
    fs::create_dir_all(&feed).expect("a folder can be made");
    let document = format!(
        r#"{{"id": "{id}", "modified": "2026-11-01T00:00:00Z", {more}
        "affected": [{{"package": {{"ecosystem": "{ecosystem}", "name": "{name}"}},
        "ranges": [{{"type": "ECOSYSTEM", "events": [{{"introduced": "0"}}, {{"fixed": "{fixed}"}}]}}]}}]}}"#
    );
    fs::write(feed.join(format!("{id}.json")), document).expect("the file can be written");
}

#[test]
fn a_notice_of_a_feed_that_does_not_bind_is_counted_and_says_why() {
    let folder = copy();
    let add = |id, package, more| notice_of_a_feed(&folder, id, package, more);
    add("DSA-OLD", ["Debian:12", "openssl", "3.0.1-1"], "");
    add("DSA-NONE", ["Debian:12", "zlibx", "9-1"], "");
    add("DSA-BACK", ["Debian:12", "openssl", "9.9-1"], r#""withdrawn": "2026-11-02T00:00:00Z","#);
    add("AND-1", ["Android", "platform/x", "14"], "");
    add("DSA-HERE", ["Debian:12", "nginx", "99-1"], "");
    let told = facts(folder.path(), "fleet");
    let feed = &told["feeds"][0];
    for (field, count) in [("notices", 5), ("found", 1), ("withdrawn", 1), ("unmatchable", 1)] {
        assert_eq!(feed[field], count, "{field}: {feed}");
    }
    assert_eq!(feed["ecosystems"]["Android"], 1, "{feed}");
    let explained = |id: &str| {
        let asked = ["explain", "fleet", &format!("advisory/{id}")];
        let output = hozen(folder.path(), &asked);
        printed(&output).split_whitespace().collect::<Vec<_>>().join(" ") + &complained(&output)
    };
    for (id, why) in [
        ("dsa-old", "every system that has what it is about has the fix"),
        ("dsa-old", "openssl 3.0.22-1~deb12u2 on db-1: fixed since 3.0.1-1"),
        ("DSA-NONE", "it is ignored: no system has zlibx of Debian:12"),
        ("dsa-back", "it is ignored: its publisher withdrew it at Mon 2 Nov 09:00"),
        ("and-1", "Hozen cannot match the ecosystem Android, so it is unknown whether it matters"),
    ] {
        let text = explained(id);
        assert!(text.contains(why), "{why}\n{text}");
    }
}

#[test]
fn a_held_rollout_is_explained_at_the_time_of_its_hold() {
    let facts = facts(&root(), "examples/quickstart");
    let mut names =
        facts["requests"].as_array().into_iter().flatten().filter_map(|r| r["name"].as_str());
    let request = names.find(|name| name.starts_with("web-tier")).expect("its request");
    let subject = format!("rollout/{request}");
    let asked = ["explain", "examples/quickstart", &subject, "--at", "2026-11-19T11:00"];
    insta::assert_snapshot!(quickstart(&asked));
}

#[test]
fn who_could_approve_is_said_before_anybody_did() {
    insta::assert_snapshot!(quickstart(&["plan", "examples/quickstart"]));
}

#[test]
fn the_same_seed_prints_the_same_bytes_and_another_one_does_not() {
    for form in ["text", "json", "yaml"] {
        let run =
            |seed| quickstart(&["simulate", "examples/quickstart", "-o", form, "--seed", seed]);
        assert_eq!(run("7"), run("7"), "{form}");
        assert_ne!(run("7"), run("8"), "{form}");
    }
}

#[test]
fn a_changed_manifest_changes_the_forecast() {
    let folder = copy();
    let before = forecast(&facts(folder.path(), "fleet"));
    edit(&folder, "baselines.yaml", "soak: 30m", "soak: 3h");
    assert_ne!(before, forecast(&facts(folder.path(), "fleet")));
}

#[test]
fn a_missed_deadline_ends_with_1_and_the_json_says_the_same_as_the_text() {
    let output = hozen(&root(), &["simulate", "examples/quickstart"]);
    assert_eq!(output.status.code(), Some(1));
    let text = printed(&output);
    let facts = facts(&root(), "examples/quickstart");
    assert_eq!(facts["verdict"]["exitCode"], 1);
    assert_eq!(facts["verdict"]["violations"], serde_json::json!([]));
    for result in facts["result"].as_array().expect("results") {
        let counts = |when: &str| {
            let counts = &result[when]["counts"];
            format!("{} of {}", counts["compliant"], counts["total"])
        };
        let name = format!("{} compliant", result["baseline"].as_str().expect("a name"));
        let line = text.lines().find(|line| line.trim_start().starts_with(&name));
        let line = line.expect("the text has a line for each baseline");
        assert!(line.contains(&counts("before")) && line.contains(&counts("after")), "{line}");
    }
    for undone in facts["notDone"].as_array().expect("a list") {
        let system = undone["systems"][0].as_str().expect("a name");
        assert!(text.contains(system), "{system} is not in the text");
    }
}

#[test]
fn a_fleet_on_which_nothing_is_late_ends_with_0() {
    let folder = copy();
    for node in ["web-a1", "web-a2", "web-a3", "web-b1", "web-b2"] {
        fs::remove_file(folder.path().join(format!("fleet/inventories/{node}.yaml")))
            .expect("it is there");
    }
    let nodes = folder.path().join("fleet/nodes.yaml");
    let all = fs::read_to_string(&nodes).expect("it can be read");
    let others: Vec<&str> = all.split("---\n").filter(|one| !one.contains("name: web-")).collect();
    fs::write(&nodes, others.join("---\n")).expect("it can be written");
    let scenario = "timeZone: UTC\nfrom: 2026-11-19T00:14\nuntil: 2026-11-21T00:00\n";
    fs::write(folder.path().join("fleet/scenario.yaml"), scenario).expect("it can be written");
    let output = hozen(folder.path(), &["simulate", "fleet"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", printed(&output), complained(&output));
}

#[test]
fn a_slip_in_a_kind_a_group_or_a_package_is_bad_input_and_no_fleet_on_which_all_is_well() {
    for (file, was, slip, told) in [
        ("nodes.yaml", "kind: Node", "kind: Nod", "Nod is no kind of v1; did you mean Node?"),
        ("advisories.yaml", "hozen.dev/", "hozen.dve/", "did you mean hozen.dev/v1alpha1?"),
        (
            "scenario.yaml",
            "events:",
            "events:\n  - {at: 2026-11-19T09:30, do: {release: {package: opensll, version: '4'}}}",
            "names package `opensll`, which does not exist; did you",
        ),
    ] {
        let folder = copy();
        edit(&folder, file, was, slip);
        let output = hozen(folder.path(), &["simulate", "fleet"]);
        assert_eq!(output.status.code(), Some(2), "{}", printed(&output));
        assert!(complained(&output).contains(told), "{}", complained(&output));
    }
}

#[test]
fn a_notice_whose_fix_is_installed_and_does_not_run_is_not_told_to_be_over() {
    let folder = copy();
    edit(&folder, "scenario.yaml", "restarts: 1", "restarts: 9");
    let output = hozen(folder.path(), &["explain", "fleet", "advisory/dsa-6123-1"]);
    let text = printed(&output);
    let (_, asleep) = text.split_once("AND OLD CODE STILL RUNS").expect("a section of its own");
    assert!(asleep.trim_start().starts_with("on web-a2"), "{text}");
}

#[test]
fn what_no_plan_brings_is_not_in_time() {
    let folder = copy();
    // Nobody selects the web nodes; nothing is known to be wrong with them, and nothing to be right.
    edit(&folder, "nodes.yaml", "tier: web,", "tier: none,");
    let output = hozen(folder.path(), &["simulate", "fleet"]);
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    assert!(printed(&output).contains("Unknown at the end: 5 systems"), "{}", printed(&output));
    let images = example("images");
    fs::remove_file(images.path().join("fleet/sboms/api-2026.47.json")).expect("it is there");
    let output = hozen(images.path(), &["simulate", "fleet"]);
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    let text = printed(&output);
    assert!(text.contains("no plan brings what is missing: 4 systems"), "{text}");
    assert!(text.contains("have its SBOM taken in"), "{text}");
}

#[test]
fn bad_input_ends_with_2_and_tells_every_mistake_with_its_place() {
    let folder = copy();
    edit(&folder, "baselines.yaml", "remediation:", "remediaton:");
    edit(&folder, "policies.yaml", "excludeAuthors: true", "excludeAuthors: yes please");
    let output = hozen(folder.path(), &["simulate", "fleet"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(printed(&output), "");
    let errors = complained(&output);
    assert!(errors.contains("did you mean remediation?"), "{errors}");
    assert!(errors.contains("fleet/baselines.yaml:"), "{errors}");
    assert!(errors.contains("fleet/policies.yaml:"), "{errors}");
    assert!(errors.contains("problems. Nothing was done."), "{errors}");
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    for (asked, meant) in [
        ("node/web-a11", "did you mean node/web-a1?"),
        ("nod/web-a1", "did you mean node/web-a1?"),
        ("web-a1", "write KIND/NAME"),
    ] {
        let output = hozen(&root(), &["explain", "examples/quickstart", asked]);
        assert_eq!(output.status.code(), Some(2), "{asked}");
        assert!(complained(&output).contains(meant), "{asked}: {}", complained(&output));
    }
}

#[test]
fn definitions_are_written_and_found_current() {
    let folder = TempDir::new().expect("a folder can be made");
    let run = |arguments: &[&str]| hozen(folder.path(), arguments).status.code();
    assert_eq!(run(&["crds", "--check", "crds"]), Some(1));
    assert_eq!(run(&["crds", "--dir", "crds"]), Some(0));
    assert_eq!(run(&["crds", "--check", "crds"]), Some(0));
}

#[test]
fn a_report_needs_no_network_and_foreign_text_stays_text() {
    let folder = copy();
    edit(
        &folder,
        "advisories.yaml",
        "openssl: use after free in DTLS",
        "<script>alert(1)</script> | <img src=https://example.com/x>",
    );
    let report = |name: &str| {
        let output = hozen(folder.path(), &["simulate", "fleet", "--report", name]);
        assert_eq!(output.status.code(), Some(1), "{}", complained(&output));
        fs::read_to_string(folder.path().join(name)).expect("the report was written")
    };
    let html = report("out.html");
    assert_eq!(html.matches("<svg").count(), 3, "compliance, exposure, systems");
    assert!(!html.contains("<script") && !html.contains("<img"), "foreign text became markup");
    for loads in ["src=\"", "href=", "url(", "@import"] {
        assert!(!html.contains(loads), "the page would load something: {loads}");
    }
    assert_eq!(html, report("again.html"), "the same seed gives the same bytes");
    let markdown = report("out.md");
    assert!(
        markdown.contains("\\|") && !markdown.contains("<script"),
        "foreign text left its cell"
    );
    assert!(markdown.contains("| web-tier | compliant | 0 of 5 | 3 of 5 |"));
}

#[test]
fn a_report_that_cannot_be_written_is_refused_before_any_work_and_touches_nothing() {
    let folder = copy();
    fs::create_dir(folder.path().join("dir.html")).expect("a folder can be made");
    fs::write(folder.path().join("mine.md"), "my own notes").expect("it can be written");
    for (name, said) in [
        ("out.pdf", "(.md) or HTML (.html)"),
        ("dir.html", "is a folder"),
        ("mine.md", "no report of Hozen"),
        ("nowhere/out.html", "could not be written"),
    ] {
        let output = hozen(folder.path(), &["simulate", "fleet", "--report", name]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert_eq!(printed(&output), "", "{name}");
        assert!(complained(&output).contains(said), "{name}: {}", complained(&output));
    }
    let mine = fs::read_to_string(folder.path().join("mine.md")).expect("it is still there");
    assert_eq!(mine, "my own notes");
}

#[test]
fn a_report_takes_the_place_of_an_older_one_and_leaves_nothing_beside_it() {
    let folder = copy();
    for name in ["out.html", "out.md"] {
        for seed in ["1", "2"] {
            let asked = ["simulate", "fleet", "--report", name, "--seed", seed];
            let output = hozen(folder.path(), &asked);
            assert_eq!(output.status.code(), Some(1), "{name}: {}", complained(&output));
        }
        let text = fs::read_to_string(folder.path().join(name)).expect("the report is there");
        assert!(text.contains("seed 2"), "{name}");
    }
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .expect("the folder can be read")
        .map(|entry| entry.expect("its entries can be read").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["fleet", "out.html", "out.md"]);
}

#[test]
fn a_folder_without_anything_to_play_is_bad_input_and_not_a_fleet_in_time() {
    let folder = copy();
    fs::create_dir(folder.path().join("empty")).expect("a folder can be made");
    fs::create_dir(folder.path().join("bare")).expect("a folder can be made");
    let nodes = folder.path().join("fleet/nodes.yaml");
    fs::copy(nodes, folder.path().join("bare/nodes.yaml")).expect("a file can be copied");
    for (name, said) in [
        ("empty", "no Baseline"),
        ("bare", "no Baseline"),
        ("fleet/nodes.yaml", "is no folder"),
        ("nowhere", "could not be opened"),
    ] {
        let output = hozen(folder.path(), &["simulate", name]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(complained(&output).contains(said), "{name}: {}", complained(&output));
    }
}

#[test]
fn a_moment_outside_the_scenario_is_refused_with_the_times_that_there_are() {
    for asked in [
        ["explain", "examples/quickstart", "node/web-b1", "--at", "2026-11-19T09:13"],
        ["explain", "examples/quickstart", "node/web-b1", "--at", "2027-01-01T00:00Z"],
    ] {
        let output = hozen(&root(), &asked);
        assert_eq!(output.status.code(), Some(2));
        assert!(complained(&output).contains("2026-11-19T09:14:00"), "{}", complained(&output));
    }
    let first =
        quickstart(&["explain", "examples/quickstart", "node/web-b1", "--at", "2026-11-19T09:14"]);
    assert!(first.contains("as of Thu 19 Nov 09:14"), "{first}");
}

/// Whoever reads only the beginning (`| head`) gets the exit code and no complaint.
#[test]
fn a_reader_who_goes_early_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hozen"))
        .args(["simulate", "examples/quickstart"])
        .current_dir(root())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the command ends");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(complained(&output), "");
}

#[test]
fn what_is_in_no_bill_is_unknown_and_never_in_time() {
    let to = TempDir::new().expect("a folder can be made");
    copy_folder(&root().join("examples/images"), &to.path().join("fleet"));
    fs::remove_dir_all(to.path().join("fleet/sboms")).expect("a folder can be removed");
    let output = hozen(to.path(), &["simulate", "fleet"]);
    let said = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("Unknown at the end: 4 systems"), "{said}");
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("nginx unknown - - nginx is installed nowhere that is known"), "{said}");
    assert!(said.contains("on 4 systems is not"), "{said}");
}

#[test]
fn what_nobody_decides_again_and_again_is_told_once_and_then_how_often() {
    let folder = copy();
    let file = folder.path().join("fleet/scenario.yaml");
    let text = fs::read_to_string(&file).expect("the file can be read");
    let events = text.find("events:").expect("it has events");
    let nobody = text[..events].replace("2026-11-21T09:00", "2026-12-30T09:00");
    fs::write(&file, nobody).expect("the file can be written");
    let told = printed(&hozen(folder.path(), &["simulate", "fleet"]));
    let singly = printed(&hozen(folder.path(), &["simulate", "fleet", "--every-system"]));
    let expired = |text: &str| text.matches("EXPIRED").count();
    assert!(told.contains("as nobody decides: "), "{told}");
    assert!(expired(&told) * 3 < expired(&singly), "{told}");
}

#[test]
fn two_baselines_of_equal_priority_are_said_wherever_one_of_them_would_look_well() {
    let folder = copy();
    let file = folder.path().join("fleet/baselines.yaml");
    let text = fs::read_to_string(&file).expect("the file can be read");
    let web = text.split("\n---\n").next().expect("the first document");
    let second = web.replace("name: web-tier", "name: web-two");
    fs::write(&file, format!("{text}---\n{second}")).expect("the file can be written");

    let facts = facts(folder.path(), "fleet");
    for name in ["web-tier", "web-two"] {
        let stock = facts["stock"]["baselines"].as_array().expect("baselines");
        let stock = stock.iter().find(|stock| stock["baseline"] == name).expect("it is told of");
        assert!(
            stock["ties"][0].as_str().is_some_and(|tie| tie.contains("neither acts")),
            "{stock}"
        );
    }
    let output = hozen(folder.path(), &["simulate", "fleet"]);
    assert_eq!(output.status.code(), Some(1));
    let text = printed(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    let tie =
        "web-tier and web-two both select web-a1 and 4 others with the same priority; neither acts";
    assert!(text.contains(&format!("HOLD: {tie}")), "{text}");
    assert!(text.contains(&format!("at risk: {tie}")), "{text}");
    assert!(!text.contains("target 99.8 % within 3 d: met"), "{text}");
    assert!(text.contains("on systems that no baseline acts for"), "{text}");
    assert!(text.contains(&format!("web-tier is stuck: {tie}")), "{text}");
}

/// A page as `COLUMNS` asks for it, and the width of its longest line.
fn page(arguments: &[&str], columns: &str) -> (String, usize) {
    let output = Command::new(env!("CARGO_BIN_EXE_hozen"))
        .args(arguments)
        .current_dir(root())
        .env("COLUMNS", columns)
        .output()
        .expect("the command starts");
    let text = printed(&output);
    let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
    (text, widest)
}

#[test]
fn text_is_as_wide_as_columns_says() {
    let asked = ["simulate", "examples/quickstart"];
    let (narrow, widest) = page(&asked, "72");
    assert!(widest <= 72, "{widest}");
    insta::assert_snapshot!(narrow);
    let (usual, widest) = page(&asked, "");
    assert!(widest <= 110, "{widest}");
    assert_eq!(usual, quickstart(&asked));
    assert!(page(&asked, "160").1 > 110);
    assert_eq!(page(&asked, "5").0, page(&asked, "60").0, "a column of a few letters is no page");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&narrow), words(&usual), "nothing is lost");
}

#[test]
fn a_rollout_tells_of_every_system_of_its_plan() {
    let asked = ["explain", "examples/quickstart", "rollout/web-tier-faef77"];
    let text = quickstart(&[&asked[..], &["--at", "2026-11-19T11:00"]].concat());
    let systems = text.split("SYSTEMS").nth(1).and_then(|rest| rest.split("WAITS FOR").next());
    let systems = systems.expect("its systems");
    for name in ["web-a1", "web-a2", "web-a3", "web-b1", "web-b2"] {
        assert!(systems.contains(name), "{name}: {text}");
    }
    assert!(systems.contains("web-a3: not begun, "), "{text}");
    assert!(systems.contains("web-b2: not begun, silent since "), "{text}");
}

#[test]
fn a_repository_with_several_images_tells_of_each_with_who_runs_it() {
    let name = "image/registry.example.com/shop/api";
    let text = quickstart(&["explain", "examples/images", name]);
    assert!(text.starts_with(&format!("{name}   2 images are known by that name")), "{text}");
    assert_eq!(text.matches(": WHAT IT IS").count(), 2, "{text}");
    assert!(text.contains(": WHO RUNS IT") && text.contains("fixed in"), "{text}");
}

#[test]
fn what_the_range_of_a_withdrawn_notice_holds_is_not_called_affected() {
    let text = withdrawn().replace("\n    ", " ");
    let installed = text.split("WHERE IT IS INSTALLED").nth(1).expect("where it is installed");
    assert!(installed.contains("but the notice is withdrawn"), "{text}");
    assert!(!installed.contains(": affected, fixed in"), "{text}");
}

#[test]
fn security_updates_are_explained_by_the_name_that_time_lines_give_them() {
    let text = quickstart(&["explain", "examples/quickstart", "advisory/security-updates"]);
    assert!(text.contains("no update of a distribution is missing"), "{text}");
    let text = quickstart(&["explain", "examples/fleet", "advisory/security-updates"]);
    assert!(text.contains("MISSING UNDER "), "{text}");
    assert!(text.contains(", first seen "), "{text}");
}

#[test]
fn in_a_report_every_row_that_waits_names_its_request() {
    let folder = copy();
    let asked = ["simulate", "fleet", "--report", "out.md"];
    let output = hozen(folder.path(), &asked);
    let report = fs::read_to_string(folder.path().join("out.md")).expect("a report");
    let rows: Vec<&str> = report.lines().filter(|line| line.contains(" waits")).collect();
    assert!(!rows.is_empty(), "{report}{}", complained(&output));
    for row in rows {
        assert!(row.contains("web-tier-") || row.contains("database-"), "{row}");
    }
    // What is nowhere missing has no row.
    assert!(!report.contains("| high missing | 0 | 0 |"), "{report}");
    assert!(report.contains("| vulnerabilities |"), "{report}");
}
