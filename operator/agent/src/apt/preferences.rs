//! Pins: `preferences` and `preferences.d`, as `apt_preferences(5)` describes them and apt's `policy.cc` and
//! `versionmatch.cc` do it.

use regex_lite::RegexBuilder;

use crate::{root::Root, stanza::parse, unread::Unread};

use super::{parts, release::Release};

/// Largest file that is read, and most pins that are kept.
const BYTES_MAX: u64 = 1 << 20;
const PINS_MAX: usize = 4_096;
/// Longest pattern that is compiled.
const PATTERN_BYTES_MAX: usize = 1_024;

/// Priority that takes a repository out altogether (`Pin-Priority: never`).
pub const NEVER: i32 = i32::MIN;

/// One pin: a priority for some versions of some packages.
#[derive(Clone, Debug)]
pub struct Pin {
    /// Packages; `None` means every package (`Package: *`).
    pub packages: Option<PackagePattern>,
    /// Versions of them.
    pub versions: VersionPattern,
    /// The higher is taken; 1000 and more even for a downgrade; negative ones never.
    pub priority: i32,
}

/// Packages that a pin is for.
#[derive(Clone, Debug)]
pub struct PackagePattern {
    /// Binary packages of a source package (`src:`).
    pub by_source: bool,
    /// Name, shell pattern or regular expression.
    pub name: Expression,
    /// Architecture; `None` means the native one, `any` all of them.
    pub arch: Option<String>,
}

/// Versions that a pin is for.
#[derive(Clone, Debug)]
pub enum VersionPattern {
    /// `version`: the version itself.
    Version(Expression),
    /// `source-version`: the source package's version.
    SourceVersion(Expression),
    /// `origin`: host of the repository, empty for local ones.
    Site(Expression),
    /// `release`: every given word has to fit.
    Release(Vec<(Word, Expression)>),
}

/// What a word of a `release` pin speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// `v=`
    Version,
    /// `o=`
    Origin,
    /// `a=`: the suite.
    Archive,
    /// `n=`
    Codename,
    /// `l=`
    Label,
    /// `c=`
    Component,
    /// `b=`
    Architecture,
    /// A word without letter: archive or codename.
    Either,
}

/// Where one version comes from, as far as pins can ask.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// dpkg's status file.
    Installed,
    /// An index of a repository.
    Index {
        /// What the repository says of itself, where it says something.
        release: Option<&'a Release>,
        /// Host, empty for local ones.
        site: &'a str,
        /// `main`.
        component: &'a str,
        /// Architecture of the index.
        arch: &'a str,
    },
}

/// A shell pattern, or a regular expression between slashes; both without regard to case.
#[derive(Clone, Debug)]
pub enum Expression {
    /// Without special characters.
    Plain(String),
    /// `*`, `?`, `[…]`.
    Glob(glob::Pattern),
    /// `/…/`.
    Regex(regex_lite::Regex),
    /// One that cannot be understood fits nothing.
    Nothing,
}

impl Expression {
    /// Compiles a pattern.
    pub fn new(pattern: &str) -> Self {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Self::Nothing;
        }
        if let Some(regex) = pattern.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            let compiled = RegexBuilder::new(regex).case_insensitive(true).build();
            return compiled.map_or(Self::Nothing, Self::Regex);
        }
        if pattern.contains(['*', '?', '[']) {
            return glob::Pattern::new(pattern).map_or(Self::Nothing, Self::Glob);
        }
        Self::Plain(pattern.to_owned())
    }

    /// Whether it fits.
    pub fn fits(&self, text: &str) -> bool {
        match self {
            Self::Plain(plain) => plain.eq_ignore_ascii_case(text),
            Self::Glob(glob) => {
                let options = glob::MatchOptions { case_sensitive: false, ..Default::default() };
                glob.matches_with(text, options)
            }
            Self::Regex(regex) => regex.is_match(text),
            Self::Nothing => false,
        }
    }
}

impl VersionPattern {
    /// Whether everything at a place fits. Patterns of versions fit no place.
    pub fn fits_place(&self, place: Place<'_>) -> bool {
        match self {
            Self::Version(_) | Self::SourceVersion(_) => false,
            Self::Site(site) => match place {
                Place::Installed => false,
                Place::Index { site: host, .. } => site.fits(host),
            },
            Self::Release(words) => {
                !words.is_empty() && words.iter().all(|(word, pattern)| word.fits(pattern, place))
            }
        }
    }
}

impl Word {
    fn of(letter: &str) -> Option<Self> {
        Some(match letter.to_ascii_lowercase().as_str() {
            "v" => Self::Version,
            "o" => Self::Origin,
            "a" => Self::Archive,
            "n" => Self::Codename,
            "l" => Self::Label,
            "c" => Self::Component,
            "b" => Self::Architecture,
            _ => return None,
        })
    }

    fn fits(self, pattern: &Expression, place: Place<'_>) -> bool {
        let fits = |text: Option<&str>| text.is_some_and(|text| pattern.fits(text));
        match place {
            // The status file calls itself the archive `now` and nothing else.
            Place::Installed => match self {
                Self::Archive | Self::Either | Self::Component => pattern.fits("now"),
                Self::Version
                | Self::Origin
                | Self::Codename
                | Self::Label
                | Self::Architecture => false,
            },
            Place::Index { release, component, arch, .. } => match self {
                Self::Version => fits(release.and_then(|release| release.version.as_deref())),
                Self::Origin => fits(release.and_then(|release| release.origin.as_deref())),
                Self::Archive => fits(release.and_then(|release| release.suite.as_deref())),
                Self::Codename => fits(release.and_then(|release| release.codename.as_deref())),
                Self::Label => fits(release.and_then(|release| release.label.as_deref())),
                Self::Either => {
                    fits(release.and_then(|release| release.suite.as_deref()))
                        || fits(release.and_then(|release| release.codename.as_deref()))
                }
                Self::Component => pattern.fits(component),
                Self::Architecture => pattern.fits(arch),
            },
        }
    }
}

/// Reads every pin, in apt's order.
pub fn read(root: &Root, unread: &mut Unread) -> Vec<Pin> {
    let mut paths = vec!["etc/apt/preferences".to_owned()];
    paths.extend(parts(root, "etc/apt/preferences.d", &["pref", ""], unread));
    let mut pins = Vec::new();
    for path in paths {
        match root.text(&path, BYTES_MAX) {
            Ok(text) => pins.extend(pins_of(&text)),
            Err(error) if error.is_absent() => {}
            Err(error) => unread.note(path, error),
        }
    }
    if pins.len() > PINS_MAX {
        unread.note("etc/apt/preferences.d", format!("has more than {PINS_MAX} pins"));
        pins.truncate(PINS_MAX);
    }
    pins
}

/// Pins of one file's text; records that apt would refuse are left out.
pub fn pins_of(text: &str) -> Vec<Pin> {
    let mut pins = Vec::new();
    for record in parse(text) {
        let (Some(packages), Some(pin)) = (record.get("Package"), record.get("Pin")) else {
            continue;
        };
        let priority = match record.get("Pin-Priority") {
            Some("never") if packages == "*" => NEVER,
            Some(number) => number.parse::<i16>().map_or(0, i32::from),
            None => 0,
        };
        let Some(versions) = version_pattern(pin).filter(|_| priority != 0) else {
            continue;
        };
        let is_version =
            matches!(versions, VersionPattern::Version(_) | VersionPattern::SourceVersion(_));
        if packages == "*" && !is_version {
            pins.push(Pin { packages: None, versions, priority });
            continue;
        }
        let packages =
            record.lines("Package").into_iter().flatten().flat_map(str::split_whitespace);
        pins.extend(packages.take(PINS_MAX).map(|package| Pin {
            packages: Some(package_pattern(package)),
            versions: versions.clone(),
            priority,
        }));
    }
    pins
}

fn package_pattern(text: &str) -> PackagePattern {
    let (by_source, rest) = match text.strip_prefix("src:") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (name, arch) = match rest.rsplit_once(':') {
        Some((name, arch)) => (name, Some(arch.to_owned())),
        None => (rest, None),
    };
    PackagePattern { by_source, name: Expression::new(name), arch }
}

fn version_pattern(pin: &str) -> Option<VersionPattern> {
    let (kind, data) = pin.split_once(char::is_whitespace).unwrap_or((pin, ""));
    let data = data.trim();
    Some(match kind.to_ascii_lowercase().as_str() {
        "version" => VersionPattern::Version(Expression::new(data)),
        "source-version" => VersionPattern::SourceVersion(Expression::new(data)),
        "origin" => VersionPattern::Site(Expression::new(data.trim_matches('"'))),
        "release" => VersionPattern::Release(release_words(data)),
        _ => return None,
    })
}

/// Words of a `release` pin, or of `APT::Default-Release`, which has the same form.
pub fn release_words(data: &str) -> Vec<(Word, Expression)> {
    if data == "*" {
        return vec![(Word::Either, Expression::new("*"))];
    }
    if !data.contains('=') {
        let word = if data.starts_with(|c: char| c.is_ascii_digit()) {
            Word::Version
        } else {
            Word::Either
        };
        return if data.is_empty() { Vec::new() } else { vec![(word, Expression::new(data))] };
    }
    data.split(',')
        .filter_map(|fragment| fragment.trim().split_once('='))
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(letter, value)| Some((Word::of(letter)?, Expression::new(value))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debian() -> Release {
        Release {
            origin: Some("Debian".into()),
            label: Some("Debian-Security".into()),
            suite: Some("oldstable-security".into()),
            codename: Some("bookworm-security".into()),
            version: Some("12".into()),
            ..Release::default()
        }
    }

    fn fits(pin: &str) -> bool {
        let release = debian();
        let place = Place::Index {
            release: Some(&release),
            site: "apt.example.com",
            component: "main",
            arch: "amd64",
        };
        version_pattern(pin).unwrap().fits_place(place)
    }

    #[test]
    fn every_form_of_a_release_pin_is_understood() {
        for pin in [
            "release a=oldstable-security",
            "release bookworm-security",
            "release 12",
            "release o=Debian,l=debian-security, c=main",
            "release n=/^bookworm/",
            "release o=Deb*",
            "release *",
            "origin apt.example.com",
            "origin \"apt.example.com\"",
        ] {
            assert!(fits(pin), "{pin}");
        }
        for pin in ["release a=stable", "release", "release l=Debian", "origin example.com"] {
            assert!(!fits(pin), "{pin}");
        }
    }

    #[test]
    fn records_name_packages_by_name_pattern_source_and_architecture() {
        let pins = pins_of(
            "Explanation: x\nPackage: nginx* src:openssl:any\n /^lib.*/\nPin: version 1.22.*\nPin-Priority: 990\n\n\
             Package: *\nPin: release a=experimental\nPin-Priority: never\n\n\
             Package: x\nPin: release a=b\nPin-Priority: 0\n",
        );

        assert_eq!(pins.len(), 4);
        let openssl = pins[1].packages.as_ref().unwrap();
        assert!(openssl.by_source && openssl.name.fits("OpenSSL"));
        assert_eq!(openssl.arch.as_deref(), Some("any"));
        assert!(pins[2].packages.as_ref().unwrap().name.fits("libssl3"));
        assert!(pins[3].packages.is_none() && pins[3].priority == NEVER);
    }

    #[test]
    fn a_pattern_that_cannot_be_understood_fits_nothing() {
        assert!(!Expression::new("/(/").fits("("));
        assert!(!Expression::new("[").fits("["));
        assert!(!Expression::new(&"*".repeat(5_000)).fits("x"));
    }
}
