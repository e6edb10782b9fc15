//! Indices of packages on disk: which versions of the wanted packages the repositories offer.

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;
use smol_str::SmolStr;

use crate::{
    compressed::Compression,
    dpkg::source_of,
    package::Installed,
    root::{ReadError, Root},
    stanza::{Paragraph, Stanzas, first_field, parse},
    unread::Unread,
};

use super::{
    native_arch,
    preferences::Place,
    release::{self, Release},
    sources::Target,
};

/// Largest index, unpacked. Debian's `main` has 50 MB.
const INDEX_BYTES_MAX: u64 = 1 << 30;
/// Most offers that are kept in all.
const OFFERS_MAX: usize = 500_000;

/// Names of packages, looked up once for every package of an archive.
pub type Names<'a> = FxHashSet<&'a str>;

/// An index that is on disk.
#[derive(Clone, Debug)]
pub struct Index {
    /// What names it.
    pub target: Target,
    /// Its path below the root, with the end that compression gives it.
    pub path: String,
    /// How it is compressed.
    pub compression: Compression,
    /// What its repository says of itself.
    pub release: Option<Release>,
}

impl Index {
    /// As pins see it.
    pub fn place(&self) -> Place<'_> {
        Place::Index {
            release: self.release.as_ref(),
            site: &self.target.site,
            component: &self.target.component,
            arch: &self.target.arch,
        }
    }

    /// When its repository was made so, in seconds since 1970.
    fn date(&self) -> Option<i64> {
        self.release.as_ref()?.date
    }

    /// Whether it is a security pocket's.
    pub fn is_security(&self) -> bool {
        self.release.as_ref().is_some_and(Release::is_security)
    }
}

/// A version that at least one index offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Version.
    pub version: SmolStr,
    /// Source package and its version.
    pub source: (SmolStr, SmolStr),
    /// SHA-256 of the archive, hex; empty where the index has none.
    pub sha256: SmolStr,
    /// Bytes of the archive.
    pub download_bytes: u64,
    /// Bytes on disk.
    pub installed_bytes: u64,
    /// Numbers of the indices that offer it, in apt's order.
    pub indices: Vec<usize>,
}

/// Offers by package name and architecture.
#[derive(Debug, Default)]
pub struct Offers {
    by_package: BTreeMap<(SmolStr, SmolStr), Vec<Offer>>,
    count: usize,
}

impl Offers {
    /// Offers of one package; packages for every architecture are found under the native one.
    pub fn of(&self, name: &str, arch: &str) -> &[Offer] {
        let key = (SmolStr::new(name), SmolStr::new(arch));
        self.by_package.get(&key).map_or(&[], Vec::as_slice)
    }

    /// The offer of one version.
    pub fn version(&self, name: &str, arch: &str, version: &str) -> Option<&Offer> {
        self.of(name, arch).iter().find(|offer| offer.version == version)
    }

    /// Every offer with its package's name and architecture.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Offer)> {
        let packages = self.by_package.iter();
        packages.flat_map(|((name, arch), offers)| {
            offers.iter().map(move |offer| (name.as_str(), arch.as_str(), offer))
        })
    }

    fn add(&mut self, name: &str, arch: &str, offer: Offer) {
        let offers = self.by_package.entry((name.into(), arch.into())).or_default();
        match offers.iter_mut().find(|known| known.version == offer.version) {
            Some(known) => known.indices.extend(offer.indices),
            None if self.count < OFFERS_MAX => {
                self.count += 1;
                offers.push(offer);
            }
            None => {}
        }
    }
}

/// Indices of the targets that are on disk, in apt's order.
pub fn find(root: &Root, targets: &[Target], unread: &mut Unread) -> Vec<Index> {
    let mut releases: BTreeMap<&str, Option<Release>> = BTreeMap::new();
    let mut indices = Vec::new();
    for target in targets {
        let found = Compression::ALL.into_iter().find_map(|compression| {
            let path = format!("{}{}", target.index, compression.suffix());
            root.has(&path).then_some((path, compression))
        });
        let Some((path, compression)) = found else {
            continue;
        };
        let release = releases
            .entry(&target.release)
            .or_insert_with(|| release::read(root, target, unread))
            .clone();
        let for_all = target.arch == "all";
        if for_all && !release.as_ref().is_some_and(|release| release.has_index_for_all) {
            continue;
        }
        if indices.iter().any(|index: &Index| index.path == path) {
            continue;
        }
        indices.push(Index { target: target.clone(), path, compression, release });
    }
    indices
}

/// Whether some indices lack one that others have, or have one as its repository was before.
pub fn are_behind(ours: &[Index], theirs: &[Index]) -> bool {
    theirs.iter().any(|their| {
        let our = ours.iter().find(|our| our.target == their.target);
        our.is_none_or(|our| our.date() < their.date())
    })
}

/// Reads from every index what it offers for the wanted names. An index that cannot be read to its end is noted: what it
/// offers is then known in part only.
pub fn offers(
    root: &Root,
    indices: &[Index],
    wanted: &Names<'_>,
    native: &str,
    unread: &mut Unread,
) -> Offers {
    let mut offers = Offers::default();
    for (number, index) in indices.iter().enumerate() {
        if let Err(error) = read(root, index, number, wanted, native, &mut offers) {
            unread.note(&index.path, error);
        }
    }
    if offers.count == OFFERS_MAX {
        unread.note("package indices", format!("offer more than {OFFERS_MAX} versions"));
    }
    offers
}

fn read(
    root: &Root,
    index: &Index,
    number: usize,
    wanted: &Names<'_>,
    native: &str,
    offers: &mut Offers,
) -> Result<(), ReadError> {
    let stream = index.compression.unpack(root.file(&index.path)?, INDEX_BYTES_MAX)?;
    Stanzas::new(stream).for_each(|paragraph| {
        let is_wanted = match first_field(paragraph, b"Package") {
            Some(name) => std::str::from_utf8(name).is_ok_and(|name| wanted.contains(name)),
            None => true,
        };
        if !is_wanted {
            return;
        }
        let text = String::from_utf8_lossy(paragraph);
        let Some((package, offer)) = parse(&text).next().and_then(|fields| offer(&fields, number))
        else {
            return;
        };
        if wanted.contains(package.name.as_str()) {
            offers.add(&package.name, native_arch(&package.arch, native), offer);
        }
    })?;
    Ok(())
}

fn offer(fields: &Paragraph<'_>, number: usize) -> Option<(Installed, Offer)> {
    let version = fields.get("Version")?;
    let name = fields.get("Package")?;
    let source = match fields.get("Source") {
        Some(source) => source_of(source, version),
        None => (name.to_owned(), version.to_owned()),
    };
    let sha256 = fields.get("SHA256").filter(|hex| is_sha256(hex)).unwrap_or_default();
    let offer = Offer {
        version: version.into(),
        source: (source.0.as_str().into(), source.1.as_str().into()),
        sha256: sha256.to_ascii_lowercase().into(),
        download_bytes: fields.number("Size").unwrap_or(0),
        installed_bytes: fields.number("Installed-Size").unwrap_or(0).saturating_mul(1024),
        indices: vec![number],
    };
    let package = Installed {
        name: name.to_owned(),
        arch: fields.get("Architecture").unwrap_or_default().to_owned(),
        version: version.to_owned(),
        source: Some(source),
        ..Installed::default()
    };
    package.is_plausible().then_some((package, offer))
}

/// Whether the text is the hex form of a SHA-256.
pub fn is_sha256(hex: &str) -> bool {
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}
