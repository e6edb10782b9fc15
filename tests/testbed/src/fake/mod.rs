//! Fake nodes in numbers, played by kwok: they have leases, heartbeats and pods that run, and nothing behind them.

pub mod player;

use std::{collections::BTreeMap, fs, time::Duration};

use serde_json::json;

use crate::{
    bed::{Bed, State},
    clock::{self, Moment},
    control_plane,
    error::Error,
    process,
    programs::Programs,
};

/// What kwok plays: it needs to be told, or it plays nothing.
const STAGES: [&str; 5] = [
    "node/fast/node-initialize.yaml",
    "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-complete.yaml",
    "pod/fast/pod-delete.yaml",
];
/// One kubectl sends some fifty requests a second; several of them make thousands of nodes in seconds.
const NODES_PER_KUBECTL: u32 = 250;
/// At most so many at once: each takes memory and a processor.
const KUBECTLS_MAX: usize = 8;
/// How long the nodes may take to be ready, however few they are.
const READY_LIMIT: Duration = Duration::from_mins(2);
/// And for each of them, on a machine that does much else.
const READY_LIMIT_EACH: Duration = Duration::from_millis(200);
/// A list of thousands takes a busy server more than the ten seconds that suffice for all else.
const ANSWER_LIMIT: &str = "--request-timeout=60s";
/// A look at all nodes costs the server much: between two of them pass so many times what the last took.
const LOOKS_APART: u32 = 4;
/// The label, and the annotation, by which a fake node is known.
const MARK: &str = "testbed.hozen.dev/fake";

/// What their names begin with; a number follows.
const NAMES: &str = "fake-";

/// The program that plays fake nodes, a part of the bed where there are any.
pub const PLAYER: &str = "kwok";

/// How often it is said how many are ready.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Starts kwok, makes the nodes that the state wants, and waits until all are ready. `say` hears how far it is.
pub fn start(bed: &Bed, state: &State, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
    if state.fake == 0 {
        return Ok(());
    }
    let programs = Programs::at(state.programs.clone());
    let mut arguments = vec![
        format!("--kubeconfig={}", bed.folder.join("kwok.kubeconfig").display()),
        format!("--manage-nodes-with-annotation-selector={MARK}=true"),
        // Each of them renews its lease every fifty seconds: thousands cost a hundred writes a second.
        "--node-lease-duration-seconds=200".into(),
        format!("--server-address=127.0.0.1:{}", state.ports().kwok),
    ];
    for stage in STAGES {
        arguments.push(format!("--config={}", programs.path("kwok-stages").join(stage).display()));
    }
    control_plane::start_part(bed, &programs, PLAYER, &arguments)?;
    complete(bed, state, say)
}

/// Makes those of the nodes that are not there yet, and waits until all are ready.
pub fn complete(bed: &Bed, state: &State, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
    if state.fake == 0 {
        return Ok(());
    }
    let limit = READY_LIMIT.max(READY_LIMIT_EACH * state.fake);
    let there = clock::wait("a list of the fake nodes", READY_LIMIT, || look(bed, state))?;
    create(bed, state, &there, say)?;
    let mut told = Moment::now();
    let (mut from, mut apart, mut last) = (Moment::now(), Duration::ZERO, String::new());
    clock::wait("all fake nodes Ready", limit, || {
        if from.elapsed() < apart {
            return Ok(Err(last.clone()));
        }
        from = Moment::now();
        let seen = look(bed, state)?;
        apart = from.elapsed() * LOOKS_APART;
        last = match seen {
            Ok(nodes) => {
                let ready = nodes.values().filter(|ready| **ready).count();
                if usize::try_from(state.fake).is_ok_and(|fake| ready >= fake) {
                    return Ok(Ok(()));
                }
                if told.elapsed() >= TOLD_EVERY {
                    told = Moment::now();
                    say(&format!("{ready} of {} fake nodes are Ready", state.fake));
                }
                let log = process::log_tail(&bed.folder.join("logs/kwok.log"));
                format!("{ready} of {}\n{log}", state.fake)
            }
            Err(why) => why,
        };
        Ok(Err(last.clone()))
    })
}

/// The fake nodes that are there, and whether each is ready. A server that has much to do may answer late.
fn look(bed: &Bed, state: &State) -> Result<Result<BTreeMap<String, bool>, String>, Error> {
    // As a table, in one piece: thousands of whole nodes in pages cost the server more than they tell, and the moment of the first
    // page may be forgotten before the last is asked for.
    let selector = format!("{MARK}=true");
    let list = ["get", "nodes", "--selector", &selector, "--no-headers", "--chunk-size=0"];
    let arguments = [&list[..], &[ANSWER_LIMIT]].concat();
    let seen = match control_plane::kubectl(bed, state, &arguments) {
        Ok(seen) => seen,
        Err(Error::CommandFailed { output, .. }) => return Ok(Err(output)),
        Err(other) => return Err(other),
    };
    let node = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next() == Some("Ready")))
    };
    Ok(Ok(seen.lines().filter_map(node).collect()))
}

fn create(
    bed: &Bed,
    state: &State,
    there: &BTreeMap<String, bool>,
    say: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let absent = |number: &u32| !there.contains_key(&name(*number));
    let numbers: Vec<u32> = (1..=state.fake).filter(absent).collect();
    let mut files = Vec::new();
    for (at, part) in numbers.chunks(NODES_PER_KUBECTL as usize).enumerate() {
        let nodes: Vec<_> = part.iter().map(|number| node(*number)).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": nodes});
        let file = bed.folder.join("run").join(format!("fake-{at}.json"));
        fs::write(&file, list.to_string()).map_err(Error::io("write the fake nodes down"))?;
        files.push(file);
    }
    let at_once = NODES_PER_KUBECTL as usize * KUBECTLS_MAX;
    for (round, files) in files.chunks(KUBECTLS_MAX).enumerate() {
        if round > 0 {
            say(&format!("{} of {} fake nodes are made", round * at_once, numbers.len()));
        }
        std::thread::scope(|scope| {
            let create = |file: &std::path::Path| {
                let file = file.to_string_lossy();
                let words = [
                    "create",
                    "--validate=false",
                    "--output=name",
                    "--filename",
                    &file,
                    ANSWER_LIMIT,
                ];
                control_plane::kubectl(bed, state, &words).map(drop)
            };
            let running: Vec<_> =
                files.iter().map(|file| scope.spawn(move || create(file))).collect();
            running.into_iter().try_for_each(|one| {
                one.join().unwrap_or_else(|_| {
                    let source = std::io::Error::other("a thread ended early");
                    Err(Error::Io { doing: "create fake nodes".into(), source })
                })
            })
        })?;
    }
    Ok(())
}

fn name(number: u32) -> String {
    format!("{NAMES}{number}")
}

/// Whether a fake node may have this name.
pub fn is_name(name: &str) -> bool {
    name.strip_prefix(NAMES).is_some_and(|number| number.parse::<u32>().is_ok())
}

fn node(number: u32) -> serde_json::Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name(number),
            "labels": {
                MARK: "true",
                "kubernetes.io/hostname": name(number),
                "kubernetes.io/os": "linux",
                "topology.kubernetes.io/zone": format!("zone-{}", number % 3),
            },
            "annotations": {MARK: "true"},
        },
        // Nothing is scheduled there by chance.
        "spec": {"taints": [{"key": MARK, "value": "true", "effect": "NoSchedule"}]},
        "status": {
            "allocatable": {"cpu": "32", "memory": "256Gi", "pods": "110"},
            "capacity": {"cpu": "32", "memory": "256Gi", "pods": "110"},
        },
    })
}
