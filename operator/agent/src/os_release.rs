//! `/etc/os-release`, as os-release(5) describes it.

use std::collections::BTreeMap;

use hozen_api::node_inventory::OperatingSystem;

use crate::root::{ReadError, Root};

/// Files that may hold it, in the order that os-release(5) gives.
const PATHS: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];
/// Largest file that is read; real ones are below 1 KiB.
const BYTES_MAX: u64 = 64 << 10;
/// Longest value that is kept.
const VALUE_BYTES_MAX: usize = 200;

/// What image a system was made from, for those that are replaced and not patched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `IMAGE_ID`.
    pub id: String,
    /// `IMAGE_VERSION`.
    pub version: String,
}

/// Reads the system's name.
pub fn read(root: &Root) -> Result<OperatingSystem, ReadError> {
    Ok(parse(&text(root)?))
}

/// Reads what image the system was made from; none where it says none.
pub fn image(root: &Root) -> Result<Option<Image>, ReadError> {
    Ok(parse_image(&text(root)?))
}

fn text(root: &Root) -> Result<String, ReadError> {
    let mut outcome = Err(ReadError::Absent);
    for path in PATHS {
        outcome = root.text(path, BYTES_MAX);
        if !matches!(&outcome, Err(error) if error.is_absent()) {
            break;
        }
    }
    outcome
}

/// Parses the file's text. What is not given stays absent; `ID` is `linux` where it is not given, as os-release(5) says.
pub fn parse(text: &str) -> OperatingSystem {
    let fields = fields(text);
    let get = |name: &str| fields.get(name).cloned();
    OperatingSystem {
        id: get("ID").unwrap_or_else(|| "linux".to_owned()),
        version_id: get("VERSION_ID"),
        codename: get("VERSION_CODENAME"),
        id_like: get("ID_LIKE")
            .map(|likes| likes.split_whitespace().take(16).map(str::to_owned).collect())
            .unwrap_or_default(),
        pretty_name: get("PRETTY_NAME"),
        architecture: None,
    }
}

fn parse_image(text: &str) -> Option<Image> {
    let mut fields = fields(text);
    Some(Image { id: fields.remove("IMAGE_ID")?, version: fields.remove("IMAGE_VERSION")? })
}

/// Names and values that are not empty; of a name that is given twice the last one counts.
fn fields(text: &str) -> BTreeMap<&str, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let mut fields: BTreeMap<&str, String> = lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name, unquote(value)))
        .collect();
    fields.retain(|_, value| !value.is_empty());
    fields
}

/// Value without the shell's quotes and backslashes, without control characters, and no longer than is kept.
fn unquote(value: &str) -> String {
    let value = value.trim();
    let inner = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value);
    let mut plain = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        let character = match character {
            '\\' => characters.next().unwrap_or('\\'),
            other => other,
        };
        if plain.len() + character.len_utf8() > VALUE_BYTES_MAX {
            break;
        }
        if !character.is_control() {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_comments_and_escapes_are_read_as_the_shell_reads_them() {
        let os = parse(
            "# a comment\nID=almalinux\nVERSION_ID=\"9.4\"\nID_LIKE=\"rhel centos fedora\"\n\
             PRETTY_NAME='Alma\\'s'\nVERSION_CODENAME=\n",
        );

        assert_eq!((os.id.as_str(), os.version_id.as_deref()), ("almalinux", Some("9.4")));
        assert_eq!(os.id_like, ["rhel", "centos", "fedora"]);
        assert_eq!((os.pretty_name.as_deref(), os.codename), (Some("Alma's"), None));
    }

    #[test]
    fn an_image_has_a_name_and_a_version() {
        let image = Image { id: "worker".into(), version: "2".into() };
        let text = "ID=debian\nIMAGE_ID=worker\nIMAGE_VERSION=1\nIMAGE_VERSION=\"2\"\n";
        assert_eq!(parse_image(text), Some(image));
        assert_eq!(parse_image("IMAGE_ID=worker\nIMAGE_VERSION=\n"), None);
    }

    #[test]
    fn a_file_without_id_is_linux() {
        assert_eq!(parse("garbage").id, "linux");
    }
}
