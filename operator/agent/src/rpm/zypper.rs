//! What zypper would do, asked of zypper itself without privilege, on a copy of the system's state; and what it says in its XML.

use std::{cmp::Ordering, ffi::OsString, path::Path, time::Duration};

use hozen_advisory::version::Scheme;
use quick_xml::{Reader, events::Event};

use super::{Rpm, repodata::attribute, repos::ZYPPER};
use crate::{
    chamber::Chamber,
    command::{self, Call, Output},
    package::{Goal, Step, Wanted},
    resolve::{self, ResolveError},
    root::Root,
    staging::Staging,
};

/// How long zypper may think.
const TIMEOUT: Duration = Duration::from_mins(3);
/// Most output that is read.
const OUTPUT_BYTES_MAX: u64 = 16 << 20;
/// Where the host's is.
const PROGRAM: &str = "usr/bin/zypper";

/// Asks zypper. The steps are sorted; none means that nothing is to be done.
pub fn resolve(
    root: &Root,
    chamber: Option<&Chamber>,
    rpm: &Rpm,
    goal: &Goal,
) -> Result<Vec<Step>, ResolveError> {
    let ready = resolve::chamber(root, chamber)?;
    let copy = copy(root, ready, rpm)?;
    let mut arguments = vec!["--no-refresh".into()];
    match goal {
        Goal::All => arguments.extend(["update", "--dry-run", "--no-recommends"].map(Into::into)),
        // What needs a package that goes, goes along; what only came along with it once, stays.
        Goal::Packages(Wanted { comes, goes }) if comes.is_empty() => {
            arguments.extend(["remove", "--dry-run", "--no-clean-deps", "--"].map(Into::into));
            arguments.extend(goes.iter().map(|(name, arch)| format!("{name}.{arch}").into()));
        }
        Goal::Packages(Wanted { comes, goes }) => {
            arguments.extend(["install", "--dry-run", "--no-recommends"].map(Into::into));
            if comes.iter().any(|come| goes_down(rpm, come)) {
                arguments.push("--oldpackage".into());
            }
            if !goes.is_empty() {
                arguments.push("--force-resolution".into());
            }
            arguments.push("--".into());
            let comes =
                comes.iter().map(|(name, arch, version)| format!("{name}.{arch}={version}"));
            let goes = goes.iter().map(|(name, arch)| format!("!{name}.{arch}"));
            arguments.extend(comes.chain(goes).map(Into::into));
        }
    }
    let output = ask(chamber, &copy, arguments, TIMEOUT)?;
    if !output.success {
        return Err(ResolveError::Refused(complaint(&output)));
    }
    steps(&output.stdout).map_err(ResolveError::Refused)
}

/// Whether a version is older than the installed one.
fn goes_down(rpm: &Rpm, (name, arch, version): &(String, String, String)) -> bool {
    let here = rpm.packages.iter().filter(|of| of.name == *name && of.arch == *arch);
    let mut order = here.filter_map(|of| Scheme::Rpm.compare(version, &of.version).ok());
    order.any(Ordering::is_lt)
}

/// Runs the host's zypper on a copy, or else this machine's.
pub fn ask(
    chamber: Option<&Chamber>,
    copy: &Staging,
    words: Vec<OsString>,
    timeout: Duration,
) -> Result<Output, ResolveError> {
    let ready = chamber.filter(|chamber| chamber.is_ready());
    let found = match ready {
        Some(chamber) => chamber.has(PROGRAM).then(|| Path::new("/").join(PROGRAM)),
        None => command::find("zypper"),
    };
    let program = found.ok_or_else(|| ResolveError::no_tool("zypper", chamber))?;
    let mut arguments = ["--non-interactive", "--xmlout", "--root"].map(Into::into).to_vec();
    arguments.push(copy.seen("root").into());
    arguments.extend(words);
    let home = copy.seen("home");
    Ok(command::run(&Call {
        program,
        root: ready.map(|chamber| chamber.path().to_owned()),
        arguments,
        environment: vec![("HOME", home.clone().into()), ("TMPDIR", home.into())],
        output_bytes_max: OUTPUT_BYTES_MAX,
        timeout,
    })?)
}

/// zypper's complaints, or what was written where it could not be run at all.
pub fn complaint(output: &Output) -> String {
    match document(&output.stdout) {
        "" if !output.stderr.trim().is_empty() => crate::unread::text(output.stderr.trim(), 1_800),
        _ => problems(&output.stdout),
    }
}

/// rpm's database in the place where zypper looks for it below a root, and what it reads of the system beside.
pub fn copy_database(
    root: &Root,
    chamber: Option<&Chamber>,
    rpm: &Rpm,
) -> Result<Staging, ResolveError> {
    let copy = Staging::within(chamber)?;
    let database = rpm.path.rsplit_once('/').map_or("var/lib/rpm", |(folder, _)| folder);
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
    copy.copy_if_there(root, "etc/os-release", &inside("etc/os-release"))?;
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

/// The same, with the repositories and their metadata.
fn copy(root: &Root, chamber: Option<&Chamber>, rpm: &Rpm) -> Result<Staging, ResolveError> {
    let copy = copy_database(root, chamber, rpm)?;
    for file in ["etc/zypp/zypp.conf", "etc/zypp/locks"] {
        copy.copy_if_there(root, file, &inside(file))?;
    }
    copy.copy_files(root, "etc/zypp/repos.d", &inside("etc/zypp/repos.d"))?;
    for repo in &rpm.repos.repos {
        let (from, to) =
            (format!("{}/repodata", repo.folder), inside(&format!("{ZYPPER}/{}", repo.id)));
        copy.folders(&[&format!("{to}/repodata")])?;
        copy.copy_files(rpm.home(root, repo), &from, &format!("{to}/repodata"))?;
    }
    Ok(copy)
}

fn inside(path: &str) -> String {
    format!("root/{path}")
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
    let mut said = String::new();
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag)) => {
                said.clear();
                kind = match tag.local_name().as_ref() {
                    "message" => attribute(&tag, "type"),
                    "description" | "text" => Some("prompt".to_owned()),
                    _ => None,
                };
            }
            Ok(Event::Text(text)) => said.push_str(&text),
            // zypper writes `&gt;` and the like, and nothing beyond XML's own five.
            Ok(Event::GeneralRef(name)) => {
                said.push_str(quick_xml::escape::resolve_xml_entity(&name).unwrap_or_default());
            }
            Ok(Event::End(_)) => {
                let whole = std::mem::take(&mut said);
                match kind.take().as_deref() {
                    _ if whole.trim().is_empty() => {}
                    Some("error") => errors.push(whole.trim().to_owned()),
                    Some("warning" | "prompt") => rest.push(whole.trim().to_owned()),
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

/// The document without what the tool or its libraries wrote before it.
fn document(output: &str) -> &str {
    output.find("<stream>").map_or("", |at| output.get(at..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_one_sentence_whatever_it_quotes() {
        let output = "noise\n<stream><message type=\"info\">Refreshing</message>\
             <prompt id=\"1\"><text>Continue &lt;y&gt;?</text><option value=\"y\"/></prompt>\
             <message type=\"error\">Repository &apos;a &amp; b&apos; is invalid.\nNo answer.</message></stream>";

        assert_eq!(problems(output), "Repository 'a & b' is invalid.; No answer.; Continue <y>?");
    }

    #[test]
    fn what_could_not_be_run_at_all_is_told_in_its_own_words() {
        let output = Output {
            stdout: String::new(),
            stderr: "hozen-agent: the root /indices could not be entered\n".into(),
            success: false,
        };
        assert_eq!(complaint(&output), "hozen-agent: the root /indices could not be entered");
    }
}
