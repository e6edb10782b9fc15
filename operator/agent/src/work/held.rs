//! Units that an approved change holds stopped, so that nothing starts them, also after a boot; and what becomes of them when they are let go.
//!
//! A unit is masked: a link to nowhere stands in the place of the administrator's own unit file. Where that place is taken, where a file
//! that counts for more is in another folder, and where a unit has other names, which a mask of one of them need not cover, an addition
//! (`zzzz-hozen-held.conf`) has the service manager refuse to start it instead. A file of the administrator is neither moved nor written.
//!
//! With a unit is held what would start it: sockets, timers, paths. They would fail again and again, and a socket would take in who is then
//! answered by nobody. What ran before, and what somebody else had masked already, is noted in `held` in the state of the agent before the first change; so the
//! way back restores that and nothing else, wherever it was cut off. The unit itself is held first: what is held only in part is seen too.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use hozen_api::job::ErrorClass;
use rustix::fs::{Access, access};
use serde::{Deserialize, Serialize};

use super::{
    Failure,
    folder::{STATE, write_whole},
    log, tool,
    units::{call, is_unit, stays_up},
};
use crate::root::Root;

/// Where an administrator's units are, and most names there that are looked at.
const UNITS: &str = "etc/systemd/system";
const UNITS_MAX: usize = 10_000;
/// Folders whose unit files count for more than those of the administrator (systemd.unit(5)).
const ABOVE: [&str; 4] = [
    "/etc/systemd/system.control/",
    "/run/systemd/system.control/",
    "/run/systemd/transient/",
    "/run/systemd/generator.early/",
];
/// Name of the addition. The last of all additions counts.
const ADDITION: &str = "zzzz-hozen-held.conf";
/// A condition that never holds, and whose failure is told to who asks for a start.
const REFUSAL: &str = "# An approved change holds this unit stopped (Hozen); it takes this file away when nothing needs it any more.\n\
                       [Unit]\nAssertPathExists=!/\n";
/// What was before, a file for each unit that was ordered, in the agent's folder.
const RECORDS: &str = "held";
const RECORDS_MAX: usize = 1_000;
const RECORD_BYTES_MAX: u64 = 64 << 10;
/// An instance of a template by which the service manager, which knows only instances, is asked of the template.
const INSTANCE: &str = "hozen";

/// What a unit was before it was held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    unit: String,
    /// What ran: the unit, or instances of the template that it is.
    ran: Vec<String>,
    /// Somebody else had masked it.
    others: bool,
}

/// What is held for one unit that was ordered: the unit itself by its own name, then what would start it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    units: Vec<Before>,
    /// It was let go, and somebody else holds it still: that is no mitigation.
    let_go: bool,
    /// The host did not have it.
    #[serde(default)]
    absent: bool,
}

/// Units to be held, with what they were before.
#[derive(Debug)]
pub struct ToHold {
    records: BTreeMap<String, Record>,
    /// Units that the host does not have: nothing is to be stopped, and should one come it is held.
    absent: Vec<String>,
}

impl ToHold {
    /// What of the order the host does not have, in words.
    pub fn absence(&self) -> Option<String> {
        let absent = self.absent.join(", ");
        (!absent.is_empty()).then(|| format!("the host has no {absent}: held, should it come"))
    }
}

/// Looks what is to be held for these units, and changes nothing. Refuses a host on which nothing can be held, and one that has none of the units where that is `all` that
/// was ordered: to hold them would mitigate nothing and be believed. Beside something else, a unit that is not there keeps nothing from being done.
pub fn look(units: &[String], all: bool) -> Result<ToHold, Failure> {
    if !units.is_empty()
        && let Err(errno) = access(Path::new("/").join(UNITS), Access::WRITE_OK)
    {
        let message = format!(
            "no unit can be held stopped on this host: /{UNITS} cannot be written ({errno}); block a port instead, or change its image"
        );
        return Err(Failure::before(ErrorClass::Unsupported, message));
    }
    let records = records();
    let mut to_hold = ToHold { records: BTreeMap::new(), absent: Vec::new() };
    for unit in units {
        let standing = records.get(unit).filter(|record| !record.let_go && record.holds());
        let record = match standing {
            Some(record) => record.clone(),
            None => before(unit, &records)?,
        };
        if record.absent {
            to_hold.absent.push(unit.clone());
        }
        to_hold.records.insert(unit.clone(), record);
    }
    if all && !units.is_empty() && to_hold.absent.len() == units.len() {
        let message = format!(
            "the host has no unit {}: nothing would be stopped; name one of `systemctl list-units --all`",
            units.join(", ")
        );
        return Err(Failure::before(ErrorClass::Unsupported, message));
    }
    Ok(to_hold)
}

/// Holds units, stops them, and asks the service manager whether it has taken that on.
pub fn hold(to_hold: &ToHold) -> Result<(), Failure> {
    if to_hold.records.is_empty() {
        return Ok(());
    }
    for (unit, record) in &to_hold.records {
        note(unit, record).map_err(|failure| Failure { touched: false, ..failure })?;
    }
    change(to_hold).map_err(|failure| Failure { touched: true, ..failure })
}

fn change(to_hold: &ToHold) -> Result<(), Failure> {
    let all = || to_hold.records.values().flat_map(|record| &record.units);
    for before in all().filter(|before| !before.others) {
        put(&before.unit)?;
    }
    call(&["daemon-reload"])?;
    // What would start a unit ends before it.
    for before in all().rev() {
        stop(&before.unit)?;
    }
    all().try_for_each(|before| holds_by_its_manager(&before.unit))
}

/// Lets units go, and starts what ran when they were held. What another unit needs held stays so.
pub fn let_go(units: &[String]) -> Result<(), Failure> {
    let mut records = records();
    let mut gone = Vec::new();
    for unit in units {
        match records.remove(unit) {
            Some(record) if record.let_go => {}
            Some(mut record) => {
                for before in &mut record.units {
                    for service in in_the_way(before)? {
                        if !before.ran.contains(&service) {
                            before.ran.push(service);
                        }
                    }
                }
                // Before one of them is stopped: whoever comes after a power cut starts it.
                note(unit, &record)?;
                gone.push((unit, record));
            }
            // An agent that noted nothing yet has masked it.
            None if is_masked(unit) => unmask(unit)?,
            None => {}
        }
    }
    let others: Vec<&Before> = records
        .values()
        .filter(|record| !record.let_go && record.holds())
        .flat_map(|record| &record.units)
        .collect();
    let free = |before: &&Before| others.iter().all(|other| other.unit != before.unit);
    let all = || gone.iter().flat_map(|(_, record)| record.units.iter().filter(free));
    for before in all() {
        take_away(&before.unit)?;
        if !before.others && is_masked(&before.unit) {
            call(&["unmask", "--", &before.unit])?;
        }
    }
    call(&["daemon-reload"])?;
    // A socket is there before its service.
    for before in all().rev().filter(|before| !before.others) {
        for service in in_the_way(before)? {
            call(&["stop", "--", &service])?;
        }
        for unit in &before.ran {
            log(format!("starts {unit}"));
            call(&["start", "--", unit])?;
            stays_up(unit)?;
        }
    }
    for (unit, record) in &gone {
        let kept = record.units.first().is_some_and(|own| own.others && is_masked(&own.unit));
        if kept {
            note(unit, &Record { let_go: true, ..record.clone() })?;
        } else {
            forget(unit)?;
        }
    }
    Ok(())
}

/// Units that are held on a host, by the names under which they were ordered too; sorted, of each kind no more than `most`. What only somebody
/// else holds is among them, unless a mitigation of it was taken back.
pub fn in_force(root: &Root, most: usize) -> Vec<String> {
    let masked =
        |unit: &str| root.link(&format!("{UNITS}/{unit}")).is_ok_and(|to| to == "/dev/null");
    let added = |unit: &str| root.has(&format!("{UNITS}/{unit}.d/{ADDITION}"));
    let mut held = Vec::new();
    for entry in root.list(UNITS, UNITS_MAX).unwrap_or_default() {
        let addition = entry.name.strip_suffix(".d").filter(|unit| added(unit));
        let mask = Some(entry.name.as_str()).filter(|unit| masked(unit));
        held.extend(addition.or(mask).map(str::to_owned));
    }
    let folder = format!("{STATE}/{RECORDS}");
    for entry in root.list(&folder, RECORDS_MAX).unwrap_or_default() {
        let text = root.text(&format!("{folder}/{}", entry.name), RECORD_BYTES_MAX);
        let record = text.ok().and_then(|text| serde_json::from_str::<Record>(&text).ok());
        let Some((own, record)) = record.and_then(|it| Some((it.units.first()?.unit.clone(), it)))
        else {
            continue;
        };
        if record.let_go && !added(&own) {
            held.retain(|unit| *unit != entry.name && *unit != own);
        } else if added(&own) || masked(&own) {
            held.push(entry.name);
        }
    }
    held.sort();
    held.dedup();
    held.truncate(most);
    held
}

/// Which of these units, that are held, the host did not have.
pub fn absent(root: &Root, held: &[String]) -> Vec<String> {
    let noted = |unit: &&String| {
        let text = root.text(&format!("{STATE}/{RECORDS}/{unit}"), RECORD_BYTES_MAX);
        let record = text.ok().and_then(|text| serde_json::from_str::<Record>(&text).ok());
        record.is_some_and(|record| record.absent && !record.let_go)
    };
    held.iter().filter(noted).cloned().collect()
}

impl Record {
    /// Whether anything of it is held, by us.
    fn holds(&self) -> bool {
        self.units.iter().any(|before| {
            addition(&before.unit).exists() || (!before.others && is_masked(&before.unit))
        })
    }
}

/// What the service manager says of a unit.
struct Said(BTreeMap<String, String>);

impl Said {
    fn of(unit: &str) -> Result<Self, Failure> {
        let properties = "--property=Id,Names,LoadState,ActiveState,Type,Accept,FragmentPath,Triggers,TriggeredBy,DropInPaths";
        let said = tool::ask("systemctl", &["show", properties, "--", &known_as(unit)])?;
        if !said.success {
            let message = format!("systemctl show {unit}: {}", said.output.trim());
            return Err(Failure::before(ErrorClass::Unit, message));
        }
        let pairs = said.output.lines().filter_map(|line| line.split_once('='));
        Ok(Self(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()))
    }

    fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", |value| value.trim())
    }

    fn words(&self, key: &str) -> impl Iterator<Item = &str> {
        self.get(key).split_whitespace()
    }

    fn rests(&self) -> bool {
        matches!(self.get("ActiveState"), "inactive" | "failed")
    }

    /// Whether it is to run again when it is let go: the job of a one-shot that was at it is not done again.
    fn runs(&self) -> bool {
        match self.get("ActiveState") {
            "active" | "reloading" => true,
            "activating" => self.get("Type") != "oneshot",
            _ => false,
        }
    }
}

/// What is to be held for a unit, and what it is now.
fn before(unit: &str, records: &BTreeMap<String, Record>) -> Result<Record, Failure> {
    let said = Said::of(unit)?;
    let mut own = said.get("Id").to_owned();
    if is_template(unit) {
        own = own.replacen(&format!("@{INSTANCE}."), "@.", 1);
    }
    let mut names = vec![own.clone()];
    let triggers = said.words("TriggeredBy").map(str::to_owned);
    names.extend(triggers.chain(listener(&own)?).filter(|name| is_unit(name) && *name != own));
    let mut units = Vec::new();
    for name in names {
        // What another unit had it held for has noted how it was.
        let noted = records.values().filter(|record| !record.let_go && record.holds());
        let noted = noted.flat_map(|record| &record.units).find(|before| before.unit == name);
        units.push(match noted {
            Some(before) => before.clone(),
            None => Before { ran: running(&name)?, others: is_masked(&name), unit: name },
        });
    }
    let absent = said.get("LoadState") == "not-found";
    Ok(Record { units, let_go: false, absent })
}

/// The socket that starts an instance of a template for each who connects. Of a template it is not told.
fn listener(unit: &str) -> Result<Option<String>, Failure> {
    let Some(name) = unit.strip_suffix("@.service") else { return Ok(None) };
    let socket = format!("{name}.socket");
    let accepts = Said::of(&socket)?.get("Accept") == "yes";
    Ok(accepts.then_some(socket))
}

fn running(unit: &str) -> Result<Vec<String>, Failure> {
    if !is_template(unit) {
        let runs = Said::of(unit)?.runs();
        return Ok(runs.then(|| unit.to_owned()).into_iter().collect());
    }
    let words =
        ["list-units", "--plain", "--no-legend", "--state=active,reloading,activating", "--"];
    let said = tool::ask("systemctl", &[&words[..], &[&all_of(unit)]].concat())?;
    let names = said.output.lines().filter_map(|line| line.split_whitespace().next());
    Ok(names.map(str::to_owned).collect())
}

/// Has the service manager's files say that a unit is not to be started.
fn put(unit: &str) -> Result<(), Failure> {
    let said = Said::of(unit)?;
    let place = Path::new("/").join(UNITS).join(unit);
    let taken = place.symlink_metadata().is_ok() && !is_masked(unit);
    let above = ABOVE.iter().any(|folder| said.get("FragmentPath").starts_with(folder));
    if !taken && !above && said.words("Names").count() < 2 {
        return call(&["mask", "--", unit]);
    }
    log(format!("{unit} is held by an addition: a mask has no place, or does not cover it"));
    let path = addition(unit);
    let folder = path.parent().unwrap_or(&path);
    fs::create_dir_all(folder).map_err(|error| unwritten(folder, &error))?;
    write_whole(folder, ADDITION, REFUSAL.as_bytes(), 0o644)
        .map_err(|error| unwritten(&path, &error))
}

fn stop(unit: &str) -> Result<(), Failure> {
    if is_template(unit) {
        return call(&["stop", "--", &all_of(unit)]);
    }
    if Said::of(unit)?.rests() { Ok(()) } else { call(&["stop", "--", unit]) }
}

/// Fails where the service manager would start a unit, or has it running still.
fn holds_by_its_manager(unit: &str) -> Result<(), Failure> {
    let said = Said::of(unit)?;
    let refuses = said.words("DropInPaths").any(|path| Path::new(path) == addition(unit));
    let runs = running(unit)?;
    let wrong = if !refuses && said.get("LoadState") != "masked" {
        format!("the service manager would start {unit}: it is {}", said.get("LoadState"))
    } else if let Some(unit) = runs.first() {
        format!("{unit} runs though it was stopped")
    } else {
        return Ok(());
    };
    Err(Failure::after(ErrorClass::Unit, wrong))
}

/// What keeps a socket from being opened again: its service, where that was let go before it and runs. It starts anew after it.
fn in_the_way(before: &Before) -> Result<Vec<String>, Failure> {
    if !before.unit.ends_with(".socket") || before.ran.is_empty() {
        return Ok(Vec::new());
    }
    let said = Said::of(&before.unit)?;
    let mut services = Vec::new();
    for service in said.words("Triggers").filter(|_| said.rests() && said.get("Accept") != "yes") {
        if Said::of(service)?.runs() {
            services.push(service.to_owned());
        }
    }
    Ok(services)
}

/// Takes the addition away, and its folder where nothing else is in it.
fn take_away(unit: &str) -> Result<(), Failure> {
    let path = addition(unit);
    match fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unwritten(&path, &error)),
    }
    // One that is not empty has additions of others.
    let _ = path.parent().map(fs::remove_dir);
    Ok(())
}

/// What an agent did that noted nothing.
fn unmask(unit: &str) -> Result<(), Failure> {
    call(&["unmask", "--", unit])?;
    if tool::ask("systemctl", &["is-enabled", "--quiet", "--", unit])?.success {
        call(&["start", "--", unit])?;
        stays_up(unit)?;
    }
    Ok(())
}

fn is_template(unit: &str) -> bool {
    unit.contains("@.")
}

/// The name under which the service manager can be asked of a unit.
fn known_as(unit: &str) -> String {
    unit.replacen("@.", &format!("@{INSTANCE}."), 1)
}

/// A pattern for all instances of a template; what escapes in a name would escape in the pattern.
fn all_of(template: &str) -> String {
    template.replace('\\', "\\\\").replacen("@.", "@*.", 1)
}

fn is_masked(unit: &str) -> bool {
    let place = Path::new("/").join(UNITS).join(unit);
    fs::read_link(place).is_ok_and(|to| to == Path::new("/dev/null"))
}

fn addition(unit: &str) -> PathBuf {
    Path::new("/").join(UNITS).join(format!("{unit}.d")).join(ADDITION)
}

/// What was noted and can be read, by the unit that was ordered.
fn records() -> BTreeMap<String, Record> {
    let entries = fs::read_dir(Path::new("/").join(STATE).join(RECORDS)).into_iter().flatten();
    let read = |entry: fs::DirEntry| {
        let record = serde_json::from_slice(&fs::read(entry.path()).ok()?).ok()?;
        Some((entry.file_name().into_string().ok()?, record))
    };
    entries.flatten().filter_map(read).collect()
}

fn note(unit: &str, record: &Record) -> Result<(), Failure> {
    let folder = Path::new("/").join(STATE).join(RECORDS);
    let text = serde_json::to_vec(record).unwrap_or_default();
    fs::create_dir_all(&folder)
        .and_then(|()| write_whole(&folder, unit, &text, 0o600))
        .map_err(|error| unwritten(&folder.join(unit), &error))
}

fn forget(unit: &str) -> Result<(), Failure> {
    let path = Path::new("/").join(STATE).join(RECORDS).join(unit);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritten(&path, &error)),
        _ => Ok(()),
    }
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    let message = format!("{} cannot be written ({error})", path.display());
    Failure::after(super::class_of(error), message)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_held_is_told_by_its_own_name_and_by_the_ordered_one() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let units = root.join(UNITS);
        let records = root.join(STATE).join(RECORDS);
        fs::create_dir_all(units.join("ssh.service.d")).unwrap();
        fs::create_dir_all(units.join("web.service.d")).unwrap();
        fs::create_dir_all(&records).unwrap();
        for masked in ["cron.service", "mail.service", "left.service"] {
            symlink("/dev/null", units.join(masked)).unwrap();
        }
        symlink("/lib/systemd/system/ssh.service", units.join("sshd.service")).unwrap();
        fs::write(units.join("ssh.service.d").join(ADDITION), REFUSAL).unwrap();
        fs::write(units.join("web.service.d/limits.conf"), "[Service]\n").unwrap();
        let record = |ordered: &str, unit: &str, let_go: bool| {
            let before = Before { unit: unit.to_owned(), ran: Vec::new(), others: let_go };
            let record = Record { units: vec![before], let_go, absent: unit == "ssh.service" };
            fs::write(records.join(ordered), serde_json::to_vec(&record).unwrap()).unwrap();
        };
        record("sshd.service", "ssh.service", false);
        record("web.service", "web.service", false);
        record("left.service", "left.service", true);
        let root = Root::open(root).unwrap();

        let held = ["cron.service", "mail.service", "ssh.service", "sshd.service"];
        assert_eq!(in_force(&root, 64), held);
        assert_eq!(absent(&root, &held.map(str::to_owned)), ["sshd.service"]);
    }

    #[test]
    fn a_template_is_asked_of_by_an_instance_and_stopped_by_a_pattern_of_its_name_alone() {
        assert!(is_template("getty@.service") && !is_template("getty@tty1.service"));
        assert_eq!(known_as("getty@.service"), "getty@hozen.service");
        assert_eq!(known_as("getty@tty1.service"), "getty@tty1.service");
        assert_eq!(all_of("a\\x2db@.service"), "a\\\\x2db@*.service");
    }
}
