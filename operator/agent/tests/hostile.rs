//! A scanned system that does what it can against its scanner: it neither leads it out of the root, nor hangs it, nor fills its memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot write its own files fails")]

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::Path,
};

use hozen_agent::{
    root::Root,
    rpm::repos,
    scan::{Options, Scan, scan},
    unread::Unread,
};
use jiff::Timestamp;
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// What a scan reads of a system, of every kind that is known here.
const READ: [&str; 32] = [
    "etc/os-release",
    "etc/machine-id",
    "etc/apt/apt.conf",
    "etc/apt/apt.conf.d",
    "etc/apt/sources.list",
    "etc/apt/sources.list.d",
    "etc/apt/preferences",
    "etc/apk/repositories",
    "etc/apk/world",
    "etc/dnf/dnf.conf",
    "etc/dnf/plugins/versionlock.list",
    "etc/systemd/system",
    "etc/yum.repos.d",
    "etc/zypp/repos.d",
    "lib/apk/db/installed",
    "lib/modules",
    "proc",
    "proc/1/maps",
    "run/hozen/next-boot",
    "run/hozen/ports",
    "run/reboot-required",
    "run/reboot-required.pkgs",
    "var/cache/dnf",
    "var/lib/apt/extended_states",
    "var/lib/apt/lists",
    "var/lib/dpkg/arch",
    "var/lib/dpkg/info",
    "var/lib/dpkg/status",
    "var/lib/dpkg/status.d",
    "var/lib/dpkg/updates",
    "var/lib/hozen/begun",
    "var/lib/rpm/rpmdb.sqlite",
];

/// Text that no report may carry: it stands outside of the root.
const SECRET: &str = "secret-of-the-outside";

/// A Debian system of one package, beside a file that is none of its business.
fn system() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let outside = format!(
        "Package: {SECRET}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\nID={SECRET}\n{SECRET} amd64\n"
    );
    fs::write(folder.path().join("outside"), outside).unwrap();
    let root = folder.path().join("root");
    write(&root, "etc/os-release", b"ID=debian\nVERSION_ID=12\n");
    let status = b"Package: good\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n";
    write(&root, "var/lib/dpkg/status", status);
    folder
}

fn write(root: &Path, path: &str, content: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Puts something of the host's making in the place of what is read.
fn scanned_with(path: &str, put: impl FnOnce(&Path, &Path)) -> Scan {
    let folder = system();
    let root = folder.path().join("root");
    let place = root.join(path);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    let _ = fs::remove_file(&place);
    put(&place, folder.path());
    let options = Options {
        now: Timestamp::UNIX_EPOCH,
        resolve: false,
        asks: Vec::new(),
        chamber: None,
        own: None,
    };
    let scan = scan(&Root::open(&root).unwrap(), &options);
    let text = serde_json::to_string(&scan.report).unwrap();
    assert!(!text.contains(SECRET), "{path}: {text}");
    assert!(!scan.packages.packages.iter().any(|package| package.name == SECRET), "{path}");
    scan
}

/// Whatever stood in one place, the rest of the system is still read.
fn rest_is_read(path: &str, scan: &Scan) {
    if !path.starts_with("var/lib/dpkg/status") {
        assert!(scan.packages.packages.iter().any(|package| package.name == "good"), "{path}");
    }
    if path != "etc/os-release" {
        assert_eq!(scan.report.os.id, "debian", "{path}");
    }
}

#[test]
fn links_out_of_the_root_and_loops_are_followed_nowhere() {
    for path in READ {
        let absolute =
            scanned_with(path, |place, outside| symlink(outside.join("outside"), place).unwrap());
        rest_is_read(path, &absolute);
        let climbing = scanned_with(path, |place, _| {
            symlink("../../../../../../../../outside", place).unwrap();
        });
        rest_is_read(path, &climbing);
        let looping =
            scanned_with(path, |place, _| symlink(place.file_name().unwrap(), place).unwrap());
        rest_is_read(path, &looping);
    }
}

#[test]
fn a_pipe_or_a_folder_in_the_place_of_a_file_does_not_hold_the_scan() {
    for path in READ {
        let pipe = scanned_with(path, |place, _| {
            mknodat(CWD, place, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
        });
        rest_is_read(path, &pipe);
        let folder = scanned_with(path, |place, _| fs::create_dir_all(place).unwrap());
        rest_is_read(path, &folder);
    }
}

#[test]
fn a_file_of_a_terabyte_and_one_of_noise_are_said_and_passed_over() {
    // The same noise each time: every byte there is, and no line.
    let noise: Vec<u8> =
        (0..=u8::MAX).cycle().filter(|byte| *byte != b'\n').take(1 << 16).collect();
    for path in READ {
        let unreadable = scanned_with(path, |place, _| fs::write(place, &noise).unwrap());
        rest_is_read(path, &unreadable);
        let huge = scanned_with(path, |place, _| {
            File::create(place).unwrap().set_len(1 << 40).unwrap();
        });
        rest_is_read(path, &huge);
    }
}

#[test]
fn a_repository_whose_name_leads_elsewhere_is_said_and_passed_over() {
    for (folder, zypper) in [("etc/zypp/repos.d", true), ("etc/yum.repos.d", false)] {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().join("root");
        let lists = "<repomd><revision>1</revision></repomd>";
        write(&root, "srv/x/repodata/repomd.xml", lists.as_bytes());
        let repos = "[../../../outside]\nbaseurl=file:///srv/x\n[.x]\nbaseurl=file:/srv/x\n[x]\nbaseurl=file:/srv/x\n";
        write(&root, &format!("{folder}/x.repo"), repos.as_bytes());
        let mut unread = Unread::default();
        let read = repos::read(&Root::open(&root).unwrap(), None, &mut unread);

        assert_eq!(read.zypper, zypper);
        let names: Vec<&str> = read.repos.iter().map(|repo| repo.id.as_str()).collect();
        assert_eq!(names, ["x"]);
        let told: Vec<String> = unread.into_entries().into_iter().map(|entry| entry.what).collect();
        assert_eq!(told, ["repository ../../../outside", "repository .x"]);
    }
}
