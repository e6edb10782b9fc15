//! A folder for `hozen simulate`: manifests anywhere in it, feeds and statements (VEX) under `feeds/`, SBOMs under `sboms/`, an optional
//! `scenario.yaml`, and under `later/` the manifests that it applies.
//!
//! What people wrote for us must be right, or nothing is done ([`Refused`]). What came from elsewhere (feed documents, SBOMs,
//! package sets) may be broken: it is named, counted and left out ([`Note`]), and what needed it is unknown.

mod feeds;
mod files;
mod gather;
mod images;
mod names;
mod scenario;
mod stated;
mod stock;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
    sync::{Arc, mpsc::sync_channel},
    thread,
};

use hozen_domain::{
    World,
    model::scenario::Scenario,
    units::{Name, Uid},
};
use jiff::Timestamp;

pub use feeds::{Corpus, Taken};
pub use files::{DEPTH_MAX as FOLDERS_DEEP_MAX, FILES_MAX};

use crate::{
    convert::Refusal,
    kinds::Object,
    manifest::{Document, Manifests, Reader},
    problem::{Problem, is_within},
    tree,
};

/// Files that are parsed before they are checked, at most: each may hold a tree of [`tree::BYTES_MAX`].
const PARSED_AHEAD_MAX: usize = 8;

/// Something that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// File, or file and object.
    pub about: String,
    /// What is wrong with it, and what follows.
    pub message: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.message)
    }
}

/// What a folder holds.
#[derive(Debug)]
pub struct Folder {
    /// Everything that is known at the beginning.
    pub world: World,
    /// What happens from outside, if the folder says.
    pub scenario: Option<Scenario>,
    /// Every notice, ready to be matched.
    pub corpus: Corpus,
    /// What each feed brought.
    pub feeds: BTreeMap<Name, Taken>,
    /// What was left out, sorted.
    pub notes: Vec<Note>,
    /// Kinds that are not read here, with how many of each there were.
    pub ignored: BTreeMap<String, u32>,
}

/// Why a folder cannot be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Everything that is wrong with it, sorted by file and line.
    pub problems: Vec<Problem>,
    /// What would have been left out.
    pub notes: Vec<Note>,
}

/// Reads a folder. `now` is the instant of the world where no scenario gives one.
///
/// What is wrong is collected to the end: later parts go on with what could be read, and the world that is made of it is
/// thrown away.
pub fn read(folder: &Path, now: Timestamp) -> Result<Folder, Refused> {
    let mut refused = Refused::default();
    let files = files::list(folder, &mut refused);
    let hidden = !refused.problems.is_empty();
    let script = scenario::read(&files, &mut refused);
    let now = script.as_ref().and_then(scenario::Draft::start).unwrap_or(now);
    let manifests = manifests(&files.manifests, hidden, &mut refused);
    let told_of_form = refused.problems.len();
    let mut world = World::empty(cluster(&manifests), now);
    let documents = &manifests.documents;
    let workloads = images::workloads(documents);
    stock::contents(documents, &mut world, &mut refused);
    let bills = images::bills(&files.sboms, documents, &workloads, &mut world, &mut refused);
    images::fill(documents, workloads, &bills, &mut world);
    images::beside(documents, &bills, &mut world, &mut refused);
    let (corpus, feeds) = feeds::read(&files.feeds, &manifests, &mut world, &mut refused);
    stock::fill(&manifests, &mut world, &mut refused);
    corpus.match_all(&mut world);
    let scenario = script.and_then(|script| {
        script.check(&names::Names::of(&manifests, &world), &mut refused);
        script.finish(&manifests, &files, &mut refused)
    });
    for (kind, count) in &manifests.ignored {
        let documents = if *count == 1 { "document is" } else { "documents are" };
        refused.note(kind, format!("{count} {documents} not read here"));
    }
    refused.keep_first_of_each_field(told_of_form);
    refused.problems.sort();
    refused.problems.dedup();
    refused.notes.sort();
    if !refused.problems.is_empty() {
        return Err(refused);
    }
    Ok(Folder { world, scenario, corpus, feeds, notes: refused.notes, ignored: manifests.ignored })
}

/// `hidden`: a part of the folder could not be listed.
fn manifests(files: &[files::File], hidden: bool, refused: &mut Refused) -> Manifests {
    let mut reader = Reader::new();
    if hidden {
        reader.tear();
    }
    // One thread parses while this one checks: each is about half of the work.
    thread::scope(|scope| {
        let (parsed, to_check) = sync_channel(PARSED_AHEAD_MAX);
        scope.spawn(move || {
            files
                .iter()
                .try_for_each(|file| parsed.send((file, file.text().map(|text| tree::read(&text)))))
        });
        for (file, parsed) in to_check {
            match parsed {
                Ok(documents) => reader.parsed(&file.name, documents),
                Err(why) => {
                    reader.tear();
                    refused.problems.push(file.problem(why));
                }
            }
        }
    });
    let mut manifests = reader.finish();
    refused.problems.append(&mut manifests.problems);
    manifests
}

/// The uid of the namespace kube-system, by which a cluster is told from every other.
fn cluster(manifests: &Manifests) -> Uid {
    manifests
        .documents
        .iter()
        .find_map(|document| match &document.object {
            Object::Namespace(namespace) if document.name == "kube-system" => {
                namespace.metadata.uid.as_deref()
            }
            _ => None,
        })
        .map_or_else(|| Uid::new("offline-cluster"), Uid::new)
}

impl Refused {
    /// Of a field of an object of which something is told, what later parts say of it, or of what it is a part of, is not: it would be the
    /// same mistake again. What they say of a part of it is another. The first `told_of_form` problems are those that are told.
    fn keep_first_of_each_field(&mut self, told_of_form: usize) {
        let later = self.problems.split_off(told_of_form.min(self.problems.len()));
        let mut told: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        for known in self.problems.iter().filter(|of| !of.path.is_empty() && !of.object.is_empty())
        {
            told.entry((&*known.file, &*known.object)).or_default().insert(&known.path);
        }
        let is_new = |problem: &Problem| {
            told.get(&(&*problem.file, &*problem.object))
                .is_none_or(|paths| !paths.iter().any(|path| is_within(path, &problem.path)))
        };
        let fresh: Vec<Problem> = later.into_iter().filter(is_new).collect();
        self.problems.extend(fresh);
    }

    /// What a person wrote and is wrong.
    fn problem(&mut self, document: &Document, refusals: Vec<Refusal>) {
        self.problems.extend(
            refusals.into_iter().map(|refusal| document.problem(&refusal.path, refusal.message)),
        );
    }

    /// What came from elsewhere and is left out.
    fn left_out(&mut self, document: &Document, refusals: Vec<Refusal>) {
        let notes = refusals.into_iter().map(|refusal| {
            let problem = document.problem(&refusal.path, refusal.message);
            let object = format!("{}/{}", document.object.kind(), document.name);
            Note {
                about: format!("{}:{}: {object}", problem.file, problem.place.line),
                message: format!("{}: {}; it is left out", problem.path, problem.message),
            }
        });
        self.notes.extend(notes);
    }

    fn note(&mut self, about: impl Into<String>, message: impl Into<String>) {
        self.notes.push(Note { about: about.into(), message: message.into() });
    }
}

/// A file's name as messages show it.
type FileName = Arc<str>;
