//! The command is killed at any moment, and the next one copes. Needs the cluster's programs, but neither root nor network.

#[path = "instants.rs"]
mod instants;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use hozen_testbed::{
    bed,
    clock::{self, Moment},
    programs::{Missing, Programs},
};

use rustix::process::{Pid, Signal, kill_process};

const BED: &str = "crash-test";

fn hozen_testbed(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hozen-testbed"));
    command.args(["--bed", BED]).args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    hozen_testbed(arguments).output().expect("the command runs")
}

/// Removes the bed also when the test fails. The command itself does: it holds the bed while it works.
struct Gone;

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = run(&["down"]);
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// Processes whose command line names the bed's folder.
fn processes_of(folder: &Path) -> Vec<String> {
    let word = folder.to_string_lossy().into_owned();
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(&word))
        .collect()
}

fn send(to: &Child, signal: Signal) {
    let id = Pid::from_raw(i32::try_from(to.id()).expect("an id")).expect("an id");
    // It is a child of ours that nobody has waited for: the id is its own, also if it has ended.
    let _ = kill_process(id, signal);
}

/// `up` is ended at instants that are others in each run, in turn by SIGKILL and by Ctrl-C; each of them finds what the last has left.
fn kill_at_random_instants() {
    let count = std::env::var_os("HOZEN_SOAK").map_or(4, |_| 36);
    let signals = [Signal::KILL, Signal::INT].into_iter().cycle();
    for (signal, after) in signals.zip(instants::of("crash", count, 0..7_000)) {
        let start = Moment::now();
        let mut up = hozen_testbed(&["up", "--control-plane-only"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the command starts");
        instants::wait(start, after);
        send(&up, signal);
        up.wait().expect("it ends");
    }
}

#[test]
fn up_after_a_kill_at_any_moment_is_up_and_down_leaves_nothing() {
    if let Err(why) = Programs::find(Missing::Refuse) {
        hozen_testbed::not_run("crash", &why.to_string());
        return;
    }
    let folder = bed::home().join(BED);
    let _removed = Gone;
    assert!(run(&["down"]).status.success());
    for (part, signal) in [("etcd", Signal::KILL), ("kube-apiserver", Signal::INT)] {
        let up = hozen_testbed(&["up", "--control-plane-only"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let record = folder.join("run").join(part);
        // Removed by this `up` first if an earlier one left it: then its modification is what is awaited.
        let before = fs::metadata(&record).and_then(|data| data.modified()).ok();
        clock::wait(&format!("the start of {part}"), Duration::from_mins(1), || {
            let now = fs::metadata(&record).and_then(|data| data.modified()).ok();
            Ok(if now.is_some() && now != before { Ok(()) } else { Err(String::new()) })
        })
        .expect("it starts");
        send(&up, signal);
        let ended = up.wait_with_output().expect("it ends");
        if signal == Signal::INT {
            let left = "bed crash-test is up in part: the same command brings up the rest or begins anew, \
                        hozen-testbed --bed crash-test down removes it";
            assert!(said(&ended).contains(left), "{}", said(&ended));
            assert_eq!(ended.status.code(), Some(130));
        }
        assert!(!processes_of(&folder).is_empty(), "what it started runs on without it");
    }
    let after = run(&["up", "--control-plane-only"]);
    assert!(after.status.success(), "{}", said(&after));
    assert!(said(&after).contains("an earlier bed is here without"), "{}", said(&after));
    kill_at_random_instants();
    let after = run(&["up", "--control-plane-only"]);
    assert!(after.status.success(), "{}", said(&after));
    let again = run(&["up", "--control-plane-only"]);
    assert!(said(&again).contains("the control plane is up already"), "{}", said(&again));
    let unknown = run(&["node", "reboot", "nobody"]);
    assert!(said(&unknown).contains("there is no node \"nobody\""), "{}", said(&unknown));

    // What was written of it is lost: its number and records lead to the rest.
    fs::write(folder.join("state.json"), [0xff, b'{']).expect("a file");
    let unreadable = run(&["status"]);
    assert!(
        said(&unreadable).contains("hozen-testbed --bed crash-test down"),
        "{}",
        said(&unreadable)
    );
    let down = run(&["down"]);
    assert!(down.status.success() && said(&down).contains("cannot be read"), "{}", said(&down));
    assert_eq!(processes_of(&folder), Vec::<String>::new());
    assert!(!folder.exists());
    let twice = run(&["down"]);
    assert!(twice.status.success() && said(&twice).contains("nothing to remove"));
    let status = run(&["status"]);
    assert!(!status.status.success() && said(&status).contains("is not up"));
}
