//! Whether a trail is whole.

use std::{
    fmt,
    io::{self, BufRead, Read},
    str::FromStr,
};

use super::entry::{Body, NONE, hash, split};

/// Longer lines are none of a trail's.
pub const LINE_BYTES_MAX: usize = 64 << 10;

/// The end of a trail. Kept elsewhere, it proves later that nothing before it was changed or cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of the last entry, from 0.
    pub number: u64,
    /// Its hash.
    pub hash: String,
}

/// A trail that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many entries.
    pub entries: u64,
    /// How many lines of the operator's log stood between them, as in what a container has printed.
    pub passed_over: u64,
    /// Its end; none: it is empty.
    pub head: Option<Head>,
}

/// What is wrong, with the line where it shows.
#[derive(Debug, thiserror::Error)]
pub enum Finding {
    /// The trail cannot be read.
    #[error("the trail cannot be read after line {line}")]
    Read {
        /// The last line that was read.
        line: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line is no entry.
    #[error("line {line} is no entry of an audit trail")]
    Form {
        /// Which.
        line: u64,
    },
    /// A line does not have its hash.
    #[error("line {line} was changed: its hash is not that of its content")]
    Changed {
        /// Which.
        line: u64,
    },
    /// A line does not follow the one before it.
    #[error(
        "line {line} does not follow the line before it: entries were dropped, moved or put in here"
    )]
    Order {
        /// Which.
        line: u64,
    },
    /// The last line has no end.
    #[error("line {line} has no end: the trail was cut off, or its writer was killed")]
    Torn {
        /// Which.
        line: u64,
    },
    /// The head that was kept is not in the trail.
    #[error(
        "entry {number} does not have the hash that was kept: the trail was cut off or written anew"
    )]
    Head {
        /// Number of the head.
        number: u64,
    },
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)
    }
}

/// Why a text is no head.
#[derive(Debug, thiserror::Error)]
#[error("a head is written as NUMBER:HASH, as `hozen audit verify` prints it")]
pub struct NoHead;

impl FromStr for Head {
    type Err = NoHead;

    fn from_str(text: &str) -> Result<Self, NoHead> {
        let (number, hash) = text.split_once(':').ok_or(NoHead)?;
        let hex = hash.strip_prefix("sha256-").ok_or(NoHead)?;
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NoHead);
        }
        Ok(Self { number: number.parse().map_err(|_| NoHead)?, hash: hash.to_owned() })
    }
}

impl Head {
    /// The head that a line (without line feed) is, if the line has its own hash.
    pub(super) fn of_line(line: &[u8]) -> Result<Self, Finding> {
        let (body, hash) = entry(line, 0)?;
        Ok(Self { number: body.number, hash })
    }
}

/// Reads a trail from its beginning. With a head that was kept elsewhere, entries after it are allowed, and it must be in the trail.
pub fn verify(trail: &mut dyn BufRead, kept: Option<&Head>) -> Result<Verified, Finding> {
    let mut head: Option<Head> = None;
    let mut found = kept.is_none();
    let mut passed_over = 0;
    for line in 1.. {
        let Some(text) = next(trail, line)? else {
            break;
        };
        if is_of_the_log(&text) {
            passed_over += 1;
            continue;
        }
        let (body, hash) = entry(&text, line)?;
        let expected = head.as_ref().map_or((0, NONE), |head| (head.number + 1, &head.hash));
        if (body.number, body.previous.as_str()) != expected {
            return Err(Finding::Order { line });
        }
        let this = Head { number: body.number, hash };
        found |= kept == Some(&this);
        head = Some(this);
    }
    match kept {
        Some(kept) if !found => Err(Finding::Head { number: kept.number }),
        Some(_) | None => {
            let entries = head.as_ref().map_or(0, |head| head.number + 1);
            Ok(Verified { entries, passed_over, head })
        }
    }
}

/// The next line without its line feed; none at the end.
fn next(trail: &mut dyn BufRead, line: u64) -> Result<Option<Vec<u8>>, Finding> {
    let mut text = Vec::new();
    let read = trail.take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut text);
    read.map_err(|source| Finding::Read { line: line - 1, source })?;
    if text.is_empty() {
        return Ok(None);
    }
    if text.pop() != Some(b'\n') {
        return Err(Finding::Torn { line });
    }
    Ok(Some(text))
}

/// A line of the log has a level, and no hash. Whoever makes an entry into one has taken it out of the trail, which is found.
fn is_of_the_log(line: &[u8]) -> bool {
    let has_hash = std::str::from_utf8(line).is_ok_and(|text| split(text).is_some());
    let object: Option<serde_json::Map<String, serde_json::Value>> =
        Some(line).filter(|_| !has_hash).and_then(|line| serde_json::from_slice(line).ok());
    object.is_some_and(|object| object.contains_key("timestamp") && object.contains_key("level"))
}

/// The entry of a line, and its hash.
fn entry(line: &[u8], number: u64) -> Result<(Body, String), Finding> {
    let form = || Finding::Form { line: number };
    let text = std::str::from_utf8(line).map_err(|_| form())?;
    let (body, claimed) = split(text).ok_or_else(form)?;
    if hash(body.as_bytes()) != claimed {
        return Err(Finding::Changed { line: number });
    }
    let body = serde_json::from_str(&body).map_err(|_| form())?;
    Ok((body, claimed.to_owned()))
}
