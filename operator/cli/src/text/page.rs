//! A page of text, so many columns wide: what is longer is wrapped under itself. Colour is written as it is; the stream takes it
//! out where nobody sees it (pipes, `NO_COLOR`).

use anstyle::{AnsiColor, Style};
use textwrap::{Options, WordSplitter, core::display_width};

use super::harmless::tame_char;

/// Columns of a page, where nobody asks for another width: longer lines are hard to read.
pub const COLUMNS: usize = 110;
/// Fewest columns that are asked for: below that, what stands under a heading has no room beside it.
pub const COLUMNS_MIN: usize = 60;
/// Most columns that are asked for.
pub const COLUMNS_MAX: usize = 240;

/// Headings, names that matter.
pub const STRONG: Style = Style::new().bold();
/// Failed, late, broken.
pub const BAD: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
/// Waiting, unknown.
pub const WAIT: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));
/// Done, proven, in time.
pub const GOOD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
/// Details, sources of rules.
pub const FAINT: Style = Style::new().dimmed();

/// What every style begins with.
const ESCAPE: char = '\u{1b}';

/// A text in a style.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Columns that a text takes, colour not counted.
pub fn width(text: &str) -> usize {
    display_width(text)
}

/// A text filled up with spaces to so many columns; a longer one gets two spaces, so that columns never touch.
pub fn pad(text: &str, columns: usize) -> String {
    let gap = columns.saturating_sub(width(text)).max(2);
    format!("{text}{}", " ".repeat(gap))
}

/// A page under construction.
#[derive(Debug)]
pub struct Page {
    text: String,
    columns: usize,
}

impl Page {
    /// An empty page of so many columns, within [`COLUMNS_MIN`] and [`COLUMNS_MAX`].
    pub fn new(columns: usize) -> Self {
        Self { text: String::new(), columns: columns.clamp(COLUMNS_MIN, COLUMNS_MAX) }
    }

    /// A line as it is, wrapped under its second half: `lead` stands before it, and what is wrapped begins under `text`.
    pub fn line(&mut self, lead: &str, text: &str) {
        self.hang(lead, text, width(lead));
    }

    /// The same, wrapped at another column; on a page that is narrower than usual not beyond its middle.
    pub fn hang(&mut self, lead: &str, text: &str, column: usize) {
        let line = tame(&format!("{lead}{text}"));
        let most = if self.columns < COLUMNS { self.columns / 2 } else { column };
        let indent = " ".repeat(column.min(most));
        let options = Options::new(self.columns)
            .subsequent_indent(&indent)
            .break_words(false)
            .word_splitter(WordSplitter::NoHyphenation);
        for piece in textwrap::wrap(&line, options) {
            self.text.push_str(piece.trim_end());
            self.text.push('\n');
        }
    }

    /// A line of a table, which is never wrapped: its columns would be lost.
    pub fn row(&mut self, text: &str) {
        self.text.push_str(&tame(text));
        self.text.push('\n');
    }

    /// An empty line, unless there is one already.
    pub fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }
}

/// A line as it may be shown. Much of what stands on a page was written by strangers: of what steers a terminal only our own styles pass.
fn tame(line: &str) -> String {
    if !line.contains(|c| tame_char(c) != c) {
        return line.to_owned();
    }
    let styles = [STRONG, BAD, WAIT, GOOD, FAINT].map(|style| format!("{style}{style:#}"));
    // A style may be several sequences, and each passes alone.
    let ours: Vec<&str> = styles.iter().flat_map(|style| style.split(ESCAPE)).collect();
    let mut tamed = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let after = rest.strip_prefix(ESCAPE);
        let style = after.and_then(|after| {
            ours.iter().find(|style| !style.is_empty() && after.starts_with(**style))
        });
        if let Some(style) = style {
            tamed.push(ESCAPE);
            tamed.push_str(style);
            rest = &rest[ESCAPE.len_utf8() + style.len()..];
        } else {
            tamed.push(tame_char(c));
            rest = &rest[c.len_utf8()..];
        }
    }
    tamed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_what_strangers_wrote_and_obeys_none_of_it() {
        let mut page = Page::new(COLUMNS);
        page.line("why: ", "\u{1b}[2J\u{9b}2J cleared\napproved by bob \u{202e}eno oN");
        page.row(&paint(BAD, "\u{1b}[8mhidden"));
        let shown = page.finish();
        let (first, second) = shown.split_once('\n').expect("two lines");
        assert_eq!(
            first, "why: \u{fffd}[2J\u{fffd}2J cleared approved by bob \u{fffd}eno oN",
            "one line, as it was written"
        );
        assert_eq!(second, format!("{}\n", paint(BAD, "\u{fffd}[8mhidden")));
    }
}
