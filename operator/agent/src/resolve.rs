//! Who is asked what a package manager would do, and why it did not say.

use crate::{
    chamber::Chamber,
    command::CallError,
    root::{ReadError, Root},
};

/// The chamber where the host's own tools can be run in it, furnished; none where they cannot.
pub fn chamber<'a>(
    root: &Root,
    chamber: Option<&'a Chamber>,
) -> Result<Option<&'a Chamber>, ResolveError> {
    let ready = chamber.filter(|chamber| chamber.is_ready());
    if let Some(chamber) = ready {
        chamber.furnish(root)?;
    }
    Ok(ready)
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// There is no tool to ask.
    #[error("could not resolve: {tool} {why}")]
    NoTool {
        /// The tool.
        tool: &'static str,
        /// Why there is none, and what to do about it.
        why: String,
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
    /// What must stay would go.
    #[error("nothing would be removed: {0}")]
    MustStay(String),
    /// The tool found no way.
    #[error("could not resolve: {0}")]
    Refused(String),
}

impl ResolveError {
    /// No tool is there: neither the host's, for want of what `chamber` says, nor this machine's.
    pub fn no_tool(tool: &'static str, chamber: Option<&Chamber>) -> Self {
        let why = match chamber {
            None => "is not installed here".to_owned(),
            Some(chamber) if chamber.is_ready() => "is not installed on the host".to_owned(),
            Some(chamber) => format!(
                "is not installed here, and the host's cannot be run: its /usr is not mounted at {}, \
                 or this is not root",
                chamber.programs().display()
            ),
        };
        Self::NoTool { tool, why }
    }
}
