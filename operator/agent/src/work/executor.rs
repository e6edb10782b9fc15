//! Who does a transaction, and the one order in which all of them do it.
//!
//! A transaction's lines name what becomes of what. Where the architecture of a line is one of [`kind`]'s words it is no package: an image
//! of an image-based host, a machine that is replaced, or a script for everything else. The contract is the same: what is done already is left alone, what would differ
//! from what was approved is refused with the difference before anything is changed, and what was killed is repaired first.

use hozen_advisory::package::Change;
use hozen_api::job::{ErrorClass, kind};
use jiff::Timestamp;

use super::{
    Course, Failure, Success, compare, folder::Folder, log, may_install, order::Assignment,
    ostree::Ostree, packages::Packages, rauc::Rauc, replace::Replace, script::Script,
};
use crate::clock;

/// Whether a transaction is done or undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What was approved comes.
    Forth,
    /// What was before comes back, as the plan has for a failure.
    Back,
}

/// What is to be done.
#[derive(Debug)]
pub struct Task<'a> {
    /// Folder of the work.
    pub folder: &'a Folder,
    /// Whether it is done or undone.
    pub way: Way,
    /// The whole transaction, in the direction of the way.
    pub wanted: Vec<Change>,
    /// Whether all of it is only fetched, before its time.
    pub ahead: Option<Ahead>,
    /// When nothing new is begun any more.
    pub deadline: Timestamp,
}

/// How something is fetched before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// Most bytes a second.
    pub bytes_per_second: Option<u64>,
}

/// Does one kind of transaction on the host. The parts are called in this order, each once.
pub trait Executor {
    /// Waits until nobody else changes what this changes; it changes nothing itself.
    fn take(&mut self) -> Result<(), Failure>;
    /// Finishes or takes back what an earlier run has left half done.
    fn repair(&mut self) -> Result<(), Failure>;
    /// Whether there is nothing left to do; a host that is neither before nor after is a difference.
    fn is_done(&mut self) -> Result<bool, Failure>;
    /// Learns anew what is offered; what is not genuine fails.
    fn refresh(&mut self) -> Result<(), Failure>;
    /// Refuses where what would be done is not exactly what was approved.
    fn compare(&mut self) -> Result<(), Failure>;
    /// Fetches what is to be installed; nothing on the host is changed by it.
    fn download(&mut self) -> Result<(), Failure>;
    /// Whether what is fetched is kept for a later change, and how fast it is fetched can be limited.
    fn fetches_ahead(&self) -> bool {
        false
    }
    /// Does it; gives the configuration files that were kept as an administrator has them.
    fn install(&mut self) -> Result<Vec<String>, Failure>;
    /// Looks whether it is done and nothing is broken.
    fn check(&mut self) -> Result<(), Failure>;
    /// What is so when it is done, in words.
    fn goal(&self) -> String;
}

/// Does or undoes the transaction of an assignment.
pub fn change(
    folder: &Folder,
    assignment: &Assignment,
    way: Way,
    course: &mut Course,
) -> Result<Success, Failure> {
    let task = task(folder, assignment, way)?;
    let mut executor = of(&task)?;
    course.part("wait", || executor.take())?;
    course.part("repair", || executor.repair())?;
    if executor.is_done()? {
        return Ok(Success::already(executor.goal()));
    }
    course.part("refresh", || executor.refresh())?;
    course.part("compare", || executor.compare())?;
    course.part("download", || executor.download())?;
    let kept = course.part("install", || {
        may_install(task.deadline, clock::now())?;
        folder.put_changes()?;
        install(&mut *executor)
    })?;
    course.part("check", || executor.check())?;
    Ok(Success { already: false, message: executor.goal(), kept })
}

/// Installs. What had to be ended is repaired at once: the next run may be long in coming.
fn install(executor: &mut dyn Executor) -> Result<Vec<String>, Failure> {
    let outcome = executor.install();
    if let Err(failure) = &outcome
        && failure.class == ErrorClass::Interrupted
        && let Err(unrepaired) = executor.repair()
    {
        log(format!("it is not repaired: {unrepaired}"));
    }
    outcome
}

/// Fetches what the transaction of an assignment needs, and has it verified. Nothing is repaired, installed or held: the host goes on as it
/// is, and whoever does the transaction later finds less to fetch. It is as exact as the change itself: what would differ is refused.
pub fn prefetch(
    folder: &Folder,
    assignment: &Assignment,
    course: &mut Course,
) -> Result<Success, Failure> {
    let ahead = Some(Ahead { bytes_per_second: assignment.order.download_bytes_per_second });
    let task = Task { ahead, ..task(folder, assignment, Way::Forth)? };
    let mut executor = of(&task)?;
    if !executor.fetches_ahead() {
        let message = "only packages of apt are fetched before their time";
        return Err(Failure::before(ErrorClass::Unsupported, message));
    }
    // Nothing was changed, however it ends.
    let untouched = |failure: Failure| Failure { touched: false, ..failure };
    course.part("wait", || executor.take())?;
    if executor.is_done()? {
        return Ok(Success::already(executor.goal()));
    }
    course.part("refresh", || executor.refresh()).map_err(untouched)?;
    course.part("compare", || executor.compare()).map_err(untouched)?;
    course.part("download", || executor.download()).map_err(untouched)?;
    Ok(Success::done("what the transaction needs is on the node, verified; nothing was installed"))
}

fn task<'a>(folder: &'a Folder, assignment: &Assignment, way: Way) -> Result<Task<'a>, Failure> {
    let Some(transaction) = &assignment.transaction else {
        return Err(Failure::before(ErrorClass::Order, "the transaction is empty"));
    };
    let wanted = match way {
        Way::Forth => transaction.changes.to_vec(),
        Way::Back => compare::reversed(transaction),
    };
    Ok(Task { folder, way, wanted, ahead: None, deadline: assignment.order.deadline })
}

/// Whose the lines are. Lines of several kinds are nobody's: they could not be done as one.
fn of<'a>(task: &'a Task<'a>) -> Result<Box<dyn Executor + 'a>, Failure> {
    let is_special = |change: &&Change| kind::ALL.contains(&change.arch.as_str());
    let (first, rest) = match task.wanted.as_slice() {
        [first, rest @ ..] if task.wanted.iter().any(|change| is_special(&change)) => (first, rest),
        _ => return Ok(Box::new(Packages::new(task)?)),
    };
    match first.arch.as_str() {
        kind::OSTREE if rest.is_empty() => Ok(Box::new(Ostree::new(task, first)?)),
        kind::RAUC if rest.is_empty() => Ok(Box::new(Rauc::new(task, first)?)),
        kind::NODE if rest.is_empty() => Ok(Box::new(Replace::new(task, first)?)),
        kind::SCRIPT if rest.is_empty() => Ok(Box::new(Script::new(task, first))),
        _ => {
            let message =
                "an image, a machine or a script is a transaction of its own, of one line";
            Err(Failure::before(ErrorClass::Order, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ends its installation so, and remembers what it was asked to do to the host.
    struct Ends(ErrorClass, Vec<&'static str>);

    impl Executor for Ends {
        fn take(&mut self) -> Result<(), Failure> {
            Ok(())
        }

        fn repair(&mut self) -> Result<(), Failure> {
            self.1.push("repair");
            Ok(())
        }

        fn is_done(&mut self) -> Result<bool, Failure> {
            Ok(false)
        }

        fn refresh(&mut self) -> Result<(), Failure> {
            Ok(())
        }

        fn compare(&mut self) -> Result<(), Failure> {
            Ok(())
        }

        fn download(&mut self) -> Result<(), Failure> {
            Ok(())
        }

        fn install(&mut self) -> Result<Vec<String>, Failure> {
            self.1.push("install");
            Err(Failure::after(self.0.clone(), "it was ended"))
        }

        fn check(&mut self) -> Result<(), Failure> {
            Ok(())
        }

        fn goal(&self) -> String {
            String::new()
        }
    }

    #[test]
    fn i43_an_installation_that_had_to_be_ended_is_repaired_before_the_answer() {
        let mut ended = Ends(ErrorClass::Interrupted, Vec::new());
        let failure = install(&mut ended).unwrap_err();
        assert_eq!(failure.class, ErrorClass::Interrupted);
        assert_eq!(ended.1, ["install", "repair"]);

        // It has ended by itself, and has done what it could.
        let mut failed = Ends(ErrorClass::Install, Vec::new());
        install(&mut failed).unwrap_err();
        assert_eq!(failed.1, ["install"]);
    }
}
