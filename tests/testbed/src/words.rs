//! What single words of the command line must look like.

use std::path::PathBuf;

/// Most characters of a user's name and a group's: a file is named by both.
const NAME_MAX: usize = 64;

/// A user's name or a group's.
pub fn who(word: &str) -> Result<String, String> {
    let length = word.chars().count();
    if length == 0 || length > NAME_MAX {
        return Err(format!("a name has 1 to {NAME_MAX} characters, and this one {length}"));
    }
    if word.chars().any(char::is_control) {
        return Err("a name has no line breaks and other control characters".to_owned());
    }
    Ok(word.to_owned())
}

/// `NAME:TAG` of the command line.
pub fn reference(word: &str) -> Result<String, String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "./_-".contains(c);
    let is_tag = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let (name, tag) = word.rsplit_once(':').unwrap_or_default();
    if name.is_empty() || tag.is_empty() || !name.chars().all(is_name) || !tag.chars().all(is_tag) {
        return Err("NAME:TAG is wanted: hozen.test/mine:1, for example".to_owned());
    }
    Ok(word.to_owned())
}

/// `PATH=FILE` of the command line.
pub fn placed(word: &str) -> Result<(String, PathBuf), String> {
    let (path, file) = word.split_once('=').ok_or("PATH-IN-THE-IMAGE=FILE is wanted")?;
    let path = path.trim_start_matches('/');
    if path.is_empty() || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(format!("{path:?} is no path in an image: usr/bin/program, for example"));
    }
    Ok((path.to_owned(), file.into()))
}

/// `NAME=TEXT` of the command line.
pub fn labelled(word: &str) -> Result<(String, String), String> {
    let (name, text) = word.split_once('=').ok_or("NAME=TEXT is wanted")?;
    Ok((name.to_owned(), text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::who;

    #[test]
    fn a_name_is_short_and_on_one_line() {
        assert_eq!(who("alice@example.com"), Ok("alice@example.com".to_owned()));
        for wrong in ["", "a\nb", "\u{7f}", &"a".repeat(65)] {
            assert!(who(wrong).is_err(), "{wrong:?}");
        }
    }
}
