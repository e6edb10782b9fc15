//! `hozen manifests`: what follows from the table of who may do what, for one installation or for the chart.

use std::process::ExitCode;

use hozen_access::{Installation, policies, rbac};
use serde_json::{Value, json};

use crate::{LATE, args::Manifests, crds, error::Failed, print};

const HEAD: &str = "# Written by `make chart` from operator/access: change the table there.\n";

/// Prints the objects, writes the chart's part of them, or says which of its files are not current.
pub fn run(asked: &Manifests) -> Result<ExitCode, Failed> {
    if let Some(folder) = &asked.check {
        let stale = crds::stale(folder, &chart()?)?;
        if stale.is_empty() {
            return print("the chart is current\n");
        }
        let folder = folder.display();
        print(&format!(
            "not current: {}; write them with: hozen manifests --chart {folder}\n",
            stale.join(", ")
        ))?;
        return Ok(ExitCode::from(LATE));
    }
    if let Some(folder) = &asked.chart {
        let files = chart()?;
        crds::write(folder, &files)?;
        return print(&format!("{} files written to {}\n", files.len(), folder.display()));
    }
    let installation = Installation {
        namespace: asked.namespace.clone(),
        work_namespace: asked.work_namespace.clone(),
        agent_image: asked.agent_image.clone().unwrap_or_default(),
    };
    let mut objects = namespaces(&installation);
    objects.extend(rbac::manifests(&installation));
    objects.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": hozen_api::names::halt::CONFIG_MAP, "namespace": installation.namespace}}));
    objects.extend(policies::manifests(&installation));
    print(&yaml(&objects)?)
}

fn namespaces(installation: &Installation) -> Vec<Value> {
    let Installation { namespace, work_namespace, .. } = installation;
    [namespace, work_namespace]
        .map(|name| {
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name,
                "labels": {"pod-security.kubernetes.io/enforce": "privileged"}}})
        })
        .into()
}

/// Files of the chart that are generated, by their path in it.
fn chart() -> Result<Vec<(String, String)>, Failed> {
    let installation = Installation::templated();
    let mut files = vec![
        ("templates/access.yaml".to_owned(), yaml(&rbac::manifests(&installation))?),
        ("templates/policies.yaml".to_owned(), yaml(&policies::manifests(&installation))?),
    ];
    for (_, text) in &mut files {
        text.insert_str(0, HEAD);
    }
    let definitions =
        hozen_api::crds::crds_yaml().map_err(|error| Failed::Form(error.to_string()))?;
    files.extend(definitions.into_iter().map(|(name, text)| (format!("crds/{name}"), text)));
    Ok(files)
}

fn yaml(objects: &[Value]) -> Result<String, Failed> {
    hozen_access::yaml(objects).map_err(|error| Failed::Form(error.to_string()))
}
