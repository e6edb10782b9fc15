//! Changes that are no packages, by the same contract: a real OSTree deployment, and a script that was approved by its digest.

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
};

use debian::{Host, Job, call};
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
