//! Repositories that apt is configured to use, and the names of their indices on disk (sources.list(5)).
//!
//! Indices of repositories that were taken out of the configuration stay on disk until the next `apt-get update`; apt
//! does not look at them, and neither do we.

use crate::{
    root::Root,
    stanza::{Paragraph, parse},
    unread::Unread,
};

use super::parts;

/// Largest file of sources that is read, and most indices that are looked at.
const BYTES_MAX: u64 = 1 << 20;
const TARGETS_MAX: usize = 512;

/// End of the name of a file whose sources are paragraphs; in others they are lines.
pub(super) const PARAGRAPHS: &str = ".sources";
/// Folder of the indices.
pub const LISTS: &str = "var/lib/apt/lists";

/// One index of packages that apt would use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Path of the release file below the root, without `InRelease` or `Release` at its end.
    pub release: String,
    /// Path of the index below the root, without the end that compression gives it.
    pub index: String,
    /// Host of the repository; empty for a local one.
    pub site: String,
    /// `main`, or empty for a flat repository.
    pub component: String,
    /// Architecture of the index, `all` included; empty for a flat repository.
    pub arch: String,
}

/// Reads `sources.list` and `sources.list.d`; the targets are in apt's order.
pub fn read(root: &Root, architectures: &[String], unread: &mut Unread) -> Vec<Target> {
    let mut targets = Vec::new();
    for (path, text) in files(root, unread) {
        if path.ends_with(PARAGRAPHS) {
            parse(&text).for_each(|paragraph| deb822(&paragraph, architectures, &mut targets));
        } else {
            text.lines().for_each(|line| one_line(line, architectures, &mut targets));
        }
    }
    if targets.len() > TARGETS_MAX {
        unread.note("etc/apt/sources.list.d", format!("names more than {TARGETS_MAX} indices"));
        targets.truncate(TARGETS_MAX);
    }
    targets
}

/// Path and text of each file of sources, in apt's order.
pub(super) fn files(root: &Root, unread: &mut Unread) -> Vec<(String, String)> {
    let mut paths = vec!["etc/apt/sources.list".to_owned()];
    paths.extend(parts(root, "etc/apt/sources.list.d", &["list", "sources"], unread));
    let mut files = Vec::new();
    for path in paths {
        match root.text(&path, BYTES_MAX) {
            Ok(text) => files.push((path, text)),
            Err(error) if error.is_absent() => {}
            Err(error) => unread.note(path, error),
        }
    }
    files
}

/// A line `deb [option=value …] uri suite component …`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Options, each `name=value`.
    pub options: Vec<&'a str>,
    /// Address.
    pub uri: &'a str,
    /// Suite, and components.
    pub rest: Vec<&'a str>,
}

impl<'a> Line<'a> {
    /// Of a line of packages, not of sources.
    pub fn parse(line: &'a str) -> Option<Self> {
        Self::of("deb", line)
    }

    /// Of a line of packages or of sources.
    pub fn of_either(line: &'a str) -> Option<Self> {
        Self::of("deb", line).or_else(|| Self::of("deb-src", line))
    }

    fn of(kind: &str, line: &'a str) -> Option<Self> {
        let line = line.split('#').next().unwrap_or_default().trim();
        let rest = line.strip_prefix(kind).filter(|rest| rest.starts_with([' ', '\t', '[']))?;
        let rest = rest.trim_start();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(inner) => inner.split_once(']').unwrap_or((inner, "")),
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let uri = words.next()?;
        Some(Self { options: options.split_whitespace().collect(), uri, rest: words.collect() })
    }
}

/// Whether a value is one of apt's words for no (`StringToBool` in apt's `strutl.cc`).
pub(super) fn is_no(value: &str) -> bool {
    let words = ["no", "false", "off", "0", "without", "disable"];
    words.iter().any(|word| value.eq_ignore_ascii_case(word))
}

fn one_line(line: &str, architectures: &[String], targets: &mut Vec<Target>) {
    let Some(line) = Line::parse(line) else {
        return;
    };
    if let [suite, components @ ..] = line.rest.as_slice() {
        let chosen = choose(line.options.into_iter(), architectures);
        add(line.uri, suite, components, &chosen, targets);
    }
}

/// Architectures after the options `arch=`, `arch+=` and `arch-=`.
fn choose<'a>(options: impl Iterator<Item = &'a str>, configured: &[String]) -> Vec<String> {
    let mut chosen = configured.to_vec();
    for (name, value) in options.filter_map(|option| option.split_once('=')) {
        let values = value.split(',').filter(|arch| !arch.is_empty());
        match name.to_ascii_lowercase().as_str() {
            "arch" => chosen = values.map(str::to_owned).collect(),
            "arch+" => chosen.extend(values.map(str::to_owned)),
            "arch-" => {
                let removed: Vec<&str> = values.collect();
                chosen.retain(|arch| !removed.contains(&arch.as_str()));
            }
            _ => {}
        }
    }
    chosen
}

/// A paragraph of a `.sources` file.
fn deb822(paragraph: &Paragraph<'_>, architectures: &[String], targets: &mut Vec<Target>) {
    let words = |name: &str| -> Vec<&str> {
        let lines = paragraph.lines(name).into_iter().flatten();
        lines.filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect()
    };
    let disabled = paragraph.get("Enabled").is_some_and(is_no);
    if disabled || !words("Types").contains(&"deb") {
        return;
    }
    let named = ["Architectures", "Architectures-Add", "Architectures-Remove"];
    let options: Vec<String> = named
        .into_iter()
        .zip(["arch", "arch+", "arch-"])
        .map(|(field, option)| (words(field), option))
        .filter(|(values, _)| !values.is_empty())
        .map(|(values, option)| format!("{option}={}", values.join(",")))
        .collect();
    let chosen = choose(options.iter().map(String::as_str), architectures);
    for uri in words("URIs") {
        for suite in words("Suites") {
            add(uri, suite, &words("Components"), &chosen, targets);
        }
    }
}

fn add(
    uri: &str,
    suite: &str,
    components: &[&str],
    architectures: &[String],
    targets: &mut Vec<Target>,
) {
    let native = architectures.first().map_or("", String::as_str);
    let suite = suite.replace("$(ARCH)", native);
    let uri = uri.replace("$(ARCH)", native);
    let slash = if uri.ends_with('/') { "" } else { "/" };
    let host = host_of(&uri);
    if suite.ends_with('/') {
        let folder = if suite == "/" { String::new() } else { suite };
        let base = format!("{LISTS}/{}", file_name(&format!("{uri}{slash}{folder}")));
        targets.push(Target {
            index: format!("{base}Packages"),
            release: base,
            site: host,
            component: String::new(),
            arch: String::new(),
        });
        return;
    }
    let base = file_name(&format!("{uri}{slash}dists/{suite}/"));
    for component in components {
        let architectures = architectures.iter().map(String::as_str).chain(["all"]);
        for arch in architectures {
            let index =
                file_name(&format!("{uri}{slash}dists/{suite}/{component}/binary-{arch}/Packages"));
            targets.push(Target {
                release: format!("{LISTS}/{base}"),
                index: format!("{LISTS}/{index}"),
                site: host.clone(),
                component: (*component).to_owned(),
                arch: arch.to_owned(),
            });
        }
    }
}

/// Host of a URI, without user, password and port.
fn host_of(uri: &str) -> String {
    let rest = uri.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((address, _)) => address.to_owned(),
        None => host.split(':').next().unwrap_or_default().to_owned(),
    }
}

/// Name that apt gives to the file of a URI (`URItoFileName` in apt's `strutl.cc`): without scheme, user and password,
/// special characters as `%xx`, slashes as underscores.
fn file_name(uri: &str) -> String {
    let rest = match uri.split_once(':') {
        Some((_, rest)) => rest.strip_prefix("//").unwrap_or(rest),
        None => uri,
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let mut name = String::new();
    for byte in host.bytes().chain(path.bytes()) {
        match byte {
            b'/' => name.push('_'),
            b'\\' | b'|' | b'{' | b'}' | b'[' | b']' | b'<' | b'>' | b'"' | b'^' | b'~' | b'_'
            | b'=' | b'!' | b'@' | b'#' | b'$' | b'%' | b'&' | b'*' => {
                escape(byte, &mut name);
            }
            visible if visible.is_ascii_graphic() => name.push(char::from(visible)),
            other => escape(other, &mut name),
        }
    }
    name
}

fn escape(byte: u8, name: &mut String) {
    for digit in [byte >> 4, byte & 15] {
        name.extend(char::from_digit(u32::from(digit), 16));
    }
    // The sign comes before its digits.
    name.insert(name.len() - 2, '%');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_lines(text: &str) -> Vec<String> {
        let mut targets = Vec::new();
        let architectures = ["amd64".to_owned()];
        text.lines().for_each(|line| one_line(line, &architectures, &mut targets));
        targets.retain(|target| target.arch != "all");
        targets.into_iter().map(|target| target.index[LISTS.len() + 1..].to_owned()).collect()
    }

    #[test]
    fn indices_are_named_as_apt_names_them() {
        assert_eq!(
            from_lines(
                "# deb http://no.example/ a main\n\
                 deb [arch=amd64 signed-by=/x.gpg] https://user:pw@apt.example.com/a_b~c sid main # c\n\
                 deb http://apt.example.com:8080/debian bookworm/updates non-free-firmware\n\
                 deb file:/srv/repo ./\n\
                 deb-src http://apt.example.com/debian bookworm main\n\
                 deb [arch=arm64] http://apt.example.com/debian bookworm main\n"
            ),
            [
                "apt.example.com_a%5fb%7ec_dists_sid_main_binary-amd64_Packages",
                "apt.example.com:8080_debian_dists_bookworm_updates_non-free-firmware_binary-amd64_Packages",
                "_srv_repo_._Packages",
                "apt.example.com_debian_dists_bookworm_main_binary-arm64_Packages",
            ]
        );
    }

    #[test]
    fn paragraphs_name_every_pair_of_suite_and_component() {
        let text = "Types: deb deb-src\nURIs: http://apt.example.com/debian/\nSuites: a\n b\n\
                    Components: main contrib\n\nTypes: deb\nEnabled: no\nURIs: http://x/\nSuites: c\nComponents: d\n";
        let mut targets = Vec::new();
        parse(text).for_each(|paragraph| deb822(&paragraph, &["amd64".to_owned()], &mut targets));

        let pairs: Vec<_> = targets
            .iter()
            .filter(|target| target.arch == "amd64")
            .map(|target| target.index.rsplit("dists_").next().unwrap())
            .collect();
        assert_eq!(
            pairs,
            [
                "a_main_binary-amd64_Packages",
                "a_contrib_binary-amd64_Packages",
                "b_main_binary-amd64_Packages",
                "b_contrib_binary-amd64_Packages"
            ]
        );
        assert_eq!(targets[0].site, "apt.example.com");
    }
}
