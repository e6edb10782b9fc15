//! A host with two slots (A/B) that RAUC updates: a bundle is installed into the slot that does not run, and a boot brings it.
//!
//! The transaction's one line is `ADDRESS:rauc FROM TO BUNDLE`. The address says where the bundle is. FROM and TO are SHA-256 of the images of
//! the slot that is booted from, as RAUC writes them down for each slot; BUNDLE is that of the bundle, so that the plan's digest covers
//! each byte of it, hooks among them. The bundle is fetched, compared with what was approved, and has to be signed for the host's own keyring,
//! by RAUC's check. Only then RAUC installs it: it makes the slot unbootable before it writes into it, and lets the boot loader choose it when
//! all is written. What runs is not touched, and the way back is the slot that has the image from before. RAUC's service does the work: where
//! only our own process is killed it goes on, and whoever comes next waits for it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use hozen_advisory::package::Change;
use hozen_api::job::ErrorClass;
use serde::Deserialize;

use super::{
    Failure, class_of, digest,
    executor::{Executor, Task, Way},
    limit, locks, packages, room, rpm,
    tool::{self, Call, Said},
};
use crate::{clock, next_boot};

/// The bundle, in the agent's folder: one at a time, for one work at a time has the host.
const BUNDLE: &str = "bundle.raucb";
/// Most bytes of a bundle. One with whole systems for several slots has a few GiB.
const BUNDLE_BYTES_MAX: u64 = 32 << 30;
/// How the address of a bundle may begin.
const SCHEMES: [&str; 3] = ["https://", "http://", "file:///"];
/// curl's exit code where what it fetched could not be written.
const UNWRITTEN: i32 = 23;
/// How long the bundle's signature may take: all of it is read.
const VERIFY_MAX: Duration = Duration::from_mins(10);
/// Moments between two looks whether RAUC's service is idle: each look starts a program.
const PAUSES: u32 = 10;
/// How busctl asks whether RAUC's service installs something.
const OPERATION: [&str; 6] = [
    "--system",
    "get-property",
    "de.pengutronix.rauc",
    "/",
    "de.pengutronix.rauc.Installer",
    "Operation",
];

/// RAUC on its host.
#[derive(Debug)]
pub struct Rauc<'a> {
    task: &'a Task<'a>,
    change: &'a Change,
}

impl<'a> Rauc<'a> {
    /// For this task; an error where the line does not name a bundle and two images.
    pub fn new(task: &'a Task<'a>, change: &'a Change) -> Result<Self, Failure> {
        if let Some(wrong) = wrong_address(&change.name) {
            let message = format!("{} {wrong}", change.name);
            return Err(Failure::before(ErrorClass::Order, message));
        }
        if [&change.from, &change.to].iter().any(|image| !digest::is_sha256(image)) {
            let message =
                format!("{} does not go from the SHA-256 of one image to another", change.name);
            return Err(Failure::before(ErrorClass::Order, message));
        }
        Ok(Self { task, change })
    }

    fn bundle(&self) -> PathBuf {
        self.task.folder.state().join(BUNDLE)
    }

    fn call(&self, program: &str, words: &[&str], limit: Duration) -> Result<Said, Failure> {
        tool::run(self.task.folder, &call(program, words), limit)
    }

    /// Whether the approved bundle is there already, from an earlier start.
    fn has_bundle(&self) -> Result<bool, Failure> {
        let path = self.bundle();
        if !path.exists() {
            return Ok(false);
        }
        let found = digest::of_file(&path).map_err(|error| unreadable(&path, &error))?;
        Ok(found == self.change.archive)
    }

    fn drop_bundle(&self) -> Result<(), Failure> {
        let path = self.bundle();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let message = format!("{} could not be removed ({error})", path.display());
                Err(Failure::before(class_of(&error), message))
            }
            _ => Ok(()),
        }
    }

    /// Fetches the bundle, as long as the disk has room for it and for what else runs there.
    fn fetch(&self) -> Result<(), Failure> {
        let path = self.bundle();
        let output = path.to_string_lossy();
        let words = [
            "--fail",
            "--silent",
            "--show-error",
            "--globoff",
            "--location",
            "--max-redirs",
            "5",
            "--proto",
            "=https,http,file",
            "--proto-redir",
            "=https,http",
            "--connect-timeout",
            "60",
            "--speed-limit",
            "1",
            "--speed-time",
            "300",
            "--output",
            &output,
            "--url",
            &self.change.name,
        ];
        let root = packages::root()?;
        let may = || {
            room::spare(&root)?;
            let bytes = fs::metadata(&path).map_or(0, |of| of.len());
            if bytes <= BUNDLE_BYTES_MAX {
                return Ok(());
            }
            let message = format!("a bundle of more than {BUNDLE_BYTES_MAX} bytes is not fetched");
            Err(Failure::before(ErrorClass::Unsupported, message))
        };
        let limit = limit(self.task.deadline);
        let said = tool::run_while(self.task.folder, &call("curl", &words), limit, may)?;
        if said.success {
            return Ok(());
        }
        let class = match said.code {
            Some(UNWRITTEN) => ErrorClass::Disk,
            _ => ErrorClass::Repository,
        };
        Err(Failure::before(class, rpm::complaint("curl", &said.output)))
    }

    /// What makes the bundle another one than was approved, or one that this host may not take.
    fn difference(&self) -> Result<(), Failure> {
        let Change { name, to, archive, .. } = self.change;
        let path = self.bundle();
        let found = digest::of_file(&path).map_err(|error| unreadable(&path, &error))?;
        if found != *archive {
            let message =
                format!("the bundle at {name} has the hash {found}; {archive} is approved");
            return Err(Failure::before(ErrorClass::Difference, message));
        }
        let words = ["info", "--output-format=json", &path.to_string_lossy()];
        let said = self.call("rauc", &words, VERIFY_MAX)?;
        if !said.success {
            // Its bytes are the approved ones: what is left is that this host believes nobody who signed them.
            let complaint = rpm::complaint("rauc", &said.output);
            return Err(Failure::before(ErrorClass::Signature, complaint));
        }
        let bundle: Bundle = parsed(&said.output)?;
        let host = Host::read()?;
        let different = host.difference(self.change).or_else(|| bundle.difference(&host, to));
        different.map_or(Ok(()), |message| Err(Failure::before(ErrorClass::Difference, message)))
    }
}

impl Executor for Rauc<'_> {
    /// RAUC may be at work for somebody else, or go on with what an earlier start of ours has asked of it.
    fn take(&mut self) -> Result<(), Failure> {
        locks::wait(self.task.deadline, "RAUC's service", || {
            let said = tool::ask("busctl", &OPERATION)?;
            if !said.success {
                let complaint = rpm::complaint("busctl", &said.output);
                let message = format!("RAUC's service does not answer: {complaint}");
                return Err(Failure::before(ErrorClass::Unsupported, message));
            }
            let operation = said.output.trim().trim_start_matches("s ").trim_matches('"');
            if operation == "idle" {
                return Ok(Ok(()));
            }
            (0..PAUSES).for_each(|_| clock::pause());
            Ok(Err(format!("it is {operation}")))
        })
    }

    /// There is nothing to repair: a slot that was half written is not booted from, and is written anew.
    fn repair(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn is_done(&mut self) -> Result<bool, Failure> {
        let host = Host::read()?;
        let Change { from, to, .. } = self.change;
        let next = host.next().and_then(|slot| slot.image);
        if next == Some(to) {
            host.tell()?;
            self.drop_bundle()?;
            return Ok(true);
        }
        if next == Some(from) {
            return Ok(false);
        }
        let message = format!(
            "the next boot brings {}; {from} to {to} is approved",
            next.unwrap_or("a slot of which RAUC has written down no image")
        );
        Err(Failure::before(ErrorClass::Difference, message))
    }

    /// Fetches the bundle: what is in it only the whole of it says. On the way back the image is on the host, and nobody is asked.
    fn refresh(&mut self) -> Result<(), Failure> {
        if self.task.way == Way::Back || self.has_bundle()? {
            return Ok(());
        }
        let fetched = self.drop_bundle().and_then(|()| self.fetch());
        if fetched.is_err() {
            self.drop_bundle()?;
        }
        fetched
    }

    fn compare(&mut self) -> Result<(), Failure> {
        if self.task.way == Way::Back {
            return Ok(());
        }
        let compared = self.difference();
        if compared.is_err() {
            self.drop_bundle()?;
        }
        compared
    }

    fn download(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn install(&mut self) -> Result<Vec<String>, Failure> {
        let host = Host::read()?;
        // An image that is there comes back by the boot loader's choice alone.
        let there = host.holder(&self.change.to, self.task.way == Way::Back);
        let said = match there {
            Some(slot) => {
                let words = ["status", "mark-active", slot.name];
                self.call("rauc", &words, limit(self.task.deadline))?
            }
            None if self.task.way == Way::Back => {
                let message = format!("no slot has the image {} any more", self.change.to);
                return Err(Failure::before(ErrorClass::Difference, message));
            }
            None => {
                let bundle = self.bundle();
                let words = ["install", &bundle.to_string_lossy()];
                self.call("rauc", &words, limit(self.task.deadline))?
            }
        };
        if said.success {
            return Ok(Vec::new());
        }
        Err(Failure::after(ErrorClass::Install, rpm::complaint("rauc", &said.output)))
    }

    fn check(&mut self) -> Result<(), Failure> {
        let host = Host::read().map_err(|failure| Failure { touched: true, ..failure })?;
        host.tell()?;
        let next = host.next().and_then(|slot| slot.image);
        if next == Some(&self.change.to) {
            return self.drop_bundle();
        }
        let message = format!(
            "the next boot brings {} and not {}",
            next.unwrap_or("no image that RAUC has written down"),
            self.change.to
        );
        Err(Failure::after(ErrorClass::Install, message))
    }

    fn goal(&self) -> String {
        format!("the next boot brings the image {}", self.change.to)
    }
}

/// What RAUC says of its host.
#[derive(Debug, Deserialize)]
struct Host {
    compatible: String,
    variant: Option<String>,
    /// Name of the slot that the boot loader would take.
    boot_primary: Option<String>,
    slots: Vec<BTreeMap<String, SlotFacts>>,
}

#[derive(Debug, Deserialize)]
struct SlotFacts {
    class: String,
    /// What the boot loader calls it; none for what is no slot to boot from.
    bootname: Option<String>,
    /// `booted`, `active`, `inactive`.
    state: String,
    slot_status: Option<SlotStatus>,
}

#[derive(Debug, Deserialize)]
struct SlotStatus {
    checksum: Option<Checksum>,
    /// `ok` where all of the image was written.
    status: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Checksum {
    sha256: String,
}

/// A slot that can be booted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot<'h> {
    name: &'h str,
    class: &'h str,
    runs: bool,
    /// SHA-256 of the image that RAUC has written into it, whole.
    image: Option<&'h str>,
}

impl Host {
    fn read() -> Result<Self, Failure> {
        let said = tool::ask("rauc", &["status", "--detailed", "--output-format=json"])?;
        if said.success {
            return parsed(&said.output);
        }
        let complaint = rpm::complaint("rauc", &said.output);
        let message = format!("RAUC cannot say what its slots have: {complaint}");
        Err(Failure::before(ErrorClass::Unsupported, message))
    }

    fn slots(&self) -> impl Iterator<Item = Slot<'_>> {
        let named = self.slots.iter().flatten();
        named.filter(|(_, facts)| facts.bootname.is_some()).map(|(name, facts)| {
            let written = facts.slot_status.as_ref();
            let written = written.filter(|status| status.status.as_deref() == Some("ok"));
            let image = written.and_then(|status| status.checksum.as_ref());
            Slot {
                name,
                class: &facts.class,
                runs: facts.state == "booted",
                image: image.map(|image| image.sha256.as_str()),
            }
        })
    }

    fn runs(&self) -> Option<Slot<'_>> {
        self.slots().find(|slot| slot.runs)
    }

    /// What the next boot brings.
    fn next(&self) -> Option<Slot<'_>> {
        self.slots().find(|slot| Some(slot.name) == self.boot_primary.as_deref())
    }

    /// Leaves for the scan whether a boot is due.
    fn tell(&self) -> Result<(), Failure> {
        let next = match (self.next(), self.runs()) {
            (Some(next), Some(runs)) if next.name != runs.name => {
                Some(format!("slot {} with image {}", next.name, next.image.unwrap_or("unknown")))
            }
            _ => None,
        };
        next_boot::put(next.as_deref()).map_err(|error| {
            let message = format!("what the next boot brings could not be written down ({error})");
            Failure::after(class_of(&error), message)
        })
    }

    /// The slot that has this image: the one that runs, or, where that may be, any.
    fn holder(&self, image: &str, any: bool) -> Option<Slot<'_>> {
        let has = |slot: &Slot<'_>| slot.image == Some(image);
        self.runs().filter(has).or_else(|| self.slots().filter(|_| any).find(has))
    }

    /// Why an installation would not lead where the change does: it takes a slot that does not run, and the way back is the one that does.
    fn difference(&self, change: &Change) -> Option<String> {
        let runs = self.runs()?;
        let Some(image) = runs.image else {
            return Some(format!(
                "RAUC has written down no image of slot {}, which runs",
                runs.name
            ));
        };
        (image != change.from && image != change.to)
            .then(|| format!("{} runs; {} to {} is approved", image, change.from, change.to))
    }
}

/// What a bundle is, once its signature was checked.
#[derive(Debug, Deserialize)]
struct Bundle {
    compatible: String,
    images: Vec<BTreeMap<String, Image>>,
}

#[derive(Debug, Deserialize)]
struct Image {
    variant: Option<String>,
    checksum: String,
}

impl Bundle {
    /// Why it does not bring this image to this host; none where it does.
    fn difference(&self, host: &Host, to: &str) -> Option<String> {
        if self.compatible != host.compatible {
            let (of, host) = (&self.compatible, &host.compatible);
            return Some(format!("the bundle is for {of}, and the host is {host}"));
        }
        let Some(runs) = host.runs() else {
            return Some("none of the host's slots is the one that runs".to_owned());
        };
        let images = self.images.iter().flatten().filter(|(class, image)| {
            let fits = image.variant.is_none() || image.variant == host.variant;
            *class == runs.class && fits
        });
        let found: Vec<&str> = images.map(|(_, image)| image.checksum.as_str()).collect();
        match found.as_slice() {
            [] => Some(format!("the bundle has no image for {}", runs.class)),
            found if found.contains(&to) => None,
            found => Some(format!(
                "the bundle brings {} for {}; {to} is approved",
                found.join(" or "),
                runs.class
            )),
        }
    }
}

/// The one line of JSON in what RAUC said, between its messages.
fn parsed<'o, T: Deserialize<'o>>(output: &'o str) -> Result<T, Failure> {
    let line = output.lines().find(|line| line.starts_with('{')).unwrap_or_default();
    serde_json::from_str(line).map_err(|error| {
        let message = format!("what RAUC says cannot be read ({error})");
        Failure::before(ErrorClass::Unsupported, message)
    })
}

/// What is wrong with a bundle's address; none where it is in order.
fn wrong_address(address: &str) -> Option<&'static str> {
    let Some(rest) = SCHEMES.iter().find_map(|scheme| address.strip_prefix(scheme)) else {
        return Some(
            "is no address of a bundle; write it like https://host/name.raucb or file:///name.raucb",
        );
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    host.contains('@').then_some(
        "carries credentials, which everybody who may read the plan would see; leave them out",
    )
}

fn call(program: &str, words: &[&str]) -> Call<'static> {
    let arguments = words.iter().map(OsString::from).collect();
    Call { program: program.into(), arguments, environment: &[] }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::before(class_of(error), format!("{} could not be read ({error})", path.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const OLD: &str = "ef1f4f34747250da7aa3fa1a7c19490fc5518ae474a353648c2a96c37541a864";
    const NEW: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    /// As RAUC 1.8 says it, with this in the second slot.
    fn host(primary: Option<&str>, second: Value) -> Host {
        let slot = |class: &str, bootname: Option<&str>, state: &str, status: Value| {
            json!({
                "class": class, "device": "/dev/x", "type": "raw", "bootname": bootname, "state": state,
                "parent": null, "mountpoint": null, "slot_status": status,
            })
        };
        let first = json!({"bundle": {"compatible": null}, "checksum": {"sha256": OLD, "size": 1}, "status": "ok"});
        let said = json!({
            "compatible": "tests", "variant": "", "booted": "A", "boot_primary": primary,
            "slots": [
                {"rootfs.1": slot("rootfs", Some("B"), "inactive", second)},
                {"rootfs.0": slot("rootfs", Some("A"), "booted", first)},
                {"data.0": slot("data", None, "active", Value::Null)},
            ],
        });
        let message = "rauc-Message: 18:48:27.140: valid /etc/rauc/system.conf found, using it";
        parsed(&format!("{message}\n{said}\n")).unwrap()
    }

    fn written(status: &str) -> Value {
        json!({"bundle": {"compatible": "tests"}, "checksum": {"sha256": NEW, "size": 1}, "status": status})
    }

    fn change(from: &str, to: &str) -> Change {
        Change::parse(&format!("https://host/b.raucb:rauc {from} {to} {NEW}")).unwrap()
    }

    #[test]
    fn what_the_next_boot_brings_is_the_image_of_the_slot_that_the_boot_loader_takes() {
        let done = host(Some("rootfs.1"), written("ok"));
        assert_eq!(done.next().unwrap().image, Some(NEW));
        assert_eq!(done.runs().unwrap().image, Some(OLD));
        // It is there, and nobody has booted it: forth it is written again, back it is only chosen.
        assert_eq!(done.holder(NEW, false), None);
        assert_eq!(done.holder(NEW, true).unwrap().name, "rootfs.1");
        assert_eq!(done.holder(OLD, false).unwrap().name, "rootfs.0");

        // Cut off while it wrote.
        let half = host(Some("rootfs.0"), written("update"));
        assert_eq!((half.next().unwrap().image, half.holder(NEW, true)), (Some(OLD), None));
        assert_eq!(host(None, Value::Null).next(), None);
    }

    #[test]
    fn a_bundle_has_to_bring_the_approved_image_to_this_kind_of_host_from_the_one_that_runs() {
        let host = host(Some("rootfs.0"), Value::Null);
        let differs = |compatible: &str, class: &str, variant: Option<&str>, to: &str| {
            let image = json!({
                "variant": variant, "filename": "rootfs.img", "checksum": NEW, "size": 1, "hooks": [],
            });
            let text = json!({
                "compatible": compatible, "version": "2", "description": null, "build": null,
                "hooks": [], "images": [{class: image}],
            });
            parsed::<Bundle>(&text.to_string()).unwrap().difference(&host, to)
        };
        assert_eq!(differs("tests", "rootfs", None, NEW), None);
        let other = differs("others", "rootfs", None, NEW).unwrap();
        assert_eq!(other, "the bundle is for others, and the host is tests");
        let other = differs("tests", "rootfs", None, OLD).unwrap();
        assert_eq!(other, format!("the bundle brings {NEW} for rootfs; {OLD} is approved"));
        for (class, variant) in [("data", None), ("rootfs", Some("large"))] {
            let none = differs("tests", class, variant, NEW).unwrap();
            assert_eq!(none, "the bundle has no image for rootfs");
        }

        assert_eq!(host.difference(&change(OLD, NEW)), None);
        let third = "0".repeat(64);
        let other = host.difference(&change(&third, NEW)).unwrap();
        assert_eq!(other, format!("{OLD} runs; {third} to {NEW} is approved"));
    }

    #[test]
    fn an_address_is_of_a_known_kind_and_carries_no_credentials() {
        for good in ["https://h/a.raucb", "http://h:80/a?b=c@d", "file:///a.raucb"] {
            assert_eq!(wrong_address(good), None, "{good}");
        }
        for bad in ["-o", "h/a.raucb", "ftp://h/a", "file://h/a", "https://u:p@h/a", ""] {
            assert!(wrong_address(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn words_of_rauc_that_are_none_are_an_error_and_no_host() {
        for text in ["", "rauc-Message: nothing", "{", r#"{"compatible":"tests"}"#] {
            assert!(parsed::<Host>(text).is_err(), "{text}");
        }
    }
}
