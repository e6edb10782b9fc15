//! The files of an image that say which packages are installed, as its layers leave them. They are kept in memory, and laid out below a
//! folder of our own only in the end: no path of a layer is ever followed.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    os::unix::fs::symlink,
    path::{Component, Path},
    rc::Rc,
};

use tar::EntryType;

use super::ration::Ration;

/// Where package managers keep what is installed, and distributions their name.
const WANTED: [&str; 9] = [
    "etc/os-release",
    "usr/lib/os-release",
    "var/lib/dpkg/arch",
    "var/lib/dpkg/status",
    "lib/apk/db",
    "usr/lib/apk/db",
    "var/lib/rpm",
    "usr/lib/sysimage/rpm",
    "usr/share/rpm",
];
/// Folders of which every file is wanted.
const FOLDERS: [&str; 6] = [
    "var/lib/dpkg/status.d/",
    "lib/apk/db/",
    "usr/lib/apk/db/",
    "var/lib/rpm/",
    "usr/lib/sysimage/rpm/",
    "usr/share/rpm/",
];
/// All of them together, as they are kept, their names included; the database of a large distribution image has 60 MB.
const BYTES_MAX: u64 = 512 << 20;
/// What keeping a file takes beside its name and content.
const FILE_BYTES: u64 = 128;
/// Entries of all layers; the largest images have some hundred thousand.
const ENTRIES_MAX: usize = 4_000_000;
/// Begins the name of a file that says that another is gone.
const WHITEOUT: &str = ".wh.";
/// Says that everything that lower layers have in its folder is gone.
const OPAQUE: &str = ".wh..wh..opq";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    /// Shared by hard links; each counts, for each is laid out as a file of its own.
    File(Rc<[u8]>),
    Link(String),
}

impl Content {
    fn bytes(&self) -> u64 {
        (match self {
            Self::File(bytes) => bytes.len(),
            Self::Link(target) => target.len(),
        }) as u64
    }
}

/// Files by path, and what they take.
#[derive(Debug, Default)]
struct Files {
    by_path: BTreeMap<String, Content>,
    bytes: u64,
}

impl Files {
    fn insert(&mut self, path: String, content: Content) {
        self.remove(&path);
        self.bytes += cost(&path, content.bytes());
        self.by_path.insert(path, content);
    }

    fn remove(&mut self, path: &str) {
        if let Some(gone) = self.by_path.remove(path) {
            self.bytes -= cost(path, gone.bytes());
        }
    }

    /// Removes what lies in a folder; everything for the root, which has no name.
    fn remove_below(&mut self, folder: &str) {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let from = self.by_path.range(prefix.clone()..);
        let below: Vec<String> = from
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(&prefix))
            .cloned()
            .collect();
        for path in below {
            self.remove(&path);
        }
    }
}

fn cost(path: &str, content: u64) -> u64 {
    path.len() as u64 + content + FILE_BYTES
}

/// See the module.
#[derive(Debug, Default)]
pub struct Layers {
    files: Files,
    entries: usize,
}

impl Layers {
    /// Lays one layer over those before it.
    pub fn lay(&mut self, layer: &mut dyn Read) -> io::Result<()> {
        let ration = Ration::default();
        let mut tar = tar::Archive::new(ration.clone().of(layer));
        let mut upper = Files::default();
        let mut entries = tar.entries()?;
        while let Some(entry) = ration.for_a_head(|| entries.next()) {
            let mut entry = entry?;
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                return Err(over(&format!("its layers have more than {ENTRIES_MAX} entries")));
            }
            if let Some(path) = plain(&entry.path_bytes()) {
                self.take(path, &mut entry, &mut upper)?;
            }
            // What is left of it is not part of the next head.
            io::copy(&mut entry, &mut io::sink())?;
        }
        for (path, content) in upper.by_path {
            // A file takes the place of a folder, and a folder that of a link.
            self.files.remove_below(&path);
            let above: Vec<String> = above(&path).map(str::to_owned).collect();
            for folder in above {
                self.files.remove(&folder);
            }
            self.files.insert(path, content);
        }
        Ok(())
    }

    /// Takes one entry of a layer: what it says is gone below, and what it brings into `upper`.
    fn take<R: Read>(
        &mut self,
        path: String,
        entry: &mut tar::Entry<'_, R>,
        upper: &mut Files,
    ) -> io::Result<()> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if name == OPAQUE {
            self.files.remove_below(folder);
            return Ok(());
        }
        if let Some(gone) = name.strip_prefix(WHITEOUT) {
            let path = if folder.is_empty() { gone.to_owned() } else { format!("{folder}/{gone}") };
            self.files.remove_below(&path);
            self.files.remove(&path);
            return Ok(());
        }
        if !wanted(&path) {
            return Ok(());
        }
        let target = || entry.link_name_bytes().unwrap_or_default().into_owned();
        let content = match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => None,
            EntryType::Symlink => {
                Some(Content::Link(String::from_utf8_lossy(&target()).into_owned()))
            }
            EntryType::Link => {
                let known = |target: String| {
                    let below = || self.files.by_path.get(&target);
                    upper.by_path.get(&target).or_else(below).cloned()
                };
                match plain(&target()).and_then(known) {
                    Some(content) => Some(content),
                    None => return Ok(()),
                }
            }
            _ => return Ok(()),
        };
        // It takes the place of a lower one at once, which then counts no more.
        self.files.remove(&path);
        let bytes = content.as_ref().map_or_else(|| entry.size(), Content::bytes);
        let all = self.files.bytes.saturating_add(upper.bytes);
        if all.saturating_add(cost(&path, bytes)) > BYTES_MAX {
            let what = format!("its package databases have more than {BYTES_MAX} bytes");
            return Err(over(&what));
        }
        let content = if let Some(content) = content {
            content
        } else {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            Content::File(bytes.into())
        };
        upper.insert(path, content);
        Ok(())
    }

    /// Writes the files below a folder that is empty and ours.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        for (path, content) in &self.files.by_path {
            let at = folder.join(path);
            if let Some(parent) = at.parent() {
                fs::create_dir_all(parent)?;
            }
            match content {
                Content::File(bytes) => fs::write(&at, bytes)?,
                Content::Link(target) => symlink(target, &at)?,
            }
        }
        Ok(())
    }
}

/// The folders above a path.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

/// A path without its leading `./` and `/`; none for one that goes up, or is not UTF-8.
fn plain(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut parts = Vec::new();
    for part in Path::new(text).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// Whether a path is one of a package database, or may be a link on the way to one (`lib` is one to `usr/lib`).
fn wanted(path: &str) -> bool {
    let on_the_way = |file: &str| file.starts_with(path) && file[path.len()..].starts_with('/');
    WANTED.contains(&path)
        || FOLDERS.iter().any(|folder| path.starts_with(folder))
        || WANTED.iter().any(|file| on_the_way(file))
}

fn over(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}, the limit"))
}

#[cfg(test)]
mod tests {
    use tar::{Builder, Header};

    use super::*;

    /// A layer of these entries: a file with its content, a link with its target after an arrow.
    fn layer(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut layer = Builder::new(Vec::new());
        for (path, content) in entries {
            let mut header = Header::new_gnu();
            header.set_mode(0o644);
            if let Some(target) = content.strip_prefix("-> ") {
                header.set_entry_type(EntryType::Symlink);
                header.set_size(0);
                layer.append_link(&mut header, path, target).unwrap();
            } else {
                header.set_size(content.len() as u64);
                // Not `append_data`: that refuses the paths that a stranger may write.
                let name = header.as_old_mut();
                name.name[..path.len()].copy_from_slice(path.as_bytes());
                header.set_cksum();
                layer.append(&header, content.as_bytes()).unwrap();
            }
        }
        layer.into_inner().unwrap()
    }

    fn laid(layers: &[&[(&str, &str)]]) -> BTreeMap<String, String> {
        let mut files = Layers::default();
        for entries in layers {
            files.lay(&mut layer(entries).as_slice()).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        files.write(folder.path()).unwrap();
        let told = files.files.by_path.keys().map(|path| {
            let found = fs::read_link(folder.path().join(path)).map_or_else(
                |_| fs::read_to_string(folder.path().join(path)).unwrap(),
                |target| format!("-> {}", target.display()),
            );
            (path.clone(), found)
        });
        told.collect()
    }

    const STATUS: &str = "var/lib/dpkg/status";

    #[test]
    fn an_upper_layer_replaces_and_a_whiteout_removes() {
        let base: &[(&str, &str)] =
            &[(STATUS, "old"), ("./etc/os-release", "debian"), ("bin/sh", "x")];
        assert_eq!(laid(&[base])[STATUS], "old");
        assert_eq!(laid(&[base]).len(), 2, "what no package manager keeps is not kept");
        assert_eq!(laid(&[base, &[(STATUS, "new")]])[STATUS], "new");
        for gone in ["var/lib/dpkg/.wh.status", "var/lib/.wh.dpkg", "var/lib/dpkg/.wh..wh..opq"] {
            let left = laid(&[base, &[(gone, "")]]);
            assert_eq!(left.keys().collect::<Vec<_>>(), ["etc/os-release"], "{gone}");
        }
    }

    #[test]
    fn a_folder_that_is_emptied_and_filled_again_in_one_layer_holds_the_new() {
        let again: &[(&str, &str)] =
            &[("var/lib/dpkg/status.d/a", "a"), ("var/lib/dpkg/status.d/.wh..wh..opq", "")];
        let left = laid(&[&[("var/lib/dpkg/status.d/b", "b")], again]);
        assert_eq!(left.into_keys().collect::<Vec<_>>(), ["var/lib/dpkg/status.d/a"]);
    }

    #[test]
    fn a_path_of_a_layer_leads_nowhere_else() {
        let outside: &[(&str, &str)] = &[
            ("../../etc/os-release", "up"),
            ("var/lib/rpm", "-> /tmp"),
            ("var/lib/rpm/Packages", "through a link"),
        ];
        let left = laid(&[outside]);
        assert_eq!(left.into_keys().collect::<Vec<_>>(), ["var/lib/rpm/Packages"]);
        let left = laid(&[&[("lib", "-> usr/lib"), ("usr/lib/apk/db/installed", "P:a")]]);
        assert_eq!(left["lib"], "-> usr/lib");
    }

    /// A layer of entries of one type each, as no tool writes them: path, type, what the head says of the size, link target.
    fn odd(entries: &[(&str, EntryType, &[u8], &str)]) -> Vec<u8> {
        let mut layer = Builder::new(Vec::new());
        for (path, kind, content, target) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
            header.set_cksum();
            layer.append(&header, *content).unwrap();
        }
        layer.into_inner().unwrap()
    }

    #[test]
    fn a_file_that_an_upper_layer_replaces_or_removes_counts_no_more() {
        let mut files = Layers::default();
        let old = vec![b'x'; 5000];
        for _ in 0..3 {
            let layer = odd(&[(STATUS, EntryType::Regular, &old, "")]);
            files.lay(&mut layer.as_slice()).unwrap();
        }
        assert_eq!(files.files.bytes, cost(STATUS, 5000));
        files.lay(&mut layer(&[("var/lib/dpkg/.wh.status", "")]).as_slice()).unwrap();
        assert_eq!(files.files.bytes, 0);
    }

    #[test]
    fn hard_links_share_what_they_name_and_count_against_the_limit() {
        let big = vec![0; 8 << 20];
        let names: Vec<String> = (0..70).map(|n| format!("var/lib/rpm/{n}")).collect();
        let first = (names[0].as_str(), EntryType::Regular, big.as_slice(), "");
        let more = names[1..]
            .iter()
            .map(|name| (name.as_str(), EntryType::Link, &[] as &[u8], names[0].as_str()));
        let entries: Vec<_> = std::iter::once(first).chain(more).collect();
        let mut files = Layers::default();
        files.lay(&mut odd(&entries[..3]).as_slice()).unwrap();
        let Content::File(bytes) = &files.files.by_path[&names[2]] else { panic!() };
        assert_eq!(Rc::strong_count(bytes), 3, "one copy in memory");
        let error = Layers::default().lay(&mut odd(&entries).as_slice()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "its package databases have more than 536870912 bytes, the limit"
        );
    }

    #[test]
    fn a_name_longer_than_any_is_refused_before_it_is_read() {
        let long = vec![b'a'; 2 << 20];
        for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
            let layer = odd(&[("x", kind, &long, ""), (STATUS, EntryType::Regular, b"", "")]);
            let error = Layers::default().lay(&mut layer.as_slice()).unwrap_err();
            let said = error.to_string();
            assert!(said.contains("longer than 1048576 bytes, the limit"), "{said}");
        }
        // A name of ordinary length is read, behind a file that nobody wants.
        let mut files = Layers::default();
        let long = format!("var/lib/dpkg/status.d/{}", "a".repeat(300));
        let content = vec![b'x'; 3 << 20];
        let layer = odd(&[
            ("bin/sh", EntryType::Regular, &content, ""),
            ("x", EntryType::GNULongName, long.as_bytes(), ""),
            ("y", EntryType::Regular, b"a", ""),
        ]);
        files.lay(&mut layer.as_slice()).unwrap();
        assert_eq!(files.files.by_path.keys().collect::<Vec<_>>(), [&long]);
    }
}
