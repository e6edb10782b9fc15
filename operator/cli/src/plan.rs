//! `hozen plan`: what would be requested at once.

use std::process::ExitCode;

use hozen_domain::{model::Outcome, request::ChangeRequest};
use hozen_intake::folder::Corpus;
use jiff::ToSpan as _;
use serde_json::{Value, json};

use crate::{
    args::{Moment, Output, Plan, Play},
    cluster,
    error::Failed,
    explain::{self, Subject},
    facts::Played,
    play, print,
    simulate::formed,
    terminal, text,
};

/// Plans, and prints the requests.
pub fn run(asked: &Plan) -> Result<ExitCode, Failed> {
    let Some(folder) = asked.folder.clone() else {
        return cluster::plan(asked);
    };
    let of = Play { folder, seed: asked.seed };
    let folder = play::read(&of)?;
    // One second is enough for every decider to come to rest once, and too short for anybody to do anything.
    let soon = folder.world.now.saturating_add(1.second()).unwrap_or(folder.world.now);
    let done = play::play_folder(&of, folder, Some(Moment::Instant(soon)))?;
    tell(asked, &done.played, &done.outcome, &done.corpus)
}

/// Prints the requests that are open at the end, in the form that was asked for.
pub fn tell(
    asked: &Plan,
    played: &Played,
    outcome: &Outcome,
    corpus: &Corpus,
) -> Result<ExitCode, Failed> {
    let requests: Vec<&ChangeRequest> =
        outcome.world.requests.values().filter(|request| !request.phase.ended()).collect();
    match asked.output {
        Output::Text if requests.is_empty() => print("nothing would be requested\n"),
        Output::Text => print(&told(played, (outcome, corpus), &requests)?),
        form @ (Output::Json | Output::Yaml) => {
            let items: Result<Vec<Value>, Failed> = requests.into_iter().map(manifest).collect();
            let list = json!({ "apiVersion": "v1", "kind": "List", "items": items? });
            print(&formed(&list, form)?)
        }
    }
}

fn told(
    played: &Played,
    seen: (&Outcome, &Corpus),
    requests: &[&ChangeRequest],
) -> Result<String, Failed> {
    let columns = terminal::columns(&std::io::stdout());
    let pages: Result<Vec<String>, Failed> = requests
        .iter()
        .map(|request| {
            let subject = Subject::Request(request.name.to_string());
            explain::explain(played.clone(), seen, &subject)
                .map(|explanation| text::explanation(&explanation, columns))
                .map_err(Failed::Subject)
        })
        .collect();
    Ok(pages?.join("\n"))
}

/// The request as it would be created: `jq -cjS .items[0].spec.plan | sha256sum` gives its digest.
fn manifest(request: &ChangeRequest) -> Result<Value, Failed> {
    let plan =
        serde_json::to_value(&*request.plan).map_err(|error| Failed::Form(error.to_string()))?;
    let mut spec = json!({
        "plan": plan,
        "planDigest": request.digest,
        "requestedBy": request.requested_by,
    });
    if let (Some(old), Some(fields)) = (&request.supersedes, spec.as_object_mut()) {
        fields.insert("supersedes".to_owned(), json!(old));
    }
    Ok(json!({
        "apiVersion": hozen_api::names::API_VERSION,
        "kind": "ChangeRequest",
        "metadata": { "name": request.name },
        "spec": spec,
    }))
}
