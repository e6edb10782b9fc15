//! Stories: a world, a script, and what came of it.

use std::collections::BTreeMap;

use hozen_advisory::package::PackageSet;
use hozen_domain::{
    World,
    baseline::Baseline,
    calendar::time_zone,
    hold::Hold,
    model::{
        self, Entry, Matcher, Options, Outcome, What,
        scenario::{Approver, Event, Happening, Scenario, Script},
    },
    node::Ended,
    units::{Name, Span},
    world::{Blind, Finding},
};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use crate::matcher::findings;

/// A script in UTC from the world's instant, in which everybody approves ten minutes after they were asked.
pub fn story(world: &World, hours: u32) -> Story {
    let from = world.now.to_zoned(TimeZone::UTC).datetime();
    let until = from
        .checked_add(Span::hours(hours).duration())
        .expect("a story ends before the calendar does");
    let approver = |user: &str, role: &str| Approver {
        user: user.into(),
        role: role.into(),
        after: Span::minutes(10),
        baselines: Vec::new(),
    };
    let script = Script {
        time_zone: "UTC".into(),
        from,
        until,
        approvers: vec![
            approver("alice@example.com", "on-call"),
            approver("carol@example.com", "on-call"),
            approver("pat@example.com", "platform"),
        ],
        events: Vec::new(),
    };
    Story { world: world.clone(), script, later: BTreeMap::new(), seed: 1 }
}

/// See [`story`].
#[derive(Clone, Debug)]
pub struct Story {
    world: World,
    script: Script,
    later: BTreeMap<String, Baseline>,
    seed: u64,
}

impl Story {
    /// Something happens so long after the beginning.
    #[must_use]
    pub fn after(mut self, span: Span, happening: Happening) -> Self {
        let at = self.script.from.checked_add(span.duration()).expect("within the story");
        self.script.events.push(Event { at, happening });
        self
    }

    /// The same span of time, told in another zone.
    #[must_use]
    pub fn told_in(mut self, zone: &str) -> Self {
        let there = time_zone(zone).unwrap_or_else(|error| panic!("{error}"));
        let local = |utc: DateTime| {
            let at = TimeZone::UTC.to_timestamp(utc).expect("within the years that are known");
            there.to_datetime(at)
        };
        let Script { from, until, .. } = self.script;
        self.script = Script {
            time_zone: zone.into(),
            from: local(from),
            until: local(until),
            ..self.script
        };
        self
    }

    /// Nobody approves by themselves.
    #[must_use]
    pub fn nobody_approves(mut self) -> Self {
        self.script.approvers.clear();
        self
    }

    /// Other durations.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// A manifest that an event applies.
    #[must_use]
    pub fn later(mut self, file: &str, baseline: Baseline) -> Self {
        self.later.insert(file.to_owned(), baseline);
        self
    }

    /// Plays it. Every broken invariant fails the test, with the seed.
    pub fn play(self) -> Told {
        let matcher = Naive(self.world.clone());
        let scenario = Scenario { script: self.script, later: self.later };
        let options = Options { seed: self.seed, until: None };
        let outcome = model::simulate(self.world, &scenario, &matcher, options, &mut |_| {})
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(outcome.violations.is_empty(), "seed {}: {:#?}", self.seed, outcome.violations);
        Told(outcome)
    }
}

struct Naive(World);

impl Matcher for Naive {
    fn findings(&self, set: &PackageSet) -> Vec<Finding> {
        findings(self.0.notices.values().map(|known| &*known.notice), set).to_vec()
    }

    /// A story speaks of all that it is about.
    fn blind(&self, _: &PackageSet) -> Vec<Blind> {
        Vec::new()
    }
}

/// What came of a story.
#[derive(Clone, Debug)]
pub struct Told(pub Outcome);

impl Told {
    /// When the work on a system began and ended, and how, in the order of ending.
    pub fn ended(&self) -> Vec<(&str, Timestamp, Timestamp, &Ended)> {
        self.0
            .trace
            .iter()
            .filter_map(|Entry { at, about, what }| match what {
                What::Ended { system, started, ended, .. } => {
                    let first = self.patched(about.as_ref(), system).unwrap_or(*started);
                    Some((system.as_str(), first, *at, ended))
                }
                _ => None,
            })
            .collect()
    }

    /// When a node was taken that served between its patch and its reboot.
    fn patched(&self, request: Option<&Name>, node: &Name) -> Option<Timestamp> {
        self.0.trace.iter().find_map(|Entry { about, what, .. }| match what {
            What::Serves { system, started, .. } if system == node && about.as_ref() == request => {
                Some(*started)
            }
            _ => None,
        })
    }

    /// Systems that were proven, in order.
    pub fn proven(&self) -> Vec<&str> {
        self.ended().into_iter().filter(|e| matches!(e.3, Ended::Proven(_))).map(|e| e.0).collect()
    }

    /// Every hold that was told.
    pub fn holds(&self) -> Vec<(Timestamp, &Hold)> {
        self.0
            .trace
            .iter()
            .filter_map(|entry| match &entry.what {
                What::Held(hold) => Some((entry.at, hold)),
                _ => None,
            })
            .collect()
    }

    /// Whether a hold of this reason was told.
    pub fn held(&self, reason: &str) -> bool {
        self.holds().iter().any(|(_, hold)| hold.reason() == reason)
    }

    /// The greatest number of these systems that were being worked on at one instant.
    pub fn busiest(&self, of: impl Fn(&str) -> bool) -> usize {
        let spans: Vec<(Timestamp, Timestamp)> =
            self.ended().into_iter().filter(|e| of(e.0)).map(|e| (e.1, e.2)).collect();
        spans
            .iter()
            .map(|(start, _)| spans.iter().filter(|(from, to)| from <= start && start < to).count())
            .max()
            .unwrap_or(0)
    }
}
