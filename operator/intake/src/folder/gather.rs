//! What the files under `feeds/` hold, as operator/docs/feeds.md tells: each is told by its ending, and a JSON document by its keys,
//! wherever these stand in it. A file is read once.

use std::{collections::BTreeMap, io::BufReader};

use hozen_advisory::{
    epss,
    form::Form,
    kev,
    limits::guard_json,
    osv::{ArchiveLimits, OsvError, Parsed, each_document},
    skipped::Skipped,
    vex,
};
use serde::de::IgnoredAny;

use super::{Refused, files::File};
use crate::problem::told;

/// Largest JSON document, in bytes: what the largest form may have. Each form has a limit of its own besides.
const JSON_BYTES_MAX: u64 = vex::DOCUMENT_BYTES_MAX;

/// What the files under `feeds/` gave.
#[derive(Default)]
pub(super) struct Gathered {
    /// Notices, by feed.
    pub documents: BTreeMap<String, Parsed>,
    pub kev: kev::Catalogue,
    pub epss: epss::Scores,
    pub statements: Vec<vex::Statement>,
    /// What documents tell beside their statements, by feed.
    pub besides: BTreeMap<String, Besides>,
}

/// What the documents of a feed tell beside their statements.
#[derive(Default)]
pub(super) struct Besides {
    pub of: Vec<vex::Beyond>,
    /// Findings of which nobody states anything.
    pub findings: u64,
}

/// Entries of one file that could not be used: how many, and the first.
#[derive(Default)]
struct Left {
    count: u64,
    first: Option<String>,
}

impl Left {
    fn take(&mut self, skipped: &Skipped) {
        self.count += skipped.count;
        let first = skipped.named.first().map(|first| format!("{}: {}", first.place, first.why));
        self.first = self.first.take().or(first);
    }
}

/// Reads every file of the feeds.
pub(super) fn gather(files: &[File], refused: &mut Refused) -> Gathered {
    let mut gathered = Gathered::default();
    for file in files {
        gathered.file(file, refused);
    }
    gathered
}

impl Gathered {
    /// Reads one file. Its feed is the folder under `feeds/` in which it stands, or its own name.
    fn file(&mut self, file: &File, refused: &mut Refused) {
        let below = file.within.strip_prefix("feeds/").unwrap_or(&file.within);
        let feed = match below.split_once('/') {
            Some((folder, _)) => folder,
            None => below.split('.').next().unwrap_or(below),
        };
        let mut left = Left::default();
        let outcome = match file.ending().as_str() {
            "zip" => self.archive(file, feed, &mut left),
            "csv" | "gz" => self.scores(file, &mut left),
            "json" => file.bytes(JSON_BYTES_MAX).map(|bytes| {
                self.document(feed, &file.within, &bytes, &mut left);
            }),
            ending => {
                let hint = match ending {
                    "yaml" | "yml" => "; manifests stand outside of feeds/",
                    _ => "",
                };
                let message =
                    format!("is no feed document (zip, json, csv, csv.gz){hint}; it is left out");
                return refused.note(&*file.name, message);
            }
        };
        if let Err(what) = outcome {
            self.reject(feed, &file.within, OsvError::Other { what });
        }
        if let Some(first) = left.first {
            let message = match left.count {
                1 => format!("1 entry is left out: {first}"),
                count => format!("{count} entries are left out; the first: {first}"),
            };
            refused.note(&*file.name, message);
        }
    }

    /// An archive that cannot be trusted gives nothing.
    fn archive(&mut self, file: &File, feed: &str, left: &mut Left) -> Result<(), String> {
        let (mut within, mut left_within) = (Self::default(), Left::default());
        let source = BufReader::new(file.open()?);
        each_document(source, ArchiveLimits::default(), &mut |name, unpacked| match unpacked {
            Ok(bytes) => within.document(feed, name, &bytes, &mut left_within),
            Err(why) => within.reject(feed, name, why),
        })
        .map_err(|error| told(&error))?;
        let Self { documents, kev, epss: _, statements, besides } = within;
        // Of an archive without a document it is told that there was one.
        self.documents.entry(feed.to_owned()).or_default();
        for (feed, parsed) in documents {
            self.documents.entry(feed).or_default().extend(parsed);
        }
        self.kev.entries.extend(kev.entries);
        self.statements.extend(statements);
        for (feed, Besides { of, findings }) in besides {
            let known = self.besides.entry(feed).or_default();
            known.of.extend(of);
            known.findings += findings;
        }
        *left = left_within;
        Ok(())
    }

    fn scores(&mut self, file: &File, left: &mut Left) -> Result<(), String> {
        let scores = epss::read(BufReader::new(file.open()?)).map_err(|error| told(&error))?;
        left.take(&scores.skipped);
        self.epss.scores.extend(scores.scores);
        Ok(())
    }

    /// Reads one JSON document, a file or an entry of an archive.
    fn document(&mut self, feed: &str, name: &str, bytes: &[u8], left: &mut Left) {
        let outcome = match Form::of(bytes) {
            Some(Form::Osv) => {
                self.documents.entry(feed.to_owned()).or_default().add(feed, name, bytes);
                Ok(())
            }
            Some(Form::Kev) => self.catalogue(bytes, left),
            Some(Form::OpenVex | Form::CycloneDx | Form::Csaf) => self.stated(feed, bytes, left),
            Some(form @ Form::Spdx) => Err(bill(form)),
            None => Err(no_form(bytes)),
        };
        if let Err(what) = outcome {
            self.reject(feed, name, OsvError::Other { what });
        }
    }

    fn catalogue(&mut self, bytes: &[u8], left: &mut Left) -> Result<(), String> {
        let catalogue = kev::read(bytes).map_err(|error| told(&error))?;
        left.take(&catalogue.skipped);
        self.kev.entries.extend(catalogue.entries);
        Ok(())
    }

    fn stated(&mut self, feed: &str, bytes: &[u8], left: &mut Left) -> Result<(), String> {
        let vex::Document { statements, skipped, beyond, findings } =
            vex::read(bytes).map_err(|error| told(&error))?;
        let nothing = statements.is_empty() && skipped.count == 0 && findings == 0;
        if nothing && Form::of(bytes) == Some(Form::CycloneDx) {
            return Err(bill(Form::CycloneDx));
        }
        left.take(&skipped);
        self.statements.extend(statements);
        if !beyond.is_empty() || findings > 0 {
            let known = self.besides.entry(feed.to_owned()).or_default();
            known.of.extend(beyond);
            known.findings += findings;
        }
        Ok(())
    }

    fn reject(&mut self, feed: &str, name: &str, why: OsvError) {
        self.documents.entry(feed.to_owned()).or_default().reject(name, why);
    }
}

/// What is to be said of a bill of materials among the feeds.
fn bill(form: Form) -> String {
    format!(
        "it is a bill of materials ({form}) that states nothing of a weakness; bills stand under sboms/"
    )
}

/// What is to be said of a document that has no form of those that a feed may hold.
fn no_form(bytes: &[u8]) -> String {
    if let Err(hit) = guard_json(bytes, JSON_BYTES_MAX) {
        return hit.to_string();
    }
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(bytes) {
        return format!("it is not JSON: {error}");
    }
    if bytes.trim_ascii_start().starts_with(b"[") {
        return "it is a list; each document is a file of its own, or an entry of a zip archive"
            .to_owned();
    }
    let known = Form::ALL.iter().filter(|form| **form != Form::Spdx);
    let known: Vec<String> = known.map(|form| format!("{form} ({})", form.told_by())).collect();
    format!("its keys tell none of the forms that are read: {}", known.join("; "))
}
