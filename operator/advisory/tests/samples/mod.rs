//! Versions to try an ordering on: generated ones from small alphabets, so that neighbours and equals are common, and real
//! ones.

use hozen_advisory::version::Scheme;
use proptest::prelude::*;
use proptest::string::string_regex;

/// What the versions of a scheme look like; each scheme reads nearly all that its expression makes.
fn expression(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Dpkg => "([0-2]:)?[0-2][0-3a~+.Z-]{0,6}(-[012a~+.]{1,3})?",
        Scheme::Rpm => "([0-2]:)?[01a][0-3a~^.Z_]{0,6}(-[012a~^.]{1,3})?",
        Scheme::Apk => {
            "[012]{1,2}(\\.[0123]{1,2}){0,3}[ab]?(_(alpha|beta|pre|rc|cvs|svn|git|hg|p)[02]?){0,2}(~[0a]{1,2})?(-r[012])?"
        }
        Scheme::Semver | Scheme::Npm | Scheme::Pub | Scheme::Bitnami => {
            "v?[01](\\.[01]){0,2}(-[01ab]{1,2}(\\.[01a]{1,2}){0,2})?(\\+[01a]{1,2})?"
        }
        Scheme::Go => {
            "(v[01](\\.[01]){0,2}|go1\\.[01](rc|beta)?[01]?)(-[01a]{1,2}(\\.[01a]){0,2})?(\\+incompatible)?"
        }
        Scheme::NuGet => "[01](\\.[01]){0,3}(-[01aAbB]{1,2}(\\.[01aA]{1,2}){0,2})?",
        Scheme::Pep440 => {
            "(1!)?[01](\\.[01]){0,2}((a|b|rc)[01])?(\\.post[01])?(\\.dev[01])?(\\+[01a]{1,2}(\\.[01a]){0,2})?"
        }
        Scheme::Maven => {
            "[012]?([.-]?(alpha|a|rc|cr|snapshot|ga|sp|final|xyz|b)?[.-]?[012]?){0,4}x?"
        }
        Scheme::Gem => "[01](\\.([01]|a|b|rc1|0a)){0,5}(-[01a]{1,2})?",
        Scheme::Packagist => {
            "v?[01](\\.[01]){0,3}([._-]?(alpha|beta|b|a|RC|p|pl|patch|stable)[.-]?[012]?)?(-dev)?"
        }
        Scheme::Dotted => "[012](\\.[0-2]{1,2}){0,4}(-[01])?",
    }
}

/// Versions that the scheme reads.
pub fn versions(scheme: Scheme) -> impl Strategy<Value = String> {
    string_regex(expression(scheme))
        .expect("the expression is one")
        .prop_filter("the scheme reads it", move |version| scheme.key(version).is_ok())
}
