//! The files of an image that say which packages are installed, as its layers leave them. They are kept in memory, and laid out below a
//! folder of our own only in the end: no path of a layer is ever followed.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    os::unix::fs::symlink,
    path::{Component, Path},
};

use tar::EntryType;

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
/// All of them together; the database of a large distribution image has 60 MB.
const BYTES_MAX: u64 = 512 << 20;
/// Entries of all layers; the largest images have some hundred thousand.
const ENTRIES_MAX: usize = 4_000_000;
/// Begins the name of a file that says that another is gone.
const WHITEOUT: &str = ".wh.";
/// Says that everything that lower layers have in its folder is gone.
const OPAQUE: &str = ".wh..wh..opq";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    File(Vec<u8>),
    Link(String),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Layers {
    files: BTreeMap<String, Content>,
    bytes: u64,
    entries: usize,
}

impl Layers {
    /// Lays one layer over those before it.
    pub fn lay(&mut self, layer: &mut dyn Read) -> io::Result<()> {
        let mut tar = tar::Archive::new(layer);
        let mut upper: BTreeMap<String, Content> = BTreeMap::new();
        for entry in tar.entries()? {
            let mut entry = entry?;
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                return Err(over(&format!("its layers have more than {ENTRIES_MAX} entries")));
            }
            let Some(path) = plain(&entry.path_bytes()) else { continue };
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
            if name == OPAQUE {
                self.remove_below(folder);
            } else if let Some(gone) = name.strip_prefix(WHITEOUT) {
                let path =
                    if folder.is_empty() { gone.to_owned() } else { format!("{folder}/{gone}") };
                self.remove_below(&path);
                self.files.remove(&path);
            } else if wanted(&path) {
                match entry.header().entry_type() {
                    EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                        self.bytes += entry.size();
                        if self.bytes > BYTES_MAX {
                            return Err(over(&format!(
                                "its package databases have more than {BYTES_MAX} bytes"
                            )));
                        }
                        let mut bytes = Vec::new();
                        entry.read_to_end(&mut bytes)?;
                        upper.insert(path, Content::File(bytes));
                    }
                    EntryType::Symlink => {
                        let target = entry.link_name_bytes().unwrap_or_default();
                        let target = String::from_utf8_lossy(&target).into_owned();
                        upper.insert(path, Content::Link(target));
                    }
                    EntryType::Link => {
                        let target = entry.link_name_bytes().and_then(|target| plain(&target));
                        let target = target.and_then(|target| {
                            upper.get(&target).or_else(|| self.files.get(&target)).cloned()
                        });
                        upper.extend(target.map(|content| (path, content)));
                    }
                    _ => {}
                }
            }
        }
        for (path, content) in upper {
            // A file takes the place of a folder, and a folder that of a link.
            self.remove_below(&path);
            let above: Vec<String> = above(&path).map(str::to_owned).collect();
            for folder in above {
                self.files.remove(&folder);
            }
            self.files.insert(path, content);
        }
        Ok(())
    }

    /// Writes the files below a folder that is empty and ours.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        for (path, content) in &self.files {
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

    fn remove_below(&mut self, folder: &str) {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        self.files.retain(|path, _| !path.starts_with(&prefix));
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
        let told = files.files.keys().map(|path| {
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
}
