//! What the command line says.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use hozen_api::job::{HOST_FOLDER, ORDER_FOLDER};

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
