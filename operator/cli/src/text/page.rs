//! A page of text, so many columns wide: what is longer is wrapped under itself. Colour is written as it is; the stream takes it
//! out where nobody sees it (pipes, `NO_COLOR`).

use anstyle::{AnsiColor, Style};
use textwrap::{Options, WordSplitter, core::display_width};

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
        let line = format!("{lead}{text}");
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
        self.text.push_str(text);
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
