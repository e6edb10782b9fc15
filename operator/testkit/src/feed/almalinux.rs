//! Errata in the shape of AlmaLinux's: groups of binary packages of one source, each with one fixed version; a quarter
//! of them with an epoch, three in ten modular, some ids in several releases.

use serde_json::json;

use super::Random;

/// Affected packages of one erratum at thousandths of all: as in the real data, the tail drawn out to give the same sum.
const GROUP: [(usize, usize); 9] = [
    (0, 1),
    (100, 1),
    (250, 2),
    (500, 4),
    (750, 10),
    (900, 28),
    (950, 56),
    (990, 130),
    (1_000, 300),
];
/// Percentage of errata that are the first of their source; the others go to a source that has had some. Gives about
/// as many distinct packages as the real data (10,500).
const FIRST_OF_SOURCE_PERCENT: usize = 15;
const RELEASES: [&str; 3] = ["8", "9", "10"];
const SUFFIXES: [&str; 8] = ["", "-libs", "-devel", "-common", "-core", "-doc", "-tools", "-utils"];

struct Source {
    release: &'static str,
    packages: Vec<String>,
    epoch: usize,
    modular: bool,
    version: [usize; 3],
    build: usize,
}

impl Source {
    fn new(random: &mut Random, number: usize) -> Self {
        let name = format!("{}-{}", random.name(), random.below(1_000));
        let release = match random.below(100) {
            0..57 => RELEASES[0],
            57..91 => RELEASES[1],
            _ => RELEASES[2],
        };
        // Spread evenly, not drawn: a few large groups more or less would change the size of everything.
        let size = Random::at_thousandth(number * 618 % 1_000, &GROUP);
        let packages = (0..size)
            .map(|part| match SUFFIXES.get(part) {
                Some(suffix) => format!("{name}{suffix}"),
                None => format!("{name}-plugin-{part}"),
            })
            .collect();
        Self {
            release,
            packages,
            epoch: if random.chance(24) { 1 + random.below(32) } else { 0 },
            modular: random.chance(29),
            version: [random.below(30), random.below(20), random.below(10)],
            build: 1,
        }
    }

    /// The next fixed version: a new build, or a new upstream version.
    fn next_version(&mut self, random: &mut Random) -> String {
        if random.chance(60) {
            self.build += 1 + random.below(12);
        } else {
            let part = 1 + random.below(2);
            self.version[part] += 1;
            self.build = 1 + random.below(3);
        }
        let epoch = match self.epoch {
            0 => String::new(),
            epoch => format!("{epoch}:"),
        };
        let [major, minor, patch] = self.version;
        let release = self.release;
        let dist = if self.modular {
            format!(
                "module_el{release}.{}.0+{}+{:08x}",
                random.below(11),
                random.below(4_000),
                random.below(1 << 32)
            )
        } else {
            format!("el{release}_{}", random.below(11))
        };
        format!("{epoch}{major}.{minor}.{patch}-{}.{dist}", self.build)
    }
}

/// So many documents, as file name and bytes.
pub(super) fn documents(seed: u64, count: usize) -> Vec<(String, Vec<u8>)> {
    let mut random = Random::new(seed ^ 0xA1_3A);
    let mut sources: Vec<Source> = Vec::new();
    let mut documents = Vec::with_capacity(count);
    for number in 0..count {
        let source = if sources.is_empty() || random.chance(FIRST_OF_SOURCE_PERCENT) {
            let source = Source::new(&mut random, sources.len());
            sources.push(source);
            sources.len() - 1
        } else {
            random.below(sources.len())
        };
        // Every 150th erratum goes out under the id of the one before, as those for several releases do.
        let serial = if number % 150 == 149 { number - 1 } else { number };
        documents.push(document(&mut random, &mut sources[source], number, serial));
    }
    documents
}

fn document(
    random: &mut Random,
    source: &mut Source,
    number: usize,
    serial: usize,
) -> (String, Vec<u8>) {
    let kind = match random.below(100) {
        0..78 => "ALSA",
        78..95 => "ALBA",
        _ => "ALEA",
    };
    let year = 2019 + serial / 900;
    let id = format!("{kind}-{year}:{}", 1_000 + serial);
    let fixed = source.next_version(random);
    let release = source.release;
    let affected: Vec<_> = source
        .packages
        .iter()
        .map(|name| {
            json!({
                "package": {"ecosystem": format!("AlmaLinux:{release}"), "name": name},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}],
            })
        })
        .collect();
    let related: Vec<_> = (0..=random.below(6))
        .map(|_| format!("CVE-{year}-{}", 1_000 + random.below(40_000)))
        .collect();
    let references: Vec<_> = related
        .iter()
        .map(|cve| json!({"url": format!("https://cve.example/{cve}"), "type": "REPORT"}))
        .collect();
    let word = random.pick(&["Important", "Important", "Moderate", "Low", "Critical"]);
    let detail_words = 30 + random.below(120);
    let day = format!("{year}-{:02}-{:02}T00:00:00Z", 1 + random.below(12), 1 + random.below(28));
    let text = json!({
        "id": id,
        "summary": format!("{word}: {} security update", source.packages[0]),
        "affected": affected,
        "related": related,
        "published": day,
        "modified": day,
        "details": random.words(detail_words),
        "references": references,
    });
    (format!("almalinux{release}/{id}-{number}.json"), format!("{text:#}").into_bytes())
}
