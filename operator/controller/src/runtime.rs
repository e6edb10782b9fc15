//! Wiring: what runs for as long as a replica does is spawned here, and watched. (Looks at gates, which end by themselves, are spawned where they are
//! asked for: `evidence`.)

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use hozen_access::Installation;
use hozen_domain::units::{Uid, User};
use kube::{Client, client::ClientBuilder};
use serde_json::Value;
use tokio::{
    sync::{Notify, watch},
    task::{JoinError, JoinHandle},
};

use crate::{
    act::{self, Act, Authority},
    audit::{self, Stdout, Trail},
    clock::Clock,
    config::{self, Settings},
    controllers::decider::{Decider, Parts},
    events::Teller,
    evidence::{Evaluators, NoClient, Observer},
    freshness::Freshness,
    http::{Served, serve},
    lease::{self, Keeper, Wanted},
    metrics::Metrics,
    observe::{
        PROMPT_ANSWER_MAX, Stores, Watching,
        admission::{UNSEEN, watch_policies},
        watches,
    },
    skew,
    world::Identity,
};

/// Why the operator ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server cannot be used.
    #[error("begin to work with the cluster")]
    Cluster(#[from] config::Error),
    /// The client cannot be made.
    #[error("make a client of the API server")]
    Client(#[source] kube::Error),
    /// The audit trail cannot be had: nothing disruptive could start.
    #[error("open the audit trail")]
    Audit(#[from] audit::Error),
    /// Gates cannot be read.
    #[error("begin to read gates")]
    Evidence(#[from] NoClient),
    /// The address cannot be had.
    #[error("serve probes and metrics")]
    Serve(#[source] std::io::Error),
    /// A task that must not end before all others ended.
    #[error("the task of {0} ended")]
    Ended(&'static str),
    /// A task panicked.
    #[error("the task of {what} broke")]
    Broke {
        /// Which.
        what: &'static str,
        /// How.
        #[source]
        source: JoinError,
    },
}

/// Who tells what is wrong with the admission policies.
#[derive(Clone, Debug)]
pub enum Admission {
    /// They are watched, and compared with what this program would write.
    Watched,
    /// A test that has none says so.
    Told(watch::Receiver<Option<String>>),
}

impl Admission {
    /// Who tells, and the task that does.
    fn begin(
        self,
        client: &Client,
        settings: &Settings,
        clock: &Arc<dyn Clock>,
    ) -> (watch::Receiver<Option<String>>, Option<JoinHandle<()>>) {
        let tell = match self {
            Self::Told(told) => return (told, None),
            Self::Watched => watch::channel(Some(UNSEEN.to_owned())),
        };
        let installation = Installation {
            namespace: settings.namespace.clone(),
            work_namespace: settings.work_namespace.clone(),
            agent_image: settings.agent_image.clone(),
        };
        let watching = watch_policies(client.clone(), installation, Arc::clone(clock), tell.0);
        (tell.1, Some(tokio::spawn(watching)))
    }
}

/// Runs one replica until `stop` is true. What is under way then is finished, and the lease given back.
///
/// `admission` tells what is wrong with the admission policies, if anything is (invariant 16): [`Admission::Watched`] but in tests.
pub async fn run(
    settings: Settings,
    mut config: kube::Config,
    clock: Arc<dyn Clock>,
    admission: Admission,
    stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    // A refusal is an answer; kube's own retries would keep it inside the client for minutes.
    config.default_retry = false;
    config.reset_reader_on_write = true;
    let mut prompt = config.clone();
    config.read_timeout = Some(ANSWER_MAX);
    prompt.read_timeout = Some(PROMPT_ANSWER_MAX);
    let metrics = Arc::new(Metrics::default());
    let client = |config| {
        let built = ClientBuilder::try_from(config).map_err(Error::Client)?;
        Ok::<Client, Error>(built.with_layer(&metrics.count_calls()).build())
    };
    let (calls, prompt) = (client(config)?, client(prompt)?);
    let clients = Clients { calls, prompt, metrics };
    let trail = match &settings.audit {
        Some(path) => Trail::open(&settings.replica, Arc::clone(&clock), path)?,
        None => Trail::new(&settings.replica, Arc::clone(&clock), Box::new(Stdout)),
    };
    operate(settings, clients, trail, clock, admission, stop).await
}

/// A watch is ended by the server after 290 s; a connection on which nothing came for longer is dead.
const ANSWER_MAX: Duration = Duration::from_mins(6);

/// Clients of one account, without retries.
#[derive(Clone)]
pub struct Clients {
    /// For everything.
    pub calls: Client,
    /// For what must be heard soon: [`Watching::prompt`].
    pub prompt: Client,
    /// Where what is done with them is counted.
    pub metrics: Arc<Metrics>,
}

/// One for both, where connections do not die in silence.
impl From<Client> for Clients {
    fn from(calls: Client) -> Self {
        Self { prompt: calls.clone(), calls, metrics: Arc::default() }
    }
}

/// The same over clients without retries and into a trail that somebody else made: all that a replica has of the world is in these arguments.
pub async fn operate(
    settings: Settings,
    clients: Clients,
    trail: Trail,
    clock: Arc<dyn Clock>,
    admission: Admission,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    let client = clients.calls.clone();
    let operator = config::whoami(&client).await?;
    let cluster = config::cluster(&client).await?;
    tracing::info!(operator, cluster, replica = settings.replica, "begins");
    let identity = Identity {
        cluster: Uid::new(cluster),
        operator: User::from(operator),
        namespace: settings.namespace.clone(),
    };
    let prompt = clients.prompt.clone();
    let replica = Replica::of(&settings, clients, trail, &clock);
    let evaluators = Evaluators::new(Arc::clone(&replica.act), Arc::clone(&clock))?;
    // From here on nothing returns before the tasks are held together.
    let (admission, policies) = admission.begin(&prompt, &settings, &clock);
    let (tell_clock, server_clock) = watch::channel(Some(skew::UNSEEN.to_owned()));
    let comparing = skew::watch_server(client.clone(), Arc::clone(&clock), tell_clock);
    let comparing = tokio::spawn(comparing);
    let (shown, last) = watch::channel(Value::Null);
    let served = Served {
        stores: Arc::clone(&replica.watching.stores),
        metrics: Arc::clone(&replica.metrics),
        shown: last,
    };
    let (all, keep) = (watch::channel(false), watch::channel(false));
    let probes = settings.listen.map(|listen| tokio::spawn(serve(listen, served, keep.1.clone())));
    let keeper = tokio::spawn(replica.keeper.run(keep.1.clone()));
    let watching = tokio::spawn(join_all(watches(&replica.watching)));
    let observer = Observer::new(evaluators, Arc::clone(&replica.watching.wake));
    let decider = Decider::new(Parts {
        stores: replica.watching.stores,
        identity,
        keep: settings.keep,
        act: replica.act,
        authority: replica.authority,
        freshness: replica.watching.freshness,
        admission,
        server_clock,
        observer: Arc::new(observer),
        wake: replica.watching.wake,
        teller: Teller::new(client.clone(), settings.replica, Arc::clone(&clock)),
        client,
        clock,
        metrics: replica.metrics,
        shown,
    });
    let decider = tokio::spawn(decider.run(all.1));
    let mut tasks = Tasks { decider, keeper, watching, policies, comparing, probes };
    let outcome = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => Ok(()),
        ended = tasks.any() => ended,
    };
    tracing::info!("ends");
    all.0.send_replace(true);
    let last_pass = Tasks::through("the decider", &mut tasks.decider).await;
    keep.0.send_replace(true);
    let kept = Tasks::through("the lease", &mut tasks.keeper).await;
    outcome.and(last_pass).and(kept)
}

/// What one replica is made of.
struct Replica {
    watching: Watching,
    keeper: Keeper,
    authority: Arc<dyn Authority>,
    act: Arc<Act>,
    metrics: Arc<Metrics>,
}

impl Replica {
    fn of(settings: &Settings, clients: Clients, trail: Trail, clock: &Arc<dyn Clock>) -> Self {
        let Clients { calls: client, prompt, metrics } = clients;
        let Settings {
            namespace,
            work_namespace,
            agent_image,
            image_pull_secrets,
            replica,
            lease,
            listen: _,
            audit: _,
            keep: _,
        } = settings.clone();
        let wanted = Wanted { namespace: namespace.clone(), name: lease, identity: replica };
        let keeper = Keeper::new(client.clone(), wanted, Arc::clone(clock));
        let authority: Arc<dyn Authority> = Arc::new(keeper.leadership());
        let freshness = Arc::new(Freshness::default());
        let act = Act::new(
            client.clone(),
            act::Settings {
                namespace: namespace.clone(),
                work_namespace: work_namespace.clone(),
                agent_image,
                image_pull_secrets,
                call_time_max: lease::CALL_TIME_MAX,
            },
            Arc::clone(&authority),
            Arc::new(trail),
            Arc::clone(&freshness),
        );
        let watching = Watching {
            client,
            prompt,
            namespace,
            work_namespace,
            stores: Arc::new(Stores::default()),
            wake: Arc::new(Notify::new()),
            freshness,
            clock: Arc::clone(clock),
        };
        Self { watching, keeper, authority, act: Arc::new(act), metrics }
    }
}

struct Tasks {
    decider: JoinHandle<()>,
    keeper: JoinHandle<()>,
    watching: JoinHandle<Vec<()>>,
    policies: Option<JoinHandle<()>>,
    comparing: JoinHandle<()>,
    probes: Option<JoinHandle<std::io::Result<()>>>,
}

impl Tasks {
    /// Waits for a task that was told to end. One that has ended before was told of already.
    async fn through(what: &'static str, task: &mut JoinHandle<()>) -> Result<(), Error> {
        if task.is_finished() { Ok(()) } else { ended(what, task.await) }
    }

    /// Waits for a task that must not end to end: then the process ends too, and another replica takes over.
    async fn any(&mut self) -> Result<(), Error> {
        async fn if_any<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
            match task {
                Some(task) => task.await,
                None => std::future::pending().await,
            }
        }
        tokio::select! {
            biased;
            done = &mut self.decider => ended("the decider", done).and(Err(Error::Ended("the decider"))),
            done = &mut self.keeper => ended("the lease", done).and(Err(Error::Ended("the lease"))),
            done = &mut self.watching => ended("the watches", done.map(|_| ())).and(Err(Error::Ended("the watches"))),
            // What they told last would stand for ever.
            done = if_any(&mut self.policies) => ended("the watch of policies", done).and(Err(Error::Ended("the watch of policies"))),
            done = &mut self.comparing => ended("the clocks", done).and(Err(Error::Ended("the clocks"))),
            done = if_any(&mut self.probes) => match done {
                Ok(Ok(())) => Err(Error::Ended("probes and metrics")),
                Ok(Err(source)) => Err(Error::Serve(source)),
                Err(source) => Err(Error::Broke { what: "probes and metrics", source }),
            },
        }
    }
}

/// Dropped before its end, as by whoever gives the whole up, a replica leaves nothing behind that goes on.
impl Drop for Tasks {
    fn drop(&mut self) {
        self.decider.abort();
        self.keeper.abort();
        self.watching.abort();
        self.comparing.abort();
        if let Some(policies) = &self.policies {
            policies.abort();
        }
        if let Some(probes) = &self.probes {
            probes.abort();
        }
    }
}

fn ended(what: &'static str, done: Result<(), JoinError>) -> Result<(), Error> {
    done.map_err(|source| Error::Broke { what, source })
}
