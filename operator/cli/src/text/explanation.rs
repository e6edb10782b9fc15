//! An explanation as text.

use super::{
    Reader, harmless,
    page::{FAINT, Page, STRONG, WAIT, paint},
};
use crate::{explain::Explanation, when::Local};

/// An explanation as text, with colour.
pub fn explanation(told: &Explanation) -> String {
    let told = &harmless(told);
    let reader = Reader { local: Local::named(&told.time_zone), from: told.at, people: Vec::new() };
    let mut page = Page::default();
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
    page.finish()
}
