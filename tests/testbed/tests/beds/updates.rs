//! What apt says is pending on a node, and what it should say.

use hozen_testbed::{
    node::Node,
    packages::{self, Packages, Pending},
};

/// What apt would do, by its own word.
pub fn simulated(node: &Node) -> Vec<String> {
    let said = node.exec(&["apt-get", "--simulate", "dist-upgrade"]).expect("apt runs");
    let mut lines: Vec<String> =
        said.lines().filter(|line| line.starts_with("Inst ")).map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The updates of the tests' own packages in apt's words.
pub fn expected(packages: Packages) -> Vec<String> {
    let line = |one: &Pending| {
        let Pending { name, installed, pending } = one;
        format!("Inst {name} [{installed}] ({pending} Debian-Security:tests [amd64])")
    };
    packages::pending(packages).expect("they are known").iter().map(line).collect()
}
