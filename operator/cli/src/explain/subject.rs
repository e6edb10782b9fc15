//! What can be explained, by kind and name.

use std::{collections::BTreeSet, str::FromStr};

use hozen_advisory::notice::Notice;
use hozen_domain::{model::Outcome, units::Name};
use hozen_intake::{folder::Corpus, problem::nearest};

use super::updates::UPDATES;

/// What is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A node.
    Node(String),
    /// A baseline.
    Baseline(String),
    /// A notice, by its name here, its publisher's id, or another of its names.
    Advisory(String),
    /// A change request.
    Request(String),
    /// A rollout.
    Rollout(String),
    /// A workload: `Deployment/shop/web`, or its end if no other has it: `shop/web`.
    Workload(String),
    /// An image, by digest or its beginning, or by a repository.
    Image(String),
    /// An approval policy.
    Policy(String),
}

/// Kinds as they are typed, with the short names that the definitions give.
const KINDS: [(&str, &[&str]); 8] = [
    ("node", &["nodes", "no", "managednode", "mn"]),
    ("baseline", &["baselines", "bl"]),
    ("advisory", &["advisories", "adv", "notice"]),
    ("changerequest", &["changerequests", "chg", "request"]),
    ("rollout", &["rollouts", "ro"]),
    ("workload", &["workloads"]),
    ("image", &["images", "managedimage", "mi"]),
    ("approvalpolicy", &["approvalpolicies", "ap", "policy"]),
];

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || KINDS.iter().map(|(kind, _)| *kind);
        let (kind, name) = text
            .split_once('/')
            .filter(|(_, name)| !name.is_empty())
            .ok_or_else(|| {
                let kinds: Vec<&str> = known().collect();
                format!(
                    "`{text}` names nothing; write KIND/NAME, like node/web-a1, with one of the kinds {}",
                    kinds.join(", ")
                )
            })?;
        let typed = kind.to_lowercase();
        let kind = KINDS
            .iter()
            .find(|(long, short)| *long == typed || short.contains(&typed.as_str()))
            .map(|(long, _)| *long)
            .ok_or_else(|| {
                let hint = nearest(&typed, known())
                    .map_or_else(String::new, |near| format!("; did you mean {near}/{name}?"));
                let kinds: Vec<&str> = known().collect();
                format!("`{kind}` is no kind that can be explained ({}){hint}", kinds.join(", "))
            })?;
        let name = name.to_owned();
        Ok(match kind {
            "node" => Self::Node(name),
            "baseline" => Self::Baseline(name),
            "advisory" => Self::Advisory(name),
            "changerequest" => Self::Request(name),
            "rollout" => Self::Rollout(name),
            "workload" => Self::Workload(name),
            "image" => Self::Image(name),
            _ => Self::Policy(name),
        })
    }
}

impl Subject {
    /// Its kind, as typed in full.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Node(_) => "node",
            Self::Baseline(_) => "baseline",
            Self::Advisory(_) => "advisory",
            Self::Request(_) => "changerequest",
            Self::Rollout(_) => "rollout",
            Self::Workload(_) => "workload",
            Self::Image(_) => "image",
            Self::Policy(_) => "approvalpolicy",
        }
    }

    pub(super) fn typed(&self) -> &str {
        match self {
            Self::Node(name)
            | Self::Baseline(name)
            | Self::Advisory(name)
            | Self::Request(name)
            | Self::Rollout(name)
            | Self::Workload(name)
            | Self::Image(name)
            | Self::Policy(name) => name,
        }
    }

    /// Digests of all images that are meant where one of them was found: a repository may have several.
    pub(super) fn digests(&self, outcome: &Outcome, found: &Name) -> Vec<Name> {
        if !matches!(self, Self::Image(_)) {
            return Vec::new();
        }
        let typed = self.typed();
        let images = outcome.world.images.values();
        let meant = images.filter(|image| {
            let mut known = image.repositories.iter();
            !found.contains(typed)
                && known.any(|known| known.to_lowercase().ends_with(&typed.to_lowercase()))
        });
        let meant: Vec<Name> = meant.map(|image| image.digest.clone()).collect();
        if meant.contains(found) { meant } else { vec![found.clone()] }
    }

    /// The name under which the world knows it; the error names the nearest.
    pub(super) fn find(&self, outcome: &Outcome, corpus: &Corpus) -> Result<Name, String> {
        let typed = self.typed();
        let names = self.names(outcome, corpus);
        let exact = |known: &&(String, Name)| known.0.eq_ignore_ascii_case(typed);
        if let Some((_, name)) = names.iter().find(exact) {
            return Ok(name.clone());
        }
        if matches!(self, Self::Advisory(_)) && typed.eq_ignore_ascii_case(UPDATES) {
            return Ok(Name::new(UPDATES));
        }
        let begins = |known: &&(String, Name)| {
            let image = matches!(self, Self::Image(_)) && typed.len() >= 6;
            let workload = matches!(self, Self::Workload(_));
            (image && known.0.contains(typed))
                || (workload && known.0.ends_with(&format!("/{typed}")))
        };
        let mut beginning = names.iter().filter(begins);
        // Several images of one repository are told together.
        if let Some((known, name)) = beginning.next()
            && beginning.all(|(other, _)| other == known)
        {
            return Ok(name.clone());
        }
        let kind = self.kind();
        let near = nearest(typed, names.iter().map(|(known, _)| known.as_str()));
        Err(match near {
            Some(near) => format!("there is no {kind} {typed}; did you mean {kind}/{near}?"),
            None if names.is_empty() => {
                format!("there is no {kind} {typed}, and no other {kind} either")
            }
            None => {
                let all: BTreeSet<&str> = names.iter().map(|(_, name)| name.as_str()).collect();
                let all: Vec<&str> = all.into_iter().collect();
                format!("there is no {kind} {typed}; there are {}", crate::text::some_of(&all, 8))
            }
        })
    }

    /// Every name of every thing of the kind, and the name under which the world knows it.
    fn names(&self, outcome: &Outcome, corpus: &Corpus) -> Vec<(String, Name)> {
        let world = &outcome.world;
        let plain = |name: &Name| (name.to_string(), name.clone());
        match self {
            Self::Node(_) => world.nodes.keys().map(plain).collect(),
            Self::Baseline(_) => world.baselines.keys().map(plain).collect(),
            Self::Request(_) => world.requests.keys().map(plain).collect(),
            Self::Rollout(_) => world.rollouts.keys().map(plain).collect(),
            Self::Workload(_) => world.workloads.keys().map(plain).collect(),
            Self::Policy(_) => world.policies.keys().map(plain).collect(),
            Self::Image(_) => world
                .images
                .values()
                .flat_map(|image| {
                    let repositories = image.repositories.iter().map(ToString::to_string);
                    let digest = std::iter::once(image.digest.to_string());
                    digest.chain(repositories).map(|known| (known, image.digest.clone()))
                })
                .collect(),
            Self::Advisory(_) => {
                let known = world.notices.iter().map(|(name, known)| (name, &*known.notice));
                // Those that matter come first: another notice may bear a name of theirs.
                known.chain(corpus.idle()).flat_map(names_of).collect()
            }
        }
    }
}

/// A notice's name here, its publisher's id, and its other names.
fn names_of<'n>(
    (name, notice): (&'n Name, &'n Notice),
) -> impl Iterator<Item = (String, Name)> + 'n {
    let others = notice.aliases.iter().chain(&notice.related);
    std::iter::once(name)
        .chain(std::iter::once(&notice.id))
        .chain(others)
        .map(|known| (known.to_string(), name.clone()))
}
