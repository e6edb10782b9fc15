//! The Python that the host's dnf runs in.

use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
};

use crate::{chamber::Chamber, root::Root};

/// Where dnf is.
pub const DNF: [&str; 3] = ["/usr/bin/dnf-3", "/usr/bin/dnf", "/usr/bin/yum"];
/// Where dnf's Python may be whatever dnf's first line says: that of the platform, which nobody replaces, and the usual one.
const PYTHON: [&str; 2] = ["/usr/libexec/platform-python", "/usr/bin/python3"];
const FIRST_LINE_BYTES_MAX: u64 = 256;

/// The interpreter of the host's dnf, by its path there; none where the chamber has none.
pub fn of_host(root: &Root, chamber: &Chamber) -> Option<PathBuf> {
    let named = DNF.into_iter().find_map(|dnf| named(root.file(dnf).ok()?));
    let usual = PYTHON.map(str::to_owned);
    let found =
        named.into_iter().chain(usual).find(|path| chamber.has(path.trim_start_matches('/')))?;
    Some(PathBuf::from(found))
}

/// The interpreter that a program names in its first line, if it is Python's.
pub fn named(program: impl Read) -> Option<String> {
    let mut line = String::new();
    BufReader::new(program.take(FIRST_LINE_BYTES_MAX)).read_line(&mut line).ok()?;
    let interpreter = line.strip_prefix("#!")?.split_whitespace().next()?;
    interpreter.contains("python").then(|| interpreter.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn the_interpreter_is_that_of_the_hosts_dnf_and_one_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("usr/bin")).unwrap();
        fs::create_dir_all(at("usr/libexec")).unwrap();
        let root = Root::open(folder.path()).unwrap();
        let chamber = Chamber::at(folder.path().to_owned());
        let found = || of_host(&root, &chamber).map(|path| path.display().to_string());

        assert_eq!(found(), None);
        symlink("/etc/alternatives/python3", at("usr/bin/python3")).unwrap();
        assert_eq!(found().as_deref(), Some("/usr/bin/python3"), "a link leads on in the chamber");
        // As dnf5 is: no script at all.
        fs::write(at("usr/bin/dnf"), b"\x7fELF python").unwrap();
        assert_eq!(found().as_deref(), Some("/usr/bin/python3"));
        fs::write(at("usr/libexec/platform-python"), "").unwrap();
        assert_eq!(found().as_deref(), Some("/usr/libexec/platform-python"));
        fs::write(at("usr/bin/python3.12"), "").unwrap();
        fs::write(at("usr/bin/dnf-3"), "#!/usr/bin/python3.12 -s\n").unwrap();
        assert_eq!(found().as_deref(), Some("/usr/bin/python3.12"));
        fs::write(at("usr/bin/dnf-3"), "#!/opt/python -s\n").unwrap();
        assert_eq!(found().as_deref(), Some("/usr/libexec/platform-python"));
    }
}
