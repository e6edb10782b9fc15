//! The scanner that stays: it scans when it is asked to, when packages change, and on a schedule, and writes only what is new.

mod changes;

use std::time::Duration;

use hozen_api::{
    managed_node::ResolveRequest,
    node_inventory::{NodeReport, NotRead},
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    chamber::Chamber,
    clock::{self, Moment},
    refresh::Own,
    root::Root,
    scan::{Ask, Options, Scan, scan},
    share::{Request, Share, ShareError},
    unread::line,
    work::log,
};
use changes::Changes;

/// How long at most until the next scan when nothing calls for one, and by how much it is earlier, so that nodes that booted together
/// do not scan together.
const SCHEDULE: Duration = Duration::from_hours(1);
const JITTER: Duration = Duration::from_mins(20);
/// When the indices are refreshed first after a start, at the latest: a rollout of the scanner does not send all nodes to the repositories
/// at once.
const FIRST: Duration = Duration::from_mins(10);
/// The same where the last report went by newer indices than there are: until then none is written.
pub const FIRST_BEHIND: Duration = Duration::from_mins(3);
/// When a refresh that failed is tried again at the latest.
const RETRY: Duration = Duration::from_hours(1);
/// Repositories belong to others: whatever people wish for, nobody asks them more often.
pub const WISHED_MIN: Duration = Duration::from_mins(10);
/// Most entries of what was not read; the report takes no more.
const NOT_READ_MAX: usize = 64;
/// A report is written anew at least once a day (API, `scannedAt`); an hour before, to be in time.
const WRITTEN_MAX: SignedDuration = SignedDuration::from_hours(23);

/// Where the scanner runs the host's package manager, and whether it refreshes indices there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Means {
    /// Where the host's package manager is run.
    pub chamber: Chamber,
    /// The scanner's own indices, where it has any.
    pub refreshed: Option<Refreshed>,
}

/// Indices of the scanner's own, and how often they are refreshed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// The indices.
    pub own: Own,
    /// How old they become.
    pub every: Duration,
    /// When they are refreshed at the latest where the last report went by newer ones: [`FIRST_BEHIND`].
    pub behind: Duration,
}

/// Scans once and writes the report, whether it is new or not; refreshes the indices before.
pub fn once(root: &Root, share: &Share, means: &Means) -> Result<(), ShareError> {
    let request = share.request()?;
    forget(means);
    let mut past = Past::default();
    if let Some(refreshed) = &means.refreshed {
        past.tried(refresh(root, &refreshed.own));
    }
    let mut found = scanned(root, &request, means);
    if means.refreshed.is_some() && past.meet(request.known, &found.report) != Standing::Current {
        tell_older(&mut found.report, request.known);
    }
    share.put(&found, request.known)
}

/// Scans and writes until the process ends; an error of one turn is said, and the next turn comes all the same.
pub fn forever(root: &Root, share: &Share, means: &Means) -> std::io::Result<()> {
    forget(means);
    let refreshed = means.refreshed.as_ref();
    let changes = Changes::of(share)?;
    let mut answered = None;
    let mut due = refreshed.map(Due::first);
    let mut wishes = Wishes::since(clock::now());
    let mut past = Past::default();
    loop {
        let mut failed = false;
        if let (Some(refreshed), Some(due)) = (refreshed, due.as_mut()) {
            let said = share.request().ok().and_then(|request| request.refresh);
            wishes.hear(said, refreshed.own.as_of(), due);
            if due.is_now() {
                failed = !refresh(root, &refreshed.own);
                past.tried(!failed);
                *due = Due::after(refreshed, !failed);
                wishes.tried = Some(Moment::now());
            }
        }
        // Before the scan: what changes after it is told.
        changes.watch_host(root);
        match turn(root, share, means, &mut answered, &mut past) {
            Ok(what) => log(what),
            Err(error) => log(format!("not written: {error}")),
        }
        if let (Some(refreshed), Some(due)) = (refreshed, due.as_mut()) {
            match past.standing {
                Standing::Waits => due.hasten(some_of(refreshed.behind)),
                Standing::Older if failed => due.hasten(past.again()),
                Standing::Older | Standing::Current => {}
            }
        }
        let schedule = SCHEDULE.saturating_sub(some_of(JITTER));
        let schedule = due.as_ref().map_or(schedule, |due| schedule.min(due.left()));
        changes.watch_work(root);
        if changes.wait(schedule)? {
            changes.settle()?;
        }
        if let (Some(refreshed), Some(due), true) =
            (refreshed, due.as_mut(), changes.of_repositories())
        {
            wishes.change(some_of(refreshed.behind), due);
        }
    }
}

/// Removes what an earlier scanner in the same pod has left: who is killed takes nothing away.
fn forget(means: &Means) {
    if let Err(error) = means.chamber.forget() {
        log(format!("what an earlier scanner has left stays: {error}"));
    }
}

/// Refreshes the indices; whether every repository answered. What did not is told by the scan.
fn refresh(root: &Root, own: &Own) -> bool {
    let outcome = own.refresh(root, clock::now());
    match &outcome {
        Ok(true) => log("the package indices are refreshed"),
        Ok(false) => log("there are no package indices to refresh"),
        Err(error) => log(format!("the package indices are not refreshed: {error}")),
    }
    outcome.is_ok()
}

/// When the indices are refreshed next.
struct Due {
    from: Moment,
    after: Duration,
}

impl Due {
    /// After a start: when they are as old as they become, and not at once.
    fn first(refreshed: &Refreshed) -> Self {
        let age = refreshed.own.as_of().map(|as_of| clock::now().as_second() - as_of);
        let age = age.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        let left = age.and_then(|age| refreshed.every.checked_sub(age)).unwrap_or_default();
        Self { from: Moment::now(), after: left.max(some_of(FIRST)) }
    }

    /// After a refresh, and up to a quarter earlier, so that nodes that began together do not go on together.
    fn after(refreshed: &Refreshed, succeeded: bool) -> Self {
        let whole = if succeeded { refreshed.every } else { refreshed.every.min(RETRY) };
        Self { from: Moment::now(), after: whole.saturating_sub(some_of(whole / 4)) }
    }

    fn left(&self) -> Duration {
        self.after.saturating_sub(self.from.elapsed())
    }

    fn is_now(&self) -> bool {
        self.left().is_zero()
    }

    /// Comes after so long at the latest.
    fn hasten(&mut self, after: Duration) {
        if after < self.left() {
            *self = Self { from: Moment::now(), after };
        }
    }
}

/// What this scanner's indices are beside those of the node's last report, which an earlier pod may have written by indices that went with it.
#[derive(Default)]
struct Past {
    /// Whether every repository has answered since the start: then nothing newer is to be had.
    refreshed: bool,
    /// How often they were asked in vain.
    failed: u32,
    standing: Standing,
}

/// Whether a report may be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    /// It goes by no older indices than the last one.
    #[default]
    Current,
    /// It goes by older ones, and the repositories were not asked yet: it waits.
    Waits,
    /// The same, and they did not all answer: it is written and says so.
    Older,
}

impl Past {
    fn tried(&mut self, succeeded: bool) {
        self.refreshed |= succeeded;
        self.failed = if succeeded { 0 } else { self.failed.saturating_add(1) };
    }

    /// Where a report stands beside the last one, of whose indices this is known.
    fn meet(&mut self, known: Option<Timestamp>, report: &NodeReport) -> Standing {
        let at = report.ready.as_ref().and_then(|ready| ready.indices_refreshed_at);
        self.standing = match known {
            Some(known) if !self.refreshed && at.is_none_or(|at| at < known) => {
                if self.failed == 0 { Standing::Waits } else { Standing::Older }
            }
            Some(_) | None => Standing::Current,
        };
        self.standing
    }

    /// When repositories that did not answer are asked again while the last report knew more than there is to tell: soon at first, then ever later.
    fn again(&self) -> Duration {
        let doubled = self.failed.saturating_sub(1).min(8);
        let whole = WISHED_MIN.saturating_mul(1 << doubled).min(RETRY);
        whole + some_of(whole / 4)
    }
}

/// Says that a report goes by older indices than the last one: they do not say what is missing, and nothing follows from what they do not name.
fn tell_older(report: &mut NodeReport, known: Option<Timestamp>) {
    if let Some(ready) = &mut report.ready {
        ready.repository = Some(false);
    }
    let known = known.map(|known| known.to_string()).unwrap_or_default();
    let why = format!(
        "the last report went by those of {known}; these are older, and not every repository has answered since the scanner began"
    );
    let what = "age of the package indices".to_owned();
    let entry = NotRead { what, why: line(&why), ..NotRead::default() };
    // In the place of what matters least where the list is full.
    report.not_read.truncate(NOT_READ_MAX - 1);
    report.not_read.push(entry);
}

/// What people wish for: indices that are no older than their wish.
struct Wishes {
    /// When the scanner began.
    began: Timestamp,
    /// The last one that was heard; none: since the start.
    heard: Option<Timestamp>,
    /// When the repositories were last asked.
    tried: Option<Moment>,
}

impl Wishes {
    fn since(began: Timestamp) -> Self {
        Self { began, heard: None, tried: None }
    }

    /// Has the next refresh come at once for a wish that was not heard yet; or, where the repositories were asked just now, as soon as they may be
    /// asked again. What was wished for before the start is done if the indices are as new, and comes with the first refresh where there are none:
    /// a rollout of the scanner does not send all nodes to the repositories at once.
    fn hear(&mut self, wish: Option<Timestamp>, as_of: Option<i64>, due: &mut Due) {
        let Some(wish) = wish.filter(|wish| self.heard != Some(*wish)) else { return };
        let first = self.heard.replace(wish).is_none() && self.tried.is_none();
        let done = match as_of {
            Some(as_of) => as_of >= wish.as_second(),
            None => wish < self.began,
        };
        if first && done {
            return;
        }
        due.hasten(self.not_before());
    }

    /// Has the next refresh come soon since other repositories may be configured: one that is new has no index here.
    fn change(&self, soon: Duration, due: &mut Due) {
        due.hasten(self.not_before().max(soon));
    }

    /// For how long nobody asks the repositories.
    fn not_before(&self) -> Duration {
        let asked = self.tried.map(Moment::elapsed);
        asked.map_or(Duration::ZERO, |asked| WISHED_MIN.saturating_sub(asked))
    }
}

/// One scan; says what became of it. `answered` is the request that was answered last.
fn turn(
    root: &Root,
    share: &Share,
    means: &Means,
    answered: &mut Option<Request>,
    past: &mut Past,
) -> Result<&'static str, ShareError> {
    let request = share.request().unwrap_or_else(|error| {
        log(format!("the request is ignored: {error}"));
        answered.clone().unwrap_or_default()
    });
    let mut found = scanned(root, &request, means);
    // Without indices of its own the host's are what there is.
    let known = request.known.filter(|_| means.refreshed.is_some());
    match past.meet(known, &found.report) {
        Standing::Current => {}
        Standing::Waits => {
            return Ok("scanned: the last report went by newer indices, these are refreshed first");
        }
        Standing::Older => tell_older(&mut found.report, known),
    }
    // What cannot be read was not written by this scanner.
    let last = share.report().ok().flatten();
    let heard = share.heard().is_ok_and(|heard| heard == request.known);
    if heard && last.as_ref().is_some_and(|last| says_the_same(last, &found.report)) {
        *answered = Some(request);
        return Ok("scanned: nothing new");
    }
    share.put(&found, request.known)?;
    *answered = Some(request);
    Ok("scanned: the report is written")
}

fn scanned(root: &Root, request: &Request, means: &Means) -> Scan {
    let asks = request.resolve.iter().map(asked);
    let options = Options {
        now: clock::now(),
        resolve: true,
        asks: asks.collect(),
        chamber: Some(means.chamber.clone()),
        own: means.refreshed.as_ref().map(|refreshed| refreshed.own.clone()),
    };
    let mut found = scan(root, &options);
    found.report.scan.clone_from(&request.scan);
    found
}

fn asked(ask: &ResolveRequest) -> Ask {
    let ResolveRequest { name, packages, remove, downgrade } = ask;
    let back = downgrade.iter().map(|of| (of.package.clone(), of.version.clone()));
    Ask {
        name: name.clone(),
        packages: packages.clone(),
        remove: remove.clone(),
        downgrade: back.collect(),
    }
}

/// Whether a report would tell nothing that the last one has not told. Numbers of processes, the last bytes of free disk and another refresh
/// that found nothing are no news; an answer to a request and the daily report are.
fn says_the_same(last: &NodeReport, new: &NodeReport) -> bool {
    let due = new.scanned_at.duration_since(last.scanned_at) >= WRITTEN_MAX;
    !due && settled(last) == settled(new)
}

fn settled(report: &NodeReport) -> NodeReport {
    let mut report = NodeReport { scanned_at: Timestamp::UNIX_EPOCH, ..report.clone() };
    for process in &mut report.stale {
        process.pids.clear();
    }
    // To the nearest power of two. That there is room now, or is none, is news at once.
    let about = |bytes: u64| bytes.checked_ilog2().map_or(0, u64::from);
    for lack in report.transactions.iter_mut().filter_map(|resolved| resolved.lacks.as_mut()) {
        lack.free_bytes = about(lack.free_bytes);
    }
    if let Some(ready) = &mut report.ready {
        ready.disk_free_bytes = ready.disk_free_bytes.map(about);
        // How old they are becomes news when they are too old, and that `repository` says.
        ready.indices_refreshed_at = ready.indices_refreshed_at.map(|_| Timestamp::UNIX_EPOCH);
    }
    report
}

/// Some part of a time, another one at each moment and on each node.
fn some_of(whole: Duration) -> Duration {
    let nanoseconds = clock::now().subsec_nanosecond().unsigned_abs();
    whole.mul_f64(f64::from(nanoseconds) / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hozen_api::node_inventory::{Lack, Readiness, Resolved, StaleProcess};

    fn report(free: u64, pid: u32, scan: &str) -> NodeReport {
        NodeReport {
            scan: Some(scan.into()),
            stale: vec![StaleProcess { pids: vec![pid], ..StaleProcess::default() }],
            ready: Some(Readiness { disk_free_bytes: Some(free), ..Readiness::default() }),
            ..NodeReport::default()
        }
    }

    #[test]
    fn other_process_numbers_are_no_news_and_an_answer_is() {
        assert!(says_the_same(&report(1000, 7, "1"), &report(1001, 8, "1")));
        assert!(!says_the_same(&report(1000, 7, "1"), &report(1000, 7, "2")));
        let mut tomorrow = report(1000, 7, "1");
        tomorrow.scanned_at += SignedDuration::from_hours(24);
        assert!(!says_the_same(&report(1000, 7, "1"), &tomorrow));
    }

    #[test]
    fn that_a_change_has_room_now_is_news_and_some_bytes_more_are_none() {
        let lacking = |free: Option<u64>| {
            let lacks = free.map(|free_bytes| Lack { free_bytes, ..Lack::default() });
            let transactions = vec![Resolved { lacks, ..Resolved::default() }];
            NodeReport { transactions, ..report(1000, 7, "1") }
        };
        assert!(says_the_same(&lacking(Some(1000)), &lacking(Some(1001))));
        assert!(!says_the_same(&lacking(Some(1000)), &lacking(None)));
    }

    #[test]
    fn i37_a_refresh_that_finds_nothing_new_is_no_news_and_the_first_one_is() {
        let refreshed = |at: Option<i64>, repository: bool| {
            let mut report = report(1000, 7, "1");
            report.ready = Some(Readiness {
                repository: Some(repository),
                indices_refreshed_at: at.map(|at| Timestamp::from_second(at).unwrap()),
                ..Readiness::default()
            });
            report
        };
        assert!(says_the_same(&refreshed(Some(1), true), &refreshed(Some(21_600), true)));
        assert!(!says_the_same(&refreshed(None, true), &refreshed(Some(1), true)));
        assert!(!says_the_same(&refreshed(Some(1), true), &refreshed(Some(1), false)), "too old");
    }

    #[test]
    fn the_first_refresh_is_soon_and_a_failed_one_is_tried_again_before_the_indices_are_old() {
        let folder = tempfile::tempdir().unwrap();
        let own = Own::at(folder.path().to_owned());
        let every = Duration::from_hours(6);
        let refreshed = Refreshed { own, every, behind: FIRST_BEHIND };

        assert!(Due::first(&refreshed).after <= FIRST);
        let after = |succeeded| Due::after(&refreshed, succeeded).after;
        let within = |hours: u64, part: Duration| {
            let whole = Duration::from_hours(hours);
            part <= whole && part >= whole * 3 / 4
        };
        assert!(within(6, after(true)) && within(1, after(false)));
        let at = Timestamp::from_second(clock::now().as_second() - 3600).unwrap();
        let state = format!("{{\"as_of\": {}, \"problem\": null}}", at.as_second());
        std::fs::write(folder.path().join("refreshed.json"), state).unwrap();
        let left = Due::first(&refreshed).after;
        assert!(left > Duration::from_hours(4), "one that is an hour old is not due: {left:?}");
    }

    #[test]
    fn a_person_who_asks_for_a_scan_gets_new_indices_and_the_repositories_are_not_hammered() {
        let wish = |second: i64| Some(Timestamp::from_second(second).unwrap());
        let later = || Due { from: Moment::now(), after: Duration::from_hours(6) };
        let began = || Wishes::since(Timestamp::from_second(1_500).unwrap());
        let mut due = later();
        began().hear(wish(1_600), None, &mut due);
        assert!(due.is_now(), "the first wish after the start, before the first refresh");
        let (mut wishes, mut due) = (began(), later());
        wishes.hear(wish(1_000), None, &mut due);
        assert!(!due.is_now(), "what was wished for before the start comes with the first refresh");
        wishes.hear(wish(1_000), Some(900), &mut due);
        assert!(!due.is_now(), "a wish is heard once");
        wishes.hear(wish(2_000), Some(1_500), &mut due);
        assert!(due.is_now());
        (due, wishes.tried) = (later(), Some(Moment::now()));
        wishes.hear(wish(2_060), Some(2_000), &mut due);
        assert!(!due.is_now(), "a minute later");
        assert!(due.left() <= WISHED_MIN, "{:?}", due.left());

        began().hear(wish(1_000), Some(900), &mut due);
        assert!(due.is_now(), "older indices than were wished for before the start");
    }

    #[test]
    fn a_report_by_older_indices_than_the_last_waits_for_a_refresh_and_says_so_where_it_fails() {
        let at = |second: i64| Some(Timestamp::from_second(second).unwrap());
        let by = |indices_refreshed_at: Option<Timestamp>| {
            let repository = Some(true);
            let ready = Readiness { repository, indices_refreshed_at, ..Readiness::default() };
            NodeReport { ready: Some(ready), ..report(1000, 7, "1") }
        };
        let mut past = Past::default();
        assert_eq!(past.meet(None, &by(None)), Standing::Current, "the node's first report");
        assert_eq!(past.meet(at(900), &by(at(900))), Standing::Current);
        assert_eq!(past.meet(at(900), &by(None)), Standing::Waits, "no indices at all");
        assert_eq!(past.meet(at(900), &by(at(899))), Standing::Waits);

        let mut again = Vec::new();
        for _ in 0..5 {
            past.tried(false);
            again.push(past.again());
            assert_eq!(past.meet(at(900), &by(at(899))), Standing::Older);
        }
        assert!(again[0] <= WISHED_MIN * 5 / 4 && again[1] > again[0], "{again:?}");
        assert!(again.iter().all(|after| *after >= WISHED_MIN), "{again:?}");
        assert!(again[4] <= RETRY * 5 / 4, "{again:?}");
        let mut older = by(at(899));
        older.not_read = vec![NotRead::default(); NOT_READ_MAX];
        tell_older(&mut older, at(900));
        assert_eq!(older.ready.unwrap().repository, Some(false));
        assert_eq!(older.not_read.len(), NOT_READ_MAX);
        assert!(older.not_read.last().unwrap().why.contains("1970-01-01T00:15:00Z"));

        past.tried(true);
        let ahead = past.meet(at(900), &by(at(899)));
        assert_eq!(ahead, Standing::Current, "the clock was ahead: nothing newer is to be had");
    }
}
