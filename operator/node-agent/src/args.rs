//! What the command line says.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use hozen_api::job::{HOST_FOLDER, ORDER_FOLDER};
use jiff::SignedDuration;

/// Folder that the scanner and the reporter of a node share.
const SHARED: &str = "/shared";
/// Folder of the root in which the host's own package manager runs, with the host's `/usr` mounted in it, and of the scanner's own indices.
const INDICES: &str = "/indices";
/// Repositories belong to others: nobody asks them more often.
const REFRESH_MIN: Duration = Duration::from_mins(10);

/// Scans one node, reports what it found, and does the work of one Job.
#[derive(Parser, Debug)]
#[command(version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Action {
    /// Scan a host and write what was found into a folder.
    Scan {
        /// Root of the host.
        #[arg(long, value_name = "DIR", default_value = HOST_FOLDER)]
        root: PathBuf,
        /// Folder for the report; shared with the reporter.
        #[arg(long, value_name = "DIR", default_value = SHARED)]
        out: PathBuf,
        /// Stay, and scan again when asked, when packages change, and on a schedule.
        #[arg(long)]
        watch: bool,
        /// Refresh package indices of the scanner's own when they are so old (6h, 90m); without it, those on the host's disk are read.
        #[arg(long, value_name = "AGE", value_parser = age)]
        refresh: Option<Duration>,
        /// How long the first refresh may wait where the node's last report went by newer indices.
        #[arg(long, value_name = "TIME", value_parser = time, default_value = "3m", hide = true)]
        behind: Duration,
        /// Folder for these indices, and for the host's own package manager to run in: the host's /usr has to be mounted in it as `usr`.
        #[arg(long, value_name = "DIR", default_value = INDICES)]
        indices: PathBuf,
    },
    /// Bring the reports of a folder to the API server, and its requests to the folder.
    Report {
        /// The folder that the scanner writes to.
        #[arg(long, value_name = "DIR", default_value = SHARED)]
        r#in: PathBuf,
        /// Name of the node; where it is not the one that the token is bound to, nothing is reported.
        #[arg(long, value_name = "NAME", env = "NODE_NAME")]
        node: Option<String>,
    },
    /// Fetch what the approved transaction of an order needs; nothing is installed.
    Prefetch(Job),
    /// Do the approved transaction of an order.
    Apply(Job),
    /// Undo the approved transaction of an order.
    Rollback(Job),
    /// Restart the units of an order.
    Restart(Job),
    /// Boot the host.
    Reboot(Job),
    /// Stop and mask the units of an order.
    Mitigate(Job),
    /// Let the units of an order start again.
    Lift(Job),
    /// Run a program of the host in the host's root.
    #[command(hide = true)]
    Enter {
        /// Without privilege.
        #[arg(long)]
        nobody: bool,
        /// Root of the host.
        root: PathBuf,
        /// Program, as the host names it.
        program: OsString,
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Do the work of a folder, as a process of the host.
    #[command(hide = true)]
    Work {
        /// The folder.
        folder: PathBuf,
    },
}

/// Where a Job's files are.
#[derive(Args, Debug)]
pub struct Job {
    /// Folder with the order, the plan and the transaction.
    #[arg(long, value_name = "DIR", default_value = ORDER_FOLDER)]
    pub orders: PathBuf,
    /// Root of the host.
    #[arg(long, value_name = "DIR", default_value = HOST_FOLDER)]
    pub host: PathBuf,
    /// File for the answer.
    #[arg(long, value_name = "FILE", default_value = "/dev/termination-log")]
    pub answer: PathBuf,
}

fn age(text: &str) -> Result<Duration, String> {
    let age = time(text)?;
    if age < REFRESH_MIN {
        let minutes = REFRESH_MIN.as_secs() / 60;
        return Err(format!("repositories are asked every {minutes} minutes at most"));
    }
    Ok(age)
}

fn time(text: &str) -> Result<Duration, String> {
    let time: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    Duration::try_from(time).map_err(|error| error.to_string())
}
