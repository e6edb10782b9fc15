//! A host with two slots that RAUC updates: a root of Debian's with its `rauc` and its boot loader's environment, and bundles signed by keys
//! of our own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot prepare its host fails"
)]

#[expect(dead_code, reason = "shared with the tests of other hosts")]
mod debian;

use std::{fs, path::PathBuf, time::Duration};

use debian::{Host, Job, Running, call, served::Served};
use hozen_agent::{
    clock::{self, Moment},
    share::Share,
};
use hozen_api::{
    job::{Answer, AnswerResult, ErrorClass},
    managed_node::Step,
};

const PACKAGES: [&str; 8] = [
    "rauc",
    "rauc-service",
    "dbus",
    "curl",
    "openssl",
    "squashfs-tools",
    "grub-common",
    "grub2-common",
];
/// Two slots, one that is booted and has no image of RAUC's yet, and keys of ours and of somebody else's.
const PREPARE: &str = r#"
mkdir -p /etc/rauc /slots /var/lib/rauc /boot/grub
for who in ours theirs; do
  openssl req -x509 -newkey rsa:2048 -nodes -keyout /repository/$who.key -out /repository/$who.crt -days 30 -subj "/CN=$who" 2>/dev/null
done
cp /repository/ours.crt /etc/rauc/keyring.pem
truncate -s 48M /slots/a /slots/b
cat >/etc/rauc/system.conf <<END
[system]
compatible=tests
bootloader=grub
grubenv=/boot/grub/grubenv
statusfile=/var/lib/rauc/status
[keyring]
path=/etc/rauc/keyring.pem
[slot.rootfs.0]
device=/slots/a
type=raw
bootname=A
[slot.rootfs.1]
device=/slots/b
type=raw
bootname=B
END
grub-editenv /boot/grub/grubenv create
grub-editenv /boot/grub/grubenv set ORDER="A B" A_OK=1 B_OK=0 A_TRY=0 B_TRY=0
echo root=/slots/a rauc.slot=A >/etc/cmdline
"#;
/// What runs on the host: the kernel was told its slot, and the system's bus starts RAUC's service.
const RUNS: &str = "mount --bind /etc/cmdline /proc/cmdline; mkdir -p /run/dbus; rm -f /run/dbus/pid; \
                    dbus-daemon --system --fork";
/// A hook that goes on when somebody has waited for it.
const HOOK: &str = "#!/bin/sh\nuntil test -e /var/go; do sleep 0.05; done\n";
/// How long something may be in coming.
const PATIENCE: Duration = Duration::from_mins(2);
const DONE: (AnswerResult, Option<ErrorClass>) = (AnswerResult::Done, None);

fn ended(answer: &Answer) -> (AnswerResult, Option<ErrorClass>) {
    (answer.result.clone(), answer.class.clone())
}

fn sha256(path: &std::path::Path) -> String {
    let sum = call("sha256sum", &[path.to_str().unwrap()]);
    sum.split(' ').next().unwrap().to_owned()
}

/// A bundle as it was made.
#[derive(Clone)]
struct Bundle {
    address: String,
    path: PathBuf,
    /// SHA-256 of its image, and how long that is.
    image: String,
    bytes: usize,
}

impl Bundle {
    fn hash(&self) -> String {
        sha256(&self.path)
    }
}

struct Scene {
    folder: tempfile::TempDir,
    host: Host,
}

impl Scene {
    /// A host that runs an image that RAUC has installed, with the bundle of it.
    fn new(test: &str) -> Option<(Self, Bundle)> {
        let folder = debian::place(test)?;
        let repository = folder.path().join("repository");
        fs::create_dir_all(&repository).unwrap();
        let host = Host::over(test, folder.path(), &repository, "slots", &PACKAGES)?;
        host.run(&["sh", "-ec", PREPARE]);
        let scene = Self { folder, host };
        let one = scene.bundle("1", "ours", "tests", None);

        // Of what a factory wrote into a slot nobody knows what it is.
        let (answer, log) = scene.work(&attempt(100, line(&"0".repeat(64), &one)));
        let difference = (AnswerResult::Refused, Some(ErrorClass::Difference));
        assert_eq!(ended(&answer), difference, "{}\n{log}", answer.message);
        assert!(answer.message.contains("RAUC has written down no image"), "{}", answer.message);

        let install = format!("{RUNS}; rauc install /repository/1.raucb");
        scene.host.run(&["sh", "-ec", &install]);
        scene.boot();
        assert_eq!(scene.runs(), "B");
        Some((scene, one))
    }

    /// Makes a bundle in the repository.
    fn bundle(&self, name: &str, signer: &str, compatible: &str, hook: Option<&str>) -> Bundle {
        let hooks = match hook {
            Some(_) => ("[hooks]\\nfilename=hook\\n", "hooks=post-install\\n"),
            None => ("", ""),
        };
        let script = format!(
            "rm -rf /tree /content; mkdir /tree /content; echo {name} >/tree/version; \
             head -c 24M /dev/urandom >/tree/fill; mksquashfs /tree /content/rootfs.img -quiet -no-progress -noI -noD >&2; \
             cp /repository/hook /content/ 2>/dev/null || true; \
             printf '[update]\\ncompatible={compatible}\\nversion={name}\\n{}[image.rootfs]\\nfilename=rootfs.img\\n{}' >/content/manifest.raucm; \
             rm -f /repository/{name}.raucb; \
             rauc bundle --cert=/repository/{signer}.crt --key=/repository/{signer}.key /content /repository/{name}.raucb >&2; \
             sha256sum </content/rootfs.img; wc -c </content/rootfs.img",
            hooks.0, hooks.1
        );
        let repository = self.folder.path().join("repository");
        if let Some(hook) = hook {
            fs::write(repository.join("hook"), hook).unwrap();
            call("chmod", &["755", repository.join("hook").to_str().unwrap()]);
        }
        let said = self.host.run(&["sh", "-ec", &script]);
        let mut lines = said.lines();
        let image = lines.next().unwrap().split(' ').next().unwrap().to_owned();
        let bytes = lines.next().unwrap().trim().parse().expect(&said);
        let address = format!("file:///repository/{name}.raucb");
        let path = repository.join(format!("{name}.raucb"));
        Bundle { address, path, image, bytes }
    }

    fn begin(&self, host: &Host, job: &Job, beside: &str) -> Running {
        let start = format!("chroot root sh -ec '{RUNS}'\n{beside}");
        assert!(self.folder.path().exists());
        host.begin(job, &start)
    }

    fn work(&self, job: &Job) -> (Answer, String) {
        self.work_beside(job, "")
    }

    fn work_beside(&self, job: &Job, beside: &str) -> (Answer, String) {
        let running = self.begin(&self.host, job, beside);
        self.host.worked(running)
    }

    fn runs(&self) -> String {
        runs(&self.host)
    }

    fn boot(&self) {
        boot(&self.host);
    }

    /// What may not change while something is refused: both slots, what RAUC knows of them, and the boot loader's choice.
    fn state(&self) -> Vec<String> {
        let files = ["slots/a", "slots/b", "var/lib/rauc/status", "boot/grub/grubenv"];
        files.iter().map(|file| sha256(&self.host.at(file))).collect()
    }

    fn due(&self) -> Vec<String> {
        let report = Share::at(self.host.scan()).report().unwrap().unwrap();
        let because = report.reboot_required.expect("the host runs").because;
        because.into_iter().filter(|why| why.starts_with("the next boot brings")).collect()
    }
}

fn line(from: &str, to: &Bundle) -> String {
    format!("{}:rauc {from} {} {}", to.address, to.image, to.hash())
}

fn attempt(attempt: u32, line: String) -> Job {
    Job { attempt, ..Job::patch(vec![line]) }
}

/// The slot that the kernel was told.
fn runs(host: &Host) -> String {
    let told = fs::read_to_string(host.at("etc/cmdline")).unwrap();
    told.trim().rsplit('=').next().unwrap().to_owned()
}

/// The slot that the boot loader would take, as RAUC's script for GRUB does: the first of the order that may be booted.
fn next(host: &Host) -> String {
    let text = fs::read_to_string(host.at("boot/grub/grubenv")).unwrap();
    let of = |key: &str| text.lines().find_map(|line| line.strip_prefix(&format!("{key}=")));
    let order = of("ORDER").unwrap().split(' ');
    let bootable = |slot: &&str| of(&format!("{slot}_OK")) == Some("1");
    order.into_iter().find(bootable).expect("something can be booted").to_owned()
}

/// A boot: the kernel is told what the boot loader took, and what was in memory is gone.
fn boot(host: &Host) {
    let slot = next(host);
    let told = format!("root=/slots/{} rauc.slot={slot}\n", slot.to_lowercase());
    fs::write(host.at("etc/cmdline"), told).unwrap();
    if host.at("run").exists() {
        fs::remove_dir_all(host.at("run")).unwrap();
    }
}

/// SHA-256 of as many bytes of a slot as an image has.
fn written(host: &Host, slot: &str, bundle: &Bundle) -> String {
    let path = host.at(&format!("slots/{}", slot.to_lowercase()));
    let head = format!("head -c {} '{}' | sha256sum", bundle.bytes, path.display());
    call("sh", &["-c", &head]).split(' ').next().unwrap().to_owned()
}

/// Waits until a work's log says something.
fn wait_for(host: &Host, said: &str) {
    let start = Moment::now();
    loop {
        let works = fs::read_dir(host.at("var/lib/hozen/work")).into_iter().flatten().flatten();
        let logs = works.map(|work| fs::read_to_string(work.path().join("log")));
        if logs.flatten().any(|log| log.contains(said)) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "it was never said: {said}");
        clock::pause();
    }
}

#[test]
fn a_bundle_is_installed_exactly_as_approved_into_the_slot_that_does_not_run_and_the_way_back_is_the_other()
 {
    let Some((scene, one)) = Scene::new("a_bundle_is_installed_exactly_as_approved") else {
        return;
    };
    let two = scene.bundle("2", "ours", "tests", None);
    let running = sha256(&scene.host.at("slots/b"));
    let job = |number, to: &Bundle| attempt(number, line(&one.image, to));

    let (answer, log) = scene.work(&job(1, &two));
    assert_eq!(ended(&answer), DONE, "{}\n{log}", answer.message);
    assert_eq!((scene.runs().as_str(), next(&scene.host).as_str()), ("B", "A"));
    assert_eq!(written(&scene.host, "A", &two), two.image);
    assert!(!scene.host.at("var/lib/hozen/bundle.raucb").exists(), "it takes no room any more");
    let due = format!("the next boot brings slot rootfs.0 with image {}", two.image);
    assert_eq!(scene.due(), [due]);
    let (answer, _) = scene.work(&job(2, &two));
    assert_eq!(answer.result, AnswerResult::Already);

    // Back before anybody has booted it, and forth again.
    let back = |number| Job { step: Step::Rollback, ..job(number, &two) };
    let (answer, log) = scene.work(&back(3));
    assert_eq!(ended(&answer), DONE, "{}\n{log}", answer.message);
    assert_eq!((next(&scene.host), scene.due()), ("B".to_owned(), Vec::new()));
    let (answer, log) = scene.work(&job(4, &two));
    assert_eq!(ended(&answer), DONE, "{}\n{log}", answer.message);
    assert_eq!(running, sha256(&scene.host.at("slots/b")), "what runs was touched");

    scene.boot();
    assert_eq!((scene.runs(), scene.due()), ("A".to_owned(), Vec::new()));
    let (answer, log) = scene.work(&back(5));
    assert_eq!(ended(&answer), DONE, "{}\n{log}", answer.message);
    assert_eq!((scene.runs().as_str(), next(&scene.host).as_str()), ("A", "B"));
    assert_eq!(written(&scene.host, "A", &two), two.image, "what runs was touched");
    let (answer, _) = scene.work(&back(6));
    assert_eq!(answer.result, AnswerResult::Already);
    scene.boot();
    assert_eq!(written(&scene.host, &scene.runs(), &one), one.image);
}

#[test]
fn what_is_not_the_approved_bundle_or_not_signed_for_the_host_is_refused_and_nothing_is_changed() {
    let Some((scene, one)) = Scene::new("what_is_not_the_approved_bundle") else { return };
    let two = scene.bundle("2", "ours", "tests", None);
    let before = scene.state();
    let refused = |number, line: String, class, told: &str| {
        let (answer, log) = scene.work(&attempt(number, line));
        let refused = (AnswerResult::Refused, Some(class));
        assert_eq!(ended(&answer), refused, "{}\n{log}", answer.message);
        assert!(answer.message.contains(told), "{}", answer.message);
        assert_eq!(scene.state(), before, "{log}");
        assert!(!scene.host.at("var/lib/hozen/bundle.raucb").exists());
    };

    // A newer one has taken its place since.
    let approved = line(&one.image, &two);
    let three = scene.bundle("3", "ours", "tests", None);
    fs::copy(&three.path, &two.path).unwrap();
    let told = format!("has the hash {}", three.hash());
    refused(1, approved, ErrorClass::Difference, &told);
    // What the plan says of it is not what it is.
    let wrong = line(&one.image, &Bundle { image: two.image.clone(), ..three.clone() });
    let told = format!("the bundle brings {} for rootfs", three.image);
    refused(2, wrong, ErrorClass::Difference, &told);
    let wrong = line(&two.image, &three);
    refused(3, wrong, ErrorClass::Difference, &format!("the next boot brings {}", one.image));

    let others = scene.bundle("4", "ours", "others", None);
    let told = "the bundle is for others, and the host is tests";
    refused(4, line(&one.image, &others), ErrorClass::Difference, told);
    let foreign = scene.bundle("5", "theirs", "tests", None);
    let told = "signature verification failed";
    refused(5, line(&one.image, &foreign), ErrorClass::Signature, told);
    // People have approved what was tampered with.
    let tampered = scene.bundle("6", "ours", "tests", None);
    let mut bytes = fs::read(&tampered.path).unwrap();
    bytes[1 << 20] ^= 1;
    fs::write(&tampered.path, bytes).unwrap();
    refused(6, line(&one.image, &tampered), ErrorClass::Signature, told);
    // Without a keyring RAUC believes nobody.
    scene.host.run(&["sed", "-i", "/keyring/d", "/etc/rauc/system.conf"]);
    refused(7, line(&one.image, &three), ErrorClass::Signature, "No keyring");

    let lacking = Bundle { address: "file:///repository/none.raucb".to_owned(), ..three.clone() };
    refused(8, line(&one.image, &lacking), ErrorClass::Repository, "none.raucb");
    let known = Bundle { address: "https://user:password@host/b.raucb".to_owned(), ..three };
    refused(9, line(&one.image, &known), ErrorClass::Order, "carries credentials");
}

#[test]
fn a_power_cut_leaves_what_boots_and_the_same_work_ends_with_the_approved_image() {
    let Some((scene, one)) = Scene::new("a_power_cut_leaves_what_boots") else { return };
    let two = scene.bundle("2", "ours", "tests", None);
    // This one comes from a web server.
    let served = Served::new(&scene.folder.path().join("repository"));
    let address = format!("http://127.0.0.1:{}/2.raucb", served.port);
    let two = Bundle { address, ..two };
    let job = attempt(1, line(&one.image, &two));
    let running = sha256(&scene.host.at("slots/b"));
    let moments = [
        "refresh: begins",
        "compare: begins",
        "install: begins",
        "Copying image to",
        "check: begins",
    ];
    for (number, moment) in moments.into_iter().enumerate() {
        let host = scene.host.copy(&scene.folder.path().join(format!("cut{number}")));
        let work = scene.begin(&host, &job, "");
        wait_for(&host, moment);
        work.kill();
        assert_eq!(running, sha256(&host.at("slots/b")), "{moment}: what runs was touched");
        let slot = next(&host);
        let (bundle, of) = if slot == "A" { (&two, "new") } else { (&one, "old") };
        assert_eq!(written(&host, &slot, bundle), bundle.image, "{moment}: the {of} one is whole");

        let (answer, log) = host.worked(scene.begin(&host, &job, ""));
        let good = [AnswerResult::Done, AnswerResult::Already];
        assert!(good.contains(&answer.result), "{moment}: {}\n{log}", answer.message);
        assert_eq!(running, sha256(&host.at("slots/b")), "{moment}: what runs was touched");
        assert_eq!((next(&host), written(&host, "A", &two)), ("A".to_owned(), two.image.clone()));
    }
}

#[test]
fn where_only_the_worker_is_killed_raucs_service_goes_on_and_the_next_start_waits_for_it() {
    let name = "where_only_the_worker_is_killed_raucs_service_goes_on";
    let Some((scene, one)) = Scene::new(name) else { return };
    let two = scene.bundle("2", "ours", "tests", Some(HOOK));
    let job = attempt(1, line(&one.image, &two));
    // The hook is let go by who waits for it.
    let beside = r#"
(
until grep -qs "Copying image to" root/var/lib/hozen/work/*/log; do sleep 0.05; done
chroot root sh -c 'for of in /proc/[0-9]*; do
  tr "\0" " " <$of/cmdline 2>/dev/null | grep -q "^/var/lib/hozen/work/.*/hozen-agent work " && kill -9 ${of#/proc/} || :
done'
until grep -qs "waits for RAUC" root/var/lib/hozen/work/*/log; do sleep 0.05; done
touch root/var/go
) &
"#;
    let (answer, log) = scene.work_beside(&job, beside);
    assert_eq!(answer.result, AnswerResult::Already, "{}\n{log}", answer.message);
    assert!(log.contains("waits for RAUC's service: it is installing"), "{log}");
    assert_eq!(log.matches("install: begins").count(), 1, "{log}");
    assert_eq!((next(&scene.host), written(&scene.host, "A", &two)), ("A".to_owned(), two.image));
}
