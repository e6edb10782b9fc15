//! Packages changed with dnf: with the host's own library, in the interpreter that the host's dnf runs in.
//!
//! dnf5 is another program and has no such library; it is refused by name.

use std::{collections::BTreeSet, ffi::OsString, fs::File, time::Duration};

use hozen_api::job::ErrorClass;
use serde_json::json;

use super::{
    Failure,
    executor::{Task, Way},
    limit,
    packages::{Outstanding, PackageManager},
    rpm, services,
    tool::{self, Call, Said},
    wished,
};
use crate::{
    package::Step,
    rpm::{python, resolve::steps},
};

/// The program that speaks with dnf's library.
const PROGRAM: &str = include_str!("dnf.py");
const PROGRAM_FILE: &str = "dnf.py";
const PLAN_FILE: &str = "dnf.json";
/// How long one refresh of the metadata, or one look for a way, may take.
const THINK_MAX: Duration = Duration::from_mins(10);

/// dnf on its host.
#[derive(Debug)]
pub struct Dnf<'a> {
    task: &'a Task<'a>,
    interpreter: String,
    /// What it said that it would do; it has to say the same again before it does it.
    expected: Vec<String>,
}

impl<'a> Dnf<'a> {
    /// For this task; an error where the host's dnf is none that is known here.
    pub fn new(task: &'a Task<'a>) -> Result<Self, Failure> {
        let named = |dnf| python::named(File::open(dnf).ok()?);
        let interpreter = python::DNF.into_iter().find_map(named).ok_or_else(|| {
            let message = "the host has neither zypper nor a dnf that is written in Python \
                           (dnf5 is not supported yet)";
            Failure::before(ErrorClass::Unsupported, message)
        })?;
        Ok(Self { task, interpreter, expected: Vec::new() })
    }

    fn plan(&self, what: &Outstanding) -> Result<String, Failure> {
        let wished = match self.task.way {
            Way::Forth => BTreeSet::new(),
            Way::Back => wished::noted(self.task.folder)?,
        };
        let changes = what.changes.iter().map(|change| {
            let kept = (!what.offers(change)).then(|| {
                what.host.system.kept(&what.host.root, &change.name, &change.arch, &change.to)
            });
            json!({
                "name": change.name,
                "arch": change.arch,
                "from": change.from,
                "to": change.to,
                "wished": wished.contains(&format!("{}:{}", change.name, change.arch)),
                "file": kept.flatten().filter(|_| self.task.way == Way::Back),
            })
        });
        let changes: Vec<_> = changes.collect();
        Ok(json!({"changes": changes, "expected": self.expected}).to_string())
    }

    fn call(&self, verb: &str, plan: &str, limit: Duration) -> Result<Said, Failure> {
        let folder = self.task.folder;
        folder.put_note(PROGRAM_FILE, PROGRAM)?;
        folder.put_note(PLAN_FILE, plan)?;
        let at = |name: &str| folder.path().join(name).into_os_string();
        let call = Call {
            program: self.interpreter.clone().into(),
            // Isolated: neither the user's nor the working folder's modules are looked at.
            arguments: vec![OsString::from("-I"), at(PROGRAM_FILE), verb.into(), at(PLAN_FILE)],
            environment: &[services::OFFLINE],
        };
        tool::run(folder, &call, limit)
    }
}

/// What goes, as `name:arch`, and whether somebody asked for it: `= name arch user`, and any other word for what came along.
fn going(output: &str) -> impl Iterator<Item = (String, bool)> {
    let words = output.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    words.filter_map(|words| match words.as_slice() {
        ["=", name, arch, reason] => Some((format!("{name}:{arch}"), *reason == "user")),
        _ => None,
    })
}

impl PackageManager for Dnf<'_> {
    fn take(&mut self) -> Result<(), Failure> {
        rpm::take(self.task)
    }

    fn repair(&mut self) -> Result<(), Failure> {
        rpm::repair(self.task)
    }

    fn refresh(&mut self) -> Result<(), Failure> {
        let said = self.call("refresh", "{}", THINK_MAX)?;
        if said.success {
            return Ok(());
        }
        let complaint = rpm::complaint("dnf", &said.output);
        Err(Failure::before(rpm::class_of(&said.output), complaint))
    }

    fn simulate(&mut self, what: &Outstanding) -> Result<Vec<Step>, Failure> {
        let said = self.call("simulate", &self.plan(what)?, THINK_MAX)?;
        if !said.success {
            let complaint = rpm::complaint("dnf", &said.output);
            return Err(Failure::before(ErrorClass::Difference, complaint));
        }
        let lines = said.output.lines().filter(|line| line.starts_with(['+', '-']));
        self.expected = lines.map(str::to_owned).collect();
        wished::note(self.task.folder, going(&said.output))?;
        Ok(steps(&said.output))
    }

    fn download(&mut self, what: &Outstanding) -> Result<(), Failure> {
        let said = self.call("download", &self.plan(what)?, limit(self.task.deadline))?;
        if said.success {
            return Ok(());
        }
        let complaint = rpm::complaint("dnf", &said.output);
        Err(Failure::before(rpm::class_of(&said.output), complaint))
    }

    fn install(&mut self, what: &Outstanding) -> Result<Vec<String>, Failure> {
        what.begin()?;
        let said = self.call("install", &self.plan(what)?, limit(self.task.deadline))?;
        if !said.success {
            what.fail(&said)?;
            let complaint = rpm::complaint("dnf", &said.output);
            return Err(Failure::after(ErrorClass::Install, complaint));
        }
        what.end()?;
        Ok(rpm::kept(&said.output))
    }

    fn audit(&mut self) -> Result<(), Failure> {
        rpm::audit()
    }
}
