//! Notices in the shape of Bitnami's: one package each, one range with several pairs of events, a CVSS vector per
//! package; and a catalogue of exploited vulnerabilities that names some of them.

use serde_json::json;

use super::Random;

/// Pairs of events in a range, at thousandths of the real data.
const PAIRS: [(usize, usize); 7] =
    [(0, 1), (300, 1), (500, 2), (750, 3), (900, 5), (990, 8), (1_000, 24)];
const PACKAGES: usize = 177;

/// So many documents, as file name and bytes.
pub(super) fn documents(seed: u64, count: usize) -> Vec<(String, Vec<u8>)> {
    let mut random = Random::new(seed ^ 0xB1_7A);
    let names: Vec<String> =
        (0..PACKAGES).map(|number| format!("{}{number}", random.name())).collect();
    (0..count)
        .map(|number| {
            // The product of two even draws gives few packages many notices.
            let bound = 1 + random.below(PACKAGES);
            let name = &names[random.below(bound)];
            document(&mut random, name, number)
        })
        .collect()
}

fn document(random: &mut Random, name: &str, number: usize) -> (String, Vec<u8>) {
    let cve = cve(number);
    let id = cve.replace("CVE", &format!("BIT-{name}"));
    let pairs = random.from_thousandths(&PAIRS);
    let mut events = Vec::with_capacity(2 * pairs);
    let first_major = random.below(4);
    for pair in 0..pairs {
        let major = first_major + pair;
        let minor = random.below(20);
        let introduced = if pair == 0 && random.chance(70) {
            "0".to_owned()
        } else {
            format!("{major}.{minor}.0")
        };
        events.push(json!({ "introduced": introduced }));
        let end = format!("{major}.{minor}.{}", 1 + random.below(40));
        if random.chance(2) {
            events.push(json!({ "last_affected": end }));
        } else if pair + 1 < pairs || random.chance(98) {
            events.push(json!({ "fixed": end }));
        }
    }
    let impact = random.pick(&["H", "L", "N"]);
    let severity = if random.chance(10) {
        let vector =
            format!("CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:{impact}/VI:H/VA:H/SC:N/SI:N/SA:N");
        json!([{"type": "CVSS_V4", "score": vector}])
    } else {
        let vector = format!("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:U/C:{impact}/I:H/A:L");
        json!([{"type": "CVSS_V3", "score": vector}])
    };
    let detail_words = 20 + random.below(100);
    let text = json!({
        "schema_version": "1.6.2",
        "id": id,
        "details": random.words(detail_words),
        "aliases": [cve],
        "affected": [{
            "package": {"ecosystem": "Bitnami", "name": name, "purl": format!("pkg:bitnami/{name}")},
            "severity": severity,
            "ranges": [{"type": "SEMVER", "events": events}],
        }],
        "database_specific": {"severity": "High", "cpes": [format!("cpe:2.3:a:{name}:{name}:*:*:*:*:*:*:*:*")]},
        "references": [{"type": "WEB", "url": format!("https://nvd.example/{cve}")}],
        "published": "2025-12-03T14:35:10.504Z",
        "modified": "2025-12-03T15:02:11Z",
    });
    (format!("{id}.json"), format!("{text:#}").into_bytes())
}

fn cve(number: usize) -> String {
    format!("CVE-{}-{}", 2015 + number / 700, 1_000 + number % 700 * 7)
}

/// So many exploited vulnerabilities, one in five of them with ransomware.
pub(super) fn kev(seed: u64, count: usize) -> Vec<u8> {
    let mut random = Random::new(seed ^ 0x0E_7E);
    let vulnerabilities: Vec<_> = (0..count)
        .map(|number| {
            let month = 1 + random.below(11);
            json!({
                "cveID": cve(number * 5),
                "vendorProject": "Vendor",
                "product": random.name(),
                "vulnerabilityName": random.words(5),
                "dateAdded": format!("2025-{month:02}-04"),
                "shortDescription": random.words(30),
                "requiredAction": random.words(12),
                "dueDate": format!("2025-{:02}-25", month + 1),
                "knownRansomwareCampaignUse": if random.chance(20) { "Known" } else { "Unknown" },
                "notes": "",
                "cwes": [],
            })
        })
        .collect();
    let text = json!({
        "title": "CISA Catalog of Known Exploited Vulnerabilities",
        "catalogVersion": "2025.11.30",
        "dateReleased": "2025-11-30T17:04:19.9796Z",
        "count": count,
        "vulnerabilities": vulnerabilities,
    });
    format!("{text:#}").into_bytes()
}
