//! What dnf and zypper have in common on their hosts: rpm below them.

use std::ffi::OsString;

use hozen_api::job::ErrorClass;

use super::{
    Failure,
    executor::Task,
    limit, locks, log,
    packages::Host,
    services,
    tool::{self, Call},
};
/// Waits until nobody else uses rpm.
pub fn take(task: &Task<'_>) -> Result<(), Failure> {
    locks::rpm(task.deadline)
}

/// Has rpm's database rebuilt where it is not in order, and takes away the old one of two versions that a killed upgrade has left beside
/// each other. What of the new one may be missing is installed again, because it was begun.
pub fn repair(task: &Task<'_>) -> Result<(), Failure> {
    let verify = || tool::ask("rpmdb", &["--verifydb"]);
    if !verify()?.success {
        log("rpm's database is not in order and is rebuilt");
        run(task, "rpmdb", &["--rebuilddb"])?;
        let said = verify()?;
        if !said.success {
            let message = format!("rpmdb --verifydb: {}", said.output.trim());
            return Err(Failure::before(ErrorClass::Broken, message));
        }
    }
    let host = Host::read()?;
    for change in task.wanted.iter().filter(|change| !change.is_new() && change.installs()) {
        let has = |version: &str| {
            host.system
                .packages()
                .iter()
                .any(|of| of.name == change.name && of.arch == change.arch && of.version == version)
        };
        if has(&change.from) && has(&change.to) {
            // Without epoch: rpm does not take one in a name.
            let version = change.from.rsplit(':').next().unwrap_or(&change.from);
            let full = format!("{}-{version}.{}", change.name, change.arch);
            log(format!("{full} was left by an upgrade that was cut off"));
            run(task, "rpm", &["--erase", "--nodeps", &full])?;
        }
    }
    Ok(())
}

/// rpm's database is in order.
pub fn audit() -> Result<(), Failure> {
    let said = tool::ask("rpmdb", &["--verifydb"])?;
    if said.success {
        return Ok(());
    }
    Err(Failure::after(ErrorClass::Broken, format!("rpmdb --verifydb: {}", said.output.trim())))
}

/// What kind of error the words of dnf and zypper about repositories and downloads are.
pub fn class_of(output: &str) -> ErrorClass {
    const GENUINE: [&str; 7] =
        ["checksum", "signature", "not signed", "unsigned", "public key", "gpg", "digest"];
    let output = output.to_lowercase();
    if output.contains("no space left on device") || output.contains("not enough free") {
        ErrorClass::Disk
    } else if GENUINE.iter().any(|word| output.contains(word)) {
        ErrorClass::Signature
    } else {
        ErrorClass::Repository
    }
}

/// Whether a tool's words of an error name this package, or one of which it is the beginning.
pub fn complains_of(output: &str, name: &str) -> bool {
    let part_of_a_name = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    let is_named = |line: &str| {
        line.match_indices(name).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + name.len()..].chars().next();
            !before.is_some_and(part_of_a_name)
                && !after.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    };
    let is_error = |line: &str| {
        let line = line.to_lowercase();
        ["error", "fail", "fatal"].iter().any(|word| line.contains(word))
    };
    output.lines().any(|line| is_error(line) && is_named(line))
}

/// The last of what a tool said, in one text of a few sentences.
pub fn complaint(tool: &str, output: &str) -> String {
    let lines: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = lines[lines.len().saturating_sub(12)..].join("; ");
    if text.is_empty() {
        return format!("{tool} failed and did not say why");
    }
    crate::unread::text(&text, 1_800)
}

/// Configuration files that rpm left as an administrator has them.
pub fn kept(output: &str) -> Vec<String> {
    let files = output.lines().filter_map(|line| {
        let (path, new) = line.split_once("warning: ")?.1.split_once(" created as ")?;
        (new.trim_end() == format!("{path}.rpmnew")).then(|| path.to_owned())
    });
    files.collect()
}

fn run(task: &Task<'_>, program: &str, arguments: &[&str]) -> Result<(), Failure> {
    let call = Call {
        program: program.into(),
        arguments: arguments.iter().map(OsString::from).collect(),
        environment: &[services::OFFLINE],
    };
    let said = tool::run(task.folder, &call, limit(task.deadline))?;
    if said.success {
        return Ok(());
    }
    let message = format!("{program} {}: {}", arguments.join(" "), complaint("rpm", &said.output));
    Err(Failure::after(ErrorClass::Broken, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_signature_a_full_disk_and_a_silent_repository_are_told_apart() {
        let tampered = "Error: Some packages from local repository have incorrect checksum";
        assert_eq!(class_of(tampered), ErrorClass::Signature);
        assert_eq!(class_of("Package alpha-2-1.x86_64.rpm is not signed"), ErrorClass::Signature);
        assert_eq!(class_of("Public key for a.rpm is not installed"), ErrorClass::Signature);
        assert_eq!(class_of("Curl error (7): Couldn't connect to server"), ErrorClass::Repository);
        assert_eq!(class_of("[Errno 28] No space left on device: '/x'"), ErrorClass::Disk);
    }

    #[test]
    fn what_an_error_names_is_told_from_what_is_only_reported() {
        let output = "Upgraded: alpha-2-1.x86_64\n\
                      warning: %post(beta-2-1.x86_64) scriptlet failed, exit status 1\n\
                      warning: /etc/gamma.conf created as /etc/gamma.conf.rpmnew\n\
                      Error unpacking rpm package libdelta-2-1.x86_64\n";
        let named = |name| complains_of(output, name);

        assert!(named("beta") && named("libdelta"));
        assert!(!named("alpha") && !named("gamma") && !named("delta") && !named("bet"));
    }

    #[test]
    fn kept_configuration_files_are_told() {
        let output = "warning: /etc/a.conf created as /etc/a.conf.rpmnew\n\
                      Additional rpm output: warning: /etc/b created as /etc/b.rpmnew\n\
                      warning: /etc/c saved as /etc/c.rpmsave\n";
        assert_eq!(kept(output), ["/etc/a.conf", "/etc/b"]);
    }
}
