//! How far a long run has come, on stderr: one line that is written over on a terminal, a line now and then elsewhere.

use std::{
    io::{IsTerminal as _, Write as _},
    path::Path,
};

use jiff::Timestamp;

use crate::clock::Stopwatch;

/// Runs shorter than this say nothing.
const QUIET_SECONDS: u64 = 2;
/// Seconds between two lines where nothing can be written over.
const LINE_SECONDS: u64 = 10;

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
        self.instants += 1;
        let seconds = self.watch.seconds();
        let pause = if self.terminal { 1 } else { LINE_SECONDS };
        if seconds < QUIET_SECONDS.max(self.told_seconds + pause) {
            return;
        }
        self.told_seconds = seconds;
        let line =
            format!("simulating {}: at {at}, {} instants, {seconds} s", self.folder, self.instants);
        // Progress that cannot be shown is no reason to stop.
        let _ = if self.terminal {
            write!(std::io::stderr(), "\r\x1b[2K{line}")
        } else {
            writeln!(std::io::stderr(), "{line}")
        };
    }

    /// Takes the line away again.
    pub fn done(self) {
        if self.terminal && self.told_seconds > 0 {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
    }
}
