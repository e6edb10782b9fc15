//! The work of Jobs on a host whose first process is the real systemd: services restarted, held down and let go, ports blocked by the
//! kernel, power lost in mid-installation, a machine taken away by its owner.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot prepare its host fails"
)]

#[expect(dead_code, reason = "shared with the tests of other hosts")]
mod debian;
mod machine;

use std::{fs, path::Path};

use debian::{Job, Package, Repository, call};
use hozen_agent::clock::{self, Moment};
use hozen_api::{
    common::RebootMethod,
    job::{AnswerResult, ErrorClass},
    managed_node::Step,
    transaction::TransactionSpec,
};
use machine::{Host, Instants, folder, job};
use rustix::process::{Pid, Signal, kill_process_group};

/// After about how many lines of the log a pod is killed.
const LINES: usize = 8;
/// At how many instants a host loses its power.
const CUTS: u32 = 3;

#[test]
fn a_mitigation_holds_over_a_flush_and_a_power_cut_is_seen_by_the_scan_and_is_lifted_without_a_trace()
 {
    let folder = folder();
    let Some(mut host) = Host::new("a_mitigation_holds", folder.path()) else { return };
    host.boot();
    assert!(host.answers(80), "nginx serves before");

    let mitigate = job(Step::Mitigate, 1, &["cron.service"], &["80/tcp"]);
    host.done(&mitigate);
    host.done(&Job { attempt: 2, ..mitigate });
    let in_force = |host: &Host| {
        assert!(!host.answers(80), "the kernel drops what comes from outside");
        assert_eq!(host.say(&["systemctl", "is-active", "cron"]).trim(), "inactive");
        let rules = host.run(&["nft", "list", "table", "inet", "hozen"]);
        assert_eq!(rules.matches("dport 80 drop").count(), 1, "{rules}");
        let seen = host.scan().mitigated.expect("it is seen");
        assert_eq!((seen.stop, seen.block), (vec!["cron.service".into()], vec!["80/tcp".into()]));
    };
    in_force(&host);
    // What the timer does every minute.
    host.run(&["nft", "flush", "ruleset"]);
    assert!(host.answers(80));
    assert_eq!(host.say(&["systemctl", "is-active", "hozen-ports.timer"]).trim(), "active");
    host.run(&["systemctl", "start", "hozen-ports.service"]);
    in_force(&host);
    host.cut_power();
    host.boot();
    in_force(&host);

    host.done(&job(Step::Lift, 1, &["cron.service"], &["80/tcp"]));
    assert!(host.answers(80), "nginx serves again");
    assert_eq!(host.say(&["systemctl", "is-active", "cron"]).trim(), "active");
    assert_eq!(host.scan().mitigated, None);
    assert_eq!(host.run(&["nft", "list", "ruleset"]).trim(), "");
    assert_eq!(host.run(&["sh", "-c", "ls /etc/systemd/system | grep -c hozen || true"]), "0\n");
}

/// A typing error alone mitigates nothing, and is not believed to.
#[test]
fn a_unit_that_the_host_does_not_have_keeps_nothing_else_from_being_done_and_is_no_mitigation_alone()
 {
    let folder = folder();
    let Some(mut host) = Host::new("a_unit_that_the_host_does_not_have", folder.path()) else {
        return;
    };
    host.boot();
    let answer = host.work(&job(Step::Mitigate, 1, &["ngnix.service"], &[]));
    let ended = (answer.result, answer.class);
    assert_eq!(ended, (AnswerResult::Refused, Some(ErrorClass::Unsupported)), "{}", answer.message);
    assert!(answer.message.contains("no unit ngnix.service"), "{}", answer.message);
    assert_eq!(host.scan().mitigated, None);

    let units = ["absent.service", "cron.service"];
    let answer = host.work(&job(Step::Mitigate, 2, &units, &["80/tcp"]));
    assert_eq!(answer.result, AnswerResult::Done, "{}", answer.message);
    let told = "the host has no absent.service: held, should it come";
    assert!(answer.message.contains(told), "{}", answer.message);
    assert!(!host.answers(80), "its port is blocked all the same");
    let seen = host.scan().mitigated.expect("it is seen");
    assert_eq!((seen.stop, seen.block), (units.map(str::to_owned).to_vec(), vec!["80/tcp".into()]));
    assert_eq!(seen.absent, ["absent.service"]);
    let come = "printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >/usr/lib/systemd/system/absent.service; \
                systemctl daemon-reload; systemctl start absent.service || echo refused";
    assert!(host.say(&["sh", "-c", come]).contains("refused"), "what comes later is held too");

    host.done(&job(Step::Lift, 2, &units, &["80/tcp"]));
    assert_eq!(host.scan().mitigated, None);
    host.run(&["systemctl", "start", "absent.service"]);
    assert_eq!(host.say(&["systemctl", "is-active", "cron"]).trim(), "active");
}

/// A port that cannot be blocked is told before anything is stopped: a mitigation is in force as a whole, or not.
#[test]
fn a_host_without_nft_says_so_in_its_report_and_stops_nothing_for_a_port_that_stays_open() {
    let folder = folder();
    let Some(mut host) = Host::new("a_host_without_nft_says_so", folder.path()) else { return };
    host.boot();
    assert_eq!(host.scan().cannot_mitigate, None);
    host.run(&["mv", "/usr/sbin/nft", "/usr/sbin/nft.away"]);
    let cannot = host.scan().cannot_mitigate.expect("it is seen");
    let why = "ports are blocked by nft, which this host does not have";
    assert!(cannot.block.is_some_and(|told| told.starts_with(why)) && cannot.stop.is_none());
    let answer = host.work(&job(Step::Mitigate, 1, &["cron.service"], &["80/tcp"]));
    assert_eq!(answer.result, AnswerResult::Refused, "{}", answer.message);
    assert!(answer.message.starts_with(why), "{}", answer.message);
    assert_eq!(host.say(&["systemctl", "is-active", "cron"]).trim(), "active");
}

#[test]
fn a_restart_gives_new_processes_and_a_unit_that_does_not_stay_up_is_a_failure() {
    let folder = folder();
    let Some(mut host) = Host::new("a_restart_gives_new_processes", folder.path()) else { return };
    host.boot();
    let process = |host: &Host| host.run(&["systemctl", "show", "-P", "MainPID", "nginx"]);
    let before = process(&host);

    host.done(&job(Step::Restart, 1, &["nginx.service"], &[]));
    let after = process(&host);
    assert_ne!(before, after);
    assert!(host.answers(80));
    host.run(&["sh", "-c", "echo nonsense >>/etc/nginx/nginx.conf"]);
    let answer = host.work(&job(Step::Restart, 2, &["nginx.service"], &[]));
    let ended = (answer.result, answer.class);
    assert_eq!(ended, (AnswerResult::Failed, Some(ErrorClass::Unit)), "{}", answer.message);
    assert!(answer.message.contains("nginx.service"), "{}", answer.message);
}

#[test]
fn a_one_shot_is_not_restarted_and_is_told_to_run_old_code_until_it_ends() {
    let folder = folder();
    let Some(mut host) = Host::new("a_one_shot_is_not_restarted", folder.path()) else { return };
    host.boot();
    let unit = "[Service]\\nType=oneshot\\nExecStart=/bin/sh -c \"echo begun >>/root/jobs; exec sleep 1000\"\\n";
    let script = format!(
        "printf '{unit}' >/etc/systemd/system/backup.service; systemctl daemon-reload; systemctl start --no-block backup"
    );
    host.run(&["sh", "-ec", &script]);
    let jobs = |host: &Host| host.say(&["cat", "/root/jobs"]);
    host.wait("the job", || jobs(&host) == "begun\n");

    let answer = host.done(&job(Step::Restart, 1, &["backup.service", "nginx.service"], &[]));
    let told =
        "restarted nginx.service; backup.service is a one-shot and runs old code until it ends";
    assert_eq!(answer.message, told);
    let answer = host.work(&job(Step::Restart, 2, &["backup.service"], &[]));
    assert_eq!(answer.result, AnswerResult::Already, "{}", answer.message);
    assert_eq!(jobs(&host), "begun\n", "its job goes on and is not done again");
    assert_eq!(host.say(&["systemctl", "is-active", "backup"]).trim(), "activating");
}

/// Boots a host that has three packages in version 1, and gives the patch that brings version 2.
fn pending(host: &mut Host, folder: &Path) -> Job {
    let names = ["alpha", "beta", "gamma"];
    let package = |name, version| Package { name, version, depends: "", setting: "" };
    let repository = Repository::new(folder);
    repository.publish(&names.map(|name| package(name, "1")));
    let files = host.files();
    let copy = |files: &Path| {
        let (from, to) = (&repository.folder, files.join("repository"));
        let _ = fs::remove_dir_all(&to);
        call("cp", &["-a", from.to_str().unwrap(), to.to_str().unwrap()]);
    };
    fs::create_dir_all(files.join("etc/apt/trusted.gpg.d")).unwrap();
    fs::copy(folder.join("repository.gpg"), files.join("etc/apt/trusted.gpg.d/tests.gpg")).unwrap();
    fs::write(files.join("etc/apt/sources.list"), "deb file:/repository ./\n").unwrap();
    copy(&files);
    host.boot();
    host.run(&["sh", "-ec", "apt-get -qq update; apt-get -qq -y install alpha beta gamma >&2"]);
    repository.publish(&names.map(|name| package(name, "2")));
    copy(&Path::new("/proc").join(host.init().unwrap()).join("root"));
    copy(&files);
    let lines = names.map(|name| format!("{name}:amd64 1 2 {}", repository.hash(name, "2")));
    Job::patch(lines.to_vec())
}

fn versions(host: &Host) -> String {
    host.run(&["dpkg-query", "-W", "-f", "${Version} ", "alpha", "beta", "gamma"])
}

fn back_to_version_one(host: &Host) {
    let back = "apt-get -qq -y --allow-downgrades install alpha=1 beta=1 gamma=1 >&2";
    host.run(&["sh", "-ec", back]);
}

/// The whole host dies at once in mid-installation, and boots again; the next pod of the same Job repairs and goes on.
#[test]
fn i25_power_lost_in_mid_unpack_the_host_comes_back_is_repaired_and_proven() {
    let folder = folder();
    let Some(mut host) = Host::new("i25_power_lost_in_mid_unpack", folder.path()) else { return };
    let patch = pending(&mut host, folder.path());

    let mut pod = host.begin(&patch);
    let status = |host: &Host| host.say(&["dpkg-query", "-W", "-f", "${Package} ${Status}\n"]);
    let begun = |text: &str| text.contains("unpacked") || text.contains("half-");
    host.wait("an unpacked package", || begun(&status(&host)));
    host.cut_power();
    pod.kill().unwrap();
    pod.wait().unwrap();
    host.boot();
    let report = host.scan();
    assert!(!report.unfinished.is_empty(), "the scan sees what is half done");

    let answer = host.done(&patch);
    assert!(answer.message.contains("approved versions"), "{}", answer.message);
    assert_eq!(host.run(&["dpkg", "--audit"]), "");
    assert_eq!(versions(&host), "2 2 2 ");
    assert!(host.scan().unfinished.is_empty());
}

/// As above, at any instant, before anything was begun and after all was done, too.
#[test]
fn i25_power_lost_at_any_instant_the_host_boots_and_the_next_run_ends_patched() {
    let folder = folder();
    let Some(mut host) = Host::new("i25_power_lost_at_any_instant", folder.path()) else { return };
    let patch = pending(&mut host, folder.path());
    let start = Moment::now();
    host.done(&patch);
    let whole = start.elapsed();
    let cuts = Instants::few(CUTS);

    for cut in 0..cuts.count {
        back_to_version_one(&host);
        let job = Job { attempt: cut + 2, ..patch.clone() };
        let at = cuts.at(cut, whole);
        host.cut_off(&job, at);
        let answer = host.work(&job);
        let good = matches!(answer.result, AnswerResult::Done | AnswerResult::Already);
        assert!(good, "cut off after {at:?}: {}", answer.message);
        assert_eq!(versions(&host), "2 2 2 ", "cut off after {at:?}");
        assert_eq!(host.run(&["dpkg", "--audit"]), "", "cut off after {at:?}");
        assert!(host.scan().unfinished.is_empty(), "cut off after {at:?}");
    }
}

/// The unit of the host goes on without the pod that asked for it; another pod finds it, or the answer that it has left.
#[test]
fn i25_work_goes_on_when_its_pod_is_killed_after_any_line_and_the_next_pod_gives_its_answer() {
    let folder = folder();
    let Some(mut host) = Host::new("i25_work_goes_on_when_its_pod_is_killed", folder.path()) else {
        return;
    };
    let patch = pending(&mut host, folder.path());
    let logs = Path::new("/proc").join(host.init().unwrap()).join("root/var/lib/hozen/work");
    let log = |attempt: u32| {
        let works = fs::read_dir(&logs).into_iter().flatten().flatten();
        let logs = works.filter_map(|work| fs::read_to_string(work.path().join("log")).ok());
        let own = format!(", attempt {attempt}, start 1\n");
        logs.into_iter().find(|log| log.contains(&own)).unwrap_or_default()
    };
    host.done(&patch);
    let lines = log(1).lines().count();
    let every = if std::env::var_os("HOZEN_SOAK").is_some() { 1 } else { lines / LINES };
    let seed = std::env::var("HOZEN_SEED").ok().and_then(|seed| seed.parse::<usize>().ok());
    let seed =
        seed.unwrap_or_else(|| clock::now().subsec_nanosecond().unsigned_abs() as usize / 1_000);
    println!("HOZEN_SEED={seed}: every {every}th of {lines} lines");

    let mut killed = 0;
    for (attempt, line) in (2..).zip((1 + seed % every..=lines).step_by(every)) {
        back_to_version_one(&host);
        let job = Job { attempt, ..patch.clone() };
        let mut pod = host.begin(&job);
        while log(attempt).lines().count() < line && pod.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        killed += usize::from(pod.try_wait().unwrap().is_none());
        let _ = kill_process_group(Pid::from_child(&pod), Signal::KILL);
        pod.wait().unwrap();

        let answer = host.done(&job);
        assert_eq!(versions(&host), "2 2 2 ", "killed after line {line}");
        assert_eq!(host.run(&["dpkg", "--audit"]), "", "killed after line {line}");
        assert!(!log(attempt).contains("start 2"), "killed after line {line}: {}", log(attempt));
        assert_eq!(host.work(&job), answer, "killed after line {line}");
    }
    assert!(killed * 2 > lines / every, "{killed} were killed before they had ended");
}

/// It has no program for it: that is told before it is patched, and before it boots.
#[test]
fn a_host_that_cannot_boot_by_kexec_is_neither_patched_nor_booted_and_the_package_is_named() {
    let folder = folder();
    let Some(mut host) = Host::new("a_host_that_cannot_boot_by_kexec", folder.path()) else {
        return;
    };
    let kexec = Some(RebootMethod::Kexec);
    let patch = pending(&mut host, folder.path());
    let refused = |host: &Host, job: &Job| {
        let answer = host.work(job);
        let ended = (answer.result, answer.class);
        assert_eq!(
            ended,
            (AnswerResult::Refused, Some(ErrorClass::Unsupported)),
            "{}",
            answer.message
        );
        for word in ["no kexec", "install the package kexec-tools", "method: Reboot"] {
            assert!(answer.message.contains(word), "{}", answer.message);
        }
    };
    let by_kexec = Job { boot: kexec.clone(), ..patch.clone() };
    refused(&host, &by_kexec);
    assert_eq!(versions(&host), "1 1 1 ");

    let init = host.init();
    refused(&host, &Job { boot: kexec, ..job(Step::Reboot, 1, &[], &[]) });
    let notes = "ls /var/lib/hozen/work/reboot-*/ | grep -c asked || true";
    assert_eq!(host.run(&["sh", "-c", notes]), "0\n", "nothing was asked of the host");
    assert_eq!(host.init(), init);

    // A whole reboot is another plan, and not asked of kexec.
    host.done(&Job { attempt: 2, boot: Some(RebootMethod::Reboot), ..patch });
    assert_eq!(versions(&host), "2 2 2 ");
}

/// systemd gives our work a quarter of an hour to end. A machine whose owner takes it away as we asked does not wait for that.
#[test]
fn a_machine_that_goes_down_does_not_wait_for_the_work_that_asked_for_its_successor() {
    let folder = folder();
    let Some(mut host) = Host::new("a_machine_that_goes_down", folder.path()) else { return };
    host.boot();
    let program = "#!/bin/sh\necho \"$@\" >/root/asked\n";
    let prepare = format!(
        "mkdir -p /etc/hozen; rm -f /etc/os-release; printf 'ID=debian\nIMAGE_ID=worker\nIMAGE_VERSION=1\n' >/etc/os-release; \
         cat >/etc/hozen/replace-node <<'END'\n{program}END\nchmod 755 /etc/hozen/replace-node"
    );
    host.run(&["sh", "-ec", &prepare]);
    let digest = hozen_advisory::package::digest(program).replace("sha256-", "");
    let mut pod = host.begin(&Job::patch(vec![format!("worker:node 1 2 {digest}")]));
    host.wait("the ask", || host.say(&["cat", "/root/asked"]).ends_with(" worker 1 2\n"));
    assert!(pod.try_wait().unwrap().is_none(), "the work waits for the end of its machine");

    host.run(&["systemctl", "--no-block", "poweroff"]);
    // A shutdown stops every process for a moment; nsenter stops itself with its child, and none tells it to go on but us.
    host.wait("the end of the machine", || {
        let _ = kill_process_group(Pid::from_child(&pod), Signal::CONT);
        host.init().is_none()
    });
    pod.kill().unwrap();
    pod.wait().unwrap();
    host.cut_power();
    host.boot();
    let work =
        "ls /var/lib/hozen/work/*/log; ls /var/lib/hozen/work/*/answer.json 2>/dev/null || true";
    let left = host.run(&["sh", "-c", work]);
    assert!(left.ends_with("/log\n") && left.lines().count() == 1, "no answer is left: {left}");
}

/// The real packages of Debian, whose scripts want to stop their services and are held: what they ran ends with them all the same.
#[test]
fn a_forbidden_package_goes_with_what_needs_it_and_what_it_ran_ends() {
    let folder = folder();
    let Some(mut host) = Host::new("a_forbidden_package_goes", folder.path()) else { return };
    let sources = host.files().join("etc/apt/sources.list");
    fs::create_dir_all(sources.parent().unwrap()).unwrap();
    fs::write(sources, "").unwrap();
    host.boot();
    assert!(host.answers(80));
    let asked = |host: &Host| {
        let ask =
            r#"{"scan":"1","resolve":[{"name":"forbidden-packages","remove":["nginx-common"]}]}"#;
        host.run(&["sh", "-ec", &format!("mkdir -p /shared; echo '{ask}' >/shared/request.json")]);
        let report = host.scan();
        let mut transactions = report.transactions.clone().into_iter();
        (report, transactions.find(|resolved| resolved.name == "forbidden-packages"))
    };
    let (_, resolved) = asked(&host);
    let resolved = resolved.expect("an answer");
    assert_eq!(resolved.restart, ["nginx.service"], "{resolved:?}");
    let name = resolved.transaction.expect("a transaction");
    let text = host.run(&["cat", &format!("/shared/{name}.transaction")]);
    let spec: TransactionSpec = serde_json::from_str(&text).unwrap();
    assert!(spec.changes.iter().all(|line| line.ends_with(" - -")), "{spec:?}");
    assert!(spec.changes.iter().any(|line| line.starts_with("nginx-light:")), "{spec:?}");

    host.done(&Job::patch(spec.changes));
    assert!(!host.answers(80), "what it ran has ended");
    assert_eq!(host.say(&["systemctl", "is-active", "nginx"]).trim(), "inactive");
    assert!(host.run(&["cat", "/etc/nginx/nginx.conf"]).contains("http"), "its settings stay");
    let (report, resolved) = asked(&host);
    assert_eq!(resolved, None, "there is nothing left to ask for");
    assert!(report.listening.iter().all(|listener| listener.port != "80/tcp"), "{report:?}");
    assert!(report.stale.iter().all(|of| of.unit.as_deref() != Some("nginx.service")));
}
