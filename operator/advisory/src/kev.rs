//! CISA's catalogue of known exploited vulnerabilities (KEV), JSON.
//!
//! Schema: <https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities_schema.json>.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Deserialize;
use smol_str::SmolStr;

use crate::limits::{Bounded, LimitHit, guard_json};
use crate::notice::KnownExploited;
use crate::skipped::Skipped;

/// Largest catalogue, in bytes; that of 2025 has 1.3 MB.
pub const CATALOGUE_BYTES_MAX: u64 = 64 << 20;

/// The catalogue: entries by CVE id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// Its version, as `2025.08.25`; sorts as it grows, and must not go backwards (I-22).
    pub version: SmolStr,
    /// When it was released.
    pub released: Option<Timestamp>,
    /// What is known of each CVE.
    pub entries: BTreeMap<SmolStr, KnownExploited>,
    /// Entries that could not be used.
    pub skipped: Skipped,
}

/// Why a catalogue could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KevError {
    /// Too large, too deep, too long.
    #[error(transparent)]
    Limit(#[from] LimitHit),
    /// Not JSON, or not a catalogue.
    #[error("it is not a KEV catalogue: {what}")]
    Form {
        /// The parser's words, with line and column.
        what: String,
    },
    /// It says how many entries it has, and has not so many: it was cut.
    #[error("it says that it has {said} entries, but {found} are there")]
    Cut {
        /// Its own count.
        said: u64,
        /// The entries that were found.
        found: u64,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(borrow)]
    catalog_version: Cow<'a, str>,
    #[serde(borrow)]
    date_released: Option<Cow<'a, str>>,
    count: Option<u64>,
    #[serde(borrow)]
    vulnerabilities: Bounded<MaybeEntry<'a>, 100_000>,
}

/// One broken entry must not take the catalogue with it.
#[derive(Deserialize)]
#[serde(untagged)]
enum MaybeEntry<'a> {
    Entry(#[serde(borrow)] Entry<'a>),
    Broken(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(rename = "cveID")]
    cve_id: Cow<'a, str>,
    date_added: Cow<'a, str>,
    due_date: Option<Cow<'a, str>>,
    known_ransomware_campaign_use: Option<Cow<'a, str>>,
}

/// Reads a catalogue.
pub fn read(bytes: &[u8]) -> Result<Catalogue, KevError> {
    guard_json(bytes, CATALOGUE_BYTES_MAX)?;
    let document: Document<'_> = serde_json::from_slice(bytes)
        .map_err(|error| KevError::Form { what: error.to_string() })?;
    let found = document.vulnerabilities.0.len() as u64;
    if let Some(said) = document.count.filter(|&said| said != found) {
        return Err(KevError::Cut { said, found });
    }
    let mut catalogue = Catalogue {
        version: SmolStr::new(document.catalog_version),
        released: document.date_released.and_then(|released| released.parse().ok()),
        ..Catalogue::default()
    };
    for (position, entry) in document.vulnerabilities.0.iter().enumerate() {
        match entry.read() {
            Ok((cve, known)) => {
                catalogue.entries.insert(cve, known);
            }
            Err(why) => {
                let place = || format!("vulnerabilities[{position}]");
                catalogue.skipped.push(place, || why);
            }
        }
    }
    Ok(catalogue)
}

impl MaybeEntry<'_> {
    fn read(&self) -> Result<(SmolStr, KnownExploited), String> {
        let Self::Entry(entry) = self else {
            return Err("cveID and dateAdded are needed, as texts".to_owned());
        };
        if !is_cve(&entry.cve_id) {
            return Err(format!("cveID is `{}`, expected CVE-2025-12345", entry.cve_id));
        }
        let day = |name: &str, text: &str| {
            text.parse::<Date>()
                .map_err(|_| format!("{name} is `{text}`, expected a day as 2025-08-25"))
        };
        let due = entry.due_date.as_deref();
        let known = KnownExploited {
            since: day("dateAdded", &entry.date_added)?,
            due: due.map(|due| day("dueDate", due)).transpose()?,
            ransomware: entry.known_ransomware_campaign_use.as_deref() == Some("Known"),
        };
        Ok((SmolStr::new(&entry.cve_id), known))
    }
}

/// Whether a text has the form of a CVE id: a year of four digits, a number of four to nineteen (CVE record format 5).
pub(crate) fn is_cve(id: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    id.strip_prefix("CVE-").and_then(|rest| rest.split_once('-')).is_some_and(|(year, number)| {
        year.len() == 4 && (4..=19).contains(&number.len()) && digits(year) && digits(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"{"title": "x", "catalogVersion": "2026.11.19", "dateReleased": "2026-11-19T09:00:00.5Z",
      "count": 3, "vulnerabilities": [
        {"cveID": "CVE-2026-31337", "dateAdded": "2026-11-19", "dueDate": "2026-12-03",
         "knownRansomwareCampaignUse": "Known", "cwes": ["CWE-416"]},
        {"cveID": "CVE-2026-0001", "dateAdded": "19 November"},
        {"cveID": 7}]}"#;

    #[test]
    fn entries_carry_due_date_and_ransomware_and_broken_ones_are_named() {
        let catalogue = read(TWO.as_bytes()).unwrap();
        assert_eq!(catalogue.version, "2026.11.19");
        let known = &catalogue.entries["CVE-2026-31337"];
        assert_eq!(known.due.unwrap().to_string(), "2026-12-03");
        assert!(known.ransomware);
        assert_eq!((catalogue.entries.len(), catalogue.skipped.count), (1, 2));
        let first = &catalogue.skipped.named[0];
        assert_eq!(first.place, "vulnerabilities[1]");
        assert!(first.why.contains("19 November"), "{}", first.why);
    }

    #[test]
    fn a_catalogue_that_was_cut_is_refused() {
        let cut = TWO.replace("\"count\": 3", "\"count\": 1404");
        let error = KevError::Cut { said: 1404, found: 3 };
        assert_eq!(read(cut.as_bytes()), Err(error));
        assert!(matches!(read(&TWO.as_bytes()[..200]), Err(KevError::Form { .. })));
        assert!(matches!(read(b"{}"), Err(KevError::Form { .. })));
    }

    #[test]
    fn only_cve_ids_are_cve_ids() {
        assert!(is_cve("CVE-2026-31337") && is_cve("CVE-1999-0001"));
        for wrong in ["CVE-26-31337", "CVE-2026-1", "CVE-2026-3133x", "cve-2026-31337", "CVE-2026"]
        {
            assert!(!is_cve(wrong), "{wrong}");
        }
    }
}
