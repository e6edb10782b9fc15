//! The report as Markdown: tables and lists that every viewer shows.

use std::fmt::Write as _;

use super::{MARK, plain};
use crate::{
    facts::{Missing, Simulation, Standing},
    text::{Detail, Reader, feed_told, result, size, time_line, unmatched},
};

/// The report.
pub(super) fn page(facts: &Simulation, reader: &Reader) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = write(&mut out, facts, reader);
    out
}

fn write(out: &mut String, facts: &Simulation, reader: &Reader) -> std::fmt::Result {
    writeln!(out, "{MARK}\n# hozen simulate {}\n", escaped(&facts.folder))?;
    writeln!(
        out,
        "{} to {}, {}; seed {}; {}.\n",
        reader.at(facts.from),
        reader.at(facts.until),
        escaped(&facts.time_zone),
        facts.seed,
        size(facts)
    )?;
    verdict(out, facts, reader)?;
    results(out, facts, reader)?;
    notices(out, facts, reader)?;
    writeln!(out, "## Time line\n\n| when | what | |\n|---|---|---|")?;
    for said in time_line::lines(facts, Detail { every_request: true, ..Detail::default() }, reader)
    {
        writeln!(
            out,
            "| {} | {} | {} |",
            reader.at(said.at),
            escaped(&plain(&said.text)),
            escaped(&plain(said.right.as_deref().unwrap_or_default()))
        )?;
    }
    writeln!(out, "\n## Not done, and why\n")?;
    if facts.not_done.is_empty() {
        writeln!(out, "Everything is as it must be.")?;
    }
    for undone in &facts.not_done {
        let systems = escaped(&undone.systems.join(", "));
        let why = escaped(&plain(&result::why(undone, reader)));
        writeln!(out, "- **{systems}**: {why}")?;
    }
    Ok(())
}

fn verdict(out: &mut String, facts: &Simulation, reader: &Reader) -> std::fmt::Result {
    let verdict = &facts.verdict;
    let told = if verdict.exit_code == 0 { facts.all_well() } else { "Not all in time" };
    writeln!(out, "**{told}.** Exit code {}.\n", verdict.exit_code)?;
    for baseline in &verdict.late {
        writeln!(out, "- late: {}", escaped(baseline))?;
    }
    for baseline in &verdict.missed {
        writeln!(out, "- target missed: {}", escaped(baseline))?;
    }
    for stuck in &verdict.stuck {
        let message = reader.sentence(&stuck.held.message);
        writeln!(out, "- stuck: {}: {}", escaped(&stuck.about), escaped(&message))?;
    }
    for system in &verdict.unknown {
        writeln!(out, "- unknown at the end: {}", escaped(system))?;
    }
    for system in &verdict.unplanned {
        writeln!(out, "- below, and no plan brings what is missing: {}", escaped(system))?;
    }
    for behind in &verdict.behind {
        writeln!(out, "- will be late: {}", escaped(&behind.request))?;
    }
    for violation in &verdict.violations {
        writeln!(out, "- broken invariant, a bug of Hozen: {}", escaped(violation))?;
    }
    writeln!(out)
}

fn results(out: &mut String, facts: &Simulation, reader: &Reader) -> std::fmt::Result {
    writeln!(out, "## Result\n\n| baseline | | before | after |\n|---|---|---|---|")?;
    for result in &facts.result {
        let name = escaped(&result.baseline);
        let mut row = |what: &str, of: &dyn Fn(&Standing) -> String| {
            writeln!(out, "| {name} | {what} | {} | {} |", of(&result.before), of(&result.after))
        };
        row("compliant", &|s| format!("{} of {}", s.counts.compliant, s.counts.total))?;
        row("patches missing", &|s| s.missing.total().to_string())?;
        row("emergencies missing", &|s| s.missing.emergency.to_string())?;
        for (what, of) in [
            ("high missing", (|missing| missing.high) as fn(&Missing) -> u32),
            ("medium missing", |missing| missing.medium),
            ("low missing", |missing| missing.low),
        ] {
            if of(&result.before.missing) > 0 || of(&result.after.missing) > 0 {
                row(what, &|s| of(&s.missing).to_string())?;
            }
        }
        if result.before.unfixed.total() + result.after.unfixed.total() > 0 {
            row("without a fix, or excepted", &|s| s.unfixed.total().to_string())?;
        }
        if result.before.tied + result.after.tied > 0 {
            row("tied, nobody acts", &|s| s.tied.to_string())?;
        }
        row("vulnerabilities", &|s| s.vulnerabilities.total().to_string())?;
        row("unknown", &|s| s.counts.unknown.to_string())?;
        row("listening services", &|s| s.services.to_string())?;
    }
    writeln!(out)?;
    let told = super::targets(facts, reader).into_iter();
    for told in told.chain(result::responses(facts, reader)) {
        writeln!(out, "- {}", escaped(&plain(&told)))?;
    }
    writeln!(out)
}

fn notices(out: &mut String, facts: &Simulation, reader: &Reader) -> std::fmt::Result {
    writeln!(
        out,
        "## Notices\n\n| notice | what | for | priority | due | why |\n|---|---|---|---|---|---|"
    )?;
    for notice in &facts.notices {
        let (name, summary) = (escaped(&notice.name), escaped(&notice.summary));
        for concern in &notice.baselines {
            let due = concern.due.map_or_else(|| "-".to_owned(), |due| reader.at(due));
            let why: Vec<String> = concern
                .reasons
                .iter()
                .map(|reason| format!("{} ({})", reader.sentence(&reason.text), reason.source))
                .collect();
            writeln!(
                out,
                "| {name} | {summary} | {}: {} systems | {} | {due} | {} |",
                escaped(&concern.baseline),
                concern.systems,
                concern.priority,
                escaped(&why.join("; "))
            )?;
        }
        if notice.baselines.is_empty() {
            writeln!(
                out,
                "| {name} | {summary} | nobody | - | - | {} |",
                escaped(&reader.sentence(&notice.why))
            )?;
        }
    }
    writeln!(out)?;
    for feed in &facts.feeds {
        let unmatched = unmatched(feed).map_or_else(String::new, |told| format!("; {told}"));
        writeln!(out, "- {}", escaped(&format!("{}{unmatched}", feed_told(feed))))?;
    }
    writeln!(out)
}

/// Foreign text is text: it begins no list, table, link or tag.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '|' | '*' | '_' | '`' | '[' | ']' | '~' | '#' | '!' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn foreign_text_stays_in_its_cell() {
        assert_eq!(escaped("a|b\n<script> [x](y) `c`"), "a\\|b &lt;script&gt; \\[x\\](y) \\`c\\`");
    }
}
