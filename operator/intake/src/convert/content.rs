//! Content-addressed objects: their digests are recomputed before one is believed.

use hozen_advisory::package::{PackageSet, TextError, Transaction, digest};
use hozen_api::{package_set as api, transaction};

use super::Refusal;
use crate::problem::told;

/// A package set whose content is what its name says. `part` gives the sets that a set in parts is made of.
pub fn package_set(
    object: &api::PackageSet,
    part: &mut dyn FnMut(&str) -> Option<PackageSet>,
) -> Result<PackageSet, Vec<Refusal>> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    if object.spec.parts.is_empty() {
        return PackageSet::verify(name, &text(&object.spec.packages))
            .map_err(|error| vec![refusal("spec.packages", &error)]);
    }
    let mut parts = Vec::new();
    for (index, digest) in object.spec.parts.iter().enumerate() {
        let Some(set) = part(digest) else {
            let message = format!("there is no PackageSet {digest}");
            return Err(vec![Refusal { path: format!("spec.parts[{index}]"), message }]);
        };
        parts.push(set);
    }
    PackageSet::join(name, &parts).map_err(|error| vec![refusal("spec.parts", &error)])
}

/// A transaction whose content is what its name says.
pub fn transaction(object: &transaction::Transaction) -> Result<Transaction, Vec<Refusal>> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    Transaction::verify(name, &text(&object.spec.changes))
        .map_err(|error| vec![refusal("spec.changes", &error)])
}

/// Whether a package set has the name of its content, whatever that content means. One that has not keeps the name from what belongs there.
pub fn package_set_is_named(object: &api::PackageSet) -> bool {
    let api::PackageSetSpec { packages, parts, count: _, distro: _ } = &object.spec;
    let lines = if parts.is_empty() { packages } else { parts };
    object.metadata.name.as_deref() == Some(digest(&text(lines)).as_str())
}

/// Whether a transaction has the name of its content, likewise.
pub fn transaction_is_named(object: &transaction::Transaction) -> bool {
    object.metadata.name.as_deref() == Some(digest(&text(&object.spec.changes)).as_str())
}

/// The canonical text: one a line, each ended by a line feed.
fn text(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        text.push_str(line);
        text.push('\n');
        text
    })
}

/// The error with its cause, at the line that it names.
fn refusal(path: &str, error: &TextError) -> Refusal {
    let line = match error {
        TextError::Unsorted { line }
        | TextError::Purl { line, .. }
        | TextError::Change { line, .. } => Some(*line),
        TextError::TooLong { .. }
        | TextError::TooMany { .. }
        | TextError::Empty
        | TextError::Unended
        | TextError::Mismatch { .. } => None,
    };
    let path =
        line.map_or_else(|| path.to_owned(), |line| format!("{path}[{}]", line.saturating_sub(1)));
    let message = told(error);
    Refusal { path, message }
}
