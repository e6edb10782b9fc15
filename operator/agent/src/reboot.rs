//! Which packages ask for a boot, and why: the policy, as a table.
//!
//! A package stands here only where no restart of services makes its new version active. What else runs old code is
//! observed, not guessed (see [`crate::live::processes`]).

/// Names of packages, a star at their end standing for anything, and the reason.
const POLICY: [(&str, &str); 23] = [
    ("linux-image-*", KERNEL),
    ("kernel", KERNEL),
    ("kernel-core", KERNEL),
    ("kernel-rt-core", KERNEL),
    ("kernel-64k-core", KERNEL),
    ("kernel-default", KERNEL),
    ("kernel-uek-core", KERNEL),
    ("linux-lts", KERNEL),
    ("linux-virt", KERNEL),
    ("libc6", LIBC),
    ("glibc", LIBC),
    ("musl", LIBC),
    ("systemd", INIT),
    ("sysvinit-core", INIT),
    ("dbus", BUS),
    ("dbus-daemon", BUS),
    ("dbus-broker", BUS),
    ("intel-microcode", FIRMWARE),
    ("amd64-microcode", FIRMWARE),
    ("microcode_ctl", FIRMWARE),
    ("ucode-intel", FIRMWARE),
    ("linux-firmware*", FIRMWARE),
    ("firmware-*", FIRMWARE),
];

const KERNEL: &str = "a new kernel runs from the next boot on";
const LIBC: &str = "every process maps the C library, the first one too";
const INIT: &str = "it is the first process";
const BUS: &str = "the system bus cannot restart under those who use it";
const FIRMWARE: &str = "firmware and microcode are loaded at boot";

/// Why a new version of a package is active only after a boot; `None` where it needs none.
pub fn reason(package: &str) -> Option<&'static str> {
    POLICY.into_iter().find_map(|(pattern, reason)| {
        let fits = match pattern.strip_suffix('*') {
            Some(prefix) => package.starts_with(prefix),
            None => package == pattern,
        };
        fits.then_some(reason)
    })
}

/// Whether a package is a kernel.
pub fn is_kernel(package: &str) -> bool {
    reason(package) == Some(KERNEL)
}

/// Whether everything on a host runs by a package: the C library, the first process.
pub fn is_foundation(package: &str) -> bool {
    reason(package).is_some_and(|reason| reason == LIBC || reason == INIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_libc_init_and_bus_ask_for_a_boot_and_a_library_does_not() {
        for package in
            ["linux-image-6.1.0-40-amd64", "kernel-core", "libc6", "glibc", "systemd", "dbus"]
        {
            assert!(reason(package).is_some(), "{package}");
        }
        for package in
            ["libssl3", "openssl-libs", "libc6-dev", "systemd-timesyncd", "kernel-headers"]
        {
            assert_eq!(reason(package), None, "{package}");
        }
    }
}
