//! Which packages our own work has begun to install and not brought to its end.
//!
//! dpkg knows that of itself. rpm and apk do not: killed between the files and the scripts of a package, they call it installed. So the
//! worker names the packages in a file of the host before it begins; they are installed anew by whoever comes next, and the scan calls
//! them unfinished until then.
//!
//! A name whose installation has ended is kept with what the database said then. It holds for no longer than the database says so: whoever
//! installs the package anew, in whatever version, or takes it away has finished it.

use std::{collections::BTreeMap, fs, io, path::Path};

use hozen_advisory::package::Change;

use crate::{
    package::{Installed, Unfinished},
    root::Root,
    work::folder::write_whole,
};

/// The file, below the root, in the agent's own folder.
pub const FILE: &str = "var/lib/hozen/begun";
const FOLDER: &str = "/var/lib/hozen";
const NAME: &str = "begun";
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What is unfinished on a host with these packages; nothing where the file is not there or cannot be read.
pub fn read(root: &Root, packages: &[Installed]) -> Vec<Unfinished> {
    let text = root.text(FILE, FILE_BYTES_MAX).unwrap_or_default();
    Names::parse(&text).unfinished(packages)
}

/// Names these packages, beside those that are named already.
pub fn add(changes: &[Change]) -> io::Result<()> {
    change(|names| names.0.extend(changes.iter().map(|change| (key(change), None))))
}

/// Takes these packages out: their installation has come to its end.
pub fn remove<'c>(changes: impl IntoIterator<Item = &'c Change>) -> io::Result<()> {
    change(|names| {
        for change in changes {
            names.0.remove(&key(change));
        }
    })
}

/// Nothing is being installed any more: what is still named holds as long as the database says of it what it says now. Those that are
/// `wanted` are left, for they are about to be installed anew.
pub fn settle(packages: &[Installed], wanted: &[Change]) -> io::Result<()> {
    change(|names| names.settle(packages, wanted))
}

/// Packages, as name and architecture, and what the database said of each when its installation had ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names(BTreeMap<(String, String), Option<String>>);

impl Names {
    fn parse(text: &str) -> Self {
        let entries = text.lines().filter_map(|line| {
            let mut words = line.split(' ').map(str::to_owned);
            Some(((words.next()?, words.next()?), words.next()))
        });
        Self(entries.collect())
    }

    fn text(&self) -> String {
        let lines = self.0.iter().map(|((name, arch), said)| match said {
            None => format!("{name} {arch}\n"),
            Some(said) => format!("{name} {arch} {said}\n"),
        });
        lines.collect()
    }

    fn unfinished(&self, packages: &[Installed]) -> Vec<Unfinished> {
        let holds = |(key, said): &(&(String, String), &Option<String>)| {
            said.as_ref().is_none_or(|said| *said == state(key, packages))
        };
        let held = self.0.iter().filter(holds).map(|((name, arch), _)| Unfinished {
            name: name.clone(),
            arch: arch.clone(),
            state: "begun and not brought to its end".to_owned(),
        });
        held.collect()
    }

    fn settle(&mut self, packages: &[Installed], wanted: &[Change]) {
        let is_wanted = |of: &(String, String)| wanted.iter().any(|change| key(change) == *of);
        for (key, said) in &mut self.0 {
            if said.is_none() && !is_wanted(key) {
                *said = Some(state(key, packages));
            }
        }
        self.0.retain(|key, said| said.as_ref().is_none_or(|said| *said == state(key, packages)));
    }
}

fn key(change: &Change) -> (String, String) {
    (change.name.to_string(), change.arch.to_string())
}

/// What a database says of a package, in one word: its versions, each with the second in which it was installed.
fn state((name, arch): &(String, String), packages: &[Installed]) -> String {
    let of = packages.iter().filter(|package| package.name == *name && package.arch == *arch);
    let mut versions: Vec<String> = of
        .map(|package| format!("{}@{}", package.version, package.installed_at.unwrap_or_default()))
        .collect();
    versions.sort();
    if versions.is_empty() { "-".to_owned() } else { versions.join("+") }
}

fn change(change: impl FnOnce(&mut Names)) -> io::Result<()> {
    let folder = Path::new(FOLDER);
    let path = folder.join(NAME);
    let mut names = match fs::read_to_string(&path) {
        Ok(text) => Names::parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Names::default(),
        Err(error) => return Err(error),
    };
    let before = names.clone();
    change(&mut names);
    if names == before {
        return Ok(());
    }
    if !names.0.is_empty() {
        return write_whole(folder, NAME, names.text().as_bytes(), 0o644);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(version: &str, at: i64) -> Vec<Installed> {
        vec![Installed {
            name: "alpha".into(),
            arch: "x86_64".into(),
            version: version.into(),
            installed_at: Some(at),
            ..Installed::default()
        }]
    }

    fn unfinished(names: &Names, packages: &[Installed]) -> Vec<String> {
        names.unfinished(packages).into_iter().map(|of| of.name).collect()
    }

    #[test]
    fn a_name_leaves_when_somebody_installs_the_package_anew_or_takes_it_away() {
        let mut names = Names::parse("alpha x86_64\n");
        assert_eq!(unfinished(&names, &installed("2-1", 7)), ["alpha"], "it is being installed");
        names.settle(&installed("2-1", 7), &[]);
        assert_eq!(names.text(), "alpha x86_64 2-1@7\n");
        assert_eq!(Names::parse(&names.text()), names);

        assert_eq!(unfinished(&names, &installed("2-1", 7)), ["alpha"]);
        for packages in [installed("2-1", 8), installed("3-1", 8), Vec::new()] {
            assert!(unfinished(&names, &packages).is_empty(), "{packages:?}");
        }
        names.settle(&installed("2-1", 8), &[]);
        assert_eq!(names, Names::default());
    }

    #[test]
    fn what_is_about_to_be_installed_anew_stays_named_whatever_the_database_says() {
        let change = Change::parse(&format!("alpha:x86_64 1-1 2-1 {}", "0".repeat(64))).unwrap();
        let mut names = Names::parse("alpha x86_64\n");

        names.settle(&installed("1-1", 7), &[change]);
        assert_eq!(unfinished(&names, &installed("2-1", 8)), ["alpha"]);
    }
}
