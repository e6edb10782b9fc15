//! The one place of this crate that asks the machine's clock or lets time pass.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// How long to wait between two looks at something that gives no sign: another program's lock, a unit's state.
const BETWEEN_LOOKS: Duration = Duration::from_millis(40);

/// The present.
#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A moment from which to measure.
#[derive(Clone, Copy, Debug)]
pub struct Moment(Instant);

impl Moment {
    /// This moment.
    #[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
    pub fn now() -> Self {
        Self(Instant::now())
    }

    /// Time since then.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Lets a moment pass.
#[expect(clippy::disallowed_methods, reason = "other programs give no sign to wait for")]
pub fn pause() {
    std::thread::sleep(BETWEEN_LOOKS);
}
