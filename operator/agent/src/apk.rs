//! apk's database of what is installed, and the indices that it keeps of its repositories.
//!
//! An index does not say which versions fix a weakness, nor does it name archives by SHA-256: that a package misses a
//! security update is known from advisories only, and no Transaction can be made. Both is said in the report. Proven on
//! files of the format, not yet on a real host.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::{self, Read},
};

use hozen_advisory::version::Scheme;
use sha1::{Digest, Sha1};
use smol_str::SmolStr;

use crate::{
    compressed::Compression,
    dpkg::{not_readable, over_long},
    package::{Installed, PACKAGES_MAX, Update},
    root::Root,
    stanza::Stanzas,
    unread::Unread,
};

/// Where the database is: of old, and where `/lib` is merged into `/usr`.
const DATABASES: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];
const REPOSITORIES: &str = "etc/apk/repositories";
const REPOSITORIES_D: &str = "etc/apk/repositories.d";
/// Packages that somebody asked for, some with the tag of a repository.
const WORLD: &str = "etc/apk/world";
/// Where indices are kept.
const CACHES: [&str; 2] = ["etc/apk/cache", "var/cache/apk"];

const CONFIGURATION_BYTES_MAX: u64 = 1 << 20;
/// Largest index, unpacked; Alpine's community has 8 MB.
const INDEX_BYTES_MAX: u64 = 512 << 20;
const TAR_BLOCK_BYTES: usize = 512;
/// Most entries of an index's archive; it has three.
const ENTRIES_MAX: usize = 64;
const REPOSITORIES_MAX: usize = 200;

/// An apk system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apk {
    /// What is installed, sorted.
    pub packages: Vec<Installed>,
    /// Path of the database below the root.
    pub path: String,
    /// Indices that are on disk, with the tag that a package has to ask for, if any.
    pub indices: Vec<(String, Option<String>)>,
}

impl Apk {
    /// Reads an apk system; `None` where there is no database, or an empty one.
    pub fn read(root: &Root, unread: &mut Unread) -> Option<Self> {
        let path = DATABASES.into_iter().find(|path| root.has(path))?;
        let mut packages = Vec::new();
        let (mut broken, mut beyond) = (0_u64, 0_u64);
        let outcome = root.file(path).map_err(|error| error.to_string()).and_then(|file| {
            let mut stanzas = Stanzas::new(file);
            let each = |stanza: &[u8]| match package(stanza) {
                Some(package) if packages.len() < PACKAGES_MAX => packages.push(package),
                Some(_) => beyond += 1,
                None => broken += 1,
            };
            stanzas.for_each(each).map_err(|error| error.to_string())?;
            Ok(stanzas.oversized())
        });
        match outcome {
            Ok(0) => {}
            Ok(oversized) => unread.note_partial(path, over_long(oversized)),
            Err(why) => unread.note_partial(path, why),
        }
        if broken > 0 {
            unread.note_partial(path, not_readable(broken));
        }
        if beyond > 0 {
            unread.note_partial(
                path,
                format!("{beyond} packages are over the limit of {PACKAGES_MAX}"),
            );
        }
        packages.sort();
        (!packages.is_empty()).then(|| Self {
            packages,
            path: path.to_owned(),
            indices: indices(root, unread),
        })
    }

    /// Newer versions that the indices offer, sorted; `None` where no index is on disk.
    pub fn updates(&self, root: &Root, unread: &mut Unread) -> Option<Vec<Update>> {
        if self.indices.is_empty() {
            return None;
        }
        unread.note(
            "security updates",
            "apk's indices do not say which versions fix a weakness; advisories do",
        );
        let asked = asked_tags(root);
        let wanted: BTreeSet<&str> =
            self.packages.iter().map(|package| package.name.as_str()).collect();
        let mut newest = BTreeMap::<SmolStr, (String, &str)>::new();
        for (path, tag) in &self.indices {
            let mut each = |offer: Installed| {
                let tagged = tag.as_ref().is_none_or(|tag| asked.get(&offer.name) == Some(tag));
                let known = newest.get(offer.name.as_str());
                let newer = known.is_none_or(|(version, _)| is_after(&offer.version, version));
                if wanted.contains(offer.name.as_str()) && tagged && newer {
                    newest.insert(offer.name.into(), (offer.version, path));
                }
            };
            let outcome = root
                .file(path)
                .map_err(|error| error.to_string())
                .and_then(|file| index(file, &mut each).map_err(|error| error.to_string()));
            if let Err(why) = outcome {
                unread.note(path, why);
            }
        }
        let updates = self.packages.iter().filter_map(|package| {
            let (version, path) = newest.get(package.name.as_str())?;
            is_after(version, &package.version).then(|| Update {
                name: package.name.clone(),
                arch: package.arch.clone(),
                from: package.version.clone(),
                to: version.clone(),
                security: None,
                origins: vec![path.rsplit('/').next().unwrap_or_default().to_owned()],
                to_is_security: false,
                held: false,
            })
        });
        Some(updates.collect())
    }

    /// Architecture of most packages.
    pub fn native(&self) -> &str {
        let with_arch = self.packages.iter().find(|package| package.arch != "noarch");
        with_arch.map_or("", |package| &package.arch)
    }

    /// When the oldest of the indices was fetched, in seconds since 1970.
    pub fn refreshed_at(&self, root: &Root) -> Option<i64> {
        self.indices.iter().filter_map(|(path, _)| root.modified(path).ok()).min()
    }

    /// Files of the named packages, by name.
    pub fn files(&self, root: &Root, names: &BTreeSet<&str>) -> BTreeMap<String, Vec<String>> {
        let mut files = BTreeMap::<String, Vec<String>>::new();
        if let Ok(file) = root.file(&self.path) {
            // The error was noted when the packages were read.
            let _ = Stanzas::new(file).for_each(|stanza| {
                if let Some(package) =
                    package(stanza).filter(|package| names.contains(package.name.as_str()))
                {
                    files.entry(package.name).or_default().extend(paths(stanza));
                }
            });
        }
        files
    }
}

/// Lines `X:value` of an entry.
fn fields(stanza: &[u8]) -> impl Iterator<Item = (u8, &str)> {
    stanza.split(|byte| *byte == b'\n').filter_map(|line| match line {
        [letter, b':', value @ ..] => Some((*letter, std::str::from_utf8(value).ok()?)),
        _ => None,
    })
}

/// One package of the database or of an index.
pub fn package(stanza: &[u8]) -> Option<Installed> {
    let mut package = Installed::default();
    let mut origin = None;
    for (letter, value) in fields(stanza) {
        match letter {
            b'P' => value.clone_into(&mut package.name),
            b'V' => value.clone_into(&mut package.version),
            b'A' => value.clone_into(&mut package.arch),
            b'I' => package.installed_bytes = value.parse().unwrap_or(0),
            b'o' => origin = Some(value.to_owned()),
            b'D' => package.needs = value.split_whitespace().filter_map(need).collect(),
            _ => {}
        }
    }
    package.source = origin.map(|origin| (origin, package.version.clone()));
    package.is_plausible().then_some(package)
}

/// `so:libc.musl-x86_64.so.1`, `!conflict`, `busybox>=1.36`: only plain names are kept.
fn need(text: &str) -> Option<SmolStr> {
    let name = text.split(['<', '>', '=', '~', '@']).next()?;
    (!name.is_empty() && !name.contains([':', '/', '!'])).then(|| name.into())
}

/// Files of an entry of the database: `F:` names a folder, `R:` a file in it.
fn paths(stanza: &[u8]) -> Vec<String> {
    let mut folder = "";
    let mut paths = Vec::new();
    for (letter, value) in fields(stanza) {
        match letter {
            b'F' => folder = value,
            b'R' if folder.is_empty() => paths.push(format!("/{value}")),
            b'R' => paths.push(format!("/{folder}/{value}")),
            _ => {}
        }
    }
    paths
}

/// Indices of the configured repositories that are on disk. Each is named by the beginning of the SHA-1 of its
/// repository's address.
fn indices(root: &Root, unread: &mut Unread) -> Vec<(String, Option<String>)> {
    let mut text = root.text(REPOSITORIES, CONFIGURATION_BYTES_MAX).unwrap_or_default();
    for entry in root.list(REPOSITORIES_D, REPOSITORIES_MAX).unwrap_or_default() {
        if entry.name.strip_suffix(".list").is_some() {
            let path = format!("{REPOSITORIES_D}/{}", entry.name);
            text.push('\n');
            text.push_str(&root.text(&path, CONFIGURATION_BYTES_MAX).unwrap_or_default());
        }
    }
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut indices = Vec::new();
    for line in lines.take(REPOSITORIES_MAX) {
        let (tag, address) =
            match line.strip_prefix('@').and_then(|rest| rest.split_once(char::is_whitespace)) {
                Some((tag, address)) => (Some(tag.to_owned()), address.trim()),
                None => (None, line),
            };
        let name = index_name(address);
        match CACHES
            .into_iter()
            .map(|folder| format!("{folder}/{name}"))
            .find(|path| root.has(path))
        {
            Some(path) => indices.push((path, tag)),
            None => unread.note(format!("index of {address}"), "none on disk; run apk update"),
        }
    }
    indices
}

fn index_name(address: &str) -> String {
    let digest = Sha1::digest(address.as_bytes());
    let mut name = "APKINDEX.".to_owned();
    for byte in digest.iter().take(4) {
        // Writing to a string does not fail.
        let _ = write!(name, "{byte:02x}");
    }
    name + ".tar.gz"
}

/// Tags that somebody asked for, by package: `nginx@edge`.
fn asked_tags(root: &Root) -> BTreeMap<String, String> {
    let world = root.text(WORLD, CONFIGURATION_BYTES_MAX).unwrap_or_default();
    let words = world.split_whitespace();
    words
        .filter_map(|word| word.split_once('@'))
        .map(|(name, tag)| {
            let name = name.split(['<', '>', '=', '~']).next().unwrap_or(name);
            (name.to_owned(), tag.to_owned())
        })
        .collect()
}

/// Calls `each` with every package of an index: a compressed archive whose entry `APKINDEX` has the packages.
pub fn index(stream: impl Read, each: &mut impl FnMut(Installed)) -> io::Result<()> {
    let mut archive = Compression::Gzip.unpack(stream, INDEX_BYTES_MAX)?;
    for _ in 0..ENTRIES_MAX {
        let mut head = [0; TAR_BLOCK_BYTES];
        match archive.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            outcome => outcome?,
        }
        if head.iter().all(|byte| *byte == 0) {
            continue;
        }
        let bytes = entry_bytes(&head).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "an entry of the archive has no size")
        })?;
        let padding = bytes.next_multiple_of(TAR_BLOCK_BYTES as u64) - bytes;
        if head.starts_with(b"APKINDEX\0") {
            return Stanzas::new(archive.take(bytes)).for_each(|stanza| {
                if let Some(package) = package(stanza) {
                    each(package);
                }
            });
        }
        io::copy(&mut archive.by_ref().take(bytes + padding), &mut io::sink())?;
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the archive has no APKINDEX"))
}

/// Size of an archive's entry: octal digits.
fn entry_bytes(head: &[u8; TAR_BLOCK_BYTES]) -> Option<u64> {
    let digits = std::str::from_utf8(&head[124..136]).ok()?;
    let bytes = u64::from_str_radix(digits.trim_matches(['\0', ' ']), 8).ok()?;
    (bytes <= INDEX_BYTES_MAX).then_some(bytes)
}

fn is_after(a: &str, b: &str) -> bool {
    Scheme::Apk.compare(a, b) == Ok(Ordering::Greater)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// An index as `apk index` and `abuild-sign` make it: a signature's archive without end, and the index's, one after
    /// the other, each compressed by itself.
    fn packed(packages: &str) -> Vec<u8> {
        let entry = |name: &str, content: &str| {
            let mut block = vec![0; TAR_BLOCK_BYTES];
            block[..name.len()].copy_from_slice(name.as_bytes());
            let size = format!("{:011o}\0", content.len());
            block[124..136].copy_from_slice(size.as_bytes());
            block.extend(content.bytes());
            block.resize(block.len().next_multiple_of(TAR_BLOCK_BYTES), 0);
            block
        };
        let gzip = |bytes: &[u8]| {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(bytes).unwrap();
            packer.finish().unwrap()
        };
        let index =
            [entry("DESCRIPTION", "v3.20"), entry("APKINDEX", packages), vec![0; 1024]].concat();
        [gzip(&entry(".SIGN.RSA.key.rsa.pub", "signature")), gzip(&index)].concat()
    }

    fn root(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let root = Root::open(folder.path()).unwrap();
        (folder, root)
    }

    const DATABASE: &[u8] = b"C:Q1abc=\nP:libssl3\nV:3.3.1-r0\nA:x86_64\nS:1\nI:5000\no:openssl\n\
        D:so:libc.musl-x86_64.so.1 busybox>=1.36\nF:lib\nR:libssl.so.3\na:0:0:755\nZ:Q1x=\nF:usr/lib\nR:libssl.so.3\n\n\
        P:nginx\nV:1.26.1-r0\nA:x86_64\nI:1\no:nginx\n\nP:lie lie\nV:1\n";

    #[test]
    fn the_database_names_packages_sources_needs_and_files() {
        let (_folder, root) = root(&[(DATABASES[0], DATABASE)]);
        let mut unread = Unread::default();
        let apk = Apk::read(&root, &mut unread).unwrap();

        let libssl = &apk.packages[0];
        assert_eq!((libssl.name.as_str(), libssl.installed_bytes), ("libssl3", 5000));
        assert_eq!(libssl.source, Some(("openssl".into(), "3.3.1-r0".into())));
        assert_eq!(libssl.needs, ["busybox"]);
        assert_eq!(
            apk.files(&root, &BTreeSet::from(["libssl3"]))["libssl3"],
            ["/lib/libssl.so.3", "/usr/lib/libssl.so.3"]
        );
        let entries = unread.into_entries();
        assert!(entries[0].partial && entries[0].why.starts_with("1 entry names no package"));
    }

    #[test]
    fn only_configured_indices_count_and_tagged_ones_only_where_asked_for() {
        let main = "https://apk.example.com/v3.20/main";
        let edge = "https://apk.example.com/edge/main";
        let of = |address: &str| format!("var/cache/apk/{}", index_name(address));
        let repositories = format!("# c\n{main}\n@edge {edge}\n");
        let (_folder, root) = root(&[
            (DATABASES[0], DATABASE),
            (REPOSITORIES, repositories.as_bytes()),
            (WORLD, b"alpine-base\nnginx@edge\n"),
            (
                &of(main),
                &packed("P:libssl3\nV:3.3.2-r1\nA:x86_64\n\nP:nginx\nV:1.26.2-r0\nA:x86_64\n\n"),
            ),
            (
                &of(edge),
                &packed("P:libssl3\nV:3.9.9-r0\nA:x86_64\n\nP:nginx\nV:1.27.0-r0\nA:x86_64\n\n"),
            ),
            (&of("https://gone.example.com"), &packed("P:libssl3\nV:9-r0\nA:x86_64\n")),
        ]);
        let mut unread = Unread::default();
        let apk = Apk::read(&root, &mut unread).unwrap();

        let updates = apk.updates(&root, &mut unread).unwrap();
        let found: Vec<_> =
            updates.iter().map(|update| (update.name.as_str(), update.to.as_str())).collect();
        assert_eq!(found, [("libssl3", "3.3.2-r1"), ("nginx", "1.27.0-r0")]);
    }

    #[test]
    fn an_archive_that_lies_ends_with_an_error() {
        for lie in [&b""[..], b"no gzip", &packed("")[..40]] {
            assert!(index(lie, &mut |_| {}).is_err());
        }
    }
}
