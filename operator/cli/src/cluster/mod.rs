//! What is asked of a cluster: by the person who types it, with that person's own rights and in that person's own name.

mod approval;
pub mod args;
mod cordons;
mod decide;
mod doctor;
pub mod error;
mod fleet;
mod handle;
mod images;
mod requests;
mod rights;
mod show;
mod watch;
mod write;

use std::{process::ExitCode, time::Duration};

use hozen_api::{managed_image::ManagedImage, names::account, package_set::PackageSet};
use kube::{
    Api, Client, Config, Resource, ResourceExt,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
    core::DeserializeGuard,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{args::At, error::Failed};
use args::Command;
use error::{ClusterError, told};

/// How many objects of a kind are asked for at once.
const PAGE: u32 = 500;
/// A server that says nothing for so long says nothing: who typed the command is told, rather than left waiting.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A cluster, and who asks.
pub struct Cluster {
    client: Client,
    /// Namespace that Hozen is installed in.
    namespace: String,
    /// Address of its API server.
    server: String,
    /// How it is reached.
    config: Config,
}

/// An object that does not have the form of its kind.
#[derive(Debug, Serialize)]
struct Unreadable {
    kind: String,
    name: String,
    why: String,
}

/// Does what was typed.
pub fn run(command: &Command) -> Result<ExitCode, Failed> {
    match command {
        Command::Approve(asked) => with(&asked.at, async |c| approval::approve(&c, asked).await),
        Command::Reject(asked) => with(&asked.at, async |c| approval::reject(&c, asked).await),
        Command::Withdraw(asked) => with(&asked.at, async |c| approval::withdraw(&c, asked).await),
        Command::Pause(asked) => with(&asked.at, async |c| handle::pause(&c, asked, true).await),
        Command::Resume(asked) => with(&asked.at, async |c| handle::pause(&c, asked, false).await),
        Command::Abort(asked) => with(&asked.at, async |c| handle::abort(&c, asked).await),
        Command::Retry(asked) => with(&asked.at, async |c| handle::retry(&c, asked).await),
        Command::Promote(asked) => with(&asked.at, async |c| handle::promote(&c, asked).await),
        Command::AcceptFailure(asked) => with(&asked.at, async |c| handle::accept(&c, asked).await),
        Command::Rescan(asked) => with(&asked.at, async |c| handle::rescan(&c, asked).await),
        Command::Halt(asked) => {
            with(&asked.at, async |c| handle::halt(&c, Some(&asked.reason)).await)
        }
        Command::Unhalt(asked) => with(&asked.at, async |c| handle::halt(&c, None).await),
        Command::Status(asked) => with(&asked.at, async |c| fleet::run(&c, asked.output).await),
        Command::Doctor(asked) => with(&asked.at, async |c| doctor::run(&c, asked.output).await),
        Command::Watch(asked) => {
            with(&asked.at, async |c| watch::run(&c, asked.rollout.as_deref()).await)
        }
    }
}

/// `hozen explain` without a folder.
pub fn explain(asked: &crate::args::Explain, subject: &str) -> Result<ExitCode, Failed> {
    with(&asked.at, async |c| decide::explain(&c, asked, subject).await)
}

/// `hozen plan` without a folder.
pub fn plan(asked: &crate::args::Plan) -> Result<ExitCode, Failed> {
    with(&asked.at, async |c| decide::plan(&c, asked).await)
}

/// Records what is in an image. True if nothing was known of it before.
pub fn import(at: &At, image: &ManagedImage, sets: &[PackageSet]) -> Result<bool, Failed> {
    with(at, async |cluster| {
        for set in sets {
            cluster.bring(set).await?;
        }
        Ok(cluster.record(image).await?)
    })
}

/// Connects, and works with the cluster.
fn with<T>(at: &At, work: impl AsyncFnOnce(Cluster) -> Result<T, Failed>) -> Result<T, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ClusterError::Runtime)?;
    runtime.block_on(async { work(Cluster::connect(at).await?).await })
}

fn client(config: Config) -> Result<Client, ClusterError> {
    Client::try_from(config).map_err(|error| ClusterError::Silent("let us in".to_owned(), error))
}

impl Cluster {
    async fn connect(at: &At) -> Result<Self, ClusterError> {
        let options =
            KubeConfigOptions { context: at.context.clone(), ..KubeConfigOptions::default() };
        let config = match &at.kubeconfig {
            Some(file) => {
                let file = Kubeconfig::read_from(file).map_err(ClusterError::Config)?;
                Config::from_custom_kubeconfig(file, &options).await
            }
            None => match Config::from_kubeconfig(&options).await {
                Err(error) if at.context.is_none() => Config::incluster().map_err(|_| error),
                other => other,
            },
        };
        let mut config = config.map_err(ClusterError::Config)?;
        config.read_timeout = Some(SILENCE_MAX);
        // The silence counts from what was asked last, not from what was heard before a person read and answered.
        config.reset_reader_on_write = true;
        let server = config.cluster_url.to_string();
        let client = client(config.clone())?;
        Ok(Self { client, namespace: at.hozen_namespace.clone(), server, config })
    }

    /// The same cluster for whoever waits so long for the next word of a server that has nothing to say.
    fn patient(&self, silence: Duration) -> Result<Client, ClusterError> {
        let mut config = self.config.clone();
        config.read_timeout = Some(silence);
        client(config)
    }

    /// The operator's name, as the server knows it.
    fn operator(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, account::OPERATOR)
    }

    /// All objects of a cluster-wide kind.
    fn api<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    /// One object by name; where there is none, the nearest name is told.
    async fn get<K>(&self, kind: &'static str, name: &str) -> Result<K, ClusterError>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        match self.api::<K>().get_opt(name).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => {
                let all = self.list::<K>(kind).await?;
                let names: Vec<String> = all.iter().map(ResourceExt::name_any).collect();
                let nearest =
                    hozen_intake::problem::nearest(name, names.iter().map(String::as_str));
                let hint =
                    nearest.map_or_else(String::new, |near| format!("; did you mean {near}?"));
                Err(ClusterError::Absent { kind, name: name.to_owned(), hint })
            }
            Err(error) => Err(told(&format!("show the {kind} {name}"), error)),
        }
    }

    /// All objects of a kind that have its form, and what is wrong with each of the others.
    async fn list_readable<K>(&self, kind: &str) -> Result<(Vec<K>, Vec<Unreadable>), ClusterError>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        let all: Vec<DeserializeGuard<K>> = self.list(kind).await?;
        let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
        for object in all {
            match object.0 {
                Ok(object) => readable.push(object),
                Err(invalid) => unreadable.push(Unreadable {
                    kind: K::kind(&()).into_owned(),
                    name: invalid.metadata.name.unwrap_or_default(),
                    why: invalid.error,
                }),
            }
        }
        Ok((readable, unreadable))
    }

    /// All objects of a kind, page by page.
    async fn list<K>(&self, kind: &str) -> Result<Vec<K>, ClusterError>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        self.list_by(kind, ListParams::default()).await
    }

    /// The selected objects of a kind, page by page.
    async fn list_by<K>(&self, kind: &str, select: ListParams) -> Result<Vec<K>, ClusterError>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        let api = self.api::<K>();
        let mut select = select.limit(PAGE);
        let mut all = Vec::new();
        loop {
            let page = api
                .list(&select)
                .await
                .map_err(|error| told(&format!("list every {kind}"), error))?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => select.continue_token = Some(token),
                None => return Ok(all),
            }
        }
    }
}

/// An instant, to the minute.
fn instant(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
