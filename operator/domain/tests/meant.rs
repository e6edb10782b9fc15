//! Which request an event of a script means, where a baseline has more than one that is open.

use hozen_domain::{
    model::{What, scenario::Happening},
    units::{Name, Span},
};
use hozen_testkit::{Story, Told, baseline, story, web_fleet};

const NOTICE: &str = "DSA-1";

fn vote(advisory: Option<&str>, request: Option<&str>, user: &str) -> Happening {
    Happening::Approve {
        baseline: "web".into(),
        advisory: advisory.map(Into::into),
        request: request.map(Into::into),
        role: "on-call".into(),
        user: user.into(),
    }
}

/// Two requests are open: the patch, and an exercise that somebody asked for after it.
fn two_open() -> Story {
    story(&web_fleet(2, baseline("web")).build(), 12)
        .nobody_approves()
        .after(Span::minutes(5), Happening::Drill { baseline: "web".into() })
}

fn agreed(story: Story, advisory: Option<&str>, request: Option<&str>) -> Told {
    let both = ["alice@example.com", "carol@example.com"].into_iter();
    both.fold(story, |story, user| story.after(Span::minutes(10), vote(advisory, request, user)))
        .play()
}

/// Requests for which somebody voted.
fn voted(told: &Told) -> Vec<Name> {
    let votes = told.0.trace.iter().filter(|entry| matches!(entry.what, What::Voted { .. }));
    let mut names: Vec<Name> = votes.filter_map(|entry| entry.about.clone()).collect();
    names.dedup();
    names
}

fn patch(told: &Told) -> Name {
    let about = |plan: &hozen_domain::Plan| plan.advisories.iter().any(|name| name == NOTICE);
    let requests = told.0.world.requests.values();
    requests.filter(|request| about(&request.plan)).map(|of| of.name.clone()).next().expect("one")
}

#[test]
fn without_more_the_newest_open_request_is_meant() {
    let told = agreed(two_open(), None, None);
    assert!(voted(&told).iter().all(|name| *name != patch(&told)), "{:?}", voted(&told));
}

#[test]
fn a_vote_that_names_a_notice_is_on_the_request_about_it() {
    let told = agreed(two_open(), Some(NOTICE), None);
    assert_eq!(voted(&told), [patch(&told)]);
    assert_eq!(told.proven().len(), 2, "it is done, and the exercise waits");
}

#[test]
fn a_vote_that_names_a_request_is_on_that_one() {
    let name = patch(&two_open().play());
    let told = agreed(two_open(), None, Some(&name));
    assert_eq!(voted(&told), [name]);
}

#[test]
fn where_none_is_meant_it_is_told_which_are_open() {
    let told = agreed(two_open(), None, Some("web-000000"));
    assert_eq!(voted(&told), [""; 0]);
    let said: Vec<&String> = told
        .0
        .trace
        .iter()
        .filter_map(|entry| match &entry.what {
            What::Outside(text) if text.starts_with("alice") => Some(text),
            _ => None,
        })
        .collect();
    let [said] = said.as_slice() else { panic!("{said:?}") };
    let none = "alice@example.com finds no open request of web by the name web-000000; open: web-";
    assert!(said.starts_with(none), "{said}");
    assert!(said.contains(&format!("{} (about {NOTICE})", patch(&told))), "{said}");
    assert!(said.contains("(about no notice)"), "{said}");
}

#[test]
fn a_withdrawal_that_finds_no_request_is_told() {
    let withdraw = Happening::Withdraw {
        baseline: "web".into(),
        advisory: None,
        request: Some("web-000000".into()),
        user: "alice@example.com".into(),
    };
    let told = two_open().after(Span::minutes(10), withdraw).play();
    let said = told.0.trace.iter().any(|entry| {
        let none = "alice@example.com finds nothing to take back: no open request of web by the name web-000000; open: web-";
        matches!(&entry.what, What::Outside(text) if text.starts_with(none))
    });
    assert!(said, "{:#?}", told.0.trace);
}
