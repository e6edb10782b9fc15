//! What the machine lacks is said in one clear sentence, and the next command copes. The control plane alone is enough for this.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

use hozen_testbed::{
    Removed,
    bed::Bed,
    control_plane, not_run,
    process::Record,
    programs::{Missing, Programs},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_hozen-testbed");

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// The command in a state folder of its own, called by the words of another program.
fn run(home: &Path, before: &[&str], words: &[&str]) -> Output {
    let all = [before, &[PROGRAM, "--bed", "faults"], words].concat();
    let mut command = Command::new(all[0]);
    command.args(&all[1..]).env("HOZEN_TESTBED_HOME", home);
    command.output().expect("it runs")
}

/// Removes the bed of this home also when the test fails.
struct Gone<'a>(&'a Path);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let _ = run(self.0, &[], &["down"]);
    }
}

/// Whether the test can run; says itself why not.
fn possible(test: &str, needs_root: bool) -> bool {
    if needs_root && !rustix::process::geteuid().is_root() {
        not_run(test, "only root can give privileges away and mount a small disk");
        return false;
    }
    match Programs::find(Missing::Refuse) {
        Ok(_) => true,
        Err(why) => {
            not_run(test, &why.to_string());
            false
        }
    }
}

#[test]
fn a_full_disk_is_said_with_its_place_and_down_works_all_the_same() {
    if !possible("a_full_disk_is_said", true) {
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    // A disk of its own in a mount namespace of its own: nothing of it is left when the script ends.
    let script = "mount -t tmpfs -o size=2m tmpfs \"$HOZEN_TESTBED_HOME\"; program=$1; \
        \"$program\" --bed faults up --control-plane-only; echo \"up $?\"; \
        \"$program\" --bed faults down; echo \"down $?\"; ls -A \"$HOZEN_TESTBED_HOME\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh", PROGRAM]);
    let output = command.env("HOZEN_TESTBED_HOME", home.path()).output().expect("it runs");
    let text = said(&output);
    assert!(text.contains("up 1\n"), "{text}");
    let place = format!("only 2 MB are free in {}", home.path().display());
    assert!(text.contains(&place), "{text}");
    let listed = String::from_utf8_lossy(&output.stdout);
    assert!(listed.ends_with("down 0\n"), "it works, and nothing is left: {text}");
}

#[test]
fn a_missing_tool_is_named_with_its_package_and_what_works_without_it() {
    if !possible("a_missing_tool_is_named", true) {
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("bin");
    fs::create_dir(&path).expect("a folder");
    for folder in ["/usr/sbin", "/usr/bin"] {
        for program in fs::read_dir(folder).expect("programs").flatten() {
            if !["debootstrap", "iptables"].contains(&&*program.file_name().to_string_lossy()) {
                // The same name in both folders: the first counts, as in a search path.
                let _ = symlink(program.path(), path.join(program.file_name()));
            }
        }
    }
    let path = format!("PATH={}", path.display());
    let output = run(home.path(), &["env", &path], &["up", "--nodes", "1"]);
    let text = said(&output);
    assert!(!output.status.success());
    assert!(text.contains("real nodes are impossible here"), "{text}");
    for tool in ["debootstrap", "iptables"] {
        let words = format!("{tool} is missing (Debian: apt-get install {tool})");
        assert!(text.contains(&words), "{text}");
    }
    assert!(text.contains("up --control-plane-only"), "{text}");
    let status = run(home.path(), &[], &["status"]);
    assert!(said(&status).contains("is not up"), "nothing was begun: {}", said(&status));
}

#[test]
fn without_capabilities_nodes_are_refused_by_their_names_and_the_control_plane_runs() {
    if !possible("without_capabilities", true) {
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let _gone = Gone(home.path());
    let powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    let refused = run(home.path(), &powerless, &["up", "--nodes", "1"]);
    let text = said(&refused);
    for name in ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"] {
        assert!(text.contains(&format!("the capability {name} is missing")), "{text}");
    }
    let up = run(home.path(), &powerless, &["up", "--control-plane-only"]);
    assert!(up.status.success(), "{}", said(&up));
    // The bed that is up is a control plane only: nodes cannot be added to it, and it says what to do.
    let node = run(home.path(), &[], &["up", "--nodes", "1"]);
    assert!(!node.status.success());
    assert!(said(&node).contains("already up as a control plane only"), "{}", said(&node));
    let down = run(home.path(), &powerless, &["down"]);
    assert!(down.status.success(), "{}", said(&down));
}

#[test]
fn a_build_that_was_cut_short_is_never_taken_for_a_finished_one() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../bin/cluster-binaries");
    let cache = tempfile::tempdir().expect("a folder");
    let ask = || {
        let mut command = Command::new(script);
        command.arg("--cached").env("XDG_CACHE_HOME", cache.path()).output().expect("it runs")
    };
    let nothing = ask();
    assert_eq!(nothing.status.code(), Some(3), "{}", said(&nothing));
    assert!(said(&nothing).contains("are not built yet"), "{}", said(&nothing));
    let cluster = cache.path().join("hozen/cluster");
    let words = said(&nothing);
    let name = words.split_once(&format!("{}/", cluster.display())).expect("it names the folder").1;
    let name = name.split(':').next().expect("a name").to_owned();
    for unfinished in [format!("{name}.part"), name.clone()] {
        let folder = cluster.join(&unfinished);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("etcd"), "half").expect("a file");
        assert_eq!(ask().status.code(), Some(3), "{unfinished} is no finished build");
    }
    fs::write(cluster.join(&name).join("complete"), "v1.37.2\n").expect("a file");
    assert_eq!(ask().status.code(), Some(3), "nobody knows how large its programs are to be");
    fs::write(cluster.join(&name).join("sizes"), "4 etcd\n").expect("a file");
    let whole = ask();
    assert_eq!(said(&whole).trim(), cluster.join(&name).to_string_lossy());
    // A program of another size than it was built with, or none, is named.
    fs::write(cluster.join(&name).join("sizes"), "4 etcd\n7 kubelet\n").expect("a file");
    fs::write(cluster.join(&name).join("etcd"), "ha").expect("a file");
    let damaged = ask();
    assert_eq!(damaged.status.code(), Some(3));
    assert!(said(&damaged).contains("not what was built (etcd kubelet)"), "{}", said(&damaged));
}

#[test]
fn a_bed_at_work_can_be_looked_at_and_images_are_built_beside_it() {
    let home = tempfile::tempdir().expect("a folder");
    let at_work = Bed::open(home.path(), "faults").expect("nobody else has it");
    let status = run(home.path(), &[], &["status"]);
    assert!(said(&status).contains("bed faults is not up"), "{}", said(&status));
    let archive = home.path().join("image.tar");
    let archive = archive.to_string_lossy();
    let label = "org.opencontainers.image.title=a test";
    let words = ["image", "build", "--reference", "hozen.test/one:1", "--entrypoint", "/one"];
    let words = [&words[..], &["--label", label, &archive, "one=/bin/true"]].concat();
    let built = run(home.path(), &[], &words);
    assert!(said(&built).starts_with("sha256:"), "{}", said(&built));
    let index = fs::read(home.path().join("image.tar")).expect("the archive");
    let told = String::from_utf8_lossy(&index).matches("\"a test\"").count();
    assert_eq!(told, 2, "a label is one of the image and of its manifest");
    let reboot = run(home.path(), &[], &["node", "reboot", "node-1"]);
    assert!(said(&reboot).contains("another hozen-testbed is at work"), "{}", said(&reboot));
    drop(at_work);
    let reboot = run(home.path(), &[], &["node", "reboot", "node-1"]);
    assert!(said(&reboot).contains("is not up"), "{}", said(&reboot));
}

#[test]
fn a_reader_who_has_gone_has_read_enough() {
    let home = tempfile::tempdir().expect("a folder");
    for (words, code) in [("down", 0), ("status", 1), ("kubeconfig", 1)] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(PROGRAM);
        command.args(["--bed", "faults", words]).env("HOZEN_TESTBED_HOME", home.path());
        command.stdout(writer.try_clone().expect("the same pipe")).stderr(writer);
        let status = command.status().expect("it runs");
        assert_eq!(status.code(), Some(code), "{words}");
    }
}

#[test]
fn more_nodes_than_there_are_addresses_are_refused_before_anything_is_made() {
    if !possible("more_nodes_than_there_are_addresses", true) {
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let up = run(home.path(), &[], &["up", "--nodes", "200"]);
    let text = said(&up);
    let is_said = text.contains("at most 100 real nodes") || text.contains("impossible here");
    assert!(is_said, "{text}");
    let status = run(home.path(), &[], &["status"]);
    assert!(said(&status).contains("is not up"), "{}", said(&status));
}

#[test]
fn a_part_that_ended_is_started_again_and_nothing_of_the_bed_is_lost() {
    if !possible("a_part_that_ended_is_started_again", false) {
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let up = || run(home.path(), &[], &["up", "--control-plane-only"]);
    assert!(up().status.success());
    {
        let bed = Bed::open(home.path(), "faults").expect("nobody else has it");
        let state = bed.up().expect("it is up");
        control_plane::kubectl(&bed, &state, &["create", "namespace", "kept"]).expect("it is made");
        for part in ["kube-scheduler", "etcd"] {
            control_plane::kill(&bed, part).expect("it can be killed");
        }
    }
    let again = up();
    assert!(said(&again).contains("starting etcd, kube-scheduler again"), "{}", said(&again));
    assert!(again.status.success(), "{}", said(&again));
    let bed = Bed::open(home.path(), "faults").expect("nobody else has it");
    let bed = Removed(bed);
    let state = bed.0.up().expect("it is up");
    assert!(control_plane::missing(&bed.0, &state).is_empty());
    control_plane::kubectl(&bed.0, &state, &["get", "namespace", "kept"]).expect("it is there");
}

#[test]
fn a_bed_whose_folder_was_removed_under_it_ends_with_down() {
    if !possible("a_bed_whose_folder_was_removed", false) {
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let up = run(home.path(), &[], &["up", "--control-plane-only"]);
    assert!(up.status.success(), "{}", said(&up));
    let folder = home.path().join("faults");
    assert!(!Record::printing_into(&folder).is_empty());
    fs::remove_dir_all(&folder).expect("it goes");
    let down = run(home.path(), &[], &["down"]);
    assert!(down.status.success() && said(&down).contains("removed"), "{}", said(&down));
    assert_eq!(Record::printing_into(&folder), []);
}
