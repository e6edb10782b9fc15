//! Indices of the scanner's own: what `apt-get update` would fetch, by the host's own apt, on a host that nobody changes for it.
//!
//! apt runs as nobody in a small root that is not the host's. Its `/usr` is the host's, mounted there read-only by whoever runs the
//! scanner; everything else in it is written here: sources, keys, certificates, names. So apt sees nothing else of the host and writes
//! nothing to it, and signatures are checked by apt itself, more strictly than the host may ask for (see [`super::fetched`]).
//!
//! The first refresh begins with a copy of the host's indices, and so does each that finds its own behind them. What a repository
//! has published, and apt could verify, takes its file's place; what could not be fetched or verified stays as it was, and is told. All
//! indices count as refreshed only when every repository answered.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    command::{self, Call, CallError, NOBODY, Output},
    dpkg,
    resolve::ResolveError,
    root::{ReadError, Root},
    staging::Place,
    unread::{Unread, line},
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
/// File that says of when the indices are.
const STATE: &str = "refreshed.json";
const STATE_BYTES_MAX: u64 = 64 << 10;
/// Most files in the folder of indices that are removed before the host's are copied.
const FILES_MAX: usize = 10_000;
/// Folders of the root that are made anew each time, with what is written into them; some of it may be secret.
const MADE: [&str; 2] = ["etc", "dev"];
/// Folders that apt writes in.
const WRITTEN: [&str; 4] =
    [LISTS, "var/lib/apt/lists/partial", "var/lib/apt/lists/auxfiles", "tmp"];
/// Where a merged `/usr` is linked from.
const LINKS: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// What apt reads of the host beside sources: who may sign, and how it makes itself known to a repository.
const FILES: [&str; 3] =
    ["etc/apt/trusted.gpg", "etc/apt/auth.conf", "etc/ssl/certs/ca-certificates.crt"];
const FOLDERS: [&str; 3] = ["etc/apt/trusted.gpg.d", "etc/apt/keyrings", "etc/apt/auth.conf.d"];
/// What the way to other machines is, which is this process' own and not the host's.
const NAMES: [&str; 2] = ["etc/resolv.conf", "etc/hosts"];
/// Options of the host's apt that say by which way repositories are reached.
const WAYS: [&str; 4] =
    ["acquire::http::proxy", "acquire::https::proxy", "acquire::forceipv4", "acquire::forceipv6"];
/// A program, not an address; it is not run.
const DETECTS: &str = "proxy-auto-detect";

/// Why the indices were not refreshed, or not all of them.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// There is nothing to do it with.
    #[error("the host has no apt-get, or its /usr is not mounted in the root for refreshes")]
    NoApt,
    /// A host of the time before `/usr` was one.
    #[error("the host's /bin is not a part of its /usr")]
    Unmerged,
    /// The root could not be made.
    #[error("{what} could not be copied ({source})")]
    Copy {
        /// What.
        what: String,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// apt gave no answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// apt could not fetch or verify everything.
    #[error("{0}")]
    Refused(String),
}

impl From<ResolveError> for RefreshError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Copy { what, source } => Self::Copy { what, source },
            other => Self::Refused(other.to_string()),
        }
    }
}

/// A folder with indices that are refreshed here; it is the root that apt runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own(PathBuf);

/// Own indices.
#[derive(Debug)]
pub struct Indices {
    /// The root below which they are, by the same paths as the host's.
    pub root: Root,
    /// As of when they are, in seconds since 1970.
    pub as_of: i64,
}

/// What is known of the own indices.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
struct State {
    /// When all of them were last known to be the newest, in seconds since 1970.
    as_of: i64,
    /// What went wrong in the last refresh.
    problem: Option<String>,
}

impl Own {
    /// In this folder, whose `usr` is the host's.
    pub fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// As of when the own indices are, in seconds since 1970; `None` before the first refresh.
    pub fn as_of(&self) -> Option<i64> {
        self.state().map(|state| state.as_of).filter(|as_of| *as_of > 0)
    }

    /// The own indices. What the last refresh could not do is noted.
    pub fn indices(&self, unread: &mut Unread) -> Option<Indices> {
        let state = self.state()?;
        if let Some(problem) = &state.problem {
            unread.note("refresh of the package indices", problem);
        }
        let root = Root::open(&self.0).ok().filter(|_| state.as_of > 0)?;
        Some(Indices { root, as_of: state.as_of })
    }

    /// Refreshes them; whether there was anything to refresh: not on a host without dpkg, nor on one whose repositories are all on its own
    /// disk. A failure is remembered, and told with every scan until a refresh succeeds.
    pub fn refresh(&self, host: &Root, now: Timestamp) -> Result<bool, RefreshError> {
        let place = Place::of(self.0.clone());
        let mut state = self.state().unwrap_or_default();
        let outcome = self.run(&place, host, &mut state);
        // Credentials for a repository lie here no longer than they are needed.
        let cleared = place.remove("etc").map_err(RefreshError::from);
        state.problem = outcome.as_ref().err().map(|error| line(&error.to_string()));
        if let Ok(true) = outcome {
            state.as_of = now.as_second();
        }
        put(&place, &state).and(cleared).and(outcome)
    }

    fn run(&self, place: &Place, host: &Root, state: &mut State) -> Result<bool, RefreshError> {
        if !dpkg::is_here(host) {
            return Ok(false);
        }
        if !place.at(APT).is_file() {
            return Err(RefreshError::NoApt);
        }
        // What cannot be read is told by the scan itself.
        let database = dpkg::read(host, &mut Unread::default());
        let apt = Apt::read(host, &database, None, &mut Unread::default());
        if state.as_of == 0 || self.is_behind(&apt) {
            seed(place, host, &apt)?;
            // A host that nobody has ever refreshed has its indices, none, as of its beginning.
            state.as_of = super::refreshed_at(host).unwrap_or_default().max(1);
            put(place, state)?;
        }
        if furnish(place, host, &apt)? == 0 {
            return Ok(false);
        }
        let output = command::run(&Call {
            program: Path::new("/").join(APT),
            root: Some(self.0.clone()),
            arguments: ["--quiet", "update"].map(Into::into).to_vec(),
            environment: vec![("APT_CONFIG", "/etc/refresh.conf".into())],
            output_bytes_max: OUTPUT_BYTES_MAX,
            timeout: TIMEOUT,
        })?;
        complaint(&output).map_or(Ok(true), |complaint| Err(RefreshError::Refused(complaint)))
    }

    /// Whether the host knows a repository that these do not, or a newer state of one.
    fn is_behind(&self, hosts: &Apt) -> bool {
        let targets: Vec<_> = hosts.indices.iter().map(|index| index.target.clone()).collect();
        let ours =
            Root::open(&self.0).map(|own| index::find(&own, &targets, &mut Unread::default()));
        ours.is_ok_and(|ours| index::are_behind(&ours, &hosts.indices))
    }

    fn state(&self) -> Option<State> {
        let text = Root::open(&self.0).ok()?.text(STATE, STATE_BYTES_MAX).ok()?;
        serde_json::from_str(&text).ok()
    }
}

fn put(place: &Place, state: &State) -> Result<(), RefreshError> {
    Ok(place.write(STATE, &serde_json::to_string(state).unwrap_or_default())?)
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

/// Makes everything in the root that is not the host's `/usr`; how many files of sources name something to be fetched.
fn furnish(place: &Place, host: &Root, apt: &Apt) -> Result<usize, RefreshError> {
    fs::set_permissions(place.path(), Permissions::from_mode(0o755))
        .map_err(|error| failed("the own root", error.into()))?;
    for folder in MADE {
        place.remove(folder)?;
    }
    // What a killed apt has left there may be somebody else's, and is left then.
    let _ = place.remove("tmp");
    let folders = ["etc/apt/apt.conf.d", "etc/apt/sources.list.d", "etc/apt/preferences.d"];
    let beside = ["etc/ssl/certs", "etc/alternatives", "var/lib/dpkg", "dev"];
    for folders in [&folders[..], &beside, &FOLDERS, &WRITTEN] {
        place.folders(folders)?;
    }
    for name in LINKS {
        link(place, host, name)?;
    }
    if !place.at("bin/sh").exists() {
        return Err(RefreshError::Unmerged);
    }
    // apt's check of signatures is a script in older versions; it asks for this one alternative.
    link(place, host, "etc/alternatives/awk")?;
    for file in FILES {
        place.copy_if_there(host, file, file)?;
    }
    for folder in FOLDERS {
        place.copy_files(host, folder, folder)?;
    }
    let machine = Root::open(Path::new("/")).map_err(|source| failed("this root", source))?;
    for file in NAMES {
        place.copy_if_there(&machine, file, file)?;
    }
    place.write("etc/nsswitch.conf", "hosts: files dns\n")?;
    place.write("etc/passwd", &format!("nobody:x:{NOBODY}:{NOBODY}::/:/bin/sh\n"))?;
    place.write("etc/group", &format!("nogroup:x:{NOBODY}:\n"))?;
    place.write("dev/null", "")?;
    place.give("dev")?;
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

/// A link of the host, made here, too, unless it is there.
fn link(place: &Place, host: &Root, name: &str) -> Result<(), RefreshError> {
    let Ok(target) = host.link(name) else {
        return Ok(());
    };
    match symlink(target, place.at(name)) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(failed(name, error.into()))
        }
        _ => Ok(()),
    }
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
            put(&Place::of(own.clone()), &state).unwrap();
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
