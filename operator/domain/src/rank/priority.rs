//! From severity to priority: raised by what is at stake and by attacks, lowered by what stands in between (PROCESS 3.1).
//!
//! Emergency is only what is exploited, about to be, or lets anybody take over something exposed or valuable. Everything else is
//! raised no higher than High: a class that holds everything says nothing.

use hozen_advisory::{
    notice::{KnownExploited, Notice, NoticeKind, Rating},
    severity::{Basis, Severity},
};
use jiff::Timestamp;
use smol_str::SmolStr;

use crate::baseline::{Baseline, Exposure, Impact};

use super::{Priority, Ranked, Reason, deadline::due};

/// Probability of exploitation within 30 days from which a weakness counts as about to be exploited. FIRST gives no threshold;
/// even odds are ours.
const EPSS_IMMINENT: f64 = 0.5;
/// From which it counts as more likely than most: about one notice in twenty is above it.
const EPSS_HIGH: f64 = 0.1;
/// Fewer affected systems than this share of a baseline are few.
const FEW_PERCENT: u32 = 5;
/// Below this many systems in a baseline a share says nothing.
const FEW_OF_MIN: u32 = 20;

/// What a notice says about how bad its weakness is.
pub(super) struct Weakness<'n> {
    kind: NoticeKind,
    rating: Option<Rating>,
    /// How the rating is told: `CVSS 9.8`.
    told: String,
    source: &'static str,
    exploited: Option<&'n KnownExploited>,
    epss: Option<f64>,
    reach: Reach,
}

/// From where it can be attacked, and to what end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Anybody on the network can take the system over.
    RemoteTakeover,
    /// Over the network.
    Network,
    /// Only from near by, or with an account on the system.
    Local,
    /// Nothing is said.
    Unknown,
}

impl<'n> Weakness<'n> {
    pub(super) fn of(notice: &'n Notice, severity: Option<&Severity>) -> Self {
        let (told, source, reach) = match severity.map(|s| (&s.basis, s.rating)) {
            Some((Basis::Cvss { score, vector, .. }, _)) => {
                (format!("CVSS {score}"), "CVSS", reach(vector))
            }
            Some((Basis::Word, rating)) => {
                (format!("its publisher rates it {rating:?}"), "PROCESS 3.1", Reach::Unknown)
            }
            None => ("no severity is known,".into(), "PROCESS 3.1", Reach::Unknown),
        };
        Self {
            kind: notice.kind,
            rating: severity.map(|severity| severity.rating),
            told,
            source,
            exploited: notice.exploitation.known_exploited.as_ref(),
            epss: notice.exploitation.epss,
            reach,
        }
    }

    /// An update of which nothing but its pocket is known.
    pub(super) fn untold() -> Self {
        Self {
            kind: NoticeKind::Security,
            rating: None,
            told: "a security update of the distribution; no notice tells its severity,".into(),
            source: "PROCESS 3.1",
            exploited: None,
            epss: None,
            reach: Reach::Unknown,
        }
    }
}

fn reach(vector: &str) -> Reach {
    let has = |metric: &str| vector.split(['/', '(', ')']).any(|part| part == metric);
    if !has("AV:N") {
        return Reach::Local;
    }
    let open = (has("PR:N") && has("UI:N")) || has("Au:N");
    let taken =
        (has("C:H") && has("I:H")) || (has("VC:H") && has("VI:H")) || (has("C:C") && has("I:C"));
    if open && taken { Reach::RemoteTakeover } else { Reach::Network }
}

/// One weakness in the systems of one baseline.
pub(super) struct Case<'a> {
    pub(super) baseline: &'a Baseline,
    pub(super) weakness: &'a Weakness<'a>,
    /// How many systems are, or were, affected.
    pub(super) systems: u32,
    /// Of how many.
    pub(super) of: u32,
    /// A mitigation is in place.
    pub(super) mitigated: bool,
}

/// A priority on its way, with the reasons so far.
struct Way {
    priority: Priority,
    reasons: Vec<Reason>,
}

impl Way {
    /// Moves to a priority and says why: `TEXT: High`, or `TEXT: stays High`.
    fn to(&mut self, priority: Priority, text: &str, source: &'static str) {
        let stays = if priority == self.priority { "stays " } else { "" };
        self.reasons.push(Reason {
            text: format!("{text}: {stays}{}", priority.name()),
            source: SmolStr::new_static(source),
        });
        self.priority = priority;
    }

    fn raise(&mut self, cap: Priority, text: &str, source: &'static str) {
        let raised = self.priority.raised().max(cap);
        self.to(raised.min(self.priority), text, source);
    }
}

impl Case<'_> {
    /// The priority with its reasons, and the deadline: none where no fix was seen yet.
    pub(super) fn rank(&self, seen: Option<Timestamp>, systems: u32) -> Ranked {
        let mut way = self.severity();
        self.attacks(&mut way);
        self.stake(&mut way);
        self.lowering(&mut way);
        let Way { priority, mut reasons } = way;
        let kev_due = self.weakness.exploited.and_then(|listed| listed.due);
        let profile = &self.baseline.remediation.profile;
        let due = seen.and_then(|seen| due(profile, priority, seen, kev_due, &mut reasons));
        if seen.is_none() {
            reasons.push(Reason {
                text: "no fix can be had yet: exposure all the same, and no deadline".into(),
                source: SmolStr::new_static("PROCESS 3.4"),
            });
        }
        Ranked { priority, due, seen, reasons, systems, mitigated: self.mitigated }
    }

    fn severity(&self) -> Way {
        let weakness = self.weakness;
        let (priority, gives) = match (weakness.kind, weakness.rating) {
            (NoticeKind::Bugfix, Some(Rating::Critical)) => {
                (Priority::Medium, "an ordinary defect, gives Medium")
            }
            (NoticeKind::Bugfix, _) => (Priority::Low, "an ordinary defect, gives Low"),
            (NoticeKind::Security, Some(Rating::Critical)) => {
                (Priority::High, "gives Emergency or High")
            }
            (NoticeKind::Security, Some(Rating::High)) => (Priority::High, "gives High"),
            (NoticeKind::Security, Some(Rating::Medium)) => (Priority::Medium, "gives Medium"),
            (NoticeKind::Security, Some(Rating::Low | Rating::None)) => {
                (Priority::Low, "gives Low")
            }
            (NoticeKind::Security, None) => (Priority::High, "taken as High until one is"),
        };
        Way {
            priority,
            reasons: vec![Reason {
                text: format!("{} {gives}", weakness.told),
                source: SmolStr::new_static(weakness.source),
            }],
        }
    }

    fn attacks(&self, way: &mut Way) {
        if let Some(listed) = self.weakness.exploited {
            let text = format!("known to be exploited since {}", listed.since);
            way.to(Priority::Emergency, &text, "KEV");
            if listed.ransomware {
                way.to(Priority::Emergency, "known use by ransomware", "KEV");
            }
        }
        let Some(epss) = self.weakness.epss else {
            return;
        };
        let severe = self.weakness.rating.is_none_or(|rating| rating >= Rating::High);
        if epss >= EPSS_IMMINENT && severe {
            let text = format!("exploitation within 30 days is likely ({epss:.2})");
            way.to(Priority::Emergency, &text, "EPSS");
        } else if epss >= EPSS_HIGH {
            let text = format!("exploitation is likelier than of most ({epss:.2})");
            way.raise(Priority::High, &text, "EPSS");
        }
    }

    fn stake(&self, way: &mut Way) {
        let asset = &self.baseline.asset;
        let name = &self.baseline.name;
        let reach = self.weakness.reach;
        // What lets anybody take over something that matters is an emergency before it is exploited.
        let cap = match (reach, self.weakness.rating) {
            (Reach::RemoteTakeover, _) | (Reach::Unknown, Some(Rating::Critical)) => {
                Priority::Emergency
            }
            (Reach::Network | Reach::Local | Reach::Unknown, _) => Priority::High,
        };
        if reach == Reach::RemoteTakeover {
            way.raise(
                Priority::High,
                "anybody on the network can take the system over",
                "PROCESS 3.1",
            );
        }
        if asset.exposure == Exposure::Internet && reach != Reach::Local {
            way.raise(cap, &format!("{name} is exposed to the Internet"), "PROCESS 3.1");
        }
        if asset.business_impact == Impact::High {
            way.raise(cap, &format!("{name} has high business impact"), "PROCESS 3.1");
        }
        if asset.attacked_before {
            way.raise(cap, &format!("{name} was attacked before"), "PROCESS 3.1");
        }
    }

    fn lowering(&self, way: &mut Way) {
        let asset = &self.baseline.asset;
        let name = &self.baseline.name;
        if self.mitigated {
            let lowered = way.priority.lowered();
            way.to(lowered, "a mitigation is in place; the patch is still needed", "PROCESS 3.4");
        }
        if asset.exposure == Exposure::Isolated && asset.business_impact == Impact::Low {
            let lowered = way.priority.lowered();
            way.to(lowered, &format!("{name} is isolated and of low value"), "PROCESS 3.1");
        }
        let few = self.of >= FEW_OF_MIN
            && u64::from(self.systems) * 100 < u64::from(self.of) * u64::from(FEW_PERCENT);
        if few && matches!(way.priority, Priority::Medium | Priority::High) && !self.threatened() {
            let lowered = way.priority.lowered();
            let text = format!("few are affected: {} of {}", self.systems, self.of);
            way.to(lowered, &text, "PROCESS 3.1");
        }
    }

    /// Few systems are enough for an attacker who is at it, or who is let in from everywhere.
    fn threatened(&self) -> bool {
        let weakness = self.weakness;
        weakness.exploited.is_some()
            || weakness.epss.is_some_and(|epss| epss >= EPSS_HIGH)
            || self.baseline.asset.exposure == Exposure::Internet
            || self.baseline.asset.business_impact == Impact::High
    }
}
