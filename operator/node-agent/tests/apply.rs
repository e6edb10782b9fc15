//! The work of a patch Job on a Debian root, with the real apt and dpkg and packages of our own making.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot prepare its host fails"
)]

#[expect(dead_code, reason = "shared with the tests of other hosts")]
mod debian;

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, time::Duration};

use debian::{Host, Job, Package, Repository};
use hozen_agent::{clock::Moment, root::Root, share::Share};
use hozen_api::{
    job::{AnswerResult, ErrorClass},
    managed_node::Step,
    node_inventory::WaitsFor,
};

const NAMES: [&str; 5] = ["alpha", "beta", "gamma", "delta", "extra"];
/// Another program holds dpkg's lock, in the words of the one interpreter that every Debian has.
const LOCKED: &str = r#"chroot root perl -e 'use Fcntl; open(F, "+<", "/var/lib/dpkg/lock-frontend");
    $l = pack("ssx4qqlx4", F_WRLCK, 0, 0, 0, 0); fcntl(F, F_SETLK, $l) or die; sleep 1000' & sleep 0.5"#;
/// How many instants of a kill are tried: `SOAK_KILLS` tries more.
const KILLS: u32 = 20;
/// After about how many lines of the log it is killed.
const LINES: usize = 12;

fn package(name: &'static str, version: &'static str, depends: &'static str) -> Package {
    let setting = if version == "1" { "as of old\n" } else { "as of new\n" };
    Package { name, version, depends, setting }
}

/// Four packages are installed in version 1; version 2 is pending, and brings a fifth one.
struct Scene {
    folder: tempfile::TempDir,
    repository: Repository,
    host: Host,
}

impl Scene {
    fn new(test: &str) -> Option<Self> {
        let folder = debian::place(test)?;
        let repository = Repository::new(folder.path());
        repository.publish(&[
            package("alpha", "1", ""),
            package("beta", "1", "alpha"),
            package("gamma", "1", "alpha"),
            package("delta", "1", "beta"),
        ]);
        let host = Host::new(test, folder.path(), &repository)?;
        host.run(&[
            "sh",
            "-ec",
            "apt-get -qq update; apt-get -qq -y install gamma delta >/dev/null",
        ]);
        fs::write(host.at("etc/gamma.conf"), "an administrator was here\n").unwrap();
        repository.publish(&[
            package("alpha", "2", ""),
            package("beta", "2", "alpha (>= 2)"),
            package("gamma", "2", "alpha (>= 2)"),
            package("delta", "2", "beta (>= 2), extra"),
            package("extra", "2", ""),
        ]);
        Some(Self { folder, repository, host })
    }

    fn lines(&self) -> Vec<String> {
        let line = |name: &str| {
            let from = if name == "extra" { "-" } else { "1" };
            format!("{name}:amd64 {from} 2 {}", self.repository.hash(name, "2"))
        };
        let mut lines: Vec<String> = NAMES.into_iter().map(line).collect();
        lines.sort();
        lines
    }
}

fn all(version: &str, names: &[&str]) -> BTreeMap<String, String> {
    names.iter().map(|name| ((*name).to_owned(), version.to_owned())).collect()
}

fn held_is_let_go(host: &Host) {
    assert!(!host.at("usr/sbin/policy-rc.d").exists(), "services are no longer held");
}

#[test]
fn an_approved_transaction_is_done_once_and_what_an_administrator_has_changed_is_kept() {
    let Some(scene) = Scene::new("an_approved_transaction_is_done_once") else { return };
    let job = Job::patch(scene.lines());

    let (answer, log) = scene.host.work(&job);
    assert_eq!(answer.result, AnswerResult::Done, "{log}");
    assert_eq!(scene.host.versions(&NAMES), all("2", &NAMES));
    assert_eq!(answer.kept, ["/etc/gamma.conf"]);
    let setting = fs::read_to_string(scene.host.at("etc/gamma.conf")).unwrap();
    assert_eq!(setting, "an administrator was here\n");
    assert_eq!(scene.host.run(&["apt-mark", "showmanual", "alpha", "extra", "gamma"]), "gamma\n");
    held_is_let_go(&scene.host);
    let parts: Vec<_> = answer.timings.iter().map(|timing| timing.part.as_str()).collect();
    let wanted = ["lock", "wait", "repair", "refresh", "compare", "download", "install", "check"];
    assert_eq!(parts, wanted);

    let (again, log) = scene.host.work(&job);
    assert_eq!(again, answer, "the same work is not done twice: {log}");
    assert!(log.contains("start 1") && !log.contains("start 2"), "{log}");
    let (next, log) = scene.host.work(&Job { attempt: 2, ..job });
    assert_eq!(next.result, AnswerResult::Already, "{log}");
}

#[test]
fn a_transaction_that_would_differ_is_refused_with_the_difference_and_nothing_is_changed() {
    let Some(scene) = Scene::new("a_transaction_that_would_differ_is_refused") else { return };
    let approved = scene.lines();
    let job = Job::patch(approved.clone());
    let refused = |job: &Job, difference: &str| {
        let (answer, log) = scene.host.work(job);
        let (result, class) = (answer.result, answer.class);
        assert_eq!((result, class), (AnswerResult::Refused, Some(ErrorClass::Difference)), "{log}");
        assert!(answer.message.contains(difference), "{}", answer.message);
        assert_eq!(scene.host.versions(&NAMES), all("1", &NAMES[..4]));
        held_is_let_go(&scene.host);
    };

    let four = approved.iter().filter(|line| !line.starts_with("extra")).cloned().collect();
    refused(&Job { lines: four, ..job.clone() }, "extra - to 2 is not approved");
    let other = approved.iter().map(|line| {
        let cut = line.rsplit_once(' ').unwrap().0;
        if line.starts_with("beta") { format!("{cut} {}", "0".repeat(64)) } else { line.clone() }
    });
    refused(
        &Job { attempt: 2, lines: other.collect(), ..job.clone() },
        "the archive of beta 2 has",
    );
    scene.repository.publish(&[package("alpha", "3", "")]);
    scene.repository.withdraw("alpha", "2");
    refused(&Job { attempt: 3, ..job }, "'2' for 'alpha'");
}

#[test]
fn i23_what_becomes_another_change_while_it_is_downloaded_is_not_installed() {
    let Some(scene) = Scene::new("i23_what_becomes_another_change_while_it_is_downloaded") else {
        return;
    };
    // As an administrator who removes a package between the download and the installation.
    let apt = scene.host.at("usr/local/sbin/apt-get");
    let script = "#!/bin/sh\nset -e\n/usr/bin/apt-get \"$@\"\n\
                  case \"$*\" in *--download-only*) dpkg --remove delta >/dev/null ;; esac\n";
    fs::create_dir_all(apt.parent().unwrap()).unwrap();
    fs::write(&apt, script).unwrap();
    fs::set_permissions(&apt, fs::Permissions::from_mode(0o755)).unwrap();

    let (answer, log) = scene.host.work(&Job::patch(scene.lines()));
    let ended = (answer.result, answer.class);
    assert_eq!(ended, (AnswerResult::Refused, Some(ErrorClass::Difference)), "{log}");
    assert!(answer.message.contains("delta:amd64 is not installed"), "{}", answer.message);
    assert_eq!(scene.host.versions(&NAMES), all("1", &NAMES[..3]));
    held_is_let_go(&scene.host);
}

#[test]
fn a_tampered_archive_and_an_unsigned_repository_are_refused_by_apt_and_named() {
    let Some(scene) = Scene::new("a_tampered_archive_is_refused") else { return };
    let job = Job::patch(scene.lines());
    let refused = |job: &Job| {
        let (answer, log) = scene.host.work(job);
        let (result, class) = (answer.result, answer.class);
        assert_eq!((result, class), (AnswerResult::Refused, Some(ErrorClass::Signature)), "{log}");
        assert_eq!(scene.host.versions(&NAMES), all("1", &NAMES[..4]));
    };

    scene.repository.tamper("gamma", "2");
    refused(&job);
    scene.repository.unsign();
    refused(&Job { attempt: 2, ..job });
}

#[test]
fn i23_a_source_that_would_be_believed_unsigned_is_refused_and_named() {
    let Some(scene) = Scene::new("i23_a_source_that_would_be_believed_unsigned") else { return };
    let job = Job::patch(scene.lines());
    let told = "/etc/apt/sources.list, line 1, says trusted=yes";
    scene.host.run(&["apt-get", "-qq", "update"]);
    let pending = || {
        let report = Share::at(scene.host.scan()).report().unwrap().unwrap();
        report.transactions.into_iter().find(|of| of.name == "all").expect("it is pending")
    };
    assert!(pending().transaction.is_some());
    fs::write(scene.host.at("etc/apt/sources.list"), "deb [trusted=yes] file:/repository ./\n")
        .unwrap();
    let seen = pending();
    assert_eq!(seen.transaction, None, "no plan is made of what the host would refuse");
    let problem = seen.problem.unwrap();
    assert!(problem.starts_with(&format!("nothing would be installed: {told}")), "{problem}");

    scene.repository.unsign();
    let (answer, log) = scene.host.work(&job);
    let ended = (answer.result, answer.class);
    assert_eq!(ended, (AnswerResult::Refused, Some(ErrorClass::Signature)), "{log}");
    assert!(answer.message.starts_with(told), "{}", answer.message);
    assert_eq!(scene.host.versions(&NAMES), all("1", &NAMES[..4]));
}

#[test]
fn a_kernel_for_which_a_small_boot_has_no_room_is_refused_before_anything_is_fetched() {
    let Some(folder) = debian::place("a_kernel_for_which_a_small_boot_has_no_room") else { return };
    let repository = Repository::new(folder.path());
    let kernel = |version| package("linux-image-6", version, "");
    repository.publish(&[kernel("1")]);
    let Some(host) = Host::new("a_kernel_for_which_a_small_boot", folder.path(), &repository)
    else {
        return;
    };
    let install = "apt-get -qq update; apt-get -qq -y install linux-image-6 >/dev/null";
    host.run(&["sh", "-ec", install]);
    repository.publish(&[kernel("2")]);
    let hash = repository.hash("linux-image-6", "2");
    let job = Job::patch(vec![format!("linux-image-6:amd64 1 2 {hash}")]);

    let small = "mkdir -p root/boot; mount -t tmpfs -o size=8m none root/boot; \
                 head -c 6291456 /dev/zero >root/boot/initrd.img-6";
    let (answer, log) = host.work_beside(&job, small);
    let ended = (answer.result, answer.class);
    assert_eq!(ended, (AnswerResult::Refused, Some(ErrorClass::Disk)), "{log}");
    assert!(answer.message.contains("bytes are needed below /boot"), "{}", answer.message);
    let (answer, log) = host.work(&Job { attempt: 2, ..job });
    assert_eq!(answer.result, AnswerResult::Done, "{log}");
}

#[test]
fn a_lock_of_somebody_else_is_waited_for_until_the_deadline_with_a_reason() {
    let Some(scene) = Scene::new("a_lock_is_waited_for") else { return };
    let job = Job { lasts: Duration::from_secs(3), ..Job::patch(scene.lines()) };
    let (answer, log) = scene.host.work_beside(&job, LOCKED);
    assert_eq!(answer.class, Some(ErrorClass::Locked), "{log}");
    assert!(answer.message.contains("lock-frontend"), "{}", answer.message);
    assert_eq!(answer.result, AnswerResult::Refused);
    let (answer, log) = scene.host.work(&Job { attempt: 2, ..Job::patch(scene.lines()) });
    assert_eq!(answer.result, AnswerResult::Done, "{log}");
}

/// What the work on a host says of what it waits for.
fn waits(host: &Host) -> Option<WaitsFor> {
    hozen_agent::waits::read(&Root::open(&host.at("")).unwrap(), hozen_agent::clock::now())
}

#[test]
fn who_is_waited_for_is_told_on_the_host_while_the_work_waits_and_what_a_killed_one_left_goes() {
    let Some(scene) = Scene::new("who_is_waited_for_is_told") else { return };
    let job = Job { lasts: Duration::from_mins(2), ..Job::patch(scene.lines()) };
    let running = scene.host.begin(&job, LOCKED);
    let start = Moment::now();
    let told = loop {
        if let Some(told) = waits(&scene.host) {
            break told;
        }
        assert!(start.elapsed() < Duration::from_mins(1), "it is told");
        hozen_agent::clock::pause();
    };
    running.kill();
    assert!(told.what.starts_with("another use of the package manager: "), "{told:?}");
    assert!(told.what.contains("lock-frontend is locked"), "{told:?}");
    assert!(told.since < told.until, "{told:?}");
    assert!(waits(&scene.host).is_some(), "who is killed takes nothing away");
    let (answer, log) = scene.host.work(&Job { attempt: 2, ..Job::patch(scene.lines()) });
    assert_eq!(answer.result, AnswerResult::Done, "{log}");
    assert_eq!(waits(&scene.host), None);
}

#[test]
fn nothing_begins_to_be_installed_where_too_little_time_is_left() {
    let Some(scene) = Scene::new("nothing_begins_to_be_installed") else { return };
    let job = Job { lasts: Duration::from_mins(9), ..Job::patch(scene.lines()) };

    let (answer, log) = scene.host.work(&job);
    let ended = (answer.result, answer.class);
    assert_eq!(ended, (AnswerResult::Refused, Some(ErrorClass::Locked)), "{log}");
    assert!(answer.message.starts_with("less than 10 minutes were left"), "{}", answer.message);
    assert_eq!(scene.host.versions(&NAMES), all("1", &NAMES[..4]));
    held_is_let_go(&scene.host);
}

#[test]
fn a_rollback_brings_the_versions_before_and_takes_what_was_new() {
    let Some(scene) = Scene::new("a_rollback_brings_the_versions_before") else { return };
    let job = Job::patch(scene.lines());
    let (answer, log) = scene.host.work(&job);
    assert_eq!(answer.result, AnswerResult::Done, "{log}");

    let (answer, log) = scene.host.work(&Job { step: Step::Rollback, ..job });
    assert_eq!(answer.result, AnswerResult::Done, "{log}");
    assert_eq!(scene.host.versions(&NAMES), all("1", &NAMES[..4]));
}

#[test]
fn an_approved_change_may_bring_an_earlier_version_and_no_other_package_goes_down_with_it() {
    let Some(scene) = Scene::new("an_approved_change_may_bring_an_earlier_version") else { return };
    let (answer, log) = scene.host.work(&Job::patch(scene.lines()));
    assert_eq!(answer.result, AnswerResult::Done, "{log}");

    let down = |name| format!("{name}:amd64 2 1 {}", scene.repository.hash(name, "1"));
    let job = Job { attempt: 2, ..Job::patch(vec![down("gamma")]) };
    let (answer, log) = scene.host.work(&job);
    assert_eq!(answer.result, AnswerResult::Done, "{log}");
    assert_eq!(scene.host.versions(&["gamma", "alpha"])["gamma"], "1");

    // beta needs the newer alpha: what would go with it is not approved.
    let job = Job { attempt: 3, ..Job::patch(vec![down("alpha")]) };
    let (answer, log) = scene.host.work(&job);
    let ended = (answer.result, answer.class);
    assert_eq!(ended, (AnswerResult::Refused, Some(ErrorClass::Difference)), "{log}");
    assert_eq!(scene.host.versions(&["alpha"]), all("2", &["alpha"]));
}

/// The Job may be deleted with its pod, and no other worker ever come.
#[test]
fn services_are_held_only_while_their_worker_lives() {
    let Some(scene) = Scene::new("services_are_held_only_while_their_worker_lives") else { return };
    let job = Job::patch(scene.lines());
    // As a package's script asks while it is installed.
    let ask = "set +e; until [ -e root/usr/sbin/policy-rc.d ]; do sleep 0.02; done; \
               chroot root /usr/sbin/policy-rc.d nginx restart; echo $? >said";
    let running = scene.host.begin(&job, &format!("({ask}) &"));
    let said = scene.host.at("../said");
    let start = Moment::now();
    while fs::read_to_string(&said).unwrap_or_default().is_empty() {
        assert!(start.elapsed() < Duration::from_mins(1), "the worker holds services");
        hozen_agent::clock::pause();
    }
    running.kill();
    assert_eq!(fs::read_to_string(&said).unwrap(), "101\n", "they are held while it works");
    assert!(scene.host.at("usr/sbin/policy-rc.d").exists(), "it was killed");
    scene.host.run(&["/usr/sbin/policy-rc.d", "nginx", "restart"]);

    // It was killed so often that nothing is repaired any more.
    let works = fs::read_dir(scene.host.at("var/lib/hozen/work")).unwrap();
    let work = works.map(|entry| entry.unwrap().path()).next().unwrap();
    fs::write(work.join("starts"), "12").unwrap();
    let (answer, log) = scene.host.work(&job);
    let ended = (answer.result, answer.class);
    assert_eq!(ended, (AnswerResult::Failed, Some(ErrorClass::Interrupted)), "{log}");
    held_is_let_go(&scene.host);
    assert!(!scene.host.at("run/hozen-holds-services").exists());
}

/// Everything is killed at once, the agent with apt, dpkg and its scripts; the next pod of the same Job repairs and goes on.
#[test]
fn i25_killed_at_any_instant_the_next_run_ends_patched_and_dpkg_has_no_complaint() {
    let Some(scene) = Scene::new("i25_killed_at_any_instant") else { return };
    let job = Job::patch(scene.lines());
    let first = scene.host.copy(&scene.folder.path().join("undisturbed"));
    let start = Moment::now();
    first.work(&job);
    let whole = start.elapsed();
    let kills = std::env::var("SOAK_KILLS").ok().and_then(|kills| kills.parse().ok());
    let kills = kills.unwrap_or(KILLS);
    let seed = hozen_agent::clock::now().subsec_nanosecond().unsigned_abs() / 1_000 % 100;
    println!("seed {seed}, {kills} instants within {whole:?}");

    for kill in 0..kills {
        let place = scene.folder.path().join(format!("kill-{kill}"));
        let host = scene.host.copy(&place);
        let at = whole * (kill * 100 + seed) / (kills * 100);
        let running = host.begin(&job, "");
        let start = Moment::now();
        while start.elapsed() < at {
            hozen_agent::clock::pause();
        }
        running.kill();
        is_repaired_and_patched(&host, &job, &format!("killed after {at:?}"));
        fs::remove_dir_all(place).unwrap();
    }
}

/// As above, right after a line has come into the log: at the instants at which something has just begun or ended. `HOZEN_SOAK` tries all of
/// them, a test others for each `HOZEN_SEED`.
#[test]
fn i25_killed_after_any_line_of_the_log_the_next_run_ends_patched_and_dpkg_has_no_complaint() {
    let Some(scene) = Scene::new("i25_killed_after_any_line_of_the_log") else { return };
    let job = Job::patch(scene.lines());
    let first = scene.host.copy(&scene.folder.path().join("undisturbed"));
    first.work(&job);
    let lines = logged(&first);
    let every = if std::env::var_os("HOZEN_SOAK").is_some() { 1 } else { lines / LINES };
    let seed = std::env::var("HOZEN_SEED").ok().and_then(|seed| seed.parse::<usize>().ok());
    let seed = seed.unwrap_or_else(|| {
        hozen_agent::clock::now().subsec_nanosecond().unsigned_abs() as usize / 1_000
    });
    println!("HOZEN_SEED={seed}: every {every}th of {lines} lines");

    let mut killed = 0;
    for line in (1 + seed % every..=lines).step_by(every) {
        let place = scene.folder.path().join(format!("line-{line}"));
        let host = scene.host.copy(&place);
        let mut running = host.begin(&job, "");
        while logged(&host) < line && !running.has_ended() {
            std::thread::yield_now();
        }
        killed += usize::from(!running.has_ended());
        running.kill();
        is_repaired_and_patched(&host, &job, &format!("killed after line {line}"));
        fs::remove_dir_all(place).unwrap();
    }
    assert!(killed * 2 > lines / every, "{killed} were killed before they had ended");
}

/// Lines in the log of the only work of a host.
fn logged(host: &Host) -> usize {
    let works = fs::read_dir(host.at("var/lib/hozen/work")).into_iter().flatten().flatten();
    let logs = works.filter_map(|work| fs::read(work.path().join("log")).ok());
    logs.map(|log| String::from_utf8_lossy(&log).matches('\n').count()).sum()
}

fn is_repaired_and_patched(host: &Host, job: &Job, when: &str) {
    let left = host.versions(&NAMES);
    let (answer, log) = host.work(job);
    let good = matches!(answer.result, AnswerResult::Done | AnswerResult::Already);
    assert!(good, "{when} with {left:?}: {log}");
    assert_eq!(host.versions(&NAMES), all("2", &NAMES), "{when}: {log}");
    assert_eq!(host.run(&["dpkg", "--audit"]), "", "{when}: {log}");
    let asked_for = host.run(&[&["apt-mark", "showmanual"], &NAMES[..]].concat());
    assert_eq!(asked_for, "delta\ngamma\n", "{when}: {log}");
    held_is_let_go(host);
}
