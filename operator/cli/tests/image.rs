//! What is in an image, read from SBOMs and archives, written as manifests.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hozen_testbed::image::{Content, Image};
use tempfile::TempDir;

const STATUS: &str = "Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nSource: openssl\nVersion: 3.0.20-1~deb12u2\nMaintainer: a\nDescription: b\n\n";
const OS: &str = "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n";

/// The command's exit code, and what it said, without the ends of lines that fit a terminal.
fn hozen(words: &[&str]) -> (i32, String, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_hozen")).args(words).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let error = text(run.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    (run.status.code().unwrap(), text(run.stdout), error)
}

/// An archive of an image with these files, and its digest.
fn archive(folder: &TempDir, files: &[(&str, &str)]) -> (PathBuf, String) {
    let mut contents = BTreeMap::new();
    for (number, (path, text)) in files.iter().enumerate() {
        let file = folder.path().join(format!("file-{number}"));
        fs::write(&file, text).unwrap();
        contents.insert((*path).to_owned(), Content::File(file, 0o644));
    }
    let image = Image {
        reference: "registry.example.com/shop/web:1.3".to_owned(),
        entrypoint: vec!["/web".to_owned()],
        user: "0:0".to_owned(),
        labels: BTreeMap::new(),
        contents,
    };
    let file = folder.path().join("image.tar");
    let digest = image.write(&file).unwrap();
    (file, digest)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_package_database_in_an_archives_layers_is_read_and_the_image_named_by_its_manifest() {
    let folder = TempDir::new().unwrap();
    let (file, digest) =
        archive(&folder, &[("var/lib/dpkg/status", STATUS), ("etc/os-release", OS)]);
    let (code, said, error) = hozen(&["image", "import", text(&file), "-o", "yaml"]);
    assert_eq!((code, error.as_str()), (0, ""));
    for expected in [
        "pkg:deb/debian/libssl3@3.0.20-1~deb12u2?arch=amd64&distro=debian-12",
        &format!("digest: {digest}"),
        &format!("name: {}", digest.replace(':', "-")),
        "- registry.example.com/shop/web",
        "tag: '1.3'",
    ] {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
}

#[test]
fn an_archive_that_was_altered_or_is_none_is_refused_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    let (file, _) = archive(&folder, &[("var/lib/dpkg/status", STATUS), ("etc/os-release", OS)]);
    let mut bytes = fs::read(&file).unwrap();
    // The layer is the one part that is packed; a bit in the middle of it.
    let at = bytes.windows(3).position(|part| part == [0x1f, 0x8b, 8]).unwrap();
    bytes[at + 100] ^= 1;
    fs::write(&file, bytes).unwrap();
    let (code, _, error) = hozen(&["image", "import", text(&file), "-o", "yaml"]);
    assert_eq!(code, 2);
    assert!(error.contains("does not have that digest"), "{error}");

    let (file, _) = archive(&folder, &[("web", "no package manager here")]);
    let (code, _, error) = hozen(&["image", "import", text(&file), "-o", "yaml"]);
    assert_eq!(code, 2);
    assert!(error.contains("hand in its SBOM instead"), "{error}");

    fs::write(&file, "nothing that is known").unwrap();
    let (code, _, error) = hozen(&["image", "import", text(&file), "-o", "yaml"]);
    assert_eq!(code, 2);
    assert!(error.contains("neither a bill of materials in JSON nor an archive"), "{error}");
}

#[test]
fn a_bill_of_materials_needs_the_image_that_it_is_about() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("web.json");
    let bill = |purl: &str| {
        format!(
            r#"{{"bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": {{"component": {{"type": "container", "name": "registry.example.com/shop/web:1.3", "purl": "{purl}"}}}},
 "components": [{{"type": "library", "name": "libssl3", "version": "3.0.22-1~deb12u2", "purl": "pkg:deb/debian/libssl3@3.0.22-1~deb12u2?arch=amd64&distro=debian-12"}}]}}"#
        )
    };
    let import = |more: &[&str]| {
        let words = [&["image", "import", text(&file), "-o", "json"], more].concat();
        hozen(&words)
    };
    let digest = format!("sha256:{}", "b".repeat(64));
    fs::write(&file, bill("")).unwrap();
    let (code, _, error) = import(&[]);
    assert_eq!(code, 2);
    assert!(error.contains("does not say of which image it is: give --image"), "{error}");
    let named = format!("registry.example.com/shop/web:1.3@{digest}");
    let (code, said, _) = import(&["--image", &named]);
    assert_eq!(code, 0);
    assert!(said.contains(&digest) && said.contains("\"tag\": \"1.3\""), "{said}");

    fs::write(&file, bill(&format!("pkg:oci/web@{digest}"))).unwrap();
    assert_eq!(import(&[]).0, 0);
    let other = format!("registry.example.com/shop/web@sha256:{}", "c".repeat(64));
    let (code, _, error) = import(&["--image", &other]);
    assert_eq!(code, 2);
    assert!(error.contains(&format!("is about {digest}, and not about")), "{error}");
}
