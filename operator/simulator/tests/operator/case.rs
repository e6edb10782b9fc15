//! Everything that is played, each by a name by which it is played again.

use std::{fmt, str::FromStr, time::Duration};

use hozen_simulator::{How, Strike};

use crate::{
    broken::{ALWAYS_LEADS, VARIANTS},
    meddle::{self, Act},
    refuses::{self, Refuses, What},
    run::{Tampers, Trial},
    scene::Scene,
};

/// One story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Nothing goes wrong but what the scene says.
    Golden,
    /// The same, and then nobody writes for so many minutes.
    Settled(u64),
    /// The golden story before the window, so that for long nothing happens.
    Waiting(u64),
    /// The golden story with one replica, whose process dies, or does not hear the answer, at a writing call.
    Struck(How, u64),
    /// The golden story of a seed, and somebody does something besides.
    Meddled(Act, u64),
    /// The golden story of a seed in which nothing fails, after a scanner that lies took the names of what the others will bring.
    Squatted(u64),
    /// The golden story after others that are over, and a day more: what nothing needs of them is collected.
    Remembered(u64),
    /// Three replicas that all take themselves for the leader.
    Leaders(u64),
    /// The golden story of a seed, and one kind of write is refused.
    Refused(What, u64),
    /// Whatever the seed draws.
    Seed(u64),
    /// A broken operator, by its place in the list.
    Broken(usize, u64),
}

/// All kinds of strike.
pub const STRIKES: [How; 3] = [How::CrashBefore, How::CrashAfter, How::AnswerLost];
/// Beyond what a server remembers of the past.
const BEFORE_THE_WINDOW: &str = "2026-11-28T01:30:00Z";
/// A broken operator has so long to be caught, in virtual time.
const CAUGHT_WITHIN: Duration = Duration::from_mins(30);

impl Case {
    /// What is run.
    pub fn trial(self) -> Trial {
        match self {
            Self::Golden => Trial::fair(1),
            Self::Settled(minutes) => {
                Trial { quiet: Duration::from_mins(minutes), ..Trial::fair(2) }
            }
            Self::Waiting(seed) => {
                let scene = Scene { begins: BEFORE_THE_WINDOW.parse().unwrap(), ..Scene::golden() };
                Trial { scene, ..Trial::fair(seed) }
            }
            Self::Struck(how, call) => {
                let strike = Some(Strike { call, how });
                Trial { replicas: 1, strike, ..Trial::fair(3) }
            }
            Self::Meddled(act, seed) => Trial { meddling: vec![act], ..Trial::fair(seed) },
            Self::Squatted(seed) => {
                let scene = Scene { squatted: true, fails: None, ..Scene::golden() };
                Trial { scene, ..Trial::fair(seed) }
            }
            Self::Remembered(seed) => {
                let scene = Scene { past: true, ..Scene::golden() };
                let patience = Duration::from_hours(30);
                // Each replica's watches and lease are some ten thousand calls in a day.
                Trial { scene, patience, replicas: 1, ..Trial::fair(seed) }
            }
            Self::Leaders(seed) => {
                let tamper = Some(ALWAYS_LEADS);
                Trial { tamper, replicas: 3, all_lead: true, ..Trial::fair(seed) }
            }
            Self::Refused(what, seed) => {
                let tamper: Tampers = match what {
                    What::Baselines => |server| Box::new(Refuses::new(What::Baselines, server)),
                    What::Claims => |server| Box::new(Refuses::new(What::Claims, server)),
                    What::Tasks => |server| Box::new(Refuses::new(What::Tasks, server)),
                };
                Trial { tamper: Some(tamper), ..Trial::fair(seed) }
            }
            Self::Seed(seed) => Trial::foul(seed),
            Self::Broken(variant, seed) => {
                let tamper = VARIANTS.get(variant).map(|variant| variant.tamper);
                let mut trial = Trial { tamper, ..Trial::fair(seed) };
                trial.meddling = vec![Act::Cordon, Act::Unguard];
                (trial.scene.lies, trial.once) = (Some(1), true);
                Trial { patience: CAUGHT_WITHIN, ..trial }
            }
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Golden => f.write_str("golden"),
            Self::Settled(minutes) => write!(f, "settled-{minutes}"),
            Self::Waiting(seed) => write!(f, "waiting-{seed}"),
            Self::Struck(how, call) => write!(f, "{how:?}-{call}"),
            Self::Meddled(act, seed) => write!(f, "{act:?}-{seed}"),
            Self::Squatted(seed) => write!(f, "squatted-{seed}"),
            Self::Remembered(seed) => write!(f, "remembered-{seed}"),
            Self::Leaders(seed) => write!(f, "leaders-{seed}"),
            Self::Refused(what, seed) => write!(f, "{what:?}-{seed}"),
            Self::Seed(seed) => write!(f, "seed-{seed}"),
            Self::Broken(variant, seed) => write!(f, "broken-{variant}-{seed}"),
        }
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("{text} names no story");
        if text == "golden" {
            return Ok(Self::Golden);
        }
        let (what, number) = text.rsplit_once('-').ok_or_else(unknown)?;
        let number: u64 = number.parse().map_err(|_| unknown())?;
        let struck = STRIKES.into_iter().find(|how| format!("{how:?}") == what);
        let meddled = meddle::ALL.into_iter().find(|act| format!("{act:?}") == what);
        let refused = refuses::ALL.into_iter().find(|kind| format!("{kind:?}") == what);
        let broken = what.strip_prefix("broken-").and_then(|variant| variant.parse().ok());
        match (what, struck, meddled, broken) {
            ("settled", ..) => Ok(Self::Settled(number)),
            ("waiting", ..) => Ok(Self::Waiting(number)),
            ("squatted", ..) => Ok(Self::Squatted(number)),
            ("remembered", ..) => Ok(Self::Remembered(number)),
            ("leaders", ..) => Ok(Self::Leaders(number)),
            ("seed", ..) => Ok(Self::Seed(number)),
            _ if refused.is_some() => Ok(Self::Refused(refused.unwrap(), number)),
            (_, Some(how), ..) => Ok(Self::Struck(how, number)),
            (_, _, Some(act), _) => Ok(Self::Meddled(act, number)),
            (_, _, _, Some(variant)) => Ok(Self::Broken(variant, number)),
            (_, None, None, None) => Err(unknown()),
        }
    }
}
