//! dpkg's database: `status`, and `status.d` as images without dpkg have it.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use crate::{
    package::{Installed, NAME_BYTES_MAX, PACKAGES_MAX, Unfinished, VERSION_BYTES_MAX},
    root::{ReadError, Root},
    stanza::{PARAGRAPH_BYTES_MAX, Paragraph, Stanzas, parse},
    unread::Unread,
};

/// Where dpkg keeps what is installed.
pub const STATUS: &str = "var/lib/dpkg/status";
/// One file per package, in images made without dpkg.
const STATUS_D: &str = "var/lib/dpkg/status.d";
/// What dpkg has changed since it wrote `status` anew: numbered files, each with the newest paragraphs of some packages. Where dpkg was
/// killed, they are all that knows of it.
const UPDATES: &str = "var/lib/dpkg/updates";
/// Lists of files, one per package.
const INFO: &str = "var/lib/dpkg/info";
/// Foreign architectures, one a line, the native one among them.
const ARCHITECTURES: &str = "var/lib/dpkg/arch";

/// Largest single file of `status.d`, and most of them.
const PARAGRAPH_FILE_BYTES_MAX: u64 = 1 << 20;
const PARAGRAPH_FILES_MAX: usize = 20_000;
/// Largest list of files of one package; `linux-headers` has 2 MiB.
const LIST_BYTES_MAX: u64 = 32 << 20;

/// What dpkg says is installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Database {
    /// Packages whose files are on disk, sorted.
    pub packages: Vec<Installed>,
    /// Native architecture.
    pub native: String,
    /// Other architectures that are allowed.
    pub foreign: Vec<String>,
    /// Packages whose installation has begun and was not finished, sorted: their files may be of two versions.
    pub unfinished: Vec<Unfinished>,
}

/// Whether the system has a dpkg database.
pub fn is_here(root: &Root) -> bool {
    root.has(STATUS) || root.has(STATUS_D)
}

/// Reads what is installed; what could not be read is noted.
pub fn read(root: &Root, unread: &mut Unread) -> Database {
    let mut tally = Tally { newer: newer(root, unread), ..Tally::default() };
    match root.file(STATUS) {
        Ok(file) => {
            let mut stanzas = Stanzas::new(file);
            if let Err(error) = stanzas.for_each(|paragraph| tally.take(STATUS, paragraph, true)) {
                unread.note_partial(STATUS, error);
            }
            let oversized = stanzas.oversized();
            if oversized > 0 {
                unread.note_partial(STATUS, over_long(oversized));
            }
        }
        Err(error) if error.is_absent() => {}
        Err(error) => unread.note_partial(STATUS, error),
    }
    for paragraph in std::mem::take(&mut tally.newer).into_values() {
        tally.take(UPDATES, &paragraph, true);
    }
    read_folder(root, unread, &mut tally);
    for (path, broken) in &tally.broken {
        unread.note_partial(path, not_readable(*broken));
    }
    if tally.beyond > 0 {
        let why = format!("{} packages are over the limit of {PACKAGES_MAX}", tally.beyond);
        unread.note_partial(STATUS, why);
    }
    tally.packages.sort();
    tally.packages.dedup();
    tally.unfinished.sort();
    let listed = root.text(ARCHITECTURES, PARAGRAPH_FILE_BYTES_MAX).unwrap_or_default();
    let native = native(&tally.packages);
    let foreign = listed
        .lines()
        .map(str::trim)
        .filter(|arch| !arch.is_empty() && *arch != native)
        .take(16)
        .map(str::to_owned)
        .collect();
    Database { packages: tally.packages, native, foreign, unfinished: tally.unfinished }
}

/// Newest paragraphs by name and architecture of their packages.
fn newer(root: &Root, unread: &mut Unread) -> BTreeMap<Key, Vec<u8>> {
    let mut newer = BTreeMap::new();
    let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let entries = match root.list(UPDATES, PARAGRAPH_FILES_MAX) {
        Ok(entries) => entries,
        Err(error) => {
            if !error.is_absent() {
                unread.note_partial(UPDATES, error);
            }
            return newer;
        }
    };
    // Their numbers have one length, so that they are sorted in the order in which they were written.
    for entry in entries.into_iter().filter(|entry| is_number(&entry.name)) {
        let path = format!("{UPDATES}/{}", entry.name);
        match root.read(&path, PARAGRAPH_FILE_BYTES_MAX) {
            Ok(file) => {
                // What is in memory cannot fail to be read.
                let _ = Stanzas::new(file.as_slice()).for_each(|paragraph| {
                    let text = String::from_utf8_lossy(paragraph);
                    if let Some(fields) = parse(&text).next() {
                        newer.insert(key(&fields), paragraph.to_vec());
                    }
                });
            }
            Err(error) => unread.note_partial(path, error),
        }
    }
    newer
}

/// Name and architecture of a package.
type Key = (String, String);

fn key(fields: &Paragraph<'_>) -> Key {
    let field = |name| fields.get(name).unwrap_or_default().to_owned();
    (field("Package"), field("Architecture"))
}

fn read_folder(root: &Root, unread: &mut Unread, tally: &mut Tally) {
    let entries = match root.list(STATUS_D, PARAGRAPH_FILES_MAX) {
        Ok(entries) => entries,
        Err(error) if error.is_absent() => return,
        Err(error) => return unread.note_partial(STATUS_D, error),
    };
    let names = entries.into_iter().map(|entry| entry.name);
    for name in names.filter(|name| !name.ends_with(".md5sums")) {
        let path = format!("{STATUS_D}/{name}");
        match root.read(&path, PARAGRAPH_FILE_BYTES_MAX) {
            Ok(paragraph) => tally.take(&path, &paragraph, false),
            Err(error) => unread.note_partial(path, error),
        }
    }
}

/// What is to be said of entries of a file from which no package can be made.
pub fn not_readable(count: u64) -> String {
    let entries = if count == 1 { "1 entry names" } else { &format!("{count} entries name") };
    format!(
        "{entries} no package that can be read: expected are a name of at most {NAME_BYTES_MAX} visible characters and a version of at most {VERSION_BYTES_MAX}"
    )
}

/// What is to be said of entries that are passed over for their length.
pub fn over_long(count: u64) -> String {
    let entries = if count == 1 { "1 entry is" } else { &format!("{count} entries are") };
    format!("{entries} over the limit of {PARAGRAPH_BYTES_MAX} bytes, and left out")
}

/// Packages read so far.
#[derive(Default)]
struct Tally {
    /// Paragraphs that stand in the place of older ones of the same package.
    newer: BTreeMap<Key, Vec<u8>>,
    packages: Vec<Installed>,
    unfinished: Vec<Unfinished>,
    /// By file: entries from which no package can be made.
    broken: BTreeMap<String, u64>,
    /// Packages over the limit.
    beyond: u64,
}

impl Tally {
    /// Takes one paragraph of a file. Images without dpkg write no `Status`: what has a file there is installed.
    fn take(&mut self, path: &str, paragraph: &[u8], needs_status: bool) {
        let text = String::from_utf8_lossy(paragraph);
        let Some(fields) = parse(&text).next() else {
            return self.is_broken(path);
        };
        if !self.newer.is_empty() && self.newer.contains_key(&key(&fields)) {
            return;
        }
        let status = fields.get("Status");
        if !is_on_disk(status, needs_status) {
            return;
        }
        match installed(&fields, status) {
            Some(package) if self.packages.len() < PACKAGES_MAX => {
                if let Some(state) = status.and_then(unfinished) {
                    let Installed { name, arch, .. } = &package;
                    let (name, arch) = (name.clone(), arch.clone());
                    self.unfinished.push(Unfinished { name, arch, state: state.to_owned() });
                }
                self.packages.push(package);
            }
            Some(_) => self.beyond += 1,
            None => self.is_broken(path),
        }
    }

    fn is_broken(&mut self, path: &str) {
        *self.broken.entry(path.to_owned()).or_default() += 1;
    }
}

/// Third word of `Status`: only these two mean that no file of the package is on disk.
fn is_on_disk(status: Option<&str>, needs_status: bool) -> bool {
    match status.and_then(|words| words.split_whitespace().nth(2)) {
        Some(state) => !matches!(state, "not-installed" | "config-files"),
        None => !needs_status,
    }
}

/// The state of a package that is not wholly installed: any but `installed` without a flag. A word that dpkg does not know is told
/// as `broken`.
fn unfinished(status: &str) -> Option<&str> {
    const STATES: [&str; 5] =
        ["half-installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending"];
    let mut words = status.split_whitespace().skip(1);
    match (words.next(), words.next()) {
        (Some("ok"), Some("installed")) => None,
        (_, Some(state)) => {
            Some(STATES.into_iter().find(|known| *known == state).unwrap_or("broken"))
        }
        (_, None) => Some("broken"),
    }
}

fn installed(fields: &Paragraph<'_>, status: Option<&str>) -> Option<Installed> {
    let version = fields.get("Version")?;
    let package = Installed {
        name: fields.get("Package")?.to_owned(),
        arch: fields.get("Architecture").unwrap_or_default().to_owned(),
        version: version.to_owned(),
        source: fields.get("Source").map(|source| source_of(source, version)),
        held: status.is_some_and(|words| words.starts_with("hold ")),
        installed_bytes: fields.number("Installed-Size").unwrap_or(0).saturating_mul(1024),
        needs: needs(fields),
        essential: ["Essential", "Protected", "Important"]
            .iter()
            .any(|name| fields.get(name).is_some_and(|value| value == "yes")),
        installed_at: None,
    };
    package.is_plausible().then_some(package)
}

/// Names in `Pre-Depends` and `Depends`: `libc6 (>= 2.34), debconf:any | debconf-2.0`.
fn needs(fields: &Paragraph<'_>) -> Vec<SmolStr> {
    let lists = ["Pre-Depends", "Depends"].into_iter().filter_map(|name| fields.get(name));
    lists
        .flat_map(|list| list.split([',', '|']))
        .filter_map(|need| need.trim().split([' ', ':', '(']).next())
        .filter(|name| !name.is_empty())
        .map(SmolStr::new)
        .collect()
}

/// `Source: name` or `Source: name (version)`.
pub fn source_of(field: &str, version: &str) -> (String, String) {
    match field.split_once('(') {
        Some((name, rest)) => {
            (name.trim().to_owned(), rest.trim_end().trim_end_matches(')').trim().to_owned())
        }
        None => (field.trim().to_owned(), version.to_owned()),
    }
}

/// dpkg's own architecture: that of `dpkg`, or else the one of most packages.
fn native(packages: &[Installed]) -> String {
    if let Some(dpkg) = packages.iter().find(|package| package.name == "dpkg") {
        return dpkg.arch.clone();
    }
    let mut counts = BTreeMap::<&str, usize>::new();
    for package in packages.iter().filter(|package| package.arch != "all") {
        *counts.entry(&package.arch).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map_or_else(String::new, |(arch, _)| arch.to_owned())
}

/// Paths that a package put on disk, absolute, as dpkg lists them.
pub fn files(root: &Root, name: &str, arch: &str) -> Result<Vec<String>, ReadError> {
    let list = match root.text(&format!("{INFO}/{name}:{arch}.list"), LIST_BYTES_MAX) {
        Err(error) if error.is_absent() => {
            root.text(&format!("{INFO}/{name}.list"), LIST_BYTES_MAX)
        }
        outcome => outcome,
    }?;
    Ok(list.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(files: &[(&str, &[u8])]) -> (Database, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let mut unread = Unread::default();
        let database = read(&Root::open(folder.path()).unwrap(), &mut unread);
        let entries = unread.into_entries();
        assert!(
            entries.iter().all(|entry| entry.partial),
            "each hides a part of what is installed"
        );
        let told = entries.into_iter().map(|entry| format!("{}: {}", entry.what, entry.why));
        (database, told.collect())
    }

    #[test]
    fn what_has_files_on_disk_is_installed_and_a_hold_is_seen() {
        let (database, unread) = scan(&[(
            STATUS,
            b"Package: dpkg\nEssential: yes\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.21.22\n\n\
              Package: libssl3\nStatus: hold ok unpacked\nArchitecture: amd64\nInstalled-Size: 2\n\
              Source: openssl\nVersion: 3.0.20-1~deb12u2\nPre-Depends: libc6 (>= 2.34)\n\
              Depends: debconf (>= 0.5) | debconf-2.0\n\n\
              Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n\
              Package: g++\nStatus: install ok half-configured\nArchitecture: i386\n\
              Source: gcc-defaults (1.203)\nVersion: 4:12.2.0-3\n",
        )]);

        let names: Vec<_> = database.packages.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["dpkg", "g++", "libssl3"]);
        assert!(database.packages[0].essential && !database.packages[1].essential);
        assert_eq!(database.packages[1].source, Some(("gcc-defaults".into(), "1.203".into())));
        assert_eq!(
            database.packages[2],
            Installed {
                name: "libssl3".into(),
                arch: "amd64".into(),
                version: "3.0.20-1~deb12u2".into(),
                source: Some(("openssl".into(), "3.0.20-1~deb12u2".into())),
                held: true,
                installed_bytes: 2048,
                needs: vec!["libc6".into(), "debconf".into(), "debconf-2.0".into()],
                essential: false,
                installed_at: None,
            }
        );
        assert_eq!((database.native.as_str(), unread.len()), ("amd64", 0));
        let unfinished: Vec<_> =
            database.unfinished.iter().map(|of| (of.name.as_str(), of.state.as_str())).collect();
        assert_eq!(unfinished, [("g++", "half-configured"), ("libssl3", "unpacked")]);
    }

    #[test]
    fn what_dpkg_had_not_written_into_its_status_when_it_was_killed_counts() {
        let (database, unread) = scan(&[
            (
                STATUS,
                b"Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n\
                  Package: b\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n",
            ),
            (
                "var/lib/dpkg/updates/0000",
                b"Package: a\nStatus: install ok half-installed\nArchitecture: amd64\nVersion: 1\n",
            ),
            (
                "var/lib/dpkg/updates/0001",
                b"Package: a\nStatus: install ok unpacked\nArchitecture: amd64\nVersion: 2\n",
            ),
            ("var/lib/dpkg/updates/tmp.i", b"Package: b\n"),
        ]);

        let packages: Vec<_> =
            database.packages.iter().map(|of| (of.name.as_str(), of.version.as_str())).collect();
        assert_eq!((packages, unread.len()), (vec![("a", "2"), ("b", "1")], 0));
        assert_eq!(database.unfinished.len(), 1);
        assert_eq!(database.unfinished[0].state, "unpacked");
    }

    #[test]
    fn images_without_dpkg_have_one_file_a_package() {
        let (database, unread) = scan(&[
            (
                "var/lib/dpkg/status.d/base",
                b"Package: base-files\nVersion: 12.4+deb12u11\nArchitecture: amd64\n",
            ),
            ("var/lib/dpkg/status.d/base.md5sums", b"0123  etc/debian_version\n"),
        ]);

        assert_eq!((database.packages.len(), unread.len()), (1, 0));
        assert_eq!(database.native, "amd64");
    }

    #[test]
    fn entries_that_lie_are_counted_and_not_repeated() {
        let (database, unread) = scan(&[(
            STATUS,
            b"Package: a\nStatus: install ok installed\nVersion: 1 2\nArchitecture: amd64\n\n\
              Package: \xff\xfe\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n\n\
              no colon\n\nPackage: b\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n",
        )]);

        assert_eq!(database.packages.len(), 1);
        assert_eq!(
            unread,
            [
                "var/lib/dpkg/status: 3 entries name no package that can be read: expected are a name of at most 214 visible characters and a version of at most 128"
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_of_its_own_file_with_the_limit_that_it_passes() {
        let mut status =
            b"Package: a\nStatus: install ok installed\nVersion: 1\n\nPackage: long\nDescription: "
                .to_vec();
        status.resize(3 << 20, b'x');
        let (database, unread) = scan(&[
            (STATUS, &status),
            ("var/lib/dpkg/status.d/good", b"Package: b\nVersion: 1\nArchitecture: amd64\n"),
            ("var/lib/dpkg/status.d/broken", b"no colon\n"),
            ("var/lib/dpkg/status.d/long", &vec![b'x'; 2 << 20]),
        ]);

        assert_eq!(database.packages.len(), 2);
        let begins = [
            "var/lib/dpkg/status: 1 entry is over the limit of 1048576 bytes",
            "var/lib/dpkg/status.d/long: ",
            "var/lib/dpkg/status.d/broken: 1 entry names no package",
        ];
        assert_eq!(unread.len(), begins.len(), "{unread:#?}");
        for (told, begin) in unread.iter().zip(begins) {
            assert!(told.starts_with(begin), "{told}");
        }
        assert!(unread[1].contains("1048576"), "{}", unread[1]);
    }
}
