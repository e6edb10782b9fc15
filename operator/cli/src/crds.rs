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
    write(folder, &definitions)?;
    print(&format!("{} definitions written to {}\n", definitions.len(), folder.display()))
}

/// Writes files by their paths below a folder.
pub fn write(folder: &Path, files: &[(String, String)]) -> Result<(), Failed> {
    for (name, text) in files {
        let path = folder.join(name);
        let above = path.parent().unwrap_or(folder);
        fs::create_dir_all(above).map_err(|error| failed(above, "written", error))?;
        fs::write(&path, text).map_err(|error| failed(&path, "written", error))?;
    }
    Ok(())
}

fn check(folder: &Path, definitions: &[(String, String)]) -> Result<ExitCode, Failed> {
    let stale = stale(folder, definitions)?;
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

/// Files of a folder that are not as they should be.
pub fn stale(folder: &Path, definitions: &[(String, String)]) -> Result<Vec<String>, Failed> {
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
    Ok(stale)
}

fn failed(path: &Path, what: &'static str, error: std::io::Error) -> Failed {
    Failed::File { path: path.to_owned(), what, error }
}
