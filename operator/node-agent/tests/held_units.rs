//! Units that a mitigation holds stopped on a host whose first process is the real systemd: the administrator's own, templates, other names.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot prepare its host fails"
)]

#[expect(dead_code, reason = "shared with the tests of other hosts")]
mod debian;
#[expect(dead_code, reason = "shared with the tests of other work")]
mod machine;

use debian::Job;
use hozen_agent::clock::Moment;
use hozen_api::{job::AnswerResult, managed_node::Step};
use machine::{Host, Instants, folder, job};

/// Units of the administrator's own, and what would start them: by a connection, by time, by another name, as instances.
const OWN_UNITS: &str = r#"
mkdir -p /usr/local/lib/systemd/system; cd /etc/systemd/system
idle() { printf '[Service]\nExecStart=/bin/sleep infinity\n'; }
{ idle; printf '[Install]\nWantedBy=multi-user.target\n'; } >own.service
printf '[Socket]\nListenStream=81\n[Install]\nWantedBy=sockets.target\n' >own.socket
printf '[Service]\nType=oneshot\nExecStart=/bin/sh -c "echo done >>/root/jobs"\n' >job.service
printf '[Timer]\nOnCalendar=yearly\n[Install]\nWantedBy=timers.target\n' >job.timer
{ idle; printf '[Install]\nWantedBy=multi-user.target\n'; } >copy@.service
{ idle; printf '[Install]\nAlias=other.service\nWantedBy=multi-user.target\n'; } >/usr/local/lib/systemd/system/real.service
idle >/usr/local/lib/systemd/system/old.service
idle >hand.service
{ idle; printf '[Install]\nWantedBy=multi-user.target\n'; } >still.service
mkdir own.service.d; printf '[Service]\nLimitNOFILE=999\n' >own.service.d/limits.conf
systemctl daemon-reload
systemctl enable --now own.socket own.service job.timer copy@a copy@b real 2>/dev/null
systemctl start hand; systemctl enable still 2>/dev/null
systemctl mask old.service 2>/dev/null"#;
const RUNNING: [&str; 7] = [
    "own.socket",
    "own.service",
    "job.timer",
    "copy@a.service",
    "copy@b.service",
    "real.service",
    "hand.service",
];
/// What is ordered: instances, by another name, what somebody else has masked, what was started by hand, what is enabled and was not running.
const ORDERED: [&str; 7] = [
    "copy@a.service",
    "hand.service",
    "job.service",
    "old.service",
    "other.service",
    "own.service",
    "still.service",
];
/// What is held for that.
const HELD: [&str; 10] = [
    "own.socket",
    "own.service",
    "job.timer",
    "job.service",
    "copy@a.service",
    "real.service",
    "other.service",
    "old.service",
    "hand.service",
    "still.service",
];
/// At how many instants a host loses its power.
const CUTS: u32 = 2;

/// Every name, link and content where the administrator's units are.
fn unit_files(host: &Host) -> String {
    let script = "cd /etc/systemd/system; find . -printf '%p %y %m %l\\n' | sort; find . -type f | sort | xargs sha256sum";
    host.run(&["sh", "-ec", script])
}

fn states(host: &Host, units: &[&str]) -> Vec<String> {
    let said = host.say(&[&["systemctl", "is-active"], units].concat());
    said.lines().map(str::to_owned).collect()
}

fn in_force(host: &Host) {
    assert_eq!(states(host, &HELD), ["inactive"; 10]);
    assert_eq!(states(host, &["copy@b.service"]), ["active"], "nobody ordered that");
    for unit in HELD {
        assert!(is_refused(host, unit), "{unit} was started");
    }
    let seen = host.scan().mitigated.expect("it is seen").stop;
    assert!(ORDERED.iter().all(|unit| seen.contains(&(*unit).to_owned())), "{seen:?}");
}

fn is_as_before(host: &Host, files: &str) {
    assert_eq!(states(host, &RUNNING), ["active"; 7]);
    assert_eq!(states(host, &["old.service", "still.service"]), ["inactive"; 2]);
    assert!(is_refused(host, "old.service"), "who had masked it did not unmask it");
    assert_eq!(unit_files(host), files);
    assert_eq!(host.scan().mitigated, None, "what somebody else has masked is no mitigation now");
}

fn is_refused(host: &Host, unit: &str) -> bool {
    host.say(&["sh", "-c", &format!("systemctl start {unit} || echo refused")])
        .contains("refused\n")
}

#[test]
fn a_unit_whose_file_is_the_administrators_own_is_held_with_what_would_start_it_and_comes_back_as_it_was()
 {
    let folder = folder();
    let Some(mut host) = Host::new("a_unit_whose_file_is_the_administrators", folder.path()) else {
        return;
    };
    host.boot();
    host.run(&["sh", "-ec", OWN_UNITS]);
    let files = unit_files(&host);
    assert_eq!(states(&host, &RUNNING), ["active"; 7]);
    let mitigate = job(Step::Mitigate, 1, &ORDERED, &[]);
    host.done(&mitigate);
    host.done(&Job { attempt: 2, ..mitigate });

    in_force(&host);
    host.cut_power();
    host.boot();
    in_force(&host);

    let lift = job(Step::Lift, 1, &ORDERED, &[]);
    host.done(&lift);
    host.done(&Job { attempt: 2, ..lift });
    is_as_before(&host, &files);
    assert_eq!(host.say(&["cat", "/root/jobs"]), "cat: /root/jobs: No such file or directory\n");
}

/// The power goes at any instant of both ways. What ran is not forgotten, and nobody's file is lost.
#[test]
fn i25_power_lost_while_units_are_held_or_let_go_the_next_run_brings_it_to_its_end() {
    let folder = folder();
    let Some(mut host) = Host::new("i25_power_lost_while_units_are_held", folder.path()) else {
        return;
    };
    host.boot();
    host.run(&["sh", "-ec", OWN_UNITS]);
    let files = unit_files(&host);
    let whole = [Step::Mitigate, Step::Lift].map(|step| {
        let start = Moment::now();
        host.done(&job(step, 1, &ORDERED, &[]));
        start.elapsed()
    });
    is_as_before(&host, &files);
    let cuts = Instants::few(CUTS);

    for cut in 0..cuts.count {
        // What runs only since somebody started it does so again.
        host.run(&["systemctl", "start", "hand"]);
        host.run(&["systemctl", "stop", "still"]);
        for (step, whole) in [Step::Mitigate, Step::Lift].into_iter().zip(whole) {
            let at = cuts.at(cut, whole);
            println!("{step} cut off after {at:?} of {whole:?}");
            let work = job(step.clone(), cut + 2, &ORDERED, &[]);
            host.cut_off(&work, at);
            // Until a unit is held, the boot is the last that has happened to it.
            let unheld = |host: &Host, unit: &str, does: &str| {
                let addition = format!("/etc/systemd/system/{unit}.service.d/*.conf");
                host.run(&["sh", "-c", &format!("ls {addition} >&2 || systemctl {does} {unit}")]);
            };
            unheld(&host, "still", "stop");
            if step == Step::Mitigate {
                unheld(&host, "hand", "start");
            }
            let answer = host.work(&work);
            if answer.result != AnswerResult::Done {
                // It saw the service manager die an instant before itself: that attempt has failed, and the next one ends it.
                assert!(answer.message.starts_with("systemctl "), "{}", answer.message);
                host.done(&Job { attempt: cuts.count + cut + 2, ..work });
            }
            if step == Step::Mitigate { in_force(&host) } else { is_as_before(&host, &files) }
        }
    }
}

#[test]
fn a_template_is_held_with_all_its_instances_and_what_two_mitigations_share_is_let_go_by_the_last()
{
    let folder = folder();
    let Some(mut host) = Host::new("a_template_is_held", folder.path()) else { return };
    host.boot();
    host.run(&["sh", "-ec", OWN_UNITS]);
    let files = unit_files(&host);

    host.done(&job(Step::Mitigate, 1, &["copy@.service"], &[]));
    assert_eq!(states(&host, &["copy@a.service", "copy@b.service"]), ["inactive"; 2]);
    assert!(is_refused(&host, "copy@c.service"));
    assert_eq!(host.scan().mitigated.expect("it is seen").stop, ["copy@.service", "old.service"]);
    host.done(&job(Step::Lift, 1, &["copy@.service"], &[]));
    assert_eq!(states(&host, &["copy@a.service", "copy@b.service"]), ["active"; 2]);
    assert_eq!(unit_files(&host), files);

    host.done(&job(Step::Mitigate, 2, &["own.service"], &[]));
    host.done(&job(Step::Mitigate, 3, &["own.socket"], &[]));
    host.done(&job(Step::Lift, 2, &["own.service"], &[]));
    assert_eq!(states(&host, &["own.service", "own.socket"]), ["active", "inactive"]);
    host.done(&job(Step::Lift, 3, &["own.socket"], &[]));
    assert_eq!(states(&host, &["own.service", "own.socket"]), ["active"; 2]);
    assert_eq!(unit_files(&host), files);
}
