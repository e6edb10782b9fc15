//! The one place of this crate that asks the machine's clock or waits.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::error::Error;

/// How long to wait between two looks at something that will change soon.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// This machine's time of day.
#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A moment from which to measure.
#[derive(Debug, Clone, Copy)]
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

/// This moment as the API writes it, to the second.
pub fn timestamp() -> String {
    let now = now();
    now.round(jiff::Unit::Second).unwrap_or(now).to_string()
}

/// Lets time pass until so long after `start`.
pub async fn until(start: Moment, after: Duration) {
    tokio::time::sleep(after.saturating_sub(start.elapsed())).await;
}

/// Lets time pass until `look` returns something or `limit` is over.
///
/// `look` gives `Ok(Err(state))` as long as it has to be waited for; `state` is what the error says was seen last.
pub fn wait<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Result<T, String>, Error>,
) -> Result<T, Error> {
    let start = Moment::now();
    loop {
        match look()? {
            Ok(found) => return Ok(found),
            Err(last) if start.elapsed() >= limit => {
                return Err(Error::TimedOut {
                    what: what.to_owned(),
                    seconds: limit.as_secs(),
                    last,
                });
            }
            Err(_) => pause(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "other programs give no sign to wait for")]
fn pause() {
    std::thread::sleep(BETWEEN_LOOKS);
}
