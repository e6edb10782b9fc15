//! What a scan could not see: it is said, never passed over.

use std::{borrow::Cow, fmt::Display};

use hozen_api::node_inventory::NotRead;

/// Most entries that are kept; the report takes no more.
const ENTRIES_MAX: usize = 64;
/// Longest text of an entry, in bytes; the report takes no more.
const TEXT_BYTES_MAX: usize = 256;

/// List of what could not be read, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unread {
    /// Parts of what is installed, and of what runs.
    facts: Vec<NotRead>,
    entries: Vec<NotRead>,
    dropped: u64,
}

impl Unread {
    /// Notes that `what` (a path, or a fact such as "processes of other users") could not be read.
    pub fn note(&mut self, what: impl Display, why: impl Display) {
        let entry = not_read(&what, &why);
        if self.entries.contains(&entry) {
            return;
        }
        if self.has_room() {
            self.entries.push(entry);
        } else {
            self.dropped += 1;
        }
    }

    /// Notes that because of `what` a part of the installed packages is not known. It takes the place of something that matters less
    /// where the list is full.
    pub fn note_partial(&mut self, what: impl Display, why: impl Display) {
        self.note_fact(NotRead { partial: true, ..not_read(&what, &why) });
    }

    /// Notes that because of `what` it is not known whether old code still runs. It takes such a place, too.
    pub fn note_unseen(&mut self, what: impl Display, why: impl Display) {
        self.note_fact(NotRead { unseen: true, ..not_read(&what, &why) });
    }

    fn note_fact(&mut self, entry: NotRead) {
        if self.facts.contains(&entry) {
            return;
        }
        let full = !self.has_room();
        if full {
            self.dropped += 1;
        }
        if !full || self.entries.pop().is_some() {
            self.facts.push(entry);
        }
    }

    fn has_room(&self) -> bool {
        self.facts.len() + self.entries.len() + 1 < ENTRIES_MAX
    }

    /// What makes a fact of the report unknown first, then the others, in the order in which they were met; the last says how many more there were.
    pub fn into_entries(self) -> Vec<NotRead> {
        let mut entries = self.facts;
        entries.extend(self.entries);
        if self.dropped > 0 {
            entries.push(NotRead {
                what: "more".to_owned(),
                why: format!("{} more things could not be read", self.dropped),
                ..NotRead::default()
            });
        }
        entries
    }
}

fn not_read(what: &dyn Display, why: &dyn Display) -> NotRead {
    let (what, why) = (line(&what.to_string()), line(&why.to_string()));
    NotRead { what, why, ..NotRead::default() }
}

/// Text without what authorities of addresses have before their `@`: `https://user:password@host` of a repository is nobody's business but the
/// host's.
pub fn without_userinfo(text: &str) -> Cow<'_, str> {
    const BEGIN: &str = "://";
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        // A password may hold what no address holds unescaped; only what surely ends an authority ends it.
        let end = after.find(|c: char| c.is_whitespace() || "/\"'<>".contains(c));
        let authority = &after[..end.unwrap_or(after.len())];
        let host = authority.rfind('@').map_or(0, |at| at + 1);
        kept.extend([before, BEGIN, if host > 0 { "***@" } else { "" }]);
        rest = &after[host..];
    }
    if kept.is_empty() {
        return Cow::Borrowed(text);
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

/// One line for people: control characters replaced, credentials blanked, and no longer than a report takes.
pub fn line(text: &str) -> String {
    cut(&without_userinfo(text), TEXT_BYTES_MAX, |character| !character.is_control())
}

/// Text for people, line feeds kept, credentials blanked, at most `limit` bytes.
pub fn text(text: &str, limit: usize) -> String {
    cut(&without_userinfo(text), limit, |character| !character.is_control() || character == '\n')
}

/// One word: what is not visible ASCII is replaced, and no longer than a report takes; `None` where nothing is left.
pub fn token(text: &str) -> Option<String> {
    let token = cut(text.trim(), 128, |character| character.is_ascii_graphic());
    (!token.is_empty()).then_some(token)
}

fn cut(text: &str, limit: usize, keep: impl Fn(char) -> bool) -> String {
    let mut kept = String::new();
    for character in text.chars() {
        let character = if keep(character) { character } else { '?' };
        if kept.len() + character.len_utf8() > limit {
            break;
        }
        kept.push(character);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_bounded_and_says_how_much_is_missing() {
        let mut unread = Unread::default();
        for number in 0..100 {
            unread.note(format!("/proc/{number}/maps"), "permission denied");
        }
        let entries = unread.into_entries();

        assert_eq!(entries.len(), 64);
        assert_eq!(entries[63].why, "37 more things could not be read");
    }

    #[test]
    fn what_is_installed_is_never_crowded_out_of_the_list() {
        let mut unread = Unread::default();
        for number in 0..100 {
            unread.note(format!("/proc/{number}/maps"), "permission denied");
        }
        unread.note_partial("var/lib/dpkg/status", "3 entries are not readable");
        let entries = unread.into_entries();

        assert_eq!(entries.len(), 64);
        assert!(entries[0].partial && entries[0].what == "var/lib/dpkg/status");
        assert_eq!(entries[63].why, "38 more things could not be read");
    }

    #[test]
    fn i62_no_credentials_of_a_repository_are_passed_on() {
        for (text, wanted) in [
            ("Failed to fetch https://u:p@h/x  401", "Failed to fetch https://***@h/x  401"),
            ("'http://t@h:1' or \"ftp://u:p#?@,;@h\"", "'http://***@h:1' or \"ftp://***@h\""),
            ("[https://h/a@b, https://u:p@h]", "[https://h/a@b, https://***@h]"),
            ("ask me@h, see https://h/", "ask me@h, see https://h/"),
            ("no address, and none in :// or a@b", "no address, and none in :// or a@b"),
            ("://u:p@", "://***@"),
        ] {
            assert_eq!(without_userinfo(text), wanted);
            assert_eq!(line(text), wanted);
            assert_eq!(super::text(text, 100), wanted);
        }
    }

    #[test]
    fn hostile_text_is_one_line_of_bounded_length() {
        assert_eq!(line("a\nb\u{1b}[31m"), "a?b?[31m");
        assert_eq!(line(&"é".repeat(200)).len(), 256);
        assert_eq!(token(" a b\n"), Some("a?b".to_owned()));
    }
}
