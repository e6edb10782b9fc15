//! A Debian root and a signed repository of packages that the tests build themselves: what is pending is known, and no network is needed.

pub mod served;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use hozen_advisory::package::digest;
use hozen_agent::clock;
use hozen_api::{
    common::RebootMethod,
    job::{Answer, Order, verb},
    managed_node::Step,
};
use hozen_testkit::not_run;
use jiff::Timestamp;

/// Runs a command that has to succeed; its output.
pub fn call(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {text}{}", {
        String::from_utf8_lossy(&output.stderr)
    });
    text
}

/// The agent: as Cargo has built it, or another build of it that `HOZEN_AGENT` names.
pub fn program() -> String {
    let built = || env!("CARGO_BIN_EXE_hozen-agent").to_owned();
    std::env::var("HOZEN_AGENT").unwrap_or_else(|_| built())
}

/// A folder for a host and its repository, which apt may enter as nobody; says itself why there is none.
pub fn place(test: &str) -> Option<tempfile::TempDir> {
    if !rustix::process::geteuid().is_root() {
        not_run(test, "a root can be entered by root only");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    Some(folder)
}

/// A package to be built.
pub struct Package {
    pub name: &'static str,
    pub version: &'static str,
    pub depends: &'static str,
    /// Text of its configuration file.
    pub setting: &'static str,
}

/// A repository with a key of its own.
pub struct Repository {
    pub folder: PathBuf,
    keys: PathBuf,
}

impl Repository {
    pub fn new(below: &Path) -> Self {
        let repository = Self { folder: below.join("repository"), keys: below.join("keys") };
        fs::create_dir_all(&repository.folder).unwrap();
        fs::create_dir_all(&repository.keys).unwrap();
        fs::set_permissions(&repository.keys, fs::Permissions::from_mode(0o700)).unwrap();
        repository.gpg(&[
            "--passphrase",
            "",
            "--quick-generate-key",
            "tests",
            "ed25519",
            "sign",
            "0",
        ]);
        let key = below.join("repository.gpg");
        repository.gpg(&["--output", key.to_str().unwrap(), "--export"]);
        repository
    }

    fn gpg(&self, arguments: &[&str]) {
        let home = self.keys.to_str().unwrap();
        call("gpg", &[&["--homedir", home, "--batch", "--yes", "--quiet"], arguments].concat());
    }

    /// Builds packages and publishes them beside those that are there; gives their archives' SHA-256 by name and version.
    pub fn publish(&self, packages: &[Package]) {
        for package in packages {
            self.build(package, &[]);
        }
        self.index();
    }

    /// Builds and publishes a package with these control files, its scripts among them, in the place of the usual ones.
    pub fn publish_with(&self, package: &Package, control: &[(&str, &str)]) {
        self.build(package, control);
        self.index();
    }

    fn archive(&self, name: &str, version: &str) -> PathBuf {
        self.folder.join(format!("{name}_{version}_amd64.deb"))
    }

    /// SHA-256 of an archive.
    pub fn hash(&self, name: &str, version: &str) -> String {
        let sum = call("sha256sum", &[self.archive(name, version).to_str().unwrap()]);
        sum.split(' ').next().unwrap().to_owned()
    }

    /// Takes a version away.
    pub fn withdraw(&self, name: &str, version: &str) {
        fs::remove_file(self.archive(name, version)).unwrap();
        self.index();
    }

    /// Changes one byte of an archive and leaves the index as it is.
    pub fn tamper(&self, name: &str, version: &str) {
        let path = self.archive(name, version);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path, bytes).unwrap();
    }

    /// Publishes the index anew, without a signature.
    pub fn unsign(&self) {
        fs::rename(self.folder.join("InRelease"), self.folder.join("Release")).unwrap();
        let release = fs::read_to_string(self.folder.join("Release")).unwrap();
        let text = release.split("\n\n").nth(1).unwrap();
        let text = text.split("-----BEGIN").next().unwrap();
        fs::write(self.folder.join("Release"), text).unwrap();
    }

    fn build(&self, package: &Package, control: &[(&str, &str)]) {
        let tree = tempfile::tempdir().unwrap();
        let at = |path: &str| tree.path().join(path);
        let Package { name, version, depends, setting } = package;
        fs::create_dir_all(at("DEBIAN")).unwrap();
        fs::create_dir_all(at("etc")).unwrap();
        fs::create_dir_all(at(&format!("usr/share/{name}"))).unwrap();
        fs::write(at(&format!("etc/{name}.conf")), setting).unwrap();
        for number in 0..40 {
            let path = at(&format!("usr/share/{name}/{number}"));
            fs::write(path, format!("{version} {number}\n").repeat(500)).unwrap();
        }
        let depends =
            if depends.is_empty() { String::new() } else { format!("Depends: {depends}\n") };
        let paragraph = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: tests\n{depends}Description: a test\n"
        );
        fs::write(at("DEBIAN/control"), paragraph).unwrap();
        fs::write(at("DEBIAN/conffiles"), format!("/etc/{name}.conf\n")).unwrap();
        let usual = ["preinst", "postinst"].map(|script| (script, "#!/bin/sh\nsleep 0.05\n"));
        for (name, text) in usual.iter().chain(control) {
            let path = at(&format!("DEBIAN/{name}"));
            fs::write(&path, text).unwrap();
            let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let archive = self.archive(name, version);
        let words = ["--root-owner-group", "-Zgzip", "--build", tree.path().to_str().unwrap()];
        call("dpkg-deb", &[&words[..], &[archive.to_str().unwrap()]].concat());
    }

    fn index(&self) {
        let within = |script: &str| {
            let output = Command::new("sh")
                .args(["-ec", script])
                .current_dir(&self.folder)
                .env("GNUPGHOME", &self.keys)
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        within(
            "rm -f InRelease Release; apt-ftparchive packages . >Packages; \
             apt-ftparchive -o APT::FTPArchive::Release::Label=Tests -o APT::FTPArchive::Release::ValidTime=604800 \
             release . >../Release; \
             gpg --batch --yes --quiet --output InRelease --clearsign ../Release",
        );
    }
}

/// The scanner's container, in the words of a shell.
const CONTAINER: &str = "
mkdir -p pod indices; mount --bind pod pod; cd pod
mkdir -p host indices shared tmp proc etc; touch hozen-agent
mount --bind \"$program\" hozen-agent
for library in $(ldd hozen-agent | grep -o '/[^ ]*'); do mkdir -p \".${library%/*}\"; cp \"$library\" \".$library\"; done
cp /etc/hosts /etc/resolv.conf etc/
mkdir -p dev; for device in null zero full random urandom; do touch dev/$device; mount --bind /dev/$device dev/$device; done
mount -t proc proc proc; mount -t tmpfs -o mode=1777 tmpfs tmp
mount --rbind ../root host; mount -o remount,bind,ro host
mount --bind ../indices indices; mount --bind ../shared shared
cd ..
";
/// The host's programs in it.
const PROGRAMS: &str = "
mkdir -p pod/indices/usr; mount --bind root/usr pod/indices/usr; mount -o remount,bind,ro pod/indices/usr
";

/// A Debian root whose changes are its own, entered like a container: what is killed leaves nothing running.
pub struct Host {
    lower: PathBuf,
    folder: PathBuf,
    repository: PathBuf,
    /// Whether what it changes is on a small disk of its own.
    is_small: bool,
}

/// The image of a small disk, in a host's folder.
const DISK: &str = "disk.img";

/// What runs in a host.
pub struct Running(Child);

impl Running {
    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Kills everything at once, as a power cut or the end of a container does.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Waits for the end.
    pub fn end(self) -> (bool, String) {
        let output = self.0.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), text + &String::from_utf8_lossy(&output.stderr))
    }
}

impl Host {
    /// A host over a root of Debian with our repository as its only one; says itself why there is none.
    pub fn new(test: &str, below: &Path, repository: &Repository) -> Option<Self> {
        Self::of(test, below, repository, "small", &["openssl", "ca-certificates"])
    }

    /// The same with these packages beside the smallest Debian.
    pub fn of(
        test: &str,
        below: &Path,
        repository: &Repository,
        name: &str,
        packages: &[&str],
    ) -> Option<Self> {
        let host = Self::over(test, below, &repository.folder, name, packages)?;
        let trusted = host.at("etc/apt/trusted.gpg.d");
        fs::create_dir_all(&trusted).unwrap();
        fs::copy(below.join("repository.gpg"), trusted.join("tests.gpg")).unwrap();
        fs::write(host.at("etc/apt/sources.list"), "deb file:/repository ./\n").unwrap();
        for path in ["etc", "etc/apt", "etc/apt/trusted.gpg.d"] {
            fs::set_permissions(host.at(path), fs::Permissions::from_mode(0o755)).unwrap();
        }
        Some(host)
    }

    /// A host over a root of Debian with these packages; says itself why there is none.
    pub fn over(
        test: &str,
        below: &Path,
        repository: &Path,
        name: &str,
        packages: &[&str],
    ) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/roots/debian");
        let built = Command::new(script).arg(name).args(packages).output().unwrap();
        if !built.status.success() {
            not_run(test, String::from_utf8_lossy(&built.stderr).trim());
            return None;
        }
        let lower = PathBuf::from(String::from_utf8_lossy(&built.stdout).trim());
        let (folder, repository) = (below.join("host"), repository.to_owned());
        let host = Self { lower, folder, repository, is_small: false };
        for folder in ["up/repository", "work", "root"] {
            fs::create_dir_all(host.folder.join(folder)).unwrap();
        }
        for path in ["", "/up", "/up/repository"] {
            let path = format!("{}{path}", host.folder.display());
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Some(host)
    }

    /// Another host in the same state.
    pub fn copy(&self, to: &Path) -> Self {
        fs::create_dir_all(to).unwrap();
        for folder in ["up", "work", "root"] {
            fs::create_dir_all(to.join(folder)).unwrap();
        }
        let from = self.folder.join("up/.");
        call("cp", &["-a", from.to_str().unwrap(), to.join("up").to_str().unwrap()]);
        Self {
            lower: self.lower.clone(),
            folder: to.to_owned(),
            repository: self.repository.clone(),
            is_small: false,
        }
    }

    /// Another host in the same state. What it changes from now on is on a disk of so many bytes: there, and not at [`Host::at`].
    pub fn with_small_disk(&self, to: &Path, bytes: u64) -> Self {
        let host = Self { is_small: true, ..self.copy(to) };
        let disk = host.folder.join(DISK);
        fs::File::create(&disk).unwrap().set_len(bytes).unwrap();
        call("mkfs.ext4", &["-q", "-m", "0", disk.to_str().unwrap()]);
        host
    }

    /// The root that it is over.
    pub fn lower(&self) -> &Path {
        &self.lower
    }

    /// A path of the host, as it is while nothing runs in it.
    pub fn at(&self, path: &str) -> PathBuf {
        self.folder.join("up").join(path)
    }

    /// Starts a program, beside something that a shell begins first, that sees the host's root at `root` below its folder.
    fn start(&self, words: &[&str], beside: &str) -> Running {
        let lower = self.lower.display();
        let layers = if self.is_small {
            format!("lowerdir=up:{lower},upperdir=disk/up,workdir=disk/work")
        } else {
            format!("lowerdir={lower},upperdir=up,workdir=work")
        };
        let disk = if self.is_small {
            format!("mkdir -p disk; mount -o loop {DISK} disk; mkdir -p disk/up disk/work;")
        } else {
            String::new()
        };
        let script = format!(
            "cd '{}'; {disk} mount -t overlay overlay -o '{layers}' root; \
             mount -t proc proc root/proc; mount --rbind /dev root/dev; mount --bind '{}' root/repository; \
             {beside}\nexec \"$@\"",
            self.folder.display(),
            self.repository.display()
        );
        // No terminal, as a unit of a host has none.
        let child = Command::new("setsid")
            .args(["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "sh", "-ec"])
            .args([&script, "sh"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Running(child)
    }

    /// Runs a program of the host to its end; it has to succeed.
    pub fn run(&self, words: &[&str]) -> String {
        let words = [&["chroot", "root"], words].concat();
        let (success, text) = self.start(&words, "").end();
        assert!(success, "{words:?}: {text}");
        text
    }

    /// Versions of packages.
    pub fn versions(&self, names: &[&str]) -> BTreeMap<String, String> {
        let status = fs::read_to_string(self.at("var/lib/dpkg/status")).unwrap();
        let of = |paragraph: &str, field: &str| {
            paragraph.lines().find_map(|line| line.strip_prefix(field)).map(str::to_owned)
        };
        let installed = status.split("\n\n").filter_map(|paragraph| {
            let state = of(paragraph, "Status: ")?;
            let version = of(paragraph, "Version: ")?;
            let name = of(paragraph, "Package: ")?;
            let whole = state == "install ok installed";
            let there = !state.ends_with("config-files") && names.contains(&name.as_str());
            there.then(|| (name, if whole { version } else { format!("{version} ({state})") }))
        });
        installed.collect()
    }

    /// Scans the host, as its scanner would; the folder with the report and what it names.
    pub fn scan(&self) -> PathBuf {
        self.scan_with(&[], PROGRAMS).0
    }

    /// Scans the host with indices that are refreshed before; what the scanner said, too.
    pub fn scan_refreshing(&self) -> (PathBuf, String) {
        self.scan_with(&["--refresh=6h"], PROGRAMS)
    }

    /// Scans the host with a scanner that was not given the host's programs.
    pub fn scan_without_programs(&self) -> PathBuf {
        self.scan_with(&[], "").0
    }

    /// The folder in which the host's programs run for the scanner.
    pub fn chamber(&self) -> PathBuf {
        self.folder.join("indices")
    }

    /// Scans in a root as the scanner's container has it: nothing is there but its one program (with the libraries that this build
    /// of it needs), the mounts of the chart, and the capabilities of the chart.
    fn scan_with(&self, words: &[&str], programs: &str) -> (PathBuf, String) {
        let (success, text) = self.begin_scan(words, programs).end();
        assert!(success, "{text}");
        (self.shared(), text)
    }

    /// The folder that the scanner shares with the reporter.
    pub fn shared(&self) -> PathBuf {
        let shared = self.folder.join("shared");
        fs::create_dir_all(&shared).unwrap();
        shared
    }

    /// Runs a script of a shell in the root of a host in which something runs. What is written to [`Self::at`] then, nothing in it sees.
    pub fn change(&self, running: &Running, script: &str) {
        let target = format!("--target={}", running.0.id());
        let script = format!("cd '{}'; {script}", self.folder.join("root").display());
        let mut command = Command::new("nsenter");
        let done = command.args([&target, "--mount", "sh", "-ec", &script]).status().unwrap();
        assert!(done.success(), "{script}");
    }

    /// Begins to scan, and to refresh indices, until it is killed.
    pub fn scan_on(&self) -> Running {
        self.begin_scan(&["--watch", "--refresh=6h", "--behind=0s"], PROGRAMS)
    }

    fn begin_scan(&self, words: &[&str], programs: &str) -> Running {
        self.shared();
        let may = "-all,+dac_read_search,+kill,+setgid,+setuid,+sys_chroot,+sys_ptrace";
        let before = ["setpriv", "--no-new-privs", "--regid=65532", "--clear-groups"];
        let scan = ["--bounding-set", may, "chroot", "pod", "/hozen-agent", "scan"];
        let beside =
            format!("program='{}'\n{CONTAINER}{programs}\nmount -o remount,bind,ro pod", program());
        self.start(&[&before[..], &scan, words].concat(), &beside)
    }

    /// Begins the work of an order, as its pod would.
    pub fn begin(&self, job: &Job, beside: &str) -> Running {
        self.begin_with(&[], job, beside)
    }

    fn begin_with(&self, before: &[&str], job: &Job, beside: &str) -> Running {
        job.write(&self.folder.join("orders"));
        let called = verb(&job.step).unwrap();
        let program = program();
        let words = [program.as_str(), called, "--orders=orders", "--host=root", "--answer=answer"];
        self.start(&[before, &words].concat(), beside)
    }

    /// Does the work of an order to its end; the answer and the log.
    pub fn work(&self, job: &Job) -> (Answer, String) {
        self.work_beside(job, "")
    }

    /// Does the work of an order while something else, in the words of a shell, goes on in the host.
    pub fn work_beside(&self, job: &Job, beside: &str) -> (Answer, String) {
        self.worked(self.begin(job, beside))
    }

    /// The same, and what goes on beside it may go on until it has written a file too.
    pub fn work_beside_until(&self, file: &str, job: &Job, beside: &str) -> (Answer, String) {
        let until = "\"$@\"; until test -s \"$0\"; do sleep 0.05; done";
        self.worked(self.begin_with(&["sh", "-ec", until, file], job, beside))
    }

    /// Waits for the end of work that was begun; the answer and the log.
    pub fn worked(&self, running: Running) -> (Answer, String) {
        let (_, log) = running.end();
        let text = fs::read(self.folder.join("answer")).expect(&log);
        (serde_json::from_slice(&text).expect(&log), log)
    }
}

/// One Job.
#[derive(Clone)]
pub struct Job {
    pub step: Step,
    pub attempt: u32,
    pub lines: Vec<String>,
    pub units: Vec<String>,
    pub ports: Vec<String>,
    pub script: Option<String>,
    pub rate: Option<u64>,
    pub machine_id: Option<String>,
    /// How the host is to boot, where it is; its plan and its order say so both.
    pub boot: Option<RebootMethod>,
    pub lasts: Duration,
}

impl Job {
    /// A patch with these lines.
    pub fn patch(lines: Vec<String>) -> Self {
        let lasts = Duration::from_mins(30);
        let (units, ports) = (Vec::new(), Vec::new());
        let (step, script, rate, machine_id, boot) = (Step::Patch, None, None, None, None);
        Self { step, attempt: 1, lines, units, ports, script, rate, machine_id, boot, lasts }
    }

    /// Writes the order, the plan and the transaction, as the pod finds them.
    pub fn write(&self, folder: &Path) {
        let transaction: String = self.lines.iter().flat_map(|line| [line, "\n"]).collect();
        let named = digest(&transaction).to_string();
        let mut plan = serde_json::json!({"classes": [{"transaction": named}]});
        if let Some(method) = &self.boot {
            plan["classes"][0]["reboot"] = true.into();
            plan["execution"] =
                serde_json::json!({"reboot": {"policy": "AsNeeded", "method": method}});
        }
        let plan = plan.to_string();
        let deadline = clock::now() + self.lasts;
        let order = Order {
            node: "a".into(),
            node_uid: "n".into(),
            machine_id: self.machine_id.clone(),
            request_uid: "r".into(),
            step: self.step.clone(),
            attempt: self.attempt,
            plan_digest: digest(&plan).to_string(),
            transaction: named,
            units: self.units.clone(),
            ports: self.ports.clone(),
            boot_id: None,
            reboot_method: self.boot.clone().filter(|_| self.step == Step::Reboot),
            download_bytes_per_second: self.rate,
            deadline: Timestamp::from_second(deadline.as_second()).unwrap(),
        };
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("order.json"), serde_json::to_string(&order).unwrap()).unwrap();
        fs::write(folder.join("plan.json"), plan).unwrap();
        fs::write(folder.join("transaction"), transaction).unwrap();
        if let Some(script) = &self.script {
            fs::write(folder.join("script"), script).unwrap();
        }
    }
}
