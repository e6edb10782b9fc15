//! Evidence for gates, from a real API server.

use std::sync::Arc;

use futures::{StreamExt as _, stream};
use hozen_api::rollout::Rollout;
use hozen_controller::{
    act::Act,
    clock::{Clock, MachineClock},
    evidence::{Evaluators, Question},
};
use hozen_domain::{
    evidence::{Asker, Judgement, judge},
    plan::{Ask, Gate, ResourceRef},
    units::{Name, Uid},
    world::{About, Evidence, EvidenceKey, Said},
};
use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{ConfigMap, Pod, PodTemplate},
};
use kube::{
    ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use smol_str::SmolStr;

use crate::bed::{Cluster, Hand, name, until};

/// Who looks, and for which rollout: it is there, or the garbage collector would take its Jobs.
struct Asking {
    evaluators: Evaluators,
    by: Asker,
}

impl Asking {
    async fn of(cluster: &Cluster, act: Act) -> Self {
        let called = name("web");
        let rollout: Rollout = cluster
            .make(&json!({"metadata": {"name": called}, "spec": {"changeRequest":
                {"name": called, "uid": "uid-r", "planDigest": crate::bed::digest()}}}))
            .await;
        let by = Asker::Rollout(called.into(), Uid::new(rollout.uid().unwrap()));
        Self { evaluators: Evaluators::new(Arc::new(act), Arc::new(MachineClock)).unwrap(), by }
    }
}

async fn observe(asking: &Asking, ask: Ask, nodes: &[Name], newer_than: Timestamp) -> Evidence {
    let gate = Gate { name: "g".into(), ask };
    let key = EvidenceKey { gate: "g".into(), asked_by: "web-1".into(), about: About::Whole };
    let question = Question { gate: &gate, key: &key, by: &asking.by, nodes, newer_than };
    asking.evaluators.observe(&question).await
}

async fn asking(cluster: &Cluster) -> Asking {
    Asking::of(cluster, cluster.hand().act).await
}

async fn template(cluster: &Cluster) -> String {
    let template = name("smoke");
    let _: PodTemplate = cluster
        .make_in(&json!({"metadata": {"name": template}, "template": {"metadata": {"labels": {"smoke": template}},
            "spec": {"containers": [{"name": "c", "image": "hozen.test/none:1"}]}}}))
        .await;
    template
}

pub async fn i29_an_expression_over_objects_of_any_kind_is_read_from_the_server(cluster: Cluster) {
    let asking = asking(&cluster).await;
    let web = name("web");
    let _: Deployment = cluster
        .make_in(&json!({"metadata": {"name": web}, "spec": {"replicas": 0,
            "selector": {"matchLabels": {"app": web}}, "template": {"metadata": {"labels": {"app": web}},
            "spec": {"containers": [{"name": "c", "image": "hozen.test/none:1"}]}}}}))
        .await;
    let said = async |kind: &str, named: Option<&str>, expression: &str| {
        let resource = ResourceRef {
            group: "apps".into(),
            kind: kind.into(),
            namespace: Some(cluster.namespace.as_str().into()),
            name: named.map(Into::into),
        };
        let ask = Ask::Cel { resource, expression: expression.into() };
        observe(&asking, ask, &[], MachineClock.now()).await.said
    };
    let none = "object.spec.replicas == 0";
    assert!(matches!(said("Deployment", Some(&web), none).await, Said::Pass(_)));
    let some = said("Deployment", Some(&web), "object.spec.replicas > 0").await;
    assert!(matches!(some, Said::Fail(_)), "{some:?}");
    for (kind, named, expression) in [
        ("Deployment", Some("no-such"), none),
        ("NoSuchKind", Some(web.as_str()), none),
        ("StatefulSet", None, none),
        ("Deployment", Some(web.as_str()), "object.spec.nothing == 0"),
    ] {
        let said = said(kind, named, expression).await;
        assert!(matches!(said, Said::Nothing(_)), "{kind} {named:?}: {said:?}");
    }
}

pub async fn i29_every_page_of_a_list_is_read_before_an_expression_passes(cluster: Cluster) {
    let asking = asking(&cluster).await;
    let kind = name("pages");
    let made = (0..450).map(|number| {
        let settings = json!({"metadata": {"name": format!("{kind}-{number:03}")},
            "data": {"last": (number == 449).to_string()}});
        let cluster = &cluster;
        async move {
            let _: ConfigMap = cluster.make_in(&settings).await;
        }
    });
    stream::iter(made).buffer_unordered(16).collect::<()>().await;
    let said = async |expression: &str| {
        let resource = ResourceRef {
            group: SmolStr::default(),
            kind: "ConfigMap".into(),
            namespace: Some(cluster.namespace.as_str().into()),
            name: None,
        };
        let ask = Ask::Cel { resource, expression: expression.into() };
        observe(&asking, ask, &[], MachineClock.now()).await.said
    };
    let all = said("!has(object.data.last) || object.data.last in ['true', 'false']").await;
    assert!(matches!(&all, Said::Pass(_)), "{all:?}");
    let last = said("!has(object.data.last) || object.data.last == 'false'").await;
    assert!(matches!(&last, Said::Fail(why) if why.contains("-449")), "{last:?}");
}

pub async fn i29_a_nodes_condition_is_read_from_the_server(cluster: Cluster) {
    let asking = asking(&cluster).await;
    let node = cluster.node().await;
    let name: Name = node.metadata.name.as_deref().unwrap().into();
    let said = async |kind: &str, status: &str, nodes: &[Name]| {
        let ask = Ask::NodeCondition { r#type: kind.into(), status: status.into() };
        observe(&asking, ask, nodes, MachineClock.now()).await.said
    };
    let one = std::slice::from_ref(&name);
    let set = async |status: &str| {
        let patch = Patch::Strategic(
            json!({"status": {"conditions": [{"type": "Test", "status": status}]}}),
        );
        cluster.nodes().patch_status(&name, &PatchParams::default(), &patch).await.unwrap();
    };
    set("True").await;
    assert!(matches!(said("Test", "True", one).await, Said::Pass(_)));
    set("False").await;
    assert!(matches!(said("Test", "True", one).await, Said::Fail(_)));
    set("Unknown").await;
    assert!(matches!(said("Test", "True", one).await, Said::Nothing(_)));
    assert!(matches!(said("NoSuch", "True", one).await, Said::Nothing(_)));
    assert!(matches!(said("Test", "True", &["gone".into()]).await, Said::Nothing(_)));
    assert!(matches!(said("Test", "True", &[]).await, Said::Nothing(_)));
}

pub async fn i29_a_gates_job_is_made_once_and_its_end_is_the_evidence(cluster: Cluster) {
    let asking = asking(&cluster).await;
    let ago = |seconds| MachineClock.now() - SignedDuration::from_secs(seconds);
    let missing = Ask::Job { template: "no-such".into() };
    let missing = observe(&asking, missing, &[], ago(60)).await;
    assert!(matches!(missing.said, Said::Nothing(_)), "{missing:?}");
    let template = template(&cluster).await;
    let ask = || Ask::Job { template: template.as_str().into() };
    // The end of a step is told in whole seconds, and so is the start of a Job.
    let second = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Floor);
    let newer_than = MachineClock.now().round(second).unwrap();
    let early = observe(&asking, ask(), &[], newer_than).await.said;
    assert!(matches!(&early, Said::Nothing(why) if why.contains("clocks")), "{early:?}");
    let pods = cluster.api::<Pod>();
    let wanted = ListParams::default().labels(&format!("smoke={template}"));
    let pod = until("the Job has its pod", async || {
        let looked = observe(&asking, ask(), &[], newer_than).await;
        assert!(matches!(looked.said, Said::Nothing(_)), "{looked:?}");
        let pods = pods.list(&wanted).await.ok()?.items;
        assert!(pods.len() < 2, "asked many times, made once");
        pods.into_iter().next()
    })
    .await;
    let done = json!({"status": {"phase": "Succeeded"}});
    let pod = pod.metadata.name.unwrap();
    pods.patch_status(&pod, &PatchParams::default(), &Patch::Merge(done)).await.unwrap();
    let evidence = until("the Job passes", async || {
        let evidence = observe(&asking, ask(), &[], newer_than).await;
        matches!(evidence.said, Said::Pass(_)).then_some(evidence)
    })
    .await;
    let gates = ListParams::default().labels("hozen.dev/component=gate");
    let jobs = cluster.api::<Job>().list(&gates).await.unwrap().items;
    let asked = |job: &&Job| {
        let labels = job.spec.as_ref().unwrap().template.metadata.as_ref().unwrap().labels.as_ref();
        labels.unwrap().get("smoke") == Some(&template)
    };
    let job = jobs.iter().find(asked).unwrap();
    let Asker::Rollout(_, by) = &asking.by else { panic!("a rollout asks") };
    assert_eq!(job.owner_references()[0].uid, by.0, "it goes with who asked for it");
    let begun = job.status.clone().unwrap().start_time.unwrap().0;
    assert_eq!(evidence.at, begun);
    let gate = Gate { name: "g".into(), ask: ask() };
    let judgement = judge(&gate, Some(&evidence), newer_than, MachineClock.now());
    assert!(
        matches!(judgement, Judgement::Passed(_)),
        "its start is told late enough: {judgement:?}"
    );
    // After the next step it is run anew.
    let next = observe(&asking, ask(), &[], ago(9)).await;
    assert!(matches!(next.said, Said::Nothing(_)), "{next:?}");
}

pub async fn i59_a_gates_job_is_written_down_before_it_is_made_and_not_made_unless_it_is(
    cluster: Cluster,
) {
    let Hand { act, lines, .. } = cluster.hand();
    let asking = Asking::of(&cluster, act).await;
    let template = template(&cluster).await;
    let ask = || Ask::Job { template: template.as_str().into() };
    let newer_than = MachineClock.now() - SignedDuration::from_secs(60);
    for _ in 0..2 {
        observe(&asking, ask(), &[], newer_than).await;
    }
    let text = lines.text();
    let entries: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = entries.iter().map(|entry| entry["entry"].as_str().unwrap()).collect();
    assert_eq!(told, ["Intent", "Done"]);
    for entry in &entries {
        assert_eq!(entry["effect"], "StartGate");
        assert!(entry["detail"].as_str().unwrap().contains(&template), "{entry}");
    }
    let job = entries[0]["object"].as_str().unwrap();
    assert!(cluster.api::<Job>().get_opt(job).await.unwrap().is_some());
    lines.break_it();
    let count =
        async || cluster.api::<Job>().list(&ListParams::default()).await.unwrap().items.len();
    let before = count().await;
    let newer_than = MachineClock.now() - SignedDuration::from_secs(30);
    let refused = observe(&asking, ask(), &[], newer_than).await;
    assert!(matches!(refused.said, Said::Nothing(_)), "{refused:?}");
    assert_eq!(count().await, before);
}
