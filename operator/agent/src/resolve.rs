//! Why a package manager did not say what it would do.

use crate::{command::CallError, root::ReadError};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The tool is not on this machine.
    #[error("could not resolve: {tool} is not installed here")]
    NoTool {
        /// The tool.
        tool: &'static str,
    },
    /// Nothing can be asked so.
    #[error("could not resolve: {0}")]
    NotSupported(&'static str),
    /// The copy could not be made.
    #[error("could not resolve: {what} could not be copied ({source})")]
    Copy {
        /// What.
        what: String,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// The tool gave no answer.
    #[error("could not resolve: {0}")]
    Call(#[from] CallError),
    /// A repository would be believed without its signature: whatever were planned, the node would refuse to do it.
    #[error("nothing would be installed: {0}")]
    Weakened(String),
    /// The tool found no way.
    #[error("could not resolve: {0}")]
    Refused(String),
}
