//! The list for people: operator/docs/forgeries.md, written from the cases.

use std::{fmt::Write as _, fs, path::PathBuf};

use crate::cases::{self, Answer};

fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../operator/docs/forgeries.md"))
}

fn text() -> String {
    let all = cases::all();
    let refused = all.iter().filter(|case| matches!(case.answer, Answer::Refused(_))).count();
    let mut text = format!(
        "# Forgeries\n\n\
         What somebody who wants to deceive Hozen could try, and what the API server answers. Written from the table of a test that tries each on a\n\
         real API server, with client certificates and bound tokens: `cargo test --package hozen-testbed --test forgeries`; `-- --write` writes this\n\
         page. RBAC is careless in that test on purpose (mallory may write every kind, Hozen's own accounts are cluster administrators), so that\n\
         admission alone refuses. {refused} forgeries are refused, {} honest calls beside them pass. What scanners could try is tried once more under the\n\
         chart's own roles, with the token out of the pod of one that runs (`--test path`).\n",
        all.len() - refused
    );
    let mut about = "";
    for case in &all {
        if case.about != about {
            about = case.about;
            writeln!(text, "\n## {about}\n\n| what | by | answer |\n|---|---|---|").unwrap();
        }
        let answer = match case.answer {
            Answer::Refused(words) => format!("refused: … {words} …"),
            Answer::Allowed => "allowed".to_owned(),
        };
        writeln!(text, "| {} | {} | {answer} |", case.name, case.by.told()).unwrap();
    }
    text.push_str(
        "\n## What admission cannot see\n\n\
         - Who impersonates somebody is that somebody to admission: who holds the verb `impersonate` can approve as anybody. `hozen doctor` names them.\n\
         - Who may alter or delete admission policies can switch all of this off. The operator watches them, compares them at\n  \
         every change, field by field, with its own, and starts nothing new while one differs or while it could not look at them for 30 s\n  \
         (invariant 16). `hozen doctor` names who may.\n\
         - Who may make pods or tokens in Hozen's namespace, enter its pods or act as its accounts (`edit` there is all of that), can be the operator,\n  \
         and the scanner of any node. What the operator's identity cannot do stands above; what it can do: start a Job of our agent for a plan that\n  \
         nobody approved, which installs only what the package manager's signatures cover; move images of workloads; cordon a node that nobody has\n  \
         cordoned; evict and delete pods anywhere; and run Jobs in Hozen's namespace, without privilege, which may mount what secrets are there. Where a\n  \
         service account there was given the verb `enter` on hosts, for snapshots, it can run anything as that account.\n\
         - Whether content is what its name says: CEL has no digests. A scanner that lies can take the name of what others will report, before they do. The operator\n  \
         deletes what is there, tells it with its field manager, and asks whoever reports that content to bring it; by which node's token it was written, the\n  \
         API server's audit log says. A scanner that does it again and again keeps nodes from being known for as long, and is told each time.\n\
         - Who may delete Hozen's namespace lifts the halt with it, and ends the operator too.\n\
         - Who holds `nodes/proxy` enters pods through the kubelet, which asks no admission: those of patch Jobs too.\n\
         - A person who uncordons a node of ours and cordons it again leaves a node that looks as it did before, cordoned beside our record. If the\n  \
         operator did not see it between the two, it is ours still, and is uncordoned when the work is done.\n\
         - Accounts in kube-system, and kubelets, are believed where they say how a pod of a patch Job ended; that proves nothing, a scan does.\n",
    );
    text
}

pub fn write() {
    fs::write(path(), text()).unwrap();
}

pub fn current() -> Result<(), String> {
    if fs::read_to_string(path()).is_ok_and(|written| written == text()) {
        return Ok(());
    }
    Err("operator/docs/forgeries.md is not current; write it with: cargo test --package hozen-testbed --test forgeries -- --write".to_owned())
}
