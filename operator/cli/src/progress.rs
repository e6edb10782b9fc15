//! How far a long run has come: one line on stderr that is written over, and only where somebody sits before it.

use std::{
    io::{IsTerminal as _, Write as _},
    path::Path,
};

use jiff::Timestamp;

use crate::clock::Stopwatch;

/// Runs shorter than this say nothing.
const QUIET_SECONDS: u64 = 2;

/// How far a run has come.
pub struct Progress {
    folder: String,
    watch: Stopwatch,
    terminal: bool,
    instants: u64,
    told_seconds: u64,
}

impl Progress {
    /// Begins.
    pub fn start(folder: &Path) -> Self {
        Self {
            folder: folder.display().to_string(),
            watch: Stopwatch::start(),
            terminal: std::io::stderr().is_terminal(),
            instants: 0,
            told_seconds: 0,
        }
    }

    /// The virtual clock has reached an instant.
    pub fn reached(&mut self, at: Timestamp) {
        if !self.terminal {
            return;
        }
        self.instants += 1;
        let seconds = self.watch.seconds();
        if seconds < QUIET_SECONDS || seconds == self.told_seconds {
            return;
        }
        self.told_seconds = seconds;
        let (folder, instants) = (&self.folder, self.instants);
        // Progress that cannot be shown is no reason to stop.
        let _ = write!(
            std::io::stderr(),
            "\r\x1b[2Ksimulating {folder}: at {at}, {instants} instants, {seconds} s"
        );
    }

    /// Takes the line away again.
    pub fn done(self) {
        if self.told_seconds > 0 {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
    }
}
