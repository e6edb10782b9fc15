//! What `dnf makecache` or `zypper refresh` would fetch, by the host's own tool in the [`Chamber`], with a copy of rpm's database beside: in it
//! are the release and the keys that the host believes.
//!
//! Each repository has its own folder in the chamber's cache, and keeps what it has until the tool has verified what is newer; of each the
//! newer metadata are read, of these and the host's (see [`super::repos`]).

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use crate::{
    chamber::Chamber,
    refresh::{RefreshError, State},
    resolve::ResolveError,
    root::{ReadError, Root},
    staging::Place,
    unread::Unread,
    work::log,
};

use super::{
    Rpm,
    fetched::Fetched,
    repos::{self, CONFIGURED, DNF, MAIN, ZYPPER},
    resolve, zypper,
};

/// How long a refresh may take.
const TIMEOUT: Duration = Duration::from_mins(5);
/// dnf's program.
const PROGRAM: &str = include_str!("refresh.py");
const PROGRAM_FILE: &str = "refresh.py";
/// The file with all repositories.
const REPOS_FILE: &str = "hozen.repo";
/// Keys of the distribution, whose names may have the release in them.
const KEYS: &str = "etc/pki/rpm-gpg";
/// What stands for `$names` in addresses.
const DNF_NAMES: [&str; 2] = ["etc/dnf/vars", "etc/yum/vars"];
/// The same of zypper's, which release this is, and how it makes itself known to a repository.
const ZYPPER_READS: [&str; 3] = ["etc/zypp/vars.d", "etc/products.d", "etc/zypp/credentials.d"];
/// Most folders of a cache that are looked at.
const FOLDERS_MAX: usize = 1_000;
/// Where SUSE has its proxies.
const PROXIES: &str = "etc/sysconfig/proxy";

/// Refreshes them; whether there was anything to refresh.
pub fn run(
    chamber: &Chamber,
    host: &Root,
    rpm: &Rpm,
    state: &mut State,
) -> Result<bool, RefreshError> {
    let fetched = fetched(host, rpm);
    if fetched.text.is_empty() {
        return Ok(false);
    }
    let tool = if rpm.repos.zypper { "zypper" } else { "dnf" };
    if !chamber.is_ready() {
        return Err(RefreshError::NoTool(tool));
    }
    let place = chamber.furnish(host)?;
    Chamber::open_to_the_network(&place, host)?;
    if rpm.repos.zypper {
        Chamber::believe_by_hash(&place, host)?;
    }
    place.folders(&[KEYS])?;
    place.copy_files(host, KEYS, KEYS)?;
    for file in fetched.files.iter().map(String::as_str).chain([PROXIES]) {
        if let Some((folder, _)) = file.rsplit_once('/') {
            place.folders(&[folder])?;
        }
        place.copy_if_there(host, file, file)?;
    }
    if state.as_of == 0 {
        // What cannot be fetched is the host's, and as old as that.
        state.as_of = rpm.refreshed_at().unwrap_or_default().max(1);
        state.put(&place)?;
    }
    if rpm.repos.zypper {
        by_zypper(chamber, &place, host, rpm, &fetched)?;
    } else {
        by_dnf(chamber, &place, host, rpm, &fetched)?;
    }
    Ok(true)
}

/// All repositories that the host's tool would ask.
fn fetched(host: &Root, rpm: &Rpm) -> Fetched {
    let mut unread = Unread::default();
    let signed = rpm.repos.zypper
        || main(host).get("repo_gpgcheck").is_some_and(|value| !repos::is_no(Some(value)));
    let mut fetched = Fetched::default();
    let [dnf @ .., zypper] = CONFIGURED;
    let folders = if rpm.repos.zypper { vec![zypper] } else { dnf.to_vec() };
    for section in
        { folders }.iter().flat_map(|folder| repos::configured(host, folder, &mut unread))
    {
        fetched.add(&section, signed);
    }
    fetched
}

/// What is configured for all of dnf's repositories.
fn main(host: &Root) -> BTreeMap<String, String> {
    let mut unread = Unread::default();
    let sections = MAIN.iter().flat_map(|path| repos::sections_of(host, path, &mut unread));
    let main = sections.filter(|(name, _)| name == "main");
    main.map(|(_, options)| options).next().unwrap_or_default()
}

fn by_dnf(
    chamber: &Chamber,
    place: &Place,
    host: &Root,
    rpm: &Rpm,
    fetched: &Fetched,
) -> Result<(), RefreshError> {
    let copy = resolve::copy_database(host, Some(chamber), rpm)?;
    own_cache(chamber, place, DNF, &fetched.names)?;
    copy.folders(&["repos"])?;
    for folder in DNF_NAMES {
        let to = format!("root/{folder}");
        copy.folders(&[&to])?;
        copy.copy_files(host, folder, &to)?;
    }
    let mut all = Fetched::default();
    all.main(&main(host));
    for file in &all.files {
        if let Some((folder, _)) = file.rsplit_once('/') {
            place.folders(&[folder])?;
        }
        place.copy_if_there(host, file, file)?;
    }
    copy.write("dnf.conf", &all.text)?;
    copy.write(&format!("repos/{REPOS_FILE}"), &fetched.text)?;
    let plan = json!({
        "root": copy.seen("root"),
        "cache": copy.seen("cache"),
        "conf": copy.seen("dnf.conf"),
        "repos": copy.seen("repos"),
        "metadata": format!("/{DNF}"),
        "arch": rpm.native,
        "release": rpm.release,
    });
    copy.write("plan.json", &plan.to_string())?;
    copy.write(PROGRAM_FILE, PROGRAM)?;
    let output = resolve::ask(host, Some(chamber), &copy, PROGRAM_FILE, TIMEOUT)?;
    told(output.success, || resolve::complaint(&output.stderr))
}

fn by_zypper(
    chamber: &Chamber,
    place: &Place,
    host: &Root,
    rpm: &Rpm,
    fetched: &Fetched,
) -> Result<(), RefreshError> {
    let copy = zypper::copy_database(host, Some(chamber), rpm)?;
    own_cache(chamber, place, ZYPPER, &fetched.names)?;
    for folder in ZYPPER_READS {
        let to = format!("root/{folder}");
        copy.folders(&[&to])?;
        copy.copy_files(host, folder, &to)?;
    }
    copy.write(&format!("root/{}/{REPOS_FILE}", CONFIGURED[2]), &fetched.text)?;
    let words = ["--raw-cache-dir", &format!("/{ZYPPER}"), "refresh"].map(Into::into).to_vec();
    let output = zypper::ask(Some(chamber), &copy, words, TIMEOUT)?;
    told(output.success, || zypper::complaint(&output))
}

/// The folder that stays, in which the tool writes, without what nobody needs any more.
fn own_cache(
    chamber: &Chamber,
    place: &Place,
    folder: &str,
    names: &[String],
) -> Result<(), ResolveError> {
    place.folders(&[folder])?;
    let own = Root::open(place.path())
        .map_err(|source| ResolveError::Copy { what: "the own indices".to_owned(), source })?;
    for path in left_over(&own, folder, names) {
        // A tool may have closed to all what it wrote; that stays, as it did before.
        if let Err(error) = chamber.empty(place, &path) {
            log(format!("{path} stays: {error}"));
        }
    }
    place.folders(&[folder])?;
    place.give(folder)
}

/// Folders in the cache that are of no repository of these names, and what refreshes have left that were killed: dnf fetches into a folder
/// `tmpdir.…` in the repository's, zypper into one beside it, whose name goes on after the repository's.
fn left_over(own: &Root, cache: &str, names: &[String]) -> Vec<String> {
    let folders = |path: &str| {
        let entries = own.list(path, FOLDERS_MAX)?.into_iter().filter(|entry| entry.folder);
        Ok::<_, ReadError>(entries.map(|entry| entry.name).collect::<Vec<_>>())
    };
    let Ok(there) = folders(cache) else {
        // More than anybody has repositories: it begins anew.
        return vec![cache.to_owned()];
    };
    let kept: Vec<String> =
        names.iter().filter_map(|name| repos::find_in(own, cache, name)).collect();
    let mut left = Vec::new();
    for path in there.into_iter().map(|name| format!("{cache}/{name}")) {
        if !kept.contains(&path) {
            left.push(path);
            continue;
        }
        match folders(&path) {
            Ok(inner) => {
                let begun = inner.into_iter().filter(|name| name.starts_with("tmpdir."));
                left.extend(begun.map(|name| format!("{path}/{name}")));
            }
            Err(_) => left.push(path),
        }
    }
    left
}

fn told(success: bool, why: impl FnOnce() -> String) -> Result<(), RefreshError> {
    if success { Ok(()) } else { Err(RefreshError::Refused(why())) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_killed_refreshes_have_left_and_what_is_of_no_repository_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let left = |cache: &str, whole: &[&str], begun: &[&str]| {
            for path in whole {
                let path = folder.path().join(cache).join(path).join("repodata");
                fs::create_dir_all(&path).unwrap();
                fs::write(path.join("repomd.xml"), "").unwrap();
            }
            for path in begun {
                fs::create_dir_all(folder.path().join(cache).join(path)).unwrap();
            }
            left_over(&root, cache, &["a".to_owned(), "b".to_owned(), "new".to_owned()])
        };

        let whole = ["a-0123456789abcdef", "b-0123456789abcdef", "gone-0123456789abcdef"];
        let begun = ["a-0123456789abcdef/tmpdir.x", "new-0123456789abcdef/tmpdir.y"];
        assert_eq!(
            left(DNF, &whole, &begun),
            [
                "var/cache/dnf/a-0123456789abcdef/tmpdir.x",
                "var/cache/dnf/gone-0123456789abcdef",
                "var/cache/dnf/new-0123456789abcdef",
            ]
        );
        assert_eq!(
            left(ZYPPER, &["a", "b", "gone"], &["aX4k2Qz", "new"]),
            ["var/cache/zypp/raw/aX4k2Qz", "var/cache/zypp/raw/gone", "var/cache/zypp/raw/new",]
        );
    }
}
