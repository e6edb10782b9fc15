//! Archives of images in the OCI layout, as `skopeo`, `buildx` and `ctr` write them: which image it is, the bill of materials that lies
//! beside it, and the files of its layers that say which packages are installed.
//!
//! An archive comes from strangers: nothing of it is run, no path of it is written to, everything is bounded, and each blob must have the
//! digest that it is named by.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom, Take},
    path::Path,
};

use hozen_agent::compressed::Compression;
use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use super::{layers::Layers, ration::Ration};

/// Largest JSON document of an archive; SBOMs have a limit of their own.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// Most entries of an archive.
const ENTRIES_MAX: usize = 100_000;
/// Most manifests that are looked at; an image for ten platforms has twenty.
const MANIFESTS_MAX: usize = 200;
/// Unpacked bytes of one layer.
const LAYER_BYTES_MAX: u64 = 32 << 30;

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file cannot be read.
    #[error("it could not be read ({0})")]
    Io(#[from] io::Error),
    /// Not an archive of this kind.
    #[error("{0}")]
    Form(String),
    /// A document in it is not what it must be.
    #[error("{what} is not understood ({source})")]
    Document {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A blob is not what its name says.
    #[error("the blob {0} does not have that digest: the archive is damaged or altered")]
    Altered(String),
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    digest: String,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    subject: Option<Descriptor>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    created: Option<Timestamp>,
    architecture: String,
}

/// A statement about an image, as `buildx` attests it.
#[derive(Deserialize)]
struct Statement {
    predicate: serde_json::Value,
}

/// What an archive says of its image.
#[derive(Debug)]
pub struct Image {
    /// Digest by which registries know it: `sha256:…`.
    pub digest: String,
    /// Name and tag, where the archive says them.
    pub reference: Option<String>,
    /// When it was built.
    pub created: Option<Timestamp>,
    /// Platform whose layers were read.
    pub architecture: String,
    /// The bill of materials that lies in it, if there is one.
    pub bill: Option<Vec<u8>>,
    /// Files that say which packages are installed, as the layers leave them.
    pub files: Layers,
}

/// An open archive: where each of its entries lies.
struct Archive {
    file: File,
    entries: BTreeMap<String, (u64, u64)>,
}

/// Reads an archive. Of an image for several platforms that of `architecture` is read.
pub fn read(path: &Path, architecture: &str) -> Result<Image, ArchiveError> {
    let mut archive = Archive::open(path)?;
    let index: Index = archive.json("index.json", "index.json")?;
    let top = images(&index.manifests).collect::<Vec<_>>();
    let top = only(&top)?.clone();
    let mut all = index.manifests;
    let nested = top.media_type.contains("index") || top.media_type.contains("manifest.list");
    let chosen = if nested {
        let inner: Index = archive.blob_json(&top.digest)?;
        let found = platform(&inner.manifests, architecture)?;
        all.extend(inner.manifests);
        found
    } else {
        top.clone()
    };
    all.truncate(MANIFESTS_MAX);
    let manifest: Manifest = archive.blob_json(&chosen.digest)?;
    let config: Config = match &manifest.config {
        Some(config) => archive.blob_json(&config.digest)?,
        None => Config::default(),
    };
    let bill = archive.bill(&all, &[&top.digest, &chosen.digest])?;
    let mut files = Layers::default();
    for layer in &manifest.layers {
        archive.layer(layer, &mut files)?;
    }
    let named = |entry: &Descriptor| {
        ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
            .iter()
            .find_map(|key| entry.annotations.get(*key).cloned())
    };
    Ok(Image {
        reference: named(&top),
        digest: top.digest,
        created: config.created,
        architecture: config.architecture,
        bill,
        files,
    })
}

fn only<'a>(found: &[&'a Descriptor]) -> Result<&'a Descriptor, ArchiveError> {
    match found {
        [one] => Ok(one),
        [] => Err(ArchiveError::Form("its index.json names no image".to_owned())),
        many => Err(ArchiveError::Form(format!(
            "its index.json names {} images; write each into an archive of its own",
            many.len()
        ))),
    }
}

/// Manifests of images, without what was attested of them.
fn images(manifests: &[Descriptor]) -> impl Iterator<Item = &Descriptor> {
    manifests.iter().filter(|entry| !entry.annotations.contains_key("vnd.docker.reference.type"))
}

fn platform(manifests: &[Descriptor], architecture: &str) -> Result<Descriptor, ArchiveError> {
    let images = || images(manifests);
    let fits = |entry: &&Descriptor| {
        entry
            .platform
            .as_ref()
            .is_some_and(|platform| platform.architecture == architecture && platform.os == "linux")
    };
    let named = |entry: &Descriptor| {
        entry
            .platform
            .as_ref()
            .map_or_else(|| "unknown".into(), |p| format!("{}/{}", p.os, p.architecture))
    };
    images().find(fits).cloned().ok_or_else(|| {
        let there: Vec<String> = images().map(named).collect();
        ArchiveError::Form(format!(
            "it holds no image for linux/{architecture}, only for {}; choose with --architecture",
            there.join(", ")
        ))
    })
}

impl Archive {
    fn open(path: &Path) -> Result<Self, ArchiveError> {
        let file = File::open(path)?;
        let mut entries = BTreeMap::new();
        let ration = Ration::default();
        let stream = ration.clone().of(BufReader::new(file.try_clone()?));
        let mut tar = tar::Archive::new(stream);
        let mut heads = tar.entries_with_seek()?;
        while let Some(entry) = ration.for_a_head(|| heads.next()) {
            // The parser's words quote the file, which may be anything.
            let entry = entry.map_err(|_| {
                let what =
                    "it is neither a bill of materials in JSON nor an archive that can be read";
                ArchiveError::Form(what.to_owned())
            })?;
            if entries.len() >= ENTRIES_MAX {
                let what = format!("it has more than {ENTRIES_MAX} entries, the limit");
                return Err(ArchiveError::Form(what));
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = name.trim_start_matches("./").to_owned();
            if entry.header().entry_type().is_file() {
                entries.insert(name, (entry.raw_file_position(), entry.size()));
            }
        }
        if !entries.contains_key("index.json") {
            let what = if entries.contains_key("manifest.json") {
                "it is an archive of an old `docker save`, without the digest that registries know: write it with \
                 `skopeo copy docker-archive:FILE oci-archive:NEW`"
            } else {
                "it is no image archive in the OCI layout: there is no index.json in it"
            };
            return Err(ArchiveError::Form(what.to_owned()));
        }
        Ok(Self { file, entries })
    }

    fn entry(&mut self, name: &str) -> Result<Take<BufReader<File>>, ArchiveError> {
        let Some((at, size)) = self.entries.get(name).copied() else {
            return Err(ArchiveError::Form(format!("it names {name}, which is not in it")));
        };
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(at))?;
        Ok(BufReader::new(file).take(size))
    }

    fn bytes(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let entry = self.entry(name)?;
        if entry.limit() > limit {
            let what = format!("{name} in it is larger than the limit of {limit} bytes");
            return Err(ArchiveError::Form(what));
        }
        let mut entry = entry;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn json<T: DeserializeOwned>(&mut self, name: &str, what: &str) -> Result<T, ArchiveError> {
        let bytes = self.bytes(name, DOCUMENT_BYTES_MAX)?;
        parse(&bytes, what)
    }

    fn blob(&mut self, digest: &str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let bytes = self.bytes(&path_of(digest)?, limit)?;
        same(digest, &Sha256::digest(&bytes))?;
        Ok(bytes)
    }

    fn blob_json<T: DeserializeOwned>(&mut self, digest: &str) -> Result<T, ArchiveError> {
        parse(&self.blob(digest, DOCUMENT_BYTES_MAX)?, digest)
    }

    /// The bill of materials that lies beside the image: as an attestation of the build, or as an artefact about the image.
    fn bill(
        &mut self,
        all: &[Descriptor],
        of: &[&String],
    ) -> Result<Option<Vec<u8>>, ArchiveError> {
        for entry in all.iter().filter(|entry| entry.media_type.contains("manifest.v1")) {
            // What an index names need not have been written into the archive.
            if !self.entries.contains_key(&path_of(&entry.digest)?) {
                continue;
            }
            let manifest: Manifest = self.blob_json(&entry.digest)?;
            let attested = entry.annotations.get("vnd.docker.reference.digest");
            let about = manifest.subject.as_ref().map(|subject| &subject.digest).or(attested);
            if about.is_none_or(|about| !of.contains(&about)) {
                continue;
            }
            for layer in &manifest.layers {
                let kind = layer.annotations.get("in-toto.io/predicate-type");
                let words = format!("{} {}", layer.media_type, kind.map_or("", String::as_str));
                let words = words.to_lowercase();
                if !words.contains("spdx") && !words.contains("cyclonedx") {
                    continue;
                }
                let bytes = self.blob(&layer.digest, hozen_advisory::sbom::SBOM_BYTES_MAX)?;
                if !layer.media_type.contains("in-toto") {
                    return Ok(Some(bytes));
                }
                let statement: Statement = parse(&bytes, "its attestation")?;
                return Ok(Some(statement.predicate.to_string().into_bytes()));
            }
        }
        Ok(None)
    }

    /// Lays a layer over those before it.
    fn layer(&mut self, layer: &Descriptor, files: &mut Layers) -> Result<(), ArchiveError> {
        let way = match layer.media_type.as_str() {
            kind if kind.ends_with("+zstd") => Compression::Zstd,
            kind if kind.contains("gzip") => Compression::Gzip,
            kind if kind.contains("tar") => Compression::None,
            other => {
                return Err(ArchiveError::Form(format!(
                    "its layer is of the type {other}, which is not read"
                )));
            }
        };
        let entry = self.entry(&path_of(&layer.digest)?)?;
        let mut hashed = Hashed { stream: entry, hash: Sha256::new() };
        let mut lay = || -> Result<(), ArchiveError> {
            let mut unpacked = way.unpack(&mut hashed, LAYER_BYTES_MAX)?;
            files.lay(&mut unpacked)?;
            // What follows the archive's end is part of the digest too.
            io::copy(&mut unpacked, &mut io::sink())?;
            Ok(())
        };
        let laid = lay();
        // First: what was altered may not even be read, and that is the lesser news.
        io::copy(&mut hashed, &mut io::sink())?;
        same(&layer.digest, &hashed.hash.finalize())?;
        laid
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, ArchiveError> {
    serde_json::from_slice(bytes)
        .map_err(|source| ArchiveError::Document { what: what.to_owned(), source })
}

/// Where the blob of a digest lies.
fn path_of(digest: &str) -> Result<String, ArchiveError> {
    let hex = digest
        .strip_prefix("sha256:")
        .filter(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let hex = hex.ok_or_else(|| {
        ArchiveError::Form(format!("`{digest}` in it is no digest of the form sha256:…"))
    })?;
    Ok(format!("blobs/sha256/{hex}"))
}

fn same(digest: &str, hash: &[u8]) -> Result<(), ArchiveError> {
    let hex = hash.iter().fold(String::new(), |mut hex, byte| {
        use std::fmt::Write as _;
        write!(hex, "{byte:02x}").ok();
        hex
    });
    if digest.strip_prefix("sha256:") == Some(hex.as_str()) {
        Ok(())
    } else {
        Err(ArchiveError::Altered(digest.to_owned()))
    }
}

/// A stream that is hashed as it is read.
struct Hashed<R> {
    stream: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(into)?;
        self.hash.update(&into[..count]);
        Ok(count)
    }
}
