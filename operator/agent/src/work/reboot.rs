//! A reboot: its intent is written first, so that whoever asks again after the boot finds it done.

use hozen_api::job::{ErrorClass, Order};

use super::{
    Failure, Success,
    folder::{Folder, FolderError},
    tool,
};

/// The kernel's id of this boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// The note that says in which boot the reboot was asked for, once for each time.
const INTENT: &str = "reboot-asked-in-boot";
/// How often one order asks for a boot: more does not help a host that does not reboot.
const ASKED_MAX: usize = 3;

/// Asks the host to boot, unless it has done so since.
pub fn reboot(folder: &Folder, order: &Order) -> Result<Success, Failure> {
    let now = std::fs::read_to_string(BOOT_ID).map_err(|error| {
        Failure::before(ErrorClass::System, format!("{BOOT_ID} cannot be read ({error})"))
    })?;
    let now = now.trim();
    let asked = folder.note(INTENT)?.unwrap_or_default();
    let before = order.boot_id.as_deref().or(asked.lines().next());
    if before.is_some_and(|before| before != now) {
        return Ok(Success::already(format!("it has booted since: boot id {now}")));
    }
    if asked.lines().count() >= ASKED_MAX {
        let message = format!("asked for a reboot {ASKED_MAX} times, and boot {now} goes on");
        return Err(Failure::after(ErrorClass::Reboot, message));
    }
    intend(folder, &asked, now)?;
    // Without waiting: the answer is written before the host goes down.
    let said = tool::ask("systemctl", &["--no-block", "reboot"])?;
    if !said.success {
        let message = format!("systemctl reboot: {}", said.output.trim());
        return Err(Failure::before(ErrorClass::Reboot, message));
    }
    Ok(Success::done(format!("asked for a reboot in boot {now}")))
}

fn intend(folder: &Folder, asked: &str, now: &str) -> Result<(), FolderError> {
    folder.put_note(INTENT, &format!("{asked}{now}\n"))
}
