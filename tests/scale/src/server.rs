//! The API server as an administrator sees it: what is applied, and what the operator's own account has asked for.

use std::{path::Path, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use hozen_testbed::{clock::Moment, control_plane};
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;

use crate::Failed;

/// Requests at once: a small server has enough to do with them, and others get their turn.
pub const AT_ONCE: usize = 32;
/// How long one may take.
const ANSWER_MAX: Duration = Duration::from_mins(1);
/// Between two looks at something that another part of the cluster does soon.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// A connection to the API server.
#[derive(Clone)]
pub struct Server {
    /// As an administrator.
    pub client: Client,
    /// For those who connect under another account.
    pub config: Config,
}

impl Server {
    /// Connects as the kubeconfig says.
    pub async fn connect(kubeconfig: &Path) -> Result<Self, Failed> {
        let file = Kubeconfig::read_from(kubeconfig)?;
        let mut config =
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        config.default_retry = false;
        Ok(Self { client: Client::try_from(config.clone())?, config })
    }

    /// One request; the answer's object.
    pub async fn send(
        &self,
        method: http::Method,
        path: &str,
        kind_of_patch: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failed> {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.header("content-type", kind_of_patch);
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let answer = self.client.send(request.body(Body::from(body))?);
        let answer = tokio::time::timeout(ANSWER_MAX, answer)
            .await
            .map_err(|_| format!("{path}: no answer within {} s", ANSWER_MAX.as_secs()))??;
        let code = answer.status();
        let body = answer.into_body().collect_bytes().await?;
        if code.is_success() {
            return Ok(serde_json::from_slice(&body)?);
        }
        Err(format!("{path}: {code}: {}", String::from_utf8_lossy(&body)).into())
    }

    /// Makes an object; `path` is that of its collection.
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value, Failed> {
        self.send(http::Method::POST, path, "application/json", Some(object)).await
    }

    /// Changes an object, or its status, by a merge patch.
    pub async fn merge(&self, path: &str, change: &Value) -> Result<Value, Failed> {
        self.send(http::Method::PATCH, path, "application/merge-patch+json", Some(change)).await
    }

    /// Applies an object as people do; `path` is that of the collection.
    pub async fn apply(&self, path: &str, object: &Value) -> Result<Value, Failed> {
        let name = object["metadata"]["name"].as_str().ok_or("an object without a name")?;
        let path = format!("{path}/{name}?fieldManager=scale&force=true");
        self.send(http::Method::PATCH, &path, "application/apply-patch+yaml", Some(object)).await
    }

    /// Reads what is at a path.
    pub async fn get(&self, path: &str) -> Result<Value, Failed> {
        self.send(http::Method::GET, path, "application/json", None).await
    }
}

/// Does the same for many, several at once; how long it took.
pub async fn for_each<T>(
    all: impl IntoIterator<Item = T>,
    mut one: impl AsyncFnMut(T) -> Result<(), Failed> + Copy,
) -> Result<Duration, Failed> {
    let start = Moment::now();
    stream::iter(all)
        .map(|item| async move { one(item).await })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    Ok(start.elapsed())
}

/// Waits until there is something to be seen, and says how long that took; an error after the limit.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> Result<(T, Duration), Failed> {
    let start = Moment::now();
    loop {
        if let Some(found) = look().await {
            return Ok((found, start.elapsed()));
        }
        if start.elapsed() > limit {
            return Err(format!("waited {} s in vain: {what}", limit.as_secs()).into());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// What the operator's account has asked of the API server, read on from where the last look ended.
pub struct Audit {
    log: std::path::PathBuf,
    read: usize,
}

/// Calls of the operator, by verb and resource.
pub type Calls = std::collections::BTreeMap<String, usize>;

impl Audit {
    /// From now on.
    pub fn begin(bed: &hozen_testbed::bed::Bed) -> Self {
        let log = control_plane::audit_log(bed);
        let read = std::fs::metadata(&log).map_or(0, |file| file.len());
        Self { log, read: usize::try_from(read).unwrap_or(usize::MAX) }
    }

    /// The calls since the last look.
    pub fn calls(&mut self) -> Result<Calls, Failed> {
        let text = std::fs::read(&self.log)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let new = text.get(self.read..whole).unwrap_or_default();
        self.read = whole.max(self.read);
        let mut calls = Calls::new();
        for line in new.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let event: Value = serde_json::from_slice(line)?;
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let object = &event["objectRef"];
            let mut name = format!("{} {}", word(&event["verb"]), word(&object["resource"]));
            if let Some(part) = object["subresource"].as_str() {
                name = format!("{name}/{part}");
            }
            *calls.entry(name).or_default() += 1;
        }
        Ok(calls)
    }
}
