//! Replicas as processes that are killed and stopped.

use std::{
    fs::File,
    process::{Child, Command, ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use hozen_api::rollout::Rollout;
use hozen_controller::{
    clock::MachineClock,
    runtime::{self, Admission},
};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::{
    Api, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

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
/// Longer than a lease holds.
const STOPPED: Duration = Duration::from_secs(14);
/// So many takeovers make the run count.
const TAKEOVERS_MIN: i32 = 5;
/// After how many stops without a stale write the run is given up.
const STOPS_MAX: u32 = 8;

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
        let admission = Admission::Told(watch::channel(None).1);
        let (_tell, stop) = watch::channel(false);
        runtime::run(settings(name), config, Arc::new(MachineClock), admission, stop).await
    });
    eprintln!("{ended:?}");
    ExitCode::FAILURE
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

    fn log_of(world: &World, name: &str) -> std::path::PathBuf {
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

    /// Returns when a replica has written into its audit trail what it is about to do, and has hardly begun to do it; false: the rollout
    /// has ended, and nothing will be done any more.
    async fn next_intent(&self, replica: &Replica, rollout: &str) -> bool {
        let trail = settings_of(replica.child.id(), &replica.name).audit.unwrap();
        let text = || std::fs::read_to_string(&trail).unwrap_or_default();
        let before = text().len();
        let rollouts = self.world.api::<Rollout>();
        for look in 0..60_000 {
            if text()[before..].contains("\"entry\":\"Intent\"") {
                return true;
            }
            if look % 500 == 0 {
                let status = rollouts.get_opt(rollout).await.ok().flatten().and_then(|r| r.status);
                if status.is_some_and(|status| status.ended.is_some()) {
                    return false;
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("the leader does nothing, and its rollout does not end");
    }

    async fn takeovers(&self) -> i32 {
        self.lease().await.and_then(|lease| lease.lease_transitions).unwrap_or(0)
    }

    /// Stops the leader between what it has decided and what it does, beyond its lease; lets it go on, and tells how many of its writes were
    /// refused when it woke; none: the rollout has ended.
    async fn stop_leader(&mut self, rollout: &str) -> Option<usize> {
        let at = self.leader().await;
        let log = Replica::log_of(&self.world, &self.running[at].name);
        if !self.next_intent(&self.running[at], rollout).await {
            return None;
        }
        self.running[at].signal(Signal::STOP);
        let before = std::fs::read_to_string(&log).unwrap().len();
        tokio::time::sleep(STOPPED).await;
        let stopped = self.running.remove(at);
        self.leader().await;
        stopped.signal(Signal::CONT);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let text = std::fs::read_to_string(&log).unwrap();
        let woken = &text[before..];
        self.running.push(stopped);
        Some(woken.lines().filter(|line| is_refusal(line)).count())
    }
}

/// Whether a line of the log tells of a write that came late: a status, or an effect that is not one of a pod that stays.
fn is_refusal(line: &str) -> bool {
    line.contains("somebody wrote first")
        || (line.contains("not done") && line.contains("refused: ") && !line.contains("pods stay"))
}

pub async fn i47_replicas_that_are_killed_and_stopped_keep_every_budget(world: World) {
    let mut story = Story::begin(&world, "replicas", 10).await;
    story.play();
    let mut replicas = Replicas::start(&world);
    let before = replicas.takeovers().await;
    let rollout = story.agreed().await;
    let upheaval = async {
        let (mut refused, mut stops, mut kills, mut ended) = (0, 0, 0, false);
        loop {
            let stop = refused == 0 && stops < STOPS_MAX && !ended;
            if !stop && replicas.takeovers().await - before >= TAKEOVERS_MIN {
                break;
            }
            if stop {
                match replicas.stop_leader(&rollout).await {
                    Some(more) => {
                        refused += more;
                        stops += 1;
                    }
                    None => ended = true,
                }
            }
            let at = replicas.leader().await;
            tokio::time::sleep(WORKS).await;
            replicas.running[at].kill();
            replicas.running.remove(at);
            replicas.one_more();
            kills += 1;
        }
        let takeovers = replicas.takeovers().await - before;
        println!(
            "{takeovers} takeovers, {kills} kills, {stops} stops, {refused} stale writes refused"
        );
        (takeovers, refused, replicas)
    };
    let ((takeovers, refused, replicas), ()) = tokio::join!(upheaval, story.ends(&rollout));
    assert!(takeovers >= TAKEOVERS_MIN, "{takeovers} takeovers only");
    assert!(refused > 0, "no stale write was refused");
    until("no cordon of ours is left but that of the node that failed", async || {
        let cordoned = story.cordoned().await;
        cordoned.iter().all(|node| node == story.fleet.fails()).then_some(())
    })
    .await;
    drop(replicas);
    let seen = story.over().await;
    assert!(seen.looks > 10, "the watcher saw {} events only", seen.looks);
}
