//! How fast a bed is and how much memory it takes, measured on a bed of its own.

use std::{fs, path::Path, time::Duration};

use crate::{
    Wanted,
    bed::{Bed, State},
    clock::Moment,
    control_plane,
    error::Error,
    image,
    node::{self, Node},
    programs::{Missing, Programs},
};

/// One measurement: what, how much, and the goal.
#[derive(Debug, Clone)]
pub struct Measured {
    /// What was measured.
    pub what: String,
    /// The value, in `unit`.
    pub value: f64,
    /// Seconds (`s`) or gigabytes (`GB`).
    pub unit: &'static str,
    /// At most this much is the goal.
    pub goal: f64,
}

/// Builds the cluster's programs in a folder of the bed, with none of Go's compiled packages: the sources alone are there, if they are.
pub fn build(bed: &Bed, say: &mut dyn FnMut(&Measured)) -> Result<(), Error> {
    // Where `down` removes it too, if this is ended.
    let cache = bed.folder.join("build");
    let remove = || match fs::remove_dir_all(&cache) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Io { doing: format!("remove {}", cache.display()), source })
        }
        _ => Ok(()),
    };
    // What a build that was ended has left would be taken up.
    remove()?;
    let begin = Moment::now();
    let built = Programs::build_in(&cache);
    let value = begin.elapsed().as_secs_f64();
    remove()?;
    built?;
    say(&Measured {
        what: "build of the cluster's programs".into(),
        value,
        unit: "s",
        goal: 720.0,
    });
    Ok(())
}

/// Brings a bed up step by step, measures, and removes it, also when a step fails. With `nodes` 0 only the control plane.
pub fn run(
    bed: &Bed,
    nodes: u8,
    missing: Missing,
    say: &mut dyn FnMut(&Measured),
) -> Result<(), Error> {
    crate::down(bed)?;
    let mut tell = |what: &str, value: f64, unit: &'static str, goal: f64| {
        say(&Measured { what: what.to_owned(), value, unit, goal });
    };
    let measured = measure(bed, nodes, missing, &mut tell);
    let start = Moment::now();
    crate::down(bed)?;
    measured?;
    tell("down", start.elapsed().as_secs_f64(), "s", 5.0);
    Ok(())
}

fn measure(
    bed: &Bed,
    nodes: u8,
    missing: Missing,
    tell: &mut dyn FnMut(&str, f64, &'static str, f64),
) -> Result<(), Error> {
    // What is built once for all beds is not a part of the time of one.
    Programs::find(missing)?;
    if nodes > 0 {
        node::lacking()?;
        node::root()?;
    }
    let wanted = |nodes| Wanted { nodes, missing, ..Wanted::default() };
    let network = (nodes > 0).then_some(0);
    let start = Moment::now();
    crate::up(bed, wanted(network), &mut |_| {})?;
    tell("control plane ready", start.elapsed().as_secs_f64(), "s", 6.0);
    if nodes > 0 {
        let start = Moment::now();
        let state = crate::up(bed, wanted(Some(1)), &mut |_| {})?;
        tell("one real node Ready", start.elapsed().as_secs_f64(), "s", 10.0);
        let node = Node::find(bed, &state, "node-1")?;
        start_pods(bed, &state)?;
        let start = Moment::now();
        node.reboot()?;
        node.wait_ready()?;
        let what = format!("reboot with {PODS} pods to Ready with a new boot id");
        tell(&what, start.elapsed().as_secs_f64(), "s", 10.0);
        let start = Moment::now();
        let state = crate::up(bed, wanted(Some(nodes)), &mut |_| {})?;
        if nodes > 1 {
            let others = format!("{} more real nodes Ready", nodes - 1);
            tell(&others, start.elapsed().as_secs_f64(), "s", 10.0 * f64::from(nodes - 1));
        }
        tell(&format!("memory of {nodes} real nodes"), memory_of_nodes(&state), "GB", 1.5);
    }
    tell("memory of the control plane", memory_of_parts(bed), "GB", 1.0);
    Ok(())
}

/// Pods that the node has when it reboots: an empty one proves little.
const PODS: usize = 10;
/// How long they may take.
const PODS_LIMIT: Duration = Duration::from_mins(2);

/// Pods on the first node that do nothing, once they run.
fn start_pods(bed: &Bed, state: &State) -> Result<(), Error> {
    let image = format!("--image={}", image::PAUSE);
    let overrides = r#"--overrides={"spec":{"nodeName":"node-1"}}"#;
    for number in 0..PODS {
        let name = format!("pause-{number}");
        let words = ["run", &name, &image, "--image-pull-policy=Never", overrides];
        control_plane::kubectl(bed, state, &words)?;
    }
    let phases = ["get", "pods", "--output=jsonpath={.items[*].status.phase}"];
    control_plane::await_output(bed, state, &phases, PODS_LIMIT, |seen| {
        seen.split(' ').filter(|phase| *phase == "Running").count() == PODS
    })
    .map(drop)
}

const GIGABYTE: f64 = 1e9;

/// The anonymous and file memory of the nodes' processes, each shared page counted once among its users.
fn memory_of_nodes(state: &State) -> f64 {
    let prefix = format!("/{}/", state.prefix());
    let inside = |pid: &Path| {
        fs::read_to_string(pid.join("cgroup")).is_ok_and(|groups| groups.contains(&prefix))
    };
    memory_of(&inside)
}

fn memory_of_parts(bed: &Bed) -> f64 {
    let pids: Vec<i32> = control_plane::PARTS
        .iter()
        .filter_map(|part| crate::process::Record::read(&bed.folder.join("run").join(part)))
        .map(|record| record.pid)
        .collect();
    memory_of(&|folder: &Path| {
        let name = folder.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.parse().ok()).is_some_and(|pid| pids.contains(&pid))
    })
}

/// Proportional memory of the processes whose folder under /proc is chosen, in GB.
fn memory_of(chosen: &dyn Fn(&Path) -> bool) -> f64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let kilobytes: u32 = processes
        .map(|entry| entry.path())
        .filter(|folder| chosen(folder))
        .filter_map(|folder| fs::read_to_string(folder.join("smaps_rollup")).ok())
        .filter_map(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().trim_end_matches(" kB").parse::<u32>().ok()
        })
        .sum();
    f64::from(kilobytes) * 1024.0 / GIGABYTE
}
