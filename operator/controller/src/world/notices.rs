//! Notices and what they match, kept from pass to pass: only what changed is matched again.

use std::collections::BTreeMap;

use hozen_advisory::notice::Notice;
use hozen_domain::{
    World,
    model::Matcher as _,
    units::{Digest, Name},
    world::{Blind, Finding},
};
use hozen_intake::folder::Corpus;
use smol_str::SmolStr;
use std::sync::Arc;

use crate::observe::{Stores, kept::Key};

/// What was matched, for one state of all notices.
#[derive(Debug, Default)]
pub struct Matched {
    /// Uid and generation of every Advisory that is in the corpus. A status that we write ourselves changes neither.
    epoch: BTreeMap<Key, (SmolStr, i64)>,
    corpus: Corpus,
    findings: BTreeMap<Digest, Arc<[Finding]>>,
    blind: BTreeMap<Digest, Arc<[Blind]>>,
}

impl Matched {
    /// Brings the notices into a world, and what they match of its package sets.
    pub(super) fn fill(&mut self, stores: &Stores, world: &mut World) {
        let advisories = stores.advisories.read();
        let mut epoch = BTreeMap::new();
        for (key, seen) in advisories.iter() {
            if let Ok(known) = &seen.value.meaning {
                world.notices.insert(Name::from(key.as_str()), known.clone());
                let generation = seen.value.object.metadata.generation.unwrap_or_default();
                epoch.insert(key.clone(), (seen.uid.clone(), generation));
            }
        }
        drop(advisories);
        if epoch != self.epoch {
            let notices: Vec<(&Name, &Notice)> =
                world.notices.iter().map(|(name, known)| (name, &*known.notice)).collect();
            self.corpus = Corpus::new(notices);
            self.findings.clear();
            self.blind.clear();
            self.epoch = epoch;
        }
        self.findings.retain(|digest, _| world.package_sets.contains_key(digest));
        self.blind.retain(|digest, _| world.package_sets.contains_key(digest));
        for (digest, set) in &world.package_sets {
            if !self.findings.contains_key(digest) {
                self.findings.insert(digest.clone(), self.corpus.findings(set).into());
                self.blind.insert(digest.clone(), self.corpus.blind(set).into());
            }
        }
        world.findings.clone_from(&self.findings);
        world.blind.clone_from(&self.blind);
    }
}
