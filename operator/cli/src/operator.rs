//! `hozen operator`: one replica, run until it is told to stop.

use std::{process::ExitCode, sync::Arc, time::Duration};

use hozen_controller::{
    clock::{Clock, MachineClock},
    config::{Keep, Settings},
    log,
    runtime::{self, Admission},
};
use jiff::SignedDuration;
use kube::{Client, Config};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing_subscriber::{
    EnvFilter, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

use crate::args::Operator;

/// Threads that have not ended by themselves soon after everything else are left to the end of the process.
const THREADS_END_WITHIN: Duration = Duration::from_secs(5);

/// Why the operator does not run.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The log level is none.
    #[error("--log `{0}` is no level; write one like `info`, or `hozen_controller=debug,warn`")]
    Log(String, #[source] tracing_subscriber::filter::ParseError),
    /// The process cannot have threads, or hear signals.
    #[error("prepare the process")]
    Process(#[source] std::io::Error),
    /// Nothing says where the API server is.
    #[error("find the API server; run in a pod, or set KUBECONFIG")]
    Config(#[source] kube::config::InferConfigError),
    /// A client cannot be made of it.
    #[error("make a client of the API server")]
    Client(#[source] kube::Error),
    /// It ended by itself.
    #[error("the operator ended")]
    Ended(#[source] runtime::Error),
}

/// Runs until SIGTERM or SIGINT.
pub fn run(asked: Operator) -> Result<ExitCode, OperatorError> {
    let filter = EnvFilter::builder()
        .parse(&asked.log)
        .map_err(|error| OperatorError::Log(asked.log.clone(), error))?;
    let (filter, change) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(filter).with(lines).init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(OperatorError::Process)?;
    let begun_with = asked.log.clone();
    let set = move |wanted: Option<&str>| {
        let filter = EnvFilter::builder().parse(wanted.unwrap_or(&begun_with));
        let filter = filter.map_err(|error| error.to_string())?;
        change.reload(filter).map_err(|error| error.to_string())
    };
    let ended = runtime.block_on(until_told(asked, set));
    // A thread that waits for a disk which is gone cannot be ended, and must not keep the process.
    runtime.shutdown_timeout(THREADS_END_WITHIN);
    ended
}

async fn until_told(
    asked: Operator,
    set: impl Fn(Option<&str>) -> Result<(), String>,
) -> Result<ExitCode, OperatorError> {
    let (tell, stop) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate()).map_err(OperatorError::Process)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(OperatorError::Process)?;
    let told = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tell.send_replace(true);
        // Whoever waits sees the value as long as the sender is there.
        std::future::pending::<()>().await;
    };
    let config = Config::infer().await.map_err(OperatorError::Config)?;
    let client = Client::try_from(config.clone()).map_err(OperatorError::Client)?;
    let namespace = asked.namespace.clone();
    let logging = async move {
        log::follow(client, namespace, set).await;
        // Without it the operator goes on.
        std::future::pending::<()>().await;
    };
    let settings = Settings {
        replica: asked.replica.unwrap_or_else(|| replica(&MachineClock)),
        namespace: asked.namespace,
        work_namespace: asked.work_namespace,
        agent_image: asked.agent_image,
        image_pull_secrets: asked.image_pull_secrets,
        lease: asked.lease,
        listen: Some(asked.listen),
        audit: asked.audit,
        keep: Keep {
            time: SignedDuration::from_hours(24 * i64::from(asked.history_days)),
            at_most: asked.history_max as usize,
        },
    };
    let clock = Arc::new(MachineClock);
    tokio::select! {
        ended = runtime::run(settings, config, clock, Admission::Watched, stop) => {
            ended.map(|()| ExitCode::SUCCESS).map_err(OperatorError::Ended)
        }
        () = told => Ok(ExitCode::SUCCESS),
        () = logging => Ok(ExitCode::SUCCESS),
    }
}

/// A name that no other replica has: host names are unique among a cluster's pods, and a container that is started anew in one begins at
/// another moment.
fn replica(clock: &dyn Clock) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() { "hozen" } else { host };
    format!("{host}-{:x}", clock.since_boot().as_millis())
}
