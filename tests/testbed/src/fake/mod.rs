//! Fake nodes in numbers, played by kwok: they have leases, heartbeats and pods that run, and nothing behind them.

pub mod player;

use std::{fs, time::Duration};

use serde_json::json;

use crate::{
    bed::{Bed, State},
    clock, control_plane,
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
/// How long thousands of nodes may take to be ready.
const READY_LIMIT: Duration = Duration::from_mins(5);
/// The label, and the annotation, by which a fake node is known.
const MARK: &str = "testbed.hozen.dev/fake";

/// Starts kwok, makes the nodes that the state wants, and waits until all are ready.
pub fn start(bed: &Bed, state: &State) -> Result<(), Error> {
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
    control_plane::start_part(bed, &programs, "kwok", &arguments)?;
    create(bed, state)?;
    let selector = format!("{MARK}=true");
    clock::wait("all fake nodes Ready", READY_LIMIT, || {
        // As a table, in one piece: thousands of whole nodes in pages cost the server more than they tell, and the moment of the first
        // page may be forgotten before the last is asked for.
        let arguments = ["get", "nodes", "--selector", &selector, "--no-headers", "--chunk-size=0"];
        let seen = match control_plane::kubectl(bed, state, &arguments) {
            Ok(seen) => seen,
            // A server that has much to do may answer late.
            Err(Error::CommandFailed { output, .. }) => return Ok(Err(output)),
            Err(other) => return Err(other),
        };
        let is_ready = |line: &&str| line.split_whitespace().nth(1) == Some("Ready");
        let ready = seen.lines().filter(is_ready).count();
        let log = || process::log_tail(&bed.folder.join("logs/kwok.log"));
        let all = usize::try_from(state.fake).is_ok_and(|fake| ready >= fake);
        Ok(if all { Ok(()) } else { Err(format!("{ready} of {}\n{}", state.fake, log())) })
    })
}

fn create(bed: &Bed, state: &State) -> Result<(), Error> {
    let numbers: Vec<u32> = (1..=state.fake).collect();
    let mut files = Vec::new();
    for (at, part) in numbers.chunks(NODES_PER_KUBECTL as usize).enumerate() {
        let nodes: Vec<_> = part.iter().map(|number| node(*number)).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": nodes});
        let file = bed.folder.join("run").join(format!("fake-{at}.json"));
        fs::write(&file, list.to_string()).map_err(Error::io("write the fake nodes down"))?;
        files.push(file);
    }
    for files in files.chunks(KUBECTLS_MAX) {
        std::thread::scope(|scope| {
            let create = |file: &std::path::Path| {
                let file = file.to_string_lossy();
                let words = ["create", "--validate=false", "--output=name", "--filename", &file];
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

fn node(number: u32) -> serde_json::Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": format!("fake-{number}"),
            "labels": {
                MARK: "true",
                "kubernetes.io/hostname": format!("fake-{number}"),
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
