//! The scanner's own indices: what a repository has published is seen, by the host's own apt and its checks, and the host is not changed.

#![expect(clippy::unwrap_used, reason = "a test that cannot prepare its host fails")]

#[expect(dead_code, reason = "shared with the tests of other hosts")]
mod debian;

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use debian::{Host, Package, Repository, served::Served};
use hozen_agent::{
    clock,
    share::{Request, Share},
};
use hozen_api::node_inventory::NodeReport;
use jiff::SignedDuration;

fn alpha(version: &'static str) -> Package {
    Package { name: "alpha", version, depends: "", setting: "as it was\n" }
}

/// A host with alpha 1 that has asked its repository once, when there was nothing newer.
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
        repository.publish(&[alpha("1")]);
        let served = Served::new(&repository.folder);
        let host = Host::new(test, folder.path(), &repository)?;
        let scene = Self { _folder: folder, repository, served, host };
        scene.sources("");
        scene.host.run(&[
            "sh",
            "-ec",
            "apt-get -qq update; apt-get -qq -y install alpha >/dev/null",
        ]);
        Some(scene)
    }

    fn sources(&self, options: &str) {
        let line = format!("deb {options} http://127.0.0.1:{}/ ./\n", self.served.port);
        fs::write(self.host.at("etc/apt/sources.list"), line).unwrap();
    }

    fn publish(&self, version: &'static str) {
        self.repository.publish(&[alpha(version)]);
        self.served.publish();
    }

    /// What the scanner reports after a refresh, and what it said.
    fn refreshed(&self) -> (NodeReport, String) {
        let (shared, log) = self.host.scan_refreshing();
        (Share::at(shared).report().unwrap().unwrap(), log)
    }

    /// Names, contents and times of what the host has of its repositories and its configuration.
    fn state(&self) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
        let mut files = BTreeMap::new();
        let mut folders =
            ["var/lib/apt", "etc", "var/cache/apt"].map(|path| self.host.at(path)).to_vec();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let entry = entry.unwrap();
                let data = entry.metadata().unwrap();
                let content =
                    if data.is_file() { fs::read(entry.path()).unwrap() } else { Vec::new() };
                if data.is_dir() {
                    folders.push(entry.path());
                }
                files.insert(entry.path(), (content, data.modified().unwrap()));
            }
        }
        files
    }
}

/// Where alpha would go, and what is told of the refresh.
fn pending(report: &NodeReport) -> Option<&str> {
    let updates = report.updates.as_ref()?.packages.iter();
    updates.clone().find(|update| update.package == "alpha:amd64").map(|update| update.to.as_str())
}

fn told(report: &NodeReport) -> Option<&str> {
    let of = |what: &str| what == "refresh of the package indices";
    report.not_read.iter().find(|entry| of(&entry.what)).map(|entry| entry.why.as_str())
}

#[test]
fn what_runs_as_nobody_gets_less_memory_than_the_pod_and_goes_first_where_there_is_too_little() {
    let test = "what_runs_as_nobody_gets_less_memory_than_the_pod";
    if debian::place(test).is_none() {
        return;
    }
    let script = "id -u; ulimit -d; ulimit -H -d; cat /proc/self/oom_score_adj";
    let program = debian::program();
    let said = debian::call(&program, &["enter", "--nobody", "/", "/bin/sh", "-c", script]);
    assert_eq!(said, "65534\n786432\n786432\n1000\n");
}

#[test]
fn what_a_scanner_that_was_killed_has_left_is_gone_before_the_next_scan() {
    let Some(scene) = Scene::new("what_a_scanner_that_was_killed_has_left") else { return };
    let (report, log) = scene.refreshed();
    assert_eq!(told(&report), None, "{log}");
    let left = ["etc/apt/auth.conf", "copies/hozen-resolve-x/root/etc/zypp/credentials.d/c"];
    let left = left.map(|path| scene.host.chamber().join(path));
    for path in &left {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "secret").unwrap();
    }

    // Nothing is refreshed and the small root is not furnished: apt is asked without it.
    scene.host.scan();
    assert!(left.iter().all(|path| !path.exists()), "{left:?}");
}

#[test]
fn a_person_who_asks_for_a_scan_sees_what_was_published_since_the_last_refresh() {
    let Some(scene) = Scene::new("a_person_who_asks_for_a_scan_sees") else { return };
    let (report, log) = scene.refreshed();
    let at = report.ready.unwrap().indices_refreshed_at.unwrap();
    scene.publish("2");
    let share = Share::at(scene.host.shared());
    let wish = at + SignedDuration::from_secs(1);
    let request = Request { scan: Some("7".to_owned()), refresh: Some(wish), ..Request::default() };
    share.ask(&request).unwrap();
    let running = scene.host.scan_on();
    let start = clock::Moment::now();
    let report = loop {
        let report = share.report().unwrap().unwrap();
        if report.scan.as_deref() == Some("7") {
            break report;
        }
        assert!(start.elapsed() < Duration::from_mins(2), "it answers: {log}");
        clock::pause();
    };
    running.kill();
    assert_eq!((pending(&report), told(&report)), (Some("2"), None));
}

#[test]
fn a_change_of_what_is_configured_of_repositories_alone_is_seen_by_the_scanner_that_stays() {
    let Some(scene) = Scene::new("a_change_of_what_is_configured_of_repositories") else { return };
    scene.publish("2");
    let (report, log) = scene.refreshed();
    assert_eq!(pending(&report), Some("2"), "{log}");
    let share = Share::at(scene.host.shared());
    let reported = |what: &str, wanted: Option<&str>| {
        let start = clock::Moment::now();
        while pending(&share.report().unwrap().unwrap()) != wanted {
            assert!(start.elapsed() < Duration::from_mins(2), "{what} is seen");
            clock::pause();
        }
    };
    let folder = scene.host.at("etc/apt/preferences.d");
    let pin = folder.join("alpha");
    fs::create_dir_all(&folder).unwrap();
    fs::write(&pin, "Package: alpha\nPin: version 1\nPin-Priority: 999\n").unwrap();
    let running = scene.host.scan_on();
    reported("a pin that was there", None);

    // Nothing is installed.
    let change = |script: &str| scene.host.change(&running, script);
    change("rm etc/apt/preferences.d/alpha");
    reported("its end", Some("2"));
    change("rmdir etc/apt/preferences.d");
    change(
        "mkdir etc/apt/preferences.d; \
         printf 'Package: alpha\nPin: version 2\nPin-Priority: -1\n' >etc/apt/preferences.d/alpha",
    );
    reported("a pin in a folder that came later", None);
    running.kill();
}

#[test]
fn a_new_pod_reports_by_no_older_indices_than_the_last_and_says_so_where_no_repository_answers() {
    let Some(scene) = Scene::new("a_new_pod_reports_by_no_older_indices") else { return };
    // Older than any that are fetched here: times are told by the second.
    scene.host.run(&["touch", "-d", "2 minutes ago", "/var/lib/apt/lists/partial"]);
    scene.publish("2");
    let (report, log) = scene.refreshed();
    assert_eq!(pending(&report), Some("2"), "{log}");
    let known = report.ready.unwrap().indices_refreshed_at;
    // What the reporter says to a new pod, in which nothing is of the earlier one.
    let share = Share::at(scene.host.shared());
    let begin_anew = || {
        for folder in ["var", "etc"] {
            let _ = fs::remove_dir_all(scene.host.chamber().join(folder));
        }
        fs::remove_file(scene.host.chamber().join("refreshed.json")).unwrap();
        let _ = fs::remove_file(scene.host.shared().join("report.json"));
        share.ask(&Request { known, ..Request::default() }).unwrap();
    };

    begin_anew();
    let running = scene.host.scan_on();
    let start = clock::Moment::now();
    let first = loop {
        if let Some(report) = share.report().unwrap() {
            break report;
        }
        assert!(start.elapsed() < Duration::from_mins(5), "it refreshes and reports");
        clock::pause();
    };
    running.kill();
    assert_eq!((pending(&first), told(&first)), (Some("2"), None), "the first report of the pod");
    assert!(first.ready.unwrap().indices_refreshed_at >= known);
    assert_eq!(share.heard().unwrap(), known, "the reporter sees that it was heard");

    begin_anew();
    scene.served.silence(true);
    let (report, log) = scene.refreshed();
    let ready = report.ready.clone().unwrap();
    assert!(ready.indices_refreshed_at < known, "{log}");
    assert_eq!(ready.repository, Some(false), "nothing follows from what these do not name");
    let older = |what: &str| what == "age of the package indices";
    assert!(report.not_read.iter().any(|entry| older(&entry.what)), "{:?}", report.not_read);
}

#[test]
fn what_a_repository_has_published_is_pending_on_a_host_that_never_asks_and_that_nobody_changes() {
    let Some(scene) = Scene::new("what_a_repository_has_published_is_pending") else { return };
    let before = scene.state();
    scene.publish("2");
    let plain = Share::at(scene.host.scan()).report().unwrap().unwrap();
    assert_eq!(pending(&plain), None, "its own indices know nothing of it");

    let began = clock::now().as_second();
    let (report, log) = scene.refreshed();
    assert_eq!((pending(&report), told(&report)), (Some("2"), None), "{log}");
    let all = report.transactions.iter().find(|resolved| resolved.name == "all").unwrap();
    assert!(all.transaction.is_some() && all.packages == 1, "{all:?}");
    let at = report.ready.unwrap().indices_refreshed_at.unwrap();
    assert!(at.as_second() >= began);
    assert!(scene.state() == before, "the host is as it was");

    // The next one finds what the first has left, and again what is new.
    let (report, log) = scene.refreshed();
    assert_eq!((pending(&report), told(&report)), (Some("2"), None), "{log}");
    scene.publish("3");
    let (report, log) = scene.refreshed();
    assert_eq!((pending(&report), told(&report)), (Some("3"), None), "{log}");
    assert!(scene.state() == before, "the host is as it was");
}

#[test]
fn i23_what_is_unsigned_tampered_or_silent_is_told_and_what_was_known_stays() {
    let Some(scene) = Scene::new("i23_what_is_unsigned_tampered_or_silent_is_told") else { return };
    scene.publish("2");
    let (report, log) = scene.refreshed();
    assert_eq!(pending(&report), Some("2"), "{log}");
    let known = report.ready.unwrap().indices_refreshed_at;
    let refused = |words: &[&str]| {
        let (report, log) = scene.refreshed();
        assert_eq!(pending(&report), Some("2"), "{log}");
        let why = told(&report).unwrap_or_default();
        assert!(words.iter().any(|word| why.contains(word)), "{why}: {log}");
        assert_eq!(report.ready.unwrap().indices_refreshed_at, known, "it is as old as it was");
    };

    // The host itself would believe it; the scanner's way to it is another.
    scene.publish("3");
    scene.repository.unsign();
    scene.sources("[trusted=yes allow-insecure=yes]");
    refused(&["is no longer signed", "is not signed"]);
    // Signed, and the index is another than the signature speaks of.
    scene.publish("3");
    let index = scene.repository.folder.join("Packages");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replace("Version: 3", "Version: 9")).unwrap();
    refused(&["Hash Sum mismatch"]);
    // Signed by a key that the host does not know.
    let key = scene.host.at("etc/apt/trusted.gpg.d/tests.gpg");
    fs::rename(&key, key.with_extension("away")).unwrap();
    scene.publish("3");
    refused(&["NO_PUBKEY"]);
    fs::rename(key.with_extension("away"), &key).unwrap();
    scene.served.silence(true);
    refused(&["Failed to fetch"]);

    scene.served.silence(false);
    scene.publish("3");
    let (report, log) = scene.refreshed();
    assert_eq!((pending(&report), told(&report)), (Some("3"), None), "{log}");
}
