//! The intervals of one package in one version ordering.
//!
//! Bounds are coded: the distinct bounds of the lane, sorted, have the odd numbers 1, 3, 5, …; a version between two of
//! them has the even number between theirs. One binary search codes the installed version, and from then on numbers are
//! compared. Rows stand by their end, the farthest first: those that end behind the installed version are a prefix.
//!
//! A version whose epoch is not known has a code for each epoch that bounds have: bounds of one epoch are neighbours.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use smol_str::SmolStr;

use super::identity::Epoch;
use crate::version::{Scheme, VersionError};

/// A place in the order of versions: just before the version of `key`, or just after it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    /// Bytes of the version's key; empty before every version.
    pub key: Box<[u8]>,
    pub after: bool,
}

/// Which builds of an RPM an interval speaks of. A modular build (`….module_el8…`) and a plain one of the same name
/// are different products: the fix of one is neither missing from nor present in the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Builds {
    All,
    Plain,
    Modular,
}

impl Builds {
    /// The builds that a bound of an interval speaks of.
    pub fn of(scheme: Scheme, version: &str) -> Self {
        match scheme {
            Scheme::Rpm if version.contains(".module") => Self::Modular,
            Scheme::Rpm => Self::Plain,
            _ => Self::All,
        }
    }

    fn include(self, installed: Self) -> bool {
        self == Self::All || self == installed
    }
}

/// One interval of affected versions on its way into a lane.
#[derive(Clone, Debug)]
pub(super) struct Interval {
    /// Number of the notice.
    pub notice: u32,
    pub from: Edge,
    /// `None`: no end.
    pub until: Option<Edge>,
    /// The version at the end, where it is the fix.
    pub fixed: Option<SmolStr>,
    pub builds: Builds,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    until: u32,
    from: u32,
    notice: u32,
    /// Position in `fixes`, or `NO_FIX`.
    fix: u32,
    builds: Builds,
}

const NO_END: u32 = u32::MAX;
const NO_FIX: u32 = u32::MAX;

/// The intervals of one package in one ordering.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub scheme: Scheme,
    /// The distinct bounds, sorted, one behind the other; `ends` says where each ends.
    keys: Box<[u8]>,
    ends: Box<[u32]>,
    fixes: Box<[SmolStr]>,
    rows: Box<[Row]>,
    /// Where bounds have several epochs: how many bounds are of the first, of the first two, and so on.
    epochs: Box<[u32]>,
}

/// A version as it is installed, to be compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compared<'a> {
    pub version: &'a str,
    pub epoch: Epoch,
}

/// A version's place among a lane's bounds.
#[derive(Clone, Debug)]
pub(super) struct Place {
    codes: Codes,
    builds: Builds,
}

#[derive(Clone, Debug)]
enum Codes {
    /// With all bounds.
    One(u32),
    /// With those of one epoch: the first code that belongs to the next, and the version's own.
    ByEpoch(Vec<(u32, u32)>),
}

impl Place {
    /// The version's code where it is compared with a bound.
    fn beside(&self, bound: u32) -> u32 {
        match &self.codes {
            Codes::One(code) => *code,
            Codes::ByEpoch(codes) => {
                let of_epoch = codes.iter().find(|(next, _)| bound < *next).or(codes.last());
                of_epoch.map_or(0, |(_, code)| *code)
            }
        }
    }

    fn is_begun(&self, row: &Row) -> bool {
        row.from <= self.beside(row.from)
    }

    fn is_ended(&self, row: &Row) -> bool {
        row.until != NO_END && row.until <= self.beside(row.until)
    }
}

/// What one notice says of a version that is in none of its intervals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outside {
    /// At or behind this fix.
    Fixed(SmolStr),
    /// Before all of them, between two, or of another build.
    Never,
}

impl Lane {
    /// From all intervals of one package in one ordering. Those of one notice that touch become one, so that a version
    /// is in at most one interval of a notice, and the fix named is one that suffices. `ids` are the notices' ids.
    pub fn new(scheme: Scheme, intervals: Vec<Interval>, ids: &[SmolStr]) -> Self {
        let intervals = joined(intervals);
        let mut bounds: Vec<&[u8]> = intervals
            .iter()
            .flat_map(|interval| [Some(&interval.from), interval.until.as_ref()])
            .flatten()
            .map(|edge| edge.key.as_ref())
            .filter(|key| !key.is_empty())
            .collect();
        bounds.sort_unstable();
        bounds.dedup();
        let code = |edge: &Edge| match bounds.binary_search(&edge.key.as_ref()) {
            Ok(position) => at(position) + u32::from(edge.after),
            Err(_) => 0,
        };
        let mut fixes: Vec<SmolStr> = Vec::new();
        let mut rows: Vec<Row> = Vec::with_capacity(intervals.len());
        for interval in &intervals {
            rows.push(Row {
                until: interval.until.as_ref().map_or(NO_END, code),
                from: code(&interval.from),
                notice: interval.notice,
                fix: interval.fixed.as_ref().map_or(NO_FIX, |_| number(fixes.len())),
                builds: interval.builds,
            });
            fixes.extend(interval.fixed.clone());
        }
        rows.sort_by_key(|row| (Reverse(row.until), &ids[row.notice as usize], row.from));
        let mut keys = Vec::new();
        let mut ends = Vec::with_capacity(bounds.len());
        let epochs = epochs(scheme, &bounds);
        for bound in bounds {
            keys.extend_from_slice(bound);
            ends.push(number(keys.len()));
        }
        Self {
            scheme,
            keys: keys.into(),
            ends: ends.into(),
            fixes: fixes.into(),
            rows: rows.into(),
            epochs,
        }
    }

    /// The intervals again, for a lane that is made anew with some of them changed.
    pub fn intervals(&self) -> impl Iterator<Item = Interval> {
        let edge = |code: u32| Edge {
            key: code
                .checked_sub(1)
                .map_or_else(Box::default, |code| self.key(code as usize / 2).into()),
            after: code > 0 && code.is_multiple_of(2),
        };
        self.rows.iter().map(move |row| Interval {
            notice: row.notice,
            from: edge(row.from),
            until: (row.until != NO_END).then(|| edge(row.until)),
            fixed: self.fix(row).cloned(),
            builds: row.builds,
        })
    }

    /// Where a version stands among the bounds.
    pub fn place(&self, compared: Compared<'_>) -> Result<Place, VersionError> {
        let key = self.scheme.key(compared.version)?;
        let codes = match compared.epoch {
            Epoch::Told => Codes::One(self.code(key.as_bytes())),
            Epoch::AsCompared => self.codes_by_epoch(key.as_bytes()),
        };
        Ok(Place { codes, builds: Builds::of(self.scheme, compared.version) })
    }

    fn codes_by_epoch(&self, key: &[u8]) -> Codes {
        let with_epoch_of = |position: usize| {
            let epoch = self.scheme.split_epoch(self.key(position)).map(|(epoch, _)| epoch);
            let rest = self.scheme.split_epoch(key).map(|(_, rest)| rest);
            epoch.zip(rest).map_or_else(|| key.to_vec(), |(epoch, rest)| [epoch, rest].concat())
        };
        match self.epochs.as_ref() {
            [] if self.ends.is_empty() => Codes::One(self.code(key)),
            [] => Codes::One(self.code(&with_epoch_of(0))),
            counts => Codes::ByEpoch(
                counts
                    .iter()
                    .map(|&count| {
                        let last = (count as usize).saturating_sub(1);
                        (at(count as usize), self.code(&with_epoch_of(last)))
                    })
                    .collect(),
            ),
        }
    }

    /// The code of a version, by its key.
    fn code(&self, key: &[u8]) -> u32 {
        let mut low = 0;
        let mut high = self.ends.len();
        while low < high {
            let middle = low.midpoint(high);
            match self.key(middle).cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return at(middle),
            }
        }
        at(low) - 1
    }

    /// The notices that affect a version there, with the version that fixes it where one is known; each once, unless it
    /// has ranges of several epochs and the version's is not known.
    pub fn affecting(&self, place: Place) -> impl Iterator<Item = (u32, Option<&SmolStr>)> {
        let behind = match place.codes {
            Codes::One(code) => self.rows.partition_point(|row| row.until > code),
            Codes::ByEpoch(_) => self.rows.len(),
        };
        self.rows[..behind]
            .iter()
            .filter(move |row| {
                place.is_begun(row) && !place.is_ended(row) && row.builds.include(place.builds)
            })
            .map(|row| (row.notice, self.fix(row)))
    }

    /// What a notice says of a version there that it does not affect. `None` where it has no interval in this lane.
    pub fn outside(&self, notice: u32, place: &Place) -> Option<Outside> {
        let mut said = None;
        // By end, the farthest first: the first fix at or before the version is the last that it has.
        for row in self.rows.iter().filter(|row| row.notice == notice) {
            let reached = place.is_ended(row) && row.builds.include(place.builds);
            match self.fix(row) {
                Some(fix) if reached => return Some(Outside::Fixed(fix.clone())),
                _ => said = Some(Outside::Never),
            }
        }
        said
    }

    /// The notices that have an interval here, each once.
    pub fn notices(&self) -> impl Iterator<Item = u32> {
        let mut notices: Vec<u32> = self.rows.iter().map(|row| row.notice).collect();
        notices.sort_unstable();
        notices.dedup();
        notices.into_iter()
    }

    fn key(&self, position: usize) -> &[u8] {
        let from = position.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.keys[from as usize..self.ends[position] as usize]
    }

    fn fix(&self, row: &Row) -> Option<&SmolStr> {
        self.fixes.get(row.fix as usize)
    }
}

/// How many bounds are of the first epoch, of the first two, and so on; empty where all are of one.
fn epochs(scheme: Scheme, bounds: &[&[u8]]) -> Box<[u32]> {
    let epoch = |bound: &[u8]| scheme.split_epoch(bound).map(|(epoch, _)| epoch.to_vec());
    let mut count = 0;
    let counts: Vec<u32> = bounds
        .chunk_by(|a, b| epoch(a) == epoch(b))
        .map(|same| {
            count += same.len();
            number(count)
        })
        .collect();
    if counts.len() > 1 { counts.into() } else { Box::default() }
}

/// The code of the bound at a position.
fn at(position: usize) -> u32 {
    number(position).saturating_mul(2).saturating_add(1)
}

/// A count of one package's bounds or their bytes. Limits on documents keep these far below four thousand million.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Intervals of one notice that overlap or touch, as one; empty ones are gone.
fn joined(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.retain(|interval| interval.until.as_ref().is_none_or(|until| interval.from < *until));
    part_by_build(&mut intervals);
    intervals.sort_by(|a, b| {
        (a.notice, a.builds, &a.from, &a.until).cmp(&(b.notice, b.builds, &b.from, &b.until))
    });
    let mut joined: Vec<Interval> = Vec::with_capacity(intervals.len());
    for next in intervals {
        let touches = |last: &Interval| {
            (last.notice, last.builds) == (next.notice, next.builds)
                && last.until.as_ref().is_none_or(|until| next.from <= *until)
        };
        match joined.last_mut().filter(|last| touches(last)) {
            Some(last) => {
                if farther(next.until.as_ref(), last.until.as_ref()) {
                    last.until = next.until;
                    last.fixed = next.fixed;
                } else if next.until == last.until && last.fixed.is_none() {
                    last.fixed = next.fixed;
                }
            }
            None => joined.push(next),
        }
    }
    joined
}

/// Where a notice speaks of plain or modular builds and of all in one, what it says of all is said of each: so that it is in
/// one interval with what is said of them.
fn part_by_build(intervals: &mut Vec<Interval>) {
    let of_some = |interval: &&Interval| interval.builds != Builds::All;
    let apart: BTreeSet<u32> =
        intervals.iter().filter(of_some).map(|interval| interval.notice).collect();
    let modular: Vec<Interval> = intervals
        .iter_mut()
        .filter(|interval| interval.builds == Builds::All && apart.contains(&interval.notice))
        .map(|interval| {
            interval.builds = Builds::Plain;
            Interval { builds: Builds::Modular, ..interval.clone() }
        })
        .collect();
    intervals.extend(modular);
}

/// Whether the first end is behind the second; no end is behind every end.
fn farther(a: Option<&Edge>, b: Option<&Edge>) -> bool {
    match (a, b) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(a), Some(b)) => a > b,
    }
}
