//! How bad: CVSS scores from vectors (2.0, 3.0, 3.1, 4.0), and the qualitative scale.
//!
//! Scores are counted in tenths, so that they compare and hash exactly: 98 is 9.8.

use std::fmt;
use std::str::FromStr;

use crate::notice::{Affected, Notice, Rating};

/// Longest vector that is read, in bytes; a complete CVSS 4.0 vector has about 180.
const VECTOR_BYTES_MAX: usize = 512;

/// A CVSS score in tenths, 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(u8);

impl Score {
    /// From the usual form, rounded to a tenth; nothing outside 0.0 to 10.0 is a score.
    pub fn new(score: f64) -> Option<Self> {
        (0..=100_u8).find(|&tenths| (f64::from(tenths) - score * 10.0).abs() < 0.5).map(Self)
    }

    /// In tenths: 98 for 9.8.
    pub fn tenths(self) -> u8 {
        self.0
    }

    /// The band it falls in: CVSS 3.1 section 5 and CVSS 4.0 section 6 (the same for both; used for 2.0 too, as NVD
    /// has done since it published both).
    pub fn rating(self) -> Rating {
        match self.0 {
            0 => Rating::None,
            1..=39 => Rating::Low,
            40..=69 => Rating::Medium,
            70..=89 => Rating::High,
            90.. => Rating::Critical,
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

/// Version of CVSS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CvssVersion {
    /// 2.0.
    V2,
    /// 3.0.
    V30,
    /// 3.1.
    V31,
    /// 4.0.
    V4,
}

/// A vector that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VectorError {
    /// Too long to be one.
    #[error("a CVSS vector has at most {VECTOR_BYTES_MAX} bytes, this one {bytes}")]
    Long {
        /// Its length.
        bytes: usize,
    },
    /// The grammar says no.
    #[error("`{vector}` is not a CVSS vector: {why}")]
    Form {
        /// What was read.
        vector: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The score of a vector, with the temporal (threat) and environmental metrics that it names.
///
/// CVSS 2.0 vectors are read with or without their brackets and with or without `CVSS:2.0/`.
pub fn score(vector: &str) -> Result<(CvssVersion, Score), VectorError> {
    if vector.len() > VECTOR_BYTES_MAX {
        return Err(VectorError::Long { bytes: vector.len() });
    }
    let wrong = |why: String| VectorError::Form { vector: vector.to_owned(), why };
    let bare = vector.trim_matches(['(', ')']);
    let bare = bare.strip_prefix("CVSS:2.0/").unwrap_or(bare);
    let (version, value) = if bare.starts_with("CVSS:") {
        match cvss::Cvss::from_str(bare).map_err(|error| wrong(error.to_string()))? {
            cvss::Cvss::CvssV20(vector) => (CvssVersion::V2, v2(&vector)),
            cvss::Cvss::CvssV30(vector) => (CvssVersion::V30, v3(&vector, bare).map_err(wrong)?),
            cvss::Cvss::CvssV31(vector) => (CvssVersion::V31, v3(&vector, bare).map_err(wrong)?),
            cvss::Cvss::CvssV40(vector) => (CvssVersion::V4, vector.score().value()),
            // The cvss crate keeps its enum open for versions to come.
            _ => return Err(wrong("this version of CVSS is not known here".to_owned())),
        }
    } else {
        let vector = cvss::v2::Vector::from_str(bare).map_err(|error| wrong(error.to_string()))?;
        (CvssVersion::V2, v2(&vector))
    };
    let score = Score::new(value).ok_or_else(|| wrong(format!("its score would be {value}")))?;
    Ok((version, score))
}

/// The metrics that make up a CVSS 3 base score; any other is temporal or environmental.
const V3_BASE: [&str; 9] = ["CVSS", "AV", "AC", "PR", "UI", "S", "C", "I", "A"];

/// Those that make up the temporal score.
const V3_TEMPORAL: [&str; 3] = ["E", "RL", "RC"];

/// `Vector::score` of the cvss crate is the base score alone; what else a vector says would be lost. The crate also
/// scores a vector that lacks base metrics, as 0.0: a truncated vector must not read as harmless.
fn v3(vector: &cvss::v3::Vector, text: &str) -> Result<f64, String> {
    let metrics: Vec<_> = text.split('/').filter_map(|metric| metric.split_once(':')).collect();
    if let Some(missing) =
        V3_BASE.iter().find(|base| !metrics.iter().any(|(name, _)| name == *base))
    {
        return Err(format!("the metric {missing} is missing"));
    }
    let stands = |temporal: bool| {
        metrics.iter().any(|(name, value)| {
            !V3_BASE.contains(name) && V3_TEMPORAL.contains(name) == temporal && *value != "X"
        })
    };
    // With a changed scope the environmental formula differs from the base one even where no environmental metric stands.
    Ok(if stands(false) {
        vector.environmental_score().value()
    } else if stands(true) {
        vector.temporal_score().value()
    } else {
        vector.base_score().value()
    })
}

/// Environmental where such metrics stand, else temporal (which is the base score without temporal metrics).
fn v2(vector: &cvss::v2::Vector) -> f64 {
    let collateral = vector.cdp.is_some() || vector.td.is_some();
    let requirements = vector.cr.is_some() || vector.ir.is_some() || vector.ar.is_some();
    if collateral || requirements {
        vector.environmental_score().value()
    } else {
        vector.temporal_score().value()
    }
}

/// What a notice says about how bad it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Severity {
    /// The band.
    pub rating: Rating,
    /// What it was read from.
    pub basis: Basis,
}

/// What a rating was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// A CVSS vector.
    Cvss {
        /// Its version.
        version: CvssVersion,
        /// Its score.
        score: Score,
        /// As published.
        vector: String,
    },
    /// The publisher's word; no vector could be read.
    Word,
}

/// The severity of a notice as a whole: the worst that any of its vectors says. `None` where it says nothing, which is
/// not the same as harmless.
///
/// Newer versions of CVSS judge the same weakness afresh, so a 2.0 vector counts only where there is no later one.
pub fn of_notice(notice: &Notice) -> Option<Severity> {
    let packages = notice.affected.iter().flat_map(|affected| &affected.severity);
    worst(notice.severity.iter().chain(packages)).or_else(|| word(notice))
}

/// The severity of one affected package: its own vectors where it has any, else the notice's.
pub fn of_package(notice: &Notice, affected: &Affected) -> Option<Severity> {
    worst(affected.severity.iter())
        .or_else(|| worst(notice.severity.iter()))
        .or_else(|| word(notice))
}

fn word(notice: &Notice) -> Option<Severity> {
    notice.rated.map(|rating| Severity { rating, basis: Basis::Word })
}

fn worst<'a>(vectors: impl Iterator<Item = &'a String>) -> Option<Severity> {
    vectors
        .filter_map(|vector| Some((score(vector).ok()?, vector)))
        .max_by_key(|&((version, score), vector)| {
            (version > CvssVersion::V2, score, version, vector)
        })
        .map(|((version, score), vector)| Severity {
            rating: score.rating(),
            basis: Basis::Cvss { version, score, vector: vector.clone() },
        })
}

/// A publisher's word (`Important`, `MODERATE`, `negligible`) on the common scale; `None` for a word that is on none.
///
/// Red Hat: <https://access.redhat.com/security/updates/classification>; Ubuntu:
/// <https://ubuntu.com/security/cves/about#priority>; Debian's urgencies are these words too.
pub fn rating_of_word(word: &str) -> Option<Rating> {
    Some(match word.to_ascii_lowercase().as_str() {
        "none" => Rating::None,
        "negligible" | "unimportant" | "low" | "minor" => Rating::Low,
        "moderate" | "medium" => Rating::Medium,
        "important" | "high" => Rating::High,
        "critical" => Rating::Critical,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(vector: &str) -> String {
        score(vector).unwrap().1.to_string()
    }

    #[test]
    fn every_version_of_cvss_is_scored() {
        assert_eq!(scored("AV:N/AC:L/Au:N/C:C/I:C/A:C"), "10.0");
        assert_eq!(scored("(AV:N/AC:L/Au:N/C:N/I:N/A:C)"), "7.8");
        assert_eq!(scored("CVSS:2.0/AV:N/AC:L/Au:N/C:N/I:N/A:C"), "7.8");
        let base = "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
        assert_eq!(scored(&format!("CVSS:3.0/{base}")), "9.8");
        assert_eq!(scored(&format!("CVSS:3.1/{base}")), "9.8");
        let v4 = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N";
        assert_eq!(scored(v4), "9.3");
        assert_eq!(scored(&format!("{v4}/E:U")), "8.1");
    }

    #[test]
    fn temporal_and_environmental_metrics_count() {
        assert_eq!(
            scored("CVSS:3.1/AV:A/AC:H/PR:N/UI:N/S:C/C:H/I:H/A:H/E:U/RL:O/RC:R"),
            "6.9",
            "temporal metrics alone do not ask for the environmental formula"
        );
        let base = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
        assert_eq!(scored(&format!("{base}/E:U/RL:O/RC:C")), "8.5");
        assert_eq!(scored(&format!("{base}/MAV:P")), "6.8");
        assert_eq!(
            scored("AV:N/AC:L/Au:N/C:N/I:N/A:C/E:F/RL:OF/RC:C"),
            "6.4",
            "CVE-2002-0392 in the CVSS 2.0 guide, section 3.3.1"
        );
    }

    #[test]
    fn bands_begin_where_the_specification_says() {
        let rating = |score: f64| Score::new(score).unwrap().rating();
        assert_eq!(rating(0.0), Rating::None);
        assert_eq!((rating(0.1), rating(3.9)), (Rating::Low, Rating::Low));
        assert_eq!((rating(4.0), rating(6.9)), (Rating::Medium, Rating::Medium));
        assert_eq!((rating(7.0), rating(8.9)), (Rating::High, Rating::High));
        assert_eq!((rating(9.0), rating(10.0)), (Rating::Critical, Rating::Critical));
        assert_eq!(Score::new(10.1), None);
        assert_eq!(Score::new(f64::NAN), None);
    }

    #[test]
    fn the_worst_vector_decides_and_an_old_one_only_alone() {
        let mut notice = Notice {
            severity: vec![
                "AV:N/AC:L/Au:N/C:C/I:C/A:C".into(),
                "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:L/I:N/A:N".into(),
                "not a vector".into(),
            ],
            rated: Some(Rating::Critical),
            ..Notice::default()
        };
        assert_eq!(of_notice(&notice).unwrap().rating, Rating::Low);
        notice.severity.truncate(1);
        assert_eq!(of_notice(&notice).unwrap().rating, Rating::Critical);
        notice.severity.clear();
        notice.rated = rating_of_word("Moderate");
        let severity = of_notice(&notice).unwrap();
        assert_eq!((severity.rating, severity.basis), (Rating::Medium, Basis::Word));
        notice.rated = None;
        assert_eq!(of_notice(&notice), None);
    }

    #[test]
    fn what_is_no_vector_is_refused() {
        assert!(matches!(score(&"A".repeat(600)), Err(VectorError::Long { bytes: 600 })));
        for vector in ["", "CVSS:3.1", "CVSS:9.9/AV:N", "AV:N", "high", "CVSS:3.1/AV:N/AC:L"] {
            assert!(matches!(score(vector), Err(VectorError::Form { .. })), "{vector}");
        }
    }
}
