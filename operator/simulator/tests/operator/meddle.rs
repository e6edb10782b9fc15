//! What others do to the cluster while the operator works, and what the network does to its replicas.

use std::time::Duration;

use hozen_simulator::{Call, Link, Random, Server, Verb, json::text};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    check::{cordoned, record},
    outside::{APPROVALS, NODES, REQUESTS, approve, name, ready},
    run::Trial,
    scene::{ADMISSION, Scene, change, make, status},
};

/// Somebody's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A person uncordons a node of ours.
    Uncordon,
    /// A person cordons a node that is free, and uncordons it later.
    Cordon,
    /// A node is not ready for a while.
    Away,
    /// Somebody takes an admission policy's binding away, and puts it back later.
    Unguard,
    /// Somebody who agreed withdraws, and another agrees later.
    Withdraw,
    /// A node is deleted, and made anew under its name.
    Rebuild,
}

/// All of them.
pub const ALL: [Act; 6] =
    [Act::Uncordon, Act::Cordon, Act::Away, Act::Unguard, Act::Withdraw, Act::Rebuild];
const BINDINGS: (&str, &str) = (ADMISSION, "validatingadmissionpolicybindings");

/// Whoever meddles begins.
pub fn begin(server: &Server, trial: &Trial, random: &mut Random, until: Timestamp) {
    let mut acts = trial.meddling.clone();
    if trial.faults {
        acts.extend(ALL.into_iter().filter(|_| random.permille(250)));
        tokio::spawn(lags(server.clone(), random.fork(), until));
    }
    for act in acts {
        let (server, random) = (server.clone(), random.fork());
        tokio::spawn(meddle(server, trial.scene.clone(), act, random));
    }
}

async fn seconds(random: &mut Random, low: u64, high: u64) {
    tokio::time::sleep(Duration::from_millis(random.between(low * 1_000, high * 1_000))).await;
}

async fn meddle(server: Server, scene: Scene, act: Act, mut random: Random) {
    seconds(&mut random, 20, 240).await;
    match act {
        Act::Uncordon => uncordon(&server, &mut random).await,
        Act::Cordon => cordon(&server, &mut random).await,
        Act::Away => away(&server, &mut random).await,
        Act::Unguard => unguard(&server, &mut random).await,
        Act::Withdraw => withdraw(&server, &mut random).await,
        Act::Rebuild => rebuild(&server, &scene, &mut random).await,
    }
}

/// A node of some sort, drawn.
fn some(
    server: &Server,
    random: &mut Random,
    wanted: impl Fn(&serde_json::Value) -> bool,
) -> Option<String> {
    server.look(|view| {
        let found: Vec<&str> = view.list(NODES).filter(|node| wanted(node)).map(name).collect();
        let at = random.below(found.len() as u64);
        found.get(usize::try_from(at).ok()?).map(|name| (*name).to_owned())
    })
}

async fn uncordon(server: &Server, random: &mut Random) {
    for _ in 0..60 {
        if let Some(node) = some(server, random, |node| record(node).is_some() && cordoned(node)) {
            let free = json!({"spec": {"unschedulable": null}});
            change(server, ("dave", ""), NODES, ("", &node), "", &free);
            return;
        }
        seconds(random, 1, 4).await;
    }
}

async fn cordon(server: &Server, random: &mut Random) {
    let free = |node: &serde_json::Value| record(node).is_none() && !cordoned(node);
    let Some(node) = some(server, random, free) else { return };
    let version = server
        .look(|view| view.get(NODES, "", &node).map(|n| n["metadata"]["resourceVersion"].clone()));
    let closed = json!({"metadata": {"resourceVersion": version}, "spec": {"unschedulable": true}});
    if change(server, ("dave", ""), NODES, ("", &node), "", &closed).is_none() {
        return;
    }
    seconds(random, 30, 400).await;
    let open = json!({"spec": {"unschedulable": null}});
    change(server, ("dave", ""), NODES, ("", &node), "", &open);
}

async fn away(server: &Server, random: &mut Random) {
    let Some(node) = some(server, random, ready) else { return };
    let boots = |server: &Server| {
        let boot = server.look(|view| {
            text(view.get(NODES, "", &node)?, "/status/nodeInfo/bootID").map(str::to_owned)
        });
        boot.and_then(|boot| boot.rsplit('-').next()?.parse().ok()).unwrap_or(0)
    };
    let gone = json!({"status": status(&node, boots(server), false, server.now())});
    change(server, ("system:node-controller", ""), NODES, ("", &node), "status", &gone);
    seconds(random, 30, 400).await;
    let back = json!({"status": status(&node, boots(server), true, server.now())});
    change(server, ("system:node", ""), NODES, ("", &node), "status", &back);
}

async fn unguard(server: &Server, random: &mut Random) {
    let taken = server.look(|view| {
        let all: Vec<_> = view.list(BINDINGS).cloned().collect();
        all.get(usize::try_from(random.below(all.len() as u64)).ok()?).cloned()
    });
    let Some(mut binding) = taken else { return };
    let call = Call::of("mallory", Verb::Delete, BINDINGS, ("", name(&binding)));
    drop(server.value(&call));
    seconds(random, 30, 400).await;
    binding["metadata"] = json!({"name": name(&binding), "labels": binding["metadata"]["labels"],
        "annotations": binding["metadata"]["annotations"]});
    make(server, BINDINGS, "", &binding);
}

async fn withdraw(server: &Server, random: &mut Random) {
    let given = server.look(|view| view.list(APPROVALS).next().cloned());
    let Some(word) = given else { return };
    let withdrawn = json!({"spec": {"withdrawn": true}});
    change(server, ("people", ""), APPROVALS, ("", name(&word)), "", &withdrawn);
    seconds(random, 30, 400).await;
    let of = text(&word, "/spec/changeRequest/name").unwrap_or_default();
    let request = server.look(|view| view.get(REQUESTS, "", of).cloned());
    if let Some(request) = request {
        let role = text(&word, "/spec/role").unwrap_or_default();
        approve(server, &request, role, &format!("{role}-other"), "");
    }
}

async fn rebuild(server: &Server, scene: &Scene, random: &mut Random) {
    let Some(node) = some(server, random, |_| true) else { return };
    let labels =
        server.look(|view| view.get(NODES, "", &node).map(|n| n["metadata"]["labels"].clone()));
    drop(server.value(&Call::of("autoscaler", Verb::Delete, NODES, ("", &node))));
    seconds(random, 5, 120).await;
    let now = server.now();
    let anew = json!({"metadata": {"name": node, "labels": labels}, "spec": {}, "status": status(&node, 0, true, now)});
    let made = make(server, NODES, "", &anew);
    let uid = text(&made, "/metadata/uid").unwrap_or_default();
    seconds(random, 1, 20).await;
    scene.rebuilt(server, &node, uid);
}

/// Replicas of the server fall behind, and stop for a while.
async fn lags(server: Server, mut random: Random, until: Timestamp) {
    while server.now() < until {
        seconds(&mut random, 5, 60).await;
        let replica = usize::try_from(random.below(2)).unwrap_or(0);
        if random.permille(300) {
            server.freeze(replica, true);
            seconds(&mut random, 1, 20).await;
            server.freeze(replica, false);
        } else {
            server.lag(replica, Duration::from_millis(random.below(8_000)));
        }
    }
    for replica in 0..2 {
        server.lag(replica, Duration::ZERO);
    }
}

/// A replica does not reach the lease for a while, and all else it does; or it stands still, and what was on its way arrives when it goes on.
pub async fn partitions(link: Link, mut random: Random, server: Server, until: Timestamp) {
    while server.now() < until {
        seconds(&mut random, 20, 400).await;
        match random.below(10) {
            0..3 => {
                link.cut(Some("leases"));
                seconds(&mut random, 3, 40).await;
                link.cut(None);
            }
            3..5 => {
                link.hold(true);
                seconds(&mut random, 3, 40).await;
                link.hold(false);
            }
            _ => {}
        }
    }
}
