//! What one pass worked out and the next may use: only while all that it was made of is the very same.
//!
//! A simulation looks at its fleet a thousand times and more, and between two looks hardly anything changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hozen_advisory::package::Transaction;

use crate::{
    baseline::Baseline,
    made_of::{self, Notices, same},
    subscription::Subscriptions,
    units::{Digest, Name},
    world::{Blind, World},
};

use super::{
    SetView, UpdateView,
    pocket::{self, Offers, Pocket},
};

/// See the module. Of another world it holds nothing that is used, and so it cannot be given to the wrong one.
#[derive(Debug, Default)]
pub struct Memory {
    notices: Notices,
    offers: Offers,
    pocket: Pocket,
    pub(super) sets: BTreeMap<(Name, Digest), Remembered>,
    /// By baseline, set and transaction.
    pub(super) updates: BTreeMap<(Name, Digest, Digest), Updates>,
}

/// What a distribution offers beyond the notices, and what that was made of.
#[derive(Clone, Debug)]
pub(super) struct Updates {
    set: Arc<SetView>,
    transaction: Option<Arc<Transaction>>,
    pub(super) view: Option<Arc<UpdateView>>,
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
    known: made_of::Known,
    blind: Option<Arc<[Blind]>>,
    excepted: BTreeSet<Name>,
}

impl Memory {
    /// Forgets everything that another world's notices and offers went into.
    pub(super) fn turn_to(&mut self, world: &World) {
        let offers = pocket::offers(world);
        let same_notices = self.notices.are(world);
        if same_notices && self.offers == offers {
            return;
        }
        let pocket = Pocket::of(world, &offers);
        // Another node that tells what was known already changes nothing.
        if same_notices && self.pocket.offers_the_same(&pocket) {
            self.offers = offers;
            return;
        }
        *self = Self {
            notices: Notices::of(world),
            pocket,
            offers,
            sets: BTreeMap::new(),
            updates: BTreeMap::new(),
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
        let of = (baseline, excepted, subscriptions);
        let known = self.sets.get(&(baseline.name.clone(), digest.clone()));
        if let Some(known) = known.filter(|known| known.made_of.is(world, digest, of)) {
            return known.clone();
        }
        let made_of = MadeOf {
            baseline: Arc::clone(baseline),
            known: made_of::Known::of(world, digest, subscriptions),
            blind: world.blind.get(digest).cloned(),
            excepted: excepted.into_iter().flatten().map(|name| (*name).clone()).collect(),
        };
        Remembered { made_of, view: Arc::new(work_out(&self.pocket)) }
    }

    /// What is offered beyond a view of a package set: the remembered, or what is worked out.
    pub(super) fn updates(
        &self,
        world: &World,
        baseline: &Name,
        (set, transaction): (&Arc<SetView>, &Digest),
        work_out: impl FnOnce() -> Option<UpdateView>,
    ) -> Updates {
        let key = (baseline.clone(), set.digest.clone(), transaction.clone());
        let transaction = world.transactions.get(transaction);
        let known = self.updates.get(&key).filter(|known| {
            Arc::ptr_eq(&known.set, set) && same(known.transaction.as_ref(), transaction)
        });
        known.cloned().unwrap_or_else(|| Updates {
            set: Arc::clone(set),
            transaction: transaction.cloned(),
            view: work_out().map(Arc::new),
        })
    }
}

impl MadeOf {
    fn is(
        &self,
        world: &World,
        digest: &Digest,
        (baseline, excepted, subscriptions): (
            &Arc<Baseline>,
            Option<&BTreeSet<&Name>>,
            &Subscriptions<'_>,
        ),
    ) -> bool {
        Arc::ptr_eq(&self.baseline, baseline)
            && self.known.is(world, digest, subscriptions)
            && same(self.blind.as_ref(), world.blind.get(digest))
            && self.excepted.iter().eq(excepted.into_iter().flatten().copied())
    }
}
