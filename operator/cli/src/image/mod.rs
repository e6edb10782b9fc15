//! `hozen image import`: what is in an image, handed in by somebody who may say it.

mod archive;
mod layers;
mod ration;

use std::{fs::File, io::Read, path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use hozen_advisory::{
    limits::read_up_to,
    package::PackageSet,
    sbom::{self, SBOM_BYTES_MAX},
};
use hozen_agent::{
    manifests,
    root::Root,
    scan::{Options, scan},
};
use hozen_api::{
    managed_image::{ManagedImage, ManagedImageSpec},
    node_inventory::NotRead,
    package_set,
};
use hozen_domain::workload::ImageUse;
use hozen_intake::{
    convert::{sbom_report, workload::reference},
    problem::told,
};
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::{
    args::{At, Output},
    cluster,
    error::Failed,
    print,
    text::page::{FAINT, Page, STRONG, paint},
};

/// Column at which values begin.
const COLUMN: usize = 13;

/// `hozen image`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say what is in an image: from a bill of materials (CycloneDX or SPDX in JSON), or from an archive of the image in the OCI layout.
    ///
    /// An archive's own bill of materials is taken, if one lies in it; otherwise the package databases of its layers are read.
    Import(Import),
}

/// `hozen image import`.
#[derive(Debug, Args)]
pub struct Import {
    /// Bill of materials, or archive of an image.
    pub file: PathBuf,
    /// The image, where the file does not say it: `registry.example.com/shop/web:1.3@sha256:…`.
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// When it was built, where the file does not say it: of several fixed images the newest is chosen.
    #[arg(long, value_name = "INSTANT")]
    pub created: Option<Timestamp>,
    /// Of an image for several platforms, the one whose packages are read.
    #[arg(long, value_name = "NAME", default_value = "amd64")]
    pub architecture: String,
    /// Write the manifests instead of recording them in the cluster.
    #[arg(short, long, default_value = "text", value_name = "FORM")]
    pub output: Output,
    /// Which cluster.
    #[command(flatten)]
    pub at: At,
}

/// Why an image was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file cannot be used.
    #[error("{}: {why}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why, and what to do.
        why: String,
    },
    /// The manifests cannot be written.
    #[error("the manifests could not be written ({0})")]
    Written(String),
}

/// What a file says of an image.
struct Told {
    reference: Option<String>,
    digest: Option<String>,
    created: Option<Timestamp>,
    packages: PackageSet,
    /// Where the packages stood.
    source: String,
    /// Components that could not be read.
    unreadable: u64,
}

/// Does what was typed, at the time `now`.
pub fn run(command: &Command, now: Timestamp) -> Result<ExitCode, Failed> {
    let Command::Import(asked) = command;
    let told =
        read(asked, now).map_err(|why| ImageError::File { file: asked.file.clone(), why })?;
    let (image, sets) =
        objects(asked, &told).map_err(|why| ImageError::File { file: asked.file.clone(), why })?;
    if asked.output != Output::Text {
        return print(&written(asked.output, &image, &sets)?);
    }
    let new = cluster::import(&asked.at, &image, &sets)?;
    print(&page(&image, &told, new))
}

fn read(asked: &Import, now: Timestamp) -> Result<Told, String> {
    let mut file =
        File::open(&asked.file).map_err(|error| format!("could not be opened ({error})"))?;
    let mut head = [0; 512];
    let got = file.read(&mut head).map_err(|error| format!("could not be read ({error})"))?;
    let first = head[..got].iter().find(|byte| !byte.is_ascii_whitespace() && **byte < 0x80);
    if first == Some(&b'{') { bill(asked) } else { image(asked, now) }
}

fn bill(asked: &Import) -> Result<Told, String> {
    let file = File::open(&asked.file).map_err(|error| format!("could not be opened ({error})"))?;
    let bytes = read_up_to(file, SBOM_BYTES_MAX).map_err(|error| told(&error))?;
    let sbom = sbom::read(&bytes)
        .map_err(|error| format!("it is no bill of materials: {}", told(&error)))?;
    let mut named = sbom_report::images(&bytes).into_iter();
    let digest = named.next().filter(|_| named.next().is_none());
    Ok(Told {
        reference: sbom.subject.as_ref().map(ToString::to_string),
        digest: digest.map(Into::into),
        created: None,
        packages: sbom.set,
        source: sbom.format.to_string(),
        unreadable: sbom.skipped.count,
    })
}

fn image(asked: &Import, now: Timestamp) -> Result<Told, String> {
    let found =
        archive::read(&asked.file, &asked.architecture).map_err(|error| error.to_string())?;
    let (packages, source, unreadable) = if let Some(bill) = &found.bill {
        let sbom = sbom::read(bill).map_err(|error| {
            format!("the bill of materials in it cannot be read: {}", told(&error))
        })?;
        (sbom.set, format!("{} in the archive", sbom.format), sbom.skipped.count)
    } else {
        let (packages, source) = databases(&found.files, now)?;
        (packages, source, 0)
    };
    Ok(Told {
        reference: found.reference,
        digest: Some(found.digest),
        created: found.created,
        packages,
        source: if found.architecture.is_empty() {
            source
        } else {
            format!("{source}, {}", found.architecture)
        },
        unreadable,
    })
}

/// What the package databases of the layers say, read as a node's scanner would.
fn databases(files: &layers::Layers, now: Timestamp) -> Result<(PackageSet, String), String> {
    let folder = tempfile::tempdir().map_err(|error| format!("could not be laid out ({error})"))?;
    files.write(folder.path()).map_err(|error| format!("could not be laid out ({error})"))?;
    let root =
        Root::open(folder.path()).map_err(|error| format!("could not be laid out: it {error}"))?;
    let found =
        scan(&root, &Options { now, resolve: false, asks: Vec::new(), chamber: None, own: None });
    if let Some(NotRead { what, why, .. }) = found.report.not_read.iter().find(|n| n.partial) {
        return Err(format!(
            "a part of what is installed in it is not known ({what}: {why}): hand in its SBOM instead"
        ));
    }
    match found.report.package_manager {
        Some(manager) => Ok((found.packages, format!("the database of {manager} in its layers"))),
        None => Err(
            "it holds no bill of materials and no package database that is read (dpkg, rpm, apk): hand in its SBOM instead"
                .to_owned(),
        ),
    }
}

fn objects(
    asked: &Import,
    told: &Told,
) -> Result<(ManagedImage, Vec<package_set::PackageSet>), String> {
    let typed = asked.image.as_deref().map(reference);
    let named = told.reference.as_deref().map(reference);
    let pinned = |used: &Option<ImageUse>| used.as_ref().and_then(|used| used.pinned.clone());
    let known = told.digest.as_deref().map(Into::into).or_else(|| pinned(&named));
    let digest = match (pinned(&typed), known) {
        (Some(typed), Some(known)) if typed != known => {
            return Err(format!("it is about {known}, and not about {typed}"));
        }
        (Some(digest), _) | (None, Some(digest)) => digest,
        (None, None) => {
            return Err(
                "it does not say of which image it is: give --image registry.example.com/shop/web:1.3@sha256:…".to_owned()
            );
        }
    };
    let used = typed.or_else(|| named.filter(|used| used.repository.contains('/')));
    let spec = ManagedImageSpec {
        digest: digest.to_string(),
        repositories: used.iter().map(|used| used.repository.to_string()).collect(),
        tag: used.and_then(|used| used.tag).map(Into::into),
        created: asked.created.or(told.created),
        package_set: Some(told.packages.digest.to_string()),
    };
    let image = ManagedImage::new(&spec.digest.replace(':', "-"), spec);
    Ok((image, manifests::package_sets(&told.packages)))
}

fn written(
    output: Output,
    image: &ManagedImage,
    sets: &[package_set::PackageSet],
) -> Result<String, ImageError> {
    let fault = |error: &dyn std::error::Error| ImageError::Written(error.to_string());
    let mut values = Vec::new();
    for set in sets {
        values.push(serde_json::to_value(set).map_err(|error| fault(&error))?);
    }
    values.push(serde_json::to_value(image).map_err(|error| fault(&error))?);
    if output == Output::Json {
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": values});
        return Ok(serde_json::to_string_pretty(&list).map_err(|error| fault(&error))? + "\n");
    }
    let mut text = String::new();
    for value in values {
        text.push_str("---\n");
        text.push_str(&serde_yaml::to_string(&value).map_err(|error| fault(&error))?);
    }
    Ok(text)
}

fn page(image: &ManagedImage, told: &Told, new: bool) -> String {
    let ManagedImageSpec { digest, repositories, tag, created, package_set } = &image.spec;
    let mut page = Page::new(crate::terminal::columns(&std::io::stdout()));
    let name = match (repositories.first(), tag) {
        (Some(repository), Some(tag)) => format!("{repository}:{tag}"),
        (Some(repository), None) => repository.clone(),
        (None, _) => "of no repository that is known".to_owned(),
    };
    let mut row = |name: &str, text: &str| page.hang(&format!("{name:COLUMN$}"), text, COLUMN);
    row("image", &paint(STRONG, name));
    row("digest", digest);
    if let Some(created) = created {
        row("built", &created.to_string());
    }
    row("packages", &format!("{}, from {}", told.packages.packages.len(), told.source));
    if told.unreadable > 0 {
        let components = if told.unreadable == 1 { "component" } else { "components" };
        let what = format!(
            "{} {components}; the image stays unknown for those of them that may be packages",
            told.unreadable
        );
        row("not readable", &what);
    }
    row("package set", package_set.as_deref().unwrap_or_default());
    let how = if new { "as a new ManagedImage" } else { "in its ManagedImage" };
    row("recorded", &format!("{how} {}", paint(FAINT, image.name_any())));
    page.finish()
}
