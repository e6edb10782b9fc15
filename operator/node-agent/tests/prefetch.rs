//! What a transaction needs is on the node before its time, verified, and nothing is installed.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot prepare its host fails"
)]

#[expect(dead_code, reason = "shared with the tests of other hosts")]
mod debian;

use std::{collections::BTreeMap, fs, time::Duration};

use debian::{Host, Job, Package, Repository, served::Served};
use hozen_api::{
    job::{Answer, AnswerResult, ErrorClass},
    managed_node::Step,
};

const NAMES: [&str; 2] = ["alpha", "beta"];

fn package(name: &'static str, version: &'static str) -> Package {
    Package { name, version, depends: "", setting: "as it was\n" }
}

/// Two packages are installed in version 1; version 2 is published.
struct Scene {
    _folder: tempfile::TempDir,
    repository: Repository,
    served: Served,
    host: Host,
}

impl Scene {
    fn new(test: &str) -> Option<Self> {
        let folder = debian::place(test)?;
        let repository = Repository::new(folder.path());
        repository.publish(&NAMES.map(|name| package(name, "1")));
        let served = Served::new(&repository.folder);
        let host = Host::new(test, folder.path(), &repository)?;
        let line = format!("deb http://127.0.0.1:{}/ ./\n", served.port);
        fs::write(host.at("etc/apt/sources.list"), line).unwrap();
        host.run(&[
            "sh",
            "-ec",
            "apt-get -qq update; apt-get -qq -y install alpha beta >/dev/null",
        ]);
        host.run(&["apt-get", "clean"]);
        repository.publish(&NAMES.map(|name| package(name, "2")));
        served.publish();
        served.archives();
        Some(Self { _folder: folder, repository, served, host })
    }

    fn job(&self, step: Step) -> Job {
        let line = |name: &str| format!("{name}:amd64 1 2 {}", self.repository.hash(name, "2"));
        Job { step, ..Job::patch(NAMES.into_iter().map(line).collect()) }
    }

    /// Archives in the host's cache.
    fn cached(&self) -> Vec<String> {
        let entries = fs::read_dir(self.host.at("var/cache/apt/archives")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name.contains(".deb")).collect();
        names.sort();
        names
    }

    fn versions(&self) -> BTreeMap<String, String> {
        self.host.versions(&NAMES)
    }
}

fn both(version: &str) -> BTreeMap<String, String> {
    NAMES.into_iter().map(|name| (name.to_owned(), version.to_owned())).collect()
}

#[test]
fn what_is_fetched_before_its_time_is_not_installed_and_not_fetched_again() {
    let Some(scene) = Scene::new("what_is_fetched_before_its_time_is_not_installed") else {
        return;
    };
    let prefetch = Job { rate: Some(4 << 20), ..scene.job(Step::Prefetch) };

    let (answer, log) = scene.host.work(&prefetch);
    assert_eq!(answer.result, AnswerResult::Done, "{log}");
    let parts: Vec<_> = answer.timings.iter().map(|timing| timing.part.as_str()).collect();
    assert_eq!(parts, ["lock", "wait", "refresh", "compare", "download"]);
    assert!(log.contains("Acquire::http::Dl-Limit=4096"), "{log}");
    assert_eq!(scene.versions(), both("1"), "nothing is installed");
    assert!(!scene.host.at("usr/sbin/policy-rc.d").exists(), "no service is held");
    assert_eq!(scene.cached(), ["alpha_2_amd64.deb", "beta_2_amd64.deb"]);
    assert_eq!(scene.served.archives().len(), 2);

    let (answer, log) = scene.host.work(&scene.job(Step::Patch));
    assert_eq!(answer.result, AnswerResult::Done, "{log}");
    assert_eq!(scene.versions(), both("2"));
    assert_eq!(scene.served.archives(), [], "all of it was there");
    let (answer, log) = scene.host.work(&Job { attempt: 2, ..prefetch });
    assert_eq!(answer.result, AnswerResult::Already, "{log}");
}

#[test]
fn a_prefetch_that_was_cut_off_goes_on_where_it_was() {
    let Some(scene) = Scene::new("a_prefetch_that_was_cut_off_goes_on_where_it_was") else {
        return;
    };
    scene.served.cut(1);

    let mut attempt = 1;
    let mut work = || {
        let job = Job { attempt, ..scene.job(Step::Prefetch) };
        attempt += 1;
        scene.host.work(&job)
    };
    // An apt that does not ask again by itself is asked again by the next attempt.
    let (first, log) = work();
    let (answer, log) = if first.result == AnswerResult::Done { (first, log) } else { work() };
    assert_eq!(answer.result, AnswerResult::Done, "{log}");
    let asked = scene.served.archives();
    assert!(asked.iter().any(|asked| asked.from > 0), "{asked:?}: {log}");
    assert_eq!(scene.cached(), ["alpha_2_amd64.deb", "beta_2_amd64.deb"]);
    assert_eq!(scene.versions(), both("1"));
}

#[test]
fn a_change_does_not_wait_for_a_prefetch_which_ends_and_leaves_what_it_has() {
    let Some(scene) = Scene::new("a_change_does_not_wait_for_a_prefetch") else { return };
    let orders = scene.host.at("../ahead");
    scene.job(Step::Prefetch).write(&orders);
    scene.served.stall(1);

    // The change comes while the prefetch waits for the rest of an archive and holds apt's locks.
    let program = env!("CARGO_BIN_EXE_hozen-agent");
    let beside = format!(
        "'{program}' prefetch --orders=ahead --host=root --answer=ahead/answer >ahead/log & \
         until ls root/var/cache/apt/archives/partial/*.deb >/dev/null 2>&1; do sleep 0.05; done"
    );
    let (answer, log) =
        scene.host.work_beside_until("ahead/answer", &scene.job(Step::Patch), &beside);
    assert_eq!(answer.result, AnswerResult::Done, "{log}");
    assert_eq!(scene.versions(), both("2"));
    let waited: u64 = answer.timings.iter().map(|timing| timing.milliseconds).sum();
    assert!(waited < 25_000, "apt itself gives such a server up after 30 s: {log}");

    let log = fs::read_to_string(orders.join("log")).unwrap();
    let answer: Answer = serde_json::from_slice(&fs::read(orders.join("answer")).unwrap()).unwrap();
    let ended = (answer.result, answer.class);
    assert_eq!(ended, (AnswerResult::Refused, Some(ErrorClass::Locked)), "{log}");
    assert!(answer.message.contains("a change of this host goes first"), "{}", answer.message);
    let asked = scene.served.archives();
    assert!(asked.iter().any(|asked| asked.from > 0), "what was fetched is used: {asked:?}");
}

#[test]
fn i23_what_differs_or_is_not_genuine_is_not_kept_and_nothing_is_changed() {
    let Some(scene) = Scene::new("i23_what_differs_or_is_not_genuine_is_not_kept") else { return };
    let refused = |attempt: u32, job: Job, class: ErrorClass| {
        let (answer, log) = scene.host.work(&Job { attempt, ..job });
        assert_eq!((answer.result, answer.class), (AnswerResult::Refused, Some(class)), "{log}");
        assert_eq!(scene.versions(), both("1"));
        log
    };

    let mut other = scene.job(Step::Prefetch);
    other.lines[0] = format!("alpha:amd64 1 2 {}", "0".repeat(64));
    refused(1, other, ErrorClass::Difference);
    assert_eq!(scene.cached(), Vec::<String>::new());
    let late = Job { lasts: Duration::ZERO, ..scene.job(Step::Prefetch) };
    let (answer, log) = scene.host.work(&Job { attempt: 2, ..late });
    assert_eq!(answer.result, AnswerResult::Refused, "{log}");

    let genuine = scene.job(Step::Prefetch);
    scene.repository.tamper("alpha", "2");
    refused(3, genuine, ErrorClass::Signature);
    assert!(!scene.cached().contains(&"alpha_2_amd64.deb".to_owned()), "it is not kept");
}
