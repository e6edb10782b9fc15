//! What a source held that could not be used: named up to a limit, counted always.

/// Skipped parts that are kept by name; of more only the count is kept.
pub const SKIPPED_NAMED_MAX: usize = 100;

/// One part of a document that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// Where it stands: `line 17`, `vulnerabilities[3]`, `components[12]`.
    pub place: String,
    /// What is wrong with it and what would be right.
    pub why: String,
}

/// All that was skipped in one document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// The first [`SKIPPED_NAMED_MAX`].
    pub named: Vec<Skip>,
    /// All of them.
    pub count: u64,
}

impl Skipped {
    pub(crate) fn push(&mut self, place: impl FnOnce() -> String, why: impl FnOnce() -> String) {
        self.count += 1;
        if self.named.len() < SKIPPED_NAMED_MAX {
            self.named.push(Skip { place: place(), why: why() });
        }
    }
}
