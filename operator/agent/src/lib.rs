//! Scan and patch one node.
//!
//! The scan reads a system that may be hostile and runs nothing that the system names. It goes one way: `root` (the only
//! door to files) → readers of one format each (`dpkg`, `apt`, `rpm`, `apk`, `live`) → `scan`, which puts them together.
//!
//! The work of a Job is another way: `work`, which runs the host's own tools, with privilege, for an approved plan.

pub mod apk;
pub mod apt;
pub mod begun;
pub mod chamber;
pub mod clock;
pub mod command;
pub mod compressed;
pub mod consequences;
pub mod dpkg;
pub mod live;
pub mod manifests;
pub mod next_boot;
pub mod os_release;
pub mod package;
pub mod protected;
pub mod reboot;
pub mod refresh;
pub mod resolve;
pub mod root;
pub mod rpm;
pub mod scan;
pub mod share;
pub mod staging;
pub mod stanza;
pub mod system;
pub mod unit_files;
pub mod unread;
pub mod waits;
pub mod watch;
pub mod work;
