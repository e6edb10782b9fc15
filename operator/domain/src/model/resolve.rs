//! How modelled package managers answer what they are asked, and look at their repositories.

use std::{collections::BTreeSet, sync::Arc};

use hozen_advisory::package::{PackageSet, Transaction};
use smol_str::SmolStr;

use super::{Model, host};
use crate::{
    assess::updates::SECURITY,
    node::{Inventory, Report, Resolved},
    planner::{Goal, Planned},
    units::Name,
};

impl Model<'_> {
    /// Every host has something new to look at when it is scanned next.
    pub(super) fn repositories_changed(&mut self) {
        for host in self.hosts.values_mut() {
            host.looks_again = true;
        }
    }

    /// With a report comes what the repositories offer: the distribution's own security updates, and an answer to everything that was asked before.
    /// What holds stays as it was; `before` are the answers for an earlier state.
    pub(super) fn look_again(&mut self, node: &Name, set: &PackageSet, before: &[Resolved]) {
        let all: BTreeSet<&str> = set.packages.iter().map(|p| p.name.as_str()).collect();
        if let Some(pocket) = self.repository.resolve(set, &all) {
            self.answered(node, SECURITY, pocket);
        }
        let questions = self.hosts.get(node).map(|host| host.questions.clone()).unwrap_or_default();
        for (purpose, goal) in questions {
            if self.refuses(node, &purpose, &goal) {
                continue;
            }
            if let Some(transaction) = self.repository.answer(set, &goal) {
                self.answered(node, &purpose, transaction);
            }
        }
        self.keep_figures(node, before);
    }

    /// Whether its package manager has said that it does not remove these: what must stay on a host stays on the modelled one.
    fn refuses(&self, node: &Name, purpose: &SmolStr, goal: &Goal) -> bool {
        let report = self.world.nodes.get(node).and_then(|node| node.report.latest());
        !goal.remove.is_empty() && report.is_some_and(|it| it.no_way.contains_key(purpose))
    }

    /// Reports what was resolved, if it is more than was reported; true if so.
    fn answered(&mut self, node: &Name, purpose: &str, transaction: Transaction) -> bool {
        let news = !self.holds(node, purpose, &transaction);
        if news {
            self.report_transaction(node, purpose, transaction);
        }
        news
    }

    /// Whether what was reported for a purpose does all of this.
    fn holds(&self, node: &Name, purpose: &str, now: &Transaction) -> bool {
        let report = self.world.nodes.get(node).and_then(|node| node.report.known());
        let resolved = report.and_then(|it| it.transactions.iter().find(|r| r.purpose == purpose));
        let known = resolved.and_then(|it| self.world.transactions.get(&it.transaction));
        known.is_some_and(|known| now.changes.iter().all(|change| known.changes.contains(change)))
    }

    /// What comes to the same as before is as large as it was said to be.
    fn keep_figures(&mut self, node: &Name, before: &[Resolved]) {
        let Some(found) = self.world.nodes.get_mut(node).filter(|_| !before.is_empty()) else {
            return;
        };
        let Some(latest) = found.report.known() else { return };
        let mut inventory = Inventory::clone(latest);
        for resolved in &mut inventory.transactions {
            let same = before.iter().find(|known| known.transaction == resolved.transaction);
            if let Some(known) = same {
                *resolved = Resolved { purpose: resolved.purpose.clone(), ..known.clone() };
            }
        }
        found.report = Report::Known(Arc::new(inventory));
    }

    fn report_transaction(&mut self, node: &Name, purpose: &str, transaction: Transaction) {
        let (Some(found), Some(host)) = (self.world.nodes.get_mut(node), self.hosts.get(node))
        else {
            return;
        };
        let Some(latest) = found.report.known() else {
            return;
        };
        let mut inventory = Inventory::clone(latest);
        inventory.transactions.retain(|resolved| resolved.purpose != purpose);
        inventory.transactions.push(host::figures(purpose, &transaction, host));
        inventory.transactions.sort_by(|a, b| a.purpose.cmp(&b.purpose));
        found.report = Report::Known(Arc::new(inventory));
        self.world.transactions.insert(transaction.digest.clone(), Arc::new(transaction));
    }

    /// Package managers answer what the planner asked; true if there was anything new.
    pub(super) fn resolve(&mut self, planned: &Planned) -> bool {
        let mut news = false;
        for ask in &planned.resolves {
            for node in &ask.nodes {
                let refuses = self.refuses(node, &ask.purpose, &ask.goal);
                let Some(host) = self.hosts.get_mut(node) else { continue };
                host.questions.insert(ask.purpose.clone(), ask.goal.clone());
                let Some(set) = host.packages.clone() else { continue };
                if std::mem::take(&mut host.looks_again) {
                    self.look_again(node, &set, &[]);
                    news = true;
                }
                let transaction = self.repository.answer(&set, &ask.goal);
                if let Some(transaction) = transaction.filter(|_| !refuses) {
                    news |= self.answered(node, &ask.purpose, transaction);
                }
            }
        }
        news
    }
}
