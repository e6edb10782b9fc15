//! Facts as a page of text.

mod explanation;
mod harmless;
mod head;
pub mod page;
pub mod result;
pub mod time_line;
mod work;

pub use work::sentence as work_sentence;

pub use explanation::explanation;
pub use harmless::{harmless, tame_text};
pub use head::{feed_told, size, unmatched};

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use jiff::Timestamp;

use crate::{
    facts::{Happened, Simulation},
    when::Local,
};
use page::Page;

/// Names of systems that a forecast leaves out.
const LEFT_OUT_MAX: usize = 8;

/// How much of a simulation is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// Every node has its own line, however many there are and however alike they went.
    pub every_system: bool,
    /// Every line says which request it is about, as in a table whose rows are read one by one.
    pub every_request: bool,
}

/// A simulation as text, with colour, on a page of so many columns.
pub fn simulation(facts: &Simulation, detail: Detail, columns: usize) -> String {
    let facts = &harmless(facts);
    let reader = Reader::of(facts);
    let mut page = Page::new(columns);
    head::title(&mut page, facts, &reader);
    head::stock(&mut page, facts, &reader);
    head::notices(&mut page, facts, &reader);
    time_line::time_line(&mut page, facts, detail, &reader);
    result::result(&mut page, facts, &reader);
    result::not_done(&mut page, facts, &reader);
    result::closing(&mut page, facts, &reader);
    page.finish()
}

/// Who reads: in which zone, and from which day on.
pub struct Reader {
    /// Their zone.
    pub local: Local,
    /// When the simulation begins.
    pub from: Timestamp,
    /// Users, and how they are called where no other is called so.
    pub people: Vec<(String, String)>,
}

impl Reader {
    /// Who reads the facts of a simulation.
    pub fn of(facts: &Simulation) -> Self {
        Self { local: Local::named(&facts.time_zone), from: facts.from, people: people(facts) }
    }

    /// An instant as told at the beginning of the story.
    pub fn at(&self, at: Timestamp) -> String {
        self.local.full(at, self.from)
    }

    /// A sentence of the domain: its instants local, its people by their short names.
    pub fn sentence(&self, text: &str) -> String {
        let text = self.local.sentence(text, self.from);
        self.people.iter().fold(text, |text, (user, short)| text.replace(user, short))
    }
}

/// Who voted, by what stands before the `@`, unless two would be called alike.
fn people(facts: &Simulation) -> Vec<(String, String)> {
    let users: BTreeSet<&str> = facts
        .time_line
        .iter()
        .filter_map(|event| match &event.what {
            Happened::Voted { user, .. } => Some(user.as_str()),
            _ => None,
        })
        .collect();
    let short = |user: &&str| user.split_once('@').map_or(*user, |(name, _)| name).to_owned();
    let mut people: Vec<(String, String)> = users
        .iter()
        .filter(|user| users.iter().filter(|other| short(other) == short(user)).count() == 1)
        .map(|user| ((*user).to_owned(), short(user)))
        .collect();
    // The longest first: one user's name may be the end of another's.
    people.sort_by_key(|(user, _)| Reverse(user.len()));
    people
}

/// "one, two and three".
pub fn listed<S: AsRef<str>>(items: &[S]) -> String {
    match items {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [rest @ .., last] => {
            let rest: Vec<&str> = rest.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", rest.join(", "), last.as_ref())
        }
    }
}

/// The first so many names, and how many more there are.
pub fn some_of<S: AsRef<str>>(items: &[S], most: usize) -> String {
    let first: Vec<&str> = items.iter().take(most).map(AsRef::as_ref).collect();
    match items.len().saturating_sub(most) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// The systems that a forecast leaves out, with why: those that are out of reach, and those that are kept by the same together.
pub fn left_out(away: &[String], kept: &BTreeMap<String, String>) -> Vec<String> {
    let mut by_why: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, why) in kept {
        by_why.entry(why).or_default().push(name);
    }
    let away = (!away.is_empty())
        .then(|| format!("without {}, out of reach", some_of(away, LEFT_OUT_MAX)));
    let kept = by_why
        .into_iter()
        .map(|(why, names)| format!("without {}, which {why}", some_of(&names, LEFT_OUT_MAX)));
    away.into_iter().chain(kept).collect()
}

/// `1 node`, `2 nodes`.
pub fn counted(count: u32, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// The name of a variant as words: `AwaitingApproval` is `awaiting approval`.
pub fn spoken(variant: impl std::fmt::Debug) -> String {
    let mut words = String::new();
    for c in format!("{variant:?}").chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
    }
    words
}
