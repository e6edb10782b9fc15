//! A host of rpm with dnf or zypper, and a signed repository of packages that the tests build themselves.
//!
//! The host's tools are Debian's dnf, zypper and rpm; its packages, its database, its repositories and its name are an RPM distribution's.
//! dpkg's database is taken away, so that nothing but rpm's says what is installed.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hozen_testkit::not_run;

use crate::debian::{Host, call};

/// Which tool the host has its repositories configured for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Dnf,
    Zypper,
}

/// A package to be built. Its release is always 1.
pub struct Package {
    pub name: &'static str,
    pub version: &'static str,
    pub requires: &'static str,
    /// Text of its configuration file.
    pub setting: &'static str,
}

/// What every package needs and no package of the tests brings.
const BASE: &str = "system-release = 9, system-release(releasever) = 9, /bin/sh";

/// A repository with a key of its own.
pub struct Repository {
    pub folder: PathBuf,
    keys: PathBuf,
    key: PathBuf,
    /// When its index was made, by its own word: a minute later each time, however soon.
    made: Cell<i64>,
}

impl Repository {
    pub fn new(below: &Path) -> Self {
        let repository = Self {
            folder: below.join("repository"),
            keys: below.join("keys"),
            key: below.join("tests.asc"),
            made: Cell::new(1_750_000_000),
        };
        for folder in [&repository.folder, &repository.keys] {
            fs::create_dir_all(folder).unwrap();
        }
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&repository.keys, private).unwrap();
        let home = repository.keys.to_str().unwrap().to_owned();
        let gpg = |words: &[&str]| {
            call("gpg", &[&["--homedir", &home, "--batch", "--yes", "--quiet"], words].concat());
        };
        gpg(&["--passphrase", "", "--quick-generate-key", "tests", "rsa3072", "sign", "0"]);
        gpg(&["--armor", "--output", repository.key.to_str().unwrap(), "--export"]);
        repository.build("base-system", "9", &format!("Provides: {BASE}\n"), "");
        repository
    }

    /// Builds packages, signs them, and publishes them beside those that are there; version 2 is announced as a security update.
    pub fn publish(&self, packages: &[Package]) {
        for Package { name, version, requires, setting } in packages {
            let requires = match *requires {
                "" => String::new(),
                requires => format!("Requires: {requires}\n"),
            };
            self.build(name, version, &requires, setting);
        }
        self.index();
    }

    pub fn archive(&self, name: &str, version: &str) -> PathBuf {
        self.folder.join(format!("x86_64/{name}-{version}-1.x86_64.rpm"))
    }

    /// SHA-256 of an archive.
    pub fn hash(&self, name: &str, version: &str) -> String {
        let sum = call("sha256sum", &[self.archive(name, version).to_str().unwrap()]);
        sum.split(' ').next().unwrap().to_owned()
    }

    /// Changes the last byte of an archive and leaves the index as it is.
    pub fn tamper(&self, name: &str, version: &str) {
        let path = self.archive(name, version);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path, bytes).unwrap();
    }

    /// Publishes an archive, and the index, without signatures.
    pub fn unsign(&self, name: &str, version: &str) {
        call("rpmsign", &["--delsign", self.archive(name, version).to_str().unwrap()]);
        self.within("createrepo_c --quiet --update .; rm -f repodata/repomd.xml.asc");
    }

    fn build(&self, name: &str, version: &str, head: &str, setting: &str) {
        let work = tempfile::tempdir().unwrap();
        let spec = work.path().join(format!("{name}.spec"));
        let text = format!(
            "Name: {name}\nVersion: {version}\nRelease: 1\nSummary: a test\nLicense: none\n{head}\
             %global debug_package %{{nil}}\n%global __os_install_post %{{nil}}\n%global _build_id_links none\n\
             %description\na test\n%install\nmkdir -p %{{buildroot}}/etc %{{buildroot}}/usr/share/{name}\n\
             printf '{setting}' >%{{buildroot}}/etc/{name}.conf\n\
             for n in $(seq 40); do seq 500 >%{{buildroot}}/usr/share/{name}/$n; done\n\
             %post\nsleep 0.05\nmkdir -p /var/log/posts\necho \"$SYSTEMD_OFFLINE\" >/var/log/posts/{name}-{version}\n\
             [ ! -e /etc/breaks-{name} ]\n\
             %files\n%config(noreplace) /etc/{name}.conf\n/usr/share/{name}\n"
        );
        fs::write(&spec, text).unwrap();
        let top = format!("_topdir {}", work.path().join("top").display());
        let out = format!("_rpmdir {}", self.folder.display());
        let spec = spec.to_str().unwrap();
        let words = ["-bb", "--quiet", "--target", "x86_64-linux", "--define", &top];
        call("rpmbuild", &[&words[..], &["--define", &out, spec]].concat());
        let home = format!("_gpg_path {}", self.keys.display());
        let archive = self.archive(name, version);
        let words = ["--define", "_gpg_name tests", "--define", "__gpg /usr/bin/gpg", "--define"];
        let last = [home.as_str(), "--addsign", archive.to_str().unwrap()];
        call("rpmsign", &[&words[..], &last].concat());
    }

    fn index(&self) {
        fs::write(self.folder.join("../updateinfo.xml"), self.notices()).unwrap();
        self.made.set(self.made.get() + 60);
        self.within(&format!(
            "createrepo_c --quiet --update .; modifyrepo_c ../updateinfo.xml repodata >/dev/null; \
             sed -i 's,<timestamp>.*</timestamp>,<timestamp>{}</timestamp>,' repodata/repomd.xml; \
             gpg --batch --yes --quiet --armor --detach-sign repodata/repomd.xml",
            self.made.get()
        ));
    }

    /// One notice for every archive of version 2.
    fn notices(&self) -> String {
        let entries = fs::read_dir(self.folder.join("x86_64")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let news = names.filter_map(|file| file.strip_suffix("-2-1.x86_64.rpm").map(str::to_owned));
        let updates = news.map(|name| format!(
            "<update from=\"a\" status=\"final\" type=\"security\" version=\"1\"><id>TEST-{name}</id><title>{name}</title>\
             <pkglist><collection short=\"c\"><name>c</name><package name=\"{name}\" version=\"2\" release=\"1\" epoch=\"0\" \
             arch=\"x86_64\"><filename>{name}-2-1.x86_64.rpm</filename></package></collection></pkglist></update>"
        ));
        format!(
            "<?xml version=\"1.0\"?><updates>{}</updates>",
            updates.collect::<Vec<_>>().concat()
        )
    }

    fn within(&self, script: &str) {
        let output = Command::new("sh")
            .args(["-ec", script])
            .current_dir(&self.folder)
            .env("GNUPGHOME", &self.keys)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A host with packages installed; says itself why there is none.
pub fn host(
    test: &str,
    below: &Path,
    repository: &Repository,
    tool: Tool,
    packages: &[&str],
) -> Option<Host> {
    for program in ["rpmbuild", "rpmsign", "createrepo_c", "modifyrepo_c", "zypper", "dnf"] {
        if Command::new(program).arg("--version").output().is_err() {
            not_run(
                test,
                &format!("{program} is missing: apt-get install rpm createrepo-c dnf zypper"),
            );
            return None;
        }
    }
    let host = Host::over(test, below, &repository.folder, "tools", &["dnf", "zypper", "rpm"])?;
    let folder = match tool {
        Tool::Dnf => "etc/yum.repos.d",
        Tool::Zypper => "etc/zypp/repos.d",
    };
    let scheme = if tool == Tool::Dnf { "file" } else { "dir" };
    let repo = format!(
        "[tests]\nname=tests\nbaseurl={scheme}:///repository\nenabled=1\ngpgcheck=1\ngpgkey=file:///etc/pki/tests.asc\n"
    );
    let key = fs::read_to_string(&repository.key).unwrap();
    for (path, text) in [
        (format!("{folder}/tests.repo"), repo.as_str()),
        ("etc/pki/tests.asc".to_owned(), &key),
        ("etc/rpm/macros".to_owned(), "%_dbpath /var/lib/rpm\n"),
    ] {
        let path = host.at(&path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let install = match tool {
        Tool::Dnf => "dnf --quiet --assumeyes install",
        Tool::Zypper => "zypper --non-interactive --quiet install",
    };
    let packages = packages.join(" ");
    host.run(&[
        "sh",
        "-ec",
        &format!(
            "rm -rf /var/lib/dpkg /etc/debian_version; rpm --import /etc/pki/tests.asc; \
             printf 'ID=almalinux\\nVERSION_ID=9.4\\nPLATFORM_ID=platform:el9\\n' >/usr/lib/os-release; \
             {install} base-system {packages} >/dev/null"
        ),
    ]);
    Some(host)
}

/// Versions of packages, with all of them where there are several.
pub fn versions(host: &Host, names: &[&str]) -> BTreeMap<String, String> {
    let listed = host.run(&["rpm", "--query", "--all", "--queryformat", "%{NAME} %{VERSION}\\n"]);
    let mut versions = BTreeMap::<String, String>::new();
    let mut lines: Vec<&str> = listed.lines().collect();
    lines.sort_unstable();
    for (name, version) in lines.into_iter().filter_map(|line| line.split_once(' ')) {
        if names.contains(&name) {
            let known = versions.entry(name.to_owned()).or_default();
            known.push_str(if known.is_empty() { "" } else { " and " });
            known.push_str(version);
        }
    }
    versions
}
