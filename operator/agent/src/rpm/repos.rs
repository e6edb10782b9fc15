//! Repositories that dnf or zypper is configured to use, and where their metadata lie on disk.

use std::collections::BTreeMap;

use quick_xml::{Reader, events::Event};

use crate::{
    refresh::Indices,
    root::{ReadError, Root},
    unread::Unread,
};

/// Folders of repositories' configuration; the last is zypper's.
pub const CONFIGURED: [&str; 3] = ["etc/yum.repos.d", "etc/distro.repos.d", "etc/zypp/repos.d"];
/// Folders of dnf's and dnf5's caches: one folder for each repository, its name followed by a hash.
const CACHES: [&str; 2] = [DNF, "var/cache/libdnf5"];
/// dnf's cache, the host's as well as the scanner's own.
pub const DNF: &str = "var/cache/dnf";
/// zypper's cache: one folder for each repository.
pub const ZYPPER: &str = "var/cache/zypp/raw";
/// What is true of all of zypper's repositories that do not say otherwise.
const ZYPP_CONF: &str = "etc/zypp/zypp.conf";
/// What is true of all of dnf's repositories that do not say otherwise.
pub const MAIN: [&str; 2] = ["etc/dnf/dnf.conf", "etc/yum.conf"];
/// Packages that the plugin `versionlock` holds.
const LOCKS: [&str; 2] =
    ["etc/dnf/plugins/versionlock.list", "etc/yum/pluginconf.d/versionlock.list"];

const FILES_MAX: usize = 1_000;
const CONFIGURATION_BYTES_MAX: u64 = 1 << 20;
const REPOMD_BYTES_MAX: u64 = 4 << 20;
/// Most repositories that are looked at.
const REPOS_MAX: usize = 500;
/// Priority of a repository that names none.
const PRIORITY: u32 = 99;

/// A repository whose metadata are on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repo {
    /// Its name in the configuration.
    pub id: String,
    /// Whether its metadata are the scanner's own, and not those of the host's disk.
    pub own: bool,
    /// Folder that holds `repodata`.
    pub folder: String,
    /// As of when the metadata are, in seconds since 1970.
    pub refreshed_at: Option<i64>,
    /// Its metadata by type (`primary`, `updateinfo`, `modules`): path below the folder.
    pub data: BTreeMap<String, String>,
    /// The lower hides the higher.
    pub priority: u32,
    /// Shell patterns of packages that are not taken from it.
    pub excludes: Vec<String>,
}

/// Configuration of all repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repos {
    /// Those that are enabled and whose metadata are on disk, by name.
    pub repos: Vec<Repo>,
    /// Patterns of packages that are taken from none.
    pub excludes: Vec<String>,
    /// Patterns of packages that are held.
    pub locks: Vec<String>,
    /// Whether they are zypper's.
    pub zypper: bool,
}

/// Name of a section, and its options.
pub type Section = (String, BTreeMap<String, String>);

/// Metadata that are on disk.
struct Found {
    folder: String,
    data: BTreeMap<String, String>,
    /// When the repository made them, by its own word, in seconds since 1970; 0 where it says nothing.
    made: i64,
}

/// Reads the configuration and finds the metadata: of each repository the host's, or the scanner's own where those are as new.
pub fn read(root: &Root, own: Option<&Indices>, unread: &mut Unread) -> Repos {
    let mut repos = Repos::default();
    let mut names = Vec::new();
    for path in MAIN {
        let sections = sections_of(root, path, unread);
        let main = sections.into_iter().find(|(name, _)| name == "main");
        repos.excludes.extend(main.iter().flat_map(|(_, options)| excludes(options)));
    }
    for folder in CONFIGURED {
        let found = configured(root, folder, unread);
        repos.zypper |= folder == CONFIGURED[2] && !found.is_empty();
        names.extend(found);
    }
    names.retain(|(_, options)| is_enabled(options));
    names.truncate(REPOS_MAX);
    names.retain(|(id, _)| {
        if !is_name(id) {
            let why =
                "its name is none of a folder; name it without `/`, and without `.` before it";
            unread.note(format!("repository {id}"), why);
        }
        is_name(id)
    });
    for path in LOCKS {
        let text = root.text(path, CONFIGURATION_BYTES_MAX).unwrap_or_default();
        let lines = text.lines().map(str::trim);
        repos.locks.extend(
            lines
                .filter(|line| !line.is_empty() && !line.starts_with(['#', '!']))
                .map(str::to_owned),
        );
    }
    for (id, options) in names {
        let local = local(root, &options);
        let own = own.filter(|_| local.is_none());
        let on_disk = local.or_else(|| find(root, &id));
        let is_on_disk = on_disk.is_some();
        let hosts = on_disk.and_then(|folder| found(root, folder, unread));
        let fetched = hosts.as_ref().and_then(|found| modified(root, &found.folder));
        let ours = own.and_then(|own| found(&own.root, find(&own.root, &id)?, unread));
        let hosts_made = hosts.as_ref().map(|found| found.made);
        let ours = ours.filter(|ours| hosts_made.is_none_or(|made| ours.made >= made));
        // Where the host knows nothing older, its own look at the repository counts, too.
        let refreshed_at = match (&ours, own) {
            (Some(ours), Some(own)) if hosts_made < Some(ours.made) => Some(own.as_of),
            (Some(_), Some(own)) => Some(own.as_of).max(fetched),
            _ => fetched,
        };
        let own = ours.is_some();
        let Some(Found { folder, data, .. }) = ours.or(hosts) else {
            if !is_on_disk {
                let run = if repos.zypper { "zypper refresh" } else { "dnf makecache" };
                let why = format!("none on disk; run {run}");
                unread.note(format!("metadata of repository {id}"), why);
            }
            continue;
        };
        repos.repos.push(Repo {
            own,
            folder,
            refreshed_at,
            data,
            priority: options
                .get("priority")
                .and_then(|text| text.parse().ok())
                .unwrap_or(PRIORITY),
            excludes: excludes(&options),
            id,
        });
    }
    repos
}

fn found(root: &Root, folder: String, unread: &mut Unread) -> Option<Found> {
    match repomd(root, &folder) {
        Ok((data, made)) => Some(Found { folder, data, made }),
        Err(why) => {
            unread.note(format!("{folder}/repodata/repomd.xml"), why);
            None
        }
    }
}

/// A repository of zypper's whose signature check its configuration switches off, or `zypp.conf` for all of them; none where all are
/// checked. That of the metadata alone may be off: libzypp then insists on that of the packages.
pub fn unchecked(root: &Root) -> Option<String> {
    let is_off = |options: &BTreeMap<String, String>| {
        ["gpgcheck", "pkg_gpgcheck"].into_iter().any(|name| is_no(options.get(name)))
    };
    let mut unread = Unread::default();
    let all = sections_of(root, ZYPP_CONF, &mut unread).into_iter();
    if all.filter(|(name, _)| name == "main").any(|(_, options)| is_off(&options)) {
        return Some(format!("/{ZYPP_CONF}"));
    }
    let mut repositories = configured(root, CONFIGURED[2], &mut unread).into_iter();
    repositories.find(|(_, options)| is_enabled(options) && is_off(options)).map(|(name, _)| name)
}

/// Repositories that the files of a folder configure, whether they are in use or not.
pub fn configured(root: &Root, folder: &str, unread: &mut Unread) -> Vec<Section> {
    let entries = root.list(folder, FILES_MAX).unwrap_or_default();
    let files = entries.into_iter().filter(|entry| entry.name.strip_suffix(".repo").is_some());
    files.flat_map(|entry| sections_of(root, &format!("{folder}/{}", entry.name), unread)).collect()
}

/// Whether an option is said to be off; one that is not there is not.
pub fn is_no(value: Option<&String>) -> bool {
    let value = value.map(|value| value.to_ascii_lowercase());
    matches!(value.as_deref(), Some("0" | "no" | "false" | "off"))
}

/// Whether a repository is in use.
pub fn is_enabled(options: &BTreeMap<String, String>) -> bool {
    !is_no(options.get("enabled"))
}

fn excludes(options: &BTreeMap<String, String>) -> Vec<String> {
    let lists = ["exclude", "excludepkgs"].into_iter().filter_map(|name| options.get(name));
    lists
        .flat_map(|list| list.split([',', ' ', '\n']))
        .filter(|pattern| !pattern.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Sections of a file; none where it is not there.
pub fn sections_of(root: &Root, path: &str, unread: &mut Unread) -> Vec<Section> {
    match root.text(path, CONFIGURATION_BYTES_MAX) {
        Ok(text) => sections(&text),
        Err(ReadError::Absent) => Vec::new(),
        Err(error) => {
            unread.note(path, error);
            Vec::new()
        }
    }
}

/// `[section]` and `name = value` lines; an indented line goes on with the value before.
pub fn sections(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut last = String::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            sections.push((name.to_owned(), BTreeMap::new()));
            continue;
        }
        let Some((_, options)) = sections.last_mut() else {
            continue;
        };
        if line.starts_with([' ', '\t']) {
            if let Some(value) = options.get_mut(&last) {
                value.push('\n');
                value.push_str(trimmed);
            }
        } else if let Some((name, value)) = trimmed.split_once('=') {
            name.trim().clone_into(&mut last);
            options.insert(last.clone(), value.trim().to_owned());
        }
    }
    sections
}

/// Whether a repository of that name has a folder of that name in a cache, and no folder elsewhere.
pub fn is_name(id: &str) -> bool {
    !id.is_empty() && !id.contains('/') && !id.starts_with('.')
}

/// Folder of a repository on the node itself (`baseurl=file:///srv/repo`), which dnf reads where it is.
fn local(root: &Root, options: &BTreeMap<String, String>) -> Option<String> {
    let path = options.get("baseurl")?.strip_prefix("file:")?.trim_start_matches('/');
    let folder = path.trim_end_matches('/').to_owned();
    modified(root, &folder).map(|_| folder)
}

/// Folder of a repository's metadata in a cache.
fn find(root: &Root, id: &str) -> Option<String> {
    CACHES.into_iter().chain([ZYPPER]).find_map(|cache| find_in(root, cache, id))
}

/// Folder of a repository's metadata in this cache.
pub fn find_in(root: &Root, cache: &str, id: &str) -> Option<String> {
    if !is_name(id) {
        return None;
    }
    if cache == ZYPPER {
        let folder = format!("{cache}/{id}");
        return modified(root, &folder).map(|_| folder);
    }
    let is_hash =
        |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let entries = root.list(cache, FILES_MAX).unwrap_or_default();
    // Where the address changed there are several; the newest is the one in use.
    let folders = entries.into_iter().filter(|entry| {
        entry.name.rsplit_once('-').is_some_and(|(name, hash)| name == id && is_hash(hash))
    });
    folders
        .map(|entry| format!("{cache}/{}", entry.name))
        .filter_map(|folder| Some((modified(root, &folder)?, folder)))
        .max()
        .map(|(_, folder)| folder)
}

/// When the metadata were last fetched, in seconds since 1970.
pub fn modified(root: &Root, folder: &str) -> Option<i64> {
    root.modified(&format!("{folder}/repodata/repomd.xml")).ok()
}

/// `repomd.xml`: the files of each type, and when the youngest of them was made, or else which revision it says that it is, which
/// is a time, too, as a rule.
fn repomd(root: &Root, folder: &str) -> Result<(BTreeMap<String, String>, i64), String> {
    let text = root
        .text(&format!("{folder}/repodata/repomd.xml"), REPOMD_BYTES_MAX)
        .map_err(|error| error.to_string())?;
    let mut reader = Reader::from_str(&text);
    let (mut kind, mut element) = (String::new(), String::new());
    let (mut revision, mut youngest) = (None, None);
    let mut data = BTreeMap::new();
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag) | Event::Empty(tag)) => {
                tag.local_name().as_ref().clone_into(&mut element);
                match element.as_str() {
                    "data" => kind = super::repodata::attribute(&tag, "type").unwrap_or_default(),
                    "location" => {
                        let href = super::repodata::attribute(&tag, "href");
                        if let Some(path) = href.filter(|path| path.starts_with("repodata/")) {
                            data.insert(kind.clone(), path);
                        }
                    }
                    _ => {}
                }
            }
            Ok(Event::Text(text)) => {
                // Some have parts of a second.
                let whole = text.trim().split('.').next().and_then(|text| text.parse().ok());
                match element.as_str() {
                    "revision" => revision = whole.or(revision),
                    "timestamp" => youngest = youngest.max(whole),
                    _ => {}
                }
            }
            Ok(Event::End(_)) => element.clear(),
            Ok(Event::Eof) => return Ok((data, youngest.or(revision).unwrap_or(0))),
            Ok(_) => {}
            Err(error) => return Err(format!("is not well-formed ({error})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_options_and_continued_values_are_read() {
        let parsed = sections(
            "# c\nstray=1\n[baseos]\nname = Base\nenabled=1\nexclude=kernel*\n  nginx, php*\n\n[old]\nenabled = False\n",
        );

        assert_eq!(excludes(&parsed[0].1), ["kernel*", "nginx", "php*"]);
        assert!(is_enabled(&parsed[0].1) && !is_enabled(&parsed[1].1));
    }

    #[test]
    fn a_repository_is_found_by_its_name_and_hash_and_cannot_name_another_folder() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["baseos-0123456789abcdef", "baseos-debug-0123456789abcdef"] {
            let repodata = folder.path().join("var/cache/dnf").join(name).join("repodata");
            std::fs::create_dir_all(&repodata).unwrap();
            std::fs::write(repodata.join("repomd.xml"), "").unwrap();
        }
        let root = Root::open(folder.path()).unwrap();

        assert_eq!(find(&root, "baseos").as_deref(), Some("var/cache/dnf/baseos-0123456789abcdef"));
        assert_eq!(find(&root, "../dnf/baseos"), None);
        assert_eq!(find(&root, "appstream"), None);
    }

    /// Metadata of `base` that a repository made at a time, below a root.
    fn known(root: &std::path::Path, made: i64) {
        let repodata = root.join("var/cache/dnf/base-0123456789abcdef/repodata");
        std::fs::create_dir_all(&repodata).unwrap();
        let text = format!(
            "<repomd><revision>{made}</revision><data type=\"primary\"><location href=\"repodata/p.xml.gz\"/>\
             <timestamp>{made}.5</timestamp></data><data type=\"modules\"><timestamp>7</timestamp></data></repomd>"
        );
        std::fs::write(repodata.join("repomd.xml"), text).unwrap();
    }

    #[test]
    fn of_each_repository_the_newer_metadata_are_read_the_hosts_or_the_own() {
        let folder = tempfile::tempdir().unwrap();
        let (host, own) = (folder.path().join("host"), folder.path().join("own"));
        std::fs::create_dir_all(host.join("etc/yum.repos.d")).unwrap();
        std::fs::create_dir_all(&own).unwrap();
        std::fs::write(host.join("etc/yum.repos.d/a.repo"), "[base]\nbaseurl=http://h/\n").unwrap();
        let root = Root::open(&host).unwrap();
        let as_of = 7_000_000_000;
        let read = || {
            let indices = Indices { root: Root::open(&own).unwrap(), as_of };
            let repos = read(&root, Some(&indices), &mut Unread::default()).repos;
            repos.first().map(|repo| (repo.own, repo.refreshed_at))
        };

        assert_eq!(read(), None);
        known(&host, 1_000);
        let looked = modified(&root, "var/cache/dnf/base-0123456789abcdef");
        assert_eq!(read(), Some((false, looked)), "the scanner has fetched nothing yet");
        known(&own, 999);
        assert_eq!(read(), Some((false, looked)));
        known(&own, 1_000);
        assert_eq!(read(), Some((true, Some(as_of))));
        known(&own, 1_001);
        assert_eq!(read(), Some((true, Some(as_of))));
        std::fs::remove_dir_all(host.join("var")).unwrap();
        assert_eq!(read(), Some((true, Some(as_of))), "the host has none at all");
    }
}
