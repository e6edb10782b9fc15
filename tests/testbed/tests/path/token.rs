//! The token of a scanner, taken out of its running pod and used from elsewhere: with it one reports that one node, and does nothing else.

use kube::{
    Client, Config, Error,
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
    core::Status,
};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::{
    cases::{
        self, Act,
        Act::{Apply, Create, Delete, DeleteAll, Merge},
        Answer, Case, Target, V1, Who,
    },
    objects,
    stage::{NAMESPACE, NODES, Stage},
    tries::Tries,
};

/// The node whose scanner is robbed, and another, by the names that the cases have for them.
const NAMES: [(&str, &str); 2] = [("n-a", NODES[0]), ("n-b", NODES[1])];
const NODE: Target = ("v1", "Node", None);
const REPORT: Target = (V1, "NodeInventory", None);
const CONTENT: Target = (V1, "PackageSet", None);
const SCANNERS: Target = ("apps/v1", "DaemonSet", Some(NAMESPACE));
/// What the token may not even read.
const READ: [&str; 8] = [
    "/api/v1/namespaces/hozen-system/secrets",
    "/api/v1/namespaces/kube-system/secrets",
    "/api/v1/nodes",
    "/api/v1/pods",
    "/apis/hozen.dev/v1alpha1/approvals",
    "/apis/hozen.dev/v1alpha1/changerequests",
    "/apis/hozen.dev/v1alpha1/nodeinventories",
    "/apis/batch/v1/namespaces/hozen-work/jobs",
];

/// Where a token of the operator's account would be asked for.
const TOKENS: &str = "/api/v1/namespaces/hozen-system/serviceaccounts/hozen/token";

/// Who refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// An admission policy, in our words.
    Policy,
    /// The chart's roles: no such right was given.
    Role,
}

/// Tries everything that the list of forgeries has of scanners, and what the roles alone forbid.
pub fn reports_its_node_and_does_nothing_else(stage: &Stage) {
    let token = taken(stage, NODES[0]);
    let runtime = Runtime::new().unwrap();
    let client = runtime.block_on(client(stage, token));
    runtime.block_on(tries_everything(stage, &client));
    ends_with_its_pod(stage, |path| runtime.block_on(read(&client, path)));
}

async fn tries_everything(stage: &Stage, client: &Client) {
    let uid = stage.identity(NODES[0]).0;
    let thief = Tries { client, node_uid: uid.as_str().unwrap(), names: &NAMES };
    let (mut by_policy, mut by_role, mut passed) = (0, 0, 0);
    let listed = cases::all().into_iter().filter(|case| case.by == Who::Scanner);
    for case in listed.chain(beyond_the_list()) {
        match verdict(&thief, &case).await {
            None => passed += 1,
            Some(By::Policy) => by_policy += 1,
            Some(By::Role) => by_role += 1,
        }
    }
    for path in READ {
        let refused = read(client, path).await.unwrap_err();
        assert_eq!(refused.code, 403, "{path}: {refused:?}");
        by_role += 1;
    }
    let request =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let request = http::Request::post(TOKENS)
        .header("content-type", "application/json")
        .body(request.to_string().into_bytes());
    let refused = said(client.request_text(request.unwrap()).await.unwrap_err());
    assert_eq!(refused.code, 403, "a token of the operator's account: {refused:?}");
    by_role += 1;
    println!(
        "with the token out of a scanner's pod {passed} calls pass, {by_policy} are refused by policies and {by_role} by roles"
    );
    assert!(by_policy > 0 && passed > 0);
}

/// What is in no list because no policy has to forbid it.
fn beyond_the_list() -> Vec<Case> {
    let mut pod = objects::pod("stowaway", objects::pod_spec());
    pod["metadata"]["namespace"] = json!(NAMESPACE);
    let cordon = json!({"spec": {"unschedulable": true}});
    let image = json!({"spec": {"template": {"spec": {"hostPID": true}}}});
    let mut other = objects::report("n-b", "NODE-UID");
    other["report"]["packageCount"] = json!(0);
    let all: Vec<(&'static str, Act)> = vec![
        ("it cordons its node", Merge(NODE, "n-a", cordon.clone())),
        ("it cordons another node", Merge(NODE, "n-b", cordon)),
        ("it removes its node", Delete(NODE, "n-a")),
        ("it removes the report of another node", Delete(REPORT, "n-b")),
        ("it removes its own report", Delete(REPORT, "n-a")),
        ("it removes every package set", DeleteAll(CONTENT, cases::STANDING)),
        ("it makes a pod in Hozen's namespace", Create(pod)),
        ("it lets all scanners see processes", Merge(SCANNERS, "hozen-scanner", image)),
        ("it makes a baseline", Apply(objects::baseline("new", "production", None))),
        ("it makes a change request", Create(objects::change_request(Who::Scanner.user()))),
    ];
    let refused = || Answer::Refused("no policy has to say so");
    let case = |(name, act)| Case { about: "", name, by: Who::Scanner, act, answer: refused() };
    all.into_iter().map(case).collect()
}

/// Who refused it; none where it passed, as it must.
async fn verdict(thief: &Tries<'_>, case: &Case) -> Option<By> {
    let tried = thief.act(&case.act).await.expect("no case of scanners is about a pod");
    let words = match case.answer {
        Answer::Allowed => {
            tried.unwrap_or_else(|why| panic!("{}: {why}", case.name));
            return None;
        }
        Answer::Refused(words) => thief.text(words),
    };
    let Err(why) = tried else { panic!("{}: it passed", case.name) };
    let said = said(why);
    let no_right = format!("User \"{}\" cannot ", Who::Scanner.user());
    if said.message.contains(&words) {
        return Some(By::Policy);
    }
    assert!(said.code == 403 && said.message.contains(&no_right), "{}: {said:?}", case.name);
    // What its role lets through is for the policies to judge.
    let reports = matches!(&case.act, Create(what) | Apply(what) if what["kind"] == "NodeInventory")
        || matches!(&case.act, Merge(REPORT, ..));
    assert!(!reports, "{}: {said:?}", case.name);
    Some(By::Role)
}

/// The API server's own word.
fn said(why: Error) -> Box<Status> {
    match why {
        Error::Api(said) => said,
        other => panic!("the API server gave no answer: {other}"),
    }
}

async fn read(client: &Client, path: &str) -> Result<String, Box<Status>> {
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    client.request_text(request).await.map_err(said)
}

/// Reads the token as root of the node can, through the process that holds it.
fn taken(stage: &Stage, node: &str) -> String {
    let script = "for process in /proc/[0-9]*; do \
        [ \"$(tr '\\0' ' ' <$process/cmdline)\" != '/hozen-agent report ' ] || \
        cat $process/root/var/run/secrets/kubernetes.io/serviceaccount/token; done";
    let token = stage.on(node, script);
    assert_eq!(token.split('.').count(), 3, "one scanner reports on {node}");
    token
}

async fn client(stage: &Stage, token: String) -> Client {
    let file = Kubeconfig::read_from(stage.admin()).unwrap();
    let mut config =
        Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    config.auth_info = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
    Client::try_from(config).unwrap()
}

/// The token is worth nothing once its pod is gone; another pod has another.
fn ends_with_its_pod(stage: &Stage, read: impl Fn(&str) -> Result<String, Box<Status>>) {
    let orders = "/apis/hozen.dev/v1alpha1/managednodes";
    read(orders).expect("its orders may be read");
    let node = format!("spec.nodeName={}", NODES[0]);
    let scanner = ["-n", NAMESPACE, "-l", "app.kubernetes.io/component=scanner"];
    let words = ["delete", "pod", "--field-selector", &node];
    stage.kubectl(&[&words[..], &scanner[..]].concat());
    // The API server remembers for some seconds whom it has let in.
    stage.until("the token of a pod that is gone is refused", || match read(orders) {
        Err(said) if said.code == 401 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    stage.everything_is_ready();
}
