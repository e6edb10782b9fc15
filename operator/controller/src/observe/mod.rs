//! What the API server says: one watch and one store for each kind, many readers. Nothing is decided here and nothing is written.
//!
//! An object that does not have its kind's form is kept apart ([`kept::Malformed`]) and blinds nobody; what has the form and not the
//! sense is kept with its refusals.

pub mod admission;
mod guard;
pub mod kept;
mod prune;
mod slim;
mod watch;
pub mod workloads;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt as _};
use hozen_advisory::package::{PackageSet, Transaction};
use hozen_api as api;
use hozen_domain::{
    baseline::Baseline,
    governance::{Approval, ApprovalPolicy},
    request::{ChangeRequest, Known, Rollout},
    workload::Workload,
};
use hozen_intake::convert::{self, Refusal};
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
    batch::v1::{CronJob, Job},
    core::v1::{ConfigMap, Node, Pod},
    policy::v1::PodDisruptionBudget,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client, Resource, core::PartialObjectMeta, runtime::watcher::Config};
use tokio::sync::Notify;

use crate::{
    clock::Clock,
    freshness::{Freshness, Kind},
    status::write::Futile,
};
use guard::Guarded;
use kept::Kept;
use slim::{NodePart, PodPart};
use watch::{Listener, Newness, never, optional, watch, watch_owners};
use workloads::{Alike, Bill, Owner, Placed, Shelf};

/// Field managers that are told of one object; of ours each has one.
const WRITERS_MAX: usize = 4;

/// An object, and what it means; or why it is refused.
#[derive(Clone, Debug)]
pub struct Read<K, D> {
    /// The object.
    pub object: K,
    /// Its meaning.
    pub meaning: Result<D, Vec<Refusal>>,
}

/// A package set as it came: whole, or by the digests of its parts, which may come later.
#[derive(Debug)]
pub enum Packages {
    /// What its name says.
    Whole(Arc<PackageSet>),
    /// Put together when it is needed.
    Parts(Box<api::package_set::PackageSet>),
    /// Not used.
    Unfit(Unfit),
}

/// Why content is not used.
#[derive(Debug)]
pub enum Unfit {
    /// It is what its name says, and has no sense.
    Refused(Vec<Refusal>),
    /// It has the name of another content. Which field managers wrote it, as far as it says that itself.
    Forged(String),
}

/// One store for each kind.
#[derive(Debug, Default)]
pub struct Stores {
    /// What systems must look like.
    pub baselines: Kept<Read<api::baseline::Baseline, Arc<Baseline>>>,
    /// Who must agree.
    pub policies: Kept<Read<api::approval_policy::ApprovalPolicy, ApprovalPolicy>>,
    /// Who did.
    pub approvals: Kept<Read<api::approval::Approval, Approval>>,
    /// Notices.
    pub advisories: Kept<Read<api::advisory::Advisory, Known>>,
    /// Where notices would come from: each is told that nobody fetches it.
    pub feeds: Kept<api::advisory_feed::AdvisoryFeed>,
    /// Plans.
    pub requests: Kept<Read<api::change_request::ChangeRequest, ChangeRequest>>,
    /// Their executions.
    pub rollouts: Kept<Read<api::rollout::Rollout, Rollout>>,
    /// Our record of nodes.
    pub managed: Kept<api::managed_node::ManagedNode>,
    /// What scanners report.
    pub inventories: Kept<api::node_inventory::NodeInventory>,
    /// What is installed.
    pub package_sets: Kept<Packages>,
    /// What package managers would do.
    pub transactions: Kept<Result<Arc<Transaction>, Unfit>>,
    /// Nodes.
    pub nodes: Kept<Node>,
    /// Pods that are placed on a node.
    pub pods: Kept<Placed>,
    /// What may be disrupted at once.
    pub budgets: Kept<PodDisruptionBudget>,
    /// Jobs of pod templates, in Hozen's namespace.
    pub jobs: Kept<Job>,
    /// Jobs on nodes, in the namespace that is theirs.
    pub work: Kept<Job>,
    /// The halt, if there is one.
    pub halt: Kept<ConfigMap>,
    /// Our record of images.
    pub images: Kept<api::managed_image::ManagedImage>,
    /// Workloads, without what their pods run.
    pub deployments: Kept<Workload>,
    /// Likewise.
    pub stateful_sets: Kept<Workload>,
    /// Likewise.
    pub daemon_sets: Kept<Workload>,
    /// Likewise.
    pub cron_jobs: Kept<Workload>,
    /// Who controls each `ReplicaSet`.
    pub replica_sets: Kept<Option<Owner>>,
    /// Who controls each Job, wherever it is.
    pub job_owners: Kept<Option<Owner>>,
    /// Bills of materials, where trivy-operator keeps them: an API that need not be there.
    pub bills: Kept<Bill>,
    /// What is written of them in vain.
    pub futile: Futile,
}

/// Applies a macro to every store, by the name of its field.
macro_rules! each {
    ($stores:expr, $apply:ident) => {
        [
            $apply!($stores, baselines),
            $apply!($stores, policies),
            $apply!($stores, approvals),
            $apply!($stores, advisories),
            $apply!($stores, feeds),
            $apply!($stores, requests),
            $apply!($stores, rollouts),
            $apply!($stores, managed),
            $apply!($stores, inventories),
            $apply!($stores, package_sets),
            $apply!($stores, transactions),
            $apply!($stores, nodes),
            $apply!($stores, pods),
            $apply!($stores, budgets),
            $apply!($stores, jobs),
            $apply!($stores, work),
            $apply!($stores, halt),
            $apply!($stores, images),
            $apply!($stores, deployments),
            $apply!($stores, stateful_sets),
            $apply!($stores, daemon_sets),
            $apply!($stores, cron_jobs),
            $apply!($stores, replica_sets),
            $apply!($stores, job_owners),
            $apply!($stores, bills),
        ]
    };
}

/// How one kind's watch fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Which store.
    pub store: &'static str,
    /// Whether its first list is through.
    pub synced: bool,
    /// Whether the cluster does not have this API, and need not.
    pub absent: bool,
    /// Why it cannot be had at the moment.
    pub failing: Option<String>,
    /// Objects.
    pub objects: usize,
    /// Objects without the form of their kind, by name, and what is wrong with each.
    pub malformed: Vec<(kept::Key, String)>,
}

/// The store of an API that need not be there: nobody waits for it, and nothing stops where it fails. What was seen of it last stands.
const OPTIONAL: &str = "bills";

impl Health {
    /// Whether nothing can be decided before its first list is through.
    pub fn is_awaited(&self) -> bool {
        let spared = self.absent || (self.store == OPTIONAL && self.failing.is_some());
        !self.synced && !spared
    }
}

impl Stores {
    /// How every watch fares.
    pub fn health(&self) -> Vec<Health> {
        macro_rules! health {
            ($stores:expr, $store:ident) => {{
                let inner = $stores.$store.read();
                Health {
                    store: stringify!($store),
                    synced: inner.synced(),
                    absent: inner.absent(),
                    failing: inner.failing().map(str::to_owned),
                    objects: inner.len(),
                    malformed: inner
                        .malformed()
                        .iter()
                        .map(|(key, malformed)| (key.clone(), malformed.why.clone()))
                        .collect(),
                }
            }};
        }
        each!(self, health).into()
    }

    /// What has not been seen for too long to decide by what it was then, if anything has not. `now` is since boot.
    pub fn blind(&self, now: Duration) -> Option<String> {
        macro_rules! blind {
            ($stores:expr, $store:ident) => {{
                let store = stringify!($store);
                let inner = $stores.$store.read();
                // Without how long: it stands in status, which would be written anew each second.
                let why = inner.blind(now).filter(|_| store != OPTIONAL);
                why.map(|why| format!("{store}: {why}"))
            }};
        }
        let blind: Vec<String> = each!(self, blind).into_iter().flatten().collect();
        let (first, more) = blind.split_first()?;
        let more =
            if more.is_empty() { String::new() } else { format!(", and {} more", more.len()) };
        Some(format!("{first}{more}"))
    }

    /// Whether every first list is through: before that nothing is decided. What an API would say that is not there is not waited for.
    pub fn synced(&self) -> bool {
        !self.health().iter().any(Health::is_awaited)
    }
}

/// Takes an object of a kind whose meaning is read as it comes in.
fn read<K: Resource, D>(
    object: K,
    meaning: impl FnOnce(&K) -> Result<D, Vec<Refusal>>,
) -> Read<K, D> {
    let meaning = meaning(&object);
    Read { object: pruned(object), meaning }
}

/// A change request, as the store and the answers to our own writes keep it.
pub fn request(
    object: api::change_request::ChangeRequest,
    now: Timestamp,
) -> Read<api::change_request::ChangeRequest, ChangeRequest> {
    read(object, |object| convert::request::change_request(object, now))
}

/// A rollout, as the store and the answers to our own writes keep it.
pub fn rollout(
    object: api::rollout::Rollout,
    now: Timestamp,
) -> Read<api::rollout::Rollout, Rollout> {
    read(object, |object| convert::request::rollout(object, now))
}

/// A baseline, likewise.
pub fn baseline(object: api::baseline::Baseline) -> Read<api::baseline::Baseline, Arc<Baseline>> {
    read(object, |object| convert::baseline::baseline(object).map(Arc::new))
}

/// An advisory, likewise.
pub fn advisory(
    object: api::advisory::Advisory,
    now: Timestamp,
) -> Read<api::advisory::Advisory, Known> {
    let status = object.status.as_ref();
    // A fix that comes to a notice which we knew before is seen now; deadlines count from here.
    let new_fix = status.is_some_and(|s| s.first_seen.is_some() && s.fix_first_seen.is_none());
    read(object, |object| {
        let known = convert::advisory::advisory(object, now)?;
        let fix_first_seen = known.fix_first_seen.map(|seen| if new_fix { now } else { seen });
        Ok(Known { fix_first_seen, ..known })
    })
}

/// An approval policy, likewise.
pub fn policy(
    object: api::approval_policy::ApprovalPolicy,
) -> Read<api::approval_policy::ApprovalPolicy, ApprovalPolicy> {
    read(object, convert::governance::policy)
}

/// Metadata without what only the API server needs.
pub fn pruned<K: Resource>(mut object: K) -> K {
    let metadata = std::mem::take(object.meta_mut());
    *object.meta_mut() = prune::metadata(metadata);
    object
}

/// A watch of what people say is asked for anew after so many seconds: a connection that is dead, and that nobody has closed, is found by that.
pub(crate) const PROMPT_SECONDS: u32 = 25;
/// No answer comes in such a watch's time, and none to a list: then the connection is given up.
pub const PROMPT_ANSWER_MAX: Duration = Duration::from_secs(40);

/// What every watch needs.
#[derive(Clone)]
pub struct Watching {
    /// Reads.
    pub client: Client,
    /// Reads what people say, which must be heard soon: a client that gives an answer up after [`PROMPT_ANSWER_MAX`].
    pub prompt: Client,
    /// Hozen's namespace: the halt, and Jobs of pod templates.
    pub namespace: String,
    /// Namespace of the Jobs on nodes.
    pub work_namespace: String,
    /// Where everything goes.
    pub stores: Arc<Stores>,
    /// Told of every change that may mean something.
    pub wake: Arc<Notify>,
    /// Told how new the stores are.
    pub freshness: Arc<Freshness>,
    /// For times that a server would have written.
    pub clock: Arc<dyn Clock>,
}

/// Every watch, to be driven side by side until dropped.
pub fn watches(watching: &Watching) -> Vec<BoxFuture<'static, ()>> {
    let mut all = ours(watching);
    all.extend(foreign(watching));
    all.extend(images(watching));
    all
}

/// One watch. Without a kind of its own nobody asks how new the store is.
macro_rules! watched {
    ($w:expr, $api:expr, $config:expr, $store:ident, $take:expr, $same:expr) => {
        watched!(@ $w, $api, $config, $store, $take, $same, None)
    };
    ($w:expr, $api:expr, $config:expr, $store:ident, $take:expr, $same:expr, $newness:expr) => {
        watched!(@ $w, $api, $config, $store, $take, $same, Some($newness))
    };
    (@ $w:expr, $api:expr, $config:expr, $store:ident, $take:expr, $same:expr, $newness:expr) => {{
        let (stores, listener, api) = (Arc::clone(&$w.stores), listener($w), $api);
        let newness: Option<Newness> = $newness;
        async move { watch(api, $config, &stores.$store, listener, $take, $same, newness).await }
            .boxed()
    }};
}

/// Who hears of what a watch tells.
fn listener(watching: &Watching) -> Listener {
    Listener { wake: Arc::clone(&watching.wake), clock: Arc::clone(&watching.clock) }
}

/// Tells how new the store of a kind is.
fn newness(watching: &Watching, kind: Kind) -> Newness {
    Newness { freshness: Arc::clone(&watching.freshness), kind }
}

/// Objects of a kind in all namespaces, of which all is read.
fn whole<K: Resource<DynamicType = ()>>(client: &Client) -> Api<Guarded<K>> {
    Api::all(client.clone())
}

fn ours(watching: &Watching) -> Vec<BoxFuture<'static, ()>> {
    let Watching { client, prompt, .. } = watching;
    macro_rules! ours {
        ($store:ident, $take:expr) => {
            watched!(watching, whole(client), Config::default(), $store, $take, never)
        };
        ($store:ident, $take:expr, $kind:ident) => {{
            let (api, newness) = (whole(client), newness(watching, Kind::$kind));
            watched!(watching, api, Config::default(), $store, $take, never, newness)
        }};
    }
    macro_rules! said {
        ($store:ident, $take:expr) => {{
            let config = Config::default().timeout(PROMPT_SECONDS);
            watched!(watching, whole(prompt), config, $store, $take, never)
        }};
        ($store:ident, $take:expr, $kind:ident) => {{
            let (api, newness) = (whole(prompt), newness(watching, Kind::$kind));
            let config = Config::default().timeout(PROMPT_SECONDS);
            watched!(watching, api, config, $store, $take, never, newness)
        }};
    }
    macro_rules! now {
        () => {{
            let clock = Arc::clone(&watching.clock);
            move || clock.now()
        }};
    }
    let (seen, made, ran, agreed) = (now!(), now!(), now!(), now!());
    vec![
        said!(baselines, baseline),
        said!(policies, policy),
        said!(approvals, move |object| {
            read(object, |object| convert::governance::approval(object, agreed()))
        }),
        ours!(advisories, move |object| advisory(object, seen())),
        ours!(feeds, pruned),
        said!(requests, move |object| request(object, made()), ChangeRequest),
        said!(rollouts, move |object| rollout(object, ran()), Rollout),
        ours!(managed, pruned, ManagedNode),
        ours!(images, pruned),
        ours!(inventories, pruned),
        ours!(package_sets, packages),
        ours!(transactions, |object| transaction(&object)),
    ]
}

fn foreign(watching: &Watching) -> Vec<BoxFuture<'static, ()>> {
    let Watching { client, namespace, work_namespace, .. } = watching;
    let own: Api<Guarded<Job>> = Api::namespaced(client.clone(), namespace);
    let at_work: Api<Guarded<Job>> = Api::namespaced(client.clone(), work_namespace);
    let nodes: Api<Guarded<Node, NodePart>> = Api::all(client.clone());
    let pods: Api<Guarded<Pod, PodPart>> = Api::all(client.clone());
    let placed = Config::default().fields("spec.nodeName!=");
    let halt = format!("metadata.name={}", api::names::halt::CONFIG_MAP);
    let halt = Config::default().timeout(PROMPT_SECONDS).fields(&halt);
    let halts: Api<Guarded<ConfigMap>> = Api::namespaced(watching.prompt.clone(), namespace);
    // Two stores of one kind: an event of the one says nothing of the other.
    let [node, job, work] = [Kind::Node, Kind::Job, Kind::Work].map(|kind| newness(watching, kind));
    let (same_node, same_budget) = (prune::same_node, prune::same_budget);
    let (home, work_place) = (namespace.clone(), work_namespace.clone());
    let alike = Alike::default();
    let taken = move |pod| alike.share(workloads::placed(pod, [&home, &work_place]));
    vec![
        watched!(watching, nodes, Config::default(), nodes, prune::node, same_node, node),
        watched!(watching, pods, placed, pods, taken, Placed::eq),
        watched!(watching, whole(client), Config::default(), budgets, pruned, same_budget),
        watched!(watching, own, Config::default(), jobs, prune::job, never, job),
        watched!(watching, at_work, Config::default(), work, prune::job, never, work),
        watched!(watching, halts, halt, halt, pruned, never),
    ]
}

/// What image rollouts are about.
fn images(watching: &Watching) -> Vec<BoxFuture<'static, ()>> {
    use convert::workload::{cron_job, daemon_set, deployment, stateful_set};
    let client = &watching.client;
    macro_rules! of_kind {
        ($object:ty, $store:ident, $take:ident, $kind:ident) => {{
            let take = |object: $object| $take(&object);
            let (api, newness) = (whole(client), newness(watching, Kind::$kind));
            watched!(watching, api, Config::default(), $store, take, Workload::eq, newness)
        }};
    }
    macro_rules! owners {
        ($kind:ty, $store:ident) => {{
            let (stores, listener) = (Arc::clone(&watching.stores), listener(watching));
            let api: Api<PartialObjectMeta<$kind>> = Api::all(client.clone());
            async move { watch_owners(api, &stores.$store, listener).await }.boxed()
        }};
    }
    let (stores, listener) = (Arc::clone(&watching.stores), listener(watching));
    let (reports, shelf) = (whole(client), Shelf::default());
    let bills = async move { optional(reports, &stores.bills, listener, |o| shelf.bill(&o)).await };
    vec![
        of_kind!(Deployment, deployments, deployment, Deployment),
        of_kind!(StatefulSet, stateful_sets, stateful_set, StatefulSet),
        of_kind!(DaemonSet, daemon_sets, daemon_set, DaemonSet),
        of_kind!(CronJob, cron_jobs, cron_job, CronJob),
        owners!(ReplicaSet, replica_sets),
        owners!(Job, job_owners),
        bills.boxed(),
    ]
}

/// A package set, as the store and the answers to our own writes keep it.
pub fn packages(object: api::package_set::PackageSet) -> Packages {
    if !convert::content::package_set_is_named(&object) {
        return Packages::Unfit(Unfit::Forged(writers(&object.metadata)));
    }
    if !object.spec.parts.is_empty() {
        return Packages::Parts(Box::new(pruned(object)));
    }
    match convert::content::package_set(&object, &mut |_| None) {
        Ok(set) => Packages::Whole(Arc::new(set)),
        Err(refusals) => Packages::Unfit(Unfit::Refused(refusals)),
    }
}

/// A transaction, likewise.
fn transaction(object: &api::transaction::Transaction) -> Result<Arc<Transaction>, Unfit> {
    if !convert::content::transaction_is_named(object) {
        return Err(Unfit::Forged(writers(&object.metadata)));
    }
    convert::content::transaction(object).map(Arc::new).map_err(Unfit::Refused)
}

/// Field managers of an object, each once. The API server notes no users.
fn writers(metadata: &ObjectMeta) -> String {
    let fields = metadata.managed_fields.iter().flatten();
    let managers: BTreeSet<&str> = fields.filter_map(|of| of.manager.as_deref()).collect();
    managers.into_iter().take(WRITERS_MAX).collect::<Vec<_>>().join(", ")
}
