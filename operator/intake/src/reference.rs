//! Objects that stand twice, and references to objects that are not there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    kinds::Object,
    manifest::Document,
    problem::{Problem, nearest},
};

/// Everything that is wrong among the objects.
pub fn problems(documents: &[Document]) -> Vec<Problem> {
    let mut problems = twice(documents);
    let names = |wanted: &str| -> BTreeSet<&str> {
        documents.iter().filter(|d| d.object.kind() == wanted).map(|d| d.name.as_str()).collect()
    };
    let (policies, baselines) = (names("ApprovalPolicy"), names("Baseline"));
    for document in documents {
        let Object::Baseline(baseline) = &document.object else {
            continue;
        };
        let policy = &baseline.spec.approval_policy;
        if !policies.contains(policy.as_str()) {
            problems.push(missing(
                document,
                "spec.approvalPolicy",
                "ApprovalPolicy",
                policy,
                &policies,
            ));
        }
        if let Some(test) = &baseline.spec.rollout.test
            && !baselines.contains(test.mirror.as_str())
        {
            problems.push(missing(
                document,
                "spec.rollout.test.mirror",
                "Baseline",
                &test.mirror,
                &baselines,
            ));
        }
    }
    problems
}

fn missing(
    document: &Document,
    path: &str,
    kind: &str,
    name: &str,
    known: &BTreeSet<&str>,
) -> Problem {
    let hint = nearest(name, known.iter().copied()).map(|near| format!("; did you mean {near}?"));
    document.problem(path, format!("there is no {kind} {name}{}", hint.unwrap_or_default()))
}

/// Objects of one kind and name: which of them counts would depend on the order of files. Workloads are told apart by
/// namespace too.
fn twice(documents: &[Document]) -> Vec<Problem> {
    let mut first: BTreeMap<(&str, Option<&str>, &str), &Document> = BTreeMap::new();
    let mut problems = Vec::new();
    for document in documents {
        let namespace = document.object.metadata().namespace.as_deref();
        let key = (document.object.kind(), namespace, document.name.as_str());
        match first.get(&key) {
            Some(other)
                if is_content(&document.object)
                    && other.tree.to_json() == document.tree.to_json() => {}
            Some(other) => {
                let (file, line) = (Arc::clone(&other.file), other.tree.place.line);
                problems.push(
                    document
                        .problem("metadata.name", format!("stands twice, first in {file}:{line}")),
                );
            }
            None => {
                first.insert(key, document);
            }
        }
    }
    problems
}

/// Content-addressed objects may stand beside each node that has them: they are the same by name.
fn is_content(object: &Object) -> bool {
    matches!(object, Object::PackageSet(_) | Object::Transaction(_))
}
