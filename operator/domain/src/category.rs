//! Effort and risk of a change (PROCESS 3.2; ITIL's categories).

use smol_str::SmolStr;

use crate::{
    plan::{Category, OnBlocked, Reachable},
    rank::Reason,
};

/// Downloads above this are a load on the network of their own: about two hours of a link of 100 Mbit/s.
const DOWNLOAD_BYTES_LARGE: u64 = 100_000_000_000;

/// What decides the category.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Nodes, at most.
    pub nodes: u32,
    /// Workloads, at most.
    pub workloads: u32,
    /// Some are of the control plane.
    pub control_plane: bool,
    /// Services restart.
    pub restart: bool,
    /// Nodes reboot.
    pub reboot: bool,
    /// Whether previous versions can be brought back on all of them.
    pub rollback: Reachable,
    /// What a blocked drain does.
    pub on_blocked: OnBlocked,
    /// Bytes to download, all systems together.
    pub download_bytes: u64,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            nodes: 0,
            workloads: 0,
            control_plane: false,
            restart: false,
            reboot: false,
            rollback: Reachable::Possible,
            on_blocked: OnBlocked::Skip,
            download_bytes: 0,
        }
    }
}

/// The category of a change, with every rule that raised it, in order.
pub fn category(facts: &Facts) -> (Category, Vec<Reason>) {
    let mut category = Category::Standard;
    let mut reasons = Vec::new();
    let mut raise = |holds: bool, to: Category, text: &str| {
        if holds {
            category = category.max(to);
            reasons.push(Reason {
                text: format!("{text}: {to:?}"),
                source: SmolStr::new_static("PROCESS 3.2"),
            });
        }
    };
    raise(facts.nodes > 0, Category::Minor, "nodes are drained");
    raise(facts.workloads > 0, Category::Minor, "pods are replaced");
    raise(facts.restart, Category::Minor, "services restart");
    raise(facts.reboot, Category::Minor, "nodes reboot");
    raise(facts.control_plane, Category::Significant, "the control plane is touched");
    raise(
        facts.download_bytes > DOWNLOAD_BYTES_LARGE,
        Category::Significant,
        "it is a load on the network",
    );
    raise(
        facts.rollback == Reachable::Unknown,
        Category::Significant,
        "it is not known whether it can be uninstalled",
    );
    raise(facts.rollback == Reachable::Impossible, Category::Major, "it cannot be uninstalled");
    raise(
        facts.on_blocked == OnBlocked::Force && facts.nodes > 0,
        Category::Major,
        "pods may be deleted against their budget",
    );
    (category, reasons)
}
