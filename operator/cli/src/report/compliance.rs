//! Baselines before and after, as bars.

use super::axis::{LEFT, WIDTH, unit};
use crate::facts::{Counts, Simulation};

/// Height of a bar, and of a baseline with its two bars.
const BAR: f64 = 16.0;
const PAIR: f64 = 52.0;

/// The chart.
pub(super) struct Compliance {
    /// Its height.
    pub height: String,
    /// Its width.
    pub width: String,
    /// Its bars.
    pub bars: Vec<Bar>,
}

/// A bar.
pub(super) struct Bar {
    /// The baseline; empty for its second bar.
    pub baseline: String,
    /// `before` or `after`.
    pub when: &'static str,
    /// Where it is, and where its text stands.
    pub y: String,
    /// See `y`.
    pub text_y: String,
    /// `3 of 5 compliant`.
    pub told: String,
    /// Its parts.
    pub parts: Vec<Part>,
}

/// A part of a bar.
pub(super) struct Part {
    /// Where it begins.
    pub x: String,
    /// Its width.
    pub width: String,
    /// Its class.
    pub kind: &'static str,
    /// What is told of it.
    pub title: String,
}

/// The chart of a simulation.
pub(super) fn compliance(facts: &Simulation) -> Compliance {
    let mut bars = Vec::new();
    let mut y = 4.0;
    for result in &facts.result {
        bars.push(bar(&result.baseline, "before", result.before.counts, y));
        bars.push(bar("", "after", result.after.counts, y + BAR + 4.0));
        y += PAIR;
    }
    Compliance { height: unit(y.max(PAIR)), width: unit(WIDTH), bars }
}

fn bar(baseline: &str, when: &'static str, counts: Counts, y: f64) -> Bar {
    let whole = WIDTH - LEFT - 70.0 - 160.0;
    let mut x = LEFT + 70.0;
    let mut parts = Vec::new();
    for (count, kind) in [
        (counts.compliant, "compliant"),
        (counts.exempt, "exempt"),
        (counts.frozen, "frozen"),
        (counts.unknown, "unknown"),
        (counts.above, "above"),
        (counts.below, "below"),
    ] {
        if count == 0 {
            continue;
        }
        let width = whole * f64::from(count) / f64::from(counts.total.max(1));
        parts.push(Part { x: unit(x), width: unit(width), kind, title: format!("{count} {kind}") });
        x += width;
    }
    Bar {
        baseline: baseline.to_owned(),
        when,
        y: unit(y),
        text_y: unit(y + 12.5),
        told: format!("{} of {} compliant", counts.compliant, counts.total),
        parts,
    }
}
