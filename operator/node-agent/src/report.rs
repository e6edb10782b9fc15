//! The reporter: the half of the scanner that holds the token and sees no host. It brings what is new in the shared folder to the API
//! server, and what the operator asks to the shared folder. Invariant: it writes its own node's inventory, and content-addressed objects that are
//! not there yet, and nothing else.

use std::{fs, io, path::Path, pin::pin, time::Duration};

use base64::Engine as _;
use futures::StreamExt as _;
use hozen_agent::{
    clock,
    share::{Request, Share, ShareError, Stamp},
    work::log,
};
use hozen_api::{
    managed_node::ManagedNode,
    names::manager,
    node_inventory::{NodeInventory, NodeInventoryContent, NodeReport},
    package_set::PackageSet,
    transaction::Transaction,
};
use jiff::Timestamp;
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde::{Serialize, de::DeserializeOwned};

/// Where a pod finds its token.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// How often the folder is looked at for a new report.
const LOOK: Duration = Duration::from_secs(1);
/// How long one call of the API server may take.
const CALL_MAX: Duration = Duration::from_secs(20);
/// Pause after a report that was not taken: doubled from the first up to the last, so that a server that comes back is not met by all at once.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(2));
/// Most parts of one package set; the API takes no more.
const PARTS_MAX: usize = 64;

/// Why a report did not reach the API server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pod's token says nothing of a node.
    #[error("the token at {TOKEN} is bound to no node ({0})")]
    Token(String),
    /// It runs on another node than it was told.
    #[error("the token is bound to node {bound}, and this pod was told {told}")]
    OtherNode {
        /// By the token.
        bound: String,
        /// By the environment.
        told: String,
    },
    /// The shared folder.
    #[error("the shared folder: {0}")]
    Share(#[from] ShareError),
    /// The report names something that is not in the folder.
    #[error("the report names {0}, and the folder does not have it")]
    Missing(String),
    /// The runtime could not be started.
    #[error("the reporter could not be started ({0})")]
    Io(#[from] io::Error),
    /// The API server.
    #[error("the API server: {0}")]
    Kube(#[from] kube::Error),
    /// The API server did not answer.
    #[error("the API server did not answer within {} s", CALL_MAX.as_secs())]
    Silent,
}

/// A node, by the word of the API server that signed the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of the Node.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl Identity {
    /// Of the token as it is now: the kubelet renews it, and where the node was registered anew meanwhile, with another uid.
    fn now(token: &Path) -> Result<Self, Error> {
        let token = fs::read_to_string(token).map_err(|error| Error::Token(error.to_string()))?;
        Self::of(token.trim())
    }

    /// Reads the claims of a token. Its signature is the API server's business: a wrong claim only makes a report that it refuses.
    pub fn of(token: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Error::Token(why.to_owned());
        let claims = token.split('.').nth(1).ok_or_else(|| wrong("it is not of three parts"))?;
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(claims.trim_end_matches('='))
            .map_err(|error| Error::Token(error.to_string()))?;
        let claims: serde_json::Value =
            serde_json::from_slice(&claims).map_err(|error| Error::Token(error.to_string()))?;
        let node = claims.pointer("/kubernetes.io/node");
        let word = |name| node.and_then(|node| node.get(name)?.as_str()).map(str::to_owned);
        match (word("name"), word("uid")) {
            (Some(name), Some(uid)) => Ok(Self { name, uid }),
            _ => Err(wrong("it has no claim kubernetes.io/node")),
        }
    }
}

/// Reports until the process ends.
pub fn run(folder: &Path, told: Option<&str>) -> Result<(), Error> {
    let identity = Identity::now(Path::new(TOKEN))?;
    if let Some(told) = told.filter(|told| *told != identity.name) {
        return Err(Error::OtherNode { bound: identity.name, told: told.to_owned() });
    }
    let share = Share::at(folder.to_owned());
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let client = Client::try_default().await?;
        log(format!("reports node {}, uid {}", identity.name, identity.uid));
        let known = learn(&client, &identity).await;
        share.ask(&Request { known, ..share.request().unwrap_or_default() })?;
        tokio::select! {
            never = bring(&client, &share, known) => never,
            never = listen(&client, &identity.name, &share, known) => never,
        }
    })
}

/// Of when the indices were that the node's last report went by; asks until the API server answers.
async fn learn(client: &Client, identity: &Identity) -> Option<Timestamp> {
    let mut pause = BACK_OFF.0;
    loop {
        match last_indices(client, identity).await {
            Ok(known) => {
                if let Some(known) = known {
                    log(format!("the last report went by indices of {known}"));
                }
                return known;
            }
            Err(error) => log(format!("the last report is not known yet: {error}")),
        }
        tokio::time::sleep(pause.mul_f64(0.5 + share_of_a_second())).await;
        pause = (pause * 2).min(BACK_OFF.1);
    }
}

/// The reporter may write its own node's inventory and read none, for those of others are not its business. So it asks what a patch that changes
/// nothing would make of it: the answer is the inventory, and of another node, or another machine of this name, the policy gives none.
async fn last_indices(client: &Client, identity: &Identity) -> Result<Option<Timestamp>, Error> {
    let api: Api<NodeInventory> = Api::all(client.clone());
    let parameters = PatchParams { dry_run: true, ..PatchParams::default() };
    let nothing = Patch::Merge(serde_json::json!({}));
    #[expect(clippy::disallowed_methods, reason = "it writes nothing")]
    let asked = api.patch(&identity.name, &parameters, &nothing);
    let report = match call(asked).await {
        Ok(inventory) => inventory.spec.report,
        Err(Error::Kube(kube::Error::Api(status))) if status.code == 404 => return Ok(None),
        Err(Error::Kube(kube::Error::Api(status))) if matches!(status.code, 403 | 422) => {
            log(format!("the last report is not this machine's: {}", status.message));
            return Ok(None);
        }
        Err(Error::Kube(kube::Error::SerdeError(error))) => {
            log(format!("the last report cannot be understood ({error})"));
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let at = report.ready.and_then(|ready| ready.indices_refreshed_at);
    let ours = report.node_uid.as_deref() == Some(&identity.uid);
    // What is still to come was written by a clock that was ahead.
    Ok(at.filter(|at| ours && *at <= clock::now()))
}

/// Brings every new report to the API server, and the last one for a node that was registered anew; none that was written before the scanner
/// had heard of what is known.
async fn bring(client: &Client, share: &Share, known: Option<Timestamp>) -> Result<(), Error> {
    let mut brought: Option<(Stamp, Identity)> = None;
    let mut pause = BACK_OFF.0;
    loop {
        let identity = Identity::now(Path::new(TOKEN))?;
        let new = share.stamp().map(|stamp| (stamp, identity));
        // What cannot be read is told by the delivery.
        let unheard = || share.heard().is_ok_and(|heard| heard != known);
        let new = new.filter(|new| brought.as_ref() != Some(new) && !unheard());
        if let Some((stamp, identity)) = new {
            match deliver(client, &identity, share).await {
                Ok(()) => {
                    log("the report was written");
                    (brought, pause) = (Some((stamp, identity)), BACK_OFF.0);
                }
                Err(error) => {
                    log(format!("the report was not written: {error}"));
                    tokio::time::sleep(pause.mul_f64(0.5 + share_of_a_second())).await;
                    pause = (pause * 2).min(BACK_OFF.1);
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Some part of one, another one at each moment.
fn share_of_a_second() -> f64 {
    f64::from(clock::now().subsec_nanosecond().unsigned_abs()) / 1e9
}

async fn deliver(client: &Client, identity: &Identity, share: &Share) -> Result<(), Error> {
    let Some(mut report) = share.report()? else { return Ok(()) };
    report.node_uid = Some(identity.uid.clone());
    bring_content(client, share, &report).await?;
    let content = NodeInventoryContent { report };
    let inventory = NodeInventory::new(&identity.name, content);
    let api: Api<NodeInventory> = Api::all(client.clone());
    let parameters = PatchParams::apply(manager::SCANNER).force();
    let patch = Patch::Apply(&inventory);
    #[expect(clippy::disallowed_methods, reason = "the reporter's own write: its node's inventory")]
    let written = api.patch(&identity.name, &parameters, &patch);
    call(written).await.map(drop)
}

/// Package sets and transactions first, so that the inventory never names what is not there.
async fn bring_content(client: &Client, share: &Share, report: &NodeReport) -> Result<(), Error> {
    if let Some(name) = &report.package_set {
        let set = share.package_set(name)?.ok_or_else(|| Error::Missing(name.clone()))?;
        for part in set.parts.iter().take(PARTS_MAX) {
            let spec = share.package_set(part)?.ok_or_else(|| Error::Missing(part.clone()))?;
            create(client, part, &PackageSet::new(part, spec)).await?;
        }
        create(client, name, &PackageSet::new(name, set)).await?;
    }
    for name in report.transactions.iter().filter_map(|resolved| resolved.transaction.as_ref()) {
        let spec = share.transaction(name)?.ok_or_else(|| Error::Missing(name.clone()))?;
        create(client, name, &Transaction::new(name, spec)).await?;
    }
    Ok(())
}

/// Creates an object that is named by its content, if nobody has yet: the first of many equal nodes writes, the others only ask.
async fn create<K>(client: &Client, name: &str, object: &K) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<K> = Api::all(client.clone());
    if call(api.get_metadata_opt(name)).await?.is_some() {
        return Ok(());
    }
    let parameters =
        PostParams { field_manager: Some(manager::SCANNER.to_owned()), ..PostParams::default() };
    #[expect(
        clippy::disallowed_methods,
        reason = "the reporter's own write: what its report names"
    )]
    let created = api.create(&parameters, object);
    match call(created).await {
        Err(Error::Kube(kube::Error::Api(status))) if status.code == 409 => Ok(()),
        outcome => outcome.map(drop),
    }
}

async fn call<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
    tokio::time::timeout(CALL_MAX, call).await.map_err(|_| Error::Silent)?.map_err(Error::from)
}

/// Hands on what the operator asks of this node's scanner, whenever it changes.
async fn listen(
    client: &Client,
    node: &str,
    share: &Share,
    known: Option<Timestamp>,
) -> Result<(), Error> {
    let api: Api<ManagedNode> = Api::all(client.clone());
    let mut seen = share.request().unwrap_or_default();
    // The watch begins anew by itself, after a pause that grows; what is slept through is in its next answer.
    let mut changes = pin!(watcher::watch_object(api, node).default_backoff());
    while let Some(change) = changes.next().await {
        match change {
            Ok(Some(node)) => {
                let request = Request {
                    scan: node.spec.scan,
                    refresh: node.spec.refresh,
                    resolve: node.spec.resolve,
                    known,
                };
                if request != seen {
                    match share.ask(&request) {
                        Ok(()) => seen = request,
                        Err(error) => log(format!("the request was not handed on: {error}")),
                    }
                }
            }
            Ok(None) => {}
            Err(error) => log(format!("the watch is interrupted: {error}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims);
        format!("header.{claims}.signature")
    }

    #[test]
    fn the_node_is_the_one_that_the_token_is_bound_to() {
        let bound = r#"{"kubernetes.io":{"node":{"name":"a","uid":"u"},"pod":{"name":"p"}}}"#;
        let identity = Identity::of(&token(bound)).unwrap();
        assert_eq!(identity, Identity { name: "a".into(), uid: "u".into() });
        for bad in ["", "a.b", &token("{}"), &token("no json")] {
            assert!(matches!(Identity::of(bad), Err(Error::Token(_))), "{bad}");
        }
    }

    #[test]
    fn a_node_that_was_registered_anew_is_the_one_of_the_renewed_token() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let uid = |uid: &str| {
            let claims = format!(r#"{{"kubernetes.io":{{"node":{{"name":"a","uid":"{uid}"}}}}}}"#);
            fs::write(file.path(), token(&claims) + "\n").unwrap();
            Identity::now(file.path()).unwrap().uid
        };
        assert_eq!((uid("one"), uid("two")), ("one".to_owned(), "two".to_owned()));
    }
}
