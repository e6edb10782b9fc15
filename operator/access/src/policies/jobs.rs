//! The namespace of the patch Jobs: privilege exists there, so nothing runs there but our agent, by the operator's order.

use hozen_api::job::PROGRAM;

use super::Policy;
use crate::Installation;

/// The agent's commands that a Job may run (decision 7).
pub const COMMANDS: [&str; 6] = ["apply", "restart", "reboot", "mitigate", "lift", "rollback"];
/// Paths of the host that a Job may mount: the root, which the agent works on.
pub const HOST_PATHS: [&str; 1] = ["/"];

/// Who makes pods of Jobs.
const JOB_CONTROLLERS: &str =
    "['system:serviceaccount:kube-system:job-controller', 'system:kube-controller-manager']";

pub(super) fn policies(installation: &Installation) -> Vec<Policy> {
    let [jobs, pods] = runs(installation);
    vec![jobs, pods, makers(installation), doors(installation), contents(installation)]
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
    .on("", &["pods", "pods/ephemeralcontainers"], &["CREATE", "UPDATE"])
    .variable("pod", "object.spec");
    [pod_rules(jobs, installation), pod_rules(pods, installation)]
}

fn pod_rules(policy: Policy, installation: &Installation) -> Policy {
    let Installation { work_namespace, agent_image, .. } = installation;
    let (commands, paths) = (list(&COMMANDS), list(&HOST_PATHS));
    policy
        .inside(work_namespace)
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
        .inside(&installation.work_namespace)
        .rule(
            format!(
                "request.resource.resource != 'jobs' || request.userInfo.username == '{operator}' || (request.operation == 'UPDATE' \
                 && (request.userInfo.username.startsWith('system:serviceaccount:kube-system:') || request.userInfo.username == 'system:kube-controller-manager'))"
            ),
            format!("patch Jobs are made by the operator ({operator}), for an approved change"),
        )
        .rule(
            format!("request.resource.resource != 'pods' || request.userInfo.username in {JOB_CONTROLLERS}"),
            "pods are made here by the Job controller alone",
        )
}

/// Nobody enters: a shell in a privileged pod is a shell on the node.
fn doors(installation: &Installation) -> Policy {
    Policy::new("hozen-job-doors", "Nobody enters a pod that holds privilege.")
        .on("", &["pods/exec", "pods/attach", "pods/portforward", "pods/proxy"], &["CONNECT"])
        .inside(&installation.work_namespace)
        .rule("false", "nobody enters a pod of a patch Job: it holds privilege on its node (its log can be read)")
}

/// What lies there.
fn contents(installation: &Installation) -> Policy {
    Policy::new(
        "hozen-job-contents",
        "The namespace of the patch Jobs holds no secret, and no other workload.",
    )
    .on("", &["secrets", "replicationcontrollers", "podtemplates"], &["CREATE", "UPDATE"])
    .on("apps", &["*"], &["CREATE", "UPDATE"])
    .on("batch", &["cronjobs"], &["CREATE", "UPDATE"])
    .inside(&installation.work_namespace)
    .rule("false", "this namespace is for patch Jobs: it holds no secret and no other workload")
}
