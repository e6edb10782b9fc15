//! Everything that notices say of one package name in one ecosystem and release.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::Unknown;
use super::identity::Epoch;
use super::lane::{Builds, Compared, Edge, Interval, Lane, Outside};
use crate::notice::{Affected, Range, RangeEnd, VersionOrder};
use crate::version::Scheme;

/// All of one package name.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    /// One per version ordering: nearly always one.
    lanes: Vec<Lane>,
    /// Versions listed one by one that cannot be ordered: they match by their text alone.
    listed: Vec<(SmolStr, u32)>,
    /// What cannot be compared with any version.
    unclear: Vec<(u32, Unknown)>,
}

/// What one notice says of an installed version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Affected(Option<SmolStr>),
    Unknown(Unknown),
    Fixed(SmolStr),
    Never,
}

/// What a slot is made of, before the lanes are.
#[derive(Debug, Default)]
pub(super) struct Parts {
    intervals: Vec<(Scheme, Interval)>,
    listed: Vec<(SmolStr, u32)>,
    unclear: Vec<(u32, Unknown)>,
}

impl Parts {
    /// Adds what a notice, by its number, says of this package.
    pub fn add(&mut self, notice: u32, affected: &Affected) {
        let scheme = Scheme::of(&affected.ecosystem);
        for range in &affected.ranges {
            let scheme = match range.order {
                VersionOrder::Ecosystem => scheme,
                VersionOrder::SemVer => Some(Scheme::Semver),
            };
            match scheme.map(|scheme| (scheme, interval(scheme, notice, range))) {
                Some((scheme, Ok(interval))) => self.intervals.push((scheme, interval)),
                Some((_, Err(why))) => self.unclear.push((notice, why)),
                None => self.unclear.push((notice, Unknown::Order)),
            }
        }
        for version in &affected.versions {
            let key = scheme.and_then(|scheme| Some((scheme, scheme.key(version).ok()?)));
            match key {
                Some((scheme, key)) => {
                    let edge = |after| Edge { key: key.as_bytes().into(), after };
                    let point = Interval {
                        notice,
                        from: edge(false),
                        until: Some(edge(true)),
                        fixed: None,
                        builds: Builds::of(scheme, version),
                    };
                    self.intervals.push((scheme, point));
                }
                None => self.listed.push((version.clone(), notice)),
            }
        }
        if affected.ranges.is_empty() && affected.versions.is_empty() {
            let why = if affected.commit_ranges > 0 { Unknown::Commits } else { Unknown::Nothing };
            self.unclear.push((notice, why));
        }
    }

    /// The slot; `ids` are the notices' ids by number.
    pub fn into_slot(mut self, ids: &[SmolStr]) -> Slot {
        self.listed.sort();
        self.listed.dedup();
        self.unclear.sort_by(|a, b| (&ids[a.0 as usize], &a.1).cmp(&(&ids[b.0 as usize], &b.1)));
        self.unclear.dedup_by_key(|(notice, _)| *notice);
        let mut by_scheme: BTreeMap<Scheme, Vec<Interval>> = BTreeMap::new();
        for (scheme, interval) in self.intervals {
            by_scheme.entry(scheme).or_default().push(interval);
        }
        let lanes = by_scheme
            .into_iter()
            .map(|(scheme, intervals)| Lane::new(scheme, intervals, ids))
            .collect();
        Slot { lanes, listed: self.listed, unclear: self.unclear }
    }
}

fn interval(scheme: Scheme, notice: u32, range: &Range) -> Result<Interval, Unknown> {
    let unreadable =
        |error: crate::version::VersionError| Unknown::Bound { why: error.to_string() };
    let from = Edge {
        key: scheme.introduced_key(&range.introduced).map_err(unreadable)?.as_bytes().into(),
        after: false,
    };
    let edge = |version: &SmolStr, after| {
        let key = scheme.key(version).map_err(unreadable)?;
        Ok(Some(Edge { key: key.as_bytes().into(), after }))
    };
    let (until, fixed, bound) = match &range.end {
        RangeEnd::Fixed(version) => (edge(version, false)?, Some(version.clone()), Some(version)),
        RangeEnd::LastAffected(version) => (edge(version, true)?, None, Some(version)),
        RangeEnd::Limit(version) => (edge(version, false)?, None, Some(version)),
        RangeEnd::Open => (None, None, Some(&range.introduced).filter(|version| *version != "0")),
    };
    Ok(Interval {
        notice,
        from,
        until,
        fixed,
        builds: bound.map_or(Builds::All, |version| Builds::of(scheme, version)),
    })
}

impl Slot {
    /// Calls back with each notice that affects the version, or may, once.
    pub fn match_version(&self, compared: Compared<'_>, mut found: impl FnMut(u32, Said)) {
        let mut certain: Vec<u32> = Vec::new();
        let mut unsure: Vec<(u32, Unknown)> = Vec::new();
        let once = self.lanes.len() == 1
            && self.listed.is_empty()
            && self.unclear.is_empty()
            && compared.epoch == Epoch::Told;
        for lane in &self.lanes {
            match lane.place(compared) {
                Ok(place) => {
                    for (notice, fix) in lane.affecting(place) {
                        if once {
                            found(notice, Said::Affected(fix.cloned()));
                        } else if !certain.contains(&notice) {
                            certain.push(notice);
                            found(notice, Said::Affected(fix.cloned()));
                        }
                    }
                }
                Err(error) => {
                    let why = Unknown::Installed { why: error.to_string() };
                    unsure.extend(lane.notices().map(|notice| (notice, why.clone())));
                }
            }
        }
        for (_, notice) in self.listed.iter().filter(|(listed, _)| listed == compared.version) {
            if !certain.contains(notice) {
                certain.push(*notice);
                found(*notice, Said::Affected(None));
            }
        }
        unsure.extend(self.unclear.iter().cloned());
        for (notice, why) in unsure {
            if !certain.contains(&notice) {
                certain.push(notice);
                found(notice, Said::Unknown(why));
            }
        }
    }

    /// What one notice says of a version.
    pub fn explain(&self, notice: u32, compared: Compared<'_>) -> Said {
        let mut said = None;
        self.match_version(compared, |of, what| {
            if of == notice {
                said = Some(what);
            }
        });
        if let Some(said) = said {
            return said;
        }
        let outside = |lane: &Lane| lane.outside(notice, &lane.place(compared).ok()?);
        match self.lanes.iter().find_map(outside) {
            Some(Outside::Fixed(fix)) => Said::Fixed(fix),
            Some(Outside::Never) | None => Said::Never,
        }
    }

    /// The slot's parts again without those of one notice.
    pub fn without(&self, notice: u32) -> Parts {
        let of_others = |lane: &Lane| {
            let scheme = lane.scheme;
            let others: Vec<_> =
                lane.intervals().filter(|interval| interval.notice != notice).collect();
            others.into_iter().map(move |interval| (scheme, interval))
        };
        Parts {
            intervals: self.lanes.iter().flat_map(of_others).collect(),
            listed: self.listed.iter().filter(|(_, of)| *of != notice).cloned().collect(),
            unclear: self.unclear.iter().filter(|(of, _)| *of != notice).cloned().collect(),
        }
    }
}
