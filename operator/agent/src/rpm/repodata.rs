//! A repository's metadata: `primary` (what it offers) and `updateinfo` (which of it fixes a weakness), read as streams.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    io::{self, BufReader, Read},
    rc::Rc,
};

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};
use smol_str::SmolStr;

use crate::{apt::index::is_sha256, compressed::Compression, root::Root};

use super::{header::with_epoch, repos::Repo};

/// Largest file of metadata, unpacked. Fedora's `primary` has 170 MB.
const METADATA_BYTES_MAX: u64 = 2 << 30;
/// Most offers of one repository that are kept.
const OFFERS_MAX: usize = 100_000;
/// Longest element, attribute list or text between two elements.
const EVENT_BYTES_MAX: usize = 4 << 20;
/// Longest text of one element that is kept.
const TEXT_BYTES_MAX: usize = 4_096;

/// A package that a repository offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Name.
    pub name: SmolStr,
    /// Architecture.
    pub arch: SmolStr,
    /// `epoch:version-release`, an epoch of 0 left out.
    pub version: SmolStr,
    /// SHA-256 of the archive; empty where it is identified by another sum.
    pub sha256: SmolStr,
    /// Bytes of the archive.
    pub download_bytes: u64,
    /// Bytes on disk.
    pub installed_bytes: u64,
}

/// Name, architecture and version of a package.
pub type Nevra = (SmolStr, SmolStr, SmolStr);

/// An attribute's value.
pub fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = tag.try_get_attribute(name).ok()??;
    let value = attribute.value;
    (value.len() <= TEXT_BYTES_MAX).then(|| value.into_owned())
}

fn version(tag: &BytesStart<'_>, names: [&str; 3]) -> SmolStr {
    let [epoch, version, release] = names.map(|name| attribute(tag, name).unwrap_or_default());
    let epoch = epoch.parse().unwrap_or(0);
    with_epoch(epoch, &format!("{version}-{release}")).into()
}

/// Reads what a repository offers of the wanted names.
pub fn offers(root: &Root, repo: &Repo, wanted: &BTreeSet<&str>) -> Result<Vec<Offer>, String> {
    let mut offers = Vec::new();
    let mut offer = Offer::default();
    let mut sum_is_sha256 = false;
    let mut text = String::new();
    each_event(root, repo, "primary", &mut |event| match event {
        Event::Start(tag) | Event::Empty(tag) => {
            text.clear();
            match tag.local_name().as_ref() {
                "package" => offer = Offer::default(),
                "version" => offer.version = version(tag, ["epoch", "ver", "rel"]),
                "checksum" => {
                    sum_is_sha256 = attribute(tag, "type").as_deref() == Some("sha256");
                }
                "size" => {
                    let bytes =
                        |name| attribute(tag, name).and_then(|text| text.parse().ok()).unwrap_or(0);
                    offer.download_bytes = bytes("package");
                    offer.installed_bytes = bytes("installed");
                }
                _ => {}
            }
        }
        Event::Text(part) => append(&mut text, part),
        Event::End(tag) => match tag.local_name().as_ref() {
            // `format` has elements of the same names; they come later and are in a namespace of their own.
            "name" if offer.name.is_empty() => offer.name = text.trim().into(),
            "arch" if offer.arch.is_empty() => offer.arch = text.trim().into(),
            "checksum" if sum_is_sha256 && is_sha256(text.trim()) => {
                offer.sha256 = text.trim().to_ascii_lowercase().into();
            }
            "package" if wanted.contains(offer.name.as_str()) && offers.len() < OFFERS_MAX => {
                offers.push(std::mem::take(&mut offer));
            }
            _ => {}
        },
        _ => {}
    })?;
    Ok(offers)
}

/// Reads which versions of the wanted names a repository publishes as fixes of weaknesses.
pub fn security(
    root: &Root,
    repo: &Repo,
    wanted: &BTreeSet<&str>,
) -> Result<BTreeSet<Nevra>, String> {
    let mut fixes = BTreeSet::new();
    let mut is_security = false;
    if !repo.data.contains_key("updateinfo") {
        return Ok(fixes);
    }
    each_event(root, repo, "updateinfo", &mut |event| {
        let (Event::Start(tag) | Event::Empty(tag)) = event else {
            return;
        };
        match tag.local_name().as_ref() {
            "update" => is_security = attribute(tag, "type").as_deref() == Some("security"),
            "package" if is_security && fixes.len() < OFFERS_MAX => {
                let name = attribute(tag, "name").unwrap_or_default();
                if wanted.contains(name.as_str()) {
                    let arch = attribute(tag, "arch").unwrap_or_default();
                    let version = version(tag, ["epoch", "version", "release"]);
                    fixes.insert((name.into(), arch.into(), version));
                }
            }
            _ => {}
        }
    })?;
    Ok(fixes)
}

fn append(text: &mut String, part: &str) {
    if text.len() + part.len() <= TEXT_BYTES_MAX {
        text.push_str(part);
    }
}

/// A stream that gives no more than some bytes between two events, so that an element without end takes no memory.
struct Rationed<R> {
    stream: R,
    ration: Rc<Cell<usize>>,
}

impl<R: Read> Read for Rationed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ration = self.ration.get();
        if ration == 0 {
            let message = format!("has an element of more than {EVENT_BYTES_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let most = buffer.len().min(ration);
        let read = self.stream.read(&mut buffer[..most])?;
        self.ration.set(ration - read);
        Ok(read)
    }
}

/// Reads one file of metadata as events.
fn each_event(
    root: &Root,
    repo: &Repo,
    kind: &str,
    each: &mut dyn FnMut(&Event<'_>),
) -> Result<(), String> {
    let path = repo.data.get(kind).ok_or_else(|| format!("repomd.xml names no {kind}"))?;
    let path = format!("{}/{path}", repo.folder);
    let file = root.file(&path).map_err(|error| format!("{path} {error}"))?;
    let failed = |error: &dyn std::fmt::Display| format!("{path} could not be read ({error})");
    let stream =
        Compression::of(&path).unpack(file, METADATA_BYTES_MAX).map_err(|error| failed(&error))?;
    let ration = Rc::new(Cell::new(EVENT_BYTES_MAX));
    let stream = Rationed { stream, ration: Rc::clone(&ration) };
    let mut reader = Reader::from_reader(BufReader::with_capacity(64 << 10, stream));
    let mut buffer = Vec::new();
    loop {
        match reader.read_event_into(&mut buffer) {
            Ok(Event::Eof) => return Ok(()),
            Ok(event) => each(&event),
            Err(error) => return Err(failed(&error)),
        }
        buffer.clear();
        ration.set(EVENT_BYTES_MAX);
    }
}

/// Offers by name and architecture, as far as a repository of lower priority does not hide them.
pub fn visible(offers: Vec<(u32, Offer)>) -> BTreeMap<(SmolStr, SmolStr), Vec<Offer>> {
    let mut best = BTreeMap::<SmolStr, u32>::new();
    for (priority, offer) in &offers {
        let known = best.entry(offer.name.clone()).or_insert(*priority);
        *known = (*known).min(*priority);
    }
    let mut visible = BTreeMap::<_, Vec<Offer>>::new();
    for (priority, offer) in offers {
        if best.get(&offer.name) == Some(&priority) {
            visible.entry((offer.name.clone(), offer.arch.clone())).or_default().push(offer);
        }
    }
    visible
}
