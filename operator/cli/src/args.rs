//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
#[cfg(feature = "cluster")]
use hozen_controller::audit::Head;
use jiff::{Timestamp, civil::DateTime};

#[cfg(feature = "cluster")]
use crate::cluster;
use crate::{image, scan::ScanArgs};

/// Keep a Kubernetes fleet at its security baseline.
#[derive(Debug, Parser)]
#[command(name = "hozen", version, propagate_version = false)]
#[cfg_attr(not(feature = "cluster"), command(after_help = format!("{}.", crate::cluster::error::ClusterError)))]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Play a folder of manifests, inventories and feeds on a virtual clock: what would be done, when, and what not.
    ///
    /// Exit code 0: all in time; 1: something would be late, stuck, without a plan, or unknown, or a target missed; 2: the input is not right.
    Simulate(Simulate),
    /// Say why: a node is below, a notice is urgent or ignored, a rollout is held; who could approve; what would happen next.
    Explain(Explain),
    /// Show what would be requested at once, with the digest that people approve.
    Plan(Plan),
    /// Something of a cluster.
    #[cfg(feature = "cluster")]
    #[command(flatten)]
    Cluster(Box<cluster::args::Command>),
    /// Report one system as a node's scanner sees it: packages, services, ports, pending updates.
    Scan(ScanArgs),
    /// What is in images.
    #[command(subcommand)]
    Image(image::Command),
    /// Run the operator: observe the cluster, decide, act, and say in status how everything stands.
    ///
    /// Several replicas agree by a lease who acts. SIGTERM ends it after what is under way.
    #[cfg(feature = "cluster")]
    Operator(Operator),
    /// Write the custom resource definitions, or check that they are current.
    Crds(Crds),
    /// Write who may do what (RBAC, admission policies) for one installation, or into the chart; or check that the chart is current.
    Manifests(Manifests),
    /// Look at the operator's audit trail.
    #[cfg(feature = "cluster")]
    #[command(subcommand)]
    Audit(Audit),
    /// Print a completion script for a shell.
    Completion {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the version.
    Version,
}

/// `hozen audit`.
#[cfg(feature = "cluster")]
#[derive(Debug, clap::Subcommand)]
pub enum Audit {
    /// Say whether a trail is whole: no entry changed, dropped, moved or put in.
    ///
    /// Exit code 0: whole; 1: it is not, and where; 2: it cannot be read.
    Verify(AuditVerify),
}

/// `hozen audit verify`.
#[cfg(feature = "cluster")]
#[derive(Debug, clap::Args)]
pub struct AuditVerify {
    /// The trail: lines of JSON as the operator wrote them.
    pub file: PathBuf,
    /// The head that an earlier verification printed: without it a trail that was cut off at its end looks whole.
    #[arg(long, value_name = "NUMBER:HASH")]
    pub head: Option<Head>,
}

/// A folder, and how it is played.
#[derive(Debug, clap::Args)]
pub struct Play {
    /// Folder with manifests; feeds below `feeds/`, SBOMs below `sboms/`, and an optional `scenario.yaml`.
    pub folder: PathBuf,
    /// Seed of every duration; the same seed prints the same bytes.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
}

/// Which cluster, and where Hozen is in it.
#[derive(Debug, Clone, clap::Args)]
pub struct At {
    /// Kubeconfig; otherwise `KUBECONFIG`, `~/.kube/config`, or the pod's own account.
    #[arg(long, value_name = "FILE", global = true)]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long, value_name = "NAME", global = true)]
    pub context: Option<String>,
    /// Namespace that Hozen is installed in.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "hozen-system",
        env = "HOZEN_NAMESPACE",
        global = true
    )]
    pub hozen_namespace: String,
}

/// `hozen simulate`.
#[derive(Debug, clap::Args)]
pub struct Simulate {
    /// What is played.
    #[command(flatten)]
    pub play: Play,
    /// End earlier: a local time of the scenario (2026-11-20T09:00), or an instant (2026-11-20T00:00Z).
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// How to print the facts.
    #[arg(short, long, default_value = "text", value_name = "FORM")]
    pub output: Output,
    /// Write a report as well: Markdown (.md) or one HTML page with charts (.html).
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Give every system a line of its own, however alike they went.
    #[arg(long)]
    pub every_system: bool,
}

/// `hozen explain`.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// A folder to play, and then what to explain; or that alone, to explain it as it stands in the cluster.
    #[command(flatten)]
    pub play: Play,
    /// What to explain: node/, baseline/, advisory/, changerequest/ (chg/), rollout/, workload/, image/ or approvalpolicy/, and its
    /// name. Without a folder before it: of the cluster.
    #[arg(value_name = "KIND/NAME")]
    pub subject: Option<String>,
    /// When: a local time of the scenario, or an instant; without it, at the end of the scenario.
    #[arg(long = "at", value_name = "TIME")]
    pub moment: Option<Moment>,
    /// How to print it.
    #[arg(short, long, default_value = "text", value_name = "FORM")]
    pub output: Output,
    /// Which cluster.
    #[command(flatten)]
    pub at: At,
}

/// `hozen plan`.
#[derive(Debug, clap::Args)]
pub struct Plan {
    /// Folder with manifests, feeds and SBOMs; without it, the cluster is planned for.
    pub folder: Option<PathBuf>,
    /// Seed of every duration; the same seed prints the same bytes.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Which cluster.
    #[command(flatten)]
    pub at: At,
    /// How to print it; `json` and `yaml` give the change requests as they would be created.
    #[arg(short, long, default_value = "text", value_name = "FORM")]
    pub output: Output,
}

/// `hozen operator`.
#[cfg(feature = "cluster")]
#[derive(Debug, clap::Args)]
pub struct Operator {
    /// Namespace of Hozen itself.
    #[arg(long, env = "HOZEN_NAMESPACE", default_value = "hozen-system", value_name = "NAME")]
    pub namespace: String,
    /// Namespace of the Jobs on nodes, and of nothing else.
    #[arg(long, env = "HOZEN_WORK_NAMESPACE", default_value = "hozen-work", value_name = "NAME")]
    pub work_namespace: String,
    /// Image of the node agent, by digest: only it runs in those Jobs.
    #[arg(long, env = "HOZEN_AGENT_IMAGE", value_name = "IMAGE@sha256:DIGEST")]
    pub agent_image: String,
    /// Secret in the namespace of those Jobs (type kubernetes.io/dockerconfigjson) by which that image is pulled; as often as there are such.
    #[arg(long = "image-pull-secret", value_name = "NAME")]
    pub image_pull_secrets: Vec<String>,
    /// Name of this replica, unique also among its restarts. Without it, one is made of host name and time.
    #[arg(long, env = "HOZEN_REPLICA", value_name = "NAME")]
    pub replica: Option<String>,
    /// Name of the Lease by which replicas agree who acts.
    #[arg(long, default_value = "hozen-operator", value_name = "NAME")]
    pub lease: String,
    /// Where /livez, /readyz, /metrics and /debug/decision are served.
    #[arg(long, default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub listen: std::net::SocketAddr,
    /// File of the audit trail, one for each replica; without it, standard output.
    #[arg(long, value_name = "FILE")]
    pub audit: Option<PathBuf>,
    /// How many days change requests that are over are kept, with their rollouts and what people said of them; those that ended before anybody
    /// said a word go after a week.
    #[arg(long, default_value_t = 90, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(30..=36_500))]
    pub history_days: u32,
    /// How many of each baseline are kept for so long; what is more goes after 30 days.
    #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub history_max: u32,
    /// What is logged: error, warn, info, debug, trace, or by room: `hozen_controller=debug,warn`.
    #[arg(long, env = "HOZEN_LOG", default_value = "info", value_name = "LEVEL")]
    pub log: String,
}

/// `hozen crds`.
#[derive(Debug, clap::Args)]
pub struct Crds {
    /// Write one file per definition into this folder; without it they are printed.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Write nothing: exit 1 if a file of this folder is not current, and name it.
    #[arg(long, value_name = "DIR", conflicts_with = "dir")]
    pub check: Option<PathBuf>,
}

/// `hozen manifests`.
#[derive(Debug, clap::Args)]
pub struct Manifests {
    /// Namespace that Hozen is installed in.
    #[arg(long, value_name = "NAME", default_value = "hozen-system")]
    pub namespace: String,
    /// Namespace of the patch Jobs.
    #[arg(long, value_name = "NAME", default_value = "hozen-work")]
    pub work_namespace: String,
    /// Image of the agent, by digest; needed unless the chart is written.
    #[arg(long, value_name = "IMAGE", required_unless_present_any = ["chart", "check"])]
    pub agent_image: Option<String>,
    /// Write the generated templates and the definitions of the kinds into this chart.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["agent_image", "check"])]
    pub chart: Option<PathBuf>,
    /// Write nothing: exit 1 if a file of this chart is not current, and name it.
    #[arg(long, value_name = "DIR", conflicts_with = "agent_image")]
    pub check: Option<PathBuf>,
}

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
}

/// A time as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Of the scenario's zone.
    Local(DateTime),
    /// Of the whole world.
    Instant(Timestamp),
}

impl std::str::FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(instant) = text.parse() {
            return Ok(Self::Instant(instant));
        }
        text.parse().map(Self::Local).map_err(|_| {
            "write a local time like 2026-11-20T09:00, or an instant like 2026-11-20T00:00Z"
                .to_owned()
        })
    }
}
