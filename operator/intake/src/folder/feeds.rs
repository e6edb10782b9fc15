//! Notices: from Advisory manifests and from the feeds of a folder, with what is known of attacks; and the index over them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hozen_advisory::{
    index,
    merge::{join_exploitation, merge},
    notice::Notice,
    osv::{self, Parsed},
    package::{PackageSet, digest},
    vex::Statements,
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
    files::File,
    gather::{Besides, gather},
    stated::{Stated, unheard},
};
use crate::{
    convert::advisory::{advisory, has_fix, object_name},
    kinds::Object,
    manifest::{Document, Manifests},
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

/// Reads every notice: those of people into the world, those of feeds into the corpus, and into the world where something
/// here may be affected.
pub(super) fn read(
    files: &[File],
    manifests: &Manifests,
    world: &mut World,
    refused: &mut Refused,
) -> (Corpus, BTreeMap<Name, Taken>) {
    let gathered = gather(files, refused);
    let all = manifests.documents.iter().chain(&manifests.mended);
    let mut own = own(all, world, refused);
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
    let mut made = unheard(&gathered.statements, &own, &fed);
    for notice in made.values_mut() {
        join_exploitation(std::slice::from_mut(notice), &gathered.kev, &gathered.epss);
    }
    for (feed, besides) in gathered.besides {
        untold(&feed, &besides, &made, refused);
    }
    for (name, notice) in made {
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

fn own<'d>(
    documents: impl Iterator<Item = &'d Document>,
    world: &World,
    refused: &mut Refused,
) -> BTreeMap<Name, Known> {
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

/// Says what of the documents of a feed that state something of products is not used.
fn untold(feed: &str, besides: &Besides, made: &BTreeMap<Name, Notice>, refused: &mut Refused) {
    let used = |id: &SmolStr| made.contains_key(&object_name(id));
    let unused = besides.of.iter().filter(|of| !of.weakness.iter().any(used));
    let scores: u64 = unused.map(|of| of.scores).sum();
    let fixed: u64 = besides.of.iter().map(|of| of.fixed).sum();
    let one = |count: u64, one: &str, more: &str| {
        format!("{count} {}", if count == 1 { one } else { more })
    };
    let mut told = Vec::new();
    if scores > 0 {
        let scores = one(scores, "score is", "scores are");
        told.push(format!(
            "{scores} not used, for notices tell how bad those weaknesses are, or nobody has them"
        ));
    }
    if fixed > 0 {
        let (products, excuse) = (
            one(fixed, "fixed product", "fixed products"),
            if fixed == 1 { "excuses" } else { "excuse" },
        );
        told.push(format!(
            "{products} {excuse} the versions named and no other: which versions before them are affected is told by notices (OSV) alone"
        ));
    }
    if besides.findings > 0 {
        let findings = one(besides.findings, "finding", "findings");
        told.push(format!("{findings} without an analysis: nobody states anything of them"));
    }
    if !told.is_empty() {
        refused.note(
            format!("feed {feed}"),
            format!("of its documents that state what is affected (VEX): {}", told.join("; ")),
        );
    }
}
