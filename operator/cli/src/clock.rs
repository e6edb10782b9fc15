//! The one place of the command that asks the machine for the time.

use jiff::Timestamp;

/// The time now, by the machine's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the room in which the clock is read; everything else is told the time"
)]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Time that passes, for the pace of progress messages.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    started: std::time::Instant,
}

impl Stopwatch {
    /// Starts.
    #[expect(clippy::disallowed_methods, reason = "see `now`")]
    pub fn start() -> Self {
        Self { started: std::time::Instant::now() }
    }

    /// Whole seconds since the start.
    pub fn seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }
}
