//! Small values that many rooms share: names, uids, durations in Go's form, shares of a whole.

use std::fmt;

use jiff::{
    SignedDuration, Timestamp,
    fmt::friendly::{Designator, SpanParser, SpanPrinter},
};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Name of an object; unique within its kind.
pub type Name = SmolStr;
/// `sha256-` and 64 hex digits.
pub type Digest = SmolStr;
/// A person or a service account, as the API server names it.
pub type User = SmolStr;

/// The API server's uid of an object: another object of the same name has another.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(pub SmolStr);

impl Uid {
    /// A uid from its text.
    pub fn new(text: impl Into<SmolStr>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// So long after an instant; the end of time where there is none so late.
pub fn after(at: Timestamp, duration: SignedDuration) -> Timestamp {
    at.saturating_add(duration).unwrap_or(Timestamp::MAX)
}

/// A duration in Go's form (`90m`, `72h`), as CEL and Kubernetes read it. Never negative, at most ten years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(SignedDuration);

/// Why a text is no [`Span`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpanError {
    /// Not of the form that Go reads.
    #[error(
        "`{0}` is not a duration; write it in hours, minutes and seconds, like `90m` or `72h` (days as hours: 7 days are `168h`)"
    )]
    Form(String),
    /// Negative, or more than ten years.
    #[error("`{0}` is out of range; a duration is at least `0s` and at most `87600h` (ten years)")]
    Range(String),
}

/// Ten years: longer waits are typing errors.
const HOURS_MAX: i64 = 87_600;

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(SignedDuration::ZERO);

    /// From whole hours.
    pub const fn hours(hours: u32) -> Self {
        Self(SignedDuration::from_hours(hours as i64))
    }

    /// From whole minutes.
    pub const fn minutes(minutes: u32) -> Self {
        Self(SignedDuration::from_mins(minutes as i64))
    }

    /// From whole seconds.
    pub const fn seconds(seconds: u32) -> Self {
        Self(SignedDuration::from_secs(seconds as i64))
    }

    /// Reads Go's form.
    pub fn parse(text: &str) -> Result<Self, SpanError> {
        static PARSER: SpanParser = SpanParser::new();
        let form = || SpanError::Form(text.chars().take(64).collect());
        if text.len() > 64 || text.contains(|c: char| c.is_whitespace() || c == ',') {
            return Err(form());
        }
        let duration = PARSER.parse_duration(text).map_err(|_| form())?;
        Self::try_from(duration).map_err(|_| SpanError::Range(text.to_owned()))
    }

    /// The same as jiff's type.
    pub const fn duration(self) -> SignedDuration {
        self.0
    }

    /// Whether it is no time at all.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl TryFrom<SignedDuration> for Span {
    type Error = SpanError;

    fn try_from(duration: SignedDuration) -> Result<Self, SpanError> {
        if duration.is_negative() || duration > SignedDuration::from_hours(HOURS_MAX) {
            return Err(SpanError::Range(format!("{duration:#}")));
        }
        Ok(Self(duration))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        static PRINTER: SpanPrinter = SpanPrinter::new()
            .designator(Designator::Compact)
            .spacing(jiff::fmt::friendly::Spacing::None);
        f.write_str(&PRINTER.duration_to_string(&self.0))
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A count or a share of a whole: `2` or `20%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// So many.
    Count(u32),
    /// So many in a hundred, 0 to 100.
    Percent(u8),
}

impl Share {
    /// Reads `2` or `20%`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|p| *p <= 100).map(Self::Percent),
            None => text.parse().ok().map(Self::Count),
        }
    }

    /// How many of `total`, rounded up, never more than `total`: the size of a stage.
    pub fn of_rounded_up(self, total: usize) -> usize {
        match self {
            Self::Count(count) => total.min(count as usize),
            Self::Percent(percent) => (total * usize::from(percent)).div_ceil(100),
        }
    }

    /// How many of `total`, rounded down but at least one for a share above zero: a budget, as Kubernetes rounds maxUnavailable
    /// (a budget of none would never end).
    pub fn of_as_budget(self, total: usize) -> usize {
        match self {
            Self::Count(count) => count as usize,
            Self::Percent(0) => 0,
            Self::Percent(percent) => (total * usize::from(percent) / 100).max(1),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl Serialize for Share {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u32(*count),
            Self::Percent(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Count(u32),
            Text(String),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Count(count) => Ok(Self::Count(count)),
            Raw::Text(text) => Self::parse(&text).ok_or_else(|| {
                serde::de::Error::custom(format!(
                    "`{text}` is neither a count like 2 nor a share like \"20%\""
                ))
            }),
        }
    }
}

/// Hundredths of a percent: 99.8 % is 9980.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Permyriad(pub u16);

impl Permyriad {
    /// Reads `99.8%`: at most two decimals.
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.strip_suffix('%')?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.len() > 2 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let hundredths: u16 = format!("{fraction:0<2}").parse().ok()?;
        let value = whole.parse::<u16>().ok()?.checked_mul(100)?.checked_add(hundredths)?;
        (value <= 10_000).then_some(Self(value))
    }

    /// The share of `part` in `whole`, rounded down; all of nothing is 100 %.
    pub fn ratio(part: usize, whole: usize) -> Self {
        if whole == 0 {
            return Self(10_000);
        }
        Self(u16::try_from(part.saturating_mul(10_000) / whole).unwrap_or(10_000).min(10_000))
    }
}

impl fmt::Display for Permyriad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / 100, self.0 % 100);
        match fraction {
            0 => write!(f, "{whole} %"),
            f10 if f10 % 10 == 0 => write!(f, "{whole}.{} %", f10 / 10),
            _ => write!(f, "{whole}.{fraction:02} %"),
        }
    }
}

/// In decimal units, one digit after the point, as package managers say it.
pub(crate) fn bytes_told(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..1_000 => return format!("{bytes} B"),
        1_000..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        1_000_000_000.. => (1_000_000_000, "GB"),
    };
    format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit)
}
