//! Why a version could not be read.

use smol_str::SmolStr;

use super::Scheme;

/// Longest version that is read, in bytes. The longest in Debian, AlmaLinux and Bitnami together has 66; Maven and Go allow more, nobody uses it.
pub const VERSION_BYTES_MAX: usize = 512;

/// A version that its scheme cannot order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Longer than [`VERSION_BYTES_MAX`].
    #[error("a {scheme} version of {bytes} bytes is over the limit of {VERSION_BYTES_MAX} bytes")]
    TooLong {
        /// The scheme that was asked.
        scheme: Scheme,
        /// Its length.
        bytes: usize,
    },
    /// Nothing there.
    #[error("an empty text is no {scheme} version")]
    Empty {
        /// The scheme that was asked.
        scheme: Scheme,
    },
    /// A character that no version holds.
    #[error(
        "the {scheme} version `{version}` has {found:?} at byte {at}; only printable ASCII without blanks is read"
    )]
    Character {
        /// The scheme that was asked.
        scheme: Scheme,
        /// The version as given.
        version: SmolStr,
        /// Where, in bytes.
        at: usize,
        /// What was found.
        found: char,
    },
    /// Not of the scheme's form.
    #[error("`{version}` is no {scheme} version: {expected}")]
    Form {
        /// The scheme that was asked.
        scheme: Scheme,
        /// The version as given.
        version: SmolStr,
        /// What would be right.
        expected: &'static str,
    },
}

impl VersionError {
    /// A version that is not of its scheme's form, with what would be right.
    pub(super) fn form(scheme: Scheme, version: &str, expected: &'static str) -> Self {
        Self::Form { scheme, version: version.into(), expected }
    }
}
