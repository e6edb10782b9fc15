//! How much was missing, from instant to instant.

use jiff::Timestamp;

use super::axis::{Axis, LEFT, Mark, WIDTH, unit};
use crate::{
    facts::{Missing, Sample, Simulation},
    text::Reader,
};

/// Height of the plot.
const PLOT: f64 = 180.0;
/// Room above it.
const TOP: f64 = 14.0;

/// The chart.
pub(super) struct Exposure {
    /// Its height.
    pub height: String,
    /// Its width.
    pub width: String,
    /// The foot of the plot.
    pub foot: String,
    /// Marks of time.
    pub marks: Vec<Mark>,
    /// Marks of height: where, and how many.
    pub heights: Vec<Mark>,
    /// One area for each priority, the most urgent at the bottom.
    pub areas: Vec<Area>,
    /// Left end of the plot.
    pub left: String,
}

/// The part of what is missing that has one priority.
type Part = fn(&Missing) -> u32;

/// An area.
pub(super) struct Area {
    /// Its class.
    pub kind: &'static str,
    /// Its outline.
    pub path: String,
}

/// The chart of a simulation; none where nothing is ever missing.
pub(super) fn exposure(facts: &Simulation, reader: &Reader) -> Option<Exposure> {
    let steps: Vec<(Timestamp, Missing)> = facts.curve.iter().map(|s| (s.at, missing(s))).collect();
    let most = steps.iter().map(|(_, missing)| missing.total()).max().filter(|most| *most > 0)?;
    let axis = Axis::new(facts.from, facts.until);
    let plot = Plot { axis: &axis, most, until: facts.until };
    let parts: [(&'static str, Part); 4] = [
        ("emergency", |m| m.emergency),
        ("high", |m| m.high),
        ("medium", |m| m.medium),
        ("low", |m| m.low),
    ];
    let mut below: Vec<u32> = vec![0; steps.len()];
    let mut areas = Vec::new();
    for (kind, part) in parts {
        let above: Vec<u32> = steps
            .iter()
            .zip(&below)
            .map(|((_, missing), below)| below.saturating_add(part(missing)))
            .collect();
        if above != below {
            areas.push(Area { kind, path: plot.area(&steps, &below, &above) });
        }
        below = above;
    }
    Some(Exposure {
        height: unit(TOP + PLOT + 26.0),
        width: unit(WIDTH),
        foot: unit(TOP + PLOT),
        marks: axis.marks(reader),
        heights: [0, most / 2, most]
            .into_iter()
            .collect::<std::collections::BTreeSet<u32>>()
            .into_iter()
            .map(|count| Mark { x: unit(plot.y(count)), text: count.to_string() })
            .collect(),
        areas,
        left: unit(LEFT),
    })
}

fn missing(sample: &Sample) -> Missing {
    sample.baselines.values().fold(Missing::default(), |sum, standing| Missing {
        emergency: sum.emergency.saturating_add(standing.missing.emergency),
        high: sum.high.saturating_add(standing.missing.high),
        medium: sum.medium.saturating_add(standing.missing.medium),
        low: sum.low.saturating_add(standing.missing.low),
    })
}

struct Plot<'a> {
    axis: &'a Axis,
    most: u32,
    until: Timestamp,
}

impl Plot<'_> {
    fn y(&self, count: u32) -> f64 {
        TOP + PLOT * (1.0 - f64::from(count) / f64::from(self.most))
    }

    /// Steps along the upper edge, and back along the lower.
    fn area(&self, steps: &[(Timestamp, Missing)], below: &[u32], above: &[u32]) -> String {
        let ends: Vec<Timestamp> =
            steps.iter().skip(1).map(|(at, _)| *at).chain(std::iter::once(self.until)).collect();
        let edge = |heights: &[u32]| -> Vec<(f64, f64)> {
            steps
                .iter()
                .zip(&ends)
                .zip(heights)
                .flat_map(|(((at, _), end), count)| {
                    let y = self.y(*count);
                    [(self.axis.x(*at), y), (self.axis.x(*end), y)]
                })
                .collect()
        };
        let mut points = edge(above);
        points.extend(edge(below).into_iter().rev());
        let points: Vec<String> =
            points.into_iter().map(|(x, y)| format!("{} {}", unit(x), unit(y))).collect();
        format!("M{}Z", points.join("L"))
    }
}
