//! A transaction of packages, done or undone by the host's package manager.
//!
//! What is compared with what is the same for every package manager; how a part is done is its own. Invariant: nothing is installed before what the package manager would do is seen to be exactly what is left of the approved transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use hozen_advisory::package::Change;
use hozen_api::job::ErrorClass;

use super::{
    Failure,
    apk::Apk,
    apt::Apt,
    class_of, compare,
    dnf::Dnf,
    executor::{Executor, Task, Way},
    log, room, rpm, services,
    tool::Said,
    units,
    zypper::Zypper,
};
use crate::{
    begun,
    consequences::units_of,
    live::processes,
    package::{Archive, Step, Unfinished},
    protected::{self, Kept},
    root::Root,
    system::{ArchiveKey, System},
    unread::Unread,
};

/// The note of a work that names the units of packages that go.
const UNITS: &str = "units";

/// A package manager at work on its own host. Its signature check is never switched off, and nobody is there to answer its questions.
pub trait PackageManager {
    /// Waits until nobody else uses it.
    fn take(&mut self) -> Result<(), Failure>;
    /// Finishes or takes back what an earlier run, of ours or of anybody, has left half done. From then until it is dropped, what it
    /// installs restarts no service.
    fn repair(&mut self) -> Result<(), Failure>;
    /// Fetches the indices; a repository that is silent, unsigned or wrong fails.
    fn refresh(&mut self) -> Result<(), Failure>;
    /// What it would do to come to exactly these versions.
    fn simulate(&mut self, what: &Outstanding) -> Result<Vec<Step>, Failure>;
    /// Fetches the archives and has their hashes checked.
    fn download(&mut self, what: &Outstanding) -> Result<(), Failure>;
    /// Whether archives are kept until they are installed, and how fast they are fetched can be limited.
    fn fetches_ahead(&self) -> bool {
        false
    }
    /// Installs what was simulated and downloaded; gives the configuration files that were kept as an administrator has them.
    fn install(&mut self, what: &Outstanding) -> Result<Vec<String>, Failure>;
    /// Whether its own database is in order.
    fn audit(&mut self) -> Result<(), Failure>;
}

/// The host as it is now.
#[derive(Debug)]
pub struct Host {
    /// Its root.
    pub root: Root,
    /// What is installed and offered.
    pub system: System,
    /// Packages of which only a part may be on disk.
    pub unfinished: Vec<Unfinished>,
}

/// What of a transaction is still to be done on the host as it is.
#[derive(Debug)]
pub struct Outstanding {
    /// The host.
    pub host: Host,
    /// What is left.
    pub changes: Vec<Change>,
    /// Archives that are offered for the packages.
    pub archives: BTreeMap<ArchiveKey, Archive>,
}

impl Host {
    /// Reads the host that this process runs on.
    pub fn read() -> Result<Self, Failure> {
        let root = root()?;
        let system = System::read(&root, None, &mut Unread::default());
        let unfinished = system.unfinished(&root);
        Ok(Self { root, system, unfinished })
    }

    /// What of these changes is left to be done.
    pub fn outstanding(self, wanted: &[Change]) -> Result<Outstanding, Failure> {
        let side_by_side = matches!(self.system, System::Rpm(_));
        let present = compare::Present {
            packages: self.system.packages(),
            unfinished: &self.unfinished,
            side_by_side,
        };
        let changes = compare::outstanding(wanted, &present)
            .map_err(|difference| Failure::before(ErrorClass::Difference, difference))?;
        let names: BTreeSet<&str> = changes.iter().map(|change| change.name.as_str()).collect();
        let archives = self.system.archives(&self.root, &names, &mut Unread::default());
        Ok(Outstanding { host: self, changes, archives })
    }
}

impl Outstanding {
    /// Whether an archive of this change is offered.
    pub fn offers(&self, change: &Change) -> bool {
        let key = self.host.system.archive_key(&change.name, &change.arch, &change.to);
        self.archives.contains_key(&key)
    }

    /// Whether a part of this package may be on disk already.
    pub fn has_begun(&self, change: &Change) -> bool {
        self.host.unfinished.iter().any(|of| compare::is_of(&of.name, &of.arch, change))
    }

    /// Whether a version goes down. Of what is approved, line by line, that is what the plan is for: back, or down to a pin.
    pub fn goes_down(&self) -> bool {
        let kind = self.host.system.kind();
        kind.is_some_and(|(_, scheme)| compare::goes_down(&self.changes, scheme))
    }

    /// Names what is about to be installed, so that a killed installation is known as one where the package manager keeps no such state.
    pub fn begin(&self) -> Result<(), Failure> {
        begun::add(&self.changes).map_err(|error| unwritten(&error))
    }

    /// The installation has come to its end: it is no longer named, and the service manager, which was not spoken to meanwhile, reads its
    /// units anew.
    pub fn end(&self) -> Result<(), Failure> {
        begun::remove(&self.changes).map_err(|error| unwritten(&error))?;
        services::read_units_anew()
    }

    /// The installation has ended with an error. What the package manager never came to, or has brought to its end without a complaint, is
    /// no longer named; the rest is, until somebody installs it anew.
    pub fn fail(&self, said: &Said) -> Result<(), Failure> {
        if said.code.is_none() {
            // It was killed, and nothing says how far it came.
            return Ok(());
        }
        let host = Host::read().map_err(|failure| Failure { touched: true, ..failure })?;
        let over = self.changes.iter().filter(|change| {
            compare::is_whole(change, host.system.packages())
                && !self.has_begun(change)
                && !rpm::complains_of(&said.output, &change.name)
        });
        begun::remove(over)
            .and_then(|()| begun::settle(host.system.packages(), &[]))
            .map_err(|error| Failure { touched: true, ..unwritten(&error) })
    }

    /// Refuses where the steps are not exactly what is left.
    fn compare(&self, steps: &[Step]) -> Result<(), Failure> {
        let key = |name: &str, arch: &str, version: &str| {
            self.host.system.archive_key(name, arch, version)
        };
        let unfinished = &self.host.unfinished;
        match compare::difference(&self.changes, steps, unfinished, &self.archives, key) {
            Some(difference) => Err(Failure::before(ErrorClass::Difference, difference)),
            None => Ok(()),
        }
    }

    /// Refuses where what must stay would go, whoever agreed to it: the host may be another than when it was planned, and boots another
    /// kernel. A package that only makes room for one that comes is no loss.
    fn may_go(&self, steps: &[Step]) -> Result<(), Failure> {
        let goes = self.changes.iter().any(Change::removes);
        if !goes || self.changes.iter().any(Change::is_new) {
            return Ok(());
        }
        let Host { root, system, .. } = &self.host;
        let processes = processes::read(root, &mut Unread::default());
        let kept = protected::kept(root, system, steps, Some(&processes));
        match kept.first() {
            None => Ok(()),
            Some(Kept { name, why }) => {
                let message = format!("{name} must stay: {why}");
                Err(Failure::before(ErrorClass::Unsupported, message))
            }
        }
    }

    /// A refusal of the package manager, and what is offered instead of what it misses: it names the latter alone.
    fn explained(&self, failure: Failure) -> Failure {
        let lists_offers = match self.host.system {
            System::Dpkg { .. } | System::Rpm(_) => true,
            System::Apk(_) | System::None => false,
        };
        if failure.class != ErrorClass::Difference || !lists_offers {
            return failure;
        }
        let scheme = self.host.system.kind().map(|(_, scheme)| scheme);
        let order = |a: &str, b: &str| {
            scheme.and_then(|scheme| scheme.compare(a, b).ok()).unwrap_or_else(|| a.cmp(b))
        };
        let key = |name: &str, arch: &str, version: &str| {
            self.host.system.archive_key(name, arch, version)
        };
        match compare::not_offered(&self.changes, &self.archives, order, key) {
            Some(offered) => {
                Failure { message: format!("{}; {offered}", failure.message), ..failure }
            }
            None => failure,
        }
    }

    /// Refuses where the disk has no room for the change.
    fn room(&self, way: Way) -> Result<(), Failure> {
        let changes = room::Changes {
            root: &self.host.root,
            system: &self.host.system,
            changes: &self.changes,
            archives: &self.archives,
        };
        room::refuse(match way {
            Way::Forth => changes.forth(),
            Way::Back => changes.back(),
        })
    }
}

/// A transaction of packages.
pub struct Packages<'a> {
    task: &'a Task<'a>,
    manager: Box<dyn PackageManager + 'a>,
    /// What was compared: this is downloaded.
    what: Option<Outstanding>,
}

impl<'a> Packages<'a> {
    /// For this task, with the host's package manager.
    pub fn new(task: &'a Task<'a>) -> Result<Self, Failure> {
        Ok(Self { task, manager: of_host(task)?, what: None })
    }
}

fn compared(what: Option<&Outstanding>) -> Result<&Outstanding, Failure> {
    what.ok_or_else(|| Failure::before(ErrorClass::System, "nothing was compared"))
}

impl Executor for Packages<'_> {
    fn take(&mut self) -> Result<(), Failure> {
        self.manager.take()
    }

    fn repair(&mut self) -> Result<(), Failure> {
        self.manager.repair()?;
        if earlier(&Host::read()?, &self.task.wanted).is_empty() {
            return Ok(());
        }
        let outcome = self.install_anew();
        match earlier(&Host::read()?, &self.task.wanted).first() {
            None => Ok(()),
            Some(left) => Err(unfinished(left, outcome)),
        }
    }

    fn is_done(&mut self) -> Result<bool, Failure> {
        let done = Host::read()?.outstanding(&self.task.wanted)?.changes.is_empty();
        if done && self.task.ahead.is_none() {
            self.end_units()?;
        }
        Ok(done)
    }

    fn refresh(&mut self) -> Result<(), Failure> {
        self.manager.refresh()
    }

    fn compare(&mut self) -> Result<(), Failure> {
        let what = self.look()?;
        what.room(self.task.way)?;
        self.what = Some(what);
        Ok(())
    }

    fn download(&mut self) -> Result<(), Failure> {
        self.manager.download(compared(self.what.as_ref())?)
    }

    fn fetches_ahead(&self) -> bool {
        self.manager.fetches_ahead()
    }

    /// While it was downloaded nobody was locked out: what is about to be done is looked at once more.
    fn install(&mut self) -> Result<Vec<String>, Failure> {
        let what = self.look()?;
        self.note_units(&what)?;
        let kept = self.manager.install(&what)?;
        self.end_units()?;
        Ok(kept)
    }

    fn check(&mut self) -> Result<(), Failure> {
        let undone = Host::read()?
            .outstanding(&self.task.wanted)
            .map_err(|failure| Failure { touched: true, ..failure })?;
        if let Some(change) = undone.changes.last() {
            let message = format!("{} did not become {}", change.name, change.to);
            return Err(Failure::after(ErrorClass::Install, message));
        }
        self.manager.audit()
    }

    fn goal(&self) -> String {
        format!("{} packages have their approved versions", self.task.wanted.len())
    }
}

impl Packages<'_> {
    /// What is left to be done; an error where the package manager would do anything else.
    fn look(&mut self) -> Result<Outstanding, Failure> {
        let what = Host::read()?.outstanding(&self.task.wanted)?;
        let steps = self.manager.simulate(&what).map_err(|failure| what.explained(failure))?;
        what.compare(&steps)?;
        if self.task.way == Way::Forth {
            what.may_go(&steps)?;
        }
        Ok(what)
    }

    /// Names the units of what is about to go: they end with it, and who is killed in between has to know them.
    fn note_units(&self, what: &Outstanding) -> Result<(), Failure> {
        let going = what.changes.iter().filter(|change| change.removes());
        let going = going.map(|change| (change.name.as_str(), change.arch.as_str())).collect();
        let files = what.host.system.files(&what.host.root, &going).into_values().flatten();
        let mut units = units_of(files);
        let earlier = self.task.folder.note(UNITS)?.unwrap_or_default();
        units.extend(earlier.lines().map(str::to_owned));
        if units.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = units.into_iter().collect();
        Ok(self.task.folder.put_note(UNITS, &lines.join("\n"))?)
    }

    /// Ends what packages that are gone have left running: while they went, services were held.
    fn end_units(&self) -> Result<(), Failure> {
        let Some(note) = self.task.folder.note(UNITS)? else { return Ok(()) };
        let noted: Vec<&str> = note.lines().collect();
        units::end(&noted)
    }

    /// Installs what an earlier change has left unfinished anew, in the version that is there: no other package changes by it, nor a version.
    fn install_anew(&mut self) -> Result<(), Failure> {
        let host = Host::read()?;
        begun::settle(host.system.packages(), &self.task.wanted)
            .map_err(|error| unwritten(&error))?;
        let packages = host.system.packages();
        let of = |left: &Unfinished| {
            let found = packages.iter().find(|of| of.name == left.name && of.arch == left.arch)?;
            Some(Change {
                name: found.name.as_str().into(),
                arch: found.arch.as_str().into(),
                from: found.version.as_str().into(),
                to: found.version.as_str().into(),
                archive: "-".into(),
            })
        };
        let changes: Vec<Change> =
            earlier(&host, &self.task.wanted).into_iter().filter_map(of).collect();
        if changes.is_empty() {
            return Ok(());
        }
        for Change { name, to, .. } in &changes {
            log(format!("{name} {to} was begun by an earlier change and is installed anew"));
        }
        let what = Outstanding { host, changes, archives: BTreeMap::new() };
        let steps = self.manager.simulate(&what)?;
        what.compare(&steps)?;
        self.manager.download(&what)?;
        self.manager.install(&what).map(|_| ())
    }
}

/// What a change that is not this one has left unfinished, where the package manager does not know of it itself.
fn earlier<'h>(host: &'h Host, wanted: &[Change]) -> Vec<&'h Unfinished> {
    let knows = matches!(host.system, System::Dpkg { .. } | System::None);
    let is_wanted =
        |of: &Unfinished| wanted.iter().any(|change| compare::is_of(&of.name, &of.arch, change));
    host.unfinished.iter().filter(|of| !knows && !is_wanted(of)).collect()
}

/// Nothing is installed over it: no scan would prove that, and what is good would be taken back.
fn unfinished(of: &Unfinished, outcome: Result<(), Failure>) -> Failure {
    let Unfinished { name, arch, .. } = of;
    let why = outcome.err().map_or_else(String::new, |failure| format!(" ({failure})"));
    let message = format!(
        "an earlier change has begun {name}:{arch} and not brought it to its end, and it could not be installed anew{why}; \
         reinstall it, or take its line out of /{}",
        begun::FILE
    );
    Failure::before(ErrorClass::Broken, message)
}

/// The root of the host that this process runs on.
pub fn root() -> Result<Root, Failure> {
    Root::open(Path::new("/"))
        .map_err(|error| Failure::before(ErrorClass::System, format!("the root {error}")))
}

/// The package manager of this host.
fn of_host<'a>(task: &'a Task<'a>) -> Result<Box<dyn PackageManager + 'a>, Failure> {
    Ok(match Host::read()?.system {
        System::Dpkg { .. } => Box::new(Apt::new(task)),
        System::Rpm(rpm) if rpm.repos.zypper => Box::new(Zypper::new(task)),
        System::Rpm(_) => Box::new(Dnf::new(task)?),
        System::Apk(_) => Box::new(Apk::new(task)),
        System::None => {
            let message = "the host has no package manager of apt, dnf, zypper and apk";
            return Err(Failure::before(ErrorClass::Unsupported, message));
        }
    })
}

fn unwritten(error: &std::io::Error) -> Failure {
    let message = format!("what is being installed could not be written down ({error})");
    Failure::before(class_of(error), message)
}
