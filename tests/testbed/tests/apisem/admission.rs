//! S10: CEL rules of a kind, admission policies, webhooks, and tokens that are bound to pods.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, EvictParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    eviction,
    server::{Server, name, object, refusal, until, widget},
    webhook::{WORDS, Webhook},
};

pub async fn s10_a_kinds_cel_rules_hold_on_create_and_on_change(server: Server) {
    let (widgets, name) = (server.widgets(), name("cel"));
    let big = widget(&name, &json!({"size": 100}));
    let refused = refusal(widgets.create(&PostParams::default(), &big).await);
    assert_eq!(refused.code, 422);
    assert!(refused.message.contains("too big for a widget"), "{}", refused.message);
    server.widget(&name, json!({"color": "red"})).await;
    for spec in [json!({"color": "blue"}), json!({"color": null})] {
        let patch = Patch::Merge(json!({"spec": spec}));
        let refused = refusal(widgets.patch(&name, &PatchParams::default(), &patch).await);
        assert_eq!(refused.code, 422);
        assert!(refused.message.contains("keeps its color"), "{}", refused.message);
    }
}

/// The rules that let a user write widgets, and bless them or not.
async fn allow(server: &Server, user: &str, resources: &[&str], verbs: &[&str]) {
    let name = name("role");
    let group = "rbac.authorization.k8s.io";
    let role = json!({"apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": {"name": name},
        "rules": [{"apiGroups": ["apisem.hozen.dev"], "resources": resources, "verbs": verbs}]});
    let binding = json!({"apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}]});
    for (kind, value) in [("Role", role), ("RoleBinding", binding)] {
        let api = server.dynamic(group, kind, Some(&server.namespace));
        api.create(&PostParams::default(), &object(&value)).await.unwrap();
    }
}

pub async fn s10_a_policy_may_ask_the_authorizer_about_the_user(server: Server) {
    let (alice, bob) = (name("alice"), name("bob"));
    for user in [&alice, &bob] {
        allow(&server, user, &["widgets"], &["create"]).await;
    }
    allow(&server, &alice, &["widgets/blessing"], &["bless"]).await;
    let (group, policy) =
        ("admissionregistration.k8s.io", format!("{}-{}", server.namespace, name("policy")));
    let only_here = json!({"matchLabels": {"kubernetes.io/metadata.name": server.namespace}});
    let expression = format!(
        "authorizer.group('apisem.hozen.dev').resource('widgets').subresource('blessing')\
         .namespace('{}').check('bless').allowed()",
        server.namespace
    );
    let definition = json!({"apiVersion": format!("{group}/v1"), "kind": "ValidatingAdmissionPolicy",
        "metadata": server.metadata(&policy), "spec": {"failurePolicy": "Fail",
            "matchConstraints": {"namespaceSelector": only_here, "resourceRules": [{
                "apiGroups": ["apisem.hozen.dev"], "apiVersions": ["v1"], "resources": ["widgets"],
                "operations": ["CREATE"]}]},
            "matchConditions": [{"name": "red", "expression": "has(object.spec.color) && object.spec.color == 'red'"}],
            "validations": [{"expression": expression, "message": "only the blessed make red widgets",
                "reason": "Forbidden"}]}});
    let binding = json!({"apiVersion": format!("{group}/v1"), "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": server.metadata(&policy), "spec": {"policyName": policy, "validationActions": ["Deny"]}});
    let made =
        [("ValidatingAdmissionPolicy", definition), ("ValidatingAdmissionPolicyBinding", binding)];
    for (kind, value) in &made {
        server
            .dynamic(group, kind, None)
            .create(&PostParams::default(), &object(value))
            .await
            .unwrap();
    }
    let red = async |user: &str| {
        let widget = widget(&name("red"), &json!({"color": "red"}));
        server.acting_as(user).widgets().create(&PostParams::default(), &widget).await
    };
    let refused = until("the policy takes effect", async || red(&bob).await.err()).await;
    let refused = refusal::<()>(Err(refused));
    assert_eq!(refused.code, 403);
    assert!(refused.message.contains("only the blessed make red widgets"), "{}", refused.message);
    red(&alice).await.expect("alice is blessed");
    let other = widget(&name("plain"), &json!({"color": "blue"}));
    let plain = server.acting_as(&bob).widgets().create(&PostParams::default(), &other).await;
    plain.expect("what does not match is not judged");
    for (kind, _) in &made {
        server.dynamic(group, kind, None).delete(&policy, &DeleteParams::default()).await.unwrap();
    }
}

/// A webhook for widgets of one color at an address where nobody listens.
fn dead_webhook(server: &Server, name: &str, failure: &str) -> Value {
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": server.metadata(name), "webhooks": [{
            "name": "dead.apisem.hozen.dev", "failurePolicy": failure, "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "timeoutSeconds": 1,
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": server.namespace}},
            "matchConditions": [{"name": "gray", "expression": "has(object.spec.color) && object.spec.color == 'gray'"}],
            "rules": [{"apiGroups": ["apisem.hozen.dev"], "apiVersions": ["v1"], "resources": ["widgets"],
                "operations": ["CREATE"]}]}]})
}

pub async fn s10_a_webhook_that_is_down_fails_or_is_passed_over_as_told(server: Server) {
    let hooks =
        server.dynamic("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", None);
    let hook = format!("{}-{}", server.namespace, name("hook"));
    let gray = async || {
        let widget = widget(&name("gray"), &json!({"color": "gray"}));
        server.widgets().create(&PostParams::default(), &widget).await
    };
    hooks
        .create(&PostParams::default(), &object(&dead_webhook(&server, &hook, "Fail")))
        .await
        .unwrap();
    let refused = until("the webhook takes effect", async || gray().await.err()).await;
    let refused = refusal::<()>(Err(refused));
    assert_eq!((refused.code, refused.reason.as_str()), (500, "InternalError"));
    assert!(refused.message.contains("failed calling webhook"), "{}", refused.message);
    hooks.delete(&hook, &DeleteParams::default()).await.unwrap();
    hooks
        .create(&PostParams::default(), &object(&dead_webhook(&server, &hook, "Ignore")))
        .await
        .unwrap();
    until("it is passed over", async || gray().await.ok()).await;
    hooks.delete(&hook, &DeleteParams::default()).await.unwrap();
}

/// Somebody's webhook for the evictions of one pod.
fn eviction_webhook(server: &Server, name: &str, pod: &str, client: &Value) -> Value {
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": server.metadata(name), "webhooks": [{
            "name": "evictions.apisem.hozen.dev", "failurePolicy": "Fail", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "timeoutSeconds": 5, "clientConfig": client,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": server.namespace}},
            "matchConditions": [{"name": "this-pod", "expression": format!("request.name == '{pod}'")}],
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/eviction"],
                "operations": ["CREATE"]}]}]})
}

/// The refusal of an eviction once this webhook is in force; the eviction is not meant to be done before.
async fn refused_eviction(server: &Server, pod: &str, client: &Value) -> kube::core::Status {
    let hooks =
        server.dynamic("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", None);
    let hook = format!("{}-{}", server.namespace, name("hook"));
    let hook_for = eviction_webhook(server, &hook, pod, client);
    hooks.create(&PostParams::default(), &object(&hook_for)).await.unwrap();
    let try_it = EvictParams {
        post_options: PostParams { dry_run: true, ..PostParams::default() },
        ..EvictParams::default()
    };
    let pods = eviction::pods(server);
    until("the webhook takes effect", async || pods.evict(pod, &try_it).await.err()).await;
    let refused = refusal(pods.evict(pod, &EvictParams::default()).await);
    hooks.delete(&hook, &DeleteParams::default()).await.unwrap();
    let after = pods.get(pod).await.expect("the pod is still there");
    assert!(after.metadata.deletion_timestamp.is_none(), "a refused eviction does nothing");
    refused
}

pub async fn s10_a_webhook_that_denies_an_eviction_is_told_from_a_budget(server: Server) {
    let webhook = Webhook::start().await;
    // A webhook chooses its code itself, also the one that budgets have: only a budget names itself as the cause.
    for code in [403, 429] {
        let pod = eviction::pod(&server, true).await;
        let refused = refused_eviction(&server, &pod, &webhook.client_config(code)).await;
        assert_eq!(refused.code, code, "{}", refused.message);
        let words = format!("\"evictions.apisem.hozen.dev\" denied the request: {WORDS}");
        assert!(refused.message.contains(&words), "{}", refused.message);
        let causes = refused.details.map(|details| details.causes).unwrap_or_default();
        assert!(causes.iter().all(|cause| cause.reason != "DisruptionBudget"), "{causes:?}");
    }
}

pub async fn s10_a_webhook_for_evictions_that_is_down_is_told_from_two_budgets(server: Server) {
    let pod = eviction::pod(&server, true).await;
    let refused = refused_eviction(&server, &pod, &json!({"url": "https://127.0.0.1:1/"})).await;
    // Two budgets for one pod are 500 too; by the reason a client tells that trying again may help.
    assert_eq!((refused.code, refused.reason.as_str()), (500, "InternalError"));
    assert!(refused.message.contains("failed calling webhook"), "{}", refused.message);
    assert!(!refused.message.contains("PodDisruptionBudget"), "{}", refused.message);
}

pub async fn s10_a_token_bound_to_a_pod_names_it_and_its_node_and_ends_with_it(server: Server) {
    let pods: Api<Pod> = Api::namespaced(server.client.clone(), &server.namespace);
    let name = name("bound");
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": server.metadata(&format!("{}-node", server.namespace))});
    let nodes = server.dynamic("", "Node", None);
    let node = nodes.create(&PostParams::default(), &object(&node)).await.unwrap();
    let pod = json!({"metadata": {"name": name}, "spec": {
        "nodeName": node.name_any(), "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": "hozen.test/none:1"}]}});
    let pod =
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {
        "audiences": ["hozen"], "expirationSeconds": 600,
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod.uid()}}});
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/default/token", server.namespace);
    let token = post(&server, &path, &request).await["status"]["token"].clone();
    let review = async |audience: &str| {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]}});
        post(&server, "/apis/authentication.k8s.io/v1/tokenreviews", &review).await["status"]
            .clone()
    };
    let known = review("hozen").await;
    assert_eq!(known["authenticated"], true, "{known}");
    let extra = &known["user"]["extra"];
    assert_eq!(extra["authentication.kubernetes.io/pod-name"][0], name);
    assert_eq!(extra["authentication.kubernetes.io/pod-uid"][0], json!(pod.uid()));
    assert_eq!(extra["authentication.kubernetes.io/node-name"][0], node.name_any());
    assert_eq!(extra["authentication.kubernetes.io/node-uid"][0], json!(node.uid()));
    let elsewhere = review("somewhere-else").await;
    assert_ne!(elsewhere["authenticated"], true, "for another audience it says nothing");
    pods.delete(&name, &DeleteParams::default().grace_period(0)).await.unwrap();
    until("the token ends with its pod", async || {
        (review("hozen").await["authenticated"] != true).then_some(())
    })
    .await;
    nodes.delete(&node.name_any(), &DeleteParams::default()).await.unwrap();
}

async fn post(server: &Server, path: &str, body: &Value) -> Value {
    let request = http::Request::post(path)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .expect("a request");
    server.client.request(request).await.expect("it is accepted")
}
