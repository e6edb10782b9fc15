//! What goes wrong while a Debian root is patched: disks that fill, scripts that fail, ask or never end, clocks and repositories that are
//! off. Real apt and dpkg, packages of our own making.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot prepare its host fails"
)]

#[expect(dead_code, reason = "shared with the tests of other hosts")]
mod debian;

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use debian::{Host, Job, Package, Repository, served::Served};
use hozen_agent::{
    clock::{self, Moment},
    share::Share,
};
use hozen_api::job::{Answer, AnswerResult, ErrorClass};

const NAMES: [&str; 2] = ["alpha", "beta"];
/// What programs of the host with a clock of their own share is theirs alone.
const OWN_MEMORY: &str = "mount -t tmpfs none root/dev/shm";
/// How long something may be in coming.
const PATIENCE: Duration = Duration::from_mins(2);

fn package(name: &'static str, version: &'static str, depends: &'static str) -> Package {
    Package { name, version, depends, setting: "as it was\n" }
}

/// alpha and beta are installed in version 1, by nobody's wish; alpha 2 is published, and beta 2 with these control files.
struct Scene {
    folder: tempfile::TempDir,
    repository: Repository,
    host: Host,
}

impl Scene {
    fn new(test: &str, beta: &[(&str, &str)]) -> Option<Self> {
        let folder = debian::place(test)?;
        let repository = Repository::new(folder.path());
        let host = Host::new(test, folder.path(), &repository)?;
        Some(Self::of(folder, repository, host, beta))
    }

    /// The host's clock shows what `etc/faketimerc` adds to it, to whatever runs in the host's root.
    fn with_clock(test: &str, beta: &[(&str, &str)]) -> Option<Self> {
        let folder = debian::place(test)?;
        let repository = Repository::new(folder.path());
        let packages = ["openssl", "ca-certificates", "libfaketime"];
        let host = Host::of(test, folder.path(), &repository, "clock", &packages)?;
        let scene = Self::of(folder, repository, host, beta);
        scene.clock("+0");
        let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
        fs::write(scene.host.at("etc/ld.so.preload"), format!("{library}\n")).unwrap();
        Some(scene)
    }

    fn of(
        folder: tempfile::TempDir,
        repository: Repository,
        host: Host,
        beta: &[(&str, &str)],
    ) -> Self {
        repository.publish(&NAMES.map(|name| package(name, "1", "")));
        let install = "apt-get -qq update; apt-get -qq -y install alpha beta >/dev/null; \
                       apt-get clean; apt-mark auto alpha beta";
        host.run(&["sh", "-ec", install]);
        repository.publish(&[package("alpha", "2", "")]);
        repository.publish_with(&package("beta", "2", "debconf"), beta);
        Self { folder, repository, host }
    }

    fn clock(&self, offset: &str) {
        // The file is not made anew: a host that runs goes on with the one that it has.
        fs::write(self.host.at("etc/faketimerc"), format!("{offset}\n")).unwrap();
    }

    fn job(&self) -> Job {
        let line = |name: &str| format!("{name}:amd64 1 2 {}", self.repository.hash(name, "2"));
        Job::patch(NAMES.into_iter().map(line).collect())
    }

    fn refused(&self, job: &Job, class: ErrorClass) -> Answer {
        let (answer, log) = self.host.work_beside(job, OWN_MEMORY);
        let ended = (&answer.result, &answer.class);
        assert_eq!(ended, (&AnswerResult::Refused, &Some(class)), "{log}");
        assert_eq!(self.host.versions(&NAMES), both("1"));
        answer
    }
}

fn both(version: &str) -> BTreeMap<String, String> {
    NAMES.into_iter().map(|name| (name.to_owned(), version.to_owned())).collect()
}

fn failed(answer: &Answer, class: ErrorClass, log: &str) {
    let ended = (&answer.result, &answer.class);
    assert_eq!(ended, (&AnswerResult::Failed, &Some(class)), "{}: {log}", answer.message);
}

/// Patched, and nothing is left of what went wrong.
fn is_whole(host: &Host, log: &str) {
    let words = ["dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n"];
    let versions = host.run(&[&words[..], &NAMES[..]].concat());
    assert_eq!(versions, "alpha 2 installed\nbeta 2 installed\n", "{log}");
    assert_eq!(host.run(&["dpkg", "--audit"]), "", "{log}");
    let asked_for = host.run(&[&["apt-mark", "showmanual"], &NAMES[..]].concat());
    assert_eq!(asked_for, "", "{log}");
    held_is_let_go(host);
}

fn held_is_let_go(host: &Host) {
    let there =
        host.run(&["sh", "-c", "ls /usr/sbin/policy-rc.d /run/hozen-holds-services || true"]);
    assert_eq!(there.matches("No such file").count(), 2, "{there}");
}

/// Waits until a file of a host that runs has so many lines.
fn wait_for_lines(path: &Path, count: usize) {
    let start = Moment::now();
    while fs::read_to_string(path).unwrap_or_default().lines().count() < count {
        assert!(start.elapsed() < PATIENCE, "{} did not come", path.display());
        clock::pause();
    }
}

/// Where there is no room for a byte more, an answer is left all the same, and so is what apt has to be told afterwards.
#[test]
fn i43_a_disk_that_fills_in_mid_unpack_is_named_and_with_room_again_one_run_ends_patched() {
    let preinst = "#!/bin/sh\nrm /var/fill 2>/dev/null || exit 0\n\
                   dd if=/dev/zero of=/var/ballast bs=64k 2>/dev/null\n\
                   dd if=/dev/zero of=/var/crumbs bs=512 2>/dev/null\nexit 0\n";
    let Some(scene) = Scene::new("a_disk_that_fills_in_mid_unpack", &[("preinst", preinst)]) else {
        return;
    };
    fs::write(scene.host.at("var/fill"), "").unwrap();
    let host = scene.host.with_small_disk(&scene.folder.path().join("small"), 256 << 20);
    let job = scene.job();

    // What becomes free somebody else takes at once.
    let others = "(until [ -s root/var/ballast ]; do sleep 0.02; done; \
                  while :; do cat /dev/zero >>root/var/more || :; done) 2>/dev/null &";
    let (answer, log) = host.work_beside(&job, others);
    failed(&answer, ErrorClass::Disk, &log);
    assert!(answer.message.contains("No space left on device"), "{}", answer.message);
    assert!(!host.run(&["dpkg", "--audit"]).is_empty(), "it was in mid-unpack: {log}");
    let (answer, log) = host.work(&Job { attempt: 2, ..job.clone() });
    let ended = (answer.result, answer.class);
    assert_eq!(ended, (AnswerResult::Refused, Some(ErrorClass::Disk)), "still full: {log}");

    host.run(&["rm", "-f", "/var/ballast", "/var/crumbs", "/var/more"]);
    let (answer, log) = host.work(&Job { attempt: 3, ..job });
    assert_eq!(answer.result, AnswerResult::Done, "{log}");
    is_whole(&host, &log);
}

/// What the cache has is not fetched again.
#[test]
fn room_is_asked_for_the_way_back_too() {
    let Some(scene) = Scene::new("room_is_asked_for_the_way_back_too", &[]) else { return };
    let host = scene.host.with_small_disk(&scene.folder.path().join("small"), 72 << 20);
    let needed = |attempt| {
        let (answer, log) = host.work(&Job { attempt, ..scene.job() });
        let ended = (answer.result, answer.class);
        assert_eq!(ended, (AnswerResult::Refused, Some(ErrorClass::Disk)), "{log}");
        let bytes = answer.message.split(" bytes are needed below /usr").next().unwrap();
        bytes.parse::<u64>().expect(&answer.message)
    };

    let before = needed(1);
    // The scan says so beforehand: nobody drains the node for it.
    let lacks = || {
        let report = Share::at(host.scan()).report().unwrap().unwrap();
        let all = report.transactions.into_iter().find(|resolved| resolved.name == "all");
        all.expect("it is resolved").lacks.map(|lack| (lack.below, lack.needed_bytes))
    };
    assert_eq!(lacks(), Some(("/usr".to_owned(), before)));
    host.run(&["sh", "-ec", "cp /repository/*_1_amd64.deb /var/cache/apt/archives"]);
    let archives = NAMES.map(|name| scene.repository.folder.join(format!("{name}_1_amd64.deb")));
    let archives = archives.iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>();
    let after = needed(2);
    assert_eq!(before - after, archives);
    assert_eq!(lacks(), Some(("/usr".to_owned(), after)));
}

#[test]
fn a_script_that_fails_is_told_with_its_package_and_a_later_good_version_heals() {
    let postinst = "#!/bin/sh\necho 'it cannot be' >&2\nexit 1\n";
    let Some(scene) = Scene::new("a_script_that_fails_is_told", &[("postinst", postinst)]) else {
        return;
    };
    let host = &scene.host;
    let told = "dpkg: error processing package beta (--configure): \
                installed beta package post-installation script subprocess returned error exit status 1";
    for (attempt, class) in [(1, ErrorClass::Install), (2, ErrorClass::Broken)] {
        let (answer, log) = host.work(&Job { attempt, ..scene.job() });
        failed(&answer, class, &log);
        assert!(answer.message.contains(told), "{}", answer.message);
        let versions = host.versions(&NAMES);
        assert_eq!(versions["alpha"], "2", "{log}");
        assert_eq!(versions["beta"], "2 (install ok half-configured)", "{log}");
        held_is_let_go(host);
    }
    let report = Share::at(host.scan()).report().unwrap().unwrap();
    assert_eq!(report.unfinished, ["beta:amd64 is half-configured"]);

    scene.repository.publish(&[package("beta", "3", "")]);
    host.run(&["apt-get", "-qq", "update"]);
    let share = Share::at(host.scan());
    let report = share.report().unwrap().unwrap();
    let all = report.transactions.iter().find(|of| of.name == "all").expect("it is pending");
    let transaction = all.transaction.as_ref().expect("it is resolved");
    let lines = share.transaction(transaction).unwrap().unwrap().changes;
    assert_eq!(lines, [format!("beta:amd64 2 3 {}", scene.repository.hash("beta", "3"))]);
    let (answer, log) = host.work(&Job { attempt: 3, ..Job::patch(lines) });
    assert_eq!(answer.result, AnswerResult::Done, "{log}");
    assert_eq!(host.versions(&NAMES)["beta"], "3");
    assert_eq!(host.run(&["dpkg", "--audit"]), "", "{log}");
}

#[test]
fn a_script_that_asks_gets_its_default_the_end_of_its_input_and_no_terminal() {
    let templates = "Template: beta/question\nType: string\nDefault: as the package says\n\
                     Description: What is wanted?\n Nobody is there to say it.\n";
    let config = "#!/bin/sh\nset -e\n. /usr/share/debconf/confmodule\n\
                  db_input critical beta/question || true\ndb_go || true\n";
    let preinst = "#!/bin/sh\nif read -r line; then echo \"read $line\"; else echo 'the end'; fi >/root/said\n\
                   if (: </dev/tty) 2>/dev/null; then echo terminal; else echo 'no terminal'; fi >>/root/said\n";
    let postinst = "#!/bin/sh\nset -e\n. /usr/share/debconf/confmodule\n\
                    db_get beta/question\necho \"$RET\" >>/root/said\n";
    let control = [
        ("templates", templates),
        ("config", config),
        ("preinst", preinst),
        ("postinst", postinst),
    ];
    let Some(scene) = Scene::new("a_script_that_asks_gets_its_default", &control) else { return };

    let (answer, log) = scene.host.work(&scene.job());
    assert_eq!(answer.result, AnswerResult::Done, "{log}");
    let said = fs::read_to_string(scene.host.at("root/said")).unwrap();
    assert_eq!(said, "the end\nno terminal\nas the package says\n", "{log}");
    is_whole(&scene.host, &log);
}

/// It hangs in the repair, too. The host's clock leaps past the limits, so that nobody waits for them here.
#[test]
fn i43_a_script_that_never_ends_is_ended_at_the_limit_with_all_that_it_started() {
    let postinst = "#!/bin/sh\n[ -e /etc/hang ] || exit 0\n\
                    echo \"$$\" >>/etc/hung\nsleep 100000 & wait\n";
    let control = [("postinst", postinst)];
    let Some(scene) = Scene::with_clock("a_script_that_never_ends_is_ended", &control) else {
        return;
    };
    let host = &scene.host;
    fs::write(host.at("etc/hang"), "").unwrap();
    fs::write(host.at("etc/hung"), "").unwrap();
    let job = scene.job();

    let running = host.begin(&job, OWN_MEMORY);
    wait_for_lines(&host.at("etc/hung"), 1);
    scene.clock("+50m");
    wait_for_lines(&host.at("etc/hung"), 2);
    scene.clock("+100m");
    let (answer, log) = host.worked(running);
    failed(&answer, ErrorClass::Interrupted, &log);
    assert!(answer.message.contains("Setting up beta (2)"), "{}", answer.message);
    held_is_let_go(host);

    for path in ["etc/ld.so.preload", "etc/hang"] {
        fs::remove_file(host.at(path)).unwrap();
    }
    let (answer, log) = host.work(&Job { attempt: 2, ..job });
    let good = matches!(answer.result, AnswerResult::Done | AnswerResult::Already);
    assert!(good, "{}: {log}", answer.message);
    is_whole(host, &log);
}

#[test]
fn a_host_whose_clock_is_years_off_is_told_what_its_clock_says() {
    let Some(scene) = Scene::with_clock("a_host_whose_clock_is_years_off", &[]) else { return };
    for (attempt, offset, wanted) in
        [(1, "+20y", "is expired (invalid since"), (2, "-2y", "is not valid yet")]
    {
        scene.clock(offset);
        let answer = scene.refused(&Job { attempt, ..scene.job() }, ErrorClass::Repository);
        assert!(answer.message.contains(wanted), "{}", answer.message);
        assert!(answer.message.contains("the host's clock says 20"), "{}", answer.message);
    }
}

#[test]
fn a_repository_that_is_gone_or_has_lost_an_archive_is_named_and_nothing_is_changed() {
    let Some(scene) = Scene::new("a_repository_that_is_gone", &[]) else { return };
    let served = Served::new(&scene.repository.folder);
    let address = format!("127.0.0.1:{}", served.port);
    let line = format!("deb http://{address}/ ./\n");
    fs::write(scene.host.at("etc/apt/sources.list"), line).unwrap();
    let refused = |attempt| {
        let answer = scene.refused(&Job { attempt, ..scene.job() }, ErrorClass::Repository);
        assert!(answer.message.contains(&address), "{}", answer.message);
        answer.timings.last().unwrap().part.clone()
    };

    served.silence(true);
    assert_eq!(refused(1), "refresh");
    served.silence(false);
    let (archive, away) =
        (scene.repository.folder.join("beta_2_amd64.deb"), scene.folder.path().join("away.deb"));
    let job = scene.job();
    fs::rename(&archive, &away).unwrap();
    let (answer, log) = scene.host.work(&Job { attempt: 2, ..job.clone() });
    let ended = (answer.result, answer.class);
    assert_eq!(ended, (AnswerResult::Refused, Some(ErrorClass::Repository)), "{log}");
    assert!(answer.message.contains("beta_2_amd64.deb"), "{}", answer.message);
    assert_eq!(answer.timings.last().unwrap().part, "download");
    assert_eq!(scene.host.versions(&NAMES), both("1"));
    fs::rename(&away, &archive).unwrap();
    let (answer, log) = scene.host.work(&Job { attempt: 3, ..job });
    assert_eq!(answer.result, AnswerResult::Done, "{log}");
    is_whole(&scene.host, &log);
}

#[test]
fn a_host_that_was_rebuilt_under_the_same_name_is_left_as_it_is() {
    let Some(scene) = Scene::new("a_host_that_was_rebuilt", &[]) else { return };
    let (now, before) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
    fs::write(scene.host.at("etc/machine-id"), format!("{now}\n")).unwrap();
    let of = |id: &str| Job { machine_id: Some(id.to_owned()), ..scene.job() };

    let answer = scene.refused(&of(before), ErrorClass::Host);
    let told = format!("the host's machine id is {now}, the order's is {before}");
    assert_eq!(answer.message, told);
    assert!(!scene.host.at("var/lib/hozen").exists(), "nothing was written");
    let (answer, log) = scene.host.work(&of(now));
    assert_eq!(answer.result, AnswerResult::Done, "{log}");
}
