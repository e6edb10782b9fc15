//! Changes that are no packages, by the same contract: a real OSTree deployment, a script that was approved by its digest, and a machine that is
//! replaced by its owner.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot prepare its host fails"
)]

#[expect(dead_code, reason = "shared with the tests of other hosts")]
mod debian;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use debian::{Host, Job, call};
use hozen_agent::{
    clock::{self, Moment},
    share::Share,
};
use hozen_api::{
    job::{Answer, AnswerResult, ErrorClass},
    managed_node::Step,
};
use hozen_testkit::not_run;

/// A folder that a host may be in, or why not.
fn folder(test: &str) -> Option<tempfile::TempDir> {
    if !rustix::process::geteuid().is_root() {
        not_run(test, "a root can be entered by root only");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    Some(folder)
}

fn ended(answer: &Answer) -> (AnswerResult, Option<ErrorClass>) {
    (answer.result.clone(), answer.class.clone())
}

/// What programs of a host with a clock of its own share is its alone.
const OWN_MEMORY: &str = "mount -t tmpfs none root/dev/shm";
const DONE: (AnswerResult, Option<ErrorClass>) = (AnswerResult::Done, None);

/// A remote with signed commits of one branch.
struct Remote {
    repository: PathBuf,
    keys: PathBuf,
}

impl Remote {
    fn new(below: &Path) -> Self {
        let remote = Self { repository: below.join("repository"), keys: below.join("keys") };
        fs::create_dir_all(&remote.keys).unwrap();
        fs::set_permissions(&remote.keys, fs::Permissions::from_mode(0o700)).unwrap();
        fs::create_dir_all(&remote.repository).unwrap();
        remote.shell(
            "gpg --batch --quiet --passphrase '' --quick-generate-key image rsa3072 sign 0; \
             gpg --export >repository/key.gpg; ostree --repo=repository/images init --mode=archive",
        );
        remote
    }

    fn shell(&self, script: &str) -> String {
        let output = Command::new("sh")
            .args(["-ec", script])
            .current_dir(self.repository.parent().unwrap())
            .env("GNUPGHOME", &self.keys)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Publishes a version; its commit.
    fn publish(&self, version: &str, signed: bool) -> String {
        let sign = if signed { "--gpg-sign=$key --gpg-homedir=keys" } else { "" };
        self.shell(&format!(
            "rm -rf tree; mkdir -p tree/usr/lib/modules/6 tree/usr/etc tree/boot; \
             echo kernel {version} >tree/usr/lib/modules/6/vmlinuz; echo init >tree/usr/lib/modules/6/initramfs.img; \
             printf 'ID=test\\nVERSION_ID={version}\\n' >tree/usr/lib/os-release; \
             ln -s ../usr/lib/os-release tree/usr/etc/os-release; \
             key=$(gpg --list-keys --with-colons | awk -F: '/^fpr/ {{ print $10; exit }}'); \
             ostree --repo=repository/images commit -b stable --add-metadata-string=version={version} {sign} --tree=dir=tree"
        ))
    }
}

/// Deployments cannot be removed before they may be changed.
struct Unlocked(PathBuf);

impl Drop for Unlocked {
    fn drop(&mut self) {
        let script = format!("chattr -R -f -i '{}' || true", self.0.display());
        call("sh", &["-c", &script]);
    }
}

#[test]
fn an_image_is_deployed_exactly_as_approved_for_the_next_boot_and_the_way_back_is_the_one_before() {
    let name = "an_image_is_deployed_exactly_as_approved";
    let Some(folder) = folder(name) else { return };
    if Command::new("ostree").arg("--version").output().is_err() {
        return not_run(name, "ostree is missing: apt-get install ostree");
    }
    let remote = Remote::new(folder.path());
    let one = remote.publish("1", true);
    let Some(host) = Host::over(name, folder.path(), &remote.repository, "image", &["ostree"])
    else {
        return;
    };
    let _unlocked = Unlocked(host.at("ostree"));
    host.run(&[
        "sh",
        "-ec",
        "mkdir -p /ostree; ostree admin init-fs /; ostree admin os-init --sysroot=/ test >&2; \
         ostree --repo=/ostree/repo config set sysroot.bootloader none; \
         ostree --repo=/ostree/repo remote add --gpg-import=/repository/key.gpg up file:///repository/images stable; \
         ostree --repo=/ostree/repo pull up stable >&2; ostree admin deploy --sysroot=/ --os=test up:stable >&2",
    ]);
    let next = |host: &Host| {
        let status = host.run(&["ostree", "admin", "status", "--sysroot=/"]);
        let line = status.lines().find(|line| line.contains(".0") || line.contains(".1"));
        line.unwrap().split_whitespace().last().unwrap()[..64].to_owned()
    };
    assert_eq!(next(&host), one);
    let two = remote.publish("2", true);
    let job = |attempt, to: &str| {
        let lines = vec![format!("up:stable:ostree {one} {to} {to}")];
        Job { attempt, ..Job::patch(lines) }
    };

    let three = remote.publish("3", true);
    let (answer, log) = host.work(&job(1, &two));
    let difference = (AnswerResult::Refused, Some(ErrorClass::Difference));
    assert_eq!(ended(&answer), difference, "{log}");
    assert!(answer.message.contains(&format!("up:stable is at {three}")), "{}", answer.message);
    assert_eq!(next(&host), one);

    let (answer, log) = host.work(&job(2, &three));
    assert_eq!(ended(&answer), DONE, "{}\n{log}", answer.message);
    assert_eq!(next(&host), three);
    let (answer, _) = host.work(&job(3, &three));
    assert_eq!(answer.result, AnswerResult::Already);

    let (answer, log) = host.work(&Job { step: Step::Rollback, ..job(4, &three) });
    assert_eq!(ended(&answer), DONE, "{}\n{log}", answer.message);
    assert_eq!(next(&host), one);

    let unsigned = remote.publish("4", false);
    let (answer, log) = host.work(&job(5, &unsigned));
    let signature = (AnswerResult::Refused, Some(ErrorClass::Signature));
    assert_eq!(ended(&answer), signature, "{}\n{log}", answer.message);
    assert_eq!(next(&host), one);

    // OSTree would believe it.
    host.run(&["sh", "-ec", "echo gpg-verify=0 >>/etc/ostree/remotes.d/up.conf"]);
    let (answer, log) = host.work(&job(6, &unsigned));
    assert_eq!(ended(&answer), signature, "{}\n{log}", answer.message);
    assert!(answer.message.contains("set gpg-verify=true"), "{}", answer.message);
    assert_eq!(next(&host), one);
}

const SCRIPT: &str = "#!/bin/sh
case $1 in
check) [ \"$(cat /etc/setting 2>/dev/null)\" = strict ] ;;
apply) echo strict >/etc/setting ;;
undo) rm -f /etc/setting ;;
esac
";

#[test]
fn a_script_is_done_only_if_its_bytes_are_the_approved_ones_and_its_own_look_agrees() {
    let name = "a_script_is_done_only_if_its_bytes_are_the_approved_ones";
    let Some(folder) = folder(name) else { return };
    let repository = folder.path().join("repository");
    fs::create_dir_all(&repository).unwrap();
    let Some(host) =
        Host::over(name, folder.path(), &repository, "small", &["openssl", "ca-certificates"])
    else {
        return;
    };
    let digest = |text: &str| hozen_advisory::package::digest(text).replace("sha256-", "");
    let job = |attempt, text: &str| {
        let lines = vec![format!("strict-setting:script - 1 {}", digest(text))];
        Job { attempt, script: Some(SCRIPT.to_owned()), ..Job::patch(lines) }
    };
    let setting = host.at("etc/setting");

    let (answer, _) = host.work(&job(1, "another script"));
    let order = (AnswerResult::Refused, Some(ErrorClass::Order));
    assert_eq!(ended(&answer), order, "{}", answer.message);
    assert!(answer.message.contains("the script is not"), "{}", answer.message);
    assert!(!setting.exists());

    let (answer, log) = host.work(&job(2, SCRIPT));
    assert_eq!(ended(&answer), DONE, "{}\n{log}", answer.message);
    assert_eq!(fs::read_to_string(&setting).unwrap(), "strict\n");
    let (answer, _) = host.work(&job(3, SCRIPT));
    assert_eq!(answer.result, AnswerResult::Already);
    let (answer, log) = host.work(&Job { step: Step::Rollback, ..job(4, SCRIPT) });
    assert_eq!(ended(&answer), DONE, "{}\n{log}", answer.message);
    assert!(!setting.exists());

    let liar = SCRIPT.replace("echo strict >/etc/setting", "true");
    let lines = vec![format!("strict-setting:script - 1 {}", digest(&liar))];
    let job = Job { attempt: 5, script: Some(liar), ..Job::patch(lines) };
    let (answer, _) = host.work(&job);
    let install = (AnswerResult::Failed, Some(ErrorClass::Install));
    assert_eq!(ended(&answer), install, "{}", answer.message);
}

/// Asks by a file that whoever owns the machines reads. The same ask is one file, however often it is made.
const REPLACE: &str = "#!/bin/sh
[ ! -e /var/asks/closed ] || { echo 'no machine is to be had' >&2; exit 1; }
mkdir -p /var/asks && echo \"$@\" >\"/var/asks/$1\"
";

fn replacement(version: &str, program: &str) -> Job {
    let digest = hozen_advisory::package::digest(program).replace("sha256-", "");
    Job::patch(vec![format!("worker:node {version} 3 {digest}")])
}

/// A machine of this version of the image `worker`, with this machine id.
fn machine(host: &Host, version: &str, id: &str) {
    let os = format!("ID=debian\nVERSION_ID=12\nIMAGE_ID=worker\nIMAGE_VERSION={version}\n");
    fs::write(host.at("etc/os-release"), os).unwrap();
    fs::write(host.at("etc/machine-id"), format!("{id}\n")).unwrap();
    fs::create_dir_all(host.at("etc/hozen")).unwrap();
    fs::write(host.at("etc/hozen/replace-node"), REPLACE).unwrap();
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(host.at("etc/hozen/replace-node"), executable).unwrap();
}

/// Waits until the machines' owner has an ask, and gives it.
fn asked(host: &Host) -> String {
    let start = Moment::now();
    loop {
        let ask = fs::read_to_string(host.at("var/asks/a")).unwrap_or_default();
        if ask.ends_with('\n') {
            return ask.trim_end().to_owned();
        }
        assert!(start.elapsed() < Duration::from_mins(2), "nobody asked");
        clock::pause();
    }
}

#[test]
fn a_machine_is_replaced_by_its_owner_and_its_successor_says_by_its_own_scan_what_it_is() {
    let name = "a_machine_is_replaced_by_its_owner";
    let Some(folder) = folder(name) else { return };
    let repository = folder.path().join("repository");
    fs::create_dir_all(&repository).unwrap();
    let packages = ["openssl", "ca-certificates"];
    let Some(old) = Host::over(name, folder.path(), &repository, "small", &packages) else {
        return;
    };
    fs::create_dir_all(old.at("etc")).unwrap();
    let id = "0123456789abcdef0123456789abcdef";
    machine(&old, "2", id);
    let job = Job { machine_id: Some(id.to_owned()), ..replacement("2", REPLACE) };

    // Killed after the ask: the next pod asks again, and it is one ask.
    let running = old.begin(&job, "");
    let first = asked(&old);
    running.kill();
    fs::remove_file(old.at("var/asks/a")).unwrap();
    let running = old.begin(&job, "");
    let ask = asked(&old);
    assert_eq!(ask, first);
    let words: Vec<&str> = ask.split(' ').collect();
    assert_eq!((words[0], &words[2..]), ("a", &["worker", "2", "3"][..]));
    assert!(words[1].starts_with("sha256-"), "{ask}");

    // Its owner makes another machine, and takes this one away once that one serves.
    let new = old.copy(&folder.path().join("successor"));
    fs::remove_dir_all(new.at("var")).unwrap();
    machine(&new, "3", "fedcba9876543210fedcba9876543210");
    let report = Share::at(new.scan()).report().unwrap().unwrap();
    assert_eq!(report.package_count, Some(listed(&new)));
    running.kill();
    let left = fs::read_dir(old.at("var/lib/hozen/work")).unwrap().flatten();
    let answers = left.filter(|work| work.path().join("answer.json").exists());
    assert_eq!(answers.count(), 0, "nobody is left to answer");

    let (answer, _) = new.work(&job);
    let another = (AnswerResult::Refused, Some(ErrorClass::Host));
    assert_eq!(ended(&answer), another, "{}", answer.message);
    let (answer, log) = new.work(&Job { machine_id: None, ..job });
    assert_eq!(answer.result, AnswerResult::Already, "{}\n{log}", answer.message);
    assert_eq!(answer.message, "this machine is worker 3");
    assert!(!new.at("var/asks").exists(), "nobody asks for what is there");
}

/// How many packages a host has by its own word.
fn listed(host: &Host) -> u32 {
    let listed = host.run(&["dpkg-query", "-W"]);
    u32::try_from(listed.lines().count()).unwrap()
}

#[test]
fn a_replacement_that_is_not_as_approved_or_not_to_be_had_is_refused_and_one_that_never_comes_is_told()
 {
    let name = "a_replacement_that_is_not_as_approved";
    let Some(folder) = folder(name) else { return };
    let repository = folder.path().join("repository");
    fs::create_dir_all(&repository).unwrap();
    let packages = ["openssl", "ca-certificates", "libfaketime"];
    let Some(host) = Host::over(name, folder.path(), &repository, "clock", &packages) else {
        return;
    };
    fs::create_dir_all(host.at("etc")).unwrap();
    fs::write(host.at("etc/faketimerc"), "+0\n").unwrap();
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
    fs::write(host.at("etc/ld.so.preload"), format!("{library}\n")).unwrap();
    machine(&host, "2", "0123456789abcdef0123456789abcdef");
    let refused = |job: Job, class, told: &str| {
        let (answer, log) = host.work_beside(&job, OWN_MEMORY);
        let refused = (AnswerResult::Refused, Some(class));
        assert_eq!(ended(&answer), refused, "{}\n{log}", answer.message);
        assert!(answer.message.contains(told), "{}", answer.message);
        assert!(!host.at("var/asks").exists(), "{log}");
    };
    let job = |attempt| Job { attempt, ..replacement("2", REPLACE) };

    let other = Job { attempt: 1, ..replacement("1", REPLACE) };
    refused(other, ErrorClass::Difference, "the host is worker 2; 1 to 3 is approved");
    let other = Job { attempt: 2, ..replacement("2", "another program") };
    refused(other, ErrorClass::Difference, "/etc/hozen/replace-node has the hash");
    let back = Job { step: Step::Rollback, ..job(3) };
    refused(back, ErrorClass::Unsupported, "plan its replacement by 2 again");
    let program = host.at("etc/hozen/replace-node");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o757)).unwrap();
    refused(job(4), ErrorClass::Unsupported, "is not a file that only root may write");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(host.at("etc/os-release"), "ID=debian\n").unwrap();
    refused(job(5), ErrorClass::Difference, "IMAGE_ID and IMAGE_VERSION in /etc/os-release");
    machine(&host, "2", "0123456789abcdef0123456789abcdef");

    fs::create_dir_all(host.at("var/asks")).unwrap();
    fs::write(host.at("var/asks/closed"), "").unwrap();
    let (answer, log) = host.work_beside(&job(6), OWN_MEMORY);
    let failed = (AnswerResult::Failed, Some(ErrorClass::System));
    assert_eq!(ended(&answer), failed, "{}\n{log}", answer.message);
    assert!(answer.message.contains("no machine is to be had"), "{}", answer.message);
    fs::remove_file(host.at("var/asks/closed")).unwrap();

    // Its owner has heard it, and does nothing until the deadline.
    let running = host.begin(&job(7), OWN_MEMORY);
    asked(&host);
    fs::write(host.at("etc/faketimerc"), "+40m\n").unwrap();
    let (answer, log) = host.worked(running);
    assert_eq!(ended(&answer), failed, "{}\n{log}", answer.message);
    assert!(answer.message.contains("still here at the deadline"), "{}", answer.message);
}
