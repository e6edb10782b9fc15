//! A fleet of fake nodes: all Ready, and each reports as a real one does, through the admission policies. `make soak` takes 5,000.

use std::{collections::BTreeSet, fs, time::Duration};

use hozen_access::{Installation, policies, rbac};
use hozen_testbed::{
    Removed, Wanted,
    bed::{self, Bed, State},
    clock::{self, Moment},
    control_plane::kubectl,
    fake::player::{self, Play},
    not_run,
    programs::{Missing, Programs},
};
use serde_json::{Value, json};

fn create(bed: &Bed, state: &State, objects: &[Value]) {
    let file = bed.folder.join("objects.json");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    fs::write(&file, list.to_string()).expect("a file");
    kubectl(bed, state, &["create", "--validate=false", "--filename", &file.to_string_lossy()])
        .expect("they are made");
}

/// Kinds, roles and policies, as the chart brings them.
fn install(bed: &Bed, state: &State) {
    let to_value = |crd| serde_json::to_value(crd).expect("a definition");
    let kinds: Vec<Value> = hozen_api::crds::all_crds().into_iter().map(to_value).collect();
    create(bed, state, &kinds);
    let installation = Installation {
        namespace: "hozen".to_owned(),
        work_namespace: "hozen-work".to_owned(),
        agent_image: format!("hozen.dev/hozen-agent@sha256:{}", "0".repeat(64)),
    };
    let namespace =
        |name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    create(bed, state, &["hozen", "hozen-work"].map(namespace));
    create(bed, state, &rbac::manifests(&installation));
    clock::wait("the kinds to be served", Duration::from_mins(1), || {
        Ok(kubectl(bed, state, &["get", "nodeinventories"])
            .map(drop)
            .map_err(|why| why.to_string()))
    })
    .expect("they are");
    create(bed, state, &policies::manifests(&installation));
}

fn items(bed: &Bed, state: &State, kind: &str) -> Vec<Value> {
    // In one piece: see how the bed's server forgets.
    let words = ["get", kind, "--output=json", "--chunk-size=0", "--request-timeout=2m"];
    let list = kubectl(bed, state, &words).expect("a list");
    let list: Value = serde_json::from_str(&list).expect("JSON");
    list["items"].as_array().expect("items").clone()
}

#[test]
fn every_fake_node_is_ready_and_reports_for_itself_alone() {
    if let Err(why) = Programs::find(Missing::Refuse) {
        not_run("every_fake_node_is_ready_and_reports", &why.to_string());
        return;
    }
    let (fake, within) = if std::env::var_os("HOZEN_SOAK").is_some() {
        (5_000, Duration::from_mins(2))
    } else {
        (60, Duration::from_secs(3))
    };
    let bed = Removed(Bed::open(&bed::home(), "fleet").expect("nobody else uses this bed"));
    let start = Moment::now();
    let wanted = Wanted { fake, ..Wanted::default() };
    let state =
        hozen_testbed::up(&bed.0, wanted, &mut |step| println!("{step}")).expect("it is up");
    println!("{fake} nodes Ready {:.1} s after nothing was there", start.elapsed().as_secs_f64());
    install(&bed.0, &state);

    let what = Play {
        classes: player::examples(),
        within,
        rounds: 2,
        scanner_of: Some("hozen".to_owned()),
    };
    let played = player::play(&state, &bed.0.kubeconfig(), &what, &mut |round| println!("{round}"))
        .expect("the scanners can be played");
    println!("{played}");
    let expected = usize::try_from(fake).expect("a number") * 2;
    assert_eq!((played.reports, played.failures), (expected, 0));

    let uids = |objects: &[Value], at: &str| -> BTreeSet<(String, String)> {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        objects
            .iter()
            .map(|one| (text(&one["metadata"]["name"]), text(one.pointer(at).expect("a uid"))))
            .collect()
    };
    let (nodes, inventories) =
        (items(&bed.0, &state, "nodes"), items(&bed.0, &state, "nodeinventories"));
    assert_eq!(uids(&nodes, "/metadata/uid"), uids(&inventories, "/report/nodeUID"));
    // Equal nodes share what they name: a set for each class, however many nodes report.
    assert_eq!(items(&bed.0, &state, "packagesets").len(), what.classes.len());
}
