//! Writes a package URL from what a [`Package`] holds.

use smol_str::SmolStr;

use super::{kind, source_archive};
use crate::distro::Distro;
use crate::package::Package;

/// Writes the package URL of a package, canonical: qualifiers sorted, everything but `A-Z a-z 0-9 . - _ ~ :` encoded.
pub fn write(package: &Package) -> String {
    let kind = kind(&package.ecosystem);
    let mut out = format!("pkg:{kind}/");
    match kind {
        "deb" | "rpm" | "apk" => write_system(kind, package, &mut out),
        _ => write_language(kind, package, &mut out),
    }
    out
}

fn write_system(kind: &str, package: &Package, out: &mut String) {
    let distro = Distro::from_qualifier(&package.distro);
    let namespace = if package.distro.is_empty() {
        package.ecosystem.split_once('/').map_or("", |(_, namespace)| namespace)
    } else {
        distro.namespace()
    };
    write_path(namespace, out);
    encode(&package.name, out);
    let (epoch, version) = match package.version.split_once(':') {
        Some((epoch, version)) if kind == "rpm" => (epoch, version),
        Some(_) | None => ("", package.version.as_str()),
    };
    write_version(version, out);
    let upstream = package.source.as_ref().map(|source| upstream(kind, source, &package.version));
    let qualifiers = [
        ("arch", package.arch.as_str()),
        ("distro", package.distro.as_str()),
        ("epoch", epoch),
        ("upstream", upstream.as_deref().unwrap_or("")),
    ];
    let given = qualifiers.into_iter().filter(|(_, value)| !value.is_empty());
    for (index, (key, value)) in given.enumerate() {
        out.push(if index == 0 { '?' } else { '&' });
        out.push_str(key);
        out.push('=');
        encode(value, out);
    }
}

fn upstream(kind: &str, source: &(SmolStr, SmolStr), version: &SmolStr) -> String {
    let (name, of) = source;
    let bare = of.split_once(':').map_or(of.as_str(), |(_, bare)| bare);
    if kind == "rpm" && source_archive(&format!("{name}-{bare}"), version).as_ref() == Some(source)
    {
        format!("{name}-{bare}.src.rpm")
    } else if of == version {
        name.to_string()
    } else {
        format!("{name}@{of}")
    }
}

fn write_language(kind: &str, package: &Package, out: &mut String) {
    let name = package.name.as_str();
    let (namespace, name, subpath) = match kind {
        "golang" => split_module(name),
        "maven" => {
            let (group, artifact) = name.split_once(':').unwrap_or(("", name));
            (group, artifact, "")
        }
        _ => {
            let (namespace, name) = name.rsplit_once('/').unwrap_or(("", name));
            (namespace, name, "")
        }
    };
    write_path(namespace, out);
    encode(name, out);
    write_version(&package.version, out);
    for (index, segment) in subpath.split('/').filter(|segment| !segment.is_empty()).enumerate() {
        out.push(if index == 0 { '#' } else { '/' });
        encode(segment, out);
    }
}

/// Syft writes a module's first two elements as the namespace, the third as the name, the rest as the subpath.
fn split_module(module: &str) -> (&str, &str, &str) {
    let mut slashes = module.match_indices('/').map(|(at, _)| at);
    match (slashes.next(), slashes.next(), slashes.next()) {
        (None, ..) => ("", module, ""),
        (Some(first), None, _) => (&module[..first], &module[first + 1..], ""),
        (_, Some(second), None) => (&module[..second], &module[second + 1..], ""),
        (_, Some(second), Some(third)) => {
            (&module[..second], &module[second + 1..third], &module[third + 1..])
        }
    }
}

fn write_path(namespace: &str, out: &mut String) {
    for segment in namespace.split('/').filter(|segment| !segment.is_empty()) {
        encode(segment, out);
        out.push('/');
    }
}

fn write_version(version: &str, out: &mut String) {
    if !version.is_empty() {
        out.push('@');
        encode(version, out);
    }
}

/// Everything but `A-Z a-z 0-9 . - _ ~ :` percent-encoded.
pub(crate) fn encode(text: &str, out: &mut String) {
    const HEX: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~' | b':') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        }
    }
}
