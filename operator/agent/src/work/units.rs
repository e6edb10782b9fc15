//! Units of the host's service manager: restarted, held stopped, let start again.

use std::time::Duration;

use hozen_api::job::{ErrorClass, Order};

use super::{Failure, Success, folder::Folder, held, log, ports, services, tool};
use crate::clock::{self, Moment};

/// How long a unit may take to be active again.
const START_MAX: Duration = Duration::from_mins(2);
/// How long it has to stay active to count.
const STAY: Duration = Duration::from_secs(2);
/// Kinds of units that can be restarted; scopes and slices are made by others.
const KINDS: [&str; 4] = [".service", ".socket", ".timer", ".path"];
/// Restarted last, in this order: while they are down nobody sees the node.
const LAST: [&str; 4] = ["containerd.service", "crio.service", "docker.service", "kubelet.service"];
/// The service manager itself takes its new code without ending.
const MANAGER: &str = "init.scope";

/// Restarts units, each with a look whether it stays up. What is no unit is told and left to the scan, and so is a one-shot: a restart
/// would do its job again.
///
/// Under a plan by which packages go (`removes`), what a package has left running ends.
pub fn restart(units: &[String], removes: bool) -> Result<Success, Failure> {
    manager()?;
    let mut restarted = Vec::new();
    let mut ended = Vec::new();
    let mut left = Vec::new();
    let mut one_shots = 0;
    for unit in in_order(units) {
        if unit == MANAGER {
            call(&["daemon-reexec"])?;
            restarted.push(unit);
        } else if !is_unit(unit) {
            left.push(format!("{unit} is no unit"));
        } else if is_one_shot(unit)? {
            left.push(format!("{unit} is a one-shot and runs old code until it ends"));
            one_shots += 1;
        } else if removes && is_orphan(unit)? {
            log(format!("stops {unit}, whose package is gone"));
            call(&["stop", "--", unit])?;
            ended.push(unit);
        } else {
            log(format!("restarts {unit}"));
            call(&["restart", "--", unit])?;
            stays_up(unit)?;
            restarted.push(unit);
        }
    }
    let left = left.join("; ");
    if restarted.is_empty() && ended.is_empty() && !left.is_empty() {
        let message = format!("no unit to restart: {left}");
        return if one_shots > 0 {
            Ok(Success::already(message))
        } else {
            Err(Failure::before(ErrorClass::Unit, message))
        };
    }
    let done = [("restarted", restarted), ("ended", ended)];
    let done = done.into_iter().filter(|(_, units)| !units.is_empty());
    let done = done.map(|(doing, units)| format!("{doing} {}", units.join(", ")));
    let left = Some(left).filter(|left| !left.is_empty());
    Ok(Success::done(done.chain(left).collect::<Vec<_>>().join("; ")))
}

/// Ends what runs of these units, and of those that are made from them, where their files went with their package. What an administrator
/// has described anew stays.
pub fn end(units: &[&str]) -> Result<(), Failure> {
    if manager().is_err() {
        return Ok(());
    }
    services::read_units_anew()?;
    let mut running = Vec::new();
    for unit in units.iter().filter(|unit| is_unit(unit)) {
        match unit.split_once("@.") {
            Some((name, kind)) => running.extend(made_from(name, kind)?),
            None => running.push((*unit).to_owned()),
        }
    }
    // What begins a service goes before it.
    running.sort_by_key(|unit| unit.ends_with(".service"));
    for unit in &running {
        if is_orphan(unit)? {
            log(format!("stops {unit}, whose package is gone"));
            call(&["stop", "--", unit])?;
        }
    }
    Ok(())
}

/// Units that the service manager has made from `name@.kind`.
fn made_from(name: &str, kind: &str) -> Result<Vec<String>, Failure> {
    let pattern = format!("{name}@*.{kind}");
    let words = ["list-units", "--all", "--plain", "--full", "--no-legend", "--", &pattern];
    let said = tool::ask("systemctl", &words)?;
    let units = said.output.lines().filter_map(|line| line.split_whitespace().next());
    Ok(units.filter(|unit| is_unit(unit)).map(str::to_owned).collect())
}

/// Whether a unit runs that no file describes any more. A package that goes may mask it, too.
fn is_orphan(unit: &str) -> Result<bool, Failure> {
    let words = ["show", "--property=LoadState", "--property=ActiveState", "--", unit];
    let said = tool::ask("systemctl", &words)?.output;
    let is = |state: &str| said.lines().any(|line| line == state);
    let described = is("LoadState=loaded");
    Ok(!described && !is("ActiveState=inactive") && !is("ActiveState=failed"))
}

fn is_one_shot(unit: &str) -> Result<bool, Failure> {
    let said = tool::ask("systemctl", &["show", "--property=Type", "--value", "--", unit])?;
    Ok(said.output.trim() == "oneshot")
}

/// Holds units stopped, so that nothing starts them, and blocks ports. What this host cannot do is refused before the first change, by name: a step of several is
/// never done without the others.
pub fn mitigate(folder: &Folder, order: &Order) -> Result<Success, Failure> {
    manager()?;
    check(order)?;
    ports::can_block(&order.ports)?;
    let to_hold = held::look(&order.units, order.ports.is_empty())?;
    folder.put_changes()?;
    held::hold(&to_hold)?;
    if !order.ports.is_empty() {
        ports::block(&order.ports).map_err(|failure| Failure { touched: true, ..failure })?;
    }
    let mut done = told([("holds stopped", &order.units), ("blocked", &order.ports)]);
    if let Some(absent) = to_hold.absence() {
        done = format!("{done}; {absent}");
    }
    Ok(Success::done(done))
}

/// Lets units go, of which those start that ran before; opens ports again.
pub fn lift(order: &Order) -> Result<Success, Failure> {
    manager()?;
    check(order)?;
    if !order.ports.is_empty() {
        ports::open(&order.ports)?;
    }
    held::let_go(&order.units)?;
    Ok(Success::done(told([("let go", &order.units), ("opened", &order.ports)])))
}

/// What was done, in words; nothing of what there was none.
fn told(done: [(&str, &[String]); 2]) -> String {
    let some = done.into_iter().filter(|(_, what)| !what.is_empty());
    let parts: Vec<String> =
        some.map(|(doing, what)| format!("{doing} {}", what.join(", "))).collect();
    if parts.is_empty() { "nothing was ordered".to_owned() } else { parts.join("; ") }
}

/// Refuses a host without systemd.
pub(super) fn manager() -> Result<(), Failure> {
    if std::path::Path::new("/run/systemd/system").exists() {
        return Ok(());
    }
    Err(Failure::before(ErrorClass::Unsupported, "the host's service manager is not systemd"))
}

fn check(order: &Order) -> Result<(), Failure> {
    match order.units.iter().find(|unit| !is_unit(unit)) {
        Some(unit) => {
            Err(Failure::before(ErrorClass::Order, format!("{unit} is no name of a unit")))
        }
        None => Ok(()),
    }
}

fn in_order(units: &[String]) -> Vec<&str> {
    let place = |unit: &str| LAST.iter().position(|last| *last == unit).map_or(0, |at| at + 1);
    let mut units: Vec<&str> = units.iter().map(String::as_str).collect();
    units.sort_by_key(|unit| place(unit));
    units
}

pub(super) fn is_unit(unit: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    unit.len() <= 256
        && !unit.starts_with(['-', '.'])
        // What people run ends with their sessions.
        && !unit.starts_with("user@")
        && unit.bytes().all(plain)
        && KINDS.iter().any(|kind| unit.ends_with(kind))
}

pub(super) fn call(arguments: &[&str]) -> Result<(), Failure> {
    let said = tool::ask("systemctl", arguments)?;
    if said.success {
        return Ok(());
    }
    let message = format!("systemctl {}: {}", arguments.join(" "), said.output.trim());
    Err(Failure::after(ErrorClass::Unit, message))
}

/// A unit that ends by design (a one-shot) is inactive and well.
pub(super) fn stays_up(unit: &str) -> Result<(), Failure> {
    let start = Moment::now();
    let mut since: Option<Moment> = None;
    loop {
        let state = tool::ask("systemctl", &["is-active", "--", unit])?.output;
        match state.trim() {
            "active" => {
                if since.get_or_insert_with(Moment::now).elapsed() >= STAY {
                    return Ok(());
                }
            }
            "inactive" => return Ok(()),
            state => {
                since = None;
                if state == "failed" || start.elapsed() >= START_MAX {
                    let message = format!("{unit} is {state} after its restart");
                    return Err(Failure::after(ErrorClass::Unit, message));
                }
            }
        }
        clock::pause();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_or_a_path_is_no_unit_and_the_runtime_restarts_last() {
        for word in ["--force.service", "../x.service", "a b.service", "session-1.scope", "nginx"] {
            assert!(!is_unit(word), "{word}");
        }
        assert!(is_unit("nginx.service") && is_unit("getty@tty1.service"));
        let units = ["kubelet.service", "nginx.service", "containerd.service"].map(str::to_owned);
        assert_eq!(in_order(&units), ["nginx.service", "containerd.service", "kubelet.service"]);
    }
}
