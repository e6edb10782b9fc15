//! What kind of machine it is, from the firmware's tables (DMI), the processor's flags and the marks of container
//! runtimes.

use hozen_api::node_inventory::{Hardware, HardwareClass};

use crate::root::Root;

use super::small;

const DMI: &str = "sys/class/dmi/id";
/// Files and folders that a container runtime leaves in a container.
const CONTAINER_MARKS: [&str; 3] = [".dockerenv", "run/.containerenv", "run/systemd/container"];
/// Makers and products of virtual machines, as their firmware names them.
const VIRTUAL: [&str; 14] = [
    "QEMU",
    "KVM",
    "VMware",
    "VirtualBox",
    "innotek",
    "Xen",
    "Virtual Machine",
    "Google Compute Engine",
    "Amazon EC2",
    "OpenStack",
    "Bochs",
    "Parallels",
    "Firecracker",
    "Hyper-V",
];

/// Reads class, model, processors and memory of the running machine.
pub fn read(root: &Root) -> Hardware {
    let firmware = |name: &str| small(root, &format!("{DMI}/{name}")).unwrap_or_default();
    let model = [firmware("sys_vendor"), firmware("product_name")].join(" ");
    let chassis = firmware("chassis_type").parse().ok();
    let cpuinfo = root.text("proc/cpuinfo", 64 << 20).unwrap_or_default();
    let is_container = CONTAINER_MARKS.iter().any(|mark| root.has(mark));
    let hypervisor = cpuinfo.lines().any(|line| {
        line.starts_with("flags") && line.split_whitespace().any(|flag| flag == "hypervisor")
    });
    let cpus = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    Hardware {
        class: class(is_container, hypervisor, &model, chassis),
        model: Some(crate::unread::line(model.trim())).filter(|model| !model.is_empty()),
        cpus: u32::try_from(cpus).ok().filter(|cpus| *cpus > 0),
        memory_bytes: memory_bytes(root),
    }
}

/// Class by the chassis types of the SMBIOS specification (DSP0134, table 17); bare-metal instances of clouds are servers
/// though their maker also makes virtual machines.
fn class(is_container: bool, hypervisor: bool, model: &str, chassis: Option<u8>) -> HardwareClass {
    let named_virtual =
        VIRTUAL.iter().any(|name| model.contains(name)) && !model.contains(".metal");
    if is_container {
        return HardwareClass::Container;
    }
    if hypervisor || named_virtual {
        return HardwareClass::Virtual;
    }
    match chassis {
        Some(8..=12 | 14 | 30..=32) => HardwareClass::Portable,
        Some(3..=7 | 13 | 15 | 16 | 24 | 35) => HardwareClass::Desktop,
        Some(33 | 34 | 36) => HardwareClass::Embedded,
        // What names no chassis and is none of the above stands in a rack, as far as Kubernetes nodes go.
        Some(_) | None => HardwareClass::Server,
    }
}

fn memory_bytes(root: &Root) -> Option<u64> {
    let meminfo = small(root, "proc/meminfo").ok()?;
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = total.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_follows_marks_then_hypervisor_then_chassis() {
        assert_eq!(class(true, true, "QEMU Standard PC", Some(1)), HardwareClass::Container);
        assert_eq!(class(false, false, "QEMU Standard PC", Some(1)), HardwareClass::Virtual);
        assert_eq!(class(false, true, "", None), HardwareClass::Virtual);
        assert_eq!(class(false, false, "Amazon EC2 c5.metal", Some(23)), HardwareClass::Server);
        assert_eq!(class(false, false, "LENOVO 20X", Some(10)), HardwareClass::Portable);
        assert_eq!(class(false, false, "Dell Inc. OptiPlex", Some(3)), HardwareClass::Desktop);
        assert_eq!(class(false, false, "Dell Inc. PowerEdge", Some(23)), HardwareClass::Server);
    }
}
