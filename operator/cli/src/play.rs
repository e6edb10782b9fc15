//! Reads a folder and plays it.

use std::collections::BTreeMap;

use hozen_domain::{
    World,
    calendar::time_zone,
    model::{
        self, Options, Outcome,
        scenario::{Scenario, Script},
    },
};
use hozen_intake::folder::{self, Corpus, Folder};
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

use crate::{
    args::{Moment, Play},
    clock,
    error::Failed,
    facts::{FeedRead, Played},
    progress::Progress,
};

/// A folder without a scenario is played so long: the shortest deadlines of every profile fall into it.
const DAYS_WITHOUT_SCENARIO: i64 = 14;

/// What came of a folder.
pub struct Done {
    /// What was asked for, and what intake says of it.
    pub played: Played,
    /// What came of it.
    pub outcome: Outcome,
    /// Every notice, those of feeds included that found nothing here.
    pub corpus: Corpus,
}

/// Reads a folder and plays it, to the end or to a moment.
pub fn play(asked: &Play, until: Option<Moment>) -> Result<Done, Failed> {
    play_folder(asked, read(asked)?, until)
}

/// Plays what was read.
pub fn play_folder(asked: &Play, folder: Folder, until: Option<Moment>) -> Result<Done, Failed> {
    let scenario = folder.scenario.unwrap_or_else(|| nothing_happens(&folder.world));
    let until = until.map(|moment| within(moment, &scenario.script)).transpose()?;
    let options = Options { seed: asked.seed, until: until.flatten() };
    let mut progress = Progress::start(&asked.folder);
    let outcome = model::simulate(folder.world, &scenario, &folder.corpus, options, &mut |at| {
        progress.reached(at);
    });
    progress.done();
    let outcome =
        outcome.map_err(|error| Failed::Scenario { folder: asked.folder.clone(), error })?;
    Ok(Done {
        played: Played {
            folder: asked.folder.display().to_string(),
            seed: asked.seed,
            left_out: folder.notes.iter().map(ToString::to_string).collect(),
            feeds: folder.feeds.iter().map(FeedRead::from).collect(),
        },
        outcome,
        corpus: folder.corpus,
    })
}

/// Reads a folder. One that holds nothing to look at is a slip of the finger, not a fleet on which all is well.
pub fn read(asked: &Play) -> Result<Folder, Failed> {
    let folder = folder::read(&asked.folder, clock::now()).map_err(|refused| Failed::Folder {
        folder: asked.folder.clone(),
        refused: Box::new(refused),
    })?;
    let world = &folder.world;
    if world.baselines.is_empty() || (world.nodes.is_empty() && world.workloads.is_empty()) {
        let missing =
            if world.baselines.is_empty() { "no Baseline" } else { "no Node or workload" };
        return Err(Failed::Nothing { folder: asked.folder.clone(), missing });
    }
    Ok(folder)
}

/// One look at a world, long enough for every decider to come to rest once.
#[cfg(feature = "cluster")]
pub fn at_once(world: World) -> Result<Outcome, Failed> {
    let scenario = nothing_happens(&world);
    let notices = world.notices.iter().map(|(name, known)| (name, &*known.notice));
    let corpus = Corpus::new(notices);
    let until = world.now.saturating_add(1.second()).ok();
    let options = Options { seed: 1, until };
    model::simulate(world, &scenario, &corpus, options, &mut |_| {})
        .map_err(|error| Failed::Scenario { folder: "the cluster".into(), error })
}

/// Time passes, and nobody does anything.
fn nothing_happens(world: &World) -> Scenario {
    let from = world.now.to_zoned(TimeZone::UTC).datetime();
    Scenario {
        script: Script {
            time_zone: "UTC".into(),
            from,
            until: from.saturating_add(DAYS_WITHOUT_SCENARIO.days()),
            approvers: Vec::new(),
            events: Vec::new(),
        },
        later: BTreeMap::new(),
    }
}

/// A moment as an instant of the scenario; a zone that does not exist is told by the domain. At the very beginning the deciders
/// come to rest once, and nobody does anything.
fn within(moment: Moment, script: &Script) -> Result<Option<Timestamp>, Failed> {
    let Ok(zone) = time_zone(&script.time_zone) else {
        return Ok(None);
    };
    let instant = |local| zone.to_timestamp(local).ok();
    let (Some(from), Some(until)) = (instant(script.from), instant(script.until)) else {
        return Ok(None);
    };
    let at = match moment {
        Moment::Instant(at) => at,
        Moment::Local(local) => instant(local).unwrap_or(Timestamp::MAX),
    };
    if at < from || at > until {
        let (from, until) = (script.from, script.until);
        let zone = script.time_zone.to_string();
        return Err(Failed::Moment { from, until, zone });
    }
    let least = from.saturating_add(1.second()).unwrap_or(from);
    Ok(Some(at.max(least)))
}
