//! How long things take: one table for forecasts and for modelled nodes.
//!
//! Stated guesses for a virtual machine of a few cores on a local network, to be replaced by what earlier rollouts measured: pass
//! other numbers where they are known.

use jiff::SignedDuration;

use crate::node::Step;

/// Seconds that steps take, least and most; a step may take anything between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durations {
    /// Drain of a node that has pods to move, aside from the pods: grace periods of the slowest.
    pub drain: Between,
    /// More for each pod, up to [`PODS_COUNTED_MAX`]: evictions are made a few at a time.
    pub drain_per_pod: u32,
    /// Snapshot and its proof.
    pub snapshot: Between,
    /// Package manager without packages: locks, indices, triggers.
    pub patch: Between,
    /// More for each package, up to [`PACKAGES_COUNTED_MAX`].
    pub patch_per_package: Between,
    /// Restart of units.
    pub restart: Between,
    /// From the reboot's request to Ready.
    pub reboot: Between,
    /// From the request of a scan to its report.
    pub scan: Between,
    /// Evidence for gates: it is gathered every half minute.
    pub gate: Between,
    /// A workload's own rollout, for each replica, up to [`REPLICAS_COUNTED_MAX`].
    pub replica: u32,
    /// The same, aside from replicas.
    pub workload: Between,
}

/// Least and most seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Between {
    /// Least.
    pub least: u32,
    /// Most.
    pub most: u32,
}

/// What a step has to do on one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Pods to move.
    pub pods: u32,
    /// Packages to change.
    pub packages: u32,
}

/// More pods than this leave beside each other.
pub const PODS_COUNTED_MAX: u32 = 50;
/// More packages than this are a new release of the distribution, which takes its time otherwise.
pub const PACKAGES_COUNTED_MAX: u32 = 300;
/// More replicas than this surge together.
pub const REPLICAS_COUNTED_MAX: u32 = 40;

impl Durations {
    /// The guesses.
    pub const GUESSED: Self = Self {
        drain: Between::new(10, 40),
        drain_per_pod: 6,
        snapshot: Between::new(15, 40),
        patch: Between::new(4, 10),
        patch_per_package: Between::new(2, 4),
        restart: Between::new(3, 8),
        reboot: Between::new(45, 90),
        scan: Between::new(4, 12),
        gate: Between::new(30, 30),
        replica: 15,
        workload: Between::new(0, 20),
    };

    /// The same with every step at its longest: what is forecast by it is not late, as long as nothing fails.
    #[must_use]
    pub const fn longest(self) -> Self {
        Self {
            drain: self.drain.longest(),
            drain_per_pod: self.drain_per_pod,
            snapshot: self.snapshot.longest(),
            patch: self.patch.longest(),
            patch_per_package: self.patch_per_package.longest(),
            restart: self.restart.longest(),
            reboot: self.reboot.longest(),
            scan: self.scan.longest(),
            gate: self.gate.longest(),
            replica: self.replica,
            workload: self.workload.longest(),
        }
    }

    /// How long a step takes on a node with so much to do.
    pub const fn of(&self, step: Step, load: Load) -> Between {
        match step {
            Step::Claim | Step::AwaitReboot | Step::Release => Between::new(0, 0),
            Step::Drain if load.pods == 0 => Between::new(0, 0),
            Step::Drain => {
                let pods = self.drain_per_pod * least(load.pods, PODS_COUNTED_MAX);
                Between::new(self.drain.least + pods, self.drain.most + pods)
            }
            Step::Snapshot => self.snapshot,
            // Most of a patch's time is the way from the repository.
            Step::Prefetch | Step::Patch | Step::Rollback => {
                let packages = least(load.packages, PACKAGES_COUNTED_MAX);
                let each = self.patch_per_package;
                Between::new(
                    self.patch.least + each.least * packages,
                    self.patch.most + each.most * packages,
                )
            }
            Step::Restart | Step::Mitigate | Step::Lift => self.restart,
            Step::Reboot => self.reboot,
            Step::Verify => self.scan,
            Step::Gate => self.gate,
        }
    }

    /// How long a workload of so many replicas takes to move to another image.
    pub const fn of_workload(&self, replicas: u32) -> Between {
        let counted = if replicas == 0 { 1 } else { least(replicas, REPLICAS_COUNTED_MAX) };
        let replicas = self.replica * counted;
        Between::new(self.workload.least + replicas, self.workload.most + replicas)
    }
}

impl Default for Durations {
    fn default() -> Self {
        Self::GUESSED
    }
}

impl Between {
    /// Between two numbers of seconds.
    pub const fn new(least: u32, most: u32) -> Self {
        Self { least, most }
    }

    const fn longest(self) -> Self {
        Self::new(self.most, self.most)
    }

    /// The middle: what many of them take on average.
    pub fn expected(self) -> SignedDuration {
        SignedDuration::from_millis((i64::from(self.least) + i64::from(self.most)) * 500)
    }
}

const fn least(a: u32, b: u32) -> u32 {
    if a < b { a } else { b }
}
