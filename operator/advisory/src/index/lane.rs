//! The intervals of one package in one version ordering.
//!
//! Bounds are coded: the distinct bounds of the lane, sorted, have the odd numbers 1, 3, 5, …; a version between two of
//! them has the even number between theirs. One binary search codes the installed version, and from then on numbers are
//! compared. Rows stand by their end, the farthest first: those that end behind the installed version are a prefix.

use std::cmp::Reverse;

use smol_str::SmolStr;

use crate::version::Scheme;

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
}

/// A version's place among a lane's bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    code: u32,
    builds: Builds,
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

    /// Where a version stands among the bounds; `key` is its key in this lane's ordering.
    pub fn place(&self, key: &[u8], version: &str) -> Place {
        let mut low = 0;
        let mut high = self.ends.len();
        while low < high {
            let middle = low.midpoint(high);
            match self.key(middle).cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    return Place { code: at(middle), builds: Builds::of(self.scheme, version) };
                }
            }
        }
        Place { code: at(low) - 1, builds: Builds::of(self.scheme, version) }
    }

    /// The notices that affect a version there, each once, with the version that fixes it where one is known.
    pub fn affecting(&self, place: Place) -> impl Iterator<Item = (u32, Option<&SmolStr>)> {
        let behind = self.rows.partition_point(|row| row.until > place.code);
        self.rows[..behind]
            .iter()
            .filter(move |row| row.from <= place.code && row.builds.include(place.builds))
            .map(|row| (row.notice, self.fix(row)))
    }

    /// What a notice says of a version there that it does not affect. `None` where it has no interval in this lane.
    pub fn outside(&self, notice: u32, place: Place) -> Option<Outside> {
        let mut said = None;
        // By end, the farthest first: the first fix at or before the version is the last that it has.
        for row in self.rows.iter().filter(|row| row.notice == notice) {
            let reached = row.until <= place.code && row.builds.include(place.builds);
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

/// Whether the first end is behind the second; no end is behind every end.
fn farther(a: Option<&Edge>, b: Option<&Edge>) -> bool {
    match (a, b) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(a), Some(b)) => a > b,
    }
}
