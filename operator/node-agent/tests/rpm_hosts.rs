//! The work of a patch Job on hosts of rpm, with the real dnf and zypper and packages of our own making, from the scan to its proof.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot prepare its host fails"
)]

#[expect(dead_code, reason = "shared with the tests of other hosts")]
mod debian;
mod rpm;

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};

use debian::{Host, Job};
use hozen_agent::clock::Moment;
use hozen_api::{
    job::{Answer, AnswerResult, ErrorClass},
    managed_node::Step,
    node_inventory::NodeReport,
    transaction::TransactionSpec,
};
use rpm::{Package, Repository, Tool, versions};
use rstest::rstest;

const NAMES: [&str; 4] = ["alpha", "beta", "gamma", "extra"];
/// How many instants of a kill are tried: `SOAK_KILLS` tries more.
const KILLS: u32 = 6;

const fn package(name: &'static str, version: &'static str, requires: &'static str) -> Package {
    Package { name, version, requires, setting: version }
}

/// Three packages are installed in version 1; version 2 is pending, and brings a fourth one.
struct Scene {
    folder: tempfile::TempDir,
    repository: Repository,
    host: Host,
}

impl Scene {
    fn new(test: &str, tool: Tool) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            hozen_testkit::not_run(test, "a root can be entered by root only");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let repository = Repository::new(folder.path());
        repository.publish(&[
            package("alpha", "1", ""),
            package("beta", "1", "alpha"),
            package("gamma", "1", "alpha"),
        ]);
        let host = rpm::host(test, folder.path(), &repository, tool, &["beta", "gamma"])?;
        fs::write(host.at("etc/gamma.conf"), "an administrator was here\n").unwrap();
        repository.publish(&[
            package("alpha", "2", ""),
            package("beta", "2", "alpha >= 2, extra"),
            package("gamma", "2", "alpha >= 2"),
            package("extra", "2", ""),
        ]);
        Some(Self { folder, repository, host })
    }

    fn lines(&self) -> Vec<String> {
        let line = |name: &str| {
            let from = if name == "extra" { "-" } else { "1-1" };
            format!("{name}:x86_64 {from} 2-1 {}", self.repository.hash(name, "2"))
        };
        let mut lines: Vec<String> = NAMES.into_iter().map(line).collect();
        lines.sort();
        lines
    }

    fn refused(&self, job: &Job, class: ErrorClass, words: &str) {
        let (answer, log) = self.host.work(job);
        let ended = (answer.result, answer.class);
        assert_eq!(ended, (AnswerResult::Refused, Some(class)), "{log}");
        assert!(answer.message.contains(words), "{words} is not in: {}", answer.message);
        assert_eq!(versions(&self.host, &NAMES), all("1", &NAMES[..3]));
    }
}

fn all(version: &str, names: &[&str]) -> BTreeMap<String, String> {
    names.iter().map(|name| ((*name).to_owned(), version.to_owned())).collect()
}

fn done((answer, log): (Answer, String)) -> Answer {
    assert_eq!(answer.result, AnswerResult::Done, "{}\n{log}", answer.message);
    answer
}

/// What the scanner reports, and the lines of its transactions by what they are for.
fn scanned(host: &Host) -> (NodeReport, BTreeMap<String, Vec<String>>) {
    let shared = host.scan();
    let text = fs::read(shared.join("report.json")).unwrap();
    let report: NodeReport = serde_json::from_slice(&text).unwrap();
    let resolved = report.transactions.iter().map(|resolved| {
        let problem = resolved.problem.as_deref().unwrap_or_default();
        let name = resolved.transaction.as_ref().expect(problem);
        let text = fs::read(shared.join(format!("{name}.transaction"))).unwrap();
        let spec: TransactionSpec = serde_json::from_slice(&text).unwrap();
        (resolved.name.clone(), spec.changes)
    });
    let transactions = resolved.collect();
    (report, transactions)
}

#[rstest]
#[case::dnf(Tool::Dnf)]
#[case::zypper(Tool::Zypper)]
fn from_scan_to_proof_an_approved_transaction_is_done_once_with_the_hosts_own_tool(
    #[case] tool: Tool,
) {
    let Some(scene) = Scene::new(&format!("from_scan_to_proof {tool:?}"), tool) else { return };
    scene.host.run(match tool {
        Tool::Dnf => &["dnf", "--quiet", "makecache"],
        Tool::Zypper => &["zypper", "--non-interactive", "refresh"],
    });
    let (report, transactions) = scanned(&scene.host);
    assert_eq!(report.updates.unwrap().security, 3);
    let lines = transactions["security"].clone();
    assert_eq!(lines, scene.lines());

    let job = Job::patch(lines);
    let answer = done(scene.host.work(&job));
    assert_eq!(versions(&scene.host, &NAMES), all("2", &NAMES));
    assert_eq!(answer.kept, ["/etc/gamma.conf"]);
    let setting = fs::read_to_string(scene.host.at("etc/gamma.conf")).unwrap();
    assert_eq!(setting, "an administrator was here\n");
    let offline = fs::read_to_string(scene.host.at("var/log/posts/gamma-2")).unwrap();
    assert_eq!(offline, "1\n", "scripts are told not to speak to the service manager");
    assert!(!scene.host.at("var/lib/hozen/begun").exists());

    let (report, transactions) = scanned(&scene.host);
    assert_eq!(report.updates.unwrap().security, 0);
    assert!(transactions.is_empty() && report.unfinished.is_empty());
    let (again, log) = scene.host.work(&job);
    assert_eq!(again, answer, "the same work is not done twice: {log}");
    let (next, log) = scene.host.work(&Job { attempt: 2, ..job });
    assert_eq!(next.result, AnswerResult::Already, "{log}");
}

/// A scanner that was not given the host's programs has none to ask, and does not pass it over.
#[rstest]
#[case::dnf(Tool::Dnf, "dnf")]
#[case::zypper(Tool::Zypper, "zypper")]
fn who_cannot_be_asked_for_want_of_a_mount_is_told_by_name(#[case] tool: Tool, #[case] name: &str) {
    let Some(scene) = Scene::new(&format!("who_cannot_be_asked {tool:?}"), tool) else { return };
    scene.host.run(match tool {
        Tool::Dnf => &["dnf", "--quiet", "makecache"],
        Tool::Zypper => &["zypper", "--non-interactive", "refresh"],
    });
    let text = fs::read(scene.host.scan_without_programs().join("report.json")).unwrap();
    let report: NodeReport = serde_json::from_slice(&text).unwrap();
    assert_eq!(report.updates.unwrap().security, 3, "what is pending is read without a tool");
    let why = format!(
        "could not resolve: {name} is not installed here, and the host's cannot be run: its /usr is not mounted at /indices/usr"
    );
    assert_eq!(report.transactions.len(), 2);
    for resolved in report.transactions {
        let problem = resolved.problem.unwrap_or_default();
        assert!(resolved.transaction.is_none() && problem.starts_with(&why), "{problem}");
    }
}

#[rstest]
#[case::dnf(Tool::Dnf)]
#[case::zypper(Tool::Zypper)]
fn what_differs_is_tampered_with_or_unsigned_is_refused_and_nothing_is_changed(#[case] tool: Tool) {
    let Some(scene) = Scene::new(&format!("what_differs {tool:?}"), tool) else { return };
    let approved = scene.lines();
    let job = Job::patch(approved.clone());

    let three = approved.iter().filter(|line| !line.starts_with("extra")).cloned().collect();
    let job_of_three = Job { lines: three, ..job.clone() };
    scene.refused(&job_of_three, ErrorClass::Difference, "extra - to 2-1 is not approved");
    let other = approved.iter().map(|line| {
        let cut = line.rsplit_once(' ').unwrap().0;
        if line.starts_with("beta") { format!("{cut} {}", "0".repeat(64)) } else { line.clone() }
    });
    let other = Job { attempt: 2, lines: other.collect(), ..job.clone() };
    scene.refused(&other, ErrorClass::Difference, "the archive of beta 2-1 has the hash");
    scene.repository.tamper("gamma", "2");
    scene.refused(&Job { attempt: 3, ..job.clone() }, ErrorClass::Signature, "");
    scene.repository.tamper("gamma", "2");
    scene.repository.unsign("gamma", "2");
    let unsigned = Job { attempt: 4, lines: scene.lines(), ..job };
    scene.refused(&unsigned, ErrorClass::Signature, "signed");
}

#[rstest]
#[case::dnf(Tool::Dnf)]
#[case::zypper(Tool::Zypper)]
fn a_rollback_brings_the_versions_before_and_takes_what_was_new(#[case] tool: Tool) {
    let Some(scene) = Scene::new(&format!("a_rollback {tool:?}"), tool) else { return };
    let job = Job::patch(scene.lines());
    done(scene.host.work(&job));

    done(scene.host.work(&Job { step: Step::Rollback, ..job }));
    assert_eq!(versions(&scene.host, &NAMES), all("1", &NAMES[..3]));
}

#[rstest]
#[case::dnf(Tool::Dnf)]
#[case::zypper(Tool::Zypper)]
fn an_approved_change_may_bring_an_earlier_version(#[case] tool: Tool) {
    let Some(scene) = Scene::new(&format!("an_approved_change {tool:?}"), tool) else { return };
    done(scene.host.work(&Job::patch(scene.lines())));

    let line = format!("gamma:x86_64 2-1 1-1 {}", scene.repository.hash("gamma", "1"));
    done(scene.host.work(&Job { attempt: 2, ..Job::patch(vec![line]) }));
    assert_eq!(versions(&scene.host, &["gamma"]), all("1", &["gamma"]));
    assert_eq!(versions(&scene.host, &["alpha"]), all("2", &["alpha"]));
}

/// What is unfinished stays told, and nothing else does: a later change of other packages first installs it anew, and where it cannot it
/// changes nothing.
#[rstest]
#[case::dnf(Tool::Dnf)]
#[case::zypper(Tool::Zypper)]
fn i43_what_a_failed_change_left_unfinished_does_not_take_a_later_good_one_back(
    #[case] tool: Tool,
) {
    let Some(scene) = Scene::new(&format!("i43_what_a_failed {tool:?}"), tool) else { return };
    let breaks = scene.host.at("etc/breaks-beta");
    fs::write(&breaks, "").unwrap();
    let (answer, log) = scene.host.work(&Job::patch(scene.lines()));
    let ended = (answer.result, answer.class);
    assert_eq!(ended, (AnswerResult::Failed, Some(ErrorClass::Install)), "{log}");
    let (report, _) = scanned(&scene.host);
    assert_eq!(report.unfinished, ["beta:x86_64 is begun and not brought to its end"], "{log}");

    scene.repository.publish(&[package("gamma", "3", "alpha >= 2")]);
    let line = format!("gamma:x86_64 2-1 3-1 {}", scene.repository.hash("gamma", "3"));
    let later = Job { attempt: 2, ..Job::patch(vec![line]) };
    let (answer, log) = scene.host.work(&later);
    let ended = (answer.result, answer.class);
    assert_eq!(ended, (AnswerResult::Refused, Some(ErrorClass::Broken)), "{log}");
    assert!(answer.message.contains("has begun beta:x86_64"), "{}", answer.message);
    assert_eq!(versions(&scene.host, &["gamma"]), all("2", &["gamma"]));

    fs::remove_file(breaks).unwrap();
    let answer = done(scene.host.work(&Job { attempt: 3, ..later }));
    assert!(answer.message.contains("approved versions"), "{}", answer.message);
    assert_eq!(versions(&scene.host, &["gamma"]), all("3", &["gamma"]));
    assert_eq!(versions(&scene.host, &["beta"]), all("2", &["beta"]));
    assert!(!scene.host.at("var/lib/hozen/begun").exists());
    assert!(scanned(&scene.host).0.unfinished.is_empty());
}

/// Everything is killed at once, the agent with the package manager, rpm and its scripts; the next pod of the same Job repairs and goes on.
#[rstest]
#[case::dnf(Tool::Dnf)]
#[case::zypper(Tool::Zypper)]
fn i25_killed_at_any_instant_the_next_run_ends_patched_and_every_script_has_run(
    #[case] tool: Tool,
) {
    let Some(scene) = Scene::new(&format!("i25_killed {tool:?}"), tool) else { return };
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
        let folder = scene.folder.path().join(format!("kill-{kill}"));
        let host = scene.host.copy(&folder);
        // Most of the time goes by before anything is installed; the last third is what matters.
        let at = whole * (kills * 200 + kill * 100 + seed) / (kills * 300);
        let running = host.begin(&job, "");
        let start = Moment::now();
        while start.elapsed() < at {
            hozen_agent::clock::pause();
        }
        running.kill();
        let left = versions(&host, &NAMES);
        let (answer, log) = host.work(&job);
        let good = matches!(answer.result, AnswerResult::Done | AnswerResult::Already);
        assert!(good, "killed after {at:?} with {left:?}: {log}");
        assert_eq!(versions(&host, &NAMES), all("2", &NAMES), "killed after {at:?}: {log}");
        for name in NAMES {
            let ran = host.at(&format!("var/log/posts/{name}-2")).exists();
            assert!(ran, "killed after {at:?}: {name}'s script did not run: {log}");
        }
        assert!(!host.at("var/lib/hozen/begun").exists(), "killed after {at:?}: {log}");
        host.run(&["rpmdb", "--verifydb"]);
        fs::remove_dir_all(folder).unwrap();
    }
}
