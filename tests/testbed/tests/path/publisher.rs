//! Whoever publishes the packages: the nodes' security pocket, signed by a key of the test's own, so that it can change what is in it.

use std::{fs, process::Stdio};

use hozen_testbed::{
    process,
    repository::{Package, Repository},
};

use crate::stage::{NODES, Stage};

/// Where a node finds its security pocket.
const PLACE: &str = "/srv/hozen-tests/security";
const KEYRING: &str = "/usr/share/keyrings/hozen-tests.gpg";

pub struct Publisher {
    security: Repository,
}

impl Publisher {
    /// Takes the pocket over as it is: the same packages, signed anew, and every node has looked at it.
    pub fn take_over(stage: &Stage) -> Self {
        let below = stage.folder("publisher");
        let release = Repository::create(&below, "Tests").unwrap();
        let security = release.beside("security", "Debian-Security").unwrap();
        let mut packed = stage.node(NODES[0]).command(&["tar", "-cC", PLACE, "."]).unwrap();
        let packed = packed.stdin(Stdio::null()).output().unwrap();
        let archive = below.join("security.tar");
        fs::write(&archive, packed.stdout).unwrap();
        let words = ["-xf", &archive.to_string_lossy(), "-C", &security.folder.to_string_lossy()];
        process::call("tar", &words).unwrap();
        let key = fs::File::open(&security.key).unwrap();
        for node in NODES {
            let script = format!("cat >>{KEYRING}");
            let mut command = stage.node(node).command(&["sh", "-ec", &script]).unwrap();
            process::output_of(command.stdin(key.try_clone().unwrap())).unwrap();
            std::io::Seek::rewind(&mut &key).unwrap();
        }
        let publisher = Self { security };
        publisher.publish(stage, &[]);
        stage.look();
        publisher
    }

    /// Publishes packages; the nodes have not looked yet.
    pub fn publish(&self, stage: &Stage, packages: &[Package]) {
        self.security.publish(packages).unwrap();
        for node in NODES {
            stage.copy(node, &self.security.folder, PLACE);
        }
    }

    /// Publishes a version in the place of another, as archives do: the other cannot be had any more.
    pub fn replace(&self, stage: &Stage, version: &str, by: Package) {
        self.security.withdraw(by.name, version).unwrap();
        self.publish(stage, &[by]);
    }
}
