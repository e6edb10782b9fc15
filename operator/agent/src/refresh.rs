//! Indices of the scanner's own: what the host's package manager would fetch, by the host's own tools, on a host that nobody changes for it.
//!
//! They lie in the [`Chamber`] in which the tools run. What a repository has published, and the tool could verify, takes its place there;
//! what could not be fetched or verified stays as it was, and is told. All indices count as refreshed only when every repository
//! answered. Where the host's own are newer, those are read.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    apt,
    chamber::Chamber,
    command::CallError,
    dpkg,
    resolve::ResolveError,
    root::{ReadError, Root},
    rpm::{self, Rpm},
    staging::Place,
    unread::{Unread, line},
};

/// File that says of when the indices are.
const STATE: &str = "refreshed.json";
const STATE_BYTES_MAX: u64 = 64 << 10;

/// Why the indices were not refreshed, or not all of them.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// There is nothing to do it with.
    #[error("the host has no {0}, or its /usr is not mounted in the root for refreshes")]
    NoTool(&'static str),
    /// A host of another kind.
    #[error("{0}")]
    NotSupported(&'static str),
    /// The root could not be made.
    #[error("{what} could not be copied ({source})")]
    Copy {
        /// What.
        what: String,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// The tool gave no answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The tool could not fetch or verify everything.
    #[error("{0}")]
    Refused(String),
}

impl From<ResolveError> for RefreshError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::NoTool { tool, .. } => Self::NoTool(tool),
            ResolveError::NotSupported(what) => Self::NotSupported(what),
            ResolveError::Copy { what, source } => Self::Copy { what, source },
            ResolveError::Call(error) => Self::Call(error),
            ResolveError::Weakened(why)
            | ResolveError::MustStay(why)
            | ResolveError::Refused(why) => Self::Refused(why),
        }
    }
}

/// Indices that are refreshed in a chamber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own(Chamber);

/// Own indices.
#[derive(Debug)]
pub struct Indices {
    /// The root below which they are, by the same paths as the host's.
    pub root: Root,
    /// As of when they are, in seconds since 1970.
    pub as_of: i64,
}

/// What is known of the own indices.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// When all of them were last known to be the newest, in seconds since 1970; 0 where there are none.
    pub as_of: i64,
    /// What went wrong in the last refresh.
    pub problem: Option<String>,
}

impl State {
    /// Writes it beside the indices.
    pub fn put(&self, place: &Place) -> Result<(), RefreshError> {
        Ok(place.write(STATE, &serde_json::to_string(self).unwrap_or_default())?)
    }
}

impl Own {
    /// In this chamber.
    pub fn within(chamber: Chamber) -> Self {
        Self(chamber)
    }

    /// In this folder, whose `usr` is the host's.
    pub fn at(folder: PathBuf) -> Self {
        Self(Chamber::at(folder))
    }

    /// As of when the own indices are, in seconds since 1970; `None` before the first refresh.
    pub fn as_of(&self) -> Option<i64> {
        self.state().map(|state| state.as_of).filter(|as_of| *as_of > 0)
    }

    /// The own indices. What the last refresh could not do is noted.
    pub fn indices(&self, unread: &mut Unread) -> Option<Indices> {
        let state = self.state()?;
        if let Some(problem) = &state.problem {
            unread.note("refresh of the package indices", problem);
        }
        let root = Root::open(self.0.path()).ok().filter(|_| state.as_of > 0)?;
        Some(Indices { root, as_of: state.as_of })
    }

    /// Refreshes them; whether there was anything to refresh: not on a host without dpkg and rpm, nor on one whose repositories are all
    /// on its own disk. A failure is remembered, and told with every scan until a refresh succeeds.
    pub fn refresh(&self, host: &Root, now: Timestamp) -> Result<bool, RefreshError> {
        let place = Place::of(self.0.path().to_owned());
        let mut state = self.state().unwrap_or_default();
        let outcome = self.run(host, &mut state);
        // Credentials for a repository lie here no longer than they are needed.
        let cleared = place.remove("etc").map_err(RefreshError::from);
        state.problem = outcome.as_ref().err().map(|error| line(&error.to_string()));
        if let Ok(true) = outcome {
            state.as_of = now.as_second();
        }
        state.put(&place).and(cleared).and(outcome)
    }

    fn run(&self, host: &Root, state: &mut State) -> Result<bool, RefreshError> {
        // What cannot be read is told by the scan itself.
        let mut unread = Unread::default();
        if dpkg::is_here(host) {
            let database = dpkg::read(host, &mut unread);
            if !database.packages.is_empty() {
                return apt::refresh::run(&self.0, host, &database, state);
            }
        }
        match Rpm::read(host, None, &mut unread) {
            Some(rpm) => rpm::refresh::run(&self.0, host, &rpm, state),
            None => Ok(false),
        }
    }

    fn state(&self) -> Option<State> {
        let text = Root::open(self.0.path()).ok()?.text(STATE, STATE_BYTES_MAX).ok()?;
        serde_json::from_str(&text).ok()
    }
}
