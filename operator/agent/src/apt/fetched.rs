//! A host's sources as the scanner's own refresh takes them: only what is fetched from elsewhere, and trusted only where its signature is.
//!
//! What lies on the host's own disk is left out (its indices are copied as they are), and so is every word that has apt believe a
//! repository without a signature: the scanner's way to it is not the host's.

use super::{sources::Line, trust::is_weakening};
use crate::chamber;

/// What is fetched by no network.
const OF_THE_DISK: [&str; 3] = ["file", "copy", "cdrom"];

/// Sources in apt's form, and the files of the host that they name: keys, lists of mirrors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Text of the file.
    pub text: String,
    /// Paths below the root.
    pub files: Vec<String>,
}

impl Fetched {
    /// Of a file of lines.
    pub fn of_lines(text: &str) -> Self {
        let mut fetched = Self::default();
        for line in text.lines().filter_map(Line::parse).filter(|line| is_fetched(line.uri)) {
            let weakens =
                |option: &&str| is_weakening(option.split('=').next().unwrap_or_default());
            let options: Vec<&str> =
                line.options.into_iter().filter(|option| !weakens(option)).collect();
            for (name, value) in options.iter().filter_map(|option| option.split_once('=')) {
                if name.eq_ignore_ascii_case("signed-by") {
                    value.split(',').for_each(|key| fetched.name(key));
                }
            }
            fetched.name_mirrors(line.uri);
            let options = match options.join(" ") {
                none if none.is_empty() => none,
                some => format!("[{some}] "),
            };
            let words = line.rest.join(" ");
            fetched.text.extend(["deb ", &options, line.uri, " ", &words, "\n"]);
        }
        fetched
    }

    /// Of a file of paragraphs.
    pub fn of_paragraphs(text: &str) -> Self {
        let mut fetched = Self::default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        for paragraph in lines.split(|line| line.trim().is_empty()) {
            fetched.paragraph(paragraph);
        }
        fetched
    }

    fn paragraph(&mut self, lines: &[&str]) {
        let mut text = String::new();
        let mut is_whole = (false, false);
        for (name, value) in fields(lines) {
            let words = || value.iter().flat_map(|line| line.split_whitespace());
            if is_weakening(name) {
                continue;
            }
            if name.eq_ignore_ascii_case("Types") {
                is_whole.0 = words().any(|word| word == "deb");
                text.push_str("Types: deb\n");
            } else if name.eq_ignore_ascii_case("URIs") {
                let uris: Vec<&str> = words().filter(|uri| is_fetched(uri)).collect();
                is_whole.1 = !uris.is_empty();
                for uri in &uris {
                    self.name_mirrors(uri);
                }
                text.extend(["URIs: ", &uris.join(" "), "\n"]);
            } else {
                if name.eq_ignore_ascii_case("Signed-By") {
                    words().flat_map(|word| word.split(',')).for_each(|key| self.name(key));
                }
                text.extend([name, ":", &value.join("\n"), "\n"]);
            }
        }
        if is_whole == (true, true) {
            self.text.extend([&text, "\n"]);
        }
    }

    /// Notes a file that is to be copied.
    fn name(&mut self, path: &str) {
        if let Some(named) = chamber::named(path).filter(|named| !self.files.contains(named)) {
            self.files.push(named);
        }
    }

    /// `mirror+file:/etc/apt/mirrors/debian.list`
    fn name_mirrors(&mut self, uri: &str) {
        if let Some(path) = uri.strip_prefix("mirror+file:") {
            self.name(&format!("/{}", path.trim_start_matches('/')));
        }
    }
}

fn is_fetched(uri: &str) -> bool {
    let method = uri.split(':').next().unwrap_or_default();
    // A second list of options would become the first where the first is left out.
    !uri.starts_with('[') && !OF_THE_DISK.iter().any(|of| method.eq_ignore_ascii_case(of))
}

/// Name of each field, and its value's lines, the first without its space.
fn fields<'a>(lines: &[&'a str]) -> Vec<(&'a str, Vec<&'a str>)> {
    let mut fields: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in lines {
        match (line.starts_with([' ', '\t']), fields.last_mut(), line.split_once(':')) {
            (true, Some((_, value)), _) => value.push(line),
            (false, _, Some((name, value))) => fields.push((name, vec![value])),
            _ => {}
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_trusts_without_a_signature_is_not_trusted_and_its_own_disk_is_left_out() {
        let fetched = Fetched::of_lines(
            "deb [trusted=yes arch=amd64 signed-by=/etc/apt/keyrings/a.gpg,/usr/share/keyrings/b.gpg] https://x/ s main # c\n\
             deb [allow-insecure=yes] http://y/ ./\n\
             deb-src http://z/ s main\n\
             deb file:/srv/repository ./\n\
             deb [trusted=yes] [trusted=yes] http://v/ ./\n\
             deb mirror+file:///etc/apt/mirrors/m.list s main\n\
             deb [signed-by=/etc/../root/key] http://w/ ./\n",
        );

        assert_eq!(
            fetched.text,
            "deb [arch=amd64 signed-by=/etc/apt/keyrings/a.gpg,/usr/share/keyrings/b.gpg] https://x/ s main\n\
             deb http://y/ ./\n\
             deb mirror+file:///etc/apt/mirrors/m.list s main\n\
             deb [signed-by=/etc/../root/key] http://w/ ./\n"
        );
        assert_eq!(fetched.files, ["etc/apt/keyrings/a.gpg", "etc/apt/mirrors/m.list"]);
    }

    #[test]
    fn paragraphs_keep_their_keys_and_lose_what_weakens() {
        let key = "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n";
        let fetched = Fetched::of_paragraphs(&format!(
            "# comment\nTypes: deb deb-src\nURIs: http://x/ file:/srv\nSuites: a\nComponents: main\ntrusted: yes\n{key}\n\
             Types: deb-src\nURIs: http://y/\nSuites: a\nComponents: main\n\n\
             Types: deb\nURIs: copy:/srv\nSuites: ./\n\n\
             Enabled: no\nTypes: deb\nURIs: http://z/\nSuites: a\nAllow-Insecure:\n yes\nSigned-By: /etc/k.gpg\n"
        ));

        assert_eq!(
            fetched.text,
            format!(
                "Types: deb\nURIs: http://x/\nSuites: a\nComponents: main\n{key}\n\
                 Enabled: no\nTypes: deb\nURIs: http://z/\nSuites: a\nSigned-By: /etc/k.gpg\n\n"
            )
        );
        assert_eq!(fetched.files, ["etc/k.gpg"]);
    }
}
