//! `hozen-agent`: scans one node, reports what it found, and does the work of one Job. The library of the same name does it.

mod args;
mod job;
mod report;

use std::process::ExitCode;

use clap::Parser;
use hozen_agent::{
    chamber::Chamber,
    refresh::Own,
    watch::{Means, Refreshed},
};

fn main() -> ExitCode {
    if hozen_agent::apt::resolve::answer_as_method() {
        return ExitCode::SUCCESS;
    }
    let outcome = match args::Arguments::parse().action {
        args::Action::Scan { root, out, watch, refresh, behind, indices } => {
            let chamber = Chamber::at(indices);
            let own = || Own::within(chamber.clone());
            let refreshed = refresh.map(|every| Refreshed { own: own(), every, behind });
            job::scan(&root, out, watch, &Means { chamber, refreshed })
        }
        args::Action::Report { r#in, node } => report::run(&r#in, node.as_deref())
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| Box::new(error).into()),
        args::Action::Prefetch(job) => job::ask("prefetch", &job),
        args::Action::Apply(job) => job::ask("apply", &job),
        args::Action::Rollback(job) => job::ask("rollback", &job),
        args::Action::Restart(job) => job::ask("restart", &job),
        args::Action::Reboot(job) => job::ask("reboot", &job),
        args::Action::Mitigate(job) => job::ask("mitigate", &job),
        args::Action::Lift(job) => job::ask("lift", &job),
        args::Action::Enter { nobody, root, program, arguments } => {
            job::enter(&root, &program, &arguments, nobody)
        }
        args::Action::Work { folder } => job::work(folder),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("hozen-agent: {error}");
        ExitCode::FAILURE
    })
}
