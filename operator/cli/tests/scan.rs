//! `hozen scan` on the machine itself, by who asks.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::{fd::OwnedFd, unix::fs::PermissionsExt as _},
    process::{Command, Output},
};

use hozen_testkit::not_run;
use serde_json::Value;

const ASKED: [&str; 4] = ["scan", "--no-resolve", "--output", "json"];

/// What a scan says of a port, and of the programs behind ports that it could not see.
fn said(output: &Output, port: u16) -> (Value, Vec<String>) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let items = list["items"].as_array().unwrap();
    let inventory = items.iter().find(|item| item["kind"] == "NodeInventory").unwrap();
    let report = &inventory["report"];
    let listening = report["listening"].as_array().unwrap();
    let ours = listening.iter().find(|listener| listener["port"] == format!("{port}/tcp"));
    let not_read = report["notRead"].as_array().cloned().unwrap_or_default();
    let programs = not_read.iter().filter(|entry| {
        entry["what"].as_str().is_some_and(|what| what.starts_with("programs behind "))
    });
    let whys = programs.map(|entry| entry["why"].as_str().unwrap().to_owned());
    (ours.cloned().unwrap_or_default(), whys.collect())
}

/// Scans as somebody else would, in a world of processes of its own. Its first one is a shell of root's that holds the socket.
fn scan(as_whom: &str, listener: &TcpListener) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    // Where nobody may go: the tests may have been built in a home folder.
    let command = folder.path().join("hozen");
    fs::copy(env!("CARGO_BIN_EXE_hozen"), &command).unwrap();
    let script = format!("{as_whom} \"$@\" </dev/null; exit $?");
    Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "sh", "-c", &script, "sh"])
        .arg(&command)
        .args(ASKED)
        .stdin(OwnedFd::from(listener.try_clone().unwrap()))
        .output()
        .unwrap()
}

#[test]
fn an_ordinary_user_is_told_which_programs_are_unknown_and_how_to_see_them_and_root_is_not() {
    let namespaces =
        Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "true"]).output();
    if !namespaces.is_ok_and(|tried| tried.status.success()) {
        let why = "run as root, with leave to unshare: it needs processes of two users";
        return not_run("a scan by an ordinary user", why);
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();

    let (ours, unknown) = said(&scan("", &listener), port);
    assert_eq!(ours["program"], "sh");
    assert_eq!(unknown, Vec::<String>::new());

    let by_nobody = scan("setpriv --reuid=65534 --regid=65534 --clear-groups --", &listener);
    let (ours, unknown) = said(&by_nobody, port);
    assert!(ours["port"].is_string() && ours["program"].is_null(), "{ours}");
    assert_eq!(
        unknown,
        ["they may be other users' processes; run the scan as root, with CAP_SYS_PTRACE"]
    );
    let complaint = String::from_utf8_lossy(&by_nobody.stderr);
    assert!(complaint.contains("not read: programs behind "), "{complaint}");
    assert!(complaint.contains("not read: files that processes run: "), "{complaint}");
}

#[test]
fn a_scan_that_is_interrupted_leaves_no_copy_of_the_package_managers_state() {
    let folder = tempfile::tempdir().unwrap();
    let mut scan = Command::new(env!("CARGO_BIN_EXE_hozen"))
        .arg("scan")
        .env("TMPDIR", folder.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let copies = || fs::read_dir(folder.path()).unwrap().count();
    while copies() == 0 {
        if scan.try_wait().unwrap().is_some() {
            return not_run(
                "an interrupted scan",
                "no package manager here makes a copy of its state",
            );
        }
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&scan);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = scan.wait().unwrap();
    assert_eq!(copies(), 0);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(2), "{ended}");
}

#[test]
fn a_folder_in_which_there_is_no_system_is_bad_input() {
    let empty = tempfile::tempdir().unwrap();
    let scan = Command::new(env!("CARGO_BIN_EXE_hozen"))
        .args(["scan", "--root"])
        .arg(empty.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&scan.stderr);
    assert_eq!(scan.status.code(), Some(2), "{said}");
    assert!(
        said.contains("there is no system under") && said.contains("etc, usr and var"),
        "{said}"
    );
    assert!(scan.stdout.is_empty());
}
