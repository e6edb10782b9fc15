//! Nodes whose pending updates are the tests' own: a layer over the Debian root with old versions of small packages installed, and
//! the new ones in a repository on the node itself. Nothing of it needs a network.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    error::Error,
    process,
    repository::{KEYS, Package, Repository, end_agents},
};

/// What the names of layers begin with.
const NAME: &str = "packages-";
/// Where a node finds the repositories.
const PLACE: &str = "srv/hozen-tests";
/// The layers are built anew when what they are built by changes.
const SOURCES: [&str; 2] = [include_str!("packages.rs"), include_str!("repository.rs")];

/// What is pending on the nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Packages {
    /// What Debian's security pocket has published since the last point release; fetched from the machine's mirrors.
    #[default]
    Debian,
    /// [`pending`] updates of the tests' own packages, by their own repository alone; no network is used.
    Test,
    /// The same, and one whose installation fails.
    Failing,
}

/// A package whose update is pending, and the versions that are installed and pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Its name.
    pub name: &'static str,
    /// The version that is installed.
    pub installed: &'static str,
    /// The version that is pending.
    pub pending: &'static str,
}

const fn update(name: &'static str) -> Pending {
    Pending { name, installed: "1.0", pending: "1.1" }
}

/// The updates that are pending, each a security update, sorted by name; `None` where Debian decides.
pub fn pending(packages: Packages) -> Option<Vec<Pending>> {
    let known = [
        update("hozen-test-client"),
        update("hozen-test-library"),
        update("hozen-test-reboot"),
        update("hozen-test-service"),
    ];
    match packages {
        Packages::Debian => None,
        Packages::Test => Some(known.into()),
        Packages::Failing => {
            let mut all = [known.as_slice(), &[update("hozen-test-failing")]].concat();
            all.sort_by_key(|one| one.name);
            Some(all)
        }
    }
}

/// What is published in one version. `busybox` is the program of a service, which goes on running the file it began with.
fn published(version: &'static str, busybox: &[u8]) -> Vec<Package> {
    let new = version != "1.0";
    let one = |name| Package { name, version, ..Package::default() };
    let program = "usr/lib/hozen-test-service/busybox";
    let unit = format!(
        "[Unit]\nDescription=A service for tests\n[Service]\nExecStart=/{program} sleep 2147483647\n\
         [Install]\nWantedBy=multi-user.target\n"
    );
    vec![
        Package {
            depends: if new { "hozen-test-library (>= 1.1)" } else { "hozen-test-library" },
            ..one("hozen-test-client")
        },
        Package { setting: "as it was shipped\n", ..one("hozen-test-library") },
        Package {
            scripts: if new {
                vec![(
                    "postinst",
                    "touch /run/reboot-required; echo hozen-test-reboot >>/run/reboot-required.pkgs",
                )]
            } else {
                Vec::new()
            },
            ..one("hozen-test-reboot")
        },
        Package {
            // Enabled and not restarted: what runs after an update is the old program.
            scripts: vec![("postinst", "systemctl enable hozen-test-service.service || true")],
            files: vec![
                (program.into(), [busybox, version.as_bytes()].concat(), true),
                ("lib/systemd/system/hozen-test-service.service".into(), unit.into_bytes(), false),
            ],
            ..one("hozen-test-service")
        },
        Package {
            scripts: if new {
                vec![("postinst", "echo 'this installation fails, as it should' >&2; exit 1")]
            } else {
                Vec::new()
            },
            ..one("hozen-test-failing")
        },
    ]
}

/// The layer to lie between the Debian root and a node's own files; built once for equal roots and sources, and kept beside them.
pub fn layer(packages: Packages, root: &Path) -> Result<Option<PathBuf>, Error> {
    let Some(pending) = pending(packages) else { return Ok(None) };
    let names: Vec<&str> = pending.iter().map(|one| one.name).collect();
    let text = [root.to_string_lossy().as_ref(), &names.join(","), SOURCES[0], SOURCES[1]].concat();
    let digits = Sha256::digest(text).iter().take(6).fold(String::new(), |mut digits, byte| {
        let _ = std::fmt::Write::write_fmt(&mut digits, format_args!("{byte:02x}"));
        digits
    });
    let layer = root.with_file_name(format!("{NAME}{digits}"));
    let lock = layer.with_extension("lock");
    let lock = fs::File::create(&lock).map_err(Error::io(format!("create {}", lock.display())))?;
    lock.lock().map_err(Error::io("wait for another build of the tests' packages"))?;
    if layer.exists() {
        return Ok(Some(layer));
    }
    let roots = root.parent().unwrap_or(Path::new("/"));
    clear(roots, &digits)?;
    // By its name the next build knows whose work it is, when this one is killed.
    let work = tempfile::Builder::new()
        .prefix(&format!(".{NAME}{digits}"))
        .rand_bytes(0)
        .tempdir_in(roots)
        .map_err(Error::io("make room for the tests' packages"))?;
    build(work.path(), root, &names)?;
    fs::rename(work.path().join("up"), &layer)
        .map_err(Error::io(format!("keep {}", layer.display())))?;
    Ok(Some(layer))
}

/// Takes away what builds have left that were killed, with the agents of their keys: work whose lock nobody holds but us.
fn clear(roots: &Path, own: &str) -> Result<(), Error> {
    let entries = fs::read_dir(roots).map_err(Error::io(format!("look at {}", roots.display())))?;
    for work in entries.flatten().map(|entry| entry.path()) {
        let name = work.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(digits) = name.strip_prefix('.').and_then(|name| name.strip_prefix(NAME)) else {
            continue;
        };
        let lock = fs::File::open(roots.join(format!("{NAME}{digits}.lock")));
        let stale = digits == own || lock.is_ok_and(|lock| lock.try_lock().is_ok());
        if stale {
            end_agents(&work.join(KEYS));
            let doing = format!("remove {}", work.display());
            fs::remove_dir_all(&work).map_err(Error::io(doing))?;
        }
    }
    Ok(())
}

fn build(work: &Path, root: &Path, names: &[&str]) -> Result<(), Error> {
    let place = work.join("up").join(PLACE);
    let write = |path: &str, text: &str| {
        let path = work.join("up").join(path);
        let folder = path.parent().unwrap_or(work);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, text))
            .map_err(Error::io(format!("write {}", path.display())))
    };
    // The private key stays outside: a node cannot sign.
    let release = Repository::create(work, "Tests")?;
    let security = release.beside("security", "Debian-Security")?;
    let busybox = fs::read(root.join("bin/busybox")).map_err(Error::io("read busybox"))?;
    release.publish(&published("1.0", &busybox))?;
    // Nothing yet: the index is there when the old versions are installed.
    security.publish(&[])?;
    let line = |folder: &str| {
        format!("deb [signed-by=/usr/share/keyrings/hozen-tests.gpg] file:/{PLACE}/{folder} ./\n")
    };
    write("etc/apt/sources.list", &(line("release") + &line("security")))?;
    let keyrings = work.join("up/usr/share/keyrings");
    fs::create_dir_all(&keyrings)
        .and_then(|()| fs::copy(&release.key, keyrings.join("hozen-tests.gpg")))
        .map_err(Error::io("copy the repository's key"))?;
    let publish = |from: &Repository, to: &str| {
        let to = place.join(to);
        fs::create_dir_all(&to).map_err(Error::io(format!("create {}", to.display())))?;
        let from = format!("{}/.", from.folder.display());
        process::call("cp", &["-a", &from, &to.to_string_lossy()]).map(drop)
    };
    publish(&release, "release")?;
    publish(&security, "security")?;
    let old = names.join(" ");
    within(
        work,
        root,
        &format!("apt-get update && apt-get install --yes --no-install-recommends {old}"),
    )?;
    security.publish(&published("1.1", &busybox))?;
    publish(&security, "security")?;
    within(work, root, "apt-get update && apt-get clean")
}

/// Runs a script in the root with the layer over it. The mounts end with it; the host's processes are not seen.
fn within(work: &Path, root: &Path, script: &str) -> Result<(), Error> {
    let mount = "cd \"$1\"; mkdir -p up work root; \
        mount -t overlay overlay -o \"lowerdir=$2,upperdir=up,workdir=work\" root; \
        mount -t proc proc root/proc; mount --bind /dev root/dev; mount -t tmpfs tmpfs root/run; \
        exec chroot root env DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -ec \"$3\"";
    // It ends with us: the next build clears its folder away.
    let mut command = Command::new("setpriv");
    command.args([
        "--pdeathsig",
        "KILL",
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child=KILL",
        "sh",
        "-ec",
        mount,
        "sh",
    ]);
    command.arg(work).arg(root).arg(script).stdin(Stdio::null());
    process::output_of(&mut command).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_build_has_left_is_cleared_with_its_agent_and_the_work_of_others_is_not() {
        let roots = tempfile::tempdir().unwrap();
        let work = |digits: &str| roots.path().join(format!(".{NAME}{digits}"));
        let lock = |digits: &str| {
            fs::File::create(roots.path().join(format!("{NAME}{digits}.lock"))).unwrap()
        };
        for digits in ["own", "killed", "busy", "strange"] {
            fs::create_dir(work(digits)).unwrap();
        }
        let repository = Repository::create(&work("killed"), "Tests").unwrap();
        let socket = "gpgconf --homedir \"$0\" --list-dirs agent-socket";
        let keys = work("killed").join(KEYS);
        let socket = process::call("sh", &["-c", socket, &keys.to_string_lossy()]).unwrap();
        assert!(Path::new(socket.trim()).exists(), "an agent runs");
        std::mem::forget(repository);
        drop(lock("killed"));
        let held = lock("busy");
        held.lock().unwrap();
        clear(roots.path(), "own").unwrap();
        let left = ["own", "killed", "busy", "strange"].map(|digits| work(digits).exists());
        assert_eq!(left, [false, false, true, true]);
        assert!(!Path::new(socket.trim()).exists(), "its agent has ended");
    }
}
