//! The virtual clock's queue, and durations drawn from the seed.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use smol_str::SmolStr;

use crate::{
    node::JobKey,
    units::{Name, Uid, after},
};

/// Something that will have happened at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Event of the script, by position.
    Script(usize),
    /// An approver gives their word.
    Approver { index: usize, request: (Name, Uid) },
    /// The last pod has left.
    Drained { node: (Name, Uid), past_budgets: bool },
    /// A Job ends.
    Job { node: (Name, Uid), job: JobKey },
    /// A node is back from its reboot.
    Booted { node: (Name, Uid) },
    /// A scan is answered.
    Scanned { node: (Name, Uid), scan: u64 },
    /// Every scanner reports, as it does once a day whether it was asked or not.
    DailyScans,
    /// A workload's own rollout is done.
    Moved { workload: (Name, Uid), image: SmolStr, to: SmolStr },
    /// Evidence is gathered.
    Evidence,
}

/// What is due, in order of time, then of asking.
#[derive(Debug, Default)]
pub(super) struct Queue {
    due: BTreeMap<(Timestamp, u64), Due>,
    asked: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: Timestamp, due: Due) {
        self.asked += 1;
        self.due.insert((at, self.asked), due);
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// Everything that is due by now.
    pub(super) fn take(&mut self, now: Timestamp) -> Vec<Due> {
        let later = self.due.split_off(&(now, u64::MAX));
        std::mem::replace(&mut self.due, later).into_values().collect()
    }

    pub(super) fn holds(&self, due: &Due) -> bool {
        self.due.values().any(|d| d == due)
    }
}

/// A duration between `least` and `most`, the same for the same seed and subject whatever else happens.
pub(super) fn draw(
    seed: u64,
    subject: &str,
    least: SignedDuration,
    most: SignedDuration,
) -> SignedDuration {
    let span = u64::try_from((most - least).as_secs()).unwrap_or(0) + 1;
    let offset = mix(seed ^ fnv(subject)) % span;
    least + SignedDuration::from_secs(i64::try_from(offset).unwrap_or(0))
}

/// An instant after `now`, drawn likewise.
pub(super) fn soon(now: Timestamp, seed: u64, subject: &str, least: u32, most: u32) -> Timestamp {
    let seconds = |s: u32| SignedDuration::from_secs(i64::from(s));
    after(now, draw(seed, subject, seconds(least), seconds(most)))
}

/// FNV-1a.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The finisher of `SplitMix64`.
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
