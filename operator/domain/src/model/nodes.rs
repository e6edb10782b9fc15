//! What happens to nodes from outside: they fall silent, come back, are rebuilt, broken, cordoned by people.

use std::{collections::BTreeMap, sync::Arc};

use jiff::SignedDuration;
use smol_str::{SmolStr, format_smolstr};

use super::{
    Model,
    clock::Due,
    host::{Faults, Host},
};
use crate::{
    node::{Cordon, Job, Node, Ready, Report},
    units::{Name, Uid, after},
    world::World,
};

/// How long after its return a node's scanner answers.
const FIRST_SCAN: SignedDuration = SignedDuration::from_secs(20);

impl Model<'_> {
    pub(super) fn node_offline(&mut self, name: &Name) {
        let now = self.world.now;
        if let Some((node, host)) = both(&mut self.world, &mut self.hosts, name) {
            host.online = false;
            node.ready = Ready::No(now);
            if let Report::Known(inventory) = &node.report {
                node.report = Report::Stale(Arc::clone(inventory));
            }
        }
        self.outside(format!("{name} falls silent"));
    }

    pub(super) fn node_serves(&mut self, name: &Name, how: &str) {
        let now = self.world.now;
        if let Some((node, host)) = both(&mut self.world, &mut self.hosts, name) {
            if host.faults.reboot_hangs || !matches!(node.ready, Ready::Yes(_)) {
                host.boots += 1;
                host.stale_units.clear();
                host.reboot_because.clear();
                node.boot_id = format_smolstr!("modelled-boot-{name}-{}", host.boots);
                node.ready = Ready::Yes(now);
            }
            host.online = true;
            host.faults = Faults::default();
            // Pods that waited for it, or were cut off, go on.
            let id = (node.name.clone(), node.uid.clone());
            let runs = node.jobs.iter().filter(|(_, job)| matches!(job, Job::Running(_)));
            for (job, _) in runs {
                let due = Due::Job { node: id.clone(), job: job.clone() };
                self.queue.push(after(now, FIRST_SCAN), due);
            }
            self.ask_scan(name);
        }
        self.outside(format!("{name} {how}"));
    }

    /// A person also ends what a package manager had left half done.
    pub(super) fn node_repaired(&mut self, name: &Name) {
        if let Some(host) = self.hosts.get_mut(name) {
            host.unfinished.clear();
        }
        self.node_serves(name, "is repaired");
    }

    pub(super) fn node_rebuilt(&mut self, name: &Name) {
        let now = self.world.now;
        if let Some((node, host)) = both(&mut self.world, &mut self.hosts, name) {
            host.packages.clone_from(&host.image);
            host.online = true;
            host.faults = Faults::default();
            host.boots += 1;
            host.stale_units.clear();
            host.reboot_because.clear();
            host.unfinished.clear();
            host.stopped.clear();
            host.blocked.clear();
            node.boot_id = format_smolstr!("modelled-boot-{name}-{}", host.boots);
            node.uid = Uid::new(format!("{}-rebuilt-{}", node.uid, host.boots));
            node.cordon = Cordon::None;
            node.taint = None;
            node.ready = Ready::Yes(now);
            node.task = None;
            node.jobs.clear();
            node.ended.clear();
            node.tried.clear();
            node.needs_attention = None;
            node.report = Report::Missing("rebuilt, not scanned yet".into());
            self.ask_scan(name);
        }
        self.outside(format!("{name} is rebuilt under its name"));
    }

    pub(super) fn break_node(&mut self, name: &Name, how: impl FnOnce(&mut Faults)) {
        if let Some(host) = self.hosts.get_mut(name) {
            how(&mut host.faults);
        }
    }

    pub(super) fn drain_blocked(&mut self, name: &Name, budget: Option<&SmolStr>) {
        if let Some(node) = self.world.nodes.get_mut(name) {
            node.pods.blocked_by = budget.cloned();
        }
        self.outside(match budget {
            Some(budget) => format!("budget {budget} allows no eviction on {name}"),
            None => format!("evictions on {name} are allowed again"),
        });
    }

    pub(super) fn person_cordons(&mut self, name: &Name) {
        if let Some(node) = self.world.nodes.get_mut(name)
            && node.cordon == Cordon::None
        {
            node.cordon = Cordon::Foreign;
        }
        self.outside(format!("a person cordons {name}"));
    }

    pub(super) fn person_uncordons(&mut self, name: &Name) {
        if let Some(node) = self.world.nodes.get_mut(name) {
            node.cordon = match &node.cordon {
                Cordon::Ours(record) | Cordon::Lifted(record) => Cordon::Lifted(record.clone()),
                Cordon::None | Cordon::Foreign => Cordon::None,
            };
        }
        self.outside(format!("a person uncordons {name}"));
    }

    fn ask_scan(&mut self, name: &Name) {
        let Some(node) = self.world.nodes.get_mut(name) else {
            return;
        };
        node.scan_asked += 1;
        let due =
            Due::Scanned { node: (node.name.clone(), node.uid.clone()), scan: node.scan_asked };
        self.queue.push(after(self.world.now, FIRST_SCAN), due);
    }
}

/// The node as it is seen, and as it is.
fn both<'m>(
    world: &'m mut World,
    hosts: &'m mut BTreeMap<Name, Host>,
    name: &Name,
) -> Option<(&'m mut Node, &'m mut Host)> {
    Some((world.nodes.get_mut(name)?, hosts.get_mut(name)?))
}
