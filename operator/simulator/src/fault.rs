//! What goes wrong between a client and the server (S14, and the ends of watches of S5).

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    call::{Call, Verb},
    random::Random,
    refusal::Refusal,
    watch::End,
};

/// One fault of one call.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The connection ends before the server has read the call.
    ResetBefore,
    /// The server does it, and the answer does not arrive.
    LostAfter,
    /// The server does it so much later.
    Slow(Duration),
    /// The server refuses, and does nothing.
    Answers(Refusal),
    /// A watch ends before its time.
    Ends(Duration, End),
}

/// How likely each fault is, of a thousand calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Connections reset before the call is read.
    pub reset: u64,
    /// Answers that are lost.
    pub lost: u64,
    /// Calls that take longer than anybody waits.
    pub slow: u64,
    /// 409 without a reason in the object.
    pub conflict: u64,
    /// 429 of a server that has too much to do.
    pub busy: u64,
    /// 500.
    pub internal: u64,
    /// 503.
    pub unavailable: u64,
    /// 504.
    pub timeout: u64,
    /// 403, as when RBAC is taken away.
    pub forbidden: u64,
    /// 404 of what is there.
    pub missing: u64,
    /// 413.
    pub large: u64,
    /// Watches that end early, in whichever way.
    pub watches: u64,
    /// Latency of one call, in milliseconds, from one to this.
    pub latency_milliseconds_max: u64,
    /// After this moment it is fair; none: never.
    pub until: Option<Timestamp>,
}

/// How much later a slow call is done, in seconds: within what a call may take, and beyond a lease.
const SLOW_SECONDS: (u64, u64) = (2, 25);
/// After how many seconds at most a watch ends early.
const ENDS_SECONDS_MAX: u64 = 120;

impl Weather {
    /// No faults and little latency.
    pub fn fair() -> Self {
        Self { latency_milliseconds_max: 3, ..Self::default() }
    }

    /// Each kind of fault is there in half of the seeds, and then more or less likely: runs in which one kind prevails find more than runs in which all
    /// are mixed.
    pub fn drawn(random: &mut Random, until: Timestamp) -> Self {
        let mut one = |max: u64| if random.permille(500) { random.between(1, max) } else { 0 };
        Self {
            reset: one(60),
            lost: one(60),
            slow: one(15),
            conflict: one(40),
            busy: one(40),
            internal: one(40),
            unavailable: one(40),
            timeout: one(40),
            forbidden: one(20),
            missing: one(10),
            large: one(10),
            watches: one(400),
            latency_milliseconds_max: 1 + one(200),
            until: Some(until),
        }
    }

    pub(crate) fn latency(&self, random: &mut Random) -> Duration {
        Duration::from_millis(random.between(1, self.latency_milliseconds_max.max(1)))
    }

    pub(crate) fn fault(&self, random: &mut Random, call: &Call, now: Timestamp) -> Option<Fault> {
        let chance = random.below(1_000);
        let (after, how) = (random.between(1, ENDS_SECONDS_MAX), random.below(4));
        let slow = random.between(SLOW_SECONDS.0, SLOW_SECONDS.1);
        if self.until.is_some_and(|until| now >= until) {
            return None;
        }
        let mut below = 0;
        let mut drawn = |likely: u64| {
            below += likely;
            chance < below
        };
        let answers =
            |code, reason, message: &str| Some(Fault::Answers(Refusal::new(code, reason, message)));
        if drawn(self.reset) {
            return Some(Fault::ResetBefore);
        }
        if drawn(self.slow) {
            return Some(Fault::Slow(Duration::from_secs(slow)));
        }
        if drawn(self.busy) {
            let mut busy =
                Refusal::new(429, "TooManyRequests", "too many requests, please try again later.");
            busy.retry_after = Some(1);
            return Some(Fault::Answers(busy));
        }
        if drawn(self.internal) {
            return answers(500, "InternalError", "Internal error occurred: simulated");
        }
        if drawn(self.unavailable) {
            return answers(
                503,
                "ServiceUnavailable",
                "the server is currently unable to handle the request",
            );
        }
        if drawn(self.timeout) {
            return answers(
                504,
                "Timeout",
                "Timeout: request did not complete within the allotted timeout",
            );
        }
        if drawn(self.forbidden) {
            return answers(403, "Forbidden", "forbidden: RBAC: simulated");
        }
        if call.verb == Verb::Watch {
            let how = [End::Silent, End::Cut, End::Expired, End::Hangs]
                [usize::try_from(how).unwrap_or(0)];
            return drawn(self.watches).then(|| Fault::Ends(Duration::from_secs(after), how));
        }
        if drawn(self.missing) && !call.name.is_empty() {
            return answers(404, "NotFound", "not found: simulated");
        }
        if !call.verb.writes() {
            return None;
        }
        if drawn(self.lost) {
            return Some(Fault::LostAfter);
        }
        if drawn(self.conflict) {
            let message = "Operation cannot be fulfilled: simulated: please apply your changes to the latest version and try again";
            return answers(409, "Conflict", message);
        }
        if drawn(self.large) {
            return answers(413, "RequestEntityTooLarge", "Request entity too large: simulated");
        }
        None
    }
}
