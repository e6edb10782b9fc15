//! Objects that stand twice, and references to objects that are not there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    kinds::Object,
    manifest::{Document, Manifests},
    problem::{Problem, nearest},
    tree::Node,
};

/// What a baseline refers to: the fields on the way, and the kind that is meant.
const REFERENCES: [(&[&str], &str); 2] = [
    (&["spec", "approvalPolicy"], "ApprovalPolicy"),
    (&["spec", "rollout", "test", "mirror"], "Baseline"),
];

/// Everything that is wrong among the objects.
pub fn problems(manifests: &Manifests) -> Vec<Problem> {
    let mut problems = twice(&manifests.documents);
    problems.extend(missing(manifests, manifests));
    problems
}

/// References of baselines to what is not there. They are read as written, so that a baseline that is wrong elsewhere has
/// them told as well.
pub fn missing(of: &Manifests, among: &Manifests) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (fields, wanted) in REFERENCES {
        let Some(known) = among.names(wanted) else { continue };
        for (file, name, tree) in of.written("Baseline") {
            let field = fields.iter().try_fold(tree, |node, key| node.get(key));
            let Some(text) = field.and_then(Node::text) else { continue };
            if !known.contains(text) {
                let path = fields.join(".");
                problems.push(Problem {
                    file: Arc::clone(file),
                    place: tree.place_of(&path),
                    object: format!("Baseline/{name}"),
                    path,
                    message: not_there(wanted, text, &known),
                });
            }
        }
    }
    problems
}

/// "there is no node web-1a; did you mean web-a1?"
pub fn not_there(kind: &str, name: &str, known: &BTreeSet<&str>) -> String {
    let hint = nearest(name, known.iter().copied()).map(|near| format!("; did you mean {near}?"));
    format!("there is no {kind} {name}{}", hint.unwrap_or_default())
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
