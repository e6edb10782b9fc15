//! The contract between the operator, which makes Jobs that work on a node, and `hozen-agent`, which does the work.
//!
//! One Job does one step of one approved plan on one node, once. Its pod holds no API token and no secret. It gets three files in
//! [`ORDER_FOLDER`], all from annotations of its pod, and the node's root at [`HOST_FOLDER`]; its only argument is the [`verb`]. It answers by
//! its exit code and its termination message, an [`Answer`] as JSON. What it says is no proof of anything on the node: a scan is.
//! How the pod has to look, and why: operator/docs/decisions/0007.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{common::RebootMethod, managed_node::Step, open_enum::open_enum};

/// Path of the program in its image; the container's `command`.
pub const PROGRAM: &str = "/hozen-agent";
/// Where the annotations of the pod are mounted, read-only, by the downward API.
pub const ORDER_FOLDER: &str = "/hozen/order";
/// File of the [`Order`], as JSON.
pub const ORDER_FILE: &str = "order.json";
/// File of the plan: its canonical JSON, whose SHA-256 is [`Order::plan_digest`].
pub const PLAN_FILE: &str = "plan.json";
/// File of the transaction: its lines, each ended by a line feed, whose SHA-256 is [`Order::transaction`]; empty for work that changes
/// no package.
pub const TRANSACTION_FILE: &str = "transaction";
/// File of the script, where a line of the transaction is one: its SHA-256 is that line's last word.
pub const SCRIPT_FILE: &str = "script";
/// Where the node's root folder is mounted, with what is mounted below it.
pub const HOST_FOLDER: &str = "/host";
/// Exit code of a pod whose work ended and would not end better by another pod: the Job fails. Every other code but 0 means that the
/// pod itself was ended, and that the next one of the same Job finds the work where it stands.
pub const EXIT_ENDED: i32 = 3;
/// Most bytes of a termination message: Kubernetes keeps no more.
pub const ANSWER_BYTES_MAX: usize = 4096;
/// The agent begins nothing new after [`Order::deadline`]; a Job lives so much longer, so that it can answer. In seconds.
pub const GRACE_SECONDS: u32 = 600;

/// Words that stand for the architecture in lines of a transaction that name no package. Such a line is a transaction of its own.
pub mod kind {
    /// `remote:ref:ostree FROM TO TO`: commits of an image-based host.
    pub const OSTREE: &str = "ostree";
    /// `ADDRESS:rauc FROM TO BUNDLE`: SHA-256 of the images of a host with two slots, and of the bundle at the address that brings the second.
    pub const RAUC: &str = "rauc";
    /// `IMAGE:node FROM TO PROGRAM`: versions of the image that a machine is made from, and the SHA-256 of the host's program that asks for
    /// its successor.
    pub const NODE: &str = "node";
    /// `name:script FROM TO sha256`: an approved script, by the SHA-256 of its text.
    pub const SCRIPT: &str = "script";
    /// All of them.
    pub const ALL: [&str; 4] = [OSTREE, RAUC, NODE, SCRIPT];
}

/// Verb of a step: the one argument of the container. None for steps that no Job of ours does.
pub fn verb(step: &Step) -> Option<&'static str> {
    match step {
        Step::Prefetch => Some("prefetch"),
        Step::Patch => Some("apply"),
        Step::Restart => Some("restart"),
        Step::Reboot => Some("reboot"),
        Step::Mitigate => Some("mitigate"),
        Step::Lift => Some("lift"),
        Step::Rollback => Some("rollback"),
        Step::Claim
        | Step::Drain
        | Step::Snapshot
        | Step::AwaitReboot
        | Step::Verify
        | Step::Gate
        | Step::Release
        | Step::Unknown(_) => None,
    }
}

/// What one Job is to do. An agent that does not know a field of it refuses the whole.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// Name of the node, for people.
    pub node: String,
    /// `metadata.uid` of the Node, for people: the agent cannot see it.
    #[serde(rename = "nodeUID")]
    pub node_uid: String,
    /// `status.nodeInfo.machineID` of the Node. A host with another one (rebuilt under the same name) is left alone.
    #[serde(rename = "machineID", default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// `metadata.uid` of the change request.
    #[serde(rename = "requestUID")]
    pub request_uid: String,
    /// What is done: Prefetch, Patch, Restart, Reboot, Mitigate, Lift, Rollback.
    pub step: Step,
    /// Counts the Jobs of this step, from 1. With request and step it names the work: the same one is done once.
    pub attempt: u32,
    /// SHA-256 of the plan's canonical JSON, `sha256-…`.
    pub plan_digest: String,
    /// Transaction to be done, or, for a rollback, to be undone; that of no line where no package changes.
    pub transaction: String,
    /// Units to restart, to hold stopped, or to let go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
    /// Ports to block, or to open again: `443/tcp`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// Boot id that the node had when its reboot was decided: a node with another one is not rebooted again.
    #[serde(rename = "bootID", default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// How it reboots, as its plan says; absent: whole. An agent that knows no other way refuses an order that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reboot_method: Option<RebootMethod>,
    /// Most bytes a second that a prefetch takes of the node's network, 1 or more; absent: as many as there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_bytes_per_second: Option<u64>,
    /// When the agent no longer begins anything: what waits for a lock then gives up, and a prefetch ends with what it has. Nothing begins to
    /// install in the ten minutes before; what has begun is finished, and ended only where the grace after the deadline is too short for it.
    pub deadline: Timestamp,
}

/// How the work of one Job ended: the termination message.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// As in the order.
    #[serde(rename = "requestUID")]
    pub request_uid: String,
    /// As in the order.
    pub step: Step,
    /// As in the order.
    pub attempt: u32,
    /// As in the order.
    pub plan_digest: String,
    /// As in the order.
    pub transaction: String,
    /// How it ended: Done, Already, Refused, Failed.
    pub result: AnswerResult,
    /// What kind of error it was; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ErrorClass>,
    /// One or a few lines for people: what went wrong, or what was done. Cut where the message would be too long.
    pub message: String,
    /// When the work began, by the node's clock.
    pub started: Timestamp,
    /// How long each part took, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timings: Vec<Timing>,
    /// Configuration files that were kept as the administrator has them, the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
}

/// How long one part of the work took.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Which: `lock`, `kexec`, `repair`, `refresh`, `compare`, `download`, `install`.
    pub part: String,
    /// Milliseconds.
    pub milliseconds: u64,
}

open_enum! {
    /// How the work of a Job ended.
    AnswerResult {
        /// It did what the order says.
        Done,
        /// It found everything done: by an earlier pod of the same Job, or by somebody else.
        Already,
        /// It changed nothing on the node, and says why.
        Refused,
        /// It began and could not finish; the node is repaired as far as the agent could.
        Failed,
    }
}

open_enum! {
    /// What kind of error ended the work of a Job.
    ErrorClass {
        /// The order, plan or transaction cannot be read or does not have its digest.
        Order,
        /// The host is not the one of the order.
        Host,
        /// This kind of host cannot do this work.
        Unsupported,
        /// Somebody else held a lock until the deadline.
        Locked,
        /// The package manager's state is broken and its own repair did not help.
        Broken,
        /// Too little room on disk.
        Disk,
        /// A repository did not answer, or says that it is of another time than the host's clock.
        Repository,
        /// A signature or hash was wrong.
        Signature,
        /// The package manager would do something else than was approved.
        Difference,
        /// The package manager failed while it installed.
        Install,
        /// A unit did not start, stop or stay up.
        Unit,
        /// The reboot could not be asked for.
        Reboot,
        /// The work was ended again and again by something else.
        Interrupted,
        /// Something else that the system refused.
        System,
    }
}
