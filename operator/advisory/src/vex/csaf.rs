//! VEX in CSAF 2.0 (<https://docs.oasis-open.org/csaf/csaf/v2.0/os/csaf-v2.0-os.html#45-profile-5-vex>).
//!
//! Documents of any profile are read for what they state of products. They are no notices: which versions are affected beside those that
//! are named is not worked out of them, and what they tell beyond is counted ([`Beyond`]).

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use jiff::Timestamp;
use serde::Deserialize;
use smol_str::SmolStr;

use super::{
    Beyond, Document, ENTRIES_MAX, Product, SCORES_MAX, Statement, Status, VexError, line, parse,
    product::Whole,
};
use crate::limits::Bounded;

/// Most names of one weakness: trackers give it a handful.
const IDS_MAX: usize = 1_000;
/// Longest vector of CVSS, in bytes: one with every metric of version 4.0 has 200. A longer text is none.
const VECTOR_BYTES_MAX: usize = 500;
/// Most vectors that the statements of a document stand with: each status has a few, and only what is not affected for a reason of its
/// own is another status.
const VECTORS_MAX: usize = 200_000;

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    document: Head<'a>,
    #[serde(borrow)]
    product_tree: Option<Tree<'a>>,
    #[serde(borrow, default)]
    vulnerabilities: Bounded<Said<'a>, ENTRIES_MAX>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    publisher: Publisher<'a>,
    #[serde(borrow)]
    tracking: Tracking<'a>,
}

#[derive(Deserialize)]
struct Publisher<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Tracking<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    current_release_date: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Tree<'a> {
    #[serde(borrow, default)]
    branches: Vec<Branch<'a>>,
    #[serde(borrow, default)]
    full_product_names: Bounded<FullName<'a>, ENTRIES_MAX>,
    #[serde(borrow, default)]
    relationships: Bounded<Relationship<'a>, ENTRIES_MAX>,
}

#[derive(Deserialize)]
struct Branch<'a> {
    #[serde(borrow, default)]
    branches: Vec<Branch<'a>>,
    #[serde(borrow)]
    product: Option<FullName<'a>>,
}

#[derive(Deserialize)]
struct FullName<'a> {
    #[serde(borrow)]
    product_id: Cow<'a, str>,
    #[serde(borrow)]
    product_identification_helper: Option<Helper<'a>>,
}

#[derive(Deserialize)]
struct Helper<'a> {
    #[serde(borrow)]
    purl: Option<Cow<'a, str>>,
    #[serde(borrow)]
    cpe: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Relationship<'a> {
    #[serde(borrow)]
    product_reference: Cow<'a, str>,
    #[serde(borrow)]
    relates_to_product_reference: Cow<'a, str>,
    #[serde(borrow)]
    full_product_name: FullName<'a>,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    cve: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    ids: Bounded<Id<'a>, IDS_MAX>,
    #[serde(borrow, default)]
    product_status: ProductStatus<'a>,
    #[serde(borrow, default)]
    flags: Vec<Note<'a>>,
    #[serde(borrow, default)]
    threats: Vec<Note<'a>>,
    #[serde(borrow, default)]
    scores: Bounded<Score<'a>, SCORES_MAX>,
    /// What CSAF 2.1 calls them.
    #[serde(borrow, default)]
    metrics: Bounded<Metric<'a>, SCORES_MAX>,
}

#[derive(Deserialize)]
struct Score<'a> {
    #[serde(borrow)]
    cvss_v2: Option<Cvss<'a>>,
    #[serde(borrow)]
    cvss_v3: Option<Cvss<'a>>,
    #[serde(borrow, default)]
    products: Ids<'a>,
}

#[derive(Deserialize)]
struct Metric<'a> {
    #[serde(borrow)]
    content: Content<'a>,
    #[serde(borrow, default)]
    products: Ids<'a>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, rename = "cvss_v2")]
    v2: Option<Cvss<'a>>,
    #[serde(borrow, rename = "cvss_v3")]
    v3: Option<Cvss<'a>>,
    #[serde(borrow, rename = "cvss_v4")]
    v4: Option<Cvss<'a>>,
}

#[derive(Deserialize)]
struct Cvss<'a> {
    #[serde(borrow, rename = "vectorString")]
    vector: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Id<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
struct ProductStatus<'a> {
    #[serde(borrow, default)]
    fixed: Ids<'a>,
    #[serde(borrow, default)]
    first_fixed: Ids<'a>,
    #[serde(borrow, default)]
    known_not_affected: Ids<'a>,
    #[serde(borrow, default)]
    known_affected: Ids<'a>,
    #[serde(borrow, default)]
    first_affected: Ids<'a>,
    #[serde(borrow, default)]
    last_affected: Ids<'a>,
    #[serde(borrow, default)]
    under_investigation: Ids<'a>,
}

type Ids<'a> = Bounded<Cow<'a, str>, ENTRIES_MAX>;

/// A flag, or a threat, of some products.
#[derive(Deserialize)]
struct Note<'a> {
    #[serde(borrow, default)]
    label: Cow<'a, str>,
    #[serde(borrow, default)]
    category: Cow<'a, str>,
    #[serde(borrow, default)]
    details: Cow<'a, str>,
    #[serde(borrow, default)]
    product_ids: Ids<'a>,
}

/// Products by id: their package URL and CPE, and what they are a part of.
struct Products<'a> {
    purls: BTreeMap<&'a str, &'a str>,
    cpes: BTreeMap<&'a str, &'a str>,
    parts: BTreeMap<&'a str, (&'a str, &'a str)>,
}

impl<'a> Products<'a> {
    fn of(tree: Option<&'a Tree<'a>>) -> Self {
        let mut found =
            Self { purls: BTreeMap::new(), cpes: BTreeMap::new(), parts: BTreeMap::new() };
        let Some(tree) = tree else { return found };
        let mut left: Vec<&Branch<'_>> = tree.branches.iter().collect();
        while let Some(branch) = left.pop() {
            left.extend(&branch.branches);
            found.name(branch.product.as_ref());
        }
        for name in &tree.full_product_names.0 {
            found.name(Some(name));
        }
        for related in &tree.relationships.0 {
            let pair =
                (related.product_reference.as_ref(), related.relates_to_product_reference.as_ref());
            found.parts.insert(&related.full_product_name.product_id, pair);
            found.name(Some(&related.full_product_name));
        }
        found
    }

    fn name(&mut self, name: Option<&'a FullName<'a>>) {
        let Some(name) = name else { return };
        let Some(helper) = &name.product_identification_helper else { return };
        self.purls.extend(helper.purl.as_deref().map(|purl| (&*name.product_id, purl)));
        self.cpes.extend(helper.cpe.as_deref().map(|cpe| (&*name.product_id, cpe)));
    }

    /// What is a component of something is that component there, and nowhere else.
    fn read(&self, id: &str) -> Result<Product, String> {
        let none = || format!("product `{}` has no package URL", line(id));
        let own = self.purls.get(id);
        let Some((part, whole)) = self.parts.get(id) else {
            return Product::read(own.ok_or_else(none)?, &[]);
        };
        let part = self.purls.get(part).or(own).ok_or_else(none)?;
        let named = |by: &BTreeMap<&str, &'a str>| by.get(whole).copied();
        let whole = Whole { purl: named(&self.purls), cpe: named(&self.cpes), name: whole };
        Product::within(part, &whole)
    }
}

pub(super) fn read(bytes: &[u8]) -> Result<Document, VexError> {
    let file: File<'_> = parse("CSAF", bytes)?;
    let products = Products::of(file.product_tree.as_ref());
    let (mut document, mut vectors_count) = (Document::default(), 0);
    for (index, said) in file.vulnerabilities.0.iter().enumerate() {
        let ids = said.cve.iter().chain(said.ids.0.iter().map(|id| &id.text));
        let weakness: Vec<SmolStr> = ids.map(|id| id.as_ref().into()).collect();
        let stated = &said.product_status;
        let lists = [
            (&stated.fixed, Some(Status::Fixed)),
            (&stated.first_fixed, Some(Status::Fixed)),
            (&stated.known_affected, Some(Status::Affected)),
            (&stated.first_affected, Some(Status::Affected)),
            (&stated.last_affected, Some(Status::Affected)),
            (&stated.under_investigation, Some(Status::UnderInvestigation)),
            // Each of these has a reason of its own.
            (&stated.known_not_affected, None),
        ];
        let (reasons, scores) = (Reasons::of(said), Scores::of(said));
        // One statement for all products of which the same is said: each has all names of the weakness.
        let mut alike: BTreeMap<Status, (Vec<Product>, BTreeSet<&str>)> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (list, status) in lists {
            for id in &list.0 {
                if !seen.insert((status.clone(), id.as_ref())) {
                    continue;
                }
                let place = || format!("vulnerabilities[{index}], product {}", line(id));
                let status = match &status {
                    Some(status) => Ok(status.clone()),
                    None => reasons.excuse(id),
                };
                match (products.read(id), status) {
                    (Ok(product), Ok(status)) => {
                        let (products, vectors) = alike.entry(status).or_default();
                        products.push(product);
                        vectors.extend(scores.of_product(id));
                    }
                    (Err(why), _) | (_, Err(why)) => document.skipped.push(place, || why),
                }
            }
        }
        let fixed = (stated.fixed.0.len() + stated.first_fixed.0.len()) as u64;
        if fixed > 0 || scores.count > 0 {
            let (weakness, scores) = (weakness.clone(), scores.count);
            document.beyond.push(Beyond { weakness, scores, fixed });
        }
        vectors_count += alike.values().map(|(_, vectors)| vectors.len()).sum::<usize>();
        if vectors_count > VECTORS_MAX {
            let what = format!("its products have more scores than the limit of {VECTORS_MAX}");
            return Err(VexError::Form { format: "CSAF", what });
        }
        document.statements.extend(alike.into_iter().map(|(status, (products, vectors))| {
            Statement {
                document: file.document.tracking.id.as_ref().into(),
                author: line(&file.document.publisher.name).into(),
                weakness: weakness.clone(),
                products,
                status,
                at: file.document.tracking.current_release_date,
                severity: vectors.into_iter().map(str::to_owned).collect(),
            }
        }));
    }
    Ok(document)
}

/// CVSS vectors by product.
struct Scores<'a> {
    /// Those of each score.
    given: Vec<Vec<&'a str>>,
    /// Scores by their index, each once.
    by_product: BTreeMap<&'a str, Vec<usize>>,
    count: u64,
}

impl<'a> Scores<'a> {
    fn of(said: &'a Said<'a>) -> Self {
        let mut found = Self { given: Vec::new(), by_product: BTreeMap::new(), count: 0 };
        let scores = said.scores.0.iter().map(|score| {
            let Score { cvss_v2, cvss_v3, products } = score;
            ([cvss_v2, cvss_v3, &None], products)
        });
        let metrics = said.metrics.0.iter().map(|Metric { content, products }| {
            let Content { v2, v3, v4 } = content;
            ([v2, v3, v4], products)
        });
        for (index, (given, products)) in scores.chain(metrics).enumerate() {
            let given = given.into_iter().flatten();
            let mut vectors: Vec<&str> = given.filter_map(|cvss| cvss.vector.as_deref()).collect();
            found.count += vectors.len() as u64;
            vectors.retain(|vector| vector.len() <= VECTOR_BYTES_MAX);
            found.given.push(vectors);
            for id in &products.0 {
                let scores = found.by_product.entry(id).or_default();
                if scores.last() != Some(&index) {
                    scores.push(index);
                }
            }
        }
        found
    }

    fn of_product(&self, id: &str) -> impl Iterator<Item = &'a str> {
        let scores = self.by_product.get(id).into_iter().flatten();
        scores.filter_map(|index| self.given.get(*index)).flatten().copied()
    }
}

/// Flags and impacts by product, of which the profile asks for one.
struct Reasons<'a> {
    flags: BTreeMap<&'a str, &'a str>,
    impacts: BTreeMap<&'a str, &'a str>,
}

impl<'a> Reasons<'a> {
    fn of(said: &'a Said<'a>) -> Self {
        let mut found = Self { flags: BTreeMap::new(), impacts: BTreeMap::new() };
        let ids = |note: &'a Note<'a>| note.product_ids.0.iter().map(AsRef::as_ref);
        for note in &said.flags {
            for id in ids(note) {
                found.flags.entry(id).or_insert(&note.label);
            }
        }
        for note in said.threats.iter().filter(|note| note.category == "impact") {
            for id in ids(note) {
                found.impacts.entry(id).or_insert(&note.details);
            }
        }
        found
    }

    /// Why a product is not affected.
    fn excuse(&self, id: &str) -> Result<Status, String> {
        let words = [&self.flags, &self.impacts].into_iter().filter_map(|by| by.get(id));
        let words: Vec<String> =
            words.map(|word| line(word)).filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            return Err("says known_not_affected and not why; add a flag or an impact".into());
        }
        Ok(Status::NotAffected { justification: words.join(": ") })
    }
}
