//! The namespace of the patch Jobs: privilege exists there, so nothing runs there but our agent, by the operator's order.

use hozen_api::{
    job::PROGRAM,
    names::{GROUP, account, privilege},
};

use super::{COLLECTORS, Policy};
use crate::Installation;

/// The agent's commands that a Job may run (decision 7).
pub const COMMANDS: [&str; 7] =
    ["prefetch", "apply", "restart", "reboot", "mitigate", "lift", "rollback"];
/// Paths of the host that a Job may mount: the root, which the agent works on.
pub const HOST_PATHS: [&str; 1] = ["/"];

/// Who makes pods of Jobs.
const JOB_CONTROLLERS: &str =
    "['system:serviceaccount:kube-system:job-controller', 'system:kube-controller-manager']";

/// Who says how pods are: kubelets, and Kubernetes' own controllers.
const KUBERNETES: &str = "'system:nodes' in request.userInfo.?groups.orValue([]) || request.userInfo.username.startsWith('system:serviceaccount:kube-system:') \
     || request.userInfo.username in ['system:kube-controller-manager', 'system:kube-scheduler']";

pub(super) fn policies(installation: &Installation) -> Vec<Policy> {
    let [jobs, pods] = runs(installation);
    vec![
        jobs,
        pods,
        makers(installation),
        orders(installation),
        ends(installation),
        doors(installation),
        contents(installation),
        credentials(installation),
        errands(installation),
    ]
}

fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    format!("[{}]", quoted.join(", "))
}

/// What runs there, whoever asks: said of a Job's template and of every pod, so that no other way leads there.
fn runs(installation: &Installation) -> [Policy; 2] {
    let jobs = Policy::new(
        "hozen-jobs",
        "A patch Job runs our agent by digest, its own commands, without token and secret.",
    )
    .on("batch", &["jobs"], &["CREATE", "UPDATE"])
    .variable("pod", "object.spec.template.spec")
    .rule(
        "object.spec.?parallelism.orValue(1) <= 1 && object.spec.?completions.orValue(1) <= 1",
        "a Job here is one pod at a time: leave parallelism and completions out",
    );
    let pods = Policy::new(
        "hozen-job-pods",
        "A pod of a patch Job is our agent by digest, its own commands, without token and secret.",
    )
    .on("", &["pods", "pods/ephemeralcontainers", "pods/resize"], &["CREATE", "UPDATE"])
    .variable("pod", "object.spec");
    [pod_rules(jobs, installation), pod_rules(pods, installation)]
}

fn pod_rules(policy: Policy, installation: &Installation) -> Policy {
    let Installation { work_namespace, agent_image, .. } = installation;
    let (commands, paths) = (list(&COMMANDS), list(&HOST_PATHS));
    policy
        .inside(&[work_namespace])
        // What an earlier release made is counted and let go by Kubernetes' own controllers as ever.
        .when("changed", "oldObject == null || object.spec != oldObject.spec")
        .variable("containers", "variables.pod.containers + variables.pod.?initContainers.orValue([])")
        .rule(
            "size(variables.pod.?ephemeralContainers.orValue([])) == 0",
            "no container is added to a pod that holds privilege",
        )
        .rule(
            format!("variables.containers.all(c, c.image == '{agent_image}')"),
            format!("only {agent_image} runs here"),
        )
        .rule(
            format!(
                "variables.containers.all(c, c.?command.orValue([]) == ['{PROGRAM}'] && size(c.?args.orValue([])) == 1 && c.args[0] in {commands})"
            ),
            format!("only {PROGRAM} runs here, with one of {}", COMMANDS.join(", ")),
        )
        .rule(
            "variables.containers.all(c, !has(c.lifecycle) && !has(c.livenessProbe) && !has(c.readinessProbe) && !has(c.startupProbe))",
            "a Job here has no hooks and no probes: they are commands too",
        )
        .rule(
            "variables.pod.?automountServiceAccountToken.orValue(true) == false \
             && variables.pod.?serviceAccountName.orValue('') in ['', 'default']",
            "a Job here holds no token: set automountServiceAccountToken to false",
        )
        .rule(
            format!(
                "variables.pod.?volumes.orValue([]).all(v, has(v.downwardAPI) || has(v.emptyDir) || (has(v.hostPath) && v.hostPath.path in {paths}))"
            ),
            format!("a Job here mounts its own annotations, empty folders and {} of the host: no secret, no token, nothing else", HOST_PATHS.join(", ")),
        )
        .rule(
            "variables.containers.all(c, size(c.?envFrom.orValue([])) == 0 && size(c.?volumeDevices.orValue([])) == 0 \
             && c.?env.orValue([]).all(e, e.name.startsWith('HOZEN_') && (!has(e.valueFrom) || has(e.valueFrom.fieldRef))))",
            "the environment of a Job here is its own (HOZEN_…): no secret, no config map, nothing that steers another program",
        )
        .rule(
            "!variables.pod.?hostNetwork.orValue(false) && !variables.pod.?hostPID.orValue(false) && !variables.pod.?hostIPC.orValue(false)",
            "a Job here shares no network, processes or memory with its node: the host's own service manager does the work",
        )
        .rule(
            "variables.pod.?nodeName.orValue('') != ''",
            "a Job here is made for one node: set nodeName",
        )
}

/// Who makes it: the operator Jobs, the Job controller their pods, nobody anything else.
fn makers(installation: &Installation) -> Policy {
    let operator = installation.operator();
    Policy::new("hozen-job-makers", "Patch Jobs are made by the operator, and their pods by the Job controller.")
        .on("batch", &["jobs"], &["CREATE", "UPDATE"])
        .on("", &["pods"], &["CREATE"])
        .inside(&[&installation.work_namespace])
        .rule(
            format!(
                "request.resource.resource != 'jobs' || request.userInfo.username == '{operator}' || (request.operation == 'UPDATE' \
                 && (request.userInfo.username in {JOB_CONTROLLERS} || request.userInfo.username in {COLLECTORS}))"
            ),
            format!("patch Jobs are made by the operator ({operator}), for an approved change"),
        )
        .rule(
            format!("request.resource.resource != 'pods' || request.userInfo.username in {JOB_CONTROLLERS}"),
            "pods are made here by the Job controller alone",
        )
}

/// What a pod is told, and what it answers. Its files are made of its annotations, also while it runs; and the API server takes those by the
/// status as well. Plug-ins for networks write theirs.
fn orders(installation: &Installation) -> Policy {
    let ours = "k.startsWith('hozen.dev/') || k.startsWith('batch.kubernetes.io/') || k in ['controller-uid', 'job-name']";
    let kept = |map: &str| {
        let (new, old) = (
            format!("object.metadata.?{map}.orValue({{}})"),
            format!("oldObject.metadata.?{map}.orValue({{}})"),
        );
        format!(
            "{new}.all(k, !({ours}) || (k in {old} && {new}[k] == {old}[k])) && {old}.all(k, !({ours}) || k in {new})"
        )
    };
    let owners = |object: &str| format!("{object}.metadata.?ownerReferences.orValue([])");
    let same = |field: &str| format!("object.?status.?{field} == oldObject.?status.?{field}");
    Policy::new(
        "hozen-job-orders",
        "The order of a patch Job stands as the operator wrote it, and its kubelet says how it ended.",
    )
    .on("", &["pods", "pods/*"], &["UPDATE"])
    .inside(&[&installation.work_namespace])
    .rule(
        format!(
            "{} && {} && (request.userInfo.username in {JOB_CONTROLLERS} || request.userInfo.username in {COLLECTORS} || {} == {})",
            kept("annotations"),
            kept("labels"),
            owners("object"),
            owners("oldObject"),
        ),
        "the order of a patch Job stands on its pod as the operator wrote it: annotations and labels of hozen.dev, and its Job, are not changed",
    )
    .rule(
        format!(
            "({} && {} && {}) || {KUBERNETES}",
            same("phase"),
            same("containerStatuses"),
            same("initContainerStatuses")
        ),
        "how a pod of a patch Job ended its kubelet says, and Kubernetes' own controllers where that is gone",
    )
}

/// A gate passes, and a snapshot is there, by the status of its Job.
fn ends(installation: &Installation) -> Policy {
    Policy::new("hozen-job-ends", "How a Job of ours ended, the Job controller says.")
        .on("batch", &["jobs/status"], &["UPDATE"])
        .inside(&[&installation.namespace, &installation.work_namespace])
        .rule(
            format!("request.userInfo.username in {JOB_CONTROLLERS}"),
            "how a Job ended the Job controller says, and nobody else",
        )
}

/// Tests, snapshots and gates: from templates that people wrote. Admission cannot see the template; so privilege has to be given to the account.
fn errands(installation: &Installation) -> Policy {
    let namespace = &installation.namespace;
    let own = list(&[account::OPERATOR, account::SCANNER]);
    Policy::new("hozen-own-jobs", "In Hozen's namespace the operator starts Jobs without privilege, but as an account that was given it.")
        .on("batch", &["jobs"], &["CREATE", "UPDATE"])
        .inside(&[namespace])
        .when("operator", format!("request.userInfo.username == '{}'", installation.operator()))
        .variable("pod", "object.spec.template.spec")
        .variable("account", "variables.pod.?serviceAccountName.orValue('default')")
        .variable("containers", "variables.pod.containers + variables.pod.?initContainers.orValue([])")
        .variable(
            "host",
            "variables.pod.?hostNetwork.orValue(false) || variables.pod.?hostPID.orValue(false) || variables.pod.?hostIPC.orValue(false) \
             || variables.pod.?volumes.orValue([]).exists(v, has(v.hostPath)) \
             || variables.containers.exists(c, c.?securityContext.?privileged.orValue(false) \
             || size(c.?securityContext.?capabilities.?add.orValue([])) > 0)",
        )
        .rule(
            format!("!(variables.account in {own})"),
            "a Job here has none of Hozen's own accounts: name another in its template",
        )
        .telling(
            format!(
                "!variables.host || authorizer.serviceAccount('{namespace}', variables.account == '' ? 'default' : variables.account)\
                 .group('{GROUP}').resource('{}').namespace('{namespace}').check('{}').allowed()",
                privilege::HOSTS, privilege::ENTER,
            ),
            format!(
                "'a Job with privilege here needs the verb {} on {} for its account ' + variables.account",
                privilege::ENTER, privilege::HOSTS,
            ),
            "a Job with privilege here needs an account that was given it",
        )
}

/// Nobody enters: a shell in a privileged pod is a shell on the node.
fn doors(installation: &Installation) -> Policy {
    Policy::new("hozen-job-doors", "Nobody enters a pod that holds privilege.")
        .on("", &["pods/exec", "pods/attach", "pods/portforward", "pods/proxy"], &["CONNECT"])
        .inside(&[&installation.work_namespace])
        .rule("false", "nobody enters a pod of a patch Job: it holds privilege on its node (its log can be read)")
}

/// What lies there.
fn contents(installation: &Installation) -> Policy {
    Policy::new("hozen-job-contents", "The namespace of the patch Jobs holds no other workload.")
        .on("", &["replicationcontrollers", "podtemplates"], &["CREATE", "UPDATE"])
        .on("apps", &["*"], &["CREATE", "UPDATE"])
        .on("batch", &["cronjobs"], &["CREATE", "UPDATE"])
        .inside(&[&installation.work_namespace])
        .rule("false", "this namespace is for patch Jobs: it holds no other workload")
}

/// Secrets there: what a kubelet pulls the agent's image with, which no container sees.
fn credentials(installation: &Installation) -> Policy {
    Policy::new(
        "hozen-job-credentials",
        "The namespace of the patch Jobs holds no secret but credentials of registries.",
    )
    .on("", &["secrets"], &["CREATE", "UPDATE"])
    .inside(&[&installation.work_namespace])
    .rule(
        "object.?type.orValue('') == 'kubernetes.io/dockerconfigjson'",
        "this namespace is for patch Jobs: it holds no secret but credentials of registries (type kubernetes.io/dockerconfigjson)",
    )
}
