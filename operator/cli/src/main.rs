//! The `hozen` command.

mod clock;
mod scan;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Keep a Kubernetes fleet at its security baseline.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Scan(scan::ScanArgs),
}

fn main() -> ExitCode {
    let outcome = match &Cli::parse().command {
        Command::Scan(args) => scan::run(args, clock::now()),
    };
    outcome.unwrap_or_else(|error| {
        anstream::eprintln!("error: {error}");
        ExitCode::from(2)
    })
}
