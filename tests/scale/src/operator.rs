//! The operator as a process of its own, so that its memory is its own: this program again, under another word.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use hozen_controller::{
    clock::MachineClock,
    config::{Keep, Settings},
    runtime::{self, Admission},
};
use tokio::sync::watch;

use crate::{
    Failed,
    server::{Server, until},
};

/// Hozen's namespace.
pub const NAMESPACE: &str = "hozen-system";
/// The namespace of Jobs on nodes.
pub const WORK: &str = "hozen-work";
/// The operator's token, in the environment of its process.
pub const TOKEN: &str = "HOZEN_SCALE_TOKEN";

/// How long a page of a process on this machine may take.
const PAGE_MAX: Duration = Duration::from_secs(10);

/// Any image by digest: nothing is ever pulled.
pub fn agent_image() -> String {
    format!("hozen.test/agent@sha256:{}", "a".repeat(64))
}

/// Runs the operator until it is killed. Admission policies are not watched: the fleet is played by an administrator, whom they would refuse.
pub async fn run(kubeconfig: &Path, listen: SocketAddr, audit: &Path) -> Result<(), Failed> {
    tracing_subscriber::fmt()
        .with_env_filter(
            std::env::var("HOZEN_LOG").unwrap_or_else(|_| "hozen_controller=warn".into()),
        )
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let server = Server::connect(kubeconfig).await?;
    let mut config = server.config.clone();
    config.auth_info = kube::config::AuthInfo {
        token: Some(std::env::var(TOKEN)?.into()),
        ..kube::config::AuthInfo::default()
    };
    drop(server);
    let settings = Settings {
        namespace: NAMESPACE.to_owned(),
        work_namespace: WORK.to_owned(),
        agent_image: agent_image(),
        image_pull_secrets: Vec::new(),
        replica: format!("replica-{}", std::process::id()),
        lease: "hozen-operator".to_owned(),
        listen: Some(listen),
        audit: Some(audit.to_owned()),
        keep: Keep::default(),
    };
    let (_tell, stop) = watch::channel(false);
    let admission = Admission::Told(watch::channel(None).1);
    Ok(runtime::run(settings, config, Arc::new(MachineClock), admission, stop).await?)
}

/// A running operator; killed when dropped.
pub struct Operator {
    child: Child,
    listen: SocketAddr,
}

/// Memory that a process has, in megabytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident now.
    pub now: f64,
    /// Resident at most so far.
    pub peak: f64,
}

impl Operator {
    /// Starts it; its log goes to a file in `folder`.
    pub fn start(kubeconfig: &Path, token: &str, folder: &Path) -> Result<Self, Failed> {
        let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let child = Command::new(std::env::current_exe()?)
            .arg("operator")
            .arg(kubeconfig)
            .arg(listen.to_string())
            .arg(folder.join("operator-audit.log"))
            .env(TOKEN, token)
            // As the chart has it.
            .env("MIMALLOC_PURGE_DELAY", "10")
            .env("MIMALLOC_ALLOW_THP", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(folder.join("operator.log"))?)
            .spawn()?;
        Ok(Self { child, listen })
    }

    /// Waits until `/readyz` says that every first list is in.
    pub async fn ready(&self) -> Result<Duration, Failed> {
        let look = async || self.page("/readyz").ok();
        let (_, took) = until("the operator is ready", Duration::from_mins(2), look).await?;
        Ok(took)
    }

    /// One of the operator's numbers for Prometheus.
    pub fn metric(&self, name: &str) -> Result<f64, Failed> {
        let page = self.page("/metrics")?;
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.ok_or_else(|| format!("no metric {name}"))?.parse()?)
    }

    /// What is served at a path, if that is a success.
    fn page(&self, path: &str) -> Result<String, Failed> {
        let mut stream = TcpStream::connect(self.listen)?;
        stream.set_read_timeout(Some(PAGE_MAX))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        let (head, body) = page.split_once("\r\n\r\n").ok_or("no answer")?;
        if head.split(' ').nth(1) == Some("200") { Ok(body.to_owned()) } else { Err(head.into()) }
    }

    /// What it takes.
    pub fn memory(&self) -> Result<Memory, Failed> {
        memory(self.child.id())
    }

    /// Seconds of a processor so far.
    pub fn processor(&self) -> Result<f64, Failed> {
        processor(self.child.id())
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process takes.
pub fn memory(pid: u32) -> Result<Memory, Failed> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| -> Result<f64, Failed> {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes: f64 = line.ok_or("no such field")?.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes * 1024.0 / 1e6)
    };
    Ok(Memory { now: field("VmRSS:")?, peak: field("VmHWM:")? })
}

/// Seconds of a processor that a process has used.
pub fn processor(pid: u32) -> Result<f64, Failed> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = text.rsplit_once(") ").ok_or("a stat without a name")?.1;
    let fields: Vec<&str> = after.split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    #[expect(clippy::cast_precision_loss, reason = "a hundred")]
    Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
}
