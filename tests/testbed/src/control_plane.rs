//! etcd, kube-apiserver, kube-controller-manager and kube-scheduler, as processes of the host.

use std::{fs, net::TcpStream, path::PathBuf, process::Command, time::Duration};

use crate::{
    bed::{Bed, State},
    certificates::{self, Authority},
    clock,
    error::{self, Error},
    fake,
    process::{self, Record},
    programs::Programs,
};

/// The parts, in the order of their start.
pub const PARTS: [&str; 4] =
    ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];
/// How long the control plane may take, on a machine that does much else.
const READY_LIMIT: Duration = Duration::from_secs(90);
/// Services get their addresses from here; nobody outside the nodes sees them.
const SERVICES: &str = "10.96.0.0/16";

/// Makes keys and certificates, starts all parts, and returns once pods could be created and would be scheduled.
pub fn start(bed: &Bed, state: &State) -> Result<(), Error> {
    let authority = Authority::open(&bed.folder.join("pki"))?;
    write_identities(bed, state, &authority)?;
    let policy = bed.folder.join("audit-policy.yaml");
    fs::write(&policy, AUDIT_POLICY).map_err(Error::io(format!("write {}", policy.display())))?;
    let programs = Programs::at(state.programs.clone());
    for part in ["etcd", "kube-apiserver"] {
        start_part(bed, &programs, part, &arguments(bed, state, part))?;
    }
    wait_for(bed, state, "an answer of the API server", &["get", "--raw", "/readyz"])?;
    for part in ["kube-controller-manager", "kube-scheduler"] {
        start_part(bed, &programs, part, &arguments(bed, state, part))?;
    }
    wait_ready(bed, state)
}

/// Waits until pods could be created and would be scheduled.
pub fn wait_ready(bed: &Bed, state: &State) -> Result<(), Error> {
    // Without this account no pod is admitted; the controller manager makes it.
    let account = ["get", "serviceaccount", "default", "--output", "name"];
    wait_for(bed, state, "the first service account", &account)
}

/// Ends all parts, in the reverse order of their start.
pub fn stop(bed: &Bed) -> Result<(), Error> {
    for part in [fake::PLAYER].iter().chain(PARTS.iter().rev()) {
        if let Some(record) = Record::read(&record(bed, part)) {
            record.kill()?;
        }
    }
    Ok(())
}

/// All parts of a bed; kwok is one where there are fake nodes.
pub fn parts(state: &State) -> impl Iterator<Item = &'static str> + use<> {
    PARTS.into_iter().chain((state.fake > 0).then_some(fake::PLAYER))
}

/// The parts that do not run.
pub fn missing(bed: &Bed, state: &State) -> Vec<&'static str> {
    let runs = |part: &&str| Record::read(&record(bed, part)).is_some_and(Record::is_alive);
    parts(state).filter(|part| !runs(part)).collect()
}

/// Whether what does not run can be started again, with all that the bed holds: it was up as a whole once, and the host has not
/// started anew since, which would have taken the bed's network along.
pub fn can_go_on(bed: &Bed, missing: &[&str]) -> bool {
    PARTS.iter().all(|part| record(bed, part).exists())
        && PARTS.iter().any(|part| !missing.contains(part))
}

/// Starts those parts that do not run, and waits as [`wait_ready`] does.
pub fn go_on(bed: &Bed, state: &State, missing: &[&str]) -> Result<(), Error> {
    let programs = Programs::at(state.programs.clone());
    for part in PARTS.iter().filter(|part| missing.contains(part)) {
        start_part(bed, &programs, part, &arguments(bed, state, part))?;
    }
    wait_ready(bed, state)
}

/// Runs kubectl as the administrator and gives what it printed.
pub fn kubectl(bed: &Bed, state: &State, arguments: &[&str]) -> Result<String, Error> {
    let mut command = Command::new(state.programs.join("kubectl"));
    command.arg("--kubeconfig").arg(bed.kubeconfig()).arg("--request-timeout=10s");
    // Without a folder of its own for its cache it would write to the user's.
    command.arg("--cache-dir").arg(bed.folder.join("kubectl-cache")).args(arguments);
    process::output_of(&mut command)
}

/// Runs kubectl until it prints what is wanted; while it fails, the error is what was seen.
pub fn await_output(
    bed: &Bed,
    state: &State,
    arguments: &[&str],
    limit: Duration,
    wanted: impl Fn(&str) -> bool,
) -> Result<String, Error> {
    clock::wait(&format!("kubectl {}", arguments.join(" ")), limit, || {
        let seen = kubectl(bed, state, arguments).unwrap_or_else(|error| error.to_string());
        Ok(if wanted(&seen) { Ok(seen) } else { Err(seen) })
    })
}

/// Ends one part at once, as a crash would.
pub fn kill(bed: &Bed, part: &str) -> Result<(), Error> {
    Record::read(&record(bed, part)).map_or(Ok(()), Record::kill)
}

/// Starts a part again that was killed, and waits until the API server answers.
pub fn start_again(bed: &Bed, state: &State, part: &str) -> Result<(), Error> {
    let programs = Programs::at(state.programs.clone());
    start_part(bed, &programs, part, &arguments(bed, state, part))?;
    wait_for(bed, state, "an answer of the API server", &["get", "--raw", "/readyz"])
}

/// Where the API server writes what Hozen's own accounts ask of it: one event a line, as JSON.
pub fn audit_log(bed: &Bed) -> PathBuf {
    bed.folder.join("logs").join("audit.log")
}

/// What the API server writes down: every answered request of Hozen's accounts, without bodies, and nothing else.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- {level: Metadata, userGroups: ['system:serviceaccounts:hozen-system']}
- {level: None}
";

/// Starts one more part beside the control plane, on record and with a log.
pub fn start_part(
    bed: &Bed,
    programs: &Programs,
    part: &str,
    arguments: &[String],
) -> Result<(), Error> {
    process::start(&record(bed, part), &log(bed, part), &programs.path(part), arguments)
}

fn record(bed: &Bed, part: &str) -> PathBuf {
    bed.folder.join("run").join(part)
}

fn log(bed: &Bed, part: &str) -> PathBuf {
    bed.folder.join("logs").join(format!("{part}.log"))
}

/// The first part that was started and has ended, with the last words of its log.
fn ended(bed: &Bed) -> Option<(&'static str, String)> {
    let has_ended =
        |part: &&str| Record::read(&record(bed, part)).is_some_and(|record| !record.is_alive());
    let part = PARTS.into_iter().find(has_ended)?;
    Some((part, process::last_words(&log(bed, part))))
}

/// Ends what waits in vain for a control plane of which a part has ended.
pub fn still_runs(bed: &Bed) -> Result<(), Error> {
    ended(bed).map_or(Ok(()), |(part, log)| {
        let log = format!("{log}\n{} starts it again", error::command(&bed.name, "up"));
        Err(Error::Ended { part: part.to_owned(), log })
    })
}

/// Waits until kubectl succeeds; ends early, with its log, if a part that was started has ended.
fn wait_for(bed: &Bed, state: &State, what: &str, arguments: &[&str]) -> Result<(), Error> {
    clock::wait(what, READY_LIMIT, || {
        if let Some((part, log)) = ended(bed) {
            return Err(Error::Ended { part: part.to_owned(), log });
        }
        // A kubectl that finds nobody costs the processor that the server starts on.
        if let Err(why) = TcpStream::connect((state.address(), state.ports().apiserver)) {
            return Ok(Err(format!("the API server: {why}")));
        }
        match kubectl(bed, state, arguments) {
            Ok(_) => Ok(Ok(())),
            Err(Error::CommandFailed { output, .. }) => Ok(Err(output)),
            Err(other) => Err(other),
        }
    })
}

fn write_identities(bed: &Bed, state: &State, authority: &Authority) -> Result<(), Error> {
    let pki = bed.folder.join("pki");
    let address = state.address().to_string();
    let names = ["127.0.0.1", "10.96.0.1", "localhost", "kubernetes.default.svc", &address];
    let server = authority.sign("kube-apiserver", None, &names)?;
    let masters = Some("system:masters");
    let kubelet_client = authority.sign("kube-apiserver-kubelet-client", masters, &[])?;
    let (token_key, token_public) = certificates::token_keys()?;
    for (name, text) in [
        ("apiserver.crt", &server.certificate),
        ("apiserver.key", &server.key),
        ("kubelet-client.crt", &kubelet_client.certificate),
        ("kubelet-client.key", &kubelet_client.key),
        ("sa.key", &token_key),
        ("sa.pub", &token_public),
    ] {
        certificates::write_private(&pki.join(name), text)?;
    }
    for (file, user, group) in [
        ("admin", "admin", masters),
        ("kube-controller-manager", "system:kube-controller-manager", None),
        ("kube-scheduler", "system:kube-scheduler", None),
        ("kwok", "kwok", masters),
    ] {
        let identity = authority.sign(user, group, &[])?;
        let text = authority.kubeconfig(&state.server(), &identity);
        certificates::write_private(&bed.folder.join(format!("{file}.kubeconfig")), &text)?;
    }
    fs::create_dir_all(bed.folder.join("kubectl-cache"))
        .map_err(Error::io("create the folder for kubectl's cache"))
}

fn arguments(bed: &Bed, state: &State, part: &str) -> Vec<String> {
    let ports = state.ports();
    let folder = bed.folder.display();
    let pki = format!("{folder}/pki");
    let kubeconfig = format!("--kubeconfig={folder}/{part}.kubeconfig");
    let etcd = format!("http://127.0.0.1:{}", ports.etcd);
    match part {
        "etcd" => vec![
            format!("--data-dir={folder}/etcd"),
            format!("--listen-client-urls={etcd}"),
            format!("--advertise-client-urls={etcd}"),
            format!("--listen-peer-urls=http://127.0.0.1:{}", ports.etcd_peer),
            // A bed does not outlive its host: nothing is gained by waiting for the disk.
            "--unsafe-no-fsync".into(),
            // Nobody else stands for election: it need not wait a second for others.
            "--heartbeat-interval=20".into(),
            "--election-timeout=100".into(),
        ],
        "kube-apiserver" => vec![
            "--allow-privileged".into(),
            format!("--audit-policy-file={folder}/audit-policy.yaml"),
            format!("--audit-log-path={}", audit_log(bed).display()),
            format!("--etcd-servers={etcd}"),
            format!("--secure-port={}", ports.apiserver),
            // What a cluster forgets after five minutes a bed forgets in seconds: the answer 410 is met early.
            "--etcd-compaction-interval=10s".into(),
            // Not on any other address of the host: the world does not see the bed.
            format!("--bind-address={}", state.address()),
            format!("--advertise-address={}", state.address()),
            format!("--tls-cert-file={pki}/apiserver.crt"),
            format!("--tls-private-key-file={pki}/apiserver.key"),
            format!("--client-ca-file={pki}/ca.crt"),
            format!("--kubelet-client-certificate={pki}/kubelet-client.crt"),
            format!("--kubelet-client-key={pki}/kubelet-client.key"),
            format!("--kubelet-certificate-authority={pki}/ca.crt"),
            "--kubelet-preferred-address-types=InternalIP".into(),
            format!("--service-account-key-file={pki}/sa.pub"),
            format!("--service-account-signing-key-file={pki}/sa.key"),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-cluster-ip-range={SERVICES}"),
            "--authorization-mode=Node,RBAC".into(),
            "--enable-admission-plugins=NodeRestriction".into(),
            // Without nodes nobody looks for the server by its service; loopback could not be published as its address.
            format!("--endpoint-reconciler-type={}", if state.network { "lease" } else { "none" }),
        ],
        "kube-controller-manager" => vec![
            kubeconfig,
            "--bind-address=127.0.0.1".into(),
            format!("--secure-port={}", ports.controller_manager),
            format!("--service-account-private-key-file={pki}/sa.key"),
            format!("--root-ca-file={pki}/ca.crt"),
            "--use-service-account-credentials".into(),
            "--leader-elect=false".into(),
            // Fake nodes renew their lease rarely, so that many of them cost little.
            format!("--node-monitor-grace-period={}s", if state.fake > 0 { 300 } else { 16 }),
            "--node-monitor-period=2s".into(),
            "--kube-api-qps=1000".into(),
            "--kube-api-burst=2000".into(),
        ],
        "kube-scheduler" => vec![
            kubeconfig,
            "--bind-address=127.0.0.1".into(),
            format!("--secure-port={}", ports.scheduler),
            "--leader-elect=false".into(),
            "--kube-api-qps=1000".into(),
            "--kube-api-burst=2000".into(),
        ],
        _ => Vec::new(),
    }
}
