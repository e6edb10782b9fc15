//! What can be typed of a cluster.

use clap::{Args, Subcommand};

use crate::args::{At, Output};

/// What to do with a cluster.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show how the fleet of a cluster stands, what waits for whom, and why.
    Status(Look),
    /// Watch rollouts as they go.
    Watch(Watch),
    /// Show what a change request would do, ask, and agree to it in your own name.
    Approve(Word),
    /// Say no to a change request: one word of a needed role ends it.
    Reject(Word),
    /// Take your own word on a change request back, for good.
    Withdraw(Withdraw),
    /// Start nothing new in a rollout; what was started is finished.
    Pause(OfRollout),
    /// Let a paused rollout go on.
    Resume(OfRollout),
    /// End a rollout, for good: what was not yet changed is put back.
    Abort(OfRollout),
    /// Ask, in your own name, for another attempt at what failed in a rollout that has ended: others must agree anew.
    Retry(OfRollout),
    /// Skip the rest of a stage's soak, and nothing else.
    Promote(Promote),
    /// Let a rollout go on in spite of a failure, in your own name.
    AcceptFailure(AcceptFailure),
    /// Ask for a new scan of nodes.
    Rescan(Rescan),
    /// Stop all new disruption in the cluster, with a reason that everybody reads.
    Halt(Halt),
    /// Lift the halt.
    Unhalt(Unhalt),
    /// Check that the admission policies stand and that no cordon is left that nobody works on; say who can approve, impersonate, alter
    /// policies, be the operator.
    ///
    /// Exit code 1: the policies do not stand, or cordons are left.
    Doctor(Look),
}

/// `hozen approve`, `hozen reject`.
#[derive(Debug, Args)]
pub struct Word {
    /// Name of the change request.
    pub request: String,
    /// Role in which the word is given; needed where you hold several that it asks for.
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// Digest of the plan that you reviewed: refused if the request has another by now.
    #[arg(long, value_name = "SHA256")]
    pub digest: Option<String>,
    /// Why, for others to read.
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// Which cluster.
    #[command(flatten)]
    pub at: At,
}

/// `hozen withdraw`.
#[derive(Debug, Args)]
pub struct Withdraw {
    /// Name of the change request.
    pub request: String,
    /// Only the word given in this role.
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// Which cluster.
    #[command(flatten)]
    pub at: At,
}

/// A rollout by name: `hozen pause`, `resume`, `abort`.
#[derive(Debug, Args)]
pub struct OfRollout {
    /// Name of the rollout, which is that of its change request.
    pub rollout: String,
    /// Which cluster.
    #[command(flatten)]
    pub at: At,
}

/// `hozen promote`.
#[derive(Debug, Args)]
pub struct Promote {
    /// Name of the rollout.
    pub rollout: String,
    /// Stage whose soak is cut short; otherwise the one at which it is.
    #[arg(long, value_name = "STAGE")]
    pub through: Option<String>,
    /// Which cluster.
    #[command(flatten)]
    pub at: At,
}

/// `hozen accept-failure`.
#[derive(Debug, Args)]
pub struct AcceptFailure {
    /// Node that failed, or workload (`Deployment/shop/web`).
    pub system: String,
    /// Rollout in which it failed; needed where it failed in several.
    #[arg(long, value_name = "NAME")]
    pub rollout: Option<String>,
    /// Uid of what failed, where Hozen does not know it any more: a node that was rebuilt has another.
    #[arg(long, value_name = "UID")]
    pub uid: Option<String>,
    /// Which cluster.
    #[command(flatten)]
    pub at: At,
}

/// `hozen rescan`.
#[derive(Debug, Args)]
pub struct Rescan {
    /// Nodes to scan anew.
    #[arg(required = true, value_name = "NODE")]
    pub nodes: Vec<String>,
    /// Which cluster.
    #[command(flatten)]
    pub at: At,
}

/// `hozen halt`.
#[derive(Debug, Args)]
pub struct Halt {
    /// Why: everybody who looks reads it.
    pub reason: String,
    /// Which cluster.
    #[command(flatten)]
    pub at: At,
}

/// `hozen unhalt`.
#[derive(Debug, Args)]
pub struct Unhalt {
    /// Which cluster.
    #[command(flatten)]
    pub at: At,
}

/// `hozen status`, `hozen doctor`.
#[derive(Debug, Args)]
pub struct Look {
    /// How to print it.
    #[arg(short, long, default_value = "text", value_name = "FORM")]
    pub output: Output,
    /// Which cluster.
    #[command(flatten)]
    pub at: At,
}

/// `hozen watch`.
#[derive(Debug, Args)]
pub struct Watch {
    /// Only this rollout, until it has ended; otherwise all, until interrupted.
    pub rollout: Option<String>,
    /// Which cluster.
    #[command(flatten)]
    pub at: At,
}
