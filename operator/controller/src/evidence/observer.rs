//! Observes what is waited for, again and again while it is, beside the decider: no decision waits for an answer of Prometheus.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hozen_domain::world::{Evidence, EvidenceKey, World};
use tokio::sync::{Notify, Semaphore};

use super::{
    Evaluators, Question,
    questions::{Asked, questions},
};

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
                tokio::spawn(Arc::clone(self).look(key, asked));
            }
        }
    }

    async fn look(self: Arc<Self>, key: EvidenceKey, asked: Asked) {
        let Asked { gate, nodes, newer_than } = &asked;
        let question = Question { gate, key: &key, nodes, newer_than: *newer_than };
        let Ok(turn) = self.looks.acquire().await else {
            return;
        };
        let evidence = self.evaluators.observe(&question).await;
        drop(turn);
        if let Some(known) = self.known().get_mut(&key) {
            known.evidence = Some(evidence);
        }
        self.wake.notify_one();
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
