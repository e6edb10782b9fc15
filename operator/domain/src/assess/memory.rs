//! What one pass worked out and the next may use: only while all that it was made of is the very same.
//!
//! A simulation looks at its fleet a thousand times and more, and between two looks hardly anything changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hozen_advisory::{notice::Notice, package::PackageSet};
use smol_str::SmolStr;

use crate::{
    baseline::Baseline,
    subscription::Subscriptions,
    units::{Digest, Name},
    world::{Blind, Finding, World},
};

use super::{
    SetView,
    pocket::{self, Offers, Pocket},
};

/// See the module. Of another world it holds nothing that is used, and so it cannot be given to the wrong one.
#[derive(Debug, Default)]
pub struct Memory {
    notices: Vec<(Name, Arc<Notice>)>,
    offers: Offers,
    pocket: Pocket,
    pub(super) sets: BTreeMap<(Name, Digest), Remembered>,
}

/// A view, and what it was made of beside notices and offers.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    made_of: MadeOf,
    pub(super) view: Arc<SetView>,
}

#[derive(Clone, Debug)]
struct MadeOf {
    baseline: Arc<Baseline>,
    set: Option<Arc<PackageSet>>,
    findings: Option<Arc<[Finding]>>,
    blind: Option<Arc<[Blind]>>,
    excepted: BTreeSet<Name>,
    /// What nodes that have the set are attached to, where there are any.
    attached: Option<Vec<SmolStr>>,
}

impl Memory {
    /// Forgets everything that another world's notices and offers went into.
    pub(super) fn turn_to(&mut self, world: &World) {
        let offers = pocket::offers(world);
        let same_notices = self.notices.len() == world.notices.len()
            && self.notices.iter().zip(&world.notices).all(|((name, notice), (now, known))| {
                name == now && Arc::ptr_eq(notice, &known.notice)
            });
        if same_notices && self.offers == offers {
            return;
        }
        let notices =
            world.notices.iter().map(|(name, known)| (name.clone(), known.notice.clone()));
        *self = Self {
            notices: notices.collect(),
            pocket: Pocket::of(world, &offers),
            offers,
            sets: BTreeMap::new(),
        };
    }

    /// The view of a package set against a baseline: the remembered one if it would come out the same, otherwise what is worked out.
    pub(super) fn view(
        &self,
        world: &World,
        baseline: &Arc<Baseline>,
        digest: &Digest,
        (excepted, subscriptions): (Option<&BTreeSet<&Name>>, &Subscriptions<'_>),
        work_out: impl FnOnce(&Pocket) -> SetView,
    ) -> Remembered {
        let attached = subscriptions.of_set(digest);
        let known = self.sets.get(&(baseline.name.clone(), digest.clone()));
        let same =
            |known: &&Remembered| known.made_of.is(world, baseline, digest, (excepted, attached));
        if let Some(known) = known.filter(same) {
            return known.clone();
        }
        let made_of = MadeOf {
            baseline: Arc::clone(baseline),
            set: world.package_sets.get(digest).cloned(),
            findings: world.findings.get(digest).cloned(),
            blind: world.blind.get(digest).cloned(),
            excepted: excepted.into_iter().flatten().map(|name| (*name).clone()).collect(),
            attached: attached.map(|names| names.iter().map(|name| (*name).into()).collect()),
        };
        Remembered { made_of, view: Arc::new(work_out(&self.pocket)) }
    }
}

impl MadeOf {
    fn is(
        &self,
        world: &World,
        baseline: &Arc<Baseline>,
        digest: &Digest,
        (excepted, attached): (Option<&BTreeSet<&Name>>, Option<&[&str]>),
    ) -> bool {
        Arc::ptr_eq(&self.baseline, baseline)
            && same(self.set.as_ref(), world.package_sets.get(digest))
            && same(self.findings.as_ref(), world.findings.get(digest))
            && same(self.blind.as_ref(), world.blind.get(digest))
            && self.excepted.iter().eq(excepted.into_iter().flatten().copied())
            && match (&self.attached, attached) {
                (Some(one), Some(other)) => one.iter().eq(other),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            }
    }
}

fn same<T: ?Sized>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}
