//! One run: a server, a fleet, people, replicas of the operator, and what goes wrong; to its end.

use std::{
    process::{Command, Stdio},
    sync::{Arc, Mutex, atomic::Ordering, mpsc},
    time::Duration,
};

use hozen_controller::{
    audit::{Sink, Trail},
    clock::Clock,
    config::{Keep, Settings},
    runtime::{self, Admission},
};
use hozen_simulator::{
    Link, Random, Server, Strike, Tamper, Trace, View, Weather, controllers, json::text,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    case::Case,
    check::{Broken, Checker, failures, record},
    clock::{MachineClock, now},
    entropy, meddle,
    outside::{Machines, NODES, Outside, REQUESTS, ROLLOUTS, name},
    past,
    read::{Read, Reader},
    rules,
    scene::{NAMESPACE, Scene, WORK, objects},
};

/// Faults last so long, in virtual time; then everything must come to its end.
const FAULTS_LAST: SignedDuration = SignedDuration::from_mins(10);
/// A run that is not over by then is stuck: the window is open for another while.
const PATIENCE: Duration = Duration::from_hours(4);
/// More calls than this are without end: a run has some thousands.
const CALLS_MAX: u64 = 100_000;
/// Likewise of writes: a run has some hundreds.
const WRITES_MAX: u64 = 2_000;
/// Where not even virtual time goes on, the time of the processor says so, on a loaded machine as on an idle one: most runs take a second or two, the longest
/// two minutes.
const HANGS: Duration = Duration::from_mins(5);
/// Whoever computed less than this in as long a time waits for something that does not come.
const STANDS: Duration = Duration::from_secs(1);
/// Between two looks whether it is over.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);
/// After the end, nothing is written for so long; the lease aside.
const QUIET: Duration = Duration::from_mins(3);
/// Replicas of the server.
const SERVERS: usize = 2;

/// Makes somebody who tampers.
pub type Tampers = fn(&Server) -> Box<dyn Tamper>;

/// What is run.
#[derive(Clone)]
pub struct Trial {
    pub seed: u64,
    pub scene: Scene,
    pub replicas: usize,
    /// Whether calls fail, caches lag, replicas are killed, people interfere.
    pub faults: bool,
    /// What happens to the first life of the first replica.
    pub strike: Option<Strike>,
    /// Who tampers with the operator's calls.
    pub tamper: Option<Tampers>,
    /// Whether by that all replicas take themselves for the leader.
    pub all_lead: bool,
    /// Nobody writes for so long after the end.
    pub quiet: Duration,
    /// It must end by then.
    pub patience: Duration,
    /// The first broken promise ends the run.
    pub once: bool,
    /// What people do besides; with faults, more is drawn by the seed.
    pub meddling: Vec<meddle::Act>,
}

impl Trial {
    /// Without anything that goes wrong but what the scene says.
    pub fn fair(seed: u64) -> Self {
        Self {
            seed,
            scene: Scene::golden(),
            replicas: 2,
            faults: false,
            strike: None,
            tamper: None,
            all_lead: false,
            quiet: QUIET,
            patience: PATIENCE,
            once: false,
            meddling: Vec::new(),
        }
    }

    /// With whatever the seed draws.
    pub fn foul(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5ce0e);
        let mut scene = Scene::golden();
        scene.fails = random.permille(500).then_some(3);
        scene.reboot = random.permille(300);
        scene.emergency = random.permille(300);
        scene.control_plane = if random.permille(300) { 3 } else { 0 };
        scene.nodes = usize::try_from(random.between(4, 7)).unwrap();
        Self { scene, faults: true, ..Self::fair(seed) }
    }
}

/// The word by which this program plays one story and writes what came of it, as JSON.
const STORY: &str = "story=";

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    pub digest: u64,
    pub broken: Vec<String>,
    /// Writing calls of the first replica's first life.
    pub writes: u64,
    pub calls: u64,
    /// Promises that were held against what is stored.
    pub checks: u64,
    pub virtually: Duration,
    /// What tools read of our objects meanwhile.
    pub read: Read,
    /// The last of its trace. They stay in the process in which it was played.
    #[serde(skip)]
    pub lines: Vec<String>,
}

/// Plays a story in a process of its own. What outlives a story in its process, as tokio's count of its runtimes, from which it draws, is then
/// the same for each, and the story is the same whatever was played before.
pub fn run(case: Case) -> Outcome {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.arg(format!("{STORY}{case}")).stderr(Stdio::inherit());
    let output = command.output().expect("this program runs");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        let ended = format!("invariant 54: its process ended without a word: {}", output.status);
        Outcome { broken: vec![ended], ..Outcome::default() }
    })
}

/// The story that this process was started for.
pub fn asked(word: &str) -> Option<Case> {
    Some(word.strip_prefix(STORY)?.parse().expect("it names a story"))
}

/// Plays a story in this process, which has played no other.
pub fn here(case: Case) -> Outcome {
    let trial = case.trial();
    entropy::seed(trial.seed);
    // Its sender goes with the thread, however that ends.
    let (ends, ended) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let _ends = ends;
        fastrand::seed(trial.seed);
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(play(trial))
    });
    let mut before = Duration::ZERO;
    while ended.recv_timeout(HANGS) == Err(mpsc::RecvTimeoutError::Timeout) {
        let computed = computed();
        if computed >= HANGS || computed.saturating_sub(before) < STANDS {
            eprintln!(
                "{case}: it hangs, and virtual time stands still\n    {}",
                rules::again(case)
            );
            std::process::exit(1);
        }
        before = computed;
    }
    thread.join().unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().map_or("it panicked", String::as_str);
        Outcome { broken: vec![format!("invariant 54: {what}")], ..Outcome::default() }
    })
}

/// Time of a processor that this process has had.
fn computed() -> Duration {
    let had = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    had.try_into().expect("a time since the start")
}

/// What all replicas share.
struct Shared {
    trial: Trial,
    server: Server,
    trace: Trace,
    random: Mutex<Random>,
    weather: Weather,
    user: String,
    /// The way of the first replica's first life.
    first: Mutex<Option<Link>>,
    faults_until: Timestamp,
}

async fn play(trial: Trial) -> Outcome {
    let mut random = Random::new(trial.seed);
    let server = Server::new(trial.scene.begins, random.bits(), SERVERS);
    let trace = Trace::default();
    if std::env::var_os("HOZEN_SIM_ALL").is_some() {
        trace.keep_all();
    }
    let (user, machines) = (Scene::installation().operator(), Machines::default());
    let faults_until = trial.scene.begins + FAULTS_LAST;
    let weather =
        if trial.faults { Weather::drawn(&mut random, faults_until) } else { Weather::fair() };
    let known_after = match (trial.faults, weather.watches) {
        (false, _) => SignedDuration::from_secs(3),
        // A client that stood still, the slowest call, the longest lag and a lease.
        (true, 0) => SignedDuration::from_secs(100),
        // A watch that hangs is given up by the client after five minutes.
        (true, _) => SignedDuration::from_mins(6),
    };
    let checker = Checker::new(&user, &trial.scene, &machines, known_after);
    let checker = if trial.all_lead { checker.all_lead() } else { checker };
    let (broken, checks) = (Arc::clone(&checker.broken), Arc::clone(&checker.checks));
    server.witness(Box::new(checker));
    let writes = Writes::watch(&server, &user);
    let reader = Reader::default();
    server.witness(Box::new(reader.clone()));
    trial.scene.set(&server);
    tokio::spawn(controllers::disruption(server.clone()));
    let collects = if trial.faults { random.below(30_000) } else { 0 };
    tokio::spawn(controllers::garbage(server.clone(), Duration::from_millis(collects)));
    Outside::new(&server, &trial.scene, &machines, random.fork()).begin();
    meddle::begin(&server, &trial, &mut random, faults_until);
    let shared = Arc::new(Shared {
        server: server.clone(),
        trace: trace.clone(),
        random: Mutex::new(random.fork()),
        weather,
        user,
        first: Mutex::new(None),
        faults_until,
        trial,
    });
    let mut replicas = Vec::new();
    for number in 0..shared.trial.replicas {
        replicas.push(tokio::spawn(replica(Arc::clone(&shared), number)));
    }
    let began = now();
    let fault = end(&shared, &writes, &broken).await;
    let checks = checks.load(Ordering::Relaxed);
    let broken = {
        let mut broken = broken.lock().unwrap();
        broken.extend(fault);
        broken.clone()
    };
    for replica in replicas {
        replica.abort();
    }
    let first = shared.first.lock().unwrap().as_ref().map_or(0, Link::writes);
    Outcome {
        digest: trace.digest(),
        broken,
        writes: first,
        calls: trace.calls(),
        checks,
        virtually: now() - began,
        read: reader.0.lock().unwrap().clone(),
        lines: trace.lines(),
    }
}

/// Waits until all is done and quiet; why it is not, if it never is (invariants 33 and 37).
async fn end(shared: &Shared, writes: &Writes, broken: &Broken) -> Option<String> {
    let Shared { server, trace, trial, .. } = shared;
    let (began, mut quiet) = (now(), None);
    loop {
        let before = writes.count();
        tokio::time::sleep(BETWEEN_LOOKS).await;
        if before > WRITES_MAX {
            return Some(format!("invariant 37: {before} writes, the last {}", writes.last()));
        }
        // A day of watches and of a lease is more than all else that is asked for.
        let calls_max = if trial.scene.past { 2 * CALLS_MAX } else { CALLS_MAX };
        if trace.calls() > calls_max {
            let last = trace.last();
            return Some(format!("invariant 37: more than {calls_max} calls, the last {last}"));
        }
        if trial.once && !broken.lock().unwrap().is_empty() {
            return None;
        }
        let past = |view: &View<'_>| !trial.scene.past || past::wrong(view).is_none();
        let over = server.look(done)
            && server.look(past)
            && (!trial.faults || server.now() >= shared.faults_until);
        let since = match quiet {
            Some(since) if over && before == writes.count() => since,
            _ => now(),
        };
        quiet = Some(since);
        if over && now() - since >= trial.quiet {
            return None;
        }
        if now() - began > trial.patience + trial.quiet {
            if let Some(wrong) = server.look(past::wrong).filter(|_| trial.scene.past) {
                return Some(format!("invariant {wrong}"));
            }
            let last =
                format!("invariant 37: it is never quiet, the last write was {}", writes.last());
            return Some(if server.look(done) { last } else { server.look(stuck) });
        }
    }
}

/// Every rollout has ended, there was one, no node is ours, and what is there of content is what its name says.
fn done(view: &View<'_>) -> bool {
    let mut rollouts = view.list(ROLLOUTS).peekable();
    rollouts.peek().is_some()
        && rollouts.all(|rollout| text(rollout, "/status/ended").is_some())
        && !view.list(NODES).any(|node| record(node).is_some())
        && objects().iter().all(|(kind, object)| {
            view.get(*kind, "", name(object)).is_none_or(|there| there["spec"] == object["spec"])
        })
        && view.list(NODES).count() > 0
}

fn stuck(view: &View<'_>) -> String {
    let flagged = |node: &str| {
        let managed = view.get(crate::outside::MANAGED, "", node);
        managed.is_some_and(|node| {
            hozen_simulator::json::list(node, "/status/conditions")
                .any(|c| c["type"] == "NeedsAttention" && c["status"] == "True")
        })
    };
    let ours: Vec<&str> =
        view.list(NODES).filter(|node| record(node).is_some()).map(name).collect();
    let of_ours = ours.iter().map(|node| {
        let task = view.get(crate::outside::MANAGED, "", node).map(|m| &m["spec"]["task"]);
        let jobs = view
            .list(crate::outside::JOBS)
            .filter(|job| text(job, "/metadata/annotations/hozen.dev~1node") == Some(*node));
        let jobs: Vec<String> =
            jobs.map(|job| format!("{} {}", name(job), job["status"])).collect();
        format!("{node}: {} {jobs:?}", task.unwrap_or(&serde_json::Value::Null))
    });
    let of_ours: Vec<String> = of_ours.collect();
    let unflagged = ours.iter().filter(|node| !flagged(node)).count();
    let number = if unflagged > 0 { 33 } else { 37 };
    let requests: Vec<String> = view
        .list(REQUESTS)
        .map(|request| {
            format!("{} is {}", name(request), text(request, "/status/phase").unwrap_or("new"))
        })
        .collect();
    let holds: Vec<String> = view
        .list(ROLLOUTS)
        .map(|rollout| {
            let hold = text(rollout, "/status/hold/message").unwrap_or("nothing");
            format!("{} is held by: {hold}", name(rollout))
        })
        .collect();
    format!(
        "invariant {number}: it never ends: ours are {of_ours:?}, {} failures are not accepted; {}; {}",
        failures(view),
        requests.join(", "),
        holds.join(", ")
    )
}

/// What the operator writes, the lease aside.
#[derive(Clone, Default)]
struct Writes(Arc<Mutex<(u64, String)>>);

struct Counter {
    user: String,
    writes: Writes,
}

impl Writes {
    fn watch(server: &Server, user: &str) -> Self {
        let writes = Self::default();
        let counter = Counter { user: user.to_owned(), writes: writes.clone() };
        server.witness(Box::new(counter));
        writes
    }

    fn count(&self) -> u64 {
        self.0.lock().unwrap().0
    }

    fn last(&self) -> String {
        self.0.lock().unwrap().1.clone()
    }
}

impl hozen_simulator::Witness for Counter {
    fn asked(&mut self, call: &hozen_simulator::Call, _: &View<'_>) {
        // A call that changes nothing is one too.
        if call.user == self.user
            && call.verb.writes()
            && !matches!(call.resource.as_str(), "leases" | "selfsubjectreviews")
        {
            let mut writes = self.writes.0.lock().unwrap();
            writes.0 += 1;
            writes.1 = format!(
                "{} {} {}: {}",
                call.verb.word(),
                call.rbac_resource(),
                call.name,
                call.body
            );
        }
    }

    fn saw(&mut self, _: &hozen_simulator::Transition<'_>, _: &View<'_>) {}
}

/// One replica, life after life.
async fn replica(shared: Arc<Shared>, number: usize) {
    for life in 0_u64.. {
        let id = format!("operator-{number}-{life}");
        let link = shared.link(number, life, &id);
        let wrong_by =
            if shared.trial.faults { shared.draw(|random| random.below(8_001)) } else { 4_000 };
        let wrong_by = SignedDuration::from_millis(i64::try_from(wrong_by).unwrap() - 4_000);
        let clock: Arc<dyn Clock> = Arc::new(MachineClock::new(shared.server.now(), wrong_by));
        let (tell, stop) = watch::channel(false);
        let trail = Trail::new(&id, Arc::clone(&clock), Box::new(Memory));
        let settings = settings(&id);
        let mut work = tokio::spawn(runtime::operate(
            settings,
            link.client().into(),
            trail,
            clock,
            Admission::Watched,
            stop,
        ));
        let lives = shared.lives();
        tokio::select! {
            biased;
            () = link.crashed() => {}
            () = tokio::time::sleep(lives) => {
                shared.trace.note(&id, "is killed");
                link.die();
            }
            ended = &mut work => {
                shared.trace.note(&id, &format!("ended: {:?}", ended.map(|ended| ended.map_err(|e| e.to_string()))));
                link.die();
            }
        }
        work.abort();
        drop(tell);
        let pause = shared.draw(|random| random.between(500, 15_000));
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

impl Shared {
    fn draw<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.random.lock().unwrap())
    }

    fn link(&self, number: usize, life: u64, id: &str) -> Link {
        let random = self.draw(Random::fork);
        let link = Link::new(&self.server, (&self.user, id), number % SERVERS, &self.trace)
            .in_weather(self.weather.clone(), random);
        let link = match self.trial.tamper {
            Some(tamper) => link.tampered(tamper(&self.server)),
            None => link,
        };
        let first = number == 0 && life == 0;
        let link = match self.trial.strike.filter(|_| first) {
            Some(strike) => link.struck(strike),
            None => link,
        };
        if first {
            *self.first.lock().unwrap() = Some(link.clone());
        }
        if self.trial.faults {
            tokio::spawn(meddle::partitions(
                link.clone(),
                self.draw(Random::fork),
                self.server.clone(),
                self.faults_until,
            ));
        }
        link
    }

    /// How long a replica lives: while there are faults, some minutes; then for ever.
    fn lives(&self) -> Duration {
        let (short, seconds) = self.draw(|random| (random.permille(600), random.between(5, 600)));
        if self.trial.faults && short && self.server.now() < self.faults_until {
            Duration::from_secs(seconds)
        } else {
            Duration::from_hours(24 * 365)
        }
    }
}

fn settings(id: &str) -> Settings {
    Settings {
        namespace: NAMESPACE.to_owned(),
        work_namespace: WORK.to_owned(),
        agent_image: Scene::installation().agent_image,
        image_pull_secrets: Vec::new(),
        replica: id.to_owned(),
        lease: "hozen-operator".to_owned(),
        listen: None,
        audit: None,
        keep: Keep::default(),
    }
}

/// An audit trail that nobody reads.
struct Memory;

impl Sink for Memory {
    fn append(&mut self, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }

    fn waits(&self) -> bool {
        false
    }
}
