//! One package's header, as rpm keeps it in its database: a table of tags over a store of values, both big-endian.
//!
//! A header is hostile input: every offset and count is checked against the store before it is used.

use smol_str::SmolStr;

use crate::package::Installed;

/// Largest header that is read. That of a kernel with its 20,000 files is about 4 MiB.
pub const HEADER_BYTES_MAX: usize = 64 << 20;
/// Bytes of one entry of the table: tag, type, offset, count.
const ENTRY_BYTES: usize = 16;
/// Most values of a list that are read; the largest packages have 100,000 files.
const VALUES_MAX: usize = 1_000_000;
/// Most needs of one package that are kept.
const NEEDS_MAX: usize = 1_000;

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const INSTALL_TIME: u32 = 1008;
const SIZE: u32 = 1009;
const ARCH: u32 = 1022;
const SOURCE_RPM: u32 = 1044;
const REQUIRE_NAME: u32 = 1049;
const DIR_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIR_NAMES: u32 = 1118;
const LONG_SIZE: u32 = 5009;

const TYPE_INT32: u32 = 4;
const TYPE_INT64: u32 = 5;
const TYPE_STRING: u32 = 6;
const TYPE_STRING_ARRAY: u32 = 8;
const TYPE_I18N_STRING: u32 = 9;

/// A header whose table was found to lie inside of its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    table: &'a [u8],
    store: &'a [u8],
}

struct Value<'a> {
    kind: u32,
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads the two lengths in front and cuts table and store; `None` where they do not fit.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let entries = usize::try_from(big32(bytes, 0)?).ok()?;
        let store = usize::try_from(big32(bytes, 4)?).ok()?;
        let rest = bytes.get(8..)?;
        let table = rest.get(..entries.checked_mul(ENTRY_BYTES)?)?;
        let store = rest.get(table.len()..)?.get(..store)?;
        Some(Self { table, store })
    }

    fn find(&self, tag: u32) -> Option<Value<'a>> {
        let entry =
            self.table.chunks_exact(ENTRY_BYTES).find(|entry| big32(entry, 0) == Some(tag))?;
        let offset = usize::try_from(big32(entry, 8)?).ok()?;
        Some(Value {
            kind: big32(entry, 4)?,
            count: usize::try_from(big32(entry, 12)?).ok()?.min(VALUES_MAX),
            bytes: self.store.get(offset..)?,
        })
    }

    /// First string of a tag.
    fn text(&self, tag: u32) -> Option<String> {
        self.texts(tag).next().map(|text| String::from_utf8_lossy(text).into_owned())
    }

    /// Strings of a tag.
    fn texts(&self, tag: u32) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let value = self.find(tag).filter(|value| {
            matches!(value.kind, TYPE_STRING | TYPE_STRING_ARRAY | TYPE_I18N_STRING)
        });
        let (mut rest, mut left) = value.map_or((&[][..], 0), |value| {
            (value.bytes, if value.kind == TYPE_STRING { 1 } else { value.count })
        });
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let end = memchr::memchr(0, rest)?;
            let text = &rest[..end];
            rest = &rest[end + 1..];
            Some(text)
        })
    }

    /// Numbers of a tag.
    fn numbers(&self, tag: u32) -> impl Iterator<Item = u64> + use<'a> {
        let value = self.find(tag);
        let (bytes, width, count) = match &value {
            Some(value) if value.kind == TYPE_INT32 => (value.bytes, 4, value.count),
            Some(value) if value.kind == TYPE_INT64 => (value.bytes, 8, value.count),
            Some(_) | None => (&[][..], 4, 0),
        };
        bytes
            .chunks_exact(width)
            .take(count)
            .map(|number| number.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
    }

    fn number(&self, tag: u32) -> Option<u64> {
        self.numbers(tag).next()
    }

    /// The package; `None` where the header does not name one, or names what no package is named. Keys that rpm imported
    /// (`gpg-pubkey`) are no software and none, too.
    pub fn package(&self) -> Option<Installed> {
        let name = self.text(NAME)?;
        let epoch = self.number(EPOCH).unwrap_or(0);
        let release = self.text(RELEASE)?;
        let version = with_epoch(epoch, &format!("{}-{release}", self.text(VERSION)?));
        let source = self.text(SOURCE_RPM).and_then(|archive| source_of(&archive, epoch));
        let needs = self.texts(REQUIRE_NAME).filter_map(|name| {
            let name = std::str::from_utf8(name).ok()?;
            // Libraries and files are needed by what they provide, not by name.
            (!name.contains(['(', '/'])).then(|| SmolStr::new(name))
        });
        let package = Installed {
            name,
            arch: self.text(ARCH).unwrap_or_default(),
            version,
            source,
            held: false,
            installed_bytes: self.number(LONG_SIZE).or_else(|| self.number(SIZE)).unwrap_or(0),
            needs: needs.take(NEEDS_MAX).collect(),
            essential: false,
            installed_at: self.number(INSTALL_TIME).and_then(|at| i64::try_from(at).ok()),
        };
        (package.name != "gpg-pubkey" && package.is_plausible()).then_some(package)
    }

    /// Files that the package put on disk, absolute.
    pub fn files(&self) -> Vec<String> {
        let folders: Vec<&[u8]> = self.texts(DIR_NAMES).collect();
        let folder_of = self.numbers(DIR_INDEXES);
        self.texts(BASE_NAMES)
            .zip(folder_of)
            .filter_map(|(name, folder)| {
                let folder = folders.get(usize::try_from(folder).ok()?)?;
                let path = [*folder, name].concat();
                Some(String::from_utf8_lossy(&path).into_owned())
            })
            .collect()
    }
}

fn big32(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// `1:3.0.7-24.el9`; an epoch of 0 is not written.
pub fn with_epoch(epoch: u64, version: &str) -> String {
    if epoch == 0 { version.to_owned() } else { format!("{epoch}:{version}") }
}

/// `openssl-3.0.7-24.el9.src.rpm`: name and version of the source package, with the binary's epoch as package URLs are read.
/// It is not taken for the source's where notices are looked up.
pub fn source_of(archive: &str, epoch: u64) -> Option<(String, String)> {
    let stem = archive.strip_suffix(".rpm")?;
    let stem = stem.strip_suffix(".src").or_else(|| stem.strip_suffix(".nosrc"))?;
    let (rest, release) = stem.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    Some((name.to_owned(), with_epoch(epoch, &format!("{version}-{release}"))))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A header of strings and numbers, as rpm would lay it out.
    pub fn header(strings: &[(u32, &str)], numbers: &[(u32, u32)]) -> Vec<u8> {
        let mut table = Vec::new();
        let mut store = Vec::new();
        let mut entry = |tag: u32, kind: u32, offset: usize| {
            for word in [tag, kind, u32::try_from(offset).unwrap(), 1] {
                table.extend(word.to_be_bytes());
            }
        };
        for (tag, text) in strings {
            entry(*tag, TYPE_STRING, store.len());
            store.extend(text.bytes().chain([0]));
        }
        for (tag, number) in numbers {
            entry(*tag, TYPE_INT32, store.len());
            store.extend(number.to_be_bytes());
        }
        let mut bytes = Vec::new();
        bytes.extend(u32::try_from(table.len() / ENTRY_BYTES).unwrap().to_be_bytes());
        bytes.extend(u32::try_from(store.len()).unwrap().to_be_bytes());
        [bytes, table, store].concat()
    }

    pub fn openssl() -> Vec<u8> {
        header(
            &[
                (NAME, "openssl-libs"),
                (VERSION, "3.0.7"),
                (RELEASE, "24.el9"),
                (ARCH, "x86_64"),
                (SOURCE_RPM, "openssl-3.0.7-24.el9.src.rpm"),
            ],
            &[(EPOCH, 1), (SIZE, 7_000), (INSTALL_TIME, 1_700_000_000)],
        )
    }

    #[test]
    fn a_package_is_read_with_epoch_and_source() {
        let package = Header::parse(&openssl()).unwrap().package().unwrap();

        assert_eq!(package.version, "1:3.0.7-24.el9");
        assert_eq!(package.source, Some(("openssl".into(), "1:3.0.7-24.el9".into())));
        assert_eq!((package.installed_bytes, package.installed_at), (7_000, Some(1_700_000_000)));
    }

    #[test]
    fn keys_are_no_software() {
        let key = header(&[(NAME, "gpg-pubkey"), (VERSION, "1"), (RELEASE, "1")], &[]);
        assert_eq!(Header::parse(&key).unwrap().package(), None);
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for lie in [&b""[..], &[0xff; 16], &[0, 0, 0, 1, 0, 0, 0, 0]] {
            assert!(Header::parse(lie).is_none());
        }
        let mut outside = openssl();
        outside[8 + 8..8 + 12].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(Header::parse(&outside).unwrap().package(), None);
    }

    #[test]
    fn source_archives_are_split_from_the_right() {
        let source = source_of("python3.11-pip-epel-22.3.1-5.el9.nosrc.rpm", 0);
        assert_eq!(source, Some(("python3.11-pip-epel".into(), "22.3.1-5.el9".into())));
        assert_eq!(source_of("(none)", 0), None);
    }
}
