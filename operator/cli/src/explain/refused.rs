//! Objects that are not valid: the world leaves them out, and who asks for one is told what is wrong where.

use hozen_domain::model::Outcome;

use super::{Answer, Explanation, Section, Subject, explanation};
use crate::facts::Played;

/// Fields that are named beside the answer on something else.
const BESIDE_MAX: usize = 2;

/// An object that is there and is not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its kind, as it is typed in full.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What is wrong, each with the field and what to write instead.
    pub why: Vec<String>,
}

impl Refused {
    /// Why nothing is done with it.
    pub(super) fn explanation(
        &self,
        played: Played,
        outcome: &Outcome,
        subject: &Subject,
    ) -> Explanation {
        let mut section = Section::new("what is wrong");
        for why in &self.why {
            section.say(why);
        }
        let Self { kind, name, why: _ } = self;
        let answer = Answer {
            summary: "not valid: nothing is done with it until it is corrected".to_owned(),
            sections: vec![section],
            next: vec![format!("correct what is named above: kubectl edit {kind} {name}")],
            see_also: Vec::new(),
        };
        explanation(played, outcome, format!("{}/{name}", subject.kind()), answer)
    }
}

/// The one that is asked for.
pub(super) fn of<'r>(refused: &'r [Refused], subject: &Subject) -> Option<&'r Refused> {
    let meant =
        |it: &&Refused| it.kind == subject.kind() && it.name.eq_ignore_ascii_case(subject.typed());
    refused.iter().find(meant)
}

/// Beside what is said of a node: the baselines that may be meant for it and select nothing.
pub(super) fn beside(told: &mut Explanation, refused: &[Refused], subject: &Subject) {
    if !matches!(subject, Subject::Node(_)) {
        return;
    }
    let mut section = Section::new("baselines that are not valid, and select nothing");
    for Refused { kind, name, why } in refused.iter().filter(|it| it.kind == "baseline") {
        let first: Vec<&str> = why.iter().take(BESIDE_MAX).map(String::as_str).collect();
        let more = match why.len().saturating_sub(BESIDE_MAX) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        section.say(format!("{name}: {}{more}", first.join("; ")));
        told.see_also.push(format!("{kind}/{name}"));
    }
    if !section.lines.is_empty() {
        told.sections.push(section);
    }
}
