//! A reboot: its intent is written first, so that whoever asks again after the boot finds it done.

use hozen_api::{
    common::RebootMethod,
    job::{ErrorClass, Order},
};

use super::{
    Failure, Success,
    folder::{Folder, FolderError},
    kexec,
    order::Assignment,
    tool,
};

/// The kernel's id of this boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// The note that says in which boot the reboot was asked for, once for each time.
const INTENT: &str = "reboot-asked-in-boot";
/// How often one order asks for a boot: more does not help a host that does not reboot.
const ASKED_MAX: usize = 3;

/// Asks the host to boot as its plan has it, unless it has done so since.
pub fn reboot(folder: &Folder, assignment: &Assignment) -> Result<Success, Failure> {
    let now = std::fs::read_to_string(BOOT_ID).map_err(|error| {
        Failure::before(ErrorClass::System, format!("{BOOT_ID} cannot be read ({error})"))
    })?;
    let now = now.trim();
    let asked = folder.note(INTENT)?.unwrap_or_default();
    if let Some(booted) = booted(&assignment.order, &asked, now) {
        return Ok(booted);
    }
    if asked.lines().count() >= ASKED_MAX {
        let message = format!("asked for a reboot {ASKED_MAX} times, and boot {now} goes on");
        return Err(Failure::after(ErrorClass::Reboot, message));
    }
    if assignment.boot != Some(RebootMethod::Kexec) {
        intend(folder, &asked, now)?;
        ask_for("reboot")?;
        return Ok(Success::done(format!("asked for a reboot in boot {now}")));
    }
    let kernel = kexec::load(assignment)?;
    let asked = intend(folder, &asked, now).map_err(Failure::from).and_then(|()| ask_for("kexec"));
    if let Err(failure) = asked {
        kexec::unload();
        return Err(failure);
    }
    Ok(Success::done(format!("asked for {kernel} by kexec in boot {now}")))
}

/// Whether it has booted since the reboot was decided, or since it was asked for.
fn booted(order: &Order, asked: &str, now: &str) -> Option<Success> {
    let before = order.boot_id.as_deref().or(asked.lines().next())?;
    (before != now).then(|| Success::already(format!("it has booted since: boot id {now}")))
}

/// Without waiting: the answer is written before the host goes down.
fn ask_for(boot: &str) -> Result<(), Failure> {
    let said = tool::ask("systemctl", &["--no-block", boot])?;
    if said.success {
        return Ok(());
    }
    let message = format!("systemctl {boot}: {}", said.output.trim());
    Err(Failure::before(ErrorClass::Reboot, message))
}

fn intend(folder: &Folder, asked: &str, now: &str) -> Result<(), FolderError> {
    folder.put_note(INTENT, &format!("{asked}{now}\n"))
}
