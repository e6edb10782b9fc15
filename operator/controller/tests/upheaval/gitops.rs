//! Intents that come from Git: a tool applies the same files every few seconds, as another field manager, before a rollout, through it and after.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::mpsc,
    time::Duration,
};

use hozen_api::{baseline::Baseline, change_request::ChangeRequest};
use hozen_testbed::control_plane::kubectl;
use hozen_testkit::{Kstatus, kstatus};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    cluster::{intents, until},
    world::{MAX, Operator, Story, World},
};

const TIER: &str = "gitops";
const BROKEN: &str = "gitops-broken";
/// Between two times that the files are applied.
const EVERY: Duration = Duration::from_secs(2);
/// In a whole rollout they are applied at least so often.
const TIMES_MIN: usize = 5;

/// Kind and name.
fn id(object: &Value) -> String {
    let word = |path| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    format!("{} {}", word("/kind"), word("/metadata/name"))
}

/// The files of a repository, and the cluster that they are applied to.
#[derive(Clone)]
struct Git {
    world: World,
    folder: PathBuf,
}

impl Git {
    fn new(world: &World, files: &[Value]) -> Self {
        let folder = world.bed.folder.join("git");
        std::fs::create_dir_all(&folder).unwrap();
        for (number, file) in files.iter().enumerate() {
            std::fs::write(folder.join(format!("{number}.json")), file.to_string()).unwrap();
        }
        Self { world: world.clone(), folder }
    }

    /// Applies all files; the objects as they are since.
    fn apply(&self) -> Vec<Value> {
        let folder = self.folder.to_string_lossy();
        let words = ["apply", "--server-side", "--field-manager=gitops", "--force-conflicts"];
        let words = [&words[..], &["--output=json", "--filename", &folder]].concat();
        let text = kubectl(&self.world.bed, &self.world.state, &words).unwrap();
        let list: Value = serde_json::from_str(&text).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// What tools read of each object.
    fn read(&self) -> BTreeMap<String, Kstatus> {
        self.apply().iter().map(|object| (id(object), kstatus(object))).collect()
    }

    /// Applies them again and again, until it is told to end: how often, and the generations that each object had.
    fn keep(&self, end: &mpsc::Receiver<()>) -> Kept {
        let mut kept = Kept::default();
        while end.recv_timeout(EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
            kept.times += 1;
            for object in self.apply() {
                let generation = object["metadata"]["generation"].as_i64().unwrap();
                kept.generations.entry(id(&object)).or_default().insert(generation);
            }
        }
        kept
    }
}

#[derive(Debug, Default)]
struct Kept {
    times: usize,
    generations: BTreeMap<String, BTreeSet<i64>>,
}

/// A tool that keeps the cluster as the files say.
struct Tool {
    end: mpsc::Sender<()>,
    task: JoinHandle<Kept>,
}

impl Tool {
    fn start(git: &Git) -> Self {
        let (git, (end, ends)) = (git.clone(), mpsc::channel());
        Self { end, task: tokio::task::spawn_blocking(move || git.keep(&ends)) }
    }

    async fn end(self) -> Kept {
        self.end.send(()).unwrap();
        self.task.await.unwrap()
    }
}

/// The files: what the tier must be, and one that people wrote wrongly.
fn files() -> Vec<Value> {
    let mut files = intents(TIER, MAX).to_vec();
    let mut broken = files[1].clone();
    broken["metadata"]["name"] = json!(BROKEN);
    broken["spec"]["selector"]["nodes"]["matchLabels"]["tier"] = json!(BROKEN);
    broken["spec"]["windows"] = json!([{"name": "night", "schedule": "0 2 * * *",
        "duration": "4h", "timeZone": "Mars/Olympus"}]);
    files.push(broken);
    files
}

pub async fn files_that_are_applied_again_and_again_fight_nobody(world: World) {
    let mut story = Story::without_intents(&world, TIER, 6).await;
    let git = Git::new(&world, &files());
    let read = git.read();
    let of = |read: &BTreeMap<String, Kstatus>, id: &str| read[id];
    let baseline = format!("Baseline {TIER}");
    assert_eq!(of(&read, &baseline), Kstatus::InProgress, "nobody has seen it yet");
    let tool = Tool::start(&git);
    let operator = Operator::start(&world, TIER);
    story.play();
    let rollout = story.agreed().await;
    story.ends(&rollout).await;
    world.cluster.quiet().await;
    let kept = tool.end().await;
    assert!(kept.times >= TIMES_MIN, "{kept:?}");
    let moved = kept.generations.iter().filter(|(_, generations)| generations.len() > 1);
    assert_eq!(moved.collect::<Vec<_>>(), [], "somebody else wrote what stands in Git");
    settled(&world, &git, &baseline).await;
    asked_once(&world, &rollout).await;
    operator.end().await;
    world.api::<Baseline>().delete(BROKEN, &DeleteParams::default()).await.unwrap();
    story.over().await;
}

/// What was applied is through, what is wrong says so, nothing drifts, and what the operator says is still its own.
async fn settled(world: &World, git: &Git, baseline: &str) {
    let versions = |objects: &[Value]| -> BTreeMap<String, Value> {
        objects.iter().map(|o| (id(o), o["metadata"]["resourceVersion"].clone())).collect()
    };
    assert_eq!(versions(&git.apply()), versions(&git.apply()), "to apply it again changes nothing");
    let broken = format!("Baseline {BROKEN}");
    for (object, shown) in git.read() {
        let wanted = if object == broken { Kstatus::Failed } else { Kstatus::Current };
        assert_eq!(shown, wanted, "{object}");
    }
    let found = world.api::<Baseline>().get(TIER).await.unwrap();
    let managers: BTreeSet<(String, String)> = found
        .metadata
        .managed_fields
        .unwrap_or_default()
        .into_iter()
        .map(|of| (of.manager.unwrap_or_default(), of.subresource.unwrap_or_default()))
        .collect();
    let ours = ("hozen-baseline".to_owned(), "status".to_owned());
    let theirs = ("gitops".to_owned(), String::new());
    assert_eq!(managers, [theirs, ours].into(), "{baseline}");
}

/// People were asked once, and what they said counted to the end.
async fn asked_once(world: &World, rollout: &str) {
    let requests: Api<ChangeRequest> = world.api();
    let all = requests.list(&ListParams::default()).await.unwrap().items;
    let of_tier: Vec<&ChangeRequest> =
        all.iter().filter(|request| request.spec.plan.baseline.name == TIER).collect();
    let names: Vec<String> = of_tier.iter().map(|request| request.name_any()).collect();
    assert_eq!(names, [rollout]);
    let approvals = of_tier[0].status.as_ref().map(|status| &status.approvals).unwrap();
    assert!(!approvals.is_empty() && approvals.iter().all(|word| word.counts), "{approvals:?}");
    until("the request says how its rollout ended", async || {
        let request = serde_json::to_value(requests.get(rollout).await.ok()?).unwrap();
        (kstatus(&request) == Kstatus::Failed).then_some(())
    })
    .await;
}
