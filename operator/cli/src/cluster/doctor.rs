//! `hozen doctor`: whether the policies stand, and who holds what they cannot see or cannot prevent.

use std::{collections::BTreeMap, process::ExitCode};

use hozen_access::{
    Installation,
    standing::{self, Standing},
};
use hozen_api::names::{GROUP, account, privilege};
use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    apps::v1::Deployment,
};
use kube::{Api, Resource, ResourceExt as _};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    Cluster,
    cordons::{self, Left},
    error::{ClusterError, told},
    rights::{Ask, Holder, Rights},
};
use crate::{
    LATE,
    args::Output,
    error::Failed,
    print,
    simulate::formed,
    terminal,
    text::page::{BAD, FAINT, GOOD, Page, STRONG, paint},
};

const ADMISSION: &str = "admissionregistration.k8s.io";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Findings {
    api_version: &'static str,
    kind: &'static str,
    /// What is wrong with the policies; none: they stand.
    faults: Vec<String>,
    /// Cordons of Hozen's that nobody works on, each with the line that lifts it.
    cordons: Vec<Left>,
    /// Who holds which power, in the order of the page.
    powers: Vec<Power>,
}

#[derive(Debug, Serialize)]
struct Power {
    can: &'static str,
    because: &'static str,
    holders: Vec<Holder>,
}

/// Prints what is found; exit code 1 where the policies do not stand, or cordons of ours are left.
pub async fn run(cluster: &Cluster, form: Output) -> Result<ExitCode, Failed> {
    let mut findings = Findings {
        api_version: "status.hozen.dev/v1alpha1",
        kind: "Findings",
        faults: Vec::new(),
        cordons: Vec::new(),
        powers: Vec::new(),
    };
    match installation(cluster).await {
        Ok(installation) => {
            let rights = Rights::read(cluster).await?;
            findings.faults = faults(cluster, &installation).await?;
            findings.powers = powers(&rights, &installation);
            findings.cordons = cordons::left(cluster, true).await?;
        }
        Err(ClusterError::Sense(why)) => {
            // What an operator that is gone has left behind is told all the same (invariant 58).
            findings.cordons = cordons::left(cluster, false).await?;
            if findings.cordons.is_empty() {
                return Err(ClusterError::Sense(why).into());
            }
            findings.faults.push(why);
        }
        Err(other) => return Err(other.into()),
    }
    match form {
        Output::Text => print(&text(&findings, terminal::columns(&std::io::stdout())))?,
        Output::Json | Output::Yaml => print(&formed(&findings, form)?)?,
    };
    let sound = findings.faults.is_empty() && findings.cordons.is_empty();
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(LATE) })
}

/// What the operator was started with says how the policies must be.
pub(super) async fn installation(cluster: &Cluster) -> Result<Installation, ClusterError> {
    let api: Api<Deployment> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let found = api.get_opt(account::OPERATOR).await;
    let found = found.map_err(|error| told("show the operator's Deployment", error))?;
    let Some(deployment) = found else {
        return Err(ClusterError::Sense(format!(
            "there is no Deployment {} in the namespace {}: is Hozen installed in another (--hozen-namespace)?",
            account::OPERATOR,
            cluster.namespace
        )));
    };
    let pod = deployment.spec.template.spec.unwrap_or_default();
    let arguments: Vec<String> = pod
        .containers
        .into_iter()
        .flat_map(|container| container.args.unwrap_or_default())
        .collect();
    let option = |name: &str| {
        let found =
            arguments.iter().find_map(|argument| argument.strip_prefix(&format!("--{name}=")));
        found.map(str::to_owned).ok_or_else(|| {
            ClusterError::Sense(format!(
                "the operator was started without --{name}: it was not installed by this chart"
            ))
        })
    };
    Ok(Installation {
        namespace: cluster.namespace.clone(),
        work_namespace: option("work-namespace")?,
        agent_image: option("agent-image")?,
    })
}

/// What is wrong with the admission policies.
pub(super) async fn faults(
    cluster: &Cluster,
    installation: &Installation,
) -> Result<Vec<String>, ClusterError> {
    let faults = standing::faults(installation, &standing(cluster).await?);
    Ok(faults.iter().map(ToString::to_string).collect())
}

async fn standing(cluster: &Cluster) -> Result<Standing, ClusterError> {
    Ok(Standing {
        policies: named::<ValidatingAdmissionPolicy>(cluster, "admission policy").await?,
        bindings: named::<ValidatingAdmissionPolicyBinding>(
            cluster,
            "binding of an admission policy",
        )
        .await?,
    })
}

async fn named<K>(cluster: &Cluster, kind: &str) -> Result<BTreeMap<String, Value>, ClusterError>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    let all: Vec<K> = cluster.list(kind).await?;
    let objects = all.iter().map(|object| {
        let value = serde_json::to_value(object);
        value.map(|value| (object.name_any(), value))
    });
    objects.collect::<Result<_, _>>().map_err(|error| ClusterError::Sense(error.to_string()))
}

fn powers(rights: &Rights, installation: &Installation) -> Vec<Power> {
    let ask = |group, resource, verb| Ask { group, resource, verb, namespace: None };
    let own = Some(installation.namespace.as_str());
    let power = |can, because, asks: &[Ask<'_>]| {
        let mut holders: Vec<Holder> = asks.iter().flat_map(|ask| rights.who(*ask)).collect();
        holders.sort();
        holders.dedup();
        Power { can, because, holders }
    };
    vec![
        power(
            "approve",
            "their word counts in these roles",
            &[ask(GROUP, privilege::APPROVAL_ROLES, privilege::APPROVE)],
        ),
        power(
            "impersonate",
            "admission sees whom they impersonate: they can approve as anybody",
            &[
                ask("", "users", "impersonate"),
                ask("", "groups", "impersonate"),
                ask("", "serviceaccounts", "impersonate"),
            ],
        ),
        power(
            "alter admission policies",
            "they can switch admission off; the operator then starts nothing new",
            &[
                ask(ADMISSION, "validatingadmissionpolicies", "update"),
                ask(ADMISSION, "validatingadmissionpolicies", "patch"),
                ask(ADMISSION, "validatingadmissionpolicies", "delete"),
                ask(ADMISSION, "validatingadmissionpolicies", "deletecollection"),
                ask(ADMISSION, "validatingadmissionpolicybindings", "update"),
                ask(ADMISSION, "validatingadmissionpolicybindings", "patch"),
                ask(ADMISSION, "validatingadmissionpolicybindings", "delete"),
                ask(ADMISSION, "validatingadmissionpolicybindings", "deletecollection"),
            ],
        ),
        power(
            "grant rights",
            "they can give themselves all of this",
            &[
                ask("rbac.authorization.k8s.io", "clusterroles", "escalate"),
                ask("rbac.authorization.k8s.io", "clusterroles", "bind"),
            ],
        ),
        power(
            "be the operator",
            "they can make pods or tokens in Hozen's namespace",
            &[
                Ask { namespace: own, ..ask("", "pods", "create") },
                Ask { namespace: own, ..ask("", "serviceaccounts/token", "create") },
                Ask { namespace: own, ..ask("apps", "deployments", "create") },
                Ask { namespace: own, ..ask("", "pods/exec", "create") },
            ],
        ),
        power(
            "choose who must agree",
            "they write approval policies",
            &[
                ask(GROUP, "approvalpolicies", "create"),
                ask(GROUP, "approvalpolicies", "update"),
                ask(GROUP, "approvalpolicies", "patch"),
            ],
        ),
        power(
            "use approval policies",
            "they may name these in a baseline",
            &[ask(GROUP, "approvalpolicies", privilege::USE)],
        ),
        power(
            "accept failures",
            "rollouts go on in spite of them",
            &[ask(GROUP, "rollouts", privilege::ACCEPT)],
        ),
        power(
            "halt",
            "they can stop all new disruption, and let it go on",
            &[Ask { namespace: own, ..ask(GROUP, privilege::HALTS, privilege::SET) }],
        ),
    ]
}

fn text(findings: &Findings, columns: usize) -> String {
    let mut page = Page::new(columns);
    if findings.faults.is_empty() {
        page.line("", &paint(GOOD, "the admission policies stand, unaltered"));
    }
    for fault in &findings.faults {
        page.hang("", &paint(BAD, fault), 2);
    }
    if !findings.faults.is_empty() && !findings.powers.is_empty() {
        page.line("", "nothing new is started until that is mended: install the chart again");
    }
    for Left { node, what, why, lift } in &findings.cordons {
        page.gap();
        page.hang(
            "",
            &paint(BAD, format!("{node} is {what} by Hozen, and nobody works on it: {why}")),
            2,
        );
        page.hang("  ", lift, 4);
    }
    for Power { can, because, holders } in &findings.powers {
        page.gap();
        page.hang(
            "",
            &format!("{}: {}", paint(STRONG, format!("who can {can}")), paint(FAINT, because)),
            2,
        );
        if holders.is_empty() {
            page.line("  ", "nobody, by RBAC");
        }
        for holder in holders {
            let names = if holder.names.is_empty() {
                String::new()
            } else {
                format!(": {}", holder.names.join(", "))
            };
            page.hang(
                "  ",
                &format!(
                    "{}{names} {}",
                    holder.who,
                    paint(FAINT, format!("(role {})", holder.role))
                ),
                4,
            );
        }
    }
    page.finish()
}
