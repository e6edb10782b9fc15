//! An expression over an object, or over all of a kind: every one has to pass, and there has to be one.
//!
//! Who writes a gate's expression is agreed to by whoever approves its plan, and still it must not take the operator's memory or processors: objects are read in pages
//! and forgotten, an evaluation that could take too many steps is not begun (the library has no limit of its own), and those that go on after their
//! gate's time are few.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use hozen_domain::{plan::ResourceRef, world::Said};
use hozen_intake::problem::told;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams},
    discovery::{self, Scope},
};
use kube_cel::{
    KubeCelExt as _,
    cel::{
        Context, Program, Value,
        common::ast::{EntryExpr, Expr, IdedEntryExpr, IdedExpr},
    },
};
use serde_json::Value as Json;
use tokio::sync::Semaphore;

use super::cut;

/// More objects are not read for one gate.
const OBJECTS_MAX: usize = 5_000;
/// Objects of one page: a few MiB of pods.
const PAGE: u32 = 200;
/// Gates that are read and evaluated at once, each for at most a processor.
const EVALUATIONS_AT_ONCE: usize = 2;
/// An evaluation over one object is not begun if it could take more: some seconds. Kubernetes gives one of its own as many.
const STEPS_MAX: u64 = 10_000_000;

/// Evaluates expressions, a few at once.
pub(super) struct Expressions {
    turns: Arc<Semaphore>,
}

impl Expressions {
    pub(super) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(EVALUATIONS_AT_ONCE)) }
    }

    /// Reads the objects from the server, and evaluates the expression over each, as `object`.
    pub(super) async fn observe(
        &self,
        client: &Client,
        resource: &ResourceRef,
        expression: &str,
    ) -> Said {
        let found = self.over_all(client, resource, expression).await;
        found.unwrap_or_else(|why| Said::Nothing(cut(&why)))
    }

    async fn over_all(
        &self,
        client: &Client,
        resource: &ResourceRef,
        expression: &str,
    ) -> Result<Said, String> {
        let ResourceRef { group, kind, namespace, name } = resource;
        let known = discovery::group(client, group).await.map_err(|error| told(&error))?;
        let (resource, capabilities) = known
            .recommended_kind(kind)
            .ok_or_else(|| format!("the cluster has no kind {kind} in the group `{group}`"))?;
        let api = api(client, &resource, &capabilities.scope, namespace.as_deref());
        if let Some(name) = name {
            let found = api.get_opt(name).await.map_err(|error| told(&error))?;
            let objects: Vec<_> = found.into_iter().collect();
            let count = objects.len();
            return Ok(self.judged(expression, objects).await.unwrap_or_else(|| passed(count)));
        }
        let mut page = ListParams::default().limit(PAGE);
        let mut count = 0;
        loop {
            let list = api.list(&page).await.map_err(|error| told(&error))?;
            count += list.items.len();
            if count > OBJECTS_MAX {
                return Err(format!(
                    "there are more than {OBJECTS_MAX} of {kind}: name one, or a namespace"
                ));
            }
            if let Some(said) = self.judged(expression, list.items).await {
                return Ok(said);
            }
            match list.metadata.continue_.filter(|more| !more.is_empty()) {
                Some(more) => page.continue_token = Some(more),
                None => return Ok(passed(count)),
            }
        }
    }

    /// Why these objects do not pass; none: each does.
    ///
    /// Parsing and evaluating is work for a processor, and a parser that panics must not take anything else with it. Nothing ends what has begun on its thread: so
    /// it keeps its turn until it has ended, and ends between two objects when nobody waits for it any more.
    async fn judged(&self, expression: &str, objects: Vec<DynamicObject>) -> Option<Said> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        let waits = Arc::new(());
        let wanted = Arc::downgrade(&waits);
        let expression = expression.to_owned();
        let judged = tokio::task::spawn_blocking(move || {
            let said = judge(&expression, &objects, &wanted);
            drop(turn);
            said
        });
        let said = judged.await;
        drop(waits);
        said.unwrap_or_else(|_| {
            Some(Said::Nothing("the expression cannot be evaluated".to_owned()))
        })
    }
}

/// What is said where every object passes.
fn passed(objects: usize) -> Said {
    match objects {
        0 => Said::Nothing("there is no such object".to_owned()),
        1 => Said::Pass("it passes".to_owned()),
        all => Said::Pass(format!("all {all} pass")),
    }
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

/// The first reason why not every object passes; none: each does.
fn judge(expression: &str, objects: &[DynamicObject], wanted: &Weak<()>) -> Option<Said> {
    let nothing = |why: &str| Some(Said::Nothing(cut(why)));
    let program = match Program::compile(expression) {
        Ok(program) => program,
        Err(error) => return nothing(&format!("the expression is not CEL: {error}")),
    };
    for object in objects {
        if wanted.strong_count() == 0 {
            return nothing("nobody waits for it any more");
        }
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let json = match serde_json::to_value(object) {
            Ok(json) => json,
            Err(error) => return nothing(&format!("{name} cannot be read: {error}")),
        };
        // A list that is written out has at least two characters for each of its elements.
        let longest = longest(&json, in_parts(expression)).max(expression.len() as u64 / 2);
        let steps = steps(program.expression(), longest);
        if steps > STEPS_MAX {
            return nothing(&format!(
                "over {name} the expression could take {steps} steps, and {STEPS_MAX} are the limit: loops inside loops"
            ));
        }
        let mut context = Context::default().with_all();
        context.add_variable_from_value("object", value(&json));
        match program.execute(&context) {
            Ok(Value::Bool(true)) => {}
            Ok(Value::Bool(false)) => return Some(Said::Fail(format!("{name} does not pass"))),
            Ok(_) => return nothing("the expression gives neither true nor false"),
            Err(error) => return nothing(&format!("{name}: {error}")),
        }
    }
    None
}

/// Whether an expression makes lists of texts.
fn in_parts(expression: &str) -> bool {
    ["split", "findAll"].iter().any(|function| expression.contains(function))
}

/// How long the longest list or map of an object is; with `texts`, what can be made of its texts too.
fn longest(json: &Json, texts: bool) -> u64 {
    match json {
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
        Json::String(text) => {
            if texts {
                text.len() as u64
            } else {
                0
            }
        }
        Json::Array(values) => {
            let within = values.iter().map(|value| longest(value, texts)).max();
            within.unwrap_or(0).max(values.len() as u64)
        }
        Json::Object(fields) => {
            let within = fields.values().map(|value| longest(value, texts)).max();
            within.unwrap_or(0).max(fields.len() as u64)
        }
    }
}

/// How many steps an evaluation can take at most, where no loop goes over more than `longest`.
fn steps(expression: &IdedExpr, longest: u64) -> u64 {
    let of = |part: &IdedExpr| steps(part, longest);
    let of_entry = |entry: &IdedEntryExpr| match &entry.expr {
        EntryExpr::StructField(field) => of(&field.value),
        EntryExpr::MapEntry(entry) => of(&entry.key).saturating_add(of(&entry.value)),
    };
    let all = |parts: &mut dyn Iterator<Item = u64>| parts.fold(1, u64::saturating_add);
    match &expression.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => 1,
        Expr::Select(select) => of(&select.operand).saturating_add(1),
        Expr::Call(call) => {
            all(&mut call.target.iter().map(|target| of(target)).chain(call.args.iter().map(of)))
        }
        Expr::List(list) => all(&mut list.elements.iter().map(of)),
        Expr::Map(map) => all(&mut map.entries.iter().map(of_entry)),
        Expr::Struct(object) => all(&mut object.entries.iter().map(of_entry)),
        Expr::Comprehension(each) => {
            let step = of(&each.loop_cond).saturating_add(of(&each.loop_step));
            let around = [&each.iter_range, &each.accu_init, &each.result].map(of);
            all(&mut around.into_iter().chain([step.saturating_mul(longest)]))
        }
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

    fn said(expression: &str, objects: &[DynamicObject]) -> Said {
        let waits = Arc::new(());
        let judged = judge(expression, objects, &Arc::downgrade(&waits));
        judged.unwrap_or_else(|| passed(objects.len()))
    }

    const ALL_READY: &str = "object.status.readyReplicas == object.spec.replicas";

    #[test]
    fn every_object_has_to_pass_and_there_has_to_be_one() {
        assert!(matches!(said(ALL_READY, &objects(&[3, 3])), Said::Pass(_)));
        assert!(matches!(said(ALL_READY, &objects(&[3, 2])), Said::Fail(_)));
        assert!(matches!(said(ALL_READY, &[]), Said::Nothing(_)));
        for whole in ["object.spec.replicas == 3", "object.spec.replicas - 4 < 0"] {
            assert!(matches!(said(whole, &objects(&[3])), Said::Pass(_)), "{whole}");
        }
    }

    #[test]
    fn i29_an_expression_that_fails_or_is_no_truth_says_nothing() {
        for expression in
            ["object.status.", "object.missing.field == 1", "object.spec.replicas", "((("]
        {
            let said = said(expression, &objects(&[3]));
            assert!(matches!(said, Said::Nothing(_)), "{expression}: {said:?}");
        }
    }

    fn listing(of: usize) -> DynamicObject {
        let mut object = objects(&[3]).remove(0);
        object.data["spec"]["list"] = (0..of).collect::<Vec<_>>().into();
        object.data["spec"]["text"] = "x".repeat(of).into();
        object
    }

    #[test]
    fn an_expression_that_could_run_for_long_is_not_begun_over_the_object_where_it_could() {
        let pairs = "object.spec.list.all(a, object.spec.list.all(b, a + b >= 0))";
        assert!(matches!(said(pairs, &[listing(50)]), Said::Pass(_)));
        let long = said(pairs, &[listing(50), listing(100_000)]);
        assert!(matches!(&long, Said::Nothing(why) if why.contains("steps")), "{long:?}");
        let once = said("object.spec.list.all(a, a >= 0)", &[listing(100_000)]);
        assert!(matches!(once, Said::Pass(_)), "{once:?}");
        let letters =
            "object.spec.text.split('').all(a, object.spec.text.split('').all(b, a == b))";
        let split = said(letters, &[listing(100_000)]);
        assert!(matches!(&split, Said::Nothing(why) if why.contains("steps")), "{split:?}");
    }

    #[test]
    fn what_nobody_waits_for_any_more_ends_before_its_next_object() {
        let judged = judge(ALL_READY, &objects(&[3]), &Weak::new());
        assert!(matches!(judged, Some(Said::Nothing(_))));
    }

    #[tokio::test]
    async fn an_evaluation_keeps_its_turn_until_it_has_ended() {
        let expressions = Expressions::new();
        let every = u32::try_from(EVALUATIONS_AT_ONCE).unwrap();
        let taken = Arc::clone(&expressions.turns).acquire_many_owned(every).await.unwrap();
        let mut judged = std::pin::pin!(expressions.judged(ALL_READY, objects(&[3])));
        assert!(futures::poll!(&mut judged).is_pending());
        drop(taken);
        assert_eq!(judged.await, None);
        assert_eq!(expressions.turns.available_permits(), EVALUATIONS_AT_ONCE);
    }
}
