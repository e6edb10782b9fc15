//! The work on one workload, as far as it goes without its plan: what is moved, what came of it, and the way back.

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{
    effect::{Decision, Effect, Record},
    node::{Ended, Failure, Step},
    units::{Name, Uid, after},
    workload::{ImageMove, ImageStep, ImageTask, ROLLOUT_WAIT_MAX, Replicas, Workload},
    world::World,
};

/// The work on one workload.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) world: &'a World,
    pub(super) workload: &'a Workload,
    pub(super) task: &'a ImageTask,
    /// Repository of the image.
    pub(super) image: &'a SmolStr,
}

/// What is written and done now, and what is waited for until when: the workload, with that in words.
pub(super) struct Turn {
    pub(super) decision: Decision,
    pub(super) waits: Option<((Name, String), Timestamp)>,
}

/// How the workload's own rollout of the new template stands.
pub(super) enum Own {
    /// Every wanted replica is ready and runs the new digest.
    Through,
    UnderWay(Turn),
    /// Why it is not waited for any longer.
    Failed(String),
}

impl<'a> Work<'a> {
    pub(super) const fn change(self) -> ImageMove<'a> {
        ImageMove { image: self.image, from: &self.task.from, to: &self.task.to }
    }

    fn deadline(self) -> Timestamp {
        after(self.task.since, ROLLOUT_WAIT_MAX)
    }

    fn id(self) -> (Name, Uid) {
        (self.workload.key.clone(), self.workload.uid.clone())
    }

    /// What somebody else made of the template meanwhile, if it is not what this step's work left there.
    pub(super) fn other_hand(self) -> Option<String> {
        let change = self.change();
        let names =
            |digest| change.containers(self.workload).any(|c| c.pinned.as_ref() == Some(digest));
        let untouched = match self.task.step {
            // One that is named by a tag is known by what runs, which is not always known.
            ImageStep::Move => {
                names(change.from)
                    || names(change.to)
                    || change.containers(self.workload).any(|c| c.pinned.is_none())
            }
            ImageStep::Watch | ImageStep::Gate => change.written(self.workload),
            ImageStep::MoveBack => names(change.from) || names(change.to),
        };
        (!untouched).then(|| {
            let texts: Vec<String> =
                self.workload.containers.values().map(ToString::to_string).collect();
            let texts = texts.join(", ");
            format!("somebody set other images meanwhile, and their will stands: {texts}")
        })
    }

    /// The template is not ours any more: the work ends as it stands.
    pub(super) fn yielded(self, message: String) -> Decision {
        let now = self.world.now;
        let how = match &self.task.failure {
            None => Ended::PutBack(now, self.blocked(message)),
            Some(first) => {
                let message = format!("{}; then {message}", first.message);
                Ended::Failed(now, Failure { message, ..first.clone() })
            }
        };
        self.ended(how)
    }

    /// The new digest is written into the template.
    pub(super) fn move_on(self) -> Turn {
        let deadline = self.deadline();
        if self.world.now >= deadline {
            let failure = self.blocked("its template did not take the new image".to_owned());
            let decision = self.ended(Ended::PutBack(self.world.now, failure));
            return Turn { decision, waits: None };
        }
        let waits = Some((self.waits("its template to take the new image".into()), deadline));
        Turn { decision: self.set(self.change()), waits }
    }

    /// Nothing was done to it, so nothing ended on it: it is taken again when there is leave for it.
    pub(super) fn let_go(self) -> Decision {
        let mut decision = Decision::default();
        decision.records.push(Record::ImageTask { workload: self.id(), task: None });
        decision
    }

    pub(super) fn own_rollout(self) -> Own {
        let Replicas { wanted, ready } = self.workload.replicas;
        if self.change().done(self.workload) && ready >= wanted {
            return Own::Through;
        }
        if let Some(why) = &self.workload.failing {
            return Own::Failed(format!(
                "its own rollout failed: {why} ({ready} of {wanted} replicas ready)"
            ));
        }
        let deadline = self.deadline();
        if self.world.now >= deadline {
            return Own::Failed(format!("{ready} of {wanted} replicas became ready"));
        }
        let what = format!("its own rollout ({ready} of {wanted} ready)");
        Own::UnderWay(Turn {
            decision: Decision::default(),
            waits: Some((self.waits(what), deadline)),
        })
    }

    /// The earlier image is back when every wanted replica is ready and runs it; if that takes too long, a person has to look.
    pub(super) fn move_back(self) -> Turn {
        let (now, back) = (self.world.now, self.change().back());
        let Replicas { wanted, ready } = self.workload.replicas;
        let first = self.task.failure.clone().unwrap_or_else(|| Failure {
            step: Step::Verify,
            message: "its own rollout did not finish".into(),
            blocked: false,
            refused: None,
        });
        if back.done(self.workload) && ready >= wanted {
            let decision = self.ended(Ended::RolledBack(now, first));
            return Turn { decision, waits: None };
        }
        let deadline = self.deadline();
        if now >= deadline {
            let failure = self.failure(format!(
                "{}; then the earlier image did not come back: {ready} of {wanted} replicas ready",
                first.message
            ));
            return Turn { decision: self.ended(Ended::Failed(now, failure)), waits: None };
        }
        let written = back.written(self.workload);
        let decision = if written { Decision::default() } else { self.set(back) };
        let what = format!("its earlier image ({ready} of {wanted} ready)");
        Turn { decision, waits: Some((self.waits(what), deadline)) }
    }

    pub(super) fn enter(self, step: ImageStep, failure: Option<Failure>) -> Decision {
        let task = ImageTask { step, since: self.world.now, failure, ..self.task.clone() };
        let mut decision = Decision::default();
        decision.records.push(Record::ImageTask { workload: self.id(), task: Some(task) });
        decision
    }

    pub(super) fn ended(self, ended: Ended) -> Decision {
        let request = self.task.request.clone();
        let mut decision = self.let_go();
        decision.records.insert(0, Record::ImageEnded { workload: self.id(), request, ended });
        decision
    }

    /// A failure of the present step.
    pub(super) const fn failure(self, message: String) -> Failure {
        Failure { step: self.task.step.as_of_node(), message, blocked: false, refused: None }
    }

    fn blocked(self, message: String) -> Failure {
        Failure { blocked: true, ..self.failure(message) }
    }

    fn waits(self, what: String) -> (Name, String) {
        (self.workload.key.clone(), what)
    }

    fn set(self, change: ImageMove<'_>) -> Decision {
        let ImageMove { image, from, to } = change;
        let (image, from, to) = (image.clone(), from.clone(), to.clone());
        let mut decision = Decision::default();
        decision.effects.push(Effect::SetImage { workload: self.id(), image, from, to });
        decision
    }
}
