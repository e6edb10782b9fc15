//! Statements about exploitability (VEX): whether a product is affected by a weakness, as its maker, or who runs it, says.
//!
//! OpenVEX 0.0.1 to 0.2.0, CycloneDX 1.4 to 1.7 and CSAF 2.0, all JSON. A statement covers exactly the products that it names, in
//! exactly the versions that it names: one that names no version is left out and said so, for it would excuse every later one too.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use jiff::Timestamp;
use smol_str::{SmolStr, StrExt as _};

use crate::{
    form::Form,
    limits::{LimitHit, guard_json},
    notice::Notice,
    package::Package,
    skipped::Skipped,
};

mod csaf;
mod cyclonedx;
mod openvex;
mod product;

pub use product::Product;

/// Largest document, in bytes: those of whole distributions are zipped by the thousand, one each.
pub const DOCUMENT_BYTES_MAX: u64 = 64 << 20;
/// Most statements, products and the like in one list of a document.
pub const ENTRIES_MAX: usize = 200_000;
/// Most scores of one weakness: one by each of those who rate it, in each version of CVSS.
const SCORES_MAX: usize = 1_000;
/// Justifications, impacts and the like are cut there, in characters: they are shown in one line.
const TEXT_CHARS_MAX: usize = 300;

/// What is said of one weakness in some products.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The document that says it, by its own id.
    pub document: SmolStr,
    /// Who says it.
    pub author: SmolStr,
    /// Names of the weakness: all name the same.
    pub weakness: Vec<SmolStr>,
    /// In what.
    pub products: Vec<Product>,
    /// What is said.
    pub status: Status,
    /// When it was said; of two that disagree the later one counts.
    pub at: Option<Timestamp>,
    /// CVSS vectors that its document gives of the weakness in these products.
    pub severity: Vec<String>,
}

/// What is said of a weakness in a product. The order is from best to worst: of two said at one time the worse counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It has the weakness fixed.
    Fixed,
    /// It does not have it, or nobody can get at it; with why, which is never empty.
    NotAffected {
        /// `vulnerable_code_not_present` and the like, or the author's own words.
        justification: String,
    },
    /// Nobody knows yet: never taken for "not affected".
    UnderInvestigation,
    /// It has it.
    Affected,
}

impl Status {
    /// Whether nothing is to be done for it.
    pub const fn excuses(&self) -> bool {
        match self {
            Self::Fixed | Self::NotAffected { .. } => true,
            Self::UnderInvestigation | Self::Affected => false,
        }
    }
}

/// What a document says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Its statements.
    pub statements: Vec<Statement>,
    /// Statements and products that could not be used.
    pub skipped: Skipped,
    /// What it tells of weaknesses besides, of each that it tells anything of.
    pub beyond: Vec<Beyond>,
    /// Findings without an analysis: somebody's scanner told them, and nobody states anything of them.
    pub findings: u64,
}

/// What a document tells of one weakness beside what it states: statements are no notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beyond {
    /// Names of the weakness.
    pub weakness: Vec<SmolStr>,
    /// CVSS scores.
    pub scores: u64,
    /// Products that have it fixed. Which versions before them are affected is not stated.
    pub fixed: u64,
}

/// Why a document could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VexError {
    /// Too large, too deep, too long.
    #[error(transparent)]
    Limit(#[from] LimitHit),
    /// Not JSON, or not such a document.
    #[error("it is no {format} document: {what}")]
    Form {
        /// OpenVEX, CycloneDX or CSAF.
        format: &'static str,
        /// The parser's words, with line and column.
        what: String,
    },
    /// None of the three.
    #[error("it is neither OpenVEX nor CycloneDX nor CSAF")]
    Other,
}

/// Reads a document of any of the three formats.
pub fn read(bytes: &[u8]) -> Result<Document, VexError> {
    guard_json(bytes, DOCUMENT_BYTES_MAX)?;
    match Form::of(bytes) {
        Some(Form::OpenVex) => openvex::read(bytes),
        Some(Form::CycloneDx) => cyclonedx::read(bytes),
        Some(Form::Csaf) => csaf::read(bytes),
        Some(Form::Osv | Form::Kev | Form::Spdx) | None => Err(VexError::Other),
    }
}

fn parse<'a, T: serde::Deserialize<'a>>(
    format: &'static str,
    bytes: &'a [u8],
) -> Result<T, VexError> {
    serde_json::from_slice(bytes)
        .map_err(|error| VexError::Form { format, what: error.to_string() })
}

/// A text of strangers in one line of bounded length.
fn line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect()
}

/// Statements, found by weakness.
#[derive(Clone, Debug, Default)]
pub struct Statements {
    all: Vec<Statement>,
    /// In lower case: publishers do not agree on that of ids.
    by_weakness: BTreeMap<SmolStr, Vec<usize>>,
    /// Names of packages, and digests of images, that any of them names.
    named: BTreeSet<SmolStr>,
}

/// Images whose packages a set is; none for what is on a node.
pub type Images = BTreeSet<SmolStr>;

impl Statements {
    /// Sorts statements by weakness.
    pub fn of(all: Vec<Statement>) -> Self {
        let mut by_weakness: BTreeMap<SmolStr, Vec<usize>> = BTreeMap::new();
        for (index, statement) in all.iter().enumerate() {
            for name in &statement.weakness {
                by_weakness.entry(name.to_lowercase_smolstr()).or_default().push(index);
            }
        }
        let products = all.iter().flat_map(|statement| &statement.products);
        let named = products.flat_map(Product::names).cloned().collect();
        Self { all, by_weakness, named }
    }

    /// Whether anything is said of a package, or of the images that it is in: most packages are spoken of nowhere.
    pub fn concerns(&self, package: &Package, images: &Images) -> bool {
        self.named.contains(&package.name)
            || self.named.contains(package.source().0)
            || images.iter().any(|digest| self.named.contains(digest))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Statement> {
        self.all.iter()
    }

    /// What is said of a package and a notice: of each CVE that it stands for the later of what is said of the notice itself and of
    /// the CVE, and of all these the worst. A notice that closes four weaknesses is not excused by what is said of three, but has
    /// what one of them has.
    pub fn said(&self, notice: &Notice, package: &Package, images: &Images) -> Option<&Statement> {
        let own = self.of_weakness(&notice.id, package, images);
        let each = notice.cves().map(|cve| {
            self.of_weakness(cve, package, images).into_iter().chain(own).max_by(|a, b| later(a, b))
        });
        let each: Vec<Option<&Statement>> = each.collect();
        if each.is_empty() {
            return own;
        }
        let all = each.iter().all(Option::is_some);
        let counts = |said: &&Statement| all || !said.status.excuses();
        let said = each.into_iter().flatten().filter(counts);
        said.max_by(|a, b| a.status.cmp(&b.status))
    }

    fn of_weakness(&self, id: &str, package: &Package, images: &Images) -> Option<&Statement> {
        let said = self
            .by_weakness
            .get(&id.to_lowercase_smolstr())?
            .iter()
            .filter_map(|index| self.all.get(*index));
        let about = said.filter(|statement| {
            statement.products.iter().any(|product| product.covers(package, images))
        });
        about.max_by(|a, b| later(a, b))
    }
}

/// Of two that disagree the later one counts, of one time the worse.
fn later(a: &Statement, b: &Statement) -> Ordering {
    (a.at, &a.status).cmp(&(b.at, &b.status))
}
