//! What a bed may leave behind on the host, and must not.

use std::{fs, path::Path};

use hozen_testbed::{bed::State, number, process};

/// Processes whose command line names the folder.
pub fn processes(folder: &Path) -> Vec<String> {
    let word = folder.to_string_lossy().into_owned();
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(&word))
        .map(|line| format!("process {line}"))
        .collect()
}

/// Everything of a bed that is still there: its folder, processes, mounts, loop devices, named network namespaces, links, rules of
/// iptables, control groups, and its number.
pub fn of(folder: &Path, state: &State) -> Vec<String> {
    let prefix = state.prefix();
    let mut found = processes(folder);
    if folder.exists() {
        found.push(folder.display().to_string());
    }
    let mut tell = |what: &str, text: String, words: &[String]| {
        let mine = |line: &&str| words.iter().any(|word| line.contains(word.as_str()));
        found.extend(text.lines().filter(mine).map(|line| format!("{what} {line}")));
    };
    let place = folder.to_string_lossy().into_owned();
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    tell("mount", mounts, std::slice::from_ref(&place));
    let call = |program: &str, words: &[&str]| process::call(program, words).expect("it answers");
    tell("loop device", call("losetup", &["--all"]), &[place]);
    tell("namespace", call("ip", &["netns", "list"]), std::slice::from_ref(&prefix));
    // `hz1` is not `hz10`.
    let links = [format!(" {prefix}:"), format!(" {prefix}n")];
    tell("link", call("ip", &["-oneline", "link"]), &links);
    let rules = [format!("10.{}.0.0/16", state.net()), format!(" {prefix} ")];
    for table in ["filter", "nat"] {
        tell("rule", call("iptables", &["--wait", "-t", table, "-S"]), &rules);
    }
    let numbers = fs::read_dir(number::PLACE).expect("the numbers").flatten();
    let numbers = numbers.map(|entry| entry.path());
    let mine = numbers.filter(|link| fs::read_link(link).is_ok_and(|owner| owner == folder));
    found.extend(mine.map(|link| format!("number {}", link.display())));
    let groups = call("find", &["/sys/fs/cgroup", "-name", &prefix]);
    found.extend(groups.lines().map(|line| format!("control group {line}")));
    found
}
