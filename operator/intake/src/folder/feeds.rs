//! Notices: from Advisory manifests and from the feeds of a folder, with what is known of attacks; and the index over them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::BufReader,
    sync::Arc,
};

use hozen_advisory::{
    epss, index, kev,
    merge::{join_exploitation, merge},
    notice::Notice,
    osv::{self, ArchiveLimits, Parsed, read_archive},
    package::{PackageSet, digest},
    vex::{self, Statements},
};
use hozen_domain::{
    World,
    model::Matcher,
    request::Known,
    units::Name,
    world::{Blind, Feed, Finding, Verdict},
};
use smol_str::{SmolStr, format_smolstr};

use super::{
    Refused,
    files::{File, HEAD_BYTES},
    stated::{Stated, unheard},
};
use crate::{
    convert::advisory::{advisory, has_fix, object_name},
    kinds::Object,
    manifest::Document,
    problem::told,
};

/// Refused documents that are named in a feed's state.
const REJECTED_NAMED_MAX: usize = 10;

/// Every notice, ready to be matched. It knows them by id, the world by object name. Beside them what is stated of products (VEX).
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    index: index::Index,
    names: BTreeMap<SmolStr, Name>,
    stated: Stated,
    /// Notices of feeds that the world does not know, because nothing here was found to be affected.
    idle: BTreeMap<Name, Notice>,
}

/// What a feed brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Notices that were read.
    pub notices: u32,
    /// Of those: about something that is installed here and affected, or may be.
    pub found: u32,
    /// Withdrawn by their publisher.
    pub withdrawn: u32,
    /// Of an ecosystem that cannot be matched: it is not known whether they matter here.
    pub unmatchable: u32,
    /// Of each such ecosystem.
    pub ecosystems: BTreeMap<SmolStr, u32>,
    /// Documents that were refused.
    pub rejected: u32,
}

impl Corpus {
    /// Notices by the name of their object.
    pub fn new<'a>(notices: impl IntoIterator<Item = (&'a Name, &'a Notice)>) -> Self {
        let notices: Vec<_> = notices.into_iter().collect();
        Self {
            index: index::Index::build(notices.iter().map(|(_, notice)| *notice)),
            names: notices
                .iter()
                .map(|(name, notice)| (notice.id.clone(), (*name).clone()))
                .collect(),
            stated: Stated::default(),
            idle: BTreeMap::new(),
        }
    }

    /// Notices of feeds that the world does not know, by the name of the object that they would be.
    pub fn idle(&self) -> &BTreeMap<Name, Notice> {
        &self.idle
    }

    /// How a package set stands to a notice, by its id: what is installed of it, in which version, and what that means.
    pub fn explain(&self, notice: &str, set: &PackageSet) -> index::Explanation {
        self.index.explain(notice, set)
    }

    /// Matches every package set of a world.
    pub fn match_all(&self, world: &mut World) {
        world.findings = world
            .package_sets
            .iter()
            .map(|(digest, set)| (digest.clone(), self.findings(set).into()))
            .collect();
        let sets = world.package_sets.iter();
        world.blind = sets.map(|(digest, set)| (digest.clone(), self.blind(set).into())).collect();
    }
}

impl Matcher for Corpus {
    fn findings(&self, set: &PackageSet) -> Vec<Finding> {
        let matches = self.index.match_set(set).findings.into_iter();
        let found = matches.filter_map(|found| {
            let finding = Finding {
                notice: self.names.get(&found.notice)?.clone(),
                package: found.name,
                installed: found.installed,
                verdict: match found.verdict {
                    index::Verdict::Affected { fixed } => Verdict::Affected { fixed },
                    index::Verdict::Unknown { why } => Verdict::Unknown { why: why.to_string() },
                },
            };
            Some((found.package, finding))
        });
        self.stated.applied(set, found)
    }

    fn blind(&self, set: &PackageSet) -> Vec<Blind> {
        self.index.blind(set)
    }
}

/// What the files under `feeds/` gave.
#[derive(Default)]
struct Gathered {
    documents: BTreeMap<String, Parsed>,
    kev: kev::Catalogue,
    epss: epss::Scores,
    statements: Vec<vex::Statement>,
}

/// Reads every notice: those of people into the world, those of feeds into the corpus, and into the world where something
/// here may be affected.
pub(super) fn read(
    files: &[File],
    documents: &[Document],
    world: &mut World,
    refused: &mut Refused,
) -> (Corpus, BTreeMap<Name, Taken>) {
    let mut gathered = Gathered::default();
    for file in files {
        gather(file, &mut gathered, refused);
    }
    let mut own = own(documents, world, refused);
    let mut fed = Vec::new();
    let mut feeds = BTreeMap::new();
    for (feed, parsed) in gathered.documents {
        degraded(&feed, &parsed, refused);
        feeds.insert(feed.as_str().into(), taken(&parsed));
        world.feeds.insert(feed.as_str().into(), state(&feed, &parsed));
        fed.extend(parsed.notices);
    }
    let ids: BTreeSet<Name> = own.values().map(|known| object_name(&known.notice.id)).collect();
    let mut fed = merge(fed).notices;
    fed.retain(|notice| !ids.contains(&object_name(&notice.id))); // What people wrote stands above what a feed says.
    join_exploitation(&mut fed, &gathered.kev, &gathered.epss);
    for known in own.values_mut() {
        join_exploitation(
            std::slice::from_mut(Arc::make_mut(&mut known.notice)),
            &gathered.kev,
            &gathered.epss,
        );
    }
    let mut fed = named(fed, &own);
    for (name, notice) in unheard(&gathered.statements, &own, &fed) {
        fed.entry(name).or_insert(notice);
    }
    let all = || own.iter().map(|(name, known)| (name, &*known.notice)).chain(&fed);
    let mut corpus = Corpus::new(all());
    corpus.stated = Stated::of(Statements::of(gathered.statements), all(), world);
    world.notices = own;
    corpus.idle = add_relevant(&corpus, fed, world);
    for known in world.notices.values() {
        if let Some(feed) = feeds.get_mut(&known.notice.source.feed) {
            feed.found += 1;
        }
    }
    (corpus, feeds)
}

/// Notices of feeds by the name of their object. One whose name another has gets a number, so that neither is lost; of one id the last
/// counts.
fn named(fed: Vec<Notice>, own: &BTreeMap<Name, Known>) -> BTreeMap<Name, Notice> {
    let mut named: BTreeMap<Name, Notice> = BTreeMap::new();
    for notice in fed {
        let name = object_name(&notice.id);
        let free = |name: &Name| {
            let other = named.get(name).is_some_and(|have| have.id != notice.id);
            !other && !own.contains_key(name)
        };
        let numbered = (2_u32..).map(|number| format_smolstr!("{name}-{number}"));
        let name = std::iter::once(name.clone()).chain(numbered).find(free).unwrap_or(name);
        named.insert(name, notice);
    }
    named
}

fn taken(parsed: &Parsed) -> Taken {
    let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let mut taken = Taken {
        notices: u32::try_from(parsed.notices.len()).unwrap_or(u32::MAX),
        withdrawn: count(parsed.counts.withdrawn),
        rejected: count(parsed.counts.rejected),
        ..Taken::default()
    };
    for notice in parsed.notices.iter().filter(|notice| notice.withdrawn.is_none()) {
        let ecosystems = notice.unmatchable();
        taken.unmatchable += u32::from(!ecosystems.is_empty());
        for ecosystem in ecosystems {
            *taken.ecosystems.entry(SmolStr::new(ecosystem)).or_default() += 1;
        }
    }
    taken
}

/// Feeds bring only what matters here: tens of thousands of notices speak of software that nobody has. What is left is given
/// back, so that it can be explained.
fn add_relevant(
    corpus: &Corpus,
    fed: BTreeMap<Name, Notice>,
    world: &mut World,
) -> BTreeMap<Name, Notice> {
    if fed.is_empty() {
        return fed;
    }
    let mut found = BTreeSet::new();
    for set in world.package_sets.values() {
        found.extend(corpus.findings(set).into_iter().map(|finding| finding.notice));
    }
    let now = world.now;
    let (relevant, idle): (BTreeMap<_, _>, BTreeMap<_, _>) =
        fed.into_iter().partition(|(name, _)| found.contains(name));
    world.notices.extend(relevant.into_iter().map(|(name, notice)| {
        let fix_first_seen = has_fix(&notice).then_some(now);
        (name, Known { notice: Arc::new(notice), fix_first_seen, first_seen: now })
    }));
    idle
}

fn own(documents: &[Document], world: &World, refused: &mut Refused) -> BTreeMap<Name, Known> {
    let mut own = BTreeMap::new();
    for document in documents {
        let Object::Advisory(object) = &document.object else {
            continue;
        };
        match advisory(object, world.now) {
            Ok(known) => {
                own.insert(Name::from(&document.name), known);
            }
            Err(refusals) => refused.problem(document, refusals),
        }
    }
    own
}

fn state(feed: &str, parsed: &Parsed) -> Feed {
    let mut digests: Vec<String> =
        parsed.notices.iter().map(|n| format!("{} {}\n", n.id, n.source.document)).collect();
    digests.sort();
    Feed {
        name: feed.into(),
        epoch: digest(&digests.concat()),
        notices: u32::try_from(parsed.notices.len()).unwrap_or(u32::MAX),
        rejected: parsed
            .rejected
            .iter()
            .take(REJECTED_NAMED_MAX)
            .map(|rejected| format!("{}: {}", rejected.document, rejected.why))
            .collect(),
        rejected_total: u32::try_from(parsed.counts.rejected).unwrap_or(u32::MAX),
    }
}

/// Names the documents of a feed that were refused, and counts those that are not named.
fn degraded(feed: &str, parsed: &Parsed, refused: &mut Refused) {
    let about = format!("feed {feed}");
    for rejected in parsed.rejected.iter().take(REJECTED_NAMED_MAX) {
        let osv::Rejected { document, why } = rejected;
        let message =
            format!("{document}: {}; it is left out, and the feed is degraded", told(why));
        refused.note(&*about, message);
    }
    let more = parsed.counts.rejected.saturating_sub(REJECTED_NAMED_MAX as u64);
    if more > 0 {
        refused.note(about, format!("{more} more documents are left out"));
    }
}

/// Reads one file of a feed. The feed is the folder under `feeds/` in which it stands, or its own name.
fn gather(file: &File, gathered: &mut Gathered, refused: &mut Refused) {
    let below = file.within.strip_prefix("feeds/").unwrap_or(&file.within);
    let feed = match below.split_once('/') {
        Some((folder, _)) => folder,
        None => below.split('.').next().unwrap_or(below),
    };
    let head = file.head();
    let outcome = match file.ending().as_str() {
        "zip" => archive(file, feed, gathered),
        "csv" | "gz" => scores(file, gathered, refused),
        "json" if contains(&head, b"\"catalogVersion\"") => catalogue(file, gathered, refused),
        "json" if is_vex(file, &head) => statements(file, gathered, refused),
        "json" => document(file, feed, gathered),
        _ => {
            return refused
                .note(&*file.name, "is no feed document (zip, json, csv, csv.gz); it is left out");
        }
    };
    if let Err(why) = outcome {
        let parsed = gathered.documents.entry(feed.to_owned()).or_default();
        parsed.counts.rejected += 1;
        parsed.rejected.push(osv::Rejected {
            document: file.within.clone(),
            why: osv::OsvError::Unpack { what: why },
        });
    }
}

/// Whether a file states something of products. Its keys may stand in any order: where its beginning does not tell, all of it does.
fn is_vex(file: &File, head: &[u8]) -> bool {
    if vex::Format::of(head).is_some() || head.len() < HEAD_BYTES {
        return vex::Format::of(head).is_some();
    }
    let whole = file.bytes(vex::DOCUMENT_BYTES_MAX);
    whole.is_ok_and(|bytes| vex::Format::of(&bytes).is_some())
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

fn archive(file: &File, feed: &str, gathered: &mut Gathered) -> Result<(), String> {
    let parsed = read_archive(feed, BufReader::new(file.open()?), ArchiveLimits::default())
        .map_err(|error| told(&error))?;
    gathered.documents.entry(feed.to_owned()).or_default().extend(parsed);
    Ok(())
}

fn document(file: &File, feed: &str, gathered: &mut Gathered) -> Result<(), String> {
    let bytes = file.bytes(osv::DOCUMENT_BYTES_MAX)?;
    gathered.documents.entry(feed.to_owned()).or_default().add(feed, &file.within, &bytes);
    Ok(())
}

fn catalogue(file: &File, gathered: &mut Gathered, refused: &mut Refused) -> Result<(), String> {
    let catalogue =
        kev::read(&file.bytes(kev::CATALOGUE_BYTES_MAX)?).map_err(|error| told(&error))?;
    skipped(file, &catalogue.skipped, refused);
    gathered.kev.entries.extend(catalogue.entries);
    Ok(())
}

fn statements(file: &File, gathered: &mut Gathered, refused: &mut Refused) -> Result<(), String> {
    let said = vex::read(&file.bytes(vex::DOCUMENT_BYTES_MAX)?).map_err(|error| told(&error))?;
    skipped(file, &said.skipped, refused);
    gathered.statements.extend(said.statements);
    Ok(())
}

fn scores(file: &File, gathered: &mut Gathered, refused: &mut Refused) -> Result<(), String> {
    let scores = epss::read(BufReader::new(file.open()?)).map_err(|error| told(&error))?;
    skipped(file, &scores.skipped, refused);
    gathered.epss.scores.extend(scores.scores);
    Ok(())
}

fn skipped(file: &File, skipped: &hozen_advisory::skipped::Skipped, refused: &mut Refused) {
    if let Some(first) = skipped.named.first() {
        let message = format!(
            "{} entries are left out; the first: {}: {}",
            skipped.count, first.place, first.why
        );
        refused.note(&*file.name, message);
    }
}
