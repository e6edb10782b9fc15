//! An image-based host (OSTree): another commit is deployed beside the one that runs, and a boot brings it.
//!
//! The transaction's one line is `remote:ref:ostree FROM TO TO`: both are commits, which are SHA-256 of what they hold. A commit is fetched
//! with the remote's signature check, and that it is what the ref names now is what is compared. What runs is not touched; the way back is
//! the deployment that was there before. Whether a host has booted what was deployed is the scan's to say.

use std::{ffi::OsString, path::Path, time::Duration};

use hozen_advisory::package::Change;
use hozen_api::job::ErrorClass;

use super::{
    Failure, class_of, digest,
    executor::{Executor, Task, Way},
    limit, packages, rpm,
    tool::{self, Call, Said},
};
use crate::{next_boot, root::Root};

const REPO: &str = "--repo=/ostree/repo";
/// Where remotes are configured: a file, and a folder of files.
const CONFIG: &str = "ostree/repo/config";
const REMOTES: &str = "etc/ostree/remotes.d";
const REMOTES_MAX: usize = 1_000;
const CONFIG_BYTES_MAX: u64 = 1 << 20;
const SYSROOT: &str = "--sysroot=/";
/// Where deployments and their origins are.
const DEPLOYMENTS: &str = "/ostree/deploy";
/// How long a look at the remote may take.
const LOOK_MAX: Duration = Duration::from_mins(10);

/// OSTree on its host.
#[derive(Debug)]
pub struct Ostree<'a> {
    task: &'a Task<'a>,
    change: &'a Change,
    remote: &'a str,
    branch: &'a str,
}

/// A deployment: the first of the list is what the next boot brings.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Deployment {
    /// Whether it is what runs.
    runs: bool,
    os: String,
    commit: String,
    serial: String,
}

impl<'a> Ostree<'a> {
    /// For this task; an error where the line names no ref of a remote.
    pub fn new(task: &'a Task<'a>, change: &'a Change) -> Result<Self, Failure> {
        let is_plain = |text: &str| !text.is_empty() && !text.starts_with('-');
        let named = change.name.split_once(':');
        let (remote, branch) = named
            .filter(|(remote, branch)| is_plain(remote) && is_plain(branch))
            .ok_or_else(|| {
                let message = format!("{} is no ref; write it like remote:branch", change.name);
                Failure::before(ErrorClass::Order, message)
            })?;
        if [&change.from, &change.to].iter().any(|commit| !digest::is_sha256(commit)) {
            let message = format!("{} does not go from one commit to another", change.name);
            return Err(Failure::before(ErrorClass::Order, message));
        }
        Ok(Self { task, change, remote, branch })
    }

    fn ostree(&self, words: &[&str], limit: Duration) -> Result<Said, Failure> {
        let arguments = words.iter().map(OsString::from).collect();
        let call = Call { program: "ostree".into(), arguments, environment: &[] };
        tool::run(self.task.folder, &call, limit)
    }

    fn refspec(&self) -> String {
        format!("{}:{}", self.remote, self.branch)
    }
}

impl Executor for Ostree<'_> {
    /// OSTree takes a lock of its own for each call, and waits for it.
    fn take(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// A deployment that was cut off is none yet; what it has left is cleared away.
    fn repair(&mut self) -> Result<(), Failure> {
        let said = self.ostree(&["admin", "cleanup", SYSROOT], LOOK_MAX)?;
        if said.success {
            return Ok(());
        }
        Err(failed(&said, |_| ErrorClass::Broken))
    }

    fn is_done(&mut self) -> Result<bool, Failure> {
        let all = all()?;
        let next = &first(&all)?.commit;
        if *next != self.change.to && *next != self.change.from {
            let message = format!(
                "the next boot brings {next}; {} to {} is approved",
                self.change.from, self.change.to
            );
            return Err(Failure::before(ErrorClass::Difference, message));
        }
        let done = *next == self.change.to;
        if done {
            tell(&all)?;
        }
        Ok(done)
    }

    /// Learns to which commit the ref goes now. On the way back the commit is still on the host, and nobody is asked.
    fn refresh(&mut self) -> Result<(), Failure> {
        if self.task.way == Way::Back {
            return Ok(());
        }
        if let Some(file) = unchecked(&packages::root()?, self.remote)? {
            let message = format!(
                "remote {} has its signature check switched off in /{file}; set gpg-verify=true for it",
                self.remote
            );
            return Err(Failure::before(ErrorClass::Signature, message));
        }
        let words = [REPO, "pull", "--commit-metadata-only", self.remote, self.branch];
        let said = self.ostree(&words, LOOK_MAX)?;
        if said.success {
            return Ok(());
        }
        Err(failed(&said, rpm::class_of))
    }

    fn compare(&mut self) -> Result<(), Failure> {
        if self.task.way == Way::Back {
            return Ok(());
        }
        let said = tool::ask("ostree", &[REPO, "rev-parse", &self.refspec()])?;
        if said.output.trim() == self.change.to {
            return Ok(());
        }
        let message = format!(
            "{} is at {}; {} is approved",
            self.refspec(),
            said.output.trim(),
            self.change.to
        );
        Err(Failure::before(ErrorClass::Difference, message))
    }

    fn download(&mut self) -> Result<(), Failure> {
        if self.task.way == Way::Back {
            return Ok(());
        }
        let exact = format!("{}@{}", self.branch, self.change.to);
        let said = self.ostree(&[REPO, "pull", self.remote, &exact], limit(self.task.deadline))?;
        if said.success {
            return Ok(());
        }
        Err(failed(&said, rpm::class_of))
    }

    fn install(&mut self) -> Result<Vec<String>, Failure> {
        let next = first(&all()?)?.clone();
        let os = format!("--os={}", next.os);
        // Where later updates come from stays as it is, also where a commit is deployed and not a ref.
        let Deployment { os: name, commit, serial, runs: _ } = next;
        let origin = Path::new(DEPLOYMENTS).join(name).join("deploy");
        let origin = origin.join(format!("{commit}.{serial}.origin"));
        let origin = format!("--origin-file={}", origin.display());
        let words = ["admin", "deploy", SYSROOT, &os, &origin, &self.change.to];
        let said = self.ostree(&words, limit(self.task.deadline))?;
        if said.success {
            return Ok(Vec::new());
        }
        let complaint = rpm::complaint("ostree", &said.output);
        Err(Failure::after(ErrorClass::Install, complaint))
    }

    fn check(&mut self) -> Result<(), Failure> {
        let all = all().map_err(|failure| Failure { touched: true, ..failure })?;
        tell(&all)?;
        let next = &first(&all)?.commit;
        if *next == self.change.to {
            return Ok(());
        }
        let message = format!("the next boot brings {next} and not {}", self.change.to);
        Err(Failure::after(ErrorClass::Install, message))
    }

    fn goal(&self) -> String {
        format!("the next boot brings {}", self.change.to)
    }
}

/// The host's deployments, the first of which the next boot brings.
fn all() -> Result<Vec<Deployment>, Failure> {
    let said = tool::ask("ostree", &["admin", "status", SYSROOT])?;
    let all = deployments(&said.output);
    if all.is_empty() {
        let message = format!("the host has no deployment of OSTree: {}", said.output.trim());
        return Err(Failure::before(ErrorClass::Unsupported, message));
    }
    Ok(all)
}

/// What the next boot brings.
fn first(all: &[Deployment]) -> Result<&Deployment, Failure> {
    let none = || Failure::before(ErrorClass::Unsupported, "the host has no deployment of OSTree");
    all.first().ok_or_else(none)
}

/// Leaves for the scan whether a boot is due.
fn tell(all: &[Deployment]) -> Result<(), Failure> {
    let next = all.first().filter(|next| !next.runs && all.iter().any(|of| of.runs));
    let next = next.map(|next| format!("commit {} of {}", next.commit, next.os));
    next_boot::put(next.as_deref()).map_err(|error| {
        let message = format!("what the next boot brings could not be written down ({error})");
        Failure::after(class_of(&error), message)
    })
}

/// The file that switches a remote's signature check off; none where it is on, as it is where nothing is said.
fn unchecked(root: &Root, remote: &str) -> Result<Option<String>, Failure> {
    let entries = root.list(REMOTES, REMOTES_MAX).unwrap_or_default().into_iter();
    let remotes = entries.filter(|entry| entry.name.strip_suffix(".conf").is_some());
    let files = remotes.map(|entry| format!("{REMOTES}/{}", entry.name));
    for file in [CONFIG.to_owned()].into_iter().chain(files) {
        match root.text(&file, CONFIG_BYTES_MAX) {
            Ok(text) if is_unchecked(&text, remote) => return Ok(Some(file)),
            Err(error) if !error.is_absent() => {
                let message = format!("/{file} {error}");
                return Err(Failure::before(ErrorClass::Signature, message));
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(None)
}

/// Whether the text of a configuration (a `GKeyFile`) has a remote's check at anything but yes.
fn is_unchecked(text: &str, remote: &str) -> bool {
    let group = format!("[remote \"{remote}\"]");
    let mut inside = false;
    text.lines().map(str::trim).any(|line| {
        if line.starts_with('[') {
            inside = line == group;
        }
        let value = line.split_once('=').filter(|(key, _)| key.trim() == "gpg-verify");
        inside && value.is_some_and(|(_, value)| !["true", "1"].contains(&value.trim()))
    })
}

fn failed(said: &Said, class: fn(&str) -> ErrorClass) -> Failure {
    Failure::before(class(&said.output), rpm::complaint("ostree", &said.output))
}

/// Lines of `ostree admin status` that name a deployment: a mark where it runs, the name of its system, commit and serial.
fn deployments(text: &str) -> Vec<Deployment> {
    let lines = text.lines().filter_map(|line| {
        let runs = line.starts_with('*');
        let mut words = line.trim_start_matches(['*', ' ']).split(' ');
        let (os, named) = (words.next()?, words.next()?);
        let (commit, serial) = named.split_once('.')?;
        digest::is_sha256(commit).then(|| Deployment {
            runs,
            os: os.to_owned(),
            commit: commit.to_owned(),
            serial: serial.to_owned(),
        })
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i23_a_remote_is_checked_unless_its_own_group_says_anything_but_yes() {
        let of = |value: &str| {
            let text = format!("[core]\nmode=bare\n[remote \"up\"]\nurl=x\n{value}\n");
            let other = "[remote \"other\"]\ngpg-verify=false\n";
            is_unchecked(&format!("{other}{text}"), "up")
        };
        for off in ["gpg-verify=false", "gpg-verify=0", "gpg-verify = false ", "gpg-verify=off"] {
            assert!(of(off), "{off}");
        }
        for on in ["", "gpg-verify=true", "gpg-verify=1", "#gpg-verify=0", "gpg-verify-summary=0"] {
            assert!(!of(on), "{on}");
        }
    }

    #[test]
    fn the_first_deployment_is_what_the_next_boot_brings() {
        let commit = |digit: &str| digit.repeat(64);
        let text = format!(
            "  fedora {0}.1 (pending)\n    Version: 2\n    origin refspec: a:b\n* fedora {1}.0\n    Version: 1\n",
            commit("b"),
            commit("a")
        );

        let found = deployments(&text);
        assert_eq!((found[0].commit.as_str(), found[0].serial.as_str()), (&*commit("b"), "1"));
        assert_eq!((found[1].os.as_str(), found.len()), ("fedora", 2));
        assert_eq!((found[0].runs, found[1].runs), (false, true));
    }
}
