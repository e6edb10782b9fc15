//! `scenario.yaml`: what happens from outside while the virtual clock runs.

mod fields;
mod form;
mod parts;

use std::collections::BTreeMap;

use hozen_domain::{
    baseline::Baseline,
    calendar::time_zone,
    model::scenario::{Approver, Event, Happening, Scenario, Script, Subject},
};
use jiff::{SignedDuration, Timestamp, civil::DateTime};

use fields::NOTHING;
use parts::{Head, Parts, Read};

use super::{
    Refused,
    files::{File, Files},
    names::Names,
};
use crate::{
    convert::baseline::baseline,
    kinds::Object,
    manifest::{Manifests, Reader},
    problem::Problem,
    reference::{missing, not_there},
    tree::{self, Node, Value},
};

/// The longest time that is played.
const DAYS_MAX: SignedDuration = SignedDuration::from_hours(24 * 3_660);

/// A script as far as it could be read.
pub(super) struct Draft<'f> {
    file: &'f File,
    tree: Node,
    head: Head,
    /// Approvers that could be read, each with its path.
    approvers: Vec<(String, Approver)>,
    events: Vec<Read>,
}

/// The script, if there is one. Everything that is wrong with it is told, not only the first thing.
pub(super) fn read<'f>(files: &'f Files, refused: &mut Refused) -> Option<Draft<'f>> {
    let file = files.scenario.as_ref()?;
    let text = file.text().map_err(|why| refused.problems.push(file.problem(why))).ok()?;
    let (documents, unreadable) = tree::read(&text);
    let is_readable = unreadable.is_empty();
    refused.problems.extend(
        unreadable
            .into_iter()
            .map(|fault| Problem { place: fault.place, ..file.problem(fault.message) }),
    );
    // A document too many hides nothing of the first.
    if is_readable && documents.len() != 1 {
        refused.problems.push(file.problem("must hold exactly one document"));
    }
    let document = documents.into_iter().next()?;
    let mut parts = Parts { file, refused };
    let Value::Map(entries) = &document.value else {
        let found = document.value.describe();
        let message = format!("expected are timeZone, from, until and events, found {found}");
        parts.tell(document.place, "", message);
        return None;
    };
    parts.twice(&document, "");
    let approvers = parts.approvers(&document);
    let events = parts.events(&document);
    let head = parts.head(&document, entries);
    Some(Draft { file, tree: document, head, approvers, events })
}

impl Draft<'_> {
    /// When the simulation begins, if that can be read.
    pub fn start(&self) -> Option<Timestamp> {
        let Head { time_zone: zone, from, until: _ } = &self.head;
        time_zone(zone.as_ref()?).ok()?.to_timestamp((*from)?).ok()
    }

    /// Tells what is wrong with times and names.
    pub fn check(&self, names: &Names<'_>, refused: &mut Refused) {
        let before = refused.problems.len();
        self.check_all(names, refused);
        told_once(&mut refused.problems, before);
    }

    fn check_all(&self, names: &Names<'_>, refused: &mut Refused) {
        let mut parts = Parts { file: self.file, refused };
        self.check_head(&mut parts);
        for (path, approver) in &self.approvers {
            for name in &approver.baselines {
                parts.name(&self.tree, path, Subject::Baseline(name), names);
            }
            parts.role(&self.tree, path, &approver.role, names);
        }
        for Read { path, at, happening } in &self.events {
            if let Some(message) = at.and_then(|at| self.never(at)) {
                let path = format!("{path}.at");
                parts.tell(self.tree.place_of(&path), &path, message);
            }
            let Some(happening) = happening else { continue };
            if let Happening::Approve { role, .. } | Happening::Reject { role, .. } = happening {
                parts.role(&self.tree, path, role, names);
            }
            for subject in happening.subjects() {
                parts.name(&self.tree, path, subject, names);
            }
            let meant = happening.meant().filter(|meant| meant.baseline != NOTHING);
            if let Some((request, message)) = meant.and_then(|meant| names.no_request(meant)) {
                parts.at_word(&self.tree, path, request, message);
            }
        }
    }

    fn check_head(&self, parts: &mut Parts<'_>) {
        let place = |path: &str| self.tree.place_of(path);
        let Head { time_zone: zone, from, until } = &self.head;
        if let Some(Err(error)) = zone.as_ref().map(|zone| time_zone(zone)) {
            parts.tell(place("timeZone"), "timeZone", error.to_string());
        }
        let (Some(from), Some(until)) = (from, until) else { return };
        if until.duration_since(*from) > DAYS_MAX {
            let message = format!("{until} is more than ten years after from ({from})");
            parts.tell(place("until"), "until", message);
        }
        if until <= from {
            let message = format!("{until} is not after from ({from})");
            parts.tell(place("until"), "until", message);
        }
    }

    /// Why what happens at a time would not happen, if it would not, as far as it is known from when and until when is played.
    fn never(&self, at: DateTime) -> Option<String> {
        match (self.head.from, self.head.until) {
            (Some(from), Some(until)) => {
                (from < until && !(from..=until).contains(&at)).then(|| {
                    format!(
                        "{at} is not between from ({from}) and until ({until}): it would not happen"
                    )
                })
            }
            (Some(from), None) => {
                (at < from).then(|| format!("{at} is before from ({from}): it would not happen"))
            }
            (None, Some(until)) => {
                (at > until).then(|| format!("{at} is after until ({until}): it would not happen"))
            }
            (None, None) => None,
        }
    }

    /// The scenario: the script, and the baselines that its `apply` events name. None if the script's head is wrong.
    pub fn finish(
        self,
        manifests: &Manifests,
        files: &Files,
        refused: &mut Refused,
    ) -> Option<Scenario> {
        let mut later = BTreeMap::new();
        for Read { path, happening, .. } in &self.events {
            let Some(Happening::Apply { manifest, .. }) = happening else {
                continue;
            };
            if manifest == NOTHING || later.contains_key(manifest) {
                continue;
            }
            let Some(file) = files.later.iter().find(|file| file.within == *manifest) else {
                let known = files.later.iter().map(|file| file.within.as_str()).collect();
                let message = not_there("manifest", manifest, &known);
                Parts { file: self.file, refused }.at_word(&self.tree, path, manifest, message);
                continue;
            };
            // One that is wrong is told of once, however often it is applied.
            later.insert(manifest.clone(), baseline_of(file, manifests, refused));
        }
        let later = later.into_iter().filter_map(|(name, baseline)| Some((name, baseline?)));
        let later = later.collect();
        let approvers = self.approvers.into_iter().map(|(_, approver)| approver).collect();
        let events = self.events.into_iter();
        let events = events.filter_map(|Read { at, happening, .. }| {
            Some(Event { at: at?, happening: happening? })
        });
        let Head { time_zone, from, until } = self.head;
        let (time_zone, from, until) = (time_zone?, from?, until?);
        let script = Script { time_zone, from, until, approvers, events: events.collect() };
        Some(Scenario { script, later })
    }
}

/// What is said of a name again and again is said once, with how often: it is one mistake.
fn told_once(problems: &mut Vec<Problem>, before: usize) {
    let mut told: Vec<(Problem, u32)> = Vec::new();
    for problem in problems.split_off(before) {
        let same = |(first, _): &&mut (Problem, u32)| {
            problem.message.starts_with("there is no ") && first.message == problem.message
        };
        match told.iter_mut().find(same) {
            Some((_, more)) => *more += 1,
            None => told.push((problem, 0)),
        }
    }
    problems.extend(told.into_iter().map(|(problem, more)| match more {
        0 => problem,
        1 => Problem { message: format!("{} (1 more place names it)", problem.message), ..problem },
        _ => Problem {
            message: format!("{} ({more} more places name it)", problem.message),
            ..problem
        },
    }));
}

/// The one baseline of a file.
fn baseline_of(file: &File, among: &Manifests, refused: &mut Refused) -> Option<Baseline> {
    let text = file.text().map_err(|why| refused.problems.push(file.problem(why))).ok()?;
    let mut reader = Reader::new();
    reader.read(&file.name, &text);
    let mut manifests = reader.without_references();
    let mut own = Refused::default();
    own.problems.extend(missing(&manifests, among));
    own.problems.append(&mut manifests.problems);
    let told_of_form = own.problems.len();
    let all = manifests.documents.iter().chain(&manifests.mended);
    let mut baselines = all.filter_map(|document| match &document.object {
        Object::Baseline(object) => Some((document, object)),
        _ => None,
    });
    let made = if let (Some((document, object)), None) = (baselines.next(), baselines.next()) {
        baseline(object).map_err(|refusals| own.problem(document, refusals)).ok()
    } else {
        if told_of_form == 0 {
            let message = "must hold exactly one Baseline, to be applied later";
            own.problems.push(file.problem(message));
        }
        None
    };
    own.keep_first_of_each_field(told_of_form);
    refused.problems.append(&mut own.problems);
    made
}
