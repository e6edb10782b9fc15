//! Whether clocks agree (invariant 19): this machine's against the API server's, by the `Date` of its answers, and against what it
//! said before. While they disagree nothing new is started.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use kube::{Client, client::Body};
use tokio::sync::watch;

use crate::clock::Clock;

/// Clocks further apart than this make windows, deadlines and the validity of approvals doubtful.
pub const OFFSET_MAX: SignedDuration = SignedDuration::from_secs(5);
/// Said until the first answer: what was not compared is not taken for right.
pub const UNSEEN: &str = "not compared with the API server's yet";
/// A `Date` has whole seconds: the server's clock was less than this after it.
const DATE_STEP: SignedDuration = SignedDuration::from_secs(1);
/// An answer that took longer says too little of when the server gave it.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(2);
/// How often clocks are compared. A clock drifts by less than a second in this time; one that is set back is seen by [`Steady`] at once.
const BETWEEN_LOOKS: Duration = Duration::from_secs(30);
/// A clock that is set is compared again within this.
const COMPARED_WITHIN: Duration = BETWEEN_LOOKS.saturating_add(ROUND_TRIP_MAX);
/// While nothing is known, or clocks disagree, sooner.
const BETWEEN_DOUBTS: Duration = Duration::from_secs(2);

const SET_FORWARD: &str =
    "the operator's clock was set forward, and is not believed until the API server's was asked";
const SET_BACK: &str = "the operator's clock was set back, and stands still until it has caught up";

/// Compares until dropped, and tells what disagrees, if anything does.
///
/// An API server that does not answer says nothing of its clock: what was told last stands.
pub async fn watch_server(
    client: Client,
    clock: Arc<dyn Clock>,
    tell: watch::Sender<Option<String>>,
) {
    loop {
        if let Some(offset) = compare(&client, &*clock).await {
            let wrong = told(offset);
            tell.send_if_modified(|known| {
                let changed = *known != wrong;
                match &wrong {
                    Some(wrong) if changed => tracing::warn!(wrong, "clocks disagree"),
                    None if changed => tracing::info!("the clock agrees with the API server's"),
                    Some(_) | None => {}
                }
                *known = wrong;
                changed
            });
        }
        let doubt = tell.borrow().is_some();
        tokio::time::sleep(if doubt { BETWEEN_DOUBTS } else { BETWEEN_LOOKS }).await;
    }
}

/// How far the API server's clock is ahead of ours, at least; none: nothing can be said.
async fn compare(client: &Client, clock: &dyn Clock) -> Option<SignedDuration> {
    let request = http::Request::get("/version").body(Body::empty()).ok()?;
    let (sent, since) = (clock.now(), clock.since_boot());
    let answer = tokio::time::timeout(ROUND_TRIP_MAX, client.send(request)).await.ok()?.ok()?;
    let (answered, took) = (clock.now(), clock.since_boot().saturating_sub(since));
    if took > ROUND_TRIP_MAX {
        return None;
    }
    let date = answer.headers().get(http::header::DATE)?.to_str().ok()?;
    let date = rfc2822::parse(date).ok()?.timestamp();
    Some(offset(sent, answered, date))
}

/// How far the server's clock is ahead, by its `Date` in an answer to a call that was sent and answered at these times; zero where
/// the difference may be that of whole seconds and of the way.
fn offset(sent: Timestamp, answered: Timestamp, date: Timestamp) -> SignedDuration {
    let ahead = date.duration_since(answered);
    let behind = sent.duration_since(date) - DATE_STEP;
    if ahead > SignedDuration::ZERO {
        ahead
    } else if behind > SignedDuration::ZERO {
        -behind
    } else {
        SignedDuration::ZERO
    }
}

fn told(offset: SignedDuration) -> Option<String> {
    if offset.abs() <= OFFSET_MAX {
        return None;
    }
    // The difference moves with every look; whole tens of seconds keep a hold from being written again and again.
    let about = offset.abs().as_secs() / 10 * 10;
    let way = if offset.is_positive() { "behind" } else { "ahead of" };
    let about = if about == 0 { "more than 5 s".to_owned() } else { format!("about {about} s") };
    Some(format!("the operator's clock is {about} {way} the API server's"))
}

/// The present that never goes back and does not leap: a window that has closed is not opened again by a clock that was set, and no approval
/// expires by one (invariant 19).
#[derive(Debug, Default)]
pub struct Steady(Mutex<Option<Read>>);

/// What was read last.
#[derive(Clone, Copy, Debug)]
struct Read {
    /// What was taken for the present.
    now: Timestamp,
    /// When, since boot.
    at: Duration,
    /// The clock was set forward: until when, since boot, it is not believed.
    doubt: Option<Duration>,
}

impl Steady {
    /// The present, and what is wrong with the clock, if anything is. `agrees`: [`watch_server`] knows of no difference.
    ///
    /// A clock that went back stands still until it has caught up. One that was set forward is believed once the API server's clock has been
    /// asked since and says the same; until then time goes on as it passes on this machine.
    pub fn read(&self, clock: &dyn Clock, agrees: bool) -> (Timestamp, Option<String>) {
        let (read, at) = (clock.now(), clock.since_boot());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = known.unwrap_or(Read { now: read, at, doubt: None });
        let passed = SignedDuration::try_from(at.saturating_sub(last.at)).unwrap_or_default();
        let due = last.now + passed;
        let leapt = read.duration_since(due) > OFFSET_MAX;
        let doubt = last.doubt.or(Some(at + COMPARED_WITHIN)).filter(|until| {
            let compared = agrees && at >= *until;
            leapt && !compared
        });
        let (now, wrong) = if doubt.is_some() {
            (due, Some(SET_FORWARD))
        } else {
            let now = last.now.max(read);
            let back = now.duration_since(read) > OFFSET_MAX;
            (now, back.then_some(SET_BACK))
        };
        *known = Some(Read { now, at, doubt });
        (now, wrong.map(str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// A clock that somebody sets, on a machine that runs on.
    #[derive(Default)]
    struct Set {
        wall: AtomicI64,
        boot: AtomicI64,
    }

    impl Set {
        fn passes(&self, seconds: i64) {
            self.wall.fetch_add(seconds, Ordering::Relaxed);
            self.boot.fetch_add(seconds, Ordering::Relaxed);
        }

        fn is_set_by(&self, seconds: i64) {
            self.wall.fetch_add(seconds, Ordering::Relaxed);
        }
    }

    impl Clock for Set {
        fn now(&self) -> Timestamp {
            at(self.wall.load(Ordering::Relaxed))
        }

        fn since_boot(&self) -> Duration {
            Duration::from_secs(self.boot.load(Ordering::Relaxed).unsigned_abs())
        }
    }

    #[test]
    fn i19_clocks_that_agree_within_the_way_and_a_whole_second_are_not_called_apart() {
        assert_eq!(offset(at(10), at(11), at(10)), SignedDuration::ZERO);
        assert_eq!(offset(at(10), at(11), at(9)), SignedDuration::ZERO);
        assert_eq!(offset(at(10), at(11), at(31)), SignedDuration::from_secs(20));
        assert_eq!(offset(at(10), at(11), at(0)), SignedDuration::from_secs(-9));
        assert_eq!(told(SignedDuration::from_secs(5)), None);
        let words = told(SignedDuration::from_secs(-61)).unwrap();
        assert_eq!(words, "the operator's clock is about 60 s ahead of the API server's");
        assert!(told(SignedDuration::from_secs(7)).unwrap().contains("more than 5 s behind"));
    }

    #[test]
    fn i19_a_clock_that_is_set_back_stands_still_until_it_has_caught_up() {
        let (clock, steady) = (Set::default(), Steady::default());
        clock.passes(100);
        assert_eq!(steady.read(&clock, true), (at(100), None));
        clock.is_set_by(-60);
        clock.passes(10);
        let (now, wrong) = steady.read(&clock, true);
        assert_eq!(now, at(100), "a window that closed at 90 stays closed");
        assert!(wrong.unwrap().contains("set back"));
        clock.passes(49);
        assert_eq!(steady.read(&clock, true).0, at(100));
        clock.passes(2);
        assert_eq!(steady.read(&clock, true), (at(101), None));
    }

    #[test]
    fn i19_a_clock_that_wavers_by_less_than_the_limit_is_no_reason_to_stop_and_still_does_not_go_back()
     {
        let (clock, steady) = (Set::default(), Steady::default());
        clock.passes(100);
        steady.read(&clock, true);
        clock.is_set_by(-3);
        assert_eq!(steady.read(&clock, true), (at(100), None));
    }

    #[test]
    fn i19_a_clock_that_is_set_forward_is_not_believed_until_the_servers_was_asked_since() {
        let (clock, steady) = (Set::default(), Steady::default());
        clock.passes(100);
        assert_eq!(steady.read(&clock, true), (at(100), None));
        clock.is_set_by(86_400);
        clock.passes(10);
        let (now, wrong) = steady.read(&clock, true);
        assert_eq!(now, at(110), "nothing expires by it");
        assert!(wrong.unwrap().contains("set forward"));
        clock.passes(60);
        let (now, wrong) = steady.read(&clock, false);
        assert_eq!((now, wrong.is_some()), (at(170), true), "the server says another time");
        clock.passes(1);
        assert_eq!(steady.read(&clock, true), (at(86_571), None), "the server says the same");
        // One that is set right again before it was believed has done no harm.
        clock.is_set_by(3_600);
        clock.passes(1);
        assert_eq!(steady.read(&clock, true).0, at(86_572));
        clock.is_set_by(-3_600);
        clock.passes(1);
        assert_eq!(steady.read(&clock, true), (at(86_573), None));
    }
}
