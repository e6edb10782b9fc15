//! Instants at which a command is ended: others in each run, and the same again for the same `HOZEN_SEED`.

use std::{fs, ops::Range, time::Duration};

use hozen_testbed::clock::{self, Moment};
use sha2::{Digest as _, Sha256};

/// As many instants as are wanted within a range of milliseconds; a failed test shows by which seed.
pub fn of(test: &str, count: usize, millis: Range<u64>) -> Vec<Duration> {
    let given = std::env::var("HOZEN_SEED").ok();
    let seed = given.unwrap_or_else(|| {
        fs::read_to_string("/proc/sys/kernel/random/uuid").expect("something random")
    });
    let seed = seed.trim();
    let instants = (0..count).map(|number| {
        let digest = Sha256::digest(format!("{seed} {test} {number}"));
        let digits = digest.iter().take(6).fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        Duration::from_millis(millis.start + digits % (millis.end - millis.start))
    });
    let instants = instants.collect();
    println!("HOZEN_SEED={seed}: {instants:?}");
    instants
}

/// Waits until so long after a moment.
pub fn wait(from: Moment, instant: Duration) {
    clock::wait("the instant of the signal", instant + Duration::from_mins(1), || {
        Ok(if from.elapsed() >= instant { Ok(()) } else { Err(String::new()) })
    })
    .expect("time passes");
}
