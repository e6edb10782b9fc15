//! What is known of an image, and who runs it.

use hozen_domain::{model::Outcome, units::Name, world::Verdict};

use super::{Answer, Section};
use crate::text::spoken;

/// Hexadecimal digits by which a digest is told from others.
const SHORT: usize = "sha256:".len() + 12;

/// What is known of an image, or of each that is known by a repository.
pub(super) fn answer(outcome: &Outcome, digests: &[Name]) -> Option<Answer> {
    if let [digest] = digests {
        return one(outcome, digest);
    }
    let mut all = Answer {
        summary: format!("{} images are known by that name", digests.len()),
        ..Answer::default()
    };
    for digest in digests {
        let own = one(outcome, digest)?;
        let short: String = digest.chars().take(SHORT).collect();
        let mut head = Section::new(&short);
        head.say(own.summary);
        all.add(head);
        for mut section in own.sections {
            section.title = format!("{short}: {}", section.title);
            all.add(section);
        }
        all.see("image", digest);
    }
    Some(all)
}

fn one(outcome: &Outcome, digest: &Name) -> Option<Answer> {
    let world = &outcome.world;
    let image = world.images.get(digest)?;
    let mut answer = Answer::default();
    let mut section = Section::new("what it is");
    let repositories: Vec<&str> =
        image.repositories.iter().map(smol_str::SmolStr::as_str).collect();
    section.say(format!("known as {}", repositories.join(", ")));
    if let Some(created) = image.created {
        section.say(format!("built {created}"));
    }
    answer.add(section);
    let mut section = Section::new("what is weak in it");
    match &image.packages {
        Err(why) => {
            "what is in it is not known, so it is not taken for harmless"
                .clone_into(&mut answer.summary);
            section.rule(why.clone(), "PROCESS 1.1");
        }
        Ok(set) => {
            let findings = world.findings.get(set);
            for finding in findings.into_iter().flat_map(|found| found.iter()) {
                let verdict = match &finding.verdict {
                    Verdict::Affected { fixed: Some(fixed) } => format!("fixed in {fixed}"),
                    Verdict::Affected { fixed: None } => "no fix is known yet".to_owned(),
                    Verdict::NotAffected { why } => format!("not affected: {why}"),
                    Verdict::Unknown { why } => format!("cannot be told: {why}"),
                };
                section.rule(
                    format!("{} {}: {verdict}", finding.package, finding.installed),
                    finding.notice.as_str(),
                );
            }
            let count = section.lines.len();
            answer.summary =
                format!("{count} finding{} in its packages", if count == 1 { "" } else { "s" });
        }
    }
    for blind in image.packages.iter().flat_map(|set| world.blind(set)) {
        section.rule(format!("{blind}: what is weak in them is not known"), "PROCESS 1.2");
    }
    answer.add(section);
    let mut section = Section::new("who runs it");
    for workload in world.workloads.values() {
        for (container, used) in &workload.containers {
            if used.running.as_ref() == Some(digest) || used.pinned.as_ref() == Some(digest) {
                section.say(format!("{}, container {container}", workload.key));
                answer.see("workload", &workload.key);
            }
        }
    }
    answer.add(section);
    let mut section = Section::new("requests that would replace it");
    for request in world.requests.values() {
        for class in request.plan.image_classes().filter(|class| class.from == *digest) {
            section.say(format!("{}: {}, to {}", request.name, spoken(request.phase), class.to));
        }
    }
    answer.add(section);
    Some(answer)
}
