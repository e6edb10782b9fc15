//! apt's configuration files, as apt.conf(5) describes them: as much as changes what would be installed.
//!
//! Only values are taken from them, never programs: a scanned root's configuration may name any program as a compressor
//! or a solver, so it is not handed to apt (see [`super::resolve`]).

use std::collections::BTreeMap;

use crate::{root::Root, unread::Unread};

use super::parts;

/// Largest file that is read.
const BYTES_MAX: u64 = 1 << 20;
/// Most values and deepest nesting that are kept; real configurations have some hundred values, four deep.
const VALUES_MAX: usize = 10_000;
const DEPTH_MAX: usize = 32;

/// Options that move apt's folders: they are not followed, and said.
const FOLDERS: [&str; 6] = [
    "dir::state",
    "dir::state::lists",
    "dir::state::status",
    "dir::etc::sourcelist",
    "dir::etc::sourceparts",
    "dir::etc::preferences",
];

/// Values by their full name in lower case: `apt::default-release`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conf {
    values: BTreeMap<String, Vec<String>>,
    count: usize,
}

impl Conf {
    /// Reads `apt.conf.d` and `apt.conf`, in apt's order.
    pub fn read(root: &Root, unread: &mut Unread) -> Self {
        let mut conf = Self::default();
        let mut paths = parts(root, "etc/apt/apt.conf.d", &["conf", ""], unread);
        paths.push("etc/apt/apt.conf".to_owned());
        for path in paths {
            match root.text(&path, BYTES_MAX) {
                Ok(text) => conf.parse(&text),
                Err(error) if error.is_absent() => {}
                Err(error) => unread.note(path, error),
            }
        }
        for option in FOLDERS.into_iter().filter(|option| conf.last(option).is_some()) {
            unread.note(option, "apt is configured to another folder; the default one was read");
        }
        conf
    }

    /// Last value of an option (lower case), which is the one that counts.
    pub fn last(&self, option: &str) -> Option<&str> {
        self.values.get(option)?.last().map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Options whose names begin so (lower case), each with the value that counts.
    pub fn beginning(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        let names = self.values.keys().filter(move |name| name.starts_with(prefix));
        names.filter_map(|name| Some((name.as_str(), self.last(name)?)))
    }

    /// All values of a list (lower case).
    pub fn list(&self, option: &str) -> &[String] {
        self.values.get(option).map_or(&[], Vec::as_slice)
    }

    fn set(&mut self, name: &str, value: String) {
        if self.count == VALUES_MAX {
            return;
        }
        self.count += 1;
        let name = name.trim_end_matches(':').to_ascii_lowercase();
        self.values.entry(name).or_default().push(value);
    }

    /// Takes one file's text. What is not understood is passed over, as apt itself passes over unknown options.
    pub fn parse(&mut self, text: &str) {
        let mut scopes: Vec<String> = Vec::new();
        let mut words: Vec<Word> = Vec::new();
        for word in Words::new(text) {
            match word {
                Word::Open if scopes.len() < DEPTH_MAX => {
                    let name = words.drain(..).next().map(Word::into_text).unwrap_or_default();
                    let scope = join(scopes.last(), &name);
                    scopes.push(scope);
                }
                Word::Open => return,
                Word::Close => {
                    self.statement(scopes.last(), &mut words);
                    scopes.pop();
                }
                Word::End => self.statement(scopes.last(), &mut words),
                Word::Quoted(_) | Word::Bare(_) => words.push(word),
            }
        }
    }

    fn statement(&mut self, scope: Option<&String>, words: &mut Vec<Word>) {
        let mut words = words.drain(..);
        match (words.next(), words.next()) {
            (Some(Word::Bare(directive)), Some(name)) if directive == "#clear" => {
                let name = join(scope, &name.into_text()).to_ascii_lowercase();
                self.values.retain(|key, _| {
                    key.strip_prefix(&name)
                        .is_none_or(|rest| !rest.is_empty() && !rest.starts_with("::"))
                });
            }
            (Some(Word::Quoted(value)), None) => {
                self.set(&join(scope, ""), value);
            }
            (Some(name), Some(value)) => {
                self.set(&join(scope, &name.into_text()), value.into_text());
            }
            _ => {}
        }
    }
}

fn join(scope: Option<&String>, name: &str) -> String {
    match scope {
        Some(scope) => format!("{scope}::{name}"),
        None => name.to_owned(),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Quoted(String),
    Bare(String),
    Open,
    Close,
    End,
}

impl Word {
    fn into_text(self) -> String {
        match self {
            Self::Quoted(text) | Self::Bare(text) => text,
            Self::Open | Self::Close | Self::End => String::new(),
        }
    }
}

/// Cuts a file's text into words, comments left out.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Self {
        Self(text)
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.0.trim_start();
            self.0 = if rest.starts_with("//") || (rest.starts_with('#') && !is_directive(rest)) {
                rest.split_once('\n').map_or("", |(_, after)| after)
            } else if let Some(comment) = rest.strip_prefix("/*") {
                comment.split_once("*/").map_or("", |(_, after)| after)
            } else {
                self.0 = rest;
                return;
            };
        }
    }
}

fn is_directive(rest: &str) -> bool {
    rest.starts_with("#clear") || rest.starts_with("#include")
}

impl Iterator for Words<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        self.skip_blank();
        let first = self.0.chars().next()?;
        let mark = match first {
            '{' => Some(Word::Open),
            '}' => Some(Word::Close),
            ';' => Some(Word::End),
            _ => None,
        };
        if let Some(mark) = mark {
            self.0 = &self.0[1..];
            return Some(mark);
        }
        if let Some(rest) = self.0.strip_prefix('"') {
            let (text, after) = rest.split_once('"').unwrap_or((rest, ""));
            self.0 = after;
            return Some(Word::Quoted(text.to_owned()));
        }
        let end = self.0.find(|c: char| c.is_whitespace() || "{};\"".contains(c));
        let (text, after) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = after;
        Some(Word::Bare(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_flat_and_listed_options_are_read_and_the_last_value_counts() {
        let mut conf = Conf::default();
        conf.parse(
            "// comment\nAPT::Default-Release \"bookworm\";\n# another\n\
             APT { Default-Release \"/^bookworm(|-security|-updates)$/\"; Architectures { \"amd64\"; \"i386\"; }; };\n\
             /* APT::Default-Release \"no\"; */ Acquire::GzipIndexes true;\nAPT::NeverAutoRemove:: \"^linux\";\n",
        );

        assert_eq!(conf.last("apt::default-release"), Some("/^bookworm(|-security|-updates)$/"));
        assert_eq!(conf.list("apt::architectures"), ["amd64", "i386"]);
        assert_eq!(conf.last("acquire::gzipindexes"), Some("true"));
        assert_eq!(conf.list("apt::neverautoremove"), ["^linux"]);

        conf.parse("#clear APT::Architectures;");
        assert!(conf.list("apt::architectures").is_empty());
    }

    #[test]
    fn endless_nesting_ends() {
        let mut conf = Conf::default();
        conf.parse(&"a{".repeat(100_000));
        conf.parse(&"\"x\";".repeat(100_000));

        assert_eq!(conf.count, VALUES_MAX);
    }
}
