//! What dnf would do, asked of dnf's own library without privilege, on a copy of the system's state: its database, its
//! repositories' metadata, its enabled modules. Repositories are read from the copy; nothing is fetched.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use crate::{
    chamber::Chamber,
    command::{self, Call, Output},
    package::{Goal, Step, Wanted},
    resolve::{self, ResolveError},
    root::Root,
    staging::Staging,
};

use super::{Rpm, python};

/// How long dnf may think.
const TIMEOUT: Duration = Duration::from_mins(3);
/// Most output that is read.
const OUTPUT_BYTES_MAX: u64 = 4 << 20;
/// The program that speaks with dnf's library.
const PROGRAM: &str = include_str!("dnf.py");
/// What a program says where the library is not there.
const NO_LIBRARY: &str = "the Python module dnf is not installed here";

/// Asks dnf. The steps are sorted; none means that nothing is to be done.
pub fn resolve(
    root: &Root,
    chamber: Option<&Chamber>,
    rpm: &Rpm,
    goal: &Goal,
) -> Result<Vec<Step>, ResolveError> {
    let ready = resolve::chamber(root, chamber)?;
    let copy = copy(root, ready, rpm, goal)?;
    let output = ask(root, chamber, &copy, "dnf.py", TIMEOUT)?;
    if !output.success {
        return Err(ResolveError::Refused(complaint(&output.stderr)));
    }
    Ok(steps(&output.stdout))
}

/// Runs a program of ours in a copy, with its plan beside it, in the interpreter of the host's dnf, or else this machine's.
pub fn ask(
    root: &Root,
    chamber: Option<&Chamber>,
    copy: &Staging,
    name: &str,
    timeout: Duration,
) -> Result<Output, ResolveError> {
    let no_tool = || ResolveError::no_tool("dnf", chamber);
    let ready = chamber.filter(|chamber| chamber.is_ready());
    let program = match ready {
        Some(chamber) => python::of_host(root, chamber),
        None => command::find("python3"),
    };
    let output = command::run(&Call {
        program: program.ok_or_else(no_tool)?,
        root: ready.map(|chamber| chamber.path().to_owned()),
        // Isolated: neither the user's nor the working folder's modules are looked at.
        arguments: vec!["-I".into(), copy.seen(name).into(), copy.seen("plan.json").into()],
        environment: ["HOME", "TMPDIR"].map(|name| (name, copy.seen("cache").into())).to_vec(),
        output_bytes_max: OUTPUT_BYTES_MAX,
        timeout,
    })?;
    if !output.success && output.stderr.contains(NO_LIBRARY) {
        return Err(no_tool());
    }
    Ok(output)
}

/// The last of what Python wrote, in one text of a few sentences.
pub fn complaint(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = lines[lines.len().saturating_sub(20)..].join("; ");
    crate::unread::text(&text, 1_800)
}

/// A copy of rpm's database, where dnf and rpm look for it below a root, and wherever this machine's own rpm keeps its own (Debian's: in the
/// user's home).
pub fn copy_database(
    root: &Root,
    chamber: Option<&Chamber>,
    rpm: &Rpm,
) -> Result<Staging, ResolveError> {
    let copy = Staging::within(chamber)?;
    copy.folders(&["root/var/lib/rpm", "cache/.config/rpm"])?;
    for end in ["", "-wal"] {
        let path = format!("{}{end}", rpm.path);
        let name = path.rsplit('/').next().unwrap_or_default();
        copy.copy_if_there(root, &path, &format!("root/var/lib/rpm/{name}"))?;
    }
    for macros in ["cache/.rpmmacros", "cache/.config/rpm/macros"] {
        copy.write(macros, "%_dbpath /var/lib/rpm\n")?;
    }
    copy.give("cache")?;
    copy.give("root/var/lib/rpm")?;
    Ok(copy)
}

fn copy(
    root: &Root,
    chamber: Option<&Chamber>,
    rpm: &Rpm,
    goal: &Goal,
) -> Result<Staging, ResolveError> {
    let copy = copy_database(root, chamber, rpm)?;
    copy.folders(&["root/etc/dnf/modules.d", "repos"])?;
    copy.copy_files(root, "etc/dnf/modules.d", "root/etc/dnf/modules.d")?;
    let mut repos = Vec::new();
    for (number, repo) in rpm.repos.repos.iter().enumerate() {
        let folder = format!("repos/{number}");
        copy.folders(&[&format!("{folder}/repodata")])?;
        let files = repo.data.values().map(String::as_str).chain(["repodata/repomd.xml"]);
        for file in files.filter(|file| !file.contains("..")) {
            // What dnf did not fetch (lists of files, other's changes), it does not need.
            copy.copy_if_there(
                rpm.home(root, repo),
                &format!("{}/{file}", repo.folder),
                &format!("{folder}/{file}"),
            )?;
        }
        repos.push(json!({
            "id": repo.id,
            "folder": copy.seen(&folder),
            "priority": repo.priority,
            "excludes": repo.excludes,
        }));
    }
    let wanted = match goal {
        Goal::All => None,
        Goal::Packages(Wanted { comes, goes }) => Some(json!({"comes": comes, "goes": goes})),
    };
    let plan = json!({
        "root": copy.seen("root"),
        "cache": copy.seen("cache"),
        "arch": rpm.native,
        "release": rpm.release,
        "platform": rpm.platform,
        "excludes": rpm.repos.excludes,
        "repos": repos,
        "wanted": wanted,
    });
    copy.write("plan.json", &plan.to_string())?;
    copy.write("dnf.py", PROGRAM)?;
    Ok(copy)
}

/// Pairs what comes with what goes: the same name and architecture, or else the same name.
pub fn steps(output: &str) -> Vec<Step> {
    let mut comes = Vec::new();
    let mut goes = BTreeMap::<(String, String), Vec<String>>::new();
    for line in output.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["+", name, arch, version] => comes.push((*name, *arch, *version)),
            ["-", name, arch, version] => {
                let key = ((*name).to_owned(), (*arch).to_owned());
                goes.entry(key).or_default().push((*version).to_owned());
            }
            _ => {}
        }
    }
    let mut steps = Vec::new();
    for (name, arch, version) in comes {
        let same = (name.to_owned(), arch.to_owned());
        let key = if goes.contains_key(&same) {
            Some(same)
        } else {
            goes.keys().find(|(gone, _)| gone == name).cloned()
        };
        let from = key.and_then(|key| goes.get_mut(&key)?.pop());
        steps.push(Step { name: name.into(), arch: arch.into(), from, to: Some(version.into()) });
    }
    for ((name, arch), versions) in goes {
        let removed = versions.into_iter().map(|version| Step {
            name: name.clone(),
            arch: arch.clone(),
            from: Some(version),
            to: None,
        });
        steps.extend(removed);
    }
    steps.sort();
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_paired_with_what_goes() {
        let steps = steps(
            "+ openssl-libs x86_64 1:3.0.7-27.el9\n+ new noarch 1-1\n+ changed noarch 2-1\nnoise\n\
             - openssl-libs x86_64 1:3.0.7-24.el9\n- changed x86_64 1-1\n- old noarch 1-1\n",
        );
        let lines: Vec<_> = steps
            .iter()
            .map(|step| (step.name.as_str(), step.from.as_deref(), step.to.as_deref()))
            .collect();

        assert_eq!(
            lines,
            [
                ("changed", Some("1-1"), Some("2-1")),
                ("new", None, Some("1-1")),
                ("old", Some("1-1"), None),
                ("openssl-libs", Some("1:3.0.7-24.el9"), Some("1:3.0.7-27.el9")),
            ]
        );
    }
}
