//! What only a running system shows, read from the kernel's own `/proc` and `/sys` below the root.

pub mod hardware;
pub mod kernel;
pub mod network;
pub mod processes;
pub mod sockets;

use crate::root::{ReadError, Root};

/// Where the kernel's processes are found below the root.
pub const PROC: &str = "proc";
/// Largest of the small files of `/proc` and `/sys` that are read.
const SMALL_BYTES_MAX: u64 = 64 << 10;

/// Whether the root's system runs: its `/proc` is the kernel's.
pub fn is_running(root: &Root) -> bool {
    root.is_proc(PROC)
}

/// A small file's text without the white space around it.
fn small(root: &Root, path: &str) -> Result<String, ReadError> {
    Ok(root.text(path, SMALL_BYTES_MAX)?.trim().to_owned())
}

/// Id that the kernel makes anew at each boot.
pub fn boot_id(root: &Root) -> Option<String> {
    small(root, "proc/sys/kernel/random/boot_id").ok().and_then(|id| crate::unread::token(&id))
}

/// When the system booted, in seconds since 1970.
pub fn booted_at(root: &Root) -> Option<i64> {
    let stat = root.text("proc/stat", 4 << 20).ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}
