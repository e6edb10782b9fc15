//! The pod's side: it brings order and program to the host, has the host do the work, shows its log and waits for its answer.
//!
//! The host's systemd runs the worker as a unit of its own, so that it outlives the pod; another pod finds the same unit, or the answer
//! that it has left. Where the host has no systemd the worker is the pod's own child, in the host's root, and ends with the pod.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use hozen_api::{
    job::{ANSWER_BYTES_MAX, Answer, ErrorClass, Order, verb},
    managed_node::Step,
};

use super::{
    Course, Failure,
    folder::{Folder, STATE},
    log, order,
    order::Texts,
};
use crate::{
    clock::{self, Moment},
    root::Root,
    unread::without_userinfo,
};

/// How long a worker may take to begin: to load the program and to take its lock.
const BEGIN_MAX: Duration = Duration::from_secs(3);
/// Starts of a worker by one pod; each worker counts its own starts, too.
const STARTS_MAX: u32 = 12;
/// Most of the worker's log that is shown at a time, and the longest line that is waited for.
const SHOWN_BYTES_MAX: u64 = 1 << 20;
const LINE_BYTES_MAX: usize = 64 << 10;
/// Where a tool says that it is the host's init.
const SYSTEMD: &str = "run/systemd/system";

/// Does what the order in `orders` says on the host whose root is at `host`, and gives the answer.
pub fn ask(called: &str, orders: &Path, host: &Path) -> Answer {
    let started = clock::now();
    let texts = Texts::read(orders);
    let read = texts.and_then(|texts| Ok((texts.check()?, texts)));
    let (assignment, texts) = match read {
        Ok(read) => read,
        Err(failure) => return unreadable(failure),
    };
    match attend(called, &assignment.order, &texts, host) {
        Ok(answer) => answer,
        Err(failure) => {
            log(format!("it ends: {failure}"));
            // A worker, of this pod or of an earlier one, may have begun and may even go on.
            let changes = Folder::of(host, &assignment.order).changes();
            let failure = Failure { touched: failure.touched || changes, ..failure };
            super::answer(&assignment, started, Course::default(), Err(failure))
        }
    }
}

/// The answer as the termination message carries it.
pub fn message(answer: &Answer) -> Vec<u8> {
    let mut answer = answer.clone();
    loop {
        let text = serde_json::to_vec(&answer).unwrap_or_default();
        if text.len() <= ANSWER_BYTES_MAX || answer.message.is_empty() {
            return text;
        }
        // Escapes may make it longer than its text.
        let half = answer.message.chars().count() / 2;
        answer.message = answer.message.chars().take(half).collect();
    }
}

fn unreadable(failure: Failure) -> Answer {
    log(format!("it ends: {failure}"));
    Answer {
        request_uid: String::new(),
        step: Step::Unknown(String::new()),
        attempt: 0,
        plan_digest: String::new(),
        transaction: String::new(),
        result: hozen_api::job::AnswerResult::Refused,
        class: Some(failure.class),
        message: crate::unread::text(&failure.message, 1_000),
        started: clock::now(),
        timings: Vec::new(),
        kept: Vec::new(),
    }
}

fn attend(called: &str, order: &Order, texts: &Texts, host: &Path) -> Result<Answer, Failure> {
    if verb(&order.step) != Some(called) {
        let message = format!("called to {called}, and the order's step is {}", order.step);
        return Err(Failure::before(ErrorClass::Order, message));
    }
    let root = Root::open(host)
        .map_err(|error| Failure::before(ErrorClass::Host, format!("the host's root {error}")))?;
    order::check_host(order, &root)?;
    let folder = Folder::prepare(host, order, texts)?;
    let mut shown = Shown::new(&folder);
    let mut worker: Option<Child> = None;
    let mut starts = 0;
    let mut begun = Moment::now();
    loop {
        shown.more();
        if let Some(answer) = folder.answer()? {
            shown.rest();
            if let Some(mut worker) = worker {
                // It has said all; its end is only waited for so that it leaves no process behind.
                let _ = worker.wait();
            }
            return Ok(answer);
        }
        // A unit of the same name may be about to begin, or about to go.
        let ended = match &mut worker {
            Some(child) => child.try_wait().ok().flatten().is_some() && begun.elapsed() > BEGIN_MAX,
            None => true,
        };
        // Free means: nobody works. The worker takes the lock first of all and keeps it to its end.
        if ended && folder.hold()?.is_some() && folder.answer()?.is_none() {
            if starts == STARTS_MAX {
                let message = format!("the worker was started {starts} times and left no answer");
                return Err(Failure::after(ErrorClass::Interrupted, message));
            }
            starts += 1;
            begun = Moment::now();
            worker = Some(start(host, &root, &folder)?);
        }
        clock::pause();
    }
}

/// Has the worker started; gives who waits for its end: the worker itself, or the one who asked the host's systemd for it.
fn start(host: &Path, root: &Root, folder: &Folder) -> Result<Child, Failure> {
    let own = std::env::current_exe().map_err(|error| failed("this program", &error))?;
    let inside = format!("/{STATE}/work/{}", folder.name());
    let program = format!("{inside}/hozen-agent");
    let mut command = Command::new(own);
    command.arg("enter").arg(host).env_clear().stdin(Stdio::null());
    if !root.has(SYSTEMD) {
        let out = folder.open_log()?;
        let errors = out.try_clone().map_err(|error| failed("the log", &error))?;
        command.args([&program, "work", &inside]).stdout(out).stderr(errors);
        return command.spawn().map_err(|error| failed("the worker", &error));
    }
    let unit = format!("hozen-{}", folder.name());
    let properties = [
        "Type=exec".to_owned(),
        format!("StandardOutput=append:{inside}/log"),
        format!("StandardError=append:{inside}/log"),
        // A shutdown waits for the work instead of cutting it: the signal does nothing, the time is long.
        "KillSignal=SIGCONT".to_owned(),
        "TimeoutStopSec=900".to_owned(),
        "OOMScoreAdjust=-500".to_owned(),
    ];
    // With `--wait` it speaks over the system bus. Without, it would speak to process 1 directly, and refuse since a pod cannot see that.
    command.args(["/usr/bin/systemd-run", "--wait", "--quiet", "--collect"]);
    command.arg(format!("--unit={unit}"));
    command.args(properties.iter().map(|property| format!("--property={property}")));
    command.args(["--", &program, "work", &inside]);
    let out = folder.open_log()?;
    command.stdout(Stdio::null()).stderr(out);
    log(format!("asks the host to run the unit {unit}"));
    command.spawn().map_err(|error| failed("systemd-run", &error))
}

fn failed(what: &str, error: &io::Error) -> Failure {
    Failure::before(ErrorClass::System, format!("{what} could not be run ({error})"))
}

/// The worker's log, as far as it was shown. On the host it holds what tools wrote, word for word; credentials stay there.
struct Shown {
    log: Option<File>,
    path: std::path::PathBuf,
    /// Begin of a line whose end has not come.
    begun: Vec<u8>,
}

impl Shown {
    fn new(folder: &Folder) -> Self {
        Self { log: None, path: folder.log(), begun: Vec::new() }
    }

    /// Shows the lines that have come since. What cannot be shown is in the file on the host.
    fn more(&mut self) {
        let text = self.lines();
        let _ = io::stdout().lock().write_all(text.as_bytes());
    }

    /// Shows what is left: nobody writes any more.
    fn rest(&mut self) {
        self.more();
        let text = self.take(self.begun.len());
        let _ = io::stdout().lock().write_all(text.as_bytes());
    }

    /// Whole lines: a tool may have written half of an address, and its credentials would not be known as such.
    fn lines(&mut self) -> String {
        if self.log.is_none() {
            self.log = File::open(&self.path).ok();
        }
        let Some(file) = &mut self.log else { return String::new() };
        // What was read before an error is shown, too.
        let _ = file.take(SHOWN_BYTES_MAX).read_to_end(&mut self.begun);
        let end = self.begun.iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
        let endless = self.begun.len() > LINE_BYTES_MAX;
        self.take(end.map_or(if endless { self.begun.len() } else { 0 }, |at| at + 1))
    }

    fn take(&mut self, bytes: usize) -> String {
        let taken: Vec<u8> = self.begun.drain(..bytes).collect();
        without_userinfo(&String::from_utf8_lossy(&taken)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i62_credentials_that_a_tool_writes_in_two_parts_are_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::at(folder.path().to_owned());
        let mut shown = Shown::new(&folder);
        assert_eq!(shown.lines(), "");
        let mut log = folder.open_log().unwrap();
        log.write_all(b"one\nErr:1 https://user:pass").unwrap();
        assert_eq!(shown.lines(), "one\n");
        log.write_all(b"word@h/ x\ntwo").unwrap();
        assert_eq!(shown.lines(), "Err:1 https://***@h/ x\n");
        assert_eq!(shown.take(3), "two");
        log.write_all(&vec![b'x'; LINE_BYTES_MAX + 1]).unwrap();
        assert_eq!(
            shown.lines().len(),
            LINE_BYTES_MAX + 1,
            "what never ends is shown all the same"
        );
    }
}
