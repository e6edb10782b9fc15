//! The one place of the command line that asks the machine for the time.

use jiff::Timestamp;

/// The time now.
#[expect(clippy::disallowed_methods, reason = "this is the room of the clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
