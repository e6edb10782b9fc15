//! Images that run in the cluster and the workloads that use them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::{SignedDuration, Timestamp};
use smol_str::SmolStr;

use crate::{
    node::{Ended, Failure, Step},
    plan::{ImageClass, Plan},
    selector::Labels,
    units::{Digest, Name, Span, Uid},
};

/// An image in use, one per digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `sha256:…`.
    pub digest: SmolStr,
    /// Repositories it is known under.
    pub repositories: BTreeSet<SmolStr>,
    /// Its package set from an SBOM, or why there is none.
    pub packages: Result<Digest, String>,
    /// Tag or version, for people.
    pub tag: Option<SmolStr>,
    /// When it was built or pushed, where known; among fixed digests the newest is chosen.
    pub created: Option<Timestamp>,
    /// When it was first seen to run: it was built before that.
    pub first_seen: Option<Timestamp>,
    /// Who runs it: workloads by key, and what runs outside of them (`Pod/shop/debug`).
    pub used_by: BTreeSet<Name>,
    /// Since when nobody runs it, as was noted.
    pub unused_since: Option<Timestamp>,
}

/// A Deployment, `StatefulSet`, `DaemonSet` or `CronJob`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// `Deployment/shop/web`: kind, namespace, name.
    pub key: Name,
    /// Uid.
    pub uid: Uid,
    /// Namespace.
    pub namespace: SmolStr,
    /// Labels, by which stages may select.
    pub labels: Labels,
    /// Its containers' images, by container, init containers included.
    pub containers: BTreeMap<SmolStr, ImageUse>,
    /// Replicas wanted and ready with the present template.
    pub replicas: Replicas,
    /// Why a new template would not be rolled out by its controller: paused, `OnDelete`, a partition; none: it would.
    pub at_rest: Option<String>,
    /// What its controller says went wrong with the rollout of the present template, if it does.
    pub failing: Option<String>,
    /// Who owns the template, if not `kubectl`: then it is not fought.
    pub managed_by: Option<GitOps>,
    /// Our work on it.
    pub task: Option<ImageTask>,
    /// How earlier changes ended here.
    pub ended: BTreeMap<Uid, Ended>,
    /// Which image digest each request set out to replace here, by uid of the request. Kept with the task.
    pub tried: BTreeMap<Uid, SmolStr>,
}

/// What a container runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageUse {
    /// `registry.example.com/shop/web`.
    pub repository: SmolStr,
    /// Tag as written in the template.
    pub tag: Option<SmolStr>,
    /// Digest as written in the template.
    pub pinned: Option<SmolStr>,
    /// Digest that runs.
    pub running: Option<SmolStr>,
}

impl ImageUse {
    /// The digest that runs, or the one that the template names; none: nobody tells.
    pub const fn digest(&self) -> Option<&SmolStr> {
        match &self.running {
            Some(running) => Some(running),
            None => self.pinned.as_ref(),
        }
    }

    /// The digest that the template names; where it names a tag, the one that runs.
    pub const fn named(&self) -> Option<&SmolStr> {
        match &self.pinned {
            Some(pinned) => Some(pinned),
            None => self.running.as_ref(),
        }
    }
}

/// One digest of an image in the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageMove<'a> {
    /// Repository.
    pub image: &'a SmolStr,
    /// Digest that goes.
    pub from: &'a SmolStr,
    /// Digest that comes.
    pub to: &'a SmolStr,
}

impl<'a> ImageMove<'a> {
    /// What a class of a plan does.
    pub const fn of(class: &'a ImageClass) -> Self {
        Self { image: &class.image, from: &class.from, to: &class.to }
    }

    /// The way back.
    #[must_use]
    pub const fn back(self) -> Self {
        Self { image: self.image, from: self.to, to: self.from }
    }

    /// Whether a template is moved: a container names the digest that comes, and none is left at the one that goes.
    pub fn written(self, workload: &Workload) -> bool {
        let comes = |used: &ImageUse| used.pinned.as_ref() == Some(self.to);
        self.containers(workload).any(comes)
            && !self.containers(workload).any(|used| used.named() == Some(self.from))
    }

    /// Whether a workload is moved: its template is, and every container that names the digest that comes runs it (invariant 31).
    pub fn done(self, workload: &Workload) -> bool {
        let runs = |used: &ImageUse| {
            used.pinned.as_ref() != Some(self.to) || used.running.as_ref() == Some(self.to)
        };
        self.written(workload) && self.containers(workload).all(runs)
    }

    /// Whether something of a workload runs the digest that goes, and nobody has sent it elsewhere.
    pub fn due(self, workload: &Workload) -> bool {
        let ours = |digest: &SmolStr| digest == self.from || digest == self.to;
        self.containers(workload).any(|used| {
            used.running.as_ref() == Some(self.from) && used.pinned.as_ref().is_none_or(ours)
        })
    }

    /// Whether a workload uses the image, in whatever version.
    pub fn uses(self, workload: &Workload) -> bool {
        self.containers(workload).next().is_some()
    }

    /// The containers of a workload that use the image, in whatever version.
    pub fn containers(self, workload: &Workload) -> impl Iterator<Item = &ImageUse> {
        workload.containers.values().filter(move |used| used.repository == *self.image)
    }
}

/// As the template has it: `registry.example.com/shop/web:1.2@sha256:…`.
impl fmt::Display for ImageUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.pinned {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Replicas of a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    /// Wanted.
    pub wanted: u32,
    /// Ready, of the present template.
    pub ready: u32,
}

/// The tool that owns a workload's template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitOps {
    /// `Helm`, `Argo CD`, `Flux`.
    pub tool: SmolStr,
    /// Its application or release.
    pub owner: SmolStr,
    /// File and line in Git where the image is named, where known: `apps/shop/web.yaml:23`.
    pub line: Option<SmolStr>,
}

/// How long a workload's own rollout may take before it counts as failed: Kubernetes' default progress deadline is ten minutes.
pub const ROLLOUT_WAIT_MAX: SignedDuration = SignedDuration::from_mins(15);

/// Workloads that leave one image at once: their work stands in one object, which has no room for more.
pub const LEAVING_MAX: usize = 256;

/// Our work on a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageTask {
    /// Rollout, by name and uid.
    pub rollout: (Name, Uid),
    /// Uid of the request.
    pub request: Uid,
    /// Digest it came from, and goes to.
    pub from: SmolStr,
    /// See `from`.
    pub to: SmolStr,
    /// Since when.
    pub since: Timestamp,
    /// Index of the stage it was started in.
    pub stage: usize,
    /// Where the work stands.
    pub step: ImageStep,
    /// What failed first, while the earlier image is brought back.
    pub failure: Option<Failure>,
}

impl ImageTask {
    /// The class of the plan that it was taken for: by the digests, and the image that the workload uses. Where somebody took that out of
    /// the workload, by the digests alone.
    pub fn class<'p>(&self, plan: &'p Plan, workload: &Workload) -> Option<&'p ImageClass> {
        let mut classes =
            plan.image_classes().filter(|class| class.from == self.from && class.to == self.to);
        let used = |class: &&ImageClass| ImageMove::of(class).uses(workload);
        classes.clone().find(used).or_else(|| classes.next())
    }

    /// What is left of the time that the work on one system may take.
    pub fn time_left(&self, most: Span, now: Timestamp) -> Span {
        Span::try_from(most.duration() - now.duration_since(self.since)).unwrap_or(Span::ZERO)
    }
}

/// Where the work on a workload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImageStep {
    /// The template is to be moved.
    Move,
    /// The workload's own rollout is watched.
    Watch,
    /// Evidence is waited for.
    Gate,
    /// The template is to be moved back.
    MoveBack,
}

impl ImageStep {
    /// The step of a node's work that it is to a workload.
    pub const fn as_of_node(self) -> Step {
        match self {
            Self::Move => Step::Claim,
            Self::Watch => Step::Verify,
            Self::Gate => Step::Gate,
            Self::MoveBack => Step::Rollback,
        }
    }

    /// What is done, in words.
    pub const fn gerund(self) -> &'static str {
        match self {
            Self::Move => "moving its image",
            Self::Watch => "rolling out",
            Self::Gate => "waiting for its gates",
            Self::MoveBack => "moving its image back",
        }
    }
}
