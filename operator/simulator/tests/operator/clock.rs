//! The clock of one simulated machine.

use std::time::Duration;

use hozen_controller::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// It goes with tokio's paused clock; its wall clock may be wrong by some seconds.
#[derive(Clone, Copy, Debug)]
pub struct MachineClock {
    epoch: Timestamp,
    began: Instant,
    wrong_by: SignedDuration,
}

impl MachineClock {
    /// A machine that shows `epoch`, and so much more or less, now.
    pub fn new(epoch: Timestamp, wrong_by: SignedDuration) -> Self {
        Self { epoch, began: now(), wrong_by }
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(now() - self.began).unwrap_or_default();
        self.epoch + passed + self.wrong_by
    }

    fn since_boot(&self) -> Duration {
        // It was not started this very second.
        now() - self.began + Duration::from_hours(1)
    }
}

/// The paused clock's time.
#[expect(clippy::disallowed_methods, reason = "the simulated machine's own clock")]
pub fn now() -> Instant {
    Instant::now()
}
