//! What the operator's own account may change on a Node: the cordon together with its record, our taint, our annotations.

use hozen_api::names::annotation;

use super::Policy;
use crate::Installation;

pub(super) fn policy(installation: &Installation) -> Policy {
    let (owner, taint) = (annotation::OWNER, annotation::TAINT);
    let foreign =
        |object: &str| format!("{object}.spec.?taints.orValue([]).filter(t, t.key != '{taint}')");
    let annotations = |object: &str| format!("{object}.metadata.?annotations.orValue({{}})");
    let (new, old) = (annotations("object"), annotations("oldObject"));
    Policy::new("hozen-nodes", "On a Node the operator changes the cordon together with its record, its taint, its annotations: nothing else.")
        .on("", &["nodes", "nodes/status"], &["CREATE", "UPDATE", "DELETE"])
        .when("operator", format!("request.userInfo.username == '{}'", installation.operator()))
        .variable("cordoned", "object != null && object.spec.?unschedulable.orValue(false)")
        .variable("wasCordoned", "oldObject != null && oldObject.spec.?unschedulable.orValue(false)")
        .variable("record", format!("object == null ? '' : {new}[?'{owner}'].orValue('')"))
        .variable("wasRecord", format!("oldObject == null ? '' : {old}[?'{owner}'].orValue('')"))
        .rule(
            "request.operation == 'UPDATE' && request.?subResource.orValue('') == ''",
            "the operator neither makes nor removes nodes, and does not write their status",
        )
        // Nothing leads from a person's cordon (no record) anywhere else: neither in one write nor in several.
        .rule(
            "(variables.cordoned == variables.wasCordoned && variables.record == variables.wasRecord) \
             || (!variables.wasCordoned && variables.cordoned && variables.record != '' && variables.wasRecord == '') \
             || (variables.wasRecord != '' && variables.record == '' && (!variables.cordoned \
             || (variables.wasCordoned && variables.wasRecord.contains('\"previouslyUnschedulable\":true'))))",
            format!("cordon and ownership record ({owner}) are one write: a cordon without its record is nobody's, and a record is not rewritten"),
        )
        .rule(
            format!(
                "object.spec.?taints.orValue([]).all(t, t.key != '{taint}' || t.effect == 'NoSchedule' \
                 || oldObject.spec.?taints.orValue([]).exists(o, o.key == t.key && o.effect == t.effect))"
            ),
            format!("{taint} keeps new pods away and moves none: its effect is NoSchedule"),
        )
        .rule(
            format!("{} == {}", foreign("object"), foreign("oldObject")),
            format!("of the taints the operator changes {taint} only"),
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
             && object.metadata.?ownerReferences.orValue([]) == oldObject.metadata.?ownerReferences.orValue([]) \
             && object.spec.?providerID.orValue('') == oldObject.spec.?providerID.orValue('') \
             && object.spec.?podCIDR.orValue('') == oldObject.spec.?podCIDR.orValue('') \
             && object.spec.?podCIDRs.orValue([]) == oldObject.spec.?podCIDRs.orValue([])",
            "the operator changes no labels, owners, finalizers or addresses of a node",
        )
}
