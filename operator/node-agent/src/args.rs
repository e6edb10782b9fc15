//! What the command line says.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use hozen_api::job::{HOST_FOLDER, ORDER_FOLDER};

/// Folder that the scanner and the reporter of a node share.
const SHARED: &str = "/shared";

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
