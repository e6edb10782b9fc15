//! What the agent takes of a Debian host, beside what the host's own tools take for the same in the same run: a scan beside `dpkg-query -W`,
//! an approved transaction beside `apt-get install`.
//!
//! The agent is the one that Cargo builds with this benchmark, or the one that `HOZEN_AGENT` names: what is shipped is another build. Of its
//! memory the kernel's high-water mark is read until it ends (`/proc/PID/status`), of the process itself and not of the apt that it asks.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark that cannot prepare its host ends"
)]

#[path = "../tests/debian/mod.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod debian;

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use criterion::{Bencher, Criterion, criterion_group, criterion_main};
use debian::{Host, Job, Package, Repository};
use hozen_agent::{clock::Moment, share::Share};
use hozen_api::{job::AnswerResult, node_inventory::NodeReport};

/// What brings some 600 packages more to the smallest Debian.
const PACKAGES: [&str; 31] = [
    "build-essential",
    "python3-full",
    "git",
    "cmake",
    "nginx-light",
    "systemd-sysv",
    "dbus",
    "cron",
    "nftables",
    "iproute2",
    "openssh-server",
    "qemu-system-x86",
    "gstreamer1.0-plugins-good",
    "ffmpeg",
    "imagemagick",
    "graphviz",
    "vim",
    "htop",
    "tmux",
    "rsync",
    "strace",
    "tcpdump",
    "libgtk-3-dev",
    "libgstreamer-plugins-base1.0-dev",
    "gdb",
    "valgrind",
    "python3-numpy",
    "python3-yaml",
    "jq",
    "redis-tools",
    "postgresql-client",
];
const NAMES: [&str; 4] = ["alpha", "beta", "delta", "gamma"];

/// Scans a root; the report, and the most memory that the agent had, in KiB.
fn scan(root: &Path, out: &Path) -> (NodeReport, u64) {
    let mut child = Command::new(debian::program())
        .arg("scan")
        .arg(format!("--root={}", root.display()))
        .arg(format!("--out={}", out.display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut most = 0;
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        let text = fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let mark = mark.and_then(|mark| mark.trim().trim_end_matches(" kB").parse().ok());
        most = most.max(mark.unwrap_or(0));
    };
    assert!(ended.success());
    (Share::at(out.to_owned()).report().unwrap().unwrap(), most)
}

/// A scan from its start to its end, while nobody looks at it.
fn timed(root: &Path, out: &Path) {
    let scanned = Command::new(debian::program())
        .arg("scan")
        .arg(format!("--root={}", root.display()))
        .arg(format!("--out={}", out.display()))
        .stdout(Stdio::null())
        .status();
    assert!(scanned.unwrap().success());
}

/// A root whose dpkg has real paragraphs of some 700 packages that fit each other: what is installed, and what would come with [`PACKAGES`].
/// The files of the latter are not there, nor their lists.
fn of_700_packages(folder: &Path) -> Option<PathBuf> {
    let host = Host::over("scan", folder, folder, "small", &["openssl", "ca-certificates"])?;
    let root = folder.join("of-700");
    debian::call("cp", &["-a", host.lower().to_str().unwrap(), root.to_str().unwrap()]);
    let script = r#"
        cd /var/lib/dpkg
        apt-get -qq --simulate --no-install-recommends install "$@" | sed -n 's/^Inst \([^ ]*\) .*/\1/p' >names
        apt-cache show --no-all-versions $(cat names) | awk '
            /^(Filename|Size|MD5sum|SHA1|SHA256|Description-md5|Tag):/ { left_out = 1; next }
            /^ / && left_out { next }
            { left_out = 0; sub(/^Description-en:/, "Description:"); print }
            /^Package: / { print "Status: install ok installed" }' >come
        awk -v RS= -v ORS='\n\n' 'NR == FNR { split($0, all, "\n"); for (i in all) comes[all[i]]; next }
            !($2 in comes)' names status >stay
        cat stay come >status
    "#;
    let words = [root.to_str().unwrap(), "sh", "-ec", script, "sh"];
    debian::call("chroot", &[&words[..], &PACKAGES[..]].concat());
    Some(root)
}

fn scans(criterion: &mut Criterion) {
    let Some(folder) = debian::place("scan") else { return };
    let Some(root) = of_700_packages(folder.path()) else { return };
    let out = folder.path().join("out");
    fs::create_dir_all(&out).unwrap();
    let mut group = criterion.benchmark_group("scan");
    group.sample_size(20);
    group.bench_function("dpkg-query", |bencher| {
        let database = format!("--admindir={}", root.join("var/lib/dpkg").display());
        bencher.iter(|| debian::call("dpkg-query", &[&database, "-W"]));
    });
    for name in ["updates pending", "nothing pending"] {
        if name == "nothing pending" {
            fs::remove_dir_all(root.join("var/lib/apt/lists")).unwrap();
        }
        let (report, most) = scan(&root, &out);
        let resolved = report.transactions.iter().filter(|of| of.transaction.is_some()).count();
        println!(
            "{name}: {} packages, {resolved} transactions, at most {most} KiB",
            report.package_count.unwrap_or_default()
        );
        group.bench_function(name, |bencher| bencher.iter(|| timed(&root, &out)));
    }
    group.finish();
}

/// Four packages in version 1, version 2 of them pending.
struct Scene {
    folder: tempfile::TempDir,
    host: Host,
    job: Job,
    copies: Cell<u32>,
}

impl Scene {
    fn new() -> Option<Self> {
        let folder = debian::place("apply")?;
        let repository = Repository::new(folder.path());
        let package = |version| {
            NAMES.map(|name| Package { name, version, depends: "", setting: "as it was\n" })
        };
        repository.publish(&package("1"));
        let host = Host::new("apply", folder.path(), &repository)?;
        host.run(&[
            "sh",
            "-ec",
            "apt-get -qq update; apt-get -qq -y install alpha beta gamma delta >/dev/null",
        ]);
        repository.publish(&package("2"));
        let line = |name: &str| format!("{name}:amd64 1 2 {}", repository.hash(name, "2"));
        let job = Job::patch(NAMES.into_iter().map(line).collect());
        Some(Self { folder, host, job, copies: Cell::new(0) })
    }

    /// Times what is done to a host, each time to another one in the same state.
    fn each(&self, bencher: &mut Bencher<'_>, work: impl Fn(&Host)) {
        bencher.iter_custom(|times| {
            let mut whole = Duration::ZERO;
            for _ in 0..times {
                self.copies.set(self.copies.get() + 1);
                let place = self.folder.path().join(format!("copy-{}", self.copies.get()));
                let host = self.host.copy(&place);
                let start = Moment::now();
                work(&host);
                whole += start.elapsed();
                assert!(host.versions(&NAMES).values().all(|version| version == "2"));
                fs::remove_dir_all(place).unwrap();
            }
            whole
        });
    }
}

fn applies(criterion: &mut Criterion) {
    let Some(scene) = Scene::new() else { return };
    let mut group = criterion.benchmark_group("apply");
    group.sample_size(10);
    group.bench_function("apt-get", |bencher| {
        let install = "export DEBIAN_FRONTEND=noninteractive; apt-get -q update; \
                       apt-get -q -y install alpha=2 beta=2 gamma=2 delta=2";
        scene.each(bencher, |host| drop(host.run(&["sh", "-ec", install])));
    });
    group.bench_function("hozen-agent", |bencher| {
        scene.each(bencher, |host| {
            let (answer, log) = host.work(&scene.job);
            assert_eq!(answer.result, AnswerResult::Done, "{log}");
        });
    });
    group.finish();
}

criterion_group!(benches, scans, applies);
criterion_main!(benches);
