//! An explanation as text.

use super::{
    Reader, harmless,
    page::{FAINT, Page, STRONG, WAIT, pad, paint, width},
};
use crate::{explain::Explanation, when::Local};

/// An explanation as text, with colour, on a page of so many columns.
pub fn explanation(told: &Explanation, columns: usize) -> String {
    let told = &harmless(told);
    let reader = Reader { local: Local::named(&told.time_zone), from: told.at, people: Vec::new() };
    let mut page = Page::new(columns);
    let head = format!(
        "{}   {}",
        paint(STRONG, &told.subject),
        paint(WAIT, reader.sentence(&told.summary))
    );
    page.hang("", &head, 2);
    let at = format!("as of {}, {}", reader.at(told.at), told.time_zone);
    page.line("  ", &paint(FAINT, at));
    for section in &told.sections {
        page.gap();
        page.line("", &paint(STRONG, section.title.to_uppercase()));
        for line in &section.lines {
            let indent = line.text.len() - line.text.trim_start().len();
            let text = reader.sentence(line.text.trim_start());
            let source = line.source.as_ref().map_or_else(String::new, |source| {
                format!("   {}", paint(FAINT, format!("[{source}]")))
            });
            let lead = " ".repeat(2 + indent);
            page.hang(&lead, &format!("{text}{source}"), 4 + indent);
        }
    }
    if !told.next.is_empty() {
        page.gap();
        page.line("", &paint(STRONG, "NEXT"));
        for next in &told.next {
            page.hang("  ", &reader.sentence(next), 4);
        }
    }
    rules(&mut page, told);
    page.finish()
}

/// Where the cited rules stand, and what else to ask.
fn rules(page: &mut Page, told: &Explanation) {
    if !told.rules.is_empty() {
        page.gap();
        page.line("", &paint(STRONG, "RULES"));
        let column =
            told.rules.iter().map(|rule| width(&rule.source)).max().unwrap_or_default() + 3;
        for rule in &told.rules {
            let text = format!("{}   {}", rule.about, paint(FAINT, &rule.document));
            page.line(&format!("  {}", pad(&rule.source, column)), &text);
        }
    }
    if !told.see_also.is_empty() {
        page.gap();
        page.line("", &paint(STRONG, "SEE ALSO"));
        // Of a cluster the address is told, which is no folder to be named.
        let command = if told.folder.contains("://") {
            "hozen explain".to_owned()
        } else {
            format!("hozen explain {}", told.folder)
        };
        for about in &told.see_also {
            page.hang("  ", &format!("{command} {about}"), 4);
        }
    }
}
