//! An expression over an object, or over all of a kind: every one has to pass, and there has to be one.

use std::{collections::HashMap, sync::Arc};

use hozen_domain::{plan::ResourceRef, world::Said};
use hozen_intake::problem::told;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams},
    discovery::{self, Scope},
};
use kube_cel::{
    KubeCelExt as _,
    cel::{Context, Program, Value},
};

use serde_json::Value as Json;

use super::cut;

/// More objects are not read for one gate.
const OBJECTS_MAX: u32 = 5_000;

/// Reads the objects from the server, and evaluates the expression over each, as `object`.
pub(super) async fn observe(client: &Client, resource: &ResourceRef, expression: &str) -> Said {
    let objects = match read(client, resource).await {
        Ok(objects) => objects,
        Err(why) => return Said::Nothing(cut(&why)),
    };
    let expression = expression.to_owned();
    // Parsing and evaluating is work for a processor, and a parser that panics must not take anything else with it.
    let judged = tokio::task::spawn_blocking(move || judge(&expression, &objects)).await;
    judged.unwrap_or_else(|_| Said::Nothing("the expression cannot be evaluated".to_owned()))
}

async fn read(client: &Client, resource: &ResourceRef) -> Result<Vec<DynamicObject>, String> {
    let ResourceRef { group, kind, namespace, name } = resource;
    let known = discovery::group(client, group).await.map_err(|error| told(&error))?;
    let (resource, capabilities) = known
        .recommended_kind(kind)
        .ok_or_else(|| format!("the cluster has no kind {kind} in the group `{group}`"))?;
    let api = api(client, &resource, &capabilities.scope, namespace.as_deref());
    if let Some(name) = name {
        let found = api.get_opt(name).await.map_err(|error| told(&error))?;
        return Ok(found.into_iter().collect());
    }
    let wanted = ListParams::default().limit(OBJECTS_MAX);
    let list = api.list(&wanted).await.map_err(|error| told(&error))?;
    if list.metadata.continue_.is_some_and(|more| !more.is_empty()) {
        return Err(format!("there are more than {OBJECTS_MAX} of {kind}"));
    }
    Ok(list.items)
}

fn api(
    client: &Client,
    resource: &ApiResource,
    scope: &Scope,
    namespace: Option<&str>,
) -> Api<DynamicObject> {
    match (scope, namespace) {
        (Scope::Namespaced, Some(namespace)) => {
            Api::namespaced_with(client.clone(), namespace, resource)
        }
        (Scope::Namespaced, None) | (Scope::Cluster, _) => Api::all_with(client.clone(), resource),
    }
}

/// True of every object, and of at least one.
fn judge(expression: &str, objects: &[DynamicObject]) -> Said {
    let program = match Program::compile(expression) {
        Ok(program) => program,
        Err(error) => return Said::Nothing(cut(&format!("the expression is not CEL: {error}"))),
    };
    for object in objects {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let mut context = Context::default().with_all();
        match serde_json::to_value(object) {
            Ok(json) => context.add_variable_from_value("object", value(&json)),
            Err(error) => return Said::Nothing(cut(&format!("{name} cannot be read: {error}"))),
        }
        match program.execute(&context) {
            Ok(Value::Bool(true)) => {}
            Ok(Value::Bool(false)) => return Said::Fail(format!("{name} does not pass")),
            Ok(_) => {
                return Said::Nothing("the expression gives neither true nor false".to_owned());
            }
            Err(error) => return Said::Nothing(cut(&format!("{name}: {error}"))),
        }
    }
    match objects.len() {
        0 => Said::Nothing("there is no such object".to_owned()),
        1 => Said::Pass("it passes".to_owned()),
        all => Said::Pass(format!("all {all} pass")),
    }
}

/// As the API server gives objects to CEL: whole numbers are `int`, so that `object.spec.replicas == 3` compares like with like. The interpreter's own
/// conversion makes them `uint`.
fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::Int(whole),
            (None, Some(float)) => Value::Float(float),
            (None, None) => Value::Null,
        },
        Json::String(text) => Value::String(Arc::new(text.clone())),
        Json::Array(values) => Value::List(Arc::new(values.iter().map(value).collect())),
        Json::Object(fields) => {
            let fields = fields.iter().map(|(key, field)| (key.clone(), value(field)));
            Value::from(fields.collect::<HashMap<_, _>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn objects(replicas: &[u32]) -> Vec<DynamicObject> {
        let object = |ready: &u32| {
            serde_json::from_value(json!({"apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web"}, "spec": {"replicas": 3}, "status": {"readyReplicas": ready}}))
            .unwrap()
        };
        replicas.iter().map(object).collect()
    }

    const ALL_READY: &str = "object.status.readyReplicas == object.spec.replicas";

    #[test]
    fn every_object_has_to_pass_and_there_has_to_be_one() {
        assert!(matches!(judge(ALL_READY, &objects(&[3, 3])), Said::Pass(_)));
        assert!(matches!(judge(ALL_READY, &objects(&[3, 2])), Said::Fail(_)));
        assert!(matches!(judge(ALL_READY, &[]), Said::Nothing(_)));
        for whole in ["object.spec.replicas == 3", "object.spec.replicas - 4 < 0"] {
            assert!(matches!(judge(whole, &objects(&[3])), Said::Pass(_)), "{whole}");
        }
    }

    #[test]
    fn i29_an_expression_that_fails_or_is_no_truth_says_nothing() {
        for expression in
            ["object.status.", "object.missing.field == 1", "object.spec.replicas", "((("]
        {
            let said = judge(expression, &objects(&[3]));
            assert!(matches!(said, Said::Nothing(_)), "{expression}: {said:?}");
        }
    }
}
