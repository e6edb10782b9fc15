//! `hozen crds`.

use std::{fs, path::Path, process::ExitCode};

use crate::{LATE, args::Crds, error::Failed, print};

/// Prints the definitions, writes them, or says which are not current.
pub fn run(asked: &Crds) -> Result<ExitCode, Failed> {
    let definitions =
        hozen_api::crds::crds_yaml().map_err(|error| Failed::Form(error.to_string()))?;
    if let Some(folder) = &asked.check {
        return check(folder, &definitions);
    }
    let Some(folder) = &asked.dir else {
        let texts: Vec<&str> = definitions.iter().map(|(_, text)| text.as_str()).collect();
        return print(&texts.join("---\n"));
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, "written", error))?;
    for (name, text) in &definitions {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| failed(&path, "written", error))?;
    }
    print(&format!("{} definitions written to {}\n", definitions.len(), folder.display()))
}

fn check(folder: &Path, definitions: &[(String, String)]) -> Result<ExitCode, Failed> {
    let mut stale = Vec::new();
    for (name, text) in definitions {
        let path = folder.join(name);
        let written = match fs::read_to_string(&path) {
            Ok(written) => written,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(&path, "read", error)),
        };
        if written != *text {
            stale.push(path.display().to_string());
        }
    }
    if stale.is_empty() {
        return print(&format!("{} definitions are current\n", definitions.len()));
    }
    print(&format!(
        "not current: {}; write them with: hozen crds --dir {}\n",
        stale.join(", "),
        folder.display()
    ))?;
    Ok(ExitCode::from(LATE))
}

fn failed(path: &Path, what: &'static str, error: std::io::Error) -> Failed {
    Failed::File { path: path.to_owned(), what, error }
}
