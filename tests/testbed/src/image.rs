//! Container images made of files, without a container engine and without a registry: an archive in the layout of the OCI
//! image specification, as containerd imports it. Equal files give an equal archive, byte for byte.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::{error::Error, process};

/// The image of the container that holds a pod's network.
pub const PAUSE: &str = "hozen.test/pause:1";
/// An image with a shell, for tests.
pub const BUSYBOX: &str = "hozen.test/busybox:1";
/// A file of an image is read into memory; ours are tens of megabytes.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// What stands at a path of an image.
#[derive(Debug, Clone)]
pub enum Content {
    /// A file, copied from this machine, with its mode.
    File(PathBuf, u32),
    /// A symbolic link.
    Link(String),
    /// A folder, with its mode.
    Folder(u32),
}

impl Content {
    /// A file with one of two modes: executable or not.
    pub fn of(file: PathBuf) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let executable =
            fs::metadata(&file).is_ok_and(|data| data.permissions().mode() & 0o111 != 0);
        Self::File(file, if executable { 0o755 } else { 0o644 })
    }
}

/// An image to be built.
#[derive(Debug, Clone)]
pub struct Image {
    /// Name and tag.
    pub reference: String,
    /// What it runs.
    pub entrypoint: Vec<String>,
    /// As whom, `UID:GID`.
    pub user: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What it holds, by path without a leading slash. Folders above a path are made.
    pub contents: BTreeMap<String, Content>,
}

impl Image {
    /// Writes the archive and gives the digest of its manifest, `sha256:…`.
    pub fn write(&self, archive: &Path) -> Result<String, Error> {
        let unpacked = self.layer()?;
        let layer = packed(&unpacked).map_err(Error::io(format!("pack {}", self.reference)))?;
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint, "User": self.user, "Labels": self.labels,
                "Env": ["PATH=/usr/bin:/bin"], "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": [digest(&unpacked)]},
        });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "annotations": self.labels,
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": described("application/vnd.oci.image.config.v1+json", &config),
            "layers": [described("application/vnd.oci.image.layer.v1.tar+gzip", &layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        let mut entry = described("application/vnd.oci.image.manifest.v1+json", &manifest);
        entry["annotations"] = json!({"io.containerd.image.name": self.reference});
        let index = json!({"schemaVersion": 2, "manifests": [entry]});

        let doing = format!("write {}", archive.display());
        let out = File::create(archive).map_err(Error::io(doing.clone()))?;
        let mut out = Builder::new(out);
        let mut put = |path: &str, bytes: &[u8]| {
            append(&mut out, path, EntryType::Regular, 0o644, bytes)
                .map_err(Error::io(doing.clone()))
        };
        put("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        put("index.json", index.to_string().as_bytes())?;
        for blob in [&config, &manifest, &layer] {
            put(&format!("blobs/sha256/{}", hex(blob)), blob)?;
        }
        out.finish().map_err(Error::io(doing))?;
        Ok(digest(&manifest))
    }

    fn layer(&self) -> Result<Vec<u8>, Error> {
        let mut contents = self.contents.clone();
        for path in self.contents.keys() {
            for above in Path::new(path).ancestors().skip(1) {
                let above = above.to_string_lossy().into_owned();
                if !above.is_empty() {
                    contents.entry(above).or_insert(Content::Folder(0o755));
                }
            }
        }
        let mut layer = Builder::new(Vec::new());
        for (path, content) in &contents {
            let doing = format!("put {path} into the image {}", self.reference);
            match content {
                Content::Folder(mode) => {
                    append(&mut layer, &format!("{path}/"), EntryType::Directory, *mode, &[])
                }
                Content::Link(to) => {
                    let mut header = header(EntryType::Symlink, 0o777, 0);
                    layer.append_link(&mut header, path, to)
                }
                Content::File(from, mode) => {
                    let bytes = read(from)?;
                    append(&mut layer, path, EntryType::Regular, *mode, &bytes)
                }
            }
            .map_err(Error::io(doing))?;
        }
        layer.into_inner().map_err(Error::io(format!("put {} together", self.reference)))
    }
}

/// Name of the image in an archive, by tag and by digest: `a/b:1` and `a/b@sha256:…`; none where the archive names none in this way,
/// and an error where it is no archive of an image.
pub fn names(archive: &Path) -> Result<Option<(String, String)>, Error> {
    let file = File::open(archive).map_err(Error::io(format!("read {}", archive.display())))?;
    let not = |why: String| Error::NotAnImage { path: archive.to_owned(), why };
    let mut entries = tar::Archive::new(file);
    let mut of_docker = false;
    // What the library says of a file of another kind quotes that file.
    let no_tar = |_| not("it is no tar file, or cut off".into());
    for entry in entries.entries().map_err(no_tar)? {
        let entry = entry.map_err(no_tar)?;
        let Ok(path) = entry.path() else { continue };
        of_docker |= *path == *Path::new("manifest.json");
        if *path == *Path::new("index.json") {
            let index: Value = serde_json::from_reader(entry.take(FILE_BYTES_MAX))
                .map_err(|why| not(format!("index.json: {why}")))?;
            let manifest = &index["manifests"][0];
            let name = manifest["annotations"]["io.containerd.image.name"].as_str();
            let repository = name.and_then(|name| Some((name, name.rsplit_once(':')?.0)));
            let digest = manifest["digest"].as_str();
            return Ok(repository.zip(digest).map(|((name, repository), digest)| {
                (name.to_owned(), format!("{repository}@{digest}"))
            }));
        }
    }
    if of_docker {
        return Ok(None);
    }
    Err(not("it holds neither index.json nor manifest.json".into()))
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let doing = || format!("read {}", file.display());
    let mut bytes = Vec::new();
    let open = File::open(file).map_err(Error::io(doing()))?;
    open.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(Error::io(doing()))?;
    let size = fs::metadata(file).map_err(Error::io(doing()))?.len();
    if size == bytes.len() as u64 {
        return Ok(bytes);
    }
    let source = std::io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes"));
    Err(Error::Io { doing: doing(), source })
}

/// No times and no owners: they would differ from build to build.
fn header(kind: EntryType, mode: u32, size: usize) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn append<W: std::io::Write>(
    out: &mut Builder<W>,
    path: &str,
    kind: EntryType,
    mode: u32,
    bytes: &[u8],
) -> std::io::Result<()> {
    out.append_data(&mut header(kind, mode, bytes.len()), path, bytes)
}

/// As registries keep layers. Without a time, and by this library alone: equal bytes in, equal bytes out.
fn packed(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = GzEncoder::new(Vec::new(), Compression::best());
    out.write_all(bytes)?;
    out.finish()
}

fn described(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()})
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(bytes))
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// The pause image, of the program built from Kubernetes' own source.
pub fn pause(program: PathBuf) -> Image {
    Image {
        reference: PAUSE.to_owned(),
        entrypoint: vec!["/pause".into()],
        user: "65535:65535".into(),
        labels: BTreeMap::new(),
        contents: BTreeMap::from([("pause".into(), Content::File(program, 0o755))]),
    }
}

/// The busybox image, of Debian's static busybox.
pub fn busybox(program: PathBuf) -> Image {
    let links =
        ["sh", "cat", "ls", "sleep", "wget", "nsenter", "id", "grep", "env", "test", "stat"];
    let mut contents: BTreeMap<String, Content> =
        links.iter().map(|name| (format!("bin/{name}"), Content::Link("busybox".into()))).collect();
    contents.insert("bin/busybox".into(), Content::File(program, 0o755));
    contents.insert("tmp".into(), Content::Folder(0o1777));
    Image {
        reference: BUSYBOX.to_owned(),
        entrypoint: vec!["/bin/sh".into()],
        user: "0:0".into(),
        labels: BTreeMap::new(),
        contents,
    }
}

/// Builds a program of this repository as its images have it, static, and says where it is. Optimised little, so that it is soon there.
pub fn program(package: &str, name: &str) -> Result<PathBuf, Error> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let folder =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--profile", "quick", "--package", package]);
    build.args(["--target", &target, "--target-dir"]).arg(&folder).current_dir(&root);
    process::output_of(build.env(format!("CC_{}", target.replace('-', "_")), "cc"))?;
    Ok(folder.join(target).join("quick").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(folder: &Path) -> Image {
        let program = folder.join("program");
        fs::write(&program, "#!/bin/true").unwrap();
        let mut image = busybox(program);
        image.labels.insert("org.opencontainers.image.title".into(), "a test".into());
        image
    }

    #[test]
    fn two_builds_in_two_folders_give_the_same_bytes() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let archives = [one.path().join("a.tar"), two.path().join("b.tar")];
        let first = image(one.path()).write(&archives[0]).unwrap();
        let second = image(two.path()).write(&archives[1]).unwrap();
        assert_eq!(first, second);
        let by_digest = format!("hozen.test/busybox@{first}");
        assert_eq!(names(&archives[0]).unwrap(), Some((BUSYBOX.to_owned(), by_digest)));
        assert_eq!(fs::read(&archives[0]).unwrap(), fs::read(&archives[1]).unwrap());
    }

    #[test]
    fn what_is_no_archive_of_an_image_is_told_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.tar");
        let why = |file: &Path| names(file).unwrap_err().to_string();
        fs::write(&file, "secret=1\n".repeat(200)).unwrap();
        assert!(why(&file).contains("no archive of an image") && !why(&file).contains("secret"));
        let mut other = Builder::new(File::create(&file).unwrap());
        append(&mut other, "a/file", EntryType::Regular, 0o644, b"text").unwrap();
        other.finish().unwrap();
        assert!(why(&file).contains("neither index.json nor manifest.json"), "{}", why(&file));
    }

    #[test]
    fn another_file_gives_another_digest() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a.tar");
        let mut image = image(folder.path());
        let before = image.write(&archive).unwrap();
        fs::write(folder.path().join("program"), "#!/bin/false").unwrap();
        assert_ne!(before, image.write(&archive).unwrap());
        image.user = "7:7".into();
        fs::write(folder.path().join("program"), "#!/bin/true").unwrap();
        assert_ne!(before, image.write(&archive).unwrap(), "the user is part of the image");
    }
}
