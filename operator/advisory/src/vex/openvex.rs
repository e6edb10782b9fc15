//! OpenVEX (<https://github.com/openvex/spec/blob/main/OPENVEX-SPEC.md>).

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Document, ENTRIES_MAX, Product, Statement, Status, VexError, line, parse, product::Shared,
};
use crate::limits::Bounded;

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow, default, rename = "@id")]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    author: Cow<'a, str>,
    timestamp: Option<Timestamp>,
    last_updated: Option<Timestamp>,
    /// Without them it is no such document: an empty list says nothing, no list says that something else was read.
    #[serde(borrow)]
    statements: Bounded<Said<'a>, ENTRIES_MAX>,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    vulnerability: Weakness<'a>,
    timestamp: Option<Timestamp>,
    last_updated: Option<Timestamp>,
    #[serde(borrow, default)]
    products: Bounded<Thing<'a>, ENTRIES_MAX>,
    /// Up to 0.0.1 beside the products, of all of them.
    #[serde(borrow, default)]
    subcomponents: Bounded<Thing<'a>, ENTRIES_MAX>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    justification: Option<Cow<'a, str>>,
    #[serde(borrow)]
    impact_statement: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Weakness<'a> {
    /// Up to 0.0.1.
    Name(#[serde(borrow)] Cow<'a, str>),
    Named {
        #[serde(borrow, default)]
        name: Cow<'a, str>,
        #[serde(borrow, default)]
        aliases: Vec<Cow<'a, str>>,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Thing<'a> {
    /// Up to 0.0.1.
    Purl(#[serde(borrow)] Cow<'a, str>),
    Identified {
        #[serde(borrow, rename = "@id")]
        id: Option<Cow<'a, str>>,
        #[serde(borrow)]
        identifiers: Option<Identifiers<'a>>,
        #[serde(borrow, default)]
        subcomponents: Vec<Thing<'a>>,
    },
}

#[derive(Deserialize)]
struct Identifiers<'a> {
    #[serde(borrow)]
    purl: Option<Cow<'a, str>>,
}

impl Thing<'_> {
    fn purl(&self) -> &str {
        match self {
            Self::Purl(purl) => purl,
            Self::Identified { id, identifiers, .. } => {
                let purl = identifiers.as_ref().and_then(|known| known.purl.as_deref());
                purl.or(id.as_deref()).unwrap_or_default()
            }
        }
    }

    fn within(&self) -> &[Self] {
        match self {
            Self::Purl(_) => &[],
            Self::Identified { subcomponents, .. } => subcomponents,
        }
    }
}

pub(super) fn read(bytes: &[u8]) -> Result<Document, VexError> {
    let file: File<'_> = parse("OpenVEX", bytes)?;
    let mut document = Document::default();
    let said_at = file.last_updated.or(file.timestamp);
    for (index, said) in file.statements.0.iter().enumerate() {
        let place = || format!("statements[{index}]");
        let status = match status(said) {
            Ok(status) => status,
            Err(why) => {
                document.skipped.push(place, || why);
                continue;
            }
        };
        let shared: Vec<&str> = said.subcomponents.0.iter().map(Thing::purl).collect();
        let shared = Shared::read(&shared);
        let mut products = Vec::new();
        for product in &said.products.0 {
            let parts: Vec<&str> = product.within().iter().map(Thing::purl).collect();
            match Product::sharing(product.purl(), &parts, &shared) {
                Ok(product) => products.push(product),
                Err(why) => document.skipped.push(place, || why),
            }
        }
        let weakness = match &said.vulnerability {
            Weakness::Name(name) => vec![name.as_ref().into()],
            Weakness::Named { name, aliases } => {
                std::iter::once(name).chain(aliases).map(|name| name.as_ref().into()).collect()
            }
        };
        document.statements.push(Statement {
            document: file.id.as_ref().into(),
            author: line(&file.author).into(),
            weakness,
            products,
            status,
            at: said.last_updated.or(said.timestamp).or(said_at),
            severity: Vec::new(), // It has no field for one.
        });
    }
    document.statements.retain(|statement| !statement.products.is_empty());
    Ok(document)
}

fn status(said: &Said<'_>) -> Result<Status, String> {
    Ok(match said.status.as_ref() {
        "not_affected" => {
            let words = [&said.justification, &said.impact_statement];
            let words: Vec<String> = words.into_iter().flatten().map(|word| line(word)).collect();
            if words.iter().all(String::is_empty) {
                return Err(
                    "says not_affected and not why; add a justification or an impact_statement"
                        .into(),
                );
            }
            Status::NotAffected { justification: words.join(": ") }
        }
        "fixed" => Status::Fixed,
        "affected" => Status::Affected,
        "under_investigation" => Status::UnderInvestigation,
        other => {
            return Err(format!(
                "`{}` is no status; write not_affected, affected, fixed or under_investigation",
                line(other)
            ));
        }
    })
}
