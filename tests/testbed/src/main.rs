//! `hozen-testbed`: a real cluster on one machine.

mod command;
mod interrupted;
mod words;

use std::{io::Write as _, process::ExitCode};

use clap::Parser;

fn main() -> ExitCode {
    match command::run(command::Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            let mut line = format!("hozen-testbed: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                line = format!("{line}: {cause}");
                source = cause.source();
            }
            // Where even stderr is closed the exit code has to do.
            let _ = writeln!(std::io::stderr(), "{line}");
            ExitCode::FAILURE
        }
    }
}
