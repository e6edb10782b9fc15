//! What was measured, beside what is held.

use std::time::Duration;

/// How a number is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Held {
    /// A count of at most this: it does not depend on how fast the machine is, and one that is over it fails the run.
    Count(f64),
    /// A time, an amount of memory or a rate of at most this: printed, and judged by whoever knows the machine.
    AtMost(f64),
    /// Likewise of at least this.
    AtLeast(f64),
    /// Nothing.
    Nothing,
}

/// Lines of what was measured.
#[derive(Debug, Default)]
pub struct Measured {
    broken: usize,
}

impl Measured {
    /// One number with its unit.
    pub fn tell(&mut self, what: &str, value: f64, unit: &str, held: Held) {
        let (limit, met) = match held {
            Held::Count(limit) | Held::AtMost(limit) => {
                (format!("at most {}", short(limit)), value <= limit)
            }
            Held::AtLeast(limit) => (format!("at least {}", short(limit)), value >= limit),
            Held::Nothing => (String::new(), true),
        };
        if matches!(held, Held::Count(_)) && !met {
            self.broken += 1;
        }
        let verdict = if met { "" } else { "NOT MET" };
        println!("{what:<66} {:>9} {unit:<10} {limit:<16} {verdict}", short(value));
    }

    /// A number of things.
    pub fn count(&mut self, what: &str, count: usize, held: Held) {
        self.tell(what, number(count), "", held);
    }

    /// A time.
    pub fn time(&mut self, what: &str, took: Duration, held: Held) {
        self.tell(what, took.as_secs_f64(), "s", held);
    }

    /// Whether no count is over its limit.
    pub const fn holds(&self) -> bool {
        self.broken == 0
    }
}

/// A number of things, to be reckoned with.
#[expect(clippy::cast_precision_loss, reason = "there are no 2^52 things here")]
pub const fn number(count: usize) -> f64 {
    count as f64
}

/// As many digits as say something.
fn short(value: f64) -> String {
    if value >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}
