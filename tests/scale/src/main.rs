//! What the operator takes and does with a fleet of thousands, on a real API server with played nodes. Prints what was measured beside what is
//! held; ends with 1 if a count is over its limit. Times and memory are printed and judged by people: machines are noisy.
//!
//!     cargo run --profile soak --package hozen-scale -- --nodes 5000 --pods 10
//!     cargo run --profile soak --package hozen-scale -- stores --nodes 5000 --pods 10

mod fleet;
mod measured;
mod operator;
mod server;
mod stores;
mod story;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use hozen_testbed::error::Error;

/// As the operator's own program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// No cluster is to be had: its programs are not built.
const NOT_RUN: u8 = 3;

/// Why a measurement came to nothing.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Plays a fleet of thousands on a real API server, and prints what the operator takes and does.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Command {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    wanted: story::Wanted,
}

#[derive(Debug, clap::Subcommand)]
enum Part {
    /// One replica of the operator; the program runs itself so.
    #[command(hide = true)]
    Operator { kubeconfig: PathBuf, listen: SocketAddr, audit: PathBuf },
    /// What the operator's stores take for a fleet, by themselves, and how long listing it takes: no server is needed.
    Stores {
        /// Nodes.
        #[arg(long, default_value_t = 5_000)]
        nodes: usize,
        /// Pods on each.
        #[arg(long, default_value_t = 10)]
        pods: usize,
    },
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let command = Command::parse();
    let ended = match command.part {
        Some(Part::Operator { kubeconfig, listen, audit }) => {
            operator::run(&kubeconfig, listen, &audit).await.map(|()| true)
        }
        Some(Part::Stores { nodes, pods }) => stores::measure(nodes, pods).await,
        None => story::play(&command.wanted).await,
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("hozen-scale: {error}");
            let missing = error.downcast_ref::<Error>();
            let missing = missing.is_some_and(|e| matches!(e, Error::MissingProgram { .. }));
            ExitCode::from(if missing { NOT_RUN } else { 2 })
        }
    }
}
