//! A signed apt repository of small packages that the tests build themselves: what a node has pending is known beforehand, and no
//! network is needed.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{error::Error, process};

/// The time of everything in a package, in seconds since 1970, so that equal packages have equal archives.
const BUILT_AT: &str = "1750000000";
/// How many files of some kilobytes each a package has besides what is asked for: an installation takes a moment.
const FILLING: u32 = 40;

/// A package to be built.
#[derive(Debug, Clone, Default)]
pub struct Package {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What it depends on, as `Depends` has it; nothing if empty.
    pub depends: &'static str,
    /// The text of its configuration file `/etc/NAME.conf`; it has none if this is empty.
    pub setting: &'static str,
    /// What is done when it is installed: `preinst`, `postinst`, `prerm`, `postrm`, each the text of a shell script.
    pub scripts: Vec<(&'static str, &'static str)>,
    /// More files, by path without a leading slash: content, and whether it is executable.
    pub files: Vec<(String, Vec<u8>, bool)>,
}

/// A repository with a key of its own.
#[derive(Debug)]
pub struct Repository {
    /// Its folder: an apt source with the suite `./`.
    pub folder: PathBuf,
    /// The public key that it is signed with, as apt takes it.
    pub key: PathBuf,
    keys: PathBuf,
    label: &'static str,
}

impl Drop for Repository {
    fn drop(&mut self) {
        end_agents(&self.keys);
    }
}

/// The folder of a repository's keys, below that which it was made in.
pub(crate) const KEYS: &str = "keys";

/// gpg leaves an agent running for each folder of keys.
pub(crate) fn end_agents(keys: &Path) {
    let keys = keys.to_string_lossy();
    let _ = process::call("gpgconf", &["--homedir", &keys, "--kill", "all"]);
}

impl Repository {
    /// A repository without packages in `below/repository`, and its key in `below/repository.gpg`.
    ///
    /// `label` is what the repository calls itself; apt and scanners take one labelled `Debian-Security` for a security pocket.
    pub fn create(below: &Path, label: &'static str) -> Result<Self, Error> {
        let repository = Self {
            folder: below.join("repository"),
            key: below.join("repository.gpg"),
            keys: below.join(KEYS),
            label,
        };
        for folder in [&repository.folder, &repository.keys] {
            fs::create_dir_all(folder)
                .map_err(Error::io(format!("create {}", folder.display())))?;
        }
        fs::set_permissions(&repository.keys, fs::Permissions::from_mode(0o700))
            .map_err(Error::io("close the folder of the repository's key"))?;
        repository.gpg(&[
            "--passphrase",
            "",
            "--quick-generate-key",
            "tests",
            "ed25519",
            "sign",
            "0",
        ])?;
        repository.gpg(&["--output", &repository.key.to_string_lossy(), "--export"])?;
        Ok(repository)
    }

    /// Another repository beside this one, signed with the same key.
    pub fn beside(&self, folder: &str, label: &'static str) -> Result<Self, Error> {
        let folder = self.folder.with_file_name(folder);
        fs::create_dir_all(&folder).map_err(Error::io(format!("create {}", folder.display())))?;
        Ok(Self { folder, key: self.key.clone(), keys: self.keys.clone(), label })
    }

    fn gpg(&self, arguments: &[&str]) -> Result<String, Error> {
        let home = self.keys.to_string_lossy();
        let first = ["--homedir", &home, "--batch", "--yes", "--quiet"];
        process::call("gpg", &[&first[..], arguments].concat())
    }

    /// Builds packages and publishes them beside those that are there.
    pub fn publish(&self, packages: &[Package]) -> Result<(), Error> {
        for package in packages {
            self.build(package)?;
        }
        self.index()
    }

    /// The archive of a version.
    pub fn archive(&self, name: &str, version: &str) -> PathBuf {
        self.folder.join(format!("{name}_{version}_amd64.deb"))
    }

    /// SHA-256 of the archive of a version, in hexadecimal digits.
    pub fn hash(&self, name: &str, version: &str) -> Result<String, Error> {
        let sum = process::call("sha256sum", &[self.archive(name, version)])?;
        Ok(sum.split(' ').next().unwrap_or_default().to_owned())
    }

    /// Takes a version away.
    pub fn withdraw(&self, name: &str, version: &str) -> Result<(), Error> {
        fs::remove_file(self.archive(name, version)).map_err(Error::io("withdraw a package"))?;
        self.index()
    }

    /// Changes one byte of an archive and leaves the index as it is.
    pub fn tamper(&self, name: &str, version: &str) -> Result<(), Error> {
        let path = self.archive(name, version);
        let mut bytes = fs::read(&path).map_err(Error::io("read a package"))?;
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        fs::write(path, bytes).map_err(Error::io("change a package"))
    }

    /// Publishes the index anew, without a signature.
    pub fn unsign(&self) -> Result<(), Error> {
        let signed = self.folder.join("InRelease");
        fs::remove_file(signed).map_err(Error::io("remove the signature"))?;
        self.within("apt-ftparchive $OPTIONS release . >../.Release && mv ../.Release Release")
    }

    fn build(&self, package: &Package) -> Result<(), Error> {
        let tree = tempfile::tempdir().map_err(Error::io("make room for a package"))?;
        let put = |path: &str, bytes: &[u8], executable: bool| {
            let doing = || format!("write {path} of the package {}", package.name);
            let path = tree.path().join(path);
            let folder = path.parent().unwrap_or(tree.path());
            fs::create_dir_all(folder).map_err(Error::io(doing()))?;
            let mode = if executable { 0o755 } else { 0o644 };
            let mut open = fs::OpenOptions::new();
            let file = open.write(true).create(true).truncate(true).mode(mode).open(&path);
            file.and_then(|mut file| file.write_all(bytes)).map_err(Error::io(doing()))
        };
        let Package { name, version, depends, setting, scripts, files } = package;
        let depends =
            if depends.is_empty() { String::new() } else { format!("Depends: {depends}\n") };
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: tests <tests@hozen.dev>\n\
             {depends}Description: a package for tests\n"
        );
        put("DEBIAN/control", control.as_bytes(), false)?;
        if !setting.is_empty() {
            put(&format!("etc/{name}.conf"), setting.as_bytes(), false)?;
            put("DEBIAN/conffiles", format!("/etc/{name}.conf\n").as_bytes(), false)?;
        }
        for (script, text) in scripts {
            put(&format!("DEBIAN/{script}"), format!("#!/bin/sh\n{text}\n").as_bytes(), true)?;
        }
        for (path, bytes, executable) in files {
            put(path, bytes, *executable)?;
        }
        for number in 0..FILLING {
            let text = format!("{version} {number}\n").repeat(500);
            put(&format!("usr/share/{name}/{number}"), text.as_bytes(), false)?;
        }
        fs::set_permissions(tree.path(), fs::Permissions::from_mode(0o755))
            .map_err(Error::io("open the root of a package"))?;
        let mut command = Command::new("dpkg-deb");
        command.env("SOURCE_DATE_EPOCH", BUILT_AT).stdin(Stdio::null());
        command.args(["--root-owner-group", "-Zgzip", "-z1", "--build"]).arg(tree.path());
        process::output_of(command.arg(self.archive(name, version))).map(drop)
    }

    /// Publishes what is there. Each file appears whole or not at all: a node may be reading.
    fn index(&self) -> Result<(), Error> {
        self.within(
            "apt-ftparchive packages . >.Packages && mv .Packages Packages && rm -f InRelease Release && \
             apt-ftparchive $OPTIONS release . >../.Release && \
             gpg --batch --yes --quiet --output .InRelease --clearsign ../.Release && mv .InRelease InRelease",
        )
    }

    fn within(&self, script: &str) -> Result<(), Error> {
        let set = |key: &str, value: &str| format!("-o APT::FTPArchive::Release::{key}={value}");
        let options = [set("Label", self.label), set("Origin", "Hozen"), set("Suite", "tests")];
        let mut command = Command::new("sh");
        command.args(["-ec", script]).current_dir(&self.folder).stdin(Stdio::null());
        command.env("GNUPGHOME", &self.keys).env("OPTIONS", options.join(" "));
        process::output_of(&mut command).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_packages_have_equal_archives_and_what_is_published_is_signed() {
        let tools = ["gpg", "dpkg-deb", "apt-ftparchive"];
        if let Some(missing) =
            tools.iter().find(|tool| process::call(tool, &["--version"]).is_err())
        {
            crate::not_run("repository", &format!("{missing} is missing"));
            return;
        }
        let hash = || {
            let below = tempfile::tempdir().unwrap();
            let repository = Repository::create(below.path(), "Tests").unwrap();
            let package = Package { name: "alpha", version: "1", ..Package::default() };
            repository.publish(&[package]).unwrap();
            let signed = repository.folder.join("InRelease");
            let words =
                ["--no-default-keyring", "--keyring", repository.key.to_str().unwrap(), "--verify"];
            repository.gpg(&[&words[..], &[signed.to_str().unwrap()]].concat()).unwrap();
            repository.hash("alpha", "1").unwrap()
        };
        assert_eq!(hash(), hash());
    }
}
