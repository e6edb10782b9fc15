//! The files that make a Debian root a node: certificates, configuration and units.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::{
    bed::{Kind, NodeState, State},
    certificates::Authority,
    error::Error,
    image::PAUSE,
    network,
};

/// Units of Debian that have no use here, or would speak to the network by themselves.
const MASKED: [&str; 5] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "console-getty.service",
    "getty.target",
    "systemd-timesyncd.service",
];
/// Devices are the host's where the kernel is.
const MASKED_IN_NAMESPACES: [&str; 1] = ["systemd-udevd.service"];
/// Units that nothing here needs, and that more than double the time of a boot where a processor is emulated.
const MASKED_IN_VM: [&str; 19] = [
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "kexec-load.service",
    "kexec.service",
    "kmod-static-nodes.service",
    "modprobe@.service",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-pstore.service",
    "systemd-udev-trigger.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udevd.service",
];

/// What differs between kinds of nodes in the configuration of containerd and kubelet.
struct Runtime {
    runc: &'static str,
    systemd_cgroups: bool,
    cgroup_driver: &'static str,
    /// Seconds between two heartbeats of the kubelet. Each has as long to be answered.
    heartbeat_seconds: u8,
}

impl Runtime {
    fn of(kind: Kind) -> Self {
        match kind {
            // The host may have control groups of either version.
            Kind::Namespaces => Self {
                runc: "/etc/kube/runc",
                systemd_cgroups: false,
                cgroup_driver: "cgroupfs",
                heartbeat_seconds: 2,
            },
            // As in production; an emulated processor is too slow for more heartbeats.
            Kind::Vm => Self {
                runc: "/opt/bin/runc",
                systemd_cgroups: true,
                cgroup_driver: "systemd",
                heartbeat_seconds: 8,
            },
        }
    }

    fn containerd(&self) -> String {
        CONTAINERD
            .replace("PAUSE", PAUSE)
            .replace("RUNC", self.runc)
            .replace("SYSTEMD", &self.systemd_cgroups.to_string())
    }

    fn kubelet(&self) -> String {
        KUBELET
            .replace("DRIVER", self.cgroup_driver)
            .replace("BEAT", &self.heartbeat_seconds.to_string())
            // A lease is renewed four times in its duration.
            .replace("LEASE", &(4 * self.heartbeat_seconds).to_string())
    }
}

const CONTAINERD: &str = r#"version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "PAUSE"
[plugins.'io.containerd.cri.v1.runtime']
  # Hosts that are containers or small machines lack CAP_SYS_RESOURCE.
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      BinaryName = "RUNC"
      SystemdCgroup = SYSTEMD
"#;

const KUBELET: &str = "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: DRIVER
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
failSwapOn: false
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: /etc/kube/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: /etc/kube/node.crt
tlsPrivateKeyFile: /etc/kube/node.key
evictionHard: {nodefs.available: 1%, imagefs.available: 1%, memory.available: 100Mi}
evictionPressureTransitionPeriod: 10s
imageGCHighThresholdPercent: 100
imageMinimumGCAge: 1s
nodeStatusUpdateFrequency: BEATs
nodeLeaseDurationSeconds: LEASE
resolvConf: /etc/resolv.conf
clusterDNS: []
";

/// runc as containerd calls it. The kubelet masks nothing in a privileged container; through these two paths such a container
/// could reset the host or put it to sleep, so they are masked in it all the same.
const RUNC: &str = r#"#!/bin/bash
bundle=
for ((at = 1; at <= $#; at++)); do
  case "${!at}" in
    --bundle | -b) next=$((at + 1)) bundle=${!next} ;;
    --bundle=*) bundle=${!at#--bundle=} ;;
  esac
done
if [ -n "$bundle" ] && ! grep -q '"maskedPaths":\["' "$bundle/config.json"; then
  sed -i 's#"maskedPaths":\[\],\{0,1\}##; s#"linux":{#"linux":{"maskedPaths":["/proc/sysrq-trigger","/sys/power/state"],#' "$bundle/config.json"
fi
# One that a package has brought comes first on containerd's way.
PATH=$PATH:/opt/bin exec runc "$@"
"#;

/// Writes what is copied over the node's root at each boot: the folder `files`.
pub fn write(
    folder: &Path,
    state: &State,
    name: &str,
    node: NodeState,
    authority: &Authority,
) -> Result<(), Error> {
    let tree = Tree::of(folder);
    let runtime = Runtime::of(node.kind);
    let address = network::node_address(state, node);
    let identity =
        authority.sign(&format!("system:node:{name}"), Some("system:nodes"), &[name, &address])?;
    let proxy = authority.sign("system:kube-proxy", None, &[])?;
    for (path, text) in [
        ("etc/kube/ca.crt", authority.certificate()),
        ("etc/kube/node.crt", &identity.certificate),
        ("etc/kube/node.key", &identity.key),
        ("etc/kube/kubeconfig", &authority.kubeconfig(&state.server(), &identity)),
        ("etc/kube/proxy.kubeconfig", &authority.kubeconfig(&state.server(), &proxy)),
        ("etc/kube/containerd.toml", &runtime.containerd()),
        ("etc/kube/kubelet.yaml", &runtime.kubelet()),
        ("etc/cni/net.d/10-pods.conflist", &cni(&network::pod_addresses(state, node))),
        ("etc/hostname", &format!("{name}\n")),
        ("etc/hosts", &format!("127.0.0.1 localhost\n{address} {name}\n")),
        ("etc/machine-id", &random_id()?),
        // Without it a reboot waits 90 s for whatever does not end.
        ("etc/systemd/system.conf.d/fast.conf", "[Manager]\nDefaultTimeoutStopSec=5s\n"),
        (
            "etc/systemd/journald.conf.d/small.conf",
            "[Journal]\nStorage=volatile\nRuntimeMaxUse=32M\n",
        ),
    ] {
        tree.file(path, text)?;
    }
    let masked = match node.kind {
        Kind::Namespaces => {
            tree.program("etc/kube/runc", RUNC)?;
            &MASKED_IN_NAMESPACES[..]
        }
        Kind::Vm => &MASKED_IN_VM[..],
    };
    for (unit, after, command) in units(state, name, &address) {
        tree.file(&format!("etc/systemd/system/{unit}.service"), &service(after, &command))?;
        let wanted = format!("etc/systemd/system/multi-user.target.wants/{unit}.service");
        tree.link(&wanted, &format!("../{unit}.service"))?;
    }
    for unit in MASKED.iter().chain(masked) {
        tree.link(&format!("etc/systemd/system/{unit}"), "/dev/null")?;
    }
    Ok(())
}

fn units(state: &State, name: &str, address: &str) -> [(&'static str, &'static str, String); 3] {
    [
        ("containerd", "basic.target", "/opt/bin/containerd -c /etc/kube/containerd.toml".into()),
        (
            "kubelet",
            "containerd.service",
            format!(
                "/opt/bin/kubelet --config=/etc/kube/kubelet.yaml --kubeconfig=/etc/kube/kubeconfig \
                 --hostname-override={name} --node-ip={address}"
            ),
        ),
        (
            "kube-proxy",
            "containerd.service",
            format!(
                "/opt/bin/kube-proxy --kubeconfig=/etc/kube/proxy.kubeconfig --proxy-mode=iptables \
                 --cluster-cidr=10.{}.0.0/16 --hostname-override={name} --conntrack-max-per-core=0",
                state.net()
            ),
        ),
    ]
}

/// Containers outlive a restart of containerd, hence the kill mode; `Delegate` leaves the groups below to the unit.
fn service(after: &str, command: &str) -> String {
    format!(
        "[Unit]\nAfter={after}\nStartLimitIntervalSec=0\n\
         [Service]\nEnvironment=PATH=/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin\nExecStart={command}\n\
         KillMode=process\nDelegate=yes\nRestart=always\nRestartSec=1\n\
         [Install]\nWantedBy=multi-user.target\n"
    )
}

fn cni(addresses: &str) -> String {
    let config = serde_json::json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": addresses}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    });
    config.to_string()
}

/// A machine id as systemd wants it: 32 hexadecimal digits, from the kernel's own source of randomness.
fn random_id() -> Result<String, Error> {
    let file = "/proc/sys/kernel/random/uuid";
    let id = fs::read_to_string(file).map_err(Error::io(format!("read {file}")))?;
    Ok(id.replace('-', ""))
}

/// What is copied over the root of a node at each boot.
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// That of the node with this folder.
    pub fn of(folder: &Path) -> Self {
        Self { root: folder.join("files") }
    }

    /// The place of a path, with the folders above it made.
    pub fn place(&self, path: &str) -> Result<PathBuf, Error> {
        let place = self.root.join(path);
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)
                .map_err(Error::io(format!("create {}", folder.display())))?;
        }
        Ok(place)
    }

    /// A file that everybody on the node may read.
    pub fn file(&self, path: &str, text: &str) -> Result<(), Error> {
        let place = self.place(path)?;
        fs::write(&place, text).map_err(Error::io(format!("write {}", place.display())))
    }

    /// A file that can be run.
    pub fn program(&self, path: &str, text: &str) -> Result<(), Error> {
        self.file(path, text)?;
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(self.root.join(path), executable)
            .map_err(Error::io(format!("make {path} of a node executable")))
    }

    /// A symbolic link.
    pub fn link(&self, path: &str, to: &str) -> Result<(), Error> {
        let place = self.place(path)?;
        symlink(to, &place).map_err(Error::io(format!("link {}", place.display())))
    }
}
