//! Packages of what a node is a node by: containerd with its runc and what keeps its containers, and the kubelet. They carry the bed's own
//! programs, and their scripts put these in the place of those that the node came with and restart the unit, in mid-installation.

use std::fs;

use hozen_testbed::repository::{Package, Repository};
use serde_json::Value;

use crate::{publisher::Publisher, stage::Stage};

/// Units, with the programs of their packages; the first is the unit's own.
const DAEMONS: [(&str, &str, &[&str]); 2] = [
    ("containerd", "hozen-test-containerd", &["containerd", "containerd-shim-runc-v2", "runc"]),
    ("kubelet", "hozen-test-kubelet", &["kubelet"]),
];
/// Done by the package of a unit whose name is the end of its own. It asks systemd itself, as packages of vendors do, so that nothing holds the
/// service.
const POSTINST: &str = r"set -e
unit=${DPKG_MAINTSCRIPT_PACKAGE#hozen-test-}
own=/usr/lib/$DPKG_MAINTSCRIPT_PACKAGE
file=/etc/systemd/system/$unit.service
mkdir -p $file.d
{
  echo [Service]
  echo Environment=PATH=$own:/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin
  echo ExecStart=
  sed -n s#^ExecStart=/opt/bin/#ExecStart=$own/#p $file
} >$file.d/packaged.conf
systemctl daemon-reload
systemctl restart $unit";
/// A restart of containerd that takes along what keeps its containers: so do units that do not say otherwise.
const HARSH: &str = "mkdir -p /etc/systemd/system/containerd.service.d && \
    printf '[Service]\\nKillMode=mixed\\n' >/etc/systemd/system/containerd.service.d/harsh.conf && \
    systemctl daemon-reload";

/// The packages in a version, which stands at the end of each program.
pub fn packages(stage: &Stage, version: &'static str) -> Vec<Package> {
    let program = |package: &str, name: &str| {
        let mut bytes = fs::read(stage.programs().join(name)).unwrap();
        bytes.extend(version.bytes());
        (format!("usr/lib/{package}/{name}"), bytes, true)
    };
    let packages = DAEMONS.iter().map(|(_, package, programs)| Package {
        name: package,
        version,
        scripts: vec![("postinst", POSTINST)],
        files: programs.iter().map(|name| program(package, name)).collect(),
        ..Package::default()
    });
    packages.collect()
}

/// Has nodes run by the packages' first version, which no repository has.
pub fn install(stage: &Stage, nodes: &[&str]) {
    let repository = Repository::create(&stage.folder("daemons"), "Tests").unwrap();
    repository.publish(&packages(stage, "1.0")).unwrap();
    for node in nodes {
        let place = "/root/daemons";
        stage.copy(node, &repository.folder, place);
        stage.on(node, &format!("dpkg --install {place}/*.deb && rm -r {place}"));
    }
    for node in nodes {
        stage.node(node).wait_ready().unwrap();
        runs(stage, node, "1.0");
    }
}

/// The next version is pending where the first is installed.
pub fn publish(stage: &Stage, publisher: &Publisher) {
    publisher.publish(stage, &packages(stage, "1.1"));
}

/// From now on a restart of its containerd ends every pod of a node, that of a Job too.
pub fn make_harsh(stage: &Stage, node: &str) {
    stage.on(node, HARSH);
}

/// The daemons run, by the files that are installed, of this version.
pub fn runs(stage: &Stage, node: &str, version: &str) {
    for (unit, package, programs) in DAEMONS {
        let pid = stage.on(node, &format!("systemctl show --property=MainPID --value {unit}"));
        let exe = format!("/proc/{}/exe", pid.trim());
        let program = stage.on(node, &format!("readlink {exe}"));
        assert_eq!(program.trim(), format!("/usr/lib/{package}/{}", programs[0]), "{node}");
        assert_eq!(stage.on(node, &format!("tail -c {} {exe}", version.len())), version, "{node}");
    }
}

/// Programs that keep containers on a node, each as often as it does.
pub fn keepers(stage: &Stage, node: &str) -> Vec<String> {
    let script = "for pid in $(pgrep -x containerd-shim); do readlink /proc/$pid/exe; done";
    stage.on(node, script).lines().map(str::to_owned).collect()
}

/// What the newest patch Job of a node came to.
pub struct Course {
    /// Its pods, each with its exit code and what it answered. One that is ended with containerd may have come to an answer all the same, unseen.
    pub pods: Vec<(Option<i64>, Option<Value>)>,
    /// Begins of the work, as its log on the node has them.
    pub begins: Vec<String>,
    /// That log. What a pod prints while its runtime is restarted may be missing from the pod's own.
    pub log: String,
}

pub fn course(stage: &Stage, node: &str) -> Course {
    let job = stage.patch_job(node);
    let pods = stage.get(&["pods", "-n", "hozen-work", "-l", &format!("job-name={job}")]);
    let ends = pods["items"].as_array().unwrap().iter().map(|pod| {
        let end = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
        let answer = end["message"].as_str().and_then(|said| serde_json::from_str(said).ok());
        (end["exitCode"].as_i64(), answer)
    });
    let newest = "cat \"$(ls -dt /var/lib/hozen/work/patch-*/ | head -1)log\"";
    let log = stage.on(node, newest);
    let begins = log.lines().filter_map(|line| line.split_once(", attempt 1, "));
    let begins = begins.map(|(_, start)| start.to_owned()).collect();
    Course { pods: ends.collect(), begins, log }
}
