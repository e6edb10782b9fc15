//! Nodes.

use std::{collections::BTreeMap, sync::Arc};

use hozen_advisory::package::{PackageSet, Transaction};
use hozen_domain::{
    node::{Cordon, Inventory, Node, Pods, Ready, Report, Resolved},
    units::Uid,
};
use jiff::Timestamp;
use smol_str::{SmolStr, format_smolstr};

use crate::{packages::resolved, world::at};

/// A Debian 12 node that is Ready and reports.
pub fn node(name: &str) -> NodeBuilder {
    NodeBuilder {
        node: Node {
            name: name.into(),
            uid: Uid::new(format!("uid-{name}")),
            labels: Arc::default(),
            control_plane: false,
            zone: None,
            ready: Ready::Yes(Timestamp::UNIX_EPOCH),
            pressure: None,
            cordon: Cordon::None,
            taint: None,
            deleting: false,
            boot_id: format_smolstr!("boot-{name}-1"),
            kubelet_version: "v1.36.1".into(),
            runtime_version: "containerd://2.1.4".into(),
            pods: Pods::default(),
            report: Report::Missing("it never reported".into()),
            scan_asked: 1,
            task: None,
            jobs: BTreeMap::new(),
            ended: BTreeMap::new(),
            tried: BTreeMap::new(),
            needs_attention: None,
        },
        inventory: Some(Inventory {
            scan: 1,
            boot_id: format_smolstr!("boot-{name}-1"),
            os_id: "debian".into(),
            os_version: "12".into(),
            kernel_running: "6.1.0-40-amd64".into(),
            kernel_installed: "6.1.0-40-amd64".into(),
            hardware: "Virtual".into(),
            ..Inventory::default()
        }),
        set: None,
        transactions: Vec::new(),
        stale: false,
    }
}

/// See [`node`].
#[derive(Clone, Debug)]
pub struct NodeBuilder {
    node: Node,
    inventory: Option<Inventory>,
    set: Option<PackageSet>,
    transactions: Vec<Transaction>,
    stale: bool,
}

impl NodeBuilder {
    /// One label more.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        Arc::make_mut(&mut self.node.labels).insert(key.into(), value.into());
        self
    }

    /// Labels more.
    #[must_use]
    pub fn labels(self, labels: &[(&str, &str)]) -> Self {
        labels.iter().fold(self, |node, (key, value)| node.label(key, value))
    }

    /// In this zone.
    #[must_use]
    pub fn zone(mut self, zone: &str) -> Self {
        self.node.zone = Some(zone.into());
        self.label("topology.kubernetes.io/zone", zone)
    }

    /// Of the control plane.
    #[must_use]
    pub fn control_plane(mut self) -> Self {
        self.node.control_plane = true;
        self.label("node-role.kubernetes.io/control-plane", "")
    }

    /// What is installed.
    #[must_use]
    pub fn has(mut self, set: &PackageSet) -> Self {
        if let Some(inventory) = &mut self.inventory {
            inventory.package_set = set.digest.clone();
        }
        self.set = Some(set.clone());
        self
    }

    /// Its package manager resolved this for a purpose.
    #[must_use]
    pub fn would(self, purpose: &str, transaction: &Transaction) -> Self {
        let how = resolved(purpose, transaction);
        self.would_as(how, transaction)
    }

    /// Its package manager resolved this, with these consequences.
    #[must_use]
    pub fn would_as(mut self, how: Resolved, transaction: &Transaction) -> Self {
        if let Some(inventory) = &mut self.inventory {
            inventory.transactions.push(how);
        }
        self.transactions.push(transaction.clone());
        self
    }

    /// Its scanner last looked at every repository at that time.
    #[must_use]
    pub fn looked(self, when: &str) -> Self {
        self.report(|inventory| inventory.indices_refreshed_at = Some(at(when)))
    }

    /// It listens there.
    #[must_use]
    pub fn listens(self, ports: &[&str]) -> Self {
        self.report(|inventory| {
            inventory.listening = ports.iter().copied().map(SmolStr::from).collect();
        })
    }

    /// This unit runs replaced files.
    #[must_use]
    pub fn stale_unit(self, unit: &str) -> Self {
        self.report(|inventory| {
            inventory.stale_units.insert(unit.into());
        })
    }

    /// A reboot is due.
    #[must_use]
    pub fn reboot_due(self, because: &str) -> Self {
        self.report(|inventory| inventory.reboot_because.push(because.into()))
    }

    /// Changes the report.
    #[must_use]
    pub fn report(mut self, change: impl FnOnce(&mut Inventory)) -> Self {
        change(self.inventory.as_mut().expect("a node that reports"));
        self
    }

    /// Changes anything else.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Node)) -> Self {
        change(&mut self.node);
        self
    }

    /// It does not report.
    #[must_use]
    pub fn silent(mut self, why: &str) -> Self {
        self.inventory = None;
        self.node.report = Report::Missing(why.into());
        self
    }

    /// Its report is too old.
    #[must_use]
    pub const fn stale(mut self) -> Self {
        self.stale = true;
        self
    }

    /// The node, with what is installed on it and what its package manager resolved.
    pub fn build(self) -> (Node, Option<PackageSet>, Vec<Transaction>) {
        let Self { mut node, inventory, set, transactions, stale } = self;
        if let Some(inventory) = inventory {
            let inventory = Arc::new(inventory);
            node.report = if stale { Report::Stale(inventory) } else { Report::Known(inventory) };
        }
        (node, set, transactions)
    }
}
