//! Replicas as processes that are killed and stopped.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use futures::FutureExt as _;
use hozen_api::rollout::Rollout;
use hozen_controller::{
    audit::Trail,
    clock::MachineClock,
    runtime::{self, Admission},
};
use k8s_openapi::api::{
    coordination::v1::{Lease, LeaseSpec},
    core::v1::Node,
};
use kube::{
    Api, Client, Config, ResourceExt,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use rustix::process::{Pid, Signal, getpid, kill_process};
use tokio::sync::{Mutex, watch};

use crate::{
    cluster::{NAMESPACE, until},
    world::{Story, World, as_operator, settings, settings_of},
};

/// Environment of a replica: its name, the cluster, the operator's token.
pub const NAME: &str = "HOZEN_TEST_REPLICA";
const KUBECONFIG: &str = "HOZEN_TEST_KUBECONFIG";
const TOKEN: &str = "HOZEN_TEST_TOKEN";
/// How long a leader works before it is killed.
const WORKS: Duration = Duration::from_secs(5);
/// So many takeovers make the run count.
const TAKEOVERS_MIN: i32 = 5;

/// Runs as one replica until killed.
pub fn run(name: &str) -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter("hozen_controller=debug")
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let ended = runtime.block_on(async {
        let file = Kubeconfig::read_from(std::env::var(KUBECONFIG).unwrap()).unwrap();
        let config =
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
        let config = as_operator(&config, &std::env::var(TOKEN).unwrap());
        let settings = settings(name);
        let path = settings.audit.clone().unwrap();
        let real = Client::try_from(config).unwrap();
        let late = Arc::new(Mutex::new(()));
        let client = stopping(real, stop_file(&path), late.clone());
        let clock = Arc::new(MachineClock);
        let trail = Trail::open(name, clock.clone(), &path).unwrap();
        let admission = Admission::Told(watch::channel(None).1);
        let (_tell, stop) = watch::channel(false);
        let ended = runtime::operate(settings, client.into(), trail, clock, admission, stop).await;
        // Who wakes without its lease ends at once, and would take the answer to its late write along.
        drop(late.lock().await);
        ended
    });
    eprintln!("{ended:?}");
    ExitCode::FAILURE
}

/// A replica that finds this file, which belongs to its trail, stops itself.
fn stop_file(trail: &Path) -> PathBuf {
    trail.with_extension("stop")
}

/// What the log says of a write that the process was stopped before; the answer's code follows.
const LATE: &str = "a late write was answered ";

/// A connection on which a write to a node, about to be sent, stops the whole process if that was asked for: the last moment, at which all
/// of a replica's own checks are behind it. The file then names the node. Once the process goes on, the write is sent and its answer told,
/// whether or not anybody still waits for it; `late` is held until then.
fn stopping(real: Client, file: PathBuf, late: Arc<Mutex<()>>) -> Client {
    let sent = move |request: http::Request<Body>| {
        let node = request.uri().path().strip_prefix("/api/v1/nodes/");
        let node = node.filter(|_| request.method() == http::Method::PATCH);
        // Held before it is looked whether to stop: of several writes at once one stops the process, and none does again after it.
        let held = node.and_then(|_| late.clone().try_lock_owned().ok());
        let held = held.filter(|_| file.exists());
        if let Some((node, _)) = node.zip(held.as_ref()) {
            std::fs::write(&file, node).unwrap();
            kill_process(getpid(), Signal::STOP).unwrap();
            // Another thread may be the one that takes the signal: this one goes on for an instant, and must not send anything in it.
            while file.exists() {
                std::thread::yield_now();
            }
        }
        let real = real.clone();
        let answer = async move { real.send(request).await };
        let Some(held) = held else { return answer.left_future() };
        // Begun here and now: who loses its lease lets go of what it has not begun to wait for.
        let late = tokio::spawn(async move {
            let answer = answer.await;
            let told = answer.as_ref().map(|answer| answer.status().as_u16());
            eprintln!("{LATE}{told:?}");
            drop(held);
            answer
        });
        late.map(|ended| ended.expect("it does not panic")).right_future()
    };
    Client::new(tower::service_fn(sent), "default")
}

/// One replica, and its log.
struct Replica {
    name: String,
    child: Child,
}

impl Replica {
    fn start(world: &World, name: String) -> Self {
        let log = File::create(Self::log_of(world, &name)).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .env(NAME, &name)
            .env(KUBECONFIG, world.kubeconfig())
            .env(TOKEN, &world.token)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { name, child }
    }

    fn log_of(world: &World, name: &str) -> PathBuf {
        world.bed.folder.join("logs").join(format!("replica-{name}.log"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Three replicas; whoever is killed is followed by another.
struct Replicas {
    world: World,
    running: Vec<Replica>,
    started: u32,
}

impl Replicas {
    fn start(world: &World) -> Self {
        let mut replicas = Self { world: world.clone(), running: Vec::new(), started: 0 };
        for _ in 0..3 {
            replicas.one_more();
        }
        replicas
    }

    fn one_more(&mut self) {
        self.started += 1;
        let name = format!("replica-{}", self.started);
        self.running.push(Replica::start(&self.world, name));
    }

    async fn lease(&self) -> Option<LeaseSpec> {
        let leases: Api<Lease> = Api::namespaced(self.world.cluster.client.clone(), NAMESPACE);
        leases.get_opt("hozen-operator").await.ok()??.spec
    }

    /// Position of the replica that leads, once one of those that run does.
    async fn leader(&self) -> usize {
        until("one of the replicas leads", async || {
            let holder = self.lease().await?.holder_identity?;
            self.running.iter().position(|replica| replica.name == holder)
        })
        .await
    }

    async fn takeovers(&self) -> i32 {
        self.lease().await.and_then(|lease| lease.lease_transitions).unwrap_or(0)
    }

    /// Stops the leader when it is about to write to a node, until another leader has written to that node; lets it go on, and returns
    /// once its write was refused. False: the rollout ended, and nobody writes any more.
    async fn stop_leader(&mut self, rollout: &str) -> bool {
        let at = self.leader().await;
        let file = stop_file(
            &settings_of(self.running[at].child.id(), &self.running[at].name).audit.unwrap(),
        );
        std::fs::write(&file, "").unwrap();
        let rollouts = self.world.api::<Rollout>();
        let node =
            until("the leader stops at a node, or there is nothing left to do", async || {
                let node = std::fs::read_to_string(&file).unwrap();
                if !node.is_empty() {
                    return Some(Some(node));
                }
                rollouts.get(rollout).await.ok()?.status?.ended.map(|_| None)
            })
            .await;
        if node.is_some() {
            let stat = format!("/proc/{}/stat", self.running[at].child.id());
            until("all of the leader has stopped", async || {
                std::fs::read_to_string(&stat).unwrap().contains(") T ").then_some(())
            })
            .await;
        }
        std::fs::remove_file(&file).unwrap();
        let Some(node) = node else { return false };
        let nodes = self.world.api::<Node>();
        let version = nodes.get(&node).await.unwrap().resource_version();
        let stopped = self.running.remove(at);
        self.leader().await;
        until("its successor writes to that node", async || {
            (nodes.get(&node).await.ok()?.resource_version() != version).then_some(())
        })
        .await;
        let log = Replica::log_of(&self.world, &stopped.name);
        stopped.signal(Signal::CONT);
        let answer = until("its write is answered", async || {
            let text = std::fs::read_to_string(&log).unwrap();
            text.lines().find_map(|line| line.strip_prefix(LATE)).map(str::to_owned)
        })
        .await;
        let refused = ["Ok(403)", "Ok(409)", "Ok(422)"].contains(&answer.as_str());
        assert!(refused, "the write that came late to {node} was answered {answer}");
        self.running.push(stopped);
        true
    }
}

pub async fn i47_replicas_that_are_killed_and_stopped_keep_every_budget(world: World) {
    let mut story = Story::begin(&world, "replicas", 10).await;
    story.play();
    let mut replicas = Replicas::start(&world);
    let before = replicas.takeovers().await;
    let rollout = story.agreed().await;
    let upheaval = async {
        assert!(replicas.stop_leader(&rollout).await, "the rollout ended before a node was taken");
        let mut kills = 0;
        while replicas.takeovers().await - before < TAKEOVERS_MIN {
            let at = replicas.leader().await;
            tokio::time::sleep(WORKS).await;
            replicas.running[at].kill();
            replicas.running.remove(at);
            replicas.one_more();
            kills += 1;
        }
        let takeovers = replicas.takeovers().await - before;
        println!("{takeovers} takeovers, {kills} kills, 1 stale write refused");
        replicas
    };
    let (replicas, ()) = tokio::join!(upheaval, story.ends(&rollout));
    until("no cordon of ours is left but that of the node that failed", async || {
        let cordoned = story.cordoned().await;
        cordoned.iter().all(|node| node == story.fleet.fails()).then_some(())
    })
    .await;
    drop(replicas);
    let seen = story.over().await;
    assert!(seen.looks > 10, "the watcher saw {} events only", seen.looks);
}
