//! Words of a host's sources by which apt believes a repository without a signature. No option of a call outdoes them.

use crate::{root::Root, unread::Unread};

use super::sources::{self, Line, PARAGRAPHS, is_no};

/// Options, by their names in lines and in paragraphs, that weaken apt's check of signatures.
const WEAKENING: [&str; 4] =
    ["trusted", "allow-insecure", "allow-weak", "allow-downgrade-to-insecure"];

/// Whether an option or a field of this name can weaken the check.
pub(super) fn is_weakening(name: &str) -> bool {
    let name = name.trim_end_matches(['+', '-']);
    WEAKENING.iter().any(|word| name.eq_ignore_ascii_case(word))
}

/// What the first enabled source that weakens the check says, where, and what to write instead; none where all are checked. A file that
/// cannot be read may say anything.
pub fn weakened(root: &Root) -> Option<String> {
    let mut unread = Unread::default();
    let found = sources::files(root, &mut unread).into_iter().find_map(|(path, text)| {
        let ((line, word), instead) = if path.ends_with(PARAGRAPHS) {
            (in_paragraphs(&text)?, "Signed-By: /etc/apt/keyrings/NAME.gpg")
        } else {
            (in_lines(&text)?, "signed-by=/etc/apt/keyrings/NAME.gpg")
        };
        Some(format!(
            "/{path}, line {line}, says {word}: apt would believe the repository without its signature; \
             write {instead} instead, with the repository's key"
        ))
    });
    let unreadable = unread.into_entries().into_iter().next();
    found.or_else(|| {
        unreadable.map(|entry| format!("/{} cannot be read: {}", entry.what, entry.why))
    })
}

/// Number of the line, and the word.
fn in_lines(text: &str) -> Option<(usize, String)> {
    let weakens = |option: &&str| {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        is_weakening(name) && !is_no(value)
    };
    (1..).zip(text.lines()).find_map(|(number, line)| {
        // What is said of a repository's sources, apt takes as said of its packages, too.
        let options = Line::of_either(line)?.options.into_iter();
        let option = options.map(|option| option.trim_matches('"')).find(weakens)?;
        Some((number, option.to_owned()))
    })
}

fn in_paragraphs(text: &str) -> Option<(usize, String)> {
    let lines: Vec<(usize, &str)> =
        (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('#')).collect();
    lines.split(|(_, line)| line.trim().is_empty()).find_map(in_paragraph)
}

fn in_paragraph(lines: &[(usize, &str)]) -> Option<(usize, String)> {
    let mut fields: Vec<(usize, &str, String)> = Vec::new();
    for (number, line) in lines {
        match (line.starts_with([' ', '\t']), fields.last_mut(), line.split_once(':')) {
            (true, Some((_, _, value)), _) => value.push_str(line),
            (false, _, Some((name, value))) => fields.push((*number, name.trim(), value.into())),
            _ => {}
        }
    }
    let says_no = |value: &str| is_no(value.trim());
    let is_off = |(_, name, value): &(usize, &str, String)| {
        name.eq_ignore_ascii_case("Enabled") && says_no(value)
    };
    if fields.iter().any(is_off) {
        return None;
    }
    let (number, name, value) =
        fields.into_iter().find(|(_, name, value)| is_weakening(name) && !says_no(value))?;
    Some((number, format!("{name}: {}", value.trim())))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn i23_a_source_that_weakens_the_check_is_named_by_its_line_and_a_stricter_one_is_not() {
        let of_lines = [
            ("deb [arch=amd64 trusted=yes] http://x/ ./\n", Some((1, "trusted=yes"))),
            ("\ndeb-src [Allow-Insecure=1] http://x/ ./\n", Some((2, "Allow-Insecure=1"))),
            ("deb [ \"allow-weak=yes\" ] http://x/ ./\n", Some((1, "allow-weak=yes"))),
            ("deb [trusted=no] http://x/ ./\n# deb [trusted=yes] http://y/ ./\n", None),
            ("deb [signed-by=/etc/apt/keyrings/trusted=yes.gpg] http://x/ ./\n", None),
        ];
        for (text, wanted) in of_lines {
            let found = in_lines(text);
            assert_eq!(found.as_ref().map(|(line, word)| (*line, word.as_str())), wanted, "{text}");
        }
        let source = "Types: deb\nURIs: http://x/\nSuites: ./\n";
        let of_paragraphs = [
            (format!("{source}\n# c\n{source}trusted : yes\n"), Some((9, "trusted: yes"))),
            (format!("{source}Allow-Insecure:\n yes\n"), Some((4, "Allow-Insecure: yes"))),
            (format!("{source}Trusted: no\n#Trusted: yes\n"), None),
            (format!("Enabled: No\n{source}Trusted: yes\n\n{source}"), None),
        ];
        for (text, wanted) in of_paragraphs {
            let found = in_paragraphs(&text);
            assert_eq!(found.as_ref().map(|(line, word)| (*line, word.as_str())), wanted, "{text}");
        }
    }

    #[test]
    fn what_weakens_is_told_with_what_to_write_instead() {
        let folder = tempfile::tempdir().unwrap();
        let parts = folder.path().join("etc/apt/sources.list.d");
        std::fs::create_dir_all(&parts).unwrap();
        let root = Root::open(folder.path()).unwrap();
        assert_eq!(weakened(&root), None);

        std::fs::write(parts.join("a.list"), "deb [trusted=yes] http://x/ ./\n").unwrap();
        let told = weakened(&root).unwrap();
        assert!(
            told.starts_with("/etc/apt/sources.list.d/a.list, line 1, says trusted=yes"),
            "{told}"
        );
        assert!(told.contains("write signed-by="), "{told}");
        std::fs::remove_file(parts.join("a.list")).unwrap();
        std::os::unix::fs::symlink("/nowhere", parts.join("b.list")).unwrap();
        assert_eq!(weakened(&root), None, "apt passes over it, too");
        std::fs::create_dir(parts.join("c.list.d")).unwrap();
        let pipe = parts.join("d.sources");
        mknodat(CWD, pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert!(weakened(&root).unwrap().starts_with("/etc/apt/sources.list.d/d.sources cannot"));
    }
}
