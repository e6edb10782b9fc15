//! The stories of the larger examples: the transcript as a whole, and what each is there to show.

mod hozen;

use std::{path::Path, process::Command, sync::LazyLock};

use serde_json::Value;
use tempfile::TempDir;

use hozen::{hozen, root};

/// What the fleet's scenario leads to; it is played once for all tests, for without optimisation it takes long.
static FLEET: LazyLock<Value> = LazyLock::new(|| facts("examples/fleet"));

fn facts(example: &str) -> Value {
    let output = hozen(&root(), &["simulate", example, "-o", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the facts are JSON")
}

fn transcript(example: &str) -> String {
    let output = hozen(&root(), &["simulate", example]);
    assert_eq!(output.status.code(), Some(1), "somebody is late in {example}");
    String::from_utf8(output.stdout).expect("the output is text")
}

/// Events of a kind in the order of the time line.
fn events<'f>(facts: &'f Value, kind: &'f str) -> impl Iterator<Item = &'f Value> {
    let events = facts["timeLine"].as_array().expect("a time line");
    events.iter().filter(move |event| event["event"] == kind)
}

fn text<'f>(value: &'f Value, field: &str) -> &'f str {
    value[field].as_str().unwrap_or_default()
}

/// The first request of a baseline whose change speaks of something.
fn request<'f>(facts: &'f Value, baseline: &str, change: &str) -> &'f Value {
    let named = |event: &&Value| {
        let about = text(event, "about");
        let digest = about.strip_prefix(baseline).and_then(|rest| rest.strip_prefix('-'));
        digest.is_some_and(|digest| !digest.contains('-')) && text(event, "change").contains(change)
    };
    events(facts, "requested").find(named).expect("there is such a request")
}

/// Systems that a request brought to their goal, with the time at which each was proven.
fn proven<'f>(facts: &'f Value, request: &str) -> Vec<(&'f str, &'f str)> {
    events(facts, "worked")
        .filter(|event| event["about"] == request && event["outcome"] == "proven")
        .map(|event| (text(event, "system"), text(event, "ended")))
        .collect()
}

/// Holds of a request or baseline, with the instant at which each was told.
fn holds<'f>(facts: &'f Value, about: &str, reason: &str) -> Vec<&'f Value> {
    let of = |event: &&Value| event["about"] == about && event["reason"] == reason;
    events(facts, "held").filter(of).collect()
}

/// Why a system is not done, as the end of the report says it.
fn not_done<'f>(facts: &'f Value, system: &str) -> Option<&'f Value> {
    let entries = facts["notDone"].as_array().expect("a list");
    let names = |entry: &&Value| {
        entry["systems"].as_array().is_some_and(|systems| systems.iter().any(|s| s == system))
    };
    entries.iter().find(names)
}

#[test]
fn the_fleet_tells_its_story() {
    insta::assert_snapshot!(transcript("examples/fleet"));
}

#[test]
fn the_images_tell_their_story() {
    insta::assert_snapshot!(transcript("examples/images"));
}

#[test]
fn the_emergency_is_over_on_every_node_before_its_deadline_and_waits_for_no_window() {
    let emergency = request(&FLEET, "web", "nginx");
    let (name, due) = (text(emergency, "about"), text(emergency, "due"));
    let approved: Vec<&Value> =
        events(&FLEET, "voted").filter(|event| event["about"] == name).collect();
    assert_eq!(approved.len(), 2, "two people on call, and nobody else");
    assert!(approved.iter().all(|vote| vote["role"] == "on-call"));
    let done = proven(&FLEET, name);
    assert_eq!(done.len(), 28, "every web node");
    assert!(done.iter().all(|(_, at)| *at < due), "{done:?} by {due}");
    assert!(holds(&FLEET, name, "AwaitingWindow").is_empty());
    let late = events(&FLEET, "deadlineMissed").filter(|event| event["baseline"] == "web");
    let late: Vec<&str> = late.map(|event| text(event, "notice")).collect();
    assert!(!late.contains(&"cve-2023-44487"), "{late:?}");
}

#[test]
fn a_node_that_is_away_is_named_while_it_is_waited_for_and_patched_when_it_is_back() {
    let emergency = text(request(&FLEET, "web", "nginx"), "about");
    let waited = holds(&FLEET, emergency, "Offline");
    assert!(waited.iter().any(|hold| text(hold, "message").contains("web-b07")), "{waited:?}");
    let done = proven(&FLEET, emergency);
    let (last, at) = done.iter().max_by_key(|(_, at)| *at).expect("somebody was proven");
    assert_eq!(*last, "web-b07");
    assert!(*at > "2026-11-20T09:10:00Z", "it was back at 18:10 in Tokyo, and proven at {at}");
}

#[test]
fn a_node_on_which_the_patch_fails_stops_the_rollout_until_somebody_accepts_and_is_left_to_a_person()
 {
    let name = text(request(&FLEET, "web", "libbrotli1"), "about");
    let held = holds(&FLEET, name, "FailuresReached");
    let [held] = held.as_slice() else { panic!("one hold for one failure: {held:?}") };
    assert!(text(held, "message").contains("web-a03"), "{held}");
    assert!(text(held, "endedBy").contains("accept-failure web-a03"), "{held}");
    let (stopped, accepted) = (text(held, "at"), "2026-11-24T00:20:00Z");
    let done = proven(&FLEET, name);
    let begun = events(&FLEET, "worked").filter(|event| event["about"] == name);
    let meanwhile: Vec<&Value> =
        begun.filter(|work| text(work, "at") > stopped && text(work, "at") < accepted).collect();
    assert!(meanwhile.is_empty(), "nothing is begun while it holds: {meanwhile:?}");
    assert!(!done.iter().any(|(system, _)| *system == "web-a03"));
    assert_eq!(done.len(), 27, "everybody else");
    let left = not_done(&FLEET, "web-a03").expect("it is told at the end");
    assert!(left.to_string().contains("no space left on /boot"), "{left}");
}

#[test]
fn a_window_that_passes_unapproved_is_told_with_the_next_one_and_a_new_plan_needs_new_approvals() {
    let first = text(request(&FLEET, "database", ""), "about");
    let missed: Vec<&Value> = events(&FLEET, "windowMissed").collect();
    let [missed] = missed.as_slice() else { panic!("one window is missed: {missed:?}") };
    assert_eq!((text(missed, "about"), text(missed, "window")), (first, "sunday"));
    assert_eq!(text(missed, "at"), "2026-11-21T20:00:00Z", "Sunday 05:00 in Tokyo");
    assert_eq!(text(missed, "reopens"), "2026-11-28T16:00:00Z", "a week later");
    let second = events(&FLEET, "requested")
        .find(|event| event["supersedes"] == first)
        .expect("the baseline that was applied on Monday makes another plan");
    let second = text(second, "about");
    let votes = |name| events(&FLEET, "voted").filter(move |event| event["about"] == name).count();
    assert_eq!((votes(first), votes(second)), (2, 2), "both were approved in full");
    assert!(proven(&FLEET, first).is_empty());
    let done = proven(&FLEET, second);
    assert_eq!(done.len(), 8);
    assert!(done.iter().all(|(_, at)| at.starts_with("2026-11-24")), "Wednesday's night in Tokyo");
}

#[test]
fn control_plane_nodes_are_done_one_after_the_other() {
    let name = text(request(&FLEET, "control-plane", ""), "about");
    let mut works: Vec<&Value> =
        events(&FLEET, "worked").filter(|event| event["about"] == name).collect();
    works.sort_by_key(|work| text(work, "at"));
    assert_eq!(works.len(), 3);
    for pair in works.windows(2) {
        assert!(text(pair[0], "ended") <= text(pair[1], "at"), "{} and {}", pair[0], pair[1]);
    }
}

#[test]
fn a_vulnerable_image_is_replaced_and_one_that_git_owns_is_held_with_the_line_to_change() {
    for (example, moved, owned, line, fixed) in [
        (
            "examples/fleet",
            vec!["Deployment/shop/admin", "Deployment/shop/web"],
            "Deployment/shop/promo",
            "apps/shop/promo.yaml:17",
            "registry.example.com/shop/web@sha256:d62cc40d2083a888167b21e7bc833b126de25cabc1a20a9d5ef4204a9a6dd438",
        ),
        (
            "examples/images",
            vec!["Deployment/shop/cart", "Deployment/shop/reviews", "Deployment/shop/search"],
            "Deployment/shop/checkout",
            "apps/shop/checkout.yaml:23",
            "registry.example.com/shop/api@sha256:355f9cbc990adb8444273b14574b39a888f19112bfb5297e0f2cdb0706a6394d",
        ),
    ] {
        let images;
        let facts = if example == "examples/fleet" {
            &*FLEET
        } else {
            images = facts(example);
            &images
        };
        let request = text(request(facts, "shop-images", ""), "about");
        let done: Vec<&str> =
            proven(facts, request).into_iter().map(|(system, _)| system).collect();
        assert_eq!(done, moved, "{example}: one after the other");
        let holds = holds(facts, "shop-images", "GitOpsOwned");
        let [held] = holds.as_slice() else { panic!("{example}: one hold: {holds:?}") };
        assert!(text(held, "message").contains(owned), "{held}");
        let ends = text(held, "endedBy");
        assert!(ends.contains(line) && ends.contains(fixed), "{ends}");
        let left = not_done(facts, owned).expect("it is told at the end");
        assert!(left.to_string().contains(line), "{left}");
    }
}

#[test]
fn a_changed_manifest_changes_the_forecast() {
    let copy = TempDir::new().expect("a folder can be made");
    let status = Command::new("cp")
        .args(["-r", "examples/images"])
        .arg(copy.path())
        .current_dir(root())
        .status()
        .expect("cp runs");
    assert!(status.success());
    let finish = |folder: &Path, name: &str| {
        let until = "2026-11-20T09:00";
        let output = hozen(folder, &["simulate", name, "-o", "json", "--until", until]);
        let facts: Value = serde_json::from_slice(&output.stdout).expect("the facts are JSON");
        request(&facts, "shop-images", "")["forecast"]["finish"].to_string()
    };
    let before = finish(&root(), "examples/images");
    assert_eq!(finish(copy.path(), "images"), before, "a copy is the same");
    let file = copy.path().join("images/baselines.yaml");
    let written = std::fs::read_to_string(&file).expect("it can be read");
    let later = written.replace("0 14 * * 1-5", "0 20 * * 1-5");
    assert_ne!(later, written);
    std::fs::write(&file, later).expect("it can be written");
    assert!(finish(copy.path(), "images") > before, "six hours later");
}
