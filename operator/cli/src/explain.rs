//! `hozen explain`: why something stands as it does, who could change that, and what would happen next; each with the place
//! where the rule stands.

mod advisory;
mod baseline;
mod common;
mod exception;
mod idle;
mod image;
mod node;
mod policy;
mod refused;
mod request;
mod rollout;
mod rules;
mod subject;
mod unseen;
mod updates;
mod workload;

use std::process::ExitCode;

use hozen_domain::model::Outcome;
use hozen_intake::folder::Corpus;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    args::{Explain, Output},
    cluster,
    error::Failed,
    facts::{API_VERSION, Played},
    play, print,
    simulate::formed,
    terminal, text,
};
pub use refused::Refused;
pub use rules::Rule;
pub use subject::Subject;
pub use unseen::Unseen;

/// Why something stands as it does. The shape is versioned as that of the facts of a simulation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// [`API_VERSION`].
    pub api_version: String,
    /// `Explanation`.
    pub kind: String,
    /// The folder that was played.
    pub folder: String,
    /// At which instant.
    pub at: Timestamp,
    /// IANA zone in which people read it.
    pub time_zone: String,
    /// What is explained: `node/web-b1`.
    pub subject: String,
    /// The answer in one line.
    pub summary: String,
    /// The answer.
    pub sections: Vec<Section>,
    /// What would happen next, or has to.
    pub next: Vec<String>,
    /// The rules of the project's pages that were applied.
    pub rules: Vec<Rule>,
    /// What else can be explained that bears on it: `rollout/web-tier-f6abd8`.
    pub see_also: Vec<String>,
}

/// One part of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What.
    pub text: String,
    /// Where the rule stands, if one was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Section {
    fn new(title: &str) -> Self {
        Self { title: title.to_owned(), lines: Vec::new() }
    }

    fn say(&mut self, text: impl Into<String>) {
        self.lines.push(Line { text: text.into(), source: None });
    }

    fn rule(&mut self, text: impl Into<String>, source: impl Into<String>) {
        self.lines.push(Line { text: text.into(), source: Some(source.into()) });
    }
}

/// An answer before it is put into its frame.
#[derive(Default)]
struct Answer {
    summary: String,
    sections: Vec<Section>,
    next: Vec<String>,
    see_also: Vec<String>,
}

impl Answer {
    /// Adds a section that says something.
    fn add(&mut self, section: Section) {
        if !section.lines.is_empty() {
            self.sections.push(section);
        }
    }

    /// Points to something else, once.
    fn see(&mut self, kind: &str, name: &str) {
        let subject = format!("{kind}/{name}");
        if !self.see_also.contains(&subject) {
            self.see_also.push(subject);
        }
    }
}

/// Plays the folder up to the moment and explains.
pub fn run(asked: &Explain) -> Result<ExitCode, Failed> {
    let Some(subject) = &asked.subject else {
        let folder = &asked.play.folder;
        if folder.is_dir() && folder.to_string_lossy().parse::<Subject>().is_err() {
            let folder = folder.display();
            let message =
                format!("say what of {folder} to explain: hozen explain {folder} KIND/NAME");
            return Err(Failed::Subject(message));
        }
        return cluster::explain(asked, &asked.play.folder.to_string_lossy());
    };
    let subject: Subject = subject.parse().map_err(Failed::Subject)?;
    let done = play::play(&asked.play, asked.moment)?;
    tell(asked, done.played, (&done.outcome, &done.corpus), (&[], None), &subject)
}

/// Explains, and prints it in the form that was asked for. What is refused, or may not be read, is in no world.
pub fn tell(
    asked: &Explain,
    played: Played,
    seen: (&Outcome, &Corpus),
    (refused, unseen): (&[Refused], Option<&Unseen>),
    subject: &Subject,
) -> Result<ExitCode, Failed> {
    let mut explanation = if let Some(refused) = refused::of(refused, subject) {
        refused.explanation(played, seen.0, subject)
    } else {
        let absent = |why| match unseen {
            Some(unseen) => Failed::Subject(format!("{why}; {unseen}")),
            None => Failed::Subject(why),
        };
        let mut explanation = explain(played, seen, subject).map_err(absent)?;
        refused::beside(&mut explanation, refused, subject);
        explanation
    };
    if let Some(unseen) = unseen {
        unseen.before(&mut explanation);
    }
    match asked.output {
        Output::Text => {
            print(&text::explanation(&explanation, terminal::columns(&std::io::stdout())))
        }
        form @ (Output::Json | Output::Yaml) => print(&formed(&explanation, form)?),
    }
}

/// Explains something at the end of a simulation, with all notices that were read. The error names the nearest thing that does exist.
pub fn explain(
    played: Played,
    (outcome, corpus): (&Outcome, &Corpus),
    subject: &Subject,
) -> Result<Explanation, String> {
    let name = subject.find(outcome, corpus)?;
    let digests = subject.digests(outcome, &name);
    let name = if digests.len() > 1 { subject.typed().into() } else { name };
    let answer = match subject {
        Subject::Node(_) => node::answer(outcome, &name),
        Subject::Baseline(_) => baseline::answer(outcome, &name),
        Subject::Advisory(_) => advisory::answer(outcome, corpus, &name),
        Subject::Request(_) => request::answer(outcome, &name),
        Subject::Rollout(_) => rollout::answer(outcome, &name),
        Subject::Workload(_) => workload::answer(outcome, &name),
        Subject::Image(_) => image::answer(outcome, &digests),
        Subject::Policy(_) => policy::answer(outcome, &name),
    };
    // `find` looks where the answers look.
    let answer = answer.ok_or_else(|| format!("{}/{name} is not there", subject.kind()))?;
    Ok(explanation(played, outcome, format!("{}/{name}", subject.kind()), answer))
}

/// An answer in its frame.
fn explanation(played: Played, outcome: &Outcome, subject: String, answer: Answer) -> Explanation {
    Explanation {
        api_version: API_VERSION.to_owned(),
        kind: "Explanation".to_owned(),
        folder: played.folder,
        at: outcome.until,
        time_zone: outcome.zone.iana_name().unwrap_or("UTC").to_owned(),
        subject,
        summary: answer.summary,
        rules: rules::cited(&answer.sections),
        sections: answer.sections,
        next: answer.next,
        see_also: answer.see_also,
    }
}
