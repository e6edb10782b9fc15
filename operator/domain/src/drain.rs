//! Whether a node can be drained, seen before its cordon: one that cannot is not cordoned, and others go on (invariants 8 to 10, 35).

use std::fmt;

use smol_str::SmolStr;

use crate::{
    effect::Leave,
    node::{Cordon, Lack, Node, Pods, Such},
    plan::{Drain, OnBlocked},
    units::{Digest, bytes_told},
};

/// What keeps a node from being drained under a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A budget allows no eviction now, and the plan does not force.
    Budget {
        /// Its name.
        budget: SmolStr,
    },
    /// Pods have data in an emptyDir, and the plan does not say that it may be deleted.
    EmptyDir(Such),
    /// Pods have no controller, and the plan does not say that they may go.
    Unmanaged(Such),
    /// Its kubelet starts no pods while it has this condition: a drain would be for nothing.
    Pressure(SmolStr),
    /// Nothing new may start on it (invariant 19): why.
    Unready(String),
    /// What is to be installed has no room, by its last report (PROCESS 4.2).
    DiskFull(Lack),
    /// A person cordoned it (invariant 6).
    Cordoned,
}

/// What keeps a node that serves from being taken for a transaction.
pub fn kept(node: &Node, drain: &Drain, transaction: &Digest) -> Option<Obstacle> {
    match node.cordon {
        Cordon::Foreign => Some(Obstacle::Cordoned),
        Cordon::None | Cordon::Ours(_) | Cordon::Lifted(_) => {
            unready(node, transaction).or_else(|| obstacle(node, drain))
        }
    }
}

/// Why a transaction may not start on a node, by its own report. What was begun goes on.
pub fn unready(node: &Node, transaction: &Digest) -> Option<Obstacle> {
    let report = node.report.latest()?;
    if let Some(why) = report.unready.first() {
        return Some(Obstacle::Unready(why.clone()));
    }
    let change = report.transactions.iter().find(|change| change.transaction == *transaction)?;
    change.lacks.clone().map(Obstacle::DiskFull)
}

/// What keeps a node from being drained, or its drain from being of use; of what its pods ask for, the lasting before the passing. None:
/// its drain may begin.
pub fn obstacle(node: &Node, drain: &Drain) -> Option<Obstacle> {
    let Pods { movable: _, blocked_by, empty_dir, unmanaged } = &node.pods;
    if let Some(condition) = &node.pressure {
        return Some(Obstacle::Pressure(condition.clone()));
    }
    if let Some(such) = empty_dir
        && !drain.delete_empty_dir_data
    {
        return Some(Obstacle::EmptyDir(such.clone()));
    }
    if let Some(such) = unmanaged
        && !drain.force
    {
        return Some(Obstacle::Unmanaged(such.clone()));
    }
    let budget = blocked_by.clone().filter(|_| drain.on_blocked == OnBlocked::Skip)?;
    Some(Obstacle::Budget { budget })
}

/// What the plan allows of pods that a plain eviction leaves where they are; budgets are passed over only when the drain is `late`.
pub const fn leave(drain: &Drain, late: bool) -> Leave {
    Leave {
        past_budgets: late && matches!(drain.on_blocked, OnBlocked::Force),
        delete_empty_dir_data: drain.delete_empty_dir_data,
        unmanaged: drain.force,
    }
}

impl Obstacle {
    /// Whether it does not go away while other nodes are done.
    pub const fn lasts(&self) -> bool {
        match self {
            Self::EmptyDir(_) | Self::Unmanaged(_) | Self::DiskFull(_) => true,
            Self::Budget { .. } | Self::Pressure(_) | Self::Unready(_) | Self::Cordoned => false,
        }
    }

    /// Whether it is a drain that it keeps from, and not any work.
    pub const fn is_of_pods(&self) -> bool {
        match self {
            Self::Budget { .. } | Self::EmptyDir(_) | Self::Unmanaged(_) | Self::Pressure(_) => {
                true
            }
            Self::Unready(_) | Self::DiskFull(_) | Self::Cordoned => false,
        }
    }

    /// What it keeps a node from, and why: `cannot be drained: …`, whichever node it is.
    pub(crate) fn told(&self) -> String {
        let what = if self.is_of_pods() { "drained" } else { "taken" };
        format!("cannot be {what}: {self}")
    }

    /// What would end it.
    pub fn ended_by(&self) -> String {
        match self {
            Self::Budget { budget } => format!("an eviction that {budget} allows"),
            Self::EmptyDir(such) => format!(
                "drain.deleteEmptyDirData: true in the baseline (a new request), or {} gone",
                such.example
            ),
            Self::Pressure(condition) => format!("the end of its {condition}"),
            Self::Unready(_) => "a report of its scanner that says otherwise".to_owned(),
            Self::DiskFull(Lack { below, needed, .. }) => {
                format!("{} free below {below}, and a report that shows it", bytes_told(*needed))
            }
            Self::Cordoned => "kubectl uncordon, by whoever cordoned it".to_owned(),
            Self::Unmanaged(such) => {
                format!(
                    "drain.force: true in the baseline (a new request), or {} gone",
                    such.example
                )
            }
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = |f: &mut fmt::Formatter<'_>, such: &Such| {
            f.write_str(&such.example)?;
            if such.pods > 1 { write!(f, " and {} more", such.pods - 1) } else { Ok(()) }
        };
        match self {
            Self::Budget { budget } => write!(f, "the budget {budget} allows no eviction"),
            Self::Pressure(condition) => write!(f, "{condition}: its kubelet starts no pods"),
            Self::Unready(why) => f.write_str(why),
            Self::DiskFull(Lack { below, needed, free }) => {
                let (free, needed) = (bytes_told(*free), bytes_told(*needed));
                write!(f, "the change needs {needed} free below {below}, and {free} are")
            }
            Self::Cordoned => f.write_str("a person cordoned it"),
            Self::EmptyDir(such) => {
                more(f, such)?;
                f.write_str(" would lose what is in an emptyDir")
            }
            Self::Unmanaged(such) => {
                more(f, such)?;
                f.write_str(" would not come back: no controller")
            }
        }
    }
}
