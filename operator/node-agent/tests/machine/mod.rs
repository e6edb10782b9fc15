//! A host whose first process is the real systemd, for tests.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use hozen_agent::clock::{self, Moment};
use hozen_api::{
    job::{Answer, AnswerResult, verb},
    managed_node::Step,
    node_inventory::NodeReport,
};
use hozen_testkit::not_run;

use super::debian::{Job, call};

/// What the host has beside the smallest Debian; nginx and cron are its services.
const PACKAGES: [&str; 6] = ["systemd-sysv", "dbus", "nginx-light", "cron", "nftables", "iproute2"];
/// How long a host may take to boot, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_mins(3);

/// Instants at which a host loses its power, spread over a work and moved by a seed.
pub struct Instants {
    /// How many: `SOAK_KILLS` tries more.
    pub count: u32,
    seed: u32,
}

impl Instants {
    /// So many, if nobody asks for more; says which.
    pub fn few(count: u32) -> Self {
        let kills = std::env::var("SOAK_KILLS").ok().and_then(|kills| kills.parse().ok());
        let count = kills.unwrap_or(count);
        let seed = clock::now().subsec_nanosecond().unsigned_abs() / 1_000 % 100;
        println!("seed {seed}, {count} instants");
        Self { count, seed }
    }

    /// One of them, in a work that takes so long.
    pub fn at(&self, number: u32, whole: Duration) -> Duration {
        whole * (number * 100 + self.seed) / (self.count * 100)
    }
}

/// A host in namespaces of its own, with a disk of its own: what is written survives its power.
pub struct Host {
    folder: PathBuf,
    lower: PathBuf,
    power: Option<Child>,
}

impl Host {
    /// A host that is switched off; says itself why there is none.
    pub fn new(test: &str, folder: &Path) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            not_run(test, "a host can be run by root only");
            return None;
        }
        if let Err(why) = hozen_testbed::node::lacking() {
            not_run(test, &why.to_string());
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/roots/debian");
        let built = Command::new(script).arg("services").args(PACKAGES).output().unwrap();
        if !built.status.success() {
            not_run(test, String::from_utf8_lossy(&built.stderr).trim());
            return None;
        }
        let lower = PathBuf::from(String::from_utf8_lossy(&built.stdout).trim());
        let host = Self { folder: folder.join("machine"), lower, power: None };
        for path in ["files/opt", "programs/cni"] {
            fs::create_dir_all(host.folder.join(path)).unwrap();
        }
        fs::copy(env!("CARGO_BIN_EXE_hozen-agent"), host.files().join("opt/hozen-agent")).unwrap();
        let disk = host.folder.join("disk.img");
        fs::File::create(&disk).unwrap().set_len(2 << 30).unwrap();
        call("mkfs.ext4", &["-q", disk.to_str().unwrap()]);
        Some(host)
    }

    /// Files that the host finds on its disk when it boots.
    pub fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// Switches it on, and waits until it has booted.
    pub fn boot(&mut self) {
        let init =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/testbed/src/node/init.sh");
        let _ = fs::remove_file(self.folder.join("init"));
        // A control group of its own in every hierarchy, or systemd would keep house in the machine's.
        let script = "
            for root in $(awk '$3 == \"cgroup\" || $3 == \"cgroup2\" { print $2 }' /proc/self/mounts | sort -u); do
                group=$root/hozen-host-$$; mkdir -p $group
                for file in cpuset.cpus cpuset.mems; do
                    [ ! -e $root/$file ] || cat $root/$file >$group/$file
                done
                echo $$ >$group/cgroup.procs
            done
            exec setpriv --pdeathsig KILL unshare --mount --pid --uts --ipc --net --cgroup --fork --kill-child=KILL bash \"$@\"";
        let words = [init.as_path(), &self.folder, Path::new("host"), &self.lower];
        let power = Command::new("bash")
            .args(["-c", script, "power"])
            .args(words)
            .arg(self.folder.join("programs"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.folder.join("console")).unwrap())
            .spawn()
            .unwrap();
        self.power = Some(power);
        let state = || self.say(&["systemctl", "is-system-running"]);
        self.wait("boot", || ["running", "degraded"].contains(&state().trim()));
        // Somebody outside, on a network of their own, who reaches the host at 10.9.9.1.
        self.run(&["sh", "-ec", "ip link set lo up; ip netns add outside; ip link add in type veth peer name out netns outside; \
             ip address add 10.9.9.1/24 dev in; ip link set in up; ip -n outside address add 10.9.9.2/24 dev out; ip -n outside link set out up"]);
    }

    /// Cuts its power: every process is gone at once, the disk stays as it is.
    pub fn cut_power(&mut self) {
        if let Some(mut power) = self.power.take() {
            let group = format!("hozen-host-{}", power.id());
            power.kill().unwrap();
            power.wait().unwrap();
            self.wait("an end of all its processes", || self.init().is_none());
            let remove = format!(
                "find /sys/fs/cgroup -depth -type d -path '*/{group}*' -exec rmdir {{}} + || true"
            );
            call("sh", &["-c", &remove]);
        }
    }

    /// Cuts its power so long after the work of an order has begun, and boots it again.
    pub fn cut_off(&mut self, job: &Job, after: Duration) {
        let mut pod = self.begin(job);
        let start = Moment::now();
        while start.elapsed() < after {
            clock::pause();
        }
        self.cut_power();
        let _ = pod.kill();
        pod.wait().unwrap();
        self.boot();
    }

    /// Number of its first process, while that lives.
    pub fn init(&self) -> Option<String> {
        let stat = fs::read_to_string(self.folder.join("init")).ok()?;
        let pid = stat.split(' ').next()?.to_owned();
        Path::new("/proc").join(&pid).exists().then_some(pid)
    }

    /// Waits until something is so.
    pub fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let start = Moment::now();
        while !done() {
            let console = || fs::read_to_string(self.folder.join("console")).unwrap_or_default();
            assert!(start.elapsed() < PATIENCE, "{what} did not come: {}", console());
            clock::pause();
        }
    }

    /// What a command says, whether it succeeds or not.
    pub fn say(&self, words: &[&str]) -> String {
        let Some(init) = self.init() else { return String::new() };
        let entered = ["--target", &init, "--all", "--wd=/", "--"];
        let output = Command::new("nsenter").args(entered).args(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    }

    /// Runs a command that has to succeed.
    pub fn run(&self, words: &[&str]) -> String {
        let init = self.init().expect("the host is on");
        let entered = ["--target", &init, "--all", "--wd=/", "--"];
        call("nsenter", &[&entered[..], words].concat())
    }

    /// Begins the work of an order, in a process that a pod would be.
    pub fn begin(&self, job: &Job) -> Child {
        let init = self.init().expect("the host is on");
        let orders = Path::new("/proc").join(&init).join("root/orders");
        job.write(&orders);
        let words = ["--target", &init, "--all", "--wd=/", "--", "/opt/hozen-agent"];
        let own = ["--orders=/orders", "--host=/", "--answer=/answer"];
        Command::new("nsenter")
            .args(words)
            .arg(verb(&job.step).unwrap())
            .args(own)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap()
    }

    /// Does the work of an order to its end.
    pub fn work(&self, job: &Job) -> Answer {
        let output = self.begin(job).wait_with_output().unwrap();
        let log = String::from_utf8_lossy(&output.stdout).into_owned();
        let answer = self.run(&["cat", "/answer"]);
        println!("{log}");
        serde_json::from_str(&answer).unwrap()
    }

    /// The same, which has to succeed.
    pub fn done(&self, job: &Job) -> Answer {
        let answer = self.work(job);
        assert_eq!(answer.result, AnswerResult::Done, "{}", answer.message);
        answer
    }

    /// What a scan of it reports.
    pub fn scan(&self) -> NodeReport {
        self.run(&["sh", "-ec", "mkdir -p /shared; /opt/hozen-agent scan --root=/ --out=/shared"]);
        serde_json::from_str(&self.run(&["cat", "/shared/report.json"])).unwrap()
    }

    /// Whether somebody outside can connect to a port of the host.
    pub fn answers(&self, port: u16) -> bool {
        let script = format!(
            "use IO::Socket::INET; print IO::Socket::INET->new(PeerAddr => '10.9.9.1', PeerPort => {port}, Timeout => 2) ? 'yes' : 'no'"
        );
        let said = self.say(&["ip", "netns", "exec", "outside", "perl", "-e", &script]);
        assert!(["yes", "no"].contains(&said.as_str()), "{said}");
        said == "yes"
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.cut_power();
    }
}

/// Work without a transaction.
pub fn job(step: Step, attempt: u32, units: &[&str], ports: &[&str]) -> Job {
    let texts = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let patch = Job::patch(Vec::new());
    Job { step, attempt, units: texts(units), ports: texts(ports), ..patch }
}

/// A folder for a host and its files.
pub fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}
