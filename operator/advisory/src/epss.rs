//! EPSS, the probability of exploitation within 30 days (<https://www.first.org/epss/data_stats>): a CSV file with a
//! comment line, a heading line, and one line per CVE; packed by gzip or not.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Chain, Cursor, Read};

use flate2::read::MultiGzDecoder;
use smol_str::SmolStr;

use crate::kev::is_cve;
use crate::limits::LimitHit;
use crate::skipped::Skipped;

/// Largest file, unpacked, in bytes; that of 2026 has 12 MB.
pub const FILE_BYTES_MAX: u64 = 256 << 20;
/// Longest line, in bytes; the comment line has about 70.
pub const LINE_BYTES_MAX: u64 = 1_024;
/// Most lines; 2026 has 330,000 CVEs.
pub const LINES_MAX: u64 = 4_000_000;

/// The scores by CVE id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// Version of the model, as `v2025.03.14`; empty where the file does not say.
    pub model: SmolStr,
    /// Day of the scores, as the file writes it; empty where it does not say.
    pub date: SmolStr,
    /// Probability per CVE, 0 to 1.
    pub scores: BTreeMap<SmolStr, f64>,
    /// Lines that could not be used.
    pub skipped: Skipped,
}

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum EpssError {
    /// The source failed, or its packing is broken.
    #[error("reading it failed")]
    Io(#[from] std::io::Error),
    /// Too large.
    #[error(transparent)]
    Limit(#[from] LimitHit),
    /// A line without end.
    #[error("line {line} is longer than the limit of {LINE_BYTES_MAX} bytes")]
    Line {
        /// Which one, from 1.
        line: u64,
    },
    /// Too many lines.
    #[error("it has more lines than the limit of {LINES_MAX}")]
    Lines,
    /// Something else was read.
    #[error("it is not an EPSS file: there is no heading line `cve,epss,percentile`")]
    Heading,
}

/// Reads a file, packed or not. Memory is bounded by the limits, whatever the source serves.
pub fn read(mut source: impl Read) -> Result<Scores, EpssError> {
    let mut magic = [0_u8; 2];
    let mut got = 0;
    while got < magic.len() {
        match source.read(&mut magic[got..])? {
            0 => break,
            more => got += more,
        }
    }
    let whole: Chain<_, _> = Cursor::new(magic[..got].to_vec()).chain(source);
    if magic == [0x1F, 0x8B] {
        read_lines(BufReader::new(MultiGzDecoder::new(whole)).take(FILE_BYTES_MAX + 1))
    } else {
        read_lines(BufReader::new(whole).take(FILE_BYTES_MAX + 1))
    }
}

fn read_lines(mut source: std::io::Take<impl BufRead>) -> Result<Scores, EpssError> {
    let mut scores = Scores::default();
    let mut line = Vec::new();
    let mut heading_seen = false;
    for number in 1..=LINES_MAX {
        line.clear();
        (&mut source).take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line)?;
        if source.limit() == 0 {
            let bytes_max = FILE_BYTES_MAX;
            return Err(LimitHit::Size { bytes_max }.into());
        }
        if line.len() as u64 > LINE_BYTES_MAX {
            return Err(EpssError::Line { line: number });
        }
        if line.is_empty() {
            return if heading_seen { Ok(scores) } else { Err(EpssError::Heading) };
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if let Some(comment) = text.strip_prefix('#') {
            scores.read_comment(comment);
        } else if heading_seen {
            scores.read_line(number, text);
        } else if text.starts_with("cve,epss") {
            heading_seen = true;
        } else {
            return Err(EpssError::Heading);
        }
    }
    Err(EpssError::Lines)
}

impl Scores {
    /// `model_version:v2025.03.14,score_date:2026-11-19T00:00:00+0000`.
    fn read_comment(&mut self, comment: &str) {
        for part in comment.split(',') {
            match part.split_once(':') {
                Some(("model_version", version)) => self.model = SmolStr::new(version),
                Some(("score_date", date)) => {
                    self.date = SmolStr::new(date.split('T').next().unwrap_or_default());
                }
                _ => {}
            }
        }
    }

    fn read_line(&mut self, number: u64, text: &str) {
        if text.is_empty() {
            return;
        }
        let mut fields = text.split(',');
        let cve = fields.next().unwrap_or_default();
        let score = fields.next().and_then(|score| score.parse::<f64>().ok());
        match score.filter(|score| (0.0..=1.0).contains(score)) {
            Some(score) if is_cve(cve) => {
                self.scores.insert(SmolStr::new(cve), score);
            }
            _ => self.skipped.push(
                || format!("line {number}"),
                || format!("`{text}`, expected CVE-2025-12345,0.01234,0.8 with a score of 0 to 1"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const FILE: &str = "#model_version:v2025.03.14,score_date:2026-11-19T00:00:00+0000\n\
        cve,epss,percentile\nCVE-2026-31337,0.71000,0.98765\nCVE-2026-0001,7,0.1\nnonsense\n\
        CVE-1999-0001,0.00042,0.1\r\n";

    #[test]
    fn scores_are_read_and_broken_lines_are_named() {
        let scores = read(FILE.as_bytes()).unwrap();
        assert_eq!((scores.model.as_str(), scores.date.as_str()), ("v2025.03.14", "2026-11-19"));
        assert_eq!(scores.scores.get("CVE-2026-31337"), Some(&0.71));
        assert_eq!(scores.scores.len(), 2);
        let places: Vec<_> = scores.skipped.named.iter().map(|skip| skip.place.as_str()).collect();
        assert_eq!(places, ["line 4", "line 5"]);
    }

    #[test]
    fn a_packed_file_is_the_same_file() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(FILE.as_bytes()).unwrap();
        let packed = encoder.finish().unwrap();
        assert_eq!(read(packed.as_slice()).unwrap(), read(FILE.as_bytes()).unwrap());
        let cut = read(&packed[..packed.len() / 2]);
        assert!(matches!(cut, Err(EpssError::Io(_))), "{cut:?}");
    }

    #[test]
    fn an_endless_line_is_refused_at_the_limit() {
        let endless = b"cve,epss\n".chain(std::io::repeat(b'x'));
        assert!(matches!(read(endless), Err(EpssError::Line { line: 2 })));
        let not_epss = read(&b"<html>\n"[..]);
        assert!(matches!(not_epss, Err(EpssError::Heading)));
        assert!(matches!(read(&b""[..]), Err(EpssError::Heading)));
    }

    #[test]
    fn a_bomb_of_lines_ends_at_the_limit() {
        let lines = std::io::repeat(b'\n');
        let error = read(b"cve,epss\n".chain(lines)).unwrap_err();
        assert!(matches!(error, EpssError::Lines), "{error}");
    }
}
