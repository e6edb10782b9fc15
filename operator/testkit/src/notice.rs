//! Notices.

use std::sync::Arc;

use hozen_advisory::notice::{
    Affected, KnownExploited, Mitigation, Notice, NoticeKind, Range, RangeEnd, Rating,
};
use hozen_domain::request::Known;
use jiff::Timestamp;

use crate::world::at;

/// A security notice without severity that affects nothing yet.
pub fn notice(id: &str) -> NoticeBuilder {
    NoticeBuilder {
        notice: Notice { id: id.into(), summary: format!("{id} in a test"), ..Notice::default() },
        fix_seen: None,
        seen: None,
    }
}

/// See [`notice`].
#[derive(Clone, Debug)]
pub struct NoticeBuilder {
    notice: Notice,
    fix_seen: Option<Timestamp>,
    seen: Option<Timestamp>,
}

impl NoticeBuilder {
    /// Every version of a (source) package before this one is affected.
    #[must_use]
    pub fn fixes(self, ecosystem: &str, package: &str, fixed: &str) -> Self {
        self.affects(ecosystem, package, RangeEnd::Fixed(fixed.into()))
    }

    /// Every version of a (source) package is affected, and no fix is known.
    #[must_use]
    pub fn unfixed(self, ecosystem: &str, package: &str) -> Self {
        self.affects(ecosystem, package, RangeEnd::Open)
    }

    /// Affects every version up to this one; which later one fixes it is not told.
    #[must_use]
    pub fn last_affected(self, ecosystem: &str, package: &str, version: &str) -> Self {
        self.affects(ecosystem, package, RangeEnd::LastAffected(version.into()))
    }

    fn affects(mut self, ecosystem: &str, package: &str, end: RangeEnd) -> Self {
        self.notice.affected.push(Affected {
            ecosystem: ecosystem.into(),
            name: package.into(),
            ranges: vec![Range::new("0", end)],
            ..Affected::default()
        });
        self
    }

    /// A CVSS vector.
    #[must_use]
    pub fn cvss(mut self, vector: &str) -> Self {
        self.notice.severity.push(vector.into());
        self
    }

    /// Remote, without privileges or help, everything lost: 9.8.
    #[must_use]
    pub fn critical(self) -> Self {
        self.cvss("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H")
    }

    /// A local user loses everything: 7.8.
    #[must_use]
    pub fn high(self) -> Self {
        self.cvss("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H")
    }

    /// A local user stops a service: 5.5.
    #[must_use]
    pub fn medium(self) -> Self {
        self.cvss("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:H")
    }

    /// A local user reads a little: 3.3.
    #[must_use]
    pub fn low(self) -> Self {
        self.cvss("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:L/I:N/A:N")
    }

    /// The publisher's word.
    #[must_use]
    pub const fn rated(mut self, rating: Rating) -> Self {
        self.notice.rated = Some(rating);
        self
    }

    /// Known to be exploited since a day, with CISA's due date.
    #[must_use]
    pub fn exploited(mut self, since: &str, due: Option<&str>) -> Self {
        let day = |text: &str| text.parse().expect("a date like 2026-11-19");
        self.notice.exploitation.known_exploited =
            Some(KnownExploited { since: day(since), due: due.map(day), ransomware: false });
        self
    }

    /// Known use in ransomware campaigns; call after [`Self::exploited`].
    #[must_use]
    pub fn ransomware(mut self) -> Self {
        self.notice.exploitation.known_exploited.as_mut().expect("exploited first").ransomware =
            true;
        self
    }

    /// Probability of exploitation.
    #[must_use]
    pub const fn epss(mut self, probability: f64) -> Self {
        self.notice.exploitation.epss = Some(probability);
        self
    }

    /// An ordinary defect.
    #[must_use]
    pub const fn bugfix(mut self) -> Self {
        self.notice.kind = NoticeKind::Bugfix;
        self
    }

    /// A port that can be blocked until there is a patch.
    #[must_use]
    pub fn mitigated_by_blocking(mut self, port: &str) -> Self {
        self.notice.mitigations.push(Mitigation {
            summary: format!("block {port}"),
            stop: Vec::new(),
            block: vec![port.into()],
        });
        self
    }

    /// When we first saw its fix.
    #[must_use]
    pub fn fix_seen(mut self, when: &str) -> Self {
        self.fix_seen = Some(at(when));
        self
    }

    /// Changes anything else.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Notice)) -> Self {
        change(&mut self.notice);
        self
    }

    /// The notice; seen at `now` unless said otherwise, its fix too where a range names one.
    pub fn build(self, now: Timestamp) -> Known {
        let fixed = self.notice.affected.iter().any(|affected| {
            affected.ranges.iter().any(|range| matches!(range.end, RangeEnd::Fixed(_)))
        });
        let fix_first_seen = self.fix_seen.or(fixed.then_some(now));
        Known {
            notice: Arc::new(self.notice),
            fix_first_seen,
            first_seen: self.seen.or(fix_first_seen).unwrap_or(now),
        }
    }
}
