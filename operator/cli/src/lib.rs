//! The `hozen` command: what people type, and what they read.
//!
//! Nothing is decided here. What is shown is in [`facts`], and what is in the facts the domain has said.

mod args;
#[cfg(feature = "cluster")]
mod audit;
mod clock;
#[cfg_attr(not(feature = "cluster"), path = "no_cluster.rs")]
mod cluster;
mod crds;
mod error;
pub mod explain;
pub mod facts;
mod image;
mod manifests;
#[cfg(feature = "cluster")]
mod operator;
mod plan;
mod play;
mod progress;
mod report;
mod scan;
mod simulate;
mod terminal;
pub mod text;
pub mod when;

use std::{io::Write as _, process::ExitCode};

use clap::{CommandFactory as _, Parser as _};

#[cfg(feature = "cluster")]
use args::Audit;
use args::{Cli, Command};
use error::Failed;

/// Something is late, stuck, or not current.
const LATE: u8 = 1;
/// The input is not right, or cannot be read.
const BAD_INPUT: u8 = 2;

/// Does what was typed.
pub fn main() -> ExitCode {
    run(Cli::parse().command).unwrap_or_else(|failed| {
        print_error(&failed);
        ExitCode::from(BAD_INPUT)
    })
}

fn run(command: Command) -> Result<ExitCode, Failed> {
    match command {
        Command::Simulate(asked) => simulate::run(&asked),
        Command::Explain(asked) => explain::run(&asked),
        Command::Plan(asked) => plan::run(&asked),
        #[cfg(feature = "cluster")]
        Command::Cluster(asked) => cluster::run(&asked),
        Command::Scan(asked) => Ok(scan::run(&asked, clock::now())?),
        Command::Image(asked) => image::run(&asked, clock::now()),
        #[cfg(feature = "cluster")]
        Command::Operator(asked) => Ok(operator::run(asked)?),
        Command::Crds(asked) => crds::run(&asked),
        Command::Manifests(asked) => manifests::run(&asked),
        #[cfg(feature = "cluster")]
        Command::Audit(Audit::Verify(asked)) => audit::run(&asked),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "hozen", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
        Command::Version => print(&format!("hozen {}\n", env!("CARGO_PKG_VERSION"))),
    }
}

/// Prints to stdout, without colour where nobody sees it. A reader who has gone (`| head`) has read enough.
fn print(text: &str) -> Result<ExitCode, Failed> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failed::Print(error)),
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}

/// Says on stderr what an answer does not cover.
#[cfg(feature = "cluster")]
fn note(text: &str) {
    let mut page = text::page::Page::new(terminal::columns(&std::io::stderr()));
    page.hang("", &text::page::paint(text::page::FAINT, format!("note: {text}")), 2);
    let _ = anstream::stderr().lock().write_all(page.finish().as_bytes());
}

fn print_error(failed: &Failed) {
    let text = error::page(failed, terminal::columns(&std::io::stderr()));
    // Where even stderr is closed the exit code has to do.
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}
