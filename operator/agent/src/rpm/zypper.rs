//! What zypper would do, asked of zypper itself without privilege, on a copy of the system's state; and what it says in its XML.

use std::time::Duration;

use quick_xml::{Reader, events::Event};

use super::{Rpm, repodata::attribute, repos::ZYPPER};
use crate::{
    command::{self, Call},
    package::{Goal, Step},
    resolve::ResolveError,
    root::Root,
    staging::Staging,
};

/// How long zypper may think.
const TIMEOUT: Duration = Duration::from_mins(3);
/// Most output that is read.
const OUTPUT_BYTES_MAX: u64 = 16 << 20;

/// Asks zypper. The steps are sorted; none means that nothing is to be done.
pub fn resolve(root: &Root, rpm: &Rpm, goal: &Goal) -> Result<Vec<Step>, ResolveError> {
    let found = command::find_for(root, "zypper");
    let (program, mut arguments) = found.ok_or(ResolveError::NoTool { tool: "zypper" })?;
    let copy = copy(root, rpm)?;
    arguments.extend(["--non-interactive", "--xmlout", "--no-refresh", "--root"].map(Into::into));
    arguments.push(copy.at("root").into());
    match goal {
        Goal::All => arguments.extend(["update", "--dry-run", "--no-recommends"].map(Into::into)),
        Goal::Packages(packages) => {
            arguments.extend(["install", "--dry-run", "--no-recommends", "--"].map(Into::into));
            let words =
                packages.iter().map(|(name, arch, version)| format!("{name}.{arch}={version}"));
            arguments.extend(words.map(Into::into));
        }
    }
    let home = copy.at("home");
    let output = command::run(&Call {
        program,
        root: None,
        arguments,
        environment: vec![("HOME", home.clone().into()), ("TMPDIR", home.into())],
        output_bytes_max: OUTPUT_BYTES_MAX,
        timeout: TIMEOUT,
    })?;
    if !output.success {
        return Err(ResolveError::Refused(problems(&output.stdout)));
    }
    steps(&output.stdout).map_err(ResolveError::Refused)
}

/// rpm's database, the repositories and their metadata, in the places where zypper looks for them below a root.
fn copy(root: &Root, rpm: &Rpm) -> Result<Staging, ResolveError> {
    let copy = Staging::new()?;
    let database = rpm.path.rsplit_once('/').map_or("var/lib/rpm", |(folder, _)| folder);
    let inside = |path: &str| format!("root/{path}");
    copy.folders(&[
        &inside(database),
        &inside("etc/zypp/repos.d"),
        &inside("var/lib/zypp"),
        &inside("var/cache/zypp/solv"),
        &inside("run"),
        "home/.config/rpm",
    ])?;
    for end in ["", "-wal"] {
        let path = format!("{}{end}", rpm.path);
        copy.copy_if_there(root, &path, &inside(&path))?;
    }
    for file in ["etc/zypp/zypp.conf", "etc/zypp/locks", "etc/os-release"] {
        copy.copy_if_there(root, file, &inside(file))?;
    }
    copy.copy_files(root, "etc/zypp/repos.d", &inside("etc/zypp/repos.d"))?;
    for repo in &rpm.repos.repos {
        let to = inside(&format!("{ZYPPER}/{}", repo.id));
        copy.folders(&[&format!("{to}/repodata")])?;
        copy.copy_files(root, &format!("{}/repodata", repo.folder), &format!("{to}/repodata"))?;
    }
    // Wherever this machine's own rpm keeps its database (Debian's: in the user's home), the copy's is where the system's is.
    for macros in ["home/.rpmmacros", "home/.config/rpm/macros"] {
        copy.write(macros, &format!("%_dbpath /{database}\n"))?;
    }
    copy.give("home")?;
    for folder in ["", database, "var/lib/zypp", "var/cache/zypp", "var/cache/zypp/solv", "run"] {
        copy.give(&inside(folder))?;
    }
    Ok(copy)
}

/// Steps of an `install-summary`, sorted; none where zypper has nothing to do. What is no package (patterns, patches) is nothing that is
/// installed.
pub fn steps(xml: &str) -> Result<Vec<Step>, String> {
    let mut reader = Reader::from_str(document(xml));
    let mut becomes = String::new();
    let mut steps = Vec::new();
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag)) if tag.local_name().as_ref().starts_with("to-") => {
                tag.local_name().as_ref().clone_into(&mut becomes);
            }
            Ok(Event::End(tag)) if tag.local_name().as_ref().starts_with("to-") => becomes.clear(),
            Ok(Event::Start(tag) | Event::Empty(tag))
                if !becomes.is_empty() && tag.local_name().as_ref() == "solvable" =>
            {
                if attribute(&tag, "type").as_deref() == Some("package") {
                    let word = |name| attribute(&tag, name).unwrap_or_default();
                    let edition = Some(word("edition"));
                    let (from, to) = if becomes == "to-remove" {
                        (edition, None)
                    } else {
                        (attribute(&tag, "edition-old"), edition)
                    };
                    steps.push(Step { name: word("name"), arch: word("arch"), from, to });
                }
            }
            Ok(Event::Eof) => break,
            Ok(_) => {}
            Err(error) => return Err(format!("zypper's XML is not well-formed ({error})")),
        }
    }
    steps.sort();
    steps.dedup();
    Ok(steps)
}

/// zypper's complaints in one text of a few sentences: its messages, of the worst kind that there is, and its prompts, which say what it
/// would have asked.
pub fn problems(output: &str) -> String {
    let mut reader = Reader::from_str(document(output));
    let mut errors = Vec::new();
    let mut rest = Vec::new();
    let mut kind: Option<String> = None;
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag)) => {
                kind = match tag.local_name().as_ref() {
                    "message" => attribute(&tag, "type"),
                    "description" | "text" => Some("prompt".to_owned()),
                    _ => None,
                };
            }
            Ok(Event::End(_)) => kind = None,
            Ok(Event::Text(text)) => {
                let said = unescaped(&text);
                match kind.as_deref() {
                    _ if said.is_empty() => {}
                    Some("error") => errors.push(said),
                    Some("warning" | "prompt") => rest.push(said),
                    _ => {}
                }
            }
            Ok(Event::Eof) | Err(_) => break,
            Ok(_) => {}
        }
    }
    let all = errors.into_iter().chain(rest).collect::<Vec<_>>().join("; ");
    if all.is_empty() {
        return "zypper failed and did not say why".to_owned();
    }
    crate::unread::text(&all.replace('\n', "; "), 1_800)
}

/// zypper writes `&gt;` and the like, and nothing beyond XML's own five.
fn unescaped(text: &str) -> String {
    quick_xml::escape::unescape(text).unwrap_or_default().trim().to_owned()
}

/// The document without what the tool or its libraries wrote before it.
fn document(output: &str) -> &str {
    output.find("<stream>").map_or("", |at| output.get(at..).unwrap_or_default())
}
