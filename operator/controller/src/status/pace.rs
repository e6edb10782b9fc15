//! How often it is written how far things are: while a fleet is worked on numbers change with every pass, and people read them once in a while.
//! What was decided is written at once, and so is what changes after a quiet second.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Nobody sees a number a second late, and a pass may take a tenth of that.
pub const EVERY: Duration = Duration::from_secs(1);

/// When the statuses of the last second were written.
#[derive(Debug, Default)]
pub struct Pace {
    now: Duration,
    written: BTreeMap<String, Duration>,
    waits: bool,
}

impl Pace {
    /// A pass begins, so long since boot.
    pub fn begin(&mut self, now: Duration) {
        self.now = now;
        self.written.retain(|_, at| now.saturating_sub(*at) < EVERY);
        self.waits = false;
    }

    /// Whether the status of an object, which is to be written, can wait for a later pass.
    pub fn defers(&mut self, object: &ObjectMeta, decided: bool) -> bool {
        let uid = object.uid.clone().unwrap_or_default();
        let defers = !decided && self.written.contains_key(&uid);
        if defers {
            self.waits = true;
        } else {
            self.written.insert(uid, self.now);
        }
        defers
    }

    /// Whether something waits for a pass in a second.
    pub const fn waits(&self) -> bool {
        self.waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_things_are_is_written_once_a_second_and_what_was_decided_at_once() {
        let object = ObjectMeta { uid: Some("u-1".to_owned()), ..ObjectMeta::default() };
        let at = Duration::from_millis;
        let mut pace = Pace::default();
        let mut defers = |now, decided| {
            pace.begin(at(now));
            (pace.defers(&object, decided), pace.waits())
        };
        assert_eq!(defers(0, false), (false, false));
        assert_eq!(defers(400, false), (true, true));
        assert_eq!(defers(500, true), (false, false));
        assert_eq!(defers(1_100, false), (true, true), "it was written half a second ago");
        assert_eq!(defers(1_500, false), (false, false));
    }
}
