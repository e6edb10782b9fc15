//! Plays the scanner of each fake node: what real nodes report, in real size, at the rate of a fleet.
//!
//! Invariants: memory does not grow with time and grows with the fleet by a name and a uid a node, since equal reports are one text;
//! no more than `IN_FLIGHT_MAX` requests are under way; a node's instant in a round follows from its name and place.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::ListParams,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use super::MARK;
use crate::{
    bed::State,
    clock::{self, Moment},
    error::Error,
};

/// Half of what an API server does of writes at once by itself (`--max-mutating-requests-inflight`, 200) would already crowd out
/// others on a small machine; a fleet's own scanners come one by one.
const IN_FLIGHT_MAX: usize = 32;
/// How long one write may take.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// How many failures are named.
const FAILURES_SHOWN: usize = 3;

/// What is to be played.
#[derive(Debug, Clone)]
pub struct Play {
    /// One file for each class of nodes, as `hozen scan -o yaml` prints it: the first NodeInventory, and what it names.
    pub classes: Vec<PathBuf>,
    /// The first reports come spread over this time.
    pub within: Duration,
    /// How many reports each node writes.
    pub rounds: u32,
    /// The namespace whose service account `hozen-scanner` is to be the writer, bound to the node, as admission demands it;
    /// without, the administrator writes.
    pub scanner_of: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Played {
    /// Reports written.
    pub reports: usize,
    /// Reports that were refused or not answered in time.
    pub failures: usize,
    /// From the first write to the last.
    pub took: Duration,
    /// The slowest write.
    pub slowest: Duration,
    /// Bytes of all reports.
    pub bytes: usize,
}

impl Played {
    fn and(self, other: Self) -> Self {
        Self {
            reports: self.reports + other.reports,
            failures: self.failures + other.failures,
            took: self.took + other.took,
            slowest: self.slowest.max(other.slowest),
            bytes: self.bytes + other.bytes,
        }
    }
}

impl fmt::Display for Played {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reports, failures, took, slowest, bytes } = self;
        let (took, slowest) = (took.as_secs_f64(), slowest.as_secs_f64());
        let kilobytes = bytes / 1000;
        write!(
            out,
            "{reports} reports ({kilobytes} kB) in {took:.1} s, the slowest {slowest:.2} s, {failures} not written"
        )
    }
}

/// A class: the objects that reports name, and the report itself without what is a node's own.
struct Class {
    named: Vec<Value>,
    report: Value,
}

#[derive(Clone)]
struct Reporter {
    name: String,
    uid: String,
    class: Arc<Class>,
}

/// The examples' own classes: real scans of four kinds of machine.
pub fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/fleet/inventories");
    ["batch", "control-plane", "database", "web"]
        .map(|class| folder.join(class).with_extension("yaml"))
        .into()
}

/// Plays; `say` hears how far it is after each round.
pub fn play(
    state: &State,
    kubeconfig: &Path,
    what: &Play,
    say: &mut dyn FnMut(&str),
) -> Result<Played, Error> {
    if state.fake == 0 {
        return Err(Error::NoFakes);
    }
    let classes = what.classes.iter().map(|file| read(file).map(Arc::new));
    let classes = classes.collect::<Result<Vec<_>, _>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::io("start to play"))?;
    runtime.block_on(async {
        let client = connect(kubeconfig).await?;
        let reporters = reporters(&client, &classes).await?;
        if let Some(first) = reporters.first() {
            for object in classes.iter().flat_map(|class| &class.named) {
                create(&client, object, first, what.scanner_of.as_deref()).await?;
            }
        }
        let mut all = Played::default();
        for round in 1..=what.rounds {
            let one = play_round(&client, &reporters, what).await;
            say(&format!("round {round} of {}: {one}", what.rounds));
            all = all.and(one);
        }
        Ok(all)
    })
}

async fn play_round(client: &Client, reporters: &[Reporter], what: &Play) -> Played {
    let start = Moment::now();
    let total = reporters.len();
    let written = stream::iter(reporters.iter().enumerate())
        .map(|(at, reporter)| async move {
            // Each node has its own instant in the round; the order is that of the list, so few wait at once.
            let due = what.within.mul_f64(instant(at, total, &reporter.name));
            clock::until(start, due).await;
            let from = Moment::now();
            let result = write(client, reporter, what.scanner_of.as_deref()).await;
            (result, from.elapsed())
        })
        .buffer_unordered(IN_FLIGHT_MAX);
    let mut played = written
        .fold(Played::default(), async |mut played, (result, took)| {
            played.slowest = played.slowest.max(took);
            match result {
                Ok(bytes) => {
                    played.reports += 1;
                    played.bytes += bytes;
                }
                Err(why) => {
                    played.failures += 1;
                    if played.failures <= FAILURES_SHOWN {
                        let line = format!("a report was not written: {why}\n");
                        let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
                    }
                }
            }
            played
        })
        .await;
    played.took = start.elapsed();
    played
}

/// When in a round a node reports, from 0 to 1: in its place in the list, and a little off, by its name.
fn instant(at: usize, total: usize, name: &str) -> f64 {
    let off =
        name.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let at = u32::try_from(at).unwrap_or(u32::MAX);
    let total = u32::try_from(total).unwrap_or(u32::MAX).max(1);
    (f64::from(at) + f64::from(off % 1000) / 1000.0) / f64::from(total)
}

fn read(file: &Path) -> Result<Class, Error> {
    let bad = |why: String| Error::BadClass { path: file.to_owned(), why };
    let doing = format!("read {}", file.display());
    let text = fs::read_to_string(file).map_err(Error::io(doing))?;
    let documents = serde_yaml::Deserializer::from_str(&text)
        .map(<Value as serde::Deserialize>::deserialize)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad(error.to_string()))?;
    let inventory = documents
        .iter()
        .find(|document| document["kind"] == "NodeInventory")
        .ok_or_else(|| bad("it holds no NodeInventory".into()))?;
    let mut report = inventory["report"].clone();
    if !report.is_object() {
        return Err(bad("its NodeInventory has no report".into()));
    }
    let wanted: Vec<&Value> = report["transactions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| &one["transaction"])
        .chain([&report["packageSet"]])
        .collect();
    let named: Vec<Value> = documents
        .iter()
        .filter(|document| wanted.contains(&&document["metadata"]["name"]))
        .cloned()
        .collect();
    for name in wanted.iter().filter_map(|name| name.as_str()) {
        if named.iter().all(|object| object["metadata"]["name"] != name) {
            return Err(bad(format!("its report names {name}, which it does not hold")));
        }
    }
    if let Some(fields) = report.as_object_mut() {
        fields.remove("scan");
    }
    without_nulls(&mut report);
    Ok(Class { named, report })
}

/// Takes out what stands in a file as `null`: in an apply patch that is a value, and of the wrong type.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

async fn connect(kubeconfig: &Path) -> Result<Client, Error> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Request {
        doing: "connect to the API server".into(),
        source,
    };
    let file = Kubeconfig::read_from(kubeconfig).map_err(|error| failed(error.into()))?;
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(|error| failed(error.into()))?;
    // A refusal is counted, not tried again behind our back.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| failed(error.into()))
}

async fn reporters(client: &Client, classes: &[Arc<Class>]) -> Result<Vec<Reporter>, Error> {
    let nodes: Api<Node> = Api::all(client.clone());
    // In one piece: a busy server may have forgotten the moment of the first page before the last is asked for.
    let query = ListParams::default().labels(&format!("{MARK}=true"));
    let found = nodes.list_metadata(&query).await.map_err(|source| Error::Request {
        doing: "list the fake nodes".into(),
        source: source.into(),
    })?;
    let found =
        found.items.into_iter().map(|node| (node.name_any(), node.uid().unwrap_or_default()));
    let of_classes = found.zip(classes.iter().cycle().cloned());
    Ok(of_classes.map(|((name, uid), class)| Reporter { name, uid, class }).collect())
}

/// Writes what reports name; it may be there already.
async fn create(
    client: &Client,
    object: &Value,
    reporter: &Reporter,
    scanner_of: Option<&str>,
) -> Result<(), Error> {
    let plural = if object["kind"] == "PackageSet" { "packagesets" } else { "transactions" };
    let request = http::Request::post(format!("/apis/hozen.dev/v1alpha1/{plural}"))
        .header("content-type", "application/json");
    let request = in_the_name_of(reporter, scanner_of, request);
    match send(client, request, object.to_string().into_bytes()).await {
        Ok(()) | Err((409, _)) => Ok(()),
        Err((404, _)) => Err(Error::NotInstalled),
        Err((_, why)) => Err(Error::Request {
            doing: format!("create a {}", object["kind"].as_str().unwrap_or_default()),
            source: why.into(),
        }),
    }
}

/// One report, applied as the reporter applies it; its size in bytes.
async fn write(
    client: &Client,
    reporter: &Reporter,
    scanner_of: Option<&str>,
) -> Result<usize, String> {
    let Reporter { name, uid, class } = reporter;
    let mut report = class.report.clone();
    report["nodeUID"] = json!(uid);
    report["bootID"] = json!(format!("fake-{uid}"));
    report["scannedAt"] = json!(clock::timestamp());
    let inventory = json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "NodeInventory",
        "metadata": {"name": name}, "report": report});
    let body = inventory.to_string().into_bytes();
    let bytes = body.len();
    let path = format!(
        "/apis/hozen.dev/v1alpha1/nodeinventories/{name}?fieldManager=hozen-scanner&force=true"
    );
    let request = http::Request::patch(path).header("content-type", "application/apply-patch+yaml");
    let request = in_the_name_of(reporter, scanner_of, request);
    send(client, request, body).await.map(|()| bytes).map_err(|(_, why)| format!("{name}: {why}"))
}

/// Says in whose name a request is made: the scanner's, whose token is bound to its pod and so to its node.
fn in_the_name_of(
    reporter: &Reporter,
    scanner_of: Option<&str>,
    request: http::request::Builder,
) -> http::request::Builder {
    let Some(namespace) = scanner_of else { return request };
    let extra = "Impersonate-Extra-authentication.kubernetes.io%2F";
    request
        .header("Impersonate-User", format!("system:serviceaccount:{namespace}:hozen-scanner"))
        .header("Impersonate-Group", "system:serviceaccounts")
        .header("Impersonate-Group", "system:authenticated")
        .header(format!("{extra}node-name"), &reporter.name)
        .header(format!("{extra}node-uid"), &reporter.uid)
}

/// Sends a request; a refusal is its code, 0 where there was no answer, and its words.
async fn send(
    client: &Client,
    request: http::request::Builder,
    body: Vec<u8>,
) -> Result<(), (u16, String)> {
    let none = |why: String| (0, why);
    let request = request.body(Body::from(body)).map_err(|error| none(error.to_string()))?;
    let answer = tokio::time::timeout(WRITE_LIMIT, client.send(request))
        .await
        .map_err(|_| none(format!("no answer within {} s", WRITE_LIMIT.as_secs())))?
        .map_err(|error| none(error.to_string()))?;
    let code = answer.status();
    let body = answer.into_body().collect_bytes().await.map_err(|error| none(error.to_string()))?;
    if code.is_success() {
        return Ok(());
    }
    let words: Value = serde_json::from_slice(&body).unwrap_or_default();
    let words = words["message"].as_str().unwrap_or("without a message").to_owned();
    Err((code.as_u16(), format!("{code}: {words}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_are_classes_whole_in_themselves() {
        for file in examples() {
            let class = read(&file).unwrap();
            assert!(class.named.iter().any(|object| object["kind"] == "PackageSet"), "{file:?}");
            assert!(class.report["packageCount"].as_u64().is_some_and(|count| count > 50));
        }
    }

    #[test]
    fn a_file_whose_report_is_none_is_no_class() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for report in ["", "report: text", "report: [1]", "report:"] {
            fs::write(file.path(), format!("kind: NodeInventory\n{report}\n")).unwrap();
            let said = read(file.path()).err().expect(report).to_string();
            assert!(said.contains("its NodeInventory has no report"), "{said}");
        }
    }

    #[test]
    fn a_round_is_spread_over_its_time_in_order_and_alike_each_time() {
        let all: Vec<f64> =
            (0..5_000).map(|at| instant(at, 5_000, &format!("fake-{at}"))).collect();
        assert!(all.iter().all(|instant| (0.0..1.0).contains(instant)));
        let late = all.iter().filter(|instant| **instant >= 0.5).count();
        assert!((2_490..=2_510).contains(&late), "{late}");
        assert!((instant(7, 5_000, "fake-7") - all[7]).abs() < f64::EPSILON);
    }
}
