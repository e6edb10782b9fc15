//! Objects that have one writer: statuses, the operator's views, content by digest, reports of nodes.

use hozen_api::names::{GROUP, account, privilege};

use super::{COLLECTORS, Policy};
use crate::{Installation, table};

/// What an import writes: the image, and the packages that are in it.
const IMPORTED: &str = "['managedimages', 'packagesets']";

pub(super) fn policies(installation: &Installation) -> Vec<Policy> {
    vec![sole_writers(installation), statuses(installation), node_reports(installation)]
}

/// `{'managednodes': ['system:…:hozen'], …}`: the table's rows of sole writers by one of these verbs, in CEL. A status stands under its kind.
fn writers(installation: &Installation, resources: &[&str], verbs: &[&str]) -> String {
    let entries: Vec<String> = resources
        .iter()
        .map(|resource| {
            let users: Vec<String> = table::sole_writers(resource, verbs)
                .into_iter()
                .filter_map(table::Identity::account)
                .map(|account| format!("'{}'", installation.user(account)))
                .collect();
            let kind = resource.split('/').next().unwrap_or(resource);
            format!("'{kind}': [{}]", users.join(", "))
        })
        .collect();
    format!("{{{}}}", entries.join(", "))
}

/// Rollouts have a policy of their own: people hold their handle.
fn sole_writers(installation: &Installation) -> Policy {
    let mut resources = table::sole_resources(false);
    resources.retain(|resource| *resource != "rollouts");
    let may = |operation: &str, verbs: &[&str]| {
        format!("'{operation}': {}", writers(installation, &resources, verbs))
    };
    let may = [
        may("CREATE", &["create"]),
        may("UPDATE", &["update", "patch"]),
        may("DELETE", &["delete"]),
    ];
    Policy::new("hozen-writers", "What Hozen sees and computes is written by Hozen alone; people may annotate it.")
        .on(GROUP, &resources, &["CREATE", "UPDATE", "DELETE"])
        .variable("may", format!("{{{}}}[request.operation][request.resource.resource]", may.join(", ")))
        .variable(
            "annotated",
            "request.operation == 'UPDATE' && object.spec == oldObject.spec \
             && object.metadata.?labels.orValue({}) == oldObject.metadata.?labels.orValue({}) \
             && object.metadata.?ownerReferences.orValue([]) == oldObject.metadata.?ownerReferences.orValue([]) \
             && object.metadata.?finalizers.orValue([]) == oldObject.metadata.?finalizers.orValue([])",
        )
        // Who says what is in an image brings its packages too.
        .variable(
            "imports",
            format!(
                "request.operation != 'DELETE' && request.resource.resource in {IMPORTED} \
                 && authorizer.group('{GROUP}').resource('managedimages').check('{}').allowed()",
                privilege::IMPORT,
            ),
        )
        .telling(
            format!(
                "request.userInfo.username in variables.may || variables.annotated || variables.imports \
                 || (request.operation != 'CREATE' && request.userInfo.username in {COLLECTORS})"
            ),
            "request.resource.resource + ' are written by Hozen alone; ' + request.operation + ' by ' \
             + (size(variables.may) == 0 ? 'nobody' : variables.may.join(' and '))",
            "this is written by Hozen alone",
        )
}

fn statuses(installation: &Installation) -> Policy {
    let resources = table::sole_resources(true);
    Policy::new("hozen-statuses", "A status is what the operator saw, so only the operator writes it.")
        .on(GROUP, &resources, &["UPDATE"])
        .variable("writers", format!("{}[request.resource.resource]", writers(installation, &resources, &["update", "patch"])))
        .telling(
            "request.userInfo.username in variables.writers",
            "'the status of ' + request.resource.resource + ' is what Hozen saw: only ' + variables.writers.join(' and ') + ' writes it'",
            "a status is what Hozen saw: only Hozen writes it",
        )
}

/// A scanner's token is bound to its pod, and so names the node by name and uid; another machine of the same name has another uid.
fn node_reports(installation: &Installation) -> Policy {
    let scanner = installation.user(account::SCANNER);
    let bound = |key: &str| {
        format!("request.userInfo.extra[?'authentication.kubernetes.io/{key}'][?0].orValue('')")
    };
    Policy::new("hozen-node-reports", "A scanner reports the node that it runs on: no other, and no other machine of its name.")
        .on(GROUP, &["nodeinventories"], &["CREATE", "UPDATE"])
        // The garbage collector lets go of it and changes nothing of what it says.
        .when(
            "said",
            format!("!(request.operation == 'UPDATE' && request.userInfo.username in {COLLECTORS} && object.report == oldObject.report)"),
        )
        .variable("node", bound("node-name"))
        .variable("uid", bound("node-uid"))
        .rule(
            format!("request.userInfo.username == '{scanner}'"),
            format!("a node is reported by its scanner ({scanner}) and by nobody else"),
        )
        .telling(
            "variables.node != '' && variables.node == object.metadata.name",
            "variables.node == '' ? 'this token is bound to no node: only the token of a running scanner reports' \
             : 'this scanner runs on node ' + variables.node + ' and may report only that node, not ' + object.metadata.name",
            "a scanner reports only the node that it runs on",
        )
        .rule(
            "variables.uid != '' && variables.uid == object.report.?nodeUID.orValue('')",
            "the report names another machine than the one that the scanner's token is bound to",
        )
}
