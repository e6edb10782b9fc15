//! What apt would do, asked of apt itself without privilege, on a copy of the system's state.
//!
//! The copy holds dpkg's status, the indices, sources, pins and marks of the scanned root, and a configuration that we
//! write: only values that change the answer are taken over from the root's own, never programs (see [`super::conf`]).
//! The system is not locked, not written to, and nothing is downloaded.

use std::{io::Write as _, path::Path, time::Duration};

use crate::{
    command::{self, Call},
    dpkg,
    package::{Goal, Step, Wanted},
    resolve::ResolveError,
    root::Root,
    staging::{Place, Staging},
    unread,
};

use super::{Apt, release_paths};

/// How long apt may think. Debian's whole archive takes 2 s here.
const TIMEOUT: Duration = Duration::from_mins(2);
/// Most output that is read: some 200 bytes for each of 20,000 changes.
const OUTPUT_BYTES_MAX: u64 = 4 << 20;
/// Most memory that apt may use for its cache.
const CACHE_BYTES_MAX: u64 = 1 << 30;
/// Folder of the copy in which this program stands in for apt's methods.
const METHODS: &str = "methods";
/// Options whose values change what apt would do; each is one word or one sentence, never a program.
const OPTIONS: [&str; 7] = [
    "apt::default-release",
    "apt::install-recommends",
    "apt::install-suggests",
    "apt::get::upgrade-allow-new",
    "apt::ignore-hold",
    "apt::get::always-include-phased-updates",
    "apt::get::never-include-phased-updates",
];

/// Asks apt. The steps are sorted; none means that nothing is to be done.
pub fn resolve(root: &Root, apt: &Apt, goal: &Goal) -> Result<Vec<Step>, ResolveError> {
    let found = command::find_for(root, "apt-get");
    let (program, mut arguments) = found.ok_or_else(|| ResolveError::no_tool("apt-get", None))?;
    // The root's own apt runs under its loader, and looks for methods of its own.
    let methods = if arguments.is_empty() { Methods::Machine } else { Methods::Agent };
    let state = copy(root, apt, methods)?;
    arguments.extend(["--simulate".into(), "--quiet".into()]);
    match goal {
        Goal::All => arguments.push("dist-upgrade".into()),
        Goal::Packages(Wanted { comes, goes }) => {
            arguments.extend(["--only-upgrade".into(), "install".into(), "--".into()]);
            let comes =
                comes.iter().map(|(name, arch, version)| format!("{name}:{arch}={version}"));
            // As the agent asks for it when it is done; what needs them goes along.
            let goes = goes.iter().map(|(name, arch)| format!("{name}:{arch}-"));
            arguments.extend(comes.chain(goes).map(Into::into));
        }
    }
    let output = command::run(&Call {
        program,
        root: None,
        arguments,
        environment: vec![
            ("APT_CONFIG", state.path().join("apt.conf").into()),
            ("TMPDIR", state.path().join("tmp").into()),
        ],
        output_bytes_max: OUTPUT_BYTES_MAX,
        timeout: TIMEOUT,
    })?;
    if !output.success {
        return Err(ResolveError::Refused(complaint(&output.stdout, &output.stderr)));
    }
    let mut steps = steps(&output.stdout).map_err(ResolveError::Refused)?;
    steps.sort();
    steps.dedup();
    Ok(steps)
}

/// Whose methods apt starts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Methods {
    /// Those that belong to the machine's own apt.
    Machine,
    /// This program stands in for them.
    Agent,
}

fn copy(root: &Root, apt: &Apt, methods: Methods) -> Result<Staging, ResolveError> {
    let copy = Staging::new()?;
    if methods == Methods::Agent {
        stand_in(&copy)?;
    }
    copy.folders(&[
        "etc/apt.conf.d",
        "etc/sources.list.d",
        "etc/preferences.d",
        "state/lists/partial",
        "cache/archives/partial",
        "tmp",
    ])?;
    copy.give("tmp")?;
    copy.write("apt.conf", &configuration(copy.path(), root, apt, methods))?;
    copy.copy(root, dpkg::STATUS, "status")?;
    copy.copy_if_there(root, "var/lib/apt/extended_states", "state/extended_states")?;
    for file in ["sources.list", "preferences"] {
        copy.copy_if_there(root, &format!("etc/apt/{file}"), &format!("etc/{file}"))?;
    }
    for folder in ["sources.list.d", "preferences.d"] {
        copy.copy_files(root, &format!("etc/apt/{folder}"), &format!("etc/{folder}"))?;
    }
    copy_indices(&copy, apt.lists(root), apt, "state/lists")?;
    Ok(copy)
}

/// Copies the indices that apt would use from below a root, with what their repositories say of themselves.
pub(super) fn copy_indices(
    place: &Place,
    root: &Root,
    apt: &Apt,
    to: &str,
) -> Result<(), ResolveError> {
    for index in &apt.indices {
        for path in release_paths(&index.target).iter().chain([&index.path]) {
            let name = path.rsplit('/').next().unwrap_or_default();
            place.copy_if_there(root, path, &format!("{to}/{name}"))?;
        }
    }
    Ok(())
}

/// apt asks its methods what they can before it needs them, also for a simulation. The scanned root's own are not run; this program
/// stands in for them ([`answer_as_method`]), and a simulation fetches nothing.
fn stand_in(copy: &Staging) -> Result<(), ResolveError> {
    let failed = |source: std::io::Error| ResolveError::Copy {
        what: "apt's methods".to_owned(),
        source: source.into(),
    };
    copy.folders(&[METHODS])?;
    let own = std::env::current_exe().map_err(failed)?;
    for method in ["cdrom", "copy", "file", "ftp", "http", "https", "mirror", "store"] {
        let link = copy.at(&format!("{METHODS}/{method}"));
        std::os::unix::fs::symlink(&own, link).map_err(failed)?;
    }
    Ok(())
}

/// Whether this process was started by apt as one of the methods that `stand_in` has put there; then it is one until apt ends it.
pub fn answer_as_method() -> bool {
    let called = std::env::args_os().next().unwrap_or_default();
    let folder = Path::new(&called).parent().and_then(Path::file_name);
    if folder.is_none_or(|folder| folder != METHODS) {
        return false;
    }
    let mut out = std::io::stdout().lock();
    let said = out.write_all(b"100 Capabilities\nVersion: 1.2\nSend-Config: true\n\n");
    if said.and_then(|()| out.flush()).is_ok() {
        // What apt sends is its configuration; it ends us by closing the pipe.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    }
    true
}

/// The configuration that the tool gets, and nothing beside it.
fn configuration(folder: &Path, root: &Root, apt: &Apt, methods: Methods) -> String {
    let folder = folder.display();
    let quoted: Vec<String> = apt.architectures.iter().map(|arch| format!("\"{arch}\";")).collect();
    let architectures = quoted.join(" ");
    let native = apt.architectures.first().map_or("", String::as_str);
    let mut text = format!(
        "Dir \"{folder}/\";\nDir::State \"state\";\nDir::State::status \"{folder}/status\";\n\
         Dir::Etc \"etc\";\nDir::Cache \"cache\";\nDir::Cache::pkgcache \"\";\nDir::Cache::srcpkgcache \"\";\n\
         Dir::Log \"tmp\";\nDebug::NoLocking \"true\";\nAPT::Cache-Limit \"{CACHE_BYTES_MAX}\";\n\
         APT::Architecture \"{native}\";\nAPT::Architectures {{ {architectures} }};\n"
    );
    if methods == Methods::Agent {
        text.extend(["Dir::Bin::methods \"", &format!("{folder}/{METHODS}"), "\";\n"]);
        // The root's own apt looks for its tables of architectures where its own root would be.
        for table in ["cputable", "tupletable"] {
            let path = root.path().join("usr/share/dpkg").join(table).display().to_string();
            if is_plain(&path) {
                text.extend(["Dir::dpkg::", table, " \"", &path, "\";\n"]);
            }
        }
    }
    for option in OPTIONS {
        if let Some(value) = apt.conf.last(option).filter(|value| is_plain(value)) {
            text.extend([option, " \"", value, "\";\n"]);
        }
    }
    text
}

/// Whether a value can stand between quotes in a configuration file.
pub(super) fn is_plain(value: &str) -> bool {
    value.chars().all(|character| !character.is_control() && character != '"')
}

/// Steps of apt's simulation, in its order. A line that speaks of a package and cannot be read is an error: what it would do is not known.
pub fn steps(output: &str) -> Result<Vec<Step>, String> {
    let read = |line: &str| {
        let (doing, rest) = line.split_once(' ').unwrap_or((line, ""));
        let step = match doing {
            "Inst" => comes(rest),
            "Remv" | "Purg" => goes(rest),
            _ => return Ok(None),
        };
        step.map(Some).ok_or_else(|| {
            format!("apt-get would do something that cannot be read: {}", unread::line(line))
        })
    };
    output.lines().filter_map(|line| read(line).transpose()).collect()
}

/// `name [from] (to Label:1/suite [arch]) [broken ]`. The label is the repository's own word, parentheses and all; after it stand only names
/// of packages, so that the last `[arch])` is apt's.
fn comes(line: &str) -> Option<Step> {
    let (before, inner) = line.split_once(" (")?;
    let (name, _, from) = named(before)?;
    let to = inner.split([' ', ')']).next().filter(|to| !to.is_empty())?;
    let (inner, _) = inner.rsplit_once("])")?;
    let (_, arch) = inner.rsplit_once('[')?;
    let is_arch = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_plain = !arch.is_empty() && arch.bytes().all(is_arch);
    is_plain.then(|| Step { name, arch: arch.into(), from, to: Some(to.into()) })
}

/// `name [from] [broken ]`
fn goes(line: &str) -> Option<Step> {
    let (name, arch, from) = named(line)?;
    Some(Step { name, arch, from, to: None })
}

/// Name, architecture (as a rule only a foreign one is said) and version that is there of `name:arch [from]`.
fn named(text: &str) -> Option<(String, String, Option<String>)> {
    let (full_name, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (name, arch) = full_name.split_once(':').unwrap_or((full_name, ""));
    let from = match rest.split_once(' ').unwrap_or((rest, "")).0 {
        "" | "[]" => None,
        word => Some(word.strip_prefix('[')?.strip_suffix(']')?.to_owned()),
    };
    (!name.is_empty()).then(|| (name.to_owned(), arch.to_owned(), from))
}

/// What apt complains of: its errors and what it says about unmet dependencies, in one text of a few sentences.
pub fn complaint(stdout: &str, stderr: &str) -> String {
    let unmet = stdout
        .lines()
        .skip_while(|line| !line.contains("unmet dependencies"))
        .take_while(|line| !line.is_empty());
    let errors = stderr.lines().filter_map(|line| line.strip_prefix("E: "));
    let lines: Vec<&str> = errors.chain(unmet).map(str::trim).take(20).collect();
    let text = if lines.is_empty() {
        "apt-get failed and did not say why".to_owned()
    } else {
        lines.join("; ")
    };
    unread::text(&text, 1_800)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Result<Vec<String>, String> {
        let version = |version: &Option<String>| version.clone().unwrap_or("-".into());
        let line = |step: &Step| {
            format!("{}:{} {} {}", step.name, step.arch, version(&step.from), version(&step.to))
        };
        Ok(steps(output)?.iter().map(line).collect())
    }

    #[test]
    fn upgrades_installs_and_removals_are_read_from_apts_simulation() {
        let output = [
            "NOTE: This is only a simulation!",
            "Inst libssl3 [3.0.20-1~deb12u2] (3.0.22-1~deb12u2 Debian-Security:12/oldstable-security [amd64])",
            "Inst nginx-light [1.22.1-9+deb12u9] (1.22.1-9+deb12u11 Debian-Security:12/oldstable-security [all]) []",
            "Inst libc6:i386 [2.36-9] (2.36-10 Debian:12.13/oldstable, Debian-Security:12/oldstable-security [i386])",
            "Inst new-thing (1:2.0-1 Debian:12.13/oldstable [amd64])",
            "Remv old-thing [1.0-1] [x:amd64 ]",
            "Conf libssl3 (3.0.22-1~deb12u2 Debian-Security:12/oldstable-security [amd64])",
        ];

        assert_eq!(
            read(&output.join("\n")).unwrap(),
            [
                "libssl3:amd64 3.0.20-1~deb12u2 3.0.22-1~deb12u2",
                "nginx-light:all 1.22.1-9+deb12u9 1.22.1-9+deb12u11",
                "libc6:i386 2.36-9 2.36-10",
                "new-thing:amd64 - 1:2.0-1",
                "old-thing: 1.0-1 -",
            ]
        );
    }

    #[test]
    fn i23_no_label_of_a_repository_hides_what_apt_would_do() {
        let output = "Inst evil (1.0 Acme (stable):1/x [amd64])\n\
            Inst worse [1.0] (2.0 A [all]) [b]:1/x, Debian:12/s [amd64]) [held:amd64 ]\n\
            Purg gone [1.0] [x:amd64 y ]\nPurg rest\nInstalling:\n";
        assert_eq!(
            read(output).unwrap(),
            ["evil:amd64 - 1.0", "worse:amd64 1.0 2.0", "gone: 1.0 -", "rest: - -"]
        );

        let unreadable = [
            "Inst evil",
            "Inst evil (1.0 Acme",
            "Inst evil (1.0 Acme:1/x)",
            "Inst evil ( [amd64])",
            "Inst evil [1.0 (2.0 Acme:1/x [amd64])",
            "Inst evil (1.0 Acme:1/x [amd64 b])",
            "Remv ",
            "Remv evil 1.0",
        ];
        for line in unreadable {
            let error = read(&format!("Inst good (1 A:1/x [amd64])\n{line}\n")).unwrap_err();
            assert!(error.ends_with(line), "{line}: {error}");
        }
    }
}
