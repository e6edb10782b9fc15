//! `hozen simulate`.

use std::process::ExitCode;

use serde::Serialize;

use crate::{
    args::{Output, Simulate},
    error::Failed,
    facts, play, print,
    report::Destination,
    terminal,
    text::{self, Detail},
};

/// Plays a folder, prints what came of it, and says by the exit code whether all was in time.
pub fn run(asked: &Simulate) -> Result<ExitCode, Failed> {
    let report = asked.report.as_deref().map(Destination::new).transpose()?;
    let done = play::play(&asked.play, asked.until)?;
    let facts = facts::gather(done.played, &done.outcome);
    if let Some(report) = report {
        report.write(&facts)?;
    }
    match asked.output {
        Output::Text => {
            let detail = Detail { every_system: asked.every_system, every_request: false };
            let columns = terminal::columns(&std::io::stdout());
            print(&text::simulation(&facts, detail, columns))?;
        }
        form @ (Output::Json | Output::Yaml) => {
            print(&formed(&facts, form)?)?;
        }
    }
    Ok(ExitCode::from(facts.verdict.exit_code))
}

/// Facts for programs.
pub fn formed<T: Serialize>(facts: &T, form: Output) -> Result<String, Failed> {
    match form {
        Output::Yaml => {
            serde_yaml::to_string(facts).map_err(|error| Failed::Form(error.to_string()))
        }
        Output::Json | Output::Text => serde_json::to_string_pretty(facts)
            .map(|json| json + "\n")
            .map_err(|error| Failed::Form(error.to_string())),
    }
}
