//! `hozen audit verify`.

use std::{fs::File, io::BufReader, path::Path, process::ExitCode};

use hozen_controller::audit::{Finding, verify};
use hozen_intake::problem::told;

use crate::{LATE, args::AuditVerify, error::Failed, print};

/// Says whether a trail is whole, or the first place where it is not.
pub fn run(asked: &AuditVerify) -> Result<ExitCode, Failed> {
    let path = &asked.file;
    let file = File::open(path).map_err(|error| failed(path, error))?;
    match verify(&mut BufReader::new(file), asked.head.as_ref()) {
        Ok(whole) => {
            let Some(head) = whole.head else {
                return print("whole: no entries\n");
            };
            let beside = match whole.passed_over {
                0 => String::new(),
                lines => format!(" beside {lines} lines of the log"),
            };
            print(&format!(
                "whole: {} entries{beside}; keep this elsewhere, and nothing before it can be changed unseen:\n--head {head}\n",
                whole.entries
            ))
        }
        Err(Finding::Read { source, .. }) => Err(failed(path, source)),
        Err(finding) => {
            print(&format!("not whole: {}\n", told(&finding)))?;
            Ok(ExitCode::from(LATE))
        }
    }
}

fn failed(path: &Path, error: std::io::Error) -> Failed {
    Failed::File { path: path.to_owned(), what: "read", error }
}
