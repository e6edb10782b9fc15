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
         admission alone refuses. {refused} forgeries are refused, {} honest calls beside them pass.\n",
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
         - Who may make pods or tokens in Hozen's namespace can be the operator. What the operator's identity cannot do stands above; what it can do:\n  \
         start a Job of our agent for a plan that nobody approved, which installs only what the package manager's signatures cover; and move images of\n  \
         workloads.\n",
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
