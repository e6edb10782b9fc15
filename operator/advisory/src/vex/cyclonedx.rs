//! VEX in CycloneDX, JSON: `vulnerabilities` with an analysis (<https://cyclonedx.org/docs/1.6/json/#vulnerabilities>).

use std::{borrow::Cow, collections::BTreeMap};

use jiff::Timestamp;
use serde::Deserialize;
use smol_str::SmolStr;

use super::{
    Beyond, Document, ENTRIES_MAX, Product, SCORES_MAX, Statement, Status, VexError, line, parse,
    product::Whole,
};
use crate::limits::Bounded;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    #[serde(borrow, default)]
    serial_number: Cow<'a, str>,
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
    #[serde(borrow, default)]
    components: Bounded<Component<'a>, ENTRIES_MAX>,
    #[serde(borrow, default)]
    vulnerabilities: Bounded<Said<'a>, ENTRIES_MAX>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    timestamp: Option<Timestamp>,
    #[serde(borrow)]
    component: Option<Component<'a>>,
    #[serde(borrow)]
    supplier: Option<Party<'a>>,
}

#[derive(Deserialize)]
struct Party<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Component<'a> {
    #[serde(borrow, default, rename = "bom-ref")]
    reference: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    purl: Option<Cow<'a, str>>,
    #[serde(borrow)]
    cpe: Option<Cow<'a, str>>,
    /// What it is assembled of.
    #[serde(borrow, default)]
    components: Vec<Component<'a>>,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    references: Vec<Alias<'a>>,
    updated: Option<Timestamp>,
    #[serde(borrow, default)]
    ratings: Bounded<Rating<'a>, SCORES_MAX>,
    #[serde(borrow)]
    analysis: Option<Analysis<'a>>,
    #[serde(borrow, default)]
    affects: Bounded<Target<'a>, ENTRIES_MAX>,
}

#[derive(Deserialize)]
struct Rating<'a> {
    #[serde(borrow)]
    vector: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Alias<'a> {
    #[serde(borrow, default)]
    id: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Analysis<'a> {
    #[serde(borrow)]
    state: Option<Cow<'a, str>>,
    #[serde(borrow)]
    justification: Option<Cow<'a, str>>,
    #[serde(borrow)]
    detail: Option<Cow<'a, str>>,
    last_updated: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Target<'a> {
    #[serde(borrow, rename = "ref")]
    reference: Cow<'a, str>,
}

pub(super) fn read(bytes: &[u8]) -> Result<Document, VexError> {
    let file: File<'_> = parse("CycloneDX", bytes)?;
    let metadata = file.metadata.as_ref();
    let author = metadata.and_then(|metadata| metadata.supplier.as_ref());
    let author = author.map_or_else(String::new, |party| line(&party.name));
    let parts = Parts::of(&file);
    let mut document = Document::default();
    for (index, said) in file.vulnerabilities.0.iter().enumerate() {
        let place = || format!("vulnerabilities[{index}]");
        // Without an analysis it is a finding of somebody's scanner and no statement.
        let Some(analysis) = said.analysis.as_ref().filter(|analysis| analysis.state.is_some())
        else {
            document.findings += 1;
            continue;
        };
        let status = match status(analysis) {
            Ok(status) => status,
            Err(why) => {
                document.skipped.push(place, || why);
                continue;
            }
        };
        let mut products = Vec::new();
        for target in &said.affects.0 {
            match parts.read(&target.reference) {
                Ok(product) => products.push(product),
                Err(why) => document.skipped.push(place, || why),
            }
        }
        if products.is_empty() {
            continue;
        }
        let aliases = said.references.iter().map(|alias| &alias.id);
        let weakness = std::iter::once(&said.id).chain(aliases).map(|id| id.as_ref().into());
        let weakness: Vec<SmolStr> = weakness.collect();
        let vectors = said.ratings.0.iter().filter_map(|rating| rating.vector.as_deref());
        let severity: Vec<String> = vectors.map(str::to_owned).collect();
        if !severity.is_empty() {
            let scores = severity.len() as u64;
            document.beyond.push(Beyond { weakness: weakness.clone(), scores, fixed: 0 });
        }
        document.statements.push(Statement {
            document: file.serial_number.as_ref().into(),
            author: author.as_str().into(),
            weakness,
            products,
            status,
            at: analysis.last_updated.or(said.updated).or(metadata.and_then(|m| m.timestamp)),
            severity,
        });
    }
    Ok(document)
}

/// Components by reference, and the product that they are in.
struct Parts<'a> {
    known: BTreeMap<&'a str, &'a Component<'a>>,
    subject: Option<&'a Component<'a>>,
}

impl<'a> Parts<'a> {
    fn of(file: &'a File<'a>) -> Self {
        let subject = file.metadata.as_ref().and_then(|metadata| metadata.component.as_ref());
        let mut known = BTreeMap::new();
        let inner = subject.into_iter().flat_map(|subject| &subject.components);
        let mut left: Vec<&Component<'_>> = file.components.0.iter().chain(inner).collect();
        while let Some(component) = left.pop() {
            left.extend(&component.components);
            known.insert(component.reference.as_ref(), component);
        }
        Self { known, subject }
    }

    /// What a reference means: the product itself; a component, which is that component in that product and nowhere else, unless the
    /// document has none; or, by its package URL, something that the document does not list.
    fn read(&self, reference: &str) -> Result<Product, String> {
        let subject = self.subject.filter(|subject| subject.reference == reference);
        let own = |component: &Component<'a>| {
            let none = || format!("component `{}` has no package URL", line(reference));
            component.purl.as_deref().map(str::to_owned).ok_or_else(none)
        };
        if let Some(subject) = subject {
            return Product::read(&own(subject)?, &[]);
        }
        let (purl, whole) = match (self.known.get(reference), self.subject) {
            (Some(component), whole) => (own(component)?, whole),
            // The components of another bill of materials are those of its product.
            (None, whole) => match fragment(reference) {
                Some(_) if whole.is_none() => {
                    return Err(format!(
                        "`{}` is a component of the product of another bill of materials, which is not named here: name it in \
                         metadata.component; nothing is excused by it",
                        line(reference)
                    ));
                }
                Some(purl) => (purl, whole),
                None => (reference.to_owned(), None),
            },
        };
        let Some(whole) = whole else { return Product::read(&purl, &[]) };
        let (named, cpe) = (whole.purl.as_deref(), whole.cpe.as_deref());
        let name = named.unwrap_or(&whole.name);
        Product::within(&purl, &Whole { purl: named, cpe, name })
    }
}

/// The package URL behind the `#` of a link into another bill of materials.
fn fragment(reference: &str) -> Option<String> {
    let (_, fragment) = reference.strip_prefix("urn:cdx:")?.split_once('#')?;
    // In a link the URL is written with its reserved characters escaped once more.
    let plain = [
        ("%3A", ":"),
        ("%2F", "/"),
        ("%40", "@"),
        ("%3F", "?"),
        ("%3D", "="),
        ("%26", "&"),
        ("%2B", "+"),
    ];
    if fragment.starts_with("pkg:") {
        return Some(fragment.to_owned());
    }
    Some(plain.iter().fold(fragment.to_owned(), |text, (from, to)| text.replace(from, to)))
}

fn status(analysis: &Analysis<'_>) -> Result<Status, String> {
    let state = analysis.state.as_deref().unwrap_or_default();
    Ok(match state {
        "not_affected" | "false_positive" => {
            let words = [&analysis.justification, &analysis.detail];
            let words: Vec<String> = words.into_iter().flatten().map(|word| line(word)).collect();
            if words.iter().all(String::is_empty) {
                return Err(format!("says {state} and not why; add a justification or a detail"));
            }
            Status::NotAffected { justification: words.join(": ") }
        }
        "resolved" | "resolved_with_pedigree" => Status::Fixed,
        "exploitable" => Status::Affected,
        "in_triage" => Status::UnderInvestigation,
        other => return Err(format!("`{}` is no state of an analysis", line(other))),
    })
}
