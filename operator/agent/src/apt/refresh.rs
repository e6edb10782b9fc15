//! What `apt-get update` would fetch, by the host's own apt in the [`Chamber`].
//!
//! Sources and keys are written there; signatures are checked by apt itself, more strictly than the host may ask for (see
//! [`super::fetched`]). The first refresh begins with a copy of the host's indices, and so does each that finds its own behind them.

use std::{fs, path::Path, time::Duration};

use crate::{
    chamber::Chamber,
    command::{self, Call, Output},
    dpkg::Database,
    refresh::{RefreshError, State},
    root::{ReadError, Root},
    staging::Place,
    unread::Unread,
};

use super::{
    Apt,
    fetched::Fetched,
    index,
    resolve::{copy_indices, is_plain},
    sources::{self, LISTS, PARAGRAPHS},
};

/// How long a refresh may take: Debian's whole archive over a line of 2 Mbit/s.
const TIMEOUT: Duration = Duration::from_mins(5);
const OUTPUT_BYTES_MAX: u64 = 1 << 20;
/// Program that does it, in its root.
const APT: &str = "usr/bin/apt-get";
/// Most files in the folder of indices that are removed before the host's are copied.
const FILES_MAX: usize = 10_000;
/// Folders that apt writes in.
const WRITTEN: [&str; 3] = [LISTS, "var/lib/apt/lists/partial", "var/lib/apt/lists/auxfiles"];
/// What apt reads of the host beside sources: who may sign, and how it makes itself known to a repository.
const FILES: [&str; 2] = ["etc/apt/trusted.gpg", "etc/apt/auth.conf"];
const FOLDERS: [&str; 3] = ["etc/apt/trusted.gpg.d", "etc/apt/keyrings", "etc/apt/auth.conf.d"];
/// Options of the host's apt that say by which way repositories are reached.
const WAYS: [&str; 4] =
    ["acquire::http::proxy", "acquire::https::proxy", "acquire::forceipv4", "acquire::forceipv6"];
/// A program, not an address; it is not run.
const DETECTS: &str = "proxy-auto-detect";

/// Refreshes them, once they have begun with the host's; whether there was anything to refresh.
pub fn run(
    chamber: &Chamber,
    host: &Root,
    database: &Database,
    state: &mut State,
) -> Result<bool, RefreshError> {
    if !chamber.has(APT) {
        return Err(RefreshError::NoTool("apt-get"));
    }
    let apt = Apt::read(host, database, None, &mut Unread::default());
    let place = chamber.furnish(host)?;
    if state.as_of == 0 || is_behind(chamber, &apt) {
        seed(&place, host, &apt)?;
        // A host that nobody has ever refreshed has its indices, none, as of its beginning.
        state.as_of = super::refreshed_at(host).unwrap_or_default().max(1);
        state.put(&place)?;
    }
    if furnish(&place, host, &apt)? == 0 {
        return Ok(false);
    }
    let output = command::run(&Call {
        program: Path::new("/").join(APT),
        root: Some(chamber.path().to_owned()),
        arguments: ["--quiet", "update"].map(Into::into).to_vec(),
        environment: vec![("APT_CONFIG", "/etc/refresh.conf".into())],
        output_bytes_max: OUTPUT_BYTES_MAX,
        timeout: TIMEOUT,
    })?;
    complaint(&output).map_or(Ok(true), |complaint| Err(RefreshError::Refused(complaint)))
}

/// Whether the host knows a repository that these do not, or a newer state of one.
fn is_behind(chamber: &Chamber, hosts: &Apt) -> bool {
    let targets: Vec<_> = hosts.indices.iter().map(|index| index.target.clone()).collect();
    let ours =
        Root::open(chamber.path()).map(|own| index::find(&own, &targets, &mut Unread::default()));
    ours.is_ok_and(|ours| index::are_behind(&ours, &hosts.indices))
}

/// Puts the host's indices in the place of the own ones.
fn seed(place: &Place, host: &Root, apt: &Apt) -> Result<(), RefreshError> {
    place.folders(&WRITTEN)?;
    let own = Root::open(place.path()).map_err(|source| failed("the own root", source))?;
    let old = own.list(LISTS, FILES_MAX).map_err(|source| failed("the own indices", source))?;
    for entry in old.into_iter().filter(|entry| !entry.folder) {
        fs::remove_file(place.at(LISTS).join(entry.name))
            .map_err(|error| failed("the own indices", error.into()))?;
    }
    Ok(copy_indices(place, host, apt, LISTS)?)
}

/// Adds to the chamber what apt reads; how many files of sources name something to be fetched.
fn furnish(place: &Place, host: &Root, apt: &Apt) -> Result<usize, RefreshError> {
    let folders = ["etc/apt/apt.conf.d", "etc/apt/sources.list.d", "etc/apt/preferences.d"];
    for folders in [&folders[..], &["var/lib/dpkg"], &FOLDERS, &WRITTEN] {
        place.folders(folders)?;
    }
    for file in FILES {
        place.copy_if_there(host, file, file)?;
    }
    for folder in FOLDERS {
        place.copy_files(host, folder, folder)?;
    }
    Chamber::open_to_the_network(place, host)?;
    place.write("etc/refresh.conf", &configuration(apt))?;
    let fetched = sources(place, host)?;
    WRITTEN.iter().try_for_each(|folder| place.give(folder))?;
    Ok(fetched)
}

fn sources(place: &Place, host: &Root) -> Result<usize, RefreshError> {
    let mut count = 0;
    for (path, text) in sources::files(host, &mut Unread::default()) {
        let fetched = if path.ends_with(PARAGRAPHS) {
            Fetched::of_paragraphs(&text)
        } else {
            Fetched::of_lines(&text)
        };
        count += usize::from(!fetched.text.is_empty());
        place.write(&path, &fetched.text)?;
        for file in &fetched.files {
            if let Some((folder, _)) = file.rsplit_once('/') {
                place.folders(&[folder])?;
            }
            place.copy_if_there(host, file, file)?;
        }
    }
    Ok(count)
}

/// Nothing weakens a check; only the ways to the repositories are the host's own.
fn configuration(apt: &Apt) -> String {
    let native = apt.native();
    let quoted: Vec<String> = apt.architectures.iter().map(|arch| format!("\"{arch}\";")).collect();
    let mut text = format!(
        "APT::Architecture \"{native}\";\nAPT::Architectures {{ {} }};\n\
         Acquire::AllowInsecureRepositories \"false\";\nAcquire::AllowWeakRepositories \"false\";\n\
         Acquire::AllowDowngradeToInsecureRepositories \"false\";\nAPT::Update::Error-Mode \"any\";\n\
         APT::Get::List-Cleanup \"false\";\npkgCacheFile::Generate \"false\";\nDebug::NoLocking \"true\";\n\
         Acquire::Languages \"none\";\nAcquire::PDiffs \"false\";\nAcquire::GzipIndexes \"true\";\n\
         Acquire::Retries \"1\";\nAcquire::http::Timeout \"20\";\nAcquire::https::Timeout \"20\";\n",
        quoted.join(" ")
    );
    let ways = WAYS.into_iter().flat_map(|way| apt.conf.beginning(way));
    for (option, value) in ways.filter(|(option, value)| {
        !option.contains(DETECTS) && is_plain(value) && option.bytes().all(is_of_an_option)
    }) {
        text.extend([option, " \"", value, "\";\n"]);
    }
    text
}

fn is_of_an_option(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b":-_./".contains(&byte)
}

/// What apt could not do; `None` where every repository answered.
fn complaint(output: &Output) -> Option<String> {
    if output.success && !output.stdout.lines().any(|line| line.starts_with("Err:")) {
        return None;
    }
    let of =
        |mark: &'static str| output.stderr.lines().filter_map(move |line| line.strip_prefix(mark));
    // Its last words only say that there were others.
    let is_told = |line: &&str| !line.starts_with("Some index files failed");
    let lines: Vec<&str> = of("E: ").chain(of("W: ")).map(str::trim).filter(is_told).collect();
    Some(match lines.join("; ") {
        none if none.is_empty() => "apt-get failed and did not say why".to_owned(),
        some => some,
    })
}

fn failed(what: &str, source: ReadError) -> RefreshError {
    RefreshError::Copy { what: what.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use crate::{dpkg, refresh::Own};

    use super::*;

    fn output(success: bool, stdout: &str, stderr: &str) -> Output {
        Output { stdout: stdout.into(), stderr: stderr.into(), success }
    }

    #[test]
    fn an_old_apt_that_calls_a_failure_a_success_is_not_believed() {
        let silent = output(true, "Err:1 http://x ./ InRelease\n", "W: Failed to fetch http://x\n");
        assert_eq!(complaint(&silent).as_deref(), Some("Failed to fetch http://x"));
        assert_eq!(complaint(&output(true, "Hit:1 http://x ./ InRelease\n", "W: odd\n")), None);
    }

    /// What one that knows the repository as of a date has of it.
    fn known(root: &Path, date: &str) {
        let lists = root.join(LISTS);
        fs::create_dir_all(lists.join("partial")).unwrap();
        fs::write(lists.join("x_._InRelease"), format!("Date: {date}\n")).unwrap();
        fs::write(lists.join("x_._Packages"), "").unwrap();
    }

    #[test]
    fn the_hosts_indices_are_read_where_they_are_newer_and_what_went_wrong_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (own, host) = (folder.path().join("own"), folder.path().join("host"));
        fs::create_dir_all(host.join("etc/apt")).unwrap();
        fs::write(host.join("etc/apt/sources.list"), "deb http://x/ ./\n").unwrap();
        known(&host, "Sat, 28 Nov 2026 20:00:00 UTC");
        let root = Root::open(&host).unwrap();
        let read = |as_of: i64, date: &str| {
            known(&own, date);
            let state = State { as_of, problem: Some("it is silent".into()) };
            state.put(&Place::of(own.clone())).unwrap();
            let mut unread = Unread::default();
            let indices = Own::at(own.clone()).indices(&mut unread);
            let apt = Apt::read(&root, &dpkg::read(&root, &mut unread), indices, &mut unread);
            let told = unread.into_entries().iter().any(|entry| entry.why == "it is silent");
            (apt.lists(&root).path() == own, told)
        };

        assert_eq!(read(1, "Sat, 28 Nov 2026 20:00:00 UTC"), (true, true));
        assert_eq!(read(1, "Sat, 28 Nov 2026 19:59:59 UTC"), (false, true), "the host's are newer");
        assert_eq!(read(0, "Sat, 28 Nov 2026 21:00:00 UTC"), (false, true), "none are refreshed");
    }

    #[test]
    fn only_ways_are_taken_from_the_hosts_configuration_and_no_program() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("etc/apt/apt.conf.d")).unwrap();
        let text = "Acquire::http::Proxy \"http://p:1/\"; Acquire::http::Proxy::h.example \"DIRECT\";\n\
                    Acquire::http::Proxy-Auto-Detect \"/bin/evil\"; Acquire::AllowInsecureRepositories \"true\";\n\
                    APT::Update::Pre-Invoke { \"evil\"; };\n";
        fs::write(at("etc/apt/apt.conf"), text).unwrap();
        let root = Root::open(folder.path()).unwrap();
        let mut unread = Unread::default();
        let apt = Apt::read(&root, &dpkg::read(&root, &mut unread), None, &mut unread);
        let text = configuration(&apt);

        assert!(text.contains("acquire::http::proxy \"http://p:1/\";"), "{text}");
        assert!(text.contains("acquire::http::proxy::h.example \"DIRECT\";"), "{text}");
        assert!(
            !text.contains("evil") && !text.contains("\"true\";\nAcquire::AllowWeak"),
            "{text}"
        );
    }
}
