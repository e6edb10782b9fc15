//! The one place of the command that asks how wide a page may be.

use std::os::fd::AsFd;

use crate::text::page;

/// Columns of a page that is written to `stream`: as `COLUMNS` says; without it, as many as the terminal has, if it is narrower
/// than a page usually is. Pipes and files get pages of the usual width, so that they do not depend on who looked.
pub fn columns(stream: &impl AsFd) -> usize {
    let asked = std::env::var("COLUMNS").ok();
    let terminal = rustix::termios::tcgetwinsize(stream).ok().map(|size| size.ws_col);
    chosen(asked.as_deref(), terminal)
}

fn chosen(asked: Option<&str>, terminal: Option<u16>) -> usize {
    let asked = asked.and_then(|text| text.trim().parse().ok()).filter(|columns| *columns > 0);
    // Some terminals (serial lines, editors) say that they have no columns at all.
    let terminal = terminal.map(usize::from).filter(|columns| *columns > 0);
    asked
        .or(terminal.map(|columns| columns.min(page::COLUMNS)))
        .map_or(page::COLUMNS, |columns| columns.clamp(page::COLUMNS_MIN, page::COLUMNS_MAX))
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn who_asks_gets_the_width_within_reason_and_a_narrow_terminal_makes_a_narrow_page() {
        for (asked, terminal, columns) in [
            (None, None, 110),
            (None, Some(80), 80),
            (None, Some(300), 110),
            (None, Some(0), 110),
            (None, Some(20), 60),
            (Some("90"), Some(80), 90),
            (Some("150"), Some(80), 150),
            (Some("1"), None, 60),
            (Some("999999"), None, 240),
            (Some(""), Some(80), 80),
            (Some("wide"), None, 110),
            (Some("0"), None, 110),
            (Some("-5"), None, 110),
        ] {
            assert_eq!(chosen(asked, terminal), columns, "{asked:?} {terminal:?}");
        }
    }
}
