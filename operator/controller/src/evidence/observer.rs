//! Observes what is waited for, again and again while it is, beside the decider: no decision waits for an answer of Prometheus.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hozen_domain::{
    evidence::{Asked, questions},
    gate::WINDOW_EVIDENCE_AGE_MAX,
    plan::Ask,
    units::after,
    world::{About, Evidence, EvidenceKey, Said, World},
};
use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore};

use super::{Evaluators, Question};

/// Between two looks at one gate.
const BETWEEN_LOOKS: Duration = Duration::from_secs(10);
/// Looks at once: gates of many nodes ask the same few servers.
const LOOKS_AT_ONCE: usize = 16;

/// See the module.
pub struct Observer {
    evaluators: Evaluators,
    looks: Semaphore,
    known: Mutex<BTreeMap<EvidenceKey, Known>>,
    wake: Arc<Notify>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    evidence: Option<Evidence>,
    /// Somebody looks, or has done so not long ago.
    looked: bool,
    /// A window's Job that has not ended: of the one that is run after this time.
    runs: Option<Timestamp>,
}

impl Known {
    /// The same question, of the Job that goes on, as long as its answer could count.
    fn follow(&self, mut asked: Asked, now: Timestamp) -> Asked {
        let counts = |since: &Timestamp| now < after(*since, WINDOW_EVIDENCE_AGE_MAX.duration());
        asked.newer_than = self.runs.filter(counts).unwrap_or(asked.newer_than);
        asked
    }

    /// Takes in what was seen. True if it says something else than before.
    fn saw(&mut self, (key, asked): (&EvidenceKey, &Asked), seen: Evidence) -> bool {
        let silent = matches!(seen.said, Said::Nothing(_));
        let repeats =
            matches!(key.about, About::Window(_)) && matches!(asked.gate.ask, Ask::Job { .. });
        self.runs = (silent && repeats).then_some(asked.newer_than);
        let before = self.evidence.as_ref();
        // What is asked may go back to an earlier time, as after a gate that has said yes again: the Job of then is read anew, and says nothing of now.
        let job = matches!(asked.gate.ask, Ask::Job { .. });
        let older = |b: &Evidence| b.at > seen.at && !matches!(b.said, Said::Nothing(_));
        if job && before.is_some_and(older) {
            return false;
        }
        // While a window's Job runs anew, what the one before it said counts for as long as its age lets it.
        let stands = before.is_some_and(|before| {
            !matches!(before.said, Said::Nothing(_))
                && seen.at < after(before.at, WINDOW_EVIDENCE_AGE_MAX.duration())
        });
        if silent && repeats && stands {
            return false;
        }
        let news = before.is_none_or(|b| b.said != seen.said || b.at <= asked.newer_than);
        self.evidence = Some(seen);
        news
    }
}

impl Observer {
    /// Tells of every look by `wake`.
    pub fn new(evaluators: Evaluators, wake: Arc<Notify>) -> Self {
        let looks = Semaphore::new(LOOKS_AT_ONCE);
        Self { evaluators, looks, known: Mutex::default(), wake }
    }

    /// What was observed, of what is still waited for.
    pub fn evidence(&self) -> BTreeMap<EvidenceKey, Evidence> {
        let known = self.known();
        let observed = known.iter();
        observed.filter_map(|(key, known)| Some((key.clone(), known.evidence.clone()?))).collect()
    }

    /// Looks at everything that the world waits for and nobody looks at; what it does not wait for is forgotten.
    pub fn ask(self: &Arc<Self>, world: &World) {
        let questions = questions(world);
        let mut known = self.known();
        known.retain(|key, _| questions.contains_key(key));
        for (key, asked) in questions {
            let entry = known.entry(key.clone()).or_default();
            if !entry.looked {
                entry.looked = true;
                let asked = entry.follow(asked, world.now);
                tokio::spawn(Arc::clone(self).look(key, asked));
            }
        }
    }

    async fn look(self: Arc<Self>, key: EvidenceKey, asked: Asked) {
        let Asked { gate, by, nodes, newer_than } = &asked;
        let question = Question { gate, key: &key, by, nodes, newer_than: *newer_than };
        let Ok(turn) = self.looks.acquire().await else {
            return;
        };
        let evidence = self.evaluators.observe(&question).await;
        drop(turn);
        let seen = |known: &mut Known| known.saw((&key, &asked), evidence);
        if self.known().get_mut(&key).is_some_and(seen) {
            self.wake.notify_one();
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
        if let Some(known) = self.known().get_mut(&key) {
            known.looked = false;
        }
        self.wake.notify_one();
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<EvidenceKey, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use hozen_domain::{evidence::Asker, plan::Gate, units::Uid};

    use super::*;

    fn at(minute: u8) -> Timestamp {
        format!("2026-01-05T02:{minute:02}:00Z").parse().unwrap()
    }

    fn evidence(minute: u8, said: Said) -> Evidence {
        Evidence { at: at(minute), said }
    }

    fn asked(gate: &Gate, minute: u8) -> Asked {
        let by = Asker::Rollout("web-1".into(), Uid::new("uid-web-1"));
        Asked { gate: gate.clone(), by, nodes: Vec::new(), newer_than: at(minute) }
    }

    #[test]
    fn what_a_windows_job_said_counts_while_the_next_one_runs_and_no_longer_than_its_age_lets_it() {
        let about = About::Window("night".into());
        let key = EvidenceKey { gate: "quiet".into(), asked_by: "web-1".into(), about };
        let gate = Gate { name: "quiet".into(), ask: Ask::Job { template: "quiet".into() } };
        let asked = |minute| asked(&gate, minute);
        let runs = || Said::Nothing("its Job runs".into());
        let mut known = Known::default();
        assert!(known.saw((&key, &asked(0)), evidence(1, Said::Pass("yes".into()))));
        assert!(!known.saw((&key, &asked(5)), evidence(6, runs())));
        assert_eq!(known.evidence, Some(evidence(1, Said::Pass("yes".into()))));
        // The Job of minute five goes on: it is looked at, and none of minute ten is made.
        assert_eq!(known.follow(asked(10), at(11)).newer_than, at(5));
        assert_eq!(known.follow(asked(15), at(15)).newer_than, at(15), "too old to count");
        assert!(known.saw((&key, &asked(5)), evidence(12, runs())));
        assert_eq!(known.evidence, Some(evidence(12, runs())));
        assert!(known.saw((&key, &asked(5)), evidence(5, Said::Fail("no".into()))));
        assert_eq!(known.follow(asked(15), at(16)).newer_than, at(15), "it has ended");
    }

    #[test]
    fn i29_what_a_job_said_earlier_does_not_take_the_place_of_what_one_said_since() {
        let about = About::Whole;
        let key = EvidenceKey { gate: "smoke".into(), asked_by: "web-1".into(), about };
        let gate = Gate { name: "smoke".into(), ask: Ask::Job { template: "smoke".into() } };
        let mut known = Known::default();
        let no = || Said::Fail("its Job failed".into());
        let yes = || Said::Pass("its Job succeeded".into());
        assert!(known.saw((&key, &asked(&gate, 0)), evidence(1, no())));
        assert!(known.saw((&key, &asked(&gate, 15)), evidence(16, yes())));
        // The gate has said yes: asked is what is newer than the last node again, and that Job is there still.
        assert!(!known.saw((&key, &asked(&gate, 0)), evidence(1, no())));
        assert_eq!(known.evidence, Some(evidence(16, yes())));
        // A Job that is run anew counts, whatever it says.
        assert!(known.saw((&key, &asked(&gate, 0)), evidence(20, no())));
        // A gauge is read as it is now.
        let gauge = Ask::NodeCondition { r#type: "Ready".into(), status: "True".into() };
        let gate = Gate { name: "smoke".into(), ask: gauge };
        let mut known = Known::default();
        assert!(known.saw((&key, &asked(&gate, 0)), evidence(5, yes())));
        assert!(known.saw((&key, &asked(&gate, 0)), evidence(4, no())));
    }

    #[test]
    fn i29_silence_after_a_systems_evidence_is_silence() {
        let about = About::System("a".into());
        let key = EvidenceKey { gate: "smoke".into(), asked_by: "web-1".into(), about };
        let gate = Gate { name: "smoke".into(), ask: Ask::Job { template: "smoke".into() } };
        let asked = asked(&gate, 0);
        let mut known = Known::default();
        assert!(known.saw((&key, &asked), evidence(1, Said::Pass("yes".into()))));
        assert!(known.saw((&key, &asked), evidence(2, Said::Nothing("it is gone".into()))));
        assert!(matches!(known.evidence.unwrap().said, Said::Nothing(_)));
    }
}
