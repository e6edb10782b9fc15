//! The work of one Job on its host: prefetch, patch, restart, reboot, mitigate, lift, roll back.
//!
//! A pod only asks ([`host`]); the worker ([`run`]) is a process of the host, runs in the host's root and leaves its answer there, so
//! that the same work, asked for twice, is done once. Invariant: whatever is killed at whatever instant, the next run of the same work
//! finds the package manager repaired first, and goes on with what of the approved transaction is still to be done.

pub mod apk;
pub mod apt;
pub mod compare;
pub mod digest;
pub mod dnf;
pub mod executor;
pub mod folder;
pub mod held;
pub mod host;
pub mod kexec;
pub mod locks;
pub mod order;
pub mod ostree;
pub mod packages;
pub mod ports;
pub mod rauc;
pub mod reboot;
pub mod replace;
pub mod room;
pub mod rpm;
pub mod script;
pub mod services;
pub mod tool;
pub mod units;
pub mod wished;
pub mod zypper;

use std::{
    fs::File,
    io::{self, Write as _},
    time::Duration,
};

use hozen_advisory::package::Change;
use hozen_api::{
    common::RebootMethod,
    job::{Answer, AnswerResult, ErrorClass, GRACE_SECONDS, Order, Timing},
    managed_node::Step,
};
use jiff::Timestamp;

use crate::{
    clock::{self, Moment},
    unread::{text, without_userinfo},
    work::{
        executor::Way,
        folder::{Folder, FolderError},
        order::Assignment,
    },
};

/// Most starts of one work: what is killed so often is killed by the work itself.
const STARTS_MAX: usize = 12;
/// How long a worker tries to take its folder.
const TAKE_MAX: Duration = Duration::from_secs(2);
/// Least time until the deadline with which an installation begins. With the grace after it, it has 18 minutes at least, and only then is it
/// ended, which may be in mid-unpack.
const INSTALL_MIN: Duration = Duration::from_mins(10);
/// What the end takes of the grace: a tool is told to end, what it leaves half done is repaired, and the answer is written.
const END_MAX: Duration = Duration::from_mins(2);
/// Longest message of an answer, in bytes; with the rest of it well below what Kubernetes keeps.
const MESSAGE_BYTES_MAX: usize = 2_000;
/// Most kept configuration files that an answer names.
const KEPT_MAX: usize = 8;

/// Why work did not end well.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind.
    pub class: ErrorClass,
    /// What, for people.
    pub message: String,
    /// Whether something on the node may have been changed.
    pub touched: bool,
}

impl Failure {
    /// A failure before anything was changed.
    pub fn before(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), touched: false }
    }

    /// A failure after something was or may have been changed.
    pub fn after(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), touched: true }
    }
}

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Self {
        let class = match &error {
            FolderError::Io { source, .. } => class_of(source),
            FolderError::Answer { .. } | FolderError::Order(_) => ErrorClass::System,
        };
        Self::before(class, error.to_string())
    }
}

/// What kind of error it is that the system refused something.
pub fn class_of(error: &io::Error) -> ErrorClass {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorClass::Disk,
        _ => ErrorClass::System,
    }
}

/// Work that ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Success {
    /// Whether there was nothing left to do.
    pub already: bool,
    /// What was done, for people.
    pub message: String,
    /// Configuration files that were kept.
    pub kept: Vec<String>,
}

impl Success {
    /// Something was done.
    pub fn done(message: impl Into<String>) -> Self {
        Self { already: false, message: message.into(), kept: Vec::new() }
    }

    /// Nothing was left to do.
    pub fn already(message: impl Into<String>) -> Self {
        Self { already: true, message: message.into(), kept: Vec::new() }
    }
}

/// A line of the log, with the time. One for which a full disk has no room is no reason to end the work.
pub fn log(line: impl AsRef<str>) {
    let line = format!("{:.3} {}\n", clock::now(), without_userinfo(line.as_ref()));
    let _ = io::stdout().lock().write_all(line.as_bytes());
}

/// Parts of the work and how long each took.
#[derive(Debug, Default)]
pub struct Course {
    timings: Vec<Timing>,
}

impl Course {
    /// Does one part of the work, logs its begin and its end, and remembers how long it took.
    pub fn part<T>(
        &mut self,
        name: &str,
        part: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        log(format!("{name}: begins"));
        let start = Moment::now();
        let outcome = part();
        let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &outcome {
            Ok(_) => log(format!("{name}: done in {milliseconds} ms")),
            Err(failure) => log(format!("{name}: {failure}")),
        }
        self.timings.push(Timing { part: name.to_owned(), milliseconds });
        outcome
    }
}

/// Does the work of a folder to its end, as a process of the host, and leaves the answer in the folder. Returns at once where another
/// worker has the folder, or where there is an answer already.
pub fn run(folder: &Folder) -> Result<(), FolderError> {
    let Some(_held) = hold(folder)? else {
        log("another worker does this work");
        return Ok(());
    };
    if folder.answer()?.is_some() {
        return Ok(());
    }
    let assignment = folder.assignment()?;
    let started = clock::now();
    let mut course = Course::default();
    let outcome = match folder.count_start() {
        Ok(starts) => begin(folder, &assignment, starts, &mut course),
        Err(error) => Err(error.into()),
    };
    match &outcome {
        Ok(success) => log(&success.message),
        Err(failure) => log(format!("it ends: {failure}")),
    }
    folder.put_answer(&answer(&assignment, started, course, outcome))
}

/// Takes the folder. A pod that looks whether anybody works holds it for an instant, too.
fn hold(folder: &Folder) -> Result<Option<File>, FolderError> {
    let start = Moment::now();
    loop {
        let held = folder.hold()?;
        if held.is_some() || start.elapsed() > TAKE_MAX {
            return Ok(held);
        }
        clock::pause();
    }
}

/// Begins a start of the work, if it is not one too many.
fn begin(
    folder: &Folder,
    assignment: &Assignment,
    starts: usize,
    course: &mut Course,
) -> Result<Success, Failure> {
    let Order { step, request_uid, attempt, .. } = &assignment.order;
    log(format!("{step} for request {request_uid}, attempt {attempt}, start {starts}"));
    if starts > STARTS_MAX {
        services::let_go();
        let message = format!("it was started {STARTS_MAX} times and never came to an end");
        return Err(Failure::after(ErrorClass::Interrupted, message));
    }
    after_earlier(folder, |folder| perform(folder, assignment, course))
}

/// A start that changes nothing is no refusal of the work where an earlier start of it had begun to change the host.
fn after_earlier<T>(
    folder: &Folder,
    start: impl FnOnce(&Folder) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let changed = folder.changes();
    start(folder).map_err(|failure| Failure { touched: failure.touched || changed, ..failure })
}

fn perform(
    folder: &Folder,
    assignment: &Assignment,
    course: &mut Course,
) -> Result<Success, Failure> {
    let deadline = assignment.order.deadline;
    let ahead = assignment.order.step == Step::Prefetch;
    let lock = if ahead { locks::ahead } else { locks::host };
    let _held = course.part("lock", || lock(folder, deadline))?;
    match assignment.order.step {
        Step::Prefetch => executor::prefetch(folder, assignment, course),
        Step::Patch => {
            // A host that cannot boot as its plan has it is not patched either; what an earlier start has begun to install is brought to its end.
            if assignment.boot == Some(RebootMethod::Kexec) && !folder.changes() {
                course.part("kexec", || kexec::can_follow(assignment))?;
            }
            executor::change(folder, assignment, Way::Forth, course)
        }
        Step::Rollback => executor::change(folder, assignment, Way::Back, course),
        Step::Restart => course.part("restart", || {
            let mut changes = assignment.transaction.iter().flat_map(|it| it.changes.iter());
            units::restart(&assignment.order.units, changes.any(Change::removes))
        }),
        Step::Mitigate => course.part("mitigate", || units::mitigate(folder, &assignment.order)),
        Step::Lift => course.part("lift", || units::lift(&assignment.order)),
        Step::Reboot => course.part("reboot", || reboot::reboot(folder, assignment)),
        Step::Claim
        | Step::Drain
        | Step::Snapshot
        | Step::AwaitReboot
        | Step::Verify
        | Step::Gate
        | Step::Release
        | Step::Unknown(_) => Err(Failure::before(
            ErrorClass::Order,
            format!("{} is no work of a Job", assignment.order.step),
        )),
    }
}

/// An answer for this outcome.
pub fn answer(
    assignment: &Assignment,
    started: Timestamp,
    course: Course,
    outcome: Result<Success, Failure>,
) -> Answer {
    let order = &assignment.order;
    let (result, class, message, mut kept) = match outcome {
        Ok(success) if success.already => {
            (AnswerResult::Already, None, success.message, success.kept)
        }
        Ok(success) => (AnswerResult::Done, None, success.message, success.kept),
        Err(failure) => {
            let result = if failure.touched { AnswerResult::Failed } else { AnswerResult::Refused };
            (result, Some(failure.class), failure.message, Vec::new())
        }
    };
    kept.truncate(KEPT_MAX);
    Answer {
        request_uid: order.request_uid.clone(),
        step: order.step.clone(),
        attempt: order.attempt,
        plan_digest: order.plan_digest.clone(),
        transaction: order.transaction.clone(),
        result,
        class,
        message: text(&message, MESSAGE_BYTES_MAX),
        started,
        timings: course.timings,
        kept: kept.iter().map(|path| text(path, 128)).collect(),
    }
}

/// Time until the deadline; none where it is over.
fn left(deadline: Timestamp) -> Option<Duration> {
    left_at(deadline, clock::now())
}

fn left_at(deadline: Timestamp, now: Timestamp) -> Option<Duration> {
    Duration::try_from(deadline.duration_since(now)).ok().filter(|left| !left.is_zero())
}

/// How long something that has begun may go on: until the deadline and the grace that the Job has after it, but for the end. A repair at the
/// end has a part of that.
fn limit(deadline: Timestamp) -> Duration {
    limit_at(deadline, clock::now())
}

fn limit_at(deadline: Timestamp, now: Timestamp) -> Duration {
    let end = deadline + Duration::from_secs(u64::from(GRACE_SECONDS)) - END_MAX;
    left_at(end, now).unwrap_or_default().max(END_MAX / 2)
}

/// Refuses to begin an installation that may not have the time to come to its end.
fn may_install(deadline: Timestamp, now: Timestamp) -> Result<(), Failure> {
    if left_at(deadline, now).is_some_and(|left| left >= INSTALL_MIN) {
        return Ok(());
    }
    let minutes = INSTALL_MIN.as_secs() / 60;
    let message = format!(
        "less than {minutes} minutes were left until the deadline before anything was installed"
    );
    Err(Failure::before(ErrorClass::Locked, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i43_what_is_refused_after_an_earlier_start_had_begun_to_change_the_host_has_failed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::at(folder.path().to_owned());
        let offline = || Failure::before(ErrorClass::Repository, "it does not answer");
        let start = |changes: bool| {
            let failure = after_earlier(&folder, |folder| {
                if changes {
                    folder.put_changes()?;
                }
                Err::<(), _>(offline())
            });
            failure.unwrap_err()
        };
        assert!(!start(false).touched, "the first has only waited");
        assert!(!start(true).touched, "it says itself whether it has changed anything");
        let failed = start(false);
        assert!(failed.touched && failed.class == ErrorClass::Repository);
    }

    #[test]
    fn what_begins_to_install_has_the_time_to_end_and_its_repair_ends_before_the_job_does() {
        let deadline = Timestamp::from_second(1_000_000).unwrap();
        let last = deadline - INSTALL_MIN;
        assert!(may_install(deadline, last).is_ok());
        let late = may_install(deadline, last + Duration::from_secs(1)).unwrap_err();
        assert!(!late.touched && may_install(deadline, deadline).is_err());

        assert_eq!(limit_at(deadline, last), Duration::from_mins(18));
        let ended = last + limit_at(deadline, last) + tool::FAREWELL_MAX;
        let repaired = ended + limit_at(deadline, ended) + tool::FAREWELL_MAX;
        assert!(repaired < deadline + Duration::from_secs(GRACE_SECONDS.into()));
    }
}
