//! What the operator's own account may change on workloads: images of containers, from one digest to another of the same repository, and our
//! annotations. And who says what is in an image.

use hozen_api::names::{GROUP, privilege};

use super::Policy;
use crate::Installation;

pub(super) fn policies(installation: &Installation) -> Vec<Policy> {
    vec![workloads(installation), images(installation)]
}

/// Everything of a map but one of its keys, which is there before and after.
fn same_but(new: &str, old: &str, key: &str) -> String {
    format!(
        "{new}.all(k, k == '{key}' || (k in {old} && {new}[k] == {old}[k])) && {old}.all(k, k in {new})"
    )
}

/// Containers of one list: the same, in the same order, but for their images.
fn containers(list: &str) -> String {
    let (new, old) = (
        format!("variables.pod[?'{list}'].orValue([])"),
        format!("variables.oldPod[?'{list}'].orValue([])"),
    );
    let rest = same_but("c", "o", "image");
    // The old text is the repository alone, or goes on with a tag or a digest; a slash after a colon makes it a port.
    format!(
        "{new}.map(c, c.name) == {old}.map(o, o.name) && {new}.all(c, {old}.exists(o, o.name == c.name && {rest} && (c.image == o.image \
         || (c.image.matches('^[^@]+@sha256:[0-9a-f]{{64}}$') && (o.image == c.image.split('@')[0] || o.image.startsWith(c.image.split('@')[0] + '@') \
         || (o.image.startsWith(c.image.split('@')[0] + ':') && !o.image.substring(size(c.image.split('@')[0])).split('@')[0].contains('/')))))))"
    )
}

fn workloads(installation: &Installation) -> Policy {
    let annotations = |object: &str| format!("{object}.metadata.?annotations.orValue({{}})");
    let (new, old) = (annotations("object"), annotations("oldObject"));
    let template = |spec: &str| {
        format!(
            "'template' in variables.{spec} ? variables.{spec}.template : variables.{spec}.jobTemplate.spec.template"
        )
    };
    let spec = format!(
        "'template' in variables.spec ? ({}) : ({} && {} && {})",
        same_but("variables.spec", "variables.oldSpec", "template"),
        same_but("variables.spec", "variables.oldSpec", "jobTemplate"),
        same_but("variables.spec.jobTemplate", "variables.oldSpec.jobTemplate", "spec"),
        same_but(
            "variables.spec.jobTemplate.spec",
            "variables.oldSpec.jobTemplate.spec",
            "template"
        ),
    );
    let pod = "variables.pod.all(k, k in ['containers', 'initContainers'] || (k in variables.oldPod && variables.pod[k] == variables.oldPod[k])) \
               && variables.oldPod.all(k, k in variables.pod)";
    Policy::new(
        "hozen-workloads",
        "On a workload the operator moves images from digest to digest and writes its annotations: nothing else.",
    )
    .on("apps", &["deployments", "statefulsets", "daemonsets", "deployments/*", "statefulsets/*", "daemonsets/*"], &["CREATE", "UPDATE", "DELETE"])
    .on("batch", &["cronjobs", "cronjobs/*"], &["CREATE", "UPDATE", "DELETE"])
    .when("operator", format!("request.userInfo.username == '{}'", installation.operator()))
    .variable("spec", "dyn(object.spec)")
    .variable("oldSpec", "dyn(oldObject.spec)")
    .variable("template", template("spec"))
    .variable("oldTemplate", template("oldSpec"))
    .variable("pod", "variables.template.spec")
    .variable("oldPod", "variables.oldTemplate.spec")
    .rule(
        "request.operation == 'UPDATE' && request.?subResource.orValue('') == ''",
        "the operator neither makes, scales nor removes workloads, and does not write their status",
    )
    .rule(
        format!("({spec}) && {} && {pod}", same_but("variables.template", "variables.oldTemplate", "spec")),
        "of a workload's spec the operator changes images of containers only",
    )
    .rule(
        format!("{} && {}", containers("initContainers"), containers("containers")),
        "the operator moves an image to a digest of the same repository, and changes nothing else of a container",
    )
    .rule(
        format!(
            "{new}.all(k, k.startsWith('hozen.dev/') || (k in {old} && {new}[k] == {old}[k])) \
             && {old}.all(k, k.startsWith('hozen.dev/') || k in {new})"
        ),
        "of the annotations the operator changes those of hozen.dev only",
    )
    .rule(
        "object.metadata.?labels.orValue({}) == oldObject.metadata.?labels.orValue({}) \
         && object.metadata.?finalizers.orValue([]) == oldObject.metadata.?finalizers.orValue([]) \
         && object.metadata.?ownerReferences.orValue([]) == oldObject.metadata.?ownerReferences.orValue([])",
        "the operator changes no labels, owners or finalizers of a workload",
    )
}

/// An SBOM that lies makes a vulnerable image look fixed: whose word counts is a privilege, and the operator does not hold it.
fn images(installation: &Installation) -> Policy {
    let said = |object: &str| format!("{object}.spec.?packageSet.orValue('')");
    let same = format!("{} == (oldObject == null ? '' : {})", said("object"), said("oldObject"));
    Policy::new(
        "hozen-images",
        "What is in an image is handed in by who may import it, never by the operator.",
    )
    .on(GROUP, &["managedimages"], &["CREATE", "UPDATE"])
    .rule(
        format!("request.userInfo.username != '{}' || {same}", installation.operator()),
        "the operator does not say what is in an image: who may import it does",
    )
    .rule(
        format!(
            "request.userInfo.username == '{}' || {same} \
                 || authorizer.group('{GROUP}').resource('managedimages').check('{}').allowed()",
            installation.operator(),
            privilege::IMPORT,
        ),
        format!("to say what is in an image needs the verb {} on managedimages", privilege::IMPORT),
    )
}
