//! Gates that ask Prometheus, a real one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use hozen_controller::{
    act::{Act, Authority, Settings},
    audit::{Stdout, Trail},
    clock::{Clock, MachineClock},
    evidence::{Evaluators, Question},
    freshness::Freshness,
};
use hozen_domain::{
    evidence::Asker,
    plan::{Ask, Gate},
    units::Uid,
    world::{About, Evidence, EvidenceKey, Said},
};
use kube::Client;

struct Nobody;

impl Authority for Nobody {
    fn epoch(&self) -> Option<u64> {
        None
    }

    fn since_boot(&self) -> Duration {
        Duration::ZERO
    }
}

/// Evaluators without a cluster: what asks Prometheus needs none.
fn evaluators() -> Evaluators {
    let nowhere = tower::service_fn(|_: http::Request<kube::client::Body>| async {
        Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("no cluster"))
    });
    let settings = Settings {
        namespace: String::new(),
        work_namespace: String::new(),
        agent_image: String::new(),
        image_pull_secrets: Vec::new(),
        call_time_max: Duration::from_secs(1),
    };
    let trail = Trail::new("test", Arc::new(MachineClock), Box::new(Stdout));
    let client = Client::new(nowhere, "default");
    let act =
        Act::new(client, settings, Arc::new(Nobody), Arc::new(trail), Arc::<Freshness>::default());
    Evaluators::new(Arc::new(act), Arc::new(MachineClock)).unwrap()
}

async fn observe(url: &str, query: &str, min: Option<&str>, max: Option<&str>) -> Evidence {
    let ask = Ask::Prometheus {
        url: url.into(),
        query: query.into(),
        min: min.map(Into::into),
        max: max.map(Into::into),
    };
    let gate = Gate { name: "errors".into(), ask };
    let key = EvidenceKey { gate: "errors".into(), asked_by: "web-1".into(), about: About::Whole };
    let newer_than = MachineClock.now();
    let by = Asker::Rollout("web-1".into(), Uid::new("uid-web-1"));
    let question = Question { gate: &gate, key: &key, by: &by, nodes: &[], newer_than };
    evaluators().observe(&question).await
}

struct Server {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tries of another port, where somebody else was given the first one meanwhile.
const TRIES_MAX: u32 = 5;

/// A Prometheus that watches itself; none where there is no program of that name.
async fn server() -> Option<Server> {
    for _ in 0..TRIES_MAX {
        let mut server = match start() {
            Ok(server) => server,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => panic!("prometheus does not start: {error}"),
        };
        for _ in 0..300 {
            if server.child.try_wait().unwrap().is_some() {
                break;
            }
            let evidence = observe(&server.url, "up", Some("1"), None).await;
            if matches!(evidence.said, Said::Pass(_)) {
                return Some(server);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    panic!("never came to pass: prometheus has scraped itself");
}

/// It has to know its own port beforehand, to watch itself: one that was free a moment ago.
fn start() -> std::io::Result<Server> {
    let folder = tempfile::tempdir()?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let address = format!("127.0.0.1:{port}");
    let file = folder.path().join("prometheus.yml");
    let scrape = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: self\n  static_configs:\n  - targets: ['{address}']\n"
    );
    std::fs::write(&file, scrape)?;
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
    command.arg(format!("--web.listen-address={address}"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn()?;
    Ok(Server { child, url: format!("http://{address}"), _folder: folder })
}

#[tokio::test]
async fn i29_prometheus_passes_by_numbers_alone_and_says_how_old_they_may_be() {
    let name = "i29_prometheus_passes_by_numbers_alone_and_says_how_old_they_may_be";
    let Some(mut server) = server().await else {
        hozen_testkit::not_run(
            name,
            "there is no program `prometheus` (Debian package prometheus)",
        );
        return;
    };
    let url = server.url.clone();
    let before = MachineClock.now();
    let up = observe(&url, "up", Some("1"), Some("1")).await;
    assert!(matches!(up.said, Said::Pass(_)), "{up:?}");
    let age = before.duration_since(up.at).as_secs();
    assert!((55..=60).contains(&age), "a sample may be a minute old, so the evidence is: {age}");
    let negative = observe(&url, "up", None, Some("0")).await;
    assert!(matches!(negative.said, Said::Fail(_)), "{negative:?}");
    for (query, why) in [
        ("no_such_metric", "nothing"),
        ("0/0", "NaN"),
        ("1/0", "an infinity"),
        ("up[1m]", "a range"),
        ("up up", "no PromQL"),
        ("up offset 1h", "no sample so old"),
    ] {
        let said = observe(&url, query, Some("0"), None).await.said;
        assert!(matches!(said, Said::Nothing(_)), "{query} gives {why}: {said:?}");
    }
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let gone = observe(&url, "up", Some("1"), None).await;
    assert!(matches!(gone.said, Said::Nothing(_)), "{gone:?}");
}
