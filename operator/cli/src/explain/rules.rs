//! Where the rules stand that an answer cites: the project's own pages, which are compiled in, so that what is cited is there.

use serde::{Deserialize, Serialize};

use super::Section;

const PROCESS: &str = include_str!("../../../docs/process.md");
const INVARIANTS: &str = include_str!("../../../docs/invariants.md");

/// How the guarantees are cited; what is cited of them.
pub(super) const GUARANTEES: &str = "ARCHITECTURE Guarantees";
const GITOPS: &str = "What a GitOps tool owns is left to it";

/// A rule that an answer cites.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// As cited: `PROCESS 3.1`.
    pub source: String,
    /// What it is about.
    pub about: String,
    /// The page where it stands.
    pub document: String,
}

/// The rules of the project's pages that an answer cites, each once, in the order of the page. What is cited besides (a field of a
/// manifest, a notice) stands in the user's own folder.
pub(super) fn cited(sections: &[Section]) -> Vec<Rule> {
    let lines = sections.iter().flat_map(|section| &section.lines);
    let sources = lines.filter_map(|line| line.source.as_deref());
    let mut rules: Vec<Rule> = Vec::new();
    for source in sources {
        if let Some(rule) = rule(source)
            && !rules.contains(&rule)
        {
            rules.push(rule);
        }
    }
    rules
}

fn rule(source: &str) -> Option<Rule> {
    let (document, about) = if let Some(number) = source.strip_prefix("PROCESS ") {
        ("operator/docs/process.md", heading(PROCESS, number)?)
    } else if let Some(number) = source.strip_prefix("invariant ") {
        ("operator/docs/invariants.md", heading(INVARIANTS, number)?)
    } else if source == GUARANTEES {
        ("operator/ARCHITECTURE.md", GITOPS.to_owned())
    } else {
        let name = source.replace("BOD 26-04", "BOD-26-04").replace("PCI DSS 4", "PCI-DSS");
        ("operator/docs/process.md", entry(PROCESS, &name)?)
    };
    Some(Rule { source: source.to_owned(), about, document: document.to_owned() })
}

/// The heading with a number, without its mark.
fn heading(page: &str, number: &str) -> Option<String> {
    let headings = page.lines().filter_map(|line| line.strip_prefix("##"));
    let headings = headings.map(|line| line.trim_start_matches('#').trim_start());
    let mut of_number = headings.filter_map(|line| line.strip_prefix(number)?.strip_prefix(' '));
    let text = of_number.next()?;
    Some(text.trim_end_matches(" (S)").trim_end_matches(" (L)").to_owned())
}

/// What a list says of a name, in its first sentence.
fn entry(page: &str, name: &str) -> Option<String> {
    let mut entries = page.lines().filter_map(|line| line.strip_prefix("- **"));
    let text = entries.find_map(|line| line.strip_prefix(name)?.strip_prefix("**: "))?;
    let sentence = text.split_once(". ").map_or(text, |(first, _)| first);
    Some(sentence.replace('*', ""))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::{GITOPS, rule};

    /// A citation in the code of the deciders or of the answers: `"PROCESS 3.1"`, `"invariant 13"`.
    fn citations(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).expect("the folder can be read") {
            let path = entry.expect("its entries can be read").path();
            if path.is_dir() {
                citations(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).expect("source is text");
                let quoted = text.split('"').filter(|piece| {
                    let number =
                        piece.strip_prefix("PROCESS ").or(piece.strip_prefix("invariant "));
                    number.is_some_and(|n| n.chars().all(|c| c.is_ascii_digit() || c == '.'))
                });
                found.extend(quoted.filter(|piece| !piece.ends_with(' ')).map(str::to_owned));
            }
        }
    }

    #[test]
    fn what_is_cited_of_the_guarantees_stands_among_them() {
        let page = include_str!("../../../ARCHITECTURE.md");
        assert!(page.contains(&format!("**{GITOPS}.**")));
    }

    #[test]
    fn every_rule_that_is_cited_stands_in_a_page() {
        let operator = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut found =
            ["NISCC", "BOD 26-04", "PCI DSS 4", "CVSS", "KEV", "EPSS"].map(str::to_owned).to_vec();
        citations(&operator.join("domain/src"), &mut found);
        citations(&operator.join("cli/src"), &mut found);
        assert!(found.len() > 30, "the code cites more than {} rules", found.len());
        for source in found {
            assert!(rule(&source).is_some(), "{source} stands nowhere");
        }
    }
}
