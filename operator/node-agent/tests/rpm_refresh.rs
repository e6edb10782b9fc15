//! The scanner's own indices on hosts of rpm: what a repository has published is seen, by the host's own dnf or zypper and their checks, and the
//! host is not changed.

#![expect(clippy::unwrap_used, reason = "a test that cannot prepare its host fails")]

#[expect(dead_code, reason = "shared with the tests of other hosts")]
mod debian;
#[expect(dead_code, reason = "shared with the tests of other hosts")]
mod rpm;

use std::{collections::BTreeMap, fs, path::PathBuf, time::SystemTime};

use debian::{Host, served::Served};
use hozen_agent::{clock, share::Share};
use hozen_api::node_inventory::NodeReport;
use rpm::{Package, Repository, Tool};
use rstest::rstest;

fn alpha(version: &'static str) -> Package {
    Package { name: "alpha", version, requires: "", setting: version }
}

/// A host with alpha 1 that has asked its repository once, when there was nothing newer.
struct Scene {
    _folder: tempfile::TempDir,
    repository: Repository,
    served: Served,
    host: Host,
    tool: Tool,
}

impl Scene {
    fn new(test: &str, tool: Tool) -> Option<Self> {
        let folder = debian::place(test)?;
        let repository = Repository::new(folder.path());
        repository.publish(&[alpha("1")]);
        let served = Served::new(&repository.folder);
        let host = rpm::host(test, folder.path(), &repository, tool, &["alpha"])?;
        let scene = Self { _folder: folder, repository, served, host, tool };
        scene.configure("repo_gpgcheck=1");
        scene.ask();
        Some(scene)
    }

    /// Has the host's repository at the server, with another option.
    fn configure(&self, option: &str) {
        let folder = match self.tool {
            Tool::Dnf => "etc/yum.repos.d",
            Tool::Zypper => "etc/zypp/repos.d",
        };
        let text = format!(
            "[tests]\nname=tests\nbaseurl=http://127.0.0.1:{}/\nenabled=1\n{option}\ngpgkey=file:///etc/pki/tests.asc\n",
            self.served.port
        );
        fs::write(self.host.at(&format!("{folder}/tests.repo")), text).unwrap();
    }

    /// The host itself asks its repository.
    fn ask(&self) {
        self.host.run(match self.tool {
            Tool::Dnf => &["dnf", "--quiet", "--assumeyes", "makecache", "--refresh"],
            Tool::Zypper => &["zypper", "--non-interactive", "refresh", "--force"],
        });
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

    /// Leaves what a killed refresh leaves, and the metadata of a repository that is no longer configured; as nobody's, as they are.
    fn leave_as_if_killed(&self) -> [PathBuf; 2] {
        let cache = match self.tool {
            Tool::Dnf => "var/cache/dnf",
            Tool::Zypper => "var/cache/zypp/raw",
        };
        let cache = self.host.chamber().join(cache);
        let left = match self.tool {
            Tool::Dnf => {
                let own = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
                let own = { own }.find(|path| path.join("repodata").is_dir()).unwrap();
                [own.join("tmpdir.x"), cache.join("gone-0123456789abcdef")]
            }
            Tool::Zypper => ["testsX4k2Qz", "gone"].map(|name| cache.join(name)),
        };
        for path in &left {
            fs::create_dir_all(path.join("repodata")).unwrap();
            fs::write(path.join("repodata/repomd.xml"), "").unwrap();
            for path in [path.join("repodata"), path.clone()] {
                std::os::unix::fs::chown(path, Some(65_534), Some(65_534)).unwrap();
            }
        }
        left
    }

    /// Names, contents and times of what the host has of its repositories, its packages and its configuration.
    fn state(&self) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
        files(self.host.at(""))
    }
}

/// Names, contents and times of all that is below a folder.
fn files(folder: PathBuf) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let entry = entry.unwrap();
            let data = entry.metadata().unwrap();
            let content = if data.is_file() { fs::read(entry.path()).unwrap() } else { Vec::new() };
            if data.is_dir() {
                folders.push(entry.path());
            }
            files.insert(entry.path(), (content, data.modified().unwrap()));
        }
    }
    files
}

/// Where alpha would go, what is told of the refresh, and whether the tool could say what it would do.
fn pending(report: &NodeReport) -> (Option<&str>, Option<&str>, bool) {
    let updates = report.updates.as_ref().unwrap().packages.iter();
    let update = { updates }.find(|update| update.package == "alpha:x86_64");
    let of = |what: &str| what == "refresh of the package indices";
    let told = report.not_read.iter().find(|entry| of(&entry.what));
    let all = report.transactions.iter().find(|resolved| resolved.name == "all");
    (
        update.map(|update| update.to.as_str()),
        told.map(|entry| entry.why.as_str()),
        all.is_some_and(|all| all.transaction.is_some() && all.packages == 1),
    )
}

#[rstest]
#[case::dnf(Tool::Dnf)]
#[case::zypper(Tool::Zypper)]
fn what_a_repository_has_published_is_pending_on_a_host_that_never_asks_and_that_nobody_changes(
    #[case] tool: Tool,
) {
    let test = format!("what_a_repository_has_published_is_pending {tool:?}");
    let Some(scene) = Scene::new(&test, tool) else { return };
    let before = scene.state();
    scene.publish("2");
    let plain = Share::at(scene.host.scan()).report().unwrap().unwrap();
    assert_eq!(pending(&plain), (None, None, false), "its own metadata know nothing of it");

    let began = clock::now().as_second();
    let (report, log) = scene.refreshed();
    assert_eq!(pending(&report), (Some("2-1"), None, true), "{log}: {report:?}");
    assert_eq!(report.updates.as_ref().unwrap().security, 1, "{log}");
    let at = report.ready.unwrap().indices_refreshed_at.unwrap();
    assert!(at.as_second() >= began);
    assert!(scene.state() == before, "the host is as it was");
    let left = files(scene.host.chamber());
    let ended = |path: &PathBuf| !path.to_string_lossy().contains("S.gpg-agent");
    assert!(left.keys().all(ended), "an agent of gpg's was started: {:?}", left.keys());
    let copies = left.keys().filter(|path| path.to_string_lossy().contains("/copies/"));
    assert_eq!(copies.count(), 0, "copies are gone with what nobody's programs wrote into them");

    // The next one finds what the first has left, and again what is new; what a killed one has left is gone.
    let killed = scene.leave_as_if_killed();
    let (report, log) = scene.refreshed();
    assert_eq!(pending(&report), (Some("2-1"), None, true), "{log}");
    assert!(killed.iter().all(|path| !path.exists()), "{killed:?}: {log}");
    scene.publish("3");
    let (report, log) = scene.refreshed();
    assert_eq!(pending(&report), (Some("3-1"), None, true), "{log}");
    assert!(scene.state() == before, "the host is as it was");

    // What the host has asked for since is newer than what the scanner could fetch.
    scene.publish("4");
    scene.ask();
    scene.served.silence(true);
    let (report, log) = scene.refreshed();
    let (to, told, resolved) = pending(&report);
    assert!(to == Some("4-1") && told.is_some() && resolved, "{to:?} {told:?} {resolved}: {log}");
}

#[rstest]
#[case::dnf(Tool::Dnf)]
#[case::zypper(Tool::Zypper)]
fn i23_what_is_unsigned_tampered_or_silent_is_told_and_what_was_known_stays(#[case] tool: Tool) {
    let test = format!("i23_what_is_unsigned_tampered_or_silent_is_told {tool:?}");
    let Some(scene) = Scene::new(&test, tool) else { return };
    scene.publish("2");
    let (report, log) = scene.refreshed();
    assert_eq!(pending(&report), (Some("2-1"), None, true), "{log}");
    let known = report.ready.unwrap().indices_refreshed_at;
    let refused = |words: &[&str]| {
        let (report, log) = scene.refreshed();
        let (to, told, resolved) = pending(&report);
        assert!(to == Some("2-1") && resolved, "{to:?} {resolved} {told:?}: {log}");
        let why = told.unwrap_or_default();
        assert!(words.iter().any(|word| why.contains(word)), "{why}: {log}");
        assert_eq!(report.ready.unwrap().indices_refreshed_at, known, "it is as old as it was");
    };

    // The host itself would believe it; the scanner's way to it is another.
    scene.publish("3");
    scene.repository.unsign("alpha", "3");
    scene.served.publish();
    scene.configure("repo_gpgcheck=0\ngpgcheck=0");
    refused(&["GPG", "igned", "repomd.xml.asc", "Signature verification failed"]);
    // Signed, and then changed.
    scene.publish("3");
    let index = scene.repository.folder.join("repodata/repomd.xml");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replace("<revision>", "<revision>9")).unwrap();
    refused(&["GPG", "ignature"]);
    scene.served.silence(true);
    refused(&["127.0.0.1"]);

    scene.served.silence(false);
    scene.publish("3");
    let (report, log) = scene.refreshed();
    assert_eq!(pending(&report), (Some("3-1"), None, true), "{log}");
}
