//! What passed, in order: a digest of all of it, by which two runs are compared, and the last lines, for people.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use crate::{
    call::Call,
    fault::Fault,
    refusal::Refusal,
    server::{Answer, now},
};

/// Lines that are kept for people.
const LINES_KEPT: usize = 400;

struct Inner {
    began: Instant,
    digest: u64,
    lines: VecDeque<String>,
    calls: u64,
    last: String,
    /// Whether lines of reads and of the lease are kept too.
    all: bool,
}

/// See the module. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Inner>>);

impl Default for Trace {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Inner {
            began: now(),
            digest: 0xcbf2_9ce4_8422_2325,
            lines: VecDeque::new(),
            calls: 0,
            last: String::new(),
            all: false,
        })))
    }
}

impl Trace {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the lines of reads too.
    pub fn keep_all(&self) {
        self.inner().all = true;
    }

    /// A call leaves its client.
    pub fn sent(&self, from: &str, call: &Call, fault: Option<&Fault>) {
        let mut inner = self.inner();
        inner.calls += 1;
        let line = format!("{from} > {}", told(call));
        inner.take(
            &line,
            fault.map(|fault| format!("{fault:?}")),
            call.verb.writes() && call.resource != "leases",
        );
    }

    /// The server has answered.
    pub fn answered(&self, to: &str, call: &Call, answer: &Result<Answer, Refusal>) {
        let what = match answer {
            Ok(answer) => format!("{answer:?}"),
            Err(refusal) => format!("{} {}", refusal.code, refusal.message),
        };
        let line = format!("{to} < {} {what}", told(call));
        self.inner().take(&line, None, call.verb.writes() && call.resource != "leases");
    }

    /// Something else that happened.
    pub fn note(&self, who: &str, what: &str) {
        self.inner().take(&format!("{who}: {what}"), None, true);
    }

    /// Digest of everything so far.
    pub fn digest(&self) -> u64 {
        self.inner().digest
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.inner().calls
    }

    /// The last line, whatever it was about.
    pub fn last(&self) -> String {
        self.inner().last.clone()
    }

    /// The last lines.
    pub fn lines(&self) -> Vec<String> {
        self.inner().lines.iter().cloned().collect()
    }
}

impl Inner {
    /// FNV-1a: nobody attacks it, and it is the same in every process.
    fn take(&mut self, line: &str, more: Option<String>, kept: bool) {
        let at = (now() - self.began).as_millis();
        let mut text = format!("{:>7}.{:03} {line}", at / 1_000, at % 1_000);
        if let Some(more) = more {
            // Writing into a string does not fail.
            let _ = write!(text, " [{more}]");
        }
        for byte in text.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        if kept || self.all {
            if self.lines.len() == LINES_KEPT && !self.all {
                self.lines.pop_front();
            }
            self.lines.push_back(text.clone());
        }
        self.last = text;
    }
}

fn told(call: &Call) -> String {
    let Call { verb, namespace, name, .. } = call;
    let place = if namespace.is_empty() { name.clone() } else { format!("{namespace}/{name}") };
    format!("{} {} {place}", verb.word(), call.rbac_resource())
}
